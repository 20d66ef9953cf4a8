"""The llama.cpp backend says what the transformers backend says, keeps its cache, and stops when it is told to."""

from __future__ import annotations

import json
import random
from concurrent.futures import Future
from functools import partial

import numpy as np
import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

pytest.importorskip("xllamacpp", reason="install it with: pip install -e '.[llamacpp]'")

from configs.schema import register
from data_gen.tasks import debug
from eval import replay
from midsentence.clock import NS_PER_S
from midsentence.core import reducer
from midsentence.core.events import Appended, UserUpdate
from midsentence.core.modes import settings as mode_settings
from midsentence.grammar.constraint import ProtocolGrammar
from midsentence.models import llama_library, llamacpp
from midsentence.models.checkpoint import load_model
from midsentence.models.llamacpp import LlamaCppModel
from midsentence.models.load import load_runtime
from midsentence.models.transformers import TransformersModel
from midsentence.models.worker import ModelWorker
from midsentence.rendering.prompt import system_prompt
from midsentence.rendering.renderer import Renderer
from midsentence.shells import session
from midsentence.shells.batch import run_batch
from scripts.bench_replay import episodes
from tests.midsentence.models.contract import (
    Following,
    masks_bind_only_their_own_stream,
    ragged,
    token_by_token,
    what_does_not_fit_is_named,
    what_is_foreseen_changes_nothing,
)
from training.gguf_file import write_gguf


