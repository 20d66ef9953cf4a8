"""Tokenizers by the same names as models.

Owns the loading of a tokenizer from a model's folder, or from a checkpoint that brings its own. Refuses to know weights.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agent.models.embedded import resolve
from agent.rendering import Renderer


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
