"""An event loop in a thread of its own, for callers that block."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future
from types import TracebackType
from typing import Any, Self, TypeVar

from holonstream.schemas.errors import HolonstreamError

R = TypeVar("R")


class ClientClosed(HolonstreamError):
    """A client was used outside of its ``with``."""


class LoopThread:
    """Runs coroutines for other threads between ``__enter__`` and ``__exit__``."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        # A daemon, so that a program that ends without leaving the ``with`` does end.
        self._thread = threading.Thread(target=self._serve, name="holonstream-client", daemon=True)
        self._ready = threading.Event()

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.call_soon_threadsafe(loop.stop)
        self._thread.join()

    def run(self, start: Callable[[], Coroutine[Any, Any, R]]) -> R:
        """What the coroutine returns or raises; it is cancelled when the caller is interrupted. Raises ClientClosed."""
        loop = self._loop
        if loop is None:
            raise ClientClosed("The client is closed: use it inside `with SyncClient.from_settings() as client:`")
        future: Future[R] = asyncio.run_coroutine_threadsafe(start(), loop)
        try:
            return future.result()
        except CancelledError:
            raise ClientClosed("The client was closed by another thread while it answered") from None
        except BaseException:
            future.cancel()
            raise

    def _serve(self) -> None:
        with asyncio.Runner() as runner:
            self._loop = runner.get_loop()
            self._ready.set()
            self._loop.run_forever()  # leaving the runner cancels what is still under way
