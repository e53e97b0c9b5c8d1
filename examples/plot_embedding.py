"""
===============================
Images to clusters and pictures
===============================

Fit an estimator to an array of images, then look at its clusters: the embedding in two
dimensions, and images of each cluster. No classes are needed.
"""

# %%
# Cluster
# -------
#
# Gray images have shape (n, height, width), color images (n, channels, height, width).
# Values may be uint8, or floats in any unit. Every other digit keeps this example
# short.

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits

from skdeepclust import GraphContrastiveClustering
from skdeepclust.display import ClusterImagesDisplay, EmbeddingDisplay
from skdeepclust.metrics import clustering_accuracy

digits = load_digits()
images = digits.images[::2]
print(images.shape)

model = GraphContrastiveClustering(n_clusters=10, random_state=0).fit(images)
print(model.labels_[:10])

# %%
# Look at the embedding
# ---------------------
#
# The embedding has 20 dimensions. PCA projects it on two: clusters that are apart in
# the picture are apart, and clusters that overlap may be apart in another dimension.
# t-SNE keeps neighbors together and shows many clusters better, but its distances
# between clusters say little.

_, axes = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
EmbeddingDisplay.from_estimator(model, ax=axes[0], legend=False)
EmbeddingDisplay.from_estimator(
    model, method="tsne", random_state=0, ax=axes[1], mark_centers=True
)
plt.show()

# %%
# Look at the images
# ------------------
#
# The most certain images of a cluster show what it stands for. The least certain ones
# show where it ends: look for mistakes there.

ClusterImagesDisplay.from_estimator(model, images, n_images=6, cmap="gray_r")
plt.show()

# %%
# Compare with the classes
# ------------------------
#
# Only here the classes are used. The accuracy is that of the best match of clusters and
# classes.

print(f"Accuracy: {clustering_accuracy(digits.target[::2], model.labels_):.3f}")

# sphinx_gallery_thumbnail_number = 1
