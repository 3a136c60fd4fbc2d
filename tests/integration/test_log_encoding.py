"""Text in the log is UTF-8, whatever the environment or the database says of clients."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from holonstream import local
from holonstream.producers.log.batches import read_batches
from holonstream.producers.log.postgres import connect
from holonstream.producers.log.reader import LogReader
from holonstream.producers.log.schema import apply_schema
from holonstream.producers.log.store import PostgresEventStore
from holonstream.schemas import wire
from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.errors import BadData
from tests.support.event_log import person

CATALOGUE = Catalogue.load()
NAME = "n\u00e4m\u00e9 \u2713 \u540d \U0001f600"


@pytest.fixture(params=["environment", "database", "both"])
def dsn(postgres_dsn: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """A database, or an environment, that gives clients LATIN1."""
    if request.param != "database":
        monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    if request.param != "environment":
        with psycopg.connect(postgres_dsn, autocommit=True) as owner:
            owner.execute(f"ALTER DATABASE {owner.info.dbname} SET client_encoding = 'LATIN1'")
    apply_schema(postgres_dsn, CATALOGUE)
    return postgres_dsn


def test_what_was_appended_is_read_and_relayed_as_utf8(dsn: str) -> None:
    with PostgresEventStore(dsn, CATALOGUE) as store:
        (appended,) = store.append([person(NAME)], expected={f"holon/{NAME}": 0})
        assert appended.stream == f"holon/{NAME}"
        assert [event.payload for event in store.get_events(subjects=[NAME])] == [{"name": NAME}]
    with connect(dsn, "relay") as relay:
        (batch,) = read_batches(relay, 0, 1, limit=10, batch_events=10, batch_bytes=1000)
    assert wire.decode(batch.events[0][2]).subjects == (NAME,)
    assert batch.events[0][1].decode() == appended.stream
    with LogReader(dsn, "verify") as log:
        assert [event.stream for event in log.all_streams(1)] == [appended.stream]


@pytest.fixture(params=["LATIN1", "SQL_ASCII"])
def foreign_dsn(stack: local.Stack, request: pytest.FixtureRequest) -> Iterator[str]:
    """A database of another encoding."""
    server = stack.env()["HOLONSTREAM_POSTGRES_DSN"]
    name = f"test_{request.param.lower()}"
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING '{request.param}' LOCALE 'C'")
    yield f"{server.rpartition('/')[0]}/{name}"
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_init_refuses_a_database_of_another_encoding(foreign_dsn: str) -> None:
    with pytest.raises(BadData, match=r"server_encoding is (LATIN1|SQL_ASCII), the log needs UTF8.*ENCODING 'UTF8'"):
        apply_schema(foreign_dsn, CATALOGUE)
