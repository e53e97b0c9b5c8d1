"""The benchmark of choices without labels, on small parts of the digits."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
# The package is measured by its own tests.
pytestmark = pytest.mark.no_cover
# What both estimators have.
TINY = {
    "hidden_layer_sizes": (8,),
    "encoder": "mlp",
    "pretrain_epochs": 1,
    "head_epochs": 2,
}
MORE = {
    "ours": {"center_epochs": 0, "contrastive_epochs": 2},
    "graph": {"joint_epochs": 2},
}


@pytest.fixture
def selection(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("selection")


@pytest.fixture
def load(selection):
    def load(name):
        return selection.load_dataset(name).part(np.arange(120))

    return load


def search_record(seed=0, configuration=None, **found):
    acc = found.pop("acc", 0.5)
    criteria = {"score": 0.1, "silhouette": 0.1, "stability": 0.1, **found}
    return {
        "dataset": "digits",
        "method": "ours",
        "configuration": configuration or {},
        "seed": seed,
        "acc": acc,
        "criteria": {"views": 0.1, "refits": 0.1, "loss": 0.1, **criteria},
        "seconds": 1.0,
        "n_clusters": 10,
        "parameters": {},
        "torch_threads": 1,
        "machine": {"processor": "abacus"},
        "versions": {"torch": "2"},
    }


@pytest.mark.filterwarnings("error::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("method", ["ours", "graph"])
def test_search_record_has_all_criteria(selection, load, method):
    point = {"method": method, "configuration": {"n_clusters": 0.3}}
    base = {**TINY, **MORE[method]}
    record = selection.make_record(load("digits"), point, 3, base)
    assert record["parameters"]["n_clusters"] == 3
    assert record["n_clusters"] == 10
    assert 0 < record["acc"] <= 1
    assert [*record["criteria"]] == [*selection.CRITERIA]
    assert np.isfinite([*record["criteria"].values()]).all()
    assert record == json.loads(json.dumps(record))
    assert selection.is_present(
        [record], {"dataset": "digits", **point, "seed": 3}, base
    )
    assert not selection.is_current(record)


def test_every_configuration_builds_its_estimator(selection):
    points = selection.points(selection.CONFIGURATIONS)
    for point in points:
        estimator = selection.build(point, 10, 0)
        assert isinstance(estimator, selection.METHODS[point["method"]].estimator_class)
    keys = [selection.key({"dataset": "digits", "seed": 0, **p}) for p in points]
    assert len(set(keys)) == len(keys)


def test_main_resumes_and_writes_tables(selection, load, tmp_path, monkeypatch, capsys):
    configurations = {"ours": selection.CONFIGURATIONS["ours"][:3]}
    monkeypatch.setattr(selection, "CONFIGURATIONS", configurations)
    monkeypatch.setenv("SKDEEPCLUST_DATA", str(tmp_path / "nothing"))
    results, table = tmp_path / "selection.json", tmp_path / "doc" / "selection.rst"
    command = ["--datasets", "coil20", "digits", "--methods", "ours"]
    paths = ["--results", str(results), "--table", str(table)]
    selection.main([*command, *paths], load=load, base={**TINY, **MORE["ours"]})
    assert "coil20: skipped" in capsys.readouterr().out
    written = results.stat().st_mtime_ns
    selection.main([*command, *paths], load=load, base={**TINY, **MORE["ours"]})
    assert results.stat().st_mtime_ns == written
    records = selection.read_records(results)
    assert [r["configuration"] for r in records] == configurations["ours"]
    text = table.read_text()
    assert '"digits", "self-paced", "any", "3", ' in text
    capsys.readouterr()
    selection.main(["--table-only", *paths])
    assert capsys.readouterr().out.count("with parameters of an older version") == 3


def test_tables_give_correlations_and_choices(selection):
    temperatures = [{}, {"temperature": 0.1}, {"temperature": 1.0}, {"n_clusters": 0.7}]
    accs = [0.7, 0.5, 0.9, 0.3]
    records = [
        search_record(seed, configuration, acc=acc, score=acc, silhouette=-acc)
        for seed in (0, 1)
        for configuration, acc in zip(temperatures, accs, strict=True)
    ]
    text = selection.make_tables(records)
    assert '"any", "4", "1.00", "-1.00", "-", "-", "-", "-"' in text
    assert '"the true", "3", "1.00", "-1.00", "-", "-", "-", "-"' in text
    # The default, then by score and by silhouette; the best comes last.
    assert '"self-paced", "0.700", "0.900", "0.300", ' in text
    assert '"0.900"\n' in text
    assert selection.make_tables([]) == ""


def test_machines_have_no_letters_in_tables_without_seconds(selection):
    records = [search_record(seed) for seed in range(3)]
    records[0] = {**records[0], "machine": {"processor": "slide rule"}}
    text = selection.make_tables(records)
    assert "* abacus, 1 thread; torch 2 (2 fits)\n" in text
    assert "* slide rule, 1 thread; torch 2 (1 fits)\n" in text
