"""How fast the relay drains a backlog, and how long one event takes from commit to the topic.

    python -m benchmarks.bench_relay --dsn DSN --bootstrap HOST:PORT [--events 200000] [--compression lz4]

The database must be empty or one that an earlier run filled; the topic is made anew under a namespace of its own.
"""

from __future__ import annotations

import argparse
import resource
import threading
import time
import uuid

import psycopg
from confluent_kafka.admin import AdminClient, NewTopic

from producers.relay import Relay
from producers.schema import apply_schema
from schemas.catalogue import Catalogue

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


def drain(dsn: str, bootstrap: str, events: int, compression: str) -> float:
    """Seconds for the whole log, from the leader's first look at it."""
    namespace = f"bench-{uuid.uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(f"{namespace}.events", 12, 1)])[f"{namespace}.events"].result(30)
    stop = threading.Event()
    relay = Relay(dsn, bootstrap, namespace=namespace, compression=compression)
    thread = threading.Thread(target=relay.run, args=[stop])
    thread.start()
    try:
        assert relay.progress.wait_for(lambda p: p.state == "leader", 30), relay.progress.now
        start, cpu = time.perf_counter(), time.process_time()
        assert relay.progress.wait_for(lambda p: p.relayed >= events or p.state == "stopped", 300), relay.progress.now
        seconds = time.perf_counter() - start
        now = relay.progress.now
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"drain {compression}: {now.relayed:,} events in {seconds:.2f} s = {now.relayed / seconds:,.0f}/s, "
            f"{now.bytes / now.relayed:.0f} bytes each, {now.transactions} transactions, "
            f"{(time.process_time() - cpu) / seconds:.2f} cores in the relay, {peak:.0f} MiB at most"
        )
        probe(dsn, relay)
        return seconds
    finally:
        stop.set()
        thread.join()
        admin.delete_topics([f"{namespace}.events"])[f"{namespace}.events"].result(30)


def probe(dsn: str, relay: Relay) -> None:
    """Time single events from the return of their commit to that of their Kafka transaction."""
    times = []
    with psycopg.connect(dsn, autocommit=True) as connection:
        for _ in range(PROBES):
            relayed = relay.progress.now.relayed
            connection.execute(FILL, [1])
            start = time.perf_counter()
            assert relay.progress.wait_for(lambda p, n=relayed: p.relayed > n, 10)  # type: ignore[misc]
            times.append(time.perf_counter() - start)
    times.sort()
    print(
        f"commit to topic, one event at a time: p50 {times[len(times) // 2] * 1000:.1f} ms, "
        f"p99 {times[len(times) * 99 // 100] * 1000:.1f} ms"
    )


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dsn", required=True)
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--compression", action="append", help="may be repeated; defaults to lz4")
    arguments = parser.parse_args()
    apply_schema(arguments.dsn, Catalogue.load())
    fill(arguments.dsn, arguments.events)
    for compression in arguments.compression or ["lz4"]:
        drain(arguments.dsn, arguments.bootstrap, arguments.events, compression)


if __name__ == "__main__":
    main()
