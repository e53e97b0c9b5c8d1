"""What each stage minimizes, and when centers, pairs and graphs are computed again.

The losses have tests of their own. Here the stages are asked whether they call them
with the right arguments, and add them up with the weights that the parameters give.
"""

import warnings

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from torch import nn

from skdeepclust import losses

# What is run here is measured by other tests; measuring would take longer.
pytestmark = pytest.mark.no_cover

N_SAMPLES = 60
IMAGES = {"image_shape": (8, 8), "encoder": "mlp", "hidden_layer_sizes": (8,)}
EPOCHS = {"pretrain_epochs": 2, "head_epochs": 2}
EASY_HARD = {"center_epochs": 4, "contrastive_epochs": 3}
# No two alike, and none the default: whoever takes the wrong one is found out.
WEIGHTS = {"consistency_weight": 0.3, "pretext_weight": 0.4, "balance_weight": 0.5}
PAIR_LOSS = {
    "temperature": 0.31,
    "positive_threshold": 0.72,
    "negative_threshold": 0.13,
}
GRAPH_WEIGHTS = {"pretext_weight": 0.6, "balance_weight": 0.5}
DECODED = {"pretraining": "reconstruction"}
AT_ONCE = {"end_to_end": True}
MOVING = {"fine_tune_learning_rate": 1e-2}
"""A rate at which one epoch changes what is looked at."""
KMEANS = {"resolution": None}


@pytest.fixture
def X(images):
    return images[0][:N_SAMPLES].reshape(N_SAMPLES, -1)


@pytest.fixture
def self_paced(tiny, X):
    return lambda **given: _fit(tiny, X, {**EASY_HARD, **given})


@pytest.fixture
def graph(tiny_graph, X):
    return lambda **given: _fit(tiny_graph, X, {"joint_epochs": 3, **given})


def _fit(make, X, given):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # so few epochs
        return make(**{**IMAGES, **EPOCHS, **given}).fit(X)


def rows_of(model, stage):
    return [row for row in model.history_ if row["stage"] == stage]


class Spy:
    """Calls a loss, and keeps what it was given and has returned."""

    def __init__(self, function):
        self.function = function
        self.calls = []

    def __call__(self, *arguments, **named):
        result = self.function(*arguments, **named)
        self.calls.append((arguments, named, result))
        return result

    @property
    def results(self):
        return [result for *_, result in self.calls]

    def arguments(self, place):
        return [arguments[place] for arguments, _, _ in self.calls]

    def named(self, name):
        return {named[name] for _, named, _ in self.calls}


@pytest.fixture
def spy(monkeypatch):
    def put(name):
        found = Spy(getattr(losses, name))
        monkeypatch.setattr(losses, name, found)
        return found

    return put


# ---------------------------------------------------------------- sums of the terms

STATISTICS = {"assignment_scale", "start_modularity"}
SHARES = {f"{kind}_pairs" for kind in ("positive", "negative", "ambiguous")}


def assert_weighted_sums(model, stage, weights):
    """Every row has just these terms, and their weighted sum is the loss."""
    rows = rows_of(model, stage)
    assert rows
    for row in rows:
        terms = {*row} - {"stage", "epoch", "loss"} - STATISTICS - SHARES
        assert terms == {*weights}
        total = sum(weight * row[name] for name, weight in weights.items())
        assert row["loss"] == pytest.approx(total, rel=1e-5, abs=1e-7)
    # A term of zero could be dropped and nobody would see it.
    for name in weights:
        assert any(abs(row[name]) > 1e-4 for row in rows), name


def pretext_of(model):
    return "nt_xent" if model.network_.unit_norm else "reconstruction"


def weights_of_stage_1(model, stage="center"):
    """Eq. 3.5, and what keeps the encoder from collapsing."""
    width = rows_of(model, stage)[0]["assignment_scale"]
    weights = {"weighted_center": 0.05 / width**2}
    if model.augmentation is not None:
        weights["view_consistency"] = model.consistency_weight
    return weights | {pretext_of(model): model.pretext_weight}


