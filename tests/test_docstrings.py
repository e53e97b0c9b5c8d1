"""Every public object has a numpydoc docstring that matches its signature."""

import inspect
import pydoc
import re
import sys

import pytest
from numpydoc.validate import validate

import skdeepclust
from skdeepclust import display, features, graph, losses, metrics, model_selection

# Matters of taste, or sections that not every object needs.
TASTE = {
    "ES01",  # no extended summary
    "EX01",  # no examples
    "GL01",  # summary starts on the line of the quotes
    "GL08",  # checked by the linter, with its own list of exceptions
    "RT02",  # `self : object`, as in scikit-learn
    "RT03",  # a returned value without description: its shape says it all
    "RT05",
    "SA01",  # no see also
    "SA04",
    "SS03",
    "SS06",  # summary over two lines
    "PR02",  # `y : Ignored` and the like are parsed otherwise
    "YD01",
}

CLASSES = [name for name in skdeepclust.__all__ if not name.isupper()]
METHODS = [
    f"skdeepclust.{owner}.{name}"
    for owner in CLASSES
    for name, member in inspect.getmembers(getattr(skdeepclust, owner))
    if not name.startswith("_")
    and callable(member)
    and member.__module__.startswith("skdeepclust")
]

OBJECTS = [
    *(f"skdeepclust.{name}" for name in CLASSES),
    *METHODS,
    *(f"skdeepclust.features.{name}" for name in features.__all__),
    "skdeepclust.networks.ResNet18",
    "skdeepclust.networks.load_weights",
    *(f"skdeepclust.display.{name}" for name in display.__all__),
    *(f"skdeepclust.graph.{name}" for name in graph.__all__),
    *(f"skdeepclust.losses.{name}" for name in losses.__all__),
    *(f"skdeepclust.metrics.{name}" for name in metrics.__all__),
    *(f"skdeepclust.model_selection.{name}" for name in model_selection.__all__),
]


# Titles of the groups of an estimator's parameters: to numpydoc, parameters.
GROUPS = [
    "Set these first",
    "Data and network",
    "Algorithm",
    "Optimization",
    "Running",
]


def faults(name):
    """Return what numpydoc finds wrong, but for matters of taste."""
    title = re.compile(rf'Parameter "\**({"|".join(GROUPS)})\**" has no')
    errors = validate(name)["errors"]
    return [e for e in errors if e[0] not in TASTE and not title.match(e[1])]


@pytest.mark.parametrize("name", CLASSES)
def test_help_begins_with_what_to_set(name):
    estimator = getattr(skdeepclust, name)
    text = pydoc.plain(pydoc.render_doc(estimator))
    _, of_class = re.split(r"\n \| *\n", text, maxsplit=1)
    lines = [line.removeprefix(" |").strip() for line in of_class.split("\n")[:30]]
    summary, what_to_set, *_ = "\n".join(lines).split("\n\n")
    assert "\n" not in summary
    assert what_to_set.startswith("Set `n_clusters`")
    named = re.findall(r"`(\w+)`", what_to_set)
    assert 2 <= len(named) <= 5
    assert set(named) <= set(inspect.signature(estimator).parameters)
    assert {"Parameters", "Set these first"} < set(lines)
    if sys.version_info < (3, 13):
        # On a terminal of 80 columns. Newer versions give each parameter a line.
        screen = [
            line[i : i + 80]
            for line in text.split("\n")
            for i in range(0, max(len(line), 1), 80)
        ][:30]
        shown = " ".join(line.removeprefix(" |").strip() for line in screen)
        assert what_to_set.replace("\n", " ") in shown


@pytest.mark.parametrize("name", OBJECTS)
def test_docstring_is_complete(name):
    assert not faults(name)
