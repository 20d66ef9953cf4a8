"""A session's log on disk: it replays byte for byte, and what tools mark secret is nowhere in it."""
# ruff: noqa: TID251  (users and tools that take their time: in fake time, but for what uses threads)

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from midsentence.core.events import ModelOutput, Note, Speaking, StartTool, Timer, ToolResult, from_json, to_json
from midsentence.shells.live import Session
from midsentence.shells.log import LogFile, read_log, replay, rows_of, write_log
from midsentence.testing import Scripted
from midsentence.tools.function import Constant, tool
from tests.midsentence.shells.live_stage import SPOKEN, TEXT_BOB, call, events, fake, phone, planned, say, send


class TestLog:
    def test_a_log_that_is_written_as_things_happen_is_the_same(self, renderer, tmp_path):
        async def work():
            log: list[LogFile] = []
            watch = lambda event, commands: log[0].add(event, commands)  # noqa: E731
            session = planned(renderer, Scripted(TEXT_BOB, "<answer>Ok.</answer>"), [phone, send], watch=watch)
            log.append(LogFile(tmp_path / "live.jsonl", session.initial))
            async with session:
                await say(session, *SPOKEN)
                await session.answer()
                _, early = read_log(tmp_path / "live.jsonl")  # the file is open, and nobody closed it
                assert [event for event, _ in early] == [event for event, _ in session.history]
            log[0].close()
            return session

        session = fake(work)
        write_log(tmp_path / "log.jsonl", session.initial, session.history)
        assert (tmp_path / "live.jsonl").read_bytes() == (tmp_path / "log.jsonl").read_bytes()
        whole = (tmp_path / "log.jsonl").read_bytes()
        header, history = read_log(tmp_path / "log.jsonl")
        assert "torn" not in header
        for left in (1, 2, 40):  # the process died in the middle of a row
            (tmp_path / "torn.jsonl").write_bytes(whole[: len(whole) - left])
            header, read = read_log(tmp_path / "torn.jsonl")
            assert (read, header.get("torn", False)) == ((history, False) if left == 1 else (history[:-1], True))
        (tmp_path / "torn.jsonl").write_bytes(whole.replace(b'"type": "UserUpdate"', b'"type": UserUpdate', 1))
        with pytest.raises(ValueError, match=r"torn.jsonl has a row that is no JSON"):
            read_log(tmp_path / "torn.jsonl")

    def test_where_tools_have_secrets_nothing_is_written_before_they_are_known(self, renderer, tmp_path):
        session = self.secret_session(
            renderer, [call('1. login("ann", "marmalade")')], [(0, "log ann in with marmalade", True)]
        )
        with LogFile(tmp_path / "live.jsonl", session.initial) as log:
            for event, asked in session.history:
                log.add(event, asked)
            assert len((tmp_path / "live.jsonl").read_text().splitlines()) == 1
        assert (tmp_path / "live.jsonl").read_text() == self.written(session, tmp_path / "log.jsonl")
        assert "marmalade" not in (tmp_path / "live.jsonl").read_text()

    def test_a_recorded_log_replays_byte_for_byte(self, renderer, tmp_path):
        async def work():
            async with planned(renderer, Scripted(TEXT_BOB, "<answer>Ok.</answer>"), [phone, send]) as session:
                await say(session, *SPOKEN)
                await session.answer()
                return session

        session = fake(work)
        write_log(tmp_path / "log.jsonl", session.initial, session.history)
        header, history = read_log(tmp_path / "log.jsonl")
        assert header["session"] == session.initial.session and not header["redacted"]
        again = replay(session.initial, [event for event, _ in history])
        assert list(again.transcript) == list(session.state.transcript)
        assert renderer.ids(session.prompt_ids, again.transcript) == renderer.ids(
            session.prompt_ids, session.state.transcript
        )
        assert again.graph.calls == session.state.graph.calls
        with pytest.raises(ValueError, match="no session log of schema 1"):
            (tmp_path / "odd.jsonl").write_text("{}\n")
            read_log(tmp_path / "odd.jsonl")

    def test_a_log_is_read_back_whatever_ends_a_line_elsewhere(self, renderer, tmp_path):
        odd = "a\u2028b\u2029c\x85d\x1ce"

        @tool(access="read", latency=Constant(0.1))
        async def look() -> str:
            """Looks."""
            return odd

        async def work():
            async with planned(renderer, Scripted([call("1. look()")], f"<answer>{odd}</answer>"), [look]) as session:
                await say(session, (0, f"show{odd}", True))
                await session.answer()
                return session

        session = fake(work)
        write_log(tmp_path / "log.jsonl", session.initial, session.history)
        _, history = read_log(tmp_path / "log.jsonl")
        assert [event for event, _ in history] == [event for event, _ in session.history]
        assert any(isinstance(event, ToolResult) and event.value == odd for event, _ in history)

    SECRET = 'hun"ter<2> é'

    def secret_session(
        self, renderer, lines: Sequence[str], spoken: Sequence[tuple[float, str, bool]], changes=None
    ) -> Session:
        @tool(access="read", secret=("password", "pin"), latency=Constant(0.1))
        async def login(user: str, password: str, pin: int = 0) -> str:
            """Logs in."""
            await asyncio.sleep(0.1)
            return f"welcome {user} with {password} and {pin}"

        async def work():
            script = Scripted(lines, "<answer>In.</answer>")
            async with planned(
                renderer, script, [login], changes={"max_errors_in_row": 9} | (changes or {})
            ) as session:
                await say(session, *spoken)
                await session.answer()
                return session

        return fake(work)

    def written(self, session: Session, path: Path, redact: bool = True) -> str:
        write_log(path, session.initial, session.history, redact=redact)
        return path.read_text()

    def test_what_a_tool_marks_secret_is_nowhere_in_the_log(self, renderer, tmp_path):
        line = '1. login("ann", "hun\\"ter<2> é", 4711)'
        session = self.secret_session(
            renderer, [call(line)], [(0, 'log ann in with hun"ter<2>', False), (0.001, "é and 4711", True)]
        )
        plain = self.written(session, tmp_path / "plain.jsonl", redact=False)
        log = self.written(session, tmp_path / "log.jsonl")
        for part in ("ter<2>", "4711", "ter&lt;2", "\\u00e9"):
            assert part not in log
        assert "ter<2>" in plain and "4711" in plain
        _, history = read_log(tmp_path / "log.jsonl")
        assert [type(event) for event, _ in history] == [type(event) for event, _ in session.history]
        text = "".join(event.text for event, _ in history if isinstance(event, ModelOutput))
        assert '1. login("ann", "[secret]", [secret])' in text
        ids = [index for event, _ in history if isinstance(event, ModelOutput) for index in event.ids]
        assert len(ids) == len([index for event in events(session, ModelOutput) for index in event.ids])
        spelt = renderer.text(ids)
        assert "4711" not in spelt and "ter" not in spelt
        [start] = [item for _, items in history for item in items if isinstance(item, StartTool)]
        assert start.args == {"user": "ann", "password": "[secret]", "pin": "[secret]"}
        # four figures are guessed from a digest in no time
        assert start.key == f"{session.initial.session}:1:[secret]"
        [result] = [event for event, _ in history if isinstance(event, ToolResult)]
        assert result.value == "welcome ann with [secret] and [secret]"

    @pytest.mark.parametrize(
        "line",
        [
            "1. login(ann, marmalade)",
            '1. login("ann", marmalade',
            '1. login("ann", "marmalade", "x", "y")',
            '1. login("ann", ["marmalade"])',
            '7. login("ann", "marmalade")',
            '1. login("ann\u2028", "marmalade", "x", "y")',
            '1. login("ann", "marmalade", pin="marmalade")',
        ],
    )
    def test_a_line_that_never_became_a_call_keeps_its_secret_too(self, renderer, tmp_path, line):
        session = self.secret_session(renderer, [call(line)], [(0, "log ann in", True)])
        assert "marmalade" in "".join(event.text for event in events(session, ModelOutput))
        log = self.written(session, tmp_path / "log.jsonl")
        _, history = read_log(tmp_path / "log.jsonl")
        ids = [index for event, _ in history if isinstance(event, ModelOutput) for index in event.ids]
        for text in (log, renderer.text(ids)):
            assert [text[max(0, text.index(part) - 60) :][:120] for part in ("marm", "lade") if part in text] == []

    def test_a_cut_line_and_a_revised_one(self, renderer, tmp_path):
        session = self.secret_session(
            renderer,
            [call('1. login("ann", "marmalade")', '2. login("bob", "marmalade")'), call('1. login("ann", "trombone")')],
            [(0, "log ann in", False), (0.0365, "now", True)],
            {"interrupt": "token"},
        )
        assert [(note, "marm" in text, "2. login" in text) for note, text in self.cuts(session)] == [
            ("cut", True, True)
        ]
        log = self.written(session, tmp_path / "log.jsonl")
        assert "marm" not in log and "trombone" not in log

    @pytest.mark.parametrize(
        "lines",
        [
            ['1. login("ann", "x1")', '1. password = "marmalade"'],
            ['1. login("ann", "begin")', '1. password += "marmalade"'],
            ['1. login("ann", "x1")', "1. password = marmalade"],
            ['7. password = "marmalade"'],
            ['1. login("ann", "x1")', '1. password = "marm'],
        ],
    )
    def test_an_amended_secret_is_one(self, renderer, tmp_path, lines):
        session = self.secret_session(renderer, [call(*lines)], [(0, "log ann in", True)], {"revise": "amend"})
        log = self.written(session, tmp_path / "log.jsonl")
        assert (
            "marm" in "".join(event.text for event in events(session, ModelOutput))
            and "marm" not in log
            and "lade" not in log
        )

    def test_a_result_that_becomes_a_secret_is_one_from_the_start(self, renderer, tmp_path):
        @tool(access="read", latency=Constant(0.1))
        async def code() -> str:
            """Gives a code."""
            return "98761"

        @tool(access="read", secret=("code",), latency=Constant(0.1))
        async def enter(code: str) -> str:
            """Enters."""
            return "open"

        async def work():
            script = Scripted([call("1. code()", '2. enter("no. " + $1)')], "<answer>Open.</answer>")
            async with planned(
                renderer, script, [code, enter], "sequential", changes={"calls_per_action": None}
            ) as session:
                await say(session, (0, "open it", True))
                await session.answer()
                return session

        session = fake(work)
        assert events(session, ToolResult)[0].value == "98761"
        assert "98761" in self.written(session, tmp_path / "plain.jsonl", redact=False)
        assert "98761" not in self.written(session, tmp_path / "log.jsonl")

    def cuts(self, session: Session) -> list[tuple[str, str]]:
        """What the model had written at each cut."""
        text, found = "", []
        for event, items in session.history:
            text += event.text if isinstance(event, ModelOutput) else ""
            found += [(item.what, text) for item in items if isinstance(item, Note) and item.what == "cut"]
        return found

    def test_a_secret_that_was_spoken_or_handed_to_another_tool_is_one(self):
        @tool(access="read", secret=("pin",))
        def login(pin: str) -> str:
            """Logs in."""
            return pin

        @tool
        def note(text: str) -> str:
            """Writes a note."""
            return text

        tools = {"login": login.spec, "note": note.spec}
        starts = (
            StartTool(1, 1, "login", {"pin": "4711"}, "s:1:aaaa", 1),
            StartTool(2, 1, "note", {"text": "the PIN is 4711"}, "s:2:bbbb", 1),
            StartTool(3, 1, "note", {"text": "milk"}, "s:3:cccc", 1),
        )
        rows = rows_of([(Timer(0, 1), starts), (Speaking(1, "cut", "I logged in with 4711"), ())], tools)
        assert rows[1]["event"]["heard"] == "I logged in with [secret]"
        # a digest of what a call does tells a short secret to whoever tries them all
        assert [row["key"] for row in rows[0]["commands"]] == ["s:1:[secret]", "s:2:[secret]", "s:3:cccc"]

    def test_nothing_secret_changes_nothing(self, renderer):
        async def work():
            async with planned(renderer, Scripted(TEXT_BOB, "<answer>Ok.</answer>"), [phone, send]) as session:
                await say(session, *SPOKEN)
                await session.answer()
                return session

        session = fake(work)
        rows = rows_of(session.history, session.initial.tools)
        assert rows == [
            {"event": to_json(event), "commands": [to_json(item) for item in items]} for event, items in session.history
        ]
        assert all(from_json(row["event"]) == event for row, (event, _) in zip(rows, session.history))
