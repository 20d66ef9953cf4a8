"""Decides when a call may run, and handles its answer: the commit point, the start of tools, and their results.

Owns the three classes of tool, the order of calls in conflict, and late, lost and failed answers. Does not know what
the model writes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace

from midsentence.core.calls import TERMINAL, Call, CallState, Input, label
from midsentence.core.events import SetTimer, Timer, ToolError, ToolResult
from midsentence.core.outcome import not_json
from midsentence.core.said import only_said, words_said
from midsentence.core.state import Draft, session_spent, turn_spent
from midsentence.core.transcript import shortened
from midsentence.core.transitions import discard_answer, move, note, say, tell, tell_void
from midsentence.core.values import NoSuchPart, resolve, write_value
from midsentence.tools.tool import ToolSpec, mismatch, signature

NOT_TWICE = "equal effects are refused within a turn; if it is meant, the user can ask again in the next"


def still_open(draft: Draft, ids: Collection[int]) -> str | None:
    """Why calls can't be committed: one of them, or of those that they need, is not whole yet."""
    lacking = [draft.graph[id] for id in sorted(ids) if id in draft.graph.live and draft.graph[id].missing]
    if not lacking:
        return None
    first = lacking[0]
    what = "; ".join(f"call {call.id} misses {', '.join(call.missing)}" for call in lacking)
    return f"{what}: give it with {first.id}. {first.missing[0]} = ..., or REMOVE {first.id}"


def commit(draft: Draft, ids: Collection[int] | None = None) -> None:
    """The commit point: every live call as it now stands, or each of ``ids``, may run, at once or after the grace."""
    draft.commits = replace(draft.commits, given=draft.commits.given + 1)
    for id in sorted(draft.graph.live if ids is None else draft.graph.live & set(ids)):
        if not draft.commits.covers(draft.graph[id]):
            draft.graph = draft.graph.put(replace(draft.graph[id], commit=draft.commits.given))
    let_go(draft)


def let_go(draft: Draft) -> None:
    """Releases what was committed, at once or after the grace; on a predicted end of speech, not before the real
    one."""
    if draft.predicted or draft.commits.given <= max(draft.commits.open, draft.commits.over):
        return
    if not draft.settings.commit_grace_ns:
        release(draft)
    elif not draft.grace:
        draft.timer, draft.grace = draft.timer + 1, True
        say(draft, SetTimer(draft.now_ns + draft.settings.commit_grace_ns, draft.timer))


def on_timer(draft: Draft, event: Timer) -> None:
    """A commit grace is over."""
    if draft.grace and event.timer == draft.timer:
        draft.grace = False
        release(draft)
    else:
        note(draft, "stale_timer")


def release(draft: Draft) -> None:
    """Lets go what was committed; what was written since then waits for a commit point of its own."""
    draft.commits = replace(draft.commits, open=draft.commits.given)


def end_release(draft: Draft) -> None:
    """The user speaks: no commit up to now lets anything go any more, and no grace runs on."""
    draft.commits, draft.grace = replace(draft.commits, over=draft.commits.given), False


def is_open(draft: Draft, call: Call) -> bool:
    """Whether a call whose operands are there may run now."""
    return draft.commits.lets_go(call) or is_free(draft, call)


def is_free(draft: Draft, call: Call) -> bool:
    """Whether a call needs no commit at all: it changes nothing, and nothing leaves the machine by it."""
    if call.spec.access == "egress":
        return draft.settings.speculates and call.spec.name in draft.settings.allowed_egress and not leaks(draft, call)
    return call.spec.access == "read" and draft.settings.speculates


def leaks(draft: Draft, call: Call) -> bool:
    """Whether an uncommitted egress might carry away what a tool said: anything but the user's own words might."""
    return bool(call.needs) or draft.informed and not only_said(call.args, words_said(draft.transcript))


def advance_calls(draft: Draft) -> None:
    """Moves every live call as far as it can go, in the order of `Graph.sequence`: operands first, so one pass is
    enough."""
    for id in live_in_sequence(draft):
        call = draft.graph[id]
        if call.state is CallState.BLOCKED and not call.missing:
            needs = [draft.graph[need].state for need in call.needs]
            if any(state in TERMINAL and state is not CallState.DONE for state in needs):
                skip(draft, call)
            elif all(state is CallState.DONE for state in needs):
                move(draft, call, Input.CLEAR if is_open(draft, call) else Input.HOLD)
        elif call.state is CallState.HELD and is_open(draft, call):
            move(draft, call, Input.CLEAR)
        elif call.state is CallState.READY and not is_open(draft, call):
            move(draft, call, Input.HOLD)
        if draft.graph[id].state is CallState.READY and not draft.graph.waits_for(draft.graph[id]):
            try_start(draft, draft.graph[id])


def live_in_sequence(draft: Draft) -> Iterator[int]:
    """The live calls in order. They change under way: a write that starts puts back reads that come after it."""
    if draft.graph.forward:
        yield from (id for id in draft.graph.sequence() if id in draft.graph.live)
        return
    id = 0
    while id := min((other for other in draft.graph.live if other > id), default=0):
        yield id


