"""Settings to relay and workers, and to what the operator's commands read."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from holonstream.client.connections import catalogue, graph_connection, redis_client
from holonstream.ops.settings import Settings
from holonstream.schemas import names
from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.errors import BadData
from holonstream.schemas.event import Event, parse_events
from holonstream.schemas.state import State

if TYPE_CHECKING:
    from holonstream.producers.log.reader import LogReader
    from holonstream.producers.relay.relay import Relay
    from holonstream.schemas.migration import SchemaStatus
    from holonstream.sinks.base import PublishDeadLetters, Sink
    from holonstream.sinks.own import EventSink
    from holonstream.sinks.own_redrive import SinkRedriver
    from holonstream.streams.app import GroupSettings, SinkApp

TOPIC_ID_TIMEOUT = 4.0  # seconds that a worker waits for the topic's id
SINK_TIMEOUT = 5.0  # seconds that a worker waits for a reply of Redis


def read_events(file: Path, key: str, known: Catalogue) -> list[Event]:
    """The envelopes of a JSON file, "-" is standard input, which the catalogue takes.

    Raises BadData, naming the file and the first fault.
    """
    given = str(file) == "-"
    if given:
        file = Path("standard input")
    try:
        text = file.read_bytes() if not given else b"" if sys.stdin is None else sys.stdin.buffer.read()
        events = parse_events(text, key)
        for number, event in enumerate(events, 1):
            try:
                known.validate(event)
            except BadData as error:
                raise BadData(f"{error} (number {number} of the list)") from None
        return events
    except OSError as error:
        raise BadData(f"Cannot read {file}: {error.strerror}") from error
    except BadData as error:
        raise type(error)(f"{file}: {error}") from None


async def graph_states(settings: Settings) -> list[State]:
    """Everything that the graph holds."""
    from holonstream.sinks.graph.read.store import Neo4jGraphStore

    async with graph_connection(settings) as connection:
        store = Neo4jGraphStore(connection, catalogue(settings), settings.topic)
        return [state async for state in store.export()]


async def graph_status(settings: Settings, known: Catalogue) -> SchemaStatus:
    """What the graph has had of constraints, indexes and migrations, and what is pending."""
    from holonstream.sinks.graph import schema

    async with graph_connection(settings) as connection:
        return await schema.graph_status(connection, known)


async def upgrade_graph(settings: Settings, known: Catalogue) -> bool:
    """Make the graph's constraints and indexes, and apply its migrations; returns whether anything was pending."""
    from holonstream.sinks.graph import schema

    async with graph_connection(settings) as connection:
        return await schema.upgrade(connection, known)


async def initialise_graph(settings: Settings, known: Catalogue, partitions: int) -> None:
    """Make the graph's constraints and checkpoints."""
    from holonstream.producers.log.reader import LogReader
    from holonstream.sinks.graph.schema import initialise

    with LogReader(settings.log_dsn, "holonstream-init") as log:
        log_end = log.frontier().head
    async with graph_connection(settings) as connection:
        await initialise(connection, known, settings.topic, partitions, log_end)


def relay(settings: Settings, *, trust_topic: bool = False, trust_log: bool = False) -> Relay:
    """A relay. Raises NotPermitted when the brokers refuse its login."""
    from holonstream.ops.kafka import check_login, security
    from holonstream.producers.relay.relay import Relay

    check_login(settings)
    return Relay(
        settings.log_dsn,
        settings.kafka_bootstrap,
        namespace=settings.namespace,
        batch_events=settings.relay_batch,
        linger=settings.relay_linger,
        trust_topic=trust_topic,
        trust_log=trust_log,
        kafka_config=security(settings),
    )


def group_settings(settings: Settings, name: str) -> GroupSettings:
    """Where and as whom a worker of a view (``graph``, ``cache``, ``sink-NAME``) reads."""
    from holonstream.ops.kafka import token_source
    from holonstream.streams.app import GroupSettings

    return GroupSettings(
        bootstrap=settings.kafka_bootstrap.split(","),
        tls=settings.kafka_tls,
        ca=settings.kafka_ca,
        cert=settings.kafka_cert,
        key=settings.kafka_key,
        mechanism=settings.kafka_mechanism,
        user=settings.kafka_user,
        password=settings.kafka_password.reveal() if settings.kafka_password else "",
        token=token_source(settings),
        group=settings.group(name),
        topic=settings.topic,
        dead_letter_topic=settings.dead_letter_topic,
        max_batch=settings.batch_events,
        session_timeout=settings.session_timeout,
        heartbeat_interval=settings.session_timeout / 4,
        commit_interval=settings.commit_interval,
        poll_interval=settings.metrics_interval,
    )


def worker(settings: Settings, name: str) -> SinkApp:
    """A worker of the group ``graph`` or ``cache``. Raises NotPermitted when the brokers refuse its login."""

    # Each kind of worker imports its own store alone.
    def graph_sink(publish: PublishDeadLetters) -> Sink:
        from holonstream.sinks.graph.write.sink import GraphSink

        return GraphSink(graph_connection(settings), catalogue(settings), settings.topic, publish)

    def cache_sink(publish: PublishDeadLetters) -> Sink:
        from holonstream.sinks.cache.sink import InvalidationSink

        redis = redis_client(settings, timeout=SINK_TIMEOUT)
        return InvalidationSink(
            redis, settings.namespace, value_ttl=settings.value_ttl, tombstone_ttl=settings.tombstone_ttl
        )

    return _worker_app(settings, name, {"graph": graph_sink, "cache": cache_sink}[name])


def own_worker(settings: Settings, sink: EventSink) -> SinkApp:
    """A worker of a sink of one's own. Raises NotPermitted when the brokers refuse its login."""
    from holonstream.sinks.own_worker import EventSinkWriter

    return _worker_app(settings, names.sink_view(sink.name), lambda publish: EventSinkWriter(sink, publish))


@asynccontextmanager
async def sink_redriver(settings: Settings, sink: EventSink, log: LogReader) -> AsyncIterator[SinkRedriver]:
    """What redrives a sink of one's own. Raises NotInitialised, KafkaUnavailable, NotPermitted."""
    from confluent_kafka.admin import AdminClient

    from holonstream.ops.kafka import check_login, client
    from holonstream.producers.kafka import topic_identity
    from holonstream.sinks.own_redrive import SinkRedriver

    check_login(settings)
    topic = topic_identity(AdminClient(client(settings)), settings.topic)
    redriver = SinkRedriver(sink, settings.topic, topic.partitions, log)
    try:
        await redriver.open()
        yield redriver
    finally:
        await redriver.close()


def _worker_app(settings: Settings, view: str, make_sink: Callable[[PublishDeadLetters], Sink]) -> SinkApp:
    from holonstream.ops.kafka import check_login, client
    from holonstream.producers.kafka import TopicIdSource
    from holonstream.streams.app import SinkApp

    check_login(settings)
    source = TopicIdSource(client(settings), settings.topic, TOPIC_ID_TIMEOUT)
    return SinkApp(group_settings(settings, view), make_sink, source.ask)
