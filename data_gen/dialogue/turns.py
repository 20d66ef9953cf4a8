"""The turns of a conversation one by one: which words and calls are whose, and a turn as a task of its own.

Owns the views of a `Task` with turns that others need: what was said up to a turn, and one turn alone, in the world
that gold's earlier calls have left. A single request is its own only turn. Does not know when turns begin.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

from data_gen.gold import gold_args, rehearse, replaced
from data_gen.seeds import child
from data_gen.speech.timing import Voice, speak
from data_gen.task import Evidence, GoldArg, GoldCall, Label, Reference, Task, Turn, Word
from midsentence.clock import ns
from midsentence.tools.tool import Json, Toolbox, ToolSpec, effects_in, shown_by, state_of


def turns_of(task: Task) -> tuple[Turn, ...]:
    """A task's turns; a single request's is made of the task's own fields."""
    return task.turns or (Turn("request", len(task.words), len(task.gold), task.answer),)


NOMINAL_NS = ns(3.0)
"""From the end of a turn to the next, as the words of a task are timed."""


def timed(
    texts: Sequence[str],
    ends: Sequence[int],
    seed: int,
    voice: Voice | None = None,
    labels: Sequence[Label] = (),
    pauses: Mapping[int, int] | None = None,
) -> tuple[Word, ...]:
    """The words of a conversation with their times, turn after turn.

    Args:
        texts: all words.
        ends: how many have been said by the end of each turn.
        seed: of the voice.
        voice: how words are timed.
        labels: the linguists' labels of the words, where they have any.
        pauses: words before which there is a longer pause, and by how much, in nanoseconds.
    """
    words: list[Word] = []
    start, zero_ns = 0, 0
    for n, end in enumerate(ends):
        said = speak(texts[start:end], child(seed, n), voice or Voice(), labels[start:end] or None)
        for place, word in enumerate(said, start=start):
            zero_ns += (pauses or {}).get(place, 0)
            words.append(replace(word, start_ns=word.start_ns + zero_ns, end_ns=word.end_ns + zero_ns))
        start, zero_ns = end, words[-1].end_ns + NOMINAL_NS
    return tuple(words)


def words_of(task: Task, n: int) -> tuple[Word, ...]:
    """The words of turn ``n``, from 0, with times from the start of its first word."""
    turns = turns_of(task)
    words = task.words[turns[n - 1].words if n else 0 : turns[n].words]
    if not n:
        return words
    zero_ns = words[0].start_ns
    return tuple(replace(word, start_ns=word.start_ns - zero_ns, end_ns=word.end_ns - zero_ns) for word in words)


def turn_ended(task: Task, heard: int) -> int | None:
    """The turn, from 0, that ends with as many words; None where none does."""
    return next((n for n, turn in enumerate(turns_of(task)) if turn.words == heard), None)


def cut_turns(task: Task, heard: int) -> tuple[Turn, ...]:
    """The turns of a conversation that have begun within ``heard`` words, the last one as it is if it ends there, else
    of unknown end.

    Their calls are all gone: whoever cuts a task cuts its gold.
    """
    if not task.turns:
        return ()
    heard = max(1, heard)
    kept = [replace(turn, calls=0, quiet=False) for turn in task.turns if turn.words <= heard]
    if not kept or kept[-1].words < heard:
        kept.append(Turn("request", heard, 0))
    return tuple(kept)


def counted(turns: tuple[Turn, ...], words: int, calls: int) -> tuple[Turn, ...]:
    """Turns that end with so many words and calls: the last one takes in all that the others do not. None for none."""
    return turns and (
        *(replace(turn, calls=0, quiet=False) for turn in turns[:-1]),
        replace(turns[-1], words=words, calls=calls, quiet=False),
    )


@lru_cache(maxsize=64)
def _results(key: _Key) -> Mapping[int, Any]:
    return rehearse(key.task)


class _Key:
    """A task as a key, by its identity: it holds functions and worlds."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def __hash__(self) -> int:
        return id(self.task)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and other.task is self.task


def alone(task: Task, n: int, start_ns: int = 0) -> Task:
    """Turn ``n``, from 0, as a task of its own: its words from ``start_ns`` on, its calls, and the world as gold has
    left it by then.

    Results of earlier turns' calls stand in its arguments as they are. It knows nothing of how it is understood, for
    that depends on what was said before.
    """
    turns = turns_of(task)
    turn, first = turns[n], turns[n - 1].calls if n else 0
    results, said = _results(_Key(task)), turns[n - 1].words if n else 0
    gold = tuple(_moved(call, first, said, results) for call in task.gold[first : turn.calls])
    words = tuple(replace(w, start_ns=w.start_ns + start_ns, end_ns=w.end_ns + start_ns) for w in words_of(task, n))
    return replace(
        task,
        words=words,
        gold=gold,
        turns=(),
        answer=turn.answer,
        reading=None,
        toolbox=partial(_world, task.toolbox, task.gold[:first], task.specs, results),
    )


def _moved(call: GoldCall, first: int, said: int, results: Mapping[int, Any]) -> GoldCall:
    """A gold call with its numbers and words counted from its own turn."""

    def evidence(span: Evidence) -> Evidence:
        return Evidence(max(0, span.start - said), max(0, span.end - said))

    def own(reference: Reference) -> Any:
        return results[reference.call] if reference.call <= first else Reference(reference.call - first)

    def arg(given: GoldArg) -> GoldArg:
        return replace(given, values=tuple(replaced(value, own) for value in given.values))

    args = {name: arg(given) for name, given in call.args.items()}
    return GoldCall(
        call.name,
        args,
        evidence(call.name_evidence),
        {name: evidence(span) for name, span in call.arg_evidence.items()},
    )


@dataclass(slots=True)
class Later:
    """A world in which something has been done already: of effects it tells only those that come."""

    world: Toolbox
    """The toolbox that everything is passed on to."""
    done: int
    """How many effects there were before."""

    @property
    def specs(self) -> Mapping[str, ToolSpec]:
        """See `Toolbox`."""
        return self.world.specs

    @property
    def effects(self) -> list[Any]:
        """The log of effects since."""
        return list(effects_in(self.world))[self.done :]

    @property
    def shows(self) -> Collection[str]:
        """See `Shows`."""
        return shown_by(self.world)

    def state(self) -> Json:
        """The world's state, where it has one."""
        return state_of(self.world)

    def latency_ns(self, name: str, args: Mapping[str, Json]) -> int:
        """See `Toolbox`."""
        return self.world.latency_ns(name, args)

    def run(self, name: str, args: Mapping[str, Json]) -> Json:
        """See `Toolbox`."""
        return self.world.run(name, args)


def _world(
    fresh: Callable[[], Toolbox], gold: Sequence[GoldCall], specs: Mapping[str, ToolSpec], results: Mapping[int, Any]
) -> Later:
    """A fresh world after gold calls that have been made."""
    world = fresh()
    for call in gold:
        if specs[call.name].access == "write":
            world.run(call.name, gold_args(call, results))
    return Later(world, len(effects_in(world)))
