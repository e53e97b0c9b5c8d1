"""What `verbose` shows: which epochs, where the lines go, and what is in them."""

import io
import itertools
import logging
import re
from contextlib import contextmanager, redirect_stdout

import pytest
from test_callbacks import Spy

from skdeepclust.training.events import History
from skdeepclust.training.stage import Stage

# Fits of an epoch a stage may leave clusters empty.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
LINE = re.compile(r"(\S.*?)  epoch (\d+)/(\d+)  (loss \S+.*)  (\d+) s left")


@contextmanager
def unconfigured():
    """Logging as it is in a fresh interpreter: pytest has handlers of its own."""
    own, root = logging.getLogger("skdeepclust"), logging.getLogger()
    kept = own.level, own.handlers, own.propagate, root.handlers
    own.handlers, root.handlers = [], []
    own.setLevel(logging.NOTSET)
    try:
        yield own, root
    finally:
        level, own.handlers, own.propagate, root.handlers = kept
        own.setLevel(level)


def quick(tiny, **parameters):
    epochs = ("pretrain_epochs", "center_epochs", "head_epochs", "contrastive_epochs")
    return tiny(**{**dict.fromkeys(epochs, 1), **parameters})


def shown(caplog):
    """Return stage, epoch, number of epochs, terms and seconds of each line."""
    matches = [LINE.fullmatch(record.getMessage()) for record in caplog.records]
    assert all(matches), caplog.text
    return [
        (stage, int(epoch), int(n_epochs), terms, int(seconds))
        for stage, epoch, n_epochs, terms, seconds in (m.groups() for m in matches)
    ]


def epochs_shown(caplog, verbose, n_epochs, ends_after=None, begins_after=0):
    """Train one stage and return the epochs that have a line."""
    caplog.clear()
    history = History(verbose)
    with caplog.at_level(logging.INFO, logger="skdeepclust"):
        history.stage_begin(Stage("fit", n_epochs, 1, []), n_epochs)
        for epoch in range(begins_after + 1, (ends_after or n_epochs) + 1):
            history.epoch_end(epoch, {"loss": 1.0 / epoch})
        history.stage_end()
    lines = shown(caplog)
    assert {(stage, n) for stage, _, n, *_ in lines} <= {("fit", n_epochs)}
    assert lines == [] or lines[-1][-1] == 0
    return [epoch for _, epoch, *_ in lines]


@pytest.mark.parametrize(
    ("n_epochs", "expected"),
    [
        (1, [1]),
        (5, [1, 2, 3, 4, 5]),
        (100, [1, *range(10, 101, 10)]),
        (300, [1, *range(30, 301, 30)]),
    ],
)
def test_verbose_shows_about_ten_epochs_of_a_stage(
    tiny, blobs, caplog, n_epochs, expected
):
    with caplog.at_level(logging.INFO, logger="skdeepclust"):
        model = quick(tiny, pretrain_epochs=n_epochs, verbose=1).fit(blobs[0])
    rows, lines = model.history_, shown(caplog)
    stages = [*dict.fromkeys(row["stage"] for row in rows)]
    assert [*dict.fromkeys(stage for stage, *_ in lines)] == stages
    first = [line for line in lines if line[0] == stages[0]]
    assert [epoch for _, epoch, *_ in first] == expected
    for stage, epoch, n, terms, _ in first:
        assert n == n_epochs
        row = {**next(r for r in rows if (r["stage"], r["epoch"]) == (stage, epoch))}
        del row["stage"], row["epoch"]
        assert terms == "  ".join(f"{name} {value:.4g}" for name, value in row.items())


def test_verbose_shows_few_lines_whatever_the_number_of_epochs(caplog):
    for n_epochs in range(1, 130):
        epochs = epochs_shown(caplog, 1, n_epochs)
        assert epochs[0] == 1
        assert epochs[-1] == n_epochs
        assert min(n_epochs, 10) <= len(epochs) <= 11
        assert len(epochs) == len(set(epochs))


