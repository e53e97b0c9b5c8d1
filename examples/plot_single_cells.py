"""
==========================
Single cells in an AnnData
==========================

The principal components of the counts go in, from ``adata.obsm["X_pca"]``. The clusters
go into ``adata.obs`` and the embedding into ``adata.obsm``, where scanpy finds them.
"""

# %%
# Counts
# ------
#
# 600 cells of five types and 300 genes, of which each type expresses ten more strongly.
# The types are of different sizes. Without anndata, an object with the same three
# attributes takes its place.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score

from skdeepclust import GraphContrastiveClustering
from skdeepclust.display import EmbeddingDisplay

try:
    from anndata import AnnData
except ImportError:
    from types import SimpleNamespace as AnnData

rng = np.random.default_rng(0)
cell_type = rng.choice(5, p=[0.4, 0.25, 0.2, 0.1, 0.05], size=600)
rate = rng.gamma(0.5, size=300) * np.ones((5, 1))
for each in range(5):
    rate[each, 10 * each : 10 * each + 10] += rng.gamma(2, size=10)
depth = rng.lognormal(0, 0.4, size=(600, 1))
adata = AnnData(
    X=rng.poisson(depth * rate[cell_type]).astype(np.float32),
    obs=pd.DataFrame(index=[f"cell{i}" for i in range(600)]),
    obsm={},
)

# %%
# Components
# ----------
#
# These are the usual steps: counts per cell, logarithm, PCA. If scanpy has made
# ``adata.obsm["X_pca"]``, leave them out.

share = adata.X / adata.X.sum(axis=1, keepdims=True)
adata.obsm["X_pca"] = PCA(30, random_state=0).fit_transform(np.log1p(1e4 * share))

# %%
# Clusters
# --------
#
# Do not standardize the components: their variances say how much they matter.

model = GraphContrastiveClustering(n_clusters=5, random_state=0)
model.fit(adata.obsm["X_pca"])
adata.obs["cluster"] = pd.Categorical(model.labels_.astype(str))
adata.obs["certainty"] = model.predict_proba(adata.obsm["X_pca"]).max(axis=1)
adata.obsm["X_deepclust"] = model.embedding_
groups = adata.obs.groupby("cluster", observed=True)["certainty"]
print(groups.agg(["size", "mean", "min"]).round(2))

# %%
# Marker genes
# ------------
#
# A gene marks a cluster if its mean there exceeds its mean elsewhere by far.

log_counts = np.log1p(1e4 * share)
markers = []
for cluster in range(model.n_clusters_):
    inside = model.labels_ == cluster
    difference = log_counts[inside].mean(axis=0) - log_counts[~inside].mean(axis=0)
    markers.append(np.argsort(-difference)[:5])
    print(f"cluster {cluster}: genes", *markers[-1])
print(f"ARI with the cell types: {adjusted_rand_score(cell_type, model.labels_):.2f}")

# %%
# A picture
# ---------
#
# Cells in two dimensions, and the mean of the markers in each cluster.

means = [log_counts[model.labels_ == k].mean(axis=0) for k in range(5)]
figure, axes = plt.subplots(
    1, 2, figsize=(11, 4), layout="constrained", width_ratios=(1, 1.5)
)
EmbeddingDisplay.from_estimator(
    model, method="tsne", random_state=0, ax=axes[0], mark_centers=True, legend=False
)
picture = axes[1].imshow(
    np.array(means)[:, np.concatenate(markers)], cmap="Greys", aspect="auto"
)
axes[1].set(xlabel="marker genes of clusters 0 to 4", ylabel="cluster", xticks=[])
axes[1].set_title("Mean log counts")
figure.colorbar(picture, ax=axes[1], shrink=0.8)
plt.show()
