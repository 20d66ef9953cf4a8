"""Checks a folder of trajectories, every row of it: ``python -m data_gen.check path=PATH``.

Prints one line of JSON. Owns the way through a folder, and what is counted of each row: what it is at fault with
(`data_gen.checks.faults`), and what splits must not share (`split_overlap`). Tasks are made again from the folder's own
settings. Does not know the trainer.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from configs.command import command
from configs.folder import settings_in
from configs.schema import Config
from data_gen.checks.faults import faults
from data_gen.checks.lengths import renderers, tokens_in
from data_gen.checks.row_tasks import tasks_of
from data_gen.checks.tally import LOST, Tally
from data_gen.generate import renderer
from data_gen.speech.disfluency import CORRECTIONS
from data_gen.trajectory import Trajectory, read_manifest, read_shard
from midsentence.ending import UserError, quietly
from midsentence.terminal import plain

MOST_SHOWN = 20
"""Rows at fault that are named."""
_SHARED = ("moment:", "day:", "length:", "priority:", "transport:")
"""Kinds of values that are no names: every split says "tomorrow"."""


def main(config: Config) -> None:
    """Checks every shard and prints the line; the rows at fault are named on the standard error."""
    if not config.path:
        raise UserError("give the folder of trajectories: path=PATH")
    total = check(Path(config.path), config.data.workers, config.trust)
    for line in total.faulty[:MOST_SHOWN]:
        print(plain(line), file=sys.stderr)
    if (rest := len(total.faulty) - MOST_SHOWN) > 0:
        print(f"{rest} more rows at fault", file=sys.stderr)
    print(json.dumps(total.report()))


def check(folder: Path, workers: int = 1, trust: bool = False) -> Tally:
    """Checks a folder.

    Args:
        folder: made by `data_gen.generate`.
        workers: processes to use.
        trust: see `configs.folder.settings_in`.
    """
    manifest = read_manifest(folder)
    config = settings_in(folder, trust=trust)
    shards = [folder / name for names in manifest["shards"].values() for name in names]
    total = Tally()
    if workers > 1:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=quietly) as pool:
            for tally in pool.map(partial(_shard, config), shards):
                total.add(tally)
    else:
        for path in shards:
            total.add(_shard(config, path))
    return total


def _shard(config: Config, path: Path) -> Tally:
    return check_rows(config, read_shard(path))


def check_rows(config: Config, rows: Iterable[Trajectory]) -> Tally:
    """Checks rows that were made with ``config``."""
    made = renderer(config)
    elsewhere = renderers(config.model.name)
    tally = Tally()
    for row in rows:
        tally.rows += 1
        owned = tally.owned.setdefault(row.split, set())
        owned.add(f"request: {row.request}")
        tally.corrected += bool(CORRECTIONS & set(row.tags))
        task, other = tasks_of(config, row)
        tally.tags.update(set(row.tags))
        tally.calls[len(task.gold)] += 1
        tally.turns.update(turn.kind for turn in task.turns)
        tally.lengths.update([len(task.turns)] if task.turns else [])
        tally.nearness.add(row.split, task)
        if task.meta and "templates" in task.meta:
            tally.templates.update(task.meta["templates"])
            owned |= {*task.meta["templates"], f"world: {task.meta['world']}", *map(str, task.meta["pairs"])}
            owned |= {entity for entity in task.meta["entities"] if not entity.startswith(_SHARED)}
        found = sorted(faults(config, row, task, other, made))
        tally.counts.update(found)
        wrong = [name for name in found if name != LOST]
        tally.faulty += [f"{row.id}: {', '.join(wrong)}"] if wrong else []
        for name, renders in elsewhere.items():
            tally.tokens[name] += tokens_in(row, renders) if renders is not None else row.tokens
    return tally


if __name__ == "__main__":
    command(main)()
