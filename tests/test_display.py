"""The displays draw what they are given, and say what is wrong with it."""

import importlib
import inspect
import itertools
import re
import sys
import warnings
from typing import get_args, get_type_hints

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from test_docstrings import faults

import skdeepclust
from skdeepclust import SelfPacedContrastiveClustering, display
from skdeepclust.display import (
    AffinityDisplay,
    ClusterImagesDisplay,
    EmbeddingDisplay,
    TrainingCurveDisplay,
)

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

PAIRS = ("positive_pairs", "negative_pairs", "ambiguous_pairs")
DISPLAYS = [getattr(display, name) for name in display.__all__]


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def fitted(images):
    return SelfPacedContrastiveClustering(
        3,
        encoder="mlp",
        hidden_layer_sizes=(16,),
        n_components=4,
        pretrain_epochs=30,
        center_epochs=2,
        contrastive_epochs=3,
        random_state=0,
    ).fit(images[0])


@pytest.fixture
def points(blobs):
    return blobs


def looks(labels):
    """Return color and marker of each cluster, by its name in the legend."""
    points = np.random.default_rng(0).random((len(labels), 2))
    shown = EmbeddingDisplay.from_predictions(points, labels)
    drawn(shown.figure_)
    plt.close(shown.figure_)
    return {scatter.get_label(): look(scatter) for scatter in shown.scatters_}


def look(scatter):
    color = matplotlib.colors.to_hex(scatter.get_edgecolor()[0])
    return color, scatter.get_paths()[0].vertices.tobytes()


@pytest.fixture(scope="module")
def colors():
    """Return the colors of clusters 0 to 9, all that there are."""
    return [color for color, _ in looks(np.arange(10)).values()]


def is_gray(color):
    return len({*matplotlib.colors.to_rgb(color)}) == 1


def drawn(figure):
    """Draw for good: errors of layout and of fonts come up here."""
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())


# ------------------------------------------------------------------------ all displays


@pytest.mark.parametrize("name", display.__all__)
def test_display_docstrings_are_complete(name):
    members = [
        f".{member}"
        for member, value in inspect.getmembers(getattr(display, name))
        if not member.startswith("_") and callable(value)
    ]
    for member in ["", *members]:
        assert not faults(f"skdeepclust.display.{name}{member}")


def test_displays_import_matplotlib_only_to_draw(monkeypatch):
    # As in a process that has not imported them; all is put back in the end.
    monkeypatch.setattr(skdeepclust, "display", display)
    for name in [*sys.modules]:
        if name.startswith(("skdeepclust.display", "matplotlib")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    anew = importlib.import_module("skdeepclust.display")
    assert anew.EmbeddingDisplay is not EmbeddingDisplay
    with pytest.raises(ImportError, match=r"pip install skdeepclust\[plot\]"):
        anew.EmbeddingDisplay.from_predictions([[0.0, 1.0]], [0])


@pytest.mark.parametrize("cls", DISPLAYS)
def test_from_estimator_names_the_extra(cls, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    arguments = (None, None) if cls is ClusterImagesDisplay else (None,)
    with pytest.raises(ImportError, match=rf"{cls.__name__}.*skdeepclust\[plot\]"):
        cls.from_estimator(*arguments)


@pytest.mark.parametrize("cls", DISPLAYS)
def test_from_estimator_needs_a_fitted_estimator(cls, images):
    arguments = (images[0],) if cls is ClusterImagesDisplay else ()
    with pytest.raises(NotFittedError):
        cls.from_estimator(SelfPacedContrastiveClustering(3), *arguments)
    with pytest.raises(TypeError, match="estimator"):
        cls.from_estimator("model", *arguments)


@pytest.mark.parametrize("cls", DISPLAYS)
def test_options_of_plot_are_typed_and_documented_wherever_a_display_is_made(cls):
    # In the signature they are **options, which type checkers and editors look up.
    others = set(inspect.signature(cls.plot).parameters) - {"self"}
    makers = [n for n in vars(cls) if n.startswith("from_")]
    assert len(makers) == 2
    model = KMeans(2).fit([[0.0], [1.0]])
    model.history_ = make_history()
    known = {"estimator": model, "history": model.history_}
    for name in makers:
        maker = getattr(cls, name)
        (options,) = get_args(get_type_hints(maker)["options"])
        assert options.__optional_keys__ == others
        documented = maker.__doc__.split("**options\n")[1].split("Returns\n")[0]
        assert others <= set(re.findall(r"`(\w+)`", documented))
        inputs = inspect.signature(maker).parameters.values()
        inputs = [p.name for p in inputs if p.kind == p.POSITIONAL_OR_KEYWORD]
        arguments = [known.get(n) for n in inputs]
        with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
            maker(*arguments, colour="red")


def in_search(estimator, X):
    search = GridSearchCV(estimator, {}, cv=2, scoring=lambda *_: 0.0)
    return search.fit(X)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda model, X: make_pipeline(StandardScaler().fit(X), model),
        lambda model, X: make_pipeline(
            StandardScaler().fit(X), make_pipeline(FunctionTransformer(), model)
        ),
        lambda model, X: FrozenEstimator(make_pipeline(StandardScaler().fit(X), model)),
        lambda model, X: make_pipeline(StandardScaler().fit(X), FrozenEstimator(model)),
        lambda model, X: make_pipeline("passthrough", StandardScaler().fit(X), model),
    ],
)
def test_from_estimator_looks_into_pipelines(wrap, tiny, tiny_graph, images):
    X = images[0].reshape(len(images[0]), -1)[:60]
    rows = StandardScaler().fit_transform(X)
    model = tiny(pretrain_epochs=2, head_epochs=2, image_shape=(8, 8)).fit(rows)
    estimator = wrap(model, X)
    assert TrainingCurveDisplay.from_estimator(estimator).history == model.history_
    draw = EmbeddingDisplay.from_estimator
    for shown in (draw(estimator), draw(estimator, X)):
        np.testing.assert_array_equal(shown.labels, model.labels_)
        expected = draw(model).points
        np.testing.assert_allclose(np.abs(shown.points), np.abs(expected), atol=1e-4)
    shown = ClusterImagesDisplay.from_estimator(estimator, X)
    np.testing.assert_array_equal(shown.images, X.reshape(-1, 8, 8))
    expected = ClusterImagesDisplay.from_estimator(model, rows).groups
    for group, others in zip(shown.groups, expected, strict=True):
        for samples, theirs in zip(group, others, strict=True):
            np.testing.assert_array_equal(samples, theirs)
    graph = tiny_graph(pretrain_epochs=2, head_epochs=2, joint_epochs=1).fit(rows)
    weights = AffinityDisplay.from_estimator(wrap(graph, X)).weights
    np.testing.assert_array_equal(
        weights, AffinityDisplay.from_estimator(graph).weights
    )


