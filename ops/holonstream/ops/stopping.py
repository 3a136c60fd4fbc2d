"""Ending a process when SIGTERM or SIGINT asks for it: in order if possible, and soon in any case.

What is ended by force must be safe against a crash at any point.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

log = structlog.get_logger(__name__)

STOP_TIME = 9.0  # seconds to end in order; `docker stop` kills after 10
SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT})


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM and SIGINT set; for the main thread, before it starts others.

    A process that has not ended within STOP_TIME, or that gets a second signal, is ended with exit code 1.
    """
    # Not by a handler: it runs in the main thread between any two of its steps. If that thread has just taken the
    # event's lock, the handler waits for it for ever.
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    stop = threading.Event()

    def await_signal() -> None:
        signal.sigwait(SIGNALS)
        stop.set()
        again = signal.sigtimedwait(SIGNALS, STOP_TIME)
        _end(1, f"second signal: {again.si_signo}" if again else f"after {STOP_TIME:g} s")

    threading.Thread(target=await_signal, name="stop", daemon=True).start()
    return stop


def run_until_signal(main: Callable[[asyncio.Event], Coroutine[Any, Any, int]]) -> int:
    """Run an asyncio program that ends when its event is set, as SIGTERM and SIGINT do; returns its exit code.

    One that has not ended within STOP_TIME after the signal is ended with exit code 0.
    """

    async def run() -> int:
        stop = asyncio.Event()

        def on_signal() -> None:
            stop.set()
            end_soon(0)

        for number in SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, on_signal)
        return await main(stop)

    return asyncio.run(run())


def end_soon(code: int) -> None:
    """End the process after STOP_TIME, if it has not ended by then."""
    timer = threading.Timer(STOP_TIME, _end, (code, f"after {STOP_TIME:g} s"))
    timer.daemon = True
    timer.start()


def _end(code: int, reason: str) -> None:
    log.error("stop.overdue", reason=reason)
    os._exit(code)
