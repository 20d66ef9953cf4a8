"""Settings that nothing in a run would honour are refused before anything is made."""

from __future__ import annotations

from dataclasses import replace

import pytest

from data_gen import generate
from data_gen.sources import honoured
from data_gen.task import Task
from data_gen.tasks import debug
from eval import frontier, replay, whatif
from midsentence.tools.tool import ToolSpec
from tests.test_configs import composed
from training import repair

ASK = ToolSpec("ask", description="Asks somebody.", params=(), access="egress")


def refused(*options: str) -> str:
    config = composed("experiment=debug", *options)
    with pytest.raises(ValueError) as why:
        honoured(config, [config], ())
    return str(why.value)


def test_what_the_source_does_not_read_is_refused():
    assert refused("requests=x.jsonl") == (
        "requests=x.jsonl is read by source jsonl, and not by debug; use data=jsonl, or leave it out"
    )
    assert refused("tools=assistant").startswith("tools=assistant is read by source jsonl, and not by debug")
    assert refused("++data.files.corpus=x").startswith("data.files is read by source hotpotqa, and not by debug")
    assert (
        refused("data.categories=[travel]")
        == "data.categories=['travel'], but source 'debug' has no parts; leave it out"
    )


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["task=jsonl", "requests=x.jsonl", "tools=assistant"],
        ["data=domains", "data.categories=[travel]"],
        ["data=hotpotqa", "data.files.corpus=x"],
    ],
)
def test_what_it_reads_is_taken(options):
    config = composed("experiment=none", *options)
    honoured(config, [config], ())


def test_of_several_sources_one_that_reads_it_is_enough():
    config = composed("requests=x.jsonl", "eval.sources=[assistant,jsonl]")
    honoured(config, [replay.of_source(config, name) for name in config.eval.sources], ())


def test_an_egress_that_no_tool_is_is_refused():
    task: Task = debug.tasks("train", 0)[0]
    config = composed("experiment=debug", "agent.allowed_egress=[ask,nosuch]")
    says = "agent.allowed_egress names 'nosuch', which is no egress tool here; use some of ask"
    task = replace(task, tools=(*task.tools, ASK))
    with pytest.raises(ValueError, match=says):
        honoured(config, [config], [task])
    config.agent.allowed_egress = ["ask"]
    honoured(config, [config], [task])
    config.agent.allowed_egress = []
    honoured(config, [config], iter(lambda: pytest.fail("tasks were made for nothing"), None))


@pytest.mark.parametrize("main", [generate.main, replay.main, repair.main, whatif.main, frontier.main])
def test_every_command_asks(main, tmp_path):
    for option, says in (
        ("agent.allowed_egress=[nosuch]", "allowed_egress names 'nosuch'"),
        ("requests=x", "requests=x is read by source jsonl"),
    ):
        config = composed(
            "experiment=debug", "model.adapter=x", "eval.backends=[expert]", option, f"out={tmp_path / 'out'}"
        )
        with pytest.raises(ValueError, match=says):
            main(config)
    assert not list(tmp_path.rglob("*.*"))
