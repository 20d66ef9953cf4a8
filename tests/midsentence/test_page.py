"""The page's server, with a script in the model's place: what it takes and refuses, what it tells, and that a lost connection loses nothing."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette", reason="install it with: pip install -e '.[page]'")
pytest.importorskip("uvicorn", reason="install it with: pip install -e '.[page]'")
pytest.importorskip("websockets", reason="install it with: pip install -e '.[page]'")

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from configs.palette import CUT, HELD, INK, LINE, PARTS, RUNNING
from midsentence import cli, serve
from midsentence.ending import UserError
from midsentence.page import server
from midsentence.page.house import Bounds
from tests.midsentence.page_stage import FAST, stage

PAGE = Path(server.__file__).parent


class Page:
    """What a browser does, without one."""

    def __init__(self, socket: Any) -> None:
        self.socket, self.n, self.seen = socket, 0, []
        self.seq = 0
        self.welcome: dict[str, Any] = {}

    async def send(self, kind: str, **more: Any) -> None:
        self.n += 1
        await self.socket.send(json.dumps({"kind": kind, "n": self.n, **more}))

    async def says(self, *hypotheses: str) -> None:
        for text in hypotheses:
            await self.send("hears", text=text, closes=False)

    async def until(self, test: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        async with asyncio.timeout(20):
            while True:
                message = json.loads(await self.socket.recv())
                if "seq" in message:
                    assert message["seq"] == self.seq + 1, "nothing is lost, and nothing comes twice"
                    self.seq = message["seq"]
                self.seen.append(message)
                if test(message):
                    return message

    async def kind(self, kind: str, **more: Any) -> dict[str, Any]:
        return await self.until(lambda message: message["kind"] == kind and all(message.get(name) == value for name, value in more.items()))

    def told(self, kind: str, beside: bool = False) -> list[dict[str, Any]]:
        return [message for message in self.seen if message["kind"] == kind and bool(message.get("beside")) is beside]


class Served:
    """A server that runs, and the worlds of the sessions that it has opened."""

    def __init__(self, port: int, worlds: list[Any]) -> None:
        self.port, self.worlds = port, worlds

    def raw(self, origin: str | None = None, **options: Any) -> Any:
        return connect(f"ws://127.0.0.1:{self.port}/talk", origin=origin or f"http://127.0.0.1:{self.port}", **options)

    @asynccontextmanager
    async def page(self, talk: str = "", after: int = 0, mode: str = "", beside: bool = False) -> AsyncIterator[Page]:
        async with self.raw() as socket:
            page = Page(socket)
            await socket.send(json.dumps({"kind": "hello", "talk": talk, "after": after, "mode": mode, "beside": beside}))
            page.welcome = await page.kind("welcome")
            page.seq, page.n = after if page.welcome["resumed"] else 0, page.welcome["taken"]
            yield page


def served(tokenizer: Any, work: Callable[[Served], Any], bounds: Bounds | None = None, takes_s: float = 0.0) -> Any:
    """Runs a server in this loop while ``work`` does."""

    async def run() -> Any:
        listening = server.bound(0)
        port = listening.getsockname()[1]
        own, worlds = stage(tokenizer, FAST, takes_s)
        bounds_ = bounds or Bounds()
        running = server.server(server.application(own, port, bounds_), bounds_)
        task = asyncio.ensure_future(running.serve(sockets=[listening]))
        try:
            return await asyncio.wait_for(work(Served(port, worlds)), 60)
        finally:
            running.should_exit = True
            await task
            listening.close()

    return asyncio.run(run())


async def http(port: int, host: str) -> tuple[str, str]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    return head, body


# ---- the page itself


def test_the_page_comes_with_a_policy_that_lets_only_its_own_script_run(tiny_tokenizer):
    async def work(own: Served) -> None:
        head, body = await http(own.port, f"127.0.0.1:{own.port}")
        script = body.split("<script>")[1].split("</script>")[0]
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert head.startswith("HTTP/1.1 200") and f"script-src 'sha256-{digest}'" in head and "default-src 'none'" in head
        assert "frame-ancestors 'none'" in head and "nosniff" in head and "no-store" in head.lower()

    served(tiny_tokenizer, work)


def test_text_is_never_made_html_and_nothing_is_fetched():
    html, _ = server.document()
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|Function\(|@import|url\((?!#)", html)
    assert set(re.findall(r"https?://[^\"' ]+", html)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"<[^>]+\son\w+=", html.split("<script>")[0]) and "{{" not in html


def test_every_control_has_a_name_and_every_id_that_the_script_asks_for_is_there_once():
    html, _ = server.document()
    body, script = html.split("<script>")[0], html.split("<script>")[1]
    ids = re.findall(r'\bid="([\w-]+)"', body)
    assert len(ids) == len(set(ids)) and set(re.findall(r'\$\("([\w-]+)"\)', script)) <= set(ids)
    for tag in re.findall(r"<(?:select|input)[^>]*>", body):
        name = re.search(r'id="([\w-]+)"', tag)[1]
        assert f'<label for="{name}"' in body or re.search(rf'<label class="check"><input[^>]*id="{name}"', body), tag


def test_the_page_has_the_colours_of_the_figures():
    style = (PAGE / "page.css").read_text("utf-8")
    colours = {"ink": INK, "line": LINE, "running": RUNNING, "held": HELD, "cut": CUT} | {n.replace("_", "-"): c for n, c in PARTS.items()}
    assert all(f"--{name}:{colour};" in style for name, colour in colours.items())


def test_files_are_short():
    assert all(len(path.read_text("utf-8").splitlines()) < 400 for path in PAGE.iterdir() if path.is_file())


# ---- a conversation


def test_a_read_starts_before_the_end_and_a_write_is_held_until_it_is_committed(tiny_tokenizer):
    async def work(own: Served) -> None:
        async with own.page() as page:
            await page.kind("ready")
            await page.says("the phone of Bob", "the phone of Bob and text Ann")
            await page.kind("call", line='1. find("bob")', state="done")
            held = await page.kind("call", line='2. send("ann")', state="held")
            assert held["why"] == "held until you have finished and it is committed" and own.worlds[0].sent == []
            await page.send("hears", text="the phone of Bob and text Ann", closes=True)
            await page.send("ends")
            said = await page.kind("answered")
            assert said["text"] == "find bob: +1 555 0100; send ann: sent to ann" and own.worlds[0].sent == ["ann"]
            assert said["latency"] >= 0 and said["turn"] == 1
            states = [call["state"] for call in page.told("call") if call["call"] == 2]
            assert states[-3:] == ["held", "running", "done"]
            assert {wrote["part"] for wrote in page.told("wrote")} >= {"think", "tool_call", "answer"}
            assert "".join(say["text"] for say in page.told("say")) == said["text"]

    served(tiny_tokenizer, work)


def test_a_correction_takes_words_back_and_the_call_runs_anew(tiny_tokenizer):
    async def work(own: Served) -> None:
        async with own.page() as page:
            await page.says("the phone of Bob")
            await page.kind("call", line='1. find("bob")', state="running")
            await page.says("the phone of Ann")
            assert (await page.until(lambda told: told["kind"] == "heard" and told["retracts"] == 1))["text"] == "Ann"
            done = await page.kind("call", line='1. find("ann")', state="done")
            assert (done["version"], done["result"]) == (2, "+1 555 0102")

    served(tiny_tokenizer, work, takes_s=0.05)


def test_a_tool_that_fails_says_why(tiny_tokenizer):
    async def work(own: Served) -> None:
        async with own.page() as page:
            await page.says("broken please")
            failed = await page.kind("call", call=1, state="failed")
            assert failed["result"] == "the line is down"

    served(tiny_tokenizer, work)


def test_speaking_into_an_answer_hushes_it_and_the_model_is_told_how_much_was_heard(tiny_tokenizer):
    async def work(own: Served) -> None:
        async with own.page() as page:
            await page.says("hello there")
            await page.send("ends")
            await page.kind("answered")
            await page.send("speaking", part="begun", heard="")
            await page.says("the phone of Bob")
            await page.kind("hush")
            await page.send("speaking", part="cut", heard="nothing")
            await page.send("ends")
            assert (await page.kind("answered"))["turn"] == 2

    served(tiny_tokenizer, work)


def test_the_same_request_is_played_in_parallel_on_tools_of_its_own(tiny_tokenizer):
    async def work(own: Served) -> None:
        async with own.page(beside=True) as page:
            await page.says("text", "text Bob")
            await page.send("ends")
            answered = await page.kind("answered", turn=1)
            other = await page.kind("answered", beside=True)
            assert other["text"] == answered["text"] and other["latency"] > 0
            # both heard the last word at one time, which is what the lanes are drawn by
            assert other["at"] - other["latency"] == pytest.approx(answered["at"] - answered["latency"], abs=0.002)
            assert [world.sent for world in own.worlds] == [["bob"], ["bob"]]
            # the second request, too, with the first before it
            await page.says("the phone of Ann")
            await page.send("ends")
            assert (await page.kind("answered", beside=True))["turn"] == 2

    served(tiny_tokenizer, work)


def test_what_runs_beside_ends_when_the_user_speaks_and_is_caught_up_with(tiny_tokenizer):
    async def work(own: Served) -> None:
        async with own.page(beside=True) as page:
            await page.says("the phone of Bob")
            await page.send("ends")
            await page.kind("span", beside=True)
            await page.says("text Ann")
            await page.send("ends")
            last = await page.kind("answered", beside=True)
            assert last["turn"] == 2 and not [told for told in page.told("answered", beside=True) if told["turn"] == 1]
            assert [told["turn"] for told in page.told("began", beside=True)] == [1, 2]

    served(tiny_tokenizer, work, takes_s=0.2)


def test_another_mode_is_another_conversation(tiny_tokenizer):
    async def work(own: Served) -> None:
        async with own.page(mode="parallel", beside=True) as page:
            assert page.welcome["mode"] == "parallel" and page.welcome["baseline"] == "parallel"
            await page.says("the phone of Bob")
            await page.send("ends")
            await page.kind("answered")
            first = page.told("span")[0]["seq"]
            assert first > next(told["seq"] for told in page.told("heard") if told["final"]), "it waits for the end"
            assert len(own.worlds) == 1, "it is compared with nothing: it is what others are compared with"

    served(tiny_tokenizer, work)


# ---- a connection that is lost


def test_a_lost_connection_comes_back_and_nothing_is_lost_or_heard_twice(tiny_tokenizer):
    async def work(own: Served) -> None:
        async with own.page() as page:
            await page.says("the phone", "the phone of Bob")
            await page.kind("call", line='1. find("bob")', state="running")
            talk, seen, n = page.welcome["talk"], page.seq, page.n
        async with own.page(talk, seen) as again:
            assert again.welcome["resumed"] and again.welcome["talk"] == talk and again.welcome["taken"] == n
            again.n = n - 1  # it does not know whether its last message arrived
            await again.says("the phone of Bob")
            await again.send("ends")
            said = await again.kind("answered")
            assert said["text"] == "find bob: +1 555 0100"
            assert [told["text"] for told in again.told("heard")] == [""], "the words were heard before, once"

    served(tiny_tokenizer, work, takes_s=0.05)


def test_another_window_takes_a_conversation_over(tiny_tokenizer):
    async def work(own: Served) -> None:
        async with own.page() as page, own.page(page.welcome["talk"], 0) as other:
            assert other.welcome["resumed"]
            with pytest.raises(ConnectionClosed) as closed:
                while True:
                    await page.socket.recv()
            assert closed.value.rcvd.code == 4001

    served(tiny_tokenizer, work)


def test_a_conversation_that_nobody_comes_back_to_ends(tiny_tokenizer):
    async def work(own: Served) -> None:
        async with own.page() as page:
            await page.kind("ready")
            talk = page.welcome["talk"]
        async with own.page() as _:
            async with asyncio.timeout(5):
                while True:
                    async with own.page(talk, 0) as again:
                        if not again.welcome["resumed"]:
                            return
                    await asyncio.sleep(0.1)  # noqa: TID251

    served(tiny_tokenizer, work, Bounds(left_s=0.05))


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
        (["no json"], "one JSON object"), (["[" * 9000], "one JSON object"), (["{}"], "begins with hello"),
        ([HELLO.replace('"mode": ""', '"mode": "nosuch"')], "no mode 'nosuch'"),
        ([HELLO.replace('"after": 0', '"after": -1')], "begins with hello"),
        ([HELLO, json.dumps({"kind": "hears", "n": 1, "text": "x" * 4001, "closes": False})], "more than 4000 characters"),
        ([HELLO, json.dumps({"kind": "hears", "n": 1, "text": 7, "closes": False})], "no message that this page sends"),
        ([HELLO, json.dumps({"kind": "run", "n": 1})], "no message that this page sends"),
        ([HELLO, json.dumps({"kind": "ends", "n": 3})], "message 3 after 0"),
        ([HELLO, json.dumps({"kind": "ends", "n": True})], "message True after 0"),
    ],
)  # fmt: skip
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


def test_a_port_that_is_taken_is_one_line():
    with server.bound(0) as taken:
        taken.listen()
        with pytest.raises(UserError, match=r"port \d+ can't be used \(Address already in use\); give another with --port"):
            server.bound(taken.getsockname()[1])


def test_the_page_without_a_model_named_is_the_shipped_one(monkeypatch, tmp_path):
    loaded = []

    def load(*names: Any, **options: Any) -> Any:
        loaded.append((names, options["constrained"], options["grounded"]))
        raise UserError("far enough")

    monkeypatch.setattr(server, "load", load)
    for more in ([], ["--model", "tiny"]):
        with pytest.raises(UserError, match="far enough"):
            cli.main(["serve", "--page", "--port", "0", "--out", str(tmp_path), *more])
    assert loaded == [(("smollm2", "smollm2-midsentence"), True, True), (("tiny", None), False, False)]


def test_without_the_extra_the_command_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "uvicorn", None)
    with pytest.raises(UserError, match=r"the page needs uvicorn; install it with: pip install 'midsentence\[page\]'"):
        cli.main(["serve", "--page", "--out", str(tmp_path)])


def test_a_row_of_another_mode_keeps_what_else_was_asked():
    parser = cli.Parser()
    serve.add_options(parser)
    asked = parser.parse_args(["--max-context-tokens", "99"])
    assert serve.row_of(asked, "parallel").max_context_tokens == 99 and not serve.row_of(asked, "parallel").listens
