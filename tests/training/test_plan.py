"""What a run will need, right against the published architectures and against what a run then does."""

from __future__ import annotations

import contextlib
import json
import os
import re
from pathlib import Path

import pytest

from configs.command import command
from midsentence.assets import MissingAsset
from midsentence.ending import UserError
from midsentence.models.folders import at_hand
from training import plan as planning
from training import sft
from training.plan import main, plan, skeleton, zero3_formula, zero3_states


@pytest.fixture
def no_tokenizer(monkeypatch):
    """A machine that has the tokenizers of neither 3B model."""

    def missing(name):
        raise MissingAsset(name)

    monkeypatch.setattr(planning, "asset_path", missing)


@pytest.mark.parametrize(
    ("experiment", "parameters", "new"), [("qwen25_3b", 3_085_938_688, 15), ("llama32_3b", 3_212_749_824, 17)]
)
def test_the_papers_models_have_their_published_size(experiment, parameters, new, composed, no_tokenizer):
    made = plan(composed(f"experiment={experiment}", "launcher=zero3", "gpus=4"))
    assert (made.parameters, made.new_tokens) == (parameters, new)
    assert (made.data, made.tokens, made.hours) == ("unknown", None, None)  # and that is no error


@pytest.mark.parametrize("experiment", ["qwen25_3b", "llama32_3b"])
def test_a_lora_adapters_size_by_hand(experiment, composed, no_tokenizer):
    made = plan(composed(f"experiment={experiment}"))
    hidden, inner, heads, kv, layers = (
        (2048, 11008, 2048, 256, 36) if experiment == "qwen25_3b" else (3072, 8192, 3072, 1024, 28)
    )
    matrices = [
        (hidden, heads),
        (hidden, kv),
        (hidden, kv),
        (heads, hidden),
        (hidden, inner),
        (hidden, inner),
        (inner, hidden),
    ]
    assert made.trainable_parameters == layers * 32 * sum(a + b for a, b in matrices) + made.new_tokens * hidden


@pytest.mark.parametrize(
    ("experiment", "tokenizer", "new"), [("qwen25_3b", "qwen_tokenizer", 15), ("llama32_3b", "llama_tokenizer", 17)]
)
def test_new_tokens_by_the_real_tokenizers(experiment, tokenizer, new, composed, request):
    request.getfixturevalue(tokenizer)  # skips where it is not at hand
    assert plan(composed(f"experiment={experiment}", "train.data=[]")).new_tokens == new


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_plan_says_what_the_run_then_does(settings, method):
    config = settings(f"train.method={method}")
    made = plan(config)
    sft.main(config)
    manifest = json.loads((Path(config.out) / "manifest.json").read_text())
    assert (made.data, made.steps, made.run_tokens) == ("read", manifest["steps"], manifest["tokens"])
    assert made.trainable_parameters == manifest["trainable_parameters"]
    assert made.new_tokens == 17


def test_data_that_is_not_made_yet_is_sampled(settings, debug_data, tmp_path):
    sizes = "data.sizes={train: 12, validation: 2, test: 2}"
    read, sampled = plan(settings(sizes)), plan(settings(sizes, f"train.data=[{tmp_path / 'later'}]"))
    assert (read.data, sampled.data) == ("read", "sampled")
    assert (sampled.tokens, sampled.supervised_tokens) == (
        read.tokens,
        read.supervised_tokens,
    )  # all twelve are in the sample
    twice = plan(
        settings("data.sizes={train: 48}", f"train.data=[{tmp_path / 'later'}]", "train.max_steps=0", "train.epochs=1")
    )
    assert 2 * read.tokens < twice.tokens
    assert twice.steps * 2 >= 12


def test_time_follows_from_the_share_of_the_peak(settings):
    one, half = plan(settings("train.mfu=0.4")), plan(settings("train.mfu=0.2"))
    assert half.hours == pytest.approx(2 * one.hours)
    flops = one.run_tokens * (4 * one.parameters + 2 * one.trainable_parameters)
    assert one.hours == pytest.approx(flops / (0.4 * 989e12) / 3600)


def test_sharding_saves_memory_and_the_chunked_loss_saves_logits(composed, no_tokenizer):
    def memory(*changes):
        return plan(composed("experiment=qwen25_3b", "train.method=full", *changes)).memory_gib

    one = memory()
    for launcher in ("fsdp2", "zero3"):
        assert memory(f"launcher={launcher}", "gpus=4")["optimiser"] <= one["optimiser"] / 4 * 16 / 12 + 0.01
        assert memory(f"launcher={launcher}", "gpus=4")["all"] < one["all"] / 2
    assert memory("launcher=ddp", "gpus=4") == one
    assert memory("train.loss=chunked")["logits"] < memory("train.loss=full")["logits"]


def test_zero3s_formula_by_hand(composed, no_tokenizer):
    largest = 151_936 * 2048  # the embedding
    assert zero3_formula(3_085_938_688, largest, 4) == 4 * 311_164_928 + 13_886_724_096
    made = plan(composed("experiment=qwen25_3b", "train.method=full", "launcher=zero3", "gpus=4"))
    states = made.memory_gib["weights"] + made.memory_gib["optimiser"]
    assert states == pytest.approx((4 * largest + 18 * 3_085_938_688 / 4) / 2**30, abs=0.02)


