"""The transformers backend: a kept cache changes nothing but the time, and batch mates change nothing at all."""

from __future__ import annotations

import copy
import random

import numpy as np
import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from transformers import AutoModelForCausalLM, GemmaConfig, LlamaConfig, MambaConfig, MistralConfig, Qwen2Config

from midsentence.models.packed_linear import can_pack, pack
from midsentence.models.transformers import TransformersModel
from tests.midsentence.models.contract import (
    Following,
    masks_bind_only_their_own_stream,
    what_does_not_fit_is_named,
    what_is_foreseen_changes_nothing,
)

V = 97
SHAPE = {
    "vocab_size": V,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "eos_token_id": None,
    "bos_token_id": None,
    "pad_token_id": None,
}
CONFIGS = {
    "llama": LlamaConfig(**SHAPE),
    "qwen2": Qwen2Config(**SHAPE),
    "one_kv_head": GemmaConfig(**SHAPE | {"num_key_value_heads": 1}, head_dim=16),
    "sliding": MistralConfig(**SHAPE, sliding_window=6),
}


def pair(kind: str, **options) -> tuple[TransformersModel, torch.nn.Module]:
    """The backend on a tiny random model, and that model by itself."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(copy.deepcopy(CONFIGS[kind]), dtype=torch.float32)
    with torch.no_grad():
        for weight in model.parameters():  # the usual initialisation is so small that attention hardly matters
            weight.mul_(3 if weight.dim() > 1 else 1)
    return TransformersModel(model, **options), copy.deepcopy(model).eval()


@pytest.fixture(scope="module", params=CONFIGS)
def kinds(request):
    backend, plain = pair(request.param)
    plain.set_attn_implementation("sdpa")
    return backend, plain


@pytest.fixture(scope="module")
def llama():
    return pair("llama")[0]


def prompts(count: int, seed: int = 0, longest: int = 40) -> list[list[int]]:
    rng = random.Random(seed)
    return [[rng.randrange(V) for _ in range(rng.randrange(1, longest))] for _ in range(count)]


def write(backend, streams, count) -> list[list[int]]:
    rows = [backend.decode(streams) for _ in range(count)]
    return [list(column) for column in zip(*rows)]


def logits(backend, stream) -> torch.Tensor:
    """After the context's last token."""
    backend.decode([stream])
    backend.crop(stream, stream.length - 1)
    return stream.logits


def fresh(backend, ids, **options) -> torch.Tensor:
    """The same of a context computed in one piece by a backend that has seen nothing else."""
    other = TransformersModel(backend.model, **options)
    return logits(other, other.open(ids))


def test_batched_greedy_is_single_greedy_is_generates_greedy(kinds):
    backend, plain = kinds
    starts = prompts(6)
    together = write(backend, [backend.open(ids) for ids in starts], 12)
    for ids, mine in zip(starts, together):
        given = torch.tensor([ids])
        options = {"attention_mask": torch.ones_like(given), "do_sample": False, "pad_token_id": 0}
        theirs = plain.generate(given, max_new_tokens=12, **options)[0, len(ids) :].tolist()
        assert mine == theirs
        assert write(backend, [backend.open(ids)], 12) == [theirs]


