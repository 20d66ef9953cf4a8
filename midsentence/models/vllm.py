"""The backend on a vLLM server: its completions API with token ids, so contexts are those of any other backend.

Owns which request writes which context, and when one is given up; the server owns the weights, the batch and the cache.
What a context holds goes out whole with each request, and the server's prefix cache leaves what is new to compute, to
the block. A request writes on by itself while its tokens are read one by one, so many contexts share the server's
steps; an append or a crop closes its connection, which is how the server learns that nobody wants the rest, unless what
is appended is what it writes anyway (a grammar's forced tokens are, most of the time). Does not know the protocol, and
starts no server: `docs/vllm.md` says how.

Why not vLLM's streaming input, which keeps a context inside a request: no HTTP interface takes it for text, a new piece
waits until the one before has been written to its end, and what was written can't be taken back. It drops the last
token of each piece, too.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import PurePath
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from midsentence.addresses import without_keys
from midsentence.core.protocol import ENDS
from midsentence.models.ends import action_ends, turn_ends
from midsentence.models.model import Mask, check_room

SERVER = "http://127.0.0.1:8000/v1"
"""Where ``vllm serve`` listens unless it is told otherwise."""
KEY_ENV = "VLLM_API_KEY"
"""Environment variable of the key, for a server that wants one."""
_AHEAD_TOKENS = 256
"""The most that one request writes: what nobody reads on a server that has not noticed yet ends there."""
_FORCED_TOKENS = 16
"""The longest append that a writing is compared with: a grammar's forced tokens. What others say is longer, or comes
after an end."""
_PATIENCE_S = 600.0
"""How long the server may say nothing: a full one lets requests wait."""


class ServerFailed(ConnectionError):
    """The server can't be reached, has refused a request, or broke off."""


@dataclass(slots=True)
class Usage:
    """What has been asked of the server, as far as it says what that cost."""

    requests: int = 0
    """Requests sent."""
    aborted: int = 0
    """Requests given up while they wrote; of these the server tells nothing."""
    prompt_tokens: int = 0
    """Of the requests that came to their end."""
    cached_tokens: int = 0
    """Of those, what was in the server's cache; always 0 unless it was started with
    ``--enable-prompt-tokens-details``."""
    written_tokens: int = 0
    """Tokens that came, those included that no context took."""
    resampled: int = 0
    """Tokens that a mask refused, and that were asked for again among the allowed ones."""

    def __str__(self) -> str:
        cached = f"{self.cached_tokens} of {self.prompt_tokens} tokens of a context found in the cache (of requests that ended)"
        return f"{self.requests} requests, {self.aborted} given up, {self.written_tokens} tokens written, {self.resampled} again; {cached}"


class VllmStream:
    """One context: its ids, and the request that writes what comes next, if there is one."""

    __slots__ = ("closed", "ids", "request", "seed")

    def __init__(self, ids: list[int], seed: int) -> None:
        self.ids, self.seed = ids, seed
        self.request: _Request | None = None
        self.closed = False

    @property
    def length(self) -> int:
        """Tokens in the context, the prompt included."""
        return len(self.ids)


