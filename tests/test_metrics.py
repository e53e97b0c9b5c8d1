"""Metrics against the slow reference, and scorers inside scikit-learn."""

import time
import tracemalloc
from datetime import date
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import reference
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from sklearn import config_context
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.metrics.cluster import contingency_matrix
from sklearn.model_selection import GridSearchCV, cross_val_score

from skdeepclust import metrics

labelings = st.lists(
    st.tuples(st.integers(0, 3), st.integers(-1, 3)), min_size=1, max_size=12
)
LABEL_FUNCTIONS = [
    metrics.clustering_accuracy,
    metrics.normalized_mutual_info,
    metrics.align_labels,
]
CLASS_SCORERS = [metrics.accuracy_scorer, metrics.nmi_scorer, metrics.ari_scorer]


class Predicts:
    """Predicts what it is told to."""

    def __init__(self, labels):
        self.labels = labels

    def predict(self, X):
        return self.labels


def strings_with_missing():
    """Return arrays of NumPy's strings of any length, where it has these."""
    if not hasattr(np, "dtypes") or not hasattr(np.dtypes, "StringDType"):
        return []
    return [
        np.array(["a", na, "b"], dtype=np.dtypes.StringDType(na_object=na))
        for na in (None, np.nan, pd.NA, "none")
    ]


@pytest.fixture(scope="module")
def blobs():
    centers = [[0, 0], [10, 0], [0, 10]]
    return make_blobs(60, centers=centers, cluster_std=0.5, random_state=0)


@pytest.fixture(scope="module")
def model(blobs):
    return KMeans(3, n_init=2, random_state=0).fit(blobs[0])


@settings(max_examples=30, deadline=None)
@given(labelings)
def test_clustering_accuracy_matches_reference(pairs):
    y_true, y_pred = zip(*pairs, strict=True)
    expected = reference.clustering_accuracy(y_true, y_pred)
    assert metrics.clustering_accuracy(y_true, y_pred) == pytest.approx(expected)


@settings(max_examples=30, deadline=None)
@given(labelings, st.randoms(use_true_random=False))
def test_clustering_accuracy_ignores_names_and_order(pairs, random):
    score = metrics.clustering_accuracy(*zip(*pairs, strict=True))
    shuffled = [(f"class {true}", 7 - 2 * pred) for true, pred in pairs]
    random.shuffle(shuffled)
    assert metrics.clustering_accuracy(*zip(*shuffled, strict=True)) == score


@pytest.mark.parametrize(
    ("y_true", "y_pred", "expected"),
    [
        ([0, 0, 1, 1], [1, 1, 0, 0], 1.0),
        ([0, 0, 1, 1], [0, 1, 2, 3], 0.5),
        ([0, 1, 2, 3], [0, 0, 0, 0], 0.25),
        ([0, 0, 0, 1], [-1, -1, 5, 5], 0.75),
        (["a", "b"], ["x", "y"], 1.0),
        ([3], [9], 1.0),
    ],
)
def test_clustering_accuracy_known_values(y_true, y_pred, expected):
    score = metrics.clustering_accuracy(y_true, y_pred)
    assert type(score) is float
    assert score == expected


@settings(max_examples=30, deadline=None)
@given(labelings)
def test_normalized_mutual_info_matches_reference(pairs):
    y_true, y_pred = zip(*pairs, strict=True)
    score = metrics.normalized_mutual_info(y_true, y_pred)
    assert type(score) is float
    if len(set(y_true)) > 1 or len(set(y_pred)) > 1:
        expected = reference.normalized_mutual_info_max(y_true, y_pred)
        assert score == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("average", ["max", "min", "geometric", "arithmetic"])
def test_normalized_mutual_info_takes_every_average(average):
    y_true, y_pred = [0, 0, 1, 1, 2], [0, 0, 0, 1, 1]
    expected = normalized_mutual_info_score(y_true, y_pred, average_method=average)
    actual = metrics.normalized_mutual_info(y_true, y_pred, average_method=average)
    assert actual == expected


