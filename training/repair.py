"""On-policy repair: ``python -m training.repair experiment=repair model.adapter=CHECKPOINT out=PATH``.

The model plays training tasks itself, mistakes and all; in every state that it visits the expert is asked what should
be written there, and rows are made in which the expert takes over at a moment where the two disagree
(`data_gen.expert.handover`). The folder is one more of ``train.data``: contexts are the model's own, and only what the
expert wrote in them counts. This is DAgger (Ross, Gordon, Bagnell 2011) with the expert finishing the episode instead
of giving one action.

Owns which tasks are played, where and by which draws, the processes, the files and the report of what the model did
wrong (``repair.json``, ``repair.md``). A shard's rows follow from the settings and the weights alone, whatever the
number of processes (for a model in float32, as in `eval.replay`); a killed run resumes. Does not know how a task is
scored.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any, cast

from rich.progress import Progress

from configs.command import claim, command, out_folder, write_manifest
from configs.modes import settings_of
from configs.schema import Config, counted
from data_gen.card import write_card
from data_gen.episodes import make_episode, sample_profile
from data_gen.expert.agreement import KINDS
from data_gen.expert.handover import Diverged, Handover, Watched
from data_gen.expert.player import Expert, expert_of
from data_gen.grounding.reading import reading_of
from data_gen.seeds import child
from data_gen.sources import honoured, inputs, load
from data_gen.task import Split, Task
from data_gen.trajectory import MANIFEST, SCHEMA_VERSION, Trajectory, files_of, shard_name, trajectory_of, write_shard
from midsentence.clock import Profile
from midsentence.core.protocol import EDITION
from midsentence.core.reducer import State
from midsentence.ending import UserError, quietly
from midsentence.files import intact, marker, write
from midsentence.models.load import load_renderer, load_runtime, weights_hash
from midsentence.models.planned import Planner
from midsentence.rendering.renderer import Renderer, Stamps, Tags, Turns
from midsentence.shells.batch import run_batch
from midsentence.shells.rollout import Rollout
from midsentence.shells.virtual import Episode
from midsentence.terminal import plain

SPLIT: Split = "train"
REPORT = "repair.json"
TABLE = "repair.md"
_MAKING = "making.json"


def main(config: Config) -> None:
    """Plays what is not played yet, then writes the manifest, the card and the report."""
    check(config)
    folder = out_folder(config, "repair")
    key = recipe(config)
    count = -(-config.repair.rollouts // config.repair.shard_rollouts)
    names = [shard_name(SPLIT, index, count) for index in range(count)]
    claim(folder)
    prepare(folder, key, names)
    known = marker(folder / MANIFEST).get("files", {})
    missing = [index for index, name in enumerate(names) if not intact(folder / name, known.get(name))]
    started_s = time.perf_counter()
    made = sum(progress(config, folder, missing, count))
    elapsed_s = time.perf_counter() - started_s
    counts = total(folder, count)
    if not counts["rows"]:
        raise UserError(
            f"{counts['rollouts']} rollouts gave no row: the model and the expert agree everywhere, or nothing finished"
        )
    write_card(folder, config, {SPLIT: names})
    report = summary(counts)
    write(folder / REPORT, json.dumps(report, indent=1) + "\n")
    write(folder / TABLE, table(report) + "\n")
    made_by = renderer(config)
    write_manifest(
        folder,
        config,
        schema_version=SCHEMA_VERSION,
        recipe=key,
        shards={SPLIT: names},
        files=files_of(folder, {SPLIT: names}),
        tokenizer=made_by.fingerprint,
        edition=EDITION,
        tags=made_by.tags,
        turns=made_by.turns,
        repaired=config.model.adapter,
        counts=dict(sorted(counts.items())),
    )
    (folder / _MAKING).unlink(missing_ok=True)
    print(table(report))
    if made:
        print(f"{made} rows in {elapsed_s:.1f} s ({made / elapsed_s:.1f} a second, {config.repair.workers} workers)")
    print(f"data: {folder}")


def check(config: Config) -> None:
    """What the settings show to be wrong, before any weights load.

    Raises:
        UserError: the text names the setting, its value and the fix.
    """
    if config.model.adapter is None:
        raise UserError(
            "model.adapter is empty: name the checkpoint that is to be repaired, made by python -m training.sft"
        )
    for mode in config.data.modes:
        if settings_of(mode, config.agent).verified:
            raise UserError(
                f"data.modes names {mode!r}: two sessions, each in a mode of its own; repair eager_end and speculative"
            )
    honoured(config, [config], (task for split in (SPLIT,) for task in load(config, split)))
    renderer(config)  # a checkpoint that is not there, or speaks another form of the protocol


def recipe(config: Config) -> str:
    """A hash of all that the rows depend on."""
    parts: dict[str, Any] = {
        name: asdict(getattr(config, name)) for name in ("model", "data", "clock", "agent", "repair")
    }
    for group, name in (
        ("data", "workers"),
        ("data", "shard_rows"),
        ("data", "paraphrase"),
        ("repair", "workers"),
        ("repair", "batch"),
    ):
        parts[group].pop(name)
    parts["agent"] = counted(config.agent)
    parts |= {
        "inputs": inputs(config),
        "weights": weights_hash(config.model.adapter),
        "seed": config.seed,
        "task": config.task,
    }
    parts |= {"tools": config.tools, "requests": config.requests, "schema": SCHEMA_VERSION, "edition": EDITION}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def prepare(folder: Path, key: str, names: Sequence[str]) -> None:
    """Makes the folder, or checks that what is in it was made by the same recipe."""
    folder.mkdir(parents=True, exist_ok=True)
    others = [name for name in (_MAKING, MANIFEST) if (found := marker(folder / name)) and found.get("recipe") != key]
    if others and any(folder.glob("*.parquet")):
        raise UserError(
            f"{folder} holds data of another model or other settings; give another out=, or delete the folder"
        )
    for name in others:  # a command that failed before its first row binds nobody
        (folder / name).unlink()
    if strange := {path.name for path in folder.glob("*.parquet")} - set(names):
        raise UserError(
            f"{folder} holds shards of another run ({min(strange)}); give another out=, or delete the folder"
        )
    for half in folder.glob("*.tmp"):
        half.unlink()
    if not marker(folder / MANIFEST):
        write(folder / _MAKING, json.dumps({"recipe": key}) + "\n")


def progress(config: Config, folder: Path, missing: Sequence[int], count: int) -> Iterator[int]:
    """Makes the shards, in this process or in several; yields the rows of each."""
    with Progress(disable=not sys.stderr.isatty()) as bar:
        shown = bar.add_task("shards", total=len(missing))
        if config.repair.workers == 1:
            for index in missing:
                yield make_shard(config, folder, index, count)
                bar.advance(shown)
            return
        with ProcessPoolExecutor(config.repair.workers, mp_context=get_context("spawn"), initializer=_alone) as pool:
            for waiting in [pool.submit(make_shard, config, folder, index, count) for index in missing]:
                yield waiting.result()
                bar.advance(shown)


def _alone() -> None:
    """One thread a process: several that each take all cores are slower than one."""
    import torch

    quietly()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    torch.set_num_threads(1)


@dataclass(frozen=True, slots=True)
class Played:
    """One rollout, and what it takes to run its episode again."""

    config: Config
    """Settings of the run."""
    task: Task
    """What was asked for."""
    mode: str
    """Name of the mode that was played."""
    profile: Profile
    """The device."""
    seed: int
    """What the episode drew from."""
    n: int
    """Its place among all."""

    @classmethod
    def of(cls, config: Config, pool: Sequence[Task], n: int) -> Played:
        """The ``n``-th rollout of the round."""
        seed = child(config.seed, "repair", config.repair.round, n)
        modes = config.data.modes
        profile = sample_profile(config.clock, child(seed, "profile"))
        return cls(config, pool[child(seed, "task") % len(pool)], modes[n % len(modes)], profile, seed, n)

    def expert(self) -> Expert:
        """Who says what should be written, as in `data_gen.generate`."""
        data = self.config.data
        reading = reading_of(self.task, data.eagerness, child(self.seed, "eager"))
        return expert_of(self.task, reading, data)

    def draw(self, what: str) -> random.Random:
        """Draws of its own."""
        return random.Random(child(self.seed, what))

    def episode(self, planner: Planner, grammar: Any = None) -> Episode:
        """Its episode, anew: every token is written at the device's rate, the grammar's forced ones too, as in all
        training data."""
        return make_episode(
            self.task,
            self.mode,
            self.profile,
            renderer(self.config),
            agent=self.config.agent,
            data=self.config.data,
            seed=child(self.seed, "speech"),
            planner=planner,
            grammar=grammar,
            forces=False,
        )


def make_shard(config: Config, folder: Path, index: int, count: int) -> int:
    """Plays one shard's rollouts and makes its rows; gives their number."""
    repair = config.repair
    pool = _tasks(_Key(config))
    first = index * repair.shard_rollouts
    played = [Played.of(config, pool, n) for n in range(first, min(first + repair.shard_rollouts, repair.rollouts))]
    watched = [
        Watched(one.expert(), renderer(config), one.draw("beta"), repair.beta, repair.most_mistakes) for one in played
    ]
    grammar = _grammar(_Key(config)) if repair.constrained else None
    rollouts = run_batch(
        [one.episode(planner, grammar) for one, planner in zip(played, watched, strict=True)],
        _model(_Key(config)),
        repair.batch,
        seeds=[child(one.seed, "sampling") for one in played],
    )
    counts: Counter[str] = Counter()
    rows = []
    for one, planner, rollout in zip(played, watched, rollouts, strict=True):
        planner.close(rollout)
        counts += count_states(one, planner, rollout)
        rows += rows_of(one, planner, counts)
    counts["rows"] = len(rows)
    path = folder / shard_name(SPLIT, index, count)
    write(_counts_of(folder, index, count), json.dumps(counts) + "\n")
    write_shard(path, rows)
    return len(rows)


