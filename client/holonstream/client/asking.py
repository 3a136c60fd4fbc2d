"""Helpers for queries: a filter for a date, and one token from several."""

from __future__ import annotations

from holonstream.producers.log.append import Appended
from holonstream.schemas import instant
from holonstream.schemas.token import Token
from holonstream.sinks.store import RelationshipFilter


def as_of(at: str) -> RelationshipFilter:
    """A filter: the relationships that held at an instant, whether they have ended since or not.

    The first and the last instant of a relationship count.

    Raises InvalidEvent when `at` is no instant.

    Examples:
        >>> as_of("2001-06-01").effective_at
        '2001-06-01T00:00:00.000Z'
    """
    return RelationshipFilter(effective_at=instant.canonical(at), include_ended=True)


def merge_tokens(*tokens: Token | str | Appended) -> Token:
    """One token that asks for everything that any of these asks for, also for what was appended.

    Raises InvalidToken when a text is no token.

    Examples:
        >>> merged = merge_tokens(Token({"holon/a": 7}), Token({"holon/a": 4, "holon/b": 9}))
        >>> merged == Token({"holon/a": 7, "holon/b": 9})
        True
    """
    return Token().merge(*(token.token if isinstance(token, Appended) else Token.of(token) for token in tokens))
