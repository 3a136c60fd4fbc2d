"""``holonstream verify cache``: what each entry is, against the log, the graph and what was acknowledged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import redis
from msgspec.structs import replace
from redis.asyncio import Redis

from holonstream.ops.verify import cache as module
from holonstream.ops.verify.cache import CacheVerifier
from holonstream.ops.verify.log import EntityReader
from holonstream.schemas.event import RecordedEvent
from holonstream.schemas.partition import partition_of
from holonstream.schemas.projection import fold
from holonstream.schemas.state import Holon
from holonstream.sinks.cache.driver import connect
from holonstream.sinks.cache.entry import Keys, position_text, slot_of
from tests.conformance.graph_store import CATALOGUE
from tests.integration.cache_kit import GENERATION, entry_of
from tests.integration.graph_kit import PARTITIONS, TOPIC
from tests.integration.test_verify_graph import EVENTS, World, modified, person, world

__all__ = ["world"]


@dataclass
class CacheUnderTest:
    """A cache whose entries the test writes by hand, over a log and a graph."""

    world: World
    client: redis.Redis
    url: str
    namespace: str
    acknowledged: int = 0

    @property
    def keys(self) -> Keys:
        return Keys(self.namespace)

    def put(self, holon_id: str, entry: bytes | Holon | int) -> None:
        """Bytes as they are; a value or a tombstone of a generation that readers trust."""
        if not isinstance(entry, bytes):
            partition = partition_of(f"holon/{holon_id}", PARTITIONS)
            self.client.hset(self.keys.watermarks(partition), mapping={"server": self.server, "generation": GENERATION})
            entry = entry_of(entry, partition=partition)
        self.client.set(self.keys.holon + holon_id, entry)

    @property
    def server(self) -> str:
        return str(self.client.info("replication")["master_replid"])

    def value(self, holon_id: str, log: list[RecordedEvent] | None = None) -> Holon:
        state = fold(CATALOGUE, log or self.world.log.read())[f"holon/{holon_id}"]
        assert isinstance(state, Holon)
        return state

    def verify(self, count: int | None = None, *, repairs: bool = False, limit: int = 100) -> dict[str, Any]:
        async def go(graph: Any) -> dict[str, Any]:
            async def acknowledged() -> dict[int, int]:
                return dict.fromkeys(range(PARTITIONS), self.acknowledged)

            client: Redis = connect(self.url, timeout=5)
            with EntityReader(self.world.settings.postgres_dsn.reveal(), CATALOGUE) as log:
                verifier = CacheVerifier(
                    client, self.namespace, log, graph, CATALOGUE, TOPIC, acknowledged, repairs=repairs
                )
                try:
                    return (await verifier.verify(count, limit)).document()
                finally:
                    await client.aclose()

        return self.world.graph(go)

    def verdict(self) -> dict[str, Any]:
        """What the only entry is."""
        report = self.verify()
        assert report["entries"] == 1
        (name,) = report["verdicts"]
        return {"verdict": name, **(report["findings"] or [{}])[0], "report": report}


@pytest.fixture
def cached(world: World, redis_url: str, redis_prefix: str) -> Iterator[CacheUnderTest]:
    world.append(*EVENTS)
    world.follow()
    url = f"{redis_url.rpartition('/')[0]}/1"  # a database of its own: keys are counted and drawn from all of it
    with redis.Redis.from_url(url) as client:
        client.flushdb()
        yield CacheUnderTest(world, client, url, redis_prefix.rstrip(":"))
        client.flushdb()


def test_a_value_that_the_log_says_is_equal(cached: CacheUnderTest) -> None:
    cached.put("p-1", cached.value("p-1"))
    cached.acknowledged = 10**6
    found = cached.verdict()
    assert (found["verdict"], found["report"]["violations"], found["report"]["newer_than_graph"]) == ("equal", 0, 0)


def test_an_older_value_lags_until_the_newer_event_is_acknowledged_and_is_stale_then(cached: CacheUnderTest) -> None:
    cached.put("p-1", cached.value("p-1"))
    old = cached.value("p-1").position
    log = cached.world.append(modified("p-1", rank="O-4"), modified("p-1", rank="O-5"))
    cached.acknowledged = log[-2].position - 1
    found = cached.verdict()
    assert (found["verdict"], found["cached"], found["log"], found["graph"]) == ("lagging", old, log[-1].position, old)
    assert 0 <= found["age"] < 300
    assert found["report"]["oldest"]["lagging"] == found["age"]
    assert found["report"]["violations"] == 0
    cached.acknowledged = log[-2].position
    found = cached.verdict()
    assert (found["verdict"], found["acknowledged"]) == ("stale", cached.acknowledged)
    assert 0 <= found["age"] < 300
    assert found["report"]["violations"] == 1


def test_the_watermarks_acknowledge_too(cached: CacheUnderTest) -> None:
    cached.put("p-1", cached.value("p-1"))
    position = cached.world.append(modified("p-1", rank="O-4"))[-1].position
    assert cached.verdict()["verdict"] == "lagging"
    watermarks = cached.keys.watermarks(partition_of("holon/p-1", PARTITIONS))
    cached.client.hset(watermarks, slot_of("p-1"), position_text(position))
    assert cached.verdict()["verdict"] == "stale"


def test_a_tombstone_is_awaited_until_the_graph_has_reached_it(cached: CacheUnderTest) -> None:
    position = cached.world.append(modified("p-1", rank="O-4"))[-1].position
    cached.put("p-1", position)
    cached.acknowledged = position
    found = cached.verdict()
    assert (found["verdict"], found["cached"], found["report"]["violations"]) == ("awaited", position, 0)
    assert 0 <= found["age"] < 300
    cached.world.follow()
    assert cached.verdict()["verdict"] == "tombstone"
    later = cached.world.append(modified("p-1", rank="O-5"))[-1].position
    cached.acknowledged = later
    assert cached.verdict()["verdict"] == "stale"  # it would let the holon in as it was before that event


@pytest.mark.parametrize(
    "entry",
    [b"", b"hello", b"V12", b"V%020d{" % 1, b"V%020d{}" % 1, b"X%020d" % 1, b"T0000000000000000000x", b"\xff\xfe"],
)
def test_what_readers_cannot_read_is_foreign_and_harmless(cached: CacheUnderTest, entry: bytes) -> None:
    cached.put("p-1", entry)
    found = cached.verdict()
    assert (found["verdict"], found["report"]["violations"]) == ("foreign", 0)


@pytest.mark.parametrize("watermarks", ["of another server", "of another generation", "none", "a text", "a list"])
def test_what_readers_do_not_trust_is_foreign_and_harmless(cached: CacheUnderTest, watermarks: str) -> None:
    cached.put("p-1", cached.value("p-1"))
    cached.world.append(modified("p-1", rank="O-4"))
    cached.acknowledged = 10**6
    assert cached.verdict()["verdict"] == "stale"
    key = cached.keys.watermarks(partition_of("holon/p-1", PARTITIONS))
    match watermarks:
        case "of another server":
            cached.client.hset(key, "server", 40 * "0")
        case "of another generation":
            cached.client.hset(key, "generation", "000000000000")
        case "none":
            cached.client.delete(key)
        case "a text":
            cached.client.set(key, "somebody else's")
        case "a list":
            cached.client.delete(key)
            cached.client.rpush(key, "x")
    found = cached.verdict()
    assert (found["verdict"], found["report"]["violations"]) == ("foreign", 0)


def test_a_value_of_another_holon_is_foreign(cached: CacheUnderTest) -> None:
    cached.put("p-1", cached.value("p-2"))
    assert cached.verdict()["verdict"] == "foreign"


def test_a_value_that_the_log_never_said_is_altered(cached: CacheUnderTest) -> None:
    right = cached.value("p-1")
    wrong = replace(right, properties={**right.properties, "rank": "O-9"})
    cached.put("p-1", wrong)
    found = cached.verdict()
    assert (found["verdict"], found["report"]["violations"]) == ("altered", 1)
    assert found["fields"] == [{"field": "properties.rank", "log": "O-3", "cache": "O-9"}]
    # at a position that is no event's
    cached.put("p-1", replace(right, position=right.position - 1))
    assert cached.verdict()["verdict"] == "altered"
    # a holon that the log does not have
    cached.put("ghost", replace(right, id="ghost", position=1))
    cached.client.delete(cached.keys.holon + "p-1")
    assert cached.verdict()["verdict"] == "altered"


@pytest.mark.parametrize("kind", ["V", "T"])
def test_what_is_beyond_the_end_of_the_log_is_ahead(cached: CacheUnderTest, kind: str) -> None:
    value = replace(cached.value("p-1"), position=10**9)
    cached.put("p-1", value if kind == "V" else 10**9)
    found = cached.verdict()
    assert (found["verdict"], found["report"]["violations"]) == ("ahead", 1)


def test_a_value_newer_than_a_graph_that_is_made_again_is_equal(cached: CacheUnderTest) -> None:
    cached.put("p-1", cached.value("p-1"))
    cached.world.cypher("MATCH (n:Holon) DETACH DELETE n")
    cached.world.cypher("MATCH (c:HolonstreamCheckpoint) SET c.offset = 0, c.position = 0, c.visible = 0")
    assert cached.verdict()["verdict"] == "equal"
    cached.world.follow(list(cached.world.log.read())[:2])
    found = cached.verdict()
    assert (found["verdict"], found["report"]["newer_than_graph"]) == ("equal", 1)


def test_a_repair_deletes_violations_and_nothing_else(cached: CacheUnderTest) -> None:
    cached.put("p-1", replace(cached.value("p-1"), status="inactive"))
    cached.put("p-2", cached.value("p-2"))
    cached.put("junk", b"junk")
    report = cached.verify(repairs=True)
    assert (report["violations"], report["deleted"]) == (1, 1)
    assert sorted(f["key"].rpartition(":")[2] for f in report["findings"]) == ["junk", "p-1"]
    assert [f.get("deleted", False) for f in sorted(report["findings"], key=lambda f: f["key"])] == [False, True]
    assert cached.verify()["verdicts"] == {"equal": 1, "foreign": 1}


@pytest.mark.parametrize("few", [10_000, 0], ids=["all are scanned", "keys are drawn"])
def test_a_sample_is_a_sample(cached: CacheUnderTest, few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FEW", few)
    cached.world.append(*[person(f"s-{i}") for i in range(60)])
    cached.world.follow()
    for i in range(60):
        cached.put(f"s-{i}", cached.value(f"s-{i}"))
    assert cached.verify(5 if few else 1)["entries"] == (5 if few else 1)
    assert cached.verify()["verdicts"] == {"equal": 60}


def test_a_sample_among_the_keys_of_others_is_as_large(cached: CacheUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FEW", 0)
    cached.world.append(*[person(f"s-{i}") for i in range(3)])
    cached.world.follow()
    for i in range(3):
        cached.put(f"s-{i}", cached.value(f"s-{i}"))
    cached.client.mset({f"of-another-program-{i}": "x" for i in range(20_000)})
    assert cached.verify(3)["entries"] == 3
