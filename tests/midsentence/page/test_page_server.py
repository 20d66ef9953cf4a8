"""The page's server: the page itself, whom it takes and refuses and how much, and the command that begins it."""

from __future__ import annotations

import asyncio
import base64
import copy
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import looptime
import pytest

pytest.importorskip("starlette", reason="install it with: pip install -e '.[page]'")
pytest.importorskip("uvicorn", reason="install it with: pip install -e '.[page]'")
pytest.importorskip("websockets", reason="install it with: pip install -e '.[page]'")

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from configs.palette import CUT, HELD, INK, LINE, PARTS, RUNNING
from midsentence import cli, serve
from midsentence.ending import UserError
from midsentence.models.planned import PlannedModel
from midsentence.page import server
from midsentence.page.house import Bounds
from midsentence.rendering.renderer import Renderer
from midsentence.testing import Scripted
from midsentence.tools.waiting import WaitingToolbox
from tests.midsentence.page.page_client import Served, http, served
from tests.midsentence.page.page_stage import FAST

PAGE = Path(server.__file__).parent


# ---- the page itself


def test_the_page_comes_with_a_policy_that_lets_only_its_own_script_run(tiny_tokenizer):
    async def work(own: Served) -> None:
        head, body = await http(own.port, f"127.0.0.1:{own.port}")
        script = body.split('<script type="module">')[1].split("</script>")[0]
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert (
            head.startswith("HTTP/1.1 200") and f"script-src 'sha256-{digest}'" in head and "default-src 'none'" in head
        )
        assert "frame-ancestors 'none'" in head and "nosniff" in head and "no-store" in head.lower()

    served(tiny_tokenizer, work)


def test_text_is_never_made_html_and_nothing_is_fetched():
    html, _ = server.document(8765)
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|Function\(|@import|url\((?!#)", html
    )
    assert set(re.findall(r"https?://[^\"' ]+", html)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"<[^>]+\son\w+=", html.split('<script type="module">')[0]) and "{{" not in html


def test_every_control_has_a_name_and_every_id_that_the_script_asks_for_is_there_once():
    html, _ = server.document(8765)
    body, script = html.split('<script type="module">')[0], html.split('<script type="module">')[1]
    ids = re.findall(r'\bid="([\w-]+)"', body)
    assert len(ids) == len(set(ids)) and set(re.findall(r'\$\("([\w-]+)"\)', script)) <= set(ids)
    for tag in re.findall(r"<(?:select|input)[^>]*>", body):
        name = re.search(r'id="([\w-]+)"', tag)[1]
        assert f'<label for="{name}"' in body or re.search(rf'<label class="check"><input[^>]*id="{name}"', body), tag


def test_the_page_has_the_colours_of_the_figures():
    style = (PAGE / "page.css").read_text("utf-8")
    colours = {"ink": INK, "line": LINE, "running": RUNNING, "held": HELD, "cut": CUT} | {
        n.replace("_", "-"): c for n, c in PARTS.items()
    }
    assert all(f"--{name}:{colour};" in style for name, colour in colours.items())


def test_files_are_short():
    assert all(len(path.read_text("utf-8").splitlines()) < 400 for path in PAGE.iterdir() if path.is_file())


# ---- who may ask, and how much


@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1:1", "null", "https://127.0.0.1:{port}"])
def test_another_origin_is_refused(tiny_tokenizer, origin):
    async def work(own: Served) -> None:
        with pytest.raises(InvalidStatus) as refused:
            async with own.raw(origin.format(port=own.port)):
                pass
        assert refused.value.response.status_code == 403

    served(tiny_tokenizer, work)


def test_no_origin_and_another_name_of_the_host_are_refused(tiny_tokenizer):
    async def work(own: Served) -> None:
        with pytest.raises(InvalidStatus):
            async with connect(f"ws://127.0.0.1:{own.port}/talk"):
                pass
        head, _ = await http(own.port, f"evil.example:{own.port}")
        assert head.startswith("HTTP/1.1 421")
        assert (await http(own.port, f"localhost:{own.port}"))[0].startswith("HTTP/1.1 200")

    served(tiny_tokenizer, work)


async def closed_by(socket: Any) -> tuple[int, str]:
    with pytest.raises(ConnectionClosed) as closed:
        async with asyncio.timeout(10):
            while True:
                await socket.recv()
    return closed.value.rcvd.code, closed.value.rcvd.reason


HELLO = json.dumps({"kind": "hello", "talk": "", "after": 0, "mode": "", "beside": False})


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        (["no json"], "one JSON object"),
        (["[" * 9000], "one JSON object"),
        (["{}"], "begins with hello"),
        ([HELLO.replace('"mode": ""', '"mode": "nosuch"')], "no mode 'nosuch'"),
        ([HELLO.replace('"after": 0', '"after": -1')], "begins with hello"),
        (
            [HELLO, json.dumps({"kind": "hears", "n": 1, "text": "x" * 4001, "closes": False})],
            "more than 4000 characters",
        ),
        ([HELLO, json.dumps({"kind": "hears", "n": 1, "text": 7, "closes": False})], "no message that this page sends"),
        ([HELLO, json.dumps({"kind": "run", "n": 1})], "no message that this page sends"),
        ([HELLO, json.dumps({"kind": "ends", "n": 3})], "message 3 after 0"),
        ([HELLO, json.dumps({"kind": "ends", "n": True})], "message True after 0"),
    ],
)
def test_what_a_page_never_sends_is_refused_with_the_reason(tiny_tokenizer, sent, says):
    async def work(own: Served) -> None:
        async with own.raw() as socket:
            for text in sent:
                await socket.send(text)
            code, reason = await closed_by(socket)
            assert code == 1008 and says in reason

    served(tiny_tokenizer, work)


