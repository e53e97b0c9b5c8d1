"""Time and memory of a fit: how they grow, where they go, and of data on disk.

``scaling`` fits both estimators for one epoch a stage to more and more samples, each
size in a fresh process on one thread, and predicts. The data are Fashion-MNIST where it
is on disk, else random images of the same shape. CPU seconds are those of each part;
the peak is that of the whole process::

    python -m benchmarks scaling --sizes 2000 4000 8000 16000 32000 64000

``profile`` prints the CPU seconds of a fit by stage, on one thread. "Between" is what
comes before the first epoch of a stage, such as graphs; what comes after the last is
the line "end"::

    python -m benchmarks profile --samples 2560 --epochs 1

``memory`` fits to a memory-mapped file of 2 GB, nearly all of it holes, and prints the
memory before the fit and the most that was reached, of which the system cannot take
back a page (arrays, weights). Pages of the file that happen to be in memory are not
counted; they go whenever memory is needed. Linux only::

    python -m benchmarks memory
"""

import argparse
import importlib.util
import json
import sys
import tempfile
import threading
import time
import warnings
from contextlib import contextmanager
from itertools import product
from pathlib import Path

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from benchmarks.common import tables
from benchmarks.common.data import LOADERS, load_dataset, stored
from benchmarks.common.records import (
    Command,
    fresh_record,
    held_megabytes,
    machine,
    peak_megabytes,
    read_records,
)
from skdeepclust import GraphContrastiveClustering, SelfPacedContrastiveClustering
from skdeepclust.graph import _build
from skdeepclust.metrics import clustering_accuracy
from skdeepclust.training.events import Observer

SIZES = [2_000, 4_000, 8_000, 16_000, 32_000, 64_000]
ESTIMATORS = {
    "graph": GraphContrastiveClustering,
    "self-paced": SelfPacedContrastiveClustering,
}
PARTS = {
    "graph": ["pretraining", "graph", "head", "joint", "predict"],
    "self-paced": ["pretraining", "center", "head", "contrastive", "predict"],
}
FUNCTIONS = {
    _build.build_affinities: "graph",
    _build.input_affinities: "graph",
}

# ------------------------------------------------------------------ where the time goes


class StageTimes(Observer):
    """Notes the CPU time when stages begin and end."""

    def __init__(self):
        self.rows, self._last = [], time.process_time()

    def stage_begin(self, stage, n_epochs):
        self._start, self._name = time.process_time(), stage.name
        self._n_epochs = n_epochs

    def stage_end(self):
        between, end = self._start - self._last, time.process_time()
        self.rows.append((self._name, self._n_epochs, between, end - self._start))
        self._last = end

    def finish(self):
        self.rows.append(("end", 0, time.process_time() - self._last, 0.0))


def fit_timed(name, X, n_clusters, **parameters):
    """Fit an estimator; return it, and a row for each stage."""

    class Timed(ESTIMATORS[name]):
        def _observers(self, *arguments):
            self._times = StageTimes()
            return [self._times, *super()._observers(*arguments)]

    model = Timed(n_clusters, device="cpu", random_state=0, **parameters).fit(X)
    model._times.finish()
    return model, model._times.rows


@contextmanager
def functions_timed():
    """Time some functions of the package wherever it has imported them."""
    seconds = dict.fromkeys(FUNCTIONS.values(), 0.0)

    def timed(function, part):
        def wrapper(*args, **kwargs):
            begin = time.process_time()
            result = function(*args, **kwargs)
            seconds[part] += time.process_time() - begin
            return result

        return wrapper

    loaded = [
        module for n, module in sys.modules.items() if n.startswith("skdeepclust")
    ]
    places = [
        (module, function)
        for module, function in product(loaded, FUNCTIONS)
        # Where it is defined it may call itself, and is timed once.
        if module.__name__ != function.__module__
        and vars(module).get(function.__name__) is function
    ]
    try:
        for module, function in places:
            setattr(module, function.__name__, timed(function, FUNCTIONS[function]))
        yield seconds
    finally:
        for module, function in places:
            setattr(module, function.__name__, function)


