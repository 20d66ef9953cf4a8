"""The grammar: what the protocol allows is allowed, what the core would refuse can't be written, and nothing is
stuck."""

from __future__ import annotations

import copy
import hashlib
import itertools
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from configs.schema import AgentConfig, DataConfig, EndpointConfig
from data_gen.episodes import make_episode
from data_gen.expert.player import Expert
from data_gen.grounding.reading import GroundedReading
from data_gen.tasks import debug
from midsentence.clock import NS_PER_S, Profile, ns
from midsentence.core import reducer
from midsentence.core.calls import CallState
from midsentence.core.events import Appended, ModelOutput, Note, ToolError, ToolResult, UserUpdate
from midsentence.core.modes import settings
from midsentence.core.protocol import TAGS
from midsentence.grammar.atoms import untagged
from midsentence.grammar.constraint import ProtocolGrammar
from midsentence.grammar.said_text import more_of, spelled, text_of, unsaid, without_repeats
from midsentence.rendering.renderer import Renderer
from midsentence.shells.batch import run_batch
from midsentence.shells.virtual import Episode
from midsentence.tools.tool import Param, ToolFailure, ToolSpec

PLAIN = {"commit": "action", "revise": "reissue"}
"""Unless a test is about the other lines, calls are whole and go at the end of an action."""
TEXT, WHOLE = {"type": "string"}, {"type": "integer"}
FAST = Profile("fast", 300, 6000, ns(0.01))
FORMS = [
    ("tiny", "token"),
    ("tiny", "text"),
    ("smollm2", "token"),
    ("smollm2", "text"),
    ("qwen", "token"),
    ("qwen", "text"),
]
MODES = ("sequential", "parallel", "async_tools", "eager_end", "async_io", "speculative")

LINES = {"revise": "amend", "commit": "line"}

SHAPES: dict[str, tuple[ToolSpec, ...]] = {
    "debug": debug.TOOLS,
    "no_tools": (),
    "bare": (ToolSpec("ping", access="read"), ToolSpec("stop")),
    "few_values": (
        ToolSpec("mode", (Param("to", {"enum": ["on", "off"]}), Param("now", {"type": "boolean"}, required=False))),
        ToolSpec("unit", (Param("of", {"type": ["boolean", "null"]}),), "read"),
    ),
    "optional": (
        ToolSpec(
            "search", (Param("q", TEXT), Param("top", WHOLE, False), Param("near", {"type": "number"}, False)), "read"
        ),
        ToolSpec(
            "search_all", (Param("a", TEXT, False), Param("b", WHOLE), Param("c", {"type": "boolean"}, False)), "egress"
        ),
    ),
    "nested": (
        ToolSpec(
            "plot",
            (Param("points", {"type": "array", "items": {"type": "array", "items": {"type": "number"}}}),),
            "read",
        ),
        ToolSpec(
            "put",
            (
                Param("row", {"type": "object", "properties": {"a": WHOLE, "b": TEXT}, "required": ["a"]}),
                Param("any", {}, False),
            ),
        ),
        ToolSpec("bag", (Param("of", {"type": "object", "additionalProperties": WHOLE}),)),
        ToolSpec("odd-name", (Param("x", TEXT),)),
    ),
}


class Box:
    """Tools that answer after a while; some calls fail, by a hash of their arguments."""

    def __init__(self, specs: Sequence[ToolSpec]) -> None:
        self.specs: Mapping[str, ToolSpec] = {spec.name: spec for spec in specs}

    def run(self, name, args):
        if self._draw(name, args, "fails") % 4 == 0:
            raise ToolFailure("no luck")
        return f"result {self._draw(name, args) % 100}"

    def latency_ns(self, name, args):
        return ns(0.05) + self._draw(name, args) % ns(0.6)

    def _draw(self, *parts):
        return int(hashlib.sha256(repr(parts).encode()).hexdigest()[:8], 16)


class Line:
    """A context of the model below: its ids."""

    def __init__(self, ids, seed):
        self.ids, self.rng = list(ids), random.Random(seed)

    @property
    def length(self):
        return len(self.ids)


class Dice:
    """A model that draws among the allowed tokens: uniformly, or those that come to an end sooner more often."""

    end_ids: frozenset[int] = frozenset()

    def __init__(self, renderer: Renderer, brief: float) -> None:
        self.brief = brief
        self.ending = np.array(
            [any(c in renderer.token_bytes(index) for c in b'"]}),\n><') for index in range(renderer.vocabulary_size)]
        )
        self.decoded = 0

    def open(self, prompt_ids, seed=0):
        return Line(prompt_ids, seed)

    def append(self, batch):
        for line, ids in batch:
            line.ids += ids

    def decode(self, streams, masks=None):
        drawn = []
        for line, mask in zip(streams, masks, strict=True):
            allowed = mask.allowed()
            assert allowed.any()
            ending = np.flatnonzero(allowed & self.ending)
            choices = ending if len(ending) and line.rng.random() < self.brief else np.flatnonzero(allowed)
            drawn.append(int(line.rng.choice(choices)))
            line.ids.append(drawn[-1])
            self.decoded += 1
        return drawn

    def crop(self, stream, length):
        assert 0 < length <= stream.length
        del stream.ids[length:]

    def close(self, stream):
        pass


