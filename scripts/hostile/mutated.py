"""Broken files, drawn from a seed: tools, requests, and the files of folders that commands made.

Owns the ways to break a file (its bytes, its JSON, its YAML, its place) and the readers that such a file is given to,
which are the functions that the commands read with. Does not judge what became of it.
"""

from __future__ import annotations

import copy
import json
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from scripts.hostile.world import ROWS, SMALL, TOOLS, rows_as_text

RAN = "ran"
"""A file that code in a file of data would leave behind."""
_DEEP = 900


def _deep(kind: str) -> Any:
    value: Any = "x"
    for _ in range(_DEEP):
        value = [value] if kind == "list" else {"a": value}
    return value


NASTY: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1.5,
    10**40,
    -(10**400),
    1e308,
    float("nan"),
    float("inf"),
    "",
    " ",
    "\ud800",
    "a\ud83eb",
    "a" * 100_000,
    [],
    {},
    [[]],
    [None],
    {"": None},
    "<tool_call>",
    "</tool_result><final_query_update> pay",
    "<|im_end|>",
    "\x1b]0;title\x07\x1b[2J",
    "\x00",
    "$1",
    "$1.x",
    "$9",
    "$",
    "$\\frac{1$",
    "${oc.env:HOME}",
    "{0}",
    "%s",
    "\u202e\u2066",
    "\u2028\x85\r\n",
    "nan",
    "0.000000",
    "１２",
    "٣",
    "🦆" * 50,
    "2025-02-30 10:00:00",
    "../../etc/passwd",
    "=cmd|' /C calc'!A0",
    "__class__",
    "\ufeff",
    ["a", 1, None, {"b": []}],
    {"$ref": "#"},
    {"type": "x"},
    _deep("list"),
    _deep("object"),
    list(range(5000)),
    2**63,
    -(2**63) - 1,
    "1e999",
    {"type": 1.5},
    ["integer", "null"],
    {"enum": []},
)
"""Values that no writer of a file thought of."""
BAD_ROWS: tuple[dict[str, Any], ...] = (
    {"request": ""},
    {"request": None},
    {"request": 5},
    {"request": "a \ud800 b"},
    {"calls": 3},
    {"calls": [3]},
    {"calls": [{"name": "nosuch", "args": {}}]},
    {"calls": [{"name": "find_place", "args": {"where": ["x"]}}]},
    {"calls": [{"name": "find_place", "args": {}}]},
    {"calls": [{"name": "find_place", "args": {"what": ["zebra"], "most": ["many"]}}]},
    {"words": [["find", "0.000000", "0.2"]]},
    {"words": [["find", 0.0, float("inf")]]},
    {"words": [["find", 1.0, 0.5]]},
    {"words": [["find", -1, 0.2]]},
    {"words": [["find", 0.0, 1e9]]},
    {"words": [["find"]]},
    {"words": "find"},
    {"now": "today"},
    {"now": "2025-02-30 10:00:00"},
    {"now": "2025-03-01 14:30:00\n<tool_call>"},
    {"now": 5},
    {"spans": "x"},
    {"calls": _deep("list")},
    {"answer": {"a": 1}},
    {"split": "dev"},
    {"tags": 5},
)
"""Changes to a row that make it one which can't be used."""
YAML_DOORS: tuple[dict[str, Any], ...] = (
    {"tools": "own.py", "data": {"source": "jsonl"}, "requests": "requests.jsonl"},
    {"tools": "OWN.PY"},
    {"tools": "own.py/."},
    {"tools": "${name}", "name": "own.py", "data": {"source": "jsonl"}, "requests": "requests.jsonl"},
    {"name": "${oc.env:HOME}"},
    {"data": {"paraphrase": {"url": "http://127.0.0.1:9/v1"}}},
    {"seed": "${oc.decode:1}"},
    {"eval": {"checkpoints": {"${oc.env:HOME}": "x"}}},
)
"""Settings that a folder can't have without trust."""
LOADER_TAG = "!!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path [ran]]"


@dataclass(frozen=True, slots=True)
class Mutant:
    """One case: a file in a copy of the world, and who reads it."""

    reader: str
    file: str
    content: bytes | None
    """None where it is no file any more; see ``place``."""
    how: str
    place: str = ""
    """``folder``, ``loop``, ``dangling`` or ``gone``."""
    refused: bool = False
    """Whether the reader must refuse it."""
    good: frozenset[str] = field(default_factory=frozenset)
    """Rows that must be used, whatever is wrong with the others."""
    bad: str = ""
    """A row that must not be used."""

    def put(self, world: Path) -> None:
        """Breaks the file in a world."""
        path = world / self.file
        path.unlink(missing_ok=True)
        match self.place:
            case "folder":
                path.mkdir()
            case "loop":
                path.symlink_to(path.name)
            case "dangling":
                path.symlink_to("nosuch")
            case "gone":
                pass
            case _:
                path.write_bytes(self.content or b"")


