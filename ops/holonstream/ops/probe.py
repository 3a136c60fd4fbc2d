"""Asks a holonstream process on this machine for its health: ``python -m holonstream.ops.probe livez`` (or ``readyz``).

For the health checks of containers, which run it every few seconds: only the standard library, and not the whole of
``holonstream``. Exits with 1, and the reason on standard output, when the answer is no, or none. A process without
HOLONSTREAM_METRICS_PORT serves no such page and cannot be asked; the exit code is 0 then.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException

TIMEOUT = 4.0  # seconds
EVERY_ADDRESS = {"", "0.0.0.0", "::"}


def main(page: str, environment: Mapping[str, str] = os.environ) -> int:
    """The exit code."""
    port = int(environment.get("HOLONSTREAM_METRICS_PORT") or 0)
    if port == 0:
        return 0
    host = environment.get("HOLONSTREAM_METRICS_HOST", "")
    connection = HTTPConnection("127.0.0.1" if host in EVERY_ADDRESS else host, port, timeout=TIMEOUT)
    try:
        connection.request("GET", f"/{page}")
        response = connection.getresponse()
        reason = response.read(2_000).decode(errors="replace").strip()
    except (OSError, HTTPException) as error:
        reason = f"no answer on port {port}: {error}"
    else:
        if response.status == 200:
            return 0
    for line in reason.splitlines():  # names of others may be in it
        print("".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line))
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
