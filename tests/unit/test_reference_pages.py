"""The pages of reference name everything that there is (the others: test_docs, test_metrics, test_appending_page)."""

from __future__ import annotations

import json
import re
from pathlib import Path

from holonstream import client, testing
from holonstream.ops.console.server import make_app
from holonstream.ops.settings import Settings
from holonstream.schemas import names, wire
from holonstream.sinks import own

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SQL = ROOT / "producers" / "holonstream" / "producers" / "log" / "sql"


def test_every_function_and_role_that_a_login_may_use_is_on_the_page_of_sql() -> None:
    page = (DOCS / "sql.md").read_text()
    grants = re.findall(r"GRANT EXECUTE ON FUNCTION (.*?) TO (\w+);", (SQL / "roles.sql").read_text(), re.DOTALL)
    functions = {name for granted, _ in grants for name in re.findall(r"holonstream\.\w+(?=\()", granted)}
    assert len(functions) >= 8
    for name in functions | {role for _, role in grants}:
        assert name in page, name
    named = set(re.findall(r"`(holonstream\.\w+)\(", page))
    assert named <= functions


def test_every_exported_name_is_on_the_page_of_python() -> None:
    shown = re.findall(r"^::: holonstream\.(?:\w+\.)*(\w+)$", (DOCS / "python-api.md").read_text(), re.MULTILINE)
    assert len(shown) == len(set(shown))
    assert set(shown) == {*client.__all__, *testing.__all__, *own.__all__}


def test_the_record_on_the_page_of_topics_is_an_event_and_has_every_attribute() -> None:
    page = (DOCS / "topics.md").read_text()
    example = re.search(r"```json\n(.*?)```", page, re.DOTALL)
    assert example is not None
    event = wire.decode(example[1].encode())
    assert (event.stream, event.version, event.position) == ("relationship/p-1/post-7", 1, 18)
    assert event.subjects == ("p-1", "post-7")
    cells = re.findall(r"^\| (`[^|]*) \|", page, re.MULTILINE)
    explained = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    assert set(json.loads(example[1])) - {"specversion", "datacontenttype"} <= explained
    for made in (names.events_topic, names.dead_letter_topic):
        assert f"`{made('holonstream')}`" in page
    for group in ("graph", "cache", "relay"):
        assert f"`{names.consumer_group('holonstream', group)}`" in page


def test_every_path_and_parameter_of_the_read_api_is_on_its_page() -> None:
    page = (DOCS / "http-api.md").read_text()
    for path, operations in make_app(Settings()).openapi()["paths"].items():
        assert re.search(rf"`(?:POST )?{re.escape(path)}[`?]", page), path
        for operation in operations.values():
            for parameter in operation.get("parameters", ()):
                assert re.search(rf"`\??{parameter['name']}\b|[?&]{parameter['name']}=", page), parameter["name"]
