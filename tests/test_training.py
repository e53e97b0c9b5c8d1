import math

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from skdeepclust.training.data import Batches, InputSpec, block_rows
from skdeepclust.training.device import available_devices, repeatable, resolve_device
from skdeepclust.training.loop import Training
from skdeepclust.training.stage import AutoEpochs, Rate, Stage, count_batches

CPU = torch.device("cpu")
WAITS = {torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default}


class CountWaits(TorchDispatchMode):
    """Counts the operations for whose result the host waits."""

    n_steps = n_waits = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.n_steps += function is torch.ops.aten._fused_adam_.default
        self.n_waits += function in WAITS
        return function(*args, **(kwargs or {}))


def regression(n=40, seed=0):
    """Make a linear layer, a target and the step that fits it."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 3, generator=generator)
    layer = nn.Linear(3, 1)
    nn.init.zeros_(layer.weight)
    target = x.sum(1, keepdim=True)

    def step(index):
        loss = (layer(x[index]) - target[index]).square().mean()
        return {"loss": loss, "squared": loss}

    return layer, step


class Fit(Stage):
    """Fits one layer by a step, and with attributes, of the test's own."""

    def __init__(self, layer, step, n_epochs=3, batch_size=16, **attributes):
        rate = Rate("learning_rate", 0.05, layer)
        super().__init__("fit", n_epochs, batch_size, [rate])
        vars(self).update(attributes, step=step)


def train(layer, *stages, n=40, seed=0):
    training = Training(layer, n, generator=torch.Generator().manual_seed(seed))
    training.begin(len(stages))
    for stage in stages:
        training.run(lambda stage=stage: stage)
    return training.history.rows


@pytest.mark.parametrize("schedule", ["constant", "one_cycle"])
def test_training_minimizes_loss_and_keeps_history(schedule):
    layer, step = regression()
    stage = Fit(layer, step, 40, schedule=schedule)
    rows = train(layer, stage)
    assert len(rows) == 40
    assert [row["epoch"] for row in rows] == list(range(1, 41))
    assert set(rows[0]) == {"stage", "epoch", "loss", "squared"}
    assert rows[-1]["loss"] < 0.1 * rows[0]["loss"]


def test_training_visits_each_sample_once_an_epoch():
    layer, step = regression()
    seen = []

    def spy(index):
        seen.append(index.clone())
        return step(index)

    train(layer, Fit(layer, spy, 2, batch_size=16))
    assert [len(index) for index in seen] == [20, 20, 20, 20]
    for epoch in (seen[:2], seen[2:]):
        assert torch.cat(epoch).sort().values.tolist() == list(range(40))
    assert not torch.equal(seen[0], seen[2])


def test_training_small_data_is_one_batch():
    layer, step = regression()
    sizes = []

    def spy(index):
        sizes.append(len(index))
        return step(index)

    train(layer, Fit(layer, spy, 1, batch_size=256))
    assert sizes == [40]


@pytest.mark.parametrize("n_epochs", [0, 1, 3])
def test_a_stage_has_the_epochs_that_it_is_given(n_epochs):
    layer, step = regression()
    assert len(train(layer, Fit(layer, step, n_epochs))) == n_epochs


def test_training_refreshes_every_interval():
    layer, step = regression()
    epochs = []

    def refresh(epoch):
        epochs.append(epoch)
        return {"refreshed_at": float(epoch)}

    stage = Fit(layer, step, 5, refresh=refresh, refresh_interval=2)
    rows = train(layer, stage)
    assert epochs == [0, 2, 4]
    assert [row["refreshed_at"] for row in rows] == [0, 0, 2, 2, 4]


def test_training_same_seed_same_weights():
    weights = []
    for seed in (0, 0, 1):
        layer, step = regression()
        nn.init.zeros_(layer.bias)
        train(layer, Fit(layer, step), seed=seed)
        weights.append(layer.weight.detach().clone())
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize("bad", ["loss", "weight"])
def test_training_non_finite_keeps_last_good_epoch(bad):
    layer, step = regression()
    good = {}
    n_steps = 0

    def failing(index):
        nonlocal n_steps
        n_steps += 1
        if n_steps == 4:  # the first batch of epoch 3: the weights are those of 2
            good.update({k: v.clone() for k, v in layer.state_dict().items()})
            terms = step(index)
            if bad == "loss":
                return {**terms, "loss": terms["loss"] * math.nan}
            return {**terms, "loss": terms["loss"] + math.inf * layer.weight.sum() * 0}
        return step(index)

    first = Fit(layer, failing, 10, batch_size=40)
    # 40 samples in batches of 40: one batch an epoch.
    found = {}

    def look(index):
        if not found:
            found.update({k: v.clone() for k, v in layer.state_dict().items()})
        return step(index)

    second = Fit(layer, look, 2)
    with pytest.warns(ConvergenceWarning, match=r"Stage 'fit' .*epoch 4 of 10"):
        rows = train(layer, first, second)
    assert len(rows) == 3 + 2
    for name, value in found.items():
        assert torch.equal(value, good[name])


