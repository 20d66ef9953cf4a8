"""What the virtual clock foretells beside what the wall clock measures: the same requests, model, engine and machine.

    python -m scripts.bench wallclock [--tasks 4] [--modes sequential eager_end] [--minutes 20] [--out FOLDER]
    python -m scripts.bench wallclock --runtime vllm [--server URL]

Commands of ours, one after the other, each printed before it runs: `midsentence calibrate` measures the engine, in
a context as long as the requests have, and what a session makes of its tokens, on two requests of its own;
`eval.replay experiment=wallclock_llamacpp` (or `wallclock_vllm`, with a server that runs already) runs on the wall
clock; then the same on the virtual clock, an episode at a time, on a device with the rates that were measured; then
the engine is measured again, which tells whether the machine was steady. A GGUF file or a folder that is not there
is made first. For a core on which nothing else runs.

Prints a table on the standard error, and one line of JSON. An error is what was foretold less what was measured, in
seconds, over requests that are answered on both clocks, rightly or not, and over those of them that are answered in
the same words. Ends with status 1 if ``--minutes`` were not enough; the same command, run again, goes on where it
stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from eval.measures.latency import PARTS
from eval.running.records import EpisodeRecord
from eval.running.results import read_runs
from midsentence.models.llamacpp import gguf_in

RUNTIMES = ("llamacpp", "vllm")
MODEL = "outputs/export/smollm2-midsentence"
MODES = ("sequential", "parallel", "eager_end", "speculative", "verified")
CONTEXT_TOKENS = 800
"""Of the context that the engine is measured in: about what the assistant's requests have, tools and all."""
PROFILE = "measured"
_COLUMNS = {
    "measured_s": ".2f",
    "foretold_s": ".2f",
    "error_s": "+.2f",
    "absolute_error_s": ".2f",
    "worst_error_s": "+.2f",
}
Run = Callable[[Sequence[str], float, Path | None], None]
"""Runs a module of ours with its options, within so many seconds, and leaves what it prints in a file or shows it."""


def run(words: Sequence[str], left_s: float, out: Path | None = None) -> None:
    """See `Run`.

    Raises:
        TimeoutExpired: it took longer; it was ended.
        CalledProcessError: it failed, and has said why.
    """
    print(f"python -m {shlex.join(words)}", file=sys.stderr, flush=True)
    command, begun = [sys.executable, "-m", *words], time.monotonic()
    if out is None:
        subprocess.run(command, stdout=sys.stderr.fileno(), timeout=max(1.0, left_s), check=True)
    else:
        with out.open("wb") as file:
            subprocess.run(command, stdout=file, timeout=max(1.0, left_s), check=True)
    print(f"({time.monotonic() - begun:.0f} s)", file=sys.stderr, flush=True)


def calibrate(runtime: str, server: str) -> list[str]:
    """The command that measures the engine."""
    words = ["midsentence", "calibrate", "--adapter", MODEL, "--runtime", runtime]
    there = ["--server", server] if server else []
    return [*words, *there, "--context", str(CONTEXT_TOKENS), "--session", "--name", PROFILE, "--json"]


def command_of(runtime: str, asked: Sequence[str], folder: Path, profile: dict[str, Any] | None = None) -> list[str]:
    """The command that replays: on the wall clock, or on the virtual one with the profile that `calibrate` gave."""
    words = ["eval.replay", f"experiment=wallclock_{runtime}", *asked, f"out={folder}"]
    if profile is None:
        return words
    rates = f"decode_tokens_per_s: {profile['decode_tokens_per_s']}, prefill_tokens_per_s: {profile['prefill_tokens_per_s']}"
    device = f"clock.profiles.{PROFILE}={{{rates}, restart_s: {profile['restart_ns'] / 1e9:.6f}}}"
    return [*words, "time=virtual", "eval.batch=1", f"eval.profiles=[{PROFILE}]", device]


def is_there(runtime: str) -> bool:
    """Whether what the engine reads has been exported."""
    if runtime != "llamacpp":
        return (Path(MODEL) / "tokenizer.json").is_file()
    try:
        gguf_in(MODEL)
    except FileNotFoundError:
        return False
    return True


def made(
    folder: Path, runtime: str, server: str, asked: Sequence[str], left_s: Callable[[], float], run: Run
) -> dict[str, Any]:
    """Runs what is not there yet; gives what `calibrate` told before and after."""
    if not is_there(runtime):
        files = ["gguf=true", "gguf_q8=true"] if runtime == "llamacpp" else []
        export = ["training.export", "path=smollm2-midsentence", "model=smollm2", f"out={MODEL}", *files]
        run(export, left_s(), None)
    folder.mkdir(parents=True, exist_ok=True)
    told: dict[str, Any] = {}
    for name in ("before", "after"):
        path = folder / f"{name}.json"
        if not path.is_file():
            run(calibrate(runtime, server), left_s(), half := path.with_suffix(".part"))
            half.rename(path)
        told[name] = json.loads(path.read_text("utf-8"))
        if name == "before":
            run(command_of(runtime, asked, folder / "real"), left_s(), None)
            run(command_of(runtime, asked, folder / "virtual", told[name]["profile"]), left_s(), None)
    return told


