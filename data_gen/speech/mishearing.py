"""What a recogniser mishears: a word's double, its beginning, another spelling.

Owns what becomes of a word that is heard before what follows it (`mishear`, `rewrite`), and how many of the last words
of an update (`mishear_last`). Does not know when an update is sent.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_LETTERS = re.compile(r"[^\W\d_]+")


def mishear_last(said: list[str], draws: Sequence[float], most: int) -> int:
    """Mishears, in place, as many of the last words as the first draw says; gives how many must be taken back.

    Args:
        said: the words of an update.
        draws: two of them, uniform: how many words, and which of them are written otherwise.
        most: the most words; each further one is half as likely.
    """
    depth, draw = 1, draws[0]
    while depth < min(most, len(said)) and draw < 0.5:
        depth, draw = depth + 1, draw * 2
    wrong = 0
    for back in range(1, depth + 1):
        text = said[-back]
        other = mishear(text)
        if most > 1 and (draws[1] * 2**back) % 1 < 0.5:
            other = rewrite(text) or other
        if other is not None and other != text:
            said[-back], wrong = other, back
    return wrong


def plain(text: str) -> str:
    """A word without its punctuation, in lower case."""
    return text.strip(".,;:!?\"'()[]“”‘’-–—…").lower()


_CONFUSED = {
    "to": "two",
    "two": "to",
    "for": "four",
    "four": "for",
    "at": "that",
    "a": "the",
    "the": "a",
    "in": "an",
    "on": "one",
    "my": "mine",
    "me": "may",
    "no": "know",
    "ten": "then",
    "one": "on",
    "is": "his",
    "it": "at",
    "i": "a",
}


def mishear(text: str) -> str | None:
    """What a recogniser makes of a word before it knows what follows: a short word's double, or a long word's
    beginning.

    Returns:
        The mistaken word, without punctuation, or None where the word gives no room for a mistake.
    """
    found = _LETTERS.findall(text)
    if len(found) != 1 or any(ch.isspace() for ch in text):
        return None
    word = found[0]
    if word.lower() in _CONFUSED:
        return _CONFUSED[word.lower()]
    return word[: (2 * len(word) + 2) // 3] if len(word) >= 4 else None


_DIGITS = {
    word: str(n) for n, word in enumerate("zero one two three four five six seven eight nine ten eleven twelve".split())
}


def rewrite(text: str) -> str | None:
    """The same word as a recogniser first writes it: a number in digits, a name without its capital; None for no other
    way."""
    if (word := plain(text)) in _DIGITS:
        return _DIGITS[word]
    return text.lower() if text.lower() != text else None
