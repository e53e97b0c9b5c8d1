"""Fit one model by several processes.

Start as many as there are GPUs, or cores::

    torchrun --nproc-per-node 2 examples/torchrun.py
"""

import os

import joblib
import torch
import torch.distributed as dist
from sklearn.datasets import load_digits

from skdeepclust import SelfPacedContrastiveClustering
from skdeepclust.metrics import clustering_accuracy


def main():
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        dist.init_process_group("nccl")
    else:
        dist.init_process_group("gloo")
    digits = load_digits()
    # Every process loads all data, and calls `fit` alike.
    model = SelfPacedContrastiveClustering(
        10, pretrain_epochs=15, random_state=0, verbose=1
    )
    model.fit(digits.images)
    # All of them have the model now; one is enough to use it.
    if dist.get_rank() == 0:
        accuracy = clustering_accuracy(digits.target, model.labels_)
        print(f"accuracy {accuracy:.3f}, of {dist.get_world_size()} processes")
        joblib.dump(model, "digits.joblib")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
