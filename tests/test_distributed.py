"""Tests of training by several processes."""

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from sklearn.datasets import make_blobs
from torch import nn
from two_processes import CASES, EXACT, N_SAMPLES

from skdeepclust.metrics import clustering_accuracy
from skdeepclust.training.distributed import SINGLE, Group, current_group

CPU = torch.device("cpu")

pytestmark = [
    pytest.mark.skipif(
        not dist.is_gloo_available() or not hasattr(os, "fork"),
        reason="needs gloo, and fork",
    ),
    # What the two processes have found is made once.
    pytest.mark.xdist_group("distributed"),
]

# --------------------------------------------------------------- two processes, one fit


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What two processes have found together, and one alone."""
    folder = tmp_path_factory.mktemp("two")
    script = Path(__file__).with_name("two_processes.py")
    subprocess.run([sys.executable, script, folder], check=True, timeout=600)
    return folder


def found(folder, case, rank):
    with np.load(folder / f"{case}-{rank}.npz") as content:
        arrays = dict(content)
    return arrays, json.loads(str(arrays.pop("history")))


@pytest.mark.parametrize("case", [*CASES, "resumed"])
def test_both_processes_end_alike(folder, case):
    (first, history), (second, other) = (found(folder, case, rank) for rank in (0, 1))
    assert history == other
    assert first.keys() == second.keys()
    assert len(first["labels"]) == N_SAMPLES.get(case, 611)
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name], name)


@pytest.mark.parametrize("case", EXACT)
def test_two_processes_do_the_steps_of_one(folder, case):
    # The same sums in another order: rounding, which Adam enlarges where a gradient
    # is nearly 0. A step moves a weight by about 1e-3, and there are 20.
    (together, history), (alone, (expected,)) = (
        found(folder, case, rank) for rank in (0, "alone")
    )
    assert history[0].keys() == expected.keys()
    for name, value in expected.items():
        if isinstance(value, float):
            assert history[0][name] == pytest.approx(value, rel=1e-5, abs=1e-6), name
    np.testing.assert_array_equal(together.pop("labels"), alone.pop("labels"))
    for name, value in alone.items():
        np.testing.assert_allclose(together[name], value, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("case", ["self_paced", "graph"])
def test_two_processes_learn_as_much_as_one(folder, case):
    # Views, neighbors and dropout are other draws: curves agree as two seeds do.
    _, y = make_blobs(611, 6, centers=3, cluster_std=0.5, random_state=0)
    (together, history), (alone, expected) = (
        found(folder, case, rank) for rank in (0, "alone")
    )
    for arrays in (together, alone):
        assert clustering_accuracy(y, arrays["labels"]) > 0.95
    assert [row["stage"] for row in history] == [row["stage"] for row in expected]
    curves = [
        [row["loss"] for row in rows if row["stage"] == "pretraining"]
        for rows in (history, expected)
    ]
    np.testing.assert_allclose(*curves, rtol=0.1)


def test_interrupted_processes_go_on_bit_by_bit(folder):
    (resumed, history), (whole, expected) = (
        found(folder, case, 0) for case in ("resumed", "graph")
    )
    assert history == expected
    for name, value in whole.items():
        np.testing.assert_array_equal(resumed[name], value, name)


def test_calls_that_differ_are_refused_in_every_process(folder):
    errors = [json.loads((folder / f"errors-{r}.json").read_text()) for r in (0, 1)]
    assert errors[0] == errors[1]
    data, parameter, small, file = errors[0]
    assert "the same data and parameters in all processes" in data
    assert "differ from process 0: X (process 1). Pass the same" in data
    assert "differ from process 0: batch_size (process 1). Pass" in parameter
    assert "batch_size=3 and n_samples=611 must be at least 4 for 2" in small
    assert "is a file: pass a folder" in file


# ----------------------------------------------------------------- one process's view


@pytest.fixture
def group():
    """Make the second of three processes, which alone is there."""
    assert current_group(CPU) is SINGLE
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    # One process alone is no group: it draws as without.
    assert current_group(CPU) is SINGLE
    group = Group(CPU)
    assert group.is_first
    group.rank, group.n_processes = 1, 3
    yield group
    dist.destroy_process_group()


def test_shares_are_the_whole_and_weigh_as_much(group):
    batch, total, rows = torch.arange(8), 0.0, []
    for group.rank in range(3):
        rows += group.share(batch).tolist()
        assert list(group.share(range(8))) == group.share(batch).tolist()
        terms = group.weigh({"loss": torch.ones(())}, 8)
        total += float(group.sum_terms(terms)["loss"])
    assert sorted(rows) == batch.tolist()
    assert total == pytest.approx(1)


def test_gather_places_rows_and_sends_gradients_back(group):
    rows = torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=torch.float64)
    whole = group.gather(rows, 5)
    assert torch.equal(whole[[1, 4]], rows)
    assert not whole[[0, 2, 3]].any()
    weights = torch.rand(5, 2, dtype=torch.float64, generator=torch.Generator())

    def loss(rows):
        return (weights * group.gather(rows, 5)).square().sum()

    assert torch.autograd.gradcheck(loss, rows.requires_grad_())
    assert torch.equal(
        group.gather(torch.tensor([7, 9]), 5), torch.tensor([0, 7, 0, 0, 9])
    )


def test_own_draws_differ_and_leave_all_generators_alike(group):
    drawn, after = [], []
    before = torch.get_rng_state()
    for group.rank in (0, 0, 1):
        generator = torch.Generator().manual_seed(5)
        with group.own_draws(generator):
            own = torch.rand((), generator=generator), torch.rand(()), np.random.rand()  # noqa: NPY002
        drawn.append([float(value) for value in own])
        after.append(float(torch.rand((), generator=generator)))
    assert drawn[0] == drawn[1]
    assert not set(drawn[0]) & set(drawn[2])
    assert len({*after}) == 1
    assert torch.equal(torch.get_rng_state(), before)


def test_gradients_of_any_layout_and_buffers(group):
    layer = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    frozen = nn.Linear(2, 2).requires_grad_(False)
    layer(torch.ones(2, 3, 5, 5)).sum().backward()
    expected = layer.weight.grad.clone()
    group.sum_gradients(torch.optim.Adam([*layer.parameters(), *frozen.parameters()]))
    assert torch.equal(layer.weight.grad, expected)
    assert frozen.weight.grad is None
    norm = nn.BatchNorm1d(3)
    norm.running_mean.fill_(0.3)
    group.average_buffers(norm)
    torch.testing.assert_close(norm.running_mean, torch.full((3,), 0.1))
    group.n_processes = 1
    group.average_buffers(nn.Sequential(nn.Linear(1, 1)))


def test_first_sends_results_and_errors(group):
    group.is_first = True
    assert group.first(lambda: {"a": 1}) == {"a": 1}
    assert group.same([1, 2]) == [1, 2]
    assert torch.equal(
        group.same(torch.arange(6).view(2, 3).T), torch.tensor([[0, 3], [1, 4], [2, 5]])
    )
    with pytest.raises(ZeroDivisionError):
        group.first(lambda: 1 // 0)
    assert group.either(True)
    assert not group.either(False)


def test_fit_in_a_group(group, monkeypatch, tiny, blobs):
    # A group as of several processes, of which this one is all.
    sizes = itertools.chain([2], itertools.repeat(1))
    monkeypatch.setattr(dist, "get_world_size", lambda: next(sizes))
    X, y = blobs
    model = tiny(center_epochs=2).fit(X)
    assert clustering_accuracy(y, model.labels_) > 0.9
    np.testing.assert_array_equal(model.predict(X), model.labels_)
