"""Every Python example of README.rst runs, and what it asserts holds."""

import ast
import re
import textwrap
from pathlib import Path

import pytest

# What is run here is measured by other tests; measuring would take longer.
pytestmark = pytest.mark.no_cover

README = Path(__file__).resolve().parents[1] / "README.rst"
BLOCK = re.compile(
    r"^\.\. code-block:: python\n\n(?P<code>(?:(?:[ ]{3}.*)?\n)+)", re.MULTILINE
)


def find_blocks():
    """Each example's line number and code."""
    text = README.read_text(encoding="utf-8")
    return [
        (text.count("\n", 0, match.start("code")), textwrap.dedent(match["code"]))
        for match in BLOCK.finditer(text)
    ]


BLOCKS = find_blocks()


def test_readme_blocks_are_all_found():
    text = README.read_text(encoding="utf-8")
    assert len(BLOCKS) == len(re.findall(r"code(?:-block)?::\s*python", text))
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
