"""Compares `eval.measures.bfcl.check` with the leaderboard's own evaluation, row by row, on right and on spoilt calls.

Owns the spoiling, the leaderboard's result files and the comparison of verdicts. Does not judge: one side is
`eval.measures.bfcl`, the other is BFCL's command ``bfcl evaluate``, in an environment of its own that has all of
bfcl-eval's dependencies.

    python -m scripts.check_bfcl write DIR               # every used row: calls as result files, and our verdicts
    BFCL/bin/python scripts/check_bfcl.py judge DIR      # BFCL/: the other environment; nothing of this project is
    imported
    python -m scripts.check_bfcl compare DIR             # counts as JSON; fails unless every verdict is the same
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

Call = tuple[str, dict[str, Any]]
"""A tool's name and its arguments by parameter."""

ODD = (None, True, 0, 1.5, "", "spoilt", [], ["spoilt"], [[]], [{"spoilt": 1}], {}, {"spoilt": 1})
"""One of each shape: what an argument becomes when its type is wrong."""


def altered(value: Any) -> Iterator[tuple[str, Any]]:
    """What a value may become, each with the kind of change; the checker, not the kind, says whether it is still
    right."""
    match value:
        case bool():
            yield "wrong value", not value
        case int() | float():
            yield from (("wrong value", value + 987654), ("wrong value", -value - 1), ("wrong value", value * 1.0001))
            yield from (("number of the other type", float(value) if isinstance(value, int) else int(value)),)
        case str():
            yield from (("wrong value", value + " spoilt"), ("wrong value", value[1:]))
            yield "text in other case and marks", f" {value.upper()}, "
        case [first, *rest]:
            yield from (("list in other order", value[::-1]), ("wrong value", rest), ("wrong value", [*value, first]))
            for kind, other in altered(first):
                yield f"in a list: {kind}", [other, *rest]
        case dict():
            yield "unknown field", {**value, "unheard_of": 1}
            for name, part in value.items():
                yield "field left out", {other: kept for other, kept in value.items() if other != name}
                for kind, other in altered(part):
                    yield f"in an object: {kind}", {**value, name: other}
    yield from (("wrong type", str(value)), ("wrong type", [value]))
    yield from (("wrong type", odd) for odd in ODD)


def variants(
    gold: Sequence[Call], accepted: Sequence[Mapping[str, Sequence[Any]]], offered: Sequence[str]
) -> Iterator[tuple[str, list[Call]]]:
    """Right calls and systematically spoilt ones, each with its kind: every call and every argument in turn.

    Args:
        gold: the right calls.
        accepted: for each call the accepted values by parameter; ``""`` among them means "may be left out".
        offered: names of all tools at hand.
    """
    yield "gold", list(gold)
    yield "calls in other order", list(gold[::-1])
    yield "calls in other order", [*gold[1:], *gold[:1]]
    yield "arguments in other order", [(name, dict(reversed(args.items()))) for name, args in gold]
    yield "no calls", []
    for k, (name, args) in enumerate(gold):
        before, after = gold[:k], gold[k + 1 :]
        others = [other for other in offered if other != name]
        yield "call missing", [*before, *after]
        yield "call twice", [*before, gold[k], *gold[k:]]
        for other in ("unheard_of", *others):
            yield "extra call", [*gold, (other, args)]
        for wrong in (name + "s", name.upper(), name.replace(".", "_"), *others):
            yield "wrong name", [*before, (wrong, args), *after]
        yield "unknown argument", [*before, (name, {**args, "unheard_of": 1}), *after]
        yield "no arguments", [*before, (name, {}), *after]
        for param in args:
            without = {other: value for other, value in args.items() if other != param}
            yield "argument left out", [*before, (name, without), *after]
            for kind, value in altered(args[param]):
                yield kind, [*before, (name, {**args, param: value}), *after]
            for j, (other_name, other_args) in enumerate(after):
                if param in other_args:
                    later = [*after[:j], (other_name, {**other_args, param: args[param]}), *after[j + 1 :]]
                    yield "values exchanged", [*before, (name, {**args, param: other_args[param]}), *later]
        for param, values in accepted[k].items():
            for value in values:
                yield "other accepted value", [*before, (name, {**args, param: value}), *after]


