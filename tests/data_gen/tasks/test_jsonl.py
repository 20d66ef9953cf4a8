"""Tools and requests of one's own: the page's example, what is refused and why, and other projects' rows."""

from __future__ import annotations

import json
import re
from pathlib import Path

import datasets
import pytest

from data_gen import generate
from data_gen.episodes import make_episode
from data_gen.expert.edits import reconcile
from data_gen.expert.player import Expert
from data_gen.gold import read_value, references
from data_gen.grounding.heard import as_said, cut_value
from data_gen.grounding.reading import reading_of
from data_gen.sources import inputs
from data_gen.task import BadTask, Evidence, GoldArg, Reference
from data_gen.tasks import formats, gathered, jsonl
from data_gen.tasks.own_tools import tools_of
from data_gen.tasks.rows import SHARES, split_of, task_of_row
from data_gen.trajectory import read_rows
from midsentence.clock import Profile, ns
from midsentence.core.calls import CallState
from midsentence.core.events import Emit, StartTool
from midsentence.core.modes import settings
from midsentence.core.reducer import start
from midsentence.models.load import load_renderer
from midsentence.tools.foreign import tool_specs
from midsentence.tools.manual import manual
from tests.test_configs import composed

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = ROOT / "docs/examples/restaurant"
HANDWRITTEN = ROOT / "data_gen/tasks/handwritten.jsonl"
TOOLS = [
    {
        "name": "lookup",
        "access": "read",
        "description": "Looks up a city",
        "returns": "string",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
    {
        "type": "function",
        "function": {
            "name": "pay",
            "description": "Pays somebody",
            "parameters": {
                "type": "object",
                "required": ["amount"],
                "properties": {"amount": {"type": "string"}, "note": {"type": "string"}},
            },
        },
    },
]
COMMIT = "0123456789" * 4
ROW = {
    "id": "a",
    "request": "look up Lima and pay $20 please",
    "calls": [
        {"name": "lookup", "args": {"city": ["Lima"]}},
        {"name": "pay", "args": {"amount": ["$20"], "note": [""]}},
    ],
}


def rows_file(folder: Path, *rows: object, name: str = "requests.jsonl") -> str:
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def tools_file(folder: Path, tools: object = TOOLS) -> str:
    path = folder / "tools.json"
    path.write_text(json.dumps(tools))
    return str(path)


def load(folder: Path, *rows: object, tools: object = TOOLS) -> jsonl.Loaded:
    return jsonl.load(rows_file(folder, *rows), tools_file(folder, tools))


def reason(folder: Path, change: dict) -> str:
    loaded = load(folder, ROW | change)
    assert not loaded.tasks and len(loaded.rejected) == 1
    return loaded.rejected[0][1]


def rolled(task):
    """The expert's episode."""
    return make_episode(
        task,
        "speculative",
        Profile("p", 60, 600, ns(0.01)),
        load_renderer("tiny", "token", "none"),
        agent=composed().agent,
        data=composed().data,
        seed=0,
        planner=Expert(task, reading_of(task)),
    ).run()


def told(rollout) -> str:
    """What the user was told last."""
    return [command.text for _, commands in rollout.history for command in commands if isinstance(command, Emit)][-1]


def played(task) -> list[tuple[str, dict]]:
    """What the expert does on a task, as (tool, arguments)."""
    rollout = rolled(task)
    assert rollout.outcome == "answered"
    calls = [call for _, call in sorted(rollout.state.graph.calls.items()) if call.state is not CallState.CANCELLED]
    return [(call.spec.name, dict(call.args)) for call in calls]


# -- the page -------------------------------------------------------------------------------------------------------


def test_the_pages_example_gives_the_output_on_the_page(tmp_path, capsys):
    page = (ROOT / "docs/bring-your-own.md").read_text()
    command = re.search(r"python -m data_gen\.generate (experiment=jsonl (?:.|\\\n)*?)\n\n", page)[1].replace(
        "\\\n", " "
    )
    options = [part.strip("'") for part in re.findall(r"'[^']*'|\S+", command)]
    options = [
        f"{o.split('=')[0]}={ROOT / o.split('=', 1)[1]}" if o.startswith(("tools=", "requests=")) else o
        for o in options
    ]
    generate.main(composed(*[o for o in options if not o.startswith("out=")], f"out={tmp_path}", "model=tiny"))
    said = capsys.readouterr().out.replace(str(tmp_path), "outputs/data/restaurant").splitlines()
    untimed = [re.sub(r" in [\d.]+ s \(\d+ a second", " in … s (… a second", line) for line in said]
    assert untimed == [
        "rejected line 8 (r8): call 1: no words reveal find_table.people (number): [2]",
        "rejected rows: 1 (outputs/data/restaurant/rejected.jsonl)",
        "21 trajectories in … s (… a second, 1 workers)",
        "data: outputs/data/restaurant",
    ]
    for line in (*untimed[:2], untimed[3]):
        assert line in page, f"docs/bring-your-own.md does not show: {line}"
    assert json.loads((tmp_path / "rejected.jsonl").read_text())["row"] == "line 8 (r8)"
    outcomes = [row.outcome for split in ("train", "validation", "test") for row in read_rows(tmp_path, split)]
    assert outcomes == ["answered"] * 21


def test_the_example_reaches_gold_prices_and_all():
    loaded = jsonl.load(str(EXAMPLE / "requests.jsonl"), str(EXAMPLE / "tools.json"))
    tasks = {task.id: task for task in loaded.tasks}
    assert [task.split for task in tasks.values()] == ["train"] * 4 + ["validation"] + ["test"] * 2
    assert played(tasks["r3"]) == [("buy_voucher", {"amount": "$20", "restaurant": "The Blue Door"})]
    assert [name for name, _ in played(tasks["r1"])] == ["find_table", "book"]


# -- rows of our own ------------------------------------------------------------------------------------------------


def test_a_price_is_no_reference(tmp_path):
    (task,) = load(tmp_path, ROW).tasks
    assert references(read_value(["$2", "from $20"], 20)) == (2, 20) and references(
        read_value(["$2", "from $20"], 2)
    ) == (2,)
    assert sorted(played(task)) == [("lookup", {"city": "Lima"}), ("pay", {"amount": "$20"})]


def test_real_timings_pass_through_unchanged(tmp_path):
    timed = [[text, 0.1 + 0.5 * n, 0.4 + 0.5 * n] for n, text in enumerate(ROW["request"].split())]
    (task,) = load(tmp_path, ROW | {"words": timed}).tasks
    assert [(word.text, word.start_ns, word.end_ns) for word in task.words] == [
        (t, round(a * 1e9), round(b * 1e9)) for t, a, b in timed
    ]
    assert task.words[0].start_ns == 100_000_000


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"request": ""}, "field 'request' is missing or empty"),
        ({"speech": 1}, "unknown field 'speech'; use answer, calls"),
        ({"calls": [{"name": "sell", "args": {}}]}, "calls 'sell', which is not among the tools: lookup, pay"),
        (
            {"calls": [{"name": "lookup", "args": {"city": "Lima"}}]},
            'call 1: city must be a list of accepted values, as ["Lima"]',
        ),
        (
            {"calls": [{"name": "lookup", "args": {"city": ["Oslo"]}}]},
            'call 1: no words reveal lookup.city (text): ["Oslo"]',
        ),
        ({"calls": [{"name": "lookup", "args": {"town": ["Lima"]}}]}, "call 1: lookup has no parameter 'town'"),
        ({"calls": [ROW["calls"][0]] * 2}, "the same call twice: the protocol refuses a second equal call"),
        (
            {"calls": [{"name": "pay", "args": {"amount": ["$2"]}}, ROW["calls"][0]], "hear_out": True},
            "call 1 takes $2, the result of a call that is not before it",
        ),
        ({"words": [["look", 0, 1]]}, "its words say 'look', which is not the request"),
        ({"words": [[t, 1.0, 0.5] for t in ROW["request"].split()]}, "word 'look' lasts from 1.0 to 0.5 s"),
        ({"split": "dev"}, "split is 'dev'; use one of train, validation, test"),
        ({"calls": [{"args": {}}]}, 'call 1 has no name; give {"name", "args"}'),
        ({"calls": [7]}, 'call 1 is 7; give {"name", "args"}'),
        ({"calls": [{"name": "lookup", "argumets": {}}]}, "call 1: unknown field 'argumets'; use name and args"),
        ({"calls": [{"name": "lookup", "args": {}, "arguments": {}}]}, "call 1 has both args and arguments"),
        ({"calls": [{"name": "lookup", "args": ["Lima"]}]}, "call 1: args must be an object of parameters"),
        ({"calls": [{"name": "lookup", "arguments": "{"}]}, "call 1: arguments is a text that is no JSON"),
        ({"calls": None}, "field 'calls' is missing; give a list, an empty one where no tool is needed"),
        ({"calls": []}, "it has no call, so it needs an answer"),
    ],
)
def test_every_row_that_cant_be_used_is_named_with_its_reason(tmp_path, change, says):
    assert says in reason(tmp_path, change)


