"""The page in a real browser, with a script in the model's place; recogniser and voice are put in by the test."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette", reason="install it with: pip install -e '.[page]'")
pytest.importorskip("uvicorn", reason="install it with: pip install -e '.[page]'")
pytest.importorskip("websockets", reason="install it with: pip install -e '.[page]'")
pytest.importorskip("playwright", reason="install it with: pip install -e '.[browser]'")

from playwright.sync_api import Page, expect, sync_playwright

from midsentence.page import server
from midsentence.page.house import Bounds
from tests.midsentence.page.page_stage import LIFELIKE, stage

pytestmark = pytest.mark.full
expect.set_options(timeout=60_000)  # milliseconds: how fast the machine is, is not what is tested
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chromium-headless-shell"))), None
)

PUT_IN = """
window.heardBy = [];
window.SpeechRecognition = class {
  constructor() { window.mic = this; this.results = []; }
  start() { window.heardBy.push("start"); }
  stop() { window.heardBy.push("stop"); setTimeout(() => this.onend(), 0); }
};
window.says = (text, closes) => {
  const all = window.mic.results, last = all[all.length - 1];
  if (last && !last.isFinal) all.pop();
  all.push(Object.assign([{ transcript: text }], { isFinal: closes }));
  window.mic.onresult({ resultIndex: all.length - 1, results: all });
};
window.spoken = [];
window.SpeechSynthesisUtterance = class { constructor(text) { this.text = text; } };
Object.defineProperty(window, "speechSynthesis", { value: {
  speak(said) { window.saying = said; window.spoken.push(said.text); setTimeout(() => said.onstart(), 0); },
  cancel() { window.spoken.push("(cancelled)"); setTimeout(() => window.saying.onerror(), 0); },
} });
"""


class Server:
    """The page's server in a thread of its own."""

    def __init__(self, tokenizer: Any) -> None:
        self.listening = server.bound(0)
        self.port = self.listening.getsockname()[1]
        self.stage, self.worlds = stage(tokenizer, LIFELIKE, 0.3)
        self.running = server.server(server.application(self.stage, self.port), Bounds())
        self.loop: asyncio.AbstractEventLoop
        self.thread = threading.Thread(target=asyncio.run, args=(self.run(),))
        self.thread.start()

    async def run(self) -> None:
        self.loop = asyncio.get_running_loop()
        await self.running.serve(sockets=[self.listening])

    def drops(self) -> None:
        """Every connection breaks, as when a cable is pulled: nobody says goodbye."""

        def abort() -> None:
            for connection in list(self.running.server_state.connections):
                connection.transport.abort()

        self.loop.call_soon_threadsafe(abort)

    def stop(self) -> None:
        self.running.should_exit = True
        self.thread.join(20)
        self.listening.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("needs chromium: apt-get install chromium")
    with sync_playwright() as played:
        # as root, in a container, there is no sandbox to be had
        started = played.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"] if os.geteuid() == 0 else [])
        yield started
        started.close()


@pytest.fixture
def served(tiny_tokenizer: Any) -> Iterator[Server]:
    made = Server(tiny_tokenizer)
    yield made
    made.stop()


@pytest.fixture
def page(browser: Any, served: Server) -> Iterator[Page]:
    faults: list[str] = []
    made = browser.new_page(viewport={"width": 1280, "height": 1000})
    made.on("pageerror", lambda error: faults.append(str(error)))
    made.on(
        "console",
        lambda message: (
            faults.append(message.text) if message.type == "error" and "WebSocket" not in message.text else None
        ),
    )
    made.set_default_timeout(120_000)
    made.add_init_script(PUT_IN)
    made.goto(f"http://127.0.0.1:{served.port}/")
    expect(made.locator("#state")).to_have_text("listening")
    yield made
    made.close()
    assert not faults


def types(page: Page, text: str) -> None:
    page.locator("#say").press_sequentially(text, delay=25)


def call(page: Page, line: str) -> Any:
    return page.locator("#calls li", has_text=line)


