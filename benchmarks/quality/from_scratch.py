"""Photographs from scratch on a GPU, in runs that are cut off and resume::

    timeout 600 python -m benchmarks from_scratch runs/cifar10
    python -m benchmarks from_scratch runs/cifar10 --estimator self_paced \\
        --encoder runs/cifar10/encoder.pt

The same command again resumes from the last checkpoint in the folder, until the fit is
complete and its record is in ``benchmarks/results/from_scratch.json``. The encoder that
stage 0 has pretrained is left in the folder as well, for another estimator to start
from.

There is a line for each epoch: its seconds, images per second, and the share that the
encoder's products are of what the device can do, which is measured at the start.
Embeddings of all samples, graphs and partitions are in the seconds of the epoch that
they precede. After a stage there is the share of nearest neighbors that are of one
class, and ACC of the cluster head: labels are looked at for these two alone. On a CPU
take few samples and epochs: the code is the same.
"""

import json
from pathlib import Path

import numpy as np
import torch
from torch import nn

from benchmarks.common import tables
from benchmarks.common.data import Dataset, stored
from benchmarks.common.records import Command, write_atomically
from benchmarks.speed.gpu import (
    N_COMPONENTS,
    VIEWS,
    clock,
    matrix_rate,
    name_of,
    peak_megabytes,
    work_per_image,
)
from skdeepclust import GraphContrastiveClustering, SelfPacedContrastiveClustering
from skdeepclust.graph import nearest_neighbors
from skdeepclust.metrics import clustering_accuracy, normalized_mutual_info
from skdeepclust.networks import ResNet18, load_weights
from skdeepclust.training.device import resolve_device
from skdeepclust.training.events import Observer

ESTIMATORS = {
    "graph": GraphContrastiveClustering,
    "self_paced": SelfPacedContrastiveClustering,
}
HEADS = ("head", "final_head")


class EpochLines(Observer):
    """Prints a line for each epoch, and what the embedding is worth after a stage.

    `work` is the multiplications and additions for one image in a step of training,
    `rate` how many the device can do in a second. What comes before an interruption
    counts too: it is in the file `progress`.
    """

    def __init__(self, data, device, work, rate, folder, progress):
        self.data, self.device, self.work, self.rate = data, device, work, rate
        self.folder, self.progress = folder, progress
        known = json.loads(progress.read_text()) if progress.is_file() else [{}, []]
        self.seconds, self.stages = known

    def watch(self, network, batches):
        self.network, self.batches = network, batches
        return self

    def stage_begin(self, stage, n_epochs):
        self.name, self.n_epochs = stage.name, n_epochs
        self.start = clock(self.device)

    def epoch_end(self, epoch, values):
        end = clock(self.device)
        seconds, self.start = end - self.start, end
        # An epoch that was lost with the last checkpoint counts once.
        known = self.seconds.setdefault(self.name, [])
        known[epoch - 1 :] = [seconds]
        write_atomically(self.progress, json.dumps([self.seconds, self.stages]))
        speed = len(self.data.y) / seconds
        share = ""
        if self.name not in HEADS:
            # A head is trained on embeddings: no image passes the encoder.
            share = f"{self.work * speed / self.rate:8.1%}"
        print(
            f"{self.name:12}{epoch:5}/{self.n_epochs:<5} loss {values['loss']:8.4f}"
            f"{seconds:9.2f} s{speed:12,.0f} images/s{share}",
            flush=True,
        )
        return False

    def stage_end(self):
        encoder = self.network.autoencoder.encoder
        if self.name == "pretraining":
            torch.save(encoder.state_dict(), self.folder / "encoder.pt")
        self.network.eval()
        h = self.batches.map(self.network.embed)
        near = nearest_neighbors(h, 5)[0].cpu().numpy()
        purity = (self.data.y[near] == self.data.y[:, None]).mean()
        labels = self.network.assign(h).argmax(1).cpu().numpy()
        accuracy = clustering_accuracy(self.data.y, labels)
        print(f"{self.name}: neighbors alike {purity:.3f}, head's ACC {accuracy:.3f}")
        if self.name in [name for name, *_ in self.stages]:
            self.stages.pop()
        self.stages.append([self.name, round(float(purity), 3), round(accuracy, 3)])
        write_atomically(self.progress, json.dumps([self.seconds, self.stages]))


def pretrained(path, n_channels):
    """Return the encoder of another run, with the layout that is fast on a GPU."""
    encoder = nn.Sequential(
        ResNet18(n_channels, stem="small"), nn.Linear(512, N_COMPONENTS)
    )
    return load_weights(encoder, path).to(memory_format=torch.channels_last)