def test_from_estimator_looks_into_searches(tiny, images):
    X = images[0].reshape(len(images[0]), -1)[:60]
    quick = {"pretrain_epochs": 1, "center_epochs": 1, "head_epochs": 1}
    pipeline = make_pipeline(StandardScaler(), tiny(image_shape=(8, 8), **quick))
    search = in_search(pipeline, X)
    model = search.best_estimator_[-1]
    for estimator in (search, make_pipeline("passthrough", FrozenEstimator(search))):
        shown = TrainingCurveDisplay.from_estimator(estimator)
        assert shown.history == model.history_
        embedding = EmbeddingDisplay.from_estimator(estimator, X)
        np.testing.assert_array_equal(embedding.labels, model.labels_)
        pictures = ClusterImagesDisplay.from_estimator(estimator, X)
        assert pictures.images.shape == (60, 8, 8)


def test_wrong_axes_are_named(points):
    X, y = points
    for ax in ("axes", plt.figure()):
        with pytest.raises(TypeError, match="ax must be a matplotlib Axes"):
            EmbeddingDisplay.from_predictions(X, y, ax=ax)
    with pytest.raises(TypeError, match="ax must be a matplotlib Axes"):
        AffinityDisplay.from_predictions(np.eye(3), [0, 0, 1], ax=3)


# --------------------------------------------------------------------------- embedding


def test_embedding_display_scatters_the_components(points, colors):
    X, y = points
    result = EmbeddingDisplay.from_predictions(X, y)
    expected = PCA(2).fit_transform(X)
    np.testing.assert_allclose(np.abs(result.points), np.abs(expected))
    for k, scatter in enumerate(result.scatters_):
        np.testing.assert_array_equal(scatter.get_offsets(), result.points[y == k])
        assert scatter.get_label() == str(k)
        assert matplotlib.colors.to_hex(scatter.get_facecolor()[0]) == colors[k]
    assert result.ax_.get_xlabel().startswith("principal component 1 (")
    assert result.figure_ is result.ax_.figure
    drawn(result.figure_)


def test_embedding_display_draws_two_components_as_they_are(points):
    X, y = points
    _, ax = plt.subplots()
    result = EmbeddingDisplay.from_predictions(torch.tensor(X[:, :2]), y, ax=ax)
    np.testing.assert_array_equal(result.points, X[:, :2])
    assert result.ax_ is ax


def test_embedding_display_takes_bfloat16(points):
    X, y = points
    rows = torch.tensor(X[:, :2], dtype=torch.bfloat16, requires_grad=True)
    result = EmbeddingDisplay.from_predictions(rows, y)
    np.testing.assert_array_equal(result.points, rows.detach().float())


def test_embedding_display_subset_is_random_and_seeded(points):
    X, y = points
    draw = EmbeddingDisplay.from_predictions
    result = draw(X[:, :2], y, max_samples=40, random_state=3)
    assert len(np.unique(result.indices)) == len(result.points) == 40
    np.testing.assert_array_equal(result.points, X[result.indices, :2])
    np.testing.assert_array_equal(result.labels, y[result.indices])
    again = draw(X[:, :2], y, max_samples=40, random_state=3)
    np.testing.assert_array_equal(result.indices, again.indices)
    assert len(draw(X, y, max_samples=None).points) == len(X)


@pytest.mark.parametrize("n", [5, 60])
def test_embedding_display_by_tsne_is_seeded(points, n):
    X, y = points
    first, second = (
        EmbeddingDisplay.from_predictions(X[:n], y[:n], method="tsne", random_state=0)
        for _ in range(2)
    )
    np.testing.assert_array_equal(first.points, second.points)
    assert first.ax_.get_ylabel() == "t-SNE 2"


@pytest.mark.parametrize("scale", [0, 1e-25, 1e25])
def test_embedding_display_of_rows_of_any_scale(points, scale):
    # What is 0 in float32 ends the interpreter in scikit-learn's own start of t-SNE.
    X, y = points
    rows = scale * X if scale else np.full_like(X, 0.1)
    draw = EmbeddingDisplay.from_predictions
    assert np.isfinite(draw(rows, y, method="tsne", random_state=0).points).all()
    share = "0%" if scale == 0 else "[1-9][0-9]*%"
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        label = draw(rows, y).ax_.get_xlabel()
    assert re.search(rf"\({share} of", label)


def test_embedding_display_takes_a_transformer(points):
    X, y = points
    method = FunctionTransformer(lambda rows: rows[:, ::-1])
    result = EmbeddingDisplay.from_predictions(X, y, method=method)
    np.testing.assert_array_equal(result.points, X[:, :-3:-1])
    assert result.ax_.get_xlabel() == "FunctionTransformer 1"


def test_embedding_display_from_estimator(fitted, images):
    X = images[0]
    trained = EmbeddingDisplay.from_estimator(fitted)
    np.testing.assert_array_equal(trained.labels, fitted.labels_)
    new = EmbeddingDisplay.from_estimator(fitted, X[:50], mark_centers=True)
    np.testing.assert_array_equal(new.labels, fitted.predict(X[:50]))
    expected = PCA(2).fit_transform(fitted.transform(X[:50]))
    np.testing.assert_allclose(np.abs(new.points), np.abs(expected), atol=1e-4)
    with pytest.raises(TypeError, match="embedding_; KMeans has none: pass X"):
        EmbeddingDisplay.from_estimator(KMeans(2).fit([[0.0], [1.0]]))


