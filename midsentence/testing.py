"""What tests of tools and of sessions are written with: a scripted model, toy tools, `play`, and rows of exact times.

Owns the scenario: what the user says, what the model writes and how long tools take, played on the virtual clock to
rows of (seconds, who, what), exact to the nanosecond. No weights, no tokenizer and no waiting are needed;
``docs/testing.md`` has an example. The library itself imports nothing of it.

The device is a made-up one with round numbers: 10 tokens a second to write, 100 to take in, no restart cost. A word or
a tag is one token (blanks and newlines belong to the word before), so a token takes 0.1 s, and so does every append of
up to ten words. Role switches cost nothing. A tool takes 1 s, or what `play` is told. The toy tools, where a test
brings none of its own:

    look(what, where?)  read
    ask(who)            egress
    send(to, text?)     write
    page(what)          read    reads the book
    note(what)          write   reads and writes the book
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, cast

from midsentence.clock import Profile, ns
from midsentence.core.events import (
    Append,
    CancelTool,
    Emit,
    EndPredicted,
    Finish,
    ModelOutput,
    Note,
    Silence,
    StartTool,
    Stop,
    Timer,
    ToolError,
    ToolResult,
    UserUpdate,
)
from midsentence.core.modes import Settings, settings
from midsentence.core.state import State
from midsentence.core.transcript import CLOSERS, Segment
from midsentence.rendering.renderer import Renderer
from midsentence.shells.rollout import Rollout
from midsentence.shells.virtual import Episode
from midsentence.tools.function import Tool, boxed
from midsentence.tools.tool import Param, Toolbox, ToolFailure, ToolSpec, effects_in

__all__ = [
    "PAUSE",
    "PLAIN",
    "PREDICTED",
    "ROUND",
    "TOOLS",
    "Action",
    "Played",
    "Row",
    "ScriptNotOver",
    "ScriptRanOut",
    "Scripted",
    "ToolFailure",
    "Tools",
    "WordRenderer",
    "answer",
    "calls",
    "play",
    "spell",
]

ROUND = Profile("round", decode_tokens_per_s=10, prefill_tokens_per_s=100, restart_ns=0)
"""The made-up device."""

_ANY: dict[str, Any] = {}
TOOLS = (
    ToolSpec("look", (Param("what", _ANY), Param("where", _ANY, required=False)), "read"),
    ToolSpec("ask", (Param("who", _ANY),), "egress"),
    ToolSpec("send", (Param("to", _ANY), Param("text", {"type": "string"}, required=False)), "write"),
    ToolSpec("page", (Param("what", _ANY),), "read", reads=frozenset({"book"})),
    ToolSpec(
        "note", (Param("what", _ANY),), "write", reads=frozenset({"book"}), writes=frozenset({"book"}), timeout_ns=ns(5)
    ),
)
"""The toy tools."""

PLAIN: dict[str, Any] = {"commit": "action", "revise": "reissue"}
"""Scenarios are told in whole calls that go at the end of an action, unless they are about the other lines."""

# -- the model ---------------------------------------------------------------------------------------------------------

Action = str | Callable[[State], str]
"""The text of an action, or what gives it from the session's state."""

PAUSE = "<pause>"
"""The action that waits."""


class ScriptRanOut(AssertionError):
    """A generation began that the script does not foresee."""


class ScriptNotOver(AssertionError):
    """A scenario was over before the model had written all of its script."""


