"""Tests of the autoencoders and heads."""

import copy

import pytest
import torch
from torch import nn

from skdeepclust.networks import (
    ClusterHead,
    ClusterNetwork,
    Frozen,
    GraphHead,
    build_autoencoder,
)

IMAGE_SHAPES = [
    (1, 8, 8),
    (1, 9, 13),
    (1, 28, 28),
    (3, 32, 32),
    (1, 65, 47),
    (5, 28, 28),
    (3, 8, 70),
    (2, 130, 129),
]


def _features(n_features: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(n_features, 6), nn.Dropout(0.5))


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("shape", IMAGE_SHAPES)
def test_conv_autoencoder_reconstructs_the_input_shape(shape, generator):
    network = build_autoencoder("conv", shape, 7)
    x = torch.rand((3, *shape), generator=generator)
    h, x_hat = network(x)
    assert h.shape == (3, 7)
    assert x_hat.shape == x.shape
    assert network.n_components == 7


def test_conv_autoencoder_has_the_documented_layers():
    encoder = build_autoencoder("conv", (1, 28, 28), 10).encoder
    convs = [layer for layer in encoder if isinstance(layer, nn.Conv2d)]
    assert [conv.out_channels for conv in convs] == [8, 16, 64]
    assert encoder[-1].in_features == 64 * 7 * 7


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 15, 40)])
def test_conv_autoencoder_has_more_channels_for_few_pixels(shape):
    encoder = build_autoencoder("conv", shape, 10).encoder
    assert encoder[0].out_channels == 16


def test_conv_autoencoder_keeps_large_images_moderate():
    network = build_autoencoder("conv", (3, 224, 224), 10)
    convs = [layer for layer in network.encoder if isinstance(layer, nn.Conv2d)]
    assert [conv.out_channels for conv in convs] == [8, 16, 64, 64, 64]
    assert network.encoder[-1].in_features == 64 * 7 * 7


@pytest.mark.parametrize("encoder", ["conv", "mlp"])
def test_autoencoder_output_is_linear_and_learns(encoder, generator):
    x = torch.rand((16, 1, 8, 8), generator=generator) - 3
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        network = build_autoencoder(encoder, (1, 8, 8), 4, (16,))
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    first = (network(x)[1] - x).square().mean().item()
    for _ in range(40):
        loss = (network(x)[1] - x).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    # Only a linear output reaches values below zero.
    assert loss.item() < 0.1 * first


@pytest.mark.parametrize(
    ("n_features", "sizes"), [(500, [256, 256]), (501, [500, 500, 1000])]
)
def test_mlp_is_narrow_for_few_columns(n_features, sizes):
    encoder = build_autoencoder("auto", (n_features,), 3).encoder
    linear = [layer for layer in encoder if isinstance(layer, nn.Linear)]
    assert [layer.out_features for layer in linear] == [*sizes, 3]
    with pytest.raises(ValueError, match="hidden_layer_sizes must be 'auto' or"):
        build_autoencoder("auto", (n_features,), 3, "wide")


def test_mlp_mirrors_the_hidden_layers():
    network = build_autoencoder("auto", (12,), 3, (500, 400, 1000))
    for part, sizes in (
        (network.encoder, [12, 500, 400, 1000, 3]),
        (network.decoder, [3, 1000, 400, 500, 12]),
    ):
        linear = [layer for layer in part if isinstance(layer, nn.Linear)]
        assert [layer.in_features for layer in linear] == sizes[:-1]
        assert [layer.out_features for layer in linear] == sizes[1:]
        assert isinstance(part[-1], nn.Linear)


@pytest.mark.parametrize(
    ("shape", "is_conv"), [((5,), False), ((1, 8, 8), True), ((3, 7, 20), False)]
)
def test_auto_encoder_follows_the_shape(shape, is_conv, generator):
    network = build_autoencoder("auto", shape, None, (9,))
    assert any(isinstance(m, nn.Conv2d) for m in network.modules()) == is_conv
    h, x_hat = network(torch.rand((2, *shape), generator=generator))
    assert h.shape == (2, 20)
    assert x_hat.shape == (2, *shape)


def test_layers_come_from_the_global_generator():
    weights = []
    for seed in (0, 0, 1):
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            network = build_autoencoder("conv", (1, 8, 8), 3)
        weights.append(torch.cat([p.flatten() for p in network.parameters()]))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 7, 28), "encoder='conv'.* 7 x 28.*encoder='mlp'"),
        ((64,), "encoder='conv'.*image_shape"),
    ],
)
def test_conv_rejects_what_it_cannot_encode(shape, message):
    with pytest.raises(ValueError, match=message):
        build_autoencoder("conv", shape, 3)


@pytest.mark.parametrize("n_components", [None, 6, 4])
def test_user_module_gets_the_components_asked_for(n_components, generator):
    network = build_autoencoder(_features(75), (3, 5, 5), n_components, (11,))
    h, x_hat = network(torch.rand((2, 3, 5, 5), generator=generator))
    assert h.shape == (2, n_components or 6)
    assert x_hat.shape == (2, 3, 5, 5)


def test_user_module_output_is_flattened(generator):
    network = build_autoencoder(nn.Conv2d(1, 2, 3), (1, 5, 5), None)
    h, _ = network(torch.rand((4, 1, 5, 5), generator=generator))
    assert h.shape == (4, 18)


