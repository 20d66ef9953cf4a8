"""The report: its rows from records, its files, and what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from eval import replay, report
from eval.figures.tables import markdown
from eval.measures.latency import PARTS
from eval.measures.rows import Terms, labels_of, rows_of
from eval.report import broken, chosen
from eval.running.records import EpisodeRecord
from eval.running.results import BadResults, Key, find_episode, read_file, read_runs
from midsentence.clock import ns
from tests.eval.made import counts_of, record_of


def episode(
    task: str, late_s: float, right: bool = True, seed: int = 0, floor_s: float = 0.5, **counts
) -> EpisodeRecord:
    return record_of(
        task=task,
        seed=seed,
        right=right,
        latency_ns=ns(late_s),
        first_token_ns=ns(late_s / 2),
        floor_ns=ns(floor_s),
        parts_ns=dict.fromkeys(PARTS, 0) | {"thinking": ns(late_s)},
        counts=counts_of(**counts),
        cause="" if right else "missing",
        speech_end_ns=ns(3),
        tags=("short",),
        graph_right=right,
        answer_right=right,
    )


def key(mode: str, backend: str = "expert") -> Key:
    return Key("debug", "test", backend, mode, "laptop")


def made(**modes: list[EpisodeRecord]) -> dict[Key, list[EpisodeRecord]]:
    return {key(mode): episodes for mode, episodes in modes.items()}


def row(rows: list[dict], mode: str) -> dict:
    return next(found for found in rows if found["mode"] == mode)


def test_figures_of_a_row():
    first = episode("a", 1, started_calls=3, wasted_calls=1, held_calls=1)
    ours = [first, episode("b", 2), episode("c", 5, right=False), episode("d", 1.5)]
    base = [episode("a", 4), episode("b", 4), episode("c", 4), episode("d", 3, right=False)]
    found = row(rows_of(made(sequential=base, speculative=ours), Terms(0, 200)), "speculative")
    assert (found["n"], found["accuracy"], found["n_both_right"]) == (4, 0.75, 2)
    assert found["success_by_s"] == {"1": 0.25, "2": 0.75, "4": 0.75}
    assert found["latency_mean_s"] == pytest.approx(9.5 / 4)
    assert found["latency_both_right_mean_s"] == pytest.approx(1.5)
    assert found["speedup_vs_sequential"] == pytest.approx(8 / 3)
    assert found["speedup_all_vs_sequential"] == pytest.approx(15 / 9.5)
    # saved (4-1)+(4-2) of (4-.5)+(4-.5)
    assert found["share_of_saving"] == pytest.approx(5 / 7)
    assert found["speedup_vs_parallel"] is None and found["n_both_right_parallel"] is None
    # four tasks carry no interval
    assert (
        found["speedup_vs_sequential_ci95"] is None
        and found["accuracy_ci95"] is None
        and found["latency_p95_s"] is None
    )
    assert (found["wasted_calls_per_task"], found["held_calls"], found["causes"]) == (0.25, 1, {"missing": 1})
    assert found["time_s"]["thinking"] == pytest.approx(9.5 / 4)


def test_gain_over_the_fastest_baseline_whichever_that_is():
    def over(late_s: float, wrong: tuple[int, ...] = ()) -> list[dict]:
        return [episode(f"t{n:02}", late_s, right=n not in wrong) for n in range(12)]

    # eager_end gets one wrong fast: it is compared on what all baselines got right
    modes = made(
        sequential=over(6),
        parallel=over(4),
        async_tools=over(2.5),
        eager_end=[episode("t00", 0.1, right=False), *over(3)[1:]],
        speculative=over(2),
    )
    rows = rows_of(modes, Terms(0, 100))
    assert {found["fastest_baseline"] for found in rows} == {"async_tools"}
    found = row(rows, "speculative")
    assert (found["speedup_vs_fastest_baseline"], found["n_both_right_fastest_baseline"]) == (pytest.approx(1.25), 12)
    assert found["speedup_vs_fastest_baseline_ci95"] == pytest.approx([1.25, 1.25])
    assert found["speedup_vs_eager_end"] == pytest.approx(1.5)
    assert "1.25 [1.25, 1.25] async_tools" in markdown(rows) and "| × fastest |" in markdown(rows)
    # a baseline that got nothing right is none, and without any there is no figure
    del modes[key("async_tools")]
    modes[key("eager_end")] = over(1, wrong=tuple(range(12)))
    assert row(rows_of(modes, Terms(0, 100)), "speculative")["fastest_baseline"] == "parallel"
    alone = row(rows_of(made(speculative=over(2)), Terms(0, 100)), "speculative")
    assert (alone["fastest_baseline"], alone["speedup_vs_fastest_baseline"]) == (None, None)


def test_failing_fast_is_no_speedup_and_no_success():
    base = [episode(f"t{n}", 4) for n in range(12)]
    quitter = [episode(f"t{n}", 0.1, right=False) for n in range(12)]
    found = row(rows_of(made(sequential=base, speculative=quitter), Terms(0, 200)), "speculative")
    assert found["speedup_vs_sequential"] is None and found["success_area"] == 0
    assert found["accuracy_minus_sequential"] == -1


def test_non_inferior_only_if_the_whole_interval_says_so():
    base = [episode(f"t{n:03}", 4) for n in range(300)]
    ours = [episode(f"t{n:03}", 2) for n in range(300)]
    few = made(sequential=base[:20], speculative=ours[:20])
    many = made(sequential=base, speculative=ours)
    found = [row(rows_of(rows, Terms(0, 100)), "speculative")["non_inferior_to_sequential"] for rows in (few, many)]
    assert found == [False, True]
    assert row(rows_of(many, Terms(0, 100, margin=0.001)), "speculative")["non_inferior_to_sequential"] is False
    assert (
        row(rows_of(made(sequential=base[:5], speculative=ours[:5]), Terms(0, 100)), "speculative")[
            "non_inferior_to_sequential"
        ]
        is None
    )


def test_cost_tags_and_what_stands_beside_accuracy():
    ours = [
        episode("a", 1, model_tokens=40),
        replace(episode("b", 1, right=False, model_tokens=20), tags=("long",), answer_f1=0.5),
    ]
    found = row(rows_of(made(speculative=ours), Terms(0, 100, price_input=1.0, price_output=10.0)), "speculative")
    # 120 and 140 taken in, 40 and 20 written
    assert found["cost_per_task"] == pytest.approx((130 * 1 + 30 * 10) / 1e6)
    assert found["by_tag"] == {
        "long": {"n": 1, "right": 0, "causes": {"missing": 1}},
        "short": {"n": 1, "right": 1, "causes": {}},
    }
    assert (found["graph_accuracy"], found["answer_exact"], found["answer_f1"]) == (0.5, 0.0, 0.5)
    assert row(rows_of(made(speculative=ours), Terms(0, 100)), "speculative")["cost_per_task"] is None


def test_what_was_in_vain_costs_too_and_is_shown_where_prices_are_set():
    ours = [episode("a", 1, model_tokens=40, wasted_tokens=10, started_calls=3, wasted_calls=1)]
    priced = rows_of(made(speculative=ours), Terms(0, 100, price_input=1.0, price_output=10.0, price_call=2.0))
    assert priced[0]["cost_per_task"] == pytest.approx((120 * 1 + 40 * 10) / 1e6 + 3 * 2 / 1e3)
    assert priced[0]["wasted_cost_per_task"] == pytest.approx(10 * 10 / 1e6 + 1 * 2 / 1e3)
    assert "| cost/1,000 | of it wasted |" in markdown(priced) and "| 6.52 | 2.10 |" in markdown(priced)
    free = rows_of(made(speculative=ours), Terms(0, 100))
    assert free[0]["wasted_cost_per_task"] is None and "cost/1,000" not in markdown(free)
    assert rows_of(made(speculative=ours), Terms(0, 100, price_call=2.0))[0]["cost_per_task"] == pytest.approx(0.006)


def test_causes_are_counted_by_mode_and_by_label_of_disfluency():
    def spoken(task: str, *tags: str, cause: str = "") -> EpisodeRecord:
        return replace(episode(task, 1, not cause), cause=cause, tags=("intents:2", *tags))

    base = [spoken("a"), spoken("b", "filler", "correction"), spoken("c", "correction")]
    ours = [
        spoken("a", cause="missing"),
        spoken("b", "filler", "correction", cause="wrong argument"),
        spoken("c", "correction", cause="extra"),
    ]
    rows = rows_of(made(sequential=base, speculative=ours), Terms(0, 50))
    assert row(rows, "speculative")["by_label"] == {
        "correction": {"n": 2, "right": 0, "causes": {"extra": 1, "wrong argument": 1}},
        "filler": {"n": 1, "right": 0, "causes": {"wrong argument": 1}},
        "fluent": {"n": 1, "right": 0, "causes": {"missing": 1}},
    }
    text = markdown(rows)
    assert "| label | sequential | speculative |" in text
    assert "| all | 3/3 | 0/3: extra 1, missing 1, wrong argument 1 |" in text
    assert (
        "| correction | 2/2 | 0/2: extra 1, wrong argument 1 |" in text and "| fluent | 1/1 | 0/1: missing 1 |" in text
    )
    assert "intents:2" not in text
    # where nothing failed there is nothing to say
    assert "| label |" not in markdown(rows_of(made(sequential=base), Terms(0, 50)))


def test_labels_go_from_the_words_of_a_request_to_the_report(configured, tmp_path):
    """Naturalistic requests, with a budget that no plan fits: every failure is counted under the kinds that were
    said."""
    config = configured(
        "eval.backends=[expert]",
        "eval.modes=[parallel]",
        "eval.sources=[naturalistic]",
        "eval.expert_tasks=12",
        "agent.max_generated_tokens=3",
    )
    replay.main(config)
    (found,) = rows_of(read_runs([config.out]), Terms(0, 50))
    assert found["causes"] == {"out of budget": 12}
    labels = {label: entry["causes"] for label, entry in found["by_label"].items()}
    assert len(labels) > 2 and all(set(causes) == {"out of budget"} for causes in labels.values())
    records = list(read_file(next((tmp_path / "replay").glob("episodes-*.jsonl"))))
    for label in labels:
        said = [record for record in records if label in labels_of(record)]
        assert sum(labels[label].values()) == len(said) > 0
    corrected = [record for record in records if "correction" in record.tags]
    assert corrected and all({"reparandum", "repair"} & {word.label for word in record.words} for record in corrected)


def test_shares_of_fewer_than_ten_tasks_are_counts():
    few = rows_of(made(speculative=[episode("a", 1), episode("b", 1, right=False)]), Terms(0, 100))
    many = rows_of(made(speculative=[episode(f"t{n}", 1) for n in range(10)]), Terms(0, 100))
    assert "| 1/2 |" in markdown(few) and "%" not in markdown(few).split("right")[0]
    assert "| 100% [" in markdown(many)


def test_intervals_from_enough_tasks_hold_the_figure():
    base = [episode(f"t{n:02}", 4 + n / 10) for n in range(20)]
    ours = [episode(f"t{n:02}", 2 - n / 100) for n in range(20)]
    found = row(rows_of(made(sequential=base, parallel=base, speculative=ours), Terms(0, 500)), "speculative")
    for name in ("speedup_vs_sequential", "speedup_vs_parallel", "share_of_saving"):
        low, high = found[f"{name}_ci95"]
        assert low < found[name] < high
    # all right on twenty does not mean always
    assert found["accuracy"] == 1 and 0.8 < found["accuracy_ci95"][0] < 0.9


def test_seeds_of_a_task_are_averaged():
    base = [episode("a", 4), episode("a", 2, seed=1), episode("b", 4), episode("b", 4, seed=1, right=False)]
    ours = [episode("a", 1), episode("a", 1, seed=1), episode("b", 2), episode("b", 1, seed=1)]
    found = row(rows_of(made(sequential=base, speculative=ours), Terms(0, 200)), "speculative")
    # a: 3 against 1; b: only seed 0, 4 against 2
    assert (found["n"], found["seeds"], found["n_both_right"]) == (2, [0, 1], 2)
    assert found["speedup_vs_sequential"] == pytest.approx(7 / 3)


def test_the_same_rows_in_any_order_of_reading():
    base, ours = [episode(f"t{n}", 4 + n) for n in range(11)], [episode(f"t{n}", 2) for n in range(11)]
    one = rows_of(made(sequential=base, speculative=ours), Terms(0, 100))
    two = rows_of(made(speculative=ours, sequential=base), Terms(0, 100))
    assert one == two and [found["mode"] for found in one] == ["sequential", "speculative"]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"effects_before_commit": 1}, "1 effects before commit"),
        ({"effects_repeated": 2}, "2 effects more than once"),
    ],
)
def test_what_must_never_be_fails_the_report(change, fault):
    rows = rows_of(made(speculative=[episode("a", 1, **change)]), Terms(0, 100))
    assert [fault in line for line in broken(rows)] == [True]
    assert broken(rows_of(made(speculative=[episode("a", 1)]), Terms(0, 100))) == []


def test_beating_the_floor_fails_the_report():
    assert "beat the floor" in broken(rows_of(made(speculative=[episode("a", 1, floor_s=1.1)]), Terms(0, 100)))[0]
    assert broken(rows_of(made(speculative=[episode("a", 1, right=False, floor_s=1.1)]), Terms(0, 100))) == []


def test_the_request_that_is_drawn_shows_something():
    dull, telling = episode("a", 2), episode("b", 2, early_calls=2, held_calls=1, started_calls=3)
    base = [episode("a", 4), episode("b", 5)]
    assert chosen(made(sequential=base, speculative=[dull, telling]))[2] == "b"
    assert chosen(made(sequential=base, speculative=[replace(dull, right=False)])) is None
    assert chosen(made(speculative=[telling])) is None


@pytest.fixture
def finished(configured, tmp_path):
    """A replay of the expert, and settings that report it."""
    replay.main(configured("eval.backends=[expert]", "eval.expert_tasks=6"))
    config = configured("eval.resamples=200", f"runs=[{tmp_path / 'replay'}]")
    config.out = str(tmp_path / "report")
    return config, tmp_path


def test_files_of_a_report(finished, capsys):
    config, folder = finished
    report.main(config)
    found = json.loads((folder / "report/report.json").read_text())
    assert (found["schema_version"], len(found["rows"])) == (1, 4)
    wanted = (
        "task split backend mode profile seeds n accuracy success_by_s latency_mean_s latency_p95_s n_both_right "
        "latency_both_right_mean_s speedup_vs_sequential speedup_vs_sequential_ci95 speedup_vs_parallel "
        "speedup_vs_parallel_ci95 floor_mean_s share_of_saving wasted_calls_per_task held_calls repeated_actions effects_before_commit"
    )
    assert set(wanted.split()) <= set(found["rows"][0])
    assert row(found["rows"], "speculative")["speedup_vs_sequential"] > 1
    assert (folder / "report/timeline.png").read_bytes()[:4] == b"\x89PNG"
    assert (folder / "report/report.md").read_text() == markdown(found["rows"])
    assert "speculative" in capsys.readouterr().out


def test_a_report_that_fails_half_way_leaves_the_earlier_one_whole(finished, monkeypatch):
    config, folder = finished
    report.main(config)
    before = {path.name: path.read_bytes() for path in (folder / "report").iterdir()}

    def full(path, *_):
        path.write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(report, "write_page", full)
    config.eval.margin = 0.5
    with pytest.raises(OSError, match="No space left"):
        report.main(config)
    assert {path.name: path.read_bytes() for path in (folder / "report").iterdir()} == before


def unsigned(folder) -> None:
    """Takes out of a manifest what its files are known by, as in those of older replays."""
    manifest = json.loads((folder / "manifest.json").read_text())
    for entry in manifest["rows"]:
        del entry["sha256"]
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_every_field_is_documented(finished):
    from pathlib import Path

    text = (Path(__file__).parents[2] / "docs/report.md").read_text()
    rows = rows_of(read_runs(finished[0].runs), Terms(0, 50))
    assert [name for name in rows[0] if f"`{name}`" not in text] == []


def test_bad_folders_are_refused_and_an_earlier_report_stays(finished):
    config, folder = finished
    report.main(config)
    before = {path.name: path.read_bytes() for path in (folder / "report").iterdir()}
    good, bad = config.runs, folder / "bad"
    bad.mkdir()
    manifest = json.loads((folder / "replay/manifest.json").read_text())
    steps = [
        ([], "runs is empty"),
        ([str(folder / "nowhere")], "no folder of replays"),
        ([str(bad)], "half-written"),
        ([*good, *good], "more than one"),
    ]
    for runs, message in steps:
        config.runs = runs
        with pytest.raises(BadResults, match=message):
            report.main(config)
    config.runs = [str(bad)]
    for text, message in (
        (json.dumps(manifest | {"schema_version": 99}), "schema version 99"),
        (json.dumps(manifest), "misses 4 of its files"),
        ("{", "no JSON"),
    ):
        (bad / "manifest.json").write_text(text)
        with pytest.raises(BadResults, match=message):
            report.main(config)
    (bad / "manifest.json").write_text(json.dumps(manifest))
    for entry in manifest["rows"]:
        (bad / entry["file"]).write_bytes((folder / "replay" / entry["file"]).read_bytes()[:-100])
    with pytest.raises(BadResults, match="is not the file that manifest.json names"):
        report.main(config)
    unsigned(bad)
    with pytest.raises(BadResults, match="line 6 is no record"):
        report.main(config)
    assert {path.name: path.read_bytes() for path in (folder / "report").iterdir()} == before


def test_a_broken_run_ends_with_status_1(finished, capsys, monkeypatch):
    config, folder = finished
    name = "episodes-expert-speculative-laptop-0.jsonl"
    lines = [json.loads(line) for line in (folder / "replay" / name).read_text().splitlines()]
    lines[0]["counts"]["effects_before_commit"] = 1
    (folder / "replay" / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    unsigned(folder / "replay")
    with pytest.raises(SystemExit) as ended:
        report.main(config)
    assert (
        ended.value.code == 1
        and "FAILED: expert, speculative, laptop: 1 effects before commit" in capsys.readouterr().err
    )


def test_an_episode_can_be_found_with_its_log(finished):
    config, _ = finished
    task = read_runs(config.runs)[key("speculative")][0].task
    assert find_episode(config.runs, task, "expert", "speculative").log
    with pytest.raises(BadResults, match="no episode of task 'x'"):
        find_episode(config.runs, "x", "expert", "speculative")


@pytest.mark.parametrize("columns", ["x", "-1", "", "0", "٣"])
def test_an_odd_width_of_the_terminal_is_none(columns, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", columns)
    report.show([])
    assert capsys.readouterr().out


def test_a_report_that_was_killed_leaves_nothing_to_the_next(tmp_path):
    (tmp_path / ".partial").mkdir()
    (tmp_path / ".partial" / "report.json.tmp").write_text("half")
    with report.together(tmp_path) as half:
        (half / "report.json").write_text("whole")
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]
