"""The protocol's grammar as text for llguidance: the head of an action, and one line.

Owns how tools, schemas and references become rules and terminals, and the one way in which a call is written: arguments
by position as far as they go without a gap, then by name in the tool's order; values as `midsentence.core.protocol.write_value`
writes them. Because each call has one text only, a call that must not be written again can be left out exactly, and so can an
amendment that would make such a call. Does not know states and tokens' masks; what is legal is told to it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import permutations
from typing import Any

from midsentence.core.protocol import PARAMETER_NAME, TAGS, TOOL_NAME, Join, Ref, write_value
from midsentence.core.said import AROUND
from midsentence.tools.schema import alternatives
from midsentence.tools.tool import Param, ToolSpec, mismatch

_DEPTH = 3
"""How deep lists and objects of unknown shape may nest."""
_MOST_SAID = 150
"""Words, the last ones, of which a text may be made."""
_MOST_ORDERED = 3
"""Objects with more declared fields than this are written in the declared order only."""

_CONTROL, _CONTROL_BUT_NEWLINE = r"\x00-\x1f", r"\x00-\x09\x0b-\x1f"

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


def quoted(text: str) -> str:
    """A literal of the grammar."""
    # the one control character that JSON leaves as it is, and llguidance refuses
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def tag_atom(tag: str, tag_ids: Mapping[str, int]) -> str:
    """A tag as the tokenizer has it: its own token, or text."""
    return f"<[{tag_ids[tag]}]>" if tag in tag_ids else quoted(tag)


def head_rules(
    tag_ids: Mapping[str, int], *, pause: bool, answer: bool, calls: bool, flat: bool, max_thought_chars: int, max_answer_chars: int,
) -> str:
    """An optional thought, then the end of the action or the start of its first line, which in ``flat`` turns follows directly."""
    lines = [
        f"THOUGHT: /{untagged(_CONTROL, max_thought_chars)}/",
        f"WORDS: /{untagged(_CONTROL_BUT_NEWLINE, max_answer_chars)}/",
    ]
    ends = []
    if calls:
        ends.append(tag_atom("<tool_call>", tag_ids) + ("" if flat else ' "\\n"'))
    if pause:
        ends.append(tag_atom("<pause>", tag_ids))
    if answer:
        ends.append("answer")
        lines.append(f"answer: {_enclosed('answer', 'WORDS', tag_ids, lines)}")
    lines.append(f"thought: {_enclosed('think', 'THOUGHT', tag_ids, lines)}")
    return "\n".join([f"start: thought? ({' | '.join(ends)})", *lines])


def _letter(character: str) -> str:
    return "\\/" if character == "/" else character


def untagged(control: str, most: int) -> str:
    """A regex of 1 to ``most`` pieces of text that spell no tag; made without negation, so that its end is known at once.

    ``<`` opens every tag and occurs nowhere else in one, so text is free of tags if each beginning of a tag is followed
    by what does not continue it, by another beginning, or by the end.

    Args:
        control: character class of what may not stand in the text, besides.
        most: the most pieces; nearly all are one character.
    """
    trie: dict[str, Any] = {}
    for tag in TAGS:
        node = trie
        for character in tag[1:-1]:
            node = node.setdefault(character, {})
        node[">"] = None

    def begun(node: Mapping[str, Any]) -> str:
        inner = "|".join(_letter(c) + begun(after) for c, after in node.items() if after is not None)
        return f"({inner})?" if inner else ""

    def left(node: Mapping[str, Any]) -> str:
        known = "".join(map(_letter, node))
        inner = [_letter(c) + left(after) for c, after in node.items() if after is not None]
        return f"({'|'.join([f'[^{control}<{known}]', *inner])})"

    some = f"<{begun(trie)}"
    begun_more = f"({some}){{0,8}}"
    return f"(([^{control}<]|{begun_more}<{left(trie)}){{1,{most}}}{begun_more}|({some}){{1,8}})"


def _enclosed(tag: str, body: str, tag_ids: Mapping[str, int], lines: list[str]) -> str:
    opens, closes = f"<{tag}>", f"</{tag}>"
    if closes in tag_ids:
        return f"{tag_atom(opens, tag_ids)} {body} {tag_atom(closes, tag_ids)}"
    # a closer that is text must be one terminal with what it closes, or its first letters count as more of that
    lines.append(f"{tag.upper()}_CLOSED: {body} {quoted(closes)}")
    return f"{tag_atom(opens, tag_ids)} {tag.upper()}_CLOSED"


@dataclass(frozen=True, slots=True)
class Amendable:
    """A call that may be amended."""

    id: int
    """The call's ID."""
    spec: ToolSpec
    """The call's tool."""
    args: Mapping[str, Any]
    """As they stand."""


