"""Calibration: exact on a model whose times are known, and whole on the tiny one."""

from __future__ import annotations

import asyncio
import copy
import json
from dataclasses import replace

import pytest
import yaml

from configs.schema import ProfileConfig
from midsentence import calibrate, cli
from midsentence.calibrate import Measurement, measure, row, session_step_ns
from midsentence.clock import Profile, WallClock, ns
from midsentence.ending import UserError
from midsentence.models.planned import PlannedModel
from midsentence.rendering.renderer import Renderer
from midsentence.serve import toolbox_of
from midsentence.testing import Scripted
from tests.midsentence.shells.live_stage import SLOW, call, fake


class Known:
    """A model on a clock of its own: it takes exactly what its rates say."""

    end_ids = frozenset()

    def __init__(self, decode_ns: int, prefill_ns: int, restart_ns: int, slow_first: int = 1) -> None:
        self.at_ns, self.decode_ns, self.prefill_ns, self.restart_ns = 0, decode_ns, prefill_ns, restart_ns
        self.factor, self.opened, self.closed = slow_first, 0, 0

    def now_ns(self) -> int:
        return self.at_ns

    def open(self, prompt_ids, seed=0):
        self.opened += 1
        if self.opened > 1:
            self.factor = 1
        return _Stream(list(prompt_ids))

    def append(self, batch):
        for stream, ids in batch:
            stream.ids += ids
            stream.ready = True
            self.at_ns += self.factor * (self.restart_ns + max(self.decode_ns, len(ids) * self.prefill_ns))

    def decode(self, streams, masks=None):
        for stream in streams:
            if not stream.ready:
                self.at_ns += self.factor * self.decode_ns
            stream.ids.append(0)
            stream.ready = False
        return [0] * len(streams)

    def close(self, stream):
        self.closed += 1


class _Stream:
    def __init__(self, ids):
        self.ids, self.ready = ids, True

    @property
    def length(self):
        return len(self.ids)


def test_a_device_with_known_rates_is_measured_exactly():
    model = Known(ns(0.025), ns(0.002), ns(0.02), slow_first=5)
    found = measure(model, [1, 2, 3], many=200, clock=model)
    assert found.profile("laptop") == Profile("laptop", 40, 500, ns(0.02))
    assert found.repeats == 5 and model.opened == model.closed == 6


def test_an_append_costs_what_the_profile_says():
    """The clock's arithmetic, fed with the measurement, gives back the measured times."""
    model = Known(ns(0.02), ns(0.004), ns(0.01))
    found = measure(model, [1], many=50, clock=model)
    profile = found.profile("mine")
    assert profile.append_ns(50) == found.append_many_ns == ns(0.21)
    assert profile.append_ns(1) == found.append_one_ns == ns(0.03)


def test_a_slow_machine_repeats_less():
    model = Known(ns(1), ns(0.1), 0)
    assert measure(model, [1], many=256, clock=model, budget_ns=ns(100)).repeats == 2


def test_noise_gives_no_negative_restart():
    found = Measurement(step_ns=2e6, append_one_ns=1.5e6, append_many_ns=4e6, many=100, repeats=3, context_tokens=9)
    assert found.profile("x") == Profile("x", 500, 25_000, 0)


def test_a_session_is_measured_as_it_writes(tiny_tokenizer):
    """The time between two tokens of a generation, and nothing else: neither appends nor what tools take."""

    renderer = Renderer.prepare(copy.deepcopy(tiny_tokenizer))

    async def measured():
        loop = asyncio.get_running_loop()
        script = [call('1. get_phone_number("Bob")'), "<answer>His number is there.</answer>"] * len(calibrate.SAID)
        model = PlannedModel(Scripted(script), renderer, SLOW, loop.call_later)
        return await session_step_ns(
            (model, renderer),
            lambda: toolbox_of("assistant", calibrate.NOW),
            lambda: WallClock(lambda: ns(loop.time())),
        )

    assert fake(measured) == pytest.approx(ns(1 / SLOW.decode_tokens_per_s), rel=1e-6)


