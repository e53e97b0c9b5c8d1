"""From an embedding to points of a plane."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from ._checks import check_rows


def to_plane(
    rows: NDArray[Any], method: Any, random: np.random.RandomState
) -> tuple[NDArray[Any], tuple[str, str]]:
    """Return two columns and their names; rows of two columns as they are."""
    if not hasattr(method, "fit_transform") and method not in ("pca", "tsne"):
        raise ValueError(
            "method must be 'pca', 'tsne' or a transformer with fit_transform; got "
            f"{method!r}: pass one of these."
        )
    n, d = rows.shape
    if d == 2:
        return rows, ("component 1", "component 2")
    if isinstance(method, str):
        if n < 3:
            raise ValueError(
                f"embedding must have 3 samples or more for method={method!r}; got "
                f"{n}: pass more samples."
            )
        # Zeros exactly, if all rows are the same.
        rows = rows.astype(np.float64) - rows[0]
    if method == "pca":
        pca = PCA(2, random_state=random)
        with np.errstate(invalid="ignore"):
            # If all rows are the same, the shares are 0 / 0.
            points = pca.fit_transform(rows)
        shares = np.nan_to_num(pca.explained_variance_ratio_)
        first, second = (f"{share:.0%}" for share in shares)
        return points, (
            f"principal component 1 ({first} of the variance)",
            f"principal component 2 ({second})",
        )
    name = "t-SNE"
    if method == "tsne":
        # Where the principal components vanish in float32, scikit-learn's t-SNE divides
        # by zero, and crashes. The scale of the rows does not matter to it.
        peak = np.abs(rows).max()
        rows, init = (rows / peak, "pca") if peak else (rows, "random")
        method = TSNE(perplexity=min(30, (n - 1) / 3), init=init, random_state=random)
    else:
        name, method = type(method).__name__, clone(method)
    points = check_rows("method.fit_transform(embedding)", method.fit_transform(rows))
    return points[:, :2], (f"{name} 1", f"{name} 2")
