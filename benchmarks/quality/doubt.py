"""Whether confidence is the accuracy, and whether unusual samples score low.

Each estimator is fitted to four fifths of a data set by its defaults. Confidence is the
mean of the largest probabilities of the samples fitted, and of the fifth held out. For
images there is also the AUROC of `score_samples`, between the images held out and as
many that are unlike them::

    python -m benchmarks doubt --datasets wine digits mnist_10k --seeds 0 1 2
"""

import statistics

import numpy as np
from sklearn.metrics import roc_auc_score

from benchmarks.common import tables
from benchmarks.common.data import TABLES
from benchmarks.common.methods import METHODS
from benchmarks.common.records import Fits, describe, made_on, place
from benchmarks.quality.fits import split
from skdeepclust.metrics import clustering_accuracy

IMAGES = ("digits", "mnist_10k", "fashion_10k", "coil20")
UNLIKE = ("white", "inverted", "shuffled", "noise")
SCORES = ("acc", "confidence", "acc_held_out", "confidence_held_out")


def unlike(images, seed):
    """Return images of the same size, by kind, that no set of images is made of."""
    rng = np.random.default_rng(seed)
    low, high = images.min(), images.max()
    flat = images.reshape(len(images), -1)
    noise = rng.uniform(low, high, images.shape)
    return {
        "white": np.full_like(images, high),
        "inverted": (high - images + low).astype(images.dtype),
        "shuffled": rng.permuted(flat, axis=1).reshape(images.shape),
        "noise": noise.astype(images.dtype),
    }


def run_records(data, point, seed):
    """Return the record of a fit."""
    fitted, rest = split(data, seed)
    model = METHODS[point["method"]].estimator(data.n_clusters, seed)
    parameters, given = describe(model), made_on()
    model.fit(fitted.X)
    record = {"n_clusters": data.n_clusters, "parameters": parameters, **given}
    for part, suffix in ((fitted, ""), (rest, "_held_out")):
        probability = model.predict_proba(part.X)
        accuracy = clustering_accuracy(part.y, probability.argmax(axis=1))
        record[f"acc{suffix}"] = round(accuracy, 4)
        record[f"confidence{suffix}"] = round(float(probability.max(axis=1).mean()), 4)
    if data.X.ndim > 2:
        usual = model.score_samples(rest.X)
        is_usual = np.repeat([1, 0], len(usual))
        for kind, others in unlike(rest.X, seed).items():
            scores = np.r_[usual, model.score_samples(others)]
            record[kind] = round(float(roc_auc_score(is_usual, scores)), 4)
    return [record]


def make_tables(records):
    """Return the tables, as lines of reStructuredText."""
    confidence, usual = [], []
    for (name, method), runs in tables.grouped(records, "dataset", "method").items():
        label = METHODS[method].label
        means = [statistics.fmean(run[score] for run in runs) for score in SCORES]
        confidence.append((name, label, len(runs), *(f"{m:.3f}" for m in means)))
        if all(kind in run for run in runs for kind in UNLIKE):
            means = [statistics.fmean(run[kind] for run in runs) for kind in UNLIKE]
            usual.append((name, label, len(runs), *(f"{m:.3f}" for m in means)))
    head = ("Data", "Estimator", "Seeds")
    unusual = tables.csv_table(
        "AUROC of score_samples: images held out, against as many of another kind",
        [*head, *UNLIKE],
        usual,
    )
    return [
        *tables.setting(records, seconds=False),
        *tables.csv_table(
            "Mean confidence beside the accuracy, of samples fitted and held out",
            [*head, "ACC", "confidence", "ACC, held out", "confidence, held out"],
            confidence,
        ),
        *(unusual if usual else []),
    ]


COMMAND = Fits(
    "doubt",
    __doc__,
    ("dataset", "method", "seed"),
    make_tables,
    place,
    run_records,
    datasets=(*IMAGES, *TABLES),
    methods=("ours", "graph"),
)
