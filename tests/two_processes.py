"""Fits in a group of two processes; a script for test_distributed.py.

``python two_processes.py FOLDER`` forks two processes that train together, writes what
each has found to ``FOLDER/CASE-RANK.npz`` and what one process finds to
``FOLDER/CASE-alone.npz``.
"""

import itertools
import json
import os
import sys
import time
import warnings
from datetime import timedelta
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from conftest import TINY, TINY_GRAPH, TINY_SUBSPACE
from sklearn.datasets import load_digits, make_blobs
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

import skdeepclust

SELF_PACED, GRAPH = "SelfPacedContrastiveClustering", "GraphContrastiveClustering"


def itself(batch):
    """Return no random view, so that processes and one process see the same."""
    return batch


# One stage of one epoch, in which nothing is drawn but the order of the samples.
ONE = {
    **dict.fromkeys(["pretrain_epochs", "head_epochs"], 0),
    "augmentation": itself,
    "batch_size": 30,
    "resolution": None,
}
ONE_NEIGHBOR = {**ONE, "joint_epochs": 1, "n_neighbors": 1}
NO_PAIRS = {**ONE, "center_epochs": 0, "contrastive_epochs": 0}
EXACT = {
    "pretraining": (SELF_PACED, {**TINY, **NO_PAIRS, "pretrain_epochs": 1}),
    "reconstruction": (
        SELF_PACED,
        {**TINY, **NO_PAIRS, "augmentation": None, "pretrain_epochs": 1},
    ),
    "center": (SELF_PACED, {**TINY, **NO_PAIRS, "center_epochs": 1}),
    "contrastive": (
        SELF_PACED,
        {
            **TINY,
            **ONE,
            "center_epochs": 0,
            "contrastive_epochs": 1,
            "fine_tune_learning_rate": 1e-3,
            "pair_similarity": "cosine",  # a random head is sure of no pair
        },
    ),
    "joint": (GRAPH, {**TINY_GRAPH, **ONE_NEIGHBOR}),
    "joint_without_views": (
        GRAPH,
        {**TINY_GRAPH, **ONE_NEIGHBOR, "augmentation": None},
    ),
    "subspace": (
        "DeepSubspaceClustering",
        {**TINY_SUBSPACE, "pretrain_epochs": 0, "joint_epochs": 1, "batch_size": 30},
    ),
}
FEW = {"pretrain_epochs": 8, "head_epochs": 10, "batch_size": 70}
WHOLE = {
    "self_paced": (SELF_PACED, {**TINY, **FEW}),
    "graph": (GRAPH, {**TINY_GRAPH, **FEW, "graph_update_interval": 1}),
    # Batch normalization in the encoder, two runs, and no seed.
    "images": (
        SELF_PACED,
        {
            **TINY,
            **{"pretrain_epochs": 2, "center_epochs": 2, "head_epochs": 2},
            **{"batch_size": 75, "n_init": 2, "random_state": None},
        },
    ),
}
CASES = {**EXACT, **WHOLE}
N_SAMPLES = {"images": 150}


def data(case):
    if case == "images":
        return (load_digits(n_class=3).images[:150] * 15).astype(np.uint8)
    # Rows for two blocks of inference, and shares of different sizes.
    return make_blobs(611, 6, centers=3, cluster_std=0.5, random_state=0)[0]


def write(model, path):
    state = model.network_.state_dict() if hasattr(model, "network_") else {}
    arrays = {name: value.numpy() for name, value in state.items()}
    np.savez(
        path,
        labels=model.labels_,
        embedding=model.embedding_,
        history=json.dumps(model.history_),
        **arrays,
    )


def make(case, rank):
    cls, parameters = CASES[case]
    if case == "self_paced":
        # Made with other weights in each process, and with dropout.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0 if rank == "alone" else 7 * rank)
            encoder = nn.Sequential(nn.Linear(6, 16), nn.Dropout(0.1), nn.Linear(16, 4))
        parameters = {**parameters, "encoder": encoder}
    return getattr(skdeepclust, cls)(3, **parameters)


def fit_all(folder, rank):
    for case in CASES if rank != "alone" else [*EXACT, "self_paced", "graph"]:
        X = data(case)
        model = make(case, rank).fit(X)
        write(model, folder / f"{case}-{rank}.npz")
        if rank == 1 and hasattr(model, "predict"):
            # Which the other process does not, and nobody waits for it.
            np.testing.assert_array_equal(model.predict(X), model.labels_)


def interrupt(folder, rank):
    """Stop in the second epoch of joint training, and go on."""
    X = data("graph")
    model = make("graph", rank).set_params(checkpoint_dir=folder / "checkpoint")
    left = itertools.count(24, -1)  # steps, of which an epoch has 17

    def stop(optimizer, *arguments):
        # Joint training alone has two learning rates.
        if len(optimizer.param_groups) == 2 and next(left) == 0:
            raise KeyboardInterrupt

    # Each epoch is written, however short it is.
    ticks, now = itertools.count(time.monotonic(), 60), time.monotonic
    time.monotonic = lambda: next(ticks)
    hook = register_optimizer_step_pre_hook(stop)
    try:
        model.fit(X)
    except KeyboardInterrupt:
        pass
    else:
        raise AssertionError("not interrupted")
    finally:
        hook.remove()
        time.monotonic = now
    dist.barrier()
    assert [*(folder / "checkpoint").rglob("checkpoint.*")]
    dist.barrier()
    write(model.fit(X), folder / f"resumed-{rank}.npz")
    dist.barrier()
    assert not list((folder / "checkpoint").iterdir())


def refuse(folder, rank):
    """Collect the errors of calls that differ, or are too small."""
    X, errors = data("graph"), []
    (folder / "file").touch()
    for parameters, given in [
        ({}, X + rank),
        ({"batch_size": 70 + rank}, X),
        ({"batch_size": 3}, X),
        ({"checkpoint_dir": folder / "file"}, X),
    ]:
        model = make("reconstruction", rank).set_params(**parameters)
        try:
            model.fit(given)
        except ValueError as error:
            errors.append(str(error))
    (folder / f"errors-{rank}.json").write_text(json.dumps(errors))


def together(folder, rank):
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/store",
        rank=rank,
        world_size=2,
        timeout=timedelta(seconds=120),
    )
    fit_all(folder, rank)
    interrupt(folder, rank)
    refuse(folder, rank)
    dist.destroy_process_group()


def in_child(action, *arguments):
    child = os.fork()
    if child == 0:
        try:
            action(*arguments)
        except BaseException as error:
            sys.stderr.write(f"{arguments}: {error!r}\n")
            os._exit(1)
        os._exit(0)
    return child


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    # Imports what each process would have to import.
    torch.optim.Adam([torch.zeros(1, requires_grad=True)])
    folder = Path(sys.argv[1])
    children = [in_child(together, folder, rank) for rank in (0, 1)]
    codes = [os.waitpid(child, 0)[1] for child in children]
    assert codes == [0, 0], codes
    fit_all(folder, "alone")
