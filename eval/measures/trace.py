"""Reads an episode's log as intervals: spans, tool runs and states of calls.

Owns the reading of a log alone, events with the commands that came of them, so that measures, pictures and checks need
no live core. Does not judge whether a call was right or too early. Every interval is half-open, in
nanoseconds from the start of the user's first word.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from midsentence.core.calls import TABLE, CallState
from midsentence.core.events import (
    Append,
    Appended,
    CancelTool,
    Command,
    Emit,
    EndPredicted,
    Event,
    Finish,
    Forget,
    Generate,
    ModelOutput,
    Moved,
    Note,
    StartTool,
    Stop,
    ToolError,
    ToolResult,
    UserUpdate,
    command_from_json,
    event_from_json,
    to_json,
)
from midsentence.core.lines import (
    AmendLine,
    CallLine,
    CommitLine,
    Malformed,
    RemoveLine,
    write_amend,
    write_call,
    write_commit,
)
from midsentence.core.parser import ActionEnded, Parser, feed
from midsentence.core.values import refs

History = Sequence[tuple[Event, tuple[Command, ...]]]
Part = Literal["think", "tool_call", "pause", "answer", "other"]


@dataclass(frozen=True, slots=True)
class Piece:
    """Some tokens of a span, all of one part of an action."""

    start_ns: int
    """Start, in nanoseconds from the user's first word."""
    end_ns: int
    """End, in nanoseconds from the user's first word; not included."""
    part: Part
    """``other`` for what is no part of any action."""
    text: str
    """What was written."""
    tokens: int
    """How many tokens that is."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line that the model completed: a call, an amendment, a removal, or a commit (of call 0)."""

    at_ns: int
    """When it was complete, in nanoseconds from the user's first word."""
    call: int
    """The call's ID; 0 for a commit."""
    text: str
    """What it asks for: equal texts ask for the same."""
    needs: frozenset[int] = frozenset()
    """IDs of the calls that it names."""
    order: CallLine | AmendLine | CommitLine | None = None
    """The line itself; None for a removal."""


@dataclass(frozen=True, slots=True)
class Span:
    """One generation, from the command that began it to the one that stopped it."""

    start_ns: int
    """Start, in nanoseconds from the user's first word."""
    end_ns: int
    """End, in nanoseconds from the user's first word; not included."""
    pieces: tuple[Piece, ...]
    """In order, without a gap; a token that a cut left unfinished is time of the last piece."""
    saw_final: bool
    """Whether the final update, or a predicted end of speech that stood, was in its context when it began."""
    ended: Literal["action", "cut", "error", "closed"]
    """``action``: it came to its end; ``error``: what it wrote was refused; ``closed``: the session ended."""
    lines: tuple[Line, ...]
    """Call lines and removals that it completed, in order."""
    saw_silence: bool = False
    """Whether the last thing heard, in its context when it began, was a silence."""

    @property
    def text(self) -> str:
        """All that it wrote."""
        return "".join(piece.text for piece in self.pieces)

    @property
    def tokens(self) -> int:
        """How many tokens it wrote."""
        return sum(piece.tokens for piece in self.pieces)


@dataclass(frozen=True, slots=True)
class Run:
    """One start of a tool."""

    call: int
    """The call's ID."""
    version: int
    """The version of the call that ran."""
    name: str
    """The tool's name."""
    args: Mapping[str, Any]
    """References resolved."""
    start_ns: int
    """Start, in nanoseconds from the user's first word."""
    end_ns: int
    """End, in nanoseconds from the user's first word; not included."""
    ended: Literal["done", "failed", "lost", "cancelled", "open"]
    """``lost``: it timed out or broke down, so what it did is unknown; ``open``: the log ends first."""
    value: Any = None
    """What the tool returned; None unless ``ended`` is ``done``."""
    kept: bool = False
    """Whether no tool was run for it: it was given the result of the same read, asked for before."""


@dataclass(frozen=True, slots=True)
class Stay:
    """How long a call was in one state."""

    call: int
    """The call's ID."""
    state: CallState
    """The state that it was in."""
    start_ns: int
    """Start, in nanoseconds from the user's first word."""
    end_ns: int
    """End, in nanoseconds from the user's first word; not included."""


