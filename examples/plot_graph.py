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
# weights of the graph.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.neighbors import kneighbors_graph

from skdeepclust import GraphContrastiveClustering
from skdeepclust.display import AffinityDisplay
from skdeepclust.metrics import clustering_accuracy

digits = load_digits()
images = (digits.images[:, None] / 16).astype(np.float32)

model = GraphContrastiveClustering(
    10,
    pretrain_epochs=15,
    head_epochs=22,
    joint_epochs=5,
    random_state=0,
).fit(images)

# %%
# The sorted graph
# ----------------
#
# The matrix has more than three million entries, nearly all of them zero. The picture
# sums them over bins. Weight in the squares on the diagonal is within clusters. A
# rectangle off the diagonal is filled where two clusters have many edges in common:
# those are the ones that could be mixed up.

AffinityDisplay.from_estimator(model)
plt.show()

# %%
# The same clusters on another graph
# ----------------------------------
#
# Any partition can be drawn on any graph. The neighbors of the pixels are a graph that
# comes without training. Where the clusters have most of its edges within them, too,
# they follow the data and not a whim of the network.

neighbors = kneighbors_graph(digits.data, 10)

AffinityDisplay.from_predictions(neighbors, model.labels_)
plt.show()

# %%
# How good is it?
# ---------------
#
# Only here the classes are used.

print(f"Accuracy: {clustering_accuracy(digits.target, model.labels_):.3f}")
