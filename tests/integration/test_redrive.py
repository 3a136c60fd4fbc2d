"""Redrive and discard against a real graph and a real log, while workers write.

The cause that is fixed is the usual one: workers and redrive have different schemas. ``PersonModified`` has a second
version here, which only the redrive knows.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from holonstream.producers.log.reader import LogReader
from holonstream.producers.log.schema import apply_schema
from holonstream.producers.log.store import PostgresEventStore
from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.errors import NotInitialised
from holonstream.schemas.event import Event, RecordedEvent
from holonstream.schemas.partition import partition_of
from holonstream.schemas.projection import fold
from holonstream.schemas.state import Holon
from holonstream.sinks.base import Batch, DeadLetter, WriteResult
from holonstream.sinks.errors import GraphUnavailable
from holonstream.sinks.graph.driver import GraphConnection, Transaction
from holonstream.sinks.graph.read.store import Neo4jGraphStore
from holonstream.sinks.graph.recovery import rebuild
from holonstream.sinks.graph.recovery.redrive import Redriver
from holonstream.sinks.graph.schema import initialise
from holonstream.sinks.graph.statements import text
from holonstream.sinks.graph.write.sink import GraphSink
from holonstream.sinks.parked import NotParked, RedriveResult
from holonstream.testing.records import Record, batches_of, records_of
from tests.conformance.graph_store import CATALOGUE, event, in_loop, person, started
from tests.integration.graph_kit import PARTITIONS, TOPIC, Letters, feed, graph, partitioned, ready, sink

NEWER = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$id": "urn:holonstream:event:PersonModified:2",
    "title": "Person modified",
    "description": "As before; the changes are called so.",
    "type": "object",
    "properties": {"changes": {"type": "object", "description": "New values."}},
    "examples": [{"changes": {"rank": "O-4"}}],
    "x-upcast": [{"rename": "properties", "to": "changes"}],
    "x-projection": {
        "stream": "holon",
        "subjects": ["person"],
        "requiredSubjects": 1,
        "operations": [{"op": "patch_holon", "from": ["changes"]}],
    },
}


class Log:
    """The log, with both versions of the schema."""

    def __init__(self, dsn: str, folder: Path) -> None:
        (folder / "PersonModified.v2.json").write_text(json.dumps(NEWER))
        self.newer = Catalogue.load(folder)
        apply_schema(dsn, self.newer)
        self.store = PostgresEventStore(dsn, self.newer)
        self.streams = LogReader(dsn, "holonstream-redrive")
        self.dsn = dsn

    def append(self, *events: Event) -> list[RecordedEvent]:
        """The whole log, after these."""
        self.store.append(events)
        return list(self.store.read())

    def redriver(self, connection: GraphConnection, catalogue: Catalogue | None = None) -> Redriver:
        return Redriver(connection, catalogue or self.newer, TOPIC, self.streams)


@pytest.fixture
def log(postgres_dsn: str, tmp_path: Path) -> Iterator[Log]:
    made = Log(postgres_dsn, tmp_path)
    with made.store, made.streams:
        yield made


def changed(name: str, version: int, **changes: object) -> Event:
    """A person's change, in one version of the schema."""
    payload: dict[str, Any] = {"changes" if version == 2 else "properties": changes}
    made = event("PersonModified", [name], **payload)
    return Event(**{f: getattr(made, f) for f in made.__struct_fields__} | {"schema_version": version})


async def all_of(redriver: Redriver) -> list[RedriveResult]:
    """Redrive whatever is parked."""
    return [done async for done in redriver.redrive([mark.stream for mark in await redriver.parked()])]


@asynccontextmanager
async def reopened(uri: str) -> AsyncIterator[GraphConnection]:
    """A connection of one's own."""
    async with GraphConnection(uri) as connection:
        yield connection


