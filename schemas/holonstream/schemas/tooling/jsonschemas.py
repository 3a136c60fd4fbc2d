"""JSON Schema for tooling: the ``jsonschema`` library, wrapped in one place.

It is slow, and exact about where a fault is. Appends use ``jsonschema-rs`` (`schemas.catalogue`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from importlib import resources
from typing import Any

import jsonschema  # type: ignore[import-untyped]
from jsonschema.exceptions import best_match  # type: ignore[import-untyped]
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from holonstream.schemas.vocabulary import read_document, vocabulary


def pointer(path: Iterable[str | int]) -> str:
    """The JSON pointer of a path; the empty text is the whole document."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)


class Checker:
    """Checks values against schemas that refer to the vocabulary and to our meta-schemas."""

    def __init__(self, shared: Mapping[str, Any] | None = None) -> None:
        """`shared` is the vocabulary, by default the one that ships."""
        documents = [shared or vocabulary(), *(meta_schema(name) for name in ("projection", "upcast", "event-type"))]
        resources_ = [(document["$id"], DRAFT202012.create_resource(document)) for document in documents]
        self._registry: Registry[Any] = Registry().with_resources(resources_)

    def faults(self, value: Any, schema: Mapping[str, Any] | bool) -> Iterator[tuple[str, str]]:
        """What is wrong with a value: JSON pointer into the value, and message."""
        validator = jsonschema.Draft202012Validator(schema, registry=self._registry)
        try:
            for error in validator.iter_errors(value):
                deepest = best_match([error])
                yield pointer(deepest.absolute_path), deepest.message[:300]
        except Unresolvable as error:
            yield "", f"cannot resolve the reference {error.ref!r}"

    def accepts(self, value: Any, schema: Mapping[str, Any] | bool) -> bool:
        """Whether a value is valid."""
        return next(self.faults(value, schema), None) is None


def meta_schema(name: str) -> dict[str, Any]:
    """Our own schema of that name: ``event-type``, ``projection`` or ``upcast``."""
    return read_document(resources.files("holonstream.schemas.tooling") / f"{name}.schema.json")


def official_meta_schema() -> dict[str, Any]:
    """The meta-schema of JSON Schema 2020-12."""
    document: dict[str, Any] = jsonschema.Draft202012Validator.META_SCHEMA
    return document
