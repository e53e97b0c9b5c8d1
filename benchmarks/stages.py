"""What each stage is worth: the labels of a fit after every stage, as JSON and a table.

Each estimator is fitted by its defaults, and again without what trains between the
first clusters and the last. A callback looks at both fits at the end of every stage::

    python benchmarks/stages.py --datasets digits penbased --seeds 0 1 2

Seconds are those of the CPU until then, without what looking costs. A record is written
as soon as it is there, and counts as present as long as the estimator's parameters have
not changed since; ``--force`` runs it again.
"""

import argparse
import statistics
import time

import numpy as np
import torch
from datasets import LOADERS, ROOT, TABLES, load_dataset
from methods import METHODS
from records import (
    add_options,
    agree,
    describe,
    machine,
    put_record,
    read_records,
    scores,
    versions,
    write_atomically,
)
from tables import csv_table, duration, letters, setting, spread
from threadpoolctl import threadpool_limits

RESULTS = ROOT / "benchmarks" / "results" / "stages.json"
TABLE = ROOT / "doc" / "_generated" / "stages.rst"
KEY = ("dataset", "method", "after", "seed")
IMAGES = ("digits", "digits_uneven", "digits_uneven_1", "digits_uneven_2", "coil20")
IMAGES += ("mnist_uneven", "mnist_10k", "fashion_10k", "cifar10_features")
DATASETS = (*IMAGES, *TABLES)
# For each estimator: what leaves out the stages between; then, of both fits, the stages
# after which to look and what they are called in the table.
WITHOUT = {
    "ours": {"center_epochs": 0, "contrastive_epochs": 0},
    "graph": {"joint_epochs": 0},
}
SHORT = {
    "ours": {"head": "first clusters", "final_head": "first, refined"},
    "graph": {"final_head": "first, refined"},
}
WHOLE = {
    "ours": {
        "head": "+ stage 1",
        "contrastive": "+ stage 2",
        "final_head": "+ refinement",
    },
    "graph": {
        "head": "first clusters",
        "joint": "+ joint training",
        "final_head": "+ refinement",
    },
}
ROWS = {
    "ours": [
        *("first clusters", "first, refined"),
        *("+ stage 1", "+ stage 2", "+ refinement"),
    ],
    "graph": ["first clusters", "first, refined", "+ joint training", "+ refinement"],
}

# ------------------------------------------------------------------ what is looked at


class Clock:
    """Reads the CPU's time before `Look` lets a fitted estimator be built."""

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        self.now = time.process_time()


class Look(Clock):
    """Keeps labels and seconds at the end of the last epoch of every stage."""

    def __init__(self, clock):
        self.clock = clock
        self.seen = {}
        self.lost = 0.0
        self.on_fit_task_end = self._pass_by
        self.start = time.process_time()

    def on_fit_task_begin(self, estimator, context):
        last = (
            context.task_name == "epoch"
            and context.task_id + 1 == context.parent.max_subtasks
        )
        # The estimator is built only for a hook that names it.
        self.on_fit_task_end = self._keep if last else self._pass_by

    def _pass_by(self, estimator, context):
        return False

    def _keep(self, estimator, context, *, fitted_estimator):
        seconds = self.clock.now - self.start - self.lost
        self.seen[context.parent.task_name] = fitted_estimator.labels_, seconds
        self.on_fit_task_end = self._pass_by
        self.lost += time.process_time() - self.clock.now
        return False


def look(data, method, seed, overrides):
    """Return labels and seconds by stage."""
    clock = Clock()
    watch = Look(clock)
    estimator = METHODS[method].estimator(data.n_clusters, seed, overrides)
    estimator.set_callbacks(clock, watch).fit(data.X)
    return watch.seen


def run_records(data, method, seed):
    """Return a record for each row of the table."""
    found = {}
    for overrides, names in ((WITHOUT[method], SHORT[method]), ({}, WHOLE[method])):
        seen = look(data, method, seed, overrides)
        found |= {name: seen[stage] for stage, name in names.items()}
    estimator = METHODS[method].estimator(data.n_clusters, seed)
    for after in ROWS[method]:
        labels, seconds = found[after]
        yield {
            "dataset": data.name,
            "method": method,
            "after": after,
            "seed": seed,
            **scores(data.y, labels),
            "seconds": round(seconds, 2),
            "n_clusters": data.n_clusters,
            "n_clusters_found": len(np.unique(labels)),
            "parameters": describe(estimator),
            "torch_threads": torch.get_num_threads(),
            "machine": machine(),
            "versions": versions(),
        }


