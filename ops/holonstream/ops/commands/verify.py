"""``holonstream verify``: fold the log again and compare it with the graph and the cache."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from holonstream.ops.command_line import CommandGroup, Duration, json_option, pass_settings
from holonstream.ops.output import counted, print_json, print_json_line, progress_interval, say, say_progress

if TYPE_CHECKING:
    from holonstream.ops.settings import Settings
    from holonstream.ops.verify.cache_finding import CacheTally
    from holonstream.ops.verify.finding import GraphFinding, GraphTally
    from holonstream.ops.verify.graph import GraphVerifier

_limit = click.option(
    "--limit",
    default=100,
    show_default=True,
    type=click.IntRange(0),
    help="Most findings to list; all are counted.",
)


@click.group(cls=CommandGroup)
def verify() -> None:
    """Compare graph or cache with the log, or the log with seals.

    Safe while everything runs. A difference is reported only if it is found again when it is read a second and third
    time, so events that are applied meanwhile are not reported.
    """


@verify.command("graph")
@json_option
@_limit
@click.option(
    "--repair",
    is_flag=True,
    help="Write entities that differ as the log says they are, and delete what the log does not have.",
)
@click.option(
    "--deadline",
    default="60s",
    show_default=True,
    type=Duration(),
    help="How long to wait until the graph has reached the events that it is compared with.",
)
@click.option(
    "--no-wait",
    is_flag=True,
    help="Compare the graph where it stands, when damage keeps its workers from continuing.",
)
@click.option(
    "--sample",
    metavar="N",
    type=click.IntRange(1),
    help="Compare the streams of N random events, repeatedly, instead of everything once.",
)
@click.option("--interval", default="10s", show_default=True, type=Duration(), help="Time between samples.")
@click.option("--rounds", default=0, type=click.IntRange(0), help="Samples to take; 0, the default, until SIGTERM.")
@pass_settings
def graph_command(
    settings: Settings,
    as_json: bool,
    limit: int,
    repair: bool,
    deadline: float,
    no_wait: bool,
    sample: int | None,
    interval: float,
    rounds: int,
) -> None:
    """Compare every entity of the graph with the fold of the log.

    Reads the log up to its gap-free position, waits until the graph's checkpoints have reached it, and compares labels,
    ends and every property. Prints each entity that differs, with both values and the first event of its stream after
    which log and graph differ. Parked streams are listed; they are not differences.

    Exits with 1 when anything differs, repaired or not: run it again to check a repair. A sample (--sample) is drawn
    from the log, so it does not find what only the graph has. With --json a sample prints one line of JSON per round.
    """
    if sample is None and rounds:
        raise click.UsageError("--rounds needs --sample")

    def found(finding: GraphFinding) -> None:
        if not as_json:
            say(finding.line())

    async def run() -> bool:
        async with _verifier(settings, None if no_wait else deadline, repair, found) as verifier:
            if sample is not None:
                return await _samples(verifier, sample, interval, rounds, limit, as_json)
            tally = await verifier.whole(limit)
            if as_json:
                print_json(tally.document())
            else:
                _print(tally)
                if tally.diverging and not repair:
                    say("to write what the log says: holonstream verify graph --repair", err=True)
                elif tally.kinds["altered"]:  # a worker may have written more events on top of the damage
                    say("the cache may hold what was wrong: holonstream verify cache --all --repair", err=True)
            return tally.diverging > 0

    if asyncio.run(run()):
        raise click.exceptions.Exit(1)


@verify.command("log")
@json_option
@click.option(
    "--seals",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="What `holonstream seal export` printed; without it the database's own seals, which can be changed with it.",
)
@click.option(
    "--public-key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Ed25519 public key (PEM) that must have signed them.",
)
@pass_settings
def log_command(settings: Settings, as_json: bool, seals: Path | None, public_key: Path | None) -> None:
    """Compare the log with its seals (docs/seals.md).

    Prints each event that was altered, removed, inserted or reordered since it was sealed. Events beyond the last seal
    are not compared. Exits with 1 when anything differs.
    """
    from holonstream.ops.verify.seals import verify_log

    if (seals is None) != (public_key is None):
        raise click.UsageError("--seals and --public-key go together")
    trusted = None
    if seals is not None and public_key is not None:
        from holonstream.ops.verify import signature

        trusted = signature.read_signed(seals, signature.public_key(public_key))
    verdict = verify_log(settings.log_dsn, trusted)
    if as_json:
        print_json(
            {
                "seals": verdict.seals,
                "events": verdict.events,
                "until": verdict.until,
                "frontier": verdict.frontier,
                "findings": [finding.document() for finding in verdict.findings],
            }
        )
    else:
        for finding in verdict.findings:
            say(finding.line())
        say(
            f"{counted(verdict.seals, 'seal')} up to position {verdict.until:,} of {verdict.frontier:,}: "
            f"{counted(verdict.events, 'event')}, {counted(len(verdict.findings), 'difference')}"
        )
    if verdict.findings:
        raise click.exceptions.Exit(1)


@verify.command("cache")
@json_option
@_limit
@click.option(
    "--sample",
    metavar="N",
    default=1_000,
    show_default=True,
    type=click.IntRange(1),
    help="How many entries to draw at random.",
)
@click.option("--all", "every", is_flag=True, help="Every entry instead of a sample.")
@click.option("--repair", is_flag=True, help="Delete the entries that are violations; always safe.")
@pass_settings
def cache_command(settings: Settings, as_json: bool, limit: int, sample: int, every: bool, repair: bool) -> None:
    """Compare cached holons with the log and the graph.

    An entry is equal, lagging (older than the log, by events that the cache group has not acknowledged), tombstone,
    awaited (a tombstone that the graph has not reached) or foreign (not an entry of this release). Violations are stale
    (older than an acknowledged event), altered (not what the log said at its position) and ahead (beyond the end of the
    log). Ages are seconds since the first missing event was recorded.

    Exits with 1 when there is a violation, deleted or not.
    """
    tally = asyncio.run(_cache(settings, None if every else sample, limit, repair, as_json))
    if as_json:
        print_json(tally.document())
    else:
        say(tally.line())
        if tally.unlisted:
            say(f"{counted(tally.unlisted, 'finding')} not listed (--limit)", err=True)
        if tally.violations and not repair:
            say("to delete what is wrong, in all entries: holonstream verify cache --all --repair", err=True)
    if tally.violations:
        raise click.exceptions.Exit(1)


@asynccontextmanager
async def _verifier(
    settings: Settings, deadline: float | None, repair: bool, found: Callable[[GraphFinding], None]
) -> AsyncIterator[GraphVerifier]:
    from holonstream.client import connections
    from holonstream.ops.verify.graph import PROGRESS, GraphVerifier
    from holonstream.ops.verify.log import EntityReader
    from holonstream.sinks.graph import schema
    from holonstream.sinks.graph.recovery.rebuild import content

    known = connections.catalogue(settings)
    with EntityReader(settings.log_dsn, known) as log:
        async with connections.graph_connection(settings) as connection:
            await schema.check(connection, known, settings.topic)
            if repair:
                await content(connection, settings.topic)  # not what belongs to another pipeline
            yield GraphVerifier(
                log,
                connection,
                known,
                settings.topic,
                deadline=deadline,
                repairs=repair,
                found=found,
                say=_say,
                progress=partial(say_progress, err=True),
                interval=progress_interval(PROGRESS, err=True),
            )


async def _samples(
    verifier: GraphVerifier, count: int, interval: float, rounds: int, limit: int, as_json: bool
) -> bool:
    """Take samples until SIGTERM. Returns whether anything differed."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    differed = False
    taken = 0
    while not stop.is_set():
        tally = await verifier.sample(count, limit)
        taken += 1
        differed = differed or tally.diverging > 0
        if as_json:
            print_json_line(tally.document())
        else:
            _print(tally)
        if taken == rounds:
            break
        try:
            async with asyncio.timeout(interval):
                await stop.wait()
        except TimeoutError:
            continue
    return differed


