"""What comes from outside and is not believed: a session's own markers, a sequence without its log, a replica."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from psycopg.sql import SQL, Identifier, Literal

from holonstream.producers.errors import (
    HeadsAltered,
    LogRefused,
    LogUnavailable,
    NotPermitted,
    NotPrimary,
    SequenceBehind,
    SequenceExhausted,
)
from holonstream.producers.log.batches import read_batches
from holonstream.producers.log.frontier import frontier_status, read_frontier
from holonstream.producers.log.inspection import log_facts
from holonstream.producers.log.postgres import READER_OPTIONS, connect
from holonstream.producers.log.schema import apply_schema, repair_heads, repair_sequence
from holonstream.producers.log.seals import make_seals
from holonstream.producers.log.store import PostgresEventStore
from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.errors import NotInitialised
from tests.support.event_log import append, envelope, person
from tests.support.standby import Standby, standby_of
from tests.support.waiting import wait_until

CATALOGUE = Catalogue.load()

FORGE = "SELECT set_config('holonstream.holds_frontier', {}, true)"


@pytest.fixture
def dsn(postgres_dsn: str) -> str:
    apply_schema(postgres_dsn, CATALOGUE)
    return postgres_dsn


@pytest.mark.parametrize(
    "marker",
    [
        "pg_current_xact_id()::text",
        "pg_current_xact_id() || ' 999999999'",
        "pg_current_xact_id() || ' 999999999999999'",
        "pg_current_xact_id() || ' -1'",
        "pg_current_xact_id() || ' 1; x'",
        "'99 99'",
    ],
)
def test_a_writer_that_forges_its_marker_holds_the_frontier_all_the_same(dsn: str, marker: str) -> None:
    with (
        psycopg.connect(dsn) as forger,
        psycopg.connect(dsn, autocommit=True) as other,
        connect(dsn, "relay") as relay,
    ):
        append(other, [envelope("before")])
        forger.execute("SET SESSION AUTHORIZATION DEFAULT")
        forger.execute(FORGE.format(marker))
        (appended,) = append(forger, [envelope("forged")])
        append(other, [envelope("after")])
        assert read_frontier(relay).frontier < appended[3]
        forger.commit()
        assert read_frontier(relay).frontier == appended[3] + 1


def test_a_marker_forged_between_two_appends_of_a_transaction_frees_nothing(dsn: str) -> None:
    with (
        psycopg.connect(dsn) as forger,
        psycopg.connect(dsn, autocommit=True) as other,
        connect(dsn, "relay") as relay,
    ):
        (first,) = append(forger, [envelope("first")])
        append(other, [envelope(f"other-{n}") for n in range(10)])
        forger.execute(FORGE.format("pg_current_xact_id() || ' 11'"))
        append(forger, [envelope("second")])
        assert read_frontier(relay).frontier < first[3]


def behind(dsn: str) -> None:
    """Twenty events, and a sequence as logical replication leaves it."""
    with psycopg.connect(dsn, autocommit=True) as owner:
        append(owner, [envelope(f"p-{n}") for n in range(20)])
        owner.execute("SELECT setval('holonstream.events_position', 1, false)")


@pytest.mark.parametrize("isolation", ["READ COMMITTED", "REPEATABLE READ"])
def test_an_append_refuses_a_sequence_behind_its_log(dsn: str, isolation: str) -> None:
    behind(dsn)
    with psycopg.connect(dsn) as service:
        service.execute(f"SET TRANSACTION ISOLATION LEVEL {isolation}")
        with pytest.raises(psycopg.Error, match="has drawn 0, the log holds position 20") as refused:
            append(service, [envelope("new")])
        assert refused.value.sqlstate == "HS009"
    with PostgresEventStore(dsn, CATALOGUE) as store, pytest.raises(SequenceBehind, match="holonstream init"):
        store.append([person("new")])


def test_a_serializable_append_that_meets_an_old_position_says_so_too(dsn: str) -> None:
    behind(dsn)
    with psycopg.connect(dsn) as service, PostgresEventStore(dsn, CATALOGUE) as store:
        service.execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
        with pytest.raises(SequenceBehind, match="holonstream init"):
            store.append([person("new")], connection=service)


def test_a_serializable_append_does_not_read_the_end_of_the_log(dsn: str) -> None:
    """It would conflict with every other one."""
    with psycopg.connect(dsn) as service:
        service.execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
        append(service, [envelope("a")])
        locked = "SELECT DISTINCT relation::regclass::text FROM pg_locks WHERE mode = 'SIReadLock'"
        assert "holonstream.events_pkey" not in {name for (name,) in service.execute(locked)}


def test_readers_refuse_a_sequence_behind_the_log_or_behind_their_own_position(dsn: str) -> None:
    behind(dsn)
    with connect(dsn, "relay") as relay:
        for position in (-1, 0, 20):
            with pytest.raises(SequenceBehind):
                read_frontier(relay, after=position)
    with PostgresEventStore(dsn, CATALOGUE) as store, pytest.raises(SequenceBehind):
        list(store.get_events())


def test_init_raises_a_sequence_that_is_behind_and_nothing_else(dsn: str) -> None:
    assert repair_sequence(dsn) is None
    behind(dsn)
    assert repair_sequence(dsn) == 20
    assert repair_sequence(dsn) is None
    with PostgresEventStore(dsn, CATALOGUE) as store:
        assert store.append([person("new")])[0].position == 21
        assert [event.position for event in store.get_events(after=19)] == [20, 21]


@pytest.mark.parametrize("altered", ["CACHE 50", "INCREMENT -1", "INCREMENT 2", "CYCLE"])
def test_a_sequence_that_somebody_has_altered_is_refused_and_repaired(dsn: str, altered: str) -> None:
    """With CACHE a session draws positions that lie below the frontier."""
    with psycopg.connect(dsn, autocommit=True) as owner, PostgresEventStore(dsn, CATALOGUE) as store:
        store.append([person("before")])
        owner.execute(f"ALTER SEQUENCE holonstream.events_position {altered}".encode())
        with pytest.raises(SequenceBehind, match=r"sequence altered.*holonstream init"):
            store.append([person("refused")])
        with pytest.raises(SequenceBehind, match="sequence altered"):
            read_frontier(owner)
        repair_sequence(dsn)
        assert [store.append([person(name)])[0].position for name in ("a", "b")] == [2, 3]


def test_a_sequence_that_is_exhausted_is_named(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as owner, PostgresEventStore(dsn, CATALOGUE) as store:
        owner.execute("ALTER SEQUENCE holonstream.events_position MAXVALUE 2")
        with pytest.raises(SequenceExhausted, match=r"No positions are left.*holonstream init"):
            store.append([person(f"p-{n}") for n in range(3)])
        repair_sequence(dsn)
        assert len(store.append([person(f"p-{n}") for n in range(3)])) == 3
        top = 2**48 - 1
        owner.execute("SELECT setval('holonstream.events_position', %s)", [top - 1])
        assert store.append([person("last")])[0].position == top  # which a lock's key can still name
        with pytest.raises(SequenceExhausted):
            store.append([person("none")])
        assert read_frontier(owner).frontier == top


def test_a_trigger_that_drops_events_does_not_drop_them_in_silence(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as owner, PostgresEventStore(dsn, CATALOGUE) as store:
        owner.execute("""
            CREATE FUNCTION drops() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                IF NEW.stream = 'holon/b' THEN RETURN NULL; END IF;
                RETURN NEW;
            END $$;
            CREATE TRIGGER audit BEFORE INSERT ON holonstream.events FOR EACH ROW EXECUTE FUNCTION drops()
        """)
        with pytest.raises(LogUnavailable, match=r"trigger on holonstream.events has dropped 1 of 3"):
            store.append([person("a"), person("b"), person("c")])
        assert [event.stream for event in store.append([person("a")])] == ["holon/a"]


CHANGES = [
    "NEW.version := NEW.version + 1",
    "NEW.stream := 'holon/z'",
    "NEW.id := gen_random_uuid()",
    "NEW.payload := '{}'",
    "NEW.position := NEW.position - 10",
    "NEW.position := 1000 - nextval('holonstream.events_position')",
    "NEW.position := NEW.position + 1000",
    "NEW.traceparent := 'x'",
]


def test_a_trigger_that_changes_events_is_refused(dsn: str) -> None:
    """Readers would see other events than those that were acknowledged, or holes in a stream."""
    with psycopg.connect(dsn, autocommit=True) as owner, PostgresEventStore(dsn, CATALOGUE) as store:
        store.append([person("before")])
        owner.execute("SELECT nextval('holonstream.events_position') FROM generate_series(1, 20)")
        made = "CREATE OR REPLACE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {}; RETURN NEW; END $$"
        owner.execute(made.format("PERFORM 1").encode())
        owner.execute("CREATE TRIGGER audit BEFORE INSERT ON holonstream.events FOR EACH ROW EXECUTE FUNCTION audit()")
        assert [event.version for event in store.append([person("a"), person("b"), person("a")])] == [1, 1, 2]
        for change in CHANGES:
            owner.execute(made.format(change).encode())
            with pytest.raises(LogRefused):
                store.append([person("a"), person("b"), person("a")])
        owner.execute(made.format("NEW.payload := '{}'").encode())
        with pytest.raises(
            LogRefused, match=r"trigger on holonstream.events has changed number 1 of the call \(stream h"
        ):
            store.append([person("c")])
        assert len(list(store.get_events())) == 4


def test_tables_that_somebody_has_altered_are_named(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as owner, PostgresEventStore(dsn, CATALOGUE) as store:
        owner.execute("ALTER TABLE holonstream.events RENAME COLUMN actor TO who")
        for use in (lambda: store.append([person("a")]), lambda: list(store.get_events())):
            with pytest.raises(NotInitialised, match=r"not as this release made it: column .*actor"):
                use()


def test_the_repair_waits_for_appends_that_drew_behind_the_log(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a serializable transaction drew below the log must be below the repaired sequence as well."""
    behind(dsn)
    with psycopg.connect(dsn) as service:
        service.execute("LOCK TABLE holonstream.events IN ROW EXCLUSIVE MODE")  # as an append holds it
        monkeypatch.setenv("PGOPTIONS", "-c lock_timeout=100ms")
        with pytest.raises(LogUnavailable, match="lock timeout"):
            repair_sequence(dsn)


