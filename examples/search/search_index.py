"""A full-text index of all holons, in PostgreSQL.

Fill it:    holonstream worker search_index:make
Search it:  python search_index.py WORDS
"""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import psycopg

from holonstream.client import BadData, Catalogue, Holon, Unavailable
from holonstream.schemas.projection import apply
from holonstream.sinks.own import SinkBatch, SinkPlace

TABLES = """
SELECT pg_advisory_xact_lock(hashtext('search'));  -- one worker at a time makes them
CREATE SCHEMA IF NOT EXISTS search;
CREATE TABLE IF NOT EXISTS search.checkpoints (partition integer PRIMARY KEY, checkpoint text NOT NULL);
CREATE TABLE IF NOT EXISTS search.parked (
    stream text PRIMARY KEY, partition integer NOT NULL, version bigint NOT NULL, reason text NOT NULL
);
CREATE TABLE IF NOT EXISTS search.holons (
    stream text PRIMARY KEY,
    holon json NOT NULL,
    words tsvector GENERATED ALWAYS AS (json_to_tsvector('english', holon -> 'properties', '["string"]')) STORED
);
CREATE INDEX IF NOT EXISTS words ON search.holons USING gin (words);
"""
TAKE = "INSERT INTO search.checkpoints VALUES (%s, '') ON CONFLICT DO NOTHING"
CHECKPOINT = "SELECT checkpoint FROM search.checkpoints WHERE partition = %s"
PARKED = "SELECT stream, version, reason FROM search.parked WHERE partition = %s"
MOVE = "UPDATE search.checkpoints SET checkpoint = %s WHERE partition = %s AND checkpoint = %s"
PARK = "INSERT INTO search.parked VALUES (%s, %s, %s, %s)"
UNPARK = "DELETE FROM search.parked WHERE stream = ANY (%s)"
LOAD = "SELECT stream, holon::text FROM search.holons WHERE stream = ANY (%s)"
STORE = "INSERT INTO search.holons VALUES (%s, %s) ON CONFLICT (stream) DO UPDATE SET holon = excluded.holon"
SEARCH = """
SELECT holon ->> 'id', holon ->> 'type', ts_headline('english', holon -> 'properties', query)::text
FROM search.holons, websearch_to_tsquery('english', %s) AS query
WHERE words @@ query
ORDER BY ts_rank(words, query) DESC, stream
LIMIT 10
"""
DSN = os.environ["SEARCH_DSN"]
SCHEMAS = os.environ.get("HOLONSTREAM_SCHEMAS")  # event types of your own
CATALOGUE = Catalogue.load(*([Path(SCHEMAS)] if SCHEMAS else []))
LIMITS: dict[str, Any] = {"connect_timeout": 5, "tcp_user_timeout": 10_000}  # a server that vanished is noticed


class SearchIndex:
    """Folds the events of holons, and stores what comes out, in one transaction with the checkpoint."""

    name = "search"

    def __init__(self) -> None:
        self.connection: psycopg.AsyncConnection[Any] | None = None

    async def open(self) -> None:
        async with self.transaction() as cursor:
            await cursor.execute(TABLES)

    async def close(self) -> None:
        if self.connection is not None:
            await self.connection.close()

    async def assign(self, partition: int) -> SinkPlace:
        async with self.transaction() as cursor:
            await cursor.execute(TAKE, [partition])
            ((checkpoint,),) = await (await cursor.execute(CHECKPOINT, [partition])).fetchall()
            parked = await (await cursor.execute(PARKED, [partition])).fetchall()
            return SinkPlace(checkpoint, {s: version for s, version, _ in parked}, {s: why for s, _, why in parked})

    async def write(self, batch: SinkBatch) -> None:
        async with self.transaction() as cursor:
            await cursor.execute(MOVE, [batch.checkpoint, batch.partition, batch.expected])
            if cursor.rowcount != 1:
                raise batch.moved()
            events = [event for event in batch.events if event.stream.startswith("holon/")]
            await cursor.execute(LOAD, [list({event.stream for event in events})])
            holons = {stream: msgspec.json.decode(text, type=Holon) async for stream, text in cursor}
            for event in events:
                holon = apply(CATALOGUE, holons.get(event.stream), event)  # raises BadData
                if isinstance(holon, Holon):
                    holons[event.stream] = holon
            await cursor.executemany(STORE, [(s, msgspec.json.encode(h).decode()) for s, h in holons.items()])
            await cursor.execute(UNPARK, [list(batch.unparked)])
            await cursor.executemany(PARK, [(p.stream, batch.partition, p.version, p.reason) for p in batch.parked])

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[psycopg.AsyncCursor[Any]]:
        """A transaction, whose errors say what a worker needs to know."""
        try:
            if self.connection is None or self.connection.closed:
                self.connection = await psycopg.AsyncConnection.connect(DSN, autocommit=True, **LIMITS)
            async with self.connection.transaction(), self.connection.cursor() as cursor:
                yield cursor
        except (psycopg.DataError, psycopg.errors.ProgramLimitExceeded) as error:
            raise BadData(f"PostgreSQL refuses it: {error}") from error
        except psycopg.OperationalError as error:
            raise Unavailable(f"PostgreSQL: {error}") from error


def make() -> SearchIndex:
    return SearchIndex()


if __name__ == "__main__":
    with psycopg.connect(DSN) as connection:
        for found in connection.execute(SEARCH, [" ".join(sys.argv[1:])]):
            print(*found, sep="  ")
