"""Values so large that processing them would block an event loop: a test for them, and a thread that processes them.

Owns the size limit. Does not know what is done with a value. A loop is shared by all sessions of a process, and
copying, checking or tokenising five megabytes takes seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

LONG = 20_000
"""Characters and items together; below it the work is a matter of a few milliseconds, and a thread is not worth it."""


def is_long(value: Any) -> bool:
    """Whether a value has more than `LONG` characters and items. Looks at no more than that, also where a value holds
    itself."""
    left, waiting = LONG, [value]
    while waiting and left >= 0:
        item = waiting.pop()
        left -= 1
        if isinstance(item, str):
            left -= len(item)
        elif isinstance(item, list | tuple | dict):
            left -= len(item)
            if left >= 0:
                waiting += [*item, *item.values()] if isinstance(item, dict) else item
    return left < 0


async def off_loop(work: Callable[..., T], *args: Any, over: Any) -> T:
    """``work(*args)``, in a thread if ``over``, the value that it walks through, is long."""
    return await asyncio.to_thread(work, *args) if is_long(over) else work(*args)
