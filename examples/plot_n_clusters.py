"""
==================
How many clusters?
==================

``n_clusters="auto"`` counts the clusters that are clearly apart.
:func:`~skdeepclust.model_selection.estimate_n_clusters` shows how clearly.
"""

# %%
# Four kinds of data
# ------------------
#
# Two moons, blobs of very different sizes, the digits as rows of pixels, and a table
# without any groups.

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits, make_blobs, make_moons

from skdeepclust import GraphContrastiveClustering
from skdeepclust.model_selection import StabilityScorer, estimate_n_clusters

moons, _ = make_moons(500, noise=0.05, random_state=0)
blobs, _ = make_blobs([300, 60, 40], centers=[[0, 0], [10, 0], [0, 10]], random_state=0)
digits, _ = load_digits(return_X_y=True)
noise = np.random.default_rng(0).normal(size=(300, 10))
data = {"Moons": moons, "Uneven blobs": blobs, "Digits": digits, "Noise": noise}

# %%
# The scores
# ----------
#
# The score of K is 1 minus the strongest link of two clusters over the weakest place
# within one. Above the line clusters are clearly apart. The largest such K is taken.
# Where none are, the modularity decides; if samples without groups would do as well, a
# warning says so, and the answer is 1.

figure, axes = plt.subplots(
    2, 2, figsize=(8, 5.4), layout="constrained", sharex=True, sharey=True
)
for ax, (name, X) in zip(axes.flat, data.items(), strict=True):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found, scores = estimate_n_clusters(
            X, max_clusters=16, random_state=0, return_scores=True
        )
    print(f"{name}: {found}", *(str(each.message).split(":")[0] for each in said))
    ax.bar([*scores], [*scores.values()], color="C0")
    ax.axhline(0.6, color="0.5", linestyle=":")
    ax.axvline(found, color="C1", label=f"estimate: {found}")
    ax.set(title=name, xlim=(0, 17), xticks=range(0, 17, 4))
    ax.legend(loc="upper right")
figure.supxlabel("number of clusters")
figure.supylabel("score")
plt.show()

# %%
# An estimator that counts
# ------------------------

model = GraphContrastiveClustering("auto", random_state=0).fit(blobs)
print(model.n_clusters_, "clusters of", np.bincount(model.labels_), "samples")

# %%
# A second opinion: stability
# ---------------------------
#
# A number of clusters that is right is found again from another seed. Stability is the
# mean adjusted Rand index of such fits and of random views, 1 at most. It favors few
# clusters, so compare it with the estimate.

stability = StabilityScorer()
print(f"K = {model.n_clusters_}: {stability(model, blobs):.2f}")
for k in (2, 4):
    other = GraphContrastiveClustering(k, random_state=0).fit(blobs)
    print(f"K = {k}: {stability(other, blobs):.2f}")

# %%
# All of this is a hint. Where classes overlap, the number of groups is not the number
# of classes: :ref:`n_clusters` has what was measured.
