"""Several runs from different seeds, of which one is kept as it is."""

import warnings
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from conftest import QUICK, assert_same_fit
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score

# What is run here is measured by other tests; measuring would take longer.
pytestmark = pytest.mark.no_cover

GRAPH = {"pretrain_epochs": 2, "head_epochs": 10, "joint_epochs": 2}
KINDS = {
    "self-paced": ("tiny", {**QUICK, "learning_rate": 3e-3}, 3),
    "self-paced, without head epochs": ("tiny", {**QUICK, "head_epochs": 0}, 2),
    "graph": ("tiny_graph", GRAPH, 3),
    "subspace": ("tiny_subspace", {"pretrain_epochs": 2}, 2),
}


@contextmanager
def one_thread():
    """Compute on one thread, as each of several runs does."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Seeds(np.random.RandomState):
    """Gives one prescribed seed."""

    def __init__(self, seed):
        super().__init__(0)
        self.prescribed = seed

    def randint(self, *args, **kwargs):
        return np.array([self.prescribed])


@pytest.mark.xdist_group("workers")
@pytest.mark.parametrize("kind", KINDS)
def test_n_init_keeps_one_run_as_it_is_for_any_n_jobs(request, images, kind):
    fixture, quick, n_init = KINDS[kind]
    tiny, X = request.getfixturevalue(fixture), images[0]
    seeds = np.random.RandomState(0).randint(np.iinfo(np.int32).max, size=n_init)

    def make(**parameters):
        return tiny(**{**quick, "encoder": "mlp", **parameters})

    n_threads = torch.get_num_threads()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        with one_thread():
            singles = [make(random_state=Seeds(seed)).fit(X) for seed in seeds]
            model = make(n_init=n_init).fit(X)
        parallel = make(n_init=n_init, n_jobs=2).fit(X)
    same = [np.array_equal(each.embedding_, model.embedding_) for each in singles]
    assert same.count(True) == 1
    kept = singles[same.index(True)]
    assert_same_fit(model, kept)
    assert_same_fit(parallel, model)
    assert model.n_iter_ == len(model.history_)
    if hasattr(model, "predict"):
        np.testing.assert_array_equal(model.predict(X), model.labels_)
    assert torch.get_num_threads() == n_threads
    if kind == "self-paced":
        # The one that the others agree with least is not kept.
        agreement = [
            sum(adjusted_rand_score(one.labels_, each.labels_) for each in singles)
            for one in singles
        ]
        assert min(agreement) < max(agreement) - 0.05
        assert kept is not singles[int(np.argmin(agreement))]
