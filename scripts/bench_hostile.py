"""Attacks the commands with bad input, broken files, kills and full disks, and counts what must never happen.

    python -m scripts.bench hostile                              # 400 command lines, 1,000 files, 60 kills, 20 full
    disks
    python -m scripts.bench hostile --lines 100 --files 0 --kills 0 --disks 0
    python -m scripts.bench hostile --workers 8                  # the same, in so many processes
    python -m scripts.bench hostile --only "line 17"             # one case again, with all that it says

Everything is drawn from ``--seed``. Prints one line of JSON: how many were tried of each kind, and the counters of
`scripts.hostile.found`, all of which must be 0; each finding is a line on the standard error. Cases run in forks of one
process that has imported everything (`scripts.hostile.warm`), so POSIX only. Ends with status 1 if anything was found;
Ctrl-C ends it with the line for what was tried.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from scripts.hostile import mutated, tried
from scripts.hostile.found import COUNTERS, Tally
from scripts.hostile.lines import COMMANDS, SCRIPTS
from scripts.hostile.warm import warm
from scripts.hostile.world import make

KINDS = {"line": tried.command_line, "file": tried.broken_file, "kill": tried.killed, "disk": tried.disk_full}


def main(arguments: list[str]) -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="bench hostile")
    for name, count in (("lines", 400), ("files", 1000), ("kills", 60), ("disks", 20)):
        parser.add_argument(f"--{name}", type=int, default=count)
    parser.add_argument("--first", type=int, default=0, help="number of the first case of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1, help="processes, each with a world of its own")
    parser.add_argument("--only", default="", help='one case, such as "line 17"')
    parser.add_argument(
        "--place", type=Path, help="folder to work in, which is kept; its world of earlier results is used again"
    )
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="hostile-") as temporary:
        tally = run(options, options.place or Path(temporary))
    print(json.dumps({"bench": "hostile", "seed": options.seed, **report(tally)}))
    return 1 if tally.counts else 0


def run(options: argparse.Namespace, place: Path) -> Tally:
    """Tries all that is asked for."""
    warm([*COMMANDS, *SCRIPTS])
    place = place.resolve()
    if not (place / "master").exists():
        make(place / "master")
    with contextlib.chdir(place):
        mutated.prepared()
    wanted = [(kind, n) for kind in KINDS for n in range(options.first, options.first + getattr(options, f"{kind}s"))]
    if options.only:
        kind, _, number = options.only.partition(" ")
        wanted = [(kind, int(number))]
    if options.workers == 1:
        tally = attack(place / "master", options.seed, place, wanted)
    else:
        tally = Tally()
        shares = [wanted[n :: options.workers] for n in range(options.workers)]
        places = [place / f"worker-{n}" for n in range(options.workers)]
        with ProcessPoolExecutor(
            options.workers, mp_context=get_context("fork")
        ) as pool:  # forks have everything imported
            for part in pool.map(partial(attack, place / "master", options.seed), places, shares):
                tally.take(part)
    if options.only and tally.last is not None:
        print(tally.last.out, tally.last.err, sep="", end="", file=sys.stderr)
    return tally


def attack(master: Path, seed: int, place: Path, wanted: Sequence[tuple[str, int]]) -> Tally:
    """Tries cases one after the other, in worlds that lie in ``place``, and says what it finds."""
    place.mkdir(exist_ok=True)
    tally, shown = Tally(), 0
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C: what was tried is told
        for kind, number in wanted:
            KINDS[kind](tally, master, place, seed, number)
            for finding in tally.findings[shown:]:
                print(finding, file=sys.stderr, flush=True)
            shown = len(tally.findings)
    return tally


def report(tally: Tally) -> dict[str, object]:
    """The line that is printed."""
    return {
        "tried": dict(tally.tried),
        **{name: tally.counts[name] for name in COUNTERS},
        "statuses": {str(status): count for status, count in sorted(tally.statuses.items())},
    }
