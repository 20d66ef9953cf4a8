"""Writes a model's folder as one GGUF file for llama.cpp, with the ``gguf`` package that llama.cpp maintains.

Owns which settings and tensors of a Llama or Qwen2 model go where; names of tensors come from the package's own table.
llama.cpp's conversion script does this for every architecture, but is in no package: for others, use it on the exported
folder. Does not know how the model was trained.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from midsentence.models.ends import action_ends

_ARCHITECTURES = {"llama": "LLAMA", "qwen2": "QWEN2"}


def write_gguf(model: Any, tokenizer: Any, path: Path, name: str, eight_bits: bool = False) -> None:
    """Writes model and tokenizer; matrices in the model's dtype, or rounded to 8 bits (Q8_0), vectors in float32.

    Raises:
        ValueError: an architecture or a tokenizer that is not known here; the text says what to use instead.
    """
    import gguf

    config = model.config
    if config.model_type not in _ARCHITECTURES:
        raise ValueError(
            f"gguf=true knows {', '.join(_ARCHITECTURES)}, not {config.model_type}; run llama.cpp's convert_hf_to_gguf.py on the folder"
        )
    architecture = getattr(gguf.MODEL_ARCH, _ARCHITECTURES[config.model_type])
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[architecture])
    _settings(writer, config, name)
    _vocabulary(writer, tokenizer, config.vocab_size, gguf)
    names = gguf.get_tensor_name_map(architecture, config.num_hidden_layers)
    tied = config.tie_word_embeddings
    for source, tensor in model.state_dict().items():
        if tied and source == "lm_head.weight":
            continue
        target = names.get_name(source, try_suffixes=(".weight", ".bias"))
        if target is None:
            raise ValueError(
                f"gguf=true has no place for tensor {source}; run llama.cpp's convert_hf_to_gguf.py on the folder"
            )
        _tensor(writer, target, _permuted(source, tensor, config), gguf, eight_bits)
    if (factors := _rope_factors(config)) is not None:
        writer.add_tensor("rope_freqs.weight", factors)
    half = path.with_suffix(".tmp")
    writer.write_header_to_file(half)
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    half.rename(path)


def _rope(config: Any) -> dict[str, Any]:
    return getattr(config, "rope_parameters", None) or {}


def _head_dim(config: Any) -> int:
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def _settings(writer: Any, config: Any, name: str) -> None:
    writer.add_name(name)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(_rope(config).get("rope_theta") or getattr(config, "rope_theta", 10000.0))
    writer.add_vocab_size(config.vocab_size)
    if config.model_type == "llama":
        writer.add_rope_dimension_count(_head_dim(config))
    if _head_dim(config) * config.num_attention_heads != config.hidden_size:
        writer.add_key_length(_head_dim(config))
        writer.add_value_length(_head_dim(config))


def _vocabulary(writer: Any, tokenizer: Any, size: int, gguf: Any) -> None:
    """Byte-level BPE; tags are user-defined tokens, which llama.cpp shows and never takes for control.

    The three that end an action fill the three places for tokens that end a text; the model's own end of a turn
    llama.cpp knows by name.
    """
    whole = json.loads(tokenizer.backend_tokenizer.to_str())
    tokens = [f"[PAD{index}]" for index in range(size)]
    kinds = [int(gguf.TokenType.UNUSED)] * size
    for token, index in whole["model"]["vocab"].items():
        tokens[index], kinds[index] = token, int(gguf.TokenType.NORMAL)
    for token in whole["added_tokens"]:
        tokens[token["id"]] = token["content"]
        kinds[token["id"]] = int(gguf.TokenType.CONTROL if token["special"] else gguf.TokenType.USER_DEFINED)
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in whole["model"]["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(_pre_tokenizer(whole))
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    ends = action_ends(tokenizer)
    for add, index in (
        (writer.add_bos_token_id, tokenizer.bos_token_id),
        (writer.add_pad_token_id, tokenizer.pad_token_id),
        (writer.add_eos_token_id, ends.get("</answer>", tokenizer.eos_token_id)),
        (writer.add_eot_token_id, ends.get("<pause>")),
        (writer.add_eom_token_id, ends.get("</tool_call>")),
    ):
        if index is not None:
            add(index)
    writer.add_add_bos_token(False)  # the chat format writes it where there is one
    if tokenizer.chat_template:
        writer.add_chat_template(tokenizer.chat_template)


def _pre_tokenizer(whole: dict[str, Any]) -> str:
    """llama.cpp's name for how the tokenizer cuts text before merging."""
    steps = json.dumps(whole.get("pre_tokenizer"))
    if '"individual_digits": true' in steps:
        return "smollm"
    if r"\\p{N}{1,3}" in steps:
        return "llama-bpe"
    if r"|\\p{N}|" in steps:
        return "qwen2"
    raise ValueError(
        "gguf=true does not know how this tokenizer cuts text; run llama.cpp's convert_hf_to_gguf.py on the folder"
    )


def _permuted(name: str, tensor: torch.Tensor, config: Any) -> torch.Tensor:
    """llama.cpp's rotary embedding of Llama models takes neighbouring pairs, transformers' takes halves."""
    if config.model_type != "llama" or not name.endswith(
        ("q_proj.weight", "k_proj.weight", "q_proj.bias", "k_proj.bias")
    ):
        return tensor
    heads = config.num_attention_heads if "q_proj" in name else config.num_key_value_heads
    return (
        tensor.reshape(heads, 2, tensor.shape[0] // heads // 2, *tensor.shape[1:]).swapaxes(1, 2).reshape(tensor.shape)
    )


def _tensor(writer: Any, name: str, tensor: torch.Tensor, gguf: Any, eight_bits: bool) -> None:
    data = tensor.detach().float().contiguous().numpy()
    if eight_bits and tensor.ndim > 1 and tensor.shape[-1] % 32 == 0:  # a block of 32 shares a scale
        kind = gguf.GGMLQuantizationType.Q8_0
        writer.add_tensor(name, gguf.quants.quantize(data, kind), raw_dtype=kind)
    elif tensor.ndim > 1 and tensor.dtype == torch.bfloat16:
        kind = gguf.GGMLQuantizationType.BF16
        writer.add_tensor(name, gguf.quants.quantize(data, kind), raw_dtype=kind)
    elif tensor.ndim > 1 and tensor.dtype == torch.float16:
        writer.add_tensor(name, data.astype(np.float16))
    else:
        writer.add_tensor(name, data)


def _rope_factors(config: Any) -> np.ndarray | None:
    """Llama 3's scaling of rotary frequencies as factors, (head_dim / 2,) float32; None where there is none."""
    rope = _rope(config)
    if rope.get("rope_type", "default") == "default":
        return None
    if rope["rope_type"] != "llama3":
        raise ValueError(
            f"gguf=true does not know rope type {rope['rope_type']}; run llama.cpp's convert_hf_to_gguf.py on the folder"
        )
    low, high, original = rope["low_freq_factor"], rope["high_freq_factor"], rope["original_max_position_embeddings"]
    half = _head_dim(config) // 2
    wavelengths = 2 * np.pi * rope["rope_theta"] ** (np.arange(half) / half)
    smooth = np.clip((original / wavelengths - low) / (high - low), 0.0, 1.0)
    factors: np.ndarray = (1.0 / ((1 - smooth) / rope["factor"] + smooth)).astype(np.float32)
    return factors