def without_never_shrinks(owner: psycopg.Connection[Any], statement: str) -> None:
    """As a superuser, or a restore, may do it."""
    with owner.transaction():
        owner.execute("ALTER TABLE holonstream.streams DISABLE TRIGGER USER")
        owner.execute(statement.encode())
        for trigger in ("never_shrinks", "keeps_streams"):
            owner.execute(f"ALTER TABLE holonstream.streams ENABLE ALWAYS TRIGGER {trigger}".encode())


HEADS = [
    "DELETE FROM holonstream.streams",  # a dump of holonstream.events alone
    "UPDATE holonstream.streams SET version = 1",
    "UPDATE holonstream.streams SET version = 9",
    "UPDATE holonstream.streams SET version = 9 WHERE stream = 'holon/b'",
    "INSERT INTO holonstream.streams VALUES ('holon/lost', 4)",
]


@pytest.mark.parametrize("damage", HEADS)
def test_heads_that_are_not_the_logs_are_refused_and_repaired(dsn: str, damage: str) -> None:
    """What is appended would leave a hole in the stream, or have a version that is taken."""
    stream = "lost" if "lost" in damage else "b"
    with psycopg.connect(dsn, autocommit=True) as owner, PostgresEventStore(dsn, CATALOGUE) as store:
        store.append([person(name) for name in ("a", "b", "a", "b", "c", "c")])
        assert repair_heads(dsn) == repair_heads(dsn, thorough=True) == 0
        without_never_shrinks(owner, damage)
        facts = log_facts(owner, CATALOGUE)
        assert facts is not None
        assert facts.heads_differ == (stream == "b")
        with pytest.raises(HeadsAltered, match=r"^Stream heads (altered|behind the log): .*holonstream init --heads"):
            store.append([person("new"), person(stream)])
        assert repair_heads(dsn, thorough=stream == "lost") > 0
        assert [event.version for event in store.append([person(name) for name in ("a", stream)])] == [
            3,
            1 if stream == "lost" else 3,
        ]
        assert repair_heads(dsn, thorough=True) == 0
        assert log_facts(owner, CATALOGUE) is not None


