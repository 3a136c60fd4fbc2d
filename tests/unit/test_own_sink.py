"""A sink of one's own: the suite that every sink must pass, over stores in memory; and what becomes of errors."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import pytest
from msgspec.structs import replace

from holonstream.ops.own_sink import load_sink
from holonstream.schemas import names
from holonstream.schemas.errors import BadData, TopicReplaced, Unavailable
from holonstream.schemas.event import RecordedEvent
from holonstream.sinks.base import Batch, DeadLetter, Sink, WriteResult
from holonstream.sinks.errors import CheckpointMoved
from holonstream.sinks.own import SinkBatch, SinkPlace
from holonstream.sinks.own_worker import EventSinkWriter, InvalidCheckpoint, SinkCheckpoint
from holonstream.testing.records import Record, records_of
from holonstream.testing.sinks import TOPIC, SinkContract, history


@dataclass
class Store:
    """A database in memory: what is in it is committed."""

    seen: list[tuple[str, int]] = field(default_factory=list)
    """streams and versions, as they were written"""
    checkpoints: dict[int, str] = field(default_factory=dict)
    parked: dict[int, dict[str, int]] = field(default_factory=dict)
    down: bool = False


class ListSink:
    """Appends to a list: exactly once by its checkpoints, else idempotent."""

    name = "list"

    def __init__(self, store: Store, *, keeps: bool = True, fault: Exception | None = None) -> None:
        self._store, self._keeps, self.fault = store, keeps, fault
        self.batches: list[SinkBatch] = []

    async def open(self) -> None:
        self._check()

    async def close(self) -> None:
        pass

    async def assign(self, partition: int) -> SinkPlace:
        self._check()
        checkpoint = self._store.checkpoints.get(partition, "") if self._keeps else None
        return SinkPlace(checkpoint, self._store.parked.get(partition, {}))

    async def write(self, batch: SinkBatch) -> None:
        self._check()
        store = self._store
        if self._keeps and store.checkpoints.get(batch.partition, "") != batch.expected:
            raise batch.moved()
        if self.fault is not None:
            raise self.fault
        for event in batch.events:
            if event.payload.get("title") == "refused":
                raise BadData("I do not like the title")
        written = [(event.stream, event.version) for event in batch.events]
        store.seen += [new for new in written if self._keeps or new not in store.seen]
        parked = store.parked.setdefault(batch.partition, {})
        for stream in batch.unparked:
            parked.pop(stream, None)
        parked.update({p.stream: p.version for p in batch.parked})
        if batch.checkpoint is not None:
            store.checkpoints[batch.partition] = batch.checkpoint
        self.batches.append(batch)

    def _check(self) -> None:
        if self._store.down:
            raise ConnectionRefusedError("the store is down")


class TestExactlyOnce(SinkContract):
    """A sink with checkpoints."""

    keeps_checkpoint = True

    @pytest.fixture(autouse=True)
    def store(self) -> None:
        self.memory = Store()

    def make_sink(self) -> ListSink:
        return ListSink(self.memory, keeps=self.keeps_checkpoint)

    async def contents(self) -> Any:
        streams: dict[str, list[int]] = {}
        for stream, version in self.memory.seen:
            streams.setdefault(stream, []).append(version)
        return streams

    def expected(self, events: Sequence[RecordedEvent]) -> Any:
        streams: dict[str, list[int]] = {}
        for event in events:
            streams.setdefault(event.stream, []).append(event.version)
        return streams

    def refuse(self, event: RecordedEvent) -> Iterable[RecordedEvent]:
        yield replace(event, payload={"title": "refused"})

    @contextmanager
    def outage(self) -> Iterator[None]:
        self.memory.down = True
        yield
        self.memory.down = False


class TestAtLeastOnce(TestExactlyOnce):
    """A sink that relies on the group's offsets."""

    keeps_checkpoint = False


class Forgetful(ListSink):
    """Stores its checkpoints, and does not compare them."""

    async def write(self, batch: SinkBatch) -> None:
        now = self._store.checkpoints.get(batch.partition, "")
        await super().write(replace_expected(batch, now))


class TestTheSuiteFindsFaults:
    """Sinks that break the promise fail the suite."""

    @pytest.mark.parametrize("test", ["everything_comes_again", "workers_die_between_write_and_commit"])
    def test_a_sink_without_checkpoints_that_is_not_idempotent(self, test: str) -> None:
        class Careless(ListSink):
            async def assign(self, partition: int) -> SinkPlace:
                return SinkPlace(None)

            async def write(self, batch: SinkBatch) -> None:
                self._store.seen += [(event.stream, event.version) for event in batch.events]

        self._fails(Careless, test)

    @pytest.mark.parametrize(
        "test", ["a_worker_has_lost_its_partition_without_noticing", "the_answer_to_a_write_is_lost"]
    )
    def test_a_sink_that_does_not_compare_its_checkpoint(self, test: str) -> None:
        self._fails(Forgetful, test)

    def test_a_sink_that_forgets_what_is_parked(self) -> None:
        class Unparking(ListSink):
            async def assign(self, partition: int) -> SinkPlace:
                place = await super().assign(partition)
                return SinkPlace(place.checkpoint)

            async def write(self, batch: SinkBatch) -> None:
                await super().write(batch)
                raise Unavailable("after the commit")

        self._fails(Unparking, "a_refused_event_parks_its_stream_alone")

    def _fails(self, kind: type[ListSink], test: str) -> None:
        suite = TestExactlyOnce()
        suite.memory = Store()
        suite.make_sink = lambda: kind(suite.memory)  # type: ignore[method-assign]
        with pytest.raises(BaseException, match=r".") as raised:
            getattr(suite, f"test_{test}")()
        assert isinstance(raised.value, AssertionError | pytest.fail.Exception | Unavailable)


