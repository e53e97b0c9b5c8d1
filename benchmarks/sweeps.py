"""Sweeps of figures 3.2-3.5 and 4.2-4.4 of the thesis: one parameter at a time.

The others stay at their defaults. ACC and NMI of each value, over some seeds, go to
``benchmarks/results/sweeps.json``, a table and one picture for each parameter::

    python benchmarks/sweeps.py --datasets digits --seeds 0 1 2

"ours" gives figures 3.2-3.5, "graph" 4.2-4.4. The fit in which everything is at its
default is the same in all sweeps of an estimator and is run once.
A record is written as soon as it is there, and counts as present as long as the
estimator's parameters have not changed since; ``--force`` runs it again.
"""

import argparse
import importlib.util
import statistics
from itertools import product

import torch
from datasets import LOADERS, ROOT, load_dataset
from methods import METHODS
from records import (
    add_options,
    agree,
    describe,
    read_records,
    run_record,
    write_atomically,
    write_records,
)
from tables import COLUMNS, cells, csv_table, letters, setting
from threadpoolctl import threadpool_limits

RESULTS = ROOT / "benchmarks" / "results" / "sweeps.json"
TABLE = ROOT / "doc" / "_generated" / "sweeps.rst"
SWEEPS = {
    "ours": {
        "consistency_weight": [0.1, 0.3, 0.5, 0.7, 1.0],
        "center_update_interval": [2, 5, 10],
        "pair_update_interval": [1, 2, 5, 10],
        "temperature": [0.1, 0.5, 1.0],
    },
    "graph": {
        "n_neighbors": [5, 10, 15, 20],
        "instance_temperature": [0.1, 0.5, 1.0],
        "cluster_temperature": [0.1, 0.5, 1.0],
    },
}

# ------------------------------------------------------------------------ records


def overrides_of(method, parameter, value):
    """Return what differs from the defaults; nothing where `value` is the default."""
    default = METHODS[method].estimator(2, 0).get_params(deep=False)[parameter]
    return {} if value == default else {parameter: value}


def points(method, parameters=None):
    """Return the overrides of every fit of an estimator's sweeps, each once."""
    found = []
    for parameter, values in SWEEPS[method].items():
        for value in values if parameters is None or parameter in parameters else ():
            overrides = overrides_of(method, parameter, value)
            if overrides not in found:
                found.append(overrides)
    return found


def key(record):
    """Return what tells records apart."""
    overrides = tuple(record["overrides"].items())
    return record["dataset"], record["method"], overrides, record["seed"]


def is_current(record, base=None):
    """Say whether a record was made with the parameters that its point has today."""
    estimator = METHODS[record["method"]].estimator(
        record["n_clusters"], 0, {**(base or {}), **record["overrides"]}
    )
    return agree(record["parameters"], describe(estimator))


def is_present(records, wanted, base=None):
    """Say whether a current record with the key `wanted` is there."""
    return any(key(record) == wanted and is_current(record, base) for record in records)


def add_record(path, record):
    """Put a record into the file, in the place of older ones that it supersedes.

    As in the quality benchmark, those are of the same key, or of the same point but
    with other parameters. The file is read again first.
    """
    others = [
        old
        for old in read_records(path)
        if key(old)[:-1] != key(record)[:-1]
        or (key(old) != key(record) and agree(old["parameters"], record["parameters"]))
    ]
    # Sorting is stable: within a data set and a seed, this order stays.
    write_records(path, sorted([*others, record], key=_order))


def _order(record):
    known = [*SWEEPS[record["method"]]]
    return [(known.index(name), v) for name, v in record["overrides"].items()]


def select(records, dataset, method, parameter):
    """Return the records of one sweep: by value, those of all seeds."""
    by_value = {
        value: [
            record
            for record in records
            if (record["dataset"], record["method"]) == (dataset, method)
            and record["overrides"] == overrides_of(method, parameter, value)
        ]
        for value in SWEEPS[method][parameter]
    }
    return {value: runs for value, runs in by_value.items() if runs}


def datasets_of(records):
    """Return the names of the data sets that have records, in the usual order."""
    return [name for name in LOADERS if any(r["dataset"] == name for r in records)]


# ------------------------------------------------------------- tables and pictures


