"""The invalidating sink on a real Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from holonstream.local.redis_server import RedisServer
from holonstream.sinks.cache.driver import Script, UnsafeRedis, connect
from holonstream.sinks.cache.entry import encode_holon, partition_text, position_text, slot_of
from holonstream.sinks.cache.reader import HolonCache
from holonstream.sinks.cache.sink import InvalidationSink
from holonstream.sinks.errors import CacheUnavailable
from tests.integration.cache_kit import (
    TOPIC,
    MemoryGraph,
    Record,
    batch_of,
    entry_of,
    get_entry,
    holon,
    in_loop,
    own_redis,
    record,
    url_of,
)

NAMESPACE = "sink-test"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with own_redis(tmp_path_factory.mktemp("redis")) as running:
        yield running


@asynccontextmanager
async def opened(server: RedisServer, **options: Any) -> AsyncIterator[tuple[InvalidationSink, Redis]]:
    """A sink on an empty Redis, whose floors are checked by hand."""
    async with Redis.from_url(url_of(server)) as redis:
        await redis.flushall()
        sink = InvalidationSink(
            connect(url_of(server), timeout=5), NAMESPACE, **{"grace_period": 0, "floor_interval": 3600, **options}
        )
        await sink.open()
        try:
            yield sink, redis
        finally:
            await sink.close()


@asynccontextmanager
async def changed(server: RedisServer, setting: str, value: str) -> AsyncIterator[None]:
    """A setting of the server, until the end."""
    async with Redis.from_url(url_of(server)) as redis:
        before = (await redis.config_get(setting))[setting] or ""
        await redis.config_set(setting, value)
        try:
            yield
        finally:
            await redis.config_set(setting, before)


def key(holon_id: str) -> str:
    return f"{NAMESPACE}:holon:{holon_id}"


async def floor_of(redis: Redis, partition: int = 0) -> int | None:
    floor = await redis.hget(f"{NAMESPACE}:watermarks:{partition}", "floor")
    return None if floor is None else int(floor)


async def fill(redis: Redis, holon_id: str, position: int, checkpoint: int) -> bytes:
    answer: bytes = await Script("fill").run(
        redis,
        [key(holon_id), f"{NAMESPACE}:watermarks:0"],
        position_text(position),
        position_text(checkpoint),
        slot_of(holon_id),
        partition_text(0),
        encode_holon(holon(holon_id, position)),
        60,
    )
    return answer


@in_loop
async def test_a_batch_leaves_the_highest_position_of_each_holon_and_touches_no_relationship(
    server: RedisServer,
) -> None:
    async with opened(server) as (sink, redis):
        await sink.assign(TOPIC, 0, None)
        written = await sink.write(
            batch_of(
                ("holon/p-1", 5), ("relationship/r-1", 6), ("holon/p-2", 7), ("holon/p-1", 9), ("holon/Zoë/ü 1", 11)
            )
        )
        assert (written.applied, written.skipped, written.dead, written.position) == (5, 0, 0, 11)
        assert await get_entry(redis, key("p-1")) == entry_of(9)
        assert await get_entry(redis, key("p-2")) == entry_of(7)
        assert await get_entry(redis, key("Zoë/ü 1")) == entry_of(11)
        assert await redis.keys(f"{NAMESPACE}:holon:*r-1*") == []
        assert sink.counters.tombstones == 3
        assert 86_390 < await redis.ttl(key("p-1")) <= 86_400
        assert await redis.ttl(f"{NAMESPACE}:watermarks:0") == -1


@in_loop
async def test_batches_go_together_also_to_a_server_that_has_forgotten_the_script(server: RedisServer) -> None:
    batches = [
        batch_of(("holon/p-1", 3), partition=0),
        batch_of(("relationship/r-1", 4), partition=1),
        batch_of(("holon/p-2", 5), ("holon/p-3", 6), partition=2),
    ]
    async with opened(server) as (sink, redis):
        for tombstones in (3, 6):
            await redis.flushall()
            await redis.script_flush()
            written = await sink.write_batches(batches)
            assert [(w.applied, w.skipped, w.position) for w in written] == [(1, 0, 3), (1, 0, 4), (2, 0, 6)]
            found = [await get_entry(redis, key(name)) for name in ("p-1", "p-2", "p-3")]
            assert found == [
                entry_of(3),
                entry_of(6),
                entry_of(6),
            ]  # the floor of new watermarks is the end of their batch
            assert [await floor_of(redis, partition) for partition in range(3)] == [3, 4, 6]
            assert sink.counters.tombstones == tombstones


@in_loop
async def test_a_tombstone_is_never_lowered_and_a_newer_value_stays(server: RedisServer) -> None:
    async with opened(server) as (sink, redis):
        await sink.assign(TOPIC, 0, None)
        await sink.write(batch_of(("holon/p-1", 9), ("holon/p-2", 10)))
        assert await fill(redis, "p-2", 10, 10) == b"filled"
        await sink.write(batch_of(("holon/p-1", 8), ("holon/p-2", 10)))
        assert await get_entry(redis, key("p-1")) == entry_of(9)
        assert await get_entry(redis, key("p-2")) == entry_of(holon("p-2", 10))
        await sink.write(batch_of(("holon/p-2", 12)))
        assert await get_entry(redis, key("p-2")) == entry_of(12)


@in_loop
async def test_positions_beyond_a_double_are_distinguished(server: RedisServer) -> None:
    big = 2**53
    async with opened(server) as (sink, redis):
        await sink.assign(TOPIC, 0, None)
        await sink.write(batch_of(("holon/p-1", big)))
        await sink.write(batch_of(("holon/p-1", big + 1)))
        assert await get_entry(redis, key("p-1")) == entry_of(big + 1)
        assert await fill(redis, "p-1", big, big) == b"tombstone"
        assert await fill(redis, "p-1", big + 1, big + 1) == b"filled"


@in_loop
async def test_a_fill_must_reach_what_is_known(server: RedisServer) -> None:
    async with opened(server) as (sink, redis):
        assert await fill(redis, "p-1", 5, 9) == b"no_floor"
        await sink.assign(TOPIC, 0, 7)
        assert await fill(redis, "p-1", 5, 6) == b"floor"
        assert await fill(redis, "p-1", 5, 7) == b"filled", "no event of it since 5, and the graph has applied 7"
        await sink.write(batch_of(("holon/p-1", 8)))
        assert await fill(redis, "p-1", 5, 7) == b"tombstone"
        assert await fill(redis, "p-1", 8, 8) == b"filled"
        assert await fill(redis, "p-1", 5, 9) == b"value"
        await redis.delete(key("p-1"))
        assert await fill(redis, "p-1", 5, 7) == b"slot"
        assert await fill(redis, "p-1", 8, 8) == b"filled"
        assert 0 < await redis.ttl(key("p-1")) <= 60


@in_loop
async def test_a_record_seen_again_does_not_hide_a_newer_invalidation_that_was_evicted(server: RedisServer) -> None:
    async with opened(server) as (sink, redis):
        await sink.assign(TOPIC, 0, None)
        await sink.write(batch_of(("holon/p-1", 5), ("holon/p-1", 7)))
        await redis.delete(key("p-1"))
        await sink.write(batch_of(("holon/p-1", 5)))
        assert await fill(redis, "p-1", 5, 5) == b"tombstone"
        assert await fill(redis, "p-1", 7, 7) == b"filled"


@in_loop
async def test_a_long_run_goes_in_several_scripts(server: RedisServer) -> None:
    async with opened(server) as (sink, redis):
        await sink.assign(TOPIC, 0, None)
        events = [(f"holon/p-{n % 1700}", n + 1) for n in range(4321)]
        written = await sink.write(batch_of(*events))
        assert written.position == 4321
        expected = {key(stream[6:]): entry_of(position) for stream, position in events}
        assert {name: await get_entry(redis, name) for name in expected} == expected


@in_loop
async def test_undecodable_records_are_counted_and_left_to_the_graph_sink(server: RedisServer) -> None:
    bad = [
        Record(3, b"x", b"not json"),
        Record(4, b"x", None),
        Record(5, b"x", b'{"subject":"holon/p-1","sequence":"5x"}'),
    ]
    async with opened(server) as (sink, redis):
        await sink.assign(TOPIC, 0, None)
        written = await sink.write(batch_of(bad[0], record("holon/p-1", 4), *bad[1:]))
        assert (written.applied, written.skipped, written.dead, written.position) == (1, 3, 0, 4)
        only_bad = await sink.write(batch_of(*bad))
        assert (only_bad.applied, only_bad.skipped, only_bad.position) == (0, 3, None)
        assert (await sink.write(batch_of())).position is None
        assert sink.counters.undecodable == 6
        assert await get_entry(redis, key("p-1")) == entry_of(4)


@in_loop
async def test_a_record_whose_key_is_not_its_stream_raises_nothing(server: RedisServer) -> None:
    """The relay has not written it: at its position no event of ours need ever come."""
    foreign = Record(5, b"other", record("holon/p-1", 10**6).value)
    async with opened(server) as (sink, redis):
        await sink.assign(TOPIC, 0, None)
        written = await sink.write(batch_of(record("holon/p-1", 4), foreign))
        assert (written.applied, written.skipped, written.position) == (1, 1, 4)
        assert await get_entry(redis, key("p-1")) == entry_of(4)
        await redis.flushall()
        await sink.make_floors()
        assert await floor_of(redis, 0) == 4


@in_loop
async def test_a_floor_is_made_at_assignment_where_the_group_stands(server: RedisServer) -> None:
    async with opened(server) as (sink, redis):
        assert await sink.assign(TOPIC, 0, None) is None
        assert await sink.assign(TOPIC, 3, 41) is None
        assert await floor_of(redis, 0) == 0
        assert await floor_of(redis, 3) == 41
        assert sink.counters.floors == 2


@in_loop
async def test_a_floor_is_never_lowered(server: RedisServer) -> None:
    async with opened(server) as (sink, redis):
        await sink.assign(TOPIC, 0, 41)
        sink.revoke(TOPIC, 0)
        await sink.assign(TOPIC, 0, 40)
        await sink.write(batch_of(("holon/p-1", 41)))
        assert await floor_of(redis) == 41


@in_loop
async def test_a_lost_floor_comes_back_where_the_sink_stands(server: RedisServer) -> None:
    async with opened(server) as (sink, redis):
        await sink.assign(TOPIC, 0, None)
        await sink.write(batch_of(("holon/p-1", 5)))
        await redis.flushall()
        assert await fill(redis, "p-1", 4, 4) == b"no_floor"
        await sink.make_floors()
        assert await floor_of(redis) == 5
        assert await fill(redis, "p-1", 4, 4) == b"floor"
        assert await fill(redis, "p-1", 5, 5) == b"filled"


@in_loop
async def test_a_write_that_finds_no_floor_makes_it_at_the_end_of_its_run(server: RedisServer) -> None:
    async with opened(server) as (sink, redis):
        await sink.write(batch_of(("holon/p-1", 5), ("relationship/r-1", 6)))
        assert await floor_of(redis) == 6


@in_loop
async def test_a_flush_between_the_scripts_of_a_run_loses_no_invalidation(server: RedisServer) -> None:
    """After each script of a long batch in turn: flush, and check the floors at once."""
    events = [(f"holon/p-{n}", n + 1) for n in range(3500)]
    for flush_after in range(1, 5):
        async with opened(server) as (sink, redis):
            await sink.assign(TOPIC, 0, None)
            run, calls = sink._invalidate, 0

            async def flushing(*arguments: Any, run: Any = run, at: int = flush_after, sink: Any = sink) -> None:
                nonlocal calls
                await run(*arguments)
                calls += 1
                if calls == at:
                    await redis.flushall()
                    await sink.make_floors()

            sink._invalidate = flushing  # type: ignore[method-assign, assignment]
            await sink.write(batch_of(*events))
            assert calls == 4
            old = [await fill(redis, f"p-{n}", 0, n) for n in range(0, 3500, 50)]
            assert b"filled" not in old, f"flushed after script {flush_after}"


@in_loop
async def test_a_new_floor_has_a_grace_period_so_that_a_worker_that_knows_more_can_raise_it(
    server: RedisServer,
) -> None:
    async with opened(server, grace_period=3600) as (old_owner, redis), opened(server, grace_period=3600) as (owner, _):
        await old_owner.assign(TOPIC, 0, 3)
        await owner.assign(TOPIC, 0, 3)
        await owner.write(batch_of(("holon/p-1", 7)))
        await redis.flushall()
        await old_owner.write(batch_of(("holon/p-9", 4)))
        assert await floor_of(redis) == 4
        assert await fill(redis, "p-1", 3, 4) == b"grace_period"
        await owner.make_floors()
        assert await floor_of(redis) == 7
        await redis.hset(f"{NAMESPACE}:watermarks:0", "fills_from", "0")
        assert await fill(redis, "p-1", 3, 4) == b"floor"
        await owner.write(batch_of(("holon/p-1", 9)))
        await owner.make_floors()
        assert await floor_of(redis) == 7, (
            "a floor whose grace period is over stays, or fills would wait for the graph for ever"
        )


@in_loop
async def test_watermarks_of_an_earlier_version_are_deleted_and_fills_wait_for_the_new_ones(
    server: RedisServer,
) -> None:
    old = f"{NAMESPACE}:fence:0"
    async with opened(server, grace_period=3600) as (sink, redis):
        await redis.hset(old, mapping={"floor": position_text(1)})
        assert await fill(redis, "p-1", 3, 4) == b"no_floor"
        await sink.assign(TOPIC, 0, 7)
        assert not await redis.exists(old), "readers of the earlier version would trust it"
        assert await floor_of(redis) == 7
        assert await fill(redis, "p-1", 3, 9) == b"grace_period"


@in_loop
async def test_a_grace_period_is_not_prolonged_by_a_clock_that_was_set_back(server: RedisServer) -> None:
    watermarks = f"{NAMESPACE}:watermarks:0"
    async with opened(server, grace_period=3) as (sink, redis):
        await sink.assign(TOPIC, 0, 5)
        made = int(await redis.hget(watermarks, "fills_from") or 0)
        await redis.hset(watermarks, "fills_from", made + 3_600_000)
        await sink.make_floors()
        seconds, _ = await redis.time()
        assert made <= int(await redis.hget(watermarks, "fills_from") or 0) <= (seconds + 4) * 1000


@in_loop
async def test_lost_floors_are_made_without_a_write(server: RedisServer) -> None:
    async with opened(server, floor_interval=0.01) as (sink, redis):
        await sink.assign(TOPIC, 0, 5)
        await redis.flushall()
        async with asyncio.timeout(10):
            while await floor_of(redis) is None:
                pass
        assert await floor_of(redis) == 5


@in_loop
async def test_a_revoked_partition_is_not_kept_up(server: RedisServer) -> None:
    async with opened(server) as (sink, redis):
        await sink.assign(TOPIC, 0, 5)
        sink.revoke(TOPIC, 0)
        sink.revoke(TOPIC, 1)
        await redis.flushall()
        await sink.make_floors()
        assert await floor_of(redis) is None


@in_loop
async def test_open_and_close_may_be_repeated(server: RedisServer) -> None:
    async with opened(server) as (sink, _):
        await sink.open()
        await sink.close()
        await sink.close()
        await sink.open()
        await sink.assign(TOPIC, 0, None)


@pytest.mark.parametrize(("setting", "value"), [("save", "3600 1"), ("appendonly", "yes")])
@in_loop
async def test_a_redis_that_persists_is_taken_with_a_warning(
    server: RedisServer, setting: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with changed(server, setting, value), opened(server):
        pass
    out = capsys.readouterr().out
    assert "cache.settings.persists" in out
    assert f"{setting} {value}" in out


@in_loop
async def test_a_redis_that_evicts_by_another_policy_is_refused(server: RedisServer) -> None:
    async with changed(server, "maxmemory-policy", "allkeys-lru"):
        sink = InvalidationSink(connect(url_of(server), timeout=5), NAMESPACE)
        with pytest.raises(UnsafeRedis, match="policy 'allkeys-lru'"):
            await sink.open()
        await sink.close()


@in_loop
async def test_a_policy_that_somebody_sets_later_is_named_once(server: RedisServer) -> None:
    with capture_logs() as lines:
        async with opened(server, floor_interval=0.01, settings_interval=0.0) as (sink, redis):
            await sink.assign(TOPIC, 0, 1)

            def named() -> list[str]:
                return [line["reason"] for line in lines if line["event"] == "cache.settings.unsafe"]

            async def questions() -> int:
                return int((await redis.info("commandstats"))["cmdstat_config|get"]["calls"])

            async def checked_again() -> None:
                before = await questions()
                while await questions() < before + 12:  # four a check: two whole checks, at least
                    pass

            await checked_again()
            assert named() == []
            for times, policy in enumerate(("allkeys-lru", "noeviction"), 1):
                async with changed(server, "maxmemory-policy", policy):
                    await checked_again()
                    assert len(named()) == times
                    assert f"policy '{policy}'" in named()[-1]
                await checked_again()


@in_loop
async def test_a_redis_that_forbids_config_is_taken_with_a_warning(
    server: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    async with Redis.from_url(url_of(server)) as redis:
        await redis.acl_setuser(
            "managed", enabled=True, passwords=["+secret"], keys=["*"], commands=["+@all", "-config"]
        )
        try:
            host = url_of(server).removeprefix("redis://")
            sink = InvalidationSink(connect(f"redis://managed:secret@{host}", timeout=5), NAMESPACE)
            await sink.open()
            await sink.close()
        finally:
            await redis.acl_deluser("managed")
    out = capsys.readouterr().out
    assert "cache.settings.unchecked" in out
    assert "secret" not in out


@in_loop
async def test_tombstones_must_outlive_values(server: RedisServer) -> None:
    redis = connect(url_of(server), timeout=5)
    with pytest.raises(ValueError, match=r"tombstone_ttl \(60 s\) must be longer than value_ttl \(60 s\)"):
        InvalidationSink(redis, value_ttl=60, tombstone_ttl=60)
    await redis.aclose()


@in_loop
async def test_a_full_redis_is_unavailable_and_takes_the_batch_later(server: RedisServer) -> None:
    async with opened(server) as (sink, redis):
        await sink.assign(TOPIC, 0, None)
        before = (await redis.config_get("maxmemory"))["maxmemory"] or "0"
        await redis.config_set("maxmemory", "1")
        try:
            with pytest.raises(CacheUnavailable, match="invalidating 1 holons of partition 0: OOM "):
                await sink.write(batch_of(("holon/p-1", 5)))
        finally:
            await redis.config_set("maxmemory", before)
        await sink.write(batch_of(("holon/p-1", 5)))
        assert await get_entry(redis, key("p-1")) == entry_of(5)


@in_loop
async def test_the_watermarks_stay_small(server: RedisServer) -> None:
    async with opened(server) as (sink, redis):
        await sink.assign(TOPIC, 0, None)
        await sink.write(batch_of(*[(f"holon/p-{n}", n + 1) for n in range(20_000)]))
        assert await redis.hlen(f"{NAMESPACE}:watermarks:0") <= 4096 + 7
        assert (await redis.memory_usage(f"{NAMESPACE}:watermarks:0", samples=0) or 0) < 600_000


@in_loop
async def test_a_lagging_graph_lets_in_what_its_own_tombstone_allows(server: RedisServer) -> None:
    """Holons that share a slot: the tombstone judges each by its own last event."""
    first = "p-0"
    other = next(f"p-{n}" for n in range(1, 100_000) if slot_of(f"p-{n}") == slot_of(first))
    async with opened(server) as (sink, redis):
        graph = MemoryGraph()
        async with HolonCache(graph, connect(url_of(server), timeout=5), NAMESPACE) as store:
            await sink.assign(TOPIC, 0, None)
            await sink.write(batch_of((f"holon/{first}", 5), (f"holon/{other}", 6)))
            graph.apply(first, 5)
            await store.get_holon(first)
            assert store.counters.fills == 1
            await redis.delete(key(first))
            await store.get_holon(first)
            assert store.counters.refused == {"slot": 1}
