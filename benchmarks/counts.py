"""The number of clusters, estimated by our methods and by others, as JSON and a table.

Every method sees the same rows, 2,000 of each data set at most, and may answer up to
30::

    python benchmarks/counts.py --datasets iris moons noise_10d --seeds 0 1 2

A record is written as soon as it is there; what is there is not run again but with
``--force``, which a change of the rule asks for.
"""

import argparse
import statistics
import time
import warnings
from functools import partial

import numpy as np
import torch
from datasets import LOADERS, ROOT, TABLES, Dataset, load_dataset
from peers import leiden_communities
from records import (
    add_options,
    machine,
    put_record,
    read_records,
    versions,
    write_atomically,
)
from sklearn.cluster import HDBSCAN, KMeans
from sklearn.datasets import make_blobs, make_circles, make_moons
from sklearn.metrics import silhouette_score
from sklearn.mixture import GaussianMixture
from tables import csv_table, setting
from threadpoolctl import threadpool_limits

from skdeepclust.model_selection import estimate_n_clusters

RESULTS = ROOT / "benchmarks" / "results" / "counts.json"
TABLE = ROOT / "doc" / "_generated" / "counts.rst"
KEY = ("dataset", "method", "seed")
MAX_ROWS, MAX_CLUSTERS = 2_000, 30

# ---------------------------------------------------------------------- the data sets


def _noise(n_features, kind, seed=0):
    rng = np.random.default_rng(seed)
    draw = rng.normal if kind == "normal" else rng.uniform
    return draw(size=(1000, n_features)), np.zeros(1000, dtype=int)


TOYS = {
    "moons": lambda: make_moons(500, noise=0.05, random_state=0),
    "circles": lambda: make_circles(500, noise=0.05, factor=0.5, random_state=0),
    "blobs_8": lambda: make_blobs(1000, 10, centers=8, random_state=0),
    "blobs_20": lambda: make_blobs(2000, 30, centers=20, random_state=0),
    "blobs_uneven": lambda: make_blobs(
        [500, 60, 40], centers=[[0, 0], [6, 0], [0, 6]], random_state=0
    ),
    "normal_2d": lambda: _noise(2, "normal"),
    "normal_10d": lambda: _noise(10, "normal"),
    "uniform_2d": lambda: _noise(2, "uniform"),
    "uniform_10d": lambda: _noise(10, "uniform"),
}
IMAGES = ("digits", "digits_uneven", "coil20", "mnist_10k", "mnist_uneven")
IMAGES += ("fashion_10k", "cifar10_features")
DATASETS = (*IMAGES, *TABLES, *TOYS)


def load_rows(name):
    """Return a toy, or the rows of a data set."""
    return Dataset(name, *TOYS[name]()) if name in TOYS else load_dataset(name)


# ------------------------------------------------------------------------ the methods


def silhouette(rows, seed):
    """Return the K of k-means with the largest silhouette."""
    counts = range(2, MAX_CLUSTERS + 1)
    runs = [KMeans(k, n_init=3, random_state=seed).fit_predict(rows) for k in counts]
    scores = [silhouette_score(rows, labels) for labels in runs]
    return counts[int(np.argmax(scores))]


def bic(rows, seed):
    """Return the number of diagonal Gaussians with the least BIC."""
    counts = range(1, MAX_CLUSTERS + 1)
    models = [
        GaussianMixture(k, covariance_type="diag", random_state=seed) for k in counts
    ]
    return counts[int(np.argmin([m.fit(rows).bic(rows) for m in models]))]


def hdbscan(rows, seed):
    """Return the number of clusters that HDBSCAN finds; what it calls noise is none."""
    return len({*HDBSCAN(copy=True).fit_predict(rows).tolist()} - {-1})


def leiden(rows, seed):
    """Return the number of communities of the largest modularity."""
    return max(leiden_communities(rows, 1.0, seed)) + 1


def ours(method, rows, seed):
    with warnings.catch_warnings():
        # That there is no structure is an answer here.
        warnings.simplefilter("ignore")
        return estimate_n_clusters(rows, method=method, random_state=seed)


METHODS = {
    "separation": partial(ours, "separation"),
    "modularity": partial(ours, "modularity"),
    "stability": partial(ours, "stability"),
    "eigengap": partial(ours, "eigengap"),
    "silhouette": silhouette,
    "BIC": bic,
    "HDBSCAN": hdbscan,
    "Leiden": leiden,
}


