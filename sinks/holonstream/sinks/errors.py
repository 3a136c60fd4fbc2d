"""Errors of the stores that follow the log (tree: `schemas.errors`)."""

from __future__ import annotations

from holonstream.schemas.errors import HolonstreamError, Unavailable


class GraphUnavailable(Unavailable):
    """Neo4j cannot be reached, or is busy: a retry can help."""


class GraphDamaged(GraphUnavailable):
    """An entity or a checkpoint in Neo4j is not as it was written, so that nothing can be written on top of it: a
    worker waits until an operator has repaired it."""


class GraphRefused(HolonstreamError):
    """Neo4j refuses credentials, configuration or a statement: a retry cannot help."""

    detail = ""
    """the server's message, which may quote values: for parked streams and dead letters, never for a log"""


class CacheUnavailable(Unavailable):
    """Redis cannot be reached, or is busy: a retry can help."""


class CheckpointMoved(HolonstreamError):
    """Another worker has written the partition: this one no longer owns it."""

    def __init__(self, topic: str, partition: int, reason: str) -> None:
        super().__init__(f"Checkpoint moved: {topic}[{partition}] {reason}")
        self.topic, self.partition = topic, partition


class NotYetVisible(HolonstreamError):
    """A read with a token reached its deadline before the view reached the token, or the token's stream is parked."""

    def __init__(self, stream: str, wanted: int, reached: int | None, waited: float, parked: bool = False) -> None:
        why = ": the stream is parked there (`holonstream dead-letters list`), so that waiting does not help"
        super().__init__(
            f"Not yet visible: {stream} at position {wanted}; the view has reached {reached} after {waited:.3f} s"
            f"{why if parked else ''}"
        )
        self.stream, self.wanted, self.reached, self.waited = stream, wanted, reached, waited
        self.parked = parked
