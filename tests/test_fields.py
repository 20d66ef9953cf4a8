"""Every setting is documented under itself, and means one thing wherever it can be set."""

from __future__ import annotations

import argparse
import ast
from dataclasses import fields
from pathlib import Path

import pytest

from configs.schema import AgentConfig
from midsentence import serve
from midsentence.core.modes import Settings

ROOT = Path(__file__).parent.parent
READ = ["midsentence", "configs", "data_gen", "eval", "training"]
TWINS = {"Draft"}
"""Classes that repeat another's fields, which are documented there."""


def is_data(node: ast.stmt) -> bool:
    """Whether a statement makes a public dataclass."""
    return (
        isinstance(node, ast.ClassDef)
        and not node.name.startswith("_")
        and node.name not in TWINS
        and any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list)
    )


def is_text(node: ast.stmt | None) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def undocumented(source: str) -> list[str]:
    """The public fields of public dataclasses that have no docstring below them."""
    return [
        f"{node.name}.{item.target.id}"
        for node in ast.parse(source).body
        if isinstance(node, ast.ClassDef) and is_data(node)
        for item, below in zip(node.body, [*node.body[1:], None])
        if isinstance(item, ast.AnnAssign)
        and isinstance(item.target, ast.Name)
        and not item.target.id.startswith("_")
        and not is_text(below)
    ]


@pytest.mark.parametrize("room", READ)
def test_every_field_is_documented_under_itself(room):
    found = {
        str(path.relative_to(ROOT)): undocumented(path.read_text("utf-8"))
        for path in sorted((ROOT / room).rglob("*.py"))
    }
    assert {path: names for path, names in found.items() if names} == {}


def test_a_field_without_a_docstring_is_found():
    head = "@dataclass(slots=True)\nclass A:\n    x: int\n    '''Said.'''\n    y: int = 0\n"
    assert undocumented(head) == ["A.y"] and undocumented(head + "    '''Said.'''\n") == []


def test_every_option_of_serve_says_what_it_is():
    parser = argparse.ArgumentParser()
    serve.add_options(parser)
    assert [action.dest for action in parser._actions if not action.help] == []


def test_the_budgets_are_one_set_live_and_configured():
    """What the library does by itself is what the settings say."""
    live, configured = Settings(), AgentConfig()
    same = {item.name for item in fields(Settings)} & {item.name for item in fields(AgentConfig)} - {
        "allowed_egress",
        "runs_lines",
    }
    assert {
        "max_context_tokens",
        "max_generated_tokens",
        "max_writes_per_turn",
        "max_writes_per_session",
        "max_errors_in_row",
    } < same
    assert {name: getattr(live, name) for name in same} == {name: getattr(configured, name) for name in same}
