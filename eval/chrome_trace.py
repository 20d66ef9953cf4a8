"""An episode in the trace format of Chrome and Perfetto:
``python -m eval.chrome_trace path=outputs/replay/debug row=7``.

Owns the translation; open the file at ui.perfetto.dev or in chrome://tracing. The format is Google's "Trace Event
Format": complete events (``X``) and instants (``i``) with microseconds, one thread a lane, named by metadata events
(``M``).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from configs.command import command
from configs.schema import Config
from eval.measures.trace import trace
from eval.running.records import EpisodeRecord
from eval.running.results import read_file, read_manifest
from midsentence.core.lines import write_call
from midsentence.ending import UserError
from midsentence.files import marker, write
from midsentence.terminal import plain

_WORDS, _UPDATES, _MODEL, _APPENDS, _ANSWER, _CALLS = 1, 2, 3, 4, 5, 10


def main(config: Config) -> None:
    """Writes episode ``row`` of the folder of replays ``path``."""
    if not config.path:
        raise UserError("give the folder of replays: path=PATH")
    episode = find(Path(config.path), config.row)
    path = Path(config.out or f"outputs/chrome_trace/{config.name}-{config.row}.json")
    if path.is_file() and "traceEvents" not in marker(path):
        raise UserError(f"out={path} is there already and no trace; give another out=")
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, json.dumps(chrome_trace(episode)) + "\n")
    print(plain(f"trace of task {episode.task}, {episode.backend}, {episode.mode}: {path}"))


def find(folder: Path, number: int) -> EpisodeRecord:
    """Episode ``number`` of a folder, counted from 0 over all its rows in the manifest's order.

    Raises:
        UserError: the folder has fewer.
    """
    count = 0
    for entry in read_manifest(folder)["rows"]:
        for episode in read_file(folder / entry["file"]):
            if count == number:
                return episode
            count += 1
    raise UserError(f"row={number} is not in {folder}: it has episodes 0 to {count - 1}")


def chrome_trace(episode: EpisodeRecord) -> dict[str, Any]:
    """The episode as a JSON object of the format; times are microseconds from the first word."""
    seen = trace(episode.history)
    name = f"{episode.source} {episode.task}, {episode.backend}, {episode.mode}, {episode.profile}"
    lanes = {_WORDS: "user says", _UPDATES: "is heard", _MODEL: "model", _APPENDS: "takes in", _ANSWER: "user gets"}
    calls = sorted({stay.call for stay in seen.stays} | {run.call for run in seen.runs})
    for call in calls:
        lanes |= {_CALLS + 2 * call: f"call {call}", _CALLS + 2 * call + 1: f"call {call} state"}
    events: list[dict[str, Any]] = [{"ph": "M", "pid": 1, "tid": 0, "name": "process_name", "args": {"name": name}}]
    for lane, title in lanes.items():
        events.append({"ph": "M", "pid": 1, "tid": lane, "name": "thread_name", "args": {"name": title}})
        events.append({"ph": "M", "pid": 1, "tid": lane, "name": "thread_sort_index", "args": {"sort_index": lane}})
    for word in episode.words:
        events.append(_complete(_WORDS, word.text, "word", word.start_ns, word.end_ns, label=word.label))
    for update in seen.updates:
        kind = "final update" if update.final else "update"
        events.append(_instant(_UPDATES, update.text or kind, kind, update.at_ns, retracts=update.retracts))
    events.append(_instant(_WORDS, "end of the last word", "mark", episode.speech_end_ns))
    for span in seen.spans:
        for piece in span.pieces:
            events.append(
                _complete(
                    _MODEL, piece.part, "model", piece.start_ns, piece.end_ns, text=piece.text, tokens=piece.tokens
                )
            )
        if span.ended in ("cut", "error"):
            events.append(_instant(_MODEL, span.ended, "model", span.end_ns))
    events += [_complete(_APPENDS, "append", "model", start_ns, end_ns) for start_ns, end_ns in seen.appends]
    for stay in seen.stays:
        events.append(_complete(_CALLS + 2 * stay.call + 1, str(stay.state), "state", stay.start_ns, stay.end_ns))
    for run in seen.runs:
        told = {
            "call": write_call(run.call, run.name, (), run.args),
            "version": run.version,
            "ended": run.ended,
            "value": run.value,
        }
        events.append(_complete(_CALLS + 2 * run.call, run.name, "tool", run.start_ns, run.end_ns, **told))
    events += [_instant(_ANSWER, text, "answer", at_ns) for at_ns, text in seen.emits]
    # the order of the file is that of time, metadata first
    events.sort(key=lambda event: (event["ph"] != "M", event.get("ts", 0)))
    return {
        "traceEvents": events,
        "displayTimeUnit": "ms",
        "otherData": {"outcome": episode.outcome, "right": episode.right},
    }


def _complete(lane: int, name: str, kind: str, start_ns: int, end_ns: int, **args: Any) -> dict[str, Any]:
    return {
        "ph": "X",
        "pid": 1,
        "tid": lane,
        "name": name,
        "cat": kind,
        "ts": start_ns / 1000,
        "dur": (end_ns - start_ns) / 1000,
        "args": args,
    }


def _instant(lane: int, name: str, kind: str, at_ns: int, **args: Any) -> dict[str, Any]:
    return {"ph": "i", "s": "t", "pid": 1, "tid": lane, "name": name, "cat": kind, "ts": at_ns / 1000, "args": args}


if __name__ == "__main__":
    command(main)()
