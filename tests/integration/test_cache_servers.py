"""How Redis may be set up: behind Sentinels, as a cluster (refused), with the least rights."""

from __future__ import annotations

import asyncio
import random
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from holonstream.local import ports
from holonstream.local.process import Command
from holonstream.local.redis_server import RedisServer
from holonstream.ops.replay.cache import clear_cache
from holonstream.sinks.cache.address import parse_sentinel
from holonstream.sinks.cache.driver import UnsafeRedis, connect
from holonstream.sinks.cache.sink import InvalidationSink
from holonstream.sinks.errors import CacheUnavailable
from tests.integration.cache_failover_kit import (
    NAMESPACE,
    Load,
    new_sink,
    new_store,
    pair,
    replicate,
    servers,
    wait_for,
)
from tests.integration.cache_kit import (
    TOPIC,
    MemoryGraph,
    batch_of,
    entry_of,
    generation_of,
    in_loop,
    start,
    url_of,
)
from tests.support.proxy import LOOPBACK

__all__ = ["pair", "servers"]


@contextmanager
def sentinels(master: RedisServer, folder: Path, password: str) -> Iterator[str]:
    """Three Sentinels that watch a master; the address of the cache by way of them."""
    chosen = [ports.choose(("sentinel",))["sentinel"] for _ in range(3)]
    processes = []
    for port in chosen:
        config = folder / f"sentinel-{port}.conf"
        config.write_text(
            f"port {port}\nbind {LOOPBACK}\ndir {folder}\nrequirepass {password}\nsentinel sentinel-pass {password}\n"
            f"sentinel monitor cache {LOOPBACK} {master.port} 2\n"
            "sentinel down-after-milliseconds cache 1000\nsentinel failover-timeout cache 5000\n"
        )
        with (folder / f"sentinel-{port}.log").open("w") as log:
            processes.append(subprocess.Popen(["redis-server", str(config), "--sentinel"], stdout=log))
    try:
        hosts = ",".join(f"{LOOPBACK}:{port}" for port in chosen)
        yield f"redis+sentinel://{hosts}/cache/0"
    finally:
        for process in processes:
            process.kill()
            process.wait()


async def sentinel_knows_all(url: str, password: str) -> bool:
    """Whether every Sentinel knows the others and the replica."""
    for host, port in parse_sentinel(url).hosts:
        async with Redis(host=host, port=port, password=password) as sentinel:
            try:
                masters: Any = await sentinel.sentinel_masters()
            except RedisConnectionError:
                return False
            known = masters["cache"]
            if (known["num-slaves"], known["num-other-sentinels"]) != (1, 2):
                return False
    return True


async def has_role(server: RedisServer, role: str) -> bool:
    async with Redis.from_url(url_of(server)) as redis:
        try:
            return bool((await redis.info("replication"))["role"] == role)
        except RedisConnectionError:  # Sentinel closes the connections of clients when it changes a role
            return False


@pytest.mark.faults
@in_loop
async def test_sentinel_promotes_a_replica_under_load(servers: tuple[RedisServer, RedisServer], tmp_path: Path) -> None:
    first, second = servers
    await replicate(second, first)
    with sentinels(first, tmp_path, "s3cret") as url:
        await wait_for(partial(sentinel_knows_all, url, "s3cret"), "the Sentinels know each other and the replica")
        load = Load(partial(connect, url, sentinel_password="s3cret", timeout=2), random.Random(5))
        async with load.running():
            await load.more(200, hits=50)
            first.kill()
            await load.more(200, hits=50)
            await wait_for(partial(has_role, second, "master"), "the replica is the master")
            await asyncio.to_thread(start, first)
            await wait_for(partial(has_role, first, "slave"), "the Sentinels have made the old master a replica")
            await load.more(200, hits=50)
        assert load.stale == []


@in_loop
async def test_sentinels_that_cannot_be_reached_or_do_not_know_the_master_are_unavailable() -> None:
    nobody = ports.choose(("sentinel",))["sentinel"]
    sink = InvalidationSink(connect(f"redis+sentinel://{LOOPBACK}:{nobody}/cache", timeout=2), NAMESPACE)
    with pytest.raises(CacheUnavailable, match="No master found for 'cache'"):
        await sink.open()
    await sink.close()


