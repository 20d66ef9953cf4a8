"""Makes an episode from a task: the one place that combines updates, settings, device and prompt.

Owns the composition that data generation and evaluation share, so that what is trained is what is measured. Does not
know which player is used and what happens to the rollout.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any, cast

from configs.modes import settings_of
from configs.schema import AgentConfig, ClockConfig, DataConfig, EndpointConfig
from data_gen.dialogue.turns import words_of
from data_gen.dialogue.user import Conversant
from data_gen.seeds import child
from data_gen.speech.timing import Chunking, updates
from data_gen.task import Task, Word
from midsentence.clock import Profile, ns
from midsentence.core.events import EndPredicted, UserUpdate
from midsentence.core.modes import Settings
from midsentence.core.silence import silences
from midsentence.rendering.prompt import Style, system_prompt
from midsentence.rendering.renderer import Renderer
from midsentence.shells.virtual import Episode
from midsentence.tools.manual import Detail
from midsentence.tools.tool import Toolbox

LIMIT_NS = ns(120)
"""The longest that an episode of a conversation may take for each of its turns."""


def profile_of(name: str, config: ClockConfig) -> Profile:
    """A device profile by name.

    Raises:
        ValueError: no such profile; the text lists those there are.
    """
    if name not in config.profiles:
        raise ValueError(f"unknown device profile {name!r}; use one of {', '.join(config.profiles)}")
    row = config.profiles[name]
    return Profile(name, row.decode_tokens_per_s, row.prefill_tokens_per_s, ns(row.restart_s))


def sample_profile(config: ClockConfig, seed: int) -> Profile:
    """A device for one training trajectory: log-uniform rates, the held-out ones left out.

    Raises:
        ValueError: none are left.
    """
    draw = random.Random(seed)
    low, high = config.train_decode_tokens_per_s
    held_low, held_high = config.held_out_decode_tokens_per_s
    if held_low <= low and high < held_high:
        raise ValueError(
            f"clock.train_decode_tokens_per_s=[{low}, {high}] lies in clock.held_out_decode_tokens_per_s=[{held_low}, {held_high}], "
            "which is never sampled; widen the first or narrow the second"
        )
    decode = held_low
    while held_low <= decode < held_high:
        decode = round(math.exp(draw.uniform(math.log(low), math.log(high))))
    ratio = math.exp(draw.uniform(*map(math.log, config.train_prefill_ratio)))
    restart = math.exp(draw.uniform(*map(math.log, config.train_restart_s)))
    return Profile(f"sampled-{decode}", decode, round(decode * ratio), ns(round(restart, 4)))


def chunking_of(config: DataConfig) -> Chunking:
    """The configured recogniser, with the row of its endpoint; see `endpoint_of`."""
    row = endpoint_of(config)
    return Chunking(
        period_ns=ns(config.period_s),
        lag_ns=ns(config.lag_s),
        lag_spread_ns=ns(config.lag_spread_s),
        endpoint_delay_ns=ns(row.delay_s),
        false_endpoint_rate=row.false_rate,
        predict_delay_ns=None if row.predict_delay_s is None else ns(row.predict_delay_s),
        predict_false_rate=row.predict_false_rate,
        revision_rate=config.revision_rate,
        revision_words=config.revision_words,
        closing_marks=config.closing_marks,
    )


def endpoint_of(config: DataConfig) -> EndpointConfig:
    """The configured end of speech.

    Raises:
        ValueError: no such endpoint; the text lists those there are.
    """
    if config.endpoint not in config.endpoints:
        raise ValueError(f"unknown endpoint {config.endpoint!r}; use one of {', '.join(config.endpoints)}")
    return config.endpoints[config.endpoint]


def updates_of(task: Task, data: DataConfig, seed: int) -> list[UserUpdate]:
    """What the recogniser passes on of a task, in order; it follows from the root seed and the task alone."""
    return [event for event in heard_of(task, data, seed) if isinstance(event, UserUpdate)]


def heard_of(task: Task, data: DataConfig, seed: int) -> list[UserUpdate | EndPredicted]:
    """The same with the predicted ends of speech among it, as a session hears them; alike in every mode. Of a
    conversation it is what is passed on of its first turn: when the others begin depends on the agent."""
    return cut(words_of(task, 0), child(seed, task.id, "updates"), data)


def cut(words: Sequence[Word], seed: int, data: DataConfig) -> list[UserUpdate | EndPredicted]:
    """What the recogniser passes on of timed words."""
    events: list[UserUpdate | EndPredicted] = []
    for update in updates(words, seed, chunking_of(data)):
        if not update.predicts or update.text or update.retracts:
            events.append(UserUpdate(update.at_ns, update.text, update.final, update.retracts))
        if update.predicts:
            events.append(EndPredicted(update.at_ns))
    return events


def prompt_of(task: Task, row: Settings, agent: AgentConfig) -> str:
    """The system text of a session about a task."""
    return system_prompt(row, task.tools, task.now, cast(Style, agent.prompt), cast(Detail, agent.prompt_tools))


def make_episode(
    task: Task,
    mode: str,
    profile: Profile,
    renderer: Renderer,
    *,
    agent: AgentConfig,
    data: DataConfig,
    seed: int,
    toolbox: Toolbox | None = None,
    **plays: Any,
) -> Episode:
    """The episode of one task in one mode on one device.

    Args:
        task: the request and its tools.
        mode: name of a row of settings.
        profile: the device.
        renderer: makes the ids.
        agent: changes to the mode's row, and the prompt's style.
        data: the recogniser.
        seed: root seed; how the recogniser cuts follows from it and the task, and is the same in every mode.
        toolbox: a world to run in; a fresh one by default.
        **plays: ``planner`` or ``grammar``, see `midsentence.shells.virtual.Episode`.
    """
    row = settings_of(mode, agent)
    spoken = [(word.start_ns, word.end_ns) for word in words_of(task, 0)]
    if task.turns:
        plays |= {"user": Conversant(task, data, seed), "limit_ns": LIMIT_NS * len(task.turns)}
    quiet = silences(spoken, updates_of(task, data, seed)) if row.commit_on == "silence" else []
    world = toolbox if toolbox is not None else task.toolbox()

    return Episode(
        settings=row,
        profile=profile,
        toolbox=world,
        renderer=renderer,
        updates=[*heard_of(task, data, seed), *quiet],
        prompt_ids=renderer.prompt_ids(prompt_of(task, row, agent)),
        session=task.id,
        **plays,
    )
