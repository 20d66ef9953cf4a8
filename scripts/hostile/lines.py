"""Command lines with bad input, drawn from a seed.

Owns which commands there are, what a working line of each is, and the ways to spoil one: a value that a field of the
schema does not take (by its type and by the limits beside it), an unknown name, a path to nothing or to the wrong
thing, a line that can't be parsed. Does not judge the outcome.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from typing import Any

from configs import schema
from configs.limits import Limits
from scripts.hostile.world import REPAIR, SMALL

EPISODE = ["eval.backends=[expert]", "eval.modes=[sequential]", "eval.expert_tasks=1"]
TALK = "--model tiny --dtype float32 --max-generated-tokens 12 --out OUT"
COMMANDS: dict[str, list[str]] = {
    "data_gen.generate": [*SMALL, "data.sizes={train: 1, validation: 0, test: 0}", "out=OUT"],
    "data_gen.check": ["path=data"],
    "data_gen.show": ["path=data", "row=1"],
    "data_gen.markup": ["requests=requests.jsonl", "out=OUT.txt"],
    "training.sft": [*SMALL, "train.data=[data]", "train.max_steps=1", "train.lora_rank=2", "out=OUT"],
    "training.plan": [*SMALL, "train.data=[data]"],
    "training.repair": [*REPAIR[1], "out=OUT"],
    "training.export": ["path=run", "out=OUT"],
    "eval.replay": [*SMALL, *EPISODE, "out=OUT"],
    "eval.report": ["runs=[replay]", "eval.resamples=20", "out=OUT"],
    "eval.whatif": [*SMALL, *EPISODE, "out=OUT"],
    "eval.frontier": [*SMALL, *EPISODE, "out=OUT"],
    "eval.saving": ["runs=[replay]"],
    "eval.chrome_trace": ["path=replay", "row=1", "out=OUT.json"],
    "eval.timeline": ["runs=[replay]", "out=OUT"],
    "eval.closed_book": [*SMALL, "eval.backends=[expert]", "out=OUT"],
}
SCRIPTS: dict[str, list[str]] = {
    "scripts.bench": ["core", "--model", "none", "--repeats", "1", "--histories", "10", "20"],
    "scripts.publish": ["outputs/none", "none"],
    "midsentence.cli": ["fetch", "--model", "tiny"],
}
"""Programs without settings, and arguments that they take."""
CONSOLE: tuple[tuple[str, bool], ...] = (
    *(
        (f"serve {TALK} {text}", True)
        for text in (
            "--tools nosuch.py",
            "--tools tools.json",
            "--tools file",
            "--tools picture.png",
            "--adapter nosuch",
            "--adapter data",
            "--mode nosuch",
            "--mode",
            "--mode Speculative",
            "--model nosuch",
            "--model nosuch/none",
            "--dtype int8",
            "--runtime nosuch",
            "--runtime llamacpp",
            "--turns rings",
            "--commit-on never",
            "--commit-grace-s nan",
            "--commit-grace-s -1",
            "--commit-grace-s inf",
            "--commit-grace-s 1e300",
            "--commit-grace-s x",
            "--max-generated-tokens 0",
            "--max-generated-tokens 1.5",
            "--max-context-tokens " + "9" * 5000,
            "--max-context-tokens -1",
            "--out file/below",
            "--out ~nobody-here/x",
            "--out /dev/null/x",
            "--out " + "x/" * 2100,
            "--nosuch",
            "--constrained=maybe",
            "model=tiny",
            "nosuch",
            "--con",
        )
    ),
    *(
        (f"serve {TALK} {text}", False)
        for text in (
            "--allow-egress nosuch",
            "--max-context-tokens 1",
            "--out data",
            "--tools tools.py",
            "--model 🦆",
            "--constrained --grounded",
            "--",
            "--commit-on silence",
        )
    ),
    *(
        (f"calibrate --model tiny {text}", True)
        for text in (
            "--dtype int8",
            "--model nosuch",
            "--adapter nosuch",
            "--name",
            "--json=maybe",
            "--nosuch",
            "model=tiny",
        )
    ),
    *(
        (text, True)
        for text in (
            "nosuch",
            "--nosuch",
            "serve calibrate",
            "fetch nosuch",
            "fetch --model nosuch",
            "fetch --model",
            "fetch",
        )
    ),
)
"""Lines of the console command, and whether nobody can have meant them."""
DEAR = {"eval.whatif", "eval.frontier", "training.sft", "training.repair"}
"""Commands that are drawn less often, for they take long where a line turns out to be a good one."""
READS = {"path", "runs", "train.data", "model.adapter", "requests", "tools"}
"""Settings that name something to read."""
NOWHERE = (
    "nosuch",
    "../nosuch",
    "file/below",
    "file",
    "empty",
    "picture.png",
    "/dev/null",
    "/proc/self/mem",
    "/",
    ".",
    "~nobody/x",
    "~",
    "a" * 300,
    "x/" * 2100,
    "data/manifest.json",
    "'sp ace/ü ☃'",
    "'*'",
    "$HOME",
    "'a\tb'",
    "'\\x1b[2J'",
    "nul\\0x",
    "--",
    "-",
    "''",
    "null",
    "C:\\\\x",
    "https://example.invalid/x",
    "${oc.env:HOME}/nosuch",
    "${name}",
    "hf://nobody/nothing",
    "me/none",
)
"""Paths at which there is nothing that a command reads."""
UNWRITABLE = ("file/below", "file", "/proc/x/y", "/dev/null/x", "a" * 300, "x/" * 2100 + "y", "picture.png/out")
"""Paths at which nothing can be made; no device, for root could make one a file."""
EARLIER = ("data", "replay", "run", "report")
WORDS = (
    "nosuch",
    "Speculative",
    "speculative ",
    "''",
    "1",
    "[]",
    "{}",
    "null",
    "../x",
    "${nope}",
    "🦆",
    "sequential,parallel",
    "a" * 5000,
)
TORN = (
    "",
    "=",
    "=1",
    "a",
    "a=",
    "a==b",
    "data.sizes={train",
    "data.modes=[",
    "name='x",
    'name="',
    "name=${",
    "name=${nope}",
    "name=${oc.env:NOPE_}",
    "name=${name}",
    "name=${seed:}",
    "+seed=1",
    "++seed=x",
    "~seed",
    "~data",
    "~nosuch",
    "+nosuch=1",
    "++nosuch.deep=1",
    "seed.x=1",
    "data=nosuch",
    "model=nosuch",
    "experiment=nosuch",
    "experiment=../debug",
    "experiment=[a,b]",
    "+experiment=debug",
    "data@x=bfcl",
    "seed=1e400",
    "seed=0x10",
    "seed=1_000",
    "seed=",
    "seed=None",
    "seed=true",
    "seed=[1]",
    "seed={a: 1}",
    "data=[]",
    "train=null",
    "model={}",
    "agent=3",
    "data.sizes=3",
    "data.sizes=[1]",
    "data.sizes={train: x}",
    "data.sizes={train: 1.5}",
    "data.sizes=null",
    "clock.profiles=3",
    "clock.profiles={mine: 3}",
    "clock.profiles.mine=fast",
    "clock.profiles.mine={decode_tokens_per_s: x}",
    "data.endpoints={mine: null}",
    "data.endpoints.mine=[]",
    "hydra/launcher=nosuch",
    "hydra.nosuch=1",
    "--config-name=nosuch",
    "--config-dir=nosuch",
    "--nosuch",
    "-x",
    "--",
    "\ud83e",
    "seed=٣",
    "seed=１",
    "seed=1\n2",
    "\x07=1",
    "data.sizes.train=1,2",
)
"""Arguments that are none, or name nothing."""
MAY_PASS = {
    "a==b",
    "~data",
    "seed=0x10",
    "seed=1_000",
    "data.sizes=null",
    "model={}",
    "++seed=x",
    "clock.profiles={mine: 3}",
    "seed=None",
    "--",
    "",
    "~seed",
    "data=[]",
    "seed=１",
    "seed=٣",
    "--config-dir=nosuch",
    "data.sizes.train=1,2",
    "seed=true",
    "name=${oc.env:NOPE_}",
}
"""Of these, what some reading of the line allows."""


@dataclass(frozen=True, slots=True)
class Line:
    """One case."""

    module: str
    arguments: tuple[str, ...]
    nonsense: bool = False
    """Whether nobody can have meant it: then it must be refused."""
    out: str = ""
    """The earlier result that it may replace if it ends well."""
    closed_stdin: bool = False

    def __str__(self) -> str:
        shown = " ".join(
            argument if len(argument) < 200 else f"{argument[:100]}…({len(argument)})" for argument in self.arguments
        )
        return f"python -m {self.module.removesuffix('.cli')} {shown}".encode(errors="backslashreplace").decode()


@cache
def leaves(kind: type = schema.Config, path: str = "") -> tuple[tuple[str, str, Limits, Any], ...]:
    """Every setting: path, type as it is written in the schema, limits, default."""
    found: list[tuple[str, str, Limits, Any]] = []
    for spec in fields(kind):
        inner = getattr(schema, str(spec.type), None)
        if is_dataclass(inner):
            found += leaves(inner, f"{path}{spec.name}.")
        else:
            default = spec.default if spec.default is not MISSING else spec.default_factory()  # type: ignore[misc]
            found.append((f"{path}{spec.name}", str(spec.type), spec.metadata.get("limits", Limits()), default))
    return tuple(found)


def wrong_values(kind: str, limits: Limits) -> list[str]:
    """Values that a setting of this type and these limits can't have."""
    inner = kind.removesuffix(" | None").removeprefix("list[").removeprefix("dict[str, ").removesuffix("]")
    if inner in ("int", "float"):
        found = ["nan", "inf", "-inf", "'x'", "1x", "{a: b}", "[[1]]", "1e999"] + (
            ["1.5", "1e3", "9" * 5000] if inner == "int" else []
        )
        if limits.least > -math.inf:
            found += [str(int(limits.least) - 1), str(-(10**30))]
        if limits.above > -math.inf:
            found += ["0", "-1"]
        if limits.most < math.inf:
            found += [str(int(limits.most) + 1), str((int(limits.most) + 1) * 10**7)]
    elif inner == "bool":
        found = ["maybe", "[true]", "{}"]
    elif limits.choices:
        found = ["nosuch", limits.choices[0].upper(), limits.choices[0] + "x", "''", "1"]
    else:
        return []
    if kind.startswith("list["):
        return ["[]"] * limits.filled + [f"[{value}]" for value in found if value not in ("[[1]]", "[true]")]
    if kind.startswith("dict["):
        return [f"{{test: {value}}}" for value in found if not value.startswith("[")] + (
            ["{nosuch: 1}"] if limits.keys else []
        )
    return found


