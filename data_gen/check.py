"""Checks a folder of trajectories, every row of it: ``python -m data_gen.check path=PATH``.

Prints one line of JSON. Owns what must hold of a row: its log replays to its transcript and its ids (`prefix_broken`), no
word of the model's was written before the expert could know it (`peeked`, `twins_diverged_early`), or shows how many calls
will be asked for (`knew_number`), how far a value will go (`knew_extent`; at an end of speech, right or wrong,
`knew_extent_at_end`), what was misheard (`knew_misheard`) or where speech ends (`knew_end`), it ends with what was asked for
(`gold_not_reached`) and repeats nothing (`repeated_actions`); and between rows, that splits share nothing (`split_overlap`).
Tasks are made again from the folder's own settings. Does not know the trainer.
"""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import chain
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from configs.command import command
from configs.folder import settings_in
from configs.modes import settings_of
from configs.schema import Config
from data_gen.episodes import make_episode
from data_gen.expert.player import Expert, expert_of, heard_in, reconcile
from data_gen.gold import canonical
from data_gen.grounding.reading import reading_of
from data_gen.seeds import child
from data_gen.sources import SPLITS, load
from data_gen.speech.disfluency import CORRECTIONS
from data_gen.task import Task
from data_gen.tasks.nearness import Nearness
from data_gen.tasks.twins import asked_tools, known_by, others, twin
from data_gen.trajectory import Piece, Trajectory, read_manifest, read_shard
from midsentence.core import reducer
from midsentence.core.calls import Call, CallState
from midsentence.core.events import (
    Append,
    Command,
    EndPredicted,
    Event,
    Forget,
    Generate,
    ModelOutput,
    Note,
    Silence,
    Speaking,
    StartTool,
    UserUpdate,
)
from midsentence.core.reducer import State
from midsentence.core.transcript import Segment
from midsentence.ending import UserError, quietly
from midsentence.rendering.renderer import Renderer
from midsentence.terminal import plain

SECRETS = ("number", "extent", "extent_at_end", "misheard")
"""What of a request a listener can't know yet, beside its values; see `data_gen.tasks.twins.others`."""
COUNTERS = (
    "peeked", *(f"knew_{secret}" for secret in SECRETS), "knew_end", "twins_diverged_early",
    "gold_not_reached", "repeated_actions", "prefix_broken",
)
LOST = "gold_lost_at_false_end"
"""No fault of a row: an endpoint was wrong, an effect started before the user's last word was heard, and what was asked for in
the end can't be had any more."""
MOST_SHOWN = 20
"""Rows at fault that are named."""
MOST_TRIED = 12
"""Tasks that are looked at for a twin's continuation."""
_SHARED = ("moment:", "day:", "length:", "priority:", "transport:")
"""Kinds of values that are no names: every split says "tomorrow"."""


@dataclass(slots=True)
class Tally:
    """What was counted in some rows."""

    rows: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    templates: Counter[str] = field(default_factory=Counter)
    corrected: int = 0
    tokens: Counter[str] = field(default_factory=Counter)
    tags: Counter[str] = field(default_factory=Counter)
    calls: Counter[int] = field(default_factory=Counter)
    """Rows by how many calls gold has."""
    owned: dict[str, set[str]] = field(default_factory=dict)
    """What each split's rows contain that no other split's may."""
    nearness: Nearness = field(default_factory=Nearness)
    """How near test's rows are to train's."""
    turns: Counter[str] = field(default_factory=Counter)
    """Turns of conversations by kind."""
    lengths: Counter[int] = field(default_factory=Counter)
    """Conversations by how many turns they have."""
    faulty: list[str] = field(default_factory=list)
    """Rows at fault, and with what."""

    def add(self, other: Tally) -> None:
        """Takes in another tally."""
        self.rows += other.rows
        self.faulty += other.faulty
        self.corrected += other.corrected
        self.nearness.update(other.nearness)
        for name in ("counts", "templates", "tokens", "tags", "calls", "turns", "lengths"):
            getattr(self, name).update(getattr(other, name))
        for split, things in other.owned.items():
            self.owned.setdefault(split, set()).update(things)

    def report(self) -> dict[str, Any]:
        """The line that is printed."""
        splits = list(self.owned.values())
        overlap = set().union(*(a & b for n, a in enumerate(splits) for b in splits[n + 1:])) if splits else set()
        told = sum(self.templates.values())
        return {
            "rows": self.rows, **{name: self.counts[name] for name in (*COUNTERS, LOST)}, "split_overlap": len(overlap),
            "templates": len(self.templates),
            "largest_template_share": round(max(self.templates.values()) / told, 4) if told else None,
            "share_with_correction": round(self.corrected / self.rows, 4) if self.rows else None,
            "mean_tokens": {name: round(total / self.rows) for name, total in self.tokens.items()},
            "calls": self._shares(self.calls), "tags": self._shares(self.tags), "nearness": self.nearness.report(),
        } | (self._of_turns() if self.turns else {})

    def _of_turns(self) -> dict[str, Any]:
        """How many turns there are, and the share of each kind among them and of each number among conversations."""
        total = self.turns.total()
        kinds = {kind: round(count / total, 4) for kind, count in sorted(self.turns.items())}
        return {"turns": total, "kinds_of_turns": kinds, "turns_of_conversations": self._shares(self.lengths)}

    def _shares(self, counted: Counter[Any]) -> dict[str, float]:
        """Shares of the rows, in the order of what was counted."""
        return {str(key): round(count / self.rows, 4) for key, count in sorted(counted.items())}


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
    from data_gen.generate import renderer

    made = renderer(config)
    others = _renderers(config.model.name)
    tally = Tally()
    for row in rows:
        tally.rows += 1
        owned = tally.owned.setdefault(row.split, set())
        owned.add(f"request: {row.request}")
        tally.corrected += bool(CORRECTIONS & set(row.tags))
        task, other = _tasks_of(config, row)
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
        for name, renders in others.items():
            tally.tokens[name] += _tokens(row, renders) if renders is not None else row.tokens
    return tally


