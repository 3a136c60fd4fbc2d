"""Valid events that Neo4j refuses: the guilty one is found, and all others are applied."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from holonstream.schemas.errors import NotInitialised
from holonstream.schemas.event import Event, RecordedEvent
from holonstream.sinks.base import Batch
from holonstream.sinks.errors import GraphRefused, GraphUnavailable
from holonstream.sinks.graph.driver import ExecutionFailed, GraphConnection, Transaction
from holonstream.sinks.graph.read.load import Loader
from holonstream.sinks.graph.write.bisect import canary, halves
from holonstream.sinks.graph.write.sink import GraphSink
from holonstream.testing.records import records_of
from tests.conformance.graph_store import CATALOGUE, ended, event, in_loop, log_of, person, started, states_of
from tests.integration.graph_kit import TOPIC, Letters, feed, graph, partitioned, ready, sink

UNIQUE = "CREATE CONSTRAINT test_somebodys FOR (p:Person) REQUIRE p.email IS UNIQUE"
INDEX = "CREATE INDEX test_somebodys FOR (p:Person) ON (p.email)"
TOO_LONG = "x" * 9_000  # for an index; as a property it is fine


@asynccontextmanager
async def somebodys(connection: GraphConnection, what: str) -> AsyncIterator[None]:
    """A constraint or index that is not ours."""
    await connection.execute(what)
    await connection.execute("CALL db.awaitIndexes(60)")
    await connection.execute("CREATE (:Person {email: 'taken'})")  # not a holon
    try:
        yield
    finally:
        kind = "CONSTRAINT" if "CONSTRAINT" in what else "INDEX"
        await connection.execute(f"DROP {kind} test_somebodys")


def modified(name: str, **properties: object) -> Event:
    return event("PersonModified", [name], properties=properties)


def innocent(count: int) -> list[Event]:
    return [e for n in range(count) for e in (person(f"p{n}", email=f"{n}@x"), modified(f"p{n}", n=n))]


async def parked(connection: GraphConnection) -> list[tuple[str, int, int]]:
    rows = await connection.execute(
        "MATCH (p:HolonstreamParked) RETURN p.stream, p.version, p.position, p.reason ORDER BY p.position"
    )
    assert all(row[3].startswith("Refused: Neo4j at ") and len(row[3]) <= 500 for row in rows)
    return [(row[0], row[1], row[2]) for row in rows]


async def write_all(into: GraphSink, log: Sequence[RecordedEvent]) -> tuple[int, int]:
    """One batch per partition, all in one call; how many events were applied, and how many dead-lettered."""
    batches = []
    for partition, records in enumerate(partitioned(log)):
        assert await into.assign(TOPIC, partition, None) == 0
        batches.append(Batch(TOPIC, partition, records, len(records)))
    written = await into.write_batches(batches)
    assert [w.position for w in written] == [
        max(e.position for e in log if e.stream.encode() in {r.key for r in batch.records}) for batch in batches
    ]
    return sum(w.applied for w in written), sum(w.dead for w in written)


@pytest.mark.parametrize(
    ("what", "value", "code"),
    [(UNIQUE, "taken", "Schema.ConstraintValidationFailed"), (INDEX, TOO_LONG, "too large to index")],
)
@in_loop
async def test_a_refused_event_parks_its_stream_from_there_and_no_other(
    neo4j_uri: str, what: str, value: str, code: str
) -> None:
    async with ready(neo4j_uri) as connection, somebodys(connection, what):
        log = log_of(
            *innocent(20), person("bad", email="-"), modified("bad", ok=1), modified("bad", email=value),
            modified("bad", n=2), *innocent(40)[40:], started("r", "bad", "p3"),
        )  # fmt: skip
        guilty = next(e for e in log if e.stream == "holon/bad" and e.version == 3)
        letters = Letters()
        assert await write_all(sink(connection, letters), log) == (len(log) - 2, 2)
        assert await parked(connection) == [("holon/bad", 3, guilty.position)]
        assert await graph(connection) == states_of([e for e in log if e.stream != "holon/bad" or e.version < 3])
        assert [(letter.stream, letter.version) for letter in letters] == [("holon/bad", 3), ("holon/bad", 4)]
        assert code in letters[0].reason
        assert letters[1].reason.startswith("Parked since version 3: Refused: ")

        # and it stays parked, for this worker and for the next one
        for worker in (sink(connection, letters), sink(connection, letters)):
            offsets = [await worker.assign(TOPIC, partition, None) for partition in range(3)]
            partition = next(
                n for n, records in enumerate(partitioned(log)) if b"holon/bad" in {r.key for r in records}
            )
            late = log_of(*[modified("bad", n=n) for n in range(5)])[4]
            batch = Batch(TOPIC, partition, records_of([late], offsets[partition]), offsets[partition] + 1)
            assert (await worker.write(batch)).dead == 1


@in_loop
async def test_many_guilty_ones_in_a_run_are_each_found(neo4j_uri: str) -> None:
    async with ready(neo4j_uri) as connection, somebodys(connection, INDEX):
        events = innocent(30)
        bad = {"p1", "p2", "p11", "p29"}
        events += [modified(name, email=TOO_LONG) for name in sorted(bad)] + [modified("p5", email="fine")]
        log = log_of(*events)
        assert await write_all(sink(connection), log) == (len(log) - 4, 4)
        assert {stream for stream, _, _ in await parked(connection)} == {f"holon/{name}" for name in bad}
        assert await graph(connection) == states_of(log[:60] + log[64:])


@in_loop
async def test_of_two_that_do_not_go_together_the_later_one_is_guilty(neo4j_uri: str) -> None:
    async with ready(neo4j_uri, 1) as connection, somebodys(connection, UNIQUE):
        log = log_of(person("first", email="same"), person("other"), person("second", email="same"))
        await feed(sink(connection), log, 10, 1)
        assert await parked(connection) == [("holon/second", 1, 3)]
        assert await graph(connection) == states_of(log[:2])


# --- not the data's fault ---


@in_loop
async def test_an_outage_in_the_middle_of_the_search_parks_nothing_and_the_search_continues(
    neo4j_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every statement in turn is the one that the server does not answer; the worker then retries the same batch."""
    async with ready(neo4j_uri, 1) as connection, somebodys(connection, INDEX):
        log = log_of(*innocent(3), modified("p1", email=TOO_LONG), person("after"))
        letters = Letters()
        into = sink(connection, letters)
        await into.assign(TOPIC, 0, None)
        batch = Batch(TOPIC, 0, records_of(log), len(log))
        begun = fails_at = 0

        def failing(execute: Any) -> Any:
            async def fail_or_execute(self: object, statement: str, **parameters: object) -> Any:
                nonlocal begun
                begun += 1
                if begun == fails_at:
                    raise GraphUnavailable("cut")
                return await execute(self, statement, **parameters)

            return fail_or_execute

        monkeypatch.setattr(Transaction, "execute", failing(Transaction.execute))
        monkeypatch.setattr(GraphConnection, "execute", failing(GraphConnection.execute))
        outages = 0
        for fails_at in range(1, 200):  # noqa: B007
            begun = 0
            try:
                await into.write(batch)
                break
            except GraphUnavailable:
                outages += 1
        monkeypatch.undo()
        assert outages > 5
        assert await parked(connection) == [("holon/p1", 3, 7)]
        assert await graph(connection) == states_of([*log[:6], log[7]])
        assert {letter.stream for letter in letters} == {"holon/p1"}


