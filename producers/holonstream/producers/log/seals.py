"""Seals: proof that what is in the log is what was there when it was sealed.

A seal covers the events of a range of positions by the root of a Merkle tree over them (RFC 6962), and the seal before
by its hash. Seals are made by a job, up to the gap-free position; an append does nothing for them. An intruder who can
write to the database can write seals too: so they are exported, signed and kept elsewhere (docs/seals.md).

An event's entry is its position, its id, and the SHA-256 of the record that the relay publishes, which holds every
field. The entries stay beside the seal, so that a difference can be named; the root proves them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

import psycopg

from holonstream.producers.log.frontier import read_frontier
from holonstream.producers.log.postgres import READER_OPTIONS, ROWS_AT_ONCE, connect, driver_errors, query
from holonstream.schemas import instant, jsontext
from holonstream.schemas.errors import BadData

ENTRY = 56  # bytes: 8 of the position, 16 of the id, 32 of the record's SHA-256
SEAL_EVENTS = 100_000  # of one seal at most: 5.6 MB of entries
NO_ROOT = sha256().digest()


@dataclass(frozen=True, slots=True)
class Seal:
    """A seal over the events beyond `after` and up to `until`."""

    number: int
    after: int
    until: int
    events: int
    root: bytes
    previous: bytes
    """the digest of the seal before; empty for the first"""
    sealed_at: datetime

    def document(self) -> dict[str, Any]:
        """The seal as JSON: what is hashed, signed and exported."""
        return {
            "number": self.number,
            "after": self.after,
            "until": self.until,
            "events": self.events,
            "root": self.root.hex(),
            "previous": self.previous.hex(),
            "sealedAt": instant.render(self.sealed_at),
        }

    def message(self) -> bytes:
        """The bytes that are hashed and signed: the JSON with sorted keys and without spaces."""
        return jsontext.encode_sorted(self.document())

    def digest(self) -> bytes:
        """What the next seal has as `previous`."""
        return sha256(self.message()).digest()

    @classmethod
    def of(cls, document: dict[str, Any]) -> Seal:
        """The seal of a JSON document. Raises BadData."""
        try:
            return cls(
                int(document["number"]),
                int(document["after"]),
                int(document["until"]),
                int(document["events"]),
                bytes.fromhex(document["root"]),
                bytes.fromhex(document["previous"]),
                instant.parse(document["sealedAt"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise BadData(f"No seal: {error}") from None


def merkle_root(leaves: Iterable[bytes]) -> bytes:
    """The root of the Merkle tree over some leaves (RFC 6962, section 2.1)."""
    # the roots of full subtrees, larger ones first, with the number of their leaves
    full: list[tuple[int, bytes]] = []
    for leaf in leaves:
        size, node = 1, sha256(b"\0" + leaf).digest()
        while full and full[-1][0] == size:
            size, node = 2 * size, _parent(full.pop()[1], node)
        full.append((size, node))
    if not full:
        return NO_ROOT
    _, root = full.pop()
    while full:
        root = _parent(full.pop()[1], root)
    return root


def _parent(left: bytes, right: bytes) -> bytes:
    return sha256(b"\1" + left + right).digest()


def split(entries: bytes) -> list[bytes]:
    """The entries of a seal one by one."""
    return [entries[start : start + ENTRY] for start in range(0, len(entries), ENTRY)]


def position_of(entry: bytes) -> int:
    """The position of an entry's event."""
    return int.from_bytes(entry[:8], "big")


def id_of(entry: bytes) -> str:
    """The id of an entry's event."""
    return str(UUID(bytes=entry[8:24]))


def make_seals(dsn: str, events: int = SEAL_EVENTS) -> list[Seal]:
    """Seal what lies beyond the last seal and up to the gap-free position, `events` at most a seal; the seals made.

    Raises LogUnavailable, NotInitialised, NotPermitted (only the owner of the log makes seals).
    """
    made: list[Seal] = []
    with connect(dsn, "holonstream-seals", options=READER_OPTIONS) as connection, driver_errors():
        frontier = read_frontier(connection).frontier
        while True:
            with connection.transaction():
                connection.execute(query("lock_seals"))
                seal = _next_seal(connection, frontier, events)
            if seal is None:
                return made
            made.append(seal)


def unsealed_range(dsn: str) -> tuple[int, int]:
    """The position of the last seal's end, and the gap-free position: what `make_seals` would seal lies between them.

    Raises LogUnavailable, NotInitialised.
    """
    with connect(dsn, "holonstream-seals", options=READER_OPTIONS) as connection, driver_errors():
        last = connection.execute(query("last_seal")).fetchone()
        return (0 if last is None else Seal(*last).until), read_frontier(connection).frontier


def _next_seal(connection: psycopg.Connection[Any], frontier: int, events: int) -> Seal | None:
    row = connection.execute(query("last_seal")).fetchone()
    last = None if row is None else Seal(*row)
    after = 0 if last is None else last.until
    entries = list(read_entries(connection, after, frontier, events))
    if not entries:
        return None
    seal = Seal(
        number=1 if last is None else last.number + 1,
        after=after,
        # a range that is not full ends at the frontier: nothing will ever come in between
        until=position_of(entries[-1]) if len(entries) == events else frontier,
        events=len(entries),
        root=merkle_root(entries),
        previous=b"" if last is None else last.digest(),
        sealed_at=datetime.now(UTC).replace(microsecond=0),
    )
    arguments = {
        "number": seal.number,
        "after": seal.after,
        "until": seal.until,
        "events": seal.events,
        "root": seal.root,
        "previous": seal.previous,
        "sealed_at": seal.sealed_at,
        "entries": b"".join(entries),
    }
    connection.execute(query("add_seal"), arguments)
    return seal


def read_entries(connection: psycopg.Connection[Any], after: int, until: int, limit: int) -> Iterator[bytes]:
    """The entries of the log's events in a range, as they are now."""
    arguments = {"after": after, "until": until, "limit": limit}
    with connection.cursor(binary=True) as cursor:
        for (entry,) in cursor.stream(query("seal_entries"), arguments, size=ROWS_AT_ONCE):
            yield entry


def read_seals(connection: psycopg.Connection[Any]) -> list[Seal]:
    """The seals that the database has."""
    return [Seal(*row) for row in connection.execute(query("seals"))]


def sealed_entries(connection: psycopg.Connection[Any], number: int) -> list[bytes] | None:
    """The entries that the database has of a seal, None when it has no such seal."""
    row = connection.execute(query("entries_of_seal"), {"number": number}).fetchone()
    return None if row is None else split(row[0])
