"""Drives hostile random schedules through the core and counts what must never happen.

    python -m scripts.bench schedules --count 1000000 --workers 2
    python -m scripts.bench schedules --planted            # plants each bug and says how many schedules it took to find
    python -m scripts.bench schedules --show 4711          # one schedule, made as short as its first finding allows

Prints one line of JSON. The judge (`scripts.schedules.judge`) is written from the design's text and sees events and
commands only. Runs in chunks; with ``--state FILE`` a killed run goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from midsentence.core import calls
from midsentence.core.calls import ROWS
from midsentence.core.events import Append, to_json
from scripts.schedules.planted import BUGS, found_after
from scripts.schedules.rules import RULES
from scripts.schedules.shell import Schedule, shortest

CHUNK = 200


class Asked(dict):
    """The table of transitions, which keeps what was taken from it."""

    def __init__(self, table: Mapping[Any, Any]) -> None:
        super().__init__(table)
        self.taken: set[str] = set()

    def __getitem__(self, key: Any) -> Any:
        row = super().__getitem__(key)
        self.taken.add(f"{row.state}:{row.input}")
        return row

    def get(self, key: Any, default: Any = None) -> Any:
        """As a dict's."""
        return self[key] if key in self else default


def run_chunk(first: int, count: int, seed: int) -> tuple[Counter[str], set[str], dict[str, int]]:
    """Runs ``count`` schedules from number ``first`` on; gives the summed counts, the transitions taken and each rule's
    first find."""
    counts: Counter[str] = Counter()
    finds: dict[str, int] = {}
    keys: dict[str, int] = {}
    with AskedTable() as table:
        for n in range(first, first + count):
            judge = Schedule(seed * 1_000_000_007 + n, keys=keys).run()
            counts.update(judge.counts)
            for rule in judge.counts:
                finds.setdefault(rule, n)
    return counts, table.taken, finds


class AskedTable:
    """While it is entered, every module of the core that holds the table asks one that keeps count."""

    def __enter__(self) -> Asked:
        asked = Asked(calls.TABLE)
        held = [module for name, module in list(sys.modules.items()) if name.startswith("midsentence.")]
        self.holders = [module for module in held if getattr(module, "TABLE", None) is calls.TABLE]
        self.table = calls.TABLE
        for module in self.holders:
            module.TABLE = asked  # type: ignore[attr-defined]
        return asked

    def __exit__(self, *_: object) -> None:
        for module in self.holders:
            module.TABLE = self.table  # type: ignore[attr-defined]


def show(number: int, seed: int) -> int:
    """Prints one schedule's shortest form, an event and the commands that answer it a line."""
    schedule = Schedule(seed * 1_000_000_007 + number)
    found = schedule.run().counts
    events = shortest(schedule, next(iter(found))) if found else schedule.fed
    schedule.trace = []
    schedule.replayed(events)
    print(
        json.dumps(
            {"settings": {k: str(getattr(schedule.settings, k)) for k in schedule.settings.__slots__}, "found": found}
        )
    )
    for event, commands, counted in schedule.trace:
        print(json.dumps(to_json(event), default=repr))
        for command in commands:
            told = (
                [[one.kind, one.text] for one in command.segments] if isinstance(command, Append) else to_json(command)
            )
            print("   ", json.dumps(told, default=repr))
        if counted:
            print("    !", ", ".join(f"{rule}: {RULES[rule]}" for rule in counted))
    return int(bool(found))


def main(arguments: list[str]) -> int:
    """See the module; the exit status is 1 if anything happened that must not, or a planted bug was not found."""
    parser = argparse.ArgumentParser(prog="bench schedules")
    parser.add_argument("--count", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--state", type=Path, help="file in which finished chunks are kept, to go on after a kill")
    parser.add_argument(
        "--planted", action="store_true", help="plant each bug, and print after how many schedules it is found"
    )
    parser.add_argument(
        "--show", type=int, metavar="NUMBER", help="print this schedule, made as short as its first finding allows"
    )
    options = parser.parse_args(arguments)
    if options.show is not None:
        return show(options.show, options.seed)
    if options.planted:
        took = {name: found_after(bug, options.seed, most=100_000) for name, bug in BUGS.items()}
        print(
            json.dumps(
                {
                    "planted": len(BUGS),
                    "found": sum(n is not None for n in took.values()),
                    "schedules_until_found": took,
                }
            )
        )
        return int(None in took.values())
    done: dict[str, Any] = {"seed": options.seed, "next": 0, "counts": {}, "covered": [], "first": {}}
    if options.state is not None and options.state.exists():
        done = json.loads(options.state.read_text("utf-8"))
        if done["seed"] != options.seed:
            parser.error(f"{options.state} was begun with seed {done['seed']}, not {options.seed}")
    at = done["next"]
    counts, covered, finds = Counter(done["counts"]), set(done["covered"]), dict(done["first"])
    chunks = [(first, min(CHUNK, options.count - first), options.seed) for first in range(at, options.count, CHUNK)]
    with multiprocessing.get_context("spawn").Pool(options.workers) as pool:
        for (first, count, _), (more, seen, found) in zip(chunks, pool.imap(_run, chunks)):
            counts.update(more)
            covered |= seen
            finds = found | finds
            if options.state is not None:
                half = options.state.with_suffix(".tmp")
                kept = {
                    "seed": options.seed,
                    "next": first + count,
                    "counts": counts,
                    "covered": sorted(covered),
                    "first": finds,
                }
                half.write_text(json.dumps(kept), "utf-8")
                half.rename(options.state)
    line = {"schedules": max(options.count, at), "transitions_covered": len(covered), "transitions_total": len(ROWS)}
    line |= {name: counts[name] for name in RULES}
    if finds:
        line["first"] = finds
    print(json.dumps(line))
    return int(any(counts[name] for name in RULES) or len(covered) < len(ROWS) and options.count >= 5_000)


def _run(job: tuple[int, int, int]) -> tuple[Counter[str], set[str], dict[str, int]]:
    return run_chunk(*job)
