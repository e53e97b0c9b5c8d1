"""A GPU at work: views, steps of training and neighbours, beside what it can do.

Photographs of 3 x 32 x 32, random ones, and a ResNet-18 that two views of each are put
through, as in contrastive pretraining; beside it a bare loop of the same, both views at
once. What is timed is the clock, once the device has done its work::

    python benchmarks/gpu.py
    python benchmarks/gpu.py --fits mnist_10k fashion_mnist

The second line fits both estimators to all of a data set. The records go into
``benchmarks/results/gpu.json``, the tables into the documentation. On a CPU it does the
same with few images, and writes only where it is told to.
"""

import argparse
import json
import statistics
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import torch
from datasets import ROOT, Dataset, stored
from rates import (
    best_seconds,
    clock,
    copy_rate,
    matrix_rate,
    name_of,
    peak_megabytes,
    round_seconds,
    work_per_image,
)
from records import put_record, read_records, write_atomically
from simclr_views import SIMCLR_VIEWS
from tables import csv_table
from torch.nn import functional

from skdeepclust import GraphContrastiveClustering, SelfPacedContrastiveClustering
from skdeepclust._stages.pretraining import pretraining_stage
from skdeepclust.graph import nearest_neighbors
from skdeepclust.metrics import clustering_accuracy, normalized_mutual_info
from skdeepclust.training import (
    Batches,
    InputSpec,
    compiled,
    repeatable,
    resolve_device,
    run_stages,
)

RESULTS = ROOT / "benchmarks" / "results" / "gpu.json"
TABLE = ROOT / "doc" / "_generated" / "gpu.rst"
ESTIMATORS = {
    "graph": GraphContrastiveClustering,
    "self-paced": SelfPacedContrastiveClustering,
}
SHAPE = (3, 32, 32)
N_COMPONENTS = 128
SIZES = {  # of what is measured: quick on a CPU, enough to fill a GPU
    "cpu": {"views": 64, "batch": 16, "steps": 2, "neighbors": 500},
    "cuda": {"views": 4096, "batch": 500, "steps": 40, "neighbors": 60_000},
}
ROUNDS = {"cpu": 2, "cuda": 5}


def photographs(n):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (n, *SHAPE), generator=generator, dtype=torch.uint8)


def prepared(device, sizes, precision):
    """Return an estimator, its network and images, as `fit` would have them."""
    estimator = GraphContrastiveClustering(
        encoder="resnet18",
        n_components=N_COMPONENTS,
        pretraining="contrastive",
        pretrain_epochs=1,
        batch_size=sizes["batch"],
        learning_rate=1e-3,
        precision=precision,
    )
    X = photographs(sizes["batch"] * sizes["steps"]).flatten(1).numpy()
    spec = InputSpec.from_data(X, SHAPE)
    with torch.random.fork_rng(devices=[]):
        estimator.n_clusters_ = estimator.n_clusters  # as `fit` does
        network = estimator._build_network(spec).to(device)
    return estimator, network, Batches(X, spec, device)


def our_steps(device, sizes, precision, kind):
    """Return a function that trains for one epoch as `fit` does."""
    estimator, network, batches = prepared(device, sizes, precision)
    generator = torch.Generator(device).manual_seed(0)
    if kind == "compiled":
        network.compiled = compiled(network.autoencoder.encoder, device)

    def run():
        parts = (estimator, network, batches, SIMCLR_VIEWS["and hue"], generator)
        stage = partial(pretraining_stage, *parts, n_epochs=1)
        with repeatable(device) if kind == "repeatable" else nullcontext():
            run_stages(network, [stage], len(batches), generator=generator)

    return run


def bare_steps(device, sizes, precision):
    """Return a function that does the same in a loop of bare torch."""
    _, network, batches = prepared(device, sizes, precision)
    encoder, views = network.autoencoder.encoder, SIMCLR_VIEWS["and hue"]
    generator = torch.Generator(device).manual_seed(0)
    optimizer = torch.optim.Adam(encoder.parameters(), 1e-3, fused=True)
    n = sizes["batch"]
    itself = torch.eye(2 * n, dtype=torch.bool, device=device)
    partner = torch.arange(2 * n, device=device).roll(n)
    dtype, cast = getattr(torch, precision), precision != "float32"

    def run():
        encoder.train()
        for index in torch.randperm(len(batches), device=device).split(n):
            x = batches.data[index].float() / 255
            both = torch.cat([views(x, generator), views(x, generator)])
            with torch.autocast(device.type, dtype, enabled=cast):
                h = encoder(both)
            h = functional.normalize(h.float(), dim=1)
            logits = (h @ h.T / 0.5).masked_fill(itself, -torch.inf)
            optimizer.zero_grad()
            functional.cross_entropy(logits, partner).backward()
            optimizer.step()

    return run


