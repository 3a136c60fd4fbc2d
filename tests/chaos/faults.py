"""Faults: each method makes one happen, and returns when it has ended and what it hit is up again."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

import psycopg
import redis
import structlog
from confluent_kafka import KafkaException, Message, Producer

from holonstream.local import ports
from holonstream.local.redis_server import RedisServer
from holonstream.schemas.catalogue import Catalogue
from tests.chaos.recovery import Recoveries
from tests.chaos.schedule import Fault
from tests.chaos.supervisor import Supervisor
from tests.chaos.topic import GARBAGE
from tests.chaos.workload import poison
from tests.chaos.world import PARTITIONS, World
from tests.support.event_log import append
from tests.support.hostile_records import RecordGenerator
from tests.support.poison import Envelope
from tests.support.proxy import LOOPBACK
from tests.support.waiting import wait_until

log = structlog.get_logger(__name__)

AT_ONCE = 2  # faults
JUNK = "junk:"
HOLD_LOCKS = """
SELECT pg_advisory_lock_shared((18515::bigint << 48) | n),
       pg_try_advisory_lock((18515::bigint << 48) | (s.last_value + n))
FROM holonstream.events_position AS s, generate_series(1, 50) AS n
"""
HOSTILE = 40  # records
GARBAGE_VALUES = (b"\xff\xfe no text", b"{}", b'{"specversion":"1.0","sequence":"x"}', b"[1,2", None)


class Faults:
    """Performs a schedule. `poisoned` (streams) and `garbage` (records) tell the oracle what was written, and where."""

    def __init__(self, world: World, supervisor: Supervisor, recoveries: Recoveries, seed: int) -> None:
        self._world, self._supervisor, self._recoveries = world, supervisor, recoveries
        self._dice = random.Random(f"faults {seed}")
        self._locks: dict[str, threading.Lock] = {}
        self._never = threading.Event()
        self.skipped: list[Fault] = []
        self.poisoned: dict[str, list[Envelope]] = {}
        self.garbage: set[tuple[int, int]] = set()
        self._kinds: dict[str, Callable[[Fault], bool]] = {
            "kill": self._kill,
            "terminate": self._terminate,
            "freeze": self._freeze,
            "add": self._add,
            "remove": lambda fault: self._supervisor.remove(fault.target),
            "kill-server": lambda fault: self._restart(fault, self._world.stack.kill),
            "stop-server": lambda fault: self._restart(fault, self._world.stack.stop),
            "pause-server": self._pause,
            "cut": self._cut,
            "stall": self._stall,
            "flush": self._flush,
            "fill": self._fill,
            "fail-over": self._fail_over,
            "restore": self._restore,
            "poison": self._poison,
            "garbage": self._garbage,
            "rogue": self._rogue,
            "hold-locks": self._hold_locks,
        }

    def run(self, schedule: list[Fault]) -> None:
        """Perform all faults, `AT_ONCE` at the same time at most; returns when all have ended."""
        began = monotonic()
        with ThreadPoolExecutor(AT_ONCE, "fault") as pool:
            performing = []
            for fault in schedule:
                self._never.wait(max(0.0, began + fault.at - monotonic()))
                performing.append(pool.submit(self._perform, fault))
            for future in performing:
                future.result()

    def _perform(self, fault: Fault) -> None:
        # Two faults of one server, or of one process, come one after the other; of three brokers one may be lost.
        of_kafka = fault.target.startswith("kafka")
        target = "kafka" if of_kafka else fault.target.removesuffix("-leader").removesuffix("-standby")
        with self._locks.setdefault(target, threading.Lock()):
            log.info("fault", kind=fault.kind, target=fault.target, hold=fault.hold)
            if of_kafka:
                self._world.hurt_brokers()
            happened = self._kinds[fault.kind](fault)
            if of_kafka:
                self._world.hurt_brokers()
        if happened:
            self._recoveries.expect(fault)
        else:
            self.skipped.append(fault)

    # --- processes ---------------------------------------------------------------------------------------------------

    def _process(self, fault: Fault) -> str | None:
        if fault.target.startswith("relay"):
            return self._supervisor.leader(fault.target == "relay-leader")
        return fault.target

    def _kill(self, fault: Fault) -> bool:
        name = self._process(fault)
        if name is None or not self._supervisor.kill(name):
            return False
        self._never.wait(fault.hold)
        self._supervisor.start(name)
        return True

    def _terminate(self, fault: Fault) -> bool:
        name = self._process(fault)
        if name is None or not self._supervisor.terminate(name):
            return False
        self._never.wait(fault.hold)
        self._supervisor.start(name)
        return True

    def _freeze(self, fault: Fault) -> bool:
        """SIGSTOP for longer than sessions and leases last, then SIGCONT: a process that wakes up as a zombie."""
        name = self._process(fault)
        if name is None or not self._supervisor.freeze(name):
            return False
        if fault.target.startswith("relay"):
            # PostgreSQL keeps a frozen client's lock until its connection breaks.
            self._world.proxies["postgres"].break_once()
        self._never.wait(fault.hold)
        self._supervisor.thaw(name)
        return True

    def _add(self, fault: Fault) -> bool:
        self._supervisor.start(fault.target)
        return True

    # --- servers and the way to them ---------------------------------------------------------------------------------

    def _restart(self, fault: Fault, end: Callable[[str], None]) -> bool:
        end(fault.target)
        self._never.wait(fault.hold)
        self._world.stack.start(fault.target)
        return True

    def _pause(self, fault: Fault) -> bool:
        self._world.stack.pause(fault.target)
        self._never.wait(fault.hold)
        self._world.stack.resume(fault.target)
        return True

    def _cut(self, fault: Fault) -> bool:
        self._world.proxies[fault.target].cut()
        self._never.wait(fault.hold)
        self._world.proxies[fault.target].restore()
        return True

    def _stall(self, fault: Fault) -> bool:
        self._world.proxies[fault.target].stall()
        self._never.wait(fault.hold)
        self._world.proxies[fault.target].restore()
        return True

    def _redis(self) -> redis.Redis:
        return redis.Redis.from_url(self._world.direct["HOLONSTREAM_REDIS_URL"], socket_timeout=5)

    def _flush(self, fault: Fault) -> bool:
        with self._redis() as client:
            client.flushall()
        return True

    def _fill(self, fault: Fault) -> bool:
        """Fill the memory: Redis evicts what expires first, then refuses every write."""
        with self._redis() as client:
            before = client.config_get("maxmemory")["maxmemory"]
            client.config_set("maxmemory", client.info("memory")["used_memory"] + (1 << 20))
            with suppress(redis.exceptions.OutOfMemoryError):
                for number in range(100_000):
                    client.set(f"{JUNK}{number}", b"x" * 10_000)
            self._never.wait(fault.hold)
            client.config_set("maxmemory", before)
            for key in client.scan_iter(f"{JUNK}*", count=1_000):
                client.unlink(key)
        return True

    def _fail_over(self, fault: Fault) -> bool:
        """Make the master what a promoted replica is that lacks what came in the last `hold` seconds.

        Another server copies it and holds that; then it copies the other one, and is promoted. No connection breaks.
        """
        folder = self._world.stack.data_dir / "replica"
        other = RedisServer(folder, ports.choose(RedisServer.port_names()))
        other.start(lambda _: None, self._never)
        try:
            with self._redis() as master, redis.Redis(port=other.port, socket_timeout=5) as replica:
                self._copy(master, replica)
                self._never.wait(fault.hold)
                self._copy(replica, master)
        finally:
            other.kill()
        return True

    def _copy(self, source: redis.Redis, target: redis.Redis) -> None:
        """Make the target a replica until it has everything, then a master."""
        source.config_set("repl-diskless-sync-delay", 0)
        target.replicaof(LOOPBACK, str(source.connection_pool.connection_kwargs["port"]))
        wait_until(lambda: target.info("replication").get("master_link_status") == "up", "the replica is linked")
        target.replicaof("NO", "ONE")

    def _restore(self, fault: Fault) -> bool:
        """Save, kill after `hold` seconds, start from what was saved."""
        with self._redis() as client:
            client.save()
        self._never.wait(fault.hold)
        self._world.stack.kill("redis")
        self._world.stack.start("redis")
        with self._redis() as client:
            folder, name = client.config_get("dir")["dir"], client.config_get("dbfilename")["dbfilename"]
        (Path(folder) / name).unlink()
        return True

    def _hold_locks(self, fault: Fault) -> bool:
        """Hold advisory locks like those of appends, as any session may: the frontier must not fall, and appends wait
        for the exclusive ones until they are released."""
        try:
            with psycopg.connect(self._world.dsn, autocommit=True, connect_timeout=5) as connection:
                connection.execute(HOLD_LOCKS)
                self._never.wait(fault.hold)
        except psycopg.OperationalError:
            return False
        return True

    # --- bad data ----------------------------------------------------------------------------------------------------

    def _poison(self, fault: Fault) -> bool:
        events = poison(len(self.poisoned), self._dice)
        name = f"holon/{events[0]['subjects'][0]}"
        try:
            with psycopg.connect(self._world.dsn, autocommit=True, connect_timeout=5) as connection:
                append(connection, events)
        except psycopg.OperationalError:
            return False
        finally:
            self.poisoned[name] = events  # perhaps; the oracle asks the log
        return True

    def _garbage(self, fault: Fault) -> bool:
        """Put records on the topic as a foreign producer without transactions would: some that cannot be decoded, and
        hostile ones whose key is not their stream."""
        hostile = RecordGenerator(self._dice.randrange(10**6), Catalogue.load())
        values = [*GARBAGE_VALUES, *(hostile.record(number).value for number in range(HOSTILE))]
        producer = self._producer()
        for number, value in enumerate(values):
            self._put(producer, number, value, self._dice.randrange(PARTITIONS))
        producer.flush(30)
        return True

    def _rogue(self, fault: Fault) -> bool:
        """Hold a transaction open on every partition for `hold` seconds: no reader gets past it."""
        producer = self._producer({"transactional.id": "chaos-rogue"})
        try:
            producer.init_transactions(20)
            producer.begin_transaction()
            for partition in range(PARTITIONS):
                producer.produce(self._world.settings.topic, b"rogue", GARBAGE + b"rogue", partition=partition)
            producer.flush(20)
            self._never.wait(fault.hold)
            producer.abort_transaction(30)
        except KafkaException:  # the brokers are down: its timeout ends what it has begun
            return False
        return True

    def _producer(self, more: Mapping[str, Any] | None = None) -> Producer:
        bootstrap = self._world.direct["HOLONSTREAM_KAFKA_BOOTSTRAP"]
        return Producer(
            {
                "bootstrap.servers": bootstrap,
                "log_level": 0,
                "message.timeout.ms": 10_000,
                "transaction.timeout.ms": 10_000,
                **(more or {}),
            }
        )

    def _put(self, producer: Producer, number: int, value: bytes | None, partition: int) -> None:
        def delivered(error: object, message: Message) -> None:
            partition, offset = message.partition(), message.offset()
            if error is None and partition is not None and offset is not None:
                self.garbage.add((partition, offset))

        key = GARBAGE + str(number).encode()
        producer.produce(self._world.settings.topic, value, key, partition=partition, on_delivery=delivered)
