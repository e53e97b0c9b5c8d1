"""The choice among candidate partitions."""

from collections.abc import Collection, Mapping, Sequence
from itertools import combinations
from typing import Literal

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score

from .candidates import Candidate, CandidateSource
from .criterion import effective_number, link_over_split
from .graphs import table_graphs, widest

_LEVELLING = 1.0  # the resolution of modularity that prefers clusters of one size
_VOTING = (0.5, 0.35, 0.25)  # resolutions: half-way between equal and any sizes
_CHALLENGING = (1.0, 0.5, 0.25, 0.1, 0.05)
_UNCLEAR = 0.15  # mean conductance above which a graph tells little of sizes
_TELLING = (0.5, 0.35)  # resolutions that prefer one size half as much, or less
_EVEN = 0.91  # mean evenness at these of clusters of one size, but for errors
_FEW = 5  # below so many clusters, splitting one and joining two makes them even
_PLAUSIBLE = 0.65  # least evenness of a voter
_POSSIBLE = 0.5  # the same of a challenger
_CLEARLY = 0.2  # share of the conductance that a challenger may have
_DAMPING = 0.1


def find_clusters(
    graphs: Mapping[str, sp.csr_matrix],
    n_clusters: int,
    *,
    seed: int,
    resolution: float | Literal["auto"] = "auto",
    level: NDArray[np.int64] | None = None,
    voting: Collection[str] = (),
    telling: Collection[str] = (),
    challenging: Collection[str] = (),
) -> Candidate:
    """Find K clusters, of one size or not, in graphs of the same samples.

    Modularity at resolution 1 pulls clusters to one size. Its partition is taken where
    clusters stay even when that pull is halved (mean evenness of at least 0.91 at the
    resolutions .5 and .35), and where the graph is unclear (more than 0.15 of a
    cluster's weights leave it on average), so that nothing speaks for other sizes.
    Fewer than 5 clusters come out even too easily, by splitting one and joining two,
    and tell nothing. Elsewhere sizes may differ, and candidates of lower resolution
    vote: the one that agrees best with the others (ARI), which weigh by their links
    over splits, is taken.

    A candidate of a challenging graph, at any resolution, takes the place of what was
    found so if its clusters are so much better separated that their mean conductance
    is at most 0.2 of the other's. That is how shapes are found that the voters do not
    see, such as circles in the plane.

    A number as `resolution` leaves the choice of sizes to the caller. `level` is a
    partition at resolution 1 that is known already; it is judged by the last graph that
    votes. `voting`, `telling` (whether clusters stay even) and `challenging` name
    graphs; all of them vote, and those that vote tell, if none is named.
    """
    sources = {
        name: CandidateSource(name, graph, n_clusters, seed=seed)
        for name, graph in graphs.items()
    }
    voters = [sources[name] for name in voting or sources]
    if resolution != "auto":
        return _most_agreed([source.at(resolution) for source in voters], sources)
    if level is None:
        chosen = _most_agreed([source.at(_LEVELLING) for source in voters], sources)
    else:
        chosen = voters[-1].judge(level, _LEVELLING)
    told = [sources[name] for name in telling] or voters
    if is_clear(chosen) and not _stay_even(told):
        chosen = _most_agreed(_voters(voters), sources)
    return _challenged(chosen, [sources[name] for name in challenging])


def find_table_clusters(
    graphs: Mapping[str, sp.csr_matrix],
    n_clusters: int,
    *,
    seed: int,
    resolution: float | Literal["auto"] = "auto",
) -> Candidate:
    """Find K clusters in the graphs of a table, from `table_graphs`.

    That of cosines and the sum vote, any may challenge.
    """
    return find_clusters(
        graphs,
        n_clusters,
        seed=seed,
        resolution=resolution,
        voting=[name for name in ("cosine", "sum") if name in graphs],
        challenging=graphs,
    )


def is_clear(candidate: Candidate) -> bool:
    """Say whether a graph tells where clusters end.

    On average at most 0.15 of the edge weights of a cluster leave it.
    """
    return candidate.conductance <= _UNCLEAR


def is_even(labels: NDArray[np.int64], n_clusters: int) -> bool:
    """Say whether clusters are of one size, but for errors."""
    return effective_number(labels) >= _EVEN * n_clusters


def _stay_even(sources: Sequence[CandidateSource]) -> bool:
    """Say whether clusters stay even when little pulls them to one size."""
    evenness = np.mean([s.at(r).evenness for s in sources for r in _TELLING])
    return sources[0].n_clusters >= _FEW and bool(evenness >= _EVEN)


def _voters(sources: Sequence[CandidateSource]) -> list[Candidate]:
    """Return candidates of middle resolution, higher ones where clusters vanish."""
    for resolutions in (_VOTING, (0.7,), (_LEVELLING,)):
        found = [source.at(r) for source in sources for r in resolutions]
        voters = [c for c in found if c.evenness >= _PLAUSIBLE]
        if voters:
            return voters
    return found


def _most_agreed(
    voters: Sequence[Candidate], sources: Mapping[str, CandidateSource]
) -> Candidate:
    """Return the voter of largest weighted mean ARI with all of them."""
    if len(voters) == 1:
        return voters[0]
    ratios = [sources[c.graph].link_over_split(c) for c in voters]
    return voters[_medoid([c.labels for c in voters], ratios)]


def most_agreed(
    partitions: Sequence[NDArray[np.int64]], rows: NDArray[np.floating], *, seed: int
) -> int:
    """Return the place of the partition that agrees best with the others.

    By a graph of the rows (n, m) partitions are weighed: one that has strong links of
    clusters, or weak places within them, counts less.
    """
    graphs = table_graphs(rows)
    graph = graphs[widest(graphs)]
    ratios = []
    for labels in partitions:
        unbroken = np.unique(labels, return_inverse=True)[1]
        ratios.append(link_over_split(graph, unbroken, seed=seed))
    return _medoid(partitions, ratios)


def _medoid(partitions: Sequence[NDArray[np.int64]], ratios: Sequence[float]) -> int:
    weights = (_DAMPING + np.array(ratios)) ** -2
    agreement = np.eye(len(partitions))
    for (i, a), (j, b) in combinations(enumerate(partitions), 2):
        agreement[i, j] = agreement[j, i] = adjusted_rand_score(a, b)
    return int((agreement @ weights).argmax())


def _challenged(chosen: Candidate, sources: Sequence[CandidateSource]) -> Candidate:
    """Return the best challenger if it is clearly better, else what was chosen."""
    found = [source.at(r) for source in sources for r in _CHALLENGING]
    possible = [c for c in found if c.evenness >= _POSSIBLE]
    best = min(possible, key=lambda c: c.conductance, default=chosen)
    return best if best.conductance <= _CLEARLY * chosen.conductance else chosen


def matched(
    labels: NDArray[np.int64], reference: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Renumber clusters like those of another partition that they overlap."""
    n = int(max(labels.max(), reference.max())) + 1
    overlap = np.zeros((n, n), dtype=np.int64)
    np.add.at(overlap, (labels, reference), 1)
    _, number = linear_sum_assignment(overlap, maximize=True)
    return np.asarray(number[labels], dtype=np.int64)
