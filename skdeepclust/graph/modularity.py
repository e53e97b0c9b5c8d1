"""Partitions of graphs: modularity, and making it larger."""

from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ._checks import _check_count, _check_graphs, _check_labels


class Modularity:
    """The modularity of partitions, summed over graphs of the same nodes.

    Modularity is the share of a graph's affinities that lies inside the clusters minus
    the share expected there if each node kept its degree and chose its partners at
    random (Newman, 2006). It is not in the thesis. A graph without edges adds nothing.
    Every step needs memory for ``n_nodes * n_clusters`` numbers.

    Parameters
    ----------
    affinities : sequence of sparse or dense matrices of shape (n_nodes, n_nodes)
        Finite, non-negative and symmetric up to rounding, as from `symmetric_affinity`.
    resolution : float, default=1.0
        Weight of the expected share, at least 0. Larger values favor clusters of one
        size (Reichardt and Bornholdt, 2006).

    Examples
    --------
    >>> import numpy as np, scipy.sparse as sp
    >>> from skdeepclust.graph import Modularity
    >>> pairs = sp.csr_matrix(np.kron(np.eye(2), [[0.0, 1.0], [1.0, 0.0]]))
    >>> criterion = Modularity([pairs])
    >>> criterion(np.array([0, 0, 1, 1])), criterion(np.array([0, 1, 0, 1]))
    (0.5, -0.5)
    """

    def __init__(self, affinities: Sequence[Any], resolution: float = 1.0) -> None:
        if not isinstance(resolution, Real) or not 0 <= resolution < np.inf:
            raise ValueError(
                f"resolution must be finite and at least 0; got {resolution!r}: pass 1 "
                f"for Newman's modularity."
            )
        checked = _check_graphs("affinities", affinities)
        self.n_nodes: int = checked[0][0].shape[0]
        self.graphs: list[tuple[sp.csr_matrix, NDArray[np.float64]]] = []
        for weights, total in checked:
            if total > 0:
                share = weights / total
                # Degrees enter in pairs: each brings the root of the weight.
                degrees = np.asarray(share.sum(axis=1)).ravel() * np.sqrt(resolution)
                self.graphs.append((share, degrees))

    def __call__(self, labels: NDArray[np.integer]) -> float:
        """Return the modularity of a partition, at most the number of graphs.

        `labels` are the clusters of all nodes, from 0; some numbers may be missing.
        """
        labels = _check_labels(labels, self.n_nodes, may_skip=True)
        member = self._members(labels, int(labels.max()) + 1)
        values = (
            member.multiply(share @ member).sum() - np.square(member.T @ degrees).sum()
            for share, degrees in self.graphs
        )
        return float(sum(values))

    def merge(self, labels: NDArray[np.integer], n_clusters: int) -> NDArray[np.int64]:
        """Merge two clusters at a time, at the least loss, until `n_clusters` are left.

        `labels`, (n_nodes,), number the clusters from 0 without gaps; so does the
        result. A partition that has no more clusters is returned unchanged.
        """
        labels = _check_labels(labels, self.n_nodes)
        n_clusters = _check_count("n_clusters", n_clusters)
        k = int(labels.max()) + 1
        member = self._members(labels, k)
        gain = np.zeros((k, k))
        for share, degrees in self.graphs:
            volume = member.T @ degrees
            gain += (member.T @ share @ member).toarray() - np.outer(volume, volume)
        # Gains are additive: that of a merged cluster is the sum of its parts'.
        names = np.arange(k)
        np.fill_diagonal(gain, -np.inf)
        for _ in range(k - n_clusters):
            kept, gone = np.unravel_index(gain.argmax(), gain.shape)
            gain[kept] += gain[gone]
            gain[:, kept] = gain[kept]
            gain[kept, kept] = -np.inf
            gain[gone] = gain[:, gone] = -np.inf
            names[names == gone] = kept
        merged: NDArray[np.int64] = np.unique(names, return_inverse=True)[1][labels]
        return merged

    def refine(
        self, labels: NDArray[np.integer], *, seed: int, n_sweeps: int = 30
    ) -> NDArray[np.int64]:
        """Move nodes to the cluster where modularity gains most.

        Each of at most `n_sweeps` sweeps looks at all nodes together and moves a random
        half, drawn with `seed`, of those that would gain: two neighbors that both move
        may lose what each would gain. `labels`, (n_nodes,), number the clusters from 0
        without gaps. The result has as many clusters and at least the modularity.
        """
        current = _check_labels(labels, self.n_nodes).copy()
        n_sweeps = _check_count("n_sweeps", n_sweeps, 0)
        rng = np.random.default_rng(_check_count("seed", seed, 0))
        k = int(current.max()) + 1
        nodes = np.arange(self.n_nodes)
        best = self(current)
        for _ in range(n_sweeps):
            member = self._members(current, k)
            gain = np.zeros((self.n_nodes, k))
            for share, degrees in self.graphs:
                volume = member.T @ degrees
                gain += (share @ member).toarray() - np.outer(degrees, volume)
                # A node's edge to itself is no part of the cluster it would join.
                gain[nodes, current] += degrees**2 - share.diagonal()
            target = gain.argmax(axis=1)
            movers = np.flatnonzero(gain[nodes, target] > gain[nodes, current] + 1e-15)
            if len(movers) == 0:
                break
            if len(movers) > 1:
                movers = movers[rng.random(len(movers)) < 0.5]
            moved = current.copy()
            moved[movers] = target[movers]
            if len(np.unique(moved)) < k:
                continue
            value = self(moved)
            if value > best:
                current, best = moved, value
        return current

    def _members(self, labels: NDArray[np.integer], k: int) -> sp.csr_matrix:
        n = self.n_nodes
        return sp.csr_matrix((np.ones(n), (np.arange(n), labels)), shape=(n, k))
