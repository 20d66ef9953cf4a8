"""Open values of training: many, always the same, and none of the words that validation and test say."""

import pytest

from data_gen.tasks.assistant.entities import CLOSERS, KINDS, listed, pool
from data_gen.tasks.assistant.intents import INTENTS
from data_gen.tasks.assistant.more_wordings import MORE
from data_gen.tasks.assistant.open_words import FUNCTION, PER_LISTED, opened
from data_gen.tasks.assistant.templates import TAILS, parts_of, tails, templates
from data_gen.tasks.nearness import mask, one_word_apart, own_words

OPEN = sorted(set(KINDS) - {"nickname", "fact"})


@pytest.mark.parametrize("kind", OPEN)
def test_training_draws_mostly_from_open_words(kind):
    known, open_ = listed(kind, "train"), set(pool(kind, "train")) - set(listed(kind, "train"))
    assert len(open_) >= min(PER_LISTED * len(known), 2000)
    assert not any(CLOSERS & set(text.lower().split()) for text in open_)
    for split in ("validation", "test"):
        theirs = (
            set(pool(kind, split))
            if kind in ("first", "last")
            else {word for text in pool(kind, split) for word in own_words(text)}
        )
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


def test_wordings_for_training_alone_are_many_and_none_is_a_word_from_another_splits():
    for intent in INTENTS:
        mine = {mask(t.id.split(": ", 1)[1]) for t in templates(intent, "train")}
        theirs = [
            mask(t.id.split(": ", 1)[1])
            for split in ("validation", "test")
            for name in INTENTS
            for t in templates(name, split)
        ]
        assert len(mine) >= 25 and not any(one_word_apart(a, b) for a in mine for b in theirs)
    assert all(len(tails(slot, "train")) >= 12 for slot in TAILS)


def test_the_lines_for_training_alone_fill_the_slots_of_their_intent():
    for name, lines in MORE.items():
        for line in filter(None, map(str.strip, lines.splitlines())):
            parts = parts_of(line)
            assert sorted(part.slot for part in parts if part.slot) == sorted(INTENTS[name].slots), line
            assert [part.mark for part in parts if part.mark] in ([1], [1, 2]), line
            joining = CLOSERS - {"and", "make", "saying", "with", "called", "titled", "under"}
            assert not joining & {part.text for part in parts}, line
