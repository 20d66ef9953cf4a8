"""What the model's lines ask for (new calls, revisions, amendments, retries, removals, commits), and what is wrong with
them.

Owns the judgement of a line that parsed. Every refusal says what is wrong and what is allowed. Does not know when a
call runs.
"""

from __future__ import annotations

from midsentence.core.calls import Call, CallState, Input
from midsentence.core.execution import NOT_TWICE, cancel_all, commit, may_repeat, rewind, still_open
from midsentence.core.lines import AmendLine, CallLine, CommitLine
from midsentence.core.state import Draft, knows_the_end
from midsentence.core.transitions import move, note, tell_void
from midsentence.core.values import Join, Ref, joined, refs, write_value
from midsentence.tools.tool import bind, mismatch, signature


def issue(draft: Draft, line: CallLine) -> str | None:
    """A call line: a new call, a revision, a retry or a no-op. Gives what is wrong with it, if anything."""
    draft.span_lines += 1
    if (limit := draft.settings.calls_per_action) is not None and draft.span_lines > limit:
        return f"at most {limit} call{'s' if limit > 1 else ''} in one action"
    spec = draft.tools.get(line.name)
    if spec is None:
        return f"unknown tool {line.name!r}; there are: {', '.join(draft.tools)}"
    try:
        args = bind(spec, line.positional, line.keyword, partial=draft.settings.revise == "amend")
    except ValueError as error:
        return str(error)
    call = Call(line.id, spec, args, draft.spent + 1, draft.spent + 1)
    if (why := unfit(draft, call)) is not None:
        return why
    if line.id in draft.graph:
        return reissue(draft, draft.graph[line.id], call)
    if line.id != draft.graph.highest + 1:
        return f"call ID {line.id} is out of order: the next new ID is {draft.graph.highest + 1}"
    if (twin := repeated_write(draft, call)) is not None:
        return f"call {line.id} repeats call {twin}: {NOT_TWICE}"
    draft.graph = draft.graph.put(call)
    if draft.settings.commit == "paper" and draft.final_heard:
        commit(draft)
    return None


def amend(draft: Draft, line: AmendLine) -> str | None:
    """Sets one argument of a call that stands, or adds to a text: a revision of which only the difference is
    written."""
    draft.span_lines += 1
    if (limit := draft.settings.calls_per_action) is not None and draft.span_lines > limit:
        return f"at most {limit} call{'s' if limit > 1 else ''} in one action"
    if line.id not in draft.graph:
        return f"there is no call {line.id} to change; the next new ID is {draft.graph.highest + 1}"
    old = draft.graph[line.id]
    if line.name not in {param.name for param in old.spec.params}:
        return f"{old.spec.name} has no parameter {line.name!r}: {signature(old.spec)}"
    value = line.value
    if line.append and old.args.get(line.name) is not None:
        had = old.args[line.name]
        if not isinstance(had, str | Ref | Join):
            return f"+= adds to a text, but {line.name} of call {line.id} is {write_value(had)}: set it with ="
        value = joined((had, value))
    given = {**old.args, line.name: value}
    new = Call(old.id, old.spec, {param.name: given[param.name] for param in old.spec.params if param.name in given})
    return unfit(draft, new) or reissue(draft, old, new)


def unfit(draft: Draft, call: Call) -> str | None:
    """What is wrong with a call's arguments and with what it names, if anything."""
    for param in call.spec.params:
        value = call.args.get(param.name)
        if param.name in call.args and not any(refs(value)) and (why := mismatch(value, param.schema)):
            return f"{call.spec.name}: {param.name} {why}: {signature(call.spec)}"
    # a ring of calls would wait for itself: a call may name whatever is there and is not made from it
    below = {call.id, *draft.graph.below(call.id)}
    for need in sorted(call.needs):
        if need in below or need not in draft.graph or draft.graph[need].state is CallState.CANCELLED:
            known = [
                id
                for id in sorted(draft.graph.calls)
                if id not in below and draft.graph[id].state is not CallState.CANCELLED
            ]
            legal = ", ".join(f"${id}" for id in known[-8:])
            return f"call {call.id} names ${need}; it can name {legal or 'no call yet'}"
    return None


