"""A user's script, for mypy alone: what is wrong has to be an error.

With ``warn_unused_ignores``, as in ``mypy --strict``, a comment that ignores an error
that is none is itself one.
"""

from typing import Any, assert_type

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from sklearn.neighbors import KNeighborsTransformer
from torch import Tensor, nn

from skdeepclust import (
    LITERAL_PARAMETERS,
    DeepSubspaceClustering,
    GraphContrastiveClustering,
    SelfPacedContrastiveClustering,
)
from skdeepclust.networks import Frozen
from skdeepclust.views import ImageViews, TableViews


def flip(batch: Tensor) -> Tensor:
    return batch.flip(-1)


def right(X: NDArray[np.float64]) -> NDArray[np.int64]:
    model = SelfPacedContrastiveClustering(
        3, augmentation=ImageViews(), degrees_of_freedom=1.0, resolution=None
    )
    assert_type(model.fit(X), SelfPacedContrastiveClustering)
    assert_type(model.predict_proba(X), NDArray[Any])
    assert_type(model.score(X), float)
    for graph in ("knn", sp.eye_array(9), np.eye(9), KNeighborsTransformer()):
        GraphContrastiveClustering("auto", graph=graph, augmentation=TableViews())
    GraphContrastiveClustering(encoder=Frozen(nn.Linear(9, 4)), augmentation=flip)
    DeepSubspaceClustering(device=torch.device("cpu"), memory="folder")
    SelfPacedContrastiveClustering(**LITERAL_PARAMETERS)
    return model.labels_


def wrong() -> None:
    SelfPacedContrastiveClustering(n_cluster=3)  # type: ignore[call-arg]
    SelfPacedContrastiveClustering(temperature="low")  # type: ignore[arg-type]
    SelfPacedContrastiveClustering(pair_similarity="dot")  # type: ignore[arg-type]
    GraphContrastiveClustering(heads="none")  # type: ignore[arg-type]
    GraphContrastiveClustering(3, "mlp")  # type: ignore[call-arg]
    DeepSubspaceClustering(augmentation=flip)  # type: ignore[call-arg]
