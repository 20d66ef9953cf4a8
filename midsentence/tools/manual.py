"""Describes the tools in a prompt: signatures, and as much of their descriptions as is asked for and fits.

Owns the three levels of detail, the limits of a schema in words, and the cutting of descriptions, which never parts an
abbreviation from what follows it. Does not know token ids: the budget is in characters, about four a token.

    names   send_sms(recipients: list[str], message: str)
    short   send_sms(recipients: list[str], message: str) # Sends a text message. (message: 1 to 160 characters)
    full    send_sms(recipients: list[str], message: str) # Sends a text message. It can't be taken back.
              recipients: Phone numbers
              message: What to say (1 to 160 characters)
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, get_args

from midsentence.tools.schema import alternatives
from midsentence.tools.tool import ToolSpec, signature, type_word

Detail = Literal["names", "short", "full"]
"""``names``: signatures alone. ``short``: with each tool's first sentence, and the limits of its parameters. ``full``:
with the whole description, and each parameter's."""

MOST_CHARS = 8000
"""Of all tools together; about 2,000 tokens."""

_LEVELS: tuple[Detail, ...] = get_args(Detail)
_SENTENCE_CHARS = 160
"""The longest first sentence that is shown whole."""
_ABBREVIATION = re.compile(
    r"(?:\b(?:e\.g|i\.e|a\.k\.a|etc|vs|cf|ca|approx|incl|excl|esp|resp|fig|no|nos|vol|pp?|ed|al|dept|est|inc|ltd|co|corp|dr|mrs?|ms|prof|sr|jr|st|ave|"
    r"a\.m|p\.m|min|max|sec|hrs?|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec|mon|tue|wed|thu|fri|sat|sun)|\b[A-Za-z](?:\.[A-Za-z])*)\.$",
    re.IGNORECASE,
)
_END = re.compile(r"[.!?]+[\"')\]]*(?=\s+|$)")


def manual(specs: Iterable[ToolSpec], detail: Detail = "short", most_chars: int = MOST_CHARS) -> list[str]:
    """The tools' lines, in their order.

    Where all of it is longer than ``most_chars``, the longest tool is told in the next shorter way, until it fits or
    only signatures are left.

    Raises:
        ValueError: no such level.
    """
    if detail not in _LEVELS:
        raise ValueError(f"agent.prompt_tools={detail} is unknown; use one of {', '.join(_LEVELS)}")
    specs = list(specs)
    ways = [[_lines(spec, level) for level in _LEVELS[: _LEVELS.index(detail) + 1]] for spec in specs]
    while sum(map(_chars, (way[-1] for way in ways))) > most_chars and any(len(way) > 1 for way in ways):
        max((way for way in ways if len(way) > 1), key=lambda way: _chars(way[-1])).pop()
    return [line for way in ways for line in way[-1]]


def _chars(lines: Sequence[str]) -> int:
    return sum(len(line) + 1 for line in lines)


def _lines(spec: ToolSpec, level: Detail) -> list[str]:
    if level == "names":
        return [signature(spec)]
    whole, price = " ".join(spec.description.split()), "each call costs" if spec.costly else ""
    if level == "full":
        told = [(param.name, " ".join(param.description.split()), limits(param.schema)) for param in spec.params]
        about = [
            f"  {name}: " + " ".join(filter(None, (text, limit and f"({limit})")))
            for name, text, limit in told
            if text or limit
        ]
        return [
            " # ".join(filter(None, (signature(spec), " ".join(filter(None, (whole, price and f"({price})")))))),
            *about,
        ]
    narrow = "; ".join(
        filter(None, (price, *(f"{param.name}: {limit}" for param in spec.params if (limit := limits(param.schema)))))
    )
    parts = [first_sentence(whole), f"({narrow})" if narrow else ""]
    return [" # ".join(filter(None, (signature(spec), " ".join(filter(None, parts)))))]


