"""A live session in one call: the model loaded, the tools boxed, the mode looked up.

Owns the defaults that `agent.runtime.Session` refuses to have. Refuses to know how a session runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import contextmanager
from typing import Any

from agent.models.live import LiveModel, ModelWorker
from agent.modes import settings
from agent.rendering import Renderer
from agent.runtime import Session
from agent.tools.function import FunctionToolbox, Tool
from agent.tools.tool import Toolbox


@contextmanager
def load(name: str = "smollm2", adapter: str | None = None, *, dtype: str = "bfloat16", temperature: float = 0.0, stamps: str = "none"):
    """A model in a thread of its own, for any number of sessions: gives (`ModelWorker`, `Renderer`).

    Args:
        name: ``smollm2``, ``tiny``, a folder or a hub id.
        adapter: folder of a checkpoint made by `training.sft`; without one, the tags of the protocol are plain text.
        dtype: of the weights.
        temperature: 0 is greedy.
        stamps: the clock stamps that the checkpoint was trained with.
    """
    from agent.models.checkpoint import load_model
    from agent.models.transformers import TransformersModel

    model, tokenizer = load_model(name, adapter, dtype)
    renderer = Renderer.prepare(tokenizer, "text" if adapter is None else "token", stamps)
    rows = model.get_input_embeddings().num_embeddings
    if rows < renderer.vocabulary_size:
        raise ValueError(f"{name} has {rows} token embeddings and its transcripts need {renderer.vocabulary_size}: give a checkpoint")
    most = getattr(model.config, "max_position_embeddings", None) or 4096
    backend = TransformersModel(model, tokenizer=tokenizer, temperature=temperature, max_tokens=min(most, 8192))
    with ModelWorker(backend) as worker:
        yield worker, renderer


def open_session(
    model: tuple[LiveModel, Renderer], tools: Toolbox | Iterable[Tool | Callable[..., Any]], mode: str = "speculative",
    *, changes: dict[str, Any] | None = None, **options: Any,
) -> Session:
    """A session, to be entered with ``async with``.

    Args:
        model: what `load` gives.
        tools: a toolbox, or functions and `Tool`s of which one is made.
        mode: one of `agent.modes.MODES`.
        changes: of the mode's settings.
        options: of `Session`.
    """
    live, renderer = model
    toolbox = tools if hasattr(tools, "specs") else FunctionToolbox(tools)
    return Session(live, toolbox, renderer, settings(mode, **(changes or {})), **options)
