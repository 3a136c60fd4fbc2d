"""Appending in a service's own transaction, over every library that services use, beside a table of the service's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import psycopg
import pytest

from holonstream.client import (
    EventIdConflict,
    InvalidEvent,
    LogUnavailable,
    NotInitialised,
    NotPermitted,
    Token,
    TransactionConflict,
    UnknownEventType,
    WrongExpectedVersion,
    append_in,
    new_event_id,
)
from holonstream.producers.log.schema import apply_schema
from holonstream.schemas.catalogue import Catalogue
from tests.integration.transaction_kit import SERVICES, Service
from tests.support.event_log import person

CATALOGUE = Catalogue.load()
pytestmark = pytest.mark.parametrize("kind", SERVICES, ids=lambda kind: kind.__name__)


class Undone(Exception):
    """Rolls a block back."""


class Shop:
    """The database: the log, and a table of the service's."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.connection = psycopg.connect(dsn, autocommit=True)
        self.connection.execute("CREATE TABLE orders (id text PRIMARY KEY)")

    def orders(self) -> list[str]:
        return [row[0] for row in self.connection.execute("SELECT id FROM orders ORDER BY id")]

    def events(self) -> list[tuple[Any, ...]]:
        statement = "SELECT id::text, stream, version, position FROM holonstream.events ORDER BY position"
        return self.connection.execute(statement).fetchall()

    def streams(self) -> list[str]:
        return [stream for _, stream, *_ in self.events()]


@pytest.fixture
def shop(postgres_dsn: str) -> Iterator[Shop]:
    apply_schema(postgres_dsn, CATALOGUE)
    shop = Shop(postgres_dsn)
    yield shop
    shop.connection.close()


@pytest.fixture
def service(kind: type[Any], shop: Shop) -> Iterator[Service]:
    service = kind(shop.dsn)
    yield service
    service.close()


def order(service: Service, name: str) -> None:
    service.execute(f"INSERT INTO orders VALUES ('{name}')")


def test_a_commit_writes_the_row_and_the_events_and_gives_their_places(service: Service, shop: Shop) -> None:
    with service.transaction():
        order(service, "o-1")
        appended = service.append([person("ada"), person("bob"), person("ada", type="PersonModified", payload={})])
        assert shop.orders() == shop.streams() == []
    assert shop.orders() == ["o-1"]
    assert [(a.id, a.stream, a.version, a.position) for a in appended] == shop.events()
    assert [(a.stream, a.version) for a in appended] == [("holon/ada", 1), ("holon/bob", 1), ("holon/ada", 2)]
    assert appended[1].token == Token({"holon/bob": appended[1].position})


def test_a_rollback_leaves_neither(service: Service, shop: Shop) -> None:
    with suppress(Undone), service.transaction():
        order(service, "o-1")
        service.append([person("ada")])
        raise Undone
    assert shop.orders() == shop.streams() == []


def test_a_savepoint_takes_back_what_was_appended_since(service: Service, shop: Shop) -> None:
    with service.transaction():
        order(service, "o-1")
        service.append([person("ada")])
        with suppress(Undone), service.savepoint():
            order(service, "o-2")
            service.append([person("bob")])
            raise Undone
        with service.savepoint():
            order(service, "o-3")
            service.append([person("cyd")], expected={"holon/bob": 0, "holon/ada": 1})
    assert shop.orders() == ["o-1", "o-3"]
    assert shop.streams() == ["holon/ada", "holon/cyd"]


def test_two_appends_in_one_transaction_go_on_from_each_other(service: Service, shop: Shop) -> None:
    promoted = person("ada", type="PersonModified", payload={"diff": {"rank": "O-2"}})
    with service.transaction():
        (first,) = service.append([person("ada")], expected={"holon/ada": 0})
        order(service, "o-1")
        (second,) = service.append([promoted], expected={"holon/ada": 1})
    assert (first.version, second.version) == (1, 2)
    assert first.position < second.position
    assert shop.streams() == ["holon/ada"] * 2