def test_bad_lines_and_doubles_are_named_by_their_line(tmp_path):
    path = rows_file(tmp_path, ROW, ROW)
    Path(path).write_text(Path(path).read_text() + "{nonsense\n[1]\n")
    loaded = jsonl.load(path, tools_file(tmp_path))
    assert [name for name, _ in loaded.rejected] == ["line 2 (a)", "line 3", "line 4"]
    assert loaded.rejected[0][1] == "its id 'a' is that of line 1 (a) already"
    assert loaded.rejected[1][1].startswith("is no JSON") and "is in no known format" in loaded.rejected[2][1]


def test_a_result_must_fit_where_it_goes(tmp_path):
    row = {
        "id": "b",
        "request": "look up Lima and pay it",
        "calls": [ROW["calls"][0], {"name": "pay", "args": {"amount": ["$1"]}}],
    }
    assert len(load(tmp_path, row).tasks) == 1
    numbers = [TOOLS[0] | {"returns": "integer"}, TOOLS[1]]
    assert "call 2: pay.amount must be string, got" in load(tmp_path, row, tools=numbers).rejected[0][1]


def test_splits_follow_from_ids_unless_a_row_says(tmp_path):
    rows = [ROW | {"id": f"n{n}"} for n in range(200)] + [ROW | {"id": "own", "split": "test"}]
    tasks = load(tmp_path, *rows).tasks
    counts = {split: sum(task.split == split for task in tasks) for split in SHARES}
    assert sum(counts.values()) == 201 and 140 < counts["train"] < 180 and min(counts.values()) > 5
    assert next(task.split for task in tasks if task.id == "own") == "test"
    assert [task.split for task in load(tmp_path, *rows[::-1]).tasks[::-1]] == [task.split for task in tasks]


def test_an_empty_split_says_what_there_is(tmp_path):
    path, tools = rows_file(tmp_path, ROW | {"split": "train"}), tools_file(tmp_path)
    with pytest.raises(ValueError, match=r"no usable row in split 'test' \(train 1, validation 0, test 0\); add rows"):
        jsonl.tasks("test", path, tools)


@pytest.mark.parametrize(
    "call",
    [
        {"name": "lookup", "arguments": {"city": "Lima"}},
        {"name": "lookup", "arguments": '{"city": "Lima"}'},
        {"id": "call_1", "type": "function", "function": {"name": "lookup", "arguments": '{"city": "Lima"}'}},
        {"name": "lookup", "args": {"city": ["Lima"]}},
    ],
)
def test_a_call_may_be_spelt_as_the_chat_interfaces_do(tmp_path, call):
    loaded = load(tmp_path, ROW | {"calls": [call]})
    assert loaded.rejected == []
    assert [(gold.name, dict(gold.args)) for gold in loaded.tasks[0].gold] == [("lookup", {"city": GoldArg(("Lima",))})]
    assert loaded.rows[0]["calls"] == [{"name": "lookup", "args": {"city": ["Lima"]}}]


def test_a_call_without_arguments_needs_none(tmp_path):
    tools = [TOOLS[0], {"name": "refresh", "description": "Refreshes the feed", "access": "read"}]
    row = {"id": "n", "request": "please refresh the feed now", "calls": [{"name": "refresh"}]}
    assert played(load(tmp_path, row, tools=tools).tasks[0]) == [("refresh", {})]


