"""The judge of random schedules: what must never happen, counted from a session's events and commands alone.

Its rules are written from DESIGN.md's text. It sees the settings, the tools, each event and the commands that answered
it, reads what the model wrote with the protocol's own parser, and keeps its own books (`Ledger`). Does not know the
core's state. Where DESIGN leaves two readings, the milder one is judged.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from midsentence.core.events import (
    Append,
    Appended,
    CancelTool,
    Close,
    Command,
    Emit,
    EndPredicted,
    Event,
    Finish,
    Forget,
    Generate,
    ModelEnded,
    ModelOutput,
    Silence,
    StartTool,
    Stop,
    ToolError,
    ToolResult,
    UserUpdate,
)
from midsentence.core.lines import AmendLine, CallLine, CommitLine, RemoveLine
from midsentence.core.modes import Settings
from midsentence.core.parser import ActionEnded, Item, Parser, feed
from midsentence.core.transcript import Segment, read_update
from midsentence.core.values import Join, Ref, refs
from midsentence.tools.tool import ToolSpec, bind
from scripts.schedules.ledger import Ledger, NoPart, Told, resolved
from scripts.schedules.meaning import added, meaning, normal, words
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
        self.began_final = False  # with the final update in its context
        self.may_commit = False  # whether what it commits counts
        self.began_predicted = False  # with a predicted end in it
        self.on_prediction = False  # whether it is for a predicted end alone
        self.highest = 0
        self.appending = False
        self.finished = False
        self.turn = 1
        self.turn_over = False
        self.speech_at = 0
        self.final_heard = False
        self.end_in_context = False  # a final update after the last word, which may be but predicted
        self.ends = 0  # told, and not yet seen in the context
        self.silences: list[float] = []  # told, and not yet seen in the context: how many seconds
        self.silence_in_context = False  # after the last word
        self.predicted = False  # an end of speech, after the last word
        self.attempt: set[int] | None = None  # calls of an attempt on a predicted end, which may still prove wrong
        self.stood: tuple[list[str], bool, int] = ([], False, 0)  # before it: words read, whether data was, ends told
        self.thrown: set[int] | None = None  # calls of an attempt that was thrown away, and may leave the context
        self.then = self.stood  # to be gone back to
        self.ends_then = 0  # ends told when it was
        self.predicted_then = False  # whether the last end was predicted between that and the context that is made anew
        self.ever_left = False  # whether any has
        self.left_out = (0, 0)  # of the context, as it was last made anew
        self.told_at = 0  # when the context was last told anything
        self.altered: dict[int, tuple] = {}  # older calls that it made another of, and what they were
        self.beside: set[int] = set()  # calls written while an end was predicted, in a generation begun before
        self.provisional = False  # whether what has been committed waits for the real end
        self.stop_by: int | None = None  # the generation that this step has to stop
        self.commit_at = 0
        self.grace_ends_ns = 0  # of the first commit since the user spoke: later ones share its grace
        self.said: set[str] = set()
        self.heard: list[str] = []
        self.read: list[str] = []
        self.context_holds_data = False
        self.errors: dict[int, str] = {}  # of this append, by call
        self.answer: str | None = None
        self.answer_at = 0
        self.answer_on_silence = False
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
        ended = any(isinstance(command, Finish) for command in commands)
        if items:
            errors = [
                one.text
                for command in commands
                if isinstance(command, Append)
                for one in command.segments
                if one.kind == "error"
            ]
            self._written(items, ended or bool(errors), "\n".join(errors))
        for command in commands:
            self._command(command, ended or isinstance(event, Close))
        if not self.finished:
            if self.stop_by is not None and self.stop_by == self.generation:
                self.count("attempt_went_on")
            self.stop_by = None
            for call in self.calls.values():
                if call.must_stop:
                    call.must_stop = False
                    self.count("left_running")

    @property
    def final_in_context(self) -> bool:
        """Whether the end of speech is in the context, and is true as far as anybody knows."""
        return self.end_in_context and self.final_heard

    @property
    def may_answer(self) -> bool:
        """Whether the end of speech is in the context, or what may stand for it."""
        return (
            self.final_in_context or self.predicted or self.settings.commit_on == "silence" and self.silence_in_context
        )

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
                        self._stale(call)  # it took effect after all
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
            case Silence(silent_ns=silent_ns):
                self.silences.append(silent_ns / 1e9)
            case EndPredicted():
                if not self.predicted:
                    self.stood = (list(self.read), self.context_holds_data, self.ends)
                    self.predicted_then = self.thrown is not None
                self.predicted = self.settings.eager and not self.turn_over and (self.predicted or not self.final_heard)
                self.ends += self.settings.eager
            case Close():
                self.finished = True
        return ()

    def _speech(self, event: UserUpdate) -> None:
        heard = event.text.split()
        if self.finished or not heard and not event.retracts and not event.final:
            self._may_go(
                self.beside | (self.attempt or set()) | {*self.altered}
            )  # nothing was said, and yet an update came
            return
        if heard or event.retracts:
            if self.turn_over:
                self.turn_over, self.final_heard, self.end_in_context = False, False, False
                self.turn += bool(words(event.text))  # what is only taken back asks for nothing and confirms nothing
            self._throw_away()
            self.speech_at, self.commit_at, self.final_heard = self.at, 0, False
        self.final_heard |= event.final
        self.ends += event.final
        if event.final:
            self.attempt, self.provisional = None, False
            self.beside.clear()
            self.altered.clear()
        self.said.update(words(event.text))
        del self.heard[len(self.heard) - min(max(event.retracts, 0), len(self.heard)) :]
        self.heard += heard

    def _throw_away(self) -> None:
        """Speech goes on: what an attempt on a predicted end has done was for nothing. Of a model that listens the
        calls stand."""
        if self.predicted and not self.settings.listens:
            if self.thrown is None:
                self.thrown, self.then, self.ends_then = set(), self.stood, self.ends
            self.thrown |= self.attempt or set()  # the one before has not left the context yet, and both will at once
        if self.settings.listens:
            self.beside.clear()
        elif self.attempt is not None:
            if self.on_prediction:
                self.stop_by = self.generation
            altered = {
                id for id, was in self.altered.items() if was != meaning(self.calls[id].spec, self.calls[id].args)
            }
            for call in [self.calls[id] for id in self.attempt | altered]:
                for one in (call, *self.calls.below(call)):
                    if not one.removed and not one.frozen:
                        self._void(one)
                        one.removed = True
        else:
            self._may_go(self.altered)
        self._may_go(self.beside)
        self.attempt, self.provisional, self.predicted = None, False, False
        self.beside.clear()
        self.altered.clear()

    def _may_go(self, ids: Iterable[int]) -> None:
        for call in [self.calls[id] for id in ids]:
            for one in (call, *self.calls.below(call)):
                one.perhaps_gone |= not one.frozen

    def _of(self, id: int, version: int, *statuses: str) -> Told | None:
        call = self.calls.get(id)
        good = (
            call is not None and call.valid and not call.removed and call.version == version and call.status in statuses
        )
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

    def _written(self, items: tuple[Item, ...], refused: bool, error: str) -> None:
        lines = [item for item in items if isinstance(item, CallLine | AmendLine | RemoveLine | CommitLine)]
        for n, line in enumerate(lines, 1):
            if refused and n == len(lines):
                if isinstance(line, CommitLine):
                    self._refused_commit(line, error)
                continue
            match line:
                case CallLine():
                    self._line(line)
                case AmendLine():
                    self._amend(line)
                case RemoveLine(id):
                    self._remove(id)
                case CommitLine():
                    self._commit_line(line)
        for item in items:
            if isinstance(item, ActionEnded):
                self.generation = None
                if refused:
                    continue
                if item.kind == "answer":
                    self.answer, self.answer_at = item.text, self.began_at
                    self.answer_on_silence = not self.began_final and not self.on_prediction and self.may_commit
                self._commit_at_end(item)

    def _commit_at_end(self, item: ActionEnded) -> None:
        standing = list(self.calls.standing())
        if self.settings.commit == "paper":
            if item.kind != "tool_call" and (
                self.final_heard or self.settings.commit_on == "silence" and self.silence_in_context
            ):
                self._commit(standing)
        elif self.settings.commit == "line" and item.kind != "answer":
            for call in standing:
                call.near = ("commit_by_pause", self.at)
        elif (
            self.settings.commit == "action"
            and item.kind != "answer"
            and not (self.began_final or self.began_predicted)
        ):
            for call in standing:
                call.near = ("commit_too_early", self.at)
        elif self._commit_counts(standing):
            if self.calls.open(standing) and not self.on_prediction:
                self.count("open_call_unnamed")
            self._commit(standing)

    def _commit_counts(self, calls: list[Told]) -> bool:
        if self.may_commit and self.speech_at <= self.began_at:
            return True
        for call in calls:
            call.near = ("commit_too_early", self.at)
        return False

    def _commit(self, calls: Iterable[Told]) -> None:
        if not self.commit_at:
            self.grace_ends_ns = self.now_ns + self.settings.commit_grace_ns
        self.commit_at = self.at
        self.provisional |= self.on_prediction and not self.final_heard
        for call in calls:
            call.commit_at = self.at

    def _commit_line(self, line: CommitLine) -> None:
        if self.settings.commit != "line":
            return None  # says nothing there
        if any(id not in self.calls or self.calls[id].removed and not self.calls[id].perhaps_gone for id in line.ids):
            return self.count("bad_line_accepted")
        covered = self._named_by(line)
        if self._commit_counts(covered):
            if self.calls.open(covered):
                self.count("open_call_unnamed")
            self._commit(covered)
            for call in self.calls.standing():
                if call.commit_at != self.at:
                    call.near = ("commit_not_named", self.at)
        return None

    def _named_by(self, line: CommitLine) -> list[Told]:
        """The calls that a COMMIT line is for: those that it names and what they need, or all."""
        if not line.ids:
            return list(self.calls.standing())
        return list({one.id: one for id in line.ids for one in self.calls.chain(self.calls[id])}.values())

    def _refused_commit(self, line: CommitLine, error: str) -> None:
        if (
            self.settings.commit != "line"
            or not self.may_commit
            or self.speech_at > self.began_at
            or self.finished
            or not error
        ):
            return
        if all(id in self.calls and not (self.calls[id].removed or self.calls[id].perhaps_gone) for id in line.ids):
            open_calls = self.calls.open(self._named_by(line))
            if open_calls and not any(all(name in error for name in call.missing) for call in open_calls):
                self.count("open_call_unnamed")

    def _line(self, line: CallLine) -> None:
        old, spec = self.calls.get(line.id), self.tools.get(line.name)
        if spec is None or (line.id != self.highest + 1 if old is None else old.removed and not old.perhaps_gone):
            return self.count("bad_line_accepted")
        try:
            args = bind(spec, line.positional, line.keyword, partial=self.settings.revise == "amend")
        except ValueError:
            return self.count("bad_line_accepted")
        needs = self._needs(line.id, args)
        if needs is None:
            return None
        self.ordered_in.setdefault(spec.name, self.turn)
        self.lines += 1
        if self.settings.calls_per_action is not None and self.lines > self.settings.calls_per_action:
            self.count("too_many_lines")
        if old is None:
            self.highest = line.id
            self.calls[line.id] = old = Told(line.id, spec, args, self.at, self.context_holds_data, changed_at=self.at)
            self.calls.name(old, needs)
            old.skipped_at_line = self.calls.is_skipped(old)
            if self.attempt is not None:
                self.attempt.add(line.id)
            elif self.predicted:
                self.beside.add(line.id)
            if self.settings.commit == "paper" and self.final_heard:
                self._commit(self.calls.standing())
            return self._streamed(old)
        return self._rewritten(old, spec, args, needs)

    def _amend(self, line: AmendLine) -> None:
        old = self.calls.get(line.id)
        if (
            old is None
            or old.removed
            and not old.perhaps_gone
            or line.name not in (param.name for param in old.spec.params)
        ):
            return self.count("bad_line_accepted")
        value = line.value
        if line.append:
            before = old.args.get(line.name)
            if before is not None and not isinstance(before, str | Ref | Join):
                return self.count("bad_line_accepted")
            value = value if before is None else added(before, value)
        args = {**old.args, line.name: value}
        needs = self._needs(line.id, args)
        return None if needs is None else self._rewritten(old, old.spec, args, needs)

    def _needs(self, id: int, args: Mapping[str, Any]) -> frozenset[int] | None:
        """What the arguments are computed from; None, and counted, if they may not be."""
        needs = frozenset(refs(list(args.values())))
        if any(
            need not in self.calls or self.calls[need].removed and not self.calls[need].perhaps_gone for need in needs
        ):
            self.count("bad_line_accepted")
            return None
        if any(one.id == id for need in needs for one in self.calls.chain(self.calls[need])):
            self.count("ring_accepted")
            return None
        return needs

    def _streamed(self, call: Told) -> None:
        """Where nothing can revise a line any more it may run as soon as it is written: it is its own commit."""
        settings = self.settings
        if settings.runs_lines and settings.commit == "action" and not settings.commit_grace_ns:
            if (self.began_final or self.on_prediction) and self.may_commit and self.speech_at <= self.began_at:
                self._commit(self.calls.chain(call))

    def _rewritten(self, old: Told, spec: ToolSpec, args: Mapping[str, Any], needs: frozenset[int]) -> None:
        self._same_or_another(old, spec, args, needs)
        old.skipped_at_line = self.calls.is_skipped(old)

    def _same_or_another(self, old: Told, spec: ToolSpec, args: Mapping[str, Any], needs: frozenset[int]) -> None:
        if old.spec is spec and meaning(spec, old.args) == meaning(spec, args):
            again = spec.access != "write" and (old.status == "failed" or self.calls.is_skipped(old))
            if again or old.status == "waiting" and old.trouble_at > old.line_at:  # a write too, if it was but skipped
                old.line_at, old.context_at_line = self.at, self.context_holds_data
                if old.status == "failed":
                    old.status, old.valid, old.changed_at = "waiting", False, self.at
            return self._streamed(old)
        if old.frozen or any(other.frozen for other in self.calls.below(old)):
            return self.count("frozen_changed")
        if self.predicted and old.id not in self.beside | (self.attempt or set()):
            self.altered.setdefault(old.id, meaning(old.spec, old.args))
        self._void(old)
        old.spec, old.args, old.context_at_line = spec, args, self.context_holds_data
        self.calls.name(old, needs)
        old.line_at = old.changed_at = old.again_at = self.at
        old.perhaps_gone = False
        return self._streamed(old)

    def _remove(self, id: int) -> None:
        call = self.calls.get(id)
        if call is None:
            return self.count("bad_line_accepted")
        if call.removed:
            return None
        if call.frozen or any(other.frozen for other in self.calls.below(call)):
            return self.count("frozen_changed")
        return self._withdraw(call)

    def _withdraw(self, call: Told) -> None:
        below = self.calls.below(call)
        self._void(call)
        for one in (call, *below):
            one.removed = True

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
                self.thrown = None  # the context goes on from where it is: what was thrown away stays in it
                for segment in segments:
                    self._shown(segment)
                for id, error in self.errors.items():  # the last of each call, for those before may be of what it was
                    self._says_what_is_there(self.calls[id], error)
                self.errors.clear()
                self.told_at = self.at
            case Forget(turns, results):
                if self.appending:
                    self.count("overlap")
                self.appending = True
                if (
                    self.thrown is not None and (turns, results) == self.left_out
                ):  # nothing made room: an attempt has left it
                    self.highest = min(self.thrown, default=self.highest + 1) - 1
                    self.calls.forget(self.thrown)
                    read, self.context_holds_data, ends = self.then
                    self.read = list(read)
                    self.ends += ends - self.ends_then
                    if self.predicted_then:
                        self.stood = (list(read), self.context_holds_data, self.stood[2] + ends - self.ends_then)
                    self.ever_left = True
                self.thrown, self.left_out = None, (turns, results)
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
        self.thrown = None  # as with an append
        settings = self.settings
        silent = settings.commit_on == "silence" and self.silence_in_context
        ready = self.final_in_context or silent
        self.began_predicted = self.predicted
        self.on_prediction = self.predicted and not ready
        if not settings.listens and not self.final_in_context and not self.predicted:
            self.count("wrote_too_early")
        if self.on_prediction and self.attempt is None:
            self.attempt = set()
        self.may_commit = (ready or self.on_prediction) and self.heard == self.read
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
                del self.read[len(self.read) - min(retracts, len(self.read)) :]
                self.read += text.split()
                if text.split() or retracts:
                    self.end_in_context = self.silence_in_context = False
                if segment.kind == "final_query_update":
                    self.end_in_context = True
                    self.ends -= 1
                    if self.ends < 0:
                        self.count("end_untrue")
            case "silence":
                self._silence(segment.text)
            case "cancel":
                for id in map(int, re.findall(r"\d+", segment.text)):
                    call = self.calls.get(id)
                    if call is None or not (
                        call.shown or call.error_shown or call.must_cancel or call.removed or call.perhaps_gone
                    ):
                        self.count("false_cancel")
                    if call is not None:
                        call.shown = call.must_cancel = False
            case "tool_result" | "tool_error":
                self.context_holds_data = True
                self._told(segment)

    def _silence(self, text: str) -> None:
        seconds = float(text) if re.fullmatch(r"\d+(\.\d+)?", text) else -1.0
        self.silence_in_context = True  # words said since come after it
        for told in self.silences:
            if abs(told - seconds) < 0.06:
                return self.silences.remove(told)
        return self.count("silence_untrue")

    def _told(self, segment: Segment) -> None:
        found = _SHOWN.fullmatch(segment.text)
        call = self.calls.get(int(found[1])) if found else None
        if call is None or found is None:
            return self.count("void_result_shown")
        if segment.kind == "tool_error":
            call.error_shown = True
            self.errors[call.id] = found[3]
            return None
        shown = int(found[2] or 1)
        if self.ever_left and not call.before:
            call.before = max(0, call.version - shown)
        if call.removed or not call.valid or call.status != "done" or call.version - call.before != shown:
            return self.count("void_result_shown")
        call.shown = True
        try:
            told = json.loads(found[3])
        except ValueError:
            return None  # shown in part
        if normal(told) != normal(call.value):
            self.count("wrong_result_shown")
        return None

    def _says_what_is_there(self, call: Told, error: str) -> None:
        if call.valid or call.removed or self.calls.is_skipped(call) or "skipped: " in error:
            return  # skipped before what it names answered late
        if any(one.again_at > self.told_at for one in self.calls.chain(call)):
            return  # of what it, or what it names, was before its last line
        try:
            resolved(list(call.args.values()), self.calls)
        except NoPart as none:
            there = none.args[0]
            shown = (
                [str(name) for name in there]
                if isinstance(there, dict)
                else [str(len(there))]
                if isinstance(there, list)
                else []
            )
            if shown and not any(name in error for name in shown):
                self.count("part_unnamed")
        except LookupError:
            pass

    def _emit(self, text: str) -> None:
        if self.answer is None or text != self.answer:
            self.count("answer_unwritten")
        else:
            if self.answer_at < self.failure_at:
                self.count("answer_after_failure")
            if self.answer_at < self.speech_at:
                self.count("answer_after_speech")
            elif not self.final_heard and not self.answer_on_silence:
                self.count("answer_too_early")
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
        call.version, call.status, call.valid, call.started_at, call.perhaps_gone = (
            start.version,
            "running",
            True,
            self.at,
            False,
        )
        if call.spec.access == "write":
            self._stale(call)
        return None

    def _stale(self, call: Told) -> None:
        """Reads that ran before this effect, and come after it in order, are of a world that is gone."""
        for read in self.calls.standing():
            ran = read.version and read.started_at >= changed_at(
                self, read
            )  # as it stands; what has not can't be stale
            stale = ran and read.spec.access != "write" and call.spec.writes & read.spec.reads
            if stale and self.calls.precedes(call, read) and not any(other.frozen for other in self.calls.below(read)):
                read.changed_at = self.at + 0.5  # an effect made it stale: after this commit, if this step holds one

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