@pytest.fixture(scope="module")
def grammars(request):
    """Grammars on the tokenizers, made once each."""
    made: dict[tuple[str, str], ProtocolGrammar] = {}

    def get(name: str, tags: str = "token") -> ProtocolGrammar:
        if (name, tags) not in made:
            tokenizer = copy.deepcopy(request.getfixturevalue(f"{name}_tokenizer"))
            made[name, tags] = ProtocolGrammar(Renderer.prepare(tokenizer, tags))
        return made[name, tags]

    return get


def writing(*, tools=debug.TOOLS, final=False, mode="speculative", lines=(), results=(), **changes):
    """A state in which the model is about to write, after lines that it has written and what came of them."""
    state = reducer.start(settings(mode, **(PLAIN | changes)), {spec.name: spec for spec in tools})
    events = [UserUpdate(0, "text Bob", False), Appended(1, 3)]
    if lines:
        written = "<tool_call>\n" + "".join(f"{line}\n" for line in lines) + "</tool_call>"
        events += [ModelOutput(2, 1, written, (1,)), *results]
    events += [UserUpdate(8, "now", final), Appended(9, 3), Appended(10, 3)]
    for event in events:
        state, _ = reducer.step(state, event)
    assert state.phase is reducer.Phase.GENERATING, state.phase
    return state


def accepts(grammar: ProtocolGrammar, state, text: str) -> bool:
    """Whether the text can be written token by token; what is forced must be how the tokenizer writes it."""
    constraint = grammar.begin(state)
    ids = grammar.renderer.action_ids(text)
    for at, index in enumerate(ids):
        forced = tuple(constraint.forced())
        if not constraint.allowed()[index] or forced != ids[at : at + len(forced)]:
            return False
        constraint.push(index)
    return True


def play(grammar, specs, mode, seeds, brief=0.5, batch=4, **changes):
    """Episodes of a model that rolls dice under the grammar."""
    episodes = []
    for seed in seeds:
        draw = random.Random(seed)
        times = sorted(draw.randrange(ns(2.5)) for _ in range(4))
        said = [UserUpdate(at_ns, f"word {n}", n >= 3 or draw.random() < 0.15) for n, at_ns in enumerate(times)]
        row = settings(mode, max_generated_tokens=250, **changes)
        episodes.append(
            Episode(
                settings=row,
                profile=FAST,
                toolbox=Box(specs),
                updates=said,
                renderer=grammar.renderer,
                prompt_ids=grammar.renderer.prompt_ids("Help."),
                grammar=grammar,
                limit_ns=ns(20),
                session=str(seed),
            )
        )
    model = Dice(grammar.renderer, brief)
    return episodes, run_batch(episodes, model, batch=batch), model


def refused(rollouts):
    """What the core had to say against lines and actions, with the line."""
    found = []
    for rollout in rollouts:
        text = ""
        for event, commands in rollout.history:
            text = text + event.text if isinstance(event, ModelOutput) else ""
            whats = [
                c.what for c in commands if isinstance(c, Note) and c.what in ("invalid_action", "identical_reissue")
            ]
            found += [(what, text[-200:]) for what in whats]
        found += [segment.text for segment in rollout.state.transcript if segment.kind == "error"]
    return found


def writes(rollouts):
    """Actions that came to their end."""
    return sum(1 for r in rollouts for _, commands in r.history if any(type(c).__name__ == "Stop" for c in commands))


@pytest.mark.parametrize(("name", "tags"), FORMS)
def test_all_that_the_expert_writes_can_be_written(grammars, name, tags):
    grammar = grammars(name, tags)
    planned = []

    class Checked(Expert):
        def plan(self, state):
            text = Expert.plan(self, state)
            planned.append(text)
            assert accepts(grammar, state, text), text
            return text

    for mode in MODES if name == "tiny" else ("sequential", "speculative"):
        for task in debug.tasks("train", count=4 if name == "tiny" else 3):
            expert = Checked(task, GroundedReading(task))
            episode = make_episode(
                task,
                mode,
                FAST,
                grammar.renderer,
                agent=AgentConfig(),
                seed=1,
                data=DataConfig(endpoints={"oracle": EndpointConfig(false_rate=0.3, predict_delay_s=0.3)}),
                planner=expert,
            )
            assert episode.run().outcome == "answered"
    assert len(planned) > (60 if name == "tiny" else 20)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("mode", MODES)
def test_dice_under_the_grammar_write_no_invalid_action(grammars, shape, mode):
    grammar = grammars("tiny")
    _episodes, rollouts, _ = play(grammar, SHAPES[shape], mode, range(4))
    assert refused(rollouts) == []
    assert writes(rollouts) >= 4


