"""A relay as a process of its own, to be killed: ``python -m tests.support.relay_process DSN BOOTSTRAP NAMESPACE``.

Prints a line per change: state, events relayed, position.
"""

from __future__ import annotations

import sys
import threading

from holonstream.producers.relay.progress import RelayProgress
from holonstream.producers.relay.relay import Relay


def say(progress: RelayProgress) -> None:
    """One line per change."""
    print(progress.state, progress.relayed, progress.position, flush=True)


if __name__ == "__main__":
    dsn, bootstrap, namespace = sys.argv[1:]
    Relay(dsn, bootstrap, namespace=namespace, batch_events=20, on_progress=say).run(threading.Event())
