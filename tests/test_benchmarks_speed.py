"""The speed benchmark: checks before timing, records and the table, on small sizes."""

import csv
import importlib
import json
import subprocess
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
# The package is measured by its own tests.
pytestmark = pytest.mark.no_cover
NARROW = (8, 8, 16)
SMALL = {"R1": 768, "R2": 768, "R3": 768, "R4": 64, "R5": 300, "R6": 300}
BATCH = 64  # 128 samples are two steps
IDLE = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture
def speed(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    speed = importlib.import_module("speed")
    monkeypatch.setattr(speed, "SHORTEST", 0.0)
    monkeypatch.setattr(speed.networks, "LAYERS", NARROW)
    monkeypatch.setattr(speed.networks, "BATCH", BATCH)
    parameters = {"hidden_layer_sizes": NARROW, "batch_size": BATCH}
    for name, value in parameters.items():
        monkeypatch.setitem(speed.networks.ONLY_PRETRAINING, name, value)
    return speed


def missing(module):
    return f"{module} is not installed"


def cells(line):
    return next(csv.reader([line.strip()], skipinitialspace=True))


@IDLE
@pytest.mark.parametrize("case", ["R1", "R2", "R3", "R4", "R5", "R6", "R7", "R8", "R9"])
def test_every_case_is_right_and_gives_a_record_per_peer(speed, case):
    for build, _, _ in speed.CASES[case]:
        comparison = build(SMALL.get(case, 128))
        seconds = speed.measure(comparison, 2)
        records = speed.records_of(case, 128, comparison, seconds)
        assert records == json.loads(json.dumps(records))
        assert [r["peer"] for r in records] == [p.name for p in comparison.peers]
        for record in records:
            assert len(record["seconds"]) == 2
            assert min(record["seconds"]) > 0
            assert len(record["peer_seconds"]) == (0 if record["missing"] else 2)


@pytest.mark.parametrize(
    ("module", "name", "case"),
    [
        ("losses", "pair_contrastive", "R1"),
        ("losses", "neighbor_contrastive", "R3"),
        ("losses", "student_t_assignment", "R4"),
        ("graph", "nearest_neighbors", "R5"),
        ("graph", "self_expression_neighbors", "R6"),
    ],
)
def test_what_is_wrong_is_not_timed(speed, monkeypatch, tmp_path, module, name, case):
    place = getattr(speed.cases, module)
    right = getattr(place, name)

    def wrong(*args, **kwargs):
        result = right(*args, **kwargs)
        # Values a little too large, or neighbours of the sample before.
        return 1.001 * result if module == "losses" else (result[0].roll(1, 0),)

    def seconds_of(*args):
        pytest.fail("timed before it was checked")

    monkeypatch.setattr(place, name, wrong)
    monkeypatch.setattr(speed, "seconds_of", seconds_of)
    results = tmp_path / "speed.json"
    with pytest.raises(ValueError, match=r"is off by .* nothing is timed"):
        speed.main(["--quick", "--cases", case, "--results", str(results)])
    assert not results.exists()


def test_a_wrong_gradient_is_refused(speed, monkeypatch):
    right = speed.cases.losses.pair_contrastive

    def wrong(z, *args, **kwargs):
        # The same value, another slope.
        return right(z, *args, **kwargs) + 1e-3 * (z - z.detach()).sum()

    monkeypatch.setattr(speed.cases.losses, "pair_contrastive", wrong)
    with pytest.raises(ValueError, match="Result 1 is off"):
        speed.measure(speed.cases.pairs_of_factor(768), 1)


@IDLE
def test_missing_peers_are_rows_with_the_reason(speed, monkeypatch):
    monkeypatch.setattr(speed.networks, "why_missing", missing)
    monkeypatch.setattr(speed.cases, "why_missing", missing)
    records = []
    for case, build, n in (
        ("R2", speed.cases.pairs_of_labels, 768),
        ("R5", speed.CASES["R5"][0][0], 300),
        ("R8", speed.networks.whole_fit, 128),
    ):
        comparison = build(n)
        seconds = speed.measure(comparison, 2)
        records += speed.records_of(case, n, comparison, seconds)
    text = speed.make_table(records)
    rows = [cells(line) for line in text.splitlines() if line.startswith('   "R')]
    assert [len(row) for row in rows] == [8] * 5
    without = [row for row in rows if "is not installed" in row[3]]
    assert [row[3].partition(":")[0] for row in without] == [
        "SupCon",
        "faiss",
        "DEC",
        "IDEC",
    ]
    for row in without:
        assert row[4]
        assert row[5:7] == ["", ""]


def test_main_writes_records_in_the_place_of_older_ones(
    speed, tmp_path, monkeypatch, capsys
):
    results, table = tmp_path / "speed.json", tmp_path / "doc" / "speed.rst"
    paths = ["--results", str(results), "--table", str(table)]
    command = ["--quick", "--cases", "R4", "--repetitions", "2"]
    speed.main([*command, *paths])
    printed = capsys.readouterr().out
    assert "1 thread; python" in printed.splitlines()[0]
    speed.main([*command, *paths])
    records = json.loads(results.read_text())
    assert [record["task"] for record in records] == [
        "student_t_assignment",
        "gaussian_assignment",
    ]
    text = table.read_text()
    assert text.count('"cdist, normalised"') == 2
    table.unlink()
    monkeypatch.setattr(speed, "run_all", None)
    speed.main(["--table-only", *paths])
    assert table.read_text() == text


def test_quick_writes_nothing_unless_told_where(speed, tmp_path, monkeypatch):
    monkeypatch.setattr(speed, "RESULTS", tmp_path / "speed.json")
    monkeypatch.setattr(speed, "TABLE", tmp_path / "speed.rst")
    speed.main(["--quick", "--cases", "R4", "--repetitions", "1"])
    assert not [*tmp_path.iterdir()]


def test_table_gives_the_median_ratio_of_turns(speed):
    record = {
        "case": "R1",
        "task": "pair_contrastive",
        "n": 4096,
        "peer": "bare products",
        "missing": "",
        "at_most": 3.0,
        # The second turn was slow for both.
        "seconds": [1.0, 30.0, 2.0],
        "peer_seconds": [1.0, 20.0, 1.0],
        **speed.setting(),
    }
    found = speed.row(record)
    assert found[2:4] == ("4,096", "bare products")
    assert found[6:] == ("1.5 (1.25-1.75)", "3")
    assert speed.make_table([]) == ""


def test_memory_is_measured_in_a_fresh_process(speed, monkeypatch):
    def run(command, **kwargs):
        assert command[-2:] == ["--memory", "1024"]
        return subprocess.CompletedProcess(command, 0, stdout="a line\n12.4\n")

    monkeypatch.setattr(speed.subprocess, "run", run)
    record = speed.memory_record("R2", 1024)
    assert speed.row(record)[4:] == ("", "", "12 MB", "100 MB")


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="needs /proc")
def test_memory_option_prints_a_number(speed, capsys):
    speed.main(["--memory", "768"])
    assert float(capsys.readouterr().out) >= 0
