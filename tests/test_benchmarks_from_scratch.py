"""The benchmark of photographs from scratch: cut off, gone on with, and told."""

import importlib
import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
# The package is measured by its own tests.
pytestmark = [
    pytest.mark.no_cover,
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]
TINY = ["--samples", "40", "--pretrain-epochs", "3", "--batch-size", "20"]
TINY += ["--precision", "float32", "--device", "cpu"]
TINY += ["--set", "head_epochs=1"]
TINY += ["joint_epochs=1"]


@pytest.fixture
def from_scratch(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    module = importlib.import_module("from_scratch")
    digits = load_digits()
    images = (digits.images[:, None] * 15).astype("uint8")
    monkeypatch.setattr(
        module,
        "stored",
        lambda name, n_samples: (images[:n_samples], digits.target[:n_samples]),
    )
    monkeypatch.setattr(module, "matrix_rate", lambda device, dtype: 1e12)
    return module


@pytest.fixture
def rates(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    module = importlib.import_module("rates")
    monkeypatch.setitem(module.SIDES, "cpu", 16)
    monkeypatch.setitem(module.COPIED, "cpu", 64)
    return module


def told_to(folder):
    results, table = folder / "results.json", folder / "table.rst"
    return ["--results", str(results), "--table", str(table)]


def test_a_run_that_was_cut_off_goes_on(from_scratch, tmp_path, monkeypatch, capsys):
    # However short an epoch is, it is written.
    monkeypatch.setattr("skdeepclust.training.checkpoint._SECONDS", 0.0)
    command = [str(tmp_path), *TINY, *told_to(tmp_path)]
    lines, told = from_scratch.EpochLines, from_scratch.EpochLines.epoch_end

    def cut_off(self, epoch, values):
        if epoch == 3:
            raise KeyboardInterrupt
        return told(self, epoch, values)

    monkeypatch.setattr(lines, "epoch_end", cut_off)
    with pytest.raises(KeyboardInterrupt):
        from_scratch.main(command)
    assert "pretraining     2/3 " in capsys.readouterr().out
    monkeypatch.setattr(lines, "epoch_end", told)
    from_scratch.main(command)
    printed = capsys.readouterr().out.splitlines()
    names = [line.split()[0] for line in printed[1:-1] if "images/s" in line]
    assert [*dict.fromkeys(names)] == ["pretraining", "head", "joint", "final_head"]
    # Two of the three epochs had been done before.
    assert names.count("pretraining") == 1
    assert sum("neighbours alike" in line for line in printed) == 4
    assert printed[-1].startswith("ACC 0.")
    (record,) = json.loads((tmp_path / "results.json").read_text())
    assert record["epochs"] == {
        "pretraining": 3,
        "head": 1,
        "joint": 1,
        "final_head": 1,
    }
    assert record["encoder"] == "from scratch"
    stages = [title for title, *_ in record["stages"]]
    assert stages == ["pretraining", "head", "joint", "final_head"]
    assert f"{record['acc']:.3f}" in (tmp_path / "table.rst").read_text()


def test_another_estimator_starts_from_the_same_encoder(from_scratch, tmp_path):
    module = from_scratch.nn.Sequential(
        from_scratch.ResNet18(1, stem="small"), from_scratch.nn.Linear(512, 128)
    )
    torch.save(module.state_dict(), tmp_path / "encoder.pt")
    command = [str(tmp_path), *TINY, *told_to(tmp_path), "--estimator", "self_paced"]
    command += ["--encoder", str(tmp_path / "encoder.pt")]
    command[command.index("joint_epochs=1")] = "center_epochs=1"
    settings = command.index("--set") + 1
    command[settings:settings] = ["contrastive_epochs=1"]
    for _ in range(2):  # a second record takes the place of the first one
        from_scratch.main(command)
    (record,) = json.loads((tmp_path / "results.json").read_text())
    assert record["epochs"] == {
        "center": 1,
        "head": 1,
        "contrastive": 1,
        "final_head": 1,
    }
    assert record["encoder"] == "given"
    from_scratch.main(["--table-only", *told_to(tmp_path)])
    assert "self-paced" in (tmp_path / "table.rst").read_text()


def test_work_is_that_of_the_convolutions(rates):
    # By hand: stem, four layers of four 3 x 3 convolutions, three 1 x 1 ones.
    stem = 32 * 32 * 3 * 64 * 9
    first = 4 * 32 * 32 * 64 * 64 * 9
    rest = sum(
        side**2 * n * (n // 2 * 9 + 3 * n * 9 + n // 2)
        for side, n in ((16, 128), (8, 256), (4, 512))
    )
    assert rates.work_per_image((3, 32, 32)) == 6 * 2 * (stem + first + rest)


def test_missing_data_are_told(from_scratch, tmp_path, monkeypatch):
    def stored(name, n_samples):
        raise FileNotFoundError("no load.py")

    monkeypatch.setattr(from_scratch, "stored", stored)
    with pytest.raises(SystemExit, match=r"cifar10: no load\.py"):
        from_scratch.main([str(tmp_path)])


def test_rates_are_those_of_the_best_round(rates, monkeypatch):
    ticks = iter([0, 3, 10, 12, *range(20, 100)])
    monkeypatch.setattr(rates, "clock", lambda device: next(ticks))
    device = torch.device("cpu")
    assert rates.best_seconds(lambda: None, device, 2) == 2
    assert rates.matrix_rate(device, torch.float32) == 2 * 16**3
    assert rates.copy_rate(device) == 2 * 64


def test_the_speed_of_a_device_is_a_table(monkeypatch, rates, tmp_path):
    gpu = importlib.import_module("gpu")
    # Restored afterwards: the benchmark sets what is the whole process's.
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    tiny = {"views": 4, "batch": 4, "steps": 1, "neighbors": 20}
    monkeypatch.setitem(gpu.SIZES, "cpu", tiny)
    monkeypatch.setitem(gpu.ROUNDS, "cpu", 1)
    monkeypatch.setattr(gpu, "compiled", lambda module, device: module)
    gpu.main(["--device", "cpu", *told_to(tmp_path)])
    records = json.loads((tmp_path / "results.json").read_text())
    tasks = [record["task"] for record in records]
    assert "pretraining: bare loop, bfloat16, cudnn.benchmark" in tasks
    table = (tmp_path / "table.rst").read_text()
    assert table.count("images/s") == 4 + 6
    images, target = load_digits().images[:60, None] / 16, np.arange(60) % 3
    monkeypatch.setattr(gpu, "stored", lambda name: (images, target))
    short = {"pretrain_epochs": 1, "head_epochs": 1}
    for title, estimator in gpu.ESTIMATORS.items():
        monkeypatch.setitem(gpu.ESTIMATORS, title, partial(estimator, **short))
    fits = ["--fits", "digits", "--seeds", "0"]
    gpu.main(["--device", "cpu", *fits, *told_to(tmp_path)])
    table = (tmp_path / "table.rst").read_text()
    assert table.count("images/s") == 4 + 6
    assert "graph, digits, seed 0" in table
    assert "self-paced, digits, seed 0" in table
    with pytest.raises(SystemExit, match="No GPU"):
        gpu.main(["--device", "cpu"])


def test_parameters_are_numbers_or_words(from_scratch):
    assert from_scratch.parameter("joint_epochs=5") == ("joint_epochs", 5)
    assert from_scratch.parameter("learning_rate=1e-3") == ("learning_rate", 1e-3)
    assert from_scratch.parameter("input_neighbors=false") == ("input_neighbors", False)
    assert from_scratch.parameter("init=kmeans") == ("init", "kmeans")
