"""``python -m tests.support.forking_client sync|async``: uses a client, forks, and uses it in both processes.

Prints a JSON object: what the child and the parent saw. Settings come from the environment.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from holonstream.client import Client, ClientSettings, SyncClient
from tests.support.event_log import person

SECONDS = 60  # after which a process that hangs is ended by a signal


def in_child(what: Callable[[], list[str]]) -> Any:
    """What the function returns in a forked child, or the signal that ended the child."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(SECONDS)
        os.close(reading)
        try:
            seen = what()
        except Exception as error:
            seen = [f"{type(error).__name__}: {error}"]
        with os.fdopen(writing, "w") as pipe:
            json.dump(seen, pipe)
        sys.exit()  # in the ordinary way: destructors and exit handlers run
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    return json.loads(said) if status == 0 and said else f"ended with status {status}"


def sync() -> dict[str, Any]:
    """With the client that blocks."""
    with SyncClient.from_settings() as client:

        def use(who: str) -> list[str]:
            (appended,) = client.append([person(who)])
            return [appended.stream, str(client.get_holon(who)), *(e.actor for e in client.get_events(subjects=[who]))]

        before = use("before")
        child = in_child(lambda: use("child"))
        grandchildren = in_child(lambda: [in_child(lambda: use("grandchild")), use("child-again")])
        return {"before": before, "child": child, "grandchildren": grandchildren, "after": use("after")}


def asynchronous() -> dict[str, Any]:
    """With the client for asyncio; the child makes a loop of its own."""
    loop = asyncio.new_event_loop()
    run: Callable[[Coroutine[Any, Any, Any]], Any] = loop.run_until_complete
    opening = Client.from_settings()
    client = run(opening.__aenter__())

    async def use(who: str) -> list[str]:
        (appended,) = await client.append([person(who)])
        events = [event.actor async for event in client.get_events(subjects=[who])]
        return [appended.stream, str(await client.get_holon(who)), *events]

    before = run(use("before"))
    child = in_child(lambda: asyncio.run(use("child")))
    seen = {"before": before, "child": child, "after": run(use("after"))}
    run(opening.__aexit__(None, None, None))
    loop.close()
    return seen


if __name__ == "__main__":
    signal.alarm(2 * SECONDS)
    ClientSettings.load()
    top = os.getpid()
    result = {"sync": sync, "async": asynchronous}[sys.argv[1]]()
    if os.getpid() == top:
        print(json.dumps(result))
