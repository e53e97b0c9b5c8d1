"""
==========================================
A table with categories and missing values
==========================================

The estimators take numbers without gaps. A pipeline of scikit-learn fills the gaps,
turns categories into columns and scales them; it predicts new rows in one call.
"""

# %%
# A table
# -------
#
# 450 bicycles for sale: city, cargo and racing bicycles. The kind is not in the table.
# One value in twenty is missing.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.metrics import adjusted_rand_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skdeepclust import SelfPacedContrastiveClustering

rng = np.random.default_rng(0)
kind = rng.integers(3, size=450)
kinds = np.array(["city", "cargo", "racing"])
brakes = {
    "city": ["rim", "rim", "coaster", "coaster", "disc"],
    "cargo": ["disc", "disc", "disc", "drum", "drum"],
    "racing": ["rim", "rim", "disc", "disc", "disc"],
}
bars = {"city": [0.9, 0.1], "cargo": [0.9, 0.1], "racing": [0.1, 0.9]}
table = pd.DataFrame(
    {
        "weight": rng.normal(np.array([16, 30, 8])[kind], np.array([2, 4, 1])[kind]),
        "price": rng.normal(np.array([900, 2600, 2300])[kind], 500).clip(100),
        "gears": rng.normal(np.array([7, 9, 20])[kind], 2).round().clip(1),
        "brakes": [rng.choice(brakes[each]) for each in kinds[kind]],
        "handlebar": [rng.choice(["flat", "drop"], p=bars[k]) for k in kinds[kind]],
    }
)
table = table.mask(rng.random(table.shape) < 1 / 20)
print(table.head().round(1))

# %%
# A pipeline
# ----------
#
# * *Numbers*: the median fills the gaps, and the scaler gives all columns one unit.
#   Without a scaler the price outweighs the rest, since it is counted in thousands.
# * *Categories*: the most frequent one fills the gaps, and each becomes a column of
#   zeros and ones. ``handle_unknown="ignore"`` lets new rows have categories that the
#   fit has not seen. ``sparse_output=False`` is needed, since sparse matrices are
#   refused.
# * *Weights*: rows of two categories are :math:`\sqrt 2` apart, which is a lot beside a
#   standard deviation of 1. A weight of .5 lets the numbers have their say.

numbers, categories = ["weight", "price", "gears"], ["brakes", "handlebar"]


def pipeline(scaler, weight):
    columns = ColumnTransformer(
        [
            (
                "numbers",
                make_pipeline(SimpleImputer(strategy="median"), scaler),
                numbers,
            ),
            (
                "categories",
                make_pipeline(
                    SimpleImputer(strategy="most_frequent"),
                    OneHotEncoder(sparse_output=False, handle_unknown="ignore"),
                ),
                categories,
            ),
        ],
        transformer_weights={"categories": weight},
    )
    return make_pipeline(
        columns, SelfPacedContrastiveClustering(n_clusters=3, random_state=0)
    )


model = pipeline(StandardScaler(), 0.5).fit(table)
labels = model[-1].labels_
print(table.groupby(labels)[numbers].median().round(1))

# %%
# New rows
# --------
#
# Raw rows go in: gaps and an unknown category are no problem.

new = pd.DataFrame(
    {
        "weight": [8.4, np.nan],
        "price": [1900, 650],
        "gears": [20, 8],
        "brakes": ["hydraulic", "coaster"],
        "handlebar": ["drop", np.nan],
    }
)
print(model.predict(new), model.predict_proba(new).max(axis=1).round(2))

# %%
# What the scaler and the weight do
# ---------------------------------
#
# With a weight of 1 the clusters follow the brakes. Without a scaler the price
# outweighs the rest. Only the adjusted Rand index (ARI) uses the kinds of bicycles.
#
# K-means takes the same columns. The weight matters less to it, and on groups as round
# as these it is as good: the estimators here look for gaps between rows, and one-hot
# columns make gaps.

found = {
    "Scaled, weight .5": labels,
    "Scaled, weight 1": pipeline(StandardScaler(), 1).fit(table)[-1].labels_,
    "Not scaled": pipeline("passthrough", 0.5).fit(table)[-1].labels_,
}
for weight in (0.5, 1):
    columns = pipeline(StandardScaler(), weight)[0].fit_transform(table)
    by_k_means = KMeans(3, n_init=10, random_state=0).fit_predict(columns)
    ari = adjusted_rand_score(kind, by_k_means)
    print(f"k-means, weight {weight}: ARI {ari:.2f}")

figure, axes = plt.subplots(
    1, 3, figsize=(11.5, 3.8), layout="constrained", sharey=True
)
for ax, (title, clusters) in zip(axes, found.items(), strict=True):
    for cluster, marker in enumerate("os^"):
        rows = table[clusters == cluster]
        ax.scatter(
            rows["price"],
            rows["gears"],
            s=16,
            marker=marker,
            color=("#0072b2", "#e69f00", "#555555")[cluster],
            alpha=0.8,
            label=f"cluster {cluster}",
        )
    ari = adjusted_rand_score(kind, clusters)
    ax.set(title=f"{title}: ARI {ari:.2f}", xlabel="price")
axes[0].set_ylabel("gears")
figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
plt.show()
