"""How fast a device is, and what the encoder asks of it."""

import time

import torch
from torch.utils.flop_counter import FlopCounterMode

from skdeepclust.networks import ResNet18

SIDES = {"cpu": 1024, "cuda": 8192}  # of the products that measure a device
COPIED = {"cpu": 2**24, "cuda": 2**30}  # bytes that are copied


def clock(device):
    """Return the time, once the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def name_of(device):
    """Return what the makers call a device."""
    is_cuda = device.type == "cuda"
    return torch.cuda.get_device_name(device) if is_cuda else device.type


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
