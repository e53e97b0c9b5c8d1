"""Settings of the process that several threads change."""

import os

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from skdeepclust._utils.threads import SharedSetting


@pytest.fixture
def value():
    return [0]


@pytest.fixture
def setting(value):
    """Set the value to 1 as long as anyone is in the scope."""

    def leave(found, is_last):
        if is_last:
            value[0] = found

    return SharedSetting(lambda: value[0], lambda found: value.__setitem__(0, 1), leave)


def test_the_last_one_out_puts_back_what_the_first_one_found(setting, value):
    value[0] = 7
    first, second = setting.scope(), setting.scope()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert value == [1]
    second.__exit__(None, None, None)
    assert value == [7]
    value[0] = 8
    with setting.scope():
        assert value == [1]
    assert value == [8]


def test_an_error_in_the_scope_puts_it_back(setting, value):
    with pytest.raises(RuntimeError, match="on purpose"), setting.scope():
        raise RuntimeError(f"on purpose, with {value}")
    assert value == [0]


def test_a_scope_that_cannot_be_entered_counts_nobody(value):
    def fail(found):
        raise RuntimeError("on purpose")

    setting = SharedSetting(lambda: value[0], fail, lambda found, is_last: None)
    for value[0] in (1, 2):
        with pytest.raises(RuntimeError, match="on purpose"), setting.scope():
            pass
        assert setting._within.found == value[0]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork")
def test_a_forked_process_starts_outside_and_without_the_lock(setting, value):
    with setting.scope():
        value[0] = 5
        setting._within.lock.acquire()
        child = os.fork()
        if child == 0:
            with setting.scope():
                within = value[0]
            os._exit(0 if (within, value[0]) == (1, 5) else 1)
        setting._within.lock.release()
        assert os.waitpid(child, 0)[1] == 0


# ------------------------------------------------------------------------ whole fits


@pytest.fixture
def two_threads():
    found = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(found)


@pytest.mark.parametrize(
    ("parameters", "n_threads"),
    [
        ({}, 1),
        ({"encoder": "conv", "image_shape": (8, 8)}, 1),
        ({"hidden_layer_sizes": (1000, 1000)}, 2),
        ({"encoder": nn.Linear(64, 4)}, 2),
    ],
    ids=["mlp", "conv", "many weights", "module"],
)
def test_small_networks_train_on_one_thread(tiny, two_threads, parameters, n_threads):
    seen = set()

    def look(batch):
        seen.add(torch.get_num_threads())
        return batch

    X = load_digits().data[:120]
    given = {"pretrain_epochs": 1, "head_epochs": 1, "image_shape": None}
    tiny(**{**given, "augmentation": look, **parameters}).fit(X)
    assert seen == {n_threads}
    assert torch.get_num_threads() == 2
