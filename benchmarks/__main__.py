"""Every benchmark is a command, and writes its table from its records.

``python -m benchmarks NAME --help`` says what it takes, ``python -m benchmarks tables``
writes all tables of the documentation, and the rows of results in README.rst, from the
records that are there.
"""

import sys
from importlib import import_module

COMMANDS = {
    "quality": "quality.fits:main",
    "stages": "quality.stages:COMMAND",
    "sweeps": "quality.parameters:sweep",
    "selection": "quality.parameters:SELECTION",
    "doubt": "quality.doubt:COMMAND",
    "counts": "quality.counts:COMMAND",
    "from_scratch": "quality.from_scratch:main",
    "speed": "speed.ratios:main",
    "peers": "speed.peers:main",
    "search": "speed.search:main",
    "gpu": "speed.gpu:main",
    "scaling": "scale.growth:scaling",
    "rows": "scale.rows:main",
    "profile": "scale.growth:profile",
    "memory": "scale.growth:memory",
    "readme": "common.readme:main",
}
WITHOUT_TABLE = ("profile", "memory", "readme")


def command(name):
    """Return the function of a command."""
    module, _, function = COMMANDS[name].partition(":")
    return getattr(import_module(f"benchmarks.{module}"), function)


def main(arguments):
    if arguments == ["tables"]:
        for name in COMMANDS:
            if name not in WITHOUT_TABLE:
                command(name)(["--table-only"])
        command("readme")([])
    elif arguments and arguments[0] in COMMANDS:
        command(arguments[0])(arguments[1:])
    else:
        sys.exit(f"{__doc__}\nNAME is one of: {', '.join(COMMANDS)}, tables.")


if __name__ == "__main__":
    main(sys.argv[1:])
