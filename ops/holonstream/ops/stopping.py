"""Ending when SIGTERM or SIGINT asks for it: in order if that can be had, and soon in any case."""

from __future__ import annotations

import os
import signal
import threading

import structlog

log = structlog.get_logger(__name__)

STOP_TIME = 8.0  # seconds to end in order; `docker stop` kills after 10
SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT})


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM and SIGINT set; for the main thread, before it starts others.

    A process that has not ended within STOP_TIME, or is told a second time, is ended with exit code 1: what calls this
    must be safe against a crash at any point.
    """
    # Not by a handler: it runs in the main thread between any two of its steps, and an event's lock that the thread has
    # just taken is then never had.
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    stop = threading.Event()

    def await_signal() -> None:
        signal.sigwait(SIGNALS)
        stop.set()
        again = signal.sigtimedwait(SIGNALS, STOP_TIME)
        log.error("stop.overdue", reason=f"told again: signal {again.si_signo}" if again else f"after {STOP_TIME:g} s")
        os._exit(1)

    threading.Thread(target=await_signal, name="stop", daemon=True).start()
    return stop
