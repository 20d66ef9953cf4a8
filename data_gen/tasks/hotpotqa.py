"""HotpotQA's comparison questions, spoken, with ``search(entity)`` over a local corpus of all paragraphs at hand.

Owns the reading of the question files, which articles a question is about and by which words it names them, and the
corrections that a speaker makes of them ("who is older, X, no sorry, Y or Z"). The data is the user's own copy: nothing
of it is in this package. Does not know how answers are scored. Questions that can't be used are named with their
reason.

    data.files.hotpotqa=FILE   the official file, its ``with_context.jsonl`` form, or plain questions and
    data.files.corpus=FILE     the articles that plain questions are looked up in
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

from data_gen.files import lines_of, text_of
from data_gen.grounding.arguments import ground
from data_gen.grounding.derivation import Clause, Derivation, Draft
from data_gen.seeds import child
from data_gen.speech.disfluency import TEST, TRAIN, Disfluent, Rates
from data_gen.speech.script import Mark, Place, Script
from data_gen.speech.timing import speak
from data_gen.task import BadTask, Evidence, GoldArg, Split, Task
from midsentence.files import path_of
from midsentence.tools.search import SEARCH_SPEC, Corpus, SearchToolbox
from midsentence.tools.text import fold
from midsentence.tools.tool import ToolFailure

SHARES: Mapping[Split, float] = {"train": 0.6, "validation": 0.1, "test": 0.3}
HINT = (
    "HotpotQA's questions (hotpotqa.github.io, CC BY-SA 4.0) as a JSON list of {_id, question, answer, type, context: [[title, "
    "[sentence, ...]], ...], supporting_facts: [[title, index], ...]}; or lines of {id, question, answer, type, gold: [[title, "
    "[sentence, ...]], ...], distractors: [...]}; or plain questions {id, question, answer} with data.files.corpus=FILE, "
    "lines of {title, text} or one object of title to text"
)
MOST_ENTITIES = 2
_BRACKETS = re.compile(r"\s*\([^)]*\)$")


@dataclass(frozen=True, slots=True)
class Question:
    """One row of a question file."""

    id: str
    """As the file names it."""
    question: str
    """As it stands."""
    answer: str
    """``yes``, ``no`` or a name."""
    type: str
    """``comparison`` or ``bridge``; the first alone is used."""
    gold: tuple[str, ...]
    """Titles of the articles that hold the answer; empty in plain questions, which don't say."""
    paragraphs: tuple[tuple[str, tuple[str, ...]], ...]
    """Title and sentences of every article that comes with the question."""


def questions(path: str | None) -> tuple[Question, ...]:
    """All questions of a file, of any type.

    Raises:
        FileNotFoundError: no file given, or none there; the text names the source and the formats.
        ValueError: the file has none of the formats.
    """
    if not path:
        raise FileNotFoundError(f"source hotpotqa needs a file of its own: give data.files.hotpotqa=FILE, {HINT}")
    return tuple(_question(row, n, path) for n, row in enumerate(_rows(path), start=1))


def _rows(path: str) -> Iterator[Any]:
    file = path_of(path)
    if not file.is_file():
        raise FileNotFoundError(f"no file {path}; give {HINT}")
    text = text_of(file)
    try:
        if text.lstrip().startswith("["):
            yield from json.loads(text)
        else:
            yield from (json.loads(line) for line in lines_of(text) if line.strip())
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is no JSON ({error}); give {HINT}") from None


