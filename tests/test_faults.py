"""Each row of doc/user_guide/faults.rst: what goes wrong, and what happens then."""

import copy
import logging
import re
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import test_callbacks
import test_checkpoint
import torch
from conftest import PREDICTING
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.metrics import adjusted_rand_score
from sklearn.utils.validation import check_is_fitted
from torch import nn

pytestmark = [
    # What is run here is measured by other tests; measuring would take longer.
    pytest.mark.no_cover,
    pytest.mark.filterwarnings("ignore:.*clusters are empty"),
    pytest.mark.filterwarnings("ignore:.*cluster centers coincide"),
    pytest.mark.filterwarnings("ignore:X does not have valid feature names"),
]

PAGE = Path(__file__).parents[1] / "doc/user_guide/faults.rst"
GOOD = np.random.default_rng(0).normal(size=(30, 6))
IMAGES = np.random.default_rng(0).random((12, 8, 8))
FEW = {"pretrain_epochs": 2, "head_epochs": 2}
KINDS = {
    "tiny": {**FEW, "center_epochs": 2},
    "tiny_graph": {**FEW, "joint_epochs": 2, "n_neighbors": 3},
    "tiny_subspace": {"pretrain_epochs": 2, "n_neighbors": 3},
}
METHODS = ["predict", "predict_proba", "transform", "score"]
COVERED = {
    # Rows that have their tests beside what they are about.
    "A callback raises": (
        test_callbacks.test_callback_that_raises_leaves_estimator_unfitted
    ),
    "The process is killed": test_checkpoint.test_killed_fit_goes_on_bit_for_bit,
    "The disk is full, or read-only": (
        test_checkpoint.test_full_disk_keeps_the_last_good_checkpoint,
        test_checkpoint.test_read_only_disk_warns_once,
    ),
}


def fault(*rows):
    """Say which rows of the page a test is about."""

    def note(test):
        COVERED.update(dict.fromkeys(rows, test))
        return test

    return note


@pytest.fixture(params=KINDS)
def make(request):
    """Make one of the estimators, of few epochs."""
    make, few = request.getfixturevalue(request.param), KINDS[request.param]
    return lambda *args, **parameters: make(*args, **{**few, **parameters})


predicting = pytest.mark.parametrize("make", PREDICTING, indirect=True)
cheapest = pytest.mark.parametrize("make", ["tiny_subspace"], indirect=True)
_fitted = {}


@pytest.fixture
def fitted(make, request):
    """Give a copy of an estimator that was fitted on `GOOD`."""
    kind = request.node.callspec.params["make"]
    if kind not in _fitted:
        _fitted[kind] = make().fit(pd.DataFrame(GOOD, columns=list("abcdef")))
    return copy.deepcopy(_fitted[kind])


def assert_refused(model, X, error, match, y=None):
    """It is refused, and nothing is left of the fit before."""
    with pytest.raises(error, match=match):
        model.fit(X, y)
    assert_unfitted(model)


def assert_unfitted(model):
    with pytest.raises(NotFittedError):
        check_is_fitted(model)
    assert not [name for name in vars(model) if name.endswith("_")]
    assert {*vars(model)} <= {*model.get_params(), "_skl_callbacks"}
    for name in METHODS:
        if hasattr(model, name):
            with pytest.raises(NotFittedError):
                getattr(model, name)(GOOD)


