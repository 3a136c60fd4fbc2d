"""Where a relay continues: from the committed position, checked against the topic and the log.

committed   topic's last event   log                  continue from    (committed: by the topic, else by the witness)
none        none                                      0
any         T, not before it     has what is recent   T
P           none, or T < P                            refused: TopicBehind, unless `trust_topic`, then T or 0
            T                    lacks any of it      refused: LogBehind

T decides: a transaction is on the topic as a whole or not at all, so that everything up to T is there. The committed
position follows T (`producers.relay.committer`); one beyond it says that the topic has lost what it held. An offset
that another program has set, as by ``kafka-consumer-groups.sh --reset-offsets``, says nothing beside a T. The log must
have not only T but all that was published since T was recorded (`producers.relay.topic_tail`): a promoted replica may
have T and lack an event with a lower position, whose transaction committed after that of T.

A position that was committed for a topic with another id is refused (TopicReplaced): the topic was deleted and made
again. With `trust_topic` the relay continues from T (or 0), if the topic is empty or begins with the log's first event.
A topic that had fewer partitions then is refused too (PartitionsAdded).

Before all that, and before it fences the relay that publishes, a relay is refused whose log is another database than
the one that was published from (LogReplaced). Else the relay of a copy, made for tests with the settings of the
original, would publish what is appended to the copy, and the original be refused afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import psycopg
import structlog

from holonstream.producers.errors import LogBehind, LogReplaced, NotPermitted, TopicBehind
from holonstream.producers.kafka import partitions_added
from holonstream.producers.log.frontier import read_frontier
from holonstream.producers.log.postgres import driver_errors, query
from holonstream.producers.relay.publisher import Committed, Publisher
from holonstream.producers.relay.topic_tail import first_event, is_published
from holonstream.schemas.errors import TopicReplaced
from holonstream.schemas.incident import incident
from holonstream.schemas.wire import EventPosition

log = structlog.get_logger(__name__)

COMPARED = 20_000  # events of the topic that one statement looks for in the log
AGAIN = (
    "Stop all relays and workers, and type `holonstream replay topic`: it says what comes then (docs/recovery.md, The "
    "topic again)"
)


def find_position(
    connection: psycopg.Connection[Any], publisher: Publisher, topic: str, *, trust_topic: bool = False
) -> int:
    """The position up to which everything is on the topic; the publisher must be open.

    `trust_topic` starts from the topic's end although it holds less than was committed: for a topic made again on
    purpose. Raises TopicBehind, TopicReplaced, PartitionsAdded, LogBehind, NotInitialised, LogUnavailable,
    KafkaUnavailable.
    """
    committed = publisher.committed()
    tail = publisher.tail_events()
    reached = _last_of_log(connection, publisher, tail, topic)
    if committed is not None and committed.topic_id not in (None, publisher.identity.id):
        _check_replaced(connection, publisher, topic, committed, trust_topic=trust_topic)
    elif committed is not None and 0 < (committed.partitions or 0) < publisher.identity.partitions:
        raise partitions_added(topic, committed.partitions or 0, publisher.identity.partitions)
    elif committed is not None and reached < committed.position and not trust_topic:
        if committed.topic_id is not None:
            raise TopicBehind(
                f"Topic {topic} ends at position {reached}, but {committed.position} was published: the topic was "
                f"emptied or made again. {AGAIN}"
            )
        if not tail:
            raise TopicBehind(
                f"Topic {topic} is empty, but group {publisher.group} has offset {committed.position}, which no relay "
                "of this version has committed: the topic was emptied, or another program has set the offset "
                "(kafka-consumer-groups.sh --reset-offsets). If nothing was published yet, type `holonstream relay "
                f"--trust-topic`, once. Else: {AGAIN[0].lower()}{AGAIN[1:]}"
            )
    if reached < (committed.position if committed else 0) or (committed is None and tail):
        log.warning("relay.position.from_topic", topic=topic, committed=committed, position=reached)
    return reached


def log_identity(connection: psycopg.Connection[Any]) -> str | None:
    """By what a log is known again, None when the login may not ask for it. Raises LogUnavailable."""
    try:
        with driver_errors():
            row = connection.execute(query("log_identity")).fetchone()
    except NotPermitted as error:
        log.warning("relay.log.unidentified", **incident(error))
        return None
    return None if row is None else str(row[0])


def check_log(
    connection: psycopg.Connection[Any], publisher: Publisher, topic: str, *, trust_log: bool = False
) -> str | None:
    """The log's identity, after the check that the topic was published from no other log, unless `trust_log`.

    The publisher need not be open. Raises LogReplaced, KafkaUnavailable, LogUnavailable.
    """
    here, committed = log_identity(connection), publisher.committed()
    there = None if committed is None else committed.log_id
    if here is not None and there not in (None, here):
        if not trust_log:
            raise LogReplaced(
                f"Topic {topic} is published from another log ({there}, by PostgreSQL's system identifier and the "
                f"database's oid), and this one is {here}: a copy, or the log was moved. If this is a copy, give it "
                "another HOLONSTREAM_NAMESPACE. If the log was moved here (a dump restored, pg_upgrade, logical "
                "replication), stop the relays of the old one, and type `holonstream relay --trust-log`, once "
                "(docs/recovery.md, The log in another place)"
            )
        log.warning("relay.log.replaced", topic=topic, was=there, now=here)
    return here


def _check_replaced(
    connection: psycopg.Connection[Any],
    publisher: Publisher,
    topic: str,
    committed: Committed,
    *,
    trust_topic: bool,
) -> None:
    """Check that a topic made again may be published to: on request, and when no event before its first is missing.

    A relay that ran when the topic was replaced published until it noticed, so that the beginning is missing.
    """
    first = first_event(publisher.consumer, topic)
    with driver_errors():
        row = connection.execute(query("first_position")).fetchone()
    assert row is not None
    replaced = (
        f"Topic {topic} was deleted and made again (its id was {committed.topic_id}, and is {publisher.identity.id})"
    )
    if first is not None and first.position != row[0]:
        raise TopicReplaced(
            f"{replaced}. It begins with position {first.position}, and the log with {row[0]}: what lies between is "
            f"missing. {AGAIN}"
        )
    if not trust_topic:
        raise TopicReplaced(f"{replaced}. {AGAIN}")


class _InLog(NamedTuple):
    """The log's own event at the position of another one on the topic."""

    id: str
    stream: str
    recorded: float
    """seconds since 1970"""