@dataclass(frozen=True, slots=True)
class Legal:
    """Which lines may be written."""

    ids: tuple[int, ...] = ()
    """IDs that a call may be written under."""
    removable: tuple[int, ...] = ()
    """IDs of the calls that a REMOVE line may name."""
    amendable: tuple[Amendable, ...] = ()
    """Calls whose arguments may be set or added to."""
    commits: tuple[int, ...] = ()
    """IDs that a commit may name, in order."""
    commits_all: bool = False
    """Whether a commit may name none, and so mean all."""
    close: bool = False
    """Whether the action may end here."""


class LineRules:
    """The rules of one line, gathered while they are made."""

    def __init__(
        self, tag_ids: Mapping[str, int], specs: Sequence[ToolSpec], refs: Mapping[int, tuple[int, ...]],
        taken: Mapping[tuple[int, str], Sequence[Mapping[str, Any]]], *, whole: frozenset[int] = frozenset(), open: bool = False,
        said: Sequence[str] | None = None,
    ) -> None:
        """Takes what is legal.

        Args:
            tag_ids: tags that are tokens.
            specs: the tools.
            refs: for each ID, those whose results it may name.
            taken: for an ID and a tool, arguments that the line must not have.
            whole: calls whose results have no parts.
            open: whether a call may lack arguments that it needs.
            said: the words of which a text is made; None where it may be any text.
        """
        self._tag_ids, self._refs, self._taken = tag_ids, refs, taken
        self._whole, self._open = whole, open
        self._said = said
        self._text = "KEY" if said is None else f"/{text_of(without_repeats(said))}/"
        self._specs = [spec for spec in specs if TOOL_NAME.fullmatch(spec.name)]
        self._lines: list[str] = []
        self._names: dict[str, str] = {}
        self._nodes: dict[tuple[Any, ...], str | None] = {}

    def text(self, legal: Legal) -> str | None:
        """The grammar of one legal line, or the end of the action. Gives None where no line at all can be written."""
        options = []
        amendable = {call.id: call for call in legal.amendable}
        for id in sorted({*legal.ids, *amendable}):
            bodies = [rule for spec in self._specs if id in legal.ids and (rule := self._tool(id, spec)) is not None]
            bodies += self._amendments(amendable[id]) if id in amendable else []
            if bodies:
                options.append(f"{quoted(f'{id}. ')} ({' | '.join(bodies)})")
        if legal.removable:
            options.append(f'"REMOVE " ({" | ".join(quoted(str(id)) for id in legal.removable)})')
        if legal.commits:
            options.append(f'"COMMIT " {self._in_order(legal.commits)}')
        if legal.commits_all:
            options.append('"COMMIT"')
        if not options and not legal.close:
            return None
        starts = [f'({" | ".join(options)}) "\\n"'] if options else []
        if legal.close:
            starts.append(tag_atom("</tool_call>", self._tag_ids))
        return "\n".join([f"start: {' | '.join(starts)}", *self._lines, f"STR: {self._text}", _TERMINALS])

    def _in_order(self, ids: Sequence[int]) -> str:
        """A rule of some of the IDs, each at most once, in their order."""
        rest = ""
        for id in reversed(ids):
            self._lines.append(f"c{id}: {quoted(str(id))}" + (f' (", " ({rest}))?' if rest else ""))
            rest = f"c{id} | {rest}" if rest else f"c{id}"
        return f"({rest})"

    def _amendments(self, call: Amendable) -> list[str]:
        """Rules of what may follow the ID: a parameter that is set, or a text that is added to."""
        rules = []
        for param in call.spec.params:
            if not PARAMETER_NAME.fullmatch(param.name):
                continue
            held = self._held(call, param)
            if (value := self._other_value(param.schema, self._refs[call.id], held)) is not None:
                rules.append(f"{quoted(f'{param.name} = ')} {value}")
            old = call.args.get(param.name)
            if isinstance(old, str | Ref | Join) and "string" in _kinds(param.schema) and not listed(param.schema):
                if self._said is not None:
                    rules += self._said_more(param.name, old, held) if isinstance(old, str) else []
                    continue
                more = [value[len(old):] for value in held if isinstance(old, str) and isinstance(value, str) and value.startswith(old)]
                if (value := self._other_value({"type": "string"}, self._refs[call.id], ["", *more])) is not None:
                    rules.append(f"{quoted(f'{param.name} += ')} {value}")
        return rules

    def _said_more(self, name: str, old: str, held: Sequence[Any]) -> list[str]:
        """The rule of what may be added to a text of said words; none where nothing may."""
        but = {text[len(old):] for text in held if isinstance(text, str) and text.startswith(old)}
        regex, least = more_of(old, self._said or ())
        if not set(least) - but:
            return []
        value = self._terminal(f"/{regex}/")
        if taken := [quoted(write_value(text)) for text in sorted(but) if text]:
            value = self._terminal(f"{value} & ~({' | '.join(taken)})")
        return [f"{quoted(f'{name} += ')} {value}"]

    def _held(self, call: Amendable, param: Param) -> list[Any]:
        """Values that would make the call one that it already is, or must not be."""
        held = [args.get(param.name) for args in self._taken.get((call.id, call.spec.name), ())
                if {**args, param.name: None} == {**call.args, param.name: None} and param.name in args]
        return [*held, call.args.get(param.name)]  # what is absent is null

    def _other_value(self, schema: Mapping[str, Any], refs: tuple[int, ...], but: Sequence[Any]) -> str | None:
        texts = dict.fromkeys(quoted(write_value(value)) if listed(schema) else self._same(value, schema) for value in but)
        fields = dict.fromkeys(name for value in but if isinstance(value, dict) for name in value)
        return self._value(schema, refs, tuple(texts), tuple(fields))

    def _tool(self, id: int, spec: ToolSpec) -> str | None:
        """The rule of a call's name and arguments; None where all that could be written is taken."""
        taken = [tuple(args.items()) for args in self._taken.get((id, spec.name), ())]
        self._taken_here = [dict(items) for items in taken]
        body = self._node(id, spec, 0, tuple(range(len(taken))), gap=False, first=True)
        return None if body is None else f"{quoted(spec.name + '(')} {body}"

    def _node(self, id: int, spec: ToolSpec, at: int, same: tuple[int, ...], *, gap: bool, first: bool) -> str | None:
        """A rule for the parameters from ``at`` on.

        Args:
            id: the line's ID, which says what may be named.
            spec: the tool.
            at: index of the parameter.
            same: which of the taken arguments are equal to what has been written so far.
            gap: whether a parameter was left out, so that the rest go by name.
            first: whether nothing has been written yet.

        Returns:
            The rule's name, or None where it has no text at all.
        """
        if at == len(spec.params):
            return None if same else '")"'
        taken = tuple(repr(sorted(self._taken_here[n].items())) for n in same)
        key = (self._refs[id], spec.name, at, taken, gap, first)
        if key in self._nodes:
            return self._nodes[key]
        param, options = spec.params[at], []
        rest = {"gap": gap, "first": False}
        if not gap or PARAMETER_NAME.fullmatch(param.name):
            lead = ("" if first else ", ") + (f"{param.name}=" if gap else "")
            lead = quoted(lead) + " " if lead else ""
            groups: dict[str, list[int]] = {}
            fields: dict[str, None] = {}
            for n in same:
                value = self._taken_here[n].get(param.name)  # what is absent is null
                if value is not None or "null" in _kinds(param.schema):
                    fields |= dict.fromkeys(value) if isinstance(value, dict) else {}
                    text = quoted(write_value(value)) if listed(param.schema) else self._same(value, param.schema)
                    groups.setdefault(text, []).append(n)
            other = self._value(param.schema, self._refs[id], tuple(groups), tuple(fields))
            after = self._node(id, spec, at + 1, (), **rest) if other is not None else None
            if after is not None:
                options.append(f"{lead}{other} {after}")
            for text, those in groups.items():
                if (after := self._node(id, spec, at + 1, tuple(those), **rest)) is not None:
                    # what is no literal is wider than the values that fit
                    whole = text if text.startswith('"') else f"{self._value(param.schema, self._refs[id], (), tuple(fields))} & {text}"
                    options.append(f"{lead}{self._terminal(whole)} {after}")
        if not param.required or self._open:
            left = tuple(n for n in same if self._taken_here[n].get(param.name) is None)
            if (after := self._node(id, spec, at + 1, left, gap=True, first=first)) is not None:
                options.append(after)
        if not options:
            self._nodes[key] = None
            return None
        self._nodes[key] = name = f"n{len(self._nodes)}"
        self._lines.append(f"{name}: {' | '.join(options)}")
        return name

    # -- values ------------------------------------------------------------------------------------------------

    def _terminal(self, expression: str) -> str:
        """A terminal with this right-hand side; equal ones are one."""
        if re.fullmatch(r"[A-Z][A-Z0-9_]*", expression):
            return expression
        if expression not in self._names:
            self._names[expression] = f"T{len(self._names)}"
            self._lines.append(f"{self._names[expression]}: {expression}")
        return self._names[expression]

    def _value(
        self, schema: Mapping[str, Any], refs: tuple[int, ...], but: tuple[str, ...], fields: tuple[str, ...]
    ) -> str | None:
        """A terminal of all values that fit, references among them, but for those given; None where there is none.

        An object of any shape has those ``fields`` in this order and once, so that each object made of them has one text.
        """
        few = _few(schema)
        if few is not None:
            texts = [quoted(text) for text in (*few, *(f"${ref}" for ref in refs))]
            texts = [text for text in texts if text not in but]
            if parted := [quoted(f"${ref}") for ref in refs if ref not in self._whole]:
                texts.append(f"({' | '.join(parted)}) PART{{1,4}}")
            return self._terminal(" | ".join(texts)) if texts else None
        whole = self._terminal(" | ".join([*self._shapes(schema, refs, 0, fields), *self._references(schema, refs)]))
        return self._terminal(f"{whole} & ~({' | '.join(but)})") if but else whole

    def _references(self, schema: Mapping[str, Any], refs: tuple[int, ...]) -> list[str]:
        if not refs:
            return []
        ref = self._ref(refs)
        if "string" not in _kinds(schema) or self._said is not None:
            return [ref]
        return [f'{ref} (" + " (STR | {ref}))*', f'STR " + " {ref} (" + " (STR | {ref}))*']

    def _ref(self, refs: tuple[int, ...]) -> str:
        whole = [quoted(f"${ref}") for ref in refs if ref in self._whole]
        parted = [quoted(f"${ref}") for ref in refs if ref not in self._whole]
        return self._terminal(" | ".join([*whole, *([f"({' | '.join(parted)}) PART{{0,4}}"] if parted else [])]))

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
        for kind in _kinds(schema):
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
            kinds = [kind for kind in _kinds(schema) if kind not in ("array", "object")]
            if not kinds:
                return None
            schema = {"type": kinds} if len(alternatives(schema)) > 1 else {**schema, "type": kinds}
        shapes = self._shapes(schema, refs, depth + 1) + ([self._ref(refs)] if refs else [])
        return self._terminal(" | ".join(shapes))

    def _objects(self, schema: Mapping[str, Any], refs: tuple[int, ...], depth: int, known: tuple[str, ...]) -> list[str]:
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
        name = f"(KEY & ~({' | '.join(quoted(json.dumps(name, ensure_ascii=False)) for name in known)}))" if known else "KEY"
        pair = self._terminal(f'{name} ": " {value}')
        after = self._terminal(f'(", " {pair})* "}}"')
        tails = [after]  # after each known field, from the last one back
        for n in range(len(names) - 1, -1, -1):
            nexts = " | ".join(f'", " {names[m]} {value} {tails[len(names) - 1 - m]}' for m in range(n, len(names)))
            tails.append(self._terminal(f'(", " {pair})* ("}}" | {nexts})'))
        firsts = [f"{names[m]} {value} {tails[len(names) - 1 - m]}" for m in range(len(names))]
        return self._terminal(" | ".join(['"}"', f"{pair} {tails[-1]}", *firsts]))

    def _fields(self, pairs: Mapping[str, str], left: tuple[str, ...], required: frozenset[str], ordered: bool, first: bool) -> str:
        """A terminal of the fields still to come and the closing bracket."""
        options = [] if required & set(left) else ['"}"']
        for n, name in enumerate(left):
            rest = left[n + 1:] if ordered else left[:n] + left[n + 1:]
            after = self._fields(pairs, rest, required, ordered, False)
            options.append(f"{'' if first else quoted(', ')} {pairs[name]} {after}")
            if ordered and name in required:
                break
        return self._terminal(" | ".join(options))

    def _same(self, value: Any, schema: Mapping[str, Any], inside: bool = False) -> str:
        """All texts of one value: a literal, or a terminal that holds them."""
        match value:
            case float():
                return self._terminal(f"{quoted(write_value(value))} | LONG")
            case dict() if value:
                schema = next((part for part in alternatives(schema) if value.keys() <= part.get("properties", {}).keys()), schema)
                declared = schema.get("properties", {})
                if not declared and inside:
                    return self._terminal("/\\{(?s:.*)\\}/")  # in any order, any field twice: too many to list
                pairs = [f"{_field(key)} {self._same(part, declared.get(key, {}), True)}" for key, part in value.items()]
                orders = permutations(pairs) if declared and len(declared) <= _MOST_ORDERED else [pairs]
                return self._terminal(" | ".join(f'"{{" {(" " + quoted(", ") + " ").join(order)} "}}"' for order in orders))
            case list() if value:
                schema = next((part for part in alternatives(schema) if "items" in part), schema)
                items = [self._same(item, _items(schema), True) for item in value]
                return self._terminal(f'"[" {(" " + quoted(", ") + " ").join(items)} "]"')
        return quoted(write_value(value))


