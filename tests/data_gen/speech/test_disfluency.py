"""Disfluency: every kind occurs and is labelled, and without the labelled words the fluent request is left."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import fields, replace

import pytest

from data_gen.grounding.derivation import Derivation
from data_gen.speech.disfluency import CORRECTIONS, HELD_OUT, TEST, TRAIN, Disfluent, Rates
from data_gen.speech.script import SOFT, Script, edits
from data_gen.tasks.assistant.compose import BY_NAME, Style, Teller, compose
from data_gen.tasks.assistant.intents import asks
from data_gen.tasks.assistant.values import Drawer
from data_gen.tasks.assistant.worlds import setting

KINDS = tuple(entry.name for entry in fields(Rates))
NONE = Rates().times(0)


def told(index: int, rates: Rates, seed: int = 0) -> tuple[Script, str, tuple[str, ...]]:
    """A script made disfluent, the words it was made from, and the kinds that occurred."""
    draw = random.Random(1000 * seed + index)
    place = setting("train", index % 5)
    teller = Teller(Drawer(place, draw, place.start), "train", Style(rates, sizes=(0.1, 0.4, 0.5)))
    teller.plan()
    script = teller.tell()
    before = " ".join(script.words)
    return script, before, Disfluent(script, teller, rates, TRAIN, draw).apply()


def gold(script: Script) -> list[tuple[str, dict]]:
    calls = Derivation(script.finish(), asks).gold(len(script.words), BY_NAME)
    return sorted((call.name, str({name: arg.values[0] for name, arg in call.args.items()})) for call in calls)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_occurs_and_leaves_the_same_request(kind):
    rates = replace(NONE, **{kind: 0.5})
    found = 0
    for index in range(40):
        script, before, kinds = told(index, rates)
        found += kind in kinds
        assert set(kinds) <= {kind}
        fluent = script.fluent()
        # the calls that the disfluent request asks for are those of what is left without the labelled words
        names = Counter(name for name, _ in gold(script))
        assert names == Counter(name for name, _ in gold(fluent)), " ".join(script.words)
        if kind not in ("after_clause", "after_other", "addition", "withdrawal", "withdrawal_after_other"):
            assert " ".join(fluent.words) == before, " ".join(script.words)
        elif kind not in kinds:
            assert " ".join(script.words) == before
    assert found >= 3


def test_all_kinds_together_leave_the_calls_of_the_fluent_request():
    for index in range(150):
        script, _, _ = told(index, Rates().times(4), seed=1)
        assert gold(script) == gold(script.fluent()) or _renumbered(script), " ".join(script.words)
        assert len(script.words) == len(script.labels) == len(script.soft)


def _renumbered(script: Script) -> bool:
    """Whether both ask for the same calls in another order, so that only the numbers of results differ."""
    import re

    strip = lambda calls: sorted((name, re.sub(r"call=\d+", "call", args)) for name, args in calls)  # noqa: E731
    return strip(gold(script)) == strip(gold(script.fluent()))


def test_labels_stand_on_the_tasks_words():
    labels: Counter[str] = Counter()
    for index in range(80):
        task = compose("train", index, style=Style(Rates().times(3)))
        left = [word.text for word in task.words if word.label in ("fluent", "repair")]
        assert " ".join(left) == task.meta["fluent"]
        labels.update(word.label for word in task.words)
    assert all(labels[label] > 20 for label in ("fluent", "reparandum", "interregnum", "repair"))


def test_a_correction_at_once_is_labelled_in_the_linguists_terms():
    for index in range(60):
        script, before, kinds = told(index, replace(NONE, correction=1.0))
        runs = [script.labels[0]] + [b for a, b in zip(script.labels, script.labels[1:]) if a != b]
        for n, label in enumerate(runs):
            if label == "reparandum":
                assert runs[n : n + 3] == ["reparandum", "interregnum", "repair"], " ".join(script.words)
        assert kinds == ("correction",) and len(script.words) > len(before.split())


def test_no_disfluency_at_rate_nought():
    script, before, kinds = told(4, NONE)
    assert kinds == () and " ".join(script.words) == before and set(script.labels) == {"fluent"}


def test_rates_follow_the_settings():
    few, many = (sum(len(told(i, Rates().times(f))[2]) for i in range(60)) for f in (0.5, 4.0))
    assert many > 2 * few
    assert Rates.of({"times": 0, "filler": 0.5}) == replace(NONE, filler=0.5)
    assert Rates().without(HELD_OUT).restatement == 0 and Rates().restatement > 0
    with pytest.raises(ValueError, match=r"unknown disfluency rate 'filers'; use times or one of addition, .*filler"):
        Rates.of({"filers": 0.1})
    with pytest.raises(ValueError, match=r"filler is 1.5; a rate must lie in \[0, 1\]"):
        Rates(filler=1.5)
    assert set(KINDS) > CORRECTIONS


def test_lexicons_share_no_word_of_repair():
    for name in ("fillers", "markers", "terms", "restarts", "withdrawals", "starts", "additions"):
        train, test = ({text.lower() for text in getattr(lexicon, name)} for lexicon in (TRAIN, TEST))
        assert train and test and not train & test, name


def test_a_fragment_moves_what_stands_behind_it():
    script = Script()
    script.say("text")
    bob = script.say("Bob")
    bob.slot, bob.clause = "to", 0
    script.places.append(bob)
    script.say("now")
    wrong = Script()
    wrong.say("Al no", "reparandum")
    script.insert(bob.start, wrong)
    assert script.words == ["text", "Al", "no", "Bob", "now"] and (bob.start, bob.end) == (3, 4)
    script.insert(bob.end, wrong.cut(1))
    assert script.words[bob.start : bob.end] == ["Bob"] and script.fluent().words == ["text", "Bob", "now"]


def test_closing_words():
    from data_gen.speech.script import Mark

    soft = [False, True, True, False]
    marks = [
        Mark(0, 1, "put", 0, "to"),
        Mark(3, 4, "put", 0, "to"),
        Mark(0, 1, "put", 0, "to", grows=True),
        Mark(0, 1, "open", 0),
    ]
    assert [edit.closes for edit in edits(marks, soft)] == [4, None, 1, None]
    assert {"uh", "um"} <= SOFT