def test_a_request_may_need_no_tool_or_a_question_back(tmp_path):
    rows = [
        {"id": "thanks", "request": "thank you that is all", "calls": [], "answer": "You're welcome."},
        {"id": "back", "request": "pay the bill please", "calls": [], "answer": ["How much is it?"]},
    ]
    loaded = load(tmp_path, *rows)
    assert loaded.rejected == [] and [task.gold for task in loaded.tasks] == [(), ()]
    rollout = rolled(loaded.tasks[1])
    assert (rollout.outcome, told(rollout), len(rollout.state.graph.calls)) == ("answered", "How much is it?", 0)


def test_an_answer_quotes_the_result_and_not_its_number(tmp_path):
    row = {
        "id": "q",
        "request": "look up Lima please",
        "calls": ROW["calls"][:1],
        "answer": ["It's $1 degrees, not $20"],
    }
    (task,) = load(tmp_path, row).tasks
    result = task.toolbox().run("lookup", {"city": "Lima"})
    assert task.answer == (f"It's {result} degrees, not $20",)
    said = told(rolled(task))
    assert result in said and "$1" not in said


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            {"answer": "Paid: $2"},
            "the answer quotes $2, but pay is a write, and no answer waits for what a write returns; leave it out",
        ),
        (
            {
                "request": "look up Lima and pay it",
                "calls": [ROW["calls"][0], {"name": "pay", "args": {"amount": ["$1"]}}],
                "answer": "It was $1",
            },
            "the answer quotes $1, but another call takes it, and the answer does not wait for it",
        ),
    ],
)
def test_an_answer_quotes_only_what_it_waits_for(tmp_path, change, says):
    assert says in reason(tmp_path, change)


def test_an_answer_quotes_no_result_that_is_another_each_time(tmp_path):
    path = tmp_path / "own.py"
    path.write_text(
        PYTHON_TOOLS.replace("return state[city]", "return next(count)")
        + "\nimport itertools\ncount = itertools.count()\n"
    )
    row = {"id": "q", "request": "look up Lima please", "calls": ROW["calls"][:1], "answer": ["It's $1"]}
    assert jsonl.load(rows_file(tmp_path, row), str(path)).rejected == [
        ("line 1 (q)", "the answer quotes $1, but lookup returns something else each time; leave it out")
    ]


BASKET = [
    {
        "name": "order",
        "description": "Orders a basket",
        "parameters": {
            "type": "object",
            "required": ["basket"],
            "properties": {
                "basket": {
                    "type": "object",
                    "properties": {
                        "items": {"type": "array", "items": {"type": "string"}},
                        "shop": {"type": "string"},
                        "notes": {"type": "array", "items": {"type": "object"}},
                    },
                }
            },
        },
    }
]


def test_a_list_in_an_object_is_a_list(tmp_path):
    basket = {"items": ["milk", "eggs"], "shop": "Aldi", "notes": [{"kind": "fragile", "marks": ["red", "blue"]}]}
    request = "order milk and eggs from Aldi fragile red and blue"
    row = {"id": "o", "request": request, "calls": [{"name": "order", "args": {"basket": [basket]}}]}
    (task,) = load(tmp_path, row, tools=BASKET).tasks
    assert task.gold[0].args == {"basket": GoldArg((basket,))}
    assert played(task) == [("order", {"basket": basket})]
    empty = {"name": "order", "args": {"basket": [basket | {"shop": ""}]}}
    assert (
        load(tmp_path, row | {"calls": [empty]}, tools=BASKET)
        .rejected[0][1]
        .startswith('call 1: basket.shop is "", which no words say')
    )


@pytest.mark.parametrize(
    ("request_", "name", "value"),
    [
        ("switch off the lamp", "on", False),
        ("please unlock the front door", "locked", False),
        ("don't unlock it", "locked", True),
        ("disable the alarm", "enabled", False),
        ("stop the fan", "running", False),
        ("unmute the tv", "muted", False),
        ("turn the lamp off", "power", False),
        ("turn the lamp on", "state", True),
        ("close the blinds", "open", False),
        ("turn the lamp on the desk off", "on", False),
    ],
)
def test_yes_and_no_are_said_by_their_words(tmp_path, request_, name, value):
    tools = [
        {
            "name": "set_it",
            "parameters": {"type": "object", "required": [name], "properties": {name: {"type": "boolean"}}},
        }
    ]
    row = {"id": "f", "request": request_, "calls": [{"name": "set_it", "args": {name: [value]}}]}
    assert load(tmp_path, row, tools=tools).rejected == []
    wrong = row | {"calls": [{"name": "set_it", "args": {name: [not value]}}]}
    assert request_.count(" on ") or load(tmp_path, wrong, tools=tools).tasks == []


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ("twenty one and a half", 21.5),
        ("twenty one point five", 21.5),
        ("2 and a half", 2.5),
        ("two and three quarters", 2.75),
        ("one and a half million", 1.5e6),
        ("a degree and a half", 1.5),
        ("21½", 21.5),
        ("21 1/2", 21.5),
        ("three quarters", 0.75),
        ("minus two and a half", -2.5),
        ("point five", 0.5),
    ],
)
def test_numbers_with_a_fraction_are_said_in_words(tmp_path, said, value):
    tools = [
        {"name": "heat", "parameters": {"type": "object", "required": ["to"], "properties": {"to": {"type": "number"}}}}
    ]
    row = {"id": "h", "request": f"heat it to {said} please", "calls": [{"name": "heat", "args": {"to": [value]}}]}
    (task,) = load(tmp_path, row, tools=tools).tasks
    assert (
        task.gold[0].args == {"to": GoldArg((value,))}
        and task.gold[0].arg_evidence["to"].end == len(row["request"].split()) - 1
    )


SEND = {
    "name": "send_sms",
    "description": "发短信",
    "parameters": {
        "type": "object",
        "required": ["to", "message"],
        "properties": {"to": {"type": "string"}, "message": {"type": "string"}},
    },
}
LATE = {
    "id": "z",
    "request": "给小明发短信说我晚点到家里，谢谢",
    "calls": [
        {"name": "send_sms", "args": {"to": ["小明"], "message": ["我晚点到家里"]}},
    ],
}


