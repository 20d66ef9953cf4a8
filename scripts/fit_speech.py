"""Fits the word lengths and pauses of `data_gen.speech.timing.Voice` to the word onsets of a speech synthesiser.

The synthesiser is eSpeak NG, from the development tool ``espeakng-loader`` (``pip install espeakng-loader``; nothing at
run time needs it). For each request it reports when each word begins. The time from one onset to the next is fitted,
by least squares, as a sum over the word's syllables, letters, class and punctuation; even requests are fitted, odd
ones measured. Prints the constants and the fit as JSON; `docs/speech.md` holds the result.

    python -m scripts.fit_speech [questions=FILE]

FILE adds requests to those written here: one a line, or Disfl-QA's JSON, of which the fluent questions are taken.
"""

from __future__ import annotations

import ctypes
import itertools
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_gen.files import lines_of, text_of
from data_gen.speech.timing import CLAUSE_MARKS, STOP_MARKS, count_letters, ends_with, is_content, syllables
from midsentence.ending import program

WORDS_PER_MINUTE = 175
"""eSpeak NG's own default rate, which becomes rate 1."""

REQUESTS = """\
Text Bob that the meeting is at ten. Then email Alice the agenda for Friday.
Could you find the report I wrote last week, open it, and send it to my manager? She needs it today.
Remind me to call the dentist tomorrow morning. Also, add milk, eggs and bread to the shopping list.
I'm running late. Let Sarah know I'll be there in twenty minutes, and move the call to half past three.
Where was the composer of that opera born? And when did he die?
Set up a video call with Daniel, Priya and Tom for Monday at nine. Put the link in the notes.
Please look up the weather in Lisbon; if it rains, cancel the picnic.
Open the map and show me how to get to the station. I want to walk, not drive.
Who directed the film, and which actor played the detective? Give me both names.
Create a note called groceries. Write down apples, rice, olive oil and coffee.
What is the capital of the country that borders both France and Portugal? I think it is Madrid.
Read me the last message from Jonathan. Reply that I agree, and thank him for the photographs.
Schedule lunch with my sister on Saturday. Book a table for two, somewhere quiet, near the river.
Is the museum older than the library? If so, by how many years?
Send the contract to the lawyer. Copy Victoria, and ask for an answer before Thursday evening.
Find out who founded the company, then tell me where she studied.
Delete the reminder about the plumber. He came yesterday, so I no longer need it.
Summarize the document about renewable energy; keep it short. Two paragraphs are enough.
Which mountain is higher, and in which country does it lie? Use metres.
Call a taxi for seven o'clock. Tell the driver that there are three of us, with luggage.
""".splitlines()

FEATURES = ("word_ms", "syllable_ms", "character_ms", "function_ms", "comma_ms", "stop_ms")


class _EventId(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    """``espeak_EVENT`` of eSpeak NG's ``speak_lib.h``."""

    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    ]


_LIST_END, _WORD = 0, 1
_SYNCHRONOUS, _BY_CHARACTER, _UTF8, _END_PAUSE = 2, 1, 1, 0x1000
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


class Synthesiser:
    """eSpeak NG, asked when words begin, or for its sound."""

    def __init__(self, voice: str = "en-us", words_per_minute: int = WORDS_PER_MINUTE) -> None:
        try:
            import espeakng_loader
        except ImportError:
            raise SystemExit("fitting needs the synthesiser: pip install espeakng-loader") from None
        self._lib = ctypes.CDLL(espeakng_loader.get_library_path())
        if self._lib.espeak_Initialize(_SYNCHRONOUS, 0, str(espeakng_loader.get_data_path()).encode(), 0) < 0:
            raise SystemExit(f"eSpeak NG did not start with the data in {espeakng_loader.get_data_path()}")
        if self._lib.espeak_SetVoiceByName(voice.encode()) != 0:
            raise SystemExit(f"eSpeak NG has no voice {voice!r}")
        self._lib.espeak_SetParameter(1, words_per_minute, 0)
        self._found: list[tuple[int, int]] = []
        self._sound: list[np.ndarray] = []
        self._callback = _CALLBACK(self._collect)  # kept, or it is freed under the library
        self._lib.espeak_SetSynthCallback(self._callback)

    def _collect(self, sound: Any, samples: int, events: Sequence[_Event]) -> int:
        k = 0
        if samples > 0:
            self._sound.append(np.ctypeslib.as_array(sound, (samples,)).copy())
        while events[k].type != _LIST_END:
            if events[k].type == _WORD:
                self._found.append((events[k].text_position - 1, events[k].audio_position))
            k += 1
        return 0

    def _say(self, request: str) -> None:
        self._found.clear()
        self._sound.clear()
        data = request.encode()
        self._lib.espeak_Synth(
            data, ctypes.c_size_t(len(data) + 1), 0, _BY_CHARACTER, 0, _UTF8 | _END_PAUSE, None, None
        )

    def sound(self, request: str) -> np.ndarray:
        """The request as it sounds, at 22,050 Hz. Shape (n,), int16."""
        self._say(request)
        return np.concatenate(self._sound)

    def onsets(self, request: str) -> dict[int, int]:
        """Onset in milliseconds of each word that has an event, by its index among the white-space words.

        Where the synthesiser runs words together, the later ones have none; where it splits one (a number), the
        first event counts.
        """
        self._say(request)
        starts = [found.start() for found in re.finditer(r"\S+", request)]
        onsets: dict[int, int] = {}
        for position, at_ms in self._found:
            index = int(np.searchsorted(starts, position, side="right")) - 1
            if index >= 0:
                onsets.setdefault(index, at_ms)
        return onsets


