"""The tables of the thesis, each row beside what was measured here.

The numbers under "thesis" are those that the thesis prints, its own and those that it
quotes for other methods. What is measured here comes from the records of the quality
benchmark and from nowhere else.
"""

from dataclasses import dataclass

from benchmarks.common import tables
from benchmarks.common.methods import METHODS

SCORES = ("nmi", "acc", "ari")


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
NUMBERS = """
                    MNIST        CIFAR-10         CIFAR-100 (20)   STL-10
kmeans              .500 .572 -  .087 .228 -      .084 .129 -      .125 .192 -
spectral            .663 .696 -  .103 .247 .085   .090 .136 .022   .098 .159 .048
agglomerative       .609 .695 -  .105 .228 .065   .098 .138 .034   .239 .332 .140
autoencoder         .725 .812 -  .239 .314 .169   .100 .165 .048   .249 .303 .161
dec                 .772 .843 -  .257 .301 .161   .136 .185 .050   .276 .359 .186
dcn                 .810 .830 -  .246 .305 -      .125 .201 -      .241 .338 -
dkm                 .815 .840 -  .261 .353 -      .123 .181 -      .291 .326 -
PICA                -    -    -  .591 .696 .512   .310 .337 .171   .611 .713 .531
DRC                 -    -    -  .621 .727 .547   .356 .367 .208   .644 .747 .569
ours                .861 .875 -  .621 .719 -      .358 .382 -      .610 .702 -
graph               -    -    -  .661 .764 .602   .357 .393 .207   .663 .775 .627
center_only         .770 .829 -  .583 .667 -      -    -    -      -    -    -
center_consistency  .861 .875 -  .621 .719 -      -    -    -      -    -    -
simclr              -    -    -  -    .628 -      -    .380 -      -    -    -
simclr_spectral     -    -    -  -    .660 -      -    .292 -      -    -    -
graph_instance      -    -    -  -    .758 -      -    -    -      -    .731 -
graph_cluster       -    -    -  -    .761 -      -    -    -      -    .762 -
"""
"""The thesis's NMI, ACC and ARI; a method that is not in the benchmark has its name."""

DATASETS = ("MNIST", "CIFAR-10", "CIFAR-100 (20)", "STL-10")
KNOWN = {}
for _line in NUMBERS.splitlines()[2:]:
    _method, *_found = _line.split()
    for _i, _name in enumerate(DATASETS):
        if {*(_row := _found[3 * _i : 3 * _i + 3])} != {"-"}:
            KNOWN[_name, _method] = [
                "" if v == "-" else f"{float(v):.3f}" for v in _row
            ]

BASELINES = ("kmeans", "kmeans_unit", "spectral", "agglomerative", "nmf")
BASELINES += ("autoencoder", "denoising")
DEEP = ("dec", "idec", "dcn", "dkm", "vade")
OTHERS = ("PICA", "DRC")
OURS = ("umap", "simclr", "simclr_spectral", "ours", "graph")


@dataclass(frozen=True)
class Table:
    """A table, or some that belong together: `methods` are measured here.

    Those that it prints in the thesis are `printed`.
    """

    title: str
    names: tuple[str, ...]
    methods: tuple[str, ...]
    printed: tuple[str, ...]

    @property
    def datasets(self):
        """The data sets of the benchmark that stand for those of the thesis."""
        return [here for name in self.names for here in HERE.get(name, ())]


SELF_PACED = Table(
    "Tables 3.2 and 3.3: algorithm 3.3",
    DATASETS,
    (*BASELINES, *DEEP, *OURS),
    (*BASELINES, *DEEP, *OTHERS, "ours"),
)
GRAPH = Table(
    "Tables 4.2 to 4.4: algorithm 4.3",
    DATASETS[1:],
    (*BASELINES, *DEEP, *OURS),
    (*BASELINES, *DEEP, *OTHERS, "graph"),
)
CENTERS = ("center_only", "center_consistency")
SIMCLR = ("simclr", "simclr_spectral", "ours")
HEADS = ("graph_instance", "graph_cluster", "graph")
TABLES = {
    "3.2": SELF_PACED,
    "3.3": SELF_PACED,
    "3.4": Table(
        "Table 3.4: what view consistency adds to the center loss",
        DATASETS[:2],
        (*CENTERS, "no_stage_2", "ours"),
        CENTERS,
    ),
    "3.5": Table(
        "Table 3.5: contrastive features alone", DATASETS[1:3], SIMCLR, SIMCLR
    ),
    "4.2": GRAPH,
    "4.3": GRAPH,
    "4.4": GRAPH,
    "4.5": Table(
        "Table 4.5: instance head, cluster head, both",
        ("CIFAR-10", "STL-10"),
        HEADS,
        HEADS,
    ),
}


def make_tables(records, numbers=TABLES):
    """Return tables of the thesis, as lines of reStructuredText, each once."""
    marks, found = tables.letters(records), tables.grouped(records, "dataset", "method")
    lines = tables.setting(records)
    for table in {TABLES[number].title: TABLES[number] for number in numbers}.values():
        for name in table.names:
            there = {m: KNOWN[name, m] for m in table.printed if (name, m) in KNOWN}
            for here in HERE.get(name, (None,)):
                lines += tables.csv_table(
                    f"{table.title}: {name}" + (f" ({here})" if here else ""),
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
                            *there.get(method, ["", "", ""]),
                            *_own_cells(found.get((here, method)), here, method, marks),
                        )
                        for method in dict.fromkeys([*table.methods, *there])
                        # Where the data are here, no method is passed over in silence.
                        if here or method in there
                    ],
                )
                lines += [NOTES[here], ""] if here in NOTES else []
    return lines


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
