"""Questions without tools: what a model says of itself, and the best constant answer."""

from __future__ import annotations

import json

import pytest

from data_gen.task import Evidence, GoldArg, GoldCall, Task, Word
from eval import closed_book, replay, report
from eval.closed_book import FIELDS, ask, beside, judged, majority, read, said
from eval.running.results import BadResults, Key
from midsentence.tools.search import SEARCH_SPEC
from tests.data_gen.tasks.test_hotpotqa import ARTICLES
from tests.eval.made import record_of


def question(id: str, *accepted: str, split: str = "test") -> Task:
    gold = (GoldCall("search", {"entity": GoldArg(("x",))}, Evidence(0, 0), {}),)
    return Task(id, "hotpotqa", split, (Word("so", 0, 1),), (SEARCH_SPEC,), gold, object, accepted)


def test_the_majority_is_counted_in_training_and_judged_elsewhere():
    train = [question(f"t{n}", answer) for n, answer in enumerate(["No", "yes", "no.", "Brill"])]
    made = majority(train, [question("a", "no"), question("b", "yes"), question("c", "a no")])
    assert (made["answer"], made["train_n"], made["train_count"]) == ("no", 4, 2)
    assert [(one["exact"], one["f1"]) for one in made["answers"]] == [(True, 1.0), (False, 0.0), (True, 1.0)]
    # of equally frequent answers the first by letters, whatever the order of the file
    assert majority([question("a", "yes"), question("b", "no")], [])["answer"] == "no"


def test_an_answer_is_judged_like_hotpotqa():
    assert judged(question("a", "Quorn Hall"), "The Quorn Hall.")["exact"]
    wordy = judged(question("a", "Quorn Hall"), "Quorn Hall is older")
    assert not wordy["exact"] and wordy["f1"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Brill", "Brill"),
        ("\n Brill \nbecause it is", "Brill"),
        ("<think>older</think><answer>Brill</answer>", "Brill"),
        ("No, neither of them is.", "No"),
        ("Nobody knows.", "Nobody knows."),
        ("no wonder", "no wonder"),
        ("", ""),
        ("<pause>", ""),
    ],
)
def test_what_counts_as_the_answer(text, answer):
    assert said(text) == answer


def test_a_question_is_asked_in_the_models_own_chat_and_cant_forge_a_tag(tiny_renderer):
    turn = tiny_renderer.format_ids(tiny_renderer.format.environment_to_model)
    end = max(turn)
    written = [*tiny_renderer.action_ids("Brill"), end]

    class Model:
        end_ids = frozenset({end})

        def __init__(self):
            self.opened, self.closed = [], 0

        def open(self, ids, seed=0):
            self.opened.append(list(ids))
            return len(self.opened) - 1, iter(written if len(self.opened) == 1 else written[:-1] * 50)

        def decode(self, streams, masks=None):
            return [next(stream[1]) for stream in streams]

        def close(self, stream):
            self.closed += 1

    model = Model()
    found = ask(model, tiny_renderer, ["Which is older <answer>?", "Who?"])
    assert found[0] == "Brill" and found[1].startswith("BrillBrill") and model.closed == 2
    assert len(tiny_renderer.action_ids(found[1])) <= closed_book.MOST_TOKENS + 1
    assert tiny_renderer.tag_ids["<answer>"] not in model.opened[0]
    assert model.opened[0][-len(turn) :] == list(turn)


NAMES = [name for name in ARTICLES if "(" not in name]


@pytest.fixture
def file(tmp_path) -> str:
    """Questions enough for every split to have some."""
    rows = [
        {
            "_id": f"{first} {second} {word}",
            "question": f"Is {first} {word} than {second}?",
            "type": "comparison",
            "answer": "yes" if first < second else "no",
            "supporting_facts": [[first, 0], [second, 0]],
            "context": [[name, [text]] for name, text in ARTICLES.items()],
        }
        for first in NAMES
        for second in NAMES
        if first != second
        for word in ("older", "larger")
    ]
    path = tmp_path / "questions.json"
    path.write_text(json.dumps(rows))
    return str(path)


def test_both_references_stand_beside_a_replay(file, configured, tmp_path, capsys):
    """The user's way: replay, closed book into the same folder, report."""
    common = (
        "data.source=hotpotqa",
        f"+data.files.hotpotqa={file}",
        "eval.modes=[speculative]",
        "eval.split=all",
        "eval.expert_tasks=0",
        "eval.tasks=2",
        "model.dtype=float32",
    )
    both = configured(*common, "eval.backends=[expert,untrained]", f"runs=[{tmp_path / 'replay'}]", "eval.resamples=50")
    replay.main(both)
    closed_book.main(both)
    said_so = capsys.readouterr().out
    assert "hotpotqa, majority:" in said_so and "of 2 exactly right without a tool" in said_so
    both.out = str(tmp_path / "report")
    report.main(both)
    rows = json.loads((tmp_path / "report/report.json").read_text())["rows"]
    # whoever was not trained hears every split
    assert {row["split"] for row in rows if row["backend"] == "expert"} == {"train", "validation", "test"}
    for row in rows:
        assert row["answer_exact"] == 1 or row["backend"] == "untrained"
        assert row["majority_answer"] in ("yes", "no") and 0 < row["majority_train_n"] < 24
        assert (row["closed_book_exact"] is None) == (row["backend"] == "expert")
    # of a train split the most frequent answer is right at least half the time where there are two
    assert all(row["majority_exact"] >= 0.5 for row in rows if row["split"] == "train" and row["backend"] == "expert")
    text = (tmp_path / "report/report.md").read_text()
    assert "## answers: hotpotqa, test, laptop" in text and "every question is answered" in text


def test_a_row_with_a_task_that_was_not_asked_has_no_figure():
    key = Key("hotpotqa", "test", "model", "parallel", "laptop")
    one = {"split": "test", "task": "a", "answer": "x", "exact": True, "f1": 1.0, "constant": {}}
    held = {("hotpotqa", "model"): {("test", "a"): one}}
    assert beside(key, [record_of(task="a")], held)["closed_book_exact"] == 1
    assert beside(key, [record_of(task="a"), record_of(task="b")], held) == dict.fromkeys(FIELDS)
    assert beside(key, [record_of(task="a")], {}) == dict.fromkeys(FIELDS)


def test_sources_that_do_not_ask_are_refused_and_other_schemas_too(configured, tmp_path):
    with pytest.raises(ValueError, match="none of the sources asks questions only"):
        closed_book.main(configured("eval.backends=[expert]"))
    (tmp_path / "closed_book.json").write_text('{"schema_version": 9, "rows": []}')
    with pytest.raises(BadResults, match="schema version 9"):
        read([str(tmp_path)])
    assert read([str(tmp_path / "nowhere")]) == {}
