"""A fail-over to a streaming replica that lacks the last commits: what was published of them is noticed and named."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from holonstream.ops.settings import Settings
from holonstream.ops.topics import make_topics
from holonstream.producers.errors import LogBehind
from holonstream.producers.log.schema import apply_schema
from holonstream.producers.log.store import PostgresEventStore
from holonstream.producers.relay.relay import Relay
from holonstream.producers.relay.status import log_status
from holonstream.schemas.catalogue import Catalogue
from tests.support.event_log import append, envelope, person
from tests.support.standby import standby_of

CATALOGUE = Catalogue.load()
RECORDING = "SELECT pg_get_functiondef(oid) FROM pg_proc WHERE proname = 'write_events'"


def test_a_promoted_replica_without_the_last_commits_is_refused(
    postgres_dsn: str, kafka_bootstrap: str, topic_prefix: str
) -> None:
    namespace = topic_prefix.rstrip(".")
    make_topics(Settings.of({"HOLONSTREAM_KAFKA_BOOTSTRAP": kafka_bootstrap, "HOLONSTREAM_NAMESPACE": namespace}))
    apply_schema(postgres_dsn, CATALOGUE)
    with standby_of(postgres_dsn) as standby:
        with PostgresEventStore(postgres_dsn, CATALOGUE) as store:
            store.append([person(f"p-{n}") for n in range(3)])
            standby.wait_until_caught_up()
            standby.cut_off()
            lost = store.append([person("p-0"), person("lost")])
        publish(Relay(postgres_dsn, kafka_bootstrap, namespace=namespace), lost[-1].position)

        promoted = standby.promote(str(conninfo_to_dict(postgres_dsn)["dbname"]))
        with pytest.raises(
            LogBehind, match=rf"position {lost[-1].position}, where the log has no event .*replay topic"
        ):
            Relay(promoted, kafka_bootstrap, namespace=namespace).run(threading.Event())
        assert log_status(promoted, namespace, lost[-1].position).lag == 0
        with PostgresEventStore(promoted, CATALOGUE) as store:
            again = store.append([person("p-0")], expected={"holon/p-0": 1})  # the lost one's version, not its position
            assert again[0].version == lost[0].version
            assert again[0].position > lost[-1].position
            assert [event.position for event in store.get_events()][-1] == again[0].position
        with pytest.raises(LogBehind):
            Relay(promoted, kafka_bootstrap, namespace=namespace).run(threading.Event())


def test_a_promoted_replica_without_a_commit_below_its_last_event_is_refused(
    postgres_dsn: str, kafka_bootstrap: str, topic_prefix: str
) -> None:
    """The last event on the topic is there, and one with a lower position, which was committed after it, is not.

    The clock of PostgreSQL is an hour ahead of that of the relay.
    """
    namespace = topic_prefix.rstrip(".")
    make_topics(Settings.of({"HOLONSTREAM_KAFKA_BOOTSTRAP": kafka_bootstrap, "HOLONSTREAM_NAMESPACE": namespace}))
    apply_schema(postgres_dsn, CATALOGUE)
    with psycopg.connect(postgres_dsn) as connection:
        (recording,) = connection.execute(RECORDING).fetchone() or ("",)
        assert "clock_timestamp()" in recording
        connection.execute(recording.replace("clock_timestamp()", "clock_timestamp() + interval '1 hour'"))
    with standby_of(postgres_dsn) as standby, psycopg.connect(postgres_dsn) as late:
        lost = append(late, [envelope("late")])[0][3]
        with PostgresEventStore(postgres_dsn, CATALOGUE) as store:
            last = store.append([person(f"p-{n}") for n in range(1000)])[-1].position
        standby.wait_until_caught_up()
        standby.cut_off()
        late.commit()
        publish(Relay(postgres_dsn, kafka_bootstrap, namespace=namespace), last)
        promoted = standby.promote(str(conninfo_to_dict(postgres_dsn)["dbname"]))
        with pytest.raises(LogBehind, match=rf"at position {lost}, where the log has no event"):
            Relay(promoted, kafka_bootstrap, namespace=namespace).run(threading.Event())


def publish(relay: Relay, position: int) -> None:
    """Run a relay until it has published a position."""
    stop = threading.Event()
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(relay.run, stop)
        try:
            assert relay.progress.wait_for(lambda now: now.position >= position, 120), relay.progress.now
        finally:
            stop.set()
        running.result(60)
