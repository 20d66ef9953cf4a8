"""A small MCP server, run as a process of its own by test_mcp.py: a tool for each thing that a server can do.

Keeps a diary of what it was asked in the file that its first argument names. ``http`` as the second argument serves
streamable HTTP on the port that the third one names.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import anyio
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ImageContent, ToolAnnotations
from pydantic import BaseModel

DIARY = Path(sys.argv[1])
server = MCPServer("small")


def note(line: str) -> None:
    with DIARY.open("a", encoding="utf-8") as file:
        file.write(line + "\n")


READ, OPEN = (
    ToolAnnotations(read_only_hint=True, open_world_hint=False),
    ToolAnnotations(read_only_hint=True, open_world_hint=True),
)


@server.tool(annotations=READ)
def phone(name: str) -> str:
    """Finds a number."""
    note(f"phone {name}")
    return f"+1 555 {name}"


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def card(name: str) -> dict[str, str]:
    """Finds a person's card."""
    return {"name": name, "email": f"{name.lower()}@example.com"}


@server.tool(annotations=OPEN, structured_output=False)
def web(query: str) -> str:
    """Searches the web."""
    return f'["{query}"]'


@server.tool(annotations=ToolAnnotations(read_only_hint=False, destructive_hint=False))
def send(to: str, text: str, context: Context) -> str:
    """Sends a text."""
    key = (context.request_context.meta or {}).get("midsentence/idempotency-key", "")
    note(f"send {to} {text} {'with' if key else 'without'} a key")
    return "sent"


@server.tool()
async def count(to: int, context: Context) -> int:
    """Counts, and says how far it is."""
    for n in range(1, to + 1):
        await context.report_progress(n, to, f"at {n}")
    return to


@server.tool(annotations=READ)
async def slow() -> str:
    """Takes for ever."""
    note("slow began")
    try:
        await anyio.sleep(3600)
    except anyio.get_cancelled_exc_class():
        note("slow was cancelled")
        raise
    return "never"


@server.tool(annotations=ToolAnnotations(read_only_hint=False))
def die(text: str) -> str:
    """Takes the text down, and the server with it."""
    note(f"die {text}")
    os._exit(3)


@server.tool(annotations=ToolAnnotations(read_only_hint=False))
def refuse() -> str:
    """Says no."""
    raise ToolError("there is no such thing")


class Tree(BaseModel):
    """A schema that leads back to itself."""

    branches: list[Tree] = []


@server.tool()
def grow(tree: Tree) -> str:
    """Takes what can't be shown to a model."""
    return f"{tree}"


@server.tool(annotations=READ, structured_output=False)
def picture() -> ImageContent:
    """Draws."""
    return ImageContent(type="image", data="aGVsbG8=", mime_type="image/png")


if __name__ == "__main__":
    if sys.argv[2:3] == ["http"]:
        server.run("streamable-http", port=int(sys.argv[3]))
    else:
        server.run()
