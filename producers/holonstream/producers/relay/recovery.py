"""Where a relay goes on: from the committed position, checked against the topic and the log.

committed   topic's last event   log             go on from    (committed: by the topic, else by the witness)
none        none                                 0
any         T, not before it     has T's event   T
P           none, or T < P                       refused: TopicBehind, unless `trust_topic`, then T or 0
            T                    lacks it        refused: LogBehind

T decides: a transaction is on the topic as a whole or not at all, so that everything up to T is there. The committed
position follows T (`producers.relay.committer`); one beyond it says that the topic has lost what it held.

A position that was committed for a topic with another id is refused (TopicReplaced): the topic was deleted and made
again. With `trust_topic` the relay goes on from T (or 0), if the topic is empty or begins with the log's first event.
"""

from __future__ import annotations

from typing import Any

import psycopg
import structlog

from holonstream.producers.errors import LogBehind, TopicBehind
from holonstream.producers.log.frontier import read_frontier
from holonstream.producers.log.postgres import driver_errors, query
from holonstream.producers.relay.publisher import Committed, Publisher
from holonstream.producers.relay.topic_tail import first_event
from holonstream.schemas.errors import TopicReplaced
from holonstream.schemas.wire import EventPosition

log = structlog.get_logger(__name__)


def find_position(
    connection: psycopg.Connection[Any], publisher: Publisher, topic: str, *, trust_topic: bool = False
) -> int:
    """The position up to which everything is on the topic; the publisher must be open.

    `trust_topic` starts from the topic's end although it holds less than was committed: for a topic made again on
    purpose. Raises TopicBehind, TopicReplaced, LogBehind, NotInitialised, LogUnavailable, KafkaUnavailable.
    """
    committed = publisher.committed()
    last = publisher.last_event()
    reached = 0 if last is None else last.position
    if last is not None:
        _check_log_has(connection, last, topic)
    if committed is not None and committed.topic_id not in (None, publisher.topic_id):
        _check_replaced(connection, publisher, topic, committed, trust_topic=trust_topic)
    elif committed is not None and reached < committed.position and not trust_topic:
        raise TopicBehind(
            f"Topic {topic} ends at position {reached}, but {committed.position} was published: the topic was emptied "
            "or made again. Start once with `holonstream relay --trust-topic` to publish again what it lacks, and "
            "rebuild the views with `holonstream replay`: their offsets in the old topic mean nothing in this one"
        )
    if reached < (committed.position if committed else 0) or (committed is None and last is not None):
        log.warning("relay.position.from_topic", topic=topic, committed=committed, position=reached)
    return reached


def _check_replaced(
    connection: psycopg.Connection[Any],
    publisher: Publisher,
    topic: str,
    committed: Committed,
    *,
    trust_topic: bool,
) -> None:
    """Check that a topic made again may be published to: on request, and when no event before its first is missing.

    A relay that ran when the topic was replaced went on publishing until it noticed, so that the beginning is missing.
    """
    first = first_event(publisher.consumer, topic)
    with driver_errors():
        row = connection.execute(query("first_position")).fetchone()
    assert row is not None
    replaced = (
        f"Topic {topic} was deleted and made again (its id was {committed.topic_id}, and is {publisher.topic_id})"
    )
    then = (
        "Start once with `holonstream relay --trust-topic`, to publish the log again; then stop the graph's workers, "
        "type `holonstream replay graph --in-place`, and start them again (docs/runbook.md, TopicReplaced)"
    )
    if first is not None and first.position != row[0]:
        raise TopicReplaced(
            f"{replaced}. It begins with position {first.position}, and the log with {row[0]}: what lies between is "
            f"missing. Delete the topic once more, while no relay runs, and type `holonstream init`. {then}"
        )
    if not trust_topic:
        raise TopicReplaced(f"{replaced}. {then}")


def _check_log_has(connection: psycopg.Connection[Any], last: EventPosition, topic: str) -> None:
    with driver_errors():
        row = connection.execute(query("event_id_at"), {"position": last.position}).fetchone()
    if row is None or row[0] != last.event_id:
        found = "no event" if row is None else f"event {row[0]}"
        raise LogBehind(
            f"Topic {topic} ends with event {last.event_id} at position {last.position}, where the log has {found} "
            f"(its head: {read_frontier(connection).head}): the database was restored from a backup or is another one. "
            "Delete the topic, make it again with `holonstream init`, rebuild the views with `holonstream replay`, and "
            "start once with `holonstream relay --trust-topic`"
        )