@pytest.mark.parametrize("wrong", ["mean", None, ["max"]])
def test_normalized_mutual_info_rejects_an_unknown_average(wrong):
    message = f"'average_method' parameter .*'geometric'.* Got {wrong!r} instead"
    with pytest.raises(ValueError, match=message.replace("[", r"\[")):
        metrics.normalized_mutual_info([0, 1], [0, 1], average_method=wrong)


@settings(max_examples=30, deadline=None)
@given(labelings)
def test_align_labels_agrees_with_clustering_accuracy(pairs):
    y_true, y_pred = map(np.array, zip(*pairs, strict=True))
    aligned = metrics.align_labels(y_true, y_pred)
    accuracy = metrics.clustering_accuracy(y_true, y_pred)
    assert np.mean(aligned == y_true) == pytest.approx(accuracy)
    # A renaming: the partition is the same.
    assert adjusted_rand_score(aligned, y_pred) == 1
    assert len(np.unique(aligned)) == len(np.unique(y_pred))


def test_align_labels_numbers_unmatched_clusters_after_the_classes():
    y_true, y_pred = [2, 2, 2, 7, 7, 7], [5, 5, 3, 4, 4, 9]
    np.testing.assert_array_equal(
        metrics.align_labels(y_true, y_pred), [2, 2, 8, 7, 7, 9]
    )


def test_align_labels_handles_fewer_clusters_than_classes():
    aligned = metrics.align_labels([0, 1, 1, 2], ["a", "b", "b", "b"])
    np.testing.assert_array_equal(aligned, [0, 1, 1, 1])


def test_align_labels_leaves_its_input_unchanged():
    y_true, y_pred = np.array([0, 0, 1]), np.array([1, 1, 0])
    metrics.align_labels(y_true, y_pred)
    np.testing.assert_array_equal(y_true, [0, 0, 1])
    np.testing.assert_array_equal(y_pred, [1, 1, 0])


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 300),
    n_classes=st.integers(1, 60),
    n_clusters=st.integers(1, 60),
    evenness=st.sampled_from([0.05, 1.0, 100.0]),
)
def test_the_match_is_that_of_a_dense_table(seed, n, n_classes, n_clusters, evenness):
    rng = np.random.default_rng(seed)
    sizes = [rng.dirichlet(np.full(k, evenness)) for k in (n_classes, n_clusters)]
    y_true = rng.choice(n_classes, n, p=sizes[0])
    y_pred = rng.choice(n_clusters, n, p=sizes[1])
    table = contingency_matrix(y_true, y_pred)
    n_agreeing = table[linear_sum_assignment(table, maximize=True)].sum()
    assert metrics.clustering_accuracy(y_true, y_pred) == n_agreeing / n
    aligned = metrics.align_labels(3 * y_true - 1, y_pred)
    assert np.count_nonzero(aligned == 3 * y_true - 1) == n_agreeing
    # As many clusters as can be have a class, the others follow in sorted order.
    classes, clusters = np.unique(3 * y_true - 1), np.unique(y_pred)
    names = np.array([aligned[y_pred == cluster][0] for cluster in clusters])
    assert np.array_equal(names[np.searchsorted(clusters, y_pred)], aligned)
    new = names[~np.isin(names, classes)]
    assert new.tolist() == [*range(classes[-1] + 1, classes[-1] + 1 + len(new))]
    assert len(new) == max(0, len(clusters) - len(classes))


def test_align_labels_pairs_what_shares_no_samples_in_sorted_order():
    # Classes 3 and 7 share samples only with cluster 0, which goes to class 5, and so
    # do clusters 8 and 9.
    y_true = [5, 5, 5, 5, 5, 5, 3, 7]
    y_pred = [0, 0, 0, 0, 9, 8, 0, 0]
    aligned = metrics.align_labels(y_true, y_pred)
    assert aligned.tolist() == [5, 5, 5, 5, 7, 3, 5, 5]


@pytest.mark.parametrize(
    ("n", "n_classes", "n_clusters"),
    [(6000, 6000, 6000), (6000, 6000, 2), (6000, 2, 6000), (60_000, 1000, 1000)],
)
def test_many_labels_need_little_memory_and_time(n, n_classes, n_clusters):
    rng = np.random.default_rng(0)
    y_true = rng.permutation(np.arange(n) % n_classes)
    y_pred = rng.permutation(np.arange(n) % n_clusters)

    def rand_index(y_true, y_pred):
        return metrics.ari_scorer(Predicts(y_pred), y_pred, y_true)

    for function in (*LABEL_FUNCTIONS, rand_index):
        tracemalloc.start()
        start = time.perf_counter()
        function(y_true, y_pred)
        seconds = time.perf_counter() - start
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 50e6
        # It takes a tenth of a second; a busy machine may take longer.
        assert seconds < 10


