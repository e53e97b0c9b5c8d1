"""Tests of ResNet-18, weights from files, and frozen modules."""

import copy
import pickle
import tarfile

import pytest
import torch
from sklearn.base import clone
from torch import nn
from torch.nn import functional as F

from skdeepclust.networks import Frozen, ResNet18, build_autoencoder, load_weights
from skdeepclust.networks.packing import packed


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


class _Small(nn.Module):
    """Quick to save and load."""

    def __init__(self, n_in=5, classes=None):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)
        self.bn = nn.BatchNorm2d(2)
        self.body = nn.Linear(n_in, 3)
        if classes:
            self.fc = nn.Linear(3, classes)


# ------------------------------------------------------------------------ ResNet-18


def resnet18_by_hand(weights, x, *, is_large):
    """The paper's table 1 and figure 2, straight from the weights by name."""

    def conv(name, h, stride=1):
        kernel = weights[f"{name}.weight"]
        return F.conv2d(h, kernel, stride=stride, padding=kernel.shape[-1] // 2)

    def norm(name, h):
        names = ("running_mean", "running_var", "weight", "bias")
        return F.batch_norm(h, *(weights[f"{name}.{part}"] for part in names))

    h = norm("bn1", conv("conv1", x, 2 if is_large else 1)).relu()
    if is_large:
        h = F.max_pool2d(h, 3, 2, 1)
    for layer in (1, 2, 3, 4):
        for block in (0, 1):
            name = f"layer{layer}.{block}"
            stride = 2 if block == 0 and layer > 1 else 1
            shortcut = h
            if stride == 2:
                shortcut = conv(f"{name}.downsample.0", h, stride)
                shortcut = norm(f"{name}.downsample.1", shortcut)
            h = norm(f"{name}.bn1", conv(f"{name}.conv1", h, stride)).relu()
            h = (norm(f"{name}.bn2", conv(f"{name}.conv2", h)) + shortcut).relu()
    return h.mean(dim=(2, 3))


@pytest.mark.parametrize(
    ("stem", "shape"), [("small", (3, 19, 32)), ("large", (2, 65, 48))]
)
def test_resnet18_is_that_of_the_paper(stem, shape, generator):
    network = ResNet18(shape[0], stem=stem)
    x = torch.rand((4, *shape), generator=generator)
    network(x)  # Statistics other than those of the beginning.
    network.eval()
    with torch.no_grad():
        features = network(x)
        expected = resnet18_by_hand(network.state_dict(), x, is_large=stem == "large")
    assert features.shape == (4, 512)
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-4)


def test_resnet18_has_the_weights_of_torchvision():
    # 11,689,512 with its classifier of 1,000 classes.
    weights = ResNet18().state_dict()
    n_classifier = 512 * 1000 + 1000
    n_weights = sum(p.numel() for p in ResNet18().parameters())
    assert n_weights + n_classifier == 11_689_512
    assert len(weights) == 120
    assert weights["conv1.weight"].shape == (64, 3, 7, 7)
    assert weights["layer1.0.conv1.weight"].shape == (64, 64, 3, 3)
    assert weights["layer2.0.downsample.0.weight"].shape == (128, 64, 1, 1)
    assert weights["layer4.1.bn2.running_var"].shape == (512,)
    assert not [name for name in weights if name.startswith("layer1.0.downsample")]


def test_resnet18_takes_images_channels_last(generator):
    network = ResNet18(stem="small").eval()
    x = torch.rand((2, 3, 16, 16), generator=generator)
    with torch.no_grad():
        expected = network(x)
        network.to(memory_format=torch.channels_last)
        last = x.contiguous(memory_format=torch.channels_last)
        h = network.layer1(network.conv1(last))
        assert h.is_contiguous(memory_format=torch.channels_last)
        for layout in (x, last):
            torch.testing.assert_close(network(layout), expected, rtol=1e-4, atol=1e-4)


def test_resnet18_comes_from_the_global_generator():
    weights = []
    for seed in (0, 0, 1):
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            weights.append(ResNet18().layer4[1].conv2.weight)
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_resnet18_names_the_stem():
    with pytest.raises(ValueError, match="stem must be 'small' or 'large'; got 'tiny'"):
        ResNet18(stem="tiny")


@pytest.mark.parametrize(
    ("shape", "kernel"), [((1, 8, 30), 3), ((4, 64, 64), 3), ((3, 65, 30), 7)]
)
def test_resnet18_autoencoder_follows_the_shape(shape, kernel, generator):
    network = build_autoencoder("resnet18", shape, 6)
    assert network.encoder[0].conv1.kernel_size == (kernel, kernel)
    assert network.encoder[0].conv1.weight.is_contiguous(
        memory_format=torch.channels_last
    )
    h, x_hat = network(torch.rand((2, *shape), generator=generator))
    assert h.shape == (2, 6)
    assert x_hat.shape == (2, *shape)
    assert build_autoencoder("resnet18", shape, None).n_components == 20


