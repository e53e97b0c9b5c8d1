"""Every command, on small parts of the data and with little training."""

import json
import subprocess
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from benchmarks.common import records
from benchmarks.common.data import TOYS, Dataset, load_dataset
from benchmarks.common.methods import METHODS, Method
from benchmarks.quality import counts, fits, from_scratch, parameters, stages
from benchmarks.scale import growth
from benchmarks.speed import cases, gpu, ratios
from skdeepclust._partition import agreement

LITTLE = {
    "encoder": "mlp",
    "hidden_layer_sizes": (8,),
    **{f"{name}_epochs": 1 for name in ("pretrain", "head", "joint")},
    **{f"{name}_epochs": 2 for name in ("center", "contrastive")},
}
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture
def little(monkeypatch):
    """Let every fit of a method be small, and of few digits."""
    build = Method.estimator

    def small(method, n_clusters, seed, overrides=None):
        estimator = build(method, n_clusters, seed, overrides)
        if estimator is not None:
            given = {**method.parameters, **(overrides or {})}
            known = estimator.get_params().keys() - given.keys()
            estimator.set_params(**{n: LITTLE[n] for n in known & LITTLE.keys()})
        return estimator

    def load(name):
        if name == "coil20":
            raise FileNotFoundError("no load.py")
        return load_dataset(name).part(np.arange(150))

    monkeypatch.setattr(Method, "estimator", small)
    monkeypatch.setattr(records, "load_dataset", load)


@pytest.fixture
def paths(tmp_path):
    return ["--results", str(tmp_path / "r.json"), "--table", str(tmp_path / "t.rst")]


def found_in(paths):
    return json.loads(Path(paths[1]).read_text())


# ----------------------------------------------------------------------------- quality


def test_quality_writes_records_and_resumes(little, paths, capsys):
    command = ["--datasets", "digits", "coil20", "--seeds", "3", *paths]
    methods = ["--methods", "kmeans", "simclr", "ours", "graph", "ours_even"]
    fits.main([*command, *methods])
    printed = capsys.readouterr().out
    assert "coil20: skipped" in printed
    assert "classes are of about one size" in printed
    written = found_in(paths)
    assert [r["method"] for r in written] == ["kmeans", "simclr", "ours", "graph"]
    for record in written:
        assert all(-1 <= record[name] <= 1 for name in ("acc", "nmi", "ari"))
        assert record["n_samples"] == 150
        assert record["versions"]["torch"]
    made = Path(paths[1]).stat().st_mtime_ns
    fits.main([*command, *methods])
    assert Path(paths[1]).stat().st_mtime_ns == made
    assert '"k-means", "1", ' in Path(paths[3]).read_text()
    fits.main([*command, "--table-only", "--thesis", "4.5"])
    assert "Table 4.5" in capsys.readouterr().out


def test_held_out_fifth_is_predicted(little, monkeypatch):
    monkeypatch.setattr("benchmarks.common.methods.MIN_HELD_OUT", 100)
    data = records.load_dataset("digits")
    (record,) = fits.run_record(data, {"method": "ours_held_out"}, 0)
    assert 0 < record["acc_held_out"] <= 1


def test_every_fit_has_the_threads_that_are_asked_for(little, paths, monkeypatch):
    before, seen = torch.get_num_threads(), []

    def meddling(*arguments):
        seen.append(torch.get_num_threads())
        torch.set_num_threads(2)
        return fits.run_record(*arguments)

    command = replace(fits.COMMAND, make=meddling)
    try:
        command(["--datasets", "digits", "--methods", "kmeans", *paths])
    finally:
        torch.set_num_threads(before)
    assert seen == [1, 1, 1]


def test_every_method_builds_its_estimator_or_says_why_not():
    digits = load_dataset("digits")
    for method in METHODS.values():
        assert (method.estimator(10, 0) is None) == (method.parameters is None)
    vade = replace(METHODS["vade"], package=None)
    assert not vade.why_not(digits)
    assert "installed" in replace(vade, package="no_such").why_not(digits)
    assert "0 to 1" in vade.why_not(replace(digits, X=2 * digits.X))
    assert "more than" in replace(vade, limit=10).why_not(digits)
    assert "fewer" in METHODS["ours_held_out"].why_not(digits)
    assert not METHODS["graph_even"].why_not(load_dataset("digits_uneven"))


