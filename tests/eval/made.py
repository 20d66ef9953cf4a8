"""Records made up for tests: what a test does not name is an episode of one word that was answered at once."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from data_gen.task import Word
from eval.measures.latency import PARTS
from eval.measures.waste_and_safety import Counts
from eval.running.records import EpisodeRecord, TurnRecord
from midsentence.clock import NS_PER_S


def counts_of(**counts: int) -> Counts:
    return Counts(**{each.name: 0 for each in fields(Counts)} | counts)


def record_of(**values: Any) -> EpisodeRecord:
    plain: dict[str, Any] = {
        "task": "a",
        "source": "debug",
        "split": "test",
        "tags": (),
        "backend": "expert",
        "mode": "speculative",
        "seed": 0,
        "profile": "laptop",
        "outcome": "answered",
        "right": True,
        "calls_right": True,
        "answer_right": True,
        "answer_f1": None,
        "graph_right": True,
        "cause": "",
        "why": "",
        "answer": "Done.",
        "speech_end_ns": NS_PER_S,
        "final_ns": NS_PER_S,
        "end_ns": NS_PER_S,
        "latency_ns": 0,
        "first_token_ns": None,
        "parts_ns": dict.fromkeys(PARTS, 0),
        "floor_ns": 0,
        "counts": counts_of(),
        "words": (Word("now", 0, NS_PER_S),),
        "prompt_tokens": 100,
        "context_tokens": 160,
        "log": [],
    }
    return EpisodeRecord(**plain | values)


def turn_of(**values: Any) -> TurnRecord:
    plain: dict[str, Any] = {
        "kind": "request",
        "said": True,
        "right": True,
        "cause": "",
        "why": "",
        "answer": "Done.",
        "start_ns": 0,
        "speech_end_ns": NS_PER_S,
        "latency_ns": 0,
        "first_token_ns": None,
        "parts_ns": dict.fromkeys(PARTS, 0),
        "floor_ns": 0,
        "asks": False,
        "asked": False,
        "silence_ns": None,
        "tokens": 0,
    }
    return TurnRecord(**plain | values)
