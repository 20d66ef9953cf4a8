"""What counts as right, and what as which cause."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from data_gen.gold import filled, read_args
from data_gen.task import Evidence, GoldArg, GoldCall, Reference, Spliced, Task, Word
from eval.measures.isomorphism import gold_graph, graph_of, isomorphic
from eval.measures.scoring import CAUSES, Ran, answer_f1, equal, holds, match, normal, score
from midsentence.core.calls import Call, CallState, Graph
from midsentence.core.modes import MODES
from midsentence.core.reducer import start
from midsentence.core.values import Ref
from midsentence.tools.tool import Param, ToolFailure, ToolSpec

ANY = {}
NONE = Evidence(0, 0)
TOOLS = (
    ToolSpec("find", (Param("x", ANY), Param("y", ANY, False)), "read"),
    ToolSpec("send", (Param("to", ANY), Param("text", ANY)), "write"),
    ToolSpec("drop", (Param("x", ANY),), "write"),
)


class Box:
    """Keeps a log of effects; `find` gives ``number of X``."""

    specs = {tool.name: tool for tool in TOOLS}

    def __init__(self):
        self.effects = []

    def run(self, name, args):
        if args.get("to") == "nobody":
            raise ToolFailure("there is nobody")
        if name != "find":
            self.effects.append((name, dict(args)))
        return f"number of {args.get('x')}"

    def latency_ns(self, name, args):
        return 1


def task(*gold: GoldCall, answer: tuple[str, ...] = ()) -> Task:
    return Task("t", "test", "test", (Word("go", 0, 1),), TOOLS, gold, Box, answer)


FIND = GoldCall("find", read_args({"x": ("Bob", "bob"), "y": ("", 1)}), NONE, {})
SEND = GoldCall("send", read_args({"to": (["$1"],), "text": ("hi", "hi!")}, calls=2), NONE, {})


def episode(*calls: tuple, state: CallState = CallState.DONE):
    """A finished state and its world, from ``(name, args)``; a third item is the call's state."""
    box, graph, results = Box(), Graph(), {}
    for id, (name, args, *rest) in enumerate(calls, start=1):
        if (at := rest[0] if rest else CallState.DONE) is CallState.DONE:
            results[id] = box.run(name, {key: filled_refs(value, results) for key, value in args.items()})
        graph = graph.put(Call(id, Box.specs[name], args, state=at, result=results.get(id)))
    from dataclasses import replace

    return replace(start(MODES["speculative"], Box.specs), graph=graph), box


def filled_refs(value, results):
    return (
        results[value.call]
        if isinstance(value, Ref)
        else [filled_refs(v, results) for v in value]
        if isinstance(value, list)
        else value
    )


def judged(made: Task, *calls: tuple, outcome: str = "answered", answer: str | None = "Done."):
    state, box = episode(*calls)
    return score(made, state, outcome, answer, box)


BOTH = task(FIND, SEND)
RIGHT = (("find", {"x": "bob"}), ("send", {"to": [Ref(1)], "text": "hi!"}))


@pytest.mark.parametrize(
    ("said", "gold", "right"),
    [
        ({"city": "Oslo", "unit": "C"}, {"city": ("Oslo",)}, True),  # the default, said, where gold leaves it out
        ({"city": "Oslo", "unit": "F"}, {"city": ("Oslo",)}, False),
        ({"city": "Oslo"}, {"city": ("Oslo",), "unit": ("C",)}, True),  # left out, where gold says it
        ({"city": "Oslo"}, {"city": ("Oslo",), "unit": ("F",)}, False),
        ({"city": "Oslo", "unit": "C"}, {"city": ("Oslo",), "unit": ("F", "")}, True),
        ({"city": "Oslo", "unit": "K"}, {"city": ("Oslo",), "unit": ("F", "")}, False),
        ({"city": "Oslo", "day": None}, {"city": ("Oslo",)}, True),
        ({"city": "Oslo"}, {"city": ("Oslo",), "day": ("today",)}, False),
        ({"city": "Oslo", "day": "today"}, {"city": ("Oslo",)}, False),
    ],
)
def test_to_say_a_default_is_to_leave_it_out(said, gold, right):
    ran = Ran(1, "weather", said, None, {"unit": "C", "day": None})
    assert bool(match([GoldCall("weather", read_args(gold), NONE, {})], [ran])) is right


