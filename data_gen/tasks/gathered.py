"""Reads rows from several files: those of a folder, and those of a data set on the hub.

Owns which files of a folder hold rows, what a data set of the hub is called, and the splits that either names. Does not
know what a row is (`data_gen.tasks.formats`). Only what ``requests=hf://datasets/OWNER/NAME@COMMIT`` names is
downloaded; its own code is never run.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from data_gen.task import Split

_HUB = re.compile(
    r"(?:hf://datasets/|https://huggingface\.co/datasets/)([\w-][\w.-]*/[\w-][\w.-]*)/?(?::([\w.-]+))?(?:@([\w./-]+))?"
)
_COMMIT = re.compile(r"[0-9a-f]{40}")
READ = (".jsonl", ".ndjson", ".json", ".parquet")
"""How names of a folder's files with rows end."""
_NO_ROWS = frozenset({"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json", "config.json"})
_SPLITS: Mapping[str, Split] = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "eval": "validation",
    "test": "test",
    "testing": "test",
}


def is_hub(requests: str) -> bool:
    """Whether ``requests`` names a data set of the hub."""
    return _HUB.fullmatch(requests) is not None


def files_in(folder: Path) -> list[Path]:
    """The files with rows of a folder, those of folders in it included, in the order of their names.

    Raises:
        ValueError: there are none.
    """
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix in READ
        and path.name not in _NO_ROWS
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    if not found and not is_saved(folder):
        kinds = f"{', '.join(READ[:-1])} or {READ[-1]}"
        raise ValueError(f"requests={folder} is a folder without any {kinds} file; give a file, or another folder")
    return found


def is_saved(folder: Path) -> bool:
    """Whether a folder was written by ``save_to_disk`` of `datasets`."""
    return any((folder / name).is_file() for name in ("dataset_dict.json", "state.json"))


def split_named(place: str) -> Split | None:
    """The split that a file's or a table's name says."""
    return next((_SPLITS[word] for word in re.split(r"[^a-z]+", place.casefold()) if word in _SPLITS), None)


def with_splits(places: Iterable[str]) -> Mapping[str, Split | None]:
    """The split of each place; none of any where all of them say the same, for then nobody has divided the rows."""
    said = {place: split_named(place) for place in places}
    return said if len({split for split in said.values() if split}) > 1 else dict.fromkeys(said)


def tables(requests: str) -> dict[str, list[dict[str, Any]]]:
    """The rows of a data set of the hub, or of a folder that `datasets` saved, by the name of their split.

    Raises:
        ValueError: no commit of it is named, or it can't be had; the text says why.
    """
    named = _HUB.fullmatch(requests)
    if named is not None and (named[3] is None or _COMMIT.fullmatch(named[3]) is None):
        raise ValueError(
            f"requests={requests} names no commit of the data set, and its owner can move all else; give the one that you mean, as "
            f"its page has it under Files and versions: requests={requests.partition('@')[0]}@COMMIT, 40 digits"
        )
    import datasets

    try:
        if named is not None:
            found = datasets.load_dataset(named[1], named[2], revision=named[3])
        else:
            found = datasets.load_from_disk(requests)
    except (
        Exception
    ) as error:  # what the hub and the library raise is theirs: no such name, no network, code in place of data
        why = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise ValueError(
            f"requests={requests} can't be loaded by datasets ({why}); check its name, or save its rows in a file"
        ) from None
    each = found if isinstance(found, Mapping) else {str(getattr(found, "split", None) or "rows"): found}
    return {name: [dict(row) for row in table] for name, table in each.items()}


@lru_cache(maxsize=2)
def of_hub(requests: str) -> dict[str, list[dict[str, Any]]]:
    """`tables`, once a process."""
    return tables(requests)


def content(requests: str, path: Path) -> str:
    """A hash of all rows: of a file's bytes, a folder's files with their names, a data set's rows."""
    if is_hub(requests):
        return hashlib.sha256(json.dumps(of_hub(requests), sort_keys=True, default=str).encode()).hexdigest()
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    whole = hashlib.sha256()
    for file in sorted(one for one in path.rglob("*") if one.is_file()) if is_saved(path) else files_in(path):
        whole.update(f"{file.relative_to(path)}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return whole.hexdigest()


def told_apart(tables: Mapping[str, list[dict[str, Any]]]) -> Iterator[tuple[str, dict[str, Any], Split | None]]:
    """Every row of some tables, with its place and its split."""
    splits = with_splits(tables)
    for name, rows in tables.items():
        yield from ((f"{name} row {n}", row, splits[name]) for n, row in enumerate(rows, start=1))
