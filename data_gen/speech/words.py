"""How a sentence is cut into the words that are timed and sent, and put together again.

Owns `cut` and `joined`, which are each other's inverse, `plain_text`, the spacing in which a sentence is written, and
`units`, the words of a text whose language nobody has named. Words are what stands between spaces; where a script
writes none (Chinese, Japanese, Thai), every character is a word, as in the hypotheses of recognisers of such languages,
with the marks that stand above and below it, and letters, digits and signs that stand together are one. A segmenter
would look at what follows before it says where a word ends, so a prefix would know more than was heard; characters do
not.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

SCRIPT = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
"""Thai, Lao, Burmese, Khmer, kana, Han."""
UNSPACED = re.compile(f"[{SCRIPT}]")
_ABOVE = "".join(c for c in map(chr, range(0x3100)) if UNSPACED.match(c) and unicodedata.category(c).startswith("M"))
"""Vowel signs and tone marks, which stand on the character before them."""
_LONG = re.compile(f"[{SCRIPT}]{{13}}")
"""More of them than a word has."""
_MARKS = ",.;:!?、。，；：！？…"
_WORD = re.compile(rf"(?:[{SCRIPT}][{_ABOVE}]*|[^{SCRIPT}\s{_MARKS}]+)[{_MARKS}]*|[{_MARKS}]+")


def cut(text: str, spaces: bool = True) -> tuple[str, ...]:
    """The words of a sentence in `plain_text`; ``spaces`` says whether its language writes spaces between words."""
    return tuple(text.split()) if spaces else tuple(_WORD.findall(text))


def word_spans(text: str, spaces: bool = True) -> tuple[tuple[int, int], ...]:
    """Where the words of `cut` stand in their sentence: half-open indices of characters."""
    return tuple(found.span() for found in (re.compile(r"\S+") if spaces else _WORD).finditer(text))


def joined(words: Sequence[str], spaces: bool = True) -> str:
    """The sentence that `cut` cut."""
    text = " ".join(words)
    return text if spaces else plain_text(text, spaces)


def plain_text(text: str, spaces: bool = True) -> str:
    """A sentence with single spaces, or, where its language writes none, with those between two words of another script
    alone."""
    text = " ".join(text.split())
    return text if spaces else re.sub(rf"(?<=[{SCRIPT}{_MARKS}]) | (?=[{SCRIPT}])", "", text)


def is_unspaced(text: str) -> bool:
    """Whether a text is written in such a script and without spaces: nobody has put them between its words by hand."""
    parts = text.split()
    return len(parts) == 1 and len(UNSPACED.findall(text)) > 2 or any(map(_LONG.search, parts))


def units(text: str) -> tuple[str, ...]:
    """The words of a text in any script: what stands between spaces, and the characters of what a script that has none
    writes together."""
    return tuple(
        word for part in text.split() for word in (cut(part, spaces=False) if UNSPACED.search(part) else (part,))
    )


def together(words: Sequence[str]) -> str:
    """Words as they are written: spaces between them, but for two characters of such a script."""
    return re.sub(rf"(?<=[{SCRIPT}，。、；：！？…]) (?=[{SCRIPT}])", "", " ".join(words))
