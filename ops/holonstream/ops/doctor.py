"""Whether each server is as the pipeline needs it: one line for each check, with what to do.

The checks are those that `init` and the workers make, and some more. Nothing is changed anywhere.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from holonstream.ops.output import counted
from holonstream.ops.servers import FULL, HELLO, ServerAddress, ask_all, greet_all, reason, servers
from holonstream.ops.settings import Settings
from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.errors import HolonstreamError, Unavailable

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

    from holonstream.ops.status import GroupStatus, TopicStatus

State = Literal["ok", "warning", "fault", "outage"]
PATIENCE = 30.0  # seconds for all checks of a server
CLOCK = 2.0  # seconds by which clocks may differ
IDLE = 60.0  # seconds that a transaction may be open and do nothing
STUCK = 5.0  # seconds in which a relay with events to publish publishes some
POLL = 0.2  # seconds between two questions for its position
SESSIONS = 0.9  # share of the sessions that may be in use
LITTLE = 0.1  # share of a disk


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was checked."""

    server: str
    what: str
    state: State
    detail: str
    remedy: str = ""

    def line(self) -> str:
        """For people."""
        advice = f": {self.remedy}" if self.remedy and self.state != "ok" else ""
        return f"{self.state:<8} {self.server:<11} {self.what:<13} {self.detail}{advice}"


class Findings:
    """Collects the checks of one server."""

    def __init__(self, server: ServerAddress) -> None:
        self.server = server
        self.checks: list[Check] = []

    def add(self, what: str, detail: str, *, wrong: State | None = None, remedy: str = "") -> None:
        """Add a check; `wrong` says how bad it is, None that all is well."""
        self.checks.append(Check(self.server.name, what, wrong or "ok", detail, remedy))

    def attempt(self, what: str, ask: Callable[[], str]) -> bool:
        """Add what a function says, or the error that it raises; returns whether all is well."""
        try:
            self.add(what, ask())
            return True
        except Unavailable as error:
            self.add(what, reason(error), wrong="outage")
        except HolonstreamError as error:
            self.add(what, reason(error), wrong="fault")
        return False

    def clock(self, now: float) -> None:
        """Compare a server's clock, in seconds since 1970, with that of this machine."""
        difference = round(now - time.time(), 1)
        wrong: State | None = "warning" if abs(difference) > CLOCK else None
        detail = f"{abs(difference):.1f} s {'ahead of' if difference > 0 else 'behind'} this machine's"
        self.add("clock", detail if difference else "as this machine's", wrong=wrong, remedy="run NTP on both")

    def disk(self, folder: str | None, what: str) -> None:
        """Report the free space of a server's folder, which only a server on this machine shows."""
        if not folder or not self.server.is_here or not Path(folder).exists():
            self.add("disk", f"{what}free space is seen on the server's own machine only")
            return
        space = shutil.disk_usage(folder)
        detail = f"{what}{space.free / 2**20:,.0f} of {space.total / 2**20:,.0f} MiB are free"
        wrong: State | None = "fault" if space.free < FULL else "warning" if space.free < LITTLE * space.total else None
        self.add("disk", detail, wrong=wrong, remedy=f"make room where {folder} is, before the server stops")


def examine(settings: Settings, limit: float = HELLO) -> list[Check]:
    """All checks of all servers, which are asked at once; `limit` is as `overview` takes it."""
    from holonstream.client.connections import catalogue

    known = catalogue(settings)
    questions: dict[str, Callable[[Findings], None]] = {
        "postgresql": partial(_postgresql, settings, known),
        "kafka": partial(_kafka, settings),
        "neo4j": lambda findings: asyncio.run(_neo4j(settings, known, findings)),
        "redis": lambda findings: asyncio.run(_redis(settings, findings)),
    }
    found = {name: Findings(server) for name, server in servers(settings).items()}
    greeted = greet_all(settings, limit)
    asked: dict[str, Callable[[], None]] = {}
    for name, server in servers(settings).items():
        answer = greeted[name]
        if answer is not None:
            known_cause = isinstance(answer, HolonstreamError) and not isinstance(answer, Unavailable)
            found[name].add(
                "reachable",
                f"{server.address}: {reason(answer)}",
                wrong="fault" if known_cause else "outage",
                remedy=server.remedy(),
            )
        else:
            found[name].add("reachable", server.address)
            asked[name] = partial(questions[name], found[name])
    for name, failure in ask_all(asked, PATIENCE).items():
        if isinstance(failure, Exception):
            found[name].add("checks", reason(failure), wrong="outage" if isinstance(failure, Unavailable) else "fault")
    return [check for findings in found.values() for check in list(findings.checks)]


