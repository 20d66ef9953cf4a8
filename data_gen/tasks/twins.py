"""Counterfactual twins: requests that share a beginning and then want something else.

Owns a twin with the same words up to n, another continuation and another gold (`twin`), and what a task may yet turn
out to be when some of its words have been heard (`known_by`, `others`): with other values, more calls, longer values,
or the words said that were heard. An agent that can't see the future writes the same in all of them until they part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from data_gen.dialogue.turns import counted, cut_turns
from data_gen.gold import spliced
from data_gen.grounding.derivation import Derivation, Edit, clauses, parts_of
from data_gen.grounding.heard import SOFT, as_heard, as_said, closes, content, cut_value, misheard, plain
from data_gen.grounding.reading import cut_off, spec_requires
from data_gen.task import Evidence, GoldArg, GoldCall, Spliced, Task, Word

_TAKE_BACK = "no wait scratch all that"
_PAUSE_NS = 250_000_000
UNKNOWN = "something that has not been said"


def known_by(task: Task, heard: int) -> Task:
    """The task with all that comes after ``heard`` words removed, or, in gold, moved out of reach.

    It is also the request of a speaker who says no more than that.
    """
    if heard >= len(task.words):
        return task
    words = task.words[: max(1, heard)]
    if task.reading is not None:
        reading = Derivation(_edits(task.reading.edits, task.said(heard), None), task.reading.asks)
        return replace(task, words=words, gold=(), reading=reading, answer=(), turns=cut_turns(task, heard))
    gold = _unseen(task, heard, len(task.words))
    return replace(
        task, words=words, gold=gold, answer=(), turns=counted(cut_turns(task, heard), len(words), len(gold))
    )


def others(task: Task, heard: Sequence[str], final: bool) -> dict[str, Task]:
    """What else the request may be of which these words were heard, by the secret that it does not share with the task.

    ``number``: it goes on to ask for one more of each call; ``extent``: each value that is not closed goes on;
    ``extent_at_end``, where speech ends: each value in the middle of which it ends really ends there;
    ``misheard``: the words that were heard are those that were said. Secrets that there is nothing of are left out.
    """
    known = known_by(task, len(heard))
    far = len(task.words)
    gold = (*known.gold, *_more(known, far))
    found = {"number": replace(known, gold=gold, turns=counted(known.turns, len(known.words), len(gold)))}
    if final:
        found["extent_at_end"] = _shorter(known, heard)
    else:
        found["extent"] = _longer(known, heard, far)
    if misheard(task, heard):
        found["misheard"] = as_heard(known, heard)
    return {name: other for name, other in found.items() if other != known}


def _more(task: Task, far: int) -> list[GoldCall]:
    """Each call a second time, of another value that will be said after word ``far``."""
    calls = []
    for call in task.gold:
        said = sorted((span.end, name) for name, span in call.arg_evidence.items())
        # a value that has begun is shared
        late = {name for name, span in call.arg_evidence.items() if span.start >= far}
        late = late or {name for _, name in said[-1:] if spec_requires(task.specs[call.name], name)}
        args = {name: GoldArg((UNKNOWN,)) if name in late else values for name, values in call.args.items()}
        spans = {name: Evidence(far, far + 1) if name in late else span for name, span in call.arg_evidence.items()}
        calls += [GoldCall(call.name, args, call.name_evidence, spans)] if late else []
    return calls


def _longer(task: Task, heard: Sequence[str], far: int) -> Task:
    """The task with every value that no word has closed yet going on behind word ``far``."""
    n = len(heard)
    if task.reading is not None:
        # what closes a value is judged by the words themselves: an edit that says otherwise is a secret of gold's
        edits = []
        for edit in task.reading.edits:
            at_once = edit.op != "put" or edit.eager or edit.grows or edit.closes == edit.end
            if at_once or edit.end > n or any(map(closes, heard[edit.end :])):
                edits.append(edit)
            elif edit.spoken:  # a text that goes on has begun like one that does not
                edits.append(replace(edit, value=()))
        return replace(task, reading=replace(task.reading, edits=tuple(edits)))
    calls = []
    for call in task.gold:
        open_ = {
            name
            for name, span in call.arg_evidence.items()
            if 0 < span.end <= n and not any(map(closes, heard[span.end :]))
        }
        # with what was heard since, which does not say that it is over
        since = {name: " ".join(["", *task.said()[span.end : n]]) for name, span in call.arg_evidence.items()}
        args = {
            name: GoldArg((_longer_by(arg.values[0], f"{since[name]} and more"),)) if name in open_ else arg
            for name, arg in call.args.items()
        }
        spans = {
            name: Evidence(span.start, far + 1) if name in open_ else span for name, span in call.arg_evidence.items()
        }
        calls.append(GoldCall(call.name, args, call.name_evidence, spans))
    return replace(task, gold=tuple(calls))


def _longer_by(value: Any, more: str) -> Any:
    """A value and a text that goes on with it."""
    return spliced((*value.parts, more)) if isinstance(value, Spliced) else f"{value}{more}"


def _shorter(task: Task, heard: Sequence[str]) -> Task:
    """The task with every text in the middle of which the words end ending there in truth."""
    if task.reading is None:
        return replace(task, gold=tuple(cut_off(call, heard, task.specs[call.name]) for call in task.gold))
    own = {id(edit): parts for edit in task.reading.edits if (parts := parts_of(edit, heard))}
    edits = tuple(
        replace(edit, end=len(heard), value=own[id(edit)], optional=False, closes=None)
        if id(edit) in own
        else replace(edit, end=len(heard), value=(text,), optional=False, closes=None)
        if edit.op == "put"
        and edit.spoken
        and not edit.value
        and edit.closes is None
        and (text := as_said(heard[edit.start :]))
        else edit
        for edit in task.reading.edits
    )
    return replace(task, reading=replace(task.reading, edits=edits))


def twin(task: Task, other: Task, cut: int) -> Task:
    """The first ``cut`` words of a task, then the speaker thinks better of it and asks for what ``other`` asks for.

    It keeps the task's id, tools, world and date: whatever differs comes from the words behind the cut.

    Args:
        task: the task to begin like.
        other: a task of the same source, to go on like.
        cut: words that both share; at least 1, fewer than the task has.

    Of a conversation the turn with the cut is the last, and of ``other`` it has the first turn.
    """
    if other.turns:
        other = known_by(other, other.turns[0].words)
    added = [*_said(_TAKE_BACK.split(), task.words[cut - 1].end_ns + _PAUSE_NS)]
    after_ns = added[-1].end_ns + _PAUSE_NS - other.words[0].start_ns
    added += [Word(w.text, w.start_ns + after_ns, w.end_ns + after_ns, w.label) for w in other.words]
    if added[0].text == (task.words[cut].text if cut < len(task.words) else ""):
        added = added[1:]
    words = (*task.words[:cut], *added)
    behind = len(words) - len(other.words)
    if task.reading is None:
        gold = _unseen(task, cut, len(words) - 1)
        return replace(
            task, words=words, gold=gold, answer=(), turns=counted(cut_turns(task, cut), len(words), len(gold))
        )
    edits = list(_edits(task.reading.edits, task.said(cut), cut + 1))
    last = max((edit.clause for edit in task.reading.edits), default=0) + 1
    edits += [Edit(cut, behind, "drop", clause, closes=behind) for clause in sorted({edit.clause for edit in edits})]
    for edit in other.reading.edits if other.reading is not None else ():
        closes = edit.closes + behind if edit.closes is not None else None
        edits.append(
            replace(edit, start=edit.start + behind, end=edit.end + behind, clause=edit.clause + last, closes=closes)
        )
    derivation = Derivation(tuple(edits), task.reading.asks)
    # a turn may leave to the next what a call needs
    gold = () if task.turns else derivation.gold(len(words), task.specs)
    turns = counted(cut_turns(task, cut), len(words), len(gold))
    return replace(task, words=words, gold=gold, reading=derivation, answer=(), turns=turns)


def asked_tools(task: Task) -> frozenset[str]:
    """The tools that a task asks for at any word of it, those it takes back among them, whenever an update comes and is
    the last."""
    found = {call.name for call in task.gold}
    if task.reading is not None:
        edits = task.reading.edits
        eager = frozenset(n for n, edit in enumerate(edits) if edit.eager)
        for n in sorted({at for edit in edits for at in (edit.end, edit.closes) if at is not None}):
            for final, taken in ((True, frozenset()), (False, frozenset()), *(((False, eager),) if eager else ())):
                found.update(draft.tool for draft in task.reading.asks(clauses(edits, n, final, taken)))
    return frozenset(found)


def _edits(edits: tuple[Edit, ...], said: Sequence[str], closed: int | None) -> tuple[Edit, ...]:
    """Edits of the heard words; those that a later word closes are closed by word ``closed`` instead."""
    heard = len(said)
    kept = []
    for edit in edits:
        if edit.end <= heard:
            kept.append(edit)
        elif edit.spoken and edit.start < heard:
            kept.append(replace(edit, end=heard, value=(), optional=False, closes=None))
        elif parts_of(edit, said) and (begun := _begun(edit.value[:1], said[edit.start :])):
            kept.append(replace(edit, end=heard + 1, value=begun, optional=False))
    return tuple(
        replace(edit, closes=closed) if edit.closes is not None and edit.closes > heard or _open(edit) else edit
        for edit in kept
    )


def _open(edit: Edit) -> bool:
    """Whether only the end of speech closed it, though it could not have grown."""
    return edit.closes is None and edit.op == "put" and not edit.grows


def _unseen(task: Task, heard: int, far: int) -> tuple[GoldCall, ...]:
    """Gold with what is said after ``heard`` words out of reach: at word ``far``, and of another value.

    A value in the middle of which they end begins as it was heard, and goes on otherwise.
    """
    out = Evidence(far, far + 1)
    calls = []
    for call in task.gold:
        late = {name: span for name, span in call.arg_evidence.items() if span.end > heard}
        begun = {
            name: parts
            for name, span in late.items()
            if (parts := _begun(call.args[name].values, task.said(heard)[span.start :]))
        }
        args = {name: GoldArg(begun.get(name, (UNKNOWN,))) if name in late else arg for name, arg in call.args.items()}
        spans = {
            name: span if name not in late else Evidence(span.start, far + 1) if name in begun else out
            for name, span in call.arg_evidence.items()
        }
        calls.append(GoldCall(call.name, args, out if call.name_evidence.end > heard else call.name_evidence, spans))
    return tuple(calls)


def _begun(values: Sequence[Any], said: Sequence[str]) -> tuple[Any, ...]:
    """Accepted values in the middle of which the words end, each with another end; none where none has begun."""
    found: list[Any] = []
    for value in values:
        if (part := cut_value(value, said)) is not None:
            # what hangs at the end belongs to it all the same
            n = 0 if isinstance(part, list) else len(content(value, [word for word in said if plain(word) not in SOFT]))
            found.append([*part, UNKNOWN] if isinstance(part, list) else " ".join([*value.split()[:n], UNKNOWN]))
    return tuple(found)


def _said(texts: list[str], start_ns: int) -> list[Word]:
    return [Word(text, start_ns + n * _PAUSE_NS, start_ns + (n + 1) * _PAUSE_NS) for n, text in enumerate(texts)]
