"""JSON Schema as tools in the wild write it: read once into a plain form, and judged by the package jsonschema.

Owns the plain form: no references, no prose, types by JSON's names, alternatives put together where one schema says the
same. Accepts what MCP servers, OpenAI, OpenAPI 3.0 and pydantic write, and the Python words of BFCL, xLAM and Glaive.
Refuses by name what can't be shown to a model or judged: references elsewhere or to themselves, unknown types, patterns
that Python can't read. Does not know tools and parameters.
"""

from __future__ import annotations

import ast
import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jsonschema import Draft202012Validator, SchemaError, ValidationError

_JSON_TYPES = ("string", "integer", "number", "boolean", "array", "object", "null")
_PYTHON_TYPES = {
    "str": "string",
    "int": "integer",
    "float": "number",
    "double": "number",
    "bool": "boolean",
    "list": "array",
    "tuple": "array",
    "set": "array",
    "dict": "object",
    "none": "null",
    "nonetype": "null",
    "any": None,
    "sequence": "array",
    "iterable": "array",
    "mapping": "object",
}
_BOUNDS = frozenset(
    (
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "minLength",
        "maxLength",
        "pattern",
        "format",
        "minItems",
        "maxItems",
        "uniqueItems",
        "minProperties",
        "maxProperties",
    )
)
_SCHEMAS = ("not", "if", "then", "else", "contains", "propertyNames", "unevaluatedItems", "unevaluatedProperties")
_NAMED_SCHEMAS = ("properties", "patternProperties", "dependentSchemas")
_OTHERS = ("minContains", "maxContains", "dependentRequired")
_HELD = ("$dynamicRef", "$recursiveRef")
_LISTS = ("anyOf", "oneOf", "allOf")
_MORE = (_BOUNDS - {"format"}) | {
    *_SCHEMAS,
    *_OTHERS,
    *_LISTS,
    "prefixItems",
    "patternProperties",
    "dependentSchemas",
    "const",
}
"""What only the validator judges; `midsentence.tools.tool.mismatch` walks the rest by itself, for the words of its
errors."""
_MOST_KEPT = 1024
_kept: OrderedDict[int, tuple[Mapping[str, Any], Draft202012Validator | None]] = OrderedDict()


class BadSchema(ValueError):
    """A schema that can't be supported; the text names what, and the fix."""


def plain(schema: Any, root: Any = None) -> dict[str, Any]:
    """The plain form of a schema.

    Args:
        schema: any of the dialects.
        root: the document that ``$ref`` points into; the schema itself by default.

    Raises:
        BadSchema: it can't be supported.
    """
    made = _plain(schema, schema if root is None else root, ())
    try:
        Draft202012Validator.check_schema(made)
    except SchemaError as error:
        raise BadSchema(f"{'.'.join(map(str, error.path)) or 'it'} is no JSON Schema: {error.message}") from None
    return made


def _plain(schema: Any, root: Any, inside: tuple[str, ...]) -> dict[str, Any]:
    if isinstance(schema, bool):
        return {} if schema else {"not": {}}
    if not isinstance(schema, Mapping):
        raise BadSchema(f"{schema!r:.60} is no JSON Schema: give an object")
    if held := [name for name in _HELD if name in schema]:
        raise BadSchema(f"{held[0]} is not supported: write the schema out")
    if "$ref" in schema:
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        ref = schema["$ref"]
        if ref in inside:
            raise BadSchema(f"$ref {ref!r} leads back to itself: write out as many levels as are needed")
        return _both([_plain(resolved(ref, root), root, (*inside, ref)), _plain(beside, root, inside)])
    made = _typed(schema)
    for key, value in schema.items():
        if key in _BOUNDS or key in _OTHERS:
            made[key] = value
        elif key in _SCHEMAS or key == "additionalProperties" and not isinstance(value, bool):
            made[key] = _plain(value, root, inside)
        elif key in _NAMED_SCHEMAS and isinstance(value, Mapping):
            made[key] = {name: _plain(part, root, inside) for name, part in value.items()}
    _read_lists(made, schema, root, inside)
    _read_old(made, schema)
    if "pattern" in made:
        try:
            re.compile(made["pattern"])
        except (re.error, TypeError) as error:
            raise BadSchema(
                f"pattern {made['pattern']!r} can't be read as Python's regular expressions: {error}"
            ) from None
    if "properties" in made and "type" not in schema:
        made["type"] = "object"
    parts = [_plain(part, root, inside) for part in schema["allOf"]] if _listed(schema, "allOf") else []
    made = _both([made, *parts])
    for key in _LISTS[:2]:
        if _listed(schema, key):
            branches = [_plain(part, root, inside) for part in schema[key]]
            together = _choice(branches, key)
            clash = any(name in made and made[name] != value for name, value in together.items())
            made = _both([made, {key: branches} if clash else together])
    return _choice([made, {"type": "null"}], "anyOf") if schema.get("nullable") is True and made else made


