"""The page of the first hour: its files load without a rejected row, the expert does what they ask for, and its
commands are commands."""

from __future__ import annotations

import argparse
import importlib
import re
import shlex
from pathlib import Path

import pytest

from data_gen.sources import load, rejected
from eval import replay
from eval.running.results import read_runs
from midsentence import serve
from tests.test_configs import composed

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/first-hour.md").read_text(encoding="utf-8")
FILES = [
    f"{name}={ROOT / 'docs/examples/workshop' / file}"
    for name, file in (("tools", "tools.py"), ("requests", "requests.txt"))
]
COMMANDS = [found.replace("\\\n", " ") for found in re.findall(r"^ {4}python -m ((?:[^\n\\]|\\\n)+)$", PAGE, re.M)]


def test_forty_requests_and_none_is_kept_out():
    config = composed("experiment=jsonl", *FILES)
    assert [len(load(config, split)) for split in ("train", "validation", "test")] == [28, 4, 8] and not rejected(
        config
    )


def test_the_expert_does_what_is_asked_in_every_test_request(tmp_path):
    modes = "eval.modes=[sequential,speculative]"
    replay.main(composed("experiment=jsonl", "model=tiny", "eval.backends=[expert]", modes, *FILES, f"out={tmp_path}"))
    found = [episode for episodes in read_runs([str(tmp_path)]).values() for episode in episodes]
    assert len(found) == 16 and not [episode.why for episode in found if not episode.right]
    assert "I texted Priya and ordered gear cables." in {episode.answer for episode in found}


@pytest.mark.parametrize("command", COMMANDS, ids=[command.split()[0] for command in COMMANDS])
def test_the_pages_commands_compose(command):
    module, *options = shlex.split(command)
    assert callable(importlib.import_module(module).main)
    made = composed(*options)
    assert made.tools in ("", "tools.py") and "bikes" in " ".join(options)


def test_all_steps_have_their_command():
    modules = [command.split()[0] for command in COMMANDS]
    steps = ["data_gen.generate", "data_gen.show", "training.sft", "eval.replay", "eval.report"]
    assert [module for module in dict.fromkeys(modules)] == steps


def test_what_was_trained_is_served_with_its_tools():
    (words,) = re.findall(r"^ {4}midsentence serve (.*)$", PAGE, re.M)
    parser = argparse.ArgumentParser()
    serve.add_options(parser)
    asked = parser.parse_args(shlex.split(words))
    assert (asked.tools, asked.adapter, asked.mode) == ("tools.py", "outputs/train/bikes", "sequential")
    serve.row_of(asked)
    toolbox = serve.toolbox_of(str(ROOT / "docs/examples/workshop/tools.py"), "2026-11-28 10:00:00")
    assert toolbox.run("stock", {"part": "chains"}) == 3
