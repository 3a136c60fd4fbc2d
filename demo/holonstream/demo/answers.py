"""What the demo asks once everything has arrived."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import TypeVar

from holonstream.client import connections
from holonstream.demo.data import DataSet
from holonstream.demo.freshness import measure
from holonstream.ops.output import print_table, say
from holonstream.ops.settings import Settings
from holonstream.producers.log.store import PostgresEventStore
from holonstream.schemas import instant
from holonstream.schemas.errors import HolonstreamError
from holonstream.schemas.event import Event
from holonstream.schemas.projection import fold
from holonstream.schemas.state import State
from holonstream.sinks.cache.reader import CachedGraphStore
from holonstream.sinks.graph.read.store import Neo4jGraphStore

T = TypeVar("T")
SHOWN = 12  # answers that are printed
PROBES = 300  # events sent to measure latencies
PROBE_INTERVAL = 0.01  # seconds between them
SAMPLE = 0.05  # seconds between two that are watched: each poll of the graph is a query


class WrongCount(HolonstreamError):
    """The graph is not what the log says."""


async def answer(settings: Settings, data: DataSet) -> None:
    """Check the graph against the log, then ask. Raises WrongCount."""
    known = connections.catalogue(settings)
    with connections.event_store(settings, known) as log:
        async with connections.graph_connection(settings) as connection:
            graph = Neo4jGraphStore(connection, known, settings.topic)
            async with CachedGraphStore(
                graph, connections.redis_client(settings, timeout=connections.READ_TIMEOUT), settings.namespace
            ) as cached:
                say()
                say("counts: the graph against the fold of the log")
                await _check(fold(known, log.read()), graph)
                await _person(cached, data.person)
                await _question(graph, data)
                await _own_write(log, cached, graph, data.person)
                await _latencies(settings, log, graph, data.person)


async def _check(expected: dict[str, State], graph: Neo4jGraphStore) -> None:
    states = [state async for state in graph.export()]
    there = Counter((type(state).__name__, state.type) for state in states)
    wanted = Counter((type(state).__name__, state.type) for state in expected.values())
    rows = [[kind, name, wanted[kind, name], there[kind, name]] for kind, name in sorted(wanted | there)]
    print_table("", ["kind", "type", "log", "graph"], rows)
    found = {f"{type(state).__name__.lower()}/{state.id}": state for state in states}
    if wrong := sorted(
        stream for stream in expected.keys() | found.keys() if expected.get(stream) != found.get(stream)
    ):
        raise WrongCount(
            f"{len(wrong)} entities differ, the first is {wrong[0]}: log {expected.get(wrong[0])}, "
            f"graph {found.get(wrong[0])}"
        )
    say(f"all {len(expected):,} entities are equal, field by field")


async def _person(cached: CachedGraphStore, person: str) -> None:
    say()
    say(f"who is {person}? (through the cache)")
    for kind in ("miss", "hit"):
        holon, milliseconds = await _timed(lambda: cached.get_holon(person))
        assert holon is not None
        say(f"  {kind:4} {milliseconds:7.2f} ms   {holon.properties.get('name')} ({holon.status})")


async def _question(graph: Neo4jGraphStore, data: DataSet) -> None:
    say()
    say(f"{data.question} (a pattern, in the graph)")
    matches, milliseconds = await _timed(lambda: graph.match_pattern(data.pattern))
    for match in matches[:SHOWN]:
        say(f"  {data.answer(match)}")
    say(f"  {len(matches)} in all, {milliseconds:.2f} ms")


async def _own_write(log: PostgresEventStore, cached: CachedGraphStore, graph: Neo4jGraphStore, person: str) -> None:
    say()
    say("read your own write, with a token")
    event = _note(person, 0)
    (appended,), wrote = await _timed(lambda: asyncio.to_thread(log.append, [event]))
    holon, read = await _timed(lambda: cached.get_holon(person, at_least=appended.token))
    assert holon is not None
    say(f"  appended {event.type} at position {appended.position:,} in {wrote:.2f} ms, token {appended.token}")
    say(f"  get_holon(at_least=token) waited {read:.2f} ms and saw note = {holon.properties.get('note')!r}")
    if holon.properties.get("note") != 0:
        raise WrongCount(f"the read with a token does not show the write: {holon}")
    found, traversal = await _timed(lambda: graph.get_holon_relationships(person, at_least=appended.token))
    say(f"  get_holon_relationships(at_least=token): {len(found)} in {traversal:.2f} ms")


def _note(person: str, number: int) -> Event:
    return Event(
        type="PersonModified",
        occurred_at=instant.now(),
        actor="demo",
        subjects=(person,),
        payload={"diff": {"note": number}},
        source_system="demo",
    )


async def _timed(call: Callable[[], Awaitable[T]]) -> tuple[T, float]:
    began = perf_counter()
    result = await call()
    return result, (perf_counter() - began) * 1000


async def _latencies(settings: Settings, log: PostgresEventStore, graph: Neo4jGraphStore, person: str) -> None:
    batches = [[_note(f"{person}-probe-{number}", number)] for number in range(PROBES)]
    latencies = await measure(settings, log, graph, batches, PROBE_INTERVAL, SAMPLE)
    say()
    say(f"latency from commit, {PROBES} single events, one every {PROBE_INTERVAL * 1000:g} ms")
    print_table("", ["", "p50 ms", "p99 ms"], [[latency.view, latency.p50, latency.p99] for latency in latencies])
