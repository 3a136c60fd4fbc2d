"""The console's pages in a real browser, over a real pipeline."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Page, expect

from holonstream.client import Event
from holonstream.schemas.event import parse_event
from tests.console.conftest import EVIL, Console, fact
from tests.support.poison import POISON, poisoned
from tests.support.waiting import wait_until

PATIENCE = 180_000  # milliseconds; a quiet machine needs two seconds
SHOWN_EVIL = EVIL.replace("\u202e", "\\u202e")
PARKED = f"holon/{POISON[0]['subjects'][0]}"
PAGES = [
    "/",
    "/explore?type=Person",
    "/holon?id=hub",
    "/events",
    "/dead-letters",
    f"/dead-letter?stream={quote(PARKED)}",
]
SCREENSHOTS = {"live": "/", "holon": "/holon?id=unit/aldmouth", "events": "/events"}

CONTRAST = """() => {
  const channel = (c) => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const luminance = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const behind = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const color = parse(getComputedStyle(e).backgroundColor);
      if (color.length === 3 || color[3] > 0) return color;
    }
    return [255, 255, 255];
  };
  const poor = [];
  for (const element of document.querySelectorAll("body *")) {
    const text = [...element.childNodes].filter((n) => n.nodeType === 3).map((n) => n.data.trim()).join("");
    if (!text || !element.checkVisibility() || element.closest("canvas, option, .hidden, .skip")) continue;
    const style = getComputedStyle(element);
    const [a, b] = [luminance(parse(element.closest("svg") ? style.fill : style.color)), luminance(behind(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) poor.push(`${ratio.toFixed(1)} ${element.tagName} ${text.slice(0, 40)}`);
  }
  return poor;
}"""


@pytest.fixture
def page(browser: Browser, console: Console) -> Iterator[Page]:
    """A page in which nothing may go wrong, and which may ask nobody but the console."""
    context = browser.new_context(base_url=console.url, viewport={"width": 1200, "height": 800})
    opened = context.new_page()
    opened.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    faults: list[str] = []
    opened.on("console", lambda message: faults.append(f"{message.type}: {message.text}"))
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.on("dialog", lambda dialog: faults.append(f"dialog: {dialog.message}"))
    opened.on("request", lambda r: faults.append(f"foreign: {r.url}") if not r.url.startswith(console.url) else None)
    yield opened
    context.close()
    assert faults == []


def test_the_live_page_shows_what_happens(page: Page, console: Console) -> None:
    page.goto("/")
    expect(page.locator("#stage-graph")).to_contain_text("1 worker")
    (appended,) = console.append(fact("PersonCreated", "seen-live"))
    expect(page.locator("#stage-log")).to_contain_text(f"{appended.position:,}")
    expect(page.locator("#stage-graph")).to_contain_text("lag 0")
    expect(page.locator("#troubles")).to_contain_text("1 stream parked")
    expect(page.locator("#workers")).to_contain_text("0, 1, 2")
    console.append(fact("PersonModified", "seen-live", diff={"rank": "O-1"}))
    expect(page.locator("#chart dd").first).not_to_contain_text("p50 \N{EN DASH}")  # the workers' ages have come


def test_the_live_page_says_what_to_do(page: Page, console: Console) -> None:
    page.goto("/")
    console.pipeline.processes.kill("relay")
    expect(page.locator("#troubles")).to_contain_text("start `holonstream relay`")
    console.pipeline.start("relay")
    expect(page.locator("#troubles")).not_to_contain_text("holonstream relay")


def test_a_holon_is_found_and_explored(page: Page) -> None:
    page.goto("/explore")
    page.keyboard.type("spoke-")
    expect(page.locator("#found tbody tr")).to_have_count(4)
    page.get_by_label("Property").fill("name")
    page.get_by_label("is", exact=True).fill("Spoke 2")
    expect(page.locator("#found tbody tr")).to_have_count(1)
    page.get_by_role("link", name="spoke-2").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("spoke-2")
    expect(page.locator("#places")).to_contain_text("as the log")


def test_the_past_is_shown_by_the_slider_and_by_an_instant(page: Page) -> None:
    page.goto("/holon?id=hub")
    expect(page.locator("#state")).to_contain_text("O-4")
    expect(page.locator(".history")).to_contain_text("rank")
    page.locator("#version").press("ArrowLeft")
    expect(page.locator("#state")).to_contain_text("Version 1")
    expect(page.locator("#state")).not_to_contain_text("O-4")
    page.get_by_label("As of an instant").fill("2024-07-01")
    page.get_by_label("As of an instant").press("Enter")
    expect(page.locator("#state")).to_contain_text("O-4")


def test_the_graph_unfolds_by_a_click(page: Page) -> None:
    page.goto("/holon?id=hub")
    graph = page.locator("#graph")
    expect(graph).to_have_attribute("data-nodes", "6")

    def unfolded() -> bool:  # the layout may still move what is clicked, and a busy machine lose an answer
        place: Any = graph.evaluate("(box) => box.graph.getElementById('spoke-0').renderedPosition()")
        graph.click(position=place)
        return graph.get_attribute("data-nodes") == "7"

    wait_until(unfolded, "the graph unfolds", every=0.5)
    expect(page.locator("#chosen")).to_have_text("spoke-0")
    expect(page.locator("#neighbours tbody tr")).to_have_count(5)
    page.locator("#neighbour-filter").get_by_label("As of").fill("2023-01-01")
    page.keyboard.press("Tab")
    expect(graph).to_have_attribute("data-nodes", "1")
    expect(page.locator("#neighbours")).to_contain_text("None")


def test_an_answer_that_is_refused_or_does_not_come_is_said(browser: Browser, console: Console) -> None:
    """Not with the fixture `page`: the browser itself notes each refused answer as an error."""
    problem = {"detail": "Too much is asked at once \u202e"}
    with browser.new_context(base_url=console.url) as context:
        page = context.new_page()
        said = page.locator("#refused")
        page.route("**/api/v1/holon/relationships*", lambda route: route.fulfill(status=503, json=problem))
        page.goto("/holon?id=hub")
        expect(said).to_have_text("The neighbours of hub: Too much is asked at once \\u202e", timeout=PATIENCE)
        page.unroute("**/api/v1/holon/relationships*")
        page.locator("#neighbour-filter").get_by_label("As of").fill("2024-12-31")
        page.keyboard.press("Tab")
        expect(said).to_be_hidden(timeout=PATIENCE)
        page.route("**/neighbours*", lambda route: route.abort())
        page.locator("#neighbour-filter").get_by_label("As of").fill("2024-12-30")
        page.keyboard.press("Tab")
        expect(said).to_contain_text("does not answer", timeout=PATIENCE)


def test_events_are_filtered_followed_and_shown_whole(page: Page, console: Console) -> None:
    page.goto("/events")
    page.get_by_label("Subject").fill("followed")
    page.get_by_label("Subject").press("Enter")
    expect(page.locator("#rows tr")).to_have_count(0)
    (first,) = console.append(fact("PersonCreated", "followed"))
    expect(page.locator("#rows tr")).to_have_count(1)
    again = f'<tr id="position-{first.position}"><td>again</td></tr>'  # as a stream that was interrupted brings it
    assert not page.evaluate("row => htmx.trigger('#rows', 'htmx:sseBeforeMessage', {data: row})", again)
    caused = fact("PersonModified", "followed", diff={"rank": "O-2"})
    (second,) = console.append(
        Event(**{**{f: getattr(caused, f) for f in caused.__struct_fields__}, "causal_links": {"causedBy": [first.id]}})
    )
    page.locator(f"#position-{second.position} a").first.click()
    expect(page.locator("pre")).to_contain_text('"rank": "O-2"')
    page.get_by_role("link", name=first.id).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("PersonCreated")
    page.get_by_role("link", name="holon/followed").click()
    expect(page.locator("#state")).to_contain_text("O-2")


def test_a_parked_stream_says_why_and_what_to_type(page: Page) -> None:
    page.goto("/dead-letters")
    page.get_by_role("link", name=PARKED).click()
    expect(page.locator(".error:not(#refused)")).not_to_be_empty()
    redrive = f"holonstream dead-letters redrive {PARKED}"
    expect(page.locator("pre").first).to_contain_text(redrive)
    page.goto(f"/holon?id={PARKED.partition('/')[2]}")
    expect(page.locator("#places tr.bad")).to_have_count(1)
    expect(page.locator("#places tr.bad")).to_contain_text(re.compile("parked beyond [0-9,]+: fix the cause, then"))
    expect(page.locator("#places tr.bad")).to_contain_text(redrive)


def test_a_discarded_event_is_no_difference(page: Page, console: Console) -> None:
    console.append(*(parse_event(envelope) for envelope in poisoned("discarded")))
    listed: list[str] = ["dead-letters", "list", "--json"]
    wait_until(lambda: "holon/discarded" in console.pipeline.run(*listed).stdout, "it is parked")
    console.pipeline.run("dead-letters", "discard", "holon/discarded", "--version", "3")
    page.goto("/holon?id=discarded")
    expect(page.locator("#places")).to_contain_text("as the log")
    expect(page.locator("#places tr.bad")).to_have_count(0)
    expect(page.locator(".history")).to_contain_text("discarded: it has no effect")
    expect(page.locator("#state")).to_contain_text("Version 5")


@pytest.mark.parametrize(
    "path",
    [f"/explore?id={quote(EVIL)}", f"/holon?id={quote(EVIL)}", f"/events?subject={quote(EVIL)}", "/holon?id=hub"],
)
def test_names_inject_nothing(page: Page, path: str) -> None:
    page.goto(path)
    expect(page.locator("body")).to_contain_text(SHOWN_EVIL)
    assert page.locator("main script, main img").count() == 0
    assert "\u202e" not in page.locator("body").inner_text()


@pytest.mark.parametrize("path", PAGES)
def test_pages_can_be_read(page: Page, path: str) -> None:
    """In light and dark, and in a narrow window."""
    page.goto(path)
    assert page.evaluate(CONTRAST) == []
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(CONTRAST) == []
    page.set_viewport_size({"width": 360, "height": 640})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_the_keyboard_is_enough(page: Page) -> None:
    page.goto("/events")
    page.keyboard.press("Tab")
    expect(page.locator(":focus")).to_have_text("Skip to the content")
    page.keyboard.press("/")
    expect(page.locator("#search")).to_be_focused()
    page.locator("#theme").focus()
    page.keyboard.press("Enter")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


@pytest.mark.parametrize("name", SCREENSHOTS)
def test_screenshots_are_small(page: Page, name: str, tmp_path: Path) -> None:
    """They are kept in the folder that HOLONSTREAM_TEST_SCREENSHOTS names."""
    page.goto(SCREENSHOTS[name])
    if name == "holon":
        expect(page.locator("#graph")).to_have_attribute("data-nodes", "11")
        page.locator("#graph").scroll_into_view_if_needed()
    file = Path(os.environ.get("HOLONSTREAM_TEST_SCREENSHOTS", tmp_path)) / f"console-{name}.png"
    page.screenshot(path=file, full_page=name == "live")
    assert file.stat().st_size < 300_000
