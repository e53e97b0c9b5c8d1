"""Photographs from scratch on a GPU, in runs that are cut off and go on::

    timeout 600 python benchmarks/from_scratch.py runs/cifar10

The same command again goes on from the last epoch that is in the folder, until the fit
is complete and ACC is printed. There is a line for each epoch: its seconds, images per
second, and the share that the encoder's products are of what the device can do, which
is measured at the start. Embeddings of all samples, graphs and cuts are in the seconds
of the epoch that they precede. On a CPU take few samples and epochs: the code is the
same.
"""

import argparse
import time
from pathlib import Path

import torch
from datasets import Dataset, stored
from torch.utils.flop_counter import FlopCounterMode

from skdeepclust import GraphContrastiveClustering, SelfPacedContrastiveClustering
from skdeepclust.metrics import clustering_accuracy, normalized_mutual_info
from skdeepclust.networks import ResNet18
from skdeepclust.training import Observer, resolve_device

ESTIMATORS = {
    "graph": GraphContrastiveClustering,
    "self_paced": SelfPacedContrastiveClustering,
}
SIDES = {"cpu": 1024, "cuda": 8192}  # of the products that measure a device


class EpochLines(Observer):
    """Prints a line for each epoch.

    `work` is the multiplications and additions for one image in a step of training,
    `rate` how many the device can do in a second.
    """

    def __init__(self, n_samples, device, work, rate):
        self.n_samples, self.device, self.work = n_samples, device, work
        self.rate = rate

    def stage_begin(self, stage, n_epochs):
        self.name, self.n_epochs = stage.name, n_epochs
        self.start = clock(self.device)

    def epoch_end(self, epoch, values):
        end = clock(self.device)
        seconds, self.start = end - self.start, end
        speed = self.n_samples / seconds
        share = ""
        if self.name != "head":
            # The head is taught on embeddings: no image passes the encoder.
            share = f"{self.work * speed / self.rate:8.1%}"
        print(
            f"{self.name:12}{epoch:5}/{self.n_epochs:<5} loss {values['loss']:8.4f}"
            f"{seconds:9.2f} s{speed:12,.0f} images/s{share}",
            flush=True,
        )
        return False


def clock(device):
    """Return the time, once the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def matrix_rate(device, dtype, n_rounds=10):
    """Return the multiplications and additions per second of large products.

    That of the best round: others share the machine.
    """
    side = SIDES.get(device.type, SIDES["cpu"])
    a = torch.ones(side, side, device=device, dtype=dtype)
    seconds = []
    for _ in range(n_rounds):
        start = clock(device)
        a @ a
        a @ a
        seconds.append(clock(device) - start)
    return 4 * side**3 / min(seconds)


def work_per_image(shape):
    """Return the operations of the encoder for two views, there and back."""
    with FlopCounterMode(display=False) as counter:
        ResNet18(shape[0], stem="small").eval()(torch.zeros(1, *shape))
    # Gradients of weights and of inputs take as much as the way there, each.
    return 2 * 3 * counter.get_total_flops()


def fit(options, data):
    """Fit until it is complete, or until somebody stops it; return the estimator."""
    device = resolve_device(options.device)
    dtype = getattr(torch, options.precision)
    rate = matrix_rate(device, dtype)
    print(f"{device}: {rate / 1e12:.2f} T operations/s in {options.precision}")
    lines = EpochLines(len(data.X), device, work_per_image(data.X.shape[1:]), rate)

    class Told(ESTIMATORS[options.estimator]):
        def _observers(self, *arguments):
            return [lines, *super()._observers(*arguments)]

    options.folder.mkdir(parents=True, exist_ok=True)
    model = Told(
        data.n_clusters,
        encoder="resnet18",
        pretraining="contrastive",
        pretrain_epochs=options.pretrain_epochs,
        min_pretrain_steps=0,
        batch_size=options.batch_size,
        precision=options.precision,
        device=device,
        checkpoint_dir=options.folder / options.estimator,
        random_state=options.seed,
    )
    return model.set_params(**dict(options.set)).fit(data.X)


def parameter(text):
    """Read a parameter of the estimator from NAME=NUMBER."""
    name, _, value = text.partition("=")
    return name, float(value) if set(value) & set(".e") else int(value)


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="of the checkpoints")
    parser.add_argument("--estimator", choices=ESTIMATORS, default="graph")
    parser.add_argument("--dataset", default="cifar10")
    parser.add_argument("--samples", type=int, help="take the first so many")
    parser.add_argument("--pretrain-epochs", type=int, default=500)
    parser.add_argument("--batch-size", type=int, default=512)
    parser.add_argument(
        "--precision", choices=["float32", "bfloat16"], default="bfloat16"
    )
    parser.add_argument("--device", default="auto")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--set",
        nargs="+",
        type=parameter,
        default=[],
        metavar="NAME=NUMBER",
        help="other parameters of the estimator",
    )
    options = parser.parse_args(arguments)
    try:
        data = Dataset(options.dataset, *stored(options.dataset, options.samples))
    except FileNotFoundError as error:
        raise SystemExit(f"{options.dataset}: {error}") from None
    model = fit(options, data)
    nmi = normalized_mutual_info(data.y, model.labels_)
    print(f"ACC {clustering_accuracy(data.y, model.labels_):.3f} NMI {nmi:.3f}")
    if torch.cuda.is_available():
        print(f"{torch.cuda.max_memory_allocated() / 1e6:,.0f} MB on the GPU")


if __name__ == "__main__":
    main()
