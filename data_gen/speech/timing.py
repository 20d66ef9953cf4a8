"""Speech: when each word of a request is spoken, and when a streaming recogniser passes it on.

The timing is fitted to a synthesiser, not to people; pauses and the recogniser's mistakes are chosen, and were measured
of one recogniser, for settings that runs can name (`docs/speech.md`).
Owns the word-timing model (`Voice`, `speak`) and the cutting of timed words into updates (`Chunking`, `updates`).
Does not know what the words mean: a cut depends on time alone, and a predicted end also on the class of the last word.
Both are
causal: the timing of a word, and everything sent by then, depends on the words up to it and the seed, never on what
follows, so two requests with one beginning and one seed give the same updates until they part.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Literal

import numpy as np

from data_gen.speech.mishearing import mishear_last, plain
from data_gen.task import Label, Word

MS = 1_000_000
"""Nanoseconds in a millisecond. Spoken times are whole milliseconds, far coarser than what two machines' ``exp`` and
``log`` may differ by, so the same seed gives the same times everywhere."""

FUNCTION_WORDS: frozenset[str] = frozenset(
    re.findall(
        r"\w+",
        "a an the and or but nor so if that than as of to in on at by for from with about into over after before between "
        "i me my you your he him his she her it its we us our they them their this these those there here who whom whose "
        "which what when where how why is am are was were be been being do does did has have had will would can could "
        "shall should may might must not no please um uh er erm oh well like",
    )
)
"""Closed-class words; every other word is a content word. Hesitation falls before content words."""

PHRASE_OPENERS: frozenset[str] = frozenset(
    re.findall(
        r"\w+", "and or but so because if then when while before after until although also which who with from for to"
    )
)
"""Words that open a clause or phrase; a speaker may pause before them where a writer puts no comma."""

CLAUSE_MARKS = ",;:-–—"
STOP_MARKS = ".?!…"

_NORMAL = NormalDist()
_LETTERS = re.compile(r"[^\W\d_]+")
_VOWELS = re.compile(r"[aeiouyàáâäæèéêëìíîïòóôöøùúûüœ]+")


@dataclass(frozen=True, slots=True)
class Voice:
    """How a speaker times words, in milliseconds at rate 1.

    The first seven values are fitted by `scripts/fit_speech.py` to eSpeak NG's word onsets (voice en-us at its default
    rate) over 1,020 requests: 1,000 fluent questions of Disfl-QA's dev set and the 20 of the script. On the half that
    was held out, R² is 0.84 for onset-to-onset intervals and 0.98 for onsets. A synthesiser neither hesitates nor
    changes its rate; those values are chosen, as `docs/speech.md` says.
    """

    word_ms: float = 85.0
    """What any word takes, whatever its length."""
    syllable_ms: float = 69.6
    """Added for each syllable."""
    character_ms: float = 27.3
    """Added for each letter or digit."""
    function_ms: float = -78.0
    """Added for a function word, which is said in passing."""
    comma_ms: float = 301.2
    """Mean pause after a word that ends in a comma, semicolon, colon or dash."""
    stop_ms: float = 325.0
    """Mean pause after a word that ends a sentence."""
    jitter: float = 0.232
    """Standard deviation of a word's length around the model, as a share of it; at most 0.4."""
    rate: float = 1.0
    """Median rate of speakers, against the synthesiser's of about 195 words a minute; 2 is twice as fast."""
    rate_spread: float = 0.15
    """Standard deviation of the logarithm of the speaker's rate, one draw a request."""
    phrase_rate: float = 0.06
    """Probability of a silent pause before a word that opens a clause or phrase, whatever the punctuation."""
    hesitation_rate: float = 0.06
    """Probability of a silent pause before a content word."""
    hesitation_ms: float = 350.0
    """Mean of a silent pause of any of these kinds beyond the 100 ms that make it one (exponential)."""
    repair_rate: float = 0.5
    """Probability of a silent pause where a reparandum is broken off."""

    def __post_init__(self) -> None:
        if not self.rate > 0:
            raise ValueError(f"voice: rate is {self.rate}; it must be positive, 1 is the synthesiser's own")
        if not 0 <= self.jitter <= 0.4:
            raise ValueError(
                f"voice: jitter is {self.jitter}; it must lie in [0, 0.4], so that no word has negative length"
            )
        for field in ("phrase_rate", "hesitation_rate", "repair_rate"):
            if not 0 <= getattr(self, field) <= 1:
                raise ValueError(f"voice: {field} is {getattr(self, field)}; a probability must lie in [0, 1]")


CHARACTERS = Voice(hesitation_rate=0.02, phrase_rate=0.0)
"""Who speaks a language without spaces: its words are characters, so that a rate a word would be too often."""


