"""All processes of a pipeline over three brokers, its stores behind proxies, and whether everybody sees that it makes
progress.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic

import psycopg

from holonstream import local
from holonstream.client import NotYetVisible, SyncClient, Token, Unavailable
from holonstream.local import ports
from holonstream.local.temporary import temporary_stack
from holonstream.ops.commands.init import initialise
from holonstream.ops.processes import Processes
from holonstream.ops.settings import Settings
from tests.fix_pipeline import Pipeline
from tests.support.event_log import append, envelope
from tests.support.proxy import FaultProxy
from tests.support.scraping import Target
from tests.support.waiting import wait_until

# Seconds in which all parts must have caught up. 15 are promised; a loaded machine is slow, and what is to be excluded
# are the minute and more that clients wait by default.
LIMIT = 50.0
BROKERS = ("kafka", "kafka-2", "kafka-3")
PROXIED = {
    "postgres": "HOLONSTREAM_POSTGRES_DSN",
    "neo4j": "HOLONSTREAM_NEO4J_URI",
    "redis": "HOLONSTREAM_REDIS_URL",
}


class WatchedPipeline:
    """All processes of a pipeline over three brokers, and a service that reads."""

    def __init__(self, stack: local.Stack, pipeline: Pipeline, direct_dsn: str, proxies: dict[str, FaultProxy]) -> None:
        self.stack, self.pipeline, self.proxies = stack, pipeline, proxies
        self.exporter = Target(ports.choose(["exporter"])["exporter"])
        self._log = psycopg.connect(direct_dsn, autocommit=True)
        self.appended = 0

    def start(self) -> None:
        self.pipeline.start("relay", "graph", "graph-2", "cache", "cache-2")
        self.pipeline.processes.start("exporter", "exporter", metrics_port=self.exporter.port)

    def append(self) -> tuple[str, Token]:
        """One more person, appended past the proxies."""
        self.appended += 1
        name = f"p-{self.appended}"
        return name, Token.parse(append(self._log, [envelope(name)])[0][4])

    def recovers(self, reader: SyncClient, what: str, limit: float = LIMIT) -> None:
        """Check that an event that is appended now arrives everywhere, and that everybody says so."""
        began = monotonic()
        name, token = self.append()

        def within(condition: Callable[[], bool], part: str) -> str:
            wait_until(condition, f"{part} with {what}", limit - (monotonic() - began), every=0.2)
            return f"{monotonic() - began:.1f} s"

        read = within(lambda: self._is_read(reader, name, token), "a reader gets it")
        status = within(self._status_is_well, "status says that all is relayed and handled")
        exporter = within(lambda: self._exporter_is_well(token), "the exporter says so")
        print(f"{what}: read {read}, status {status}, exporter {exporter}")

    def _is_read(self, reader: SyncClient, name: str, token: Token) -> bool:
        try:
            return reader.get_holon(name, at_least=token, deadline=5.0) is not None
        except (Unavailable, NotYetVisible):
            return False

    def _status_is_well(self) -> bool:
        status = self.pipeline.json("status", "--json", "--timeout", "60s")
        return status["relay"]["lag"] == 0 and all(group["lag"] == 0 for group in status["groups"].values())

    def _exporter_is_well(self, token: Token) -> bool:
        found = self.exporter.scrape()
        head = found.value("holonstream_log_head_position") or 0
        lags = [found.value(f"holonstream_{name}") for name in ("relay_lag_events", "consumer_group_lag")]
        return head >= max(token.positions.values()) and lags == [0, 0]

    def check_topic(self) -> None:
        """Check that nothing was lost, doubled or reordered."""
        records = self.pipeline.records()
        for partition, events in records.items():
            positions = [event.position for event in events]
            assert positions == sorted(set(positions)), partition
        assert sum(map(len, records.values())) == self.appended

    def close(self) -> None:
        self._log.close()


@contextmanager
def watched_pipeline(logs: Path) -> Iterator[WatchedPipeline]:
    """Everything is up and initialised; no process of the pipeline has been started."""
    with ExitStack() as closing:
        stack = closing.enter_context(temporary_stack(brokers=3))
        environment = {
            **stack.env(),
            "HOLONSTREAM_NAMESPACE": "vanished",
            "HOLONSTREAM_PARTITIONS": "6",
            "HOLONSTREAM_METRICS_INTERVAL": "1",
            "HOLONSTREAM_COMMIT_INTERVAL": "0.2",
        }
        initialise(Settings.of(environment))
        direct_dsn = environment["HOLONSTREAM_POSTGRES_DSN"]
        proxies = {}
        for name, variable in PROXIED.items():
            port = re.search(r":(\d+)(?=$|/\w*$)", environment[variable])
            assert port is not None
            proxies[name] = closing.enter_context(FaultProxy(int(port[1])))
            environment[variable] = environment[variable].replace(f":{port[1]}", f":{proxies[name].port}")
        processes = closing.enter_context(Processes(environment, logs))
        made = WatchedPipeline(stack, Pipeline(environment, processes), direct_dsn, proxies)
        closing.callback(made.close)
        yield made
