"""Tables of conversations: a row of figures for each mode, how each kind of turn went in it, and one conversation turn
by turn.

Owns their columns. Does not compute any figure (`eval.measures.conversations` does).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from eval.figures.tables import NONE, Grid, groups
from eval.measures.statistics import proportion
from eval.running.records import EpisodeRecord
from midsentence.clock import seconds

Row = Mapping[str, Any]


def conversations(rows: Sequence[Row]) -> list[Grid]:
    """Two grids for each group of rows that has conversations."""
    grids = []
    for (source, split, profile), group in groups(rows).items():
        own = [row for row in group if row.get("conversations")]
        if not own:
            continue
        where = f"{source}, {split}, {profile}"
        grids.append(
            Grid(
                f"conversations: {where}",
                _HEADS,
                tuple(map(_line, own)),
                (
                    "Turns are judged one by one. Latency is from the end of a turn's last word to its answer, all its calls done.",
                    "Asked: a question where a value is lacking, and where none is. Silence: from the user's first word into an answer "
                    "until it stops; repeated: effects that mean the same, whatever turns they are in.",
                ),
            )
        )
        for backend in dict.fromkeys(row["backend"] for row in own):
            played = [row for row in own if row["backend"] == backend]
            kinds = sorted({kind for row in played for kind in row["conversations"]["kinds"]})
            lines = tuple((kind, *(_kind(row["conversations"]["kinds"].get(kind)) for row in played)) for kind in kinds)
            if growth := [row for row in played if row["conversations"].get("growth_tokens")]:
                grids.append(_growth(where, backend, growth))
            heads = ("kind of turn", *(row["mode"] for row in played))
            note = "Right of all, mean seconds to the answer, and in brackets the floor's mean."
            grids.append(Grid(f"kinds of turns: {where}, {backend}", heads, lines, (note,), left=1))
    return grids


def turn_by_turn(episodes: Sequence[EpisodeRecord]) -> Grid:
    """One conversation in some modes: what was said and answered, and seconds to each answer; ``✗`` where a turn went
    wrong.

    Args:
        episodes: records of the same task; said and answered are shown as they were in the last one.
    """
    last, lines = episodes[-1], []
    for n, turn in enumerate(last.turns):
        following = last.turns[n + 1].start_ns if n + 1 < len(last.turns) else None
        words = [
            word.text
            for word in last.words
            if turn.start_ns <= word.start_ns and (following is None or word.start_ns < following)
        ]
        late = [f"{seconds(each.turns[n].latency_ns):.2f}{'' if each.turns[n].right else ' ✗'}" for each in episodes]
        lines.append(
            (turn.kind.replace("_", " "), " ".join(words), turn.answer or NONE, *late, f"{seconds(turn.floor_ns):.2f}")
        )
    heads = ("turn", "the user says", "the agent answers", *(f"{each.mode}, s" for each in episodes), "floor, s")
    note = "Seconds from the end of a turn's last word to its answer, all its calls done."
    return Grid(last.task, heads, tuple(lines), (note,), left=3)


_HEADS = (
    "backend",
    "mode",
    "conversations right",
    "turns right",
    "mean s",
    "floor s",
    "by 1 s",
    "by 2 s",
    "asked",
    "asked needlessly",
    "silence s",
    "repeated",
    "tokens/turn",
    "longest context",
    "contexts made anew",
)


def _line(row: Row) -> tuple[str, ...]:
    found = row["conversations"]
    silent = found["silence_s"]
    return (
        row["backend"],
        row["mode"],
        _of(found["conversations_right"], found["conversations"]),
        _of(found["right"], found["n"]),
        f"{found['latency_mean_s']:.2f}",
        f"{found['floor_mean_s']:.2f}",
        *(f"{100 * found['success_by_s'][by]:.0f}%" for by in ("1", "2")),
        _of(*found["asked_where_needed"]),
        _of(*found["asked_needlessly"]),
        NONE if silent is None else f"{silent['median']:.2f} (n={silent['n']})",
        str(found["repeated_across_turns"]),
        f"{found['tokens_per_turn']:.0f}",
        str(found["context_tokens_max"]),
        str(found.get("forgets", 0)),
    )


def _growth(where: str, backend: str, rows: Sequence[Row]) -> Grid:
    """How contexts grow: by place of a turn, its own tokens, and all since the prompt."""
    most = max(len(row["conversations"]["growth_tokens"]) for row in rows)
    lines = []
    for n in range(most):
        steps = [row["conversations"]["growth_tokens"][n : n + 1] for row in rows]
        lines.append(
            (
                str(n + 1),
                str(steps[0][0]["n"]) if steps[0] else NONE,
                *(f"{step[0]['turn']:.0f} ({step[0]['since']:.0f})" if step else NONE for step in steps),
            )
        )
    note = "Mean tokens that a context grew by in a turn, and in brackets since its prompt."
    return Grid(
        f"growth of the context: {where}, {backend}",
        ("turn", "n", *(row["mode"] for row in rows)),
        tuple(lines),
        (note,),
        left=1,
    )


def _of(k: int, n: int) -> str:
    return proportion([1] * k + [0] * (n - k)).text if n else NONE


def _kind(found: Mapping[str, Any] | None) -> str:
    return (
        NONE
        if found is None
        else f"{found['right']}/{found['n']} {found['latency_mean_s']:.2f} ({found['floor_mean_s']:.2f})"
    )
