"""docs/domain.md: the example's table is what the fold makes of its events."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.event import parse_events
from holonstream.schemas.projection import apply, recorded
from holonstream.schemas.state import Holon, State, holon_document, relationship_document

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "domain.md").read_text()
HEADINGS = ["Words", "Envelope", "State", "Fold", "Operations", "Event types", "Queries"]
ROW = re.compile(r"^\| (\d+) \| `([^`]+)` \| (\d+) \| `(\{.*\})` \|$", re.MULTILINE)


def _document(state: State) -> dict[str, Any]:
    return holon_document(state) if isinstance(state, Holon) else relationship_document(state)


def test_docstrings_cite_headings_that_the_page_has() -> None:
    assert re.findall(r"^## (.+)$", PAGE, re.MULTILINE) == HEADINGS
    cited = [
        (file, heading)
        for part in ("schemas", "sinks", "producers", "client", "tests")
        for file in (ROOT / part).rglob("*.py")
        for heading in re.findall(r"\(docs/domain\.md, ([^)]+)\)", file.read_text())
    ]
    assert cited
    for file, heading in cited:
        assert set(heading.split(", ")) <= set(HEADINGS), f"{file.name} cites {heading!r}"


def test_the_example_comes_out_as_its_table_says() -> None:
    (text,) = re.findall(r"^```json\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    rows = ROW.findall(PAGE)
    catalogue = Catalogue.load()
    events = list(recorded(catalogue, parse_events(text)))
    assert len(rows) == len(events) == 5
    states: dict[str, State] = {}
    for event, (position, stream, version, part) in zip(events, rows, strict=True):
        after = apply(catalogue, states.get(event.stream), event)
        assert after is not None
        states[event.stream] = after
        assert (event.position, event.stream, event.version) == (int(position), stream, int(version))
        document = _document(after)
        expected = json.loads(part)
        assert {name: document[name] for name in expected} == expected