def test_typing(page, served):
    types(page, "the phone of Bob and ")
    expect(call(page, '1. find("bob")')).to_contain_text("done")  # before the request has ended
    expect(page.locator("#answer")).to_be_empty()
    types(page, "that is all")
    page.keyboard.press("Enter")
    expect(page.locator("#answer")).to_have_text("“find bob: +1 555 0100”")
    expect(page.locator("#heard")).to_have_text(re.compile(r"the phone of Bob and that is all\s*⏎"))
    expect(page.locator("#figure")).to_have_text(
        re.compile(r"^\d\.\d\d s after your last word · \d\.\d\d s in parallel · ")
    )
    expect(page.locator("#lanes-beside")).to_have_attribute("aria-label", re.compile(r"1 find done.*Answered"))
    expect(page.locator("#rows tr")).to_have_count(1)
    expect(page.locator("#say")).to_have_value("")


def test_the_recogniser_changes_its_mind(page):
    page.locator("#speak").click()
    expect(page.locator("#speak")).to_have_attribute("aria-pressed", "true")
    page.evaluate("says('the phone', false)")
    page.evaluate("says('the phone of an', false)")
    page.evaluate("says('the phone of Ann', false)")
    expect(page.locator("#heard s")).to_have_text("an")
    expect(call(page, '1. find("ann")')).to_be_visible()
    page.evaluate("says('The phone of Ann.', true)")
    # nobody presses anything: the silence ends the request
    expect(page.locator("#answer")).to_have_text("“find ann: +1 555 0102”")
    page.evaluate("says('text', false)")
    page.evaluate("says('text Bob', true)")
    expect(page.locator("#answer")).to_contain_text("sent to bob")
    page.locator("#speak").click()
    assert page.evaluate("heardBy") == ["start", "stop"]


def test_a_correction(page):
    types(page, "the phone of Bob ")
    expect(call(page, '1. find("bob")')).to_be_visible()
    for _ in range(4):
        page.keyboard.press("Backspace")
    types(page, "Ann ")
    expect(page.locator("#heard s")).to_have_text("Bob")
    expect(call(page, '1. find("ann")')).to_contain_text("version 2")
    page.keyboard.press("Enter")
    expect(page.locator("#answer")).to_have_text("“find ann: +1 555 0102”")


def test_a_write_is_held_and_then_released(page, served):
    types(page, "text Ann now ")
    held = call(page, '1. send("ann")')
    expect(held).to_contain_text("held until you have finished and it is committed")
    page.wait_for_timeout(500)
    assert served.worlds[0].sent == []
    page.keyboard.press("Enter")
    expect(held).to_contain_text("done")
    assert served.worlds[0].sent == ["ann"]


def test_a_tool_that_fails(page):
    types(page, "broken please")
    page.keyboard.press("Enter")
    expect(call(page, "1. broken")).to_contain_text("→ the line is down")
    expect(call(page, "1. broken")).to_contain_text("failed")


def test_a_result_that_is_html_is_text(page):
    types(page, "the phone of Eve")
    page.keyboard.press("Enter")
    expect(page.locator("#answer")).to_contain_text("<img src=x")
    expect(page.locator("#rows")).to_contain_text("<img src=x")
    assert page.title() == "midsentence" and page.locator("img").count() == 0


def test_speaking_into_the_answer(page):
    page.locator("#aloud").check()
    types(page, "the phone of Bob")
    page.keyboard.press("Enter")
    expect(page.locator("#answer")).to_have_text("“find bob: +1 555 0100”")
    expect(page.locator("#rows tr")).to_have_count(1)
    page.wait_for_timeout(100)
    page.evaluate("saying.onboundary({ charIndex: 9 })")
    page.locator("#speak").click()
    page.evaluate("says('find bob', false)")  # its own voice, which the microphone hears
    page.wait_for_timeout(200)
    assert page.evaluate("spoken") == ["find bob: +1 555 0100"]
    page.evaluate("says('no text Ann', true)")
    expect(page.locator("#answer")).to_contain_text("sent to ann")
    assert page.evaluate("spoken")[:2] == ["find bob: +1 555 0100", "(cancelled)"]
    expect(page.locator("#title")).to_have_text("Request 2 of 2")


