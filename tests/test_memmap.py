"""Data that stay where they are: in a file, or in a tensor."""

import tracemalloc

import numpy as np
import pytest
import torch
from conftest import QUICK
from torch import nn

from skdeepclust.training.data import InputSpec

FEW = {**QUICK, "head_epochs": 2, "contrastive_epochs": 1}
FLAT = {**FEW, "encoder": "mlp", "batch_size": 20}


def on_disk(path, X):
    written = np.memmap(path, X.dtype, "w+", shape=X.shape)
    written[:] = X
    written.flush()
    return np.memmap(path, X.dtype, "r", shape=X.shape)


@pytest.mark.filterwarnings("ignore:.*clusters are empty")
@pytest.mark.parametrize("kind", ["table", "float32", "uint8", "unit"])
def test_a_file_is_fitted_as_what_is_in_memory(tiny, blobs, images, tmp_path, kind):
    X = {
        "table": blobs[0],
        "float32": blobs[0].astype(np.float32),
        "uint8": images[0],
        "unit": (images[0] / 16).astype(np.float32),
    }[kind]
    file = on_disk(tmp_path / "X.dat", X)
    inside, outside = tiny(**FLAT).fit(X), tiny(**FLAT).fit(file)
    np.testing.assert_array_equal(outside.embedding_, inside.embedding_)
    np.testing.assert_array_equal(outside.labels_, inside.labels_)
    np.testing.assert_array_equal(outside.predict(file), inside.labels_)


class Shades(nn.Module):
    """A small encoder of large images."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3 * 4, 4)

    def forward(self, x):
        return self.linear(nn.functional.adaptive_avg_pool2d(x, 2).flatten(1))


@pytest.mark.filterwarnings("ignore:.*clusters are empty")
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_file_is_read_batch_by_batch(tiny, tmp_path, dtype):
    X = np.random.default_rng(0).integers(255, size=(300, 3, 64, 64), dtype=np.uint8)
    file = on_disk(tmp_path / "X.dat", X.astype(dtype))
    model = tiny(encoder=Shades(), batch_size=8, resolution=None, **FEW)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    model.fit(file).predict(file)
    peak = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    assert peak < file.nbytes / 2


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    "X",
    [
        torch.randint(0, 255, (20, 8, 8), dtype=torch.uint8),
        torch.rand(20, 1, 8, 8),
    ],
    ids=["uint8", "unit"],
)
def test_a_tensor_of_images_is_not_copied(tiny, X):
    """What is written to it while it is fitted is seen."""
    seen = []

    def darken(batch):
        seen.append(batch.clone())
        X.zero_()
        return batch

    tiny(augmentation=darken, resolution=None, **FLAT).fit(X)
    assert seen[0].any()
    assert not seen[-1].any()


def test_a_large_table_is_scaled_as_a_whole():
    """Of more values than are brought to float64 at once, 2**23."""
    X = np.random.default_rng(0).normal(3, 2, size=(2_200, 4_000)).astype(np.float32)
    spec = InputSpec.from_data(X, (4_000,))
    mean, variance = X.mean(0, dtype=np.float64), X.var(0, dtype=np.float64)
    np.testing.assert_allclose(spec.offset, mean, rtol=1e-12)
    assert spec.scale == pytest.approx(np.sqrt(variance.mean()), rel=1e-12)
    expected = ((X - spec.offset) / spec.scale).astype(np.float32)
    np.testing.assert_array_equal(spec.store(X), expected)