def _tasks_of(config: Config, row: Trajectory) -> tuple[Task, Task]:
    """The row's task, and the next one of its split that asks for nothing but tools of the row's; itself where there is none near."""
    pool = _pool(_Key(config), row.split)
    number = row.id.rpartition("/")[2]
    n = int(number) if number.isdecimal() else 0
    task = pool[n % len(pool)]
    if task.id != row.task:
        pools = chain((pool,), (_pool(_Key(config), split) for split in SPLITS))
        found = next((found for each in pools for found in each if found.id == row.task), None)
        if found is None:
            raise UserError(f"{row.id} is of task {row.task!r}, which its source does not make any more; generate the data again")
        task = found
    near = (pool[(n + step) % len(pool)] for step in range(1, min(len(pool), MOST_TRIED) + 1))
    return task, next((other for other in near if _goes_on_like(task, other)), task)


def _goes_on_like(task: Task, other: Task) -> bool:
    """Whether a task can go on like another: it has the tools that the other asks for, those that it takes back among them."""
    try:
        return asked_tools(twin(task, other, 1)) <= task.specs.keys()
    except KeyError:  # a tool that the task does not know
        return False


class _Key:
    """Settings as a key: equal recipes are equal."""

    def __init__(self, config: Config) -> None:
        from data_gen.generate import recipe

        self.config, self.recipe = config, recipe(config)

    def __hash__(self) -> int:
        return hash(self.recipe)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and other.recipe == self.recipe


@lru_cache
def _pool(key: _Key, split: str) -> Sequence[Task]:
    return load(key.config, split)  # type: ignore[arg-type]


def faults(config: Config, row: Trajectory, task: Task, other: Task, made: Renderer) -> set[str]:
    """Which counters a row adds to.

    Args:
        config: what it was made with.
        row: the row.
        task: its task.
        other: another task of its source, for the twin.
        made: the renderer that it was made with.
    """
    found: set[str] = set()
    parts = row.segments
    eager = (config.data.eagerness, child(row.seed, "eager"))
    try:
        state, notes, knew = _replay(config, row, task, eager, made)
    except ValueError:  # the log itself can't be read
        return {"prefix_broken"}
    found |= knew
    if _broken(row, state, parts, made):
        found.add("prefix_broken")
    if any(part.segment.kind == "model" and not part.supervised for part in parts):
        return found  # a model played before the expert did: what it repeated and lost is no fault of the row
    if notes & {"identical_reissue", "retry", "twice"}:
        found.add("repeated_actions")
    if row.outcome != "answered" or not _reached(task, state, eager):
        found.add(LOST if row.outcome == "answered" and "early_effect" in notes else "gold_not_reached")
    if len(task.words) > 1:
        cut = cut_of(row.seed, len(task.words))
        doubles = {"twins_diverged_early": twin(task, other, cut), "knew_end": known_by(task, cut)}
        found |= {name for name, double in doubles.items() if _diverges(config, row, task, double, parts, eager, made)}
    return found