def test_any_accepted_value_is_right_and_results_may_be_written_out():
    assert judged(BOTH, *RIGHT).right
    assert judged(BOTH, RIGHT[0], ("send", {"to": ["number of bob"], "text": "hi"})).right
    assert judged(BOTH, ("find", {"x": "Bob", "y": 1}), RIGHT[1]).useful == (1, 2)


def test_an_extra_read_is_no_failure_but_not_useful():
    found = judged(BOTH, *RIGHT, ("find", {"x": "Ann"}))
    assert (found.right, found.useful) == (True, (1, 2))


@pytest.mark.parametrize(
    ("calls", "how", "cause"),
    [
        ((), {}, "missing"),  # doing nothing is no success
        (RIGHT[:1], {}, "missing"),
        ((RIGHT[0], ("send", {"to": [Ref(1)], "text": "bye"})), {}, "wrong argument"),
        ((RIGHT[0], ("drop", {"x": "hi"})), {}, "wrong tool"),
        ((*RIGHT, ("drop", {"x": 1})), {}, "extra"),
        ((*RIGHT, RIGHT[1]), {}, "repeated"),
        (RIGHT, {"answer": None, "outcome": "stalled"}, "no answer"),
        (RIGHT, {"answer": " "}, "no answer"),
        ((RIGHT[0], (*RIGHT[1], CallState.HELD)), {"answer": None, "outcome": "stalled"}, "held too long"),
        (RIGHT, {"answer": None, "outcome": "invalid_actions"}, "malformed"),
        (RIGHT, {"answer": None, "outcome": "out_of_budget"}, "out of budget"),
        (RIGHT, {"answer": None, "outcome": "context_overflow"}, "out of budget"),
        (RIGHT, {"answer": None, "outcome": "closed"}, "no answer"),
    ],
)
def test_causes(calls, how, cause):
    found = judged(BOTH, *calls, **how)
    assert (found.right, found.cause) == (False, cause)
    assert found.why and found.cause in CAUSES


@pytest.mark.parametrize(
    ("calls", "why"),
    [
        (
            (("find", {"x": "Ann"}), ("send", {"to": ["number of Bob"], "text": "hi"})),
            'instead of find({"x": "Bob"}): find({"x": "Ann"})',
        ),
        ((("send", {"to": ["number of Bob"], "text": "hi"}),), 'nothing did find({"x": "Bob"})'),
        (
            RIGHT[:1],
            'nothing did send({"to": ["$1"], "text": "hi"}). effects none, gold send({"to": ["number of Bob"], "text": "hi"})',
        ),
        (
            (*RIGHT, ("drop", {"x": 1})),
            'effects send({"to": ["number of bob"], "text": "hi!"}); drop({"x": 1}), gold send('
            '{"to": ["number of Bob"], "text": "hi"})',
        ),
    ],
)
def test_why_names_what_was_wrong_reads_too(calls, why):
    assert judged(BOTH, *calls).why == why


def test_undoing_is_no_success_for_the_log_keeps_both():
    assert judged(task(), ("send", {"to": ["a"], "text": "b"}), ("drop", {"x": "b"})).cause == "extra"


def test_a_question_is_judged_by_its_answer_whatever_was_read():
    asked = task(FIND, answer=("Oslo",))
    assert judged(asked, ("find", {"x": "Ann"}), answer="oslo").right and judged(asked, answer="Oslo.").right
    assert judged(asked, *RIGHT, answer="Oslo").cause == "extra"
    assert judged(asked, RIGHT[0], answer="Bergen").cause == "wrong answer"
    assert judged(asked, RIGHT[0], answer=None, outcome="stalled").cause == "no answer"


def test_f1_of_an_answer():
    assert answer_f1("The red cat", ("a red dog", "red hen house")) == pytest.approx(0.5)
    assert answer_f1("yes it is", ("yes",)) == 0 and answer_f1("Yes!", ("yes",)) == 1
    assert answer_f1("anything", ()) is None and answer_f1(None, ("x",)) == 0


