"""To the hub by name: what goes there and how it is asked for, by the hub's own client against a server on the
loopback."""

from __future__ import annotations

import base64
import json
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import HfApi, constants

from data_gen.trajectory import BadData, read_manifest
from midsentence.ending import UserError
from midsentence.models.load import adapter_folder
from training import export, push, sft
from training.card import LICENCES, adapter_card, data_card

HUB = "me/streaming"


class Server(ThreadingHTTPServer):
    """Takes what the client sends, as the hub does; nothing is big enough for its other ways."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, Any]] = []
        self.keys: set[str] = set()
        self.files: dict[str, bytes] = {}
        self.refuses = False


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.keys.add(self.headers["Authorization"])
        lines = [json.loads(line) for line in body.split("\n") if line]
        self.server.asked.append((self.path, lines if "/commit/" in self.path else lines[0]))
        address = f"http://127.0.0.1:{self.server.server_address[1]}"
        given: dict[str, Any] = {"url": f"{address}/{'datasets/' if lines[0].get('type') == 'dataset' else ''}{HUB}"}
        if self.server.refuses:
            self.send_response(403)
            given = {"error": "you may not"}
        else:
            self.send_response(200)
        if "preupload" in self.path:
            given = {
                "files": [
                    {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False}
                    for f in json.loads(body)["files"]
                ]
            }
        if "/commit/" in self.path:
            for item in (line["value"] for line in lines if line["key"] == "file"):
                self.server.files[item["path"]] = base64.b64decode(item["content"])
            given = {"commitUrl": f"{address}/{HUB}/commit/1", "commitOid": "1", "success": True}
        data = json.dumps(given).encode()
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def hub(monkeypatch):
    server = Server()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    address = f"http://127.0.0.1:{server.server_address[1]}"
    monkeypatch.setattr(push, "send", partial(push.send, api=partial(HfApi, endpoint=address)))
    yield server
    server.shutdown()
    server.server_close()


def front(card: bytes) -> dict[str, Any]:
    return yaml.safe_load(card.decode().split("---\n")[1])


def test_a_folder_of_trajectories_is_a_data_set(hub, settings, debug_data, tmp_path, capsys):
    push.main(settings(f"path={debug_data}", f"hub={HUB}"))
    made = next(body for path, body in hub.asked if path == "/api/repos/create")
    assert (made["name"], made["organization"], made["type"]) == ("streaming", "me", "dataset")
    assert made.get("private") is True or made.get("visibility") == "private"
    shards = sorted(path.name for path in debug_data.glob("*.parquet"))
    assert sorted(hub.files) == sorted([*shards, "README.md", "config.yaml", "manifest.json"])
    for name in shards:
        assert hub.files[name] == (debug_data / name).read_bytes()
    assert hub.keys == {"Bearer hf_secret"}
    card = hub.files["README.md"].decode()
    places = front(hub.files["README.md"])["configs"][0]["data_files"]
    assert [place["split"] for place in places] == ["train", "validation", "test"]
    assert {place["split"]: place["path"] for place in places} == read_manifest(debug_data)["shards"]
    assert "| train | 12 |" in card and f'load_dataset("{HUB}", split="train")' in card
    out = capsys.readouterr().out
    assert "hf_secret" not in out and out.splitlines()[-1].startswith("dataset: ")
    # and the way back: the files alone are a folder to train on, and `datasets` finds the splits by the card
    back = tmp_path / "back"
    back.mkdir()
    for name, content in hub.files.items():
        (back / name).write_bytes(content)
    assert read_manifest(back)["shards"].keys() == {"train", "validation", "test"}
    from datasets import load_dataset

    rows = load_dataset(str(back), cache_dir=str(tmp_path / "cache"))
    assert {split: len(rows[split]) for split in rows} == {"train": 12, "validation": 2, "test": 2}


def test_an_adapter_names_its_base_model_as_the_hub_does(hub, settings):
    config = settings("train.max_steps=1")
    sft.main(config)
    folder = Path(config.out)
    (folder / "secret.txt").write_text("mine")
    push.main(settings(f"path={folder}", f"hub={HUB}", "private=false"))
    made = next(body for path, body in hub.asked if path == "/api/repos/create")
    assert made["type"] == "model" if "type" in made else True
    assert made.get("private") is False or made.get("visibility") == "public"
    weights = {"adapter_model.safetensors", "adapter_config.json"}
    assert weights | {"tokenizer.json", "protocol.json", "base.json", "README.md"} <= hub.files.keys()
    assert not {"secret.txt", "log.jsonl"} & hub.files.keys()
    local = json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"]
    assert local.startswith("/") and json.loads(hub.files["adapter_config.json"])["base_model_name_or_path"] == "tiny"
    assert local.encode() not in b"".join(hub.files.values())
    found = push._adapter_config(folder, {"model": {"name": "smollm2"}})
    assert json.loads(found)["base_model_name_or_path"] == "HuggingFaceTB/SmolLM2-135M-Instruct"


def test_an_export_goes_with_its_own_card(hub, settings, tmp_path):
    config = settings("train.max_steps=1")
    sft.main(config)
    export.main(settings(f"path={config.out}", f"out={tmp_path / 'model'}"))
    assert 'AutoModelForCausalLM.from_pretrained("model")' in (tmp_path / "model/README.md").read_text()
    push.main(settings(f"path={tmp_path / 'model'}", f"hub={HUB}"))
    assert f'AutoModelForCausalLM.from_pretrained("{HUB}")' in hub.files["README.md"].decode()
    assert {
        "model.safetensors",
        "config.json",
        "generation_config.json",
        "training-config.yaml",
        "protocol.json",
    } <= hub.files.keys()


@pytest.mark.parametrize("name", LICENCES)
def test_cards_say_base_licence_and_how_to_load(name):
    model = {"name": "smollm2" if "SmolLM2" in name else name, "tags": "token"}
    settings = {
        "name": "mine",
        "model": model,
        "clock": {"stamps": "text"},
        "train": {"method": "lora", "learning_rate": 1e-3},
    }
    card = adapter_card(settings, {"seed": 0}, HUB)
    fields = front(card.encode())
    assert fields["base_model"] == name and fields["library_name"] == "peft"
    assert {key: fields[key] for key in LICENCES[name]} == LICENCES[name]
    assert f'AutoPeftModelForCausalLM.from_pretrained("{HUB}")' in card
    assert f"midsentence serve --model {model['name']} --adapter adapter --stamps text" in card
    settings["train"]["method"] = "full"
    assert f'AutoModelForCausalLM.from_pretrained("{HUB}")' in adapter_card(settings, {"seed": 0}, HUB)
    data = data_card(
        settings | {"data": {"source": "bfcl"}},
        {"shards": {"train": ["a"], "test": []}, "files": {"a": {"rows": 3}}},
        HUB,
    )
    assert "| train | 3 |" in data and len(front(data.encode())["configs"][0]["data_files"]) == 1


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ([], "hub=nothing is no name of a repository; give hub=OWNER/NAME"),
        (["hub=alone"], "hub=alone is no name of a repository"),
        (["hub=me/x"], "path=nothing holds no trajectories, no finished checkpoint and no exported model"),
    ],
)
def test_what_can_not_be_sent_is_refused(hub, settings, options, says):
    with pytest.raises(UserError, match=says):
        push.main(settings(*options))
    assert hub.asked == []


def test_the_key_comes_from_the_environment_and_is_never_said(hub, settings, debug_data, monkeypatch):
    hub.refuses = True
    with pytest.raises(
        UserError, match=f"the hub did not take {HUB} .*403.*see that the key may write there"
    ) as refused:
        push.main(settings(f"path={debug_data}", f"hub={HUB}"))
    assert "hf_secret" not in str(refused.value)
    monkeypatch.delenv("HF_TOKEN")
    asked = len(hub.asked)
    with pytest.raises(UserError, match="HF_TOKEN is not set"):
        push.main(settings(f"path={debug_data}", f"hub={HUB}"))
    assert len(hub.asked) == asked


def test_a_name_on_the_hub_in_the_place_of_a_folder_says_how_to_fetch_it():
    with pytest.raises(FileNotFoundError, match=f"if it is on the hub: hf download {HUB} --local-dir FOLDER"):
        adapter_folder(HUB)
    with pytest.raises(BadData, match=f"hf download {HUB} --repo-type dataset --local-dir FOLDER"):
        read_manifest(Path(HUB))
