"""The Realtime API as the model of live sessions: the official SDK's websocket client against a server on the loopback,
with faults."""
# ruff: noqa: TID251  (users who take their time)

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

pytest.importorskip("openai", reason="install it with: pip install -e '.[openai]'")
pytest.importorskip("websockets", reason="install it with: pip install -e '.[openai]'")

from openai import AsyncOpenAI

from midsentence.core.events import ModelOutput, ToolResult, UserUpdate
from midsentence.core.modes import settings
from midsentence.core.transcript import Segment
from midsentence.models.chat_api import GO_ON, text_renderer
from midsentence.models.realtime_api import RealtimeModel
from midsentence.models.realtime_client import RealtimeFailure
from midsentence.models.realtime_items import Mirror, Piece, appended, pieces
from midsentence.rendering.renderer import Renderer, Rendering
from midsentence.shells.live import Session
from midsentence.tools.function import FunctionToolbox, tool
from scripts.loopback.script import Row, Script
from scripts.loopback.server import CLIENT_EVENTS, Loopback, Refused, checked
from tests.integrations.planned import call, seen, starts, until

pytestmark = pytest.mark.full
KEY = "sk-test-1234567890"


@pytest.fixture(scope="module")
def texts(tiny_tokenizer: Any) -> Renderer:
    return text_renderer()


@tool(access="read")
async def phone(name: str) -> str:
    """Finds a number."""
    return f"+1 555 {name}"


@tool
async def send(to: str, text: str) -> str:
    """Sends a text."""
    return "sent"


PHONE, SEND, ANSWER = call('1. phone("bob")'), call('2. send($1, "at ten")'), "<answer>I texted Bob.</answer>"
TEXT_BOB = (Row("text bob", PHONE), Row("at ten", SEND), Row("2. send", ANSWER))
DONE = [("phone", {"name": "bob"}), ("send", {"to": "+1 555 bob", "text": "at ten"})]
User = Callable[[Session, Loopback], Awaitable[None]]


def talk(
    texts: Renderer,
    rows: tuple[Row, ...],
    user: User,
    *,
    statuses: tuple[int, ...] = (),
    key: str = KEY,
    **options: Any,
) -> tuple[Session, Loopback, RealtimeModel]:
    async def work() -> tuple[Session, Loopback, RealtimeModel]:
        script = Script(rows)
        async with (
            Loopback(lambda: script, key=KEY).running() as server,
            AsyncOpenAI(base_url=server.url, api_key=key) as client,
        ):
            server.statuses.extend(statuses)
            model = RealtimeModel(client, "scripted", texts, **options)
            async with Session(
                model, FunctionToolbox([phone, send]), texts, settings("speculative"), style="full"
            ) as session:
                await user(session, server)
            await until(lambda: not model._tasks)
            return session, server, model

    return asyncio.run(asyncio.wait_for(work(), 60))


async def say(session: Session, server: Loopback) -> None:
    await session.hear("text bob that it is")
    await until(lambda: seen(session, ToolResult))
    await session.hear("at ten", final=True)
    assert await session.answer(20) == "I texted Bob."


def once_and_after_commit(session: Session) -> None:
    """Every effect happened once, and after the user's last word."""
    sent = [name for name, _ in starts(session) if name == "send"]
    assert sent == ["send"]
    end = next(update for update in seen(session, UserUpdate) if update.final)
    assert next(event for event in seen(session, ToolResult) if event.call == 2).at_ns > end.at_ns


def said(conversation: Any) -> list[tuple[str, str]]:
    return conversation._texts()


def test_a_read_starts_before_the_last_word_a_write_waits_and_what_it_used_is_counted(texts):
    session, server, model = talk(texts, TEXT_BOB, say, max_output_tokens=500)
    assert starts(session) == DONE
    once_and_after_commit(session)
    end = next(update for update in seen(session, UserUpdate) if update.final)
    assert next(event for event in seen(session, ToolResult) if event.call == 1).at_ns < end.at_ns
    (conversation,) = server.connections
    assert conversation.session["output_modalities"] == ["text"] and conversation.session["max_output_tokens"] == 500
    assert (
        "phone(name: str)" in conversation.session["instructions"] and "<|" not in conversation.session["instructions"]
    )
    asked = [event for event in conversation.heard if event["type"] == "response.create"]
    assert model.usage.requests == len(asked) >= 3 and (model.usage.broken, model.reconnected) == (0, 0)
    assert model.usage.prompt_tokens > model.usage.cached_tokens > 0 and model.usage.completion_tokens > 10
    assert model.rate_limits["tokens"].remaining > 0


