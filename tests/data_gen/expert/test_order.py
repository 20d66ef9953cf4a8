"""What is written last goes in the order in which all is done first."""

from __future__ import annotations

import pytest

from data_gen.expert.order import Line, Planned, ordered
from midsentence.tools.tool import Param, ToolSpec

READ = ToolSpec("read", (Param("x", {}),), "read")
SAVE = ToolSpec("save", (Param("x", {}),), "write")
POST = ToolSpec("post", (Param("x", {}),), "write", writes=frozenset({"feed"}))


def call(spec: ToolSpec, *needs: int) -> Planned:
    return Planned(spec, frozenset(needs), spec.access != "read")


def plan(calls: dict[int, Planned], *lines: tuple[str, int], tokens: int = 8, removes: bool = False) -> list[str]:
    return ordered([Line(text, tokens, id, removes) for text, id in lines], calls, lambda text: 3 + text.count(","))


@pytest.mark.parametrize(
    ("calls", "lines", "text"),
    [
        # nothing to write: one commit for all that is held, and none for reads alone
        ({1: call(SAVE), 2: call(SAVE)}, [], ["COMMIT"]),
        ({1: call(READ)}, [], []),
        ({1: call(READ)}, [("1. read(2)", 1)], ["1. read(2)"]),
        # what stands takes no longer than what is being written, so that a commit ahead would only delay the rest
        ({1: call(SAVE), 2: call(SAVE)}, [("2. x = 2", 2)], ["2. x = 2", "COMMIT"]),
        # two calls in a row, or two of one resource, end last: they go first
        ({1: call(SAVE), 2: call(SAVE, 1), 3: call(SAVE)}, [("3. x = 2", 3)], ["COMMIT 2", "3. x = 2", "COMMIT"]),
        ({1: call(POST), 2: call(POST), 3: call(SAVE)}, [("3. x = 2", 3)], ["COMMIT 1, 2", "3. x = 2", "COMMIT"]),
        # what is read is written before what is held, and what waits for it is committed with the rest
        (
            {1: call(SAVE), 2: call(READ), 3: call(SAVE, 2)},
            [("3. x = $2", 3), ("2. x = 1", 2)],
            ["2. x = 1", "3. x = $2", "COMMIT"],
        ),
        # the first of a chain goes while the line of the second is written
        (
            {1: call(SAVE), 2: call(SAVE, 1)},
            [("1. x = 1", 1), ("2. x = $1", 2)],
            ["1. x = 1", "COMMIT 1", "2. x = $1", "COMMIT"],
        ),
    ],
)
def test_what_others_wait_for_goes_first(calls, lines, text):
    assert plan(calls, *lines) == text


def test_a_line_never_names_what_has_no_line_yet():
    calls = {1: call(SAVE), 2: call(READ, 1)}
    assert plan(calls, ("1. save(1)", 1), ("2. read($1)", 2))[0] == "1. save(1)"


def test_new_calls_are_issued_in_the_order_of_their_ids():
    lines = [Line("1. save(1)", 8, 1, new=True), Line("2. read(1)", 8, 2, new=True)]
    assert ordered(lines, {1: call(SAVE), 2: call(READ)}, len)[0] == "1. save(1)"


def test_what_is_taken_back_stays_where_it_is():
    found = plan({2: call(READ), 3: call(SAVE)}, ("REMOVE 1", 1), ("3. save(1)", 3), ("2. read(1)", 2), removes=True)
    assert found[:2] == ["REMOVE 1", "3. save(1)"]
