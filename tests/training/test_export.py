"""From a training run to folders and files that others load: the same greedy tokens at the end of the chain."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from midsentence.core.protocol import ENDS
from midsentence.ending import UserError
from midsentence.models.checkpoint import load_model
from midsentence.models.ends import action_ends, text_ends, turn_ends
from midsentence.models.folders import TINY
from midsentence.models.load import load_renderer
from midsentence.models.transformers import TransformersModel
from training import export, sft
from training.gguf_file import write_gguf

SHAPE = {
    "vocab_size": 1470,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
    "initializer_range": 0.3,
    "bos_token_id": None,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}


def base_model(kind: str, folder: Path) -> str:
    """A small random model of the real architecture, with the tiny model's tokenizer."""
    torch.manual_seed(3)
    if kind == "qwen2":
        model: Any = Qwen2ForCausalLM(Qwen2Config(**SHAPE, tie_word_embeddings=True))
    else:
        model = LlamaForCausalLM(LlamaConfig(**SHAPE, tie_word_embeddings=False, rope_parameters=LLAMA3))
    model.generation_config.eos_token_id = None
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(TINY).save_pretrained(folder)
    return str(folder)


def greedy(model: Any, count: int = 16) -> list[int]:
    ids = torch.tensor([[1, 1467, 500, 780, 30, 7, 8, 9, 200]])
    out = model.generate(
        ids, max_new_tokens=count, do_sample=False, pad_token_id=0, attention_mask=torch.ones_like(ids)
    )
    return out[0, ids.shape[1] :].tolist()


def trained(kind: str, settings: Any, tmp_path: Path) -> tuple[str, Path]:
    name = base_model(kind, tmp_path / "base")
    config = settings(
        f"model.name={name}", "train.max_steps=2", "train.learning_rate=0.01", f"out={tmp_path / 'trained'}"
    )
    sft.main(config)
    return name, tmp_path / "trained"


def exported(source: Path, folder: Path, settings: Any) -> Path:
    export.main(settings(f"path={source}", f"out={folder}", "gguf=true"))
    return folder


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_the_exported_model_writes_the_same_greedy_tokens(kind, settings, tmp_path):
    name, source = trained(kind, settings, tmp_path)
    folder = exported(source, tmp_path / "model", settings)
    ours, _ = load_model(name, str(source), "float32")
    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    assert greedy(theirs) == greedy(ours)
    assert greedy(theirs) != greedy(AutoModelForCausalLM.from_pretrained(name, dtype=torch.float32))
    renderer = load_renderer(str(folder), "token", "none")
    assert renderer.fingerprint == json.loads((source / "manifest.json").read_text())["tokenizer"]
    assert {path.suffix for path in folder.iterdir()} <= {".json", ".jinja", ".safetensors", ".md", ".yaml", ".gguf"}


def test_the_gguf_file_holds_the_same_model(settings, tmp_path):
    _, source = trained("qwen2", settings, tmp_path)
    folder = exported(source, tmp_path / "model", settings)
    plain = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    read = AutoModelForCausalLM.from_pretrained(folder, gguf_file="trained.gguf", dtype=torch.float32)
    ids = torch.arange(5, 60)[None]
    torch.testing.assert_close(read(ids).logits, plain(ids).logits, rtol=1e-5, atol=1e-5)


