"""The terminal: lines in, what happens out."""

from __future__ import annotations

import asyncio
import copy
import json
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from configs.modes import settings_of
from configs.schema import AgentConfig, ModelConfig
from midsentence import cli, serve
from midsentence.clock import Profile
from midsentence.core.events import Close, UserUpdate
from midsentence.core.modes import MODES, settings
from midsentence.ending import UserError
from midsentence.models.planned import PlannedModel
from midsentence.rendering.renderer import Renderer
from midsentence.shells.answer_parts import AnswerPart
from midsentence.shells.session import open_session
from midsentence.testing import Scripted
from midsentence.tools.assistant import AssistantToolbox

PROFILE = Profile("fast", decode_tokens_per_s=100_000, prefill_tokens_per_s=100_000, restart_ns=0)
TINY = ["serve", "--model", "tiny", "--dtype", "float32"]


def talk(tiny_tokenizer, lines, actions, capsys, pieces=None) -> list[str]:
    renderer = Renderer.prepare(copy.deepcopy(tiny_tokenizer))
    written = [] if pieces is None else pieces
    screen = serve.Screen(lambda text: (written.append(text), print(text, end="")))

    async def work():
        model = PlannedModel(Scripted(actions), renderer, PROFILE, asyncio.get_running_loop().call_later)
        session = open_session(
            (model, renderer),
            AssistantToolbox(serve.WORLD),
            "sequential",
            watch=lambda event, commands: screen.show(event, commands, session.state),
        )
        await serve.talk(session, lines, 30)

    asyncio.run(asyncio.wait_for(work(), 60))
    out = capsys.readouterr()
    return [line.split(" s  ", 1)[1] for line in out.out.splitlines()] + out.err.splitlines()


def test_a_request_in_two_lines(tiny_tokenizer, capsys):
    call = '<tool_call>\n1. get_phone_number("Bob")\n</tool_call>'
    assert talk(
        tiny_tokenizer, ["the number\n", "of Bob?\n"], [call, "<answer>It is +1 555 0100.</answer>"], capsys
    ) == [
        "you    the number …",
        "you    of Bob? ⏎",
        'agent  1. get_phone_number(name="Bob")',
        'tool   1 = "+1 555 0100"',
        "agent  “It is +1 555 0100.”",
    ]


def test_an_answer_is_shown_while_it_is_written(tiny_tokenizer, capsys):
    pieces = []
    said = talk(tiny_tokenizer, ["hi."], ["<answer>One two\x1b[2J three.</answer>"], capsys, pieces)
    assert said[-1] == "agent  “One two\\x1b[2J three.”"
    assert len(pieces) > 4 and pieces[1].endswith("agent  “O") and pieces[-1].endswith("”\n")


def test_an_answer_that_is_cut_off_says_so():
    written = []
    screen, told = serve.Screen(written.append), iter([[AnswerPart("It is")], [AnswerPart("", withdrawn=True)]])
    screen._answering = SimpleNamespace(follow=lambda *_: next(told))
    screen.show(Close(10**9), (), None)
    screen.show(UserUpdate(2 * 10**9, "no wait", False), (), None)
    assert "".join(written) == "   1.00 s  agent  “It is…\n   2.00 s  you    no wait …\n   2.00 s  agent  (cut off)\n"


def test_the_log_is_there_before_the_session_is_over(tiny_tokenizer, monkeypatch, tmp_path):
    """What a crash leaves: here the terminal breaks in the middle of the session."""
    seen = []

    def broken(event, commands):
        seen.append((tmp_path / "log.jsonl").read_text().splitlines())
        raise RuntimeError("the terminal is gone")

    monkeypatch.setattr("sys.stdin", ["well?\n"])
    monkeypatch.setattr(serve, "lines_of", broken)
    with pytest.raises(ExceptionGroup):
        cli.main([*TINY, "--max-generated-tokens", "20", "--out", str(tmp_path)])
    [rows] = seen
    assert [json.loads(row).get("event", {}).get("type") for row in rows] == [None, "UserUpdate"]


