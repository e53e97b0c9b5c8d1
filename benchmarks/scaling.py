"""Growth of time and memory of the graph estimator with the number of samples.

Each size is fitted in a fresh process, on one thread, with one epoch a stage, and
predicted. CPU seconds are those of each part; the peak is that of the whole process::

    python benchmarks/scaling.py --sizes 4000 8000 16000 32000 64000

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
from pathlib import Path

import numpy as np
from datasets import ROOT, stored
from records import machine, read_records, write_atomically
from tables import csv_table

RESULTS = ROOT / "benchmarks" / "results" / "scaling.json"
TABLE = ROOT / "doc" / "_generated" / "scaling.rst"
SIZES = [4_000, 8_000, 16_000, 32_000, 64_000]
PARTS = ["pretraining", "graph", "warm start", "head", "joint", "predict"]
FEW_EPOCHS = {
    "pretrain_epochs": 1,
    "min_pretrain_steps": 0,
    "head_epochs": 1,
    "min_head_steps": 0,
    "joint_epochs": 1,
    "min_joint_steps": 0,
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


def measure(X, parameters):
    """Fit and predict once; return the CPU seconds of each part and the peak in MB."""
    import skdeepclust._graph_stages as stages
    from skdeepclust import GraphContrastiveClustering
    from skdeepclust.training import loop

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
        (stages, "input_affinity"): "graph",
        (stages, "spectral_start"): "warm start",
        (loop, "_run_stage"): None,
    }
    kept = {place: getattr(*place) for place in originals}
    before = peak_megabytes()
    try:
        for (module, function), name in originals.items():
            setattr(module, function, timed(kept[module, function], name))
        model = GraphContrastiveClustering(10, random_state=0, **parameters).fit(X)
    finally:
        for (module, function), original in kept.items():
            setattr(module, function, original)
    start = time.process_time()
    model.predict(X)
    seconds["predict"] = time.process_time() - start
    return {
        "seconds": {part: round(seconds[part], 3) for part in PARTS},
        "peak_mb": round(peak_megabytes()),
        "peak_above_data_mb": round(peak_megabytes() - before),
    }


def peak_megabytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run_one(n):
    """Print the record of one size; what the fresh process does."""
    import torch

    torch.set_num_threads(1)
    X, source = load_images(n)
    record = {"n": n, "data": source, **measure(X, FEW_EPOCHS), "machine": machine()}
    print(json.dumps(record))


# ----------------------------------------------------------------- table and picture


def exponents(records):
    """Return by part the exponent of growth, by least squares on logarithms."""
    n = np.log([record["n"] for record in records])
    rows = {part: [record["seconds"][part] for record in records] for part in PARTS}
    rows["peak MB above data"] = [record["peak_above_data_mb"] for record in records]
    return {
        name: float(np.polyfit(n, np.log(np.maximum(values, 1e-3)), 1)[0])
        for name, values in rows.items()
    }


def make_table(records):
    """Return the table, as reStructuredText."""
    if not records:
        return ""
    rows = [
        (
            f"{record['n']:,}",
            *(f"{record['seconds'][part]:.1f}" for part in PARTS),
            f"{record['peak_above_data_mb']:,}",
            f"{record['peak_mb']:,}",
        )
        for record in records
    ]
    if len(records) > 1:
        growth = [f"{value:.2f}" for value in exponents(records).values()]
        rows.append(("exponent", *growth, ""))
    sources = ", ".join(sorted({record["data"] for record in records}))
    return "\n".join(
        [
            ".. Written by benchmarks/scaling.py; do not edit.",
            "",
            *csv_table(
                "CPU seconds of each part, one epoch a stage, and peak memory: "
                f"{sources}, {records[0]['machine']['processor']}, 1 thread",
                ["n", *PARTS, "peak MB above data", "peak MB"],
                rows,
            ),
        ]
    )


def draw(records, path):
    """Draw seconds and memory against n, both on logarithmic axes."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    n = [record["n"] for record in records]
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    # The palette of Okabe and Ito, which colour-blind readers can tell apart.
    colors = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9"]
    for part, color, marker in zip(PARTS, colors, "osD^vP", strict=True):
        values = [max(record["seconds"][part], 1e-3) for record in records]
        left.loglog(n, values, color=color, marker=marker, label=part)
    right.loglog(n, [r["peak_above_data_mb"] for r in records], "o-", color="#0072B2")
    left.set(xlabel="samples", ylabel="CPU seconds")
    right.set(xlabel="samples", ylabel="peak memory above the data, MB")
    for axes in (left, right):
        axes.set_xticks(n, [f"{value:,}" for value in n])
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
    parser.add_argument("--force", action="store_true", help="run what is there again")
    parser.add_argument("--table-only", action="store_true")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--table", type=Path, default=TABLE)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.one:
        run_one(options.one)
        return
    records = {record["n"]: record for record in read_records(options.results)}
    for n in [] if options.table_only else options.sizes:
        if n in records and not options.force:
            continue
        printed = subprocess.run(
            [sys.executable, __file__, "--one", str(n)],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout
        records[n] = json.loads(printed.splitlines()[-1])
        print(n, records[n]["seconds"], records[n]["peak_mb"], "MB", flush=True)
        lines = [json.dumps(records[n]) for n in sorted(records)]
        write_atomically(options.results, "[\n" + ",\n".join(lines) + "\n]\n")
    ordered = [records[n] for n in sorted(records)]
    write_atomically(options.table, make_table(ordered))
    if len(ordered) > 1 and importlib.util.find_spec("matplotlib"):
        draw(ordered, options.table.with_suffix(".png"))


if __name__ == "__main__":
    main()
