"""Statements in files, by name."""

from __future__ import annotations

from holonstream.schemas.statements import parse_statements


def test_sql_is_read_by_name_without_comments() -> None:
    text = "-- top\n\n-- first --\n-- What it does.\nSELECT 1;\n\n-- second --\n-- Another.\nSELECT 2\nFROM t;\n"
    assert parse_statements(text) == {"first": "SELECT 1", "second": "SELECT 2\nFROM t"}


def test_cypher_is_read_by_name_without_comments() -> None:
    text = "// first //\n// What it does.\nMATCH (n)\nRETURN n\n\n// second //\nRETURN 1;\n"
    assert parse_statements(text) == {"first": "MATCH (n)\nRETURN n", "second": "RETURN 1"}
