"""The tables of the thesis, each row beside what was measured here.

The numbers under "thesis" are those that the thesis prints, its own and those that it
quotes for other methods. What is measured here comes from the records of the quality
benchmark and from nowhere else.
"""

from dataclasses import dataclass

from benchmarks.common import tables
from benchmarks.common.methods import METHODS

SCORES = ("nmi", "acc", "ari")


@dataclass(frozen=True)
class Table:
    """One table, or some that belong together.

    `rows` are the thesis's NMI, ACC and ARI, by data set and method; a method that is
    not in the benchmark stands under its name.
    """

    title: str
    rows: dict[str, dict[str, tuple[float | None, ...]]]
    methods: tuple[str, ...]

    @property
    def datasets(self):
        """The data sets of the benchmark that stand for those of the thesis."""
        return [here for name in self.rows for here in HERE.get(name, ())]


# What stands in the place of a data set of the thesis.
HERE = {"MNIST": ("mnist_10k",), "CIFAR-10": ("cifar10_10k", "cifar10_features")}
NOTES = {
    "mnist_10k": "Here 10,000 of its images, there 70,000.",
    "cifar10_10k": (
        "Here 10,000 of its images and the small network of the defaults, on a CPU; "
        "there 60,000, and for the thesis's own rows a ResNet before all else."
    ),
    "cifar10_features": (
        "Here features of a pretrained network for 10,000 images; there 60,000: the "
        "images themselves for other methods that learn, features of a ResNet for the "
        "thesis's own rows."
    ),
}
NOT_HERE = "not measured"
UNSUITABLE = {("cifar10_features", "vade"): "needs values from 0 to 1"}
NO_CODE = "no implementation that could be installed"
BASELINES = (
    "kmeans",
    "kmeans_unit",
    "spectral",
    "agglomerative",
    "nmf",
    "autoencoder",
    "denoising",
)
DEEP = ("dec", "idec", "dcn", "dkm", "vade")
OURS = ("umap", "simclr", "simclr_spectral", "ours", "graph")
# NMI, ACC and ARI.
COLOR = {
    "CIFAR-10": {
        "kmeans": (0.087, 0.228, None),
        "spectral": (0.103, 0.247, 0.085),
        "agglomerative": (0.105, 0.228, 0.065),
        "autoencoder": (0.239, 0.314, 0.169),
        "dec": (0.257, 0.301, 0.161),
        "dcn": (0.246, 0.305, None),
        "dkm": (0.261, 0.353, None),
        "PICA": (0.591, 0.696, 0.512),
        "DRC": (0.621, 0.727, 0.547),
    },
    "CIFAR-100 (20)": {
        "kmeans": (0.084, 0.129, None),
        "spectral": (0.090, 0.136, 0.022),
        "agglomerative": (0.098, 0.138, 0.034),
        "autoencoder": (0.100, 0.165, 0.048),
        "dec": (0.136, 0.185, 0.050),
        "dcn": (0.125, 0.201, None),
        "dkm": (0.123, 0.181, None),
        "PICA": (0.310, 0.337, 0.171),
        "DRC": (0.356, 0.367, 0.208),
    },
    "STL-10": {
        "kmeans": (0.125, 0.192, None),
        "spectral": (0.098, 0.159, 0.048),
        "agglomerative": (0.239, 0.332, 0.140),
        "autoencoder": (0.249, 0.303, 0.161),
        "dec": (0.276, 0.359, 0.186),
        "dcn": (0.241, 0.338, None),
        "dkm": (0.291, 0.326, None),
        "PICA": (0.611, 0.713, 0.531),
        "DRC": (0.644, 0.747, 0.569),
    },
}
MNIST = {
    "kmeans": (0.500, 0.572),
    "spectral": (0.663, 0.696),
    "agglomerative": (0.609, 0.695),
    "autoencoder": (0.725, 0.812),
    "dec": (0.772, 0.843),
    "dcn": (0.810, 0.830),
    "dkm": (0.815, 0.840),
    "ours": (0.861, 0.875),
}


def _with(method, values):
    """Return the tables of color images with a row of the thesis's own method."""
    return {
        name: {**rows, method: row}
        for (name, rows), row in zip(COLOR.items(), values, strict=True)
    }


