"""Packages that are not part of the base install: which extra of holonstream brings them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from holonstream.schemas.errors import MissingExtra

EXTRA_OF = {
    "neo4j": "read",
    "redis": "read",
    "structlog": "read",
    "aiokafka": "worker",
    "confluent_kafka": "worker",
    "cramjam": "worker",
    "faust": "worker",
    "mode": "worker",
    "opentelemetry": "otel",
    "prometheus_client": "worker",
    "click": "cli",
    "cryptography": "seal",
    "fastapi": "console",
    "jinja2": "console",
    "dotenv": "cli",
    "jsonschema": "cli",
    "rich": "cli",
    "starlette": "console",
    "uvicorn": "console",
}
"""the extra to install for an import name that is missing"""


@contextmanager
def extras_needed() -> Iterator[None]:
    """Raise MissingExtra in place of a ModuleNotFoundError for a package that an extra brings."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRA_OF:
            raise
        raise MissingExtra(package, EXTRA_OF[package]) from None
