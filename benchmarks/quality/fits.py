"""Quality of the clusters: data set x method x seed, as JSON and as tables.

``make bench-quality`` runs what is not yet in ``benchmarks/results/quality.json`` and
writes the tables of the documentation. Some of it, or one table of the thesis::

    python -m benchmarks quality --datasets digits --methods kmeans ours --seeds 0 1 2
    python -m benchmarks quality --thesis 3.2

A record is written as soon as it is there, so an interrupted run continues where it
stopped. A record counts as present when its data set, method and seed are the same and
the estimator's parameters have not changed since; ``--force`` runs it again.
"""

import time

import numpy as np

from benchmarks.common import tables
from benchmarks.common.data import TABLES
from benchmarks.common.methods import METHODS
from benchmarks.common.records import (
    Command,
    Fits,
    NotRun,
    describe,
    forget_peak,
    held_megabytes,
    made_on,
    place,
    print_stale,
    scores,
)
from benchmarks.quality import thesis
from skdeepclust.metrics import clustering_accuracy

# --------------------------------------------------------------------------- records


def run_record(data, point, seed):
    """Fit one method once; return the record.

    Seconds are those of the CPU, for the fit alone; megabytes are the most that the
    process held at once, libraries and data included.
    """
    method = METHODS[point["method"]]
    if reason := method.why_not(data):
        raise NotRun(reason)
    n_samples, rest = len(data.y), None
    if method.held_out:
        data, rest = split(data, seed)
    estimator = method.estimator(data.n_clusters, seed, point.get("overrides"))
    # Before it is fitted, for what a method imports may set the threads anew.
    parameters, given = describe(estimator), made_on()
    forget_peak()
    start = time.process_time()
    labels = method.fit(data, estimator, seed)
    seconds = time.process_time() - start
    peak = held_megabytes("VmHWM")
    record = {
        **scores(data.y, labels),
        "seconds": round(seconds, 2),
        "megabytes": None if peak is None else round(peak),
        "n_samples": n_samples,
        "shape": list(data.X.shape[1:]),
        "n_clusters": data.n_clusters,
        "n_clusters_found": len(np.unique(labels)),
        "parameters": parameters,
        **given,
    }
    if rest is not None:
        accuracy = clustering_accuracy(rest.y, estimator.predict(rest.X))
        record["acc_held_out"] = round(accuracy, 4)
    return [record]


def split(data, seed):
    """Draw four fifths to fit on, and the fifth that is held out; no labels used."""
    order = np.random.default_rng(seed).permutation(len(data.y))
    n_held_out = len(order) // 5
    return data.part(order[n_held_out:]), data.part(order[:n_held_out])


# ---------------------------------------------------------------------------- tables


def make_tables(records):
    """Return the tables, as lines of reStructuredText."""
    by_set = {
        name: tables.grouped(runs, "method")
        for name, runs in tables.grouped(records, "dataset").items()
    }
    marks = tables.letters(records)
    return [
        "Mean ± standard deviation over the seeds, the worst ACC among them, and the "
        "median",
        "CPU seconds of a fit. MB is the most memory that the process held during a "
        "fit, its libraries",
        "and data included; older records lack it. Baselines that learn an embedding "
        "have our",
        'network, and as many steps as stage 0 of "graph".',
        "",
        *tables.setting(records),
        *_mean_table(by_set),
        *_quality_tables(by_set, marks),
        *_ablation_table(by_set, marks),
        *_held_out_table(by_set),
    ]


def _quality_tables(by_set, marks):
    for name, by_method in by_set.items():
        rows = [
            (METHODS[method].label, runs)
            for method, runs in by_method.items()
            if not (METHODS[method].ablation or METHODS[method].held_out)
        ]
        if rows:
            first = rows[0][1][0]
            shape = " x ".join(map(str, first["shape"]))
            yield from tables.csv_table(
                f"{name}: {first['n_samples']:,} samples of {shape}, "
                f"{first['n_clusters']} clusters",
                ["Method", *tables.COLUMNS],
                [(label, *tables.cells(runs, marks)) for label, runs in rows],
            )


def _mean_table(by_set):
    """Yield the means over the tables, of the methods that are measured on all."""
    twelve = [by_set[name] for name in TABLES if name in by_set]
    if len(twelve) < len(TABLES):
        return
    yield from tables.csv_table(
        "Means over the twelve tables and embeddings, geometric for the seconds",
        ["Method", "ACC", "NMI", "ARI", "Seconds"],
        [
            (METHODS[method].label, *tables.means([runs[method] for runs in twelve], 2))
            for method in twelve[0]
            if not METHODS[method].ablation and all(method in runs for runs in twelve)
        ],
    )


def _ablation_table(by_set, marks):
    rows = [
        (name, METHODS[method].label, *tables.cells(runs, marks))
        for name, by_method in by_set.items()
        if any(METHODS[method].ablation for method in by_method)
        for method, runs in by_method.items()
        if METHODS[method].ablation or method in ("ours", "graph")
    ]
    if not rows:
        return
    yield from [
        "The ablations of the tables 3.4 and 4.5 of the thesis. "
        '"Center loss alone" and',
        '"center loss + view consistency" start from our pretraining '
        "and have in stage 1",
        "just these terms of eq. 3.5;",
        "neither NT-Xent nor the reconstruction takes part after it.",
        "",
    ]
    yield from tables.csv_table(
        "Ablation", ["Data set", "Method", *tables.COLUMNS], rows
    )


def _held_out_table(by_set):
    rows = []
    for name, by_method in by_set.items():
        for method, runs in by_method.items():
            if METHODS[method].held_out:
                held_out = [run["acc_held_out"] for run in runs]
                rows.append(
                    (
                        name,
                        METHODS[method].label.partition(",")[0],
                        str(len(runs)),
                        tables.spread([run["acc"] for run in runs]),
                        tables.spread(held_out),
                        f"{min(held_out):.3f}",
                    )
                )
    if not rows:
        return
    yield from [
        "Fitted on four fifths of the samples, and ``predict`` on the fifth that "
        "was held out.",
        "",
    ]
    yield from tables.csv_table(
        "Held-out samples",
        ["Data set", "Method", "Seeds", "ACC fitted", "ACC held out", "Worst held out"],
        rows,
    )


# ----------------------------------------------------------------------- the command

HELD_OUT = [name for name, method in METHODS.items() if method.held_out]
KEY = ("dataset", "method", "seed")
COMMAND = Fits("quality", __doc__, KEY, make_tables, place, run_record)
THESIS = Command("quality", __doc__, KEY, thesis.make_tables)


def main(arguments=None):
    parser = COMMAND.parser()
    parser.add_argument(
        "--thesis", choices=thesis.TABLES, help="a table of the thesis: run, and print"
    )
    parser.add_argument(
        "--held-out",
        action="store_true",
        help="also fit both estimators on four fifths and predict the rest",
    )
    options = parser.parse_args(arguments)
    if options.thesis:
        table = thesis.TABLES[options.thesis]
        options.datasets = options.datasets or table.datasets
        options.methods = options.methods or table.methods
    options.methods = options.methods or [n for n in METHODS if n not in HELD_OUT]
    if options.held_out:
        options.methods = dict.fromkeys([*options.methods, *HELD_OUT])
    if not options.table_only:
        COMMAND.run(options)
    records = COMMAND.write(options)
    options.table = options.table.with_name("thesis.rst")
    THESIS.write(options)
    if options.thesis:
        print(*thesis.make_tables(records, [options.thesis]), sep="\n")
    print_stale(records)