def first_sentence(text: str) -> str:
    """The first sentence; if it is very long, as many of its words as fit, and that something is left out."""
    sentence = next((text[: end.end()] for end in _END.finditer(text) if _ends(text, end)), text)
    if len(sentence) <= _SENTENCE_CHARS:
        return sentence
    words = sentence[:_SENTENCE_CHARS].rsplit(" ", 1)[0].split(" ")
    while len(words) > 1 and _ABBREVIATION.search(words[-1]):
        words.pop()  # "e.g. …" says less than nothing
    return " ".join(words).rstrip(",;:(") + " …"


def _ends(text: str, end: re.Match[str]) -> bool:
    """Whether a sentence ends here: not after an abbreviation, inside brackets, or before a small letter."""
    before, after = text[: end.end()], text[end.end() :].lstrip()
    if not after:
        return True
    if end[0] == "." and _ABBREVIATION.search(before):
        return False
    return not after[0].islower() and before.count("(") <= before.count(")")


def limits(schema: Mapping[str, Any]) -> str:
    """What a value must keep to beyond its type, in words; empty for nothing."""
    if len(parts := alternatives(schema)) > 1:
        return ", or ".join(dict.fromkeys(filter(None, map(limits, parts))))
    said = _bounds(schema)
    if schema.get("properties"):
        said.append(f"fields {_fields(schema)}")
    if schema.get("default") is not None:
        said.append(f"default {json.dumps(schema['default'], ensure_ascii=False)}")
    item = schema.get("items")
    if isinstance(item, Mapping) and (each := limits(item)):
        said.append(f"each {each}")
    if places := schema.get("prefixItems"):
        said.append(f"items [{', '.join(map(_shape, places))}]")
    return ", ".join(said)


def _bounds(schema: Mapping[str, Any]) -> list[str]:
    said = []
    if "format" in schema:
        said.append(str(schema["format"]))
    if "pattern" in schema:
        said.append(f"pattern {schema['pattern']}")
    for low, high, unit in (
        ("minimum", "maximum", ""),
        ("minLength", "maxLength", " characters"),
        ("minItems", "maxItems", " items"),
    ):
        said += _range(schema.get(low), schema.get(high), unit)
    said += [f"more than {schema['exclusiveMinimum']}"] if "exclusiveMinimum" in schema else []
    said += [f"less than {schema['exclusiveMaximum']}"] if "exclusiveMaximum" in schema else []
    said += [f"a multiple of {schema['multipleOf']}"] if "multipleOf" in schema else []
    return said


def _fields(schema: Mapping[str, Any]) -> str:
    """The fields of an object with all that is in them: ``{name: str, size?: {width: int, height: int}}``."""
    needed = schema.get("required", ())
    shown = []
    for name, part in schema["properties"].items():
        narrow = ", ".join(_bounds(part))
        shown.append(f"{name}{'' if name in needed else '?'}: {_shape(part)}" + (f" ({narrow})" if narrow else ""))
    return f"{{{', '.join(shown)}}}"


def _shape(schema: Mapping[str, Any]) -> str:
    """`type_word`, but objects with declared fields as what they are."""
    if len(parts := alternatives(schema)) > 1:
        return "|".join(dict.fromkeys(map(_shape, parts)))
    kind, items = schema.get("type"), schema.get("items")
    if kind is None or "enum" in schema:
        return type_word(schema)
    words = []
    for one in [kind] if isinstance(kind, str) else kind:
        if one == "object" and schema.get("properties"):
            words.append(_fields(schema))
        else:
            word = type_word({**schema, "type": one})
            words.append(f"list[{_shape(items)}]" if word.startswith("list[") and isinstance(items, Mapping) else word)
    return "|".join(words)


def _range(low: Any, high: Any, unit: str) -> list[str]:
    if low is not None and high is not None:
        return [f"{low} to {high}{unit}"]
    return [f"at least {low}{unit}"] if low is not None else [f"at most {high}{unit}"] if high is not None else []
