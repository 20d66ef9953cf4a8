"""The page's server: one HTML file and one socket, on this machine's own address and for its own page only.

Owns who may ask: the server listens on 127.0.0.1, answers to that name alone (so that no other site's name can be made
to lead here), and takes a socket only from its own origin; and the headers that keep the page to its own script. Does
not know what a conversation is.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import itertools
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from midsentence.clock import local_now
from midsentence.core.events import Command, Event
from midsentence.core.modes import MODES, check_egress
from midsentence.ending import UserError
from midsentence.files import path_of
from midsentence.page.house import Bounds, House
from midsentence.page.talk import Stage
from midsentence.shells.live import Session
from midsentence.shells.log import LogFile
from midsentence.shells.session import load, open_session
from midsentence.tools.tool import Toolbox
from midsentence.tools.waiting import WaitingToolbox

LOOPBACK = "127.0.0.1"
SHIPPED = "smollm2-midsentence"
_HERE = Path(__file__).parent
_SCRIPTS = ("page.js", "lanes.js", "voice.js", "line.js")
WORLD = "Contacts: Bob Ray, Alice Kim, Samuel Ortiz. A file budget.pdf, a note Groceries."
EXAMPLES = (
    "what is the phone number of Bob Ray",
    "text Alice Kim that the meeting is at ten no at eleven",
    "what is the phone number of Bob Ray and the email address of Samuel Ortiz",
)


def names_at(port: int) -> tuple[str, str]:
    """What a browser calls this server."""
    return f"{LOOPBACK}:{port}", f"localhost:{port}"


def document(port: int) -> tuple[str, str]:
    """The page as one HTML file, and the policy that lets it run its own script, talk to its own server, and nothing
    else."""
    own = " ".join(f"ws://{name}" for name in names_at(port))  # not every browser takes 'self' for a socket
    script = "".join((_HERE / name).read_text(encoding="utf-8") for name in _SCRIPTS)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; connect-src 'self' {own}; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    html = (_HERE / "page.html").read_text(encoding="utf-8")
    style = (_HERE / "page.css").read_text(encoding="utf-8")
    return html.replace("{{style}}", style).replace("{{script}}", script), policy


def application(stage: Stage, port: int, bounds: Bounds | None = None) -> Any:
    """The page's server as an ASGI application.

    Args:
        stage: what conversations are held with.
        port: that it will listen on: a part of its name.
        bounds: what the page may ask of this machine.
    """
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import HTMLResponse, PlainTextResponse, Response
    from starlette.routing import Route, WebSocketRoute
    from starlette.websockets import WebSocket, WebSocketDisconnect

    names = names_at(port)
    origins = {f"http://{name}" for name in names}
    bounds = bounds or Bounds()
    html, policy = document(port)
    headers = {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    }
    houses: list[House] = []

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            houses.append(House(stage, group, bounds))
            yield
            for talk in houses.pop().talks.values():
                talk.close()

    async def page(request: Request) -> Response:
        if request.headers.get("host") not in names:
            return PlainTextResponse("this page answers to its own address only\n", 421)
        return HTMLResponse(html, headers=headers)

    class Socket:
        """A connection, as the house has it."""

        def __init__(self, own: WebSocket) -> None:
            self._own = own

        async def receive(self) -> str | None:
            message = await self._own.receive()
            if message["type"] == "websocket.disconnect":
                return None
            return message.get("text") or ""

        async def send(self, text: str) -> None:
            with suppress(WebSocketDisconnect, RuntimeError):
                await self._own.send_text(text)

        async def close(self, code: int, reason: str) -> None:
            with suppress(WebSocketDisconnect, RuntimeError):
                await self._own.close(code, reason)

    async def talk(own: WebSocket) -> None:
        if own.headers.get("host") not in names or own.headers.get("origin") not in origins:
            await own.close()  # before it was accepted: the answer is 403
            return
        await own.accept()
        await houses[-1].serve(Socket(own))

    return Starlette(routes=[Route("/", page), WebSocketRoute("/talk", talk)], lifespan=lifespan)


def server(application: Any, bounds: Bounds) -> Any:
    """What runs an application: `uvicorn.Server`, told to be small."""
    import uvicorn

    return uvicorn.Server(
        uvicorn.Config(
            application,
            log_level="warning",
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            lifespan="on",
            ws="websockets-sansio",
            ws_max_size=bounds.message_bytes,
            ws_max_queue=16,
            ws_per_message_deflate=False,
            limit_concurrency=64,
            timeout_keep_alive=5,
            timeout_graceful_shutdown=2,
        )
    )


def bound(port: int) -> socket.socket:
    """A socket on this machine's own address.

    Raises:
        UserError: the port is taken.
    """
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((LOOPBACK, port))
        made.listen(64)  # who comes while the weights load waits
    except OSError as error:
        made.close()
        raise UserError(
            f"port {port} can't be used ({error.strerror}); give another with --port, or 0 for any that is free"
        ) from None
    return made


def stage_of(
    model: Any,
    asked: argparse.Namespace,
    row: Callable[[str], Any],
    tools: Callable[[], Toolbox],
    now: str,
    folder: Path,
) -> Stage:
    """What conversations are held with, as a command line asks.

    Args:
        model: what `midsentence.shells.session.load` gives.
        asked: the command line.
        row: a mode's settings.
        tools: a fresh toolbox, the assistant's over a fresh world.
        now: the user's date and time.
        folder: where logs go, one for each conversation.
    """
    numbers = itertools.count(1)
    own = asked.tools not in ("", "assistant")
    bare = asked.adapter is None

    def session(mode: str, watch: Callable[[Event, tuple[Command, ...]], None]) -> Session:
        toolbox = tools()
        return open_session(
            model,
            toolbox if own else WaitingToolbox(toolbox),
            row(mode),
            now=now,
            style="full" if bare else asked.prompt,
            detail="full" if bare else asked.prompt_tools,
            watch=watch,
        )

    @asynccontextmanager
    async def logged(mode: str, watch: Callable[[Event, tuple[Command, ...]], None]) -> AsyncIterator[Session]:
        def note(event: Event, commands: tuple[Command, ...]) -> None:
            log.add(event, commands)
            watch(event, commands)

        made = session(mode, note)
        with LogFile(folder / f"page-{next(numbers)}.jsonl", made.initial) as log:
            async with made:
                yield made

    about = {
        "model": " + ".join(filter(None, (asked.model, asked.adapter))),
        "tools": [[spec.name, spec.access] for spec in tools().specs.values()],
        "world": "" if own else WORLD,
        "examples": () if own else EXAMPLES,
        "alone": "to compare, your own tools would have to run a second time" if own else "",
    }
    beside = None if own else lambda watch: session("parallel", watch)
    return Stage(logged, beside, tuple(MODES), asked.mode, "parallel", about)


def main(asked: argparse.Namespace, row: Callable[[str], Any], toolbox: Callable[[str, str], Toolbox]) -> None:
    """Serves the page until Ctrl-C.

    Args:
        asked: the command line of ``midsentence serve --page``.
        row: a mode's settings, as the command line has them.
        toolbox: tools by the name that ``--tools`` gives and the user's date and time.

    Raises:
        UserError: the extra is not installed, or the port is taken.
    """
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
        import websockets  # noqa: F401
    except ImportError as error:
        raise UserError(f"the page needs {error.name}; install it with: pip install '.[page]'") from None
    if asked.adapter is None and asked.model == "smollm2":
        asked.adapter, asked.constrained, asked.grounded = SHIPPED, True, True
    now = local_now()
    check_egress(asked.allow_egress, toolbox(asked.tools, now).specs.values(), "--allow-egress")
    folder = path_of(asked.out)
    folder.mkdir(parents=True, exist_ok=True)
    listening = bound(asked.port)
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    with (
        listening,
        load(
            asked.model,
            asked.adapter,
            constrained=asked.constrained,
            grounded=asked.grounded,
            runtime=asked.runtime,
            dtype=asked.dtype,
            turns=asked.turns,
            stamps=asked.stamps,
            server=asked.server,
        ) as model,
    ):
        port = listening.getsockname()[1]
        stage = stage_of(model, asked, row, lambda: toolbox(asked.tools, now), now, folder)
        print(f"http://{LOOPBACK}:{port}/ — Ctrl-C ends it; logs: {folder}", file=sys.stderr, flush=True)
        with suppress(KeyboardInterrupt):
            asyncio.run(server(application(stage, port), Bounds()).serve(sockets=[listening]))
