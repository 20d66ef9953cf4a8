"""The expert knows no secret of gold's, and the check counts an expert who does, each secret under its own counter."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from configs.schema import Config, DataConfig, EndpointConfig, ModelConfig
from data_gen.checks.faults import faults
from data_gen.checks.tally import COUNTERS, LOST
from data_gen.expert.listening import heard_in
from data_gen.generate import make_row, renderer
from data_gen.gold import read_calls
from data_gen.grounding import derivation, heard, reading
from data_gen.grounding.arguments import ground
from data_gen.grounding.derivation import DerivedReading
from data_gen.grounding.heard import as_heard, closes
from data_gen.grounding.reading import reading_of
from data_gen.sources import load
from data_gen.speech.mishearing import mishear
from data_gen.speech.timing import speak
from data_gen.task import Task
from data_gen.tasks.bfcl import AckToolbox
from data_gen.tasks.own_tools import tools_of
from data_gen.tasks.rows import task_of_row
from data_gen.tasks.twins import known_by, others
from midsentence.clock import ns
from midsentence.tools.tool import Param, ToolSpec, mismatch

TEXT = {"type": "string"}
TOOLS = (
    ToolSpec("forecast", (Param("city", TEXT), Param("day", TEXT)), "read", "Weather forecast of a city on a day"),
    ToolSpec("note", (Param("items", TEXT),), "write", "Note something"),
    ToolSpec("wait_for", (Param("minutes", {"type": "integer"}),), "read", "Wait"),
)


def asked(request: str, *calls: tuple[str, dict], tools=TOOLS, seed: int = 0) -> Task:
    words = request.split()
    accepted = [(name, {param: [value] for param, value in args.items()}) for name, args in calls]
    specs = {spec.name: spec for spec in tools}
    gold = ground(words, read_calls(accepted, specs), specs)
    return Task("own", "jsonl", "train", speak(words, seed), tools, gold, lambda: AckToolbox("own", tools))


def forecast(*days: str) -> Task:
    request = f"the forecast for Paris on {' and '.join(days)} please thank you"
    return asked(request, *(("forecast", {"city": "Paris", "day": day}) for day in days))


def understood(task: Task, *heard_words: str, final: bool = False) -> list[tuple]:
    return [(w.spec.name, dict(w.args), w.complete) for w in reading_of(task).wanted(heard_words, final)]


def test_nobody_knows_how_many_calls_there_will_be_before_something_tells_them_apart():
    one, three = forecast("Monday"), forecast("Monday", "Tuesday", "Friday")
    assert len(three.gold) == 3
    for count in range(7):
        said = one.said(count)
        assert said == three.said(count) and understood(one, *said) == understood(three, *said)
    assert understood(three, *three.said(6)) == [("forecast", {"city": "Paris"}, False)]
    assert len(understood(three, *three.said(), final=True)) == 3


def test_at_a_false_end_two_calls_that_are_alike_so_far_are_one():
    tools = (ToolSpec("compare", (Param("a", TEXT), Param("style", TEXT, False)), "read", "Compare"),)
    task = asked(
        "compare gorillas in percent and fraction",
        ("compare", {"a": "gorillas", "style": "percent"}),
        ("compare", {"a": "gorillas", "style": "fraction"}),
        tools=tools,
    )
    assert understood(task, *task.said(2), final=True) == [("compare", {"a": "gorillas"}, True)]
    assert len(understood(task, *task.said(), final=True)) == 2


def test_a_conjunction_does_not_tell_where_a_value_ends():
    short = asked("note milk and then thank you", ("note", {"items": "milk"}))
    long = asked("note milk and eggs and thank you", ("note", {"items": "milk and eggs"}))
    for count in range(4):
        assert understood(short, *short.said(count)) == understood(long, *long.said(count)) and short.said(
            count
        ) == long.said(count)
    assert [w for w in understood(short, "note", "milk", "and", "then") if w[2]] == [("note", {"items": "milk"}, True)]
    assert understood(long, *long.said(6))[0][1] == {"items": "milk and eggs"}


def test_what_closes_a_value_is_a_word_that_it_can_not_go_on_with():
    assert not any(map(closes, ("and", "in", "the", "Of", "um", "and,")))
    assert all(map(closes, ("please", "Tuesday", "then", "is")))


def test_a_misheard_value_is_taken_as_it_was_heard_and_mended_when_the_recogniser_does():
    task = asked("note Smith please", ("note", {"items": "Smith"}))
    assert understood(task, "note", "Smit", "please")[0][1] == {"items": "Smit"}
    assert understood(task, "note", "Smith", "please")[0][1] == {"items": "Smith"}
    # case and punctuation can't be heard
    assert understood(task, "note", "smith,", "please")[0][1] == {"items": "Smith"}
    # a word that names a tool, and is heard as none, names none
    assert understood(forecast("Monday"), "the", "forec", "for", "Paris", "on") == []


def test_a_misheard_number_is_the_number_that_was_heard_and_no_other_word_is_one():
    task = asked("wait for four minutes please", ("wait_for", {"minutes": 4}))
    assert [understood(task, "wait", "for", word, "minutes", "please")[0][1] for word in ("four", "nine", "for")] == [
        {"minutes": 4},
        {"minutes": 9},
        {},
    ]


@pytest.mark.parametrize("source", ["assistant", "naturalistic", "debug"])
def test_what_is_heard_is_read_alike_whether_it_was_said_or_misheard(source):
    taken = 0
    for task in load(
        Config(data=DataConfig(source=source, sizes={"train": 30}), model=ModelConfig(name="tiny")), "train"
    )[:30]:
        for count in range(1, len(task.words) + 1):
            if (wrong := mishear(task.words[count - 1].text)) is None:
                continue
            said = (*task.said(count - 1), wrong)
            for final in (False, True):
                found = [(w.spec.name, dict(w.args), w.complete) for w in reading_of(task, 0.5, 1).wanted(said, final)]
                for other in (as_heard(task, said), as_heard(known_by(task, count), said)):
                    assert found == [
                        (w.spec.name, dict(w.args), w.complete) for w in reading_of(other, 0.5, 1).wanted(said, final)
                    ]
                taken += wrong in str(found)
    assert taken > 10


def counted(task: Task, other: Task, **changes) -> dict[str, int]:
    """The counters of rows of one task, with several speakers' updates."""
    data = DataConfig(source="jsonl", modes=["speculative"], **changes)
    config = Config(data=data, model=ModelConfig(name="tiny"))
    totals = dict.fromkeys(COUNTERS, 0)
    for n in range(6):
        row = make_row(config, task, "train", n)
        for name in faults(config, row, task, other, renderer(config)) - {LOST}:  # what a wrong end costs is no fault
            totals[name] += 1
    return {name: count for name, count in totals.items() if count}


