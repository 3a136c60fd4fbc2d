"""What the site has beside docs/: pages of the root, and a navigation that lists the decisions (mkdocs.yml).

The documents are written for a forge: links are relative in the repository. On the site a link to a page of the root
leads to its page here, and a link to code, which the site does not have, is text.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
DOCS = "docs/"
PAGES = {
    "ARCHITECTURE.md": "architecture.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
    "examples/README.md": "examples.md",
}
"""documents outside docs/, and their pages"""
START = {"README.md": "README.md", "docs": "README.md"}
"""what stands for the start page"""

LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\(([^()\s]+)\)")
CODE = re.compile(r"^(```.*?^```|(?: {4}|\t).*?)$|`[^`\n]+`", re.MULTILINE | re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the root, and complete the navigation.

    A folder that it names stands for its files; pages that it does not name come last, so that none is lost.
    """
    for document, page in PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / document)))
    pages = {file.src_uri for file in files.documentation_pages()}
    named = _listed(config.nav or [], pages)
    rest = sorted(pages - set(_paths(named)))
    config.nav = [*named, {"More": rest}] if rest else named
    return files


def _listed(entries: list[Any], pages: set[str]) -> list[Any]:
    listed: list[Any] = []
    for entry in entries:
        if isinstance(entry, str):
            listed.append(entry)
            continue
        ((title, inner),) = entry.items()
        if isinstance(inner, list):
            listed.append({title: _listed(inner, pages)})
        elif inner.endswith("/"):
            inside = (page for page in pages if page.startswith(inner))
            listed.append({title: sorted(inside, key=lambda page: (not page.endswith("README.md"), page))})
        else:
            listed.append(entry)
    return listed


def _paths(entries: list[Any]) -> Iterator[str]:
    for entry in entries:
        inner = entry if isinstance(entry, str) else next(iter(entry.values()))
        yield from [inner] if isinstance(inner, str) else _paths(inner)


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links to where their targets are on the site."""
    source = next((name for name, made in PAGES.items() if made == page.file.src_uri), DOCS + page.file.src_uri)

    def led(link: re.Match[str]) -> str:
        image, text, target = link.groups()
        path, mark, anchor = target.partition("#")
        if not path or re.match(r"[a-z]+:", target):
            return link[0]
        wanted = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        for name in (wanted, f"{wanted}/README.md"):
            there = (START | PAGES).get(name) or (name.removeprefix(DOCS) if name.startswith(DOCS) else None)
            if there is not None and files.get_file_from_path(there) is not None:
                path = posixpath.relpath(there, posixpath.dirname(page.file.src_uri) or ".")
                return f"{image}[{text}]({path}{mark}{anchor})"
        # What is not there at all stays as it is, and is an error of the build.
        return text if (ROOT / wanted).exists() else link[0]

    parts, end = [], 0
    for code in CODE.finditer(markdown):  # links are no links in code
        parts += [LINK.sub(led, markdown[end : code.start()]), code[0]]
        end = code.end()
    return "".join([*parts, LINK.sub(led, markdown[end:])])