@dataclass(frozen=True, slots=True)
class Trace:
    """An episode as intervals."""

    updates: tuple[UserUpdate, ...]
    """What the recogniser passed on, in order."""
    spans: tuple[Span, ...]
    """Generations, in order."""
    appends: tuple[tuple[int, int], ...]
    """Start and end of each append to the context, in nanoseconds."""
    runs: tuple[Run, ...]
    """In order of start."""
    stays: tuple[Stay, ...]
    """Each stay of each call in a state, by their ends."""
    emits: tuple[tuple[int, str], ...]
    """Answers that went out: when, in nanoseconds, and their text."""
    notes: tuple[tuple[int, Note | Moved], ...]
    """What the core only counts, with its time in nanoseconds."""
    end_ns: int
    """When the last event happened."""
    eager: bool = False
    """Whether a predicted end of speech was acted on."""

    @property
    def final_ns(self) -> int | None:
        """When the last final update arrived; None if none has."""
        return next((update.at_ns for update in reversed(self.updates) if update.final), None)

    def turn_at(self, at_ns: int) -> int:
        """The number of the turn that a time lies in: one begins when the user speaks after an answer."""
        return 1 + sum(
            any(said <= u.at_ns <= at_ns and (u.text or u.retracts) for u in self.updates) for said, _ in self.emits
        )

    @property
    def model_tokens(self) -> int:
        """Tokens that the model wrote."""
        return sum(span.tokens for span in self.spans)


def log_of(history: History) -> list[list[Any]]:
    """A history as JSON: a list of ``[event, [command, …]]``."""
    return [[to_json(event), [to_json(command) for command in commands]] for event, commands in history]


def history_of(log: Iterable[Sequence[Any]]) -> list[tuple[Event, tuple[Command, ...]]]:
    """The history that `log_of` wrote.

    Raises:
        ValueError: a row is not an event or a command.
    """
    return [
        (event_from_json(event), tuple(command_from_json(command) for command in commands)) for event, commands in log
    ]


def trace(history: History, kept: Iterable[tuple[int, int]] = ()) -> Trace:
    """Reads a history.

    Args:
        history: events with the commands that came of them.
        kept: starts, as (call, version), for which no tool was run (`midsentence.shells.drafts.Drafted`).
    """
    reader = _Reader(frozenset(kept))
    for event, commands in history:
        reader.take(event, commands)
    return reader.close()


class _Reader:
    """What is open while the log is read."""

    def __init__(self, kept: frozenset[tuple[int, int]]) -> None:
        self.now_ns, self.kept = 0, kept
        self.updates: list[UserUpdate] = []
        self.spans: list[Span] = []
        self.appends: list[tuple[int, int]] = []
        self.runs: dict[tuple[int, int], list[Run]] = {}
        self.order: list[tuple[int, int]] = []
        self.stays: list[Stay] = []
        self.states: dict[int, tuple[CallState, int]] = {}
        self.emits: list[tuple[int, str]] = []
        self.notes: list[tuple[int, Note | Moved]] = []
        self.writing: _Writing | None = None
        self.reading_ns: int | None = None
        self.silence_read = False
        self.final_heard = self.final_waits = self.final_read = self.predicted = self.eager = False

    def take(self, event: Event, commands: Sequence[Command]) -> None:
        self.now_ns = max(self.now_ns, event.at_ns)
        match event:
            case UserUpdate():
                self.updates.append(event)
                if self.predicted and event.final and not event.text and not event.retracts:
                    self.final_heard, self.predicted = True, False  # what was read as the end was the end
                    return self.obey_all(commands)
                self.predicted = False
                self.final_heard, self.final_waits, self.final_read = event.final, False, False
            case EndPredicted() if not any(isinstance(c, Note) and c.what == "prediction_ignored" for c in commands):
                self.predicted, self.final_waits, self.final_read, self.eager = True, False, False, True
            case ModelOutput() if self.writing is not None and event.generation == self.writing.generation:
                self.writing.read(self.now_ns, event.text, len(event.ids))
                for line in self.writing.lines:
                    if line.call:  # a COMMIT is no call
                        self.states.setdefault(line.call, (CallState.BLOCKED, line.at_ns))
            case Appended() if self.reading_ns is not None:
                self.appends.append((self.reading_ns, self.now_ns))
                self.reading_ns = None
                self.final_read = self.final_read or self.final_waits
                self.final_waits = False
            case ToolResult():
                self.end_run(event.call, event.version, "done", event.value)
            case ToolError():
                self.end_run(event.call, event.version, "failed" if event.kind == "failed" else "lost", event.message)
        self.obey_all(commands)

    def obey_all(self, commands: Sequence[Command]) -> None:
        for command in commands:
            self.obey(command, commands)

    def obey(self, command: Command, all_of: Sequence[Command]) -> None:
        match command:
            case Generate(generation):
                self.writing = _Writing(generation, self.now_ns, self.final_read, self.silence_read)
            case Stop() if self.writing is not None:
                whats = {other.what for other in all_of if isinstance(other, Note)}
                closed = any(isinstance(other, Finish) for other in all_of)
                ended = (
                    "error"
                    if "invalid_action" in whats
                    else "cut"
                    if "cut" in whats
                    else "closed"
                    if closed
                    else "action"
                )
                self.spans.append(self.writing.close(self.now_ns, ended))
                self.writing = None
            case Append(segments):
                self.reading_ns = self.now_ns
                for segment in segments:
                    if segment.kind in ("silence", "partial_query_update", "final_query_update"):
                        self.silence_read = segment.kind == "silence" or self.silence_read and not segment.text
                if (self.final_heard or self.predicted) and any(
                    segment.kind == "final_query_update" for segment in segments
                ):
                    self.final_waits = True
            case Forget():
                self.reading_ns = self.now_ns
            case StartTool(call, version, name, args):
                kept = (call, version) in self.kept
                self.runs.setdefault((call, version), []).append(
                    Run(call, version, name, args, self.now_ns, -1, "open", kept=kept)
                )
                self.order.append((call, version))
            case CancelTool(call, version):
                self.end_run(call, version, "cancelled", None)
            case Emit(text):
                self.emits.append((self.now_ns, text))
            case Note():
                self.notes.append((self.now_ns, command))
            case Moved():
                self.notes.append((self.now_ns, command))
                self.move(command)

    def end_run(self, call: int, version: int, ended: Any, value: Any) -> None:
        runs = self.runs.get((call, version), [])
        for n, run in enumerate(runs):
            if run.ended in ("open", "lost"):
                runs[n] = replace(run, end_ns=self.now_ns, ended=ended, value=value)
                return

    def move(self, moved: Moved) -> None:
        row = TABLE[moved.state, moved.input]
        if row.effect == "drop":
            return
        before, since_ns = self.states.get(moved.call, (row.state, self.now_ns))
        if self.now_ns > since_ns:
            self.stays.append(Stay(moved.call, before, since_ns, self.now_ns))
        self.states[moved.call] = (row.next, self.now_ns)

    def close(self) -> Trace:
        if self.writing is not None:
            self.spans.append(self.writing.close(self.now_ns, "closed"))
        for call, (state, since_ns) in sorted(self.states.items()):
            if self.now_ns > since_ns:
                self.stays.append(Stay(call, state, since_ns, self.now_ns))
        runs = []
        for key in self.order:
            run = self.runs[key].pop(0)
            runs.append(run if run.end_ns >= 0 else replace(run, end_ns=self.now_ns))
        return Trace(
            tuple(self.updates),
            tuple(self.spans),
            tuple(self.appends),
            tuple(runs),
            tuple(self.stays),
            tuple(self.emits),
            tuple(self.notes),
            self.now_ns,
            self.eager,
        )


