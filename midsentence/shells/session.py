"""Opens a live session in one call: loads the model, boxes the tools and looks up the mode.

Owns the defaults that `midsentence.shells.live.Session` refuses to have. Does not know how a session runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, get_args

from midsentence.core.modes import MODES, Settings, settings
from midsentence.models.live import LiveModel
from midsentence.models.load import load_renderer, load_runtime
from midsentence.models.worker import ModelWorker
from midsentence.rendering.renderer import Renderer, Stamps, Turns
from midsentence.shells.live import Session
from midsentence.tools.function import Tool, boxed
from midsentence.tools.tool import Toolbox

MAX_TOKENS = 8192
"""The longest context that `load_backend` asks a model for."""


def load_backend(
    name: str = "smollm2",
    adapter: str | None = None,
    *,
    dtype: str = "bfloat16",
    temperature: float = 0.0,
    stamps: Stamps = "none",
    runtime: str = "transformers",
    turns: Turns | None = None,
    server: str = "",
) -> tuple[Any, Renderer]:
    """A model that serves streams (`midsentence.models.load.load_runtime`), and the renderer of its tokenizer.

    Args:
        name: ``smollm2``, ``tiny``, a folder or a hub id.
        adapter: folder of a checkpoint made by `training.sft`; without one, the tags of the protocol are plain text.
        dtype: of the weights.
        temperature: 0 is greedy.
        stamps: the clock stamps that the checkpoint was trained with.
        turns: the form of turns that the checkpoint was trained with; None for the usual one.
        runtime: ``transformers``; ``llamacpp``, which takes the GGUF file of an exported checkpoint and needs no
            accelerator; or ``vllm``, a server that has the weights.
        server: the address of that; empty for this machine's.

    Raises:
        ValueError: a value that there is not; the weights have no row for a token that the transcript needs, or the
            checkpoint was trained in another form.
    """
    if turns not in (None, *get_args(Turns)):
        raise ValueError(f"turns is {turns!r}; use {' or '.join(get_args(Turns))}, or None")
    if isinstance(temperature, bool) or not isinstance(temperature, int | float) or not 0 <= temperature < math.inf:
        raise ValueError(f"temperature is {temperature!r}; use a number from 0 on")
    renderer = load_renderer(
        name, "text" if adapter is None else "token", stamps, adapter, turns if adapter is not None else None
    )
    if server and runtime != "vllm":
        raise ValueError(f"server is {server!r}, and the runtime {runtime} has none; use runtime vllm")
    there = {"server": server} if server else {}
    backend = load_runtime(name, adapter, dtype, runtime, temperature=temperature, **there)
    if backend.embeddings < renderer.vocabulary_size:
        raise ValueError(
            f"{name} has {backend.embeddings} token embeddings and its transcripts need {renderer.vocabulary_size}: give a checkpoint"
        )
    backend.max_tokens = min(backend.context_tokens or MAX_TOKENS, MAX_TOKENS)
    return backend, renderer


@contextmanager
def load(
    name: str = "smollm2",
    adapter: str | None = None,
    *,
    constrained: bool = False,
    grounded: bool = False,
    **options: Any,
) -> Iterator[tuple[ModelWorker, Renderer]]:
    """A model in a thread of its own, for any number of sessions.

    Args:
        name: as in `load_backend`.
        adapter: as in `load_backend`.
        constrained: whether what it writes is kept to the protocol's grammar.
        grounded: whether, by that grammar, texts in calls are made of words that the user said.
        options: of `load_backend`.
    """
    backend, renderer = load_backend(name, adapter, **options)
    grammar = None
    if constrained:
        from midsentence.grammar.constraint import ProtocolGrammar

        grammar = ProtocolGrammar(renderer, grounded=grounded)
    with ModelWorker(backend, grammar=grammar) as worker:
        yield worker, renderer


def open_session(
    model: tuple[LiveModel, Renderer],
    tools: Toolbox | Iterable[Tool | Callable[..., Any]],
    mode: str | Settings = "speculative",
    **options: Any,
) -> Session:
    """A session, to be entered with ``async with``.

    Args:
        model: what `load` gives.
        tools: a toolbox, or functions and `Tool`s of which one is made.
        mode: one of `midsentence.core.modes.MODES`, or a row of one's own.
        options: of `Session`.

    Raises:
        TypeError: ``mode`` is neither, or the tools are not such.
        ValueError: no such mode.
    """
    live, renderer = model
    if not isinstance(mode, str | Settings):
        raise TypeError(f"mode is {mode!r}; give one of {', '.join(MODES)}, or a Settings")
    return Session(live, boxed(tools), renderer, settings(mode) if isinstance(mode, str) else mode, **options)
