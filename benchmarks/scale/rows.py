"""Fits to many rows: CPU seconds, memory and ACC, from ten thousand to a million.

Rows of 128 values fall into 100 groups, the largest ten times as large as the smallest.
Every third group is an arc in a plane, and not convex; the others are normal in twelve
dimensions of their own. Each fit runs in a fresh process, with the threads that it is
given, and the functions of a library are compiled before its time begins::

    python -m benchmarks rows --sizes 10000 100000 1000000 --methods graph minibatch
"""

import argparse
import json
import time
import warnings
from functools import partial
from itertools import product

import numpy as np
from sklearn.cluster import MiniBatchKMeans

from benchmarks.common import tables
from benchmarks.common.methods import evoc, umap_kmeans
from benchmarks.common.records import (
    Command,
    fresh_record,
    machine,
    peak_megabytes,
    read_records,
    scores,
)
from skdeepclust import GraphContrastiveClustering, SelfPacedContrastiveClustering

SIZES = [10_000, 100_000, 1_000_000]
N_GROUPS, N_FEATURES, N_OWN = 100, 128, 12
SPREAD, NOISE = 0.45, 0.12  # of the centers' distances to the mean
WARM = 3_000  # rows that libraries compile their functions on


def mixture(n_rows, seed=0):
    """Return rows (n, 128), float32, and the groups that they belong to."""
    rng = np.random.default_rng(seed)
    share = np.geomspace(1, 10, N_GROUPS)
    y = rng.choice(N_GROUPS, n_rows, p=share / share.sum())
    X = np.empty((n_rows, N_FEATURES), dtype=np.float32)
    for k in range(N_GROUPS):
        center = rng.normal(size=N_FEATURES) / np.sqrt(N_FEATURES)
        axes = np.linalg.qr(rng.normal(size=(N_FEATURES, N_OWN)))[0].T
        place = np.flatnonzero(y == k)
        if k % 3 == 0:
            angle = rng.uniform(0, 1.5 * np.pi, len(place))
            own = np.column_stack([np.cos(angle), np.sin(angle)]) @ axes[:2]
        else:
            own = rng.normal(size=(len(place), N_OWN)) @ axes / np.sqrt(N_OWN)
        noise = rng.normal(size=(len(place), N_FEATURES)) / np.sqrt(N_FEATURES)
        X[place] = center + SPREAD * own + NOISE * noise
    return X, y


# ------------------------------------------------------------------------ the methods


def estimator(cls, rows, seed):
    return cls(N_GROUPS, random_state=seed).fit(rows).labels_


def minibatch(rows, seed):
    return MiniBatchKMeans(N_GROUPS, n_init=3, random_state=seed).fit_predict(rows)


METHODS = {
    "self_paced": partial(estimator, SelfPacedContrastiveClustering),
    "graph": partial(estimator, GraphContrastiveClustering),
    "umap": lambda rows, seed: umap_kmeans(rows, N_GROUPS, seed),
    "evoc": lambda rows, seed: evoc(rows, N_GROUPS, seed),
    "minibatch": minibatch,
}
NAMES = {
    "self_paced": "SelfPacedContrastiveClustering",
    "graph": "GraphContrastiveClustering",
    "umap": "UMAP + k-means",
    "evoc": "EVoC, K not told",
    "minibatch": "MiniBatchKMeans",
}


def compile_libraries(method):
    if method in ("umap", "evoc"):
        METHODS[method](mixture(WARM)[0], 0)
    elif method == "graph":
        from pynndescent import NNDescent

        NNDescent(mixture(WARM)[0], "cosine", n_neighbors=11, compressed=False)


def run_one(method, n_rows):
    """Print the record of one method and size; what the fresh process does."""
    warnings.simplefilter("ignore")
    compile_libraries(method)
    X, y = mixture(n_rows)
    before, start = peak_megabytes(), time.process_time()
    labels = METHODS[method](X, 0)
    record = {
        "method": method,
        "n": n_rows,
        "cpu_seconds": round(time.process_time() - start, 1),
        "peak_above_data_mb": round(peak_megabytes() - before),
        "n_clusters": int(labels.max()) + 1,
        **scores(y, labels),
        "machine": machine(),
    }
    print(json.dumps(record))


# -------------------------------------------------------------------------- the table


def exponent(runs, name):
    """Return the exponent of growth, by least squares on logarithms."""
    n, values = zip(*((run["n"], max(run[name], 0.1)) for run in runs), strict=True)
    return float(np.polyfit(np.log(n), np.log(values), 1)[0])


def make_tables(records):
    """Return the table, as lines of reStructuredText."""
    rows = []
    for method, runs in tables.grouped(records, "method").items():
        for run in runs:
            rows.append(
                (
                    NAMES[method],
                    f"{run['n']:,}",
                    f"{run['cpu_seconds']:,.0f}",
                    f"{run['peak_above_data_mb']:,}",
                    *(f"{run[name]:.3f}" for name in ("acc", "nmi", "ari")),
                )
            )
        if len(runs) > 1:
            names = ("cpu_seconds", "peak_above_data_mb")
            growth = [f"{exponent(runs, name):.2f}" for name in names]
            rows.append((NAMES[method], "exponent", *growth, "", "", ""))
    first = records[0]["machine"]
    return tables.csv_table(
        f"Rows of 128 values in 100 groups; {first['processor']}, {first['cpus']} CPUs",
        [
            *("Method", "n", "CPU seconds", "peak MB above data"),
            *("ACC", "NMI", "ARI"),
        ],
        rows,
    )


def order(record):
    return [*METHODS].index(record["method"]), record["n"]


COMMAND = Command("rows", __doc__, ("method", "n"), make_tables, order)


def main(arguments=None):
    parser = COMMAND.parser()
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=[*METHODS])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.one:
        run_one(options.methods[0], options.one)
        return
    present = [*map(order, read_records(options.results))]
    points = [] if options.table_only else product(options.methods, options.sizes)
    for method, n in points:
        if order({"method": method, "n": n}) in present and not options.force:
            continue
        one = ("rows", "--methods", method, "--one", str(n))
        record = fresh_record(*one, threads=options.threads)
        print(
            method, n, {k: v for k, v in record.items() if k != "machine"}, flush=True
        )
        COMMAND.put(options, [record])
    COMMAND.write(options)
