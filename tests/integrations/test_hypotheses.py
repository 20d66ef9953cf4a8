"""Cumulative hypotheses as updates: every row is (hypothesis, what is passed on of it)."""

from __future__ import annotations

import pytest

from midsentence.integrations.classes import label_of, tool_class
from midsentence.integrations.hypotheses import Change, Hypotheses
from midsentence.tools.function import FunctionToolbox, tool
from midsentence.tools.joined import JoinedToolbox
from midsentence.tools.tool import ToolFailure


def passed_on(*rows: str) -> list[tuple[str, int] | None]:
    """``.`` at the end of a row closes the utterance, ``|`` is the end of the turn."""
    heard, given = Hypotheses(), []
    for row in rows:
        if row == "|":
            heard.end()
        else:
            change = heard.take(row.rstrip("."), closes=row.endswith("."))
            given.append(
                change and ((change.text, change.retracts, "final") if change.late else (change.text, change.retracts))
            )
    return given


@pytest.mark.parametrize(
    ("rows", "given"),
    [
        (["text", "text bob", "text bob"], [("text", 0), ("bob", 0), None]),
        (["text bob", "text rob hi"], [("text bob", 0), ("rob hi", 1)]),
        (["text bob hi", "text"], [("text bob hi", 0), ("", 2)]),
        (["text bob", "Text Bob,."], [("text bob", 0), None]),
        (["text bob", "Text Bob! Hi."], [("text bob", 0), ("Hi", 0)]),
        (["text bob.", "hi", "hi there"], [("text bob", 0), ("hi", 0), ("there", 0)]),
        (["text bob", "", "text bob hi"], [("text bob", 0), None, ("hi", 0)]),
        (["uh", "."], [("uh", 0), ("", 1)]),
        # after the end of the turn: the final transcript of it, a correction in it, the user going on, another
        # utterance
        (["text bob", "|", "Text Bob."], [("text bob", 0), None]),
        (["text bob", "|", "Text Bob hi."], [("text bob", 0), ("hi", 0, "final")]),
        (["text bob now", "|", "text bob no."], [("text bob now", 0), ("no", 1, "final")]),
        (["text bob", "|", "text bob and ann"], [("text bob", 0), ("and ann", 0)]),
        (["text bob", "|", "no", "no wait"], [("text bob", 0), ("no", 0), ("wait", 0)]),
        (["text bob.", "|", "text", "text ann"], [("text bob", 0), ("text", 0), ("ann", 0)]),
    ],
)
def test_what_is_passed_on(rows, given):
    assert passed_on(*rows) == given


def test_the_end_is_due_while_words_have_no_end():
    heard = Hypotheses()
    assert not heard.unended
    heard.take("text bob")
    assert heard.unended
    heard.end()
    assert not heard.unended
    assert heard.take("text rob", closes=True) == Change("rob", 1, True) and not heard.unended
    heard.take("thanks")
    assert heard.unended


def test_a_tool_is_a_write_unless_somebody_says_otherwise():
    @tool_class("read", reads=["contacts"])
    def marked() -> None: ...

    assert label_of(print, "print", {}) == {"access": "write"}
    assert label_of(marked, "marked", {}) == {"access": "read", "reads": ("contacts",), "writes": ()}
    assert label_of(marked, "marked", {"marked": "egress"})["access"] == "egress"
    with pytest.raises(ValueError, match="tool_class was given 'reads'; use 'read', 'egress' or 'write'"):
        tool_class("reads")


def test_toolboxes_joined():
    @tool(access="read")
    async def phone(name: str) -> str:
        """Finds a number."""
        return f"+1 {name}"

    @tool
    def send(to: str) -> str:
        """Sends."""
        return f"sent to {to}"

    box = JoinedToolbox([FunctionToolbox([phone]), FunctionToolbox([send])])
    assert list(box.specs) == ["phone", "send"] and (box.is_async("phone"), box.is_async("send")) == (True, False)
    assert (box.run("phone", {"name": "Bob"}), box.run("send", {"to": "Bob"})) == ("+1 Bob", "sent to Bob")
    assert box.latency_ns("phone", {"name": "Bob"}) == FunctionToolbox([phone]).latency_ns("phone", {"name": "Bob"})
    with pytest.raises(ToolFailure, match='no tool "call": use "phone" or "send"'):
        box.run("call", {})
    with pytest.raises(ValueError, match="two toolboxes have a tool called 'send'; rename one"):
        JoinedToolbox([FunctionToolbox([send]), FunctionToolbox([phone, send])])
