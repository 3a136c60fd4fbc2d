"""What the SQL itself guarantees to a caller in any language."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

from holonstream.producers.log.frontier import frontier_status, read_frontier
from holonstream.producers.log.schema import apply_schema
from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.token import Token
from holonstream.schemas.wire import decode
from tests.support.event_log import append, envelope

CATALOGUE = Catalogue.load()
Connection = psycopg.Connection[Any]


@pytest.fixture
def connection(postgres_dsn: str) -> Iterator[Connection]:
    """The owner's session, in autocommit mode, on a log."""
    apply_schema(postgres_dsn, CATALOGUE)
    with psycopg.connect(postgres_dsn, autocommit=True) as opened:
        yield opened


def assignment(**changes: Any) -> dict[str, Any]:
    return envelope(type="AssignmentStarted", subjects=["a", "b"], **changes)


def test_the_token_is_the_one_that_python_reads(connection: Connection) -> None:
    for name in ("person-1", 'qu"ote\\ tab\t', "nämé ✓", "x" * 500):
        ((_, stream, _, position, token),) = append(connection, [envelope(name)])
        assert Token.parse(token) == Token({f"holon/{name}": position})
        assert stream == f"holon/{name}"


def test_ids_are_given_when_absent(connection: Connection) -> None:
    (first,), (second,) = (append(connection, [envelope(id=None)]) for _ in range(2))
    assert first[0] != second[0]
    assert first[0][14] == "7"


def test_rows_come_in_the_order_given(connection: Connection) -> None:
    envelopes = [envelope(f"person-{n * 7 % 50}") for n in range(200)]
    rows = append(connection, envelopes)
    assert [row[0] for row in rows] == [e["id"] for e in envelopes]
    assert [row[3] for row in rows] == sorted(row[3] for row in rows)
    assert append(connection, []) == []


def nested(levels: int) -> Any:
    """A list in a list, and so on."""
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def test_what_is_nested_as_deep_as_may_be_can_be_read(connection: Connection) -> None:
    append(connection, [envelope(payload={"a": nested(199)}, causalLinks={"a": nested(199)})])
    row = connection.execute("SELECT holonstream.cloud_event_v2(e) FROM holonstream.events AS e").fetchone()
    assert row is not None
    assert decode(row[0].encode()).payload == {"a": nested(199)}


@pytest.mark.parametrize(
    ("wrong", "code", "message"),
    [
        (envelope(type="PersonTeleported"), "HS001", "Unknown event type: PersonTeleported"),
        (envelope(schemaVersion=99), "HS001", "PersonCreated version 99"),
        (envelope(type=None), "HS002", "type must be a non-empty string, is missing"),
        (envelope(occurredAt=None), "HS002", "occurredAt must be"),
        (envelope(actor=None), "HS002", "actor must be"),
        (envelope(actor=""), "HS002", "actor must be"),
        (envelope(sourceSystem=None), "HS002", "sourceSystem must be"),
        (envelope(subjects=None), "HS002", "subjects must be a list"),
        (envelope(subjects="person-1"), "HS002", "subjects must be a list"),
        (envelope(subjects=[]), "HS002", "Missing subject: PersonCreated needs 1, has 0"),
        (envelope(subjects=["a", None]), "HS002", "subjects must be non-empty strings"),
        (envelope(subjects=[["a"]]), "HS002", "subjects must be non-empty strings"),
        (envelope(subjects=["x" * 1001]), "HS002", "at most 1000 bytes"),
        (envelope(id="17"), "HS002", "id is not a UUID: 17"),
        (envelope(occurredAt="now"), "HS002", "not an ISO-8601 instant: now"),
        (envelope(occurredAt="infinity"), "HS002", "not an ISO-8601 instant"),
        (envelope(occurredAt="2024-13-01"), "HS002", "not an ISO-8601 instant"),
        (envelope(occurredAt="0001-01-01T00:00:00+05"), "HS002", "not an ISO-8601 instant"),
        (envelope(payload=[1]), "HS002", "payload must be an object, is array"),
        (envelope(causalLinks=[1]), "HS002", "causalLinks must be an object"),
        (envelope(validityWindow={"start": "2024-02-01", "end": "2024-01-01"}), "HS002", "start not after end"),
        (envelope(schemaVersion="one"), "HS002", "schemaVersion must be a number"),
        (assignment(payload={"relationshipId": "r"}), "HS002", "needs relationshipType, is absent"),
        (
            assignment(payload={"relationshipId": None, "relationshipType": "HAS"}),
            "HS002",
            "needs relationshipId, is null",
        ),
        (
            assignment(payload={"relationshipId": 5, "relationshipType": "HAS"}),
            "HS002",
            "relationshipId must be a string",
        ),
        (envelope(payload={"a": nested(200)}), "HS002", "nested more than 200 levels deep"),
        (envelope(causalLinks={"a": nested(900)}), "HS002", "nested more than 200 levels deep"),
        (envelope(payload={"text": "x" * 900_001}), "HS005", "Event too large"),
        (envelope(subjects=["s"] + ["x" * 999] * 1000), "HS005", "Event too large"),
        (envelope(payload=None, causalLinks={"n": ["x" * 950_000]}), "HS005", "Event too large"),
    ],
)
def test_what_is_wrong_is_refused_by_name(
    connection: Connection, wrong: dict[str, Any], code: str, message: str
) -> None:
    good = envelope("good")
    with pytest.raises(psycopg.Error) as raised:
        append(connection, [good, wrong])
    assert raised.value.sqlstate == code
    assert message in str(raised.value)
    if code != "HS001" or "schemaVersion" not in wrong:
        assert "number 2 of the call" in str(raised.value)
    assert append(connection, [good])[0][2] == 1