def _question(row: Any, number: int, path: str) -> Question:
    try:
        given = [*row.get("gold", ()), *row.get("distractors", ()), *row.get("context", ())]
        gold = (
            [title for title, _ in row["gold"]]
            if "gold" in row
            else [title for title, _ in row.get("supporting_facts", ())]
        )
        return Question(
            str(row["_id"] if "_id" in row else row["id"]),
            " ".join(row["question"].split()),
            row["answer"],
            row.get("type", "comparison"),
            tuple(dict.fromkeys(gold)),
            tuple((title, tuple(said)) for title, said in given),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{path}, row {number}: {type(error).__name__} {error}; give {HINT}") from None


@lru_cache(maxsize=2)
def corpus(path: str, extra: str | None = None) -> Corpus:
    """The index of all articles of a question file and of a corpus file."""
    found = [paragraph for question in questions(path) for paragraph in question.paragraphs]
    if extra:
        found += [(title, tuple(said)) for title, said in _articles(extra)]
    kept = [(title, said) for title, said in found if title.strip() and any(part.strip() for part in said)]
    if not kept:
        raise ValueError(
            f"{path} holds plain questions, without articles to search in; add data.files.corpus=FILE, or give {HINT}"
        )
    return Corpus(kept)


def _articles(path: str) -> Iterator[tuple[str, Sequence[str]]]:
    """A corpus file: an object of title to text, ``{title, text}`` or ``[title, sentences]`` a row, or a question
    file."""
    for row in _rows(path):
        if isinstance(row, Mapping) and "question" in row:
            yield from _question(row, 0, path).paragraphs
        elif isinstance(row, Mapping) and "title" in row:
            said = row.get("text", row.get("sentences", ""))
            yield row["title"], [said] if isinstance(said, str) else said
        elif isinstance(row, Mapping):
            yield from ((title, [said] if isinstance(said, str) else said) for title, said in row.items())
        else:
            title, said = row
            yield title, [said] if isinstance(said, str) else said


@dataclass(frozen=True, slots=True)
class Usable:
    """A question with the words that name its articles, in the order of the words."""

    question: Question
    """The row."""
    words: tuple[str, ...]
    """Of the question, as they are spoken."""
    spans: tuple[Evidence, ...]
    """Where each article is named."""
    accepted: tuple[tuple[str, ...], ...]
    """Names that find each article, the spoken one first."""


@lru_cache(maxsize=2)
def sorted_out(path: str, extra: str | None = None) -> tuple[tuple[Usable, ...], tuple[tuple[str, str], ...]]:
    """The comparison questions that can be used, and id and reason of the others."""
    articles = corpus(path, extra)
    titles = _by_name(article.title for article in articles.articles)
    used: dict[str, Usable] = {}
    out = []
    for question in questions(path):
        if question.type != "comparison":
            continue
        try:
            if fold(question.question) in used:
                raise BadTask(f"asked twice: {used[fold(question.question)].question.id} is the same question")
            used[fold(question.question)] = _usable(question, articles, titles)
        except BadTask as error:
            out.append((question.id, str(error)))
    return tuple(used.values()), tuple(out)


def _usable(question: Question, articles: Corpus, titles: Mapping[str, Sequence[str]]) -> Usable:
    words = tuple(question.question.split())
    wanted = [(title,) for title in question.gold] or _mentioned(words, titles)
    if len(wanted) != MOST_ENTITIES:
        raise BadTask(
            f"{len(wanted)} articles: a comparison needs {MOST_ENTITIES} that the corpus has and the question names"
        )
    # what is written in brackets is not said
    names = [
        tuple(dict.fromkeys(name for title in group for name in (_BRACKETS.sub("", title), title))) for group in wanted
    ]
    found = ground(words, [("search", {"entity": GoldArg(group)}) for group in names], {"search": SEARCH_SPEC})
    pairs = []
    for call, group in zip(found, wanted):
        values, span = call.args["entity"].values, call.arg_evidence["entity"]
        try:
            best = articles.best(values[0]).title
        except ToolFailure as error:
            raise BadTask(f"the corpus lacks an article: {error}") from None
        if best not in group:
            raise BadTask(f"ambiguous: search({values[0]!r}) finds {best!r}, not {group[0]!r}")
        pairs.append((span, values))
    pairs.sort(key=lambda pair: (pair[0].start, pair[0].end))
    (first, _), (second, _) = pairs
    if first.end > second.start:
        raise BadTask(f"the words that name the articles overlap: {' '.join(words[first.start : second.end])!r}")
    return Usable(question, words, tuple(span for span, _ in pairs), tuple(accepted for _, accepted in pairs))


def _by_name(titles: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for title in titles:
        if key := " ".join(re.findall(r"\w+", fold(_BRACKETS.sub("", title)))):
            found.setdefault(key, []).append(title)
    return found


def _mentioned(words: Sequence[str], titles: Mapping[str, Sequence[str]]) -> list[tuple[str, ...]]:
    """The articles whose names stand in the question in capitals, longest first; for questions that don't say."""
    said = [" ".join(re.findall(r"\w+", fold(word.removesuffix("'s").removesuffix("’s")))) for word in words]
    found: dict[int, tuple[str, ...]] = {}
    taken: set[int] = set()
    for length in range(min(12, len(words)), 0, -1):
        for start in range(len(words) - length + 1):
            run = range(start, start + length)
            exact = " ".join(re.findall(r"\w+", fold(" ".join(words[start : start + length]))))
            name = next((key for key in (exact, " ".join(said[start : start + length])) if key in titles), None)
            capital = start > 0 and re.match(r"\W*[A-Z0-9]", words[start]) is not None
            if name is not None and capital and not taken & set(run):
                found[start] = tuple(titles[name])
                taken |= set(run)
    return [found[start] for start in sorted(found)]


def searches(clauses: Sequence[Clause]) -> list[Draft]:
    """The calls that a question asks for: a search for each entity that was named."""
    return [
        Draft((clause.id,), "search", Evidence(0, 0), {"entity": clause.slots["entity"][0]}, ("entity",))
        for clause in clauses
        if "entity" in clause.slots
    ]


@dataclass(frozen=True, slots=True)
class _Speaker:
    """Names the wrong entity: one that another question of the split is about."""

    draw: random.Random
    others: Sequence[str]

    def other(self, place: Place) -> Script:
        """See `data_gen.speech.disfluency.Speaker`."""
        fragment = Script()
        name = self.draw.choice(self.others)
        said = fragment.say(name)
        fragment.marks.append(Mark(said.start, said.end, "put", place.clause, "entity", 0, (name,), True))
        return fragment

    def first_name(self, place: Place) -> None:
        """Nobody is named by a first name here."""
        return None

    def late(self, place: Place, *, named: bool) -> None:
        """Nothing is mended afterwards."""
        return None

    def opening(self, clause: int) -> None:
        """There is no other tool to begin with."""
        return None

    def retold(self, clause: int) -> Script:
        """A question stands in one wording: its rates must not ask for another."""
        raise NotImplementedError("a question of HotpotQA has no other words; leave the rate of retelling at 0")

    def extra(self, clause: int) -> None:
        """A search has no optional argument."""
        return None

    def noun(self, clause: int) -> None:
        """A question has no name."""
        return None


def script_of(usable: Usable) -> Script:
    """The question as it stands, with what its words give to be searched for."""
    script = Script()
    script.say(" ".join(usable.words))
    for clause, (span, accepted) in enumerate(zip(usable.spans, usable.accepted)):
        script.marks.append(Mark(0, 0, "open", clause, "search"))
        script.marks.append(Mark(span.start, span.end, "put", clause, "entity", 0, accepted, True))
        script.places.append(Place(span.start, span.end, clause, "entity"))
        script.places.append(Place(0, len(usable.words), clause, body=0))
    return script


def task(usable: Usable, split: Split, seed: int, articles: Corpus, rates: Rates, others: Sequence[str]) -> Task:
    """One question, spoken, with at most the corrections that ``rates`` asks for."""
    question = usable.question
    draw = random.Random(child(seed, question.id, "disfluency"))
    script = script_of(usable)
    own = {fold(name) for accepted in usable.accepted for name in accepted}
    wrong = [name for name in others if fold(name) not in own]
    # of all kinds of disfluency a question takes corrections of its entities, and fillers and repetitions of words
    some = Rates().times(0)
    some = replace(some, correction=rates.correction * bool(wrong), filler=rates.filler, repetition=rates.repetition)
    kinds = Disfluent(script, _Speaker(draw, wrong), some, TEST if split == "test" else TRAIN, draw).apply()
    derivation = Derivation(script.finish(), searches)
    words = speak(script.words, child(seed, question.id), labels=script.labels)
    answer = question.answer if question.answer in ("yes", "no") else "name"
    return Task(
        question.id,
        "hotpotqa",
        split,
        words,
        (SEARCH_SPEC,),
        derivation.gold(len(words), {"search": SEARCH_SPEC}),
        partial(SearchToolbox, articles, question.id),
        (question.answer,),
        exact_answer=True,
        tags=("comparison", f"answer:{answer}", *(kinds or ("fluent",))),
        meta={"question": question.question, "titles": question.gold},
        reading=derivation,
    )


def tasks(
    split: Split, seed: int, path: str | None, extra: str | None = None, rates: Rates | None = None
) -> tuple[Task, ...]:
    """The split's comparison questions.

    Args:
        split: by a hash of the question's words, so that no question is in two splits.
        seed: root seed of speech and disfluency.
        path: the question file, see the module.
        extra: the corpus file; needed by plain questions.
        rates: of fillers, repetitions and corrections; `Rates()` by default.
    """
    if not path:
        questions(path)
    here = [usable for usable in sorted_out(path, extra)[0] if split_of(usable.question) == split]
    names = list(dict.fromkeys(accepted[0] for usable in here for accepted in usable.accepted))
    return tuple(task(usable, split, seed, corpus(path, extra), rates or Rates(), names) for usable in here)


def split_of(question: Question) -> Split:
    """The split that a question's words hash to."""
    unit = child(0, "hotpotqa", fold(question.question)) / (1 << 63)
    for split, share in SHARES.items():
        if unit < share:
            return split
        unit -= share
    return "test"


def rejected(path: str | None, extra: str | None = None) -> tuple[tuple[str, str], ...]:
    """The comparison questions kept out: id and reason."""
    return sorted_out(path, extra)[1] if path else ()