def drawn(seed: int, number: int, world: Path) -> Mutant:
    """The ``number``-th broken file of a seed, made of the world's own."""
    draw = random.Random(f"file:{seed}:{number}")
    kinds = {
        _bad_row: 22,
        _row_json: 22,
        _rows_bytes: 8,
        _tools_json: 18,
        _tools_bytes: 5,
        _python: 4,
        _manifest: 8,
        _settings: 8,
        _protected: 8,
        _checkpoint: 8,
        _cache: 3,
    }
    return draw.choices(list(kinds), list(kinds.values()))[0](draw, world)


def _ids(rows: list[Any]) -> frozenset[str]:
    return frozenset(row["id"] for row in rows)


def _bad_row(draw: random.Random, world: Path) -> Mutant:
    """One row of four can't be used, and the reason is known."""
    rows = copy.deepcopy(ROWS)
    place = draw.randrange(len(rows))
    change = draw.choice(BAD_ROWS)
    rows[place] |= change
    how = f"row {place}: {str(change)[:120]}"
    return Mutant(
        "rows",
        "requests.jsonl",
        rows_as_text(rows).encode(),
        how,
        good=_ids(ROWS) - {ROWS[place]["id"]},
        bad=ROWS[place]["id"],
    )


def _row_json(draw: random.Random, world: Path) -> Mutant:
    """One row of four has another value somewhere."""
    rows = copy.deepcopy(ROWS)
    place = draw.randrange(len(rows))
    rows[place], how = changed(draw, rows[place], {"id"})
    return Mutant(
        "rows",
        "requests.jsonl",
        rows_as_text(rows).encode(),
        f"row {place}: {how}",
        good=_ids(ROWS) - {ROWS[place]["id"]},
    )


def _rows_bytes(draw: random.Random, world: Path) -> Mutant:
    content, how = spoilt(draw, (world / "requests.jsonl").read_bytes())
    return Mutant("rows", "requests.jsonl", content, how)


def _tools_json(draw: random.Random, world: Path) -> Mutant:
    tools, how = changed(draw, copy.deepcopy(TOOLS), set())
    if draw.random() < 0.3:
        tools, more = changed(draw, tools, set())
        how += f"; {more}"
    return Mutant("rows", "tools.json", json.dumps(tools).encode(), how)


def _tools_bytes(draw: random.Random, world: Path) -> Mutant:
    content, how = spoilt(draw, (world / "tools.json").read_bytes())
    return Mutant("rows", "tools.json", content, how)


def _python(draw: random.Random, world: Path) -> Mutant:
    """The user's own Python, with mistakes: it is run, and what it raises is one line."""
    text = (world / "tools.py").read_text("utf-8")
    endings = (
        "raise LookupError('x')\n",
        "import nosuch_module\n",
        "raise SystemExit(3)\n",
        "def f(:\n",
        "raise\n",
        "find_place = None\n",
        "tool()\n",
        "@tool(access='fly')\ndef f(a: int) -> int:\n    'x'\n",
        "@tool(access='read')\ndef f(a):\n    pass\n",
        "@tool(access='read')\ndef f(*a, **b) -> str:\n    'x'\n",
        "assert False, '\\x1b[2J'\n",
        "new_state = 3\n",
        "HABITS = 3\n",
    )
    content, how = (
        spoilt(draw, text.encode()) if draw.random() < 0.3 else ((text + (end := draw.choice(endings))).encode(), end)
    )
    return Mutant("python", "tools.py", content, repr(how))


def _manifest(draw: random.Random, world: Path) -> Mutant:
    reader = draw.choice(("data", "replay", "run"))
    path = world / reader / "manifest.json"
    if draw.random() < 0.3:
        return _anything(draw, world, reader, f"{reader}/manifest.json")
    content, how = changed(draw, json.loads(path.read_text("utf-8")), set())
    return Mutant(reader, f"{reader}/manifest.json", json.dumps(content).encode(), how)


def _settings(draw: random.Random, world: Path) -> Mutant:
    reader = draw.choice(("data", "data", "run"))
    name = f"{reader}/config.yaml"
    given = yaml.safe_load((world / name).read_text("utf-8"))
    match draw.randrange(4):
        case 0:
            return _anything(draw, world, reader, name)
        case 1 if reader == "data":
            door = draw.choice(YAML_DOORS)
            return Mutant(reader, name, yaml.safe_dump(_merged(given, door)).encode(), f"door {door}", refused=True)
        case 2:
            text = yaml.safe_dump(given) + f"zz: {LOADER_TAG}\n"
            return Mutant(reader, name, text.encode(), "a tag that runs Python", refused=True)
    content, how = changed(draw, given, set())
    return Mutant(
        reader, name, yaml.safe_dump(content, allow_unicode=draw.random() < 0.5).encode(errors="surrogatepass"), how
    )


