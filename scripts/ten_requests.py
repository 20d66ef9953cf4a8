"""Ten written requests with their timelines, as a part of docs/written.md: ``python -m scripts.ten_requests``.

They are drawn by a seed from all test rows that were written apart, so nobody picked them. The expert plays each in
``speculative`` on the laptop, with the recogniser and the endpoint of published figures. ``check=true`` changes nothing
and ends with status 1 if the page differs.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from configs.schema import Config, register
from data_gen.episodes import make_episode, profile_of
from data_gen.expert.player import expert_of
from data_gen.generate import renderer
from data_gen.grounding.reading import reading_of
from data_gen.sources import load
from data_gen.task import Task
from data_gen.trajectory import Trajectory, trajectory_of
from midsentence.clock import seconds
from midsentence.ending import program

PAGE = Path(__file__).resolve().parents[1] / "docs" / "written.md"
SOURCES = ("written_apart", "domains")
COUNT, SEED = 10, 0
MODE, DEVICE = "speculative", "laptop"

_PART = re.compile(r"(<!-- ten requests -->\n).*?(<!-- /ten requests -->)", re.DOTALL)
_SAYS = {"partial_query_update": "hears", "final_query_update": "hears, final"}


def main(arguments: Sequence[str]) -> int:
    """Fills the page, or checks it."""
    text = PAGE.read_text(encoding="utf-8")
    filled = _PART.sub(lambda part: f"{part[1]}{''.join(ten())}{part[2]}", text)
    if filled != text and arguments != ["check=true"]:
        PAGE.write_text(filled, encoding="utf-8")
    return int(filled != text and arguments == ["check=true"])


def ten() -> Iterator[str]:
    """The requests, each as a section."""
    pool = [(config, task) for config in map(settings, SOURCES) for task in load(config, "test")]
    for config, task in random.Random(SEED).sample(pool, COUNT):
        yield "\n".join(section(play(config, task), task))


def settings(source: str) -> Config:
    """What published figures of a source are made with."""
    register()
    with initialize_config_module("configs", version_base="1.3"):
        return OmegaConf.to_object(compose("config", [f"data={source}", "data.thoughts=none"]))


def play(config: Config, task: Task) -> Trajectory:
    """The expert's trajectory."""
    made, profile = renderer(config), profile_of(DEVICE, config.clock)
    planner = expert_of(task, reading_of(task), config.data)
    rollout = make_episode(
        task, MODE, profile, made, agent=config.agent, data=config.data, seed=config.seed, planner=planner
    ).run()
    return trajectory_of(rollout, task, MODE, profile, made, id=task.id, seed=config.seed)


def section(row: Trajectory, task: Task) -> Iterator[str]:
    """A request: what is said, then what is heard, written and answered by tools, each with its time."""
    yield f"### {task.id}"
    yield ""
    yield f"> {row.request}"
    yield ""
    end, wait = seconds(row.speech_end_ns), seconds(row.end_ns - row.speech_end_ns)
    yield f"Speech ends at {end:.2f} s, the answer is there {wait:.2f} s later."
    yield ""
    yield "```text"
    for part in row.segments:
        kind, words = part.segment.kind, part.segment.text.strip()
        if kind == "model" and words in ("<pause>", ""):
            continue
        who = "writes" if kind == "model" else _SAYS.get(kind, kind)
        first, *rest = words.splitlines() or [""]
        yield f"{seconds(part.segment.at_ns):6.2f}  {who:13} {first}"
        yield from (f"{'':22}{line}" for line in rest)
    yield "```"
    yield ""


if __name__ == "__main__":
    program(main)
