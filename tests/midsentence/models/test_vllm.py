"""The vLLM backend says what transformers says, asks only for what is new, and gives up at once what nobody wants."""
# ruff: noqa: TID251  (a server that takes its time)

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from configs.schema import VllmConfig
from eval import replay
from midsentence.grammar.constraint import ProtocolGrammar
from midsentence.models.checkpoint import load_model
from midsentence.models.load import load_runtime
from midsentence.models.transformers import TransformersModel
from midsentence.models.vllm import ServerFailed, VllmModel
from midsentence.models.worker import ModelWorker
from midsentence.rendering.renderer import Renderer
from midsentence.shells import session
from midsentence.shells.batch import run_batch
from scripts.bench_replay import episodes
from tests.midsentence.models.contract import Only, masks_bind_only_their_own_stream, ragged, what_does_not_fit_is_named
from tests.midsentence.models.test_llamacpp import prompts, settings, write
from tests.midsentence.models.vllm_server import BLOCK, FakeVllm


@pytest.fixture(scope="module")
def tiny() -> tuple[Any, Any]:
    return load_model("tiny", None, "float32")


@pytest.fixture
def reference(tiny: tuple[Any, Any]) -> TransformersModel:
    return TransformersModel(tiny[0], tokenizer=tiny[1])


@pytest.fixture
def fake(reference: TransformersModel) -> Iterator[FakeVllm]:
    with FakeVllm(reference).running() as server:
        yield server


@pytest.fixture
def make(fake: FakeVllm, tiny: tuple[Any, Any]) -> Callable[..., VllmModel]:
    return lambda **options: VllmModel(fake.url, **{"names": ["tiny"], "tokenizer": tiny[1], "end_ids": 2} | options)


def until(what: Callable[[], Any]) -> None:
    end = time.monotonic() + 30
    while not what():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


@pytest.mark.parametrize("eager", [True, False])
def test_greedy_tokens_are_those_of_transformers_alone_and_together(make, reference, eager):
    backend, starts = make(eager=eager), prompts(6)
    expected = write(reference, [reference.open(ids) for ids in starts], 12)
    assert write(backend, [backend.open(ids) for ids in starts], 12) == expected
    assert backend.end_ids == reference.end_ids == {2}
    assert backend.usage.resampled == 0


def test_ragged_appends_crops_and_forks_equal_fresh_contexts(make, reference):
    backend = make(eager=False)
    streams = ragged(backend, prompts(4))
    expected = write(reference, [reference.open(stream.ids) for stream in streams], 4)
    assert write(backend, streams, 4) == expected


def test_one_request_writes_many_tokens_and_an_append_costs_its_own_to_the_block(make, fake):
    backend = make(eager=False)
    stream = backend.open(list(range(5, 205)))
    write(backend, [stream], 20)
    assert len(fake.asked) == 1
    backend.append([(stream, [7] * 40)])
    backend.crop(stream, 230)
    backend.append([(stream, [8, 9])])
    context = list(stream.ids)
    backend.decode([stream])
    assert [len(body["prompt"]) for body in fake.asked] == [200, 232] and fake.asked[1]["prompt"] == context
    backend.close(stream)
    eager = make()
    other = eager.open(context)
    assert eager.usage.cached_tokens >= 192  # what both begin with is there; it is computed to the end of a block
    for count in (1, 5, 40):
        before = eager.usage.prompt_tokens - eager.usage.cached_tokens
        eager.append([(other, [count] * count)])
        computed = eager.usage.prompt_tokens - eager.usage.cached_tokens - before
        assert count <= computed < count + BLOCK + 1
        assert fake.asked[-1]["max_tokens"] == 1
    eager.decode([other])
    assert len(fake.asked) == 2 + 4  # the token that came with the append is the next one, not asked for again


@pytest.mark.parametrize("give_up", ["append", "crop", "close"])
def test_what_nobody_wants_any_more_is_given_up_at_once(make, fake, give_up):
    fake.pause_s = 0.02
    backend = make(eager=False)
    stream = backend.open([1, 20, 3])
    write(backend, [stream], 3)
    assert fake.aborted == 0
    if give_up == "append":
        backend.append([(stream, [5] * 20)])
    elif give_up == "crop":
        backend.crop(stream, 4)
    else:
        backend.close(stream)
        backend.close(stream)
    until(lambda: fake.aborted == 1)
    assert fake.written[0] < 20 and backend.usage.aborted == 1