def weights_of_stage_2(model):
    """Eq. 3.7, and what keeps clusters from running empty."""
    weights = {"pair_contrastive": 1.0, "cluster_balance": model.balance_weight}
    if model.network_.unit_norm and model.pretext_weight > 0:
        weights["nt_xent"] = model.pretext_weight
    return weights


# Similarities by which there are pairs of both kinds from the start.
SIMILAR = {"pair_similarity": "centered_cosine"}
SWITCHES = [
    {},
    DECODED,
    {"augmentation": None},
    {"degrees_of_freedom": 2.0},
    KMEANS,
    {"pretraining": "denoising"},
]


@pytest.mark.parametrize("given", SWITCHES, ids=str)
def test_loss_of_stages_is_the_weighted_sum_of_their_terms(self_paced, given):
    model = self_paced(batch_size=20, **WEIGHTS, **SIMILAR, **given)
    assert_weighted_sums(model, "pretraining", {pretext_of(model): 1.0})
    assert_weighted_sums(model, "center", weights_of_stage_1(model))
    assert_weighted_sums(model, "head", {"cross_entropy": 1.0})
    assert_weighted_sums(model, "contrastive", weights_of_stage_2(model))
    if given == KMEANS:
        assert not rows_of(model, "final_head")
    else:
        assert_weighted_sums(model, "final_head", {"cross_entropy": 1.0})
    # The width follows the centers, and the weight of their loss does not.
    widths = {row["assignment_scale"] for row in rows_of(model, "center")}
    assert len(widths) == 2


@pytest.mark.parametrize("given", [{}, DECODED, {"augmentation": None}], ids=str)
def test_loss_end_to_end_is_the_sum_of_both_stages(self_paced, spy, given):
    nt_xent = spy("nt_xent")
    model = self_paced(batch_size=20, **WEIGHTS, **SIMILAR, **AT_ONCE, **given)
    weights = weights_of_stage_1(model, "end_to_end") | weights_of_stage_2(model)
    assert_weighted_sums(model, "end_to_end", weights)
    if not model.network_.unit_norm:
        assert not nt_xent.calls
        return
    # NT-Xent of both stages, of other views: the history has their sum.
    n_batches, n_epochs = 3, max(EASY_HARD.values())
    pretrained = EPOCHS["pretrain_epochs"] * n_batches
    values = [value.item() for value in nt_xent.results[pretrained:]]
    assert len(values) == 2 * n_batches * n_epochs
    for row, both in zip(
        rows_of(model, "end_to_end"), np.reshape(values, (n_epochs, -1)), strict=True
    ):
        assert row["nt_xent"] == pytest.approx(both.sum() / n_batches, rel=1e-5)


def test_without_pretext_weight_the_pairs_are_alone_with_the_balance(self_paced):
    model = self_paced(pretext_weight=0.0, **SIMILAR)
    assert not any("nt_xent" in row for row in rows_of(model, "contrastive"))
    assert_weighted_sums(model, "contrastive", weights_of_stage_2(model))
    assert_weighted_sums(model, "center", weights_of_stage_1(model))


@pytest.mark.parametrize(
    ("heads", "given"),
    [
        ("both", {}),
        ("instance", DECODED),
        ("cluster", {"augmentation": None}),
        ("instance", {}),
        ("cluster", {}),
        ("both", {"pretraining": "denoising", "learning_rate": 3e-3}),
    ],
    ids=str,
)
def test_loss_along_the_graph_is_the_weighted_sum_of_its_terms(graph, heads, given):
    model = graph(heads=heads, batch_size=30, **GRAPH_WEIGHTS, **given)
    weights = {}
    if heads != "cluster":
        weights["neighbor_contrastive"] = 1.0
    if heads != "instance":
        weights["cluster_contrastive"] = 1.0
        weights["cluster_balance"] = model.balance_weight
    if not model.network_.unit_norm:
        weights["reconstruction"] = model.pretext_weight
    assert_weighted_sums(model, "joint", weights)
    assert_weighted_sums(model, "pretraining", {pretext_of(model): 1.0})
    for stage in ["head"] + ["final_head"] * (heads != "cluster"):
        assert_weighted_sums(model, stage, {"cross_entropy": 1.0})


