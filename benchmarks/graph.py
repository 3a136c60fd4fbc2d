"""The graph sink against the bare driver.

A loop over the driver sends the sink's own UNWIND statement with rows made beforehand, one row per event; the sink
starts from records. Both write batches of 5,000. Rounds alternate; ratios are of medians. The graph is emptied.
"""

from __future__ import annotations

import asyncio
import gc
import random
import re
import statistics
from collections.abc import Callable, Iterable, Sequence
from time import perf_counter
from typing import Any

import msgspec
from neo4j import AsyncDriver, AsyncGraphDatabase

from benchmarks.bench import Bench
from benchmarks.figures import Figure
from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.event import Event, RecordedEvent
from holonstream.schemas.projection import apply, recorded
from holonstream.schemas.state import Holon, State
from holonstream.sinks.base import Batch
from holonstream.sinks.graph.driver import GraphConnection
from holonstream.sinks.graph.mapping import holon_row, relationship_row
from holonstream.sinks.graph.schema import initialise
from holonstream.sinks.graph.statements import statement, text
from holonstream.sinks.graph.write.sink import GraphSink
from holonstream.testing.records import Record, records_of

TOPIC = "bench.events"
BATCH = 5_000  # events
BATCHES = 4  # of a round
ROUNDS = 4
PROMISED = {"create": 0.95, "cold update": 0.8, "hot set": 2.0, "relationship create": 0.95, "relationship end": 0.8}
SERVERS = ("neo4j",)
CATALOGUE = Catalogue.load()
ROWS = re.compile(r"\$(holons|created|updated)\b")  # the names by which the sink's statements get their rows
WIPE = "MATCH (n) CALL (n) { DETACH DELETE n } IN TRANSACTIONS OF 10000 ROWS"


def person(name: str, number: int) -> Event:
    return _event(
        "PersonCreated",
        (name,),
        {
            "name": f"Alexandra Okafor {number}",
            "rank": "O-3",
            "email": f"alexandra.{number}@example.org",
            "identifiers": {"edipi": str(1_000_000 + number)},
            "certificates": ["survey", "anvil"],
            "workLoad": number % 100,
        },
    )


def promoted(name: str, number: int) -> Event:
    return _event("PersonModified", (name,), {"properties": {"rank": "O-4", "workLoad": number % 100}})


def seated(name: str, other: str) -> Event:
    payload = {"relationshipId": name, "relationshipType": "OCCUPIES", "properties": {"role": "member"}}
    return _event("AssignmentStarted", (name, other), payload)


def left(name: str) -> Event:
    return _event("AssignmentEnded", (), {"relationshipId": name, "endDate": "2024-05-01T00:00:00.000Z"})


class Log:
    """Events with their places, over all rounds: an event below one that was written before would be no new one."""

    def __init__(self) -> None:
        self.states: dict[str, State] = {}
        self.versions: dict[str, int] = {}
        self.position = 0

    def take(self, events: Iterable[Event]) -> list[RecordedEvent]:
        taken = []
        for event in recorded(CATALOGUE, events):
            self.position += 1
            version = self.versions[event.stream] = self.versions.get(event.stream, 0) + 1
            taken.append(_placed(event, version, self.position))
        return taken

    def rows(self, log: Sequence[RecordedEvent]) -> list[dict[str, Any]]:
        """What a bare loop would write: a row per event, with the state after it."""
        rows = []
        for event in log:
            state = apply(CATALOGUE, self.states.get(event.stream), event)
            assert state is not None
            self.states[event.stream] = state
            rows.append(holon_row(state) if isinstance(state, Holon) else relationship_row(state))
        return rows


async def bare(driver: AsyncDriver, statements: Sequence[str], rows: Sequence[dict[str, Any]]) -> float:
    """Events per second of a loop over the driver."""
    began = perf_counter()
    for start in range(0, len(rows), BATCH):
        async with driver.session() as session, await session.begin_transaction() as transaction:
            part = rows[start : start + BATCH]
            for statement in statements:
                result = await transaction.run(ROWS.sub("$rows", statement), rows=part)
                await result.consume()
            await transaction.commit()
    return len(rows) / (perf_counter() - began)


