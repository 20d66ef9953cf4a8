"""Drives random schedules through the core and counts what must never happen.

``python -m scripts.bench schedules --count 1000000`` prints one line of JSON. A plain seeded generator draws users,
models, tools, failures and delays; `Oracle` judges every step from events and commands, with rules of its own rather
than the core's flags. Runs in chunks; with ``--state FILE`` a killed run goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import sys
import traceback
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from agent import core
from agent.calls import ROWS
from agent.calls import State as CallState
from agent.clock import ns
from agent.events import (
    Append,
    Appended,
    CancelTool,
    Close,
    Event,
    Generate,
    ModelEnded,
    ModelOutput,
    Note,
    SetTimer,
    StartTool,
    Stop,
    Timer,
    ToolError,
    ToolResult,
    UserUpdate,
)
from agent.modes import MODES, Settings
from agent.protocol import ActionEnded, CallLine, Parser, feed, write_value
from agent.tools.tool import Param, ToolSpec

COUNTERS = (
    "effects_before_commit", "effects_more_than_once", "duplicate_effects", "effects_after_reopen", "stale_results_seen",
    "dependents_left_running", "hangs", "raised",
)
CHUNK = 2_000

_ANY: dict[str, Any] = {}
TOOLS = {
    spec.name: spec
    for spec in (
        ToolSpec("look", (Param("what", {"type": "string"}), Param("where", _ANY, required=False)), "read", reads=frozenset({"book"})),
        ToolSpec("ask", (Param("who", _ANY),), "egress"),
        ToolSpec("send", (Param("to", _ANY), Param("text", _ANY, required=False)), "write"),
        ToolSpec("file", (Param("what", _ANY),), "write", reads=frozenset({"book"}), writes=frozenset({"book"})),
    )
}


class Oracle:
    """Judges a run from outside: its own account of commit points, effects and results."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.counts: Counter[str] = Counter()
        self.covered: set[str] = set()
        self.issued: dict[int, int] = {}
        """Call → serial of the event in which its current form was written."""
        self.serial = 0
        self.committed = -1
        """Serial of the last commit point, -1 for none since the last reopening."""
        self.reopened = -1
        self.final_heard = False
        self.final_shown = False
        self.saw_final = False
        self.parser = Parser()
        self.clean = True
        self.begun: dict[int, str] = {}
        """Write → its resolved text, while its effect stands or may stand."""
        self.answers: dict[str, set[str]] = {}
        """Label → what the tool answered to that version."""

    def see(self, event: Event, commands: Iterable[Any], before: core.State, state: core.State) -> None:
        """Takes in one step of the core."""
        self.serial += 1
        commands = tuple(commands)
        self._hear(event, before)
        if isinstance(event, ToolResult):
            label = str(event.call) if event.version == 1 else f"{event.call}v{event.version}"
            self.answers.setdefault(label, set()).add(write_value(event.value))
        ended = self._read(event, before, state, commands)
        if ended:
            self.committed = self.serial
        # a write that says it did nothing frees its effect at once: an equal one that waited may start in the same step
        if isinstance(event, ToolError) and event.kind == "failed" and f"{CallState.FAILED}" == state_of(state, event.call):
            if state_of(before, event.call) in (CallState.RUNNING, CallState.UNKNOWN):
                self.begun.pop(event.call, None)
        for command in commands:
            match command:
                case Append(segments):
                    self._shown(segments, state)
                case Generate():
                    self.saw_final, self.parser, self.clean = self.final_shown and self.final_heard, Parser(), True
                case StartTool():
                    self._started(command, state)
                case Note(what):
                    self.covered.add(what)
        for id in state.graph.live:
            call = state.graph[id]
            if call.state is CallState.RUNNING and any(state.graph[need].state is not CallState.DONE for need in call.needs):
                self.counts["dependents_left_running"] += 1

    def _hear(self, event: Event, before: core.State) -> None:
        if isinstance(event, UserUpdate):
            if self.final_heard:
                # a new turn, or speech after an end that was none: what has not started is held again
                self.reopened, self.committed, self.final_shown, self.saw_final = self.serial, -1, False, False
            self.final_heard = event.final

    def _read(self, event: Event, before: core.State, state: core.State, commands: tuple[Any, ...]) -> bool:
        """Follows the model's text; gives whether a commit point was reached."""
        if not isinstance(event, ModelOutput) or event.generation != before.generation or before.phase is not core.Phase.GENERATING:
            return False
        self.parser, items = feed(self.parser, event.text)
        refused = any(isinstance(c, Note) and c.what == "invalid_action" for c in commands)
        for item in items:
            if isinstance(item, CallLine) and item.id in state.graph:
                known = before.graph.calls.get(item.id)
                if known is None or known.text != state.graph[item.id].text:
                    self.issued[item.id] = self.serial
                if self.settings.commit == "paper" and self.final_heard and known is None:
                    self.committed = self.serial
            if isinstance(item, ActionEnded) and not refused:
                if self.settings.commit == "action" and self.saw_final:
                    return True
                if self.settings.commit == "paper" and self.final_heard and item.kind != "tool_call":
                    return True
        return False

    def _shown(self, segments: Iterable[Any], state: core.State) -> None:
        for segment in segments:
            if segment.kind == "final_query_update":
                self.final_shown = self.final_heard
            if segment.kind == "tool_result":
                label, _, value = segment.text.partition(": ")
                id = int(label.split("v")[0])
                current = core.label(state.graph[id]) == label and state.graph[id].state is CallState.DONE
                if not current or value not in self.answers.get(label, ()):
                    self.counts["stale_results_seen"] += 1

    def _started(self, start: StartTool, state: core.State) -> None:
        spec = TOOLS[start.name]
        if spec.access != "write":
            return
        if self.committed < 0 or self.committed < self.issued.get(start.call, 0):
            self.counts["effects_after_reopen" if self.reopened >= 0 and self.committed < 0 else "effects_before_commit"] += 1
        text = f"{start.name}{json.dumps(start.args, sort_keys=True)}"
        if start.call in self.begun:
            self.counts["effects_more_than_once"] += 1
        elif text in self.begun.values() and not self.settings.duplicate_writes:
            self.counts["duplicate_effects"] += 1
        self.begun[start.call] = text