def make_tables(records, pictures=()):
    """Return the tables, as reStructuredText, and after them the pictures."""
    if not records:
        return ""
    lines = [
        ".. Written by benchmarks/sweeps.py; do not edit.",
        "",
        "Mean ± standard deviation over the seeds, the worst ACC among them, and the "
        "median",
        "CPU seconds of a fit. The defaults, marked \\*, are one and the same fit in "
        "all sweeps",
        "of an estimator.",
        "",
        *setting(records),
    ]
    machines = letters(records)
    for dataset, method in product(datasets_of(records), SWEEPS):
        rows = []
        for parameter in SWEEPS[method]:
            for value, runs in select(records, dataset, method, parameter).items():
                # A lone asterisk would start emphasis.
                mark = "" if overrides_of(method, parameter, value) else " \\*"
                rows.append(
                    (f"``{parameter}``", f"{value}{mark}", *cells(runs, machines))
                )
        if rows:
            lines += csv_table(
                f"{dataset}, {METHODS[method].label}: one parameter at a time",
                ["Parameter", "Value", *COLUMNS],
                rows,
            )
    for path in pictures:
        parameter = path.stem.removeprefix("sweep_")
        lines += [
            # From the root of the documentation, whatever page includes this.
            f".. image:: /_generated/{path.name}",
            f"   :alt: ACC and NMI against {parameter}",
            "",
        ]
    return "\n".join(lines)


def draw(records, folder):
    """Draw ACC and NMI against each parameter; return the paths of the pictures."""
    if importlib.util.find_spec("matplotlib") is None:
        return []
    paths = []
    for method, parameter in [(m, p) for m in SWEEPS for p in SWEEPS[m]]:
        sweeps = {
            dataset: by_value
            for dataset in datasets_of(records)
            # The default alone, which may come from another sweep, is no curve.
            if len(by_value := select(records, dataset, method, parameter)) > 1
        }
        if sweeps:
            paths.append(folder / f"sweep_{parameter}.png")
            _draw_sweep(parameter, sweeps, paths[-1])
    return paths


def _draw_sweep(parameter, sweeps, path):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(
        1,
        len(sweeps),
        figsize=(4.5 * len(sweeps), 3.5),
        squeeze=False,
        layout="constrained",
    )
    for ax, (dataset, by_value) in zip(axes[0], sweeps.items(), strict=True):
        # Two colours of Okabe and Ito, which colour-blind readers can tell apart.
        for score, color, marker in (("acc", "#0072B2", "o"), ("nmi", "#D55E00", "s")):
            scores = [[run[score] for run in runs] for runs in by_value.values()]
            ax.errorbar(
                list(by_value),
                [statistics.mean(values) for values in scores],
                [statistics.stdev(v) if len(v) > 1 else 0.0 for v in scores],
                color=color,
                marker=marker,
                capsize=3,
                label=score.upper(),
            )
        ax.set(title=dataset, xlabel=parameter, ylabel="mean ± standard deviation")
        ax.set_xticks(list(by_value))
        ax.legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)


# ---------------------------------------------------------------------- the command


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--datasets", nargs="+", choices=LOADERS, default=["digits"])
    parser.add_argument("--methods", nargs="+", choices=SWEEPS, default=[*SWEEPS])
    parser.add_argument(
        "--parameters",
        nargs="+",
        choices=sorted({name for sweep in SWEEPS.values() for name in sweep}),
        help="sweep these alone",
    )
    add_options(parser, [0, 1, 2], RESULTS, TABLE)
    return parser.parse_args(arguments)


def run_all(options, load=load_dataset, base=None):
    """Run whatever is asked for and not there."""
    for name in options.datasets:
        try:
            data = load(name)
        except FileNotFoundError as error:
            print(f"{name}: skipped, {error}", flush=True)
            continue
        wanted = [
            (method, overrides)
            for method in options.methods
            for overrides in points(method, options.parameters)
        ]
        for method, overrides in wanted:
            for seed in options.seeds:
                this = (name, method, tuple(overrides.items()), seed)
                records = read_records(options.results)
                if not options.force and is_present(records, this, base):
                    continue
                record = run_record(data, method, seed, {**(base or {}), **overrides})
                record["overrides"] = overrides
                add_record(options.results, record)
                print(
                    f"{name} {method} {overrides or 'defaults'} seed {seed}: "
                    f"ACC {record['acc']:.3f} NMI {record['nmi']:.3f} "
                    f"{record['seconds']:.1f} s",
                    flush=True,
                )


def main(arguments=None, *, load=load_dataset, base=None):
    """Run the command; `load` and `base`, other defaults, are for quick trials."""
    options = parse_arguments(arguments)
    if not options.table_only:
        torch.set_num_threads(options.threads)
        with threadpool_limits(options.threads):
            run_all(options, load, base)
    records = read_records(options.results)
    pictures = draw(records, options.table.parent)
    write_atomically(options.table, make_tables(records, pictures))
    stale = {key(record)[:-1] for record in records if not is_current(record, base)}
    for name, method, overrides in sorted(stale):
        point = dict(overrides) or "defaults"
        print(f"{name} {method} {point}: with parameters of an older version")


if __name__ == "__main__":
    main()
