"""Whether what a model wrote is what the expert would have written in the same state, and if not, what is wrong with
it.

Owns the comparison and the kinds of disagreement. Two actions agree where they leave the same calls, let the same ones
go and give the same answer: thoughts, spelling of values, numbering of calls and the order of lines do not count. Both
are passed to the core, which is pure, so this has no effects. Does not know who the model is and what becomes of the
verdict.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from midsentence.core import reducer
from midsentence.core.calls import Call, CallState
from midsentence.core.events import Emit, ModelOutput, Note
from midsentence.core.lines import AmendLine, CallLine, CommitLine
from midsentence.core.parser import ActionEnded, AnswerOpened, Item, Parser, feed
from midsentence.core.reducer import State
from midsentence.tools.tool import bind

KINDS: Mapping[str, str] = {
    "refused": "not legal: it can't be parsed, or the core refuses it",
    "early_answer": "an answer where something is still to be done or heard",
    "early_commit": "a COMMIT where nothing may go yet",
    "repeated": "a call that stands already",
    "early_call": "lines where the expert waits",
    "wrong_value": "the right tool with another argument",
    "unwanted": "a call of a tool that is not wanted",
    "late": "a pause where lines are due",
    "missing": "some of the lines that are due",
    "uncorrected": "a call left standing that is not wanted",
    "useless_pause": "a pause where a commit or the answer is due",
    "wrong_answer": "another answer",
    "other": "none of these",
}
"""Kinds of disagreement, in the order in which they are tried, and what each is."""

_REFERENCE = re.compile(r"\$(\d+)")


@dataclass(frozen=True, slots=True)
class _Action:
    """What an action leaves behind, were it put to the core."""

    head: str
    """``tool_call``, ``pause``, ``answer``, or empty where it was cut before it came to any."""
    ended: bool
    """Whether it is whole; else it was cut."""
    items: tuple[Item, ...]
    refused: bool
    again: bool
    """Whether a line of its asks for what stands, word for word."""
    calls: Counter[str]
    """The calls that stand, each with what it is computed from in place of its references."""
    released: Counter[str]
    """Those of them that a commit covers or that have taken effect."""
    answer: str


def disagreement(state: State, wrote: str, plan: str) -> str:
    """The kind of disagreement, one of `KINDS`; empty where there is none.

    Args:
        state: the session's when the generation began.
        wrote: what the model wrote, up to a cut if there was one. What was cut before it did anything disagrees with
            nothing.
        plan: the expert's whole action in that state.
    """
    if wrote == plan:
        return ""
    mine, theirs = _put(state, wrote), _put(state, plan)
    if mine.refused:
        return "refused"
    if not mine.ended and (plan.startswith(wrote) or not mine.head or _begins(state, mine, theirs)):
        return ""
    if mine.again:
        return "repeated"
    same = (mine.calls, mine.released, mine.answer) == (theirs.calls, theirs.released, theirs.answer)
    return "" if mine.ended and same else _kind(_standing(state), mine, theirs)


def _kind(before: Counter[str], mine: _Action, theirs: _Action) -> str:
    """What is wrong with an action that leaves something else than the expert's, after the calls that stood
    ``before``."""
    extra, lacking = mine.calls - theirs.calls, theirs.calls - mine.calls
    new = extra - before
    commits = any(isinstance(item, CommitLine) for item in mine.items)
    if mine.head == "answer" and theirs.head != "answer":
        return "early_answer"
    if commits and theirs.head != "answer" and mine.released - theirs.released:
        return "early_commit"
    if any(before[text] for text in extra & (mine.calls - before)):
        return "repeated"
    if new and theirs.head == "pause":
        return "early_call"
    if new:
        due = {_tool(text) for text in lacking}
        return "wrong_value" if all(_tool(text) in due for text in new) else "unwanted"
    if lacking:
        return "late" if mine.head == "pause" else "missing"
    if mine.head == "pause" and theirs.head in ("answer", "tool_call"):
        return "uncorrected" if extra else "useless_pause"
    if extra:
        return "uncorrected"
    if mine.head == theirs.head == "answer":
        return "wrong_answer"
    return "other"


def _put(state: State, text: str) -> _Action:
    parser, items = feed(Parser(), text)
    after, commands = reducer.step(state, ModelOutput(state.now_ns, state.generation, text, ()))
    notes = {command.what for command in commands if isinstance(command, Note)}
    said = next((command.text for command in commands if isinstance(command, Emit)), after.answer)
    released = Counter(
        _whole(call, after)
        for call in after.graph.calls.values()
        if call.state is not CallState.CANCELLED and (call.frozen or after.commits.covers(call))
    )
    return _Action(
        _head(parser, items),
        bool(items) and isinstance(items[-1], ActionEnded),
        items,
        "invalid_action" in notes,
        "identical_reissue" in notes,
        _standing(after),
        released,
        re.sub(r"\W+", " ", said or "").strip().casefold(),
    )


def _head(parser: Parser, items: tuple[Item, ...]) -> str:
    if items and isinstance(items[-1], ActionEnded):
        return items[-1].kind
    if any(isinstance(item, AnswerOpened) for item in items):
        return "answer"
    return "tool_call" if items or parser.where == "tool_call" else ""


def _begins(state: State, mine: _Action, theirs: _Action) -> bool:
    """Whether a cut action did what the expert's begins with."""
    if mine.head != theirs.head:
        return False
    return [_plain(state, item) for item in mine.items] == [
        _plain(state, item) for item in theirs.items[: len(mine.items)]
    ]


def _plain(state: State, item: Item) -> object:
    """A line without its spelling."""
    if isinstance(item, CallLine) and (spec := state.tools.get(item.name)) is not None:
        return item.id, Call(item.id, spec, bind(spec, item.positional, item.keyword, partial=True)).text
    return (item.id, item.name, item.append, repr(item.value)) if isinstance(item, AmendLine) else item


def _standing(state: State) -> Counter[str]:
    return Counter(_whole(call, state) for call in state.graph.calls.values() if call.state is not CallState.CANCELLED)


def _whole(call: Call, state: State) -> str:
    """A call's text with the calls that it names in place of their numbers."""
    if not call.needs:
        return call.text

    def inner(found: re.Match[str]) -> str:
        id = int(found[1])
        return f"[{_whole(state.graph[id], state)}]" if id in call.needs and id in state.graph else found[0]

    return _REFERENCE.sub(inner, call.text)


def _tool(text: str) -> str:
    return text.partition("(")[0]
