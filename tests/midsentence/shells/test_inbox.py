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