@in_loop
async def test_a_passing_fault_of_the_server_parks_nothing(neo4j_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has the same code as a value that is too large for an index, so a lone record alone proves nothing."""
    async with ready(neo4j_uri, 1) as connection:
        log = log_of(*innocent(3))
        into = sink(connection)
        await into.assign(TOPIC, 0, None)
        troubled = 0

        def failing(execute: Any, is_write: Callable[[dict[str, object]], bool]) -> Any:
            async def fail_or_execute(self: object, statement: str, **parameters: object) -> Any:
                nonlocal troubled
                if troubled and is_write(parameters):
                    troubled -= 1
                    raise ExecutionFailed("no memory")
                return await execute(self, statement, **parameters)

            return fail_or_execute

        monkeypatch.setattr(Transaction, "execute", failing(Transaction.execute, lambda _: True))
        writes = failing(GraphConnection.execute, lambda parameters: "claims" in parameters)
        monkeypatch.setattr(GraphConnection, "execute", writes)
        for number, record in enumerate(records_of(log)):
            troubled = number
            while (batch := Batch(TOPIC, 0, [record], number + 1)) and troubled:
                try:
                    await into.write(batch)
                except ExecutionFailed:
                    continue
            await into.write(batch)
        monkeypatch.undo()
        assert await parked(connection) == []
        assert await graph(connection) == states_of(log)


@in_loop
async def test_a_fault_that_concerns_every_event_stops_the_worker_and_parks_nothing(
    neo4j_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ready(neo4j_uri, 1) as connection:
        log = log_of(*innocent(3), started("r", "p1", "p2"), ended("r"))
        into = sink(connection)
        await into.assign(TOPIC, 0, None)
        batch = Batch(TOPIC, 0, records_of(log), len(log))

        # an index that the statements need: the check finds that it is missing
        await connection.execute("DROP CONSTRAINT holonstream_OCCUPIES")
        await connection.execute("CREATE CONSTRAINT test_somebodys FOR (p:Person) REQUIRE p.n IS UNIQUE")
        try:
            await connection.execute("CREATE (:Person {n: 2})")
            with pytest.raises(NotInitialised, match=r"unique OCCUPIES\(_id\)"):
                await into.write(batch)
        finally:
            await connection.execute("DROP CONSTRAINT test_somebodys")
        assert await parked(connection) == []

    # whatever is asked, it is refused
    async with ready(neo4j_uri, 1) as connection:
        into = sink(connection)
        begin = await into.assign(TOPIC, 0, None)

        def read_only(execute: Any) -> Any:
            async def refuse_or_execute(self: object, statement: str, **parameters: object) -> Any:
                if "MERGE" in statement or "CREATE" in statement:
                    statement = "CALL no.such.procedure()"
                return await execute(self, statement, **parameters)

            return refuse_or_execute

        monkeypatch.setattr(Transaction, "execute", read_only(Transaction.execute))
        monkeypatch.setattr(GraphConnection, "execute", read_only(GraphConnection.execute))
        with pytest.raises(GraphRefused, match=r"no\.such\.procedure"):
            await into.write(Batch(TOPIC, 0, records_of(log)[begin:], len(log)))
        monkeypatch.undo()
        assert await parked(connection) == []


@in_loop
async def test_the_canary_uses_every_statement_and_leaves_nothing(
    neo4j_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ready(neo4j_uri) as connection:
        asked: list[str] = []
        rows = Transaction.execute

        async def noting(self: Transaction, statement: str, **parameters: object) -> list[list[object]]:
            asked.append(statement)
            return await rows(self, statement, **parameters)

        monkeypatch.setattr(Transaction, "execute", noting)
        await canary(connection, CATALOGUE, TOPIC)
        assert len(asked) == 6
        assert await connection.execute("MATCH (n:Holon) RETURN count(n)") == [[0]]


def test_halves_join_and_end_where_the_whole_does() -> None:
    records = records_of(log_of(*innocent(3)), 10)
    batch = Batch(TOPIC, 1, records, 99)
    (first,), (second,) = halves([batch])
    assert [*first.records, *second.records] == records
    assert (first.next_offset, second.next_offset) == (13, 99)
    assert halves([batch, first, second]) == [[batch], [first, second]]
    lone = Batch(TOPIC, 1, records[:1], 11)
    assert halves([lone]) == [[lone]]
    assert halves([Batch(TOPIC, 1, [], 11)]) == [[Batch(TOPIC, 1, [], 11)]]


@in_loop
async def test_an_entity_that_is_deleted_by_hand_while_it_is_loaded_is_an_outage(neo4j_uri: str) -> None:
    async with ready(neo4j_uri, 1) as connection:
        log = log_of(*(person(f"p{n}", text="x" * 500) for n in range(300)))
        await feed(sink(connection), log, 1000, 1)
        streams = [e.stream for e in log]
        seen = asyncio.Event()

        async def delete() -> None:
            while not seen.is_set():
                await connection.execute("MATCH (n:Holon) DETACH DELETE n")
                await connection.execute(
                    "UNWIND range(0, 299) AS i CREATE (n:Holon:Person {_id: 'p' + i, _status: 'active', _version: 1, "
                    "_position: i, _createdAt: datetime(), _createdBy: '', _lastModified: datetime()})"
                )

        async with asyncio.timeout(60), asyncio.TaskGroup() as both:
            both.create_task(delete())
            while not seen.is_set():
                try:
                    assert len(await Loader(connection, CATALOGUE).load(streams)) <= 300
                except GraphUnavailable:
                    seen.set()