def test_uneven_data_have_classes_of_all_sizes():
    sizes = np.sort(np.bincount(load_dataset("digits_uneven").y))
    assert sizes[0] < 20 < 180 < sizes[-1]
    assert (sizes[1:] / sizes[:-1] < 1.6).all()


@pytest.mark.skipif(not find_spec("sklearn.callback"), reason="needs scikit-learn 1.9")
def test_stages_are_looked_at_in_turn(little, paths):
    stages.COMMAND(["--datasets", "digits", "--seeds", "0", *paths])
    for method, names in stages.ROWS.items():
        own = {r["after"]: r for r in found_in(paths) if r["method"] == method}
        assert {*own} == {*names}
        ordered = [own[name]["seconds"] for name in names if name.startswith("+")]
        assert ordered == sorted(ordered)
    data = records.load_dataset("digits")
    fitted = METHODS["graph"].estimator(10, 0).fit(data.X)
    seen = stages.look(data, "graph", 0, {})
    np.testing.assert_array_equal(seen["final_head"][0], fitted.labels_)
    assert not np.array_equal(seen["head"][0], seen["joint"][0])


def test_sweeps_vary_one_parameter(little, paths, monkeypatch):
    swept = {"n_neighbors": [5, 10], "cluster_temperature": [0.5, 1.0]}
    monkeypatch.setattr(parameters, "SWEEPS", {"graph": swept})
    command = ["--datasets", "digits", "--methods", "graph", "--seeds", "0", *paths]
    parameters.sweep(command)
    assert [r["overrides"] for r in found_in(paths)] == [
        {},
        {"n_neighbors": 10},
        {"cluster_temperature": 0.5},
    ]
    for record in found_in(paths):
        assert record["overrides"].items() <= record["parameters"].items()
    for parameter in swept:
        assert Path(paths[3]).with_name(f"sweep_{parameter}.png").is_file()


@pytest.mark.parametrize("method", ["ours", "graph"])
def test_selection_records_all_criteria(little, paths, monkeypatch, method):
    configurations = {method: [{}, {"n_clusters": 0.3}, {"learning_rate": 3e-4}]}
    monkeypatch.setattr(parameters, "CONFIGURATIONS", configurations)
    command = ["--datasets", "digits", "--methods", method, *paths]
    parameters.SELECTION(command)
    written = found_in(paths)
    assert [r["overrides"] for r in written] == configurations[method]
    assert written[1]["parameters"]["n_clusters"] == 3
    for record in written:
        assert [*record["criteria"]] == [*parameters.CRITERIA]
        assert np.isfinite([*record["criteria"].values()]).all()
    assert '"any", "3", ' in Path(paths[3]).read_text()


def test_every_configuration_builds_its_estimator():
    for point in parameters.selection_points(parameters.CONFIGURATIONS):
        METHODS[point["method"]].estimator(10, 0, point["overrides"])


def test_counts_of_every_method(paths, monkeypatch):
    rng = np.random.default_rng(0)
    rows = np.repeat(np.eye(3) * 9, 40, axis=0) + rng.normal(size=(120, 3))
    data = Dataset("moons", rows, np.repeat([0, 1, 2], 40))
    monkeypatch.setattr(counts, "MAX_CLUSTERS", 5)
    monkeypatch.setattr(records, "load_dataset", lambda name: data)
    counts.COMMAND(["--datasets", "moons", "--seeds", "0", *paths])
    found = {record["method"]: record["found"] for record in found_in(paths)}
    assert found["separation"] == found["modularity"] == found["silhouette"] == 3
    assert found["BIC"] >= 3
    for name in TOYS:
        (record,) = counts.run_record(load_dataset(name), {"method": "HDBSCAN"}, 0)
        assert record["n_clusters"] == len({*load_dataset(name).y})


