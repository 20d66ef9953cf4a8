"""What a row is at fault with.

Owns what must hold of a row: its log replays to its transcript and its ids (`prefix_broken`), no
word of the model's was written before the expert could know it (`peeked`, `twins_diverged_early`), or shows how many
calls will be asked for (`knew_number`), how far a value will go (`knew_extent`; at an end of speech, right or wrong,
`knew_extent_at_end`), what was misheard (`knew_misheard`) or where speech ends (`knew_end`), it ends with what was
asked for (`gold_not_reached`) and repeats nothing (`repeated_actions`). Does not know other rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from configs.modes import settings_of
from configs.schema import Config
from data_gen.checks.divergence import cut_of, diverges, expert_for
from data_gen.checks.tally import LOST
from data_gen.expert.edits import reconcile
from data_gen.expert.listening import heard_in
from data_gen.expert.player import Expert
from data_gen.gold import canonical
from data_gen.grounding.reading import reading_of
from data_gen.seeds import child
from data_gen.task import Task
from data_gen.tasks.twins import known_by, others, twin
from data_gen.trajectory import Piece, Trajectory
from midsentence.core import reducer
from midsentence.core.calls import Call, CallState
from midsentence.core.events import (
    Generate,
    ModelOutput,
    Note,
    StartTool,
    UserUpdate,
)
from midsentence.core.reducer import State
from midsentence.rendering.renderer import Renderer


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
        found |= {name for name, double in doubles.items() if diverges(config, row, task, double, parts, eager, made)}
    return found


def _replay(
    config: Config, row: Trajectory, task: Task, eager: tuple[float, int], made: Renderer
) -> tuple[State, set[str], set[str]]:
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
                # at a false end a look-up may fail for want of words that are still to come; where all was heard it is
                # tried again
                if not (command_.what == "retry" and ended and event.at_ns < heard_ns):
                    notes.add(command_.what)
            elif isinstance(command_, StartTool) and task.specs[command_.name].access == "write":
                early = len(heard_in(state.transcript)) not in ends if ends else event.at_ns < heard_ns
                notes |= {"early_effect"} if early else set()
            elif isinstance(command_, Generate):
                key = heard_in(state.transcript), state.final_in_context
                if key not in experts:
                    experts[key] = _unknowing(config, task, *key, eager)
                plans, written = (
                    {name: made.text(made.action_ids(expert.plan(state))) for name, expert in experts[key].items()},
                    "",
                )
        new = [id for id in state.graph.calls if id not in before.graph]
        texts = Counter(call.text for call in before.graph.calls.values() if not _did_nothing(call, notes))
        if not alike and any(texts[state.graph[id].text] for id in new):
            notes.add("twice")
    return state, notes, knew


def _did_nothing(call: Call, notes: set[str]) -> bool:
    """Whether a call may be made again: it was taken back, or was refused for what an effect started too early has
    done."""
    refused = call.state is CallState.FAILED and call.spec.access == "write" and "early_effect" in notes
    return refused or call.state is CallState.CANCELLED


def _unknowing(
    config: Config, task: Task, heard: tuple[str, ...], final: bool, eager: tuple[float, int]
) -> dict[str, Expert]:
    """Experts who know nothing of what comes later, or believe another thing; each must have planned the same."""
    whole = final and len(heard) >= len(task.words)
    tasks = {"peeked": task if whole else known_by(task, len(heard))}
    tasks |= {} if whole else {f"knew_{secret}": other for secret, other in others(task, heard, final).items()}
    return {name: expert_for(config, each, eager) for name, each in tasks.items()}


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
    whole = (
        (made.text(p.segment.ids).rstrip("\ufffd"), p.segment.text.rstrip("\ufffd"))
        for p in parts
        if p.segment.kind == "model"
    )
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
