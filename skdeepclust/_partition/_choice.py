"""The choice among candidate partitions."""

from collections.abc import Mapping, Sequence

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.metrics import adjusted_rand_score

from ._candidates import Candidate, spectral_candidates

_VOTING = (0.5, 0.35, 0.25)  # resolutions: half-way between equal and any sizes
_PLAUSIBLE = 0.65  # least effective number of clusters of a voter, in units of K
_POSSIBLE = 0.5  # the same of a challenger
_CLEARLY = 0.3  # share of the normalized cut that a challenger may have
_DAMPING = 0.1


def find_clusters(
    graphs: Mapping[str, sp.csr_matrix], n_clusters: int, *, seed: int
) -> Candidate:
    """Find K clusters in one or several graphs of the same samples.

    No size of clusters is preferred. Candidates of middle resolution vote: the one
    that agrees best with the others (ARI), which weigh by their links over splits, is
    taken. A candidate of any graph and resolution takes its place if its clusters are
    so much better separated that its normalized cut is at most 0.3 of the other's.

    Parameters
    ----------
    graphs : mapping of str to sparse matrix of shape (n_samples, n_samples)
        Symmetric affinities. The first two vote.
    n_clusters : int
        Number of clusters K, at most n_samples.
    seed : int
        Seeds all of it.

    Returns
    -------
    Candidate
        The partition chosen.
    """
    candidates = spectral_candidates(graphs, n_clusters, seed=seed)
    voting = [*graphs][:2]
    voters = _voters([c for c in candidates if c.graph in voting], n_clusters)
    chosen = voters[int(_agreement(voters).argmax())]
    possible = [
        c for c in candidates if c.effective_number >= _POSSIBLE * n_clusters
    ] or [chosen]
    best = min(possible, key=lambda c: c.normalized_cut)
    clearly = best.normalized_cut <= _CLEARLY * chosen.normalized_cut
    return best if clearly else chosen


def _voters(candidates: list[Candidate], n_clusters: int) -> list[Candidate]:
    """Return candidates of middle resolution, higher ones where clusters vanish."""
    enough = _PLAUSIBLE * n_clusters
    for resolutions in (_VOTING, (0.7,), (1.0,)):
        voters = [
            c
            for c in candidates
            if c.resolution in resolutions and c.effective_number >= enough
        ]
        if voters:
            return voters
    return [c for c in candidates if c.resolution == 1.0]


def _agreement(voters: Sequence[Candidate]) -> NDArray[np.float64]:
    """Return the weighted mean ARI of each voter with all of them."""
    weights = np.array([1 / (_DAMPING + c.link_over_split) for c in voters])
    agreement = np.array(
        [[adjusted_rand_score(a.labels, b.labels) for b in voters] for a in voters]
    )
    mean: NDArray[np.float64] = agreement @ weights / weights.sum()
    return mean