@in_loop
async def test_a_redriven_stream_reaches_its_partition_and_continues(neo4j_uri: str, log: Log) -> None:
    async with ready(neo4j_uri, 1) as connection:
        events = log.append(person("a"), changed("a", 2, n=1), changed("a", 1, m=2), person("b"), changed("a", 1, k=3))
        into, letters = sink(connection), Letters()
        await feed(into, events[:4], partitions=1)
        redriver = log.redriver(connection)
        (mark,) = await redriver.parked()
        assert (mark.stream, mark.version, mark.position) == ("holon/a", 2, events[1].position)
        assert "version 2" in mark.reason

        assert await all_of(redriver) == [RedriveResult("holon/a", 2, 0, None)]
        assert await redriver.parked() == []
        assert await graph(connection) == fold(log.newer, events[:4])  # not beyond the checkpoint

        # the worker that parked it continues with its next event
        late = records_of(events[4:], 4)
        assert (await into.write(Batch(TOPIC, 0, late, 5))).applied == 1
        assert await graph(connection) == fold(log.newer, events)
        assert letters == []


@in_loop
async def test_marks_that_another_program_has_changed_end_nobody_and_can_be_redriven(neo4j_uri: str, log: Log) -> None:
    names = ("version", "position", "offset", "reason", "stream", "since")
    damages = [(name, value) for name in names for value in ("x", -1, 1.5, None, [1, 2], True)]
    people = [f"p-{n}" for n in range(len(damages))]
    first = log.append(*(made for name in people for made in (person(name), changed(name, 2, n=1))))
    everything = log.append(*(changed(name, 1, k=2) for name in people))
    damage = "UNWIND $rows AS row MATCH (p:HolonstreamParked {key: row[0]}) SET p[row[1]] = row[2]"
    async with ready(neo4j_uri, 1) as connection:
        await feed(sink(connection), first, partitions=1)
        rows = [[f"holon/{person}", *one] for person, one in zip(people, damages, strict=True)]
        await connection.execute(damage, rows=rows)
        after = sink(connection)
        await after.assign(TOPIC, 0, None)
        await after.write(Batch(TOPIC, 0, records_of(everything[len(first) :], len(first)), len(everything)))
        store = Neo4jGraphStore(connection, CATALOGUE, TOPIC)
        assert {holon.version for name in people if (holon := await store.get_holon(name))} == {1}
        assert {mark.stream for mark in await log.redriver(connection).parked()} == {f"holon/{name}" for name in people}
        assert all(done.parked is None for done in await all_of(log.redriver(connection)))
        assert await log.redriver(connection).parked() == []
        assert await graph(connection) == fold(log.newer, everything)


@pytest.mark.parametrize("place", ["partition", "topic"])
@in_loop
async def test_a_mark_whose_place_was_changed_is_listed_and_redriven(neo4j_uri: str, log: Log, place: str) -> None:
    people = [f"p-{n}" for n in range(7)]
    events = log.append(*(made for name in people for made in (person(name), changed(name, 2, n=1))))
    async with ready(neo4j_uri) as connection:
        await feed(sink(connection), events)
        streams = [f"holon/{name}" for name in people]
        rows = [list(row) for row in zip(streams, ("x", -1, 99, 1.0, None, [1], True), strict=True)]
        damage = "UNWIND $rows AS row MATCH (p:HolonstreamParked {key: row[0]}) SET p[$place] = row[1]"
        await connection.execute(damage, rows=rows, place=place)
        marks = await log.redriver(connection).parked()
        assert {m.stream: (m.topic, m.partition) for m in marks} == {
            s: (TOPIC, partition_of(s, PARTITIONS)) for s in streams
        }
        assert [done.parked for done in await all_of(log.redriver(connection))] == [None] * len(people)
        store = Neo4jGraphStore(connection, CATALOGUE, TOPIC)
        for name, last in zip(people, events[1::2], strict=True):
            assert (await store.read_holon(name)).checkpoint_position >= last.position
        assert await graph(connection) == fold(log.newer, events)
        assert await connection.execute("MATCH (p:HolonstreamParked) RETURN p.key") == []


