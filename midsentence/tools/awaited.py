"""Gets a function's result even if it is an awaitable, since a wrapper around an async function does not look async.

Owns the loop that runs such awaitables. Does not know tools.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor
from typing import Any


def settled(returned: Any) -> Any:
    """``returned``, or what it comes to if it is an awaitable: it runs to its end in a loop of its own, in this
    context."""
    if not inspect.isawaitable(returned):
        return returned
    # a loop may be running in this thread already (a notebook): never nest
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(contextvars.copy_context().run, asyncio.run, _end_of(returned)).result()


async def _end_of(returned: Awaitable[Any]) -> Any:
    return await returned
