"""Open values of training: many, always the same, and none of the words that validation and test say."""

import pytest

from data_gen.nearness import own_words
from data_gen.tasks.assistant.entities import CLOSERS, KINDS, listed, pool
from data_gen.tasks.assistant.open_words import FUNCTION, PER_LISTED, opened

OPEN = sorted(set(KINDS) - {"nickname", "fact"})


@pytest.mark.parametrize("kind", OPEN)
def test_training_draws_mostly_from_open_words(kind):
    known, open_ = listed(kind, "train"), set(pool(kind, "train")) - set(listed(kind, "train"))
    assert len(open_) >= min(PER_LISTED * len(known), 2000)
    assert not any(CLOSERS & set(text.lower().split()) for text in open_)
    for split in ("validation", "test"):
        theirs = set(pool(kind, split)) if kind in ("first", "last") else {word for text in pool(kind, split) for word in own_words(text)}
        mine = open_ if kind in ("first", "last") else {word for text in open_ for word in own_words(text)}
        assert mine.isdisjoint(theirs), sorted(mine & theirs)[:5]


@pytest.mark.parametrize("kind", OPEN)
def test_no_open_value_begins_another(kind):
    values = pool(kind, "train")
    begun = {" ".join(words[:n]) for words in (text.split() for text in values) for n in range(1, len(words))}
    assert begun.isdisjoint(set(values) - set(listed(kind, "train")))


def test_the_other_splits_keep_their_lists():
    assert all(pool(kind, split) == listed(kind, split) for kind in KINDS for split in ("validation", "test"))


def test_words_that_join_phrases_stay_out():
    made = opened("message", listed("message", "train"), ())
    assert not FUNCTION & {word for text in made for word in text.split()} - {"was", "has", "is", "the"}
    assert made == opened("message", listed("message", "train"), ()) and len(set(made)) == len(made)
