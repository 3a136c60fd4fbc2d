"""Asking the four servers at once, with a time limit: who answers, and why the others do not.

A question that gets no answer is left alone in its thread: some drivers cannot be interrupted while they resolve a name
or connect. The command line does not wait for it when it ends (`ops.cli`).
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from queue import Empty, Queue
from time import monotonic
from typing import TypeVar

from holonstream.ops.command_line import QUESTION
from holonstream.ops.settings import Settings
from holonstream.schemas.errors import NotInitialised, Unavailable

T = TypeVar("T")

HELLO = 2.2  # seconds for a server's first answer: a command that asks all of them ends within 3
DRIVERS = (
    "confluent_kafka.admin",
    "holonstream.producers.log.postgres",
    "holonstream.sinks.cache.driver",
    "holonstream.sinks.graph.driver",
)
CONNECT = 2.0  # seconds for a connection to a broker
LOCAL_SOCKET = "local socket"
FULL = 256 * 2**20  # bytes: a server that has less room will soon stop
NO_ROOM = 0.05  # share of a disk


class NoAnswer(Unavailable):
    """A server did not answer in time."""


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """One of the four, and how it is reached."""

    name: str
    address: str
    """without secrets"""
    greet: Callable[[], object]
    """asks the server for any answer; raises what says why there is none"""

    @property
    def is_here(self) -> bool:
        """Whether the address is of this machine alone."""
        here = any(host in self.address for host in ("127.0.0.1", "localhost", "[::1]"))
        return here or self.address.startswith(("/", "@", LOCAL_SOCKET))  # PostgreSQL's

    def remedy(self, error: Exception | None = None) -> str:
        """What to do when it does not answer. A full disk is seen on this machine only."""
        if isinstance(error, NotInitialised):  # it does answer, and the error says what to type
            return "`holonstream doctor` says what else is missing"
        if self.is_here and (full := full_disks()):
            return f"the disk of {' and '.join(full)} is full: make room, then start the server again"
        return "start it (one whose disk is full ends, and its log says so), or check network, TLS and login"


def servers(settings: Settings) -> dict[str, ServerAddress]:
    """PostgreSQL, Kafka, Neo4j and Redis, by their names in lower case."""
    redis = settings.redis_url.reveal().partition("://")[2].rpartition("@")[2].partition("?")[0]
    found = (
        ServerAddress("PostgreSQL", _log_address(settings.log_dsn), lambda: _greet_log(settings)),
        ServerAddress("Kafka", settings.kafka_bootstrap, lambda: _greet_kafka(settings)),
        ServerAddress("Neo4j", settings.neo4j_uri, lambda: asyncio.run(_greet_graph(settings))),
        ServerAddress("Redis", redis, lambda: asyncio.run(_greet_cache(settings))),
    )
    return {server.name.lower(): server for server in found}


def ask_all(questions: Mapping[str, Callable[[], T]], limit: float) -> dict[str, T | Exception]:
    """The answers to some questions, asked at once; the error of one that failed, NoAnswer after `limit` seconds."""
    answers: Queue[tuple[str, T | Exception]] = Queue()

    def ask(name: str, question: Callable[[], T]) -> None:
        try:
            answers.put((name, question()))
        except Exception as error:
            answers.put((name, error))

    for name, question in questions.items():
        threading.Thread(target=ask, args=(name, question), name=f"{QUESTION}{name}", daemon=True).start()
    found: dict[str, T | Exception] = {}
    until = monotonic() + limit
    while len(found) < len(questions):
        try:
            name, answer = answers.get(timeout=max(until - monotonic(), 0))
        except Empty:
            break
        found[name] = answer
    for name in questions.keys() - found.keys():
        found[name] = NoAnswer(f"no answer within {limit:g} s")
    return {name: found[name] for name in questions}


def greet_all(settings: Settings, limit: float = HELLO) -> dict[str, Exception | None]:
    """Why each server does not answer within `limit` seconds, None for one that does."""
    for driver in DRIVERS:  # before the clock runs: on a busy machine it takes seconds
        import_module(driver)
    known = servers(settings)
    answers = ask_all({name: server.greet for name, server in known.items()}, limit)
    return {name: answer if isinstance(answer, Exception) else None for name, answer in answers.items()}


def full_disks(mounts: Path = Path("/proc/mounts")) -> list[str]:
    """Where file systems of this machine are mounted that have no room left."""
    found: dict[int, str] = {}
    for line in mounts.read_text().splitlines() if mounts.exists() else ():
        _, place, _, options, *_ = line.split(" ")
        folder = place.encode().decode("unicode_escape")  # a blank is written as \\040
        try:
            space, device = shutil.disk_usage(folder), os.stat(folder).st_dev
        except OSError:
            continue
        if "rw" in options.split(",") and space.total and space.free < min(NO_ROOM * space.total, FULL):
            found.setdefault(device, folder)
    return list(found.values())


def reason(error: Exception) -> str:
    """What an error says, on one line."""
    return " ".join(str(error).split()) or type(error).__name__


def _log_address(dsn: str) -> str:
    from psycopg.conninfo import conninfo_to_dict

    parts = conninfo_to_dict(dsn)
    hosts = str(parts.get("host") or parts.get("hostaddr") or LOCAL_SOCKET).split(",")
    ports = str(parts.get("port") or "5432").split(",") * len(hosts)
    where = ",".join(f"{host}:{port}" for host, port in zip(hosts, ports, strict=False))
    return f"{where}/{parts.get('dbname') or parts.get('user') or ''}"


def _greet_log(settings: Settings) -> None:
    from holonstream.producers.log.postgres import connect

    connect(settings.log_dsn, "holonstream-hello").close()


def closed_brokers(settings: Settings) -> str | None:
    """Why no broker takes a connection; None as soon as one does. librdkafka says only that none answers.

    All are tried at once: a host that has vanished takes as long as a question to all servers may.
    """
    brokers = [broker.strip() for broker in settings.kafka_bootstrap.split(",")]
    answers: Queue[tuple[str, str | None]] = Queue()

    def connect(broker: str) -> None:
        answers.put((broker, _closed_broker(broker)))

    for broker in brokers:
        threading.Thread(target=connect, args=(broker,), name=f"{QUESTION}{broker}", daemon=True).start()
    faults: dict[str, str] = {}
    for _ in brokers:
        broker, fault = answers.get()
        if fault is None:
            return None
        faults[broker] = fault
    return "; ".join(f"{broker}: {faults[broker]}" for broker in brokers)


def _closed_broker(broker: str) -> str | None:
    """Why a broker takes no connection; None when it does."""
    host, _, port = broker.rpartition(":") if ":" in broker.rpartition("]")[2] else (broker, "", "9092")
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT).close()
    except (OSError, UnicodeError) as error:  # UnicodeError: no name of a host
        return getattr(error, "strerror", None) or str(error)
    return None


def _greet_kafka(settings: Settings) -> None:
    from confluent_kafka.admin import AdminClient

    from holonstream.ops.kafka import client
    from holonstream.producers.kafka import driver_errors

    if (closed := closed_brokers(settings)) is not None:
        raise NoAnswer(f"Kafka unavailable: {closed}")
    with driver_errors("asking for the cluster"):
        admin = AdminClient(client(settings))  # held, else it would not live until the answer
        admin.describe_cluster(request_timeout=HELLO).result(HELLO)


async def _greet_graph(settings: Settings) -> None:
    from holonstream.client.connections import graph_connection

    async with graph_connection(settings):
        pass


async def _greet_cache(settings: Settings) -> None:
    from holonstream.client.connections import redis_client
    from holonstream.sinks.cache.driver import redis_errors

    redis = redis_client(settings, timeout=HELLO)
    try:
        with redis_errors("saying hello"):
            await redis.ping()
    finally:
        await redis.aclose()
