"""How near test is to train: wordings one word apart, values one word apart, words and runs of words that both have.

Owns the distances, the clusters that a split must not cut (`clusters`), and the tally that `data_gen.check` prints
(`Nearness`). Does not know how wordings and values are made, and what is done about it.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from data_gen.grounding.atoms import STOP
from data_gen.task import Task

RUN = 5
"""Words of a run (n-gram) that is compared."""
MASK = "{}"
"""Stands for a value in a wording and in a request."""
SHARED_SLOTS = frozenset("when day length priority transport".split())
"""Slots of generated requests whose values every split says: times, numbers, ways to travel."""
COMMON = STOP | frozenset(
    "is are was were has have had been be will not no it that this i me you we he she they do does did".split()
)
"""Words that say nothing of their own."""


def one_word_apart(a: Sequence[str], b: Sequence[str]) -> bool:
    """Whether two runs of words are equal, or become so when one word is added, left out or changed."""
    if abs(len(a) - len(b)) > 1:
        return False
    same = next((n for n, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
    rest_a, rest_b = a[same:], b[same:]
    return rest_a[1:] == rest_b[1:] or rest_a == rest_b[1:] or rest_a[1:] == rest_b


def clusters(count: int, pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Items 0 to ``count`` - 1, those that are linked by pairs together."""
    parent = list(range(count))

    def root(n: int) -> int:
        while parent[n] != n:
            parent[n] = parent[parent[n]]
            n = parent[n]
        return n

    for a, b in pairs:
        parent[root(a)] = root(b)
    found: dict[int, list[int]] = {}
    for n in range(count):
        found.setdefault(root(n), []).append(n)
    return list(found.values())


def pairs_apart(texts: Sequence[Sequence[str]]) -> Iterator[tuple[int, int]]:
    """Pairs of texts that are at most one word apart."""
    for n, text in enumerate(texts):
        for m in range(n):
            if one_word_apart(text, texts[m]):
                yield n, m


def pairs_sharing(keys: Sequence[Iterable[Hashable]]) -> Iterator[tuple[int, int]]:
    """Pairs of items that have a key in common."""
    first: dict[Hashable, int] = {}
    for n, mine in enumerate(keys):
        for key in mine:
            if first.setdefault(key, n) != n:
                yield n, first[key]


def own_words(text: str) -> set[str]:
    """A text's words without common ones, lower case and without punctuation and plural."""
    bare = (word.casefold().strip(".,?!;:\"'") for word in text.split())
    return {word.removesuffix("s") if len(word) > 3 else word for word in bare if word and word not in COMMON}


@dataclass(slots=True)
class Nearness:
    """What was said in each split, values apart from the words around them."""

    runs: dict[str, set[tuple[str, ...]]] = field(default_factory=dict)
    """Runs of `RUN` words, values masked."""
    wordings: dict[str, set[tuple[str, ...]]] = field(default_factory=dict)
    """Wordings, values masked; whole requests where a source has no wordings."""
    values: dict[str, set[tuple[str, ...]]] = field(default_factory=dict)
    """Words that say values."""
    words: dict[str, set[str]] = field(default_factory=dict)
    """Every word that was said, as `own_words` has it."""

    def add(self, split: str, task: Task) -> None:
        """Takes in a task of a split."""
        texts = [word.text.casefold() for word in task.words]
        spans = value_spans(task)
        masked: list[str] = []
        for n, text in enumerate(texts):
            if any(start <= n < end for start, end, _ in spans):
                masked += [MASK] if masked[-1:] != [MASK] else []
            else:
                masked.append(text)
        self.runs.setdefault(split, set()).update(tuple(masked[n : n + RUN]) for n in range(len(masked) - RUN + 1))
        named = (task.meta or {}).get("templates", ())
        told = [mask(id.split(": ", 1)[1]) for id in named if not id.startswith("+")] or [tuple(masked)]
        self.wordings.setdefault(split, set()).update(told)
        self.values.setdefault(split, set()).update(
            tuple(texts[start:end]) for start, end, shared in spans if not shared
        )
        self.words.setdefault(split, set()).update(own_words(" ".join(texts)))

    def update(self, other: Nearness) -> None:
        """Takes in another tally."""
        for name in ("runs", "wordings", "values", "words"):
            for split, found in getattr(other, name).items():
                getattr(self, name).setdefault(split, set()).update(found)

    def report(self) -> dict[str, Any] | None:
        """Test against train; None where one of them is not there.

        ``runs_seen``: share of test's runs that train has; ``wordings_near`` and ``values_near``: test's wordings, and
        values of two words or more that mean something, at most one word from one of train's, of how many;
        ``value_words_new``: share of the words of test's values that train never says.
        """
        if not self.runs.get("test") or not self.runs.get("train"):
            return None
        mine = {word for value in self.values["test"] for word in own_words(" ".join(value))}
        told = {
            split: {own for value in self.values[split] if len(own := tuple(w for w in value if w not in COMMON)) > 1}
            for split in ("test", "train")
        }  # a value of one word is a word from any other
        return {
            "runs_seen": round(len(self.runs["test"] & self.runs["train"]) / len(self.runs["test"]), 4),
            "wordings_near": [near(self.wordings["test"], self.wordings["train"]), len(self.wordings["test"])],
            "values_near": [near(told["test"], told["train"]), len(told["test"])],
            "value_words_new": round(len(mine - self.words["train"]) / len(mine), 4) if mine else None,
        }