def test_embedding_display_tells_many_clusters_apart(colors):
    rng = np.random.default_rng(0)
    names = np.array([f"c{i:02}" for i in range(60)])
    result = EmbeddingDisplay.from_predictions(
        rng.random((600, 2)), names.repeat(10), mark_centers=True
    )
    found = {look(scatter) for scatter in result.scatters_}
    assert len(found) == 60
    assert {color for color, _ in found} == {*colors}
    assert len({*colors}) == 10
    assert [text.get_text() for text in result.center_texts_] == [*names]
    np.testing.assert_array_equal(
        result.center_texts_[7].get_position(), np.median(result.points[70:80], axis=0)
    )


def test_embedding_display_clusters_keep_their_looks(colors):
    points = np.random.default_rng(0).random((4, 2))
    shown = EmbeddingDisplay(points, np.array([2, 5, 5, 2])).plot().scatters_
    found = [matplotlib.colors.to_hex(scatter.get_facecolor()[0]) for scatter in shown]
    assert found == [colors[2], colors[5]]


@pytest.mark.parametrize("kind", [np.int64, np.int8, float, object])
def test_embedding_display_noise_and_empty_clusters_shift_no_color(kind, colors):
    labels = np.array([*range(25), *range(25)], dtype=kind)
    expected = looks(labels)
    assert [*expected] == [str(k) for k in range(25)]
    with_noise = looks(np.append(labels, np.array([-1, -1], dtype=kind)))
    assert [*with_noise] == [*expected, "noise"]
    gray, _ = with_noise.pop("noise")
    assert is_gray(gray)
    assert not any(map(is_gray, colors))
    assert with_noise == expected
    kept = ~np.isin(labels, [0, 7, 20])
    fewer = looks(np.append(labels[kept], -1))
    assert fewer.pop("noise")[0] == gray
    assert fewer == {str(k): expected[str(k)] for k in range(25) if k not in (0, 7, 20)}


def test_embedding_display_of_more_clusters_than_looks():
    expected = looks(np.arange(75))
    assert len({*expected.values()}) == 60
    fewer = looks(np.setdiff1d(np.arange(75), [3, 64]))
    assert {name: color for name, (color, _) in fewer.items()} == {
        name: color for name, (color, _) in expected.items() if name not in ("3", "64")
    }
    assert looks(np.array([True]))["True"] == looks(np.array([True, False]))["True"]
    # Numbers that are far apart still look different.
    assert len({*looks(np.array([100, 160, 4, 64, -2, -7])).values()}) == 6


def test_embedding_display_draws_noise_below_and_names_no_middle_of_it():
    labels = np.repeat([-1, 0, 1], [5, 80, 40])
    points = np.random.default_rng(0).random((125, 2))
    result = EmbeddingDisplay(points, labels).plot(mark_centers=True)
    assert [text.get_text() for text in result.center_texts_] == ["0", "1"]
    legend = [text.get_text() for text in result.legend_.get_texts()]
    assert legend == ["0", "1", "noise"]
    orders = [scatter.get_zorder() for scatter in result.scatters_]
    assert orders[2] < orders[0] < orders[1]
    np.testing.assert_array_equal(result.scatters_[2].get_offsets(), points[:5])
    noise = EmbeddingDisplay(points, np.full(125, -1)).plot(mark_centers=True)
    assert noise.center_texts_ == []
    drawn(noise.figure_)


def test_embedding_display_puts_small_clusters_on_top():
    labels = np.repeat([0, 1, 2], [10, 80, 40])
    points = np.random.default_rng(0).random((130, 2))
    order = [s.get_zorder() for s in EmbeddingDisplay(points, labels).plot().scatters_]
    assert order[1] < order[2] < order[0]


@pytest.mark.parametrize("width", [3, 8])
@pytest.mark.parametrize("n_clusters", [3, 20])
def test_embedding_display_legend_stands_outside(width, n_clusters):
    points = np.random.default_rng(0).random((200, 2))
    figure, ax = plt.subplots(figsize=(width, 5), layout="constrained")
    result = EmbeddingDisplay(points, np.arange(200) % n_clusters).plot(ax)
    drawn(figure)
    legend = result.legend_.get_window_extent()
    assert not legend.overlaps(ax.get_window_extent())
    assert figure.bbox.x0 <= legend.x0 <= legend.x1 <= figure.bbox.x1
    assert figure.bbox.y0 <= legend.y0
    assert (
        EmbeddingDisplay(points, points[:, 0] > 0.5).plot(legend=False).legend_ is None
    )


def test_embedding_display_takes_scatter_kwargs(points):
    X, y = points
    result = EmbeddingDisplay(X[:, :2], y).plot(scatter_kwargs={"s": 3, "alpha": 1})
    assert result.scatters_[0].get_sizes() == [3]


@pytest.mark.parametrize(
    "given", [{"lw": 2}, {"linewidths": 2}, {"c": "k"}, {"fc": "k"}, {"color": "k"}]
)
def test_embedding_display_takes_short_names(points, given):
    X, y = points
    scatter = EmbeddingDisplay(X[:, :2], y).plot(scatter_kwargs=given).scatters_[0]
    if "lw" in given or "linewidths" in given:
        assert scatter.get_linewidth() == [2]
    else:
        np.testing.assert_array_equal(scatter.get_facecolor()[0, :3], 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"embedding": np.zeros(4)}, "embedding must have shape .* got shape"),
        ({"embedding": np.zeros((4, 1))}, r"2 components or more; got shape \(4, 1\)"),
        ({"embedding": np.full((4, 3), np.nan)}, "embedding must be finite"),
        ({"labels": [0, 1, 1]}, "labels and embedding .*: 3, .*: 4"),
        ({"labels": np.eye(4)}, "labels must be 1-D"),
        ({"labels": [0, 1, np.nan, 1]}, r"labels has 1 labels .* at index 2 \(nan\)"),
        ({"labels": ["a", None, "b", "b"]}, r"are missing .* at index 1 \(None\)"),
        ({"method": "umap"}, "method must be 'pca', 'tsne' .* got 'umap'"),
        ({"method": None}, "method must be .* got None"),
        ({"max_samples": 0}, "max_samples must be an integer of at least 1; got 0"),
        ({"max_samples": 2}, "embedding must have 3 samples or more"),
        ({"method": PCA(1)}, r"method.fit_transform.* got shape \(4, 1\)"),
    ],
)
def test_embedding_display_errors(change, message):
    good = {
        "embedding": np.random.default_rng(0).random((4, 3)),
        "labels": [0, 0, 1, 1],
    }
    with pytest.raises(ValueError, match=message):
        EmbeddingDisplay.from_predictions(**{**good, **change})