OTHER = asked("note bread please", ("note", {"items": "bread"}))


def test_an_honest_expert_is_not_counted():
    for task in (
        forecast("Monday", "Tuesday", "Friday"),
        asked("note milk and then thank you", ("note", {"items": "milk"})),
    ):
        assert counted(task, OTHER) == counted(task, OTHER, revision_rate=1.0) == {}


def test_an_expert_who_knows_how_many_calls_there_will_be_is_counted(monkeypatch):
    monkeypatch.setattr(reading, "_told_apart", tuple)
    found = counted(forecast("Monday", "Tuesday", "Friday"), OTHER)
    assert found.get("knew_number", 0) >= 3 and not {"knew_extent", "knew_misheard"} & set(found)


def test_an_expert_who_knows_where_a_value_ends_is_counted(monkeypatch):
    # as any word did that gold's value does not go on with; what is held would be drafted alike
    monkeypatch.setattr(reading, "closes", lambda word: True)
    found = counted(
        asked("the forecast for Paris on Monday and then thank you", ("forecast", {"city": "Paris", "day": "Monday"})),
        OTHER,
    )
    assert found.get("knew_extent", 0) >= 3 and not {"knew_number", "knew_misheard"} & set(found)


@pytest.mark.parametrize("source", ["assistant", "naturalistic", "written"])
def test_the_extent_of_a_value_is_no_secret_of_generated_and_marked_requests(source):
    """They are derived, not grounded; "text it to Ann and" tells no more there of whether Bob gets it too."""
    for task in load(
        Config(data=DataConfig(source=source, sizes={"test": 60}), model=ModelConfig(name="tiny")), "test"
    )[:60]:
        said = task.said()
        for edit in task.reading.edits:
            if edit.op == "put" and edit.closes is not None and edit.closes > edit.end:
                assert closes(said[edit.closes - 1]), (task.id, said[edit.start : edit.closes])