def measure_all(device):
    """Yield records: what was measured, and its numbers."""
    sizes = SIZES.get(device.type, SIZES["cpu"])
    rates = {
        name: matrix_rate(device, getattr(torch, name))
        for name in ("float32", "bfloat16")
    }
    for name, rate in rates.items():
        yield {"task": f"product of matrices, {name}", "operations": rate}
    yield {"task": "copying memory", "bytes": copy_rate(device)}
    n_rounds = ROUNDS.get(device.type, ROUNDS["cpu"])
    x = photographs(sizes["views"]).to(device) / 255
    generator = torch.Generator(device).manual_seed(0)
    for name, views in SIMCLR_VIEWS.items():
        transform = partial(views, x, generator)
        seconds = statistics.median(round_seconds(transform, device, n_rounds))
        yield {"task": f"views: {name}", "images": len(x) / seconds}
    work = work_per_image(SHAPE)
    for precision, cudnn, kind in (
        ("float32", False, "fit"),
        ("bfloat16", False, "fit"),
        ("bfloat16", False, "repeatable"),
        ("bfloat16", True, "fit"),
        ("bfloat16", True, "bare loop"),
        ("bfloat16", True, "compiled"),
    ):
        # Not the package's to set: it is a setting of the whole process.
        torch.backends.cudnn.benchmark = cudnn
        cast = precision != "float32"
        run = (
            bare_steps(device, sizes, precision)
            if kind == "bare loop"
            else our_steps(device, sizes, precision, kind)
        )
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        start = clock(device)
        run()
        first = clock(device) - start
        n_images = sizes["batch"] * sizes["steps"]
        speed = n_images / statistics.median(round_seconds(run, device, n_rounds))
        yield {
            "task": f"pretraining: {kind}, {precision}" + ", cudnn.benchmark" * cudnn,
            "images": speed,
            # Convolutions in float32 are in TF32, unless a user forbids it.
            "share": work * speed / rates[precision] if cast else None,
            "first": first,
            "megabytes": peak_megabytes(device),
        }
    h = torch.randn(
        sizes["neighbors"], N_COMPONENTS, generator=generator, device=device
    )
    search = partial(nearest_neighbors, h, 10)
    seconds = best_seconds(search, device, 3)
    yield {"task": f"10 neighbours of {len(h):,} x {N_COMPONENTS}", "seconds": seconds}


def measure_fits(device, names, seeds):
    """Yield a record for each data set, estimator and seed; defaults, but for K."""
    for name in names:
        data = Dataset(name, *stored(name))
        for title, estimator in ESTIMATORS.items():
            for seed in seeds:
                if device.type == "cuda":
                    torch.cuda.reset_peak_memory_stats(device)
                model = estimator(data.n_clusters, random_state=seed, device=device)
                start = clock(device)
                model.fit(data.X)
                yield {
                    "task": f"{title}, {name}, seed {seed}",
                    "n_samples": len(data.y),
                    "seconds": clock(device) - start,
                    "acc": clustering_accuracy(data.y, model.labels_),
                    "nmi": normalized_mutual_info(data.y, model.labels_),
                    "megabytes": peak_megabytes(device),
                }


def make_tables(records):
    """Return the tables, as reStructuredText."""
    rows, fits = [], []
    for record in records:
        memory = record.get("megabytes")
        memory = f"{memory:,.0f}" if memory else ""
        if "acc" in record:
            scores = f"{record['acc']:.3f}", f"{record['nmi']:.3f}"
            n, seconds = f"{record['n_samples']:,}", f"{record['seconds']:.1f}"
            fits.append((record["task"], n, *scores, seconds, memory))
            continue
        speed = next(
            f"{record[name] / unit:,.{digits}f} {what}"
            for name, unit, digits, what in (
                ("operations", 1e12, 0, "T operations/s"),
                ("bytes", 1e12, 2, "TB/s"),
                ("images", 1, 0, "images/s"),
                ("seconds", 1, 2, "s"),
            )
            if name in record
        )
        share = f"{record['share']:.1%}" if record.get("share") else ""
        rows.append((record["task"], speed, share, memory))
    title = f"{records[0]['device']}, torch {records[0]['torch']}"
    columns = ["", "Speed", "Of the products' rate", "MB"]
    lines = [".. Written by benchmarks/gpu.py; do not edit.", ""]
    lines += csv_table(f"Parts: {title}", columns, rows)
    if fits:
        columns = ["", "n", "ACC", "NMI", "Seconds", "MB"]
        lines += csv_table(f"Fits with the defaults: {title}", columns, fits)
    return "\n".join(lines)


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="auto")
    parser.add_argument("--fits", nargs="+", default=[], help="data sets to fit")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--table", type=Path, default=TABLE)
    parser.add_argument(
        "--table-only", action="store_true", help="write the table and run nothing"
    )
    options = parser.parse_args(arguments)
    if not options.table_only:
        device = resolve_device(options.device)
        if device.type == "cpu" and options.results == RESULTS:
            raise SystemExit("No GPU: nothing is recorded; name --results and --table.")
        measured = (
            measure_fits(device, options.fits, options.seeds)
            if options.fits
            else measure_all(device)
        )
        for record in measured:
            record |= {"device": name_of(device), "torch": torch.__version__}
            print(json.dumps(record), flush=True)
            put_record(options.results, record, ["task"])
    write_atomically(options.table, make_tables(read_records(options.results)))


if __name__ == "__main__":
    main()
