"""Every Python example of README.rst runs, and those of the user guide name parameters
that exist."""

import ast
import inspect
import re
import textwrap
from pathlib import Path

import pytest

import skdeepclust
from skdeepclust.features import FeatureExtractor
from skdeepclust.views import ImageViews, TableViews

# What is run here is measured by other tests; measuring would take longer.
pytestmark = pytest.mark.no_cover

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.rst"
PAGES = sorted((ROOT / "doc" / "user_guide").glob("*.rst"))
BLOCK = re.compile(
    r"^\.\. code-block:: python\n\n(?P<code>(?:(?:[ ]{3}.*)?\n)+)", re.MULTILINE
)
ESTIMATORS = [
    skdeepclust.SelfPacedContrastiveClustering,
    skdeepclust.GraphContrastiveClustering,
    skdeepclust.DeepSubspaceClustering,
]
CLASSES = {
    c.__name__: {*inspect.signature(c).parameters}
    for c in (*ESTIMATORS, FeatureExtractor, ImageViews, TableViews)
}


def find_blocks(path):
    """Each example's line number and code."""
    text = path.read_text(encoding="utf-8")
    return [
        (text.count("\n", 0, match.start("code")), textwrap.dedent(match["code"]))
        for match in BLOCK.finditer(text)
    ]


BLOCKS = find_blocks(README)


@pytest.mark.parametrize("path", [README, *PAGES], ids=lambda path: path.stem)
def test_blocks_are_all_found(path):
    marks = re.findall(r"code(?:-block)?::\s*python", path.read_text(encoding="utf-8"))
    assert len(find_blocks(path)) == len(marks)


def test_readme_has_examples():
    assert len(BLOCKS) >= 4


@pytest.mark.parametrize(
    ("line", "code"), BLOCKS, ids=[f"line_{line + 1}" for line, _ in BLOCKS]
)
def test_readme_block_runs(line, code):
    # Empty lines in front: a traceback shows the line of the README.
    source = "\n" * line + code
    statements = ast.parse(source).body
    assert any(isinstance(statement, ast.Assert) for statement in statements)
    exec(compile(source, README, "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_guide_names_parameters_that_exist(path):
    calls = [
        call
        for line, code in find_blocks(path)
        for call in ast.walk(ast.parse("\n" * line + code, path))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)
    ]
    for call in calls:
        known = CLASSES.get(call.func.id)
        if known is not None:
            unknown = {keyword.arg for keyword in call.keywords} - known
            assert not unknown, f"line {call.lineno}: {unknown}"