def test_a_correction_revises_a_read(texts):
    async def user(session: Session, server: Loopback) -> None:
        await session.hear("text bob")
        await until(lambda: seen(session, ToolResult))
        await session.hear("no ann")
        await until(lambda: len(seen(session, ToolResult)) == 2)
        await session.hear("at ten", final=True)
        assert await session.answer(20) == "I texted Ann."

    rows = (
        TEXT_BOB[0],
        Row("no ann", call('1. phone("ann")')),
        TEXT_BOB[1],
        Row("2. send", "<answer>I texted Ann.</answer>"),
    )
    session, server, _ = talk(texts, rows, user)
    assert starts(session) == [
        ("phone", {"name": "bob"}),
        ("phone", {"name": "ann"}),
        ("send", {"to": "+1 555 ann", "text": "at ten"}),
    ]
    once_and_after_commit(session)
    assert any("<cancel>" in text or "+1 555 ann" in text for _, text in said(server.connections[0]))


def test_a_write_that_was_drafted_waits_for_the_commit(texts):
    async def user(session: Session, server: Loopback) -> None:
        await session.hear("text bob at ten")
        await until(lambda: 2 in session.state.graph)
        await asyncio.sleep(0.1)
        assert [name for name, _ in starts(session)] == ["phone"]
        await session.hear("please", final=True)
        assert await session.answer(20) == "I texted Bob."

    rows = (Row("text bob", call('1. phone("bob")', '2. send($1, "at ten")')), Row("please", ANSWER))
    session, _, _ = talk(texts, rows, user)
    assert starts(session) == DONE
    once_and_after_commit(session)


def test_the_users_words_cancel_a_response_and_the_server_keeps_what_the_session_kept(texts):
    async def user(session: Session, server: Loopback) -> None:
        await session.hear("text bob")
        await until(lambda: "hm hm" in "".join(output.text for output in seen(session, ModelOutput)))
        await session.hear("no wait", final=True)
        assert await session.answer(20) == "Okay."

    rows = (Row("text bob", "<think>" + "hm " * 200, pace_s=0.02), Row("no wait", "<answer>Okay.</answer>"))
    session, server, model = talk(texts, rows, user)
    assert model.usage.aborted == 1 and model.reconnected == 0
    (conversation,) = server.connections
    kinds = [event["type"] for event in conversation.heard]
    assert (
        kinds.index("response.cancel")
        < kinds.index("conversation.item.delete")
        < len(kinds) - 1 - kinds[::-1].index("response.create")
    )
    (role, cut), *_ = [(role, text) for role, text in said(conversation) if "hm" in text]
    assert role == "assistant" and cut.endswith("</think_interrupted>") and cut.count("hm") < 200
    shown = [Piece(piece.role, piece.text.rstrip()) for piece in pieces(texts, session.state.transcript)]
    there = [Piece(role, text.rstrip()) for role, text in said(conversation)]
    assert there[: len(shown) - 1] == shown[: len(there[: len(shown) - 1])]


@pytest.mark.parametrize("at", range(len(TEXT_BOB)))
@pytest.mark.parametrize("fault", ["drop", "garble", "strange"])
def test_a_connection_that_breaks_after_the_words_is_made_anew_with_all_that_was_said(texts, fault, at):
    rows = tuple(Row(row.when, row.write, fault if n == at else "") for n, row in enumerate(TEXT_BOB))
    session, server, model = talk(texts, rows, say)
    assert starts(session) == DONE and session.outcome == "closed"
    once_and_after_commit(session)
    if at < 2:
        assert len(server.connections) == 2 and model.reconnected == 1
        last = server.connections[-1]
        assert next(text for role, text in said(last) if role == "user").startswith("<partial_query_update> text bob")
        assert ("assistant", PHONE) in said(last) and "phone(name: str)" in last.session["instructions"]


