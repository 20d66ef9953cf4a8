"""Simulates the user of a conversation, who hears an answer and says the next turn.

Owns when a turn begins (`Manners`) and how an answer is voiced. A user waits for the answer to be spoken to its end and
then takes a moment, now and then a long one; or, with the turn's own probability, speaks into it (barge-in). All of it
is a function of the seed, the task, the turn and the answer: the same log gives the same user. Does not know what is
said and how an agent comes to its answers.

A turn's words are timed and cut into updates like any request's, with seeds of its own, from its first word on.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from configs.schema import DataConfig
from data_gen.dialogue.turns import turns_of, words_of
from data_gen.seeds import child
from data_gen.speech.timing import Voice, speak
from data_gen.task import Task
from midsentence.clock import ns
from midsentence.core.events import EndPredicted, Silence, UserUpdate
from midsentence.core.silence import silences
from midsentence.shells.spoken import Spoken


@dataclass(frozen=True, slots=True)
class Manners:
    """How users take turns. None of it is fitted; `docs/conversations.md` says what it leans on."""

    reaction_s: float = 0.6
    """Median time from the end of an answer to the user's next word."""
    reaction_spread: float = 0.5
    """Standard deviation of its logarithm."""
    silence_rate: float = 0.08
    """Probability that the user says nothing for long first."""
    silence_s: tuple[float, float] = (3.0, 8.0)
    """How long then, uniform."""
    barge_in: tuple[float, float] = (0.2, 0.9)
    """Where in the answer a user who speaks into it begins, as a share of its length, uniform."""
    earliest_s: float = 0.3
    """Nobody speaks into an answer before having heard so much of it."""


@dataclass(frozen=True, slots=True)
class Conversant:
    """Plays the user on one task; see `midsentence.shells.spoken.User`."""

    task: Task
    """What the user is going to say."""
    data: DataConfig
    """Settings of how it is spoken."""
    seed: int
    """Root of all that is drawn."""
    manners: Manners = field(default_factory=Manners)
    """How the user takes turns."""
    speaker: Voice = field(default_factory=Voice)
    """How the agent's voice times words."""

    def voice(self, turn: int, text: str, at_ns: int) -> Spoken:
        """See `midsentence.shells.spoken.User`."""
        words = (
            speak(text.split(), child(self.seed, self.task.id, "answer", turn, text), self.speaker)
            if text.split()
            else ()
        )
        return Spoken(at_ns, tuple((word.text, at_ns + word.start_ns, at_ns + word.end_ns) for word in words))

    def next(self, turn: int, spoken: Spoken) -> tuple[int, Sequence[UserUpdate | EndPredicted | Silence]] | None:
        """See `midsentence.shells.spoken.User`."""
        if turn >= len(turns_of(self.task)):
            return None
        start_ns = self.begins_ns(turn, spoken)
        return start_ns, said_in(self.task, turn, start_ns, self.data, self.seed)

    def begins_ns(self, turn: int, spoken: Spoken) -> int:
        """When the user begins to say a turn."""
        draw, manners = random.Random(child(self.seed, self.task.id, "manners", turn)), self.manners
        into, where, reacts, waits, how_long = (draw.random() for _ in range(5))
        length_ns = spoken.end_ns - spoken.start_ns
        low, high = manners.barge_in
        offset_ns = max(ns(manners.earliest_s), round(length_ns * (low + (high - low) * where)))
        if into < turns_of(self.task)[turn].interrupts and offset_ns < length_ns:
            return spoken.start_ns + offset_ns
        if waits < manners.silence_rate:
            low, high = manners.silence_s
            return spoken.end_ns + ns(round(low + (high - low) * how_long, 3))
        # the normal quantile by the logistic one, which is near enough for a reaction time
        normal = math.log(max(reacts, 1e-6) / max(1 - reacts, 1e-6)) / 1.702
        return spoken.end_ns + ns(round(manners.reaction_s * math.exp(manners.reaction_spread * normal), 3))


def said_in(
    task: Task, turn: int, start_ns: int, data: DataConfig, seed: int
) -> list[UserUpdate | EndPredicted | Silence]:
    """What the recogniser passes on of a turn that begins at ``start_ns``, silences included."""
    from data_gen.episodes import cut

    words = words_of(task, turn)
    heard = cut(words, child(seed, task.id, "updates", turn) if turn else child(seed, task.id, "updates"), data)
    quiet = silences(
        [(word.start_ns, word.end_ns) for word in words], [event for event in heard if isinstance(event, UserUpdate)]
    )
    return [replace(event, at_ns=event.at_ns + start_ns) for event in (*heard, *quiet)]
