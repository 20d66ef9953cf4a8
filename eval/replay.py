"""Runs tasks with each backend, mode and device, and keeps every episode: ``python -m eval.replay experiment=debug``.

Owns which tasks a row runs, the files of results, and going on after a kill. The same tasks, cut into the same updates,
go to every mode and backend, so rows are paired. On the virtual clock the result does not depend on how fast the machine
is, on the size of a batch, or on how often a run was killed; for a model that holds in float32 (in fewer bits, sums in
another order now and then choose another token). Refuses to know what figures are made of the episodes.

A row's episodes are written line by line to ``episodes-….part``; when all are there they are put in order and the file is
renamed to ``episodes-….jsonl``. The manifest comes last.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from agent.clock import ns
from agent.simulate import Rollout, run_batch
from agent.tools.tool import Toolbox
from configs.command import command, out_folder, write_manifest
from configs.schema import Config, DataConfig
from data_gen.episodes import make_episode, profile_of, settings_of, updates_of
from data_gen.seeds import child
from data_gen.sources import load
from data_gen.task import Split, Task
from eval.backends import Backend, backend, weights_hash
from eval.episodes import SCHEMA_VERSION, record

MANIFEST = "manifest.json"
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
_MAKING = "making.json"


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table to be: everything but the tasks."""

    backend: str
    mode: str
    profile: str
    seed: int
    source: str = ""
    """One of ``eval.sources``; empty for the configured source."""

    @property
    def name(self) -> str:
        """The row in a word."""
        return "-".join(filter(None, (self.source, self.backend, self.mode, self.profile, str(self.seed))))

    @property
    def file(self) -> str:
        """Where its episodes are."""
        return f"episodes-{self.name}.jsonl"


@dataclass(slots=True)
class Part:
    """A row under way: what is done, on disk and here."""

    path: Path
    done: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Records by task ID."""

    @classmethod
    def open(cls, path: Path) -> Part:
        """Reads what an earlier run left; a last line that it did not finish is dropped."""
        done, kept = {}, 0
        if path.exists():
            for line in path.read_bytes().splitlines(keepends=True):
                try:
                    row = json.loads(line) if line.endswith(b"\n") else None
                except ValueError:
                    row = None
                if row is None:
                    break
                done[row["task"]] = row
                kept += len(line)
            with path.open("r+b") as file:
                file.truncate(kept)
        return cls(path, done)

    def add(self, row: dict[str, Any]) -> None:
        """Keeps a record."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(_line(row))
        self.done[row["task"]] = row

    def finish(self, tasks: Sequence[Task]) -> None:
        """Puts the records in the tasks' order, under the final name."""
        half = self.path.with_suffix(".tmp")
        half.write_text("".join(_line(self.done[task.id]) for task in tasks), encoding="utf-8")
        half.rename(self.path.with_suffix(".jsonl"))
        self.path.unlink(missing_ok=True)


def main(config: Config) -> None:
    """Runs what is not there yet, then writes the manifest."""
    folder = out_folder(config, "replay")
    rows, backends = plan(config)
    key = recipe(config, backends)
    prepare(folder, key, rows)
    missing = [row for row in rows if not (folder / row.file).exists()]
    if missing:
        run(config, folder, missing, backends)
    if missing or not (folder / MANIFEST).exists():
        write_manifest(
            folder, config, schema_version=SCHEMA_VERSION, recipe=key, rows=[asdict(row) | {"file": row.file} for row in rows],
            checkpoints={name: backend.model.adapter for name, backend in backends.items()},
        )
        (folder / _MAKING).unlink(missing_ok=True)
    print(f"{len(rows) - len(missing)} of {len(rows)} rows were there already" if len(missing) < len(rows) else f"{len(rows)} rows")
    print(f"replay: {folder}")