def replace_expected(batch: SinkBatch, expected: str) -> SinkBatch:
    return SinkBatch(batch.topic, batch.partition, batch.events, batch.parked, expected, batch.checkpoint)


# --- one worker, one partition ----------------------------------------------------------------------------------------

LOG = history(1)
LETTERS: list[DeadLetter] = []


def run(sink: ListSink, records: Sequence[Record], *, committed: int | None = None) -> WriteResult:
    """Write records in one batch, as a new worker."""

    async def write() -> WriteResult:
        writer: Sink = EventSinkWriter(sink, publish)
        await writer.open()
        await writer.assign(TOPIC, 0, committed, "A" * 22)
        (result,) = await writer.write_batches([Batch(TOPIC, 0, records, records[-1].offset + 1)])
        return result

    return asyncio.run(write())


async def publish(letters: Sequence[DeadLetter]) -> None:
    LETTERS.extend(letters)


@pytest.fixture(autouse=True)
def no_letters() -> None:
    LETTERS.clear()


def test_a_bug_of_the_sink_is_raised_as_it_is() -> None:
    with pytest.raises(KeyError):
        run(ListSink(Store(), fault=KeyError("x")), records_of(LOG))
    assert LETTERS == []


def test_an_outage_is_unavailable_and_parks_nothing() -> None:
    store = Store(down=True)
    with pytest.raises(Unavailable, match="the store is down"):
        run(ListSink(store), records_of(LOG))
    assert (LETTERS, store.parked) == ([], {})


def test_the_guilty_event_is_found_among_thousands() -> None:
    log = history(500)
    bad = {log[77].stream: 1, log[900].stream: 2}
    log = [replace(e, payload={"title": "refused"}) if bad.get(e.stream) == e.version else e for e in log]
    store = Store()
    sink = ListSink(store)
    result = run(sink, records_of(log))
    assert store.parked == {0: bad}
    assert (result.applied, result.dead) == (len(log) - 4 - 3, 4 + 3)
    assert sorted((str(letter.stream), letter.version) for letter in LETTERS) == sorted(
        (stream, version) for stream, first in bad.items() for version in range(first, 5)
    )
    assert [letter.reason for letter in LETTERS if letter.version == bad[str(letter.stream)]] == [
        "BadData: I do not like the title"
    ] * 2
    assert len(sink.batches) < 50  # halves, not one by one


def test_a_contradicting_record_parks_its_stream_and_a_repeated_one_does_not() -> None:
    repeated = [*LOG[:2], LOG[1], *LOG[2:]]
    store = Store()
    assert run(ListSink(store), records_of(repeated)) == WriteResult(4, 1, 0, LOG[-1].position)
    forged = replace(LOG[1], position=LOG[1].position + 100)
    store = Store()
    result = run(ListSink(store), records_of([*LOG[:2], forged, *LOG[2:]]))
    assert store.parked == {0: {LOG[0].stream: 2}}
    assert (result.applied, result.dead) == (2, 3)


def test_a_batch_without_events_moves_the_checkpoint_alone() -> None:
    store = Store()
    result = run(ListSink(store), [Record(7, b"x", b"nonsense")])
    assert (result, store.checkpoints) == (WriteResult(0, 0, 1, None), {0: f"8 - {'A' * 22}"})
    assert [letter.stream for letter in LETTERS] == [None]


def test_an_outage_of_the_store_does_not_publish_dead_letters_again_and_again() -> None:
    store = Store()
    records = [Record(0, b"x", b"nonsense"), *records_of(LOG, 1)]

    async def write() -> WriteResult:
        writer: Sink = EventSinkWriter(ListSink(store), publish)
        await writer.assign(TOPIC, 0, None, "A" * 22)
        store.down = True
        for _ in range(5):
            with pytest.raises(Unavailable):
                await writer.write_batches([Batch(TOPIC, 0, records, records[-1].offset + 1)])
        store.down = False
        (result,) = await writer.write_batches([Batch(TOPIC, 0, records, records[-1].offset + 1)])
        more = [Record(records[-1].offset + 1, b"x", b"nonsense")]
        await writer.write_batches([Batch(TOPIC, 0, more, more[-1].offset + 1)])
        return result

    assert asyncio.run(write()) == WriteResult(len(LOG), 0, 1, LOG[-1].position)
    assert [letter.offset for letter in LETTERS] == [0, len(LOG) + 1]