def test_a_serialization_failure_has_its_own_error_and_the_transaction_can_be_repeated(
    kind: type[Any], shop: Shop
) -> None:
    shop.connection.execute(
        sql("ALTER DATABASE {} SET default_transaction_isolation = 'serializable'", shop.connection.info.dbname)
    )
    service = kind(shop.dsn)
    event = person("ada", id=new_event_id())
    conflicts: list[str] = []
    committed = False
    while not committed:
        try:
            with service.transaction():
                order(service, "o-1")  # takes the snapshot
                if not conflicts:
                    with psycopg.connect(shop.dsn) as other:
                        append_in(other, [person("ada", actor="other")])
                service.append([event])
            committed = True
        except TransactionConflict as conflict:
            conflicts.append(str(conflict))
    service.close()
    assert len(conflicts) == 1
    assert "repeat the transaction" in conflicts[0]
    assert shop.orders() == ["o-1"]
    assert shop.streams() == ["holon/ada"] * 2


def test_errors_are_the_same_for_every_library(service: Service, shop: Shop) -> None:
    appended = person("ada", id=new_event_id())
    with service.transaction():
        service.append([appended])
    with pytest.raises(InvalidEvent, match="occurredAt is not an ISO-8601 instant: yesterday"), service.transaction():
        service.append([person("ada", occurred_at="yesterday")])
    with pytest.raises(UnknownEventType, match="'Nothing'"), service.transaction():
        service.append([person("ada", type="Nothing")])
    with pytest.raises(WrongExpectedVersion) as wrong, service.transaction():
        service.append([person("ada")], expected={"holon/ada": 7})
    assert (wrong.value.stream, wrong.value.expected, wrong.value.actual) == ("holon/ada", 7, 1)
    with pytest.raises(EventIdConflict, match=str(appended.id)), service.transaction():
        service.append([person("bob", id=appended.id)])
    with service.transaction():  # the same event again adds none
        service.append([appended])
    shop.connection.execute("DELETE FROM holonstream.event_types WHERE name = 'PersonModified'")
    with pytest.raises(UnknownEventType) as unknown, service.transaction():
        service.append([person("ada", type="PersonModified", id=new_event_id())])
    assert unknown.value.name == "PersonModified"
    shop.connection.execute("CREATE SCHEMA gone; ALTER FUNCTION holonstream.append_events SET SCHEMA gone")
    with pytest.raises(NotInitialised, match="holonstream init"), service.transaction():
        service.append([person("bob")])
    assert shop.streams() == ["holon/ada"]


def test_a_role_without_the_privilege_is_not_permitted(service: Service, shop: Shop) -> None:
    role = f"{shop.connection.info.dbname}_role"
    shop.connection.execute(sql("CREATE ROLE {}", role))
    try:
        with service.transaction():
            service.execute(f"SET LOCAL ROLE {role}")
            with pytest.raises(NotPermitted, match="holonstream_writer"), service.savepoint():
                service.append([person("ada")])
    finally:
        shop.connection.execute(sql("DROP ROLE {}", role))


def test_a_connection_that_the_server_ended_is_unavailable(service: Service, shop: Shop) -> None:
    ended = (
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> %s"
    )
    with suppress(Exception), service.transaction():  # leaving the block fails, each library in its own way
        order(service, "o-1")
        shop.connection.execute(ended, [shop.connection.info.backend_pid])
        with pytest.raises(LogUnavailable) as raised:
            service.append([person("ada")])
    assert str(raised.value).startswith("PostgreSQL unavailable: ")
    assert shop.orders() == []


def sql(statement: str, name: str) -> psycopg.sql.Composed:
    return psycopg.sql.SQL(statement).format(psycopg.sql.Identifier(name))


def test_any_text_arrives_whatever_the_services_encoding(
    kind: type[Any], shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    name = "n\u00e4m\u00e9 \u2713 \u540d \U0001f600"
    service = kind(shop.dsn)
    try:
        with service.transaction():
            (appended,) = service.append([person(name, actor=name)], expected={f"holon/{name}": 0})
    finally:
        service.close()
    assert appended.stream == f"holon/{name}"
    assert shop.streams() == [f"holon/{name}"]