def features(word: str) -> list[float]:
    """A word's row of the design matrix, in the order of `FEATURES`."""
    return [
        1.0,
        syllables(word),
        count_letters(word),
        not is_content(word),
        ends_with(word, CLAUSE_MARKS),
        ends_with(word, STOP_MARKS),
    ]


def intervals(request: str, onsets: dict[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Features and lengths, in milliseconds, of the stretches between neighbouring onsets. Shapes (k, 6), (k,)."""
    rows = np.array([features(word) for word in request.split()], dtype=float)
    at = sorted(onsets)
    x = [rows[start:stop].sum(axis=0) for start, stop in itertools.pairwise(at)]
    y = [onsets[stop] - onsets[start] for start, stop in itertools.pairwise(at)]
    return np.array(x).reshape(-1, len(FEATURES)), np.array(y, dtype=float)


def read_requests(path: Path) -> list[str]:
    """Requests of a file: one a line, or the fluent questions of Disfl-QA's JSON."""
    if path.suffix == ".json":
        return [" ".join(row["original"].split()) for row in json.loads(text_of(path)).values()]
    return [line.strip() for line in lines_of(text_of(path)) if line.strip()]


def fit(requests: Sequence[str]) -> dict[str, object]:
    """Fits even requests, measures odd ones: constants, R² of the intervals, mean absolute error of the onsets."""
    synthesiser = Synthesiser()
    measured = [intervals(request, synthesiser.onsets(request)) for request in requests]
    measured = [(x, y) for x, y in measured if len(y)]
    fitted, held_out = measured[0::2], measured[1::2]
    x, y = (np.concatenate(part) for part in zip(*fitted))
    constants = np.linalg.lstsq(x, y, rcond=None)[0]
    x, y = (np.concatenate(part) for part in zip(*held_out))
    residual = y - x @ constants
    within = y < 1000
    onset_errors = np.concatenate([np.abs(np.cumsum(b - a @ constants)) for a, b in held_out])
    onset_times = np.concatenate([np.cumsum(b) for _, b in held_out])
    return {
        "constants": {name: round(float(value), 1) for name, value in zip(FEATURES, constants)},
        "relative_residual": round(float(np.std(residual[within] / (x @ constants)[within])), 3),
        "requests": {"fitted": len(fitted), "held_out": len(held_out)},
        "intervals_held_out": len(y),
        "r2_intervals": round(float(1 - residual.var() / y.var()), 3),
        "r2_onsets": round(float(1 - (onset_errors**2).sum() / ((onset_times - onset_times.mean()) ** 2).sum()), 3),
        "mean_abs_error_interval_s": round(float(np.abs(residual).mean()) / 1000, 3),
        "mean_abs_error_onset_s": round(float(onset_errors.mean()) / 1000, 3),
        "mean_interval_s": round(float(y.mean()) / 1000, 3),
        "words_per_minute": round(60_000 / float(y.mean())),
    }


def main(arguments: Sequence[str]) -> None:
    """Reads the command line and prints the fit."""
    requests = list(REQUESTS)
    for argument in arguments:
        name, _, value = argument.partition("=")
        if name != "questions" or not value:
            raise SystemExit(f"unknown argument {argument!r}; use questions=FILE")
        requests += read_requests(Path(value))
    print(json.dumps(fit(requests), indent=2))


if __name__ == "__main__":
    program(main)
