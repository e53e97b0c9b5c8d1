"""Tests of the feature extractor."""

import copy
import pickle
import pickletools

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks
from torch import nn

from skdeepclust.features import FeatureExtractor
from skdeepclust.networks import ResNet18


def seeded(make, *arguments):
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        return make(*arguments)


class _Net(nn.Module):
    """Every kind of state: shared, frozen and half-width tensors, buffers, modes."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(4)
        self.same = self.conv
        self.drop = nn.Dropout(0.5)
        self.gain = nn.Parameter(torch.rand(4, 1, 1), requires_grad=False)
        self.twin = self.gain
        self.register_buffer("shift", torch.rand(4, 1, 1).bfloat16())
        self.register_buffer("hidden", torch.rand(()), persistent=False)

    def forward(self, x):
        h = self.drop(self.bn(self.same(x))) * self.twin + self.shift + self.hidden
        return {"map": h, "pooled": h.amax((2, 3)), "n": len(x)}


class _Returns(nn.Module):
    """What a function makes of the batch."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


class _Counts(nn.Module):
    """Counts the batches that any copy has seen."""

    seen = 0

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(64, 3)

    def forward(self, x):
        _Counts.seen += 1
        return self.linear(x.flatten(1))


def pooled(output):
    return output["pooled"]


def last_state(output):
    return output[0][:, -1]


@pytest.fixture
def photos():
    return np.random.default_rng(0).integers(0, 256, (11, 3, 9, 8), dtype=np.uint8)


@pytest.fixture
def net():
    return seeded(_Net)


@parametrize_with_checks([FeatureExtractor(nn.Identity(), batch_size=7)])
def test_sklearn_checks(estimator, check):
    check(estimator)


# ------------------------------------------------------------------------- features


def test_features_are_those_of_the_module(photos, net):
    extractor = FeatureExtractor(net, batch_size=4, output=pooled)
    features = extractor.fit_transform(photos)
    with torch.no_grad():
        expected = copy.deepcopy(net).float().eval()(torch.tensor(photos) / 255)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, expected["pooled"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x: x, lambda x: x.mean((2, 3))),
        (lambda x: x[:, 0], lambda x: x[:, 0].reshape(len(x), -1)),
        (lambda x: x[:, :2, 0, 0].double(), lambda x: x[:, :2, 0, 0]),
        (lambda x: x[:, :, None], lambda x: x.reshape(len(x), -1)),
        (lambda x: x.mean((2, 3)).half(), lambda x: x.mean((2, 3))),
    ],
)
def test_features_are_averaged_or_flattened(photos, function, expected):
    features = FeatureExtractor(_Returns(function)).fit_transform(photos)
    assert features.dtype == np.float32
    wanted = expected(photos / 255)
    np.testing.assert_allclose(features, wanted, rtol=1e-3, atol=1e-3)


def test_features_of_complex_weights_are_refused(photos):
    module = nn.Sequential(nn.Flatten(), nn.Linear(216, 2, dtype=torch.complex64))
    with pytest.raises(TypeError, match=r"module Sequential has complex .* 1\.weight"):
        FeatureExtractor(module).fit(photos)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64, np.int16])
def test_features_scale_uint8_alone(photos, dtype):
    X = photos.astype(dtype)
    features = FeatureExtractor(nn.Identity()).fit_transform(X)
    scale = 255 if dtype == np.uint8 else 1
    expected = photos.mean((2, 3)) / scale
    np.testing.assert_allclose(features, expected, rtol=1e-5)