def spoken_together(words) -> str:
    return "".join(word.text for word in words)


@pytest.mark.parametrize(
    ("request_", "city", "at"),
    [
        ("给小明发短信说我晚点到", "小明", (1, 3)),
        ("東京の天気を教えて", "東京", (0, 2)),
        ("ช่วยส่งข้อความถึงสมชายว่าฉันจะไปสาย", "สมชาย", (13, 18)),
        ("hi 给小明发短信说我晚一点才能到家里", "小明", (2, 4)),
    ],
)
def test_where_no_spaces_are_written_each_character_is_heard_by_itself(tmp_path, request_, city, at):
    (task,) = load(
        tmp_path, {"id": "z", "request": request_, "calls": [{"name": "lookup", "args": {"city": [city]}}]}
    ).tasks
    assert spoken_together(task.words) == request_.replace(" ", "") and task.gold[0].arg_evidence["city"] == Evidence(
        *at
    )
    assert spoken_together(task.words[slice(*at)]) == city
    assert played(task) == [("lookup", {"city": city})]


def test_a_message_without_spaces_is_drafted_as_it_is_written(tmp_path):
    marks = [{"tool": "发短信", "args": {"to": "小明", "message": "我晚点到家里"}}]
    (task,) = load(tmp_path, LATE | {"spans": marks}, tools=[SEND, TOOLS[0]]).tasks
    assert played(task) == [("send_sms", {"to": "小明", "message": "我晚点到家里"})]
    drafts = [want.drafts.get("message") for n in range(8, 13) for want in reading_of(task).wanted(task.said(n), False)]
    assert drafts == ["我", "我晚", "我晚点", "我晚点到", "我晚点到家"]


def test_a_tool_is_named_in_its_own_language(tmp_path):
    (task,) = load(tmp_path, LATE, tools=[SEND, TOOLS[0] | {"description": "查天气"}]).tasks
    assert task.gold[0].name_evidence.end <= 6  # 给小明发短信
    assert played(task) == [("send_sms", {"to": "小明", "message": "我晚点到家里"})]


def test_timings_may_come_in_the_recognisers_own_units(tmp_path):
    words = [
        [text, n, n + 0.5] for n, text in enumerate(["给", "小明", "发短信", "说", "我", "晚点", "到家里，", "谢谢"])
    ]
    (task,) = load(tmp_path, LATE | {"words": words}, tools=[SEND]).tasks
    assert task.gold[0].arg_evidence == {"to": Evidence(1, 2), "message": Evidence(4, 7)}
    loaded = load(tmp_path, LATE | {"words": words[1:]}, tools=[SEND])
    assert "which is not the request" in loaded.rejected[0][1]


@pytest.mark.parametrize(
    ("words", "value", "said"),
    [
        (["小", "明，"], "小明", "小明"),
        (["我", "晚", "点"], "我晚点到", "我晚点"),
        (["the", "van"], "the van won't", "the van"),
        (["谢", "谢"], "谢谢你", "谢谢"),
        (["到", "Hey", "Jude"], "到Hey Jude", "到 Hey Jude"),
    ],
)
def test_what_was_heard_of_a_text_is_written_as_it_is(words, value, said):
    assert as_said(words) == said
    assert cut_value(value, words) in (said, None if "Jude" in value else said)


def test_a_request_with_spaces_put_in_is_taken(tmp_path):
    row = {
        "id": "z",
        "request": "给 小明 发 短信 说 我 晚点 到",
        "calls": [{"name": "lookup", "args": {"city": ["小明"]}}],
    }
    (task,) = load(tmp_path, row).tasks
    assert len(task.words) == 8 and task.gold[0].arg_evidence["city"] == Evidence(1, 2)


# -- calls that cost something -----------------------------------------------------------------------------------------


def weather_starts(
    folder: Path, request: str, patience: str = "costly", **marks: object
) -> tuple[list[dict], list[bool]]:
    """Arguments of every start of the look-up, and whether each came before the end of speech."""
    weather = {
        "name": "get_weather",
        "access": "read",
        "description": "The weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}, "day": {"type": "string"}}},
    } | marks
    calls = [
        {"name": "get_weather", "args": {"city": ["Berlin"], "day": ["today"]}},
        {"name": "pay", "args": {"amount": ["$20"]}},
    ]
    (task,) = load(folder, {"id": "w", "request": request, "calls": calls}, tools=[weather, TOOLS[1]]).tasks
    rollout = make_episode(
        task,
        "speculative",
        Profile("p", 60, 600, ns(0.01)),
        load_renderer("tiny", "token", "none"),
        agent=composed().agent,
        data=composed().data,
        seed=0,
        planner=Expert(task, reading_of(task), patience=patience),
    ).run()
    assert rollout.outcome == "answered" and rollout.state.graph[1 if request.startswith("tell") else 2].state == "done"
    starts = [
        (event.at_ns, command)
        for event, commands in rollout.history
        for command in commands
        if isinstance(command, StartTool)
    ]
    mine = [(at_ns, dict(start.args)) for at_ns, start in starts if start.name == "get_weather"]
    return [args for _, args in mine], [at_ns < task.speech_end_ns for at_ns, _ in mine]


FIRST = "tell me what the weather is like in Berlin um today and then please do also pay my friend $20 right now"
WHOLE = {"city": "Berlin", "day": "today"}


@pytest.mark.parametrize(
    ("marks", "patience", "made"),
    [
        ({}, "costly", [{}, {"city": "Berlin"}, WHOLE]),
        ({"costly": True}, "none", [{}, {"city": "Berlin"}, WHOLE]),
        ({"costly": True}, "costly", [WHOLE]),
        ({}, "all", [WHOLE]),
    ],
)
def test_a_call_that_costs_something_is_made_when_its_clause_is_closed(tmp_path, marks, patience, made):
    args, early = weather_starts(tmp_path, FIRST, patience, **marks)
    assert args == made and all(early)  # and while the user is speaking, for the next clause closes it


def test_the_last_clause_is_closed_by_the_end_of_speech(tmp_path):
    last = "please do pay my friend $20 and then tell me what the weather is like in Berlin um today if you can"
    assert weather_starts(tmp_path, last, costly=True) == ([WHOLE], [False])
    assert len(weather_starts(tmp_path, last)[0]) == 3