@pytest.mark.parametrize(
    ("events", "expected", "message"),
    [
        (None, None, "expected a JSON array of envelopes, got NULL"),
        ([], "[]", "expected a JSON object {stream: version}, got array"),
        ([], "null", "expected a JSON object {stream: version}, got null"),
        ([envelope("p")], '{"p": 0}', 'versions: "p": 0: a stream is holon/<id>'),
        ([envelope("p")], '{"Holon/p": 0}', 'versions: "Holon/p": 0:'),
        ([envelope("p")], '{"holon/": 0}', 'versions: "holon/": 0:'),
        ([envelope("p")], '{"holon/p": "0"}', 'versions: "holon/p": "0":'),
        ([envelope("p")], '{"holon/p": null}', 'versions: "holon/p": null:'),
        ([envelope("p")], '{"holon/p": -1}', 'versions: "holon/p": -1:'),
        ([envelope("p")], '{"holon/p": 0.5}', 'versions: "holon/p": 0.5:'),
        ([envelope("p")], f'{{"holon/{"x" * 9000}": 0}}', 'versions: "holon/xxxx'),
    ],
)
def test_arguments_that_say_nothing_are_refused_by_name(
    connection: Connection, events: list[Any] | None, expected: str | None, message: str
) -> None:
    """They would be an append of nothing, and a check that always holds."""
    call = "SELECT FROM holonstream.append_events(%s::text::jsonb, %s::text::jsonb)"
    with pytest.raises(psycopg.Error) as raised:
        connection.execute(call, [None if events is None else json.dumps(events), expected])
    assert raised.value.sqlstate == "HS002"
    assert message in str(raised.value)
    assert read_frontier(connection).head == 0


def test_a_read_only_transaction_is_named(connection: Connection) -> None:
    connection.execute("SET default_transaction_read_only = on")
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction, match="Events cannot be appended: the transaction is"):
        append(connection, [envelope()])


GROWS = """
SELECT FROM holonstream.append_events(jsonb_build_array(
    %s::jsonb || jsonb_build_object('payload', jsonb_build_object('n', ARRAY(
        SELECT 1e3999 FROM generate_series(1, 230))))))
"""


def test_numbers_that_grow_as_text_count_at_their_length(connection: Connection) -> None:
    with pytest.raises(psycopg.Error) as raised:
        connection.execute(GROWS, [Jsonb(envelope())])
    assert raised.value.sqlstate == "HS005"


def test_instants_mean_utc_in_any_session_time_zone(connection: Connection) -> None:
    connection.execute("SET timezone = 'Asia/Tokyo'; SET datestyle = 'SQL, DMY'")
    append(connection, [envelope(occurredAt="2024-03-01"), envelope(occurredAt="2024-03-01T08:00:00.1234+02:00")])
    rows = connection.execute(
        "SELECT holonstream.cloud_event_v2(e)::jsonb ->> 'time' FROM holonstream.events AS e ORDER BY position"
    ).fetchall()
    assert rows == [("2024-03-01T00:00:00.000Z",), ("2024-03-01T06:00:00.123400Z",)]