class Scripted:
    """Plays the model: each generation takes the next action. A cut action counts as taken.

    It is a planner for `midsentence.shells.virtual.Episode`, and for `midsentence.models.planned.PlannedModel` in a
    live session.

    Args:
        actions: one a generation. A script that runs out is a mistake of whoever wrote it, and fails loudly.
        then: the action of all further generations, where it is no mistake.
    """

    def __init__(self, actions: Iterable[Action], then: Action | None = None) -> None:
        self.actions, self.then = tuple(actions), then
        self.states: list[State] = []
        """The session at the beginning of every generation so far."""

    def plan(self, state: State) -> str:
        """The next action.

        Raises:
            ScriptRanOut: there is none; the text says when, and what the session looked like.
        """
        self.states.append(state)
        action = self.actions[self.taken - 1] if self.taken <= len(self.actions) else self.then
        if action is None:
            last = state.transcript.last
            seen = f"{last.kind} {last.text!r}" if last is not None else "nothing"
            raise ScriptRanOut(
                f"generation {state.generation} begins at {state.now_ns} ns, but the script has {len(self.actions)} actions; "
                f"the context ends in {seen}; add what the model does then"
            )
        return action if isinstance(action, str) else action(state)

    @property
    def taken(self) -> int:
        """Generations that have begun."""
        return len(self.states)

    @property
    def left(self) -> int:
        """Actions that no generation has asked for."""
        return max(0, len(self.actions) - self.taken)


def calls(*lines: str, think: str = "") -> str:
    """An action of call lines: 1 token for each tag, and those of the lines."""
    return (
        (f"<think>{think}</think>" if think else "")
        + "<tool_call>\n"
        + "".join(f"{line}\n" for line in lines)
        + "</tool_call>"
    )


def answer(text: str = "done") -> str:
    """An answer of one word takes three tokens: 0.3 s."""
    return f"<answer>{text}</answer>"


