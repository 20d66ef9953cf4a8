"""Who plays the model in a replay: the expert, a reference, a trained checkpoint, or the model as it comes.

Owns the names of backends and what each needs: prompt, tags, weights. Does not know tasks' scores and files of results.

| backend | plays | prompt and tags |
|---|---|---|
| ``expert`` | the reconciler, with the configured thoughts and eagerness | the trained model's |
| ``no_thoughts`` | the same without thoughts | the trained model's |
| ``no_guess`` | the same without thoughts and guesses: what the calls' and answer's own tokens cost | the trained model's |
| ``model`` | the configured checkpoint, or ``outputs/train/<name>`` where none is configured and that one is there | as trained |
| ``untrained`` | the same base model as it comes | ``full`` prompt that explains the protocol, tags as plain text |
| ``realtime`` | a service that speaks OpenAI's Realtime API; on the wall clock alone | as configured; tags as plain text |
| one of ``eval.checkpoints`` | that checkpoint of the configured model | as trained |

An added tag is a token that an untrained model has never seen; asked to write those it could only fail. Plain text is
what it can do best. It pays for it in tokens, as a deployment of it would.
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

from configs.schema import AgentConfig, Config, DataConfig, ModelConfig, RealtimeConfig, VllmConfig
from data_gen.expert.player import expert_of
from data_gen.grounding.reading import reading_of
from data_gen.task import Task
from midsentence.addresses import without_keys
from midsentence.models.folders import resolve
from midsentence.models.live import LiveModel
from midsentence.models.llamacpp import gguf_in
from midsentence.models.load import RUNTIMES, load_renderer, load_runtime
from midsentence.models.planned import Planner
from midsentence.rendering.renderer import Renderer, Stamps, Tags, Turns

BACKENDS = ("expert", "no_thoughts", "no_guess", "model", "untrained", "realtime")
PLANNED = ("expert", "no_thoughts", "no_guess")
"""Backends without weights."""
UNTRAINED = (*PLANNED, "untrained")
"""Backends that nobody trained on any split."""


@dataclass(frozen=True, slots=True)
class Backend:
    """A backend as it is set up for a run."""

    name: str
    """As ``eval.backends`` or ``eval.checkpoints`` calls it."""
    model: ModelConfig
    """Name, checkpoint, tags and precision; for planned ones, whose tokens they count in."""
    agent: AgentConfig
    """The configured changes, with the prompt's style."""
    stamps: str
    """Clock stamps on environment segments: ``none``, ``text`` or ``token``."""
    runtime: str = "transformers"
    """What runs the model, one of `midsentence.models.load.RUNTIMES`."""
    vllm: VllmConfig | None = None
    """The server, where that runs it."""
    service: RealtimeConfig | None = None
    """Who runs it elsewhere."""

    @property
    def planned(self) -> bool:
        """Whether it runs without weights."""
        return self.name in PLANNED

    @property
    def plays(self) -> str:
        """Who that is, in words."""
        if self.planned:
            return f"no model (tokens of {self.model.name})"
        if self.service is not None:
            return f"{self.service.model} at {without_keys(self.service.url) or 'OpenAI'}"
        return self.model.name + (f" with {self.model.adapter}" if self.model.adapter else ", untrained")

    @property
    def trained(self) -> bool:
        """Whether it may have been trained on tasks."""
        return self.name not in UNTRAINED

    def renderer(self) -> Renderer:
        """The renderer that its episodes run with."""
        return _renderer(self.model.name, self.model.tags, self.stamps, self.model.adapter, self.model.turns)

    def planner(self, task: Task, data: DataConfig, seed: int) -> Planner | None:
        """Who plans its actions on a task; None for a model. What it guesses at follows from ``seed``."""
        if not self.planned:
            return None
        if self.name == "no_guess":
            return expert_of(task, reading_of(task), data, "none")
        thoughts = "none" if self.name == "no_thoughts" else data.thoughts
        return expert_of(task, reading_of(task, data.eagerness, seed), data, thoughts)

    def load(self, temperature: float, max_tokens: int, eager: bool = False) -> Any:
        """Loads its weights, onto the accelerator if there is one; ``eager`` takes in what is appended at once, as a
        live session must."""
        if self.service is not None:
            return None
        from transformers.utils import logging

        logging.disable_progress_bar()
        model = self.model
        there = {} if self.vllm is None else {"server": self.vllm.url, "served": self.vllm.model}
        return load_runtime(
            model.name,
            model.adapter,
            model.dtype,
            self.runtime,
            temperature=temperature,
            max_tokens=max_tokens,
            eager=eager,
            **there,
        )

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[LiveModel]:
        """The model of a service, in the running loop; says at the end what was used."""
        from openai import AsyncOpenAI

        from midsentence.models.realtime_api import RealtimeModel

        assert self.service is not None
        async with AsyncOpenAI(base_url=self.service.url or None, api_key=os.environ[self.service.key_env]) as client:
            model = RealtimeModel(client, self.service.model, self.renderer())
            yield model
            used = model.usage
            print(
                f"{self.service.model}: {used.requests} responses, {used.aborted} cancelled, {used.broken} broken, {used.prompt_tokens} "
                f"tokens read, {used.cached_tokens} of them cached, {used.completion_tokens} written, {model.reconnected} reconnections",
                flush=True,
            )