def text_of(said: Sequence[str]) -> str:
    """A regex of JSON strings that hold nothing but some of these words, in their order: a run of them, with fillers left out.

    A word may be written in small letters or with a capital, without the punctuation around it and without a possessive's ending.
    """
    words = [_either(spellings) for word in said[-_MOST_SAID:] if (spellings := _spellings(word))]
    rest = [f"( {word})?" for word in words]
    begun = "|".join(word + "".join(rest[n + 1:]) for n, word in enumerate(words))
    return f'"({begun})?"' if words else '""'


def more_of(text: str, said: Sequence[str]) -> tuple[str, list[str]]:
    """A regex of JSON strings that can be added to a text of said words, and the shortest of them; none, if nothing can.

    The rest of a word of which the text holds only the beginning, for that is how words are heard, and words after it; or, where its
    last word was said, a space and words, of which the first is another than the last.
    """
    last, words = text.rsplit(" ", 1)[-1], without_repeats(said)[-_MOST_SAID:]
    forms = [_spellings(word) for word in words]
    whole = not unsaid(last, spelled(words))
    starts = []  # what the first word adds, and its place
    for n, spellings in enumerate(forms):
        ends = [form[len(last):] for form in spellings if last and form.casefold().startswith(last.casefold()) and len(form) > len(last)]
        starts.append((n, ends))
        if whole and last.casefold() not in map(str.casefold, spellings):
            starts.append((n, [f"{' ' if text else ''}{form}" for form in spellings]))
    starts = [(n, list(dict.fromkeys(ends))) for n, ends in starts if ends]
    after = [f"( {_either(spellings)})?" if spellings else "" for spellings in forms]
    options = [_either(ends) + "".join(after[n + 1:]) for n, ends in starts]
    return f'"({"|".join(options)})"', [end for _, ends in starts for end in ends]


