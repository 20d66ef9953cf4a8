"""A small world of earlier results that bad commands meet: data, a replay, a run, a report, and files of a user's own.

Owns the making of it. Does not know what is done to it.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from scripts.hostile.warm import forked, line

SMALL = ["experiment=debug", "data.sizes={train: 3, validation: 1, test: 2}", "data.shard_rows=2"]
"""Settings of the smallest run there is."""
GENERATE = ("data_gen.generate", [*SMALL, "out=data"])
REPLAY = (
    "eval.replay",
    [
        *SMALL,
        "eval.backends=[expert]",
        "eval.modes=[sequential,speculative]",
        "eval.expert_tasks=2",
        "out=replay",
    ],
)
TRAIN = (
    "training.sft",
    [
        *SMALL,
        "train.data=[data]",
        "train.max_steps=2",
        "train.lora_rank=4",
        "train.checkpoint_every_steps=1",
        "out=run",
    ],
)
REPORT = ("eval.report", ["runs=[replay]", "eval.resamples=50", "out=report"])
REPAIR = (
    "training.repair",
    [
        *SMALL,
        "model.adapter=run",
        "repair.rollouts=4",
        "repair.shard_rollouts=2",
        "repair.batch=2",
        "repair.most_mistakes=2",
    ],
)
MADE = (GENERATE, REPLAY, TRAIN, REPORT)

TOOLS: list[dict[str, Any]] = [
    {
        "name": "find_place",
        "description": "Finds a place.",
        "access": "read",
        "parameters": {
            "type": "object",
            "required": ["what"],
            "properties": {
                "what": {"type": "string", "description": "What to look for."},
                "near": {"type": "string"},
                "most": {"type": "integer", "minimum": 1, "maximum": 20},
                "open": {"type": "boolean"},
            },
        },
    },
    {
        "name": "book_table",
        "description": "Books a table.",
        "access": "write",
        "returns": "object",
        "parameters": {
            "type": "object",
            "required": ["place", "people"],
            "properties": {
                "place": {"type": "string"},
                "people": {"type": "integer"},
                "notes": {"type": "array", "items": {"type": "string"}},
                "seat": {"type": "string", "enum": ["inside", "outside"]},
            },
        },
    },
]
ROWS: list[dict[str, Any]] = [
    {
        "id": "first",
        "request": "find sushi near Oslo please",
        "calls": [{"name": "find_place", "args": {"what": ["sushi"], "near": ["Oslo"]}}],
    },
    {
        "id": "second",
        "request": "book a table at Nobu for four people outside",
        "now": "2025-03-01 14:30:00",
        "calls": [{"name": "book_table", "args": {"place": ["Nobu"], "people": [4], "seat": ["outside"]}}],
        "tags": ["plain"],
    },
    {
        "id": "third",
        "request": "find tapas and book Lima for two",
        "calls": [
            {"name": "find_place", "args": {"what": ["tapas"]}},
            {"name": "book_table", "args": {"place": ["Lima"], "people": [2]}},
        ],
        "split": "train",
    },
    {
        "id": "spoken",
        "request": "find ramen near Paris",
        "words": [["find", 0.0, 0.2], ["ramen", 0.3, 0.7], ["near", 0.8, 0.9], ["Paris", 1.0, 1.4]],
        "calls": [{"name": "find_place", "args": {"what": ["ramen"], "near": ["Paris"]}}],
    },
]
PYTHON = '''from midsentence.tools.function import tool


@tool(access="read")
def find_place(what: str, near: str = "") -> str:
    """Finds a place.

    Args:
        what: What to look for.
    """
    return f"{what} in {near or 'town'}"
'''


class NoWorld(Exception):
    """A command that should work did not; the text has what it said."""


def make(folder: Path) -> None:
    """Fills a folder with earlier results.

    Raises:
        NoWorld: one of the commands fails as it is.
    """
    folder, whole = folder.with_name("making"), folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "tools.json").write_text(json.dumps(TOOLS, indent=1), "utf-8")
    (folder / "requests.jsonl").write_text(rows_as_text(ROWS), "utf-8")
    (folder / "tools.py").write_text(PYTHON, "utf-8")
    (folder / "file").write_text("not a folder\n", "utf-8")
    (folder / "empty").mkdir()
    (folder / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)))
    for module, arguments in MADE:
        ended = forked(line(module, arguments), folder, limit_s=300)
        if ended.status:
            raise NoWorld(f"python -m {module} {' '.join(arguments)} ended with {ended.status}: {ended.err[-2000:]}")
    folder.rename(whole)


def again(master: Path, folder: Path) -> Path:
    """A copy of the world, in the place of an earlier one."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(master, folder)
    return folder


def rows_as_text(rows: list[Any]) -> str:
    """Requests as lines."""
    return "".join(json.dumps(row) + "\n" for row in rows)