def test_a_sink_without_checkpoints_is_not_called_for_nothing() -> None:
    sink = ListSink(Store(), keeps=False)
    run(sink, [Record(7, b"x", b"nonsense")])
    assert sink.batches == []


def test_a_checkpoint_belongs_to_one_topic() -> None:
    store = Store(checkpoints={0: f"8 12 {'B' * 22}"})
    with pytest.raises(TopicReplaced, match="empty its store"):
        run(ListSink(store), records_of(LOG))


@pytest.mark.parametrize("text", ["x", "-1", "1.5", "\u0661", " 7", "7  ", "1\n"])
def test_a_checkpoint_that_no_batch_had_is_named(text: str) -> None:
    try:
        parsed = SinkCheckpoint.parse(text)
    except InvalidCheckpoint:
        return
    assert parsed == SinkCheckpoint(7)


@pytest.mark.parametrize(
    "checkpoint", [SinkCheckpoint(), SinkCheckpoint(5, None, "A" * 22), SinkCheckpoint(2**62, 7, "b" * 22)]
)
def test_a_checkpoint_is_read_as_it_was_written(checkpoint: SinkCheckpoint) -> None:
    assert SinkCheckpoint.parse(checkpoint.text()) == checkpoint


def test_a_moved_checkpoint_of_a_sink_that_keeps_none_is_a_bug() -> None:
    sink = ListSink(Store(), keeps=False, fault=CheckpointMoved(TOPIC, 0, "x"))
    with pytest.raises(TypeError, match="keeps no checkpoints"):
        run(sink, records_of(LOG))


# --- groups -----------------------------------------------------------------------------------------------------------


def test_groups_of_own_sinks_are_told_from_all_others() -> None:
    groups = ["s-relay", "s-graph", "s-sink-search", "s-sink-a_1", "s-sink-graph", "s-sink-x-2", "t-sink-y", "s-sink-"]
    assert names.own_sinks("s", groups) == ["sink-a_1", "sink-search"]
    assert names.own_sinks("s", groups, "-2") == ["sink-x"]
    assert names.own_sinks("s-sink", ["s-sink-graph", "s-sink-search", "s-sink-sink-z"]) == ["sink-z"]


# --- MODULE:FACTORY ---------------------------------------------------------------------------------------------------

MODULE = """
import asyncio
from holonstream.sinks.own import SinkPlace

class Good:
    name = "good"
    async def open(self): ...
    async def close(self): ...
    async def assign(self, partition): return SinkPlace()
    async def write(self, batch): ...

class Nameless(Good):
    name = "Has Blanks"

class Blocking(Good):
    def write(self, batch): ...

class Lacking:
    name = "lacking"
    async def open(self): ...

class Factories:
    good = Good

number = 5
def nothing(): ...
def wrong(): return "x"
async def later(): return Good()
def kind(): return Good
def broken(): raise RuntimeError("the factory's own words")
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "shop_sinks.py").write_text(MODULE)
    (tmp_path / "shop_broken.py").write_text("import a_package_that_is_not_there\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield "shop_sinks"
    for name in ("shop_sinks", "shop_broken"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("path", ["Good", "Factories.good"])
def test_a_factory_is_found(module: str, path: str) -> None:
    assert load_sink(f"{module}:{path}").name == "good"


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        ("grahp", "neither graph, cache nor MODULE:FACTORY; did you mean graph"),
        ("shop_sinks", "neither graph, cache nor MODULE:FACTORY"),
        (":x", "neither graph"),
        ("..:x", "no name of a module"),
        ("shop_missing:Good", "There is no module shop_missing"),
        ("shop_sinks.inner:Good", "There is no module shop_sinks.inner"),
        ("shop_broken:Good", "it needs a_package_that_is_not_there, not found"),
        ("shop_sinks:Godo", "shop_sinks has no 'Godo'; did you mean Good"),
        ("shop_sinks:number", "is a int, not a function"),
        ("shop_sinks:nothing", "gives None, which is no sink"),
        ("shop_sinks:wrong", "gives a str, which is no sink: its name, None, must begin with a to z"),
        ("shop_sinks:later", "must be a plain function"),
        ("shop_sinks:kind", "gives a type, which is no sink: name Good itself"),
        ("shop_sinks:Nameless", "its name, 'Has Blanks', must begin"),
        ("shop_sinks:Blocking", "its write must be an async def"),
        ("shop_sinks:Lacking", "it has no close(); it has no assign(); it has no write()"),
    ],
)
def test_what_is_no_sink_is_named(module: str, spec: str, fault: str) -> None:
    with pytest.raises(click.BadParameter) as raised:
        load_sink(spec)
    assert fault in raised.value.message


def test_what_a_factory_raises_is_raised(module: str) -> None:
    with pytest.raises(RuntimeError, match="the factory's own words"):
        load_sink(f"{module}:broken")
