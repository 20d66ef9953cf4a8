"""Replays on the wall clock: in fake time what the virtual clock says, in real time the same records; never mixed."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import looptime
import pytest

from data_gen.sources import load
from eval import replay
from eval.measures.rows import Terms, rows_of
from eval.measures.trace import trace
from eval.running import realtime
from eval.running.episodes import replayed
from eval.running.realtime import LIMIT_S, Live, Time, run_live
from eval.running.results import read_file, read_runs
from midsentence.clock import Profile, WallClock, ns
from midsentence.core.events import Emit, ToolError, UserUpdate
from midsentence.core.modes import settings
from midsentence.testing import PAUSE, Scripted
from midsentence.tools.function import Constant, FunctionToolbox, tool
from midsentence.tools.waiting import WaitingToolbox

FAST = Profile("fast", decode_tokens_per_s=1000, prefill_tokens_per_s=10_000, restart_ns=ns(0.001))
NEAR_NS = 1_000_000
"""Fake time counts in microseconds, and a span has some hundred tokens."""


def run_faked(work):
    with asyncio.Runner(loop_factory=lambda: looptime.new_event_loop(noop_cycles=20)) as runner:
        runner.run(work)


async def at_once(function, *args):
    return function(*args)


FAKE = Time(run_faked, lambda: WallClock(lambda: ns(asyncio.get_running_loop().time())), at_once)


@pytest.fixture
def faked(monkeypatch):
    """Replays that ask for real time get fake time."""
    monkeypatch.setattr(replay, "run_live", partial(run_live, time=FAKE))


def scripted(*actions: str, then: str = PAUSE) -> Scripted:
    """Actions in order, then ``then`` for ever."""
    return Scripted(actions, then)


@tool(access="read", latency=Constant(0.7))
def phone(name: str) -> str:
    """Finds a number."""
    return f"+1 555 {name}"


@tool(access="read", latency=Constant(1000), timeout_s=2000)
def slow() -> str:
    """Takes long."""
    return "at last"


def played(
    renderer, script: Scripted, *updates: tuple[float, str, bool], tools=(phone,), mode="speculative", **options
):
    """One scripted episode in fake time."""
    heard = [UserUpdate(ns(at_s), text, final) for at_s, text, final in updates]
    live = Live(FunctionToolbox(tools), heard, settings(mode), "", "one", planner=script)
    found = []
    run_live([live], renderer, lambda _, rollout: found.append(rollout), profile=FAST, time=FAKE, **options)
    return found[0]


def records(folder: Path) -> dict[str, list[dict]]:
    return {path.name: list(read_file(path)) for path in sorted(folder.glob("episodes-*.jsonl"))}


def test_the_expert_live_does_what_it_does_on_the_virtual_clock(configured, faked, tmp_path):
    common = ("eval.backends=[expert]", "eval.expert_tasks=4", "eval.modes=[sequential,speculative]")
    replay.main(configured(*common, f"out={tmp_path / 'virtual'}"))
    config = configured(*common, "time=real", f"out={tmp_path / 'real'}")
    replay.main(config)
    virtual, real = records(tmp_path / "virtual"), records(tmp_path / "real")
    assert list(real) == [f"episodes-expert-{mode}-wall-laptop-0.jsonl" for mode in ("sequential", "speculative")]
    tasks = {task.id: task for task in load(config, "test")}
    for name, episodes in real.items():
        expected = virtual[name.replace("-wall", "")]
        assert [e.task for e in episodes] == [e.task for e in expected]
        for live, simulated in zip(episodes, expected):
            assert (simulated.time, live.time) == ("virtual", "real") and live.profile == "wall-laptop"
            assert (live.outcome, live.right, live.answer) == (simulated.outcome, simulated.right, simulated.answer)
            assert abs(live.latency_ns - simulated.latency_ns) < NEAR_NS
            assert live.floor_ns <= live.latency_ns and sum(live.parts_ns.values()) == live.latency_ns
            assert replayed(live, tasks[live.task], replay.settings_of(live.mode, config.agent)).answered
    manifests = [json.loads((tmp_path / name / "manifest.json").read_text()) for name in ("virtual", "real")]
    assert [made["time"] for made in manifests] == ["virtual", "real"] and manifests[1]["processes"] == 1


def test_measured_and_simulated_rows_are_never_paired(configured, faked, tmp_path):
    folders = {}
    for time, mode in (("virtual", "sequential"), ("real", "speculative")):
        folders[time] = str(tmp_path / time)
        own = (f"eval.modes=[{mode}]", f"time={time}", f"out={folders[time]}")
        replay.main(configured("eval.backends=[expert]", "eval.expert_tasks=2", *own))
    rows = rows_of(read_runs(list(folders.values())), Terms(0, 50))
    assert [(row["profile"], row["time"], row["mode"]) for row in rows] == [
        ("laptop", "virtual", "sequential"),
        ("wall-laptop", "real", "speculative"),
    ]
    assert rows[1]["speedup_vs_sequential"] is None and rows[1]["n_both_right"] is None
    with pytest.raises(ValueError, match="other settings"):
        replay.main(
            configured(
                "eval.backends=[expert]", "eval.expert_tasks=2", "eval.modes=[speculative]", f"out={folders['real']}"
            )
        )


def test_a_replay_that_was_cut_short_measures_only_what_is_missing(configured, faked, tmp_path, monkeypatch):
    config = configured("eval.backends=[expert]", "eval.expert_tasks=3", "eval.modes=[speculative]", "time=real")
    replay.main(config)
    whole = tmp_path / "replay" / "episodes-expert-speculative-wall-laptop-0.jsonl"
    lines = whole.read_text().splitlines(keepends=True)
    whole.unlink()
    whole.with_suffix(".part").write_text(lines[2])
    ran, play = [], realtime.play
    monkeypatch.setattr(realtime, "play", lambda live, *rest: (ran.append(live.name), play(live, *rest))[1])
    replay.main(config)
    assert ran == [json.loads(line)["task"] for line in lines[:2]]
    assert whole.read_text().splitlines()[2] + "\n" == lines[2]


def test_words_come_when_they_are_due_and_tools_take_their_time(tiny_renderer):
    rollout = played(
        tiny_renderer,
        scripted('<tool_call>1. phone("Bob")\n</tool_call>', "<pause>", then="<answer>Done.</answer>"),
        (0.4321, "call Bob", False),
        (2.5, "please", True),
    )
    seen = trace(rollout.history)
    assert rollout.outcome == "answered" and rollout.updates == (
        UserUpdate(ns(0.4321), "call Bob"),
        UserUpdate(ns(2.5), "please", True),
    )
    assert [(update.at_ns, update.text) for update in seen.updates] == [(ns(0.4321), "call Bob"), (ns(2.5), "please")]
    [run] = seen.runs
    assert abs(run.end_ns - run.start_ns - ns(0.7)) < NEAR_NS and run.value == "+1 555 Bob"


def test_an_answer_before_the_last_words_is_not_the_end(tiny_renderer):
    rollout = played(
        tiny_renderer,
        scripted("<answer>One.</answer>", then="<answer>Two.</answer>"),
        (1, "call", True),
        (4, "off", True),
    )
    emits = [item.text for _, items in rollout.history for item in items if isinstance(item, Emit)]
    assert emits == ["One.", "Two."] and rollout.outcome == "answered"


@pytest.mark.parametrize(
    ("script", "updates", "tools", "outcome", "end_s"),
    [
        (scripted(), [(1, "hm", False)], (), "stalled", 31),
        (scripted("<tool_call>1. slow()\n</tool_call>"), [(1, "go", True)], (slow,), "too_long", LIMIT_S),
        (
            scripted("nonsense", then="nonsense</answer>"),
            [(1, "go", True), (50, "on", True)],
            (),
            "invalid_actions",
            None,
        ),
    ],
)
def test_an_episode_without_an_answer_ends_as_data(tiny_renderer, script, updates, tools, outcome, end_s):
    rollout = played(tiny_renderer, script, *updates, tools=tools)
    assert rollout.outcome == outcome
    if end_s is not None:
        assert abs(rollout.end_ns - ns(end_s)) < ns(0.1)


def test_a_planner_that_breaks_is_no_result(tiny_renderer):
    class Broken:
        def plan(self, state) -> str:
            raise KeyError("no such word")

    with pytest.raises(KeyError, match="no such word"):
        played(tiny_renderer, Broken(), (1, "go", True))
    with pytest.raises(ValueError, match="episode one has no planner; give run_live a model"):
        played(tiny_renderer, None, (1, "go", True))


def test_a_call_that_is_cancelled_while_it_waits_does_nothing():
    done, ended = [], []

    @tool(access="read", latency=Constant(5))
    def look() -> str:
        """Looks."""
        done.append(asyncio.get_running_loop().time())
        return "seen"

    async def work():
        start = asyncio.get_running_loop().time()
        box = WaitingToolbox(FunctionToolbox([look]), FAKE.aside)
        assert box.is_async("look") and box.latency_ns("look", {}) == ns(5) and box.run is not None
        cut, whole = asyncio.create_task(box.arun("look", {})), asyncio.create_task(box.arun("look", {}))
        asyncio.get_running_loop().call_later(3, cut.cancel)
        ended.append(await whole)
        assert cut.cancelled() and done == [pytest.approx(start + 5, abs=1e-5)]

    run_faked(work())
    assert ended == ["seen"]


def test_a_failure_of_a_tool_reaches_the_log(tiny_renderer):
    rollout = played(
        tiny_renderer,
        scripted(
            "<tool_call>1. phone(3)\n</tool_call>", '<tool_call>1. phone("")\n</tool_call>', then="<answer>No.</answer>"
        ),
        (1, "call", True),
        tools=(replace(phone, fn=refuse),),
    )
    assert [event.kind for event, _ in rollout.history if isinstance(event, ToolError)] == ["crashed"]


def refuse(name: str) -> str:
    raise OSError("no line")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("eval.profiles=[wall-e]",), "names that begin with 'wall' are for time=real"),
        (("time=real", "eval.profiles=[toaster]"), "unknown device profile 'toaster'"),
    ],
)
def test_bad_input_is_refused(configured, overrides, message):
    with pytest.raises(ValueError, match=message):
        replay.main(configured("eval.backends=[expert]", *overrides))


def test_a_model_in_real_time(configured, tmp_path):
    """The one test that waits: a random model, and a request of a few seconds."""
    config = configured(
        "eval.backends=[untrained]",
        "eval.tasks=1",
        "eval.modes=[speculative]",
        "eval.profiles=[laptop,phone]",
        "time=real",
        "agent.max_generated_tokens=20",
        "model.dtype=float32",
    )
    replay.main(config)
    [(name, [episode])] = records(tmp_path / "replay").items()
    assert name == "episodes-untrained-speculative-wall-0.jsonl"
    assert (episode.time, episode.profile, episode.outcome) == ("real", "wall", "out_of_budget")
    assert not episode.right and episode.latency_ns == ns(config.eval.cap_s)
    task = next(task for task in load(config, "test") if task.id == episode.task)
    due = replay.heard_of(task, config.data, replay.child(config.seed, "replay", 0))
    came = trace(episode.history).updates
    assert came and all(update.at_ns >= planned.at_ns for update, planned in zip(came, due))
    [row] = rows_of(read_runs([config.out]), Terms(0, 50))
    assert (row["time"], row["floor_beaten"], row["outcomes"]) == ("real", 0, {"out_of_budget": 1})
