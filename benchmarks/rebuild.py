"""`holonstream replay graph` against the bare bulk statement.

The log holds persons that are created, change four times, and take a seat that they leave again; 5,000 of them are busy
at a time. A loop over the driver writes it in transactions of 10,000 events, with rows made beforehand, one for each
event, by the sink's own UNWIND statements. The command rebuilds the same graph in place from the topic, with two
workers. Both rates are of the time in which the graph grows: that workers start first is left out. Both begin with an
empty graph that has its constraints. Rounds take turns; the first warms the server and is not counted.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any

from msgspec.structs import replace
from neo4j import AsyncGraphDatabase

from benchmarks import environment
from benchmarks.bench import Bench, median
from benchmarks.figures import Figure
from benchmarks.graph import CATALOGUE, WIPE, Log, left, person, promoted, seated
from holonstream.client import connections
from holonstream.ops.commands.init import initialise
from holonstream.ops.processes import Processes
from holonstream.schemas.event import Event, RecordedEvent
from holonstream.sinks.graph.checkpoint import read_all
from holonstream.sinks.graph.driver import GraphConnection
from holonstream.sinks.graph.statements import statement, text

EVENTS = 1_000_000
QUICK_EVENTS = 200_000
OF_PERSON = 7  # events
BUSY = 5_000  # persons
BATCH = 10_000  # events
CALL = 1_000  # events
ROUNDS = 3
PROMISED = 0.9
POLL = 0.25  # seconds


def measure(bench: Bench) -> list[Figure]:
    """Events per second of both."""
    count = QUICK_EVENTS if bench.quick else EVENTS
    initialise(bench.settings)
    with tempfile.TemporaryDirectory() as folder, Processes(environment(bench.settings), Path(folder)) as processes:
        processes.start("relay", "relay")
        with connections.event_store(bench.settings, CATALOGUE) as store:
            for call in batches(events(count), CALL):
                store.append(call)
        bench.note(f"{count:,} events appended")
        pairs = asyncio.run(_measure(bench, count, bench.rounds(ROUNDS) + 1))[1:]
    theirs, ours = zip(*pairs, strict=True)
    return [
        Figure(
            path=f"replay graph of {count:,} events",
            value=median(ours),
            unit="events/s",
            peer="bare driver, same UNWIND, a row per event",
            peer_value=median(theirs),
            promise=f">= {PROMISED:g}x",
            kept=median(ours) >= PROMISED * median(theirs),
            spread=(min(ours), max(ours)),
            peer_spread=(min(theirs), max(theirs)),
        )
    ]


def events(count: int) -> Iterator[Event]:
    """The log: for each group of busy persons their events, mixed, those of one person in order."""
    dice = random.Random(count)
    for first in range(0, count // OF_PERSON, BUSY):
        numbers = range(first, min(first + BUSY, count // OF_PERSON))
        turns = [number for number in numbers for _ in range(OF_PERSON)]
        dice.shuffle(turns)
        lives = {number: _life(number) for number in numbers}
        for number in turns:
            yield next(lives[number])


def _life(number: int) -> Iterator[Event]:
    name = f"rebuilt-{number:06}"
    yield person(name, number)
    for change in range(2):
        yield promoted(name, number + change)
    yield seated(name, f"rebuilt-{number // 2:06}")
    for change in range(2):
        yield promoted(name, number + change + 2)
    yield left(name)


def batches(all_events: Iterator[Event], size: int) -> Iterator[list[Event]]:
    """The events in lists of `size`, each with an id of its own."""
    while batch := list(islice(all_events, size)):
        yield [replace(event, id=None) for event in batch]


async def _measure(bench: Bench, count: int, rounds: int) -> list[tuple[float, float]]:
    """Events per second of the bare loop and of the command, for each round."""
    measured = []
    async with GraphConnection(bench.settings.neo4j_uri) as connection:
        for number in range(rounds):
            await connection.execute(WIPE)
            theirs = await _bare(bench.settings.neo4j_uri, count)
            ours = await _replayed(bench, connection, count)
            measured.append((theirs, ours))
            bench.note(f"round {number}: bare {theirs:,.0f}/s, replay {ours:,.0f}/s")
    return measured


async def _bare(uri: str, count: int) -> float:
    log = Log()
    seconds = 0.0
    async with AsyncGraphDatabase.driver(uri) as driver:
        for part in batches(events(count), BATCH):
            logged = log.take(part)
            statements = _statements(list(zip(logged, log.rows(logged), strict=True)))
            began = perf_counter()
            async with driver.session() as session, await session.begin_transaction() as transaction:
                for query, parameters in statements:
                    await (await transaction.run(query, parameters)).consume()
                await transaction.commit()
            seconds += perf_counter() - began
    return count / seconds


def _statements(rows: Sequence[tuple[RecordedEvent, dict[str, Any]]]) -> list[tuple[str, dict[str, Any]]]:
    created = [row for event, row in rows if event.type == "AssignmentStarted"]
    update = statement("relationships_update", CATALOGUE, relationship_types=["OCCUPIES"])
    return [
        (text("holons_write"), {"holons": [row for event, row in rows if event.type.startswith("Person")]}),
        (text("ends_write"), {"ends": [row[end] for row in created for end in ("s", "e")]}),
        (text("relationships_create"), {"created": created}),
        (update, {"updated": [row for event, row in rows if event.type == "AssignmentEnded"]}),
    ]


async def _replayed(bench: Bench, connection: GraphConnection, count: int) -> float:
    """The command, watched by the checkpoints that it moves."""
    command = [sys.executable, "-m", "holonstream", "replay", "graph", "--in-place", "--restart", "--yes"]
    process = await asyncio.create_subprocess_exec(*command, env={**os.environ, **environment(bench.settings)})
    ended = asyncio.ensure_future(process.wait())
    wiped = False
    grown: list[tuple[float, int]] = []  # when, and the sum of the offsets then
    while not ended.done():
        reached = sum(checkpoint.offset for checkpoint in await read_all(connection, bench.settings.topic))
        wiped = wiped or reached == 0
        if wiped and reached > (grown[-1][1] if grown else 0):
            grown.append((perf_counter(), reached))
        await asyncio.wait([ended], timeout=POLL)
    if ended.result() != 0:
        raise RuntimeError(f"the replay ended with code {ended.result()}")
    (began, first), (done, last) = grown[0], grown[-1]
    return count * (last - first) / last / (done - began)  # of the offsets some are no events
