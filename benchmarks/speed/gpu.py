"""A GPU at work: views, steps of training and neighbors, beside what it can do.

Photographs of 3 x 32 x 32, random ones, and a ResNet-18 that two views of each are put
through, as in contrastive pretraining; beside it a bare loop of the same, both views at
once. What is timed is the clock, once the device has done its work::

    python -m benchmarks gpu
    python -m benchmarks gpu --fits mnist_10k fashion_mnist

The second line fits both estimators to all of a data set. The records go into
``benchmarks/results/gpu.json``, the tables into the documentation. On a CPU it does the
same with few images, and writes only where it is told to.
"""

import json
import statistics
import time
from contextlib import nullcontext
from functools import partial

import torch
from sklearn.base import clone
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.common import tables
from benchmarks.common.data import Dataset, stored
from benchmarks.common.records import Command
from skdeepclust import GraphContrastiveClustering, SelfPacedContrastiveClustering
from skdeepclust._stages.context import Context
from skdeepclust._stages.pretraining import PretrainingParameters, PretrainingStage
from skdeepclust.graph import nearest_neighbors
from skdeepclust.metrics import clustering_accuracy, normalized_mutual_info
from skdeepclust.networks import ResNet18
from skdeepclust.training.data import Batches, InputSpec
from skdeepclust.training.device import repeatable, resolve_device
from skdeepclust.training.loop import Training
from skdeepclust.views import ImageViews

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
SIDES = {"cpu": 1024, "cuda": 8192}  # of the products that measure a device
COPIED = {"cpu": 2**24, "cuda": 2**30}  # bytes that are copied
_CROP = {"degrees": 0.0, "shift": 0.0, "scale": 0.0, "crop": (0.2, 1.0), "flip": True}
_COLOR = {**_CROP, "jitter": 0.4, "saturation": 0.4, "gray": 0.2}
# SimCLR's views of photographs, each set with one kind of change more.
SIMCLR_VIEWS = {
    "crop and flip": ImageViews(**_CROP),
    "and color": ImageViews(**_COLOR),
    "and hue": ImageViews(**_COLOR, hue=0.1),
    "and blur": ImageViews(**_COLOR, hue=0.1, blur=0.5),
}
VIEWS = SIMCLR_VIEWS["and hue"]  # on photographs this small SimCLR does not blur

# ------------------------------------------------------------- how fast a device is


def clock(device):
    """Return the time, once the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def name_of(device):
    """Return what the makers call a device."""
    is_cuda = device.type == "cuda"
    return torch.cuda.get_device_name(device) if is_cuda else device.type


def forget_peak(device):
    """Begin a new measurement of the memory's peak."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_megabytes(device):
    """Return the most memory that torch held on a GPU; None on a CPU."""
    if device.type != "cuda":
        return None
    return torch.cuda.max_memory_allocated(device) / 1e6


def round_seconds(run, device, n_rounds):
    """Return the seconds of some rounds, after one that warms up."""
    run()
    seconds = []
    for _ in range(n_rounds):
        start = clock(device)
        run()
        seconds.append(clock(device) - start)
    return seconds


def best_seconds(run, device, n_rounds=10):
    """Return the seconds of the best round: others share the machine."""
    return min(round_seconds(run, device, n_rounds))


def matrix_rate(device, dtype):
    """Return the multiplications and additions per second of large products."""
    side = SIDES.get(device.type, SIDES["cpu"])
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    return 2 * side**3 / best_seconds(lambda: a @ b, device)


def copy_rate(device):
    """Return the bytes read and written per second when memory is copied."""
    n_bytes = COPIED.get(device.type, COPIED["cpu"])
    source = torch.ones(n_bytes, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * n_bytes / best_seconds(lambda: target.copy_(source), device)


def work_per_image(shape):
    """Return the operations of a ResNet-18 for two views, there and back."""
    with FlopCounterMode(display=False) as counter:
        ResNet18(shape[0], stem="small").eval()(torch.zeros(1, *shape))
    # Gradients of weights and of inputs take as much as the way there, each.
    return 2 * 3 * counter.get_total_flops()


# ------------------------------------------------------------------ steps of training


def untrained(estimator, X):
    """Return the network that a fit to such samples starts from, to be trained."""
    nothing = {n: 0 for n in estimator.get_params() if n.endswith("_epochs")}
    network = clone(estimator).set_params(resolution=None, **nothing).fit(X).network_
    return network.requires_grad_(True)


def pretrain_epoch(estimator, network, batches, views, generator):
    """Train for an epoch of stage 0, as `fit` does."""
    context = Context(network, batches, views, generator, 2, batches.data)
    kind, size = estimator.pretraining, estimator.batch_size
    parameters = PretrainingParameters(kind, 1, size, estimator.learning_rate)
    training = Training(network, len(batches), generator=generator)
    training.run(lambda: PretrainingStage(parameters, context))


def photographs(n):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (n, *SHAPE), generator=generator, dtype=torch.uint8)


