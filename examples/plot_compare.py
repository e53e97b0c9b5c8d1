"""
============================
Compare with simpler methods
============================

K-means takes milliseconds, and UMAP or t-SNE with HDBSCAN is what many take first. Try
them: on an easy table they are as good.
"""

# %%
# Data and classes
# ----------------
#
# Two tables, standardized, and handwritten digits as rows of pixels. The classes take
# no part in clustering: they are held back for the adjusted Rand index (ARI), which is
# 1 if clusters and classes agree, and about 0 by chance.

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.cluster import HDBSCAN, KMeans
from sklearn.datasets import load_digits, load_iris, load_wine
from sklearn.manifold import TSNE
from sklearn.metrics import adjusted_rand_score
from sklearn.preprocessing import StandardScaler

from skdeepclust import GraphContrastiveClustering, SelfPacedContrastiveClustering

iris, wine, digits = load_iris(), load_wine(), load_digits()
data = {
    "iris": (StandardScaler().fit_transform(iris.data), iris.target),
    "wine": (StandardScaler().fit_transform(wine.data), wine.target),
    "digits": (digits.data[:600], digits.target[:600]),
}

# %%
# Methods
# -------
#
# All but HDBSCAN are told the number of clusters. HDBSCAN finds it, and marks noise
# with -1, which is counted as one cluster here. Parameters are the defaults, or common
# ones.
# UMAP is tried if ``umap-learn`` is installed.


def t_sne(X):
    return TSNE(init="pca", random_state=0).fit_transform(X)


def hdbscan(X):
    return HDBSCAN(min_cluster_size=15, copy=True).fit_predict(X)


methods = {
    "k-means": lambda X, k: KMeans(k, n_init=10, random_state=0).fit_predict(X),
    "t-SNE + HDBSCAN": lambda X, k: hdbscan(t_sne(X)),
    "self-paced": lambda X, k: SelfPacedContrastiveClustering(
        k, random_state=0
    ).fit_predict(X),
    "graph": lambda X, k: GraphContrastiveClustering(k, random_state=0).fit_predict(X),
}
try:
    from umap import UMAP
except ImportError:
    print("umap-learn is not installed")
else:
    methods["UMAP + HDBSCAN"] = lambda X, k: hdbscan(
        UMAP(n_neighbors=10, min_dist=0, n_jobs=1, random_state=0).fit_transform(X)
    )

# %%
# Scores
# ------

scores = {}
print(f"{'':17}" + "".join(f"{name:>16}" for name in data))
for method, cluster in methods.items():
    found = {}
    for name, (X, y) in data.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found[name] = cluster(X, len(np.unique(y)))
        scores[method, name] = adjusted_rand_score(y, found[name])
    cells = (
        f"{scores[method, name]:.2f} ({labels.max() + 1:2} found)"
        for name, labels in found.items()
    )
    print(f"{method:17}" + "".join(f"{cell:>16}" for cell in cells))

# %%
# A picture
# ---------
#
# One data set and one seed say little: compare on data like yours, with several seeds.
# :doc:`../benchmarks` does so on twelve tables and six sets of images.

figure, ax = plt.subplots(figsize=(8, 3.8), layout="constrained")
colors = ("0.75", "0.5", "#0072b2", "#e69f00", "0.25")
width = 0.8 / len(methods)
for i, (method, color) in enumerate(zip(methods, colors, strict=False)):
    heights = [scores[method, name] for name in data]
    ax.bar(np.arange(3) + (i + 0.5) * width - 0.4, heights, width * 0.9, color=color)
    ax.patches[-1].set_label(method)
ax.set_xticks(range(3), data)
ax.set(ylabel="ARI", ylim=(0, 1))
figure.legend(loc="outside right")
plt.show()

# %%
# What to take
# ------------
#
# Take the simple method where it is as good and you want clusters once. Take these
# estimators for images, whose pixels say little about distances, and where new samples
# must get clusters and probabilities: HDBSCAN and t-SNE do not predict.
