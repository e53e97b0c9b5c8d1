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
from torch import nn

from skdeepclust import (
    DeepSubspaceClustering,
    GraphContrastiveClustering,
    SelfPacedContrastiveClustering,
)

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
        "init": "kmeans",
        "center_epochs": 3,
        "head_epochs": 3,
        "contrastive_epochs": 3,
    },
    GraphContrastiveClustering: {
        **BASE,
        "init": "kmeans",
        "graph": "self_expression",
        "consensus": False,
        "head_epochs": 3,
        "joint_epochs": 3,
    },
    DeepSubspaceClustering: {**BASE, "joint_epochs": 2},
}
SOUGHT = {
    SelfPacedContrastiveClustering: {"init": "neighbors"},
    GraphContrastiveClustering: {"init": "spectral", "consensus": True},
    DeepSubspaceClustering: {},
}
"""Overrides with which clusters are found in graphs, at the start and at the end."""

TABLE = {"image_shape": None, "samples": "noise"}
DECODED = {"pretraining": "reconstruction"}
STOPPING = {"early_stopping": True, "n_iter_no_change": 1, "tol": 1e3}
EASY = {"contrastive_epochs": 0}
HARD = {"center_epochs": 0}
JOINT = {"training": "joint"}
# Pairs of each kind from the first epoch on, and pairs that move.
PAIRS = {"pair_similarity": "centered_cosine", "fine_tune_learning_rate": 1e-2}
ONLY_PAIRS = {**PAIRS, **HARD, "pretrain_epochs": 0, "contrastive_weight": 0.0}
NEIGHBORS = SOUGHT[SelfPacedContrastiveClustering]
SPECTRAL = SOUGHT[GraphContrastiveClustering]

