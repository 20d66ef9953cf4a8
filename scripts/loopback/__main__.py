"""The Realtime API on this machine: ``python -m scripts.loopback``, and the SDK's ``base_url`` is what it prints.

The embedded model with the adapter that comes with the code writes, or a script (``--script FILE``). Everything is
text; a key is needed, and any will do. Needs the extra ``openai``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import threading
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midsentence.ending import UserError, program
from scripts.loopback.script import Rules

if TYPE_CHECKING:
    from scripts.loopback.server import Player


def main(arguments: list[str]) -> None:
    """Serves until it is interrupted."""
    options = argparse.ArgumentParser("python -m scripts.loopback", description=__doc__.split("\n\n")[1])
    options.add_argument("--port", type=int, default=8765)
    options.add_argument("--script", type=Path, help="a JSON list of rows: see scripts/loopback/script.py")
    options.add_argument("--model", default="smollm2")
    options.add_argument("--adapter", default="smollm2-midsentence")
    options.add_argument("--trace", action="store_true", help="print every event")
    chosen = options.parse_args(arguments)
    if find_spec("openai") is None or find_spec("websockets") is None:
        raise UserError("the loopback speaks in the types of OpenAI's SDK; pip install -e '.[openai]'")
    players = scripted(chosen.script) if chosen.script else weights(chosen.model, chosen.adapter)
    trace = (
        (lambda who, event: print(who, json.dumps(event), flush=True)) if chosen.trace else (lambda who, event: None)
    )
    asyncio.run(serve(players, chosen.port, trace))


def scripted(path: Path) -> Callable[[], Player]:
    """One script for all connections; each plays it from its beginning."""
    script = Rules.read(path)
    return lambda: script


def weights(name: str, adapter: str) -> Callable[[], Player]:
    """A model of this machine, its context a connection."""
    from midsentence.shells.session import load_backend
    from scripts.loopback.weights import Weights

    model, renderer = load_backend(name, adapter)
    lock = threading.Lock()
    return lambda: Weights(model, renderer, lock)


async def serve(players: Callable[[], Player], port: int, trace: Callable[[str, Any], None]) -> None:
    """Serves for ever."""
    from scripts.loopback.server import Loopback

    async with Loopback(players, trace=trace).running(port) as server:
        print(f"the Realtime API is at {server.url}", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    program(main)
