"""A context that grows too long lets the oldest go: what goes, when, and that an engine holds what is shown and nothing
else."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midsentence.clock import ns
from midsentence.core.events import (
    Append,
    Appended,
    Crowded,
    EndPredicted,
    Forget,
    Generate,
    ModelOutput,
    ToolResult,
    UserUpdate,
    from_json,
    to_json,
)
from midsentence.core.forgetting import Shown, Turned, shown, shown_less
from midsentence.core.modes import settings as settings_of
from midsentence.core.transcript import Segment, Transcript
from midsentence.rendering.renderer import Rendering
from midsentence.shells.batch import run_batch
from midsentence.shells.virtual import Episode
from midsentence.testing import PLAIN, ROUND, Tools, WordRenderer, answer, calls, play
from midsentence.tools.tool import Param, ToolSpec
from tests.midsentence.shells.test_virtual import WordModel

LONG = "a long result " * 12


def transcript(*segments: Segment) -> Transcript:
    whole = Transcript()
    for segment in segments:
        whole = whole.append(segment)
    return whole


TWO_TURNS = transcript(
    Segment("final_query_update", "look up Bob", 0),
    Segment("model", "1. look", 1, (1, 2, 3)),
    Segment("tool_result", f"1: {LONG}", 2),
    Segment("model", "<answer>", 3, (4, 5)),
    Segment("final_query_update", "and Ann", 4),
    Segment("model", "2. look", 5, (6, 7)),
    Segment("tool_result", f"2: {LONG}", 6),
    Segment("model", "<pause>", 7, (8,)),
)
TURNED = (Turned(4, 1),)


def test_a_result_gives_way_to_a_line_and_a_turn_to_another():
    whole = shown(TWO_TURNS, TURNED, Shown())
    assert whole == tuple(TWO_TURNS)
    lines = shown(TWO_TURNS, TURNED, Shown(results=3))
    assert (
        lines[2].text == f"1: … [{len(LONG)} characters left out] …"
        and lines[6] == whole[6]
        and len(lines) == len(whole)
    )
    later = shown(TWO_TURNS, TURNED, Shown(turns=1))
    assert (later[0].kind, later[0].text) == ("cancel", "turns 1 to 1: no longer shown, with calls 1 to 1") and later[
        1:
    ] == whole[4:]


def test_the_oldest_goes_first_and_no_more_than_is_needed():
    def less(most, *how, own=False):
        return shown_less(TWO_TURNS, TURNED, Shown(*how), tokens=200, most=most, of_this_turn=own)

    assert less(150) == Shown(results=3)
    assert less(100) == Shown(turns=1, results=3) == less(0)
    assert less(150, 0, 3) == Shown(turns=1, results=3)
    assert less(0, 1, 3) is None
    assert less(0, 1, 3, own=True) == Shown(1, 7)
    assert (
        shown_less(transcript(*list(TWO_TURNS)[:3]), (), Shown(), tokens=90, most=0, of_this_turn=True) is None
    )  # not read yet


def test_the_user_who_has_been_answered_does_not_wait_for_it():
    """Between two turns, with three quarters full: the result goes, and the next words find room."""
    look = [calls('1. look("Bob")'), answer(), answer()]
    played = play(
        [(0.0, "look up Bob."), (20.0, "thanks."), (40.0, "bye.")],
        [*look, answer()],
        answers={"look": LONG},
        mode="parallel",
        max_context_tokens=64,
    )
    forgets = [
        (event.at_ns, command)
        for event, commands in played.rollout.history
        for command in commands
        if isinstance(command, Forget)
    ]
    assert forgets and all(at_ns / 1e9 not in (20.0, 40.0) for at_ns, _ in forgets) and len(played.rows("say")) == 3
    assert played.rollout.state.outcome == "" and played.rollout.state.context_tokens <= 64


def test_what_was_forgotten_can_still_be_named():
    said = [(0.0, "look up Bob."), (20.0, "thanks."), (40.0, "now text it to Ann.")]
    model = [calls('1. look("Bob")'), answer(), answer(), calls('2. send("Ann", "" + $1)'), answer()]
    played = play(said, model, answers={"look": LONG}, mode="parallel", max_context_tokens=64)
    assert played.rollout.state.shown != Shown()
    assert f"2 send(Ann, {LONG})" in [text for _, _, text in played.rows("start")]


def test_forgetting_is_kept_in_logs():
    assert from_json(to_json(Forget(1, 2))) == Forget(1, 2) and from_json(to_json(Crowded(3, 4))) == Crowded(3, 4)


class LooksUp(WordModel):
    """Looks something up in each turn and answers; compares its context with what is shown, whenever an action
    begins."""

    def __init__(self, made: Episode, words: list[int]) -> None:
        super().__init__(made.context.renderer, [])
        self.made, self.words, self.checked = made, words, 0

    def decode(self, streams, masks=None):
        (stream,), state = streams, self.made.state
        if stream.writing is None:
            assert stream.ids == list(ids_of(self.made)), "the engine's context is not what is shown"
            assert stream.length <= state.settings.max_context_tokens
            self.checked += 1
            look, n = calls(f'{state.turn}. look("{state.turn}")'), state.turn - 1
            self.script = [*self.script, answer("it is" + " so" * self.words[n]) if state.turn in state.graph else look]
        return super().decode(streams, masks)


def ids_of(made: Episode) -> tuple[int, ...]:
    state = made.state
    return (
        *made.context.prompt_ids,
        *Rendering(made.context.renderer).take(shown(state.transcript, state.turned, state.shown)),
    )


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_an_engine_holds_what_is_shown_and_each_append_goes_on_from_there(data):
    """The prefix property, with forgetting: between two `Forget`s a context only grows, and each begins one from the
    prompt on."""
    turns = data.draw(st.integers(2, 7))
    lengths = data.draw(st.lists(st.integers(1, 60), min_size=turns, max_size=turns))
    limit = data.draw(st.sampled_from([120, 200, 8192]))
    mode = data.draw(st.sampled_from(["parallel", "speculative", "eager_end"]))
    renderer = WordRenderer()
    prompt = renderer.action_ids("you help")
    words = data.draw(st.lists(st.integers(0, 8), min_size=turns, max_size=turns))
    box = Tools({}, {f"look({n})": "word " * length for n, length in enumerate(lengths, start=1)})
    said = [UserUpdate(ns(30.0 * n), f"look up {n}", final=True) for n in range(1, turns + 1)]
    made = Episode(
        settings=settings_of(mode, **PLAIN | {"max_context_tokens": limit}),
        profile=ROUND,
        toolbox=box,
        updates=said,
        renderer=renderer,
        prompt_ids=prompt,
        limit_ns=ns(1000),
    )
    model = LooksUp(made, words)
    (rollout,) = run_batch([made], model)
    assert rollout.outcome == "answered" and model.checked >= 2 * turns
    assert made.context.stream.ids == list(ids_of(made))[: made.context.stream.length]
    grows_as_told(made, rollout, prompt)
    forgets = [command for _, commands in rollout.history for command in commands if isinstance(command, Forget)]
    assert bool(forgets) == (rollout.state.shown != Shown()) and (limit < 8192 or not forgets)
    steps = [(command.turns, command.results) for command in forgets]
    assert all(a != b and a[0] <= b[0] and a[1] <= b[1] for a, b in pairwise(steps))


def grows_as_told(made: Episode, rollout, prompt) -> None:
    """The counted context is the context: made anew by a `Forget`, and else longer by what is taken in and written."""
    tokens, waits = len(prompt), None
    for event, commands in rollout.history:
        if isinstance(event, Appended):
            tokens = len(prompt) + event.tokens if isinstance(waits, Forget) else tokens + event.tokens
        if isinstance(event, ModelOutput):
            tokens += len(event.ids)
        waits = next((command for command in commands if isinstance(command, Append | Forget)), waits)
        if any(isinstance(command, Generate) for command in commands):
            assert tokens <= made.state.settings.max_context_tokens
    assert tokens == rollout.state.context_tokens


@pytest.mark.parametrize("most", [0, 64])
def test_an_engine_that_says_it_is_full_is_made_room_for(most):
    """Its own count is what counts: a role switch, say, is more than the core knows of."""
    from midsentence.core import reducer

    state = reducer.start(settings_of("parallel", max_context_tokens=1000), {}, prompt_tokens=5)
    said = [
        UserUpdate(0, "hi", True),
        Appended(1, 20),
        ModelOutput(2, 1, "<answer>yes</answer>", (1, 2)),
        UserUpdate(3, "and?", True),
    ]
    for event in said:
        state, commands = reducer.step(state, event)
    state, commands = reducer.step(state, Crowded(4, most))
    assert commands == (Forget(1, 0),) and state.settings.max_context_tokens == (most or 1000)
    state, commands = reducer.step(state, Appended(5, 12))
    assert state.context_tokens == 17 and any(isinstance(command, Generate) for command in commands)


def test_what_a_thrown_away_attempt_let_go_is_shown_of_the_next_one():
    from midsentence.core import reducer

    look = ToolSpec("look", (Param("name", {"type": "string"}),), "read")
    state = reducer.start(settings_of("verified", max_context_tokens=400), {"look": look}, prompt_tokens=20)

    def take(*events):
        nonlocal state
        for event in events:
            state, _ = reducer.step(state, event)

    def write(text: str, tokens: int = 10) -> None:
        take(ModelOutput(0, state.generation, text, tuple(range(tokens))))

    def look_up() -> None:
        write('<tool_call>1. look("Bob")\n</tool_call>')
        take(ToolResult(0, 1, state.graph[1].version, LONG))
        write("<pause>")
        take(Appended(0, 100))

    take(UserUpdate(0, "look up"), EndPredicted(0), Appended(0, 20))
    look_up()
    write("<think>" + "so " * 99, 300)
    assert state.shown.results and state.context_tokens > 400
    take(Appended(0, 60), Appended(0, 5))
    take(UserUpdate(0, "Bob"), EndPredicted(0), Appended(0, 0), Appended(0, 20))
    assert state.shown == Shown()
    look_up()
    results = [one.text for one in shown(state.transcript, state.turned, state.shown) if one.kind == "tool_result"]
    assert len(results) == 1 and LONG.strip() in results[0]
