"""The task sources by name: each yields the same `Task`.

Owns the one place where a source's name is looked up. Refuses to know how any of them makes its tasks.
"""

from __future__ import annotations

from collections.abc import Sequence

from configs.schema import Config
from data_gen.disfluency import Rates
from data_gen.task import Split, Task

SOURCES = ("assistant", "bfcl", "debug", "naturalistic")
DEFAULT_COUNT = 300
"""Tasks of a generated source in a split that ``data.sizes`` does not name."""


def load(config: Config, split: Split) -> Sequence[Task]:
    """All tasks of a split of the configured source.

    Raises:
        ValueError: no such source or split, or the source has no tasks there.
    """
    source = config.task or config.data.source
    if split not in ("train", "validation", "test"):
        raise ValueError(f"unknown split {split!r}; use train, validation or test")
    match source:
        case "debug":
            from data_gen.tasks import debug
            found = debug.tasks(split, config.seed)
        case "bfcl":
            from data_gen.tasks import bfcl
            found = bfcl.tasks(split, config.seed, tuple(config.data.categories) or bfcl.CATEGORIES)
        case "assistant":
            from data_gen.tasks import assistant
            style = assistant.Style(Rates.of(config.data.disfluency))
            found = assistant.tasks(split, config.seed, config.data.sizes.get(split, DEFAULT_COUNT), style)
        case "naturalistic":
            from data_gen.tasks import naturalistic
            found = naturalistic.tasks(
                split, config.seed, config.data.sizes.get(split, DEFAULT_COUNT), Rates.of(config.data.disfluency, naturalistic.RATES)
            )
        case _:
            raise ValueError(f"unknown task source {source!r}; use one of {', '.join(SOURCES)}")
    if not found:
        raise ValueError(f"source {source!r} has no tasks in split {split!r} of categories {config.data.categories}")
    return found
