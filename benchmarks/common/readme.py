"""The rows of results in README.rst, from the records.

``python -m benchmarks readme`` writes them. Scores are means over seeds, the worst in
brackets; seconds are medians.
"""

import re
import statistics
from pathlib import Path

from benchmarks.common import tables
from benchmarks.common.data import ROOT, TABLES
from benchmarks.common.records import RESULTS, read_records, write_atomically

README = ROOT / "README.rst"
SHOWN = ("kmeans", "umap", "ours", "graph")
TIMED = ("umap", "ours", "graph")
UNEVEN = ("digits_uneven", *(f"digits_uneven_{i}" for i in range(1, 5)))

# What rows begin with, and the data sets that they are about.
IMAGES = {
    "digits, 1,797 images": ("digits",),
    "MNIST, its 10,000 test images": ("mnist_10k",),
    "COIL-20": ("coil20",),
    "Fashion-MNIST, 10,000 images": ("fashion_10k",),
    "CIFAR-10, 10,000 rows": ("cifar10_features",),
    "digits, five parts": UNEVEN,
    "MNIST, 4,046 images": ("mnist_uneven",),
}
TIMES = {
    "MNIST, seconds": "mnist_10k",
    "Fashion-MNIST, seconds": "fashion",
}


def _accuracy(runs, method):
    values = [run["acc"] for run in runs]
    text = f"{statistics.fmean(values):.3f}"
    return text if method in ("kmeans", "umap") else f"{text} ({min(values):.3f})"


def _cells(label, quality, peers):
    """Return the cells of a row, by what it begins with."""
    if label == "**mean**":
        sets = [quality[name] for name in TABLES]
        means = [
            statistics.fmean(
                statistics.fmean(run["ari"] for run in runs[method]) for runs in sets
            )
            for method in SHOWN
        ]
        return [f"**{value:.3f}**" for value in means]
    if label == "Twelve tables, geometric mean of seconds":
        seconds = [_medians(peers[name]) for name in TABLES]
        means = map(statistics.geometric_mean, zip(*seconds, strict=True))
        return [f"{value:.1f}" for value in means]
    for start, name in TIMES.items():
        if label.startswith(start):
            return [f"{value:.1f}" for value in _medians(peers[name])]
    for start, names in IMAGES.items():
        if label.startswith(start):
            return [
                _accuracy([run for n in names for run in quality[n][m]], m)
                for m in SHOWN
            ]
    name = label.partition(",")[0]
    return [
        f"{statistics.fmean(run['ari'] for run in quality[name][method]):.3f}"
        for method in SHOWN
    ]


def _medians(runs):
    return [statistics.median(run["cpu_seconds"] for run in runs[m]) for m in TIMED]


def _by_set(name):
    records = read_records(RESULTS / f"{name}.json")
    return {
        data: tables.grouped(runs, "method")
        for data, runs in tables.grouped(records, "dataset").items()
    }


def renewed(text):
    """Return the README with the rows of its tables of results renewed."""
    quality, peers = _by_set("quality"), _by_set("peers")

    def table(match):
        head, *rows = match["rows"].splitlines()
        labels = [re.match(r' +"([^"]*)"', row)[1] for row in rows]
        cells = [[label, *_cells(label, quality, peers)] for label in labels]
        lines = ["   " + ", ".join(f'"{cell}"' for cell in row) for row in cells]
        return match["start"] + "\n".join([head, *lines]) + "\n"

    pattern = r'(?P<start>^\.\. csv-table::\n(?:   :.*\n)*\n)(?P<rows>(?:   ".*\n)+)'
    return re.sub(pattern, table, text, flags=re.MULTILINE)


def main(arguments=None):
    """Run the command."""
    (path,) = arguments or [README]
    write_atomically(Path(path), renewed(README.read_text(encoding="utf-8")))