@in_loop
async def test_what_still_does_not_apply_stays_parked_with_the_new_reason(neo4j_uri: str, log: Log) -> None:
    async with ready(neo4j_uri, 1) as connection:
        events = log.append(person("a"), changed("a", 2, n=1), changed("a", 1, m=1), person("b"), changed("b", 2, n=1))
        await feed(sink(connection), events, partitions=1)
        without_schema = log.redriver(connection, CATALOGUE)
        before = await without_schema.parked()
        assert [mark.stream for mark in before] == ["holon/a", "holon/b"]
        assert [done.parked for done in await all_of(without_schema)] == before
        assert await without_schema.parked() == before
        # nothing to write, so no worker was made to read its partition again
        assert await connection.execute("MATCH (c:HolonstreamCheckpoint) RETURN c.epoch") == [[0]]

        await connection.execute("MATCH (p:HolonstreamParked) SET p.reason = 'of another release'")
        assert [done.parked for done in await all_of(without_schema)] == before
        assert await without_schema.parked() == before
        assert await graph(connection) == fold(CATALOGUE, [events[0], events[3]])


@in_loop
async def test_a_later_event_that_does_not_apply_parks_again_from_there(neo4j_uri: str, log: Log) -> None:
    async with ready(neo4j_uri, 1) as connection:
        events = log.append(
            event("OrganizationCreated", ["m"], holonType="MeasureDefinition"),
            event("OrganizationRealigned", ["m"], properties={"measurements": "no list"}),
            event("MeasureEmitted", ["m", "x"], value=1, measureId="k"),  # cannot be appended
            event("OrganizationRealigned", ["m"], properties={"measurements": []}),
            event("MeasureEmitted", ["m", "x"], value=2, measureId="k"),
        )
        # parked at version 2 on the topic, by a record that was broken on the way
        records = records_of(events)
        broken = json.dumps({**json.loads(records[1].value or b""), "data": "no object"}).encode()
        records[1] = Record(1, b"holon/m", broken)
        into = sink(connection)
        await into.assign(TOPIC, 0, None)
        await into.write(Batch(TOPIC, 0, records, 5))
        redriver = log.redriver(connection)
        assert [mark.version for mark in await redriver.parked()] == [2]

        (done,) = await all_of(redriver)
        assert done.applied == 1
        assert done.parked is not None
        assert (done.parked.version, done.parked.position, done.parked.offset) == (3, events[2].position, None)
        assert "measurements" in done.parked.reason
        assert [done.parked] == await redriver.parked()
        assert await graph(connection) == fold(log.newer, events[:2])
        # for a reader with a token the rest is not there
        assert (await Neo4jGraphStore(connection, CATALOGUE, TOPIC).read_holon("m")).checkpoint_position == (
            events[2].position - 1
        )

        # by decision, the guilty one alone is left out
        with pytest.raises(NotParked, match="is parked at 3"):
            await redriver.discard("holon/m", 2)
        assert await redriver.discard("holon/m", 3, "a unit that does not exist") == RedriveResult(
            "holon/m", 2, 1, None
        )
        assert await redriver.parked() == []
        (decision,) = await redriver.discarded()
        assert (decision.stream, decision.version, decision.position, decision.note) == (
            "holon/m", 3, events[2].position, "a unit that does not exist",
        )  # fmt: skip
        assert await graph(connection) == fold(log.newer, [*events[:2], *events[3:]])
        with pytest.raises(NotParked):
            await redriver.discard("holon/m", 3)


