"""Features of a torch module, as a transformer of scikit-learn."""

import copy
from collections.abc import Callable
from numbers import Integral
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from torch import Tensor, nn

from skdeepclust._utils.compat import Interval, StrOptions, fit_context
from skdeepclust._utils.inputs import validated_rows
from skdeepclust._utils.random import seeded_globals
from skdeepclust.networks.backbone import copied_in_float32
from skdeepclust.networks.packing import packed
from skdeepclust.training.data import block_rows
from skdeepclust.training.device import (
    is_out_of_memory,
    resolve_device,
    telling_memory,
    without_autocast,
)

__all__ = ["FeatureExtractor"]


class FeatureExtractor(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator
):
    """Features computed by a torch module, as a transformer of scikit-learn.

    A copy of the module runs in float32, in evaluation mode and without gradients.
    Nothing is learned. Read more in the :ref:`User Guide <features>`.

    Parameters
    ----------
    module : torch.nn.Module
        Maps a batch of shape (batch_size, n_features) or (batch_size, channels,
        height, width) to what `output` makes features of. It should scale images as
        those that it was trained on.
    batch_size : int, default=256
        Most samples in a batch; of large samples, batches have fewer. The last batch is
        padded, so features hardly depend on the other samples, by 1e-6.
    device : str or torch.device, default="auto"
        Where the module runs. "auto" takes an accelerator if there is one.
    image_shape : tuple of int, default=None
        (height, width) or (channels, height, width) of images given as table rows.
    output : "auto" or callable, default="auto"
        Maps what the module returns for a batch to a tensor of shape (batch_size,
        n_outputs). "auto" averages images over height and width, and flattens other
        tensors. A callable may pick one of several; a lambda cannot be pickled.

    Attributes
    ----------
    n_features_in_ : int
        Values of one sample: columns of the table, or channels x height x width.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, if `X` has names that are all strings.

    Notes
    -----
    A pickle holds the weights as NumPy arrays, by which joblib's hash knows the module:
    a pipeline with ``memory`` computes features once. Copies of traced or scripted
    modules count as others. Parametrizations, such as weight normalization, cannot be
    pickled: call `torch.nn.utils.parametrize.remove_parametrizations` first.

    Examples
    --------
    >>> import numpy as np
    >>> from torch import nn
    >>> from skdeepclust.features import FeatureExtractor
    >>> images = np.zeros((5, 3, 16, 16), dtype=np.uint8)
    >>> module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())
    >>> FeatureExtractor(module).fit_transform(images).shape
    (5, 8)
    """

    _parameter_constraints: dict[str, list[Any]] = {
        "module": [nn.Module],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "device": [str, torch.device],
        "image_shape": ["array-like", None],
        "output": [StrOptions({"auto"}), callable],
    }

    def __init__(
        self,
        module: nn.Module,
        *,
        batch_size: int = 256,
        device: str | torch.device = "auto",
        image_shape: tuple[int, ...] | None = None,
        output: str | Callable[[Any], Tensor] = "auto",
    ) -> None:
        self.module = module
        self.batch_size = batch_size
        self.device = device
        self.image_shape = image_shape
        self.output = output

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> Self:
        """Find out the shape of a sample and the number of features.

        Parameters
        ----------
        X : array-like or torch.Tensor of shape (n_samples, n_features), \
                (n_samples, height, width) or (n_samples, channels, height, width)
            The data. The module is tried on the first sample.
        y : Ignored
            Not used, present for API consistency.

        Returns
        -------
        self : object
            The fitted transformer.
        """
        X, shape = self._validate(X, reset=True)
        # Two rows show which axis of the output is that of the samples.
        least = min(2, self.batch_size)
        self._n_features_out = self._extract(X[:1], shape, least).shape[1]
        self._shape = shape
        return self

    @fit_context(prefer_skip_nested_validation=True)
    def transform(self, X: Any) -> NDArray[Any]:
        """Compute the features.

        Parameters
        ----------
        X : array-like or torch.Tensor
            As for `fit`. Values of type uint8 are divided by 255, others are not.

        Returns
        -------
        ndarray of shape (n_samples, n_outputs)
            Features of type float32.
        """
        X, shape = self._validate(X, reset=False)
        return self._extract(X, shape)

    def _validate(self, X: Any, *, reset: bool) -> tuple[NDArray[Any], tuple[int, ...]]:
        fitted = None if reset else getattr(self, "_shape", None)
        rows, shape, _ = validated_rows(
            self, X, image_shape=self.image_shape, fitted=fitted, reset=reset
        )
        return rows, shape

    def _extract(
        self, X: NDArray[Any], shape: tuple[int, ...], least: int = 1
    ) -> NDArray[Any]:
        device = resolve_device(self.device)
        n_rows = block_rows(len(X), shape, self.batch_size, device)
        n_rows = max(least, min(n_rows, self.batch_size))
        module = copied_in_float32("module", self.module, device, share=True).eval()
        dtype = np.uint8 if X.dtype == np.uint8 else np.float32
        features = []
        hint = f"lower batch_size={self.batch_size}, or pass fewer samples"
        # The module may draw from the global generators.
        with (
            torch.no_grad(),
            seeded_globals(0, device),
            without_autocast(device),
            telling_memory(type(self).__name__, hint),
        ):
            for start in range(0, len(X), n_rows):
                # Torch does not take every order in memory.
                part = np.array(X[start : start + n_rows], dtype=dtype, order="C")
                rows = torch.from_numpy(part)
                # All batches have one size: in float32 the last decimal depends on how
                # many samples are computed at once.
                batch = torch.zeros(n_rows, *shape, dtype=torch.float32, device=device)
                batch[: len(rows)] = rows.to(device).reshape(-1, *shape)
                if dtype == np.uint8:
                    batch /= 255
                features.append(self._run(module, batch)[: len(rows)].detach().cpu())
        table: NDArray[Any] = torch.cat(features).numpy()
        bad = np.flatnonzero(~np.isfinite(table).all(axis=1))
        if len(bad):
            raise ValueError(
                f"module {type(self.module).__name__} gives NaN or infinity for "
                f"{len(bad)} of {len(table)} samples, the first at index {bad[0]}: "
                "check its weights, and scale X as the data it was trained on."
            )
        return table

    def _run(self, module: nn.Module, batch: Tensor) -> Tensor:
        name, given = f"module {type(self.module).__name__}", tuple(batch.shape)
        hint = "output, a callable from what the module returns to a tensor"
        try:
            output = module(batch)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            message = f"{name} fails on a batch of shape {given}: {error}"
            raise ValueError(message) from error
        if callable(self.output):
            output = self.output(output)
        if not isinstance(output, Tensor) or not output.is_floating_point():
            got = output.dtype if isinstance(output, Tensor) else type(output).__name__
            raise TypeError(
                f"{name} must give a tensor of floats; got {got}: choose one by {hint}."
            )
        if self.output == "auto" and output.ndim > 2:
            output = output.mean((2, 3)) if output.ndim == 4 else output.flatten(1)
        if output.ndim != 2 or len(output) != len(batch) or not output.shape[1]:
            raise ValueError(
                f"{name} must map a batch of shape {given} to one of shape "
                f"({len(batch)}, n_outputs); got {tuple(output.shape)}: change it by "
                f"{hint}."
            )
        return output.float()

    def __getstate__(self) -> dict[str, Any]:
        # The module's weights as NumPy arrays.
        state = dict(super().__getstate__())
        if isinstance(self.module, nn.Module):
            state["module"] = packed(self.module)
        return state

    def __copy__(self) -> Self:
        """Return a copy that does not share the weights."""
        return copy.deepcopy(self)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        tags.requires_fit = False
        return tags