def test_the_end_of_input_is_the_end_of_the_request(tiny_tokenizer, capsys):
    assert talk(tiny_tokenizer, ["hello"], ["<answer>Hi.</answer>"], capsys) == [
        "you    hello …",
        "you     ⏎",
        "agent  “Hi.”",
    ]


def test_a_session_that_ends_before_its_user(tiny_tokenizer, capsys):
    assert talk(tiny_tokenizer, ["hello.", "hello?"], [], capsys)[-1] == "the session is over: model_failed"


def test_the_session_and_its_tools_have_one_now(monkeypatch, tmp_path):
    opened = []

    def watched(model, tools, *rest, **options):
        opened.append((options["now"], str(tools.world.now)))
        return open_session(model, tools, *rest, **options)

    monkeypatch.setattr("sys.stdin", ["well?\n"])
    monkeypatch.setattr("midsentence.serve.open_session", watched)
    monkeypatch.setattr("midsentence.serve.local_now", lambda: "2026-11-25 10:37:00")
    cli.main([*TINY, "--max-generated-tokens", "5", "--out", str(tmp_path)])
    assert opened == [("2026-11-25 10:37:00", "2026-11-25 10:37:00")]


def test_the_command_on_the_tiny_model_leaves_a_log(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("sys.stdin", ["well?\n"])
    cli.main([*TINY, "--max-generated-tokens", "20", "--out", str(tmp_path)])
    out = capsys.readouterr()
    assert "you    well? ⏎" in out.out and "the session is over" in out.err and "Loading weights" not in out.err
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert rows[0]["type"] == "log" and rows[-1]["commands"][-1]["type"] == "Finish"


TOOLS = """
from midsentence.tools.function import tool

def new_state(now=None):
    return {"now": now}

@tool(access="read", takes_state=True)
def clock(state) -> str:
    return state["now"]
"""


def test_tools_of_ones_own_are_served(tmp_path):
    (tmp_path / "mine.py").write_text(TOOLS)
    toolbox = serve.toolbox_of(str(tmp_path / "mine.py"), "2026-03-03 10:00:00")
    assert list(toolbox.specs) == ["clock"]
    assert toolbox.run("clock", {}) == "2026-03-03 10:00:00"
    assert isinstance(serve.toolbox_of("", "2026-03-03 10:00:00"), AssistantToolbox)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("mine.json", "[]", "describes tools and has no code that runs them; give a .py file"),
        ("mine.txt", "", "can't be loaded as Python; give a .py file"),
        ("mine.py", "x = 1", "has no tools; write functions with @tool"),
        ("mine.py", TOOLS.replace("new_state", "state_of"), "clock takes state; add a function new_state"),
        (None, "", "no tools file"),
    ],
)
def test_tools_that_can_not_be_served_are_refused_before_a_model_loads(tmp_path, monkeypatch, name, text, says):
    path = tmp_path / (name or "nowhere.py")
    if name:
        path.write_text(text)
    monkeypatch.setattr(serve, "load", lambda *_, **__: pytest.fail("a model was loaded"))
    with pytest.raises((ValueError, FileNotFoundError), match=says):
        cli.main(["serve", "--tools", str(path)])


def test_a_closed_standard_input_is_said_at_once(monkeypatch, tmp_path):
    """It waited for ever: the thread that read had died."""
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(UserError, match="the standard input is closed; type into a terminal, or give a pipe or a file"):
        cli.main(["serve", "--out", str(tmp_path)])


def test_input_that_is_no_text_ends_the_session(tiny_tokenizer, capsys):
    def lines():
        yield "hello.\n"
        raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")

    with pytest.raises(UserError, match="the standard input can't be read .*; give text in UTF-8"):
        talk(tiny_tokenizer, lines(), ["<answer>Hi.</answer>"], capsys)


