"""A page to look at episodes with: one HTML file that needs nothing but itself.

Owns what the page is told of the runs (`about`) and of an episode (`lanes`), which episodes it holds (`pick`), and the
putting together of the file from `page.html`, `page.css` and `page.js`. The page makes every piece of text a text node,
its data can't close its script element, and its content policy lets no other script run and nothing be fetched: what
users say and tools return stays data. Does not measure anything. Seconds from here on.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from configs.palette import CUT, HELD, INK, LINE, PARTS, RUNNING, SLIP, SOFT, UPDATE, VOID, WORD
from eval.figures.tables import NOTE, Grid, failures, results
from eval.measures.conversations import last_turn
from eval.measures.rows import BACKEND_ORDER, MODE_ORDER
from eval.measures.trace import History, Run, trace
from eval.running.records import EpisodeRecord
from eval.running.results import Episodes, read_file, read_manifest
from midsentence.clock import seconds
from midsentence.core.events import Append, Speaking
from midsentence.core.lines import write_call
from midsentence.files import write

MOST_EPISODES = 400
"""About 5 kB each."""
MOST_TASKS = 24
"""For each source and split."""

_HERE = Path(__file__).parent
_PALETTE = {
    "ink": INK,
    "soft": SOFT,
    "line": LINE,
    "word": WORD,
    "update": UPDATE,
    "slip": SLIP,
    "running": RUNNING,
    "held": HELD,
    "void": VOID,
    "cut": CUT,
} | {part.replace("_", "-"): colour for part, colour in PARTS.items()}


def write_page(
    path: Path,
    runs: Sequence[str],
    episodes: Episodes,
    rows: Sequence[Mapping[str, Any]] = (),
    pictured: str | None = None,
) -> None:
    """Writes the page of some folders of replays, whole or not at all.

    Args:
        path: the file.
        runs: the folders.
        episodes: what `eval.running.results.read_runs` found in them.
        rows: the report's, which are shown above the episodes.
        pictured: ID of the task that is shown first.
    """
    wanted = pick(episodes, pictured)
    found = [
        episode
        for run in map(Path, runs)
        for entry in read_manifest(run)["rows"]
        for episode in read_file(run / entry["file"])
        if (episode.source, episode.split, episode.task) in wanted
    ]
    write(path, page(found, pictured, about(runs, episodes, rows)))


def about(runs: Sequence[str], episodes: Episodes, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What stands above the episodes: which runs these are, the table of results, and how many requests each source
    has."""
    ids: dict[tuple[str, str], set[str]] = {}
    for key, own in episodes.items():
        ids.setdefault((key.source, key.split), set()).update(episode.task for episode in own)
    manifests = [read_manifest(Path(run)) for run in runs]
    return {
        "name": ", ".join(Path(run).name for run in runs),
        "runs": [[Path(run).name, *_made(manifest)] for run, manifest in zip(runs, manifests, strict=True)],
        "grids": [_told(grid) for grid in (*results(rows), *failures(rows))],
        "note": NOTE,
        "tasks": [[*where, len(own)] for where, own in ids.items()],
    }


def _made(manifest: Mapping[str, Any]) -> list[str]:
    """When a replay was made, by whom it was played, and with which code."""
    git = manifest.get("git", {})
    players = [f"{name}: {who}" for name, who in manifest.get("plays", {}).items()]
    return [
        manifest.get("finished", "no date"),
        "; ".join(players) or ", ".join(dict.fromkeys(row["backend"] for row in manifest["rows"])),
        f"code {git['commit'][:12]}{' and changes' if git.get('dirty') else ''}"
        if git.get("commit")
        else "code outside a checkout",
    ]


def _told(grid: Grid) -> dict[str, Any]:
    return {"title": grid.title, "heads": list(grid.heads), "rows": [list(row) for row in grid.rows], "left": grid.left}


