"""Speed, as ratios to bare torch loops and to peers, as JSON and as a table.

All that is compared runs in turns, in one process and on one thread, after its values
and gradients have been checked; what is timed is the time of the CPU::

    python -m benchmarks speed --cases R1 R3

A record is written as soon as it is there. A peer that is not installed is a row
without a ratio. ``--quick`` takes small sizes and writes only where it is told to.
"""

import argparse
import os
import subprocess
import sys
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from benchmarks.common import tables
from benchmarks.common.data import ROOT
from benchmarks.common.records import Command, held_megabytes, made_on
from benchmarks.speed import cases

PACKAGES = ("torch", "scikit-learn", "numpy")
PACKAGES += ("pytorch-metric-learning", "faiss-cpu", "clustpy")
SHORTEST = 0.05  # seconds that a repetition lasts at least: shorter runs are repeated
MAX_MEGABYTES = 100

CASES = {
    # How each comparison is built, for which n, and for which n to be quick.
    "R1": [(cases.pairs_of_factor, (4_096, 16_384), 1_024)],
    "R2": [(cases.pairs_of_labels, (4_096, 8_192), 1_024)],
    "R3": [(cases.pairs_of_neighbors, (4_096, 16_384), 1_024)],
    "R4": [
        (partial(cases.soft_assignment, kind), (256, 16_384), 256)
        for kind in ("student_t", "gaussian")
    ],
    "R5": [
        (partial(cases.neighbor_search, metric), (10_000,), 1_000)
        for metric in ("cosine", "euclidean")
    ],
    "R6": [(cases.self_expression, (10_000,), 1_000)],
    "R7": [
        (partial(function, encoder), (n,), 512)
        for function, n in ((cases.epoch, 2_560), (cases.prediction, 4_096))
        for encoder in cases.NAMES
    ],
    "R8": [(cases.whole_fit, (1_280,), 256)],
    "R9": [(cases.color_views, (256, 4_096), 256)],
}
# Of which case the memory is measured too, for which n, and for which to be quick.
MEMORY = {"R2": (16_384, 1_024)}

# ------------------------------------------------------------------------- measuring


def measure(comparison, repetitions):
    """Return the CPU seconds of each side; nothing is timed before all are right."""
    sides = [side for side in (comparison.ours, *comparison.peers) if side.run]
    for side in sides:
        result = side.run()
        if side.check is not None:
            side.check(result)
    n_calls = {
        side.name: max(1, round(SHORTEST / max(seconds_of(side.run), 1e-6)))
        for side in sides
    }
    seconds = {side.name: [] for side in sides}
    for repetition in range(repetitions):
        # Every second time backwards, so that no side always has the same before it.
        for side in sides if repetition % 2 == 0 else reversed(sides):
            seconds[side.name].append(seconds_of(side.run, n_calls[side.name]))
    return seconds


def seconds_of(run, n_calls=1):
    start = time.process_time()
    for _ in range(n_calls):
        run()
    return (time.process_time() - start) / n_calls


def records_of(case, n, comparison, seconds):
    """Return a record for each peer, without seconds of its own where it is missing."""
    return [
        {
            "case": case,
            "task": comparison.task,
            "n": n,
            "peer": peer.name,
            "missing": peer.missing,
            "at_most": peer.at_most,
            "seconds": seconds[comparison.ours.name],
            "peer_seconds": seconds.get(peer.name, []),
            **made_on(PACKAGES),
        }
        for peer in comparison.peers
    ]


def memory_record(case, n):
    """Measure, in a fresh process, what pair_contrastive takes for itself."""
    command = [sys.executable, "-m", "benchmarks", "speed", "--memory", str(n)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command,
        env=environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return {
        "case": case,
        "task": "pair_contrastive, peak MB",
        "n": n,
        "peer": "",
        "at_most": MAX_MEGABYTES,
        "megabytes": float(done.stdout.split()[-1]),
        **made_on(PACKAGES),
    }


def extra_megabytes(n):
    """Return by how much `pair_contrastive` raises the peak of this process."""
    cases.pairs_of_factor(1_024).ours.run()  # what the first call loads is not counted
    run = cases.pairs_of_factor(n).ours.run
    before = held_megabytes("VmRSS")
    run()
    # Not getrusage: its peak starts from that of the process that started this one.
    return held_megabytes("VmHWM") - before


# --------------------------------------------------------------------------- table


def make_table(records):
    """Return the table, as lines of reStructuredText."""
    header = ["", "What", "n", "Against", "Seconds", "Its seconds", "Ratio", "At most"]
    return [
        *(f"* {text}" for text in dict.fromkeys(map(tables.host, records))),
        "",
        *tables.csv_table(
            "CPU seconds, and ours divided by the other's: medians (quartiles)",
            header,
            [row(record) for record in records],
        ),
    ]


def row(record):
    """Return the cells of one record; those that a missing peer leaves are empty."""
    at_most = "" if record["at_most"] is None else f"{record['at_most']:g}"
    start = (record["case"], record["task"], f"{record['n']:,}")
    if "megabytes" in record:
        return (*start, "", "", "", f"{record['megabytes']:.0f} MB", f"{at_most} MB")
    ours, other = np.array(record["seconds"]), np.array(record["peer_seconds"])
    if record["missing"]:
        name = f"{record['peer']}: {record['missing']}"
        return (*start, name, quartiles(ours), "", "", at_most)
    # In turns: what slows the machine for a while slows both.
    ratio = quartiles(ours / other)
    return (*start, record["peer"], quartiles(ours), quartiles(other), ratio, at_most)


def quartiles(values):
    low, middle, high = np.percentile(values, [25, 50, 75])
    return f"{middle:.3g} ({low:.3g}-{high:.3g})"


# ---------------------------------------------------------------------- the command


def order(record):
    return [*CASES].index(record["case"]), "megabytes" in record


COMMAND = Command("speed", __doc__, ("case", "task", "n", "peer"), make_table, order)


def run_all(options):
    """Run whatever is asked for."""

    def done(records):
        for record in records:
            print(" | ".join(filter(None, row(record))), flush=True)
        if options.results is not None:
            COMMAND.put(options, records)

    for case in options.cases:
        for build, sizes, quick in CASES[case]:
            for n in [quick] if options.quick else sizes:
                comparison = build(n)
                seconds = measure(comparison, options.repetitions)
                done(records_of(case, n, comparison, seconds))
        if case in MEMORY and Path("/proc/self/status").is_file():
            done([memory_record(case, MEMORY[case][options.quick])])


def main(arguments=None):
    parser = COMMAND.parser()
    parser.add_argument("--cases", nargs="+", choices=CASES, default=[*CASES])
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="take small sizes")
    parser.add_argument("--memory", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.quick:
        for name in ("results", "table"):
            if getattr(options, name) == parser.get_default(name):
                setattr(options, name, None)
    with threadpool_limits(1), warnings.catch_warnings():
        # Networks that are hardly trained leave clusters empty.
        warnings.simplefilter("ignore", ConvergenceWarning)
        torch.set_num_threads(1)
        if options.memory:
            print(extra_megabytes(options.memory))
            return
        if not options.table_only:
            print(tables.host(made_on(PACKAGES)), flush=True)
            run_all(options)
    if options.table is not None:
        COMMAND.write(options)
