"""Composes a conversation: two to six turns over one world, each of a kind that fits what was said and done before.

Owns the drawing of one conversation. Its words are one script, in which every turn adds its clauses or changes those
that are still to be done, so that the derivation of the whole reads any prefix of it like a request. Does not know when
turns begin.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from itertools import pairwise
from typing import Any

from data_gen.dialogue.turns import timed
from data_gen.expert.replies import SAYS, question
from data_gen.gold import canonical, rehearse
from data_gen.grounding.derivation import Clause, Derivation, clauses, understood
from data_gen.seeds import child
from data_gen.speech.disfluency import Disfluent
from data_gen.speech.script import Mark, Script
from data_gen.speech.timing import Voice
from data_gen.task import BadTask, Split, Task, Turn
from data_gen.tasks.assistant import Lazy, check_splits
from data_gen.tasks.assistant.compose import BY_NAME, PLAIN, VOICE, Style, Teller
from data_gen.tasks.assistant.intents import INTENTS, asks
from data_gen.tasks.assistant.turn_wordings import ASIDES, CORRECTIONS, FOLLOW_UPS, LACKS, SUBJECTS, Lack, worded
from data_gen.tasks.assistant.values import Drawer, Value
from data_gen.tasks.assistant.worlds import COUNTS, setting
from midsentence.clock import ns
from midsentence.tools.assistant import AssistantToolbox, assistant_specs

SOURCE = "dialogue"
SIZES: Mapping[int, float] = {2: 0.25, 3: 0.3, 4: 0.25, 5: 0.12, 6: 0.08}
"""Shares of conversations by their number of turns."""
FIRST: Mapping[str, float] = {"request": 0.4, "underspecified": 0.35, "run_together": 0.15, "long_pause": 0.1}
NEXT: Mapping[str, float] = {
    "follow_up": 0.24,
    "correction_after": 0.14,
    "change_of_mind_after": 0.06,
    "question": 0.14,
    "backchannel": 0.06,
    "thanks": 0.07,
    "new_subject": 0.1,
    "underspecified": 0.12,
    "run_together": 0.04,
    "long_pause": 0.03,
}
PENDING: Mapping[str, float] = {"clarified": 0.6, "correction_before": 0.22, "change_of_mind_before": 0.18}
"""Shares of kinds of turns: of a first one, of one after something was done, and of one after a question."""
INTERRUPTS: Mapping[str, float] = {
    "clarified": 0.15,
    "correction_before": 0.4,
    "change_of_mind_before": 0.4,
    "correction_after": 0.45,
    "change_of_mind_after": 0.4,
    "follow_up": 0.1,
    "question": 0.1,
    "backchannel": 0.15,
    "thanks": 0.1,
}
"""Probability that a turn of a kind is begun while the answer is still being spoken."""
PAUSE_S = (1.2, 2.6)
"""How long a long pause is."""
_PERSON = "people"


@dataclass(slots=True)
class Dialogue:
    """A conversation in the making."""

    drawer: Drawer
    """Draws its values."""
    split: Split
    """Whose names and wordings it takes."""
    style: Style
    """How it is told."""
    script: Script = field(default_factory=Script)
    """What is said so far."""
    turns: list[Turn] = field(default_factory=list)
    """The turns so far."""
    labels: list[str] = field(default_factory=list)
    """Kinds of disfluency so far."""
    used: list[str] = field(default_factory=list)
    """Wordings so far, as reports count them."""
    pairs: list[tuple[str, str]] = field(default_factory=list)
    """Tools that followed one another so far."""
    pauses: dict[int, int] = field(default_factory=dict)
    """Words before which there is a long pause, with its length."""
    clause: int = 0
    """How many clauses there have been."""
    lack: tuple[Lack, int] | None = None
    """What was asked for without something that it needs, and its clause."""

    @property
    def draw(self) -> random.Random:
        """The one source of chance."""
        return self.drawer.draw

    def said(self) -> list[Clause]:
        """The clauses as they stand when all of it has been said."""
        return clauses(self.script.finish(), len(self.script.words), True, frozenset())

    def take(self, kind: str) -> bool:
        """Adds a turn of a kind; gives whether one fits."""
        done = [clause for clause in self.said() if self.lack is None or clause.id != self.lack[1]]
        match kind:
            case "request" | "run_together" | "long_pause" | "new_subject":
                self._request(kind)
            case "underspecified":
                self._underspecified()
            case "clarified" | "correction_before":
                return self._reply(kind)
            case "change_of_mind_before":
                self._drop()
            case "follow_up":
                return self._follow_up(done)
            case "correction_after":
                return self._correct(done)
            case _:
                return self._aside(kind, done)
        return True

    # -- kinds of turns ----------------------------------------------------------------------------------------------

    def _request(self, kind: str) -> None:
        sizes = (0.0, 1.0) if kind == "run_together" else (1.0,)
        teller = Teller(self.drawer, self.split, replace(self.style, sizes=sizes))
        teller.plan()
        script = teller.tell()
        kinds = Disfluent(script, teller, self.style.rates, self.style.lexicon, self.draw).apply()
        if kind == "new_subject":
            opener = Script()
            opener.say(self._any("subject", SUBJECTS))
            script.insert(0, opener)
        for mark in script.marks:
            mark.clause += self.clause
        script.places.clear()
        start = len(self.script.words)
        if kind == "long_pause":
            starts = sorted({mark.start for mark in script.marks if mark.op == "put" and mark.start > 1}) or [
                len(script.words) - 1
            ]
            self.pauses[start + max(1, self.draw.choice(starts))] = ns(round(self.draw.uniform(*PAUSE_S), 2))
        tools = [telling.intent.tool for telling in teller.clauses.values()]
        self.pairs += pairwise(tools)
        self.used += teller.used
        self.labels += kinds
        self.clause += len(teller.clauses)
        intents = {telling.intent.name: telling for telling in teller.clauses.values()}
        asked = next((name for name in ("phone", "address") if name in intents), None)
        answer: tuple[str, ...] = ()
        if asked is not None:
            names = intents[asked].values["person"][0].accepted
            person = next(p for p in self.drawer.setting.data.people if p.name in names)
            answer = (person.phone if asked == "phone" else person.email,)
        self._add(kind, script, answer=answer)

    def _underspecified(self) -> None:
        lack = self.draw.choice(LACKS)
        values = {slot: [self.drawer.one(self._kind(lack.intent, slot))] for slot in _slots(lack.lines[0])}
        script = self._render(self._any(f"lack:{lack.asks}", lack.lines), self.clause, lack.intent, values)
        self.lack = (lack, self.clause)
        self.clause += 1
        says, answer = question(lack.asks)
        self._add("underspecified", script, asks=lack.asks, says=says, answer=answer)

    def _reply(self, kind: str) -> bool:
        assert self.lack is not None
        lack, clause = self.lack
        lines = lack.replies if kind == "clarified" else lack.corrections
        if not lines:
            return False
        values = {slot: [self.drawer.one(self._kind(lack.intent, slot))] for slot in _slots(lines[0])}
        script = self._render(self._any(f"{kind}:{lack.asks}", lines), clause, lack.intent, values)
        self.lack = None
        self._add(kind, script)
        return True

    def _drop(self) -> None:
        assert self.lack is not None
        script = Script()
        said = script.say(self._any("change_of_mind_before", ASIDES["change_of_mind_before"]))
        script.marks.append(Mark(said.start, said.end, "drop", self.lack[1]))
        self.lack = None
        self._add("change_of_mind_before", script, quiet=True, **_usual("change_of_mind_before"))

    def _follow_up(self, done: Sequence[Clause]) -> bool:
        if not done:
            return False
        last = done[-1]
        fits = [
            row
            for row in FOLLOW_UPS
            if last.intent in row.after and all(slot in last.slots for slot in row.copies.values())
        ]
        if not fits:
            return False
        row = self.draw.choice(fits)
        line = self._any(f"follow:{row.intent}:{','.join(row.copies)}:{min(row.after)}", row.lines)
        values = {slot: [self.drawer.one(self._kind(row.intent, slot))] for slot in _slots(line)}
        copies = {slot: last.slots[source] for slot, source in row.copies.items()}
        script = self._render(
            line,
            self.clause,
            row.intent,
            values,
            {slot: [said.values for _, said in sorted(items.items())] for slot, items in copies.items()},
        )
        self.clause += 1
        self._add("follow_up", script)
        return True

    def _correct(self, done: Sequence[Clause]) -> bool:
        fits = [key for key in CORRECTIONS if done and key[0] == done[-1].intent and key[1] in done[-1].slots]
        if not fits:
            return False
        last, (intent, slot) = done[-1], self.draw.choice(fits)
        line = self._any(f"correct:{intent}:{slot}", CORRECTIONS[intent, slot])
        script = self._render(line, self.clause, intent, {slot: [self.drawer.one(self._kind(intent, slot))]})
        put = next(mark for mark in script.marks if mark.op == "put" and mark.slot == slot and not mark.grows)
        # only when it is said what was wrong is it clear what was not
        for other, items in last.slots.items():
            for item, said in sorted(items.items()) if other != slot else ():
                script.marks.append(Mark(put.start, put.end, "put", self.clause, other, item, said.values))
        self.clause += 1
        self._add("correction_after", script, **_usual("correction_after"))
        return True

    def _aside(self, kind: str, done: Sequence[Clause]) -> bool:
        writes = [clause for clause in done if BY_NAME[INTENTS[clause.intent].tool].access == "write"]
        script = Script()
        if (
            self.turns[-1].kind == kind
            or kind == "change_of_mind_after"
            and any(turn.kind == kind for turn in self.turns)
        ):
            return False  # nobody asks the same again at once
        if kind in ("thanks", "backchannel"):
            script.say(self._any(kind, ASIDES[kind]))
            self._add(kind, script, quiet=True, **_usual(kind))
            return True
        if not writes or writes[-1] is not done[-1]:
            return False
        if kind == "change_of_mind_after":
            script.say(self._any(kind, ASIDES[kind]))
            self._add(kind, script, quiet=True, **_usual(kind))
            return True
        asked = {"who": "to", "what": "message", "when": "when"}
        open_ = [name for name, slot in asked.items() if slot in done[-1].slots and len(done[-1].slots[slot]) == 1]
        name = self.draw.choice(["question", *open_])
        script.say(self._any(name, ASIDES[name]))
        if name == "question":
            self._add(kind, script, says="Yes, that is done.", answer=("yes",), quiet=True)
            return True
        values = next(iter(done[-1].slots[asked[name]].values())).values
        answer = tuple(str(value) for value in values)
        lead = {"who": "It went to {}.", "what": "It says {}.", "when": "It is {}."}[name]
        self._add(kind, script, says=lead.format(answer[0]), answer=answer, quiet=True)
        return True

    # -- words -------------------------------------------------------------------------------------------------------

    def _any(self, kind: str, lines: tuple[str, ...]) -> str:
        line = self.draw.choice(worded(kind, lines, self.split))
        self.used.append(f"{kind}: {line}")
        return line

    def _kind(self, intent: str, slot: str) -> str:
        kind = (INTENTS[intent].slots | INTENTS[intent].extras)[slot]
        return "person" if kind == _PERSON else kind

    def _render(
        self,
        line: str,
        clause: int,
        intent: str,
        values: Mapping[str, list[Value]],
        copies: Mapping[str, list[Any]] | None = None,
    ) -> Script:
        """The words of a line, with what they do to a clause."""
        script, teller = Script(), Teller(self.drawer, self.split, self.style)
        for token in line.split():
            token, opens = token.replace("^", ""), "^" in token
            word, _, slot = token.partition("=")
            if token.startswith("{"):
                for value in values[token.strip("{}")]:
                    script.add(teller._say(value, clause, token.strip("{}"), 0))
                continue
            said = script.say(word)
            if opens:
                script.marks.append(Mark(said.start, said.end, "open", clause, intent))
            for item, accepted in enumerate((copies or {}).get(slot, ()) if slot else ()):
                script.marks.append(Mark(said.start, said.end, "put", clause, slot, item, accepted))
        script.places.clear()
        return script

    def _add(self, kind: str, script: Script, **more: Any) -> None:
        self.script.add(script)
        self.turns.append(
            Turn(kind, len(self.script.words), 0, interrupts=INTERRUPTS.get(kind, 0.05) if self.turns else 0.0, **more)
        )


def _usual(kind: str) -> dict[str, Any]:
    says, answer = SAYS[kind]
    return {"says": says, "answer": answer}


def _slots(line: str) -> list[str]:
    return re.findall(r"\{(\w+)\}", line)


def talk(dialogue: Dialogue) -> None:
    """Draws the turns."""
    draw = dialogue.draw
    count = draw.choices(list(SIZES), list(SIZES.values()))[0]
    while len(dialogue.turns) < count:
        left = count - len(dialogue.turns)
        shares = dict(FIRST if not dialogue.turns else PENDING if dialogue.lack is not None else NEXT)
        if left < 2:
            shares.pop("underspecified", None)
        while shares:
            kind = draw.choices(list(shares), list(shares.values()))[0]
            if dialogue.take(kind):
                break
            del shares[kind]


def compose(
    split: Split, index: int, seed: int = 0, style: Style = PLAIN, source: str = SOURCE, voice: Voice = VOICE
) -> Task:
    """The ``index``-th conversation of a split: a function of its arguments alone.

    Raises:
        BadTask: none of forty draws could be done in its world.
    """
    name = f"{source}-{split}-{index}"
    why = ""
    for attempt in range(40):
        draw = random.Random(child(seed, name, attempt))
        place = setting(split, draw.randrange(COUNTS[split]))
        now = place.start + timedelta(days=draw.randrange(60), minutes=draw.randrange(7 * 60, 20 * 60))
        dialogue = Dialogue(Drawer(place, draw, now, style.times), split, style)
        talk(dialogue)
        try:
            return task_of(dialogue, name, source, str(now), child(seed, name, "voice"), voice)
        except (BadTask, ValueError) as error:  # its world refuses it, or a request takes back all that it asks for
            why = str(error)
    raise BadTask(f"task {name}: no conversation of 40 could be done ({why}); give another seed")


def task_of(dialogue: Dialogue, name: str, source: str, now: str, seed: int, voice: Voice) -> Task:
    """A task from a finished conversation.

    Raises:
        BadTask: its world refuses it, a turn asks for nothing, or it asks for the same twice.
    """
    script = dialogue.script
    edits = script.finish()
    derivation = Derivation(edits, asks)
    gold = derivation.gold(len(script.words), BY_NAME)
    keys = [item.draft.key for item in understood(asks(clauses(edits, len(script.words), True, frozenset())))]
    turns: list[Turn] = []
    had = 0
    for turn in dialogue.turns:
        there = {
            item.draft.key
            for item in understood(asks(clauses(edits, turn.words, True, frozenset())))
            if not item.missing
        }
        # gold is in the order in which calls became clear, so a turn's are next to each other
        calls = max([had, *(n for n, key in enumerate(keys, start=1) if key in there)])
        if calls == had and not (turn.quiet or turn.asks or turn.answer):
            raise BadTask(f"task {name}: a turn of kind {turn.kind} asks for nothing")
        if any(key not in there for key in keys[:calls]):
            raise BadTask(f"task {name}: a call of a later turn became clear before one of turn {len(turns) + 1}")
        turns.append(replace(turn, calls=calls, quiet=turn.quiet and calls == had))
        had = calls
    texts = [(call.name, repr(sorted(canonical(call).items()))) for call in gold]
    if len(set(texts)) < len(texts):
        raise BadTask(f"task {name}: it asks for the same twice")
    place = dialogue.drawer.setting
    task = Task(
        name,
        source,
        dialogue.split,
        timed(script.words, [turn.words for turn in turns], seed, voice, script.labels, dialogue.pauses),
        assistant_specs(now=now),
        gold,
        partial(AssistantToolbox, place.data, name, now=now),
        now=now,
        tags=(f"turns:{len(turns)}", *sorted({*dialogue.labels, *(turn.kind for turn in turns)})),
        meta={
            "world": place.id,
            "templates": tuple(dialogue.used),
            "pairs": tuple(dialogue.pairs),
            "entities": tuple(sorted(f"{key[0]}:{key[1]}" for key in dialogue.drawer.used)),
        },
        reading=derivation,
        turns=tuple(turns),
    )
    rehearse(task)
    return task


def tasks(split: Split, seed: int = 0, count: int = 1000, style: Style = PLAIN) -> Lazy:
    """The first ``count`` conversations of a split."""
    check_splits()
    return Lazy(count, lambda index: compose(split, index, seed, style))
