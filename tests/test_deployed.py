"""A fitted model at work: as a module, row by row, forked, hashed, changed."""

import multiprocessing
import pickle
import threading
import warnings
from functools import cache

import joblib
import numpy as np
import pytest
import torch
from conftest import TINY, TINY_GRAPH
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from torch import nn

from skdeepclust import GraphContrastiveClustering, SelfPacedContrastiveClustering
from skdeepclust.features import FeatureExtractor
from skdeepclust.networks import Frozen

pytestmark = pytest.mark.filterwarnings("ignore:.*clusters are empty")

DIGITS = load_digits(n_class=3).images[:150]
ROWS = np.random.default_rng(0).normal(1000, 3, size=(80, 6))
FEW = {"pretrain_epochs": 1, "head_epochs": 2, "resolution": None}


def fitted(X, cls=SelfPacedContrastiveClustering, **parameters):
    few = {**(TINY if cls is SelfPacedContrastiveClustering else TINY_GRAPH), **FEW}
    return cls(3, **{**few, **parameters}).fit(X)


def encoder():
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 5))


# ---------------------------------------------------------------------------- module


MODELS = {
    "images": (DIGITS, {}),
    "bytes": ((DIGITS * 15).astype(np.uint8), {}),
    "unit": (DIGITS / 16, {"encoder": "mlp"}),
    "table": (ROWS, {}),
    "table, reconstructed": (ROWS, {"augmentation": None}),
    "own encoder": (ROWS, {"encoder": encoder(), "n_components": 4}),
    "frozen encoder": (ROWS, {"encoder": Frozen(encoder())}),
    "bfloat16": (ROWS, {"precision": "bfloat16"}),
    "graph": (ROWS, {"cls": GraphContrastiveClustering}),
}


@cache
def prepared(name):
    """Return a model, samples as a tensor, and their probabilities."""
    X, parameters = MODELS[name]
    model = fitted(X, **parameters)
    x = torch.from_numpy(np.asarray(X, dtype=np.float32))
    return model, x, model.predict_proba(x.numpy())


def assert_agrees(function, x, expected):
    """It takes any number of samples."""
    for n in (1, 2, 7, len(x)):
        found = np.asarray(function(x[:n]))
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected[:n], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_the_module_is_the_model(name):
    model, x, expected = prepared(name)
    module = model.to_module()
    before = pickle.dumps(model)
    with torch.no_grad():
        assert_agrees(module, x, expected)
        flat = module(x.flatten(1))
    np.testing.assert_allclose(flat.numpy(), expected, rtol=0, atol=1e-5)
    assert not module.training
    # It has weights of its own.
    for weight in module.parameters():
        weight.data.zero_()
    assert pickle.dumps(model) == before


def test_there_is_no_module_before_a_fit():
    with pytest.raises(NotFittedError):
        SelfPacedContrastiveClustering(3).to_module()


@pytest.mark.no_cover
@pytest.mark.parametrize("name", ["images", "table", "own encoder", "graph"])
def test_the_module_can_be_exported(name):
    model, x, expected = prepared(name)
    sizes = ({0: torch.export.Dim("n")},)
    program = torch.export.export(model.to_module(), (x[:4],), dynamic_shapes=sizes)
    with torch.no_grad():
        assert_agrees(program.module(), x, expected)


@pytest.mark.no_cover
@pytest.mark.filterwarnings("ignore")  # of the exporter
@pytest.mark.parametrize("name", ["images", "own encoder"])
def test_the_module_runs_in_onnx(name):
    pytest.importorskip("onnxscript", reason="the extra onnx is not installed")
    runtime = pytest.importorskip("onnxruntime")
    model, x, expected = prepared(name)
    sizes = ({0: torch.export.Dim("n")},)
    program = torch.onnx.export(
        model.to_module(), (x[:4],), dynamo=True, dynamic_shapes=sizes, verbose=False
    )
    session = runtime.InferenceSession(program.model_proto.SerializeToString())
    (given,) = session.get_inputs()
    assert_agrees(lambda x: session.run(None, {given.name: x.numpy()})[0], x, expected)


# ------------------------------------------------------------------------ row by row


