"""
==============================
Interrupt, save, and go on
==============================

Long fits get interrupted, and fitted models outlive the program that made them. With
``checkpoint_dir`` the same call goes on, joblib writes a fitted model to a file, and
with ``warm_start`` it trains further.
"""

# %%
# A fit that breaks off
# ---------------------
#
# Something goes wrong in the midst of training. Here it is an augmentation that fails,
# after stage 0; elsewhere it is the power. The weights are on disk, written after each
# stage and every few seconds, and the same call goes on.

import tempfile
from pathlib import Path

import joblib
import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits

from skdeepclust import SelfPacedContrastiveClustering
from skdeepclust.display import TrainingCurveDisplay

digits = load_digits(n_class=5)
images = (digits.images[:, None] / 16).astype(np.float32)
folder = Path(tempfile.mkdtemp())
calls = 0


def shifting(batch):
    """Shift a batch by a pixel at most, and fail once."""
    global calls
    calls += 1
    if calls == 250:
        raise OSError("the power is gone")
    rows, columns = torch.randint(-1, 2, (2,)).tolist()
    return batch.roll((rows, columns), dims=(2, 3))


model = SelfPacedContrastiveClustering(
    5,
    encoder="mlp",
    hidden_layer_sizes=(64, 64),
    augmentation=shifting,
    pretrain_epochs=40,
    center_epochs=5,
    head_epochs=20,
    contrastive_epochs=10,
    checkpoint_dir=folder / "checkpoints",
    random_state=0,
)
try:
    model.fit(images)
except OSError as error:
    print("Interrupted:", error)
print([path.name for path in (folder / "checkpoints").rglob("*.pt")])

model.fit(images)
print("Epochs:", model.n_iter_)

# %%
# It is as if nothing had happened: a fit without interruption has the same history.

whole = SelfPacedContrastiveClustering(**model.get_params())
whole.set_params(checkpoint_dir=None).fit(images)
print("The same history:", whole.history_ == model.history_)

# %%
# To a file and back
# ------------------
#
# A file of joblib holds arrays and plain values, and names the function, which has to
# be there. As any pickle it may run code: load only your own.

joblib.dump(model, folder / "model.joblib")
loaded = joblib.load(folder / "model.joblib")
print("The same labels:", (loaded.predict(images) == model.labels_).all())

# %%
# Train further
# -------------
#
# With ``warm_start=True``, ``fit`` begins with the weights that are there and leaves
# out pretraining. The history grows: a stage that runs again is numbered.

loaded.set_params(warm_start=True).fit(images)
TrainingCurveDisplay.from_estimator(loaded, terms=["loss"])
plt.show()
