"""The loss of an autoencoder."""

from torch import Tensor

from ._checks import _check_floating, _check_shape, _promote


def reconstruction(x: Tensor, x_hat: Tensor) -> Tensor:
    """Squared error of a reconstruction: the first term of equation 4.1.

    It is summed over the values of a sample and averaged over samples, so that it does
    not grow with the batch.

    Parameters
    ----------
    x, x_hat : torch.Tensor of shape (n_samples, ...)
        Samples and their reconstructions.

    Returns
    -------
    torch.Tensor of shape ()
        The loss.

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
