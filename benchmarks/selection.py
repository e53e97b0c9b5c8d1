"""Choices without labels: how well each criterion ranks fits.

Some configurations of both estimators are fitted, and each criterion that needs no
labels is compared with ACC. Records go to ``benchmarks/results/selection.json``, and
the tables to the documentation::

    python benchmarks/selection.py --datasets digits --seeds 0 1

A record is written as soon as it is there, and counts as present as long as the
estimator's parameters have not changed since; ``--force`` makes it again.
"""

import argparse
import json
import statistics
import time
import warnings
from itertools import product

import torch
from datasets import LOADERS, ROOT, load_dataset
from methods import METHODS
from records import (
    add_options,
    agree,
    describe,
    machine,
    read_records,
    versions,
    write_atomically,
    write_lines,
)
from scipy.stats import spearmanr
from sklearn.exceptions import ConvergenceWarning
from tables import csv_table, setting
from threadpoolctl import threadpool_limits

from skdeepclust.metrics import clustering_accuracy
from skdeepclust.model_selection import StabilityScorer, silhouette_scorer

RESULTS = ROOT / "benchmarks" / "results" / "selection.json"
TABLE = ROOT / "doc" / "_generated" / "selection.rst"
DATASETS = ("digits", "digits_table", "cifar10_features")
SHORT = {"pretrain_epochs": 5}
CONFIGURATIONS = {
    "ours": [
        {},
        {"temperature": 0.1},
        {"temperature": 1.0},
        {"learning_rate": 3e-4},
        {"pretraining": "reconstruction"},
        SHORT,
        {"center_weight": 1.0},
        {"contrastive_epochs": 0},
        # A share of the true number.
        {"n_clusters": 0.7},
        {"n_clusters": 1.5},
    ],
    "graph": [
        {},
        {"instance_temperature": 0.1},
        {"instance_temperature": 1.0},
        {"n_neighbors": 3},
        {"n_neighbors": 20},
        {"learning_rate": 3e-4},
        {"pretraining": "reconstruction"},
        SHORT,
        {"n_clusters": 0.7},
        {"n_clusters": 1.5},
    ],
}
CRITERIA = {
    "score": "``score``",
    "silhouette": "silhouette",
    "stability": "stability",
    "views": "of views",
    "refits": "of refits",
    "loss": "last loss",
}

# ------------------------------------------------------------------------ records


def points(methods):
    """Return all that is to be recorded of a data set and a seed."""
    return [
        {"method": method, "configuration": configuration}
        for method in methods
        for configuration in CONFIGURATIONS[method]
    ]


def build(point, n_clusters, seed, base=None):
    """Return the estimator of a point, unfitted."""
    overrides = {**(base or {}), **point["configuration"]}
    n_clusters = round(overrides.pop("n_clusters", 1) * n_clusters)
    return METHODS[point["method"]].estimator(n_clusters, seed, overrides)


def make_record(data, point, seed, base=None):
    """Fit the estimator of a point, and record what is found."""
    estimator = build(point, data.n_clusters, seed, base)
    start = time.process_time()
    with warnings.catch_warnings():
        # Some leave clusters empty, which is one of the things to be told apart.
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = judge(data, estimator.fit(data.X))
    return {
        "dataset": data.name,
        **point,
        "seed": seed,
        **found,
        "seconds": round(time.process_time() - start, 2),
        "n_clusters": data.n_clusters,
        "parameters": describe(estimator),
        "torch_threads": torch.get_num_threads(),
        "machine": machine(),
        "versions": versions(),
    }


def judge(data, estimator):
    """Return ACC, and each criterion; all are better when they are larger."""
    views = StabilityScorer(n_refits=0)(estimator, data.X)
    refits = StabilityScorer(n_views=0)(estimator, data.X)
    criteria = {
        "score": estimator.score(data.X),
        "silhouette": silhouette_scorer(estimator, data.X),
        "stability": (views + refits) / 2,
        "views": views,
        "refits": refits,
        "loss": -estimator.history_[-1]["loss"],
    }
    return {
        "acc": round(clustering_accuracy(data.y, estimator.labels_), 4),
        "criteria": {name: round(float(value), 5) for name, value in criteria.items()},
    }


def key(record):
    """Return what tells records apart."""
    names = ("dataset", "method", "configuration", "seed")
    return tuple(json.dumps(record[name]) for name in names)


def is_current(record, base=None):
    """Say whether a record was made with the parameters of today."""
    today = describe(build(record, record["n_clusters"], 0, base))
    return agree(record["parameters"], today)


def is_present(records, wanted, base=None):
    """Say whether a current record with the key of `wanted` is there."""
    return any(key(r) == key(wanted) and is_current(r, base) for r in records)