@pytest.fixture(scope="module")
def of_digits():
    X = load_digits().images[:600]
    model = SelfPacedContrastiveClustering(
        10, pretrain_epochs=1, center_epochs=0, head_epochs=3, contrastive_epochs=1
    )
    return model.fit(X), X


@pytest.mark.parametrize("n", [1, 3, 64, 500])
def test_labels_do_not_depend_on_the_company_of_a_sample(of_digits, n):
    model, X = of_digits
    starts = range(0, len(X), n) if n > 1 else range(100)
    n_seen = min(len(X), starts[-1] + n)
    labels = np.concatenate([model.predict(X[s : s + n]) for s in starts])
    np.testing.assert_array_equal(labels, model.labels_[:n_seen])
    embedded = np.concatenate([model.transform(X[s : s + n]) for s in starts])
    np.testing.assert_allclose(embedded, model.embedding_[:n_seen], rtol=0, atol=1e-6)


class Sizes(nn.Module):
    """Notes the rows that it is given."""

    seen: list = []

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3 * 64 * 64, 4)

    def forward(self, x):
        Sizes.seen.append(len(x))
        return self.layer(x.flatten(1))


def test_blocks_are_small_for_large_images_small_batches_and_few_rows():
    X = np.random.default_rng(0).random((40, 3, 64, 64)).astype(np.float32)
    model = fitted(X, encoder=Sizes(), batch_size=2)
    extractor = FeatureExtractor(Sizes(), batch_size=8)
    for apply, batch_size, n, most in (
        (model.predict, 2, 40, 4),
        (model.predict, 2, 1, 1),
        (model.predict, 256, 40, 64),
        (model.predict, 256, 3, 4),
        (extractor.transform, 8, 40, 8),
        (extractor.transform, 8, 1, 1),
    ):
        apply.__self__.set_params(batch_size=batch_size)
        Sizes.seen.clear()
        apply(X[:n])
        assert {*Sizes.seen} == {most}


class TooLarge(nn.Module):
    """Runs out of memory with more than some rows, once it may."""

    most = 10**6

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 4)

    def forward(self, x):
        if len(x) > TooLarge.most:
            # What torch's allocator of the CPU says, without the wait.
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 GB")
        return self.layer(x)


def test_prediction_that_runs_out_of_memory_says_what_helps(monkeypatch):
    model = fitted(ROWS, encoder=TooLarge())
    extractor = FeatureExtractor(TooLarge())
    expected, features = model.predict(ROWS), extractor.transform(ROWS)
    monkeypatch.setattr(TooLarge, "most", 16)
    for apply in (model.predict, model.predict_proba, model.transform, model.score):
        with pytest.raises(MemoryError, match="lower batch_size=128, or pass fewer"):
            apply(ROWS)
    with pytest.raises(MemoryError, match="lower batch_size=256, or pass fewer"):
        extractor.transform(ROWS)
    # And it does help.
    model.set_params(batch_size=8)
    np.testing.assert_array_equal(model.predict(ROWS), expected)
    extractor.set_params(batch_size=16)
    np.testing.assert_allclose(extractor.transform(ROWS), features, atol=1e-6)


def test_features_do_not_copy_weights_that_can_stay(monkeypatch):
    module = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4))
    extractor = FeatureExtractor(module).fit(ROWS)
    n_copied = 0
    copied = nn.Parameter.__deepcopy__

    def count(self, memo):
        nonlocal n_copied
        n_copied += 1
        return copied(self, memo)

    monkeypatch.setattr(nn.Parameter, "__deepcopy__", count)
    extractor.transform(ROWS)
    assert n_copied == 0
    assert module.training
    assert int(module[1].num_batches_tracked) == 0


# --------------------------------------------------------------- threads and processes