def test_resnet18_autoencoder_learns(generator):
    x = torch.rand((4, 1, 8, 8), generator=generator)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        network = build_autoencoder("resnet18", (1, 8, 8), 4)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    losses = []
    for _ in range(4):
        loss = (network(x)[1] - x).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    assert all(p.grad.abs().sum() > 0 for p in network.encoder.parameters())


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((3, 7, 28), "encoder='resnet18'.* 7 x 28.*encoder='mlp'"),
        ((64,), "encoder='resnet18'.*image_shape"),
    ],
)
def test_resnet18_autoencoder_rejects_what_it_cannot_encode(shape, message):
    with pytest.raises(ValueError, match=message):
        build_autoencoder("resnet18", shape, 3)


# ------------------------------------------------------------------- frozen encoders


def test_frozen_module_ignores_training(generator):
    module = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))
    before = copy.deepcopy(module.state_dict())
    parent = nn.Sequential(Frozen(module), nn.Linear(4, 2))
    # What training does, and what an estimator does before it trains a head.
    parent.train().requires_grad_(True)
    assert parent.training
    assert not any(part.training for part in parent[0].modules())
    x = torch.rand((8, 5), generator=generator)
    optimizer = torch.optim.Adam(parent.parameters(), lr=0.1, weight_decay=0.1)
    parent(x).square().sum().backward()
    optimizer.step()
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name])
    assert torch.equal(parent[0](x), parent[0](x))


@pytest.mark.parametrize("shape", [(20,), (1, 4, 5), (3, 12, 9)])
@pytest.mark.parametrize("n_components", [None, 6])
def test_frozen_encoder_is_followed_by_layers_that_train(
    shape, n_components, generator
):
    n_values = torch.Size(shape).numel()
    module = nn.Sequential(nn.Flatten(), nn.Linear(n_values, 7))
    before = copy.deepcopy(module.state_dict())
    network = build_autoencoder(Frozen(module), shape, n_components, (11, 9))
    sizes = [part.out_features for part in network.encoder[2:] if hasattr(part, "bias")]
    assert sizes == [11, 9, n_components or 20]
    trained = [p for p in network.encoder.parameters() if p.requires_grad]
    assert len(trained) == 6
    h, x_hat = network.train()(torch.rand((2, *shape), generator=generator))
    assert h.shape == (2, n_components or 20)
    assert h.requires_grad
    assert x_hat.shape == (2, *shape)
    # A copy was frozen, and not the user's own.
    assert all(parameter.requires_grad for parameter in module.parameters())
    assert module.training
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name])


@pytest.mark.parametrize("state", ["trained", "partly"])
def test_frozen_module_is_used_in_evaluation_mode_alone(state, generator):
    module = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))
    if state == "partly":
        module.eval()[1].train()
    frozen, modes = Frozen(module), [part.training for part in module.modules()]
    # It is the user's own until it computes something.
    assert [part.training for part in module.modules()] == modes
    assert all(parameter.requires_grad for parameter in module.parameters())
    before = copy.deepcopy(module.state_dict())
    x = torch.rand((8, 5), generator=generator)
    h = frozen(x)
    assert not h.requires_grad
    assert torch.equal(h, frozen(x))
    assert torch.equal(h, module.eval()(x))
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name])


@pytest.mark.parametrize("traced", [False, True])
def test_frozen_module_is_cloned_packed_and_shown_as_any_other(traced, generator):
    module = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4))
    x = torch.rand((8, 5), generator=generator)
    if traced:
        module = torch.jit.trace(module, x)
    frozen = Frozen(module)
    assert repr(frozen).startswith("Frozen(\n  (module): Sequential(")
    expected = frozen(x)
    twins = [
        clone(frozen, safe=False),
        pickle.loads(pickle.dumps(packed(frozen))),
        copy.deepcopy(packed(frozen)),
    ]
    for twin in twins:
        assert isinstance(twin, Frozen)
        assert twin.module is not module
        assert torch.equal(twin(x), expected)
        assert twin.state_dict().keys() == frozen.state_dict().keys()


def test_frozen_encoder_keeps_the_names_of_its_weights():
    module = nn.Sequential(nn.Linear(20, 7))
    names = build_autoencoder(Frozen(module), (20,), 3, (11,)).state_dict().keys()
    assert {name.rpartition(".")[0] for name in names} == {
        *("encoder.0.module.0", "encoder.2", "encoder.4", "decoder.0", "decoder.2")
    }


@pytest.mark.parametrize(
    "module",
    ["resnet18", None, nn.Linear, torch.relu],
    ids=["text", "None", "class", "function"],
)
def test_frozen_wants_a_module(module):
    with pytest.raises(TypeError, match=r"module must be a torch\.nn\.Module; got "):
        Frozen(module)


def test_frozen_wants_a_module_that_is_not_frozen():
    with pytest.raises(ValueError, match="module is Frozen already: pass it"):
        Frozen(Frozen(nn.Linear(2, 2)))


# ---------------------------------------------------------------- weights from files


