"""Fits with other parameters: sweeps over one, and choices among several.

``sweeps`` varies one parameter at a time, as figures 3.2-3.5 ("ours") and 4.2-4.4
("graph") of the thesis do; the fit with the defaults is in all sweeps of an estimator
and is run once. ``selection`` fits some configurations of both estimators and compares
each criterion that needs no classes with ACC::

    python -m benchmarks sweeps --datasets digits --seeds 0 1 2
    python -m benchmarks selection --datasets digits --seeds 0 1

A record is written as soon as it is there, and counts as present as long as the
estimator's parameters have not changed since; ``--force`` makes it again.
"""

import importlib.util
import statistics
import time
import warnings

from scipy.stats import spearmanr
from sklearn.exceptions import ConvergenceWarning

from benchmarks.common import tables
from benchmarks.common.methods import METHODS
from benchmarks.common.records import (
    Fits,
    describe,
    made_on,
    place,
    print_stale,
    read_records,
)
from benchmarks.quality.fits import run_record
from skdeepclust.metrics import clustering_accuracy
from skdeepclust.model_selection import StabilityScorer, silhouette_scorer

KEY = ("dataset", "method", "overrides", "seed")
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
BOTH = [
    {"learning_rate": 3e-4},
    {"pretraining": "reconstruction"},
    {"pretrain_epochs": 5},
    # A factor of the true number.
    {"n_clusters": 0.7},
    {"n_clusters": 1.5},
]
CONFIGURATIONS = {
    "ours": [
        {},
        {"temperature": 0.1, "pretext_temperature": 0.1},
        {"temperature": 1.0, "pretext_temperature": 1.0},
        # The center loss counts twenty times as much.
        {"consistency_weight": 0.035, "pretext_weight": 0.05},
        {"contrastive_epochs": 0},
        *BOTH,
    ],
    "graph": [
        {},
        {"instance_temperature": 0.1},
        {"instance_temperature": 1.0},
        {"n_neighbors": 3},
        {"n_neighbors": 20},
        *BOTH,
    ],
}
CRITERIA = {
    "score": "``score``",
    "silhouette": "silhouette",
    "stability": "stability",
    "views": "of views",
    "refits": "of refits",
    "loss": "last loss",
}

# ---------------------------------------------------------------------------- sweeps


def overrides_of(method, parameter, value):
    """Return what differs from the defaults; nothing where `value` is the default."""
    default = METHODS[method].estimator(2, 0).get_params(deep=False)[parameter]
    return {} if value == default else {parameter: value}


def sweep_points(methods, parameters=None):
    """Return every fit of some estimators' sweeps, each once."""
    found = [
        {"method": method, "overrides": overrides_of(method, parameter, value)}
        for method in methods
        for parameter, values in SWEEPS[method].items()
        if parameters is None or parameter in parameters
        for value in values
    ]
    return [point for i, point in enumerate(found) if point not in found[:i]]


def sweep_order(record):
    """Sort the overrides as in the sweeps."""
    known = [*SWEEPS[record["method"]]]
    overrides = [(known.index(name), v) for name, v in record["overrides"].items()]
    return place(record), overrides


def select(records, method, parameter):
    """Return the records of one sweep: by value, those of all seeds."""
    by_value = {}
    for value in SWEEPS[method][parameter]:
        overrides = overrides_of(method, parameter, value)
        by_value[value] = [
            record
            for record in records
            if (record["method"], record["overrides"]) == (method, overrides)
        ]
    return {value: runs for value, runs in by_value.items() if runs}


def make_sweep_tables(records, pictures=()):
    """Return the tables, as lines of reStructuredText, and after them the pictures."""
    lines = [
        "Mean ± standard deviation over the seeds, the worst ACC among them, and the "
        "median",
        "CPU seconds of a fit. The defaults, marked \\*, are one and the same fit in "
        "all sweeps",
        "of an estimator.",
        "",
        *tables.setting(records),
    ]
    machines = tables.letters(records)
    for (dataset, method), runs in tables.grouped(records, "dataset", "method").items():
        rows = []
        for parameter in SWEEPS[method]:
            for value, some in select(runs, method, parameter).items():
                # A lone asterisk would start emphasis.
                mark = "" if overrides_of(method, parameter, value) else " \\*"
                found = tables.cells(some, machines)
                rows.append((f"``{parameter}``", f"{value}{mark}", *found))
        lines += tables.csv_table(
            f"{dataset}, {METHODS[method].label}: one parameter at a time",
            ["Parameter", "Value", *tables.COLUMNS],
            rows,
        )
    for path in pictures:
        lines += [
            # From the root of the documentation, whatever page includes this.
            f".. image:: /_generated/{path.name}",
            f"   :alt: ACC and NMI against {path.stem.removeprefix('sweep_')}",
            "",
        ]
    return lines


def draw(records, folder):
    """Draw ACC and NMI against each parameter; return the paths of the pictures."""
    if importlib.util.find_spec("matplotlib") is None:
        return []
    paths, by_set = [], tables.grouped(records, "dataset")
    for method, parameter in [(m, p) for m in SWEEPS for p in SWEEPS[m]]:
        sweeps = {
            dataset: by_value
            for dataset, runs in by_set.items()
            # The default alone, which may come from another sweep, is no curve.
            if len(by_value := select(runs, method, parameter)) > 1
        }
        if sweeps:
            paths.append(folder / f"sweep_{parameter}.png")
            with tables.picture(paths[-1], 1, len(sweeps), (4.5, 3.5)) as (axes,):
                for ax, (dataset, by_value) in zip(axes, sweeps.items(), strict=True):
                    _draw_sweep(ax, dataset, parameter, by_value)
    return paths


