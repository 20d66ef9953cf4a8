"""What every backend must do with masks, with what is foreseen, and with requests that don't fit: the same cases for
each of them."""

from __future__ import annotations

import random

import numpy as np
import pytest


class Only:
    """A mask that allows the given ids, out of the first ``size``."""

    def __init__(self, ids, size):
        self._allowed = np.zeros(size, dtype=bool)
        self._allowed[list(ids)] = True

    def allowed(self):
        return self._allowed


def masks_bind_only_their_own_stream(backend, vocabulary: int) -> None:
    """A mask that is shorter than the vocabulary allows none of the rest; where nothing is allowed no context grows."""
    free = backend.decode([backend.open([1, 20, 3])])[0]
    streams = [backend.open([1, 20, 3]) for _ in range(3)]
    other = (free + 1) % vocabulary
    assert backend.decode(streams, [Only([other], vocabulary), None, Only([30], 50)]) == [other, free, 30]
    with pytest.raises(ValueError, match="allows no token"):
        backend.decode(streams, [None, Only([], vocabulary), None])
    assert [stream.length for stream in streams] == [4, 4, 4]


class Following:
    """A constraint that forces two of five tokens, and of the others allows some, by what came before."""

    def __init__(self, size):
        self._size, self.pushed = size, []

    def allowed(self):
        start = 7 * (len(self.pushed) % 5) + sum(self.pushed) % 3
        return Only(range(start, min(self._size, start + 30)), self._size).allowed()

    def forced(self):
        return (11, 5) if len(self.pushed) % 5 == 3 else ()

    def push(self, token):
        self.pushed.append(token)


def token_by_token(backend, stream, count: int, constraint=None) -> list[int]:
    """What is written without foresight, as a session's worker would: what is forced is taken in."""
    written = []
    while len(written) < count:
        forced = list(constraint.forced()) if constraint is not None else []
        if forced:
            backend.append([(stream, forced)])
        for token in forced or backend.decode([stream], [constraint]):
            written.append(token)
            if constraint is not None:
                constraint.push(token)
    return written[:count]


def what_is_foreseen_changes_nothing(backend, prompt, constraints) -> None:
    """Right, wrong and half-right foresight, of several lengths and one after the other: always the ids of writing
    token by token, and the constraint has consumed those.

    ``constraints`` makes a new one, or gives None.
    """
    wanted = token_by_token(backend, backend.open(prompt, seed=3), 20, constraints())
    for right in (0, 1, 2, 5, 9, 10):
        stream, constraint = backend.open(prompt, seed=3), constraints()
        written, rounds = [], 0
        while len(written) < 18:
            rounds += 1
            ahead = wanted[len(written) : len(written) + 10]
            foreseen = [*ahead[:right], *((id + 1) % 90 for id in ahead[right:])]
            taken = backend.verify(stream, foreseen, constraint)
            # what is forced is taken as a whole, or left
            assert 0 <= taken <= min(right, len(foreseen)) and taken >= min(right, len(foreseen)) - 1
            written += foreseen[:taken]
            assert stream.length == len(prompt) + len(written)
            assert constraint is None or constraint.pushed == written
            written += token_by_token(backend, stream, 1, constraint)
            if constraint is not None:  # all of what was forced has been appended
                written = [*constraint.pushed]
        assert written[:18] == wanted[:18], right
        assert right < 10 or rounds == 2
    assert backend.verify(stream, ()) == 0


def ragged(backend, prompts, room: int | None = None) -> list:
    """Contexts after appends, decodes, crops and forks drawn by a seed, at the most ``room`` of them."""
    rng, streams = random.Random(5), [backend.open(ids) for ids in prompts]
    for _ in range(12):
        some = [stream for stream in streams if rng.random() < 0.6]
        backend.append([(stream, [rng.randrange(5, 1400) for _ in range(rng.randrange(0, 30))]) for stream in some])
        backend.decode([stream for stream in streams if rng.random() < 0.6])
        cropped = rng.choice(streams)
        backend.crop(cropped, rng.randrange(1, cropped.length + 1))
        copied = rng.choice(streams)
        streams.append(backend.fork(copied))
        assert streams[-1].ids == copied.ids
        if room is not None and len(streams) > room:
            backend.close(streams.pop(rng.randrange(len(streams))))
    return streams


def what_does_not_fit_is_named(backend) -> None:
    """With ``max_tokens=8``; the contexts of a refused append stay as they were."""
    stream, other = backend.open([1, 2, 3]), backend.open([1])
    with pytest.raises(ValueError, match="3 tokens, 6 more pass max_tokens = 8"):
        backend.append([(other, [1]), (stream, [5] * 6)])
    assert (stream.length, other.length) == (3, 1)
    backend.append([(stream, [5] * 5)])
    with pytest.raises(ValueError, match="end the episode"):
        backend.decode([stream])
    with pytest.raises(ValueError, match="can't crop a context of 8 tokens to 9"):
        backend.crop(stream, 9)
    with pytest.raises(ValueError, match="empty prompt"):
        backend.open([])
