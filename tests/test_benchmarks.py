"""The quality benchmark: its records and its tables, on a small part of the digits."""

import importlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
# The package is measured by its own tests.
pytestmark = pytest.mark.no_cover
TINY = {
    "hidden_layer_sizes": (8,),
    "encoder": "mlp",
    "pretrain_epochs": 1,
    "center_epochs": 2,
    "head_epochs": 2,
    "contrastive_epochs": 2,
}


@pytest.fixture
def quality(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("quality")


@pytest.fixture
def digits(quality):
    return quality.load_dataset("digits").part(np.arange(200))


@pytest.mark.parametrize("method", ["simclr", "ours", "ours_held_out"])
def test_run_record_has_all_fields(quality, digits, method):
    record = quality.run_record(digits, method, 3, TINY)
    assert (record["dataset"], record["method"], record["seed"]) == (
        "digits",
        method,
        3,
    )
    for name in ("acc", "nmi", "ari"):
        assert -1 <= record[name] <= 1
    assert record["seconds"] > 0
    assert record["n_samples"] == 200
    assert record["versions"]["torch"]
    assert ("acc_held_out" in record) == (method == "ours_held_out")
    assert record == json.loads(json.dumps(record))


def test_every_method_builds_its_estimator(quality):
    for method in quality.METHODS.values():
        estimator = method.estimator(10, 0)
        assert (estimator is None) == (method.parameters is None)


def test_records_are_resumed_until_parameters_change(quality, digits, tmp_path):
    path = tmp_path / "quality.json"
    record = quality.run_record(digits, "kmeans", 0)
    quality.add_record(path, record)
    quality.add_record(path, {**record, "seed": 1})
    quality.add_record(path, {**record, "acc": 0.5})
    records = quality.read_records(path)
    assert [(r["seed"], r["acc"]) for r in records] == [(0, 0.5), (1, record["acc"])]
    assert quality.is_present(records, ("digits", "kmeans", 1))
    assert not quality.is_present(records, ("digits", "kmeans", 2))
    changed = {**record, "parameters": {"batch_size": 1}}
    assert not quality.is_present([changed], ("digits", "kmeans", 0))
    quality.add_record(path, changed)
    assert quality.read_records(path) == [changed]
    # A parameter that has come since leaves older seeds in the table.
    newer = {**changed, "seed": 1, "parameters": {"batch_size": 1, "tol": 0.1}}
    quality.add_record(path, newer)
    assert quality.read_records(path) == [changed, newer]
    agree = importlib.import_module("records").agree
    assert not agree({"batch_size": 1}, {"batch_size": 2, "tol": 0.1})


def test_main_runs_and_writes_tables(quality, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("SKDEEPCLUST_DATA", str(tmp_path / "nothing"))
    results, table = tmp_path / "quality.json", tmp_path / "doc" / "quality.rst"
    command = ["--datasets", "digits", "coil20", "--methods", "kmeans", "--seeds", "0"]
    paths = ["--results", str(results), "--output", str(table)]
    quality.main([*command, *paths])
    assert "coil20: skipped" in capsys.readouterr().out
    written = results.stat().st_mtime_ns
    quality.main([*command, *paths])
    assert results.stat().st_mtime_ns == written
    assert table.read_text().count('"k-means", "1", ') == 1


def test_every_fit_has_the_threads_asked_for(quality, tmp_path, monkeypatch):
    before, seen, run = torch.get_num_threads(), [], quality.run_record

    def meddling(*arguments):
        seen.append(torch.get_num_threads())
        torch.set_num_threads(2)
        return run(*arguments)

    monkeypatch.setattr(quality, "run_record", meddling)
    command = ["--datasets", "digits", "--methods", "kmeans", "--seeds", "0", "1"]
    command += ["--results", str(tmp_path / "quality.json")]
    try:
        quality.main([*command, "--output", str(tmp_path / "quality.rst")])
    finally:
        torch.set_num_threads(before)
    assert seen == [1, 1]


def test_tables_give_spread_worst_and_median(quality, digits):
    base = quality.run_record(digits, "kmeans", 0)
    rows = [(0.5, 1.0), (0.7, 9.0), (0.9, 2.0)]
    records = [
        {
            **base,
            "method": method,
            "seed": seed,
            "acc": acc,
            "seconds": seconds,
            "acc_held_out": acc - 0.1,
        }
        for method in ("ours", "center_only", "ours_held_out")
        for seed, (acc, seconds) in enumerate(rows)
    ]
    text = quality.make_tables(records)
    assert '"self-paced", "3", "0.700 ± 0.200", "0.500", ' in text
    assert text.count('"2.0"') == 3
    assert '"digits", "centre loss alone", "3", ' in text
    held_out = '"digits", "self-paced", "3", "0.700 ± 0.200", "0.600 ± 0.200", "0.400"'
    assert held_out in text
    assert quality.make_tables([]) == ""


def test_tables_of_the_thesis_stand_beside_ours(quality, digits, tmp_path, capsys):
    record = {**quality.run_record(digits, "kmeans", 0), "dataset": "mnist_10k"}
    record |= {"acc": 0.5, "nmi": 0.25, "ari": 0.125, "seconds": 7.0}
    path = tmp_path / "quality.json"
    quality.add_record(path, record)
    paths = ["--results", str(path), "--output", str(tmp_path / "quality.rst")]
    quality.main(["--table", "3.2", "--table-only", *paths])
    printed = capsys.readouterr().out
    row = '"k-means", "0.500", "0.572", "", "0.250", "0.500", "0.125", "1", "7.0"'
    assert row in printed
    # What has no record says why.
    assert '"DEC", "0.772", "0.843", "", "not run, for want of time", ' in printed
    assert '"VaDE", "", "", "", "not run, for want of time", ' in printed
    assert '"VaDE", "", "", "", "needs values from 0 to 1", ' in printed
    assert '"DRC", "0.644", "0.747", "0.569", "not measured", ' in printed
    assert "algorithm 3.3: CIFAR-10 (cifar10_10k)" in printed
    assert "Table 4.5" not in printed
    assert "Table 4.5" in (tmp_path / "thesis.rst").read_text()


def test_methods_say_why_they_are_not_run(quality, digits):
    vade = quality.METHODS["vade"]
    assert "installed" in quality.why_not(digits, replace(vade, package="no_such"))
    assert not quality.why_not(digits, replace(vade, package=None))
    wide = replace(digits, X=2 * digits.X)
    assert "0 to 1" in quality.why_not(wide, replace(vade, package=None))
    assert "more than" in quality.why_not(digits, replace(vade, limit=10))
    assert "fewer" in quality.why_not(digits, quality.METHODS["ours_held_out"])
    assert "one size" in quality.why_not(digits, quality.METHODS["ours_level"])


def test_uneven_data_have_classes_of_all_sizes(quality):
    sizes = np.sort(np.bincount(quality.load_dataset("digits_uneven").y))
    assert sizes[0] < 20 < 180 < sizes[-1]
    assert (sizes[1:] / sizes[:-1] < 1.6).all()
    again = quality.load_dataset("digits_uneven").y
    np.testing.assert_array_equal(np.sort(np.bincount(again)), sizes)
    assert not quality.why_not(
        quality.load_dataset("digits_uneven"), quality.METHODS["graph_level"]
    )
