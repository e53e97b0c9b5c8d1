"""Tables come from records, and records of the defaults are those of the defaults."""

import json
from pathlib import Path

import pytest

from benchmarks.__main__ import COMMANDS, WITHOUT_TABLE, command
from benchmarks.common import tables
from benchmarks.common.methods import METHODS
from benchmarks.common.records import GENERATED, RESULTS, Command, is_current
from benchmarks.quality import counts, parameters, thesis
from benchmarks.scale import growth
from benchmarks.speed import ratios

# Made with older defaults, which doc/benchmarks.rst says.
OLDER = ("fashion",)


@pytest.mark.parametrize("name", [n for n in COMMANDS if n not in WITHOUT_TABLE])
def test_every_table_is_that_of_its_records(name, tmp_path, capsys):
    command(name)(["--table-only", "--table", str(tmp_path / f"{name}.rst")])
    written = [*tmp_path.glob("*.rst")]
    assert len(written) == (2 if name == "quality" else 1)
    for path in written:
        assert path.read_text() == (GENERATED / path.name).read_text()


def test_readme_has_the_numbers_of_the_records(tmp_path):
    command("readme")([str(tmp_path / "README.rst")])
    readme = (GENERATED.parents[1] / "README.rst").read_text()
    assert (tmp_path / "README.rst").read_text() == readme


def test_records_of_the_defaults_are_current():
    # Ablations and stages are older, too.
    records = json.loads((RESULTS / "quality.json").read_text())
    for record in records:
        if record["method"] in ("ours", "graph"):
            assert is_current(record) == (record["dataset"] not in OLDER)
    assert all(map(is_current, json.loads((RESULTS / "peers.json").read_text())))


def fit(method, seed, acc=0.5, **more):
    return {
        "dataset": "digits",
        "method": method,
        "seed": seed,
        "acc": acc,
        "nmi": 0.25,
        "ari": 0.125,
        "seconds": 1.0,
        "n_samples": 1797,
        "shape": [8, 8],
        "n_clusters": 10,
        "parameters": {},
        "torch_threads": 1,
        "machine": {"processor": "abacus"},
        "versions": {"torch": "2"},
        **more,
    }


def test_records_supersede_those_that_are_older(tmp_path):
    class Options:
        results = tmp_path / "records.json"

    def put(record):
        quality.put(Options, [record])
        return [(r["seed"], r["acc"]) for r in json.loads(Options.results.read_text())]

    quality = Command("quality", "", ("dataset", "method", "seed"), list)
    put(fit("kmeans", 0))
    put(fit("kmeans", 1))
    assert put(fit("kmeans", 0, 0.7)) == [(1, 0.5), (0, 0.7)]
    assert put(fit("ours", 0, parameters={"tol": 1}))[-1] == (0, 0.5)
    # Another seed with parameters of today: the older must not enter its mean.
    assert put(fit("ours", 1, 0.9))[-2:] == [(0, 0.7), (1, 0.9)]
    selection = Command("", "", ("dataset", "method", "overrides", "seed"), list)
    Options.results = tmp_path / "others.json"
    for overrides in ({"no_more": 1}, {"batch_size": 1}, {"batch_size": 2}):
        selection.put(Options, [fit("ours", 0, overrides=overrides)])
    left = [r["overrides"] for r in json.loads(Options.results.read_text())]
    assert left == [{"batch_size": 1}, {"batch_size": 2}]


def test_parameters_that_came_since_leave_a_record_current():
    today = METHODS["ours"].estimator(10, 0).get_params(deep=False)
    known = {"batch_size": today["batch_size"]}
    assert is_current(fit("ours", 0, parameters=known))
    assert not is_current(fit("ours", 0, parameters={"batch_size": 1}))
    assert not is_current(fit("ours", 0, parameters={**known, "tol": 0.1}))
    assert not is_current(fit("ours", 0, overrides={"tol": 0.1}, parameters=known))


def test_cells_give_spread_worst_and_median():
    runs = [fit("ours", seed, acc) for seed, acc in enumerate((0.5, 0.7, 0.9))]
    found = tables.cells(runs, tables.letters(runs))
    assert found[:3] == ("3", "0.700 ± 0.200", "0.500")
    assert found[5:] == ("1.0", "")
    runs[0]["machine"] = {"processor": "slide rule"}
    assert tables.cells(runs, tables.letters(runs))[5] == "1.0 ab"
    text = tables.setting(runs)
    assert "* a: abacus, 1 thread; torch 2 (2 fits)" in text
    assert "* b: slide rule, 1 thread; torch 2 (1 fits)" in text
    # Where no seconds are in the table, letters have no place.
    assert "* abacus, 1 thread; torch 2 (2 fits)" in tables.setting(runs, seconds=False)