@dataclass(frozen=True, slots=True)
class Chunking:
    """How the recogniser cuts speech into updates."""

    period_ns: int = 480 * MS
    """Time between ticks; the first comes at a random phase, uniform in ``[0, period_ns)``."""
    lag_ns: int = 200 * MS
    """How long after its end a word is recognised, at least; at most ``endpoint_delay_ns``."""
    endpoint_delay_ns: int = 500 * MS
    """Silence after which the end of speech is declared: the final update comes this long after the last word's end."""
    false_endpoint_rate: float = 0.0
    """Probability that a pause of at least ``endpoint_delay_ns`` is taken for the end: a final update, then more. 1 is
    a plain timer, which knows nothing but the silence; 0 an oracle."""
    revision_rate: float = 0.0
    """Probability that a partial update mishears its last words; the next update takes them back."""
    cut: Literal["word", "tick"] = "word"
    """``word``: at the first word recognised since a tick, all that is recognised is sent, so nothing about an update
    depends on what follows it. ``tick``: at the tick itself; the last chunk is then shorter than the others, because
    speech ends within its period, and its size betrays the end."""
    predict_delay_ns: int | None = None
    """Silence after which the end is predicted, if the last word leaves nothing hanging; at least ``lag_ns``, at most
    ``endpoint_delay_ns``. What is recognised is sent with it. None for no predictions."""
    predict_false_rate: float = 1.0
    """Probability that a pause as long as that is taken for a likely end; 1 where silence and text are all there is."""
    revision_words: int = 1
    """The most words that it mishears; each further one is half as likely. With 1, a word is only taken for its double
    or cut short; with more, also written otherwise: without its capital, a number in digits."""
    closing_marks: bool = True
    """Whether the last word of an update keeps its punctuation. Where it does, a full stop all but says that speech is
    over, which no recogniser knows."""
    lag_spread_ns: int = 0
    """Mean of what comes on top of ``lag_ns``, exponentially and for each word by itself. No word waits longer than
    ``predict_delay_ns``, or ``endpoint_delay_ns`` where nothing is predicted: all that was said is sent then."""

    def __post_init__(self) -> None:
        if self.period_ns < 1:
            raise ValueError(f"chunking: period_ns is {self.period_ns}; it must be at least 1")
        if not 0 <= self.lag_ns <= self.endpoint_delay_ns:
            raise ValueError(
                f"chunking: lag_ns is {self.lag_ns} with endpoint_delay_ns {self.endpoint_delay_ns}; the lag must lie "
                "between 0 and the delay, for the final update carries every word"
            )
        if self.predict_delay_ns is not None and not self.lag_ns <= self.predict_delay_ns <= self.endpoint_delay_ns:
            raise ValueError(
                f"chunking: predict_delay_ns is {self.predict_delay_ns}; it must lie between lag_ns {self.lag_ns} and "
                f"endpoint_delay_ns {self.endpoint_delay_ns}, or be None"
            )
        if self.revision_words < 1:
            raise ValueError(
                f"chunking: revision_words is {self.revision_words}; it must be at least 1, revision_rate 0 turns them off"
            )
        if self.lag_spread_ns < 0:
            raise ValueError(
                f"chunking: lag_spread_ns is {self.lag_spread_ns}; it must be at least 0, where every word lags alike"
            )
        for field in ("false_endpoint_rate", "revision_rate", "predict_false_rate"):
            if not 0 <= getattr(self, field) <= 1:
                raise ValueError(f"chunking: {field} is {getattr(self, field)}; a probability must lie in [0, 1]")
        if self.cut not in ("word", "tick"):
            raise ValueError(f"chunking: cut is {self.cut!r}; use 'word' or 'tick'")


@dataclass(frozen=True, slots=True)
class Update:
    """A delta of whole words, as it arrives."""

    at_ns: int
    """When it arrives; never before the end of its last word."""
    text: str
    """Its words, joined by single spaces; empty only for a final update that has none left to bring."""
    final: bool
    """Whether the recogniser declares the end of speech with it."""
    words: tuple[int, int]
    """Half-open indices of the request's words that it brings; the last may be misheard in ``text``."""
    retracts: int = 0
    """How many words, last heard first, it takes back before it adds its own."""
    predicts: bool = False
    """Whether the recogniser predicts with it that speech is over; then its words are right, and there may be none."""


