"""Fits that are killed over and over; a script for test_checkpoint.py.

For each estimator, ``python killed.py FOLDER N_KILLS SEED`` writes the result of a fit
that nothing disturbs to ``FOLDER/ESTIMATOR/whole.npz``, kills others until there have
been so many kills, and writes what each that came to its end has found to
``ended-*.npz``. With ``N_KILLS`` 0 the last one, which was killed, comes to its end.
"""

import dataclasses
import json
import os
import random
import signal
import sys
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from conftest import TINY, TINY_GRAPH
from sklearn.datasets import make_blobs
from torch import nn

import skdeepclust
from skdeepclust.training import checkpoint, loop


def augmentation(batch):
    """Draw from all three global generators."""
    scale = 1 + 0.1 * random.random() + 0.1 * np.random.rand()  # noqa: NPY002
    return scale * batch + 0.1 * torch.randn_like(batch)


FEW = {"pretrain_epochs": 12, "head_epochs": 12}
PARAMETERS = {
    "SelfPacedContrastiveClustering": {
        **{**TINY, **FEW, "center_epochs": 8, "contrastive_epochs": 8},
    },
    "GraphContrastiveClustering": {**TINY_GRAPH, **FEW, "joint_epochs": 8},
}


def make_model(name, checkpoint_dir):
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        encoder = nn.Sequential(
            nn.Linear(6, 16), nn.BatchNorm1d(16), nn.Dropout(0.2), nn.Linear(16, 4)
        )
    return getattr(skdeepclust, name)(
        3,
        **PARAMETERS[name],
        encoder=encoder,
        augmentation=augmentation,
        checkpoint_dir=checkpoint_dir,
    )


def fit(name, checkpoint_dir, path, point=None):
    if point is not None:
        die_at(*point)
    X, _ = make_blobs(120, 6, centers=3, cluster_std=0.5, random_state=0)
    model = make_model(name, checkpoint_dir).fit(X)
    model.set_params(checkpoint_dir=None).save(path)


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def die_at(kind, count):
    """Arrange for the end of this process."""
    if kind == "time":
        threading.Thread(
            target=lambda: (time.sleep(count / 100), die()), daemon=True
        ).start()
        return
    left = [count]

    def once(function, before):
        def call(*arguments, **keywords):
            left[0] -= 1
            if left[0] == 0 and before:
                die()
            result = function(*arguments, **keywords)
            if left[0] == 0:
                die()
            return result

        return call

    if kind == "step":
        run_epoch = loop._run_epoch

        def run(stage, *arguments):
            stage = dataclasses.replace(stage, step=once(stage.step, False))
            return run_epoch(stage, *arguments)

        loop._run_epoch = run
    else:
        function, before = kind.split()
        setattr(os, function, once(getattr(os, function), before == "before"))


def in_child(action, *arguments):
    """Do it in a process of its own; return whether it came to its end."""
    child = os.fork()
    if child == 0:
        try:
            action(*arguments)
        except BaseException as error:
            sys.stderr.write(f"{error!r}\n")
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return False
    assert status == 0, status
    return True


def kill(name, folder, n_kills, rng):
    """Kill fits of an estimator."""
    if n_kills == 0:
        assert in_child(fit, name, folder / "checkpoints", folder / "ended-last.npz")
        return
    folder.mkdir()
    assert in_child(fit, name, None, folder / "whole.npz")
    kills, n_ended = [], 0
    while len(kills) < n_kills:
        kinds = ["step", "time", "fsync before", "fsync after", "replace before"]
        point = rng.choice(kinds), rng.randint(2, 12)
        path = folder / f"ended-{n_ended}.npz"
        if in_child(fit, name, folder / "checkpoints", path, point):
            n_ended += 1
        else:
            kills.append(point)
    (folder / "kills.json").write_text(json.dumps(kills))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    # However short an epoch is.
    checkpoint._SECONDS = 0.0
    # Imports what each process would have to import.
    torch.optim.Adam([torch.zeros(1, requires_grad=True)])
    rng = random.Random(int(sys.argv[3]))
    for name in PARAMETERS:
        kill(name, Path(sys.argv[1], name), int(sys.argv[2]), rng)
