"""Statements and patterns: types only from the catalogue, everything else as a parameter."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.statements import parse_statements, read_text
from holonstream.sinks.graph import statements
from holonstream.sinks.graph.read.pattern import compile_pattern
from holonstream.sinks.graph.statements import (
    FILES,
    UnknownType,
    count_statement,
    names,
    statement,
    text,
)
from holonstream.sinks.requests import pattern

CATALOGUE = Catalogue.load()


def test_types_are_put_in_quoted_and_sorted() -> None:
    made = statement("hop", CATALOGUE, relationship_types=("OCCUPIES", "HAS"), direction="incoming")
    assert "(n:Holon {_id: id})<-[r:`HAS`|`OCCUPIES`]-(m)" in made
    assert "MATCH (n:`Person`)\nUSING INDEX SEEK n:`Person`(_id)" in statement(
        "holons_query", CATALOGUE, holon_type="Person"
    )
    assert "MATCH (n:Holon)\nUSING INDEX SEEK n:Holon(_id)" in statement("holons_query", CATALOGUE)


@pytest.mark.parametrize("wrong", ["Nonsense", "", "OCCUPIES`]-() DETACH DELETE n //", "Person", "OCCUPIES\n"])
def test_an_unknown_type_never_becomes_text(wrong: str) -> None:
    with pytest.raises(UnknownType, match="Unknown type"):
        statement("hop", CATALOGUE, relationship_types=[wrong])
    with pytest.raises(UnknownType, match="Unknown type"):
        statement("relationships_load", CATALOGUE, relationship_types=[wrong])
    with pytest.raises(UnknownType, match="Unknown type"):
        count_statement(CATALOGUE, [wrong])
    if wrong not in ("", "Person"):
        with pytest.raises(UnknownType):
            statement("holons_query", CATALOGUE, holon_type=wrong)


def test_every_statement_is_described() -> None:
    for file in FILES:
        lines = (Path(statements.__file__).parent / file).read_text().splitlines()
        headers = [number for number, line in enumerate(lines) if re.fullmatch(r"// \w+ //", line)]
        assert headers
        assert all(lines[number + 1].startswith("// ") for number in headers), file


def test_every_statement_stands_beside_the_code_that_sends_it() -> None:
    folder = Path(statements.__file__).parent
    code = {file: file.read_text() for pattern in ("*.py", "*.cypher") for file in folder.rglob(pattern)}
    for file in FILES:
        for name in parse_statements(read_text("holonstream.sinks.graph", file)):
            sent = (f'"{name}"', f"__EACH_{name.upper()}__")  # by its name, or as part of another
            senders = {module.parent for module, source in code.items() if any(use in source for use in sent)}
            assert senders == {(folder / file).parent}, name


@pytest.mark.parametrize("name", names())
def test_no_place_is_left_open(name: str) -> None:
    known = {"__VARIABLE__", "__PARAMETER__", "__SOURCE__", "__TARGET__"}
    made = statement(name, CATALOGUE, variables={place.strip("_"): "v" for place in known})
    assert text(name)
    assert not re.search(r"__[A-Z_]+__", made)


def test_a_pattern_is_one_statement_with_parameters() -> None:
    evil = "x'}) DETACH DELETE n //`"
    made, parameters = compile_pattern(
        CATALOGUE,
        pattern(
            {
                "holonPatterns": [
                    {"alias": evil, "type": "Person", "properties": {evil: evil}},
                    {"alias": "q"},
                ],
                "relationshipPatterns": [
                    {"sourceAlias": evil, "targetAlias": "q", "type": "OCCUPIES", "properties": {evil: [evil]}},
                    {"sourceAlias": "q", "includeEnded": False},
                ],
            }
        ),
    )
    assert evil not in made
    assert "DELETE" not in made
    assert "MATCH (h0:`Person`)" in made
    assert "MATCH (h1:Holon)" in made
    assert "MATCH (h0)-[r0:`OCCUPIES`]->(h1)" in made
    assert "MATCH (h1)-[r1:`" in made
    assert all(f"`{name}`" in made for name in CATALOGUE.relationship_types), "those of other programs are not ours"
    assert made.endswith("ORDER BY h0._id, h1._id, r0._id, r1._id")
    assert parameters == {
        "p0": {"equal": [{"name": evil, "value": evil}], "there": []},
        "p1": {"equal": [], "there": []},
        "r0": {"ended": True, "equal": [], "there": [evil]},
        "r1": {"ended": False, "equal": [], "there": []},
    }
