"""The scaling benchmark: its records, table and picture, on small data."""

import importlib
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY, TINY_GRAPH

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
# The package is measured by its own tests.
pytestmark = pytest.mark.no_cover


@pytest.fixture
def scaling(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("scaling")


def make_record(scaling, n, power, estimator="graph"):
    return {
        "n": n,
        "estimator": estimator,
        "data": "random images",
        "seconds": dict.fromkeys(scaling.PARTS[estimator], 0.001 * n**power),
        "peak_mb": 500 + n,
        "peak_above_data_mb": n,
        "machine": {"processor": "abacus"},
    }


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    ("estimator", "tiny"), [("graph", TINY_GRAPH), ("self-paced", TINY)]
)
def test_measure_times_every_part_and_puts_the_package_back(scaling, estimator, tiny):
    from skdeepclust import _graph_clusters

    before = _graph_clusters.build_affinities
    X = np.random.default_rng(0).normal(size=(80, 6))
    parameters = {k: v for k, v in tiny.items() if k != "random_state"}
    found = scaling.measure(X, estimator, parameters)
    assert all(found["seconds"][part] > 0 for part in scaling.PARTS[estimator])
    assert found["peak_mb"] > found["peak_above_data_mb"] >= 0
    assert _graph_clusters.build_affinities is before


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_exponents_are_those_of_a_power_law(scaling, power):
    records = [make_record(scaling, n, power) for n in (1000, 2000, 8000)]
    found = scaling.exponents(records)
    assert found["graph"] == pytest.approx(power)
    assert found["peak MB above data"] == pytest.approx(1)
    text = scaling.make_tables(records)
    assert f'"exponent", "{power:.2f}"' in text
    assert "abacus" in text
    assert scaling.make_tables([]) == ""


def test_draw_writes_a_picture(scaling, tmp_path):
    path = tmp_path / "scaling.png"
    sizes = [(n, estimator) for estimator in scaling.PARTS for n in (1000, 2000)]
    scaling.draw([make_record(scaling, n, 1.0, e) for n, e in sizes], path)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_sizes_that_are_there_are_not_run_again(scaling, tmp_path, monkeypatch):
    started = []

    def run(command, **kwargs):
        n = int(command[-1])
        started.append(n)
        printed = "a line of something else\n" + json.dumps(make_record(scaling, n, 1))
        return subprocess.CompletedProcess(command, 0, stdout=printed)

    monkeypatch.setattr(scaling.subprocess, "run", run)
    results, table = tmp_path / "scaling.json", tmp_path / "doc" / "scaling.rst"
    paths = ["--results", str(results), "--table", str(table)]
    paths += ["--estimators", "graph"]
    scaling.main(["--sizes", "120", "60", *paths])
    assert [r["n"] for r in json.loads(results.read_text())] == [60, 120]
    assert '"120", "0.1"' in table.read_text()
    assert table.with_suffix(".png").is_file()
    scaling.main(["--sizes", "60", "120", "240", *paths])
    assert started == [120, 60, 240]
    scaling.main(["--sizes", "480", "--table-only", *paths])
    scaling.main(["--sizes", "60", "--force", *paths])
    assert started == [120, 60, 240, 60]
