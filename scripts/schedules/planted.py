"""Bugs to plant, at least one for each of the judge's rules, and how many schedules it takes to find each.

All alter what passes between the core and its shell: the settings and tools that the core is given (the judge knows the
true ones), an event before the core hears it, a command after it gave it. So they survive any change of the core's
insides.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from midsentence.core.events import (
    Append,
    CancelTool,
    Command,
    Emit,
    EndPredicted,
    Event,
    Finish,
    Generate,
    ModelOutput,
    Note,
    StartTool,
    Stop,
    Timer,
    ToolError,
    ToolResult,
    UserUpdate,
)
from midsentence.core.modes import Settings
from midsentence.core.transcript import Segment
from midsentence.tools.tool import ToolSpec
from scripts.schedules.shell import Schedule, Wires
from scripts.schedules.writer import TOOLS

Memory = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Bug:
    """One bug, and the rule that has to find it."""

    rule: str
    hears: Callable[[Event, Memory], Event] | None = None
    """What the core hears in place of an event."""
    says: Callable[[Command, Event, Memory], Iterable[Command]] | None = None
    """What the shell gets in place of a command."""
    adds: Callable[[tuple[Command, ...], Event, Memory], tuple[Command, ...]] | None = None
    """What the shell gets in place of all commands of a step."""
    settings: Callable[[Settings], Settings] = lambda given: given
    tool: Callable[[ToolSpec], ToolSpec] = lambda given: given
    named: bool = True
    """Whether sessions get names of their own."""

    def wires(self) -> Wires:
        """The bug, planted in one session."""
        memory: Memory = {}

        def around(step: Any, state: Any, event: Event) -> tuple[Any, tuple[Command, ...]]:
            heard = self.hears(event, memory) if self.hears else event
            state, commands = step(state, heard)
            if self.says:
                commands = tuple(new for command in commands for new in self.says(command, event, memory))
            return state, self.adds(commands, event, memory) if self.adds else commands

        return Wires(around, self.settings, {name: self.tool(spec) for name, spec in TOOLS.items()}, self.named)


def found_after(bug: Bug, seed: int, most: int, first: int = 0) -> int | None:
    """How many schedules it takes, from number ``first`` on, until the bug's own rule counts; None if ``most`` do not
    find it."""
    keys: dict[str, int] = {}
    for n in range(first, first + most):
        if Schedule(seed * 1_000_000_007 + n, bug.wires(), keys).run().counts[bug.rule]:
            return n + 1 - first
    return None


def _as(access: str, of: str) -> Callable[[ToolSpec], ToolSpec]:
    return lambda spec: replace(spec, access=access, confirm=False) if spec.access == of else spec


def _with(**changes: Any) -> Callable[[Settings], Settings]:
    return lambda given: replace(given, **changes)


def _start(change: Callable[[StartTool], Iterable[Command]], writes: bool = True) -> Callable[..., Iterable[Command]]:
    def says(command: Command, event: Event, memory: Memory) -> Iterable[Command]:
        chosen = isinstance(command, StartTool) and (not writes or TOOLS[command.name].access == "write")
        return change(command) if chosen else (command,)  # type: ignore[arg-type]

    return says


def _told(kind: str, change: Callable[[Segment], Iterable[Segment]]) -> Callable[..., Iterable[Command]]:
    def says(command: Command, event: Event, memory: Memory) -> Iterable[Command]:
        if isinstance(command, Append):
            return (
                Append(tuple(new for one in command.segments for new in (change(one) if one.kind == kind else (one,)))),
            )
        return (command,)

    return says


def _drops(kind: type) -> Callable[..., Iterable[Command]]:
    return lambda command, event, memory: () if isinstance(command, kind) else (command,)


def _nothing(event: Event) -> Event:
    return Timer(event.at_ns, -1)


def _rewritten(pattern: str, text: str) -> Callable[[Event, Memory], Event]:
    return lambda event, memory: (
        replace(event, text=re.sub(pattern, text, event.text)) if isinstance(event, ModelOutput) else event
    )


def _deaf(event: Event, memory: Memory) -> Event:
    return _nothing(event) if isinstance(event, UserUpdate) and not event.final else event


def _spoken(event: Event, memory: Memory) -> Event:
    silent = isinstance(event, UserUpdate) and event.retracts and not event.text
    return replace(event, text="yes") if silent else event


def _lost_is_slow(event: Event, memory: Memory) -> Event:
    # the core takes what is lost to be running still: its late answer sets all that waits for it going
    return _nothing(event) if isinstance(event, ToolError) and event.kind != "failed" else event


def _no_is_slow(event: Event, memory: Memory) -> Event:
    return _nothing(event) if isinstance(event, ToolError) else event


def _no_is_yes(event: Event, memory: Memory) -> Event:
    return ToolResult(event.at_ns, event.call, event.version, "ok") if isinstance(event, ToolError) else event


def _any_version(event: Event, memory: Memory) -> Event:
    if isinstance(event, ToolResult) and event.call in memory:
        return replace(event, version=memory[event.call])
    return event


def _versions(command: Command, event: Event, memory: Memory) -> Iterable[Command]:
    if isinstance(command, StartTool):
        memory[command.call] = command.version
    return (command,)


def _raises(event: Event, memory: Memory) -> Event:
    if isinstance(event, UserUpdate) and not event.text and event.retracts:
        raise RuntimeError("planted")
    return event


def _every_other(commands: tuple[Command, ...], event: Event, memory: Memory) -> tuple[Command, ...]:
    memory["n"] = memory.get("n", 0) + 1
    return (*commands, Note(f"step {memory['n']}"))


def _predicted_is_true(event: Event, memory: Memory) -> Event:
    return UserUpdate(event.at_ns, "", final=True) if isinstance(event, EndPredicted) else event


def _any_pause_is_the_end(event: Event, memory: Memory) -> Event:
    return replace(event, final=True) if isinstance(event, UserUpdate) else event


def _says_at_once(commands: tuple[Command, ...], event: Event, memory: Memory) -> tuple[Command, ...]:
    memory["text"] = memory.get("text", "") + event.text if isinstance(event, ModelOutput) else memory.get("text", "")
    if memory["text"].endswith("<answer>done</answer>"):
        memory["text"] = ""
        commands = (*(c for c in commands if not isinstance(c, Emit)), Emit("done"))
    return commands


def _goes_on(commands: tuple[Command, ...], event: Event, memory: Memory) -> tuple[Command, ...]:
    if memory.get("finished"):
        return (Generate(99),)
    memory["finished"] = any(isinstance(c, Finish) for c in commands)
    return commands


def _loose(spec: ToolSpec) -> ToolSpec:
    # a tool of which nothing is known but names: 1 is no default, and a list of one is no text
    return replace(
        spec,
        params=tuple(replace(p, schema={} if spec.access == "write" else p.schema, default=None) for p in spec.params),
    )


def _nothing_required(spec: ToolSpec) -> ToolSpec:
    return replace(spec, params=tuple(replace(param, required=False) for param in spec.params))


def _respelled(start: StartTool) -> Iterable[Command]:
    args = {
        name: float(v) if type(v) is int else [v] if name == "to" and isinstance(v, str) else v
        for name, v in start.args.items()
    }
    return (start, replace(start, args=args | {"note": None}, version=start.version + 1))


BUGS: dict[str, Bug] = {
    # the four of the first edition
    "a late answer starts a payment": Bug("release_outlived_change", hears=_lost_is_slow),
    "equal effects are equal by their spelling": Bug("equal_effect_twice", tool=_loose),
    "an early egress carries what tools said": Bug("early_egress_carried", tool=_as("read", "egress")),
    "sessions of no name share their keys": Bug(
        "key_of_another_session", named=False, says=_start(lambda s: (replace(s, key=f"session:{s.call}"),))
    ),
    # one for each other rule
    "a key is one ID's, whatever the call": Bug(
        "key_shared", says=_start(lambda s: (replace(s, key=":".join(s.key.split(":")[:2])),))
    ),
    "a key is the same for all": Bug("key_shared", says=_start(lambda s: (replace(s, key="key"),))),
    "a step raises": Bug("raised", hears=_raises),
    "results are not heard": Bug("hang", hears=lambda e, m: _nothing(e) if isinstance(e, ToolResult) else e),
    "a step counts outside its state": Bug("impure", adds=_every_other),
    "writes are not held": Bug("write_without_commit", tool=_as("read", "write")),
    "egress is not held": Bug("egress_without_commit", tool=_as("read", "egress")),
    "reads are never held": Bug("read_without_commit", settings=_with(speculates=True)),
    "speech that goes on is not heard": Bug("release_outlived_speech", hears=_deaf),
    "there is no grace": Bug("grace_cut_short", settings=_with(commit_grace_ns=0)),
    "a failure is taken for a slow tool": Bug("dead_write_started", hears=_no_is_slow),
    "a write is sent twice": Bug("write_twice", says=_start(lambda s: (s, replace(s, version=s.version + 1)))),
    "a write is sent again, spelled otherwise": Bug("write_twice", says=_start(_respelled)),
    "equal writes are allowed": Bug("equal_effect_twice", tool=lambda t: replace(t, repeatable=True)),
    "what is taken back is a word of the user's": Bug("equal_effect_twice", hears=_spoken),
    "effects can be revised": Bug("frozen_changed", tool=_as("read", "write")),
    "effects can be cancelled": Bug("frozen_cancelled", tool=_as("read", "write")),
    "a call is mistaken for the next": Bug(
        "unwritten_start", says=_start(lambda s: (replace(s, call=s.call + 1),), writes=False)
    ),
    "an argument is lost": Bug(
        "wrong_arguments", says=_start(lambda s: (replace(s, args=dict(list(s.args.items())[1:])),), writes=False)
    ),
    "an answer of any version is taken": Bug("void_result_shown", hears=_any_version, says=_versions),
    "a start is given twice": Bug("version_again", says=_start(lambda s: (s, s), writes=False)),
    "calls have no resources": Bug("out_of_order", tool=lambda t: replace(t, reads=frozenset(), writes=frozenset())),
    "an effect makes no read stale": Bug(
        "stale_read_used", tool=lambda t: replace(t, reads=frozenset(), writes=frozenset())
    ),
    "what is void runs on": Bug("left_running", says=_drops(CancelTool)),
    "a result is shown under a later version": Bug(
        "void_result_shown", says=_told("tool_result", lambda s: (replace(s, text=s.text.replace(":", "v9:", 1)),))
    ),
    "a result is shown as another": Bug(
        "wrong_result_shown", says=_told("tool_result", lambda s: (replace(s, text=s.text[:1] + ": 12345"),))
    ),
    "a cancel is left out": Bug("missing_cancel", says=_told("cancel", lambda s: ())),
    "a cancel names too much": Bug("false_cancel", says=_told("cancel", lambda s: (replace(s, text=s.text + ", 88"),))),
    "a result is left out": Bug("result_lost", says=_told("tool_result", lambda s: ())),
    "an update is left out": Bug("speech_lost", says=_told("partial_query_update", lambda s: ())),
    "an answer goes out at once": Bug("answer_before_end", adds=_says_at_once),
    "a failure discards no answer": Bug("answer_after_failure", hears=_no_is_yes),
    "speech takes no answer back": Bug("answer_after_speech", hears=_deaf),
    "an answer goes out twice": Bug("answer_unwritten", says=lambda c, e, m: (c, c) if isinstance(c, Emit) else (c,)),
    "every mode listens": Bug("wrote_too_early", settings=_with(listens=True)),
    "no mode waits for calls": Bug("wrote_over_calls", settings=_with(waits_for_calls=False)),
    "an action has any number of lines": Bug("too_many_lines", settings=_with(calls_per_action=None)),
    "a generation begins twice": Bug("overlap", says=lambda c, e, m: (c, c) if isinstance(c, Generate) else (c,)),
    "nothing is required": Bug("bad_line_accepted", tool=_nothing_required),
    "the end is not the end": Bug("after_the_end", adds=_goes_on),
    "writes are not counted": Bug(
        "budget_of_effects", settings=_with(max_writes_per_turn=99, max_writes_per_session=99)
    ),
    "nothing is confirmed": Bug("unconfirmed", tool=lambda t: replace(t, confirm=False)),
    # amend lines, open calls, references in any direction, parts of results
    "what is added is set": Bug("wrong_arguments", hears=_rewritten(r"\+= ", "= ")),
    "a missing argument is taken for given": Bug("open_call_started", tool=_nothing_required),
    "an open call may be committed": Bug("open_call_unnamed", tool=_nothing_required),
    "an error does not name what a call misses": Bug(
        "open_call_unnamed", says=_told("error", lambda s: (replace(s, text="no"),))
    ),
    "a ring is not seen": Bug("ring_accepted", hears=_rewritten(r"\$[0-9]+", '"Bob"')),
    "a part of a result is the whole": Bug(
        "wrong_arguments", hears=_rewritten(r"(\$[0-9]+)(\.id|\.email|\[0\])+", r"\1")
    ),
    "an error does not say what is there": Bug(
        "part_unnamed", says=_told("tool_error", lambda s: (replace(s, text=s.text[:3] + " no"),))
    ),
    # commit lines, silence, predicted ends, lines that run as they come
    "a commit is for all": Bug("commit_not_named", hears=_rewritten("COMMIT [0-9, ]+", "COMMIT")),
    "a silence is the end": Bug("commit_too_early", settings=_with(commit_on="silence")),
    "an answer needs but a silence": Bug("answer_too_early", settings=_with(commit_on="silence")),
    "a pause commits": Bug("commit_by_pause", settings=_with(commit="action")),
    "a predicted end is the end": Bug("commit_on_prediction", hears=_predicted_is_true),
    "a predicted end lets an answer out": Bug("answer_too_early", hears=_predicted_is_true),
    "nothing is predicted, all is true": Bug("end_untrue", hears=_any_pause_is_the_end),
    "an attempt goes on": Bug("attempt_went_on", says=_drops(Stop)),
    "what an attempt started runs on": Bug("left_running", says=_drops(CancelTool)),
    "every mode runs lines as they come": Bug(
        "line_ran_early", settings=_with(runs_lines=True, listens=False, commit="action")
    ),
    "a silence is told as longer": Bug("silence_untrue", says=_told("silence", lambda s: (replace(s, text="99"),))),
}
"""By what goes wrong."""