def add_record(path, record):
    """Put a record into the file, in the place of an older one with the same key."""
    others = [old for old in read_records(path) if key(old) != key(record)]
    records = sorted([*others, record], key=_order)
    write_lines(path, records)


def _order(record):
    known = points(CONFIGURATIONS)
    point = {name: record[name] for name in known[0]}
    place = known.index(point) if point in known else len(known)
    return [*LOADERS].index(record["dataset"]), place, record["seed"]


# ------------------------------------------------------------------------- tables


def make_tables(records):
    """Return the tables, as reStructuredText."""
    if not records:
        return ""
    return "\n".join(
        [
            ".. Written by benchmarks/selection.py; do not edit.",
            "",
            *setting(records, seconds=False),
            *_search_tables(records),
        ]
    )


def _search_tables(records):
    correlations, choices = [], []
    for (dataset, method), group in grouped(records, "dataset", "method").items():
        label = METHODS[method].label
        same = [r for r in group if "n_clusters" not in r["configuration"]]
        for name, some in (("any", group), ("the true", same)):
            size = max(map(len, grouped(some, "seed").values()), default=0)
            if size > 2:
                cells = [correlation(some, criterion) for criterion in CRITERIA]
                correlations.append((dataset, label, name, str(size), *cells))
        default = [r for r in group if not r["configuration"]]
        cells = [chosen(group, lambda r, c=c: r["criteria"][c]) for c in CRITERIA]
        best = chosen(group, lambda r: r["acc"])
        choices.append((dataset, label, chosen(default), *cells, best))
    if not choices:
        return
    yield from [
        "Spearman's rank correlation of each criterion with ACC, over configurations "
        "of any",
        "number of clusters, and over those with the true one: 1 if the criterion "
        "ranks as the",
        "labels do, 0 if it says nothing. Means over the seeds.",
        "",
    ]
    yield from csv_table(
        "Rank correlation with ACC",
        ["Data set", "Estimator", "Clusters", "Fits", *CRITERIA.values()],
        correlations,
    )
    yield from ["ACC of the configuration that each criterion ranks first.", ""]
    yield from csv_table(
        "ACC of what is chosen",
        ["Data set", "Estimator", "Default", *CRITERIA.values(), "Best"],
        choices,
    )


def grouped(records, *names):
    """Return the records by the values of some fields."""
    groups = {}
    for record in records:
        value = tuple(record[name] for name in names)
        groups.setdefault(value, []).append(record)
    return groups


def correlation(records, criterion):
    """Return the mean rank correlation with ACC over the seeds, as a cell."""
    found = []
    for some in grouped(records, "seed").values():
        acc = [record["acc"] for record in some]
        values = [record["criteria"][criterion] for record in some]
        if len(set(acc)) > 1 and len(set(values)) > 1:
            found.append(float(spearmanr(acc, values).statistic))
    return f"{statistics.mean(found):.2f}" if found else "-"


def chosen(records, criterion=lambda record: 0):
    """Return the mean ACC of what a criterion chooses for each seed, as a cell."""
    by_seed = grouped(records, "seed").values()
    found = [max(some, key=criterion)["acc"] for some in by_seed]
    return f"{statistics.mean(found):.3f}" if found else "-"


# ---------------------------------------------------------------------- the command


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--datasets", nargs="+", choices=LOADERS, default=DATASETS)
    parser.add_argument(
        "--methods", nargs="+", choices=CONFIGURATIONS, default=[*CONFIGURATIONS]
    )
    add_options(parser, [0], RESULTS, TABLE)
    return parser.parse_args(arguments)


def run_all(options, load=load_dataset, base=None):
    """Record whatever is asked for and not there."""
    for name in options.datasets:
        try:
            data = load(name)
        except FileNotFoundError as error:
            print(f"{name}: skipped, {error}", flush=True)
            continue
        for point, seed in product(points(options.methods), options.seeds):
            wanted = {"dataset": name, **point, "seed": seed}
            records = read_records(options.results)
            if not options.force and is_present(records, wanted, base):
                continue
            record = make_record(data, point, seed, base)
            add_record(options.results, record)
            texts = [f"{name} {value:g}" for name, value in record["criteria"].items()]
            acc, seconds = f"ACC {record['acc']:.3f}", f"{record['seconds']} s"
            print(*wanted.values(), acc, *texts, seconds, flush=True)


def main(arguments=None, *, load=load_dataset, base=None):
    """Run the command; `load` and `base`, other defaults, are for quick trials."""
    options = parse_arguments(arguments)
    if not options.table_only:
        torch.set_num_threads(options.threads)
        with threadpool_limits(options.threads):
            run_all(options, load, base)
    records = read_records(options.results)
    write_atomically(options.table, make_tables(records))
    for record in records:
        if not is_current(record, base):
            print(*key(record), "is in the tables with parameters of an older version")


if __name__ == "__main__":
    main()