@pytest.mark.filterwarnings("ignore:.*clusters are empty")
@pytest.mark.parametrize(
    ("make", "parameters"),
    [
        ("tiny", {}),
        ("tiny", {"end_to_end": True, "pair_similarity": "cosine"}),
        ("tiny", {"augmentation": None, "pretraining": "denoising"}),
        ("tiny_graph", {"graph": "knn", "graph_update_interval": 1}),
        ("tiny_subspace", {}),
    ],
    indirect=["make"],
)
def test_training_steps_never_wait_for_the_device(make, parameters, images):
    model = make(encoder="mlp", **parameters)
    if "resolution" in model.get_params():
        model.set_params(resolution=None)
    n_waits = []
    for n_batches in (2, 5):
        with CountWaits() as count:
            model.set_params(batch_size=150 // n_batches).fit(images[0])
        assert count.n_steps >= n_batches * len(model.history_)
        n_waits.append(count.n_waits)
    # Between epochs, however many steps are in them.
    assert n_waits[0] == n_waits[1]


def test_resolve_device_names_those_there_are():
    assert resolve_device("cpu") == CPU
    assert resolve_device("cpu:0") == resolve_device(torch.device("cpu", 0)) == CPU
    assert resolve_device("auto").type in {"cpu", "cuda", "mps"}
    assert "cpu" in available_devices()
    with pytest.raises(ValueError, match=r"device='tpu'.*'cpu'"):
        resolve_device("tpu")


def test_input_spec_table_keeps_proportions():
    X = np.array([[0.0, 10.0], [2.0, 30.0], [4.0, 50.0]])
    spec = InputSpec.from_data(X, (2,))
    stored = spec.store(X).numpy()
    assert stored.dtype == np.float32
    np.testing.assert_allclose(stored.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(stored.var(0).mean(), 1, rtol=1e-6)
    np.testing.assert_allclose(np.ptp(stored[:, 1]) / np.ptp(stored[:, 0]), 10)


def test_input_spec_table_far_from_origin_keeps_decimals():
    X = 1e8 + np.array([[0.0], [1.0], [2.0]])
    stored = InputSpec.from_data(X, (1,)).store(X)
    np.testing.assert_allclose(stored[2] - stored[1], stored[1] - stored[0])
    assert float(stored[1]) == 0.0


def test_input_spec_constant_table_is_zero():
    X = np.full((3, 2), 7.0)
    assert not InputSpec.from_data(X, (2,)).store(X).any()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([0, 255, 51], np.uint8), [0, 1, 0.2]),
        (np.array([0.0, 1.0, 0.2]), [0, 1, 0.2]),
        (np.array([0.0, 16.0, 4.0]), [0, 1, 0.25]),
        (np.array([-1.0, 1.0, 0.0]), [0, 1, 0.5]),
        (np.array([5.0, 5.0, 5.0]), [0, 0, 0]),
    ],
)
def test_input_spec_images_end_up_between_0_and_1(values, expected):
    X = values.reshape(3, 1)
    spec = InputSpec.from_data(X, (1, 1, 1))
    batches = Batches(X, spec, CPU)
    assert batches.data.dtype == (torch.uint8 if X.dtype == np.uint8 else torch.float32)
    taken = batches.take(torch.arange(3))
    np.testing.assert_allclose(taken.flatten().numpy(), expected, rtol=1e-6)


def test_input_spec_beyond_float32_names_value_and_hint():
    for shape, X in (((2,), np.array([[1e300, 0]])), ((1, 1, 2), [[0.0, -1e39]])):
        with pytest.raises(ValueError, match=r"1e\+(300|39).*StandardScaler"):
            InputSpec.from_data(np.asarray(X), shape)
    spec = InputSpec.from_data(np.zeros((2, 1)), (1,))
    with pytest.raises(ValueError, match="range of float32"):
        spec.store(np.array([[1e39]]))