def repeated_write(draft: Draft, call: Call) -> int | None:
    """The ID of a write of equal meaning that this turn has already, where a second is not allowed."""
    if call.spec.access != "write" or call.missing or may_repeat(call.spec):
        return None
    text = call.text
    if text in draft.graph.effects:
        return draft.graph.effects[text]
    live = (draft.graph[id] for id in sorted(draft.graph.live) if id != call.id)
    return next((other.id for other in live if other.spec is call.spec and other.text == text), None)


def reissue(draft: Draft, old: Call, new: Call) -> str | None:
    """A line for a call that there is: a revision; or, if nothing in it is new, a retry or a no-op. Gives what is wrong
    with it."""
    if old.state is CallState.CANCELLED:
        return f"call {old.id} was removed; the next new ID is {draft.graph.highest + 1}"
    if old.text == new.text:
        if old.state is CallState.SKIPPED or old.state is CallState.FAILED and old.spec.access != "write":
            if (twin := repeated_write(draft, new)) is not None:
                return f"call {new.id} repeats call {twin}: {NOT_TWICE}"
            note(draft, "retry", old.id)
            rewind(draft, old, new)
            tell_void(draft)
        else:
            note(draft, "identical_reissue", old.id)
        return None
    if (effect := draft.graph.effect_below(old.id)) is not None:
        return f"call {effect} already took effect: call {old.id} can't be revised"
    if (twin := repeated_write(draft, new)) is not None:
        return f"call {new.id} repeats call {twin}: {NOT_TWICE}"
    note(draft, "revise", old.id)
    below = draft.graph.below(old.id)
    rewind(draft, old, new, cascade=draft.settings.revise_cascade == "rerun")
    if draft.settings.revise_cascade == "cancel":
        cancel_all(draft, below)
    tell_void(draft)
    return None


def remove(draft: Draft, id: int) -> str | None:
    """``REMOVE``: the call goes, and all that is computed from it. Gives what is wrong with that, if anything."""
    if id not in draft.graph:
        return f"there is no call {id} to remove"
    call = draft.graph[id]
    if call.state is CallState.CANCELLED:
        note(draft, "identical_reissue", id)
        return None
    if (effect := draft.graph.effect_below(id)) is not None:
        return f"call {effect} already took effect: call {id} can't be removed"
    note(draft, "remove", id)
    below = draft.graph.below(id)
    move(draft, call, Input.REMOVE)
    cancel_all(draft, below)
    tell_void(draft)
    return None


def run_line(draft: Draft, id: int) -> None:
    """Nothing can revise the line any more: it commits the call and what that needs."""
    ids = draft.graph.above([id])
    if draft.settings.commit == "action" and not draft.settings.commit_grace_ns and still_open(draft, ids) is None:
        commit(draft, ids)


def awaited(draft: Draft) -> str:
    """What a commit has to wait for."""
    return "the final update" if draft.settings.commit_on == "final" else "a silence or the final update"


def commit_line(draft: Draft, line: CommitLine) -> str | None:
    """``COMMIT``: what it names and what that needs may go, while other lines are still to be written."""
    if draft.settings.commit != "line":
        return "COMMIT is not known here: calls go when the user has finished and your action ends"
    if not knows_the_end(draft) and not draft.cut_pending:
        return f"no COMMIT before {awaited(draft)}: <pause> or go on"
    for id in line.ids:
        if id not in draft.graph or draft.graph[id].state is CallState.CANCELLED:
            waiting = ", ".join(str(id) for id in sorted(draft.graph.live))
            return f"there is no call {id} to commit; {f'there are {waiting}' if waiting else 'none waits'}"
    if not knows_the_end(draft):
        return None  # speech went on while the line was being written: it commits nothing, and is no mistake
    ids = draft.graph.above(line.ids) if line.ids else draft.graph.live
    if (why := still_open(draft, ids)) is None:
        commit(draft, ids)
    return why
