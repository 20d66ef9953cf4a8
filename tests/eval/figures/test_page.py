"""The page of episodes: what it is told, that text stays text, and, in a real browser, that it draws."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from matplotlib.image import imread

from data_gen.task import Word
from eval import replay, timeline
from eval.figures.page import _PALETTE, about, lanes, page, pick, safe_json, write_page
from eval.measures.rows import Terms, rows_of
from eval.measures.trace import log_of
from eval.running.records import EpisodeRecord
from eval.running.results import Key, read_runs
from midsentence.clock import ns
from midsentence.core.calls import CallState, Input
from midsentence.core.events import (
    Append,
    Appended,
    Emit,
    Generate,
    ModelOutput,
    Moved,
    Speaking,
    StartTool,
    Stop,
    ToolResult,
    UserUpdate,
)
from midsentence.core.transcript import Segment
from tests.eval.made import record_of, turn_of

HOSTILE = "</script><img src=x onerror=\"document.title='owned'\"><!--<script>\u2028&lt;{{data}}'"


def episode(mode: str = "speculative", text: str = "text Bob", task: str = "one", right: bool = True) -> EpisodeRecord:
    """One word heard at 1 s, a call written by 2 s that runs to 3 s, an answer at 4 s; speech ends at 1 s."""
    history = [
        (UserUpdate(ns(1), text, True), (Append((Segment("final_query_update", text + "\n", ns(1)),)),)),
        (Appended(ns(1.2), 4), (Generate(1),)),
        (
            ModelOutput(ns(2), 1, '<tool_call>\n1. look("x")\n</tool_call>', (1, 2)),
            (
                Stop(1, 0),
                Moved(1, CallState.BLOCKED, Input.CLEAR),
                Moved(1, CallState.READY, Input.START),
                StartTool(1, 1, "look", {"q": text}, "key", ns(30)),
            ),
        ),
        (
            ToolResult(ns(3), 1, 1, text),
            (
                Moved(1, CallState.RUNNING, Input.RESULT),
                Append((Segment("tool_result", f"1: {text}\n", ns(3)),)),
            ),
        ),
        (Appended(ns(3.1), 2), (Generate(2),)),
        (ModelOutput(ns(4), 2, f"<answer>{text}</answer>", (3,)), (Stop(2, 0), Emit(text))),
    ]
    return record_of(
        task=task,
        mode=mode,
        profile=text,
        right=right,
        cause="" if right else "extra",
        why="" if right else text,
        latency_ns=ns(3),
        floor_ns=ns(1),
        words=(Word(text, 0, ns(1)),),
        log=json.loads(json.dumps(log_of(history))),
    )


class Elements(HTMLParser):
    """Tags with their attributes, and the text of each script."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data):
        if self.found and self.found[-1][0] == "script" and self.scripts:
            self.scripts[-1] += data

    def handle_endtag(self, tag):
        self.found.append((f"/{tag}", {}))


def elements(text: str) -> Elements:
    read = Elements()
    read.feed(text)
    return read


def test_lanes_of_an_episode():
    found = lanes(episode())
    assert (found["latency_s"], found["end_s"], found["floor_s"]) == (3.0, 4.0, 1.0)
    assert found["updates"] == [[1.0, True, "text Bob", 0]]
    assert [(span["start_s"], span["end_s"], span["ended"]) for span in found["spans"]] == [
        (1.2, 2.0, "action"),
        (3.1, 4.0, "action"),
    ]
    assert [piece[2] for span in found["spans"] for piece in span["pieces"]] == ["tool_call", "answer"]
    (call,) = found["calls"]
    assert call["runs"] == [
        {
            "start_s": 2.0,
            "end_s": 3.0,
            "ended": "done",
            "version": 1,
            "used": True,
            "text": 'look("text Bob")',
            "result": '"text Bob"',
        }
    ]
    assert ["running", 2.0, 3.0] in call["stays"]
    assert found["told"] == [[1.0, "final_query_update", "text Bob"], [3.0, "tool_result", "1: text Bob"]]
    assert found["emits"] == [[4.0, "text Bob"]]