class _WordDecoder:
    """Words of ids, as `midsentence.rendering.renderer.Renderer.decoder` gives text of tokens."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words = words

    def push(self, index: int) -> str:
        return self._words[index]


class WordRenderer:
    """Stands in for `midsentence.rendering.renderer.Renderer`: a word or a tag is a token, a role switch is none."""

    environment_to_model: tuple[int, ...] = ()
    model_to_environment: tuple[int, ...] = ()

    def __init__(self) -> None:
        self.words: list[str] = []
        """The word of each id."""
        self._known: dict[str, int] = {}

    def action_ids(self, text: str) -> tuple[int, ...]:
        """The ids of what the model writes: its words, with the blanks after them, and its tags."""
        words = re.findall(r"\s*(?:<[^<>\s]*>|[^\s<]+|<)\s*", text)
        assert "".join(words) == text, f"an action of blanks alone has no words: {text!r}"
        return tuple(self._id(word) for word in words)

    def _id(self, word: str) -> int:
        if word not in self._known:
            self._known[word] = len(self.words)
            self.words.append(word)
        return self._known[word]

    def environment_ids(self, segment: Segment, since_ns: int = 0) -> tuple[int, ...]:
        """The ids of what the environment says: its tag, and its words."""
        if segment.kind in CLOSERS:
            return self.action_ids(f"</{segment.kind}>")
        return (*self.action_ids(f"<{segment.kind}>"), *(self._id(word) for word in segment.text.split()))

    def decoder(self) -> _WordDecoder:
        """Gives the text of one id after the other."""
        return _WordDecoder(self.words)


# -- the tools ---------------------------------------------------------------------------------------------------------


def spell(name: str, args: Mapping[str, Any]) -> str:
    """A call as rows show it: ``send(Bob, hi)``."""
    shown = [value if isinstance(value, str) else json.dumps(value) for value in args.values()]
    return f"{name}({', '.join(shown)})"


class Tools:
    """A toolbox with declared latencies and answers, which keeps what was run.

    Args:
        takes: seconds by tool, or by call as `spell` spells it; else 1.
        answers: results likewise; an exception is raised; a list gives one after the other.
        specs: toy tools: they answer ``ok`` where nothing is declared.
        own: real tools in the place of toy tools: they run where nothing is declared.
    """

    def __init__(
        self,
        takes: Mapping[str, float],
        answers: Mapping[str, Any],
        specs: Iterable[ToolSpec] = TOOLS,
        own: Toolbox | None = None,
    ) -> None:
        self.own = own
        self.specs: Mapping[str, ToolSpec] = own.specs if own is not None else {spec.name: spec for spec in specs}
        self.takes = takes
        self.answers = {key: list(value) if isinstance(value, list) else value for key, value in answers.items()}
        self.ran: list[str] = []
        """Every run, in order, as `spell` spells it."""

    @property
    def effects(self) -> Sequence[Any]:
        """What the real tools did, in order, where their toolbox keeps a log; nothing for toy tools."""
        return effects_in(self.own) if self.own is not None else ()

    def _declared(self, table: Mapping[str, Any], name: str, args: Mapping[str, Any], otherwise: Any) -> Any:
        return table.get(spell(name, args), table.get(name, otherwise))

    def latency_ns(self, name: str, args: Mapping[str, Any]) -> int:
        """What was declared for the call, else 1 s."""
        return ns(self._declared(self.takes, name, args, 1.0))

    def run(self, name: str, args: Mapping[str, Any]) -> Any:
        """Gives the declared answer; else runs the real tool, or says ``ok``.

        Raises:
            Exception: the declared answer is one, or the tool raised it.
            AssertionError: a list of answers was declared, and is used up.
        """
        self.ran.append(spell(name, args))
        answer = self._declared(self.answers, name, args, _UNDECLARED)
        if isinstance(answer, list):  # one after the other
            if not answer:
                raise AssertionError(
                    f"{spell(name, args)} is run, but all declared answers are given; declare what it answers then"
                )
            answer = answer.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if answer is _UNDECLARED:
            return self.own.run(name, args) if self.own is not None else "ok"
        return answer


_UNDECLARED = object()

# -- what happened -----------------------------------------------------------------------------------------------------

Row = tuple[float, str, str]
"""Seconds, who, what."""


@dataclass(frozen=True)
class Played:
    """A finished scenario."""

    rollout: Rollout
    """The core's log and last state."""
    tools: Tools
    """What was run, and what it did."""
    script: Scripted
    """What the model wrote, and what it was shown."""

    @property
    def outcome(self) -> str:
        """How it ended: ``answered``, ``stalled`` or another of `midsentence.shells.rollout.Rollout`."""
        return self.rollout.outcome

    @property
    def end_s(self) -> float:
        """When the last event happened."""
        return _seconds(self.rollout.end_ns)

    @property
    def notes(self) -> list[str]:
        """What the core counted, transitions left out, in order."""
        notes = [c for _, commands in self.rollout.history for c in commands if isinstance(c, Note)]
        return [f"{note.what} {note.call}".removesuffix(" 0") for note in notes]

    def states(self) -> dict[int, str]:
        """Every call's last state."""
        return {id: str(call.state) for id, call in sorted(self.rollout.state.graph.calls.items())}

    def rows(self, who: str = "user model told start stop result error say finish") -> list[Row]:
        """What happened, as (seconds, who, what); ``who`` names the kinds of rows to show.

        user    an update; a final one ends in ``.``
        model   what a generation wrote, when it ended; ``✂`` where it was cut
        told    a segment that the environment appends, when the append begins
        start   a tool starts; ``2v3`` is call 2, version 3
        stop    a tool is cancelled
        result, error   a tool answers
        say     the answer goes out
        timer   a commit grace runs out
        finish  the session ends by itself
        """
        rows: list[Row] = []
        written = ""
        for event, commands in self.rollout.history:
            at_s = _seconds(event.at_ns)

            def row(kind: str, what: str, at_s: float = at_s) -> None:
                if kind in who.split():
                    rows.append((at_s, kind, what))

            match event:
                case UserUpdate(text=heard, final=final):
                    row("user", heard + "." * final)
                case Silence(silent_ns=silent_ns):
                    row("user", f"({_seconds(silent_ns):g} s)")
                case ToolResult(call=call, version=version, value=value):
                    row(
                        "result",
                        f"{_name(call, version)} {value if isinstance(value, str) else json.dumps(value, default=repr)}",
                    )
                case ToolError(call=call, version=version, message=message, kind=kind):
                    row("error", f"{_name(call, version)} {kind}: {message}")
                case Timer():
                    row("timer", "grace")
                case ModelOutput(text=text):
                    written += text
            cut = any(isinstance(c, Note) and c.what == "cut" for c in commands)
            for command in commands:
                match command:
                    case Stop():
                        row("model", written.rstrip() + " ✂" * cut)
                        written = ""
                    case Append(segments):
                        for segment in segments:
                            row("told", f"{'/' * (segment.kind in CLOSERS)}{segment.kind} {segment.text}".rstrip())
                    case StartTool(call=call, version=version):
                        row("start", f"{_name(call, version)} {spell(command.name, command.args)}")
                    case CancelTool(call=call, version=version):
                        row("stop", _name(call, version))
                    case Emit(text=said):
                        row("say", said)
                    case Finish(outcome=outcome):
                        row("finish", outcome)
        return rows


