"""Scenarios: what the user says, what the model writes, how long tools take → rows of (time, who, what), exact to the nanosecond.

The device is a made-up one with round numbers: 10 tokens a second to write, 100 to take in, no restart cost. A word or a tag
is one token (blanks and newlines belong to the word before), so a token takes 0.1 s, and so does every append of up
to ten words. Role switches cost nothing. What a tool takes and answers is declared in `play`.

    look(what)          read    1 s
    ask(who)            egress  1 s
    send(to, text?)     write   1 s
    page(what)          read    1 s     reads the book
    note(what)          write   1 s     reads and writes the book
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from midsentence.clock import Profile, ns
from midsentence.events import (
    Append,
    CancelTool,
    Emit,
    EndPredicted,
    Event,
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
from midsentence.models.scripted import Scripted
from midsentence.modes import Settings, settings
from midsentence.simulate import Episode, Rollout
from midsentence.tools.tool import Param, ToolFailure, ToolSpec
from midsentence.transcript import CLOSERS, Segment

ROUND = Profile("round", decode_tokens_per_s=10, prefill_tokens_per_s=100, restart_ns=0)

_ANY: dict[str, Any] = {}
TOOLS = (
    ToolSpec("look", (Param("what", _ANY), Param("where", _ANY, required=False)), "read"),
    ToolSpec("ask", (Param("who", _ANY),), "egress"),
    ToolSpec("send", (Param("to", _ANY), Param("text", {"type": "string"}, required=False)), "write"),
    ToolSpec("page", (Param("what", _ANY),), "read", reads=frozenset({"book"})),
    ToolSpec("note", (Param("what", _ANY),), "write", reads=frozenset({"book"}), writes=frozenset({"book"}), timeout_ns=ns(5)),
)

PLAIN: dict[str, Any] = {"commit": "action", "revise": "reissue"}
"""Scenarios are told in whole calls that go at the end of an action, unless they are about the other lines."""


class WordDecoder:
    def __init__(self, words: list[str]) -> None:
        self.words = words

    def push(self, index: int) -> str:
        return self.words[index]


class WordRenderer:
    """Stands in for `midsentence.rendering.Renderer`: a word or a tag is a token, a role switch is none."""

    environment_to_model: tuple[int, ...] = ()
    model_to_environment: tuple[int, ...] = ()

    def __init__(self) -> None:
        self.words: list[str] = []
        self.known: dict[str, int] = {}

    def action_ids(self, text: str) -> tuple[int, ...]:
        words = re.findall(r"\s*(?:<[^<>\s]*>|[^\s<]+|<)\s*", text)
        assert "".join(words) == text
        return tuple(self._id(word) for word in words)

    def _id(self, word: str) -> int:
        if word not in self.known:
            self.known[word] = len(self.words)
            self.words.append(word)
        return self.known[word]

    def environment_ids(self, segment: Segment, since_ns: int = 0) -> tuple[int, ...]:
        if segment.kind in CLOSERS:
            return self.action_ids(f"</{segment.kind}>")
        return (*self.action_ids(f"<{segment.kind}>"), *(self._id(word) for word in segment.text.split()))

    def decoder(self) -> WordDecoder:
        return WordDecoder(self.words)


class Tools:
    """The tools, with declared latencies and answers; keeps what was run."""

    def __init__(self, takes: Mapping[str, float], answers: Mapping[str, Any], specs: Iterable[ToolSpec] = TOOLS) -> None:
        self.specs = {spec.name: spec for spec in specs}
        self.takes = takes
        self.answers = {key: list(value) if isinstance(value, list) else value for key, value in answers.items()}
        self.ran: list[str] = []

    def _declared(self, table: Mapping[str, Any], name: str, args: Mapping[str, Any], otherwise: Any) -> Any:
        return table.get(spell(name, args), table.get(name, otherwise))

    def latency_ns(self, name: str, args: Mapping[str, Any]) -> int:
        return ns(self._declared(self.takes, name, args, 1.0))

    def run(self, name: str, args: Mapping[str, Any]) -> Any:
        self.ran.append(spell(name, args))
        answer = self._declared(self.answers, name, args, "ok")
        if isinstance(answer, list):  # one after the other
            answer = answer.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def spell(name: str, args: Mapping[str, Any]) -> str:
    """A call as rows show it: ``send(Bob, hi)``."""
    shown = [value if isinstance(value, str) else json.dumps(value) for value in args.values()]
    return f"{name}({', '.join(shown)})"


Row = tuple[float, str, str]


@dataclass(frozen=True)
class Played:
    """A finished scenario."""

    rollout: Rollout
    tools: Tools
    script: Scripted

    @property
    def outcome(self) -> str:
        return self.rollout.outcome

    @property
    def end_s(self) -> float:
        return seconds(self.rollout.end_ns)

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
            at_s = seconds(event.at_ns)

            def row(kind: str, what: str, at_s: float = at_s) -> None:
                if kind in who.split():
                    rows.append((at_s, kind, what))

            match event:
                case UserUpdate(text=heard, final=final):
                    row("user", heard + "." * final)
                case Silence(silent_ns=silent_ns):
                    row("user", f"({seconds(silent_ns):g} s)")
                case ToolResult(call=call, version=version, value=value):
                    row("result", f"{name(call, version)} {value if isinstance(value, str) else json.dumps(value, default=repr)}")
                case ToolError(call=call, version=version, message=message, kind=kind):
                    row("error", f"{name(call, version)} {kind}: {message}")
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
                        row("start", f"{name(call, version)} {spell(command.name, command.args)}")
                    case CancelTool(call=call, version=version):
                        row("stop", name(call, version))
                    case Emit(text=said):
                        row("say", said)
                    case Finish(outcome=outcome):
                        row("finish", outcome)
        return rows


def name(call: int, version: int) -> str:
    return str(call) if version == 1 else f"{call}v{version}"


def seconds(at_ns: int) -> float:
    """Exact: a time that is no whole number of milliseconds would not compare equal to what a test writes."""
    exact = Fraction(at_ns, 10**9)
    assert 1000 % exact.denominator == 0, f"{at_ns} ns"
    return float(exact)


def calls(*lines: str, think: str = "") -> str:
    """An action of call lines: 1 token for each tag, and those of the lines."""
    return (f"<think>{think}</think>" if think else "") + "<tool_call>\n" + "".join(f"{line}\n" for line in lines) + "</tool_call>"


def answer(text: str = "done") -> str:
    """An answer of one word takes three tokens: 0.3 s."""
    return f"<answer>{text}</answer>"


PAUSE = "<pause>"
PREDICTED = "?"
"""In the place of words: the recogniser predicts the end of speech."""


def play(
    user: Sequence[tuple[float, str]],
    model: Sequence[Any],
    *,
    mode: str = "speculative",
    takes: Mapping[str, float] | None = None,
    answers: Mapping[str, Any] | None = None,
    profile: Profile = ROUND,
    all_used: bool = True,
    limit_s: float = 60,
    specs: Iterable[ToolSpec] = (),
    silences: Iterable[tuple[float, float]] = (),
    **changes: Any,
) -> Played:
    """Plays a scenario to its end.

    Args:
        user: updates as (seconds, words); words that end in ``.`` are a final update, ``?`` is a predicted end.
        model: the actions, one a generation; see `midsentence.models.scripted.Scripted`.
        mode: the row of settings, with ``PLAIN`` and ``changes``.
        takes: seconds by tool, or by call as `spell` spells it; else 1.
        answers: results likewise, else ``ok``; an exception is raised; a list gives one after the other.
        specs: tools beside the five.
        silences: as (seconds, how long nobody has spoken by then).
        all_used: whether the script must have been asked for all of its actions.
    """
    chosen: Settings = settings(mode, **(PLAIN | changes))
    tools, script = Tools(takes or {}, answers or {}, (*TOOLS, *specs)), Scripted(model)
    updates: list[Event] = [
        EndPredicted(ns(at_s)) if text == PREDICTED else UserUpdate(ns(at_s), text.removesuffix("."), text.endswith("."))
        for at_s, text in user
    ]
    updates += [Silence(ns(at_s), ns(silent_s)) for at_s, silent_s in silences]
    episode = Episode(
        settings=chosen, profile=profile, toolbox=tools, updates=updates, renderer=WordRenderer(), prompt_ids=(),
        planner=script, limit_ns=ns(limit_s),
    )
    played = Played(episode.run(), tools, script)
    assert not (all_used and script.left), f"{script.left} actions of the script were never asked for: {script.actions[script.taken:]}"
    return played


__all__ = ["PAUSE", "PREDICTED", "ROUND", "TOOLS", "Played", "ToolFailure", "Tools", "WordRenderer", "answer", "calls", "play", "spell"]