def _listed(schema: Mapping[str, Any], key: str) -> bool:
    if key in schema and not (isinstance(schema[key], Sequence) and not isinstance(schema[key], str) and schema[key]):
        raise BadSchema(f"{key} is {schema[key]!r:.60}: give a list of schemas")
    return key in schema


def resolved(ref: Any, root: Any) -> Any:
    """What a ``$ref`` points to.

    Raises:
        BadSchema: it leads nowhere, or out of ``root``.
    """
    if not isinstance(ref, str) or not ref.startswith("#"):
        raise BadSchema(f"$ref {ref!r} leads out of the tool's own schema: write what it means under $defs")
    at = root
    for part in ref.removeprefix("#").split("/")[1:]:
        part = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(at, Mapping) or part not in at:
            raise BadSchema(f"$ref {ref!r} leads nowhere: there is no {part!r}")
        at = at[part]
    return at


def _typed(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Type, choices and whether all fields are declared."""
    made: dict[str, Any] = {}
    kind = schema.get("type")
    if isinstance(kind, str):
        made |= _of_word(kind)
    elif kind is not None:
        if not isinstance(kind, Sequence) or not kind or not all(isinstance(each, str) for each in kind):
            raise BadSchema(f"type {kind!s:.60} is unknown: use {', '.join(_JSON_TYPES)}, or a list of these")
        made |= _choice([_of_word(each) for each in kind], "anyOf")
    if "const" in schema:
        made["enum"] = [schema["const"]]
    elif schema.get("enum"):
        made["enum"] = list(schema["enum"])
    return made


def _of_word(word: str) -> dict[str, Any]:
    """The schema of a type's name: JSON's, or Python's with what stands in its brackets
    (``List[Union[str, int]], optional``)."""
    if word in _JSON_TYPES:
        return {"type": word}
    try:
        found = ast.parse(word.strip(), mode="eval").body
        return _of_node(found.elts[0] if isinstance(found, ast.Tuple) and found.elts else found)
    except (SyntaxError, ValueError, RecursionError):
        pass
    first = word.split(",")[0].strip().casefold()  # "str, default is x"
    if first in _PYTHON_TYPES or first in _JSON_TYPES:
        return _of_word(first)
    raise BadSchema(
        f"type {word:.60} is unknown: use {', '.join(_JSON_TYPES)}, or Python's words for these, as List[Union[str, int]]"
    )


def _of_node(node: ast.expr) -> dict[str, Any]:
    match node:
        case ast.Constant(value=None):
            return {"type": "null"}
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _choice([_of_node(left), _of_node(right)], "anyOf")
        case ast.Name(id=name) | ast.Attribute(attr=name):
            name = name.casefold()
            if name not in _JSON_TYPES and name not in _PYTHON_TYPES:
                raise ValueError(name)
            kind = _PYTHON_TYPES.get(name, name)
            return {} if kind is None else {"type": kind}
        case ast.Subscript(value=ast.Name(id=name) | ast.Attribute(attr=name), slice=inner):
            parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
            return _of_generic(name.casefold(), parts)
    raise ValueError(ast.dump(node)[:60])


def _of_generic(name: str, parts: Sequence[ast.expr]) -> dict[str, Any]:
    match name:
        case "union":
            return _choice([_of_node(part) for part in parts], "anyOf")
        case "optional":
            return _choice([_of_node(parts[0]), {"type": "null"}], "anyOf")
        case "literal":
            values = [ast.literal_eval(part) for part in parts]
            return {"enum": values}
        case "annotated":
            return _of_node(parts[0])
    kind = _PYTHON_TYPES.get(name, name)
    if kind == "array":
        items = [_of_node(part) for part in parts if not (isinstance(part, ast.Constant) and part.value is ...)]
        item = _choice(items, "anyOf") if items else {}
        return {"type": "array"} | ({"items": item} if item else {})
    if kind == "object":
        value = _of_node(parts[-1]) if len(parts) == 2 else {}
        return {"type": "object"} | ({"additionalProperties": value} if value else {})
    raise ValueError(name)


def _read_lists(made: dict[str, Any], schema: Mapping[str, Any], root: Any, inside: tuple[str, ...]) -> None:
    """Items: one schema for all, or one a place (``prefixItems``; before 2020 a list of ``items``)."""
    first, rest = schema.get("prefixItems"), schema.get("items")
    if isinstance(rest, Sequence) and not isinstance(rest, str):
        first, rest = rest, schema.get("additionalItems")
    if first:
        made["prefixItems"] = [_plain(part, root, inside) for part in first]
    if rest is False:
        made["items"] = False
    elif rest is not None and rest is not True:
        made["items"] = _plain(rest, root, inside)


def _read_old(made: dict[str, Any], schema: Mapping[str, Any]) -> None:
    """Fields that are needed, and what draft 4 and OpenAPI 3.0 said otherwise."""
    required = schema.get("required")
    if isinstance(required, Sequence) and not isinstance(required, str) and required:
        made["required"] = list(required)
    if isinstance(schema.get("additionalProperties"), bool) and not schema["additionalProperties"]:
        made["additionalProperties"] = False
    for open, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(made.get(open), bool):
            strict = made.pop(open)
            if strict and bound in made:
                made[open] = made.pop(bound)


def _kinds(schema: Mapping[str, Any]) -> list[str]:
    kind = schema["type"]
    return [kind] if isinstance(kind, str) else list(kind)


def _choice(parts: Sequence[dict[str, Any]], how: str) -> dict[str, Any]:
    """One schema for alternatives: their types side by side where that says the same, else a list of alternatives."""
    if len(parts) == 1:
        return parts[0]
    if any(not part for part in parts):
        return {} if how == "anyOf" else {how: list(parts)}
    parts = [{"type": _type_of(part["enum"]), **part} if "enum" in part else part for part in parts]
    if any(set(part) & {*_LISTS, *_SCHEMAS} or "type" not in part for part in parts):
        return {how: list(parts)}
    kinds = [kind for part in parts for kind in _kinds(part)]
    if any("enum" in part for part in parts):
        values = [value for part in parts for value in part.get("enum", [None])]
        listed = all(set(part) == {"type", "enum"} or part == {"type": "null"} for part in parts)
        if listed and (how == "anyOf" or len({repr(value) for value in values}) == len(values)):
            kinds, values = list(dict.fromkeys(kinds)), list({repr(value): value for value in values}.values())
            return {"type": kinds[0] if len(kinds) == 1 else kinds, "enum": values}
        return {how: list(parts)}
    # a keyword speaks of one type alone, but for those of numbers; what two members would both say is no longer theirs
    said = [key for part in parts for key in part if key != "type"]
    if len(set(kinds)) < len(kinds) or {"integer", "number"} <= set(kinds) and said or len(set(said)) < len(said):
        same = all(part == parts[0] for part in parts)
        return parts[0] if same and how == "anyOf" else {how: list(parts)}
    return {name: value for part in parts for name, value in part.items()} | {"type": kinds}


def _type_of(values: Sequence[Any]) -> Any:
    kinds = list(
        dict.fromkeys(
            "boolean"
            if isinstance(value, bool)
            else "integer"
            if isinstance(value, int)
            else "number"
            if isinstance(value, float)
            else "string"
            if isinstance(value, str)
            else "null"
            if value is None
            else "array"
            if isinstance(value, list)
            else "object"
            for value in values
        )
    )
    return kinds[0] if len(kinds) == 1 else kinds


def _both(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One schema for all of several, of which no two may say the same thing otherwise."""
    made: dict[str, Any] = {}
    for part in parts:
        for key, value in part.items():
            if key not in made or made[key] == value:
                made[key] = value
            elif key == "properties" and not any(
                name in made[key] and made[key][name] != inner for name, inner in value.items()
            ):
                made[key] = {**made[key], **value}
            elif key == "required":
                made[key] = [*made[key], *(name for name in value if name not in made[key])]
            else:
                both = f"{made[key]!s:.60} and {value!s:.60}"
                raise BadSchema(f"two parts of it (allOf, or beside $ref) give {key} otherwise: {both}; write it once")
    return made


def alternatives(schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The schemas of which a value fits one (``anyOf``, ``oneOf``), each whole; the schema itself where it has none."""
    for key in _LISTS[:2]:
        if key in schema:
            rest = {name: value for name, value in schema.items() if name != key}
            return [found for part in schema[key] for found in alternatives({**rest, **part})]
    return [schema]


def violations(value: Any, schema: Mapping[str, Any]) -> Iterator[ValidationError]:
    """What a value breaks of a schema, as far as it says more than types, choices and fields; nothing where it says no
    more."""
    judge = _judge(schema)
    return iter(()) if judge is None else judge.iter_errors(value)


def _judge(schema: Mapping[str, Any]) -> Draft202012Validator | None:
    key = id(schema)
    if (kept := _kept.get(key)) is not None:  # held, so that no other schema can get its identity
        return kept[1]
    judge = Draft202012Validator(schema) if _says_more(schema) else None
    _kept[key] = schema, judge
    if len(_kept) > _MOST_KEPT:
        _kept.popitem(last=False)
    return judge


def _says_more(schema: Any) -> bool:
    if not isinstance(schema, Mapping):
        return schema is False
    if not _MORE.isdisjoint(schema):
        return True
    parts = [
        *schema.get("properties", {}).values(),
        *(schema[key] for key in ("items", "additionalProperties") if key in schema),
    ]
    return any(map(_says_more, parts))
