"""Other wordings from an endpoint: checked, kept in a file, and never required. The endpoint here is a loopback
server."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from configs.schema import Config, DataConfig, ModelConfig, ParaphraseConfig
from data_gen import generate, sources
from data_gen.tasks.assistant.templates import Template, parts_of, templates
from data_gen.tasks.paraphrase import PROMPT, TRIES, NoAnswer, Paraphraser, Unusable, plain, reworded
from midsentence.ending import UserError

SMS = Template("sms: text {to} that {message}", "sms", tuple(parts_of("text^ {to} that {message}")))


class Endpoint:
    """Speaks the protocol; ``reply`` gives status and body for a wording."""

    def __init__(self, reply: Callable[[str], tuple[int, bytes]]) -> None:
        self.asked: list[dict] = []
        self.keys: list[str | None] = []
        self.paths: list[str] = []
        self.location = ""
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                endpoint.asked.append(body)
                endpoint.keys.append(self.headers["Authorization"])
                endpoint.paths.append(self.path)
                status, data = reply(body["messages"][-1]["content"])
                if status:
                    self.send_response(status)
                    if endpoint.location:
                        self.send_header("Location", endpoint.location)
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)
                else:
                    endpoint.stopped.wait(5)  # says nothing until the test is over

            def log_message(self, *_) -> None:
                pass

        self.stopped = threading.Event()
        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"

    def stop(self) -> None:
        self.stopped.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def serve(monkeypatch) -> Iterator[Callable[..., Endpoint]]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    running: list[Endpoint] = []

    def start(reply: Callable[[str], tuple[int, bytes]]) -> Endpoint:
        running.append(Endpoint(reply))
        return running[-1]

    yield start
    for endpoint in running:
        endpoint.stop()


def completion(text: str) -> tuple[int, bytes]:
    return 200, json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]}).encode()


def asker(url: str, folder: Path, **more) -> Paraphraser:
    return Paraphraser(ParaphraseConfig(url=url, model="some-model", cache=str(folder / "cache.jsonl"), **more))


def test_a_wording_is_asked_for_with_its_slots_and_the_key_and_kept(serve, tmp_path, monkeypatch):
    monkeypatch.setenv("SOME_KEY", "sk-very-secret")
    endpoint = serve(lambda text: completion("would you kindly text {to} that {message}\n"))
    first = asker(endpoint.url, tmp_path, key_env="SOME_KEY")
    found = first.all([SMS])[SMS.id]
    assert (
        plain(found) == "would you kindly text {to} that {message}"
        and found.intent == "sms"
        and found.slots == SMS.slots
    )
    assert [part.text for part in found.parts if part.mark] == ["text"]
    [body] = endpoint.asked
    assert body["model"] == "some-model" and body["messages"][0]["content"] == PROMPT
    assert body["messages"][1]["content"] == "text {to} that {message}"
    assert endpoint.keys == ["Bearer sk-very-secret"] and endpoint.paths == ["/v1/chat/completions"]
    record = first.record()
    assert (
        record["model"] == "some-model"
        and record["prompt"] == PROMPT
        and record["reworded"] == 1
        and record["kept"] == 0
    )
    assert "secret" not in json.dumps(record) + (tmp_path / "cache.jsonl").read_text()
    again = asker(endpoint.url, tmp_path)
    assert again.all([SMS]) == {SMS.id: found} and len(endpoint.asked) == 1


FAULTS = {
    "a missing slot": (completion("text someone that {message}"), "slot {to} occurs 0 times, not 1", 1),
    "a doubled slot": (completion("text {to} or {to} that {message}"), "slot {to} occurs 2 times, not 1", 1),
    "a new slot": (completion("text {to} that {message} at {when}"), "slot {when} occurs 1 times, not 0", 1),
    "a slot inside a word": (completion("text x{to} that {message}"), "a placeholder is no word of its own", 1),
    "an explanation": (completion('Sure: "text {to} that {message}"'), "it is empty, or holds one of", 1),
    "nothing": (completion(" "), "it is empty, or holds one of", 1),
    "a wording there is": (completion("text {to} saying {message}"), "it is another template's wording", 1),
    "a refusal": ((400, b"no"), "the endpoint: HTTP 400; delete this line of the cache to ask again", 1),
}
SILENT = {
    "no JSON": ((200, b"<html>"), "its reply is no chat completion in JSON; give its base", 1),
    "another JSON": ((200, b'{"choices": []}'), "its reply is no chat completion in JSON; give its base", 1),
    "a server's error": ((500, b"no"), "HTTP 500; mend that, or leave it empty (0 answers are in ", TRIES),
    "too many requests": ((429, b"no"), "HTTP 429; ", TRIES),
    "a wrong key": ((401, b"no"), "HTTP 401; ", 1),
    "a wrong address": ((404, b"no"), "HTTP 404; ", 1),
    "silence": ((0, b""), "no answer within 0.1 s; ", TRIES),
}
"""No answers: status and body, what is said, and how often it is asked."""


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_counted_and_leaves_the_wording_as_it_is(serve, tmp_path, fault):
    reply, why, times = FAULTS[fault]
    endpoint = serve(lambda text: reply)
    first = asker(endpoint.url, tmp_path)
    assert first.all([SMS]) == {}
    record = first.record()
    assert record["kept"] == 1 and record["reworded"] == 0
    [(reason, count)] = record["reasons"].items()
    assert reason.startswith(why) and count == 1
    assert len(endpoint.asked) == times
    again = asker(endpoint.url, tmp_path)  # the same data again, though the endpoint may answer otherwise by now
    asked = len(endpoint.asked)
    assert again.all([SMS]) == {} and again.record()["reasons"] == record["reasons"]
    assert len(endpoint.asked) == asked


@pytest.mark.parametrize("fault", SILENT)
def test_no_answer_ends_the_run_and_is_no_answer_the_next_time(serve, tmp_path, fault):
    """A failure that was kept as an answer made other data of the same command, for ever."""
    reply, why, times = SILENT[fault]
    replies = [reply] * times
    endpoint = serve(lambda text: replies.pop() if replies else completion("would you kindly text {to} that {message}"))
    first = asker(endpoint.url, tmp_path, timeout_s=0.1 if fault == "silence" else 10.0)
    with pytest.raises(NoAnswer) as raised:
        first.all([SMS])
    assert why in str(raised.value) and str(raised.value).startswith("data.paraphrase.url")
    assert not (tmp_path / "cache.jsonl").exists()
    if fault == "silence":
        endpoint.stopped.set()
        replies.clear()
    else:
        assert len(endpoint.asked) == times
    assert len(asker(endpoint.url, tmp_path).all([SMS])) == 1


def test_an_endpoint_that_goes_away_ends_the_run_and_what_it_said_is_kept(tmp_path, serve):
    many = templates("sms", "train")[:3]
    answers = [completion(f"kindly {plain(many[0])}")]
    endpoint = serve(lambda text: answers.pop() if answers else (503, b""))
    with pytest.raises(NoAnswer, match="HTTP 503; .*1 answers are in .*, and the same command goes on from there"):
        asker(endpoint.url, tmp_path).all(many)
    assert len(endpoint.asked) == 1 + TRIES
    endpoint.stop()
    with pytest.raises(NoAnswer, match="can't be reached"):
        asker(endpoint.url, tmp_path).all(many)
    assert len((tmp_path / "cache.jsonl").read_text().splitlines()) == 1


def test_a_failure_that_an_earlier_version_kept_is_asked_about_again(tmp_path, serve):
    endpoint = serve(lambda text: completion("kindly text {to} that {message}"))
    asker(endpoint.url, tmp_path).all([SMS])
    path = tmp_path / "cache.jsonl"
    entry = json.loads(path.read_text())
    path.write_text(json.dumps({"key": entry["key"], "error": "the endpoint: HTTP 500"}) + "\n")
    assert len(asker(endpoint.url, tmp_path).all([SMS])) == 1 and len(endpoint.asked) == 2


def test_half_a_line_in_the_file_is_counted_and_asked_again(serve, tmp_path):
    endpoint = serve(lambda text: completion("kindly text {to} that {message}"))
    asker(endpoint.url, tmp_path).all([SMS])
    path = tmp_path / "cache.jsonl"
    path.write_text(path.read_text()[:30] + "\n")
    again = asker(endpoint.url, tmp_path)
    assert len(again.all([SMS])) == 1 and len(endpoint.asked) == 2
    assert again.record()["reasons"] == {f"{path}:1 is no entry": 1}


def test_an_answer_may_hold_what_ends_a_line_elsewhere(serve, tmp_path):
    endpoint = serve(lambda text: completion("kindly text {to} that {message}\u2028"))
    asker(endpoint.url, tmp_path).all([SMS])
    again = asker(endpoint.url, tmp_path)
    again.all([SMS])
    assert len(endpoint.asked) == 1 and not any("is no entry" in reason for reason in again.record()["reasons"])


def test_marks_stand_where_the_new_words_make_the_tool_clear():
    late = reworded(SMS, "let {to} know this {message} right away")
    assert [(part.text, part.mark) for part in late.parts if part.mark] == [("away", 1)]
    chain = Template("s: email {to} a summary of {file}", "s", tuple(parts_of("email^ {to} a summary^^ of {file}")))
    kept = reworded(chain, "please email {to} the summary for {file}")
    assert [(part.text, part.mark) for part in kept.parts if part.mark] == [("email", 1), ("summary", 2)]
    with pytest.raises(Unusable, match="the words that make its tools clear are gone, or in another order"):
        reworded(chain, "the summary of {file} email it to {to}")


def config(folder: Path, url: str, **more) -> Config:
    paraphrase = ParaphraseConfig(url=url, model="m", cache=str(folder / "cache.jsonl"))
    data = DataConfig(source="assistant", sizes={"train": 14}, shard_rows=3, paraphrase=paraphrase, **more)
    return Config(out=str(folder / "data"), data=data, model=ModelConfig(name="tiny"))


def test_generated_data_has_the_wordings_and_its_manifest_says_whose_they_are(serve, tmp_path):
    endpoint = serve(lambda text: completion(f"my friend {text} right now"))
    made = config(tmp_path, endpoint.url)
    generate.main(made)
    asked = len(endpoint.asked)
    manifest = json.loads((tmp_path / "data" / "manifest.json").read_text())
    record = manifest["paraphrase"]["train"]
    assert record["model"] == "m" and record["prompt"] == PROMPT and record["reworded"] == asked > 100
    shards = {path.name: path.read_bytes() for path in (tmp_path / "data").glob("*.parquet")}
    requests = [task.request for task in sources.load(made, "train")]
    assert any("my friend" in request for request in requests) and not all(
        "my friend" in request for request in requests
    )
    for path in (tmp_path / "data").iterdir():
        path.unlink()
    endpoint.stop()  # the file is enough
    generate.main(made)
    assert {path.name: path.read_bytes() for path in (tmp_path / "data").glob("*.parquet")} == shards


def test_without_an_endpoint_nothing_changes_and_a_half_given_one_is_refused(tmp_path):
    plain_data = config(tmp_path, "")
    assert sources.rewordings(plain_data, "train") == ({}, {})
    data = DataConfig(source="assistant", sizes={"train": 14}, shard_rows=3)
    bare = Config(out=plain_data.out, data=data, model=ModelConfig(name="tiny"))
    assert (
        generate.recipe(plain_data)
        == generate.recipe(bare)
        != generate.recipe(config(tmp_path, "http://127.0.0.1:1/v1"))
    )
    nameless = config(tmp_path, "http://127.0.0.1:1/v1")
    nameless.data.paraphrase.model = ""
    with pytest.raises(ValueError, match="data.paraphrase.model is empty; name the model to ask"):
        sources.load(nameless, "train")
    nameless.data.source = "debug"
    with pytest.raises(ValueError, match="data.paraphrase is for source assistant, not 'debug'"):
        sources.rewordings(nameless, "train")


def test_a_redirect_is_not_followed_so_that_no_other_host_gets_the_key(serve, tmp_path, monkeypatch):
    monkeypatch.setenv("SOME_KEY", "sk-very-secret")
    other = serve(lambda text: completion("would you kindly text {to} that {message}"))
    first = serve(lambda text: (302, b""))
    first.location = f"{other.url}/chat/completions"
    asked = asker(first.url, tmp_path, key_env="SOME_KEY")
    with pytest.raises(NoAnswer, match="HTTP 302, a redirect; give the address that it leads to"):
        asked.all([SMS])
    assert (len(first.asked), other.keys, other.asked) == (1, [], [])


def test_a_user_in_the_address_is_a_header_and_is_recorded_nowhere(serve, tmp_path):
    endpoint = serve(lambda text: completion("would you kindly text {to} that {message}"))
    asked = asker(endpoint.url.replace("://", "://me:sk%2Dvery-secret@"), tmp_path)
    assert asked.all([SMS])
    assert endpoint.keys == ["Basic bWU6c2stdmVyeS1zZWNyZXQ="] and endpoint.paths == ["/v1/chat/completions"]
    assert asked.record()["url"] == endpoint.url
    assert "secret" not in json.dumps(asked.record()) + (tmp_path / "cache.jsonl").read_text()


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "me:sk-secret@localhost:9/v1",
        "http://local host/v1",
        "http://[::1/v1",
        "http://host:99999/v1",
        "http://hóst/v1",
    ],
)
def test_what_is_no_address_is_a_line_and_nobody_is_asked(tmp_path, url):
    with pytest.raises(UserError, match="is no address; give one like http://localhost:8000/v1") as raised:
        asker(url, tmp_path).all([SMS])
    assert "secret" not in str(raised.value)
