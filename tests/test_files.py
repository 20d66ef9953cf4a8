"""Results are on disk whole or not at all, torn markers count as none, and manifests know their files."""

from __future__ import annotations

import errno
import importlib
import inspect
import json
import os
import shutil
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from configs.command import claim, out_folder
from data_gen import generate
from data_gen.trajectory import BadData, read_manifest, read_rows
from eval import replay
from eval.running.results import BadResults
from eval.running.results import read_manifest as read_results
from midsentence import files
from midsentence.ending import UserError
from midsentence.files import digest, intact, marker, path_of, shaped, whole, write
from tests.test_configs import composed, started


def full(*args, **kwargs):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_write_that_fails_half_way_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "report.json"
    write(path, "first")
    with pytest.raises(RuntimeError), whole(path) as half:
        half.write_text("sec")
        raise RuntimeError("half-way")
    assert path.read_text() == "first"
    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write(path, "second")
    assert [each.name for each in tmp_path.iterdir()] == ["report.json"] and path.read_text() == "first"


def test_it_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    seen = []
    rename = Path.rename
    monkeypatch.setattr(
        files.os, "fsync", lambda handle: seen.append(Path(os.readlink(f"/proc/self/fd/{handle}")).name)
    )
    monkeypatch.setattr(
        Path, "rename", lambda self, to: seen.append(f"{self.name} > {Path(to).name}") or rename(self, to)
    )
    write(tmp_path / "a", "x")
    assert seen == ["a.tmp", "a.tmp > a", tmp_path.name]


@pytest.mark.parametrize("content", [None, b"", b'{"recipe": "a', b"[1]", b"\xff\x00"])
def test_a_torn_marker_is_none(tmp_path, content):
    if content is not None:
        (tmp_path / "marker").write_bytes(content)
    assert marker(tmp_path / "marker") == {}


def test_a_changed_file_is_not_the_one_that_was_named(tmp_path):
    path = tmp_path / "a"
    path.write_text("x")
    said = {"sha256": digest(path)}
    assert intact(path, said) and intact(path, None) and intact(path, {})
    path.write_text("yy")
    assert not intact(path, said)
    path.unlink()
    path.mkdir()
    assert not intact(path, said) and not intact(path, None)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    generate.main(small(folder))
    return folder


def small(folder: Path, *more: str):
    return composed(
        "experiment=debug", f"out={folder}", "data.sizes={train: 2, validation: 0, test: 0}", "data.shard_rows=1", *more
    )


@pytest.mark.parametrize("module", ["data_gen.generate", "training.repair"])
@pytest.mark.parametrize("content", ['{"recipe": "other"}', '{"recipe": "oth', ""])
def test_a_command_that_made_no_row_binds_nobody(tmp_path, module, content):
    for name in ("making.json", "manifest.json"):
        (tmp_path / name).write_text(content)
    importlib.import_module(module).prepare(tmp_path, "mine", [])
    assert marker(tmp_path / "making.json") == {"recipe": "mine"} and not marker(tmp_path / "manifest.json")


def test_a_typo_corrected_is_not_other_settings(tmp_path):
    with pytest.raises(ValueError, match="unknown task source"):
        generate.main(small(tmp_path, "data.source=dbug", "task=dbug"))
    generate.main(small(tmp_path))
    assert len(list(tmp_path.glob("*.parquet"))) == 2


def test_a_training_run_without_a_checkpoint_binds_nobody(tmp_path):
    from training import sft

    place = tmp_path / sft.CHECKPOINTS
    place.mkdir()
    (place / "recipe.json").write_text('{"recipe": "other"}')
    assert not sft.finished(tmp_path, "mine")
    (tmp_path / "manifest.json").write_text("")
    assert not sft.finished(tmp_path, "mine")


@pytest.fixture
def copied(made, tmp_path) -> Path:
    folder = tmp_path / "data"
    shutil.copytree(made, folder)
    return folder


def test_the_manifest_knows_rows_and_content_of_each_shard(made):
    manifest = read_manifest(made)
    assert manifest["files"] == {
        path.name: {"rows": 1, "sha256": digest(path)} for path in sorted(made.glob("*.parquet"))
    }


def test_a_shard_that_is_another_file_is_named_and_made_again(copied, made):
    first, second = sorted(copied.glob("*.parquet"))
    second.write_bytes(first.read_bytes())
    with pytest.raises(
        BadData,
        match=r"train-00001-of-00002.parquet is not the file that manifest.json names .*; run data_gen.generate",
    ):
        next(read_rows(copied, "train"))
    generate.main(small(copied))
    assert second.read_bytes() == (made / second.name).read_bytes()