@pytest.mark.parametrize(
    "changes",
    [
        LINES,
        {"revise": "amend"},
        {"revise": "amend", "commit": "paper"},
        {**LINES, "commit_on": "silence"},
        {"commit": "paper"},
        {"revise_cascade": "cancel"},
        {"interrupt": "token"},
        {"interrupt": "action"},
        {"commit_grace_ns": ns(0.3)},
        {"commit": "line"},
        {"commit": "line", "revise": "amend"},
        {**LINES, "max_writes_per_turn": 1},
    ],
)
def test_dice_write_no_invalid_action_under_other_rules(grammars, changes):
    for shape in ("few_values", "optional"):
        _, rollouts, _ = play(grammars("tiny"), SHAPES[shape], "speculative", range(8), **changes)
        assert refused(rollouts) == []


@pytest.mark.parametrize(("name", "tags"), FORMS)
def test_dice_write_no_invalid_action_with_any_tokenizer(grammars, name, tags):
    for shape in ("debug", "nested"):
        _, rollouts, _ = play(grammars(name, tags), SHAPES[shape], "speculative", range(2), brief=0.9)
        assert refused(rollouts) == []


@pytest.mark.parametrize("tags", ["token", "text"])
def test_what_the_core_would_refuse_is_masked(grammars, tags):
    grammar = grammars("tiny", tags)
    fresh = writing()
    call = "<tool_call>\n{}\n</tool_call>"
    assert accepts(grammar, fresh, call.format('1. get_weather("Lima")'))
    for line in (
        '1. get_wether("Lima")',  # no such tool
        '2. get_weather("Lima")',  # out of order
        "1. get_weather()",
        '1. get_weather("Lima", "Oslo")',
        "1. get_weather(5)",
        '1. get_weather(town="Lima")',
        "1. get_weather($1)",
        '1. get_weather("Lima" + "x")',
        "REMOVE 1",
        '1. get_weather("\\ud800")',
    ):
        assert not accepts(grammar, fresh, call.format(line)), line
    assert not accepts(grammar, fresh, "<tool_call>\n</tool_call>")
    assert not accepts(grammar, fresh, "<answer>Done.</answer>")
    assert not accepts(grammar, fresh, "<think>a</think><think>b</think><pause>")
    assert accepts(grammar, fresh, "<think>x < y, a<b> & <thin</think><pause>")
    for tag in TAGS:
        assert not accepts(grammar, fresh, f"<think>so {tag}</think><pause>") or tag == "</think>"
    done = writing(final=True)
    assert accepts(grammar, done, "<answer>Done.</answer>")
    assert not accepts(grammar, done, "<pause>")  # nothing runs and the user has finished
    assert accepts(grammar, writing(final=True, lines=['1. get_weather("Lima")']), "<pause>")


def test_a_call_is_not_written_again_as_it_stands_but_a_failed_read_is(grammars):
    grammar = grammars("tiny")
    running = writing(lines=['1. get_weather("Lima")'])
    again, other = (f"<tool_call>\n1. get_weather({city})\n</tool_call>" for city in ('"Lima"', '"Limas"'))
    assert not accepts(grammar, running, again)
    assert accepts(grammar, running, other)
    assert accepts(grammar, running, '<tool_call>\n1. get_phone_number("Lima")\n</tool_call>')
    assert accepts(grammar, running, other.replace("</", '1. get_weather("Lima")\n</'))  # changed, and changed back
    assert not accepts(grammar, running, other.replace("</", '1. get_weather("Limas")\n</'))
    assert accepts(grammar, running, '<tool_call>\n2. get_weather("Lima")\n</tool_call>')  # an equal read is no reissue
    failed = writing(lines=['1. get_weather("Lima")'], results=[ToolError(3, 1, 1, "no luck")])
    assert failed.graph[1].state is CallState.FAILED
    assert accepts(grammar, failed, again)


def test_a_value_may_hold_a_character_that_grammars_can_not(grammars):
    """A call that stands, with a DEL in its argument, is a literal of the grammar of the next line."""
    state = writing(lines=['1. get_weather("Li\x7fma")'])
    assert accepts(grammars("tiny"), state, '<tool_call>\n1. get_weather("Lima")\n</tool_call>')
    assert not accepts(grammars("tiny"), state, '<tool_call>\n1. get_weather("Li\x7fma")\n</tool_call>')


NOTED = (
    *debug.TOOLS,
    ToolSpec("send-note", (Param("to", TEXT), Param("text", TEXT), Param("loud", {"type": "boolean"}, False))),
)


