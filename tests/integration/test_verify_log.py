"""The log read stream by stream: the same states as the fold, in batches of bounded size."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing

import pytest

from holonstream.ops.verify import log as module
from holonstream.ops.verify.log import EntityReader
from holonstream.producers.log import reader
from holonstream.producers.log.postgres import READER_OPTIONS, connect, query
from holonstream.producers.log.schema import apply_schema
from holonstream.producers.log.store import PostgresEventStore
from holonstream.schemas.projection import fold
from tests.conformance.graph_store import CATALOGUE, event
from tests.support.event_log import person


@pytest.fixture
def store(postgres_dsn: str) -> Iterator[PostgresEventStore]:
    apply_schema(postgres_dsn, CATALOGUE)
    with PostgresEventStore(postgres_dsn, CATALOGUE) as opened:
        yield opened


def fill(store: PostgresEventStore, seed: int, streams: int, events: int) -> None:
    names = [f"p-{i}" for i in range(streams)] + ["é", "\U00010000", "z" * 300, "a/b", "A"]
    drawn = random.Random(seed)
    store.append([person(name) for name in names])
    store.append([event("PersonModified", [drawn.choice(names)], updates={"n": i}) for i in range(events)])


@pytest.mark.parametrize("stretch", [1, 3, 7, 1000])
def test_every_entity_comes_once_and_as_the_fold_has_it(
    store: PostgresEventStore, postgres_dsn: str, monkeypatch: pytest.MonkeyPatch, stretch: int
) -> None:
    monkeypatch.setattr(reader, "STRETCH", stretch)
    monkeypatch.setattr(module, "BATCH_EVENTS", 5)
    fill(store, seed=1, streams=20, events=60)
    with EntityReader(postgres_dsn, CATALOGUE) as log:
        until = log.frontier().frontier
        batches = list(log.entities(until))
        entities = [entity for batch in batches for entity in batch]
        assert {entity.stream: entity.state for entity in entities} == fold(CATALOGUE, store.read())
        assert len({entity.stream for entity in entities}) == len(entities) == 25
        assert sum(entity.events for entity in entities) == 85
        # a batch ends with the entity that fills it
        assert all(sum(entity.events for entity in batch[:-1]) < 5 for batch in batches)
        half = until // 2
        there = {entity.stream: entity.state for batch in log.entities(half) for entity in batch}
        assert there == fold(CATALOGUE, store.read(until=half))


def test_a_batch_is_bounded_in_bytes(
    store: PostgresEventStore, postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH_BYTES", 20_000)
    store.append([person(f"p-{i:03}", payload={"text": "x" * 5_000}) for i in range(40)])
    with EntityReader(postgres_dsn, CATALOGUE) as log:
        sizes = [len(batch) for batch in log.entities(log.frontier().frontier)]
    assert sum(sizes) == 40
    assert max(sizes) == 4


def test_no_sort_is_needed_for_the_order_of_streams(store: PostgresEventStore, postgres_dsn: str) -> None:
    fill(store, seed=2, streams=2000, events=3000)
    with closing(connect(postgres_dsn, "test", options=READER_OPTIONS)) as connection:
        connection.execute("ANALYZE holonstream.events")
        arguments = {"stream": "holon/p-1", "version": 1, "until": 4000, "limit": 1000}
        plan = "\n".join(row[0] for row in connection.execute("EXPLAIN " + query("read_streams"), arguments))
    assert "Index Scan using events_stream_version_key" in plan
    assert "Sort" not in plan


def test_unknown_and_random_streams(store: PostgresEventStore, postgres_dsn: str) -> None:
    fill(store, seed=3, streams=5, events=0)
    with EntityReader(postgres_dsn, CATALOGUE) as log:
        assert log.unknown(["holon/p-1", "holon/ghost", "relationship/p-1", "holon/a\0b"]) == {
            "holon/ghost",
            "relationship/p-1",
            "holon/a\0b",
        }
        assert log.random_streams(0, log.frontier().frontier) == []
        drawn = log.random_streams(200, log.frontier().frontier)
        assert len(drawn) == 10
        assert log.unknown(drawn) == set()
        asked = {"holon/p-1": 1, "holon/p-2": 9, "holon/ghost": 1, "holon/a\0b": 1}
        assert log.places(asked).keys() == {"holon/p-1", "holon/p-2"}
        assert log.places(asked)["holon/p-2"][0] is None
        (first,) = log.read("holon/p-1", 0, 2**60, 1)
        assert log.places(asked)["holon/p-1"] == (first.position, 1)
