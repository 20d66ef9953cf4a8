"""The map of surroundings: each axis changes one thing, what is asked stays, and speedups are what the episodes say."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace

import pytest
from matplotlib.image import imread

from data_gen.episodes import profile_of, updates_of
from data_gen.grounding.reading import reading_of
from data_gen.tasks import assistant, debug
from eval import whatif
from eval.running.backends import backend
from eval.whatif import AXES, TRAILING, Paced, Surroundings, axes_for, changed, explore, outcome
from midsentence.clock import ns


@pytest.fixture
def base(configured) -> Surroundings:
    config = configured("eval.backends=[expert]", "eval.expert_tasks=2", "eval.resamples=100")
    return Surroundings(config, profile_of("laptop", config.clock))


def axis(name: str) -> whatif.Axis:
    return next(found for found in AXES if found.name == name)


def test_tools_take_so_many_times_as_long_and_do_the_same():
    world = debug.tasks("test")[0].toolbox()
    args = {"name": "Finn Ray"}
    slow = Paced(world, 3)
    assert slow.latency_ns("get_phone_number", args) == 3 * world.latency_ns("get_phone_number", args)
    assert slow.run("get_phone_number", args) == world.run("get_phone_number", args)
    assert slow.specs is world.specs


def test_words_behind_a_request_follow_it_and_ask_for_nothing(base):
    task = debug.tasks("test")[0]
    longer = changed(task, replace(base, trailing_words=4))
    assert [word.text for word in longer.words] == [word.text for word in task.words] + TRAILING[:4]
    assert longer.speech_end_ns == task.speech_end_ns + 4 * ns(whatif.TRAILING_S)
    assert longer.gold == task.gold
    assert len(TRAILING) >= max(axis("trailing_words").values)


def test_words_behind_a_request_close_its_last_value(base):
    for task in assistant.tasks("validation", 0, 6):
        longer = changed(task, replace(base, trailing_words=2))
        said = len(task.words)
        assert reading_of(longer).wanted(longer.said(said + 1), False) == reading_of(task).wanted(task.said(), True)
        # before the next word nothing is known that was not known without it
        assert reading_of(longer).wanted(task.said(), False) == reading_of(task).wanted(task.said(), False)


def test_a_faster_speaker_is_done_sooner(base):
    task = debug.tasks("test")[0]
    fast = changed(task, replace(base, speech_times=2.0))
    assert fast.speech_end_ns == pytest.approx(task.speech_end_ns / 2, abs=1)
    assert all(before.end_ns <= after.start_ns for before, after in zip(fast.words, fast.words[1:]))


def test_every_axis_changes_its_own_thing_and_has_the_configured_value(base):
    changes = {found.name: found.change(base, found.values[-1]) for found in AXES}
    assert changes["decode_tokens_per_s"].profile == replace(
        base.profile, decode_tokens_per_s=160, prefill_tokens_per_s=1600
    )
    assert changes["endpoint_delay_s"].config.data.endpoints[base.config.data.endpoint].delay_s == 1.2
    assert changes["disfluency_times"].config.data.disfluency == {"times": 8}
    assert (changes["tool_latency_times"].tool_times, changes["speech_rate_times"].speech_times) == (10, 2)
    for found in AXES:
        assert changes[found.name] != base
        # what stands for the usual value is the usual value
        assert found.usual is not None
        assert found.name == "disfluency_times" or found.change(base, found.usual(base)) == base
    # the recogniser takes every delay, its lag being 0.2 s
    for delay_s in axis("endpoint_delay_s").values:
        assert updates_of(debug.tasks("test")[0], axis("endpoint_delay_s").change(base, delay_s).config.data, 0)


def test_only_generated_sources_have_a_disfluency_rate(configured):
    assert "disfluency_times" not in [found.name for found in axes_for(configured())]
    assert len(axes_for(configured("data.source=assistant"))) == len(AXES)


def test_slower_tools_take_longer_and_the_task_is_done_right(base):
    task, played = debug.tasks("test")[0], backend("expert", base.config)
    lates = []
    for times in (1.0, 10.0):
        right, late_s = outcome(task, "sequential", replace(base, tool_times=times), played)
        assert right
        lates.append(late_s)
    # nine times a tool's latency more, at least
    assert lates[1] > lates[0] + 9 * 0.5


def test_the_map_and_its_picture(base, tmp_path):
    axes = [replace(axis("tool_latency_times"), values=(1, 3)), replace(axis("trailing_words"), values=(0,))]
    found = explore(base, axes, backend("expert", base.config))
    assert json.loads(json.dumps(found)) == found
    first, second = found["axes"]
    assert [point["value"] for point in first["points"]] == [1, 3] and first["usual"] == 1.0
    # the usual point is one and the same on every axis
    assert {k: v for k, v in first["points"][0].items() if k != "value"} == {
        k: v for k, v in second["points"][0].items() if k != "value"
    }
    for point in first["points"]:
        assert point["n"] == 2 and point["accuracy"]["speculative"] == 1
        late = point["latency_mean_s"]
        # both modes get both right, so the ratio is that of the means; two requests carry no interval
        assert point["speedup_vs_sequential"] == pytest.approx(late["sequential"] / late["speculative"])
        assert point["speedup_vs_sequential_ci95"] is None
    whatif.draw(found, tmp_path / "map.png")
    assert imread(tmp_path / "map.png").std() > 0.02


def test_the_map_is_the_same_for_any_number_of_processes_and_runs_no_point_twice(base, monkeypatch):
    axes = [replace(axis("tool_latency_times"), values=(1, 3)), replace(axis("trailing_words"), values=(0, 2))]
    played = backend("expert", base.config)
    found = explore(base, axes, played)
    asked = []

    class Pool:
        """Stands for the processes: what they are given must travel."""

        def __init__(self, workers, **_) -> None:
            self.workers = workers

        def __enter__(self):
            return self

        def __exit__(self, *_) -> None:
            pass

        def map(self, work, wheres):
            assert self.workers == 2
            for where in wheres:
                asked.append(where)
                work_here, where_here = pickle.loads(pickle.dumps((work, where)))
                yield work_here(where_here)

    monkeypatch.setattr(whatif, "ProcessPoolExecutor", Pool)
    shared = replace(base, config=replace(base.config, data=replace(base.config.data, workers=2)))
    assert explore(shared, axes, played) == found
    assert len(asked) == 3  # the configured surroundings stand on both axes


def test_a_point_runs_so_many_requests_where_none_are_asked_for(base, monkeypatch):
    monkeypatch.setattr(whatif, "REQUESTS", 1)
    open_ = replace(base, config=replace(base.config, eval=replace(base.config.eval, expert_tasks=0)))
    point = whatif.point(open_, backend("expert", base.config))
    assert point["n"] == 1


def test_all_splits_are_taken_where_all_is_asked_for(base, monkeypatch):
    monkeypatch.setattr(whatif, "REQUESTS", 1000)
    config = replace(base.config, eval=replace(base.config.eval, expert_tasks=0, split="all"))
    counts = {split: len(debug.tasks(split, config.seed)) for split in ("train", "validation", "test")}
    assert whatif.point(replace(base, config=config), backend("expert", config))["n"] == sum(counts.values())


def test_an_endpoint_that_there_is_not_is_named():
    from tests.test_configs import composed

    with pytest.raises(ValueError, match="unknown endpoint 'nosuch'; use one of oracle"):
        whatif.main(composed("experiment=debug", "data.endpoint=nosuch"))