def rows_of(played: Played, watched: Watched, counts: Counter[str]) -> list[Trajectory]:
    """The rows of one rollout; what became of those that are left out is counted."""
    draw, repair = played.draw("moments"), played.config.repair
    moments = watched.moments()
    rows = []
    for moment in sorted(draw.sample(moments, min(repair.rows, len(moments)))):
        planner = Handover(watched, moment, played.expert())
        try:
            rollout = played.episode(planner).run()
        except Diverged:
            counts["left_out:diverged"] += 1
            continue
        except Exception as error:  # one broken row is data; the report names it
            counts["left_out:failed"] += 1
            print(
                plain(f"{played.task.id} in {played.mode}: the expert failed with {type(error).__name__}: {error}"),
                file=sys.stderr,
            )
            continue
        if not planner.reached:
            counts["left_out:diverged"] += 1
        elif rollout.outcome != "answered":
            counts[f"left_out:{rollout.outcome}"] += 1
        elif planner.refused(rollout):
            counts["left_out:expert_refused"] += 1
        else:
            kind = "recovery" if moment == watched.taken_over else "correction"
            counts[f"made:{kind}"] += 1
            agreed = [n for n, written in enumerate(watched.written[:moment]) if written.by_model and written.same]
            kept = frozenset(n for n in agreed if draw.random() < repair.agreeing)
            rows.append(
                trajectory_of(
                    rollout,
                    played.task,
                    played.mode,
                    played.profile,
                    renderer(played.config),
                    id=f"{played.task.id}/{kind}-{moment}/{played.n}",
                    seed=played.seed,
                    uncounted=planner.uncounted(rollout, kept),
                )
            )
    return rows