def test_amendments_change_what_stands_and_make_no_call_that_is_there(grammars):
    grammar = grammars("tiny")
    wrap = "<tool_call>\n{}\n</tool_call>".format
    lines = ['1. get_phone_number("Bob")', '2. send-note($1, "on my way")', '3. send-note("Ann", "on my way now")']
    state = writing(tools=NOTED, lines=lines, results=[ToolResult(3, 1, 1, {"phone": "555"})], **LINES)
    for line in (
        '2. text = "soon"',
        '2. text += " in ten"',
        "2. text += $1.phone",
        '2. text = "to " + $1',
        "2. loud = true",
        '2. to = "Bob"',
        "2. to = $1.phone",
        '1. name = "Ann"',
        '1. name += " Ray"',
        '3. to = "Bob"',
        "2. text = $3",
        "3. to = $2",
        "1. name = $3.x[0]",
        "2. text += $3",
        "2. text = $3\n2. to = $3\nREMOVE 3",
        '2. text += " in"\n2. text += " ten"',
        '4. send-note("Bob")\n4. text = "hi"',
    ):
        assert accepts(grammar, state, wrap(line)), line
    for line in (
        '4. text = "soon"',
        '2. txt = "soon"',
        "2. loud = 1",
        '2. loud += "x"',
        "2. to = $2",
        "2. to += $2",
        "1. name = $2",
        '2. text = "on my way"',
        '2. text += ""',
        "2. to = $1",
        '1. name = "Bob"',
        "2. to = $4",
        "2. text += 5",
        '2. to = ["a"]',
        "2. text = $3\n3. text = $2",
    ):
        assert not accepts(grammar, state, wrap(line)), line
    near = writing(
        tools=NOTED, lines=['1. send-note("Ann", "on my way")', '2. send-note("Ann", "on my way now")'], **LINES
    )
    assert not accepts(grammar, near, wrap('1. text += " now"')) and not accepts(
        grammar, near, wrap('1. text = "on my way now"')
    )
    assert accepts(grammar, near, wrap('1. text += " nowadays"')) and accepts(grammar, near, wrap('1. to = "Bob"'))


def test_an_open_call_may_be_written_and_is_not_committed(grammars):
    grammar = grammars("tiny")
    wrap = "<tool_call>\n{}\n</tool_call>".format
    for line in ('1. send-note("Ann")', '1. send-note(text="hi")', "1. send-note()", '1. send-note("Ann", loud=true)'):
        assert accepts(grammar, writing(tools=NOTED, **LINES), wrap(line)), line
    lines = ['1. send-note("Ann", "a")', '2. send-note("Bob")', '3. send-note("Bob", "c")', '4. send-note("Bob", $2)']
    held = writing(tools=NOTED, lines=lines, final=True, **LINES)
    for line in (
        "COMMIT 1",
        "COMMIT 3",
        "COMMIT 1, 3",
        'COMMIT 1\n2. text = "b"\nCOMMIT 2, 3, 4',
        '2. text = "b"\nCOMMIT',
        "REMOVE 2\nCOMMIT",
        "COMMIT 1\nCOMMIT 3",
    ):
        assert accepts(grammar, held, wrap(line)), line
    for line in (
        "COMMIT",
        "COMMIT 2",
        "COMMIT 4",
        "COMMIT 5",
        "COMMIT 3, 1",
        "COMMIT 1, 1",
        "COMMIT 1,",
        "COMMIT 1\nCOMMIT 1",
        'COMMIT 1\n1. text = "b"',
    ):
        assert not accepts(grammar, held, wrap(line)), line
    assert not accepts(grammar, held, "<answer>Done.</answer>") and not accepts(
        grammar, held, "<pause>"
    )  # call 2 lacks its text
    whole = writing(tools=NOTED, lines=lines[:1], final=True, **LINES)
    assert accepts(grammar, whole, "<answer>Done.</answer>") and not accepts(grammar, whole, "<pause>")
    assert not accepts(
        grammar, writing(tools=NOTED, lines=lines[:1], **LINES), wrap("COMMIT")
    )  # the user has not finished
    by_action = writing(tools=NOTED, lines=lines[:2], final=True, revise="amend")
    assert accepts(grammar, by_action, wrap('2. text = "b"')) and not accepts(grammar, by_action, wrap('1. text = "b"'))
    assert not accepts(grammar, by_action, wrap('REMOVE 2\n3. send-note("Bob")'))


def test_without_the_settings_there_are_no_amendments_and_no_commits(grammars):
    grammar = grammars("tiny")
    state = writing(tools=NOTED, lines=['1. send-note("Ann", "a")'], final=True)
    assert accepts(grammar, state, '<tool_call>\n2. send-note("Ann", "b")\n</tool_call>')
    for line in ('1. text = "b"', '1. text += "b"', "COMMIT", "COMMIT 1", '2. send-note("Ann")'):
        assert not accepts(grammar, state, f"<tool_call>\n{line}\n</tool_call>"), line


def test_parts_of_results_are_named_where_there_may_be_some(grammars):
    grammar = grammars("tiny")
    lines = ['1. get_phone_number("Bob")', '2. get_phone_number("Ann")', '3. get_phone_number("Sam")']
    state = writing(lines=lines, results=[ToolResult(3, 1, 1, "555"), ToolResult(4, 2, 1, {"phone": ["555"]})])
    wrap = '<tool_call>\n4. send_sms([{}], "x" + $2.phone[0])\n</tool_call>'.format
    for ref in ("$1", "$2", "$2.phone[0]", "$3", "$3.phone"):
        assert accepts(grammar, state, wrap(ref)), ref
    for ref in ("$1.phone", "$2.", "$2[-1]", "$2[01]"):
        assert not accepts(grammar, state, wrap(ref)), ref