@pytest.mark.parametrize("coefficients", ["closed_form", "learned"])
def test_loss_of_subspaces_is_the_weighted_sum_of_its_terms(
    tiny_subspace, X, coefficients
):
    model = tiny_subspace(
        self_expression_weight=0.7,
        batch_size=20,
        coefficients=coefficients,
        pretrain_epochs=2,
    ).fit(X)
    assert_weighted_sums(model, "pretraining", {"reconstruction": 1.0})
    weights = {"reconstruction": 1.0, "self_expression": 0.7}
    assert_weighted_sums(model, "joint", weights)


@pytest.mark.parametrize("make", ["tiny", "tiny_graph"])
def test_the_head_learns_clear_clusters_of_a_table_with_a_tenth_of_doubt(
    request, blobs, make
):
    """A tenth of each target is spread over all clusters."""
    X, _ = blobs
    model = request.getfixturevalue(make)(head_epochs=300).fit(X)
    assert_weighted_sums(model, "final_head", {"cross_entropy": 1.0})
    sure = 1 - 0.1 + 0.1 / 3
    doubt = 1 - sure
    least = -sure * np.log(sure) - doubt * np.log(doubt / 2)
    for stage in ("head", "final_head"):
        losses_of_stage = [row["loss"] for row in rows_of(model, stage)]
        assert losses_of_stage[-1] == pytest.approx(least, abs=0.01)
        assert min(losses_of_stage) >= least - 1e-6


def test_the_head_learns_the_assignments_of_stage_1(self_paced, spy, X):
    """Without graphs, which give cluster numbers, just as they are."""
    assigned = spy("gaussian_assignment")
    model = self_paced(center_epochs=1, contrastive_epochs=0, head_epochs=600, **KMEANS)
    target = assigned.results[-1].numpy()
    found = model.predict_proba(X)
    # Clusters are numbered by size at the end.
    order = [np.abs(found - target[:, [k]]).sum(axis=0).argmin() for k in range(3)]
    assert sorted(order) == [0, 1, 2]
    np.testing.assert_allclose(found[:, order], target, atol=0.1)
    assert np.abs(found[:, order] - target).mean() < 0.01


def test_without_resolution_stage_1_starts_from_kmeans(self_paced, spy):
    """And there is no final refinement."""
    h = self_paced(center_epochs=0, contrastive_epochs=0, **KMEANS).embedding_
    pulled = spy("weighted_center_loss")
    model = self_paced(center_epochs=1, **KMEANS)
    assert not rows_of(model, "final_head")
    (centers,) = pulled.arguments(1)
    distances = np.linalg.norm(h[:, None] - centers.numpy(), axis=2)
    labels = distances.argmin(axis=1)
    means = [h[labels == k].mean(axis=0) for k in range(3)]
    np.testing.assert_allclose(centers, means, atol=1e-5)
    least = KMeans(3, n_init=10, random_state=0).fit(h).inertia_
    assert np.square(distances.min(axis=1)).sum() == pytest.approx(least, rel=0.01)


class Seeing(nn.Module):
    """An encoder that keeps what it is trained on."""

    seen = []

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 4)

    def forward(self, x):
        if self.training:
            self.seen.append(x.detach().numpy().copy())
        return self.linear(x)


