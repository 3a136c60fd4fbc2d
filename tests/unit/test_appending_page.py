"""docs/appending.md has every SQLSTATE and every field that there is."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from holonstream import client
from holonstream.producers.log import postgres
from holonstream.schemas.event import Event

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "appending.md").read_text()
SQL = ROOT / "producers" / "holonstream" / "producers" / "log" / "sql"
SOURCE = Path(postgres.__file__).read_text()
STATE = r"[0-9A-Z]{5}"


def rows(heading: str) -> list[list[str]]:
    """The cells of the table under a heading."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def test_every_sqlstate_is_explained() -> None:
    raised = {state for file in SQL.rglob("*.sql") for state in re.findall(rf"ERRCODE = '({STATE})'", file.read_text())}
    assert {"HS001", "HS006"} <= raised
    mapped = {state for line in re.findall(r"case (\".*)", SOURCE) for state in re.findall(rf'"({STATE})"', line)}
    explained = {state for row in rows("Errors") for state in re.findall(rf"`({STATE})`", row[0])}
    assert explained == raised | mapped
    classes = {name for row in rows("Errors") if row[0].startswith("classes") for name in re.findall("`(..)`", row[0])}
    assert classes == postgres.UNAVAILABLE | postgres.REFUSED


def test_the_page_names_the_error_that_python_raises() -> None:
    for row in rows("Errors"):
        first = re.findall(rf"`({STATE})`", row[0])
        if first:
            case = re.search(rf'case [^\n]*"{first[0]}"[^\n]*\n(.*?)\n        case', SOURCE, re.DOTALL)
            assert case is not None, first
            if "constraint" not in row[0] and " on " not in row[0]:
                assert f"return {row[3].strip('`')}(" in case[1], row
        assert issubclass(getattr(client, row[3].strip("`")), client.HolonstreamError)


def test_every_error_that_python_raises_is_exported() -> None:
    translate = SOURCE.partition("def translate")[2].partition("\ndef ")[0]
    raised = set(re.findall(r"return ([A-Z]\w+)\(", translate))
    assert {"LogUnavailable", "TransactionConflict"} <= raised
    assert raised <= set(client.__all__)


def test_every_field_of_the_envelope_is_there() -> None:
    fields = {field.encode_name for field in msgspec.structs.fields(Event)}
    assert {row[0].strip("`") for row in rows("The envelope")} == fields
    example = re.search(r"```json\n(.*?)```", PAGE, re.DOTALL)
    assert example is not None
    assert set(msgspec.json.decode(example[1])) == fields
    assert msgspec.json.decode(example[1], type=Event).type == "AssignmentStarted"