SELF_PACED = Table(
    "Tables 3.2 and 3.3: algorithm 3.3",
    {
        "MNIST": MNIST,
        **_with("ours", [(0.621, 0.719), (0.358, 0.382), (0.610, 0.702)]),
    },
    (*BASELINES, *DEEP, *OURS),
)
GRAPH = Table(
    "Tables 4.2 to 4.4: algorithm 4.3",
    _with(
        "graph", [(0.661, 0.764, 0.602), (0.357, 0.393, 0.207), (0.663, 0.775, 0.627)]
    ),
    (*BASELINES, *DEEP, *OURS),
)
TABLES = {
    "3.2": SELF_PACED,
    "3.3": SELF_PACED,
    "3.4": Table(
        "Table 3.4: what view consistency adds to the center loss",
        {
            "MNIST": {
                "center_only": (0.770, 0.829),
                "center_consistency": (0.861, 0.875),
            },
            "CIFAR-10": {
                "center_only": (0.583, 0.667),
                "center_consistency": (0.621, 0.719),
            },
        },
        ("center_only", "center_consistency", "no_stage_2", "ours"),
    ),
    "3.5": Table(
        "Table 3.5: contrastive features alone",
        {
            "CIFAR-10": {
                "simclr": (None, 0.628),
                "simclr_spectral": (None, 0.660),
                "ours": (0.621, 0.719),
            },
            "CIFAR-100 (20)": {
                "simclr": (None, 0.380),
                "simclr_spectral": (None, 0.292),
                "ours": (0.358, 0.382),
            },
        },
        ("simclr", "simclr_spectral", "ours"),
    ),
    "4.2": GRAPH,
    "4.3": GRAPH,
    "4.4": GRAPH,
    "4.5": Table(
        "Table 4.5: instance head, cluster head, both",
        {
            "CIFAR-10": {
                "graph_instance": (None, 0.758),
                "graph_cluster": (None, 0.761),
                "graph": (0.661, 0.764, 0.602),
            },
            "STL-10": {
                "graph_instance": (None, 0.731),
                "graph_cluster": (None, 0.762),
                "graph": (0.663, 0.775, 0.627),
            },
        },
        ("graph_instance", "graph_cluster", "graph"),
    ),
}


def make_tables(records, numbers=TABLES):
    """Return tables of the thesis, as lines of reStructuredText, each once."""
    marks, found = tables.letters(records), tables.grouped(records, "dataset", "method")
    lines = tables.setting(records)
    for title, table in {TABLES[n].title: TABLES[n] for n in numbers}.items():
        for name, rows in table.rows.items():
            others = [method for method in rows if method not in METHODS]
            for here in HERE.get(name, (None,)):
                # Where the data are here, no method is passed over in silence.
                methods = [m for m in (*table.methods, *others) if here or m in rows]
                lines += tables.csv_table(
                    f"{title}: {name}" + (f" ({here})" if here else ""),
                    [
                        "Method",
                        *(f"{score.upper()}, thesis" for score in SCORES),
                        *(f"{score.upper()}, here" for score in SCORES),
                        "Seeds",
                        "Seconds",
                        "MB",
                    ],
                    [
                        (
                            METHODS[method].label if method in METHODS else method,
                            *_thesis_cells(rows.get(method, ())),
                            *_own_cells(found.get((here, method)), here, method, marks),
                        )
                        for method in methods
                    ],
                )
                lines += [NOTES[here], ""] if here in NOTES else []
    return lines


def _thesis_cells(row):
    values = (*row, None, None, None)[: len(SCORES)]
    return ["" if value is None else f"{value:.3f}" for value in values]


def _own_cells(runs, here, method, marks):
    if not runs:
        reason = NO_CODE if method not in METHODS else "not run, for want of time"
        reason = UNSUITABLE.get((here, method), reason)
        return [NOT_HERE if here is None else reason, "", "", "", "", ""]
    return [
        *(tables.spread([run[score] for run in runs]) for score in SCORES),
        str(len(runs)),
        tables.duration(runs, marks),
        tables.memory(runs),
    ]
