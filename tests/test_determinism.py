"""The same seed gives the same, and nobody else's random numbers change."""

import copy
import os
import pickle
import random
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from conftest import (
    ALL,
    PREDICTING,
    Drawing,
    assert_same_fit,
    draw,
    few_epochs,
    noisy,
)
from threadpoolctl import threadpool_info, threadpool_limits
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from skdeepclust.features import FeatureExtractor

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*clusters are empty"),
    # What is run here is measured by other tests; measuring would take longer.
    pytest.mark.no_cover,
]

MODELS = {name: few_epochs(name) for name in ALL}
MODELS["tiny"].set_params(n_init=2)  # two runs, which are on one thread
all_models = pytest.mark.parametrize("name", ALL)
predicting = pytest.mark.parametrize("make", PREDICTING, indirect=True)


def learn(X):
    """Fit each model, and hash what it is then, with all that it has learned."""
    models = {name: copy.copy(model).fit(X) for name, model in MODELS.items()}
    for name in PREDICTING:
        models[name].predict(X)
    return {name: joblib.hash(model) for name, model in models.items()}


@pytest.fixture(scope="module")
def expected(blobs):
    """What was learned at first."""
    return {name: copy.copy(model).fit(blobs[0]) for name, model in MODELS.items()}


def states():
    legacy = np.random.get_state()  # noqa: NPY002
    return random.getstate(), legacy[1].tobytes(), legacy[2:], torch.get_rng_state()


def assert_untouched(before):
    *numbers, tensor = states()
    assert numbers == [*before[:-1]]
    assert torch.equal(tensor, before[-1])


# ------------------------------------------------------------------- the same seed


@all_models
def test_same_seed_same_fit_whatever_the_global_generators(name, blobs, expected):
    X, _ = blobs
    draw((3,))
    before = states()
    model = copy.copy(MODELS[name]).fit(X)
    assert_untouched(before)
    assert_same_fit(model, expected[name])
    # So does a refit of what was pickled when it was fitted.
    again = pickle.loads(pickle.dumps(model)).fit(X)
    assert_same_fit(again, expected[name])


@pytest.mark.parametrize("make", ALL, indirect=True)
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
    model = make(encoder=Drawing(), resolution=None).fit(X)
    expected, embedded = model.predict_proba(X), model.transform(X)
    draw((3,))
    before = states()
    np.testing.assert_array_equal(model.predict_proba(X), expected)
    for method in (model.predict, model.score):
        method(X)
    # The fitted module is seeded, whatever the parameter is by now.
    model.set_params(encoder="mlp")
    np.testing.assert_array_equal(model.transform(X), embedded)
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
    model = make(encoder="mlp", resolution=None).fit(X)
    order = np.random.default_rng(0).permutation(len(X))
    for method in (model.predict, model.predict_proba, model.transform):
        np.testing.assert_array_equal(method(X[order]), method(X)[order])


# -------------------------------------------------------------------- other processes


PROGRAM = """
import socket
import sys

class NoSocket(socket.socket):
    def __init__(self, *arguments, **options):
        raise OSError("no network")

socket.socket = NoSocket
sys.path.insert(0, sys.argv[1])

import numpy as np
import test_determinism
import skdeepclust.display, skdeepclust.features, skdeepclust.model_selection

print(test_determinism.learn(np.load(sys.argv[2])))
"""


def test_another_process_without_network_learns_the_same(blobs, expected, tmp_path):
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
    hashes = {name: joblib.hash(model) for name, model in expected.items()}
    assert done.stdout.strip() == str(hashes)


# ------------------------------------------------------------------------- threads


def test_estimators_fitted_in_threads_do_not_disturb_each_other(quick, blobs):
    X, _ = blobs
    # Draws from the global generators all the time.
    drawing = quick(encoder=Drawing(), augmentation=noisy)
    models = [*MODELS.values(), drawing, drawing]
    serial = [copy.copy(model).fit(X) for model in models]
    unfitted = [copy.copy(model) for model in models]
    before = states()
    with ThreadPoolExecutor(5) as pool:
        fitted = [*pool.map(lambda model: model.fit(X), unfitted)]
    assert_untouched(before)
    for model, other in zip(fitted, serial, strict=True):
        assert_same_fit(model, other)


