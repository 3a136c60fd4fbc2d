"""The names of topics and consumer groups, which all begin with the namespace: pipelines can share servers."""

from __future__ import annotations

import re
from collections.abc import Iterable

SINK_NAME = re.compile(r"[a-z][a-z0-9_]{0,99}")
VIEWS = ("graph", "cache")
RESERVED = (*VIEWS, "relay")
"""no sinks of one's own: the groups of a namespace that ends in ``-sink`` have these names"""

REPLAY_SUFFIX = "-replay-"
"""how the suffix of a group begins that rebuilds the graph beside the live one"""


def events_topic(namespace: str) -> str:
    """The topic of events."""
    return f"{namespace}.events"


def dead_letter_topic(namespace: str) -> str:
    """The topic of records that could not be applied."""
    return f"{namespace}.dead-letters"


def consumer_group(namespace: str, name: str) -> str:
    """The consumer group of ``graph``, ``cache`` or ``relay``; the relay's is its transactional id too."""
    return f"{namespace}-{name}"


def sink_view(name: str) -> str:
    """What a sink of one's own is called beside ``graph`` and ``cache``, also in the name of its group."""
    return f"sink-{name}"


def is_sink_name(name: str) -> bool:
    """Whether a sink of one's own may have the name."""
    return SINK_NAME.fullmatch(name) is not None and name not in RESERVED


def is_view(name: str) -> bool:
    """Whether a view may be called so: graph, cache, or that of a sink of one's own."""
    prefix = sink_view("")
    return name in VIEWS or (name.startswith(prefix) and is_sink_name(name.removeprefix(prefix)))


def own_sinks(namespace: str, groups: Iterable[str], suffix: str = "") -> list[str]:
    """The views of sinks of one's own, by the names of all consumer groups; `suffix` as those names end."""
    prefix = consumer_group(namespace, sink_view(""))
    found = (group for group in groups if group.startswith(prefix) and group.endswith(suffix))
    sinks = (group.removeprefix(prefix).removesuffix(suffix) for group in found)
    return [sink_view(name) for name in sorted(sinks) if is_sink_name(name)]
