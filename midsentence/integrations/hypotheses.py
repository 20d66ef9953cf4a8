"""Converts a recogniser's hypotheses, each of the whole utterance, into what a session hears: new words, and words
taken back.

Owns the comparison. Does not know whose recogniser it is, and when a turn is over: that is told.
"""

from __future__ import annotations

from dataclasses import dataclass

from midsentence.core.said import AROUND


@dataclass(frozen=True, slots=True)
class Change:
    """What a hypothesis changes of what has been passed on; the arguments of `midsentence.shells.live.Session.hear`."""

    text: str
    """New words."""
    retracts: int
    """How many words passed on before are taken back first."""
    late: bool
    """Whether it is about words of a turn whose end has been told, so that the end has to be told again."""


class Hypotheses:
    """One speaker's utterances, each as a row of hypotheses: interim ones, and a final one that closes it.

    Words that differ from what was passed on in case and in the marks around them alone are not sent again: a final
    transcript with capitals and full stops is no news.
    """

    def __init__(self) -> None:
        self._words: list[str] = []
        self._is_over = False
        self.unended = False
        """Whether words have been passed on whose turn's end has not been told."""

    def take(self, text: str, *, closes: bool = False) -> Change | None:
        """A hypothesis of the utterance under way, from its first word on; None where it changes nothing.

        Args:
            text: the hypothesis.
            closes: whether it is final: the next one is about another utterance.
        """
        words = text.split()
        if not words and not closes:
            return None
        same = _alike(self._words, words)
        if self._is_over and 2 * same < max(1, len(self._words)):
            self._words, same, self._is_over = [], 0, False  # not about what is over: another utterance
        retracts, new = len(self._words) - same, words[same:]
        # after the end more interim words go on with the turn; any other change is the recogniser's last word about it
        late = self._is_over and (closes or retracts > 0)
        self._is_over = self._is_over and (late or not new)
        self._words = [] if closes else [*self._words[:same], *new]
        if not retracts and not new:
            return None
        self.unended = not late
        return Change(" ".join(new), retracts, late)

    def end(self) -> None:
        """The turn is over, says whoever detects it; the recogniser may still have a last word about it."""
        self._is_over, self.unended = True, False


def _alike(old: list[str], new: list[str]) -> int:
    """How many words two hypotheses begin with alike."""
    pairs = zip(map(_bare, old), map(_bare, new), strict=False)
    return next((n for n, (one, other) in enumerate(pairs) if one != other), min(len(old), len(new)))


def _bare(word: str) -> str:
    return word.strip(AROUND).casefold() or word