async def _cache(settings: Settings, count: int | None, limit: int, repair: bool, as_json: bool) -> CacheTally:
    from holonstream.client import connections
    from holonstream.ops import wiring
    from holonstream.ops.kafka import client
    from holonstream.ops.status import TopicStatus
    from holonstream.ops.verify.cache import CacheVerifier
    from holonstream.ops.verify.cache_finding import CacheFinding
    from holonstream.ops.verify.log import EntityReader

    def found(finding: CacheFinding) -> None:
        if not as_json:
            say(finding.line())

    def committed(topic: TopicStatus) -> dict[int, int]:
        group = topic.group(settings.group("cache"), topic.ends(), seconds=False)
        return {place.partition: place.position or 0 for place in group.partitions}

    known = connections.catalogue(settings)
    redis = connections.redis_client(settings, timeout=wiring.SINK_TIMEOUT)
    try:
        with (
            EntityReader(settings.log_dsn, known) as log,
            TopicStatus(client(settings), settings.topic) as topic,
        ):
            async with connections.graph_connection(settings) as connection:
                verifier = CacheVerifier(
                    redis,
                    settings.namespace,
                    log,
                    connection,
                    known,
                    settings.topic,
                    lambda: asyncio.to_thread(committed, topic),
                    repairs=repair,
                    found=found,
                )
                return await verifier.verify(count, limit)
    finally:
        await redis.aclose()


def _print(tally: GraphTally) -> None:
    say(tally.line())
    if unlisted := sum(tally.kinds.values()) - len(tally.listed):
        say(f"{counted(unlisted, 'finding')} not listed (--limit)", err=True)


def _say(line: str) -> None:
    say(line, err=True)