def test_numbers_and_objects_have_one_text_so_that_none_slips_through(grammars):
    grammar = grammars("tiny")
    tools = (ToolSpec("at", (Param("x", {"type": "number"}), Param("where", {"type": "object"}, False)), "read"),)
    running = writing(tools=tools, lines=['1. at(0.5, {"a": 1, "b": [2]})'])
    wrap = "<tool_call>\n1. at({})\n</tool_call>".format
    for same in (
        '0.5, {"a": 1, "b": [2]}',
        '0.5, {"b": [2], "a": 1}',
        '0.5, {"a": 3, "b": [2], "a": 1}',
        '0.50, {"a": 1, "b": [2]}',
        '5e-1, {"a": 1, "b": [2]}',
        '0.50000000000000000001, {"a": 1, "b": [2]}',
        'x=0.5, where={"a": 1, "b": [2]}',
    ):
        assert not accepts(grammar, running, wrap(same)), same
    for new in (
        "0.5",
        '0.5, {"a": 1, "b": [3]}',
        '0.5, {"a": 1}',
        '0.51, {"a": 1, "b": [2]}',
        '-2, {"a": 1, "b": [2]}',
        "1e-05",
    ):
        assert accepts(grammar, running, wrap(new)), new


def test_a_write_is_not_asked_for_twice_unless_its_tool_may_be_repeated(grammars):
    grammar = grammars("tiny")
    tools = SHAPES["few_values"]
    first = ['1. mode("on")', '2. mode("off", true)']
    wrap = "<tool_call>\n3. {}\n</tool_call>".format
    held = writing(tools=tools, lines=first)
    assert not accepts(grammar, held, wrap('mode("on")'))
    assert accepts(grammar, held, wrap('mode("on", false)'))
    again = [replace(tools[0], repeatable=True), tools[1]]
    assert accepts(grammar, writing(tools=again, lines=first), wrap('mode("on")'))
    # every value taken: the tool itself is out of reach
    stop = writing(tools=SHAPES["bare"], lines=["1. stop()"])
    assert not accepts(grammar, stop, wrap("stop()").replace("3.", "2."))
    assert accepts(grammar, stop, wrap("ping()").replace("3.", "2."))


def test_where_a_turns_writes_are_spent_no_write_is_written_or_amended(grammars):
    """The core would refuse each; a model that amends a failed write again and again comes to an end."""
    grammar = grammars("tiny")
    said = writing(lines=['1. send_sms(["Bob"], "hi")'], **LINES)
    spent = [
        replace(said, turn_writes=said.settings.max_writes_per_turn),
        replace(said, session_writes=said.settings.max_writes_per_session),
    ]
    wrap = "<tool_call>\n{}\n</tool_call>".format
    writes = ['2. send_sms(["Bob"], "yo")', '1. send_sms(["Bob"], "yo")', '1. message = "yo"']
    assert [accepts(grammar, said, wrap(line)) for line in writes] == [True] * 3
    for state in spent:
        assert [accepts(grammar, state, wrap(line)) for line in writes] == [False] * 3
        assert accepts(grammar, state, wrap('2. get_weather("Oslo")')) and accepts(grammar, state, wrap("REMOVE 1"))
    assert accepts(grammar, replace(spent[1], extra_writes=1), wrap(writes[0]))


def test_ids_are_legal_in_references_revisions_and_removals(grammars):
    grammar = grammars("tiny")
    lines = ['1. get_phone_number("Bob")', '2. get_weather("Oslo")', "REMOVE 2", '3. send_sms([$1], "x")']
    state = writing(lines=lines)
    wrap = "<tool_call>\n{}\n</tool_call>".format
    assert accepts(grammar, state, wrap('4. send_sms([$1, $3, "+1"], "y " + $1)'))
    for line in (
        '4. send_sms([$2], "y")',
        '4. send_sms([$4], "y")',
        '2. get_weather("Rome")',
        "REMOVE 2",
        '5. get_weather("Rome")',
    ):
        assert not accepts(grammar, state, wrap(line)), line
    assert accepts(grammar, state, wrap('1. get_phone_number("Sam")\nREMOVE 3\n4. get_weather($1)'))
    assert not accepts(grammar, state, wrap("REMOVE 1\n4. get_weather($1)"))
    # the text message has gone out: it and the number it was sent to are frozen
    sent = writing(lines=lines, results=[ToolResult(3, 1, 1, "+1")], final=True)
    for event in (ModelOutput(11, sent.generation, "<pause>", (1,)), UserUpdate(12, "and", False), Appended(13, 1)):
        sent, _ = reducer.step(sent, event)
    assert sent.graph[3].frozen
    for line in ('1. get_phone_number("Sam")', "REMOVE 3", "REMOVE 1", '3. send_sms([$1], "z")'):
        assert not accepts(grammar, sent, wrap(line)), line


