"""Memory that a fit on a memory-mapped file takes.

A file of 2 GB of float32 is made, nearly all of it holes, so that it takes little disk.
Training is short. Printed as JSON: the memory before the fit, and the most that was
reached, of which the system cannot take back a page (``anonymous``: arrays, weights).
Pages of the file that happen to be in memory are not counted; they go whenever memory
is needed for something else. Linux only::

    python benchmarks/memmap.py
"""

import argparse
import json
import os
import re
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import torch

from skdeepclust import SelfPacedContrastiveClustering

N_FEATURES = 2**14
N_TOLD = 8  # columns that tell the clusters apart
FEW = {
    "hidden_layer_sizes": (32,),
    "n_components": 8,
    "augmentation": None,
    "pretrain_epochs": 1,
    "center_epochs": 0,
    "head_epochs": 1,
    "contrastive_epochs": 1,
    "random_state": 0,
}


def anonymous_megabytes():
    """Return the memory that holds no file, in MB."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"RssAnon:\s+(\d+) kB", status).group(1)) / 1e3


class Peak(threading.Thread):
    """Looks at the memory all the time."""

    def __init__(self):
        super().__init__(daemon=True)
        self.megabytes, self.over = 0.0, False

    def run(self):
        while not self.over:
            self.megabytes = max(self.megabytes, anonymous_megabytes())
            time.sleep(0.01)

    def stop(self):
        self.over = True
        self.join()
        return self.megabytes


def make_file(path, n_samples):
    """Write three clusters; what is zero takes no disk."""
    told = np.random.default_rng(0).normal(size=(n_samples, N_TOLD)).astype(np.float32)
    told += 10 * np.eye(3, N_TOLD, dtype=np.float32)[np.arange(n_samples) % 3]
    X = np.memmap(path, np.float32, "w+", shape=(n_samples, N_FEATURES))
    X[:, :N_TOLD] = told
    X.flush()


def measure(gigabytes):
    torch.set_num_threads(1)
    n_samples = int(gigabytes * 2**30 / 4 / N_FEATURES)
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        path = Path(folder) / "X.dat"
        make_file(path, n_samples)
        X = np.memmap(path, np.float32, "r", shape=(n_samples, N_FEATURES))
        before, peak = anonymous_megabytes(), Peak()
        start = time.perf_counter()
        peak.start()
        model = SelfPacedContrastiveClustering(3, **FEW).fit(X)
        labels = model.predict(X[-4096:])
        return {
            "file_mb": round(path.stat().st_size / 1e6),
            "before_mb": round(before),
            "peak_mb": round(peak.stop()),
            "seconds": round(time.perf_counter() - start),
            "predicted": bool((labels == model.labels_[-4096:]).all()),
        }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=2.0)
    print(json.dumps(measure(parser.parse_args().gigabytes), indent=2))
