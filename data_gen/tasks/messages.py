"""Chat rows with ``messages`` and ``tools``, as TRL, Unsloth, Axolotl and the OpenAI SDK have them, as rows with turns
of our own.

Owns the reading of such a row: who said what in which turn, which calls were made and what the tools answered. The
tools' answers become the world's (`data_gen.tasks.recorded`). Does not know how values are found in words, and what a
task is; what can't be used is a `BadTask` whose text begins with the kind of reason, then a colon, so that reasons can
be counted.

A turn is what the user says up to the assistant's next words, with all calls up to the user's next ones. A system
message is left
out: the prompt is the protocol's own. A call that failed in the record is left out where a later one in the same turn
mended it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from data_gen.gold import read_value, references
from data_gen.task import BadTask, Reference

MOST_WORDS = 400
"""Words of a turn; a longer one is a text to read, not something said."""
_USER, _AGENT, _TOOL, _SYSTEM = (
    frozenset({"user", "human"}),
    frozenset({"assistant", "gpt"}),
    frozenset({"tool", "function"}),
    frozenset({"system", "developer"}),
)
_ERROR = re.compile(r"^\W*(error|exception|traceback|failed)\b", re.IGNORECASE)


@dataclass(slots=True)
class Made:
    """A call of the record."""

    name: str
    """The tool's."""
    args: Mapping[str, Any]
    """As they were given."""
    id: str
    """By which the tool's answer names it; empty for none."""
    result: Any = None
    """What the tool answered."""
    answered: bool = False
    """Whether it did."""

    @property
    def failed(self) -> bool:
        """Whether the record says that it did nothing."""
        if isinstance(self.result, Mapping):
            return bool(self.result.get("error")) or self.result.get("status") in ("error", "failed")
        return isinstance(self.result, str) and _ERROR.match(self.result) is not None


@dataclass(slots=True)
class Said:
    """A turn of the record."""

    words: list[str]
    """What the user says."""
    calls: list[Made] = field(default_factory=list)
    """What the assistant calls for it, in order."""
    answer: str = ""
    """The assistant's last words in it."""


def row_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """A chat row in our own format.

    Raises:
        BadTask: it can't be used.
    """
    listed = _json(row.get("tools") or row.get("functions") or [], "tools")
    if not listed:
        raise BadTask("no tools: the row has no field tools, so nobody can say what its calls mean")
    turns, system = read(_json(row["messages"], "messages"))
    most = sum(len(turn.calls) for turn in turns)
    calls: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    fields: list[dict[str, Any]] = []
    words: list[str] = []
    for n, turn in enumerate(turns, start=1):
        words += turn.words
        fresh = [call for call in _mended(turn, n) if not _repeats(call, results)]
        first = len(results)
        for call in fresh:
            args = {
                name: [_linked(value, results, first, turn.words, n, call, most)] for name, value in call.args.items()
            }
            calls.append({"name": call.name, "args": args})
            results.append({"name": call.name, "args": dict(call.args), "result": call.result})
        made: dict[str, Any] = {"words": len(words), "calls": len(calls)}
        if not fresh:
            made |= {"says": turn.answer} if turn.answer else {}
            made |= {"asks": "any"} if turn.answer.rstrip().endswith("?") else {}
        fields.append(made)
    if not calls:
        raise BadTask("no calls: no tool is called in it, so there is nothing to learn about tools")
    text = json.dumps(row["messages"], sort_keys=True, ensure_ascii=False, default=str)
    id = f"messages-{row['id'] if 'id' in row else hashlib.sha256(text.encode()).hexdigest()[:12]}"
    tags = ["messages", *(["system_prompt"] if system else [])]
    made = {
        "id": id,
        "request": " ".join(words),
        "calls": calls,
        "turns": fields,
        "tools": listed,
        "results": results,
        "tags": tags,
    }
    return made | ({"split": row["split"]} if row.get("split") else {})


def read(messages: Any) -> tuple[list[Said], bool]:
    """The turns of a record, and whether there is a system message.

    Raises:
        BadTask: it can't be used.
    """
    if not isinstance(messages, list) or not messages:
        raise BadTask("no messages: the field is no list of messages, or an empty one")
    turns: list[Said] = []
    system = False
    for n, message in enumerate(messages, start=1):
        if not isinstance(message, Mapping):
            raise BadTask(f"no message: message {n} is {json.dumps(message, default=str)[:60]}")
        role = message.get("role", message.get("from"))
        if role in _SYSTEM:
            system = True
        elif role in _USER:
            said = _text(message, n).split()
            if turns and not turns[-1].calls and not turns[-1].answer:
                turns[-1].words += said
            else:
                turns.append(Said(said))
        elif role in _AGENT:
            if not turns:
                continue  # a greeting
            turns[-1].calls += _calls(message, n)
            turns[-1].answer = _text(message, n) or turns[-1].answer
        elif role in _TOOL:
            _take(turns, message, n)
        else:
            raise BadTask(f"unknown role: message {n} is of role {role!r}")
    if turns and not turns[-1].calls and not turns[-1].answer:
        turns.pop()  # nobody answered it
    if not turns:
        raise BadTask("no turn: no message of a user is answered")
    for n, turn in enumerate(turns, start=1):
        if not turn.words:
            raise BadTask(f"empty turn: the user says nothing in turn {n}")
        if len(turn.words) > MOST_WORDS:
            raise BadTask(f"too long to be said: turn {n} has {len(turn.words)} words, more than {MOST_WORDS}")
    return turns, system


