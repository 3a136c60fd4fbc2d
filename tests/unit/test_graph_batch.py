"""The fold of a batch: holes, parking, garbage collection, work in the background."""

from __future__ import annotations

import asyncio
import gc

import pytest
from msgspec.structs import replace

from holonstream.sinks.graph.read.pages import FetchedPage, floor, page
from holonstream.sinks.graph.write.background import Background, collection_paused
from holonstream.sinks.graph.write.partition import CACHED_BYTES, StateCache
from tests.conformance.graph_store import in_loop, log_of, person, states_of


def test_the_least_recently_written_states_leave_the_cache() -> None:
    states = states_of(log_of(*(person(name) for name in "abcd")))
    cache = StateCache(2)
    cache.update({k: states[k] for k in ("holon/a", "holon/b")})
    cache.update({"holon/a": states["holon/a"]})
    cache.update({"holon/c": states["holon/c"]})
    assert list(cache) == ["holon/a", "holon/c"]
    assert cache.get("holon/b") is None
    cache.clear()
    assert len(cache) == 0
    none = StateCache(0)
    none.update(states)
    assert len(none) == 0


def test_large_states_do_not_fill_the_memory() -> None:
    (state,) = states_of(log_of(person("a"))).values()
    large = replace(state, properties={"text": "x" * (CACHED_BYTES // 3), "list": [1, {"a": None}]})
    cache = StateCache(1_000)
    cache.update({f"holon/{i}": large for i in range(5)})
    assert list(cache) == ["holon/3", "holon/4"]
    cache.update({"holon/3": state})  # counts as what it is now
    cache.update({"holon/5": large})
    assert list(cache) == ["holon/4", "holon/3", "holon/5"]
    cache.update({"holon/6": replace(state, properties={"text": "x" * CACHED_BYTES})})
    assert list(cache) == ["holon/4", "holon/3", "holon/5"]


def test_collection_is_paused_and_comes_back_even_after_an_error() -> None:
    assert gc.isenabled()

    @collection_paused()
    def fail() -> None:
        raise KeyError(gc.isenabled())

    with pytest.raises(KeyError, match="False"):
        fail()
    assert gc.isenabled()
    gc.disable()
    try:
        with collection_paused():
            pass
        assert not gc.isenabled()  # it was off before, so it stays off
    finally:
        gc.enable()


@in_loop
async def test_work_in_the_background_ends_with_the_block() -> None:
    release = asyncio.Event()
    done: list[int] = []

    async def work(number: int) -> int:
        await release.wait()
        done.append(number)
        return number

    async with Background[int]() as background:
        await background.start(work(1))
        release.set()
        await background.then(work(2))
        assert done[:1] == [1]
        assert await background.result() == 2
        release.clear()
        await background.start(work(3))
        release.set()
    assert done == [1, 2, 3]


@in_loop
async def test_what_went_wrong_before_is_raised_before_the_next_begins() -> None:
    began: list[str] = []

    async def fail() -> None:
        raise ValueError("first")

    async def work() -> None:
        began.append("second")

    async def block() -> None:
        async with Background[None]() as background:
            await background.start(fail())
            await background.then(work())

    with pytest.raises(ValueError, match="first"):
        await block()
    assert began == []


@in_loop
async def test_a_cancelled_block_cancels_its_work() -> None:
    started = asyncio.Event()

    async def forever() -> None:
        started.set()
        await asyncio.get_running_loop().create_future()

    async def block() -> None:
        async with Background[None]() as background:
            await background.start(forever())
            await background.all()

    task = asyncio.create_task(block())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_a_floor_sorts_before_in_both_orders() -> None:
    assert floor("abc") == "abc"
    assert floor("ab\ud7ff") == "ab\ud7ff"
    assert floor("ab\uffffc") == "ab"
    assert floor("\U00010000") == ""


@in_loop
async def test_pages_are_asked_for_until_enough_pass() -> None:
    holons = sorted(
        (s for s in states_of(log_of(*(person(f"{i:03}") for i in range(50)))).values()), key=lambda s: s.id
    )
    asked: list[tuple[str, int]] = []

    async def fetch(start: str, size: int) -> FetchedPage:  # type: ignore[type-arg]
        asked.append((start, size))
        rows = [h for h in holons if h.id >= start][:size]
        states = [h for h in rows if h.id != "007"]  # one goes while it is read
        return FetchedPage(len(rows), states, rows[-1].id if rows else None)

    found = await page(fetch, lambda h: int(h.id) % 10 == 0, "005", 2)
    assert [h.id for h in found] == ["010", "020"]
    assert len(asked) > 1
    everything = await page(fetch, lambda h: True, None, None)
    assert len(everything) == 49


@in_loop
async def test_a_page_of_rows_without_states_is_passed_by() -> None:
    """Nodes of others, more of them than a page has rows."""
    holons = sorted(states_of(log_of(*(person(f"{i:03}") for i in range(20)))).values(), key=lambda s: s.id)
    asked: list[str] = []

    async def fetch(start: str, size: int) -> FetchedPage:  # type: ignore[type-arg]
        asked.append(start)
        assert len(asked) < 20, asked
        rows = [h for h in holons if h.id >= start][:size]
        return FetchedPage(len(rows), [h for h in rows if h.id > "014"], rows[-1].id if rows else None)

    assert [h.id for h in await page(fetch, lambda _: True, None, 3)] == ["015", "016", "017"]
