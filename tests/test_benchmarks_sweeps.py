"""The sweeps over one parameter: their records, tables and pictures."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY_GRAPH

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
# The package is measured by its own tests.
pytestmark = pytest.mark.no_cover


@pytest.fixture
def sweeps(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("sweeps")


def make_sweep_record(overrides, seed, acc):
    return {
        "dataset": "digits",
        "method": "graph",
        "seed": seed,
        "overrides": overrides,
        "acc": acc,
        "nmi": acc - 0.1,
        "ari": acc,
        "seconds": 1.0,
        "n_clusters": 10,
        "parameters": {},
        "torch_threads": 1,
        "machine": {"processor": "abacus"},
        "versions": {"torch": "0"},
    }


def test_points_have_the_defaults_once(sweeps):
    found = sweeps.points("graph")
    assert found.count({}) == 1
    assert len(found) == 8
    assert len(sweeps.points("graph", ["n_neighbors"])) == 4
    # Four of its values are the defaults.
    assert len(sweeps.points("ours")) == 15 - 4 + 1
    assert {"n_neighbors": 20} in found
    assert {"instance_temperature": 0.1} in found


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_sweep_runs_each_point_once_and_resumes(sweeps, tmp_path, monkeypatch):
    base = {k: v for k, v in TINY_GRAPH.items() if k != "random_state"}
    base.update(encoder="mlp", pretrain_epochs=2, head_epochs=2)
    swept = {"n_neighbors": [5, 10], "cluster_temperature": [0.5, 1.0]}
    monkeypatch.setattr(sweeps, "SWEEPS", {"graph": swept})
    results, table = tmp_path / "sweeps.json", tmp_path / "doc" / "sweeps.rst"
    command = [
        "--methods",
        "graph",
        "--seeds",
        "0",
        "--results",
        str(results),
        "--table",
        str(table),
    ]

    def load(name):
        return sweeps.load_dataset(name).part(np.arange(120))

    sweeps.main(command, load=load, base=base)
    records = json.loads(results.read_text())
    assert sorted(str(r["overrides"]) for r in records) == [
        "{'cluster_temperature': 0.5}",
        "{'n_neighbors': 10}",
        "{}",
    ]
    for record in records:
        expected = {"n_neighbors": 5, "cluster_temperature": 1.0}
        expected.update(record["overrides"])
        assert expected.items() <= record["parameters"].items()
    for parameter in swept:
        picture = table.with_name(f"sweep_{parameter}.png")
        assert picture.read_bytes().startswith(b"\x89PNG")
        assert f"/_generated/{picture.name}" in table.read_text()
    written = results.stat().st_mtime_ns
    sweeps.main(command, load=load, base=base)
    assert results.stat().st_mtime_ns == written
    # With other defaults, none of them is current.
    wanted = ("digits", "graph", (), 0)
    assert sweeps.is_present(records, wanted, base)
    assert not sweeps.is_present(records, wanted, {**base, "joint_epochs": 3})


def test_sweep_record_supersedes_those_of_other_parameters(sweeps, tmp_path):
    path = tmp_path / "sweeps.json"
    for seed in (0, 1):
        sweeps.add_record(path, make_sweep_record({}, seed, 0.5))
    sweeps.add_record(path, make_sweep_record({"n_neighbors": 10}, 0, 0.6))
    changed = {**make_sweep_record({}, 0, 0.7), "parameters": {"batch_size": 1}}
    sweeps.add_record(path, changed)
    assert [r["acc"] for r in sweeps.read_records(path)] == [0.7, 0.6]


def test_sweep_table_gives_spread_and_marks_the_default(sweeps):
    records = [
        make_sweep_record(overrides, seed, acc)
        for overrides, level in (({}, 0.5), ({"n_neighbors": 10}, 0.6))
        for seed, acc in enumerate((level, level + 0.2))
    ]
    text = sweeps.make_tables(records)
    assert '"``n_neighbors``", "10", "2", "0.700 ± 0.141", "0.600"' in text
    assert text.count(' \\*", "2", "0.600 ± 0.141", "0.500"') == 3
    assert sweeps.make_tables([]) == ""


def test_seconds_of_several_machines_have_letters(sweeps):
    records = [make_sweep_record({}, seed, 0.5) for seed in range(3)]
    assert '"1.0"' in sweeps.make_tables(records)
    records[0] = {**records[0], "machine": {"processor": "slide rule"}}
    text = sweeps.make_tables(records)
    assert "* a: abacus, 1 thread; torch 0 (2 fits)" in text
    assert "* b: slide rule, 1 thread; torch 0 (1 fits)" in text
    assert '"1.0 ab"' in text
