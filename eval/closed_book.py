"""What questions are worth without a tool: ``python -m eval.closed_book experiment=paper_hotpotqa``.

Owns two references beside a question source's accuracy, and their file ``closed_book.json`` in the folder of the
replay:

| reference | what it is |
|---|---|
| *closed book* | each backend with weights answers the written question at once: a short prompt, no tool, no thought, greedy |
| *majority* | the answer that most training questions have, given to every question |

So a figure shows what searching adds to what a model knows, and to what is known of the questions as a whole. The
written question is shown, without disfluency: the reference is as strong as it can be. Planned backends know the right
searches and no answers, so they have no closed-book figure. Does not know replays; `eval.report` puts the two side by
side.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from configs.command import command, out_folder
from configs.schema import Config
from data_gen.sources import honoured, load
from data_gen.task import Task
from eval.measures.scoring import answer_f1, normal
from eval.replay import choose, of_source, tasks_of
from eval.running.backends import Backend, backend
from eval.running.records import EpisodeRecord
from eval.running.results import BadResults, Key
from midsentence.files import write
from midsentence.models.model import Model
from midsentence.rendering.renderer import Renderer, as_data

FILE = "closed_book.json"
SCHEMA_VERSION = 1
MAJORITY = "majority"
PROMPT = "Answer the question in a few words: a name, yes or no. Write nothing but the answer."
MOST_TOKENS = 24
FIELDS = ("closed_book_exact", "closed_book_f1", "majority_exact", "majority_f1", "majority_answer", "majority_train_n")

Row = dict[str, Any]


def main(config: Config) -> None:
    """Asks every backend with weights, counts the training answers, writes the file."""
    folder = out_folder(config, "replay")
    backends = [backend(name, config) for name in config.eval.backends]
    each = [of_source(config, name) for name in config.eval.sources or [""]]
    honoured(config, each, (task for own in each for played in backends for task in tasks_of(own, played)))
    rows: list[Row] = []
    for name in config.eval.sources or [""]:
        own = of_source(config, name)
        source = name or own.task or own.data.source
        everyone = max(backends, key=lambda played: not played.trained)  # the one that hears the most splits
        asked = tasks_of(own, everyone)
        if not all(task.is_question for task in asked):
            print(f"{source}: not a source of questions, nothing to ask")
            continue
        rows.append({"source": source} | majority(load(own, "train"), asked))
        for played in backends:
            if not played.planned:
                chosen = choose(tasks_of(own, played), config.eval.tasks, config.seed)
                rows.append({"source": source, "backend": played.name, "answers": closed_book(played, chosen, config)})
    if not rows:
        raise ValueError(
            "none of the sources asks questions only; use one like hotpotqa, whose tasks are done by an answer"
        )
    folder.mkdir(parents=True, exist_ok=True)
    found = {"schema_version": SCHEMA_VERSION, "prompt": PROMPT, "rows": rows}
    write(folder / FILE, json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    for row in rows:
        right, n = sum(answer["exact"] for answer in row["answers"]), len(row["answers"])
        said = (
            f" (always {row['answer']!r}, from {row['train_n']} training questions)"
            if row["backend"] == MAJORITY
            else ""
        )
        print(f"{row['source']}, {row['backend']}: {right} of {n} exactly right without a tool{said}")
    print(f"closed book: {folder / FILE}")


def majority(train: Sequence[Task], asked: Sequence[Task]) -> Row:
    """The most frequent answer of ``train``, given to every question asked; of equally frequent ones the first by
    letters."""
    counts = Counter(normal(task.answer[0]) for task in train)
    best = min(counts, key=lambda answer: (-counts[answer], answer))
    return {
        "backend": MAJORITY,
        "answer": best,
        "train_n": len(train),
        "train_count": counts[best],
        "answers": [judged(task, best) for task in asked],
    }


def closed_book(played: Backend, tasks: Sequence[Task], config: Config) -> list[Row]:
    """A backend's answers without tools, in the tasks' order."""
    renderer = played.renderer()
    model = played.load(0.0, config.agent.max_context_tokens)
    found: list[Row] = []
    for start in range(0, len(tasks), config.eval.batch):
        batch = tasks[start : start + config.eval.batch]
        found += map(judged, batch, ask(model, renderer, [question_of(task) for task in batch]))
    return found


def ask(model: Model, renderer: Renderer, questions: Sequence[str]) -> list[str]:
    """Answers in one batch, each at most `MOST_TOKENS` long."""
    head, turn = renderer.prompt_ids(PROMPT), renderer.format_ids(renderer.format.environment_to_model)
    # the question is data: nothing in it is a tag or a special token
    streams = [model.open((*head, *renderer.action_ids(as_data(question)), *turn)) for question in questions]
    written: list[list[int]] = [[] for _ in streams]
    going = list(range(len(streams)))
    for _ in range(MOST_TOKENS):
        for n, token in zip(going, model.decode([streams[n] for n in going])):
            written[n].append(token)
        going = [n for n in going if written[n][-1] not in model.end_ids]
        if not going:
            break
    for stream in streams:
        model.close(stream)
    return [said(renderer.text([token for token in ids if token not in model.end_ids])) for ids in written]


def said(text: str) -> str:
    """The answer in what a model wrote: after an answer tag if it writes one, the first line, without other tags.

    "No, neither of them is." counts as "No": the reference shall not be weak because a model is wordy.
    """
    text = re.sub(r"<[^<>]*>", " ", text.rpartition("<answer>")[2])
    line = next((line for line in map(str.strip, text.splitlines()) if line), "")
    verdict = re.match(r"(yes|no)\b(?=[,.;:!])", line, re.IGNORECASE)
    return verdict[0] if verdict else line


def question_of(task: Task) -> str:
    """The question as it was written, where the source keeps it; else its words as spoken."""
    return (task.meta or {}).get("question") or " ".join(word.text for word in task.words)


def judged(task: Task, answer: str) -> Row:
    """One answer by HotpotQA's measures."""
    exact, f1 = any(normal(answer) == normal(gold) for gold in task.answer), answer_f1(answer, task.answer)
    return {"task": task.id, "split": task.split, "answer": answer, "gold": task.answer[0], "exact": exact, "f1": f1}


