"""What earlier attempts at a turn have written is read, not written, and changes nothing: exact times, nanosecond for
nanosecond."""

from __future__ import annotations

from midsentence.core.events import StartTool
from midsentence.core.modes import MODES
from midsentence.shells.drafts import Drafts
from midsentence.testing import PREDICTED, ToolFailure, answer, calls, play

LONG = '1. look("one two three four five six seven eight")'
"""A line of nine words: written in 0.9 s and read in 0.1 s."""
FIRST, SECOND = "ten old men sat by a fire".split(), "ten old women sat by a fire".split()


def test_the_row_is_eager_end_with_an_end_at_every_update():
    row, base = MODES["verified"], MODES["eager_end"]
    assert {name for name in row.__slots__ if getattr(row, name) != getattr(base, name)} == {
        "verified",
        "whole",
        "results_cut",
    }


def test_all_is_done_when_the_end_is_heard():
    said, model = [(0.0, "look one to eight"), (5.0, ".")], [calls(LONG), answer()]
    assert play(said, model, mode="eager_end").rows("start say") == [
        (6.1, "start", "1 look(one two three four five six seven eight)"),
        (7.1, "say", "done"),
    ]
    played = play(said, model, mode="verified")
    assert played.rows("start result model say") == [
        (1.1, "start", "1 look(one two three four five six seven eight)"),
        (1.2, "model", calls(LONG)),
        (1.5, "model", answer()),
        (2.1, "result", "1 ok"),
        (5.0, "say", "done"),
    ]
    found = played.rollout.drafted
    assert (found.attempts, found.foreseen, found.kept) == (0, 0, frozenset())


def test_what_was_written_before_is_read_and_its_read_is_not_run_again():
    played = play([(0.0, "look one"), (3.0, "to eight"), (9.0, ".")], [calls(LONG), answer()] * 2, mode="verified")
    again = [row for row in played.rows("start result model say") if row[0] > 3]
    # the words are taken in (0.1 s), and one pass reads the eleven words of the action (0.11 s); an answer of three
    # words is written
    assert again == [
        (3.21, "start", "1v2 look(one two three four five six seven eight)"),
        (3.21, "model", calls(LONG)),
        (3.21, "result", "1v2 ok"),
        (3.51, "model", answer()),
        (9.0, "say", "done"),
    ]
    found = played.rollout.drafted
    assert found.attempts == 1 and found.right == found.foreseen == 11 and found.kept == {(1, 2)}


def test_what_is_another_now_is_written_and_the_rest_read():
    first, second = (calls(f'1. look("{" ".join(words)}")', '2. look("and so on and on")') for words in (FIRST, SECOND))
    said = [(0.0, "look ten"), (5.0, "women"), (12.0, ".")]
    played = play(said, [first, answer(), second, answer()], mode="verified")
    found = played.rollout.drafted
    assert [what for _, who, what in played.rows("model")] == [first, answer(), second, answer()]
    assert 0 < found.right < found.foreseen and found.kept == {(2, 2)}
    starts = [what for _, _, what in played.rows("start")]
    assert starts == [
        "1 look(ten old men sat by a fire)",
        "2 look(and so on and on)",
        "1v2 look(ten old women sat by a fire)",
        "2v2 look(and so on and on)",
    ]


def test_an_effect_waits_for_the_end_and_is_done_once():
    said = [(0.0, "text Bob"), (3.0, "now"), (6.0, ".")]
    played = play(said, [calls('1. send("Bob")'), answer()] * 2, mode="verified")
    assert [(at_s, what.partition(" ")[2]) for at_s, _, what in played.rows("start")] == [(6.0, "send(Bob)")]


def test_speech_that_goes_on_after_a_predicted_end_is_another_attempt():
    said = [(0.0, "look one to eight"), (3.0, PREDICTED), (3.05, "no wait"), (6.0, ".")]
    played = play(said, [calls(LONG), answer()] * 2, mode="verified")
    found = played.rollout.drafted
    assert found.attempts == 1 and found.kept == {(1, 2)} and found.right > 0
    assert [at_s for at_s, _, _ in played.rows("say")] == [6.0]


def test_speech_that_goes_on_after_the_answer_is_another_turn():
    """All was there when the end was heard, so the answer is out before it turns out to be none."""
    said = [(0.0, "look one to eight"), (3.0, "."), (3.05, "no wait"), (6.0, ".")]
    played = play(said, [calls(LONG), answer(), calls('2. look("no")'), answer()], mode="verified")
    assert [at_s for at_s, _, _ in played.rows("say")] == [3.0, 6.0] and played.rollout.drafted.attempts == 0


