"""The protocol's grammar as text for llguidance: the head of an action, and one line.

Owns how tools and references become rules, and the one way in which a call is written: arguments by position as far as
they go without a gap, then by name in the tool's order. Because each call has one text only, a call that must not be
written again can be left out exactly, and so can an amendment that would make such a call. Does not know states and
tokens' masks; what is legal is told to it. What a value may be is `midsentence.grammar.values`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from midsentence.core.protocol import PARAMETER_NAME, TOOL_NAME
from midsentence.core.values import Join, Ref, write_value
from midsentence.grammar.atoms import CONTROL, CONTROL_BUT_NEWLINE, quoted, tag_atom, untagged
from midsentence.grammar.said_text import more_of
from midsentence.grammar.values import ValueRules, kinds_of, listed
from midsentence.tools.tool import Param, ToolSpec


def head_rules(
    tag_ids: Mapping[str, int],
    *,
    pause: bool,
    answer: bool,
    calls: bool,
    flat: bool,
    max_thought_chars: int,
    max_answer_chars: int,
) -> str:
    """An optional thought, then the end of the action or the start of its first line, which in ``flat`` turns follows
    directly."""
    lines = [
        f"THOUGHT: /{untagged(CONTROL, max_thought_chars)}/",
        f"WORDS: /{untagged(CONTROL_BUT_NEWLINE, max_answer_chars)}/",
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
        self,
        tag_ids: Mapping[str, int],
        specs: Sequence[ToolSpec],
        refs: Mapping[int, tuple[int, ...]],
        taken: Mapping[tuple[int, str], Sequence[Mapping[str, Any]]],
        *,
        whole: frozenset[int] = frozenset(),
        open: bool = False,
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
        self._open, self._said = open, said
        self._specs = [spec for spec in specs if TOOL_NAME.fullmatch(spec.name)]
        self._lines: list[str] = []
        self._values = ValueRules(self._lines, whole, said)
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
        return "\n".join([f"start: {' | '.join(starts)}", *self._lines, *self._values.terminals()])

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
            if isinstance(old, str | Ref | Join) and "string" in kinds_of(param.schema) and not listed(param.schema):
                if self._said is not None:
                    rules += self._said_more(param.name, old, held) if isinstance(old, str) else []
                    continue
                more = [
                    value[len(old) :]
                    for value in held
                    if isinstance(old, str) and isinstance(value, str) and value.startswith(old)
                ]
                if (value := self._other_value({"type": "string"}, self._refs[call.id], ["", *more])) is not None:
                    rules.append(f"{quoted(f'{param.name} += ')} {value}")
        return rules

    def _said_more(self, name: str, old: str, held: Sequence[Any]) -> list[str]:
        """The rule of what may be added to a text of said words; none where nothing may."""
        but = {text[len(old) :] for text in held if isinstance(text, str) and text.startswith(old)}
        regex, least = more_of(old, self._said or ())
        if not set(least) - but:
            return []
        value = self._values.terminal(f"/{regex}/")
        if taken := [quoted(write_value(text)) for text in sorted(but) if text]:
            value = self._values.terminal(f"{value} & ~({' | '.join(taken)})")
        return [f"{quoted(f'{name} += ')} {value}"]

    def _held(self, call: Amendable, param: Param) -> list[Any]:
        """Values that would make the call one that it already is, or must not be."""
        held = [
            args.get(param.name)
            for args in self._taken.get((call.id, call.spec.name), ())
            if {**args, param.name: None} == {**call.args, param.name: None} and param.name in args
        ]
        return [*held, call.args.get(param.name)]  # what is absent is null

    def _other_value(self, schema: Mapping[str, Any], refs: tuple[int, ...], but: Sequence[Any]) -> str | None:
        texts = dict.fromkeys(
            quoted(write_value(value)) if listed(schema) else self._values.same(value, schema) for value in but
        )
        fields = dict.fromkeys(name for value in but if isinstance(value, dict) for name in value)
        return self._values.value(schema, refs, tuple(texts), tuple(fields))

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
                if value is not None or "null" in kinds_of(param.schema):
                    fields |= dict.fromkeys(value) if isinstance(value, dict) else {}
                    text = (
                        quoted(write_value(value)) if listed(param.schema) else self._values.same(value, param.schema)
                    )
                    groups.setdefault(text, []).append(n)
            other = self._values.value(param.schema, self._refs[id], tuple(groups), tuple(fields))
            after = self._node(id, spec, at + 1, (), **rest) if other is not None else None
            if after is not None:
                options.append(f"{lead}{other} {after}")
            for text, those in groups.items():
                if (after := self._node(id, spec, at + 1, tuple(those), **rest)) is not None:
                    # what is no literal is wider than the values that fit
                    fits = (
                        text
                        if text.startswith('"')
                        else self._values.value(param.schema, self._refs[id], (), tuple(fields))
                    )
                    whole = text if text.startswith('"') else f"{fits} & {text}"
                    options.append(f"{lead}{self._values.terminal(whole)} {after}")
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
