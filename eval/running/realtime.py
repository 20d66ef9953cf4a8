"""Episodes on the wall clock: words come when they were spoken, through the live shell, and times are what was
measured.

Owns the user's side of a live episode (who speaks, until when one waits) and tools that really take their time. The
loop is `midsentence.shells.live`'s, as in a deployment; what comes of it is a `Rollout` like a simulated one's. Does
not know where episodes come from and how they are scored. One episode runs at a time: two would share the machine, and
so their times.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

from midsentence.clock import NS_PER_S, Profile, WallClock
from midsentence.core.events import EndPredicted, UserUpdate
from midsentence.core.modes import Settings
from midsentence.models.live import LiveModel
from midsentence.models.model import Grammar, Model
from midsentence.models.planned import PlannedModel, Planner
from midsentence.models.worker import ModelWorker
from midsentence.rendering.renderer import Renderer
from midsentence.shells.limits import Limits
from midsentence.shells.live import Session, SessionEnded
from midsentence.shells.rollout import Rollout
from midsentence.tools.tool import Toolbox
from midsentence.tools.waiting import WaitingToolbox

WALL = Profile("wall", decode_tokens_per_s=NS_PER_S, prefill_tokens_per_s=NS_PER_S, restart_ns=0)
"""The device of a measured episode: whatever it was. Its rates serve the floor alone, which must hold for any
device."""
LIMIT_S = 120.0
"""An episode ends so long after the first word, as in simulation."""


def paced(profile: Profile) -> Profile:
    """A device profile under the name that its live rows have, so that they are never paired with simulated ones."""
    return replace(profile, name=f"{WALL.name}-{profile.name}")


@dataclass(frozen=True, slots=True)
class Live:
    """One episode to be."""

    toolbox: Toolbox
    """Its world; calls take as long as its latencies say."""
    updates: Sequence[UserUpdate | EndPredicted]
    """The recogniser's, in order, with their times."""
    settings: Settings
    """The row of the mode."""
    system: str
    """The system prompt."""
    name: str
    """The session's: prefix of idempotency keys."""
    seed: int = 0
    """Of sampling."""
    planner: Planner | None = None
    """Who plays the model, at the device's rates; None for a real one."""


@dataclass(frozen=True, slots=True)
class Time:
    """Where real time comes from: a test puts another in its place."""

    run: Callable[[Coroutine[Any, Any, None]], None] = asyncio.run
    """Runs a coroutine to its end."""
    clock: Callable[[], WallClock] = WallClock
    """Makes the clock of a session."""
    aside: Callable[..., Coroutine[Any, Any, Any]] = asyncio.to_thread
    """Runs a function that may block."""


REAL = Time()


def run_live(
    lives: Sequence[Live],
    renderer: Renderer,
    done: Callable[[int, Rollout], Any],
    *,
    profile: Profile = WALL,
    model: Model | None = None,
    grammar: Grammar | None = None,
    idle_s: float = 30.0,
    time: Time = REAL,
    service: Callable[[], AbstractAsyncContextManager[LiveModel]] | None = None,
) -> None:
    """Runs episodes one after the other, each at the speed of its speech.

    Args:
        lives: the episodes.
        renderer: made for the model's tokenizer.
        done: called with an episode's index and rollout as soon as it ends.
        profile: how fast planners write and read; a model is as fast as it is.
        model: who writes where there is no planner.
        grammar: constrains the model.
        idle_s: an episode in which nothing happens for so long, and for longer than any tool may take, has stalled.
        time: real time, but in tests.
        service: makes, in the loop, a model that writes elsewhere, in the place of ``model``.

    Raises:
        Exception: what a model or a planner raised, as in simulation.
    """
    if model is not None and lives:
        # the first pass of a process compiles and allocates, which no episode should pay for
        prompt = renderer.prompt_ids(lives[0].system)
        stream = model.open(prompt)
        model.append([(stream, prompt[-1:])])
        model.decode([stream])
        model.close(stream)

    async def all_of(worker: ModelWorker | None) -> None:
        later = asyncio.get_running_loop().call_later
        async with service() if service is not None else nullcontext(worker) as shared:
            for n, live in enumerate(lives):
                writer = shared if live.planner is None else PlannedModel(live.planner, renderer, profile, later)
                if writer is None:
                    raise ValueError(f"episode {live.name} has no planner; give run_live a model")
                done(n, await play(live, writer, renderer, idle_s, time))

    with ModelWorker(model, grammar=grammar) if model is not None else nullcontext() as worker:
        time.run(all_of(worker))


async def play(live: Live, model: LiveModel, renderer: Renderer, idle_s: float = 30.0, time: Time = REAL) -> Rollout:
    """One episode, to its answer, its failure or its end in time."""
    longest_s = max((spec.timeout_ns / NS_PER_S for spec in live.toolbox.specs.values()), default=0.0)
    session = Session(
        model,
        WaitingToolbox(live.toolbox, time.aside),
        renderer,
        live.settings,
        system=live.system,
        name=live.name,
        seed=live.seed,
        clock=time.clock(),
        limits=Limits(idle_s=max(idle_s, longest_s + 1)),
    )
    async with session:
        try:
            async with asyncio.timeout(LIMIT_S):
                await _converse(session, live.updates)
        except TimeoutError:
            await session.close("too_long")
        except SessionEnded:
            pass
        else:
            return _heard(session, live)
    rollout = _heard(session, live)
    if rollout.outcome == "model_failed" and session.failure is not None:
        raise session.failure
    return replace(rollout, outcome="stalled") if rollout.outcome == "idle" else rollout


def _heard(session: Session, live: Live) -> Rollout:
    """A live session's rollout, with what its user was to say."""
    return replace(session.rollout(), updates=tuple(live.updates))


async def _converse(session: Session, updates: Sequence[UserUpdate | EndPredicted]) -> None:
    """Says what is to be said when it is due, and waits for the answer to all of it."""
    session.speech_began()
    for update in updates:
        while (left_ns := update.at_ns - session.clock.now_ns()) > 0:  # noqa: ASYNC110  (a clock, and no event)
            await asyncio.sleep(left_ns / NS_PER_S)  # noqa: TID251  (a user who takes their time)
        if isinstance(update, EndPredicted):
            await session.end_predicted()
            continue
        last_ns = session.clock.now_ns()
        await session.hear(update.text, final=update.final, retracts=update.retracts)

    def heard_out() -> bool:
        # an answer may have come before the last words, if the end of speech was taken for reached too early
        said = any(isinstance(event, UserUpdate) and event.at_ns >= last_ns for event, _ in session.history)
        return said and session.state.answered and not session.state.graph.live

    while not heard_out():
        await session.answer(LIMIT_S)
