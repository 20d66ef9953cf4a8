"""The frontier: its ends of speech, its figures from episodes to the digit, and going on after a kill."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from matplotlib.image import imread

from data_gen.episodes import updates_of
from data_gen.task import Word
from data_gen.tasks import debug
from eval import frontier
from eval.frontier import Ending, endings_of, explore, less_than, outcome, point, table
from eval.running.backends import backend
from midsentence.clock import ns


@pytest.fixture
def config(configured):
    return configured("eval.expert_tasks=2", "eval.resamples=100", "eval.split=test")


def episodes(*rows: tuple[bool, float, int, int]) -> list[dict]:
    return [
        {
            "task": f"t{n}",
            "right": right,
            "latency_ns": ns(late_s),
            "before_last_word": before,
            "wrong_before_last_word": wrong,
        }
        for n, (right, late_s, before, wrong) in enumerate(rows)
    ]


def ending(config, name: str = "timer_500", kind: str = "timer") -> Ending:
    return Ending("debug", "test", name, kind, 0.5, frontier.MODES if kind != "silence" else ("speculative",), config)


def test_a_source_has_its_timers_and_detectors_and_no_oracle(configured):
    found = endings_of(configured("data=assistant", "eval.split=validation"))
    timers = [each for each in found if each.kind == "timer"]
    assert [each.delay_s for each in timers] == [0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.2]
    assert [each.name for each in found if each.kind == "detector"] == ["smart_turn", "livekit_v1", "flux"]
    assert all(each.split == "validation" for each in found)
    assert {each.modes for each in found if each.kind != "grace"} == {
        ("parallel", "eager_end", "speculative", "verified")
    }
    graces = [each for each in found if each.kind == "grace"]
    waits = {each.name: each.config.agent.commit_grace_s for each in graces}
    assert waits == {"grace_300": 0.3, "grace_600": 0.6, "grace_1000": 1.0}
    assert all(
        each.modes == ("speculative", "verified") and each.config.data.endpoint == "smart_turn" for each in graces
    )
    for each in found:
        if each.kind == "grace":
            continue
        assert each.config.agent.commit_grace_s == 0
        data = each.config.data
        assert data.endpoint == each.name and data.endpoints[each.name].delay_s == each.delay_s
    # a timer that is configured is the timer that is run
    configured_rows = configured("data=assistant").data.endpoints
    for each in timers:
        assert each.config.data.endpoints[each.name] == configured_rows.get(
            each.name, each.config.data.endpoints[each.name]
        )


def test_a_source_without_the_split_runs_its_test(configured):
    found = endings_of(configured("data=assistant", "eval.split=validation", "eval.sources=[naturalistic,written]"))
    assert {(each.source, each.split) for each in found} == {("naturalistic", "validation"), ("written", "test")}


def test_silence_is_a_point_where_the_agent_commits_on_it_and_rules_no_other(configured):
    assert all(each.kind != "silence" for each in endings_of(configured("data=assistant")))
    found = endings_of(configured("data=assistant", "agent.commit_on=silence", "agent.commit=line"))
    silent = [each for each in found if each.kind == "silence"]
    assert [each.modes for each in silent] == [("speculative",)]
    assert silent[0].config.agent.commit_on == "silence" and silent[0].delay_s == 0.6
    assert {each.config.agent.commit_on for each in found if each.kind != "silence"} == {"final"}


def test_figures_of_a_point(config):
    made = episodes((True, 1.0, 0, 0), (True, 2.0, 2, 0), (False, 4.5, 1, 1), (True, 0.5, 0, 0))
    found = point(ending(config), "parallel", made, config)
    assert (found["n"], found["accuracy"], found["latency_mean_s"]) == (4, 0.75, 2.0)
    assert (found["before_last_word_per_100"], found["wrong_before_last_word_per_100"]) == (75, 25)
    # four requests carry no interval
    assert found["accuracy_ci95"] is found["latency_mean_s_ci95"] is found["before_last_word_per_100_ci95"] is None


def test_none_seen_does_not_claim_that_there_are_none(config):
    found = point(ending(config), "parallel", episodes(*[(True, 1.0, 0, 0)] * 59), config)
    low, high = found["before_last_word_per_100_ci95"]
    assert low == 0 and high == pytest.approx(100 * (1 - 0.05 ** (1 / 59)))
    assert found["latency_mean_s_ci95"] == [1, 1]


def test_less_than_is_paired_by_request(config):
    ours = episodes(*[(True, 1.0 + n, 0, 0) for n in range(10)])
    theirs = episodes(*[(True, 1.5 + n, 1, 0) for n in range(10)])
    found = less_than(ours, theirs, config)
    # every request gains the same, however the requests differ
    assert found["latency_mean_s"] == 0.5 and found["latency_mean_s_ci95"] == pytest.approx([0.5, 0.5])
    assert found["before_last_word_per_100"] == 100 and found["wrong_before_last_word_per_100"] == 0
    with pytest.raises(ValueError, match="different requests"):
        less_than(ours, theirs[::-1], config)


def test_an_effect_in_a_long_pause_is_before_the_last_word_unless_the_end_waits_for_it(config):
    task = debug.tasks("test")[0]
    last = task.words[-1]
    # the request is whole, and then one more word comes after three seconds
    task = replace(task, words=(*task.words, Word("please", last.end_ns + ns(9), last.end_ns + ns(9.3))))
    writes = sum(call.name in {spec.name for spec in task.tools if spec.access == "write"} for call in task.gold)
    by = {each.name: each for each in endings_of(config)}
    for mode in frontier.MODES:
        own = by["timer_500"].config
        seen = outcome(task, mode, own, backend("expert", own))
        assert (seen["before_last_word"], seen["wrong_before_last_word"]) == (writes, 0)
        patient = replace(config, data=replace(config.data, endpoint="oracle"))
        assert outcome(task, mode, patient, backend("expert", patient))["before_last_word"] == 0
        graced = replace(own, agent=replace(own.agent, commit_grace_s=10.0))
        assert outcome(task, mode, graced, backend("expert", graced))["before_last_word"] == 0


def test_a_later_timer_is_a_later_final_update(config):
    task = debug.tasks("test")[0]
    ends = {
        each.delay_s: updates_of(task, each.config.data, 0)[-1].at_ns
        for each in endings_of(config)
        if each.kind == "timer"
    }
    assert ends[1.2] - ends[0.3] == ns(0.9)


def test_what_is_there_is_not_run_again_and_other_settings_are_refused(config, tmp_path, monkeypatch):
    endings = endings_of(config)[:2]
    whole = explore(tmp_path, endings, config)
    assert [list(made) for made in whole] == [list(frontier.MODES)] * 2
    assert all(len(made[mode]) == 2 for made in whole for mode in made)
    (tmp_path / "points" / endings[1].file).unlink()
    ran = []
    run = frontier.episodes_of
    monkeypatch.setattr(frontier, "episodes_of", lambda each: ran.append(each.name) or run(each))
    assert explore(tmp_path, endings, config) == whole
    assert ran == [endings[1].name]
    # another end of speech may come to those that are there; other requests may not
    [more] = explore(tmp_path, endings_of(config)[2:3], config)
    assert list(more) == list(frontier.MODES) and ran == [endings[1].name, "timer_500"]
    with pytest.raises(ValueError, match="other settings; give another out="):
        explore(tmp_path, endings_of(replace(config, seed=config.seed + 1))[:2], config)


def test_the_frontier_its_table_and_its_picture(config, tmp_path):
    timer, silent = ending(config), ending(config, "silence", "silence")
    slow = episodes(*[(True, 2.0, 1, 0)] * 10)
    quick = episodes(*[(True, 1.0, 0, 0)] * 10)
    found = frontier.frontier([timer, silent], [dict.fromkeys(timer.modes, slow), {"speculative": quick}], config)
    assert json.loads(json.dumps(found)) == found
    [source] = found["sources"]
    assert [(row["ending"], row["mode"]) for row in source["points"]] == [
        *(("timer_500", mode) for mode in frontier.MODES),
        ("silence", "speculative"),
    ]
    assert [
        (row["mode"], row["latency_mean_s"], row["before_last_word_per_100"]) for row in source["silence_less"]
    ] == [(mode, 1, 100) for mode in frontier.MODES]
    assert (
        "| timer_500 | `parallel` | 100 [72, 100]% | 100.0 [100.0, 100.0] | 0.0 [0.0, 25.9] | 2.00 [2.00, 2.00] |"
        in table(found)
    )
    frontier.draw(found, tmp_path / "frontier.png")
    assert imread(tmp_path / "frontier.png").std() > 0.02
