"""Tools of an MCP server, by the official SDK: over stdio, streamable HTTP, or any transport that its client takes.

Owns the connection, what a server's annotations are worth, and what its answers and failures mean. Does not know any
particular server, and when a call may run. Needs the extra ``mcp``; nothing else in midsentence imports this module.

    async with mcp_tools(StdioServerParameters(command="my-server"), trusted=True) as tools:
        async with open_session(model, tools) as talk:
            ...

Whether a tool only reads is the server's own word (``readOnlyHint``), so it counts only where the user trusts the
server; every other tool is a write, which waits for the commit point. The user's word by tool, ``access=``, goes before
both.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

import mcp_types as types
from mcp import Client, MCPError
from mcp.client.stdio import StdioServerParameters

from midsentence.clock import ns
from midsentence.shells.tool_run import idempotency_key
from midsentence.tools.foreign import RemoteToolbox, shown, tool_specs
from midsentence.tools.text import either
from midsentence.tools.tool import Access, Json, ToolFailure, described

__all__ = ["McpFailure", "McpToolbox", "Progress", "StdioServerParameters", "access_of", "mcp_tools"]

KEY = "midsentence/idempotency-key"
"""The field of a request's ``_meta`` that carries the call's idempotency key; the same on every attempt at the same
effect."""
MAX_PAGES = 100
CLOSE_S = 10.0
"""How long a server has to be shut down; the SDK ends a process of its own within about six seconds."""
_REFUSALS = (types.METHOD_NOT_FOUND, types.INVALID_PARAMS)
"""Errors that say that the request was refused before anything ran."""


class McpFailure(Exception):
    """A call of which nobody knows what it did: its server broke off, or its answer can't be read."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a call is, in the server's own words."""

    tool: str
    """The tool's name as calls write it."""
    key: str
    """The call's idempotency key; empty outside a session."""
    done: float
    """How much is done, in units of the server's own."""
    total: float | None
    """How much there is to do, in the same units; None if the server does not say."""
    message: str
    """What the server says of it; may be empty."""


def access_of(tool: types.Tool, *, trusted: bool, unsaid: Literal["read", "egress"] = "read") -> Access:
    """A tool's class by its server's annotations.

    Args:
        tool: as listed.
        trusted: whether the server's word counts; without that all are writes.
        unsaid: what a tool is that says that it only reads, and not whether it deals with an open world. By the
            specification such a tool does; most servers that say nothing mean that it does not.
    """
    notes = tool.annotations
    if not trusted or notes is None or notes.read_only_hint is not True:
        return "write"
    return unsaid if notes.open_world_hint is None else "egress" if notes.open_world_hint else "read"


@asynccontextmanager
async def mcp_tools(
    server: Any,
    *,
    trusted: bool = False,
    access: Mapping[str, Access] | None = None,
    only: Collection[str] | None = None,
    unsaid: Literal["read", "egress"] = "read",
    timeout_s: float = 30,
    open_s: float = 30,
    on_progress: Callable[[Progress], None] | None = None,
    seed: str | int = "",
) -> AsyncIterator[McpToolbox]:
    """A server's tools, while the block runs.

    Args:
        server: `StdioServerParameters`, the URL of a streamable HTTP endpoint, or a transport of the SDK's.
        trusted: whether the server's annotations are believed, and that a tool that answers with an error did nothing.
        access: classes by the tools' real names, the user's own word.
        only: real names of the tools that are wanted; all by default.
        unsaid: see `access_of`.
        timeout_s: each call's deadline in a session.
        open_s: how long connecting and listing may take.
        on_progress: gets what the server tells of a call under way; must not block.
        seed: see `RemoteToolbox`.

    Raises:
        ConnectionError: the server can't be started or reached, or does not speak MCP.
        ValueError: a name in ``access`` or ``only`` that the server does not have, or no tool that can be supported.
    """
    client = Client(server)
    async with _kept(client, open_s):
        try:
            async with asyncio.timeout(open_s):
                listed = await _listed(client)
        except (MCPError, TimeoutError) as error:
            raise ConnectionError(f"the MCP server did not list its tools: {_why(error)}") from error
        tools = McpToolbox(client, listed, trusted, access or {}, only, unsaid, timeout_s, on_progress, seed)
        tools.one_process = isinstance(server, StdioServerParameters)
        yield tools


