"""Quality of the clusters: data set x method x seed, as JSON and as a table.

``make bench-quality`` runs what is not yet in ``benchmarks/results/quality.json`` and
writes the tables of the documentation. Some of it, or one table of the thesis::

    python benchmarks/quality.py --datasets digits --methods kmeans ours --seeds 0 1 2
    python benchmarks/quality.py --table 3.2

A record is written as soon as it is there, so an interrupted run goes on where it
stopped. A record counts as present when its data set, method and seed are the same and
the estimator's parameters have not changed since; ``--force`` runs it again.
"""

import argparse
from pathlib import Path

import torch
from datasets import LOADERS, ROOT, load_dataset
from methods import METHODS
from records import (
    add_record,
    is_current,
    is_present,
    key,
    read_records,
    run_record,
    why_not,
    write_atomically,
)
from tables import make_tables
from thesis import TABLES, make_thesis_tables
from threadpoolctl import threadpool_limits

RESULTS = ROOT / "benchmarks" / "results" / "quality.json"
OUTPUT = ROOT / "doc" / "_generated" / "quality.rst"

# ---------------------------------------------------------------------- the command


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--datasets", nargs="+", choices=LOADERS, help="default: all")
    parser.add_argument("--methods", nargs="+", choices=METHODS, help="default: all")
    parser.add_argument(
        "--table", choices=TABLES, help="a table of the thesis: run it, and print it"
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--held-out",
        action="store_true",
        help="also fit both estimators on four fifths and predict the rest",
    )
    parser.add_argument("--force", action="store_true", help="run what is there again")
    parser.add_argument(
        "--table-only", action="store_true", help="write the tables and run nothing"
    )
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--output", type=Path, default=OUTPUT, help="of the tables")
    options = parser.parse_args(arguments)
    if options.table:
        options.datasets = options.datasets or TABLES[options.table].datasets
        options.methods = options.methods or [*TABLES[options.table].methods]
    options.datasets = options.datasets or [*LOADERS]
    options.methods = options.methods or [
        name for name, method in METHODS.items() if not method.held_out
    ]
    if options.held_out:
        held_out = [name for name, method in METHODS.items() if method.held_out]
        options.methods = [*dict.fromkeys([*options.methods, *held_out])]
    return options


def run_all(options):
    """Run whatever is asked for and not there."""
    for name in options.datasets:
        try:
            data = load_dataset(name)
        except FileNotFoundError as error:
            print(f"{name}: skipped, {error}", flush=True)
            continue
        for method_name in options.methods:
            reason = why_not(data, METHODS[method_name])
            if reason:
                print(f"{name} {method_name}: skipped, {reason}", flush=True)
                continue
            for seed in options.seeds:
                records = read_records(options.results)
                if not options.force and is_present(records, (name, method_name, seed)):
                    continue
                # For each fit anew: what one imports may set the threads of all.
                torch.set_num_threads(options.threads)
                with threadpool_limits(options.threads):
                    record = run_record(data, method_name, seed)
                add_record(options.results, record)
                held_out = record.get("acc_held_out")
                print(
                    f"{name} {method_name} seed {seed}: ACC {record['acc']:.3f} "
                    f"NMI {record['nmi']:.3f} ARI {record['ari']:.3f} "
                    + (f"held out {held_out:.3f} " if held_out is not None else "")
                    + f"{record['seconds']:.1f} s",
                    flush=True,
                )


def main(arguments=None):
    options = parse_arguments(arguments)
    if not options.table_only:
        run_all(options)
    records = read_records(options.results)
    write_atomically(options.output, make_tables(records))
    thesis = make_thesis_tables(records)
    write_atomically(options.output.with_name("thesis.rst"), thesis)
    if options.table:
        print(make_thesis_tables(records, [options.table]))
    stale = {key(record)[:2] for record in records if not is_current(record)}
    for name, method_name in sorted(stale):
        print(f"{name} {method_name}: in the table with parameters of an older version")


if __name__ == "__main__":
    main()
