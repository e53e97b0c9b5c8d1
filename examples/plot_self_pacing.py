"""
=======================
Watch the pace of pairs
=======================

Self-paced training begins with the pairs of samples that it is sure of. Similar pairs
are positives, dissimilar ones negatives. Pairs in between are ambiguous, and ignored
until they have become clear.
"""

# %%
# Begin with few certain pairs
# ----------------------------
#
# The cluster head is usually trained so well that most pairs are clear from the start.
# Here it gets few epochs, and stage 2 more than usual, so that there is something to
# see. The pair sets are recomputed after each epoch. Digits are rows of 64 pixels.

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits

from skdeepclust import SelfPacedContrastiveClustering
from skdeepclust.display import TrainingCurveDisplay
from skdeepclust.metrics import clustering_accuracy

X, y = load_digits(return_X_y=True)
X, y = X[:900], y[:900]

model = SelfPacedContrastiveClustering(
    n_clusters=10, head_epochs=3, contrastive_epochs=12, random_state=0
).fit(X)

# %%
# Stage 2
# -------
#
# At first all pairs but a few are negatives, and none is similar enough to be a
# positive. Then pairs become ambiguous, and ambiguous pairs become positives. With ten
# clusters of one size, a tenth of all pairs is within a cluster, so the positives end
# near 10 %.

TrainingCurveDisplay.from_estimator(
    model,
    stages=["contrastive"],
    terms=[
        "pair_contrastive",
        "cluster_balance",
        *(f"{kind}_pairs" for kind in ("positive", "negative", "ambiguous")),
    ],
)
plt.show()

# %%
# All stages
# ----------
#
# Each term has a scale of its own. Terms of different stages cannot be compared, since
# each stage minimizes another loss.

TrainingCurveDisplay.from_estimator(model)
plt.show()

# %%
# How good is it?
# ---------------
#
# Only here the classes are used.

print(f"Accuracy: {clustering_accuracy(y, model.labels_):.3f}")
