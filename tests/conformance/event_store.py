"""What every event log must do (`producers.log.store.EventStore`): subclass EventStoreContract and say which one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace

from holonstream.producers.errors import EventIdConflict, EventTooLarge, WrongExpectedVersion
from holonstream.producers.log.append import new_event_id
from holonstream.producers.log.store import EventStore
from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.errors import InvalidEvent, UnknownEventType
from holonstream.schemas.event import Event, ValidityWindow
from holonstream.schemas.token import Token
from tests.support.event_log import person

CATALOGUE = Catalogue.load()


def assignment(relationship: str, **changes: Any) -> Event:
    """An event that creates a relationship; `changes` are envelope fields."""
    payload = {"relationshipId": relationship, "relationshipType": "OCCUPIES"}
    return replace(person(type="AssignmentStarted", payload=payload, subjects=("person-1", "position-1")), **changes)


def refused(fault: str) -> str:
    return f"Invalid event: {fault} (event {{id}}, number 2 of the call)"


def nested(levels: int) -> Any:
    """A list in a list, and so on."""
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


class EventStoreContract(ABC):
    """The suite. Positions rise, and may have gaps."""

    @pytest.fixture
    @abstractmethod
    def store(self) -> EventStore:
        """An empty log that knows CATALOGUE."""

    def test_streams_follow_from_the_events_and_versions_are_dense(self, store: EventStore) -> None:
        appended = store.append([person("a"), person("b"), person("a"), assignment("r"), person("a")])
        assert [(a.stream, a.version) for a in appended] == [
            ("holon/a", 1),
            ("holon/b", 1),
            ("holon/a", 2),
            ("relationship/r", 1),
            ("holon/a", 3),
        ]
        assert [a.position for a in appended] == sorted(a.position for a in appended)
        assert store.append([person("a")])[0].version == 4
        assert appended[1].token == Token({"holon/b": appended[1].position})

    def test_an_event_comes_back_as_it_was_given(self, store: EventStore) -> None:
        event = person(
            id=new_event_id(),
            occurred_at="2024-03-01T08:00:00.123456Z",
            subjects=("person-1", 'q"uote\\', "nämé"),
            payload={"n": 2**200, "f": 1.5, "deep": {"list": [None, True, {"": "é\n\u2028"}]}, "e": 1e3, "empty": {}},
            source_document="doc-1",
            validity_window=ValidityWindow(start="2024-01-01T00:00:00Z"),
            causal_links={"causedBy": ["x"]},
            traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        )
        (appended,) = store.append([event])
        found = store.get_event(appended.id)
        assert found is not None
        for name in event.__struct_fields__:
            expected = 1 if name == "schema_version" else getattr(event, name)
            assert getattr(found, name) == expected, name
        assert (found.stream, found.version, found.position) == (appended.stream, 1, appended.position)
        assert found.recorded_at.endswith("Z")
        assert len(found.recorded_at) == len("2024-03-01T08:00:00.000Z")
        assert store.get_event(str(uuid4())) is None
        assert store.get_event(UUID(appended.id)) == found

    def test_the_same_event_again_gives_the_first_result(self, store: EventStore) -> None:
        events = [person("a", id=new_event_id()), person("b", id=new_event_id()), person("a", id=new_event_id())]
        first = store.append(events, expected={"holon/a": 0, "holon/b": 0})
        again = store.append([replace(e, traceparent="other") for e in events], expected={"holon/a": 0, "holon/b": 0})
        assert again == first
        assert store.append([events[2]]) == [first[2]]
        assert store.append([person("a")])[0].version == 3

    def test_a_call_may_mix_new_events_and_known_ones(self, store: EventStore) -> None:
        known, new, twice = (person("a", id=new_event_id()) for _ in range(3))
        (first,) = store.append([known])
        appended = store.append([new, known, twice, twice], expected={"holon/a": 1})
        assert [a.version for a in appended] == [2, 1, 3, 3]
        assert appended[1] == first
        assert [e.id for e in store.read_stream("holon/a")] == [known.id, new.id, twice.id]

    @pytest.mark.parametrize(
        "change",
        [{"actor": "other"}, {"subjects": ("b",)}, {"payload": {"name": "x"}}, {"occurred_at": "2024-03-02T00:00:00Z"}],
    )
    def test_the_same_id_with_other_content_is_a_conflict(self, store: EventStore, change: dict[str, Any]) -> None:
        event = person("a", id=new_event_id())
        store.append([event])
        with pytest.raises(EventIdConflict, match=rf"{event.id}.*stream holon/a version 1"):
            store.append([person("c"), replace(event, **change)])
        other = person("a", id=new_event_id())
        with pytest.raises(EventIdConflict, match="twice in one call"):
            store.append([other, replace(other, **change)])
        assert [e.id for e in store.read()] == [event.id]
        assert store.append([person("c")])[0].version == 1

    def test_repetitions_at_the_same_time_write_once(self, store: EventStore) -> None:
        events = [person(f"p-{n}", id=new_event_id()) for n in range(20)]
        with ThreadPoolExecutor(4) as pool:
            results = list(pool.map(lambda _: store.append(events), range(8)))
        assert all(result == results[0] for result in results)
        assert [e.version for e in store.read()] == [1] * 20

    def test_expected_versions(self, store: EventStore) -> None:
        store.append([person("a")], expected={"holon/a": 0})
        store.append([person("a"), person("a"), person("b")], expected={"holon/a": 1})
        with pytest.raises(WrongExpectedVersion, match="stream holon/a is at version 3, expected 1") as raised:
            store.append([person("b"), person("a")], expected={"holon/a": 1})
        assert (raised.value.stream, raised.value.expected, raised.value.actual) == ("holon/a", 1, 3)
        with pytest.raises(WrongExpectedVersion, match="stream holon/new is at version 0, expected 4"):
            store.append([person("a")], expected={"holon/new": 4})
        assert [e.version for e in store.read_stream("holon/b")] == [1]
        store.append([person("new")], expected={"holon/new": 0, "holon/a": 3})

    @pytest.mark.parametrize(
        "wrong", [{"a": 0}, {"Holon/a": 0}, {"holon/": 0}, {"holon/a": "0"}, {"holon/a": True}, {"holon/a": -1}]
    )
    def test_expected_versions_that_no_stream_can_have(self, store: EventStore, wrong: dict[str, Any]) -> None:
        with pytest.raises(InvalidEvent, match=r"Invalid expected versions: .* a stream is holon/<id> or"):
            store.append([person("a")], expected=wrong)
        assert list(store.read()) == []

    def test_places_before_the_beginning(self, store: EventStore) -> None:
        store.append([person("a"), person("a"), person("b")])
        assert [e.position for e in store.read(-2)] == [1, 2, 3]
        assert [e.version for e in store.read_stream("holon/a", -1)] == [1, 2]
        assert [e.position for e in store.get_events(after=-1)] == [1, 2, 3]
        assert list(store.read(0, until=-1)) == list(store.get_events(limit=-1)) == []

    def test_of_two_appends_that_expect_the_same_one_wins(self, store: EventStore) -> None:
        def attempt(_: int) -> bool:
            try:
                store.append([person("a")], expected={"holon/a": 0})
            except WrongExpectedVersion:
                return False
            return True

        with ThreadPoolExecutor(4) as pool:
            assert sum(pool.map(attempt, range(8))) == 1

    @pytest.mark.parametrize(
        ("wrong", "error", "message"),
        [
            (person(type="Nothing"), UnknownEventType, None),
            (person(schema_version=99), UnknownEventType, None),
            (
                person(subjects=()),
                InvalidEvent,
                "Missing subject: PersonCreated (event {id}) needs 1 (person), has 0",
            ),
            (
                assignment("r", payload={"relationshipId": "r"}),
                InvalidEvent,
                'Invalid payload: AssignmentStarted (event {id}): payload: "relationshipType" is a required property',
            ),
            (
                assignment("r" * 1001),
                InvalidEvent,
                f"Invalid event: relationshipId must be a string of 1 to 1000 bytes, is {'r' * 80} (event {{id}})",
            ),
            (person(id="17"), InvalidEvent, refused("id is not a UUID: 17")),
            (person(id=17), InvalidEvent, refused("id must be a string, is 17")),
            (person(actor=""), InvalidEvent, refused('actor must be a non-empty string, is ""')),
            (
                person(actor=None, source_system=7),
                InvalidEvent,
                refused("sourceSystem must be a non-empty string, is 7"),
            ),
            (person(actor="a" * 1001), InvalidEvent, refused("actor has 1001 bytes, at most 1000 are taken")),
            (
                person(occurred_at="yesterday"),
                InvalidEvent,
                refused("occurredAt is not an ISO-8601 instant: yesterday"),
            ),
            (
                person(occurred_at="2024-13-01"),
                InvalidEvent,
                refused("occurredAt is not an ISO-8601 instant: 2024-13-01"),
            ),
            (person(occurred_at="now"), InvalidEvent, refused("occurredAt is not an ISO-8601 instant: now")),
            (person(causal_links=[1]), InvalidEvent, refused("causalLinks must be an object, is array")),
            (
                person(payload={"a": nested(200)}),
                InvalidEvent,
                refused("payload or causalLinks are nested more than 200 levels deep"),
            ),
            (
                person(validity_window={"start": "2024-02-01", "end": "2024-01-01"}),
                InvalidEvent,
                refused(
                    "validityWindow must be {start, end}, ISO-8601 instants with start not after end, "
                    'is {"end": "2024-01-01", "start": "2024-02-01"}'
                ),
            ),
            (person(subjects="person-1"), InvalidEvent, refused("subjects must be a list of ids, is person-1")),
            (
                person(subjects=("a", "")),
                InvalidEvent,
                refused('subjects must be non-empty strings of at most 1000 bytes, are ["a", ""]'),
            ),
            (
                person(subjects=("é" * 501,)),
                InvalidEvent,
                refused('subjects must be non-empty strings of at most 1000 bytes, are ["' + "é" * 118),
            ),
            (person(payload={"name": "x" * 950_000}), EventTooLarge, None),
            (person(payload={"name": "\ud800"}), InvalidEvent, None),
            (
                person(payload={"name": "\0"}),
                InvalidEvent,
                "Invalid event: PersonCreated (event {id}) holds the character U+0000",
            ),
        ],
        ids=lambda value: value.__name__ if isinstance(value, type) else str(value)[:40],
    )
    def test_what_is_wrong_is_refused_and_nothing_is_written(
        self, store: EventStore, wrong: Event, error: type[InvalidEvent], message: str | None
    ) -> None:
        named = wrong if wrong.id is not None else replace(wrong, id=new_event_id())
        with pytest.raises(error) as raised:
            store.append([person("a"), named])
        assert message is None or str(raised.value) == message.replace("{id}", str(named.id))
        assert str(named.id) in str(raised.value) or "JSON" in str(raised.value)
        assert list(store.read()) == []
        assert store.append([]) == []

    @pytest.mark.parametrize("text", ["person-1\0", "person-1\ud800"])
    def test_asking_for_text_that_no_log_holds_finds_nothing(self, store: EventStore, text: str) -> None:
        store.append([person()])
        assert list(store.get_events(actor=text)) == list(store.get_events(type=text)) == []
        assert list(store.get_events(subjects=[text])) == list(store.read_stream(f"holon/{text}")) == []
        assert len(list(store.get_events(subjects=[text, "person-1"]))) == 1

    def test_a_limit_may_be_any_whole_number(self, store: EventStore) -> None:
        store.append([person(), person()])
        assert [len(list(store.get_events(limit=limit))) for limit in (0, 1, 2**80)] == [0, 1, 2]

    def test_filters_are_anded_and_pages_follow(self, store: EventStore) -> None:
        events = [
            person(
                f"p-{n}",
                occurred_at=f"2024-03-{10 + n}T00:00:00.000Z",
                actor=f"agent-{n % 2}",
                subjects=(f"p-{n}", f"s-{n % 3}"),
            )
            for n in range(12)
        ]
        positions = [a.position for a in store.append([*events, assignment("r")])]

        def found(**filters: Any) -> list[int]:
            return [positions.index(e.position) for e in store.get_events(**filters)]

        assert found() == list(range(13))
        assert found(type="AssignmentStarted") == [12]
        assert found(type=["AssignmentStarted", "PersonCreated"]) == list(range(13))
        assert found(start_time="2024-03-12", end_time="2024-03-14T00:00:00Z") == [2, 3, 4]
        assert found(actor="agent-1", type="PersonCreated", start_time="2024-03-15") == [5, 7, 9, 11]
        assert found(subjects=["s-0", "p-1"]) == [0, 1, 3, 6, 9]
        assert found(subjects=["s-0"], actor="agent-1", type="PersonCreated") == [3, 9]
        assert found(subjects="p-1") == found(subjects=["p-1"]) == [1]
        assert found(subjects=[]) == []
        first = list(store.get_events(actor="agent-0", limit=4))
        rest = list(store.get_events(actor="agent-0", after=first[-1].position))
        assert [positions.index(e.position) for e in first + rest] == [0, 2, 4, 6, 8, 10]

    def test_what_a_number_or_a_text_was_written_as_does_not_matter(self, store: EventStore) -> None:
        event = person("a", id=new_event_id(), payload={"n": 1e3}, occurred_at="2024-03-01T09:00:00+01:00")
        (first,) = store.append([event])
        assert store.append([replace(event, payload={"n": 1000}, occurred_at="2024-03-01T08:00:00Z")]) == [first]
        assert store.append([replace(event, id=str(event.id).upper(), schema_version=1)]) == [first]
        with pytest.raises(EventIdConflict):
            store.append([replace(event, payload={"n": True})])

    def test_a_decimal_is_a_number(self, store: EventStore) -> None:
        """The schema's validator takes it for one, so the log must not have it as text."""
        payload = {"price": Decimal("19.90"), "count": Decimal("1E+3"), "deep": [{"x": Decimal("-0.5")}]}
        (appended,) = store.append([person("a", payload=payload)])
        found = store.get_event(appended.id)
        assert found is not None
        assert found.payload == {"price": 19.9, "count": 1000, "deep": [{"x": -0.5}]}

    @pytest.mark.parametrize("number", ["NaN", "-Infinity", "sNaN", "1E+5000", "1E-20000"])
    def test_a_decimal_that_no_log_holds_is_refused(self, store: EventStore, number: str) -> None:
        with pytest.raises(InvalidEvent):
            store.append([person("a"), person("b", payload={"price": Decimal(number)})])
        assert store.head() == 0 or list(store.read()) == []

    def test_what_is_nested_as_deep_as_may_be_can_be_read(self, store: EventStore) -> None:
        (appended,) = store.append([person("a", payload={"a": nested(199)}, causal_links={"a": nested(199)})])
        found = store.get_event(appended.id)
        assert found is not None
        assert found.payload == {"a": nested(199)}

    def test_a_stretch_of_the_log_and_of_a_stream(self, store: EventStore) -> None:
        assert store.head() == 0
        first, second, third = store.append([person("a"), person("b"), person("a")])
        assert [e.position for e in store.read(first.position)] == [second.position, third.position]
        assert [e.position for e in store.read(until=second.position)] == [first.position, second.position]
        assert [e.version for e in store.read_stream("holon/a", after_version=1)] == [2]
        assert list(store.read_stream("holon/nobody")) == []
        assert store.head() == third.position

    def test_what_is_no_id_and_no_instant_is_refused(self, store: EventStore) -> None:
        with pytest.raises(InvalidEvent, match=r"^Not an event id: '17' is not a UUID$"):
            store.get_event("17")
        with pytest.raises(InvalidEvent, match=r"^Not an instant: 'yesterday'"):
            store.get_events(start_time="yesterday")