@in_loop
async def test_after_the_last_event_is_discarded_the_next_one_is_no_hole(neo4j_uri: str, log: Log) -> None:
    async with ready(neo4j_uri, 1) as connection:
        events = log.append(person("a"), changed("a", 2, n=1), changed("a", 1, m=2), changed("b", 2, n=1), person("b"))
        into = sink(connection)
        await feed(into, [events[0], events[1], events[3]], partitions=1)
        redriver = log.redriver(connection, CATALOGUE)
        # the checkpoint is beyond events[2], which then does apply; what is left out is the version, not the rest
        assert await redriver.discard("holon/a", 2) == RedriveResult("holon/a", 1, 1, None)
        state = await redriver.state("holon/a")
        assert isinstance(state, Holon)
        assert (state.version, state.properties) == (3, {"m": 2})
        # the very first event of a stream
        assert await redriver.discard("holon/b", 1) == RedriveResult("holon/b", 0, 1, None)
        assert await redriver.state("holon/b") is None
        late = records_of([events[4]], 3)
        assert (await into.write(Batch(TOPIC, 0, late, 4))).applied == 1
        assert (await redriver.state("holon/b")) is not None

        # a state whose last event was left out
        more = log.append(changed("b", 2, n=2), changed("b", 1, n=3))[-2:]
        await into.write(Batch(TOPIC, 0, records_of(more[:1], 4), 5))
        assert await redriver.discard("holon/b", 3) == RedriveResult("holon/b", 0, 1, None)
        assert (await into.write(Batch(TOPIC, 0, records_of(more[1:], 5), 6))).applied == 1
        state = await redriver.state("holon/b")
        assert isinstance(state, Holon)
        assert (state.version, state.properties) == (4, {"n": 3})


@in_loop
async def test_a_mark_of_a_record_that_is_not_of_the_log_is_taken_away(neo4j_uri: str, log: Log) -> None:
    async with ready(neo4j_uri, 1) as connection:
        events = log.append(person("a"), changed("a", 1, n=1))
        true = json.loads(records_of(events)[0].value or b"")
        forged = json.dumps({**true, "data": 7, "streamversion": "3", "sequence": f"{3:019}"}).encode()
        into = sink(connection)
        await into.assign(TOPIC, 0, None)
        await into.write(Batch(TOPIC, 0, [*records_of(events), Record(2, b"holon/a", forged)], 3))
        redriver = log.redriver(connection)
        with pytest.raises(NotParked, match="put on the topic by another program"):
            await redriver.discard("holon/a", 3)
        assert await all_of(redriver) == [RedriveResult("holon/a", 0, 0, None)]
        assert await graph(connection) == fold(log.newer, events)


@in_loop
async def test_an_event_that_the_log_cannot_tell_either_can_be_discarded(neo4j_uri: str, log: Log) -> None:
    async with ready(neo4j_uri, 1) as connection:
        events = log.append(person("a"), changed("a", 1, n=1), changed("a", 1, m=1))
        with psycopg.connect(log.dsn, autocommit=True) as admin:  # what no append lets through
            for trigger in ("append_only", "keeps_events"):
                admin.execute(f"ALTER TABLE holonstream.events DISABLE TRIGGER {trigger}".encode())
            admin.execute("UPDATE holonstream.events SET validity_window = '[]' WHERE version = 2")
            for trigger in ("append_only", "keeps_events"):
                admin.execute(f"ALTER TABLE holonstream.events ENABLE ALWAYS TRIGGER {trigger}".encode())
        records = [Record(n, b"holon/a", e.value) for n, e in enumerate(log.streams.read("holon/a", 0, 2**62, 10))]
        into = sink(connection)
        await into.assign(TOPIC, 0, None)
        await into.write(Batch(TOPIC, 0, records, 3))
        redriver = log.redriver(connection)
        (done,) = await all_of(redriver)
        assert done.parked is not None
        assert (done.applied, done.parked.version) == (0, 2)
        assert await redriver.discard("holon/a", 2) == RedriveResult("holon/a", 1, 1, None)
        assert await graph(connection) == fold(log.newer, [events[0], events[2]])


