"""How near test is to train: the distances, the clusters, and what is pinned of the generated sources."""

from __future__ import annotations

import pytest

from data_gen.tasks import assistant, naturalistic
from data_gen.tasks.assistant.entities import KINDS, pool
from data_gen.tasks.assistant.intents import INTENTS
from data_gen.tasks.assistant.templates import templates
from data_gen.tasks.nearness import (
    Nearness,
    allotted,
    clusters,
    mask,
    near,
    one_word_apart,
    own_words,
    pairs_apart,
    pairs_sharing,
)


@pytest.mark.parametrize(
    ("a", "b", "apart"),
    [
        ("text {} that {}", "text {} saying {}", True),
        ("text {} that {}", "text {} {}", True),
        ("text {} {}", "please text {} {}", True),
        ("text {}", "text {}", True),
        ("text {} that {}", "email {} saying {}", False),
        ("a b c", "c b a", False),
        ("a", "a b c", False),
    ],
)
def test_one_word_apart(a, b, apart):
    assert one_word_apart(a.split(), b.split()) == one_word_apart(b.split(), a.split()) == apart
    assert near([tuple(a.split())], [tuple(b.split())]) == apart


def test_what_is_alike_is_never_cut():
    texts = ["the blue room", "the blue car", "the car park", "the lake", "the hill", "the sea", "the mill"]
    linked = clusters(len(texts), pairs_sharing([own_words(text) for text in texts]))
    assert sorted(map(sorted, linked)) == [[0, 1, 2], [3], [4], [5], [6]]
    split = allotted(["x"] * 7, linked, range(7), {"test": 0.2, "validation": 0.1, "train": 0.7})
    assert split[:3] == ["train"] * 3 and sorted(split[3:]) == ["test", "test", "validation", "validation"]
    assert list(pairs_apart([text.split() for text in texts[:2]])) == [(1, 0)]
    with pytest.raises(
        ValueError, match="validation gets 0 of x, fewer than 2: too many are alike; add some unlike the others"
    ):
        allotted(["x"] * 5, [[0, 1, 2], [3], [4]], range(5), {"test": 0.2, "validation": 0.1, "train": 0.7})


@pytest.mark.parametrize("split", ["validation", "test"])
def test_no_wording_is_one_word_from_a_training_wording(split):
    told = {
        name: {
            mask(t.id.split(": ", 1)[1])
            for intent in INTENTS
            for indirect in (False, True)
            for t in templates(intent, name, indirect)
        }
        for name in ("train", split)
    }
    assert len(told[split]) > 50 and near(told[split], told["train"]) == 0


@pytest.mark.parametrize("split", ["validation", "test"])
def test_no_word_of_a_value_is_in_a_training_value(split):
    for kind in set(KINDS) - {"first", "last", "nickname"}:  # whole names, divided as they are
        mine, theirs = ({word for text in pool(kind, name) for word in own_words(text)} for name in (split, "train"))
        assert mine and mine.isdisjoint(theirs), (kind, mine & theirs)


@pytest.mark.parametrize("source", [assistant, naturalistic])
def test_the_words_of_tests_values_are_new(source):
    told = Nearness()
    for split, count in (("train", 600), ("test", 150)):
        part = Nearness()
        for task in source.tasks(split, 0, count):
            part.add(split, task)
        told.update(part)
    found = told.report()
    assert found["wordings_near"][0] == 0 and found["wordings_near"][1] > 50
    assert found["value_words_new"] > 0.9 and found["values_near"][0] < 0.01 * found["values_near"][1]
    assert found["runs_seen"] < 0.2
    assert Nearness().report() is None


def test_every_split_has_enough_to_draw_from():
    for split in ("validation", "test"):
        for intent in INTENTS:
            assert len(templates(intent, split)) >= 2
        assert all(len(pool(kind, split)) >= 2 for kind in KINDS)
        assert min(len(pool(kind, split)) for kind in ("file", "note", "message", "chore", "meeting", "subject")) >= 12
