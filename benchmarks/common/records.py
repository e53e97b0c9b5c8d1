"""Records of measurements: made, written, read, and held against today's parameters.

Every command has a file of records under ``benchmarks/results``, and a table under
``doc/_generated``, by its name.
"""

import argparse
import contextlib
import json
import os
import platform
import re
import resource
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from itertools import product
from pathlib import Path
from typing import Any

import torch
from sklearn.metrics import adjusted_rand_score
from threadpoolctl import threadpool_limits

from benchmarks.common.data import LOADERS, ROOT, TOYS, load_dataset
from benchmarks.common.methods import METHODS
from skdeepclust.metrics import clustering_accuracy, normalized_mutual_info

RESULTS = ROOT / "benchmarks" / "results"
GENERATED = ROOT / "doc" / "_generated"
PACKAGES = ("skdeepclust", "torch", "scikit-learn", "numpy", "scipy")

# ----------------------------------------------------------------------- what is known


def scores(y, labels):
    """Return how well labels agree with the classes."""
    return {
        "acc": round(clustering_accuracy(y, labels), 4),
        "nmi": round(normalized_mutual_info(y, labels), 4),
        "ari": round(float(adjusted_rand_score(y, labels)), 4),
    }


def made_on(packages=PACKAGES):
    """Return on what, and with what, a record is made."""
    versions = {"python": platform.python_version()}
    for package in packages:
        with contextlib.suppress(PackageNotFoundError):
            versions[package] = version(package)
    return {
        "torch_threads": torch.get_num_threads(),
        "machine": machine(),
        "versions": versions,
    }


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


def held_megabytes(name):
    """Return a kind of memory of this process, such as "VmRSS"; None without /proc."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    return int(re.search(rf"{name}:\s+(\d+) kB", status).group(1)) / 1e3


def peak_megabytes():
    """Return the most memory that this process has ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def fresh_record(*arguments, threads=1):
    """Run a benchmark in a fresh process; return the record that it prints last."""
    numbers = dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"), str(threads))
    printed = subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        env={**os.environ, **numbers},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    return json.loads(printed.splitlines()[-1])


def forget_peak():
    """Begin a new measurement of the memory's peak, "VmHWM", on Linux."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def describe(estimator):
    """Return every parameter but the seed, as JSON can hold it."""
    if estimator is None:
        return {}
    parameters = estimator.get_params(deep=False)
    del parameters["random_state"]
    return json.loads(json.dumps(parameters, default=str))


def agree(old, new):
    """Return whether parameters are the same.

    New ones may have come since, at defaults that change nothing.
    """
    if not old:
        return not new
    return {name: new.get(name) for name in old} == old


def todays_fit(record):
    """Return the parameters that a fit would have today, None if it has none."""
    try:
        estimator = METHODS[record["method"]].estimator(
            record["n_clusters"], 0, record.get("overrides")
        )
    except TypeError:  # a parameter that is no more
        return None
    return describe(estimator)


def is_current(record):
    """Return whether a record has the parameters that its fit would have today."""
    if record.get("method") not in METHODS or "parameters" not in record:
        return True  # not of a fit with parameters of ours
    today = todays_fit(record)
    return today is not None and agree(record["parameters"], today)


# ------------------------------------------------------------------------------ files


def write_atomically(path, text):
    """Replace a file in one step, so that it is never half-written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


def read_records(path):
    """Return the records of a file, none where there is no file."""
    return json.loads(path.read_text()) if path.is_file() else []


def place(record):
    """Return where a fit stands among others: by data set, method and seed."""
    return (
        [*LOADERS, *TOYS].index(record["dataset"]),
        [*METHODS].index(record["method"]),
        record["seed"],
    )


# -------------------------------------------------------------------------- a command


class NotRun(Exception):
    """Says why something is not measured."""


