"""Makes a folder of trajectories: ``python -m data_gen.generate experiment=debug out=PATH``.

Owns which task is told to whom, in which mode and on which device, and the shards on disk. Shards are made one by one,
each from its own seeds, written under a temporary name and renamed: the same settings give the same bytes with any
number of workers, a killed run resumes, and a half-written shard is never read. Does not know the trainer.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any, cast

from rich.progress import Progress

from configs.command import claim, command, out_folder, write_manifest
from configs.schema import Config, counted
from data_gen.card import write_card
from data_gen.episodes import make_episode, sample_profile
from data_gen.expert.player import expert_of
from data_gen.grounding.reading import reading_of
from data_gen.rejected import report_rejected
from data_gen.seeds import child
from data_gen.sources import honoured, inputs, load, rejected, rewordings
from data_gen.task import Split, Task
from data_gen.trajectory import (
    LEARNT,
    MANIFEST,
    SCHEMA_VERSION,
    Trajectory,
    files_of,
    shard_name,
    trajectory_of,
    write_shard,
)
from midsentence.core.protocol import EDITION
from midsentence.ending import quietly
from midsentence.files import intact, marker, write
from midsentence.models.load import load_renderer
from midsentence.rendering.renderer import Renderer, Stamps, Tags, Turns
from midsentence.terminal import plain


def main(config: Config) -> None:
    """Makes what is not made yet, then the manifest and the card."""
    folder = out_folder(config, "data")
    key = recipe(config)
    plan = shards(config)
    honoured(
        config, [config], (task for split, rows in config.data.sizes.items() if rows for task in _tasks(config, split))
    )
    claim(folder)
    prepare(folder, key, plan)
    # asked before the workers start, who then find all answers in the file
    asked = {split: record for split in config.data.sizes if (record := rewordings(config, cast(Split, split))[1])}
    known = marker(folder / MANIFEST).get("files", {})
    missing = [job for job in plan if not intact(folder / shard_name(*job), known.get(shard_name(*job)))]
    started = time.perf_counter()
    made = sum(progress(config, folder, missing))
    elapsed = time.perf_counter() - started
    names: dict[str, list[str]] = {}
    for job in plan:
        names.setdefault(job[0], []).append(shard_name(*job))
    dropped = left_out(config, folder, names)
    write_card(folder, config, names)
    made_for = renderer(config)
    write_manifest(
        folder,
        config,
        schema_version=SCHEMA_VERSION,
        recipe=key,
        shards=names,
        files=files_of(folder, names),
        tokenizer=made_for.fingerprint,
        edition=EDITION,
        tags=made_for.tags,
        turns=made_for.turns,
        **({"paraphrase": asked} if asked else {}),
        **({"dropped": dropped} if dropped else {}),
    )
    (folder / "making.json").unlink(missing_ok=True)
    report_rejected(folder, rejected(config))
    if made:
        print(f"{made} trajectories in {elapsed:.1f} s ({made / elapsed:.0f} a second, {config.data.workers} workers)")
    if dropped:
        counts = ", ".join(f"{count} of {config.data.sizes[split]} in {split}" for split, count in dropped.items())
        print(f"left out, for the expert's episode did not end in an answer: {counts}")
    print(f"data: {folder}")


def left_out(config: Config, folder: Path, names: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """How many episodes of each split were left out of its shards.

    Raises:
        ValueError: all of them were.
    """
    import pyarrow.parquet as parquet

    there = {
        split: sum(parquet.read_metadata(folder / name).num_rows for name in shards) for split, shards in names.items()
    }
    if not any(there.values()):
        raise ValueError(
            f"none of the {sum(config.data.sizes.values())} episodes ended in an answer: there is nothing to learn; see above"
        )
    return {split: missing for split, count in there.items() if (missing := config.data.sizes[split] - count)}


def recipe(config: Config) -> str:
    """A hash of all that the bytes depend on."""
    parts: dict[str, Any] = {name: asdict(getattr(config, name)) for name in ("model", "data", "clock", "agent")}
    parts["data"].pop("workers")
    if parts["data"]["tools"] == "all":
        parts["data"].pop("tools")
    if parts["data"]["language"] == "en":
        parts["data"].pop("language")
    if parts["data"]["patience"] == "costly":
        parts["data"].pop("patience")
    if not parts["data"]["intents"]:
        parts["data"].pop("intents")
    parts["agent"] = counted(config.agent)
    paraphrase = parts["data"].pop("paraphrase")
    if paraphrase["url"]:
        parts["paraphrase"] = paraphrase[
            "model"
        ]  # what it answered lies in its file, wherever that and the endpoint are
    for name in ("lag_s", "lag_spread_s"):
        if parts["data"][name] == getattr(type(config.data), name):
            parts["data"].pop(name)
    parts |= {"inputs": found} if (found := inputs(config)) else {}
    parts |= {
        "seed": config.seed,
        "task": config.task,
        "tools": config.tools,
        "requests": config.requests,
        "schema": SCHEMA_VERSION,
        "edition": EDITION,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def shards(config: Config) -> list[tuple[str, int, int]]:
    """``(split, index, count)`` of every shard."""
    plan = []
    for split, rows in config.data.sizes.items():
        count = -(-rows // config.data.shard_rows)
        plan += [(split, index, count) for index in range(count)]
    if not plan:
        raise ValueError(f"data.sizes is {config.data.sizes}: ask for at least one row in one split")
    return plan


def prepare(folder: Path, key: str, plan: list[tuple[str, int, int]]) -> None:
    """Makes the folder, or checks that what is in it was made by the same recipe."""
    folder.mkdir(parents=True, exist_ok=True)
    others = [
        name for name in ("making.json", MANIFEST) if (found := marker(folder / name)) and found.get("recipe") != key
    ]
    if others and any(folder.glob("*.parquet")):
        raise ValueError(f"{folder} holds data made with other settings; give another out=, or delete the folder")
    for name in others:  # a command that failed before its first row binds nobody
        (folder / name).unlink()
    strange = {path.name for path in folder.glob("*.parquet")} - {shard_name(*job) for job in plan}
    if strange:
        raise ValueError(
            f"{folder} holds shards of another run ({min(strange)}); give another out=, or delete the folder"
        )
    for half in folder.glob("*.tmp"):
        half.unlink()
    if not marker(folder / MANIFEST):
        write(folder / "making.json", json.dumps({"recipe": key}) + "\n")


def progress(config: Config, folder: Path, jobs: list[tuple[str, int, int]]) -> Iterator[int]:
    """Makes the shards, in this process or in several; yields the rows of each."""
    with Progress(disable=not sys.stderr.isatty()) as bar:
        shown = bar.add_task("shards", total=len(jobs))
        if config.data.workers <= 1:
            for job in jobs:
                yield make_shard(config, folder, *job)
                bar.advance(shown)
            return
        with ProcessPoolExecutor(config.data.workers, mp_context=get_context("spawn"), initializer=quietly) as pool:
            for rows in pool.map(make_shard, *zip(*((config, folder, *job) for job in jobs))) if jobs else ():
                yield rows
                bar.advance(shown)


def make_shard(config: Config, folder: Path, split: str, index: int, count: int) -> int:
    """Makes one shard; gives its number of rows. An episode that does not end in an answer is named and left out."""
    first = index * config.data.shard_rows
    last = min(first + config.data.shard_rows, config.data.sizes[split])
    pool = _tasks(config, split)
    rows = []
    for n in range(first, last):
        row = make_row(config, pool[n % len(pool)], split, n)
        if row.outcome == LEARNT:
            rows.append(row)
        else:
            print(
                plain(f"left out {row.id} ({row.mode}): the expert's episode ended in {row.outcome}"), file=sys.stderr
            )
    write_shard(folder / shard_name(split, index, count), rows)
    return len(rows)


def make_row(config: Config, task: Task, split: str, n: int) -> Trajectory:
    """The ``n``-th trajectory of a split."""
    seed = child(config.seed, split, n)
    mode = config.data.modes[n % len(config.data.modes)]
    profile = sample_profile(config.clock, child(seed, "profile"))
    reading = reading_of(task, config.data.eagerness, child(seed, "eager"))
    expert = expert_of(task, reading, config.data)
    made = renderer(config)
    rollout = make_episode(
        task, mode, profile, made, agent=config.agent, data=config.data, seed=child(seed, "speech"), planner=expert
    ).run()
    return trajectory_of(rollout, task, mode, profile, made, id=f"{task.id}/{n}", seed=seed)


def renderer(config: Config) -> Renderer:
    """The renderer of the configured model, one a process."""
    return _renderer(config.model.name, config.model.tags, config.clock.stamps, config.model.turns)


@cache
def _renderer(name: str, tags: str, stamps: str, turns: str | None) -> Renderer:
    return load_renderer(name, cast(Tags, tags), cast(Stamps, stamps), turns=cast(Turns | None, turns))


_loaded: dict[str, Sequence[Task]] = {}


def _tasks(config: Config, split: str) -> Sequence[Task]:
    key = f"{recipe(config)}/{split}"
    if key not in _loaded:
        _loaded[key] = load(config, cast(Split, split))
    return _loaded[key]


if __name__ == "__main__":
    command(main)()
