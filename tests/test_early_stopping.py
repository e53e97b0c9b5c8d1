import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score
from torch import nn

from skdeepclust.training import EarlyStopping, History, Stage, run_stages

# Few epochs are too few for some clusters.
pytestmark = pytest.mark.filterwarnings("ignore:.*clusters are empty")


def n_epochs(rows):
    counts = {}
    for row in rows:
        counts[row["stage"]] = counts.get(row["stage"], 0) + 1
    return counts


def train(losses, *, schedule="constant", n_iter_no_change=2, tol=0.0):
    """Run a stage with given losses, one batch an epoch, and another after it."""
    layer = nn.Linear(1, 1)
    remaining = iter(losses)

    def given(index):
        return {"loss": 0 * layer.weight.sum() + next(remaining)}

    def constant(index):
        return {"loss": 0 * layer.weight.sum()}

    groups = [{"params": layer.parameters(), "lr": 0.1}]
    first = Stage("first", len(losses), groups, given, 8, schedule=schedule)
    second = Stage("second", 9, groups, constant, 8)
    history = History()
    run_stages(
        layer,
        [lambda: first, lambda: second],
        8,
        generator=torch.Generator().manual_seed(0),
        observers=[EarlyStopping(n_iter_no_change, tol), history],
    )
    return n_epochs(history.rows)


@pytest.mark.parametrize(
    ("losses", "tol", "expected"),
    [
        ([5, 4, 3, 2, 1], 0.0, 5),
        ([3, 3, 3, 3, 3], 0.0, 3),
        ([3, 4, 4, 2, 2, 2, 2], 0.0, 3),
        ([3, 4, 2, 4, 1, 1, 1, 1], 0.0, 7),
        # Never by more than tol below the best so far, though it creeps down.
        ([3, 2.75, 2.5, 2.25], 0.5, 3),
        ([3, 2.25, 1.5, 0.75], 0.5, 4),
    ],
)
def test_early_stopping_counts_epochs_without_lower_loss(losses, tol, expected):
    found = train([float(loss) for loss in losses], tol=tol)
    # The stage after it starts counting anew.
    assert found == {"first": expected, "second": 3}


def test_early_stopping_spares_what_anneals():
    assert train([1.0] * 9, schedule="one_cycle") == {"first": 9, "second": 3}


@pytest.mark.parametrize("make", ["tiny", "tiny_graph"])
def test_early_stopping_ends_stages_but_pretraining(request, blobs, make):
    X, _ = blobs
    make = request.getfixturevalue(make)
    full = n_epochs(make().fit(X).history_)
    # No epoch but the first lowers the loss by so much.
    model = make(early_stopping=True, n_iter_no_change=1, tol=1e3).fit(X)
    found = n_epochs(model.history_)
    assert found.pop("pretraining") == full.pop("pretraining")
    # At the end tables are taught with a rate that anneals.
    assert found.pop("final_head") == full.pop("final_head")
    assert found == dict.fromkeys(full, 2)
    assert model.n_iter_ == len(model.history_)


@pytest.mark.parametrize("make", ["tiny", "tiny_graph"])
def test_early_stopping_of_a_converged_stage_keeps_the_clusters(request, blobs, make):
    X, y = blobs
    parameters = {"pretrain_epochs": 200, "head_epochs": 500}
    make = request.getfixturevalue(make)
    model = make(early_stopping=True, tol=1e-3, **parameters).fit(X)
    found = n_epochs(model.history_)
    assert 6 < found["head"] < 500
    assert list(found)[-2] in ("contrastive", "joint")
    assert adjusted_rand_score(y, model.labels_) > 0.9


@pytest.mark.parametrize("make", ["tiny", "tiny_graph"])
def test_early_stopping_that_never_stops_changes_no_digit(request, blobs, make):
    X, _ = blobs
    make = request.getfixturevalue(make)
    plain = make().fit(X)
    patient = make(early_stopping=True, n_iter_no_change=10**6).fit(X)
    assert patient.history_ == plain.history_
    np.testing.assert_array_equal(patient.labels_, plain.labels_)
    np.testing.assert_array_equal(patient.embedding_, plain.embedding_)


@pytest.mark.parametrize(
    ("parameter", "value"),
    [("tol", -1e-4), ("n_iter_no_change", 0), ("early_stopping", "yes")],
)
@pytest.mark.parametrize("make", ["tiny", "tiny_graph"])
def test_early_stopping_refuses_bad_parameters(request, blobs, make, parameter, value):
    model = request.getfixturevalue(make)(**{parameter: value})
    with pytest.raises(ValueError, match=f"'{parameter}' parameter"):
        model.fit(blobs[0])
