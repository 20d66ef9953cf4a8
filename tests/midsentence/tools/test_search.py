"""Search over a local corpus: titles before BM25, what counts as no article, and one index for many sessions."""

from __future__ import annotations

import logging
from typing import Any

import bm25s
import pytest

from midsentence.tools.function import Constant
from midsentence.tools.search import SEARCH_SPEC, Corpus, SearchToolbox
from midsentence.tools.tool import ToolFailure, signature

ARTICLES: dict[str, Any] = {
    "Ed Wood": [
        "Edward D. Wood Jr. was an American filmmaker.",
        "He was born in 1924.",
        "He died in 1978.",
        "He wrote, too.",
    ],
    "Ed Wood (film)": "Ed Wood is a 1994 American film by Tim Burton. It stars Johnny Depp. It won two Oscars. It lost money.",
    "Scott Derrickson": ["Scott Derrickson is an American director.", "He made Sinister."],
    "Sinister (film)": ["Sinister is a 2012 horror film.", "It was directed by Scott Derrickson."],
    "Mercury (planet)": ["Mercury is the planet nearest to the Sun."],
    "Mercury (element)": ["Mercury is a metal.", "Mercury, mercury and mercury again."],
    "Café Müller": ["Café Müller is a dance piece by Pina Bausch."],
}


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return Corpus(ARTICLES)


def ask(corpus: Corpus, entity: Any, **options: Any) -> Any:
    return SearchToolbox(corpus, **options).run("search", {"entity": entity})


@pytest.mark.parametrize(
    ("entity", "title"),
    [
        ("Ed Wood", "Ed Wood"),  # not the film, though BM25 may like that better
        ("ED  wood (Film)", "Ed Wood (film)"),
        ("sinister", "Sinister (film)"),  # the brackets are the encyclopedia's, not the user's
        ("cafe muller", "Café Müller"),
        ("Mercury", "Mercury (element)"),  # several in brackets: BM25 among those
        ("Johnny Depp", "Ed Wood (film)"),  # no title: by the text
        ("the director Derrickson", "Scott Derrickson"),  # a title's word counts for more than a mention
        ("Pina Bausch dance", "Café Müller"),
    ],
)
def test_the_best_article(corpus: Corpus, entity: str, title: str) -> None:
    assert corpus.best(entity).title == title


def test_a_result_is_the_title_and_the_first_sentences(corpus: Corpus) -> None:
    first = "Edward D. Wood Jr. was an American filmmaker. He was born in 1924. He died in 1978."
    assert ask(corpus, "Ed Wood") == f"Ed Wood: {first}"
    assert (
        ask(corpus, "Ed Wood (film)", sentences=1) == "Ed Wood (film): Ed Wood is a 1994 American film by Tim Burton."
    )
    assert ask(corpus, "Mercury (planet)", sentences=5) == "Mercury (planet): Mercury is the planet nearest to the Sun."


def test_a_name_with_several_articles_lists_the_others(corpus: Corpus) -> None:
    assert ask(corpus, "mercury", sentences=1) == "Mercury (element): Mercury is a metal. See also: Mercury (planet)."
    assert ask(corpus, "Sinister", sentences=1) == "Sinister (film): Sinister is a 2012 horror film."


@pytest.mark.parametrize(
    ("entity", "says"),
    [
        ("Derickson", 'no article for "Derickson"; near titles: "Scott Derrickson"'),
        (
            "Qwxz Oscars",
            'no article for "Qwxz Oscars"; near titles: "Ed Wood (film)"',
        ),  # half of the words is not enough
        ("zzqx", 'no article for "zzqx"'),
        (" ?! ", "entity is empty; give the name of a person, place, work or thing"),
        (3, "search: entity must be string, got 3: search(entity: str)"),
    ],
)
def test_no_article(corpus: Corpus, entity: Any, says: str) -> None:
    with pytest.raises(ToolFailure) as refused:
        ask(corpus, entity)
    assert says in str(refused.value)


def test_sessions_share_one_index(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    def again(*_: Any, **__: Any) -> None:
        raise AssertionError("indexed twice")

    monkeypatch.setattr(bm25s.BM25, "index", again)
    one, two = SearchToolbox(corpus, "task-1"), SearchToolbox(corpus, "task-2")
    assert one.corpus is two.corpus is corpus
    assert one.run("search", {"entity": "Johnny Depp"}) == two.run("search", {"entity": "Johnny Depp"})


def test_searching_is_a_silent_read(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        box = SearchToolbox(list(ARTICLES.items()))
        box.run("search", {"entity": "Johnny Depp"})
    assert tuple(capfd.readouterr()) == ("", "") and caplog.records == []
    assert SEARCH_SPEC.access == "read" and box.effects == [] and signature(SEARCH_SPEC) == "search(entity: str)"


def test_latency(corpus: Corpus) -> None:
    box = SearchToolbox(corpus, "task-1")
    drawn = [box.latency_ns("search", {"entity": str(n)}) for n in range(40)]
    assert 300_000_000 <= min(drawn) < max(drawn) <= 800_000_000
    assert drawn == [SearchToolbox(corpus, "task-1").latency_ns("search", {"entity": str(n)}) for n in range(40)]
    assert SearchToolbox(corpus, latency=Constant(2)).latency_ns("search", {"entity": "x"}) == 2_000_000_000


def test_of_two_articles_with_one_title_the_first_counts() -> None:
    twice = Corpus([("A", "First."), ("A", "Second."), ("B", "Third.")])
    assert len(twice) == 2 and twice.best("A").sentences == ("First.",)


def test_bad_corpora_are_refused() -> None:
    with pytest.raises(ValueError, match="the corpus is empty; give at least one article"):
        Corpus({})
    with pytest.raises(ValueError, match="article 'A' has no text; leave it out"):
        Corpus({"A": [" "]})
    with pytest.raises(ValueError, match="article ' ' has no title"):
        Corpus([(" ", "x")])
    with pytest.raises(ValueError, match="sentences is 0; a result needs at least 1"):
        SearchToolbox(Corpus({"A": "x"}), sentences=0)
