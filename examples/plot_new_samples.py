"""
============================
Samples that come later
============================

A fitted estimator predicts the clusters of samples it has not seen, and says how sure
it is. So a large collection may be clustered by fitting to a part of it.
"""

# %%
# Fit to a half
# -------------
#
# A small network and few steps keep this example short.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skdeepclust import SelfPacedContrastiveClustering
from skdeepclust.metrics import clustering_accuracy

digits = load_digits()
images = (digits.images[:, None] / 16).astype(np.float32)
seen, new, _, classes = train_test_split(
    images, digits.target, test_size=0.5, random_state=0
)

model = SelfPacedContrastiveClustering(
    10,
    encoder="mlp",
    hidden_layer_sizes=(128, 128),
    pretrain_epochs=80,
    center_epochs=10,
    head_epochs=34,
    random_state=0,
).fit(seen)

# %%
# Predict the other half
# ----------------------
#
# The clusters of new samples have the numbers of ``labels_``, which are the columns of
# ``predict_proba``.

probabilities = model.predict_proba(new)
clusters = model.predict(new)
certainty = probabilities.max(axis=1)
print(f"Accuracy on new digits: {clustering_accuracy(classes, clusters):.3f}")

# %%
# Those it is least sure of
# -------------------------
#
# Bars are the probabilities of the ten clusters. Digits between two clusters are drawn
# in a way that people hesitate at, too.

unsure = np.argsort(certainty)[:8]
figure, axes = plt.subplots(
    2, 8, figsize=(10, 2.9), layout="constrained", height_ratios=(2, 1)
)
for (top, bottom), i in zip(axes.T, unsure, strict=True):
    top.imshow(new[i, 0], cmap="gray_r")
    top.set_axis_off()
    bottom.bar(range(10), probabilities[i], color="C0")
    bottom.set(ylim=(0, 1), xticks=(0, 9), yticks=())
axes[1, 0].set(ylabel="probability", yticks=(0, 1))
figure.supxlabel("cluster", fontsize="medium")
plt.show()

# %%
# Is it right to be sure?
# -----------------------
#
# Only here the classes are used: samples are right when their cluster is mostly of
# their class. The surer half is right more often than the rest.

names = np.array([np.bincount(classes[clusters == k]).argmax() for k in clusters])
right = names == classes
order = np.argsort(-certainty)
share = np.arange(1, len(new) + 1) / len(new)

figure, ax = plt.subplots(figsize=(5.5, 3.4), layout="constrained")
ax.plot(share[40:], (np.cumsum(right[order]) / np.arange(1, len(new) + 1))[40:])
ax.set(
    xlabel="share of new digits kept, the surest first",
    ylabel="share of these that is right",
    xlim=(0, 1),
)
plt.show()
