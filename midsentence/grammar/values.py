"""A tool's schemas as terminals for llguidance, one for each value that may be written.

Owns the one way in which a value is written, as `midsentence.core.values.write_value` does, and how those that must not
be written are left out. Does not know calls, and where in a line a value stands.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from itertools import permutations
from typing import Any

from midsentence.core.values import write_value
from midsentence.grammar.atoms import quoted
from midsentence.grammar.said_text import text_of, without_repeats
from midsentence.tools.schema import alternatives
from midsentence.tools.tool import mismatch

_DEPTH = 3
"""How deep lists and objects of unknown shape may nest."""
_MOST_ORDERED = 3
"""Objects with more declared fields than this are written in the declared order only."""
_TERMINALS = r"""
KEY: /"([^"\\\x00-\x1f]|\\["\\bfnrt]|\\u00(0[0-7bef]|1[0-9a-f]))*"/
INT: /0|-?[1-9][0-9]{0,29}/
NUM: INT | /-?(0\.(0|0{0,3}[1-9]([0-9]{0,18}[1-9])?)|[1-9][0-9]{0,15}\.(0|[0-9]{0,18}[1-9]))/ | EXP
EXP: /-?[1-9](\.[0-9]{0,16}[1-9])?e(-(0[5-9]|[1-9][0-9]|[12][0-9][0-9])|\+(1[6-9]|[2-9][0-9]|[12][0-9][0-9]))/
LONG: /-?[0-9.]{17,}(e[+-][0-9]+)?/
PART: /\.[A-Za-z_][A-Za-z0-9_-]*|\[(0|[1-9][0-9]{0,3})\]/
"""
# NUM has each number once as long as it has at most 15 digits; LONG is what might be another text of the same number
_SCALARS = {"string": "STR", "integer": "INT", "number": "NUM"}
_KINDS = ("string", "integer", "number", "boolean", "null", "array", "object")


class ValueRules:
    """The terminals of values, gathered while they are made."""

    def __init__(self, lines: list[str], whole: frozenset[int], said: Sequence[str] | None) -> None:
        """Takes what holds of all values.

        Args:
            lines: rules; terminals are added to them.
            whole: calls whose results have no parts.
            said: the words of which a text is made; None where it may be any text.
        """
        self._lines, self._whole, self._said = lines, whole, said
        self._names: dict[str, str] = {}

    def terminals(self) -> tuple[str, str]:
        """What the terminals are made of: texts, and all else."""
        text = "KEY" if self._said is None else f"/{text_of(without_repeats(self._said))}/"
        return f"STR: {text}", _TERMINALS

    def terminal(self, expression: str) -> str:
        """A terminal with this right-hand side; equal ones are one."""
        if re.fullmatch(r"[A-Z][A-Z0-9_]*", expression):
            return expression
        if expression not in self._names:
            self._names[expression] = f"T{len(self._names)}"
            self._lines.append(f"{self._names[expression]}: {expression}")
        return self._names[expression]

    def value(
        self, schema: Mapping[str, Any], refs: tuple[int, ...], but: tuple[str, ...], fields: tuple[str, ...]
    ) -> str | None:
        """A terminal of all values that fit, references among them, but for those given; None where there is none.

        An object of any shape has those ``fields`` in this order and once, so that each object made of them has one
        text.
        """
        few = _few(schema)
        if few is not None:
            texts = [quoted(text) for text in (*few, *(f"${ref}" for ref in refs))]
            texts = [text for text in texts if text not in but]
            if parted := [quoted(f"${ref}") for ref in refs if ref not in self._whole]:
                texts.append(f"({' | '.join(parted)}) PART{{1,4}}")
            return self.terminal(" | ".join(texts)) if texts else None
        whole = self.terminal(" | ".join([*self._shapes(schema, refs, 0, fields), *self._references(schema, refs)]))
        return self.terminal(f"{whole} & ~({' | '.join(but)})") if but else whole

    def _references(self, schema: Mapping[str, Any], refs: tuple[int, ...]) -> list[str]:
        if not refs:
            return []
        ref = self._ref(refs)
        if "string" not in kinds_of(schema) or self._said is not None:
            return [ref]
        return [f'{ref} (" + " (STR | {ref}))*', f'STR " + " {ref} (" + " (STR | {ref}))*']

    def _ref(self, refs: tuple[int, ...]) -> str:
        whole = [quoted(f"${ref}") for ref in refs if ref in self._whole]
        parted = [quoted(f"${ref}") for ref in refs if ref not in self._whole]
        return self.terminal(" | ".join([*whole, *([f"({' | '.join(parted)}) PART{{0,4}}"] if parted else [])]))

    def _shapes(
        self, schema: Mapping[str, Any], refs: tuple[int, ...], depth: int, fields: tuple[str, ...] = ()
    ) -> list[str]:
        """Right-hand sides, one a type."""
        few = _few(schema)
        if few is not None:
            return [quoted(text) for text in few] or ["STR & ~STR"]
        if len(parts := alternatives(schema)) > 1:
            return list(dict.fromkeys(shape for part in parts for shape in self._shapes(part, refs, depth, fields)))
        schema, shapes = parts[0], []
        for kind in kinds_of(schema):
            match kind:
                case "boolean":
                    shapes += ['"true"', '"false"']
                case "null":
                    shapes.append('"null"')
                case "array":
                    item = self._part(_items(schema), refs, depth)
                    shapes.append(f'"[" ({item} (", " {item})*)? "]"' if item else '"[]"')
                case "object":
                    shapes += self._objects(schema, refs, depth, fields)
                case _:
                    shapes.append(_SCALARS[kind])
        return shapes

    def _part(self, schema: Mapping[str, Any], refs: tuple[int, ...], depth: int) -> str | None:
        """What may stand inside a list or an object: no joined texts, and references too."""
        if depth >= _DEPTH:
            kinds = [kind for kind in kinds_of(schema) if kind not in ("array", "object")]
            if not kinds:
                return None
            schema = {"type": kinds} if len(alternatives(schema)) > 1 else {**schema, "type": kinds}
        shapes = self._shapes(schema, refs, depth + 1) + ([self._ref(refs)] if refs else [])
        return self.terminal(" | ".join(shapes))

    def _objects(
        self, schema: Mapping[str, Any], refs: tuple[int, ...], depth: int, known: tuple[str, ...]
    ) -> list[str]:
        fields: Mapping[str, Any] = schema.get("properties", {})
        if not fields:
            rest = schema.get("additionalProperties", {})
            value = self._part(rest if isinstance(rest, Mapping) else {}, refs, depth)
            return ['"{}"'] if value is None else [f'"{{" {self._any_fields(value, known)}']
        pairs = {}
        for name, part in fields.items():
            if (value := self._part(part, refs, depth)) is not None:
                pairs[name] = f"{_field(name)} {value}"
        required = frozenset(schema.get("required", ())) & set(fields)
        ordered = len(pairs) > _MOST_ORDERED
        return [f'"{{" {self._fields(pairs, tuple(pairs), required, ordered, True)}']

    def _any_fields(self, value: str, known: tuple[str, ...]) -> str:
        """A terminal of fields of any name and the closing bracket; the known ones come in order, each at most once."""
        names = [_field(name) for name in known]
        name = (
            f"(KEY & ~({' | '.join(quoted(json.dumps(name, ensure_ascii=False)) for name in known)}))"
            if known
            else "KEY"
        )
        pair = self.terminal(f'{name} ": " {value}')
        after = self.terminal(f'(", " {pair})* "}}"')
        tails = [after]  # after each known field, from the last one back
        for n in range(len(names) - 1, -1, -1):
            nexts = " | ".join(f'", " {names[m]} {value} {tails[len(names) - 1 - m]}' for m in range(n, len(names)))
            tails.append(self.terminal(f'(", " {pair})* ("}}" | {nexts})'))
        firsts = [f"{names[m]} {value} {tails[len(names) - 1 - m]}" for m in range(len(names))]
        return self.terminal(" | ".join(['"}"', f"{pair} {tails[-1]}", *firsts]))

    def _fields(
        self, pairs: Mapping[str, str], left: tuple[str, ...], required: frozenset[str], ordered: bool, first: bool
    ) -> str:
        """A terminal of the fields still to come and the closing bracket."""
        options = [] if required & set(left) else ['"}"']
        for n, name in enumerate(left):
            rest = left[n + 1 :] if ordered else left[:n] + left[n + 1 :]
            after = self._fields(pairs, rest, required, ordered, False)
            options.append(f"{'' if first else quoted(', ')} {pairs[name]} {after}")
            if ordered and name in required:
                break
        return self.terminal(" | ".join(options))

    def same(self, value: Any, schema: Mapping[str, Any], inside: bool = False) -> str:
        """All texts of one value: a literal, or a terminal that holds them."""
        match value:
            case float():
                return self.terminal(f"{quoted(write_value(value))} | LONG")
            case dict() if value:
                schema = next(
                    (part for part in alternatives(schema) if value.keys() <= part.get("properties", {}).keys()), schema
                )
                declared = schema.get("properties", {})
                if not declared and inside:
                    return self.terminal("/\\{(?s:.*)\\}/")  # in any order, any field twice: too many to list
                pairs = [f"{_field(key)} {self.same(part, declared.get(key, {}), True)}" for key, part in value.items()]
                orders = permutations(pairs) if declared and len(declared) <= _MOST_ORDERED else [pairs]
                return self.terminal(
                    " | ".join(f'"{{" {(" " + quoted(", ") + " ").join(order)} "}}"' for order in orders)
                )
            case list() if value:
                schema = next((part for part in alternatives(schema) if "items" in part), schema)
                items = [self.same(item, _items(schema), True) for item in value]
                return self.terminal(f'"[" {(" " + quoted(", ") + " ").join(items)} "]"')
        return quoted(write_value(value))


def _field(name: str) -> str:
    return quoted(json.dumps(name, ensure_ascii=False) + ": ")


def _items(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    items = schema.get("items", {})
    return items if isinstance(items, Mapping) and "prefixItems" not in schema else {}


def kinds_of(schema: Mapping[str, Any]) -> list[str]:
    if len(parts := alternatives(schema)) > 1:
        return list(dict.fromkeys(kind for part in parts for kind in kinds_of(part)))
    kind = parts[0].get("type")
    kinds = [kind] if isinstance(kind, str) else list(kind or _KINDS)
    return kinds if set(kinds) <= set(_KINDS) else list(_KINDS)  # a kind that nobody knows may be anything


def listed(schema: Mapping[str, Any]) -> bool:
    """Whether the values that fit can be listed, as those of an enum can."""
    return _few(schema) is not None


def _few(schema: Mapping[str, Any]) -> list[str] | None:
    """The texts of all values that fit, where they are few; None where they can't be listed."""
    if len(parts := alternatives(schema)) > 1:
        few = [_few(part) for part in parts]
        return None if None in few else list(dict.fromkeys(text for texts in few for text in texts or ()))
    if "enum" in schema:
        return list(dict.fromkeys(write_value(value) for value in schema["enum"] if mismatch(value, schema) is None))
    if set(kinds_of(schema)) <= {"boolean", "null"}:
        values = [value for kind in kinds_of(schema) for value in ((True, False) if kind == "boolean" else (None,))]
        return [write_value(value) for value in values]
    return None
