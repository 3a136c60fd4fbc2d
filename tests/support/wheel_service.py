"""A user's service: a script beside packages of its own that have the names of holonstream's parts.

``wheel_service.py append`` appends and shows what was loaded for it; ``wheel_service.py read TOKEN`` reads.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module

from holonstream.client import Event, MissingExtra, SyncClient, append_in

NAME = import_module("schemas.orders").NAME  # the service's own
HEAVY = [
    "aiokafka",
    "click",
    "confluent_kafka",
    "faust",
    "jsonschema",
    "mode",
    "neo4j",
    "pydantic",
    "redis",
    "structlog",
]


def append() -> None:
    """Append through the client and in a transaction of the service's own; then try to read."""
    import psycopg

    from holonstream.client import ClientSettings

    def event(subject: str) -> Event:
        return Event(
            type="PersonCreated",
            occurred_at="2024-03-01",
            actor="service",
            subjects=(subject,),
            source_system="test",
            payload={"name": NAME},
        )

    with SyncClient.from_settings() as client:
        (appended,) = client.append([event("ada")])
        with psycopg.connect(ClientSettings.load().log_dsn) as connection:
            (second,) = append_in(connection, [event("bob")])
        past = client.get_holon("ada", at=appended.position)
        loaded = sorted(set(HEAVY) & {name.partition(".")[0] for name in sys.modules})
        try:
            client.get_holon("ada")
            missing = "nothing"
        except MissingExtra as error:
            missing = str(error)
    print(
        json.dumps(
            {
                "token": str(appended.token),
                "streams": [appended.stream, second.stream],
                "past": past and past.properties,
                "loaded": loaded,
                "missing": missing,
            }
        )
    )


def read(token: str) -> None:
    """Read what was appended."""
    with SyncClient.from_settings() as client:
        holon = client.get_holon("ada", at_least=token)
        print(json.dumps(holon and holon.properties))


if __name__ == "__main__":
    if sys.argv[1] == "append":
        append()
    else:
        read(sys.argv[2])
