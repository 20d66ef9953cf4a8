"""The rules about the start of a call: what it needs a commit for, what it may repeat and carry, and what goes before
it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from midsentence.core.events import StartTool
from scripts.schedules.ledger import Told, lacks_part
from scripts.schedules.meaning import meaning, said_by

if TYPE_CHECKING:
    from scripts.schedules.judge import Judge


def judge_start(judge: Judge, call: Told, start: StartTool) -> None:
    """Counts what is wrong with a start of a call that the model has written."""
    if call.missing:
        judge.count("open_call_started")
    if is_held(judge, call):
        _release(judge, call)
    elif call.spec.access == "egress" and call.context_at_line and not covers(judge, call):
        if not judge.said.issuperset(said_by(list(start.args.values()))):
            judge.count("early_egress_carried")
    if call.spec.access == "write":
        _write(judge, call, start)
    _order(judge, call)


def is_held(judge: Judge, call: Told) -> bool:
    """Whether the call may start only after a commit."""
    if call.spec.access == "write" or not judge.settings.speculates:
        return True
    return call.spec.access == "egress" and (call.spec.name not in judge.settings.allowed_egress or bool(call.needs))


def changed_at(judge: Judge, call: Told) -> float:
    """When the call, or anything that it is computed from, was last changed."""
    return max(call.line_at, *(max(one.changed_at, one.line_at) for one in judge.calls.chain(call)))


def covers(judge: Judge, call: Told) -> bool:
    """Whether there is a commit of the call's own time."""
    return call.commit_at > judge.speech_at and not judge.provisional and call.commit_at >= changed_at(judge, call)


def _release(judge: Judge, call: Told) -> None:
    if covers(judge, call):
        if judge.now_ns < judge.grace_ends_ns:
            judge.count("grace_cut_short")
        return
    near, near_at = call.near
    if call.commit_at >= changed_at(judge, call):
        judge.count("release_outlived_speech" if call.commit_at <= judge.speech_at else "commit_on_prediction")
    elif near_at >= changed_at(judge, call):
        judge.count(near)
    elif call.commit_at >= call.line_at:
        judge.count("release_outlived_change")
    elif call.line_at == judge.at and call.spec.access == "write":
        judge.count("line_ran_early")
    else:
        judge.count(f"{call.spec.access}_without_commit")


def _write(judge: Judge, call: Told, start: StartTool) -> None:
    if call.frozen and call.version:
        judge.count("write_twice")
    if call.trouble_at > max(one.line_at for one in judge.calls.chain(call)):
        judge.count("dead_write_started")
    form = meaning(call.spec, start.args)
    for turn, other_form, key, other, version in judge.effects:
        took = other.frozen and other.version == version
        if other_form == form and turn == judge.turn and took:
            if getattr(call.spec, "confirm", False) or not getattr(call.spec, "repeatable", False):
                judge.count("equal_effect_twice")
        if key == start.key and (took or other_form != form):
            judge.count("key_shared")
    judge.effects.append((judge.turn, form, start.key, call, start.version))
    judge.keys.add(start.key)
    _budget(judge, call)


def _budget(judge: Judge, call: Told) -> None:
    took = [
        turn for turn, _, _, other, version in judge.effects if other.version != version or other.status != "failed"
    ]
    in_turn, in_session = (getattr(judge.settings, f"max_writes_per_{of}", None) for of in ("turn", "session"))
    if in_turn is not None and took.count(judge.turn) > in_turn:
        judge.count("budget_of_effects")
    # a user who speaks again allows a turn's number more
    if in_turn is not None and in_session is not None and len(took) > in_session + in_turn * (judge.turn - 1):
        judge.count("budget_of_effects")
    if getattr(call.spec, "confirm", False) and judge.ordered_in.get(call.spec.name, judge.turn) >= judge.turn:
        judge.count("unconfirmed")


def _perhaps_refused(judge: Judge, call: Told, goes: bool) -> bool:
    """Whether a call that never started may have been refused, its error not told yet: it names a part that is not
    there, or it ``goes``, or a commit let it go when it had nothing to wait for, though later speech has ended that
    commit."""
    if call.status != "waiting":
        return False
    ready = all(one.status == "done" for one in judge.calls.chain(call)[1:])
    return goes or lacks_part(call, judge.calls) or ready and call.commit_at >= changed_at(judge, call)


def _order(judge: Judge, call: Told) -> None:
    if not call.spec.reads | call.spec.writes and not call.needs:
        return
    chain = judge.calls.chain(call)
    for other in judge.calls.standing():
        if call.spec.conflicts_with(other.spec) and judge.calls.precedes(other, call):
            waits = other.status == "waiting" and not (
                other.error_shown
                or other.perhaps_gone
                or judge.calls.is_skipped(other)
                or any(one.skipped_at_line for one in judge.calls.chain(other))
            )
            refused = any(
                _perhaps_refused(judge, one, covers(judge, one) and one is not other)
                for one in judge.calls.chain(other)
            )
            held = waits and not refused and is_held(judge, other) and not covers(judge, other)
            if other.status == "running" and other.valid or held:
                judge.count("out_of_order")
        for read in chain[1:]:
            ran_after = other.frozen and other.started_at > read.started_at and read.spec.access != "write"
            if ran_after and other.spec.writes & read.spec.reads and judge.calls.precedes(other, read):
                if not any(below.frozen for below in judge.calls.below(read)):
                    judge.count("stale_read_used")
