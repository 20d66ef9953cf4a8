"""The loopback as people use it: a script or a small model behind the Realtime API's events, and replays against it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("openai", reason="install it with: pip install -e '.[openai]'")
pytest.importorskip("websockets", reason="install it with: pip install -e '.[openai]'")

from openai import AsyncOpenAI

from eval import replay
from eval.running.backends import backend
from midsentence.core.modes import settings
from midsentence.core.transcript import Segment
from midsentence.models.chat_api import text_renderer
from midsentence.models.load import load_renderer, load_runtime
from midsentence.models.realtime_api import RealtimeModel
from midsentence.models.realtime_items import pieces
from midsentence.rendering.renderer import Rendering
from midsentence.shells.live import Session
from midsentence.tools.function import FunctionToolbox, tool
from scripts.loopback.script import Row, Rules, Script
from scripts.loopback.server import Loopback
from scripts.loopback.weights import Weights, segments_of
from tests.integrations.planned import until
from tests.test_configs import composed

pytestmark = pytest.mark.full
ROOT = Path(__file__).parent.parent.parent
EXAMPLE = ROOT / "docs/examples/restaurant/realtime.json"
HEARD = (
    Segment("partial_query_update", "text bob", 0),
    Segment("tool_result", '1: "+1 555"', 0),
    Segment("silence", "0.6", 0),
    Segment("model", "<think>hm", 0),
    Segment("think_interrupted", "", 0),
    Segment("final_query_update", "[-1] ann", 0),
)


@pytest.fixture(scope="module")
def tiny(tiny_tokenizer: Any) -> tuple[Any, Any]:
    return load_runtime("tiny", None, "float32", temperature=0.0, max_tokens=4096), load_renderer(
        "tiny", "text", "none"
    )


def test_items_lead_back_to_the_segments_that_they_were_made_of(tiny):
    _, renderer = tiny
    items = [(piece.role, piece.text.rstrip()) for piece in pieces(text_renderer(), HEARD)]
    found = segments_of(renderer, [*items, ("user", "(go on)")], {})
    assert [(segment.kind, segment.text) for segment in found] == [(segment.kind, segment.text) for segment in HEARD]
    assert found[3].ids == renderer.action_ids("<think>hm")
    assert segments_of(renderer, [("user", "hello there")], {})[0].kind == "final_query_update"


def test_a_context_that_is_cropped_and_extended_writes_what_a_new_one_writes(tiny):
    model, renderer = tiny
    items = [(piece.role, piece.text.rstrip()) for piece in pieces(renderer, HEARD)]

    async def written(weights: Weights, items: list[tuple[str, str]]) -> str:
        text = ""
        async for piece in weights.write("Help.", items):
            text += piece if isinstance(piece, str) else ""
            if len(text) > 40:
                break
        return text

    async def work() -> None:
        used, new = Weights(model, renderer, threading.Lock()), Weights(model, renderer, threading.Lock())
        await used.listen("Help.", items[:2])
        await written(used, items[:3])
        await used.listen("Help.", items)
        rendering = Rendering(renderer)
        wanted = [*renderer.prompt_ids("Help."), *rendering.take(segments_of(renderer, items, {})), *rendering.header()]
        assert used._ids == wanted
        assert await written(used, items) == await written(new, items) != ""

    asyncio.run(work())


@tool(access="read")
async def phone(name: str) -> str:
    """Finds a number."""
    return f"+1 555 {name}"


def test_a_random_model_behind_the_loopback_ends_a_session_without_a_hang(tiny):
    """What it writes is nonsense: the session ends by its own bounds."""

    async def work() -> tuple[str, int]:
        players = Loopback(lambda: Weights(*tiny, threading.Lock()))
        async with players.running() as server, AsyncOpenAI(base_url=server.url, api_key="any") as client:
            model = RealtimeModel(client, "tiny", text_renderer())
            row = settings("speculative", max_generated_tokens=50)
            async with Session(model, FunctionToolbox([phone]), model.renderer, row, system="Help.") as session:
                await session.hear("text bob")
                await session.hear("at ten", final=True)
                await until(lambda: session.outcome, 100)
            return session.outcome, model.usage.requests

    outcome, requests = asyncio.run(work())
    assert outcome in ("invalid_actions", "out_of_budget") and requests >= 1


def test_a_script_is_rows_and_what_is_none_is_refused(tmp_path):
    rules = Rules.read(EXAMPLE)
    assert len(rules.rows) > 10
    heard = "Start while <partial_query_update> four Luigi's 7:30 pm"
    first = rules.reply(heard)
    assert first.write.startswith("<tool_call>1. find_table(") and rules.reply(heard) == first
    assert rules.reply(f"{heard} {first.write}").write == "<pause>"
    file = tmp_path / "script.json"
    for text in (
        '{"when": "x"}',
        '[{"when": "x"}]',
        '[{"when": 3, "write": "x"}]',
        "[",
        '[{"when": "x", "write": "y", "colour": 1}]',
    ):
        file.write_text(text)
        with pytest.raises(
            ValueError, match="is no script .*give a JSON list of objects with when, write, fault, pace_s"
        ):
            Script.read(file)
    with pytest.raises(ValueError, match="fault is 'fire'; use one of drop"):
        Row("x", "y", "fire")


@pytest.fixture
def command() -> Iterator[str]:
    """The address of a loopback that a command serves."""
    line = [sys.executable, "-m", "scripts.loopback", "--port", "0", "--script", str(EXAMPLE)]
    with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().rsplit(" ", 1)[1].strip()
        finally:
            process.terminate()


def test_a_replay_plays_requests_through_the_real_client(command, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-any-secret")
    monkeypatch.chdir(ROOT)
    config = composed(
        "experiment=realtime_loopback",
        "eval.modes=[sequential,speculative]",
        "eval.tasks=2",
        f"eval.realtime.url={command}",
        f"out={tmp_path / 'replay'}",
    )
    replay.main(config)
    assert "scripted: " in capsys.readouterr().out
    rows = [
        json.loads(line) for path in (tmp_path / "replay").glob("episodes-*") for line in path.read_text().splitlines()
    ]
    assert len(rows) == 4 and all(row["right"] and row["profile"] == "wall" for row in rows)
    assert not any(row["counts"]["effects_before_commit"] or row["counts"]["effects_repeated"] for row in rows)
    assert not any("sk-any" in path.read_text() for path in (tmp_path / "replay").iterdir())


def test_a_replay_that_can_not_be_is_refused_in_a_line(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    config = composed("experiment=realtime_loopback")
    assert backend("realtime", config).plays == "scripted at http://127.0.0.1:8765/v1"
    with pytest.raises(ValueError, match="backend 'realtime' runs in its own time; set time=real"):
        backend("realtime", replace(config, time="virtual"))
    with pytest.raises(ValueError, match="can't be kept to a grammar; set eval.constrained=false"):
        backend("realtime", replace(config, eval=replace(config.eval, constrained=True)))
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(ValueError, match="needs a key in the environment; set OPENAI_API_KEY"):
        backend("realtime", config)