def test_a_read_that_failed_is_run_anew():
    line, said = calls('1. look("a b c d")'), [(0.0, "look"), (4.0, "now"), (9.0, ".")]
    model = [line, answer(), answer(), line, answer()]
    played = play(said, model, mode="verified", answers={"look": [ToolFailure("busy"), "found"]}, all_used=False)
    assert [what for _, _, what in played.rows("error result")] == ["1 failed: busy", "1v2 found"]
    assert not played.rollout.drafted.kept


def test_an_effect_drops_what_it_may_change():
    """A note is written into the page: a page that was read before is read again; another read is not."""
    for read, kept in (("page", set()), ("look", {(2, 2)})):
        first, second = calls(f'1. {read}("a b c d")'), calls('1. note("x")', f'2. {read}("a b c d")')
        said = [(0.0, "read"), (3.0, "but note x first"), (8.0, ".")]
        played = play(said, [first, answer(), second, answer()], mode="verified", all_used=False)
        starts = [
            command.name
            for _, commands in played.rollout.history
            for command in commands
            if isinstance(command, StartTool)
        ]
        assert sorted(starts) == sorted([read, "note", read]) and played.rollout.drafted.kept == kept


def test_a_read_of_a_thrown_away_attempt_runs_to_its_end():
    line, said = calls('1. look("a b")'), [(0.0, "look"), (1.2, "there"), (9.0, ".")]
    played = play(said, [line, answer()] * 2, mode="verified", takes={"look": 3}, all_used=False)
    first, second = played.rows("start")
    (result,) = played.rows("result")
    assert (
        played.rows("stop")
        and result[0] == first[0] + 3
        and first[0] < second[0]
        and played.rollout.drafted.kept == {(1, 2)}
    )


class TestWhatIsForeseen:
    def drafts(self, *spans: list[int]) -> Drafts:
        """Of one earlier attempt that wrote these."""
        drafts = Drafts()
        for span in spans:
            drafts.wrote(span)
        drafts.again()
        return drafts

    def test_the_generation_of_the_same_place_from_its_beginning(self):
        drafts = self.drafts([1, 2, 3, 4, 5], [6, 7, 8, 9])
        assert drafts.ids([]) == (1, 2, 3, 4, 5)
        drafts.wrote([1, 2, 3, 4, 5])
        assert drafts.ids([]) == (6, 7, 8, 9) and (drafts.foreseen, drafts.right) == (5, 5)

    def test_nothing_while_it_is_not_known_what_became_of_it(self):
        drafts = self.drafts([1, 2, 3, 4, 5, 6])
        assert drafts.ids([]) and drafts.ids([1]) == () == drafts.ids([1, 2])

    def test_behind_the_token_that_was_refused(self):
        drafts = self.drafts([1, 2, 3, 4, 5, 6, 7, 8])
        assert drafts.ids([]) == (1, 2, 3, 4, 5, 6, 7, 8)
        assert drafts.ids([1, 2, 9]) == ()  # an insertion: 3 was refused
        assert drafts.ids([1, 2, 9, 3]) == (4, 5, 6, 7, 8) and drafts.right == 2

    def test_behind_three_tokens_that_are_the_same(self):
        drafts = self.drafts([1, 2, 3, 4, 5, 6, 7, 8, 9])
        drafts.ids([])
        assert drafts.ids([1, 20]) == () == drafts.ids([1, 20, 3]) == drafts.ids([1, 20, 3, 4])
        assert drafts.ids([1, 20, 3, 4, 5]) == (6, 7, 8, 9)

    def test_a_longer_attempt_goes_on_where_one_was_cut(self):
        drafts = self.drafts([1, 2, 3, 4, 5, 6, 7, 8])
        drafts.wrote([1, 2])
        drafts.again()
        assert drafts.ids([]) == (1, 2, 3, 4, 5, 6, 7, 8)

    def test_few_tokens_are_not_worth_a_pass_and_a_turn_is_forgotten(self):
        assert self.drafts([1, 2, 3]).ids([]) == ()
        drafts = self.drafts([1, 2, 3, 4])
        drafts.forget()
        assert drafts.ids([]) == ()
