"""What the demo runs on, and what it asks afterwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from holonstream.demo.datasets import congress, organisation
from holonstream.schemas.event import Event
from holonstream.sinks.store import HolonPattern, Pattern, PatternMatch, RelationshipPattern


@dataclass(frozen=True)
class DataSet:
    """Events, and the questions about them."""

    name: str
    events: list[Event]
    person: str
    """holon id of a person"""
    question: str
    """what `pattern` asks"""
    pattern: Pattern
    answer: Callable[[PatternMatch], str]
    """a match in words"""


def load(folder: Path | None, persons: int, seed: int) -> DataSet:
    """The congress files of `folder`, or the made-up organisation when there is none.

    Raises BadData when the files cannot be read.
    """
    return _organisation(persons, seed) if folder is None else _congress(folder)


def _organisation(persons: int, seed: int) -> DataSet:
    events = organisation.generate(persons, seed)
    post = "post/coastal-rescue/director"
    directors = [
        event.subjects[0] for event in events if event.type == "AssignmentStarted" and post in event.subjects[1:]
    ]
    return DataSet(
        f"the Coastal Rescue Service from 2005 to 2026, made up (seed {seed})",
        events,
        directors[-1],
        "Who commands the stations?",
        Pattern(
            holons=(
                HolonPattern(alias="station", type="Organization", properties={"type": "station"}),
                HolonPattern(alias="post", type="Position", properties={"title": "Station Officer"}),
                HolonPattern(alias="officer", type="Person"),
            ),
            relationships=(
                RelationshipPattern(
                    type="BELONGS_TO", source_alias="post", target_alias="station", include_ended=False
                ),
                RelationshipPattern(type="OCCUPIES", source_alias="officer", target_alias="post", include_ended=False),
            ),
        ),
        lambda match: f"{match.holons['station'].properties['name']}: {match.holons['officer'].properties['name']}",
    )


def _congress(folder: Path) -> DataSet:
    committee = "Senate Committee on Agriculture, Nutrition, and Forestry"
    return DataSet(
        f"the United States Congress ({folder})",
        congress.read(folder),
        "C000127",
        f"Who sits on the {committee}?",
        Pattern(
            holons=(
                HolonPattern(alias="committee", type="Organization", properties={"name": committee}),
                HolonPattern(alias="member", type="Person"),
            ),
            relationships=(
                RelationshipPattern(
                    type="MEMBER_OF", source_alias="member", target_alias="committee", include_ended=False
                ),
            ),
        ),
        lambda match: f"{match.holons['member'].properties['name']}, {match.relationships[0].properties['side']}",
    )
