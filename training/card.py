"""The README.md of whatever is published: an exported model, an adapter, a folder of trajectories.

Owns the cards' words, the front matter that the hub reads, and which licence a base model's weights are under. Does not
know how well a model does: a card quotes what the training run measured.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from midsentence.core.protocol import EDITION
from midsentence.models.folders import hub_id
from midsentence.rendering.renderer import turns_of

LICENCES: Mapping[str, Mapping[str, str]] = {
    "HuggingFaceTB/SmolLM2-135M-Instruct": {"license": "apache-2.0"},
    "Qwen/Qwen2.5-3B-Instruct": {
        "license": "other",
        "license_name": "qwen-research",
        "license_link": "https://huggingface.co/Qwen/Qwen2.5-3B-Instruct/blob/main/LICENSE",
    },
    "meta-llama/Llama-3.2-3B-Instruct": {"license": "llama3.2"},
}
"""Of the models that the settings name. What is trained from them is under the same."""
TAG = "midsentence"


def export_card(settings: Mapping[str, Any], manifest: Mapping[str, Any], name: str) -> str:
    """The card of an exported model in a folder ``name``: a model of its own, which transformers loads as it is."""
    tokens = settings["model"]["tags"] == "token"
    alone = "" if tokens else "; those that are text must be given to them as stop strings"
    load = f"""```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("{name}")
tokenizer = AutoTokenizer.from_pretrained("{name}")
```
It reads and writes the transcripts of *midsentence*, not a chat. To talk to it, with that code at hand and these files in a folder:

    midsentence serve --adapter FOLDER{_options(settings)}

An action ends with `</answer>`, `</tool_call>` or `<pause>`. Those that are tokens are ends of a text in
`generation_config.json` and in the GGUF file, so that
transformers, vLLM and llama.cpp stop at them by themselves{alone}."""
    return _model_card(settings, manifest, load, {"library_name": "transformers", "pipeline_tag": "text-generation"})


def adapter_card(settings: Mapping[str, Any], manifest: Mapping[str, Any], name: str) -> str:
    """The card of a run's adapter, called ``name``, or of its weights where all were trained."""
    if settings["train"]["method"] == "full":
        return export_card(settings, manifest, name)
    base = settings["model"]["name"]
    load = f"""```python
from peft import AutoPeftModelForCausalLM
from transformers import AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("{name}")
model = AutoPeftModelForCausalLM.from_pretrained("{name}")
```
It reads and writes the transcripts of *midsentence*, not a chat. To talk to it, with that code at hand:

    hf download {name} --local-dir adapter
    midsentence serve --model {base} --adapter adapter{_options(settings)}

The adapter holds the rows of the tokens that were added; the tokenizer here has them, the base model's has not."""
    return _model_card(settings, manifest, load, {"library_name": "peft"})


def _options(settings: Mapping[str, Any]) -> str:
    """The form that a model was trained in, as options of ``midsentence serve``."""
    stamps, turns = settings["clock"]["stamps"], settings["model"].get("turns")
    return (f" --turns {turns}" if turns else "") + (f" --stamps {stamps}" if stamps != "none" else "")


def _form(settings: Mapping[str, Any]) -> str:
    """The form that data were made in, as settings of a command."""
    stamps, turns = settings["clock"]["stamps"], settings["model"].get("turns")
    parts = [f" model.tags={settings['model']['tags']}" if settings["model"]["tags"] != "token" else ""]
    return "".join(
        [*parts, f" model.turns={turns}" if turns else "", f" clock.stamps={stamps}" if stamps != "none" else ""]
    )


def _model_card(settings: Mapping[str, Any], manifest: Mapping[str, Any], load: str, more: Mapping[str, str]) -> str:
    git, metrics, train = manifest.get("git", {}), manifest.get("metrics", {}), settings["train"]
    commit = git.get("commit", "unknown") + (" (with changes)" if git.get("dirty") else "")
    data = "\n".join(
        f"- `{folder}`: {count['rows']} trajectories ({count['dropped']} too long, dropped; {count['cut']} cut)"
        for folder, count in manifest.get("data", {}).items()
    )
    name = settings["model"]["name"]
    base = hub_id(name)
    licence = dict(LICENCES.get(base or "", {}))
    under = licence.get("license_name", licence.get("license"))
    tags = settings["model"]["tags"]
    return f"""{_front(dict(more) | licence | ({"base_model": base} if base else {}))}
# {settings["name"]}

`{base or name}` trained with *midsentence* to call tools while its user is still speaking.
Protocol edition {EDITION}; tags: {tags}; turns: {turns_of(tags, settings["model"].get("turns"))}; clock stamps:
{settings["clock"]["stamps"]}; tokenizer {manifest.get("tokenizer")}.
{f"The weights are under the base model's licence, {under}." if under else "The weights are under the base model's licence; look it up."}

## How to load
{load}

## Data
{data}

## Training
{train["method"]}, {manifest.get("steps")} steps, {manifest.get("tokens")} tokens, learning rate {train["learning_rate"]},
seed {manifest.get("seed")}, commit {commit}. All settings are in `training-config.yaml`, or in `config.yaml` beside an adapter.

## Results
Mean training loss {metrics.get("loss", float("nan")):.3f}. Success, latency and safety are measured by `eval.replay`.
"""


def data_card(settings: Mapping[str, Any], manifest: Mapping[str, Any], name: str) -> str:
    """The card of a folder of trajectories, called ``name``; the hub and `datasets` read from it which file is of which
    split."""
    files = manifest.get("files", {})
    splits = {
        split: manifest["shards"][split] for split in ("train", "validation", "test") if manifest["shards"].get(split)
    }
    rows = {split: sum(files[shard]["rows"] for shard in shards if shard in files) for split, shards in splits.items()}
    places = [{"split": split, "path": list(shards)} for split, shards in splits.items()]
    configs = [{"config_name": "default", "data_files": places}]
    counts = "\n".join(f"| {split} | {count} |" for split, count in rows.items())
    source, git = settings["data"]["source"], manifest.get("git", {})
    return f"""{_front({"configs": configs})}
# {settings["name"]}

Recorded episodes of *midsentence*: requests of source `{source}`, heard word by word, and what an agent that calls tools while its user
is speaking should write. Rows are token ids of one tokenizer ({manifest.get("tokenizer")}) with their loss mask; protocol edition
{EDITION}. The licence is that of the source's requests.

| split | trajectories |
|---|---:|
{counts}

## How to load
```python
from datasets import load_dataset

rows = load_dataset("{name}", split="train")
```
To train on it, with *midsentence* at hand:

    hf download {name} --repo-type dataset --local-dir data
    python -m training.sft model.name={settings["model"]["name"]} 'train.data=[data]'{_form(settings)}

## How it was made
`python -m data_gen.generate` with the settings in `config.yaml`, seed {manifest.get("seed")}, commit {git.get("commit", "unknown")}.
"""


def _front(fields: Mapping[str, Any]) -> str:
    """Front matter as YAML, of which JSON is a part."""
    lines = (f"{key}: {json.dumps(value) if isinstance(value, list) else value}" for key, value in fields.items())
    return "\n".join(["---", *lines, f"tags: [{TAG}]", "---"])