def conversation(mode: str, late_s: float = 0.0) -> EpisodeRecord:
    """The same with a second turn, spoken into the answer to the first, and later by ``late_s``."""
    made = episode(mode)
    log = [
        *made.log,
        *json.loads(
            json.dumps(
                log_of(
                    [
                        (Speaking(ns(4), "begun"), ()),
                        (Speaking(ns(5 + late_s), "cut", "text"), ()),
                        (UserUpdate(ns(5 + late_s), "thanks", True), ()),
                    ]
                )
            )
        ),
    ]
    turn = turn_of(latency_ns=ns(3), floor_ns=ns(1), answer="text Bob")
    second = replace(turn, kind="thanks", start_ns=ns(4.8 + late_s), speech_end_ns=ns(5 + late_s), answer=None)
    words = (*made.words, Word("thanks", ns(4.8 + late_s), ns(5 + late_s)))
    return replace(made, log=log, turns=(turn, second), words=words, speech_end_ns=ns(5 + late_s))


def test_conversations_of_one_task_are_shown_together_each_with_its_own_times():
    text = page([conversation("parallel"), conversation("speculative", 0.5)])
    (task,) = json.loads(elements(text).scripts[0])["tasks"]
    assert [one["mode"] for one in task["episodes"]] == ["parallel", "speculative"]
    assert [one["words"][-1][1] for one in task["episodes"]] == [4.8, 5.3]
    one = task["episodes"][0]
    assert [(turn["kind"], turn["said_s"], turn["latency_s"], turn["answered"]) for turn in one["turns"]] == [
        ("request", 1.0, 3.0, True),
        ("thanks", 5.0, 3.0, False),
    ]
    assert one["spoken"] == [[4.0, 5.0, True, "text Bob"]] and "turns" not in lanes(episode())


def test_an_episode_without_an_answer_is_drawn_to_its_end_and_not_to_the_cap():
    failed = replace(episode(), outcome="errors", right=False, latency_ns=ns(30))
    assert lanes(failed)["end_s"] == 4.0


@pytest.mark.parametrize("text", [HOSTILE, "</SCRIPT >", "<!--<script>", "]]>", "\ud800"])
def test_hostile_text_stays_data(text):
    plain = elements(page([episode()]))
    made = page([episode(text=text, task=text, right=False)])
    made.encode("utf-8")
    read = elements(made)
    # the same elements, attribute for attribute, whatever the data say
    assert read.found == plain.found
    told = json.loads(read.scripts[0])["tasks"][0]
    assert told["task"] == text and told["words"][0][0] == text
    assert told["episodes"][0]["calls"][0]["runs"][0]["result"] == json.dumps(text, ensure_ascii=False)


def test_safe_json_has_nothing_that_html_reads():
    text = safe_json({HOSTILE: [HOSTILE, 1.5, None]})
    assert text.isascii() and not set("<>&") & set(text)
    assert json.loads(text) == {HOSTILE: [HOSTILE, 1.5, None]}
    with pytest.raises(ValueError, match="not JSON compliant"):
        safe_json(float("nan"))


def test_the_page_asks_for_nothing_and_runs_one_script():
    made = page([episode()])
    read = elements(made)
    for tag, attributes in read.found:
        assert not {"src", "href", "srcset", "action"} & set(attributes), f"<{tag}> fetches"
        assert not [name for name in attributes if name.startswith("on")], f"<{tag}> has a handler"
    assert not re.search(
        r"https?:|url\((?!#)|@import|innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", made
    )
    policy = next(
        a["content"] for tag, a in read.found if tag == "meta" and a.get("http-equiv") == "Content-Security-Policy"
    )
    digest = base64.b64encode(hashlib.sha256(read.scripts[1].encode()).digest()).decode()
    assert "default-src 'none'" in policy and f"script-src 'sha256-{digest}'" in policy


def test_every_control_has_a_name_and_every_id_is_there_once():
    read = elements(page([episode()]))
    labels = {attributes.get("for") for tag, attributes in read.found if tag == "label"}
    for tag, attributes in read.found:
        if tag in ("select", "input", "button"):
            assert attributes.get("aria-label") or attributes["id"] in labels, attributes
    ids = [attributes["id"] for _, attributes in read.found if "id" in attributes]
    assert len(ids) == len(set(ids))
    asked = set(re.findall(r'\$\("([a-z-]+)"\)', (Path(__file__).parents[3] / "eval/figures/page.js").read_text()))
    assert asked <= set(ids)


def test_the_page_has_the_colours_of_the_timeline():
    made = page([episode()])
    assert all(f"--{part.replace('_', '-')}:{colour};" in made for part, colour in timeline.PARTS.items())
    # every colour that the script names is defined
    used = set(re.findall(r"--([a-z][a-z-]*)", made[made.index("const { tasks") :]))
    defined = set(_PALETTE) | set(re.findall(r"--([a-z-]+):", made))
    assert used <= defined


