"""Whole fits beside UMAP + k-means: CPU seconds in the same run, and their ratio.

Every method fits the same data in turns, in one process and on one thread. Each has
fitted before: UMAP compiles its functions then, and torch loads its optimizers. The
medians are those of the seeds::

    python -m benchmarks peers --datasets mnist_10k wine iris

At most 1.5 times the seconds of UMAP + k-means are allowed for images, and at most as
many for tables, as a geometric mean.
"""

import statistics
import time
import warnings

import torch
from sklearn.datasets import make_blobs
from threadpoolctl import threadpool_limits

from benchmarks.common import tables
from benchmarks.common.data import TABLES, load_dataset
from benchmarks.common.methods import METHODS, umap_kmeans
from benchmarks.common.records import (
    Command,
    describe,
    is_present,
    made_on,
    print_stale,
)
from skdeepclust.metrics import clustering_accuracy

DATASETS = ("mnist_10k", "fashion", *TABLES)
TURNS = ("umap", "ours", "graph")


def run_records(data, seed):
    """Fit each method in turn; return a record of each."""
    records = []
    for method in TURNS:
        estimator = METHODS[method].estimator(data.n_clusters, seed)
        parameters, start = describe(estimator), time.process_time()
        labels = METHODS[method].fit(data, estimator, seed)
        seconds = time.process_time() - start
        records.append(
            {
                "dataset": data.name,
                "method": method,
                "n_clusters": data.n_clusters,
                "seed": seed,
                "parameters": parameters,
                "cpu_seconds": round(seconds, 2),
                "acc": round(clustering_accuracy(data.y, labels), 4),
                **made_on(),
            }
        )
    return records


def medians(runs, name="cpu_seconds"):
    by_method = tables.grouped(runs, "method")
    return [statistics.median(run[name] for run in by_method[m]) for m in TURNS]


def make_tables(records):
    """Return the table, as lines of reStructuredText."""
    rows, ratios = [], []
    for name, runs in tables.grouped(records, "dataset").items():
        seconds = medians(runs)
        own = [value / seconds[0] for value in seconds[1:]]
        if name in TABLES:
            ratios.append(own)
        rows.append(
            (
                name,
                *(f"{value:.1f}" for value in seconds),
                *(f"{value:.2f}" for value in own),
                *(f"{value:.3f}" for value in medians(runs, "acc")),
            )
        )
    if ratios:
        means = [
            f"{statistics.geometric_mean(each):.2f}"
            for each in zip(*ratios, strict=True)
        ]
        rows.append(("tables, geometric mean", "", "", "", *means, "", "", ""))
    labels = [METHODS[method].label for method in TURNS]
    return [
        *tables.setting(records, seconds=False),
        *tables.csv_table(
            "CPU seconds of a fit beside UMAP + k-means in the same run",
            [
                "Data",
                *labels,
                *(f"{label}, ratio" for label in labels[1:]),
                *(f"{label}, ACC" for label in labels),
            ],
            rows,
        ),
    ]


def order(record):
    place = DATASETS.index(record["dataset"])
    return place, TURNS.index(record["method"]), record["seed"]


COMMAND = Command("peers", __doc__, ("dataset", "method", "seed"), make_tables, order)


def main(arguments=None):
    """Run the command."""
    parser = COMMAND.parser()
    parser.add_argument("--datasets", nargs="+", choices=DATASETS, default=DATASETS)
    parser.add_argument("--seeds", nargs="+", type=int, default=(0, 1, 2))
    options = parser.parse_args(arguments)
    if not options.table_only:
        warnings.simplefilter("ignore")
        torch.set_num_threads(1)
        with threadpool_limits(1):
            run_records(load_dataset("blobs_8"), 0)
            # From 4,096 rows on UMAP searches neighbors by other functions.
            umap_kmeans(make_blobs(5_000, random_state=0)[0], 3, 0)
        for name in options.datasets:
            try:
                data = load_dataset(name)
            except FileNotFoundError as error:
                print(f"{name}: skipped, {error}", flush=True)
                continue
            for seed in options.seeds:
                wanted = {"dataset": name, "method": TURNS[-1], "seed": seed}
                if not options.force and is_present(options.results, wanted):
                    continue
                with threadpool_limits(1):
                    found = run_records(data, seed)
                COMMAND.put(options, found)
                seconds = [record["cpu_seconds"] for record in found]
                print(name, seed, *seconds, flush=True)
    print_stale(COMMAND.write(options))
