"""Loads weights by a model's name: the model as it comes, or a checkpoint trained from it.

Owns the loading of an adapter (LoRA and the rows of added tokens, merged) and of a fully trained folder, and that model
and tokenizer are a pair. Does not know how a checkpoint was trained, and what generates with it.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

from midsentence.models.folders import resolve
from midsentence.models.load import adapter_folder, finite, load_tokenizer, reading

_ADAPTER = "adapter_config.json"
BASE = "base.json"
"""Beside an adapter: what tells its base model's shape, as in the model's own config.json."""


def load_model(name: str, adapter: str | None = None, dtype: str = "bfloat16") -> tuple[Any, Any]:
    """A causal language model on the CPU, and its tokenizer.

    Args:
        name: as `midsentence.models.folders.resolve` takes it; the base model of an adapter.
        adapter: folder of a checkpoint or name of a shipped one, with an adapter or with all weights; None for the
            model as it comes.
        dtype: of the weights: ``bfloat16``, ``float32`` or ``float16``.

    Raises:
        FileNotFoundError: the checkpoint is not there, or has no tokenizer or weights.
        ValueError: model and tokenizer are no pair, weights are no finite numbers, or the adapter was trained from
            another model.
    """
    import torch
    from transformers import AutoModelForCausalLM

    kind = getattr(torch, dtype, None)
    if not isinstance(kind, torch.dtype):
        raise ValueError(f"dtype {dtype!r} is unknown; use bfloat16, float32 or float16")
    tokenizer = load_tokenizer(name, adapter)
    if adapter is None:
        with reading(resolve(name)):
            model = AutoModelForCausalLM.from_pretrained(resolve(name), dtype=kind, trust_remote_code=False)
        return _paired(model, tokenizer, name), tokenizer
    folder = adapter_folder(adapter)
    if not (folder / _ADAPTER).exists():
        if not (folder / "config.json").exists():
            raise FileNotFoundError(
                f"checkpoint {adapter} has neither {_ADAPTER} nor config.json: its training did not end; run it again"
            )
        with reading(folder):
            model = AutoModelForCausalLM.from_pretrained(folder, dtype=kind, trust_remote_code=False)
        return _paired(model, tokenizer, adapter), tokenizer
    from peft import PeftModel

    _check_base(name, folder)
    # merged in float32: in bfloat16 the sum of a weight and a small change loses the change
    with reading(resolve(name)):
        model = AutoModelForCausalLM.from_pretrained(resolve(name), dtype=torch.float32, trust_remote_code=False)
    if model.get_input_embeddings().num_embeddings < len(tokenizer):
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)  # the adapter holds the new rows
    with reading(folder), warnings.catch_warnings():  # peft reads a name that transformers has since changed
        warnings.filterwarnings("ignore", message=".*_checkpointing` is deprecated", category=FutureWarning)
        merged = PeftModel.from_pretrained(model, str(folder)).merge_and_unload()
    return _paired(merged.to(kind), tokenizer, adapter), tokenizer


def _paired(model: Any, tokenizer: Any, name: str) -> Any:
    rows = model.get_input_embeddings().num_embeddings
    if len(tokenizer) > rows:
        raise ValueError(f"{name}: the tokenizer has {len(tokenizer)} tokens, the model {rows}; they are not a pair")
    return finite(model, name)


def _check_base(name: str, folder: Path) -> None:
    """A base model of another shape would fail far below, with a page of tensor sizes."""
    known = folder / BASE
    if not known.exists():
        return
    base = json.loads(known.read_text("utf-8"))
    found = json.loads((resolve(name) / "config.json").read_text("utf-8"))
    if odd := [key for key, value in base.items() if found.get(key) != value]:
        raise ValueError(
            f"checkpoint {folder} was trained from a model with {odd[0]}={base[odd[0]]}, but {name} has {found.get(odd[0])}; "
            "set model=… to what its config.yaml says"
        )
