"""Records of single fits: made, written, read, and held against today's parameters."""

import contextlib
import json
import os
import platform
import re
import time
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from datasets import LOADERS
from methods import METHODS
from sklearn.metrics import adjusted_rand_score

import skdeepclust
from skdeepclust.metrics import clustering_accuracy, normalized_mutual_info

PACKAGES = ("torch", "scikit-learn", "numpy", "scipy")
MIN_HELD_OUT = 2_000


def run_record(data, method_name, seed, overrides=None):
    """Fit one method once and return its record.

    `overrides` are parameters of our estimator, for quick trials. Seconds are those
    of the CPU, for the fit alone; megabytes are the most that the process held at once,
    libraries and data included.
    """
    method = METHODS[method_name]
    rest = None
    n_samples = len(data.y)
    if method.held_out:
        data, rest = split(data, seed)
    estimator = method.estimator(data.n_clusters, seed, overrides)
    parameters = describe(estimator)
    n_threads = torch.get_num_threads()  # before what a method imports changes it
    forget_peak()
    start = time.process_time()
    labels = method.fit(data, estimator, seed)
    seconds = time.process_time() - start
    megabytes = peak_megabytes()
    record = {
        "dataset": data.name,
        "method": method_name,
        "seed": seed,
        **scores(data.y, labels),
        "seconds": round(seconds, 2),
        "megabytes": megabytes,
        "n_samples": n_samples,
        "shape": list(data.X.shape[1:]),
        "n_clusters": data.n_clusters,
        "n_clusters_found": len(np.unique(labels)),
        "parameters": parameters,
        "torch_threads": n_threads,
        "machine": machine(),
        "versions": versions(),
    }
    if rest is not None:
        accuracy = clustering_accuracy(rest.y, estimator.predict(rest.X))
        record["acc_held_out"] = round(accuracy, 4)
    return record


def add_options(parser, seeds, results, table):
    """Add to a command what those have that keep records and write a table."""
    parser.add_argument("--seeds", nargs="+", type=int, default=seeds)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--force", action="store_true", help="run what is there again")
    parser.add_argument(
        "--table-only", action="store_true", help="write the table and run nothing"
    )
    parser.add_argument("--results", type=Path, default=results)
    parser.add_argument("--table", type=Path, default=table)


def scores(y, labels):
    """Return how well labels agree with the classes."""
    return {
        "acc": round(clustering_accuracy(y, labels), 4),
        "nmi": round(normalized_mutual_info(y, labels), 4),
        "ari": round(float(adjusted_rand_score(y, labels)), 4),
    }


def versions():
    """Return those of Python, of this package and of what it computes with."""
    return {
        "python": platform.python_version(),
        "skdeepclust": skdeepclust.__version__,
        **{package: version(package) for package in PACKAGES},
    }


def forget_peak():
    """Begin a new measurement of the memory's peak, where the system is Linux."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_megabytes():
    """Return the most memory held since `forget_peak`; None where it cannot be told."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    return round(int(re.search(r"VmHWM:\s+(\d+) kB", status).group(1)) / 1e3)


def split(data, seed):
    """Draw four fifths to fit on, and the fifth that is held out; no labels used."""
    order = np.random.default_rng(seed).permutation(len(data.y))
    n_held_out = len(order) // 5
    return data.part(order[n_held_out:]), data.part(order[:n_held_out])


def describe(estimator):
    """Return every parameter but the seed, as JSON can hold it."""
    if estimator is None:
        return {}
    parameters = estimator.get_params(deep=False)
    del parameters["random_state"]
    return json.loads(json.dumps(parameters, default=str))


def machine():
    """Return what is known of the processor."""
    cpuinfo, known = Path("/proc/cpuinfo"), {}
    if cpuinfo.is_file():
        pairs = (line.partition(":") for line in cpuinfo.read_text().splitlines())
        known = {name.strip(): value.strip() for name, _, value in pairs}
    processor = known.get("model name", platform.processor() or platform.machine())
    if "cpu family" in known:
        # Clouds hide the name; generations that share it differ several times in speed.
        processor += f" family {known['cpu family']} model {known['model']}"
    return {
        "system": platform.system(),
        "processor": processor,
        "cpus": os.cpu_count(),
    }


def key(record):
    """Return what tells records apart."""
    return record["dataset"], record["method"], record["seed"]


def read_records(path):
    """Return the records of a file, none where there is no file."""
    return json.loads(path.read_text()) if path.is_file() else []


def write_atomically(path, text):
    """Replace a file in one step, so that it is never half-written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


def write_lines(path, records):
    """Write a JSON list with one record a line."""
    lines = ",\n".join(map(json.dumps, records))
    write_atomically(path, f"[\n{lines}\n]\n")


def put_record(path, record, names):
    """Write a record to the end, in the place of one in which `names` are the same."""
    own = [record[name] for name in names]
    others = [old for old in read_records(path) if [old[name] for name in names] != own]
    write_lines(path, [*others, record])


def write_records(path, records):
    """Write a JSON list with one record a line, in the order of the tables."""
    write_lines(path, sorted(records, key=order))


def add_record(path, record):
    """Put a record into the file, in the place of older ones that it supersedes.

    Those have the same key, or are of the same data set and method but with other
    parameters, which must not enter the same mean. The file is read again first, for
    another run may have written to it meanwhile.
    """
    others = [
        old
        for old in read_records(path)
        if key(old)[:2] != key(record)[:2]
        or (key(old) != key(record) and agree(old["parameters"], record["parameters"]))
    ]
    write_records(path, [*others, record])


def order(record):
    datasets, methods = list(LOADERS), list(METHODS)
    return (
        datasets.index(record["dataset"]),
        methods.index(record["method"]),
        record["seed"],
    )


def agree(old, new):
    """Say whether parameters are the same; new ones may have come since, at defaults
    that change nothing."""
    if not old:
        return not new
    return {name: new.get(name) for name in old} == old


def is_current(record):
    """Say whether a record was made with the parameters that its method has today."""
    method = METHODS[record["method"]]
    today = describe(method.estimator(record["n_clusters"], 0))
    return agree(record["parameters"], today)


def is_present(records, wanted):
    """Say whether a current record with the key `wanted` is there."""
    return any(key(record) == wanted and is_current(record) for record in records)


def why_not(data, method):
    """Return why a method is not run on a data set; an empty string if it is."""
    if method.uneven and "_uneven" not in data.name:
        return "classes are of about one size"
    if method.limit and len(data.y) > method.limit:
        return f"more than {method.limit:,} samples"
    if method.held_out and len(data.y) < MIN_HELD_OUT:
        return f"fewer than {MIN_HELD_OUT:,} samples"
    if method.package and find_spec(method.package) is None:
        return f"{method.package} is not installed"
    if method.values:
        least, most = method.values
        if data.flat.min() < least or data.flat.max() > most:
            return f"values are not from {least} to {most}"
    return ""
