"""Every command and every example in the pages is run by a test, or is marked as not run; and all settings and options
in them exist.

The mark is the comment before a block, ``<!-- a test runs this -->`` or ``<!-- not run by a test -->``. Blocks of
commands with the first mark run here, those of Python in the tests of what they show.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from midsentence import cli
from tests.test_configs import composed

ROOT = Path(__file__).parent.parent
PAGES = [page for page in sorted((ROOT / "docs").glob("*.md")) if page.name != "log.md"] + [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
]
RUN, NOT_RUN = "<!-- a test runs this -->", "<!-- not run by a test -->"
_COMMAND = re.compile(
    r"^(\$ )?(\S*/)?(python[\d.]*|export|pytest|source|make|midsentence|pip|accelerate|vllm|[A-Z_]+=\S+) \S"
)
EXAMPLES = {
    "README.md": "test_the_example_of_a_page",
    "runtime.md": "test_the_example_of_a_page",
    "testing.md": "test_the_example",
}
"""Pages whose Python is run, and the test that does."""


@dataclass(frozen=True, slots=True)
class Block:
    """A block of commands or of Python in a page."""

    page: Path
    line: int
    """Of its first line, from 1."""
    python: bool
    text: str
    mark: str
    """The last line before it that is not empty."""

    @property
    def name(self) -> str:
        return f"{self.page.name}:{self.line}"

    @property
    def commands(self) -> list[list[str]]:
        """The words of each command, without prompt, variables and what is piped into it."""
        lines = [line.strip().removeprefix("$ ") for line in self.text.replace("\\\n", " ").splitlines()]
        found = [shlex.split(line.rpartition(" | ")[2], comments=True) for line in lines if _COMMAND.match(line)]
        return [
            words[next((n for n, word in enumerate(words) if not re.match(r"[A-Z_]+=", word)), 0) :] for words in found
        ]


def blocks(page: Path) -> list[Block]:
    """The blocks of a page that are Python or hold a command; in fences, or set off by four spaces."""
    lines, at, found = page.read_text("utf-8").split("\n"), 0, []
    while at < len(lines):
        above = [line for line in lines[:at] if line.strip()][-1:]
        end = at + 1
        if lines[at].startswith("```"):
            while not lines[end].startswith("```"):
                end += 1
            kind, text = lines[at].removeprefix("```").strip(), "\n".join(lines[at + 1 : end])
            end += 1
        elif lines[at].startswith("    ") and (not lines[at - 1].strip() or lines[at - 1].startswith("#")):
            while any(
                line.startswith("    ") for line in lines[end : end + (1 if lines[end : end + 1] != [""] else 2)]
            ):
                end += 1
            kind, text = "", "\n".join(line.removeprefix("    ") for line in lines[at:end])
        else:
            at = end
            continue
        if kind == "python" or kind in ("", "console") and any(_COMMAND.match(line) for line in text.split("\n")):
            found.append(Block(page, at + 1, kind == "python", text, "".join(above)))
        at = end
    return found


BLOCKS = [block for page in PAGES for block in blocks(page)]
TO_RUN = [block for block in BLOCKS if block.mark == RUN and not block.python]


def test_every_block_is_run_or_marked():
    assert len(BLOCKS) > 60
    assert [block.name for block in BLOCKS if block.mark not in (RUN, NOT_RUN)] == []


def test_python_that_is_marked_as_run_is_run_by_the_test_of_its_page():
    assert {block.page.name for block in BLOCKS if block.python and block.mark == RUN} == {*EXAMPLES}
    tests = "".join(path.read_text("utf-8") for path in (ROOT / "tests" / "midsentence").rglob("test_*.py"))
    for page, test in EXAMPLES.items():
        assert f"def {test}" in tests and page in tests


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.python], ids=lambda block: block.name)
def test_python_compiles(block):
    compile(block.text, block.name, "exec", flags=0x2000)  # top-level await, as in a notebook


@pytest.mark.parametrize("block", [block for block in BLOCKS if not block.python], ids=lambda block: block.name)
def test_settings_and_options_exist(block):
    """Of every command in a block, whether it is run or not."""
    for words in block.commands:
        if words[0] == "midsentence":
            assert cli.parsed(words[1:]).verb == words[1]
        elif "-m" in words and words[0] in ("python", "accelerate"):
            module, settings = words[words.index("-m") + 1], words[words.index("-m") + 2 :]
            path = ROOT / module.replace(".", "/")
            path = path.with_suffix(".py") if path.with_suffix(".py").is_file() else path / "__main__.py"
            if module.partition(".")[0] in ("pytest", "vllm", "venv"):
                continue
            assert path.is_file(), f"{block.name} runs {module}, which is not there"
            if "command(main)" in path.read_text("utf-8"):  # of Hydra; NAME stands for one of the reader's own
                composed(*[word for word in settings if word not in ("experiment=NAME", "…", "[json=true]")])


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", sorted({block.page for block in TO_RUN}), ids=lambda page: page.name)
def test_the_commands_of_a_page_run(page, tmp_path):
    """In the order of the page, in a folder that has the page's examples and no checkout."""
    for name in ("docs", "data_gen"):
        (tmp_path / name).symlink_to(ROOT / name)
    for path in (ROOT / "docs" / "examples" / "workshop").iterdir():
        shutil.copy(path, tmp_path)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    for block in TO_RUN:
        for words in block.commands if block.page == page else []:
            command = [sys.executable, *words[1:]]
            done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{block.name}: {shlex.join(words)}\n{done.stdout}{done.stderr}"
