"""A chat/completions server as the model of live sessions, by the official OpenAI SDK: the cloud, vLLM, llama.cpp's
server, TGI.

Owns the translation of a session's context into messages and of streamed text into tokens, the aborting of what is not
wanted any more, and the account of what it cost. The protocol stays what it is: tags and call lines as text, explained
by the prompt (``style="full"``). Does not know the API's own tools: a call starts when its line is there, and no server
streams finished calls. Needs the extra ``openai``.

    model = ChatModel(AsyncOpenAI(base_url=...), "gpt-4.1-mini", text_renderer())
    async with Session(model, toolbox, model.renderer, settings("speculative"), style="full", detail="full") as session:
        ...
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from openai import APIStatusError, AsyncOpenAI

from midsentence.core.forgetting import shown
from midsentence.core.state import State
from midsentence.core.transcript import CLOSERS, Segment
from midsentence.models.live import ContextFull, OnToken
from midsentence.rendering.renderer import Renderer

END = -1
"""The token that says that the server has ended its turn."""
LINGER_S = 1.0
GO_ON = "(go on)"
"""What the user's turn says where the model is asked to write on after its own: an interface of turns has no other
way."""
logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Usage:
    """What a model's sessions have used, as the server counts it."""

    requests: int = 0
    """Requests sent."""
    aborted: int = 0
    """Requests that were given up while they wrote; servers tell nothing of what these cost."""
    broken: int = 0
    """Streams that were cut in their middle."""
    prompt_tokens: int = 0
    """Tokens that the server read, cached ones included."""
    cached_tokens: int = 0
    """Of the prompt's tokens, those that the server had in its cache."""
    completion_tokens: int = 0
    """Tokens that the server wrote."""

    def cost(self, prompt: float, completion: float, cached: float | None = None) -> float:
        """What that comes to at prices a million tokens; without a price of its own, a cached token costs what any
        does.

        A lower bound where requests were aborted.
        """
        fresh = self.prompt_tokens - self.cached_tokens
        return (
            fresh * prompt
            + self.cached_tokens * (prompt if cached is None else cached)
            + self.completion_tokens * completion
        ) / 1e6


def text_renderer() -> Renderer:
    """A renderer for models whose tokenizer nobody has: tags are text, and ids those of the small tokenizer that comes
    with the code."""
    from transformers import AutoTokenizer

    from midsentence.models.folders import resolve

    return Renderer(AutoTokenizer.from_pretrained(resolve("tiny")), "text")


class ChatModel:
    """See `midsentence.models.live.LiveModel`. Its sessions run in one event loop, the client's."""

    end_ids = frozenset({END})

    def __init__(self, client: AsyncOpenAI, name: str, renderer: Renderer, **options: Any) -> None:
        """Asks nothing of the server yet.

        Args:
            client: its ``max_retries`` and ``timeout`` hold: requests that fail before they write are tried again by
                the SDK.
            name: the model's, for the server.
            renderer: with tags as text; of any tokenizer, `text_renderer`'s for one.
            options: of ``client.chat.completions.create``: ``temperature``, ``max_completion_tokens``, ``extra_body``
                and so on.

        Raises:
            ValueError: the renderer's tags are tokens, which the server does not have.
        """
        if renderer.tags != "text":
            raise ValueError("the renderer's tags are tokens, and a chat server takes text; use text_renderer()")
        self.client, self.name, self.renderer, self.options = client, name, renderer, options
        self.usage = Usage()

    def open(self, prompt_ids: Sequence[int], seed: int = 0) -> Future[ChatContext]:
        """See `LiveModel`."""
        form = self.renderer.format
        system = self.renderer.text(prompt_ids).removeprefix(form.start).removesuffix(form.system_to_environment)
        done: Future[ChatContext] = Future()
        done.set_result(ChatContext(self, system, seed))
        return done


@dataclass(slots=True)
class _Writing:
    """A generation under way."""

    on_token: OnToken
    text: str = ""
    is_wanted: bool = True
    task: asyncio.Task[None] | None = None

    @property
    def is_whole(self) -> bool:
        """Whether an action has been written to its end."""
        return self.text.rstrip().endswith(("</tool_call>", "<pause>", "</answer>"))