def test_embedding_display_needs_numbers():
    with pytest.raises(TypeError, match="embedding is a tensor of layout"):
        EmbeddingDisplay.from_predictions(torch.eye(4).to_sparse(), [0, 0, 1, 1])
    with pytest.raises(TypeError, match="embedding must hold real numbers"):
        EmbeddingDisplay.from_predictions([["a", "b"]], [0])


def test_colors_are_far_apart_for_color_blind_eyes(colors):
    # Linear RGB as seen without one kind of cone (Machado et al. 2009), and the
    # distances of OKLab, in hundredths.
    eyes = [
        [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
        [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
        [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
    ]
    to_cones = [
        [0.4122, 0.5363, 0.0514],
        [0.2119, 0.6807, 0.1074],
        [0.0883, 0.2817, 0.6300],
    ]
    to_lab = [
        [0.2105, 0.7936, -0.0041],
        [1.9780, -2.4286, 0.4506],
        [0.0259, 0.7828, -0.8087],
    ]
    rgb = np.array([matplotlib.colors.to_rgb(color) for color in (*colors, "white")])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    for eye in eyes:
        seen = np.clip(linear @ np.transpose(eye), 0, 1)
        lab = 100 * np.cbrt(seen @ np.transpose(to_cones)) @ np.transpose(to_lab)
        pairs = itertools.combinations(lab, 2)
        assert min(np.linalg.norm(a - b) for a, b in pairs) > 10


# --------------------------------------------------------------------- training curves


def make_history():
    rows = [
        {"stage": "first", "epoch": i, "loss": 9 / i, "nt_xent": 9 / i}
        for i in range(1, 31)
    ]
    shares = [(0.0, 0.9, 0.1), (0.08, 0.9, 0.02)]
    rows += [
        {
            "stage": "second",
            "epoch": i,
            "loss": 5.0 - i,
            "small": 1e-3 * i,
            **dict(zip(PAIRS, shares[i - 1], strict=True)),
        }
        for i in (1, 2)
    ]
    return [*rows, {"stage": "first", "epoch": 1, "loss": 2.0, "nt_xent": 2.0}]


def test_training_display_draws_every_term():
    history = make_history()
    result = TrainingCurveDisplay.from_history(history)
    assert result.panels_ == [
        ("first", "nt_xent"),
        ("second", "loss"),
        ("second", "small"),
        ("second", *PAIRS),
        ("first (2)", "nt_xent"),
    ]
    for (_, *names), lines in zip(result.panels_, result.lines_, strict=True):
        assert len(lines) == len(names)
    rows = {"first": history[:30], "second": history[30:32], "first (2)": history[32:]}
    for (stage, *names), lines in zip(result.panels_, result.lines_, strict=True):
        for name, line in zip(names, lines, strict=True):
            expected = [(row["epoch"], row[name]) for row in rows[stage]]
            np.testing.assert_array_equal(line.get_xydata(), expected)
    titles = [ax.get_title("left") for ax in result.axes_]
    assert titles[1:4] == ["second: loss", "second: small", "second: share of pairs"]
    assert result.ax_ is result.axes_[0]
    drawn(result.figure_)


def test_training_display_from_estimator(fitted):
    result = TrainingCurveDisplay.from_estimator(fitted)
    stages = dict.fromkeys(row["stage"] for row in fitted.history_)
    shown = dict.fromkeys(panel[0] for panel in result.panels_)
    assert [*shown] == [*stages]
    assert result.history == fitted.history_
    result.history[0]["loss"] = -1.0
    result.history.pop()
    assert fitted.history_[0]["loss"] > 0
    assert fitted.history_[-1]["stage"] == [*stages][-1]
    pairs = result.panels_.index(("contrastive", *PAIRS))
    last = [line.get_ydata()[-1] for line in result.lines_[pairs]]
    (*_, row) = (r for r in fitted.history_ if r["stage"] == "contrastive")
    assert last == [row[name] for name in PAIRS]
    with pytest.raises(TypeError, match="history_; KMeans has none"):
        TrainingCurveDisplay.from_estimator(KMeans(2).fit([[0.0], [1.0]]))


def test_training_display_leaves_constants_out():
    rows = [
        {
            "stage": "first",
            "epoch": i,
            "loss": 1.0 / i,
            "start": 0.25,
            "gap": np.nan if i < 3 else 2.0,
            **dict(zip(PAIRS, (0.1, 0.9, 0.0), strict=True)),
        }
        for i in range(1, 5)
    ]
    rows += [{"stage": "flat", "epoch": i, "loss": 3.0, "start": 1} for i in (1, 2)]
    rows += [{"stage": "bare", "epoch": i, "start": 1} for i in (1, 2)]
    rows += [{"stage": "single", "epoch": 1, "loss": 3.0, "start": 1}]
    shown = TrainingCurveDisplay.from_history(rows)
    assert shown.panels_ == [
        ("first", "loss"),
        ("flat", "loss"),
        ("bare", "start"),
        ("single", "loss"),
        ("single", "start"),
    ]
    for lines in shown.lines_[1:]:
        assert lines[0].get_marker() == "o"
    drawn(shown.figure_)
    low, high = shown.axes_[-1].get_xlim()
    assert [x for x in shown.axes_[-1].get_xticks() if low <= x <= high] == [1]
    asked = shown.plot(stages=["first"], terms=["start", "positive_pairs"])
    assert asked.panels_ == [("first", "start"), ("first", "positive_pairs")]
    rows[2]["ambiguous_pairs"] = 0.1
    panels = TrainingCurveDisplay.from_history(rows).panels_
    assert panels[:2] == [("first", "loss"), ("first", *PAIRS)]


def test_training_display_reads_the_rows_of_a_frame():
    pd = pytest.importorskip("pandas")
    rows = pd.DataFrame(make_history()).to_dict("records")
    expected = TrainingCurveDisplay.from_history(make_history()).panels_
    assert TrainingCurveDisplay.from_history(rows).panels_ == expected


def test_training_display_chooses_stages_and_terms():
    shown = TrainingCurveDisplay(make_history())
    assert len(shown.plot(stages=["first"]).panels_) == 2
    result = shown.plot(stages=["second"], terms=["positive_pairs", "loss"])
    assert result.panels_ == [("second", "loss"), ("second", "positive_pairs")]
    assert shown.plot(terms=["loss"]).panels_[0] == ("first", "loss")


def test_training_display_on_given_axes():
    shown = TrainingCurveDisplay(make_history())
    figure, axes = plt.subplots(1, 5)
    assert [*shown.plot(axes).axes_] == [*axes]
    figure, (ax, other) = plt.subplots(1, 2, figsize=(9, 6), layout="constrained")
    shown.plot(ax, line_kwargs={"lw": 3, "c": "red"})
    drawn(figure)
    assert shown.lines_[0][0].get_linewidth() == 3
    assert shown.lines_[0][0].get_color() == "red"
    assert max(ax.get_window_extent().x1 for ax in shown.axes_) < (
        other.get_window_extent().x0
    )
    with pytest.raises(ValueError, match="one Axes per panel, 5 of them; got 2"):
        shown.plot([ax, other])
    with pytest.raises(ValueError, match="place in a grid"):
        shown.plot(figure.add_axes((0, 0, 1, 1)))
    for wrong in ("axes", ["axes"] * 5):
        with pytest.raises(TypeError, match="ax must be a matplotlib Axes"):
            shown.plot(wrong)


def test_training_display_panels_do_not_overlap():
    result = TrainingCurveDisplay(make_history()).plot()
    drawn(result.figure_)
    boxes = [ax.get_tightbbox() for ax in result.axes_]
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))


@pytest.mark.parametrize(
    ("history", "error", "message"),
    [
        ([], ValueError, "history must have rows .*an epoch or more"),
        (3, TypeError, "history must be a list of dicts; got int"),
        ([{"epoch": 1}], ValueError, "dicts with 'stage' and 'epoch'.* in row 0"),
        ([{"stage": "a", "epoch": 1}], ValueError, "must have rows with numbers"),
    ],
)
def test_training_display_errors(history, error, message):
    with pytest.raises(error, match=message):
        TrainingCurveDisplay.from_history(history)


@pytest.mark.parametrize("names", [["third"], [], "second"])
@pytest.mark.parametrize("parameter", ["stages", "terms"])
def test_training_display_names_unknown_stages_and_terms(parameter, names):
    with pytest.raises(ValueError, match=f"{parameter} must be a list of names out of"):
        TrainingCurveDisplay.from_history(make_history(), **{parameter: names})


# ---------------------------------------------------------------------------- affinity


@pytest.fixture(scope="module")
def graph():
    rng = np.random.default_rng(0)
    affinity = sparse.random(90, 90, density=0.1, random_state=0, format="csr")
    return affinity + affinity.T, rng.permutation(np.repeat([0, 1, 2], [50, 30, 10]))


def test_affinity_display_sorts_by_cluster(graph):
    affinity, labels = graph
    result = AffinityDisplay.from_predictions(affinity, labels, n_bins=90)
    order = np.argsort(labels, kind="stable")
    expected = affinity.toarray()[order][:, order]
    np.testing.assert_allclose(result.weights, expected)
    shown = result.im_.get_array()
    np.testing.assert_allclose(shown.filled(0), expected)
    np.testing.assert_array_equal(shown.mask, expected == 0)
    np.testing.assert_array_equal(result.sizes, [50, 30, 10])
    inside = labels[:, None] == labels
    share = affinity.toarray()[inside].sum() / affinity.sum()
    assert result.within_share == pytest.approx(share)
    assert f"{share:.1%}" in result.ax_.get_title()
    horizontal, vertical = result.borders_
    assert [segment[0][1] for segment in horizontal.get_segments()] == [50, 80]
    assert [segment[0][0] for segment in vertical.get_segments()] == [50, 80]
    drawn(result.figure_)


def test_affinity_display_noise_is_no_cluster(graph):
    affinity, labels = graph
    shown = AffinityDisplay.from_predictions(affinity, np.where(labels, labels, -1))
    assert [*shown.names] == [1, 2, -1]
    np.testing.assert_array_equal(shown.sizes, [30, 10, 50])
    inside = (labels[:, None] == labels) & (labels > 0)
    share = affinity.toarray()[inside].sum() / affinity.sum()
    assert shown.within_share == pytest.approx(share)
    drawn(shown.figure_)
    for texts in (shown.ax_.get_xticklabels(), shown.ax_.get_yticklabels()):
        assert [text.get_text() for text in texts] == ["1", "2", "noise"]
        assert len({text.get_color() for text in texts}) == 2
    again = shown.plot()
    assert again.ax_.get_yticklabels()[-1].get_text() == "noise"


def test_affinity_display_bins_keep_the_weight(graph):
    affinity, labels = graph
    result = AffinityDisplay.from_predictions(affinity, labels, n_bins=9)
    order = np.argsort(labels, kind="stable")
    full = affinity.toarray()[order][:, order]
    np.testing.assert_allclose(
        result.weights, full.reshape(9, 10, 9, 10).sum(axis=(1, 3))
    )
    dense = AffinityDisplay.from_predictions(affinity.toarray(), labels, n_bins=7)
    assert dense.weights.shape == (7, 7)
    assert dense.weights.sum() == pytest.approx(affinity.sum())


def test_affinity_display_takes_limits_of_the_colors(graph):
    result = AffinityDisplay.from_predictions(*graph)
    norm = result.plot(im_kwargs={"vmin": 0.5, "vmax": 2}).im_.norm
    assert (norm.vmin, norm.vmax) == (0.5, 2)
    norm = matplotlib.colors.Normalize(0, 3)
    assert result.plot(im_kwargs={"norm": norm}).im_.norm is norm


@pytest.mark.parametrize("kind", ["bsr", "coo", "csc", "dia", "dok", "lil"])
def test_affinity_display_takes_every_sparse_format(graph, kind):
    affinity, labels = graph
    expected = AffinityDisplay.from_predictions(affinity, labels)
    result = AffinityDisplay.from_predictions(affinity.asformat(kind), labels)
    np.testing.assert_allclose(result.weights, expected.weights)


def test_affinity_display_never_makes_a_large_graph_dense():
    n = 200_000  # 320 GB as a dense matrix
    ring = sparse.csr_array(
        (np.ones(n), (np.arange(n), np.roll(np.arange(n), 1))), shape=(n, n)
    )
    result = AffinityDisplay.from_predictions(ring, np.arange(n) * 5 // n)
    assert result.weights.shape == (100, 100)
    assert result.weights.sum() == n
    assert result.within_share == 1 - 5 / n


def test_affinity_display_from_estimator(tiny_subspace, fitted, images):
    model = tiny_subspace(pretrain_epochs=2).fit(images[0])
    result = AffinityDisplay.from_estimator(model, n_bins=20, colorbar=False)
    assert result.weights.sum() == pytest.approx(model.affinity_matrix_.sum())
    assert result.colorbar_ is None
    with pytest.raises(TypeError, match=r"affinity_matrix_; SelfPaced.* has none"):
        AffinityDisplay.from_estimator(fitted)


def test_affinity_display_of_given_weights():
    result = AffinityDisplay(np.eye(2), np.array([3, 1])).plot()
    assert result.ax_.get_title() == ""
    assert [text.get_text() for text in result.ax_.get_yticklabels()] == ["0", "1"]


def test_affinity_display_names_fit(graph):
    affinity, labels = graph
    names = np.array(["aeroplane", "bird", "cat"])[labels]
    figure, ax = plt.subplots(figsize=(3, 3), layout="constrained")
    result = AffinityDisplay.from_predictions(affinity, names, ax=ax)
    drawn(figure)
    assert [text.get_text() for text in ax.get_yticklabels()] == [*np.unique(names)]
    boxes = [text.get_window_extent() for text in ax.get_xticklabels()]
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    assert not result.colorbar_.ax.get_tightbbox().overlaps(
        ax.title.get_window_extent()
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"affinity": np.ones((3, 4))},
            r"affinity must have shape .* got shape \(3, 4\)",
        ),
        ({"affinity": np.ones(3)}, "affinity must have shape"),
        ({"affinity": -np.eye(3)}, "affinity must not be negative; got -1"),
        ({"affinity": sparse.csr_array((3, 3))}, "affinity must have positive weights"),
        ({"affinity": np.diag([1, np.nan, 1])}, "affinity must be finite"),
        ({"labels": [0, 1]}, "labels and affinity must have one length.*: 2, .*: 3"),
        ({"n_bins": 0}, "n_bins must be an integer of at least 1; got 0"),
    ],
)
def test_affinity_display_errors(change, message):
    good = {"affinity": np.eye(3), "labels": [0, 1, 1]}
    with pytest.raises(ValueError, match=message):
        AffinityDisplay.from_predictions(**{**good, **change})


