"""Bring your own: tools and spoken requests from two files become the same `Task` as everybody else's.

Owns the file of requests and what became of each of its rows. Does not know what a row says (`data_gen.tasks.rows`),
which tools it asks for (`data_gen.tasks.own_tools`) and what other projects' rows look like (`data_gen.tasks.formats`
turns them into ours). `docs/bring-your-own.md` has a worked example.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from data_gen.task import BadTask, Split, Task
from data_gen.tasks import formats
from data_gen.tasks.gathered import content as content_of
from data_gen.tasks.gathered import is_hub
from data_gen.tasks.own_tools import tools_of
from data_gen.tasks.rows import task_of_row
from midsentence.files import path_of

_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
"""The id of a data set on the hub, alone."""


@dataclass(slots=True)
class Loaded:
    """What became of a requests file."""

    tasks: list[Task] = field(default_factory=list)
    """Those that can be used."""
    rows: list[Mapping[str, Any]] = field(default_factory=list)
    """The fields of each task's row, by which it can be told again."""
    rejected: list[tuple[str, str]] = field(default_factory=list)
    """Name and reason of every row that can't be used."""


def load(requests: str, tools: str, seed: int = 0, source: str = "jsonl", hear_out: bool = False) -> Loaded:
    """All usable rows of a requests file, of every split, and the reasons against the others.

    Args:
        requests: a file of rows, a folder of such files, or ``hf://datasets/OWNER/NAME@COMMIT``; see the module and
            `data_gen.tasks.formats`.
        tools: see `tools_of`.
        seed: root seed of the speech.
        source: the tasks' source.
        hear_out: whether the whole request is the evidence of every row, as a row's own field "hear_out" says of it.
    """
    path = path_of(requests)
    if not requests or not (path.exists() or is_hub(requests)):
        raise FileNotFoundError(_no_file(requests, path))
    own = path_of(tools)
    content = content_of(requests, path) + (hashlib.sha256(own.read_bytes()).hexdigest() if own.is_file() else "")
    return _load(requests, str(path), tools, seed, source, hear_out, content)


def _no_file(requests: str, path: Path) -> str:
    """What to do where there is no file of that name."""
    if _HUB_ID.fullmatch(requests) and path.suffix not in formats.FILES and not path.parent.is_dir():
        return f"no requests file {requests!r}; if it is a data set of the hub, give requests=hf://datasets/{requests}@COMMIT, of 40 digits"
    return f"no requests file {requests!r}; give requests=FILE, a JSON row a line"


@lru_cache(maxsize=4)
def _load(requests: str, path: str, tools: str, seed: int, source: str, hear_out: bool, content: str) -> Loaded:
    shared = tools_of(tools)
    loaded = Loaded()
    seen: dict[str, str] = {}
    for name, row in formats.rows(requests, Path(path), shared.specs if shared else ()):
        try:
            if isinstance(row, BadTask):
                raise row
            made = task_of_row({"hear_out": hear_out} | dict(row), shared, seed, source)
            if made.id in seen:
                raise BadTask(f"its id {made.id!r} is that of {seen[made.id]} already")
            seen[made.id] = name
            loaded.tasks.append(made)
            loaded.rows.append(row)
        except (
            Exception
        ) as error:  # one row never ends a run; its tools, which may be the user's own, can raise anything
            loaded.rejected.append((name, _reason(error)))
    return loaded


def _reason(error: Exception) -> str:
    """Why a row can't be used, in text that can be written and printed."""
    match error:
        case UnicodeError():
            return "it has half a character (a lone surrogate), which no file can hold; write the whole one"
        case RecursionError():
            return "it is nested too deeply"
        case ValueError():
            return str(error)
    return f"{type(error).__name__}: {error}"


def tasks(split: Split, requests: str, tools: str, seed: int = 0) -> tuple[Task, ...]:
    """The split's tasks.

    Raises:
        ValueError: the split has none; the text says how many the others have.
    """
    loaded = load(requests, tools, seed)
    found = tuple(task for task in loaded.tasks if task.split == split)
    if not found:
        counts = Counter(task.split for task in loaded.tasks)
        why = (
            f"; the first of {len(loaded.rejected)} rejected: {': '.join(loaded.rejected[0])}"
            if loaded.rejected
            else ""
        )
        raise ValueError(
            f"{requests} has no usable row in split {split!r} (train {counts['train']}, validation {counts['validation']}, "
            f'test {counts["test"]}); add rows, give rows a field "split", or set data.sizes.{split}=0{why}'
        )
    return found


def rejected(requests: str, tools: str, seed: int = 0) -> tuple[tuple[str, str], ...]:
    """The rows kept out: name and reason."""
    return tuple(load(requests, tools, seed).rejected)
