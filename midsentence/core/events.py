"""What happens to a session (events) and what the core asks for (commands), as plain data.

Owns the two vocabularies and their JSON, in which logs are kept. Every event carries its time; times are integer
nanoseconds from the start of the user's first word.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from midsentence.core.calls import CallState, Input
from midsentence.core.transcript import Segment

Counted = Literal[
    "after_finish",
    "answer_discarded",
    "cut",
    "identical_reissue",
    "idle_silence",
    "invalid_action",
    "not_speaking",
    "nothing_said",
    "prediction_ignored",
    "remove",
    "reopened",
    "retry",
    "revise",
    "stale_append",
    "stale_output",
    "stale_read",
    "stale_timer",
    "unknown_call",
]
"""What a `Note` can be of."""


@dataclass(frozen=True, slots=True)
class UserUpdate:
    """Words that the recogniser has heard since its last update."""

    at_ns: int
    """When, in nanoseconds of the session's clock."""
    text: str
    """The new words, separated by single spaces; may be empty where only the end of speech is told, or words are only
    taken back."""
    final: bool = False
    """Whether the recogniser takes the user to have finished. It can be wrong: a later update reopens the turn."""
    retracts: int = 0
    """How many of the last words sent are taken back before ``text``."""


@dataclass(frozen=True, slots=True)
class EndPredicted:
    """The recogniser expects the user to have finished with what it has sent, and will say later whether it was right.

    Earlier than the final update and oftener wrong; only a mode that is eager acts on it.
    """

    at_ns: int
    """When, in nanoseconds of the session's clock."""


@dataclass(frozen=True, slots=True)
class Silence:
    """Nobody speaks. Told in growing steps while it lasts, from the recogniser's lag on."""

    at_ns: int
    """When, in nanoseconds of the session's clock."""
    silent_ns: int
    """For how long nobody has spoken."""


@dataclass(frozen=True, slots=True)
class Speaking:
    """The shell speaks the answer that went out last, and tells how far it is. A shell that only writes sends none."""

    at_ns: int
    """When, in nanoseconds of the session's clock."""
    part: Literal["begun", "ended", "cut"]
    """``cut``: the user spoke into it, and it was stopped before its end."""
    heard: str = ""
    """Of one that was cut, as much as the user has heard."""


@dataclass(frozen=True, slots=True)
class ModelOutput:
    """Tokens of a generation, and the text that they complete."""

    at_ns: int
    """When the last of the tokens was written, in nanoseconds of the session's clock."""
    generation: int
    """Which generation, counted from 1 over the session. Output of a stopped one is dropped."""
    text: str
    """The tokens as text; a character of which only a part has been written comes with the token that completes it."""
    ids: tuple[int, ...]
    """The tokens."""


@dataclass(frozen=True, slots=True)
class ModelEnded:
    """The model stopped by itself (end token, its own limit, a crash) before its action was complete."""

    at_ns: int
    """When, in nanoseconds of the session's clock."""
    generation: int
    """Which generation, counted from 1 over the session."""
    why: str = "end of text"
    """What ended it, as the model is told."""


@dataclass(frozen=True, slots=True)
class Appended:
    """The append under way has been taken in."""

    at_ns: int
    """When, in nanoseconds of the session's clock."""
    tokens: int
    """Length of what was taken in; after a `Forget`, of all but the prompt."""


@dataclass(frozen=True, slots=True)
class Crowded:
    """The model's context has no room for what it was to take in, or to write."""

    at_ns: int
    """When, in nanoseconds of the session's clock."""
    most_tokens: int = 0
    """What it holds at the most, its prompt included; 0 where that is not known."""


@dataclass(frozen=True, slots=True)
class ToolResult:
    """A tool ran to its end."""

    at_ns: int
    """When, in nanoseconds of the session's clock."""
    call: int
    """The call's ID."""
    version: int
    """Which run of the call it is, from 1; a run of an older version is stale."""
    value: Any
    """What the tool returned, as JSON data."""


