"""``search(entity)`` over a local corpus: the first sentences of the best article, found by title, else by BM25.

Owns the index, built once and shared by any number of sessions, and the one tool over it. Does not know where the
articles come from and what the question is. The corpus is local, so a search is a *read*; a search that asks somebody
else's machine is *egress*, for its query leaves this one.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import bm25s
import numpy as np

from midsentence.tools.function import FunctionToolbox, Latency, Uniform, tool
from midsentence.tools.text import either, fold, quote, sentences, similar
from midsentence.tools.tool import ToolFailure

logging.getLogger("bm25s").setLevel(logging.WARNING)  # it sets itself to DEBUG

SEARCH_LATENCY = Uniform(0.3, 0.8)
MOST_OTHERS = 3
TITLE_WEIGHT = 3
"""How many times the words of a title count: an article about a thing beats the articles that mention it."""
_STOP = frozenset("a an and are as at by for from in is it of on or s the to was were who what which with".split())


@dataclass(frozen=True, slots=True)
class Article:
    """A title and what is said under it."""

    title: str
    """Its title, by which it is looked up."""
    sentences: tuple[str, ...]
    """Its text, sentence by sentence."""


class Corpus:
    """Articles and their index. Immutable once built; share one among all sessions.

    Args:
        articles: text by title, or pairs of title and text; a text is a string or a list of its sentences. Of articles
            with one title the first counts.

    Raises:
        ValueError: no article at all, or one without a title or a text.
    """

    def __init__(self, articles: Mapping[str, str | Sequence[str]] | Iterable[tuple[str, str | Sequence[str]]]) -> None:
        found: dict[str, Article] = {}
        for title, text in articles.items() if isinstance(articles, Mapping) else articles:
            said = tuple(part.strip() for part in (sentences(text) if isinstance(text, str) else text) if part.strip())
            if not title.strip() or not said:
                raise ValueError(f"article {title!r} has no {'text' if title.strip() else 'title'}; leave it out")
            found.setdefault(title.strip(), Article(title.strip(), said))
        if not found:
            raise ValueError("the corpus is empty; give at least one article")
        self.articles = tuple(found.values())
        self._titles: dict[str, list[int]] = {}
        """Articles by folded title, with and without what stands in brackets after it."""
        documents = []
        for index, article in enumerate(self.articles):
            full = fold(article.title)
            for key in dict.fromkeys((full, _bare(article.title))):
                self._titles.setdefault(key, []).append(index)
            documents.append(_words(article.title) * TITLE_WEIGHT + _words(" ".join(article.sentences)))
        self._words = [frozenset(document) for document in documents]
        self._index = bm25s.BM25(backend="numpy")
        self._index.index(documents, show_progress=False)

    def __len__(self) -> int:
        return len(self.articles)

    def best(self, entity: str) -> Article:
        """The article of this title; else one of this title but for brackets; else BM25's best.

        A find by BM25 must hold more than half of the words asked for, else it is about something else.

        Raises:
            ToolFailure: there is none; the text names near titles.
        """
        key = fold(entity)
        named = self._titles.get(key, [])
        exact = [index for index in named if fold(self.articles[index].title) == key]
        if exact or len(named) == 1:
            return self.articles[(exact or named)[0]]
        ranked = self._ranked(entity)
        if named:
            return self.articles[next((index for index in ranked if index in named), named[0])]
        asked = set(_words(entity))
        telling = asked - _STOP or asked
        for index in ranked[:10]:
            if 2 * len(telling & self._words[index]) > len(telling):
                return self.articles[index]
        # half-known names by their known words, misspelt ones by their letters
        sharing = [self.articles[index].title for index in ranked[:10] if telling & self._words[index]]
        near = dict.fromkeys(sharing[:2] + similar(entity, (article.title for article in self.articles), most=2))
        raise ToolFailure(f"no article for {quote(entity)}" + (f"; near titles: {either(near)}" if near else ""))

    def also(self, article: Article) -> list[str]:
        """Titles that differ from the article's in their brackets alone, as an encyclopedia's first line lists them."""
        titles = [self.articles[index].title for index in self._titles[_bare(article.title)]]
        return [title for title in titles if title != article.title]

    def _ranked(self, entity: str) -> list[int]:
        """Articles that share a word with the query, best first; of equals the earlier."""
        words = [word for word in _words(entity) if word in self._index.vocab_dict]
        if not words:
            return []
        scores = self._index.get_scores(words)
        order = np.argsort(-scores, kind="stable")
        return [int(index) for index in order[: int((scores > 0).sum())]]


def _bare(title: str) -> str:
    return re.sub(r"\s*\([^)]*\)$", "", fold(title))


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", fold(text))


@tool(access="read", reads=("corpus",), latency=SEARCH_LATENCY, takes_state=True)
def search(state: tuple[Corpus, int], entity: str) -> str:
    """Returns the first sentences of the encyclopedia's article on an entity.

    Args:
        entity: Name of a person, place, work or thing
    """
    corpus, most = state
    if not _words(entity):
        raise ToolFailure("entity is empty; give the name of a person, place, work or thing")
    article = corpus.best(entity)
    result = f"{article.title}: {' '.join(article.sentences[:most])}"
    if fold(entity) == _bare(article.title) != fold(article.title) and (others := corpus.also(article)):
        result += f" See also: {', '.join(others[:MOST_OTHERS])}."
    return result


class SearchToolbox(FunctionToolbox):
    """The one tool ``search`` over a shared corpus.

    Args:
        corpus: articles with their index; anything else `Corpus` takes is indexed for this toolbox alone.
        task: the task's id, which latencies are a hash of.
        sentences: how many sentences a result has at most.
        latency: latency in virtual time.
    """

    def __init__(
        self,
        corpus: Corpus | Mapping[str, str | Sequence[str]] | Iterable[tuple[str, str | Sequence[str]]],
        task: str = "",
        sentences: int = 3,
        latency: Latency = SEARCH_LATENCY,
    ) -> None:
        if sentences < 1:
            raise ValueError(f"sentences is {sentences}; a result needs at least 1")
        self.corpus = corpus if isinstance(corpus, Corpus) else Corpus(corpus)
        super().__init__([replace(search, latency=latency)], task, (self.corpus, sentences))


SEARCH_SPEC = search.spec
"""What the agent knows of ``search``."""