@pytest.mark.parametrize("y_true", [["a", "b"], [0.0, 1.0], [True, False]])
def test_align_labels_rejects_classes_that_are_not_integers(y_true):
    with pytest.raises(ValueError, match=r"^y_true must hold integers.*LabelEncoder"):
        metrics.align_labels(y_true, [0, 1])


@pytest.mark.parametrize("function", LABEL_FUNCTIONS)
def test_label_metrics_take_columns(function):
    y_true, y_pred = np.array([0, 0, 1]), np.array([1, 1, 0])
    actual = function(y_true[:, None], y_pred[:, None])
    np.testing.assert_array_equal(actual, function(y_true, y_pred))


@pytest.mark.parametrize("function", LABEL_FUNCTIONS)
@pytest.mark.parametrize("wrong", [[[0, 1], [1, 0]], 3])
def test_label_metrics_reject_what_is_not_one_dimensional(function, wrong):
    with pytest.raises(ValueError, match=r"^y_true must be 1-D.*got shape"):
        function(wrong, [0, 1])
    with pytest.raises(ValueError, match=r"^y_pred must be 1-D.*got shape"):
        function([0, 1], wrong)


@pytest.mark.parametrize("function", LABEL_FUNCTIONS)
@pytest.mark.parametrize(
    "wrong",
    [
        [0.0, np.nan, 1.0],
        [0.0, np.inf, 1.0],
        [0, None, 1],
        ["a", None, "b"],
        np.array([0, np.nan, 1], dtype=object),
        pd.Series([0, None, 1], dtype="Int64"),
        pd.Series([True, None, False], dtype="boolean"),
        pd.Series(["a", None, "b"], dtype="string"),
        pd.Series(["a", None, "b"], dtype="category"),
        pd.to_datetime(pd.Series(["2026-01-01", None, "2026-01-02"])),
        # NumPy would turn these into strings, and the missing label into "nan".
        ["a", float("nan"), "b"],
        ("a", np.float32("nan"), "b"),
        pd.Series(["a", None, "b"], dtype=object).tolist(),
        pd.Series(["a", "b", "c"]).where([True, False, True]).tolist(),
        [1, None, "a"],
        ["a", pd.NA, "b"],
        [1, pd.NA, 2],
        ["a", pd.NaT, "b"],
        ["a", float("inf"), "b"],
        [1, float("-inf"), 2**70],
        [["a"], [float("nan")], ["b"]],
        [Decimal(1), Decimal("NaN"), Decimal(2)],
        [0, np.ma.masked, 1],
        [torch.tensor(0.0), torch.tensor(float("nan")), torch.tensor(1.0)],
        *strings_with_missing(),
    ],
    ids=lambda value: str(getattr(value, "dtype", value)),
)
def test_label_metrics_reject_missing_labels(function, wrong):
    message = "has 1 labels that are missing or not finite, the first at index 1"
    with pytest.raises(ValueError, match=f"^y_true {message}"):
        function(wrong, [0, 1, 2])
    with pytest.raises(ValueError, match=f"^y_pred {message}"):
        function([0, 1, 2], wrong)
    with pytest.raises(ValueError, match=f"^labels {message}"):
        metrics.neighbor_modularity([[0.0], [1.0], [2.0]], wrong)


@pytest.mark.parametrize("scorer", CLASS_SCORERS)
@pytest.mark.parametrize("wrong", [["a", float("nan")], ["a", None], ["a", 1]])
def test_class_scorers_reject_what_their_metrics_reject(scorer, wrong):
    model, message = (
        Predicts([0, 1]),
        r"^{} (has 1 labels that are missing|must hold labels)",
    )
    with pytest.raises((TypeError, ValueError), match=message.format("y_true")):
        scorer(model, [0, 1], wrong)
    model.labels = wrong
    with pytest.raises((TypeError, ValueError), match=message.format("y_pred")):
        scorer(model, [0, 1], [0, 1])