# ------------------------------------------------------------------------------ images


def make_images(n=12, channels=None, dtype=np.uint8):
    shape = (n, 4, 6) if channels is None else (n, channels, 4, 6)
    values = np.random.default_rng(0).integers(0, 256, shape)
    return values.astype(np.uint8) if dtype == np.uint8 else values / dtype(255)


def tile(canvas, row, column, n_before=0):
    """Cut an image of 4 x 6 out; `n_before` columns are in the group before."""
    left = column * 7 + (n_before * 7 + 3 if n_before else 0)
    return canvas[row * 5 : row * 5 + 4, left : left + 6]


PROBA = np.array([[0.6, 0.4], [0.9, 0.1], [0.7, 0.3], [0.8, 0.2], [0.1, 0.9]])


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_images_display_shows_the_most_and_least_certain(dtype):
    images = make_images(5, dtype=dtype)
    result = ClusterImagesDisplay.from_predictions(images, PROBA, n_images=2)
    (sure, _), (unsure, _) = result.groups
    np.testing.assert_array_equal(sure, [1, 3])
    np.testing.assert_array_equal(unsure, [2, 0])
    # The only image of the second cluster is drawn once.
    assert [len(group[1]) for group in result.groups] == [1, 0]
    canvas = result.im_.get_array()
    values = images / 255 if dtype == np.uint8 else images
    for column, sample in enumerate([1, 3]):
        np.testing.assert_allclose(tile(canvas, 0, column), values[sample])
    for column, sample in enumerate([2, 0]):
        np.testing.assert_allclose(tile(canvas, 0, column, 2), values[sample])
    np.testing.assert_allclose(tile(canvas, 1, 0), values[4])
    assert canvas.mask.sum() == canvas.size - 5 * 24
    assert len(result.ax_.images) == len(result.figure_.axes) == 1
    labels = [text.get_text() for text in result.ax_.get_xticklabels()]
    assert [text.replace("\n", " ") for text in labels] == [
        "most certain",
        "least certain",
    ]
    drawn(result.figure_)