def lock_key(position: int) -> int:
    return 18515 << 48 | position


@pytest.mark.parametrize("function", ["pg_advisory_lock", "pg_advisory_lock_shared", "pg_advisory_xact_lock_shared"])
def test_locks_of_a_session_that_does_not_append_hold_nothing_and_are_named(dsn: str, function: str) -> None:
    with (
        psycopg.connect(dsn, application_name="outsider") as outsider,
        psycopg.connect(dsn, autocommit=True) as service,
        connect(dsn, "relay") as relay,
    ):
        outsider.execute(f"SELECT {function}(%s)", [lock_key(7)])
        append(service, [envelope("a"), envelope("b")])
        status = frontier_status(relay)
        assert (status.frontier, status.holder) == (2, None)
        assert [(f.pid, f.user, f.application_name, f.count) for f in status.foreign] == [
            (outsider.info.backend_pid, "postgres", "outsider", 1)
        ]


def test_a_lock_that_keeps_an_append_waiting_is_named(dsn: str) -> None:
    with (
        psycopg.connect(dsn, autocommit=True, application_name="outsider") as outsider,
        psycopg.connect(dsn, autocommit=True) as service,
        connect(dsn, "relay") as relay,
        ThreadPoolExecutor(1) as thread,
    ):
        outsider.execute("SELECT pg_advisory_lock(%s)", [lock_key(0)])
        appended = thread.submit(append, service, [envelope("a")])
        waiting = "SELECT count(*) FROM pg_locks WHERE pid = %s AND NOT granted"
        wait_until(
            lambda: relay.execute(waiting, [service.info.backend_pid]).fetchone() == (1,), "the append waits for a lock"
        )
        assert [f.application_name for f in frontier_status(relay).foreign] == ["outsider"]
        outsider.execute("SELECT pg_advisory_unlock_all()")
        assert appended.result(60)[0][3] == 1
        assert read_frontier(relay).frontier == 1


