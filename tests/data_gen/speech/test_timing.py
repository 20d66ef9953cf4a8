"""Speech: exact times for rows you can check by eye, invariants for any words, and the probe for a betrayed end."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hydra import compose, initialize_config_module
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from configs.schema import register
from data_gen.episodes import chunking_of
from data_gen.speech.mishearing import mishear
from data_gen.speech.timing import MS, Chunking, Voice, heard, is_content, speak, syllables, updates
from data_gen.task import Word

REQUEST = "Text Bob that the meeting, which was at nine, is now at ten. Then email Alice the agenda for Friday.".split()
vocabulary = st.sampled_from([*REQUEST, "a", "7:30", "restaurant", "—", "um,", "555-0100", "“maybe?”"])
requests = st.lists(vocabulary, min_size=1, max_size=25)
seeds = st.integers(0, 2**63)
chunkings = st.builds(
    lambda period, delay, lag, false_endpoints, revisions, cut, most, predicts, spread: Chunking(
        period * MS,
        min(lag, delay) * MS,
        delay * MS,
        false_endpoints,
        revisions,
        cut,
        (min(lag, delay) + delay) * MS // 2 if predicts else None,
        revision_words=most,
        lag_spread_ns=spread * MS,
    ),
    st.integers(1, 2000),
    st.integers(0, 900),
    st.integers(0, 900),
    st.sampled_from([0.0, 0.5, 1.0]),
    st.sampled_from([0.0, 0.5, 1.0]),
    st.sampled_from(["word", "tick"]),
    st.sampled_from([1, 3]),
    st.booleans(),
    st.sampled_from([0, 0, 150]),
)


def words_every(*ends_ms: int) -> tuple[Word, ...]:
    """Words of 100 ms that end at the given milliseconds."""
    return tuple(Word(f"w{k}", (end - 100) * MS, end * MS) for k, end in enumerate(ends_ms))


def seed_with_phase(low_ms: int, high_ms: int, period_ms: int) -> int:
    """A seed whose first tick lies in ``[low, high)`` ms, found by when a lone word's tick comes."""
    for seed in range(1000):
        chunking = Chunking(period_ms * MS, 0, 10_000 * MS, cut="tick")
        (first, _) = updates((Word("w", 0, 0),), seed, chunking)
        if low_ms * MS <= first.at_ns < high_ms * MS:
            return seed
    raise AssertionError(f"no seed has its phase in [{low_ms}, {high_ms}) ms")


# --- the voice ---


@settings(max_examples=60, deadline=None)
@given(requests, seeds)
def test_words_follow_each_other_from_zero_in_whole_milliseconds(texts, seed):
    words = speak(texts, seed)
    assert [word.text for word in words] == texts
    assert words[0].start_ns == 0
    assert all(word.start_ns < word.end_ns for word in words)
    assert all(before.end_ns <= after.start_ns for before, after in pairwise(words))
    assert all(word.start_ns % MS == 0 and word.end_ns % MS == 0 for word in words)


@settings(max_examples=60, deadline=None)
@given(requests, requests, requests, seeds, chunkings)
def test_two_requests_with_one_beginning_sound_the_same_until_they_part(common, one, other, seed, chunking):
    first, second = speak(common + one, seed), speak(common + other, seed)
    n = len(common)
    assert first[:n] == second[:n] == speak(common, seed)
    # they can be told apart as soon as the words differ in sound: at their ends, or, for the silence that makes an
    # endpoint, at the first start
    field = "start_ns" if chunking.false_endpoint_rate or chunking.predict_delay_ns is not None else "end_ns"
    parted_ns = min(getattr(words[n], field) for words in (first, second))
    before = [[u for u in updates(words, seed, chunking) if u.at_ns < parted_ns] for words in (first, second)]
    assert before[0] == before[1]


