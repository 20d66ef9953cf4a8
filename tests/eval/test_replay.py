"""Replays on disk: paired, resumable, the same whatever the batch, refused where they don't fit."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from configs.modes import settings_of
from data_gen.sources import load
from eval import replay
from eval.measures.trace import trace
from eval.replay import choose, of_source
from eval.running.backends import Backend, backend
from eval.running.episodes import replayed
from eval.running.records import EpisodeRecord
from eval.running.results import BadResults, read_file, read_runs
from midsentence.core.calls import CallState


def rows(folder: Path) -> dict[str, list[EpisodeRecord]]:
    """Episodes by file."""
    return {path.name: list(read_file(path)) for path in sorted(folder.glob("episodes-*.jsonl"))}


EXPERT = ("eval.backends=[expert]", "eval.expert_tasks=5")


@pytest.fixture
def replayed_expert(configured, tmp_path):
    """The expert on five tasks in three modes."""
    config = configured(*EXPERT)
    replay.main(config)
    return config, tmp_path / "replay"


def test_every_row_has_the_same_tasks_and_updates(replayed_expert):
    _config, folder = replayed_expert
    made = list(rows(folder).values())
    assert [len(row) for row in made] == [5, 5, 5, 5]
    assert len({tuple(episode.task for episode in row) for row in made}) == 1
    for episodes in zip(*made):
        heard = [tuple((u.at_ns, u.text, u.final) for u in trace(episode.history).updates) for episode in episodes]
        assert len(set(heard)) == 1
        assert all(episode.right for episode in episodes)
    path = folder / "episodes-expert-sequential-laptop-0.jsonl"
    assert json.loads((folder / "manifest.json").read_text())["rows"][0] == {
        "backend": "expert",
        "mode": "sequential",
        "profile": "laptop",
        "seed": 0,
        "source": "",
        "file": path.name,
        "episodes": 5,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }


def test_fewer_tasks_are_a_part_of_more_and_not_the_first_ones(configured):
    tasks = load(configured(), "test")
    few, many = choose(tasks, 5, 0), choose(tasks, 12, 0)
    assert few == many[:5] != list(tasks[:5])
    assert choose(tasks[::-1], 5, 0) == few
    assert choose(tasks, 5, 1) != few and len(choose(tasks, 0, 0)) == len(tasks)


def test_a_killed_replay_resumes_to_the_same_bytes(replayed_expert, configured, tmp_path, monkeypatch):
    _config, folder = replayed_expert
    whole = {path.name: path.read_bytes() for path in folder.glob("episodes-*")}
    again = configured(*EXPERT)
    again.out = str(tmp_path / "killed")
    kept, real = [], replay.Part.add

    def add(self, row):
        if len(kept) == 7:
            raise KeyboardInterrupt
        kept.append(row.task)
        real(self, row)

    monkeypatch.setattr(replay.Part, "add", add)
    with pytest.raises(KeyboardInterrupt):
        replay.main(again)
    part = next((tmp_path / "killed").glob("*.part"))
    with part.open("a") as file:
        file.write('{"task": "half a li')  # the line that the kill cut short
    with pytest.raises(BadResults, match="half-written"):
        read_runs([again.out])
    ran = []
    monkeypatch.setattr(replay.Part, "add", lambda self, row: (ran.append(row.task), real(self, row)))
    replay.main(again)
    assert len(ran) == 13
    assert {path.name: path.read_bytes() for path in (tmp_path / "killed").glob("episodes-*")} == whole
    ran.clear()
    replay.main(again)
    assert ran == []


def test_a_log_replays_alone_to_the_same_end(replayed_expert):
    config, folder = replayed_expert
    tasks = {task.id: task for task in load(config, "test")}
    for episode in rows(folder)["episodes-expert-speculative-laptop-0.jsonl"]:
        state = replayed(episode, tasks[episode.task], settings_of("speculative", config.agent))
        assert state.answered and all(call.state is CallState.DONE for call in state.graph.calls.values())
        assert len(state.graph.calls) == len(tasks[episode.task].gold)
    with pytest.raises(ValueError, match="is of task"):
        replayed(
            episode,
            next(task for id, task in tasks.items() if id != episode.task),
            settings_of("speculative", config.agent),
        )


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_models_episodes_depend_neither_on_batch_nor_on_a_restart(configured, tmp_path, temperature):
    common = (
        "eval.backends=[untrained]",
        "eval.tasks=4",
        "model.dtype=float32",
        "agent.max_generated_tokens=30",
        f"eval.temperature={temperature}",
        "eval.modes=[sequential,speculative]",
    )
    whole = None
    for batch in (1, 4):
        config = configured(*common, f"eval.batch={batch}")
        config.out = str(tmp_path / f"batch-{batch}")
        replay.main(config)
        found = {path.name: path.read_bytes() for path in Path(config.out).glob("episodes-*")}
        assert whole in (None, found)
        whole = found
    # start again from two of four episodes
    name = "episodes-untrained-speculative-laptop-0"
    lines = (Path(config.out) / f"{name}.jsonl").read_text().splitlines(keepends=True)
    (Path(config.out) / f"{name}.jsonl").unlink()
    (Path(config.out) / f"{name}.part").write_text(lines[1] + lines[3])
    replay.main(config)
    assert (Path(config.out) / f"{name}.jsonl").read_bytes() == whole[f"{name}.jsonl"]


def test_the_untrained_model_reads_the_full_prompt_and_plain_tags(configured):
    made = backend("untrained", configured("model.adapter=somewhere"))
    assert (made.model.tags, made.model.adapter, made.agent.prompt) == ("text", None, "full")
    assert not made.renderer().tag_ids


def test_no_guess_writes_no_thoughts(configured, tmp_path):
    config = configured("eval.backends=[no_guess]", "eval.expert_tasks=4", "eval.modes=[speculative]")
    replay.main(config)
    for episode in rows(tmp_path / "replay")["episodes-no_guess-speculative-laptop-0.jsonl"]:
        assert "<think>" not in "".join(span.text for span in trace(episode.history).spans)
        assert episode.right


def test_several_sources_each_with_its_own_settings(configured, tmp_path):
    config = configured(
        "eval.backends=[expert]",
        "eval.expert_tasks=2",
        "eval.modes=[parallel]",
        "eval.sources=[assistant,naturalistic]",
    )
    assert of_source(config, "assistant").data.eagerness == 1.0 and of_source(config, "").data.source == "debug"
    replay.main(config)
    found = {name: {episode.source for episode in episodes} for name, episodes in rows(tmp_path / "replay").items()}
    assert found == {
        f"episodes-{source}-expert-parallel-laptop-0.jsonl": {source} for source in ("assistant", "naturalistic")
    }
    assert {key.source for key in read_runs([config.out])} == {"assistant", "naturalistic"}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("eval.sources=[nowhere]", "unknown task source 'nowhere'"),
        ("eval.backends=[oracle]", "unknown backend 'oracle'"),
        ("eval.modes=[psychic]", "unknown mode 'psychic'"),
        ("eval.profiles=[toaster]", "unknown device profile 'toaster'"),
        ("eval.modes=[parallel,parallel]", "each once"),
        ("data.source=nowhere", "unknown task source 'nowhere'"),
        ("model.adapter=/nowhere", "no checkpoint at /nowhere"),
    ],
)
def test_bad_input_is_named_before_anything_runs(configured, tmp_path, override, message):
    # without a checkpoint beside it a model is refused first, unless the checkpoint is what is asked about
    backends = [] if override.startswith("model.") else ["eval.backends=[expert]"]
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        replay.main(configured(*backends, override))
    assert not list(tmp_path.glob("replay/episodes-*"))


def test_a_model_without_trained_tags_is_refused(configured, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="has never seen"):
        replay.main(configured("eval.backends=[model]"))


def test_other_settings_in_the_same_folder_are_refused_and_change_nothing(replayed_expert, configured):
    _, folder = replayed_expert
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for other in (("data.period_s=0.3",), ("eval.modes=[parallel]",)):
        with pytest.raises(ValueError, match="another out="):
            replay.main(configured(*EXPERT, *other))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_planned_backends_do_not_depend_on_a_checkpoint(configured):
    made = backend("expert", configured("model.adapter=somewhere"))
    assert isinstance(made, Backend) and made.model.adapter is None


def test_what_is_replayed_under_a_name_of_its_own_is_reported_under_it(bfcl_wheel, configured, tmp_path):
    """Rows that ask for one call are told apart from those that ask for several, though both are the leaderboard's."""
    replay.main(
        configured(
            "eval.backends=[expert]",
            "eval.modes=[parallel]",
            "eval.expert_tasks=2",
            "eval.sources=[bfcl,bfcl_multiple]",
        )
    )
    named = {name: {row.source for row in made} for name, made in rows(tmp_path / "replay").items()}
    assert named == {
        "episodes-bfcl-expert-parallel-laptop-0.jsonl": {"bfcl"},
        "episodes-bfcl_multiple-expert-parallel-laptop-0.jsonl": {"bfcl_multiple"},
    }