@dataclass(frozen=True)
class Command:
    """What measures, and shows the records.

    `key` are the fields that tell records apart, `order` sorts them; `tables` maps them
    to lines of reStructuredText.
    """

    name: str
    text: str
    key: tuple[str, ...]
    tables: Callable[..., Any]
    order: Callable[..., Any] | None = None

    def parser(self):
        """Return a parser of what every command takes."""
        parser = argparse.ArgumentParser(
            prog=f"python -m benchmarks {self.name}",
            description=self.text,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        parser.add_argument("--force", action="store_true", help="also what is there")
        parser.add_argument("--table-only", action="store_true", help="run nothing")
        results = RESULTS / f"{self.name}.json"
        parser.add_argument("--results", type=Path, default=results)
        table = GENERATED / f"{self.name}.rst"
        parser.add_argument("--table", type=Path, default=table)
        return parser

    def put(self, options, records):
        """Put records into the file, in the place of older ones that they supersede.

        Those are the same in `key`; or in all of it but the seed and no longer current,
        for they must not enter the same mean; or of parameters that are no more. The
        file is read again first, for another run may have written to it meanwhile.
        """

        def superseded(old, new):
            other = {name for name in self.key if old[name] != new[name]}
            if is_current(old) or not other:
                return not other
            if other == {"seed"}:
                return True
            return other <= {"overrides", "seed"} and todays_fit(old) is None

        old = read_records(options.results)
        kept = [one for one in old if not any(superseded(one, new) for new in records)]
        records = [*kept, *records]
        if self.order is not None:
            records.sort(key=self.order)
        # One record a line.
        lines = ",\n".join(map(json.dumps, records))
        write_atomically(options.results, f"[\n{lines}\n]\n")

    def write(self, options, *more):
        """Write the table of the records that are there; return them."""
        records = read_records(options.results)
        lines = [f".. Written by python -m benchmarks {self.name}; do not edit.", ""]
        lines = [*lines, *self.tables(records, *more)] if records else []
        write_atomically(options.table, "\n".join(lines))
        return records


@dataclass(frozen=True)
class Fits(Command):
    """A command that fits methods to data sets, each from several seeds.

    `make` maps a data set, a point and a seed to records; the points, dicts of what
    there is to a fit beside data set and seed, are those of some methods.
    """

    make: Callable[..., Any] | None = None
    points: Callable[..., Any] = lambda methods: [{"method": name} for name in methods]
    datasets: Sequence[str] = (*LOADERS,)
    methods: Sequence[str] = (*METHODS,)
    seeds: Sequence[int] = (0, 1, 2)

    def parser(self):
        """Add on what is fitted, which methods, and how often."""
        parser, known = super().parser(), [*LOADERS, *TOYS]
        parser.add_argument("--datasets", nargs="+", choices=known)
        parser.add_argument("--methods", nargs="+", choices=self.methods)
        parser.add_argument("--seeds", nargs="+", type=int, default=self.seeds)
        parser.add_argument("--threads", type=int, default=1)
        return parser

    def run(self, options, points=None):
        """Make, one after the other, all records that are asked for and not there.

        They are written at once: an interrupted run continues where it stopped. A
        record counts as present as long as the parameters of the estimator have not
        changed since.
        """
        if points is None:
            points = self.points(options.methods or self.methods)
        for name in options.datasets or self.datasets:
            try:
                data = load_dataset(name)
            except FileNotFoundError as error:
                print(f"{name}: skipped, {error}", flush=True)
                continue
            for point, seed in product(points, options.seeds):
                wanted = {"dataset": name, **point, "seed": seed}
                if not options.force and is_present(options.results, wanted):
                    continue
                # For each fit anew: what one imports may set the threads of all.
                torch.set_num_threads(options.threads)
                try:
                    with threadpool_limits(options.threads):
                        found = [
                            {**wanted, **own} for own in self.make(data, point, seed)
                        ]
                except (NotRun, ImportError) as error:
                    print(*wanted.values(), f"skipped, {error}", flush=True)
                    continue
                self.put(options, found)
                for record in found:
                    print(line_of(record), flush=True)

    def __call__(self, arguments=None):
        """Run the command."""
        options = self.parser().parse_args(arguments)
        if not options.table_only:
            self.run(options)
        print_stale(self.write(options))


def is_present(path, wanted):
    """Return whether a current record of a fit is there."""
    return any(
        wanted.items() <= record.items() and is_current(record)
        for record in read_records(path)
    )


def line_of(record):
    """Return what a fit was of, and its numbers, as a line."""
    known = ("dataset", "method", "after", "overrides", "seed")
    of = [str(record[name]) for name in known if name in record]
    numbers = ("acc", "nmi", "ari", "acc_held_out", "found", "seconds")
    return " ".join([*of, *(f"{n} {record[n]}" for n in numbers if n in record)])


def print_stale(records):
    """Print what is in a table with parameters of an older version."""
    known = ("dataset", "method", "overrides")
    stale = {
        " ".join(str(record[name]) for name in known if name in record)
        for record in records
        if not is_current(record)
    }
    for text in sorted(stale):
        print(f"{text}: in the table with parameters of an older version")