async def sunk(sink: GraphSink, records: Sequence[Record]) -> float:
    """Events per second of the sink, its cache empty at the start."""
    first = await sink.assign(TOPIC, 0, None)
    records = [Record(first + record.offset, record.key, record.value) for record in records]
    began = perf_counter()
    for start in range(0, len(records), BATCH):
        part = records[start : start + BATCH]
        written = await sink.write(Batch(TOPIC, 0, part, part[-1].offset + 1))
        assert written.applied == len(part)
    return len(records) / (perf_counter() - began)


Path = tuple[Sequence[str], Callable[[str], list[Event]]]
"""Statements of the bare loop; the events, given a prefix for ids."""


def paths(number: int) -> dict[str, Path]:
    """What a round measures, by name."""
    count = BATCH * BATCHES
    dice = random.Random(number)
    names = [f"{number:02}-{i:06}" for i in range(count)]
    dice.shuffle(names)
    hot, cold = names[: count // 100], names[count // 100 :]
    mixed = [dice.choice(hot if dice.random() < 0.9 else cold) for _ in range(count)]
    update = [text("holons_write")]
    seat = [text("ends_write").replace("UNWIND $ends AS id", "UNWIND $rows AS row UNWIND [row.s, row.e] AS id")]
    seat.append(text("relationships_create"))
    leave = [statement("relationships_update", CATALOGUE, relationship_types=["OCCUPIES"])]
    return {
        "create": (update, lambda k: [person(k + n, i) for i, n in enumerate(names)]),
        "cold update": (update, lambda k: [promoted(k + n, i) for i, n in enumerate(names)]),
        "hot set": (update, lambda k: [promoted(k + n, i) for i, n in enumerate(mixed)]),
        "relationship create": (
            seat,
            lambda k: [seated(k + n, k + names[-1 - i]) for i, n in enumerate(names[:BATCH])],
        ),
        "relationship end": (leave, lambda k: [left(k + n) for n in names[:BATCH]]),
    }


async def _measure(uri: str, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Rates (bare, sink) per path and round."""
    rates: dict[str, list[tuple[float, float]]] = {}

    async def no_letters(letters: Any) -> None:
        raise AssertionError(f"dead letters: {letters[0]}")

    async with GraphConnection(uri) as connection, AsyncGraphDatabase.driver(uri) as driver:
        await connection.execute(WIPE)
        await initialise(connection, CATALOGUE, TOPIC, 1)
        theirs, ours = Log(), Log()
        for number in range(rounds + 1):  # the first warms the server and is not counted
            for name, (statements, make) in paths(number).items():
                rows = theirs.rows(theirs.take(make("bare")))
                records = records_of(ours.take(make("sink")))
                sink = GraphSink(connection, CATALOGUE, TOPIC, no_letters)
                gc.collect()
                gc.freeze()  # what the benchmark holds is no work for the collector
                if number % 2:
                    ours_rate, theirs_rate = await sunk(sink, records), await bare(driver, statements, rows)
                else:
                    theirs_rate, ours_rate = await bare(driver, statements, rows), await sunk(sink, records)
                if number:
                    rates.setdefault(name, []).append((theirs_rate, ours_rate))
        await connection.execute(WIPE)
    return rates


def measure(bench: Bench) -> list[Figure]:
    """Events per second of each path."""
    figures = []
    for name, pairs in asyncio.run(_measure(bench.settings.neo4j_uri, bench.rounds(ROUNDS))).items():
        their_rates, our_rates = zip(*pairs, strict=True)
        theirs, ours = statistics.median(their_rates), statistics.median(our_rates)
        promised = PROMISED.get(name)
        figures.append(
            Figure(
                path=f"graph sink, {name}",
                value=ours,
                unit="events/s",
                peer="bare driver, same UNWIND",
                peer_value=theirs,
                promise=f">= {promised:g}x" if promised else "",
                kept=ours >= promised * theirs if promised else None,
                spread=(min(our_rates), max(our_rates)),
                peer_spread=(min(their_rates), max(their_rates)),
            )
        )
    return figures


def _event(type: str, subjects: tuple[str, ...], payload: dict[str, Any]) -> Event:
    return Event(
        type=type,
        occurred_at="2024-03-01T08:00:00.000Z",
        actor="per-1",
        subjects=subjects,
        source_system="bench",
        payload=payload,
        id="599b1642-afff-402f-942d-30a0ca7645c9",
    )


def _placed(event: RecordedEvent, version: int, position: int) -> RecordedEvent:
    return msgspec.structs.replace(event, version=version, position=position)
