"""Where the possible saving is lost: ``python -m eval.saving runs=[outputs/replay/NAME]``.

Owns the division of the time between the floor and what an episode took, and the worst ten timelines in text
(``task_id=TASK`` prints one of them instead). `docs/saving.md` says how to read both. Covers mode ``speculative``, on
tasks that it and ``sequential`` get right; reads logs alone. Does not measure anything that `eval.report` does: its
share is that one.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from configs.command import command
from configs.schema import Config
from eval.measures.critical import CAUSES
from eval.measures.trace import Trace, trace
from eval.running.records import EpisodeRecord
from eval.running.results import BadResults, Key, read_file, read_manifest
from midsentence.clock import ns, seconds
from midsentence.core.lines import write_call
from midsentence.terminal import plain

OURS, BASE = "speculative", "sequential"
WORST = 10
SHOWN_NS = ns(2)
"""How long before the end of speech a printed timeline begins."""

STEPS = ("line under way", "taking in", "calls", "pause or answer", "rest", "until all is done", "the floor's part")
"""What the time from the final update on is spent on, in the order of precedence; the floor's own part is subtracted:

- ``line under way``: a line that was begun before the final update is being finished, for a line that has begun is not
  cut;
- ``taking in``: the final update and results go into the context;
- ``calls``: lines that only the final update made complete, and what closes them;
- ``pause or answer``: the words of the action that commits, where it is no call;
- ``rest``: the model waits;
- ``until all is done``: from the commit point to the end: held calls, and results still on their way;
- ``the floor's part``: the least that all of it takes, for one who knew the request beforehand."""


@dataclass(frozen=True, slots=True)
class Lost:
    """What one episode took more than its floor."""

    total_ns: int
    """Latency minus floor."""
    steps_ns: Mapping[str, int]
    """By `STEPS`; adds up to ``total_ns``."""
    left: str
    """What was left to write when the final update arrived."""


def lost(seen: Trace, speech_end_ns: int, latency_ns: int, floor_ns: int) -> Lost:
    """Divides the time from the floor to the end of an episode that answered."""
    end_ns, heard_ns = speech_end_ns + latency_ns, seen.final_ns
    assert heard_ns is not None, "an episode that answered heard the end"
    after = [span for span in seen.spans if span.saw_final]
    lines = [line for span in after for line in span.lines]
    written_ns = max((line.at_ns for line in lines), default=heard_ns)
    # one action may be cut behind its last line; the next one that ends is the commit point then
    ends = (span.end_ns for span in after if span.ended == "action" and span.end_ns >= written_ns)
    commit_ns = min(next(ends, end_ns), end_ns)
    layers: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for span in seen.spans:
        for piece in span.pieces:
            step = "pause or answer" if piece.part in ("pause", "answer") else "calls"
            layers[step if span.saw_final else "line under way"].append((piece.start_ns, piece.end_ns))
    layers["taking in"] = list(seen.appends)
    edges = {t for pairs in layers.values() for pair in pairs for t in pair if heard_ns < t < commit_ns}
    steps = dict.fromkeys(STEPS, 0)
    for start, end in pairwise(sorted({heard_ns, *edges, commit_ns})):
        step = next((name for name in STEPS[:4] if any(a <= start and end <= b for a, b in layers[name])), "rest")
        steps[step] += end - start
    steps["until all is done"] = end_ns - max(heard_ns, commit_ns)
    steps["the floor's part"] = heard_ns - speech_end_ns - floor_ns
    crossing = any(span.start_ns < heard_ns < span.end_ns and not span.saw_final for span in seen.spans)
    left = ("no line", "one line")[len(lines)] if len(lines) < 2 else "several lines"
    return Lost(latency_ns - floor_ns, steps, f"{left} left to write" + (", another under way" if crossing else ""))


def timeline(episode: EpisodeRecord, seen: Trace) -> list[str]:
    """The last seconds of an episode, a line an event: seconds from the end of the last word, who, what."""
    spoken_ns = episode.speech_end_ns
    events = []
    for update in seen.updates:
        events.append(
            (update.at_ns, "heard", ("end of speech: " if update.final else "") + (update.text or "(nothing more)"))
        )
    for span in seen.spans:
        mark = {"cut": " ✂", "error": " refused"}.get(span.ended, "")
        text = " ⏎ ".join(span.text.split("\n"))
        events.append((span.start_ns, "model", f"{seconds(span.end_ns - span.start_ns):.2f} s  {text}{mark}"))
    for run in seen.runs:
        text = write_call(run.call, run.name, tuple(run.args.values()))
        events.append((run.start_ns, "tool", f"{seconds(run.end_ns - run.start_ns):.2f} s  {text}"))
    events += [(at_ns, "user gets", text) for at_ns, text in seen.emits]
    events.sort(key=lambda event: event[0])
    return [
        f"{seconds(at_ns - spoken_ns):6.2f}  {who:9}  {text if len(text) <= 130 else text[:129] + '…'}"
        for at_ns, who, text in events
        if at_ns >= spoken_ns - SHOWN_NS
    ]


