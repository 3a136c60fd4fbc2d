"""The local stack, with real servers: each speaks, survives a kill with its data, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import neo4j
import psycopg
import pytest
import redis
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from holonstream.local import LocalStackError, Stack, jars, process
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def own_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack of this module's own, whose servers it may kill. Started by a path that `postgres` cannot enter."""
    stack = Stack(tmp_path_factory.mktemp("own") / "stack")
    stack.up()
    yield stack
    stack.down(wipe=True)


def query(stack: Stack, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(stack.env()["HOLONSTREAM_POSTGRES_DSN"]) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def cypher(stack: Stack, statement: str) -> list[list[object]]:
    uri = stack.env()["HOLONSTREAM_NEO4J_URI"]
    with neo4j.GraphDatabase.driver(uri) as driver, driver.session() as session:
        return [list(record.values()) for record in session.run(statement)]


def state(stack: Stack, name: str) -> str:
    return next(row.state for row in stack.status() if row.name == name)


def create_topic(bootstrap: str, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(30)


def consume_one(bootstrap: str, topic: str) -> bytes | None:
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": topic,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
        }
    )
    consumer.subscribe([topic])
    try:
        message = consumer.poll(30)
        assert message is not None
        assert message.error() is None
        value: bytes | None = message.value()
        return value
    finally:
        consumer.close()


def produce_in_transaction(bootstrap: str, topic: str, value: bytes) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": f"{topic}-writer"})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(topic, value)
    producer.commit_transaction(30)


def test_every_server_speaks_its_protocol(own_stack: Stack) -> None:
    env = own_stack.env()
    assert query(own_stack, "SELECT current_database(), current_setting('fsync')") == [("holonstream", "on")]
    assert cypher(own_stack, "RETURN 1") == [[1]]
    with redis.Redis.from_url(env["HOLONSTREAM_REDIS_URL"]) as client:
        assert client.ping()
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "volatile-ttl"}
    bootstrap = env["HOLONSTREAM_KAFKA_BOOTSTRAP"]
    create_topic(bootstrap, "speaks")
    produce_in_transaction(bootstrap, "speaks", b"hello")
    assert consume_one(bootstrap, "speaks") == b"hello"


def test_status_shows_pid_port_and_version(own_stack: Stack) -> None:
    env = own_stack.env()
    rows = own_stack.status()
    assert [(row.name, row.state) for row in rows] == [
        ("postgres", "running"),
        ("kafka", "running"),
        ("neo4j", "running"),
        ("redis", "running"),
    ]
    for row, address in zip(rows, env.values(), strict=True):
        assert f":{row.port}" in address
        assert row.pid is not None
        assert process.identify(row.pid) is not None
        assert row.version is not None
        assert row.version[0].isdigit()


def test_servers_listen_on_loopback_only(own_stack: Stack) -> None:
    # 0A is LISTEN; an address of 127.0.0.1 as the kernel prints it in /proc/net/tcp and tcp6.
    loopback = {"0100007F", "0000000000000000FFFF00000100007F"}
    ports = {row.port for row in own_stack.status()}
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            address, _, port = line.split()[1].partition(":")
            if line.split()[3] == "0A" and int(port, 16) in ports:
                found.add(int(port, 16))
                assert address in loopback
    assert found == ports


def test_up_of_a_running_stack_changes_nothing(own_stack: Stack) -> None:
    before = own_stack.status()
    own_stack.up()
    assert own_stack.status() == before


def kill_and_start(stack: Stack, name: str) -> None:
    """Kill a server, start it again, and see that only its pid has changed."""
    before = stack.status()
    stack.kill(name)
    assert state(stack, name) == "stopped"
    stack.start(name)
    wait_until(lambda: state(stack, name) == "running", f"{name} runs")
    after = stack.status()
    assert [(row.name, row.state, row.port) for row in after] == [(row.name, row.state, row.port) for row in before]
    assert [row.name for row, old in zip(after, before, strict=True) if row.pid != old.pid] == [name]


def test_a_killed_postgres_keeps_its_rows(own_stack: Stack) -> None:
    query(own_stack, "CREATE TABLE kept_at_kill AS SELECT 42 AS answer")
    kill_and_start(own_stack, "postgres")
    assert query(own_stack, "SELECT answer FROM kept_at_kill") == [(42,)]


def test_a_killed_neo4j_keeps_its_nodes(own_stack: Stack) -> None:
    cypher(own_stack, "CREATE (:KeptAtKill {answer: 42})")
    kill_and_start(own_stack, "neo4j")
    assert cypher(own_stack, "MATCH (n:KeptAtKill) RETURN n.answer") == [[42]]


def test_a_killed_kafka_keeps_its_records(own_stack: Stack) -> None:
    bootstrap = own_stack.env()["HOLONSTREAM_KAFKA_BOOTSTRAP"]
    create_topic(bootstrap, "kept-at-kill")
    produce_in_transaction(bootstrap, "kept-at-kill", b"42")
    kill_and_start(own_stack, "kafka")
    assert consume_one(bootstrap, "kept-at-kill") == b"42"


