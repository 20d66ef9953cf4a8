"""The lengths of rows in the tokenizers that are at hand."""

from __future__ import annotations

from functools import lru_cache

from data_gen.trajectory import Trajectory
from midsentence import assets
from midsentence.core.transcript import Segment
from midsentence.models.folders import ModelNotFound, converted
from midsentence.models.load import load_renderer
from midsentence.rendering.renderer import Renderer


@lru_cache
def renderers(name: str) -> dict[str, Renderer | None]:
    """The three tokenizers that are counted; the row's own is None, and one that is not at hand is left out."""
    found: dict[str, Renderer | None] = {name: None}
    for other in ("smollm2", "qwen2.5", "llama3.2"):
        if other not in found and (folder := _folder(other)) is not None:
            found[other] = load_renderer(folder, "token", "none")
    return found


def _folder(name: str) -> str | None:
    if name == "smollm2":
        try:
            return "smollm2" if converted() is not None else None
        except ModelNotFound:
            return None
    try:
        return str(assets.asset_path(name))
    except assets.MissingAsset:
        return None


def tokens_in(row: Trajectory, made: Renderer) -> int:
    """The row's length in another tokenizer."""
    total = len(row.prompt_ids)
    segments = []
    for part in row.segments:
        s = part.segment
        segments.append(Segment(s.kind, s.text, s.at_ns, made.action_ids(s.text)) if s.kind == "model" else s)
    return total + len(made.ids((), segments))