@in_loop
async def test_what_neo4j_refuses_stays_parked_where_it_is_refused_and_holds_up_no_other(
    neo4j_uri: str, log: Log
) -> None:
    async with ready(neo4j_uri, 1) as connection:
        events = log.append(
            *(person(name) for name in "abc"),
            *(changed(name, 2, n=1) for name in "abc"),  # parked: a schema that the workers do not have
            *(changed("b", 1, m=m) for m in range(5)),
            changed("b", 1, email="x" * 9_000),
            changed("b", 1, m=9),
        )
        await feed(sink(connection), events, partitions=1)
        redriver = log.redriver(connection)
        await connection.execute("CREATE INDEX test_somebodys FOR (p:Person) ON (p.email)")
        await connection.execute("CALL db.awaitIndexes(60)")
        try:
            done = {redriven.stream: redriven for redriven in await all_of(redriver)}
            assert done["holon/a"] == RedriveResult("holon/a", 1, 0, None)
            assert done["holon/c"] == RedriveResult("holon/c", 1, 0, None)
            (mark,) = await redriver.parked()
            assert done["holon/b"] == RedriveResult("holon/b", 6, 0, mark)
            assert (mark.version, mark.position) == (8, events[11].position)
            assert mark.reason.startswith("Refused: ")
            assert "too large to index" in mark.reason
            assert await graph(connection) == fold(log.newer, events[:11])
            assert await all_of(redriver) == [RedriveResult("holon/b", 0, 0, mark)]
            assert await redriver.discard("holon/b", 8) == RedriveResult("holon/b", 1, 1, None)
            assert await graph(connection) == fold(log.newer, [*events[:11], events[12]])
        finally:
            await connection.execute("DROP INDEX test_somebodys")


# --- while a worker writes ---


@in_loop
async def test_a_redrive_waits_for_a_transaction_of_the_worker_and_goes_up_to_its_end(neo4j_uri: str, log: Log) -> None:
    """The worker holds the checkpoint and has just dead-lettered more of the stream: the redrive must fold that too."""
    async with ready(neo4j_uri, 1) as connection, reopened(neo4j_uri) as mine:
        events = log.append(person("a"), changed("a", 2, n=1), changed("a", 1, m=2), changed("a", 1, k=3))
        into = sink(connection)
        await feed(into, events[:2], partitions=1)
        redriving: list[asyncio.Task[list[RedriveResult]]] = []

        async def meanwhile(letters: Sequence[DeadLetter]) -> None:
            assert [letter.version for letter in letters] == [3]
            redriving.append(asyncio.ensure_future(all_of(log.redriver(mine))))
            done, _ = await asyncio.wait(redriving, timeout=0.5)
            assert not done, "the redrive did not wait for the checkpoint"

        into._publish = meanwhile
        await into.write(Batch(TOPIC, 0, records_of(events[2:3], 2), 3))
        assert await redriving[0] == [RedriveResult("holon/a", 2, 0, None)]
        assert (await into.write(Batch(TOPIC, 0, records_of(events[3:], 3), 4))).applied == 1
        assert await graph(connection) == fold(log.newer, events)