def try_start(draft: Draft, call: Call) -> None:
    """Starts a call's tool, or refuses to: the resolved arguments may not fit, repeat an effect, or want the user's
    word."""
    try:
        resolved = with_results(draft, call)
    except NoSuchPart as missing:
        refuse(draft, call, str(missing))
        return
    if (why := misfit(resolved)) is not None:
        refuse(draft, call, why)
        return
    if call.spec.access == "write":
        text = resolved.text
        if text in draft.graph.effects and not may_repeat(call.spec):
            refuse(draft, call, f"repeats call {draft.graph.effects[text]}: {NOT_TWICE}")
            return
        if (why := needs_the_user(draft, call.spec, text)) is not None:
            refuse(draft, call, why)
            return
        draft.graph = replace(draft.graph, effects=draft.graph.effects.set(text, call.id))
        draft.turn_writes, draft.session_writes = draft.turn_writes + 1, draft.session_writes + 1
    move(draft, call, Input.START, resolved=resolved)
    if call.spec.access == "write":
        reread(draft, draft.graph[call.id])


def misfit(resolved: Call) -> str | None:
    """Why a call's arguments, results in the place of references, don't fit its tool."""
    for param in resolved.spec.params:
        if param.name in resolved.args and (why := mismatch(resolved.args[param.name], param.schema)):
            return f"{param.name} {why}: {signature(resolved.spec)}"
    return None


def may_repeat(spec: ToolSpec) -> bool:
    """Whether equal effects of a tool are allowed within one turn; a confirmation is for one effect."""
    return spec.repeatable and not spec.confirm


def needs_the_user(draft: Draft, spec: ToolSpec, text: str) -> str | None:
    """Why a write may not start before the user has spoken again, if so: it wants confirmation, or there were
    enough."""
    if spec.confirm and draft.asked.get(text) != draft.turn - 1:
        draft.asked = draft.asked.set(text, draft.turn)
        return f"{spec.name} needs the user's confirmation: ask, and order it anew in the next turn if the user agrees"
    if turn_spent(draft):
        return f"{draft.turn_writes} writes have run in this turn, the most it may have: ask the user, who can go on in the next"
    if session_spent(draft):
        draft.asked_more = True
        more = draft.settings.max_writes_per_turn
        return (
            f"{draft.session_writes} writes have run in this session: ask the user, whose next turn allows {more} more"
        )
    return None


def with_results(draft: Draft, call: Call) -> Call:
    """The call with results in the place of its references.

    Raises:
        NoSuchPart: a result lacks the part that the call names.
    """
    return replace(call, args=resolve(dict(call.args), {need: draft.graph[need].result for need in call.needs}))


def refuse(draft: Draft, call: Call, why: str) -> None:
    """A call that can't start fails."""
    move(draft, call, Input.REFUSE)
    failed(draft, call.id, why)


def skip(draft: Draft, call: Call) -> None:
    """Skips a call whose operands failed or were skipped."""
    bad = next(need for need in sorted(call.needs) if draft.graph[need].state in TERMINAL - {CallState.DONE})
    move(draft, call, Input.SKIP)
    failed(draft, call.id, f"skipped: call {bad} is {draft.graph[bad].state}")


def judged(call: Call, event: ToolResult | ToolError) -> Input:
    """What a tool's answer is to its call. That of an older version, or to a call that waits for none, is stale."""
    says_what_it_did = isinstance(event, ToolResult) or event.kind == "failed"
    awaited = call.state is CallState.RUNNING or call.state is CallState.UNKNOWN and says_what_it_did
    if call.version != event.version or not awaited:
        return Input.STALE
    if isinstance(event, ToolResult):
        return Input.RESULT
    return Input.FAILURE if says_what_it_did or call.spec.access != "write" else Input.LOST


def on_tool_result(draft: Draft, event: ToolResult) -> None:
    """A tool ran to its end."""
    if event.call not in draft.graph:
        note(draft, "unknown_call", event.call)
        return
    call = draft.graph[event.call]
    input = judged(call, event)
    if input is Input.RESULT and (why := not_json(event.value)) is not None:
        on_tool_error(draft, ToolError(event.at_ns, event.call, event.version, why, "crashed"))
        return
    if not move(draft, call, input, becomes=replace(call, result=event.value)):
        return
    if call.state is CallState.UNKNOWN and not draft.answered:
        revive(draft, call.id)
        reread(draft, draft.graph[call.id], late=True)
    cuts = draft.settings.results_cut and not draft.settings.waits_for_calls
    shown = shortened(write_value(event.value), draft.settings.max_result_chars)
    tell(draft, "tool_result", f"{label(call)}: {shown}", call=call.id, cuts=cuts)