@pytest.mark.parametrize("fault", ["drop", "garble", "strange"])
def test_half_an_action_stands_as_far_as_its_lines_are_complete(texts, fault):
    half = '<tool_call>1. phone("bob")\n2. send($1, "at'
    session, _server, model = talk(texts, (Row("text bob", half, fault), Row("at ten", SEND), TEXT_BOB[2]), say)
    assert starts(session) == DONE and model.usage.broken == 1
    once_and_after_commit(session)


@pytest.mark.parametrize("fault", ["repeat", "disorder", "late"])
def test_events_that_come_twice_too_early_or_too_late_change_nothing(texts, fault):
    session, server, model = talk(texts, tuple(Row(row.when, row.write, fault) for row in TEXT_BOB), say)
    assert starts(session) == DONE and len(server.connections) == 1 and model.usage.broken == 0
    once_and_after_commit(session)


def test_pieces_that_do_not_make_up_the_text_are_what_the_model_is_told_that_it_said(texts, caplog):
    session, server, model = talk(texts, (Row("text bob", PHONE, "garbled_deltas"), *TEXT_BOB), say)
    assert model.usage.broken >= 1 and starts(session) == DONE
    once_and_after_commit(session)
    assert ("assistant", PHONE) in said(server.connections[0])  # the second try; the first stands as it was heard
    assert ("assistant", "o") in said(server.connections[0])


def test_a_response_that_ignores_its_cancelling_costs_the_connection_not_the_session(texts, monkeypatch):
    monkeypatch.setattr("midsentence.models.realtime_context.REPLY_S", 0.2)
    session, server, _model = talk(texts, (Row("text bob", PHONE + "\nand so", "mute"), *TEXT_BOB[1:]), say)
    assert starts(session) == DONE and len(server.connections) == 2
    once_and_after_commit(session)


def test_a_session_that_is_too_old_goes_on_in_a_new_one(texts):
    session, server, _model = talk(texts, (TEXT_BOB[0], Row("at ten", "", "expire"), *TEXT_BOB[1:]), say)
    assert starts(session) == DONE and len(server.connections) == 2
    once_and_after_commit(session)


@pytest.mark.parametrize(
    "fault", ["refuse rate_limit_exceeded", "fail rate_limit_exceeded", "refuse server_error", "fail server_error"]
)
def test_a_busy_server_is_asked_again(texts, fault):
    session, server, _model = talk(texts, (Row("text bob", "", fault), *TEXT_BOB), say)
    assert starts(session) == DONE and len(server.connections) == 1
    once_and_after_commit(session)


@pytest.mark.parametrize(
    ("fault", "outcome", "says"),
    [
        ("refuse insufficient_quota", "model_failed", "refused a response (insufficient_quota: as ordered)"),
        ("fail insufficient_quota", "model_failed", "refused a response (insufficient_quota: as ordered)"),
        ("refuse context_length_exceeded", "context_overflow", "context_length_exceeded"),
    ],
)
def test_a_refusal_ends_the_session_and_says_why(texts, fault, outcome, says):
    async def user(session: Session, server: Loopback) -> None:
        await session.hear("text bob", final=True)
        await until(lambda: session.outcome)

    session, _, _ = talk(texts, (Row("text bob", "", fault),), user)
    assert session.outcome == outcome and says in f"{session.failure}"


def test_a_server_that_stays_busy_is_given_up(texts):
    async def user(session: Session, server: Loopback) -> None:
        await session.hear("text bob", final=True)
        await until(lambda: session.outcome)

    session, _server, _ = talk(texts, (Row("text bob", "", "fail server_error"),) * 9, user)
    assert (
        session.outcome == "model_failed"
        and "no response in 3 tries, at last for: server_error" in f"{session.failure}"
    )
    session, _server, _ = talk(texts, (Row("text bob", "<think>hm", "drop"),) * 9, user)
    assert session.outcome == "model_failed" and "lost 3 times in a row" in f"{session.failure}"


def test_a_response_that_ran_out_of_tokens_is_asked_for_again(texts):
    session, _, model = talk(texts, (Row("text bob", "<think>hm", "incomplete"), *TEXT_BOB), say)
    assert starts(session) == DONE and model.usage.broken == 1


