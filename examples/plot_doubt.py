"""
==================
Outliers and doubt
==================

``predict`` gives every sample a cluster. ``predict_proba`` tells which samples are
between clusters, and ``score_samples`` which are unlike all training data.
"""

# %%
# Fit to a part
# -------------
#
# The digits 0 to 4 are clustered. Of three parts one is fitted, one chooses thresholds,
# and one is new. To the new part come images that belong to no cluster: the digits 5 to
# 9, digits that are inverted, and digits whose pixels are shuffled.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skdeepclust import GraphContrastiveClustering

digits = load_digits()
known = digits.target < 5
fitted, rest, _, classes = train_test_split(
    digits.images[known], digits.target[known], train_size=300, random_state=0
)
held_out, new, _, classes = train_test_split(
    rest, classes, train_size=300, random_state=0
)
rng = np.random.default_rng(0)
shuffled = rng.permutation(new.reshape(-1, 64), axis=1).reshape(-1, 8, 8)
kinds = {
    "new digits 0-4": new,
    "digits 5-9": digits.images[~known][:300],
    "inverted": 16 - new,
    "shuffled": shuffled,
}

model = GraphContrastiveClustering(n_clusters=5, random_state=0).fit(fitted)

# %%
# A threshold
# -----------
#
# Take it from samples that were not fitted. Here 2 % of them are refused.

threshold = np.quantile(model.score_samples(held_out), 0.02)
doubt = np.quantile(model.predict_proba(held_out).max(axis=1), 0.02)

print(f"{'share refused by':16} score_samples  predict_proba  either")
for name, images in kinds.items():
    unusual = model.score_samples(images) < threshold
    unsure = model.predict_proba(images).max(axis=1) < doubt
    both = [each.mean() for each in (unusual, unsure, unusual | unsure)]
    print(f"{name:16} {both[0]:13.0%} {both[1]:14.0%} {both[2]:7.0%}")

# %%
# ``score_samples`` finds nearly all inverted and shuffled images. Digits of other
# classes are harder: they are made of the same strokes, and ``predict_proba`` refuses
# more of them. What only ``predict_proba`` refuses may well be an ordinary sample
# between two clusters.
#
# Mark what is refused with -1, as scikit-learn marks noise:

everything = np.concatenate([*kinds.values()])
labels = model.predict(everything)
labels[model.score_samples(everything) < threshold] = -1
print(np.bincount(labels + 1), "samples refused, and in each cluster")

# %%
# Doubt among the usual
# ---------------------
#
# Only here the classes are used: a new digit is right if its cluster is mostly of its
# class. The surest half is right more often than the rest.

probabilities = model.predict_proba(new)
clusters, certainty = probabilities.argmax(axis=1), probabilities.max(axis=1)
names = np.array([np.bincount(classes[clusters == k]).argmax() for k in range(5)])
right = names[clusters] == classes
surest = certainty >= np.median(certainty)
print(f"surest half: {right[surest].mean():.1%} right")
print(f"the rest: {right[~surest].mean():.1%} right")

# %%
# A picture
# ---------
#
# Rows are the kinds of images. Left: those with the lowest score among the refused.
# Right: those with the highest score among the kept.

figure, axes = plt.subplots(4, 13, figsize=(9, 3.6), layout="constrained")
for row, (name, images) in zip(axes, kinds.items(), strict=True):
    scores = model.score_samples(images)
    order = np.argsort(scores)
    refused = order[scores[order] < threshold][:6]
    kept = order[scores[order] >= threshold][::-1][:6]
    for ax in row:
        ax.set(xticks=[], yticks=[], frame_on=False)
    for ax, i in zip(row[:6], refused, strict=False):
        ax.imshow(images[i], cmap="gray_r", vmin=0, vmax=16)
    for ax, i in zip(row[7:], kept, strict=False):
        ax.imshow(images[i], cmap="gray_r", vmin=0, vmax=16)
    row[0].set_ylabel(name, rotation=0, ha="right", va="center")
axes[0, 2].set_title("refused")
axes[0, 9].set_title("kept")
plt.show()