def on_tool_error(draft: Draft, event: ToolError) -> None:
    """A tool gave no result."""
    if event.call not in draft.graph:
        note(draft, "unknown_call", event.call)
        return
    call = draft.graph[event.call]
    input = judged(call, event)
    if not move(draft, call, input):
        return
    if input is Input.LOST:
        failed(
            draft, call.id, f"unknown whether it took effect ({event.kind}: {event.message}); it will not be retried"
        )
        return
    if call.spec.access == "write":
        # it says that it did nothing: the same effect may be asked for again, by another call
        text = with_results(draft, call).text
        if draft.graph.effects.get(text) == call.id:  # where equal writes are allowed, another one may stand for it
            draft.graph = replace(draft.graph, effects=draft.graph.effects.delete(text))
    failed(draft, call.id, event.message if event.kind == "failed" else f"{event.kind}: {event.message}")


def failed(draft: Draft, id: int, why: str) -> None:
    """Tells the model, and discards the provisional answer: it did not know."""
    discard_answer(draft)
    cuts = not draft.settings.waits_for_calls or draft.parser.where == "answer"
    tell(draft, "tool_error", f"{label(draft.graph[id])}: {shortened(why, draft.settings.max_result_chars)}", cuts=cuts)


def revive(draft: Draft, id: int) -> None:
    """A write answered after all: reads that were skipped for it can run, unless an answer that knew them as skipped is
    out.

    Nothing that needs a commit comes back: a late answer starts nothing that the model would not start anew.
    """
    back = {id}
    for child in draft.graph.below(id):
        call = draft.graph[child]
        there = all(need in back or draft.graph[need].state is CallState.DONE for need in call.needs)
        if child > draft.settled and call.state is CallState.SKIPPED and there and is_free(draft, call):
            back.add(child)
            move(draft, call, Input.REWIND)
            discard_answer(draft)


def reread(draft: Draft, write: Call, *, late: bool = False) -> None:
    """Reads that come after an effect, and ran before it, saw the world as it no longer is: they run again after it.

    This happens when the write starts, so that nothing else is computed from them meanwhile; and again when a write
    that was taken for lost answers ``late``, since reads have not waited for it. A call that is computed from them
    loses its release, for nobody has seen what it would be now: it waits for a new commit.
    """
    order = draft.graph.sequence()
    for id in order[order.index(write.id) + 1 :]:
        call = draft.graph[id]
        ran = call.state in (CallState.RUNNING, CallState.DONE) and (late or call.started < write.started)
        if (
            not ran
            or call.spec.access == "write"
            or not call.spec.conflicts_with(write.spec)
            or is_over(draft, call, asked=False)
        ):
            continue
        if late and call.spec.access == "egress":  # a late answer sends nothing out
            continue
        # what a later effect was computed from can't be taken back any more
        if draft.graph.effect_below(id) is None:
            note(draft, "stale_read", id)
            rewind(draft, call, call, asked=False)
            discard_answer(draft)
            draft.wake = True  # what lost its release waits for a commit, which only the model can give
    tell_void(draft)


def rewind(draft: Draft, old: Call, new: Call, *, cascade: bool = True, asked: bool = True) -> None:
    """Puts a call and, with ``cascade``, its dependants back to blocked.

    Whatever is put back loses its release: what it is computed from has changed. Not all of it comes back: see
    `is_over`.

    Args:
        draft: the state being changed.
        old: the call as it stands.
        new: what it becomes.
        cascade: whether its dependants go with it.
        asked: whether a line of the model's asks for it; otherwise the core itself reads again what an effect made
            stale.
    """
    below = draft.graph.below(old.id) if cascade else ()
    move(draft, old, Input.REWIND, becomes=replace(old, spec=new.spec, args=new.args))
    over: set[int] = set()
    for call in (draft.graph[id] for id in below):
        if is_over(draft, call, asked) or call.state is CallState.SKIPPED and call.needs & over:
            over.add(call.id)
        elif call.state is CallState.BLOCKED:
            draft.graph = draft.graph.put(replace(call, commit=0))
        else:
            move(draft, call, Input.REWIND)


def is_over(draft: Draft, call: Call, asked: bool) -> bool:
    """Whether a call stays as it ended though what it is computed from changes: only a line of its own starts it anew.

    So does a write that failed; a write that was skipped, once the answer that knew it so is out; and, where the model
    has asked for nothing, all that would need a commit and ended without a result or in an earlier turn.
    """
    ended_badly = call.state in (CallState.FAILED, CallState.SKIPPED)
    if call.spec.access == "write" and ended_badly and (call.state is CallState.FAILED or call.id <= draft.settled):
        return True
    return (
        not asked
        and not is_free(draft, call)
        and (ended_badly or call.state is CallState.DONE and call.id <= draft.settled)
    )


def cancel_all(draft: Draft, ids: Iterable[int]) -> None:
    """Cancels calls; the model will be told of all of them (`tell_void`), so that it learns which IDs are dead."""
    for id in ids:
        move(draft, draft.graph[id], Input.REMOVE)
        draft.voided.add(id)
