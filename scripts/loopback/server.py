"""The Realtime API's text half over a real websocket: a conversation of items, one response at a time, every event of
the SDK's types.

Owns the events and their order, and what the API refuses. Each event is made and read by the pydantic type that the
official SDK has for it, unknown fields refused, so that it can't speak a dialect. Does not know who writes (`Player`).
Sound is refused.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from itertools import count
from typing import Any, Protocol, get_args

from openai.types.realtime import RealtimeClientEvent, RealtimeServerEvent
from pydantic import BaseModel, ValidationError
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from scripts.loopback.script import Row


def _types(union: Any) -> dict[str, type[BaseModel]]:
    """Types of events by the name that each has on the wire."""
    return {get_args(kind.model_fields["type"].annotation)[0]: kind for kind in get_args(get_args(union)[0])}


CLIENT_EVENTS, SERVER_EVENTS = _types(RealtimeClientEvent), _types(RealtimeServerEvent)
LIMIT, WINDOW_S = 1_000_000, 60.0
"""The rate limit that is told: tokens in a time."""


class Player(Protocol):
    """Who writes on one connection."""

    async def listen(self, instructions: str, items: Sequence[tuple[str, str]]) -> None:
        """Takes in what there is, before it is asked to write; items are (role, text)."""
        ...

    def write(self, instructions: str, items: Sequence[tuple[str, str]]) -> AsyncIterator[str | Row]:
        """The pieces of a response; a `Row` before them orders faults."""
        ...

    def count(self, text: str) -> int:
        """Tokens of a text."""
        ...


class Refused(Exception):
    """What the API answers with an ``error`` event."""

    def __init__(self, code: str, message: str, kind: str = "invalid_request_error") -> None:
        super().__init__(message)
        self.code, self.kind = code, kind


def checked(kinds: dict[str, type[BaseModel]], data: Any) -> Any:
    """An event by its SDK type.

    Raises:
        Refused: it is none, or has fields that the API does not know.
    """
    kind = kinds.get(data.get("type")) if isinstance(data, dict) else None
    if kind is None:
        raise Refused("invalid_event", f"no event of type {data.get('type') if isinstance(data, dict) else data!r}")
    try:
        event = kind.model_validate(data)
    except ValidationError as error:
        raise Refused(
            "invalid_event", f"{kind.__name__}: {error.errors()[0]['loc']}: {error.errors()[0]['msg']}"
        ) from error
    if strange := next(_strangers(event), None):
        raise Refused("unknown_parameter", f"Unknown parameter: '{strange}'.")
    return event


def _strangers(value: Any) -> Any:
    """Names of fields, at any depth, that no type knows."""
    if isinstance(value, BaseModel):
        yield from value.model_extra or ()
        for name in type(value).model_fields:
            yield from _strangers(getattr(value, name))
    elif isinstance(value, list):
        for each in value:
            yield from _strangers(each)


class Loopback:
    """Serves connections on 127.0.0.1, each with its own conversation."""

    def __init__(
        self, players: Callable[[], Player], key: str = "", trace: Callable[[str, Any], None] = lambda who, event: None
    ) -> None:
        """Listens once `running` is entered.

        Args:
            players: makes who writes on a connection.
            key: the only one that is let in; empty for any.
            trace: is called with ``client`` or ``server`` and each event.
        """
        self.players, self.key, self.trace = players, key, trace
        self.connections: list[Conversation] = []
        """All that there ever were."""
        self.url = ""
        """For the SDK's ``base_url``."""
        self.statuses: list[int] = []
        """HTTP statuses with which the next connections are refused."""

    @asynccontextmanager
    async def running(self, port: int = 0) -> AsyncIterator[Loopback]:
        """Listens on a port; 0 for a free one."""
        async with serve(self._talk, "127.0.0.1", port, process_request=self._let_in, close_timeout=0.5) as server:
            self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
            yield self

    def _let_in(self, connection: ServerConnection, request: Any) -> Any:
        if self.statuses:
            return connection.respond(HTTPStatus(self.statuses.pop(0)), "as ordered\n")
        key = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not key or self.key not in ("", key):
            return connection.respond(HTTPStatus.UNAUTHORIZED, f"Incorrect API key provided: {key}.\n")
        return (
            None
            if request.path.startswith("/v1/realtime")
            else connection.respond(HTTPStatus.NOT_FOUND, "use /v1/realtime\n")
        )

    async def _talk(self, socket: ServerConnection) -> None:
        conversation = Conversation(socket, self.players(), self.trace)
        self.connections.append(conversation)
        with suppress(ConnectionClosed):
            await conversation.run()