def test_one_call_an_action_where_the_mode_says_so(grammars):
    grammar, state = grammars("tiny"), writing(mode="sequential", final=True)
    one = '<tool_call>\n1. get_weather("Oslo")\n'
    assert accepts(grammar, state, one + "</tool_call>")
    assert not accepts(grammar, state, one + '2. get_weather("Rome")\n</tool_call>')


def test_text_without_tags_is_exactly_that():
    import re

    pattern = re.compile(untagged(r"\x00-\x1f", 60))
    draw = random.Random(3)
    # five pieces at most: the pattern takes no more than eight beginnings of tags in a row
    pieces = [*TAGS, "<", "</", ">", "think", "<thin", "<tool_", "call>", "a", "_interrupted>", "<partial", "/"]
    both = set()
    for _ in range(3000):
        text = "".join(draw.choices(pieces, k=draw.randrange(1, 6)))
        free = not any(tag in text for tag in TAGS)
        assert bool(pattern.fullmatch(text)) == free, text
        both.add(free)
    assert both == {True, False}


def test_tokens_that_are_added_to_the_tokenizer_never_come_inside_text(grammars):
    for name in ("tiny", "smollm2", "qwen"):
        grammar = grammars(name)
        constraint = grammar.begin(writing())
        for index in grammar.renderer.action_ids("<think>to: B"):
            constraint.push(index)
        allowed = set(np.flatnonzero(constraint.allowed()))
        assert allowed & set(grammar.renderer.tokenizer.added_tokens_decoder) == {grammar.renderer.tag_ids["</think>"]}
        assert len(allowed) > grammar.renderer.vocabulary_size // 2


def test_where_llguidance_gives_up_the_core_still_judges(grammars):
    grammar = ProtocolGrammar(grammars("tiny").renderer)
    constraint = grammar.begin(writing())
    constraint._matcher.consume_token(0)  # an error of its own stands for any limit that it may reach
    with pytest.warns(UserWarning, match="goes on unconstrained"):
        assert constraint.forced() == ()
    assert constraint.allowed() is None
    constraint.push(0)
    assert accepts(grammar, writing(), "<pause>")


def test_a_token_that_is_not_allowed_is_an_error(grammars):
    grammar = grammars("tiny")
    with pytest.raises(ValueError, match="not allowed after ''"):
        grammar.begin(writing()).push(grammar.renderer.tag_ids["<answer>"])


# --- texts made of what was said


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("Bob", True),
        ("text Bob", True),
        ("bob", True),
        ("Bob now", True),
        ("text now", True),
        ("", True),
        ("Rob", False),
        ("Bo", False),
        ("Bob Bob", False),
        ("now Bob", False),
        ("B Bob", False),
        ("message", False),
    ],
)
def test_grounded_texts_hold_only_words_that_were_said_in_their_order(grammars, text, fits):
    grammar = ProtocolGrammar(grammars("smollm2").renderer, grounded=True)
    written = f'<tool_call>1. get_phone_number("{text}")\n</tool_call>'
    assert accepts(grammar, writing(), written) is fits
    assert accepts(grammars("smollm2"), writing(), written)


def test_a_grounded_grammar_that_is_too_large_is_made_without_the_words(grammars, monkeypatch):
    """A minute of speech and ten calls that may change are more spellings than llguidance takes; the episode goes on
    all the same."""
    grammar = ProtocolGrammar(grammars("smollm2").renderer, grounded=True)
    made = grammar._matcher

    def refuses_words(key, make):
        if key[0] == "line" and key[1]:
            raise ValueError("grammar too big")
        return made(key, make)

    monkeypatch.setattr(grammar, "_matcher", refuses_words)
    assert accepts(grammar, writing(), '<tool_call>1. get_phone_number("Rob")\n</tool_call>')
    assert not accepts(grammar, writing(), "<tool_call>1. get_number(\n</tool_call>")
    assert len(grammar._too_large) == 2  # each of the two lines is asked for once, and not tried again


def test_grounded_texts_take_words_without_their_endings_and_quote_what_json_quotes():
    for said, text, fits in [
        (["what's", "Ann's", "number?"], "Ann", True),
        (["call", '"Bob"'], r"\"Bob\"", True),
        (["a/b", "c+d"], "a/b c+d", True),
        (["a/b"], "aab", False),
        ([], "", True),
        ([], "x", False),
        (["add", "two"], " two", False),
        (["ideas"], "Ideas", True),
    ]:
        assert bool(re.fullmatch(text_of(said).replace(r"\/", "/"), f'"{text}"')) is fits, (said, text)


