"""What an event does to its entity: the closed vocabulary of ``x-projection`` (docs/domain.md, Operations).

An event type's rule is a list of operations. `schemas.rules` reads it once from the JSON Schema, `schemas.effects`
carries it out. Operations read the event through expressions, which are a closed vocabulary too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final


class _Absent:
    """The value of an expression whose source is not there."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = _Absent()


def present(value: Any) -> bool:
    """Whether a value is none of: absent, null, false, 0, the empty string. Empty objects and arrays are present."""
    return not (
        value is ABSENT or value is None or value is False or value == "" or (value == 0 and value is not False)
    )


# --- expressions ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Const:
    """Always this value."""

    value: Any


@dataclass(frozen=True, slots=True)
class EnvelopeField:
    """A field of the envelope: ``id``, ``type`` or ``occurredAt``."""

    field: str


@dataclass(frozen=True, slots=True)
class PayloadField:
    """A field of the payload as it is, null too; absent when the payload lacks it."""

    field: str


@dataclass(frozen=True, slots=True)
class FirstPresent:
    """The first present of some payload fields, else another expression (absent when there is none)."""

    fields: tuple[str, ...]
    otherwise: Expression | None = None


@dataclass(frozen=True, slots=True)
class Object:
    """An object of expressions; keys whose value is absent are left out."""

    members: tuple[tuple[str, Expression], ...]


Expression = Const | EnvelopeField | PayloadField | FirstPresent | Object

# --- operations ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CreateHolon:
    """Make the holon, or replace it whole. The payload may name another type than `type`."""

    type: str


@dataclass(frozen=True, slots=True)
class PatchHolon:
    """Lay the first present of `sources` over the properties, one level deep."""

    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SetStatus:
    """Set the holon's status (``deactivate_holon``)."""

    status: str


@dataclass(frozen=True, slots=True)
class SetPresent:
    """Copy those of `keys` that are present in the payload. `otherwise` creates a holon that does not exist."""

    keys: tuple[str, ...]
    otherwise: CreateHolon | None


@dataclass(frozen=True, slots=True)
class SetProperty:
    """Set one property. Nothing happens without a value, or when no payload field of `if_present` is present."""

    property: str
    value: Expression
    if_present: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PutInMap:
    """Put an entry into a map property under the key that payload field `key` holds.

    A key that is a number or true counts by its JSON text.
    """

    property: str
    key: str
    value: Expression


@dataclass(frozen=True, slots=True)
class AppendToList:
    """Append an entry to a list property. Without a value only the list is made, if it does not exist."""

    property: str
    value: Expression


@dataclass(frozen=True, slots=True)
class CreateRelationship:
    """Make the relationship, or replace it whole."""


@dataclass(frozen=True, slots=True)
class EndRelationship:
    """Set the relationship's effective end."""


@dataclass(frozen=True, slots=True)
class CorrectRelationship:
    """Lay ``payload.corrections`` over the relationship's properties."""


Operation = (
    CreateHolon
    | PatchHolon
    | SetStatus
    | SetPresent
    | SetProperty
    | PutInMap
    | AppendToList
    | CreateRelationship
    | EndRelationship
    | CorrectRelationship
)