@pytest.mark.parametrize(
    ("pretraining", "share"), [("reconstruction", 0.0), ("denoising", 0.2)]
)
@pytest.mark.parametrize("make", ["tiny", "tiny_subspace"])
def test_denoising_swaps_a_fifth_of_what_is_to_be_reconstructed(
    request, spy, blobs, make, pretraining, share
):
    X, Seeing.seen = blobs[0], []
    target = spy("reconstruction")
    given = {"n_components": None, "pretrain_epochs": 1, "random_state": 0}
    request.getfixturevalue(make)(
        encoder=Seeing(), pretraining=pretraining, **given
    ).fit(X)
    whole, (seen, *_) = target.arguments(0)[0].numpy(), Seeing.seen
    rows = {row.tobytes() for row in whole}
    assert len(rows) == len(X)
    assert (seen != whole).mean() == pytest.approx(share, abs=0.05)
    # With values of the same column, of other samples.
    for column, values in zip(seen.T, whole.T, strict=True):
        assert np.isin(column, values).all()


# ------------------------------------------------- what is made anew, and how often


def changes(values):
    """Return the epochs, from 0, whose value is not that of the one before."""
    pairs = enumerate(zip(values[1:], values[:-1], strict=True), start=1)
    return [epoch for epoch, (value, before) in pairs if value != before]


@pytest.mark.parametrize(("interval", "given"), [(1, {}), (2, DECODED), (3, {})])
@pytest.mark.parametrize("stage", ["center", "end_to_end"])
def test_centers_are_updated_every_t1_epochs(self_paced, stage, given, interval):
    model = self_paced(
        end_to_end=stage == "end_to_end",
        center_epochs=8,
        center_update_interval=interval,
        **MOVING,
        **given,
    )
    widths = [row["assignment_scale"] for row in rows_of(model, stage)]
    assert changes(widths) == [*range(interval, 8, interval)]


@pytest.mark.parametrize("end_to_end", [False, True])
def test_the_centers_are_those_of_the_last_update(self_paced, spy, end_to_end):
    updated, pulled = spy("weighted_centers"), spy("weighted_center_loss")
    self_paced(end_to_end=end_to_end, center_epochs=5, **MOVING)
    # One batch an epoch; updates before the third and the fifth.
    first, second = updated.results
    used = pulled.arguments(1)
    assert torch.equal(used[0], used[1])
    assert not torch.equal(used[1], used[2])
    for centers, expected in zip(used[2:], [first, first, second], strict=True):
        assert torch.equal(centers, expected)


@pytest.mark.parametrize(("degrees", "kind"), [(None, "gaussian"), (3.0, "student_t")])
def test_centers_are_means_of_views_by_the_assignment_of_the_samples(
    self_paced, spy, degrees, kind
):
    """Eq. 3.4; without views both are embeddings of the samples."""
    for augmentation in ("auto", None):
        assigned = spy(f"{kind}_assignment")
        updated, pulled = spy("weighted_centers"), spy("weighted_center_loss")
        self_paced(
            degrees_of_freedom=degrees,
            center_epochs=3,
            augmentation=augmentation,
            contrastive_epochs=0,
        )
        (((h_view, weights), _, _),) = updated.calls
        # Of the two epochs before it, one batch each, and of all samples.
        before, (h, _), after = (
            assigned.results[:2],
            assigned.calls[2][0],
            assigned.results[3:],
        )
        assert torch.equal(weights, assigned.results[2])
        assert torch.equal(h, h_view) == (augmentation is None)
        assert h.shape == h_view.shape == (N_SAMPLES, 4)
        # The head learns the last one.
        assert len(after) == 2
        used = pulled.arguments(2)
        for weights, expected in zip(used, [*before, after[0]], strict=True):
            assert torch.equal(weights, expected)
        if kind == "student_t":
            assert assigned.named("degrees_of_freedom") == {3.0}


def test_gaussian_assignments_have_the_width_that_is_told(self_paced, spy):
    assigned = spy("gaussian_assignment")
    model = self_paced(center_epochs=5, contrastive_epochs=0, **MOVING)
    told = [row["assignment_scale"] for row in rows_of(model, "center")]
    widths = [named["scale"] for _, named, _ in assigned.calls]
    # Of two epochs and of the update after them, which looks back; then the head's.
    assert widths == [told[0]] * 3 + [told[2]] * 3 + [told[4]] * 2
    (h, _), (_, centers) = assigned.calls[2][0], assigned.calls[3][0]
    assert told[2] == float(losses.gaussian_scale(h, centers))


