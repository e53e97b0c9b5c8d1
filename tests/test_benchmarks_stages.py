"""The benchmarks of what each stage is worth, and of the number of clusters."""

import importlib
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
# The package is measured by its own tests.
pytestmark = pytest.mark.no_cover
TINY = {"encoder": "mlp", "hidden_layer_sizes": (8,), "pretrain_epochs": 1}
TINY |= {"head_epochs": 1}
LITTLE = {
    "ours": {
        **{"center_epochs": 2},
        **{"contrastive_epochs": 2},
    },
    "graph": {"joint_epochs": 2},
}
callbacks = pytest.mark.skipif(
    importlib.util.find_spec("sklearn.callback") is None,
    reason="callbacks came with scikit-learn 1.9",
)


@pytest.fixture
def stages(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    module = importlib.import_module("stages")
    build = module.METHODS["ours"].__class__.estimator

    def little(method, n_clusters, seed, overrides=None):
        name = "graph" if method.label == "graph" else "ours"
        tiny = {**TINY, **LITTLE[name], **(overrides or {})}
        return build(method, n_clusters, seed, tiny)

    monkeypatch.setattr(module.METHODS["ours"].__class__, "estimator", little)
    return module


@pytest.fixture
def counts(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("counts")


@callbacks
def test_stages_are_looked_at_in_turn(stages, tmp_path):
    data = stages.load_dataset("digits").part(np.arange(200))
    paths = ["--results", str(tmp_path / "stages.json")]
    paths += ["--table", str(tmp_path / "stages.rst")]
    command = ["--datasets", "digits", "--seeds", "0", *paths]
    stages.main(command, load=lambda name: data)
    records = stages.read_records(tmp_path / "stages.json")
    for method, names in stages.ROWS.items():
        own = [record for record in records if record["method"] == method]
        assert {record["after"] for record in own} == {*names}
        assert all(record["n_clusters_found"] <= 10 for record in own)
        by_stage = {record["after"]: record["seconds"] for record in own}
        ordered = [by_stage[name] for name in names if name.startswith("+")]
        assert ordered == sorted(ordered)
    assert records == json.loads(json.dumps(records))
    written = (tmp_path / "stages.json").stat().st_mtime_ns
    stages.main(command, load=lambda name: data)
    assert (tmp_path / "stages.json").stat().st_mtime_ns == written
    assert '"digits", "+ refinement", "1", ' in (tmp_path / "stages.rst").read_text()


@callbacks
def test_last_labels_are_those_of_the_fit(stages):
    data = stages.load_dataset("digits").part(np.arange(200))
    seen = stages.look(data, "graph", 0, {})
    fitted = stages.METHODS["graph"].estimator(10, 0).fit(data.X)
    np.testing.assert_array_equal(seen["final_head"][0], fitted.labels_)
    assert not np.array_equal(seen["head"][0], seen["joint"][0])


def test_counts_of_every_method(counts, tmp_path, monkeypatch):
    monkeypatch.setattr(counts, "MAX_CLUSTERS", 5)
    rng = np.random.default_rng(0)
    rows = np.repeat(np.eye(3) * 9, 40, axis=0) + rng.normal(size=(120, 3))
    data = counts.Dataset("moons", rows, np.repeat([0, 1, 2], 40))
    paths = ["--results", str(tmp_path / "counts.json")]
    paths += ["--table", str(tmp_path / "counts.rst")]
    command = ["--datasets", "moons", "--seeds", "0", *paths]
    counts.main(command, load=lambda name: data)
    records = counts.read_records(tmp_path / "counts.json")
    found = {record["method"]: record["found"] for record in records}
    assert found["separation"] == found["modularity"] == found["silhouette"] == 3
    assert found["BIC"] >= 3
    text = (tmp_path / "counts.rst").read_text()
    assert '"moons", "3", "3", "3"' in text
    # A fifth off is near enough, and none finds fewer than one.
    assert '"toys: within a fifth", "1 of 1", ' in text
    assert counts.make_tables([]) == ""


def test_toys_of_the_counts_are_what_they_are_called(counts):
    for name in counts.TOYS:
        data = counts.load_rows(name)
        assert len(data.X) == len(data.y) <= 2_000
        assert counts.make_record(data, "HDBSCAN", 0)["n_clusters"] == len({*data.y})