# For each parameter the settings in which it matters, and another value than theirs.
SHARED = {
    "n_clusters": [({}, 4)],
    "encoder": [({}, "conv"), (TABLE, ENCODER)],
    "encoder_trainable": [({**TABLE, "encoder": ENCODER}, False)],
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
    "denoising": [(DECODED, 0.3)],
    "pretraining": [({}, "reconstruction")],
    "head_epochs": [({}, 0), ({}, 4)],
    "head_learning_rate": [({}, 2e-3)],
    "early_stopping": [(STOPPING | {"early_stopping": False}, True)],
    "n_iter_no_change": [(STOPPING, 2)],
    "tol": [(STOPPING, 0.0)],
}
UNEVEN = {"image_shape": None, "samples": "uneven"}
EMBEDDED = {"graph": "knn", "input_neighbors": False}
LEARNED = {"coefficients": "learned", "joint_epochs": 0}
SETTINGS = {
    SelfPacedContrastiveClustering: {
        **CLUSTERER,
        "init": [({}, "neighbors")],
        "resolution": [(UNEVEN | NEIGHBORS, 1.0)],
        "training": [({}, "joint"), (DECODED, "joint")],
        "assignment": [({}, "student_t"), (JOINT, "student_t")],
        "degrees_of_freedom": [({"assignment": "student_t"}, 3.0)],
        "consistency_weight": [(base, 0.1) for base in (EASY, DECODED, JOINT)],
        "center_weight": [(base, 0.5) for base in (EASY, DECODED, JOINT)],
        "contrastive_weight": [(base, 0.3) for base in (EASY, HARD, JOINT)],
        "reconstruction_weight": [(DECODED | EASY, 0.3), (DECODED | JOINT, 0.3)],
        "center_epochs": [({}, 0), ({}, 4)],
        "center_update_interval": [({}, 3), (JOINT, 3)],
        "contrastive_epochs": [({}, 0), ({}, 4)],
        "temperature": [
            (EASY | HARD, 0.2),
            (EASY | {"pretrain_epochs": 0}, 0.2),
            (ONLY_PAIRS, 0.2),
            (ONLY_PAIRS | {"contrastive_weight": 1.0}, 0.2),
            (DECODED | PAIRS, 0.2),
        ],
        "pair_similarity": [(PAIRS, "assignments"), (PAIRS, "cosine")],
        "positive_threshold": [(PAIRS, 0.95), (PAIRS | JOINT, 0.95)],
        "negative_threshold": [(PAIRS, 0.7), (PAIRS | JOINT, 0.7)],
        "pair_update_interval": [(PAIRS, 2), (PAIRS | JOINT, 2)],
        "balance_weight": [({}, 0.1), (JOINT, 0.1)],
        "center_learning_rate": [(EASY, 1e-3), (JOINT, 1e-3)],
        "fine_tune_learning_rate": [({}, 1e-3)],
    },
    GraphContrastiveClustering: {
        **CLUSTERER,
        "init": [({}, "spectral"), ({}, "random")],
        "resolution": [(UNEVEN | SPECTRAL | {"graph": "input"}, 1.0)],
        "temperature": [({}, 0.2)],
        "reconstruction_weight": [(DECODED, 0.3)],
        "graph": [({}, kind) for kind in ("knn", "candidates", "exact", "input", RING)],
        "n_neighbors": [({"graph": k}, 3) for k in ("knn", "candidates", "input")],
        "input_neighbors": [(SPECTRAL, False), (TABLE | {"graph": "auto"}, False)],
        "self_expression_weight": [({"graph": "exact"}, 9.0)],
        "graph_update_interval": [(EMBEDDED, 1), (EMBEDDED, 2)],
        "level": [({}, "instance"), ({}, "cluster")],
        "joint_epochs": [({}, 0), ({}, 4)],
        "instance_temperature": [({}, 0.2), ({"level": "instance"}, 0.2)],
        "cluster_temperature": [({}, 0.2), ({"level": "cluster"}, 0.2)],
        "balance_weight": [({}, 0.1), ({"level": "cluster"}, 0.1)],
        "consensus": [(SPECTRAL, False)],
        "joint_learning_rate": [({}, 3e-3)],
    },
    DeepSubspaceClustering: {
        **SHARED,
        "denoising": [({}, 0.3)],
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
    "compile": (None, "needs a compiler; the results are the same up to rounding"),
    "checkpoint_dir": ("tmp_path", "what is written is read after an interruption"),
    "checkpoint_interval": (3, "as checkpoint_dir"),
    "verbose": (2, "logs lines"),
}


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
    if name == "checkpoint_interval":
        given["checkpoint_dir"] = tmp_path
    assert not differ(fit(cls, **given), fit_base(cls, {}))


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


@pytest.mark.parametrize(
    "batch_size", [N_SAMPLES, N_SAMPLES // 3], ids=["one batch", "three batches"]
)
@pytest.mark.parametrize("shift", range(4))
@pytest.mark.parametrize("cls", STAGES, ids=name_of)
def test_an_integer_is_exactly_the_number_of_epochs(cls, shift, batch_size):
    """Each stage has another number, and all have each of them once."""
    names = [*STAGES[cls]]
    numbers = [(1, 3, 10, 0)[(i + shift) % 4] for i in range(len(names))]
    given = dict(zip(names, numbers, strict=True))
    rows = history(cls, batch_size=batch_size, **given)
    for name, n_epochs in given.items():
        for stage in STAGES[cls][name]:
            epochs = [row["epoch"] for row in rows if row["stage"] == stage]
            assert epochs == [*range(1, n_epochs + 1)], (name, stage)


@pytest.mark.parametrize("cls", [SelfPacedContrastiveClustering], ids=name_of)
@pytest.mark.parametrize(("center", "contrastive"), [(1, 3), (10, 3)])
def test_joint_training_has_the_longer_number_of_epochs(cls, center, contrastive):
    given = {"center_epochs": center, "contrastive_epochs": contrastive}
    rows = history(cls, training="joint", **given)
    n_epochs = max(center, contrastive)
    joint = [row["epoch"] for row in rows if row["stage"] == "joint"]
    assert joint == [*range(1, n_epochs + 1)]


@pytest.mark.parametrize(
    ("cls", "name"),
    [
        pytest.param(cls, name, id=f"{cls.__name__}-{name}")
        for cls in STAGES
        for name in STAGES[cls]
    ],
)
def test_more_epochs_are_another_fit(cls, name):
    """Of few samples, too: no number stands for another one."""
    fits = [fit(cls, **{name: n}) for n in (1, 10, 20)]
    assert all(
        differ(one, other) for i, one in enumerate(fits) for other in fits[i + 1 :]
    )


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
        "pretraining": (8, 300, 50, 50),
        "center": (3, 100, 20, 20),
        "head": (5, 200, 30, 30),
        "contrastive": (2, 75, 20, 20),
        "final_head": (5, 200, 120, 120),
    },
    GraphContrastiveClustering: {
        "pretraining": (10, 400, 50, 50),
        "head": (5, 1000, 30, 400),
        "joint": (5, 400, 40, 40),
        "final_head": (5, 1000, 120, 400),
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
        # In joint training along a graph half of a batch are neighbors.
        pairs = stage == "joint" and cls is GraphContrastiveClustering
        n_batches = N_SAMPLES // max(2, batch_size // (1 + pairs))
        expected = max(rule[0], -(-rule[kind] // n_batches))
        assert callback.planned.pop(stage) == expected, stage
    assert not callback.planned