def test_a_generated_request_that_knows_where_a_value_ends_is_counted():
    def planted(task: Task) -> Task:
        """It takes whatever word comes next for the end of a value."""
        edits = tuple(
            replace(edit, closes=edit.end + 1) if edit.op == "put" and (edit.closes or 0) > edit.end + 1 else edit
            for edit in task.reading.edits
        )
        return replace(task, reading=replace(task.reading, edits=edits))

    tasks = load(
        Config(data=DataConfig(source="assistant", sizes={"train": 12}), model=ModelConfig(name="tiny")), "train"
    )[:12]
    pairs = [(task, leaky) for task in tasks if (leaky := planted(task)) != task][:4]
    found = [
        (counted(task, tasks[-1], period_s=0.05), counted(leaky, tasks[-1], period_s=0.05)) for task, leaky in pairs
    ]
    assert (
        not any("knew_extent" in clean for clean, _ in found) and sum("knew_extent" in leaky for _, leaky in found) >= 2
    )


TIMER = {"endpoint": "timer", "endpoints": {"timer": EndpointConfig(delay_s=0.5, false_rate=1.0)}}


def paused(task: Task, before: int, s: float = 2.0) -> Task:
    """The task with a silence before a word."""
    late = [ns(s) * (n >= before) for n in range(len(task.words))]
    words = [replace(word, start_ns=word.start_ns + by, end_ns=word.end_ns + by) for word, by in zip(task.words, late)]
    return replace(task, words=tuple(words))


def test_at_a_false_end_a_value_is_what_was_heard_of_it():
    short, long = (
        asked("note milk", ("note", {"items": "milk"})),
        asked("note milk bread", ("note", {"items": "milk bread"})),
    )
    for task in (short, long):
        assert understood(task, "note", "milk", final=True) == [("note", {"items": "milk"}, True)]
    assert understood(long, "note", "milk") == understood(short, "note", "milk") == [("note", {}, False)]
    assert understood(long, "note", "milk", "bread", final=True)[0][1] == {"items": "milk bread"}


def test_at_a_false_end_of_which_more_is_bound_to_come_no_request_takes_its_last_value():
    short = asked("note milk and then thank you", ("note", {"items": "milk"}))
    long = asked("note milk and eggs and thank you", ("note", {"items": "milk and eggs"}))
    for task in (short, long):
        assert understood(task, "note", "milk", "and", final=True) == [("note", {}, False)]


@pytest.mark.parametrize("said", ["I'm sorry", "I’m so sorry", "the answer she said no", "I can’t wait"])
def test_what_a_text_ends_on_is_said_though_elsewhere_it_takes_back(said):
    request = f"note {said}"
    assert not heard.leaves_open(request.split()) and heard.hanging_from(request.split()) == len(request.split())
    task = asked(request, ("note", {"items": said}))
    assert understood(task, *request.split(), final=True) == [("note", {"items": said}, True)]


@pytest.mark.parametrize(
    "said", ["milk sorry", "milk, no", "I'm, sorry", "ten am sorry", "milk no wait", "milk actually", "sorry", "no"]
)
def test_what_stands_before_a_word_that_takes_back_is_in_doubt(said):
    assert heard.leaves_open(said.split()) and heard.hanging_from(said.split()) < len(said.split())