def distinct(made: Iterator[tuple[str, list[Call]]]) -> list[tuple[str, list[Call]]]:
    """Without the variants that are equal to an earlier one, ``1`` and ``1.0`` and ``True`` being three values."""
    first: dict[str, tuple[str, list[Call]]] = {}
    for kind, calls in made:
        first.setdefault(json.dumps(calls), (kind, calls))
    return list(first.values())


def as_tags(calls: Sequence[Call]) -> str:
    """Calls as a function-calling Qwen writes them: a JSON object each, between tags."""
    lines = (json.dumps({"name": name, "arguments": args}, ensure_ascii=False) for name, args in calls)
    return "\n".join(f"<tool_call>\n{line}\n</tool_call>" for line in lines)


def as_python(calls: Sequence[Call]) -> str:
    """Calls as a prompted model writes them: ``[f(a=1), g(b='x')]``."""
    return "[" + ", ".join(f"{name}({', '.join(f'{p}={v!r}' for p, v in args.items())})" for name, args in calls) + "]"


FORMS: Mapping[str, Callable[[Sequence[Call]], str]] = {"Qwen/Qwen3-8B-FC": as_tags, "Qwen/Qwen3-8B": as_python}
"""Registered models whose handlers read the two forms; like ours, their function names keep their dots."""


def folder_of(model: str) -> str:
    """A model's folder among results and scores."""
    return model.replace("/", "_")


def write(folder: Path) -> None:
    """Writes result files, one variant of each row a round, and ``ours.jsonl`` with our verdicts."""
    from data_gen.gold import canonical
    from data_gen.tasks import bfcl
    from eval.measures.bfcl import check

    files: dict[Path, list[str]] = defaultdict(list)
    verdicts = []
    for task in (task for split in bfcl.SHARES for task in bfcl.tasks(split, 0, bfcl.CATEGORIES)):
        gold = [(call.name, canonical(call)) for call in task.gold]
        accepted = [{name: arg.accepted for name, arg in call.args.items()} for call in task.gold]
        made = variants(gold, accepted, [tool.name for tool in task.tools])
        for number, (kind, calls) in enumerate(distinct(made)):
            verdict, category, place = check(task, calls), task.meta["category"], f"round_{number:04}"
            for model, form in FORMS.items():
                path = folder / place / "result" / folder_of(model) / f"BFCL_v4_{category}_result.json"
                files[path].append(json.dumps({"id": task.id, "result": form(calls)}))
            row = {
                "round": place,
                "id": task.id,
                "category": category,
                "split": task.split,
                "kind": kind,
                "calls": len(calls),
            }
            verdicts.append({**row, "valid": verdict.valid, "error": verdict.error})
    for path, lines in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "ours.jsonl").write_text("".join(json.dumps(row) + "\n" for row in verdicts), encoding="utf-8")
    print(f"{len(verdicts)} variants in {len({row['round'] for row in verdicts})} rounds in {folder}")


