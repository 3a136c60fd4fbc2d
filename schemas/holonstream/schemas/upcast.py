"""Lifting a payload from one schema version to the next: the closed vocabulary of ``x-upcast``, and its meaning.

Steps work on top-level fields, in order. A step whose field is absent does nothing, unless it sets one. Pure: the
payload given is not changed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, assert_never

from holonstream.schemas.operation import present


@dataclass(frozen=True, slots=True)
class Rename:
    """`field` gets the name `to`, in place of a field that has it."""

    field: str
    to: str


@dataclass(frozen=True, slots=True)
class Move:
    """`field` goes into the object field `under`, which is made when not present. It stays where it is when `under` is
    no object."""

    field: str
    under: str


@dataclass(frozen=True, slots=True)
class Remove:
    """`field` is left out."""

    field: str


@dataclass(frozen=True, slots=True)
class Set:
    """`field` becomes `value`, also where it has another."""

    field: str
    value: Any


@dataclass(frozen=True, slots=True)
class Default:
    """`field` is `value` when it is absent."""

    field: str
    value: Any


Step = Rename | Move | Remove | Set | Default


def lift(payload: dict[str, Any], steps: Iterable[Step]) -> dict[str, Any]:
    """The payload in its new shape."""
    lifted = dict(payload)
    for step in steps:
        match step:
            case Rename(field, to):
                if field in lifted:
                    lifted[to] = lifted.pop(field)
            case Move(field, under):
                holder = lifted.get(under)
                if field in lifted and field != under and (isinstance(holder, dict) or not present(holder)):
                    value = lifted.pop(field)
                    lifted[under] = {**(holder or {}), field: value}
            case Remove(field):
                lifted.pop(field, None)
            case Set(field, value):
                lifted[field] = value
            case Default(field, value):
                lifted.setdefault(field, value)
            case _:
                assert_never(step)
    return lifted