def test_load_weights_brings_them_back(tmp_path, generator):
    source, path = ResNet18(stem="small"), tmp_path / "weights.pth"
    x = torch.rand((4, 3, 8, 8), generator=generator)
    source(x)
    torch.save(source.state_dict(), path)
    module = ResNet18(stem="small")
    assert load_weights(module, path) is module
    with torch.no_grad():
        assert torch.equal(module.eval()(x), source.eval()(x))


@pytest.mark.parametrize("is_zip", [True, False])
@pytest.mark.parametrize("classes", [(7, None), (None, 7), (7, 7)])
def test_load_weights_lets_the_classifier_be_missing(tmp_path, classes, is_zip):
    saved, own = classes
    source, module = _Small(classes=saved), _Small(classes=own)
    weights = source.state_dict()
    # As in the first weights that were published.
    del weights["bn.num_batches_tracked"]
    path = str(tmp_path / "weights.pth")
    torch.save(weights, path, _use_new_zipfile_serialization=is_zip)
    load_weights(module, path)
    assert torch.equal(module.body.weight, source.body.weight)
    assert torch.equal(module.bn.running_mean, source.bn.running_mean)
    if saved and own:
        assert torch.equal(module.fc.weight, source.fc.weight)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda w: w.update({"conv.weight": torch.ones(2, 1, 5, 5)}),
            r"conv.weight has shape \(2, 1, 5, 5\) in .*weights.pth', and "
            r"\(2, 1, 3, 3\) in _Small. Build",
        ),
        (lambda w: w.pop("bn.weight"), r"weights.pth' lacks bn.weight, which _Small"),
        (
            lambda w: w.update(neck=torch.ones(2), eye=torch.ones(2)),
            "weights.pth' has neck, which _Small lacks",
        ),
    ],
)
def test_load_weights_names_the_first_that_differs(tmp_path, change, message):
    module, path = _Small(), tmp_path / "weights.pth"
    before = copy.deepcopy(module.state_dict())
    weights = _Small().state_dict()
    change(weights)
    torch.save(weights, path)
    with pytest.raises(ValueError, match=message):
        load_weights(module, path)
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name])


def _sparse(weights):
    weights["body.weight"] = weights["body.weight"].to_sparse()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_sparse, "body.weight has no dense values, .* in .*weights.pth'. Save"),
        (
            lambda w: w.update({"body.weight": w["body.weight"].to("meta")}),
            "body.weight has no dense values, .* in .*weights.pth'. Save",
        ),
        (
            lambda w: w.update({"body.weight": w["body.weight"] * 1j}),
            "body.weight is complex in .*weights.pth', and real in _Small. Build",
        ),
    ],
)
def test_load_weights_loads_nothing_of_what_is_not_dense(tmp_path, change, message):
    module, weights, path = _Small(), _Small().state_dict(), tmp_path / "weights.pth"
    before = copy.deepcopy(module.state_dict())
    change(weights)
    torch.save(weights, path)
    with pytest.raises(ValueError, match=message):
        load_weights(module, path)
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name])


@pytest.mark.parametrize("module", [_Small().to("meta"), nn.LazyLinear(2)])
def test_load_weights_wants_a_module_with_memory(tmp_path, module):
    path = tmp_path / "weights.pth"
    torch.save(_Small().state_dict(), path)
    kind = type(module).__name__
    with pytest.raises(ValueError, match=f"no dense values, .* in {kind}. Run lazy"):
        load_weights(module, path)


class _Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def _pickled(content, path):
    path.write_bytes(pickle.dumps(content, protocol=2))


def _torch_zip(content, path):
    torch.save({"conv.weight": torch.ones(1), "trap": content}, path)


def _torch_legacy(content, path):
    torch.save(content, path, _use_new_zipfile_serialization=False)


def _tar(content, path):
    inner = path.with_name("storages")
    _pickled(content, inner)
    with tarfile.open(path, "w") as archive:
        archive.add(inner, "storages")


@pytest.mark.parametrize("write", [_pickled, _torch_zip, _torch_legacy, _tar])
def test_load_weights_executes_nothing(tmp_path, write):
    path, trace = tmp_path / "weights.pth", tmp_path / "executed"
    write(_Malicious(trace), path)
    with pytest.raises(
        ValueError, match=r"weights.pth' is damaged, or holds more than"
    ):
        load_weights(_Small(), path)
    assert not trace.exists()
    # It would have been, by whoever trusts the file.
    if write is _pickled:
        pickle.loads(path.read_bytes()).close()
        assert trace.exists()


def test_load_weights_says_what_is_no_weight(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save({"epoch": 3, "model": _Small().state_dict()}, path)
    with pytest.raises(ValueError, match=r"has 'epoch' of type int, .*state_dict"):
        load_weights(_Small(), path)
    torch.save(torch.ones(3), path)
    with pytest.raises(ValueError, match=r"weights.pth' holds a Tensor, .*state_dict"):
        load_weights(_Small(), path)
    path.write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(ValueError, match="is damaged"):
        load_weights(_Small(), path)
    with pytest.raises(FileNotFoundError):
        load_weights(_Small(), tmp_path / "none.pth")
