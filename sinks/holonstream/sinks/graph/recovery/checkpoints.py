"""Checkpoints as verification sees them: damage is named, and repaired without knowing what a worker knew.

Offset and position cannot be found again. So a checkpoint in which one of them is damaged starts at offset 0, and its
worker reads the partition once more: events that are in the graph are skipped by their versions
(`sinks.graph.checkpoint`, ``known``).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import time
from typing import Any

import structlog

from holonstream.sinks.graph.driver import GraphConnection, Transaction
from holonstream.sinks.graph.statements import text

log = structlog.get_logger(__name__)

Database = GraphConnection | Transaction
LogEnd = Callable[[], Awaitable[int]]
"""reads the last position that the log has drawn"""


@dataclass(frozen=True, slots=True)
class DamagedCheckpoint:
    """A checkpoint that is not as a worker left it."""

    topic: str
    partition: int
    properties: dict[str, Any]
    damage: str


async def proving_partitions(connection: GraphConnection, topic: str) -> set[int]:
    """The partitions in which every stream without an entity has its node. Raises GraphUnavailable."""
    found = await _properties(connection, topic)
    return {partition for partition, p in found.items() if p.get("provesHoles") is True}


async def damaged_checkpoints(database: Database, topic: str, read_log_end: LogEnd) -> list[DamagedCheckpoint]:
    """The damaged checkpoints of a topic. Raises GraphUnavailable.

    The log's end is read after them: events come while a pipeline is verified, and no checkpoint is beyond those.
    """
    found = await _properties(database, topic)
    log_end = await read_log_end()
    return [
        DamagedCheckpoint(topic, partition, p, damage)
        for partition, p in sorted(found.items())
        if (damage := _damage(p, log_end))
    ]


async def repair_checkpoints(connection: GraphConnection, topic: str, read_log_end: LogEnd) -> None:
    """Repair the damaged checkpoints of a topic. Raises GraphUnavailable: nothing is changed then."""
    async with connection.transaction() as transaction:
        await transaction.execute(text("checkpoints_lock"), topic=topic)
        damage = await damaged_checkpoints(transaction, topic, read_log_end)
        log_end = await read_log_end()
        for damaged in damage:
            repaired = {"topic": topic, "partition": damaged.partition, **_repaired(damaged.properties, log_end)}
            await transaction.execute(
                text("repair_checkpoint"), topic=topic, partition=damaged.partition, properties=repaired
            )
            log.info("graph.checkpoint.repaired", partition=damaged.partition, offset=repaired["offset"])


async def _properties(database: Database, topic: str) -> dict[int, dict[str, Any]]:
    return dict(await database.execute(text("verify_checkpoints"), topic=topic))


def _damage(p: dict[str, Any], log_end: int) -> str:
    wrong = [name for name in ("offset", "position", "visible", "epoch") if not _is_number(p.get(name))]
    if "known" in p and not _is_number(p["known"]):
        wrong.append("known")
    if type(p.get("topicId", "")) is not str:
        wrong.append("topicId")
    if type(p.get("provesHoles", True)) is not bool:
        wrong.append("provesHoles")
    if wrong:
        return ", ".join(f"{name} is {p.get(name)!r}" for name in wrong)
    if p["position"] > log_end:
        return f"position {p['position']} is beyond the log's end, {log_end}"
    if p["visible"] > p["position"]:
        return f"visible position {p['visible']} is beyond the position {p['position']}"
    return ""


def _repaired(p: dict[str, Any], log_end: int) -> dict[str, Any]:
    new: dict[str, Any] = {"epoch": int(time())}  # not that of any worker
    if not _is_number(p.get("offset")) or not _is_number(p.get("position")) or p["position"] > log_end:
        return {**new, "offset": 0, "position": 0, "visible": 0, "known": log_end, "provesHoles": True}
    offset, position, visible = p["offset"], p["position"], p.get("visible")
    new |= {"offset": offset, "position": position, "visible": position if not _is_number(visible) else visible}
    new["visible"] = min(new["visible"], position)
    if "known" in p:
        new["known"] = p["known"] if _is_number(p["known"]) else log_end
    if p.get("provesHoles") is True:
        new["provesHoles"] = True
    if type(p.get("topicId")) is str:
        new["topicId"] = p["topicId"]
    return new


def _is_number(value: Any) -> bool:
    return type(value) is int and value >= 0