def make_record(data, method, seed):
    """Estimate once, and record it."""
    rng = np.random.default_rng(seed)
    index = np.sort(rng.permutation(len(data.y))[:MAX_ROWS])
    rows = np.asarray(data.part(index).flat, dtype=np.float64)
    start = time.process_time()
    found = METHODS[method](rows, seed)
    return {
        "dataset": data.name,
        "method": method,
        "seed": seed,
        "n_clusters": 1 if _is_noise(data.name) else data.n_clusters,
        "found": int(found),
        "seconds": round(time.process_time() - start, 2),
        "torch_threads": torch.get_num_threads(),
        "machine": machine(),
        "versions": versions(),
    }


def _is_noise(name):
    return name.startswith(("normal", "uniform"))


# -------------------------------------------------------------------------- the table


def make_tables(records):
    """Return the tables, as reStructuredText."""
    if not records:
        return ""
    methods = [m for m in METHODS if any(r["method"] == m for r in records)]
    rows, kinds = [], {"images": IMAGES, "tables": TABLES, "toys": [*TOYS]}
    for name in DATASETS:
        own = [record for record in records if record["dataset"] == name]
        if own:
            cells = [", ".join(map(str, _found(own, method))) for method in methods]
            rows.append((name, str(own[0]["n_clusters"]), *cells))
    means = []
    for kind, names in kinds.items():
        groups = [
            [r for r in records if r["dataset"] in names and r["method"] == m]
            for m in methods
        ]
        if all(groups):
            means.append((f"{kind}: within a fifth", *map(_within, groups)))
            means.append((f"{kind}: mean factor", *map(_factor, groups)))
            means.append((f"{kind}: median seconds", *map(_seconds, groups)))
    return "\n".join(
        [
            ".. Written by benchmarks/counts.py; do not edit.",
            "",
            *setting(records, seconds=False),
            "Estimates that are at most a fifth off; the geometric mean of the factor "
            "that they are",
            "off by, 0 counted as 1; CPU seconds of an estimate.",
            "",
            *csv_table("How far estimates are off", ["Data", *methods], means),
            "The estimate of each seed:",
            "",
            *csv_table(
                "Estimated number of clusters", ["Data set", "Classes", *methods], rows
            ),
        ]
    )


def _found(records, method):
    return [record["found"] for record in records if record["method"] == method]


def _within(records):
    hits = [abs(r["found"] - r["n_clusters"]) <= r["n_clusters"] / 5 for r in records]
    return f"{sum(hits)} of {len(hits)}"


def _factor(records):
    off = [abs(np.log(max(r["found"], 1) / r["n_clusters"])) for r in records]
    return f"{np.exp(np.mean(off)):.2f}"


def _seconds(records):
    return f"{statistics.median(r['seconds'] for r in records):.2f}"


# ----------------------------------------------------------------------- the command


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    known = [*LOADERS, *TOYS]
    parser.add_argument("--datasets", nargs="+", choices=known, default=DATASETS)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=[*METHODS])
    add_options(parser, [0, 1, 2], RESULTS, TABLE)
    return parser.parse_args(arguments)


def run_all(options, load=load_rows):
    """Run whatever is asked for and not there."""
    for name in options.datasets:
        try:
            data = load(name)
        except FileNotFoundError as error:
            print(f"{name}: skipped, {error}", flush=True)
            continue
        for method in options.methods:
            for seed in options.seeds:
                present = [[r[k] for k in KEY] for r in read_records(options.results)]
                if not options.force and [name, method, seed] in present:
                    continue
                try:
                    record = make_record(data, method, seed)
                except ImportError as error:
                    print(f"{name} {method}: skipped, {error}", flush=True)
                    break
                put_record(options.results, record, KEY)
                print(
                    f"{name} {method} seed {seed}: {record['found']} of "
                    f"{record['n_clusters']}, {record['seconds']} s",
                    flush=True,
                )


def main(arguments=None, *, load=load_rows):
    """Run the command; `load` is for quick trials."""
    options = parse_arguments(arguments)
    if not options.table_only:
        torch.set_num_threads(options.threads)
        with threadpool_limits(options.threads):
            run_all(options, load)
    records = sorted(
        read_records(options.results),
        key=lambda r: ([*METHODS].index(r["method"]), r["seed"]),
    )
    write_atomically(options.table, make_tables(records))


if __name__ == "__main__":
    main()