@in_loop
async def test_no_sentinel_is_forgotten_when_connections_ask_at_once(
    servers: tuple[RedisServer, RedisServer], tmp_path: Path
) -> None:
    nobody = ports.choose(("sentinel",))["sentinel"]
    with sentinels(servers[0], tmp_path, "s3cret") as url:
        first = f"{LOOPBACK}:{nobody},"
        client = connect(url.replace("://", f"://{first}"), sentinel_password="s3cret", timeout=5)
        known: Any = client.connection_pool
        before = set(known.sentinel_manager.sentinels)
        assert len(before) == 4

        async def all_connect() -> bool:
            try:
                await asyncio.gather(*(client.ping() for _ in range(8)))
            except RedisConnectionError:  # the Sentinels are about to start
                return False
            return True

        await wait_for(all_connect, "eight connections have been made at once")
        assert set(known.sentinel_manager.sentinels) == before
        await client.aclose()


@in_loop
async def test_a_cluster_is_refused(tmp_path: Path) -> None:
    with cluster_node(tmp_path) as url:
        sink = InvalidationSink(connect(url, timeout=5), NAMESPACE)
        with pytest.raises(UnsafeRedis, match=r"is a cluster \(cluster-enabled yes\).*Sentinel"):
            await sink.open()
        await sink.close()
        graph = MemoryGraph()
        graph.apply("p-1", 5)
        async with new_store(graph, url) as store:
            assert await store.get_holon("p-1") == graph.holons["p-1"]


class ClusterNode(RedisServer):
    """A node of a Redis Cluster that has no slots yet."""

    def command(self) -> Command:
        command = super().command()
        return replace(command, argv=[*command.argv, "--cluster-enabled", "yes"])


@contextmanager
def cluster_node(folder: Path) -> Iterator[str]:
    server = ClusterNode(folder, ports.choose(RedisServer.port_names()))
    start(server)
    try:
        yield url_of(server)
    finally:
        server.kill()


# docs/cache.md, Rights
READER = "~{0}:* resetchannels -@all +evalsha +eval +info +get +getrange +hmget +time +set +del"
WORKER = f"{READER} +hset +ping +info +config|get"
OPERATOR = "~{0}:* resetchannels -@all +info +scan +dbsize +randomkey +mget +hmget +unlink"


@in_loop
async def test_the_least_rights_that_the_documentation_gives_suffice(
    servers: tuple[RedisServer, RedisServer],
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "cache.md").read_text()
    server, _ = servers
    urls = {}
    async with Redis.from_url(url_of(server)) as redis:
        for name, rights in (("reader", READER), ("worker", WORKER), ("operator", OPERATOR)):
            assert f"ACL SETUSER {name} on >PASSWORD {rights.format('holonstream')}" in page
            await redis.execute_command(  # type: ignore[no-untyped-call]
                "ACL", "SETUSER", name, "reset", "on", ">secret", *rights.format(NAMESPACE).split()
            )
            urls[name] = url_of(server).replace("redis://", f"redis://{name}:secret@")
    graph, sink = MemoryGraph(), new_sink(urls["worker"])
    graph.apply("p-1", 5)
    await sink.open()
    await sink.ping()
    await sink.assign(TOPIC, 0, 0)
    await sink.write(batch_of(("holon/p-1", 5)))
    async with new_store(graph, urls["reader"]) as store:
        for _ in range(2):
            assert await store.get_holon("p-1") == graph.holons["p-1"]
        assert (store.counters.hits, store.counters.errors) == (1, 0)
        async with Redis.from_url(url_of(server)) as redis:
            header = entry_of(5, await generation_of(redis, NAMESPACE)).replace(b"T", b"V", 1)
            await redis.set(f"{NAMESPACE}:holon:p-1", header + b"{}")
        assert await store.get_holon("p-1") == graph.holons["p-1"]
        assert store.counters.errors == 0, "it may delete what it cannot read"
    await sink.close()
    client = connect(urls["operator"], timeout=5)
    assert await clear_cache(client, NAMESPACE) == 1
    await client.aclose()