def test_grounded_amendments_and_references(grammars):
    grammar = ProtocolGrammar(grammars("smollm2").renderer, grounded=True)
    state = writing(lines=['1. get_phone_number("Bob")'], revise="amend")
    assert accepts(grammar, state, '<tool_call>1. name += " now"\n</tool_call>')
    assert not accepts(grammar, state, '<tool_call>1. name += " then"\n</tool_call>')
    # a word of which the beginning was heard and taken goes on where it was cut
    cut = writing(lines=['1. get_phone_number("te")'], revise="amend")
    assert accepts(grammar, cut, '<tool_call>1. name += "xt Bob"\n</tool_call>')
    assert not accepts(grammar, cut, '<tool_call>1. name += "n"\n</tool_call>')
    assert not accepts(grammar, state, '<tool_call>1. name += "xt"\n</tool_call>')


def test_what_is_added_to_a_grounded_text_goes_on_with_its_last_word_or_after_it():
    for text, said, added, fits in [
        ("the", "the meet meeting has", " meeting has", True),
        ("the meet", "the meeting has moved", "ing moved", True),
        ("the meet", "the meeting has moved", " moved", False),
        ("the", "the meeting", "meeting", False),  # half a word first; a space
        ("recruitm", "the recruitment huddle also", "also", False),
        ("weekly kickoff", "weekly kickoff um kickoff at", " kickoff", False),
        ("Bo", "call Bob", "b", True),
        ("BO", "call Bob", "b", True),
        ("", "call Bob", "Bob", True),
        ("gone", "call Bob", " Bob", False),
    ]:
        regex, least = more_of(text, said.split())
        assert bool(re.fullmatch(regex, f'"{added}"')) is fits, (text, said, added)
        assert added in least or not fits or " " in added.strip(), (text, said, least)
    assert more_of("gone", ["call", "Bob"])[1] == more_of("x", [])[1] == []


def test_the_texts_of_a_few_words_are_those_and_no_others():
    words = ["a", "Bob", "c"]
    runs = {" ".join(run) for n in range(4) for run in itertools.combinations(words, n)}
    regex = text_of(words)
    for n in range(5):
        for run in itertools.product([*words, "d"], repeat=n):
            assert bool(re.fullmatch(regex, f'"{" ".join(run)}"')) is (" ".join(run) in runs), run


def test_a_grammar_grows_little_more_than_its_words():
    said = [f"word{n}" for n in range(120)]
    short, long = (len(regex) for regex in (text_of(said[:30]), text_of(said)))
    assert long < 8 * short < 40_000
    short, long = (len(more_of("word0", words)[0]) for words in (said[:30], said))
    assert long < 8 * short < 40_000


def test_words_said_twice_at_once_are_one_in_grounded_texts():
    assert without_repeats("any chance any chance the the tram has has been".split()) == tuple(
        "any chance the tram has been".split()
    )
    assert without_repeats("The the um the".split()) == ("the", "um", "the")
    assert not re.fullmatch(text_of(without_repeats("the the tram".split())), '"the the tram"')


def test_a_grounded_text_is_a_result_or_words_and_never_both(grammars):
    grounded = ProtocolGrammar(grammars("smollm2").renderer, grounded=True)
    state = writing(lines=['1. get_phone_number("Bob")'], results=[ToolResult(3, 1, 1, "+1")], revise="amend")
    for text, fits in [("$1", True), ('"Bob"', True), ('"Bob" + $1', False), ('$1 + "Bob"', False)]:
        written = f"<tool_call>2. send_sms([$1], {text})\n</tool_call>"
        assert accepts(grounded, state, written) is fits
        assert accepts(grammars("smollm2"), state, written)
    assert not accepts(grounded, state, "<tool_call>1. name += $1\n</tool_call>")


def test_what_the_user_has_not_said_is_neither_committed_nor_answered(grammars):
    grammar = ProtocolGrammar(grammars("smollm2").renderer, grounded=True)
    for message, held in [("te", True), ("text", False)]:
        state = writing(lines=[f'1. send_sms(["Bob"], "{message}")'], final=True, **LINES)
        assert unsaid(message, spelled("text Bob now".split())) is held
        for written in (
            "<tool_call>COMMIT\n</tool_call>",
            "<tool_call>COMMIT 1\n</tool_call>",
            "<answer>Sent.</answer>",
        ):
            assert accepts(grammar, state, written) is not held, (message, written)
            assert accepts(grammars("smollm2"), state, written)
    # it is mended, or taken back, and then it may go
    state = writing(lines=['1. send_sms(["Bob"], "te")'], final=True, **LINES)
    assert accepts(grammar, state, '<tool_call>1. message += "xt"\nCOMMIT\n</tool_call>')
    assert accepts(grammar, state, "<tool_call>REMOVE 1\n</tool_call>")


@pytest.mark.parametrize("shape", ["debug", "optional"])
def test_grounded_lines_never_run_into_a_dead_end(grammars, shape):
    grammar = ProtocolGrammar(grammars("tiny").renderer, grounded=True)
    for changes in ({}, {"revise": "amend", "commit": "line"}):
        _, rollouts, _ = play(grammar, SHAPES[shape], "speculative", range(6), **changes)
        assert refused(rollouts) == [] and writes(rollouts) > 10


# --- through the simulator


