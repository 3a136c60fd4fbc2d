"""A sink of one's own in real processes: what each of its errors does, and who learns of it."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.request import urlopen

from holonstream.client.settings import PREFIX
from holonstream.local import ports
from holonstream.producers.log.store import PostgresEventStore
from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.event import Event
from tests.fix_pipeline import Pipeline
from tests.support.markdown import Shell
from tests.support.waiting import wait_until

MOODY = '''
"""A sink that fails as files in the folder say."""
from pathlib import Path
from holonstream.client import BadData, Unavailable
from holonstream.sinks.own import SinkPlace

class Moody:
    name = "moody"
    async def open(self): ...
    async def close(self): ...
    async def assign(self, partition): return SinkPlace()
    async def write(self, batch):
        for event in batch.events:
            if event.payload.get("name") == "bad":
                raise BadData("a bad name")
        if Path("down").exists():
            raise Unavailable("the store is down")
        if Path("bug").exists():
            raise KeyError("a bug")
        with Path("written").open("a") as file:
            file.writelines(f"{event.stream} {event.version}\\n" for event in batch.events)

def make():
    return Moody()
'''


def person(name: str, title: str) -> Event:
    """A person of that id; the sink refuses the title "bad"."""
    return Event(
        type="PersonCreated",
        occurred_at="2026-11-24T08:00:00Z",
        actor="hr",
        subjects=(name,),
        payload={"name": title},
        source_system="hr",
    )


def test_a_third_sink_is_a_member_like_the_others(pipeline: Pipeline, pipeline_shell: Shell, tmp_path: Path) -> None:
    """Outage, bug and bad data do what the page says, and every command knows the sink."""
    shell, folder = pipeline_shell, tmp_path / "empty"
    (folder / "moody.py").write_text(MOODY)
    group = f"{pipeline.namespace}-sink-moody"

    def append(*people: tuple[str, str]) -> None:
        with PostgresEventStore(pipeline.environment[f"{PREFIX}POSTGRES_DSN"], Catalogue.load()) as log:
            log.append([person(*one) for one in people])

    def has_written() -> set[str]:
        file = folder / "written"
        return set(file.read_text().splitlines()) if file.exists() else set()

    def start(number: int) -> None:
        shell.run(f"HOLONSTREAM_METRICS_PORT={port} holonstream worker moody:make > moody-{number}.log 2>&1 &")

    port = ports.choose(("moody",))["moody"]
    append(("ada", "Ada"))
    start(1)
    wait_until(lambda: has_written() == {"holon/ada 1"}, "the first event is written")

    (folder / "down").touch()
    append(("bob", "Bob"))
    wait_until(lambda: "sink.unavailable" in (folder / "moody-1.log").read_text(), "the outage is noticed")
    stuck = shell.run("holonstream wait --view sink-moody --timeout 1s; echo code $?")
    assert "sink-moody has" in stuck
    assert "code 1" in stuck
    (folder / "down").unlink()
    wait_until(lambda: "holon/bob 1" in has_written(), "the event is written after the outage")

    (folder / "bug").touch()
    append(("eve", "Eve"))
    assert shell.run("wait $!; echo code $?").strip().endswith("code 1"), "the worker ends"
    assert "KeyError" in (folder / "moody-1.log").read_text()
    (folder / "bug").unlink()
    start(2)
    wait_until(lambda: "holon/eve 1" in has_written(), "the event comes again")

    append(("dan", "Dan"), ("mal", "bad"), ("mal", "good"), ("ivy", "Ivy"))
    printed = shell.run("holonstream wait --view sink-moody; echo code $?")
    assert "code 0" in printed, printed
    assert has_written() == {f"holon/{name} 1" for name in ("ada", "bob", "eve", "dan", "ivy")}
    letters = [json.loads(v) for values in pipeline.values("dead-letters").values() for v in values]
    assert {(letter["group"], letter["stream"], letter["version"]) for letter in letters} == {
        (group, "holon/mal", 1),
        (group, "holon/mal", 2),
    }

    history = pipeline.json("dead-letters", "history", "--view", "sink-moody", "--json")
    assert [(letter["stream"], letter["version"]) for letter in history] == [("holon/mal", 1), ("holon/mal", 2)]
    assert "a bad name" in history[0]["reason"]
    assert "0 letters" in pipeline.run("dead-letters", "history", "--view", "graph").stdout

    status = pipeline.json("status", "--json")
    assert status["groups"][group]["members"] == 1
    report = json.loads(pipeline.run("top", "--rounds", "1", "--json").stdout)
    assert "sink-moody" in {part["part"] for part in report["parts"]}
    assert "sink-moody" in {worker["group"] for worker in report["workers"]}
    checks = json.loads(pipeline.run("doctor", "--json").stdout)["checks"]
    assert [check["state"] for check in checks if check["detail"].startswith("sink-moody has 1")] == ["ok"]
    scraped = urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10).read().decode()
    assert 'holonstream_events_total{group="sink-moody",outcome="dead"} 2.0' in scraped
    assert "holonstream_parked_streams 1.0" in scraped
    assert urlopen(f"http://127.0.0.1:{port}/readyz", timeout=10).status == 200
