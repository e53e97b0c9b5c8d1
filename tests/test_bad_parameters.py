"""Parameters that are refused, by a message that names them, and nothing is left."""

import copy
import warnings

import numpy as np
import pytest
from conftest import TINY, TINY_GRAPH, TINY_SUBSPACE
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.utils.validation import check_is_fitted

from skdeepclust import (
    DeepSubspaceClustering,
    GraphContrastiveClustering,
    SelfPacedContrastiveClustering,
)

GOOD = np.random.default_rng(0).normal(size=(30, 6))
FEW = {"pretrain_epochs": 1, "head_epochs": 1}
MODELS = {
    "self-paced": SelfPacedContrastiveClustering(3, **{**TINY, **FEW}),
    "graph": GraphContrastiveClustering(3, **{**TINY_GRAPH, **FEW}),
    "subspace": DeepSubspaceClustering(3, **{**TINY_SUBSPACE, "pretrain_epochs": 1}),
}
EVERY = [
    ({"n_clusters": 0}, "n_clusters"),
    ({"n_clusters": 31}, "n_samples=30 should be >= n_clusters=31"),
    ({"n_clusters": "many"}, r"'n_clusters' parameter .*'auto'"),
    ({"encoder": "vgg"}, "encoder"),
    ({"encoder": "conv"}, "image_shape"),
    ({"encoder": "conv", "image_shape": (2, 3)}, "8 x 8.*2 x 3"),
    ({"n_components": 0}, "n_components"),
    ({"hidden_layer_sizes": (0,)}, "hidden_layer_sizes"),
    ({"hidden_layer_sizes": (2.5,)}, "hidden_layer_sizes"),
    ({"pretrain_epochs": 1.5}, "pretrain_epochs"),
    ({"pretraining": "deep"}, "pretraining"),
    ({"device": "tpu"}, "device='tpu'.*'cpu'"),
    ({"memory": 3}, "memory"),
]
CLUSTERERS = [
    ({"augmentation": "strong"}, "augmentation"),
    ({"augmentation": 3}, "augmentation"),
    ({"augmentation": ("auto",)}, "augmentation"),
    (
        {"augmentation": None, "pretraining": "contrastive"},
        "pretraining='contrastive'.*augmentation=None",
    ),
    ({"pretext_temperature": 0.0}, "pretext_temperature"),
    ({"pretext_weight": -1.0}, "pretext_weight"),
    ({"balance_weight": -1.0}, "balance_weight"),
    ({"resolution": "high"}, "resolution"),
    ({"resolution": -0.1}, "resolution"),
]
REFUSED = {
    "self-paced": [
        *EVERY,
        *CLUSTERERS,
        ({"temperature": 0}, "temperature"),
        ({"negative_threshold": 0.8}, "negative_threshold=0.8 must be below"),
        ({"center_epochs": -1}, "center_epochs"),
        ({"degrees_of_freedom": 0.0}, "degrees_of_freedom"),
        ({"end_to_end": "yes"}, "end_to_end"),
        ({"fine_tune_learning_rate": -1e-3}, "fine_tune_learning_rate"),
        ({"fine_tune_learning_rate": "low"}, "fine_tune_learning_rate"),
    ],
    "graph": [
        *EVERY,
        *CLUSTERERS,
        ({"n_neighbors": 30}, "n_neighbors=30 must be below n_samples=30"),
        ({"n_neighbors": 0}, "n_neighbors"),
        ({"graph": "delaunay"}, "graph"),
        ({"instance_temperature": 0.0}, "instance_temperature"),
        ({"cluster_temperature": -1.0}, "cluster_temperature"),
        ({"heads": "none"}, "heads"),
        ({"heads": "instance", "head_epochs": 0}, "heads='instance'.*head_epochs=0"),
        ({"joint_epochs": -1}, "joint_epochs"),
        ({"graph_update_interval": 0}, "graph_update_interval"),
    ],
    "subspace": [
        *EVERY,
        ({"norm": "l1"}, "norm='l1' has no closed form.*learned"),
        ({"n_neighbors": 30}, "n_neighbors=30 must be below n_samples=30"),
        ({"self_expression_weight": 0.0}, "self_expression_weight"),
        ({"coefficients": "guessed"}, "coefficients"),
        ({"pretraining": "contrastive"}, "pretraining"),
    ],
}


@pytest.fixture(scope="module")
def fitted():
    """Give the estimators, which have been fitted once."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # so few epochs
        return {name: model.fit(GOOD) for name, model in MODELS.items()}


@pytest.mark.parametrize(
    ("name", "parameters", "match"),
    [
        pytest.param(name, *case, id=f"{name}-{case[0]}")
        for name, cases in REFUSED.items()
        for case in cases
    ],
)
def test_fit_bad_parameter_says_what_and_leaves_nothing(
    fitted, name, parameters, match
):
    model = copy.deepcopy(fitted[name]).set_params(**parameters)
    with pytest.raises(ValueError, match=match):
        model.fit(GOOD)
    with pytest.raises(NotFittedError):
        check_is_fitted(model)
    if hasattr(model, "predict"):
        with pytest.raises(NotFittedError):
            model.predict(GOOD)
    assert not [name for name in vars(model) if name.endswith("_")]