def _postgresql(settings: Settings, known: Catalogue, findings: Findings) -> None:
    from holonstream.ops.pipeline import describe_session
    from holonstream.producers.log.frontier import frontier_status
    from holonstream.producers.log.inspection import idle_transactions, log_facts, server_facts
    from holonstream.producers.log.postgres import connect
    from holonstream.producers.relay.lease import current_leader

    with connect(settings.log_dsn, "holonstream-doctor") as connection:
        server = server_facts(connection)
        findings.add("version", server.version)
        wrong: State | None = None if server.encoding == "UTF8" else "fault"
        findings.add("encoding", server.encoding, wrong=wrong, remedy="make a database with ENCODING 'UTF8'")
        findings.clock(server.now)
        used = f"{server.sessions:,} of {server.max_sessions:,} sessions in use"
        wrong = "warning" if server.sessions > SESSIONS * server.max_sessions else None
        findings.add("limits", used, wrong=wrong, remedy="raise max_connections, or pool connections")
        off = " and ".join(server.unsafe)
        findings.add(
            "durability",
            f"{off} off: a crash of the machine may lose or damage what was acknowledged"
            if off
            else "survives a crash",
            wrong="warning" if off else None,
            remedy="; ".join(f"ALTER SYSTEM SET {name} = on" for name in server.unsafe) + "; SELECT pg_reload_conf()",
        )
        findings.disk(server.folder, f"the database has {server.bytes / 2**20:,.0f} MiB, ")
        for idle in idle_transactions(connection, IDLE):
            who = f"pid {idle.pid} ({idle.user}, {idle.application_name}) for {idle.age_seconds:.0f} s"
            end = f"end it, as with pg_terminate_backend({idle.pid}), and set idle_in_transaction_session_timeout"
            findings.add("transactions", f"idle in transaction: {who}", wrong="warning", remedy=end)
        log = log_facts(connection, known)
        if log is None:
            findings.add("schema", "there is no log in this database", wrong="fault", remedy="run `holonstream init`")
            return
        if not log.is_current:
            remedy = "run `holonstream init` of the newest version that is deployed"
            findings.add("schema", "of another version of holonstream", wrong="fault", remedy=remedy)
        elif not log.is_as_made:
            altered = "somebody has altered functions, triggers or rights, or a restore lacks some"
            findings.add("schema", altered, wrong="fault", remedy="run `holonstream init`, which makes them again")
        else:
            findings.add("schema", "as this installation makes it")
        missing = f"the log lacks {', '.join(log.types_missing[:5])}" if log.types_missing else "all are in the log"
        wrong = "fault" if log.types_missing else None
        findings.add("event types", missing, wrong=wrong, remedy="run `holonstream init`")
        wrong = "fault" if log.sequence_behind or log.sequence_altered else None
        behind = "behind the log" if log.sequence_behind else "altered" if log.sequence_altered else "ahead of the log"
        findings.add("sequence", behind, wrong=wrong, remedy="run `holonstream init`, which repairs it")
        if log.heads_differ:
            differ = "holonstream.streams does not have the last versions that the log has"
            findings.add("heads", differ, wrong="fault", remedy="run `holonstream init`, which repairs them")
        for damage, remedy in log.altered:
            findings.add("tables", damage, wrong="fault", remedy=remedy)
        if not log.altered:
            findings.add("tables", "as they were made")
        _rights(server.user, log.may_append, log.may_read, log.sees_sessions, findings)
        holder = frontier_status(connection).holder if log.may_read else None
        if holder is not None and (holder.age_seconds or 0) > IDLE:
            who = f"pid {holder.pid}" if holder.pid else f"prepared transaction {holder.gid}"
            findings.add(
                "frontier",
                f"held at {holder.position:,} by {who} for {holder.age_seconds:.0f} s",
                wrong="fault",
                remedy="docs/runbook.md, FrontierHeld",
            )
        leader = current_leader(connection, settings.namespace)
        if leader is None:
            findings.add("relay", "no relay leads", wrong="warning", remedy="start `holonstream relay`")
        else:
            findings.add("relay", f"pid {leader.pid} {describe_session(leader)} leads")


