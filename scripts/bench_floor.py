"""Tries to beat the floor: policies that know what will be said, on every source and both devices.

    python -m scripts.bench floor [--count 10000] [--workers 2] [--seed 0] [--hotpotqa FILE]

Each episode draws a task, a device, a mode, settings, false ends of speech, and who plays:

    expert      the causal expert
    clairvoyant writes gold's calls at the first word, whole or amended, commits at the first silence or end that lets
    it, in the
                shortest way that there is, and answers so
    equal       the same with arguments that gold does not spell out but the world takes for the same: a file's name for
    its
                path, a URL that follows from what is shown, texts in other style, defaults written out, one for a list
                of one, calls in another order, openings left out or put in

An episode that is right and below its floor is *below*; there may be none. Without a file HotpotQA's part are a few
questions made up here, for its floor is that of any question. Prints one line of JSON; progress goes to standard error.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from configs.modes import settings_of
from configs.schema import AgentConfig, ClockConfig, DataConfig, EndpointConfig, ProfileConfig
from data_gen.episodes import make_episode, profile_of
from data_gen.expert.player import Expert
from data_gen.gold import filled, gold_args, issued, references, rehearse
from data_gen.grounding.reading import reading_of
from data_gen.seeds import child
from data_gen.speech.disfluency import Rates
from data_gen.task import Task
from data_gen.tasks import assistant, bfcl, debug, hotpotqa, naturalistic, written
from eval.measures.needs import binding
from eval.running.episodes import record
from eval.running.records import EpisodeRecord
from midsentence.clock import ns
from midsentence.core.lines import write_amend, write_call
from midsentence.core.modes import MODES
from midsentence.core.reducer import State
from midsentence.core.values import Ref
from midsentence.models.load import load_renderer
from midsentence.models.planned import Planner
from midsentence.rendering.renderer import Renderer
from midsentence.tools.tool import HasElsewhere, mismatch, shown_by

SOURCES = ("assistant", "naturalistic", "written", "bfcl", "hotpotqa", "debug")
WHO = ("expert", "clairvoyant", "equal", "equal")
DEVICES = ClockConfig(
    profiles={"laptop": ProfileConfig(40, 400, 0.020), "datacentre": ProfileConfig(150, 12_000, 0.010)}
)
CHUNK = 50


@dataclass
class Clairvoyant:
    """Writes calls that it made up beforehand as soon as it may, and the shortest answer."""

    task: Task
    calls: Sequence[tuple[str, Mapping[str, Any]]]
    """Names and arguments; a call's ID is its place."""
    at_once: int = 99
    """Most lines in one action."""
    patient: bool = False
    """Pauses once after the final update, where a pause commits: the shortest action that does."""
    amends: bool = False
    """Where calls may be open, leaves out each one's last required argument and amends it in the next line."""
    waited: set[int] = field(default_factory=set)

    def plan(self, state: State) -> str:
        """See `midsentence.models.planned.Planner`."""
        lines = self._lines(state)
        if lines:
            return tool_call(lines)
        row = state.settings
        held = [
            state.graph[id] for id in state.graph.live if not row.speculates or state.graph[id].spec.access != "read"
        ]
        # the paper's rule has no commit on a silence: an answer would wait for one for ever
        quiet = row.commit_on == "silence" and state.silence_in_context and not (row.commit == "paper" and held)
        if not state.final_in_context and not quiet:
            return "<pause>"
        if row.commit == "line" and any(not state.commits.covers(call) for call in held):
            return tool_call(["COMMIT"])
        if self.patient and row.commit != "line" and state.final_in_context and state.graph.live - self.waited:
            self.waited |= state.graph.live
            return "<pause>"
        return f"<answer>{min(self.task.answer, key=len, default='.')}</answer>"

    def _lines(self, state: State) -> list[str]:
        """The lines that are left, as many as one action may hold."""
        most = min(self.at_once, state.settings.calls_per_action or self.at_once)
        lines = []
        for k, (name, args) in enumerate(self.calls, start=1):
            required = {param.name for param in state.tools[name].params if param.required}
            amends = self.amends and state.settings.revise == "amend"
            last = next((arg for arg in reversed([*args]) if arg in required), None) if amends else None
            if k > state.graph.highest:
                lines.append(write_call(k, name, (), {arg: value for arg, value in args.items() if arg != last}))
            if last is not None and (k > state.graph.highest or state.graph[k].missing):
                lines.append(write_amend(k, last, args[last]))
        return lines[:most]


def tool_call(lines: Sequence[str]) -> str:
    """Lines as an action."""
    return "<tool_call>\n" + "".join(f"{line}\n" for line in lines) + "</tool_call>"


def gold_calls(task: Task) -> list[tuple[str, dict[str, Any]]]:
    """Gold's calls as gold writes them."""
    ids = {k: k for k in range(1, len(task.gold) + 1)}
    return [
        (call.name, {name: issued(value, ids) for name, value in gold_args(call, {}).items()}) for call in task.gold
    ]


