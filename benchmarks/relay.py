"""How fast the relay drains a backlog and what it costs at a trickle, beside Debezium and a polling outbox.

All publish the same keys and values on topics of 12 partitions of the same broker, from the same PostgreSQL, in turns.
A drain is timed from the first twentieth of the records on the topic to the last record, so that starting is left out.
Debezium's slot collects the backlog while its connector is stopped. The processor time is that of the relay's process
(Connect's for Debezium), of PostgreSQL's session for it, and of Kafka; that of the program that appends is left out.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import psycopg
from confluent_kafka.admin import AdminClient

from benchmarks.bench import Bench, Meter, median
from benchmarks.figures import Figure
from benchmarks.relays import Contestant, Ours, OutboxRouter, PollingOutbox, counter, fill
from holonstream.ops.kafka import client
from holonstream.producers.log.schema import apply_schema
from holonstream.schemas.catalogue import Catalogue

SERVERS = ("postgres", "kafka")
BACKLOG = 200_000  # events; half of it when it must be quick
DRAINS = 5
WARM_DRAINS = 3  # of Debezium before these, for its JVM to compile; the brokers' gets warm with it
RATES = (100, 1_000)  # events a second
PROMISED_COST = {100: 40.0, 1_000: 55.0}  # % of a core
PROMISED_RATIO, PROMISED_RATE = 2.5, 100_000
INTERVAL = 0.01  # seconds between two commits of a trickle
TRICKLES = 3
SECONDS, LEAD_IN = 16.0, 3.0
DEADLINE = 600.0  # seconds

_pause = threading.Event()  # never set: waits


def measure(bench: Bench) -> list[Figure]:
    """Drains, then trickles."""
    dsn = bench.settings.log_dsn
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET wal_level = 'logical'")
        connection.execute("ALTER SYSTEM SET max_wal_size = '4GB'")
    bench.stack.stop("postgres")
    bench.stack.start("postgres")
    apply_schema(dsn, Catalogue.load())
    fill(dsn, _backlog(bench))
    with (
        tempfile.TemporaryDirectory() as folder,
        ExitStack() as closing,
        psycopg.connect(dsn, autocommit=True) as connection,
    ):
        routers = [OutboxRouter(bench, Path(folder), exactly_once=eos) for eos in (False, True)]
        with ThreadPoolExecutor(len(routers)) as pool:
            for router, opened in [(router, pool.submit(router.open)) for router in routers]:
                opened.result()
                closing.callback(router.close)
        contestants: list[Contestant] = [Ours(bench, Path(folder)), *routers, PollingOutbox(bench)]
        for contestant in contestants[:1] + contestants[-1:]:
            closing.callback(contestant.close)
        return _drains(bench, connection, contestants) + _trickles(bench, connection, contestants)


def _drains(bench: Bench, connection: psycopg.Connection[object], contestants: Sequence[Contestant]) -> list[Figure]:
    rates: dict[str, list[float]] = defaultdict(list)
    costs: dict[str, list[float]] = defaultdict(list)
    for _ in range(WARM_DRAINS):
        for contestant in contestants:
            if isinstance(contestant, OutboxRouter):
                drain(bench, connection, contestant)
    for _ in range(bench.rounds(DRAINS)):
        for contestant in contestants:
            rate, cost = drain(bench, connection, contestant)
            bench.note(f"{contestant.name}: {rate:,.0f} events/s, {cost:.1f} us an event")
            rates[contestant.name].append(rate)
            costs[contestant.name].append(cost)
    ours = contestants[0].name
    middle = {name: median(found) for name, found in rates.items()}
    figures = []
    for rival in [contestant.name for contestant in contestants[1:]]:
        promised = rival == "Debezium"
        figures.append(
            Figure(
                path=f"relay, backlog of {_backlog(bench):,} drained",
                value=middle[ours],
                unit="events/s",
                peer=rival,
                peer_value=middle[rival],
                promise=f">= {PROMISED_RATIO:g}x, >= {PROMISED_RATE:,} events/s" if promised else "",
                kept=middle[ours] >= max(PROMISED_RATIO * middle[rival], PROMISED_RATE) if promised else None,
                spread=(min(rates[ours]), max(rates[ours])),
                peer_spread=(min(rates[rival]), max(rates[rival])),
                processor=median(costs[ours]),
                peer_processor=median(costs[rival]),
            )
        )
    return figures


def drain(bench: Bench, connection: psycopg.Connection[object], contestant: Contestant) -> tuple[float, float]:
    """Events per second, and microseconds of processor time of an event."""
    backlog = _backlog(bench)
    contestant.backlog(connection, backlog)
    count = counter(AdminClient(client(bench.settings)), contestant.topic)
    before = count()
    contestant.start()
    _await(lambda: count() - before >= backlog // 20)
    meter = _meter(bench, connection, contestant)
    began, first = time.perf_counter(), count()
    _await(lambda: count() - before >= backlog)
    seconds, used = time.perf_counter() - began, sum(meter.used().values())
    contestant.stop()
    drained = before + backlog - first
    return drained / seconds, used / drained * 1e6


def _backlog(bench: Bench) -> int:
    return BACKLOG // 2 if bench.quick else BACKLOG


def _trickles(bench: Bench, connection: psycopg.Connection[object], contestants: Sequence[Contestant]) -> list[Figure]:
    costs: dict[tuple[str, int], list[dict[str, float]]] = defaultdict(list)
    if bench.quick:
        contestants = [contestant for contestant in contestants if not isinstance(contestant, PollingOutbox)]
    for _ in range(bench.rounds(TRICKLES)):
        for contestant in contestants:
            contestant.start()
            for rate in RATES:
                costs[contestant.name, rate].append(trickle(bench, connection, contestant, rate))
                bench.note(f"{contestant.name} at {rate:,} events/s: {_text(costs[contestant.name, rate][-1])} %")
            contestant.stop()
    figures = []
    for rate in RATES:
        ours = _shares(costs[contestants[0].name, rate])
        for rival in [contestant.name for contestant in contestants[1:]]:
            peer = _shares(costs[rival, rate])
            total, peer_total = sum(ours.values()), sum(peer.values())
            limit = {"Debezium": 1.5, "Debezium, exactly once": 1.0}.get(rival)
            most = PROMISED_COST[rate]
            figures.append(
                Figure(
                    path=f"relay at {rate:,} events/s ({_text(ours)})",
                    value=total,
                    unit="% of a core",
                    peer=f"{rival} ({_text(peer)})",
                    peer_value=peer_total,
                    promise=f"<= {most:g} %, <= {limit:g}x" if limit else "",
                    kept=total <= most and total <= limit * peer_total if limit else None,
                    spread=_spread(costs[contestants[0].name, rate]),
                    peer_spread=_spread(costs[rival, rate]),
                    processor=total / 100 / rate * 1e6,
                    peer_processor=peer_total / 100 / rate * 1e6,
                )
            )
    return figures


def trickle(
    bench: Bench, connection: psycopg.Connection[object], contestant: Contestant, rate: int
) -> dict[str, float]:
    """The share of a core that each part takes while events are committed at a steady rate."""
    each = max(1, round(rate * INTERVAL))
    count = counter(AdminClient(client(bench.settings)), contestant.topic)
    before = count()
    contestant.load(connection, each)
    _await(lambda: count() > before)  # it follows
    _load(connection, contestant, each, LEAD_IN)
    meter = _meter(bench, connection, contestant)
    _load(connection, contestant, each, bench.seconds(SECONDS))
    return meter.shares()


def _load(connection: psycopg.Connection[object], contestant: Contestant, each: int, seconds: float) -> None:
    began = time.perf_counter()
    for number in range(round(seconds / INTERVAL)):
        _pause.wait(max(0.0, began + number * INTERVAL - time.perf_counter()))
        contestant.load(connection, each)


def _meter(bench: Bench, connection: psycopg.Connection[object], contestant: Contestant) -> Meter:
    return Meter({**contestant.processes(connection), "Kafka": [bench.server("kafka")]})


def _shares(rounds: Sequence[dict[str, float]]) -> dict[str, float]:
    return {part: median([shares[part] for shares in rounds]) for part in rounds[0]}


def _spread(rounds: Sequence[dict[str, float]]) -> tuple[float, float]:
    totals = [sum(shares.values()) for shares in rounds]
    return min(totals), max(totals)


def _text(shares: dict[str, float]) -> str:
    return ", ".join(f"{part} {share:.0f}" for part, share in shares.items())


def _await(holds: object) -> None:
    assert callable(holds)
    until = time.monotonic() + DEADLINE
    while not holds():
        assert time.monotonic() < until, "nothing arrives on the topic"
        _pause.wait(0.02)
