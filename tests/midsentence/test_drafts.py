"""A drafter listens beside the agent, which takes nothing from it but time: exact times, nanosecond for nanosecond."""

from __future__ import annotations

import pytest

from midsentence import core
from midsentence.clock import ns
from midsentence.drafts import Foreseen
from midsentence.events import Appended, ModelOutput, StartTool, UserUpdate
from midsentence.modes import DRAFTER, MODES, settings
from midsentence.testing import PAUSE, PREDICTED, TOOLS, ToolFailure, answer, calls, play

SPECS = {spec.name: spec for spec in TOOLS}
LONG = '1. look("one two three four five six seven eight")'
"""A line of nine words: written in 0.9 s and read in 0.1 s."""


def test_the_row_is_eager_end_with_a_drafter():
    row, base = MODES["verified"], MODES["eager_end"]
    assert {name for name in row.__slots__ if getattr(row, name) != getattr(base, name)} == {"verified", "results_cut"}
    assert MODES[DRAFTER].listens and MODES[DRAFTER].speculates


def test_a_line_that_was_foreseen_is_read_and_its_read_is_not_run_again():
    said, model = [(0.0, "look one to eight"), (3.0, ".")], [calls(LONG), answer()]
    plain = play(said, model, mode="eager_end")
    drafted = play(said, model, mode="verified", drafter=[calls(LONG)])
    assert plain.rows("start result model say") == [
        (4.1, "start", "1 look(one two three four five six seven eight)"),
        (4.2, "model", calls(LONG)),
        (4.5, "model", answer()),
        (5.1, "result", "1 ok"),
        (5.1, "say", "done"),
    ]
    # the tag, a pass of a tenth of a second over the line, the closing tag; the result has been there since 2.1 s
    assert drafted.rows("start result model say") == [
        (3.3, "start", "1 look(one two three four five six seven eight)"),
        (3.3, "result", "1 ok"),
        (3.4, "model", calls(LONG)),
        (3.8, "model", answer()),
        (3.8, "say", "done"),
    ]
    found = drafted.rollout.drafted
    assert (found.starts, found.used, found.foreseen, found.right) == (1, 1, 9, 9)


def test_what_was_not_foreseen_costs_its_pass_and_changes_nothing():
    said, model = [(0.0, "look"), (3.0, ".")], [calls('1. look("one two other words here")'), answer()]
    plain = play(said, model, mode="eager_end")
    drafted = play(said, model, mode="verified", drafter=[calls(LONG)])
    written = [what for _, _, what in plain.rows("model say")]
    assert [what for _, _, what in drafted.rows("model say")] == written
    assert [what for _, _, what in drafted.rows("start")] == [what for _, _, what in plain.rows("start")]
    found = drafted.rollout.drafted
    assert 0 < found.right < found.foreseen and (found.starts, found.used) == (1, 0)


def test_a_write_of_the_drafters_never_runs():
    played = play([(0.0, "text Bob"), (3.0, ".")], [answer()], mode="verified", drafter=[calls('1. send("Bob")')])
    assert not played.rows("start")
    assert played.rollout.drafted.starts == 0


def test_the_drafter_does_not_hear_the_end():
    said = [(0.0, "look"), (1.0, "up."), (1.05, "Bob"), (9.0, ".")]
    played = play(said, [answer()], mode="verified")
    heard = [(event.text, event.final) for event, _ in played.rollout.drafted.history if isinstance(event, UserUpdate)]
    assert heard == [("look", False), ("up", False), ("Bob", False)]


def test_the_device_is_the_agents_while_it_takes_in_or_writes():
    """The agent takes the words in for a tenth of a second, and then the drafter does: its read begins so much later than alone."""
    said = [(0.0, "look one to eight"), (9.0, ".")]
    alone = play(said, [calls(LONG), PAUSE, answer()])
    drafted = play(said, [calls(LONG), answer()], mode="verified", drafter=[calls(LONG)]).rollout.drafted
    (start_ns,) = (event.at_ns for event, commands in drafted.history for command in commands if isinstance(command, StartTool))
    assert start_ns == ns(alone.rows("start")[0][0])  # on the drafter's clock, which stands meanwhile


