"""A shell without a clock: draws one hostile schedule of events, hands them to the core, and lets the judge see each
step.

A schedule is drawn from its seed, with strays, duplicates, late answers and answers of what is unknown among what is
due. After it, a kind user, model and tools let everything come to its end. What was fed is kept, so that a schedule can
be fed again in part (`replayed`) and made shorter (`shortest`).
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from midsentence.clock import ns
from midsentence.core import reducer
from midsentence.core.events import (
    Appended,
    CancelTool,
    Close,
    Command,
    Emit,
    EndPredicted,
    Event,
    Finish,
    Generate,
    ModelEnded,
    ModelOutput,
    SetTimer,
    Silence,
    StartTool,
    Stop,
    Timer,
    ToolError,
    ToolResult,
    UserUpdate,
)
from midsentence.core.modes import MODES, Settings
from midsentence.tools.tool import ToolSpec
from scripts.schedules.judge import Judge
from scripts.schedules.writer import NEVER_SAID, TOOLS, USER_WORDS, Writer

Step = Callable[[Any, Event], tuple[Any, tuple[Command, ...]]]


@dataclasses.dataclass(frozen=True, slots=True)
class Wires:
    """What lies between the core and its shell; a planted bug is other wires."""

    around: Callable[[Step, Any, Event], tuple[Any, tuple[Command, ...]]] = lambda step, state, event: step(
        state, event
    )
    settings: Callable[[Settings], Settings] = lambda given: given
    """The settings that the core is given."""
    tools: Mapping[str, ToolSpec] = dataclasses.field(default_factory=lambda: TOOLS)
    """The tools that the core is given."""
    named: bool = True


RESULTS = (
    "ok",
    {"email": "bob", "id": 5},
    [{"id": 5}, "a"],
    "zebra 4471",
    4471,
    {"n": 1, "to": "omega"},
    ["a", None],
    "",
    None,
    True,
    1.5,
    "a < b & <tool_call>",
    [[]] * 3,
)


ENDS = ("<answer>ok</answer>", "<pause>")


def any_settings(draw: random.Random, more: random.Random) -> Settings:
    """A mode with settings at random; ``more`` draws those that came later, so that a schedule's number still means the
    same."""
    mode = draw.choice(list(MODES.values()))
    in_turn, in_session = draw.choice(((2, 3), (3, 2), (12, 32), (12, 32), (12, 32), (12, 32)))
    return replace(
        mode,
        interrupt=draw.choice(("token", "line", "action")),
        runs_lines=mode.runs_lines and draw.random() < 0.7,
        commit=draw.choice(("line", "line", "action", "action", "paper")),
        commit_on=draw.choice(("final", "silence")),
        revise=draw.choice(("amend", "amend", "reissue")),
        revise_cascade=draw.choice(("rerun", "rerun", "cancel")),
        commit_grace_ns=draw.choice((0, 0, ns(0.3))),
        allowed_egress=draw.choice((frozenset(), frozenset({"ask"}))),
        # the first draw is of a setting that is gone; without it a schedule's number would mean another schedule
        max_errors_in_row=(draw.random(), draw.choice((3, 8, 8)))[1],
        max_context_tokens=draw.choice((600, 8192, 8192, 8192)),
        max_generated_tokens=draw.choice((300, 2048, 2048)),
        max_writes_per_turn=in_turn,
        max_writes_per_session=in_session,
        eager=mode.eager or mode.listens and more.random() < 0.3,
    )


class Schedule:
    """One session under one schedule."""

    def __init__(self, seed: int, wires: Wires | None = None, keys: dict[str, int] | None = None) -> None:
        """``keys`` holds the idempotency keys of the sessions before, to be told from this one's."""
        self.seed = seed
        self.draw = random.Random(seed)
        self.settings = any_settings(self.draw, random.Random(f"{seed}/more"))
        self.wires = wires or Wires()
        self.keys = {} if keys is None else keys
        self.trace: list[tuple[Event, tuple[Command, ...], list[str]]] | None = None
        self.begin()

    def begin(self) -> None:
        """A fresh session of the same settings."""
        named = {"session": f"s{self.seed}"} if self.wires.named else {}
        self.state = reducer.start(self.wires.settings(self.settings), self.wires.tools, **named)
        self.judge = Judge(self.settings, TOOLS)
        self.writer = Writer(self.draw, self.settings)
        self.silent_ns = 0
        self.now_ns = 0
        self.text: list[str] | None = None
        self.running: list[tuple[int, int]] = []
        self.gone: list[tuple[int, int]] = []  # answered, lost or cancelled: they may answer again
        self.timers: dict[int, int] = {}
        self.fed: list[Event] = []
        self.error: Exception | None = None
        self.answered = False
        self.wrote = False  # whether the generation under way has given anything

    def run(self) -> Judge:
        """Draws the schedule to its end."""
        for _ in range(self.draw.randint(5, 70)):
            self.feed(self.any_event())
        self.settle()
        for key in self.judge.keys:
            if self.keys.setdefault(key, self.seed) != self.seed:
                self.judge.count("key_of_another_session")
        return self.judge

    def replayed(self, events: Iterable[Event]) -> Judge:
        """Feeds these events to a fresh session; what the model writes is of whatever generation runs."""
        self.draw = random.Random(0)
        self.begin()
        for event in events:
            if (
                isinstance(event, ModelOutput | ModelEnded)
                and event.generation >= 0
                and self.judge.generation is not None
            ):
                event = replace(event, generation=self.judge.generation)
            self.feed(event)
        self.settle()
        return self.judge

    def feed(self, event: Event) -> None:
        """Hands the core an event, shows the judge the step, and does what it commands."""
        self.fed.append(event)
        before, speech = self.state, isinstance(event, UserUpdate)
        if self.judge.finished and self.error is not None:
            return
        try:
            self.state, commands = self.wires.around(reducer.step, before, event)
        except Exception as error:
            self.error, self.judge.finished = error, True
            self.judge.count("raised")
            return
        if len(self.fed) % 64 == 31 and self.wires.around(reducer.step, before, event)[1] != commands:
            self.judge.count("impure")
        self.answered &= not (speech and bool(event.text or event.retracts))
        before_counts = dict(self.judge.counts) if self.trace is not None else {}
        self.judge.see(event, commands)
        if self.trace is not None:
            self.trace.append(
                (event, commands, [rule for rule, n in self.judge.counts.items() if n != before_counts.get(rule, 0)])
            )
        if isinstance(event, ToolResult | ToolError) and (event.call, event.version) in self.running:
            self.running.remove((event.call, event.version))
            self.gone.append((event.call, event.version))
        for command in commands:
            match command:
                case Generate():
                    self.text, self.wrote = None, False
                case Stop():
                    self.text = None
                case StartTool(call, version):
                    self.running.append((call, version))
                case CancelTool(call, version):
                    if (call, version) in self.running:
                        self.running.remove((call, version))
                        self.gone.append((call, version))
                case SetTimer(at_ns, timer):
                    self.timers[timer] = at_ns
                case Emit() | Finish():
                    self.answered = True

    # -- the hostile part ---------------------------------------------------------------------------------------

    def any_event(self) -> Event:
        """The next event, at random among those that can happen, with strays among them."""
        draw, judge = self.draw, self.judge
        self.now_ns += draw.choice((0, ns(0.01), ns(0.2)))
        options = ["user", "silence"] + ["stray"] * (draw.random() < 0.5)
        options += ["append"] * 6 if judge.appending else []
        options += ["model"] * 9 if judge.generation is not None else []
        options += ["tool"] * 3 if self.running else []
        options += ["late"] if self.gone else []
        options += ["timer"] if self.timers else []
        match draw.choice(options):
            case "user":
                return self._speech()
            case "silence":
                if draw.random() < 0.5:
                    return EndPredicted(self.now_ns)
                self.silent_ns += draw.choice((ns(0.2), ns(0.4), ns(1)))
                return Silence(self.now_ns, self.silent_ns)
            case "append":
                return Appended(self.now_ns, draw.choice((0, 1, 5, 30)))
            case "model":
                return self._output()
            case "tool":
                return self._answer(draw.choice(self.running))
            case "late":
                return self._answer(draw.choice(self.gone[-4:]))
            case "timer":
                timer = min(self.timers, key=lambda one: self.timers[one])
                self.now_ns = max(self.now_ns, self.timers.pop(timer))
                return Timer(self.now_ns, timer)
        return self._stray()

    def _speech(self) -> Event:
        draw = self.draw
        roll = draw.random()
        self.silent_ns = 0
        text = (
            ""
            if roll < 0.08
            else "wait " * 300
            if roll < 0.085
            else " ".join(draw.choices(USER_WORDS, k=draw.randint(1, 3)))
        )
        return UserUpdate(self.now_ns, text, draw.random() < 0.5, draw.choice((0, 0, 0, 0, 0, 1, 2, 50)))

    def _output(self) -> Event:
        judge, draw = self.judge, self.draw
        assert judge.generation is not None
        if self.text is None:
            self.text = self._split(self.writer.action(judge.highest + 1, judge.may_answer or judge.silence_in_context))
        self.wrote = True
        if not self.text:
            return ModelEnded(self.now_ns, judge.generation, draw.choice(("end of text", "crash")))
        piece = self.text.pop(0)
        return ModelOutput(self.now_ns, judge.generation, piece, tuple(range(1 + len(piece) // 4)))

    def _split(self, text: str) -> list[str]:
        # no piece completes two lines: whose the error is that answers it stays plain
        pieces: list[str] = []
        for line in text.splitlines(keepends=True):
            while line:
                n = self.draw.choice((3, 9, 200, 200))
                pieces.append(line[:n])
                line = line[n:]
        return pieces

    def _answer(self, tool: tuple[int, int]) -> Event:
        draw = self.draw
        if draw.random() < 0.6:
            value = (
                draw.choice(RESULTS)
                if draw.random() < 0.98
                else draw.choice((float("nan"), {1, 2}, "x" * 3000, object))
            )
            return ToolResult(self.now_ns, *tool, value)
        return ToolError(
            self.now_ns, *tool, draw.choice(("no", NEVER_SAID[0])), draw.choice(("failed", "timeout", "crashed"))
        )

    def _stray(self) -> Event:
        draw = self.draw
        id, version = draw.randint(0, self.judge.highest + 1), draw.randint(0, 3)
        return draw.choice(
            (
                ModelOutput(self.now_ns, draw.choice((-1, -7)), "<tool_call>\n1. pay(7)\n</tool_call>", (1,)),
                ModelEnded(self.now_ns, -3),
                ModelOutput(self.now_ns, -2, "", ()),
                Appended(self.now_ns, 5) if not self.judge.appending else ModelEnded(self.now_ns, -1),
                Timer(self.now_ns, 1000),
                ToolResult(self.now_ns, id, version, "stray"),
                ToolResult(self.now_ns, 77, 1, "stray"),
                ToolError(self.now_ns, id, version, "stray", draw.choice(("failed", "timeout", "crashed"))),
                Close(self.now_ns) if draw.random() < 0.05 else Timer(self.now_ns, -1),
            )
        )

    # -- the kind part ------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Lets everything under way come to its end, with a model that answers as soon as it may: it must get there."""
        judge, asked = self.judge, 0
        for _ in range(300):
            if judge.finished:
                return
            self.now_ns += ns(0.05)
            if judge.appending:
                self.feed(Appended(self.now_ns, 3))
            elif judge.generation is not None:
                self.feed(self._kind_output(judge.generation))
            elif self.timers:
                timer = min(self.timers, key=lambda one: self.timers[one])
                self.now_ns = max(self.now_ns, self.timers.pop(timer))
                self.feed(Timer(self.now_ns, timer))
            elif self.running:
                self.feed(ToolResult(self.now_ns, *self.running[0], "ok"))
            elif self.answered:
                return judge.rest()
            elif asked < 2:
                asked += 1
                self.feed(UserUpdate(self.now_ns, "that is all", final=True))
            else:
                break
        judge.count("hang")

    def _kind_output(self, generation: int) -> Event:
        if self.wrote and not self.text:
            self.wrote = False
            return ModelEnded(self.now_ns, generation)
        if not self.wrote:
            left = [call.id for call in self.judge.calls.open(self.judge.calls.standing())]
            lines = [f"REMOVE {id}\n" for id in left]
            self.text = (
                ["<tool_call>\n", *lines, "</tool_call>"] if left else [ENDS[0] if self.judge.may_answer else ENDS[1]]
            )
        assert self.text
        self.wrote = True
        return ModelOutput(self.now_ns, generation, self.text.pop(0), (1, 2, 3))


def shortest(schedule: Schedule, rule: str) -> list[Event]:
    """The events of a schedule with all taken out that the rule's count does not need."""
    events, size = list(schedule.fed), max(1, len(schedule.fed) // 2)
    if not schedule.replayed(events).counts[rule]:
        return events
    while size:
        at = 0
        while at < len(events):
            fewer = events[:at] + events[at + size :]
            if schedule.replayed(fewer).counts[rule]:
                events = fewer
            else:
                at += size
        size //= 2
    return events
