"""The scaling benchmark: parts, exponents and table, on a few small images."""

import importlib
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY_GRAPH

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def scaling(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("scaling")


def make_record(scaling, n, power):
    return {
        "n": n,
        "data": "random images",
        "seconds": dict.fromkeys(scaling.PARTS, 0.001 * n**power),
        "peak_mb": 500 + n,
        "peak_above_data_mb": n,
        "machine": {"processor": "abacus"},
    }


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_measure_times_every_part_and_puts_the_package_back(scaling):
    from skdeepclust import _graph_stages

    before = _graph_stages.build_affinities
    X = np.random.default_rng(0).normal(size=(80, 6))
    parameters = {k: v for k, v in TINY_GRAPH.items() if k != "random_state"}
    found = scaling.measure(X, parameters)
    assert all(found["seconds"][part] > 0 for part in scaling.PARTS)
    assert found["peak_mb"] > found["peak_above_data_mb"] >= 0
    assert _graph_stages.build_affinities is before


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_exponents_are_those_of_a_power_law(scaling, power):
    records = [make_record(scaling, n, power) for n in (1000, 2000, 8000)]
    found = scaling.exponents(records)
    assert found["graph"] == pytest.approx(power)
    assert found["peak MB above data"] == pytest.approx(1)
    text = scaling.make_table(records)
    assert f'"exponent", "{power:.2f}"' in text
    assert "abacus" in text
    assert scaling.make_table([]) == ""


def test_draw_writes_a_picture(scaling, tmp_path):
    path = tmp_path / "scaling.png"
    scaling.draw([make_record(scaling, n, 1.0) for n in (1000, 2000)], path)
    assert path.read_bytes().startswith(b"\x89PNG")
