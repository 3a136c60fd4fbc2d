"""What the demo runs on, and what it asks afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from holonstream.demo.datasets import congress, organisation
from holonstream.schemas.event import Event

SHARED = Path("../shared/data/congress")
"""Where the congress files lie beside a checkout, if they do"""


@dataclass(frozen=True)
class DataSet:
    """Events, and the holons that the questions are about."""

    name: str
    events: list[Event]
    person: str
    """holon id of a person"""
    whole: str
    """holon id of an organisation"""
    question: str
    """what is asked of the organisation: which holons point to it by `relationship`"""
    relationship: str


def load(folder: Path | None, persons: int, seed: int) -> DataSet:
    """The congress files of `folder` (by default those in the usual place), else a made-up organisation.

    Raises BadData when the files cannot be read.
    """
    if folder is None and SHARED.is_dir():
        folder = SHARED
    if folder is None:
        events = list(organisation.generate(persons, seed))
        whole = organisation.unit_id(1)
        return DataSet(
            f"an organisation of {persons:,} persons (seed {seed})",
            events,
            "person-0",
            whole,
            f"Which posts belong to {whole}?",
            "BELONGS_TO",
        )
    return DataSet(
        f"the United States Congress ({folder})",
        congress.read(folder),
        "C000127",
        "SSAF",
        "Who sits on the Senate Committee on Agriculture, Nutrition, and Forestry?",
        "MEMBER_OF",
    )
