"""Runs tasks with each backend, mode and device, and keeps every episode: ``python -m eval.replay experiment=debug``.

Owns which tasks a row runs, the files of results, and going on after a kill. The same tasks, cut into the same updates,
go to every mode and backend, so rows are paired. On the virtual clock the result does not depend on how fast the
machine is, on the size of a batch, or on how often a run was killed; for a model that holds in float32 (in fewer bits,
sums in another order now and then choose another token). With ``time=real`` the same episodes run on the wall clock
(`eval.running.realtime`). Does not know what figures are made of the episodes.

A row's episodes are written line by line to ``episodes-….part``; when all are there they are put in order and the file
is renamed to ``episodes-….jsonl``. The manifest comes last. Under ``accelerate launch`` processes share a row's tasks
(`eval.running.sharding`), and the files come out the same.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from configs.command import claim, command, out_folder, write_manifest
from configs.launch import start_all
from configs.modes import settings_of
from configs.schema import Config, DataConfig, counted
from data_gen.dialogue.user import Conversant
from data_gen.episodes import heard_of, make_episode, profile_of, prompt_of
from data_gen.rejected import report_rejected
from data_gen.seeds import child
from data_gen.sources import honoured, inputs, load, rejected
from data_gen.task import Split, Task
from data_gen.tasks import jsonl
from eval.running.backends import Backend, backend
from eval.running.episodes import record
from eval.running.realtime import WALL, Live, paced, run_live
from eval.running.records import VERSION, EpisodeRecord
from eval.running.sharding import ALONE, Part, Share, share
from midsentence.addresses import without_keys
from midsentence.clock import Profile, local_now, ns, seconds
from midsentence.files import digest, intact, marker, write
from midsentence.models.load import weights_hash
from midsentence.models.planned import Planner
from midsentence.shells.batch import run_batch
from midsentence.shells.rollout import Rollout
from midsentence.shells.virtual import Episode
from midsentence.tools.tool import Toolbox

MANIFEST = "manifest.json"
RECOGNISER = (
    "period_s",
    "lag_s",
    "lag_spread_s",
    "endpoint",
    "endpoints",
    "revision_rate",
    "revision_words",
    "closing_marks",
)
"""Settings of group data that are no source's own."""
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
_MAKING = "making.json"


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table to be: everything but the tasks."""

    backend: str
    """Who plays the model."""
    mode: str
    """Name of the mode."""
    profile: str
    """Name of the device."""
    seed: int
    """Which repetition of the row this is."""
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


def main(config: Config) -> None:
    """Runs what is not there yet, then writes the manifest."""
    folder = out_folder(config, "replay")
    rows, backends = plan(config)
    key = recipe(config, backends)
    own = share()
    with own.main_first():
        claim(folder)
        prepare(folder, key, rows)
    left_out = kept_out(config, folder) if own.main else []
    known = {entry["file"]: entry for entry in marker(folder / MANIFEST).get("rows", [])}
    missing = [row for row in rows if not intact(folder / row.file, known.get(row.file))]
    if missing:
        run(config, folder, missing, backends, own)
    own.close()
    if not own.main:
        return
    if missing or not known:
        clock = {"time": config.time} | ({"processes": own.count} if config.time == "real" else {})
        write_manifest(
            folder,
            config,
            schema_version=VERSION,
            recipe=key,
            rows=[entry_of(folder, row) for row in rows],
            checkpoints={name: backend.model.adapter for name, backend in backends.items()},
            rejected=left_out,
            finished=local_now(),
            plays={name: backend.plays for name, backend in backends.items()},
            **clock,
        )
    for left in (folder / _MAKING, *((folder / row.file).with_suffix(".part") for row in rows)):
        left.unlink(missing_ok=True)  # of a run that was killed between the whole file and this
    print(
        f"{len(rows) - len(missing)} of {len(rows)} rows were there already"
        if len(missing) < len(rows)
        else f"{len(rows)} rows"
    )
    print(f"replay: {folder}")


def entry_of(folder: Path, row: Row) -> dict[str, Any]:
    """What the manifest says of a row: its file, with the episodes in it and its sha256, by which readers know it
    again."""
    with (folder / row.file).open("rb") as file:
        episodes = sum(1 for _ in file)
    return asdict(row) | {"file": row.file, "episodes": episodes, "sha256": digest(folder / row.file)}


def kept_out(config: Config, folder: Path) -> list[dict[str, Any]]:
    """Names the rows that can't be used, as `data_gen.generate` does, and gives for each source how many and which they
    are."""
    split = config.eval.split
    found: list[dict[str, Any]] = []
    all_rows: list[Any] = []
    for name in config.eval.sources or [""]:
        own = of_source(config, name)
        out = rejected(own, split if split in SPLITS else None)
        if out:
            source = own.task or own.data.source
            found.append({"source": source, "split": split, "count": len(out), "rows": [row for row, _ in out]})
            all_rows += out
    report_rejected(folder, all_rows)
    return found


def plan(config: Config) -> tuple[list[Row], dict[str, Backend]]:
    """The rows that a run makes, and its backends by name.

    Raises:
        ValueError: a name that there is not, or nothing to run.
    """
    chosen = config.eval
    for name, values in (
        ("backends", chosen.backends),
        ("modes", chosen.modes),
        ("profiles", chosen.profiles),
        ("seeds", chosen.seeds),
    ):
        if len(set(values)) < len(values):
            raise ValueError(f"eval.{name} is {list(values)}; give each once")
    backends = {name: backend(name, config) for name in chosen.backends}
    for mode in chosen.modes:
        settings_of(mode, config.agent)
    for profile in chosen.profiles:
        if profile.startswith(WALL.name):
            raise ValueError(
                f"eval.profiles names {profile!r}: names that begin with {WALL.name!r} are for time=real; rename the profile"
            )
        profile_of(profile, config.clock)
    each = [of_source(config, source) for source in chosen.sources or [""]]
    honoured(config, each, (task for own in each for played in backends.values() for task in tasks_of(own, played)))
    rows = [
        Row(name, mode, profile, seed, source)
        for name in chosen.backends
        for source in chosen.sources or [""]
        for profile in devices(config, backends[name])
        for seed in chosen.seeds
        for mode in chosen.modes
    ]
    return rows, backends


def devices(config: Config, played: Backend) -> list[str]:
    """The devices that a backend runs on: the configured profiles, or on the wall clock, for a model, this machine."""
    if config.time == "virtual":
        return list(config.eval.profiles)
    if not played.planned:
        return [WALL.name]
    return [paced(profile_of(name, config.clock)).name for name in config.eval.profiles]


def device(row: Row, played: Backend, config: Config) -> Profile:
    """The device of a row that `plan` made."""
    if config.time == "virtual":
        return profile_of(row.profile, config.clock)
    return paced(profile_of(row.profile.removeprefix(f"{WALL.name}-"), config.clock)) if played.planned else WALL


def of_source(config: Config, source: str) -> Config:
    """The settings with those of one source in group data; the configured ones for an empty name.

    Raises:
        ValueError: no such source.
    """
    if not source:
        return config
    known = {
        path.name.removesuffix(".yaml"): path
        for path in files("configs").joinpath("data").iterdir()
        if path.name.endswith(".yaml")
    }
    known.pop("recogniser", None)  # what all of them share
    if source not in known:
        raise ValueError(f"unknown task source {source!r} in eval.sources; use some of {', '.join(sorted(known))}")
    settings = cast(DictConfig, OmegaConf.create(known[source].read_text(encoding="utf-8")))
    settings.pop("defaults", None)
    data = cast(DataConfig, OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(DataConfig), settings)))
    # local files are named once, for all sources
    # the same ears for every source: a file of group data takes its recogniser from another, which is not read here
    ears = {name: getattr(config.data, name) for name in RECOGNISER}
    return replace(config, task="", data=replace(data, files=config.data.files, **ears))


def recipe(config: Config, backends: dict[str, Backend]) -> str:
    """A hash of all that episodes depend on: not the batch, not which rows are asked for."""
    parts: dict[str, Any] = {name: asdict(getattr(config, name)) for name in ("model", "data", "clock", "agent")}
    for name in ("workers", "shard_rows", "modes"):
        parts["data"].pop(name)
    for name in ("tools", "lag_s", "lag_spread_s"):  # settings that came later, where they change nothing
        if parts["data"][name] == getattr(DataConfig, name):
            parts["data"].pop(name)
    parts["agent"] = counted(config.agent)
    paraphrase = parts["data"].pop("paraphrase")
    if paraphrase["url"]:
        parts["paraphrase"] = paraphrase["model"]
    # a generated source makes as many tasks as it is asked for
    parts["data"]["sizes"] = (
        config.data.sizes if config.eval.split == "all" else config.data.sizes.get(config.eval.split)
    )
    parts |= {
        "seed": config.seed,
        "task": config.task,
        "tools": config.tools,
        "requests": config.requests,
        "schema": VERSION,
    }
    kept = ("split", "sources", "tasks", "expert_tasks", "temperature", "cap_s", "constrained")
    parts["eval"] = {name: getattr(config.eval, name) for name in kept} | (
        {"grounded": True} if config.eval.grounded else {}
    )
    parts["weights"] = weights_hash(backends["model"].model.adapter) if "model" in backends else ""
    if named := sorted(config.eval.checkpoints.keys() & backends.keys()):
        parts["checkpoints"] = {name: weights_hash(backends[name].model.adapter) for name in named}
    if "realtime" in backends:
        parts["realtime"] = [without_keys(config.eval.realtime.url), config.eval.realtime.model]
    if config.eval.runtime != "transformers":  # sums in another order, or fewer bits
        parts["runtime"] = config.eval.runtime
    if config.time != "virtual":
        parts["time"] = config.time
    if config.requests:
        parts["inputs"] = inputs(config)
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def prepare(folder: Path, key: str, rows: Sequence[Row]) -> None:
    """Makes the folder, or checks that what is in it was made by the same recipe."""
    folder.mkdir(parents=True, exist_ok=True)
    made = {name: found.get("recipe") for name in (_MAKING, MANIFEST) if (found := marker(folder / name))}
    # a run that failed before its first episode binds nobody
    if set(made.values()) - {key} and (MANIFEST in made or any(folder.glob("episodes-*"))):
        raise ValueError(
            f"{folder} holds a replay with other settings or weights; give another out=, or delete the folder"
        )
    strange = {path.name for path in folder.glob("episodes-*.jsonl")} - {row.file for row in rows}
    if strange:
        raise ValueError(
            f"{folder} holds rows that are not asked for ({min(strange)}); give another out=, or delete the folder"
        )
    if MANIFEST not in made and made.get(_MAKING) != key:
        write(folder / _MAKING, json.dumps({"recipe": key}) + "\n")


def tasks_of(config: Config, played: Backend) -> Sequence[Task]:
    """The tasks of the configured split; of ``all``, for a checkpoint only those of test, for it may have seen the
    others.

    A file of one's own may be too small to have a row in every split. An untrained backend then plays every row.
    """
    split = "test" if played.trained and config.eval.split == "all" else config.eval.split
    if (config.task or config.data.source) == "jsonl" and not played.trained and split in ("all", *SPLITS):
        found = jsonl.load(config.requests, config.tools, config.seed).tasks
        if split != "all" and found and not any(task.split == split for task in found):
            print(
                f"no row of {config.requests} is in split {split!r}: all {len(found)} usable rows are replayed",
                flush=True,
            )
            split = "all"
        if found and split == "all":
            return tuple(found)
    return (
        load(config, cast(Split, split)) if split != "all" else [task for each in SPLITS for task in load(config, each)]
    )


def choose(tasks: Sequence[Task], most: int, seed: int) -> list[Task]:
    """At most ``most`` tasks (0 for all) in an order that a hash of seed and ID gives, so that fewer are a part of
    more."""
    ordered = sorted(tasks, key=lambda task: (child(seed, "choose", task.id), task.id))
    return ordered[:most] if most else ordered


def run(config: Config, folder: Path, rows: Sequence[Row], backends: dict[str, Backend], own: Share = ALONE) -> None:
    """Runs rows, or this process's share of them; a backend's weights are loaded once, when its first row comes."""
    paths = {row: (folder / row.file).with_suffix(".part") for row in rows}
    with own.main_first():
        if own.main:
            for path in paths.values():
                Part.gather(path)
        chosen = chosen_tasks(config, rows, backends)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    loaded: tuple[str, Any] = ("", None)
    with Progress(*columns, disable=not (own.main and sys.stderr.isatty())) as bar:
        for row in rows:
            played = backends[row.backend]
            part = Part.open(paths[row]).own(own)
            todo = own.of([task for task in chosen[row] if task.id not in part.done])
            shown = bar.add_task(row.name, total=len(part.done) + len(todo), completed=len(part.done))
            if todo and not played.planned and loaded[0] != row.backend:
                tell_usage(*loaded)
                loaded = (
                    row.backend,
                    played.load(config.eval.temperature, 2 * config.agent.max_context_tokens, config.time == "real"),
                )
            if todo and config.time == "real" and own.main:
                said_s = seconds(sum(task.speech_end_ns for task in todo))
                print(f"{row.name}: {len(todo)} episodes on the wall clock, {said_s:.0f} s of speech", flush=True)

            def keep(made: EpisodeRecord, part: Part = part, shown: Any = shown) -> None:
                part.add(made)
                bar.advance(shown)

            run_row(of_source(config, row.source), row, played, loaded[1], todo, keep)
            if own.count == 1:
                part.finish(chosen[row])
            if bar.disable and own.main:
                print(
                    f"{row.name}: {len(chosen[row])} episodes"
                    + (f", {len(todo)} of them here" if own.count > 1 else ""),
                    flush=True,
                )
    tell_usage(*loaded)
    own.wait()
    if own.main and own.count > 1:
        for row in rows:
            Part.gather(paths[row]).finish(chosen[row])


def tell_usage(backend: str, model: Any) -> None:
    """Prints what a model that others run was asked for; of one that runs here there is nothing to tell."""
    if (used := getattr(model, "usage", None)) is not None:
        print(f"{backend}: {used}", flush=True)


def chosen_tasks(config: Config, rows: Sequence[Row], backends: dict[str, Backend]) -> dict[Row, list[Task]]:
    """What each row runs; a source's tasks are made once."""
    found: dict[tuple[str, bool], Sequence[Task]] = {}
    chosen = {}
    for row in rows:
        played = backends[row.backend]
        heard = (row.source, played.trained)
        if heard not in found:
            found[heard] = tasks_of(of_source(config, row.source), played)
        chosen[row] = choose(
            found[heard], config.eval.expert_tasks if played.planned else config.eval.tasks, config.seed
        )
    return chosen


