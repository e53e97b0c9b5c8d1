"""
======================================
Search two parameters, without classes
======================================

``GridSearchCV`` needs a score. Two scores that need no classes are compared here with
one that does, over a grid of two parameters.
"""

# %%
# Data
# ----
#
# Digits of uneven classes as rows of pixels: many zeros, few fours.

import tempfile

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, KFold

from skdeepclust import GraphContrastiveClustering
from skdeepclust.metrics import ari_scorer
from skdeepclust.model_selection import silhouette_scorer

X, y = load_digits(n_class=5, return_X_y=True)
sizes = [170, 90, 60, 30, 20]
chosen = np.concatenate([np.flatnonzero(y == k)[:n] for k, n in enumerate(sizes)])
X, y = X[chosen], y[chosen]

# %%
# The search
# ----------
#
# Each candidate is fitted to one half and scored on the other.
#
# * *Shuffle the folds*: these rows are sorted by class. Without ``shuffle=True`` a half
#   has no twos, threes and fours.
# * ``memory`` keeps pretraining in a folder. Candidates that differ in ``resolution``
#   only share it. It needs an integer ``random_state``.
# * Several scores are computed at once; ``refit`` names the one that chooses. The fits
#   do not look at the classes, which only the last score needs.

folder = tempfile.mkdtemp()
model = GraphContrastiveClustering(n_clusters=5, memory=folder, random_state=0)
grid = {"n_neighbors": [3, 10], "resolution": [0.25, 1.0]}
scores = {
    "modularity": lambda fitted, X, y=None: fitted.score(X),
    "silhouette": silhouette_scorer,
    "ARI": ari_scorer,
}
search = GridSearchCV(
    model,
    grid,
    scoring=scores,
    refit="modularity",
    cv=KFold(2, shuffle=True, random_state=0),
).fit(X, y)
print("Chosen by modularity:", search.best_params_)

# %%
# Without classes leave out ``scoring``, ``refit`` and ``y``: the score is the
# modularity.
#
# What the scores say
# -------------------
#
# Modularity: are neighbors in the embedding in the same cluster? Silhouette: is a
# sample nearer to its own cluster than to the next? Both are taken in the embedding
# that is being judged. The best of each table is bold.

figure, axes = plt.subplots(1, 3, figsize=(9, 2.9), layout="constrained")
for ax, name in zip(axes, scores, strict=True):
    table = search.cv_results_[f"mean_test_{name}"].reshape(2, 2)
    ax.imshow(table, cmap="Blues", vmin=table.min() - 0.1, vmax=table.max() + 0.1)
    for (row, column), value in np.ndenumerate(table):
        best = value == table.max()
        ax.text(
            column,
            row,
            f"{value:.3f}",
            ha="center",
            va="center",
            weight="bold" if best else "normal",
        )
    ax.set_xticks(range(2), grid["resolution"])
    ax.set_yticks(range(2), grid["n_neighbors"])
    ax.set(title=name, xlabel="resolution")
axes[0].set_ylabel("n_neighbors")
axes[2].set_title("ARI (needs classes)")
plt.show()

# %%
# What to trust
# -------------
#
# The modularity prefers clusters of one size, as a resolution of 1 does. So it may like
# best what the classes like least: set ``resolution`` by what you know of the sizes, or
# leave it at "auto". Nor should it choose the number of clusters, with which it rises:
# see :doc:`plot_n_clusters`. Look at the pictures of the best few, and where some rows
# have classes, score with them. The defaults are hard to beat; :ref:`trust` has what
# was measured.
