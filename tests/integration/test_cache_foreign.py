"""Entries of others in Redis, missing rights, a server in trouble: readers ask the graph, the worker waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from holonstream.local.redis_server import RedisServer
from holonstream.sinks.cache.driver import connect
from holonstream.sinks.cache.entry import HEADER, position_text, slot_of
from holonstream.sinks.cache.reader import HolonCache
from holonstream.sinks.cache.sink import InvalidationSink
from holonstream.sinks.errors import CacheUnavailable
from tests.integration.cache_kit import (
    GENERATION,
    TOPIC,
    MemoryGraph,
    batch_of,
    entry_of,
    generation_of,
    get_entry,
    holon,
    in_loop,
    own_redis,
    url_of,
)

NAMESPACE = "foreign"
KEY = f"{NAMESPACE}:holon:p-1"
WATERMARKS = f"{NAMESPACE}:watermarks:0"
FLOOR = position_text(1)
HERE = "this server"
SOUND = {
    "server": HERE, "generation": GENERATION, "floor": FLOOR, "invalidated": FLOOR, "fills_from": "0",
    "lease": "9999999999999",
}  # fmt: skip
Put = Callable[[Redis, str], Awaitable[Any]]


def text(value: bytes | str) -> Put:
    """A text; `GENERATION` in it becomes the generation that the watermarks have."""

    async def put(redis: Redis, key: str) -> None:
        entry = value.encode() if isinstance(value, str) else value
        if GENERATION.encode() in entry:
            entry = entry.replace(GENERATION.encode(), (await generation_of(redis, NAMESPACE)).encode())
        await redis.set(key, entry)

    return put


def fields(**values: str) -> Put:
    """A hash; `HERE` in it becomes the id of the server."""

    async def put(redis: Redis, key: str) -> None:
        server = (await redis.info("replication"))["master_replid"]
        await redis.hset(key, mapping={n.removeprefix("slot"): server if v == HERE else v for n, v in values.items()})

    return put


ENTRIES: dict[str, Put] = {
    "a list": lambda redis, key: redis.rpush(key, "x"),
    "a set": lambda redis, key: redis.sadd(key, "x"),
    "a hash": fields(a="b"),
    "a sorted set": lambda redis, key: redis.zadd(key, {"x": 1.0}),
    "a stream": lambda redis, key: redis.xadd(key, {"a": "b"}),
    "an empty text": text(""),
    "a short text": text("V12"),
    "a text": text("some configuration of somebody else"),
    "no text": text(b"\xff\xfe" * 40),
    "a value without a position": text(b"V" + 20 * b"x" + b"{}"),
    "a value that is no UTF-8": text(entry_of(4)[:HEADER].replace(b"T", b"V", 1) + b'{"id":"\xff"}'),
    "a value that is no JSON": text(entry_of(4)[:HEADER].replace(b"T", b"V", 1) + b"{"),
    "a value beyond its position": text(b"V" + entry_of(99)[1:] + entry_of(holon("p-1", 4))[HEADER:]),
    "the value of another holon": text(entry_of(holon("p-2", 4))),
    "the later value of another holon": text(entry_of(holon("p-2", 99))),
    "a value of an earlier version": text(b"V%020d" % 99 + entry_of(holon("p-1", 4))[HEADER:]),
    "a value of another generation": text(entry_of(holon("p-1", 99), "000000000000")),
    "a value of a partition that nobody has": text(entry_of(holon("p-1", 4), partition=7)),
    "a value without a partition": text(entry_of(holon("p-1", 4)).replace(b"00000{", b"0000x{", 1)),
    "a tombstone without a position": text("T" + 20 * "x" + GENERATION + "00000"),
    "a tombstone beyond all positions": text("T" + 20 * "9" + GENERATION + "00000"),
    "a tombstone of 21 digits": text("T1" + 20 * "0" + GENERATION + "00000"),
    "a tombstone of another generation": text(entry_of(99, "000000000000")),
}
HASHES: dict[str, Put] = {
    "a text": text("someone else's"),
    "a list": lambda redis, key: redis.rpush(key, "x"),
    "a set": lambda redis, key: redis.sadd(key, "x"),
    "a hash of somebody else": fields(a="b"),
    "a floor that is no position": fields(floor="high", fills_from="0"),
    "a floor alone": fields(floor=FLOOR),
    "a beginning that is no time": fields(floor=FLOOR, fills_from="soon"),
    "a slot that is no position": fields(**SOUND, **{f"slot{slot_of('p-1')}": "high"}),
    "a slot of 21 digits": fields(**SOUND, **{f"slot{slot_of('p-1')}": 21 * "1"}),
    "a lease that is no time": fields(**{**SOUND, "lease": "for ever"}),
    "a floor of 21 digits": fields(**{**SOUND, "floor": 21 * "1"}),
    "an acknowledged position of 21 digits": fields(**{**SOUND, "invalidated": 21 * "1"}),
    "watermarks of an earlier version": fields(floor=FLOOR, fills_from="0"),
    "watermarks of another server": fields(**{**SOUND, "server": 40 * "0"}),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with own_redis(tmp_path_factory.mktemp("redis")) as running:
        yield running


@asynccontextmanager
async def opened(server: RedisServer) -> AsyncIterator[tuple[InvalidationSink, HolonCache, MemoryGraph, Redis]]:
    """A sink that has partition 0, and a store over a graph that holds ``p-1`` at position 5, on an empty Redis."""
    redis, graph = connect(url_of(server), timeout=5), MemoryGraph()
    graph.apply("p-1", 5)
    await redis.flushall()
    sink = InvalidationSink(connect(url_of(server), timeout=5), NAMESPACE, grace_period=0, floor_interval=3600)
    try:
        async with HolonCache(graph, connect(url_of(server), timeout=5), NAMESPACE, retry_after=0) as store:
            await sink.assign(TOPIC, 0, 1)
            yield sink, store, graph, redis
    finally:
        await sink.close()
        await redis.aclose()


@pytest.mark.parametrize("kind", ENTRIES)
@in_loop
async def test_a_reader_asks_the_graph_and_replaces_what_is_not_ours(server: RedisServer, kind: str) -> None:
    async with opened(server) as (_, store, graph, redis):
        await ENTRIES[kind](redis, KEY)
        for _ in range(3):
            assert await store.get_holon("p-1") == graph.holons["p-1"]
        assert await get_entry(redis, KEY) == entry_of(graph.holons["p-1"])
        assert (store.counters.hits, store.counters.errors) == (2, 0)


@pytest.mark.parametrize("kind", ENTRIES)
@in_loop
async def test_the_worker_overwrites_what_is_not_ours(server: RedisServer, kind: str) -> None:
    async with opened(server) as (sink, _, _, redis):
        await ENTRIES[kind](redis, KEY)
        position = 100  # beyond what looks like a value
        await sink.write(batch_of(("holon/p-1", position)))
        assert await get_entry(redis, KEY) == entry_of(position)


@pytest.mark.parametrize("kind", HASHES)
@in_loop
async def test_watermarks_that_are_not_ours_count_as_lost(server: RedisServer, kind: str) -> None:
    async with opened(server) as (sink, store, graph, redis):
        await redis.delete(WATERMARKS)
        await HASHES[kind](redis, WATERMARKS)
        assert await store.get_holon("p-1") == graph.holons["p-1"]
        assert (store.counters.fills, store.counters.errors) == (0, 0)
        await sink.write(batch_of(("holon/p-1", 7), ("holon/p-2", 8)))
        assert await redis.hget(WATERMARKS, "floor") == position_text(8).encode()
        assert await store.get_holon("p-1") == graph.holons["p-1"]
        assert store.counters.fills == 0
        graph.apply("p-1", 9)
        assert await store.get_holon("p-1") == graph.holons["p-1"]
        assert store.counters.fills == 1


@pytest.mark.parametrize("kind", [kind for kind in HASHES if "slot" not in kind])
@in_loop
async def test_a_check_of_floors_makes_watermarks_that_are_not_ours_again(server: RedisServer, kind: str) -> None:
    async with opened(server) as (sink, _, _, redis):
        await redis.delete(WATERMARKS)
        await HASHES[kind](redis, WATERMARKS)
        await sink.make_floors()
        assert await redis.hget(WATERMARKS, "floor") == FLOOR.encode()


@pytest.mark.parametrize(
    "rights",
    [
        ["+@all", "-evalsha", "-eval"],
        ["+@all", "-get", "-hmget"],
        ["+@all", "-info"],
        ["+@all", "-set", "-hset", "-hmget"],
        ["+ping"],
        ["-@all"],
    ],
)
@in_loop
async def test_without_rights_readers_ask_the_graph_and_the_worker_says_what_it_waits_for(
    server: RedisServer, rights: list[str]
) -> None:
    async with opened(server) as (_, _, graph, redis):
        await redis.execute_command(  # type: ignore[no-untyped-call]
            "ACL", "SETUSER", "limited", "reset", "on", ">secret", "~*", *rights
        )
        url = url_of(server).replace("redis://", "redis://limited:secret@")
        async with HolonCache(graph, connect(url, timeout=5), NAMESPACE, retry_after=0) as store:
            for _ in range(2):
                assert await store.get_holon("p-1") == graph.holons["p-1"]
            assert store.counters.hits == 0
            assert store.counters.errors > 0
        sink = InvalidationSink(connect(url, timeout=5), NAMESPACE, floor_interval=3600)
        try:
            refusal = "NOPERM|can't run this command|no permissions to run"  # as Redis 7 and 8 put it
            with pytest.raises(CacheUnavailable, match=refusal):
                await sink.write(batch_of(("holon/p-1", 7)))
            with pytest.raises(CacheUnavailable, match=refusal):
                await sink.assign(TOPIC, 0, 1)
        finally:
            await sink.close()


async def answers(redis: Redis) -> bool:
    try:
        await redis.get("anything")
    except ResponseError:
        return False
    return True


@asynccontextmanager
async def a_script_that_does_not_end(server: RedisServer) -> AsyncIterator[str]:
    async with Redis.from_url(url_of(server)) as redis, Redis.from_url(url_of(server)) as other:
        await redis.config_set("busy-reply-threshold", 1)
        endless = asyncio.ensure_future(other.eval("while true do end", 0))
        try:
            while await answers(redis):
                pass
            yield "BUSY"
        finally:
            await redis.script_kill()
            await asyncio.gather(endless, return_exceptions=True)
            await redis.config_set("busy-reply-threshold", 5000)


@asynccontextmanager
async def a_disk_that_takes_no_snapshot(server: RedisServer) -> AsyncIterator[str]:
    (server.home / "dump.rdb").mkdir()
    async with Redis.from_url(url_of(server)) as redis:
        await redis.config_set("save", "3600 1")
        try:
            with suppress(ResponseError):
                await redis.save()
            await redis.bgsave()
            while (await redis.info("persistence"))["rdb_last_bgsave_status"] == "ok":
                pass
            yield "MISCONF"
        finally:
            (server.home / "dump.rdb").rmdir()
            await redis.config_set("save", "")


@asynccontextmanager
async def a_master_that_became_a_replica(server: RedisServer) -> AsyncIterator[str]:
    async with Redis.from_url(url_of(server)) as redis:
        await redis.replicaof("127.0.0.1", "1")
        try:
            yield "READONLY"
        finally:
            await redis.replicaof("NO", "ONE")


@asynccontextmanager
async def memory_for_nothing(server: RedisServer) -> AsyncIterator[str]:
    async with Redis.from_url(url_of(server)) as redis:
        before = (await redis.config_get("maxmemory"))["maxmemory"] or "0"
        await redis.config_set("maxmemory", "1")
        try:
            yield "OOM"
        finally:
            await redis.config_set("maxmemory", before)


@pytest.mark.parametrize(
    "trouble",
    [a_script_that_does_not_end, a_disk_that_takes_no_snapshot, a_master_that_became_a_replica, memory_for_nothing],
)
@in_loop
async def test_a_redis_in_trouble_costs_readers_nothing_and_the_worker_waits_with_its_reason(
    server: RedisServer, trouble: Callable[[RedisServer], AbstractAsyncContextManager[str]]
) -> None:
    async with opened(server) as (sink, store, graph, redis):
        await redis.set(KEY, b"garbage")  # so that the reader has to fill
        async with trouble(server) as reason:
            assert await store.get_holon("p-1") == graph.holons["p-1"]
            assert store.counters.errors > 0
            with pytest.raises(CacheUnavailable, match=reason):
                await sink.write(batch_of(("holon/p-1", 7)))
            with pytest.raises(CacheUnavailable, match=reason):
                await sink.make_floors()
        await sink.write(batch_of(("holon/p-1", 7)))
        assert await get_entry(redis, KEY) == entry_of(7)


@in_loop
async def test_a_server_that_is_no_redis_is_unavailable() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    listening = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with listening:
        url = f"redis://127.0.0.1:{listening.sockets[0].getsockname()[1]}/0"
        sink, graph = InvalidationSink(connect(url, timeout=5), NAMESPACE), MemoryGraph()
        graph.apply("p-1", 5)
        with pytest.raises(CacheUnavailable):
            await sink.open()
        await sink.close()
        async with HolonCache(graph, connect(url, timeout=5), NAMESPACE, retry_after=0) as store:
            assert await store.get_holon("p-1") == graph.holons["p-1"]
