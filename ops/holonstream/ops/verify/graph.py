"""Does the graph hold what the log says? Compare every entity once, or a sample again and again.

A verification of the whole graph has two halves. Both run in bounded memory, while the pipeline works:

1. *log to graph*: read the log up to a gap-free position, stream by stream (`ops.verify.log`), some entities at a time.
   When the graph's checkpoints have reached their last events, read the graph's rows of these ids and compare them
   whole. An entity that differs is a suspect;
2. *graph to log*: search the log for every node and relationship of the graph. One that the log does not have is a
   suspect. One without an id, label or type of the catalogue, which no worker can find, is loose.

Suspects are read once more, and their streams are folded event by event (`ops.verify.trace`). That clears what only
changed in between: parked, discarded, applied after the gap-free position, or read while it was being written (Neo4j
then shows properties of two versions at once). What differs two more times diverges. A repair
(`sinks.graph.recovery.repair`) writes the state that the log gives, and the entity is compared once more.

Nothing is stopped. Nothing is locked but a partition's checkpoint during a repair.

A graph whose worker has stopped at a hole (a version in the graph was damaged) never reaches the log. It can be
compared where it stands: each entity is then compared with what the log says at the checkpoint of its partition.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import closing
from time import monotonic

from holonstream.ops.output import counted
from holonstream.ops.replay.progress import ReplayEstimate
from holonstream.ops.verify.finding import GraphFinding, GraphTally
from holonstream.ops.verify.log import Entity, EntityReader
from holonstream.ops.verify.trace import trace
from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.errors import HolonstreamError
from holonstream.schemas.partition import partition_of
from holonstream.sinks.errors import NotYetVisible
from holonstream.sinks.graph.checkpoint import checkpoints
from holonstream.sinks.graph.driver import GraphConnection
from holonstream.sinks.graph.empty_streams import LastSeen
from holonstream.sinks.graph.recovery.checkpoints import (
    damaged_checkpoints,
    proving_partitions,
    repair_checkpoints,
)
from holonstream.sinks.graph.recovery.elements import Element, GraphReader, Omission
from holonstream.sinks.graph.recovery.repair import LoggedState, remove_loose, repair
from holonstream.sinks.graph.recovery.rows import canonical_text, of_state

POLL = 0.1  # seconds between two reads of the checkpoints
EXAMINED = 100  # suspects at once; the workers of their partitions wait while these are repaired
PROGRESS = 5.0  # seconds between two lines of progress in a file


class CannotFold(HolonstreamError):
    """This catalogue cannot apply an event of the stream, so its correct state is unknown."""


class GraphVerifier:
    """Compares a graph with the log; see the module's docstring.

    `deadline` is how many seconds to wait until the graph has reached the entities that are compared; None compares it
    where it stands. `found` is called with each finding, `say` with a line to keep, `progress` every `interval` seconds
    with one that the next may replace. Methods raise NotYetVisible when the deadline passes, LogUnavailable,
    GraphUnavailable, NotInitialised.
    """

    def __init__(
        self,
        log: EntityReader,
        connection: GraphConnection,
        catalogue: Catalogue,
        topic: str,
        *,
        deadline: float | None,
        repairs: bool = False,
        found: Callable[[GraphFinding], None] = lambda finding: None,
        say: Callable[[str], None] = lambda line: None,
        progress: Callable[[str], None] = lambda line: None,
        interval: float = PROGRESS,
    ) -> None:
        self._log, self._connection, self._catalogue, self._topic = log, connection, catalogue, topic
        self._graph = GraphReader(connection, catalogue)
        self._deadline, self._repairs, self._found, self._say = deadline, repairs, found, say
        self._progress, self._interval = progress, interval
        self._reached: list[int] = []
        self._proving: set[int] = set()
        self._last_progress = monotonic()

    async def whole(self, limit: int) -> GraphTally:
        """Compare everything. At most `limit` findings are kept; all are counted."""
        began = monotonic()
        tally = GraphTally(position=(await asyncio.to_thread(self._log.frontier)).frontier)
        self._say(f"the log is gap-free up to position {tally.position:,}")
        self._proving = await proving_partitions(self._connection, self._topic)
        await self._check_checkpoints(tally, limit)
        estimate = ReplayEstimate(began)
        estimate.add(began, 0, tally.position, 0)
        async for entities in self._prefetched(tally.position):
            await self._check(entities, tally, limit)
            if self._is_due():
                now = estimate.add(monotonic(), tally.events, tally.position, 0)
                pace = f"{now.rate:,.0f} events/s" + ("" if now.left is None else f", about {now.left_text} left")
                self._progress(
                    f"log to graph: {counted(tally.entities, 'entity', 'entities')}, {tally.diverging:,} differ, {pace}"
                )
        self._say(
            f"log to graph: done, {counted(tally.entities, 'entity', 'entities')} of {counted(tally.events, 'event')}"
        )
        for scan in (self._graph.nodes, self._graph.edges):
            async for elements in scan():
                await self._search_log(elements, tally, limit)
                if self._is_due():
                    self._progress(f"graph to log: {counted(tally.elements, 'element')}, {tally.diverging:,} differ")
        tally.seconds = monotonic() - began
        return tally

    async def sample(self, count: int, limit: int) -> GraphTally:
        """Compare the entities of at most `count` streams drawn at random from the log."""
        began = monotonic()
        tally = GraphTally(position=(await asyncio.to_thread(self._log.frontier)).frontier)
        self._proving = await proving_partitions(self._connection, self._topic)
        streams = await asyncio.to_thread(self._log.random_streams, count, tally.position)
        for stream in streams:
            entity = await asyncio.to_thread(self._log.entity, stream, tally.position, left_out=frozenset())
            await self._check([entity], tally, limit)
        tally.seconds = monotonic() - began
        return tally

    # --- log to graph ------------------------------------------------------------------------------------------------

    async def _prefetched(self, until: int) -> AsyncIterator[list[Entity]]:
        """The entities, some at a time; the next ones are read while these are compared."""
        batches = self._log.entities(until)

        def following() -> list[Entity] | None:
            return next(batches, None)

        reading = asyncio.create_task(asyncio.to_thread(following))
        try:
            while (entities := await reading) is not None:
                reading = asyncio.create_task(asyncio.to_thread(following))
                yield entities
        finally:
            await asyncio.gather(reading, return_exceptions=True)

    async def _check(self, entities: Sequence[Entity], tally: GraphTally, limit: int) -> None:
        if self._deadline is None:
            self._reached = await self._checkpoints()
        else:
            await self._reach(entities, self._deadline)
        rows = await self._graph.rows_of([entity.stream for entity in entities])
        suspects = []
        seen = await self._seen([entity.stream for entity in entities if entity.state is None])
        for entity in entities:
            there = rows.get(entity.stream, [])
            row = there[0] if there else None
            if (
                entity.error is not None
                or len(there) > 1
                or seen.get(entity.stream, entity.version) != entity.version
                or canonical_text(of_state(entity.state)) != canonical_text(row)
            ):
                suspects.append(entity.stream)
        tally.entities += len(entities)
        tally.events += sum(entity.events for entity in entities)
        await self._examine(suspects, tally, limit)

    async def _reach(self, entities: Sequence[Entity], deadline: float) -> None:
        """Wait until the checkpoint of each entity's partition has reached its last event."""
        began = monotonic()
        behind = self._behind(entities)
        while behind:
            self._reached = await self._checkpoints()
            behind = self._behind(behind)
            if not behind:
                return
            waited = monotonic() - began
            if waited > deadline:
                last = max(behind, key=lambda entity: entity.position)
                raise NotYetVisible(last.stream, last.position, self._reached_by(last.stream), waited)
            if self._is_due():
                self._progress(f"waiting for the graph to reach {counted(len(behind), 'entity', 'entities')}")
            await asyncio.sleep(POLL)

    def _behind(self, entities: Sequence[Entity]) -> list[Entity]:
        count = len(self._reached)
        return [e for e in entities if not count or self._reached_by(e.stream) < e.position]

    def _reached_by(self, stream: str) -> int:
        """The position of the checkpoint of a stream's partition, as last read."""
        return self._reached[partition_of(stream, len(self._reached))]

    async def _checkpoints(self) -> list[int]:
        return [c.visible_position for c in await checkpoints(self._connection, self._topic)]

    async def _seen(self, streams: Sequence[str]) -> dict[str, int]:
        """Up to which version the graph says that it has seen some streams, 0 for never; those that it proves."""
        count = len(self._reached)
        proven = [stream for stream in streams if partition_of(stream, count) in self._proving]
        found = await self._graph.empty_versions(proven) if proven else {}
        return {stream: found.get(stream, 0) for stream in proven}

    async def _check_checkpoints(self, tally: GraphTally, limit: int) -> None:
        async def log_end() -> int:
            return (await asyncio.to_thread(self._log.frontier)).head

        damaged = await damaged_checkpoints(self._connection, self._topic, log_end)
        if damaged and self._repairs:
            await repair_checkpoints(self._connection, self._topic, log_end)
        for found in damaged:
            name = f"{self._topic}[{found.partition}]"
            finding = GraphFinding("checkpoint", name, reason=found.damage, repaired=self._repairs or None)
            self._add(finding, tally, limit)

    # --- graph to log ------------------------------------------------------------------------------------------------

    async def _search_log(self, elements: Sequence[Element], tally: GraphTally, limit: int) -> None:
        tally.elements += len(elements)
        streams = [element.stream for element in elements if element.stream is not None]
        unknown = await asyncio.to_thread(self._log.unknown, streams)
        await self._examine(sorted(unknown), tally, limit)
        loose = [element for element in elements if element.stream is None]
        if loose and self._repairs:
            nodes = [e.element for e in loose if e.is_node]
            edges = [e.element for e in loose if not e.is_node]
            await remove_loose(self._connection, self._catalogue, nodes=nodes, edges=edges)
        for element in loose:
            reason = "no worker can find it: it has no id, no label :Holon or no type of the catalogue"
            finding = GraphFinding("extra", element.description, reason=reason, repaired=self._repairs or None)
            self._add(finding, tally, limit)

    # --- suspects ----------------------------------------------------------------------------------------------------

    async def _examine(self, suspects: Sequence[str], tally: GraphTally, limit: int) -> None:
        if suspects and not self._reached:
            self._reached = await self._checkpoints()
        for start in range(0, len(suspects), EXAMINED):
            findings = await self._findings(suspects[start : start + EXAMINED], tally.position)
            if any(finding.diverges for finding in findings):
                findings = await self._findings([finding.stream for finding in findings], tally.position)
            diverging = [finding.stream for finding in findings if finding.diverges]
            if diverging and self._repairs:
                await self._repair([finding for finding in findings if finding.kind != "unfoldable"])
                left = {f.stream for f in await self._findings(diverging, tally.position) if f.diverges}
                findings = [f.with_repair(f.stream not in left) if f.diverges else f for f in findings]
            for finding in findings:
                self._add(finding, tally, limit)

    async def _findings(self, streams: Sequence[str], until: int) -> list[GraphFinding]:
        """The findings of some streams: none for those in which log and graph agree."""
        omissions = await self._graph.omissions(streams)
        rows = await self._graph.rows_of(streams)
        seen = await self._seen(streams)

        def traced(stream: str) -> GraphFinding | None:
            omission = omissions.get(stream, Omission())
            entity = Entity(self._catalogue, stream, omission.discarded)
            end = until if self._deadline is not None else min(until, self._reached_by(stream))
            with closing(self._log.stream(stream)) as events:
                return trace(entity, events, rows.get(stream, []), end, omission, seen.get(stream))

        def all_traced() -> list[GraphFinding]:
            return [finding for stream in streams if (finding := traced(stream)) is not None]

        return await asyncio.to_thread(all_traced)

    async def _repair(self, findings: Sequence[GraphFinding]) -> None:
        partitions: defaultdict[int, list[str]] = defaultdict(list)
        for finding in findings:
            if finding.diverges:
                partitions[partition_of(finding.stream, len(self._reached))].append(finding.stream)
        for partition, streams in sorted(partitions.items()):
            try:
                await repair(self._connection, self._catalogue, self._topic, partition, streams, self._state_at)
            except CannotFold as error:
                self._say(
                    f"{counted(len(streams), 'entity', 'entities')} of partition {partition} not repaired: {error}"
                )

    async def _state_at(self, stream: str, position: int, before: int | None, left_out: frozenset[int]) -> LoggedState:
        def folded() -> Entity:
            return self._log.entity(stream, position, before=before, left_out=left_out)

        entity = await asyncio.to_thread(folded)
        if entity.error is not None:
            raise CannotFold(f"{stream}: {entity.error}")
        return LoggedState(entity.state, LastSeen(entity.version, entity.position))

    def _add(self, finding: GraphFinding, tally: GraphTally, limit: int) -> None:
        if tally.add(finding, limit):
            self._found(finding)

    def _is_due(self) -> bool:
        """Whether a line of progress is due; if so, the next one is due after the interval."""
        now = monotonic()
        if now - self._last_progress < self._interval:
            return False
        self._last_progress = now
        return True
