"""The names of topics and consumer groups, which all begin with the namespace: pipelines can share servers."""

from __future__ import annotations


def events_topic(namespace: str) -> str:
    """The topic of events."""
    return f"{namespace}.events"


def dead_letter_topic(namespace: str) -> str:
    """The topic of records that could not be applied."""
    return f"{namespace}.dead-letters"


def consumer_group(namespace: str, name: str) -> str:
    """The consumer group of ``graph``, ``cache`` or ``relay``; the relay's is its transactional id too."""
    return f"{namespace}-{name}"