def test_a_killed_redis_comes_back_empty(own_stack: Stack) -> None:
    with redis.Redis.from_url(own_stack.env()["HOLONSTREAM_REDIS_URL"]) as client:
        client.set("gone-at-kill", 42)
        kill_and_start(own_stack, "redis")
        assert client.get("gone-at-kill") is None


@pytest.mark.parametrize("name", ["postgres", "kafka", "neo4j", "redis"])
def test_a_paused_server_is_unhealthy_until_it_is_resumed(own_stack: Stack, name: str) -> None:
    own_stack.pause(name)
    assert state(own_stack, name) == "unhealthy"
    own_stack.resume(name)
    own_stack.start(name)  # waits until it answers
    wait_until(lambda: state(own_stack, name) == "running", f"{name} runs")


def test_down_leaves_no_process_and_up_brings_back_the_data(own_stack: Stack) -> None:
    query(own_stack, "CREATE TABLE kept AS SELECT 42 AS answer")
    cypher(own_stack, "CREATE (:Kept {answer: 42})")
    env = own_stack.env()
    pids = [row.pid for row in own_stack.status() if row.pid is not None]
    assert len(pids) == 4

    own_stack.down()
    assert not [pid for pid in pids if process.identify(pid)]
    assert not processes_of(own_stack)
    assert {row.state for row in own_stack.status()} == {"stopped"}

    own_stack.up()
    assert own_stack.env() == env
    assert query(own_stack, "SELECT answer FROM kept") == [(42,)]
    assert cypher(own_stack, "MATCH (n:Kept) RETURN n.answer") == [[42]]
    # From the second start on their classes come from the archives that the first ones wrote at their end.
    for row in own_stack.status():
        if row.name in ("kafka", "neo4j"):
            mapped = Path(f"/proc/{row.pid}/maps").read_text().splitlines()
            assert any(f"{jars.folder(row.name)}-" in line and line.endswith(".jsa") for line in mapped)


def test_wipe_leaves_no_file(tmp_path: Path) -> None:
    stack = Stack(tmp_path / "stack", services=["postgres", "redis"])
    stack.up()
    cluster = (stack.data_dir / "postgres" / "cluster").resolve()
    assert cluster.is_dir()
    stack.down(wipe=True)
    assert not processes_of(stack)
    assert not stack.data_dir.exists()
    assert not cluster.parent.exists()


def processes_of(stack: Stack) -> list[str]:
    """The command lines of the processes that name the stack's folder or its cluster, ours aside."""
    clusters = [str((stack.data_dir / "postgres" / "cluster").resolve()), str(stack.data_dir)]
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if any(folder in line for folder in clusters):
                found.append(line)
    return found


def test_a_server_that_dies_while_starting_shows_its_last_words(tmp_path: Path) -> None:
    stack = Stack(tmp_path / "stack", services=["postgres", "redis"])
    with stack:
        cluster = stack.data_dir / "postgres" / "cluster"
        settings = cluster.resolve() / "postgresql.conf"
    with settings.open("a") as file:
        file.write("no_such_setting = 1\n")
    with pytest.raises(LocalStackError, match=r"postgres died while starting(.|\n)*no_such_setting"):
        stack.up()
    assert {row.state for row in stack.status()} == {"stopped"}
    stack.down(wipe=True)


def test_a_port_taken_by_another_program_is_named(tmp_path: Path) -> None:
    first = Stack(tmp_path / "first", services=["redis"])
    second = Stack(tmp_path / "second", services=["redis"])
    with first:
        second.data_dir.mkdir()
        (second.data_dir / "stack.json").write_text((first.data_dir / "stack.json").read_text())
        with pytest.raises(LocalStackError, match=f"port {first.status()[0].port} of redis is taken"):
            second.up()
        assert state(first, "redis") == "running"


def test_a_temporary_stack_goes_with_its_owner_even_at_sigkill() -> None:
    script = """
from holonstream.local.temporary import temporary_stack
with temporary_stack(services=["redis", "postgres"]) as stack:
    print(stack.data_dir, *(row.pid for row in stack.status()), flush=True)
    input()
"""
    with subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as owner:
        assert owner.stdout is not None
        folder, *pids = owner.stdout.readline().split()
        servers = [process.identify(int(pid)) for pid in pids]
        owner.send_signal(signal.SIGKILL)
    alive = [server for server in servers if server is not None]
    assert len(alive) == 2
    assert process.wait_gone(alive, deadline=60.0)
    # Its guard deletes the folder last.
    assert process.wait_gone(guards_of(folder), deadline=60.0)
    assert not Path(folder).exists()


def guards_of(folder: str) -> list[process.Process]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue
            ours = "holonstream.local.temporary" in line and folder in line
            if ours and (guard := process.identify(int(entry.name))):
                found.append(guard)
    return found