def test_verbose_of_two_shows_every_epoch(tiny, blobs, caplog):
    with caplog.at_level(logging.INFO, logger="skdeepclust"):
        model = quick(tiny, pretrain_epochs=30, verbose=2).fit(blobs[0])
    assert len(shown(caplog)) == len(model.history_)
    caplog.clear()
    with caplog.at_level(logging.INFO, logger="skdeepclust"):
        quick(tiny).fit(blobs[0])
    assert not caplog.records


def test_verbose_shows_the_last_epoch_of_a_stage_that_ends_early(tiny, blobs, caplog):
    pytest.importorskip("sklearn.callback", reason="scikit-learn 1.9 brought callbacks")
    stages = ["pretraining", "center", "head", "contrastive", "final_head"]
    last = dict(zip(stages, [7, 1, 17, 20, 20], strict=True))
    epochs = ("pretrain_epochs", "center_epochs", "head_epochs", "contrastive_epochs")
    model = tiny(verbose=1, **dict.fromkeys(epochs, 20))
    model.set_callbacks(Spy(*last.items()))
    with caplog.at_level(logging.INFO, logger="skdeepclust"):
        model.fit(blobs[0])
    told = {stage: (epoch, left) for stage, epoch, *_, left in shown(caplog)}
    assert told == {stage: (epoch, 0) for stage, epoch in last.items()}
    assert epochs_shown(caplog, 1, 100, ends_after=33) == [1, 10, 20, 30, 33]
    assert epochs_shown(caplog, 1, 100, ends_after=30) == [1, 10, 20, 30]


def test_verbose_after_a_checkpoint_counts_the_epochs_from_there(caplog, monkeypatch):
    assert epochs_shown(caplog, 1, 100, begins_after=74) == [75, 80, 90, 100]
    assert epochs_shown(caplog, 1, 100, begins_after=99) == [100]
    caplog.clear()
    seconds = itertools.count()  # the clock is read once at the begin, then per line
    monkeypatch.setattr("time.perf_counter", lambda: float(next(seconds)))
    history = History(verbose=2)
    with caplog.at_level(logging.INFO, logger="skdeepclust"):
        history.stage_begin(Stage("fit", 100, 1, []), 100)
        for epoch in (91, 92, 93):
            history.epoch_end(epoch, {"loss": 1.0})
    assert [line[-1] for line in shown(caplog)] == [9, 8, 7]


def test_verbose_writes_to_the_stream_of_each_line(tiny, blobs):
    model = quick(tiny, verbose=1)
    texts = []
    with unconfigured():
        for _ in range(2):
            stream = io.StringIO()
            with redirect_stdout(stream):
                model.fit(blobs[0])
            texts.append(stream.getvalue().splitlines())
            stream.close()
    stages = [row["stage"] for row in model.history_]
    for lines in texts:
        assert [LINE.fullmatch(line)[1] for line in lines] == stages


@pytest.mark.parametrize("missing", ["closed", "none", "broken"])
def test_verbose_does_without_a_stream(tiny, blobs, missing):
    class Broken(io.StringIO):
        def write(self, text):
            raise OSError("no reader")

    stream = {"closed": io.StringIO(), "none": None, "broken": Broken()}[missing]
    if missing == "closed":
        stream.close()
    model = quick(tiny, verbose=1)
    with unconfigured(), redirect_stdout(stream):
        model.fit(blobs[0])
    assert model.history_


def test_verbose_lines_come_once_wherever_logging_is_configured():
    def line(name):
        history = History(verbose=1)
        history.stage_begin(Stage(name, 1, 1, []), 1)
        history.epoch_end(1, {"loss": 0.5})
        history.stage_end()
        names.append(name)

    names, stream = [], io.StringIO()
    with unconfigured() as (own, root), redirect_stdout(stream):
        line("first")
        line("second")
        root.addHandler(logging.NullHandler())
        line("beside none")
        logging.basicConfig(format="%(message)s", force=True, stream=stream)
        line("root")
        root.handlers[0].setLevel("WARNING")
        line("beside warnings")
        root.handlers[0].setLevel("INFO")
        own.propagate = False
        line("alone")
        own.addHandler(logging.StreamHandler(stream))
        line("own")
    expected = [f"{name}  epoch 1/1  loss 0.5  0 s left" for name in names]
    assert stream.getvalue().splitlines() == expected
