"""What the grammar's rules are put together from: literals, tags, and text that holds no tag."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from midsentence.core.protocol import TAGS

CONTROL, CONTROL_BUT_NEWLINE = r"\x00-\x1f", r"\x00-\x09\x0b-\x1f"


def quoted(text: str) -> str:
    """A literal of the grammar."""
    # the one control character that JSON leaves as it is, and llguidance refuses
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def tag_atom(tag: str, tag_ids: Mapping[str, int]) -> str:
    """A tag as the tokenizer has it: its own token, or text."""
    return f"<[{tag_ids[tag]}]>" if tag in tag_ids else quoted(tag)


def _letter(character: str) -> str:
    return "\\/" if character == "/" else character


def untagged(control: str, most: int) -> str:
    """A regex of 1 to ``most`` pieces of text that spell no tag; made without negation, so that its end is known at
    once.

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
