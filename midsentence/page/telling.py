"""Reports a session to its page: what happened, as small JSON objects, one event at a time.

Owns the vocabulary of what the page draws, and the latency of an answer as it counts it. Does not know connections and
pages. Times are seconds of the session's clock. Every object has ``kind``, ``at`` and ``turn``:

    heard     text, final, retracts: words of the user's, and how many of the last ones are taken back before them
    predicted the end of speech was predicted, and acted on
    span      the model begins to write; ``wrote``: part (think, tool_call, answer, pause, other), text; ``stopped``:
    ended (action, cut,
              error, closed)
    call      call, version, state, line, access, why, result: a call as it stands now; state ``gone``: its attempt was
    thrown away refused   text: what the model wrote was no action
    say       text, last, withdrawn: the next piece of an answer, see `midsentence.shells.answer_parts`
    answered  text, latency: the answer, and seconds from the last word heard to it
    hush      the user speaks into the answer that is being spoken
    over      outcome: the session has ended
"""

from __future__ import annotations

from typing import Any

from midsentence.clock import seconds
from midsentence.core.calls import TERMINAL, Call, CallState, call_line
from midsentence.core.events import (
    Append,
    Command,
    Emit,
    EndPredicted,
    Event,
    Finish,
    Generate,
    ModelOutput,
    Note,
    Stop,
    StopSpeaking,
    ToolError,
    UserUpdate,
)
from midsentence.core.parser import ActionEnded, Parser, feed
from midsentence.core.state import State
from midsentence.core.transcript import shortened
from midsentence.core.values import as_text
from midsentence.shells.answer_parts import AnswerParts

Told = dict[str, Any]
MOST_CHARS = 400
"""Of a result, an error or a call's line: the page shows what fits, the log has all of it."""
_PARTS = ("think", "tool_call", "answer")


def why(call: Call, state: State) -> str:
    """What a call that does not run is waiting for, in words; nothing for one that runs or is over."""
    if call.state is CallState.BLOCKED:
        if call.missing:
            return f"lacks {', '.join(call.missing)}"
        waits = sorted(id for id in call.needs if id in state.graph and state.graph[id].state not in TERMINAL)
        return f"waits for the result of {', '.join(map(str, waits))}" if waits else ""
    if call.state is CallState.HELD:
        if state.grace and state.commits.covers(call):
            return "committed; waits a moment for more words"
        return "held until it is committed" if state.final_heard else "held until you have finished and it is committed"
    return "waits for an earlier call" if call.state is CallState.READY else ""


class Teller:
    """Follows one session, event by event."""

    def __init__(self) -> None:
        self.last_word_ns = 0
        """When the last words were heard, or taken back."""
        self._answering = AnswerParts()
        self._parser: Parser | None = None
        self._unplaced = ""
        self._calls: dict[int, Told] = {}
        self._errors: dict[tuple[int, int], str] = {}

    def tell(self, event: Event, commands: tuple[Command, ...], state: State) -> list[Told]:
        """What is to be told of an event; ``state`` is the core's after it."""
        found: list[Told] = []
        noted = {command.what for command in commands if isinstance(command, Note)}
        match event:
            case UserUpdate(at_ns=at_ns, text=text, final=final, retracts=retracts):
                if text.strip() or retracts:
                    self.last_word_ns = at_ns
                found.append({"kind": "heard", "text": text, "final": final, "retracts": retracts})
            case EndPredicted() if "prediction_ignored" not in noted:
                found.append({"kind": "predicted"})
            case ModelOutput(text=text) if self._parser is not None and not noted & {"stale_output", "after_finish"}:
                found += self._wrote(text)
            case ToolError(call=call, version=version, message=message):
                self._errors[call, version] = message
        for command in commands:
            found += self._obeyed(command, noted, any(isinstance(other, Finish) for other in commands))
        found += self._moved(state)
        for part in self._answering.follow(state, commands):
            found.append({"kind": "say", "text": part.text, "last": part.last, "withdrawn": part.withdrawn})
        for command in commands:
            if isinstance(command, Emit):
                latency_s = seconds(event.at_ns - self.last_word_ns)
                found.append({"kind": "answered", "text": command.text, "latency": round(latency_s, 3)})
            elif isinstance(command, Finish):
                found.append({"kind": "over", "outcome": command.outcome})
        for told in found:
            told["at"], told["turn"] = round(seconds(event.at_ns), 3), state.turn
        return found

    def _wrote(self, text: str) -> list[Told]:
        """What the beginning of a tag belongs to shows only later: until then it waits."""
        assert self._parser is not None
        before = self._parser.where
        self._parser, items = feed(self._parser, text)
        text, self._unplaced = self._unplaced + text, ""
        part: str | None = next((where for where in (self._parser.where, before) if where in _PARTS), None)
        part = next((item.kind for item in items if isinstance(item, ActionEnded)), part)
        if part is None:
            self._unplaced = text
            return []
        return [{"kind": "wrote", "part": part, "text": text}]

    def _obeyed(self, command: Command, noted: set[Any], closes: bool) -> list[Told]:
        match command:
            case Generate():
                self._parser, self._unplaced = Parser(), ""
                return [{"kind": "span"}]
            case Stop() if self._parser is not None:
                ended = (
                    "error"
                    if "invalid_action" in noted
                    else "cut"
                    if "cut" in noted
                    else "closed"
                    if closes
                    else "action"
                )
                rest, self._parser = self._unplaced, None
                return [
                    *([{"kind": "wrote", "part": "other", "text": rest}] if rest else []),
                    {"kind": "stopped", "ended": ended},
                ]
            case Append(segments):
                return [
                    {"kind": "refused", "text": shortened(segment.text, MOST_CHARS)}
                    for segment in segments
                    if segment.kind == "error"
                ]
            case StopSpeaking():
                return [{"kind": "hush"}]
        return []

    def _moved(self, state: State) -> list[Told]:
        """Calls that are not as the page has them."""
        found = []
        for id, call in sorted(state.graph.calls.items()):
            told = self._call(call, state)
            if self._calls.get(id) != told:
                self._calls[id] = told
                found.append(dict(told))
        for id in sorted(set(self._calls) - set(state.graph.calls)):
            found.append({**self._calls.pop(id), "state": "gone"})
        return found

    def _call(self, call: Call, state: State) -> Told:
        result = ""
        if call.state is CallState.DONE:
            result = as_text(call.result)
        elif call.state in (CallState.FAILED, CallState.UNKNOWN):
            result = self._errors.get((call.id, call.version)) or self._refusal(call, state)
        return {
            "kind": "call",
            "call": call.id,
            "version": call.version,
            "state": str(call.state),
            "access": call.spec.access,
            "line": shortened(call_line(call.id, call.spec, call.args), MOST_CHARS),
            "why": why(call, state),
            "result": shortened(result, MOST_CHARS),
        }

    def _refusal(self, call: Call, state: State) -> str:
        """Why a call failed that no tool has run: what the model is about to be told of it."""
        key = call.id, call.version
        for pending in state.inbox:
            id, _, said = pending.segment.text.partition(": ")
            if pending.segment.kind == "tool_error" and id.partition("v")[0] == str(call.id):
                self._errors[key] = said
        return self._errors.get(key, "")