@pytest.mark.parametrize("interval", [1, 2, 3])
@pytest.mark.parametrize("stage", ["contrastive", "end_to_end"])
def test_pairs_are_refreshed_every_t2_epochs(self_paced, stage, interval):
    """Of one batch, which holds all pairs: their shares change when they do."""
    model = self_paced(
        end_to_end=stage == "end_to_end",
        contrastive_epochs=7,
        center_update_interval=2,
        pair_update_interval=interval,
        **SIMILAR,
        **MOVING,
    )
    shares = [[row[name] for name in sorted(SHARES)] for row in rows_of(model, stage)]
    assert changes(shares) == [*range(interval, 7, interval)]
    np.testing.assert_allclose(np.sum(shares, axis=1), 1, rtol=1e-6)
    assert np.min(shares) >= 0


def off_diagonal(square):
    return np.sort(square[~np.eye(len(square), dtype=bool)])


@pytest.mark.parametrize("kind", ["assignments", "centered_cosine", "cosine"])
def test_pairs_are_alike_by_what_is_asked_for(self_paced, spy, X, kind):
    """Eq. 3.6 of the network that stage 1 leaves, and each sample twice."""
    before = self_paced(contrastive_epochs=0, **KMEANS)
    contrast = spy("pair_contrastive")
    after = self_paced(contrastive_epochs=1, pair_similarity=kind, **KMEANS)
    factor = before.embedding_.astype(np.float64)
    if kind == "assignments":
        factor = before.predict_proba(X)
    if kind == "centered_cosine":
        factor = factor - factor.mean(axis=0)
    if kind != "assignments":
        factor /= np.linalg.norm(factor, axis=1, keepdims=True)
    (((_, similarity), _, _),) = contrast.calls
    n = N_SAMPLES
    assert torch.equal(similarity, similarity[:n, :n].repeat(2, 2))
    assert torch.equal(similarity.diagonal(), torch.ones(2 * n))
    found = off_diagonal(similarity[:n, :n].numpy())
    expected = off_diagonal(factor @ factor.T)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    # Shares count each pair of two samples, and none of a sample with itself.
    (row,) = rows_of(after, "contrastive")
    assert row["positive_pairs"] == pytest.approx((found >= 0.8).mean(), rel=1e-6)
    assert row["negative_pairs"] == pytest.approx((found <= 0.2).mean(), rel=1e-6)
    assert row["ambiguous_pairs"] == pytest.approx(
        ((found > 0.2) & (found < 0.8)).mean(), abs=1e-6
    )


class Recorder:
    """An augmentation that changes nothing, and keeps the samples that it got."""

    def __init__(self, X):
        self.number = {row.tobytes(): i for i, row in enumerate(X)}
        self.seen = []

    def __call__(self, batch):
        rows = (batch.flatten(1) * 255).round().to(torch.uint8).numpy()
        self.seen.append([self.number[row.tobytes()] for row in rows])
        return batch

    def batches(self):
        """Return the samples of each batch, and the neighbor that each came with."""
        return [*zip(self.seen[::2], self.seen[1::2], strict=True)]

    def neighbors(self):
        """Return for each epoch of one batch which neighbor each sample came with."""
        found = []
        for samples, neighbors in self.batches():
            assert {*samples} == {*self.number.values()}
            found.append(np.array(neighbors)[np.argsort(samples)].tolist())
        return found


ALONG_KNN = {
    "graph": "knn",
    **KMEANS,
    "joint_learning_rate": 3e-2,
    "batch_size": 2 * N_SAMPLES,
    **DECODED,  # views are then those of joint training
}


@pytest.mark.parametrize("interval", [1, 2, 3, None])
def test_the_graph_is_built_again_every_so_many_epochs(graph, X, interval):
    recorder = Recorder(X)
    model = graph(
        joint_epochs=7,
        graph_update_interval=interval,
        n_neighbors=1,
        augmentation=recorder,
        **ALONG_KNN,
    )
    neighbors = recorder.neighbors()
    assert changes(neighbors) == [*range(interval or 7, 7, interval or 7)]
    strongest = model.affinity_matrix_.argmax(axis=1)
    np.testing.assert_array_equal(neighbors[0], np.ravel(strongest))


