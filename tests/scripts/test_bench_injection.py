"""The injection benchmark finds nothing in the real renderer, and finds each bug that is planted in it."""

from __future__ import annotations

import html
import json

import pytest
from transformers import AutoTokenizer

from midsentence.core.lines import write_call
from midsentence.core.protocol import TAGS
from midsentence.models import folders
from midsentence.rendering import renderer
from scripts import bench_injection


@pytest.fixture(scope="module")
def tiny():
    return {"tiny": AutoTokenizer.from_pretrained(folders.resolve("tiny"))}


def test_nothing_is_forged_on_the_real_tokenizers(qwen_tokenizer, llama_tokenizer, smollm2_tokenizer):
    real = {"qwen": qwen_tokenizer, "llama": llama_tokenizer, "smollm2": smollm2_tokenizer}
    report = bench_injection.measure(real, seed=0, count=350)
    assert report["tried"] >= 3000
    assert (report["forged"], report["changed"]) == (0, 0) and report["harmless"] > 150


def test_nothing_is_forged_in_any_form_on_the_tiny_one(tiny):
    report = bench_injection.measure(tiny, seed=1)
    assert report["tried"] > 5000
    assert (report["forged"], report["changed"]) == (0, 0)


def tags_broken(text: str) -> str:
    for tag in TAGS:
        text = text.replace(tag, "&lt;" + tag[1:])
    return text


BROKEN = {
    "nothing is broken": lambda text: text,
    "lines are not folded": tags_broken,
    "full-width brackets and capitals pass": lambda text: tags_broken(" ".join(text.splitlines())),
    "tags are stripped once": lambda text: " ".join(text.replace("<think>", "").replace("<pause>", "").splitlines()),
    "one tag alone is broken": lambda text: " ".join(text.replace("<tool_call>", "&lt;tool_call>").splitlines()),
}


@pytest.mark.parametrize("bug", BROKEN)
def test_a_forgery_that_gets_through_is_caught(tiny, monkeypatch, bug):
    monkeypatch.setattr(renderer, "as_data", lambda text: BROKEN[bug](text.replace("\ud83d", "")))
    assert bench_injection.measure(tiny, seed=0, count=400)["forged"] > 0


def test_harmless_text_that_is_changed_is_caught(tiny, monkeypatch):
    monkeypatch.setattr(renderer, "as_data", lambda text: html.escape(text.replace("\ud83d", ""), quote=False))
    assert bench_injection.measure(tiny, seed=0, count=20)["changed"] > 0


def test_a_call_line_that_changes_its_text_is_caught(tiny, monkeypatch):
    monkeypatch.setattr(bench_injection, "write_call", lambda *call: write_call(*call).replace("&", "&amp;"))
    assert bench_injection.measure(tiny, seed=0, count=20)["changed"] > 0


def test_data_tokenised_with_special_tokens_recognised_is_caught(tiny, monkeypatch):
    def encode(self, text):
        return tuple(self._backend.encode(text.replace("&lt;", "<").replace("&gt;", ">"), add_special_tokens=False).ids)

    monkeypatch.setattr(renderer.Renderer, "_encode", encode)
    assert bench_injection.measure(tiny, seed=0, count=400)["forged"] > 0


def test_another_course_of_the_episode_is_caught(tiny, monkeypatch):
    planned = bench_injection._Script.plan

    def obey(self, state):
        if any("REMOVE 1" in segment.text for segment in state.transcript):
            return '<tool_call>\n2. send("forged")\n</tool_call>'
        return planned(self, state)

    monkeypatch.setattr(bench_injection._Script, "plan", obey)
    assert bench_injection.measure(tiny, seed=0, count=400)["forged"] > 0


def test_the_command_prints_one_line_of_json(capsys):
    assert bench_injection.main(["--tokenizers", "tiny", "--count", "20"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["bench"], report["tokenizers"], report["forged"]) == ("injection", ["tiny"], 0)
    assert report["tried"] >= 40


def test_a_tokenizer_that_is_not_there_is_named(capsys):
    assert bench_injection.main(["--tokenizers", "no/such-tokenizer"]) == 2
    assert "no/such-tokenizer" in capsys.readouterr().err
