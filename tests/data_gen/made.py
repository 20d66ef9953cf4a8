"""Trajectories made up for tests: what a test does not name is a request of one word in which nothing happened."""

from __future__ import annotations

from typing import Any

from data_gen.task import Word
from data_gen.trajectory import Trajectory
from midsentence.clock import NS_PER_S, Profile


def trajectory(**values: Any) -> Trajectory:
    plain: dict[str, Any] = {
        "id": "a/0",
        "task": "a",
        "source": "debug",
        "split": "train",
        "mode": "speculative",
        "seed": 0,
        "request": "now",
        "words": (Word("now", 0, NS_PER_S),),
        "tags": (),
        "tokenizer": "",
        "profile": Profile("laptop", 40, 400, 0),
        "prompt_ids": (),
        "segments": (),
        "log": "[]",
        "outcome": "answered",
        "speech_end_ns": NS_PER_S,
        "end_ns": NS_PER_S,
        "tokens": 0,
        "model_tokens": 0,
    }
    return Trajectory(**plain | values)
