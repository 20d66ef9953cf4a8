"""A client of the Realtime API: its connections, what they cost, and what the server says of its limits.

Owns the address and the key, which no text that leaves it has. Does not know what is said on a connection.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from typing import Any

from openai import AsyncOpenAI

from midsentence.addresses import without_keys
from midsentence.models.chat_api import Usage

REPLY_S = 10.0
"""How long the server may take to settle a session, and to end a response that was cancelled, before the connection is
given up."""
_KEY = re.compile(r"\b(?:sk|ek|sess)[-_][\w*.-]{4,}")
logger = logging.getLogger("midsentence.models.realtime_api")
"""All that is said of the API goes by the name of its model's module."""
_WIRE = logger.getChild("wire")
_WIRE.setLevel(logging.INFO)  # below that, websockets logs the header with the key


class RealtimeFailure(Exception):
    """The server refused, or could not be reached as often as the client tries. Says what it said, without keys."""


class Lost(Exception):
    """The connection is of no use any more; a new one may be."""


class RealtimeClient:
    """The SDK's client for one model, and the account of all its sessions."""

    def __init__(self, client: AsyncOpenAI, name: str, **options: Any) -> None:
        """Asks nothing of the server yet.

        Args:
            client: its key, address and ``max_retries`` hold: so often in a row is a lost connection, or a busy server,
                tried again.
            name: the model's, for the server.
            options: of the API's session: ``max_output_tokens``, ``reasoning`` and so on.
        """
        self.client, self.name, self.options = client, name, options
        self.usage = Usage()
        self.reconnected = 0
        """Connections that were lost and made anew."""
        self.rate_limits: dict[str, Any] = {}
        """What the server last said of each of its limits, by name: ``limit``, ``remaining``, ``reset_seconds``."""

    @property
    def max_retries(self) -> int:
        """How often in a row something is tried again."""
        return int(self.client.max_retries)

    def connect(self) -> Any:
        """A new connection, to be entered. The SDK's own reconnecting is off, for it would not restore a
        conversation."""
        options = {"open_timeout": REPLY_S, "close_timeout": 1.0, "logger": _WIRE}
        return self.client.realtime.connect(model=self.name, websocket_connection_options=options)

    def session(self, instructions: str) -> dict[str, Any]:
        """What a session of the API is settled as."""
        return {
            "type": "realtime",
            "instructions": instructions,
            "output_modalities": ["text"],
            "tools": [],
            "tool_choice": "none",
            "truncation": "disabled",
            "audio": {"input": {"turn_detection": None}},
            **self.options,
        }

    def clean(self, text: Any) -> str:
        """A server's words on one line, without the client's key or anything that looks like one."""
        told = " ".join(str(text).split())[:400]
        key = self.client.api_key
        return _KEY.sub("…", without_keys(told.replace(key, "…") if isinstance(key, str) and key else told))

    def count(self, usage: Any) -> None:
        """Takes in what a response used, as the server told; None where it did not."""
        if usage is not None:
            self.usage.prompt_tokens += usage.input_tokens or 0
            self.usage.completion_tokens += usage.output_tokens or 0
            self.usage.cached_tokens += getattr(usage.input_token_details, "cached_tokens", None) or 0

    def limited(self, limits: Iterable[Any] | None) -> None:
        """Takes in what the server says of its limits."""
        for limit in limits or ():
            self.rate_limits[f"{limit.name}"] = limit

    def limit_wait_s(self) -> float:
        """How long until the limit that is used up is reset, as the server told; 0 where it did not."""
        used_up = (limit for limit in self.rate_limits.values() if limit.remaining == 0)
        return max((limit.reset_seconds or 0.0 for limit in used_up), default=0.0)
