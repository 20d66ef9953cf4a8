"""Which results nobody can do without: tried in a second world that the user's words can't tell from the first."""

from __future__ import annotations

from functools import partial

import pytest

from data_gen.task import Evidence, GoldArg, GoldCall, Reference, Task, Word
from data_gen.tasks import debug
from data_gen.tasks.own_tools import Acknowledging
from eval.measures.floor import paths
from eval.measures.needs import binding
from midsentence.core.modes import MODES
from midsentence.tools.tool import Param, ToolSpec
from tests.eval.measures.test_scoring_world import DATA, task_of

OPEN = ("open_and_get_file_path", {"file_name": ["branding contract"]})
WHO = {"recipients": [["bob@example.com"]]}
ROUTE = ("maps_show_directions", {"start_location": ["", None], "end_location": ["Oslo"]})
ZOOM = (
    "get_zoom_meeting_link",
    {
        "topic": ["plans"],
        "start_time": ["2025-03-01 10:00:00"],
        "duration": [30],
        "meeting_invitees": [["ann@example.com"]],
    },
)


@pytest.mark.parametrize(
    ("gold", "needs"),
    [
        # a number or an address is what the world alone knows
        (
            [("get_phone_number", {"name": ["Bob"]}), ("send_sms", {"recipients": [["$1"]], "message": ["hi"]})],
            {1: set(), 2: {1}},
        ),
        ([("get_email_address", {"name": ["Bob"]}), ("forward_email", {"recipients": [["$1"]]})], {1: set(), 2: {1}}),
        # a mail takes the file's name for its path, and the opening is for the path alone
        ([OPEN, ("compose_new_email", WHO | {"attachments": [["$1"]]})], {2: set()}),
        # here it was asked for itself
        ([OPEN, ("compose_new_email", WHO | {"attachments": [["branding contract"], ["$1"]]})], {1: set(), 2: set()}),
        # but what the mail says of it must be known
        ([OPEN, ("compose_new_email", WHO | {"context": ["it is at $1"]})], {1: set(), 2: {1}}),
        (
            [
                ("summarize_pdf", {"pdf_path": ["branding contract"]}),
                ("create_note", {"name": ["n"], "content": ["$1"]}),
            ],
            {1: set(), 2: {1}},
        ),
        # the map's URL follows from what it shows; a meeting's link is the service's own
        ([ROUTE, ("send_sms", {"recipients": [["+15550100"]], "message": ["$1"]})], {1: set(), 2: set()}),
        ([ZOOM, ("send_sms", {"recipients": [["+15550100"]], "message": ["$1"]})], {1: set(), 2: {1}}),
        ([ZOOM, ("send_sms", {"recipients": [["+15550100"]], "message": ["it costs $1", "no"]})], {1: set(), 2: set()}),
    ],
)
def test_an_edge_binds_if_the_world_takes_nothing_else(gold, needs):
    assert binding(task_of(*gold)) == needs


def test_a_chain_that_does_not_bind_is_no_longer_than_its_calls():
    mail = task_of(OPEN, ("compose_new_email", WHO | {"attachments": [["$1"]]}))
    route = task_of(ROUTE, ("send_sms", {"recipients": [["+15550100"]], "message": ["$1"]}))
    for task in (mail, route):
        held_ns, all_ns = paths(task, MODES["speculative"])
        assert held_ns == all_ns <= 10**9  # one call's latency, not two


def test_what_a_tool_without_an_implementation_returns_is_not_known_before():
    specs = (ToolSpec("find", (Param("x", {}),), "read"), ToolSpec("send", (Param("to", {}),), "write"))
    none = Evidence(0, 0)
    gold = (
        GoldCall("find", {"x": GoldArg(("a",))}, none, {}),
        GoldCall("send", {"to": GoldArg((Reference(1),))}, none, {}),
    )
    made = Task("t", "test", "test", (Word("go", 0, 1),), specs, gold, partial(Acknowledging, "t", specs))
    assert binding(made) == {1: set(), 2: {1}}
    assert binding(debug.tasks("test", 0)[0]) == {1: set(), 2: {1}, 3: set()}


def test_the_second_world_says_the_same_names_and_knows_other_things():
    other = DATA.elsewhere()
    assert [person.name for person in other.people] == [person.name for person in DATA.people]
    assert not {person.phone for person in other.people} & {person.phone for person in DATA.people}
    assert not {file.path for file in other.files} & {file.path for file in DATA.files}
