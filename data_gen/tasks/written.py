"""Requests written one by one: the source `written`, a test set alone, every row of it marked with the words that say
what.

Owns `handwritten.jsonl`. Does not know how rows are read (`data_gen.tasks.jsonl`), how requests are generated, and the
world that they need (`data_gen.tasks.named_world`).
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from data_gen.task import BadTask, Split, Task
from data_gen.tasks import jsonl

REQUESTS = Path(__file__).with_name("handwritten.jsonl")


def tasks(split: Split) -> tuple[Task, ...]:
    """The requests; all of them are for testing.

    Raises:
        BadTask: a row can't be used; none may be.
    """
    return _tasks() if split == "test" else ()


@lru_cache
def _tasks() -> tuple[Task, ...]:
    loaded = jsonl.load(str(REQUESTS), "assistant", source="written")
    if loaded.rejected:
        raise BadTask(f"{REQUESTS.name}, {': '.join(loaded.rejected[0])}")
    return tuple(replace(task, split="test") for task in loaded.tasks)
