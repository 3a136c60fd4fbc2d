"""Where event schemas are read from, and the names that they share.

A folder of one's own adds its event types to those that ship. With a ``catalogue.json`` in it the folder is a domain
of its own: what ships is not read, and holons and relationships have the types that this file lists::

    {"holonTypes": ["Customer", "Order"], "relationshipTypes": ["PLACED_BY"]}

The shapes that schemas refer to (``creating``, ``patch``, ``text`` ...) are the same in every domain.
"""

from __future__ import annotations

import json
import re
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

from holonstream.schemas import jsontext
from holonstream.schemas.errors import InvalidCatalogue

CATALOGUE_FILE = "catalogue.json"
_TYPES = {
    "holonTypes": ("holonType", re.compile(r"(?!Holon(stream.*)?\Z)[A-Z][A-Za-z0-9_]*"), "Order"),
    "relationshipTypes": ("relationshipType", re.compile(r"[A-Z][A-Z0-9_]*"), "PLACED_BY"),
}
"""Key in catalogue.json: name in the vocabulary, what a type may be called, an example.

Types become labels, relationship types and names of indexes in the graph; the sink's own are called Holon...
"""


def shipped_events() -> Traversable:
    """The folder of event schemas that ship."""
    return resources.files("holonstream.schemas") / "events"


def event_files(*folders: Traversable) -> list[Traversable]:
    """The event schemas that make a catalogue: those of the folders, and those that ship unless a folder is a domain.

    Raises InvalidCatalogue, naming a folder that does not exist.
    """
    files: list[Traversable] = []
    for folder in folders if _own(*folders) else (shipped_events(), *folders):
        if not folder.is_dir():
            raise InvalidCatalogue(f"No such folder of event schemas: {folder}")
        found = [file for file in folder.iterdir() if file.name.endswith(".json") and file.name != CATALOGUE_FILE]
        files += sorted(found, key=lambda file: file.name)
    return files


def vocabulary(*folders: Traversable) -> dict[str, Any]:
    """The names and shapes that event schemas refer to: as they ship, or with the types of a domain of one's own.

    Raises InvalidCatalogue, naming the catalogue.json and what is wrong with it.
    """
    shared = read_document(resources.files("holonstream.schemas") / "vocabulary.schema.json")
    own = _own(*folders)
    return {**shared, "$defs": {**shared["$defs"], **_types(own)}} if own else shared


def read_document(file: Traversable) -> dict[str, Any]:
    """The JSON object in a file. Raises InvalidCatalogue, naming the file."""
    try:
        document = json.loads(file.read_text(encoding="utf-8"), parse_float=jsontext.number)
    except (OSError, ValueError) as error:
        raise InvalidCatalogue(f"{file}: {error}") from error
    if not isinstance(document, dict):
        raise InvalidCatalogue(f"{file}: not a JSON object")
    return document


def _own(*folders: Traversable) -> Traversable | None:
    """The catalogue.json of one of the folders."""
    found = [file for folder in folders if (file := folder / CATALOGUE_FILE).is_file()]
    if len(found) > 1:
        raise InvalidCatalogue(f"Two domains at once: {', '.join(map(str, found))}")
    return found[0] if found else None


def _types(file: Traversable) -> dict[str, Any]:
    document = read_document(file)
    if document.keys() != _TYPES.keys():
        raise InvalidCatalogue(f"{file}: must have the keys {', '.join(_TYPES)}, has {', '.join(document) or 'none'}")
    definitions: dict[str, Any] = {}
    seen: set[str] = set()
    for key, (name, shape, example) in _TYPES.items():
        types = document[key]
        if not isinstance(types, list) or not types:
            raise InvalidCatalogue(f"{file}: {key} must be a list of at least one name, such as {example!r}")
        for type_ in types:
            if not isinstance(type_, str) or not shape.fullmatch(type_):
                raise InvalidCatalogue(f"{file}: {key}: not a type: {type_!r} (named like {example!r}, not Holon)")
            if type_ in seen:
                raise InvalidCatalogue(f"{file}: {key}: {type_!r} is there twice")
            seen.add(type_)
        definitions[name] = {"description": f"The types listed in {CATALOGUE_FILE}.", "enum": types}
    return definitions
