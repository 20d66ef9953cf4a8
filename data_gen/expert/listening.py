"""What a transcript tells of what was said: the words as they were heard, and how long nobody has spoken."""

from __future__ import annotations

from collections.abc import Iterable

from midsentence.core.transcript import Segment, read_update


def heard_in(segments: Iterable[Segment]) -> tuple[str, ...]:
    """The words as they were heard, what was taken back left out: all that a transcript tells of what was said."""
    heard: list[str] = []
    for segment in segments:
        if segment.kind in ("partial_query_update", "final_query_update"):
            text, retracts = read_update(segment.text)
            del heard[max(0, len(heard) - retracts) :]
            heard += text.split()
    return tuple(heard)


def silent_s(segments: Iterable[Segment]) -> float:
    """For how long nobody has spoken, as far as a transcript tells."""
    silent = 0.0
    for segment in segments:
        if segment.kind == "silence":
            silent = float(segment.text)
        elif segment.kind in ("partial_query_update", "final_query_update") and any(read_update(segment.text)):
            silent = 0.0
    return silent
