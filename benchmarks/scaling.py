"""Growth of time and memory of both estimators with the number of samples.

Each size is fitted in a fresh process, on one thread, with one epoch a stage, and
predicted. CPU seconds are those of each part; the peak is that of the whole process::

    python benchmarks/scaling.py --sizes 2000 4000 8000 16000 32000 64000

The data are Fashion-MNIST where it is on disk, else random images of the same shape.
"""

import argparse
import importlib.util
import json
import os
import resource
import subprocess
import sys
import time
from collections import defaultdict
from itertools import product
from pathlib import Path

import numpy as np
from datasets import ROOT, stored
from records import machine, read_records, write_atomically, write_lines
from tables import csv_table

RESULTS = ROOT / "benchmarks" / "results" / "scaling.json"
TABLE = ROOT / "doc" / "_generated" / "scaling.rst"
SIZES = [2_000, 4_000, 8_000, 16_000, 32_000, 64_000]
PARTS = {
    "graph": ["pretraining", "graph", "warm start", "head", "joint", "predict"],
    "self-paced": ["pretraining", "center", "head", "contrastive", "predict"],
}
STAGES = {
    "graph": ["pretrain", "head", "joint"],
    "self-paced": ["pretrain", "center", "head", "contrastive"],
}
FEW_EPOCHS = {
    estimator: {f"{name}_epochs": 1 for name in names}
    for estimator, names in STAGES.items()
}

# ------------------------------------------------------- one size, in its own process


def load_images(n):
    """Return n images and what they are."""
    try:
        X, _ = stored("fashion_mnist")
        if n <= len(X):
            return X[:n], "Fashion-MNIST"
        # Noise, for samples that are the same would be each other's neighbours. In
        # bytes: what loading takes for a moment would hide as much of the fit's peak.
        repeated = np.minimum(X[np.arange(n) % len(X)], 252)
        repeated += np.random.default_rng(0).integers(
            4, size=repeated.shape, dtype=np.uint8
        )
        return repeated, "Fashion-MNIST, repeated"
    except FileNotFoundError:
        rng = np.random.default_rng(0)
        prototypes = rng.integers(150, size=(10, 1, 28, 28), dtype=np.uint8)
        X = prototypes[rng.integers(10, size=n)]
        X += rng.integers(100, size=X.shape, dtype=np.uint8)
        return X, "random images"


def measure(X, estimator, parameters):
    """Fit and predict once; return the CPU seconds of each part and the peak in MB."""
    import skdeepclust
    import skdeepclust.graph_contrastive._clusters as stages
    from skdeepclust.training import loop

    classes = {
        "graph": skdeepclust.GraphContrastiveClustering,
        "self-paced": skdeepclust.SelfPacedContrastiveClustering,
    }

    seconds = defaultdict(float)

    def timed(function, name):
        def wrapper(*args, **kwargs):
            start = time.process_time()
            result = function(*args, **kwargs)
            # A stage knows its name; other parts are given one.
            part = name or args[1].name
            seconds[part] += time.process_time() - start
            return result

        return wrapper

    originals = {
        (stages, "build_affinities"): "graph",
        (stages, "input_affinities"): "graph",
        (stages, "spectral_start"): "warm start",
        (loop, "_run_stage"): None,
    }
    kept = {place: getattr(*place) for place in originals}
    before = peak_megabytes()
    try:
        for (module, function), name in originals.items():
            setattr(module, function, timed(kept[module, function], name))
        model = classes[estimator](10, random_state=0, **parameters).fit(X)
    finally:
        for (module, function), original in kept.items():
            setattr(module, function, original)
    start = time.process_time()
    model.predict(X)
    seconds["predict"] = time.process_time() - start
    return {
        "seconds": {part: round(seconds[part], 3) for part in PARTS[estimator]},
        "peak_mb": round(peak_megabytes()),
        "peak_above_data_mb": round(peak_megabytes() - before),
    }


def peak_megabytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run_one(estimator, n):
    """Print the record of one estimator and size; what the fresh process does."""
    import torch

    torch.set_num_threads(1)
    # With the first optimiser of a process torch loads its compiler, for seconds.
    torch.optim.Adam([torch.zeros(1, requires_grad=True)])
    X, source = load_images(n)
    measured = measure(X, estimator, FEW_EPOCHS[estimator])
    record = {"n": n, "estimator": estimator, "data": source, **measured}
    record["machine"] = machine()
    print(json.dumps(record))


# ----------------------------------------------------------------- table and picture


