"""docs/timeouts.md has the limits that the code has, and each is shorter than what depends on it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from holonstream.client.connections import READ_TIMEOUT
from holonstream.ops import probe, wiring
from holonstream.ops.observe import exporter
from holonstream.ops.observe import relay as observed_relay
from holonstream.ops.settings import Settings
from holonstream.producers import kafka
from holonstream.producers.log import postgres
from holonstream.producers.relay import publisher
from holonstream.sinks.graph import driver
from holonstream.sinks.graph.write import sink
from holonstream.streams import app, health
from holonstream.streams.app import GroupSettings

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "timeouts.md"
GROUP = GroupSettings(
    bootstrap=[], group="", topic="", dead_letter_topic="", session_timeout=Settings.of({}).session_timeout
)
SESSION = postgres.SESSION
KEEPALIVE = SESSION["keepalives_idle"] + SESSION["keepalives_interval"] * SESSION["keepalives_count"]
MEMBERSHIP = ("its membership of the group", GROUP.session_timeout)
WRITE = ("a write", GROUP.write_timeout)
TRANSACTION = ("a Kafka transaction", publisher.TRANSACTION_TIMEOUT)
HEALTH = ("its health", exporter.HANGS)


def compose_check() -> float:
    process = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["x-process"]
    return float(process["healthcheck"]["timeout"].removesuffix("s"))


LIMITS = [
    ("worker", "any answer of a broker", GROUP.request_timeout, *MEMBERSHIP),
    ("worker", "the topic's id", wiring.TOPIC_ID_TIMEOUT, *MEMBERSHIP),
    ("worker", "brokers to take a dead letter", GROUP.request_timeout, *WRITE),
    ("worker", "Neo4j, connecting", driver.CONNECT_TIMEOUT, *WRITE),
    ("worker", "Neo4j, a free connection", driver.ACQUIRE_TIMEOUT, *WRITE),
    ("worker", "Redis, an answer", wiring.SINK_TIMEOUT, *WRITE),
    ("worker", "a write", GROUP.write_timeout, "its transaction in Neo4j", sink.BATCH_TIMEOUT),
    ("worker", "store and brokers, for its health", health.ANSWER_TIMEOUT, "a stall that ends it", GROUP.stall_timeout),
    ("relay", "an answer of a broker", kafka.ANSWER_TIMEOUT, "a call of its producer", publisher.CALL_TIMEOUT),
    (
        "relay",
        "an answer of a broker to its producer",
        publisher.ANSWER_TIMEOUT,
        "a call of its producer",
        publisher.CALL_TIMEOUT,
    ),
    ("relay", "who leads which partition", kafka.METADATA_AGE, "a call of its producer", publisher.CALL_TIMEOUT),
    ("worker", "who leads which partition", app.METADATA_AGE, *MEMBERSHIP),
    ("relay", "a call of its producer", publisher.CALL_TIMEOUT, *TRANSACTION),
    ("relay, status, exporter", "PostgreSQL, connecting", float(SESSION["connect_timeout"]), *HEALTH),
    ("relay, status, exporter", "PostgreSQL, anything sent", postgres.ANSWER_TIMEOUT, *HEALTH),
    ("status, exporter", "an answer of a broker", kafka.ANSWER_TIMEOUT, "a question", kafka.TIMEOUT),
    ("status, exporter", "a question", kafka.TIMEOUT, *HEALTH),
    ("client", "PostgreSQL's host, by keepalive", float(KEEPALIVE), *TRANSACTION),
    ("client", "Redis, an answer", READ_TIMEOUT, "an answer from the graph", driver.ACQUIRE_TIMEOUT),
    ("health check", "a process, its health page", probe.TIMEOUT, "the check in compose", compose_check()),
]


def test_the_page_has_every_limit() -> None:
    rows = re.findall(r"^\| (.+?) \|$", PAGE.read_text(), re.MULTILINE)[1:]
    expected = [f"{who} | {call} | {limit:.3g} | {what} | {session:.3g}" for who, call, limit, what, session in LIMITS]
    assert rows == expected


@pytest.mark.parametrize("row", LIMITS, ids=lambda row: f"{row[0]}: {row[1]}")
def test_a_limit_is_shorter_than_what_depends_on_it(row: tuple[str, str, float, str, float]) -> None:
    assert row[2] < row[4]


def test_what_the_drivers_are_given_is_what_the_page_says() -> None:
    assert kafka.CONNECTION["socket.timeout.ms"] == 1000 * kafka.ANSWER_TIMEOUT
    assert kafka.CONNECTION["socket.connection.setup.timeout.ms"] == 1000 * kafka.ANSWER_TIMEOUT
    assert SESSION["tcp_user_timeout"] == 1000 * postgres.ANSWER_TIMEOUT
    assert f"tcp_keepalives_idle={SESSION['keepalives_idle']}" in postgres.LEADER_OPTIONS
    assert observed_relay.HANGS == exporter.HANGS


def test_every_server_that_we_set_up_tells_its_silence() -> None:
    told = {
        "docker-compose.yml": r"NEO4J_server_bolt_connection__keep__alive: 5s",
        "terraform/modules/neo4j/main.tf": r'NEO4J_server_bolt_connection__keep__alive +=\s+"5s"',
        "local/holonstream/local/neo4j_server.py": r"server\.bolt\.connection_keep_alive=5s",
    }
    for file, setting in told.items():
        assert re.search(setting, (ROOT / file).read_text()), file
