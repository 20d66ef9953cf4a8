"""What every backend must do with masks, and with requests that don't fit: the same cases for each of them."""

from __future__ import annotations

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