def test_the_same_seed_gives_the_same_times_everywhere():
    words = speak(REQUEST[:5], 3)
    assert [(word.start_ns // MS, word.end_ns // MS) for word in words] == [
        (0, 320),
        (320, 598),
        (598, 721),
        (721, 932),
        (932, 1354),
    ]
    assert [(u.at_ns // MS, u.text) for u in updates(words, 3)] == [
        (520, "Text"),
        (1132, "Bob that the"),
        (1554, "meeting,"),
        (1854, ""),
    ]


def test_a_voice_without_chance_adds_up_by_hand():
    voice = Voice(100, 50, 10, -60, 200, 400, jitter=0, rate_spread=0, phrase_rate=0, hesitation_rate=0)
    words = speak(["Text", "Bob", "the", "agenda"], 1, voice)
    # 100 + 50 + 40, 100 + 50 + 30, 100 + 50 + 30 - 60, 100 + 150 + 60
    assert [word.end_ns // MS for word in words] == [190, 370, 490, 800]
    twice = speak(["Text", "Bob", "the", "agenda"], 1, Voice(100, 50, 10, -60, 200, 400, 0, 2.0, 0, 0, 0))
    assert [word.end_ns // MS for word in twice] == [95, 185, 245, 400]


def test_pauses_fall_after_punctuation_and_before_phrases_and_content_words():
    still = Voice(jitter=0, rate_spread=0, phrase_rate=0, hesitation_rate=0)
    pauses = lambda words: [(after.start_ns - before.end_ns) // MS for before, after in pairwise(words)]  # noqa: E731
    comma, stop, none = pauses(speak(["yes,", "now.", "call", "him"], 5, still))
    assert 150 <= comma <= 452 and 162 <= stop <= 488 and none == 0
    before_and, before_ask = pauses(speak(["call", "and", "ask"], 5, Voice(phrase_rate=1.0, hesitation_rate=0)))
    assert before_and >= 60 and before_ask == 0
    before_call, before_him = pauses(speak(["please", "call", "him"], 5, Voice(hesitation_rate=1.0)))
    assert before_call >= 60 and before_him == 0


def test_a_broken_off_reparandum_is_followed_by_a_pause():
    labels = ["fluent", "reparandum", "repair"]
    words = speak(["at", "nine", "ten"], 2, Voice(hesitation_rate=0, repair_rate=1.0), labels)
    assert [word.label for word in words] == labels
    assert words[1].start_ns == words[0].end_ns and words[2].start_ns > words[1].end_ns


def test_rates_differ_between_speakers_and_slow_speech_is_longer():
    lengths = [speak(REQUEST, seed)[-1].end_ns for seed in range(200)]
    assert np.std(lengths) / np.mean(lengths) > 0.1
    slow = [speak(REQUEST, seed, Voice(rate=0.5))[-1].end_ns for seed in range(200)]
    assert np.mean(slow) / np.mean(lengths) == pytest.approx(2, rel=0.01)


@pytest.mark.parametrize(
    ("word", "count"),
    [
        ("a", 1),
        ("meeting", 2),
        ("Alice", 2),
        ("table", 2),
        ("photograph", 3),
        ("—", 1),
        ("hmm", 1),
        ("7:30", 4),
        ("me", 1),
    ],
)
def test_syllables(word, count):
    assert syllables(word) == count


def test_content_words_are_the_open_classes():
    assert is_content("agenda") and is_content("Bob,")
    assert not is_content("the") and not is_content("Which,")


def test_errors_name_the_value():
    with pytest.raises(ValueError, match="'New York' is not one word"):
        speak(["New York"], 1)
    with pytest.raises(ValueError, match="2 words with 1 labels"):
        speak(["a", "b"], 1, labels=["fluent"])
    with pytest.raises(ValueError, match="jitter is 0.5"):
        Voice(jitter=0.5)
    with pytest.raises(ValueError, match="rate is 0"):
        Voice(rate=0)
    with pytest.raises(ValueError, match="hesitation_rate is 2"):
        Voice(hesitation_rate=2)
    with pytest.raises(ValueError, match="lag_ns is 2 with endpoint_delay_ns 1"):
        Chunking(lag_ns=2, endpoint_delay_ns=1)
    with pytest.raises(ValueError, match="period_ns is 0"):
        Chunking(period_ns=0)
    with pytest.raises(ValueError, match="revision_rate is -1"):
        Chunking(revision_rate=-1)
    with pytest.raises(ValueError, match="cut is 'sentence'"):
        Chunking(cut="sentence")
    with pytest.raises(ValueError, match="no words"):
        updates((), 1)


# --- the updates ---


@settings(max_examples=150, deadline=None)
@given(requests, seeds, chunkings)
def test_any_cut_keeps_time_order_and_every_word(texts, seed, chunking):
    words = speak(texts, seed)
    sent = updates(words, seed, chunking)
    assert all(before.at_ns <= after.at_ns for before, after in pairwise(sent))
    assert sent[-1].final
    assert sent[-1].at_ns == words[-1].end_ns + chunking.endpoint_delay_ns
    assert heard(words, sent) == texts
    known = 0
    for k, update in enumerate(sent):
        start, stop = update.words
        assert start == known - update.retracts and stop >= known
        assert update.final or update.predicts or stop > start, "an empty chunk was sent"
        assert bool(update.text) == (stop > start)
        assert stop == 0 or update.at_ns >= words[stop - 1].end_ns
        if chunking.revision_rate == 0:
            assert update.retracts == 0 and update.text == " ".join(texts[start:stop])
        if update.final and k + 1 < len(sent):
            assert chunking.false_endpoint_rate > 0
            assert words[stop].start_ns >= update.at_ns
        known = stop
    assert known == len(words)
    if chunking.false_endpoint_rate == 0:
        assert sum(update.final for update in sent) == 1


def test_a_tick_lets_the_next_word_take_along_all_that_is_heard():
    seed = seed_with_phase(200, 250, 500)  # ticks at 200+, 700+, 1200+
    sent = updates(words_every(150, 400, 600, 1000, 1100), seed, Chunking(500 * MS, 0, 500 * MS))
    assert [(u.at_ns // MS, u.text, u.final) for u in sent] == [
        (400, "w0 w1", False),
        (1000, "w2 w3", False),
        (1600, "w4", True),
    ]


def test_the_lag_delays_a_partial_but_never_the_final_update():
    seed = seed_with_phase(200, 250, 500)
    sent = updates(words_every(150, 1000), seed, Chunking(500 * MS, 120 * MS, 300 * MS))
    assert [(u.at_ns // MS, u.text, u.final) for u in sent] == [
        (270, "w0", False),
        (1120, "w1", False),
        (1300, "", True),
    ]


def test_the_other_cut_sends_at_the_tick_itself():
    seed = seed_with_phase(200, 250, 500)
    sent = updates(words_every(150, 190, 400, 1000), seed, Chunking(500 * MS, 0, 500 * MS, cut="tick"))
    phase = sent[0].at_ns
    assert 200 * MS <= phase < 250 * MS
    assert [((u.at_ns - phase) // MS, u.text) for u in sent[:-1]] == [(0, "w0 w1"), (500, "w2"), (1000, "w3")]


def test_real_timings_pass_through_and_may_overlap():
    words = (Word("so", 0, 700 * MS), Word("call", 300 * MS, 600 * MS), Word("Ann", 900 * MS, 1200 * MS))
    sent = updates(words, 4, Chunking(100 * MS, 0, 0))
    assert heard(words, sent) == ["so", "call", "Ann"]
    assert sent[0].at_ns == 700 * MS and sent[-1].at_ns == 1200 * MS


def test_a_long_pause_may_pass_for_the_end():
    words = words_every(300, 600, 2000, 2300)
    always = Chunking(100 * MS, 50 * MS, 500 * MS, false_endpoint_rate=1.0)
    assert [(u.at_ns // MS, u.final) for u in updates(words, 1, always) if u.final] == [(1100, True), (2800, True)]
    patient = Chunking(100 * MS, 50 * MS, 1500 * MS, false_endpoint_rate=1.0)
    assert sum(u.final for u in updates(words, 1, patient)) == 1
    finals = [sum(u.final for u in updates(words, s, Chunking(false_endpoint_rate=0.3))) - 1 for s in range(1000)]
    assert np.mean(finals) == pytest.approx(0.3, abs=0.05)


def test_a_revision_is_taken_back_by_the_next_update():
    words = speak(["Text", "Samuel", "to", "come"], 1)
    chunking = Chunking(period_ns=1, revision_rate=1.0)
    assert [(u.text, u.words, u.retracts) for u in updates(words, 1, chunking)] == [
        ("Tex", (0, 1), 0),
        ("Text Samu", (0, 2), 1),
        ("Samuel two", (1, 3), 1),
        ("to com", (2, 4), 1),
        ("come", (3, 4), 1),
    ]
    assert heard(words, updates(words, 1, chunking)[:3]) == ["Text", "Samuel", "two"]
    words = speak(REQUEST, 1)
    share = [u.retracts for s in range(500) for u in updates(words, s, Chunking(revision_rate=0.2))[1:]]
    assert 0.1 < np.mean(share) < 0.2, "not every word can be misheard, but most can"


def test_mishearing_gives_another_word_or_none():
    assert mishear("Friday.") == "Frid" and mishear("to") == "two"
    assert mishear("7:30") is None and mishear("Bob") is None and mishear("don't") is None


def test_the_final_update_brings_words_now_and_then():
    empty = [updates(speak(REQUEST, seed), seed)[-1].text == "" for seed in range(1000)]
    assert 0.4 < np.mean(empty) < 0.9


# --- the probe ---


def partials(cut: str, requests_: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sizes and times of partial updates, what their text alone says, and whether no word follows them.

    Requests are words drawn at random, of memoryless length, so that text says nothing of the end: whatever is found
    of it comes from sizes and times.
    """
    random = np.random.default_rng(seed)
    sizes_and_times, text_alone, last = [], [], []
    for k in range(requests_):
        words = speak(random.choice(REQUEST, size=3 + random.geometric(0.12)).tolist(), k)
        before_ns = 0
        sent = updates(words, k, Chunking(cut=cut))
        for update in sent[:-1]:
            start, stop = update.words
            gap = (update.at_ns - before_ns) / 1e9
            before_ns = update.at_ns
            if stop <= 3:
                continue
            said = stop - start
            sizes_and_times.append(
                [said, len(update.text), gap, gap / said, len(update.text) / gap, said == 1, said >= 3]
            )
            text_alone.append([stop, len(words[stop - 1].text), is_content(words[stop - 1].text)])
            last.append(stop == len(words))
    return np.array(sizes_and_times, float), np.array(text_alone, float), np.array(last)


def probe_auc(x: np.ndarray, y: np.ndarray) -> float:
    """Area under the ROC of a logistic regression, trained on the first half of the rows, on the second."""
    x = np.column_stack([np.ones(len(x)), (x - x.mean(axis=0)) / (x.std(axis=0) + 1e-9)])
    half = len(x) // 2
    weights = np.zeros(x.shape[1])
    for _ in range(25):  # Newton's method with a little ridge
        p = 1 / (1 + np.exp(-x[:half] @ weights))
        gradient = x[:half].T @ (y[:half] - p) - 1e-3 * weights
        hessian = (x[:half] * (p * (1 - p))[:, None]).T @ x[:half] + 1e-3 * np.eye(x.shape[1])
        weights += np.linalg.solve(hessian, gradient)
    score, truth = x[half:] @ weights, y[half:]
    ranks = np.empty(len(score))
    ranks[np.argsort(score, kind="stable")] = np.arange(1, len(score) + 1)
    positive = truth.sum()
    return float((ranks[truth].sum() - positive * (positive + 1) / 2) / (positive * (len(truth) - positive)))


def auc_noise(y: np.ndarray) -> float:
    """Standard error of the area under the ROC of a score that says nothing, on the second half of the rows."""
    test = y[len(y) // 2 :]
    return float(np.sqrt((1 / test.sum() + 1 / (~test).sum()) / 12))


def test_sizes_and_times_say_nothing_of_the_end_that_text_does_not():
    timing, text, last = partials("word", 4000, seed=1)
    noise = auc_noise(last)
    assert abs(probe_auc(timing, last) - 0.5) < 3 * noise
    assert probe_auc(np.hstack([text, timing]), last) - probe_auc(text, last) < 3 * noise


def test_the_probe_finds_the_end_where_the_cut_betrays_it():
    timing, _, last = partials("tick", 4000, seed=1)
    noise = auc_noise(last)
    assert probe_auc(timing, last) - 0.5 > 4 * noise


# --- the endpoint, what is taken back, and marks ---

PAUSED = (Word("text", 0, 300 * MS), Word("Bob", 300 * MS, 600 * MS), Word("hi.", 1600 * MS, 1800 * MS))
"""A pause of a second in mid-sentence."""


def finals(chunking: Chunking, words=PAUSED, seed: int = 1) -> list[int]:
    return [update.at_ns // MS for update in updates(words, seed, chunking) if update.final]


@pytest.mark.parametrize(
    ("delay_ms", "expected"), [(500, [1100, 2300]), (800, [1400, 2600]), (1000, [1600, 2800]), (1200, [3000])]
)
def test_a_plain_timer_takes_every_pause_as_long_as_its_delay_for_the_end(delay_ms, expected):
    for seed in range(20):
        assert finals(Chunking(endpoint_delay_ns=delay_ms * MS, false_endpoint_rate=1.0), seed=seed) == expected


def test_an_end_is_predicted_from_silence_and_text():
    chunking = Chunking(predict_delay_ns=300 * MS)

    def predicted(*texts: str) -> list[tuple[int, str]]:
        words = tuple(Word(text, word.start_ns, word.end_ns) for text, word in zip(texts, PAUSED))
        return [(update.at_ns // MS, update.text) for update in updates(words, 1, chunking) if update.predicts]

    assert [at for at, _ in predicted("text", "Bob", "hi.")] == [900, 2100]
    # a word that leaves something hanging is no end, in a pause or at the end
    assert [at for at, _ in predicted("text", "to", "Bob")] == [2100]
    assert [at for at, _ in predicted("text", "Bob", "um")] == [900]
    assert [at for at, _ in predicted("text", "Bob,", "hi")] == [2100]


def test_all_that_was_recognised_is_sent_with_a_prediction():
    chunking = Chunking(predict_delay_ns=300 * MS, revision_rate=1.0, period_ns=1)
    sent = updates(PAUSED, 1, chunking)
    for n, update in enumerate(sent):
        if update.predicts:
            assert heard(PAUSED, sent[: n + 1]) == [word.text for word in PAUSED[: update.words[1]]]


def test_a_recogniser_takes_back_several_words_capitals_and_numbers():
    words = speak("text seven people that Alice Smith and Robert Brown meet at restaurant ten".split(), 4)
    chunking = Chunking(period_ns=1_500 * MS, revision_rate=1.0, revision_words=3)
    sent = [updates(words, seed, chunking) for seed in range(200)]
    assert {update.retracts for row in sent for update in row} == {0, 1, 2, 3}
    said = {word for row in sent for update in row for word in update.text.split()}
    assert {"7", "alice", "restau"} & said >= {"7", "alice"}
    assert all(heard(words, row) == [word.text for word in words] for row in sent)


def test_marks_do_not_tell_where_speech_ends():
    texts = "Text Bob, please. That I am late, and that I will call. Thank you.".split()
    kept, dropped = (
        [u for s in range(100) for u in updates(speak(texts, s), s, Chunking(closing_marks=on)) if u.text]
        for on in (True, False)
    )
    marked = [u for u in kept if u.text.endswith(".")]
    assert sum(u.words[1] == len(texts) for u in marked) > len(marked) / 4
    assert not any(u.text.endswith(tuple(".,?!")) for u in dropped)


@pytest.mark.parametrize(
    ("row", "cut_off"), [("smart_turn", (0.148, 0.352)), ("livekit_v1", (0.045, 0.099)), ("flux", (0.099, 0.129))]
)
def test_a_detector_cuts_off_as_many_pauses_as_the_benchmark_counts(row, cut_off):
    """The published shares are of all pauses of at least 0.2 s, of which 55.6% last 0.3 s and 21.7% last 0.6 s."""
    register()
    with initialize_config_module("configs", version_base="1.3"):
        chunking = chunking_of(OmegaConf.to_object(compose("config", overrides=[f"data.endpoint={row}"])).data)
    lengths = np.random.default_rng(0).permutation(np.repeat([250, 450, 700], [444, 339, 217]))
    ends = np.cumsum(np.concatenate([[100], lengths + 100]))
    sent = [update for seed in range(30) for update in updates(words_every(*map(int, ends)), seed, chunking)]
    pauses = 30 * len(lengths)
    finals = sum(update.final for update in sent) - 30  # the last is the true end
    predicted = sum(update.predicts for update in sent) - 30
    assert finals / pauses == pytest.approx(cut_off[0], abs=0.01)
    assert predicted / pauses == pytest.approx(cut_off[1], abs=0.01)


@pytest.mark.parametrize("marks", [True, False])
def test_a_predicted_end_reads_no_mark_that_is_not_sent(marks):
    """A comma says that more will come; where the recogniser keeps marks to itself, the prediction has none either."""
    words = (Word("call", 0, 200 * MS), Word("Bob,", 300 * MS, 500 * MS), Word("Ann", 1500 * MS, 1700 * MS))
    sent = updates(words, 0, Chunking(predict_delay_ns=300 * MS, closing_marks=marks))
    assert [update.at_ns // MS for update in sent if update.predicts] == ([2000] if marks else [800, 2000])
