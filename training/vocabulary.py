"""Adds tags and clock stamps to a model's vocabulary, with sensible initial embeddings.

Owns which ids are new and how their rows are initialised: with the mean of the rows that the tag's text was made of,
plus a little noise, so that no two are equal. Does not know how they are trained.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import PreTrainedModel

from midsentence.rendering.renderer import Renderer

_NOISE = 0.02
"""Of the rows' own spread."""


def new_tokens(base: Any, renderer: Renderer) -> dict[int, tuple[int, ...]]:
    """Ids that the renderer's tokenizer has and the base tokenizer lacks, each with what its text was made of
    before."""
    known = set(base.get_vocab().values())
    added = renderer.tokenizer.get_added_vocab()
    return {
        index: tuple(base.encode(text, add_special_tokens=False))
        for text, index in sorted(added.items(), key=lambda a: a[1])
        if index not in known
    }


@torch.no_grad()
def add_rows(model: PreTrainedModel, renderer: Renderer, new: dict[int, tuple[int, ...]], seed: int) -> None:
    """Makes room in the embedding (and in the head, where it is another matrix) and fills the new rows."""
    if model.get_input_embeddings().num_embeddings < renderer.vocabulary_size:
        model.resize_token_embeddings(renderer.vocabulary_size, mean_resizing=False)
    embedding, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    for matrix in [embedding] if head is embedding else [embedding, head]:
        noise = torch.Generator().manual_seed(seed)
        rows = {index: matrix[list(pieces)].float().mean(dim=0) for index, pieces in new.items()}
        spread = float(matrix[: min(len(matrix), 4096)].float().std())
        for index, row in rows.items():
            matrix[index] = (row + _NOISE * spread * torch.randn(row.shape, generator=noise).to(row.device)).to(
                matrix.dtype
            )


def embedding_names(model: PreTrainedModel) -> list[str]:
    """Names of the modules that hold the rows: the embedding, and the head where it is not tied to it."""
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    names = {module: name.rsplit(".", 1)[-1] for name, module in model.named_modules()}
    return [names[embedding]] if head.weight is embedding.weight else [names[embedding], names[head]]
