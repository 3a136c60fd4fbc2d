"""The composition root: settings to clients, stores and workers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from holonstream.ops.kafka import security
from holonstream.ops.settings import Settings
from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.errors import BadData
from holonstream.schemas.event import Event, parse_events
from holonstream.schemas.state import State

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from holonstream.producers.event_store import PostgresEventStore
    from holonstream.producers.relay import Relay
    from holonstream.sinks.graph.driver import GraphConnection
    from holonstream.streams.app import SinkApp

SINK_TIMEOUT = 5.0  # seconds that a worker waits for a reply of Redis
READ_TIMEOUT = 0.05  # seconds that a reader does, before it asks the graph instead


def catalogue(settings: Settings) -> Catalogue:
    """The event types that ship, and those of the folder in the settings."""
    return Catalogue.load(*([settings.schemas] if settings.schemas else []))


def read_events(file: Path, key: str) -> list[Event]:
    """The envelopes of a JSON file. Raises BadData, naming the file and the first fault."""
    try:
        return parse_events(file.read_bytes(), key)
    except OSError as error:
        raise BadData(f"Cannot read {file}: {error.strerror}") from error
    except BadData as error:
        raise type(error)(f"{file}: {error}") from None


def event_store(
    settings: Settings,
    known: Catalogue,
    *,
    max_connections: int = 4,
    on_append: Callable[[int, float], None] | None = None,
) -> PostgresEventStore:
    """The event log; `on_append` is as PostgresEventStore takes it.

    Raises LogUnavailable at once when it cannot be reached.
    """
    from holonstream.producers.event_store import PostgresEventStore
    from holonstream.producers.postgres import connect

    dsn = settings.log_dsn
    connect(dsn, "holonstream-store").close()  # a pool would try for its whole timeout, and not say why
    return PostgresEventStore(dsn, known, max_connections=max_connections, on_append=on_append)


def graph_connection(settings: Settings) -> GraphConnection:
    """The graph's database; open it before use."""
    from holonstream.sinks.graph.driver import GraphConnection

    password = settings.neo4j_password
    return GraphConnection(
        settings.neo4j_uri,
        user=settings.neo4j_user if password else None,
        password=password.get_secret_value() if password else None,
        database=settings.neo4j_database,
        ca=settings.neo4j_ca,
    )


def redis_client(settings: Settings, *, timeout: float) -> Redis:
    """The cache; every reply is waited for `timeout` seconds at most."""
    from holonstream.sinks.cache.driver import connect

    password = settings.redis_password
    return connect(
        settings.redis_url.get_secret_value(),
        timeout=timeout,
        password=password.get_secret_value() if password else None,
        ca=settings.redis_ca,
    )


async def graph_states(settings: Settings) -> list[State]:
    """Everything that the graph holds."""
    from holonstream.sinks.graph.read.store import Neo4jGraphStore

    async with graph_connection(settings) as connection:
        store = Neo4jGraphStore(connection, catalogue(settings), settings.topic)
        return [state async for state in store.export()]


async def initialise_graph(settings: Settings, known: Catalogue, partitions: int) -> None:
    """Make the graph's constraints and checkpoints."""
    from holonstream.sinks.graph.schema import initialise

    async with graph_connection(settings) as connection:
        await initialise(connection, known, settings.topic, partitions)


def relay(settings: Settings, *, trust_topic: bool = False) -> Relay:
    """A relay."""
    from holonstream.producers.relay import Relay

    return Relay(
        settings.log_dsn,
        settings.kafka_bootstrap,
        namespace=settings.namespace,
        batch_events=settings.relay_batch,
        linger=settings.relay_linger,
        trust_topic=trust_topic,
        kafka_config=security(settings),
    )


def worker(settings: Settings, name: str) -> SinkApp:
    """A worker of the group ``graph`` or ``cache``."""
    from holonstream.streams.app import GroupSettings
    from holonstream.streams.cache import cache_app
    from holonstream.streams.graph import graph_app

    group = GroupSettings(
        bootstrap=settings.kafka_bootstrap.split(","),
        tls=settings.kafka_tls,
        ca=settings.kafka_ca,
        user=settings.kafka_user,
        password=settings.kafka_password.get_secret_value() if settings.kafka_password else "",
        group=settings.group(name),
        topic=settings.topic,
        dead_letter_topic=settings.dead_letter_topic,
        max_batch=settings.batch_events,
        session_timeout=settings.session_timeout,
        heartbeat_interval=settings.session_timeout / 4,
        commit_interval=settings.commit_interval,
        look_interval=settings.metrics_interval if settings.metrics_port else 0.0,
    )
    if name == "graph":
        return graph_app(group, graph_connection(settings), catalogue(settings))
    return cache_app(
        group,
        redis_client(settings, timeout=SINK_TIMEOUT),
        settings.namespace,
        value_ttl=settings.value_ttl,
        tombstone_ttl=settings.tombstone_ttl,
    )
