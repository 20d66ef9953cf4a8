"""What the expert tells the user when all is done: one sentence that names what was done and found, and what could not
be.

Owns its wording, made from the calls and from those of their results that the model has been shown. Does not know what
was asked for, and which answers a task accepts.

    I texted Bob Stone "dinner is at seven", and the weather for Lima is celsius 12.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from data_gen.grounding.atoms import CAMEL
from midsentence.core.calls import Call, CallState
from midsentence.core.values import Join, Ref, as_text

Answers = Literal["short", "sentence"]
"""``short``: "Done."; ``sentence``: what was done or found, as one would tell it. An answer that
must be an accepted one and nothing else is that in both."""

SHORT = "Done."
_MOST_WORDS = 12
"""Words of a value that are told; a longer one is broken off."""
_MOST_ARGS = 2
_PHRASES: Mapping[str, str] = {
    "send_sms": 'text {recipients} "{message}"',
    "compose_new_email": "email {recipients}",
    "reply_to_email": "reply to the email",
    "forward_email": "forward the email to {recipients}",
    "create_calendar_event": "create the event {title}",
    "create_reminder": "set the reminder {name}",
    "create_note": "write the note {name}",
    "open_note": "open the note {name}",
    "append_note_content": 'add "{content}" to the note {name}',
    "open_and_get_file_path": "open {file_name}",
    "maps_open_location": "show {location} on the map",
    "maps_show_directions": "show the way to {end_location}",
    "get_zoom_meeting_link": "set up the Zoom meeting {topic}",
}
"""Tools whose calls are told in words of their own: a verb, and what it was done to."""
_NOUNS = {
    "summarize_pdf": "summary",
    "open_note": "content",
    "maps_show_directions": "way",
    "open_and_get_file_path": "file",
}
"""What some tools give whose names don't say it."""
_VERBS = frozenset(
    "add adjust analyze append apply assign backup book borrow build buy cancel change clear close compose control convert copy "
    "create deliver delete design download draw edit export fill forward generate hire install join lock make modify move open "
    "order pay place plan play post purchase put record redo register remove rename rent reply reserve reset run save schedule "
    "sell send set share show start stop subscribe submit switch text toggle transfer turn update upload withdraw write".split()
)
_LOOKS_UP = frozenset(
    "get find calculate calc compute search fetch check lookup look retrieve show track query list view read solve estimate determine "
    "identify".split()
)
"""Verbs of looking up, which say nothing of what was found."""
_PAST = {
    "build": "built",
    "buy": "bought",
    "cancel": "cancelled",
    "draw": "drew",
    "make": "made",
    "pay": "paid",
    "plan": "planned",
    "put": "put",
    "redo": "redid",
    "reset": "reset",
    "run": "ran",
    "sell": "sold",
    "send": "sent",
    "set": "set",
    "stop": "stopped",
    "submit": "submitted",
    "transfer": "transferred",
    "withdraw": "withdrew",
    "write": "wrote",
}


def sentence(calls: Sequence[Call], graph: Mapping[int, Call], failed: Call | None = None) -> str:
    """One sentence on calls that were made for the user's own sake.

    Args:
        calls: what was done or looked up, in the order in which it is told.
        graph: all calls by ID; what a call takes from another is named by what that one was asked.
        failed: what could not be done, if anything.
    """
    done = [_past(_phrase(call, graph)) for call in calls if call.spec.access == "write"]
    parts = [f"I {_listed(done)}"] if done else []
    parts += [_listed(found)] if (found := _found(calls, graph)) else []
    text = ", and ".join(parts)
    if failed is not None:
        text += f"{', but ' if text else ''}I could not {_phrase(failed, graph)}"
    text = re.sub(r"[<>\s]+", " ", text).strip()
    return f"{text[0].upper()}{text[1:]}." if text else SHORT


def told(ids: Iterable[int], graph: Mapping[int, Call]) -> list[Call]:
    """Those of the calls that are done or under way and whose results no other of them takes."""
    calls = [graph[id] for id in dict.fromkeys(ids)]
    taken = {id for call in calls for id in call.needs}
    return [
        call
        for call in calls
        if call.id not in taken and call.state not in (CallState.FAILED, CallState.SKIPPED, CallState.UNKNOWN)
    ]


def _found(calls: Sequence[Call], graph: Mapping[int, Call]) -> list[str]:
    """What was looked up, a clause each; several of one kind share their subject."""
    clauses: list[str] = []
    last = ""
    for call in calls:
        if call.spec.access == "write" or not (call.state is CallState.DONE and call.in_context):
            continue
        noun = _noun(call)
        about = f" for {args}" if (args := _args(call, graph)) else ""
        subject = about.strip() if noun == last and about else f"the {noun}{about} is"
        clauses.append(f"{subject} {_result(call.result)}")
        last = noun
    return clauses