@pytest.mark.parametrize("make", [list, tuple, np.array, pd.Series])
def test_a_label_may_be_called_nan(make):
    labels = make(["1", "nan", "None", "nan"])
    assert metrics.clustering_accuracy(labels, [0, 1, 2, 1]) == 1
    assert metrics.normalized_mutual_info(labels, [0, 1, 2, 1]) == pytest.approx(1)
    assert metrics.align_labels([5, 6, 7, 6], labels).tolist() == [5, 6, 7, 6]


@pytest.mark.parametrize("function", LABEL_FUNCTIONS)
@pytest.mark.parametrize(
    ("wrong", "kinds"),
    [
        (["a", 1, 2.5, ("x",)], "float, int, str, tuple"),
        # NumPy would call these equal.
        ([1, "1", 2, "2"], "int, str"),
        ([b"a", "a", "b", "c"], "bytes, str"),
        ([True, "True", 0, 1], "bool, int, str"),
        (np.array(["a", 1, "b", 2], dtype=object), "int, str"),
        (pd.Series(["a", 1, "b", 2], dtype="category"), "int, str"),
        ([["a"], ["b", "c"], ["a"], []], "list"),
        ([{1}, {2}, {1}, {3}], "set"),
        ([np.zeros(2), np.zeros(3), "a", 1], "int, ndarray, str"),
        ([np.zeros((2, 2)), np.zeros((2, 3)), "a", 1], "int, ndarray, str"),
        ([(1, "a"), ("b", 2), (1,), (2,)], "tuple"),
        ([object(), object(), object(), object()], "object"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_label_metrics_reject_what_cannot_be_sorted(function, wrong, kinds):
    message = (
        f"must hold labels that can be sorted, such as only numbers or only strings; "
        f"got labels of type {kinds}: convert them, for instance by "
    )
    with pytest.raises(TypeError, match=f"^y_true {message}"):
        function(wrong, [0, 1, 2, 3])
    with pytest.raises(TypeError, match=f"^y_pred {message}"):
        function([0, 1, 2, 3], wrong)
    with pytest.raises(TypeError, match=f"^labels {message}"):
        metrics.neighbor_modularity([[0.0], [1.0], [2.0], [3.0]], wrong)


@pytest.mark.parametrize(
    "labels",
    [
        [2**70, -1, 2**70, 2**70 + 1],
        # A float holds no more than 53 bits.
        [2**53, 2**53 + 1, 2**53, 0.5],
        [2**63 + 1, 2**63, 2**63 + 1, -1],
        [Fraction(1, 3), 1, Fraction(1, 3), 0.5],
        [1j, 2, 1j, 3.0],
        [True, 2, True, np.int8(0)],
        ["a", np.str_("b"), "a", "c"],
        [date(2026, 1, day) for day in (1, 2, 1, 3)],
        [np.datetime64(f"2026-01-0{day}") for day in (1, 2, 1, 3)],
        [pd.Timestamp(2026, 1, day) for day in (1, 2, 1, 3)],
        pd.Series([("a", 1), ("b", 1), ("a", 1), ("b", 2)]),
        [torch.tensor(value, requires_grad=True) for value in (3.0, 1.0, 3.0, 2.0)],
        np.array([(1, "a"), (1, "b"), (1, "a"), (2, "b")], dtype="i8,U1"),
    ],
    ids=str,
)
def test_label_metrics_tell_labels_apart(labels):
    expected = [0, 1, 0, 2]
    assert metrics.clustering_accuracy(labels, expected) == 1
    assert metrics.clustering_accuracy(expected, labels) == 1
    assert metrics.normalized_mutual_info(labels, expected) == pytest.approx(1)
    assert metrics.align_labels(expected, labels).tolist() == expected
    assert metrics.clustering_accuracy(labels, [0, 0, 0, 1]) == 0.75


def test_align_labels_takes_only_integers_that_numpy_has():
    with pytest.raises(ValueError, match=r"^y_true must hold integers; got dtype obj"):
        metrics.align_labels([2**70, 2**70 + 1], [0, 1])


@pytest.mark.parametrize("function", LABEL_FUNCTIONS)
def test_label_metrics_reject_masked_labels(function):
    wrong = np.ma.masked_equal([0, 1, 9], 9)
    with pytest.raises(ValueError, match=r"^y_true is a masked array with masked"):
        function(wrong, [0, 1, 2])
    with pytest.raises(ValueError, match=r"^labels is a masked array with masked"):
        metrics.neighbor_modularity([[0.0], [1.0], [2.0]], wrong)
    rows = np.ma.masked_equal([[0.0], [1.0], [9.0]], 9)
    with pytest.raises(ValueError, match=r"^embedding is a masked array with masked"):
        metrics.neighbor_modularity(rows, [0, 1, 2])


@pytest.mark.parametrize("dispatch", [False, True])
@pytest.mark.parametrize("function", LABEL_FUNCTIONS)
def test_metrics_take_tensors(function, dispatch, monkeypatch):
    y_true, y_pred = torch.tensor([0, 0, 1]), torch.tensor([1.0, 0, 0])
    expected = function(y_true.tolist(), y_pred.tolist())
    rows = torch.rand(9, 2).bfloat16().requires_grad_()
    modularity = metrics.neighbor_modularity(rows.tolist(), np.arange(9) // 3)
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")
    with config_context(array_api_dispatch=dispatch):
        np.testing.assert_array_equal(
            function(y_true, y_pred.requires_grad_()), expected
        )
        assert metrics.neighbor_modularity(rows, torch.arange(9) // 3) == modularity


@pytest.mark.parametrize("function", LABEL_FUNCTIONS)
@pytest.mark.parametrize("dtype", ["Int64", "UInt8", "int8"])
def test_label_metrics_take_integers_of_pandas(function, dtype):
    actual = function(pd.Series([3, 5, 5], dtype=dtype), [0, 1, 2])
    np.testing.assert_array_equal(actual, function([3, 5, 5], [0, 1, 2]))


def test_align_labels_rejects_classes_beyond_its_integers():
    largest = 2**63 - 1
    np.testing.assert_array_equal(
        metrics.align_labels([largest, 0], [7, 8]), [largest, 0]
    )
    for classes, clusters in ([largest, 0, 0], [7, 8, 9]), ([2**63, 0], [7, 8]):
        with pytest.raises(ValueError, match=r"^y_true .*too large for int64"):
            metrics.align_labels(np.array(classes, dtype=np.uint64), clusters)


@pytest.mark.parametrize("function", LABEL_FUNCTIONS)
def test_label_metrics_reject_different_lengths(function):
    with pytest.raises(ValueError, match=r"^y_true and y_pred .*'y_pred': 3"):
        function([0, 1], [0, 1, 1])


@pytest.mark.parametrize("function", LABEL_FUNCTIONS)
def test_label_metrics_reject_empty_labels(function):
    with pytest.raises(ValueError, match=r"^y_true and y_pred must hold at least"):
        function([], [])


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n_neighbors=st.integers(1, 30))
def test_neighbor_modularity_matches_reference(seed, n_neighbors):
    rng = np.random.default_rng(seed)
    n = rng.integers(2, 25)
    embedding, labels = rng.standard_normal((n, 3)), rng.integers(0, 4, size=n)
    expected = reference.neighbor_modularity(embedding, labels, n_neighbors)
    actual = metrics.neighbor_modularity(embedding, labels, n_neighbors=n_neighbors)
    assert type(actual) is float
    assert actual == pytest.approx(expected, abs=1e-12)
    order = rng.permutation(n)
    moved = metrics.neighbor_modularity(
        embedding[order], labels[order], n_neighbors=n_neighbors
    )
    assert moved == pytest.approx(actual, abs=1e-12)


def test_neighbor_modularity_ranks_the_right_clustering_first(blobs):
    X, y = blobs
    right = metrics.neighbor_modularity(X, y)
    assert right == pytest.approx(2 / 3, abs=0.01)
    assert right > metrics.neighbor_modularity(X, np.minimum(y, 1))
    assert right > metrics.neighbor_modularity(X, y + 3 * (X[:, 0] > X[:, 1]))


def test_neighbor_modularity_of_one_cluster_is_zero(blobs):
    assert metrics.neighbor_modularity(blobs[0], np.zeros(60)) == 0


@pytest.mark.parametrize(
    ("dtype", "constant"),
    [("float32", 1e8), ("float32", 1e38), ("float64", 1e12), ("float64", 1e300)],
)
def test_neighbor_modularity_ignores_a_constant_column(dtype, constant):
    rng = np.random.default_rng(0)
    X, labels = rng.normal(size=(60, 20)).astype(dtype), np.arange(60) % 3
    X[:, 0] = 0
    expected = metrics.neighbor_modularity(X, labels)
    X[:, 0] = constant
    assert metrics.neighbor_modularity(X, labels) == expected


def test_neighbor_modularity_caps_neighbors():
    X, labels = [[0.0], [1.0], [5.0]], ["a", "a", "b"]
    capped = metrics.neighbor_modularity(X, labels, n_neighbors=50)
    assert capped == metrics.neighbor_modularity(X, labels, n_neighbors=2)


def test_neighbor_modularity_takes_duplicates():
    # Distances are all 0, yet no sample may count as its own neighbor.
    score = metrics.neighbor_modularity(np.ones((20, 2)), np.arange(20), n_neighbors=3)
    assert -0.5 <= score < 0


@pytest.mark.parametrize("wrong", [0, -1, 2.5, None])
def test_neighbor_modularity_rejects_n_neighbors(wrong):
    with pytest.raises(ValueError, match=f"^n_neighbors must be .*got {wrong}"):
        metrics.neighbor_modularity([[0.0], [1.0]], [0, 1], n_neighbors=wrong)


@pytest.mark.parametrize("wrong", [[[0.0]], [[0.0], [np.nan]]])
def test_neighbor_modularity_rejects_embedding(wrong):
    with pytest.raises(ValueError, match=r"minimum of 2|embedding contains NaN"):
        metrics.neighbor_modularity(wrong, np.zeros(len(wrong)))


def test_neighbor_modularity_rejects_labels():
    with pytest.raises(ValueError, match=r"^labels must be 1-D.*got shape \(2, 2\)"):
        metrics.neighbor_modularity([[0.0], [1.0]], np.eye(2))
    with pytest.raises(ValueError, match=r"^embedding and labels .*'labels': 3"):
        metrics.neighbor_modularity([[0.0], [1.0]], [0, 1, 2])


def test_scorers_match_their_metrics(blobs, model):
    X, y = blobs[0], (blobs[1] + (np.arange(60) % 7 == 0)) % 3
    labels = model.predict(X)
    accuracy = metrics.clustering_accuracy(y, labels)
    assert accuracy < 1
    assert metrics.accuracy_scorer(model, X, y) == accuracy
    nmi = normalized_mutual_info_score(y, labels, average_method="max")
    assert metrics.nmi_scorer(model, X, y) == nmi
    assert metrics.ari_scorer(model, X, y) == adjusted_rand_score(y, labels)
    modularity = metrics.neighbor_modularity(model.transform(X), labels)
    assert metrics.modularity_scorer(model, X) == modularity
    assert metrics.modularity_scorer(model, X, y) == modularity


@pytest.mark.parametrize("scorer", CLASS_SCORERS)
def test_class_scorers_work_as_scoring(scorer, blobs):
    X, y = blobs
    model = KMeans(3, n_init=5, random_state=0)
    scores = cross_val_score(model, X, y, scoring=scorer, cv=2)
    np.testing.assert_allclose(scores, 1)


@pytest.mark.parametrize("scorer", CLASS_SCORERS)
def test_class_scorers_reject_missing_classes(scorer, blobs, model):
    with pytest.raises(ValueError, match=r"^y must .*modularity_scorer"):
        scorer(model, blobs[0], None)


def test_modularity_scorer_chooses_the_number_of_clusters(blobs):
    model = KMeans(n_init=5, random_state=0)
    grid = {"n_clusters": [2, 3, 6]}
    search = GridSearchCV(model, grid, scoring=metrics.modularity_scorer, cv=2)
    assert search.fit(blobs[0]).best_params_ == {"n_clusters": 3}
