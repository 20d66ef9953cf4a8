"""Published figures, from reports into documents:
``python -m scripts.publish [name=expert report=outputs/expert_all]``.

With a name and a report, keeps what is published of it under ``results/<name>/`` (rows without their curves, the
report's tables and plots, the manifests of its runs). Then fills every marked table of README.md and docs/ from there:

    <!-- table expert profile=laptop modes=sequential,eager_end,speculative columns=source,mode,n,right -->
    <!-- /table -->

``check=true`` changes nothing and ends with status 1 if a table differs from its results: a test does that, so a
document can't say what no run gave. Owns which columns there are. Does not compute a figure.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from eval.figures.tables import Grid, _ranged, _share, _times
from midsentence.ending import program
from midsentence.files import write

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "results"
DOCUMENTS = ("README.md", "docs/*.md")
LEFT_OUT = ("success_curve", "by_tag", "by_label", "time_s")
"""Of each row: long, and in no table."""

_TABLE = re.compile(r"<!-- table (?P<spec>[^>]*?) -->\n.*?<!-- /table -->", re.DOTALL)

Row = Mapping[str, Any]

SOURCES = {
    "assistant": "assistant, generated",
    "naturalistic": "naturalistic, generated",
    "written": "written one by one",
    "written_apart": "written apart, assistant",
    "domains": "written apart, eight domains",
}


def _per_100(row: Row, name: str) -> str:
    return f"{row[f'{name}_per_100']:.1f}"


def _share_of_saving(row: Row) -> str:
    return _ranged(row["share_of_saving"], row.get("share_of_saving_ci95"), lambda x: f"{x:.2f}")


COLUMNS: dict[str, tuple[str, Callable[[Row], str]]] = {
    "source": ("requests", lambda r: SOURCES.get(r["task"], r["task"])),
    "profile": ("device", lambda r: r["profile"]),
    "backend": ("who", lambda r: r["backend"]),
    "mode": ("mode", lambda r: f"`{r['mode']}`"),
    "n": ("n", lambda r: str(r["n"])),
    "right": ("right", lambda r: _share(r, r["accuracy"], r["accuracy_ci95"])),
    "mean": ("mean s", lambda r: f"{r['latency_mean_s']:.2f}"),
    "by2": ("right by 2 s", lambda r: _share(r, r["success_by_s"]["2"])),
    "sequential": ("× `sequential`", lambda r: _times(r, "sequential")),
    "parallel": ("× `parallel`", lambda r: _times(r, "parallel")),
    "eager_end": ("× `eager_end`", lambda r: _times(r, "eager_end")),
    "share": ("share of the saving", _share_of_saving),
    "vain": ("calls in vain", lambda r: f"{r['wasted_calls_per_task']:.2f}"),
    "tokens": ("tokens written", lambda r: f"{r['model_tokens_per_task']:.0f}"),
    "held": ("held", lambda r: str(r["held_calls"])),
    "before_commit": ("before commit", lambda r: str(r["effects_before_commit"])),
    "before_last_word": ("before the last word, /100", lambda r: _per_100(r, "effects_before_last_word")),
    "wrong": ("wrong of them, /100", lambda r: _per_100(r, "wrong_effects_before_last_word")),
}
"""Heads and cells of published tables, by the names that markers use."""

_TEXTS = ("source", "profile", "backend", "mode")


def main(arguments: Sequence[str]) -> int:
    """Keeps a report's results if one is named, then fills or checks the tables."""
    options = dict(argument.partition("=")[::2] for argument in arguments)
    name, report, check = options.pop("name", ""), options.pop("report", ""), options.pop("check", "false") == "true"
    if options or bool(name) != bool(report):
        print("publish: use name=RESULT report=FOLDER together, or check=true", file=sys.stderr)
        return 2
    if name:
        keep(Path(report), RESULTS / name)
    stale = [path for path in documents() if fill(path, check)]
    for path in stale:
        print(f"{path.relative_to(ROOT)}: {'differs from its results' if check else 'filled'}")
    return int(check and bool(stale))


def documents() -> list[Path]:
    """The documents that may hold marked tables."""
    return sorted(path for pattern in DOCUMENTS for path in ROOT.glob(pattern))


def keep(report: Path, folder: Path) -> None:
    """Copies what is published of a report; what was there before is replaced."""
    whole = json.loads((report / "report.json").read_text("utf-8"))
    rows = [{name: value for name, value in row.items() if name not in LEFT_OUT} for row in whole["rows"]]
    kept = {"schema_version": whole["schema_version"], "git": whole["git"], "runs_git": whole["runs_git"], "rows": rows}
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / "rows.json", json.dumps(kept, indent=1) + "\n")
    for file in ("report.md", "success.png"):
        if (report / file).exists():
            shutil.copy(report / file, folder / file)
    for run in whole["runs"]:
        shutil.copy(Path(run) / "manifest.json", folder / f"{Path(run).name}.manifest.json")


def fill(path: Path, check: bool = False) -> bool:
    """Fills a document's marked tables; gives whether that changes it. With ``check`` the file stays as it is."""
    text = path.read_text(encoding="utf-8")
    filled = _TABLE.sub(lambda found: f"<!-- table {found['spec']} -->\n{table(found['spec'])}<!-- /table -->", text)
    if filled != text and not check:
        write(path, filled)
    return filled != text


def table(spec: str) -> str:
    """The table that a marker asks for.

    Raises:
        ValueError: no such results or columns, or no row fits; the text names what there is.
    """
    name, *options = spec.split()
    asked = {key: values.split(",") for key, values in (option.split("=", 1) for option in options)}
    file = RESULTS / name / "rows.json"
    if not file.exists():
        there = ", ".join(sorted(path.parent.name for path in RESULTS.glob("*/rows.json")))
        raise ValueError(f"a table asks for results {name!r}; there are {there or 'none'}")
    columns = asked.pop("columns", ["source", "mode", "n", "right", "mean"])
    if odd := [column for column in columns if column not in COLUMNS]:
        raise ValueError(f"a table asks for column {odd[0]!r}; use some of {', '.join(COLUMNS)}")
    rows = select(json.loads(file.read_text("utf-8"))["rows"], asked)
    if not rows:
        raise ValueError(f"no row of results/{name} fits {spec!r}")
    cells = tuple(tuple(COLUMNS[column][1](row) for column in columns) for row in rows)
    left = sum(column in _TEXTS for column in columns)
    return (
        "\n".join(Grid("", tuple(COLUMNS[column][0] for column in columns), cells, left=left).markdown()).rstrip()
        + "\n"
    )


def select(rows: Sequence[Row], asked: Mapping[str, Sequence[str]]) -> list[Row]:
    """The rows that a marker asks for, in the order in which it names sources, profiles, backends and modes."""
    fields = {"sources": "task", "profile": "profile", "backends": "backend", "modes": "mode", "split": "split"}
    wanted = {fields[key]: list(values) for key, values in asked.items()}
    wanted.setdefault("backend", ["expert"])
    found = [row for row in rows if all(row[field] in values for field, values in wanted.items())]
    order = [field for field in ("task", "profile", "backend", "mode") if field in wanted]
    return sorted(found, key=lambda row: [wanted[field].index(row[field]) for field in order])


if __name__ == "__main__":
    program(main)
