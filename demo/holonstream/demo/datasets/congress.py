"""The United States Congress as events: who served, in which seat, for which party, on which committees.

Chambers, parties, committees and subcommittees are Organizations, seats in a chamber are Positions, members are
Persons. A term is an OCCUPIES relationship from the person to the seat, ended once the term is over; a stretch of terms
for one party is a MEMBER_OF; a place on a committee is a MEMBER_OF; chambers CONTAIN committees, and these their
subcommittees. Source: unitedstates/congress-legislators (CC0), in the three files that `read` takes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from holonstream.schemas import jsontext
from holonstream.schemas.errors import BadData
from holonstream.schemas.event import Event

TAKEN_ON = "2026-06-15"
"""The day of the data: terms that end later are open, and committee places are known from this day."""

FILES = ("legislators.jsonl", "committees.jsonl", "memberships.jsonl")
CHAMBERS = {"house": "House of Representatives", "senate": "Senate"}


def read(folder: Path) -> list[Event]:
    """The events of the data set in `folder`, in the order of their dates.

    Raises BadData when a file is missing or a line is no JSON.
    """
    legislators, committees, memberships = (_lines(folder / name) for name in FILES)
    factory = EnvelopeFactory("congress-legislators", "congress-import")
    founded = min(term["start"] for person in legislators for term in person["terms"])
    events = [
        *_organisations(factory, founded, legislators, committees),
        *_seats(factory, founded, legislators),
        *(event for person in legislators for event in _person(factory, person)),
        *_committee_places(factory, memberships),
    ]
    return sorted(events, key=lambda event: event.occurred_at)  # stable: what happened on one day stays in this order


class EnvelopeFactory:
    """Makes events whose ids follow from their names, so that the same files always give the same events."""

    def __init__(self, source_system: str, actor: str) -> None:
        self._source_system = source_system
        self._actor = actor
        self._namespace = uuid5(NAMESPACE_URL, f"urn:holonstream:dataset:{source_system}")

    def event(self, name: str, type_: str, day: str, subjects: Sequence[str], payload: dict[str, Any]) -> Event:
        """An event that happened at midnight (UTC) of an ISO day; `name` must be unique in the data set."""
        return Event(
            id=str(uuid5(self._namespace, name)),
            type=type_,
            occurred_at=f"{day}T00:00:00.000Z",
            actor=self._actor,
            subjects=tuple(subjects),
            payload=payload,
            source_system=self._source_system,
        )


def _lines(file: Path) -> list[dict[str, Any]]:
    try:
        return [jsontext.decode(line) for line in file.read_bytes().splitlines() if line]
    except OSError as error:
        raise BadData(f"Cannot read {file}: {error.strerror} (a congress data set has {', '.join(FILES)})") from error


def _organisations(
    factory: EnvelopeFactory, day: str, legislators: list[dict[str, Any]], committees: list[dict[str, Any]]
) -> Iterator[Event]:
    for chamber, name in CHAMBERS.items():
        yield _organisation(factory, day, chamber, name, "chamber")
    for party in sorted({term["party"] for person in legislators for term in person["terms"]}):
        yield _organisation(factory, day, party_id(party), party, "party")
    for committee in committees:
        yield _organisation(factory, day, committee["id"], committee["name"], f"{committee['type']} committee")
        for chamber in CHAMBERS if committee["type"] == "joint" else (committee["type"],):
            yield _contains(factory, day, chamber, committee["id"])
        for sub in committee["subcommittees"]:
            yield _organisation(factory, day, sub["id"], sub["name"], "subcommittee")
            yield _contains(factory, day, committee["id"], sub["id"])


def _organisation(factory: EnvelopeFactory, day: str, id_: str, name: str, kind: str) -> Event:
    return factory.event(f"organisation/{id_}", "OrganizationCreated", day, [id_], {"name": name, "type": kind})


def _contains(factory: EnvelopeFactory, day: str, whole: str, part: str) -> Event:
    return _started(factory, day, f"contains/{whole}/{part}", "CONTAINS", whole, part, {})


def _seats(factory: EnvelopeFactory, day: str, legislators: list[dict[str, Any]]) -> Iterator[Event]:
    seats = {seat_id(term): term for person in legislators for term in person["terms"]}
    for id_, term in sorted(seats.items()):
        chamber = _chamber(term)
        where = {key: term[key] for key in ("state", "district", "class") if key in term}
        payload = {"title": "Senator" if chamber == "senate" else "Representative", "orgId": chamber, **where}
        yield factory.event(f"seat/{id_}", "PositionCreated", day, [id_, chamber], payload)
        yield _started(factory, day, f"belongs/{id_}", "BELONGS_TO", id_, chamber, {})


def _person(factory: EnvelopeFactory, person: dict[str, Any]) -> Iterator[Event]:
    id_, terms = person["id"], sorted(person["terms"], key=lambda term: term["start"])
    name = person["name"]
    properties = {
        "name": name.get("official_full") or f"{name['first']} {name['last']}",
        "names": name,
        **person["bio"],
    }
    yield factory.event(f"person/{id_}", "PersonCreated", terms[0]["start"], [id_], {"properties": properties})
    party, stretch = None, 0
    for number, term in enumerate(terms, 1):
        relationship, seat = f"term/{id_}/{number}", seat_id(term)
        yield _started(
            factory, term["start"], relationship, "OCCUPIES", id_, seat, {"term": number, "party": term["party"]}
        )
        if term["end"] <= TAKEN_ON:
            yield _ended(factory, term["end"], relationship, id_, seat)
        if party != term["party"]:
            if party is not None:
                yield _ended(factory, term["start"], f"party/{id_}/{stretch}", id_, party_id(party))
            party, stretch = term["party"], number
            yield _started(factory, term["start"], f"party/{id_}/{stretch}", "MEMBER_OF", id_, party_id(party), {})


def _committee_places(factory: EnvelopeFactory, memberships: list[dict[str, Any]]) -> Iterator[Event]:
    for place in memberships:
        committee, person = place["committee"], place["person"]
        properties = {"side": place["party"], "rank": place["rank"], "title": place["title"]}
        yield _started(factory, TAKEN_ON, f"place/{committee}/{person}", "MEMBER_OF", person, committee, properties)


def _started(
    factory: EnvelopeFactory, day: str, id_: str, type_: str, source: str, target: str, properties: dict[str, Any]
) -> Event:
    payload = {"relationshipId": id_, "relationshipType": type_, "properties": properties}
    return factory.event(f"started/{id_}", "AssignmentStarted", day, [source, target], payload)


def _ended(factory: EnvelopeFactory, day: str, id_: str, source: str, target: str) -> Event:
    payload = {"relationshipId": id_, "endDate": f"{day}T00:00:00.000Z"}
    return factory.event(f"ended/{id_}", "AssignmentEnded", day, [source, target], payload)


def _chamber(term: dict[str, Any]) -> str:
    return "senate" if term["type"] == "sen" else "house"


def seat_id(term: dict[str, Any]) -> str:
    """The holon id of the seat that a term fills: ``house/WA/1``, ``senate/WA/class-1``."""
    place = f"class-{term['class']}" if term["type"] == "sen" else term["district"]
    return f"{_chamber(term)}/{term['state']}/{place}"


def party_id(party: str) -> str:
    """The holon id of a party: ``party/Democrat``."""
    return f"party/{party}"