def judge(folder: Path) -> None:
    """Runs ``bfcl evaluate`` on every round that is not judged yet; both forms at once, as two models.

    The command is BFCL's, but for two things around the verdicts: a model's handler is made once and not once a file,
    and the leaderboard's averages over all its categories, made by reading them all again, are left out.

    Raises:
        Exception: whatever ends the official evaluation, which then has no verdict on the round.
    """
    os.environ["BFCL_PROJECT_ROOT"] = str(folder.resolve())
    from bfcl_eval.__main__ import cli
    from bfcl_eval.eval_checker import eval_runner

    eval_runner.get_handler = lru_cache(eval_runner.get_handler)
    eval_runner.update_leaderboard_table_with_local_score_file = eval_runner.generate_leaderboard_csv = lambda *_: None
    rounds = sorted(path.parent for path in folder.resolve().glob("round_*/result"))
    for done, place in enumerate(rounds, start=1):
        if not (place / "judged").exists():
            models = [word for model in FORMS for word in ("--model", model)]
            where = ["--result-dir", str(place / "result"), "--score-dir", str(place / "score")]
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                cli(["evaluate", *models, *where, "--partial-eval"], standalone_mode=False)
            (place / "judged").touch()
        if done % 20 == 0 or done == len(rounds):
            print(f"{done}/{len(rounds)} rounds", flush=True)


def official(place: Path, model: str, category: str) -> Mapping[str, str]:
    """The official verdicts on one result file: by row the type of error, ``""`` where the row is right."""
    (result,) = (place / "result" / folder_of(model)).rglob(f"BFCL_v4_{category}_result.json")
    (score,) = (place / "score" / folder_of(model)).rglob(f"BFCL_v4_{category}_score.json")
    header, *wrong = map(json.loads, score.read_text(encoding="utf-8").strip().split("\n"))
    verdicts = {json.loads(line)["id"]: "" for line in result.read_text(encoding="utf-8").strip().split("\n")}
    if (header["total_count"], header["correct_count"]) != (len(verdicts), len(verdicts) - len(wrong)):
        raise ValueError(
            f"{score}: {header}, but {len(verdicts)} rows and {len(wrong)} wrong ones; remove it and judge again"
        )
    return verdicts | {row["id"]: row["error_type"] for row in wrong}


def compare(folder: Path) -> dict[str, Any]:
    """Counts: rows, variants by kind, and by form the verdicts that agree and disagree; the first disagreements in
    full."""
    ours = [json.loads(line) for line in (folder / "ours.jsonl").read_text(encoding="utf-8").splitlines()]
    by_id = {row["id"]: row for row in ours}
    kinds: dict[str, Counter[str]] = defaultdict(Counter)
    for row in ours:
        kinds[row["kind"]]["right" if row["valid"] else "wrong"] += 1
    report: dict[str, Any] = {
        "rows": len(by_id),
        "rows_by_category": Counter(row["category"] for row in by_id.values()),
        "rows_by_split": Counter(row["split"] for row in by_id.values()),
        "variants": len(ours),
        "calls": sum(row["calls"] for row in ours),
        "ours": Counter("right" if row["valid"] else "wrong" for row in ours),
        "ours_by_kind": kinds,
    }
    files = {(row["round"], row["category"]) for row in ours}
    differ = []
    for model in FORMS:
        theirs = {key: official(folder / key[0], model, key[1]) for key in files}
        agree, same_error = 0, 0
        for row in ours:
            error = theirs[row["round"], row["category"]][row["id"]]
            agree += row["valid"] == (not error)
            same_error += row["error"].split(": ")[0] == error
            if row["valid"] != (not error):
                differ.append({**row, "model": model, "official_error": error})
        report[model] = {
            "judged": len(ours),
            "agree": agree,
            "disagree": len(ours) - agree,
            "same_type_of_error": same_error,
        }
    return {**report, "disagreements": len(differ), "first_disagreements": differ[:50]}


def main() -> None:
    """Writes, judges or compares."""
    if len(sys.argv) != 3 or sys.argv[1] not in ("write", "judge", "compare"):
        raise SystemExit(f"got {' '.join(sys.argv[1:]) or 'nothing'}; use: check_bfcl.py write|judge|compare DIR")
    verb, folder = sys.argv[1], Path(sys.argv[2])
    if verb == "compare":
        report = compare(folder)
        print(json.dumps(report, indent=1))
        raise SystemExit(bool(report["disagreements"]))
    (write if verb == "write" else judge)(folder)


if __name__ == "__main__":
    main()