def test_a_message_that_is_too_long_is_not_read(tiny_tokenizer):
    async def work(own: Served) -> None:
        async with own.raw() as socket:
            await socket.send(HELLO)
            await socket.send("x" * 20_000)
            assert (await closed_by(socket))[0] == 1009

    served(tiny_tokenizer, work)


def test_a_connection_that_sends_too_much_is_closed_and_one_that_says_nothing_too(tiny_tokenizer):
    async def work(own: Served) -> None:
        async with own.page() as page:
            with pytest.raises(ConnectionClosed) as closed:
                for _ in range(200):
                    await page.send("predicted")
                while True:
                    await page.socket.recv()
            assert closed.value.rcvd.code == 1008 and "10 messages a second" in closed.value.rcvd.reason
        async with own.raw() as socket:
            assert (await closed_by(socket))[0] == 1008

    served(tiny_tokenizer, work, Bounds(messages_per_s=10, messages_at_once=20, hello_s=0.1))


def test_there_are_so_many_conversations_and_no_more(tiny_tokenizer):
    async def work(own: Served) -> None:
        async with own.page() as first:
            async with own.page():
                async with own.raw() as socket:
                    await socket.send(HELLO)
                    assert (await closed_by(socket))[0] == 1013
            async with own.page() as third:  # the one that was left makes room
                assert not third.welcome["resumed"] and first.welcome["talk"] != third.welcome["talk"]

    served(tiny_tokenizer, work, Bounds(talks=2))


def test_connections_do_not_begin_without_end(tiny_tokenizer):
    async def work(own: Served) -> None:
        async with own.page() as page:
            talk = page.welcome["talk"]
        async with own.page(talk, 0):
            pass
        async with own.raw() as socket:
            assert (await closed_by(socket)) == (1013, "too many connections; wait a moment")

    served(tiny_tokenizer, work, Bounds(begun_per_s=0.001, begun_at_once=2))


def test_halves_of_characters_do_no_harm(tiny_tokenizer):
    async def work(own: Served) -> None:
        async with own.page() as page:
            await page.socket.send('{"kind": "hears", "n": 1, "text": "a \\ud800 b", "closes": false}')
            assert (await page.kind("heard"))["text"] == "a ? b"

    served(tiny_tokenizer, work)


# ---- the command