def test_a_prepared_transaction_holds_the_frontier_and_is_named(dsn: str) -> None:
    gid = f"tx-{uuid4()}"
    with psycopg.connect(dsn, autocommit=True) as service, connect(dsn, "relay") as relay:
        service.execute("BEGIN")
        append(service, [envelope("a")])
        service.execute(SQL("PREPARE TRANSACTION {}").format(Literal(gid)))
        append(service, [envelope("b")])
        status = frontier_status(relay)
        assert status.frontier == 0
        assert status.holder is not None
        holder = status.holder
        assert (holder.pid, holder.user, holder.state, holder.gid) == (None, "postgres", "prepared", gid)
        assert holder.age_seconds is not None
        assert status.foreign == []
        relay.execute(SQL("COMMIT PREPARED {}").format(Literal(gid)))
        assert read_frontier(relay).frontier == 2


def test_preparing_transactions_never_lets_the_frontier_pass_one(dsn: str) -> None:
    """A transaction that is being prepared hands its locks on one by one."""
    positions: list[int] = []
    stop = threading.Event()
    too_far: list[tuple[int, int]] = []

    def prepare() -> None:
        with psycopg.connect(dsn, autocommit=True) as service:
            for number in range(150):
                gid = Literal(f"{uuid4()}")
                service.execute("BEGIN")
                (appended,) = append(service, [envelope(f"p-{number}")])
                positions.append(appended[3])
                service.execute(SQL("PREPARE TRANSACTION {}").format(gid))
                positions.pop()
                service.execute(SQL("COMMIT PREPARED {}").format(gid))
        stop.set()

    with connect(dsn, "relay") as relay, ThreadPoolExecutor(1) as thread:
        preparing = thread.submit(prepare)
        while not stop.is_set() and not preparing.done():
            open_now = positions[:1]
            frontier = read_frontier(relay).frontier
            if open_now and open_now == positions[:1] and frontier >= open_now[0]:
                too_far.append((frontier, open_now[0]))
        preparing.result()
    assert too_far == []


@contextmanager
def login_of(dsn: str, owner: psycopg.Connection[Any]) -> Iterator[tuple[str, Identifier]]:
    """The address and the name of a login that has no role."""
    name = f"login_{uuid4().hex}"
    owner.execute(SQL("CREATE ROLE {} LOGIN").format(Identifier(name)))
    try:
        yield dsn.replace("postgres@", f"{name}@"), Identifier(name)
    finally:
        owner.execute(SQL("DROP ROLE {}").format(Identifier(name)))


