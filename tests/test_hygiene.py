"""What the source of the package must not do."""

import ast
import tomllib
from pathlib import Path

import skdeepclust

ROOT = Path(__file__).parents[1]
SOURCES = sorted(Path(skdeepclust.__file__).parent.rglob("*.py"))
FORBIDDEN_MODULES = {
    "asyncio",
    "cloudpickle",
    "dill",
    "ftplib",
    "http",
    "marshal",
    "multiprocessing",
    "pickle",
    "requests",
    "shelve",
    "socket",
    "ssl",
    "subprocess",
    "urllib",
    "yaml",
}
FORBIDDEN_CALLS = {"__import__", "compile", "eval", "exec"}
FORBIDDEN_ATTRIBUTES = {
    "execv",
    "execve",
    "fork",
    "load_state_dict_from_url",
    "popen",
    "spawnl",
    "spawnv",
    "system",
}
CORE = {"joblib", "numpy", "scikit-learn", "scipy", "torch"}


def faults(tree):
    """Name what a module does and must not."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = getattr(node, "module", None) or ""
            for name in [module, *(alias.name for alias in node.names)]:
                if name.partition(".")[0] in FORBIDDEN_MODULES:
                    yield name
        if not isinstance(node, ast.Call):
            continue
        function, options = node.func, {word.arg: word.value for word in node.keywords}
        if isinstance(function, ast.Name) and function.id in FORBIDDEN_CALLS:
            yield function.id
        if isinstance(function, ast.Attribute):
            called = ast.unparse(function)
            if function.attr in FORBIDDEN_ATTRIBUTES or called == "joblib.load":
                yield called
            safe = options.get("weights_only")
            if called == "torch.load" and not (
                isinstance(safe, ast.Constant) and safe.value is True
            ):
                yield called
            if called in ("np.load", "np.lib.format.read_array"):
                safe = options.get("allow_pickle")
                if not (isinstance(safe, ast.Constant) and safe.value is False):
                    yield called


def test_package_unpickles_evaluates_and_fetches_nothing():
    assert len(SOURCES) > 30
    found = {
        f"{path.name}: {fault}"
        for path in SOURCES
        for fault in faults(ast.parse(path.read_text()))
    }
    assert found == set()


def test_walk_finds_what_is_forbidden():
    source = """
import pickle, urllib.request
from subprocess import run
eval("1")
np.load(path)
torch.load(path)
torch.load(path, weights_only=True)
os.system("ls")
model.eval()
"""
    assert sorted(faults(ast.parse(source))) == [
        "eval",
        "np.load",
        "os.system",
        "pickle",
        "subprocess",
        "torch.load",
        "urllib.request",
    ]


def test_dependencies_are_those_of_the_page():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {line.partition(">")[0].strip() for line in project["dependencies"]}
    assert names == CORE
    page = (ROOT / "doc/user_guide/state.rst").read_text()
    section = page[page.index("What the package does not do") :]
    assert all(f"- {name}" in section for name in CORE)
