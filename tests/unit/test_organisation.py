"""The made-up organisation: the same for the same arguments, of every type, and a history that makes sense."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

import pytest

from holonstream.demo.datasets.organisation import generate
from holonstream.schemas.event import Event
from holonstream.schemas.projection import apply, recorded
from holonstream.schemas.state import Holon, Relationship, State
from tests.unit.schema_support import catalogue

NO_EFFECT = {"CalendarEventCreated", "CalendarEventModified", "CalendarEventCancelled"}


@pytest.fixture(scope="module")
def events() -> list[Event]:
    return generate()


def test_the_same_arguments_give_the_same_events(events: list[Event]) -> None:
    assert generate() == events
    assert generate(seed=2) != events
    assert len({event.id for event in events}) == len(events)
    assert 11_000 < len(events) < 13_000


def test_it_has_events_of_every_type(events: list[Event]) -> None:
    assert {event.type for event in events} == set(catalogue().types)


@pytest.mark.parametrize("persons", [1, 12, 60])
def test_it_may_be_small(persons: int) -> None:
    assert len(_fold(generate(persons))) > 200


def test_every_event_has_an_effect_and_every_end_exists(events: list[Event]) -> None:
    states = _fold(events)
    for state in states.values():
        if isinstance(state, Relationship):
            assert f"holon/{state.source}" in states
            assert f"holon/{state.target}" in states


def _fold(events: list[Event]) -> dict[str, State]:
    states: dict[str, State] = {}
    for event in recorded(catalogue(), events):
        after = apply(catalogue(), states.get(event.stream), event)
        assert event.type in NO_EFFECT or after != states.get(event.stream), event
        if after is not None:
            states[event.stream] = after
    return states


def test_a_post_has_one_holder_at_a_time_and_a_person_one_post(events: list[Event]) -> None:
    states = _fold(events)
    held: dict[tuple[str, str], list[Relationship]] = defaultdict(list)
    for state in states.values():
        if isinstance(state, Relationship) and state.type == "OCCUPIES" and state.properties["role"] == "primary":
            held["post", state.target].append(state)
            held["person", state.source].append(state)
    for postings in held.values():
        postings.sort(key=lambda posting: posting.effective_start)
        for before, after in pairwise(postings):
            assert before.effective_end is not None
            assert before.effective_end <= after.effective_start
    posts = [state for state in states.values() if isinstance(state, Holon) and state.type == "Position"]
    acting = {
        s.target
        for s in states.values()
        if isinstance(s, Relationship)
        and s.type == "OCCUPIES"
        and s.properties["role"] == "acting"
        and not s.effective_end
    }
    assert not acting & {
        id_ for (kind, id_), postings in held.items() if kind == "post" and not postings[-1].effective_end
    }
    taken = [postings for (kind, _), postings in held.items() if kind == "post" and not postings[-1].effective_end]
    assert len(taken) > 0.9 * sum(post.status == "active" for post in posts)


def test_some_facts_are_recorded_late_and_some_are_corrected(events: list[Event]) -> None:
    late = [after for before, after in pairwise(events) if after.occurred_at < before.occurred_at]
    assert {"AssignmentStarted", "QualificationAwarded"} == {event.type for event in late}
    assert sum(event.type == "AssignmentCorrected" for event in events) > 10
    assert sum(event.validity_window is not None for event in events) > 30
