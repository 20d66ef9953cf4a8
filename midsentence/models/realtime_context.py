"""One session's conversation with the Realtime API.

Owns one connection: items made, responses asked for and cancelled, what was cut put right, and a lost connection made
anew with all that was said on it. Does not know what of a transcript becomes an item
(`midsentence.models.realtime_items`), and the client.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from openai import OpenAIError
from websockets.exceptions import InvalidStatus, WebSocketException

from midsentence.core.forgetting import shown
from midsentence.core.state import State
from midsentence.models.chat_api import END, GO_ON
from midsentence.models.live import ContextFull, OnToken
from midsentence.models.realtime_client import REPLY_S, Lost, RealtimeClient, RealtimeFailure, logger
from midsentence.models.realtime_items import Mirror, Piece, appended, pieces, spoken
from midsentence.models.realtime_response import Response, Writing, content_of
from midsentence.rendering.renderer import Renderer

LINGER_S = 0.5
"""How long a response whose action is whole has to end by itself, and to say what it used, before it is cancelled."""
LONGEST_WAIT_S = 30.0
"""A server that asks for a longer wait, for its rate limits, is not waited for."""
_FIRST_WAIT_S, _MOST_SEEN = 0.25, 4096
_TRIED_AGAIN = (408, 409, 429)


class RealtimeContext:
    """See `midsentence.models.live.LiveContext`. The server keeps the conversation; the transcript says what it should
    be."""

    foresees = False
    """See `midsentence.models.live.Foreseeing`."""

    def __init__(
        self, client: RealtimeClient, renderer: Renderer, system: str, opened: Future[RealtimeContext]
    ) -> None:
        self._client, self._renderer, self._system, self._opened = client, renderer, system, opened
        self._loop = asyncio.get_running_loop()
        self._mirror, self._pieces = Mirror(), list[Piece]()
        self._writing: Writing | None = None
        self._response: Response | None = None
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
        self._pieces = appended(self._renderer, self._pieces, ids)
        self._stir()
        done: Future[None] = Future()
        done.set_result(None)
        return done

    def write(self, header: Sequence[int], state: State, on_token: OnToken, foreseen: Sequence[int] = ()) -> None:
        """Asks for a response, and passes on what comes of it."""
        self._writing = Writing(on_token)
        self._pieces = pieces(self._renderer, shown(state.transcript, state.turned, state.shown))
        if self._failure is not None:
            self._tell(self._writing, self._failure)
        self._stir()

    def took(self, foreseen: Sequence[int] = ()) -> None:
        """The server does not wait for anybody."""

    def stop(self, keep: int) -> None:
        """Ends the response, with a moment to end by itself where an action is whole; what was not kept is deleted at
        the server."""
        writing, self._writing = self._writing, None
        if writing is not None:
            self._pieces = spoken(self._pieces, self._renderer.text(writing.ids[:keep]))
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

    def _tell(self, writing: Writing | None, token: int | Exception) -> None:
        if writing is not None and writing is self._writing:
            if isinstance(token, int) and token != END:
                writing.ids.append(token)
            writing.on_token(token)

    # -- the connection ------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keeps a connection until the context is closed, or the server can't be had."""
        while not self._closing:
            try:
                async with self._client.connect() as connection:
                    await self._serve(connection)
            except InvalidStatus as error:
                status, body = error.response.status_code, bytes(error.response.body or b"").decode("utf-8", "replace")
                why = f"the Realtime API refused the connection with HTTP {status} ({self._client.clean(body)})"
                if status not in _TRIED_AGAIN and status < 500:
                    return self._fail(RealtimeFailure(f"{why}; look at the address, the model's name and the key"))
                self._lose(why)
            except (RealtimeFailure, ContextFull) as error:
                return self._fail(error)
            except (Lost, WebSocketException, OSError, TimeoutError, ValueError) as error:
                self._lose(f"{type(error).__name__}: {self._client.clean(error)}")
            except OpenAIError as error:
                return self._fail(RealtimeFailure(f"the Realtime API can't be reached: {self._client.clean(error)}"))
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
        for end in sorted(
            (end for end in ends if isinstance(end, Exception)), key=lambda end: isinstance(end, WebSocketException)
        ):
            raise end

    async def _receive(self, connection: Any) -> None:
        async for event in connection:
            try:
                self._hear(event)
            except (AttributeError, TypeError, LookupError) as error:
                raise Lost(f"an event that is not the API's ({getattr(event, 'type', None)}: {error})") from error

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
            return [] if greeted else [{"type": "session.update", "session": self._client.session(self._system)}]
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
        self._client.usage.requests += 1
        self._response = Response(f"{self._client.usage.requests}", writing)
        return [*events, {"type": "response.create", "response": {"metadata": {"generation": self._response.tag}}}]

    def _cancelled(self, response: Response) -> list[dict[str, Any]]:
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
        self._client.usage.aborted += 1
        return [{"type": "response.cancel", "response_id": response.id}]

    def _on_deadline(self) -> None:
        if self._loop.time() < self._reply_by:
            return
        if not self._ready:
            raise Lost(f"no session within {REPLY_S:g} s")
        if self._response is not None and self._response.is_over:
            raise Lost(f"a response that nobody wants did not end within {REPLY_S:g} s")

    def _lose(self, why: str) -> None:
        """What was under way is over. What has been written stands, as if the model had ended there; what has not, is
        asked for again."""
        writing, self._response, self._tries = self._writing, None, self._tries + 1
        self._used = writing is not None or not self._opened.done()
        if self._closing:
            return
        logger.warning("the connection to %s was lost: %s", self._client.name, why)
        if self._tries > self._client.max_retries:
            self._fail(RealtimeFailure(f"the Realtime API was lost {self._tries} times in a row, at last for: {why}"))
            self._closing = True
        elif writing is not None and writing.text:
            self._client.usage.broken += 1
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
        self._client.reconnected += self._opened.done()
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
            raise Lost("a message that is no event")
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
            self._client.limited(event.rate_limits)
        elif kind == "response.created":
            self._announced(event.response)
        elif (
            kind == "response.output_item.added"
            and self._response is not None
            and self._response.id == event.response_id
        ):
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
        if event.type == "response.output_text.delta":
            if not isinstance(event.delta, str):
                raise Lost("a piece of text that is none")
            response.add(place, event.delta)
            self._pass_on(response, event.delta)
        else:
            self._complete(response, place, event.text)

    def _complete(self, response: Response, place: tuple[int, int], text: Any) -> None:
        """The whole text of a part: what is missing at its end is passed on; pieces that do not make it up were garbled
        on their way."""
        if not isinstance(text, str) or text == response.parts.get(place, ""):
            return
        if (rest := response.complete(place, text)) is not None:
            self._pass_on(response, rest)
        else:
            self._client.usage.broken += 1
            logger.warning(
                "pieces of a response of %s did not make up its text; what came first stands", self._client.name
            )
            self._tell(response.writing, END)

    def _pass_on(self, response: Response, text: str) -> None:
        writing = response.writing
        if writing is self._writing:
            writing.text += text
            for token in self._renderer.action_ids(text):
                self._tell(writing, token)

    def _on_done(self, done: Any) -> None:
        response = self._response
        if response is None or (response.id != done.id if response.id is not None else not self._is_ours(done)):
            return
        if response.id is None:
            self._announced(done)
        for n, item in enumerate((done.output or ()) if done.status == "completed" else ()):
            for m, part in enumerate(content_of(item)):
                self._complete(response, (n, m), part.text)
        for own, text in response.texts(done).items():
            self._mirror.written(own, text)
        self._client.count(done.usage)
        self._ended[done.id] = None
        self._response = None
        self._wake.set()
        error = done.status_details.error if done.status_details is not None else None
        if done.status == "failed" and not response.writing.text:
            return self._on_refusal(response.writing, error)
        if response.writing.text:
            self._tries = 0
        if done.status in ("failed", "incomplete") and response.writing is self._writing:
            self._client.usage.broken += 1
            why = error.message if error is not None else getattr(done.status_details, "reason", None)
            logger.warning("a response of %s ended as %s: %s", self._client.name, done.status, self._client.clean(why))
        self._tell(response.writing, END)

    def _on_error(self, error: Any) -> None:
        """An error event: of something that was sent, where it says so, or else of what is being waited for."""
        cause = self._sent.get(error.event_id or "", "")
        told = self._client.clean(f"{error.code or error.type}: {error.message}")
        if cause == "session.update" or not self._ready:
            if error.type == "server_error" or error.code == "rate_limit_exceeded":
                raise Lost(told)
            raise RealtimeFailure(f"the Realtime API refused the session ({told})")
        if cause == "conversation.item.create" or error.code in (
            "conversation_already_has_active_response",
            "session_expired",
        ):
            raise Lost(told)  # the conversation is not what it is taken for
        waiting = self._response
        if waiting is not None and waiting.id is None and (cause == "response.create" or not error.event_id):
            self._response = None
            self._wake.set()
            return self._on_refusal(waiting.writing, error)
        logger.log(logging.INFO if cause else logging.WARNING, "%s says: %s", self._client.name, told)

    def _on_refusal(self, writing: Writing, error: Any) -> None:
        """A response that nothing came of: asked for again where a moment's wait may help."""
        code, kind = getattr(error, "code", None), getattr(error, "type", None)
        told = self._client.clean(f"{code or kind}: {getattr(error, 'message', None)}")
        if writing is not self._writing:
            return
        if code == "context_length_exceeded":
            return self._tell(writing, ContextFull(told))
        busy = code == "rate_limit_exceeded"
        self._tries += 1
        wait_s = self._client.limit_wait_s() if busy else 0.0
        wait_s = wait_s or _FIRST_WAIT_S * 2 ** (self._tries - 1)
        if not busy and kind != "server_error" and code != "server_error" and error is not None:
            self._tell(writing, RealtimeFailure(f"the Realtime API refused a response ({told})"))
        elif self._tries > self._client.max_retries or wait_s > LONGEST_WAIT_S:
            self._tell(
                writing,
                RealtimeFailure(f"the Realtime API gave no response in {self._tries} tries, at last for: {told}"),
            )
        else:
            logger.warning("%s gave no response (%s); asked again in %.1f s", self._client.name, told, wait_s)
            writing.asked, self._not_before = False, self._loop.time() + wait_s