class VllmModel:
    """A served model that writes many streams. One thread at a time may use it."""

    def __init__(
        self,
        server: str = SERVER,
        *,
        names: Iterable[str],
        tokenizer: Any,
        end_ids: int | Iterable[int] | None = None,
        temperature: float = 0.0,
        max_tokens: int = 4096,
        eager: bool = True,
        patience_s: float = _PATIENCE_S,
    ) -> None:
        """Asks the server what it serves, and whether its tokenizer is ours.

        Args:
            server: the base of its OpenAI interface, with ``/v1``. A key is taken from `KEY_ENV`.
            names: what the model may be called there: a name that it is served by, or a folder whose last part is one.
            tokenizer: the model's.
            end_ids: tokens at which the model's folder says that a text ends.
            temperature: 0 is greedy. Else what is drawn follows from the stream's seed and from where requests begin.
            max_tokens: the longest context; never longer than the server's.
            eager: whether `append` has the server compute at once (live), or leaves it for the next `decode`
                (throughput).
            patience_s: how long the server may say nothing.

        Raises:
            ServerFailed: nobody answers there, or no vLLM server does.
            ValueError: it serves no model of such a name, or one with another tokenizer.
        """
        self.server = _Server(server, patience_s)
        self.tokenizer, self.temperature, self.eager = tokenizer, temperature, eager
        self.name, longest = _served(self.server, [name for name in names if name])
        _paired(self.server, self.name, tokenizer)
        self.context_tokens: int | None = longest
        """The longest context that the server takes, where it says so."""
        self.max_tokens = min(max_tokens, longest or max_tokens)
        self.vocabulary_tokens = self.embeddings = len(tokenizer)
        self._any = np.ones(self.vocabulary_tokens, bool)
        self.end_ids = turn_ends(end_ids, tokenizer)
        """Tokens with which the model ends a turn; a caller decides what they mean."""
        self.usage = Usage()
        ends = action_ends(tokenizer)
        # where the tags are text the server must look for them itself
        self.options: dict[str, Any] = {"stop_token_ids": sorted({*ends.values(), *self.end_ids})} | (
            {} if ends else {"stop": list(ENDS)}
        )
        """What every request says besides: where the server stops, in vLLM's words."""

    # --- the interface of midsentence.models.model.Model

    def open(self, prompt_ids: Sequence[int], seed: int = 0) -> VllmStream:
        """A new context; the server computes once what contexts have in common.

        Raises:
            ValueError: an empty prompt, or one longer than ``max_tokens``.
        """
        if not prompt_ids:
            raise ValueError("a context can't begin with an empty prompt; give it at least one id")
        check_room(0, len(prompt_ids), self.max_tokens)
        stream = VllmStream(list(prompt_ids), seed)
        if self.eager:
            self._compute([stream])
        return stream

    def append(self, batch: Sequence[tuple[VllmStream, Sequence[int]]]) -> None:
        """Extends each context by its ids; an eager model has them computed before this returns, all together.

        Raises:
            ValueError: a context would grow past ``max_tokens``, or is closed; none is extended then.
        """
        for stream, ids in batch:
            self._open(stream)
            check_room(stream.length, len(ids), self.max_tokens)
        for stream, ids in batch:
            check_room(stream.length, len(ids), self.max_tokens)  # a stream may be there twice
            if len(ids) > _FORCED_TOKENS or self.temperature and ids:
                self._abort(stream)
            stream.ids.extend(ids)
        if self.eager:
            self._compute([stream for stream, ids in batch if ids])

    def decode(self, streams: Sequence[VllmStream], masks: Sequence[Mask | None] | None = None) -> list[int]:
        """One token for each stream, chosen and appended to its context.

        A mask is held against what the server writes freely. What it refuses is asked for again, among the allowed
        tokens alone: greedy the best of these, else drawn from their distribution; so both are what choosing under the
            mask gives.

        Raises:
            ValueError: a context is full or closed, or a mask allows nothing.
            ServerFailed: the server refuses, or breaks off.
        """
        for stream in streams:
            self._open(stream)
            check_room(stream.length, 1, self.max_tokens)
        allowed = [_allowed(mask, self._any) for mask in masks or [None] * len(streams)]
        for stream in streams:
            if not self._keeps_pace(stream):
                self._ask(stream, _AHEAD_TOKENS)
        chosen = [self._peek(stream) for stream in streams]
        refused = [
            n for n, token in enumerate(chosen) if not allowed[n][token : token + 1].any()
        ]  # ids beyond the tokenizer's, too
        for n in refused:
            self._abort(streams[n])
            self._ask(streams[n], 1, np.flatnonzero(allowed[n]).tolist())
        for n in refused:
            chosen[n] = self._peek(streams[n])
        self.usage.resampled += len(refused)
        for stream, token in zip(streams, chosen, strict=True):
            assert stream.request is not None
            stream.request.taken += 1
            stream.ids.append(token)
        return chosen

    def crop(self, stream: VllmStream, length: int) -> None:
        """Forgets all but the first ``length`` tokens, and gives up what is being written.

        Raises:
            ValueError: the context is not that long, or is closed.
        """
        self._open(stream)
        if not 0 < length <= stream.length:
            raise ValueError(
                f"can't crop a context of {stream.length} tokens to {length}; keep between 1 and {stream.length}"
            )
        self._abort(stream)
        del stream.ids[length:]

    def fork(self, stream: VllmStream) -> VllmStream:
        """An independent copy, with the same seed."""
        self._open(stream)
        return VllmStream(list(stream.ids), stream.seed)

    def close(self, stream: VllmStream) -> None:
        """Gives up what is being written. Twice is harmless."""
        self._abort(stream)
        stream.closed = True

    # --- inside

    def _open(self, stream: VllmStream) -> None:
        if stream.closed:
            raise ValueError(f"the context of {stream.length} tokens is closed; open another")

    def _compute(self, streams: Sequence[VllmStream]) -> None:
        """Has the server take in what it lacks. It can't do that without writing, so one token is there for the next
        `decode`."""
        asked = [
            stream
            for stream in dict.fromkeys(streams)
            if not self._keeps_pace(stream) and stream.length < self.max_tokens
        ]
        for stream in asked:
            self._ask(stream, 1)
        for stream in asked:
            self._peek(stream)

    def _keeps_pace(self, stream: VllmStream) -> bool:
        """Whether the stream's request has a token for what comes next; one that wrote other tokens than were appended
        is given up."""
        while (request := stream.request) is not None and not request.is_read:
            if request.start + request.taken == stream.length:
                return True
            if self._peek(stream) == stream.ids[request.start + request.taken]:
                request.taken += 1
            else:
                self._abort(stream)
        return False

    def _ask(self, stream: VllmStream, most: int, allowed: Sequence[int] | None = None) -> None:
        body = {
            "model": self.name,
            "prompt": stream.ids,
            "max_tokens": min(most, self.max_tokens - stream.length),
            "stream": True,
            "stream_options": {"include_usage": True},
            "return_token_ids": True,
            "temperature": self.temperature,
            # a server takes these from the model's folder where a request does not say them
            "top_p": 1.0,
            "top_k": 0,
            "min_p": 0.0,
            "repetition_penalty": 1.0,
            "presence_penalty": 0.0,
            "frequency_penalty": 0.0,
            **self.options,
        }
        if self.temperature:
            point = f"{stream.seed}:{stream.length}:{'' if allowed is None else 'allowed'}"
            body["seed"] = int.from_bytes(hashlib.sha256(point.encode()).digest()[:7], "big")
        if allowed is not None:
            body["allowed_token_ids"] = allowed
        self.usage.requests += 1
        stream.request = _Request(self.server, body)

    def _peek(self, stream: VllmStream) -> int:
        """The next token that the stream's request writes."""
        request = stream.request
        assert request is not None
        while len(request.tokens) == request.taken:
            try:
                more = request.read()
            except BaseException:
                self._abort(stream)
                raise
            self.usage.written_tokens += more
            if request.ended:
                self.usage.prompt_tokens += request.prompt_tokens
                self.usage.cached_tokens += request.cached_tokens
                if not more:
                    stream.request = None
                    raise ServerFailed(f"{self.server} ended a request without a token; its log says why")
        return request.tokens[request.taken]

    def _abort(self, stream: VllmStream) -> None:
        request, stream.request = stream.request, None
        if request is not None and not request.ended:
            self.usage.aborted += 1
            request.close()