def test_positives_are_drawn_among_the_strongest_neighbors(graph, X):
    recorder = Recorder(X)
    model = graph(joint_epochs=30, n_neighbors=3, augmentation=recorder, **ALONG_KNN)
    order = np.argsort(-model.affinity_matrix_.toarray(), axis=1, kind="stable")
    drawn = np.array(recorder.neighbors())
    for i in range(N_SAMPLES):
        # In thirty draws one of three is missed once in 60,000 times.
        assert {*drawn[:, i]} == {*order[i, :3]}


# -------------------------------------------------- what the losses are asked with


@pytest.mark.parametrize("end_to_end", [False, True])
def test_temperatures_and_thresholds_reach_the_losses(self_paced, spy, end_to_end):
    nt_xent, contrast = spy("nt_xent"), spy("pair_contrastive")
    self_paced(end_to_end=end_to_end, pretext_temperature=0.42, **PAIR_LOSS)
    # Of two epochs, four, and three, or of four for both: each stage has it.
    assert len(nt_xent.calls) == 2 + 4 + (4 if end_to_end else 3)
    assert nt_xent.named("temperature") == {0.42}
    for name, value in PAIR_LOSS.items():
        assert contrast.named(name) == {value}


def test_nt_xent_before_joint_training_has_the_pretext_temperature(graph, spy):
    nt_xent = spy("nt_xent")
    graph(pretext_temperature=0.31)
    assert nt_xent.named("temperature") == {0.31}


@pytest.mark.parametrize("n_batches", [1, 2])
def test_terms_along_the_graph_are_those_of_samples_and_their_neighbors(
    graph, X, n_batches
):
    """Eq. 4.4-4.7: each sample and its neighbor are each other's positive."""
    recorder = Recorder(X)
    model = graph(
        **ALONG_KNN
        | {
            "joint_epochs": 1,
            "joint_learning_rate": 0.0,  # so that the network is what it was
            "batch_size": N_SAMPLES // n_batches,
            "augmentation": recorder,
            "instance_temperature": 0.42,
            "cluster_temperature": 0.73,
        }
    )
    h, found = torch.from_numpy(model.transform(X)), []
    n = N_SAMPLES // n_batches
    partner = torch.arange(2 * n).roll(n).unsqueeze(1)
    for samples, neighbors in recorder.batches():
        assert len(samples) == len(neighbors) == n
        z, logits = model.network_.project(h[samples + neighbors].float())
        y = logits.softmax(1)
        found.append(
            {
                "neighbor_contrastive": losses.neighbor_contrastive(
                    z, partner, temperature=0.42
                ),
                "cluster_contrastive": losses.cluster_contrastive(
                    y[:n], y[n:], temperature=0.73
                ),
                # k-means tells nothing of sizes: one size for all.
                "cluster_balance": losses.cluster_balance(y),
            }
        )
    (row,) = rows_of(model, "joint")
    for name in found[0]:
        expected = np.mean([terms[name].item() for terms in found])
        assert row[name] == pytest.approx(expected, rel=1e-4), name


@pytest.mark.parametrize(
    ("make", "given", "follows"),
    [
        ("self_paced", {}, True),
        ("self_paced", AT_ONCE, True),
        ("self_paced", KMEANS, False),
        ("graph", {}, True),
        ("graph", KMEANS, False),
        ("graph", {"head_epochs": 0}, False),
    ],
)
def test_balance_holds_clusters_to_the_sizes_found_in_graphs(
    request, spy, make, given, follows
):
    """Else to one size: k-means and chance tell nothing of sizes."""
    balance = spy("cluster_balance")
    request.getfixturevalue(make)(**given)
    sizes = balance.arguments(1)
    assert sizes
    if not follows:
        assert sizes == [None] * len(sizes)
        return
    # Whole samples, one more in each cluster than there are.
    counts = np.array([each.numpy() for each in sizes]) * (N_SAMPLES + 3)
    np.testing.assert_allclose(counts, counts.round(), atol=1e-4)
    np.testing.assert_allclose(counts.sum(axis=1), N_SAMPLES + 3, rtol=1e-6)
    assert counts.min() >= 1
    assert np.ptp(counts[0]) > 0


