"""The Coastal Rescue Service: a made-up organisation, and what became of it from 2005 to mid-2026."""

from __future__ import annotations

from holonstream.demo.datasets import PERSONS
from holonstream.demo.datasets.history import History
from holonstream.demo.datasets.service import FIRST_DAY, LAST_DAY, Service
from holonstream.demo.datasets.work import Work
from holonstream.schemas.event import Event


def generate(persons: int = PERSONS, seed: int = 1) -> list[Event]:
    """All that happened in a service of about so many persons, in the order in which it was recorded.

    The same arguments give the same events, on every machine. About 55 events a person, of every type of the catalogue.
    """
    history = History(f"organisation-{persons}-{seed}", seed, FIRST_DAY, LAST_DAY)
    service = Service(history, persons)
    work = Work(history, service)
    history.on(FIRST_DAY, service.found)
    history.on(FIRST_DAY, work.found)
    return history.run()