class Conversation:
    """One connection: its session, its items, and the response under way."""

    def __init__(self, socket: ServerConnection, player: Player, trace: Callable[[str, Any], None]) -> None:
        self._socket, self._player, self._trace = socket, player, trace
        self._numbers = count(1)
        self.session: dict[str, Any] = {"type": "realtime", "output_modalities": ["audio"]}
        self.items: list[dict[str, Any]] = []
        self.heard: list[dict[str, Any]] = []
        """Every event of the client's, as it came."""
        self._response: asyncio.Task[None] | None = None
        self._writing: asyncio.Task[str] | None = None
        """The part of a response that can be cancelled."""
        self._listening: asyncio.Task[None] | None = None
        self._row = Row("", "")
        self._held: list[str] = []
        self._read = ""

    async def run(self) -> None:
        """Until the client goes."""
        await self._say("session.created", session=self.session)
        try:
            async for message in self._socket:
                own = None
                try:
                    data = json.loads(message)
                    own = data.get("event_id") if isinstance(data, dict) else None
                    checked(CLIENT_EVENTS, data)
                    self.heard.append(data)
                    self._trace("client", data)
                    await self._obey(data)
                except json.JSONDecodeError:
                    await self._error(Refused("invalid_json", "the event is no JSON"), own)
                except Refused as refusal:
                    await self._error(refusal, own)
        finally:
            for task in (self._writing, self._response, self._listening):
                if task is not None:
                    task.cancel()

    async def _obey(self, event: dict[str, Any]) -> None:
        match event["type"]:
            case "session.update":
                self.session |= event["session"]
                await self._say("session.updated", session=self.session)
            case "conversation.item.create":
                await self._create(event)
            case "conversation.item.delete":
                self.items.remove(self._item(event["item_id"]))
                await self._say("conversation.item.deleted", item_id=event["item_id"])
            case "conversation.item.retrieve":
                await self._say("conversation.item.retrieved", item=self._item(event["item_id"]))
            case "conversation.item.truncate":
                self._item(event["item_id"])
                raise Refused("invalid_value", "Only model output audio messages can be truncated.")
            case "response.create":
                await self._begin(event)
            case "response.cancel":
                if self._response is None or self._response.done():
                    raise Refused("response_cancel_not_active", "Cancellation failed: no active response found")
                if self._writing is not None and self._row.fault != "mute":
                    self._writing.cancel()
            case other:
                raise Refused("unsupported", f"this server speaks text; it takes no {other}")
        if event["type"].startswith(("session", "conversation.item")) and self._listening is None:
            self._listening = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        """Takes in what has come, all at once, when nothing else is under way."""
        if self._response is None or self._response.done():
            await self._player.listen(self.session.get("instructions", ""), self._texts())
        self._listening = None

    # -- items

    def _item(self, own: str) -> dict[str, Any]:
        found = next((item for item in self.items if item["id"] == own), None)
        if found is None:
            raise Refused("item_not_found", f"Item with item_id not found: {own}")
        return found

    async def _create(self, event: dict[str, Any]) -> None:
        item = {"id": f"item_{next(self._numbers)}", "object": "realtime.item", "status": "completed"} | event["item"]
        if item["type"] != "message":
            raise Refused("unsupported", f"this server takes messages; an item of type {item['type']!r} is none")
        if len(item["id"]) > 32:
            raise Refused(
                "string_above_max_length",
                "Invalid 'item.id': string too long. Expected a string with maximum length 32.",
            )
        wanted = {"assistant": "output_text"}.get(item["role"], "input_text")
        if any(part.get("type") != wanted or not part.get("text") for part in item["content"]):
            raise Refused("invalid_value", f"content of {item['role']} is {wanted} with a text")
        if any(other["id"] == item["id"] for other in self.items):
            raise Refused("item_already_exists", f"Item already exists: {item['id']}")
        after = event.get("previous_item_id")
        at = {None: len(self.items), "root": 0}.get(after)
        if at is None:
            at = self.items.index(self._item(after)) + 1
        self.items.insert(at, item)
        previous = self.items[at - 1]["id"] if at else None
        await self._say("conversation.item.added", item=item, previous_item_id=previous)
        await self._say("conversation.item.done", item=item, previous_item_id=previous)

    def _texts(self) -> list[tuple[str, str]]:
        return [(item["role"], "".join(part.get("text") or "" for part in item["content"])) for item in self.items]

    # -- a response

    async def _begin(self, event: dict[str, Any]) -> None:
        given = event.get("response") or {}
        if self._response is not None and not self._response.done():
            raise Refused(
                "conversation_already_has_active_response", "Conversation already has an active response in progress"
            )
        if strange := next((name for name in given if name != "metadata"), None):
            raise Refused("unsupported", f"this server takes metadata of a response; it takes no {strange}")
        if self.session.get("output_modalities") != ["text"]:
            raise Refused("unsupported", "this server writes text; set output_modalities to ['text']")
        texts = self._texts()
        pieces = self._player.write(self.session.get("instructions", ""), texts)
        first = await anext(pieces, "")
        self._row = first if isinstance(first, Row) else Row("", "")
        fault, _, code = self._row.fault.partition(" ")
        if fault == "refuse":
            raise Refused(code, "as ordered", "server_error" if code == "server_error" else "invalid_request_error")
        if fault == "expire":
            await self._error(Refused("session_expired", "Your session hit the maximum duration of 60 minutes."), None)
            return await self._socket.close(1001)
        if fault == "unannounced":
            return
        response = {
            "id": f"resp_{next(self._numbers)}",
            "object": "realtime.response",
            "status": "in_progress",
            "output": [],
        }
        if given.get("metadata"):
            response["metadata"] = given["metadata"]
        read = self.session.get("instructions", "") + "".join(text for _, text in texts)
        self._response = asyncio.create_task(
            self._respond(response, pieces, "" if isinstance(first, Row) else first, read, code)
        )

    async def _respond(
        self, response: dict[str, Any], pieces: AsyncIterator[Any], first: str, read: str, code: str
    ) -> None:
        item: dict[str, Any] = {
            "id": f"item_{next(self._numbers)}",
            "object": "realtime.item",
            "type": "message",
            "status": "in_progress",
            "role": "assistant",
            "content": [],
        }
        with suppress(ConnectionClosed):
            await self._say("response.created", response=response)
            limit = {"name": "tokens", "limit": LIMIT, "remaining": 0 if code == "rate_limit_exceeded" else LIMIT}
            await self._say(
                "rate_limits.updated", rate_limits=[limit | {"reset_seconds": WINDOW_S if limit["remaining"] else 0.05}]
            )
            status = "failed"
            if not code:
                await self._say("response.output_item.added", response_id=response["id"], output_index=0, item=item)
                self.items.append(item)
                await self._say(
                    "conversation.item.added",
                    item=item,
                    previous_item_id=self.items[-2]["id"] if self.items[1:] else None,
                )
                place = {"response_id": response["id"], "item_id": item["id"], "output_index": 0, "content_index": 0}
                await self._say("response.content_part.added", **place, part={"type": "text", "text": ""})
                item["content"] = [{"type": "output_text", "text": ""}]
                self._writing = asyncio.create_task(self._write(place, first, pieces, item["content"][0]))
                await asyncio.wait((self._writing,))
                status = "cancelled" if self._writing.cancelled() else self._writing.result()
            await self._end(response, item, item["content"][0]["text"] if item["content"] else "", status, read, code)

    async def _write(self, place: dict[str, Any], first: str, pieces: AsyncIterator[Any], part: dict[str, str]) -> str:
        """Tells the pieces as they come, which make up the part's text; gives how the response ends."""
        async for part["text"], piece in _growing(first, pieces):
            await self._say(
                "response.output_text.delta",
                **place,
                delta=piece[::-1] if self._row.fault == "garbled_deltas" else piece,
            )
        await self._break()
        return "incomplete" if self._row.fault == "incomplete" else "completed"

    async def _end(
        self, response: dict[str, Any], item: dict[str, Any], text: str, status: str, read: str, code: str
    ) -> None:
        place = {"response_id": response["id"], "output_index": 0}
        if item in self.items:
            item["status"] = "completed" if status == "completed" else "incomplete"
            where = place | {"item_id": item["id"], "content_index": 0}
            await self._say("response.output_text.done", **where, text=text)
            await self._say("response.content_part.done", **where, part={"type": "text", "text": text})
            await self._say("response.output_item.done", **place, item=item)
            await self._say("conversation.item.done", item=item)
        reason = {"cancelled": {"reason": "client_cancelled"}, "incomplete": {"reason": "max_output_tokens"}}.get(
            status, {}
        )
        error = (
            {
                "error": {
                    "code": code,
                    "type": "server_error" if code == "server_error" else "invalid_request_error",
                    "message": "as ordered",
                }
            }
            if code
            else {}
        )
        cached = len(_same(self._read, read))
        self._read = read + text
        tokens = self._player.count(read), self._player.count(text)
        usage = {
            "input_tokens": tokens[0],
            "output_tokens": tokens[1],
            "total_tokens": sum(tokens),
            "input_token_details": {
                "text_tokens": tokens[0],
                "cached_tokens": self._player.count(read[:cached]) if cached else 0,
            },
        }
        details = {"type": status} | reason | error
        response |= {
            "status": status,
            "status_details": details,
            "usage": usage,
            "output": [item] if item in self.items else [],
        }
        await self._say("response.done", response=response)
        if self._row.fault == "late":
            await self._say(
                "response.output_text.delta", **place, item_id=item["id"], content_index=0, delta="</tool_call>"
            )

    async def _break(self) -> None:
        """The faults that come after the words."""
        match self._row.fault:
            case "drop":
                self._socket.transport.abort()
                await asyncio.sleep(60)
            case "garble":
                await self._socket.send('{"type": "response.output_text.delta", "event_id": "ev')
                await asyncio.sleep(60)
            case "strange":
                await self._socket.send('{"type": "response.done", "event_id": "strange"}')
                await asyncio.sleep(60)
            case "mute":
                await asyncio.sleep(60)

    # -- events out

    async def _error(self, refusal: Refused, cause: str | None) -> None:
        told = {"type": refusal.kind, "code": refusal.code, "message": str(refusal)} | (
            {"event_id": cause} if cause else {}
        )
        await self._say("error", error=told)

    async def _say(self, kind: str, **fields: Any) -> None:
        given = {name: value for name, value in fields.items() if value is not None}
        data = {"type": kind, "event_id": f"event_{next(self._numbers)}"} | given
        event = checked(SERVER_EVENTS, data)
        self._trace("server", data)
        text = event.model_dump_json(exclude_unset=True)
        if self._row.fault == "disorder" and kind in ("response.created", "response.output_text.done"):
            self._held.append(text)  # told after the text has begun, and after the end
            return
        await self._socket.send(text)
        if self._row.fault == "repeat":
            await self._socket.send(text)
        if self._held and kind in ("response.output_text.delta", "response.done"):
            held, self._held = self._held, []
            for each in held:
                await self._socket.send(each)


async def _growing(first: str, pieces: AsyncIterator[Any]) -> AsyncIterator[tuple[str, str]]:
    """The text so far, and the piece that is new."""
    text = first
    if first:
        yield text, first
    async for piece in pieces:
        text += piece
        yield text, piece


def _same(one: str, other: str) -> str:
    """The beginning that two texts share."""
    most = min(len(one), len(other))
    return one[: next((n for n in range(most) if one[n] != other[n]), most)]
