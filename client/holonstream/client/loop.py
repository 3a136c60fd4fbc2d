"""An event loop in a thread of its own, for callers that block."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future
from types import TracebackType
from typing import Any, Self, TypeVar

from holonstream.schemas.errors import HolonstreamError
from holonstream.schemas.fork import forget_after_fork

R = TypeVar("R")


class ClientClosed(HolonstreamError):
    """A client was used outside of its ``with``."""


class LoopThread:
    """Runs coroutines for other threads between ``__enter__`` and ``__exit__``, also in a child forked there."""

    def __init__(self) -> None:
        self._entered = False
        self._forget()
        forget_after_fork(self)

    def _forget(self) -> object:
        """Start without a thread in a child that was forked; the first call there starts one."""
        dropped = self.__dict__.copy()
        self._starting = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        return dropped

    def __enter__(self) -> Self:
        self._entered = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._starting:
            self._entered = False
            loop, thread, self._loop = self._loop, self._thread, None
        if loop is not None:
            loop.call_soon_threadsafe(loop.stop)
        if thread is not None:
            thread.join()

    def run(self, start: Callable[[], Coroutine[Any, Any, R]]) -> R:
        """What the coroutine returns or raises; it is cancelled when the caller is interrupted. Raises ClientClosed."""
        loop = self._loop or self._start()
        task: asyncio.Task[Any] | None = None
        interrupted = False

        async def call() -> R:
            nonlocal task
            task = asyncio.current_task()
            if interrupted:
                raise asyncio.CancelledError
            return await start()

        try:
            return asyncio.run_coroutine_threadsafe(call(), loop).result()
        except CancelledError:
            raise ClientClosed("The client was closed by another thread while it answered") from None
        except Exception:
            raise
        except BaseException:
            # An interrupt may come anywhere above, also before the call has a future here. Either this thread sees the
            # task, or the task sees that it was interrupted.
            interrupted = True
            if task is not None:
                loop.call_soon_threadsafe(task.cancel)
            raise

    def _start(self) -> asyncio.AbstractEventLoop:
        with self._starting:
            if not self._entered:
                raise ClientClosed("The client is closed: use it inside `with SyncClient.from_settings() as client:`")
            if self._loop is None:
                ready: Future[asyncio.AbstractEventLoop] = Future()
                # A daemon, so that a program that ends without leaving the ``with`` does end.
                self._thread = threading.Thread(target=_serve, args=[ready], name="holonstream-client", daemon=True)
                self._thread.start()
                self._loop = ready.result()
            return self._loop


def _serve(ready: Future[asyncio.AbstractEventLoop]) -> None:
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        ready.set_result(loop)
        loop.run_forever()  # leaving the runner cancels what is still under way
