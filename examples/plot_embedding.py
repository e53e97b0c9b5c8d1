"""
===============================
Look at an embedding by cluster
===============================

After a fit the first question is whether the clusters mean anything. Two pictures
help, and neither needs classes: the embedding in two dimensions, and images of each
cluster.
"""

# %%
# Cluster the digits
# ------------------
#
# The images have shape (n, channels, height, width). Fewer training steps than usual
# keep this example short.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from skdeepclust import SelfPacedContrastiveClustering
from skdeepclust.display import ClusterImagesDisplay, EmbeddingDisplay
from skdeepclust.metrics import clustering_accuracy

digits = load_digits()
images = (digits.images[:, None] / 16).astype(np.float32)

model = SelfPacedContrastiveClustering(
    10,
    pretrain_epochs=15,
    center_epochs=5,
    head_epochs=15,
    contrastive_epochs=5,
    random_state=0,
).fit(images)

# %%
# The embedding
# -------------
#
# The embedding has 20 dimensions. Principal components are the quick way to draw it, a
# plain projection: groups that are apart in the picture are apart. Groups that seem to
# overlap may be apart, too, in a dimension that is not drawn. t-SNE keeps neighbors
# together. It shows the groups better, and the few samples that went to the wrong one,
# but distances between groups say little.

_, axes = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
EmbeddingDisplay.from_estimator(model, ax=axes[0], legend=False)
EmbeddingDisplay.from_estimator(
    model, method="tsne", random_state=0, ax=axes[1], mark_centers=True
)
plt.show()

# %%
# The images
# ----------
#
# The most certain images of a cluster show what it stands for. The least certain ones
# show where it ends: there are the mistakes.

ClusterImagesDisplay.from_estimator(model, images, n_images=6, cmap="gray_r")
plt.show()

# %%
# How good is it?
# ---------------
#
# Only here the classes are used.

print(f"Accuracy: {clustering_accuracy(digits.target, model.labels_):.3f}")