@pytest.mark.parametrize("said", [[(3.0, "."), (3.2, "no wait"), (6.0, ".")], [(3.0, PREDICTED), (3.2, "no wait"), (6.0, ".")]])
def test_speech_that_goes_on_is_the_drafters_again(said):
    played = play(
        [(0.0, "look one to eight"), *said], [calls(LONG), calls(LONG), answer()], mode="verified", drafter=[calls(LONG)],
        all_used=False,
    )
    assert played.outcome == "answered"
    starts = [command for _, commands in played.rollout.history for command in commands if type(command).__name__ == "StartTool"]
    assert len({(start.name, str(start.args)) for start in starts}) == 1


def test_an_effect_drops_what_it_may_change():
    agent = [calls('1. note("x")', '2. page("a b c d")'), answer()]
    played = play([(0.0, "note x and read"), (5.0, ".")], agent, mode="verified", drafter=[calls('1. page("a b c d")')])
    found = played.rollout.drafted
    assert (found.starts, found.used) == (1, 0)
    other = [calls('1. note("x")', '2. look("a b c d")'), answer()]
    played = play([(0.0, "note x and look"), (5.0, ".")], other, mode="verified", drafter=[calls('1. look("a b c d")')])
    assert played.rollout.drafted.used == 1


def test_a_read_that_failed_is_run_anew():
    agent = [calls('1. look("a b c d")'), answer()]
    played = play(
        [(0.0, "look"), (5.0, ".")], agent, mode="verified", drafter=[calls('1. look("a b c d")')],
        answers={"look": [ToolFailure("busy"), "found"]},
    )
    assert [what for _, _, what in played.rows("error result")] == ["1 found"]
    assert played.rollout.drafted.used == 0


def state_with(*lines: str, mode: str = DRAFTER) -> core.State:
    """A session in which these lines have been written."""
    state = core.start(settings(mode, commit="action"), SPECS)
    state, _ = core.step(state, UserUpdate(0, "x", mode != DRAFTER))
    state, _ = core.step(state, Appended(0, 1))
    if lines:
        state, _ = core.step(state, ModelOutput(1, state.generation, "<tool_call>" + "".join(f"{line}\n" for line in lines), (1,)))
    return state


def test_lines_are_foreseen_under_the_agents_own_numbers():
    drafter = state_with('1. look("Al")', '2. look("Bob")', '3. send($2)')
    agent = state_with('1. look("Bob")', mode="eager_end")
    foreseen = Foreseen()
    assert foreseen.rest(agent, drafter, "") == '2. look("Al")\n'
    assert foreseen.rest(agent, drafter, "2. se") == "nd($1)\n"
    assert foreseen.rest(agent, drafter, "2. note") == ""


def test_a_line_that_was_left_is_gone_back_to():
    drafter = state_with('1. look("at ten", "the office on the hill")')
    agent, foreseen = state_with(mode="eager_end"), Foreseen()
    assert foreseen.rest(agent, drafter, '1. look("at ten') == '", "the office on the hill")\n'
    assert foreseen.rest(agent, drafter, '1. look("at ten in the') == ""
    assert foreseen.rest(agent, drafter, '1. look("at ten in the morning",') == ' "the office on the hill")\n'
    assert foreseen.rest(agent, drafter, '1. note("at ten",') == ""


def test_what_is_not_written_twice_is_foreseen_no_more():
    drafter = state_with('1. look("Al")', '2. look("Bob")')
    agent, foreseen = state_with(mode="eager_end"), Foreseen()
    for _ in range(2):
        assert foreseen.rest(agent, drafter, "") == '1. look("Al")\n'
        foreseen.missed(agent, drafter, "")
    assert foreseen.rest(agent, drafter, "") == '1. look("Bob")\n'
    assert foreseen.rest(agent, drafter, '1. look("A') == 'l")\n'  # but in the line itself it still is


def test_open_and_removed_calls_are_not_foreseen():
    drafter = state_with("1. send()", "2. look(\"Bob\")", "REMOVE 2")
    assert Foreseen().rest(state_with(mode="eager_end"), drafter, "") == ""


def test_the_next_turn_has_a_drafter_that_knows_what_was_said():
    said = [(0.0, "look one to eight"), (3.0, "."), (10.0, "and again"), (14.0, ".")]
    again = '2. look("a b c d e f")'
    played = play(said, [calls(LONG), answer(), calls(again), answer()], mode="verified", drafter=[calls(LONG), PAUSE, calls(again)])
    plain = play(said, [calls(LONG), answer(), calls(again), answer()], mode="eager_end")
    assert [what for _, _, what in played.rows("start say")] == [what for _, _, what in plain.rows("start say")]
    assert played.rows("say")[1][0] < plain.rows("say")[1][0]
    assert played.rollout.drafted.used == 2