RATES = {
    "learning_rate": 2.4e-3,
    "fine_tune_learning_rate": 4e-3,
    "joint_learning_rate": 5e-3,
}
PRETRAIN, TUNE, JOINT, HEAD = *RATES.values(), 2.4e-3 / 3
RATES_OF = {
    "tiny": {
        "pretraining": [PRETRAIN],
        "center": [TUNE],
        "head": [HEAD],
        "contrastive": [TUNE, HEAD],
        "end_to_end": [TUNE, HEAD],
        "final_head": [HEAD],
    },
    "tiny_graph": {
        "pretraining": [PRETRAIN],
        "head": [HEAD],
        "joint": [JOINT, JOINT],
        "final_head": [HEAD],
    },
    "tiny_subspace": {"pretraining": [PRETRAIN], "joint": [JOINT]},
}


@pytest.fixture
def rates(monkeypatch):
    """Return the learning rates of the stages, as the optimizer is given them."""
    begun, adam = [], torch.optim.Adam

    def spy(groups, **options):
        begun.append([group["lr"] for group in groups])
        return adam(groups, **options)

    monkeypatch.setattr(torch.optim, "Adam", spy)
    return begun


@pytest.mark.parametrize(
    ("kind", "given"),
    [*((kind, {}) for kind in RATES_OF), ("tiny", AT_ONCE), ("tiny", {"auto": True})],
    ids=str,
)
def test_stages_train_at_their_learning_rates(request, rates, X, kind, given):
    make, expected = request.getfixturevalue(kind), {**RATES_OF[kind]}
    known = {n: rate for n, rate in RATES.items() if n in make().get_params()}
    if "auto" in given:
        given = {"fine_tune_learning_rate": "auto"}
        expected |= {"center": [3e-4], "contrastive": [1e-5, HEAD]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = make(**IMAGES, pretrain_epochs=2, **{**known, **given}).fit(X)
    stages = dict.fromkeys(row["stage"] for row in model.history_)
    assert rates == [expected[stage] for stage in stages]
    skipped = {"center", "contrastive"} if given == AT_ONCE else {"end_to_end"}
    assert {*stages} == {*expected} - skipped


@pytest.mark.parametrize(("given", "expected"), [(2e-3, 2e-3), (1e-2, 3e-3)])
@pytest.mark.parametrize("make", ["tiny", "tiny_graph"])
def test_clusters_of_a_table_are_learned_at_no_high_rate(
    request, rates, blobs, make, given, expected
):
    request.getfixturevalue(make)(learning_rate=given).fit(blobs[0])
    assert rates[0] == [given]
    assert rates[-1] == [expected]


@pytest.mark.parametrize(
    ("make", "given"),
    [
        ("self_paced", {"center_epochs": 0, "contrastive_epochs": 0}),
        ("self_paced", {"fine_tune_learning_rate": 0.0}),
        ("self_paced", {"fine_tune_learning_rate": 0.0, "end_to_end": True}),
        ("graph", {"joint_epochs": 0}),
        ("graph", {"joint_learning_rate": 0.0}),
    ],
    ids=str,
)
def test_the_head_learns_while_the_encoder_is_held_still(request, X, make, given):
    """Of images, whose clusters are not kept: at the start and at the end."""
    make = request.getfixturevalue(make)
    short, long = (make(head_epochs=n, **given) for n in (1, 9))
    np.testing.assert_array_equal(short.embedding_, long.embedding_)
    assert not np.allclose(short.predict_proba(X), long.predict_proba(X), atol=1e-3)
