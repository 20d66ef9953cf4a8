"""A server on the loopback that speaks what the backend uses of vLLM's HTTP interface, over a `TransformersModel`.

Its answers have the fields that vLLM 0.32 sends, in its order. What it does not speak it refuses, so that the backend
can't come to depend on it unseen.
"""
# ruff: noqa: TID251  (a server that may be slow)

from __future__ import annotations

import json
import select
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

BLOCK = 16
_SPOKEN = {
    "model",
    "prompt",
    "max_tokens",
    "stream",
    "stream_options",
    "return_token_ids",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "repetition_penalty",
    "presence_penalty",
    "frequency_penalty",
    "stop_token_ids",
    "stop",
    "seed",
    "allowed_token_ids",
    "ignore_eos",
    "cache_salt",
}


class _Allowed:
    def __init__(self, ids: list[int], size: int) -> None:
        self._row = np.zeros(size, bool)
        self._row[ids] = True

    def allowed(self) -> np.ndarray:
        return self._row


class FakeVllm:
    """What it serves, and what it was asked."""

    def __init__(self, model: Any, name: str = "tiny", *, most: int = 4096, details: bool = True) -> None:
        self.model, self.name, self.most, self.details = model, name, most, details
        self.tokenizer = model.tokenizer
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.written: list[int] = []
        """Of each request that has ended, how many tokens it wrote."""
        self.aborted = 0
        self.tokens = 0
        """Written for anybody."""
        self.pause_s = 0.0
        """Before each token but the first."""
        self.fault: Callable[[dict[str, Any]], str] = lambda body: ""
        """For a request: ``500``, ``error`` or ``cut`` after a token, ``bare`` (no ids), ``beyond`` (an id that no
        tokenizer has), ``nothing``; or nothing."""
        self.url = ""
        self._blocks: set[tuple[Any, ...]] = set()
        self._lock = threading.Lock()

    @contextmanager
    def running(self) -> Iterator[FakeVllm]:
        """Serves in threads."""
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *what: Any) -> None: ...

            def do_GET(self) -> None:
                if self.path == "/metrics":
                    return self._send(
                        f'# TYPE\nvllm:generation_tokens_total{{engine="0"}} {float(fake.tokens)}\n'.encode(), 200
                    )
                cards = [
                    {"id": fake.name, "object": "model", "root": f"/somewhere/{fake.name}", "max_model_len": fake.most}
                ]
                self._json(
                    {"object": "list", "data": cards} if self.path == "/v1/models" else {"error": "no such path"}
                )

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if self.path == "/tokenize":
                    return self._json({"tokens": fake.tokenizer.encode(body["prompt"], add_special_tokens=False)})
                fake.asked.append(body)
                fake.headers.append(dict(self.headers))
                fault = fake.fault(body)
                if fault == "500" or set(body) - _SPOKEN or body["model"] != fake.name:
                    return self._json({"error": {"message": f"no: {set(body) - _SPOKEN}", "code": 500}}, 500)
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Connection", "close")
                self.end_headers()
                count = 0
                try:
                    for event in fake.events(body, fault):
                        count += bool(event.get("choices"))
                        if count > 1 and event.get("choices"):
                            time.sleep(fake.pause_s)
                        if select.select([self.connection], [], [], 0)[0]:
                            raise ConnectionResetError
                        self.wfile.write(b"data: " + json.dumps(event).encode() + b"\n\n")
                    if fault != "cut":
                        self.wfile.write(b"data: [DONE]\n\n")
                except ConnectionError:
                    fake.aborted += 1
                fake.written.append(count)

            def _json(self, told: Any, status: int = 200) -> None:
                self._send(json.dumps(told).encode(), status)

            def _send(self, data: bytes, status: int) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.send_header("Connection", "close")
                self.end_headers()
                self.wfile.write(data)

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            server.daemon_threads = True
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
            thread.start()
            self.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
            yield self
            server.shutdown()
            thread.join()

    def events(self, body: dict[str, Any], fault: str) -> Iterator[dict[str, Any]]:
        """The chunks of a completion."""
        ids: list[int] = body["prompt"]
        salt = body.get("cache_salt", "")
        cached = self._cached(salt, ids)
        allowed = body.get("allowed_token_ids")
        mask = _Allowed(allowed, len(self.tokenizer)) if allowed is not None else None
        if fault == "nothing":
            return
        with self._lock:
            stream = self.model.open(ids, seed=body.get("seed", 0))
        for n in range(body["max_tokens"]):
            with self._lock:
                (token,) = self.model.decode([stream], [mask])
                self.tokens += 1
            ends = token in body.get("stop_token_ids", ())
            last = ends or n + 1 == body["max_tokens"]
            reason = ("stop" if ends else "length") if last else None
            told = {} if fault == "bare" else {"token_ids": [10**6 if fault == "beyond" else token]}
            choice = {"index": 0, "text": "", "finish_reason": reason} | told
            yield {"choices": [choice | ({} if n else {"prompt_token_ids": ids})]}
            if fault == "error":
                yield {"error": {"message": "the engine died", "code": 500}}
            if fault in ("error", "cut"):
                return
            if last:
                break
        self._cached(salt, [*ids, *range(n)])
        used: dict[str, Any] = {"prompt_tokens": len(ids), "completion_tokens": n + 1}
        yield {
            "choices": [],
            "usage": used | ({"prompt_tokens_details": {"cached_tokens": cached}} if self.details else {}),
        }

    def _cached(self, salt: str, ids: list[int]) -> int:
        """How many of the ids are there already, in whole blocks; they all are from now on. The last is always
        computed."""
        with self._lock:
            starts = [(salt, *ids[:end]) for end in range(BLOCK, len(ids) + 1, BLOCK)]
            known = next(
                (n for n, start in enumerate(starts) if start not in self._blocks or n * BLOCK + BLOCK == len(ids)),
                len(starts),
            )
            self._blocks.update(starts)
        return known * BLOCK
