"""What every graph store must answer (`sinks.store`): subclass GraphStoreContract and say how events get into it.

The data are events, folded by the store's own means, so that the suite tests writing and reading at once.
"""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec

import pytest

from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.errors import BadData
from holonstream.schemas.event import Event, RecordedEvent, parse_event, parse_events
from holonstream.schemas.projection import fold, recorded
from holonstream.schemas.state import Holon, Relationship, State
from holonstream.schemas.token import Token
from holonstream.sinks.errors import NotYetVisible
from holonstream.sinks.requests import ask, ids, pattern
from holonstream.sinks.store import HolonFilter, PatternMatch, RelationshipFilter, SemanticGraphStore
from holonstream.testing import MemoryEventStore, MemoryGraphStore

P = ParamSpec("P")
EXAMPLES = Path(__file__).parents[1] / "cases"
CATALOGUE = Catalogue.load()


def in_loop(test: Callable[P, Coroutine[None, None, None]]) -> Callable[P, None]:
    """Run an async test in a loop of its own."""

    @wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


def event(type: str, subjects: Sequence[str], at: str = "2024-03-01T08:00:00.000Z", **payload: Any) -> Event:
    """An envelope with what a test cares about."""
    return parse_event(
        {
            "type": type,
            "occurredAt": at,
            "actor": "per-1",
            "subjects": list(subjects),
            "sourceSystem": "test",
            "payload": payload,
        }
    )


def person(name: str, **payload: Any) -> Event:
    return event("PersonCreated", [name], **payload)


def started(name: str, source: str, target: str, type: str = "OCCUPIES", **more: Any) -> Event:
    at = more.pop("at", "2024-03-01T08:00:00.000Z")
    return event("AssignmentStarted", [source, target], at, relationshipId=name, relationshipType=type, **more)


def ended(name: str, end: str | None = None) -> Event:
    return event("AssignmentEnded", [], relationshipId=name, **({"endDate": end} if end else {}))


def log_of(*events: Event) -> list[RecordedEvent]:
    """The events as a log would have them."""
    return list(recorded(CATALOGUE, events))


class RecordedLog(MemoryEventStore):
    """A log that holds these events, as `log_of` gives them."""

    def __init__(self, events: Sequence[RecordedEvent]) -> None:
        super().__init__(CATALOGUE)
        self._events = list(events)


def memory_graph(events: Sequence[RecordedEvent]) -> MemoryGraphStore:
    return MemoryGraphStore(RecordedLog(events), CATALOGUE)


def states_of(events: Sequence[RecordedEvent]) -> dict[str, State]:
    return fold(CATALOGUE, events)


def matched(matches: Sequence[PatternMatch]) -> list[tuple[dict[str, str], list[str]]]:
    return [({a: h.id for a, h in m.holons.items()}, [r.id for r in m.relationships]) for m in matches]