def fit(options, data):
    """Fit until it is complete, or until somebody stops it; return the record."""
    device = resolve_device(options.device)
    rate = matrix_rate(device, getattr(torch, options.precision))
    print(f"{device}: {rate / 1e12:.2f} T operations/s in {options.precision}")
    work = work_per_image(data.X.shape[1:])
    progress = options.folder / f"{options.estimator}.json"
    lines = EpochLines(data, device, work, rate, options.folder, progress)

    class Told(ESTIMATORS[options.estimator]):
        def _observers(self, run, batches, task):
            own = super()._observers(run, batches, task)
            return [lines.watch(run.network, batches), *own]

    options.folder.mkdir(parents=True, exist_ok=True)
    parameters = {
        "pretrain_epochs": 0 if options.encoder else options.pretrain_epochs,
        "batch_size": options.batch_size,
        "learning_rate": 1e-3,
        "precision": options.precision,
        **dict(options.set),
    }
    encoder = "resnet18"
    if options.encoder:
        encoder = pretrained(options.encoder, data.X.shape[1])
    model = Told(
        data.n_clusters,
        encoder=encoder,
        n_components=N_COMPONENTS,
        augmentation=VIEWS,
        pretraining="contrastive",
        device=device,
        checkpoint_dir=options.folder / options.estimator,
        random_state=options.seed,
        **parameters,
    )
    model.fit(data.X)
    progress.unlink()
    return {
        "dataset": data.name,
        "n_samples": len(data.y),
        "estimator": options.estimator,
        "seed": options.seed,
        "encoder": "given" if options.encoder else "from scratch",
        "acc": round(clustering_accuracy(data.y, model.labels_), 4),
        "nmi": round(normalized_mutual_info(data.y, model.labels_), 4),
        "parameters": parameters,
        "epochs": {name: len(each) for name, each in lines.seconds.items()},
        "seconds": {name: round(sum(each), 1) for name, each in lines.seconds.items()},
        "epoch_seconds": {
            name: round(float(np.median(each)), 3)
            for name, each in lines.seconds.items()
        },
        "stages": lines.stages,
        "work": work,
        "rate": rate,
        "megabytes": peak_megabytes(device),
        "device": name_of(device),
        "torch": torch.__version__,
    }


def make_tables(records):
    """Return the tables, as lines of reStructuredText."""
    fits, stages = [], []
    for record in records:
        stage = next(name for name in record["epochs"] if name not in HEADS)
        seconds = record["epoch_seconds"][stage]
        speed = record["n_samples"] / seconds
        memory = record["megabytes"]
        name = record["estimator"].replace("_", "-")
        fits.append(
            (
                name,
                record["seed"],
                f"{record['acc']:.3f}",
                f"{record['nmi']:.3f}",
                f"{sum(record['seconds'].values()):,.0f}",
                f"{seconds:.2f}",
                f"{speed:,.0f}",
                f"{record['work'] * speed / record['rate']:.1%}",
                f"{memory:,.0f}" if memory else "",
            )
        )
        titles = [title for title, *_ in record["stages"]]
        for title, purity, accuracy in record["stages"]:
            # In older records the first and the last head have one name.
            n = record["epochs"][title] // titles.count(title)
            # No head has been trained before.
            of_head = "" if title in ("pretraining", "center") else f"{accuracy:.3f}"
            stages.append((name, title, n, f"{purity:.3f}", of_head))
    columns = ["Estimator", "Seed", "ACC", "NMI", "Seconds"]
    columns += ["Of an epoch", "Images/s", "Of the products' rate", "MB"]
    first = records[0]
    title = f"{first['dataset']}, {first['device']}, torch {first['torch']}"
    lines = [*tables.csv_table(f"Fits: {title}", columns, fits)]
    columns = ["Estimator", "After", "Epochs", "Neighbors alike", "ACC of the head"]
    return [*lines, *tables.csv_table("After each stage", columns, stages)]


def parameter(text):
    """Read a parameter of the estimator from NAME=VALUE."""
    name, _, value = text.partition("=")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


KEY = ("dataset", "n_samples", "estimator", "seed")
COMMAND = Command("from_scratch", __doc__, KEY, make_tables)


def main(arguments=None):
    parser = COMMAND.parser()
    parser.add_argument("folder", type=Path, nargs="?", help="of the checkpoints")
    parser.add_argument("--estimator", choices=ESTIMATORS, default="graph")
    parser.add_argument("--encoder", type=Path, help="of another run: no stage 0")
    parser.add_argument("--dataset", default="cifar10")
    parser.add_argument("--samples", type=int, help="take the first so many")
    parser.add_argument("--pretrain-epochs", type=int, default=500)
    parser.add_argument("--batch-size", type=int, default=500)
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
        metavar="NAME=VALUE",
        help="other parameters of the estimator",
    )
    options = parser.parse_args(arguments)
    if not options.table_only:
        try:
            data = Dataset(options.dataset, *stored(options.dataset, options.samples))
        except FileNotFoundError as error:
            raise SystemExit(f"{options.dataset}: {error}") from None
        record = fit(options, data)
        print(f"ACC {record['acc']:.3f} NMI {record['nmi']:.3f}")
        COMMAND.put(options, [record])
    COMMAND.write(options)
