"""How a sentence is cut into the words that are timed and sent, and put together again.

Owns `cut` and `joined`, which are each other's inverse, and `plain_text`, the spacing in which a sentence is written. Words are what
stands between spaces; where a script writes none (Chinese, Japanese, Thai), every character is a word, as in the hypotheses of
recognisers of such languages, and letters, digits and signs that stand together are one. A segmenter would look at what follows
before it says where a word ends, so a prefix would know more than was heard; characters do not.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

SCRIPT = "\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
"""Thai, kana, Han."""
_MARKS = ",.;:!?、。，；：！？…"
_WORD = re.compile(rf"(?:[{SCRIPT}]|[^{SCRIPT}\s{_MARKS}]+)[{_MARKS}]*|[{_MARKS}]+")


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
    """A sentence with single spaces, or, where its language writes none, with those between two words of another script alone."""
    text = " ".join(text.split())
    return text if spaces else re.sub(rf"(?<=[{SCRIPT}{_MARKS}]) | (?=[{SCRIPT}])", "", text)
