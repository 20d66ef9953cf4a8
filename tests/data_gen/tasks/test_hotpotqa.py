"""HotpotQA's comparison questions: three file formats, what is searched for, corrections, and what is kept out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from data_gen.episodes import make_episode
from data_gen.expert.player import Expert
from data_gen.grounding.reading import reading_of
from data_gen.sources import load, rejected
from data_gen.speech.disfluency import Rates
from data_gen.tasks import hotpotqa
from midsentence.clock import Profile, ns
from midsentence.models.load import load_renderer
from tests.test_configs import composed

PLACES = [
    ("Brill", "an old hill village"),
    ("Quorn Hall", "a stone house"),
    ("Moss End", "a farm"),
    ("Dale Fort", "a fort"),
]
ARTICLES = {
    **{name: f"{name} is {what}. It was built in {1800 + n}." for n, (name, what) in enumerate(PLACES)},
    "Ann Pell (painter)": "Ann Pell was a painter. She was born in 1901.",
    "Ann Pell (rower)": "Ann Pell was a rower. She was born in 1950.",
    "Lux (magazine)": "Lux is a magazine. It is printed weekly.",
}
NOBODY = Rates().times(0)


def context(*titles: str) -> list:
    return [[title, ARTICLES[title].split(". ")] for title in titles]


def official(id: str, question: str, answer: str, *titles: str, kind: str = "comparison") -> dict:
    return {
        "_id": id,
        "question": question,
        "answer": answer,
        "type": kind,
        "supporting_facts": [[t, 0] for t in titles],
        "context": context(*titles, "Dale Fort", "Ann Pell (rower)"),
    }


ROWS = [
    official("q1", "Which is older, Brill or Quorn Hall?", "Brill", "Quorn Hall", "Brill"),
    official("q2", "Are Moss End and Lux both farms?", "no", "Moss End", "Lux (magazine)"),
    official("q3", "Who was born first, Ann Pell or Ann Pell?", "Ann Pell", "Ann Pell (painter)", "Ann Pell (rower)"),
    official("q4", "Where does the man from Brill live?", "Brill", "Brill", "Moss End", kind="bridge"),
    official("q5", "Which is older, Brill or the farm?", "Brill", "Brill", "Moss End"),
    official("q6", "Which is  older, brill or Quorn Hall?", "Brill", "Brill", "Quorn Hall"),
]


@pytest.fixture
def path(tmp_path: Path) -> str:
    file = tmp_path / "official.json"
    file.write_text(json.dumps(ROWS))
    return str(file)


def all_tasks(path: str, extra: str | None = None, rates: Rates = NOBODY) -> dict:
    return {t.id: t for split in hotpotqa.SHARES for t in hotpotqa.tasks(split, 0, path, extra, rates)}


def searched(task) -> list[str]:
    return [call.args["entity"].values[0] for call in task.gold]


def test_the_official_file_gives_searches_in_the_order_of_the_words(path):
    tasks = all_tasks(path)
    assert sorted(tasks) == ["q1", "q2"]
    assert searched(tasks["q1"]) == ["Brill", "Quorn Hall"] and tasks["q1"].answer == ("Brill",)
    # brackets are not said, and the name with them is accepted as well
    assert tasks["q2"].gold[1].args["entity"].values == ("Lux", "Lux (magazine)")
    assert [(s.start, s.end) for call in tasks["q1"].gold for s in call.arg_evidence.values()] == [(3, 4), (5, 7)]
    assert "answer:no" in tasks["q2"].tags and "answer:name" in tasks["q1"].tags


def test_what_cant_be_used_is_named_with_its_reason(path):
    out = dict(hotpotqa.rejected(path))
    assert sorted(out) == ["q3", "q5", "q6"]  # q4 is no comparison
    assert out["q3"].startswith("ambiguous: search('Ann Pell') finds")
    assert "no words reveal search.entity" in out["q5"]
    assert out["q6"] == "asked twice: q1 is the same question"


def test_the_form_with_gold_and_distractors_reads_alike(path, tmp_path):
    lines = [
        {
            "id": r["_id"],
            "question": r["question"],
            "answer": r["answer"],
            "type": r["type"],
            "level": "hard",
            "supporting_facts": [],
            "gold": context(*(t for t, _ in r["supporting_facts"])),
            "distractors": context("Dale Fort", "Ann Pell (rower)"),
        }
        for r in ROWS
    ]
    file = tmp_path / "with_context.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)))
    assert {id: searched(t) for id, t in all_tasks(str(file)).items()} == {
        id: searched(t) for id, t in all_tasks(path).items()
    }


@pytest.mark.parametrize("form", ["object", "lines", "questions"])
def test_plain_questions_find_their_articles_in_a_corpus(path, tmp_path, form):
    plain = tmp_path / "comparison.json"
    plain.write_text(json.dumps([{"id": r["_id"], "question": r["question"], "answer": r["answer"]} for r in ROWS[:2]]))
    corpus = tmp_path / "corpus"
    corpus.write_text(
        {
            "object": json.dumps(ARTICLES),
            "lines": "\n".join(json.dumps({"title": title, "text": text}) for title, text in ARTICLES.items()),
            "questions": Path(path).read_text(),
        }[form]
    )
    tasks = all_tasks(str(plain), str(corpus))
    assert {id: searched(task) for id, task in tasks.items()} == {
        "q1": ["Brill", "Quorn Hall"],
        "q2": ["Moss End", "Lux"],
    }


def test_a_missing_file_names_the_source_and_the_formats(tmp_path):
    for given in (None, str(tmp_path / "nowhere.json")):
        with pytest.raises(
            FileNotFoundError, match=r"HotpotQA's questions \(hotpotqa.github.io, CC BY-SA 4.0\) as a JSON list of"
        ):
            hotpotqa.tasks("test", 0, given)
    plain = tmp_path / "plain.json"
    plain.write_text('[{"id": "p", "question": "Is A older than B?", "answer": "yes"}]')
    with pytest.raises(ValueError, match="without articles to search in; add data.files.corpus=FILE"):
        hotpotqa.tasks("test", 0, str(plain))
    plain.write_text('[{"id": "p"}]')
    with pytest.raises(ValueError, match="row 1: KeyError 'question'; give HotpotQA"):
        hotpotqa.tasks("test", 0, str(plain))
    plain.write_text("[{")
    with pytest.raises(ValueError, match="is no JSON"):
        hotpotqa.tasks("test", 0, str(plain))


def test_the_expert_searches_while_the_question_is_asked_and_answers_after_both_results(path):
    task = all_tasks(path)["q1"]
    config = composed()
    rollout = make_episode(
        task,
        "speculative",
        Profile("p", 200, 4000, ns(0.01)),
        load_renderer("tiny", "token", "none"),
        agent=config.agent,
        data=config.data,
        seed=0,
        planner=Expert(task, reading_of(task)),
    ).run()
    kinds = [segment.kind for segment in rollout.state.transcript]
    texts = [segment.text for segment in rollout.state.transcript]
    assert rollout.outcome == "answered"
    assert [call.result for call in rollout.state.graph.calls.values()] == [
        "Brill: Brill is an old hill village It was built in 1800.",
        "Quorn Hall: Quorn Hall is a stone house It was built in 1801.",
    ]
    first = next(n for n, text in enumerate(texts) if 'search("Brill")' in text)
    assert first < kinds.index("final_query_update")
    answer = next(n for n, text in enumerate(texts) if text.startswith("<answer>"))
    assert (
        "".join(texts[answer:]) == "<answer>Brill</answer>"
        and sum(kind == "tool_result" for kind in kinds[:answer]) == 2
    )


def many(tmp_path: Path) -> str:
    names = [
        f"{a} {b}"
        for a in ("North", "South", "East", "West", "Upper", "Lower")
        for b in ("Pell", "Quarr", "Rix", "Sarn", "Tiv")
    ]
    rows = [
        {
            "_id": f"m{n}",
            "question": f"Which is older, {a} or {b}?",
            "answer": a,
            "type": "comparison",
            "supporting_facts": [[a, 0], [b, 0]],
            "context": [[a, [f"{a} is a hill."]], [b, [f"{b} is a lake."]]],
        }
        for n, (a, b) in enumerate((a, b) for a in names for b in names[::10] if a != b)
    ]
    file = tmp_path / "many.json"
    file.write_text(json.dumps(rows))
    return str(file)


def test_corrections_keep_gold_and_what_was_taken_back_is_wanted_only_until_then(tmp_path):
    path = many(tmp_path)
    plain = all_tasks(path)
    wrong = all_tasks(path, rates=Rates.of({"correction": 1.0}, NOBODY))
    for id, task in wrong.items():
        assert [c.args for c in task.gold] == [c.args for c in plain[id].gold]
        assert "correction" in task.tags and task.answer == plain[id].answer
        fluent = [word.text for word in task.words if word.label in ("fluent", "repair")]
        assert fluent == plain[id].request.split()
        back = [n for n, word in enumerate(task.words) if word.label == "reparandum"]
        repair = next(n for n, word in enumerate(task.words) if word.label == "repair")
        said = reading_of(task).wanted(task.said(repair + 1), False)
        assert [want.args["entity"] for want in said] == [" ".join(task.words[n].text for n in back[:2])]
        right = [want.args["entity"] for want in reading_of(task).wanted(task.said(), True)]
        assert right == searched(task)


def test_splits_share_no_question_and_follow_from_its_words(tmp_path):
    path = many(tmp_path)
    parts = {split: {t.request for t in hotpotqa.tasks(split, 0, path, None, NOBODY)} for split in hotpotqa.SHARES}
    assert sum(map(len, parts.values())) == len(set().union(*parts.values())) == len(hotpotqa.questions(path))
    assert len(parts["train"]) > len(parts["test"]) > len(parts["validation"]) > 0
    rows = json.loads(Path(path).read_text())
    Path(path + "2").write_text(json.dumps([row | {"_id": f"x{n}"} for n, row in enumerate(rows[::-1])]))
    assert {t.request for t in hotpotqa.tasks("test", 0, path + "2", None, NOBODY)} == parts["test"]


def test_the_settings_name_the_file(path):
    config = composed("experiment=hotpotqa", f"data.files.hotpotqa={path}")
    with pytest.raises(FileNotFoundError, match="give data.files.hotpotqa=FILE"):
        load(composed("experiment=hotpotqa"), "train")
    splits = {hotpotqa.split_of(q) for q in hotpotqa.questions(path) if q.id in ("q1", "q2")}
    assert [task.source for split in splits for task in load(config, split)] == ["hotpotqa"] * 2
    assert [id for id, _ in rejected(config)] == ["q3", "q5", "q6"]