class ChatContext:
    """See `midsentence.models.live.LiveContext`. The server keeps none: each request carries the whole; what it caches
    is its affair."""

    foresees = False
    """See `midsentence.models.live.Foreseeing`."""

    def __init__(self, model: ChatModel, system: str, seed: int) -> None:
        self._model, self._system, self._seed = model, system, seed
        self._writing: _Writing | None = None

    def append(self, ids: Sequence[int]) -> Future[None]:
        """Taken in with the next request."""
        done: Future[None] = Future()
        done.set_result(None)
        return done

    def write(self, header: Sequence[int], state: State, on_token: OnToken, foreseen: Sequence[int] = ()) -> None:
        """Asks the server to go on, and passes on what it writes."""
        asked = messages(self._model.renderer, self._system, shown(state.transcript, state.turned, state.shown))
        writing = self._writing = _Writing(on_token)
        writing.task = asyncio.get_running_loop().create_task(self._stream(asked, writing), name="chat stream")

    async def _stream(self, asked: list[dict[str, str]], writing: _Writing) -> None:
        model = self._model
        model.usage.requests += 1
        try:
            stream = await model.client.chat.completions.create(
                model=model.name,
                messages=asked,
                seed=self._seed,
                stream=True,
                stream_options={"include_usage": True},
                **model.options,
            )
            async with stream:
                async for chunk in stream:
                    self._count(chunk.usage)
                    for choice in chunk.choices:
                        self._pass_on(writing, (choice.delta.content if choice.delta is not None else None) or "")
        except asyncio.CancelledError:
            model.usage.aborted += 1
            raise
        except Exception as error:
            if not writing.text:
                return self._tell(writing, _meant(error))
            # what is there stands, as if the model had ended there; the session asks again
            model.usage.broken += 1
            logger.warning("the stream of %s was cut in its middle: %s: %s", model.name, type(error).__name__, error)
        self._tell(writing, END)

    def _pass_on(self, writing: _Writing, text: str) -> None:
        writing.text += text
        for token in self._model.renderer.action_ids(text):
            self._tell(writing, token)

    def _tell(self, writing: _Writing, token: int | Exception) -> None:
        if writing.is_wanted:
            writing.on_token(token)

    def _count(self, usage: Any) -> None:
        if usage is not None:
            total = self._model.usage
            total.prompt_tokens += usage.prompt_tokens
            total.completion_tokens += usage.completion_tokens
            total.cached_tokens += getattr(usage.prompt_tokens_details, "cached_tokens", None) or 0

    def took(self, foreseen: Sequence[int] = ()) -> None:
        """The server does not wait for anybody."""

    def stop(self, keep: int) -> None:
        """Ends the stream: closing it is how the server learns that nobody wants the rest.

        After a whole action the server is about to end by itself, and to say what it used: it has a moment for that.
        """
        writing, self._writing = self._writing, None
        if writing is not None and writing.task is not None:
            writing.is_wanted = False
            if writing.is_whole:
                asyncio.get_running_loop().call_later(LINGER_S, writing.task.cancel)
            else:
                writing.task.cancel()

    def close(self) -> None:
        """See `LiveContext`."""
        self.stop(0)


def messages(renderer: Renderer, system: str, segments: Iterable[Segment]) -> list[dict[str, str]]:
    """A context as a chat: what the model wrote is the assistant's, all else the user's, a line a segment."""
    made = [{"role": "system", "content": system}]
    for segment in segments:
        is_model = segment.kind == "model" or segment.kind in CLOSERS
        text = segment.text if segment.kind == "model" else renderer.text(renderer.environment_ids(segment))
        role = "assistant" if is_model else "user"
        if made[-1]["role"] == role:
            made[-1]["content"] += text
        else:
            made.append({"role": role, "content": text})
    if made[-1]["role"] == "assistant":
        made.append({"role": "user", "content": GO_ON})
    return made


def _meant(error: Exception) -> Exception:
    if isinstance(error, APIStatusError) and error.code == "context_length_exceeded":
        return ContextFull(f"{error.message}")
    return error