def test_a_folder_in_the_place_of_a_shard_is_missed(copied):
    path = sorted(copied.glob("*.parquet"))[1]
    path.unlink()
    path.mkdir()
    with pytest.raises(BadData, match="misses 1 of its shards, the first train-00001-of-00002.parquet"):
        read_manifest(copied)


def test_a_shard_that_is_no_parquet_is_named(copied):
    path = sorted(copied.glob("*.parquet"))[0]
    path.write_bytes(path.read_bytes()[:-20])
    manifest = json.loads((copied / "manifest.json").read_text())
    (copied / "manifest.json").write_text(
        json.dumps({name: value for name, value in manifest.items() if name != "files"})
    )
    with pytest.raises(
        BadData, match=r"train-00000-of-00002.parquet can't be read \(.*\); delete it and run data_gen.generate again"
    ):
        next(read_rows(copied, "train"))


@pytest.mark.parametrize(
    "shards", [{"train": ["../train-00000-of-00001.parquet"]}, {"train": ["/etc/passwd"]}, [], None]
)
def test_a_manifest_names_files_of_its_own_folder_only(copied, shards):
    manifest = json.loads((copied / "manifest.json").read_text())
    (copied / "manifest.json").write_text(json.dumps(manifest | {"shards": shards}))
    with pytest.raises(BadData, match="names shards that are no files of the folder"):
        read_manifest(copied)


def test_a_torn_manifest_is_none(copied):
    (copied / "manifest.json").write_text("")
    with pytest.raises(BadData, match="holds a torn manifest.json; run data_gen.generate again, it resumes"):
        read_manifest(copied)
    generate.main(small(copied))
    assert read_manifest(copied)


def test_an_emptied_file_of_episodes_is_named_and_played_again(tmp_path):
    config = composed(
        "experiment=debug",
        f"out={tmp_path}",
        "eval.backends=[expert]",
        "eval.modes=[sequential]",
        "eval.expert_tasks=1",
    )
    replay.main(config)
    (entry,) = read_results(tmp_path)["rows"]
    path = tmp_path / entry["file"]
    before = path.read_bytes()
    assert (entry["episodes"], entry["sha256"]) == (1, digest(path))
    (tmp_path / "making.json").write_text((tmp_path / "manifest.json").read_text())  # killed before it was taken away
    path.with_suffix(".part").write_bytes(before)
    replay.main(config)
    assert not (tmp_path / "making.json").exists() and not path.with_suffix(".part").exists()
    path.write_text("")
    with pytest.raises(BadResults, match=r"is not the file that manifest.json names .*; run eval.replay again"):
        read_results(tmp_path)
    replay.main(config)
    assert path.read_bytes() == before and read_results(tmp_path)


def test_results_name_files_of_their_own_folder_only(tmp_path):
    (tmp_path / "manifest.json").write_text(
        json.dumps({"schema_version": replay.VERSION, "rows": [{"file": "../x.jsonl"}]})
    )
    with pytest.raises(BadResults, match="names files that are not the folder's"):
        read_results(tmp_path)


def test_a_torn_marker_of_a_replay_is_none(tmp_path):
    (tmp_path / "making.json").write_text("")
    replay.prepare(tmp_path, "mine", [])
    assert marker(tmp_path / "making.json") == {"recipe": "mine"}


def test_a_choice_among_weights_that_is_torn_is_none(tmp_path):
    from eval.validation import BEST, ValidationReplay

    (tmp_path / BEST).mkdir()
    (tmp_path / BEST / "best.json").write_text("")
    assert ValidationReplay.best(SimpleNamespace(folder=tmp_path)) is None


@pytest.mark.parametrize(
    ("value", "shape", "fits"),
    [
        (1, int, True),
        (True, int, False),
        (True, bool, True),
        (1, (int, float), True),
        ("1", int, False),
        (None, str, False),
        (["a"], [str], True),
        (["a", 1], [str], False),
        ({"a": 1}, [str], False),
        ({"a": 1, "b": 2}, {str: int}, True),
        ({1: 1}, {str: int}, False),
        ({"a": 1}, {"a": int}, True),
        ({}, {"a": int}, False),
        ({"a": None}, {"a": int}, False),
        ({}, {"a?": int}, True),
        ({"a": None}, {"a?": int}, True),
        ({"a": "x"}, {"a?": int}, False),
        ({"a": {"b": [1]}}, {"a": {"b": [int]}}, True),
        ([], {}, False),
    ],
)
def test_shapes(value, shape, fits):
    assert shaped(value, shape) is fits


@pytest.mark.parametrize(
    "changes",
    [
        {"files": -1},
        {"files": {"train-00000-of-00002.parquet": "x"}},
        {"shards": {"train": [1]}},
        {"shards": {"train": 3}},
        {"recipe": []},
    ],
)
def test_a_manifest_of_another_shape_is_refused(copied, changes):
    manifest = json.loads((copied / "manifest.json").read_text())
    (copied / "manifest.json").write_text(json.dumps(manifest | changes))
    with pytest.raises(BadData, match="names shards that are no files of the folder, or is none"):
        read_manifest(copied)


