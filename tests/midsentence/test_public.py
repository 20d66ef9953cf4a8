"""The front door: the public names, what importing them costs, and that nothing of a user's own is imported in the
library's place."""

from __future__ import annotations

import ast
import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

import midsentence
from midsentence import cli
from midsentence.ending import UserError

ROOT = Path(__file__).parents[2]
PACKAGE = Path(midsentence.__file__).parent


def outside(code: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Runs a program in a folder that is no checkout; of the rooms it can import ``midsentence`` alone."""
    (library := cwd / "library").mkdir(exist_ok=True)
    if not (library / "midsentence").exists():
        (library / "midsentence").symlink_to(PACKAGE)
    (cwd / "program.py").write_text(code)
    environment = os.environ | {"PYTHONPATH": str(library), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "program.py"], cwd=cwd, env=environment, capture_output=True, text=True, timeout=240
    )


def test_importing_it_imports_nothing_else(tmp_path):
    """So it takes no time; ``-X importtime`` says how much."""
    done = outside(
        "import sys\nbefore = {*sys.modules}\nimport midsentence\n"
        "strange = {name.partition('.')[0] for name in {*sys.modules} - before} - set(sys.stdlib_module_names)\n"
        "print(sorted(strange), [name for name in sys.modules if name.startswith('midsentence.')])",
        tmp_path,
    )
    assert done.stdout == "['midsentence'] []\n", done.stderr


def test_no_public_name_needs_torch(tmp_path):
    done = outside(
        "import sys\nfrom midsentence import *\nimport midsentence\n"
        "print(all(name in globals() for name in midsentence.__all__), {'torch', 'transformers', 'hydra'} & {*sys.modules})",
        tmp_path,
    )
    assert done.stdout == "True set()\n", done.stderr


def test_what_type_checkers_read_is_what_is_imported():
    (block,) = [node for node in ast.parse((PACKAGE / "__init__.py").read_text()).body if isinstance(node, ast.If)]
    said = {(name.asname, node.module) for node in block.body for name in node.names}
    assert said == {*midsentence._HOMES.items()}
    assert len(midsentence._HOMES) == sum(map(len, midsentence._NAMES.values()))  # none is in two modules
    for name, module in midsentence._HOMES.items():
        assert getattr(midsentence, name) is getattr(importlib.import_module(module), name)
    assert {*midsentence.__all__} <= {*dir(midsentence)}


def test_every_kind_of_event_and_command_is_public():
    kinds = {kind.__name__ for union in (midsentence.Event, midsentence.Command) for kind in union.__args__}
    assert kinds <= {*midsentence.__all__}


def test_a_name_that_is_none_is_said():
    with pytest.raises(AttributeError, match="module 'midsentence' has no attribute 'nosuch'"):
        midsentence.nosuch  # noqa: B018


SCRIPTED = """
import asyncio
from contextlib import contextmanager
import midsentence
from midsentence.clock import Profile
from midsentence.models.planned import PlannedModel
from midsentence.models.load import load_tokenizer

with midsentence.load("tiny", dtype="float32"):
    pass

class Planner:
    def plan(self, state):
        said = " ".join(segment.text for segment in state.transcript if segment.kind != "model")
        if "sunny" in said:
            return "<answer>It is sunny in Oslo.</answer>"
        return "<tool_call>\\n1. weather(\\"Oslo\\")\\n</tool_call>" if "Oslo" in said and not state.graph.highest else "<pause>"

@contextmanager
def load(*_, **__):
    renderer = midsentence.Renderer.prepare(load_tokenizer("tiny"))
    fast = Profile("fast", decode_tokens_per_s=100_000, prefill_tokens_per_s=100_000, restart_ns=0)
    yield PlannedModel(Planner(), renderer, fast, asyncio.get_running_loop().call_later), renderer

midsentence.load = load
"""


def test_the_example_runs_beside_folders_of_the_same_names_as_ours(tmp_path):
    """A project has folders of its own: none is imported in the place of a room that the library once needed."""
    for name in ("agent", "configs", "eval", "data_gen", "training", "scripts", "tools", "models"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"raise RuntimeError('{name} is somebody else')\n")
    example = (ROOT / "README.md").read_text().split("```python\n")[1].split("```")[0]
    done = outside(SCRIPTED + example, tmp_path)
    assert done.stdout == "It is sunny in Oslo.\n", done.stderr


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ([], "the following arguments are required: VERB; see midsentence --help"),
        (["nosuch"], "invalid choice: 'nosuch' .*calibrate.*; see midsentence --help"),
        (
            ["serve", "--mode", "nosuch"],
            "--mode: invalid choice: 'nosuch' .*speculative.*; see midsentence serve --help",
        ),
        (["serve", "model=tiny"], "unrecognized arguments: model=tiny; see midsentence serve --help"),
        (["serve", "--con"], "unrecognized arguments: --con; see midsentence serve --help"),
        (["serve", "--commit-grace-s", "nan"], "nan is out of range; use 0 to 3600"),
        (["serve", "--commit-grace-s", "x"], "invalid number value: 'x'"),
        (["serve", "--max-generated-tokens", "0"], "0 is out of range; use 1 or more"),
        (["calibrate", "--dtype", "int8"], "--dtype: invalid choice: 'int8' .*float32"),
    ],
)
def test_a_line_that_is_none_is_refused_in_one_sentence(line, says):
    with pytest.raises(UserError, match=says) as refused:
        cli.main(line)
    assert len(str(refused.value).splitlines()) == 1


def test_help_is_no_mistake(capsys):
    for line in (["--help"], ["serve", "--help"], ["calibrate", "--help"], ["fetch", "--help"], ["--version"]):
        with pytest.raises(SystemExit) as end:
            cli.main(line)
        assert end.value.code == 0
    assert f"midsentence {midsentence.__version__}" in capsys.readouterr().out


def test_the_console_command_ends_like_the_others(tmp_path):
    command = [sys.executable, "-m", "midsentence", "serve", "--mode", "nosuch"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and done.stdout == ""
    assert (
        done.stderr.startswith("midsentence: argument --mode: invalid choice: 'nosuch'")
        and done.stderr.count("\n") == 1
    )