def prepared(device, sizes, precision):
    """Return an estimator, its network and images, as `fit` would have them."""
    estimator = GraphContrastiveClustering(
        2,
        encoder="resnet18",
        n_components=N_COMPONENTS,
        pretraining="contrastive",
        batch_size=sizes["batch"],
        learning_rate=1e-3,
        device=device,
        precision=precision,
        random_state=0,
    )
    X = photographs(sizes["batch"] * sizes["steps"]).numpy()
    network = untrained(estimator, X[: sizes["batch"]])
    rows = X.reshape(len(X), -1)
    batches = Batches(rows, InputSpec.from_data(rows, SHAPE), device)
    return estimator, network, batches


def our_steps(device, sizes, precision, kind):
    """Return a function that trains for one epoch as `fit` does."""
    prepared_parts = prepared(device, sizes, precision)
    generator = torch.Generator(device).manual_seed(0)

    def run():
        with repeatable(device) if kind == "repeatable" else nullcontext():
            pretrain_epoch(*prepared_parts, VIEWS, generator)

    return run


def bare_steps(device, sizes, precision):
    """Return a function that does the same in a loop of bare torch."""
    _, network, batches = prepared(device, sizes, precision)
    encoder = network.autoencoder.encoder
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
            both = torch.cat([VIEWS(x, generator), VIEWS(x, generator)])
            with torch.autocast(device.type, dtype, enabled=cast):
                h = encoder(both)
            h = functional.normalize(h.float(), dim=1)
            logits = (h @ h.T / 0.5).masked_fill(itself, -torch.inf)
            optimizer.zero_grad()
            functional.cross_entropy(logits, partner).backward()
            optimizer.step()

    return run


# -------------------------------------------------------------------------- records


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
    work, found = work_per_image(SHAPE), torch.backends.cudnn.benchmark
    for precision, cudnn, kind in (
        ("float32", False, "fit"),
        ("bfloat16", False, "fit"),
        ("bfloat16", False, "repeatable"),
        ("bfloat16", True, "fit"),
        ("bfloat16", True, "bare loop"),
    ):
        run = (
            bare_steps(device, sizes, precision)
            if kind == "bare loop"
            else our_steps(device, sizes, precision, kind)
        )
        # Not the package's to set: it is a setting of the whole process.
        torch.backends.cudnn.benchmark = cudnn
        forget_peak(device)
        start = clock(device)
        run()
        first = clock(device) - start
        n_images = sizes["batch"] * sizes["steps"]
        speed = n_images / statistics.median(round_seconds(run, device, n_rounds))
        torch.backends.cudnn.benchmark = found
        yield {
            "task": f"pretraining: {kind}, {precision}" + ", cudnn.benchmark" * cudnn,
            "images": speed,
            # Convolutions in float32 are in TF32, unless a user forbids it.
            "share": None
            if precision == "float32"
            else work * speed / rates[precision],
            "first": first,
            "megabytes": peak_megabytes(device),
        }
    h = torch.randn(
        sizes["neighbors"], N_COMPONENTS, generator=generator, device=device
    )
    seconds = best_seconds(partial(nearest_neighbors, h, 10), device, 3)
    yield {"task": f"10 neighbors of {len(h):,} x {N_COMPONENTS}", "seconds": seconds}


def measure_fits(device, names, seeds):
    """Yield a record for each data set, estimator and seed; defaults, but for K."""
    for name in names:
        data = Dataset(name, *stored(name))
        for title, estimator in ESTIMATORS.items():
            for seed in seeds:
                forget_peak(device)
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
    """Return the tables, as lines of reStructuredText."""
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
            f"{record[name] / unit:,.{decimals}f} {what}"
            for name, unit, decimals, what in (
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
    lines = [*tables.csv_table(f"Parts: {title}", columns, rows)]
    if fits:
        columns = ["", "n", "ACC", "NMI", "Seconds", "MB"]
        lines += tables.csv_table(f"Fits with the defaults: {title}", columns, fits)
    return lines


COMMAND = Command("gpu", __doc__, ("task",), make_tables)


def main(arguments=None):
    parser = COMMAND.parser()
    parser.add_argument("--device", default="auto")
    parser.add_argument("--fits", nargs="+", default=[], help="data sets to fit")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    options = parser.parse_args(arguments)
    if not options.table_only:
        device = resolve_device(options.device)
        if device.type == "cpu" and options.results == parser.get_default("results"):
            raise SystemExit("No GPU: nothing is recorded; name --results and --table.")
        measured = (
            measure_fits(device, options.fits, options.seeds)
            if options.fits
            else measure_all(device)
        )
        for record in measured:
            record |= {"device": name_of(device), "torch": torch.__version__}
            print(json.dumps(record), flush=True)
            COMMAND.put(options, [record])
    COMMAND.write(options)