class McpToolbox(RemoteToolbox):
    """A connected server's tools; made by `mcp_tools`."""

    def __init__(
        self,
        client: Client,
        listed: Sequence[types.Tool],
        trusted: bool,
        access: Mapping[str, Access],
        only: Collection[str] | None,
        unsaid: Literal["read", "egress"],
        timeout_s: float,
        on_progress: Callable[[Progress], None] | None,
        seed: str | int,
    ) -> None:
        have = {tool.name for tool in listed}
        if strange := [name for name in (*access, *(only or ())) if name not in have]:
            raise ValueError(f"the MCP server has no tool {strange[0]!r}; use {either(sorted(have))}")
        self.left_out: dict[str, str] = {}
        """Tools that can't be supported, by their real names, each with the reason."""
        rows = []
        for tool in (tool for tool in listed if only is None or tool.name in only):
            row = {
                "name": tool.name,
                "description": tool.description or "",
                "inputSchema": tool.input_schema,
                "access": access.get(tool.name) or access_of(tool, trusted=trusted, unsaid=unsaid),
            }
            try:
                tool_specs([row], "the MCP server")
            except ValueError as error:
                self.left_out[tool.name] = f"{error}"
            else:
                rows.append(row)
        if not rows:
            raise ValueError("; ".join(self.left_out.values()) or "the MCP server has no tools")
        super().__init__(rows, self._ask, seed)
        self._specs = {name: replace(spec, timeout_ns=ns(timeout_s)) for name, spec in self._specs.items()}
        self._client, self._trusted, self._on_progress = client, trusted, on_progress
        self._loop = asyncio.get_running_loop()
        self.one_process = False
        """Whether a connection that has closed is closed for good: the server was a process of this one."""
        self._gone = False

    def run(self, name: str, args: Mapping[str, Json]) -> Json:
        """`arun` for another thread than that of the connection's loop."""
        try:
            here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            here = False
        if here:
            raise RuntimeError(
                f"{name} was run in the thread of its MCP connection, which would wait for itself; await arun instead"
            )
        return asyncio.run_coroutine_threadsafe(self.arun(name, args), self._loop).result()

    async def _ask(self, name: str, args: dict[str, Json]) -> Json:
        """One call, by its real name. A cancellation goes to the server as well: the SDK sends it."""
        if self._gone:
            raise ToolFailure("the MCP server is gone; nothing was sent to it")
        key = idempotency_key.get("")

        async def tell(done: float, total: float | None, message: str | None) -> None:
            if self._on_progress is not None:
                self._on_progress(Progress(shown(name), key, done, total, message or ""))

        try:
            result = await self._client.call_tool(
                name,
                args,
                progress_callback=tell if self._on_progress is not None else None,
                meta={KEY: key} if key else None,
            )
        except MCPError as error:
            raise self._failure(error) from None
        except (OSError, ValueError, RuntimeError) as error:
            raise McpFailure(f"the MCP server's answer can't be read: {_why(error)}") from error
        if not result.is_error:
            return value_of(result)
        said = value_of(result)
        text = said if isinstance(said, str) else json.dumps(said, ensure_ascii=False)
        if self._trusted or self._specs[shown(name)].access != "write":
            raise ToolFailure(text)
        raise McpFailure(f"the tool says: {text}")

    def _failure(self, error: MCPError) -> Exception:
        if error.code == types.CONNECTION_CLOSED:
            self._gone = self.one_process
            return McpFailure("the MCP server broke off: its connection closed before it answered")
        text = f"the MCP server says: {described(error)}"
        return ToolFailure(text) if error.code in _REFUSALS else McpFailure(text)


def value_of(result: types.CallToolResult) -> Json:
    """What a call gave, as JSON: the structured content (a lone ``result`` field unwrapped), else the texts, read as
    JSON where they are.

    Pictures and sound come as what they are and how long; links to resources by their address.
    """
    if result.structured_content is not None and not result.is_error:
        given: Json = result.structured_content
        return given["result"] if isinstance(given, dict) and given.keys() == {"result"} else given
    parts = [_block(block) for block in result.content]
    if len(parts) == 1:
        return _read(parts[0])
    texts = [part for part in parts if isinstance(part, str)]
    return "\n".join(texts) if len(texts) == len(parts) else parts


def _block(block: types.ContentBlock) -> Json:
    match block:
        case types.TextContent(text=text):
            return f"{text}"
        case types.EmbeddedResource(resource=types.TextResourceContents(text=text)):
            return f"{text}"
        case types.ResourceLink(uri=uri, name=name):
            return {"resource": f"{uri}", "name": name}
        case types.EmbeddedResource(resource=resource):
            return {"resource": f"{resource.uri}", "base64_chars": len(resource.blob)}
        case types.ImageContent(data=data, mime_type=kind) | types.AudioContent(data=data, mime_type=kind):
            return {"type": kind, "base64_chars": len(data)}
    return {"type": type(block).__name__}


def _read(part: Json) -> Json:
    if not isinstance(part, str) or part.lstrip()[:1] not in ("{", "["):
        return part
    try:
        value: Json = json.loads(part)
    except (ValueError, RecursionError):
        return part
    return value


async def _listed(client: Client) -> list[types.Tool]:
    tools: list[types.Tool] = []
    cursor: str | None = None
    for _ in range(MAX_PAGES):
        page = await client.list_tools(cursor=cursor)
        tools += page.tools
        if (cursor := page.next_cursor) is None:
            return tools
    raise ConnectionError(f"the MCP server lists its tools on more than {MAX_PAGES} pages")


@asynccontextmanager
async def _kept(client: Client, open_s: float) -> AsyncIterator[None]:
    """The client connected, entered and left by one task of its own.

    The SDK's scopes must be left in the task that entered them, and would wrap what the caller's block raises.
    """
    opened, leave = asyncio.Event(), asyncio.Event()

    async def keep() -> None:
        async with client:
            opened.set()
            await leave.wait()

    keeper, waiter = asyncio.create_task(keep(), name="mcp connection"), asyncio.create_task(opened.wait())
    try:
        await asyncio.wait((keeper, waiter), timeout=open_s, return_when=asyncio.FIRST_COMPLETED)
        if not opened.is_set():
            error = (keeper.exception() if keeper.done() else None) or TimeoutError(
                f"no connection within {open_s:g} s"
            )
            raise ConnectionError(f"the MCP server can't be reached: {_why(error)}") from error
        yield
    finally:
        waiter.cancel()
        leave.set()
        await asyncio.wait((keeper,), timeout=CLOSE_S if opened.is_set() else 0)
        if not keeper.done():
            keeper.cancel()
            await asyncio.wait((keeper,), timeout=CLOSE_S)
        # how a connection ends is no news: a call that it cut off has said so
        if keeper.done() and not keeper.cancelled():
            keeper.exception()


def _why(error: BaseException) -> str:
    """The first real reason inside of groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {described(error)}"