def test_what_is_appended_as_it_would_be_written_gives_nothing_up(make, fake, reference):
    backend, (wanted,) = make(eager=False), write(reference, [reference.open([1, 20, 3])], 12)
    stream = backend.open([1, 20, 3])
    assert write(backend, [stream], 2)[0] == wanted[:2]
    backend.append([(stream, wanted[2:5])])
    backend.append([(stream, wanted[5:6])])
    assert write(backend, [stream], 4)[0] == wanted[6:10]
    assert (len(fake.asked), backend.usage.aborted) == (1, 0)
    backend.append([(stream, [wanted[10], wanted[11] + 1])])
    backend.decode([stream])
    assert (len(fake.asked), backend.usage.aborted) == (2, 1) and fake.asked[1]["prompt"] == stream.ids[:-1]
    eager = make()
    other = eager.open([1, 20, 3])
    write(eager, [other], 2)
    asked = len(fake.asked)
    eager.append([(other, wanted[2:4])])
    assert write(eager, [other], 2)[0] == wanted[4:6] and len(fake.asked) == asked


def test_a_long_writing_goes_on_in_another_request(make, fake, reference, monkeypatch):
    monkeypatch.setattr("midsentence.models.vllm._AHEAD_TOKENS", 5)
    backend = make(eager=False)
    assert write(backend, [backend.open([1, 20, 3])], 17) == write(reference, [reference.open([1, 20, 3])], 17)
    assert len(fake.asked) == 4 and backend.usage.aborted == 0


def test_masks_bind_only_their_own_stream(make):
    masks_bind_only_their_own_stream(make(), 1467)


def test_only_what_a_mask_refuses_is_asked_for_again(make, fake):
    backend = make(eager=False)
    (free,) = write(backend, [backend.open([1, 20, 3])], 6)
    stream = backend.open([1, 20, 3])
    size = backend.vocabulary_tokens
    before = len(fake.asked)
    for n in range(3):
        assert backend.decode([stream], [Only([free[n], 7], size)]) == [free[n]]
    assert len(fake.asked) == before + 1 and backend.usage.resampled == 0
    assert backend.decode([stream], [Only([7, 9], size)])[0] in (7, 9)
    assert len(fake.asked) == before + 2 and backend.usage.resampled == 1
    assert fake.asked[-1]["allowed_token_ids"] == [7, 9] and fake.asked[-1]["max_tokens"] == 1


def test_rows_of_the_weights_beyond_the_tokenizer_are_never_chosen(make, fake, reference):
    backend = make(eager=False)
    fake.fault = lambda body: "" if "allowed_token_ids" in body else "beyond"
    assert write(backend, [backend.open([1, 20, 3])], 3) == write(reference, [reference.open([1, 20, 3])], 3)
    assert backend.usage.resampled == 3 and fake.asked[-1]["allowed_token_ids"] == list(
        range(backend.vocabulary_tokens)
    )


def test_what_a_server_would_take_from_the_models_folder_is_said(make, fake):
    backend = make(eager=False)
    backend.decode([backend.open([1])])
    body = fake.asked[0]
    assert body["temperature"] == 0 and "seed" not in body and body["stop_token_ids"] == [2]
    assert (body["top_p"], body["top_k"], body["min_p"], body["repetition_penalty"]) == (1, 0, 0, 1)
    assert body["stop"] == ["</answer>", "</tool_call>", "<pause>"]  # the tiny model has no tags as tokens
    warm = make(eager=False, temperature=1.5)
    streams = [warm.open([9, 8], seed=seed) for seed in (0, 1, 0)]
    warm.decode(streams)
    seeds = sorted(body["seed"] for body in fake.asked[1:])  # in the order in which they came
    assert len(seeds) == 3 and len(set(seeds)) == 2 and 0 <= seeds[0] <= seeds[-1] < 2**63
    warm.append([(streams[0], [4])])
    warm.decode(streams[:1])
    assert fake.asked[-1]["seed"] not in seeds


@pytest.mark.slow
def test_replays_with_a_grammar_are_those_of_transformers(make, reference, tiny):
    renderer = Renderer(tiny[1], "text")
    grammar = ProtocolGrammar(renderer, max_thought_chars=12, max_answer_chars=12)

    def played(backend, batch):
        made = episodes(renderer, 3, scripted=False)
        for episode in made:
            episode.grammar = grammar
        return [
            (r.outcome, r.end_ns, renderer.ids(r.prompt_ids, r.state.transcript))
            for r in run_batch(made, backend, batch)
        ]

    backend = make(eager=False)
    assert played(backend, 3) == played(reference, 3)
    assert backend.usage.resampled > 10  # a random model is corrected all the time


def test_what_does_not_fit_is_named(make, fake):
    backend = make(max_tokens=8)
    what_does_not_fit_is_named(backend)
    stream = backend.open([1, 2])
    backend.close(stream)
    with pytest.raises(ValueError, match="is closed"):
        backend.append([(stream, [5])])
    fake.most = 6
    assert make(max_tokens=8).max_tokens == 6