class _Writing:
    """A generation under way."""

    def __init__(self, generation: int, start_ns: int, saw_final: bool, saw_silence: bool) -> None:
        self.generation, self.start_ns, self.saw_final, self.saw_silence = generation, start_ns, saw_final, saw_silence
        self.parser = Parser()
        self.pieces: list[tuple[int, int, Part | None, str, int]] = []
        self.lines: list[Line] = []

    def read(self, at_ns: int, text: str, tokens: int) -> None:
        began = self.pieces[-1][1] if self.pieces else self.start_ns
        before = self.parser.where
        self.parser, items = feed(self.parser, text)
        part: Part | None = None
        if self.parser.where in ("think", "tool_call", "answer"):
            part = self.parser.where
        elif before in ("think", "tool_call", "answer"):
            part = before
        for item in items:
            match item:
                case CallLine(id, name, positional, keyword):
                    needs = frozenset(refs([*positional, *keyword.values()]))
                    self.lines.append(Line(at_ns, id, write_call(id, name, positional, keyword), needs, item))
                case RemoveLine(id):
                    self.lines.append(Line(at_ns, id, f"REMOVE {id}"))
                case AmendLine(id, name, value, append):
                    self.lines.append(
                        Line(at_ns, id, write_amend(id, name, value, append), frozenset(refs(value)), item)
                    )
                case CommitLine(ids):
                    self.lines.append(Line(at_ns, 0, write_commit(ids), order=item))
                case ActionEnded():
                    part = item.kind
                case Malformed():
                    part = part or "other"
        self.pieces.append((began, at_ns, part, text, tokens))

    def close(self, end_ns: int, ended: Any) -> Span:
        pieces: list[Piece] = []
        part: Part = "other"
        # the beginning of a tag belongs to what the tag opens
        for start, end, known, text, tokens in reversed(self.pieces):
            part = known or part
            if pieces and pieces[-1].part == part:
                last = pieces.pop()
                pieces.append(Piece(start, last.end_ns, part, text + last.text, tokens + last.tokens))
            else:
                pieces.append(Piece(start, end, part, text, tokens))
        pieces.reverse()
        if not pieces:
            pieces = [Piece(self.start_ns, end_ns, "other", "", 0)] if end_ns > self.start_ns else []
        elif pieces[-1].end_ns < end_ns:
            last = pieces.pop()
            pieces.append(Piece(last.start_ns, end_ns, last.part, last.text, last.tokens))
        return Span(self.start_ns, end_ns, tuple(pieces), self.saw_final, ended, tuple(self.lines), self.saw_silence)
