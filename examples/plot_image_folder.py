"""
===================================
A folder of images of several sizes
===================================

The estimators take one array, so all images need one size. Pillow, which comes with
matplotlib, reads and resizes them in five lines.
"""

# %%
# Make a folder
# -------------
#
# Your own folder takes the place of this one. Here digits are written as PNG files,
# with 12 to 40 pixels a side, most of them not square.

import shutil
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image, ImageOps
from sklearn.datasets import load_digits

from skdeepclust import SelfPacedContrastiveClustering

folder = Path(tempfile.mkdtemp())
rng = np.random.default_rng(0)
digits = load_digits(n_class=4)
for i, digit in enumerate(digits.images[:200]):
    pixels = Image.fromarray((255 - digit * 15.9).astype(np.uint8))
    side = int(rng.integers(12, 33))
    width = side + int(rng.integers(0, 9))
    picture = ImageOps.pad(pixels.resize((side, side)), (width, side), color=255)
    picture.save(folder / f"{i:03}.png")

# %%
# Load it
# -------
#
# ``pad`` keeps the proportions and fills the rest; ``fit`` in place of ``pad`` cuts off
# what is too long. Choose the smallest size at which *you* still see what makes a
# cluster, since time grows with the number of pixels; 8 x 8 is the least that the
# convolutional encoder takes. Gray images make an array of shape (n,
# height, width). For color use ``convert("RGB")``, and move the channels to the front
# with ``np.moveaxis(images, -1, 1)``. uint8 stays uint8 in memory.


def load(folder, size=(8, 8)):
    """Return the paths of all images below a folder, and the images of one size."""
    paths = sorted([*folder.rglob("*.png"), *folder.rglob("*.jpg")])
    images = (Image.open(path).convert("L") for path in paths)
    return paths, np.stack([ImageOps.pad(each, size, color=255) for each in images])


paths, images = load(folder)
print(images.shape, images.dtype)

# %%
# Cluster it
# ----------
#
# Labels are in the order of the paths, so files can be sorted into one folder for each
# cluster.

model = SelfPacedContrastiveClustering(n_clusters=4, random_state=0).fit(images)

for path, label in zip(paths, model.labels_, strict=True):
    target = folder / "clusters" / str(label) / path.name
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(path, target)
for cluster in sorted((folder / "clusters").iterdir()):
    names = sorted(path.name for path in cluster.iterdir())
    print(f"cluster {cluster.name}: {len(names)} files,", *names[:4], "...")

# %%
# A contact sheet of each cluster
# -------------------------------
#
# The surest images come first, in rows; what does not belong tends to come last. Of
# each cluster the first 40 are drawn.

certainty = model.predict_proba(images).max(axis=1)
figure, axes = plt.subplots(2, 2, figsize=(9, 6.4), layout="constrained")
figure.get_layout_engine().set(wspace=0.08)
for cluster, ax in enumerate(axes.flat):
    members = np.flatnonzero(model.labels_ == cluster)
    members = members[np.argsort(-certainty[members])][:40]
    sheet = np.full((5 * 8, *images.shape[1:]), 255, np.uint8)
    sheet[: len(members)] = images[members]
    rows = sheet.reshape(5, 8, *images.shape[1:]).swapaxes(1, 2)
    ax.imshow(rows.reshape(5 * images.shape[1], -1), cmap="gray")
    ax.set_title(f"cluster {cluster}: {np.sum(model.labels_ == cluster)} images")
    ax.set_axis_off()
plt.show()

shutil.rmtree(folder)

# %%
# :class:`~skdeepclust.display.ClusterImagesDisplay` draws the surest images of each
# cluster beside the least sure ones: see :doc:`plot_embedding`.