class Equal:
    """Other calls that do the same as gold's, drawn from one generator."""

    def __init__(self, task: Task, draw: random.Random) -> None:
        self.task, self.draw, self.specs = task, draw, task.specs
        self.needs, self.here = binding(task), rehearse(task)
        world = task.toolbox()
        self.shows = shown_by(world)
        self.known = {}  # results that follow from the arguments alone
        if isinstance(world, HasElsewhere):
            there = rehearse(task, world.elsewhere())
            self.known = {k: value for k, value in self.here.items() if there[k] == value}

    def calls(self) -> list[tuple[str, dict[str, Any]]]:
        """The calls, in an order in which none names a later one."""
        made = {k: self._args(k) for k in range(1, len(self.task.gold) + 1)}
        named = {n for args in made.values() for n in references(args)}
        chosen = [k for k in made if k in self.needs or k in named or self.draw.random() < 0.5]
        order: list[int] = []
        while left := [k for k in chosen if k not in order]:
            free = [k for k in left if set(references(made[k])) & set(chosen) <= set(order)]
            order.append(self.draw.choice(free) if self.draw.random() < 0.5 else free[0])
        found: list[tuple[str, dict[str, Any]]] = []
        ids: dict[int, int] = {}
        for k in order:
            args = {name: issued(value, ids) for name, value in made[k].items()}
            if self._may_open(args):
                found.append(("open_and_get_file_path", {"file_name": args["attachments"][0]}))
                args["attachments"] = [Ref(len(found))]
            found.append((self.task.gold[k - 1].name, args))
            ids[k] = len(found)
        return found

    def _may_open(self, args: Mapping[str, Any]) -> bool:
        attached = args.get("attachments")
        single = isinstance(attached, list) and len(attached) == 1 and isinstance(attached[0], str)
        return single and "open_and_get_file_path" in self.shows and self.draw.random() < 0.3

    def _args(self, k: int) -> dict[str, Any]:
        gold = self.task.gold[k - 1]
        params = {param.name: param for param in self.specs[gold.name].params}
        args = {}
        for name, arg in gold.args.items():
            value = self.draw.choice(arg.accepted)
            if value == "" and arg.optional:
                continue
            known = {n: self._without(n) for n in references(value) if n not in self.needs.get(k, ())}
            args[name] = filled(
                value, {n: got for n, got in known.items() if got is not None and self.draw.random() < 0.7}
            )
            if "enum" not in params[name].schema:
                args[name] = self._styled(args[name], self.specs[gold.name].access == "write")
            if isinstance(args[name], list) and len(args[name]) == 1 and self.draw.random() < 0.3:
                one = args[name][0]
                plain = str(one) if references(one) else one  # a result that is a text may stand for a list of one
                args[name] = one if mismatch(plain, params[name].schema) is None else args[name]
        for param in params.values():
            if (
                param.name not in args
                and not param.required
                and mismatch(None, param.schema) is None
                and self.draw.random() < 0.1
            ):
                args[param.name] = None
        return args

    def _without(self, n: int) -> Any:
        """What can stand for a result that nobody has seen."""
        said = [
            value
            for arg in self.task.gold[n - 1].args.values()
            for value in arg.values
            if isinstance(value, str) and value
        ]
        return self.known.get(n, said[0] if said else None)

    def _styled(self, value: Any, ends: bool) -> Any:
        """The value in other style; ``ends`` says whether a full stop may come after several words."""
        if isinstance(value, list):
            return [self._styled(item, ends) for item in value]
        plain = (
            isinstance(value, str)
            and len(value) > 1
            and value[0].isalpha()
            and "$" not in value
            and "http" not in value
        )
        if not plain or self.draw.random() < 0.4:
            return value
        forms = (value[0].upper() + value[1:], value.lower(), value.upper(), f" {value} ")
        return self.draw.choice((*forms, f"{value}.") if ends and " " in value else forms)


def player(who: str, task: Task, draw: random.Random) -> Planner:
    """Who plays the model."""
    if who == "expert":
        return Expert(
            task, reading_of(task, draw.choice((0.0, 0.5)), draw.getrandbits(20)), draw.choice(("slots", "none"))
        )
    calls = Equal(task, draw).calls() if who == "equal" else gold_calls(task)
    return Clairvoyant(task, calls, draw.choice((1, 2, 99)), draw.random() < 0.5, draw.random() < 0.3)


