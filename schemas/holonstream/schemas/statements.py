"""Named statements: SQL and Cypher stand in files beside the code that sends them.

A line ``-- name --`` (in Cypher ``// name //``) starts a statement. The comments below it say what it does.
"""

from __future__ import annotations

import re
from importlib import resources
from typing import LiteralString

NAME = re.compile(r"(?:--|//) (\w+) (?:--|//)")
COMMENT = ("--", "//")


def read_text(package: str, file: str) -> LiteralString:
    """The text of a file that ships with a package."""
    # LiteralString: the text is ours, and nothing from outside is in it
    return (resources.files(package) / file).read_text()


def parse_statements(text: LiteralString) -> dict[str, LiteralString]:
    """The statements of a text by name, without lines of comment."""
    statements: dict[str, list[LiteralString]] = {}
    lines: list[LiteralString] = []  # before the first name
    for line in text.splitlines():
        if name := NAME.fullmatch(line):
            lines = statements[name[1]] = []
        elif not line.startswith(COMMENT):
            lines.append(line)
    return {name: "\n".join(body).strip().removesuffix(";") for name, body in statements.items()}