def speak(
    texts: Sequence[str], seed: int, voice: Voice = Voice(), labels: Sequence[Label] | None = None
) -> tuple[Word, ...]:
    """Says a request: gives each word a start and an end, in whole milliseconds as nanoseconds.

    Causal: a word's times depend on ``seed`` and the words up to it.

    Args:
        texts: the words, punctuation attached.
        seed: the request's own seed.
        voice: the timing model.
        labels: a disfluency label for each word; all fluent when left out.

    Returns:
        The words in order, without overlap; the first starts at 0.

    Raises:
        ValueError: a word is empty or has white space in it, or the labels are not as many as the words.
    """
    fluent: Label = "fluent"
    own = labels if labels is not None else (fluent,) * len(texts)
    if len(own) != len(texts):
        raise ValueError(f"{len(texts)} words with {len(own)} labels; give one label a word")
    random = _generator(seed, "speak")
    slowness = math.exp(-voice.rate_spread * _NORMAL.inv_cdf(random.random() or 0.5)) / voice.rate
    # row by row, so that the draws of a word do not depend on how many follow
    draws = random.random((len(texts), 5)).tolist()
    words: list[Word] = []
    at_ms = 0
    pause_ms = 0.0
    for i, (text, (u, v, w, x, y)) in enumerate(zip(texts, draws)):
        length_ms, after_ms, pause_rate = _shape(text, voice)
        if i:
            if own[i - 1] == "reparandum" != own[i]:
                pause_rate = max(pause_rate, voice.repair_rate)
            if w < pause_rate:
                pause_ms += 100.0 - voice.hesitation_ms * math.log(1.0 - x)
            at_ms += round(pause_ms * slowness)
        # the sum of two uniforms has variance 1/6
        end_ms = at_ms + max(1, round(length_ms * slowness * (1.0 + voice.jitter * math.sqrt(6.0) * (u + v - 1.0))))
        words.append(Word(text, at_ms * MS, end_ms * MS, own[i]))
        at_ms, pause_ms = end_ms, after_ms * (0.5 + y)
    return tuple(words)