def test_features_of_all_kinds_of_input(photos):
    extractor = FeatureExtractor(nn.Flatten())
    expected = extractor.fit_transform(photos)
    tensor = torch.tensor(photos)
    np.testing.assert_array_equal(extractor.transform(tensor), expected)
    # Rows of a table, once it is known that they are images.
    rows = photos.reshape(len(photos), -1)
    np.testing.assert_array_equal(extractor.transform(rows), expected)
    shaped = FeatureExtractor(nn.Flatten(), image_shape=(3, 9, 8))
    np.testing.assert_array_equal(shaped.fit_transform(rows), expected)
    narrow = photos[:, :, :, :4].repeat(3, axis=1)
    with pytest.raises(ValueError, match="channels last"):
        FeatureExtractor(nn.Flatten()).fit(narrow)
    named = FeatureExtractor(nn.Flatten(), image_shape=(9, 9, 4))
    assert named.fit_transform(narrow).shape == (11, 9 * 9 * 4)
    gray = FeatureExtractor(nn.Conv2d(1, 2, 3))
    assert gray.fit_transform(photos[:, 0]).shape == (11, 2)
    assert FeatureExtractor(nn.Linear(4, 2)).fit_transform(np.ones((3, 4))).shape == (
        3,
        2,
    )
    photos.setflags(write=False)
    np.testing.assert_array_equal(extractor.transform(photos), expected)


def test_features_need_no_fit_and_learn_nothing(photos, net):
    extractor = FeatureExtractor(net, output=pooled)
    features = extractor.transform(photos)
    other = clone(extractor).fit(np.zeros_like(photos))
    np.testing.assert_array_equal(other.transform(photos), features)


def test_features_do_not_depend_on_the_others(photos):
    extractor = FeatureExtractor(seeded(ResNet18, 3), batch_size=4)
    features = extractor.transform(photos)
    for part in (slice(0, 1), slice(8, 11), slice(3, 9)):
        alone = extractor.transform(photos[part])
        np.testing.assert_allclose(alone, features[part], rtol=0, atol=1e-6)


def test_features_leave_the_module_alone(photos, net):
    net.double().train()
    net.bn.eval()
    before = copy.deepcopy(net.state_dict())
    state = torch.get_rng_state()
    FeatureExtractor(net, output=pooled).fit_transform(photos)
    assert torch.equal(torch.get_rng_state(), state)
    assert net.training
    assert not net.bn.training
    assert net.conv.weight.requires_grad
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name])
        assert value.dtype == before[name].dtype


def test_features_do_not_depend_on_autocast(photos, net):
    extractor = FeatureExtractor(net, output=pooled)
    expected = extractor.transform(photos)
    with torch.autocast("cpu"):
        np.testing.assert_array_equal(extractor.transform(photos), expected)


def test_features_have_names(photos, net):
    extractor = FeatureExtractor(net, output=pooled).set_output(transform="pandas")
    frame = extractor.fit_transform(photos)
    names = [f"featureextractor{number}" for number in range(4)]
    assert list(frame.columns) == names
    assert list(extractor.get_feature_names_out()) == names


# --------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (lambda x: (x, x), TypeError, "got tuple: choose one by output"),
        (lambda x: x.long(), TypeError, r"got torch.int64"),
        (lambda x: x.mean(1), ValueError, r"\(2, n_outputs\); got \(2,\)"),
        (lambda x: x[:1], ValueError, r"shape \(2, 5\) to .*got \(1, 5\)"),
        (lambda x: x[:, :0], ValueError, r"got \(2, 0\)"),
        (lambda x: x.sum(), ValueError, r"got \(\)"),
        (lambda x: x @ x, ValueError, r"fails on a batch of shape \(2, 5\)"),
    ],
)
def test_odd_outputs_are_rejected(function, error, message):
    with pytest.raises(error, match=f"module _Returns .*{message}"):
        FeatureExtractor(_Returns(function)).fit(np.ones((3, 5)))


def test_odd_callables_are_rejected(photos, net):
    with pytest.raises(ValueError, match=r"got \(2, 4, 9, 8\).*output"):
        FeatureExtractor(net, output=lambda output: output["map"]).fit(photos)
    with pytest.raises(TypeError, match=r"got int"):
        FeatureExtractor(net, output=lambda output: output["n"]).fit(photos)