def read(runs: Sequence[str]) -> dict[tuple[str, str], dict[tuple[str, str], Row]]:
    """The answers in some folders of replays: by source and backend, then by split and task.

    Raises:
        BadResults: a file of another schema.
    """
    found: dict[tuple[str, str], dict[tuple[str, str], Row]] = {}
    for path in (Path(run) / FILE for run in runs):
        if not path.exists():
            continue
        held = json.loads(path.read_text(encoding="utf-8"))
        if (version := held.get("schema_version")) != SCHEMA_VERSION:
            raise BadResults(
                f"{path} has schema version {version}, this code reads {SCHEMA_VERSION}; run eval.closed_book again"
            )
        for row in held["rows"]:
            constant = {key: row[key] for key in ("answer", "train_n") if row["backend"] == MAJORITY}
            answers = found.setdefault((row["source"], row["backend"]), {})
            answers |= {(one["split"], one["task"]): one | {"constant": constant} for one in row["answers"]}
    return found


def beside(
    key: Key, episodes: Sequence[EpisodeRecord], held: Mapping[tuple[str, str], Mapping[tuple[str, str], Row]]
) -> Row:
    """The fields `FIELDS` of a report's row: both references over the row's own tasks, None where one was not asked."""
    row: Row = dict.fromkeys(FIELDS)
    tasks = sorted({(key.split, episode.task) for episode in episodes})
    for name, who in (("closed_book", key.backend), (MAJORITY, MAJORITY)):
        answers = held.get((key.source, who), {})
        if tasks and all(task in answers for task in tasks):
            own = [answers[task] for task in tasks]
            row[f"{name}_exact"], row[f"{name}_f1"] = (
                sum(float(one[measure]) for one in own) / len(own) for measure in ("exact", "f1")
            )
            if name == MAJORITY:
                row["majority_answer"], row["majority_train_n"] = (
                    own[0]["constant"]["answer"],
                    own[0]["constant"]["train_n"],
                )
    return row


if __name__ == "__main__":
    command(main)()