SOURCES = {
    "hr": "hr",
    "HR-system_2.0~x": "HR-system_2.0~x",
    "https://hr.example.org:8080/people/": "https://hr.example.org:8080/people/",
    "urn:example:hr": "urn:example:hr",
    "my system/é": "my%20system%2F%C3%A9",
    "50%": "50%25",
    "a%20b": "a%2520b",
    "1:2": "1%3A2",
    "urn:": "urn%3A",
    "//": "%2F%2F",
    "http:///x": "http%3A%2F%2F%2Fx",
    "http://[::1]/": "http%3A%2F%2F%5B%3A%3A1%5D%2F",
    '"\\\n\x7f€\U0001f600': "%22%5C%0A%7F%E2%82%AC%F0%9F%98%80",
}


@pytest.mark.parametrize("system", SOURCES)
def test_a_source_is_a_uri_reference_that_decodes_to_the_system(connection: Connection, system: str) -> None:
    append(connection, [envelope(sourceSystem=system)])
    row = connection.execute("SELECT holonstream.cloud_event_v2(e) FROM holonstream.events AS e").fetchone()
    assert row is not None
    assert json.loads(row[0])["source"] == SOURCES[system]
    assert decode(row[0].encode()).source_system == system


@pytest.mark.parametrize(
    "system",
    [
        "".join(map(chr, range(0x3400, 0x3400 + 36_000))),  # each character another one
        "x y%/" * 30_000,
        " " * 200_000,
        "urn:" + "a/" * 120_000 + " ",  # almost one that stays
    ],
    ids=["different", "runs", "spaces", "almost"],
)
def test_a_source_of_any_length_is_rendered_at_once(connection: Connection, system: str) -> None:
    """The relay waits 10 s for an answer: an event that takes longer would stop the pipeline for ever."""
    connection.execute("SET statement_timeout = '5s'")
    append(connection, [envelope(sourceSystem=system)])
    row = connection.execute("SELECT holonstream.cloud_event_v2(e) FROM holonstream.events AS e").fetchone()
    assert row is not None
    assert json.loads(row[0])["source"] == quote(system, safe="-._~")


def test_attributes_are_scalars(connection: Connection) -> None:
    lists: dict[str, Any] = {
        "subjects": ["person-1", 'a "b" \\ \n é \x7f'],
        "validityWindow": {"start": "2024-03-01T08:00:00Z"},
        "causalLinks": {"causedBy": ['"', "\\", "€"], "n": 1},
    }
    append(connection, [envelope(**lists, traceparent="00-1-2-01", sourceDocument="d")])
    row = connection.execute("SELECT holonstream.cloud_event_v2(e) FROM holonstream.events AS e").fetchone()
    assert row is not None
    record = json.loads(row[0])
    assert {name for name, value in record.items() if not isinstance(value, str)} == {"data"}
    assert (record["sequence"], record["streamversion"]) == ("0000000000000000001", "1")
    for name, value in lists.items():
        assert json.loads(record[name.lower()]) == value
    event = decode(row[0].encode())
    old = connection.execute("SELECT holonstream.cloud_event(e) FROM holonstream.events AS e").fetchone()
    assert old is not None
    assert decode(old[0].encode()) == event
    assert (list(event.subjects), event.causal_links) == (lists["subjects"], lists["causalLinks"])


@pytest.mark.parametrize(
    "large",
    [
        {"causalLinks": {"a": [""] * 180_000}},
        {"subjects": ["person-1"] + ["a"] * 150_000},
        {"validityWindow": {"more": [""] * 180_000}},
        {"sourceSystem": " " * 300_000},
        {"sourceSystem": "é" * 150_000},
    ],
)
def test_the_size_of_an_event_is_that_of_its_record(connection: Connection, large: dict[str, Any]) -> None:
    """Kafka refuses more than a MB: what is taken fits, though quotes are escaped and spaces encoded."""
    with pytest.raises(psycopg.Error, match="Event too large") as raised:
        append(connection, [envelope(**large)])
    assert raised.value.sqlstate == "HS005"


@pytest.mark.parametrize("statement", ["UPDATE {} SET {}", "DELETE FROM {}", "TRUNCATE {}", "TRUNCATE {} CASCADE"])
@pytest.mark.parametrize("replica", [False, True])
def test_the_log_is_append_only_even_for_its_owner(connection: Connection, statement: str, replica: bool) -> None:
    append(connection, [envelope()])
    if replica:
        connection.execute("SET session_replication_role = replica")
    for table, change in (("events", "actor = 'x'"), ("streams", None)):
        if statement.startswith("UPDATE") and change is None:
            continue
        text = statement.replace("{}", f"holonstream.{table}", 1).replace("{}", str(change))
        with pytest.raises(psycopg.Error, match=f"Append-only: .* of holonstream.{table} refused") as raised:
            connection.execute(text.encode())
        assert raised.value.sqlstate == "HS006"


