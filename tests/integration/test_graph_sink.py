"""GraphSink on a real server: the effect is the fold's, exactly once, whatever batches, repeats and zombies come."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest

from holonstream.schemas.errors import NotInitialised, TopicReplaced
from holonstream.schemas.event import RecordedEvent, parse_events
from holonstream.schemas.projection import fold
from holonstream.schemas.token import Token
from holonstream.sinks.base import Batch, DeadLetter
from holonstream.sinks.cache.driver import connect
from holonstream.sinks.cache.reader import CachedGraphStore
from holonstream.sinks.errors import CheckpointMoved, GraphUnavailable, NotYetVisible
from holonstream.sinks.graph.checkpoint import Checkpoint
from holonstream.sinks.graph.driver import GraphConnection
from holonstream.sinks.graph.read.store import Neo4jGraphStore
from holonstream.testing.records import Record, batches_of, records_of
from tests.conformance.graph_store import (
    CATALOGUE,
    EXAMPLES,
    ended,
    event,
    in_loop,
    log_of,
    person,
    started,
    states_of,
)
from tests.integration.graph_kit import PARTITIONS, TOPIC, Letters, bare, feed, graph, partitioned, ready, sink


def example(name: str) -> list[RecordedEvent]:
    case = json.loads((EXAMPLES / f"{name}.json").read_text())
    return log_of(*parse_events(json.dumps(case["events"])))


@pytest.mark.parametrize("size", [1, 2, 5, 1000])
@pytest.mark.parametrize("cached", [0, 2, 4096])
@in_loop
async def test_any_runs_come_to_the_fold(neo4j_uri: str, size: int, cached: int) -> None:
    log = example("02-assignments")
    async with ready(neo4j_uri) as connection:
        written = await feed(sink(connection, cached=cached), log, size)
        assert await graph(connection) == fold(CATALOGUE, log)
        assert sum(w.applied for w in written) == len(log)
        assert max(w.position or 0 for w in written) == len(log)


@pytest.mark.parametrize("group", [3, 1000])
@in_loop
async def test_runs_of_several_partitions_are_written_together_or_not_at_all(neo4j_uri: str, group: int) -> None:
    async with ready(neo4j_uri) as connection:
        log = log_of(*(person(f"p-{number}") for number in range(30)), started("r", "p-1", "p-2"), ended("r"))
        batches = [
            Batch(TOPIC, partition, records, len(records))
            for partition, records in enumerate(partitioned(log))
            if records
        ]
        assert len(batches) == PARTITIONS
        into, other = sink(connection, group=group), sink(connection)
        for batch in batches:
            await into.assign(TOPIC, batch.partition, None)
        await other.assign(TOPIC, 1, None)
        await other.write(Batch(TOPIC, 1, batches[1].records[:1], 1))  # partition 1 has another owner by now
        before = await graph(connection)

        with pytest.raises(CheckpointMoved) as moved:
            await into.write_batches(batches)
        assert moved.value.partition == 1
        assert await graph(connection) == before

        assert [written.applied for written in await into.write_batches([batches[0], batches[2]])] == [
            len(batches[0].records),
            len(batches[2].records),
        ]
        assert await into.assign(TOPIC, 1, None) == 1
        written = await into.write_batches(batches)  # two of them again, one cut short by the checkpoint
        assert [w.applied for w in written] == [0, len(batches[1].records) - 1, 0]
        assert await graph(connection) == states_of(log)


@in_loop
async def test_a_batch_of_one_group_is_one_request_and_one_that_publishes_it(neo4j_uri: str) -> None:
    """Entities that are known, new ones, ends, relationships of two types, and a stream without an entity."""
    async with ready(neo4j_uri, 1) as connection:
        before = [person("a"), person("b"), started("r", "a", "b"), started("s", "b", "a", "HAS")]
        log = log_of(*before, event("PersonModified", ["a"], properties={"n": 1}), person("c"), ended("r"), ended("s"),
                     started("t", "c", "d"), event("PersonModified", ["none"], properties={}))  # fmt: skip
        records = records_of(log)
        into = sink(connection, group=100)
        await into.assign(TOPIC, 0, None)
        await into.write(Batch(TOPIC, 0, records[:4], 4))
        with requests_of(connection) as requests:
            assert (await into.write(Batch(TOPIC, 0, records[4:], 10))).applied == 6
        assert requests == ["batch_write", "advance_visible"]
        assert await graph(connection) == states_of(log)
        assert await bare(connection) == ["d"]
        assert await connection.execute("MATCH (e:HolonstreamEmptyStream) RETURN e.stream, e.version") == [
            ["holon/none", 1]
        ]
        assert await Neo4jGraphStore(connection, CATALOGUE, TOPIC).checkpoints() == [Checkpoint(0, 10, 10)]
        assert await connection.execute("MATCH (c:HolonstreamCheckpoint) WHERE c.lock IS NOT NULL RETURN c") == []


@contextmanager
def requests_of(connection: GraphConnection) -> Iterator[list[str]]:
    """What a connection sends inside the block: the names of its lone statements, and its transactions."""
    requests: list[str] = []
    execute, transaction = connection.execute, connection.transaction

    async def executed(statement: str, **parameters: Any) -> list[list[Any]]:
        found = {"batch_write": "$claims", "advance_visible": "$partitions"}
        requests.append(next((name for name, sign in found.items() if sign in statement), statement))
        return await execute(statement, **parameters)

    def opened(timeout: float) -> Any:
        requests.append("transaction")
        return transaction(timeout)

    connection.execute, connection.transaction = executed, opened  # type: ignore[assignment, method-assign]
    try:
        yield requests
    finally:
        del connection.execute, connection.transaction


@in_loop
async def test_a_checkpoint_belongs_to_the_topic_that_it_was_written_from(neo4j_uri: str) -> None:
    async with ready(neo4j_uri) as connection:
        records = partitioned(example("02-assignments"))[0]
        assert await sink(connection).assign(TOPIC, 0, None, "first") == 0
        into = sink(connection)
        assert await into.assign(TOPIC, 0, None, "second") == 0  # nothing was written from the first
        for batch in batches_of(records, 7, TOPIC):
            await into.write(batch)
        assert await sink(connection).assign(TOPIC, 0, None, "second") == len(records)
        with pytest.raises(TopicReplaced, match=r"id second.*id third.*replay graph --in-place"):
            await sink(connection).assign(TOPIC, 0, None, "third")
        await connection.execute("MATCH (c:HolonstreamCheckpoint) REMOVE c.topicId")  # as an earlier version left it
        assert await sink(connection).assign(TOPIC, 0, None, "third") == len(records)
        with pytest.raises(TopicReplaced):
            await sink(connection).assign(TOPIC, 0, None, "fourth")


@in_loop
async def test_twice_is_once(neo4j_uri: str) -> None:
    log = example("02-assignments")
    async with ready(neo4j_uri) as connection:
        records = partitioned(log)[0]
        first = sink(connection)
        assert await first.assign(TOPIC, 0, None) == 0
        for batch in batches_of(records, 7, TOPIC):
            await first.write(batch)
        before = await graph(connection)
        # the same worker again, a new one from its own checkpoint, and one that is given a batch that overlaps it
        for batch in batches_of(records, 7, TOPIC):
            written = await first.write(batch)
            assert (written.applied, written.skipped, written.dead) == (0, len(batch.records), 0)
            assert written.position is not None
        second = sink(connection)
        assert await second.assign(TOPIC, 0, 0) == len(records)
        for batch in batches_of(records, 11, TOPIC):
            assert (await second.write(batch)).applied == 0
        more = log_of(*[person("new")])[0]
        overlap = [*records[-3:], Record(len(records), b"holon/new", records_of([more])[0].value)]
        written = await second.write(Batch(TOPIC, 0, overlap, len(records) + 1))
        assert (written.applied, written.skipped) == (1, 3)
        assert {**before, "holon/new": states_of([more])["holon/new"]} == await graph(connection)


@in_loop
async def test_a_run_without_records_moves_the_checkpoint(neo4j_uri: str) -> None:
    async with ready(neo4j_uri, 1) as connection:
        into = sink(connection)
        await into.assign(TOPIC, 0, None)
        await into.write(batches_of(records_of(log_of(person("a"))), 1, TOPIC)[0])
        written = await into.write(Batch(TOPIC, 0, [], 5))
        assert (written.applied, written.position) == (0, None)
        assert await Neo4jGraphStore(connection, CATALOGUE, TOPIC).checkpoints() == [Checkpoint(0, 5, 1)]


@in_loop
async def test_a_zombie_changes_nothing_and_drops_its_states(neo4j_uri: str) -> None:
    async with ready(neo4j_uri, 1) as connection:
        log = log_of(person("a", n=1), event("PersonModified", ["a"], properties={"n": 2}), person("b"))
        batches = batches_of(records_of(log), 1, TOPIC)
        zombie, owner = sink(connection), sink(connection)
        await zombie.assign(TOPIC, 0, None)
        await zombie.write(batches[0])
        await owner.assign(TOPIC, 0, None)
        await owner.write(batches[1])
        other = Batch(TOPIC, 0, records_of([log[2]], 1), 2)  # what the zombie thinks comes next
        with pytest.raises(CheckpointMoved, match=r"offset 2; this worker left it at 1"):
            await zombie.write(other)
        with pytest.raises(CheckpointMoved, match="not assigned"):
            await zombie.write(batches[2])
        assert await graph(connection) == states_of(log[:2])
        assert await zombie.assign(TOPIC, 0, None) == 2
        await zombie.write(batches[2])
        with pytest.raises(CheckpointMoved):
            await owner.write(Batch(TOPIC, 0, batches[2].records, 4))
        assert await graph(connection) == states_of(log)


@in_loop
async def test_of_two_workers_at_once_one_writes(neo4j_uri: str) -> None:
    async with ready(neo4j_uri, 1) as connection:
        log = log_of(*(person(f"p{i}") for i in range(40)))
        workers = [sink(connection) for _ in range(4)]
        for worker in workers:
            await worker.assign(TOPIC, 0, None)
        batch = batches_of(records_of(log), 40, TOPIC)[0]
        results = await asyncio.gather(*(w.write(batch) for w in workers), return_exceptions=True)
        assert sum(not isinstance(r, CheckpointMoved) for r in results) == 1
        assert await graph(connection) == states_of(log)


@in_loop
async def test_bare_ends_are_filled_and_keep_their_relationships(neo4j_uri: str) -> None:
    async with ready(neo4j_uri, 1) as connection:
        log = log_of(started("r", "a", "b"), person("b"), person("a"), started("s", "a", "c"))
        batches = batches_of(records_of(log), 1, TOPIC)
        into = sink(connection)
        await into.assign(TOPIC, 0, None)
        await into.write(batches[0])
        assert await bare(connection) == ["a", "b"]
        await into.write(batches[1])
        assert await bare(connection) == ["a"]
        for batch in batches[2:]:
            await into.write(batch)
        assert await bare(connection) == ["c"]
        assert await graph(connection) == states_of(log)


@in_loop
async def test_labels_and_properties_read_well(neo4j_uri: str) -> None:
    async with ready(neo4j_uri, 1) as connection:
        log = log_of(
            event("OrganizationCreated", ["x"], name="old"),
            event("PersonCreated", ["x"], rank="O-3", holonType="Agent", status="own", _id="own"),
            event("PersonCreated", ["x"], "2024-03-01T08:00:00.000123Z", rank="O-4", status="own", _id="own"),
            started("r", "x", "y"),
            ended("r", "2024-05-01"),
        )
        await feed(sink(connection), log, 1, 1)
        rows = await connection.execute(
            "MATCH (p:Person {rank: 'O-4'})-[r:OCCUPIES]->() "
            "RETURN labels(p), p.status, p._status, p.__id, p._createdAt.microsecond, "
            "r._effectiveEnd = datetime('2024-05-01T00:00:00Z'), r._version"
        )
        assert [[sorted(rows[0][0]), *rows[0][1:]]] == [[["Holon", "Person"], "own", "active", "own", 123, True, 2]]


@in_loop
async def test_a_hole_parks_its_stream_where_the_hole_begins(neo4j_uri: str) -> None:
    async with ready(neo4j_uri, 1) as connection:
        log = log_of(person("a"), *(event("PersonModified", ["a"], properties={"n": n}) for n in range(4)), person("b"))
        records = records_of(log)
        letters = Letters()
        into = sink(connection, letters)
        await into.assign(TOPIC, 0, None)
        await into.write(Batch(TOPIC, 0, records[:2], 2))
        await into.write(Batch(TOPIC, 0, [records[3], records[5]], 6))
        assert letters[0].reason.startswith("Hole in holon/a: after version 2 comes 4")
        # within a batch, too, and for a stream that has no state
        unborn = log_of(*(event("PersonModified", ["c"], properties={}) for _ in range(3)))
        key, *_ = {record.key for record in records_of(unborn)}
        values = [
            record.value for record in records_of([msgspec.structs.replace(e, position=9 + e.version) for e in unborn])
        ]
        await into.write(Batch(TOPIC, 0, [Record(6, key, values[0]), Record(7, key, values[2])], 8))
        assert letters[1].reason.startswith("Hole in holon/c: after version 1 comes 3")
        assert await graph(connection) == states_of([*log[:2], log[5]])
        # a reader must not take what is missing for reached
        store = Neo4jGraphStore(connection, CATALOGUE, TOPIC)
        with pytest.raises(NotYetVisible, match="holon/a at position 3"):
            await store.get_holon("a", at_least=Token({"holon/a": 3}), deadline=0.1)


@in_loop
async def test_an_event_that_was_applied_before_is_skipped(neo4j_uri: str) -> None:
    async with ready(neo4j_uri, 1) as connection:
        log = log_of(person("a"), event("PersonModified", ["a"], properties={"n": 1}))
        again = records_of(log[i] for i in (0, 1, 1, 0))
        into = sink(connection)
        await into.assign(TOPIC, 0, None)
        written = await into.write(Batch(TOPIC, 0, again, 4))
        assert (written.applied, written.skipped) == (2, 2)
        assert await graph(connection) == states_of(log)


# --- parking ---


@pytest.mark.parametrize("size", [1, 2, 100])
@in_loop
async def test_what_cannot_be_applied_parks_its_stream_and_no_other(neo4j_uri: str, size: int) -> None:
    async with ready(neo4j_uri, 1) as connection:
        log = log_of(
            event("OrganizationCreated", ["m"], holonType="MeasureDefinition"),
            event("MeasureEmitted", ["m", "x"], value=1, measureId="k"),
            event("SystemDeployed", ["s"], status="up"),
            event("OrganizationRealigned", ["m"], properties={"measurements": "no list"}),
            event("MeasureEmitted", ["m", "x"], value=2, measureId="k"),  # cannot be appended
            event("SystemDeployed", ["s"], status="down"),
            event("OrganizationRealigned", ["m"], properties={"measurements": []}),  # would apply, but comes after
            event("OrganizationDeactivated", ["m"], reason="x"),
            person("p"),
        )
        letters = Letters()
        into = sink(connection, letters)
        await into.assign(TOPIC, 0, None)
        written = [await into.write(batch) for batch in batches_of(records_of(log), size, TOPIC)]
        kept = [e for e in log if e.stream != "holon/m" or e.version < 4]
        assert await graph(connection) == states_of(kept)
        assert [(letter.stream, letter.version, letter.offset, letter.position) for letter in letters] == [
            ("holon/m", 4, 4, 5),
            ("holon/m", 5, 6, 7),
            ("holon/m", 6, 7, 8),
        ]
        assert "measurements" in letters[0].reason
        assert all(letter.reason.startswith("Parked since version 4: ") for letter in letters[1:])
        assert sum(w.dead for w in written) == 3
        (node,) = await connection.execute("MATCH (p:HolonstreamParked) RETURN p {.*}")
        assert node[0] == {
            "key": "holon/m",
            "stream": "holon/m",
            "version": 4,
            "position": 5,
            "topic": TOPIC,
            "partition": 0,
            "offset": 4,
            "reason": letters[0].reason,
            "since": 5,
        }
        # for a reader the parked events are not there
        store = Neo4jGraphStore(connection, CATALOGUE, TOPIC)
        assert (await store.read_holon("m")).checkpoint_position == 4
        assert await store.get_holon("m", at_least=Token({"holon/m": 3}), deadline=0.1) is not None
        cached = CachedGraphStore(store, connect("redis://127.0.0.1:1", timeout=1))
        for reader in (store, cached):  # at once: nothing will come
            with pytest.raises(
                NotYetVisible, match=r"holon/m at position 5; .*: the stream is parked there"
            ) as refused:
                await reader.get_holon("m", at_least=Token({"holon/m": 5}), deadline=600)
            assert refused.value.parked
            with pytest.raises(NotYetVisible) as refused:
                await reader.get_holon("a", at_least=Token({"holon/a": 500}), deadline=0.1)
            assert not refused.value.parked
        await cached.close()
        # a mark that another program has damaged hides the whole stream, and stops no worker
        await connection.execute("MATCH (p:HolonstreamParked) SET p.since = 'x'")
        assert (await store.read_holon("m")).checkpoint_position == 0
        with pytest.raises(NotYetVisible, match="holon/m at position 3"):
            await store.get_holon("m", at_least=Token({"holon/m": 3}), deadline=0.1)
        await connection.execute("CREATE (:HolonstreamParked {topic: $t, partition: 0, redriven: 'x'})", t=TOPIC)
        # a new worker knows it too
        after = sink(connection, letters)
        offset = await after.assign(TOPIC, 0, None)
        late = records_of(log[7:8], offset)
        assert (await after.write(Batch(TOPIC, 0, late, offset + 1))).dead == 1


@in_loop
async def test_undecodable_records_are_dead_lettered_and_the_rest_continues(neo4j_uri: str) -> None:
    async with ready(neo4j_uri, 1) as connection:
        good = records_of(log_of(person("a"), person("b"), event("PersonModified", ["b"], properties={"n": 1})))
        place = json.loads(good[1].value or b"")
        broken = json.dumps({**place, "data": "no object"}).encode()
        deep = (good[0].value or b"").replace(b'"data":', b'"data":' + b"[" * 9_000)
        values = [b"\xff", good[0].value, deep, b"{}", broken, good[2].value]
        keys = [None, good[0].key, None, None, good[1].key, good[2].key]
        records = [Record(offset, *pair) for offset, pair in enumerate(zip(keys, values, strict=True))]
        letters = Letters()
        into = sink(connection, letters)
        await into.assign(TOPIC, 0, None)
        written = await into.write(Batch(TOPIC, 0, records, 6))
        assert (written.applied, written.dead, written.position) == (1, 5, 3)
        assert [(letter.offset, letter.stream, letter.version) for letter in letters] == [
            (0, None, None),
            (2, None, None),
            (3, None, None),
            (4, "holon/b", 1),  # its place can be read: the stream is parked, as the next event would be a hole
            (5, "holon/b", 2),
        ]
        assert [letter.value for letter in letters][:2] == [b"\xff", deep]
        assert list(await graph(connection)) == ["holon/a"]


@in_loop
async def test_records_that_are_not_in_the_log_are_parked(neo4j_uri: str) -> None:
    async with ready(neo4j_uri, 1) as connection:
        (made,) = log_of(person("a"))
        forged: list[dict[str, object]] = [
            {"subject": "nonsense"},
            {"subject": "relationship/a"},
            {"subject": "holon/someone-else"},
            {"subject": "holon/" + "x" * 9000, "subjects": ["x" * 9000]},
        ]
        document = json.loads(records_of([made])[0].value or b"")
        records = [
            Record(i, str(f["subject"]).encode(), json.dumps({**document, **f}).encode()) for i, f in enumerate(forged)
        ]
        ends = json.loads(records_of(log_of(started("r", "a", "b")))[0].value or b"")
        ends["subjects"] = json.dumps(["a", "y" * 9000])
        records.append(Record(4, b"relationship/r", json.dumps(ends).encode()))
        letters = Letters()
        into = sink(connection, letters)
        await into.assign(TOPIC, 0, None)
        assert (await into.write(Batch(TOPIC, 0, records, 5))).dead == 5
        assert await graph(connection) == {}
        assert len(await connection.execute("MATCH (p:HolonstreamParked) RETURN p.key")) == 5


@in_loop
async def test_dead_letters_are_out_before_the_commit(neo4j_uri: str) -> None:
    """When they cannot be published nothing is written, and the next attempt does it all."""
    async with ready(neo4j_uri, 1) as connection:
        log = log_of(person("a"), person("b"))
        records = [Record(0, None, b"no event"), *records_of(log, 1)]
        letters = Letters()
        into = sink(connection, letters)
        seen: list[object] = []

        async def down(_: Sequence[DeadLetter]) -> None:
            raise GraphUnavailable("the broker is down")

        async def watch(published: Sequence[DeadLetter]) -> None:
            seen.append((len(published), await graph(connection)))

        into._publish = down
        await into.assign(TOPIC, 0, None)
        batch = Batch(TOPIC, 0, records, 3)
        with pytest.raises(GraphUnavailable):
            await into.write(batch)
        assert await graph(connection) == {}
        into._publish = watch
        assert (await into.write(batch)).applied == 2
        assert seen == [(1, {})]
        assert await graph(connection) == states_of(log)


# --- failures ---


@in_loop
async def test_cached_states_do_not_survive_a_failed_transaction(neo4j_uri: str) -> None:
    async with ready(neo4j_uri, 1) as connection:
        log = log_of(person("a", n=0), *(event("PersonModified", ["a"], properties={"n": n}) for n in (1, 2, 3)))
        records = records_of(log)
        into = sink(connection)
        await into.assign(TOPIC, 0, None)
        await into.write(Batch(TOPIC, 0, records[:1], 1))

        async def down(_: Sequence[DeadLetter]) -> None:
            raise GraphUnavailable("down")

        publish, into._publish = into._publish, down
        with pytest.raises(GraphUnavailable):
            await into.write(Batch(TOPIC, 0, [records[1], Record(2, None, b"bad")], 3))
        into._publish = publish
        # had the failed batch's state stayed, version 2 would now be skipped
        for batch in batches_of(records[1:], 1, TOPIC):
            await into.write(batch)
        assert await graph(connection) == states_of(log)


@in_loop
async def test_an_unknown_outcome_is_resolved(neo4j_uri: str) -> None:
    """The commit went through but its answer was lost: the next attempt sees the checkpoint and continues."""
    async with ready(neo4j_uri, 1) as connection:
        log = log_of(person("a"), event("PersonModified", ["a"], properties={"n": 1}), person("b"))
        batches = batches_of(records_of(log), 2, TOPIC)
        into, twin = sink(connection), sink(connection)
        for worker in (into, twin):
            await worker.assign(TOPIC, 0, None)
        await twin.write(batches[0])  # as far as the graph knows, this was `into`
        into._partitions[TOPIC, 0].attempted = batches[0].next_offset
        assert (await into.write(batches[0])).skipped == 2
        assert (await into.write(batches[1])).applied == 1
        assert await graph(connection) == states_of(log)


@in_loop
async def test_a_redriven_partition_is_read_again(neo4j_uri: str) -> None:
    """An operator's command raises the epoch: cached states and parked streams are then read again."""
    async with ready(neo4j_uri, 1) as connection:
        log = log_of(person("a", n=0), event("PersonModified", ["a"], properties={"m": 1}))
        batches = batches_of(records_of(log), 1, TOPIC)
        into = sink(connection)
        await into.assign(TOPIC, 0, None)
        await into.write(batches[0])
        await connection.execute("MATCH (n:Holon {_id: 'a'}) SET n.n = 7")
        await connection.execute("MATCH (c:HolonstreamCheckpoint) SET c.epoch = c.epoch + 1")
        await into.write(batches[1])
        (state,) = (await graph(connection)).values()
        assert state.properties == {"n": 7, "m": 1}


