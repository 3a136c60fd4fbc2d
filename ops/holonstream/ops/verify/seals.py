"""The log against its seals: which rows were altered, removed, inserted or reordered since they were sealed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from holonstream.producers.log.frontier import read_frontier
from holonstream.producers.log.postgres import NO_LIMIT, READER_OPTIONS, connect, driver_errors
from holonstream.producers.log.seals import (
    Seal,
    id_of,
    merkle_root,
    position_of,
    read_entries,
    read_seals,
    sealed_entries,
)


@dataclass(frozen=True, slots=True)
class SealFinding:
    """A difference between the log, or the database's seals, and the seals."""

    kind: str
    """altered, removed, inserted or reordered, of an event; range, when the entries cannot say which; seal, chain"""
    seal: int
    position: int | None
    event_id: str | None
    what: str

    def line(self) -> str:
        """For people."""
        place = "" if self.position is None else f" position {self.position}"
        event = "" if self.event_id is None else f" event {self.event_id}"
        return f"{self.kind}: seal {self.seal}{place}{event}: {self.what}"

    def document(self) -> dict[str, Any]:
        """For programs."""
        return {
            "kind": self.kind,
            "seal": self.seal,
            "position": self.position,
            "event_id": self.event_id,
            "what": self.what,
        }


@dataclass(frozen=True, slots=True)
class SealVerdict:
    """What a comparison found."""

    findings: list[SealFinding]
    seals: int
    events: int
    """of the log, in sealed ranges"""
    until: int
    """the last sealed position"""
    frontier: int


def verify_log(dsn: str, trusted: Sequence[Seal] | None = None) -> SealVerdict:
    """Compare the log with seals: those given, or the database's own, which an intruder could have replaced.

    Raises LogUnavailable, NotInitialised, NotPermitted.
    """
    findings: list[SealFinding] = []
    events = 0
    with connect(dsn, "holonstream-verify", options=READER_OPTIONS) as connection, driver_errors():
        frontier = read_frontier(connection).frontier
        kept = read_seals(connection)
        seals = kept if trusted is None else list(trusted)
        findings += _chain(seals)
        if trusted is not None:
            known = {seal.number: seal for seal in kept}
            findings += [
                SealFinding("seal", seal.number, None, None, "the database's own seal is another one, or gone")
                for seal in seals
                if known.get(seal.number) != seal
            ]
        for seal in seals:
            count, found = _compare(connection, seal)
            events += count
            findings += found
    return SealVerdict(findings, len(seals), events, seals[-1].until if seals else 0, frontier)


def _chain(seals: Sequence[Seal]) -> Iterator[SealFinding]:
    """Seals follow each other without a gap, from the log's beginning."""
    after, digest = 0, b""
    for number, seal in enumerate(seals, 1):
        if (seal.number, seal.after, seal.previous) != (number, after, digest):
            yield SealFinding("chain", seal.number, None, None, "it does not follow the seal before")
            return
        after, digest = seal.until, seal.digest()


def _compare(connection: psycopg.Connection[Any], seal: Seal) -> tuple[int, list[SealFinding]]:
    """How many events the log has in a seal's range, and what differs."""
    now = list(read_entries(connection, seal.after, seal.until, NO_LIMIT))
    if len(now) == seal.events and merkle_root(now) == seal.root:
        return len(now), []
    sealed = sealed_entries(connection, seal.number)
    if sealed is None or merkle_root(sealed) != seal.root:
        what = f"positions {seal.after + 1} to {seal.until} differ; the entries beside the seal do not match its root"
        return len(now), [SealFinding("range", seal.number, None, None, what)]
    return len(now), list(_differences(seal, sealed, now))


def _differences(seal: Seal, sealed: list[bytes], now: list[bytes]) -> Iterator[SealFinding]:
    was = {position_of(entry): entry for entry in sealed}
    found = {position_of(entry): entry for entry in now}
    old_place = {id_of(entry): position for position, entry in was.items()}
    new_place = {id_of(entry): position for position, entry in found.items()}
    for position in sorted(was.keys() | found.keys()):
        before, after = was.get(position), found.get(position)
        if before == after:
            continue
        if after is not None:
            origin = old_place.get(id_of(after))
            if origin is None:
                kind, what = "inserted", "it was not there when the range was sealed"
            elif origin == position:
                kind, what = "altered", "its content is not what was sealed"
            else:
                kind, what = "reordered", f"it was at position {origin}"
            yield SealFinding(kind, seal.number, position, id_of(after), what)
        if before is not None and id_of(before) not in new_place:
            yield SealFinding("removed", seal.number, position, id_of(before), "it is not in the range any more")
