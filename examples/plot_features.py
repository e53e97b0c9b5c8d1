"""
==============================
Cluster patches of photographs
==============================

Cluster photographs by the features of a network, not by their pixels.
:class:`~skdeepclust.features.FeatureExtractor` puts any torch module at the head of a
pipeline. Here the module is a small bank of filters, and the photographs are two that
come with scikit-learn, cut into patches. A pretrained network takes the same place.
"""

# %%
# Two photographs, in patches
# ---------------------------
#
# Patches of 32 x 32 pixels, every 16 pixels. They stay uint8 and channels come first.

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.cluster import KMeans
from sklearn.datasets import load_sample_images
from sklearn.pipeline import make_pipeline
from torch import nn

from skdeepclust import SelfPacedContrastiveClustering
from skdeepclust.features import FeatureExtractor

photos = load_sample_images().images
windows = [
    np.lib.stride_tricks.sliding_window_view(photo, (32, 32), axis=(0, 1))[::16, ::16]
    for photo in photos
]
patches = np.concatenate([window.reshape(-1, 3, 32, 32) for window in windows])
print(patches.shape, patches.dtype)

# %%
# A module that sees colors and textures
# --------------------------------------
#
# Its output has shape (n, 27, height, width): the colors, and how strongly each of
# them varies in four directions at two scales. The extractor averages it over the
# patch, which leaves 27 features.


class Textures(nn.Module):
    """Colors, and the absolute responses of oriented filters to each of them."""

    def __init__(self):
        super().__init__()
        steps = torch.arange(-5.0, 6.0)
        y, x = torch.meshgrid(steps, steps, indexing="ij")
        filters = []
        for sigma in (1.0, 2.5):
            bell = torch.exp(-(x**2 + y**2) / (2 * sigma**2))
            for angle in torch.arange(4) * torch.pi / 4:
                edge = (x * angle.cos() + y * angle.sin()) * bell
                filters.append(edge / edge.abs().sum())
        self.register_buffer("bank", torch.stack(filters)[:, None].repeat(3, 1, 1, 1))

    def forward(self, photos):
        edges = nn.functional.conv2d(photos, self.bank, groups=3)
        colors = photos[..., 5:-5, 5:-5]  # where the filters fit in
        return torch.cat([colors, 5 * edges.abs()], dim=1)


# %%
# Patches to features to clusters
# -------------------------------
#
# The extractor scales uint8 to [0, 1] and learns nothing. The clusterer takes its
# features as a table. With ``memory=``, the pipeline keeps the features on disk for the
# next fit.

model = make_pipeline(
    FeatureExtractor(Textures()),
    SelfPacedContrastiveClustering(n_clusters=6, random_state=0),
)
clusters = model.fit(patches).predict(patches)

# %%
# Where the clusters are
# ----------------------
#
# Each patch is drawn where it was cut. Nothing has told the model which patches are
# neighbors, or which photograph they are from. K-means on the pixels sees how bright
# a patch is; the features also tell the smooth from the rough.

pixels = patches.reshape(len(patches), -1) / 255
by_pixels = KMeans(6, n_init=3, random_state=0).fit_predict(pixels)
grid = (len(photos), *windows[0].shape[:2])
pictures = {
    "Photographs": photos,
    "Pixels, k-means": by_pixels.reshape(grid),
    "Features, deep clustering": clusters.reshape(grid),
}

figure, axes = plt.subplots(2, 3, figsize=(11, 5), layout="constrained")
for column, (title, pair) in zip(axes.T, pictures.items(), strict=True):
    column[0].set_title(title)
    for ax, picture in zip(column, pair, strict=True):
        ax.imshow(picture, cmap="tab10", vmin=0, vmax=9)
        ax.set_axis_off()
plt.show()
