"""The task sources by name: each yields the same `Task`.

Owns the one place where a source's name is looked up. Refuses to know how any of them makes its tasks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from configs.schema import Config
from data_gen.disfluency import Rates
from data_gen.task import Split, Task

SOURCES = ("assistant", "bfcl", "debug", "hotpotqa", "jsonl", "naturalistic")
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
        case "hotpotqa":
            from data_gen.tasks import hotpotqa
            files = config.data.files
            found = hotpotqa.tasks(split, config.seed, files.get("hotpotqa"), files.get("corpus"), Rates.of(config.data.disfluency))
        case "jsonl":
            from data_gen.tasks import jsonl
            found = jsonl.tasks(split, config.requests, config.tools, config.seed)
        case _:
            raise ValueError(f"unknown task source {source!r}; use one of {', '.join(SOURCES)}")
    if not found:
        raise ValueError(f"source {source!r} has no tasks in split {split!r} of categories {config.data.categories}")
    return found


def rejected(config: Config) -> Sequence[tuple[str, str]]:
    """Name and reason of every row of the configured source's files that can't be used."""
    match config.task or config.data.source:
        case "bfcl":
            from data_gen.tasks import bfcl
            return bfcl.rejected(tuple(config.data.categories) or bfcl.CATEGORIES)
        case "hotpotqa":
            from data_gen.tasks import hotpotqa
            return hotpotqa.rejected(config.data.files.get("hotpotqa"), config.data.files.get("corpus"))
        case "jsonl":
            from data_gen.tasks import jsonl
            return jsonl.rejected(config.requests, config.tools, config.seed)
    return ()


def inputs(config: Config) -> dict[str, str]:
    """Hashes of the user's own files that the tasks are made from, by their name."""
    named = [config.tools, config.requests, *config.data.files.values()]
    found = {name: Path(name).expanduser() for name in named if name}
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in found.items() if path.is_file()}
