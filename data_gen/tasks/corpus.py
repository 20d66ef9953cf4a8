"""The corpus: requests written one by one for training and test, over the assistant's tools and over domains with tools
of their own.

Owns the folder `data_gen/corpus` and who reads what of it: source `written` (the assistant's), `written_apart` (its
test set, written by other writers), `domains`, and `conversations` (requests of several turns, of all folders). Does
not know how a row is read (`data_gen.tasks.jsonl`).

    data_gen/corpus/assistant/train*.jsonl, validation*, test*      the sixteen tools, a world that knows whom a row
    names data_gen/corpus/<domain>/tools.py and the same files            `@tool` functions; new_state() makes the world
    data_gen/corpus/<either>/turns_train*, turns_validation* …      conversations

A file is JSON rows or markup (`.jsonl`, `.txt`, `.md`), and its name says the split of its rows. A
domain without a training file is held out: its tools are never seen in training.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from data_gen import markup
from data_gen.seeds import child
from data_gen.task import Split, Task
from data_gen.tasks import jsonl
from data_gen.tasks.assistant import Lazy
from data_gen.tasks.own_tools import Tools, tools_of
from data_gen.tasks.retell import retold
from data_gen.tasks.retelling.words import own_texts
from data_gen.tasks.rows import task_of_row
from midsentence.tools.tool import ToolSpec

FOLDER = Path(__file__).parent.parent / "corpus"
ASSISTANT = "assistant"
CONVERSATIONS = "conversations"
SUFFIXES = (".jsonl", *markup.SUFFIXES)
TRIES = (
    ("texts", "people", "days", "hours", "fillers"),
    ("people", "days", "hours", "fillers"),
    ("people", "days", "fillers"),
    ("days", "fillers"),
    ("people", "fillers"),
    ("fillers",),
)
"""What a telling changes; where the row's own tools refuse it, the next."""


@dataclass(frozen=True, slots=True)
class Row:
    """A request of the corpus, and what is needed to read it again in other words."""

    fields: Mapping[str, Any]
    """As they stand in the file."""
    tools: Tools
    """That its calls are of."""
    source: str
    """The task's source."""
    split: Split
    """The file that it stands in."""
    tags: tuple[str, ...]
    """Added to the row's own."""
    task: Task
    """As it was written."""

    def spoken(self, telling: int, seed: int) -> Task:
        """The row as it was written (0), or told again by another speaker."""
        if telling == 0:
            return self.task
        fields = {**self.fields, "id": f"{self.task.id}~{telling}"}
        for told in self._told(fields, seed):
            if told is not None:
                return told
        return self.read(fields, seed)

    def outcome(self, telling: int, seed: int) -> str:
        """What becomes of the row when it is told again: ``told``, ``mended`` (by a tamer one), ``refused`` or
        ``unchanged``."""
        tries = []
        for told in self._told({**self.fields, "id": f"{self.task.id}~{telling}"}, seed):
            tries.append(told)
            if told is not None:
                return "told" if len(tries) == 1 else "mended"
        return "refused" if tries else "unchanged"

    def _told(self, fields: Mapping[str, Any], seed: int) -> Iterator[Task | None]:
        """Tries to tell a row again, the boldest first; None where the door refuses it."""
        if "spans" not in fields or {"words", "turns"} & set(
            fields
        ):  # unmarked, timed, or a conversation, whose turns count words
            return
        for ways in TRIES:
            new = retold(fields, random.Random(child(seed, fields["id"], "retold")), ways, dictated=dictated())
            if new == fields:
                continue
            try:
                yield self.read(new, seed)
            except (ValueError, KeyError, TypeError, AttributeError):
                yield None

    def read(self, fields: Mapping[str, Any], seed: int) -> Task:
        """Fields as a task of this row's kind.

        Raises:
            ValueError: the row can't be used.
        """
        return self.named(task_of_row(fields, self.tools, seed, self.source))

    def named(self, task: Task) -> Task:
        """A task with the split and the tags of this row."""
        return replace(task, split=self.split, tags=(*task.tags, *self.tags))


@dataclass(slots=True)
class Found:
    """What a folder's files of one split hold."""

    rows: list[Row] = field(default_factory=list)
    """Those that can be used."""
    rejected: list[tuple[str, str]] = field(default_factory=list)
    """Name and reason of every row that can't be used."""