class Same:
    """A grammar that forces the given runs of tokens and lets the model choose one token between them."""

    def __init__(self, renderer, *runs):
        self.runs = [renderer.action_ids(run) for run in runs]

    def begin(self, state):
        return Run(list(self.runs))


class Run:
    def __init__(self, runs):
        self.runs, self.at, self.forcing = runs, 0, False

    def allowed(self):
        mask = np.zeros(4096, dtype=bool)
        mask[self.runs[0][0] if self.runs else 0] = True
        return mask

    def forced(self):
        return self.runs[0] if self.at % 2 and self.runs else ()

    def push(self, token):
        if not self.runs:
            return
        assert self.runs[0][0] == token
        self.runs[0] = self.runs[0][1:]
        if not self.runs[0]:
            self.runs.pop(0)
            self.at += 1


def one_episode(grammar, updates, renderer, specs=debug.TOOLS, limit_ns=20 * NS_PER_S):
    slow = Profile("slow", 10, 100, 0)
    episode = Episode(
        settings=settings("speculative"),
        profile=slow,
        toolbox=Box(specs),
        updates=updates,
        renderer=renderer,
        prompt_ids=renderer.prompt_ids("Help."),
        grammar=grammar,
        limit_ns=limit_ns,
    )
    model = Dice(renderer, 0.5)
    model.ending = np.zeros(4096, dtype=bool)
    return episode, run_batch([episode], model)[0], model


def outputs(rollout):
    return [(event.at_ns, event.text) for event, _ in rollout.history if isinstance(event, ModelOutput)]


def test_forced_tokens_take_the_time_of_prefill(grammars):
    renderer = grammars("tiny").renderer
    _, rollout, model = one_episode(
        Same(renderer, "<tool_call>", "\n1. get", "_"), [UserUpdate(0, "hi")], renderer, limit_ns=ns(4)
    )
    appended = next(event.at_ns for event, _ in rollout.history if isinstance(event, Appended))
    run = renderer.action_ids("\n1. get")
    drawn_ns = appended + NS_PER_S // 10
    forced = [drawn_ns + (n + 1) * NS_PER_S // 100 for n in range(len(run))]
    expected = [drawn_ns, *forced, forced[-1] + NS_PER_S // 10]
    assert [at_ns for at_ns, _ in outputs(rollout)][: len(expected)] == expected
    assert model.decoded == len(outputs(rollout)) - len(run)


@pytest.mark.parametrize("after", range(1, 6))
def test_an_event_cuts_inside_a_forced_run(grammars, after):
    renderer = grammars("tiny").renderer
    thought = "to: Bob; and so on"
    grammar = Same(renderer, "<think>", thought, "</think>", "<pause>")
    start_ns = one_episode(grammar, [UserUpdate(0, "hi")], renderer)[1].history[1][0].at_ns
    due = start_ns + NS_PER_S // 10 + after * NS_PER_S // 100
    episode, rollout, _ = one_episode(grammar, [UserUpdate(0, "hi"), UserUpdate(due, "there")], renderer)
    # at equal times the model's token comes first
    told = renderer.text(renderer.action_ids(thought)[:after])
    texts = [segment.text for segment in rollout.state.transcript if segment.kind in ("model", "think_interrupted")]
    assert "".join(texts).startswith("<think>" + told)
    kinds = [segment.kind for segment in rollout.state.transcript]
    assert kinds[1 : 4 + after] == ["model"] * (after + 1) + ["think_interrupted", "partial_query_update"]
    times = [event.at_ns for event, _ in rollout.history]
    assert times == sorted(times)
    assert episode.context.stream.ids == renderer.ids(rollout.prompt_ids, rollout.state.transcript)


@pytest.mark.parametrize("name", ["tiny", "smollm2"])
@pytest.mark.parametrize("interrupt", ["token", "line", "action"])
def test_the_models_context_is_the_transcript(grammars, name, interrupt):
    grammar = grammars(name)
    episodes, rollouts, _ = play(grammar, SHAPES["optional"], "speculative", range(6), brief=0.9, interrupt=interrupt)
    cuts = 0
    for episode, rollout in zip(episodes, rollouts, strict=True):
        times = [event.at_ns for event, _ in rollout.history]
        assert times == sorted(times)
        whole = grammar.renderer.ids(rollout.prompt_ids, rollout.state.transcript)
        there = episode.context.stream.ids
        cuts += sum(c.what == "cut" for _, commands in rollout.history for c in commands if isinstance(c, Note))
        # what came after the last generation waits to be taken in
        last = max(n for n, segment in enumerate(rollout.state.transcript) if segment.kind == "model")
        written = grammar.renderer.ids(rollout.prompt_ids, list(rollout.state.transcript)[: last + 1])
        assert whole[: len(there)] == there and len(there) >= len(written)
    assert cuts > 0


def test_a_batch_changes_no_episode(grammars):
    together, alone = (
        play(grammars("tiny"), SHAPES["debug"], "speculative", range(4), batch=size)[1] for size in (4, 1)
    )
    assert [rollout.history for rollout in together] == [rollout.history for rollout in alone]
