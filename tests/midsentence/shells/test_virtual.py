"""The core on the virtual clock: a model and a planner that write the same take the same time; logs replay."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from midsentence.clock import ns
from midsentence.core import reducer
from midsentence.core.events import EndPredicted, ModelOutput, Silence, UserUpdate, from_json, to_json
from midsentence.core.modes import settings
from midsentence.models.planned import PlannedModel
from midsentence.shells.batch import run_batch
from midsentence.shells.log import replay
from midsentence.shells.virtual import Episode
from midsentence.testing import (
    PAUSE,
    PLAIN,
    ROUND,
    Played,
    Scripted,
    ScriptRanOut,
    ToolFailure,
    Tools,
    WordRenderer,
    answer,
    calls,
    play,
)

END = 10**6
SCENES = {
    "cut in a thought": (
        [(0.0, "text Bob"), (0.35, "that.")],
        [calls('1. look("Bob")', think="one two three"), calls('1. look("Bob")'), answer()],
        {},
    ),
    "revised and cut": (
        [(0.0, "text Bob"), (1.0, "no Alice.")],
        [calls('1. look("Bob")'), calls('1. look("Alice")', "2. send($1)"), answer()],
        {},
    ),
    "invalid action": ([(0.0, "x.")], [calls("1. run()"), answer()], {}),
    "failure": (
        [(0.0, "x.")],
        [calls('1. send("a")', "2. send($1)"), PAUSE, answer()],
        {"answers": {"send": ToolFailure("no")}},
    ),
    "token by token": (
        [(0.0, "x"), (0.55, "y."), (0.8, "z.")],
        [calls('1. look("a b c")')] * 3 + [answer()],
        {"interrupt": "token"},
    ),
    "budget": ([(0.0, "x.")], ["<think>" + "hm " * 30 + "</think><pause>"], {"max_generated_tokens": 8}),
    "overflow": ([(0.0, "x")], ["<think>" + "hm " * 30 + "</think><pause>"], {"max_context_tokens": 10}),
    "writes past the limit": ([(0.0, "x.")], ["<think>" + "hm " * 900 + "</think><pause>"], {}),
    "stops of itself": ([(0.0, "x.")], ["<think>hm</think>", answer()], {}),
}


class WordStream:
    def __init__(self, ids: Sequence[int]) -> None:
        self.ids = list(ids)
        self.writing: list[int] | None = None
        self.next = 0

    @property
    def length(self) -> int:
        return len(self.ids)


class WordModel:
    """A model that writes a script, token by token; whatever is cropped or appended begins its next action."""

    end_ids = frozenset({END})

    def __init__(self, renderer: WordRenderer, script: Sequence[str]) -> None:
        self.renderer, self.script = renderer, script
        self.batches: list[int] = []

    def open(self, prompt_ids: Sequence[int], seed: int = 0) -> WordStream:
        return WordStream(prompt_ids)

    def append(self, batch) -> None:
        for stream, ids in batch:
            stream.ids += ids

    def decode(self, streams, masks=None) -> list[int]:
        self.batches.append(len(streams))
        tokens = []
        for stream in streams:
            if stream.writing is None:
                stream.writing = [*self.renderer.action_ids(self.script[stream.next]), END]
                stream.next += 1
            tokens.append(stream.writing.pop(0))
            stream.ids.append(tokens[-1])
        return tokens

    def crop(self, stream: WordStream, length: int) -> None:
        assert 0 <= length <= stream.length
        del stream.ids[length:]
        stream.writing = None

    def close(self, stream) -> None:
        pass


def episode(scene: str, renderer: WordRenderer) -> tuple[Episode, Tools, list[str]]:
    user, script, options = SCENES[scene]
    options = dict(options)
    tools = Tools({}, options.pop("answers", {}))
    updates = [UserUpdate(ns(at_s), text.removesuffix("."), text.endswith(".")) for at_s, text in user]
    made = Episode(
        settings=settings("speculative", **(PLAIN | options)),
        profile=ROUND,
        toolbox=tools,
        updates=updates,
        renderer=renderer,
        prompt_ids=(),
        limit_ns=ns(60),
    )
    return made, tools, script


@pytest.mark.parametrize("scene", SCENES)
def test_a_model_that_writes_what_the_planner_plans_takes_the_same_time(scene):
    user, script, options = SCENES[scene]
    planned = play(user, script, **options)
    renderer = WordRenderer()
    made, tools, _ = episode(scene, renderer)
    (rollout,) = run_batch([made], WordModel(renderer, script))
    assert Played(rollout, tools, planned.script).rows() == planned.rows()
    assert rollout.outcome == planned.outcome
    assert rollout.state.context_tokens == planned.rollout.state.context_tokens


def test_a_model_context_holds_what_the_transcript_holds():
    renderer = WordRenderer()
    made, _, script = episode("revised and cut", renderer)
    (rollout,) = run_batch([made], WordModel(renderer, script))
    whole = []
    for segment in rollout.state.transcript:
        whole += segment.ids if segment.kind == "model" else renderer.environment_ids(segment)
    kept = made.context.stream.ids
    assert kept == whole[: len(kept)]
    assert whole[len(kept) :] == list(made.context.unread)


def test_a_batch_changes_no_episode_and_keeps_no_more_than_its_size():
    script = SCENES["revised and cut"][1]
    renderer = WordRenderer()
    alone = run_batch([episode("revised and cut", renderer)[0]], WordModel(renderer, script))[0]
    model, done = WordModel(renderer, script), []
    together = run_batch(
        [episode("revised and cut", renderer)[0] for _ in range(5)], model, batch=2, on_done=lambda n, _: done.append(n)
    )
    assert [rollout.history for rollout in together] == [alone.history] * 5
    assert max(model.batches) == 2
    assert sorted(done) == [0, 1, 2, 3, 4]


class OneForced:
    """Forces the second and third token of the first generation."""

    def __init__(self, ids: Sequence[int]) -> None:
        self.ids, self.written = ids, 0

    def begin(self, state):
        self.written = 0
        return self

    def allowed(self):
        return None

    def push(self, token: int) -> None:
        self.written += 1

    def forced(self) -> Sequence[int]:
        return self.ids[1:3] if self.written == 1 else ()


def test_forced_tokens_cost_prefill_and_no_decode_step():
    """`<answer>` ends at 0.2; two forced tokens take 0.01 s each; `</answer>` is the second of them."""
    renderer = WordRenderer()
    tools = Tools({}, {})
    grammar = OneForced(renderer.action_ids(answer()))
    made = Episode(
        settings=settings("speculative"),
        profile=ROUND,
        toolbox=tools,
        updates=[UserUpdate(0, "x", True)],
        renderer=renderer,
        prompt_ids=(),
        grammar=grammar,
    )
    (rollout,) = run_batch([made], WordModel(renderer, [answer()]))
    outputs = [(event.at_ns, event.text) for event, _ in rollout.history if isinstance(event, ModelOutput)]
    assert outputs == [(ns(0.2), "<answer>"), (ns(0.21), "done"), (ns(0.22), "</answer>")]
    assert rollout.outcome == "answered"


def test_a_rollout_has_all_that_the_recogniser_passes_on_also_what_it_did_not_live_to_hear():
    renderer = WordRenderer()
    heard = [UserUpdate(0, "x"), EndPredicted(ns(1)), UserUpdate(ns(50), "y", True)]
    script = Scripted(["<think>" + "hm " * 30 + "</think><pause>"])
    made = Episode(
        settings=settings("speculative", max_context_tokens=10),
        profile=ROUND,
        toolbox=Tools({}, {}),
        updates=[*heard, Silence(ns(2), 3)],
        renderer=renderer,
        prompt_ids=(),
        planner=script,
    )
    rollout = made.run()
    assert rollout.end_ns < ns(50) and rollout.updates == tuple(heard)


@pytest.mark.parametrize("scene", SCENES)
def test_a_log_replays_to_the_same_state(scene):
    user, script, options = SCENES[scene]
    rollout = play(user, script, **options).rollout
    fresh = reducer.start(rollout.state.settings, rollout.state.tools, "episode")
    rows = [json.loads(json.dumps(to_json(event))) for event, _ in rollout.history]
    again = replay(fresh, (from_json(row) for row in rows))
    assert list(again.transcript) == list(rollout.state.transcript)
    assert again.graph == rollout.state.graph
    assert (again.phase, again.outcome, again.answered) == (
        rollout.state.phase,
        rollout.state.outcome,
        rollout.state.answered,
    )


@pytest.mark.parametrize("scene", SCENES)
def test_every_command_survives_its_json(scene):
    user, script, options = SCENES[scene]
    for _, commands in play(user, script, **options).rollout.history:
        for command in commands:
            assert from_json(json.loads(json.dumps(to_json(command)))) == command


def test_the_same_scene_twice_gives_the_same_history():
    first, second = (play(*SCENES["failure"][:2], **SCENES["failure"][2]).rollout.history for _ in range(2))
    assert first == second


def test_a_planner_is_needed_to_run_alone():
    made, _, _ = episode("failure", WordRenderer())
    with pytest.raises(ValueError, match="this episode has no planner; run it with batch.run_batch and a model"):
        made.run()


def test_a_cancelled_read_does_nothing():
    played = play([(0.0, "Bob"), (1.0, "no Alice.")], [calls('1. look("Bob")'), calls('1. look("Alice")'), answer()])
    assert played.tools.ran == ["look(Alice)"]


def test_a_log_row_of_no_known_type_is_refused():
    with pytest.raises(
        ValueError, match="a log row has type 'Nonsense'; expected one of UserUpdate, EndPredicted, Silence, Speaking"
    ):
        from_json({"type": "Nonsense"})
    for row, says in (
        ({"type": "Silence", "at_ns": 1, "loud": 2}, "of type Silence has other fields"),
        ({"type": "Append"}, "of type Append has other"),
        ({"type": []}, r"has type \[\]"),
        ([], "a log row is list; expected an object"),
    ):
        with pytest.raises(ValueError, match=says):
            from_json(row)


def test_a_script_that_runs_out_fails_loudly():
    with pytest.raises(
        ScriptRanOut, match=r"generation 2 begins at 500000000 ns, .* has 1 actions; .* ends in model '</tool_call>'"
    ):
        play(user=[(0.0, "x.")], model=[calls('1. look("a")')])


def test_an_action_of_a_script_may_depend_on_the_state():
    played = play(user=[(0.0, "x.")], model=[lambda state: answer(f"generation{state.generation}")])
    assert played.rows("say") == [
        (0.4, "say", "generation1"),
    ]
    assert Scripted(["a", "b"]).left == 2


def test_a_live_planner_that_leaves_an_action_to_a_model_is_told_so():
    """It was an AttributeError of the renderer's."""

    class Undecided:
        def plan(self, state: reducer.State) -> None:
            return None

    told: list[int | Exception] = []
    model = PlannedModel(Undecided(), WordRenderer(), ROUND, lambda after_s, what: what())
    model.open(()).result().write((), reducer.start(settings("speculative"), {}), told.append)
    assert [f"{type(item).__name__}: {item}" for item in told] == [
        "ValueError: this planner leaves an action to a model; give the session one"
    ]


