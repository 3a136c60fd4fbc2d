"""A made-up organisation: units in a tree, positions in them, persons who hold these, move and leave."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from random import Random

from holonstream.demo.datasets.envelope import EnvelopeFactory
from holonstream.schemas.event import Event

FIRST_DAY = date(2020, 1, 1)
UNIT_SIZE = 40  # persons of a unit
BRANCHES = 5  # units below a unit
GIVEN = (
    "Ada",
    "Ben",
    "Chi",
    "Dana",
    "Eli",
    "Fay",
    "Gus",
    "Hana",
    "Ivo",
    "Jun",
    "Kim",
    "Lea",
    "Max",
    "Nia",
    "Oto",
    "Pia",
)
FAMILY = (
    "Adler",
    "Brandt",
    "Castro",
    "Dubois",
    "Eriksen",
    "Fontana",
    "Gupta",
    "Haas",
    "Ito",
    "Jansen",
    "Kowal",
    "Lopez",
)
RANKS = ("E-4", "E-5", "E-6", "O-1", "O-2", "O-3", "O-4")


def generate(persons: int, seed: int) -> Iterator[Event]:
    """About 4.3 events a person; the same for the same arguments. Events of one entity come in order."""
    random = Random(seed)
    factory = EnvelopeFactory(f"organisation-{persons}-{seed}", "demo")
    units = max(1, persons // UNIT_SIZE)
    for unit in range(units):
        parent = unit_id((unit - 1) // BRANCHES) if unit else None
        payload = {"name": f"Unit {unit}", "type": "division" if unit <= BRANCHES else "unit", "parentId": parent}
        yield factory.event(f"unit/{unit}", "OrganizationCreated", _day(0), [unit_id(unit)], payload)
        if parent:
            relationship = {"relationshipId": f"contains-{unit}", "relationshipType": "CONTAINS"}
            yield factory.event(f"contains/{unit}", "AssignmentStarted", _day(0), [parent, unit_id(unit)], relationship)
    for number in range(persons):
        person, position, unit_ = f"person-{number}", f"position-{number}", unit_id(number % units)
        hired = random.randrange(1, 1500)
        name = f"{random.choice(GIVEN)} {random.choice(FAMILY)}"
        personal = {"name": name, "rank": random.choice(RANKS), "email": f"{person}@example.test"}
        seat = {"title": f"Post {number}", "orgId": unit_}
        yield factory.event(f"person/{number}", "PersonCreated", _day(hired), [person], personal)
        yield factory.event(f"position/{number}", "PositionCreated", _day(0), [position, unit_], seat)
        job = {
            "relationshipId": f"occupies-{number}",
            "relationshipType": "OCCUPIES",
            "properties": {"role": "primary"},
        }
        yield factory.event(f"occupies/{number}", "AssignmentStarted", _day(hired), [person, position], job)
        member = {"relationshipId": f"belongs-{number}", "relationshipType": "BELONGS_TO"}
        yield factory.event(f"belongs/{number}", "AssignmentStarted", _day(0), [position, unit_], member)
        if random.random() < 0.2:
            promotion = {"diff": {"rank": random.choice(RANKS)}}
            yield factory.event(f"promoted/{number}", "PersonModified", _day(hired + 200), [person], promotion)
        if random.random() < 0.1:
            end = {"relationshipId": f"occupies-{number}"}
            yield factory.event(f"left/{number}", "AssignmentEnded", _day(hired + 400), [person, position], end)


def unit_id(number: int) -> str:
    """The holon id of a unit; unit 0 is the root, and the parent of unit n is (n - 1) // 5."""
    return f"unit-{number}"


def _day(number: int) -> str:
    return (FIRST_DAY + timedelta(days=number)).isoformat()