@pytest.mark.full
@pytest.mark.filterwarnings("ignore")
def test_the_formula_is_deepspeeds():
    os.environ.setdefault("DS_ACCELERATOR", "cpu")
    stage3 = pytest.importorskip(
        "deepspeed.runtime.zero.stage3", reason="DeepSpeed is not installed; make test-full does"
    )
    for total, largest, devices in (
        (3_085_938_688, 311_164_928, 4),
        (135_000_000, 28_000_000, 2),
        (59_834_368, 311_164_928, 8),
    ):
        _, theirs, _ = stage3.estimate_zero3_model_states_mem_needs(total, largest, devices, 1, False, False, False)
        assert zero3_formula(total, largest, devices) == theirs
        assert sum(zero3_states(0, total, largest, devices, 2)) == pytest.approx(theirs)
    model = skeleton("Qwen/Qwen2.5-3B-Instruct")
    with contextlib.redirect_stdout(None):
        _, largest = stage3.model_to_params(model)
    assert largest == 151_936 * 2048


def test_the_plan_as_json(settings, capsys):
    main(settings("json=true"))
    made = json.loads(capsys.readouterr().out)
    assert (made["parameters"], made["devices"], made["launcher"]) == (167_936, 1, "single")
    assert {"trainable_parameters", "tokens", "supervised_tokens", "steps", "memory_gib", "hours", "mfu"} <= made.keys()
    assert made["tokens"] > made["supervised_tokens"] > 0


def test_the_plan_as_lines(settings, tmp_path, capsys):
    main(settings(f"train.data=[{tmp_path / 'later'}]"))
    text = capsys.readouterr().out
    assert "tiny: 167,936 parameters" in text
    assert "not made yet: reckoned from 24 trajectories of it" in text
    assert "memory of each of 1 devices, launcher=single, GiB: weights" in text
    # whether it fits, and minutes where it is no hour
    assert re.search(r"fits a card of 8 GB: yes, 16 GB: yes, 24 GB: yes, .*tenth is left", text)
    assert re.search(r"time: \d+\.\d minutes on 1 devices at 40% of 989 TFLOP/s", text)
    main(settings("train.device_tflops=0.3", f"train.data=[{tmp_path / 'later'}]"))
    assert "at 40% of 0.3 TFLOP/s" in capsys.readouterr().out


def test_a_model_of_which_only_the_tokenizer_is_at_hand_is_planned(qwen_tokenizer, composed, tmp_path, capsys):
    main(composed("experiment=qwen25_3b", f"train.data=[{tmp_path / 'later'}]", "data.sizes={train: 24}"))
    text = capsys.readouterr().out
    assert "not made yet: reckoned from 24 trajectories of it" in text and "minutes on 1 devices" in text
    assert "fits a card of 8 GB: no, 16 GB: yes, 24 GB: yes" in text


def test_a_plan_for_no_machine_is_refused(settings):
    with pytest.raises(UserError, match="with launcher=single"):
        plan(settings("gpus=2"))


def test_what_is_missing_is_said_with_the_command_that_makes_it(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(planning, "at_hand", lambda name: False)
    monkeypatch.setattr(planning, "tokenizer_folder", lambda name: None)
    options = [
        "experiment=qwen25_3b",
        f"train.data=[{tmp_path}/a b]",
        "data.sizes={train: 9}",
        "launcher=ddp",
        "hydra.run.dir=.",
    ]
    monkeypatch.setattr("sys.argv", ["plan", *options])
    command(main)()
    lines = [
        line.removeprefix("missing; make it with: ")
        for line in capsys.readouterr().out.splitlines()
        if line.startswith("missing")
    ]
    assert lines == [
        "midsentence fetch --model Qwen/Qwen2.5-3B-Instruct",
        "midsentence fetch qwen2.5",
        f"python -m data_gen.generate experiment=qwen25_3b 'data.sizes={{train: 9}}' 'out={tmp_path}/a b'",
    ]


def test_of_several_folders_each_is_planned_with_the_source_that_it_is_named_after(
    qwen_tokenizer, tmp_path, capsys, monkeypatch
):
    folders = [f"{tmp_path}/{source}" for source in ("written", "domains")]
    options = ["experiment=qwen25_3b", f"train.data=[{','.join(folders)}]", "data.sizes={train: 9}", "hydra.run.dir=."]
    monkeypatch.setattr("sys.argv", ["plan", *options])
    command(main)()
    text = capsys.readouterr().out
    assert "not made yet: reckoned from 24 trajectories of each" in text
    for source, folder in zip(("written", "domains"), folders, strict=True):
        said = f"'data.sizes={{train: 9}}' data={source} out={folder}"
        assert f"python -m data_gen.generate experiment=qwen25_3b {said}" in text


def test_where_all_is_there_nothing_is_missing(settings):
    assert plan(settings()).missing == ()


def test_a_model_is_at_hand_where_nobody_need_be_asked_for_it(tmp_path, monkeypatch):
    monkeypatch.setenv("MIDSENTENCE_CACHE", str(tmp_path))
    monkeypatch.delenv("MIDSENTENCE_SMOLLM2", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert at_hand("tiny") and at_hand(str(tmp_path)) and not at_hand("nobody/has-this")
