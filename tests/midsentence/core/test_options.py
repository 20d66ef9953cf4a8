"""Options of the library that mean nothing are refused where they are given, by name, value and what they take."""

from __future__ import annotations

from dataclasses import fields

import pytest

from midsentence.core import reducer
from midsentence.core.modes import MODES, Settings, settings
from midsentence.rendering.prompt import system_prompt
from midsentence.rendering.renderer import Renderer
from midsentence.shells import log
from midsentence.shells.limits import Limits
from midsentence.shells.live import Session
from midsentence.shells.session import load_backend, open_session
from midsentence.tools.function import tool

NAN = float("nan")


@pytest.fixture(scope="module")
def renderer(tiny_tokenizer) -> Renderer:
    return Renderer.prepare(tiny_tokenizer, "text")


def add(x: int) -> int:
    """Adds."""
    return x


@tool(access="egress")
def ask(text: str) -> str:
    """Asks somebody."""
    return text


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        *(
            (each.name, "no", f"{each.name} is 'no'; use True or False")
            for each in fields(Settings)
            if each.type == "bool"
        ),
        *(
            (each.name, value, f"{each.name} is {value!r}; use a whole number from")
            for each in fields(Settings)
            if each.type in ("int", "int | None")
            for value in (-1, NAN, 1.5, "3", True)
        ),
        ("calls_per_action", 0, "calls_per_action is 0; use a whole number from 1 on"),
        ("max_context_tokens", 0, "use a whole number from 1 on"),
        *(
            ("allowed_egress", value, "use a frozenset of tools' names")
            for value in ("ask", ["ask"], None, frozenset({1}))
        ),
        ("commit", "Line", "commit is 'Line'; use line, action or paper"),
    ],
)
def test_a_setting_is_of_its_type_and_in_its_range(name, value, says):
    with pytest.raises(ValueError) as refused:
        settings("speculative", **{name: value})
    assert says in str(refused.value)


@pytest.mark.parametrize("mode", ["Speculative", "", None, []])
def test_a_mode_is_one_that_there_is(mode):
    with pytest.raises(ValueError, match=f"use one of {', '.join(MODES)}"):
        settings(mode)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        *(
            ({name: value}, f"{name} is {value!r}; use a whole number from 1 on")
            for name in ("inbox_events", "backlog_segments", "update_chars")
            for value in (0, 1.5, NAN)
        ),
        *(
            ({name: value}, f"{name} is {value!r}; use seconds, a number")
            for name in ("model_s", "idle_s", "cancel_s", "drain_s")
            for value in (-1, NAN, float("inf"), "x")
        ),
        ({"model_s": 0}, "model_s is 0; use seconds, a number above 0"),
        *(
            ({"silence_s": value}, "use seconds above 0, each later than the one before")
            for value in ((NAN,), (-1,), (2, 1), (1, 1), 0.6, "x")
        ),
    ],
)
def test_limits_are_numbers_that_bound_something(changes, says):
    with pytest.raises(ValueError) as refused:
        Limits(**changes)
    assert says in str(refused.value)
    assert Limits(silence_s=(), cancel_s=0, drain_s=0)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"style": "Full"}, "style is 'Full'; use short or full"),
        ({"seed": "x"}, "seed is 'x'; give a whole number"),
        ({"seed": 1.5}, "seed is 1.5; give a whole number"),
        ({"name": ""}, "name is ''; give a text that no other session has"),
        ({"limits": 3}, "limits is 3; give midsentence.Limits"),
        ({"watch": 3}, "watch and hush are functions, and 3 is none"),
    ],
)
def test_an_option_of_a_session_is_what_it_can_use(renderer, options, says):
    with pytest.raises((TypeError, ValueError)) as refused:
        open_session((None, renderer), [add], **options)
    assert says in str(refused.value)


def test_tools_and_modes_that_are_none_are_named(renderer):
    for tools, mode, says in (
        (add, "speculative", "give a toolbox, or a list of functions"),
        (None, "speculative", "tools is None"),
        ([3], "speculative", "3 is no tool; give a function or a Tool"),
        ([add], {"listens": True}, "give one of sequential"),
    ):
        with pytest.raises(TypeError, match=says):
            open_session((None, renderer), tools, mode)


def test_an_egress_that_is_none_is_refused(renderer):
    def opened(name: str) -> Session:
        return open_session((None, renderer), [add, ask], settings("speculative", allowed_egress=frozenset({name})))

    for name in ("nosuch", "add"):
        with pytest.raises(
            ValueError, match=f"allowed_egress names '{name}', which is no egress tool here; use some of ask"
        ):
            opened(name)
    assert opened("ask").state.settings.allowed_egress == {"ask"}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        *(
            ({"temperature": value}, f"temperature is {value!r}; use a number from 0 on")
            for value in (NAN, -1.0, "hot", True)
        ),
        ({"turns": "Chat"}, "turns is 'Chat'; use flat or chat, or None"),
    ],
)
def test_a_model_is_asked_for_what_it_can_do(options, says):
    with pytest.raises(ValueError) as refused:
        load_backend("tiny", **options)
    assert says in str(refused.value)


def test_a_style_is_one_that_there_is():
    with pytest.raises(ValueError, match="style is 'Short'; use short or full"):
        system_prompt(settings("speculative"), (), style="Short")


def test_a_log_that_is_being_written_is_not_replaced(tmp_path):
    state = reducer.start(settings("speculative"), {}, "a", 0)
    path = tmp_path / "log.jsonl"
    path.write_text("an older log, longer than a header\n" * 100)
    with log.LogFile(path, state):
        written = path.read_bytes()
        assert written and b"older" not in written
        with pytest.raises(
            ValueError, match="log.jsonl is being written by another session; wait until that has ended"
        ):
            log.LogFile(path, state)
        assert path.read_bytes() == written
    with log.LogFile(path, state):
        assert path.read_bytes() == written
