"""Several toolboxes as one: each tool is run by its own box, in the way that box has."""

from __future__ import annotations

import asyncio
import threading

import pytest

from midsentence.tools.function import FunctionToolbox, boxed, tool
from midsentence.tools.joined import JoinedToolbox
from midsentence.tools.tool import AsyncToolbox, ToolSpec, is_toolbox


@tool(access="read")
async def phone() -> str:
    """Names the thread that it runs in."""
    return threading.current_thread().name


class Plain:
    """A toolbox that awaits nothing: it has no optional member."""

    specs = {"where": ToolSpec("where", access="read")}

    def run(self, name, args):
        return threading.current_thread().name

    def latency_ns(self, name, args):
        return 7


def test_a_box_that_awaits_nothing_runs_in_a_thread_beside_one_that_does():
    box = JoinedToolbox([Plain(), FunctionToolbox([phone])])
    assert isinstance(box, AsyncToolbox)
    assert [box.is_async(name) for name in ("where", "phone", "nothing")] == [False, True, False]
    here = threading.current_thread().name
    assert asyncio.run(box.arun("phone", {})) == here != asyncio.run(box.arun("where", {}))
    assert box.latency_ns("where", {}) == 7


def test_what_is_a_toolbox_is_left_as_it_is_and_functions_are_boxed():
    plain = Plain()
    assert is_toolbox(plain) and boxed(plain) is plain
    assert not is_toolbox([phone]) and list(boxed([phone]).specs) == ["phone"]
    for odd in ("phone", b"phone", 3, None):
        with pytest.raises(TypeError, match="give a toolbox, or a list of functions"):
            boxed(odd)
