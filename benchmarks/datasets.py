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
from sklearn.datasets import load_digits

ROOT = Path(__file__).resolve().parents[1]


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


def _digits_table():
    return load_digits(return_X_y=True)


def stored(name, n_samples=None):
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


TABLES = (
    *("olive_area", "breast_cancer", "wine", "iris", "penguins", "segment"),
    *("penbased", "letter", "JapaneseVowels", "OSULeaf", "pbmc_pca", "wordnet_gloss"),
)
"""Tables and embeddings that the defaults were not tuned on."""

LOADERS = {
    "digits": _digits,
    "digits_table": _digits_table,
    "digits_uneven": lambda: uneven(*_digits()),
    **{
        f"digits_uneven_{seed}": lambda seed=seed: uneven(*_digits(), seed)
        for seed in (1, 2, 3, 4)
    },
    "coil20": lambda: stored("coil20"),
    "coil20_few": lambda: stored("coil20_few"),
    "mnist_10k": lambda: stored("mnist_10k"),
    "mnist_uneven": lambda: uneven(*stored("mnist_10k")),
    "cifar10_10k": lambda: stored("cifar10", 10_000),
    "cifar10_features": lambda: stored("cifar10_features"),
    "fashion_10k": lambda: stored("fashion_mnist", 10_000),
    "fashion": lambda: stored("fashion_mnist"),
    **{name: partial(stored, name) for name in TABLES},
}


def load_dataset(name):
    """Return a `Dataset`; FileNotFoundError where its files are not there."""
    return Dataset(name, *LOADERS[name]())
