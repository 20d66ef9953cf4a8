"""The papers' tables: every figure has a source, rows are paired as the paper pairs them, and few requests claim
nothing."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace

import pytest

from eval import replay, report
from eval.figures import paper
from eval.measures.rows import Terms
from eval.running.backends import backend
from eval.running.records import EpisodeRecord
from eval.running.results import Key
from midsentence.models.folders import resolve
from tests.eval.test_report import episode
from tests.test_configs import composed

TERMS = Terms(0, 100)
EXPERIMENTS = ("paper_hotpotqa", "paper_assistant", "paper_naturalistic", "paper_bfcl")


def key(backend: str, mode: str, source: str = "assistant", split: str = "test") -> Key:
    return Key(source, split, backend, mode, "laptop")


def some(n: int, late_s: float, right: int, graph: int = 0) -> list[EpisodeRecord]:
    return [replace(episode(f"t{k}", late_s, k < right), graph_right=k < graph) for k in range(n)]


def tables(episodes: dict, tmp_path, name: str = "smollm2") -> list[dict]:
    """As a report makes them, from a folder that says which model was run."""
    (tmp_path / "config.yaml").write_text(f"model: {{name: {name}}}\n")
    rows = [asdict(key) | {"file": "config.yaml", "episodes": len(found), "seed": 0} for key, found in episodes.items()]
    (tmp_path / "manifest.json").write_text(json.dumps({"schema_version": 1, "rows": rows}))
    return paper.beside(episodes, [str(tmp_path)], TERMS)


def test_every_published_figure_has_a_source_and_what_is_second_hand_says_so():
    data = paper.published()
    assert set(data["tables"]) == {"hotpotqa", "assistant", "naturalistic", "bfcl"}
    assert (
        "third-party readings" in data["sources"]["readings"]["cite"] and not data["sources"]["readings"]["first_hand"]
    )
    # an abstract gives speedups and nothing else
    said = {
        (name, figure["source"])
        for table in data["tables"].values()
        for entry in table["published"]
        for name, figure in entry.items()
        if name != "model"
    }
    assert {name for name, source in said if data["sources"][source]["first_hand"]} == {"speedup"}


def test_a_figure_without_a_source_is_refused(tmp_path, monkeypatch):
    bad = tmp_path / "paper.yaml"
    bad.write_text("sources: {a: {cite: x}}\ntables: {t: {published: [{model: m, speedup: {value: 2, source: b}}]}}\n")
    monkeypatch.setattr(paper, "_FILE", bad)
    paper.published.cache_clear()
    with pytest.raises(ValueError, match="speedup of 'm' under t has no source; use one of \\['a'\\]"):
        paper.published()
    paper.published.cache_clear()


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_experiments_ask_for_what_their_table_pairs(name):
    config = composed(f"experiment={name}")
    table = paper.published()["tables"][config.data.source]
    assert {table["sync"], *table["async"]} <= set(config.eval.modes) and config.eval.paper
    assert {paper.BASELINE, "async"} <= set(config.eval.backends)
    assert set(config.eval.backends) - {"expert", "untrained"} <= set(config.eval.checkpoints)
    assert config.runs == [f"outputs/replay/{name}"]


def test_a_checkpoint_is_compared_with_itself_and_with_the_baseline(tmp_path):
    made = {
        key("baseline", "sequential"): some(12, 4, right=9, graph=12),
        key("async", "sequential"): some(12, 5, right=6, graph=6),
        key("async", "speculative"): some(12, 2, right=6, graph=3),
    }
    (table,) = tables(made, tmp_path)
    found = {(pair["sync"]["backend"], pair["async"]["backend"]): pair for pair in table["ours"]}
    assert set(found) == {("async", "async"), ("baseline", "async")}
    pair = found["baseline", "async"]
    # the paper's measure of accuracy and ours, each with its own figures
    assert (pair["accuracy_sync"]["value"], pair["accuracy_async"]["value"]) == (1.0, 0.25)
    assert (pair["strict_sync"]["value"], pair["strict_async"]["value"]) == (0.75, 0.5)
    assert pair["strict_async"]["ci95"][0] < 0.5 < pair["strict_async"]["ci95"][1]
    assert (pair["latency_sync_s"], pair["latency_async_s"], pair["n"], pair["n_both_right"]) == (4, 2, 12, 6)
    assert pair["speedup_all"]["value"] == pytest.approx(2) and pair["speedup_both_right"] == pytest.approx(2)
    assert found["async", "async"]["speedup_all"]["value"] == pytest.approx(2.5)
    assert any("0.135 billion" in line and "Model size" in line for line in table["differs"])
    assert not any("expert" in line for line in table["differs"])


def test_only_requests_that_both_sides_ran_are_compared(tmp_path):
    made = {key("baseline", "sequential"): some(12, 4, 12), key("async", "speculative"): some(3, 2, 3)}
    (pair,) = tables(made, tmp_path)[0]["ours"]
    assert (pair["n"], pair["accuracy_sync"]["n"], pair["accuracy_sync"]["ci95"]) == (3, 3, None)
    assert tables({key("async", "speculative"): some(3, 2, 3)}, tmp_path) == []


def test_splits_are_put_together_only_for_those_that_nobody_trained(tmp_path):
    made = {
        key(who, mode, "hotpotqa", split): [
            replace(one, answer_right=True) for one in some(4, 4 if mode == "sequential" else 2, 4)
        ]
        for who in ("expert", "async")
        for mode in ("sequential", "speculative")
        for split in ("train", "test")
    }
    (table,) = tables(made, tmp_path)
    assert sorted((pair["sync"]["backend"], pair["splits"], pair["n"]) for pair in table["ours"]) == [
        ("async", ["test"], 4),
        ("async", ["train"], 4),
        ("expert", ["test", "train"], 8),
    ]
    assert any(line.startswith("n = 4, 8: fewer than 100 requests carry no claim") for line in table["differs"])
    assert any("The expert is no model" in line for line in table["differs"])


def test_the_text_gives_published_figures_as_they_were_published(tmp_path):
    made = {
        key("expert", mode, source): some(n, late_s, n, graph=n)
        for source, n in (("naturalistic", 120), ("assistant", 5), ("bfcl", 12))
        for mode, late_s in (("sequential", 4), ("async_tools", 3), ("speculative", 2))
    }
    compared = tables(made, tmp_path)
    found = {table["task"]: grid for table, grid in zip(compared, paper.grids(compared))}
    text = {task: "\n".join(grid.markdown()) for task, grid in found.items()}
    assert "22 → 13.6 (readings) | – | → 9.3–14.3 (readings) | < 1 (readings)" in text["naturalistic"]
    assert "carry no claim" not in text["naturalistic"]
    assert "54.9 → 53.2 (readings) | – | about 7.6 → about 4.4 (readings) | 1.7 (readings)" in text["assistant"]
    assert "1 to 3 points lower (readings)" in text["assistant"]
    assert "| ours, expert sequential → speculative | 5 | 5/5 → 5/5 |" in text["assistant"]
    assert "AsyncLM, not named in the abstract | – | – | – | – | 1.6–5.4 (asynclm)" in text["bfcl"]
    assert [row[0] for row in found["bfcl"].rows[1:]] == [
        "ours, expert sequential → async_tools",
        "ours, expert sequential → speculative",
    ]
    assert "- readings: arXiv 2605.13360, full text, as third-party readings" in text["assistant"]
    assert "arXiv 2605.13360" not in text["bfcl"]


@pytest.fixture
def two_checkpoints(tmp_path):
    """The tiny model under two names, as checkpoints that bring their tokenizer."""
    folders = {name: tmp_path / name for name in ("baseline", "async")}
    for folder in folders.values():
        shutil.copytree(resolve("tiny"), folder)
    return f"+eval.checkpoints={{{', '.join(f'{name}: {folder}' for name, folder in folders.items())}}}"


def test_two_checkpoints_in_one_table(two_checkpoints, configured, tmp_path, capsys):
    config = configured(
        two_checkpoints,
        "eval.backends=[baseline,async]",
        "eval.modes=[sequential,speculative]",
        "eval.tasks=1",
        "data.source=assistant",
        "+data.sizes={test: 3}",
        "model.tags=text",
        "model.dtype=float32",
        "agent.max_generated_tokens=5",
        "eval.paper=true",
        "eval.resamples=50",
        f"runs=[{tmp_path / 'replay'}]",
    )
    replay.main(config)
    manifest = json.loads((tmp_path / "replay/manifest.json").read_text())
    assert manifest["checkpoints"] == {name: str(tmp_path / name) for name in ("baseline", "async")}
    config.out = str(tmp_path / "report")
    report.main(config)
    (table,) = json.loads((tmp_path / "report/report.json").read_text())["paper"]
    assert [(pair["sync"]["backend"], pair["async"]["backend"]) for pair in table["ours"]] == [
        ("baseline", "baseline"),
        ("async", "async"),
        ("baseline", "async"),
    ]
    assert "published figures and ours" in capsys.readouterr().out
    assert "## assistant, laptop: published figures and ours" in (tmp_path / "report/report.md").read_text()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "+eval.checkpoints={async: nowhere}",
            "backend 'async' is the checkpoint nowhere, which is not there; train it with",
        ),
        ("+eval.checkpoints={expert: nowhere}", "eval.checkpoints names 'expert'; give it a name of its own"),
        ("+eval.checkpoints={a-b: nowhere}", "eval.checkpoints names 'a-b'"),
        (
            "+eval.checkpoints={other: nowhere}",
            "unknown backend 'async'; use some of expert, no_thoughts, no_guess, model, untrained, realtime, other",
        ),
    ],
)
def test_a_checkpoint_that_cant_be_used_is_named(configured, override, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        backend("async", configured(override))


def test_other_weights_under_a_name_are_another_replay(two_checkpoints, configured, tmp_path):
    config = configured(two_checkpoints, "model.tags=text")
    backends = {name: backend(name, config) for name in ("baseline", "async")}
    first = replay.recipe(config, backends)
    assert first != replay.recipe(config, {"async": backends["async"]})
    weights = tmp_path / "async/model.safetensors"
    weights.write_bytes(weights.read_bytes() + b" ")
    assert replay.recipe(config, backends) != first
