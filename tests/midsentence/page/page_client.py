"""A server of the page that runs in a test's own loop, and what a browser does there, without one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import connect

from midsentence.page import server
from midsentence.page.house import Bounds
from tests.midsentence.page.page_stage import FAST, stage


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
        return await self.until(
            lambda message: message["kind"] == kind and all(message.get(name) == value for name, value in more.items())
        )

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
            await socket.send(
                json.dumps({"kind": "hello", "talk": talk, "after": after, "mode": mode, "beside": beside})
            )
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