def _rights(user: str, append: bool, read: bool, sessions: bool, findings: Findings) -> None:
    may = {"append": append, "read": read, "see sessions": sessions}
    lacks = [name for name, has in may.items() if not has]
    wrong: State | None = "fault" if not read else "warning" if lacks else None
    detail = f"{user} may {', '.join(name for name, has in may.items() if has) or 'nothing'}"
    remedy = "GRANT holonstream_reader (read, see sessions) or holonstream_writer (append), as this login needs"
    findings.add("rights", detail + (f", not {', '.join(lacks)}" if lacks else ""), wrong=wrong, remedy=remedy)


def _kafka(settings: Settings, findings: Findings) -> None:
    from confluent_kafka.admin import AdminClient

    from holonstream.ops.kafka import client
    from holonstream.ops.pipeline import topic_report
    from holonstream.ops.status import TopicStatus
    from holonstream.ops.topics import check_topics, letters_that_go
    from holonstream.producers.errors import NotPermitted
    from holonstream.producers.kafka import TIMEOUT, broker_config, driver_errors

    admin = AdminClient(client(settings))

    def cluster() -> str:
        with driver_errors("asking for the cluster"):
            nodes = admin.describe_cluster(request_timeout=TIMEOUT).result(TIMEOUT).nodes
        try:
            with driver_errors("asking for a broker's settings"):
                config = broker_config(admin, nodes[0].id)
        except NotPermitted:
            brokers = counted(len(nodes), "broker")
            return f"{brokers}; this login may not read their settings, so version and disk are not known"
        for folder in (config.get("log.dirs") or config.get("log.dir") or "").split(","):
            findings.disk(folder, f"{folder} of broker {nodes[0].id}: ")
        # Kafka tells nobody its version; 4.0 took this setting away
        version = config.get("inter.broker.protocol.version") or "4.0 or later"
        return f"{counted(len(nodes), 'broker')} of Kafka {version}"

    def topics() -> str:
        return f"{settings.topic} with {counted(check_topics(settings).partitions, 'partition')}, kept for ever"

    findings.attempt("cluster", cluster)
    if not findings.attempt("topics", topics):
        return
    for setting, remedy in letters_that_go(admin, settings):
        detail = f"{settings.dead_letter_topic} has {setting}: dead letters are deleted"
        findings.add("letters", detail, wrong="warning", remedy=f"`{remedy}`")
    check_acls(settings, admin, findings)
    with TopicStatus(client(settings), settings.topic) as topic:
        _published(settings, topic, findings)
        asked = topic_report(settings, topic)
    for name, group in asked.groups.items():
        check_group(name, group, findings)
    for problem in asked.problems:
        findings.add("offsets", problem, wrong="fault", remedy="docs/runbook.md")
    if not asked.problems:
        findings.add("offsets", "all lie in the topic")


def check_acls(settings: Settings, admin: AdminClient, findings: Findings) -> None:
    """Who besides the pipeline may change what it has on the brokers."""
    from holonstream.ops.acls import described, foreign_rights, removal
    from holonstream.producers.errors import NotPermitted

    try:
        foreign = foreign_rights(settings, admin)
    except NotPermitted:
        findings.add("acls", "this login may not read them")
        return
    for acl in foreign or ():
        detail = f"beyond what `holonstream init --acls` gives: {described(acl)}"
        findings.add("acls", detail, wrong="warning", remedy=f"`{removal(acl)}`")
    if foreign is None:
        findings.add("acls", "there are none: without an authorizer anyone who can log in may write")
    elif not foreign:
        findings.add("acls", "nobody may write but whom `holonstream init --acls` lets")


def check_group(name: str, group: GroupStatus, findings: Findings) -> None:
    """Add the checks of a view's consumer group."""
    from holonstream.ops.pipeline import parked_command
    from holonstream.schemas import names

    wrong: State | None = None if group.members else "warning"
    remedy = f"start `holonstream worker {name if name in names.VIEWS else 'MODULE:FACTORY'}`"
    findings.add(
        "workers",
        f"{name} has {group.members}, {counted(group.lag, 'record')} to handle",
        wrong=wrong,
        remedy=remedy,
    )
    if group.parked is not None:
        wrong = "warning" if group.parked else None
        detail = f"{counted(group.parked, 'stream')} in {name}"
        if group.parked and not group.members:
            detail += " when its last worker ended"
        findings.add("parked", detail, wrong=wrong, remedy=f"`{parked_command(name)}`")


