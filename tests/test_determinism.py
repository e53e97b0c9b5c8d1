"""The same seed gives the same, and nobody else's random numbers change."""

import hashlib
import os
import pickle
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Event

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits
from torch import nn

from skdeepclust._utils.threads import one_thread
from skdeepclust.features import FeatureExtractor

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*clusters are empty"),
    # What is run here is measured by other tests; measuring would take longer.
    pytest.mark.no_cover,
]

FEW = {
    "tiny": {"pretrain_epochs": 4, "center_epochs": 2, "head_epochs": 2},
    "tiny_graph": {"pretrain_epochs": 4, "head_epochs": 9, "joint_epochs": 2},
    "tiny_subspace": {"pretrain_epochs": 4},
}
predicting = pytest.mark.parametrize("make", ["tiny", "tiny_graph"], indirect=True)


@pytest.fixture(params=FEW)
def make(request):
    """Make one of the estimators, of few epochs."""
    make, few = request.getfixturevalue(request.param), FEW[request.param]
    return lambda **parameters: make(**{**few, **parameters})


def digest(model):
    """Tell by a few characters what was learnt."""
    arrays = model.labels_, model.embedding_
    learnt = [array.tobytes() for array in arrays], model.history_
    return hashlib.sha256(repr(learnt).encode()).hexdigest()


def assert_same(model, other):
    state, other_state = model.__getstate__(), other.__getstate__()
    for name in state:
        if name.endswith("_"):
            np.testing.assert_equal(state[name], other_state[name], err_msg=name)


def states():
    legacy = np.random.get_state()  # noqa: NPY002
    return random.getstate(), legacy[1].tobytes(), legacy[2:], torch.get_rng_state()


def assert_untouched(before):
    *numbers, tensor = states()
    assert numbers == [*before[:-1]]
    assert torch.equal(tensor, before[-1])


def draw(shape):
    """Draw from every global generator."""
    noise = torch.randn(shape) + random.random()
    return noise + torch.from_numpy(np.random.standard_normal(shape)).float()  # noqa: NPY002


class Drawing(nn.Module):
    """Draws even when it is not trained."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 4)

    def forward(self, x):
        return self.linear(x) + 0.01 * draw((len(x), 4))


def noisy(batch):
    return batch + 0.1 * draw(batch.shape)


# ------------------------------------------------------------------- the same seed


def test_same_seed_same_fit_whatever_the_global_generators(make, blobs):
    X, _ = blobs
    before = states()
    first = make().fit(X)
    assert_untouched(before)
    draw((3,))
    assert_same(make().fit(X), first)
    # So does a refit of what was pickled when it was fitted.
    assert_same(pickle.loads(pickle.dumps(first)).fit(X), first)


def test_code_that_draws_is_reproducible_and_draws_for_itself(make, blobs):
    X, _ = blobs
    model = make(encoder=Drawing())
    if hasattr(model, "augmentation"):
        model.set_params(augmentation=noisy)
    before = states()
    first = pickle.dumps(model.fit(X).embedding_)
    assert_untouched(before)
    draw((3,))
    assert pickle.dumps(model.fit(X).embedding_) == first


@predicting
def test_prediction_with_code_that_draws(make, blobs):
    X, _ = blobs
    model = make(encoder=Drawing()).fit(X)
    expected = model.predict_proba(X)
    draw((3,))
    before = states()
    np.testing.assert_array_equal(model.predict_proba(X), expected)
    for method in (model.predict, model.transform, model.score):
        method(X)
    pickle.loads(pickle.dumps(model))
    assert_untouched(before)


def test_features_with_code_that_draws(blobs):
    X, _ = blobs
    extractor = FeatureExtractor(Drawing())
    before = states()
    extractor.fit(X)
    first = extractor.transform(X)
    assert_untouched(before)
    draw((3,))
    np.testing.assert_array_equal(extractor.transform(X), first)


@predicting
def test_rows_may_come_in_any_order(make, images):
    X, _ = images
    model = make(encoder="mlp").fit(X)
    order = np.random.default_rng(0).permutation(len(X))
    for method in (model.predict, model.predict_proba, model.transform):
        np.testing.assert_array_equal(method(X[order]), method(X)[order])


# -------------------------------------------------------------------- other processes


def learn(make, X):
    return "\n".join(digest(make(kind).fit(X)) for kind in FEW)


PROGRAM = """
import socket
import sys

