"""Conversations as chat rows, and back."""

from __future__ import annotations

import json
from itertools import pairwise

from data_gen.gold import references
from data_gen.tasks import jsonl
from data_gen.tasks.assistant.dialogue import compose
from scripts.chat_rows import row_of


def test_a_conversation_comes_back_from_its_chat_row(tmp_path):
    tasks = [compose("train", n) for n in range(8)]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row_of(task)) + "\n" for task in tasks))
    loaded = jsonl.load(str(path), "")
    assert not loaded.rejected
    for task, read in zip(tasks, loaded.tasks):
        assert [turn.words for turn in read.turns] == [
            turn.words for turn in task.turns
        ] and read.request == task.request
        assert [turn.calls for turn in read.turns] == [turn.calls for turn in task.turns]
        # a chat model makes calls in rounds, so they may come in another order within their turn
        for first, last in pairwise([0, *(turn.calls for turn in task.turns)]):
            assert sorted(call.name for call in read.gold[first:last]) == sorted(
                call.name for call in task.gold[first:last]
            )
        assert [bool(turn.asks) for turn in read.turns] == [bool(turn.asks) for turn in task.turns]
        # what a call takes from another is found again
        assert links(read) == links(task)


def links(task) -> int:
    """How many arguments take results."""
    return sum(bool(references(arg.values[0])) for call in task.gold for arg in call.args.values())