def backend(name: str, config: Config) -> Backend:
    """A backend by name.

    Raises:
        ValueError: no such backend, or a setting that it can't follow.
    """
    named = config.eval.checkpoints
    if odd := [own for own in named if own in BACKENDS or not re.fullmatch(r"\w+", own)]:
        raise ValueError(f"eval.checkpoints names {odd[0]!r}; give it a name of its own, of letters, digits and _")
    if name not in BACKENDS and name not in named:
        raise ValueError(f"unknown backend {name!r}; use some of {', '.join((*BACKENDS, *named))}")
    if name == "untrained":
        model = replace(config.model, adapter=None, tags="text", turns=None)
        stamps = "none" if config.clock.stamps == "token" else config.clock.stamps
        return Backend(name, model, replace(config.agent, prompt="full", prompt_tools="full"), stamps)
    if name == "realtime":
        return _realtime(config)
    if name in PLANNED:
        # what the expert's tokens cost is the same whether or not somebody has been trained on them
        return Backend(name, replace(config.model, adapter=None), config.agent, config.clock.stamps)
    adapter = named.get(name) or checkpoint(config)
    if name in named and not Path(named[name]).is_dir():
        raise FileNotFoundError(
            f"backend {name!r} is the checkpoint {named[name]}, which is not there; train it with "
            f"python -m training.sft out={named[name]}, or leave it out of eval.backends"
        )
    if adapter is None and (config.model.tags == "token" or config.clock.stamps == "token"):
        trained = Path("outputs/train") / config.name
        raise ValueError(
            f"backend 'model' writes tags as tokens of their own, which {config.model.name!r} has never seen; give "
            f"model.adapter=CHECKPOINT, train {trained} first (python -m training.sft), or use backend 'untrained'"
        )
    runtime = config.eval.runtime
    there = _vllm(config) if runtime == "vllm" else None
    made = Backend(name, replace(config.model, adapter=adapter), config.agent, config.clock.stamps, runtime, there)
    made.renderer()  # a checkpoint that lacks its tokenizer is found out before anything runs
    if made.runtime == "llamacpp":
        gguf_in(adapter or resolve(config.model.name))  # and one that lacks the file
    elif made.runtime not in RUNTIMES:
        raise ValueError(f"unknown eval.runtime {made.runtime!r}; use {', '.join(RUNTIMES[:-1])} or {RUNTIMES[-1]}")
    return made


def _vllm(config: Config) -> VllmConfig:
    there = config.eval.vllm
    if (
        there.model
        and (
            several := [other for other in config.eval.backends if other == "model" or other in config.eval.checkpoints]
        )[1:]
    ):
        raise ValueError(
            f"eval.vllm.model={there.model} is one name for {', '.join(several)}; leave it out, and serve each by its folder's name"
        )
    return there


def _realtime(config: Config) -> Backend:
    service = config.eval.realtime
    if config.time != "real":
        raise ValueError("backend 'realtime' runs in its own time; set time=real")
    if config.eval.constrained:
        raise ValueError("backend 'realtime' can't be kept to a grammar; set eval.constrained=false")
    if find_spec("openai") is None or find_spec("websockets") is None:
        raise ValueError("backend 'realtime' needs OpenAI's SDK; pip install -e '.[openai]'")
    if not os.environ.get(service.key_env):
        raise ValueError(
            f"backend 'realtime' needs a key in the environment; set {service.key_env} (for the loopback, to anything)"
        )
    # nobody has its tokenizer: ids are counted in those of a small one
    model = replace(config.model, name="tiny", adapter=None, tags="text", turns=None)
    stamps = "none" if config.clock.stamps == "token" else config.clock.stamps
    return Backend("realtime", model, config.agent, stamps, service=service)


def checkpoint(config: Config) -> str | None:
    """The configured checkpoint, or the one that `training.sft` left for this experiment, if it did."""
    if config.model.adapter is not None:
        return config.model.adapter
    trained = Path("outputs/train") / config.name
    return str(trained) if (trained / "manifest.json").is_file() else None


@lru_cache(maxsize=4)
def _renderer(name: str, tags: str, stamps: str, adapter: str | None, turns: str | None) -> Renderer:
    return load_renderer(name, cast(Tags, tags), cast(Stamps, stamps), adapter, cast(Turns | None, turns))