@pytest.mark.parametrize("row", [3, {"file": "x"}, {"file": "x", "backend": "a", "mode": [], "profile": "", "seed": 0}])
def test_a_manifest_of_a_replay_of_another_shape_is_refused(tmp_path, row):
    (tmp_path / "manifest.json").write_text(json.dumps({"schema_version": replay.VERSION, "rows": [row]}))
    with pytest.raises(BadResults, match="is no manifest"):
        read_results(tmp_path)


@pytest.mark.parametrize(
    ("mark", "verbs"),
    [
        ("a.parquet", {"data", "repair"}),
        ("episodes-x.part", {"replay"}),
        ("adapter_model.safetensors", {"train"}),
        ("training-config.yaml", {"export"}),
        ("whatif.json", {"whatif"}),
        ("frontier.json", {"frontier"}),
        ("report.json", None),
    ],
)
def test_results_of_another_command_are_not_written_into(tmp_path, mark, verbs):
    """Data into a run's folder replaced the run's config.yaml and manifest.json."""
    (tmp_path / mark).touch()
    for verb in ("data", "repair", "replay", "train", "export", "whatif", "frontier", "serve"):
        if verbs is None or verb in verbs:
            assert out_folder(composed(f"out={tmp_path}"), verb) == tmp_path
        else:
            with pytest.raises(UserError, match=f"holds results of another command .{mark}.; give another out="):
                out_folder(composed(f"out={tmp_path}"), verb)


@pytest.mark.skipif(sys.platform == "win32", reason="no such locks")
def test_two_commands_do_not_write_into_one_folder(tmp_path, monkeypatch, capsys):
    import fcntl

    folder = tmp_path / "made"
    folder.mkdir()
    other = os.open(folder, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)  # as another process has it
    began = []

    def main(config):
        claim(Path(config.out))
        claim(Path(config.out))  # its own
        began.append(1)

    with pytest.raises(SystemExit) as ended:
        started(monkeypatch, main, f"out={folder}")
    assert ended.value.code == 2 and not began
    assert (
        f"{folder} is in use by another command; wait until that has ended, or give another out="
        in capsys.readouterr().err
    )
    monkeypatch.setenv("RANK", "1")  # one of several processes of the same command
    started(monkeypatch, main, f"out={folder}")
    monkeypatch.delenv("RANK")
    os.close(other)
    started(monkeypatch, main, f"out={folder}")
    started(monkeypatch, main, f"out={folder}")  # given back at the end
    assert len(began) == 3


@pytest.mark.parametrize(
    "module", ["data_gen.generate", "eval.replay", "training.sft", "training.repair", "eval.whatif", "eval.frontier"]
)
def test_each_command_that_makes_results_claims_its_folder(module):
    assert "    claim(folder)\n" in inspect.getsource(importlib.import_module(module))


def test_a_home_that_nobody_has_is_named():
    with pytest.raises(ValueError, match="~nobody-here/x: there is no such home; give the whole path"):
        path_of("~nobody-here/x")
    assert path_of("~") == Path.home()


def test_no_file_takes_the_place_of_a_device_or_a_pipe(tmp_path):
    """Who may write to /dev would lose /dev/null by ``out=/dev/null``."""
    pipe, link, target = tmp_path / "pipe", tmp_path / "link", tmp_path / "target"
    os.mkfifo(pipe)
    for path in (pipe, tmp_path / "to pipe"):
        if path != pipe:
            path.symlink_to(pipe)
        with pytest.raises(ValueError, match="pipe is no file but a device or a pipe; give the path of a file"):
            write(path, "x")
        assert pipe.is_fifo()
    target.write_text("old")
    link.symlink_to(target)
    write(link, "new")
    assert link.is_symlink() and target.read_text() == "new"


def test_two_that_write_one_file_at_once_write_one_after_the_other(tmp_path):
    path, said = tmp_path / "report.json", threading.Event()
    write(path, "earlier")

    def second():
        said.set()
        write(path, "second")

    other = threading.Thread(target=second)
    with whole(path) as half:
        half.write_text("fir")
        other.start()
        said.wait()
        other.join(0.2)
        assert other.is_alive() and half.read_text() == "fir" and path.read_text() == "earlier"
        half.write_text("first")
    other.join()
    assert path.read_text() == "second" and [each.name for each in tmp_path.iterdir()] == ["report.json"]


def test_what_a_killed_process_left_is_written_over(tmp_path):
    (tmp_path / "report.json.tmp").write_text("half of something longer")
    write(tmp_path / "report.json", "whole")
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("report.json", "whole")]
