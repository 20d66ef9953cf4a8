"""A handful of rows in BFCL's format, written for the tests, and a wheel that holds them."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any


def function(name: str, description: str, required: list[str], **properties: dict[str, Any]) -> dict[str, Any]:
    """A function document."""
    return {
        "name": name,
        "description": description,
        "parameters": {"type": "dict", "properties": properties, "required": required},
    }


LAMP = function(
    "lamp.set",
    "Switch a lamp on or off.",
    ["room"],
    room={"type": "string", "description": "The room."},
    bright={"type": "boolean", "description": "Full light."},
)
TEA = function(
    "tea_timer",
    "Time the brewing of tea.",
    ["minutes"],
    minutes={"type": "float"},
    cups={"type": "array", "items": {"type": "dict", "properties": {"size": {"type": "integer"}}}},
    note={"type": "any"},
    kind={"type": "string", "enum": ["green", "black"]},
)
TIDES = function(
    "tides.get",
    "Look up high tide at a harbour.",
    ["harbour", "point"],
    harbour={"type": "string"},
    point={"type": "tuple", "items": {"type": "float"}},
)

ROWS: dict[str, list[tuple[str, str, list[dict[str, Any]], list[dict[str, Any]]]]] = {
    "parallel": [
        (
            "parallel_0",
            "Switch on the lamp in the kitchen and in the hall",
            [LAMP],
            [
                {"lamp.set": {"room": ["hallway", "hall"], "bright": ["", True]}},
                {"lamp.set": {"room": ["kitchen"], "bright": [""]}},
            ],
        ),
        ("parallel_1", "Light the cellar", [LAMP], [{"lamp.set": {"room": ["attic"]}}]),
        ("parallel_2", "Light the den and once more the den", [LAMP], [{"lamp.set": {"room": ["den"]}}] * 2),
    ],
    "parallel_multiple": [
        (
            "parallel_multiple_0",
            "Brew black tea for four minutes. Also, look up the tide in Dover at 51.1, 1.3.",
            [TEA, TIDES],
            [
                {"tea_timer": {"minutes": [4.0], "kind": ["black", ""], "cups": [""], "note": [""]}},
                {"tides.get": {"harbour": ["Dover"], "point": [[51.1, 1.3]]}},
            ],
        ),
    ],
    "multiple": [
        ("multiple_0", "Time my tea for 3 minutes", [TEA, LAMP], [{"tea_timer": {"minutes": [3]}}]),
        ("multiple_1", "Time my tea", [TEA, LAMP], [{"tea_timer": {"minutes": [3]}}]),
    ],
    "live_parallel": [],
    "live_parallel_multiple": [],
}


def write_wheel(path: Path) -> Path:
    """A wheel with `ROWS` where BFCL's has its own."""
    with zipfile.ZipFile(path, "w") as archive:
        for category, rows in ROWS.items():
            questions = [
                {"id": id, "question": [[{"role": "user", "content": text}]], "function": docs}
                for id, text, docs, _ in rows
            ]
            answers = [{"id": id, "ground_truth": answer} for id, _, _, answer in rows]
            for folder, lines in (("", questions), ("possible_answer/", answers)):
                archive.writestr(
                    f"bfcl_eval/data/{folder}BFCL_v4_{category}.json", "\n".join(json.dumps(line) for line in lines)
                )
    return path