def test_picked_are_the_pictured_some_that_went_wrong_and_others():
    key = Key("debug", "test", "expert", "speculative", "laptop")
    own = [episode(task=f"t{n:02d}", right=n % 2 == 0) for n in range(60)]
    found = {task for _, _, task in pick({key: own}, "t58")}
    assert len(found) == 24 and "t58" in found
    assert len([task for task in found if int(task[1:]) % 2]) >= 12


MODES = ["sequential", "parallel", "eager_end", "speculative"]


def test_written_beside_other_files_in_one_go(configured, tmp_path):
    folder = tmp_path / "replay"
    config = configured("eval.backends=[expert]", "eval.expert_tasks=3")
    replay.main(config)
    path = tmp_path / "page.html"
    episodes = read_runs([str(folder)])
    write_page(path, [str(folder)], episodes, rows_of(episodes, Terms(0, 50)), "debug-test-1")
    said = json.loads(elements(path.read_text()).scripts[0])
    told, about = said["tasks"], said["about"]
    # which run it is, when, by whom and with which code; and the table of results
    assert (about["name"], about["tasks"]) == ("replay", [["debug", "test", 3]])
    ((name, finished, played, code),) = about["runs"]
    assert name == "replay" and re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", finished) and code.startswith("code ")
    assert played == "expert: no model (tokens of tiny)"
    assert (
        about["grids"][0]["title"] == "debug, test, laptop" and [row[1] for row in about["grids"][0]["rows"]] == MODES
    )
    assert len(told) == 3 and all([e["mode"] for e in task["episodes"]] == MODES for task in told)
    assert [file.name for file in tmp_path.glob("page*")] == ["page.html"]
    one = told[0]["episodes"][3]
    assert one["end_s"] == pytest.approx(told[0]["speech_end_s"] + one["latency_s"])


def test_a_replay_from_before_dates_were_kept_says_so(configured, tmp_path):
    replay.main(configured("eval.backends=[expert]", "eval.expert_tasks=1", "eval.modes=[parallel]"))
    manifest = json.loads((tmp_path / "replay" / "manifest.json").read_text())
    old = {name: value for name, value in manifest.items() if name not in ("finished", "plays", "git")}
    (tmp_path / "replay" / "manifest.json").write_text(json.dumps(old))
    (run,) = about([str(tmp_path / "replay")], read_runs([str(tmp_path / "replay")]), [])["runs"]
    assert run == ["replay", "no date", "expert", "code outside a checkout"]


# ---- in a browser


def browse(path: Path, fragment: str, folder: Path, *options: str) -> str:
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        pytest.skip("needs chromium: apt-get install chromium")
    quiet = "--no-first-run --disable-background-networking --disable-component-update --disable-sync --hide-scrollbars".split()
    command = [
        chromium,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        *quiet,
        f"--user-data-dir={folder}",
        "--window-size=1400,1250",
    ]
    done = subprocess.run(
        [*command, *options, f"file://{path}{fragment}"], capture_output=True, text=True, timeout=90, check=True
    )
    return done.stdout


@pytest.mark.full
def test_hostile_text_in_a_browser(tmp_path):
    path = tmp_path / "page.html"
    path.write_text(
        page([episode("sequential", HOSTILE, HOSTILE), episode("speculative", HOSTILE, HOSTILE, right=False)])
    )
    read = elements(browse(path, "", tmp_path / "profile", "--dump-dom"))
    tags = [tag for tag, _ in read.found]
    assert tags.count("script") == 2 and "img" not in tags
    # the script ran to its end: both panels are drawn and the transcript is there
    assert tags.count("rect") > 10 and tags.count("li") >= 10
    dump = browse(path, "", tmp_path / "profile", "--dump-dom")
    assert "<title>midsentence: episodes</title>" in dump
    assert "2.00 s" in dump or "4.00 s" in dump


HOLDS = {
    "name": "mine",
    "runs": [["mine", "2026-11-28 12:00:00", HOSTILE, "code abc"]],
    "note": "",
    "tasks": [["debug", "test", 9]],
    "grids": [
        {
            "title": HOSTILE,
            "heads": ["backend", "mode", "accuracy"],
            "rows": [["expert", "parallel", "50% [40, 60]"]],
            "left": 2,
        }
    ],
}