def test_a_login_without_a_role_of_ours_may_not_connect(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as owner, login_of(dsn, owner) as (address, name):
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            psycopg.connect(address)
        owner.execute(SQL("GRANT holonstream_writer TO {}").format(name))
        with psycopg.connect(address) as service:
            append(service, [envelope("a")])


@pytest.mark.parametrize("level", ["ENABLE ROW LEVEL SECURITY", "ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY"])
def test_row_level_security_hides_no_event_in_silence(dsn: str, level: str) -> None:
    """A relay that sees no rows would go on to the frontier without them."""
    with psycopg.connect(dsn, autocommit=True) as owner, login_of(dsn, owner) as (address, name):
        append(owner, [envelope("a")])
        owner.execute(SQL("GRANT holonstream_reader TO {}").format(name))
        with (
            connect(address, "relay", options=READER_OPTIONS) as relay,
            PostgresEventStore(address, CATALOGUE) as store,
        ):
            owner.execute(f"ALTER TABLE holonstream.events {level}".encode())
            with pytest.raises(NotPermitted, match="DISABLE ROW LEVEL SECURITY"):
                read_frontier(relay)
            with pytest.raises(NotPermitted, match="DISABLE ROW LEVEL SECURITY"):
                list(read_batches(relay, 0, 1, limit=1, batch_events=1, batch_bytes=1))
            for read in (
                lambda: list(store.get_events()),
                lambda: list(store.read_stream("holon/a")),
                lambda: store.get_event(str(uuid4())),
            ):
                with pytest.raises(NotPermitted, match="DISABLE ROW LEVEL SECURITY"):
                    read()


LIMITS = {
    "statement_timeout": "1s",
    "lock_timeout": "1s",
    "idle_session_timeout": "1min",
    "idle_in_transaction_session_timeout": "1s",
    "default_transaction_isolation": "repeatable read",
    "default_transaction_deferrable": "on",
}
SLOW = """
CREATE FUNCTION slow() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_catalog.pg_sleep(1.2); END $$;
CREATE EVENT TRIGGER slow ON ddl_command_start WHEN TAG IN ('CREATE SEQUENCE') EXECUTE FUNCTION slow();
"""


def test_limits_that_a_database_sets_for_services_are_not_for_init_and_readers(postgres_dsn: str) -> None:
    with psycopg.connect(postgres_dsn, autocommit=True) as owner:
        database = Identifier(str(conninfo_to_dict(postgres_dsn)["dbname"]))
        for name, value in LIMITS.items():
            owner.execute(SQL("ALTER DATABASE {} SET {} = {}").format(database, Identifier(name), value))
        owner.execute(SLOW)
    apply_schema(postgres_dsn, CATALOGUE)
    with connect(postgres_dsn, "relay", options=READER_OPTIONS) as relay:
        found = {name: relay.execute(SQL("SHOW {}").format(Identifier(name))).fetchone() for name in LIMITS}
    assert found == {
        name: ("read committed",) if name.endswith("isolation") else ("off",) if name.endswith("deferrable") else ("0",)
        for name in LIMITS
    }


def test_what_somebody_has_done_to_the_tables_is_named_with_what_helps(dsn: str) -> None:
    damages = {
        "ALTER TABLE holonstream.events SET UNLOGGED": "a crash of the server empties it",
        "CREATE TRIGGER t BEFORE INSERT ON holonstream.events FOR EACH ROW EXECUTE FUNCTION audit()": "trigger t on",
        "CREATE RULE audit AS ON INSERT TO holonstream.streams DO ALSO NOTHING": "rule audit",
        "ALTER TABLE holonstream.events DISABLE TRIGGER append_only": "append_only on holonstream.events",
        "ALTER TABLE holonstream.events ENABLE ROW LEVEL SECURITY": "row-level security is on for holonstream.events",
        "ALTER TABLE holonstream.events INHERIT parent": "holonstream.events inherits from public.parent",
        "CREATE TABLE child () INHERITS (holonstream.events)": "public.child inherits from holonstream.events",
    }
    with psycopg.connect(dsn, autocommit=True) as owner:
        owner.execute("CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'")
        owner.execute("CREATE TABLE parent (LIKE holonstream.events)")

        def altered() -> list[tuple[str, str]]:
            found = log_facts(owner, CATALOGUE)
            assert found is not None
            return found.altered

        assert altered() == []
        for damage, said in damages.items():
            owner.execute(damage.encode())
            ((found, remedy),) = altered()
            assert said in found
            owner.execute(remedy.partition(", or")[0].encode())
            assert altered() == [], damage
        owner.execute("ALTER TABLE holonstream.events DROP CONSTRAINT events_id_key")
        assert [found for found, _ in altered()] == ["constraint events_id_key is gone"]


def test_a_logical_replica_is_refused(dsn: str) -> None:
    """Its rows come in the order of commits, and without the locks of those who append."""
    with psycopg.connect(dsn, autocommit=True) as owner, PostgresEventStore(dsn, CATALOGUE) as store:
        store.append([person("a")])
        # Without a publisher, of whose wal_level a test has no say, the subscription gets no table by itself.
        owner.execute("CREATE SUBSCRIPTION s CONNECTION '' PUBLICATION p WITH (connect = false, slot_name = NONE)")
        owner.execute(
            "INSERT INTO pg_subscription_rel (srsubid, srrelid, srsubstate)"
            " SELECT oid, 'holonstream.events'::regclass, 'r' FROM pg_subscription"
            " WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        try:
            for use in (lambda: store.append([person("b")]), store.head, lambda: list(store.get_events())):
                with pytest.raises(NotPrimary, match=r"a subscription .* writes holonstream.events"):
                    use()
            with connect(dsn, "relay") as relay, pytest.raises(NotPrimary):
                read_frontier(relay, after=1)
        finally:
            owner.execute("DROP SUBSCRIPTION s")
        assert store.append([person("b")])[0].position == 2


def test_events_are_not_changed_through_a_table_that_they_inherit_from(dsn: str) -> None:
    """Such a statement fires no trigger of a statement on them, nor does logical replication."""
    with psycopg.connect(dsn, autocommit=True) as owner, PostgresEventStore(dsn, CATALOGUE) as store:
        store.append([person("a")])
        make_seals(dsn)
        for name in ("events", "seals"):
            owner.execute(f"CREATE TABLE parent_of_{name} (LIKE holonstream.{name})".encode())
            owner.execute(f"ALTER TABLE holonstream.{name} INHERIT parent_of_{name}".encode())
            for statement in (f"DELETE FROM parent_of_{name}", f"TRUNCATE parent_of_{name}"):
                with pytest.raises(
                    psycopg.Error, match=rf"Append-only: (DELETE|TRUNCATE) of holonstream.{name} refused"
                ):
                    owner.execute(statement.encode())
        with pytest.raises(psycopg.Error, match=r"Append-only: UPDATE of holonstream.events"):
            owner.execute("UPDATE parent_of_events SET actor = 'x'")
        assert len(list(store.get_events())) == 1


@pytest.fixture
def standby(dsn: str) -> Iterator[Standby]:
    with standby_of(dsn) as made:
        yield made


def test_a_replica_is_refused_and_the_primary_found_behind_it(dsn: str, standby: Standby) -> None:
    database = str(conninfo_to_dict(dsn)["dbname"])
    with psycopg.connect(dsn, autocommit=True) as primary:
        append(primary, [envelope("a")])
    standby.wait_until_caught_up()
    replica = standby.dsn(database)
    with pytest.raises(LogUnavailable, match=r"hot standby|primary"):
        connect(replica, "relay")

    # Whatever let the session in: a pooler, or an option of the connection string.
    with psycopg.connect(replica, autocommit=True) as session, pytest.raises(NotPrimary, match="recovery"):
        read_frontier(session)

    port = conninfo_to_dict(dsn)["port"]
    both = f"postgresql://postgres@127.0.0.1:{standby.port},127.0.0.1:{port}/{database}"
    with connect(both, "relay") as session:
        assert _in_recovery(session) is False
    with PostgresEventStore(both, CATALOGUE) as store:
        store.append([person("b")])
        assert len(list(store.get_events())) == 2


def _in_recovery(session: psycopg.Connection[Any]) -> bool:
    row = session.execute("SELECT pg_is_in_recovery()").fetchone()
    assert row is not None
    return bool(row[0])
