"""The OpenAI Realtime API as the model of live sessions, by the official SDK's websocket client.

Owns one connection a session: items made, responses asked for and cancelled, what was cut put right, a lost connection made anew with
all that was said on it, and the account of what it cost. The protocol stays what it is: tags and call lines as text, explained by the
prompt (``style="full"``). Does not know sound, and the API's own tools: a call starts when its line is there, and theirs come finished.
Needs the extra ``openai``; the key is the client's, by default from ``OPENAI_API_KEY``.

    model = RealtimeModel(AsyncOpenAI(), "gpt-realtime-2", text_renderer())
    async with Session(model, toolbox, model.renderer, settings("speculative"), style="full", detail="full") as session:
        ...
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from openai import AsyncOpenAI, OpenAIError
from websockets.exceptions import InvalidStatus, WebSocketException

from midsentence.addresses import without_keys
from midsentence.core.forgetting import shown
from midsentence.core.protocol import ENDS
from midsentence.core.state import State
from midsentence.models.chat_api import END, GO_ON, Usage
from midsentence.models.live import ContextFull, OnToken
from midsentence.models.realtime_items import Mirror, Piece, appended, pieces, spoken
from midsentence.rendering.renderer import Renderer

LINGER_S = 0.5
"""How long a response whose action is whole has to end by itself, and to say what it used, before it is cancelled."""
REPLY_S = 10.0
"""How long the server may take to settle a session, and to end a response that was cancelled, before the connection is given up."""
LONGEST_WAIT_S = 30.0
"""A server that asks for a longer wait, for its rate limits, is not waited for."""
_FIRST_WAIT_S, _MOST_SEEN = 0.25, 4096
_TRIED_AGAIN = (408, 409, 429)
_KEY = re.compile(r"\b(?:sk|ek|sess)[-_][\w*.-]{4,}")
logger = logging.getLogger(__name__)
_WIRE = logging.getLogger(f"{__name__}.wire")
_WIRE.setLevel(logging.INFO)  # below that, websockets logs the header with the key


class RealtimeFailure(Exception):
    """The server refused, or could not be reached as often as the client tries. Says what it said, without keys."""


class _Lost(Exception):
    """The connection is of no use any more; a new one may be."""


class RealtimeModel:
    """See `midsentence.models.live.LiveModel`. Its sessions run in one event loop, the client's; each has a connection of its own."""

    end_ids = frozenset({END})

    def __init__(self, client: AsyncOpenAI, name: str, renderer: Renderer, **options: Any) -> None:
        """Asks nothing of the server yet.

        Args:
            client: its key, address and ``max_retries`` hold: so often in a row is a lost connection, or a busy server, tried again.
            name: the model's, for the server.
            renderer: with tags as text; of any tokenizer, `midsentence.models.chat_api.text_renderer`'s for one.
            options: of the API's session: ``max_output_tokens``, ``reasoning`` and so on.

        Raises:
            ValueError: the renderer's tags are tokens, which the server does not have.
        """
        if renderer.tags != "text":
            raise ValueError("the renderer's tags are tokens, and the Realtime API takes text; use text_renderer()")
        self.client, self.name, self.renderer, self.options = client, name, renderer, options
        self.usage = Usage()
        self.reconnected = 0
        """Connections that were lost and made anew."""
        self.rate_limits: dict[str, Any] = {}
        """What the server last said of each of its limits, by name: ``limit``, ``remaining``, ``reset_seconds``."""
        self._tasks: set[asyncio.Task[None]] = set()

    def open(self, prompt_ids: Sequence[int], seed: int = 0) -> Future[RealtimeContext]:
        """See `LiveModel`. Fails as the connection does. The API takes no seed."""
        form = self.renderer.format
        system = self.renderer.text(prompt_ids).removeprefix(form.start).removesuffix(form.system_to_environment)
        opened: Future[RealtimeContext] = Future()
        context = RealtimeContext(self, system, opened)
        task = asyncio.get_running_loop().create_task(context.run(), name="realtime connection")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return opened

    def connect(self) -> Any:
        """A new connection, to be entered. The SDK's own reconnecting is off, for it would not restore a conversation."""
        options = {"open_timeout": REPLY_S, "close_timeout": 1.0, "logger": _WIRE}
        return self.client.realtime.connect(model=self.name, websocket_connection_options=options)

    def clean(self, text: Any) -> str:
        """A server's words on one line, without the client's key or anything that looks like one."""
        told = " ".join(str(text).split())[:400]
        key = self.client.api_key
        return _KEY.sub("…", without_keys(told.replace(key, "…") if isinstance(key, str) and key else told))


