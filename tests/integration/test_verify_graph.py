"""``holonstream verify graph``: every kind of damage is found, named and repaired, and what is no damage is not."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import uuid4

import msgspec
import neo4j.spatial
import neo4j.time
import psycopg
import pytest
from click.testing import CliRunner, Result
from structlog.testing import capture_logs

from holonstream.client.settings import Secret
from holonstream.ops.commands.dead_letters import dead_letters
from holonstream.ops.commands.verify import verify
from holonstream.ops.settings import Settings
from holonstream.producers.log.frontier import Frontier
from holonstream.producers.log.reader import LogReader
from holonstream.producers.log.schema import apply_schema
from holonstream.producers.log.store import PostgresEventStore
from holonstream.schemas.errors import NotInitialised
from holonstream.schemas.event import Event, RecordedEvent
from holonstream.schemas.partition import partition_of
from holonstream.sinks.errors import GraphDamaged
from holonstream.sinks.graph.driver import GraphConnection
from holonstream.sinks.graph.read.load import Loader
from holonstream.sinks.graph.read.store import Neo4jGraphStore
from holonstream.sinks.graph.read.whole import DamagedEntity
from holonstream.sinks.graph.recovery.checkpoints import damaged_checkpoints, repair_checkpoints
from holonstream.sinks.graph.recovery.rebuild import SharedGraph
from holonstream.sinks.graph.recovery.redrive import Redriver
from holonstream.sinks.graph.schema import initialise
from holonstream.sinks.graph.write.changes import changes
from holonstream.sinks.graph.write.sink import GraphSink
from holonstream.testing.records import batches_of
from tests.conformance.graph_store import CATALOGUE, ended, event, started
from tests.integration.graph_kit import PARTITIONS, TOPIC, Letters, partitioned
from tests.support.event_log import append

T = TypeVar("T")


@dataclass
class World:
    """A log and a graph, without workers: the test is the worker."""

    settings: Settings
    log: PostgresEventStore
    uri: str
    letters: Letters = field(default_factory=Letters)

    def append(self, *events: Event) -> list[RecordedEvent]:
        self.log.append(events)
        return list(self.log.read())

    def append_unchecked(self, *events: Event) -> None:
        """Append by SQL alone, as a service in another language would: no JSON Schema is asked."""
        with psycopg.connect(self.settings.postgres_dsn.reveal()) as connection:
            append(connection, [{"id": str(uuid4()), **msgspec.to_builtins(e)} for e in events])

    def follow(self, events: Sequence[RecordedEvent] | None = None) -> None:
        """Bring the graph up to the end of the log, or of what is given."""
        log = list(self.log.read()) if events is None else events

        async def go(connection: GraphConnection) -> None:
            await write(worker(connection, self.letters), log)

        self.graph(go)

    def graph(self, work: Callable[[GraphConnection], Coroutine[Any, Any, T]]) -> T:
        async def run() -> T:
            async with GraphConnection(self.uri) as connection:
                return await work(connection)

        return asyncio.run(run())

    def cypher(self, statement: str, **parameters: Any) -> list[list[Any]]:
        return self.graph(lambda connection: connection.execute(statement, **parameters))

    def verify(self, *options: str, code: int = 0) -> Any:
        """The JSON that `verify graph` prints."""
        done = self.run("graph", "--json", *options)
        assert done.exit_code == code, f"{done.output} {done.exception!r}"
        return json.loads(done.stdout)

    def run(self, *arguments: str) -> Result:
        with capture_logs():  # the command line sends them to standard error
            return CliRunner().invoke(verify, arguments, obj=self.settings)

    def content(self) -> tuple[list[Any], list[Any]]:
        """Everything in the graph, but bare ends that nothing is tied to."""
        nodes = self.cypher(
            "MATCH (n) WHERE NOT n:HolonstreamCheckpoint AND NOT (keys(n) = ['_id'] AND NOT (n)--()) "
            "RETURN labels(n), properties(n)"
        )
        edges = self.cypher("MATCH (a)-[r]->(b) RETURN a._id, labels(a), type(r), b._id, labels(b), properties(r)")
        return (
            sorted(([sorted(labels), sorted(p.items(), key=str)] for labels, p in nodes), key=str),
            sorted(
                ([a, sorted(la), t, b, sorted(lb), sorted(p.items(), key=str)] for a, la, t, b, lb, p in edges), key=str
            ),
        )


def worker(connection: GraphConnection, letters: Letters | None = None) -> GraphSink:
    return GraphSink(connection, CATALOGUE, TOPIC, (Letters() if letters is None else letters).publish)


async def write(into: GraphSink, log: Sequence[RecordedEvent]) -> None:
    """Write a log from its start; what was written before is skipped."""
    for partition, records in enumerate(partitioned(log)):
        await into.assign(TOPIC, partition, None)
        for batch in batches_of(records, 1000, TOPIC, partition):
            await into.write(batch)


@pytest.fixture
def world(postgres_dsn: str, neo4j_uri: str) -> Iterator[World]:
    apply_schema(postgres_dsn, CATALOGUE)
    settings = Settings(postgres_dsn=Secret(postgres_dsn), neo4j_uri=neo4j_uri, namespace=TOPIC.removesuffix(".events"))
    with PostgresEventStore(postgres_dsn, CATALOGUE) as log:
        made = World(settings, log, neo4j_uri)
        made.graph(lambda connection: initialise(connection, CATALOGUE, TOPIC, PARTITIONS))
        yield made


def person(holon_id: str, **payload: Any) -> Event:
    return event("PersonCreated", [holon_id], **payload)


def modified(holon_id: str, **properties: Any) -> Event:
    return event("PersonModified", [holon_id], at="2024-03-02T08:00:00.000Z", updates=properties)


EVENTS = [
    person("p-1", name="Ada", rank="O-1", mixed=[1, "a", None], unit=None, _own="underscore", **{"": "odd"}),
    person("p-2", name="Bob"),
    event("PositionCreated", ["pos-1"], name="Chief"),
    started("r-1", "p-1", "pos-1", properties={"share": 0.5, "deep": {"a": [1]}}),
    modified("p-1", rank="O-2"),
    started("r-2", "p-2", "pos-2"),  # pos-2 stays a bare end
    modified("p-1", rank="O-3", name="Ada L."),
    ended("r-1"),
    started("r-3", "p-1", "p-2", type="SUPPORTS"),
    event("PersonModified", ["never-made"], updates={"rank": "O-9"}),  # has no effect
]

# what is done to the graph; then kind, stream, fields, and the version of the first diverging event
DAMAGES: dict[str, tuple[str, str, str, list[str], int | None]] = {
    "holon deleted": (
        "MATCH (n {_id: 'pos-1'}) OPTIONAL MATCH (n)-[r]-() DELETE r, n",
        "missing",
        "holon/pos-1",
        [],
        1,
    ),
    "holon made bare": (
        "MATCH (n:Holon {_id: 'p-1'}) REMOVE n:Person SET n = {_id: 'p-1'}",
        "missing",
        "holon/p-1",
        [],
        1,
    ),
    "holon emptied, label left": (
        "MATCH (n:Holon {_id: 'p-2'}) SET n = {_id: 'p-2'}",
        "altered",
        "holon/p-2",
        ["properties._createdAt", "properties.name"],
        1,
    ),
    "relationship deleted": ("MATCH ()-[r {_id: 'r-1'}]->() DELETE r", "missing", "relationship/r-1", [], 1),
    "holon invented": (
        "CREATE (:Holon:Person {_id: 'ghost', _version: 1, _status: 'active', _position: 1})",
        "extra",
        "holon/ghost",
        [],
        None,
    ),
    "bare end with a type": ("MATCH (n {_id: 'pos-2'}) SET n:Position", "extra", "holon/pos-2", [], None),
    "bare end with a property": ("MATCH (n {_id: 'pos-2'}) SET n.name = 'x'", "extra", "holon/pos-2", [], None),
    "holon of events without effect": (
        "CREATE (:Holon:Person {_id: 'never-made', _version: 1})",
        "extra",
        "holon/never-made",
        [],
        None,
    ),
    "relationship invented": (
        "MATCH (a {_id: 'p-1'}), (b {_id: 'p-2'}) CREATE (a)-[:OCCUPIES {_id: 'r-9', _version: 1}]->(b)",
        "extra",
        "relationship/r-9",
        [],
        None,
    ),
    "property altered": ("MATCH (n {_id: 'p-1'}) SET n.rank = 'O-9'", "altered", "holon/p-1", ["properties.rank"], 3),
    "property as it was": ("MATCH (n {_id: 'p-1'}) SET n.rank = 'O-1'", "altered", "holon/p-1", ["properties.rank"], 3),
    "property added": ("MATCH (n {_id: 'p-2'}) SET n.rank = 'O-9'", "altered", "holon/p-2", ["properties.rank"], 1),
    "property removed": ("MATCH (n {_id: 'p-1'}) REMOVE n.__own", "altered", "holon/p-1", ["properties.__own"], 1),
    "property of another type": (
        "MATCH ()-[r {_id: 'r-1'}]->() SET r.share = '0.5'",
        "altered",
        "relationship/r-1",
        ["properties.share"],
        1,
    ),
    "status altered": (
        "MATCH (n {_id: 'p-1'}) SET n._status = 'inactive'",
        "altered",
        "holon/p-1",
        ["properties._status"],
        1,
    ),
    "instant as text": (
        "MATCH (n {_id: 'p-1'}) SET n._createdAt = toString(n._createdAt)",
        "altered",
        "holon/p-1",
        ["properties._createdAt"],
        1,
    ),
    "instant moved": (
        "MATCH ()-[r {_id: 'r-1'}]->() SET r._effectiveStart = r._effectiveStart + duration('PT1S')",
        "altered",
        "relationship/r-1",
        ["properties._effectiveStart"],
        1,
    ),
    "end taken away": (
        "MATCH ()-[r {_id: 'r-1'}]->() REMOVE r._effectiveEnd",
        "altered",
        "relationship/r-1",
        ["properties._effectiveEnd"],
        2,
    ),
    "version too low": (
        "MATCH (n {_id: 'p-1'}) SET n._version = 1",
        "altered",
        "holon/p-1",
        ["properties._version"],
        3,
    ),
    "version too high": (
        "MATCH (n {_id: 'p-1'}) SET n._version = 7",
        "altered",
        "holon/p-1",
        ["properties._version"],
        3,
    ),
    "version no number": (
        "MATCH (n {_id: 'p-1'}) SET n._version = 'x'",
        "altered",
        "holon/p-1",
        ["properties._version"],
        3,
    ),
    "position altered": (
        "MATCH (n {_id: 'p-2'}) SET n._position = 0",
        "altered",
        "holon/p-2",
        ["properties._position"],
        1,
    ),
    "JSON marker removed": (
        "MATCH (n {_id: 'p-1'}) REMOVE n._json",
        "altered",
        "holon/p-1",
        ["properties._json", "properties.mixed", "properties.unit"],
        1,
    ),
    "JSON marker of another": (
        "MATCH (n {_id: 'p-1'}) SET n._json = n._json + 'rank'",
        "altered",
        "holon/p-1",
        ["properties._json", "properties.rank"],
        1,
    ),
    "JSON text altered": (
        """MATCH ()-[r {_id: 'r-1'}]->() SET r.deep = '{"a":[2]}'""",
        "altered",
        "relationship/r-1",
        ["properties.deep"],
        1,
    ),
    "JSON text broken": (
        "MATCH ()-[r {_id: 'r-1'}]->() SET r.deep = '{'",
        "altered",
        "relationship/r-1",
        ["properties.deep"],
        1,
    ),
    "odd names altered": ("MATCH (n {_id: 'p-1'}) SET n._odd = '{}'", "altered", "holon/p-1", ["properties._odd"], 1),
    "wrong type label": (
        "MATCH (n {_id: 'p-1'}) REMOVE n:Person SET n:Position",
        "altered",
        "holon/p-1",
        ["labels"],
        1,
    ),
    "two type labels": ("MATCH (n {_id: 'p-1'}) SET n:Position", "altered", "holon/p-1", ["labels"], 1),
    "no type label": ("MATCH (n {_id: 'p-1'}) REMOVE n:Person", "altered", "holon/p-1", ["labels"], 1),
    "source moved": (
        "MATCH (a)-[r {_id: 'r-1'}]->(b), (o {_id: 'p-2'}) CREATE (o)-[c:OCCUPIES]->(b) "
        "WITH r, c, properties(r) AS p DELETE r SET c = p",
        "altered",
        "relationship/r-1",
        ["source"],
        1,
    ),
    "target moved to a new end": (
        "MATCH (a)-[r {_id: 'r-1'}]->() CREATE (a)-[c:OCCUPIES]->(:Holon {_id: 'pos-9'}) "
        "WITH r, c, properties(r) AS p DELETE r SET c = p",
        "altered",
        "relationship/r-1",
        ["target"],
        1,
    ),
    "direction turned": (
        "MATCH (a)-[r {_id: 'r-3'}]->(b) CREATE (b)-[c:SUPPORTS]->(a) WITH r, c, properties(r) AS p DELETE r SET c = p",
        "altered",
        "relationship/r-3",
        ["source", "target"],
        1,
    ),
    "relationship of another type": (
        "MATCH (a)-[r {_id: 'r-1'}]->(b) CREATE (a)-[c:SUPPORTS]->(b) WITH r, c, properties(r) AS p DELETE r SET c = p",
        "altered",
        "relationship/r-1",
        ["type"],
        1,
    ),
    "relationship twice": (
        "MATCH (a)-[r {_id: 'r-1'}]->(b) CREATE (a)-[c:SUPPORTS]->(b) SET c = properties(r)",
        "duplicate",
        "relationship/r-1",
        [],
        1,
    ),
    "events lost": (
        "MATCH (n {_id: 'p-1'}) SET n += {_version: 2, rank: 'O-2', name: 'Ada', _position: $second}",
        "altered",
        "holon/p-1",
        ["properties._version", "properties.name", "properties.rank"],
        3,
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_found_named_and_repaired(world: World, name: str) -> None:
    log = world.append(*EVENTS)
    world.follow()
    before = world.content()
    assert world.verify()["kinds"] == {}
    statement, kind, stream, fields, version = DAMAGES[name]
    of_stream = {e.version: e for e in log if e.stream == stream}
    world.cypher(statement, second=of_stream[2].position if 2 in of_stream else None)
    assert world.content() != before

    # named, with both values
    report = world.verify(code=1)
    found = {finding["stream"]: finding for finding in report["findings"]}
    finding = found[stream]
    assert finding["kind"] == kind
    assert set(fields) <= {difference["field"] for difference in finding.get("fields", [])}
    if version is None:
        assert "event" not in finding
    else:
        e = of_stream[version]
        assert finding["event"] == {"id": e.id, "type": e.type, "version": version, "position": e.position}
    deleted_with_it = {"holon deleted": {"relationship/r-1"}}
    assert found.keys() == {stream} | deleted_with_it.get(name, set())
    assert (report["diverging"], report["repaired"], report["entities"]) == (len(found), 0, 7)

    # looking changes nothing; a repair changes back what differs
    assert world.verify("--repair", code=1)["repaired"] == len(found)
    assert world.content() == before
    assert world.verify()["diverging"] == 0


def test_both_values_are_shown(world: World) -> None:
    world.append(*EVENTS)
    world.follow()
    world.cypher("MATCH (n {_id: 'p-1'}) SET n.rank = 9, n.unit = 'x' REMOVE n.name")
    (finding,) = world.verify(code=1)["findings"]
    assert finding["fields"] == [
        {"field": "properties.name", "log": "Ada L."},
        {"field": "properties.rank", "log": "O-3", "graph": 9},
        {"field": "properties.unit", "log": {"json": None}, "graph": {"no json": "x"}},
    ]
    done = world.run("graph", "--limit", "1")
    assert done.exit_code == 1
    line = done.stdout.splitlines()[0]
    assert line.startswith("altered    holon/p-1: ")
    assert 'properties.rank: log "O-3", graph 9' in line
    assert 'properties.name: log "Ada L.", graph absent' in line
    assert "since version 1 (PersonCreated " in line


LOOSE = {
    "holon without :Holon": (
        "MATCH (n {_id: 'p-2'}) REMOVE n:Holon",
        {"holon/p-2", "relationship/r-2", "relationship/r-3"},
        1,
    ),
    "holon without id": ("CREATE (:Holon:Person {name: 'nobody'})", set[str](), 1),
    "holon with another id": (
        "MATCH (n {_id: 'p-1'}) SET n._id = 'p-9'",
        {"holon/p-1", "holon/p-9", "relationship/r-1", "relationship/r-3"},
        0,
    ),
    "id that is no text": ("CREATE (:Holon:Person {_id: 7})", set[str](), 1),
    "type label alone": ("CREATE (:Person {_id: 'p-1'})", set[str](), 1),
    "relationship without id": ("MATCH (a {_id: 'p-1'}), (b {_id: 'p-2'}) CREATE (a)-[:OCCUPIES]->(b)", set[str](), 1),
    "relationship of no known type": (
        "MATCH (a {_id: 'p-1'}), (b {_id: 'p-2'}) CREATE (a)-[:INVENTED {_id: 'r-1'}]->(b)",
        set[str](),
        1,
    ),
    "relationship moved to no known type": (
        "MATCH (a)-[r {_id: 'r-1'}]->(b) CREATE (a)-[c:INVENTED]->(b) WITH r, c, properties(r) AS p DELETE r SET c = p",
        {"relationship/r-1"},
        1,
    ),
}


@pytest.mark.parametrize("name", LOOSE)
def test_what_no_worker_can_find_is_found_and_deleted(world: World, name: str) -> None:
    world.append(*EVENTS)
    world.follow()
    before = world.content()
    statement, streams, loose = LOOSE[name]
    world.cypher(statement)
    found = world.verify(code=1)["findings"]
    assert {f["stream"] for f in found if "reason" not in f} == streams
    assert len([f for f in found if "no worker can find it" in f.get("reason", "")]) == loose
    assert world.verify("--repair", code=1)["repaired"] == len(found)
    assert world.content() == before
    assert world.verify()["diverging"] == 0


def test_much_damage_at_once_is_counted_whole_and_listed_up_to_a_limit(world: World) -> None:
    world.append(*[person(f"p-{i}") for i in range(3000)], *[started(f"r-{i}", f"p-{i}", "pos") for i in range(3000)])
    world.follow()
    before = world.content()
    world.cypher("MATCH (n:Person) WHERE n._id ENDS WITH '7' DETACH DELETE n")
    world.cypher("MATCH (n:Person) WHERE n._id ENDS WITH '3' SET n.name = 'x'")
    report = world.verify("--limit", "5", code=1)
    assert report["kinds"] == {"missing": 600, "altered": 300}
    assert (len(report["findings"]), report["unlisted"]) == (5, 895)
    assert world.verify("--repair", code=1)["repaired"] == 900
    assert world.content() == before
    assert world.verify()["diverging"] == 0


def test_a_graph_that_is_ahead_of_the_gap_free_position_is_no_difference(world: World) -> None:
    """The graph applies events while the log is read: here they come after the position was taken."""
    from holonstream.ops.verify.graph import GraphVerifier
    from holonstream.ops.verify.log import EntityReader

    class Overtaken(EntityReader):
        def frontier(self) -> Frontier:
            position = super().frontier()
            world.append(modified("p-1", rank="O-4"), person("p-3"), ended("r-2"), started("r-4", "p-3", "p-1"))
            asyncio.run(overtake())
            return position

    async def overtake() -> None:
        async with GraphConnection(world.uri) as connection:
            await write(worker(connection), list(world.log.read()))

    async def verified(connection: GraphConnection) -> dict[str, Any]:
        with Overtaken(world.settings.postgres_dsn.reveal(), CATALOGUE) as log:
            verifier = GraphVerifier(
                log, connection, CATALOGUE, TOPIC, deadline=10, progress=progress.append, interval=0
            )
            return (await verifier.whole(10)).document()

    progress: list[str] = []
    world.append(*EVENTS)
    world.follow()
    report = world.graph(verified)
    assert re.search(r", [1-9][0-9,]* events/s, about 0:0. left", progress[0]), progress
    assert report["findings"] == []
    assert report["entities"] == 7
    world.cypher("MATCH (n {_id: 'p-1'}) SET n.name = 'x'")  # ahead, and altered all the same
    world.append(modified("p-2", rank="O-1"))
    (finding,) = world.graph(verified)["findings"]
    assert finding["stream"] == "holon/p-1"
    assert [f["field"] for f in finding["fields"]] == ["properties.name"]


def test_a_graph_that_does_not_reach_the_log_is_not_compared(world: World) -> None:
    log = world.append(*EVENTS)
    world.follow(log[:5])
    done = world.run("graph", "--deadline", "0.2")
    assert done.exit_code == 1
    assert "Not yet visible" in str(done.exception)
    world.follow()
    assert world.verify()["diverging"] == 0


def test_a_stream_parked_at_a_hole_is_redriven(world: World) -> None:
    log = world.append(*EVENTS)
    world.follow(log[:5])
    assert world.verify("--no-wait")["findings"] == []  # what has not come yet is no difference
    world.cypher("MATCH (n {_id: 'p-1'}) SET n._version = 1")
    world.follow()
    assert [letter.reason.partition(":")[0] for letter in world.letters][:1] == ["Hole in holon/p-1"]
    assert CliRunner().invoke(dead_letters, ["redrive", "--all"], obj=world.settings).exit_code == 0
    assert world.verify()["findings"] == []


def test_bare_ends_are_no_difference(world: World) -> None:
    world.append(*EVENTS)
    world.follow()
    world.cypher("CREATE (:Holon {_id: 'bare and alone'})")
    assert world.verify()["findings"] == []


def test_nodes_that_are_not_ours_are_left_alone(world: World) -> None:
    world.append(*EVENTS)
    world.follow()
    world.cypher("MATCH (n {_id: 'p-1'}) CREATE (:Note {text: 'mine'})-[:ABOUT]->(n)")
    world.cypher("CREATE (:Person {name: 'x'})-[:OCCUPIES {since: 2020}]->(:Position)-[:PAID_BY {_id: 7}]->(:Payroll)")
    assert world.verify("--repair")["findings"] == []
    assert world.cypher("MATCH (n:Note)-[:ABOUT]->(m) RETURN n.text, m._id") == [["mine", "p-1"]]
    assert world.cypher("MATCH (:Person)-[:OCCUPIES]->(:Position)-[p:PAID_BY]->(:Payroll) RETURN p._id") == [[7]]


UNFOLDABLE = event("AssignmentEnded", [], relationshipId="r-2", endDate="no day")


def test_a_parked_stream_is_reported_as_parked_and_held_to_what_it_had(world: World) -> None:
    world.append(*EVENTS)
    world.append_unchecked(UNFOLDABLE, ended("r-2"))
    world.follow()
    assert len(world.letters) == 2
    report = world.verify()
    (finding,) = report["findings"]
    assert (finding["kind"], finding["stream"], report["diverging"]) == ("parked", "relationship/r-2", 0)
    assert "no day" in finding["reason"]
    before = world.content()
    world.cypher("MATCH ()-[r {_id: 'r-2'}]->() SET r._sourceSystem = 'x'")
    (finding,) = world.verify(code=1)["findings"]
    assert (finding["kind"], finding["event"]["version"]) == ("altered", 1)
    world.verify("--repair", code=1)
    assert world.content() == before
    assert [f["kind"] for f in world.verify()["findings"]] == ["parked"]


def test_a_discarded_event_is_left_out(world: World) -> None:
    world.append(*EVENTS)
    world.append_unchecked(UNFOLDABLE, ended("r-2"))
    world.follow()
    assert world.cypher("MATCH ()-[r {_id: 'r-2'}]->() RETURN r._version") == [[1]]
    # as `dead-letters discard` leaves it: the decision, no mark, and the later event applied
    last = list(world.log.read_stream("relationship/r-2"))[-1]
    world.cypher("MATCH (p:HolonstreamParked) DELETE p")
    world.cypher(
        "CREATE (:HolonstreamDiscarded {key: $stream, stream: $stream, version: 2, topic: $topic})",
        stream="relationship/r-2",
        topic=TOPIC,
    )
    (finding,) = world.verify(code=1)["findings"]  # the later event is not there yet
    assert (finding["kind"], finding["event"]["version"]) == ("altered", 2)
    assert world.verify("--repair", code=1)["repaired"] == 1
    assert world.cypher("MATCH ()-[r {_id: 'r-2'}]->() RETURN r._version, r._position") == [[3, last.position]]
    assert world.verify()["findings"] == []


def test_an_event_that_cannot_be_folded_and_is_not_parked_is_named(world: World) -> None:
    world.append(*EVENTS)
    world.append_unchecked(UNFOLDABLE)
    world.follow()
    world.cypher("MATCH (p:HolonstreamParked) DELETE p")
    (finding,) = world.verify("--repair", code=1)["findings"]
    assert (finding["kind"], finding["event"]["version"], finding["repaired"]) == ("unfoldable", 2, False)
    assert "no day" in finding["reason"]


def test_a_worker_with_cached_states_continues_from_the_repaired_ones(world: World) -> None:
    """What a worker remembers of an entity is what it wrote: here that is wrong, as after a bug or a lost disk."""

    async def go(connection: GraphConnection) -> None:
        running = worker(connection)
        await write(running, await asyncio.to_thread(lambda: list(world.log.read())))
        stream = "holon/p-1"
        partition = partition_of(stream, PARTITIONS)
        # a state that the worker wrote and remembers, and that the log does not know: an event that is nowhere else
        wrong = await asyncio.to_thread(world.append, modified("p-1", rank="O-4"))
        record = partitioned([*wrong[:-1], _altered(wrong[-1])])[partition]
        await running.write(batches_of(record, 1000, TOPIC, partition)[0])
        done = await asyncio.to_thread(world.verify, "--repair", code=1)
        (finding,) = done["findings"]
        assert (finding["stream"], finding["event"]["version"], finding["repaired"]) == (stream, 4, True)
        # the worker continues with its next batch, and does not bring the wrong state back
        log = await asyncio.to_thread(world.append, modified("p-1", name="Ada K."))
        (written,) = await running.write_batches(batches_of(partitioned(log)[partition], 1000, TOPIC, partition))
        assert written.applied == 1

    world.append(*EVENTS)
    world.graph(go)
    assert world.verify()["diverging"] == 0
    assert world.cypher("MATCH (n {_id: 'p-1'}) RETURN n.rank, n.name, n._version") == [["O-4", "Ada K.", 5]]


def _altered(e: RecordedEvent) -> RecordedEvent:
    from msgspec.structs import replace

    return replace(e, payload={"updates": {"rank": "O-WRONG"}})


def test_samples_are_taken_round_after_round(world: World) -> None:
    world.append(*EVENTS)
    world.follow()
    done = world.run("graph", "--json", "--sample", "500", "--rounds", "2", "--interval", "0")
    assert done.exit_code == 0
    rounds = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(r["entities"], r["diverging"]) for r in rounds] == [(7, 0), (7, 0)]
    world.cypher("MATCH (n {_id: 'p-1'}) SET n.rank = 'O-9'")
    done = world.run("graph", "--json", "--sample", "500", "--rounds", "2", "--interval", "0", "--repair")
    assert done.exit_code == 1
    first, second = (json.loads(line) for line in done.stdout.splitlines())
    assert [f["stream"] for f in first["findings"]] == ["holon/p-1"]
    assert second["findings"] == []


def test_an_empty_log_and_graph_agree(world: World) -> None:
    assert world.verify()["entities"] == 0
    assert json.loads(world.run("graph", "--json", "--sample", "5", "--rounds", "1").stdout)["entities"] == 0


# --- entities and checkpoints that nothing can be written on top of ---

STRANGE: list[Any] = [
    None,
    "x",
    "",
    0,
    -1,
    7,
    1.5,
    float("nan"),
    True,
    [],
    ["x"],
    [1],
    [True],
    bytearray(b"x"),
    neo4j.time.Date(2024, 1, 1),
    neo4j.time.DateTime(2024, 1, 1),
    neo4j.time.Duration(days=1),
    neo4j.spatial.CartesianPoint((1, 2)),
    [neo4j.time.Date(2024, 1, 1)],
]
NAMES = ["_id", "_status", "_version", "_position", "_createdAt", "_createdBy", "_lastModified", "_json", "_odd"]
NAMES += ["_sourceDocuments", "_digest", "_foreign", "name", "mixed", "__own"]
EDGE_NAMES = ["_effectiveStart", "_effectiveEnd", "_sourceSystem", "_authorityLevel", "_confidenceScore"]
EDGE_NAMES += ["_id", "_version", "_position", "_lastModified", "_json", "share"]


def test_whatever_another_program_stores_is_found_and_repaired_and_stops_no_command(world: World) -> None:
    nodes = [(f"n-{name}-{n}", name, value) for name in NAMES for n, value in enumerate(STRANGE)]
    edges = [(f"r-{name}-{n}", name, value) for name in EDGE_NAMES for n, value in enumerate(STRANGE)]
    own: dict[str, Any] = {"name": "true", "mixed": [1, "a"], "_own": "u", "": 1}
    world.append(
        *[person(i, **own) for i, _, _ in nodes],
        *[started(i, f"from-{i}", "to", properties={"share": 0.5}, confidenceScore=0.5) for i, _, _ in edges],
        person("nul", name="true"),
        person("renamed"),
    )
    log = list(world.log.read())
    world.follow(log)
    before = world.content()
    assert world.verify()["findings"] == []

    world.cypher(
        "UNWIND $rows AS row MATCH (n:Holon {_id: row[0]}) SET n[row[1]] = row[2]", rows=[list(row) for row in nodes]
    )
    world.cypher(
        "UNWIND $rows AS row MATCH ()-[r:OCCUPIES {_id: row[0]}]->() SET r[row[1]] = row[2]",
        rows=[list(row) for row in edges],
    )
    world.cypher("MATCH (n:Holon {_id: 'renamed'}) SET n._id = $id", id="renamed\0")
    world.cypher("CREATE (:Holon), (:Holon {name: 'nobody'}), (:Holon {_id: [2]}), (:Holon:Person:Document)")

    # a worker gets each state, and can write it again, or says which entity is damaged
    async def load(connection: GraphConnection) -> Counter[str]:
        outcomes: Counter[str] = Counter()
        loader, store = Loader(connection, CATALOGUE), Neo4jGraphStore(connection, CATALOGUE, TOPIC)
        for name, stream in [(i, f"holon/{i}") for i, _, _ in nodes] + [(i, f"relationship/{i}") for i, _, _ in edges]:
            try:
                for state in (await loader.load([stream])).values():
                    changes([(None, state)])
                outcomes["read"] += 1
            except GraphDamaged as error:
                outcomes["damaged"] += stream in str(error) and "graph --no-wait --repair`" in str(error)
            with suppress(DamagedEntity, NotInitialised):
                await store.get_holon(name)
        return outcomes

    outcomes = world.graph(load)
    assert outcomes.total() == len(nodes) + len(edges)
    assert outcomes["damaged"] > 100, outcomes
    assert outcomes["read"] > 100, outcomes  # what is no damage for a worker: another value of the same kind

    report = world.verify("--no-wait", "--limit", "1000", code=1)
    assert report["unlisted"] == 0
    repaired = world.verify("--no-wait", "--repair", "--limit", "1000", code=1)
    assert repaired["repaired"] == repaired["diverging"] == report["diverging"] > 300
    assert world.content() == before
    assert world.verify()["findings"] == []


def test_damaged_checkpoints_are_found_and_repaired(world: World) -> None:
    log = world.append(*EVENTS)
    world.follow()
    before = world.content()
    set_field = "MATCH (c:HolonstreamCheckpoint {partition: $partition}) SET c[$name] = $value"
    world.cypher(set_field, partition=0, name="offset", value="x")
    world.cypher(set_field, partition=1, name="visible", value=10**9)
    world.cypher(set_field, partition=2, name="epoch", value=None)
    report = world.verify("--no-wait", code=1)
    reasons = [finding["reason"] for finding in report["findings"]]
    assert reasons[0] == "offset is 'x'"
    assert reasons[1].startswith("visible position 1000000000 is beyond the position")
    assert reasons[2] == "epoch is None"
    assert {(f["kind"], f["stream"]) for f in report["findings"]} == {
        ("checkpoint", f"{TOPIC}[{partition}]") for partition in range(PARTITIONS)
    }
    assert world.verify("--no-wait", "--repair", code=1)["repaired"] == 3
    assert [row[0] == 0 for row in checkpoints_of(world)] == [True, False, False]
    world.follow()  # the first partition once more

    async def end() -> int:
        return len(log)

    async def damage_all(connection: GraphConnection) -> None:
        for name in ("offset", "position", "visible", "epoch", "topicId", "known", "provesHoles"):
            for value in ("x", 1.5, -1, None, 10**9):
                await connection.execute(set_field, partition=0, name=name, value=value)
                await repair_checkpoints(connection, TOPIC, end)
                assert await damaged_checkpoints(connection, TOPIC, end) == []

    world.graph(damage_all)
    world.cypher(set_field, partition=0, name="offset", value=0)
    world.follow()
    assert world.letters == []
    assert world.content() == before
    assert world.verify()["findings"] == []


def test_what_another_pipeline_wrote_to_the_graph_is_not_deleted(world: World) -> None:
    world.append(*EVENTS)
    world.follow()
    world.cypher("CREATE (:Holon:Person {_id: 'theirs', _version: 1, _status: 'active', _position: 1})")
    world.graph(lambda connection: initialise(connection, CATALOGUE, "another.events", 1))
    before = world.content()
    done = world.run("graph", "--repair", "--no-wait")
    assert isinstance(done.exception, SharedGraph)
    assert "also follows another.events: what belongs to these would be deleted" in str(done.exception)
    assert world.content() == before


def checkpoints_of(world: World) -> list[list[Any]]:
    return world.cypher("MATCH (c:HolonstreamCheckpoint) RETURN c.offset ORDER BY c.partition")


def test_a_stream_without_entity_that_the_graph_does_not_know_is_named_as_a_hole(world: World) -> None:
    world.append(*EVENTS)
    world.follow()
    world.cypher("MATCH (e:HolonstreamEmptyStream) SET e.version = 'x'")
    (finding,) = world.verify(code=1)["findings"]
    assert (finding["kind"], finding["stream"]) == ("hole", "holon/never-made")
    assert "the graph has seen it up to 0" in finding["reason"]
    assert world.verify("--repair", code=1)["repaired"] == 1
    world.append(modified("never-made", rank="O-8"))
    world.follow()
    assert world.letters == []
    assert world.cypher("MATCH (e:HolonstreamEmptyStream) RETURN e.stream, e.version") == [["holon/never-made", 2]]

    # not repaired before its next event comes, it is parked, and a redrive reads it from the log
    world.cypher("MATCH (e:HolonstreamEmptyStream) DELETE e")
    world.append(modified("never-made", rank="O-7"))
    world.follow()
    (finding,) = world.verify()["findings"]
    assert (finding["kind"], finding["stream"]) == ("parked", "holon/never-made")
    assert finding["reason"].startswith("Hole in holon/never-made: after version 0 comes 3")

    async def redrive(connection: GraphConnection) -> None:
        with LogReader(world.settings.log_dsn, "test") as log:
            async for done in Redriver(connection, CATALOGUE, TOPIC, log).redrive(["holon/never-made"]):
                assert done.parked is None

    world.graph(redrive)
    assert world.cypher("MATCH (e:HolonstreamEmptyStream) RETURN e.stream, e.version") == [["holon/never-made", 3]]
    assert world.verify()["findings"] == []


def test_a_repair_of_what_was_altered_names_the_cache(world: World) -> None:
    """A worker may have written an event on top of the damage: the row is whole again, and may be cached."""
    world.append(*EVENTS)
    world.follow()
    hint = "the cache may hold what was wrong: holonstream verify cache --all --repair"
    assert hint not in world.run("graph", "--repair", "--no-wait").output
    world.cypher("MATCH (n:Holon) WHERE n._version IS NOT NULL WITH n LIMIT 1 SET n.score = 0.5")
    done = world.run("graph", "--repair", "--no-wait")
    assert done.exit_code == 1
    assert hint in done.output