def _replay(config: Config, row: Trajectory, task: Task, eager: tuple[float, int], made: Renderer) -> tuple[State, set[str], set[str]]:
    """The log through the core again: the last state, what was noted, and the counters of what was known too early."""
    state = reducer.start(settings_of(row.mode, config.agent), task.specs, row.task, len(row.prompt_ids))
    notes: set[str] = set()
    plans: dict[str, str] = {"peeked": ""}
    written = ""
    knew: set[str] = set()
    experts: dict[tuple[tuple[str, ...], bool], dict[str, Expert]] = {}
    counted = iter([part.supervised for part in row.segments if part.segment.kind == "model" for _ in part.segment.ids])
    asked = [(call.name, canonical(call)) for call in task.gold]
    alike = any(call in asked[:n] for n, call in enumerate(asked))  # the request itself wants the same twice
    events = row.events
    heard_ns = max((event.at_ns for event in events if isinstance(event, UserUpdate) and event.text), default=0)
    ended = False
    ends = {turn.words for turn in task.turns}
    for event in events:
        if isinstance(event, ModelOutput):
            written += event.text
            counts = next(counted, True)
            if counts:  # else a model wrote it, who may believe anything
                knew |= {name for name, plan in plans.items() if not plan.startswith(written)}
            for _ in event.ids[1:]:
                next(counted, True)
        before = state
        state, commands = reducer.step(state, event)
        ended |= before.final_in_context
        for command_ in commands:
            if isinstance(command_, Note):
                # at a false end a look-up may fail for want of words that are still to come; where all was heard it is tried again
                if not (command_.what == "retry" and ended and event.at_ns < heard_ns):
                    notes.add(command_.what)
            elif isinstance(command_, StartTool) and task.specs[command_.name].access == "write":
                early = len(heard_in(state.transcript)) not in ends if ends else event.at_ns < heard_ns
                notes |= {"early_effect"} if early else set()
            elif isinstance(command_, Generate):
                key = heard_in(state.transcript), state.final_in_context
                if key not in experts:
                    experts[key] = _unknowing(config, task, *key, eager)
                plans, written = {name: made.text(made.action_ids(expert.plan(state))) for name, expert in experts[key].items()}, ""
        new = [id for id in state.graph.calls if id not in before.graph]
        texts = Counter(call.text for call in before.graph.calls.values() if not _did_nothing(call, notes))
        if not alike and any(texts[state.graph[id].text] for id in new):
            notes.add("twice")
    return state, notes, knew


def _did_nothing(call: Call, notes: set[str]) -> bool:
    """Whether a call may be made again: it was taken back, or was refused for what an effect started too early has done."""
    refused = call.state is CallState.FAILED and call.spec.access == "write" and "early_effect" in notes
    return refused or call.state is CallState.CANCELLED


def _unknowing(
    config: Config, task: Task, heard: tuple[str, ...], final: bool, eager: tuple[float, int]
) -> dict[str, Expert]:
    """Experts who know nothing of what comes later, or believe another thing; each must have planned the same."""
    whole = final and len(heard) >= len(task.words)
    tasks = {"peeked": task if whole else known_by(task, len(heard))}
    tasks |= {} if whole else {f"knew_{secret}": other for secret, other in others(task, heard, final).items()}
    return {name: _expert(config, each, eager) for name, each in tasks.items()}


def _expert(config: Config, task: Task, eager: tuple[float, int]) -> Expert:
    return expert_of(task, reading_of(task, *eager), config.data)


def _reached(task: Task, state: State, eager: tuple[float, int]) -> bool:
    """Whether the calls at the end are the wanted ones, all done, and no other write took effect."""
    wanted = reading_of(task, *eager).wanted(task.said(), True)
    edits, ids = reconcile(wanted, state, True)
    mine = set(ids.values())
    if edits or len(ids) < len(task.gold):
        return False
    return all(state.graph[id].state is CallState.DONE for id in mine) and not any(
        call.frozen and call.id not in mine for call in state.graph.calls.values()
    )


def _broken(row: Trajectory, state: State, parts: Sequence[Piece], made: Renderer) -> bool:
    """Whether ids, texts and log disagree."""
    replayed = _merged([(s.kind, s.text, s.ids) for s in state.transcript])
    stored = _merged([(p.segment.kind, p.segment.text, p.segment.ids) for p in parts])
    if replayed != stored:
        return True
    # what is cut in the middle of a character ends with a part of one, which no text can hold
    whole = ((made.text(p.segment.ids).rstrip("\ufffd"), p.segment.text.rstrip("\ufffd")) for p in parts if p.segment.kind == "model")
    if any(written != text for written, text in whole):
        return True
    return len(made.ids(row.prompt_ids, (p.segment for p in parts))) != row.tokens


def _merged(segments: Iterable[tuple[str, str, tuple[int, ...]]]) -> list[tuple[str, str, tuple[int, ...]]]:
    """Segments with neighbours of the model's put together."""
    found: list[tuple[str, str, tuple[int, ...]]] = []
    for kind, text, ids in segments:
        if kind == "model" and found and found[-1][0] == "model":
            found[-1] = (kind, found[-1][1] + text, found[-1][2] + tuple(ids))
        else:
            found.append((kind, text, tuple(ids)))
    return found


