"""The equations: pure, differentiable functions of torch tensors.

Equation numbers are those of R. Xing, "Research on Deep Clustering Algorithm Based on
Contrastive Learning", master's thesis, Shanxi University of Finance & Economics, 2023.
Half-precision input is computed in float32; every result has the dtype of the first
argument. A row of zeros has cosine 0 to everything and receives a zero gradient.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

__all__ = [
    "gaussian_assignment",
    "gaussian_scale",
    "nt_xent",
    "pair_contrastive",
    "reconstruction",
    "student_t_assignment",
    "view_consistency",
    "weighted_center_loss",
    "weighted_centers",
]

_DENSE_ROWS = 512  # up to here all pairs at once is faster than blocks
_BLOCK_ROWS = 256


def view_consistency(h: Tensor, h_view: Tensor) -> Tensor:
    """Mean of one minus the cosine between samples and their augmented views.

    Equation 3.1 of Xing (2023), which prints the cosine itself; its text says that the
    two are to come close, so one minus it is what is minimised.

    Parameters
    ----------
    h, h_view : torch.Tensor of shape (n_samples, n_components)
        Embeddings of the samples and of one random view of each.

    Returns
    -------
    torch.Tensor of shape ()
        The loss, between 0 and 2.

    Raises
    ------
    TypeError, ValueError
        Unless both are 2-D, floating point and of one shape.

    Examples
    --------
    >>> import torch
    >>> from skdeepclust.losses import view_consistency
    >>> view_consistency(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 2.0]]))
    tensor(1.)
    """
    _check_rows("h", h)
    _check_rows("h_view", h_view)
    _check_shape("h_view", h_view, tuple(h.shape), "the shape of h")
    wide, wide_view = _promote(h, h_view)
    cosine = (_unit_rows(wide) * _unit_rows(wide_view)).sum(dim=1)
    return (1 - cosine).mean().to(h.dtype)


def student_t_assignment(
    h: Tensor, centers: Tensor, degrees_of_freedom: float = 1.0
) -> Tensor:
    """Soft assignment to centres by Student's t-distribution.

    Equation 3.3 of Xing (2023), after DEC (Xie et al., 2016): with a the degrees of
    freedom, ``(1 + ||h - mu||^2 / a) ** (-(a + 1) / 2)``, rows scaled to sum to 1.

    Parameters
    ----------
    h : torch.Tensor of shape (n_samples, n_components)
        Embeddings.
    centers : torch.Tensor of shape (n_clusters, n_components)
        Cluster centres mu.
    degrees_of_freedom : float, default=1.0
        Larger values give lighter tails.

    Returns
    -------
    torch.Tensor of shape (n_samples, n_clusters)
        Probabilities.

    Raises
    ------
    TypeError, ValueError
        Unless both are 2-D, floating point and as wide as each other, and
        `degrees_of_freedom` is positive.

    Examples
    --------
    >>> import torch
    >>> from skdeepclust.losses import student_t_assignment
    >>> student_t_assignment(torch.tensor([[0.0]]), torch.tensor([[0.0], [2.0]]))
    tensor([[0.8333, 0.1667]])
    """
    _check_centers(h, centers)
    _check_positive("degrees_of_freedom", degrees_of_freedom)
    squared = _squared_distances(*_promote(h, centers))
    log_kernel = torch.log1p(squared / degrees_of_freedom)
    return (-(degrees_of_freedom + 1) / 2 * log_kernel).softmax(dim=1).to(h.dtype)


def gaussian_scale(h: Tensor, centers: Tensor) -> Tensor:
    """Width of the clusters: the root mean square of samples around their centres.

    The square root of the mean squared distance to the nearest centre divided by the
    number of components. It is positive even where every sample lies on a centre.

    Parameters
    ----------
    h : torch.Tensor of shape (n_samples, n_components)
        Embeddings.
    centers : torch.Tensor of shape (n_clusters, n_components)
        Cluster centres.

    Returns
    -------
    torch.Tensor of shape ()
        The scale; differentiable.

    Raises
    ------
    TypeError, ValueError
        Unless both are 2-D, floating point and as wide as each other.

    Examples
    --------
    >>> import torch
    >>> from skdeepclust.losses import gaussian_scale
    >>> gaussian_scale(torch.tensor([[1.0], [7.0]]), torch.tensor([[0.0], [8.0]]))
    tensor(1.)
    """
    _check_centers(h, centers)
    scale = _nearest_scale(*_promote(h, centers)).to(h.dtype)
    return scale.clamp_min(torch.finfo(h.dtype).tiny)


def gaussian_assignment(
    h: Tensor, centers: Tensor, scale: float | Tensor | None = None
) -> Tensor:
    """Soft assignment to centres by isotropic Gaussians of one common width.

    The softmax over clusters of ``-||h - mu||^2 / (2 scale^2)``. The thesis does not
    have it: unlike `student_t_assignment` it stays sharp however many components
    there are, as long as the scale follows the data.

    Parameters
    ----------
    h : torch.Tensor of shape (n_samples, n_components)
        Embeddings.
    centers : torch.Tensor of shape (n_clusters, n_components)
        Cluster centres mu.
    scale : float or torch.Tensor of shape (), default=None
        Standard deviation per coordinate. None takes `gaussian_scale` of the
        arguments, as a constant: no gradient flows through it.

    Returns
    -------
    torch.Tensor of shape (n_samples, n_clusters)
        Probabilities.

    Raises
    ------
    TypeError, ValueError
        Unless both are 2-D, floating point and as wide as each other, and `scale`
        is one positive number.

    Examples
    --------
    >>> import torch
    >>> from skdeepclust.losses import gaussian_assignment
    >>> h, centers = torch.tensor([[1.0]]), torch.tensor([[0.0], [3.0]])
    >>> gaussian_assignment(h, centers, scale=1.0)
    tensor([[0.8176, 0.1824]])
    """
    _check_centers(h, centers)
    wide, wide_centers = _promote(h, centers)
    if scale is None:
        scale = _nearest_scale(wide, wide_centers).detach()
    else:
        _check_positive("scale", scale)
    squared = _squared_distances(wide, wide_centers)
    # With its nearest centre at 0 no row can become all minus infinity.
    excess = squared - squared.detach().amin(dim=1, keepdim=True)
    return (-0.5 * (excess / scale / scale)).softmax(dim=1).to(h.dtype)


def weighted_center_loss(h: Tensor, centers: Tensor, assignment: Tensor) -> Tensor:
    """Squared distances to the centres, weighted by a soft assignment.

    Equation 3.2 of Xing (2023): ``p_ik ||h_i - mu_k||^2`` summed over clusters and, so
    that it does not grow with the batch, averaged over samples.

    Parameters
    ----------
    h : torch.Tensor of shape (n_samples, n_components)
        Embeddings.
    centers : torch.Tensor of shape (n_clusters, n_components)
        Cluster centres mu.
    assignment : torch.Tensor of shape (n_samples, n_clusters)
        Weights p, non-negative. They are constants: no gradient flows through them.

    Returns
    -------
    torch.Tensor of shape ()
        The loss.

    Raises
    ------
    TypeError, ValueError
        Unless all are 2-D, floating point and of shapes that fit together.

    Examples
    --------
    >>> import torch
    >>> from skdeepclust.losses import weighted_center_loss
    >>> h, centers = torch.tensor([[1.0]]), torch.tensor([[0.0], [3.0]])
    >>> weighted_center_loss(h, centers, torch.tensor([[0.5, 0.5]]))
    tensor(2.5000)
    """
    _check_centers(h, centers)
    _check_rows("assignment", assignment)
    expected = (h.shape[0], centers.shape[0])
    _check_shape("assignment", assignment, expected, "(rows of h, rows of centers)")
    squared = _squared_distances(*_promote(h, centers))
    weights = assignment.detach().to(squared.dtype)
    return (weights * squared).sum(dim=1).mean().to(h.dtype)


def weighted_centers(h_view: Tensor, assignment: Tensor) -> Tensor:
    """Cluster centres as means of the samples, weighted by a soft assignment.

    Equation 3.4 of Xing (2023): ``sum_i p_ik h_i / sum_i p_ik``.

    Parameters
    ----------
    h_view : torch.Tensor of shape (n_samples, n_components)
        Embeddings; in the thesis of augmented samples.
    assignment : torch.Tensor of shape (n_samples, n_clusters)
        Weights p, non-negative.

    Returns
    -------
    torch.Tensor of shape (n_clusters, n_components)
        The centres. A cluster whose weights sum to 0 gets the origin.

    Raises
    ------
    TypeError, ValueError
        Unless both are 2-D, floating point and with as many rows as each other.

    Examples
    --------
    >>> import torch
    >>> from skdeepclust.losses import weighted_centers
    >>> h, p = torch.tensor([[0.0], [4.0]]), torch.tensor([[1.0, 0.0], [3.0, 0.0]])
    >>> weighted_centers(h, p)
    tensor([[3.],
            [0.]])
    """
    _check_rows("h_view", h_view)
    _check_rows("assignment", assignment)
    expected = (h_view.shape[0], assignment.shape[1])
    _check_shape("assignment", assignment, expected, "one row per row of h_view")
    wide, weights = _promote(h_view, assignment)
    total = weights.sum(dim=0).unsqueeze(1)
    # Dividing by a tiny number instead would send infinite gradients to the weights.
    total = total.masked_fill(total.detach() < torch.finfo(total.dtype).tiny, 1.0)
    return (weights.T @ wide / total).to(h_view.dtype)


def pair_contrastive(
    z: Tensor,
    similarity: Tensor,
    *,
    temperature: float = 0.5,
    positive_threshold: float = 0.8,
    negative_threshold: float = 0.2,
) -> Tensor:
    """Instance contrast between pairs that are surely alike and surely different.

    Equations 3.7-3.9 of Xing (2023): with s the cosine of rows of z, P(i) the j with
    similarity at least `positive_threshold` and F(i) those at most
    `negative_threshold`, i itself in neither, the loss of anchor i is the mean over
    p in P(i) of ``logsumexp_F(s_if / t) - s_ip / t``. Pairs in between take no part.

    Parameters
    ----------
    z : torch.Tensor of shape (n_samples, n_features)
        Outputs of the head.
    similarity : torch.Tensor of shape (n_samples, n_samples) or (n_samples, rank)
        Pairwise similarities, or a factor U that stands for ``U @ U.T``. A square
        tensor is always read as similarities. It only selects pairs: no gradient.
    temperature : float, default=0.5
        The t of the equation.
    positive_threshold, negative_threshold : float, default=0.8, 0.2
        The thresholds xi and gamma.

    Returns
    -------
    torch.Tensor of shape ()
        Mean over the anchors with neither set empty; 0, with zero gradients, if
        there is none. It can be negative.

    Raises
    ------
    TypeError, ValueError
        Unless both are 2-D, floating point and with as many rows as each other,
        `temperature` is positive and `negative_threshold` the lower threshold.

    Notes
    -----
    Beyond 512 samples the pairs are visited in blocks of rows that the backward pass
    computes again, so memory grows with n and not with its square.

    Examples
    --------
    >>> import torch
    >>> from skdeepclust.losses import pair_contrastive
    >>> z = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
    >>> pair_contrastive(z, torch.eye(2)[[0, 0, 1]])
    tensor(-2.)
    """
    _check_rows("z", z)
    _check_rows("similarity", similarity)
    expected = (z.shape[0], similarity.shape[1])
    _check_shape("similarity", similarity, expected, "one row per row of z")
    _check_positive("temperature", temperature)
    if not negative_threshold < positive_threshold:
        raise ValueError(
            f"negative_threshold must be below positive_threshold; got "
            f"{negative_threshold!r} and {positive_threshold!r}: lower it or raise "
            f"positive_threshold."
        )
    n = z.shape[0]
    (wide,) = _promote(z)
    unit = _unit_rows(wide)
    settings = (temperature, positive_threshold, negative_threshold)
    if n <= _DENSE_ROWS:
        loss, count = _pair_rows(unit, similarity.detach(), 0, n, *settings)
        return (loss / count.clamp_min(1)).to(z.dtype)
    loss, count = unit.new_zeros(()), unit.new_zeros((), dtype=torch.int64)
    for start in range(0, n, _BLOCK_ROWS):
        block_loss, block_count = checkpoint(
            _pair_rows,
            unit,
            similarity.detach(),
            start,
            min(start + _BLOCK_ROWS, n),
            *settings,
            use_reentrant=False,
            preserve_rng_state=False,
        )
        loss, count = loss + block_loss, count + block_count
    return (loss / count.clamp_min(1)).to(z.dtype)


def reconstruction(x: Tensor, x_hat: Tensor) -> Tensor:
    """Squared error of a reconstruction.

    The first term of equation 4.1 of Xing (2023), summed over all that belongs to a
    sample and, so that it does not grow with the batch, averaged over samples.

    Parameters
    ----------
    x, x_hat : torch.Tensor of shape (n_samples, ...)
        Samples, as rows of a table or as images, and what the decoder made of them.

    Returns
    -------
    torch.Tensor of shape ()
        The loss.

    Raises
    ------
    TypeError, ValueError
        Unless both are floating point and of one shape with 2 dimensions or more.

    Examples
    --------
    >>> import torch
    >>> from skdeepclust.losses import reconstruction
    >>> reconstruction(torch.zeros(2, 3), torch.ones(2, 3))
    tensor(3.)
    """
    _check_floating("x", x)
    _check_floating("x_hat", x_hat)
    if x.ndim < 2 or x.numel() == 0:
        raise ValueError(
            f"x must have a row per sample and at least one number in each; got shape "
            f"{tuple(x.shape)}: reshape it to (n_samples, ...)."
        )
    _check_shape("x_hat", x_hat, tuple(x.shape), "the shape of x")
    wide, wide_hat = _promote(x, x_hat)
    return ((wide - wide_hat) ** 2).flatten(1).sum(dim=1).mean().to(x.dtype)


def nt_xent(z_i: Tensor, z_j: Tensor, *, temperature: float = 0.5) -> Tensor:
    """Normalised temperature-scaled cross-entropy between two views.

    Equation 2.9 of Xing (2023), after SimCLR (Chen et al., 2020): each of the 2n views
    is to find its partner, by cosine, among the 2n - 1 others.

    Parameters
    ----------
    z_i, z_j : torch.Tensor of shape (n_samples, n_features)
        Projections of the first and of the second view; row k of both is sample k.
    temperature : float, default=0.5
        The t of the equation.

    Returns
    -------
    torch.Tensor of shape ()
        Mean over the 2n anchors.

    Raises
    ------
    TypeError, ValueError
        Unless both are 2-D, floating point and of one shape, and `temperature` is
        positive.

    Examples
    --------
    >>> import torch
    >>> from skdeepclust.losses import nt_xent
    >>> nt_xent(torch.eye(2), torch.eye(2))
    tensor(0.2395)
    """
    _check_rows("z_i", z_i)
    _check_rows("z_j", z_j)
    _check_shape("z_j", z_j, tuple(z_i.shape), "the shape of z_i")
    _check_positive("temperature", temperature)
    n = z_i.shape[0]
    unit = _unit_rows(torch.cat(_promote(z_i, z_j)))
    logits = unit @ unit.T / temperature
    itself = torch.eye(2 * n, dtype=torch.bool, device=unit.device)
    partner = torch.arange(2 * n, device=unit.device).roll(n)
    logits = logits.masked_fill(itself, -torch.inf)
    return functional.cross_entropy(logits, partner).to(z_i.dtype)


def cluster_balance(y: Tensor) -> Tensor:
    """Distance of the mean assignment from even use of all clusters.

    Ours: ``log K - H(mean of y over samples)``, 0 when all clusters are used alike
    and log K when one takes everything.

    Parameters
    ----------
    y : torch.Tensor of shape (n_samples, n_clusters)
        Soft assignments; rows sum to 1.

    Returns
    -------
    torch.Tensor of shape ()
        In nats, at least 0 up to rounding.

    Raises
    ------
    TypeError, ValueError
        Unless `y` is floating point and 2-D with at least one row and column.

    Examples
    --------
    >>> import torch
    >>> from skdeepclust.losses import cluster_balance
    >>> cluster_balance(torch.eye(2))
    tensor(0.)
    """
    _check_rows("y", y)
    mean = y.mean(dim=0)
    # Clamped inside the logarithm only: an empty cluster contributes 0, with a
    # finite gradient.
    tiny = torch.finfo(y.dtype).tiny
    return math.log(y.shape[1]) + (mean * mean.clamp_min(tiny).log()).sum()


def _pair_rows(
    unit: Tensor,
    similarity: Tensor,
    start: int,
    stop: int,
    temperature: float,
    positive_threshold: float,
    negative_threshold: float,
) -> tuple[Tensor, Tensor]:
    """Sum of the losses of the anchors start to stop, and how many contribute."""
    rows = similarity[start:stop]
    if similarity.shape[0] != similarity.shape[1]:
        rows, factor = _promote(rows, similarity)
        rows = rows @ factor.T
    positive, negative = rows >= positive_threshold, rows <= negative_threshold
    positive.diagonal(start).fill_(False)
    negative.diagonal(start).fill_(False)
    n_positive = positive.sum(dim=1)
    counted = (n_positive > 0) & negative.any(dim=1)
    logits = unit[start:stop] @ unit.T / temperature
    # Rows that are not counted keep all entries: a row of minus infinities has no
    # finite logsumexp to mask away.
    excluded = ~negative & counted.unsqueeze(1)
    spread = logits.masked_fill(excluded, -torch.inf).logsumexp(dim=1)
    pull = logits.masked_fill(~positive, 0.0).sum(dim=1) / n_positive.clamp_min(1)
    return (spread - pull).masked_fill(~counted, 0.0).sum(), counted.sum()


def _unit_rows(x: Tensor) -> Tensor:
    """Rows scaled to length 1; rows of zeros stay, with a zero gradient."""
    # Scaling by the largest entry first keeps tiny and huge rows from under- and
    # overflowing when squared. The result does not depend on it: no gradient needed.
    peak = x.detach().abs().amax(dim=1, keepdim=True)
    zero = peak < torch.finfo(x.dtype).tiny
    x = (x / peak.masked_fill(zero, 1.0)).masked_fill(zero, 0.0)
    norm = torch.linalg.vector_norm(x, dim=1, keepdim=True)
    unit: Tensor = x / norm.masked_fill(zero, 1.0)
    return unit


def _squared_distances(h: Tensor, centers: Tensor) -> Tensor:
    """Squared Euclidean distances (n_samples, n_clusters), never negative."""
    # |h|^2 + |c|^2 - 2 h c loses digits when all lie far from the origin.
    origin = h.detach().mean(dim=0)
    h, centers = h - origin, centers - origin
    lengths = (h * h).sum(dim=1, keepdim=True) + (centers * centers).sum(dim=1)
    squared = lengths - 2 * h @ centers.T
    # Unlike a clamp this keeps the gradient where rounding went below zero.
    return squared - squared.detach().clamp_max(0.0)


def _nearest_scale(h: Tensor, centers: Tensor) -> Tensor:
    variance = _squared_distances(h, centers).amin(dim=1).mean() / h.shape[1]
    # What is below the rounding error of the distances counts as that error: a scale
    # of 0 would make the gradients of the assignment infinite.
    overall = (h.detach() - h.detach().mean(dim=0)).square().mean()
    info = torch.finfo(h.dtype)
    return torch.maximum(variance, (info.eps * overall).clamp_min(info.tiny)).sqrt()


def _promote(*tensors: Tensor) -> list[Tensor]:
    """Cast to the widest dtype among the tensors, at least float32."""
    dtype = torch.float32
    for tensor in tensors:
        dtype = torch.promote_types(dtype, tensor.dtype)
    return [tensor.to(dtype) for tensor in tensors]


def _check_floating(name: str, value: Tensor) -> None:
    if not isinstance(value, Tensor):
        raise TypeError(
            f"{name} must be a torch.Tensor; got {type(value).__name__}: convert it "
            f"with torch.as_tensor."
        )
    if not value.is_floating_point():
        raise TypeError(
            f"{name} must hold floating-point numbers; got {value.dtype}: convert it "
            f"with {name}.float()."
        )


def _check_rows(name: str, value: Tensor) -> None:
    _check_floating(name, value)
    if value.ndim != 2 or value.numel() == 0:
        raise ValueError(
            f"{name} must be 2-D with at least one row and column; got shape "
            f"{tuple(value.shape)}: reshape it to one row per sample."
        )


def _check_shape(
    name: str, value: Tensor, expected: tuple[int, ...], meaning: str
) -> None:
    if tuple(value.shape) != expected:
        raise ValueError(
            f"{name} must have shape {expected}, {meaning}; got {tuple(value.shape)}: "
            f"pass tensors that belong together."
        )


def _check_centers(h: Tensor, centers: Tensor) -> None:
    _check_rows("h", h)
    _check_rows("centers", centers)
    expected = (centers.shape[0], h.shape[1])
    _check_shape("centers", centers, expected, "as many columns as h")


def _check_positive(name: str, value: float | Tensor) -> None:
    if isinstance(value, Tensor) and value.ndim > 0:
        raise ValueError(
            f"{name} must be one number; got shape {tuple(value.shape)}: pass a float."
        )
    if not 0 < value < float("inf"):
        raise ValueError(
            f"{name} must be positive and finite; got {value}: pass a number above 0."
        )
