"""Latency of simulated tools: a few distributions, drawn by hash and never by a generator.

Owns the arithmetic from a number in (0, 1) to nanoseconds, and the number that a call always gets. Does not know
what the tool does; live tools take as long as they take.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Protocol

from midsentence.clock import ns


class Latency(Protocol):
    """A distribution of latencies."""

    def draw_ns(self, unit: float) -> int:
        """The latency at quantile ``unit``, strictly between 0 and 1, in nanoseconds."""
        ...


@dataclass(frozen=True, slots=True)
class Constant:
    """Always the same."""

    s: float
    """Seconds, at least 0."""

    def __post_init__(self) -> None:
        if not self.s >= 0:
            raise ValueError(f"Constant: s is {self.s}; it must be at least 0 seconds")

    def draw_ns(self, unit: float) -> int:
        """See `Latency.draw_ns`."""
        return ns(self.s)


@dataclass(frozen=True, slots=True)
class Uniform:
    """Evenly between two bounds."""

    low_s: float
    """Shortest, in seconds."""
    high_s: float
    """Longest, in seconds."""

    def __post_init__(self) -> None:
        if not 0 <= self.low_s <= self.high_s:
            raise ValueError(f"Uniform: got {self.low_s} to {self.high_s} s; it must be 0 <= low_s <= high_s")

    def draw_ns(self, unit: float) -> int:
        """See `Latency.draw_ns`."""
        return ns(self.low_s + unit * (self.high_s - self.low_s))


@dataclass(frozen=True, slots=True)
class LogNormal:
    """Mostly near the median, with a long tail, as calls over a network are."""

    median_s: float
    """Median, in seconds."""
    sigma: float
    """Standard deviation of the logarithm."""

    def __post_init__(self) -> None:
        if not (self.median_s > 0 and self.sigma >= 0):
            raise ValueError(
                f"LogNormal: got median_s={self.median_s}, sigma={self.sigma}; use median_s > 0 and sigma >= 0"
            )

    def draw_ns(self, unit: float) -> int:
        """See `Latency.draw_ns`."""
        return ns(self.median_s * math.exp(self.sigma * NormalDist().inv_cdf(unit)))


def unit_of(seed: str, tool: str, args: Mapping[str, Any]) -> float:
    """The number in (0, 1) that this call always gets under ``seed``, whatever else was called before it."""
    text = json.dumps([seed, tool, dict(args)], ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=repr)
    head = int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "big")
    # 52 bits and a half: exact in a double, and never 0 or 1
    return ((head >> 12) + 0.5) / 2**52