def drawn(seed: int, number: int, out: str) -> Line:
    """The ``number``-th command line of a seed; its results would go to ``out``."""
    draw = random.Random(f"line:{seed}:{number}")
    if (kind := draw.random()) < 0.05:
        return _script(draw)
    if kind < 0.1:
        return _console(draw, out)
    modules = list(COMMANDS)
    module = draw.choices(modules, [1 if name in DEAR else 3 for name in modules])[0]
    base = [argument.replace("OUT", out) for argument in COMMANDS[module]]
    more, nonsense, earlier = _SPOIL[draw.choices(range(len(_SPOIL)), _SHARES)[0]](draw, module, base)
    arguments = base + list(more)
    draw.random()
    return Line(module, tuple(arguments), nonsense, earlier, closed_stdin=draw.random() < 0.2)


def _by_type(draw: random.Random, module: str, base: list[str]) -> tuple[Sequence[str], bool, str]:
    """One or two settings, of any group, to values that they can't have."""
    able = [(name, values) for name, kind, limits, _ in leaves() if (values := wrong_values(kind, limits))]
    chosen = draw.sample(able, draw.choice((1, 1, 2)))
    return [f"{name}={draw.choice(values)}" for name, values in chosen], True, ""


def _by_name(draw: random.Random, module: str, base: list[str]) -> tuple[Sequence[str], bool, str]:
    """A name of something that there is not; whether it matters depends on the command."""
    names = [
        name
        for name, kind, limits, _ in leaves()
        if "str" in kind and not limits.choices and name not in READS | {"out", "name"}
    ]
    name = draw.choice(names)
    value = draw.choice(WORDS)
    listed = dict((leaf[0], leaf[1]) for leaf in leaves())[name].startswith("list")
    return [f"{name}={f'[{value}]' if listed and value[:1] != '[' else value}"], False, ""