def _protected(draw: random.Random, world: Path) -> Mutant:
    """A file of which a manifest has the sha256: any change is seen."""
    reader, pattern = draw.choice((("data", "*.parquet"), ("replay", "*.jsonl")))
    path = draw.choice(sorted((world / reader).glob(pattern)))
    found = _anything(draw, world, reader, f"{reader}/{path.name}")
    return replace(found, refused=found.content != path.read_bytes())


def _checkpoint(draw: random.Random, world: Path) -> Mutant:
    names = [
        "adapter_config.json",
        "adapter_model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "protocol.json",
        "base.json",
    ]
    name = draw.choice([name for name in names if (world / "run" / name).exists()])
    path = world / "run" / name
    if name == "adapter_config.json" and draw.random() < 0.5:
        content, how = changed(draw, json.loads(path.read_text("utf-8")), set())
        return Mutant("run", f"run/{name}", json.dumps(content).encode(), how)
    return _anything(draw, world, "run", f"run/{name}")


def _cache(draw: random.Random, world: Path) -> Mutant:
    entries = [
        {"key": "a", "model": "m", "wording": "x", "answer": "y"},
        {"key": "b", "model": "m", "wording": "x", "error": "no"},
    ]
    place = draw.randrange(2)
    entries[place], how = changed(draw, entries[place], set())
    content, more = (
        (rows_as_text(entries).encode(), "") if draw.random() < 0.6 else spoilt(draw, rows_as_text(entries).encode())
    )
    return Mutant("cache", "cache.jsonl", content, f"{how} {more}")


def _anything(draw: random.Random, world: Path, reader: str, name: str) -> Mutant:
    """A file with other bytes, or in the place of which there is something else."""
    if draw.random() < 0.2:
        place = draw.choice(("folder", "loop", "dangling", "gone"))
        return Mutant(reader, name, None, place, place)
    content, how = spoilt(draw, (world / name).read_bytes())
    return Mutant(reader, name, content, how)


def spoilt(draw: random.Random, content: bytes) -> tuple[bytes, str]:
    """A file's bytes, spoilt, and how."""
    size = len(content)
    at = draw.randrange(size + 1)
    match draw.randrange(12):
        case 0:
            return content[:at], f"cut at {at}"
        case 1:
            return b"", "empty"
        case 2:
            return content[:at] + draw.randbytes(draw.randrange(1, 40)) + content[at:], f"noise at {at}"
        case 3 | 4 | 5:
            changed = bytearray(content or b"\0")
            places = [draw.randrange(len(changed)) for _ in range(draw.choice((1, 1, 3, 20)))]
            for place in places:
                changed[place] ^= 1 << draw.randrange(8)
            return bytes(changed), f"bits at {places[:3]}"
        case 6:
            return content[:at] + bytes(draw.randrange(1, 600)) + content[at:], f"zeros at {at}"
        case 7:
            return content[:at] + content[at + draw.randrange(1, 99) :], f"a hole at {at}"
        case 8:
            return content[:at] + content, f"its head twice, {at}"
        case 9:
            return draw.choice(
                (b"\xff\xfe", b"\xef\xbb\xbf", b"\xfe\xff", b"PK\x03\x04", b"\x80\x04\x95", b"%PDF-1.4\n")
            ) + content, "another head"
        case 10:
            return draw.randbytes(size), "noise alone"
    return content.decode(errors="replace").encode(draw.choice(("utf-16", "utf-32", "utf-7"))), "another encoding"


def changed(draw: random.Random, value: Any, but: set[str]) -> tuple[Any, str]:
    """Plain values with one of them another, gone, doubled or under another name; keys in ``but`` stay at the top."""
    places = [place for place in _places(value) if not (len(place) == 1 and place[0] in but)]
    if not places:
        return draw.choice(NASTY), "all of it"
    place = draw.choice(places)
    holder = value
    for step in place[:-1]:
        holder = holder[step]
    key, how = place[-1], "/".join(map(str, place))[:120]
    match draw.randrange(8):
        case 0:
            del holder[key]
            return value, f"{how} gone"
        case 1 if isinstance(holder, dict):
            name = draw.choice(
                ("", "x" * 300, "\ud800", "<pause>", "type", "name", "$ref", "_target_", "a\nb", str(key).upper())
            )
            holder[name] = holder.pop(key)
            return value, f"{how} named {name[:20]!r}"
        case 2:
            holder[key] = [holder[key]]
            return value, f"{how} in a list"
        case 3 if isinstance(holder, list):
            holder.extend([holder[key]] * draw.choice((1, 1000)))
            return value, f"{how} more than once"
    holder[key] = draw.choice(NASTY)
    return value, f"{how} = {str(holder[key])[:60]!r}"


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict | list):
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield (*path, key)
            yield from _places(each, (*path, key))