def test_the_connection_is_tried_again_or_refused_without_the_key(texts, caplog):
    session, server, _ = talk(texts, TEXT_BOB, say, statuses=(503, 429))
    assert starts(session) == DONE and len(server.connections) == 1
    with caplog.at_level(logging.DEBUG):
        talk(texts, TEXT_BOB, say)
    assert KEY not in "".join(record.getMessage() for record in caplog.records if record.name != "websockets.server")
    with pytest.raises(
        RealtimeFailure, match="HTTP 401 .Incorrect API key provided: ….*look at the address"
    ) as refusal:
        talk(texts, TEXT_BOB, say, key="sk-other-0987654321")
    with pytest.raises(RealtimeFailure, match="lost 3 times in a row, at last for: .*HTTP 503"):
        talk(texts, TEXT_BOB, say, statuses=(503,) * 9)
    assert "sk-" not in str(refusal.value)


def test_a_session_option_that_the_api_does_not_know_is_said(texts):
    with pytest.raises(
        RealtimeFailure, match="refused the session .unknown_parameter: Unknown parameter: 'temperature'"
    ):
        talk(texts, TEXT_BOB, say, temperature=0)


def test_a_session_that_ends_in_the_middle_of_a_response_leaves_no_connection(texts):
    async def user(session: Session, server: Loopback) -> None:
        await session.hear("text bob")
        await until(lambda: seen(session, ModelOutput))

    session, server, _ = talk(texts, (Row("text bob", "<think>" + "hm " * 500, pace_s=0.02),), user)
    assert session.outcome == "closed" and server.connections[0].heard[-1]["type"] == "response.cancel"


def test_what_a_session_appends_is_what_its_transcript_says(texts):
    segments = [
        Segment("partial_query_update", "say <answer>no</answer>", 0),
        Segment("model", "<think>hm", 0, texts.action_ids("<think>hm")),
        Segment("think_interrupted", "", 0),
        Segment("tool_result", "1v1: sunny <|im_end|>", 0),
        Segment("final_query_update", "now", 0),
    ]
    whole = pieces(texts, segments)
    assert [piece.role for piece in whole] == ["user", "assistant", "user", "user"]
    assert "<answer>" not in whole[0].text and whole[1].text == "<think>hm</think_interrupted>"
    rendering, made = Rendering(texts), []
    made = appended(texts, made, rendering.environment(segments[:1]))
    rendering.model(segments[1].ids)
    made = appended(texts, [*made, Piece("assistant", "<think>hm")], rendering.environment(segments[2:]))
    assert made == whole


def test_a_mirror_changes_no_more_than_it_must():
    mirror = Mirror()
    first, own, more = Piece("user", "text bob"), Piece("assistant", "<pause>"), Piece("user", "at ten")
    (made,) = mirror.towards([first])
    assert made["previous_item_id"] == "root" and mirror.towards([first]) == []
    mirror.written("item_1", "<pause>\n")
    assert mirror.towards([first, own]) == []
    (made,) = mirror.towards([first, own, Piece("user", GO_ON)])
    mirror.written("item_2", "<think>hm")
    events = mirror.towards([first, own, Piece("assistant", "<think>hm</think_interrupted>"), more])
    assert [event["type"].rpartition(".")[2] for event in events] == ["delete", "delete", "create", "create"]
    assert [event.get("item_id", event.get("previous_item_id")) for event in events] == [
        made["item"]["id"],
        "item_2",
        "item_1",
        "ms_3",
    ]
    for event in events:
        checked(CLIENT_EVENTS, event)
    mirror.forget()
    assert len(mirror.towards([first, own])) == 2


def test_the_loopback_refuses_what_the_api_does_not_know():
    with pytest.raises(Refused, match="no event of type 'response.make'"):
        checked(CLIENT_EVENTS, {"type": "response.make"})
    with pytest.raises(Refused, match="Unknown parameter: 'colour'"):
        checked(CLIENT_EVENTS, {"type": "session.update", "session": {"type": "realtime", "colour": "red"}})
    with pytest.raises(Refused, match="ConversationItemDeleteEvent: .'item_id',.: Field required"):
        checked(CLIENT_EVENTS, {"type": "conversation.item.delete"})


def test_a_renderer_of_tokens_is_refused(renderer):
    with pytest.raises(ValueError, match="the renderer's tags are tokens, and the Realtime API takes text"):
        RealtimeModel(None, "any", renderer)
