"""A row and its twin's rollout: whether they differ before the two have heard different things.

Owns what stood in a context, as logs have it, and the comparison of two. Does not know how a twin is made
(`data_gen.tasks.twins`).
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from configs.modes import settings_of
from configs.schema import Config
from data_gen.episodes import make_episode
from data_gen.expert.player import Expert, expert_of
from data_gen.grounding.reading import reading_of
from data_gen.seeds import child
from data_gen.task import Task
from data_gen.trajectory import Piece, Trajectory
from midsentence.core import reducer
from midsentence.core.events import (
    Append,
    Command,
    EndPredicted,
    Event,
    Forget,
    ModelOutput,
    Silence,
    Speaking,
    UserUpdate,
)
from midsentence.core.transcript import Segment
from midsentence.rendering.renderer import Renderer


def cut_of(seed: int, words: int) -> int:
    """How many words a row's twin shares with it: at least one, not all."""
    return random.Random(child(seed, "twin")).randrange(1, words)


def expert_for(config: Config, task: Task, eager: tuple[float, int]) -> Expert:
    """The expert that the settings have for a task."""
    return expert_of(task, reading_of(task, *eager), config.data)


def diverges(
    config: Config,
    row: Trajectory,
    task: Task,
    double: Task,
    parts: Sequence[Piece],
    eager: tuple[float, int],
    made: Renderer,
) -> bool:
    """Whether the row differs from its twin's rollout before the two have heard different things."""
    episodes = [
        make_episode(
            each,
            row.mode,
            row.profile,
            made,
            agent=config.agent,
            data=config.data,
            seed=child(row.seed, "speech"),
            planner=expert_for(config, each, eager),
        )
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
    """All that ever stood in a context, as a log has it: an attempt on a false end of speech too, which leaves the
    transcript again. What was written in one generation is one segment."""
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


def part_early(mine: Sequence[Segment], theirs: Sequence[Segment], apart_ns: int) -> bool:
    """Whether two transcripts differ in what was written before ``apart_ns``.

    An action under way then may have gone on in one and been cut in the other; a segment bears the time of its end.
    """
    told = [
        [(s.kind, s.text, s.ids) for s in each if s.kind != "model" and s.at_ns < apart_ns] for each in (mine, theirs)
    ]
    wrote = [[s for s in each if s.kind == "model"] for each in (mine, theirs)]
    n = max(sum(segment.at_ns < apart_ns for segment in each) for each in wrote)
    if told[0] != told[1] or n > min(map(len, wrote)):
        return True
    pairs = [(a.ids, b.ids) for a, b in zip(wrote[0][:n], wrote[1][:n])]
    if any(a != b for a, b in pairs[:-1]):
        return True
    short, long = sorted(pairs[-1], key=len) if pairs else ((), ())
    return short != long[: len(short)]
