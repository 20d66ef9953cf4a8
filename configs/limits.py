"""Which values a setting accepts: declared next to its field in the schema, and checked once for every command.

Owns the declarations `one_of`, `number`, `keyed`, `several` and `span`, and `check`, which holds a tree of settings
against them. Does not know what a setting is for: what two settings must have in common is checked where they are used.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

_LIMITS = "limits"
_LONGEST_S = 1e9
"""No time is longer than thirty years: what has one in nanoseconds still fits in 64 bits."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one value may be; of a list or a mapping, what each of its values may be."""

    choices: tuple[str, ...] = ()
    """The texts that there are; empty for any."""
    least: float = -math.inf
    """The smallest number."""
    most: float = math.inf
    """The largest number."""
    above: float = -math.inf
    """Values are greater than this."""
    filled: bool = False
    """Whether a list needs an item."""
    span: bool = False
    """Whether a list is two numbers, the second at least the first."""
    keys: tuple[str, ...] = ()
    """Keys that a mapping may have; empty for any."""

    def wrong(self, value: Any) -> str:
        """What is wrong with a value, with the fix; empty if nothing is."""
        if self.choices and value not in self.choices:
            return f"is unknown; use one of {', '.join(self.choices)}"
        if isinstance(value, bool) or not isinstance(value, int | float):
            return ""
        if not math.isfinite(value):
            return "is no finite number"
        if value < self.least or value > self.most or value <= self.above:
            return f"is out of range; use {self._range()}"
        return ""

    def _range(self) -> str:
        if self.above > -math.inf:
            low = f"more than {self.above:g}"
        elif self.least > -math.inf:
            low = f"{self.least:g}" if self.most < math.inf else f"{self.least:g} or more"
        else:
            low = ""
        if self.most == math.inf:
            return low
        joint = " and at most " if self.above > -math.inf else " to "
        return f"{low}{joint}{self.most:g}" if low else f"{self.most:g} or less"


def one_of(default: Any, *choices: str) -> Any:
    """A field that takes one of ``choices``, or a list of such."""
    return _field(default, Limits(choices))


def number(
    default: Any,
    least: float = -math.inf,
    most: float = math.inf,
    *,
    above: float = -math.inf,
    keys: tuple[str, ...] = (),
) -> Any:
    """A field of numbers from ``least`` to ``most``, both included, and greater than ``above``; a mapping's may have
    ``keys`` alone."""
    return _field(default, Limits(least=least, most=most, above=above, keys=keys))


def keyed(*keys: str) -> Any:
    """A mapping, empty at first, that may have ``keys`` alone."""
    return _field({}, Limits(keys=keys))


def several(*default: Any, least: float = -math.inf, above: float = -math.inf) -> Any:
    """A list that has at least one item."""
    return _field(list(default), Limits(least=least, above=above, filled=True))


def span(low: Any, high: Any, *, least: float = -math.inf, above: float = -math.inf) -> Any:
    """A range: a list of its two ends."""
    return _field([low, high], Limits(least=least, above=above, filled=True, span=True))


def _field(default: Any, limits: Limits) -> Any:
    given = {"default_factory": default.copy} if isinstance(default, list | dict) else {"default": default}
    return field(**given, metadata={_LIMITS: limits})


def check(settings: Any, path: str = "") -> None:
    """Holds a tree of settings against what its types declare; a number that is not finite is refused anywhere.

    Raises:
        ValueError: names the setting, its value and what it takes.
    """
    for spec in fields(settings):
        name, value = f"{path}{spec.name}", getattr(settings, spec.name)
        limits = spec.metadata.get(_LIMITS, Limits())
        if value is None or (is_dataclass(value) and not isinstance(value, type)):
            if value is not None:
                check(value, f"{name}.")
            continue
        if limits.keys and (strange := [key for key in value if key not in limits.keys]):
            raise ValueError(f"{name}.{strange[0]} is unknown; use {', '.join(limits.keys)}")
        if limits.filled and not value:
            raise ValueError(f"{name}={value} is empty; name at least one")
        if limits.span and (len(value) != 2 or value[1] < value[0]):
            raise ValueError(f"{name}={value} is no range; give two numbers, the lower one first")
        for place, each in _values(name, value):
            if is_dataclass(each):
                check(each, f"{place}.")
            elif why := limits.wrong(each) or _too_long(spec.name, each):
                raise ValueError(f"{place}={each} {why}")


def _too_long(name: str, value: Any) -> str:
    """What is wrong with a value as a time; settings of seconds end in ``_s``, those of rates in ``_per_s``."""
    long = name.endswith("_s") and not name.endswith("_per_s") and isinstance(value, int | float) and value > _LONGEST_S
    return f"is out of range; use {_LONGEST_S:g} or less" if long else ""


def _values(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        yield from ((f"{name}.{key}", each) for key, each in value.items())
    elif isinstance(value, Sequence) and not isinstance(value, str):
        yield from ((name, each) for each in value)
    else:
        yield name, value
