"""The data sets of the benchmarks.

The digits come with scikit-learn. The others are read by ``load.py`` in the folder
that the environment variable ``SKDEEPCLUST_DATA`` names, by default ``../shared/data``
beside the repository: ``load(name)`` returns the array and the classes.
"""

import importlib.util
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits, make_blobs, make_circles, make_moons

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Dataset:
    """Samples as the estimator gets them, and their classes, used for scores alone."""

    name: str
    X: np.ndarray
    y: np.ndarray

    @property
    def n_clusters(self):
        return len(np.unique(self.y))

    @property
    def flat(self):
        """Rows for k-means; uint8 is scaled to [0, 1]."""
        rows = self.X.reshape(len(self.X), -1)
        return rows / np.float32(255) if rows.dtype == np.uint8 else rows

    def part(self, index):
        return Dataset(self.name, self.X[index], self.y[index])


def _digits():
    digits = load_digits()
    return (digits.images[:, None] / 16).astype(np.float32), digits.target


def stored(name, n_samples=None):
    """Return the first samples of a data set on disk, and their classes."""
    folder = Path(os.environ.get("SKDEEPCLUST_DATA", ROOT.parent / "shared" / "data"))
    path = folder / "load.py"
    if not path.is_file():
        raise FileNotFoundError(
            "no load.py in the data folder; name it in SKDEEPCLUST_DATA"
        )
    spec = importlib.util.spec_from_file_location("skdeepclust_data_load", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    X, y = module.load(name)
    X, y = X[:n_samples], y[:n_samples]
    return (X.astype(np.float32) if X.dtype == np.float16 else X), y


def uneven(X, y, seed=0):
    """Return a part in which classes get smaller, one by one, down to a tenth.

    Which of them are large is drawn, as are the samples.
    """
    rng = np.random.default_rng(seed)
    classes = rng.permutation(np.unique(y))
    kept = [
        rng.choice(np.flatnonzero(y == c), int(share * np.sum(y == c)), replace=False)
        for c, share in zip(classes, np.geomspace(1, 0.1, len(classes)), strict=True)
    ]
    index = np.sort(np.concatenate(kept))
    return X[index], y[index]


def _noise(n_features, kind):
    rng = np.random.default_rng(0)
    draw = rng.normal if kind == "normal" else rng.uniform
    return draw(size=(1000, n_features)), np.zeros(1000, dtype=int)


TABLES = (
    *("olive_area", "breast_cancer", "wine", "iris", "penguins", "segment"),
    *("penbased", "letter", "JapaneseVowels", "OSULeaf", "pbmc_pca", "wordnet_gloss"),
)
"""Tables and embeddings that the defaults were not tuned on."""

LOADERS = {
    "digits": _digits,
    "digits_table": partial(load_digits, return_X_y=True),
    "digits_uneven": lambda: uneven(*_digits()),
    **{
        f"digits_uneven_{seed}": lambda seed=seed: uneven(*_digits(), seed)
        for seed in (1, 2, 3, 4)
    },
    "coil20": partial(stored, "coil20"),
    "coil20_few": partial(stored, "coil20_few"),
    "mnist_10k": partial(stored, "mnist_10k"),
    "mnist_uneven": lambda: uneven(*stored("mnist_10k")),
    "cifar10_10k": partial(stored, "cifar10", 10_000),
    "cifar10_features": partial(stored, "cifar10_features"),
    "fashion_10k": partial(stored, "fashion_mnist", 10_000),
    "fashion": partial(stored, "fashion_mnist"),
    **{name: partial(stored, name) for name in TABLES},
}
TOYS = {
    "moons": partial(make_moons, 500, noise=0.05, random_state=0),
    "circles": partial(make_circles, 500, noise=0.05, factor=0.5, random_state=0),
    "blobs_8": partial(make_blobs, 1000, 10, centers=8, random_state=0),
    "blobs_20": partial(make_blobs, 2000, 30, centers=20, random_state=0),
    "blobs_uneven": partial(
        make_blobs, [500, 60, 40], centers=[[0, 0], [6, 0], [0, 6]], random_state=0
    ),
    "normal_2d": partial(_noise, 2, "normal"),
    "normal_10d": partial(_noise, 10, "normal"),
    "uniform_2d": partial(_noise, 2, "uniform"),
    "uniform_10d": partial(_noise, 10, "uniform"),
}
"""What the number of clusters is estimated of, beside data sets."""


def load_dataset(name):
    """Return a `Dataset`; FileNotFoundError where its files are not there."""
    return Dataset(name, *{**LOADERS, **TOYS}[name]())