def _by_path(draw: random.Random, module: str, base: list[str]) -> tuple[Sequence[str], bool, str]:
    """What the command reads is not there, or is something else."""
    given = [argument.partition("=")[0] for argument in base if argument.partition("=")[0] in READS] or ["path"]
    name = draw.choice(given)
    if module == "data_gen.generate":
        files = {"requests": "requests.jsonl", "tools": "tools.json"} | {
            draw.choice(["requests", "tools"]): draw.choice(NOWHERE)
        }
        return ["data.source=jsonl", *(f"{key}={value}" for key, value in files.items())], False, ""
    others = {"data": ("replay", "run"), "replay": ("data", "run"), "run": ("data", "replay")}
    mine = next((argument.partition("=")[2].strip("[]") for argument in base if argument.startswith(f"{name}=")), "")
    value = draw.choice([*NOWHERE, *others.get(mine, ())])
    listed = name in ("runs", "train.data")
    wrong = name in ("path", "runs") and mine in others and value not in ("${name}",) and module != "training.export"
    return [f"{name}={f'[{value}]' if listed else value}"], wrong, ""


def _unwritable(draw: random.Random, module: str, base: list[str]) -> tuple[Sequence[str], bool, str]:
    """Results can't be put where they are to go."""
    return (
        [f"out={draw.choice(UNWRITABLE)}"],
        module in ("data_gen.generate", "eval.replay", "eval.report", "training.sft"),
        "",
    )


