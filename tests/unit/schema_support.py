"""Making recorded events by hand, and strategies for payloads."""

from __future__ import annotations

from functools import cache
from typing import Any

from hypothesis import strategies as st

from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.event import RecordedEvent, ValidityWindow
from holonstream.schemas.state import HOLON, Holon, Relationship
from holonstream.schemas.tooling.fields import declared_fields, fields_read
from holonstream.schemas.vocabulary import vocabulary

AT = "2024-03-01T08:00:00.000Z"
LATER = "2024-03-02T08:00:00.000Z"


@cache
def catalogue() -> Catalogue:
    """The one that ships."""
    return Catalogue.load()


def event(
    type_: str,
    payload: dict[str, Any] | None = None,
    *,
    subjects: tuple[str, ...] = ("h-1", "h-2"),
    version: int = 2,
    at: str = LATER,
    schema_version: int = 1,
    window: ValidityWindow | None = None,
    document: str | None = None,
) -> RecordedEvent:
    """An event of the log; of relationship r-1 when its type is about relationships."""
    payload = {} if payload is None else payload
    known = catalogue().types.get(type_)
    kind = known.stream_kind if known else HOLON
    if kind != HOLON:
        payload = {"relationshipId": "r-1", **payload}
    return RecordedEvent(
        id=f"e-{version}",
        type=type_,
        schema_version=schema_version,
        occurred_at=at,
        recorded_at=at,
        actor="tester",
        subjects=subjects,
        source_system="tests",
        payload=payload,
        stream=f"holon/{subjects[0]}" if kind == HOLON else "relationship/r-1",
        version=version,
        position=version * 10,
        source_document=document,
        validity_window=window,
    )


def holon(properties: dict[str, Any] | None = None, *, type_: str = "Agent", status: str = "active") -> Holon:
    """A holon after the first event of its stream."""
    return Holon(
        id="h-1",
        type=type_,
        properties={} if properties is None else properties,
        status=status,
        created_at=AT,
        created_by="e-1",
        source_documents=("d-1",),
        last_modified=AT,
        version=1,
        position=10,
    )


def relationship(properties: dict[str, Any] | None = None, *, end: str | None = None) -> Relationship:
    """A relationship after the first event of its stream."""
    return Relationship(
        id="r-1",
        type="OCCUPIES",
        source="h-1",
        target="h-2",
        properties={} if properties is None else properties,
        effective_start=AT,
        effective_end=end,
        authority_level="derived",
        confidence_score=0.5,
        source_system="tests",
        source_documents=("d-1",),
        created_by="e-1",
        last_modified=AT,
        version=1,
        position=10,
    )


SCALARS: list[Any] = [
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        2**31,
        2**70,
        -(2**63),
        0.5,
        -1e-9,
        1.5e300,
        "",
        "x",
        "x\n",
        "0",
        "\x00",
        "\u00e9\U0001f600",
    ),
    *(
        "Person",
        "Task",
        "OCCUPIES",
        "squadron",
        "inactive",
        "r-1",
        "2024-03-01",
        "2024-02-29",
        "2023-02-29",
        "2024-03-01\n",
    ),
    *(
        "2024-03-01T24:00:00Z",
        "0000-01-01",
        "2024-3-1",
        "2024-03-01 08:00+02:00",
        "20240301",
        "2024-03-01T08:00:00.123456789Z",
    ),
    AT,
]
NESTED: list[Any] = [
    *([], [1], [None], ["x", {"y": []}], {}, {"a": 1}, {"": None}, {"type": "Person"}, {"a": {"b": [0, False]}}),
    *({"q-1": {"status": "active"}}, {"holonType": "Task", "properties": {}}, {"a.b": "$", "_id": 1}),
]
VALUES = st.sampled_from(NESTED + SCALARS) | st.dictionaries(st.text(max_size=3), st.sampled_from(SCALARS), max_size=2)
"""Those that have broken things before, and some made up."""


@cache
def field_names(type_: str) -> tuple[str, ...]:
    """Every payload field that a type declares or reads, and one that it does not know."""
    known = catalogue().get(type_)
    declared = {field.name for field in declared_fields(known.schema, vocabulary())}
    return tuple(sorted(declared | fields_read(known.operations) | {"unheard of"}))


@st.composite
def payloads(draw: st.DrawFn, type_: str) -> dict[str, Any]:
    """Payloads of a type: its example, with fields changed, left out and added."""
    example = catalogue().get(type_).schema["examples"][0]
    left_out = draw(st.sampled_from([None, *example, "all"]))
    payload = {} if left_out == "all" else {name: value for name, value in example.items() if name != left_out}
    for _ in range(draw(st.integers(0, 3))):
        payload[draw(st.sampled_from(field_names(type_)))] = draw(VALUES)
    return payload