@in_loop
async def test_workers_that_deadlock_come_to_the_fold(neo4j_uri: str) -> None:
    """Partitions written at once, over the same few ends in every order."""
    async with ready(neo4j_uri) as connection:
        names = [f"e{i}" for i in range(12)]
        events = [person(name) for name in names]
        events += [
            started(f"r{round}-{i}", names[i * 5 % 12], names[(i * 7 + round) % 12])
            for round in range(10)
            for i in range(12)
        ]
        log = log_of(*events)

        async def work(partition: int, records: list[Record]) -> None:
            worker = sink(connection)
            await worker.assign(TOPIC, partition, None)
            for batch in batches_of(records, 8, TOPIC, partition):
                while True:
                    try:
                        await worker.write(batch)
                        break
                    except GraphUnavailable:
                        continue

        await asyncio.gather(*(work(n, records) for n, records in enumerate(partitioned(log))))
        assert await graph(connection) == states_of(log)


@in_loop
async def test_a_partition_without_checkpoint_cannot_be_taken(neo4j_uri: str) -> None:
    async with ready(neo4j_uri, 1) as connection:
        with pytest.raises(NotInitialised, match=r"graph-test.events\[5\] has no checkpoint"):
            await sink(connection).assign(TOPIC, 5, None)


@in_loop
async def test_a_server_that_is_not_there_is_an_outage() -> None:
    gone = GraphConnection("bolt://127.0.0.1:1")
    with pytest.raises(GraphUnavailable, match=r"127\.0\.0\.1:1"):
        await gone.open()
    await gone.close()
    await gone.close()
