"""Consistency tokens: the log positions that a reader must see.

A token is opaque text for its bearer. Inside it is ``h1.`` and the unpadded base64url of the JSON object
``{stream: position}``; `append_events` in PostgreSQL makes the same text.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field

from holonstream.schemas import jsontext
from holonstream.schemas.errors import BadData, InvalidToken

PREFIX = "h1."
MAX_POSITION = 2**63 - 1  # of a log


@dataclass(frozen=True, slots=True)
class Token:
    """The position, per stream, that a read must have reached."""

    positions: Mapping[str, int] = field(default_factory=dict)

    def merge(self, *others: Token) -> Token:
        """The token that requires what all of them together require."""
        merged = dict(self.positions)
        for other in others:
            for stream, position in other.positions.items():
                merged[stream] = max(position, merged.get(stream, 0))
        return Token(merged)

    def __str__(self) -> str:
        body = jsontext.encode_sorted(dict(self.positions))
        return PREFIX + base64.urlsafe_b64encode(body).rstrip(b"=").decode()

    @classmethod
    def parse(cls, text: str) -> Token:
        """Read a token's text. Raises InvalidToken when it is not one."""
        body = text.removeprefix(PREFIX)
        if body == text:
            raise InvalidToken(f"Invalid token: {text[:80]!r} does not start with {PREFIX!r}")
        try:
            positions = jsontext.decode(base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True))
        except (ValueError, BadData) as error:
            raise InvalidToken(f"Invalid token: {text[:80]!r} ({error})") from error
        if not isinstance(positions, dict) or not all(
            type(p) is int and 0 <= p <= MAX_POSITION for p in positions.values()
        ):
            raise InvalidToken(f"Invalid token: {text[:80]!r} does not map streams to positions")
        return cls(positions)

    @classmethod
    def of(cls, token: Token | str) -> Token:
        """The token itself, or the one that a text holds. Raises InvalidToken."""
        if isinstance(token, Token):
            return token
        if not isinstance(token, str):  # such as what `append` returned, in place of its token
            raise InvalidToken(f"Invalid token: {token!r} is no text")
        return cls.parse(token)
