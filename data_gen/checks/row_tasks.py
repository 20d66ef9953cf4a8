"""The tasks of rows, made again from the settings of their folder.

Owns which other task stands in for a row's twin. Does not know what is checked.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import chain

from configs.schema import Config
from data_gen.generate import recipe
from data_gen.sources import SPLITS, load
from data_gen.task import Task
from data_gen.tasks.twins import asked_tools, twin
from data_gen.trajectory import Trajectory
from midsentence.ending import UserError

MOST_TRIED = 12
"""Tasks that are looked at for a twin's continuation."""


def tasks_of(config: Config, row: Trajectory) -> tuple[Task, Task]:
    """The row's task, and the next one of its split that asks for nothing but tools of the row's; itself where there is
    none near."""
    pool = _pool(_Key(config), row.split)
    number = row.id.rpartition("/")[2]
    n = int(number) if number.isdecimal() else 0
    task = pool[n % len(pool)]
    if task.id != row.task:
        pools = chain((pool,), (_pool(_Key(config), split) for split in SPLITS))
        found = next((found for each in pools for found in each if found.id == row.task), None)
        if found is None:
            raise UserError(
                f"{row.id} is of task {row.task!r}, which its source does not make any more; generate the data again"
            )
        task = found
    near = (pool[(n + step) % len(pool)] for step in range(1, min(len(pool), MOST_TRIED) + 1))
    return task, next((other for other in near if _goes_on_like(task, other)), task)


def _goes_on_like(task: Task, other: Task) -> bool:
    """Whether a task can go on like another: it has the tools that the other asks for, those that it takes back among
    them."""
    try:
        return asked_tools(twin(task, other, 1)) <= task.specs.keys()
    except KeyError:  # a tool that the task does not know
        return False


class _Key:
    """Settings as a key: equal recipes are equal."""

    def __init__(self, config: Config) -> None:
        self.config, self.recipe = config, recipe(config)

    def __hash__(self) -> int:
        return hash(self.recipe)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and other.recipe == self.recipe


@lru_cache
def _pool(key: _Key, split: str) -> Sequence[Task]:
    return load(key.config, split)  # type: ignore[arg-type]