def near(some: Iterable[tuple[str, ...]], others: Iterable[tuple[str, ...]]) -> int:
    """How many of some are at most one word from any of the others."""
    others = set(others)
    changed = {key for text in others for key in _changed(text)}
    shorter = {key for text in others for key in _shorter(text)}
    return sum(
        text in others
        or text in shorter
        or not changed.isdisjoint(_changed(text))
        or not others.isdisjoint(_shorter(text))
        for text in some
    )


def _changed(text: tuple[str, ...]) -> list[tuple[str | None, ...]]:
    return [(*text[:n], None, *text[n + 1 :]) for n in range(len(text))]


def _shorter(text: tuple[str, ...]) -> list[tuple[str, ...]]:
    return [text[:n] + text[n + 1 :] for n in range(len(text))]


def mask(wording: str) -> tuple[str, ...]:
    """A wording's words, every slot the same."""
    return tuple(MASK if "{" in word else word.casefold() for word in wording.split())


def value_spans(task: Task) -> list[tuple[int, int, bool]]:
    """The words that say values, whether of `SHARED_SLOTS`: those that the source marked, or else the evidence of
    gold."""
    if task.reading is not None:
        found = {(edit.start, edit.end, edit.slot in SHARED_SLOTS) for edit in task.reading.edits if edit.op == "put"}
    else:
        found = {(span.start, span.end, False) for call in task.gold for span in call.arg_evidence.values()}
    return sorted(span for span in found if span[0] < span[1])


def allotted(
    groups: Sequence[str],
    linked: Sequence[Sequence[int]],
    order: Sequence[int],
    shares: Mapping[str, float],
    least: int = 2,
) -> list[str]:
    """The split of every item: clusters whole, each group about in the shares asked for.

    Args:
        groups: the group of each item; its shares are counted in each group.
        linked: clusters of items.
        order: a rank of each item; clusters are dealt by their lowest.
        shares: share of each split but the last, which takes the rest.
        least: items that each split must have of each group.

    Raises:
        ValueError: a group's clusters are too large to give each split enough.
    """
    sizes = {group: groups.count(group) for group in dict.fromkeys(groups)}
    names = list(shares)
    room = {
        (name, group): max(least, round(size * shares[name])) for group, size in sizes.items() for name in names[:-1]
    }
    room |= {(names[-1], group): size for group, size in sizes.items()}
    split = [""] * len(groups)
    for cluster in sorted(linked, key=lambda cluster: min(order[n] for n in cluster)):
        needed = {group: sum(groups[n] == group for n in cluster) for group in {groups[n] for n in cluster}}
        name = next(name for name in names if all(room[name, group] >= count for group, count in needed.items()))
        for group, count in needed.items():
            room[name, group] -= count
        for n in cluster:
            split[n] = name
    for name in names:
        for group in sizes:
            if (count := sum(s == name and g == group for s, g in zip(split, groups))) < least:
                raise ValueError(
                    f"{name} gets {count} of {group}, fewer than {least}: too many are alike; add some unlike the others"
                )
    return split