def drawn(dump: str) -> dict[str, list[str]]:
    """What a page's options, cells and captions say once its script has run."""
    return {tag: re.findall(rf"<{tag}[^>]*>(.*?)</{tag}>", dump, re.S) for tag in ("option", "td", "caption", "h1")}


@pytest.mark.full
def test_the_table_and_the_filter_in_a_browser(tmp_path):
    path = tmp_path / "page.html"
    episodes = [
        episode("sequential", task="a"),
        episode("speculative", task="a", right=False),
        episode("parallel", task="b"),
    ]
    path.write_text(page(episodes, None, HOLDS))
    dump = browse(path, "", tmp_path / "profile", "--dump-dom")
    found = drawn(dump)
    assert found["h1"] == ["midsentence: mine"] and found["td"] == [
        "expert",
        "parallel",
        '50%<span class="more"> [40, 60]</span>',
    ]
    assert "<img" not in dump.split("<script")[0] and "1 of 9 of debug" not in dump and "2 of 9 of debug, test" in dump
    assert found["option"][:4] == ["all (2)", "went wrong (1)", "wrong in speculative (1)", "extra (1)"]
    # with a filter, only what fits is there to pick, and what went wrong is shown
    wrong = drawn(browse(path, "#show=by%20extra", tmp_path / "profile", "--dump-dom"))["option"]
    assert sum("debug a" in text for text in wrong) == 1 and not any("debug b" in text for text in wrong)


@pytest.mark.full
def test_on_a_phone_no_label_is_cut_off_and_none_lies_over_the_end_of_speech(tmp_path):
    """Read from the page itself, by a script that is put in for that: texts within their picture, and no dashes behind
    them."""
    path = tmp_path / "page.html"
    said = " ".join(f"considerably{n}" for n in range(12))
    words = [[f"considerably{n}", ns(n / 12), ns((n + 1) / 12), "fluent"] for n in range(12)]
    look = """<script>
      const box = (e) => e.getBoundingClientRect(), found = [];
      for (const svg of document.querySelectorAll("svg")) for (const text of svg.querySelectorAll("text")) {
        const own = box(text), sheet = box(svg), says = text.textContent;
        if (own.right > sheet.right + 1 || own.left < sheet.left - 1 || own.top < sheet.top - 1) found.push("cut " + says);
        const dashes = svg.id === "words" ? [] : svg.querySelectorAll("line[stroke-dasharray='4 3']");
        for (const dash of [...dashes].map(box)) {
          const behind = own.top + 5 < dash.bottom && dash.top < own.bottom - 5;
          if (behind && own.left < dash.left && dash.right < own.right) found.push("over " + says);
        }
      }
      document.title = "seen: " + found.join("; ");
    </script></body>"""
    made = page([replace(episode(mode, said), words=words) for mode in ("sequential", "speculative")])
    made = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", made).replace("</body>", look)
    path.write_text(made.replace("<body>", '<body style="width:390px">'))
    assert "<title>seen: </title>" in browse(path, "", tmp_path / "profile", "--dump-dom")


@pytest.mark.full
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_screenshot_shows_the_lanes(tmp_path, theme):
    path, shot = tmp_path / "page.html", tmp_path / "shot.png"
    path.write_text(page([episode("sequential"), episode("speculative")]))
    browse(path, f"#theme={theme}&t=2.5", tmp_path / "profile", f"--screenshot={shot}")
    seen = (imread(shot)[:, :, :3] * 255).round().astype(int)
    assert seen.shape[:2] == (1250, 1400)
    ground = {"light": (246, 247, 249), "dark": (18, 20, 25)}[theme]
    assert tuple(seen[5, 5]) == ground
    running = {"light": (224, 138, 60), "dark": (232, 151, 78)}[theme]
    # two calls of 1 s each, 15 pixels high, on an axis of about 300 pixels a second
    assert 4000 < (seen == running).all(axis=2).sum() < 14000


@pytest.mark.full
def test_a_conversation_in_a_browser(tmp_path):
    """The script runs to its end: a line for each turn, an answer over its bar, and nothing is compared with itself."""
    path = tmp_path / "page.html"
    path.write_text(page([conversation("speculative")]))
    dump = browse(path, "", tmp_path / "profile", "--dump-dom")
    assert dump.count('<small class="kind">') == 2 and ">3.00 s</text>" in dump and "the user spoke into it" in dump
    assert 'id="second" hidden' in dump and 'id="all-words" hidden' in dump