def test_who_can_not_serve_is_told_apart(make, fake, tiny, smollm2_tokenizer):
    with pytest.raises(
        ServerFailed, match=r"vLLM server at http://127.0.0.1:9/v1 can't be reached .*vllm serve FOLDER"
    ):
        VllmModel("http://127.0.0.1:9/v1", names=["tiny"], tokenizer=tiny[1])
    with pytest.raises(ValueError, match="'localhost:8000' is no address"):
        VllmModel("localhost:8000", names=["tiny"], tokenizer=tiny[1])
    with pytest.raises(
        ValueError, match=r"serves tiny, and outputs/train/other is asked of it; .*--served-model-name other"
    ):
        make(names=["outputs/train/other"])
    assert make(names=["outputs/export/tiny"]).name == "tiny"
    with pytest.raises(ValueError, match=r"cuts a text into other tokens .*training\.export"):
        make(tokenizer=smollm2_tokenizer)
    with pytest.raises(ServerFailed, match="lists no models"):
        VllmModel(fake.url.removesuffix("/v1") + "/other", names=["tiny"], tokenizer=tiny[1])


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("500", "refuses with status 500: .*no: set"),
        ("error", "gave up: the engine died"),
        ("cut", "closed a stream before its end"),
        ("bare", "gives no token ids"),
        ("nothing", "without a token"),
    ],
)
def test_a_server_that_fails_is_named_and_the_others_go_on(make, fake, fault, said):
    backend = make(eager=False)
    well, ill = backend.open([1, 20, 3]), backend.open([5, 6])
    fake.fault = lambda body: fault if body["prompt"][:1] == [5] else ""
    with pytest.raises(ServerFailed, match=said):
        write(backend, [ill], 2)
    assert len(write(backend, [well], 4)[0]) == 4
    fake.fault = lambda body: ""
    assert len(write(backend, [ill], 4)[0]) == 4


def test_a_live_session_is_interrupted(fake, make):
    """A worker's context: what is written stops at the server when the session says so."""
    fake.pause_s = 0.02
    got: list[Any] = []
    with ModelWorker(make()) as worker:
        context = worker.open([1, 20, 3]).result(30)

        def took(token: Any) -> None:
            got.append(token)
            context.took()

        context.append([4, 5]).result(30)
        context.write([6], None, took)
        until(lambda: len(got) > 3)
        context.stop(2)
        until(lambda: fake.aborted == 1)
        context.append([7]).result(30)
        assert context.stream.ids == [1, 20, 3, 4, 5, 6, *got[:2], 7]
        assert worker.model.usage.aborted == 1


def test_a_key_is_sent_and_never_shown(make, fake, monkeypatch):
    monkeypatch.setenv("VLLM_API_KEY", "hush")
    backend = make(eager=False)
    fake.fault = lambda body: "500"
    with pytest.raises(ServerFailed) as failed:
        backend.decode([backend.open([1])])
    assert fake.headers[-1]["Authorization"] == "Bearer hush" and "hush" not in str(failed.value)


def test_it_is_loaded_by_runtime(fake):
    backend = load_runtime("tiny", None, "float32", "vllm", server=fake.url, eager=False, temperature=0.0)
    assert isinstance(backend, VllmModel) and backend.end_ids == {2} and backend.embeddings == len(backend.tokenizer)
    with session.load("tiny", runtime="vllm", server=fake.url) as (worker, renderer):
        context = worker.open(renderer.prompt_ids("hello")).result(60)
        assert context.stream.length == len(renderer.prompt_ids("hello"))
    with pytest.raises(ValueError, match="the runtime transformers has none"):
        session.load_backend("tiny", server=fake.url)


def test_a_replay_is_the_one_of_transformers(tiny, fake, tmp_path):
    folder = tmp_path / "tiny"
    tiny[0].save_pretrained(folder)
    tiny[1].save_pretrained(folder)
    changes = (
        f"model.adapter={folder}",
        "model.tags=text",
        "model.dtype=float32",
        "eval.backends=[model]",
        "eval.modes=[speculative]",
        "eval.tasks=2",
        "agent.max_context_tokens=600",
        f"eval.vllm.url={fake.url}",
    )
    found = {}
    for runtime in ("transformers", "vllm"):
        out = tmp_path / runtime
        replay.main(settings(*changes, f"eval.runtime={runtime}", f"out={out}"))
        found[runtime] = [path.read_text() for path in sorted(out.glob("episodes-*.jsonl"))]
    assert found["vllm"] == found["transformers"] and found["vllm"][0].count("\n") == 2
    two = settings(*changes, "eval.runtime=vllm", f"out={tmp_path / 'two'}")
    two.eval.checkpoints, two.eval.backends, two.eval.vllm = (
        {"other": str(folder)},
        ["model", "other"],
        VllmConfig(fake.url, "tiny"),
    )
    with pytest.raises(ValueError, match="eval.vllm.model=tiny is one name for model, other"):
        replay.main(two)