@pytest.fixture
def as_role(connection: Connection, postgres_dsn: str) -> Iterator[Any]:
    sessions = []

    def session(role: str) -> Connection:
        opened = psycopg.connect(postgres_dsn, autocommit=True)
        sessions.append(opened)
        opened.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
        return opened

    yield session
    for opened in sessions:
        opened.close()


WRITES = [
    "INSERT INTO holonstream.events SELECT * FROM holonstream.events",
    "UPDATE holonstream.events SET actor = 'x'",
    "DELETE FROM holonstream.events",
    "TRUNCATE holonstream.events",
    "UPDATE holonstream.streams SET version = 0",
    "INSERT INTO holonstream.event_types SELECT * FROM holonstream.event_types",
    "SELECT nextval('holonstream.events_position')",
    "SELECT setval('holonstream.events_position', 1)",
    "SELECT holonstream.load_event_types('[]')",
    "SELECT holonstream.write_events(NULL, NULL, NULL)",
]


def test_a_writer_appends_and_nothing_else(as_role: Any) -> None:
    writer = as_role("holonstream_writer")
    assert append(writer, [envelope()])[0][2] == 1
    for statement in [*WRITES, "SELECT * FROM holonstream.events", "SELECT * FROM holonstream.streams"]:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            writer.execute(statement.encode())


def test_a_reader_reads_and_nothing_else(as_role: Any, connection: Connection) -> None:
    append(connection, [envelope()])
    reader = as_role("holonstream_reader")
    assert reader.execute("SELECT count(*) FROM holonstream.events").fetchone() == (1,)
    assert frontier_status(reader).frontier == 1
    assert reader.execute("SELECT holonstream.cloud_event_v2(e) FROM holonstream.events AS e").fetchone() is not None
    for statement in WRITES:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            reader.execute(statement.encode())
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        append(reader, [envelope()])


def test_a_writers_search_path_does_not_matter(as_role: Any, connection: Connection) -> None:
    connection.execute("CREATE SCHEMA trap; GRANT ALL ON SCHEMA trap TO holonstream_writer")
    writer = as_role("holonstream_writer")
    writer.execute("CREATE FUNCTION trap.nextval(text) RETURNS bigint LANGUAGE sql AS 'SELECT 1/0::bigint'")
    writer.execute("SET search_path = trap, pg_catalog")
    assert append(writer, [envelope()])[0][3] == 1


