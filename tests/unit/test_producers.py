"""The parts of the producers that need no server."""

from __future__ import annotations

import json
import re
import threading
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from holonstream import producers
from holonstream.producers.errors import LogRefused, LogUnavailable
from holonstream.producers.log.append import encode_events, new_event_id
from holonstream.producers.log.postgres import query, translate
from holonstream.producers.relay.lease import leader_key
from holonstream.producers.relay.progress import RelayMonitor, RelayProgress
from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.errors import InvalidEvent, UnknownEventType
from holonstream.schemas.statements import parse_statements, read_text
from tests.support.event_log import person


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue.load()


def test_every_query_is_used_and_every_use_has_one() -> None:
    folder = Path(next(iter(producers.__path__)))
    source = "".join(file.read_text() for file in folder.rglob("*.py"))
    used = set(re.findall(r'(?:query|_stream)\("(\w+)"', source))
    assert used == set(parse_statements(read_text("holonstream.producers.log", "sql/queries.sql")))
    assert all(query(name) for name in used)


def test_event_ids_are_uuids_of_version_7_and_rise_with_time() -> None:
    first = UUID(new_event_id())
    assert (first.version, first.variant) == (7, "specified in RFC 4122")
    later = UUID(int=first.int + (1 << 80))
    assert later.bytes[:6] > first.bytes[:6]
    assert len({new_event_id() for _ in range(1000)}) == 1000


def test_encoding_gives_ids_and_the_version_checked_against(catalogue: Catalogue) -> None:
    (encoded,) = json.loads(encode_events([person()], catalogue))
    assert UUID(encoded["id"])
    assert encoded["schemaVersion"] == 1
    assert "causalLinks" not in encoded


def test_encoding_refuses_what_jsonb_cannot_hold(catalogue: Catalogue) -> None:
    with pytest.raises(InvalidEvent, match=r"PersonCreated \(event .*\) holds the character U\+0000"):
        encode_events([person(payload={"name": "nul \0"})], catalogue)
    assert encode_events([person(payload={"name": r"text \u0000, \\u0000 null NaN"})], catalogue)
    with pytest.raises(InvalidEvent, match=r"PersonCreated \(event .*\) holds a number that JSON does not have: NaN"):
        encode_events([person(payload={"name": "x", "pay": Decimal("NaN")})], catalogue)


def test_encoding_refuses_an_unknown_type(catalogue: Catalogue) -> None:
    with pytest.raises(UnknownEventType, match="PersonTeleported"):
        encode_events([person(type="PersonTeleported")], catalogue)


def test_namespaces_have_leaders_of_their_own() -> None:
    assert leader_key("holonstream") != leader_key("holonstream-blue")
    assert leader_key("holonstream") >> 48 == leader_key("holonstream-blue") >> 48
    assert 0 < leader_key("holonstream") < 2**63


@pytest.mark.parametrize(
    "error",
    [psycopg.OperationalError("connection refused"), psycopg.errors.DeadlockDetected(), psycopg.errors.AdminShutdown()],
)
def test_what_may_pass_is_unavailable(error: psycopg.Error) -> None:
    assert isinstance(translate(error), LogUnavailable)


@pytest.mark.parametrize("error", [psycopg.errors.RaiseException(), psycopg.errors.CheckViolation()])
def test_what_others_have_put_on_the_log_refuses(error: psycopg.Error) -> None:
    assert isinstance(translate(error), LogRefused)


def test_a_wrong_statement_stays_a_bug() -> None:
    assert translate(psycopg.errors.SyntaxError()) is None


def test_progress_wakes_who_waits() -> None:
    seen: list[RelayProgress] = []
    progress = RelayMonitor(seen.append)
    waiter = threading.Thread(target=lambda: progress.wait_for(lambda p: p.position == 7, 10))
    waiter.start()
    progress.published(3, 100, 7)
    progress.published(0, 0, 7)
    waiter.join(10)
    assert not waiter.is_alive()
    assert (progress.now.relayed, progress.now.transactions, progress.now.bytes) == (3, 2, 100)
    assert len(seen) == 2
    assert not progress.wait_for(lambda p: p.position > 7, 0)
