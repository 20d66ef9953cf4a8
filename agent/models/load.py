"""Tokenizers and running models by the same names as models.

Owns the loading of a tokenizer from a model's folder, or from a checkpoint that brings its own, and which runtime loads
the weights. Refuses to know how either does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agent.models.embedded import resolve
from agent.rendering import Renderer

RUNTIMES = ("transformers", "llamacpp")


def load_tokenizer(name: str, adapter: str | None = None) -> Any:
    """The tokenizer of a model, or of a checkpoint trained from it.

    Raises:
        FileNotFoundError: the checkpoint has no tokenizer, so its tokens can't be known.
    """
    from transformers import AutoTokenizer
    if adapter is None:
        return AutoTokenizer.from_pretrained(resolve(name))
    folder = Path(adapter)
    if not folder.is_dir():
        raise FileNotFoundError(f"no checkpoint at {adapter}; train one with: python -m training.sft out={adapter}")
    if not (folder / "tokenizer.json").exists():
        raise FileNotFoundError(f"checkpoint {adapter} has no tokenizer.json: it was not saved by training.sft; copy its tokenizer there")
    return AutoTokenizer.from_pretrained(folder)


def load_renderer(name: str, tags: str, stamps: str, adapter: str | None = None) -> Renderer:
    """The renderer of a model or checkpoint; tags and stamps that its tokenizer lacks are added to it."""
    return Renderer.prepare(load_tokenizer(name, adapter), tags, stamps)


def load_runtime(name: str, adapter: str | None = None, dtype: str = "bfloat16", runtime: str = "transformers", **options: Any) -> Any:
    """A model that serves streams, on the accelerator if there is one.

    Args:
        name: a folder, a hub id, ``smollm2`` or ``tiny``.
        adapter: folder of a checkpoint.
        dtype: of weights and cache; for llama.cpp of the cache alone, float32 or else float16.
        runtime: ``transformers``, or ``llamacpp``, which takes the GGUF file in the folder, with the weights as that has them.
        options: of both backends' constructors: temperature, max_tokens, eager.

    Raises:
        FileNotFoundError: no such checkpoint, or it lacks what the runtime needs.
        ValueError: no such runtime.
    """
    if runtime == "llamacpp":
        from agent.models.llamacpp import LlamaCppModel, gguf_in
        tokenizer = load_tokenizer(name, adapter)
        return LlamaCppModel(gguf_in(adapter or resolve(name)), tokenizer=tokenizer, float32=dtype == "float32", **options)
    if runtime != "transformers":
        raise ValueError(f"runtime {runtime!r} is unknown; use {' or '.join(RUNTIMES)}")
    import torch

    from agent.models.checkpoint import load_model
    from agent.models.transformers import TransformersModel
    model, tokenizer = load_model(name, adapter, dtype)
    return TransformersModel(model.to("cuda" if torch.cuda.is_available() else "cpu"), tokenizer=tokenizer, **options)