# -- the report ----------------------------------------------------------------------------------------------------


def count_states(played: Played, watched: Watched, rollout: Rollout) -> Counter[str]:
    """What one rollout adds to the report, by mode."""
    own = [written for written in watched.written if written.by_model]
    counts: Counter[str] = Counter({"rollouts": 1, f"{played.mode}:rollouts": 1, f"{played.mode}:states": len(own)})
    if watched.failure:
        print(plain(f"{played.task.id} in {played.mode}: the expert failed with {watched.failure}"), file=sys.stderr)
        counts["expert_failed"] += 1
    for written in own:
        counts[f"{played.mode}:{written.kind or 'agreed'}"] += 1
    how = "taken over" if watched.taken_over is not None else rollout.outcome
    counts[f"{played.mode}:ended {how}"] += 1
    counts[f"{played.mode}:without mistake"] += not watched.mistakes
    return counts


def total(folder: Path, count: int) -> Counter[str]:
    """The counts of all shards."""
    found: Counter[str] = Counter()
    for index in range(count):
        found.update(json.loads(_counts_of(folder, index, count).read_text("utf-8")))
    return found


def _counts_of(folder: Path, index: int, count: int) -> Path:
    return folder / f"counts-{index:05d}-of-{count:05d}.json"


def summary(counts: Counter[str]) -> dict[str, Any]:
    """The report: of all modes together and of each, how often the model disagreed with the expert, and how."""
    modes = sorted({name.partition(":")[0] for name in counts if name.endswith(":rollouts")})
    return {
        "rollouts": counts["rollouts"],
        "rows": counts["rows"],
        "expert_failed": counts["expert_failed"],
        "made": _under(counts, "made"),
        "left_out": _under(counts, "left_out"),
        "modes": {mode: _of_mode(counts, [mode]) for mode in modes} | {"all": _of_mode(counts, modes)},
    }


def _under(counts: Counter[str], group: str) -> dict[str, int]:
    return {name.partition(":")[2]: n for name, n in sorted(counts.items()) if name.startswith(f"{group}:")}


