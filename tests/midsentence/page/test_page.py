"""A conversation on the page, with a script in the model's place: what is told, and that a lost connection loses
nothing."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

pytest.importorskip("starlette", reason="install it with: pip install -e '.[page]'")
pytest.importorskip("uvicorn", reason="install it with: pip install -e '.[page]'")
pytest.importorskip("websockets", reason="install it with: pip install -e '.[page]'")

from websockets.exceptions import ConnectionClosed

from midsentence.page import server
from midsentence.page.house import Bounds, House
from tests.midsentence.page.page_client import Served, served
from tests.midsentence.page.page_stage import stage

PAGE = Path(server.__file__).parent


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


def test_what_a_window_says_after_it_was_replaced_is_not_heard(tiny_tokenizer):
    class Wire:
        def __init__(self) -> None:
            self.says: asyncio.Queue[str] = asyncio.Queue()
            self.hears: asyncio.Queue[dict] = asyncio.Queue()
            self.closed = 0

        async def receive(self) -> str:
            return await self.says.get()

        async def send(self, text: str) -> None:
            self.hears.put_nowait(json.loads(text))

        async def close(self, code: int, reason: str) -> None:
            self.closed = code

    async def work() -> None:
        async with asyncio.TaskGroup() as group:
            house, first, other = House(stage(tiny_tokenizer)[0], group, Bounds()), Wire(), Wire()
            hello = {"kind": "hello", "talk": "", "after": 0, "mode": "", "beside": False}
            first.says.put_nowait(json.dumps(hello))
            serving = [group.create_task(house.serve(first))]
            id = (await first.hears.get())["talk"]
            other.says.put_nowait(json.dumps(hello | {"talk": id}))
            serving.append(group.create_task(house.serve(other)))
            await other.hears.get()
            first.says.put_nowait(json.dumps({"kind": "hears", "n": 1, "text": "text Eve", "closes": False}))
            await serving[0]
            assert first.closed == 4001 and house.talks[id].taken == 0
            other.says.put_nowait(json.dumps({"kind": "close"}))
            await serving[1]

    asyncio.run(asyncio.wait_for(work(), 20))


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
