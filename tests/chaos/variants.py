"""Two relays with a defect, which the oracle must detect: ``python -m tests.chaos.variants sequence-cursor|xmin``.

Both follow the log by what a reader can see, without the frontier. ``sequence-cursor`` takes every event with a
higher position than the last one published, and loses what commits later with a lower position. ``xmin`` takes events
in the order of transaction ids, up to the oldest transaction that still runs. A transaction that began early and
appended late is published too early, so that versions of a stream are reversed.
"""

from __future__ import annotations

import sys
import threading
from typing import Any

import psycopg

from holonstream.ops import logs
from holonstream.ops.kafka import security
from holonstream.ops.settings import Settings
from holonstream.ops.stopping import stop_on_signals
from holonstream.producers.log.batches import EventBatch
from holonstream.producers.relay.publisher import Publisher
from holonstream.producers.relay.relay import Relay

BY_POSITION = """
    SELECT e.position, e.stream, holonstream.cloud_event_v2(e), e.position FROM holonstream.events e
    WHERE e.position > %s ORDER BY e.position
"""
BY_TRANSACTION = """
    SELECT e.position, e.stream, holonstream.cloud_event_v2(e), e.xmin::text::bigint FROM holonstream.events e
    WHERE e.xmin::text::bigint > %s
      AND e.xmin::text::bigint < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
    ORDER BY e.xmin::text::bigint, e.position
"""
QUERIES: dict[str, Any] = {"sequence-cursor": BY_POSITION, "xmin": BY_TRANSACTION}
POLL = 0.01  # seconds


class BrokenRelay(Relay):
    """Leads, publishes and recovers as the relay does, but reads the log in another order."""

    query: Any

    def _follow(
        self, connection: psycopg.Connection[Any], publisher: Publisher, position: int, stop: threading.Event
    ) -> None:
        last = 0
        while not stop.wait(POLL):
            publisher.keep_up()
            rows = connection.execute(self.query, [last]).fetchall()
            if rows:
                last = rows[-1][3]
                events = [(position, stream.encode(), value.encode()) for position, stream, value, _ in rows]
                publisher.publish(EventBatch(events, sum(len(value) for _, _, value in events)))


def main(variant: str) -> None:
    """Run until SIGTERM."""
    settings = Settings.load()
    logs.configure(settings.log_level, settings.log_format)
    stop = stop_on_signals()
    relay = BrokenRelay(
        settings.postgres_dsn.reveal(),
        settings.kafka_bootstrap,
        namespace=settings.namespace,
        kafka_config=security(settings),
    )
    relay.query = QUERIES[variant]
    relay.run(stop)


if __name__ == "__main__":
    main(sys.argv[1])
