"""Every parameter of every estimator changes what is trained, or is said not to."""

import inspect
import warnings
from functools import cache

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.neighbors import KNeighborsTransformer
from torch import nn

from skdeepclust import (
    DeepSubspaceClustering,
    GraphContrastiveClustering,
    SelfPacedContrastiveClustering,
)
from skdeepclust.networks import Frozen

# What is run here is measured by other tests; measuring would take longer.
pytestmark = pytest.mark.no_cover

N_SAMPLES = 30
SAMPLES = {
    "digits": load_digits(n_class=3).data[:N_SAMPLES] / 16,
    "uneven": np.concatenate(
        [
            center + np.random.default_rng(0).normal(size=(n, 5))
            for center, n in ((0, 22), (9, 4), (-9, 4))
        ]
    ),
    "noise": np.random.default_rng(0).normal(size=(N_SAMPLES, 5)),
}
"""Pixels of three digits; three groups of unequal size; and no groups at all."""


def flip(batch):
    return batch.flip(-1) + 0.1


def ring():
    """Return a graph that ties each sample to the next one, as nothing else does."""
    ties = sp.eye_array(N_SAMPLES, k=1, format="lil")
    ties[0, N_SAMPLES - 1] = 1
    return sp.csr_matrix(ties)


def encoder():
    """Return a module with the same weights every time."""
    module = nn.Linear(5, 4)
    with torch.no_grad():
        module.weight.copy_(torch.linspace(-1, 1, 20).reshape(4, 5).sin())
        module.bias.zero_()
    return module


# One object each: fits are found again by the values of their parameters.
RING, ENCODER = ring(), encoder()
FROZEN, NEIGHBORS = Frozen(encoder()), KNeighborsTransformer(n_neighbors=4)

# The bases find no clusters in graphs unless they say so: that takes most of the time.
BASE = {
    "n_clusters": 3,
    "image_shape": (8, 8),
    "encoder": "mlp",
    "hidden_layer_sizes": (8,),
    "n_components": 3,
    "batch_size": N_SAMPLES,
    "pretrain_epochs": 2,
    "random_state": 0,
}
FEW = {
    SelfPacedContrastiveClustering: {
        **BASE,
        "resolution": None,
        "center_epochs": 3,
        "head_epochs": 3,
        "contrastive_epochs": 3,
    },
    GraphContrastiveClustering: {
        **BASE,
        "resolution": None,
        "graph": "self_expression",
        "head_epochs": 3,
        "joint_epochs": 3,
    },
    DeepSubspaceClustering: {**BASE, "joint_epochs": 2},
}
GRAPHS = {"resolution": "auto"}
"""Overrides with which clusters are found in graphs, at the start and at the end."""
SOUGHT = {cls: GRAPHS if "resolution" in few else {} for cls, few in FEW.items()}

TABLE = {"image_shape": None, "samples": "noise"}
UNEVEN = {"image_shape": None, "samples": "uneven", **GRAPHS}
DECODED = {"pretraining": "reconstruction"}
EASY = {"contrastive_epochs": 0}
HARD = {"center_epochs": 0}
ONCE = {"end_to_end": True}
# Pairs of each kind from the first epoch on, and pairs that move.
PAIRS = {"pair_similarity": "centered_cosine", "fine_tune_learning_rate": 1e-2}
ONLY_PAIRS = {**PAIRS, **HARD, "pretrain_epochs": 0, "pretext_weight": 0.0}
EMBEDDED = {"graph": "knn"}
LEARNED = {"coefficients": "learned", "joint_epochs": 0}

