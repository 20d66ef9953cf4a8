"""The console command: ``midsentence serve | calibrate | fetch``, or ``python -m midsentence`` from a checkout.

Owns the verbs, and that whatever is wrong with a command line is one line with status 2. Does not know what a verb
does: its options and its work are in a module of its own, which is imported only where it is asked for.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Sequence
from typing import NoReturn

from midsentence import __version__
from midsentence.ending import UserError, program

VERBS = {
    "serve": "talk live in the terminal, with the assistant's tools or your own",
    "calibrate": "measure how fast this machine decodes and reads with a model",
    "fetch": "fetch pinned files, or a model, into the cache folder",
}
"""Each is a module with ``add_options(parser)`` and ``main(asked)``."""


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, as the rest of the code does."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; see {self.prog} --help")


def main(arguments: Sequence[str]) -> None:
    """Runs one verb.

    Raises:
        UserError: the command line is invalid.
    """
    asked = parsed(arguments)
    importlib.import_module(f"midsentence.{asked.verb}").main(asked)


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """What a line asks for.

    Raises:
        UserError: the line is none.
    """
    parser = Parser(
        prog="midsentence",
        description="Agents that start working while the user is still speaking.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, about in VERBS.items():
        verb = verbs.add_parser(name, help=about, description=f"{about[0].upper()}{about[1:]}.", allow_abbrev=False)
        if name in arguments:
            importlib.import_module(f"midsentence.{name}").add_options(verb)
    asked, unknown = parser.parse_known_args(arguments)
    if unknown:  # said by the verb's own parser, whose help lists what there is
        verbs.choices[asked.verb].error(f"unrecognized arguments: {' '.join(unknown)}")
    return asked


def run() -> NoReturn:
    """The entry of the console command."""
    program(main)
