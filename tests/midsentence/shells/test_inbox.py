"""What waits for the core of a live session: words never wait for the model, and none is lost."""
# ruff: noqa: TID251  (users and tools that take their time: in fake time, but for what uses threads)

from __future__ import annotations

import asyncio

from midsentence.core.events import UserUpdate
from midsentence.shells.inbox import merged
from midsentence.shells.limits import Limits
from midsentence.testing import Scripted
from tests.midsentence.shells.live_stage import SLOW, events, fake, planned


def test_a_fast_user_is_heard_whole_in_few_updates(renderer):
    words = [f"w{n}" for n in range(2000)]
    limits = Limits(inbox_events=8, backlog_segments=4)

    async def work():
        async with planned(renderer, Scripted([], "<pause>"), [], profile=SLOW, limits=limits) as session:
            for word in words:
                await session.hear(word)
                assert len(session._inbox) <= 8
                assert len(session.state.inbox) <= 4 + 8
            await asyncio.sleep(600)
            return session

    session = fake(work)
    heard = events(session, UserUpdate)
    assert " ".join(update.text for update in heard).split() == words
    assert len(heard) < 40


def test_updates_put_together():
    one = UserUpdate(1, "text Bob", False)
    assert merged(one, UserUpdate(2, "that I", True)) == UserUpdate(2, "text Bob that I", True)
    assert merged(one, UserUpdate(2, "Bobby", False, 1)) == UserUpdate(2, "text Bobby", False, 0)
    assert merged(one, UserUpdate(2, "mail Al", False, 3)) == UserUpdate(2, "mail Al", False, 1)
    assert merged(UserUpdate(1, "x", True, 2), UserUpdate(2, "y", False)) == UserUpdate(2, "x y", False, 2)
    for words in ("text Bob", ""):  # a recogniser that repeats itself takes no end of speech back
        assert merged(UserUpdate(1, words, True), UserUpdate(2, " ", False)) == UserUpdate(2, words, True)
    assert not merged(UserUpdate(1, "text Bob", True), UserUpdate(2, "", False, 1)).final


def test_an_end_that_waits_for_the_model_is_heard_though_nothing_is_said_after_it(renderer):
    async def work():
        script = Scripted([], lambda state: "<answer>Ok.</answer>" if state.final_in_context else "<pause>")
        limits = Limits(backlog_segments=1)
        async with planned(renderer, script, [], profile=SLOW, limits=limits) as session:
            for word in ("text", "Bob", "now"):
                await session.hear(word)
                await asyncio.sleep(0.001)
            await session.hear("please", final=True)
            assert session._inbox._backlog is not None
            await session.hear("")
            assert await session.answer(60) == "Ok."
        return session

    fake(work)
