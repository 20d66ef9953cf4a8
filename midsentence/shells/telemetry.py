"""Spans and metrics of a session, through the OpenTelemetry API: a pure listener to the core's events and commands.

Owns the names of spans, attributes and instruments. Does not know how they leave the process: the application
configures an exporter for that. Works alike on a live session and on a recorded log. No word, argument, result or
answer, nor the text of an error, is ever in an attribute: only names of tools, numbers, counts and kinds.

Without a configured provider there is no listener, and where the application has not imported OpenTelemetry neither
does this.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from midsentence.clock import NS_PER_S
from midsentence.core.calls import TABLE, CallState
from midsentence.core.events import (
    CancelTool,
    Command,
    Emit,
    Event,
    Finish,
    Generate,
    ModelOutput,
    Moved,
    StartTool,
    Stop,
    ToolError,
    ToolResult,
    UserUpdate,
)
from midsentence.core.state import State

NAME = "midsentence"
DEADLINE_S = 2.0
"""Seconds from the end of speech within which an answer is in time."""


def configured() -> bool:
    """Whether the application has set a provider of spans or of metrics that is not a no-op. Imports nothing that it
    has not."""
    if "opentelemetry" not in sys.modules:
        return False
    try:
        from opentelemetry import metrics, trace
    except ImportError:
        return False
    spans, meters = trace.get_tracer_provider(), metrics.get_meter_provider()
    none = (trace.ProxyTracerProvider, trace.NoOpTracerProvider)
    # the proxy of metrics has no public name: what the API itself defines exports nothing
    return not isinstance(spans, none) or not type(meters).__module__.startswith("opentelemetry.metrics")


def listener(wall_ns: Callable[[], int]) -> Telemetry | None:
    """What a session tells its events to, or None while nothing is configured."""
    return Telemetry(wall_ns) if configured() else None


class Telemetry:
    """Turns the (event, commands, state) triples of one session into spans and metrics.

    A turn lasts from its first words to its answer; calls and generations are its children. In time means that the
    answer went out within the deadline after the last final update; whether it was right nobody knows here.
    """

    def __init__(
        self, wall_ns: Callable[[], int], *, deadline_s: float = DEADLINE_S, tracers: Any = None, meters: Any = None
    ) -> None:
        """Of a session that has not begun.

        Args:
            wall_ns: the time since the epoch, read once, at the first event; a recorded log gives the time that it
                began.
            deadline_s: see `DEADLINE_S`.
            tracers: a TracerProvider; the global one by default.
            meters: a MeterProvider; the global one by default.

        Raises:
            ImportError: the extra ``otel`` is not installed.
        """
        from opentelemetry import metrics, trace

        self._trace, self._deadline_ns, self._wall_ns = trace, deadline_s * NS_PER_S, wall_ns
        self._tracer = trace.get_tracer(NAME, tracer_provider=tracers)
        meter = metrics.get_meter(NAME, meter_provider=meters)
        self._turns = meter.create_counter(
            "midsentence.turns", "{turn}", "Turns, by outcome: in_time, late, unanswered"
        )
        self._delay = meter.create_histogram("midsentence.turn.delay", "s", "From the end of speech to the answer")
        self._held = meter.create_histogram("midsentence.call.held", "s", "How long a whole call waited for its commit")
        self._vain = meter.create_counter(
            "midsentence.calls.in_vain", "{call}", "Calls that ran and whose result was not wanted"
        )
        self._calls = meter.create_counter("midsentence.calls", "{call}", "Tools started, by name")
        self._zero_ns: int | None = None
        self._turn: Any = None
        self._final_ns: int | None = None
        self._generation: Any = None
        self._tokens = 0
        self._running: dict[tuple[int, int], Any] = {}
        self._held_since: dict[int, int] = {}

    def __call__(self, event: Event, commands: tuple[Command, ...], state: State) -> None:
        """One step: the event, what came of it, and the state after it."""
        if self._zero_ns is None:
            self._zero_ns = self._wall_ns() - event.at_ns
        at_ns = event.at_ns
        match event:
            case UserUpdate(final=final):
                if self._turn is None and not state.outcome:
                    self._turn = self._open("turn", at_ns, {"midsentence.turn": state.turn})
                if final:
                    self._final_ns = at_ns
            case ModelOutput(ids=ids):
                self._tokens += len(ids)
            case ToolResult(call=call, version=version):
                self._call_over(call, version, at_ns, "done")
            case ToolError(call=call, version=version, kind=kind):
                self._call_over(call, version, at_ns, kind)
        for command in commands:
            self._follow(command, at_ns, state)

    def _follow(self, command: Command, at_ns: int, state: State) -> None:
        match command:
            case Generate():
                self._tokens = 0
                about = {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": state.context_tokens}
                self._generation = self._open("chat", at_ns, about)
            case Stop(keep=keep):
                self._generation_over(at_ns, keep)
            case StartTool(call=call, version=version, name=name):
                about = {
                    "gen_ai.operation.name": "execute_tool",
                    "gen_ai.tool.name": name,
                    "gen_ai.tool.call.id": f"{call}v{version}",
                }
                self._running[call, version] = self._open(f"execute_tool {name}", at_ns, about)
                self._calls.add(1, {"gen_ai.tool.name": name})
            case CancelTool(call=call, version=version):
                self._call_over(call, version, at_ns, "cancelled")
            case Moved(call=call, state=before, input=input):
                row = TABLE[before, input]
                if row.effect in ("cancel", "void"):
                    self._vain.add(1)
                if row.next is CallState.HELD and before is not CallState.HELD:
                    self._held_since[call] = at_ns
                elif before is CallState.HELD and row.next is not CallState.HELD and call in self._held_since:
                    self._held.record(
                        (at_ns - self._held_since.pop(call)) / NS_PER_S, {"midsentence.input": str(input)}
                    )
            case Emit():
                self._turn_over(at_ns, True)
            case Finish():
                self._generation_over(at_ns, 0)
                for call, version in list(self._running):
                    self._call_over(call, version, at_ns, "left")
                self._turn_over(at_ns, False)

    def _open(self, name: str, at_ns: int, about: dict[str, Any]) -> Any:
        within = self._trace.set_span_in_context(self._turn) if self._turn is not None else None
        return self._tracer.start_span(name, context=within, start_time=self._epoch_ns(at_ns), attributes=about)

    def _epoch_ns(self, at_ns: int) -> int:
        return (self._zero_ns or 0) + at_ns

    def _call_over(self, call: int, version: int, at_ns: int, outcome: str) -> None:
        if (span := self._running.pop((call, version), None)) is None:
            return  # a late answer to a call that was given up
        span.set_attribute("midsentence.outcome", outcome)
        if outcome in ("failed", "timeout", "crashed"):
            span.set_attribute("error.type", outcome)
            span.set_status(self._trace.StatusCode.ERROR)
        span.end(self._epoch_ns(at_ns))

    def _generation_over(self, at_ns: int, keep: int) -> None:
        if self._generation is not None:
            self._generation.set_attributes(
                {"gen_ai.usage.output_tokens": self._tokens, "midsentence.kept_tokens": keep}
            )
            self._generation.end(self._epoch_ns(at_ns))
            self._generation = None

    def _turn_over(self, at_ns: int, answered: bool) -> None:
        if self._turn is None:
            return
        outcome = "unanswered"
        if answered and self._final_ns is not None:
            delay_ns = at_ns - self._final_ns
            outcome = "in_time" if delay_ns <= self._deadline_ns else "late"
            self._delay.record(delay_ns / NS_PER_S)
        self._turns.add(1, {"midsentence.outcome": outcome})
        self._turn.set_attribute("midsentence.outcome", outcome)
        self._turn.end(self._epoch_ns(at_ns))
        self._turn = self._final_ns = None
