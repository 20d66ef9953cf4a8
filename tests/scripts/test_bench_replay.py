"""The replay benchmark does the scripted sessions' work, and notices when it does another's."""

from __future__ import annotations

import importlib.util
import json

import pytest

from scripts import bench_replay


@pytest.mark.skipif(
    importlib.util.find_spec("xllamacpp") is None, reason="install it with: pip install -e '.[llamacpp]'"
)
def test_the_command_prints_one_line_of_json(capsys):
    assert bench_replay.main(["--model", "tiny", "--sessions", "4", "--batches", "2", "4"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["bench"], report["forced_sessions_identical"], report["greedy_identical"]) == ("replay", True, True)
    assert report["decoded_tokens_per_session"] > 50
    assert 0.5 < report["bfloat16_agreement"] <= 1
    for size in (2, 4):
        ratio = report[f"sessions_per_minute_at_{size}"] / report["sessions_per_minute_at_1"]
        assert report[f"ratio_at_{size}"] == pytest.approx(ratio, rel=0.02)
    for form in ("float32", "q8"):
        assert report[f"llamacpp_{form}_forced_sessions_identical"] is True
        for size in (1, 4):
            ratio = report[f"llamacpp_{form}_sessions_per_minute_at_{size}"] / report[f"sessions_per_minute_at_{size}"]
            assert report[f"llamacpp_{form}_ratio_at_{size}"] == pytest.approx(ratio, abs=0.02)
    assert report["llamacpp_float32_agreement"] == 1
    assert 0.5 < report["llamacpp_q8_agreement"] <= 1


def test_another_course_of_the_sessions_is_noticed(capsys, monkeypatch):
    monkeypatch.setattr(bench_replay.Forced, "decode", lambda self, streams, masks=None: self.inner.decode(streams))
    bench_replay.main(["--model", "tiny", "--sessions", "2", "--batches", "2", "--runtimes", "transformers"])
    assert json.loads(capsys.readouterr().out)["forced_sessions_identical"] is False
