"""
=====================
How many clusters?
=====================

:func:`~skdeepclust.model_selection.estimate_n_clusters` cuts a graph of neighbours into
every number of clusters and scores the cuts. It is a hint, and the scores say more than
the one number.
"""

# %%
# An embedding that presumes nothing
# ----------------------------------
#
# An embedding that was trained for ten clusters tends to show ten. So nothing is
# trained here but stage 0, which knows of no clusters.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from skdeepclust import SelfPacedContrastiveClustering
from skdeepclust.model_selection import estimate_n_clusters

digits = load_digits()
images = (digits.images[:, None] / 16).astype(np.float32)

model = SelfPacedContrastiveClustering(
    2,
    encoder="mlp",
    hidden_layer_sizes=(128, 128),
    min_pretrain_steps=200,
    center_epochs=0,
    head_epochs=1,
    min_head_steps=0,
    contrastive_epochs=0,
    random_state=0,
).fit(images)

# %%
# The scores
# ----------
#
# The modularity is compared with half of what so many clusters could reach. The
# stability asks whether two subsamples agree. There are ten digits; an estimate need
# not be ten, since a digit that is written in two ways counts as two, and two that look
# alike as one.

figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained", sharex=True)
for ax, method in zip(axes, ("modularity", "stability"), strict=True):
    found, scores = estimate_n_clusters(
        model.embedding_,
        max_clusters=16,
        method=method,
        random_state=0,
        return_scores=True,
    )
    print(f"{method}: {found}")
    ax.plot([*scores], [*scores.values()], "o-", color="C0", markersize=4)
    ax.plot(found, scores[found], "D", color="C1", markersize=9, label="estimate")
    ax.axvline(10, color="0.5", linestyle=":", label="classes")
    ax.set(title=method.capitalize(), xlabel="number of clusters", ylabel="score")
    ax.set_xticks(range(2, 17, 2))
    ax.legend(loc="lower right")
plt.show()