def assert_fits(model, X):
    """It is fitted, to finite values and labels without gaps."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        model.fit(X)
    assert model.labels_.shape == (len(X),)
    found = np.unique(model.labels_)
    np.testing.assert_array_equal(found, np.arange(len(found)))
    assert np.isfinite(model.embedding_).all()
    if hasattr(model, "predict"):
        np.testing.assert_array_equal(model.predict(X), model.labels_)
    return model


def with_value(value, dtype=float):
    X = GOOD.astype(dtype)
    X[3, 2] = value
    return X


# ------------------------------------------------------------------ refused by fit


def case(row, *values):
    """Return a case, by the row of the page that it is about."""
    COVERED[row] = "a case"
    return pytest.param(*values, id=row)


def refused(row, X, match, error=ValueError, **parameters):
    return case(row, X, parameters, error, match)


MISSING = pd.DataFrame(GOOD).astype("Float64").where(GOOD < 1)
MASKED = np.ma.masked_greater(GOOD, 1.0)
STRINGS = "could not convert string to float: 'a'"
LAST = r"channels last.*np.moveaxis\(X, -1, 1\).*image_shape=\(9, 9, 3\)"
SPARSE = "A sparse tensor, or one without data"
MIXED = pd.DataFrame(GOOD, columns=["a", 1, "c", "d", "e", "f"])
SMALL = "at least 8 x 8 pixels; got 2 x 3: set encoder='mlp'"
REFUSED = [
    refused("NaN in ``fit``", with_value(np.nan), "contains NaN"),
    refused("A missing value of pandas", MISSING, "contains NaN"),
    refused("Infinity in ``fit``", with_value(-np.inf), "infinity"),
    refused(
        "Values beyond float32",
        with_value(1e300),
        r"1e\+300.*float32.*StandardScaler",
    ),
    refused("Fewer samples than clusters", GOOD[:2], "n_samples=2 should be >= n_cl"),
    refused("One sample", GOOD[:1], "minimum of 2", n_clusters=1),
    refused("No samples", GOOD[:0], r"0 sample\(s\)"),
    refused("No features", GOOD[:, :0], r"0 feature\(s\)"),
    refused("Complex numbers", GOOD + 1j, "[Cc]omplex"),
    refused("Objects that are not numbers", with_value("a", object), STRINGS),
    refused("A sparse matrix", sp.csr_array(GOOD), r"toarray\(\)", TypeError),
    refused(
        SPARSE, torch.tensor(GOOD).to_sparse(), r"sparse_coo.*X.to_dense\(\)", TypeError
    ),
    refused(
        SPARSE, torch.empty(30, 6, device="meta"), "device meta.*not on 'me", TypeError
    ),
    refused("A masked array", MASKED, "masked values: fill or impute"),
    refused("One dimension", GOOD[0], "Reshape your data"),
    refused("Five dimensions", np.zeros((9,) * 5), "dim 5.*images"),
    refused("Images with the channels last", np.zeros((12, 9, 9, 3)), LAST),
    refused(
        "``image_shape`` that does not fit",
        GOOD,
        r"8 values per image, but X has 6 features",
        image_shape=(2, 4),
    ),
    refused(
        "Images too small for ``encoder='conv'``",
        GOOD,
        SMALL,
        image_shape=(2, 3),
        encoder="conv",
    ),
    refused("Column names that are not all strings", MIXED, "string n", TypeError),
    refused(
        "A device that is not available",
        GOOD,
        "device='cuda:9' is not available.*'cpu'",
        device="cuda:9",
    ),
]


@pytest.mark.parametrize(("X", "parameters", "error", "match"), REFUSED)
def test_fit_refuses(fitted, X, parameters, error, match):
    assert_refused(fitted.set_params(**parameters), X, error, match)


@fault("``y`` of another length")
@cheapest
def test_fit_refuses_y_of_another_length_and_takes_every_kind(fitted):
    match = "y does not fit n_samples=30: pass one value per sample"
    with pytest.raises(ValueError, match=match):
        fitted.fit_predict(GOOD, np.zeros(5))
    for y in (np.zeros(5), np.zeros((5, 2)), [], 3):
        assert_refused(fitted, GOOD, ValueError, match, y)
    for y in (list("abc" * 10), torch.zeros(30), pd.Series([0] * 30)):
        assert fitted.fit(GOOD, y).labels_.shape == (30,)


@fault("``n_neighbors`` not below the number of samples")
@pytest.mark.parametrize("make", ["tiny_graph", "tiny_subspace"], indirect=True)
def test_fit_refuses_few_samples_for_a_graph(fitted):
    assert_refused(fitted, GOOD[:3], ValueError, "n_neighbors=3 must be below n_sam")


# --------------------------------------------------------------------- what is fitted


OUTLIER, COPIES = GOOD[:12].copy(), np.repeat(GOOD[:4], 4, axis=0)
OUTLIER[0], COPIES[:, 2] = 1e12, 5.0
ACCEPTED = [
    *(case("Constant data", np.full((12, 3), x), 3) for x in (0.0, 1e30, 5e-324)),
    case("Values near zero", GOOD[:12] * 1e-310, 3),
    case("Duplicates", COPIES, 3),
    case("One cluster", GOOD[:12], 1),
    case("As many clusters as samples", GOOD[:8], 8),
    case("One huge outlier", OUTLIER, 3),
]


@pytest.mark.parametrize(("X", "n_clusters"), ACCEPTED)
def test_fit_takes(make, X, n_clusters):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = assert_fits(make(n_clusters), X)
    assert len({*model.labels_}) <= n_clusters
    if np.ptp(X) > 0 or hasattr(model, "predict"):
        # All copies of a row are in one cluster.
        pairs = {*zip(map(tuple, X), model.labels_, strict=True)}
        assert len(pairs) == len(np.unique(X, axis=0))


SHORT = [torch.tensor(GOOD).to(t) for t in (torch.bfloat16, torch.float8_e4m3fn)]
OTHER = [GOOD.astype(t) for t in (np.float16, np.bool_, np.int8, object, ">f8")]
LARGE = (GOOD * 2**58).astype(np.int64)
assert (LARGE != LARGE | 1).any()
CONVERTED = [
    *(
        case("float16, bool, small integers, objects that are numbers", X, X * 1.0)
        for X in OTHER
    ),
    *(case("bfloat16, float8", X, X.float().numpy()) for X in SHORT),
    case("int64 beyond 2^53", LARGE | 1, LARGE.astype(float)),
    case("A masked array without masked values", np.ma.array(GOOD, mask=False), GOOD),
]


@pytest.mark.parametrize(("X", "same"), CONVERTED)
@cheapest
def test_numbers_of_other_types_are_converted(make, X, same):
    same = same.astype(np.float32 if isinstance(X, torch.Tensor) else np.float64)
    model, expected = assert_fits(make(), X), make().fit(same)
    np.testing.assert_array_equal(model.embedding_, expected.embedding_)
    assert model.embedding_.dtype == same.dtype


@fault("A memory map that is read-only")
@pytest.mark.parametrize("make", ["tiny"], indirect=True)
def test_read_only_memory_map(make, tmp_path):
    X = (IMAGES * 255).astype(np.uint8)
    np.save(tmp_path / "X.npy", X)
    before = (tmp_path / "X.npy").read_bytes()
    model = assert_fits(make(), np.load(tmp_path / "X.npy", mmap_mode="r"))
    assert (tmp_path / "X.npy").read_bytes() == before
    np.testing.assert_array_equal(model.embedding_, make().fit(X).embedding_)


# --------------------------------------------------------------------------- new data


BOTH = "NaN or infinity in ``predict``"
REORDERED, RENAMED = (pd.DataFrame(GOOD, columns=list(n)) for n in ("bacdef", "abcdeg"))
NEW = [
    refused(BOTH, with_value(np.nan), "NaN"),
    refused(BOTH, with_value(np.inf), "infinity"),
    refused("New data beyond float32", with_value(1e300), r"1e\+300.*float32"),
    refused("A masked array to ``predict``", MASKED, "mask"),
    refused("Another number of features", GOOD[:, :5], "5 features.*6 features"),
    refused("Columns in another order", REORDERED, "same order"),
    refused("Columns of other names", RENAMED, "unseen at fit time"),
    refused("No new samples", GOOD[:0], r"0 sample\(s\)"),
]


@pytest.mark.parametrize(("X", "parameters", "error", "match"), NEW)
@predicting
def test_prediction_refuses(fitted, X, parameters, error, match):
    for method in METHODS:
        with pytest.raises(error, match=match):
            getattr(fitted, method)(X)
    # It is as good as before.
    assert fitted.predict(pd.DataFrame(GOOD, columns=list("abcdef"))).shape == (30,)


@fault("New data far from the training data")
@pytest.mark.parametrize("make", ["tiny"], indirect=True)
def test_prediction_refuses_what_overflows(make):
    model = make().fit(GOOD * 1e-30)
    with pytest.raises(ValueError, match="times the scale of the fitted data"):
        model.predict(GOOD * 1e20)


@predicting
def test_prediction_is_finite(fitted):
    next(fitted.network_.parameters()).fill_(torch.nan)
    for method in METHODS:
        with pytest.raises(ValueError, match="values that are not finite: scale X as"):
            getattr(fitted, method)(GOOD)


@fault("Images of another size")
@pytest.mark.parametrize("make", ["tiny"], indirect=True)
def test_images_of_another_size(make):
    model = make(encoder="mlp").fit(IMAGES)
    with pytest.raises(ValueError, match=r"\(1, 9, 9\).*\(1, 8, 8\)"):
        model.predict(np.zeros((2, 9, 9)))
    with pytest.raises(ValueError, match="63 features"):
        model.predict(np.zeros((2, 63)))


@fault("Images in another unit than in ``fit``")
@predicting
def test_images_in_another_unit(make):
    as_bytes = (IMAGES * 255).astype(np.uint8)
    as_floats = as_bytes / np.float32(255)
    model = make(encoder="mlp").fit(as_floats)
    with pytest.raises(
        ValueError, match=r"uint8 with values up to 25.*divide X by 255"
    ):
        model.predict(as_bytes)
    for dtype in (np.int64, np.float32):
        with pytest.raises(ValueError, match=r"floats with values up to 25.*by 255"):
            model.predict(as_bytes.astype(dtype))
    # Somewhat beyond, by noise.
    assert model.predict(as_floats + 0.5).shape == (12,)
    # Black, or 0 and 1 alone, as masks are.
    assert model.predict((IMAGES > 0.5).astype(np.uint8)).shape == (12,)
    other = make(encoder="mlp").fit(as_bytes)
    with pytest.raises(ValueError, match=r"up to 0\.99.*up to 25\d: multiply X by 255"):
        other.predict(as_floats)
    np.testing.assert_array_equal(other.predict(as_bytes * 1.0), other.labels_)
    assert other.predict(np.zeros((2, 8, 8))).shape == (2,)


@predicting
def test_images_in_the_unit_of_those_fitted(make, tmp_path):
    dark = np.round(IMAGES * 255).astype(np.float32)
    dark[0] = IMAGES[0] > 0.5
    # Read image by image, and by workers for which joblib writes it to a file.
    on_disk = np.memmap(tmp_path / "dark", np.float32, "w+", shape=dark.shape)
    on_disk[:] = dark
    for X in (dark, on_disk):
        model = make(encoder="mlp").fit(X)
        np.testing.assert_array_equal(model.predict(X[:1]), model.labels_[:1])
    masks = IMAGES > 0.5
    model = make(encoder="mlp").fit(masks.astype(np.uint8))
    for X in (masks, masks * 1.0, masks.astype(np.float32)):
        np.testing.assert_array_equal(model.predict(X), model.labels_)


@fault("Data without names after a fit with names")
@predicting
def test_names_that_are_missing(fitted):
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        labels = fitted.predict(GOOD)
    np.testing.assert_array_equal(labels, fitted.labels_)


# --------------------------------------------------------------------- while training


class Encoder(nn.Module):
    """Gives what is wrong after a number of batches that are trained on."""

    def __init__(self, wrong, after=0):
        super().__init__()
        self.linear = nn.Linear(6, 4)
        self.wrong, self.left = wrong, after

    def forward(self, x):
        h = self.linear(x)
        if self.training:
            self.left -= 1
        return h if self.left >= 0 else self.wrong(h)


@fault("A learning rate that is too high")
def test_learning_rate_that_is_too_high(fitted):
    fitted.set_params(learning_rate=1e30)
    match = r"'pretraining' with learning_rate=1e\+30 stopped being finite in epoch \d"
    assert_refused(fitted, GOOD, ValueError, match)


@pytest.mark.parametrize("rate", [0.3, 30.0, 1e3, 1e6])
@pytest.mark.parametrize("pretraining", ["contrastive", "reconstruction"])
@predicting
def test_a_learning_rate_never_ends_in_labels_of_an_untrained_head(
    make, blobs, rate, pretraining
):
    X, y = blobs
    model = make(pretraining=pretraining, pretrain_epochs=20, head_epochs=30)
    model.set_params(learning_rate=rate)
    told = ""
    try:
        labels = model.fit_predict(X)
    except ValueError as error:
        told = str(error)
    if told:
        assert f"learning_rate={rate:g} " in told
        assert_unfitted(model)
    else:
        assert adjusted_rand_score(y, labels) > 0.9


@fault("A loss that is NaN once")
@predicting
def test_loss_that_is_nan_keeps_the_last_good_epoch(make):
    left = 3

    def augmentation(batch):
        nonlocal left
        left -= 1
        return batch * torch.nan if left == 0 else batch

    model = make(augmentation=augmentation)
    assert_refused(model, GOOD, ValueError, "'pretraining' .*finite in epoch 2 of 2")
    left = 6
    with pytest.warns(ConvergenceWarning, match="(center|joint)' .*finite in epoch"):
        model.fit(GOOD)
    assert np.isfinite(model.embedding_).all()
    np.testing.assert_array_equal(model.predict(GOOD), model.labels_)


@fault("An encoder without trainable weights")
@pytest.mark.parametrize("pretraining", ["contrastive", "reconstruction"])
@predicting
def test_encoder_without_weights_to_train(fitted, pretraining):
    fitted.set_params(
        encoder=nn.Linear(6, 4).requires_grad_(False), pretraining=pretraining
    )
    match = r"requires_grad is False.*2 parameters.*encoder=Frozen\(module\)"
    assert_refused(fitted, GOOD, ValueError, match)
    # A layer of our own after it is enough, as is a decoder to train.
    fitted.set_params(n_components=3).fit(GOOD)
    fitted.set_params(encoder=nn.Flatten(), n_components=None)
    if pretraining == "reconstruction":
        fitted.fit(GOOD)
    else:
        match = r"encoder has no weights, .*reconstruction.*encoder=Frozen\(module\)"
        assert_refused(fitted, GOOD, ValueError, match)


@fault("An encoder that gives NaN")
@pytest.mark.parametrize("after", [-1, 1])
@pytest.mark.filterwarnings("ignore:Training stopped being finite")
def test_encoder_that_gives_nan(fitted, after):
    # -1: from the first batch on, whatever its mode.
    fitted.set_params(encoder=Encoder(lambda h: h * torch.nan, after))
    match = "finite in epoch [12] of 2, .*NaN in an encoder"
    assert_refused(fitted, GOOD, ValueError, match)


@fault("A learning rate that is too high")
@pytest.mark.parametrize(
    "given",
    [{"learning_rate": 1e38}, {"augmentation": lambda batch: batch * torch.nan}],
    ids=["rate", "augmentation"],
)
@predicting
def test_no_epoch_that_is_finite(make, given):
    match = "'pretraining' with learning_rate=.* stopped being finite in epoch 1 of"
    assert_refused(make(pretraining="contrastive", **given), GOOD, ValueError, match)


@predicting
def test_no_epoch_that_is_finite_after_a_fit(make):
    model = make(warm_start=True).fit(GOOD)
    for name in [name for name in model.get_params() if name.endswith("learning_rate")]:
        model.set_params(**{name: 3e38})
    before = len(model.history_)
    with pytest.warns(ConvergenceWarning, match="stopped being finite in epoch 1 of"):
        model.fit(GOOD)
    assert len(model.history_) == before
    assert np.isfinite(model.embedding_).all()


@pytest.mark.parametrize("n_epochs", [0, 2])
@pytest.mark.parametrize("resolution", ["auto", None])
def test_encoder_that_gives_nan_in_pretraining_or_without_it(
    tiny, resolution, n_epochs
):
    encoder = Encoder(lambda h: h * torch.nan, -1)
    model = tiny(encoder=encoder, resolution=resolution, center_epochs=0)
    with pytest.raises(ValueError, match="NaN in an encoder"):
        model.set_params(pretrain_epochs=n_epochs).fit(GOOD)


@fault("An encoder whose output changes size")
@pytest.mark.parametrize(
    ("wrong", "shape"),
    [(lambda h: h[:, :3], "30, 3"), (lambda h: h[1:], "29, 4")],
    ids=["columns", "rows"],
)
def test_encoder_that_changes_its_size(fitted, wrong, shape):
    fitted.set_params(encoder=Encoder(wrong, after=1))
    match = rf"encoder Encoder maps .*\(30, 6\) to \({shape}\).*gave 4 values"
    assert_refused(fitted, GOOD, ValueError, match)


@fault("An encoder whose output has no row per sample")
def test_encoder_that_has_no_row_per_sample(fitted):
    encoder = Encoder(lambda h: h.mean(0), after=-1)
    fitted.set_params(encoder=encoder)
    assert_refused(fitted, GOOD, ValueError, r"must map a batch of shape \(2, 6\)")


@fault("An augmentation that changes the shape or returns no floats")
@pytest.mark.parametrize(
    ("augmentation", "error", "match"),
    [
        (lambda x: x[:, :2], ValueError, r"augmentation must return .*\(30, 6\); got"),
        (lambda x: x > 0, TypeError, "augmentation must return a float tensor"),
        (lambda x: None, TypeError, "augmentation must return a float .* NoneType"),
    ],
)
@predicting
def test_augmentation_that_is_wrong(fitted, augmentation, error, match):
    assert_refused(fitted.set_params(augmentation=augmentation), GOOD, error, match)


def too_much_for_torch(h):
    return h + torch.empty(2**55)


def too_much_for_numpy(h):
    return h + np.empty(2**55)


def too_much_for_a_gpu(h):
    raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")


@fault("Out of memory")
@pytest.mark.parametrize(
    "allocate", [too_much_for_torch, too_much_for_numpy, too_much_for_a_gpu]
)
def test_out_of_memory(fitted, allocate):
    fitted.set_params(encoder=Encoder(allocate, after=1))
    before = torch.get_rng_state()
    size = fitted.batch_size
    match = rf"ran out of memory: lower batch_size={size}, or pass fewer.*allocate"
    assert_refused(fitted, GOOD, MemoryError, match)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.fixture
def at_epochs():
    """Have a function called at the end of each epoch, by the line that is logged."""
    logger, handler = logging.getLogger("skdeepclust"), logging.Handler()

    def listen(function):
        def emit(record):
            line = re.match(r"(\w+) +epoch (\d+)/(\d+) ", record.getMessage())
            function(line[1], int(line[2]), int(line[3]))

        handler.emit = emit

    level = logger.level
    logger.addHandler(handler)
    yield listen
    logger.removeHandler(handler)
    logger.setLevel(level)


STAGES = test_callbacks.STAGES
EACH_STAGE = [(kind, stage) for kind in STAGES for stage in STAGES[kind]]


@fault("An interruption (Ctrl+C)")
@pytest.mark.parametrize(("make", "stage"), EACH_STAGE, indirect=["make"])
def test_interruption_in_each_stage(fitted, at_epochs, stage):
    begun = []

    def interrupt(name, epoch, n_epochs):
        begun.append(name)
        if name == stage:
            raise KeyboardInterrupt

    at_epochs(interrupt)
    with pytest.raises(KeyboardInterrupt):
        fitted.set_params(verbose=2).fit(GOOD)
    assert begun.count(stage) == 1
    assert_unfitted(fitted)


@fault("An interruption after the last stage")
def test_interruption_after_the_last_stage(fitted, at_epochs, request):
    last = STAGES[request.node.callspec.params["make"]][-1]
    ended = False

    def note(name, epoch, n_epochs):
        nonlocal ended
        ended = name == last and epoch == n_epochs

    def interrupt(h):
        if ended:
            raise KeyboardInterrupt
        return h

    at_epochs(note)
    fitted.set_params(encoder=Encoder(interrupt, after=-1), verbose=2)
    with pytest.raises(KeyboardInterrupt):
        fitted.fit(GOOD)
    assert_unfitted(fitted)


@fault("A fit that fails after a successful one")
def test_fit_goes_on_as_new_after_one_that_failed(fitted):
    expected = copy.deepcopy(fitted)
    assert_refused(fitted, with_value(np.nan), ValueError, "NaN")
    fitted.fit(pd.DataFrame(GOOD, columns=list("abcdef")))
    np.testing.assert_array_equal(fitted.labels_, expected.labels_)
    np.testing.assert_array_equal(fitted.embedding_, expected.embedding_)


# ------------------------------------------------------------------------ the page


def test_each_row_of_the_page_has_a_test_and_each_test_a_row():
    rows = re.findall(r"^   \* - (.+)$", PAGE.read_text(), re.MULTILINE)
    rows = [row for row in rows if row != "What goes wrong"]
    assert len(rows) >= 25
    assert sorted(rows) == sorted(COVERED)