@dataclass(frozen=True, slots=True)
class ToolError:
    """A tool did not give a result."""

    at_ns: int
    """When, in nanoseconds of the session's clock."""
    call: int
    """The call's ID."""
    version: int
    """Which run of the call it is, from 1; a run of an older version is stale."""
    message: str
    """What went wrong, as the model is shown it."""
    kind: Literal["failed", "timeout", "crashed"] = "failed"
    """``failed``: the tool says it did nothing. After the other two, what a write did is unknown."""


@dataclass(frozen=True, slots=True)
class Timer:
    """A timer that the core set has run out."""

    at_ns: int
    """When, in nanoseconds of the session's clock."""
    timer: int
    """Number of the timer, as `SetTimer` gave it."""


@dataclass(frozen=True, slots=True)
class Close:
    """The session is over: the user hung up, or the shell shuts down."""

    at_ns: int
    """When, in nanoseconds of the session's clock."""
    why: str = "closed"
    """The session's outcome, unless it is over already."""


Event = (
    UserUpdate
    | EndPredicted
    | Silence
    | Speaking
    | ModelOutput
    | ModelEnded
    | Appended
    | Crowded
    | ToolResult
    | ToolError
    | Timer
    | Close
)

PRIORITY: dict[type, int] = {
    ModelOutput: 0,
    ModelEnded: 0,
    Appended: 0,
    Crowded: 0,
    ToolResult: 1,
    ToolError: 1,
    UserUpdate: 2,
    EndPredicted: 2,
    Silence: 2,
    Speaking: 2,
    Timer: 3,
    Close: 4,
}
"""Order of events at equal times: model token, tool result, user update, timer; then sequence."""


@dataclass(frozen=True, slots=True)
class Append:
    """Take in these environment segments as one batch; `Appended` answers."""

    segments: tuple[Segment, ...]
    """In the order in which they stand in the context."""


@dataclass(frozen=True, slots=True)
class Forget:
    """Make the context anew: the prompt, and what `midsentence.core.forgetting.shown` leaves of the transcript, which
    an attempt on a false end of speech may have left. `Appended` answers, with the tokens of all but the prompt."""

    turns: int
    """Turns, from the first, that are left out whole from now on."""
    results: int
    """Segments of the transcript up to which results are left out."""


@dataclass(frozen=True, slots=True)
class Generate:
    """Start writing; `ModelOutput` with this number answers until `Stop`."""

    generation: int
    """Which generation, counted from 1 over the session."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop writing, and forget all but the first ``keep`` tokens of this generation."""

    generation: int
    """Which generation, counted from 1 over the session."""
    keep: int
    """Tokens of it that stay in the context, from its first."""


@dataclass(frozen=True, slots=True)
class StartTool:
    """Run a tool; `ToolResult` or `ToolError` with this call and version answers."""

    call: int
    """The call's ID."""
    version: int
    """Which run of the call it is, from 1; the answer must carry it."""
    name: str
    """The tool's."""
    args: Mapping[str, Any]
    """By parameter name, references resolved."""
    key: str
    """Idempotency key: the same for every attempt at the same effect."""
    timeout_ns: int
    """Nanoseconds after which the shell gives up on it and answers with a `ToolError` of kind ``timeout``."""


@dataclass(frozen=True, slots=True)
class CancelTool:
    """Stop a running tool if it can be stopped; its result is not wanted any more."""

    call: int
    """The call's ID."""
    version: int
    """Which run of the call is meant."""


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Send `Timer` at this time."""

    at_ns: int
    """When it is due, in nanoseconds of the session's clock."""
    timer: int
    """Number by which the core knows it again."""


@dataclass(frozen=True, slots=True)
class Emit:
    """Say this to the user."""

    text: str
    """The whole answer."""


@dataclass(frozen=True, slots=True)
class StopSpeaking:
    """The user speaks into the answer: be silent, and tell by `Speaking` how much of it was heard."""


@dataclass(frozen=True, slots=True)
class Finish:
    """The session is over."""

    outcome: str
    """``closed``, ``invalid_actions``, ``context_overflow``, ``out_of_budget``."""