def chained(folder: Path, tokens: list[int]) -> None:
    """Changes an exported model so that it writes these tokens, each after the one before it, and then the last for
    ever."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.copy_(torch.ones_like(weight) if "norm" in name else torch.zeros_like(weight))
        for place, (token, after) in enumerate(zip(tokens, [*tokens[1:], tokens[-1]])):
            model.model.embed_tokens.weight[token, place] = 1.0
            model.lm_head.weight[after, place] = 1.0
    model.save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    write_gguf(model, tokenizer, folder / "trained.gguf", "trained")


@pytest.mark.parametrize("tag", ENDS)
def test_an_exported_model_stops_by_itself_at_the_end_of_an_action(tag, settings, tmp_path):
    _, source = trained("llama", settings, tmp_path)
    folder = exported(source, tmp_path / "model", settings)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    end = tokenizer.convert_tokens_to_ids(tag)
    chained(folder, [500, 600, 700, end, 800])
    plain = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    ids = torch.tensor([[1, 500]])
    written = plain.generate(
        ids, max_new_tokens=12, do_sample=False, attention_mask=torch.ones_like(ids), pad_token_id=0
    )
    assert written[0, 2:].tolist() == [600, 700, end]
    # to our own backends it is part of the action, and what ends a turn is what the base model stops at
    assert TransformersModel(plain, tokenizer=tokenizer).end_ids.isdisjoint(action_ends(tokenizer).values())

    gguf = pytest.importorskip("gguf")
    fields = gguf.GGUFReader(folder / "trained.gguf").fields
    places = [f"tokenizer.ggml.{name}_token_id" for name in ("eos", "eot", "eom")]
    assert {int(fields[place].contents()) for place in places} == set(action_ends(tokenizer).values())


def test_the_folder_names_the_ends_beside_those_of_the_base_model(settings, tmp_path):
    _, source = trained("qwen2", settings, tmp_path)
    folder = exported(source, tmp_path / "model", settings)
    named = json.loads((folder / "generation_config.json").read_text())["eos_token_id"]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert named == [tokenizer.convert_tokens_to_ids(tag) for tag in ("</answer>", "</tool_call>", "<pause>")]
    assert (
        text_ends([2, 7], tokenizer) == [*named, 2, 7] and text_ends(2, None) == [2] and text_ends(None, None) is None
    )
    assert turn_ends([*named, 2], tokenizer) == {2} and turn_ends(None, tokenizer) == frozenset()
    assert "transformers, vLLM and llama.cpp stop at them by themselves." in (folder / "README.md").read_text()


@pytest.mark.full
@pytest.mark.parametrize("tag", ENDS)
def test_llama_cpp_stops_by_itself_at_the_end_of_an_action(tag, settings, tmp_path):
    xllamacpp = pytest.importorskip("xllamacpp", reason="install it with: pip install -e '.[llamacpp]'")
    _, source = trained("llama", settings, tmp_path)
    folder = exported(source, tmp_path / "model", settings)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    chained(folder, [500, 600, 700, tokenizer.convert_tokens_to_ids(tag), 800])
    params = xllamacpp.CommonParams()
    params.model.path = str(folder / "trained.gguf")
    params.n_ctx, params.n_parallel, params.cpuparams.n_threads = 256, 1, 1
    answer = xllamacpp.Server(params).handle_completions({"prompt": [1, 500], "max_tokens": 12, "temperature": 0})
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["usage"]["completion_tokens"] == 3


@pytest.mark.full
@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_llama_cpp_writes_writes_the_same_greedy_tokens(kind, settings, tmp_path):
    xllamacpp = pytest.importorskip("xllamacpp", reason="install it with: pip install -e '.[llamacpp]'")
    _, source = trained(kind, settings, tmp_path)
    folder = exported(source, tmp_path / "model", settings)
    params = xllamacpp.CommonParams()
    params.model.path = str(folder / "trained.gguf")
    params.n_ctx, params.n_parallel, params.cpuparams.n_threads = 256, 1, 1
    params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32  # its default, half precision, shows
    server = xllamacpp.Server(params)
    question = {"prompt": [1, 1467, 500, 780, 30, 7, 8, 9, 200], "max_tokens": 16, "temperature": 0, "logprobs": 1}
    answer = server.handle_completions({**question, "ignore_eos": True})
    written = [token["id"] for token in answer["choices"][0]["logprobs"]["content"]]
    plain = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    # its answer leaves out tokens that are half a character, which random models like to write
    expected = [index for index in greedy(plain) if index in written]
    assert written == expected
    assert len(written) >= 12


def test_the_card_names_data_settings_and_commit(settings, tmp_path, debug_data):
    config = settings()
    sft.main(config)
    folder = exported(Path(config.out), tmp_path / "model", settings)
    card = (folder / "README.md").read_text()
    commit = json.loads((Path(config.out) / "manifest.json").read_text())["git"].get("commit", "unknown")
    assert "base_model:" not in card and "look it up" in card  # nobody finds the tiny model on the hub
    for said in (
        f"`{debug_data}`: 12 trajectories",
        "`tiny` trained with",
        f"commit {commit}",
        "lora, 5 steps",
        "seed 0",
    ):
        assert said in card
    with pytest.raises(UserError, match="holds something already"):
        exported(Path(config.out), tmp_path / "model", settings)


def test_what_is_no_run_is_refused(settings, tmp_path):
    with pytest.raises(UserError, match="path= names no checkpoint"):
        export.main(settings())
    with pytest.raises(UserError, match="has no config.yaml: it is no finished run"):
        export.main(settings(f"path={tmp_path}"))


def test_a_folder_that_holds_anything_is_left_alone(tmp_path, composed):
    from midsentence.ending import UserError
    from training import export

    source = run_files(tmp_path / "run")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="full holds something already; give another out=, or delete it"):
        export.main(composed(f"path={source}", f"out={tmp_path / 'full'}"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full", "run"]


@pytest.mark.parametrize(
    ("name", "content"), [("config.yaml", "train: 3"), ("manifest.json", ""), ("manifest.json", '{"data": {"a": 1}}')]
)
def test_a_run_whose_files_are_not_what_training_writes_is_named(tmp_path, name, content):
    from midsentence.ending import UserError
    from training import export

    source = run_files(tmp_path / "run")
    (source / name).write_text(content)
    with pytest.raises(UserError, match=f"{name} is not what training.sft writes"):
        export.run_of(source, str(source))


def run_files(folder: Path) -> Path:
    folder.mkdir()
    settings = {
        "name": "x",
        "model": {"name": "tiny", "tags": "token", "dtype": "float32"},
        "clock": {"stamps": "none"},
    }
    (folder / "config.yaml").write_text(json.dumps(settings | {"train": {"method": "lora", "learning_rate": 0.1}}))
    (folder / "manifest.json").write_text('{"seed": 0}')
    return folder


@pytest.mark.slow
def test_an_adapter_that_comes_with_the_code_is_exported_by_its_name(settings, tmp_path, smollm2_folder):
    folder = tmp_path / "model"
    export.main(settings("path=smollm2-midsentence", "model.name=smollm2", "model.dtype=bfloat16", f"out={folder}"))
    ours, tokenizer = load_model("smollm2", "smollm2-midsentence", "bfloat16")
    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    assert all(torch.equal(a, b) for a, b in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True))
    assert (
        load_renderer(str(folder), "token", "none", str(folder)).fingerprint
        == load_renderer("smollm2", "token", "none", "smollm2-midsentence").fingerprint
    )
    assert set(action_ends(tokenizer).values()) < set(theirs.generation_config.eos_token_id)
    assert "SmolLM2" in (folder / "README.md").read_text()
