"""A worker process whose sink is a file, one line for each batch that it wrote. Files in a folder make it fail.

``python -m tests.support.file_worker BOOTSTRAP PREFIX GROUP FOLDER MAX_BATCH`` appends to FOLDER/written lines
``PID PARTITION FIRST LAST COUNT``. While FOLDER/down exists its store is down, while FOLDER/slow exists a write
takes 10 ms, while FOLDER/hang exists it does not return, and FOLDER/bug makes the next one raise a KeyError.
Serves metrics and health as a worker of the graph group does, if HOLONSTREAM_METRICS_PORT is set.
FOLDER/sync-error turns the broker's next answer to a SyncGroup request into an error, FOLDER/poll-interval holds a
`broker_max_poll_interval` in seconds for workers that start. FOLDER/impatient lets Faust warn after 0.5 s
and the worker end itself after a stall of 2 s.
FOLDER/heavy holds the number of records of a write, all batches together, beyond which it does not return.
FOLDER/checkpoint-PARTITION holds the offset of the store's own checkpoint of a partition, if it keeps one.
FOLDER/moved holds the number of a partition whose checkpoint the store finds moved when it is next pinged.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.structs import TopicPartition
from confluent_kafka.admin import AdminClient
from faust.types import TP

from holonstream.ops import logs
from holonstream.ops.observe.process import observed
from holonstream.ops.observe.worker import ObservedWorker
from holonstream.ops.settings import Settings
from holonstream.ops.stopping import end_soon, run_until_signal
from holonstream.producers.kafka import topic_id
from holonstream.schemas.errors import Unavailable
from holonstream.sinks.base import Batch, WriteResult
from holonstream.sinks.errors import CheckpointMoved
from holonstream.streams import app as streams_app
from holonstream.streams.app import GroupSettings, SinkApp
from holonstream.streams.transport import Bounds, FetchThread


class FileSink:
    """Appends to FOLDER/written; a line is one write, so kills leave whole lines."""

    def __init__(self, folder: Path, topic: str) -> None:
        self._folder, self._topic = folder, topic

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def assign(
        self, topic: str, partition: int, committed_position: int | None, topic_id: str | None = None
    ) -> int | None:
        if (self._folder / "closed").exists():
            self._note("refused", f"{os.getpid()} {partition}")
            raise Unavailable("the store is closed")
        self._note("assigned", f"{os.getpid()} {partition} {committed_position}")
        checkpoint = self._folder / f"checkpoint-{partition}"
        return int(checkpoint.read_text()) if checkpoint.exists() else None

    def revoke(self, topic: str, partition: int) -> None:
        self._note("revoked", f"{os.getpid()} {partition}")

    async def write_batches(self, batches: Sequence[Batch]) -> list[WriteResult]:
        heavy = self._folder / "heavy"
        if heavy.exists() and sum(len(batch.records) for batch in batches) > int(heavy.read_text()):
            await asyncio.get_running_loop().create_future()
        return [await self._write(batch) for batch in batches]

    async def ping(self) -> None:
        moved = self._folder / "moved"
        if moved.exists():
            (partition,) = moved.read_text().split()
            moved.unlink()
            raise CheckpointMoved(self._topic, int(partition), "was moved back")

    async def _write(self, batch: Batch) -> WriteResult:
        if (self._folder / "bug").exists():
            raise KeyError(f"a bug that names {batch.records[0].value!r}")
        if (self._folder / "down").exists():
            self._note("tried", str(os.getpid()))
            raise Unavailable("the store is down")
        if (self._folder / "hang").exists():
            self._note("hanging", str(os.getpid()))
            await asyncio.get_running_loop().create_future()
        if (self._folder / "slow").exists():
            await asyncio.wait({asyncio.get_running_loop().create_future()}, timeout=0.01)  # so that fetches queue up
        offsets = [record.offset for record in batch.records]
        assert offsets == sorted(offsets)
        self._note("written", f"{os.getpid()} {batch.partition} {offsets[0]} {offsets[-1]} {len(offsets)}")
        return WriteResult(len(offsets), 0, 0, offsets[-1])

    def _note(self, name: str, line: str) -> None:
        with (self._folder / name).open("a") as file:
            file.write(line + "\n")


def break_sync(folder: Path) -> None:
    """Replace the answer to a SyncGroup request by an error, once for each FOLDER/sync-error."""
    ask = GroupCoordinator._send_req

    async def asked(self: Any, request: Any) -> Any:
        answer = await ask(self, request)
        if type(request).__name__.startswith("SyncGroup") and (folder / "sync-error").exists():
            (folder / "sync-error").rename(folder / "sync-error-done")
            answer.error_code = -1
        return answer

    GroupCoordinator._send_req = asked


def delay_seeks(folder: Path) -> None:
    """With FOLDER/slow-brokers the offsets that a seek needs take longer than a broker has for one answer."""
    ask = FetchThread._bounds

    async def asked(self: FetchThread, tps: Sequence[TopicPartition]) -> dict[TP, Bounds]:
        if (folder / "slow-brokers").exists():
            await asyncio.wait({asyncio.get_running_loop().create_future()}, timeout=1.5 * self.app.request_timeout)
        return await ask(self, tps)

    FetchThread._bounds = asked  # type: ignore[method-assign]


if __name__ == "__main__":
    bootstrap, prefix, group, folder, max_batch = sys.argv[1:6]
    logs.configure("info", "console")
    configured = Settings.load()
    break_sync(Path(folder))
    delay_seeks(Path(folder))
    if (Path(folder) / "poll-interval").exists():
        streams_app.MAX_POLL_INTERVAL = float((Path(folder) / "poll-interval").read_text())
    settings = GroupSettings(
        bootstrap=[bootstrap],
        group=prefix + group,
        topic=prefix + "events",
        dead_letter_topic=prefix + "dead-letters",
        max_batch=int(max_batch),
        session_timeout=6.0,
        heartbeat_interval=0.5,
        commit_interval=0.2,
        write_timeout=0.5 if (Path(folder) / "heavy").exists() else 30.0,
        stall_timeout=2.0 if (Path(folder) / "impatient").exists() else 120.0,
        poll_interval=0.2 if (Path(folder) / "impatient").exists() else configured.metrics_interval,
    )
    admin = AdminClient({"bootstrap.servers": bootstrap})
    app = SinkApp(
        settings,
        lambda publish: FileSink(Path(folder), prefix + "events"),
        lambda: topic_id(admin, prefix + "events", 4),
    )
    if (Path(folder) / "impatient").exists():
        app.conf.broker_commit_livelock_soft_timeout = 0.5  # 5 minutes otherwise
    with observed(configured, lambda: ObservedWorker(app, "graph", stall=configured.ready_stall)):
        code = run_until_signal(partial(app.run, on_failure=partial(end_soon, 1)))
    sys.exit(code)
