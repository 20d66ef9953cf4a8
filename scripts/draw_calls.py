"""Draws the state diagram of a call and its table of transitions from `midsentence.core.calls.ROWS`, into the docs.

    python -m scripts.draw_calls            writes docs/calls.svg and the marked parts of docs/calls.md
    python -m scripts.draw_calls --check    says what is out of date, and changes nothing

The picture places states by hand and takes every arrow from the table. Late answers (`stale`) change no state and are
left out of the diagrams, not of the table.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from midsentence.core.calls import ROWS, TERMINAL, CallState, Input
from midsentence.ending import program

DOCS = Path(__file__).parent.parent / "docs"
PAGE, PICTURE = DOCS / "calls.md", DOCS / "calls.svg"

PLACES: dict[CallState, tuple[float, float]] = {
    CallState.BLOCKED: (0.0, 2.0),
    CallState.HELD: (2.6, 3.6),
    CallState.READY: (2.6, 2.0),
    CallState.RUNNING: (5.2, 2.0),
    CallState.DONE: (8.0, 3.6),
    CallState.FAILED: (8.0, 2.0),
    CallState.UNKNOWN: (8.0, 0.4),
    CallState.CANCELLED: (2.6, 0.4),
    CallState.SKIPPED: (0.0, 0.4),
}
BENDS: dict[tuple[CallState, CallState], float] = {
    (CallState.HELD, CallState.READY): 0.3,
    (CallState.READY, CallState.HELD): 0.3,
    (CallState.READY, CallState.FAILED): 0.32,
    (CallState.UNKNOWN, CallState.DONE): 0.62,
}
"""How far an arrow swings out to its right, in shares of its length; the rest are straight."""
BACK = (Input.REWIND, Input.REMOVE)
"""Drawn once as rules of their own: nearly every state has them, and as arrows they would hide the rest."""


def fingerprint() -> str:
    """Names the table that a picture was drawn from."""
    return hashlib.sha256(repr(ROWS).encode()).hexdigest()[:16]


def arrows() -> dict[tuple[CallState, CallState], list[str]]:
    """From state, to state → inputs, late answers left out."""
    found: dict[tuple[CallState, CallState], list[str]] = {}
    for row in ROWS:
        if row.input is not Input.STALE:
            effect = f" [{row.effect}]" if row.effect else ""
            found.setdefault((row.state, row.next), []).append(f"{row.input}{effect}")
    return found


def mermaid() -> str:
    """The diagram as Mermaid text."""
    lines = ["```mermaid", "stateDiagram-v2", "    direction LR", "    [*] --> blocked"]
    lines += [f"    {a} --> {b}: {', '.join(inputs)}" for (a, b), inputs in arrows().items()]
    lines += [
        f"    class {', '.join(sorted(TERMINAL))} terminal",
        "    classDef terminal fill:#e8eef7,stroke:#35507a",
        "```",
    ]
    return "\n".join(lines)


def table() -> str:
    """Every transition as a row of Markdown."""
    head = "| state | input | next | effect | when |\n|---|---|---|---|---|\n"
    return head + "\n".join(f"| {row.state} | {row.input} | {row.next} | {row.effect} | {row.why} |" for row in ROWS)


def page(text: str) -> str:
    """The page with its drawn parts as the table has them now.

    Raises:
        ValueError: a marker is missing.
    """
    for name, drawn in {"diagram": mermaid(), "transitions": table()}.items():
        begin, end = f"<!-- {name}: python -m scripts.draw_calls -->", f"<!-- end of {name} -->"
        if begin not in text or end not in text:
            raise ValueError(
                f"{PAGE.name} lacks {begin!r} or {end!r}; put the markers back where the {name} should stand"
            )
        text = re.sub(
            f"{re.escape(begin)}.*?{re.escape(end)}", lambda _, new=f"{begin}\n{drawn}\n{end}": new, text, flags=re.S
        )
    return text


def draw(path: Path) -> None:
    """Writes the picture."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "calls"
    from matplotlib import pyplot
    from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

    figure, axes = pyplot.subplots(figsize=(10.5, 5.2))
    boxes = {}
    for state, (x, y) in PLACES.items():
        face, edge = ("#e8eef7", "#35507a") if state in TERMINAL else ("#fdf3dd", "#9a6b00")
        boxes[state] = FancyBboxPatch(
            (x - 0.55, y - 0.24),
            1.1,
            0.48,
            boxstyle="round,pad=0.06,rounding_size=0.16",
            facecolor=face,
            edgecolor=edge,
            linewidth=1.4,
            zorder=3,
        )
        axes.add_patch(boxes[state])
        axes.text(x, y, str(state), ha="center", va="center", fontsize=12, color=edge, zorder=4)
    for (a, b), inputs in arrows().items():
        shown = [text for text in inputs if text.split()[0] not in BACK]
        if not shown or a is b:
            continue
        bend = BENDS.get((a, b), 0.0)
        (x0, y0), (x1, y1) = PLACES[a], PLACES[b]
        axes.add_patch(
            FancyArrowPatch(
                (x0, y0),
                (x1, y1),
                patchA=boxes[a],
                patchB=boxes[b],
                arrowstyle="-|>",
                mutation_scale=14,
                shrinkA=3,
                shrinkB=3,
                connectionstyle=f"arc3,rad={bend}",
                color="#444444",
                linewidth=1.2,
            )
        )
        # the middle of the bend lies to the right of the way from a to b, half as far out as its control point
        middle_x, middle_y = (x0 + x1) / 2 + bend * (y1 - y0) / 2, (y0 + y1) / 2 - bend * (x1 - x0) / 2
        axes.text(
            middle_x,
            middle_y,
            ", ".join(text.split()[0] for text in shown),
            ha="center",
            va="center",
            fontsize=9.5,
            color="#222222",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
            zorder=5,
        )
    for n, what in enumerate(BACK):
        rows = [row for row in ROWS if row.input is what]
        effects = ", ".join(f"{row.state} → {row.effect}" for row in rows if row.effect)
        text = f"{what}: from {', '.join(row.state for row in rows)} to {rows[0].next}  [{effects}]"
        axes.text(-0.6, -0.45 - 0.34 * n, text, fontsize=9.5, color="#222222")
    axes.set_xlim(-0.75, 9.4)
    axes.set_ylim(-1.0, 4.1)
    axes.set_aspect("equal")
    axes.axis("off")
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None, "Description": f"table {fingerprint()}"})
    pyplot.close(figure)


def main(arguments: list[str]) -> int:
    """See the module; with ``--check`` the exit status is 1 if anything is out of date."""
    new = page(PAGE.read_text("utf-8"))
    if "--check" in arguments:
        stale = [PAGE.name] if new != PAGE.read_text("utf-8") else []
        stale += (
            [PICTURE.name] if not PICTURE.exists() or f"table {fingerprint()}" not in PICTURE.read_text("utf-8") else []
        )
        print(
            f"out of date: {', '.join(stale)}; run python -m scripts.draw_calls"
            if stale
            else "the docs agree with the table"
        )
        return int(bool(stale))
    PAGE.write_text(new, "utf-8")
    draw(PICTURE)
    print(f"wrote {PAGE} and {PICTURE}")
    return 0


if __name__ == "__main__":
    program(main, __doc__)
