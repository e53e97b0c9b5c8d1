"""Fits that are killed over and over; a script for test_checkpoint.py.

For each estimator, ``python killed.py FOLDER N_KILLS SEED`` writes the result of a fit
that nothing disturbs to ``FOLDER/ESTIMATOR/whole.joblib``, kills others until there
have been so many kills, and writes what each that came to its end has found to
``ended-*.joblib``. With ``N_KILLS`` 0 the last one, which was killed, comes to its end.
"""

import itertools
import json
import os
import random
import signal
import sys
import threading
import time
import warnings
from pathlib import Path

import joblib
import torch
from conftest import TINY, TINY_GRAPH, noisy
from sklearn.datasets import make_blobs
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook

import skdeepclust

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
        augmentation=noisy,
        checkpoint_dir=checkpoint_dir,
    )


def fit(name, checkpoint_dir, path, point=None):
    if point is not None:
        die_at(*point)
    X, _ = make_blobs(120, 6, centers=3, cluster_std=0.5, random_state=0)
    model = make_model(name, checkpoint_dir).fit(X)
    joblib.dump(model.set_params(checkpoint_dir=None), path)


def die(*arguments):
    os.kill(os.getpid(), signal.SIGKILL)


def die_at(kind, count):
    """Arrange for the end of this process."""
    if kind == "time":
        threading.Thread(
            target=lambda: (time.sleep(count / 100), die()), daemon=True
        ).start()
        return
    left = itertools.count(count - 1, -1)
    if kind == "step":
        register_optimizer_step_post_hook(lambda *_: next(left) or die())
        return
    name, moment = kind.split()
    function = getattr(os, name)

    def last(*arguments):
        is_last = next(left) == 0
        if is_last and moment == "before":
            die()
        function(*arguments)
        if is_last:
            die()

    setattr(os, name, last)


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
    checkpoints = folder / "checkpoints"
    if n_kills == 0:
        assert in_child(fit, name, checkpoints, folder / "ended-last.joblib")
        return
    folder.mkdir()
    assert in_child(fit, name, None, folder / "whole.joblib")
    kills, n_ended = [], 0
    while len(kills) < n_kills:
        kinds = ["step", "time", "fsync before", "fsync after", "replace before"]
        point = rng.choice(kinds), rng.randint(2, 12)
        if in_child(fit, name, checkpoints, folder / f"ended-{n_ended}.joblib", point):
            n_ended += 1
        else:
            kills.append(point)
    (folder / "kills.json").write_text(json.dumps(kills))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    # Each epoch is written, however short it is.
    ticks = itertools.count(time.monotonic(), 60)
    time.monotonic = lambda: next(ticks)
    # Imports what each process would have to import.
    torch.optim.Adam([torch.zeros(1, requires_grad=True)])
    rng = random.Random(int(sys.argv[3]))
    for name in PARAMETERS:
        kill(name, Path(sys.argv[1], name), int(sys.argv[2]), rng)