@in_loop
async def test_a_redrive_delays_a_worker_by_one_run_of_its_partition_and_no_other(
    neo4j_uri: str, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the redrive is in its transaction: a batch of another partition is written, one of its own waits for the
    commit and is then written whole, the unparked stream in order."""
    async with ready(neo4j_uri) as connection, reopened(neo4j_uri) as mine, reopened(neo4j_uri) as third:
        events = log.append(
            person("a"), changed("a", 2, n=1), changed("a", 1, m=2), *(person(f"p{n}") for n in range(9))
        )
        later = log.append(changed("a", 1, k=3), *(changed(f"p{n}", 1, k=n) for n in range(9)))[len(events) :]
        own = partition_of("holon/a", PARTITIONS)
        other = next(e for e in later if partition_of(e.stream, PARTITIONS) != own)
        beside = partition_of(other.stream, PARTITIONS)
        workers = {own: sink(connection), beside: sink(third)}
        batches = {}
        before, after = partitioned(events), partitioned(later)
        for partition, worker in workers.items():
            await worker.assign(TOPIC, partition, None)
            await worker.write(Batch(TOPIC, partition, before[partition], len(before[partition])))
            start = len(before[partition])
            records = [Record(start + n, r.key, r.value) for n, r in enumerate(after[partition])]
            batches[partition] = Batch(TOPIC, partition, records, start + len(records))
        unpark = Transaction.execute
        waiting: list[asyncio.Task[WriteResult]] = []

        async def in_the_transaction(self: Transaction, statement: str, **parameters: Any) -> list[list[Any]]:
            if statement == text("unpark"):
                assert (await workers[beside].write(batches[beside])).applied == len(batches[beside].records)
                waiting.append(asyncio.ensure_future(workers[own].write(batches[own])))
                done, _ = await asyncio.wait(waiting, timeout=0.3)
                assert not done, "the worker did not wait for the checkpoint"
            return await unpark(self, statement, **parameters)

        monkeypatch.setattr(Transaction, "execute", in_the_transaction)
        assert await all_of(log.redriver(mine)) == [RedriveResult("holon/a", 2, 0, None)]
        written = await waiting[0]
        monkeypatch.undo()
        assert (written.applied, written.dead) == (len(batches[own].records), 0)
        checkpoints = await Neo4jGraphStore(connection, CATALOGUE, TOPIC).checkpoints()
        assert {c.partition: c.offset for c in checkpoints if c.partition in batches} == {
            partition: batch.next_offset for partition, batch in batches.items()
        }
        state = await log.redriver(mine).state("holon/a")
        assert isinstance(state, Holon)
        assert (state.version, state.properties) == (4, {"n": 1, "m": 2, "k": 3})


@in_loop
async def test_two_redrives_at_once_do_it_once(neo4j_uri: str, log: Log) -> None:
    async with ready(neo4j_uri, 1) as connection, reopened(neo4j_uri) as mine:
        names = [f"p{n}" for n in range(150)]  # more than one transaction takes
        events = log.append(*[e for name in names for e in (person(name), changed(name, 2, n=1))])
        await feed(sink(connection), events, 500, partitions=1)
        with LogReader(log.dsn, "holonstream-redrive") as second:
            other = Redriver(mine, log.newer, TOPIC, second)
            done = await asyncio.gather(all_of(log.redriver(connection)), all_of(other))
        assert sorted(d.stream for part in done for d in part) == sorted(f"holon/{name}" for name in names)
        assert all(d.applied == 1 and d.parked is None for part in done for d in part)
        assert await graph(connection) == fold(log.newer, events)


@pytest.mark.parametrize("seed", [1, 2, 3])
@in_loop
async def test_redriving_without_end_while_workers_write_loses_and_repeats_nothing(
    neo4j_uri: str, log: Log, seed: int
) -> None:
    """Workers that do not know the newer version park again and again; the redrive takes it up each time."""
    chance = random.Random(seed)
    names = [f"p{n}" for n in range(20)]
    made: list[Event] = [person(name) for name in names]
    for number in range(600):
        name = chance.choice(names)
        if chance.random() < 0.1:
            made.append(started(f"r{number}", name, chance.choice(names)))
        else:
            made.append(changed(name, 2 if chance.random() < 0.15 else 1, **{f"k{number % 7}": number}))
    events = log.append(*made)
    over = asyncio.Event()
    async with ready(neo4j_uri, 3) as connection, reopened(neo4j_uri) as mine:

        async def work(partition: int, records: list[Record]) -> int:
            worker, dead = sink(connection), 0
            await worker.assign(TOPIC, partition, None)
            for batch in batches_of(records, 5, TOPIC, partition):
                while True:
                    try:
                        dead += (await worker.write(batch)).dead
                        break
                    except GraphUnavailable:  # deadlocks, as a follower would
                        continue
            return dead

        async def redrive() -> int:
            redriven = 0
            redriver = log.redriver(mine)
            while not over.is_set():
                redriven += len(await all_of(redriver))
            return redriven + len(await all_of(redriver))

        async with asyncio.TaskGroup() as both:  # one that fails ends the others
            redriving = both.create_task(redrive())
            async with asyncio.TaskGroup() as workers:
                working = [workers.create_task(work(n, records)) for n, records in enumerate(partitioned(events))]
            over.set()
        assert redriving.result() > 20  # it came in between often
        assert sum(task.result() for task in working) > 20
        assert await log.redriver(mine).parked() == []
        assert await graph(connection) == fold(log.newer, events)


# --- a rebuilt graph ---


@in_loop
async def test_a_graph_is_wiped_so_that_no_worker_can_write_and_decisions_are_kept(neo4j_uri: str, log: Log) -> None:
    async with ready(neo4j_uri, 1) as connection:
        events = log.append(
            person("a"), changed("a", 2, n=1), changed("a", 1, m=2), person("b"), started("r", "a", "b"), person("c")
        )
        into = sink(connection)
        await feed(into, events[:5], partitions=1)
        redriver = log.redriver(connection, CATALOGUE)
        await redriver.discard("holon/a", 2, "not wanted")
        before = await graph(connection)
        await connection.execute(
            "CREATE (:Book {title: 'x'})-[:CITES {_id: 'of another program'}]->(:Book),"
            " (:Book)-[:OCCUPIES {_id: 'forged'}]->(:Book)"
        )

        await rebuild.wipe(connection, CATALOGUE, TOPIC, "-x")
        others = "RETURN COUNT { (:Book) }, COUNT { (:Book)-[:CITES]->(:Book) }, COUNT { ()-->() }"
        assert await connection.execute(others) == [[4, 1, 1]]  # one claimed to be ours
        await connection.execute("MATCH (b:Book) DETACH DELETE b")
        await rebuild.wipe(connection, CATALOGUE, TOPIC, "-x")  # interrupted, it is begun again
        mark = await rebuild.mark(connection, TOPIC)
        assert mark is not None
        assert (mark.suffix, mark.state) == ("-x", "wiping")
        content = await rebuild.content(connection, TOPIC)
        assert (content.nodes, content.offset, content.topics) == (0, 0, [])
        with pytest.raises(NotInitialised):  # a worker that was not stopped
            await into.write(Batch(TOPIC, 0, records_of(events[5:], 5), 6))
        assert await graph(connection) == {}
        assert await redriver.discarded() == []

        await initialise(connection, CATALOGUE, TOPIC, 1)
        await feed(sink(connection), events[:5], partitions=1)
        assert [mark.stream for mark in await redriver.parked()] == ["holon/a"]
        assert await rebuild.take_over(redriver, await rebuild.decisions_before(connection, TOPIC)) == 1
        assert await redriver.parked() == []
        assert [(d.version, d.note) for d in await redriver.discarded()] == [(2, "not wanted")]
        assert await graph(connection) == before


@in_loop
async def test_a_decision_that_is_not_needed_any_more_is_not_taken_over(neo4j_uri: str, log: Log) -> None:
    async with ready(neo4j_uri, 1) as connection:
        events = log.append(person("a"), changed("a", 2, n=1))
        await feed(sink(connection), events, partitions=1)
        await log.redriver(connection, CATALOGUE).discard("holon/a", 2)
        await rebuild.wipe(connection, CATALOGUE, TOPIC, "")
        await initialise(connection, CATALOGUE, TOPIC, 1)
        into = GraphSink(connection, log.newer, TOPIC, Letters().publish)  # with the schema by now
        await feed(into, events, partitions=1)
        redriver = log.redriver(connection)
        assert await rebuild.take_over(redriver, await rebuild.decisions_before(connection, TOPIC)) == 0
        assert await redriver.discarded() == []
        assert await graph(connection) == fold(log.newer, events)


@in_loop
async def test_a_graph_that_several_pipelines_write_is_not_rebuilt(neo4j_uri: str) -> None:
    async with ready(neo4j_uri, 1) as connection:
        await initialise(connection, CATALOGUE, "another.events", 1)
        with pytest.raises(rebuild.SharedGraph, match=r"also follows another\.events"):
            await rebuild.content(connection, TOPIC)
