"""The append benchmark measures what it says: a kept cache against the whole context."""

from __future__ import annotations

import json

import pytest

from midsentence.models.transformers import TransformersModel
from scripts import bench_append


def test_the_command_prints_one_line_of_json(capsys):
    assert bench_append.main(["--model", "tiny", "--repeats", "1", "--contexts", "32", "64"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["bench"], report["update_tokens"]) == ("append", 10)
    for length in (32, 64):
        assert report[f"append_at_{length}_s"] > 0
        ratio = report[f"reread_at_{length}_s"] / report[f"append_at_{length}_s"]
        assert report[f"ratio_at_{length}"] == pytest.approx(ratio, rel=0.1, abs=0.1)


def test_an_update_computes_ten_tokens_and_a_rereading_all(monkeypatch):
    model = TransformersModel.load("tiny", device="cpu")
    seen = []
    forward = model.model.forward
    monkeypatch.setattr(
        model.model, "forward", lambda **kwargs: seen.append(kwargs["input_ids"].shape[1]) or forward(**kwargs)
    )
    bench_append.measure(model, [32], repeats=2)
    assert seen == [1, 31, 10, 10, 42, 10, 42]