def compared(measured: Sequence[EpisodeRecord], foretold: Sequence[EpisodeRecord]) -> dict[str, Any]:
    """One mode, or all: how many are right, and the errors of those that are answered on both clocks, wrongly too.

    The engine rounds otherwise where tokens are read in one pass than where they are written one by one, so now and then
    the model writes something else on the other clock. Those that were answered in the same words are told apart:
    they alone are the same episode.
    """
    other = {(episode.mode, episode.task): episode for episode in foretold}
    both = [(mine, other[mine.mode, mine.task]) for mine in measured]
    pairs = [(mine, its) for mine, its in both if mine.outcome == its.outcome == "answered"]
    same = [(mine, its) for mine, its in pairs if mine.answer == its.answer]
    row: dict[str, Any] = {
        "requests": len(measured),
        "right_measured": sum(episode.right for episode in measured),
        "right_foretold": sum(episode.right for episode in foretold),
        "answered_on_both": len(pairs),
        "same_answer": len(same),
    }
    row |= _errors(pairs)
    return row | ({"same": _errors(same)} if same else {})


def _errors(pairs: Sequence[tuple[EpisodeRecord, EpisodeRecord]]) -> dict[str, Any]:
    if not pairs:
        return {}
    errors = [(its.latency_ns - mine.latency_ns) / 1e9 for mine, its in pairs]
    mean = statistics.mean(mine.latency_ns for mine, _ in pairs) / 1e9
    parts = {
        part: statistics.mean(its.parts_ns[part] - mine.parts_ns[part] for mine, its in pairs) / 1e9 for part in PARTS
    }
    return {
        "measured_s": round(mean, 2),
        "foretold_s": round(mean + statistics.mean(errors), 2),
        "error_s": round(statistics.mean(errors), 2),
        "absolute_error_s": round(statistics.mean(map(abs, errors)), 2),
        "worst_error_s": round(max(errors, key=abs), 2),
        "error_percent": round(100 * statistics.mean(errors) / mean, 1) if mean else None,
        "error_by_part_s": {part: round(value, 2) for part, value in parts.items() if round(value, 2)},
    }


def report(folder: Path) -> dict[str, Any]:
    """What two finished replays say of each other."""
    real, virtual = (
        [episode for row in read_runs([str(folder / name)]).values() for episode in row] for name in ("real", "virtual")
    )
    of = {
        mode: compared(*([episode for episode in row if episode.mode == mode] for row in (real, virtual)))
        for mode in sorted({episode.mode for episode in real}, key=MODES.index)
    }
    return {"modes": of, "all": compared(real, virtual)}


def table(found: dict[str, Any]) -> str:
    """The rows as Markdown: of each mode, of all, and of those that were answered in the same words on both clocks."""
    lines = [
        "| mode | right, measured | right, foretold | on both | measured s | foretold s | error s | absolute s | worst s | error |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    every = found["all"]
    for mode, row in [*((f"`{mode}`", row) for mode, row in found["modes"].items()), ("all", every)]:
        counts = [f"{row[name]}/{row['requests']}" for name in ("right_measured", "right_foretold", "answered_on_both")]
        lines.append(f"| {' | '.join([mode, *counts, *_times(row)])} |")
    same = f"{every['same_answer']}/{every['requests']}"
    lines.append(f"| {' | '.join(['of these, the same answer', '', '', same, *_times(every.get('same', {}))])} |")
    return "\n".join(lines)


def _times(row: dict[str, Any]) -> list[str]:
    percent = row.get("error_percent")
    times = [f"{row[name]:{form}}" if name in row else "–" for name, form in _COLUMNS.items()]
    return [*times, "–" if percent is None else f"{percent:+.0f}%"]


def main(arguments: Sequence[str], run: Run = run) -> int:
    """Runs, compares, prints."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.bench wallclock", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--tasks", type=int, default=4, help="requests of each mode (%(default)s)")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES[:4])
    parser.add_argument("--minutes", type=float, default=20.0, help="when to stop, if it is not through (%(default)s)")
    parser.add_argument("--runtime", choices=RUNTIMES, default=RUNTIMES[0], help="the engine (%(default)s)")
    parser.add_argument("--server", default="", metavar="URL", help="vLLM's, if it is not the usual one")
    parser.add_argument("--out", type=Path, help="folder of the episodes (outputs/wallclock_RUNTIME)")
    options = parser.parse_args(arguments)
    folder = options.out or Path("outputs") / f"wallclock_{options.runtime}"
    if options.server and options.runtime != "vllm":
        parser.error("--server is vLLM's; add --runtime vllm")
    begun, load = time.monotonic(), os.getloadavg()[0]
    asked = [f"eval.tasks={options.tasks}", f"eval.modes=[{','.join(options.modes)}]"]
    asked += [f"eval.vllm.url={options.server}"] if options.server else []
    try:
        told = made(
            folder,
            options.runtime,
            options.server,
            asked,
            lambda: 60 * options.minutes - (time.monotonic() - begun),
            run,
        )
    except subprocess.TimeoutExpired:
        print(
            f"bench: not through after {options.minutes:g} minutes, as on an idle core it would be; run the same again to go on, or give "
            f"fewer --tasks and another --out than {folder}",
            file=sys.stderr,
        )
        return 1
    except subprocess.CalledProcessError as error:
        return int(error.returncode)
    found = report(folder)
    print(f"\n{table(found)}", file=sys.stderr)
    head = {
        "bench": "wallclock",
        "runtime": options.runtime,
        "tasks": options.tasks,
        "minutes": round((time.monotonic() - begun) / 60, 1),
        "load_before_and_after": [round(load, 2), round(os.getloadavg()[0], 2)],
        "threads": told["before"]["threads"],
        "profile": told["before"]["profile"],
        "profile_after": told["after"]["profile"],
    }
    print(json.dumps(head | found))
    return 0
