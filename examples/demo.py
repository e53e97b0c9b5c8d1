"""Cluster scikit-learn's bundled digits, without their classes, and draw the result.

``make demo`` runs it: a table of scores beside k-means, and the picture ``demo.png``.
The classes are used for the scores alone.
"""

import time
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.patheffects as patheffects
import matplotlib.pyplot as plt
import numpy as np
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.manifold import TSNE
from sklearn.metrics import adjusted_rand_score

from skdeepclust import SelfPacedContrastiveClustering
from skdeepclust.metrics import clustering_accuracy, normalized_mutual_info

N_CLUSTERS = 10
N_SHOWN = 12
ROW, COLUMN = 1.2, 1.05  # spacing of the sample images
INK, FAINT = "#222222", "#767676"
# Paul Tol's "muted" scheme, which color-blind readers can tell apart; its pale gray,
# too faint for points, is nearly black here.
PALETTE = [
    "#332288",
    "#88CCEE",
    "#117733",
    "#DDCC77",
    "#CC6677",
    "#44AA99",
    "#882255",
    "#999933",
    "#AA4499",
    "#222222",
]


def load_images():
    """Return the digits as images (n, 1, 8, 8) in [0, 1], and their classes."""
    digits = load_digits()
    return (digits.images[:, None] / 16).astype(np.float32), digits.target


def timed_fit(model, X):
    """Fit, and return the model and the seconds that it took."""
    start = time.perf_counter()
    model.fit(X)
    return model, time.perf_counter() - start


def score(y, labels):
    """Return ACC, NMI by the larger entropy, and ARI."""
    return (
        clustering_accuracy(y, labels),
        normalized_mutual_info(y, labels),
        adjusted_rand_score(y, labels),
    )


def print_table(y, results):
    """Print one line of scores for each ``name: (model, seconds)``."""
    width = max(map(len, results))
    print(f"{'':{width}}    ACC    NMI    ARI  seconds")
    for name, (model, seconds) in results.items():
        acc, nmi, ari = score(y, model.labels_)
        print(f"{name:{width}}  {acc:.3f}  {nmi:.3f}  {ari:.3f}  {seconds:7.1f}")


def draw_embedding(ax, points, labels):
    """Scatter the embedding, each cluster in its color and with its number."""
    colors = np.array(PALETTE)[labels]
    # In random order, so that no cluster is painted over another.
    order = np.random.default_rng(0).permutation(len(points))
    ax.scatter(*points[order].T, s=11, c=colors[order], alpha=0.85, linewidths=0)
    outline = [patheffects.withStroke(linewidth=3.5, foreground="white")]
    for cluster in np.unique(labels):
        x, y = np.median(points[labels == cluster], axis=0)
        ax.text(
            x,
            y,
            str(cluster),
            color=INK,
            fontsize=17,
            fontweight="bold",
            ha="center",
            va="center",
            path_effects=outline,
        )
    ax.set(xticks=[], yticks=[], aspect="equal", anchor="N")
    ax.margins(0.02)
    ax.spines[:].set_visible(False)
    ax.set_title(
        "Embedding in two dimensions (t-SNE); numbers name clusters, not digits",
        color=INK,
        pad=12,
    )


def draw_samples(ax, images, labels, certainty):
    """Show the most certain images, one row a cluster; the rows are the legend."""
    height, width = images.shape[-2:]
    for cluster in range(N_CLUSTERS):
        members = np.flatnonzero(labels == cluster)
        best = members[np.argsort(-certainty[members], kind="stable")][:N_SHOWN]
        for column, image in enumerate(images[best, 0]):
            left, top = column * COLUMN, cluster * ROW
            ax.imshow(
                image,
                cmap="gray_r",
                vmin=0,
                vmax=1,
                extent=(left, left + width / height, top + 1, top),
                interpolation="nearest",
            )
        middle = cluster * ROW + 0.5
        ax.scatter(-1.15, middle, s=120, color=PALETTE[cluster], clip_on=False)
        ax.text(-0.7, middle, str(cluster), fontsize=14, fontweight="bold", va="center")
        ax.text(
            N_SHOWN * COLUMN + 0.25,
            middle,
            f"{len(members)}",
            color=FAINT,
            fontsize=11,
            va="center",
        )
    ax.text(
        N_SHOWN * COLUMN + 0.25, -0.3, "size", color=FAINT, fontsize=11, va="center"
    )
    ax.set(xlim=(-1.5, N_SHOWN * COLUMN + 1.3), ylim=(N_CLUSTERS * ROW, -0.55))
    ax.set(aspect="equal", anchor="N")
    ax.axis("off")
    ax.set_title(
        f"The {N_SHOWN} most certain images of each cluster", color=INK, pad=12
    )


def draw(path, images, model):
    """Write the picture: the embedding on the left, sample images on the right."""
    points = TSNE(init="pca", random_state=0).fit_transform(model.embedding_)
    certainty = model.predict_proba(images).max(axis=1)
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(15, 7.6), width_ratios=(1, 1.04), layout="constrained"
    )
    figure.get_layout_engine().set(w_pad=0.15, h_pad=0.12, wspace=0.03)
    draw_embedding(left, points, model.labels_)
    draw_samples(right, images, model.labels_, certainty)
    figure.suptitle(
        f"{len(images):,} handwritten digits in {N_CLUSTERS} clusters, found without "
        "classes",
        fontsize=17,
        color=INK,
    )
    figure.savefig(path, dpi=120, facecolor="white")
    plt.close(figure)


def main(path="demo.png", **parameters):
    """Cluster, print the scores, draw; `parameters` go to the estimator."""
    images, y = load_images()
    print(f"Clustering {len(images):,} images of 8 x 8 pixels, for half a minute ...")
    results = {
        "k-means": timed_fit(
            KMeans(N_CLUSTERS, n_init=10, random_state=0), images.reshape(len(y), -1)
        ),
        "SelfPacedContrastiveClustering": timed_fit(
            SelfPacedContrastiveClustering(N_CLUSTERS, random_state=0, **parameters),
            images,
        ),
    }
    print_table(y, results)
    draw(path, images, results["SelfPacedContrastiveClustering"][0])
    print(f"\n{Path(path).name}: the embedding, and sample images of each cluster")


if __name__ == "__main__":
    main()
