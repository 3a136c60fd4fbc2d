"""How fast the relay drains a backlog, and how long one event takes from its commit to the topic."""

from __future__ import annotations

import resource
import threading
import time
import uuid

import psycopg
from confluent_kafka.admin import AdminClient
from msgspec.structs import replace

from benchmarks.figures import Figure
from holonstream.ops.kafka import client
from holonstream.ops.settings import Settings
from holonstream.ops.topics import make_topics
from holonstream.producers.log.schema import apply_schema
from holonstream.producers.relay.relay import Relay
from holonstream.schemas.catalogue import Catalogue

EVENTS = 200_000
ROUNDS = 3
CHUNK = 10_000
PROBES = 200

FILL = """
SELECT count(*) FROM holonstream.append_events((
    SELECT jsonb_agg(jsonb_build_object(
        'type', 'PersonCreated', 'occurredAt', '2024-03-01T08:00:00.000Z', 'actor', 'system-bench',
        'subjects', jsonb_build_array('person-' || gen_random_uuid()), 'sourceSystem', 'bench',
        'payload', jsonb_build_object('name', 'Ada King ' || n, 'rank', 'O-3', 'email', 'ada' || n || '@example.org')))
    FROM generate_series(1, %s) AS n))
"""


def fill(dsn: str, events: int) -> None:
    """Append until the log has that many events."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        row = connection.execute("SELECT count(*) FROM holonstream.events").fetchone()
        missing = events - (row[0] if row else 0)
        for start in range(0, missing, CHUNK):
            connection.execute(FILL, [min(CHUNK, missing - start)])
        connection.execute("VACUUM ANALYZE holonstream.events")


def measure(settings: Settings) -> list[Figure]:
    """The best of three drains, single events, and the memory of the process that did it all."""
    dsn = settings.log_dsn
    apply_schema(dsn, Catalogue.load())
    fill(dsn, EVENTS)
    rates: list[float] = []
    waits: list[float] = []
    for _ in range(ROUNDS):
        rate, waits = drain(settings)
        rates.append(rate)
    best = max(rates)
    waits.sort()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return [
        Figure(
            path=f"relay, backlog of {EVENTS:,} drained",
            value=best,
            unit="events/s",
            peer=f"(all rounds: {', '.join(f'{rate:,.0f}' for rate in rates)})",
            promise=">= 100,000 events/s",
            kept=best >= 100_000,
        ),
        Figure(path="relay, commit to Kafka's commit, p50", value=waits[len(waits) // 2] * 1000, unit="ms"),
        Figure(path="relay, commit to Kafka's commit, p99", value=waits[len(waits) * 99 // 100] * 1000, unit="ms"),
        Figure(path="relay, memory at most", value=peak, unit="MiB", promise="<= 300 MiB", kept=peak <= 300),
    ]


def drain(settings: Settings) -> tuple[float, list[float]]:
    """Events per second over the whole log, from the leader's first poll of it; seconds of single events after it."""
    own = replace(settings, namespace=f"bench-{uuid.uuid4().hex[:8]}")
    make_topics(own)
    stop = threading.Event()
    relay = Relay(own.log_dsn, own.kafka_bootstrap, namespace=own.namespace)
    thread = threading.Thread(target=relay.run, args=[stop])
    thread.start()
    try:
        assert relay.progress.wait_for(lambda p: p.state == "leader", 60), relay.progress.now
        start = time.perf_counter()
        assert relay.progress.wait_for(lambda p: p.relayed >= EVENTS or p.state == "stopped", 300), relay.progress.now
        seconds = time.perf_counter() - start
        return relay.progress.now.relayed / seconds, probe(own.log_dsn, relay)
    finally:
        stop.set()
        thread.join()
        admin = AdminClient(client(own))
        for deleted in admin.delete_topics([own.topic, own.dead_letter_topic]).values():
            deleted.result(30)


def probe(dsn: str, relay: Relay) -> list[float]:
    """Seconds of single events from the return of their commit to that of their Kafka transaction."""
    times = []
    with psycopg.connect(dsn, autocommit=True) as connection:
        for _ in range(PROBES):
            relayed = relay.progress.now.relayed
            connection.execute(FILL, [1])
            start = time.perf_counter()
            assert relay.progress.wait_for(lambda p, n=relayed: p.relayed > n, 10)  # type: ignore[misc]
            times.append(time.perf_counter() - start)
    return times
