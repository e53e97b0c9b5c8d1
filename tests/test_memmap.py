"""Data that stay where they are: in a file, or in a tensor."""

import numpy as np
import pytest
import torch

from skdeepclust._utils.units import parts_of
from skdeepclust.training import Batches, InputSpec, as_rows

CPU = torch.device("cpu")


def on_disk(path, X):
    written = np.memmap(path, X.dtype, "w+", shape=X.shape)
    written[:] = X
    written.flush()
    return np.memmap(path, X.dtype, "r", shape=X.shape)


@pytest.fixture
def mapped(request, blobs, images, tmp_path):
    """Give data in memory, and in a file."""
    X = {
        "table": blobs[0],
        "float32": blobs[0].astype(np.float32),
        "uint8": images[0],
        "unit": (images[0] / 16).astype(np.float32),
    }[request.param]
    return X, on_disk(tmp_path / "X.dat", X)


@pytest.mark.parametrize("mapped", ["table", "float32", "uint8", "unit"], indirect=True)
def test_batches_of_a_file_are_those_of_memory(mapped):
    both = []
    for X in mapped:
        rows, shape = as_rows(X)[:2]
        spec = InputSpec.from_data(rows, shape or (rows.shape[1],))
        both.append(Batches(rows, spec, CPU))
    inside, outside = both
    assert isinstance(inside.data, torch.Tensor)
    assert np.shares_memory(outside.data, mapped[1])
    assert len(inside) == len(outside) == len(mapped[0])
    index = torch.tensor([3, 100, 3])
    torch.testing.assert_close(outside.take(index), inside.take(index), rtol=0, atol=0)
    everything = [batches.map(lambda x: x.flatten(1)) for batches in both]
    torch.testing.assert_close(*everything, rtol=0, atol=0)


@pytest.mark.parametrize("mapped", ["float32", "uint8"], indirect=True)
def test_fit_reads_a_file_batch_by_batch(tiny, mapped, monkeypatch):
    X, file = mapped
    read = []
    store = InputSpec.store
    few = {"pretrain_epochs": 2, "center_epochs": 2, "batch_size": 20}
    inside = tiny(encoder="mlp", **few).fit(X)
    monkeypatch.setattr(
        InputSpec, "store", lambda self, X: read.append(len(X)) or store(self, X)
    )
    outside = tiny(encoder="mlp", **few).fit(file)
    assert min(read) <= 25
    np.testing.assert_array_equal(outside.embedding_, inside.embedding_)
    np.testing.assert_array_equal(outside.predict(file), inside.labels_)


@pytest.mark.parametrize(
    "X",
    [
        torch.randint(0, 255, (20, 8, 8), dtype=torch.uint8),
        torch.rand(20, 1, 8, 8),
    ],
    ids=["uint8", "unit"],
)
def test_tensor_of_images_is_not_copied(tiny, X):
    batches = Batches(*tiny()._validate(X, reset=True), CPU)
    assert batches.data.data_ptr() == X.data_ptr()


def test_table_in_blocks_is_scaled_as_a_whole(blobs, monkeypatch):
    X = blobs[0].astype(np.float32)
    whole = InputSpec.from_data(X, (6,))
    stored = whole.store(X)
    monkeypatch.setattr(parts_of, "__defaults__", (100,))
    blocks = InputSpec.from_data(X, (6,))
    np.testing.assert_allclose(blocks.offset, whole.offset, rtol=1e-12)
    assert blocks.scale == pytest.approx(whole.scale, rel=1e-12)
    assert torch.equal(whole.store(X), stored)