def updates(words: Sequence[Word], seed: int, chunking: Chunking = Chunking()) -> tuple[Update, ...]:
    """Cuts timed words into the updates of a streaming recogniser: by time, with random phase.

    The words' times are taken as they are, whether from `speak` or from a recording.

    Args:
        words: the request, at least one word, in order of start.
        seed: the request's own seed.
        chunking: the recogniser.

    Returns:
        Updates in order of time. The last is final and comes ``endpoint_delay_ns`` after the last word's end.

    Raises:
        ValueError: there are no words.
    """
    if not words:
        raise ValueError("no words to cut into updates; give at least one")
    random = _generator(seed, "updates")
    phase_ns = int(random.random() * chunking.period_ns)
    draws = random.random((len(words), 2)).tolist()
    # generators of their own: these settings change no draw of the others
    likely = _generator(seed, "predictions").random(len(words)).tolist()
    revised = _generator(seed, "revisions").random((len(words), 2)).tolist()
    lags_ns = _lags_ns(len(words), seed, chunking)
    sent: list[Update] = []
    begun = 0  # the first word that was not sent
    misheard = 0
    ticks = 0  # ticks that were served
    end_ns = heard_ns = 0

    def send(at_ns: int, stop: int, final: bool, predicts: bool = False) -> None:
        nonlocal begun, misheard
        start = begun - misheard
        said = [word.text for word in words[start:stop]]
        wrong = 0  # how many of the last words are misheard
        if not (final or predicts) and draws[stop - 1][0] < chunking.revision_rate:
            wrong = mishear_last(said, revised[stop - 1], chunking.revision_words)
        if said and not chunking.closing_marks:
            said[-1] = said[-1].rstrip(STOP_MARKS + CLAUSE_MARKS) or said[-1]
        sent.append(Update(at_ns, " ".join(said), final, (start, stop), misheard, predicts))
        begun, misheard = stop, wrong

    for i, word in enumerate(words):
        end_ns = max(end_ns, word.end_ns)  # a recording's words may overlap
        heard_ns = max(heard_ns, end_ns + lags_ns[i])
        endpoint_ns = end_ns + chunking.endpoint_delay_ns
        following = words[i + 1] if i + 1 < len(words) else None
        ends = following is None or (following.start_ns >= endpoint_ns and draws[i][1] < chunking.false_endpoint_rate)
        if chunking.cut == "word":
            at_ns = heard_ns
            passed = (heard_ns - phase_ns) // chunking.period_ns + 1
            due = passed > ticks
        else:
            passed = max(0, -((phase_ns - heard_ns) // chunking.period_ns))
            at_ns = phase_ns + passed * chunking.period_ns  # the first tick by which the word is heard
            due = ends or following is None or max(heard_ns, max(end_ns, following.end_ns) + lags_ns[i + 1]) > at_ns
        predicts_ns = None
        text = (
            word.text if chunking.closing_marks else word.text.rstrip(STOP_MARKS + CLAUSE_MARKS)
        )  # no more than is sent
        if chunking.predict_delay_ns is not None and not hangs(text):
            silent_ns = end_ns + chunking.predict_delay_ns
            if following is None or following.start_ns >= silent_ns and likely[i] < chunking.predict_false_rate:
                predicts_ns = silent_ns
        early = (
            predicts_ns is not None and predicts_ns <= at_ns
        )  # the prediction takes along what the tick would have sent
        if due and not early and not (ends and at_ns >= endpoint_ns):
            send(at_ns, i + 1, final=False)
            ticks = passed
        if predicts_ns is not None:
            send(predicts_ns, i + 1, final=False, predicts=True)
        if ends:
            send(endpoint_ns, i + 1, final=True)
    return tuple(sent)


def _lags_ns(count: int, seed: int, chunking: Chunking) -> list[int]:
    """How long after its end each word is recognised, in whole milliseconds where they differ."""
    if not chunking.lag_spread_ns:
        return [chunking.lag_ns] * count
    most_ns = chunking.endpoint_delay_ns if chunking.predict_delay_ns is None else chunking.predict_delay_ns
    draws = _generator(seed, "lags").random(count).tolist()
    return [
        min(most_ns, chunking.lag_ns + round(-chunking.lag_spread_ns * math.log(1.0 - draw) / MS) * MS)
        for draw in draws
    ]


_HANGING: frozenset[str] = PHRASE_OPENERS | frozenset(
    re.findall(
        r"\w+",
        "a an the or nor than as of in on at by about into over between i my your his her its our their this these those "
        "is are was were be been do does did has have had will would can could shall should may might must not um uh er erm oh well like",
    )
)


def hangs(text: str) -> bool:
    """Whether a request can hardly end with this word: a function word that asks for another, a filler, or a comma."""
    return plain(text) in _HANGING or ends_with(text, CLAUSE_MARKS)


def heard(words: Sequence[Word], sent: Iterable[Update]) -> list[str]:
    """The words as understood after the updates ``sent``, retractions applied; misheard words as they were misheard."""
    so_far: list[str] = []
    for update in sent:
        if update.retracts:
            del so_far[-update.retracts :]
        start, stop = update.words
        texts = [word.text for word in words[start:stop]]
        if texts and update.text != " ".join(texts):
            said = update.text.split()
            # a recording's word may have a space in it; only its last is then told apart
            texts = said if len(said) == len(texts) else [*texts[:-1], update.text[len(" ".join(texts[:-1])) :].strip()]
        so_far += texts
    return so_far


@lru_cache(maxsize=65536)
def syllables(text: str) -> int:
    """Estimated syllables of an English word: groups of vowels less a silent final e; a digit counts as one and a half.

    A word without any (a sign, an initial) counts as one.
    """
    count = 0.0
    for part in _LETTERS.findall(text.lower()):
        groups = len(_VOWELS.findall(part))
        if groups > 1 and part.endswith("e") and not part.endswith(("le", "ee", "ye")):
            groups -= 1
        count += max(1, groups)
    count += 1.5 * sum(ch.isdigit() for ch in text)
    return max(1, round(count))


def is_content(text: str) -> bool:
    """Whether a word is of an open class (anything but `FUNCTION_WORDS`)."""
    return plain(text) not in FUNCTION_WORDS


def count_letters(text: str) -> int:
    """Letters and digits of a word."""
    return sum(map(str.isalnum, text))


def ends_with(text: str, marks: str) -> bool:
    """Whether a word, closing quotes and brackets apart, ends with one of the punctuation marks."""
    last = text.rstrip("\"')]}”’")[-1:]
    return bool(last) and last in marks


@lru_cache(maxsize=65536)
def _shape(text: str, voice: Voice) -> tuple[float, float, float]:
    """A word's length and the mean pause after it, in milliseconds at rate 1, and the probability of one before."""
    if not text or any(ch.isspace() for ch in text):
        raise ValueError(f"{text!r} is not one word; split the request at white space first")
    length_ms = voice.word_ms + voice.syllable_ms * syllables(text) + voice.character_ms * count_letters(text)
    pause_rate = voice.phrase_rate if plain(text) in PHRASE_OPENERS else 0.0
    if is_content(text):
        pause_rate = max(pause_rate, voice.hesitation_rate)
    else:
        length_ms = max(1.0, length_ms + voice.function_ms)
    after_ms = (
        voice.stop_ms if ends_with(text, STOP_MARKS) else voice.comma_ms if ends_with(text, CLAUSE_MARKS) else 0.0
    )
    return length_ms, after_ms, pause_rate


def _generator(seed: int, name: str) -> np.random.Generator:
    """The child of ``seed`` that ``name`` draws from: its seed is a hash, the same on every machine."""
    digest = hashlib.blake2b(f"{name}/{seed}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "little")))