class GraphStoreContract(ABC):
    """The suite."""

    unstorable: tuple[str, ...] = ("\ud800", "a\udfffb", "\0", "p\0")
    """halves of surrogate pairs, and U+0000"""

    @abstractmethod
    def holding(self, *events: Event) -> AbstractAsyncContextManager[SemanticGraphStore]:
        """A store that holds what the events lead to, with a checkpoint at the last one's position."""

    # --- the reference's cases ---

    @pytest.mark.parametrize("name", ["01-structural", "02-assignments"])
    @in_loop
    async def test_the_examples_come_out_as_the_reference_says(self, name: str) -> None:
        case = json.loads((EXAMPLES / f"{name}.json").read_text())
        async with self.holding(*parse_events(json.dumps(case["events"]))) as store:
            holons = {h.id: h for h in await store.get_all_holons()}
            relationships = {r.id: r for r in await store.get_all_relationships()}
            assert [_shown(h) for h in holons.values()] == sorted(case["expected"]["holons"], key=lambda d: d["id"])
            assert [_shown(r) for r in relationships.values()] == sorted(
                case["expected"]["relationships"], key=lambda d: d["id"]
            )
            for holon_id, meta in case["meta"]["holons"].items():
                h = holons[holon_id]
                assert (h.created_at, h.created_by, list(h.source_documents), h.last_modified) == (
                    meta["createdAt"],
                    meta["createdBy"],
                    meta["sourceDocuments"],
                    meta["lastModified"],
                )
            for query in case.get("queries", []):
                answer = ids(await ask(store, query["method"], query["args"]))
                assert answer == sorted(query["ids"]), query

    @in_loop
    async def test_states_come_back_as_the_fold_made_them(self) -> None:
        odd = {
            "": 1,
            "_id": "own",
            "__x": 2,
            "_": None,
            "a.b": [1, 2.5],
            "`tick`": [],
            "$p": [None],
            "type": "subtype",
            "id": 7,
            "status": True,
            "_json": ["a"],
            "n" * 20_000: "long",
            "große Straße 𝄞": {"deep": [{"": None}]},
            "big": 2**70,
            "edge": [2**63 - 1, -(2**63)],
            "over": [2**63],
            "text": '{"json": 1}',
            "list": [True, False],
            "mixed": [1, True],
        }
        events = [
            person("p", properties=odd),
            started("r", "p", "q", properties=odd, confidenceScore=2**70, authorityLevel="derived"),
            event("PersonCreated", ["q"], "0001-01-01T00:00:00.000001Z", properties={}),
            event("PersonCreated", ["z"], "1969-12-31T23:59:59.120Z", properties={}),
        ]
        states = states_of(log_of(*events))
        async with self.holding(*events) as store:
            got: list[State] = [*await store.get_all_holons(), *await store.get_all_relationships()]
            assert {s.id: s for s in got} == {s.id: s for s in states.values()}
            assert repr(got[0].properties["mixed"]) == "[1, True]"
            exported = [state async for state in store.export()]
            assert sorted(exported, key=lambda s: s.id) == sorted(got, key=lambda s: s.id)

    # --- single holons ---

    @in_loop
    async def test_a_missing_holon_and_a_bare_end_are_none(self) -> None:
        async with self.holding(person("p"), started("r", "p", "nobody")) as store:
            assert await store.get_holon("other") is None
            assert await store.get_holon("nobody") is None
            assert [h.id for h in await store.get_all_holons()] == ["p"]
            assert [r.id for r in await store.get_holon_relationships("nobody")] == ["r"]

    @in_loop
    async def test_a_text_that_no_log_can_hold_is_found_nowhere(self) -> None:
        async with self.holding(event("PersonCreated", ["p"], name="a"), person("q"), started("r", "p", "q")) as store:
            for text in self.unstorable:
                assert await store.get_holon(text) is None
                assert await store.get_holon_relationships(text) == []
                assert await store.traverse_relationships(text) == []
                assert await store.get_connected_holons(text) == []
                assert await store.traverse(text, max_depth=2) == []
                assert await store.query_holons_by_type(text) == []
                assert await store.query_relationships_by_type(text) == []
                for holons in (
                    HolonFilter(status=text),
                    HolonFilter(properties={"name": text}),
                    HolonFilter(properties={text: "a"}),
                ):
                    assert await store.query_holons_by_type("Person", holons) == []
                for relationships in (
                    RelationshipFilter(source=text),
                    RelationshipFilter(target=text),
                    RelationshipFilter(authority_level=text),
                    RelationshipFilter(properties={text: text}),
                ):
                    assert await store.get_connected_holons("p", None, "both", relationships) == []
                    assert await store.traverse_relationships("p", None, "both", relationships) == []
                    assert await store.query_relationships_by_type("OCCUPIES", relationships) == []
                sought = pattern({"holonPatterns": [{"type": "Person", "properties": {"name": text}, "alias": text}]})
                assert await store.match_pattern(sought) == []
                assert _ids(await store.get_all_holons(after=text)) == [h for h in ("p", "q") if h > text]
                assert _ids(await store.get_all_relationships(after=text)) == [r for r in ("r",) if r > text]

    @in_loop
    async def test_a_holon_of_any_status_is_found(self) -> None:
        async with self.holding(
            event("OrganizationCreated", ["o"]), event("OrganizationDeactivated", ["o"], reason="x")
        ) as store:
            holon = await store.get_holon("o")
            assert holon is not None
            assert holon.status == "inactive"
            assert [h.id for h in await store.query_holons_by_type("Organization")] == ["o"]
            assert await store.query_holons_by_type("Organization", HolonFilter(status="active")) == []

    @in_loop
    async def test_an_unknown_type_has_no_entities(self) -> None:
        async with self.holding(person("p"), started("r", "p", "p")) as store:
            assert await store.query_holons_by_type("Nonsense`) DETACH DELETE n //") == []
            assert await store.query_relationships_by_type("Nonsense") == []
            assert await store.traverse_relationships("p", "Nonsense") == []
            assert await store.get_connected_holons("p", "Nonsense") == []
            assert await store.traverse("p", ("Nonsense",), max_depth=3) == []
            assert await store.match_pattern(pattern({"holonPatterns": [{"type": "Nonsense"}]})) == []

    @in_loop
    async def test_a_holon_made_again_with_another_type_has_only_that(self) -> None:
        async with self.holding(
            event("OrganizationCreated", ["x"], old=1), event("OrganizationCreated", ["x"], holonType="Location", new=1)
        ) as store:
            assert await store.query_holons_by_type("Organization") == []
            assert [h.properties for h in await store.query_holons_by_type("Location")] == [{"new": 1}]

    # --- holon filters (4.2) ---

    @pytest.mark.parametrize(
        ("asked", "there", "answer"),
        [
            (1, 1, True),
            (1.0, 1, True),
            (1, True, False),
            (True, 1, False),
            (True, True, True),
            (0, False, False),
            ("1", 1, False),
            (None, None, True),
            ("null", None, False),
            (2**70, 2**70, True),
            (2**70, 2**70 + 1, False),
            (2**53 + 1, 2**53, False),
            (0.5, 0.5, True),
            ([1, 2], [1, 2], True),
            ([1, 2], [2, 1], False),
            ([1.0, 2], [1, 2], True),
            ([True], [1], False),
            ([], [], True),
            ([], {}, False),
            ({"a": [1, {"b": None}]}, {"a": [1, {"b": None}]}, True),
            ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
            ({"a": 1}, {"a": 1, "b": 2}, False),
            ({"a": True}, {"a": 1}, False),
            ('{"a":1}', {"a": 1}, False),
            ("", "", True),
        ],
    )
    @in_loop
    async def test_properties_match_by_json_type_and_value(self, asked: Any, there: Any, answer: bool) -> None:
        events = [
            person("p", properties={"k": there}),
            person("other", properties={"K": there}),
            started("r", "p", "p", properties={"k": there}),
        ]
        async with self.holding(*events) as store:
            holons = await store.query_holons_by_type("Person", HolonFilter(properties={"k": asked}))
            assert [h.id for h in holons] == (["p"] if answer else [])
            relationships = await store.query_relationships_by_type(
                "OCCUPIES", RelationshipFilter(properties={"k": asked})
            )
            assert [r.id for r in relationships] == (["r"] if answer else [])
            matches = await store.match_pattern(pattern({"holonPatterns": [{"properties": {"k": asked}}]}))
            assert matched(matches) == ([({"0": "p"}, [])] if answer else [])
            connected = await store.get_connected_holons("p", filters=RelationshipFilter(properties={"k": asked}))
            assert [h.id for h in connected] == (["p"] if answer else [])

    @pytest.mark.parametrize("key", ["", "_id", "_status", "a.b", "`", "n" * 20_000, "status", "$filter"])
    @in_loop
    async def test_a_filter_takes_any_key(self, key: str) -> None:
        async with self.holding(person("p", properties={key: "v"}), person("q", properties={key: "w"})) as store:
            for value, answer in (("v", ["p"]), ("x", []), ("active", [])):
                found = await store.query_holons_by_type("Person", HolonFilter(properties={key: value}))
                assert [h.id for h in found] == answer

    @in_loop
    async def test_created_bounds_are_inclusive_instants(self) -> None:
        async with self.holding(event("PersonCreated", ["p"], "2024-03-01T08:00:00.000500Z")) as store:
            for filters, answer in (
                (HolonFilter(created_after="2024-03-01T08:00:00.000500Z"), True),
                (HolonFilter(created_after="2024-03-01T08:00:00.000501Z"), False),
                (HolonFilter(created_before="2024-03-01T08:00:00.000500Z"), True),
                (HolonFilter(created_before="2024-03-01T08:00:00.000499Z"), False),
                (HolonFilter(created_after="2024-03-01T09:00:00+01:00"), True),
                (HolonFilter(created_after="2024-03-01", created_before="2024-03-02"), True),
            ):
                assert bool(await store.query_holons_by_type("Person", filters)) is answer, filters

    # --- relationships ---

    @in_loop
    async def test_directions_and_a_self_loop_once(self) -> None:
        async with self.holding(
            person("a"), person("b"), started("ab", "a", "b"), started("ba", "b", "a"), started("aa", "a", "a", "HAS")
        ) as store:
            assert _ids(await store.get_holon_relationships("a")) == ["aa", "ab", "ba"]
            assert _ids(await store.traverse_relationships("a")) == ["aa", "ab", "ba"]
            assert _ids(await store.traverse_relationships("a", direction="outgoing")) == ["aa", "ab"]
            assert _ids(await store.traverse_relationships("a", direction="incoming")) == ["aa", "ba"]
            assert _ids(await store.traverse_relationships("a", "HAS")) == ["aa"]
            assert _ids(await store.get_connected_holons("a")) == ["a", "b"]
            assert _ids(await store.get_connected_holons("a", "OCCUPIES")) == ["b"]
            assert _ids(await store.get_connected_holons("a", "HAS", "incoming")) == ["a"]

    @in_loop
    async def test_several_relationships_of_a_type_between_two_holons(self) -> None:
        async with self.holding(person("a"), person("b"), started("1", "a", "b"), started("2", "a", "b")) as store:
            assert _ids(await store.query_relationships_by_type("OCCUPIES")) == ["1", "2"]
            assert _ids(await store.get_connected_holons("a")) == ["b"]

    @in_loop
    async def test_made_again_with_other_ends_and_type_it_is_found_only_there(self) -> None:
        async with self.holding(
            person("a"),
            person("b"),
            started("r", "a", "b", "OCCUPIES", properties={"old": 1}),
            ended("r"),
            started("r", "b", "c", "HAS", properties={"new": 1}),
        ) as store:
            assert await store.get_holon_relationships("a") == []
            assert await store.query_relationships_by_type("OCCUPIES") == []
            (found,) = await store.get_all_relationships()
            assert (found.source, found.target, found.type) == ("b", "c", "HAS")
            assert (found.properties, found.effective_end) == ({"new": 1}, None)
            assert _ids(await store.get_holon_relationships("c")) == ["r"]

    @in_loop
    async def test_ended_ones_by_the_letter(self) -> None:
        async with self.holding(
            person("a"),
            started("open", "a", "a", at="2024-01-01T00:00:00.000Z"),
            started("past", "a", "a", at="2024-01-01T00:00:00.000Z"),
            ended("past", "2024-02-01T00:00:00.000Z"),
            started("future", "a", "a", at="2024-01-01T00:00:00.000Z"),
            ended("future", "2999-01-01T00:00:00.000Z"),
        ) as store:
            feb, march, day = "2024-02-01T00:00:00.000Z", "2024-03-01", "2024-01-01"
            for filters, answer in (
                (None, ["future", "open", "past"]),
                (RelationshipFilter(), ["open"]),
                (RelationshipFilter(include_ended=True), ["future", "open", "past"]),
                (RelationshipFilter(effective_at=feb), ["open"]),
                (RelationshipFilter(effective_at=feb, include_ended=True), ["future", "open", "past"]),
                (RelationshipFilter(effective_at=march, include_ended=True), ["future", "open"]),
                (RelationshipFilter(effective_at=day, include_ended=True), ["future", "open", "past"]),
                (RelationshipFilter(effective_at="2023-12-31T23:59:59.999999Z", include_ended=True), []),
            ):
                for found in (
                    await store.query_relationships_by_type("OCCUPIES", filters),
                    await store.traverse_relationships("a", None, "both", filters),
                    await store.traverse_relationships("a", "OCCUPIES", "incoming", filters),
                ):
                    assert _ids(found) == answer, filters

    @in_loop
    async def test_ends_and_authority_filter(self) -> None:
        async with self.holding(
            started("1", "a", "b"), started("2", "a", "c", authorityLevel="derived"), started("3", "c", "a")
        ) as store:
            for filters, answer in (
                (RelationshipFilter(source="a"), ["1", "2"]),
                (RelationshipFilter(target="a"), ["3"]),
                (RelationshipFilter(source="a", target="c"), ["2"]),
                (RelationshipFilter(authority_level="derived"), ["2"]),
                (RelationshipFilter(authority_level="authoritative"), ["1", "3"]),
            ):
                assert _ids(await store.query_relationships_by_type("OCCUPIES", filters)) == answer
                assert _ids(await store.traverse_relationships("a", filters=filters)) == answer
            assert await store.get_connected_holons("a") == []  # bare ends

    # --- pages ---

    @in_loop
    async def test_pages_give_everything_once_in_code_point_order(self) -> None:
        names = ["a", "\uffff", "\U00010000", "\ud7ff", "A", "_", "é", "z", "a\uffff", "a\U00010000", "aa", "b"]
        events = [person(name) for name in names] + [started(f"r{name}", "a", name) for name in names]
        async with self.holding(*events) as store:
            for size in (1, 2, 5, 100):
                for fetch, expected in (
                    (store.get_all_holons, sorted(names)),
                    (lambda **k: store.query_holons_by_type("Person", **k), sorted(names)),
                    (store.get_all_relationships, sorted(f"r{n}" for n in names)),
                    (lambda **k: store.query_relationships_by_type("OCCUPIES", **k), sorted(f"r{n}" for n in names)),
                    (lambda **k: store.get_holon_relationships("a", **k), sorted(f"r{n}" for n in names)),
                    (lambda **k: store.traverse_relationships("a", **k), sorted(f"r{n}" for n in names)),
                    (lambda **k: store.get_connected_holons("a", **k), sorted(names)),
                ):
                    found: list[str] = []
                    while True:
                        page = await fetch(after=found[-1] if found else None, limit=size)
                        found += _ids(page)
                        if len(page) < size:
                            break
                    assert found == expected

    @in_loop
    async def test_no_page_has_less_than_nothing(self) -> None:
        async with self.holding(person("p"), person("q"), started("r", "p", "q"), started("s", "q", "p")) as store:
            sought = pattern({"holonPatterns": [{}]})
            for limit in (0, -1):
                assert await store.get_all_holons(limit=limit) == []
                assert await store.query_holons_by_type("Person", limit=limit) == []
                assert await store.get_all_relationships(limit=limit) == []
                assert await store.query_relationships_by_type("OCCUPIES", limit=limit) == []
                assert await store.get_holon_relationships("p", limit=limit) == []
                assert await store.traverse_relationships("p", limit=limit) == []
                assert await store.get_connected_holons("p", limit=limit) == []
                assert await store.traverse("p", max_depth=1, limit=limit) == []
                assert await store.match_pattern(sought, limit=limit) == []

    @in_loop
    async def test_a_direction_that_is_none_is_named_and_one_type_may_stand_alone(self) -> None:
        async with self.holding(person("p"), person("q"), started("r", "p", "q")) as store:
            reached = await store.traverse("p", "OCCUPIES", max_depth=1)
            assert [found.holon.id for found in reached] == ["q"]
            wrong: Any = "out"
            for asked in (
                store.traverse_relationships("p", None, wrong),
                store.get_connected_holons("p", None, wrong),
                store.traverse("p", None, wrong, max_depth=1),
            ):
                with pytest.raises(BadData, match="'out'"):
                    await asked

    @in_loop
    async def test_a_page_is_full_though_the_filter_leaves_out_most(self) -> None:
        events = [person(f"p{i:03}", properties={"k": [i % 10, None]}) for i in range(100)]
        async with self.holding(*events) as store:
            filters = HolonFilter(properties={"k": [3, None]})
            page = await store.query_holons_by_type("Person", filters, after="p003", limit=4)
            assert _ids(page) == ["p013", "p023", "p033", "p043"]

    # --- several hops ---

    @in_loop
    async def test_traverse_gives_each_holon_at_its_least_depth(self) -> None:
        events = [person(name) for name in "abcdef"]
        events += [
            started("1", "a", "b"),
            started("2", "b", "c"),
            started("3", "c", "a"),
            started("4", "c", "d", "HAS"),
            started("5", "d", "bare"),
            started("6", "bare", "e"),
            started("7", "f", "a"),
        ]
        async with self.holding(*events, ended("2")) as store:

            async def walk(*args: Any, **options: Any) -> list[tuple[str, int]]:
                return [(r.holon.id, r.depth) for r in await store.traverse("a", *args, **options)]

            assert await walk(None, "outgoing", max_depth=9) == [("b", 1), ("c", 2), ("d", 3), ("e", 5)]
            assert await walk(None, "both", max_depth=1) == [("b", 1), ("c", 1), ("f", 1)]
            assert await walk(("OCCUPIES",), "outgoing", max_depth=9) == [("b", 1), ("c", 2)]
            assert await walk(("OCCUPIES", "HAS"), "outgoing", max_depth=3) == [("b", 1), ("c", 2), ("d", 3)]
            assert await walk(None, "outgoing", RelationshipFilter(), max_depth=9) == [("b", 1)]
            assert await walk(None, "outgoing", RelationshipFilter(properties={"x": 1}), max_depth=9) == []
            assert await walk(
                None, "outgoing", RelationshipFilter(authority_level="authoritative", include_ended=True), max_depth=3
            ) == [("b", 1), ("c", 2), ("d", 3)]
            assert await walk(None, "both", max_depth=0) == []
            assert await walk(None, "both", max_depth=9, limit=4) == [("b", 1), ("c", 1), ("f", 1), ("d", 2)]
            assert await walk(None, "incoming", max_depth=2) == [("c", 1), ("f", 1), ("b", 2)]

    # --- patterns (4.4) ---

    @in_loop
    async def test_no_holon_pattern_matches_nothing(self) -> None:
        async with self.holding(person("a"), started("r", "a", "a")) as store:
            assert await store.match_pattern(pattern({})) == []
            assert await store.match_pattern(pattern({"relationshipPatterns": [{"type": "OCCUPIES"}]})) == []

    @in_loop
    async def test_all_combinations_in_order(self) -> None:
        events = [person("p1", rank="O-3"), person("p2", rank="O-4"), person("p3", rank="O-3")]
        events += [event("PositionCreated", [name]) for name in ("q1", "q2")]
        events += [
            started("1", "p1", "q1"),
            started("2", "p1", "q2"),
            started("3", "p3", "q1"),
            started("4", "p3", "q1", "HAS"),
            started("5", "p2", "q2"),
            started("6", "p1", "bare"),
            ended("2"),
        ]
        async with self.holding(*events) as store:

            async def match(document: dict[str, Any], **options: Any) -> list[tuple[dict[str, str], list[str]]]:
                return matched(await store.match_pattern(pattern(document), **options))

            occupies = {"type": "OCCUPIES", "sourceAlias": "p", "targetAlias": "q"}
            people = {"alias": "p", "type": "Person", "properties": {"rank": "O-3"}}
            posts = {"alias": "q", "type": "Position"}
            both = {"holonPatterns": [people, posts], "relationshipPatterns": [occupies]}
            everything = [
                ({"p": "p1", "q": "q1"}, ["1"]),
                ({"p": "p1", "q": "q2"}, ["2"]),
                ({"p": "p3", "q": "q1"}, ["3"]),
            ]
            assert await match(both) == everything
            assert await match(both, limit=2) == everything[:2]
            current = {"holonPatterns": [people, posts], "relationshipPatterns": [{**occupies, "includeEnded": False}]}
            assert await match(current) == [everything[0], everything[2]]
            # an alias that only a relationship has: any holon, but no bare end
            free = {"holonPatterns": [people], "relationshipPatterns": [occupies]}
            assert await match(free) == everything
            # no target alias: also a bare end, each relationship once
            anywhere = {"holonPatterns": [people], "relationshipPatterns": [{"type": "OCCUPIES"}]}
            assert await match(anywhere) == [
                ({"p": "p1"}, ["1"]),
                ({"p": "p1"}, ["2"]),
                ({"p": "p1"}, ["6"]),
                ({"p": "p3"}, ["3"]),
            ]
            # conjunction: both relationships must hold, and one relationship may serve twice
            two = {
                "holonPatterns": [{"alias": "p"}, {"alias": "q"}],
                "relationshipPatterns": [occupies, {"sourceAlias": "p", "targetAlias": "q", "type": "HAS"}],
            }
            assert await match(two) == [({"p": "p3", "q": "q1"}, ["3", "4"])]
            twice = {"holonPatterns": [people, posts], "relationshipPatterns": [occupies, occupies]}
            assert await match(twice) == [(aliases, edges * 2) for aliases, edges in everything]
            # colleagues: two persons of one post, a person also with himself
            colleagues = {
                "holonPatterns": [{"alias": "x"}, {"alias": "q"}, {"alias": "y"}],
                "relationshipPatterns": [
                    {"type": "OCCUPIES", "sourceAlias": "x", "targetAlias": "q"},
                    {"type": "OCCUPIES", "sourceAlias": "y", "targetAlias": "q"},
                ],
            }
            assert [(m["x"], m["y"]) for m, _ in await match(colleagues)] == [
                ("p1", "p1"),
                ("p1", "p3"),
                ("p1", "p1"),
                ("p1", "p2"),
                ("p2", "p1"),
                ("p2", "p2"),
                ("p3", "p1"),
                ("p3", "p3"),
            ]

    @in_loop
    async def test_an_alias_used_twice_is_one_holon(self) -> None:
        async with self.holding(person("a", x=1, y=[1, None]), person("b", x=1), started("r", "a", "a")) as store:
            same = pattern(
                {
                    "holonPatterns": [
                        {"alias": "n", "properties": {"x": 1}},
                        {"alias": "n", "properties": {"y": [1, None]}, "type": "Person"},
                    ]
                }
            )
            assert matched(await store.match_pattern(same)) == [({"n": "a"}, [])]
            split = pattern({"holonPatterns": [{"alias": "n", "type": "Person"}, {"alias": "n", "type": "Position"}]})
            assert await store.match_pattern(split) == []
            loop = pattern(
                {"holonPatterns": [{"alias": "n"}], "relationshipPatterns": [{"sourceAlias": "n", "targetAlias": "n"}]}
            )
            assert matched(await store.match_pattern(loop)) == [({"n": "a"}, ["r"])]

    @in_loop
    async def test_holon_patterns_without_alias_are_bound_to_their_place(self) -> None:
        async with self.holding(person("a"), event("PositionCreated", ["q"])) as store:
            two = pattern({"holonPatterns": [{"type": "Person"}, {"type": "Position"}]})
            assert matched(await store.match_pattern(two)) == [({"0": "a", "1": "q"}, [])]

    # --- freshness ---

    @in_loop
    async def test_a_token_that_is_reached_is_answered_at_once(self) -> None:
        async with self.holding(person("a"), person("b")) as store:
            for token in (Token({"holon/a": 1}), str(Token({"holon/b": 2, "holon/a": 1})), Token()):
                holon = await store.get_holon("a", at_least=token, deadline=0)
                assert holon is not None

    @in_loop
    async def test_a_token_that_is_not_reached_is_an_error_after_the_deadline(self) -> None:
        async with self.holding(person("a")) as store:
            token = Token({"holon/a": 1_000})
            with pytest.raises(NotYetVisible) as error:
                await store.get_holon("a", at_least=token, deadline=0.05)
            assert (error.value.stream, error.value.wanted, error.value.reached) == ("holon/a", 1_000, 1)
            with pytest.raises(NotYetVisible):
                await store.match_pattern(pattern({"holonPatterns": [{}]}), at_least=token, deadline=0)


def _ids(states: Sequence[Holon | Relationship]) -> list[str]:
    return [state.id for state in states]


def _shown(state: State) -> dict[str, Any]:
    """A state as the example files show it."""
    if isinstance(state, Holon):
        return {"id": state.id, "type": state.type, "properties": state.properties, "status": state.status}
    return {
        "id": state.id,
        "type": state.type,
        "source": state.source,
        "target": state.target,
        "properties": state.properties,
        "effectiveStart": state.effective_start,
        "effectiveEnd": state.effective_end,
    }
