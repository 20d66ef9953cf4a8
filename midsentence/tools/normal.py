"""When two calls are the same: the one normal form of a tool's arguments.

Owns what counts as equal by meaning, for the guard against equal effects, reissues, idempotency keys and the counts of
evaluation alike:

- an optional argument left out, ``null``, and the parameter's default are one; so it is with the declared fields of an
  object;
- numbers are compared by value (``1`` is ``1.0``, ``1e2`` is ``100``), and ``true`` is not ``1``;
- texts, and the names of fields, are compared after Unicode's composition (NFC), texts with runs of white space as one
  space and none at the ends;
- where the schema takes a list, one value is a list of one;
- then the tool's own canonical form, where it has one (`ToolSpec.canonical`).

Nothing else is taken for equal: not texts in other case, not the same items in another order, not ``"5"`` and ``5``.
Does not know calls, references (they stay as they are) and when equality matters.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping
from typing import Any

from midsentence.tools.tool import ToolSpec


def normal_form(spec: ToolSpec, args: Mapping[str, Any], *, own: bool = True) -> dict[str, Any]:
    """The arguments in normal form, sorted by name. Never raises, whatever the arguments are.

    Args:
        spec: the tool.
        args: by parameter name.
        own: whether to apply the tool's own canonical form; it knows plain JSON only, and no references.
    """
    schemas = {param.name: _schema(param.schema, param.default) for param in spec.params}
    required = frozenset(param.name for param in spec.params if param.required)
    plain = _fields(schemas, args, required)
    if own and spec.canonical is not None:
        try:
            meant = _fields(schemas, spec.canonical(plain), required)
            json.dumps(meant, allow_nan=False)
        except Exception:  # a tool that can't say what its arguments mean, or not in JSON: they mean what they say
            return _fields(schemas, args, required)  # anew: it may have changed what it was given
        return meant
    return plain


def _schema(schema: Mapping[str, Any], default: Any) -> Mapping[str, Any]:
    return schema if default is None else {**schema, "default": default}


def _fields(
    schemas: Mapping[str, Mapping[str, Any]], given: Mapping[str, Any], required: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """Declared fields without what means nothing; what is required, or what nobody declared, may mean its null."""
    found = {}
    composed = {unicodedata.normalize("NFC", name): value for name, value in given.items()}
    if len(composed) < len(given):  # two names that differ in their spelling alone stay two
        composed = dict(given)
    for name in sorted(composed):
        value = _value(composed[name], schemas.get(name, {}))
        declared = schemas.get(name)
        if (
            declared is not None
            and name not in required
            and (value is None or _same(value, _value(declared.get("default"), declared)))
        ):
            continue
        found[name] = value
    return found


def _value(value: Any, schema: Mapping[str, Any]) -> Any:
    kind = schema.get("type")
    if kind == "array" or isinstance(kind, list) and "array" in kind:
        if isinstance(value, str | bool | int | float | dict):
            value = [value]
    match value:
        case str():
            return " ".join(unicodedata.normalize("NFC", value).split())
        case float() if value.is_integer():
            return int(value)
        case list():
            items = schema.get("items")
            return [_value(item, items if isinstance(items, Mapping) else {}) for item in value]
        case dict():
            fields = schema.get("properties")
            return _fields(fields if isinstance(fields, Mapping) else {}, value)
    return value


def _same(one: Any, other: Any) -> bool:
    """Equality of normal forms; Python's own takes True for 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[name], other[name]) for name in one)
    return bool(one == other)
