"""
The real servers without Docker: PostgreSQL, Kafka, Neo4j and Redis as child processes on loopback.

    stack = Stack(Path(".local-stack"), progress=print)
    stack.up()
    os.environ |= stack.env()

Imports no other part of holonstream, so that tests, benchmarks and the command line can all use it.
"""

from __future__ import annotations

from holonstream.local.errors import LocalStackError
from holonstream.local.server import Status
from holonstream.local.stack import SERVICES, Stack, default_data_dir, versions

__all__ = ["SERVICES", "LocalStackError", "Stack", "Status", "default_data_dir", "versions"]