def _diverges(
    config: Config, row: Trajectory, task: Task, double: Task, parts: Sequence[Piece], eager: tuple[float, int], made: Renderer
) -> bool:
    """Whether the row differs from its twin's rollout before the two have heard different things."""
    episodes = [
        make_episode(each, row.mode, row.profile, made, agent=config.agent, data=config.data,
                     seed=child(row.seed, "speech"), planner=_expert(config, each, eager))
        for each in (task, double)
    ]
    heard = [episode.agenda.events for episode in episodes]
    rollout = episodes[1].run()
    if task.turns:  # what is said in later turns is not there before they begin
        told = UserUpdate | EndPredicted | Silence | Speaking
        heard = [[event for event, _ in run.history if isinstance(event, told)] for run in (episodes[0].run(), rollout)]
    apart_ns = min(
        (min(a.at_ns, b.at_ns) for a, b in zip(*heard) if a != b), default=min(updates[-1].at_ns for updates in heard)
    )
    state, history = reducer.start(settings_of(row.mode, config.agent), task.specs, row.task, len(row.prompt_ids)), []
    for event in row.events:
        state, commands = reducer.step(state, event)
        history.append((event, commands))
    # an attempt that was thrown away is in the log and no more in the row
    left = any(isinstance(command_, Forget) for _, commands in history for command_ in commands)
    mine = passed(history) if left else [part.segment for part in parts]
    return part_early(mine, passed(rollout.history), apart_ns)


def passed(history: Iterable[tuple[Event, Sequence[Command]]]) -> list[Segment]:
    """All that ever stood in a context, as a log has it: an attempt on a false end of speech too, which leaves the transcript again. What
    was written in one generation is one segment."""
    found: list[Segment] = []
    generation = None
    for event, commands in history:
        if isinstance(event, ModelOutput):
            if event.generation == generation:
                last = found.pop()
                found.append(Segment("model", last.text + event.text, event.at_ns, last.ids + event.ids))
            else:
                found.append(Segment("model", event.text, event.at_ns, event.ids))
            generation = event.generation
        for command_ in commands:
            if isinstance(command_, Append):
                found += command_.segments
                generation = None
    return found


def cut_of(seed: int, words: int) -> int:
    """How many words a row's twin shares with it: at least one, not all."""
    return random.Random(child(seed, "twin")).randrange(1, words)


def part_early(mine: Sequence[Segment], theirs: Sequence[Segment], apart_ns: int) -> bool:
    """Whether two transcripts differ in what was written before ``apart_ns``.

    An action under way then may have gone on in one and been cut in the other; a segment bears the time of its end.
    """
    told = [[(s.kind, s.text, s.ids) for s in each if s.kind != "model" and s.at_ns < apart_ns] for each in (mine, theirs)]
    wrote = [[s for s in each if s.kind == "model"] for each in (mine, theirs)]
    n = max(sum(segment.at_ns < apart_ns for segment in each) for each in wrote)
    if told[0] != told[1] or n > min(map(len, wrote)):
        return True
    pairs = [(a.ids, b.ids) for a, b in zip(wrote[0][:n], wrote[1][:n])]
    if any(a != b for a, b in pairs[:-1]):
        return True
    short, long = sorted(pairs[-1], key=len) if pairs else ((), ())
    return short != long[: len(short)]


@lru_cache
def _renderers(name: str) -> dict[str, Renderer | None]:
    """The three tokenizers that are counted; the row's own is None, and one that is not at hand is left out."""
    from midsentence.models.load import load_renderer

    found: dict[str, Renderer | None] = {name: None}
    for other in ("smollm2", "qwen2.5", "llama3.2"):
        if other not in found and (folder := _folder(other)) is not None:
            found[other] = load_renderer(folder, "token", "none")
    return found


def _folder(name: str) -> str | None:
    from midsentence import assets
    from midsentence.models.folders import ModelNotFound, converted

    if name == "smollm2":
        try:
            return "smollm2" if converted() is not None else None
        except ModelNotFound:
            return None
    try:
        return str(assets.asset_path(name))
    except assets.MissingAsset:
        return None


def _tokens(row: Trajectory, made: Renderer) -> int:
    """The row's length in another tokenizer."""
    total = len(row.prompt_ids)
    segments = []
    for part in row.segments:
        s = part.segment
        segments.append(Segment(s.kind, s.text, s.at_ns, made.action_ids(s.text)) if s.kind == "model" else s)
    return total + len(made.ids((), segments))


if __name__ == "__main__":
    command(main)()