def test_images_display_in_color():
    images = make_images(5, channels=3)
    result = ClusterImagesDisplay.from_predictions(images, PROBA, n_images=2)
    canvas = result.im_.get_array()
    expected = images[3].transpose(1, 2, 0) / 255
    np.testing.assert_allclose(tile(canvas, 0, 1)[..., :3], expected)
    assert (canvas[..., 3] == 1).sum() == 5 * 24
    drawn(result.figure_)


def test_images_display_by_labels_is_random_and_seeded():
    images, labels = make_images(), np.array(["b", "a"] * 6)
    first, again, other = (
        ClusterImagesDisplay.from_predictions(
            images, labels, n_images=3, random_state=s
        )
        for s in (0, 0, 1)
    )
    np.testing.assert_array_equal(first.groups, again.groups)
    assert not np.array_equal(first.groups, other.groups)
    for name, samples in zip(first.names, first.groups[0], strict=True):
        assert (labels[samples] == name).all()
    assert [text.get_text() for text in first.ax_.get_yticklabels()] == ["a", "b"]


def test_images_display_scales_as_fitting_does():
    images = make_images(4, dtype=np.float64) * 8 - 3
    result = ClusterImagesDisplay.from_predictions(images, [0] * 4, n_images=4)
    canvas = result.im_.get_array()
    expected = (images - images.min()) / np.ptp(images)
    for column, sample in enumerate(result.groups[0][0]):
        np.testing.assert_allclose(tile(canvas, 0, column), expected[sample])
    flat = ClusterImagesDisplay.from_predictions(np.full((2, 3, 3), 7.0), [0, 0])
    assert np.isfinite(flat.im_.get_array().compressed()).all()