def run_row(
    config: Config, row: Row, played: Backend, model: Any, tasks: Sequence[Task], done: Callable[[EpisodeRecord], None]
) -> None:
    """Runs one row's tasks; ``done`` gets each record as soon as its episode ends."""
    profile, renderer = device(row, played, config), played.renderer()
    settings = settings_of(row.mode, played.agent)
    # it names neither mode nor backend: every row hears the same updates
    seed = child(config.seed, "replay", row.seed)
    boxes: list[Toolbox] = [task.toolbox() for task in tasks]
    grammar = None
    if config.eval.constrained and not played.planned:
        from midsentence.grammar.constraint import ProtocolGrammar

        grammar = ProtocolGrammar(renderer, grounded=config.eval.grounded)
    samplings = [child(seed, task.id, "sampling") for task in tasks]

    def planner(task: Task) -> Planner | None:
        return played.planner(task, config.data, child(seed, task.id, "eager"))

    def episode(n: int) -> Episode:
        aids = {"grammar": grammar} if grammar is not None else {}
        return make_episode(
            tasks[n],
            row.mode,
            profile,
            renderer,
            agent=played.agent,
            data=config.data,
            seed=seed,
            toolbox=boxes[n],
            planner=planner(tasks[n]),
            **aids,
        )

    def live(n: int) -> Live:
        task = tasks[n]
        system = prompt_of(task, settings, played.agent)
        return Live(boxes[n], heard_of(task, config.data, seed), settings, system, task.id, samplings[n], planner(task))

    def keep(n: int, rollout: Rollout) -> None:
        done(
            record(
                tasks[n],
                rollout,
                boxes[n],
                settings=settings,
                profile=profile,
                renderer=renderer,
                cap_ns=ns(config.eval.cap_s),
                backend=row.backend,
                mode=row.mode,
                seed=row.seed,
                source=row.source,
                time=config.time,
                forced=grammar is not None,
                user=Conversant(tasks[n], config.data, seed) if tasks[n].turns else None,
            )
        )

    if config.time == "real" and any(task.turns for task in tasks):
        raise ValueError(
            "conversations run on the virtual clock alone, for their user is simulated on it; use time=virtual"
        )
    if config.time == "real":
        lives = [live(n) for n in range(len(tasks))]
        writer = None if played.planned else model
        elsewhere: dict[str, Any] = {"service": played.serving} if played.service is not None and lives else {}
        run_live(
            lives, renderer, keep, profile=profile, model=writer, grammar=grammar, idle_s=config.eval.cap_s, **elsewhere
        )
    elif played.planned:
        for n in range(len(tasks)):
            keep(n, episode(n).run())
    elif tasks:
        run_batch([episode(n) for n in range(len(tasks))], model, config.eval.batch, keep, samplings)


if __name__ == "__main__":
    start_all("eval.replay")
    command(main)()