def files(name: str, folder):
    """The GGUF of a model as it comes, in float32."""
    model, tokenizer = load_model(name, None, "float32")
    write_gguf(model, tokenizer, folder / "model.gguf", name)
    return folder / "model.gguf", model, tokenizer


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return files("tiny", tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def make(tiny):
    """The backend on the tiny model, freed at the end."""
    made = []

    def model(**options) -> LlamaCppModel:
        made.append(LlamaCppModel(tiny[0], **{"tokenizer": tiny[2], "float32": True, "threads": 1} | options))
        return made[-1]

    yield model
    for each in made:
        each.free()
        each.free()


@pytest.fixture
def reference(tiny):
    return TransformersModel(tiny[1], tokenizer=tiny[2])


def prompts(count: int, seed: int = 0, longest: int = 60) -> list[list[int]]:
    rng = random.Random(seed)
    return [[rng.randrange(5, 1400) for _ in range(rng.randrange(1, longest))] for _ in range(count)]


def write(backend, streams, count) -> list[list[int]]:
    rows = [backend.decode(streams) for _ in range(count)]
    return [list(column) for column in zip(*rows)]


def logits(backend, stream) -> np.ndarray:
    """After the context's last token."""
    backend.decode([stream])
    backend.crop(stream, stream.length - 1)
    return np.asarray(stream.logits)


def close_to(mine, theirs) -> None:
    np.testing.assert_allclose(mine, np.asarray(theirs), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("eager", [True, False])
def test_greedy_tokens_are_those_of_transformers_alone_and_batched(make, reference, eager):
    backend, starts = make(eager=eager), prompts(10)
    expected = write(reference, [reference.open(ids) for ids in starts], 12)
    assert (
        write(backend, [backend.open(ids) for ids in starts], 12) == expected
    )  # and more than there is room for at the start
    alone = make(eager=eager)
    for ids, tokens in zip(starts, expected, strict=True):
        stream = alone.open(ids)
        assert write(alone, [stream], 12) == [tokens]
        alone.close(stream)
    assert backend.end_ids == reference.end_ids == {2}


def test_ragged_appends_crops_and_forks_equal_fresh_contexts(make, reference):
    backend = make(eager=False)
    streams = ragged(backend, prompts(4), room=6)
    for stream in streams:
        close_to(logits(backend, stream), logits(reference, reference.open(stream.ids)))


def test_crop_and_fork_go_on_as_a_fresh_context_does(make):
    backend, (ids,) = make(), prompts(1, seed=4)
    stream = backend.open(ids)
    backend.append([(stream, [9] * 40)])
    write(backend, [stream], 7)
    backend.crop(stream, len(ids) + 20)
    fork = backend.fork(stream)
    fresh = make()
    expected = write(fresh, [fresh.open([*ids, *[9] * 20])], 10)
    assert write(backend, [stream], 10) == expected
    assert write(backend, [fork], 10) == expected
    assert fork.ids == stream.ids


def test_the_cache_is_kept_and_not_rebuilt(make):
    backend = make()
    counts = []

    def count() -> None:
        counts.append(backend.computed_tokens - sum(counts))

    prompt = [7] * 30
    first = backend.open(prompt)
    count()
    backend.append([(first, [1, 2, 3])])
    count()
    backend.decode([first])
    backend.append([(first, [4, 5])])  # and the token just decoded
    count()
    backend.crop(first, 32)  # of what was cached
    backend.append([(first, [1])])
    count()
    second = backend.open([*prompt, 8])
    count()
    third = backend.open(prompt)  # known but for the logits
    backend.decode([third])
    count()
    for stream in (first, second, third):
        backend.close(stream)
        backend.close(stream)
    again = backend.open([*prompt, 8, 9])
    count()
    backend.decode([backend.fork(again)])
    count()
    assert counts == [30, 3, 3, 1, 1, 1, 1, 0]


class Listener:
    """What a session sees of a generation: it takes tokens, and stops after some."""

    def __init__(self, limit: int) -> None:
        self.limit, self.tokens, self.context = limit, [], None
        self.done: Future[None] = Future()

    def __call__(self, token) -> None:
        if isinstance(token, Exception):
            self.done.set_exception(token)
            return
        self.tokens.append(token)
        if len(self.tokens) == self.limit:
            self.context.stop(self.limit - 2)
            self.done.set_result(None)
        elif len(self.tokens) < self.limit:
            self.context.took()


def test_an_interruption_stops_within_a_token_and_keeps_the_cache(make):
    backend = make()
    with ModelWorker(backend) as worker:
        context = worker.open([7] * 30).result(30)
        listener = Listener(6)
        listener.context = context
        context.write([8, 9], None, listener)
        listener.done.result(30)
        context.append([]).result(30)  # what was asked before is done by now
        assert len(listener.tokens) == 6  # nobody waited for a seventh
        assert context.stream.ids == [*[7] * 30, 8, 9, *listener.tokens[:4]]
        # the sixth token was chosen, but never taken in
        assert backend.computed_tokens == 30 + 2 + 5
        context.append([4, 4, 4]).result(30)
        assert backend.computed_tokens == 30 + 2 + 5 + 3
        stream = context.stream
    fresh = make()
    close_to(logits(backend, stream), logits(fresh, fresh.open(stream.ids)))


def test_room_grows_and_what_is_held_stays(make, monkeypatch):
    monkeypatch.setattr(llamacpp, "_CELLS", 256)
    backend, plain = make(), make()
    kept = backend.open([5] * 60)
    backend.close(backend.open([6] * 100))
    starts = [[5] * 40 + [7 + n] * 90 for n in range(9)]  # what they share is moved with each
    streams = [backend.open(ids) for ids in starts]
    assert backend._cache.tokens >= 1024
    assert backend._cache.contexts == 16
    assert backend.computed_tokens == 60 + 100 + 9 * 90  # moved, not computed again
    for stream in (kept, *streams):
        close_to(logits(backend, stream), logits(plain, plain.open(stream.ids)))


def test_a_batch_that_fails_leaves_the_contexts_as_they_were(make):
    backend = make()
    first, second = backend.open([5] * 20), backend.open([6] * 20)
    with pytest.raises(RuntimeError, match="llama.cpp failed on 3 tokens, status -1"):
        backend.append([(first, [7, 8]), (second, [999_999])])
    for stream, last in ((first, 2), (second, 1)):
        backend.crop(stream, stream.length - last)
        assert backend._cache.length(stream.slot) == stream.cached == 20
    assert write(backend, [first, second], 5) == [write(other := make(), [other.open([n] * 20)], 5)[0] for n in (5, 6)]


def test_sampling_depends_on_seed_and_position_alone(make, reference):
    backend, reference.temperature = make(temperature=1.5), 1.5
    alone = [write(backend, [backend.open([9, 8], seed=seed)], 10)[0] for seed in range(4)]
    assert write(backend, [backend.open([9, 8], seed=seed) for seed in range(4)], 10) == alone
    assert len({tuple(row) for row in alone}) == 4
    assert write(reference, [reference.open([9, 8], seed=seed) for seed in range(4)], 10) == alone
    stream = backend.open([9, 8], seed=0)
    write(backend, [stream], 10)
    backend.crop(stream, 6)
    assert write(backend, [stream], 6)[0] == alone[0][4:]


def test_masks_bind_only_their_own_stream(make):
    masks_bind_only_their_own_stream(make(), 1467)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("masked", [False, True], ids=["free", "masked"])
def test_what_is_foreseen_changes_nothing(make, masked, temperature):
    backend = make(temperature=temperature)
    backend.end_ids = frozenset()  # which random weights may write at any time
    what_is_foreseen_changes_nothing(backend, [7, 3, 50, 2], lambda: Following(1467) if masked else None)


@pytest.mark.parametrize("eager", [True, False])
def test_what_is_foreseen_is_read_in_one_pass_and_what_follows_costs_none(make, monkeypatch, eager):
    backend = make(eager=eager, temperature=1.5)
    backend.end_ids = frozenset()
    (wanted,) = write(backend, [backend.open([5, 6, 7])], 9)
    stream, seen = backend.open([5, 6]), []
    backend.append([(stream, [7])])
    compute = backend._cache.compute
    monkeypatch.setattr(
        backend._cache, "compute", lambda rows: seen.append([len(ids) for _, _, ids, _ in rows]) or compute(rows)
    )
    assert backend.verify(stream, wanted[:8]) == 8
    assert backend.decode([stream]) == [wanted[8]]
    assert seen == [[8 if eager else 9]]  # with what waited for the next pass
    assert backend.verify(stream, [(backend.decode([backend.fork(stream)])[0] + 1) % 1467] * 3) == 0
    assert stream.length == 12 and backend._cache.length(stream.slot) == stream.cached == 12
    fresh = make()
    close_to(logits(backend, stream), logits(fresh, fresh.open(stream.ids)))


def test_more_is_foreseen_than_a_pass_has_logits_for(make, monkeypatch):
    backend, passes = make(temperature=1.5), []
    backend.end_ids = frozenset()
    most = llama_library.OUTPUTS
    count = 2 * most + 5
    (wanted,) = write(backend, [backend.open([5, 6, 7])], count + 1)
    one_pass = backend._cache._pass
    monkeypatch.setattr(backend._cache, "_pass", lambda part: passes.append(len(part)) or one_pass(part))
    stream = backend.open([5, 6, 7])
    assert backend.verify(stream, wanted[:count]) == count
    assert passes[-3:] == [most, most, 6]  # the prompt's last token once more, for its logits
    assert backend.decode([stream]) == [wanted[count]]
    wrong = [*wanted[:20], wanted[20] ^ 1, *wanted[21:count]]
    del passes[:]
    assert backend.verify(again := backend.open([5, 6, 7]), wrong) == 20
    assert passes[-2:] == [most, most]  # and not to its end
    assert write(backend, [again], 8) == [wanted[20:28]]
    stream = backend.open([5, 6])
    backend.append([(stream, [7])])
    del passes[:]
    assert backend.verify(stream, [wanted[0] ^ 1, *wanted[1:9]]) == 0
    assert not passes and backend.decode([stream]) == wanted[:1]


def test_a_full_cache_grows_for_what_is_foreseen(make, monkeypatch):
    monkeypatch.setattr(llamacpp, "_CELLS", 256)
    backend, plain = make(temperature=1.5), make(temperature=1.5)
    backend.end_ids = frozenset()
    (wanted,) = write(plain, [plain.open([5] * 250)], 30)
    stream = backend.open([5] * 250)
    assert backend._cache.tokens == 256
    assert backend.verify(stream, wanted[:29]) == 29  # two passes
    assert backend._cache.tokens == 512 and backend.decode([stream]) == wanted[29:]


def test_what_ends_a_turn_or_fails_is_not_taken_in(make):
    backend = make(max_tokens=30, temperature=1.5)
    backend.end_ids = frozenset()
    (wanted,) = write(backend, [backend.open([5, 6, 7])], 6)
    stream = backend.open([5, 6, 7])
    with pytest.raises(ValueError, match="3 tokens, 28 more pass max_tokens = 30"):
        backend.verify(stream, [1] * 28)
    with pytest.raises(RuntimeError, match="llama.cpp failed on 3 tokens, status -1"):
        backend.verify(stream, [wanted[0], 999_999])
    assert stream.ids == [5, 6, 7] and backend._cache.length(stream.slot) == stream.cached == 2
    backend.end_ids = frozenset({wanted[3]})
    assert backend.verify(stream, wanted) == wanted.index(wanted[3]) > 0
    backend.close(stream)
    with pytest.raises(ValueError, match="is closed"):
        backend.verify(stream, [1])


def test_a_live_context_reads_what_is_foreseen(make, monkeypatch):
    backend, seen = make(temperature=1.5), []
    backend.end_ids = frozenset()
    (wanted,) = write(backend, [backend.open([*[7] * 30, 8, 9])], 10)
    compute = backend._cache.compute
    monkeypatch.setattr(
        backend._cache, "compute", lambda rows: seen.append([len(ids) for _, _, ids, _ in rows]) or compute(rows)
    )
    with ModelWorker(backend) as worker:
        context = worker.open([7] * 30).result(30)
        listener = Listener(10)
        listener.context = context
        del seen[:]
        context.write([8, 9], None, listener, foreseen=wanted[:8])
        listener.done.result(30)
        context.append([]).result(30)  # what was asked before is done by now
    assert listener.tokens == wanted and seen == [[2], [8], [1]]


class TokenByToken:
    """A model without its `verify`."""

    def __init__(self, inner) -> None:
        self.end_ids, self.open, self.append, self.decode = inner.end_ids, inner.open, inner.append, inner.decode
        self.crop, self.fork, self.close = inner.crop, inner.fork, inner.close


def test_verified_replays_with_a_grammar_are_those_of_writing_token_by_token(make, tiny):
    renderer = Renderer(tiny[2], "text")
    grammar = ProtocolGrammar(renderer, max_thought_chars=12, max_answer_chars=12)

    def played(backend):
        (episode,) = made = episodes(renderer, 1, scripted=False, mode="verified")
        episode.grammar, episode.limit_ns = grammar, 12 * NS_PER_S
        (rollout,) = run_batch(made, backend)
        return renderer.ids(rollout.prompt_ids, rollout.state.transcript), rollout.drafted

    ids, drafted = played(make(eager=False))
    assert (ids, drafted) == played(TokenByToken(make(eager=False)))
    assert drafted.right > 20


def test_replays_with_a_grammar_are_those_of_transformers(make, reference, tiny):
    renderer = Renderer(tiny[2], "text")
    grammar = ProtocolGrammar(renderer, max_thought_chars=12, max_answer_chars=12)

    def played(backend, batch):
        made = episodes(renderer, 3, scripted=False)
        for episode in made:
            episode.grammar = grammar
        return [
            (r.outcome, r.end_ns, renderer.ids(r.prompt_ids, r.state.transcript))
            for r in run_batch(made, backend, batch)
        ]

    expected = played(reference, 3)
    assert played(make(eager=False), 3) == played(make(eager=False), 1) == expected
    assert max(len(ids) for *_, ids in expected) > 100 + len(renderer.prompt_ids(""))


def test_what_does_not_fit_is_named(make):
    backend = make(max_tokens=8)
    what_does_not_fit_is_named(backend)
    stream = backend.open([1, 2])
    backend.close(stream)
    with pytest.raises(ValueError, match="is closed"):
        backend.append([(stream, [5])])


def test_more_contexts_than_llama_cpp_takes_are_refused(make, monkeypatch):
    monkeypatch.setattr(llamacpp, "MAX_CONTEXTS", 8)
    backend = make()
    streams = [backend.open([n + 5]) for n in range(8)]
    with pytest.raises(ValueError, match="8 contexts are open"):
        backend.open([5])
    backend.close(streams[0])
    assert backend.open([5]).length == 1


def test_files_that_are_no_models_are_refused_with_llama_cpps_reason(tmp_path):
    (tmp_path / "a.gguf").write_bytes(b"nothing of the kind")
    with pytest.raises(ValueError, match=r"can't load .*a\.gguf: .*magic"):
        LlamaCppModel(tmp_path / "a.gguf")


def test_another_version_of_the_library_is_refused(monkeypatch):
    llama_library.library.cache_clear()
    monkeypatch.setattr(llama_library.importlib.metadata, "version", lambda name: "2024.1.0")
    with pytest.raises(
        ImportError, match=f"xllamacpp 2024.1.0 is installed.*pip install xllamacpp=={llama_library.VERSION}"
    ):
        llama_library.library()
    monkeypatch.undo()
    params = llama_library.library().llama_context_default_params()
    llama_library.check_layout(params)
    params.type_k = 512
    with pytest.raises(ImportError, match="default type_k reads 512, not 1"):
        llama_library.check_layout(params)


def test_the_models_folder_is_loaded_by_runtime(tiny, tmp_path):
    _, model, tokenizer = tiny
    with pytest.raises(FileNotFoundError, match=r"no GGUF file in .*python -m training.export path=.* gguf=true"):
        load_runtime("tiny", str(save(model, tokenizer, tmp_path)), "float32", "llamacpp")
    write_gguf(model, tokenizer, tmp_path / "tiny.gguf", "tiny")
    backend = load_runtime("tiny", str(tmp_path), "float32", "llamacpp", eager=False)
    assert isinstance(backend, LlamaCppModel) and backend.float32 and backend.vocabulary_tokens == len(tokenizer)
    backend.free()
    assert isinstance(load_runtime("tiny", str(tmp_path), "float32", "transformers"), TransformersModel)
    with pytest.raises(ValueError, match="runtime 'abacus' is unknown; use transformers, llamacpp or vllm"):
        load_runtime("tiny", str(tmp_path), "float32", "abacus")
    write_gguf(model, tokenizer, tmp_path / "other.gguf", "tiny")
    with pytest.raises(FileNotFoundError, match="holds 2 GGUF files"):
        load_runtime("tiny", str(tmp_path), "float32", "llamacpp")


def test_a_live_session_can_run_on_it(tiny, tmp_path):
    _, model, tokenizer = tiny
    write_gguf(model, tokenizer, save(model, tokenizer, tmp_path) / "tiny.gguf", "tiny")
    with session.load(str(tmp_path), runtime="llamacpp", dtype="float32") as (worker, renderer):
        assert isinstance(worker.model, LlamaCppModel)
        assert worker.model.max_tokens == model.config.max_position_embeddings
        context = worker.open(renderer.prompt_ids("hello")).result(60)
        assert context.stream.length == len(renderer.prompt_ids("hello"))
    worker.model.free()


def settings(*overrides: str):
    """The settings of a command line."""
    register()
    with initialize_config_module("configs", version_base="1.3"):
        return OmegaConf.to_object(compose("config", overrides=["experiment=debug", *overrides]))


def test_a_replay_is_the_one_of_transformers(tiny, tmp_path):
    _, model, tokenizer = tiny
    folder = save(model, tokenizer, tmp_path / "model")
    changes = (
        f"model.adapter={folder}",
        "model.tags=text",
        "model.dtype=float32",
        "eval.backends=[model]",
        "eval.modes=[speculative]",
        "eval.tasks=2",
        "agent.max_context_tokens=600",
    )
    with pytest.raises(FileNotFoundError, match="no GGUF file in"):
        replay.main(settings(*changes, "eval.runtime=llamacpp", f"out={tmp_path / 'none'}"))
    write_gguf(model, tokenizer, folder / "tiny.gguf", "tiny")
    found = {}
    for runtime in ("transformers", "llamacpp"):
        out = tmp_path / runtime
        replay.main(settings(*changes, f"eval.runtime={runtime}", f"out={out}"))
        found[runtime] = [path.read_text() for path in sorted(out.glob("episodes-*.jsonl"))]
    assert found["llamacpp"] == found["transformers"]
    assert found["llamacpp"][0].count("\n") == 2
    recipes = {json.loads((tmp_path / runtime / "manifest.json").read_text())["recipe"] for runtime in found}
    assert len(recipes) == 2
    with pytest.raises(ValueError, match="unknown eval.runtime 'abacus'; use transformers, llamacpp or vllm"):
        replay.main(settings(*changes, "eval.runtime=abacus", f"out={tmp_path / 'none'}"))


def test_eight_bits_are_a_quarter_of_the_size_and_near_enough(tiny, make, tmp_path):
    path, model, tokenizer = tiny
    write_gguf(model, tokenizer, tmp_path / "q8.gguf", "tiny", eight_bits=True)
    assert (tmp_path / "q8.gguf").stat().st_size < 0.4 * path.stat().st_size
    rounded, exact = LlamaCppModel(tmp_path / "q8.gguf", threads=1), make()
    (ids,) = prompts(1, seed=3)
    mine, theirs = logits(rounded, rounded.open(ids)), logits(exact, exact.open(ids))
    assert 0 < abs(mine - theirs).max() < 0.1 * abs(theirs).max()
    rounded.free()


def save(model, tokenizer, folder):
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.slow
def test_smollm2_writes_what_it_writes_in_transformers(smollm2_folder, tmp_path):
    path, model, tokenizer = files(str(smollm2_folder), tmp_path)
    backend = LlamaCppModel(path, tokenizer=tokenizer, float32=True)
    reference = TransformersModel(model, tokenizer=tokenizer)
    texts = (
        "The capital of France is",
        "Dear Alice, thank you for",
        "def fibonacci(n):\n",
        "Once upon a time there was a",
    )
    starts = [tokenizer(text).input_ids for text in texts]
    mine, theirs = [backend.open(ids) for ids in starts], [reference.open(ids) for ids in starts]
    assert write(backend, mine, 16) == write(reference, theirs, 16)
    for stream, other in zip(mine, theirs, strict=True):
        backend.crop(stream, stream.length - 9)
        reference.crop(other, other.length - 9)
    fork = backend.fork(mine[0])
    expected = write(reference, theirs, 8)
    assert write(backend, [*mine, fork], 8) == [*expected, expected[0]]
    backend.free()


@pytest.mark.slow
@pytest.mark.parametrize("eight_bits", [False, True], ids=["float32", "eight bits"])
def test_smollm2_reads_what_it_would_write(smollm2_folder, tmp_path, eight_bits):
    """The shipped adapter, free, constrained and grounded: drafts right, wrong at the first, in the middle and at the
    last, and none."""
    model, tokenizer = load_model(str(smollm2_folder), "smollm2-midsentence", "float32")
    write_gguf(model, tokenizer, tmp_path / "model.gguf", "smollm2", eight_bits=eight_bits)
    backend = LlamaCppModel(tmp_path / "model.gguf", tokenizer=tokenizer, float32=not eight_bits)
    renderer = Renderer(tokenizer, "token")
    state = reducer.start(mode_settings("eager_end"), {spec.name: spec for spec in debug.TOOLS})
    for event in (
        UserUpdate(0, "text Bob that the review moves to Thursday at ten", True),
        Appended(1, 9),
        Appended(2, 3),
    ):
        state, _ = reducer.step(state, event)
    assert state.phase is reducer.Phase.GENERATING
    prompt = renderer.ids(renderer.prompt_ids(system_prompt(state.settings, debug.TOOLS)), state.transcript)
    constrained, grounded = ProtocolGrammar(renderer), ProtocolGrammar(renderer, grounded=True)
    for begin in (lambda: None, partial(constrained.begin, state), partial(grounded.begin, state)):
        wanted, count = token_by_token(backend, backend.open(prompt), 24, begin()), 20
        if not backend.end_ids.isdisjoint(wanted):
            count = next(n for n, id in enumerate(wanted) if id in backend.end_ids)
        assert count >= 8
        for right in (0, 1, count // 2, count - 1, count):
            stream, constraint = backend.open(prompt), begin()
            foreseen = [
                *wanted[:right],
                *((wanted[right] + 1) % 90 for _ in range(right < count)),
                *wanted[right + 1 : count],
            ]
            taken = backend.verify(stream, foreseen, constraint)
            assert right - 3 <= taken <= right  # what is forced is taken as a whole, or left
            assert stream.ids == [*prompt, *wanted[:taken]]
            assert backend.verify(stream, (), constraint) == 0
            assert token_by_token(backend, stream, count - taken, constraint) == wanted[taken:count]
            backend.close(stream)
    backend.free()
