"""``accelerate launch --cpu`` starts as many processes as it was asked for."""

from __future__ import annotations

import pytest

from configs.launch import asked_for, lone, start_all

LAUNCH = ["python", "accelerate", "launch"]


@pytest.mark.parametrize(
    ("line", "processes"),
    [
        (["--cpu", "--num_processes", "3", "-m", "training.sft", "experiment=debug"], 3),
        (["--cpu", "--num-processes=2", "-m", "eval.replay"], 2),
        (["--cpu", "--config_file", "configs/accelerate/ddp.yaml", "-m", "training.sft"], 2),
        (["--cpu", "--config_file", "configs/accelerate/ddp.yaml", "--num_processes", "4", "-m", "training.sft"], 4),
        (["--cpu", "--config_file", "nowhere.yaml", "-m", "training.sft"], 0),
        (["-m", "training.sft"], 0),
    ],
)
def test_the_launcher_s_line_says_how_many(line, processes):
    assert asked_for(LAUNCH + line) == processes


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, False),
        ({"ACCELERATE_USE_CPU": "True"}, False),
        ({"ACCELERATE_USE_CPU": "True", "MASTER_ADDR": "127.0.0.1"}, True),
        ({"ACCELERATE_USE_CPU": "True", "MASTER_ADDR": "127.0.0.1", "RANK": "0"}, False),
        ({"ACCELERATE_USE_CPU": "False", "MASTER_ADDR": "127.0.0.1"}, False),
    ],
)
def test_a_process_that_should_be_one_of_several_is_told_from_others(environ, expected, monkeypatch):
    assert lone(environ) is expected
    if not expected:
        for name in ("ACCELERATE_USE_CPU", "MASTER_ADDR", "RANK"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("os.execv", lambda *_: pytest.fail("started over"))
        start_all("training.sft")
