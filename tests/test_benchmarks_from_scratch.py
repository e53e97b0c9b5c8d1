"""The benchmark of photographs from scratch: cut off, gone on with, and told."""

import importlib
from pathlib import Path

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
TINY += ["--set", "head_epochs=1", "min_head_steps=0"]
TINY += ["joint_epochs=1", "min_joint_steps=0"]


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
    monkeypatch.setitem(module.SIDES, "cpu", 16)
    return module


def test_a_run_that_was_cut_off_goes_on(from_scratch, tmp_path, monkeypatch, capsys):
    command = [str(tmp_path), *TINY]
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
    names = [line.split()[0] for line in printed[1:-1]]
    assert [*dict.fromkeys(names)] == ["pretraining", "head", "joint"]
    # Two of the three epochs had been done before.
    assert names.count("pretraining") == 1
    assert printed[-1].startswith("ACC 0.")


def test_work_is_that_of_the_convolutions(from_scratch):
    # By hand: stem, four layers of four 3 x 3 convolutions, three 1 x 1 ones.
    stem = 32 * 32 * 3 * 64 * 9
    first = 4 * 32 * 32 * 64 * 64 * 9
    rest = sum(
        side**2 * n * (n // 2 * 9 + 3 * n * 9 + n // 2)
        for side, n in ((16, 128), (8, 256), (4, 512))
    )
    assert from_scratch.work_per_image((3, 32, 32)) == 6 * 2 * (stem + first + rest)


def test_missing_data_are_told(from_scratch, tmp_path, monkeypatch):
    def stored(name, n_samples):
        raise FileNotFoundError("no load.py")

    monkeypatch.setattr(from_scratch, "stored", stored)
    with pytest.raises(SystemExit, match=r"cifar10: no load\.py"):
        from_scratch.main([str(tmp_path)])


def test_matrix_rate_counts_two_products(from_scratch, monkeypatch):
    ticks = iter(range(100))
    monkeypatch.setattr(from_scratch, "clock", lambda device: next(ticks))
    rate = from_scratch.matrix_rate(torch.device("cpu"), torch.float32)
    assert rate == 4 * 16**3


def test_parameters_are_numbers(from_scratch):
    assert from_scratch.parameter("joint_epochs=5") == ("joint_epochs", 5)
    assert from_scratch.parameter("learning_rate=1e-3") == ("learning_rate", 1e-3)