@dataclass(slots=True)
class _Writing:
    """A generation that a session waits for."""

    on_token: OnToken
    ids: list[int] = field(default_factory=list)
    text: str = ""
    asked: bool = False
    """Whether a response was asked for it, on the connection there is."""

    @property
    def is_whole(self) -> bool:
        """Whether an action has been written to its end."""
        return self.text.rstrip().endswith(ENDS)


@dataclass(slots=True)
class _Response:
    """A response that the server has not ended yet."""

    tag: str
    writing: _Writing
    id: str | None = None
    parts: dict[tuple[int, int], str] = field(default_factory=dict)
    """What came of it, by item and part."""
    items: list[str] = field(default_factory=list)
    """The items that it has begun."""
    early: list[Any] = field(default_factory=list)
    """Events of a response that has not been announced: they wait for its announcement."""
    is_over: bool = False
    """Whether nobody waits for it any more."""
    cancelled: bool = False


class RealtimeContext:
    """See `midsentence.models.live.LiveContext`. The server keeps the conversation; the transcript says what it should be."""

    def __init__(self, model: RealtimeModel, system: str, opened: Future[RealtimeContext]) -> None:
        self._model, self._system, self._opened = model, system, opened
        self._loop = asyncio.get_running_loop()
        self._mirror, self._pieces = Mirror(), list[Piece]()
        self._writing: _Writing | None = None
        self._response: _Response | None = None
        self._wake = asyncio.Event()
        self._deadline: float | None = None
        """When the loop's clock finds something to do, or something that has not been done."""
        self._reply_by = self._linger_until = self._not_before = 0.0
        self._ready = self._greeted = self._closing = self._used = False
        self._failure: Exception | None = None
        self._tries = 0
        self._sent: dict[str, str] = {}
        self._seen: dict[str, None] = {}
        self._ended: dict[str, None] = {}

    # -- what a session asks for ---------------------------------------------------------------------------------

    def append(self, ids: Sequence[int]) -> Future[None]:
        """Sends what was said as items, at once where no response is under way."""
        self._pieces = appended(self._model.renderer, self._pieces, ids)
        self._stir()
        done: Future[None] = Future()
        done.set_result(None)
        return done

    def write(self, header: Sequence[int], state: State, on_token: OnToken, foreseen: Sequence[int] = ()) -> None:
        """Asks for a response, and passes on what comes of it."""
        self._writing = _Writing(on_token)
        self._pieces = pieces(self._model.renderer, shown(state.transcript, state.turned, state.shown))
        if self._failure is not None:
            self._tell(self._writing, self._failure)
        self._stir()

    def took(self, foreseen: Sequence[int] = ()) -> None:
        """The server does not wait for anybody."""

    def stop(self, keep: int) -> None:
        """Ends the response, with a moment to end by itself where an action is whole; what was not kept is deleted at the server."""
        writing, self._writing = self._writing, None
        if writing is not None:
            self._pieces = spoken(self._pieces, self._model.renderer.text(writing.ids[:keep]))
            self._linger_until = self._loop.time() + (LINGER_S if writing.is_whole else 0.0)
            self._stir()

    def close(self) -> None:
        """See `LiveContext`."""
        self.stop(0)
        self._closing = True
        self._stir()

    def _stir(self) -> None:
        self._used = True
        self._wake.set()

    def _tell(self, writing: _Writing | None, token: int | Exception) -> None:
        if writing is not None and writing is self._writing:
            if isinstance(token, int) and token != END:
                writing.ids.append(token)
            writing.on_token(token)

    # -- the connection ------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keeps a connection until the context is closed, or the server can't be had."""
        while not self._closing:
            try:
                async with self._model.connect() as connection:
                    await self._serve(connection)
            except InvalidStatus as error:
                status, body = error.response.status_code, bytes(error.response.body or b"").decode("utf-8", "replace")
                why = f"the Realtime API refused the connection with HTTP {status} ({self._model.clean(body)})"
                if status not in _TRIED_AGAIN and status < 500:
                    return self._fail(RealtimeFailure(f"{why}; look at the address, the model's name and the key"))
                self._lose(why)
            except (RealtimeFailure, ContextFull) as error:
                return self._fail(error)
            except (_Lost, WebSocketException, OSError, TimeoutError, ValueError) as error:
                self._lose(f"{type(error).__name__}: {self._model.clean(error)}")
            except OpenAIError as error:
                return self._fail(RealtimeFailure(f"the Realtime API can't be reached: {self._model.clean(error)}"))
            except Exception as error:
                return self._fail(error)
            else:
                self._lose("the server closed the connection")
            await self._pause()

    async def _serve(self, connection: Any) -> None:
        self._ready = self._greeted = False
        self._sent, self._seen, self._ended = {}, {}, {}
        self._mirror.forget()
        self._reply_by = self._loop.time() + REPLY_S
        sending = self._loop.create_task(self._send(connection))
        receiving = self._loop.create_task(self._receive(connection))
        try:
            await asyncio.wait((sending, receiving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, receiving):
                task.cancel()
            ends = await asyncio.gather(sending, receiving, return_exceptions=True)
        for end in sorted((end for end in ends if isinstance(end, Exception)), key=lambda end: isinstance(end, WebSocketException)):
            raise end

    async def _receive(self, connection: Any) -> None:
        async for event in connection:
            try:
                self._hear(event)
            except (AttributeError, TypeError, LookupError) as error:
                raise _Lost(f"an event that is not the API's ({getattr(event, 'type', None)}: {error})") from error

    async def _send(self, connection: Any) -> None:
        while not self._closing or self._response is not None and not self._response.is_over:
            self._wake.clear()
            for event in self._due():
                self._sent[event.setdefault("event_id", f"ev_{len(self._sent) + 1}")] = event["type"]
                await connection.send(event)
            try:
                async with asyncio.timeout_at(self._deadline):
                    await self._wake.wait()
            except TimeoutError:
                self._on_deadline()

    def _due(self) -> list[dict[str, Any]]:
        """What has to be said to the server now; sets when to look again."""
        self._deadline = None
        if not self._ready:
            self._deadline, greeted, self._greeted = self._reply_by, self._greeted, True
            return [] if greeted else [{"type": "session.update", "session": self._session()}]
        if self._response is not None:
            return self._cancelled(self._response)
        writing = self._writing
        if self._closing or writing is not None and writing.asked:
            return []
        if self._loop.time() < self._not_before:
            self._deadline = self._not_before
            return []
        if writing is None:
            return self._mirror.towards(self._pieces)
        asked_to_go_on = self._pieces and self._pieces[-1].role == "assistant"
        events = self._mirror.towards([*self._pieces, Piece("user", GO_ON)] if asked_to_go_on else self._pieces)
        writing.asked = True
        self._model.usage.requests += 1
        self._response = _Response(f"{self._model.usage.requests}", writing)
        return [*events, {"type": "response.create", "response": {"metadata": {"generation": self._response.tag}}}]

    def _cancelled(self, response: _Response) -> list[dict[str, Any]]:
        """Ends a response that nobody waits for any more, once it has had its moment to end by itself."""
        if response.writing is self._writing:
            return []
        if self._writing is None and self._loop.time() < self._linger_until:
            self._deadline = self._linger_until
            return []
        if not response.is_over:
            response.is_over, self._reply_by = True, self._loop.time() + REPLY_S
        self._deadline = self._reply_by
        if response.cancelled or response.id is None:  # what has not been announced can't be named
            return []
        response.cancelled = True
        self._model.usage.aborted += 1
        return [{"type": "response.cancel", "response_id": response.id}]

    def _session(self) -> dict[str, Any]:
        return {
            "type": "realtime", "instructions": self._system, "output_modalities": ["text"], "tools": [], "tool_choice": "none",
            "truncation": "disabled", "audio": {"input": {"turn_detection": None}}, **self._model.options,
        }

    def _on_deadline(self) -> None:
        if self._loop.time() < self._reply_by:
            return
        if not self._ready:
            raise _Lost(f"no session within {REPLY_S:g} s")
        if self._response is not None and self._response.is_over:
            raise _Lost(f"a response that nobody wants did not end within {REPLY_S:g} s")

    def _lose(self, why: str) -> None:
        """What was under way is over. What has been written stands, as if the model had ended there; what has not, is asked for again."""
        writing, self._response, self._tries = self._writing, None, self._tries + 1
        self._used = writing is not None or not self._opened.done()
        if self._closing:
            return
        logger.warning("the connection to %s was lost: %s", self._model.name, why)
        if self._tries > self._model.client.max_retries:
            self._fail(RealtimeFailure(f"the Realtime API was lost {self._tries} times in a row, at last for: {why}"))
            self._closing = True
        elif writing is not None and writing.text:
            self._model.usage.broken += 1
            self._tell(writing, END)
        elif writing is not None:
            writing.asked = False

    async def _pause(self) -> None:
        """Waits before the next connection: for a reason to have one, and longer the more were lost in a row."""
        if self._closing:
            return
        while not (self._used or self._closing):
            self._wake.clear()
            await self._wake.wait()
        self._model.reconnected += self._opened.done()
        await self._sleep(min(8.0, _FIRST_WAIT_S * 2 ** (self._tries - 1)))

    async def _sleep(self, wait_s: float) -> None:
        until = self._loop.time() + wait_s
        while not self._closing:
            self._wake.clear()
            try:
                async with asyncio.timeout_at(until):
                    await self._wake.wait()
            except TimeoutError:
                return

    def _fail(self, error: Exception) -> None:
        """There will be nothing more: whoever waits is told why, and who asks later too."""
        self._failure = error
        if not self._opened.done() and self._opened.set_running_or_notify_cancel():
            self._opened.set_exception(error)
        self._tell(self._writing, error)

    # -- what the server says ------------------------------------------------------------------------------------

    def _hear(self, event: Any) -> None:
        kind, own = getattr(event, "type", None), getattr(event, "event_id", None)
        if not isinstance(kind, str):
            raise _Lost("a message that is no event")
        if isinstance(own, str):
            if own in self._seen:
                return
            self._seen[own] = None
            if len(self._seen) > _MOST_SEEN:
                del self._seen[next(iter(self._seen))]
        if kind == "session.updated":
            self._settled()
        elif kind == "error":
            self._on_error(event.error)
        elif kind == "rate_limits.updated":
            for limit in event.rate_limits or ():
                self._model.rate_limits[f"{limit.name}"] = limit
        elif kind == "response.created":
            self._announced(event.response)
        elif kind == "response.output_item.added" and self._response is not None and self._response.id == event.response_id:
            self._response.items.append(event.item.id)
        elif kind in ("response.output_text.delta", "response.output_text.done"):
            self._on_text(event)
        elif kind == "response.done":
            self._on_done(event.response)

    def _settled(self) -> None:
        self._ready = True
        if self._opened.cancelled():  # nobody waited for it
            self._closing = True
        elif not self._opened.done() and self._opened.set_running_or_notify_cancel():
            self._opened.set_result(self)
        self._wake.set()

    def _announced(self, response: Any) -> None:
        waiting = self._response
        if waiting is not None and waiting.id is None and self._is_ours(response):
            waiting.id = response.id
            early, waiting.early = waiting.early, []
            for event in early:
                self._on_text(event)
            self._wake.set()

    def _is_ours(self, response: Any) -> bool:
        """Whether a response is the one that was asked for; a server that gives no tag back has no other to mean."""
        tag = (response.metadata or {}).get("generation")
        return self._response is not None and response.id not in self._ended and tag in (None, self._response.tag)

    def _on_text(self, event: Any) -> None:
        response = self._response
        if response is None or response.id != event.response_id:
            if response is not None and response.id is None and event.response_id not in self._ended:
                response.early.append(event)
            return  # of a response that is over
        place = (event.output_index, event.content_index)
        had = response.parts.get(place, "")
        if event.type == "response.output_text.delta":
            if not isinstance(event.delta, str):
                raise _Lost("a piece of text that is none")
            response.parts[place] = had + event.delta
            self._pass_on(response, event.delta)
        else:
            self._complete(response, place, event.text)

    def _complete(self, response: _Response, place: tuple[int, int], text: Any) -> None:
        """The whole text of a part: what is missing at its end is passed on; pieces that do not make it up were garbled on their way."""
        had = response.parts.get(place, "")
        if not isinstance(text, str) or text == had:
            return
        response.parts[place] = text
        if text.startswith(had):
            self._pass_on(response, text[len(had):])
        else:
            self._model.usage.broken += 1
            logger.warning("pieces of a response of %s did not make up its text; what came first stands", self._model.name)
            self._tell(response.writing, END)

    def _pass_on(self, response: _Response, text: str) -> None:
        writing = response.writing
        if writing is self._writing:
            writing.text += text
            for token in self._model.renderer.action_ids(text):
                self._tell(writing, token)

    def _on_done(self, done: Any) -> None:
        response = self._response
        if response is None or (response.id != done.id if response.id is not None else not self._is_ours(done)):
            return
        if response.id is None:
            self._announced(done)
        texts = dict.fromkeys(response.items, "")
        for n, item in enumerate(done.output or ()):
            parts = item.content if item.type == "message" else ()
            for m, part in enumerate(parts if done.status == "completed" else ()):
                self._complete(response, (n, m), part.text)
            texts[item.id] = "".join(part.text or "" for part in parts)
        for own, text in texts.items():
            self._mirror.written(own, text)
        self._count(done.usage)
        self._ended[done.id] = None
        self._response = None
        self._wake.set()
        error = done.status_details.error if done.status_details is not None else None
        if done.status == "failed" and not response.writing.text:
            return self._on_refusal(response.writing, error)
        if response.writing.text:
            self._tries = 0
        if done.status in ("failed", "incomplete") and response.writing is self._writing:
            self._model.usage.broken += 1
            why = error.message if error is not None else getattr(done.status_details, "reason", None)
            logger.warning("a response of %s ended as %s: %s", self._model.name, done.status, self._model.clean(why))
        self._tell(response.writing, END)

    def _count(self, usage: Any) -> None:
        if usage is not None:
            total = self._model.usage
            total.prompt_tokens += usage.input_tokens or 0
            total.completion_tokens += usage.output_tokens or 0
            total.cached_tokens += getattr(usage.input_token_details, "cached_tokens", None) or 0

    def _on_error(self, error: Any) -> None:
        """An error event: of something that was sent, where it says so, or else of what is being waited for."""
        cause = self._sent.get(error.event_id or "", "")
        told = self._model.clean(f"{error.code or error.type}: {error.message}")
        if cause == "session.update" or not self._ready:
            if error.type == "server_error" or error.code == "rate_limit_exceeded":
                raise _Lost(told)
            raise RealtimeFailure(f"the Realtime API refused the session ({told})")
        if cause == "conversation.item.create" or error.code in ("conversation_already_has_active_response", "session_expired"):
            raise _Lost(told)  # the conversation is not what it is taken for
        waiting = self._response
        if waiting is not None and waiting.id is None and (cause == "response.create" or not error.event_id):
            self._response = None
            self._wake.set()
            return self._on_refusal(waiting.writing, error)
        logger.log(logging.INFO if cause else logging.WARNING, "%s says: %s", self._model.name, told)

    def _on_refusal(self, writing: _Writing, error: Any) -> None:
        """A response that nothing came of: asked for again where a moment's wait may help."""
        code, kind = getattr(error, "code", None), getattr(error, "type", None)
        told = self._model.clean(f"{code or kind}: {getattr(error, 'message', None)}")
        if writing is not self._writing:
            return
        if code == "context_length_exceeded":
            return self._tell(writing, ContextFull(told))
        busy = code == "rate_limit_exceeded"
        self._tries += 1
        wait_s = self._limit_wait_s() if busy else 0.0
        wait_s = wait_s or _FIRST_WAIT_S * 2 ** (self._tries - 1)
        if not busy and kind != "server_error" and code != "server_error" and error is not None:
            self._tell(writing, RealtimeFailure(f"the Realtime API refused a response ({told})"))
        elif self._tries > self._model.client.max_retries or wait_s > LONGEST_WAIT_S:
            self._tell(writing, RealtimeFailure(f"the Realtime API gave no response in {self._tries} tries, at last for: {told}"))
        else:
            logger.warning("%s gave no response (%s); asked again in %.1f s", self._model.name, told, wait_s)
            writing.asked, self._not_before = False, self._loop.time() + wait_s

    def _limit_wait_s(self) -> float:
        """How long until the limit that is used up is reset, as the server told; 0 where it did not."""
        used_up = (limit for limit in self._model.rate_limits.values() if limit.remaining == 0)
        return max((limit.reset_seconds or 0.0 for limit in used_up), default=0.0)