def test_where_its_log_goes_is_refused_before_a_model_loads(monkeypatch, tmp_path):
    monkeypatch.setattr(serve, "load", lambda *_, **__: pytest.fail("a model was loaded"))
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="Not a directory"):
        cli.main(["serve", "--out", str(tmp_path / "file" / "below")])


def test_the_options_reach_the_model_and_the_session(monkeypatch, tmp_path):
    loaded, opened = [], []

    @contextmanager
    def load(*names, **options):
        loaded.append((names, options))
        yield "model"

    class Opened(Exception):
        pass

    def open_session(model, toolbox, row, **options):
        opened.append((row, options["style"], options["detail"]))
        raise Opened

    monkeypatch.setattr(serve, "load", load)
    monkeypatch.setattr(serve, "open_session", open_session)
    asked = [
        "--model",
        "m",
        "--mode",
        "parallel",
        "--constrained",
        "--grounded",
        "--runtime",
        "llamacpp",
        "--dtype",
        "float16",
        "--turns",
        "chat",
        "--stamps",
        "text",
        "--prompt-tools",
        "names",
        "--interrupt",
        "token",
        "--commit-on",
        "silence",
        "--revise",
        "reissue",
        "--revise-cascade",
        "cancel",
        "--commit-grace-s",
        "0.25",
        "--allow-egress",
        "a",
        "--allow-egress",
        "b",
        "--max-context-tokens",
        "99",
        "--max-generated-tokens",
        "9",
        "--out",
        str(tmp_path),
        "--tools",
        str(tmp_path / "mine.py"),
        "--server",
        "http://here/v1",
    ]
    tools = (
        f"\n@tool(access='egress')\ndef {name}(text: str) -> str:\n    'Asks.'\n    return text\n" for name in "ab"
    )
    (tmp_path / "mine.py").write_text("from midsentence.tools.function import tool\n" + "".join(tools))
    for more in ([], ["--adapter", "a"]):
        with pytest.raises(Opened):
            cli.main(["serve", *asked, *more])
    options = {
        "constrained": True,
        "grounded": True,
        "runtime": "llamacpp",
        "dtype": "float16",
        "turns": "chat",
        "stamps": "text",
    }
    options |= {"server": "http://here/v1"}
    assert loaded == [(("m", None), options), (("m", "a"), options)]
    row = settings(
        "parallel",
        interrupt="token",
        commit_on="silence",
        revise="reissue",
        revise_cascade="cancel",
        commit_grace_ns=250_000_000,
        allowed_egress=frozenset("ab"),
        max_context_tokens=99,
        max_generated_tokens=9,
    )
    assert opened == [(row, "full", "full"), (row, "short", "names")]


def test_what_is_not_said_is_as_the_settings_have_it():
    """The command and the laboratory play one model alike."""
    parser = cli.Parser()
    serve.add_options(parser)
    asked = parser.parse_args([])
    for mode in MODES:
        assert serve.row_of(parser.parse_args(["--mode", mode])) == settings_of(mode, AgentConfig())
    assert (asked.prompt, asked.prompt_tools) == (AgentConfig().prompt, AgentConfig().prompt_tools)
    assert (asked.model, asked.dtype, asked.mode) == (ModelConfig().name, ModelConfig().dtype, "verified")


@pytest.mark.parametrize("name", ["nosuch", "create_calendar_event"])
def test_an_egress_that_is_none_is_refused_before_any_weights_load(monkeypatch, tmp_path, name):
    monkeypatch.setattr(serve, "load", lambda *_, **__: pytest.fail("weights were loaded"))
    with pytest.raises(
        ValueError, match=f"--allow-egress names {name!r}, which is no egress tool here; there is none: leave it out"
    ):
        cli.main(["serve", "--model", "tiny", "--allow-egress", name, "--out", str(tmp_path)])
