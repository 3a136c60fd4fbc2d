"""``holonstream events``: browse the log, or follow it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, ParamSpec

import click

from holonstream.ops.command_line import (
    EVENT,
    INSTANT,
    POSITION,
    CommandGroup,
    Duration,
    is_position,
    json_always_option,
    json_option,
    pass_settings,
)
from holonstream.ops.output import print_json, print_json_line, say

if TYPE_CHECKING:
    from holonstream.ops.settings import Settings
    from holonstream.producers.log.store import PostgresEventStore
    from holonstream.schemas.event import RecordedEvent

P = ParamSpec("P")

SHOWN = 100  # characters of a payload on the line of an event


@dataclass(frozen=True, slots=True)
class EventFilters:
    """Which events are meant: those that satisfy all of these."""

    type: tuple[str, ...]
    subjects: tuple[str, ...]
    actor: str | None
    start_time: str | None
    end_time: str | None

    def arguments(self) -> dict[str, Any]:
        """As `EventStore.get_events` takes them."""
        return {**asdict(self), "type": self.type or None, "subjects": self.subjects or None}


def _filters(command: Callable[P, None]) -> Callable[P, None]:
    """The options that choose events, given to the command as `filters`."""

    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        chosen = EventFilters(
            *(kwargs.pop(name) for name in ("types", "subjects", "actor", "since", "until"))  # type: ignore[arg-type]
        )
        kwargs["filters"] = chosen
        return command(*args, **kwargs)

    wrapped = update_wrapper(run, command)
    for option in (
        click.option("--until", type=INSTANT, help="Occurred at that instant, or before it."),
        click.option("--since", type=INSTANT, help="Occurred at that instant, or after it."),
        click.option("--actor", help="By this actor."),
        click.option("--subject", "subjects", multiple=True, help="About this id; repeatable: any of them."),
        click.option("--type", "types", multiple=True, help="Of this type; repeatable: any of them."),
    ):
        wrapped = option(wrapped)
    return wrapped


@click.group(cls=CommandGroup)
def events() -> None:
    """Browse the events of the log, or follow them.

    Events come in the order of the log. What is not gap-free yet (a transaction that has appended is open) is not
    shown, so that nothing can be missed.
    """


@events.command("list")
@_filters
@click.option("--after", type=POSITION, help="The first ones beyond this position.")
@click.option(
    "--limit", default=100, show_default=True, type=click.IntRange(1), help="How many: the last ones, or see --after."
)
@json_option
@pass_settings
def list_command(settings: Settings, filters: EventFilters, after: int | None, limit: int, as_json: bool) -> None:
    """List events, a line each.

    A line has position, instant, type, stream with version, actor and the beginning of the payload; `events show` has
    all of an event. Exits with 1 when events cannot be read, and names them, after the others.
    """
    from holonstream.producers.errors import UnreadableEvents

    unreadable = None
    documents = []
    with _opened(settings) as store:
        if after is None:
            after = store.before_last(limit, **filters.arguments())
        try:
            for event in store.get_events(**filters.arguments(), after=after, limit=limit):
                if as_json:
                    documents.append(event_document(event))
                else:
                    say(line(event))
        except UnreadableEvents as error:
            unreadable = error
    if as_json:
        print_json(documents)
    if unreadable is not None:
        raise unreadable


@events.command("show")
@click.argument("event", type=EVENT)
@json_always_option
@pass_settings
def show_command(settings: Settings, event: str) -> None:
    """Print one event whole, as JSON.

    EVENT is its id or its position.
    """
    from holonstream.schemas.errors import BadData

    with _opened(settings) as store:
        if is_position(event):
            found = next(iter(store.get_events(after=int(event) - 1, limit=1)), None)
            found = found if found is not None and found.position == int(event) else None
        else:
            found = store.get_event(event)
    if found is None:
        raise BadData(f"No such event: the log has none of {'position' if is_position(event) else 'id'} {event}")
    print_json(event_document(found))


@events.command("tail")
@_filters
@click.option("--last", default=10, show_default=True, type=click.IntRange(0), help="Begin with so many earlier ones.")
@click.option("--after", type=POSITION, help="Begin beyond this position instead.")
@click.option("--interval", default="500ms", show_default=True, type=Duration(), help="Time between two polls.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document a line.")
@pass_settings
def tail_command(
    settings: Settings, filters: EventFilters, last: int, after: int | None, interval: float, as_json: bool
) -> None:
    """Follow the log: print events as they come, until Ctrl-C.

    Continues after an outage of PostgreSQL, which is a line on standard error.
    """
    from holonstream.producers.errors import BeyondLog

    with _opened(settings) as store:
        if after is not None and after > (end := store.frontier()):
            raise BeyondLog(after, end)
        reached = store.before_last(last, **filters.arguments()) if after is None else after
        for event in _follow(store, filters, reached, interval):
            if as_json:
                print_json_line(event_document(event))
            else:
                say(line(event))


def _follow(store: PostgresEventStore, filters: EventFilters, reached: int, interval: float) -> Iterator[RecordedEvent]:
    """Events beyond a position, as they come. What stands in the way is a line on standard error, once."""
    from holonstream.producers.errors import UnreadableEvents
    from holonstream.schemas.errors import Unavailable

    pause = threading.Event()
    noted = ""
    while True:
        try:
            frontier = store.frontier()  # before the events: all up to it are then in what is read
            for event in store.get_events(**filters.arguments(), after=reached):
                reached = event.position
                yield event
            reached, noted = max(reached, frontier), ""
        except UnreadableEvents as error:
            reached = max(reached, frontier, *error.faults)
            say(f"error: {error}", err=True)
        except Unavailable as error:
            if noted != (noted := str(error)):
                say(f"error: {' '.join(noted.split())}", err=True)
        pause.wait(interval)


def _opened(settings: Settings) -> PostgresEventStore:
    from holonstream.client.connections import catalogue, event_store

    return event_store(settings, catalogue(settings), max_connections=2)


def line(event: RecordedEvent) -> str:
    """An event on one line."""
    from holonstream.schemas import jsontext

    payload = jsontext.encode(event.payload).decode()
    shown = payload if len(payload) <= SHOWN else f"{payload[: SHOWN - 1]}…"
    place = f"{event.stream} v{event.version}"
    return f"{event.position:>10,}  {event.occurred_at}  {event.type}  {place}  {event.actor}  {shown}"


def event_document(event: RecordedEvent) -> dict[str, Any]:
    """An event with its place as JSON values: its envelope, and what the log added."""
    from holonstream.schemas.event import camel_case

    found = {camel_case(name): value for name, value in asdict_of(event).items()}
    return {name: value for name, value in found.items() if value is not None}


def asdict_of(event: RecordedEvent) -> dict[str, Any]:
    """The fields of an event, position first."""
    import msgspec

    fields = {name: getattr(event, name) for name in event.__struct_fields__}
    builtins: dict[str, Any] = msgspec.to_builtins(fields)
    return {"position": builtins.pop("position"), **builtins}
