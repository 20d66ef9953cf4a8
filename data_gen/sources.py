"""The task sources by name: each yields the same `Task`.

Owns the one place where a source's name is looked up. Does not know how any of them makes its tasks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from configs.schema import Config
from data_gen.speech.disfluency import Rates
from data_gen.task import Split, Task
from midsentence.addresses import without_keys
from midsentence.core.modes import check_egress
from midsentence.files import path_of

if TYPE_CHECKING:
    from data_gen.tasks.assistant.templates import Template
    from data_gen.tasks.assistant.values import Times
    from data_gen.tasks.drawn import Tools

SOURCES = (
    "assistant",
    "bfcl",
    "conversations",
    "debug",
    "dialogue",
    "domains",
    "home",
    "hotpotqa",
    "jsonl",
    "naturalistic",
    "written",
    "written_apart",
)
PARTED = ("bfcl", "conversations", "domains")
"""Those that ``data.categories`` picks parts of."""
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
DEFAULT_COUNT = 300
"""Tasks of a generated source in a split that ``data.sizes`` does not name."""


def honoured(config: Config, each: Sequence[Config], tasks: Iterable[Task]) -> None:
    """Refuses settings that nothing in a run would honour: they were meant for something else.

    Args:
        config: the run's.
        each: those of each of its sources.
        tasks: all of the run's, looked at where the settings name tools alone.

    Raises:
        ValueError: names the setting, its value and the fix.
    """
    names = [own.task or own.data.source for own in each]
    for setting, value in (("requests", config.requests), ("tools", config.tools)):
        if value and "jsonl" not in names:
            raise ValueError(
                f"{setting}={value} is read by source jsonl, and not by {', '.join(names)}; use data=jsonl, or leave it out"
            )
    if any(config.data.files.values()) and "hotpotqa" not in names:
        raise ValueError(
            f"data.files is read by source hotpotqa, and not by {', '.join(names)}; use data=hotpotqa, or leave it out"
        )
    for name, own in zip(names, each):
        # two are what the settings begin with, where no other file of group data was chosen
        if (
            own.data.categories
            and name not in PARTED
            and tuple(own.data.categories) != ("parallel", "parallel_multiple")
        ):
            raise ValueError(
                f"data.categories={list(own.data.categories)}, but source {name!r} has no parts; leave it out"
            )
    check_egress(config.agent.allowed_egress, (spec for task in tasks for spec in task.tools), "agent.allowed_egress")


def load(config: Config, split: Split) -> Sequence[Task]:
    """All tasks of a split of the configured source.

    Raises:
        ValueError: no such source or split, or the source has no tasks there.
    """
    source = config.task or config.data.source
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}; use train, validation or test")
    if config.data.times not in ("said", "canonical"):
        raise ValueError(f"data.times is {config.data.times!r}; use 'said' or 'canonical'")
    times = cast("Times", config.data.times)
    Rates.of(config.data.disfluency)  # a name that is none is refused for every source, used or not
    if config.data.language != "en" and source != "home":
        raise ValueError(
            f"data.language={config.data.language}, but source {source!r} is English; use data=home, or data.language=en"
        )
    found: Sequence[Task]
    match source:
        case "debug":
            from data_gen.tasks import debug

            found = debug.tasks(split, config.seed)
        case "bfcl":
            from data_gen.tasks import bfcl

            found = bfcl.tasks(split, config.seed, tuple(config.data.categories) or bfcl.CATEGORIES)
        case "assistant":
            from data_gen.tasks import assistant
            from data_gen.tasks.assistant.compose import Style

            style = Style(Rates.of(config.data.disfluency), times=times, rewordings=rewordings(config, split)[0])
            if split == "train" and config.data.intents:
                style = replace(style, sizes=_sizes(config.data.intents))
            found = assistant.tasks(split, config.seed, config.data.sizes.get(split, DEFAULT_COUNT), style)
        case "dialogue":
            from data_gen.tasks.assistant import dialogue
            from data_gen.tasks.assistant.compose import Style

            style = Style(Rates.of(config.data.disfluency), times=times)
            found = dialogue.tasks(split, config.seed, config.data.sizes.get(split, DEFAULT_COUNT), style)
        case "naturalistic":
            from data_gen.tasks import naturalistic

            found = naturalistic.tasks(
                split,
                config.seed,
                config.data.sizes.get(split, DEFAULT_COUNT),
                Rates.of(config.data.disfluency, naturalistic.RATES),
                times,
            )
        case "written":
            from data_gen.tasks import corpus, written

            count = config.data.sizes.get(split, DEFAULT_COUNT)
            found = (
                written.tasks(split)
                if split == "test"
                else corpus.tasks((corpus.ASSISTANT,), split, config.seed, count)
            )
        case "written_apart":
            from data_gen.tasks import corpus

            found = corpus.tasks((corpus.ASSISTANT,), split) if split == "test" else ()
        case "domains":
            from data_gen.tasks import corpus

            found = corpus.tasks(_domains(config), split, config.seed, config.data.sizes.get(split, DEFAULT_COUNT))
        case "conversations":
            from data_gen.tasks import corpus

            found = corpus.tasks(
                _folders(config), split, config.seed, config.data.sizes.get(split, DEFAULT_COUNT), turns=True
            )
        case "home":
            from data_gen.tasks import home

            found = home.tasks(split, config.seed, config.data.sizes.get(split, DEFAULT_COUNT), config.data.language)
        case "hotpotqa":
            from data_gen.tasks import hotpotqa

            files = config.data.files
            found = hotpotqa.tasks(
                split, config.seed, files.get("hotpotqa"), files.get("corpus"), Rates.of(config.data.disfluency)
            )
        case "jsonl":
            from data_gen.tasks import jsonl

            found = jsonl.tasks(split, config.requests, config.tools, config.seed)
        case _:
            raise ValueError(f"unknown task source {source!r}; use one of {', '.join(SOURCES)}")
    if not found:
        raise ValueError(f"source {source!r} has no tasks in split {split!r} of categories {config.data.categories}")
    if (how := config.data.tools) not in ("all", "drawn", "renamed"):
        raise ValueError(f"data.tools is {how!r}; use 'all', 'drawn' or 'renamed'")
    return found if how == "all" or split == "test" else _among_drawn(found, source, config)


def _among_drawn(found: Sequence[Task], source: str, config: Config) -> Sequence[Task]:
    """The tasks, each among tools of its own draw."""
    from data_gen.tasks import corpus
    from data_gen.tasks.assistant import Lazy
    from data_gen.tasks.drawn import drawn

    strangers, how = corpus.strangers(), cast("Tools", "drawn" if source == "bfcl" else config.data.tools)
    return Lazy(len(found), lambda index: drawn(found[index], strangers, how, config.seed))


def rewordings(config: Config, split: Split) -> tuple[Mapping[str, Template], dict[str, Any]]:
    """A split's templates in an endpoint's words, by their id, and what to record of it; both empty where none is
    configured.

    Raises:
        ValueError: an endpoint without a model's name, or for another source.
    """
    settings = config.data.paraphrase
    if not settings.url:
        return {}, {}
    if (source := config.task or config.data.source) != "assistant":
        raise ValueError(f"data.paraphrase is for source assistant, not {source!r}; leave data.paraphrase.url empty")
    if not settings.model:
        raise ValueError(
            f"data.paraphrase.url is {without_keys(settings.url)}, but data.paraphrase.model is empty; name the model to ask"
        )
    from data_gen.tasks.assistant.intents import INTENTS
    from data_gen.tasks.assistant.templates import templates
    from data_gen.tasks.paraphrase import Paraphraser

    asker = Paraphraser(settings)
    return asker.all(template for intent in INTENTS for template in templates(intent, split)), asker.record()


def rejected(config: Config, split: Split | None = None) -> Sequence[tuple[str, str]]:
    """Name and reason of every row of the configured source's files that can't be used.

    Args:
        config: the settings.
        split: which rows; all of them where it is None, and where a row that can't be used is of no split.
    """
    match config.task or config.data.source:
        case "bfcl":
            from data_gen.tasks import bfcl

            return bfcl.rejected(tuple(config.data.categories) or bfcl.CATEGORIES, split=split)
        case "hotpotqa":
            from data_gen.tasks import hotpotqa

            return hotpotqa.rejected(config.data.files.get("hotpotqa"), config.data.files.get("corpus"))
        case "jsonl":
            from data_gen.tasks import jsonl

            return jsonl.rejected(config.requests, config.tools, config.seed)
        case "written":
            from data_gen.tasks import corpus

            return [
                reason
                for each in SPLITS[:2]
                if split in (None, each)
                for reason in corpus.rejected((corpus.ASSISTANT,), each)
            ]
        case "written_apart":
            from data_gen.tasks import corpus

            return corpus.rejected((corpus.ASSISTANT,), "test") if split in (None, "test") else ()
        case "domains":
            from data_gen.tasks import corpus

            return corpus.rejected(_domains(config), split)
        case "conversations":
            from data_gen.tasks import corpus

            return corpus.rejected(_folders(config), split, turns=True)
    return ()


def _sizes(shares: Sequence[float]) -> tuple[float, ...]:
    """Shares of requests of one, two, … intents."""
    if min(shares) < 0 or not sum(shares):
        raise ValueError(
            f"data.intents is {list(shares)}: give shares of requests of one, two, … intents, such as [0.3,0.3,0.4]"
        )
    return tuple(shares)


def _domains(config: Config) -> tuple[str, ...]:
    """The domains that ``data.categories`` names, all by default."""
    from data_gen.tasks import corpus

    return _some(config, corpus.domains())


def _folders(config: Config) -> tuple[str, ...]:
    """The assistant and the domains, those of them that ``data.categories`` names."""
    from data_gen.tasks import corpus

    return _some(config, (corpus.ASSISTANT, *corpus.domains()))


def _some(config: Config, known: tuple[str, ...]) -> tuple[str, ...]:
    if strange := set(config.data.categories) - set(known):
        raise ValueError(f"data.categories names no domain {min(strange)!r}; use some of {', '.join(known)}")
    return tuple(config.data.categories) or known


def inputs(config: Config) -> dict[str, str]:
    """Hashes of the files that the tasks are made from, by their name: the user's own, and the corpus."""
    named = [config.tools, config.requests, *config.data.files.values()]
    found = {name: path_of(name) for name in named if name}
    hashes = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in found.items() if path.is_file()}
    if (config.task or config.data.source) == "jsonl" and config.requests:
        from data_gen.tasks import gathered

        if gathered.is_hub(config.requests) or path_of(config.requests).is_dir():
            hashes[config.requests] = gathered.content(config.requests, path_of(config.requests))
    if (config.task or config.data.source) in ("written", "written_apart", "domains", "conversations"):
        from data_gen.tasks import corpus

        hashes["corpus"] = corpus.content()
    if (config.task or config.data.source) == "home":
        from data_gen.tasks import home

        hashes["home"] = home.content(config.data.language)
    return hashes
