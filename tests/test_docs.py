"""The pages: each is reached from the index, and no link leads nowhere."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml

import midsentence
from midsentence import cli
from tests.test_configs import composed

ROOT = Path(__file__).parent.parent
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [*DOCS, *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"))]
_CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\(([^()\s]+)\)")


def links(page: Path) -> list[str]:
    """The targets of a page's links to other files of the repository."""
    return [link for link in _LINK.findall(_CODE.sub("", page.read_text("utf-8"))) if "://" not in link]


def headings(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    found = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_link_leads_nowhere(page):
    for link in links(page):
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{page.name} links to {link}, which is not there"
        assert not anchor or anchor in headings(target), (
            f"{page.name} links to {link}; {target.name} has {sorted(headings(target))}"
        )


def test_every_page_is_in_the_index_once_and_the_index_in_the_readme():
    listed = links(ROOT / "docs" / "index.md")
    assert sorted(listed) == sorted(page.name for page in DOCS if page.name != "index.md")
    assert "docs/index.md" in links(ROOT / "README.md")


def test_the_index_has_three_parts():
    text = (ROOT / "docs" / "index.md").read_text("utf-8")
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == ["Learn", "Reference", "Notes"]


def test_the_tour_names_what_is_there():
    """Files, and the row and the test that a newcomer is sent to."""
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    for path in re.findall(r"`((?:midsentence|data_gen|tests)/[\w/]+\.py)`", text):
        assert (ROOT / path).is_file(), path
    for test, path in re.findall(r"`(test_\w+)` in `([\w/]+\.py)`", text):
        assert f"def {test}(" in (ROOT / path).read_text("utf-8")
    assert "revised, or an operand was, while it ran" in (ROOT / "midsentence" / "core" / "calls.py").read_text("utf-8")


def test_the_citation_is_of_this_version():
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))["version"] == midsentence.__version__


def test_the_workflow_runs_on_every_python_of_the_project():
    tests = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8"))["jobs"]["tests"]
    assert tests["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]
    assert tests["steps"][-1]["run"] == "make test"


def test_what_runs_before_a_commit_is_what_the_tests_run():
    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"]
    assert [hook["entry"] for hook in local["hooks"]] == [
        ".venv/bin/ruff format --force-exclude",
        ".venv/bin/ruff check --force-exclude",
        ".venv/bin/python -m mypy",
    ]


def commands(script: str) -> list[list[str]]:
    """What a script runs with Python or as the console command, with its variables in place."""
    text = (ROOT / "runs" / script).read_text("utf-8").replace("\\\n", " ")
    given = {
        "LAUNCHER": "single",
        "DATA": "outputs/data/a",
        "ADAPTER": "outputs/train/a",
        "source": "written",
        "round": "1",
    }
    given |= dict(re.findall(r'^(\w+)="\$\{\1:-(.+)\}"', text, re.MULTILINE))  # what may be said in the environment
    return commands_in(re.sub(r"\$(?:(\w+)|\{(\w+)\})", lambda found: given[found[1] or found[2]], text))


def commands_in(text: str) -> list[list[str]]:
    """The lines of a text that run something with Python or as the console command."""
    lines = [shlex.split(line.rpartition(" | ")[2], comments=True) for line in text.splitlines()]
    return [words for words in lines if words[:2] == ["python", "-m"] or words[:1] in (["accelerate"], ["midsentence"])]


def check_commands(found: list[list[str]]) -> None:
    """Each gives settings and options that there are."""
    for words in found:
        if words[0] == "midsentence":
            assert cli.parsed(words[1:]).verb == words[1]
            continue
        at = words.index("-m") + 1
        module, settings = words[at], words[at + 1 :]
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), module
        if not module.startswith("scripts."):
            composed(*settings)


@pytest.mark.parametrize("script", sorted(path.name for path in (ROOT / "runs").glob("*.sh")))
def test_a_script_of_runs_gives_settings_and_options_that_there_are(script):
    found = commands(script)
    assert len(found) >= 5
    check_commands(found)


def test_the_page_on_deploying_gives_settings_and_options_that_there_are_and_says_what_was_run():
    text = (ROOT / "docs" / "deploy.md").read_text("utf-8")
    blocks = [re.sub(r"^(?:[A-Z_]+=\S+ )+", "", line.strip()) for line in text.splitlines() if line.startswith("    ")]
    found = commands_in("\n".join(blocks))
    assert len(found) >= 10
    check_commands(found)
    scripts = [words[1] for words in map(shlex.split, blocks) if words[0] == "python" and words[1] != "-m"]
    assert len(scripts) == 2 and all((ROOT / script).is_file() for script in scripts)
    for section in re.split(r"\n## (?!Before)", text)[1:]:
        assert "**Run here**" in section or "**Not run**" in section, section.partition("\n")[0]


def test_the_glossary_explains_each_word_once_and_names_what_is_there():
    text = (ROOT / "docs" / "glossary.md").read_text("utf-8")
    terms = [
        term for row in re.findall(r"^\| ([^|]+) \|", text, re.MULTILINE) for term in row.split(", ") if term != "word"
    ]
    assert len(terms) == len(set(terms)), sorted({term for term in terms if terms.count(term) > 1})
    for path in re.findall(r"`(\w+(?:/\w+)*\.py)`", text):
        assert (ROOT / path).is_file(), path
    for dotted in re.findall(r"`((?:midsentence|data_gen|eval|training)(?:\.\w+)+)`", text):
        module, _, name = dotted.rpartition(".")
        found = ROOT / module.replace(".", "/")
        assert (found / name).with_suffix(".py").is_file() or f"def {name}(" in found.with_suffix(".py").read_text(
            "utf-8"
        ), dotted