def test_a_generated_text_is_what_was_heard_of_it_at_every_end_and_what_hangs_waits():
    taken = waited = 0
    for task in load(
        Config(data=DataConfig(source="assistant", sizes={"test": 40}), model=ModelConfig(name="tiny")), "test"
    )[:40]:
        for edit in task.reading.edits:
            if edit.op != "put" or not edit.spoken or not edit.value or not (clause := edit.value[0].split())[2:]:
                continue
            for cut in range(edit.start + 1, edit.end):
                said = task.said(cut)
                texts = [str(value) for want in reading_of(task).wanted(said, True) for value in want.args.values()]
                if heard.leaves_open(said):
                    waited += 1
                    assert not any(text.split()[-1:] == [said[-1]] for text in texts if " " in text), (task.id, said)
                else:
                    taken += " ".join(clause[: cut - edit.start]) in texts
    assert taken > 40 and waited > 10


@pytest.mark.parametrize(
    "words",
    [
        "pay it with PayPal, and",
        "text Lucinda to bring a chair, it's a",
        "check out with PayPal, hmm, there's",
        "drive home, oh no",
        "forward it to Quentin, no, not",
        "book it on Wednesday at",
        "remind me at six, um",
        "tell her that I'm",
    ],
)
def test_words_that_break_off_are_not_taken_for_all(words):
    assert heard.breaks_off(words.split())


@pytest.mark.parametrize(
    "words",
    [
        "what does it come to",
        "no, Ray with an A",
        "take me to gate A",
        "I'd rather not",
        "tell her no",
        "the hospital she's at",
        "tell Bob I'm sorry",
        "turn the lights on",
        "where am I",
        "is Bob's",
        "",
    ],
)
def test_words_that_a_request_may_end_on_do_not_break_off(words):
    assert not heard.breaks_off(words.split())


def test_a_value_is_not_taken_while_it_is_being_taken_back():
    row = {
        "id": "t",
        "request": "text Marco, no sorry, Marcus, that the van is late",
        "calls": [
            {"name": "get_phone_number", "args": {"name": ["Marcus"]}},
            {"name": "send_sms", "args": {"recipients": [["$1"]], "message": ["The van is late"]}},
        ],
        "spans": [
            {"tool": "text", "args": {"name": [{"words": "Marco", "value": "Marco"}, "Marcus"]}},
            {"tool": "text", "args": {"message": "the van is late"}},
        ],
    }
    task = task_of_row(row, tools_of("assistant"))
    calls = [understood(task, *task.said(n), final=True) for n in (2, 3, 4, 5)]
    names = [[args.get("name") for tool, args, _ in found if tool == "get_phone_number"] for found in calls]
    assert names == [["Marco"], [None], [None], ["Marcus"]]
    assert understood(task, *task.said(8), final=True)[1][1]["message"] == "the van"


def test_half_a_choice_is_none(bfcl_wheel):
    """BFCL's parallel_189 ended in invalid actions: "Picnic" of "Picnic Area" is no amenity."""
    task = next(
        task
        for split in ("train", "validation", "test")
        for task in load(
            Config(data=DataConfig(source="bfcl", sizes={split: 600}), model=ModelConfig(name="tiny")), split
        )
        if task.id == "parallel_189"
    )
    taken = set()
    for count in range(1, len(task.words)):
        for want in reading_of(task).wanted(task.said(count), True):
            schemas = {param.name: param.schema for param in want.spec.params}
            taken |= {str(value) for value in want.args.values()}
            assert not [name for name, value in want.args.items() if mismatch(value, schemas[name])], (count, want.args)
    assert "['Tennis Court']" in taken and "['Tennis Court', 'Picnic Area']" in taken


def test_half_a_choice_of_a_marked_request_is_none(tmp_path):
    tools = tmp_path / "tools.json"
    tools.write_text(
        json.dumps(
            [
                {
                    "name": "seat",
                    "description": "Books a seat.",
                    "parameters": {
                        "type": "object",
                        "properties": {"kind": {"type": "string", "enum": ["window seat", "aisle seat"]}},
                        "required": ["kind"],
                    },
                }
            ]
        )
    )
    row = {
        "id": "t",
        "request": "book me a seat, a window seat please",
        "calls": [{"name": "seat", "args": {"kind": ["window seat"]}}],
        "spans": [{"tool": "book me a seat", "args": {"kind": "window seat"}}],
    }
    task = task_of_row(row, tools_of(str(tools)))
    ends = [reading_of(task).wanted(task.said(n), True)[0].args for n in (5, 6, 7)]
    assert ends == [{}, {}, {"kind": "window seat"}]