def _draw_sweep(ax, dataset, parameter, by_value):
    for score, color, marker in zip(("acc", "nmi"), tables.COLORS, "os", strict=False):
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


SWEEP = Fits(
    "sweeps",
    __doc__,
    KEY,
    make_sweep_tables,
    sweep_order,
    run_record,
    sweep_points,
    datasets=("digits",),
    methods=(*SWEEPS,),
)


def sweep(arguments=None):
    parser = SWEEP.parser()
    parser.add_argument(
        "--parameters",
        nargs="+",
        choices=sorted({name for sweeps in SWEEPS.values() for name in sweeps}),
        help="sweep these alone",
    )
    options = parser.parse_args(arguments)
    if not options.table_only:
        points = sweep_points(options.methods or SWEEPS, options.parameters)
        SWEEP.run(options, points)
    pictures = draw(read_records(options.results), options.table.parent)
    print_stale(SWEEP.write(options, pictures))


# -------------------------------------------------------------------------- selection


def selection_points(methods):
    """Return all that is to be recorded of a data set and a seed."""
    return [
        {"method": method, "overrides": overrides}
        for method in methods
        for overrides in CONFIGURATIONS[method]
    ]


def selection_order(record):
    """Sort as in the configurations; those that are no more come last."""
    known = selection_points(CONFIGURATIONS)
    point = {name: record[name] for name in known[0]}
    number = known.index(point) if point in known else len(known)
    return place(record)[0], number, record["seed"]


def judge(data, point, seed):
    """Fit, and return a record of ACC and each criterion; larger is better in all."""
    estimator = METHODS[point["method"]].estimator(
        data.n_clusters, seed, point["overrides"]
    )
    given, start = made_on(), time.process_time()
    with warnings.catch_warnings():
        # Some leave clusters empty, which is one of the things to be told apart.
        warnings.simplefilter("ignore", ConvergenceWarning)
        estimator.fit(data.X)
        views = StabilityScorer(n_refits=0)(estimator, data.X)
        refits = StabilityScorer(n_views=0)(estimator, data.X)
    criteria = {
        "score": estimator.score(data.X),
        "silhouette": silhouette_scorer(estimator, data.X),
        "stability": (views + refits) / 2,
        "views": views,
        "refits": refits,
        "loss": -estimator.history_[-1]["loss"],
    }
    record = {
        "acc": round(clustering_accuracy(data.y, estimator.labels_), 4),
        "criteria": {name: round(float(value), 5) for name, value in criteria.items()},
        "seconds": round(time.process_time() - start, 2),
        "n_clusters": data.n_clusters,
        "parameters": describe(estimator),
    }
    return [{**record, **given}]


def make_selection_tables(records):
    """Return the tables, as lines of reStructuredText."""
    correlations, choices = [], []
    for (dataset, method), group in tables.grouped(
        records, "dataset", "method"
    ).items():
        label = METHODS[method].label
        same = [r for r in group if "n_clusters" not in r["overrides"]]
        for name, some in (("any", group), ("the true", same)):
            size = max(map(len, tables.grouped(some, "seed").values()), default=0)
            if size > 2:
                found = [correlation(some, criterion) for criterion in CRITERIA]
                correlations.append((dataset, label, name, str(size), *found))
        default = [r for r in group if not r["overrides"]]
        found = [chosen(group, lambda r, c=c: r["criteria"][c]) for c in CRITERIA]
        best = chosen(group, lambda r: r["acc"])
        choices.append((dataset, label, chosen(default), *found, best))
    return [
        *tables.setting(records, seconds=False),
        "Spearman's rank correlation of each criterion with ACC, over configurations "
        "of any",
        "number of clusters, and over those with the true one: 1 if the criterion "
        "ranks as the",
        "labels do, 0 if it says nothing. Means over the seeds.",
        "",
        *tables.csv_table(
            "Rank correlation with ACC",
            ["Data set", "Estimator", "Clusters", "Fits", *CRITERIA.values()],
            correlations,
        ),
        "ACC of the configuration that each criterion ranks first.",
        "",
        *tables.csv_table(
            "ACC of what is chosen",
            ["Data set", "Estimator", "Default", *CRITERIA.values(), "Best"],
            choices,
        ),
    ]


def correlation(records, criterion):
    """Return the mean rank correlation with ACC over the seeds, as a cell."""
    found = []
    for some in tables.grouped(records, "seed").values():
        acc = [record["acc"] for record in some]
        values = [record["criteria"][criterion] for record in some]
        if len(set(acc)) > 1 and len(set(values)) > 1:
            found.append(float(spearmanr(acc, values).statistic))
    return f"{statistics.mean(found):.2f}" if found else "-"


def chosen(records, criterion=lambda record: 0):
    """Return the mean ACC of what a criterion chooses for each seed, as a cell."""
    by_seed = tables.grouped(records, "seed").values()
    found = [max(some, key=criterion)["acc"] for some in by_seed]
    return f"{statistics.mean(found):.3f}" if found else "-"


SELECTION = Fits(
    "selection",
    __doc__,
    KEY,
    make_selection_tables,
    selection_order,
    judge,
    selection_points,
    datasets=("digits", "digits_table", "cifar10_features"),
    methods=(*CONFIGURATIONS,),
    seeds=(0,),
)