@dataclass(frozen=True, slots=True)
class Note:
    """Something worth counting that changes nothing outside: a retry, a no-op, a dropped result."""

    what: Counted
    """What is counted."""
    call: int = 0
    """The call that it is about; 0 where it is about none."""


@dataclass(frozen=True, slots=True)
class Moved:
    """A call took a row of `midsentence.core.calls.TABLE`; what the row does outside is said by commands of its own."""

    call: int
    """The call's ID."""
    state: CallState
    """Where it was."""
    input: Input
    """What happened to it."""


@dataclass(frozen=True, slots=True)
class Unmoved:
    """Something happened to a call for which the table has no row: nothing has changed."""

    call: int
    """The call's ID."""
    state: CallState
    """Where it is, and stays."""
    input: Input
    """What happened to it."""


Command = (
    Append
    | Forget
    | Generate
    | Stop
    | StartTool
    | CancelTool
    | SetTimer
    | Emit
    | StopSpeaking
    | Finish
    | Note
    | Moved
    | Unmoved
)

_BY_NAME: dict[str, type] = {
    kind.__name__: kind
    for kind in (
        UserUpdate,
        EndPredicted,
        Silence,
        Speaking,
        ModelOutput,
        ModelEnded,
        Appended,
        Crowded,
        ToolResult,
        ToolError,
        Timer,
        Close,
        Append,
        Forget,
        Generate,
        Stop,
        StartTool,
        CancelTool,
        SetTimer,
        Emit,
        StopSpeaking,
        Finish,
        Note,
        Moved,
        Unmoved,
    )
}


def to_json(item: Event | Command) -> dict[str, Any]:
    """An event or a command as a JSON object, its type under ``type``."""
    row: dict[str, Any] = {"type": type(item).__name__}
    for field in fields(item):
        value = getattr(item, field.name)
        if isinstance(item, Append):
            value = [[segment.kind, segment.text, segment.at_ns] for segment in value]
        row[field.name] = list(value) if isinstance(value, tuple) else value
    return row


def from_json(row: Mapping[str, Any]) -> Event | Command:
    """The item that `to_json` wrote.

    Raises:
        ValueError: the row's type is not one of ours, or it has other fields.
    """
    if not isinstance(row, Mapping):
        raise ValueError(f"a log row is {type(row).__name__}; expected an object with a type")
    kind = _BY_NAME.get(str(row.get("type")))
    if kind is None:
        raise ValueError(f"a log row has type {row.get('type')!r}; expected one of {', '.join(_BY_NAME)}")
    values: dict[str, Any] = {
        name: tuple(value) if name == "ids" else value for name, value in row.items() if name != "type"
    }
    try:
        if kind is Append:
            values["segments"] = tuple(Segment(*segment) for segment in values["segments"])
        if kind is Note and ":" in values["what"]:  # logs of before moves had a type of their own
            kind, values = _first_edition(values["what"], values["call"])
        if kind in (Moved, Unmoved):
            values |= {"state": CallState(values["state"]), "input": Input(values["input"])}
        item: Event | Command = kind(**values)
    except (TypeError, KeyError) as error:
        raise ValueError(f"a log row of type {row['type']} has other fields ({error})") from None
    return item


def event_from_json(row: Mapping[str, Any]) -> Event:
    """The event that `to_json` wrote.

    Raises:
        ValueError: the row is not an event.
    """
    item = from_json(row)
    if not isinstance(item, Event):
        raise ValueError(f"a log has the command {row['type']} in the place of an event")
    return item


def command_from_json(row: Mapping[str, Any]) -> Command:
    """The command that `to_json` wrote.

    Raises:
        ValueError: the row is not a command.
    """
    item = from_json(row)
    if not isinstance(item, Command):
        raise ValueError(f"a log has the event {row['type']} in the place of a command")
    return item


def _first_edition(what: str, call: int) -> tuple[type, dict[str, Any]]:
    """A move as logs had it once: ``blocked:hold``, or ``no_transition:blocked:hold``."""
    *missing, state, input = what.split(":")
    return Unmoved if missing else Moved, {"call": call, "state": state, "input": input}