@pytest.mark.parametrize(
    "dtype", [bool, np.int64, np.int8, np.uint8, np.uint16, np.float16, np.float64]
)
@pytest.mark.parametrize("n_channels", [None, 1, 2, 3, 4, 7])
def test_images_display_takes_every_type_and_number_of_channels(dtype, n_channels):
    images = make_images(6, n_channels).astype(dtype)
    result = ClusterImagesDisplay.from_predictions(images, [0] * 6, n_images=6)
    canvas = result.im_.get_array()
    values = np.asarray(images, float)
    if n_channels not in (None, 3):
        values = values.mean(axis=1)
        values = values.round() if dtype == np.uint8 else values
    low, high = values.min(), values.max()
    if dtype == np.uint8:
        low, high = 0, 255
    elif low >= 0 and high <= 1:
        low, high = 0, 1
    expected = (values - low) / (high - low)
    for column, sample in enumerate(result.groups[0][0]):
        shown = tile(canvas, 0, column)
        if n_channels == 3:
            shown = shown[..., :3].transpose(2, 0, 1)
        np.testing.assert_allclose(shown, expected[sample], atol=2e-3)
    assert result.plot().im_ is not None


@pytest.mark.parametrize("largest", [1, 16, 127])
def test_images_display_of_dark_bytes_is_not_black(largest):
    images = (make_images(4) % (largest + 1)).astype(np.uint8)
    images[0, 0, 0] = largest
    result = ClusterImagesDisplay.from_predictions(images, [0] * 4)
    assert result.im_.get_array().max() == 1
    black = ClusterImagesDisplay.from_predictions(0 * images, [0] * 4)
    assert black.im_.get_array().max() == 0


@pytest.mark.parametrize("value", [-1e9, 7, 1e6, 1e30])
def test_images_display_of_one_value(value):
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        result = ClusterImagesDisplay.from_predictions(
            np.full((2, 3, 3), value), [0, 0]
        )
    assert np.isfinite(result.im_.get_array().compressed()).all()


def test_images_display_noise_is_the_last_row():
    labels = np.array([-1, 0, 1, 2] * 3)
    result = ClusterImagesDisplay.from_predictions(make_images(), labels)
    drawn(result.figure_)
    texts = result.ax_.get_yticklabels()
    assert [text.get_text() for text in texts] == ["0", "1", "2", "noise"]
    assert len({text.get_color() for text in texts}) == 2
    only = result.plot(clusters=-1)
    assert [text.get_text() for text in only.ax_.get_yticklabels()] == ["noise"]


def test_images_display_chooses_clusters():
    images, labels = make_images(), np.array(["b", "a", "c"] * 4)
    result = ClusterImagesDisplay.from_predictions(
        images, labels, clusters=["c", "a"], random_state=0
    )
    assert [text.get_text() for text in result.ax_.get_yticklabels()] == ["c", "a"]
    canvas = result.im_.get_array()
    for row, k in enumerate([2, 0]):
        for column, sample in enumerate(result.groups[0][k]):
            shown = tile(canvas, row, column)
            np.testing.assert_allclose(shown, images[sample] / 255)
    assert len(result.plot(clusters="b").ax_.get_yticklabels()) == 1
    for wrong in ("d", [], ["a", "d"], 0):
        with pytest.raises(ValueError, match=r"clusters must be .*'c'\]; got"):
            result.plot(clusters=wrong)
    number = ClusterImagesDisplay.from_predictions(
        images, PROBA.argmax(1).repeat(3)[3:]
    )
    assert len(number.plot(clusters=np.int64(1)).groups[0]) == 2
    assert len(number.plot(clusters=(1, 0)).ax_.get_yticklabels()) == 2


def test_images_display_wraps_a_cluster_over_lines():
    images = make_images(23)
    proba = np.linspace(0.6, 0.99, 23)[:, None] * [1, 0] + [0, 0.1]
    result = ClusterImagesDisplay.from_predictions(
        images, proba, n_images=None, n_columns=5
    )
    np.testing.assert_array_equal(result.groups, [[np.arange(23)[::-1]]])
    headings = [text.get_text() for text in result.ax_.get_xticklabels()]
    assert [text.replace("\n", " ") for text in headings] == ["most to least certain"]
    canvas = result.im_.get_array()
    assert canvas.shape == (5 * 5 - 1, 5 * 7 - 1)
    for i, sample in enumerate(result.groups[0][0]):
        shown = tile(canvas, *divmod(i, 5))
        np.testing.assert_allclose(shown, images[sample] / 255)
    drawn(result.figure_)
    two = ClusterImagesDisplay.from_predictions(images, proba, n_images=11, n_columns=4)
    assert [len(group[0]) for group in two.groups] == [11, 11]
    assert two.im_.get_array().shape == (3 * 5 - 1, 8 * 7 - 1 + 3)


@pytest.mark.parametrize(("n_images", "shape"), [(10, (1, 10)), (12, (2, 6))])
def test_images_display_fills_the_lines(n_images, shape):
    result = ClusterImagesDisplay.from_predictions(
        make_images(), [0] * 12, n_images=n_images
    )
    lines, columns = shape
    assert result.im_.get_array().shape == (lines * 5 - 1, columns * 7 - 1)


