"""
==========================
Interrupt a fit, and go on
==========================

Long fits get interrupted. With ``checkpoint_dir`` the same call goes on where training
was, and with ``warm_start`` a fitted model trains further.
"""

# %%
# A fit that breaks off
# ---------------------
#
# Here the augmentation fails, in the middle of training; elsewhere it is the power. The
# weights are on disk, written after each stage and, in a long one, every few seconds.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits

from skdeepclust import SelfPacedContrastiveClustering
from skdeepclust.display import TrainingCurveDisplay

X, _ = load_digits(n_class=5, return_X_y=True)
folder = Path(tempfile.mkdtemp())
calls = 0


def noisy(batch):
    """Add noise to a batch, and fail once."""
    global calls
    calls += 1
    if calls == 100:
        raise OSError("the power is gone")
    return batch + 0.3 * torch.randn_like(batch)


model = SelfPacedContrastiveClustering(
    n_clusters=5, augmentation=noisy, checkpoint_dir=folder, random_state=0
)
try:
    model.fit(X)
except OSError as error:
    print(f"Interrupted at call {calls}:", error)
print("Checkpoints:", len([*folder.rglob("*.pt")]))

# %%
# The same call goes on. When it has come to its end, the files are removed.

model.fit(X)
print("Calls:", calls)
print("Epochs:", model.n_iter_)
print("Checkpoints:", len([*folder.rglob("*.pt")]))

# %%
# The results are those of a fit without interruption.

whole = SelfPacedContrastiveClustering(**model.get_params())
whole.set_params(checkpoint_dir=None).fit(X)
print("The same history:", whole.history_ == model.history_)

# %%
# Train further
# -------------
#
# With ``warm_start=True``, ``fit`` begins with the weights that are there and leaves
# out pretraining. The history grows: a stage that runs again is numbered.
# :doc:`plot_new_samples` writes a fitted model to a file; :ref:`state` has the rest.

model.set_params(warm_start=True, checkpoint_dir=None).fit(X)
TrainingCurveDisplay.from_estimator(model, terms=["loss"])
plt.show()
