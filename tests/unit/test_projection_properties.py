"""Properties of the fold that hold for any log."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holonstream.schemas.errors import CannotApply, InvalidEvent
from holonstream.schemas.event import RecordedEvent
from holonstream.schemas.projection import apply, fold, modifications
from holonstream.schemas.state import HOLON, State
from tests.unit.schema_support import catalogue, event, holon, payloads, relationship

TYPES = sorted(catalogue().types)


@st.composite
def logs(draw: st.DrawFn) -> list[RecordedEvent]:
    """Logs of valid events on few entities, so that each entity gets several.

    What the state of its entity does not allow is left out, as a sink leaves out what it parks.
    """
    states: dict[str, State] = {}
    versions: dict[str, int] = {}
    log: list[RecordedEvent] = []
    for position in range(1, draw(st.integers(0, 20)) + 1):
        type_ = draw(st.sampled_from(TYPES))
        known = catalogue().get(type_)
        payload = draw(payloads(type_))
        if known.stream_kind != HOLON:
            payload["relationshipId"] = draw(st.sampled_from(["r-1", "r-2"]))
        if not known.validator.is_valid(payload):
            continue
        subjects = (draw(st.sampled_from(["h-1", "h-2", "h-3"])), "h-9")
        candidate = event(type_, payload, subjects=subjects, at=f"2024-03-01T08:{position * 7 % 60:02}:00.000Z")
        stream = known.stream(candidate)
        version = versions.get(stream, 0) + 1
        recorded = RecordedEvent(
            **{
                **{field: getattr(candidate, field) for field in RecordedEvent.__struct_fields__},
                "id": f"e-{position}",
                "stream": stream,
                "version": version,
                "position": position,
            }
        )
        try:
            states = fold(catalogue(), [recorded], states=states)
        except CannotApply:
            continue
        versions[stream] = version
        log.append(recorded)
    return log


@settings(max_examples=40, deadline=None)
@given(logs(), st.lists(st.integers(1, 7), max_size=10))
def test_batches_of_any_size_fold_to_the_same_states(log: list[RecordedEvent], sizes: list[int]) -> None:
    one_by_one: dict[str, State] = {}
    for entry in log:
        one_by_one = fold(catalogue(), [entry], states=one_by_one)
    in_batches: dict[str, State] = {}
    rest = log
    for size in [*sizes, len(log)]:
        run, rest = rest[:size], rest[size:]
        in_batches = fold(catalogue(), run, states=in_batches)
    assert one_by_one == in_batches == fold(catalogue(), log)


@settings(max_examples=40, deadline=None)
@given(logs(), st.data())
def test_a_replay_of_any_suffix_changes_nothing(log: list[RecordedEvent], data: st.DataObject) -> None:
    states = fold(catalogue(), log)
    suffix = log[data.draw(st.integers(0, len(log))) :]
    assert fold(catalogue(), suffix, states=states) == states
    assert modifications(catalogue(), [*log, *suffix]) == modifications(catalogue(), log)


@settings(max_examples=40, deadline=None)
@given(logs())
def test_only_the_entity_of_the_stream_changes(log: list[RecordedEvent]) -> None:
    states: dict[str, State] = {}
    for entry in log:
        after = fold(catalogue(), [entry], states=states)
        assert {k: v for k, v in after.items() if k != entry.stream} == {
            k: v for k, v in states.items() if k != entry.stream
        }
        state = after.get(entry.stream)
        assert state is None or (state.version, state.position) == (entry.version, entry.position)
        assert state is None or entry.stream.endswith(f"/{state.id}")
        states = after


@settings(max_examples=40, deadline=None)
@given(logs())
def test_states_and_payloads_are_not_changed(log: list[RecordedEvent]) -> None:
    before = deepcopy(log)
    states: dict[str, State] = {}
    for entry in log:
        copies = deepcopy(states)
        after = fold(catalogue(), [entry], states=states)
        assert states == copies
        states = after
    assert log == before


@pytest.mark.parametrize("type_", TYPES)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_append_accepts_what_the_fold_accepts(type_: str, data: st.DataObject) -> None:
    """Rule 7 of 3.1. The fold is asked for an entity that is not there and for a plain one; the door knows neither."""
    payload: dict[str, Any] = data.draw(payloads(type_))
    known = catalogue().get(type_)
    if known.stream_kind != HOLON:
        payload.setdefault("relationshipId", "r-1")
    candidate = event(type_, payload)
    folds = True
    for state in (None, holon() if known.stream_kind == HOLON else relationship()):
        try:
            apply(catalogue(), state, candidate)
        except CannotApply:
            folds = False
    takes = True
    try:
        known.check(payload, None)
    except InvalidEvent:
        takes = False
    identity = payload.get("relationshipId")
    if known.stream_kind == HOLON or (isinstance(identity, str) and identity):
        assert takes == folds
    else:
        assert not takes
