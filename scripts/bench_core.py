"""What one event costs the core, however long the session, and how that compares with a decode step.

    python -m scripts.bench core [--model smollm2 | --model none] [--repeats 5]

Prints one line of JSON: microseconds an event after 100, 1,000 and 10,000 events of one session (updates, tokens one by
one, calls, results, revisions, answers, turn after turn), and the share that is of one decode step of the embedded
model with one session and a short context. The event is a token: `token_…` is what a decode step waits for; `event_…`
is the mean over all events of a turn. Each figure is a mean over the turns that follow that point, the least of its
repeats, since what else the machine does can only add.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Iterator

from midsentence.core import reducer
from midsentence.core.events import Append, Appended, Event, Generate, ModelOutput, StartTool, ToolResult, UserUpdate
from midsentence.core.modes import settings
from midsentence.tools.tool import Param, ToolSpec

HISTORIES = (100, 1_000, 10_000)
WINDOW_EVENTS = 400

TOOLS = {
    spec.name: spec
    for spec in (
        ToolSpec("look", (Param("what", {"type": "string"}),), "read", reads=frozenset({"book"})),
        ToolSpec(
            "note", (Param("what", {"type": "string"}),), "write", reads=frozenset({"book"}), writes=frozenset({"book"})
        ),
    )
}


class Talk:
    """A session that goes on for ever: each turn has two updates, two calls, a revision, their results and an
    answer."""

    def __init__(self) -> None:
        self.state = reducer.start(settings("speculative", commit="action", max_context_tokens=10**9), TOOLS)
        self.script = self._events()
        self.events = 0
        self.spent_ns = {"token": 0, "other": 0}
        self.seen = {"token": 0, "other": 0}
        self.pending: list = []

    def run(self, events: int) -> None:
        """Takes in that many more events, and adds up what they cost."""
        for _ in range(events):
            event = next(self.script)
            kind = "token" if isinstance(event, ModelOutput) else "other"
            start = time.perf_counter_ns()
            self.state, commands = reducer.step(self.state, event)
            self.spent_ns[kind] += time.perf_counter_ns() - start
            self.seen[kind] += 1
            self.pending += [c for c in commands if isinstance(c, Append | Generate | StartTool)]
            self.events += 1

    def forget(self) -> None:
        self.spent_ns, self.seen = {"token": 0, "other": 0}, {"token": 0, "other": 0}

    def _events(self) -> Iterator[Event]:
        turn = 0
        while True:
            turn += 1
            yield UserUpdate(self.events, "text Bob that the")
            yield from self._answered(self._calls(turn, "Bob"))
            yield UserUpdate(self.events, "no Alice that the meeting is at ten", final=True)
            yield from self._answered(self._calls(turn, "Alice"))
            yield from self._answered("<think>all said</think><answer>I wrote it down.</answer>")
            while not self.state.answered:
                yield from self._owed()

    def _calls(self, turn: int, who: str) -> str:
        first = 2 * turn - 1
        return f'<think>to: {who}</think><tool_call>\n{first}. look("{who} {turn}")\n{first + 1}. note(${first})\n</tool_call>'

    def _owed(self) -> Iterator[Event]:
        """What the shell owes the core: appends taken in, and results."""
        pending, self.pending = self.pending, []
        for command in pending:
            if isinstance(command, Append):
                yield Appended(self.events, 12)
            elif isinstance(command, StartTool):
                yield ToolResult(
                    self.events, command.call, command.version, f"+1 555 {command.call} v{command.version}"
                )

    def _answered(self, text: str) -> Iterator[Event]:
        """Lets the model write an action, four characters a token."""
        while self.state.phase is not reducer.Phase.GENERATING:
            yield from self._owed()
        for at in range(0, len(text), 4):
            yield ModelOutput(self.events, self.state.generation, text[at : at + 4], (at,))


def measure(histories: tuple[int, ...], repeats: int) -> dict[str, float]:
    """Microseconds by kind of event and length of history."""
    runs: dict[str, list[float]] = {}
    for _ in range(repeats):
        talk = Talk()
        for history in histories:
            talk.run(history - talk.events)
            talk.forget()
            talk.run(WINDOW_EVENTS)
            for kind, names in {"token": ("token",), "event": ("token", "other")}.items():
                spent, seen = sum(talk.spent_ns[name] for name in names), sum(talk.seen[name] for name in names)
                runs.setdefault(f"{kind}_at_{history}_us", []).append(spent / seen / 1000)
    return {name: round(min(values), 2) for name, values in runs.items()}


def decode_step_us(name: str, context: int = 128, steps: int = 12) -> float:
    """One decode step of a model with one session: the median, since a step may leave its forward pass to the next.

    Raises:
        ImportError, OSError: transformers or the model is not there.
    """
    from midsentence.models.transformers import TransformersModel

    model = TransformersModel.load(name)
    stream = model.open([n % 97 + 3 for n in range(context)])
    times = []
    for _ in range(steps):
        start = time.perf_counter_ns()
        model.decode([stream])
        times.append((time.perf_counter_ns() - start) / 1000)
    return statistics.median(times)


def main(arguments: list[str]) -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="bench core")
    parser.add_argument(
        "--model", default="smollm2", help="whose decode step to compare with; 'none' for no comparison"
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--histories", type=int, nargs="+", default=list(HISTORIES))
    options = parser.parse_args(arguments)
    report: dict[str, float | str] = {"bench": "core"}
    report |= measure(tuple(options.histories), options.repeats)
    first, last = options.histories[0], options.histories[-1]
    report[f"ratio_{last}_to_{first}"] = round(report[f"event_at_{last}_us"] / report[f"event_at_{first}_us"], 2)
    try:
        if options.model != "none":
            step_us = decode_step_us(options.model)
            report |= {"model": options.model, "decode_step_us": round(step_us, 1)}
            report["token_share_of_step"] = round(report[f"token_at_{last}_us"] / step_us, 5)
    except (ImportError, OSError) as error:
        report["note"] = f"no decode step measured: {error}"
    print(json.dumps(report))
    return 0