def test_a_model_that_cannot_check_a_draft_is_asked_token_by_token():
    from midsentence.shells.batch import verify_by_token

    class Counts:
        """A model that counts; under a constraint 7 must follow."""

        def __init__(self) -> None:
            self.ids = [0]

        length = property(lambda self: len(self.ids))

        def append(self, batch):
            self.ids += batch[0][1]

        def decode(self, streams, masks):
            self.ids.append(self.ids[-1] + 1)
            return self.ids[-1:]

        def crop(self, stream, length):
            del self.ids[length:]

    class Sevens:
        def __init__(self) -> None:
            self.pushed: list[int] = []

        def forced(self):
            return () if len(self.pushed) != 2 else (7,)

        def push(self, token):
            self.pushed.append(token)

    model = Counts()
    assert verify_by_token(model, model, (1, 2, 5), None) == 2 and model.ids == [0, 1, 2]
    model, sevens = Counts(), Sevens()
    assert (
        verify_by_token(model, model, (1, 2, 7, 8, 10), sevens) == 4
        and model.ids == [0, 1, 2, 7, 8]
        and sevens.pushed == [1, 2, 7, 8]
    )
    model, sevens = Counts(), Sevens()
    assert verify_by_token(model, model, (1, 2, 3), sevens) == 2 and model.ids == [0, 1, 2]