def domains() -> tuple[str, ...]:
    """The domains by name."""
    return tuple(sorted(path.parent.name for path in FOLDER.glob("*/tools.py")))


def files(name: str, split: Split, turns: bool = False) -> tuple[Path, ...]:
    """The files of requests of a folder in a split, or of its conversations, in the order of their names."""
    begin = f"turns_{split}" if turns else split
    return tuple(sorted(path for path in (FOLDER / name).glob(f"{begin}*") if path.suffix in SUFFIXES))


def is_held_out(domain: str) -> bool:
    """Whether training has none of a domain's requests, so that its tools are new to a model."""
    return not files(domain, "train")


@lru_cache
def found(name: str, split: Split, turns: bool = False) -> Found:
    """The requests of a folder in a split, or its conversations, as they were written."""
    domain = name != ASSISTANT
    tools = str(FOLDER / name / "tools.py") if domain else ASSISTANT
    shared = tools_of(tools)
    assert shared is not None
    source = CONVERSATIONS if turns else "domains" if domain else "written_apart" if split == "test" else "written"
    tags = (f"domain:{name}", *(("unseen",) if is_held_out(name) else ())) if domain else ()
    made, seen = Found(), set[str]()
    for path in files(name, split, turns):
        loaded = jsonl.load(str(path), tools, source=source)
        made.rejected += [(f"{name}/{path.name}, {where}", why) for where, why in loaded.rejected]
        for fields, task in zip(loaded.rows, loaded.tasks):
            if task.id in seen:
                made.rejected.append(
                    (f"{name}/{path.name}, {task.id}", "its id is that of a row in another file already")
                )
                continue
            seen.add(task.id)
            row = Row(fields, shared, source, split, tags, task)
            made.rows.append(replace(row, task=row.named(task)))
    return made


@lru_cache
def dictated() -> tuple[str, ...]:
    """What people dictate to the assistant in training's requests."""
    rows = found(ASSISTANT, "train").rows
    said = (quote.rstrip(".,;:!?") for row in rows for _, _, quote in own_texts(row.fields))
    return tuple(dict.fromkeys(said))


@lru_cache
def content() -> str:
    """A hash of all files of the corpus, so that data made of another one are not gone on with."""
    paths = sorted(path for path in FOLDER.rglob("*") if path.suffix in (*SUFFIXES, ".py"))
    parts = [hashlib.sha256(path.read_bytes()).hexdigest() + path.relative_to(FOLDER).as_posix() for path in paths]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


@lru_cache
def strangers() -> tuple[ToolSpec, ...]:
    """Tools that may stand beside others': the assistant's and those of all domains that are not held out, the first of
    each name."""
    folders = [ASSISTANT, *(str(FOLDER / name / "tools.py") for name in domains() if not is_held_out(name))]
    known: dict[str, ToolSpec] = {}
    for folder in folders:
        tools = tools_of(folder)
        assert tools is not None
        known = {spec.name: spec for spec in tools.specs} | known
    return tuple(known.values())


def tasks(names: Sequence[str], split: Split, seed: int = 0, count: int = 0, turns: bool = False) -> Sequence[Task]:
    """``count`` tasks of some folders in a split, each row as it was written before any is told again.

    Only training is told again (of conversations, by another speaker): validation and test have every row once,
    ``count`` of them at most (0 for all). With ``turns``, the conversations.
    """
    rows = [row for name in names for row in found(name, split, turns).rows]
    if not rows or split != "train":
        return tuple(row.task for row in rows[: count or None])

    def make(index: int) -> Task:
        telling, n = divmod(index, len(rows))
        return rows[n].spoken(telling, seed)

    return Lazy(count or len(rows), make)


def outcomes(names: Sequence[str], seed: int = 0) -> Counter[str]:
    """What becomes of the training rows of some folders when each is told again once; see `Row.outcome`."""
    return Counter(row.outcome(1, seed) for name in names for row in found(name, "train").rows)


def rejected(names: Sequence[str], split: Split | None = None, turns: bool = False) -> tuple[tuple[str, str], ...]:
    """Name and reason of every row of some folders that can't be used, of one split or of all."""
    splits: tuple[Split, ...] = ("train", "validation", "test") if split is None else (split,)
    return tuple(reason for name in names for each in splits for reason in found(name, each, turns).rejected)
