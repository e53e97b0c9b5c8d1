"""The number of clusters, estimated by our methods and by others, as JSON and a table.

Every method sees the same rows, 2,000 of each data set at most, and may answer up to
30::

    python -m benchmarks counts --datasets iris moons normal_10d --seeds 0 1 2

A record is written as soon as it is there; what is there is not run again but with
``--force``, which a change of the rule asks for.
"""

import statistics
import time
import warnings
from functools import partial

import numpy as np
from sklearn.cluster import HDBSCAN, KMeans
from sklearn.metrics import silhouette_score
from sklearn.mixture import GaussianMixture

from benchmarks.common import tables
from benchmarks.common.data import TABLES, TOYS
from benchmarks.common.methods import leiden_communities
from benchmarks.common.records import Fits, made_on
from benchmarks.quality.counting import RULES, count_by_rule
from skdeepclust.model_selection import estimate_n_clusters

MAX_ROWS, MAX_CLUSTERS = 2_000, 30
KINDS = {
    "images": (
        *("digits", "digits_uneven", "coil20", "mnist_10k", "mnist_uneven"),
        *("fashion_10k", "cifar10_features"),
    ),
    "tables": TABLES,
    "toys": (*TOYS,),
}
DATASETS = [name for names in KINDS.values() for name in names]

# ------------------------------------------------------------------------ the methods


def silhouette(rows, seed):
    """Return the K of k-means with the largest silhouette."""
    counts = range(2, MAX_CLUSTERS + 1)
    runs = [KMeans(k, n_init=3, random_state=seed).fit_predict(rows) for k in counts]
    scores = [silhouette_score(rows, labels) for labels in runs]
    return counts[int(np.argmax(scores))]


def bic(rows, seed):
    """Return the number of diagonal Gaussians with the least BIC."""
    counts = range(1, MAX_CLUSTERS + 1)
    models = [
        GaussianMixture(k, covariance_type="diag", random_state=seed) for k in counts
    ]
    return counts[int(np.argmin([m.fit(rows).bic(rows) for m in models]))]


def hdbscan(rows, seed):
    """Return the number of clusters that HDBSCAN finds; what it calls noise is none."""
    return len({*HDBSCAN(copy=True).fit_predict(rows).tolist()} - {-1})


def leiden(rows, seed):
    """Return the number of communities of the largest modularity."""
    return max(leiden_communities(rows, 1.0, seed)) + 1


def separation(rows, seed):
    """Return what ``n_clusters="auto"`` takes."""
    with warnings.catch_warnings():
        # That there is no structure is an answer here.
        warnings.simplefilter("ignore")
        return estimate_n_clusters(rows, random_state=seed)


def by_rule(rule, rows, seed):
    return count_by_rule(rule, rows, MAX_CLUSTERS, seed)


METHODS = {
    "separation": separation,
    **{rule: partial(by_rule, rule) for rule in RULES},
    "silhouette": silhouette,
    "BIC": bic,
    "HDBSCAN": hdbscan,
    "Leiden": leiden,
}


def run_record(data, point, seed):
    """Estimate once, and return what was found."""
    rng = np.random.default_rng(seed)
    index = np.sort(rng.permutation(len(data.y))[:MAX_ROWS])
    rows = np.asarray(data.part(index).flat, dtype=np.float64)
    given, start = made_on(), time.process_time()
    found = METHODS[point["method"]](rows, seed)
    seconds = time.process_time() - start
    is_noise = data.name.startswith(("normal", "uniform"))
    record = {"n_clusters": 1 if is_noise else data.n_clusters, "found": int(found)}
    return [{**record, "seconds": round(seconds, 2), **given}]


# -------------------------------------------------------------------------- the table


def make_tables(records):
    """Return the tables, as lines of reStructuredText."""
    records = sorted(records, key=lambda r: ([*METHODS].index(r["method"]), r["seed"]))
    by_set = tables.grouped(records, "dataset")
    methods = [*tables.grouped(records, "method")]
    rows, kinds = [], []
    for name in [name for name in DATASETS if name in by_set]:
        runs = tables.grouped(by_set[name], "method")
        found = [", ".join(str(r["found"]) for r in runs.get(m, ())) for m in methods]
        rows.append((name, str(by_set[name][0]["n_clusters"]), *found))
    for kind, names in KINDS.items():
        of_kind = [record for record in records if record["dataset"] in names]
        groups = tables.grouped(of_kind, "method").values()
        if len(groups) == len(methods):
            kinds.append((f"{kind}: within a fifth", *map(_within, groups)))
            kinds.append((f"{kind}: mean factor", *map(_factor, groups)))
            kinds.append((f"{kind}: median seconds", *map(_seconds, groups)))
    return [
        *tables.setting(records, seconds=False),
        "Estimates that are at most a fifth off; the geometric mean of the factor "
        "that they are",
        "off by, 0 counted as 1; CPU seconds of an estimate.",
        "",
        *tables.csv_table("How far estimates are off", ["Data", *methods], kinds),
        "The estimate of each seed:",
        "",
        *tables.csv_table(
            "Estimated number of clusters", ["Data set", "Classes", *methods], rows
        ),
    ]


def _within(records):
    hits = [abs(r["found"] - r["n_clusters"]) <= r["n_clusters"] / 5 for r in records]
    return f"{sum(hits)} of {len(hits)}"


def _factor(records):
    off = [abs(np.log(max(r["found"], 1) / r["n_clusters"])) for r in records]
    return f"{np.exp(np.mean(off)):.2f}"


def _seconds(records):
    return f"{statistics.median(r['seconds'] for r in records):.2f}"


COMMAND = Fits(
    "counts",
    __doc__,
    ("dataset", "method", "seed"),
    make_tables,
    make=run_record,
    datasets=DATASETS,
    methods=(*METHODS,),
)
