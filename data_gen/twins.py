"""Counterfactual twins: requests that share a beginning and then want something else.

Owns two cuts of a task: what of it is known after n words (`known_by`), and a twin with the same words up to n, another
continuation and another gold (`twin`). An agent that can't see the future writes the same in both until they part.
"""

from __future__ import annotations

from dataclasses import replace

from data_gen.derivation import Derivation, Edit
from data_gen.task import Evidence, GoldCall, Task, Word

_TAKE_BACK = "no wait scratch all that"
_PAUSE_NS = 250_000_000
UNKNOWN = "something that has not been said"


def known_by(task: Task, heard: int) -> Task:
    """The task with all that comes after ``heard`` words removed, or, in gold, moved out of reach."""
    if heard >= len(task.words):
        return task
    words = task.words[: max(1, heard)]
    if task.reading is not None:
        reading = Derivation(_edits(task.reading.edits, heard, None), task.reading.asks)
        return replace(task, words=words, gold=(), reading=reading, answer=())
    return replace(task, words=words, gold=_unseen(task.gold, heard, len(task.words)), answer=())


def twin(task: Task, other: Task, cut: int) -> Task:
    """The first ``cut`` words of a task, then the speaker thinks better of it and asks for what ``other`` asks for.

    It keeps the task's id, tools, world and date: whatever differs comes from the words behind the cut.

    Args:
        task: the task to begin like.
        other: a task of the same source, to go on like.
        cut: words that both share; at least 1, fewer than the task has.
    """
    added = [*_said(_TAKE_BACK.split(), task.words[cut - 1].end_ns + _PAUSE_NS)]
    after_ns = added[-1].end_ns + _PAUSE_NS - other.words[0].start_ns
    added += [Word(w.text, w.start_ns + after_ns, w.end_ns + after_ns, w.label) for w in other.words]
    if added[0].text == (task.words[cut].text if cut < len(task.words) else ""):
        added = added[1:]
    words = (*task.words[:cut], *added)
    behind = len(words) - len(other.words)
    if task.reading is None:
        return replace(task, words=words, gold=_unseen(task.gold, cut, len(words) - 1), answer=())
    edits = list(_edits(task.reading.edits, cut, cut + 1))
    last = max((edit.clause for edit in task.reading.edits), default=0) + 1
    edits += [Edit(cut, behind, "drop", clause, closes=behind) for clause in sorted({edit.clause for edit in edits})]
    for edit in other.reading.edits if other.reading is not None else ():
        closes = edit.closes + behind if edit.closes is not None else None
        edits.append(replace(edit, start=edit.start + behind, end=edit.end + behind, clause=edit.clause + last, closes=closes))
    derivation = Derivation(tuple(edits), task.reading.asks)
    gold = derivation.gold(len(words), {spec.name: spec for spec in task.tools})
    return replace(task, words=words, gold=gold, reading=derivation, answer=())


def _edits(edits: tuple[Edit, ...], heard: int, closed: int | None) -> tuple[Edit, ...]:
    """Edits of the heard words; those that a later word closes are closed by word ``closed`` instead."""
    kept = [edit for edit in edits if edit.end <= heard]
    return tuple(replace(edit, closes=closed) if edit.closes is not None and edit.closes > heard or _open(edit) else edit for edit in kept)


def _open(edit: Edit) -> bool:
    """Whether only the end of speech closed it, though it could not have grown."""
    return edit.closes is None and edit.op == "put" and not edit.grows


def _unseen(gold: tuple[GoldCall, ...], heard: int, far: int) -> tuple[GoldCall, ...]:
    """Gold with what is said after ``heard`` words out of reach: at word ``far``, and of another value."""
    out = Evidence(far, far + 1)
    calls = []
    for call in gold:
        late = {name for name, span in call.arg_evidence.items() if span.end > heard}
        args = {name: (UNKNOWN,) if name in late else values for name, values in call.args.items()}
        spans = {name: out if name in late else span for name, span in call.arg_evidence.items()}
        calls.append(GoldCall(call.name, args, out if call.name_evidence.end > heard else call.name_evidence, spans))
    return tuple(calls)


def _said(texts: list[str], start_ns: int) -> list[Word]:
    return [Word(text, start_ns + n * _PAUSE_NS, start_ns + (n + 1) * _PAUSE_NS) for n, text in enumerate(texts)]
