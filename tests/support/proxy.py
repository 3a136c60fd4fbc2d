"""A TCP proxy between processes and one server, which cuts or stalls the connections."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

LOOPBACK = "127.0.0.1"
BYTES = 65_536  # read at once
PATIENCE = 2.0  # seconds for connections to end before they are cancelled
ROUNDS = 50  # at the end: somebody may connect again and again


class FaultProxy:
    """Forwards connections to a port of this machine; its loop runs in a thread of its own, inside of a ``with``.

    Cut, it breaks every connection and every new one. Stalled, it accepts connections and bytes and forwards
    nothing until it is restored, like a network that drops packets. Restored, it forwards, also what it held back.
    Replaced, the server is lost without a word: connections stay open in silence, and new ones reach its successor.
    """

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy-{target_port}", daemon=True)
        self._open: set[asyncio.StreamWriter] = set()
        self._pairs: set[tuple[asyncio.Event, asyncio.StreamWriter]] = set()
        self._flowing = asyncio.Event()
        self._never = asyncio.Event()
        self._cut = False
        self._server: asyncio.Server | None = None
        self.port = 0
        """where it listens, once entered"""
        self.rate: float | None = None
        """bytes per second that each connection forwards in each direction; None for as many as it can"""
        self.connections = 0
        """taken so far"""

    def __enter__(self) -> Self:
        self._thread.start()
        self.port = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self) -> None:
        """Break what is open, and everything new until restored."""
        self._call(self._set, True, True)

    def stall(self) -> None:
        """Keep what is open, forward nothing until restored."""
        self._call(self._set, False, False)

    def restore(self) -> None:
        """Forward again."""
        self._call(self._set, False, True)

    def replace_server(self) -> None:
        """Close what is open on the server's side only; new connections go through."""
        self._call(self._replace)

    def break_once(self) -> None:
        """Break what is open; new connections go through."""
        self._call(self._break)

    def lead_to(self, target_port: int) -> None:
        """Forward new connections to another port; what is open stays."""
        self._target_port = target_port

    def _call(self, function: Callable[..., None], *arguments: Any) -> None:
        done: Future[None] = Future()

        def run() -> None:
            function(*arguments)
            done.set_result(None)

        self._loop.call_soon_threadsafe(run)
        done.result(10)

    def _set(self, cut: bool, flowing: bool) -> None:
        self._cut = cut
        if cut:
            self._break()
        if flowing:
            self._flowing.set()
        else:
            self._flowing.clear()

    def _replace(self) -> None:
        for lost, target in self._pairs:
            lost.set()
            target.transport.abort()

    def _break(self) -> None:
        for writer in list(self._open):
            writer.transport.abort()

    async def _listen(self) -> int:
        self._flowing.set()
        self._server = await asyncio.start_server(self._serve, LOOPBACK, 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def _close(self) -> None:
        """End everything, then stop listening: asyncio leaves a connection open that it is just taking."""
        assert self._server is not None
        self._set(True, True)
        for _ in range(ROUNDS):
            for _ in range(3):  # a connection becomes a task of ours two turns of the loop after it was accepted
                turn = self._loop.create_future()
                self._loop.call_soon(turn.set_result, None)
                await turn
            if not (others := asyncio.all_tasks() - {asyncio.current_task()}):
                break
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.gather(*others, return_exceptions=True), PATIENCE)
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        both = [writer]
        self._open.add(writer)
        try:
            await self._flowing.wait()
            if self._cut:
                return
            answers, target = await asyncio.open_connection(LOOPBACK, self._target_port)
            both.append(target)
            self._open.add(target)
            lost = asyncio.Event()
            pair = lost, target
            self._pairs.add(pair)
            pumps = [asyncio.create_task(self._pump(reader, target)), asyncio.create_task(self._pump(answers, writer))]
            _, open_ = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            self._pairs.discard(pair)
            for pump in open_:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            if lost.is_set():
                await self._silence(reader)
        except (OSError, asyncio.CancelledError):
            pass  # the server is down, or we are closing: the caller sees a broken connection
        finally:
            for one in both:
                self._open.discard(one)
                one.close()
                with suppress(OSError):
                    await one.wait_closed()

    async def _silence(self, reader: asyncio.StreamReader) -> None:
        """Take what the client sends, until it gives up."""
        with suppress(OSError):
            while await reader.read(BYTES):
                pass

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(BYTES):
                await self._flowing.wait()
                if self._cut:
                    return
                sink.write(data)
                await sink.drain()
                if self.rate is not None:
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._never.wait(), len(data) / self.rate)
