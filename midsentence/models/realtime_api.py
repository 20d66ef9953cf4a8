"""The OpenAI Realtime API as the model of live sessions, by the official SDK's websocket client.

Owns what makes a model of it. The protocol stays what it is: tags and call lines as text, explained by the prompt
(``style="full"``). Does not know sound, and the API's own tools: a call starts when its line is there, and theirs come
finished. What a session says on its connection is `midsentence.models.realtime_context`.
Needs the extra ``openai``; the key is the client's, by default from ``OPENAI_API_KEY``.

    model = RealtimeModel(AsyncOpenAI(), "gpt-realtime-2", text_renderer())
    async with Session(model, toolbox, model.renderer, settings("speculative"), style="full", detail="full") as session:
        ...
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from openai import AsyncOpenAI

from midsentence.models.chat_api import END
from midsentence.models.realtime_client import RealtimeClient
from midsentence.models.realtime_context import RealtimeContext
from midsentence.rendering.renderer import Renderer


class RealtimeModel(RealtimeClient):
    """See `midsentence.models.live.LiveModel`. Its sessions run in one event loop, the client's; each has a connection
    of its own."""

    end_ids = frozenset({END})

    def __init__(self, client: AsyncOpenAI, name: str, renderer: Renderer, **options: Any) -> None:
        """Asks nothing of the server yet.

        Args:
            client: its key, address and ``max_retries`` hold: so often in a row is a lost connection, or a busy server,
                tried again.
            name: the model's, for the server.
            renderer: with tags as text; of any tokenizer, `midsentence.models.chat_api.text_renderer`'s for one.
            options: of the API's session: ``max_output_tokens``, ``reasoning`` and so on.

        Raises:
            ValueError: the renderer's tags are tokens, which the server does not have.
        """
        if renderer.tags != "text":
            raise ValueError("the renderer's tags are tokens, and the Realtime API takes text; use text_renderer()")
        super().__init__(client, name, **options)
        self.renderer = renderer
        self._tasks: set[asyncio.Task[None]] = set()

    def open(self, prompt_ids: Sequence[int], seed: int = 0) -> Future[RealtimeContext]:
        """See `LiveModel`. Fails as the connection does. The API takes no seed."""
        form = self.renderer.format
        system = self.renderer.text(prompt_ids).removeprefix(form.start).removesuffix(form.system_to_environment)
        opened: Future[RealtimeContext] = Future()
        context = RealtimeContext(self, self.renderer, system, opened)
        task = asyncio.get_running_loop().create_task(context.run(), name="realtime connection")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return opened