def profile(arguments=None):
    parser = argparse.ArgumentParser(description="Print CPU seconds by stage.")
    parser.add_argument("--dataset", choices=LOADERS, default="mnist_10k")
    parser.add_argument(
        "--estimators", nargs="+", choices=ESTIMATORS, default=[*ESTIMATORS]
    )
    parser.add_argument("--samples", type=int, help="take the first so many")
    parser.add_argument("--epochs", type=int, help="of each stage; default: the fit's")
    parser.add_argument(
        "--precision", choices=["float32", "bfloat16"], default="float32"
    )
    options = parser.parse_args(arguments)
    data = load_dataset(options.dataset).part(slice(options.samples))
    torch.set_num_threads(1)
    for name in options.estimators:
        parameters = {"precision": options.precision}
        if options.epochs is not None:
            known = ESTIMATORS[name]().get_params()
            parameters |= {n: options.epochs for n in known if n.endswith("_epochs")}
        print(f"{name}, {options.dataset}, n = {len(data.X):,}")
        print(f"{'stage':12}{'epochs':>8}{'between':>10}{'training':>10}")
        with threadpool_limits(1), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model, rows = fit_timed(name, data.X, data.n_clusters, **parameters)
        for stage, epochs, between, training in rows:
            print(f"{stage:12}{epochs:8}{between:10.1f}{training:10.1f}")
        total = sum(between + training for _, _, between, training in rows)
        acc = clustering_accuracy(data.y, model.labels_)
        print(f"{'all':12}{total:28.1f}   ACC {acc:.3f}", flush=True)


# ------------------------------------------------------- one size, in its own process


def load_images(n):
    """Return n images and what they are."""
    try:
        X, _ = stored("fashion_mnist")
        if n <= len(X):
            return X[:n], "Fashion-MNIST"
        # Noise, for samples that are the same would be each other's neighbors. In
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
    before = peak_megabytes()
    with functions_timed() as seconds:
        model, rows = fit_timed(estimator, X, 10, **parameters)
    seconds |= {name: training for name, _, _, training in rows}
    begin = time.process_time()
    model.predict(X)
    seconds["predict"] = time.process_time() - begin
    return {
        "seconds": {part: round(seconds[part], 3) for part in PARTS[estimator]},
        "peak_mb": round(peak_megabytes()),
        "peak_above_data_mb": round(peak_megabytes() - before),
    }


def run_one(estimator, n):
    """Print the record of one estimator and size; what the fresh process does."""
    torch.set_num_threads(1)
    # With the first optimizer of a process torch loads its compiler, for seconds.
    torch.optim.Adam([torch.zeros(1, requires_grad=True)])
    X, source = load_images(n)
    known = ESTIMATORS[estimator]().get_params()
    one_epoch = {name: 1 for name in known if name.endswith("_epochs")}
    record = {"n": n, "estimator": estimator, "data": source}
    record |= {**measure(X, estimator, one_epoch), "machine": machine()}
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


def make_tables(records):
    """Return a table for each estimator, as lines of reStructuredText."""
    lines = []
    for estimator, runs in tables.grouped(records, "estimator").items():
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
        lines += tables.csv_table(
            f"{estimator}: CPU seconds of each part, one epoch a stage, and peak "
            f"memory: {sources}, {runs[0]['machine']['processor']}, 1 thread",
            ["n", *PARTS[estimator], "peak MB above data", "peak MB"],
            rows,
        )
    return lines