def test_photographs_resume_where_they_were_cut_off(
    paths, tmp_path, monkeypatch, capsys
):
    # However short an epoch is, its checkpoint is written.
    monkeypatch.setattr("skdeepclust.training.checkpoint._SECONDS", 0.0)
    monkeypatch.setattr(from_scratch, "matrix_rate", lambda device, dtype: 1e12)
    digits = load_digits()
    images = (digits.images[:, None] * 15).astype("uint8")
    monkeypatch.setattr(
        from_scratch, "stored", lambda name, n: (images[:n], digits.target[:n])
    )
    lines, told = from_scratch.EpochLines, from_scratch.EpochLines.epoch_end

    def cut_off(self, epoch, values):
        if epoch == 3:
            raise KeyboardInterrupt
        return told(self, epoch, values)

    command = [str(tmp_path), "--samples", "20", "--pretrain-epochs", "3", *paths]
    command += ["--batch-size", "10", "--precision", "float32", "--device", "cpu"]
    command += ["--set", "head_epochs=1"]
    monkeypatch.setattr(lines, "epoch_end", cut_off)
    with pytest.raises(KeyboardInterrupt):
        from_scratch.main([*command, "joint_epochs=1"])
    assert "pretraining     2/3 " in capsys.readouterr().out
    monkeypatch.setattr(lines, "epoch_end", told)
    from_scratch.main([*command, "joint_epochs=1"])
    # Two of the three epochs had been done before.
    assert capsys.readouterr().out.count("pretraining     ") == 1
    (record,) = found_in(paths)
    done = {"pretraining": 3, "head": 1, "joint": 1, "final_head": 1}
    assert record["epochs"] == done
    assert [title for title, *_ in record["stages"]] == [*done]
    command += ["center_epochs=1", "contrastive_epochs=1", "--estimator", "self_paced"]
    from_scratch.main([*command, "--encoder", str(tmp_path / "encoder.pt")])
    assert [r["encoder"] for r in found_in(paths)] == ["from scratch", "given"]
    assert "self-paced" in Path(paths[3]).read_text()


# ------------------------------------------------------------------------------- speed


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(ratios, "SHORTEST", 0.0)
    monkeypatch.setattr(cases, "LAYERS", (8, 8, 16))
    monkeypatch.setattr(cases, "BATCH", 64)
    shrunk = {"hidden_layer_sizes": (8, 8, 16), "batch_size": 64}
    for name, value in shrunk.items():
        monkeypatch.setitem(cases.ONLY_PRETRAINING, name, value)


@pytest.mark.parametrize("case", ratios.CASES)
def test_every_case_is_right_and_gives_a_record_per_peer(small, case):
    n = {"R4": 64, "R5": 300, "R6": 300, "R1": 768, "R2": 768, "R3": 768}.get(case, 128)
    for build, _, _ in ratios.CASES[case]:
        comparison = build(n)
        seconds = ratios.measure(comparison, 2)
        made = ratios.records_of(case, n, comparison, seconds)
        assert [r["peer"] for r in made] == [p.name for p in comparison.peers]
        for record in made:
            assert len(record["seconds"]) == 2
            assert len(record["peer_seconds"]) == (0 if record["missing"] else 2)
            assert len(ratios.row(record)) == 8


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
def test_what_is_wrong_is_not_timed(small, monkeypatch, paths, module, name, case):
    place = getattr(cases, module)
    right = getattr(place, name)

    def wrong(*args, **kwargs):
        result = right(*args, **kwargs)
        # Values a little too large, or neighbors of the sample before.
        return 1.001 * result if module == "losses" else (result[0].roll(1, 0),)

    monkeypatch.setattr(place, name, wrong)
    monkeypatch.setattr(ratios, "seconds_of", lambda *_: pytest.fail("timed"))
    with pytest.raises(ValueError, match=r"is off by .* nothing is timed"):
        ratios.main(["--quick", "--cases", case, *paths])
    assert not Path(paths[1]).exists()


def test_speed_writes_where_it_is_told_to(small, paths, capsys):
    command = ["--quick", "--cases", "R4", "--repetitions", "2"]
    before = (ratios.COMMAND.parser().get_default("results")).read_bytes()
    ratios.main(command)
    assert "1 thread; python" in capsys.readouterr().out.splitlines()[0]
    assert (ratios.COMMAND.parser().get_default("results")).read_bytes() == before
    for _ in range(2):
        ratios.main([*command, *paths])
    assert len(found_in(paths)) == 2
    assert Path(paths[3]).read_text().count('"cdist, normalized"') == 2


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="needs /proc")
def test_memory_is_measured_in_a_fresh_process():
    record = ratios.memory_record("R2", 1024)
    assert record["megabytes"] >= 0
    assert ratios.row(record)[7] == "100 MB"