def test_where_all_has_been_said_of_it_a_costly_call_waits_for_nothing(tmp_path):
    tools = [TOOLS[0] | {"costly": True}, TOOLS[1]]
    (task,) = load(tmp_path, ROW | {"request": "look up the city Lima please, and pay $20"}, tools=tools).tasks
    at = len("look up the city Lima please,".split())
    state = start(settings("speculative"), task.specs)
    edits, _ = reconcile(reading_of(task).wanted(task.said(at), False), state, False, "costly")
    assert [edit.line for edit in edits] == ['1. lookup("Lima")']


def test_a_model_is_told_what_costs(tmp_path):
    (spec,) = tool_specs([TOOLS[0] | {"costly": True}], "here")
    assert (
        manual([spec], "short") == ["lookup(city: str) # Looks up a city (each call costs)"] == manual([spec], "full")
    )
    assert manual([spec], "names") == ["lookup(city: str)"]
    with pytest.raises(ValueError, match="tool lookup: tool 'lookup': costly is 'yes'; use true or false"):
        tool_specs([TOOLS[0] | {"costly": "yes"}], "here")


# -- other files ----------------------------------------------------------------------------------------------------


def test_a_parquet_table_is_rows(tmp_path):
    import datasets

    oslo = {"id": "b", "request": "look up Oslo", "calls": [{"name": "lookup", "args": {"city": ["Oslo"]}}]}
    flat = [ROW | {"answer": ["Done, $20."]}, oslo]
    path = str(tmp_path / "requests.parquet")
    datasets.Dataset.from_list(flat).to_parquet(path)
    loaded = jsonl.load(path, tools_file(tmp_path))
    assert loaded.rejected == [] and [task.id for task in loaded.tasks] == ["a", "b"]
    assert set(loaded.tasks[1].gold[0].args) == {"city"}  # the table has a column for every argument of any row
    datasets.Dataset.from_list([row | {"calls": json.dumps(row["calls"])} for row in flat]).to_parquet(path)
    assert [task.gold for task in jsonl.load(path, tools_file(tmp_path)).tasks] == [task.gold for task in loaded.tasks]
    datasets.Dataset.from_list([ROW | {"spans": [{"tool": "look"}]}]).to_parquet(path)
    with pytest.raises(ValueError, match="column spans must be JSON text"):
        jsonl.load(path, tools_file(tmp_path))
    Path(path).write_text("no table")
    with pytest.raises(ValueError, match=r"requests\.parquet is no Parquet file"):
        jsonl.load(path, tools_file(tmp_path))


@pytest.mark.parametrize("whole", [[ROW], {"data": [ROW], "version": 2}, ROW])
def test_a_json_file_may_be_a_list_or_one_row_or_hold_the_list(tmp_path, whole):
    path = tmp_path / "requests.json"
    path.write_text(json.dumps(whole, indent=2))
    loaded = jsonl.load(str(path), tools_file(tmp_path))
    assert loaded.rejected == [] and [task.id for task in loaded.tasks] == ["a"]


def test_files_that_are_not_read_are_refused_in_one_line(tmp_path):
    broken, table = tmp_path / "requests.json", tmp_path / "requests.csv"
    broken.write_text("[" + json.dumps(ROW, indent=2))
    table.write_text("id,request\n")
    with pytest.raises(ValueError, match=r"requests\.json is no JSON .*; mend it, or give a row a line"):
        jsonl.load(str(broken), tools_file(tmp_path))
    with pytest.raises(ValueError, match=r"a \.csv file is not read; save the rows as \.jsonl, \.json or \.parquet"):
        jsonl.load(str(table), tools_file(tmp_path))
    (tmp_path / "none").mkdir()
    with pytest.raises(ValueError, match=r"none is a folder without any \.jsonl, \.ndjson, \.json or \.parquet file"):
        jsonl.load(str(tmp_path / "none"), "assistant")


def test_a_name_that_is_no_file_is_not_looked_up_on_the_hub_unless_it_says_so(monkeypatch):
    monkeypatch.setattr("datasets.load_dataset", lambda *_, **__: pytest.fail("the hub was asked"))
    said = "if it is a data set of the hub, give requests=hf://datasets/owner/data-v2.1@COMMIT, of 40 digits"
    with pytest.raises(FileNotFoundError, match=said):
        jsonl.load("owner/data-v2.1", "assistant")
    with pytest.raises(FileNotFoundError, match="give requests=FILE, a JSON row a line"):
        jsonl.load("owner/data.jsonl", "assistant")


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        (f"hf://datasets/owner/data-v2.1@{COMMIT}", ("owner/data-v2.1", None, COMMIT)),
        (f"https://huggingface.co/datasets/owner/data:english@{COMMIT}", ("owner/data", "english", COMMIT)),
    ],
)
def test_a_data_set_of_the_hub_is_read_as_a_file_is(monkeypatch, given, asked):
    found = []

    def load_dataset(name, config=None, revision=None):
        found.append((name, config, revision))
        return datasets.DatasetDict(
            {"train": datasets.Dataset.from_list([XLAM]), "test": datasets.Dataset.from_list([XLAM | {"id": 8}])}
        )

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    gathered.of_hub.cache_clear()
    loaded = jsonl.load(given, "")
    assert found == [asked] and loaded.rejected == []
    assert [(task.id, task.split) for task in loaded.tasks] == [("xlam-7", "train"), ("xlam-8", "test")]
    config = composed("experiment=jsonl", f"requests='{given}'")
    assert given in inputs(config) and len(found) == 1, (
        "its rows are part of what data is made of, and are fetched once"
    )


def test_a_data_set_that_can_t_be_had_says_why(monkeypatch):
    def load_dataset(*_, **__):
        raise ConnectionError("no network\nat all")

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    gathered.of_hub.cache_clear()
    with pytest.raises(
        ValueError, match=r"hf://datasets/a/b@0123.* can't be loaded by datasets \(ConnectionError: no network at all\)"
    ):
        jsonl.load(f"hf://datasets/a/b@{COMMIT}", "")