def test_images_display_lines_of_clusters_are_apart():
    images = make_images(24)
    result = ClusterImagesDisplay.from_predictions(
        images, np.arange(24) % 2, n_images=None, n_columns=5
    )
    canvas = result.im_.get_array()
    # Three lines each, one pixel apart, and two pixels more between the clusters.
    assert canvas.shape == (2 * 15 - 1 + 2, 5 * 7 - 1)
    empty = canvas.mask.all(axis=1)
    assert [*np.flatnonzero(empty)] == [4, 9, 14, 15, 16, 21, 26]
    middles = result.ax_.get_yticks()
    np.testing.assert_allclose(middles, [6.5, 23.5])


def test_images_display_draws_all_images_up_to_a_limit():
    images = make_images(500)
    proba = np.linspace(0.6, 0.99, 500)[:, None] * [1, 0]
    (samples,) = ClusterImagesDisplay.from_predictions(
        images, proba, n_images=None
    ).groups[0]
    assert len(samples) == len({*samples}) == 200
    assert (samples[0], samples[-1]) == (499, 0)
    assert (np.diff(samples) < 0).all()


def test_images_display_takes_the_size_of_images():
    images, labels = make_images(24), np.zeros(24, int)
    draw = ClusterImagesDisplay.from_predictions
    small = draw(images, labels, n_images=24, n_columns=6).figure_.get_size_inches()
    large = draw(
        images, labels, n_images=24, n_columns=6, image_size=1.5
    ).figure_.get_size_inches()
    np.testing.assert_allclose(large - [1, 0.5], 3 * (small - [1, 0.5]))
    np.testing.assert_allclose(large, [1 + 1.5 * 41 / 6, 0.5 + 1.5 * 19 / 6])
    tall = draw(make_images(200), np.arange(200)).figure_.get_size_inches()
    assert tall[1] == 24
    _, ax = plt.subplots(figsize=(3, 2))
    assert draw(images, labels, ax=ax, image_size=2).figure_.get_size_inches()[0] == 3
    for wrong in (0, -1, np.nan, np.inf, "big", True):
        with pytest.raises(ValueError, match="image_size must be a positive number"):
            draw(images, labels, image_size=wrong)
    with pytest.raises(ValueError, match="n_columns must be an integer"):
        draw(images, labels, n_columns=0)


def test_images_display_reads_every_layout():
    images = make_images()
    canvases = [
        ClusterImagesDisplay.from_predictions(
            X, np.arange(12) % 2, image_shape=shape, random_state=0
        ).im_.get_array()
        for X, shape in [
            (images, None),
            (images[:, None], None),
            (torch.tensor(images), None),
            (images.reshape(12, -1), (4, 6)),
            (images.reshape(12, -1), (1, 4, 6)),
        ]
    ]
    for canvas in canvases[1:]:
        np.testing.assert_array_equal(canvas.filled(-1), canvases[0].filled(-1))


def test_images_display_from_estimator(fitted, images, tiny, tiny_subspace):
    X = images[0]
    result = ClusterImagesDisplay.from_estimator(fitted, X, n_images=4)
    certainty = fitted.predict_proba(X).max(axis=1)
    labels = fitted.predict(X)
    for k in range(3):
        surest, least = (group[k] for group in result.groups)
        assert certainty[surest[0]] == certainty[labels == k].max()
        assert certainty[least[-1]] == certainty[labels == k].min()
        assert set(labels[[*surest, *least]]) == {k}
    rows = X.reshape(len(X), -1) / 15
    pipeline = make_pipeline(
        FunctionTransformer(), tiny(image_shape=(8, 8), pretrain_epochs=2)
    ).fit(rows)
    shown = ClusterImagesDisplay.from_estimator(pipeline, rows)
    assert shown.images.shape == (len(X), 8, 8)
    again = ClusterImagesDisplay.from_estimator(pipeline, rows, image_shape=(16, 4))
    assert again.images.shape == (len(X), 16, 4)
    model = tiny_subspace(pretrain_epochs=2).fit(X)
    with pytest.raises(TypeError, match=r"predict_proba.*images and labels"):
        ClusterImagesDisplay.from_estimator(model, X)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"images": make_images(5).reshape(5, -1)}, ValueError, "pass image_shape"),
        (
            {"images": make_images(5).reshape(5, -1), "image_shape": (5, 5)},
            ValueError,
            r"image_shape=\(5, 5\) must have .* got 24",
        ),
        (
            {"images": np.moveaxis(make_images(5, 3), 1, -1)},
            ValueError,
            r"images must have shape .* got shape \(5, 4, 6, 3\): move the channels",
        ),
        ({"images": np.zeros(5)}, ValueError, "images must have shape"),
        ({"images": np.zeros((0, 4, 4))}, ValueError, "images must hold an image"),
        ({"images": np.full((5, 4, 4), np.nan)}, ValueError, "images must be finite"),
        ({"images": np.full((5, 4, 4), "a")}, TypeError, "images must hold real"),
        ({"y_pred": PROBA[:4]}, ValueError, "y_pred and images .*: 4, .*: 5"),
        ({"y_pred": PROBA * np.nan}, ValueError, "y_pred must be finite"),
        ({"y_pred": PROBA[None]}, ValueError, "y_pred must be 1-D"),
        (
            {"n_images": 0},
            ValueError,
            "n_images must be an integer .* got 0",
        ),
    ],
)
def test_images_display_errors(change, error, message):
    good = {"images": make_images(5), "y_pred": PROBA}
    with pytest.raises(error, match=message):
        ClusterImagesDisplay.from_predictions(**{**good, **change})


def test_images_display_headings_break_when_there_is_no_room():
    narrow = make_images(5)[:, :, :3]
    result = ClusterImagesDisplay.from_predictions(narrow, PROBA, n_images=1)
    drawn(result.figure_)
    texts = result.ax_.get_xticklabels()
    assert texts[0].get_text() == "most\ncertain"
    assert not texts[0].get_window_extent().overlaps(texts[1].get_window_extent())
