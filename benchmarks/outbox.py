"""A rival of the relay: a polling outbox that marks rows, as many services write one.

``python -m benchmarks.outbox DSN BOOTSTRAP TOPIC`` publishes what is not marked, waits for the brokers, marks it, and
commits. It publishes at least once: a crash between the brokers' answer and the commit publishes again. It follows the
order of a sequence, and so reorders transactions that commit late.
"""

from __future__ import annotations

import sys
import threading

import psycopg
from confluent_kafka import Producer

BATCH = 1_000
POLL = 0.01  # seconds between two polls without a row

TABLE = """
CREATE TABLE IF NOT EXISTS polled (
    position  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stream    text NOT NULL,
    value     text NOT NULL,
    published timestamptz);
CREATE INDEX IF NOT EXISTS polled_unpublished ON polled (position) WHERE published IS NULL
"""
TAKE = """
SELECT position, stream, value FROM polled WHERE published IS NULL
ORDER BY position LIMIT %s FOR UPDATE SKIP LOCKED
"""
MARK = "UPDATE polled SET published = clock_timestamp() WHERE position = ANY (%s)"


def publish(dsn: str, bootstrap: str, topic: str) -> None:
    """Until it is killed."""
    idle = threading.Event()
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,
            "compression.type": "lz4",
            "linger.ms": 5,
            "batch.size": 1_000_000,
            "partitioner": "murmur2",
        }
    )
    with psycopg.connect(dsn, autocommit=True, application_name="outbox") as connection:
        while True:
            with connection.transaction():
                rows = connection.execute(TAKE, [BATCH], prepare=True).fetchall()
                for _, stream, value in rows:
                    producer.produce(topic, value, stream)
                if rows:
                    assert producer.flush(60) == 0
                    connection.execute(MARK, [[position for position, _, _ in rows]], prepare=True)
            if not rows:
                idle.wait(POLL)


if __name__ == "__main__":
    publish(*sys.argv[1:])