def test_features_that_are_not_finite_are_counted():
    X = np.ones((9, 2), dtype=np.float32)
    X[[4, 6], 1] = -1
    extractor = FeatureExtractor(_Returns(torch.sqrt), batch_size=4).fit(X)
    with pytest.raises(ValueError, match="2 of 9 samples, the first at index 4"):
        extractor.transform(X)
    with pytest.raises(ValueError, match="module Identity gives NaN or infinity"):
        FeatureExtractor(nn.Identity()).transform([[1e300, 0]])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"module": nn.Linear}, "module"),
        ({"batch_size": 0}, "batch_size"),
        ({"output": "flat"}, "output"),
        ({"device": "gpu"}, "device='gpu'"),
        ({"image_shape": (5, 5)}, "image_shape"),
    ],
)
def test_bad_parameters_are_named(photos, parameters, message):
    extractor = FeatureExtractor(**{"module": nn.Identity(), **parameters})
    with pytest.raises(ValueError, match=message):
        extractor.fit(photos)


def test_images_of_another_shape_are_rejected(photos):
    extractor = FeatureExtractor(nn.Identity()).fit(photos)
    with pytest.raises(ValueError, match=r"\(3, 8, 9\).*fitted .*\(3, 9, 8\)"):
        extractor.transform(photos.swapaxes(2, 3))


# ------------------------------------------------------- state, pipelines, the cache


def test_pickle_holds_arrays_and_no_tensor(photos, net):
    net.conv.to(memory_format=torch.channels_last)
    extractor = FeatureExtractor(net, output=pooled).fit(photos)
    stored = pickle.dumps(extractor)
    names = {
        argument
        for opcode, argument, _ in pickletools.genops(stored)
        if isinstance(argument, str)
    }
    assert not names & {"_rebuild_tensor_v2", "_rebuild_parameter", "torch.storage"}
    again = pickle.loads(stored)
    np.testing.assert_array_equal(again.transform(photos), extractor.transform(photos))
    assert again.module.same is again.module.conv
    assert again.module.twin is again.module.gain
    assert not again.module.gain.requires_grad
    assert isinstance(again.module.gain, nn.Parameter)
    assert again.module.shift.dtype == torch.bfloat16
    assert again.module.state_dict().keys() == net.state_dict().keys()
    for own, other in zip(net.buffers(), again.module.buffers(), strict=True):
        assert torch.equal(own, other)
    # The one that was pickled is as it was.
    assert isinstance(net.conv.weight, nn.Parameter)


def test_copies_have_weights_of_their_own(photos, net):
    extractor = FeatureExtractor(net, output=pooled).fit(photos)
    expected = extractor.transform(photos)
    others = [copy.deepcopy(extractor), copy.copy(extractor), clone(extractor)]
    with torch.no_grad():
        net.conv.weight.zero_()
    for other in others:
        np.testing.assert_array_equal(other.transform(photos), expected)


class _Listed(nn.Linear):
    """Holds its weight also in a list, where torch does not look for it."""

    def __init__(self):
        super().__init__(2, 2)
        self.listed = [self.weight]

    def forward(self, x):
        return x @ self.listed[0]


def copied(extractor):
    return [
        pickle.loads(pickle.dumps(extractor)),
        copy.deepcopy(extractor),
        copy.copy(extractor),
    ]


def test_copies_keep_weights_in_lists():
    X = np.ones((4, 2), dtype=np.float32)
    extractor = FeatureExtractor(seeded(_Listed)).fit(X)
    for other in copied(extractor):
        np.testing.assert_array_equal(other.transform(X), extractor.transform(X))
        assert other.module.listed[0] is other.module.weight


def test_copies_of_a_lazy_module():
    X = np.ones((4, 2), dtype=np.float32)
    extractor = FeatureExtractor(nn.LazyLinear(3)).fit(X)
    for other in copied(extractor):
        np.testing.assert_array_equal(other.transform(X), extractor.transform(X))