def spelled(said: Iterable[str]) -> frozenset[str]:
    """The words in every way in which a text may have them, case-folded."""
    return frozenset(form.casefold() for word in said for form in _spellings(word))


def unsaid(value: Any, said: Set[str]) -> bool:
    """Whether a value, or a part of it, is a text with a word that is none of what `spelled` gives: half of one, or one taken back."""
    if isinstance(value, str):
        return any(word.casefold() not in said for word in value.split())
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return any(unsaid(part, said) for part in parts)


def without_repeats(said: Sequence[str]) -> tuple[str, ...]:
    """The words, of a run of up to three that is said twice at once ("the the", "any chance any chance") the second time alone."""
    words: list[str] = []
    for word in said:
        words.append(word)
        for length in (1, 2, 3):
            again, before = words[-length:], words[-2 * length:-length]
            if len(before) == length and [w.casefold() for w in again] == [w.casefold() for w in before]:
                del words[-2 * length:-length]
                break
    return tuple(words)


def _spellings(word: str) -> list[str]:
    bare = word.strip(AROUND)
    texts = [word, bare, *(bare.removesuffix(end) for end in ("'s", "\u2019s"))]
    return [text for text in dict.fromkeys(form for text in texts for form in (text, text.lower(), text[:1].upper() + text[1:])) if text]


def _either(texts: Iterable[str]) -> str:
    return f"({'|'.join(map(_regex, texts))})"


def _regex(text: str) -> str:
    return re.escape(json.dumps(text, ensure_ascii=False)[1:-1]).replace("/", "\\/")


def _field(name: str) -> str:
    return quoted(json.dumps(name, ensure_ascii=False) + ": ")


def _items(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    items = schema.get("items", {})
    return items if isinstance(items, Mapping) and "prefixItems" not in schema else {}


def _kinds(schema: Mapping[str, Any]) -> list[str]:
    if len(parts := alternatives(schema)) > 1:
        return list(dict.fromkeys(kind for part in parts for kind in _kinds(part)))
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
    if set(_kinds(schema)) <= {"boolean", "null"}:
        values = [value for kind in _kinds(schema) for value in ((True, False) if kind == "boolean" else (None,))]
        return [write_value(value) for value in values]
    return None