# For each parameter the settings in which it matters, and another value than theirs.
SHARED = {
    "n_clusters": [({}, 4)],
    "encoder": [({}, "conv"), (TABLE, ENCODER), (TABLE, FROZEN)],
    "n_components": [({}, 4)],
    "hidden_layer_sizes": [({}, (9,))],
    "image_shape": [({"image_shape": None, "encoder": "auto"}, (8, 8))],
    "learning_rate": [({}, 1e-3)],
    "batch_size": [({}, N_SAMPLES // 2)],
    # Of these seeds the first one is not the one that is kept.
    "n_init": [({**TABLE, "pretrain_epochs": 1, "random_state": 1}, 5)],
    "pretrain_epochs": [({}, 0), ({}, 3)],
    "precision": [({}, "bfloat16")],
    "random_state": [({}, 1)],
}
CLUSTERER = {
    **SHARED,
    "augmentation": [({}, flip), (DECODED, flip), (DECODED, None), ({}, None)],
    "pretraining": [({}, "reconstruction"), ({}, "denoising"), (DECODED, "denoising")],
    "head_epochs": [({}, 0), ({}, 4)],
}
SETTINGS = {
    SelfPacedContrastiveClustering: {
        **CLUSTERER,
        "resolution": [({}, "auto"), (UNEVEN, 1.0)],
        "end_to_end": [({}, True), (DECODED, True)],
        "degrees_of_freedom": [
            ({}, 1.0),
            (ONCE, 1.0),
            ({"degrees_of_freedom": 1.0}, 3.0),
        ],
        "consistency_weight": [(base, 0.1) for base in (EASY, DECODED, ONCE)],
        "pretext_weight": [
            (base, 0.3) for base in (EASY, HARD, ONCE, DECODED | EASY, DECODED | ONCE)
        ],
        "pretext_temperature": [
            (EASY | HARD, 0.2),
            (EASY | {"pretrain_epochs": 0}, 0.2),
            (ONLY_PAIRS | {"pretext_weight": 1.0}, 0.2),
        ],
        "center_epochs": [({}, 0), ({}, 4)],
        "center_update_interval": [({}, 3), (ONCE, 3)],
        "contrastive_epochs": [({}, 0), ({}, 4)],
        "temperature": [(base, 0.2) for base in (ONLY_PAIRS, DECODED | PAIRS)],
        "pair_similarity": [(PAIRS, "assignments"), (PAIRS, "cosine")],
        "positive_threshold": [(PAIRS, 0.95), (PAIRS | ONCE, 0.95)],
        "negative_threshold": [(PAIRS, 0.7), (PAIRS | ONCE, 0.7)],
        "pair_update_interval": [(PAIRS, 2), (PAIRS | ONCE, 2)],
        "balance_weight": [({}, 0.1), (ONCE, 0.1)],
        "fine_tune_learning_rate": [(base, 1e-3) for base in (EASY, HARD, ONCE)],
    },
    GraphContrastiveClustering: {
        **CLUSTERER,
        "resolution": [({}, "auto"), (UNEVEN | {"graph": "input"}, 1.0)],
        "pretext_temperature": [({}, 0.2)],
        "pretext_weight": [(DECODED, 0.3)],
        "graph": [
            ({}, graph) for graph in ("knn", "learned", "input", RING, NEIGHBORS)
        ],
        "n_neighbors": [({"graph": k}, 3) for k in ("knn", "input")],
        "self_expression_weight": [({"graph": "learned"}, 9.0)],
        "graph_update_interval": [(EMBEDDED, 1), (EMBEDDED, 2)],
        "heads": [({}, "instance"), ({}, "cluster")],
        "joint_epochs": [({}, 0), ({}, 4)],
        "instance_temperature": [({}, 0.2), ({"heads": "instance"}, 0.2)],
        "cluster_temperature": [({}, 0.2), ({"heads": "cluster"}, 0.2)],
        "balance_weight": [({}, 0.1), ({"heads": "cluster"}, 0.1)],
        "joint_learning_rate": [({}, 3e-3)],
    },
    DeepSubspaceClustering: {
        **SHARED,
        "pretraining": [({}, "denoising")],
        "coefficients": [({}, "learned")],
        "norm": [(LEARNED, "l1")],
        "self_expression_weight": [
            (base, 9.0) for base in ({}, {"joint_epochs": 0}, LEARNED)
        ],
        "n_neighbors": [({}, 3), (LEARNED, 3)],
        "joint_epochs": [({}, 0), ({}, 4)],
        "joint_learning_rate": [({}, 3e-3)],
    },
}

# What rightly changes nothing: another value, None where no fit is made, and why.
UNCHANGED = {
    "n_jobs": (2, "says where runs are trained; results must not depend on it"),
    "warm_start": (True, "a first fit has nothing to go on from"),
    "device": ("cpu", "says where to compute; there is no accelerator here"),
    "checkpoint_dir": ("tmp_path", "what is written is read after an interruption"),
    "memory": ("tmp_path", "what is kept is what pretraining would give again"),
    "verbose": (2, "logs lines"),
}
# Settings in which a parameter has nothing to act on: other terms, other stages.
WITHOUT_EFFECT = [
    (SelfPacedContrastiveClustering, EASY, "temperature", 0.2),
    (SelfPacedContrastiveClustering, DECODED, "pretext_temperature", 0.2),
    (GraphContrastiveClustering, DECODED, "pretext_temperature", 0.2),
    (GraphContrastiveClustering, {}, "pretext_weight", 0.3),
    (GraphContrastiveClustering, {}, "self_expression_weight", 9.0),
    (GraphContrastiveClustering, {"graph": "input"}, "graph_update_interval", 1),
]


def fit(cls, samples="digits", **parameters):
    """Return what is learned: of all samples, as arrays."""
    X = SAMPLES[samples]
    with warnings.catch_warnings():
        # Few epochs leave clusters empty, and some data have none.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = cls(**{**FEW[cls], **parameters}).fit(X)
    if hasattr(model, "predict_proba"):
        return model.embedding_, model.predict_proba(X)
    return model.embedding_, model.affinity_matrix_.toarray(), model.labels_


@cache
def _fit_base(cls, items):
    """Fit twice: a base that does not repeat itself would differ from anything."""
    first, second = (fit(cls, **dict(items)) for _ in range(2))
    assert not differ(first, second), f"{dict(items)} does not repeat itself"
    return first


def fit_base(cls, base):
    return _fit_base(cls, tuple(sorted(base.items())))


def differ(one, other):
    return any(not np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def parameters_of(cls):
    return [*inspect.signature(cls).parameters]


def name_of(value):
    return getattr(value, "__name__", type(value).__name__)


CASES = [
    pytest.param(cls, name, base, value, id=f"{cls.__name__}-{name}-{i}")
    for cls in SETTINGS
    for name in parameters_of(cls)
    if name not in UNCHANGED
    # A parameter without a setting is a case that fails.
    for i, (base, value) in enumerate(SETTINGS[cls].get(name, [(None, None)]))
]


@pytest.mark.parametrize(("cls", "name", "base", "value"), CASES)
def test_another_value_another_model(cls, name, base, value):
    assert base is not None, (
        f"{name} of {cls.__name__} is new here: give SETTINGS a setting in which it "
        "matters and another value, or UNCHANGED the reason why it changes nothing."
    )
    default = inspect.signature(cls).parameters[name].default
    given = {**FEW[cls], **base}.get(name, default)
    assert value is not given
    found = fit(cls, **{**base, name: value})
    assert differ(found, fit_base(cls, base)), (
        f"{name}={value!r} trains what {name}={given!r} trains"
    )


@pytest.mark.parametrize("cls", SETTINGS, ids=name_of)
def test_only_parameters_have_settings(cls):
    names = parameters_of(cls)
    assert set(names) == {*cls().get_params()}
    assert set(SETTINGS[cls]) <= set(names) - set(UNCHANGED)
    assert len(names) <= 36


@pytest.mark.parametrize(
    ("cls", "name"),
    [
        pytest.param(cls, name, id=f"{cls.__name__}-{name}")
        for cls in SETTINGS
        for name, (value, _) in UNCHANGED.items()
        if name in parameters_of(cls) and value is not None
    ],
)
def test_what_changes_nothing(cls, name, tmp_path):
    value, _ = UNCHANGED[name]
    given = {name: tmp_path if value == "tmp_path" else value}
    assert not differ(fit(cls, **given), fit_base(cls, {}))


@pytest.mark.parametrize(("cls", "base", "name", "value"), WITHOUT_EFFECT)
def test_parameters_act_on_their_own_terms_alone(cls, base, name, value):
    assert not differ(fit(cls, **{**base, name: value}), fit_base(cls, base))


# -------------------------------------------------------------------------- epochs

STAGES = {
    SelfPacedContrastiveClustering: {
        "pretrain_epochs": ["pretraining"],
        "center_epochs": ["center"],
        "head_epochs": ["head", "final_head"],
        "contrastive_epochs": ["contrastive"],
    },
    GraphContrastiveClustering: {
        "pretrain_epochs": ["pretraining"],
        "head_epochs": ["head", "final_head"],
        "joint_epochs": ["joint"],
    },
    DeepSubspaceClustering: {
        "pretrain_epochs": ["pretraining"],
        "joint_epochs": ["joint"],
    },
}


def history(cls, samples="digits", **parameters):
    X = SAMPLES[samples]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return cls(**{**FEW[cls], **SOUGHT[cls], **parameters}).fit(X).history_


@pytest.mark.parametrize("cls", STAGES, ids=name_of)
def test_epochs_are_enumerated(cls):
    assert {*STAGES[cls]} == {n for n in parameters_of(cls) if n.endswith("_epochs")}


@pytest.mark.parametrize("shift", range(4))
@pytest.mark.parametrize("cls", STAGES, ids=name_of)
def test_an_integer_is_exactly_the_number_of_epochs(cls, shift):
    """Each stage has another number, and all have each of them once.

    Of few samples, too: no number stands for another one.
    """
    names = [*STAGES[cls]]
    numbers = [(1, 3, 10, 0)[(i + shift) % 4] for i in range(len(names))]
    given = dict(zip(names, numbers, strict=True))
    n_batches = (1, 3)[shift % 2]
    rows = history(cls, batch_size=N_SAMPLES // n_batches, **given)
    for name, n_epochs in given.items():
        for stage in STAGES[cls][name]:
            epochs = [row["epoch"] for row in rows if row["stage"] == stage]
            assert epochs == [*range(1, n_epochs + 1)], (name, stage)


@pytest.mark.parametrize(("center", "contrastive"), [(1, 3), (10, 3)])
def test_end_to_end_has_the_longer_number_of_epochs(center, contrastive):
    given = {"center_epochs": center, "contrastive_epochs": contrastive}
    rows = history(SelfPacedContrastiveClustering, **given, **ONCE)
    epochs = [row["epoch"] for row in rows if row["stage"] == "end_to_end"]
    assert epochs == [*range(1, max(center, contrastive) + 1)]
    assert not {"center", "contrastive"} & {row["stage"] for row in rows}


class EndingStages:
    """A callback that ends each stage after an epoch, and notes how many it has."""

    max_propagation_depth = None

    def __init__(self):
        self.planned = {}

    def setup(self, estimator, context):
        pass

    teardown = on_fit_task_begin = setup

    def on_fit_task_end(self, estimator, context):
        if context.task_name == "epoch":
            stage = context.parent
            self.planned[stage.task_name] = stage.max_subtasks
        return True


# What the documentation says: the least number of epochs, and of steps with images,
# with tables whose clusters are clear, and with other tables.
AUTO = {
    SelfPacedContrastiveClustering: {
        "pretraining": (4, 600, 40, 40),
        "center": (2, 100, 15, 15),
        "head": (3, 200, 20, 20),
        "contrastive": (1, 75, 15, 15),
        "final_head": (3, 200, 120, 120),
    },
    GraphContrastiveClustering: {
        "pretraining": (4, 600, 40, 40),
        "head": (3, 300, 20, 300),
        "joint": (3, 250, 25, 25),
        "final_head": (3, 300, 120, 300),
    },
    DeepSubspaceClustering: {
        "pretraining": (10, 400, 400, 400),
        "joint": (5, 0, 0, 0),
    },
}
KINDS = {"digits": (8, 8), "uneven": None, "noise": None}


@pytest.mark.parametrize("batch_size", [N_SAMPLES, 2])
@pytest.mark.parametrize("samples", KINDS)
@pytest.mark.parametrize("cls", AUTO, ids=name_of)
def test_auto_stands_for_the_documented_numbers_of_epochs(cls, samples, batch_size):
    pytest.importorskip("sklearn.callback", reason="scikit-learn 1.9 brought callbacks")
    callback = EndingStages()
    given = {**SOUGHT[cls], **dict.fromkeys(STAGES[cls], "auto")}
    if cls is GraphContrastiveClustering:
        given["graph"] = "auto"
    model = cls(**{**FEW[cls], **given, "batch_size": batch_size})
    model.set_params(image_shape=KINDS[samples]).set_callbacks(callback)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(SAMPLES[samples])
    kind = 1 + [*KINDS].index(samples)
    for stage, rule in AUTO[cls].items():
        n_batches = N_SAMPLES // batch_size
        expected = max(rule[0], -(-rule[kind] // n_batches))
        assert callback.planned.pop(stage) == expected, stage
    assert not callback.planned