def test_init_may_run_twice_at_once(postgres_dsn: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        ran = list(pool.map(lambda _: apply_schema(postgres_dsn, CATALOGUE), range(4)))
    assert sorted(ran) == [False, False, False, True]
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        assert connection.execute(
            "SELECT name FROM holonstream.event_types WHERE is_current ORDER BY 1"
        ).fetchall() == [(name,) for name in sorted(CATALOGUE.types)]


def test_init_may_run_on_a_log_in_use(postgres_dsn: str, connection: Connection) -> None:
    with psycopg.connect(postgres_dsn) as writer:
        append(writer, [envelope()])
        assert not apply_schema(postgres_dsn, CATALOGUE)
        writer.commit()
    connection.execute("COMMENT ON SCHEMA holonstream IS 'an older version'")
    assert apply_schema(postgres_dsn, CATALOGUE)
    assert append(connection, [envelope()])[0][2:4] == (2, 2)


def test_the_frontier_knows_its_holder(postgres_dsn: str, connection: Connection) -> None:
    assert frontier_status(connection).holder is None
    assert (read_frontier(connection).head, read_frontier(connection).frontier) == (0, 0)
    append(connection, [envelope("a")])
    with psycopg.connect(postgres_dsn, application_name="slow service") as holder:
        append(holder, [envelope("b")])
        append(connection, [envelope("c")])
        status = frontier_status(connection)
        assert (status.head, status.frontier) == (3, 1)
        assert status.holder is not None
        assert (status.holder.pid, status.holder.application_name) == (holder.info.backend_pid, "slow service")
        assert status.holder.state == "idle in transaction"
        assert status.holder.position == 1
        assert status.holder.age_seconds is not None
        assert 0 < status.holder.age_seconds < 60
        holder.rollback()
    status = frontier_status(connection)
    assert (status.head, status.frontier, status.holder) == (3, 3, None)


@pytest.mark.parametrize("fresh", [True, False])
def test_the_first_positions_are_not_passed_by(postgres_dsn: str, connection: Connection, fresh: bool) -> None:
    """A sequence that was never used says last_value 1 and means 0."""
    if not fresh:
        append(connection, [envelope("a")])
    before = read_frontier(connection).frontier
    with psycopg.connect(postgres_dsn) as holder:
        ((_, _, _, position, _),) = append(holder, [envelope("b")])
        assert position == before + 1
        assert read_frontier(connection).frontier == before
        holder.commit()
    assert read_frontier(connection).frontier == position


def test_a_lock_lasts_exactly_as_long_as_what_it_protects(postgres_dsn: str, connection: Connection) -> None:
    def frontier() -> int:
        return read_frontier(connection).frontier

    with psycopg.connect(postgres_dsn, autocommit=True) as writer:
        with writer.transaction():
            with writer.transaction(force_rollback=True):
                append(writer, [envelope("undone")])
                assert frontier() == 0
            assert frontier() == 1  # nothing of the transaction is left
            append(connection, [envelope("other")])
            assert frontier() == 2
            append(writer, [envelope("kept")])
            with writer.transaction(force_rollback=True):
                append(writer, [envelope("undone")])
            append(connection, [envelope("other")])
            assert frontier() == 2  # rolling back to the savepoint left the lock of "kept"
        assert frontier() == 5
    streams = connection.execute("SELECT stream, version FROM holonstream.streams ORDER BY 1").fetchall()
    assert streams == [("holon/kept", 1), ("holon/other", 2)]


def test_a_setting_left_over_does_not_stand_for_a_lock(postgres_dsn: str, connection: Connection) -> None:
    with psycopg.connect(postgres_dsn, autocommit=True) as writer:
        writer.execute("SET holonstream.holds_frontier = '1'")
        for _ in range(2):
            with writer.transaction():
                append(writer, [envelope("a")])
                assert frontier_status(connection).holder is not None


def test_a_commit_that_is_seen_is_durable(postgres_dsn: str, connection: Connection) -> None:
    with psycopg.connect(postgres_dsn, options="-c synchronous_commit=off") as writer:
        append(writer, [envelope()])
        assert writer.execute("SHOW synchronous_commit").fetchone() == ("on",)
        writer.commit()
        assert writer.execute("SHOW synchronous_commit").fetchone() == ("off",)


SWITCHES = {
    "off after the append": "SET LOCAL synchronous_commit = off",
    "off for the session": "SET synchronous_commit = off",
    "off in a function that appends": "SELECT my_append(%s)",
    "off after a repetition": "SET LOCAL synchronous_commit = off; SELECT FROM holonstream.append_events(%s)",
}


@pytest.mark.parametrize("switch", SWITCHES)
def test_a_commit_of_events_waits_for_the_disk_whatever_was_set_after_them(
    switch: str, postgres_dsn: str, connection: Connection
) -> None:
    events = json.dumps([envelope(id=str(uuid4()))])
    with psycopg.connect(postgres_dsn, autocommit=True, cursor_factory=psycopg.ClientCursor) as writer:
        # Fired last of all deferred triggers, since its name is: what it sees is what the commit goes by.
        writer.execute("CREATE TABLE seen (commit text)")
        writer.execute(
            "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "INSERT INTO seen VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$"
        )
        writer.execute(
            "CREATE CONSTRAINT TRIGGER zz AFTER INSERT ON holonstream.events DEFERRABLE INITIALLY DEFERRED "
            "FOR EACH ROW EXECUTE FUNCTION note()"
        )
        writer.execute(
            "CREATE FUNCTION my_append(events jsonb) RETURNS void LANGUAGE sql SET synchronous_commit = off AS "
            "'SELECT FROM holonstream.append_events(events)'"
        )
        with writer.transaction():
            if "my_append" not in SWITCHES[switch]:
                writer.execute("SELECT FROM holonstream.append_events(%s)", [events])
            else:
                writer.execute("SET LOCAL synchronous_commit = off")
            writer.execute(SWITCHES[switch], [events] if "%s" in SWITCHES[switch] else None)
        assert writer.execute("SELECT * FROM seen").fetchall() == [("on",)]


def test_a_type_cannot_move_to_other_streams(connection: Connection) -> None:
    with pytest.raises(psycopg.Error, match="PersonCreated changes its stream from holon to relationship"):
        connection.execute(
            'SELECT holonstream.load_event_types(\'[{"name": "PersonCreated", "version": 2, "current": true, '
            '"streamKind": "relationship", "requiredSubjects": 1, "required": []}]\')'
        )
