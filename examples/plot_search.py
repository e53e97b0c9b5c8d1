"""
====================================
Choose a parameter without classes
====================================

``GridSearchCV`` needs a score, and without classes there is no accuracy. Two scores
that need none are compared here, and in the end with the one that does.
"""

# %%
# A search
# --------
#
# The temperature of pretraining's loss decides how far the embedding spreads out.
# Each value is fitted to one half of the digits and scored on the other half, which the
# fit has not seen. A small network, every other digit and few steps keep this example
# short.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV

from skdeepclust import SelfPacedContrastiveClustering
from skdeepclust.metrics import accuracy_scorer
from skdeepclust.model_selection import silhouette_scorer

digits = load_digits()
images = (digits.images[::2, None] / 16).astype(np.float32)
classes = digits.target[::2]

model = SelfPacedContrastiveClustering(
    10,
    encoder="mlp",
    hidden_layer_sizes=(64, 64),
    batch_size=128,
    pretrain_epochs=13,
    center_epochs=3,
    head_epochs=9,
    contrastive_epochs=2,
    random_state=0,
)
temperatures = [0.05, 0.5, 2.0]
scores = {
    "modularity": lambda fitted, X, y=None: fitted.score(X),
    "silhouette": silhouette_scorer,
    "accuracy": accuracy_scorer,
}
search = GridSearchCV(
    model,
    {"pretext_temperature": temperatures},
    scoring=scores,
    cv=2,
    refit="modularity",
)
search.fit(images, classes)
print(search.best_params_)

# %%
# The fits have not looked at the classes, though the search was given them: it needs
# them for the third score.
#
# What the scores say
# -------------------
#
# The modularity asks whether neighbors in the embedding are in the same cluster, the
# silhouette whether a sample is far from the next cluster. Both are taken in the
# embedding that is being judged, so neither is to be trusted alone. Only the last panel
# uses the classes. With training cut so short, what the two scores like best need not
# be what the classes like best: look at pictures, too, before believing a score.

titles = ("Modularity", "Silhouette", "Accuracy (needs classes)")
figure, axes = plt.subplots(1, 3, figsize=(10, 3.2), layout="constrained")
for ax, name, title in zip(axes, scores, titles, strict=True):
    folds = [search.cv_results_[f"split{i}_test_{name}"] for i in range(2)]
    ax.plot(temperatures, np.mean(folds, axis=0), color="C0", label="mean")
    for fold in folds:
        ax.plot(temperatures, fold, "o", color="0.4", markersize=4)
    ax.set(title=title, xlabel="temperature", xscale="log")
    ax.set_xticks(temperatures, map(str, temperatures))
    ax.minorticks_off()
axes[0].set_ylabel("score (dots: folds)")
plt.show()
