"""When two calls mean the same, and which words a value says: the judge's own normal forms.

Written from DESIGN ("Calls are equal by meaning: absent is null is the default, numbers by value, text normalised, the
tool's own canonical form") and from nothing in the core.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

from midsentence.core.values import Join, Ref
from midsentence.tools.tool import ToolSpec

_WORD = re.compile(r"\w+")


def default_of(param: Any) -> Any:
    """What a parameter means when it is left out: its own default, else its schema's."""
    own = getattr(param, "default", None)
    return own if own is not None else param.schema.get("default")


def normal(value: Any) -> Any:
    """A hashable form that is the same for values that mean the same."""
    match value:
        case bool() | None:
            return ("constant", value)
        case int() | float() if math.isfinite(value):
            return ("number", Fraction(value))
        case str():
            return ("text", " ".join(unicodedata.normalize("NFC", value).split()))
        case list() | tuple():
            return ("list", tuple(normal(item) for item in value))
        case Mapping():
            return (
                "fields",
                tuple(sorted((unicodedata.normalize("NFC", name), normal(item)) for name, item in value.items())),
            )
        case Ref(call, path):
            return ("ref", call, path)
        case Join():
            return ("join", tuple(normal(part) for part in pieces(value)))
    return ("other", repr(value))


def pieces(value: Any) -> list[Any]:
    """What a text is put together from: the texts that stand side by side are one."""
    flat: list[Any] = []
    for part in value.parts if isinstance(value, Join) else (value,):
        if flat and isinstance(part, str) and isinstance(flat[-1], str):
            flat[-1] += part
        elif part != "":
            flat.append(part)
    return flat


def added(old: Any, more: Any) -> Any:
    """What ``old += more`` is: a text, or what will be one."""
    flat = pieces(Join((*pieces(old), *pieces(more))))
    return "" if not flat else flat[0] if len(flat) == 1 and isinstance(flat[0], str) else Join(tuple(flat))


def meaning(spec: ToolSpec, args: Mapping[str, Any]) -> tuple:
    """The normal form of a whole call."""
    if (canonical := getattr(spec, "canonical", None)) is not None:
        args = canonical(args)
    parts = []
    for param in spec.params:
        value = args.get(param.name)
        kinds = param.schema.get("type", ())
        if value is not None and ("array" in kinds) and not isinstance(value, list | Ref):
            value = [value]
        form, default = normal(value), default_of(param)
        if value is not None and (default is None or form != normal(default)):
            parts.append((param.name, form))
    return (spec.name, tuple(parts))


def words(text: str) -> list[str]:
    """The words of a text, whatever their case, letters' composition and punctuation."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def said_by(value: Any) -> Iterator[str]:
    """The words that a value would carry out of the machine."""
    match value:
        case str():
            yield from words(value)
        case bool() | None:
            return
        case int() | float():
            yield str(int(value)) if math.isfinite(value) and value == int(value) else str(value)
        case list() | tuple():
            for item in value:
                yield from said_by(item)
        case Mapping():
            for name, item in value.items():
                yield from words(name)
                yield from said_by(item)
