"""A chat/completions server in the test's own process, over real HTTP: a script speaks in the model's place, and faults
come as ordered.

What it sends is made of the SDK's own types, so that it can't speak a dialect.
"""
# ruff: noqa: TID251  (a server that takes its time)

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from openai.types import CompletionUsage
from openai.types.chat import ChatCompletionChunk
from openai.types.chat.chat_completion_chunk import Choice, ChoiceDelta
from openai.types.completion_usage import PromptTokensDetails

Reply = str | tuple[str, str]
"""What the model writes; or (fault, with what): ``status`` with a code and the API's own, ``cut`` or ``garbled`` after
a text, ``slow``."""


class ChatServer:
    """Answers each request with the next reply that fits it."""

    def __init__(self, answer: Callable[[list[dict[str, str]]], Reply]) -> None:
        self._answer = answer
        self.asked: list[dict[str, Any]] = []
        """The bodies of all requests."""
        self.hung_up = 0
        """Requests whose caller went before their end."""
        self.url = ""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[ChatServer]:
        """Listens on a free port of the loopback."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        try:
            yield self
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
                body = json.loads(await reader.readexactly(int(fields[b"content-length"])))
                self.asked.append(body)
                await self._reply(self._answer(body["messages"]), writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.hung_up += not writer.is_closing()
        finally:
            writer.close()

    async def _reply(self, reply: Reply, writer: asyncio.StreamWriter) -> None:
        fault, text = reply if isinstance(reply, tuple) else ("", reply)
        if fault == "status":
            body = json.dumps(
                {"error": {"message": "refused", "code": text.partition(" ")[2] or None, "type": "error"}}
            ).encode()
            code = text.partition(" ")[0]
            head = f"HTTP/1.1 {code} No\r\nretry-after-ms: 10\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)
            return await writer.drain()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        for piece in (text[at : at + 3] for at in range(0, len(text), 3)):
            self._send(writer, ChoiceDelta(content=piece))
            await writer.drain()
            await asyncio.sleep(0.05 if fault == "slow" else 0)
        if fault == "garbled":
            writer.write(_chunked(b'data: {"choices": [{"del\n\n'))
        if fault == "cut":
            writer.close()
            raise ConnectionError("as ordered")
        self._send(writer, ChoiceDelta(), "stop")
        usage = CompletionUsage(
            prompt_tokens=100,
            completion_tokens=10,
            total_tokens=110,
            prompt_tokens_details=PromptTokensDetails(cached_tokens=60),
        )
        self._send(writer, None, usage=usage)
        writer.write(_chunked(b"data: [DONE]\n\n") + b"0\r\n\r\n")
        await writer.drain()

    def _send(
        self, writer: asyncio.StreamWriter, delta: ChoiceDelta | None, end: Any = None, usage: Any = None
    ) -> None:
        choices = [] if delta is None else [Choice(delta=delta, index=0, finish_reason=end)]
        chunk = ChatCompletionChunk(
            id="c", choices=choices, created=0, model="scripted", object="chat.completion.chunk", usage=usage
        )
        writer.write(_chunked(b"data: " + chunk.model_dump_json(exclude_unset=True).encode() + b"\n\n"))


def _chunked(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"
