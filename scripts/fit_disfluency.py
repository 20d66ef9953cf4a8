"""Measures how Disfl-QA's writers repaired their questions, for the defaults of `data_gen.speech.disfluency`.

    python -m scripts.fit_disfluency train=FILE dev=FILE            # prints the figures of docs/disfluency.md
    python -m scripts.fit_disfluency train=FILE dev=FILE write=yes  # and writes data_gen/tasks/disfl_qa_dev.json

A disfluent question is aligned with the original: words before the common beginning ends, then what was taken back, the
editing term (a run of words from a short list that the original lacks), and the rest. Only counts leave this script.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

from data_gen.speech.disfluency import TRAIN
from midsentence.ending import program

OUT = Path("data_gen/tasks/disfl_qa_dev.json")
_TERM = re.compile(
    r"\b(?:no|nope|wait|sorry|i mean|i meant|er|err|uh|um|umm|oh|or|well|actually|rather|scratch that|make that|hold on|my bad|excuse me|"
    r"oops|hmm|ah|ahh|i'm sorry|correction|never mind|forget that|strike that|pardon me|instead|let me rephrase|let me ask)"
    r"(?: (?:no|nope|wait|sorry|i mean|i meant|er|err|uh|um|umm|oh|or|well|actually|rather|scratch that|make that|hold on|my bad|excuse me|"
    r"oops|hmm|ah|ahh|i'm sorry|correction|never mind|forget that|strike that|pardon me|instead|let me rephrase|let me ask))*\b"
)


def words(text: str) -> list[str]:
    """Lower-case words without punctuation."""
    return re.findall(r"[\w'’-]+", text.lower().replace("’", "'"))


def measure(path: Path) -> tuple[Counter[str], Counter[str], list[int]]:
    """Editing terms, kinds of repair, and lengths of what was taken back at once, in words."""
    terms: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    lengths: list[int] = []
    for pair in json.loads(path.read_text("utf-8")).values():
        plain, said = words(pair["original"]), " ".join(words(pair["disfluent"]))
        found = [m for m in _TERM.finditer(said) if m[0] not in " ".join(plain)]
        if not found:
            kinds["no editing term"] += 1
            continue
        term = max(found, key=lambda m: len(m[0]))
        terms[term[0]] += 1
        before, after = said[: term.start()].split(), said[term.end() :].split()
        shared = next((n for n, (a, b) in enumerate(zip(before, plain)) if a != b), min(len(before), len(plain)))
        if not after:
            kinds["term at the end"] += 1
        elif after[:3] == plain[:3]:
            kinds["told again from the start"] += 1
        elif len(after) >= 2 and plain[-2:] == after[-2:]:
            kinds["corrected at once"] += 1
            lengths.append(len(before) - shared)
        else:
            kinds["other"] += 1
    return terms, kinds, lengths


def main(arguments: list[str]) -> None:
    """Prints the figures; writes the dev set's interregna where asked."""
    given = dict(argument.split("=", 1) for argument in arguments)
    train, kinds, lengths = measure(Path(given["train"]))
    total = sum(kinds.values())
    print("train:", total, {kind: f"{n / total:.1%}" for kind, n in kinds.most_common()})
    print("taken back, words:", {n: f"{lengths.count(n) / len(lengths):.0%}" for n in range(1, 7)})
    print("terms:", [(term, n) for term, n in train.most_common(32)])
    dev, _, _ = measure(Path(given["dev"]))
    common = {term for term, _ in train.most_common(20)} | {term.lower() for term in TRAIN.terms}
    new = {term: n for term, n in dev.most_common() if term not in common}
    soft = {"uh", "um", "er", "ah", "hmm", "umm", "ahh", "err"}
    new = {term: n for term, n in new.items() if set(term.split()) - soft and len(term.split()) > 1}
    print("dev, not in the lexicon of training:", len(new), sum(new.values()), list(new)[:40])
    if given.get("write") == "yes":
        OUT.write_text(
            json.dumps(
                {
                    "source": "interregna of Disfl-QA's dev set (Gupta et al., Findings of ACL 2021; CC BY 4.0), "
                    "by scripts/fit_disfluency.py",
                    "terms": [re.sub(r"\bi\b", "I", term) for term in list(new)[:40]],
                    "counts": list(new.values())[:40],
                },
                indent=1,
            )
            + "\n",
            "utf-8",
        )


if __name__ == "__main__":
    program(main, __doc__)
