"""The site is built strictly, every link and place on it is there, and neither pages nor search need another host."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from markdown_it import MarkdownIt
from playwright.sync_api import Browser, Page, Request, expect

from tests.support.chromium import chromium

ROOT = Path(__file__).parents[2]
RESOURCES = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src", "object": "data"}
COUNTED = ("li", "tr", "pre", "h1", "h2", "h3", "h4")
MADE = {"python-api.md"}  # from docstrings: on a forge it has the names only


class Html(HTMLParser):
    """What a page links to, loads and names; and how many elements its text has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.places: set[str] = set()
        self.counts: Counter[str] = Counter()
        self._in_text = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self._in_text = self._in_text or tag == "article"
        if self._in_text:
            self.counts[tag] += 1
        if "id" in values:
            self.places.add(values["id"])
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if tag in RESOURCES and values.get("rel") != "canonical" and RESOURCES[tag] in values:
            self.loaded.append(values[RESOURCES[tag]])

    def handle_endtag(self, tag: str) -> None:
        self._in_text = self._in_text and tag != "article"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Html]:
    found = {file: Html(file.read_text()) for file in site.rglob("*.html")}
    assert len(found) > 40
    return found


def test_every_link_leads_to_a_page_and_a_place_that_are_there(site: Path, pages: dict[Path, Html]) -> None:
    wrong = []
    for file, page in pages.items():
        if file.name == "404.html":  # its links begin at the root of a server
            continue
        for link in page.links + page.loaded:
            parts = urlsplit(link)
            if parts.scheme:
                assert parts.scheme in ("http", "https", "data", "mailto"), link
                continue
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            there = pages[target].places if target in pages else set()
            if not target.exists() or (parts.fragment and unquote(parts.fragment) not in there):
                wrong.append(f"{file.relative_to(site)}: {link}")
    assert wrong == []


def test_no_page_loads_anything_from_another_host(site: Path, pages: dict[Path, Html]) -> None:
    for file, page in pages.items():
        for address in page.loaded:
            assert not urlsplit(address).netloc, f"{file}: {address}"
    for style in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(https?:)?//|@import", style.read_text()), style


def test_every_document_is_a_page(site: Path) -> None:
    documents = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")}
    wanted = {"index.html" if path.name == "README.html" else path.name for path in documents}
    assert wanted <= {file.name for file in site.rglob("*.html")}
    assert "More" not in (site / "index.html").read_text(), "mkdocs.yml does not name a page of docs/"


def _rendered(document: Path) -> Html:
    """A document as a forge shows it."""
    text = MarkdownIt("commonmark").enable("table").render(document.read_text())
    return Html(f"<article>{text}</article>")


@pytest.mark.parametrize("document", sorted((ROOT / "docs").rglob("*.md")), ids=lambda file: file.stem)
def test_a_page_has_the_lists_tables_and_blocks_that_a_forge_shows(
    pages: dict[Path, Html], site: Path, document: Path
) -> None:
    if document.name in MADE:
        return
    place = document.relative_to(ROOT / "docs").with_suffix(".html")
    page = pages[site / (place.with_name("index.html") if place.name == "README.html" else place)]
    forge = _rendered(document)
    for tag in COUNTED:
        assert page.counts[tag] == forge.counts[tag], f"{document.name}: <{tag}>"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page without a network, whose errors fail the test."""
    with browser.new_context(offline=True) as context:
        opened = context.new_page()
        wrong: list[str] = []

        def asked(request: Request) -> None:
            if urlsplit(request.url).scheme not in ("file", "data", "blob"):
                wrong.append(request.url)

        opened.on("request", asked)
        opened.on("pageerror", lambda error: wrong.append(str(error)))
        yield opened
        assert wrong == []


def test_the_search_box_finds_pages_from_a_folder(page: Page, site: Path) -> None:
    page.goto((site / "index.html").as_uri())
    page.locator("[data-md-component=search-query]").first.fill("redrive")
    found = page.locator(".md-search-result__link", has_text="Dead letters")
    expect(found.first).to_be_visible(timeout=60_000)
    found.first.click()
    expect(page).to_have_url(re.compile("dead-letters.html"))


@pytest.mark.parametrize("drawing", ["order", "exactly-once", "cache-proof", "tokens"])
def test_drawings_are_shown_with_their_text(page: Page, site: Path, drawing: str) -> None:
    page.goto((site / f"{drawing}.html").as_uri())
    image = page.locator(f"img[src$='{drawing}.svg']")
    expect(image).to_be_visible()
    assert image.evaluate("image => image.complete && image.naturalWidth > 300")
    assert image.get_attribute("alt")