def pick(episodes: Episodes, pictured: str | None = None) -> set[tuple[str, str, str]]:
    """Source, split and ID of the tasks that a page holds: the pictured one, some that went wrong, and others."""
    groups: dict[tuple[str, str], list[EpisodeRecord]] = {}
    for key, own in episodes.items():
        groups.setdefault((key.source, key.split), []).extend(own)
    most = max(1, min(MOST_TASKS, MOST_EPISODES // max(1, len(episodes))))
    picked = set()
    for (source, split), own in groups.items():
        wrong = sorted({episode.task for episode in own if not episode.right} - {pictured})[: most // 2]
        others = sorted({episode.task for episode in own} - {pictured} - set(wrong))
        first = [pictured] if pictured is not None and any(episode.task == pictured for episode in own) else []
        picked |= {(source, split, task) for task in [*first, *wrong, *others][:most]}
    return picked


def page(
    episodes: Iterable[EpisodeRecord], pictured: str | None = None, beside: Mapping[str, Any] | None = None
) -> str:
    """The page as text.

    Args:
        episodes: records with their words and logs.
        pictured: ID of the task that is shown first.
        beside: what `about` says of their runs.
    """
    tasks: dict[tuple[str, str, str], dict[str, Any]] = {}
    for episode in sorted(episodes, key=_order):
        key = (episode.source, episode.split, episode.task)
        if key not in tasks:
            said_s = seconds(episode.speech_end_ns)
            tasks[key] = dict(zip(("source", "split", "task"), key)) | {
                "of": episode.task,
                "words": _words(episode),
                "speech_end_s": said_s,
                "episodes": [],
            }
        tasks[key]["episodes"].append(lanes(episode))
    ordered = sorted(
        tasks.values(), key=lambda task: (task["task"] != pictured, task["source"], task["split"], task["task"])
    )
    script = (_HERE / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    palette = "".join(f"--{name}:{colour};" for name, colour in _PALETTE.items())
    parts = {
        "policy": f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'",
        "style": (_HERE / "page.css").read_text(encoding="utf-8").replace("/*palette*/", palette),
        "data": safe_json({"tasks": ordered, "about": beside}),
        "script": script,
    }
    # split once, so that nothing in a part is taken for a place
    head, *places = (_HERE / "page.html").read_text(encoding="utf-8").split("{{")
    return head + "".join(parts[name] + rest for place in places for name, _, rest in [place.partition("}}")])


def safe_json(value: Any) -> str:
    """JSON that can stand inside a script element: ASCII, without any character that HTML gives a meaning to."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def lanes(episode: EpisodeRecord) -> dict[str, Any]:
    """An episode as the page draws it; times in seconds from the first word."""
    history = episode.history
    seen = trace(history)
    said_ns = episode.speech_end_ns
    answered = episode.outcome == "answered"
    last = last_turn(episode)
    told = [
        [seconds(event.at_ns), segment.kind, segment.text.rstrip("\n")]
        for event, commands in history
        for command in commands
        if isinstance(command, Append)
        for segment in command.segments
    ]
    return (
        {
            name: getattr(episode, name)
            for name in ("backend", "mode", "profile", "seed", "outcome", "right", "cause", "why")
        }
        | {
            "latency_s": seconds(last.latency_ns),
            "floor_s": seconds(last.floor_ns),
            "end_s": seconds(said_ns + last.latency_ns if answered else max(seen.end_ns, said_ns)),
            "updates": [[seconds(update.at_ns), update.final, update.text, update.retracts] for update in seen.updates],
            "spans": [
                {
                    "start_s": seconds(span.start_ns),
                    "end_s": seconds(span.end_ns),
                    "ended": span.ended,
                    "pieces": [
                        [seconds(piece.start_ns), seconds(piece.end_ns), piece.part, piece.text]
                        for piece in span.pieces
                    ],
                }
                for span in seen.spans
            ],
            "appends": [[seconds(start), seconds(end)] for start, end in seen.appends],
            "calls": [
                {
                    "id": id,
                    "stays": [
                        [str(stay.state), seconds(stay.start_ns), seconds(stay.end_ns)]
                        for stay in seen.stays
                        if stay.call == id
                    ],
                    "runs": _runs([run for run in seen.runs if run.call == id]),
                }
                for id in sorted({stay.call for stay in seen.stays} | {run.call for run in seen.runs})
            ],
            "emits": [[seconds(at), text] for at, text in seen.emits],
            "told": told,
        }
        | (_conversed(episode, history, seen.emits) if episode.turns else {})
    )


def transcript(episode: EpisodeRecord) -> list[str]:
    """An episode as lines of text, in the order of time: what is heard, written, returned and answered, and what was
    spoken of it."""
    found = lanes(episode)
    rows = [(at_s, f"<{kind}> {text}") for at_s, kind, text in found["told"]]
    for span in found["spans"]:
        rows.append(
            (span["start_s"], "".join(piece[3] for piece in span["pieces"]) + (" ✂" if span["ended"] == "cut" else ""))
        )
    rows += [(at_s, f"→ {text}") for at_s, text in found["emits"]]
    rows += [
        (end_s, "the user speaks into it" if cut else "spoken to its end")
        for _, end_s, cut, _ in found.get("spoken", ())
    ]
    return [
        f"{at_s:7.2f}  {line}"
        for at_s, text in sorted(rows, key=lambda row: row[0])
        for line in text.rstrip().split("\n")
    ]


def _words(episode: EpisodeRecord) -> list[list[Any]]:
    return [[word.text, seconds(word.start_ns), seconds(word.end_ns), word.label] for word in episode.words]


def _conversed(episode: EpisodeRecord, history: History, emits: Sequence[tuple[int, str]]) -> dict[str, Any]:
    """What only a conversation has. When its turns begin depends on the answers, so its words have times of their
    own."""
    turns = [
        {
            "kind": turn.kind,
            "right": turn.right,
            "start_s": seconds(turn.start_ns),
            "said_s": seconds(turn.speech_end_ns),
            "latency_s": seconds(turn.latency_ns),
            "floor_s": seconds(turn.floor_ns),
            "answered": turn.answer is not None,
        }
        for turn in episode.turns
        if turn.said
    ]
    return {
        "words": _words(episode),
        "speech_end_s": seconds(episode.speech_end_ns),
        "turns": turns,
        "spoken": spoken(history, emits),
    }


def spoken(history: History, emits: Sequence[tuple[int, str]]) -> list[list[Any]]:
    """Answers as they were spoken: start, end, whether the user cut it, and its text."""
    found: list[list[Any]] = []
    for event, _ in history:
        if isinstance(event, Speaking) and event.part != "begun":
            start_ns, text = [emit for emit in emits if emit[0] <= event.at_ns][-1]
            found.append([seconds(start_ns), seconds(event.at_ns), event.part == "cut", text])
    return found


def _runs(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """A call's starts; of these only the last can be of use."""
    return [
        {
            "start_s": seconds(run.start_ns),
            "end_s": seconds(run.end_ns),
            "ended": run.ended,
            "version": run.version,
            "used": run is runs[-1] and run.ended == "done",
            "text": write_call(run.call, run.name, tuple(run.args.values())).partition(". ")[2],
            "result": None if run.value is None else json.dumps(run.value, ensure_ascii=False),
        }
        for run in runs
    ]


def _order(episode: EpisodeRecord) -> tuple[Any, ...]:
    def place(order: Sequence[str], name: str) -> tuple[int, str]:
        return (order.index(name) if name in order else len(order), name)

    backend, mode = place(BACKEND_ORDER, episode.backend), place(MODE_ORDER, episode.mode)
    return (episode.source, episode.split, episode.task, backend, episode.profile, mode, episode.seed)