def test_the_speed_of_a_device_is_a_table(paths, monkeypatch):
    tiny = {"views": 4, "batch": 8, "steps": 1, "neighbors": 20}
    monkeypatch.setitem(gpu.SIZES, "cpu", tiny)
    monkeypatch.setitem(gpu.ROUNDS, "cpu", 1)
    monkeypatch.setitem(gpu.SIDES, "cpu", 16)
    monkeypatch.setitem(gpu.COPIED, "cpu", 64)
    gpu.main(["--device", "cpu", *paths])
    assert Path(paths[3]).read_text().count("images/s") == 4 + 5
    images, target = load_digits().images[:60, None] / 16, np.arange(60) % 3
    monkeypatch.setattr(gpu, "stored", lambda name: (images, target))
    for title, estimator in gpu.ESTIMATORS.items():
        names = [n for n in estimator().get_params() if n.endswith("_epochs")]
        short = partial(estimator, **dict.fromkeys(names, 1))
        monkeypatch.setitem(gpu.ESTIMATORS, title, short)
    gpu.main(["--device", "cpu", "--fits", "digits", "--seeds", "0", *paths])
    assert "self-paced, digits, seed 0" in Path(paths[3]).read_text()
    with pytest.raises(SystemExit, match="No GPU"):
        gpu.main(["--device", "cpu"])


def test_work_is_that_of_the_convolutions():
    # By hand: stem, four layers of four 3 x 3 convolutions, three 1 x 1 ones.
    stem = 32 * 32 * 3 * 64 * 9
    first = 4 * 32 * 32 * 64 * 64 * 9
    rest = sum(
        side**2 * n * (n // 2 * 9 + 3 * n * 9 + n // 2)
        for side, n in ((16, 128), (8, 256), (4, 512))
    )
    assert gpu.work_per_image((3, 32, 32)) == 6 * 2 * (stem + first + rest)


# ------------------------------------------------------------------------------- scale


@pytest.mark.parametrize("estimator", growth.PARTS)
def test_every_part_is_timed_and_the_package_is_put_back(estimator):
    before = agreement.build_affinities
    known = growth.ESTIMATORS[estimator]().get_params().keys() & LITTLE.keys()
    X = np.random.default_rng(0).normal(size=(80, 6))
    found = growth.measure(X, estimator, {name: LITTLE[name] for name in known})
    assert all(found["seconds"][part] > 0 for part in growth.PARTS[estimator])
    assert found["peak_mb"] > found["peak_above_data_mb"] >= 0
    assert agreement.build_affinities is before


def test_sizes_that_are_there_are_not_run_again(paths, monkeypatch):
    started = []

    def run(command, **kwargs):
        n = int(command[-1])
        started.append(n)
        seconds = dict.fromkeys(growth.PARTS["graph"], 0.001 * n)
        record = {"n": n, "estimator": "graph", "data": "random", "seconds": seconds}
        record |= {"peak_mb": n, "peak_above_data_mb": n}
        printed = json.dumps({**record, "machine": {"processor": "abacus"}})
        return subprocess.CompletedProcess(command, 0, stdout=f"a line\n{printed}")

    monkeypatch.setattr(subprocess, "run", run)
    command = ["--estimators", "graph", *paths]
    growth.scaling(["--sizes", "120", "60", *command])
    assert [r["n"] for r in found_in(paths)] == [60, 120]
    assert '"120", "0.1"' in Path(paths[3]).read_text()
    assert Path(paths[3]).with_suffix(".png").is_file()
    growth.scaling(["--sizes", "60", "120", "240", *command])
    growth.scaling(["--sizes", "60", "--force", *command])
    assert started == [120, 60, 240, 60]


def test_profile_prints_a_line_for_each_stage(capsys):
    command = ["--dataset", "digits", "--samples", "200", "--epochs", "1"]
    growth.profile([*command, "--estimators", "graph"])
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    stages_of_graph = ["pretraining", "head", "joint", "final_head"]
    assert names == ["graph,", "stage", *stages_of_graph, "end", "all"]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="needs /proc")
def test_file_of_two_gigabytes_is_not_loaded():
    found = growth.memory_of_fit(2.0)
    assert found["predicted"]
    assert found["file_mb"] > 2000
    # A thousand rows are looked at: their graphs take several copies, in float64.
    assert found["peak_mb"] - found["before_mb"] < 800
