"""The part of a filter that Neo4j can decide, as parameters: pure.

A prefilter never leaves out what the filter lets pass; `matches` and `properties_match` of `sinks.store` then decide in
Python. Cypher alone could not: it takes 1 for 1.0 (as we do), JSON text for a string, and cannot read JSON text. And
the driver cannot send a text that is no Unicode, which no state has.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from holonstream.schemas import instant
from holonstream.schemas.json_limits import is_unicode
from holonstream.sinks.graph.mapping import is_native, stored_name
from holonstream.sinks.store import HolonFilter, RelationshipFilter


def properties_prefilter(properties: Mapping[str, Any]) -> dict[str, list[Any]]:
    """``equal``: stored names with the value that they must have; ``there``: stored names that must be there."""
    equal: list[dict[str, Any]] = []
    there: list[str] = []
    for name, value in properties.items():
        stored = stored_name(name)
        if stored is None or not is_unicode(name):
            there.append("_odd")
        elif isinstance(value, str) and not is_unicode(value):
            there.append(stored)
        elif isinstance(value, str | bool) or (isinstance(value, int | float) and is_native(value)):
            equal.append({"name": stored, "value": value})
        else:
            there.append(stored)  # a list or what is kept as JSON text
    return {"equal": equal, "there": there}


def holon_prefilter(filters: HolonFilter | None) -> dict[str, Any]:
    """The parameters of ``$filter`` for holons."""
    f = filters or HolonFilter()
    return {
        "status": _sendable(f.status),
        "after": f.created_after and instant.canonical(f.created_after),
        "before": f.created_before and instant.canonical(f.created_before),
        **properties_prefilter(f.properties),
    }


def relationship_prefilter(filters: RelationshipFilter | None) -> dict[str, Any]:
    """The parameters of ``$filter`` for relationships."""
    f = filters or RelationshipFilter(include_ended=True)
    return {
        "ended": f.include_ended,
        "at": f.effective_at and instant.canonical(f.effective_at),
        "authority": _sendable(f.authority_level),
        "source": _sendable(f.source),
        "target": _sendable(f.target),
        **properties_prefilter(f.properties),
    }


def is_exact(filters: RelationshipFilter | None) -> bool:
    """Whether the prefilter is the filter itself, so that nothing is left to decide in Python."""
    return filters is None or (
        not filters.properties
        and filters.authority_level is None
        and all(end is None or is_unicode(end) for end in (filters.source, filters.target))
    )


def _sendable(text: str | None) -> str | None:
    """What a part of a filter asks of Neo4j; None, which asks nothing, leaves it to Python."""
    return text if text is None or is_unicode(text) else None
