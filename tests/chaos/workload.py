"""Events of the real catalogue, about a few hot holons, many cold ones, and the relationships between them."""

from __future__ import annotations

import random
import uuid
from typing import Any

from tests.support.event_log import envelope
from tests.support.poison import Envelope, poisoned

HOT, COLD, MEASURES, RELATIONSHIPS, MOVERS = 8, 400, 60, 250, 40
"""of each; movers are relationships that change their ends and types"""
HOT_SHARE = 0.3
TYPES = ("OCCUPIES", "MEMBER_OF", "PART_OF", "OPCON", "SUPPORTS")
BADGE = "badge"
"""a property that every holon has and keeps: its id, by which patterns find it"""


def relationship_ends(number: int) -> tuple[str, str, str]:
    """Type, source and target of a relationship that never changes them."""
    source = f"hot-{number % HOT}" if number % 4 == 0 else f"cold-{number % COLD}"
    return TYPES[number % len(TYPES)], source, f"cold-{(number * 7 + 1) % COLD}"


class Workload:
    """One writer's source of events; `name` is part of the ids of its new holons, so that they are unique."""

    def __init__(self, name: str, dice: random.Random) -> None:
        self._name, self._dice = name, dice
        self._made = 0

    def id(self) -> str:
        """An event id."""
        return str(uuid.UUID(int=self._dice.getrandbits(128), version=4))

    def seeds(self) -> list[Envelope]:
        """Events that create every holon and relationship that others change."""
        names = [f"hot-{n}" for n in range(HOT)] + [f"cold-{n}" for n in range(COLD)]
        events = [self._create(name) for name in names] + [self._remeasure(f"measured-{n}") for n in range(MEASURES)]
        return events + [self._start(number) for number in range(RELATIONSHIPS)]

    def event(self) -> Envelope:
        """Any event."""
        kinds = (self._new, self._recreate, self._patch, self._status, self._qualify, self._measure, self._relate)
        made: Envelope = self._dice.choices(kinds, (8, 4, 38, 12, 8, 8, 22))[0]()
        if self._dice.random() < 0.04:  # some of these have no effect, but a version of their stream
            start = self._dice.choice(["2020-01-01T00:00:00.000Z", "2030-01-01T00:00:00.000Z"])
            made["validityWindow"] = {"start": start, "end": None}
        return made

    def _envelope(self, type_: str, *subjects: str, **payload: Any) -> Envelope:
        return envelope(subjects[0], id=self.id(), type=type_, subjects=list(subjects), payload=payload)

    def _any_holon(self) -> str:
        if self._dice.random() < HOT_SHARE:
            return f"hot-{self._dice.randrange(HOT)}"
        return f"cold-{self._dice.randrange(COLD)}"

    def _new(self) -> Envelope:
        self._made += 1
        return self._create(f"new-{self._name}-{self._made}")

    def _recreate(self) -> Envelope:
        return self._create(self._any_holon())

    def _create(self, name: str) -> Envelope:
        type_ = self._dice.choice(["PersonCreated", "OrganizationCreated", "PositionCreated"])
        return self._envelope(type_, name, name=f"{name} ü", **{BADGE: name}, rank=self._dice.randrange(10))

    def _patch(self) -> Envelope:
        values = [self._dice.random(), None, "text", [1, 2, 3], {"a": [1, "x"]}, True, 2**70, self._dice.randrange(100)]
        changes = {f"k{self._dice.randrange(8)}": self._dice.choice(values) for _ in range(3)}
        type_, key = self._dice.choice(
            [("PersonModified", "diff"), ("OrganizationRealigned", "properties"), ("PositionModified", "updates")]
        )
        return self._envelope(type_, self._any_holon(), **{key: changes | {"n": self._dice.getrandbits(40)}})

    def _status(self) -> Envelope:
        type_ = self._dice.choice(["TaskStarted", "TaskBlocked", "TaskCompleted", "InitiativeStageChange"])
        if self._dice.random() < 0.1:
            return self._envelope("OrganizationDeactivated", self._any_holon())
        return self._envelope(type_, self._any_holon(), status=type_, stage=str(self._dice.randrange(9)))

    def _qualify(self) -> Envelope:
        name = self._any_holon()
        type_ = self._dice.choice(["QualificationAwarded", "QualificationRevoked", "QualificationRenewed"])
        qualification = f"q{self._dice.randrange(12)}"
        return self._envelope(type_, name, qualification, qualificationId=qualification)

    def _measure(self) -> Envelope:
        name = f"measured-{self._dice.randrange(MEASURES)}"
        if self._dice.random() < 0.05:  # lists grow until the holon is created again
            return self._remeasure(name)
        return self._envelope("MeasureEmitted", name, self._any_holon(), value=self._dice.random(), measureId="m")

    def _remeasure(self, name: str) -> Envelope:
        return self._envelope("OrganizationCreated", name, holonType="MeasureDefinition", **{BADGE: name})

    def _relate(self) -> Envelope:
        if self._dice.random() < 0.15:
            name = f"mover-{self._dice.randrange(MOVERS)}"
            return self._started(name, self._dice.choice(TYPES), self._any_holon(), self._any_holon())
        number = self._dice.randrange(RELATIONSHIPS)
        _, source, target = relationship_ends(number)
        what = self._dice.random()
        if what < 0.3:
            return self._start(number)
        if what < 0.6:
            return self._envelope("AssignmentEnded", source, target, relationshipId=f"rel-{number}")
        changes = {"note": self._dice.getrandbits(30), f"k{self._dice.randrange(4)}": self._dice.random()}
        return self._envelope(
            "AssignmentCorrected", source, target, relationshipId=f"rel-{number}", corrections=changes
        )

    def _start(self, number: int) -> Envelope:
        return self._started(f"rel-{number}", *relationship_ends(number))

    def _started(self, name: str, type_: str, source: str, target: str) -> Envelope:
        return self._envelope(
            "AssignmentStarted", source, target,
            relationshipId=name, relationshipType=type_, properties={"since": self._dice.randrange(100)},
        )  # fmt: skip


def poison(number: int, dice: random.Random) -> list[Envelope]:
    """A stream of its own; the third event cannot be applied."""
    work = Workload("poison", dice)
    return [{**event, "id": work.id()} for event in poisoned(f"poor-{number}")]


CREATING = {
    *("PersonCreated", "OrganizationCreated", "PositionCreated", "AssignmentStarted"),
    *("TaskStarted", "TaskBlocked", "TaskCompleted", "InitiativeStageChange"),
}
"""event types after which the entity exists, if they have no validityWindow"""