def test_tables_of_the_thesis_say_why_a_row_is_empty():
    text = "\n".join(thesis.make_tables([fit("kmeans", 0, dataset="mnist_10k")]))
    row = '"k-means", "0.500", "0.572", "", "0.250", "0.500", "0.125", "1", "1.0"'
    assert row in text
    assert '"DEC", "0.772", "0.843", "", "not run, for want of time", ' in text
    assert '"VaDE", "", "", "", "needs values from 0 to 1", ' in text
    assert '"DRC", "0.644", "0.747", "0.569", "not measured", ' in text


def test_sweeps_have_the_defaults_once_and_mark_them():
    found = parameters.sweep_points(["graph"])
    assert len(found) == 8
    assert found.count({"method": "graph", "overrides": {}}) == 1
    records = [
        fit("graph", seed, acc, overrides=overrides)
        for seed in range(2)
        for acc, overrides in ((0.5 + seed / 5, {}), (0.6, {"n_neighbors": 10}))
    ]
    text = "\n".join(parameters.make_sweep_tables(records))
    assert '"``n_neighbors``", "10", "2", "0.600 ± 0.000"' in text
    assert text.count(' \\*", "2", "0.600 ± 0.141", "0.500"') == 3


def test_selection_gives_correlations_and_choices():
    configurations = [{}, {"temperature": 0.1}, {"temperature": 1.0}]
    configurations.append({"n_clusters": 0.7})
    same = dict.fromkeys(parameters.CRITERIA, 0.1)
    records = [
        fit(
            "ours",
            seed,
            acc,
            overrides=overrides,
            criteria={**same, "score": acc, "silhouette": -acc},
        )
        for seed in (0, 1)
        for overrides, acc in zip(configurations, (0.7, 0.5, 0.9, 0.3), strict=True)
    ]
    text = "\n".join(parameters.make_selection_tables(records))
    assert '"any", "4", "1.00", "-1.00", "-", "-", "-", "-"' in text
    assert '"the true", "3", "1.00", "-1.00", "-", "-", "-", "-"' in text
    # The default, then by score and by silhouette; the best comes last.
    assert '"self-paced", "0.700", "0.900", "0.300", ' in text
    assert '"0.900"\n' in text


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_exponents_are_those_of_a_power_law(power):
    records = [
        {
            "n": n,
            "estimator": "graph",
            "data": "random images",
            "seconds": dict.fromkeys(growth.PARTS["graph"], 0.001 * n**power),
            "peak_mb": 500 + n,
            "peak_above_data_mb": n,
            "machine": {"processor": "abacus"},
        }
        for n in (1000, 2000, 8000)
    ]
    found = growth.exponents(records)
    assert found["graph"] == pytest.approx(power)
    assert found["peak MB above data"] == pytest.approx(1)
    assert f'"exponent", "{power:.2f}"' in "\n".join(growth.make_tables(records))


def test_ratio_is_the_median_of_turns():
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
    }
    assert ratios.row(record)[2:4] == ("4,096", "bare products")
    assert ratios.row(record)[6:] == ("1.5 (1.25-1.75)", "3")
    record |= {"missing": "SupCon is not installed", "peer": "SupCon"}
    assert ratios.row(record)[3] == "SupCon: SupCon is not installed"
    assert ratios.row(record)[5:7] == ("", "")


def test_counts_within_a_fifth():
    records = [
        {**fit(method, 0), "n_clusters": 10, "found": found}
        for method, found in (("separation", 12), ("modularity", 13))
    ]
    text = "\n".join(counts.make_tables(records))
    assert '"images: within a fifth", "1 of 1", "0 of 1"' in text
    assert '"images: mean factor", "1.20", "1.30"' in text
    assert '"digits", "10", "12", "13"' in text


def test_paths_of_commands_are_in_the_documentation():
    pages = [*Path(GENERATED).parent.rglob("*.rst"), RESULTS.parents[1] / "README.rst"]
    text = "".join(page.read_text() for page in pages if "_build" not in page.parts)
    assert all(f"-m benchmarks {name}" in text for name in COMMANDS)
