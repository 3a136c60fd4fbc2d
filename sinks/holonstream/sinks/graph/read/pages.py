"""Pages of states by id: Neo4j applies the prefilter, Python the filter itself.

Neo4j compares stored text by code point, but stored text with a parameter by UTF-16 unit: ids with characters beyond
U+D800 would be paged over. `floor` is a text that sorts before the page in both orders; Python drops what precedes it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from typing import Generic, NamedTuple, TypeVar

from holonstream.schemas.state import Holon, Relationship

S = TypeVar("S", Holon, Relationship)

NO_LIMIT = 2**62


class FetchedPage(NamedTuple, Generic[S]):
    """The answer to a query: how many rows, and the states in them (fewer, when some were deleted meanwhile)."""

    rows: int
    states: Collection[S]
    last: str | None
    """the id of the last row, which may be that of no state; None without rows"""


async def page(
    fetch: Callable[[str, int], Awaitable[FetchedPage[S]]],
    passes: Callable[[S], bool],
    after: str | None,
    limit: int | None,
) -> list[S]:
    """The first `limit` states after the id `after` that pass, by id.

    `fetch(floor, size)` gives the first `size` states, by id, whose ids are not below `floor`; in any order.
    """
    found: list[S] = []
    last = after
    while True:
        start = floor(last or "")
        exact = start == (last or "")
        size = NO_LIMIT if limit is None or not exact else limit - len(found) + 1  # `last` itself comes once more
        batch = await fetch(start, size)
        found += [state for state in batch.states if (last is None or state.id > last) and passes(state)]
        if batch.rows < size or (limit is not None and len(found) >= limit):
            found.sort(key=lambda state: state.id)
            return found[:limit]
        last = batch.last


def floor(text: str) -> str:
    """The longest beginning of the text that has no character from U+D800 on."""
    return next((text[:i] for i, c in enumerate(text) if c >= "\ud800"), text)
