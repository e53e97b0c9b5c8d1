"""What each stage is worth: the labels of a fit after every stage, as JSON and a table.

Each estimator is fitted by its defaults, and again without what trains between the
first clusters and the last. A callback looks at both fits at the end of every stage::

    python -m benchmarks stages --datasets digits penbased --seeds 0 1 2

Seconds are those of the CPU until then, without what looking costs. A record is written
as soon as it is there, and counts as present as long as the estimator's parameters have
not changed since; ``--force`` runs it again.
"""

import time
from itertools import product

import numpy as np

from benchmarks.common import tables
from benchmarks.common.data import TABLES
from benchmarks.common.methods import METHODS
from benchmarks.common.records import Fits, describe, made_on, place, scores

IMAGES = ("digits", "digits_uneven", "digits_uneven_1", "digits_uneven_2", "coil20")
IMAGES += ("mnist_uneven", "mnist_10k", "fashion_10k", "cifar10_features")
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
    "ours": [*SHORT["ours"].values(), *WHOLE["ours"].values()],
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


def run_records(data, point, seed):
    """Yield a record for each row of the table."""
    method, given, found = point["method"], made_on(), {}
    # What is imported and compiled at the first fit counts for none.
    rows = np.random.default_rng(0).normal(size=(30, 2)).astype(np.float32)
    METHODS[method].estimator(2, 0).fit(rows)
    for overrides, names in ((WITHOUT[method], SHORT[method]), ({}, WHOLE[method])):
        seen = look(data, method, seed, overrides)
        found |= {name: seen[stage] for stage, name in names.items()}
    parameters = describe(METHODS[method].estimator(data.n_clusters, seed))
    for after in ROWS[method]:
        labels, seconds = found[after]
        yield {
            "after": after,
            **scores(data.y, labels),
            "seconds": round(seconds, 2),
            "n_clusters": data.n_clusters,
            "n_clusters_found": len(np.unique(labels)),
            "parameters": parameters,
            **given,
        }


# ------------------------------------------------------------------------- the table


def make_tables(records):
    """Return the tables, as lines of reStructuredText."""
    lines = [
        "Mean ± standard deviation over the seeds of the labels that the head gives "
        "after each",
        'stage, and the median CPU seconds until then. "First, refined" leaves out '
        "what trains",
        "between the first clusters and the last.",
        "",
        *tables.setting(records),
    ]
    marks = tables.letters(records)
    found = tables.grouped(records, "method", "after", "dataset")
    for method, names in ROWS.items():
        rows = []
        for kind, known in (("images", IMAGES), ("tables", TABLES)):
            measured = [
                name
                for name in known
                if all((method, after, name) in found for after in names)
            ]
            for after in names if measured else ():
                groups = [found[method, after, name] for name in measured]
                numbers = tables.means(groups, 1)
                rows.append((f"{len(measured)} {kind}", after, *numbers))
        lines += tables.csv_table(
            f"{METHODS[method].label}: means over data sets, geometric for the seconds",
            ["Data sets", "After", "ACC", "NMI", "ARI", "Seconds"],
            rows,
        )
    for method, names in ROWS.items():
        rows = []
        for name, after in product((*IMAGES, *TABLES), names):
            if runs := found.get((method, after, name)):
                numbers = [
                    tables.spread([run[score] for run in runs])
                    for score in tables.SCORES
                ]
                seconds = tables.duration(runs, marks)
                rows.append((name, after, str(len(runs)), *numbers, seconds))
        lines += tables.csv_table(
            f"{METHODS[method].label}: every data set",
            ["Data set", "After", "Seeds", "ACC", "NMI", "ARI", "Seconds"],
            rows,
        )
    return lines


COMMAND = Fits(
    "stages",
    __doc__,
    ("dataset", "method", "after", "seed"),
    make_tables,
    place,
    run_records,
    datasets=(*IMAGES, *TABLES),
    methods=(*WHOLE,),
)
