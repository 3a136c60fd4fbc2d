"""The read API against the client in the same process: one caller, a hot holon and a page of relationships.

The server is a process of its own, as it is used; the caller keeps one connection. Rounds alternate.
"""

from __future__ import annotations

import asyncio
import re
import statistics
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import monotonic, perf_counter, sleep

import httpx

from benchmarks import environment
from benchmarks.bench import Bench
from benchmarks.figures import Figure
from holonstream.client import Client, Event
from holonstream.ops.commands.init import initialise
from holonstream.ops.processes import Processes

CALLS, ROUNDS = 300, 5
NEIGHBOURS = 50
STARTING = 60.0  # seconds

Call = Callable[[], Awaitable[object]]


async def _microseconds(call: Call) -> float:
    """Of a call, the median of many."""
    times = []
    for _ in range(CALLS):
        began = perf_counter()
        await call()
        times.append(perf_counter() - began)
    return statistics.median(times) * 1e6


def _address(log: Path) -> str:
    until = monotonic() + STARTING
    while monotonic() < until:
        if found := re.search(r"http://\S+", log.read_text()):
            return found[0]
        sleep(0.1)
    raise TimeoutError(f"the console did not start: {log.read_text()}")


def _facts() -> list[Event]:
    fact = {"occurred_at": "2024-03-01", "actor": "bench", "source_system": "bench"}
    facts = [Event(type="PersonCreated", subjects=("hub",), payload={"name": "Hub", "rank": "O-3"}, **fact)]  # type: ignore[arg-type]
    for n in range(NEIGHBOURS):
        payload = {"relationshipId": f"r-{n}", "relationshipType": "OCCUPIES"}
        facts.append(Event(type="AssignmentStarted", subjects=("hub", f"post-{n}"), payload=payload, **fact))  # type: ignore[arg-type]
    return facts


async def _measure(bench: Bench, address: str) -> list[Figure]:
    async with Client.from_settings(bench.settings) as client:
        appended = await client.append(_facts())
        for one in appended:
            await client.get_holon_relationships("hub", at_least=one.token, deadline=STARTING)
        async with httpx.AsyncClient(base_url=address, timeout=30) as http:

            async def ask(path: str) -> None:
                (await http.get(path)).raise_for_status()

            figures = []
            for path, url, call in (
                ("api, a hot holon", "/api/v1/holon?id=hub", lambda: client.get_holon("hub")),
                (
                    f"api, {NEIGHBOURS} relationships",
                    "/api/v1/holon/relationships?id=hub",
                    lambda: client.get_holon_relationships("hub", limit=101),
                ),
            ):
                ours, theirs = [], []
                await ask(url)
                for _ in range(bench.rounds(ROUNDS)):
                    theirs.append(await _microseconds(call))
                    ours.append(await _microseconds(lambda url=url: ask(url)))  # type: ignore[misc]
                figures.append(
                    Figure(
                        path=path,
                        value=statistics.median(ours),
                        unit="us",
                        peer="client in the process",
                        peer_value=statistics.median(theirs),
                        spread=(min(ours), max(ours)),
                        peer_spread=(min(theirs), max(theirs)),
                    )
                )
            return figures


def measure(bench: Bench) -> list[Figure]:
    """The API's cost beside the client's."""
    initialise(bench.settings)
    with tempfile.TemporaryDirectory() as folder:
        logs = Path(folder)
        with Processes(environment(bench.settings), logs) as processes:
            processes.start("relay", "relay")
            processes.start("graph", "worker", "graph")
            processes.start("cache", "worker", "cache")
            processes.start("console", "console", "--port", "0")
            return asyncio.run(_measure(bench, _address(logs / "console.log")))
