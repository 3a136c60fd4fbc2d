"""The official CloudEvents SDKs read what the relay published."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_structured
from cloudevents.core.formats.json import JSONFormat
from confluent_kafka import Consumer, TopicPartition

from holonstream.ops.settings import Settings
from holonstream.ops.topics import make_topics
from holonstream.producers.log.schema import apply_schema
from holonstream.producers.log.store import PostgresEventStore
from holonstream.producers.relay.relay import Relay
from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.event import Event, ValidityWindow
from tests.languages import programs
from tests.support.event_log import person

CATALOGUE = Catalogue.load()
SOURCES = Path(__file__).parent / "cloudevents"
DEADLINE = 60.0  # seconds

TEXT = 'é € \U0001f600 "quoted" back\\slash\ttab'
EVENTS = [
    person("p-1"),
    person("p-2", subjects=("p-2", "u-1", TEXT), actor=TEXT),
    person("p-3", validity_window=ValidityWindow(start="2024-03-01T08:00:00.000Z")),
    person(
        "p-4", validity_window=ValidityWindow(end="2024-03-01T08:00:00.000Z"), causal_links={"causedBy": [TEXT, "x"]}
    ),
    person("p-5", source_system="my system/é"),
    person("p-6", source_system="50% of [it]?"),
    person("p-7", source_system="https://hr.example.org:8080/people"),
    person("p-8", source_system="1:2"),
    person("p-9", source_document=TEXT, traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    person("p-10", payload={"name": TEXT, "n": 2**53 - 1, "x": 1.5, "nothing": None, "list": [[], {}, True]}),
    person("p-11", occurred_at="0001-01-01T00:00:00.000Z"),
    person("p-12", occurred_at="9999-12-31T23:59:59.999999Z"),
    person(TEXT),
]


@pytest.fixture
def records(postgres_dsn: str, kafka_bootstrap: str, topic_prefix: str) -> list[dict[str, Any]]:
    """What is on the topic after the events were appended and relayed."""
    settings = Settings(kafka_bootstrap=kafka_bootstrap, namespace=topic_prefix.rstrip("."), partitions=2)
    apply_schema(postgres_dsn, CATALOGUE)
    make_topics(settings)
    with PostgresEventStore(postgres_dsn, CATALOGUE) as store:
        position = store.append(EVENTS)[-1].position
    relay, stop = Relay(postgres_dsn, kafka_bootstrap, namespace=settings.namespace), threading.Event()
    thread = threading.Thread(target=relay.run, args=[stop])
    thread.start()
    try:
        assert relay.progress.wait_for(lambda p: p.position >= position, DEADLINE), relay.progress.now
    finally:
        stop.set()
        thread.join(DEADLINE)
    return _published(kafka_bootstrap, settings)


def _published(bootstrap: str, settings: Settings) -> list[dict[str, Any]]:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": f"{settings.namespace}-test"})
    consumer.assign([TopicPartition(settings.topic, p, 0) for p in range(settings.partitions)])
    found: list[dict[str, Any]] = []
    while len(found) < len(EVENTS):
        message = consumer.poll(DEADLINE)
        assert message is not None
        assert message.error() is None, message.error()
        headers = {name: value.decode() for name, value in message.headers()}
        found.append({"key": message.key().decode(), "value": message.value().decode(), "headers": headers})
    consumer.close()
    return found


def python(folder: Path) -> Callable[[str], str]:
    def read(text: str) -> str:
        lines = []
        for record in map(json.loads, text.splitlines()):
            headers = {name: value.encode() for name, value in record["headers"].items()}
            event = from_structured(KafkaMessage(headers, record["key"], record["value"].encode()), JSONFormat())
            attributes = {**event.get_attributes(), "time": event.get_attributes()["time"].isoformat()}
            lines.append(json.dumps({"attributes": attributes, "data": event.get_data()}))
        return "\n".join(lines)

    return read


def javascript(folder: Path) -> Callable[[str], str]:
    return programs.node(SOURCES / "node", folder, "read.js").run


def go(folder: Path) -> Callable[[str], str]:
    return programs.go(SOURCES / "go", folder).run


def java(folder: Path) -> Callable[[str], str]:
    return programs.java(SOURCES / "java", folder, "Read.java").run


@pytest.mark.parametrize("sdk", [python, javascript, go, java])
def test_an_sdk_reads_every_event(
    sdk: Callable[[Path], Callable[[str], str]], records: list[dict[str, Any]], tmp_path: Path
) -> None:
    read = sdk(tmp_path / "program")
    results = [json.loads(line) for line in read("".join(json.dumps(r) + "\n" for r in records)).splitlines()]
    assert len(results) == len(EVENTS)
    for record, result in zip(records, results, strict=True):
        expected = json.loads(record["value"])
        data = expected.pop("data")
        attributes = result["attributes"]
        assert _instant(attributes.pop("time")) == _instant(expected.pop("time"))
        # the SDKs for Python and JavaScript, when they read from Kafka, give the key this name
        assert attributes.pop("partitionkey", record["key"]) == record["key"]
        assert {name: str(value) for name, value in attributes.items()} == expected
        assert result["data"] == data


def _instant(text: str) -> datetime:
    """To the millisecond, which is all that JavaScript's Date has."""
    whole, _, fraction = text.removesuffix("Z").removesuffix("+00:00").partition(".")
    return datetime.fromisoformat(f"{whole}.{fraction[:3]:<03}+00:00")


def test_what_is_text_on_the_wire_is_what_was_appended(records: list[dict[str, Any]]) -> None:
    by_stream = {record["key"]: json.loads(record["value"]) for record in records}
    for event in EVENTS:
        found = by_stream[f"holon/{event.subjects[0]}"]
        assert tuple(json.loads(found["subjects"])) == event.subjects
        assert json.loads(found.get("causallinks", "{}")) == event.causal_links
        assert json.loads(found.get("validitywindow", "null")) == _window(event)
        assert found["data"] == event.payload


def _window(event: Event) -> dict[str, str] | None:
    window = event.validity_window
    if window is None:
        return None
    return {name: value for name, value in (("start", window.start), ("end", window.end)) if value is not None}