@pytest.mark.parametrize("source", ["assistant", "naturalistic", "written", "bfcl"])
def test_at_every_end_a_request_reads_like_the_one_that_really_ends_there(source):
    for task in load(Config(data=DataConfig(source=source, sizes={"test": 8}), model=ModelConfig(name="tiny")), "test")[
        :8
    ]:
        for count in range(1, len(task.words)):
            said = task.said(count)
            own = understood(task, *said, final=True)
            for name, other in {"peeked": known_by(task, count), **others(task, said, True)}.items():
                assert understood(other, *said, final=True) == own, (task.id, name, said)


def test_an_expert_who_declines_a_value_that_a_false_end_cuts_is_counted(monkeypatch):
    task = paused(asked("note weekly milk bread please thank you", ("note", {"items": "weekly milk bread"})), 3)
    assert counted(task, OTHER, **TIMER) == {}
    monkeypatch.setattr(reading, "cut_off", lambda gold, said, spec: gold)
    assert counted(task, OTHER, **TIMER).get("knew_extent_at_end", 0) >= 3


def test_a_generated_value_that_a_false_end_cuts_and_that_is_declined_is_counted(monkeypatch):
    tasks = load(
        Config(data=DataConfig(source="assistant", sizes={"train": 20}), model=ModelConfig(name="tiny")), "train"
    )[:20]
    found = next(
        (task, edit)
        for task in tasks
        for edit in task.reading.edits
        if edit.slot == "message"
        and edit.spoken
        and edit.end - edit.start > 3
        and not heard.hangs(task.words[edit.end - 2].text)
    )
    task = paused(found[0], found[1].end - 1)
    assert "knew_extent_at_end" not in counted(task, tasks[1], **TIMER)
    monkeypatch.setattr(
        derivation, "_told", lambda words, final: "" if final else derivation.Growing(heard.so_far(words))
    )
    assert counted(task, tasks[1], **TIMER).get("knew_extent_at_end", 0) >= 3


def test_an_expert_who_knows_what_was_misheard_is_counted(monkeypatch):
    honest = reading.GroundedReading.wanted

    def wanted(self, said, final):
        right = next((n for n, (a, b) in enumerate(zip(said, self.task.said())) if a != b), len(said))
        return honest(self, said[:right], final)

    monkeypatch.setattr(reading.GroundedReading, "wanted", wanted)
    task = asked("note butter with bread please thank you", ("note", {"items": "butter"}))
    found = counted(task, OTHER, revision_rate=1.0, period_s=0.05)
    assert found.get("knew_misheard", 0) >= 3 and not {"knew_number", "knew_extent"} & set(found)


def test_an_expert_who_knows_where_speech_ends_is_counted(monkeypatch):
    task = asked("note milk please and thank you very much", ("note", {"items": "milk"}))
    honest = reading.GroundedReading.wanted
    monkeypatch.setattr(  # it is quick where much is still to come, and waits for the end where little is
        reading.GroundedReading,
        "wanted",
        lambda self, said, final: honest(self, said, final) if final or len(self.task.words) > 6 else (),
    )
    assert counted(task, OTHER, period_s=0.05).get("knew_end", 0) >= 1


def test_the_others_differ_in_one_secret_each():
    task = forecast("Monday", "Tuesday", "Friday")
    found = others(task, task.said(5), False)
    assert set(found) == {"number", "extent"} and len(found["number"].gold) == 2 * len(task.gold)
    assert set(others(task, ("the", "forecas"), False)) == {"number", "misheard"}
    assert "extent" not in others(task, task.said(5), True)
    assert isinstance(reading_of(load(Config(), "train")[0]), reading.GroundedReading | DerivedReading)
    assert heard_in(()) == () and heard.misheard(task, task.said()) == {}