def test_a_connection_that_drops_goes_on_where_it_was(page, served):
    types(page, "the phone of Bob ")
    expect(call(page, '1. find("bob")')).to_be_visible()
    served.drops()
    expect(page.locator("#state")).to_contain_text("connection lost; trying again")
    types(page, "and text Ann ")  # nobody hears it yet
    expect(page.locator("#state")).to_have_text("listening")
    served.drops()
    expect(page.locator("#state")).to_have_text("listening")
    page.keyboard.press("Enter")
    expect(page.locator("#answer")).to_have_text("“find bob: +1 555 0100; send ann: sent to ann”")
    expect(page.locator("#heard")).to_have_text(re.compile(r"the phone of Bob and text Ann\s*⏎"))
    assert served.worlds[0].sent == ["ann"]


def test_another_mode_begins_anew_and_waits(page):
    types(page, "the phone of Bob ")
    page.locator("#mode").select_option("parallel")
    expect(page.locator("#state")).to_have_text("listening")
    expect(page.locator("#heard")).to_have_text("Nothing has been said yet.")
    expect(page.locator("#compare")).to_be_disabled()
    types(page, "the phone of Bob ")
    page.wait_for_timeout(500)
    expect(page.locator("#calls")).to_have_text("No calls yet.")
    page.keyboard.press("Enter")
    expect(page.locator("#answer")).to_have_text("“find bob: +1 555 0100”")


def test_with_the_keyboard_alone(page):
    """Everything can be reached, and each stop says what it is."""
    stops = []
    page.locator("#say").press_sequentially("")
    for _ in range(30):
        page.keyboard.press("Tab")
        stops.append(page.evaluate("document.activeElement.id || document.activeElement.textContent"))
    assert {
        "theme",
        "mode",
        "fresh",
        "compare",
        "aloud",
        "say",
        "done",
        "speak",
        "▸ the phone of Bob",
        "lanes-box",
        "wrote",
    } <= set(stops)
    page.locator("#examples button").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#answer")).to_have_text("“find bob: +1 555 0100”")


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_fits_and_can_be_read(page, tmp_path, width, theme):
    page.emulate_media(color_scheme=theme)
    page.set_viewport_size({"width": width, "height": 900})
    types(page, "broken and the phone of Bob no the phone of Ann and text Bob ")
    expect(call(page, "send")).to_contain_text("held")
    page.screenshot(path=shots(tmp_path) / f"held-{width}-{theme}.png", full_page=True)
    page.keyboard.press("Enter")
    expect(page.locator("#figure")).to_contain_text("in parallel")
    expect(page.locator("#answer-beside")).not_to_be_empty()
    page.screenshot(path=shots(tmp_path) / f"answered-{width}-{theme}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # no lane's label is cut off, and text differs enough from its ground (WCAG AA: 4.5 to 1)
    assert page.evaluate(LABELS) == []
    assert page.evaluate(CONTRAST) == []


def shots(tmp_path: Path) -> Path:
    """Where pictures go: a folder of one's own, to look at them."""
    folder = Path(os.environ.get("MIDSENTENCE_SHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


LABELS = """[...document.querySelectorAll("svg")].flatMap((svg) => [...svg.querySelectorAll("text")].filter((text) => {
  const own = text.getBoundingClientRect(), sheet = svg.getBoundingClientRect();
  return own.right > sheet.right + 1 || own.left < sheet.left - 1;
}).map((text) => text.textContent))"""

CONTRAST = """(() => {
  const seen = (colour) => {
    const light = colour.match(/[\\d.]+/g).slice(0, 3).map((c) => c / 255)
      .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * light[0] + 0.7152 * light[1] + 0.0722 * light[2];
  };
  const ground = (one) => {
    for (let at = one; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (!/, 0\\)$/.test(colour)) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  return [...document.querySelectorAll("main *, header *")].filter((one) => one.children.length === 0 && one.textContent.trim()
    && one.getClientRects().length && !one.closest("svg") && !one.disabled && !one.closest(":disabled")).flatMap((one) => {
    const [a, b] = [seen(getComputedStyle(one).color), seen(ground(one))].sort((x, y) => y - x), ratio = (a + 0.05) / (b + 0.05);
    return ratio < 4.5 ? [one.textContent.slice(0, 30) + " " + ratio.toFixed(2)] : [];
  });
})()"""
