"""The metadata of a group's committed offset: the log position reached before it, and which topic it is in.

Kafka gives a topic an id when it makes it. Offsets in a topic that was deleted mean nothing in the one that was made
in its place, though both have one name. The relay also notes how many partitions the topic has, and from which log it
publishes; a worker of a sink of one's own, how many streams of the partition are parked, since only the sink can read
its store.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from holonstream.schemas.token import MAX_POSITION

_FORM = re.compile(
    r"([0-9]{1,19}|-)(?![0-9])(?: ([A-Za-z0-9+/_-]{22})(?: ([0-9]{1,9});(?: ([0-9]{1,20}-[0-9]{1,10});)?)?"
    r"(?: parked=([0-9]{1,9});)?)?"
)
NONE = "-"


class OffsetMetadata(NamedTuple):
    """None for what is not known. Versions before 0.2 have written no id, and no metadata without a position."""

    position: int | None = None
    topic_id: str | None = None
    partitions: int | None = None
    log_id: str | None = None
    parked: int | None = None

    def text(self) -> str:
        """As it is committed."""
        position = NONE if self.position is None else str(self.position)
        if self.topic_id is None:
            return "" if self.position is None else position
        text = f"{position} {self.topic_id}"
        if self.partitions:
            text += f" {self.partitions};" + (f" {self.log_id};" if self.log_id else "")
        return text if self.parked is None else f"{text} parked={self.parked};"

    @classmethod
    def parse(cls, text: str | None) -> OffsetMetadata:
        """Read what was committed; what we have not written says nothing."""
        found = _FORM.match(text or "")
        if found is None:
            return cls()
        text, topic_id, partitions, log_id, parked = found.groups()
        position = None if text == NONE else int(text)
        if position is not None and position > MAX_POSITION:
            return cls()
        return cls(
            position,
            topic_id,
            int(partitions) if partitions else None,
            log_id,
            int(parked) if parked else None,
        )