def is_current(record):
    """Say whether a record was made with today's defaults."""
    estimator = METHODS[record["method"]].estimator(record["n_clusters"], 0)
    return agree(record["parameters"], describe(estimator))


# ------------------------------------------------------------------------- the table


def make_tables(records):
    """Return the tables, as reStructuredText."""
    if not records:
        return ""
    lines = [
        ".. Written by benchmarks/stages.py; do not edit.",
        "",
        "Mean ± standard deviation over the seeds of the labels that the head gives "
        "after each",
        'stage, and the median CPU seconds until then. "First, refined" leaves out '
        "what trains",
        "between the first clusters and the last.",
        "",
        *setting(records),
    ]
    for method, names in ROWS.items():
        lines += _means(records, method, names)
    for method, names in ROWS.items():
        rows = []
        for name in DATASETS:
            for after in names:
                runs = _select(records, method, after, [name])
                if runs:
                    quality = [
                        spread([run[score] for run in runs])
                        for score in ("acc", "nmi", "ari")
                    ]
                    seconds = duration(runs, letters(records))
                    rows.append((name, after, str(len(runs)), *quality, seconds))
        lines += csv_table(
            f"{METHODS[method].label}: every data set",
            ["Data set", "After", "Seeds", "ACC", "NMI", "ARI", "Seconds"],
            rows,
        )
    return "\n".join(lines)


def _means(records, method, names):
    rows = []
    for kind, known in (("images", IMAGES), ("tables", TABLES)):
        measured = [
            name
            for name in known
            if all(_select(records, method, after, [name]) for after in names)
        ]
        for after in names if measured else ():
            by_set = [_select(records, method, after, [name]) for name in measured]
            means = [
                statistics.mean(
                    statistics.mean(r[score] for r in runs) for runs in by_set
                )
                for score in ("acc", "nmi", "ari")
            ]
            seconds = statistics.geometric_mean(
                statistics.median(r["seconds"] for r in runs) for runs in by_set
            )
            cells = [f"{mean:.3f}" for mean in means]
            rows.append((f"{len(measured)} {kind}", after, *cells, f"{seconds:.1f}"))
    yield from csv_table(
        f"{METHODS[method].label}: means over data sets, geometric for the seconds",
        ["Data sets", "After", "ACC", "NMI", "ARI", "Seconds"],
        rows,
    )


def _select(records, method, after, datasets):
    return [
        record
        for record in records
        if (record["method"], record["after"]) == (method, after)
        and record["dataset"] in datasets
    ]


# ----------------------------------------------------------------------- the command


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--datasets", nargs="+", choices=LOADERS, default=DATASETS)
    parser.add_argument("--methods", nargs="+", choices=WHOLE, default=[*WHOLE])
    add_options(parser, [0, 1, 2], RESULTS, TABLE)
    return parser.parse_args(arguments)


def run_all(options, load=load_dataset):
    """Run whatever is asked for and not there."""
    # What is imported and compiled at the first fit counts for none.
    rows = np.random.default_rng(0).normal(size=(30, 2)).astype(np.float32)
    for method in options.methods:
        METHODS[method].estimator(2, 0).fit(rows)
    for name in options.datasets:
        try:
            data = load(name)
        except FileNotFoundError as error:
            print(f"{name}: skipped, {error}", flush=True)
            continue
        for method in options.methods:
            for seed in options.seeds:
                present = [
                    record["after"]
                    for record in read_records(options.results)
                    if (record["dataset"], record["method"], record["seed"])
                    == (name, method, seed)
                    and is_current(record)
                ]
                if not options.force and set(present) == set(ROWS[method]):
                    continue
                for record in run_records(data, method, seed):
                    put_record(options.results, record, KEY)
                    print(
                        f"{name} {method} seed {seed}, {record['after']}: "
                        f"ACC {record['acc']:.3f} NMI {record['nmi']:.3f} "
                        f"ARI {record['ari']:.3f} {record['seconds']:.1f} s",
                        flush=True,
                    )


def main(arguments=None, *, load=load_dataset):
    """Run the command; `load` is for quick trials."""
    options = parse_arguments(arguments)
    if not options.table_only:
        torch.set_num_threads(options.threads)
        with threadpool_limits(options.threads):
            run_all(options, load)
    write_atomically(options.table, make_tables(read_records(options.results)))


if __name__ == "__main__":
    main()