def state_of(state: core.State, id: int) -> str:
    """The state of a call, or an empty text."""
    return state.graph[id].state if id in state.graph else ""


class Schedule:
    """One random run: a shell without a clock that answers the core's commands in any order."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.settings = self._settings()
        self.state = core.start(self.settings, TOOLS)
        self.oracle = Oracle(self.settings)
        self.now_ns = 0
        self.text: list[str] | None = None
        self.appending = False
        self.running: list[tuple[int, int]] = []
        self.gone: list[tuple[int, int]] = []
        self.timers: list[int] = []

    def _settings(self) -> Settings:
        draw = self.draw
        return replace(
            draw.choice(list(MODES.values())), interrupt=draw.choice(("token", "line", "action")),
            commit=draw.choice(("action", "action", "paper")), revise_cascade=draw.choice(("rerun", "cancel")),
            commit_grace_ns=draw.choice((0, 0, ns(0.3))), allowed_egress=draw.choice((frozenset(), frozenset({"ask"}))),
            duplicate_writes=draw.random() < 0.1, max_errors_in_row=draw.choice((1, 3, 8)),
            max_context_tokens=draw.choice((300, 8192, 8192)), max_generated_tokens=draw.choice((100, 2048, 2048)),
        )

    def run(self) -> Oracle:
        """Runs to the end; what goes wrong is in the oracle's counts."""
        try:
            for _ in range(self.draw.randint(5, 45)):
                self.feed(self.any_event())
            self._drain()
        except Exception:
            self.oracle.counts["raised"] += 1
            if os.environ.get("SHOW_RAISED"):
                traceback.print_exc()
        return self.oracle

    def feed(self, event: Event) -> None:
        """Hands the core an event and does what it commands."""
        before = self.state
        self.state, commands = core.step(before, event)
        self.oracle.see(event, commands, before, self.state)
        for command in commands:
            match command:
                case Append():
                    self.appending = True
                case Generate():
                    self.text = self._split(self._action())
                case Stop():
                    self.text = None
                case StartTool(call, version):
                    self.running.append((call, version))
                case CancelTool(call, version):
                    if (call, version) in self.running:
                        self.running.remove((call, version))
                        self.gone.append((call, version))
                case SetTimer(timer=timer):
                    self.timers.append(timer)

    def any_event(self) -> Event:
        """The next event, at random among those that can happen, with strays among them."""
        draw = self.draw
        self.now_ns += draw.choice((0, ns(0.01), ns(0.2)))
        options: list[str] = ["user"] * 2 + ["stray"]
        options += ["append"] * 4 if self.appending else []
        options += ["model"] * 8 if self.text is not None else []
        options += ["tool"] * 3 if self.running else []
        options += ["late"] if self.gone else []
        options += ["timer"] if self.timers else []
        match draw.choice(options):
            case "user":
                return UserUpdate(self.now_ns, draw.choice(("text Bob", "no wait", "")), draw.random() < 0.35, draw.choice((0, 0, 0, 1)))
            case "append":
                return self._appended()
            case "model":
                return self._output()
            case "tool":
                return self._answer(self.running.pop(draw.randrange(len(self.running))))
            case "late":
                return self._answer(draw.choice(self.gone))
            case "timer":
                return Timer(self.now_ns, self.timers.pop())
        return draw.choice((
            ModelOutput(self.now_ns, draw.randint(0, 3), "<pause>", (1,)), Appended(self.now_ns, 5), Timer(self.now_ns, draw.randint(0, 9)),
            ToolResult(self.now_ns, draw.randint(1, 4), draw.randint(1, 3), "stray"), ModelEnded(self.now_ns, draw.randint(0, 3)),
            ToolError(self.now_ns, draw.randint(1, 4), draw.randint(1, 3), "stray", draw.choice(("failed", "timeout"))),
            *([Close(self.now_ns)] if draw.random() < 0.05 else []),
        ))

    def _appended(self) -> Event:
        self.appending = False
        return Appended(self.now_ns, self.draw.randint(1, 30))

    def _output(self) -> Event:
        assert self.text is not None
        if not self.text:
            self.text = None
            return ModelEnded(self.now_ns, self.state.generation)
        piece = self.text.pop(0)
        return ModelOutput(self.now_ns, self.state.generation, piece, tuple(range(1 + len(piece) // 4)))

    def _answer(self, tool: tuple[int, int]) -> Event:
        draw = self.draw
        roll = draw.random()
        if roll < 0.7:
            return ToolResult(self.now_ns, *tool, draw.choice(("ok", "+1 555", {"n": 1}, ["a"])))
        kind = draw.choice(("failed", "timeout", "crashed"))
        if kind == "timeout":
            self.gone.append(tool)
        return ToolError(self.now_ns, *tool, "no", kind)

    def _drain(self) -> None:
        """Lets everything under way come to its end with a model that answers as soon as it may: it must get there."""
        self.draw = random.Random(0)
        for _ in range(300):
            if self.state.phase is core.Phase.FINISHED or self.state.answered and not self.state.graph.live:
                return
            self.now_ns += ns(0.05)
            if self.appending:
                self.appending = False
                self.feed(Appended(self.now_ns, 3))
            elif self.state.phase is core.Phase.GENERATING:
                answer = "<answer>ok</answer>" if self.state.saw_final else "<pause>"
                if self.oracle.parser.where != "start" or self.oracle.parser.buffer:
                    self.text = None
                    self.feed(ModelEnded(self.now_ns, self.state.generation))
                else:
                    self.feed(ModelOutput(self.now_ns, self.state.generation, answer, (1, 2, 3)))
            elif self.timers:
                self.feed(Timer(self.now_ns, self.timers.pop(0)))
            elif self.running:
                call, version = self.running.pop(0)
                self.feed(ToolResult(self.now_ns, call, version, "ok"))
            elif not self.state.final_heard:
                self.feed(UserUpdate(self.now_ns, "that is all", final=True))
            else:
                break
        self.oracle.counts["hangs"] += 1

    # -- what the model writes ---------------------------------------------------------------------------------

    def _split(self, text: str) -> list[str]:
        pieces = []
        while text:
            n = self.draw.choice((1, 3, 9, 30, 200))
            pieces.append(text[:n])
            text = text[n:]
        return pieces

    def _action(self) -> str:
        draw = self.draw
        thought = draw.choice(("", "<think>to: Bob</think>", "<think></think>"))
        roll = draw.random()
        if roll < 0.15:
            return thought + "<pause>"
        if roll < 0.30:
            return thought + "<answer>done</answer>"
        if roll < 0.36:
            return draw.choice(("hello", "<think>I <answer>", "<tool_call></tool_call>", "<tool_call>\nrun(1)\n", thought))
        next_id = self.state.graph.highest + 1
        lines = []
        for _ in range(draw.choice((1, 1, 2, 3))):
            line, next_id = self._line(next_id)
            lines.append(line)
        return thought + "<tool_call>\n" + "\n".join(lines) + draw.choice(("\n</tool_call>", "</tool_call>"))

    def _line(self, next_id: int) -> tuple[str, int]:
        draw = self.draw
        roll = draw.random()
        known = list(range(1, next_id))
        if roll < 0.10 and known:
            return f"REMOVE {draw.choice(known)}", next_id
        if roll < 0.15:
            bad = (f'{next_id}. nosuch("a")', f"{next_id}. look()", f"{next_id + 5}. ask(1)", f"{next_id}. look(1)", "1. ask($9)", "??")
            return draw.choice(bad), next_id
        id = draw.choice(known) if roll < 0.35 and known else next_id
        name = draw.choice(list(TOOLS))
        literal = draw.choice(("a", "b", "ok"))
        operand = f"${draw.randint(1, id - 1)}" if id > 1 and draw.random() < 0.5 else write_value(literal)
        args = {"look": write_value(literal) + (f", {operand}" if draw.random() < 0.6 else ""), "send": f"[{operand}]"}.get(name, operand)
        return f"{id}. {name}({args})", next_id + (id == next_id)


def run_chunk(first: int, count: int, seed: int) -> tuple[Counter[str], set[str]]:
    """Runs ``count`` schedules from number ``first`` on; gives the summed counts and the transitions seen."""
    counts: Counter[str] = Counter()
    covered: set[str] = set()
    for n in range(first, first + count):
        oracle = Schedule(seed * 1_000_000_007 + n).run()
        counts.update(oracle.counts)
        if oracle.counts and os.environ.get("SHOW_RAISED"):
            print(n, dict(oracle.counts), file=sys.stderr)
        covered |= oracle.covered
    return counts, covered & {f"{row.state}:{row.input}" for row in ROWS}


def main(arguments: list[str]) -> int:
    """See the module; the exit status is 1 if anything happened that must not."""
    parser = argparse.ArgumentParser(prog="bench schedules")
    parser.add_argument("--count", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--state", type=Path, help="file in which finished chunks are kept, to go on after a kill")
    options = parser.parse_args(arguments)
    done: dict[str, Any] = {"seed": options.seed, "next": 0, "counts": {}, "covered": []}
    if options.state is not None and options.state.exists():
        done = json.loads(options.state.read_text())
        if done["seed"] != options.seed:
            parser.error(f"{options.state} was begun with seed {done['seed']}, not {options.seed}")
    counts, covered, at = Counter(done["counts"]), set(done["covered"]), done["next"]
    chunks = [(first, min(CHUNK, options.count - first), options.seed) for first in range(at, options.count, CHUNK)]
    with multiprocessing.get_context("spawn").Pool(options.workers) as pool:
        for (first, count, _), (more, seen) in zip(chunks, pool.imap(_run, chunks)):
            counts.update(more)
            covered |= seen
            if options.state is not None:
                half = options.state.with_suffix(".tmp")
                half.write_text(json.dumps({"seed": options.seed, "next": first + count, "counts": counts, "covered": sorted(covered)}))
                half.rename(options.state)
    line = {"schedules": max(options.count, at), "transitions_covered": len(covered), "transitions_total": len(ROWS)}
    line |= {name: counts[name] for name in COUNTERS}
    print(json.dumps(line))
    return int(any(counts[name] for name in COUNTERS) or len(covered) < len(ROWS) and options.count >= 5_000)


def _run(job: tuple[int, int, int]) -> tuple[Counter[str], set[str]]:
    return run_chunk(*job)
