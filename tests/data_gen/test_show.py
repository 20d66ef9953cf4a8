"""A conversation in the terminal: a line for each turn, and when answers were spoken."""

from __future__ import annotations

import io
import json
from dataclasses import replace

from rich.console import Console

from data_gen.show import render, requested, spoken
from data_gen.trajectory import Piece
from midsentence.core.events import Speaking, UserUpdate, to_json
from midsentence.core.transcript import Segment
from tests.data_gen.made import trajectory

LOG = [
    UserUpdate(0, "shoot Bo"),
    UserUpdate(1, "Bob a text", retracts=1),
    Speaking(2, "begun"),
    Speaking(3 * 10**9, "cut", "I texted"),
    UserUpdate(3 * 10**9, "lovely"),
    Speaking(4 * 10**9, "begun"),
    Speaking(5 * 10**9, "ended"),
]
ROW = trajectory(
    request="shoot Bob a text lovely",
    log=json.dumps([to_json(event) for event in LOG]),
    segments=(
        Piece(Segment("partial_query_update", "shoot Bob a text", 0), False),
        Piece(Segment("cancel", 'your answer after "I texted"', 3 * 10**9), False),
        Piece(Segment("partial_query_update", "lovely", 3 * 10**9), False),
    ),
)


def test_each_turn_has_a_line_and_each_spoken_answer_its_time():
    assert requested(ROW) == ["shoot Bob a text", "lovely"]
    assert spoken(ROW) == [(2, 3 * 10**9, "I texted"), (4 * 10**9, 5 * 10**9, None)]
    console = Console(file=io.StringIO(), width=100)
    console.print(*render(ROW), sep="\n")
    lines = console.file.getvalue().splitlines()
    parts = ("<partial_query_update> shoot", "speaks into it", "<cancel>")
    places = [next(n for n, line in enumerate(lines) if part in line) for part in parts]
    assert places == sorted(places) and 'heard "I texted", at 3.00' in lines[places[1]]
    assert "spoken to its end, at 5.00" in lines[-1]


def test_a_single_request_is_shown_as_it_was_said():
    assert requested(replace(ROW, log="[]")) == ["shoot Bob a text lovely"] and spoken(replace(ROW, log="[]")) == []