def plan(config: Config) -> tuple[list[Row], dict[str, Backend]]:
    """The rows that a run makes, and its backends by name.

    Raises:
        ValueError: a name that there is not, or nothing to run.
    """
    chosen = config.eval
    if config.time != "virtual":
        raise ValueError(f"time is {config.time!r}: replay runs on the virtual clock; use time=virtual")
    for name, values in (("backends", chosen.backends), ("modes", chosen.modes), ("profiles", chosen.profiles), ("seeds", chosen.seeds)):
        if not values or len(set(values)) < len(values):
            raise ValueError(f"eval.{name} is {list(values)}; give at least one, each once")
    backends = {name: backend(name, config) for name in chosen.backends}
    for mode in chosen.modes:
        settings_of(mode, config.agent)
    for profile in chosen.profiles:
        profile_of(profile, config.clock)
    for source in chosen.sources:
        of_source(config, source)
    rows = [
        Row(name, mode, profile, seed, source)
        for name in chosen.backends for source in chosen.sources or [""] for profile in chosen.profiles
        for seed in chosen.seeds for mode in chosen.modes
    ]
    return rows, backends


def of_source(config: Config, source: str) -> Config:
    """The settings with those of one source in group data; the configured ones for an empty name.

    Raises:
        ValueError: no such source.
    """
    if not source:
        return config
    known = {path.name.removesuffix(".yaml"): path for path in files("configs").joinpath("data").iterdir() if path.name.endswith(".yaml")}
    if source not in known:
        raise ValueError(f"unknown task source {source!r} in eval.sources; use some of {', '.join(sorted(known))}")
    settings = OmegaConf.create(known[source].read_text(encoding="utf-8"))
    settings.pop("defaults", None)
    data = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(DataConfig), settings))
    # local files are named once, for all sources
    return replace(config, task="", data=replace(data, files=config.data.files))


def recipe(config: Config, backends: dict[str, Backend]) -> str:
    """A hash of all that episodes depend on: not the batch, not which rows are asked for."""
    parts = {name: asdict(getattr(config, name)) for name in ("model", "data", "clock", "agent")}
    for name in ("workers", "shard_rows", "modes"):
        parts["data"].pop(name)
    paraphrase = parts["data"].pop("paraphrase")
    if paraphrase["url"]:
        parts["paraphrase"] = paraphrase["model"]
    # a generated source makes as many tasks as it is asked for
    parts["data"]["sizes"] = config.data.sizes if config.eval.split == "all" else config.data.sizes.get(config.eval.split)
    parts |= {"seed": config.seed, "task": config.task, "tools": config.tools, "requests": config.requests, "schema": SCHEMA_VERSION}
    kept = ("split", "sources", "tasks", "expert_tasks", "temperature", "cap_s", "constrained")
    parts["eval"] = {name: getattr(config.eval, name) for name in kept}
    parts["weights"] = weights_hash(backends["model"].model.adapter) if "model" in backends else ""
    if named := sorted(config.eval.checkpoints.keys() & backends.keys()):
        parts["checkpoints"] = {name: weights_hash(backends[name].model.adapter) for name in named}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def prepare(folder: Path, key: str, rows: Sequence[Row]) -> None:
    """Makes the folder, or checks that what is in it was made by the same recipe."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in (_MAKING, MANIFEST):
        if (folder / name).exists() and json.loads((folder / name).read_text()).get("recipe") != key:
            raise ValueError(f"{folder} holds a replay with other settings or weights; give another out=, or delete the folder")
    strange = {path.name for path in folder.glob("episodes-*.jsonl")} - {row.file for row in rows}
    if strange:
        raise ValueError(f"{folder} holds rows that are not asked for ({min(strange)}); give another out=, or delete the folder")
    if not (folder / MANIFEST).exists():
        (folder / _MAKING).write_text(json.dumps({"recipe": key}) + "\n")


def tasks_of(config: Config, played: Backend) -> Sequence[Task]:
    """The tasks of the configured split; of ``all``, for a checkpoint only those of test, for it may have seen the others."""
    if config.eval.split != "all":
        return load(config, config.eval.split)
    return load(config, "test") if played.trained else [task for split in SPLITS for task in load(config, split)]


def choose(tasks: Sequence[Task], most: int, seed: int) -> list[Task]:
    """At most ``most`` tasks (0 for all) in an order that a hash of seed and ID gives, so that fewer are a part of more."""
    ordered = sorted(tasks, key=lambda task: (child(seed, "choose", task.id), task.id))
    return ordered[:most] if most else ordered


def run(config: Config, folder: Path, rows: Sequence[Row], backends: dict[str, Backend]) -> None:
    """Runs rows; a backend's weights are loaded once, when its first row comes."""
    tasks: dict[tuple[str, bool], Sequence[Task]] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    loaded: tuple[str, Any] = ("", None)
    with Progress(*columns, disable=not sys.stderr.isatty()) as bar:
        for row in rows:
            played, own = backends[row.backend], of_source(config, row.source)
            heard = (row.source, played.trained)
            if heard not in tasks:
                tasks[heard] = tasks_of(own, played)
            chosen = choose(tasks[heard], config.eval.expert_tasks if played.planned else config.eval.tasks, config.seed)
            part = Part.open((folder / row.file).with_suffix(".part"))
            todo = [task for task in chosen if task.id not in part.done]
            shown = bar.add_task(row.name, total=len(chosen), completed=len(chosen) - len(todo))
            if todo and not played.planned and loaded[0] != row.backend:
                loaded = (row.backend, played.load(config.eval.temperature, 2 * config.agent.max_context_tokens))

            def keep(made: dict[str, Any], part: Part = part, shown: Any = shown) -> None:
                part.add(made)
                bar.advance(shown)

            run_row(own, row, played, loaded[1], todo, keep)
            part.finish(chosen)
            if bar.disable:
                print(f"{row.name}: {len(chosen)} episodes", flush=True)