def test_runs_in_two_threads_put_back_the_numbers_of_threads(quick, blobs):
    def n_threads(api=""):
        libraries = [p for p in threadpool_info() if api in p["internal_api"]]
        return [torch.get_num_threads(), *(p["num_threads"] for p in libraries)]

    together, first_is_out, found = threading.Barrier(2), threading.Event(), []
    here = threading.local()

    def look(*arguments):
        """Have both fits begin, and the first end, before the second goes on."""
        if here.steps == 0:
            together.wait(60)
            if not here.is_first:
                first_is_out.wait(60)
        found.append(n_threads())
        here.steps += 1

    def work(is_first):
        # OpenMP counts for each thread.
        threadpool_limits(2)
        torch.set_num_threads(2)
        before = n_threads("openmp")
        # The first fit sets the number of threads for both.
        together.wait(60)
        here.is_first, here.steps = is_first, 0
        quick(n_init=2).fit(blobs[0])
        assert here.steps > 0
        after = n_threads("openmp")
        first_is_out.set()
        assert after == before

    hook = register_optimizer_step_pre_hook(look)
    try:
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
    finally:
        torch.set_num_threads(1)
        hook.remove()


@pytest.mark.parametrize("encoder", ["mlp", Drawing()], ids=["mlp", "drawing"])
def test_threads_predict_the_same(quick, blobs, encoder):
    X, _ = blobs
    model = quick(encoder=encoder).fit(X)
    starts = [i % 20 for i in range(64)]
    serial = [model.predict_proba(X[start:]) for start in starts]
    before = states()
    with ThreadPoolExecutor(8) as pool:
        parallel = [*pool.map(lambda start: model.predict_proba(X[start:]), starts)]
        copies = [*pool.map(lambda _: pickle.loads(pickle.dumps(model)), range(8))]
    assert_untouched(before)
    for one, other in zip(parallel, serial, strict=True):
        np.testing.assert_array_equal(one, other)
    for copied in copies:
        assert_same_fit(copied, model)


# ----------------------------------------------------------------- settings of torch


@contextmanager
def default_type(dtype):
    torch.set_default_dtype(dtype)
    try:
        yield
        assert torch.get_default_dtype() == dtype
    finally:
        torch.set_default_dtype(torch.float32)


SETTINGS = {
    "float64": partial(default_type, torch.float64),
    "float16": partial(default_type, torch.float16),
    # Stands for a GPU: whatever is made there by mistake is no good here.
    "device": partial(torch.device, "meta"),
    "autocast": partial(torch.autocast, "cpu", torch.bfloat16),
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
}


@pytest.mark.parametrize("setting", SETTINGS)
@all_models
def test_settings_of_torch_change_no_bit(name, blobs, expected, setting):
    X, _ = blobs
    features = FeatureExtractor(nn.Identity()).fit_transform(X)
    with SETTINGS[setting]():
        model = copy.copy(MODELS[name]).fit(X)
        again = pickle.loads(pickle.dumps(model))
        extracted = FeatureExtractor(nn.Identity()).fit_transform(X)
        assert_same_fit(model, expected[name])
        assert_same_fit(again, expected[name])
        if name in PREDICTING:
            embedded = model.transform(X)
    np.testing.assert_array_equal(extracted, features)
    if name in PREDICTING:
        assert {p.dtype for p in model.network_.parameters()} == {torch.float32}
        np.testing.assert_array_equal(embedded, expected[name].transform(X))


@pytest.mark.parametrize("setting", ["float64", "autocast"])
def test_settings_of_torch_change_no_bit_of_modules(quick, blobs, setting):
    X, _ = blobs
    module = nn.Linear(6, 4)
    model = quick(encoder=module, n_init=2).fit(X)
    embedded = model.transform(X)
    features = FeatureExtractor(module).fit_transform(X)
    with SETTINGS[setting]():
        other = quick(encoder=module, n_init=2).fit(X)
        np.testing.assert_array_equal(other.transform(X), embedded)
        extracted = FeatureExtractor(module).fit_transform(X)
    assert_same_fit(other, model)
    np.testing.assert_array_equal(extracted, features)


@pytest.mark.xdist_group("workers")
def test_default_type_of_torch_changes_no_bit_in_workers(blobs, expected):
    with SETTINGS["float64"]():
        model = copy.copy(MODELS["tiny"]).set_params(n_jobs=2).fit(blobs[0])
    assert_same_fit(model.set_params(n_jobs=None), expected["tiny"])