@pytest.mark.parametrize(
    "given",
    [
        "hf://datasets/owner/data",
        "hf://datasets/owner/data@main",
        "hf://datasets/owner/data:english@refs/pr/1",
        "hf://datasets/owner/data@0123abc",
        "https://huggingface.co/datasets/owner/data",
        f"hf://datasets/owner/data@{'A' * 40}",
    ],
)
def test_a_data_set_of_the_hub_is_one_commit_of_it(monkeypatch, given):
    monkeypatch.setattr("datasets.load_dataset", lambda *_, **__: pytest.fail("the hub was asked"))
    gathered.of_hub.cache_clear()
    plain = given.partition("@")[0]
    says = f"requests={given} names no commit of the data set, .* under Files and versions: requests={plain}@COMMIT, 40 digits"
    with pytest.raises(ValueError, match=says):
        jsonl.load(given, "")
    with pytest.raises(ValueError, match="names no commit"):
        inputs(composed("experiment=jsonl", f"requests='{given}'"))


def test_a_folder_is_all_of_its_files(tmp_path):
    """The layout of a data set's repository: splits by the files' names, and files beside them that hold no rows."""
    data = tmp_path / "data"
    data.mkdir()
    (tmp_path / "README.md").write_text("# Rows\n")
    (tmp_path / "dataset_infos.json").write_text("{}")
    (data / "train-00000-of-00001.jsonl").write_text(json.dumps(XLAM) + "\n{\n")
    (data / "validation-00000-of-00001.json").write_text(json.dumps([XLAM | {"id": 8}]))
    loaded = jsonl.load(str(tmp_path), "")
    assert [(task.id, task.split) for task in loaded.tasks] == [("xlam-7", "train"), ("xlam-8", "validation")]
    ((name, why),) = loaded.rejected
    assert name == "data/train-00000-of-00001.jsonl line 2" and why.startswith("is no JSON")
    (data / "validation-00000-of-00001.json").unlink()
    assert [task.split for task in jsonl.load(str(tmp_path), "").tasks] == [split_of("xlam-7")], (
        "one split alone divides nothing"
    )


def test_a_folder_that_datasets_saved_is_read(tmp_path):
    datasets.DatasetDict({"train": datasets.Dataset.from_list([XLAM])}).save_to_disk(tmp_path / "saved")
    assert [task.id for task in jsonl.load(str(tmp_path / "saved"), "").tasks] == ["xlam-7"]


# -- tools ----------------------------------------------------------------------------------------------------------


def test_tools_without_a_class_are_writes_and_acknowledge_alike(tmp_path):
    tools = tools_of(tools_file(tmp_path))
    assert {spec.name: spec.access for spec in tools.specs} == {"lookup": "read", "pay": "write"}
    first, second = tools.toolbox("t", ()), tools.toolbox("t", ())
    assert (
        first.run("lookup", {"city": "Lima"})
        == second.run("lookup", {"city": "Lima"})
        != first.run("lookup", {"city": "Oslo"})
    )
    first.run("pay", {"amount": "1"})
    assert first.effects == [("pay", {"amount": "1"})] and second.effects == []


