"""From which word on it is clear which tool is meant: a lexical rule over the words heard so far and the tools at hand.

Owns `revealed`, a function of a prefix and a tool list and of nothing else: no gold, no later word. Each heard word
speaks for the tools whose names, descriptions and parameters hold its stem, the more the fewer tools do; words of the
clause being spoken count most, those of earlier clauses less and less. A tool is revealed where it is the strict best.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from data_gen.grounding.atoms import STOP, atoms, identifier_words, stem
from data_gen.task import Evidence
from midsentence.tools.tool import ToolSpec

NAME, PARAM, TEXT = 3.0, 1.5, 1.0
"""What a stem of a tool's name, of a parameter's name or choices, and of its description speaks for it."""
CLAUSE_DECAY, SENTENCE_DECAY = 0.5, 0.2
MARGIN = 0.25
"""How far the best tool must be ahead of the second."""

_OPENERS = frozenset(
    (
        "and then also plus after afterwards finally next second secondly third thirdly fourth lastly additionally "
        "furthermore moreover"
    ).split()
)
"""Words that open a clause."""


_PLAIN = (
    frozenset(
        stem(word)
        for word in (
            "find get calculate compute fetch retrieve give provide tell show search look help need want know use determine "
            "information info data value number function specific specified given based name details result return returns "
            "i you me we he she it they this that these those what which who when where how why much many some any all each "
            "can could would will should may please do does did has have had been being not if about into over between both "
            "first second third next last then also only other another more most one two three new particular certain "
            "default optional list string type format true false example like whether within per such there out up"
        ).split()
    )
    | STOP
)
"""Stems that speak for no tool: every request and every document is full of them."""


class Lexicon:
    """What each word stem says about which tool is meant; made once for a tool list."""

    def __init__(self, tools: Sequence[ToolSpec]) -> None:
        self.names = tuple(tool.name for tool in tools)
        self._own = {tool.name: {stem(word) for word in identifier_words(tool.name)} - _PLAIN for tool in tools}
        said: dict[str, dict[str, float]] = {}
        for tool in tools:
            choices = [str(choice) for param in tool.params for choice in param.schema.get("enum", ())]
            for weight, words in (
                (TEXT, [atom.text for atom in atoms(tool.description.split())]),
                (
                    PARAM,
                    [
                        word
                        for text in [*(param.name for param in tool.params), *choices]
                        for word in identifier_words(text)
                    ],
                ),
                (NAME, self._own[tool.name]),
            ):
                for word in words:
                    if stem(word) not in _PLAIN and not word.isdigit() and (len(word) > 1 or not word.isascii()):
                        said.setdefault(stem(word), {})[tool.name] = weight
        self._said = {
            word: {name: weight * math.log((1 + len(tools)) / (0.5 + len(by_tool))) for name, weight in by_tool.items()}
            for word, by_tool in said.items()
        }

    def said(self, word: str) -> Mapping[str, float]:
        """How much one spoken word speaks for each tool."""
        total: dict[str, float] = {}
        for atom in atoms([word]):
            for name, weight in self._said.get(stem(atom.text), {}).items():
                total[name] = total.get(name, 0.0) + weight
        return total

    def named_at(self, words: Sequence[str], name: str) -> list[int]:
        """Where words of the tool's own name are spoken that no other tool's name holds."""
        others = set().union(*(own for other, own in self._own.items() if other != name))
        mine = self._own[name] - others
        return [i for i, word in enumerate(words) if any(stem(atom.text) in mine for atom in atoms([word]))]


def winners(words: Sequence[str], lexicon: Lexicon) -> list[str | None]:
    """`revealed` of every prefix, shortest (no words) first, in one pass."""
    if len(lexicon.names) == 1:
        return [lexicon.names[0]] * (len(words) + 1)
    scores = dict.fromkeys(lexicon.names, 0.0)
    found: list[str | None] = [None]
    for i, word in enumerate(words):
        if i and words[i - 1].rstrip("\"')").endswith((".", "?", "!")):
            scores = {name: score * SENTENCE_DECAY for name, score in scores.items()}
        elif i and (word.strip(",").casefold() in _OPENERS or words[i - 1].endswith((",", ";", ":"))):
            scores = {name: score * CLAUSE_DECAY for name, score in scores.items()}
        for name, weight in lexicon.said(word).items():
            scores[name] += weight
        best, second = sorted(lexicon.names, key=lambda name: -scores[name])[:2]
        found.append(best if scores[best] > scores[second] + MARGIN else None)
    return found


def revealed(prefix_words: Sequence[str], tools: Sequence[ToolSpec]) -> str | None:
    """The tool that the last words of a prefix mean, or None where no tool is ahead."""
    return winners(prefix_words, Lexicon(tools))[-1]


def first_named(words: Sequence[str], lexicon: Lexicon) -> Evidence:
    """The first word that speaks for the only tool there is, else the whole request: a request may need no tool at
    all."""
    at = next((n for n, word in enumerate(words) if lexicon.said(word)), None)
    return Evidence(0, len(words)) if at is None else Evidence(at, at + 1)


def name_evidence(words: Sequence[str], lexicon: Lexicon, name: str, args: Sequence[Evidence]) -> Evidence:
    """The words after which it is clear that this call's tool is meant.

    The stretch of the call reaches from the start of the sentence of its first argument to the end of its last. Within
    it the last time that `revealed` turns to the tool counts; failing that, the first such time in the rest of the
    sentence; failing that, the end of the first later sentence in which it does; failing that, the whole request. So
    the end depends on no word after the later of the two: itself, and the last argument.
    """
    if len(lexicon.names) == 1:
        return Evidence(0, 0)
    won = [winner == name for winner in winners(words, lexicon)]
    starts = [0] + [i for i in range(1, len(words)) if words[i - 1].rstrip("\"')").endswith((".", "?", "!"))]
    first = max(start for start in starts if start <= min((arg.start for arg in args), default=0))
    last = max((arg.end for arg in args), default=0)
    stop = min((start for start in starts if start >= last and start > 0), default=len(words))
    for end in range(last, first, -1):
        if won[end] and not won[end - 1]:
            return Evidence(end - 1, end)
    if last > first and won[first]:
        return Evidence(0, first) if first else Evidence(0, 0)
    for end in range(max(last, first) + 1, len(words) + 1):
        if won[end]:
            # named in a later sentence, the call takes up words of an earlier one ("in these years"): that is said by
            # its end
            closed = next((start for start in starts if start >= end and start > 0), len(words))
            return Evidence(end - 1, end if end <= stop else closed)
    return Evidence(0, len(words))