def try_one(tasks: Sequence[Task], renderer: Renderer, draw: random.Random) -> EpisodeRecord:
    """The record of one drawn episode."""
    task, who, mode = draw.choice(tasks), draw.choice(WHO), draw.choice(list(MODES))
    commit = draw.choice(("action", "line", "line", "paper"))
    agent = AgentConfig(
        commit_grace_s=draw.choice((0.0, 0.0, 0.5)),
        interrupt=draw.choice(("line", "token", "action")),
        commit=commit,
        commit_on="final" if commit == "paper" else draw.choice(("final", "silence")),
        revise=draw.choice(("reissue", "amend")),
        max_context_tokens=32_000,
    )
    endpoint = EndpointConfig(
        delay_s=draw.choice((0.5, 0.8)), false_rate=draw.choice((0.0, 0.2, 1.0)), predict_delay_s=0.3
    )
    data = DataConfig(endpoints={"oracle": endpoint}, revision_rate=draw.choice((0.0, 0.1)), revision_words=3)
    profile, seed, box = profile_of(draw.choice(list(DEVICES.profiles)), DEVICES), draw.getrandbits(20), task.toolbox()
    run = make_episode(
        task, mode, profile, renderer, agent=agent, data=data, seed=seed, toolbox=box, planner=player(who, task, draw)
    ).run()
    return record(
        task,
        run,
        box,
        settings=settings_of(mode, agent),
        profile=profile,
        renderer=renderer,
        cap_ns=ns(60),
        backend=who,
        mode=mode,
        seed=seed,
    )


@cache
def tasks_of(source: str, questions: str | None = None, count: int = 300) -> Sequence[Task]:
    """The test tasks of a source."""
    match source:
        case "assistant":
            return list(assistant.tasks("test", 0, count))
        case "naturalistic":
            return list(naturalistic.tasks("test", 0, count))
        case "written":
            return written.tasks("test")
        case "bfcl":
            return bfcl.tasks("test", 0, bfcl.CATEGORIES)
        case "debug":
            return debug.tasks("test", 0)
    if questions is not None:
        return hotpotqa.tasks("test", 0, questions)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "questions.json"
        path.write_text(json.dumps(made_up()), encoding="utf-8")
        return [task for split in hotpotqa.SHARES for task in hotpotqa.tasks(split, 0, str(path), rates=Rates())]


def made_up() -> list[dict[str, Any]]:
    """Comparison questions about places that there are not."""
    names = ("Brill Hill", "Quorn Hall", "Moss End", "Dale Fort", "Lux House", "Ann Tower")
    texts = {name: [f"{name} is a place.", f" It was built in {1800 + n}."] for n, name in enumerate(names)}
    pairs = [(a, b) for n, a in enumerate(names) for b in names[n + 1 :]]
    return [
        {
            "_id": f"q{n}",
            "question": f"Which is older, {a} or {b}?",
            "answer": a,
            "type": "comparison",
            "supporting_facts": [[a, 0], [b, 0]],
            "context": [[a, texts[a]], [b, texts[b]]],
        }
        for n, (a, b) in enumerate(pairs)
    ]


def run_chunk(job: tuple[str, int, int, int, str | None]) -> tuple[str, Counter[str], list[str]]:
    """Tries ``count`` episodes of one source; gives its counts, and a line on each that is below."""
    source, first, count, seed, questions = job
    tasks = tasks_of(source, questions)
    counts: Counter[str] = Counter()
    found = []
    for number in range(first, first + count):
        draw = random.Random(child(seed, "floor", source, number))
        row = try_one(tasks, _renderer(draw.choice(("token", "text"))), draw)
        below = row.right and row.latency_ns < row.floor_ns
        counts.update(tried=1, right=int(row.right), below=int(below))
        if below:
            what = f"{row.backend}, {row.mode}, {row.profile}: {row.latency_ns} ns, the floor is {row.floor_ns} ns"
            found.append(f"{source} {number}, task {row.task}, {what}")
    return source, counts, found


@cache
def _renderer(tags: str) -> Renderer:
    return load_renderer("tiny", tags, "none")


def main(arguments: Sequence[str]) -> int:
    """See the module; the exit status is 1 if anything was below."""
    parser = argparse.ArgumentParser(prog="python -m scripts.bench floor", description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10_000, help="episodes over all sources")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--hotpotqa", help="HotpotQA's question file; questions made up here without it")
    options = parser.parse_args(arguments)
    each = -(-options.count // len(SOURCES))
    jobs = [
        (source, first, min(CHUNK, each - first), options.seed, options.hotpotqa)
        for source in SOURCES
        for first in range(0, each, CHUNK)
    ]
    by_source = {source: Counter(tried=0, right=0, below=0) for source in SOURCES}
    with ExitStack() as stack:
        alone = options.workers <= 1
        ran = (
            map(run_chunk, jobs)
            if alone
            else stack.enter_context(get_context("spawn").Pool(options.workers)).imap(run_chunk, jobs)
        )
        for source, counts, found in ran:
            by_source[source].update(counts)
            print(
                f"{source}: {by_source[source]['tried']} of {each}, {by_source[source]['below']} below",
                file=sys.stderr,
                flush=True,
            )
            for line in found:
                print(f"below: {line}", file=sys.stderr)
    total = sum(by_source.values(), Counter())
    print(
        json.dumps(
            {"bench": "floor"} | {name: total[name] for name in ("tried", "right", "below")} | {"by_source": by_source}
        )
    )
    return int(total["below"] > 0)