def run_row(config: Config, row: Row, played: Backend, model: Any, tasks: Sequence[Task], done: Callable[[dict[str, Any]], None]) -> None:
    """Runs one row's tasks; ``done`` gets each record as soon as its episode ends."""
    profile, renderer = profile_of(row.profile, config.clock), played.renderer()
    settings = settings_of(row.mode, played.agent)
    # it names neither mode nor backend: every row hears the same updates
    seed = child(config.seed, "replay", row.seed)
    boxes: list[Toolbox] = [task.toolbox() for task in tasks]
    aids: dict[str, Any] = {}
    if config.eval.constrained and not played.planned:
        from agent.models.grammar import ProtocolGrammar
        aids = {"grammar": ProtocolGrammar(renderer)}

    def episode(n: int):
        task = tasks[n]
        return make_episode(
            task, row.mode, profile, renderer, agent=played.agent, data=config.data, seed=seed,
            toolbox=boxes[n], planner=played.planner(task, config.data, child(seed, task.id, "eager")), **aids,
        )

    def keep(n: int, rollout: Rollout) -> None:
        heard = updates_of(tasks[n], config.data, seed)
        done(record(
            tasks[n], rollout, boxes[n], heard, settings=settings, profile=profile, renderer=renderer, cap_ns=ns(config.eval.cap_s),
            backend=row.backend, mode=row.mode, seed=row.seed, **({"source": row.source} if row.source else {}), forced=bool(aids),
        ))

    if played.planned:
        for n in range(len(tasks)):
            keep(n, episode(n).run())
    elif tasks:
        seeds = [child(seed, task.id, "sampling") for task in tasks]
        run_batch([episode(n) for n in range(len(tasks))], Seeded(model, seeds), config.eval.batch, keep)


class Seeded:
    """A model whose contexts sample by their task, not by their place in a batch that a resumed run would not have."""

    def __init__(self, model: Any, seeds: Sequence[int]) -> None:
        self.model, self.seeds, self.end_ids = model, seeds, model.end_ids

    def open(self, prompt_ids: Sequence[int], seed: int = 0) -> Any:
        """Opens the context of the episode at a place."""
        return self.model.open(prompt_ids, self.seeds[seed])

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)


def _line(row: dict[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n"


if __name__ == "__main__":
    command(main)()