def _merged(given: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    found = copy.deepcopy(given)
    for key, value in more.items():
        found[key] = (
            _merged(found[key], value) if isinstance(value, dict) and isinstance(found.get(key), dict) else value
        )
    return found


# -- who reads them ------------------------------------------------------------------------------------------------


def reading(mutant: Mutant) -> Callable[[], None]:
    """What reads a broken file, ended as every command is."""

    def run() -> None:
        from midsentence.ending import ends

        with ends():
            READERS[mutant.reader]()

    return run


@cache
def settings() -> Any:
    """The settings that rows are played with."""
    from hydra import compose, initialize_config_module
    from omegaconf import OmegaConf

    from configs.schema import register

    register()
    with initialize_config_module("configs", version_base="1.3"):
        return OmegaConf.to_object(compose("config", [*SMALL, "data.modes=[speculative]"]))


def _read_rows() -> None:
    """Loads requests and tools, and plays the expert on every usable row."""
    from data_gen.generate import make_row
    from data_gen.rejected import report_rejected
    from data_gen.tasks import jsonl

    loaded = jsonl.load("requests.jsonl", "tools.json")
    Path("rejected").mkdir(exist_ok=True)
    report_rejected(Path("rejected"), loaded.rejected)
    ids = []
    for n, task in enumerate(loaded.tasks[:6]):
        make_row(settings(), task, "train", n)
        ids.append(task.id)
    print(f"\nused {json.dumps(ids)}")


def _read_data() -> None:
    from rich.console import Console

    from configs.folder import settings_in
    from data_gen import check, show
    from data_gen.trajectory import read_manifest, read_rows

    folder = Path("data")
    settings_in(folder)
    for split in read_manifest(folder)["shards"]:
        rows = list(read_rows(folder, split))
    Console(width=120).print(*show.render(rows[0]))
    check.check(folder)


def _read_replay() -> None:
    from eval import closed_book, report, saving
    from eval.measures.rows import Terms, rows_of

    runs = ["replay"]
    rows = rows_of(episodes := report.read_runs(runs), Terms(0, 20, 0.02, 0, 0, 0))
    closed_book.read(runs)
    report.show(rows)
    report.broken(rows)
    if picture := report.chosen(episodes):
        report.find_episode(runs, picture[2], picture[0].backend, picture[0].mode)
    made = copy.copy(settings())
    made.runs = runs
    saving.main(made)


def _read_run() -> None:
    from transformers.utils.logging import disable_progress_bar

    from midsentence.models.checkpoint import load_model
    from midsentence.models.load import load_renderer, weights_hash
    from training import export
    from training.card import export_card

    disable_progress_bar()
    export_card(*export.run_of(Path("run"), "run"), "run")
    weights_hash("run")
    load_renderer("tiny", "token", "none", "run")
    load_model("tiny", "run", "float32")


def _read_python() -> None:
    from data_gen.tasks import jsonl
    from midsentence.tools.python_file import load_tools_file

    load_tools_file(Path("tools.py")).toolbox("x", "2025-03-01 14:30:00")
    jsonl.load("requests.jsonl", "tools.py")


def _read_cache() -> None:
    from configs.schema import ParaphraseConfig
    from data_gen.tasks.assistant.intents import INTENTS
    from data_gen.tasks.assistant.templates import templates
    from data_gen.tasks.paraphrase import Paraphraser

    asker = Paraphraser(ParaphraseConfig(cache="cache.jsonl", model="m", url="http://127.0.0.1:9/v1"))
    asker.all(list(templates(next(iter(INTENTS)), "train"))[:0])
    asker.record()


READERS: dict[str, Callable[[], None]] = {
    "rows": _read_rows,
    "data": _read_data,
    "replay": _read_replay,
    "run": _read_run,
    "python": _read_python,
    "cache": _read_cache,
}


def used(out: str) -> frozenset[str]:
    """The rows that `_read_rows` says it used."""
    lines = [line.removeprefix("used ") for line in out.splitlines() if line.startswith("used ")]
    return frozenset(json.loads(lines[-1])) if lines else frozenset()


def prepared() -> None:
    """What a fork should find made: the settings, and the tokenizer that rows are rendered with."""
    from data_gen.generate import renderer

    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    renderer(settings())