@pytest.mark.parametrize("tools", ["assistant", "mine.py"])
def test_each_conversation_has_a_log_and_own_tools_are_not_run_twice(tiny_tokenizer, tmp_path, monkeypatch, tools):
    mine = "from midsentence import tool\n\n@tool\ndef buzz(times: int) -> str:\n    'Buzzes.'\n    return 'ok'\n"
    (tmp_path / "mine.py").write_text(mine)
    monkeypatch.chdir(tmp_path)
    parser = cli.Parser()
    serve.add_options(parser)
    asked = parser.parse_args(["--tools", tools])

    async def work() -> Any:
        renderer = Renderer.prepare(copy.deepcopy(tiny_tokenizer))
        model = PlannedModel(Scripted([], then="<pause>"), renderer, FAST, asyncio.get_running_loop().call_later)
        now = "2026-03-03 10:00:00"
        made = server.stage_of(
            (model, renderer),
            asked,
            lambda mode: serve.row_of(asked, mode),
            lambda: serve.toolbox_of(asked.tools, now),
            now,
            tmp_path,
        )
        for _ in range(2):
            async with made.open("speculative", lambda event, commands: None) as session:
                await session.hear("hello")
        return made

    made = asyncio.run(work())
    for n in (1, 2):
        rows = [json.loads(line) for line in (tmp_path / f"page-{n}.jsonl").read_text().splitlines()]
        assert (
            rows[0]["type"] == "log"
            and rows[1]["event"]["text"] == "hello"
            and rows[-1]["commands"][-1]["type"] == "Finish"
        )
    assert (made.beside is None) == (tools != "assistant") == bool(made.about["alone"])
    assert len(made.about["tools"]) == (16 if made.beside else 1)


def test_a_paced_tool_takes_its_time_and_stops_when_it_is_cancelled():
    paced = WaitingToolbox(serve.toolbox_of("", "2026-03-03 10:00:00"))

    async def work() -> None:
        loop = asyncio.get_running_loop()
        before_s, args = loop.time(), {"name": "Bob"}
        assert await paced.arun("get_phone_number", args) == "+1 555 0100"
        assert loop.time() - before_s == pytest.approx(paced.latency_ns("get_phone_number", args) / 1e9, abs=1e-5)
        running = asyncio.ensure_future(paced.arun("get_phone_number", args))
        await asyncio.wait([running], timeout=0.01)
        running.cancel()
        assert (await asyncio.wait([running], timeout=1))[0] and running.cancelled()

    with asyncio.Runner(loop_factory=lambda: looptime.new_event_loop(noop_cycles=20)) as runner:
        runner.run(work())


def test_a_port_that_is_taken_is_one_line():
    with server.bound(0) as taken:
        taken.listen()
        with pytest.raises(
            UserError, match=r"port \d+ can't be used \(Address already in use\); give another with --port"
        ):
            server.bound(taken.getsockname()[1])


def test_the_page_without_a_model_named_is_the_shipped_one(monkeypatch, tmp_path):
    loaded = []

    def load(*names: Any, **options: Any) -> Any:
        loaded.append((names, options["constrained"], options["grounded"]))
        assert options["server"] == ""
        raise UserError("far enough")

    monkeypatch.setattr(server, "load", load)
    for more in ([], ["--model", "tiny"]):
        with pytest.raises(UserError, match="far enough"):
            cli.main(["serve", "--page", "--port", "0", "--out", str(tmp_path), *more])
    assert loaded == [(("smollm2", "smollm2-midsentence"), True, True), (("tiny", None), False, False)]


def test_without_the_extra_the_command_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "uvicorn", None)
    with pytest.raises(UserError, match=r"the page needs uvicorn; install it with: pip install '\.\[page\]'"):
        cli.main(["serve", "--page", "--out", str(tmp_path)])


def test_a_row_of_another_mode_keeps_what_else_was_asked():
    parser = cli.Parser()
    serve.add_options(parser)
    asked = parser.parse_args(["--max-context-tokens", "99"])
    assert serve.row_of(asked, "parallel").max_context_tokens == 99 and not serve.row_of(asked, "parallel").listens
