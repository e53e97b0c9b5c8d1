"""
===========================
See the graph and its parts
===========================

Clustering along a graph is as good as the graph. Its affinity matrix, sorted by
cluster, shows at a glance how many edges stay within clusters, and which clusters are
close.
"""

# %%
# Cluster along a graph
# ---------------------
#
# Each sample is expressed by its neighbors in the embedding; the coefficients are the
# weights of the graph. Digits are rows of 64 pixels here.

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.neighbors import kneighbors_graph

from skdeepclust import GraphContrastiveClustering
from skdeepclust.display import AffinityDisplay
from skdeepclust.metrics import clustering_accuracy

X, y = load_digits(return_X_y=True)
model = GraphContrastiveClustering(n_clusters=10, random_state=0).fit(X)

# %%
# The sorted graph
# ----------------
#
# The matrix has more than three million entries, nearly all of them zero. The picture
# sums them over bins. Weight in the squares on the diagonal is within clusters. A
# rectangle off the diagonal is filled where two clusters share many edges: those are
# easily mixed up.

AffinityDisplay.from_estimator(model)
plt.show()

# %%
# The same clusters on another graph
# ----------------------------------
#
# Any partition can be drawn on any graph. The neighbors of the pixels are a graph that
# needs no training. If most of its edges are within clusters, too, the clusters follow
# the data and not only the network.

neighbors = kneighbors_graph(X, 10)

AffinityDisplay.from_predictions(neighbors, model.labels_)
plt.show()

# %%
# How good is it?
# ---------------
#
# Only here the classes are used.

print(f"Accuracy: {clustering_accuracy(y, model.labels_):.3f}")