def _phrase(call: Call, graph: Mapping[int, Call]) -> str:
    """What a call does, in the infinitive."""
    if (form := _PHRASES.get(call.spec.name)) is not None:
        return re.sub(r'("?)\{(\w+)\}"?', lambda found: _quoted(call.args.get(found[2], ""), found[1], graph), form)
    args = f" for {said}" if (said := _args(call, graph)) else ""
    if call.spec.access != "write":
        return f"find the {_noun(call)}{args}"
    words = _name(call)
    verb = next((word for word in words if word in _VERBS), "run")
    noun = " ".join(word for word in words if word != verb)
    return f"{verb} the {noun}{args}" if noun else f"{verb} {_object(call, graph) or 'it'}"


def _object(call: Call, graph: Mapping[int, Call]) -> str:
    """What a tool that is a verb alone was done to: the values that tell it apart, of another call's result what that
    one was asked."""
    asked = {
        name: _args(graph[value.call], graph, 1) if isinstance(value, Ref) and value.call in graph else value
        for name, value in call.args.items()
    }
    return _args(replace(call, args=asked), graph, 1)


def _past(phrase: str) -> str:
    verb, _, rest = phrase.partition(" ")
    if verb not in _PAST:
        regular = (
            f"{verb[:-1]}ied" if re.search("[^aeiou]y$", verb) else f"{verb}d" if verb.endswith("e") else f"{verb}ed"
        )
    return f"{_PAST.get(verb) or regular} {rest}"


def _noun(call: Call) -> str:
    """What a tool that looks up finds."""
    words = _name(call)
    return _NOUNS.get(call.spec.name) or " ".join(word for word in words if word not in _LOOKS_UP) or " ".join(words)


def _name(call: Call) -> list[str]:
    return list(dict.fromkeys(word for word in re.split(r"[\W_]+", CAMEL.sub(" ", call.spec.name).lower()) if word))


def _args(call: Call, graph: Mapping[int, Call], most: int = _MOST_ARGS) -> str:
    """What tells a call from others of its tool: the values in which they differ; the first, required ones first, if
    none do."""
    alike = [
        other
        for other in graph.values()
        if other.spec.name == call.spec.name and other.state is not CallState.CANCELLED
    ]
    params = sorted(call.spec.params, key=lambda param: not param.required)
    apart = [p for p in params if any(other.args.get(p.name) != call.args.get(p.name) for other in alike)]
    params, most = (apart, most) if apart else (params, 1)
    said = [
        _said(call.args[p.name], graph)
        for p in params
        if p.name in call.args and not isinstance(call.args[p.name], bool | dict)
    ]
    return ", ".join([text for text in said if text][:most])


def _quoted(value: Any, mark: str, graph: Mapping[int, Call]) -> str:
    """A value in words, the user's own text in quotation marks where the phrase has them."""
    return _said(value, graph) if isinstance(value, Ref) else f"{mark}{_said(value, graph)}{mark}"


def _said(value: Any, graph: Mapping[int, Call]) -> str:
    """A value in words; another call's result is named by what that call was asked."""
    match value:
        case Ref(id):
            return f"the {_noun(graph[id])} for {_args(graph[id], graph, 1)}" if id in graph else ""
        case Join(parts):
            return _short("".join(part if isinstance(part, str) else _said(part, graph) for part in parts))
        case list() | tuple():
            # whoever stands in a list was looked up by name
            return _listed(
                [
                    _args(graph[item.call], graph, 1)
                    if isinstance(item, Ref) and item.call in graph
                    else _said(item, graph)
                    for item in value[:_MOST_ARGS]
                ]
            )
    return _short(as_text(value))


def _result(value: Any) -> str:
    match value:
        case {"value": inner}:
            return _result(inner)
        case dict():
            return (
                _listed([f"{name} {_result(item)}" for name, item in value.items() if name != "status"][:_MOST_ARGS])
                or "there"
            )
        case list() | tuple():
            return _listed([_result(item) for item in value[:_MOST_ARGS]]) or "empty"
    return _short(as_text(value)).rstrip(".") or "empty"


def _short(text: str) -> str:
    words = text.replace('"', "'").split()
    return " ".join(words[:_MOST_WORDS]) + ("…" if len(words) > _MOST_WORDS else "")


def _listed(parts: Sequence[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), *parts[-1:]]) if len(parts) > 1 else "".join(parts)