class NoSocket(socket.socket):
    def __init__(self, *arguments, **options):
        raise OSError("no network")

socket.socket = NoSocket
sys.path.insert(0, sys.argv[1])

import conftest
import numpy as np
import test_determinism as tests
import skdeepclust
import skdeepclust.display, skdeepclust.features, skdeepclust.model_selection

CLASSES = {
    "tiny": (skdeepclust.SelfPacedContrastiveClustering, conftest.TINY),
    "tiny_graph": (skdeepclust.GraphContrastiveClustering, conftest.TINY_GRAPH),
    "tiny_subspace": (skdeepclust.DeepSubspaceClustering, conftest.TINY_SUBSPACE),
}

def make(kind):
    estimator, parameters = CLASSES[kind]
    return estimator(3, **{**parameters, **tests.FEW[kind]})

X = np.load(sys.argv[2])
print(tests.learn(make, X))
for kind in ("tiny", "tiny_graph"):
    make(kind).fit(X).predict(X)
"""


def test_another_process_without_network_learns_the_same(request, blobs, tmp_path):
    X, _ = blobs
    np.save(tmp_path / "X.npy", X)
    here = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, here, tmp_path / "X.npy"],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())},
        check=False,
    )
    assert done.returncode == 0, done.stderr

    def make(kind):
        return request.getfixturevalue(kind)(**FEW[kind])

    assert done.stdout.strip() == learn(make, X)


# ------------------------------------------------------------------------- threads


def test_estimators_fitted_in_threads_do_not_disturb_each_other(
    tiny, tiny_graph, tiny_subspace, blobs
):
    X, _ = blobs

    encoder = Drawing()

    def models():
        return [
            tiny(**FEW["tiny"]),
            tiny_graph(**FEW["tiny_graph"]),
            tiny_subspace(**FEW["tiny_subspace"]),
            # Draws from the global generators all the time.
            tiny(encoder=encoder, augmentation=noisy, **FEW["tiny"]),
            tiny(encoder=encoder, augmentation=noisy, **FEW["tiny"]),
        ]

    serial = [model.fit(X) for model in models()]
    unfitted = models()
    before = states()
    with ThreadPoolExecutor(5) as pool:
        fitted = [*pool.map(lambda model: model.fit(X), unfitted)]
    assert_untouched(before)
    for model, other in zip(fitted, serial, strict=True):
        assert_same(model, other)


def test_overlapping_scopes_of_one_thread_put_back_what_was_found():
    def n_threads(api=""):
        libraries = [p for p in threadpool_info() if api in p["internal_api"]]
        return [torch.get_num_threads(), *(p["num_threads"] for p in libraries)]

    together = Barrier(2)
    first_is_out, found = Event(), []

    def work(is_first):
        # OpenMP counts for each thread.
        threadpool_limits(2)
        torch.set_num_threads(2)
        before = n_threads("openmp")
        together.wait()
        with one_thread():
            together.wait()
            found.append(n_threads())
            if not is_first:
                first_is_out.wait()
                found.append(n_threads())
        after = n_threads("openmp")
        first_is_out.set()
        assert after == before

    with threadpool_limits(2):
        torch.set_num_threads(2)
        before = n_threads()
        assert before[0] == max(before) == 2
        with ThreadPoolExecutor(2) as pool:
            [*pool.map(work, [True, False])]
        assert max(map(max, found)) == 1
        assert n_threads() == before
        with ThreadPoolExecutor(1) as pool:
            # In a thread that is new.
            assert pool.submit(torch.get_num_threads).result() == 2
        torch.set_num_threads(1)


@pytest.mark.parametrize("default", [torch.float64, torch.float16])
def test_default_type_of_torch_changes_no_digit(make, blobs, default):
    expected = make().fit(blobs[0])
    torch.set_default_dtype(default)
    try:
        model = make().fit(blobs[0])
        again = pickle.loads(pickle.dumps(model))
        assert torch.get_default_dtype() == default
    finally:
        torch.set_default_dtype(torch.float32)
    assert_same(model, expected)
    assert_same(again, expected)
    if hasattr(model, "network_"):
        assert {p.dtype for p in model.network_.parameters()} == {torch.float32}


def test_default_device_of_torch_changes_no_digit(make, blobs):
    X, _ = blobs
    expected = make().fit(X)
    features = FeatureExtractor(nn.Identity()).fit_transform(X)
    # Stands for a GPU: whatever is made there by mistake is no good here.
    with torch.device("meta"):
        model = make().fit(X)
        again = pickle.loads(pickle.dumps(model))
        extracted = FeatureExtractor(nn.Identity()).fit_transform(X)
        assert_same(model, expected)
        assert_same(again, expected)
    np.testing.assert_array_equal(extracted, features)


@pytest.mark.parametrize("make", ["tiny"], indirect=True)
def test_default_type_of_torch_may_be_another_for_modules_and_workers(make, blobs):
    module = nn.Linear(6, 4)
    expected = FeatureExtractor(module).fit_transform(blobs[0])
    torch.set_default_dtype(torch.float64)
    try:
        make(encoder=module).fit(blobs[0])
        extracted = FeatureExtractor(module).fit_transform(blobs[0])
        one, two = (make(n_init=2, n_jobs=n_jobs).fit(blobs[0]) for n_jobs in (1, 2))
    finally:
        torch.set_default_dtype(torch.float32)
    np.testing.assert_array_equal(extracted, expected)
    assert_same(one, two)


@pytest.mark.parametrize("encoder", ["mlp", nn.Linear(6, 4)], ids=["mlp", "module"])
def test_autocast_of_the_caller_changes_no_digit(make, blobs, encoder):
    def fitted():
        model = make(encoder=encoder, n_init=2).fit(blobs[0])
        return model, model.transform(blobs[0]) if hasattr(model, "transform") else 0

    expected, embedded = fitted()
    with torch.autocast("cpu", torch.bfloat16):
        model, other = fitted()
        again = pickle.loads(pickle.dumps(model))
    assert_same(model, expected)
    assert_same(again, expected)
    np.testing.assert_array_equal(other, embedded)


@predicting
def test_fitted_module_is_seeded_whatever_encoder_is_now(make, blobs):
    model = make(encoder=Drawing()).fit(blobs[0])
    embedded = model.transform(blobs[0])
    before = states()
    model.set_params(encoder="mlp")
    np.testing.assert_array_equal(model.transform(blobs[0]), embedded)
    assert_untouched(before)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_modes_of_torch_change_no_digit(make, blobs, mode):
    expected = make(n_init=2).fit(blobs[0])
    with mode():
        model = make(n_init=2).fit(blobs[0])
    assert_same(model, expected)


@pytest.mark.parametrize("encoder", ["mlp", Drawing()], ids=["mlp", "drawing"])
@pytest.mark.parametrize("make", ["tiny"], indirect=True)
def test_threads_predict_the_same(make, blobs, encoder):
    X, _ = blobs
    model = make(encoder=encoder).fit(X)
    starts = [i % 20 for i in range(64)]
    serial = [model.predict_proba(X[start:]) for start in starts]
    before = states()
    with ThreadPoolExecutor(8) as pool:
        parallel = [*pool.map(lambda start: model.predict_proba(X[start:]), starts)]
        copies = [*pool.map(lambda _: pickle.loads(pickle.dumps(model)), range(8))]
    assert_untouched(before)
    for one, other in zip(parallel, serial, strict=True):
        np.testing.assert_array_equal(one, other)
    assert len({digest(copied) for copied in copies}) == 1
