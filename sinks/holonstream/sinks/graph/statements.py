"""The graph's Cypher: named statements in files beside the code that sends them, and one function that puts types in.

Everything that comes from data travels as a parameter. A holon or relationship type cannot always (an index is only
used for a type that stands in the text), so `statement` puts types in, and only those that the catalogue knows.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from functools import cache

from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.errors import HolonstreamError
from holonstream.schemas.statements import parse_statements, read_text
from holonstream.sinks.store import Direction

FILES = ("graph.cypher", "write/write.cypher", "read/read.cypher", "recovery/recovery.cypher")
UNIONS = {"BRANCHES": "relationship_branch", "PAGES": "relationship_page"}
"""the part that such a place has for each type"""

_PLACE = re.compile(r"__([A-Z]+(?:_[A-Z]+)*)__")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


class UnknownType(HolonstreamError):
    """A type that the catalogue does not know would become part of a statement."""


@cache
def _statements() -> dict[str, str]:
    found: dict[str, str] = {}
    for file in FILES:
        found |= parse_statements(read_text("holonstream.sinks.graph", file))
    return found


def text(name: str) -> str:
    """The statement of that name, as it stands in its file."""
    return _statements()[name]


def names() -> list[str]:
    """The names of all statements."""
    return sorted(_statements())


def statement(
    name: str,
    catalogue: Catalogue,
    *,
    holon_type: str | None = None,
    relationship_types: Collection[str] = (),
    direction: Direction = "both",
    variables: Mapping[str, str] | None = None,
) -> str:
    """The statement with its types put in; no type means any. Raises UnknownType, naming the type.

    ``__HOLON_TYPE__`` becomes ``:`Person` `` (``:Holon`` for any), ``__RELATIONSHIP_TYPE__`` becomes ``:`A`|`B` ``,
    ``__ARROW__`` the relationship ``r`` in the direction (``-[r:`A`]->``), ``__BRANCHES__`` a union over the types,
    each found by its own index, ``__PAGES__`` a union over a page of each, ``__NAME__`` the name of a constraint or
    index. Another statement's name in capitals becomes that statement, after ``EACH_`` once for each type. `variables`
    are Cypher variables for ``__VARIABLE__``, ``__SOURCE__`` and ``__TARGET__``.
    """
    template = text(name)
    holon = _checked([holon_type] if holon_type else [], catalogue.holon_types)
    relationship = _checked(sorted(relationship_types), catalogue.relationship_types)
    left, right = {"outgoing": ("-", "->"), "incoming": ("<-", "-"), "both": ("-", "-")}[direction]
    places = {
        "ARROW": f"{left}[r{relationship}]{right}",
        "HOLON_TYPE": holon or ":Holon",
        "RELATIONSHIP_TYPE": relationship,
        "NAME": "_".join(["holonstream", *filter(None, [holon_type]), *sorted(relationship_types)]),
    }
    for place, variable in (variables or {}).items():
        if variable and not _NAME.fullmatch(variable):
            raise UnknownType(f"Not a variable: {variable!r} may not become part of a Cypher statement")
        places[place] = variable
    for place, part in UNIONS.items():
        if f"__{place}__" in template:
            parts = [statement(part, catalogue, relationship_types=[name]) for name in sorted(relationship_types)]
            places[place] = "\nUNION ALL\n".join(parts)

    def put_in(place: re.Match[str]) -> str:
        if (found := places.get(place[1])) is not None:
            return found
        if (part := place[1].lower()).startswith("each_"):
            part = part.removeprefix("each_")
            return "\n".join(statement(part, catalogue, relationship_types=[n]) for n in sorted(relationship_types))
        return statement(part, catalogue, relationship_types=relationship_types)

    return _PLACE.sub(put_in, template)


def count_statement(catalogue: Catalogue, relationship_types: Iterable[str]) -> str:
    """The statement that counts the relationships of each type; one row, a column per type."""
    counts = [statement("relationships_count", catalogue, relationship_types=[name]) for name in relationship_types]
    return "RETURN " + ",\n".join(counts)


def checked_type(name: str, known: Collection[str]) -> str:
    """The type itself, when the catalogue knows it. Raises UnknownType."""
    if name not in known or not _NAME.fullmatch(name):
        raise UnknownType(f"Unknown type: {name!r} may not become part of a Cypher statement")
    return name


def _checked(types: Iterable[str], known: Collection[str]) -> str:
    quoted = "|".join(f"`{checked_type(name, known)}`" for name in types)
    return quoted and f":{quoted}"