def test_a_session_paces_what_is_written_and_no_append():
    found = Measurement(step_ns=1e7, append_one_ns=3e7, append_many_ns=1.4e8, many=24, repeats=5, context_tokens=9)
    slower = replace(found, session_step_ns=2e7)
    assert found.profile("x") == Profile("x", 100, 200, ns(0.02))
    assert slower.profile("x") == replace(found.profile("x"), decode_tokens_per_s=50)


def test_a_model_that_writes_nothing_in_a_session_is_told(monkeypatch):
    monkeypatch.setattr(calibrate, "SESSION_S", 0.0)
    with pytest.raises(UserError, match="wrote nothing in 0 s of a session; measure it without --session"):
        cli.main(["calibrate", "--model", "tiny", "--dtype", "float32", "--session"])


def test_the_row_is_a_row_of_the_clocks_settings():
    profiles = yaml.safe_load("profiles:\n" + row(Profile("mine", 41, 997, ns(0.0125))))["profiles"]
    assert ProfileConfig(**profiles["mine"]) == ProfileConfig(41, 997, 0.0125)


@pytest.mark.parametrize("as_json", [False, True])
def test_the_command_on_the_tiny_model(monkeypatch, capsys, as_json):
    monkeypatch.setattr(
        calibrate.measure, "__kwdefaults__", calibrate.measure.__kwdefaults__ | {"steps": 2, "repeats": 1}
    )
    cli.main(["calibrate", "--name", "mine", "--model", "tiny", "--dtype", "float32", *["--json"] * as_json])
    out = capsys.readouterr().out
    if as_json:
        found = json.loads(out)
        assert found["model"] == "tiny" and found["profile"]["name"] == "mine" and found["measured"]["many"] == 24
        assert min(found["profile"]["decode_tokens_per_s"], found["profile"]["prefill_tokens_per_s"]) >= 1
    else:
        profiles = yaml.safe_load("profiles:\n" + out)["profiles"]
        assert ProfileConfig(**profiles["mine"]).decode_tokens_per_s >= 1


def test_a_gguf_file_is_measured_by_its_own_engine(monkeypatch, capsys, tmp_path):
    """The engine that will run it, not the one that trained it: rates of the two differ by far."""
    pytest.importorskip("xllamacpp", reason="install it with: pip install -e '.[llamacpp]'")
    from midsentence.models.checkpoint import load_model
    from training.gguf_file import write_gguf

    monkeypatch.setattr(
        calibrate.measure, "__kwdefaults__", calibrate.measure.__kwdefaults__ | {"steps": 2, "repeats": 1}
    )
    model, tokenizer = load_model("tiny", None, "float32")
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    write_gguf(model, tokenizer, tmp_path / "tiny.gguf", "tiny")
    line = ["calibrate", "--model", str(tmp_path), "--runtime", "llamacpp"]
    cli.main([*line, "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["runtime"] == "llamacpp" and found["device"] == "cpu (llama.cpp)" and found["threads"] >= 1
    cli.main(line)
    assert capsys.readouterr().out.startswith(f"# {tmp_path}, tiny.gguf, on cpu (llama.cpp); medians of 1 repeats")


def test_the_context_is_as_long_as_asked_and_none_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(
        calibrate.measure, "__kwdefaults__", calibrate.measure.__kwdefaults__ | {"steps": 2, "repeats": 1}
    )
    for asked in (64, 300):
        cli.main(["calibrate", "--model", "tiny", "--dtype", "float32", "--context", str(asked), "--json"])
        assert (
            json.loads(capsys.readouterr().out)["measured"]["context_tokens"] == asked + 3
        )  # the steps, and one before them
    with pytest.raises(UserError, match="--context is 0; give how many tokens the context is to have, 1 or more"):
        cli.main(["calibrate", "--model", "tiny", "--context", "0"])


def test_the_long_append_is_as_long_as_asked_and_one_token_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(
        calibrate.measure, "__kwdefaults__", calibrate.measure.__kwdefaults__ | {"steps": 2, "repeats": 1}
    )
    cli.main(["calibrate", "--model", "tiny", "--dtype", "float32", "--append", "7", "--json"])
    assert json.loads(capsys.readouterr().out)["measured"]["many"] == 7
    with pytest.raises(UserError, match="--append is 1; give how many tokens the long append is to have, 2 or more"):
        cli.main(["calibrate", "--model", "tiny", "--append", "1"])
