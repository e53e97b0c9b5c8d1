"""
=====================
Tables in a pipeline
=====================

A table whose columns have different units wants a scaler first. Scaling, projection and
clustering make one estimator, and data frames go in and come out.
"""

# %%
# Wines
# -----
#
# Thirteen measurements of 178 wines. Proline is counted in hundreds, and the hue in
# parts of one: unscaled, one column would decide everything.

import matplotlib.pyplot as plt
from sklearn.datasets import load_wine
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdeepclust import SelfPacedContrastiveClustering
from skdeepclust.metrics import clustering_accuracy

wines = load_wine(as_frame=True)
print(wines.data.describe().loc[["mean", "std"], ["proline", "hue", "alcohol"]])

# %%
# With and without a scaler
# -------------------------
#
# ``set_output`` makes the pipeline return data frames, with the index of the input.


def clusterer():
    return SelfPacedContrastiveClustering(
        3,
        hidden_layer_sizes=(32, 32),
        n_components=4,
        pretrain_epochs=150,
        head_epochs=60,
        contrastive_epochs=20,
        random_state=0,
    )


models = {
    "As measured": make_pipeline(PCA(8), clusterer()),
    "Scaled": make_pipeline(StandardScaler(), PCA(8), clusterer()),
}
for model in models.values():
    model.set_output(transform="pandas").fit(wines.data)
print(models["Scaled"].transform(wines.data).head())

# %%
# What became of it
# -----------------
#
# Colors are clusters. As measured, the clusters are slices of proline alone. Scaled,
# the other columns have their say. The titles' accuracy is the only place where the
# cultivars are used.

figure, axes = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained", sharey=True)
for ax, (title, model) in zip(axes, models.items(), strict=True):
    labels = model[-1].labels_
    for k, marker in enumerate("os^"):
        chosen = wines.data[labels == k]
        ax.scatter(
            chosen["proline"],
            chosen["flavanoids"],
            marker=marker,
            s=22,
            alpha=0.8,
            color=("#0072b2", "#e69f00", "#555555")[k],
            label=f"cluster {k}",
        )
    accuracy = clustering_accuracy(wines.target, labels)
    ax.set(title=f"{title}: accuracy {accuracy:.2f}", xlabel="proline")
axes[0].set_ylabel("flavanoids")
figure.legend(*axes[1].get_legend_handles_labels(), loc="outside lower center", ncols=3)
plt.show()