def _name(call: int, version: int) -> str:
    return str(call) if version == 1 else f"{call}v{version}"


def _seconds(at_ns: int) -> float:
    """Exact: a time that is no whole number of milliseconds would not compare equal to what a test writes."""
    exact = Fraction(at_ns, 10**9)
    if 1000 % exact.denominator:
        raise AssertionError(
            f"{at_ns} ns is no whole number of milliseconds; give times, latencies and rates that make whole ones"
        )
    return float(exact)


PREDICTED = "?"
"""In the place of words: the recogniser predicts the end of speech."""


def play(
    user: Sequence[tuple[float, str]],
    model: Iterable[Action],
    *,
    mode: str = "speculative",
    takes: Mapping[str, float] | None = None,
    answers: Mapping[str, Any] | None = None,
    profile: Profile = ROUND,
    all_used: bool = True,
    limit_s: float = 60,
    tools: Toolbox | Iterable[Tool | Callable[..., Any]] | None = None,
    specs: Iterable[ToolSpec] = (),
    silences: Iterable[tuple[float, float]] = (),
    **changes: Any,
) -> Played:
    """Plays a scenario to its end.

    Args:
        user: updates as (seconds, words); words that end in ``.`` are a final update, ``?`` is a predicted end.
        model: the actions, one a generation; see `Scripted`.
        mode: the row of settings, with ``PLAIN`` and ``changes``.
        takes: seconds by tool, or by call as `spell` spells it; else 1, whatever latency a tool says it has.
        answers: results likewise, else what the tool returns, ``ok`` for a toy tool; an exception is raised; a list
            gives one after the other.
        profile: the device.
        all_used: whether the script must have been asked for all of its actions.
        limit_s: when a scenario that is not over ends as ``too_long``.
        tools: your own, as functions or as a toolbox, in the place of the toy tools.
        specs: toy tools beside the five.
        silences: as (seconds, how long nobody has spoken by then).
        changes: settings by name, as `midsentence.settings` takes them.

    Raises:
        ScriptRanOut: a generation began that the script does not foresee.
        ScriptNotOver: actions were left, and ``all_used`` says that none may be.
        ValueError: ``specs`` beside ``tools``.
    """
    if tools is not None and (specs := tuple(specs)):
        raise ValueError(f"{len(specs)} toy tools are given beside tools; leave specs out, or tools")
    chosen: Settings = settings(mode, **(PLAIN | changes))
    script = Scripted(model)
    run = Tools(takes or {}, answers or {}, (*TOOLS, *specs), boxed(tools, "test") if tools is not None else None)
    updates: list[UserUpdate | EndPredicted | Silence] = [
        EndPredicted(ns(at_s))
        if text == PREDICTED
        else UserUpdate(ns(at_s), text.removesuffix("."), text.endswith("."))
        for at_s, text in user
    ]
    updates += [Silence(ns(at_s), ns(silent_s)) for at_s, silent_s in silences]
    renderer = cast(Renderer, WordRenderer())
    episode = Episode(
        settings=chosen,
        profile=profile,
        toolbox=run,
        updates=updates,
        renderer=renderer,
        prompt_ids=(),
        planner=script,
        limit_ns=ns(limit_s),
    )
    played = Played(episode.run(), run, script)
    if all_used and script.left:
        raise ScriptNotOver(
            f"{script.left} actions of the script were never asked for: {script.actions[script.taken :]}; "
            f"the session ended as {played.outcome} at {played.rollout.end_ns} ns"
        )
    return played