def _text(message: Mapping[str, Any], n: int) -> str:
    content = message.get("content", message.get("value"))
    if isinstance(content, list):
        other = next(
            (
                part
                for part in content
                if not isinstance(part, Mapping) or part.get("type") not in ("text", "input_text")
            ),
            None,
        )
        if other is not None:
            raise BadTask(f"not text: message {n} has a part {json.dumps(other, default=str)[:60]}")
        content = " ".join(part.get("text", "") for part in content)
    if content is not None and not isinstance(content, str):
        raise BadTask(f"not text: message {n} has content of type {type(content).__name__}")
    return (content or "").strip()


def _calls(message: Mapping[str, Any], n: int) -> list[Made]:
    found = []
    listed = _json(
        message.get("tool_calls") or ([message["function_call"]] if message.get("function_call") else []), "tool_calls"
    )
    for call in listed:
        form = call.get("function", call) if isinstance(call, Mapping) else {}
        if not isinstance(form, Mapping) or not isinstance(form.get("name"), str):
            raise BadTask(f"no call: message {n} has a tool call {json.dumps(call, default=str)[:60]}")
        args = _json(form.get("arguments") or {}, f"arguments of {form['name']}")
        if not isinstance(args, Mapping):
            raise BadTask(
                f"no arguments: {form['name']} in message {n} is called with {json.dumps(args, default=str)[:60]}"
            )
        # what a data set's table fills in for fields that this call has not
        args = {name: value for name, value in args.items() if value is not None}
        found.append(Made(form["name"], args, str(call.get("id") or "")))
    return found


def _take(turns: Sequence[Said], message: Mapping[str, Any], n: int) -> None:
    """Gives a tool's answer to the call that it is of: by its id, else the first that has none."""
    waiting = [call for call in turns[-1].calls if not call.answered] if turns else []
    id, name = str(message.get("tool_call_id") or ""), message.get("name")
    call = next((call for call in waiting if id and call.id == id), None)
    call = call or next((call for call in waiting if not (id and call.id) and name in (None, call.name)), None)
    if call is None:
        raise BadTask(f"result of no call: message {n} answers {id or name or 'a call'}, and no such call waits")
    text = _text(message, n)
    try:
        call.result = json.loads(text)
    except ValueError:
        call.result = text
    call.answered = True


def _mended(turn: Said, n: int) -> list[Made]:
    """The calls of a turn that stand: all were answered, and those that failed were made again in another way."""
    if silent := next((call for call in turn.calls if not call.answered), None):
        raise BadTask(f"no result: {silent.name} in turn {n} is never answered, so what it returns is not known")
    good = [call for call in turn.calls if not call.failed]
    for place, call in enumerate(turn.calls):
        if call.failed and not any(other.name == call.name and not other.failed for other in turn.calls[place + 1 :]):
            raise BadTask(f"tool error: {call.name} in turn {n} fails, and no later call of the turn mends it")
    return good


def _repeats(call: Made, results: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the same was called before, with the same result: it is there already."""
    same = [entry for entry in results if entry["name"] == call.name and entry["args"] == call.args]
    if same and same[-1]["result"] != call.result:
        raise BadTask(
            f"same call, other result: {call.name} is called again with the same arguments and returns something else"
        )
    return bool(same)


def _linked(
    value: Any, results: Sequence[Mapping[str, Any]], first: int, words: Sequence[str], n: int, call: Made, most: int
) -> Any:
    """A value as rows write it: with a `Reference` where it is, or lists, the result of an earlier call, unless the
    turn's own words say it.

    Args:
        value: of the record.
        results: what the earlier calls returned.
        first: how many of those are of earlier turns.
        words: of the turn.
        n: the turn, from 1.
        call: whose argument it is.
        most: how many calls the row may have, so that the value's own text can't be read as a result of one.

    Raises:
        BadTask: it is only a part of a result of the same turn, which has to be known before the call can be written;
            or its own text would be read as a result.
    """
    if isinstance(value, list):
        return [_linked(item, results, first, words, n, call, most) for item in value]
    if references(read_value(value, most)):
        raise BadTask(
            f"a dollar sign: {call.name} in turn {n} takes {str(value)[:20]!r}, which would be read as another call's result"
        )
    if isinstance(value, Mapping):
        return value
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if isinstance(value, bool) or value is None or text.casefold() in " ".join(words).casefold():
        return value
    if isinstance(value, str) and len(value) > 2:
        for k in range(len(results), 0, -1):
            if results[k - 1]["result"] == value:
                return str(Reference(k))
    if len(text) > 2 and any(text in json.dumps(entry["result"], ensure_ascii=False) for entry in results[first:]):
        raise BadTask(
            f"part of a result: {call.name} in turn {n} takes {text[:40]!r} from within what another call of the turn returns"
        )
    return value


def _json(value: Any, what: str) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise BadTask(f"no JSON: {what} is a text that is no JSON ({error})") from None
