"""The benchmark of a vLLM server, against the one on the loopback."""

from __future__ import annotations

import json

from midsentence.models.checkpoint import load_model
from midsentence.models.transformers import TransformersModel
from scripts import bench_vllm
from tests.midsentence.models.vllm_server import BLOCK, FakeVllm


def test_it_tells_what_appends_and_interruptions_cost_and_that_the_tokens_are_the_same(capsys):
    model, tokenizer = load_model("tiny", None, "float32")
    with FakeVllm(TransformersModel(model, tokenizer=tokenizer)).running() as fake:
        few = ["--sessions", "1", "3", "--tokens", "4", "--interruptions", "1", "--requests", "2"]
        bench_vllm.main(["--server", fake.url, "--model", "tiny", *few])
        report = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert report["agreement"] == 1 and report["requests"] == 2
        assert report["appended_tokens"] <= report["computed_tokens"] < report["sent_tokens"] / 5
        assert report["most_beyond_its_own"] <= BLOCK
        assert 0 <= report["tokens_in_vain_max"] < 256
        assert report["tokens_per_s_of_1"] > 0 and report["tokens_per_s_of_3"] > 0
        again = bench_vllm.appends(
            bench_vllm.load_runtime("tiny", None, "float32", "vllm", server=fake.url),
            bench_vllm.load_renderer("tiny", "text", "none", None),
        )
        assert again["computed_tokens"] == report["computed_tokens"]  # the run before left nothing that would be found
        with_counter = bench_vllm.written_tokens(fake.url)
    assert with_counter == fake.tokens > 0
