"""Spans and metrics of a session: the same live and over its log, and nothing in them that anybody said."""

from __future__ import annotations

import copy
import subprocess
import sys

import pytest

from midsentence.core import reducer
from midsentence.rendering.renderer import Renderer
from midsentence.shells import log
from midsentence.shells.telemetry import Telemetry
from tests.midsentence.shells.live_stage import SPOKEN, TEXT_BOB, fake, phone, planned, say, send

pytest.importorskip("opentelemetry.sdk")
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


def listening(deadline_s=2.0):
    spans, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracers = TracerProvider(shutdown_on_exit=False)
    tracers.add_span_processor(SimpleSpanProcessor(spans))
    meters = MeterProvider([reader], shutdown_on_exit=False)
    return Telemetry(lambda: 10**18, deadline_s=deadline_s, tracers=tracers, meters=meters), spans, reader


def seen(spans):
    finished = spans.get_finished_spans()
    return sorted(
        (span.name, span.start_time, span.end_time, tuple(sorted(span.attributes.items()))) for span in finished
    )


def metrics(reader):
    found = {}
    for resource in reader.get_metrics_data().resource_metrics:
        for metric in resource.scope_metrics[0].metrics:
            for point in metric.data.data_points:
                value = point.value if hasattr(point, "value") else (point.count, round(point.sum, 6))
                found[metric.name, *(str(each) for each in point.attributes.values())] = value
    return found


@pytest.fixture(scope="module")
def session(renderer):
    async def work():
        async with planned(renderer, TEXT_BOB, [phone, send], name="one") as session:
            session._telemetry, session.spans, _ = listening()
            await say(session, *SPOKEN)
            await session.answer()
        return session

    return fake(work)


def over_log(session, rows, deadline_s=2.0):
    telemetry, spans, reader = listening(deadline_s)
    state = session.initial
    for event, commands in rows:
        state, asked = reducer.step(state, event)
        assert asked == commands
        telemetry(event, commands, state)
    assert state == session.state
    return spans, reader


def test_a_log_gives_the_spans_of_the_live_session_and_its_state(session, tmp_path):
    log.write_log(tmp_path / "log.jsonl", session.initial, session.history, redact=False)
    spans, _ = over_log(session, log.read_log(tmp_path / "log.jsonl")[1])
    assert seen(spans) == seen(session.spans) != []


def test_a_span_a_turn_a_call_and_a_generation(session):
    spans, reader = over_log(session, session.history)
    by_name = {span.name: span for span in spans.get_finished_spans()}
    assert set(by_name) == {"turn", "chat", "execute_tool phone", "execute_tool send"}
    turn = by_name["turn"]
    assert all(
        span.parent.span_id == turn.context.span_id for name, span in by_name.items() if name.startswith("execute")
    )
    found = metrics(reader)
    assert found["midsentence.turns", "in_time"] == 1
    assert found["midsentence.calls", "send"] == 1


def test_an_answer_after_the_deadline_is_late(session):
    _, reader = over_log(session, session.history, deadline_s=0.01)
    assert metrics(reader)["midsentence.turns", "late"] == 1


def test_nothing_that_was_said_or_passed_is_in_a_span(session):
    spans, _ = over_log(session, session.history)
    text = " ".join(span.to_json() for span in spans.get_finished_spans())
    assert [word for word in ("Bob", "meeting", "555", "texted", 'sent"') if word in text] == []


def test_nothing_is_imported_where_nothing_is_configured():
    code = (
        "import sys; from midsentence.shells import live, telemetry; assert telemetry.listener(lambda: 0) is None; "
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_api_alone_is_off_and_a_provider_turns_it_on():
    code = (
        "from opentelemetry import trace; from midsentence.shells import telemetry; assert telemetry.listener(lambda: 0) is None; "
        "from opentelemetry.sdk.trace import TracerProvider; trace.set_tracer_provider(TracerProvider()); "
        "assert telemetry.listener(lambda: 0) is not None"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_exporter_that_raises_ends_no_session(tiny_tokenizer, monkeypatch):
    from midsentence.shells import telemetry

    told = []

    def raises(*args):
        told.append(args)
        raise RuntimeError("no exporter")

    monkeypatch.setattr(telemetry, "listener", lambda wall_ns: raises)
    renderer = Renderer.prepare(copy.deepcopy(tiny_tokenizer))

    async def work():
        async with planned(renderer, TEXT_BOB, [phone, send]) as session:
            await say(session, *SPOKEN)
            return await session.answer()

    assert fake(work) and len(told) == 1