def test_logits_are_the_plain_models(kinds):
    backend, plain = kinds
    (ids,) = prompts(1, seed=3)
    ids = ids + ids + ids
    with torch.no_grad():
        expected = plain(torch.tensor([ids])).logits[0, -1]
    stream = backend.open(ids[:5])
    backend.append([(stream, ids[5:12])])
    backend.append([(stream, ids[12:])])
    torch.testing.assert_close(logits(backend, stream), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("eager", [True, False])
def test_ragged_appends_among_decodes_equal_fresh_contexts(eager):
    backend, _ = pair("llama", eager=eager)
    streams = [backend.open(ids) for ids in prompts(5)]
    rng = random.Random(5)
    for _ in range(6):
        some = [stream for stream in streams if rng.random() < 0.6]
        backend.append([(stream, [rng.randrange(V) for _ in range(rng.randrange(0, 9))]) for stream in some])
        backend.decode([stream for stream in streams if rng.random() < 0.6])
    for stream in streams:
        torch.testing.assert_close(logits(backend, stream), fresh(backend, stream.ids), atol=1e-4, rtol=1e-4)


def test_the_cache_is_kept_and_not_rebuilt(llama, monkeypatch):
    seen = []
    forward = llama.model.forward
    monkeypatch.setattr(
        llama.model, "forward", lambda **kwargs: seen.append(kwargs["input_ids"].shape[1]) or forward(**kwargs)
    )
    prompt = [7] * 30
    first = llama.open(prompt)
    llama.append([(first, [1, 2, 3])])
    llama.decode([first])
    llama.append([(first, [4, 5])])  # and the token just decoded
    second = llama.open([*prompt, 8])
    llama.append([(first, [6]), (second, [9, 9])])
    llama.crop(first, 32)
    llama.append([(first, [1])])
    third = llama.open(prompt)
    llama.decode([third])
    assert seen == [30, 3, 3, 1, 3, 1, 1]


class Contexts(RuleBasedStateMachine):
    """Any order of open, append, decode, crop, fork and close, against contexts computed in one piece."""

    @initialize()
    def begin(self):
        self.backend, _ = pair("qwen2", max_tokens=200)
        self.mirror = []

    @rule(data=st.data())
    def open(self, data):
        base = data.draw(st.sampled_from([[1, 2, 3, 4], [1, 2, 9], [5] * 20]))
        ids = base + data.draw(st.lists(st.integers(0, V - 1), max_size=3))
        self.mirror.append((self.backend.open(ids), ids))

    @precondition(lambda self: self.mirror)
    @rule(data=st.data())
    def append(self, data):
        batch = [
            (stream, ids, data.draw(st.lists(st.integers(0, V - 1), max_size=5)))
            for stream, ids in self.mirror
            if data.draw(st.booleans())
        ]
        self.backend.append([(stream, more) for stream, _, more in batch])
        for _, ids, more in batch:
            ids += more

    @precondition(lambda self: self.mirror)
    @rule(data=st.data())
    def decode(self, data):
        some = [pair for pair in self.mirror if data.draw(st.booleans())]
        for (_, ids), token in zip(some, self.backend.decode([stream for stream, _ in some]), strict=True):
            ids.append(token)

    @precondition(lambda self: self.mirror)
    @rule(data=st.data())
    def crop(self, data):
        stream, ids = data.draw(st.sampled_from(self.mirror))
        length = data.draw(st.integers(1, len(ids)))
        self.backend.crop(stream, length)
        del ids[length:]

    @precondition(lambda self: self.mirror)
    @rule(data=st.data())
    def fork_or_close(self, data):
        stream, ids = data.draw(st.sampled_from(self.mirror))
        if data.draw(st.booleans()):
            self.mirror.append((self.backend.fork(stream), list(ids)))
        else:
            self.mirror.remove((stream, ids))
            self.backend.close(stream)
            self.backend.close(stream)

    @invariant()
    def ids_are_what_was_written(self):
        assert all((stream.ids, stream.length) == (ids, len(ids)) for stream, ids in getattr(self, "mirror", ()))

    def teardown(self):
        for stream, ids in getattr(self, "mirror", ()):
            torch.testing.assert_close(logits(self.backend, stream), fresh(self.backend, ids), atol=1e-4, rtol=1e-4)


TestContexts = Contexts.TestCase
TestContexts.settings = settings(max_examples=12, stateful_step_count=12, deadline=None)


def test_a_fork_is_independent(llama):
    stream = llama.open([1, 2, 3])
    write(llama, [stream], 3)
    other = llama.fork(stream)
    before = list(stream.ids)
    llama.append([(other, [9] * 300)])
    llama.crop(other, 2)
    llama.append([(other, [5, 5])])
    assert stream.ids == before
    torch.testing.assert_close(logits(llama, stream), fresh(llama, before), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(logits(llama, other), fresh(llama, [1, 2, 5, 5]), atol=1e-4, rtol=1e-4)


def test_sampling_depends_on_seed_and_position_alone():
    backend, _ = pair("llama", temperature=1.0)
    alone = [write(backend, [backend.open([1, 2], seed=seed)], 10)[0] for seed in range(4)]
    assert write(backend, [backend.open([1, 2], seed=seed) for seed in range(4)], 10) == alone
    assert len({tuple(row) for row in alone}) == 4
    stream = backend.open([1, 2], seed=0)
    write(backend, [stream], 10)
    backend.crop(stream, 6)
    assert write(backend, [stream], 6)[0] == alone[0][4:]
    assert write(backend, [backend.fork(backend.open([1, 2], seed=0))], 10)[0] == alone[0]


def test_samples_follow_the_distribution():
    backend, _ = pair("llama", temperature=2.0)
    drawn = backend.decode([backend.open([1, 2, 3], seed=seed) for seed in range(2000)])
    expected = torch.softmax(backend.open([1, 2, 3]).logits / 2.0, dim=-1).numpy()
    counts = np.bincount(drawn, minlength=V)
    # 4.5 standard deviations, over ids with at least 20 expected
    often = expected * 2000 >= 20
    assert often.sum() >= 5
    spread = np.sqrt(expected * (1 - expected) * 2000)
    assert (abs(counts - expected * 2000) < 4.5 * spread)[often].all()


def test_masks_bind_only_their_own_stream(llama):
    masks_bind_only_their_own_stream(llama, V)


def test_ids_beyond_the_tokenizer_are_never_chosen():
    class Ten:
        def __len__(self):
            return 10

    backend, _ = pair("llama", tokenizer=Ten(), temperature=5.0)
    assert max(backend.decode([backend.open([1], seed=seed) for seed in range(50)])) < 10


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("masked", [False, True], ids=["free", "masked"])
@pytest.mark.parametrize("kind", CONFIGS)
def test_what_is_foreseen_changes_nothing(kind, masked, temperature):
    backend, _ = pair(kind, temperature=temperature)
    what_is_foreseen_changes_nothing(backend, [7, 3, 50, 2], lambda: Following(V) if masked else None)


def test_what_is_foreseen_is_read_in_one_pass_and_what_follows_costs_none(llama, monkeypatch):
    stream = llama.open([5, 6, 7])
    wanted = write(llama, [llama.open([5, 6, 7])], 9)[0]
    seen = []
    forward = llama.model.forward
    monkeypatch.setattr(
        llama.model, "forward", lambda **kwargs: seen.append(kwargs["input_ids"].shape[1]) or forward(**kwargs)
    )
    assert llama.verify(stream, wanted[:8]) == 8
    assert llama.decode([stream]) == [wanted[8]]
    assert seen == [8]
    assert llama.verify(stream, [(llama.decode([llama.fork(stream)])[0] + 1) % V] * 3) == 0
    assert stream.length == 12


def test_what_ends_a_turn_is_not_taken_in(llama, monkeypatch):
    wanted = write(llama, [llama.open([5, 6, 7])], 6)[0]
    monkeypatch.setattr(llama, "end_ids", frozenset({wanted[3]}))
    first = wanted.index(wanted[3])
    assert llama.verify(llama.open([5, 6, 7]), wanted) == first


def test_foresight_that_does_not_fit_leaves_the_context_as_it_was(llama):
    backend = TransformersModel(llama.model, max_tokens=8)
    stream = backend.open([1, 2, 3])
    with pytest.raises(ValueError, match="3 tokens, 6 more pass max_tokens = 8"):
        backend.verify(stream, [1] * 6)
    assert stream.length == 3


def test_what_does_not_fit_is_named(llama):
    what_does_not_fit_is_named(TransformersModel(llama.model, max_tokens=8))


def test_models_with_a_state_are_refused():
    model = AutoModelForCausalLM.from_config(
        MambaConfig(vocab_size=V, hidden_size=16, num_hidden_layers=1, state_size=4)
    )
    with pytest.raises(ValueError, match="Mamba"):
        TransformersModel(model)


@pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"
)  # peft asks transformers so
def test_load_takes_a_name_and_a_merged_adapter(tmp_path):
    from peft import LoraConfig, get_peft_model

    base = TransformersModel.load("tiny", device="cpu")
    ids = base.tokenizer("hello there").input_ids
    tuned = TransformersModel.load("tiny", device="cpu", packed=False).model
    tuned.set_attn_implementation("sdpa")
    tuned = get_peft_model(tuned, LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False))
    tuned.save_pretrained(tmp_path)
    with torch.no_grad():
        expected = tuned.eval()(torch.tensor([ids])).logits[0, -1]
    mine = TransformersModel.load("tiny", adapter=tmp_path, device="cpu")
    torch.testing.assert_close(logits(mine, mine.open(ids)), expected, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(logits(base, base.open(ids)), expected, atol=1e-2)
    assert base.end_ids == {2}


def test_packed_linear_layers_say_the_same():
    backend, plain = pair("qwen2")  # with biases
    if not can_pack(backend.model):
        pytest.skip("this build of torch has no oneDNN operators")
    assert pack(backend.model) == 2 * 7 + 1
    assert not any(type(layer) is torch.nn.Linear for layer in backend.model.modules())
    plain.set_attn_implementation("sdpa")
    ids = [(7 * n) % V for n in range(50)]
    with torch.no_grad():
        expected = plain(torch.tensor([ids])).logits[0, -1]
    streams = [backend.open(ids[:3]), backend.open(ids[:9])]
    backend.append([(stream, ids[stream.length :]) for stream in streams])
    for stream in streams:
        torch.testing.assert_close(logits(backend, stream), expected, atol=1e-4, rtol=1e-4)


def test_only_float32_on_a_cpu_is_packed():
    assert not can_pack(torch.nn.Linear(2, 2).to(torch.bfloat16))
