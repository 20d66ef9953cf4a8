"""Measures one thing and prints it as a line of JSON: ``python -m scripts.bench NAME``.

Names are the modules ``scripts/bench_<name>.py``; each has ``main(arguments)``.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from midsentence.ending import program


def main(arguments: list[str]) -> int:
    """Runs the named benchmark; gives its exit status."""
    names = sorted(path.stem.removeprefix("bench_") for path in Path(__file__).parent.glob("bench_*.py"))
    if not arguments or arguments[0] not in names:
        given = f"unknown benchmark {arguments[0]!r}" if arguments else "no benchmark named"
        print(f"bench: {given}; use one of {', '.join(names)}", file=sys.stderr)
        return 2
    return importlib.import_module(f"scripts.bench_{arguments[0]}").main(arguments[1:]) or 0


if __name__ == "__main__":
    program(main)