def _published(settings: Settings, topic: TopicStatus, findings: Findings) -> None:
    """Whether the relay publishes: one that leads and has events to publish raises its position."""
    from holonstream.producers.relay.status import log_status

    group = settings.group("relay")
    try:
        before = topic.relayed(group)
        log = log_status(settings.log_dsn, settings.namespace, before)
    except HolonstreamError:  # another check says so
        return
    detail = f"the relay is at position {before:,}, {counted(log.lag, 'event')} to publish"
    stuck = log.leader is not None and log.frontier.holder is None and log.lag_seconds > STUCK
    if stuck:
        until = time.monotonic() + STUCK
        while stuck and time.monotonic() < until:
            time.sleep(POLL)
            stuck = topic.relayed(group) <= before
        detail += f", the oldest {log.lag_seconds:.0f} s old"
    if stuck:
        detail += f", and no more within {STUCK:g} s"
    remedy = "its log says why; restart `holonstream relay`"
    findings.add("published", detail, wrong="fault" if stuck else None, remedy=remedy)


async def _neo4j(settings: Settings, known: Catalogue, findings: Findings) -> None:
    from holonstream.client.connections import graph_connection
    from holonstream.sinks.graph import inspection, parking, schema
    from holonstream.sinks.graph.recovery import rebuild

    async with graph_connection(settings) as connection:
        server = await inspection.server_facts(connection)
        findings.add("version", f"{server.version} {server.edition}")
        findings.clock(server.now / 1000)
        try:
            partitions = await schema.check(connection, known, settings.topic)
        except HolonstreamError as error:
            findings.add("constraints", reason(error), wrong="fault")
            return
        findings.add("constraints", f"all are there, and checkpoints of {counted(partitions, 'partition')}")
        try:
            await rebuild.content(connection, settings.topic)
        except rebuild.SharedGraph as error:
            findings.add("pipeline", reason(error), wrong="warning")
        for found in await inspection.open_transactions(connection, int(IDLE)):
            findings.add(
                "transactions",
                f"{found.user} on {found.client} has one open for {found.seconds} s",
                wrong="warning",
                remedy="SHOW TRANSACTIONS, then TERMINATE TRANSACTION",
            )
        parked = len(await parking.parked_streams(connection, settings.topic))
        wrong: State | None = "warning" if parked else None
        findings.add("parked", counted(parked, "stream"), wrong=wrong, remedy="`holonstream dead-letters list`")


async def _redis(settings: Settings, findings: Findings) -> None:
    from holonstream.client.connections import redis_client
    from holonstream.ops.wiring import SINK_TIMEOUT
    from holonstream.sinks.cache.driver import WANTED, check_server, redis_errors

    redis = redis_client(settings, timeout=SINK_TIMEOUT)
    try:
        try:
            warnings = "; ".join(await check_server(redis))
            wrong: State | None = "warning" if warnings else None
            findings.add(
                "persistence", warnings or "off, and values are evicted first", wrong=wrong, remedy=f"set {WANTED}"
            )
        except HolonstreamError as error:
            findings.add("persistence", reason(error), wrong="fault")
        with redis_errors("reading its state"):
            info: dict[str, Any] = await redis.info("server") | await redis.info("memory")
            seconds, micros = await redis.time()
            await redis.eval("return 1", 0)
        findings.add("version", str(info["redis_version"]))
        findings.clock(seconds + micros / 1e6)
        used, most = info["used_memory"], info.get("maxmemory", 0)
        limit = f" of {most / 2**20:,.0f}" if most else ", without a limit"
        wrong = None if most else "warning"
        findings.add("memory", f"{used / 2**20:,.0f} MiB{limit}", wrong=wrong, remedy="set maxmemory")
        findings.add("rights", "may run scripts")
    finally:
        await redis.aclose()


def exit_code(checks: list[Check]) -> int:
    """3 with an outage, 1 with a fault, else 0: warnings do not hold a deployment up."""
    states = {check.state for check in checks}
    return 3 if "outage" in states else 1 if "fault" in states else 0


def documents(checks: list[Check]) -> Iterator[dict[str, Any]]:
    """The checks as JSON values."""
    for check in checks:
        yield {
            "server": check.server.lower(),
            "check": check.what,
            "state": check.state,
            "detail": check.detail,
            "remedy": check.remedy if check.state != "ok" else None,
        }