def exponents(records):
    """Return by part the exponent of growth, by least squares on logarithms."""
    n = np.log([record["n"] for record in records])
    rows = {
        part: [record["seconds"][part] for record in records]
        for part in records[0]["seconds"]
    }
    rows["peak MB above data"] = [record["peak_above_data_mb"] for record in records]
    return {
        name: float(np.polyfit(n, np.log(np.maximum(values, 1e-3)), 1)[0])
        for name, values in rows.items()
    }


def by_estimator(records):
    """Return the records of each estimator that has some, smallest first."""
    found = {
        estimator: sorted(
            (r for r in records if r["estimator"] == estimator), key=lambda r: r["n"]
        )
        for estimator in PARTS
    }
    return {estimator: runs for estimator, runs in found.items() if runs}


def make_tables(records):
    """Return a table for each estimator, as reStructuredText."""
    if not records:
        return ""
    lines = [".. Written by benchmarks/scaling.py; do not edit.", ""]
    for estimator, runs in by_estimator(records).items():
        rows = [
            (
                f"{run['n']:,}",
                *(f"{seconds:.1f}" for seconds in run["seconds"].values()),
                f"{run['peak_above_data_mb']:,}",
                f"{run['peak_mb']:,}",
            )
            for run in runs
        ]
        if len(runs) > 1:
            growth = [f"{value:.2f}" for value in exponents(runs).values()]
            rows.append(("exponent", *growth, ""))
        sources = ", ".join(sorted({run["data"] for run in runs}))
        lines += csv_table(
            f"{estimator}: CPU seconds of each part, one epoch a stage, and peak "
            f"memory: {sources}, {runs[0]['machine']['processor']}, 1 thread",
            ["n", *PARTS[estimator], "peak MB above data", "peak MB"],
            rows,
        )
    return "\n".join(lines)


def draw(records, path):
    """Draw seconds and memory against n, both on logarithmic axes."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    found = by_estimator(records)
    figure, rows = plt.subplots(
        len(found),
        2,
        figsize=(10, 3.8 * len(found)),
        squeeze=False,
        layout="constrained",
    )
    # The palette of Okabe and Ito, which colour-blind readers can tell apart.
    colors = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9"]
    for (left, right), (estimator, runs) in zip(rows, found.items(), strict=True):
        n = [run["n"] for run in runs]
        for part, color, marker in zip(
            PARTS[estimator], colors, "osD^vP", strict=False
        ):
            values = [max(run["seconds"][part], 1e-3) for run in runs]
            left.loglog(n, values, color=color, marker=marker, label=part)
        peaks = [run["peak_above_data_mb"] for run in runs]
        right.loglog(n, peaks, "o-", color="#0072B2")
        # Both axes over an order of magnitude: what does not grow looks flat.
        right.set_ylim(50, 2 * max([500, *peaks]))
        left.set(title=estimator, xlabel="samples", ylabel="CPU seconds")
        right.set(
            title=estimator, xlabel="samples", ylabel="peak memory above the data, MB"
        )
        for axes in (left, right):
            axes.set_xticks(n, [f"{value:,}" for value in n], fontsize=8)
            axes.set_xticks([], minor=True)
        left.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    figure.savefig(path, dpi=120)
    plt.close(figure)


# ---------------------------------------------------------------------- the command


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES)
    parser.add_argument("--estimators", nargs="+", choices=PARTS, default=[*PARTS])
    parser.add_argument("--force", action="store_true", help="run what is there again")
    parser.add_argument("--table-only", action="store_true")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--table", type=Path, default=TABLE)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.one:
        run_one(options.estimators[0], options.one)
        return
    records = {
        (record["estimator"], record["n"]): record
        for record in read_records(options.results)
    }
    points = [] if options.table_only else product(options.estimators, options.sizes)
    for estimator, n in points:
        if (estimator, n) in records and not options.force:
            continue
        printed = subprocess.run(
            [
                sys.executable,
                __file__,
                "--estimators",
                estimator,
                "--one",
                str(n),
            ],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout
        record = records[estimator, n] = json.loads(printed.splitlines()[-1])
        print(estimator, n, record["seconds"], record["peak_mb"], "MB", flush=True)
        write_lines(options.results, [records[point] for point in sorted(records)])
    ordered = [records[point] for point in sorted(records)]
    write_atomically(options.table, make_tables(ordered))
    if len(ordered) > 1 and importlib.util.find_spec("matplotlib"):
        draw(ordered, options.table.with_suffix(".png"))


if __name__ == "__main__":
    main()