def draw(records, path):
    """Draw seconds and memory against n, both on logarithmic axes."""
    found = tables.grouped(records, "estimator")
    with tables.picture(path, len(found), 2, (5, 3.8)) as rows:
        for (left, right), (estimator, runs) in zip(rows, found.items(), strict=True):
            n = [run["n"] for run in runs]
            for part, color, marker in zip(
                PARTS[estimator], tables.COLORS, "osD^vP", strict=False
            ):
                values = [max(run["seconds"][part], 1e-3) for run in runs]
                left.loglog(n, values, color=color, marker=marker, label=part)
            peaks = [run["peak_above_data_mb"] for run in runs]
            right.loglog(n, peaks, "o-", color=tables.COLORS[0])
            # Both axes over an order of magnitude: what does not grow looks flat.
            right.set_ylim(50, 2 * max([500, *peaks]))
            left.set_ylabel("CPU seconds")
            right.set_ylabel("peak memory above the data, MB")
            for axes in (left, right):
                axes.set(title=estimator, xlabel="samples")
                axes.set_xticks(n, [f"{value:,}" for value in n], fontsize=8)
                axes.set_xticks([], minor=True)
            left.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)


def order(record):
    return record["estimator"], record["n"]


COMMAND = Command("scaling", __doc__, ("estimator", "n"), make_tables, order)


def scaling(arguments=None):
    parser = COMMAND.parser()
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES)
    parser.add_argument("--estimators", nargs="+", choices=PARTS, default=[*PARTS])
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.one:
        run_one(options.estimators[0], options.one)
        return
    present = [*map(order, read_records(options.results))]
    points = [] if options.table_only else product(options.estimators, options.sizes)
    for estimator, n in points:
        if (estimator, n) in present and not options.force:
            continue
        one = ("scaling", "--estimators", estimator, "--one", str(n))
        record = fresh_record(*one)
        print(estimator, n, record["seconds"], record["peak_mb"], "MB", flush=True)
        COMMAND.put(options, [record])
    records = COMMAND.write(options)
    if len(records) > 1 and importlib.util.find_spec("matplotlib"):
        draw(records, options.table.with_suffix(".png"))


# ----------------------------------------------------------------------- data on disk

N_FEATURES = 2**14
N_INFORMATIVE = 8  # columns that differ between the clusters
FEW = {
    "hidden_layer_sizes": (32,),
    "n_components": 8,
    "augmentation": None,
    "pretrain_epochs": 1,
    "center_epochs": 0,
    "head_epochs": 1,
    "contrastive_epochs": 1,
    "random_state": 0,
}


class Peak(threading.Thread):
    """Looks at the memory that holds no file, all the time."""

    def __init__(self):
        super().__init__(daemon=True)
        self.megabytes, self.over = 0.0, False

    def run(self):
        while not self.over:
            self.megabytes = max(self.megabytes, held_megabytes("RssAnon"))
            time.sleep(0.01)

    def stop(self):
        self.over = True
        self.join()
        return self.megabytes


def make_file(path, n_samples):
    """Write three clusters; zeros take no disk."""
    rows = np.random.default_rng(0).normal(size=(n_samples, N_INFORMATIVE))
    rows += 10 * np.eye(3, N_INFORMATIVE)[np.arange(n_samples) % 3]
    X = np.memmap(path, np.float32, "w+", shape=(n_samples, N_FEATURES))
    X[:, :N_INFORMATIVE] = rows
    X.flush()


def memory_of_fit(gigabytes):
    """Fit to a file of that size; return the memory that it took."""
    n_samples = int(gigabytes * 2**30 / 4 / N_FEATURES)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "X.dat"
        make_file(path, n_samples)
        X = np.memmap(path, np.float32, "r", shape=(n_samples, N_FEATURES))
        before, peak = held_megabytes("RssAnon"), Peak()
        begin = time.perf_counter()
        peak.start()
        model = SelfPacedContrastiveClustering(3, **FEW).fit(X)
        labels = model.predict(X[-4096:])
        return {
            "file_mb": round(path.stat().st_size / 1e6),
            "before_mb": round(before),
            "peak_mb": round(peak.stop()),
            "seconds": round(time.perf_counter() - begin),
            "predicted": bool((labels == model.labels_[-4096:]).all()),
        }


def memory(arguments=None):
    parser = argparse.ArgumentParser(description="Print memory of a fit to a file.")
    parser.add_argument("--gigabytes", type=float, default=2.0)
    torch.set_num_threads(1)
    found = memory_of_fit(parser.parse_args(arguments).gigabytes)
    print(json.dumps(found, indent=2))
