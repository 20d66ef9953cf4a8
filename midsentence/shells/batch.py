"""Many episodes of one model at once, which changes no episode.

Owns whose question is answered next: appends of all that wait in one pass, then drafts, then one decode step. Does not
know what an episode is about.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from midsentence.models.model import Constraint, Model, Stream, Verifies
from midsentence.shells.needs import Need, NeedAppend, NeedToken, NeedVerify
from midsentence.shells.rollout import Rollout
from midsentence.shells.virtual import Episode, Steps


def run_batch(
    episodes: Sequence[Episode],
    model: Model,
    batch: int = 8,
    on_done: Callable[[int, Rollout], Any] | None = None,
    seeds: Sequence[int] | None = None,
) -> list[Rollout]:
    """Runs episodes with a model, up to ``batch`` at once; each gives what it would give alone.

    Args:
        episodes: none of them with a planner that never leaves an action to the model.
        model: the backend that all share.
        batch: the most contexts kept at once.
        on_done: called with an episode's index and rollout as soon as it ends.
        seeds: what each one's sampling follows from; by default its place.
    """
    done: dict[int, Rollout] = {}
    waiting = iter(enumerate(episodes))
    active: dict[int, tuple[Stream, Steps, Need]] = {}

    def advance(index: int, stream: Stream, steps: Steps, reply: int | None) -> None:
        try:
            active[index] = (stream, steps, steps.send(reply))
        except StopIteration as stop:
            active.pop(index, None)
            model.close(stream)
            done[index] = stop.value
            if on_done is not None:
                on_done(index, stop.value)

    while True:
        while len(active) < batch and (item := next(waiting, None)) is not None:
            index, episode = item
            seed = index if seeds is None else seeds[index]
            advance(index, episode.attach(model, seed), episode.steps(), None)
        if not active:
            return [done[index] for index in range(len(episodes))]
        appends = [(index, *entry) for index, entry in active.items() if isinstance(entry[2], NeedAppend)]
        if appends:
            model.append([(stream, need.ids) for _, stream, _, need in appends if isinstance(need, NeedAppend)])
            for index, stream, steps, _ in appends:
                advance(index, stream, steps, None)
            continue
        checks = [(index, *entry) for index, entry in active.items() if isinstance(entry[2], NeedVerify)]
        for index, stream, steps, need in checks:
            if isinstance(need, NeedVerify):
                verify = model.verify if isinstance(model, Verifies) else partial(verify_by_token, model)
                advance(index, stream, steps, verify(stream, need.ids, need.constraint))
        if checks:
            continue
        rows = [
            (index, stream, steps, need)
            for index, (stream, steps, need) in active.items()
            if isinstance(need, NeedToken)
        ]
        tokens = model.decode([stream for _, stream, _, _ in rows], [need.mask for *_, need in rows])
        for (index, stream, steps, _), token in zip(rows, tokens, strict=True):
            advance(index, stream, steps, token)


def verify_by_token(model: Model, stream: Stream, ids: Sequence[int], constraint: Constraint | None) -> int:
    """`Verifies.verify` of a model that lacks it, token by token: a simulation's measures do not depend on the
    engine."""
    right = 0
    while right < len(ids):
        if constraint is not None and (forced := tuple(constraint.forced())):
            if forced != tuple(ids[right : right + len(forced)]):
                break
            model.append([(stream, forced)])
            written = forced
        else:
            (token,) = model.decode([stream], [constraint])
            if token != ids[right]:
                model.crop(stream, stream.length - 1)
                break
            written = (token,)
        if constraint is not None:
            for token in written:
                constraint.push(token)
        right += len(written)
    return right