class Slow(nn.Module):
    """Trains until it is told to stop."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 4)

    def forward(self, x):
        if self.training:
            STARTED.set()
            GO_ON.wait(60)
        return self.layer(x)

    def __deepcopy__(self, memo):
        return Slow()


STARTED, GO_ON = threading.Event(), threading.Event()


@pytest.fixture
def training():
    """Train an encoder of your own in another thread, meanwhile."""
    STARTED.clear()
    GO_ON.clear()
    thread = threading.Thread(target=fitted, args=(ROWS,), kwargs={"encoder": Slow()})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        thread.start()
        assert STARTED.wait(60)
        yield
        GO_ON.set()
        thread.join()


@pytest.mark.no_cover
@pytest.mark.parametrize("given", [{}, {"encoder": encoder()}], ids=["ours", "own"])
def test_unpickling_does_not_wait_for_an_encoder_that_trains(given, request):
    model = fitted(ROWS, **given)
    content = pickle.dumps(model)
    request.getfixturevalue("training")
    done = threading.Event()

    def load():
        loaded = pickle.loads(content)
        # An encoder of your own may draw: its predictions take their turn.
        if not given:
            np.testing.assert_array_equal(loaded.predict(ROWS), model.labels_)
        done.set()

    threading.Thread(target=load, daemon=True).start()
    assert done.wait(20)


def _load(content, queue):
    # To compute after a fork is for torch to allow; to wait for another thread, which
    # drew from the global generators, would be for ever.
    FeatureExtractor(nn.Identity()).transform(ROWS[:2])
    queue.put(pickle.loads(content).labels_)


@pytest.mark.no_cover
@pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="needs fork"
)
@pytest.mark.filterwarnings("ignore:.*fork")
def test_a_process_forked_while_an_encoder_trains_does_not_hang(request):
    model = fitted(ROWS, encoder=encoder())
    content = pickle.dumps(model)
    request.getfixturevalue("training")
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    process = context.Process(target=_load, args=(content, queue), daemon=True)
    process.start()
    try:
        np.testing.assert_array_equal(queue.get(timeout=30), model.labels_)
    finally:
        process.kill()


# ----------------------------------------------------------------- hashes and results


def test_clones_have_one_hash_and_other_weights_another():
    model = SelfPacedContrastiveClustering(3, encoder=encoder())
    assert joblib.hash(clone(model)) == joblib.hash(clone(model)) == joblib.hash(model)
    other = clone(model)
    with torch.no_grad():
        other.encoder[0].weight += 1
    assert joblib.hash(other) != joblib.hash(model)
    views = SelfPacedContrastiveClustering(3, augmentation=encoder())
    assert joblib.hash(clone(views)) == joblib.hash(clone(views))


def test_the_memory_of_a_pipeline_is_hit(tmp_path):
    calls = []
    few = {**TINY, **FEW, "encoder": encoder()}
    step = SelfPacedContrastiveClustering(3, **few)
    memory = joblib.Memory(tmp_path, verbose=0)
    last = FeatureExtractor(nn.Linear(4, 2))
    for _ in range(2):
        pipeline = make_pipeline(clone(step), last, memory=memory).fit(ROWS)
        calls.append(pipeline[0].history_)
    folders = [*tmp_path.rglob("output.pkl")]
    assert len(folders) == 1
    assert calls[0] == calls[1]


def test_results_can_be_changed_in_place():
    model = SelfPacedContrastiveClustering(3, **{**TINY, **FEW})
    embedding = model.fit_transform(ROWS)
    kept = model.embedding_.copy()
    embedding -= 100
    np.testing.assert_array_equal(model.embedding_, kept)
    labels = model.fit_predict(ROWS)
    kept = model.labels_.copy()
    labels += 1
    np.testing.assert_array_equal(model.labels_, kept)
    proba = model.predict_proba(ROWS)
    proba *= 0
    np.testing.assert_array_equal(model.predict(ROWS), model.labels_)


@pytest.mark.parametrize(
    "cls", [SelfPacedContrastiveClustering, GraphContrastiveClustering]
)
def test_each_stage_of_a_history_has_a_name_of_its_own(cls):
    model = fitted(ROWS, cls, resolution="auto")
    stages = [row["stage"] for row in model.history_]
    changes = [b for a, b in zip(["", *stages], stages, strict=False) if a != b]
    assert len(changes) == len({*changes}) >= 4
    epochs = [row["epoch"] for row in model.history_]
    assert len({*zip(stages, epochs, strict=True)}) == len(stages)