def _last_of_log(
    connection: psycopg.Connection[Any], publisher: Publisher, tail: Sequence[EventPosition], topic: str
) -> int:
    """The highest position of the events at the topic's end, of which the log must have each; 0 without any.

    Where the log's own event is on the topic too, the other one is a record of another program, and does not count.
    Raises LogBehind, KafkaUnavailable.
    """
    others: dict[tuple[int, str], _InLog | None] = {}
    with driver_errors():
        for start in range(0, len(tail), COMPARED):
            part = tail[start : start + COMPARED]
            arguments = {"positions": [e.position for e in part], "ids": [e.event_id for e in part]}
            for position, on_topic, *in_log in connection.execute(query("other_events_at"), arguments):
                others[position, on_topic] = None if in_log[0] is None else _InLog(*in_log)
    seen = {event.event_id for event in tail}
    unknown = {place: own for place, own in others.items() if own is None or own.id not in seen}
    for (position, on_topic), own in sorted(unknown.items(), key=lambda item: item[0], reverse=True):
        # One that was published long ago may lie before the end that was read.
        if own is not None and is_published(publisher.consumer, topic, own.id, own.stream, own.recorded):
            continue
        found = "no event" if own is None else f"event {own.id}"
        more = f" (and {len(unknown) - 1} more events from position {min(unknown)[0]} on)" if len(unknown) > 1 else ""
        raise LogBehind(
            f"Topic {topic} holds event {on_topic}{more} at position {position}, where the log has {found} "
            f"(its head: {read_frontier(connection).head}): the database was restored from a backup, is a replica that "
            f"lacked the last commits, or is another one. {AGAIN}"
        )
    if others:
        log.warning("relay.topic.foreign", topic=topic, count=len(others), position=max(others)[0])
    return max((event.position for event in tail if (event.position, event.event_id) not in others), default=0)
