"""The judge of random schedules: what must never happen, counted from a session's events and commands alone.

Its rules are written from DESIGN.md's text. It sees the settings, the tools, each event and the commands that answered
it, reads what the model wrote with the protocol's own parser, and keeps its own books (`Ledger`). Refuses to know the
core's state. Where DESIGN leaves two readings, the milder one is judged.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from agent.events import (
    Append,
    Appended,
    CancelTool,
    Close,
    Command,
    Emit,
    Event,
    Finish,
    Generate,
    ModelEnded,
    ModelOutput,
    StartTool,
    Stop,
    ToolError,
    ToolResult,
    UserUpdate,
)  # fmt: skip
from agent.modes import Settings
from agent.protocol import ActionEnded, CallLine, Item, Parser, RemoveLine, feed, refs
from agent.tools.tool import ToolSpec, bind
from agent.transcript import Segment, read_update
from scripts.schedules.ledger import Ledger, Told, resolved
from scripts.schedules.meaning import meaning, normal, words
from scripts.schedules.starts import changed_at, judge_start

_SHOWN = re.compile(r"(\d+)(?:v(\d+))?: (.*)", re.S)


class Judge:
    """Watches one session. ``counts`` holds what must not happen, by rule."""

    def __init__(self, settings: Settings, tools: Mapping[str, ToolSpec]) -> None:
        self.settings, self.tools = settings, tools
        self.counts: Counter[str] = Counter()
        self.calls = Ledger()
        self.at = 0
        self.now_ns = 0
        self.parser = Parser()
        self.generation: int | None = None  # being written
        self.lines = 0  # of the action under way
        self.began_at = 0
        self.began_final = False
        self.highest = 0
        self.appending = False
        self.finished = False
        self.turn = 1
        self.turn_over = False
        self.speech_at = 0
        self.final_heard = False
        self.final_in_context = False
        self.commit_at = 0
        self.commit_ever_at = 0
        self.grace_ends_ns = 0  # of the first commit since the user spoke: later ones share its grace
        self.said: set[str] = set()
        self.heard: list[str] = []
        self.read: list[str] = []
        self.context_holds_data = False
        self.answer: str | None = None
        self.answer_at = 0
        self.failure_at = 0
        self.effects: list[tuple[int, tuple, str, Told, int]] = []  # turn, meaning, key, call, version
        self.keys: set[str] = set()
        self.ordered_in: dict[str, int] = {}  # tool -> the turn that first ordered it

    def see(self, event: Event, commands: Iterable[Command]) -> None:
        """Judges one step."""
        commands = tuple(commands)
        self.at += 1
        self.now_ns = event.at_ns
        if self.finished and any(isinstance(c, Append | Generate | StartTool | Emit) for c in commands):
            self.count("after_the_end")
            return
        items = self._hear(event)
        segments = [segment for command in commands if isinstance(command, Append) for segment in command.segments]
        ended = any(isinstance(command, Finish) for command in commands)
        self._written(items, refused=ended or any(segment.kind == "error" for segment in segments))
        for command in commands:
            self._command(command, ended or isinstance(event, Close))
        if not self.finished:
            for call in self.calls.values():
                if call.must_stop:
                    call.must_stop = False
                    self.count("left_running")

    def count(self, rule: str) -> None:
        """One more of these."""
        self.counts[rule] += 1

    # -- events -------------------------------------------------------------------------------------------------

    def _hear(self, event: Event) -> tuple[Item, ...]:
        match event:
            case UserUpdate():
                self._speech(event)
            case ToolResult(call=id, version=version, value=value):
                if not _is_json(value):
                    self._lost(id, version, "crashed")
                elif (call := self._of(id, version, "running", "unknown")) is not None:
                    if call.status == "unknown":
                        call.changed_at = self.at
                    call.status, call.value = "done", value
            case ToolError(call=id, version=version, kind=kind):
                self._lost(id, version, kind)
            case Appended():
                self.appending = False
            case ModelEnded(generation=generation) if generation == self.generation:
                self.generation = None
            case ModelOutput(generation=generation, text=text) if generation == self.generation:
                self.parser, items = feed(self.parser, text)
                return items
            case Close():
                self.finished = True
        return ()

    def _speech(self, event: UserUpdate) -> None:
        heard = event.text.split()
        if self.finished or not heard and not event.retracts and not event.final:
            return
        if heard or event.retracts:
            if self.turn_over:
                self.turn, self.turn_over, self.final_heard, self.final_in_context = self.turn + 1, False, False, False
            self.speech_at, self.commit_at, self.final_heard = self.at, 0, False
        self.final_heard |= event.final
        self.said.update(words(event.text))
        del self.heard[len(self.heard) - min(max(event.retracts, 0), len(self.heard)):]
        self.heard += heard

    def _of(self, id: int, version: int, *statuses: str) -> Told | None:
        call = self.calls.get(id)
        good = call is not None and call.valid and not call.removed and call.version == version and call.status in statuses
        return call if good else None

    def _lost(self, id: int, version: int, kind: str) -> None:
        call = self._of(id, version, "running", "unknown")
        if call is None or call.status == "unknown" and kind != "failed":
            return
        if call.status == "unknown":
            call.changed_at = self.at
        else:
            self.failure_at = self.at
        call.status = "unknown" if kind != "failed" and call.spec.access == "write" else "failed"
        call.trouble_at = self.at
        for other in self.calls.below(call):
            if not other.frozen:
                other.trouble_at = self.at

    # -- what the model wrote -----------------------------------------------------------------------------------

    def _written(self, items: tuple[Item, ...], refused: bool) -> None:
        lines = [item for item in items if isinstance(item, CallLine | RemoveLine)]
        for line in lines[:-1] if refused else lines:
            if isinstance(line, CallLine):
                self._line(line)
            else:
                self._remove(line.id)
        for item in items:
            if isinstance(item, ActionEnded):
                self.generation = None
                if refused:
                    continue
                if item.kind == "answer":
                    self.answer, self.answer_at = item.text, self.began_at
                self._commit_at_end(item)

    def _commit_at_end(self, item: ActionEnded) -> None:
        if self.settings.commit == "paper":
            if self.final_heard and item.kind != "tool_call":
                self._commit()
        elif self.began_final and self.speech_at <= self.began_at:
            self._commit()

    def _commit(self) -> None:
        if not self.commit_at:
            self.grace_ends_ns = self.now_ns + self.settings.commit_grace_ns
        self.commit_at = self.commit_ever_at = self.at

    def _line(self, line: CallLine) -> None:
        old, spec = self.calls.get(line.id), self.tools.get(line.name)
        if spec is None or (line.id != self.highest + 1 if old is None else old.removed and not old.perhaps_gone):
            return self.count("bad_line_accepted")
        try:
            args = bind(spec, line.positional, line.keyword)
        except ValueError:
            return self.count("bad_line_accepted")
        needs = frozenset(refs(list(args.values())))
        if any(need not in self.calls or self.calls[need].removed and not self.calls[need].perhaps_gone for need in needs):
            return self.count("bad_line_accepted")
        self.ordered_in.setdefault(spec.name, self.turn)
        self.lines += 1
        if self.settings.calls_per_action is not None and self.lines > self.settings.calls_per_action:
            self.count("too_many_lines")
        if old is None:
            self.highest = line.id
            self.calls[line.id] = Told(line.id, spec, args, self.at, self.context_holds_data, needs, changed_at=self.at)
            if self.settings.commit == "paper" and self.final_heard:
                self._commit()
            return None
        if old.spec is spec and meaning(spec, old.args) == meaning(spec, args):
            if spec.access != "write" and (old.status == "failed" or self.calls.is_skipped(old)):
                old.line_at, old.context_at_line = self.at, self.context_holds_data
                if old.status == "failed":
                    old.status, old.valid, old.changed_at = "waiting", False, self.at
            return None
        if old.frozen or any(other.frozen for other in self.calls.below(old)):
            return self.count("frozen_changed")
        self._void(old)
        old.spec, old.args, old.needs, old.context_at_line = spec, args, needs, self.context_holds_data
        old.line_at = old.changed_at = self.at
        old.perhaps_gone = False
        return None

    def _remove(self, id: int) -> None:
        call = self.calls.get(id)
        if call is None:
            return self.count("bad_line_accepted")
        if call.removed:
            return None
        below = self.calls.below(call)
        if call.frozen or any(other.frozen for other in below):
            return self.count("frozen_changed")
        self._void(call)
        for one in (call, *below):
            one.removed = True
        return None

    def _void(self, call: Told) -> None:
        """The call is not what it was: its result and those of all that depends on it are void."""
        for one in (call, *self.calls.below(call)):
            if one is not call and self.settings.revise_cascade == "cancel" and not one.frozen:
                one.perhaps_gone = True
            if one is not call and one.settled:
                continue  # nothing but its own line makes another of it
            one.must_stop |= one.status == "running" and one.valid
            one.must_cancel |= one.shown
            one.valid, one.status = False, "waiting"
            one.error_shown &= one is not call and one.spec.access == "write"

    # -- commands -----------------------------------------------------------------------------------------------

    def _command(self, command: Command, closing: bool) -> None:
        match command:
            case Append(segments):
                if self.appending:
                    self.count("overlap")
                self.appending = True
                for segment in segments:
                    self._shown(segment)
            case Generate(generation):
                self._generate(generation)
            case Stop(generation):
                if generation == self.generation:
                    self.generation = None
            case StartTool():
                self._start(command)
            case CancelTool(id, version):
                call = self.calls.get(id)
                if call is not None and call.version == version:
                    if call.frozen and not closing:
                        self.count("frozen_cancelled")
                    call.must_stop = False
                    if call.valid and call.status == "running" and not call.frozen:
                        self._void(call)  # read again later, for an effect will make it stale
                        call.must_stop = False
            case Emit(text):
                self._emit(text)
            case Finish():
                self.finished = True

    def _generate(self, generation: int) -> None:
        if self.appending or self.generation is not None:
            self.count("overlap")
        if not self.settings.listens and not self.final_in_context:
            self.count("wrote_too_early")
        if self.settings.waits_for_calls and any(c.status == "running" and c.valid for c in self.calls.standing()):
            self.count("wrote_over_calls")
        for call in self.calls.values():
            if call.must_cancel:
                call.must_cancel = False
                self.count("missing_cancel")
        self.generation, self.parser, self.lines = generation, Parser(), 0
        self.began_at, self.began_final = self.at, self.final_in_context

    def _shown(self, segment: Segment) -> None:
        match segment.kind:
            case "partial_query_update" | "final_query_update":
                text, retracts = read_update(segment.text)
                del self.read[len(self.read) - min(retracts, len(self.read)):]
                self.read += text.split()
                self.final_in_context = segment.kind == "final_query_update"
            case "cancel":
                for id in map(int, re.findall(r"\d+", segment.text)):
                    call = self.calls.get(id)
                    if call is None or not (call.shown or call.error_shown or call.must_cancel or call.removed or call.perhaps_gone):
                        self.count("false_cancel")
                    if call is not None:
                        call.shown = call.must_cancel = False
            case "tool_result" | "tool_error":
                self.context_holds_data = True
                self._told(segment)

    def _told(self, segment: Segment) -> None:
        found = _SHOWN.fullmatch(segment.text)
        call = self.calls.get(int(found[1])) if found else None
        if call is None or found is None:
            return self.count("void_result_shown")
        if segment.kind == "tool_error":
            call.error_shown = True
            return None
        if call.removed or not call.valid or call.status != "done" or call.version != int(found[2] or 1):
            return self.count("void_result_shown")
        call.shown = True
        try:
            told = json.loads(found[3])
        except ValueError:
            return None  # shown in part
        if normal(told) != normal(call.value):
            self.count("wrong_result_shown")
        return None

    def _emit(self, text: str) -> None:
        if self.answer is None or text != self.answer:
            self.count("answer_unwritten")
        else:
            if self.answer_at < self.failure_at:
                self.count("answer_after_failure")
            if self.answer_at < self.speech_at:
                self.count("answer_after_speech")
        for call in self.calls.standing():
            ran = call.valid and call.status != "running"
            if not (ran or call.error_shown or call.perhaps_gone or self.calls.is_skipped(call)):
                self.count("answer_before_end")
        self.answer, self.turn_over = None, True

    # -- starts -------------------------------------------------------------------------------------------------

    def _start(self, start: StartTool) -> None:
        call = self.calls.get(start.call)
        if call is None or call.removed or call.spec.name != start.name:
            return self.count("unwritten_start")
        try:
            args = {name: resolved(value, self.calls) for name, value in call.args.items()}
            if meaning(call.spec, args) != meaning(call.spec, start.args):
                self.count("wrong_arguments")
        except LookupError:
            self.count("wrong_arguments")
        if call.version >= start.version:
            self.count("version_again")
        judge_start(self, call, start)
        again = call.version > 0
        if again and call.valid:
            self._void(call)
            call.must_stop = False
        elif again:
            for other in self.calls.below(call):
                if other.valid and not other.settled:
                    self._void(other)
        if again and call.started_at >= changed_at(self, call):
            call.changed_at = self.at + 0.5  # run again as it was: what it gives may be another thing
        call.version, call.status, call.valid, call.started_at, call.perhaps_gone = start.version, "running", True, self.at, False
        for read in self.calls.standing() if call.spec.access == "write" else ():
            stale = read.id > call.id and read.spec.access != "write" and read.version and call.spec.writes & read.spec.reads
            if stale and not any(other.frozen for other in self.calls.below(read)):
                read.changed_at = self.at + 0.5  # an effect made it stale: after this commit, if this step holds one
        return None

    # -- the end ------------------------------------------------------------------------------------------------

    def rest(self) -> None:
        """Judges a session that has come to rest: everything has been told."""
        if self.heard != self.read:
            self.count("speech_lost")
        for call in self.calls.standing():
            if call.status == "done" and call.valid and not call.shown and not call.perhaps_gone:
                self.count("result_lost")


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return False
    return True