@pytest.mark.parametrize(
    ("tools", "says"),
    [
        ({}, "tools must be a list of JSON-schema functions"),
        ([{"description": "x"}], "a tool has no name"),
        ([TOOLS[0], TOOLS[0]], "two tools are called 'lookup'; rename one"),
        ([TOOLS[0] | {"access": "safe"}], "access is 'safe'; use 'read', 'egress' or 'write'"),
        ([TOOLS[0] | {"returns": "text"}], "tool lookup returns 'text'; use one of string, integer"),
    ],
)
def test_a_bad_tools_file_says_what_is_wrong(tmp_path, tools, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        tools_of(tools_file(tmp_path, tools))


def test_missing_files_and_missing_tools_are_named(tmp_path):
    with pytest.raises(
        FileNotFoundError, match="no tools file nowhere.json; give a .json or .py file, or tools=assistant"
    ):
        tools_of("nowhere.json")
    with pytest.raises(FileNotFoundError, match="no requests file ''; give requests=FILE"):
        jsonl.load("", "assistant")
    assert "no tools: give tools=FILE or tools=assistant" in jsonl.load(rows_file(tmp_path, ROW), "").rejected[0][1]


PYTHON_TOOLS = '''
from midsentence.tools.function import tool
from midsentence.tools.tool import ToolFailure

def new_state():
    return {"Lima": 11}

@tool(access="read", takes_state=True)
def lookup(state: dict, city: str) -> int:
    """Looks up a city"""
    if city not in state:
        raise ToolFailure(f"no city {city}")
    return state[city]

@tool
def pay(amount: str, note: str = "") -> str:
    """Pays somebody"""
    return "paid"
'''


def test_python_tools_run_and_their_refusals_keep_rows_out(tmp_path):
    path = tmp_path / "own.py"
    path.write_text(PYTHON_TOOLS)
    bad = {"id": "b", "request": "look up Oslo", "calls": [{"name": "lookup", "args": {"city": ["Oslo"]}}]}
    loaded = jsonl.load(rows_file(tmp_path, ROW, bad), str(path))
    assert [task.id for task in loaded.tasks] == ["a"]
    assert loaded.tasks[0].toolbox().run("lookup", {"city": "Lima"}) == 11
    assert loaded.rejected == [("line 2 (b)", "call 1 is refused by its own tool: no city Oslo")]
    path.write_text(PYTHON_TOOLS.replace("def new_state", "def old_state"))
    with pytest.raises(ValueError, match=r"lookup takes state; add a function new_state\(\)"):
        tools_of(str(path))


def test_a_tasks_date_tags_and_answer_are_those_of_its_row(tmp_path):
    row = ROW | {"now": "2026-03-03 10:00:00", "tags": ["filler"], "answer": "Eleven."}
    path = tmp_path / "own.py"
    path.write_text(PYTHON_TOOLS)
    made = task_of_row(row, tools_of(str(path)))
    assert (made.now, made.tags, made.answer, made.exact_answer) == (
        "2026-03-03 10:00:00",
        ("filler",),
        ("Eleven.",),
        False,
    )


def test_the_assistants_world_knows_whom_a_row_names(tmp_path):
    row = {
        "id": "s",
        "request": "text Zelda Quux that lunch is ready",
        "calls": [
            {"name": "get_phone_number", "args": {"name": ["Zelda Quux"]}},
            {"name": "send_sms", "args": {"recipients": [["$1"]], "message": ["lunch is ready"]}},
        ],
    }
    loaded = jsonl.load(rows_file(tmp_path, row), "assistant")
    assert loaded.rejected == []
    assert ("get_phone_number", {"name": "Zelda Quux"}) in played(loaded.tasks[0])


def test_the_requests_written_by_hand_load_through_the_same_reader(tmp_path):
    marked = jsonl.load(str(HANDWRITTEN), "assistant")
    assert (len(marked.tasks), marked.rejected) == (120, [])
    rows = [json.loads(line) for line in HANDWRITTEN.read_text(encoding="utf-8").splitlines()]
    for row in rows:
        del row["spans"]
    grounded = jsonl.load(rows_file(tmp_path, *rows), "assistant")
    # texts that are interrupted in the middle, and corrected times far from their day
    named = ["hand-002", "hand-016", "hand-021", "hand-041", "hand-074", "hand-079"]
    assert [name.split("(")[1].rstrip(")") for name, _ in grounded.rejected] == named
    assert len(grounded.tasks) == 114 and all(": no words reveal" in why for _, why in grounded.rejected)


# -- other projects' rows -------------------------------------------------------------------------------------------

XLAM = {
    "id": 7,
    "query": "What is the weather in Lima in celsius",
    "tools": json.dumps(
        [
            {
                "name": "weather",
                "description": "Weather of a city",
                "parameters": {
                    "city": {"description": "City", "type": "str"},
                    "days": {"type": "int, optional", "default": 1},
                },
            }
        ]
    ),
    "answers": json.dumps([{"name": "weather", "arguments": {"city": "Lima", "days": 1}}]),
}
GLAIVE = {
    "system": 'SYSTEM: You may use functions -\n{"name": "convert", "description": "Converts money", "parameters": {"type": "object", '
    '"properties": {"amount": {"type": "number"}, "to": {"type": "string"}}, "required": ["amount", "to"]}}\n',
    "chat": 'USER: convert 500 dollars to euros\n\n\nASSISTANT: <functioncall> {"name": "convert", "arguments": '
    '\'{"amount": 500, "to": "euros"}\'} <|endoftext|>\n\n\nFUNCTION RESPONSE: {"x": 1}\n\n\nASSISTANT: done <|endoftext|>',
}
TINYAGENT = {
    "t1": {
        "input": "Email Sid Roy that the demo works",
        "output": [
            {
                "type": "plan",
                "parsed_output": [
                    {"tool_name": "get_email_address", "tool_args": ["Sid Roy"]},
                    {"tool_name": "compose_new_email", "tool_args": [["$1"], [], "", "the demo works", []]},
                    {"tool_name": "join", "tool_args": []},
                ],
            },
            {"type": "join", "parsed_output": []},
        ],
    },
    "t2": {
        "input": "Email Sid",
        "output": [
            {"type": "plan", "parsed_output": []},
            {"type": "replan", "parsed_output": []},
            {"type": "plan", "parsed_output": []},
        ],
    },
}


def test_xlam_rows_bring_their_tools_and_defaults_may_be_left_out(tmp_path):
    loaded = jsonl.load(rows_file(tmp_path, XLAM), "")
    assert loaded.rejected == []
    (task,) = loaded.tasks
    assert task.id == "xlam-7" and [param.required for param in task.tools[0].params] == [True, False]
    assert task.tools[0].params[1].schema == {"type": "integer"} and task.gold[0].args["days"].optional
    assert played(task) == [("weather", {"city": "Lima"})]


@pytest.mark.parametrize(
    ("said", "called"), [("in celsius", {"city": "Lima", "unit": "celsius"}), ("please", {"city": "Lima"})]
)
def test_a_value_that_is_the_default_is_called_where_it_is_said(tmp_path, said, called):
    tools = json.dumps(
        [
            {
                "name": "weather",
                "description": "Weather of a city",
                "parameters": {"city": {"type": "str"}, "unit": {"type": "str", "default": "celsius"}},
            }
        ]
    )
    answers = json.dumps([{"name": "weather", "arguments": {"city": "Lima", "unit": "celsius"}}])
    (task,) = load(
        tmp_path, {"query": f"What is the weather in Lima {said} now", "tools": tools, "answers": answers}
    ).tasks
    assert played(task) == [("weather", called)]


def test_the_only_tool_waits_for_a_word_that_speaks_for_it(tmp_path):
    tools = json.dumps(
        [
            {
                "name": "track",
                "access": "read",
                "description": "Tracks a parcel",
                "parameters": {"form": {"type": "str", "default": "long"}},
            }
        ]
    )
    answers = json.dumps([{"name": "track", "arguments": {"form": "long"}}])
    rows = [
        {"query": text, "tools": tools, "answers": answers}
        for text in ("Where is my parcel right now", "Where is it now")
    ]
    one, none = load(tmp_path, *rows).tasks
    assert (one.gold[0].name_evidence, none.gold[0].name_evidence) == (Evidence(3, 4), Evidence(0, 4))
    reading = reading_of(one)
    assert [bool(reading.wanted(one.request.split()[:n], False)) for n in range(6)] == [False] * 5 + [True]
    assert not reading_of(none).wanted(none.request.split(), False)


def test_glaive_rows_give_the_first_call(tmp_path):
    loaded = jsonl.load(
        rows_file(tmp_path, GLAIVE, GLAIVE | {"chat": "USER: hi\n\n\nASSISTANT: hello <|endoftext|>"}), ""
    )
    assert [task.request for task in loaded.tasks] == ["convert 500 dollars to euros"]
    assert played(loaded.tasks[0]) == [("convert", {"amount": 500, "to": "euros"})]
    assert loaded.rejected == [
        ("line 2", "the first answer calls no function, so there is nothing to learn about streaming")
    ]


MORE = (
    'USER: convert 500 dollars to euros\n\n\nASSISTANT: <functioncall> {"name": "convert", "arguments": \'{"amount": 500, "to": '
    '"euros"}\'} <|endoftext|>\n\n\nFUNCTION RESPONSE: {"converted": 460}\n\n\nASSISTANT: That is 460 euros. <|endoftext|>\n\n\n'
)


def test_a_glaive_chat_that_goes_on_is_a_conversation(tmp_path):
    """Every call with the result that the chat has for it; a later turn that can't be used leaves the first call."""
    more = MORE + (
        'USER: and 20 to yen\n\n\nASSISTANT: <functioncall> {"name": "convert", "arguments": \'{"amount": 20, "to": "yen"}\'} '
        '<|endoftext|>\n\n\nFUNCTION RESPONSE: {"converted": 3000}\n\n\nASSISTANT: 3000 yen. <|endoftext|>\n\n\n'
        "USER: thanks\n\n\nASSISTANT: You're welcome! <|endoftext|>"
    )
    silent = (
        MORE
        + 'USER: and 20\n\n\nASSISTANT: <functioncall> {"name": "convert", "arguments": \'{"amount": 20}\'} <|endoftext|>'
    )
    loaded = jsonl.load(rows_file(tmp_path, GLAIVE | {"chat": more}, GLAIVE | {"chat": silent}), "")
    assert loaded.rejected == []
    whole, first = loaded.tasks
    assert [turn.calls for turn in whole.turns] == [1, 2, 2] and whole.tags[0] == "glaive"
    assert whole.toolbox().run("convert", {"amount": 20, "to": "yen"}) == {"converted": 3000}
    assert not first.turns and played(first) == [("convert", {"amount": 500, "to": "euros"})]


def test_sharegpt_turns_are_a_conversation(tmp_path):
    """xLAM's conversations of several turns (APIGen-MT): a call and its result are turns of their own there."""
    row = {
        "system": "You are a shop's agent.",
        "tools": XLAM["tools"],
        "conversations": [
            {"from": "human", "value": "what's the weather in Lima"},
            {"from": "function_call", "value": json.dumps({"name": "weather", "arguments": {"city": "Lima"}})},
            {"from": "observation", "value": "sunny"},
            {"from": "gpt", "value": "It is sunny."},
            {"from": "human", "value": "and in Quito"},
            {"from": "function_call", "value": json.dumps({"name": "weather", "arguments": {"city": "Quito"}})},
            {"from": "observation", "value": "wet"},
            {"from": "gpt", "value": "It is wet."},
        ],
    }
    loaded = jsonl.load(rows_file(tmp_path, row), "")
    assert loaded.rejected == []
    (task,) = loaded.tasks
    assert [(turn.words, turn.calls) for turn in task.turns] == [(5, 1), (8, 2)]
    assert [call.args["city"].values for call in task.gold] == [("Lima",), ("Quito",)]
    assert task.toolbox().run("weather", {"city": "Quito"}) == "wet"


def test_tinyagent_plans_become_calls_of_the_sixteen(tmp_path):
    path = tmp_path / "tiny.json"
    path.write_text(json.dumps(TINYAGENT))
    loaded = jsonl.load(str(path), "assistant")
    (task,) = loaded.tasks
    assert [(call.name, dict(call.args)) for call in task.gold] == [
        ("get_email_address", {"name": GoldArg(("Sid Roy",))}),
        ("compose_new_email", {"recipients": GoldArg(([Reference(1)],)), "context": GoldArg(("the demo works",))}),
    ]
    assert loaded.rejected == [("row t2", "has 2 plans; only rows that were planned once are used")]


@pytest.mark.parametrize(
    ("row", "whose"),
    [
        (ROW, "own"),
        (XLAM, "xlam"),
        (GLAIVE, "glaive"),
        (TINYAGENT["t1"], "tinyagent"),
        ([1], "unknown"),
    ],
)
def test_formats_are_told_by_their_fields(row, whose):
    assert formats.kind(row) == whose


def test_a_broken_foreign_row_says_whose_it_was_taken_for():
    with pytest.raises(BadTask, match="is in no known format"):
        formats.ours({"question": "?"}, ())


def test_a_broken_xlam_row_is_named(tmp_path):
    loaded = jsonl.load(rows_file(tmp_path, XLAM | {"answers": "[{]"}), "")
    assert loaded.rejected[0][0] == "line 1 (7)" and loaded.rejected[0][1].startswith(
        "can't be read as xlam: JSONDecodeError"
    )


def test_other_content_under_the_same_name_is_other_data(tmp_path):
    path, tools = rows_file(tmp_path, ROW), tools_file(tmp_path)
    before = generate.recipe(composed("experiment=jsonl", f"tools={tools}", f"requests={path}"))
    rows_file(tmp_path, ROW | {"id": "z"})
    assert generate.recipe(composed("experiment=jsonl", f"tools={tools}", f"requests={path}")) != before


def test_rows_name_tools_as_their_owner_does_and_the_expert_writes_what_a_line_can_hold(tmp_path):
    shape = {"type": "object", "properties": {"what for": {"type": "string"}}, "required": ["what for"]}
    tools = [{"name": "3d print/now!", "inputSchema": shape}]
    row = {
        "id": "a",
        "request": "print a dragon",
        "calls": [{"name": "3d print/now!", "args": {"what for": ["dragon"]}}],
        "spans": [{"tool": "print", "args": {"what for": "dragon"}}],
    }
    (task,) = load(tmp_path, row, tools=tools).tasks
    assert played(task) == [("3d_print/now_", {"what_for": "dragon"})]


def test_limits_of_a_tools_file_are_kept_and_keep_rows_out(tmp_path):
    tools = [
        {
            "name": "order",
            "inputSchema": {
                "type": "object",
                "required": ["count"],
                "properties": {"count": {"$ref": "#/$defs/Count"}},
                "$defs": {"Count": {"type": "integer", "minimum": 1, "maximum": 5}},
            },
        }
    ]
    rows = [
        {"id": str(n), "request": f"order {n} cakes", "calls": [{"name": "order", "args": {"count": [n]}}]}
        for n in (3, 7)
    ]
    loaded = load(tmp_path, *rows, tools=tools)
    assert [task.id for task in loaded.tasks] == ["3"] and "7" in loaded.rejected[0][0]
    assert loaded.tasks[0].tools[0].params[0].schema == {"type": "integer", "minimum": 1, "maximum": 5}