def test_batches_map_result_hardly_depends_on_neighbors():
    torch.manual_seed(0)  # noqa: TID251 (a test may)
    layer = nn.Linear(64, 20)
    X = np.random.default_rng(0).normal(size=(300, 64))
    spec = InputSpec.from_data(X, (64,))
    whole = Batches(X, spec, CPU).map(layer)
    assert whole.shape == (300, 20)
    assert not whole.requires_grad
    for rows in (slice(0, 1), slice(40, 57), slice(255, 300)):
        part = Batches(X[rows], spec, CPU).map(layer)
        torch.testing.assert_close(part, whole[rows], rtol=0, atol=1e-6)
        # Padded to one size, it does not depend at all on what is beside it.
        assert torch.equal(part[1:], Batches(X[rows], spec, CPU).map(layer)[1:])


@pytest.mark.parametrize(
    ("n_samples", "shape", "batch_size", "expected"),
    [
        (10_000, (784,), 256, 512),
        (10_000, (3, 32, 32), 256, 512),
        (1, (784,), 256, 1),
        (5, (784,), 256, 8),
        (300, (784,), 256, 512),
        (10_000, (784,), 2, 4),
        (8, (3, 256, 256), 256, 8),
        (100, (3, 256, 256), 256, 10),
        (100, (3, 2048, 2048), 256, 1),
    ],
)
def test_large_samples_small_batches_and_few_rows_make_small_blocks(
    n_samples, shape, batch_size, expected
):
    assert block_rows(n_samples, shape, batch_size, CPU) == expected


def test_batches_map_pads_with_rows_that_are_there():
    X = np.random.default_rng(0).normal(size=(30, 4)) + 7
    batches = Batches(X, InputSpec.from_data(X, (4,)), CPU)
    seen = []
    batches.map(lambda x: seen.append(x.clone()) or x)
    rows = {tuple(row) for row in batches.data.tolist()}
    assert len(seen[0]) == 32
    assert {tuple(row) for row in seen[0].tolist()} == rows


def test_batches_read_only_uint8_is_copied():
    X = np.zeros((2, 4), np.uint8)
    X.setflags(write=False)
    batches = Batches(X, InputSpec.from_data(X, (1, 2, 2)), CPU)
    batches.data[0] = 1
    assert not X.any()


@pytest.mark.parametrize("kind", ["cuda", "cpu"])
def test_convolutions_are_repeatable_in_a_scope(kind, monkeypatch):
    cudnn = torch.backends.cudnn
    # Put back afterwards, whatever the scope does.
    monkeypatch.setattr(cudnn, "deterministic", False)
    monkeypatch.setattr(cudnn, "benchmark", True)
    is_cuda = kind == "cuda"

    def fails():
        with repeatable(torch.device(kind)):
            assert (cudnn.deterministic, cudnn.benchmark) == (is_cuda, not is_cuda)
            raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        fails()
    assert (cudnn.deterministic, cudnn.benchmark) == (False, True)


def test_the_last_of_several_scopes_puts_the_settings_back(monkeypatch):
    cudnn = torch.backends.cudnn
    monkeypatch.setattr(cudnn, "deterministic", False)
    monkeypatch.setattr(cudnn, "benchmark", True)
    first, second = (repeatable(torch.device("cuda")) for _ in range(2))
    first.__enter__()
    second.__enter__()
    # As of two threads: the one that came first leaves first.
    first.__exit__(None, None, None)
    assert (cudnn.deterministic, cudnn.benchmark) == (True, False)
    second.__exit__(None, None, None)
    assert (cudnn.deterministic, cudnn.benchmark) == (False, True)


@pytest.mark.parametrize(
    ("n_samples", "n_batches"), [(1, 1), (125, 1), (126, 2), (200, 2), (299, 3)]
)
def test_batches_are_at_most_a_quarter_larger(n_samples, n_batches):
    assert count_batches(n_samples, 100) == n_batches


@pytest.mark.parametrize(("n_images", "n_epochs"), [(4_992, 16), (5_120, 8)])
def test_few_images_make_more_steps(n_images, n_epochs):
    X = np.zeros((n_images, 1, 2, 2), dtype=np.uint8)
    spec = InputSpec.from_data(X, (1, 2, 2))
    batches = Batches(X, spec, torch.device("cpu"))
    rule = AutoEpochs(4, images=300, tables=40, few_images=600)
    assert rule.resolve("auto", batches, 128) == n_epochs