def _of_mode(counts: Counter[str], modes: Sequence[str]) -> dict[str, Any]:
    found: Counter[str] = Counter()
    for mode in modes:
        found.update(_under(counts, mode))
    return {
        "rollouts": found["rollouts"],
        "without_mistake": found["without mistake"],
        "states": found["states"],
        "agreed": found["agreed"],
        "kinds": {kind: found[kind] for kind in KINDS},
        "ended": {name.removeprefix("ended "): n for name, n in sorted(found.items()) if name.startswith("ended ")},
    }


def table(report: dict[str, Any]) -> str:
    """The report as a table: disagreements of each kind for a hundred states in which the model wrote."""
    modes = report["modes"]
    lines = ["| for 100 states | " + " | ".join(modes) + " |", "|---|" + "---:|" * len(modes)]
    figures: dict[str, list[Any]] = {
        "rollouts": [mode["rollouts"] for mode in modes.values()],
        "states": [mode["states"] for mode in modes.values()],
        "rollouts without a mistake, %": [_share(mode["without_mistake"], mode["rollouts"]) for mode in modes.values()],
        "agreed": [_share(mode["agreed"], mode["states"]) for mode in modes.values()],
    } | {kind: [_share(mode["kinds"][kind], mode["states"]) for mode in modes.values()] for kind in KINDS}
    for name, row in figures.items():
        lines.append(f"| {name.replace('_', ' ')} | " + " | ".join(map(str, row)) + " |")
    made = ", ".join(f"{n} {kind}" for kind, n in report["made"].items())
    out = ", ".join(f"{n} {why}" for why, n in report["left_out"].items())
    lines += [
        "",
        f"{report['rows']} rows ({made}) of {report['rollouts']} rollouts" + (f"; left out: {out}" if out else ""),
    ]
    return "\n".join(lines)


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}" if whole else "–"


# -- what a process keeps ------------------------------------------------------------------------------------------


class _Key:
    """Settings as a key of what a process keeps: equal recipes are equal."""

    def __init__(self, config: Config) -> None:
        self.config, self.recipe = config, recipe(config)

    def __hash__(self) -> int:
        return hash(self.recipe)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and other.recipe == self.recipe


@cache
def _tasks(key: _Key) -> Sequence[Task]:
    return load(key.config, SPLIT)


@cache
def _model(key: _Key) -> Any:
    from transformers.utils import logging

    logging.disable_progress_bar()
    model, agent, repair = key.config.model, key.config.agent, key.config.repair
    return load_runtime(
        model.name,
        model.adapter,
        model.dtype,
        temperature=repair.temperature,
        max_tokens=2 * agent.max_context_tokens,
        eager=False,
    )


@cache
def _grammar(key: _Key) -> Any:
    from midsentence.grammar.constraint import ProtocolGrammar

    return Lenient(ProtocolGrammar(renderer(key.config), grounded=key.config.repair.grounded))


class Lenient:
    """A grammar that lets go of an action which it can't be made for: one of thousands is no reason to stop, and the
    core judges it."""

    def __init__(self, grammar: Any) -> None:
        self.grammar = grammar

    def begin(self, state: State) -> LenientConstraint:
        """See `midsentence.models.model.Grammar`."""
        try:
            return LenientConstraint(self.grammar.begin(state))
        except ValueError as error:
            return LenientConstraint(None, error)


class LenientConstraint:
    """The constraint of one generation, until it fails."""

    def __init__(self, inner: Any, error: ValueError | None = None) -> None:
        self.inner = inner
        if error is not None:
            self._let_go(error)

    def allowed(self) -> Any:
        """See `midsentence.models.model.Mask`."""
        return self.inner.allowed() if self.inner is not None else None

    def push(self, token: int) -> None:
        """See `midsentence.models.model.Constraint`."""
        try:
            if self.inner is not None:
                self.inner.push(token)
        except ValueError as error:
            self._let_go(error)

    def forced(self) -> Sequence[int]:
        """See `midsentence.models.model.Constraint`."""
        return self.inner.forced() if self.inner is not None else ()

    def _let_go(self, error: ValueError) -> None:
        self.inner = None
        print(plain(f"an action goes on without its grammar: {str(error).splitlines()[0]}"), file=sys.stderr)


def renderer(config: Config) -> Renderer:
    """The renderer of the checkpoint, one a process."""
    return _renderer(
        config.model.name, config.model.tags, config.clock.stamps, config.model.adapter, config.model.turns
    )


@cache
def _renderer(name: str, tags: str, stamps: str, adapter: str | None, turns: str | None) -> Renderer:
    return load_renderer(name, cast(Tags, tags), cast(Stamps, stamps), adapter, cast(Turns | None, turns))


if __name__ == "__main__":
    command(main)()
