"""What users test their tools with: the page's example, its own errors, and that nothing of the library needs it."""

from __future__ import annotations

import ast
import asyncio
import re
import subprocess
import sys
from pathlib import Path

import pytest

from midsentence import testing
from midsentence.clock import Profile
from midsentence.testing import PAUSE, Scripted, ScriptNotOver, ScriptRanOut, Tools, answer, calls, play
from midsentence.tools.function import Constant, FunctionToolbox, tool
from midsentence.tools.tool import ToolSpec

ROOT = Path(__file__).parents[2]


def example() -> dict[str, object]:
    (text,) = re.findall(
        r"^```python\n(.*?)^```", (ROOT / "docs" / "testing.md").read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    found: dict[str, object] = {"__name__": "example"}
    exec(compile(text, "docs/testing.md", "exec"), found)
    return {name: value for name, value in found.items() if name.startswith("test_")}


@pytest.mark.parametrize("name", sorted(example()))
def test_the_pages_example_holds(name):
    example()[name]()


def test_the_page_names_all_rows_and_what_there_is():
    text = (ROOT / "docs" / "testing.md").read_text("utf-8")
    kinds = set(re.findall(r'row\(\s*"(\w+)"', Path(testing.__file__).read_text("utf-8")))
    (listed,) = re.findall(r"rows of these kinds: (.*?) \|", text)
    assert set(re.findall(r"`(\w+)`", listed)) == kinds
    assert all(f"`{spec.name}`" in text for spec in testing.TOOLS)
    assert all(hasattr(testing, name) for name in testing.__all__)


def test_nothing_imports_it_but_tests():
    """The soak is a test too: its player scripts a model."""
    rooms = ("midsentence", "configs", "data_gen", "training", "eval", "scripts")
    paths = [path for room in rooms for path in (ROOT / room).rglob("*.py") if path.parent != ROOT / "scripts" / "soak"]
    assert len(paths) > 150
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            named = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            named += [name.name for name in node.names] if isinstance(node, ast.Import) else []
            assert "midsentence.testing" not in named, path
            assert named != ["midsentence"] or "testing" not in [name.name for name in node.names], path


def test_it_needs_no_torch():
    code = "import sys, midsentence.testing; print({'torch', 'transformers', 'hydra', 'pytest'} & {*sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.stdout == "set()\n", done.stderr


def test_a_script_that_runs_out_says_what_the_model_was_shown():
    with pytest.raises(
        ScriptRanOut, match="500000000 ns, but the script has 1 actions; the context ends in model '</tool_call>'"
    ):
        play(user=[(0.0, "x.")], model=[calls('1. look("a")')])


def test_a_script_that_is_not_used_up_says_what_is_left():
    with pytest.raises(
        ScriptNotOver,
        match=r"1 actions of the script were never asked for: \('<pause>',\); the session ended as answered",
    ):
        play(user=[(0.0, "x.")], model=[answer(), PAUSE])


def test_what_a_script_says_for_ever_is_no_part_of_it():
    script = Scripted(["a", lambda state: state + "!"], then="z")
    assert [script.plan(state) for state in ("1", "2", "3", "4")] == ["a", "2!", "z", "z"]
    assert (script.taken, script.left, script.states) == (4, 0, ["1", "2", "3", "4"])


def test_a_time_that_no_row_can_name_is_refused():
    with pytest.raises(AssertionError, match="333333333 ns is no whole number of milliseconds"):
        play(user=[(0.0, "x.")], model=[answer()], profile=Profile("thirds", 3, 100, 0)).rows()


def test_answers_that_are_used_up_are_said():
    box = Tools({}, {"look": ["one"]})
    assert box.run("look", {"what": "a"}) == "one"
    with pytest.raises(AssertionError, match=r"look\(a\) is run, but all declared answers are given"):
        box.run("look", {"what": "a"})


@tool(access="read", latency=Constant(9))
async def price(dish: str) -> float:
    """Looks a price up."""
    await asyncio.sleep(0)  # noqa: TID251
    return 4.0


@tool
def pay(amount: float) -> str:
    """Pays."""
    return "paid"


@pytest.mark.parametrize("box", [[price, pay], FunctionToolbox([price, pay])], ids=["functions", "toolbox"])
def test_real_tools_run_and_declared_answers_go_before(box):
    """Of two calls of a tool one is declared; times are the test's, not the tool's."""
    script = [calls('1. price("soup")', '2. price("bread")', "3. pay($1)"), answer()]
    played = play([(0.0, "x.")], script, tools=box, takes={"price(soup)": 2}, answers={"price(bread)": 1.5})
    assert sorted(played.tools.ran) == ["pay(4.0)", "price(bread)", "price(soup)"]
    assert [(at_s, what) for at_s, _, what in played.rows("result")][:2] == [(1.6, "2 1.5"), (2.4, "1 4.0")]
    assert [(effect.name, dict(effect.args)) for effect in played.tools.effects] == [("pay", {"amount": 4.0})]
    assert (played.outcome, played.states()) == ("answered", {1: "done", 2: "done", 3: "done"})


def test_toy_tools_stand_beside_no_real_ones():
    with pytest.raises(ValueError, match="1 toy tools are given beside tools; leave specs out, or tools"):
        play([(0.0, "x.")], [answer()], tools=[pay], specs=[ToolSpec("mode")])