def _onto_earlier(draw: random.Random, module: str, base: list[str]) -> tuple[Sequence[str], bool, str]:
    """Results are to go where others are already, made by another command or with other settings."""
    if module == "eval.chrome_trace":  # a file is to be there
        return [f"out={draw.choice(EARLIER)}"], True, ""
    out = draw.choice(EARLIER)
    more = [f"out={out}", "seed=3"]
    own = {"eval.report": "report", "eval.timeline": "report"}.get(module, "")
    return more, False, own if own == out else ""


def _torn(draw: random.Random, module: str, base: list[str]) -> tuple[Sequence[str], bool, str]:
    """An argument that is none."""
    torn = draw.choice(TORN)
    if torn.startswith("data.sizes=[") or torn == "--config-name=nosuch":
        return [torn], True, ""
    if draw.random() < 0.3:
        base[:] = base[: draw.randrange(len(base))]
    return [torn], torn not in MAY_PASS and not torn.startswith("hydra"), ""


def _by_sense(draw: random.Random, module: str, base: list[str]) -> tuple[Sequence[str], bool, str]:
    """Values that are fine by themselves, and make no sense together or where they stand."""
    asked: dict[str, list[tuple[str, bool]]] = {
        "data_gen.generate": [
            ("data.sizes={train: 0, validation: 0, test: 0}", True),
            ("clock.train_decode_tokens_per_s=[40,45]", True),
            ("clock.train_decode_tokens_per_s=[250,15]", True),
            ("clock.train_decode_tokens_per_s=[15]", True),
            ("clock.held_out_decode_tokens_per_s=[1,1000]", True),
            ("clock.train_restart_s=[0.5,0.1]", True),
            ("data.lag_s=-3", True),
            ("clock.train_prefill_ratio=[5,6,7]", True),
            ("data.lag_s=1e300", True),
            ("data.period_s=1e-300", False),
            ("data.period_s=1e300", True),
            ("data.endpoint=nosuch", True),
            ("data.lag_spread_s=-1", True),
            ("data.shard_rows=" + "9" * 30, False),
            ("clock.train_restart_s=[0,0]", True),
            ("agent.max_context_tokens=1", True),
            ("agent.max_generated_tokens=1", False),
            ("data.source=home data.language=fi", False),
            ("data.language=fi", True),
            ("data.source=hotpotqa data.files={hotpotqa: picture.png}", True),
            ("data.source=jsonl", True),
            ("data.source=jsonl requests=requests.jsonl tools=picture.png", True),
            ("data.source=''", True),
            ("data.categories=[nosuch] data.source=bfcl", True),
            ("data.disfluency={nosuch: 1}", True),
            ("data.disfluency={times: -1}", True),
            ("data.revision_words=1000000 data.revision_rate=1", False),
            ("data.workers=1000000 data.sizes={train: 0}", True),
            ("clock.train_decode_tokens_per_s=[1,99999999999]", False),
            ("data.paraphrase.url=http://127.0.0.1:9/v1", True),
        ],
        "data_gen.show": [("row=1000000", True), ("row=99999999999999999999", True), ("path=''", True)],
        "training.sft": [
            ("train.weights=[1,2,3]", True),
            ("train.weights=[-1]", True),
            ("train.weights=[nan]", True),
            ("train.weights=[0]", True),
            ("train.schedule=nosuch", True),
            ("train.schedule=reduce_lr_on_plateau", True),
            ("seed=4294967296", True),
            ("train.schedule=''", True),
            ("train.lora_targets=[nosuch]", True),
            ("train.lora_targets=[]", True),
            ("train.data=[]", True),
            ("train.data=[data,data]", False),
            ("train.max_length=1", True),
            ("train.learning_rate=1e30", True),
            ("launcher=ddp gpus=2", False),
            ("train.method=qlora", True),
            ("train.callback._target_=os.system", True),
            ("train.callback._target_=nosuch.Class", True),
            ("model.adapter=data", True),
            ("model.dtype=float16", False),
            ("train.micro_batch_rows=7 train.batch_rows=4", True),
            ("train.warmup_ratio=1", False),
            ("train.max_grad_norm=0", False),
            ("model.name=smollm3", True),
            ("model.tags=text", True),
            ("clock.stamps=token", True),
            ("train.lora_alpha=" + "9" * 20, False),
        ],
        "training.plan": [
            ("train.weights=[1,2,3]", True),
            ("gpus=0", True),
            ("gpus=100000000 launcher=fsdp2", False),
            ("train.mfu=0", True),
            ("train.data=[nosuch]", False),
            ("model.name=nosuch/none", True),
            ("train.lora_targets=[nosuch]", True),
            ("launcher=single gpus=4", True),
        ],
        "training.repair": [
            ("model.adapter=null", True),
            ("model.adapter=data", True),
            ("data.modes=[nosuch]", True),
            ("model.tags=text", True),
        ],
        "training.export": [
            ("path=''", True),
            ("path=data", True),
            ("out=run", True),
            ("out=data", True),
            ("gguf=maybe", True),
        ],
        "eval.replay": [
            ("eval.seeds=[1,1]", True),
            ("eval.modes=[sequential,sequential]", True),
            ("eval.backends=[expert,expert]", True),
            ("eval.backends=[nosuch]", True),
            ("eval.profiles=[nosuch]", True),
            ("eval.profiles=[wall]", True),
            ("eval.sources=[nosuch]", True),
            ("eval.checkpoints={a: nosuch} eval.backends=[a]", True),
            ("eval.checkpoints={expert: run} eval.backends=[expert]", True),
            ("eval.sources=[recogniser]", True),
            ("eval.modes=[nosuch]", True),
            ("eval.cap_s=1e-9", False),
            ("eval.cap_s=1e300", True),
            ("model.adapter=nosuch eval.backends=[model]", True),
            ("eval.backends=[model] model.adapter=data", True),
            ("eval.backends=[../x]", True),
            ("agent.commit_grace_s=1e300", True),
            ("eval.temperature=1e308", False),
            ("data.endpoint=nosuch", True),
            ("eval.runtime=llamacpp eval.backends=[model]", True),
            ("agent.allowed_egress=['*','']", True),
            ("clock.profiles.laptop.restart_s=1e300", True),
            ("clock.profiles.laptop.decode_tokens_per_s=" + "9" * 30, False),
            ("eval.split=all data.sizes={train: 0, validation: 0, test: 0}", False),
        ],
        "eval.report": [
            ("runs=[]", True),
            ("runs=[replay,replay]", True),
            ("runs=[nosuch]", True),
            ("runs=[data]", True),
            ("runs=['']", True),
            ("eval.resamples=0", True),
            ("eval.margin=nan", True),
            ("eval.paper=maybe", True),
            ("runs=replay", True),
        ],
        "eval.chrome_trace": [("row=1000000", True), ("path=data", True), ("path=''", True)],
        "eval.timeline": [("task_id=nosuch", True), ("runs=[]", True)],
        "eval.saving": [("runs=[]", True), ("runs=[data]", True), ("task_id=nosuch", True)],
        "eval.whatif": [
            ("eval.profiles=[nosuch]", True),
            ("data.source=nosuch", True),
            ("eval.backends=[nosuch]", False),
        ],
        "eval.frontier": [("eval.sources=[nosuch]", True), ("data.endpoint=nosuch", False)],
        "data_gen.markup": [
            ("requests=nosuch", True),
            ("out=x.png", True),
            ("requests=tools.json", True),
            ("requests=picture.png", True),
        ],
        "eval.closed_book": [("eval.sources=[nosuch]", True), ("eval.backends=[nosuch]", True)],
    }
    if module not in asked:
        return _by_type(draw, module, base)
    text, nonsense = draw.choice(asked[module])
    return _split(text), nonsense, ""


def _split(text: str) -> list[str]:
    """The arguments of a text; a space in brackets or quotes parts none."""
    found, depth = [""], 0
    for letter in text:
        depth += (letter in "{[") - (letter in "}]")
        if letter == " " and not depth:
            found.append("")
        else:
            found[-1] += letter
    return found


def _script(draw: random.Random) -> Line:
    module = draw.choice(list(SCRIPTS))
    arguments = list(SCRIPTS[module])
    place = draw.randrange(len(arguments) + 1)
    arguments[place : place + 1] = [
        draw.choice(["nosuch", "--nosuch", "", "-1", "a" * 300, "--repeats", "\ud83e", "nan", "../x", "--model"])
    ]
    return Line(module, tuple(arguments))


def _console(draw: random.Random, out: str) -> Line:
    text, nonsense = draw.choice(CONSOLE)
    return Line(
        "midsentence.cli", tuple(text.replace("OUT", out).split(" ")), nonsense, closed_stdin=draw.random() < 0.2
    )


_SPOIL = (_by_type, _by_name, _by_path, _unwritable, _onto_earlier, _torn, _by_sense)
_SHARES = (22, 14, 14, 8, 8, 16, 18)