class _Shifted(nn.Linear):
    """Holds a tensor that is neither a parameter nor a buffer."""

    def __init__(self):
        super().__init__(2, 2)
        self.shift = torch.ones(2)

    def forward(self, x):
        return super().forward(x) + self.shift


def traced():
    return torch.jit.trace(nn.Linear(2, 2), torch.ones(1, 2))


@pytest.mark.parametrize(
    "make",
    [_Shifted, traced, lambda: nn.Sequential(traced(), nn.ReLU())],
    ids=["plain tensor", "traced", "traced within"],
)
def test_hash_is_that_of_all_weights(make):
    X = np.ones((4, 2), dtype=np.float32)
    extractor = FeatureExtractor(seeded(make)).fit(X)
    expected = extractor.transform(X)
    for other in copied(extractor):
        np.testing.assert_array_equal(other.transform(X), expected)
    assert joblib.hash(extractor) == joblib.hash(extractor)
    another = FeatureExtractor(make())
    assert joblib.hash(another) != joblib.hash(extractor)


def test_hash_tells_modules_apart(photos, net):
    net.conv.to(memory_format=torch.channels_last)
    extractor = FeatureExtractor(net, output=pooled)
    expected = joblib.hash(extractor)
    assert joblib.hash(clone(extractor)) == expected
    assert joblib.hash(pickle.loads(pickle.dumps(extractor))) == expected
    with torch.no_grad():
        net.hidden += 1
    assert joblib.hash(extractor) != expected


def test_hash_does_not_depend_on_addresses():
    hashes = {joblib.hash(FeatureExtractor(seeded(ResNet18))) for _ in range(2)}
    assert len(hashes) == 1


def test_pipeline_computes_features_once(tmp_path, images):
    def pipeline():
        extractor = FeatureExtractor(seeded(_Counts), batch_size=50)
        clusterer = KMeans(3, n_init=1, random_state=0)
        return make_pipeline(extractor, clusterer, memory=str(tmp_path))

    X, _ = images
    _Counts.seen = 0
    labels = pipeline().fit_predict(X)
    assert _Counts.seen == 1 + 3
    model = pipeline().set_params(kmeans__n_clusters=2).fit(X)
    assert _Counts.seen == 1 + 3
    assert model[0].get_feature_names_out().shape == (3,)
    # From the cache and from scratch.
    np.testing.assert_array_equal(pipeline().fit(X).predict(X), labels)
    assert _Counts.seen == 1 + 3 + 3
    changed = pipeline()
    with torch.no_grad():
        changed[0].module.linear.weight += 1
    changed.fit(X)
    assert _Counts.seen == 1 + 3 + 3 + 4


def test_pipeline_feeds_an_estimator(images, tiny):
    X = images[0][:60]
    extractor = FeatureExtractor(seeded(nn.Conv2d, 1, 12, 3))
    clusterer = tiny(pretrain_epochs=2, center_epochs=2)
    model = make_pipeline(extractor, clusterer).fit(X)
    np.testing.assert_array_equal(model.predict(X), model[-1].labels_)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(X), model[-1].labels_)


def test_output_may_pick_from_a_tuple(images):
    module = nn.Sequential(nn.Flatten(1, 2), nn.LSTM(8, 5, batch_first=True))
    extractor = FeatureExtractor(module, output=last_state)
    assert extractor.fit_transform(images[0]).shape == (len(images[0]), 5)


# `-m gpu` on a machine without one says so instead of failing for want of a device.
@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_features_of_a_gpu_load_without_one(photos, net):
    expected = FeatureExtractor(net, output=pooled, device="cpu").fit_transform(photos)
    net.cuda()
    for device in ("cpu", "cuda"):
        extractor = FeatureExtractor(net, output=pooled, device=device).fit(photos)
        features = extractor.transform(photos)
        np.testing.assert_allclose(features, expected, rtol=1e-3, atol=1e-3)
        assert net.gain.is_cuda
        again = pickle.loads(pickle.dumps(extractor))
        assert not again.module.gain.is_cuda
