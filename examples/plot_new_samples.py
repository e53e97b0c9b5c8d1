"""
======================
New data in production
======================

A fitted estimator predicts samples it has not seen, one row or millions. It goes into a
file by joblib, and into other programs as a torch module or an ONNX file.
"""

# %%
# Fit to a part
# -------------
#
# The digits 0 to 5 as rows of 64 pixels. 500 are fitted; the others come later.

import logging
import tempfile
import warnings
from pathlib import Path

import joblib
import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skdeepclust import SelfPacedContrastiveClustering
from skdeepclust.display import ClusterImagesDisplay
from skdeepclust.metrics import clustering_accuracy

folder = Path(tempfile.mkdtemp())
X, y = load_digits(n_class=6, return_X_y=True)
fitted, new, y_fitted, y_new = train_test_split(X, y, train_size=500, random_state=0)

model = SelfPacedContrastiveClustering(n_clusters=6, random_state=0).fit(fitted)

# %%
# To a file and back
# ------------------
#
# The file holds arrays and plain values, no device. Load it with the versions that
# wrote it. Loading a pickle runs code: load only your own. A pipeline is written in the
# same way, its scaler and all.

joblib.dump(model, folder / "model.joblib")
loaded = joblib.load(folder / "model.joblib")
print(f"{(folder / 'model.joblib').stat().st_size / 1e6:.1f} MB")

# %%
# One row, or many
# ----------------
#
# The label of a row does not depend on the rows beside it. So data that do not fit into
# memory can be predicted in chunks.

print("One row:", loaded.predict(new[:1]), loaded.predict_proba(new[:1]).max().round(2))
chunks = np.array_split(new, 5)
labels = np.concatenate([loaded.predict(chunk) for chunk in chunks])
print("In chunks as at once:", (labels == model.predict(new)).all())

# %%
# Only here the classes are used:

print(f"Accuracy of the 500: {clustering_accuracy(y_fitted, model.labels_):.3f}")
print(f"Accuracy of new rows: {clustering_accuracy(y_new, labels):.3f}")

# %%
# Without this package
# --------------------
#
# ``to_module`` returns what ``predict_proba`` computes as one torch module, scaling
# included. torch writes it to a file that runs with torch alone.

module = model.to_module()
rows = torch.as_tensor(new, dtype=torch.float32)
any_number = ({0: torch.export.Dim("n")},)
program = torch.export.export(module, (rows[:4],), dynamic_shapes=any_number)
torch.export.save(program, folder / "model.pt2")

exported = torch.export.load(folder / "model.pt2").module()
probabilities = exported(rows).detach().numpy()
print("Largest difference:", np.abs(probabilities - model.predict_proba(new)).max())

# %%
# ONNX runs in other languages, too. It needs ``pip install "skdeepclust[onnx]"``.

try:
    import onnxruntime
    import onnxscript  # noqa: F401
except ImportError:
    print("onnxruntime or onnxscript is not installed")
else:
    path = folder / "model.onnx"
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            (rows[:4],),
            path,
            dynamo=True,
            dynamic_shapes=any_number,
            input_names=["rows"],
            verbose=False,
        )
    session = onnxruntime.InferenceSession(path)
    (probabilities,) = session.run(None, {"rows": rows.numpy()})
    print("Largest difference:", np.abs(probabilities - model.predict_proba(new)).max())

# %%
# What ``predict`` checks, a module does not: shapes, units, and values that are not
# finite. Check these before, and see :doc:`plot_doubt` for samples that belong nowhere.
#
# A picture
# ---------
#
# New digits, by the probabilities that ONNX Runtime or torch have computed.

ClusterImagesDisplay.from_predictions(
    new, probabilities, image_shape=(8, 8), n_images=6, cmap="gray_r"
)
plt.show()