def test_user_module_is_copied_and_left_alone():
    module = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 3)).double()
    module[1].eval()
    before = copy.deepcopy(module.state_dict())
    network = build_autoencoder(module, (5,), 2)
    assert network.encoder[0] is not module
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    assert module.state_dict().keys() == before.keys()
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name])
        assert value.dtype == before[name].dtype
    assert [part.training for part in module] == [True, False, True]
    assert [part.training for part in network.encoder[0]] == [True, False, True]


def test_user_module_dry_run_leaves_the_generator_alone():
    class Noisy(nn.Module):
        def forward(self, x):
            return x + torch.rand_like(x)

    state = torch.random.get_rng_state()
    # No layers in the decoder but one: its weights are drawn afterwards.
    with torch.random.fork_rng(devices=[]):
        expected = nn.Linear(5, 5).weight
    with torch.random.fork_rng(devices=[]):
        network = build_autoencoder(Noisy(), (5,), None, ())
    assert torch.equal(network.decoder[0].weight, expected)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_user_module_lazy_layers_are_materialised():
    network = build_autoencoder(nn.LazyLinear(4), (5,), None)
    assert network.encoder[0].weight.shape == (4, 5)


class _Returns(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


@pytest.mark.parametrize(
    ("function", "error"),
    [
        (lambda x: (x, x), TypeError),
        (lambda x: x.long(), TypeError),
        (lambda x: x.double(), TypeError),
        (lambda x: x.mean(), ValueError),
        (lambda x: x.mean(dim=1), ValueError),
        (lambda x: x[:1], ValueError),
        (lambda x: x.T, ValueError),
        (lambda x: x[:, :0], ValueError),
    ],
)
def test_user_module_odd_outputs_are_rejected(function, error):
    with pytest.raises(error, match=r"encoder _Returns .*5"):
        build_autoencoder(_Returns(function), (5,), 3)


def test_user_module_failure_is_chained():
    with pytest.raises(ValueError, match=r"encoder Linear fails.*\(2, 5\)") as caught:
        build_autoencoder(nn.Linear(4, 3), (5,), 3)
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_user_module_that_cannot_be_copied_is_named():
    module = nn.Linear(5, 3)
    module.cache = module.weight * 2
    with pytest.raises(ValueError, match="encoder Linear cannot be copied"):
        build_autoencoder(module, (5,), 3)


def test_user_module_with_complex_weights_is_named():
    module = nn.Sequential(nn.Linear(5, 3), nn.Linear(3, 2, dtype=torch.complex64))
    with pytest.raises(TypeError, match=r"encoder Sequential has complex .* 1\.weight"):
        build_autoencoder(module, (5,), 3)


class _Extra(nn.Linear):
    """A layer with a state that is no tensor."""

    def get_extra_state(self):
        return {"scale": 2.0}

    def set_extra_state(self, state):
        assert state == {"scale": 2.0}


@pytest.mark.parametrize("wrap", [lambda module: module, Frozen])
def test_user_module_with_a_state_that_is_no_tensor_is_named(wrap):
    module = nn.Sequential(_Extra(5, 3))
    with pytest.raises(TypeError, match=r"encoder Sequential .* 0\._extra_state"):
        build_autoencoder(wrap(module), (5,), 3)


@pytest.mark.parametrize("hidden", [(128, 128, 128), (7,), ()])
def test_cluster_head_returns_logits(hidden, generator):
    head = ClusterHead(5, 4, hidden)
    logits = head(torch.randn((9, 5), generator=generator))
    assert logits.shape == (9, 4)
    assert (logits < 0).any()
    assert len(head.hidden) == 3 * len(hidden)


def test_graph_head_shares_its_hidden_layer(generator):
    head = GraphHead(5, 4)
    h = torch.randn((9, 5), generator=generator)
    z, logits = head.both(h)
    assert z.shape == (9, 128)
    assert logits.shape == (9, 4)
    assert torch.equal(head(h), logits)


@pytest.mark.parametrize("n_channels", [1, 3])
def test_conv_autoencoder_computes_channels_last(n_channels):
    """Contiguous input too, and kernels with one channel: it is a third faster."""
    encoder = build_autoencoder("conv", (n_channels, 16, 16), 4).encoder
    maps = encoder[0](torch.zeros(2, n_channels, 16, 16))
    assert maps.is_contiguous(memory_format=torch.channels_last)
    assert not maps.is_contiguous()


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_views_are_drawn_apart_and_embedded_at_once_but_on_a_cpu(device):
    autoencoder = build_autoencoder("conv", (1, 8, 8), 4)
    head = ClusterHead(4, 3, ())
    network = ClusterNetwork(autoencoder, head, unit_norm=True).to(device)
    batches = [torch.rand(6, 1, 8, 8).to(device) for _ in range(2)]
    viewed, embedded_at_once = [], []

    def view(x):
        # Drawn once for all samples, as many callables do.
        viewed.append(len(x))
        return x.flip(3)

    network.autoencoder.encoder.register_forward_pre_hook(
        lambda module, x: embedded_at_once.append(len(x[0]))
    )
    embedded = network.embed_views(batches, view)
    assert [h.shape for h in embedded] == [(6, 4), (6, 4)]
    assert viewed == [6, 6]
    assert embedded_at_once == ([6, 6] if device == "cpu" else [12])
    if device == "cpu":
        expected = network.embed(batches[1].flip(3))
        torch.testing.assert_close(embedded[1], expected)
