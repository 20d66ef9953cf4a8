"""Runs on the tiny model: what is saved, what is refused, and that a killed run ends as an undisturbed one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file

from midsentence.core.protocol import EDITION
from midsentence.ending import UserError
from midsentence.models.checkpoint import load_model
from midsentence.models.load import load_renderer
from training import sft
from training.attention import use_blocks
from training.batch import Collator
from training.checks import check_model, check_settings
from training.loss import add_loss
from training.trainer import latest
from training.watch import Watch, lasting

ROOT = Path(__file__).parent.parent.parent


def losses(folder: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / "log.jsonl").read_text().splitlines()]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    (path,) = folder.glob("*.safetensors")
    return load_file(path)


def assert_same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert found.keys() == expected.keys()
    assert [name for name in found if not torch.equal(found[name], expected[name])] == []


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_run_learns_and_leaves_what_it_takes_to_use_it(settings, method):
    config = settings(f"train.method={method}", "train.learning_rate=0.01")
    sft.main(config)
    folder = Path(config.out)
    found = losses(folder)
    assert len(found) == 5
    assert min(found[1:]) < found[0] - 0.2
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["steps"], manifest["seed"]) == (5, 0)
    assert {path.name for path in folder.iterdir()} >= {"config.yaml", "tokenizer.json", "base.json", "protocol.json"}
    assert not [path for path in folder.rglob("*") if path.suffix in (".bin", ".pt", ".pth")]
    model, tokenizer = load_model("tiny", str(folder), "float32")
    renderer = load_renderer("tiny", "token", "none", str(folder))
    assert renderer.fingerprint == manifest["tokenizer"] == load_renderer("tiny", "token", "none").fingerprint
    assert model.get_input_embeddings().num_embeddings >= len(tokenizer)


def test_a_checkpoint_of_another_form_of_the_protocol_is_refused_with_the_fix(settings):
    sft.main(settings("train.max_steps=1"))
    folder = Path(settings().out)
    assert json.loads((folder / "protocol.json").read_text()) == {
        "edition": EDITION,
        "tags": "token",
        "turns": "flat",
        "stamps": "none",
    }
    with pytest.raises(ValueError, match=r"was trained with turns=flat, and turns=chat is asked of it; set the former"):
        load_renderer("tiny", "token", "none", str(folder), "chat")
    with pytest.raises(ValueError, match=r"was trained with stamps=none, and stamps=token is asked of it"):
        load_renderer("tiny", "token", "token", str(folder))
    for name in ("base.json", "training-manifest.json"):  # as checkpoints and exports of the first edition have them
        (folder / "protocol.json").unlink(missing_ok=True)
        (folder / "base.json").rename(folder / name)
        for load in (
            lambda: load_model("tiny", str(folder), "float32"),
            lambda: load_renderer("tiny", "token", "none", str(folder)),
        ):
            with pytest.raises(
                ValueError, match="was trained in edition 1 of the protocol, and this code speaks edition .*train on it"
            ):
                load()
        (folder / name).rename(folder / "base.json")


def test_one_batch_can_be_learned_by_heart(settings):
    config = settings("train.method=full")
    renderer = load_renderer("tiny", "token", "none")
    (source,), _ = sft.read(config, renderer)
    model, _ = sft.load_base(config, renderer)
    use_blocks(model)
    add_loss(model)
    batch = Collator(source.examples[:1])([{"rows": [0]}])
    taken = {name: batch[name] for name in ("input_ids", "position_ids", "layout", "places", "targets")}
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.003, betas=(0.9, 0.99))
    for _ in range(90):
        loss = model(**taken).logits.mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < 0.2


def test_an_adapter_holds_the_rows_of_new_tokens_and_no_whole_embedding(settings):
    config = settings()
    sft.main(config)
    saved = weights(Path(config.out))
    (rows,) = [tensor for name, tensor in saved.items() if "embed_tokens" in name]
    assert len(rows) == len(load_renderer("tiny", "token", "none").tag_ids)
    assert not any("base_layer" in name for name in saved)
    started, _ = sft.load_base(config, load_renderer("tiny", "token", "none"))
    before = started.get_input_embeddings().weight[-len(rows) :]
    assert (rows - before).abs().max() > 1e-4  # they were trained


def test_peft_loads_the_result_by_itself(settings, recwarn):
    from peft import AutoPeftModelForCausalLM

    config = settings()
    sft.main(config)
    with pytest.warns(FutureWarning):  # peft still uses a name that transformers has changed
        theirs = AutoPeftModelForCausalLM.from_pretrained(config.out)
    ours, _ = load_model("tiny", config.out, "float32")
    ids = torch.tensor([[1, 1467, 500, 1480, 30]])
    torch.testing.assert_close(theirs(ids).logits, ours(ids).logits, rtol=1e-4, atol=1e-5)


def test_new_rows_begin_near_what_their_text_was_made_of(settings):
    renderer = load_renderer("tiny", "token", "none")
    model, new = sft.load_base(settings(), renderer)
    matrix = model.get_input_embeddings().weight.detach()
    assert {renderer.text([index]) for index in new} == set(renderer.tag_ids)
    for index, pieces in new.items():
        mean = matrix[list(pieces)].mean(dim=0)
        assert torch.nn.functional.cosine_similarity(matrix[index], mean, dim=0) > 0.95
    rows = matrix[list(new)]
    assert len(rows.unique(dim=0)) == len(rows)


class Killed(Exception):
    pass


def kill_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Watch.on_step_end

    def on_step_end(self: Any, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == step:
            raise Killed
        plain(self, args, state, control, **kwargs)

    monkeypatch.setattr(Watch, "on_step_end", on_step_end)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_killed_run_ends_as_an_undisturbed_one_bit_by_bit(settings, tmp_path, method, monkeypatch):
    whole, broken = (
        settings(f"train.method={method}", "train.checkpoint_every_steps=2", f"out={tmp_path / n}") for n in "ab"
    )
    sft.main(whole)
    with monkeypatch.context() as patch:
        kill_at(4, patch)
        with pytest.raises(Killed):
            sft.main(broken)
    assert latest(tmp_path / "b" / sft.CHECKPOINTS).name == "checkpoint-2"
    sft.main(broken)
    assert_same(weights(tmp_path / "b"), weights(tmp_path / "a"))
    assert losses(tmp_path / "b") == losses(tmp_path / "a")


def test_a_half_written_checkpoint_is_never_resumed_from(settings, tmp_path, monkeypatch):
    whole, broken = (settings("train.checkpoint_every_steps=2", f"out={tmp_path / name}") for name in "ab")
    sft.main(whole)
    plain = transformers.Trainer._save_optimizer_and_scheduler

    def fails(self: Any, folder: str) -> None:
        if "checkpoint-4" in folder:
            raise Killed
        plain(self, folder)

    with monkeypatch.context() as patch:
        patch.setattr(transformers.Trainer, "_save_optimizer_and_scheduler", fails)
        with pytest.raises(Killed):
            sft.main(broken)
    place = tmp_path / "b" / sft.CHECKPOINTS
    assert (place / ".partial" / "checkpoint-4").is_dir()  # it had begun
    assert latest(place).name == "checkpoint-2"
    sft.main(broken)
    assert_same(weights(tmp_path / "b"), weights(tmp_path / "a"))


def test_a_finished_run_is_not_done_again_and_another_is_refused(settings, capsys):
    sft.main(settings())
    before = {path.name: path.stat().st_mtime_ns for path in Path(settings().out).iterdir()}
    sft.main(settings())
    assert "finished before" in capsys.readouterr().out
    assert {path.name: path.stat().st_mtime_ns for path in Path(settings().out).iterdir()} == before
    with pytest.raises(UserError, match="other settings or data; give another out="):
        sft.main(settings("train.learning_rate=0.5"))


def test_a_run_that_diverges_ends_and_keeps_what_was_good(settings):
    config = settings("train.learning_rate=1e30", "train.checkpoint_every_steps=1", "train.log_every_steps=1")
    with pytest.raises(UserError, match=r"diverged: at step \d+ .* try a smaller train.learning_rate than 1e\+30 \("):
        sft.main(config)
    folder = Path(config.out)
    assert not list(folder.glob("*.safetensors")) and not (folder / "manifest.json").exists()
    for path in folder.rglob("*.safetensors"):
        assert all(torch.isfinite(tensor).all() for tensor in load_file(path).values())


def test_weights_that_are_no_numbers_are_not_saved(settings, tmp_path):
    config = settings()
    renderer = load_renderer("tiny", "token", "none")
    sources, plan = sft.read(config, renderer)
    with sft.quiet():
        trainer = sft.build(config, tmp_path / "run", renderer, sources, plan)
    trainer.check_weights()
    weight = next(weight for weight in trainer.model.parameters() if weight.requires_grad)
    with torch.no_grad():
        weight.view(-1)[0] = float("inf")
    with pytest.raises(
        UserError,
        match=r"1 tensors of weights have values that are no finite number.*\(no checkpoint was made before\)",
    ):
        trainer._save_checkpoint(trainer.model, None)


@pytest.mark.parametrize("loss", ["chunked", "full"])
def test_a_step_fetches_nothing_from_its_device(settings, tmp_path, loss):
    config = settings(f"train.loss={loss}")
    renderer = load_renderer("tiny", "token", "none")
    sources, plan = sft.read(config, renderer)
    with sft.quiet():
        trainer = sft.build(config, tmp_path / "run", renderer, sources, plan)
    batch = trainer.data_collator([{"rows": list(plan.rows[0])}])
    targets, length = len(batch["targets"]), batch["input_ids"].shape[1]
    away = {name: value.to("meta") if isinstance(value, torch.Tensor) else value for name, value in batch.items()}
    logits = torch.empty(
        targets if loss == "chunked" else (1, length, 97), device="meta"
    )  # what is on meta can't be fetched
    made = trainer.compute_loss(lambda **_: SimpleNamespace(logits=logits), away)
    assert made.device.type == trainer.sums.device.type == "meta"
    assert not trainer.args.logging_nan_inf_filter


def test_accumulation_equals_a_large_batch(settings, tmp_path):
    for micro in (1, 2):
        sft.main(settings(f"train.micro_batch_rows={micro}", f"out={tmp_path / str(micro)}"))
    assert losses(tmp_path / "1") == pytest.approx(losses(tmp_path / "2"), rel=1e-4)


def test_two_processes_train_as_one_with_the_same_global_batch(settings, debug_data, tmp_path):
    config = settings("train.max_steps=3", f"out={tmp_path / 'one'}")
    sft.main(config)
    changes = [f"train.data=[{debug_data}]", f"out={tmp_path / 'two'}", "train.max_length=512", "train.batch_rows=2"]
    changes += ["train.micro_batch_rows=1", "train.max_steps=3", "train.epochs=8"]
    launch = [
        "-m",
        "accelerate.commands.launch",
        "--config_file",
        "configs/accelerate/ddp.yaml",
        "--cpu",
        "--num_processes",
        "2",
    ]
    launch += ["--main_process_port", "0"]
    command = [sys.executable, *launch, "-m", "training.sft", "experiment=debug", *changes]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads((tmp_path / "two" / "manifest.json").read_text())["processes"] == 2
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=1e-4)
    whole = [json.loads((tmp_path / name / "manifest.json").read_text())["metrics"]["loss"] for name in ("one", "two")]
    assert whole[1] == pytest.approx(whole[0], rel=1e-4)
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, rtol=1e-3, atol=1e-4, msg=name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("train.data=[]", "names no folder"),
        (
            "train.batch_rows=3",
            "batch_rows=3 does not divide by train.micro_batch_rows=2 times 1 processes; use a multiple of 2",
        ),
        ("train.schedule=cosin", "train.schedule=cosin is unknown"),
        ("train.schedule=reduce_lr_on_plateau", "train.schedule=reduce_lr_on_plateau is unknown"),
        ("train.train_new_tokens=false", "freezes their rows; set it to true, or use text"),
        ("train.method=qlora", "needs a CUDA GPU"),
        ("train.weights=[1, 2]", "for 1 folders"),
        ("model.dtype=float16", "use model.dtype=bfloat16"),
    ],
)
def test_settings_that_do_not_fit_are_refused_before_anything_loads(settings, change, message):
    with pytest.raises(UserError, match=message):
        check_settings(settings("train.micro_batch_rows=2", "train.batch_rows=4", change), 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["train.lora_targets=[q_proj, wq]"], "'wq' matches no layer of tiny; it has .*down_proj"),
        (["train.lora_targets=[]"], "lora_targets is empty"),
        (["train.max_length=5000", "train.packing=false"], "longer than the model's context of 4096"),
    ],
)
def test_what_the_model_has_not_is_refused_before_its_weights_load(settings, changes, message):
    from midsentence.models.folders import resolve

    with pytest.raises(UserError, match=message):
        check_model(settings(*changes), resolve("tiny"))


def test_a_packed_row_may_be_longer_than_the_context_and_a_trajectory_not(settings):
    config = settings("train.max_length=5000", "train.max_steps=1")
    sft.main(config)
    assert json.loads((Path(config.out) / "manifest.json").read_text())["tokens"] > 0
    renderer = load_renderer("tiny", "token", "none")
    (whole,), _ = sft.read(config, renderer)
    longest = max(map(len, whole.examples))
    (source,), plan = sft.read(config, renderer, longest - 1)
    assert source.dropped >= 1 and max(map(len, source.examples)) < longest
    assert max(sum(len(source.examples[n]) for n in row) for row in plan.rows) > longest


def test_bad_data_folders_are_refused_in_a_line(settings, tmp_path, debug_data):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=f"no folder of trajectories at {tmp_path}/none"):
        sft.main(settings(f"train.data=[{tmp_path}/none]"))
    with pytest.raises(ValueError, match="holds no manifest.json"):
        sft.main(settings(f"train.data=[{tmp_path}/empty]"))
    with pytest.raises(
        ValueError, match="made with model.tags=token, and model.tags=text is to be trained; set model.tags=token, or"
    ):
        sft.main(settings("model.tags=text"))
    with pytest.raises(
        ValueError, match="made with model.turns=flat, and model.turns=chat is to be trained; set model.turns=flat, or"
    ):
        sft.main(settings("model.turns=chat"))
    manifest = json.loads((debug_data / "manifest.json").read_text())
    (tmp_path / "empty" / "manifest.json").write_text(json.dumps({**manifest, "tokenizer": "0123"}))
    for path in debug_data.glob("*.parquet"):
        (tmp_path / "empty" / path.name).symlink_to(path)
    with pytest.raises(ValueError, match="was made with tokenizer .*; generate the data again with model=tiny"):
        sft.main(settings(f"train.data=[{tmp_path}/empty]"))
    del manifest["edition"]
    (tmp_path / "empty" / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(
        ValueError, match=f"was made in edition 1 of the protocol, .* speaks edition {EDITION}; generate the data"
    ):
        sft.main(settings(f"train.data=[{tmp_path}/empty]"))
    with pytest.raises(ValueError, match="12 rows are longer than train.max_length=20, .*; raise train.max_length"):
        sft.main(settings("train.max_length=20"))


def test_rows_that_are_too_long_are_dropped_or_cut_with_a_count(settings):
    renderer = load_renderer("tiny", "token", "none")
    (dropped,), _ = sft.read(settings("train.max_length=260"), renderer)
    (cut,), _ = sft.read(settings("train.max_length=260", "train.too_long=cut"), renderer)
    assert dropped.dropped > 0
    assert dropped.dropped + len(dropped.examples) == 12
    assert cut.cut == dropped.dropped
    assert len(cut.examples) == 12
    assert max(map(len, cut.examples)) <= 260


def test_a_validation_callback_is_named_by_the_settings(settings, monkeypatch):
    seen = []

    class Validate(transformers.TrainerCallback):
        def __init__(self, config: Any, folder: Path, every_steps: int, tasks: int) -> None:
            self.every_steps = every_steps
            assert (folder, tasks) == (Path(config.out), 7)

        def on_step_end(self, args: Any, state: Any, control: Any, model: Any, **kwargs: Any) -> None:
            if state.global_step % self.every_steps == 0:
                seen.append((state.global_step, type(model).__name__))

    module = ModuleType("named_by_settings")
    module.Validate = Validate
    monkeypatch.setitem(sys.modules, "named_by_settings", module)
    sft.main(
        settings("+train.callback={_target_: named_by_settings.Validate, tasks: 7}", "train.validate_every_steps=2")
    )
    assert seen == [(2, "PeftModelForCausalLM"), (4, "PeftModelForCausalLM")]


def test_a_callback_that_is_not_there_is_refused(settings):
    with pytest.raises(UserError, match="nowhere.Class' can't be imported"):
        sft.main(settings("+train.callback={_target_: nowhere.Class}"))


def inits(monkeypatch) -> list[dict[str, Any]]:
    """How W&B was asked for a run, each time; a stand-in takes its place."""
    asked: list[dict[str, Any]] = []
    fake: Any = ModuleType("wandb")
    fake.init = lambda **options: asked.append(options) or nullcontext()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    for name in ("MODE", "PROJECT", "DIR", "RUN_ID", "NAME"):
        monkeypatch.delenv(f"WANDB_{name}", raising=False)
    monkeypatch.setenv("WANDB_MODE", "")  # is set by the run, and put back
    return asked


@pytest.mark.parametrize(
    ("asked", "key", "mode"), [("online", "", "offline"), ("online", "k", "online"), ("disabled", "k", "disabled")]
)
def test_wandb_never_asks_for_a_key(settings, monkeypatch, tmp_path, asked, key, mode):
    found = inits(monkeypatch)
    monkeypatch.setenv("WANDB_API_KEY", key)
    (tmp_path / sft.CHECKPOINTS).mkdir()
    with sft.wandb_run(settings(f"train.wandb={asked}"), tmp_path, fresh=True):
        assert os.environ["WANDB_MODE"] == mode
    assert [init["mode"] for init in found] == ([] if asked == "disabled" else [mode])


def test_a_run_that_goes_on_is_the_same_run_in_wandb(settings, monkeypatch, tmp_path):
    found, config = inits(monkeypatch), settings("train.wandb=offline", "name=mine")
    (tmp_path / sft.CHECKPOINTS).mkdir()
    for fresh in (True, False, True):  # killed after a checkpoint, and then begun anew
        with sft.wandb_run(config, tmp_path, fresh):
            pass
    first, again, other = (init["id"] for init in found)
    assert first == again != other and len(first) == 8
    for init in found:
        assert [init[name] for name in ("resume", "project", "dir", "name")] == [
            "allow",
            "midsentence",
            str(tmp_path),
            "mine",
        ]
    monkeypatch.setenv("WANDB_RUN_ID", "mine")
    with sft.wandb_run(config, tmp_path, fresh=False):
        pass
    assert found[-1]["id"] == "mine"


def test_the_last_line_is_of_the_whole_run(settings, tmp_path, monkeypatch, capsys):
    whole, broken = (settings("train.checkpoint_every_steps=2", f"out={tmp_path / name}") for name in "ab")
    sft.main(whole)
    with monkeypatch.context() as patch:
        kill_at(4, patch)
        with pytest.raises(Killed):
            sft.main(broken)
    note = latest(tmp_path / "b" / sft.CHECKPOINTS) / "spent.json"
    spent = json.loads(note.read_text())
    assert (spent["steps"], spent["losses"]) == (2, pytest.approx(sum(losses(tmp_path / "a")[:2]), rel=1e-4))
    note.write_text(json.dumps(spent | {"elapsed_s": 5000.0}))
    capsys.readouterr()
    sft.main(broken)
    ended, undisturbed = (json.loads((tmp_path / name / "manifest.json").read_text())["metrics"] for name in "ba")
    assert ended["loss"] == pytest.approx(undisturbed["loss"], rel=1e-9) and ended["elapsed_s"] >= 5000
    assert undisturbed["loss"] == pytest.approx(sum(losses(tmp_path / "a")) / 5, rel=1e-4)
    assert "5 steps (the last 3 after a resume) in 50" in capsys.readouterr().out


def test_a_line_says_how_long_the_rest_will_take(tmp_path, monkeypatch, capsys):
    watch, now = Watch(tmp_path), iter([100.0, 130.0])
    monkeypatch.setattr("training.watch.time.perf_counter", lambda: next(now))
    monkeypatch.setattr("sys.stderr.isatty", lambda: False, raising=False)
    state = SimpleNamespace(is_world_process_zero=True, global_step=40, max_steps=100)
    watch.on_train_begin(None, state, None)  # goes on from step 40, so that the steps before tell nothing of the pace
    state.global_step = 50
    watch.on_log(None, state, None, {"loss": 1.0, "targets": 10})
    assert capsys.readouterr().err.strip().endswith("2 min left")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(4.4, "4 s"), (99, "99 s"), (150, "2 min"), (5990, "100 min"), (6000, "1.7 h"), (86400, "24.0 h")],
)
def test_lengths_of_time_are_said_to_the_eye(seconds, said):
    assert lasting(seconds) == said


def test_a_checkpoint_without_its_tokenizer_is_refused(settings):
    config = settings()
    sft.main(config)
    (Path(config.out) / "tokenizer.json").unlink()
    with pytest.raises(FileNotFoundError, match="has no tokenizer.json"):
        load_model("tiny", config.out)


def test_training_goes_on_from_an_adapter(settings, tmp_path):
    first = settings("train.learning_rate=0.01")
    sft.main(first)
    for n, (rate, same) in enumerate([(0.0, True), (0.01, False)]):
        more = settings(f"train.learning_rate={rate}", f"model.adapter={first.out}", f"out={tmp_path / f'more-{n}'}")
        sft.main(more)
        before, after = weights(Path(first.out)), weights(Path(more.out))
        assert before.keys() == after.keys()
        assert all(torch.equal(before[name], after[name]) for name in before) is same
        assert losses(Path(more.out))[0] < losses(Path(first.out))[0] - 0.2  # it begins with what was learned
    assert sft.recipe(first) != sft.recipe(more)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["train.lora_rank=4"], "set train.lora_.* as in its config.yaml"),
        (["train.lora_targets=[q_proj]"], "set train.lora_.* as in its config.yaml"),
        (
            ["train.lora_targets=[q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj]"],
            "set train.lora_.* as in its config.yaml",
        ),
        (["train.method=full"], "only LoRA goes on from an adapter"),
    ],
)
def test_an_adapter_that_does_not_fit_is_refused(settings, tmp_path, options, says):
    first = settings(
        "train.max_steps=1", "train.lora_targets=[q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj]"
    )
    sft.main(first)
    with pytest.raises(UserError, match=says):
        sft.main(settings("train.max_steps=1", f"model.adapter={first.out}", f"out={tmp_path / 'more'}", *options))