@pytest.mark.parametrize(
    ("ours", "same"),
    [
        ([("a", ()), ("b", (0,)), ("a", ())], True),
        ([("a", ()), ("a", ()), ("b", (0,))], True),  # in another order
        ([("a", ()), ("a", ()), ("b", (1,))], True),
        ([("a", ()), ("a", ()), ("b", ())], False),  # without the dependency
        ([("a", ()), ("a", ()), ("b", (0, 1))], False),
        ([("a", ()), ("b", (0,))], False),
        ([("a", ()), ("c", (0,)), ("a", ())], False),
    ],
)
def test_graphs_are_compared_by_names_and_dependencies(ours, same):
    def graph(rows):
        return [(name, frozenset(needs)) for name, needs in rows]

    gold = graph([("a", ()), ("b", (0,)), ("a", ())])
    assert isomorphic(graph(ours), gold) is same
    assert isomorphic(gold, graph(ours)) is same


def test_the_graph_of_an_episode():
    state, _ = episode(
        RIGHT[0], ("drop", {"x": 1}, CallState.CANCELLED), ("send", {"to": [Ref(1)], "text": "whatever"})
    )
    assert isomorphic(graph_of(state), gold_graph(BOTH))
    state, _ = episode(RIGHT[0], ("send", {"to": ["number of bob"], "text": "hi"}))
    assert not isomorphic(graph_of(state), gold_graph(BOTH))


def test_an_answer_slot_is_compared_without_case_articles_and_punctuation():
    asked = task(FIND, answer=("The Number of Bob",))
    assert judged(asked, RIGHT[0], answer="number of bob!").right
    assert judged(asked, RIGHT[0], answer="number of Ann").cause == "wrong answer"
    assert normal("The  cat, a Hat.") == "cat hat"


def test_pairs_are_found_whatever_the_order():
    twice = [GoldCall("find", {"x": GoldArg((1, 2))}, NONE, {}), GoldCall("find", {"x": GoldArg((1,))}, NONE, {})]
    assert match(twice, [Ran(1, "find", {"x": 1}), Ran(2, "find", {"x": 2})]) == {1: 2, 2: 1}


def test_a_failed_or_cancelled_call_does_not_count():
    state, box = episode(RIGHT[0], (*RIGHT[1], CallState.CANCELLED))
    assert score(BOTH, state, "answered", "Done.", box).cause == "missing"


def test_json_equality_and_results_inside_texts():
    assert equal(2, 2.0) and equal([1, {"a": (2,)}], (1, {"a": [2]}))
    assert not equal(True, 1) and not equal("1", 1) and not equal({"a": 1}, {"b": 1})
    mixed = {"a": [Reference(1), Spliced(("see ", Reference(2), " and ", Reference(3)))]}
    assert filled(mixed, {1: [5], 2: 7}) == {"a": [[5], Spliced(("see 7 and ", Reference(3)))]}


def test_the_world_may_understand_two_texts_alike():
    class Meaning(Box):
        def run(self, name, args):
            if name == "send":
                self.effects.append(
                    SimpleNamespace(name=name, args={"to": "Bob Ray", "text": args["text"].lower()}, error="")
                )
                return "sent"
            return super().run(name, args)

    gold = GoldCall("send", read_args({"to": ("Bob Ray",), "text": ("hi",)}), NONE, {})
    made = Task("t", "test", "test", (Word("go", 0, 1),), TOOLS, (gold,), Meaning)
    state, _ = episode(("send", {"to": "bob", "text": "HI"}))
    box = Meaning()
    box.run("send", {"to": "bob", "text": "HI"})
    found = score(made, state, "answered", "Done.", box)
    assert (found.right, found.useful) == (True, (1,))


@pytest.mark.parametrize(
    ("answer", "exact", "right"),
    [
        ("The phone number for Ana is +1 555 0102.", False, True),
        ("The phone number for Ana is +1 555 0102.", True, False),
        ("+15550102", False, False),
        ("+1 555 0102", True, True),
        ("It is +1 555 01023.", False, False),
    ],
)
def test_an_answer_holds_what_is_accepted_or_is_it(answer, exact, right):
    assert holds(answer, "+1 555 0102", exact) is right