class _Server:
    """Where a server is, and one call to it."""

    def __init__(self, address: str, patience_s: float) -> None:
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{without_keys(address)!r} is no address of a server; give one such as {SERVER}")
        self.base, self._host, self._patience_s = parts.path.rstrip("/"), parts.netloc.rpartition("@")[2], patience_s
        self._kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._shown = without_keys(address)

    def __str__(self) -> str:
        return f"the vLLM server at {self._shown}"

    def post(self, path: str, body: dict[str, Any] | None) -> HTTPConnection:
        """A connection on which a request has gone out: a GET where there is no body.

        Raises:
            ServerFailed: nobody is there.
        """
        made = self._kind(self._host, timeout=self._patience_s)
        data = json.dumps(body, separators=(",", ":")) if body is not None else None
        headers = {"Content-Type": "application/json", "Connection": "close"}
        if key := os.environ.get(KEY_ENV):
            headers["Authorization"] = f"Bearer {key}"
        try:
            made.request("POST" if body is not None else "GET", path, data, headers)
        except OSError as error:
            made.close()
            raise ServerFailed(
                f"{self} can't be reached ({error}); start one with: vllm serve FOLDER, or give another address"
            ) from error
        return made

    def answered(self, made: HTTPConnection) -> HTTPResponse:
        """The answer to what was sent, whose body has not been read.

        Raises:
            ServerFailed: it is no answer, or a refusal.
        """
        try:
            response = made.getresponse()
            refusal = "" if response.status == 200 else response.read().decode(errors="replace")
        except (OSError, HTTPException) as error:
            made.close()
            raise ServerFailed(f"{self} broke off ({type(error).__name__}: {error}); its log says why") from error
        if response.status != 200:
            made.close()
            key = f"; its key is taken from {KEY_ENV}" if response.status == 401 else ""
            raise ServerFailed(f"{self} refuses with status {response.status}: {' '.join(refusal.split())[:300]}{key}")
        return response

    def call(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """The JSON that a path answers with."""
        made = self.post(path, body)
        with self.answered(made) as response:
            try:
                return json.load(response)
            except (OSError, HTTPException, ValueError) as error:
                raise ServerFailed(f"{self} answers {path} with no JSON ({error}); is it a vLLM server?") from error
            finally:
                made.close()


class _Request:
    """One completion that is being written."""

    def __init__(self, server: _Server, body: dict[str, Any]) -> None:
        self.start = len(body["prompt"])
        """Length of the context that it goes on from."""
        self._server, self._made = server, server.post(f"{server.base}/completions", body)
        self._response: HTTPResponse | None = None
        self._socket: socket.socket | None = self._made.sock
        self.tokens: list[int] = []
        """What has come."""
        self.taken = 0
        """How many of them the context has."""
        self.ended = False
        self.prompt_tokens = self.cached_tokens = 0
        """As the server counts them, at the end."""

    @property
    def is_read(self) -> bool:
        """Whether it has no token more to give."""
        return self.ended and self.taken == len(self.tokens)

    def read(self) -> int:
        """Waits for more tokens, and gives how many have come; at the end none may.

        Raises:
            ServerFailed: the server refuses, or breaks off.
        """
        if self._response is None:
            self._response = self._server.answered(self._made)
        before, finished = len(self.tokens), False
        while not self.ended and (finished or len(self.tokens) == before):
            told = self._line()
            if told is None:
                self.ended = True
                self.close()
            elif "error" in told:
                raise ServerFailed(f"{self._server} gave up: {told['error'].get('message', told['error'])}")
            else:
                for choice in told.get("choices") or ():
                    if choice.get("token_ids") is None:
                        raise ServerFailed(f"{self._server} gives no token ids; it must be vLLM 0.11 or later")
                    self.tokens += choice["token_ids"]
                    finished = finished or choice.get("finish_reason") is not None  # what it used comes right behind
                if used := told.get("usage"):
                    self.prompt_tokens = used["prompt_tokens"]
                    self.cached_tokens = (used.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
        return len(self.tokens) - before

    def _line(self) -> Any:
        """The next event; None at the end."""
        assert self._response is not None
        try:
            while line := self._response.readline():
                if line.startswith(b"data:"):
                    data = line[5:].strip()
                    return None if data == b"[DONE]" else json.loads(data)
        except (OSError, HTTPException, ValueError) as error:
            raise ServerFailed(
                f"{self._server} broke off ({type(error).__name__}: {error}); its log says why"
            ) from error
        raise ServerFailed(f"{self._server} closed a stream before its end; its log says why")

    def close(self) -> None:
        """Closes the connection, at once."""
        if self._socket is not None:
            with suppress(OSError):  # the server was first
                self._socket.shutdown(socket.SHUT_RDWR)
        if self._response is not None:
            self._response.close()
        self._made.close()

    def __del__(self) -> None:
        if hasattr(self, "_socket"):  # of a context that was let go of without `VllmModel.close`
            self.close()


def _served(server: _Server, names: Sequence[str]) -> tuple[str, int | None]:
    """What the model is called there, and the longest context."""
    told = server.call(f"{server.base}/models")
    models = told.get("data") if isinstance(told, dict) else None
    if not models or not all(isinstance(model, dict) and "id" in model for model in models):
        raise ServerFailed(f"{server} lists no models; is it a vLLM server?")
    longest = max((model["max_model_len"] for model in models if model.get("max_model_len")), default=None)
    wanted = {*names, *(PurePath(name).name for name in names)}
    for model in models:
        # a LoRA adapter is served by a name of its own; its root is its folder, the base model's is the base model
        if wanted & {model["id"], PurePath(model["id"]).name, PurePath(model.get("root") or model["id"]).name}:
            return str(model["id"]), longest
    known = ", ".join(str(model["id"]) for model in models)
    raise ValueError(
        f"{server} serves {known}, and {' or '.join(names)} is asked of it; start it with --served-model-name {PurePath(names[0]).name} "
        f"(of an adapter: --lora-modules {PurePath(names[0]).name}=FOLDER), or give the name that it has"
    )


def _paired(server: _Server, name: str, tokenizer: Any) -> None:
    """Ids mean nothing to a server with another tokenizer: it must cut a text with all added tokens as ours does."""
    added = sorted(getattr(tokenizer, "added_tokens_decoder", {}).items())
    text = 'Text Bob: "at 10.30"\n' + "x".join(token.content for _, token in added)
    told = server.call(
        f"{server.base.removesuffix('/v1')}/tokenize", {"model": name, "prompt": text, "add_special_tokens": False}
    )
    if not isinstance(told, dict) or told.get("tokens") != tokenizer.encode(text, add_special_tokens=False):
        raise ValueError(
            f"{server} cuts a text into other tokens than the tokenizer of {name} here; serve the folder that python -m training.export "
            "makes of the checkpoint (an adapter with added tokens can't be served as such), or give the model that is served"
        )


def _allowed(mask: Mask | None, anything: np.ndarray) -> np.ndarray:
    """(V,) bool, ``anything`` where there is no mask; ids beyond the mask are not allowed."""
    if mask is None or (given := mask.allowed()) is None:
        return anything
    given = np.asarray(given, bool)[: len(anything)]
    if not given.any():
        raise ValueError("the mask allows no token at all; the grammar must always leave one")
    allowed = np.zeros(len(anything), bool)
    allowed[: len(given)] = given
    return allowed
