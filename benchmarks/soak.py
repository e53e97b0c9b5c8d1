"""Many fits and predictions in one process: memory stays flat, threads agree.

Run ``python benchmarks/soak.py``; it prints a line per part.
"""

import argparse
import os
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from sklearn.datasets import make_blobs
from sklearn.exceptions import ConvergenceWarning

from skdeepclust import (
    DeepSubspaceClustering,
    GraphContrastiveClustering,
    SelfPacedContrastiveClustering,
)

TINY = {"hidden_layer_sizes": (16,), "n_components": 4, "pretrain_epochs": 1}
MAKERS = [
    lambda seed: SelfPacedContrastiveClustering(
        3,
        **TINY,
        center_epochs=3,
        head_epochs=5,
        contrastive_epochs=2,
        random_state=seed,
    ),
    lambda seed: GraphContrastiveClustering(
        3, **TINY, head_epochs=5, joint_epochs=1
    ).set_params(random_state=seed),
    lambda seed: DeepSubspaceClustering(3, **TINY, joint_epochs=1, random_state=seed),
]


def resident() -> float:
    """Return the resident memory of this process in MiB (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def growth(work: Callable[[int], object], n: int) -> tuple[float, float]:
    """Return the memory in MiB after the first quarter of `n` calls, and its growth.

    The first quarter fills caches: libraries load, allocators reserve.
    """
    for i in range(n // 4):
        work(i)
    before = resident()
    for i in range(n // 4, n):
        work(i)
    return before, resident() - before


def soak(n_fits: int, n_predicts: int, n_threads: int) -> dict[str, float]:
    """Fit and predict that often; raise if threads disagree."""
    X, _ = make_blobs(40, 6, centers=3, random_state=0)
    measured = {}
    fits = growth(lambda i: MAKERS[i % len(MAKERS)](i).fit(X), n_fits)
    measured["fits_mib"], measured["fits_growth_mib"] = fits
    model = MAKERS[0](0).fit(X)
    predicts = growth(lambda i: model.predict(X[i % 20 :]), n_predicts)
    measured["predicts_mib"], measured["predicts_growth_mib"] = predicts
    starts = [i % 20 for i in range(n_predicts // 10)]
    with ThreadPoolExecutor(n_threads) as pool:
        parallel = [*pool.map(lambda start: model.predict_proba(X[start:]), starts)]
    for start, found in zip(starts, parallel, strict=True):
        np.testing.assert_array_equal(found, model.predict_proba(X[start:]))
    return measured


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fits", type=int, default=200)
    parser.add_argument("--predicts", type=int, default=10_000)
    parser.add_argument("--threads", type=int, default=8)
    args = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    for name, value in soak(args.fits, args.predicts, args.threads).items():
        print(f"{name:20} {value:8.1f}")


if __name__ == "__main__":
    main()
