"""
======================
Groups of uneven sizes
======================

K-means and many deep methods pull clusters to one size. These estimators look at the
data first, and prefer no size unless the groups come out even. ``resolution`` sets the
preference by hand.
"""

# %%
# Uneven classes
# --------------
#
# Handwritten digits as rows of pixels: many zeros, few fours.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.manifold import TSNE
from sklearn.metrics import adjusted_rand_score

from skdeepclust import SelfPacedContrastiveClustering
from skdeepclust.display import EmbeddingDisplay

X, y = load_digits(n_class=5, return_X_y=True)
sizes = [170, 90, 60, 30, 20]
chosen = np.concatenate([np.flatnonzero(y == k)[:n] for k, n in enumerate(sizes)])
X, y = X[chosen], y[chosen]

# %%
# With and without a preference
# -----------------------------
#
# At 1 the clusters are pulled to one size: the large group is cut, and small ones are
# merged. At .25 the sizes are nearly left as the graph of neighbors has them. "auto",
# the default, chooses from the data. Only the adjusted Rand index (ARI) uses the
# classes.

labels = {"k-means": KMeans(5, n_init=10, random_state=0).fit_predict(X)}
for resolution in (1.0, 0.25, "auto"):
    model = SelfPacedContrastiveClustering(
        n_clusters=5, resolution=resolution, random_state=0
    ).fit(X)
    labels[f"resolution={resolution!r}"] = model.labels_

print(f"{'classes':18}", sizes)
for name, found in labels.items():
    ari = adjusted_rand_score(y, found)
    print(f"{name:18}", -np.sort(-np.bincount(found)), f"ARI {ari:.2f}")

# %%
# The clusters on a map
# ---------------------
#
# All four on one map of the pixels.

points = TSNE(init="pca", random_state=0).fit_transform(X)
figure, axes = plt.subplots(2, 2, figsize=(7, 6.4), layout="constrained")
for ax, (name, found) in zip(axes.flat, labels.items(), strict=True):
    EmbeddingDisplay.from_predictions(points, found, ax=ax, legend=False)
    ari = adjusted_rand_score(y, found)
    ax.set(title=f"{name}\nARI {ari:.2f}", xlabel="", ylabel="")
plt.show()

# %%
# When to set it
# --------------
#
# Leave "auto" unless you know the sizes. Set 1 when groups are of one size, and .25
# when some are much larger than others and "auto" cuts these. Where groups overlap as
# much as they differ, no rule tells one large group from two. :ref:`clusters` has the
# rule.