def pairs(folders: Sequence[str]) -> dict[Key, list[tuple[EpisodeRecord, int, EpisodeRecord]]]:
    """For each row of ours, its episodes with their floors and the baseline's, where both are right.

    Raises:
        BadResults: a folder can't be used, or no row has a baseline.
    """
    base: dict[tuple[Any, ...], EpisodeRecord] = {}
    ours: dict[Key, list[EpisodeRecord]] = {}
    for episode in _episodes(folders):
        where = (episode.source, episode.split, episode.backend, episode.profile)
        if episode.mode == BASE:
            base[(*where, episode.task, episode.seed)] = episode.bare()
        else:
            ours.setdefault(Key(*where[:3], OURS, where[3]), []).append(episode)
    found = {}
    for key, episodes in ours.items():
        both = []
        for episode in episodes:
            other = base.get((key.source, key.split, key.backend, key.profile, episode.task, episode.seed))
            if other is not None and other.right and episode.right:
                both.append((episode, min(episode.floor_ns, other.floor_ns), other))
        if both:
            found[key] = both
    if not found:
        raise BadResults(f"runs={list(folders)} hold no request that was right in modes {BASE} and {OURS}; replay both")
    return found


def _episodes(folders: Sequence[str]) -> Iterator[EpisodeRecord]:
    for folder in map(Path, folders):
        for entry in read_manifest(folder)["rows"]:
            if entry["mode"] in (OURS, BASE):
                yield from read_file(folder / entry["file"])


def summary(key: Key, found: Sequence[tuple[Lost, EpisodeRecord, Trace]], possible_ns: int) -> list[str]:
    """What is lost on average, by step and by what was left to write."""
    n, total = len(found), sum(item.total_ns for item, _, _ in found)
    steps: Counter[str] = Counter()
    left: defaultdict[str, list[int]] = defaultdict(list)
    for item, _, _ in found:
        steps.update(item.steps_ns)
        left[item.left].append(item.total_ns)
    lines = [
        f"{key.source}, {key.split}, {key.backend}, {key.profile}: {n} requests, share of the saving {1 - total / possible_ns:.3f}",
        f"lost: {seconds(total) / n:.2f} s of {seconds(possible_ns) / n:.2f} s that could be saved, a request",
        "  = "
        + "  + ".join(f"{seconds(steps[name]) / n:.2f} {name}" for name in STEPS[:-1])
        + f"  − {-seconds(steps[STEPS[-1]]) / n:.2f} {STEPS[-1]}",
    ]
    lines += _of_listener([episode for _, episode, _ in found], possible_ns, total)
    for name, times in sorted(left.items(), key=lambda item: -sum(item[1])):
        lines.append(f"  {name}: {len(times)} requests, {seconds(sum(times)) / len(times):.2f} s each")
    return lines


def _of_listener(episodes: Sequence[EpisodeRecord], possible_ns: int, lost_ns: int) -> list[str]:
    """What a listener without luck could have, and what the ends waited for; nothing of replays that don't say."""
    bounds_ns = [episode.listener_ns for episode in episodes if episode.listener_ns is not None]
    if len(bounds_ns) < len(episodes):
        return []
    n, took_ns, bound_ns = len(episodes), sum(episode.latency_ns for episode in episodes), sum(bounds_ns)
    lucky = sum(episode.latency_ns < least_ns for episode, least_ns in zip(episodes, bounds_ns))
    waited = Counter[str]()
    for episode in episodes:
        waited.update(episode.path_ns or {})
    causes = "  + ".join(f"{seconds(waited[cause]) / n:.2f} {cause}" for cause in CAUSES)
    return [
        f"a listener who guesses nothing: share at most {1 - (lost_ns - took_ns + bound_ns) / possible_ns:.3f}, "
        f"{seconds(took_ns - bound_ns) / n:.2f} s a request less; {lucky} requests were faster by a lucky guess",
        f"the end waits for: {seconds(took_ns) / n:.2f} s = {causes}",
    ]


def main(config: Config) -> None:
    """Prints, for each row, the division and the worst timelines."""
    printed = not config.task_id
    for key, episodes in pairs(config.runs).items():
        found = []
        for episode, floor_ns, _ in episodes:
            seen = trace(episode.history)
            found.append((lost(seen, episode.speech_end_ns, episode.latency_ns, floor_ns), episode, seen))
        possible_ns = sum(other.latency_ns - floor_ns for _, floor_ns, other in episodes)
        print(plain("\n".join(summary(key, found, possible_ns))))
        found.sort(key=lambda entry: (-entry[0].total_ns, entry[1].task))
        for item, episode, seen in (
            [entry for entry in found if entry[1].task == config.task_id] if config.task_id else found[:WORST]
        ):
            took = f"{seconds(episode.latency_ns):.2f} s, floor {seconds(episode.latency_ns - item.total_ns):.2f} s"
            print(plain(f"\n{episode.task}: {took}; {item.left}"))
            print(plain("\n".join(timeline(episode, seen))))
            printed = True
        print()
    if not printed:
        both = f"modes {OURS} and {BASE} both get right"
        raise BadResults(f"task_id={config.task_id} is no task that {both}; leave it out for the worst {WORST}")


if __name__ == "__main__":
    command(main)()
