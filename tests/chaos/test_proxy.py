"""The fault proxy forwards, stalls, cuts and restores."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from tests.support.proxy import LOOPBACK, FaultProxy


@pytest.fixture
def echo_port() -> Iterator[int]:
    """A server that echoes."""
    with socket.create_server((LOOPBACK, 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                threading.Thread(target=echo, args=(connection,), daemon=True).start()

        def echo(connection: socket.socket) -> None:
            with connection:
                while data := connection.recv(1000):
                    connection.sendall(data)

        server = threading.Thread(target=serve)
        server.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
    server.join()


def connect(proxy: FaultProxy) -> socket.socket:
    return socket.create_connection((LOOPBACK, proxy.port), timeout=5)


def ask(connection: socket.socket, text: bytes) -> bytes:
    connection.sendall(text)
    return connection.recv(1000)


def is_broken(connection: socket.socket) -> bool:
    try:
        return ask(connection, b"anybody?") == b""
    except ConnectionError:
        return True


def test_it_forwards_stalls_cuts_and_restores(echo_port: int) -> None:
    with FaultProxy(echo_port) as proxy, connect(proxy) as kept:
        assert ask(kept, b"one") == b"one"
        proxy.stall()
        with connect(proxy) as new:
            for waiting in (kept, new):
                waiting.settimeout(0.2)
                with pytest.raises(TimeoutError):
                    ask(waiting, b"two")
                waiting.settimeout(5)
            proxy.restore()
            assert kept.recv(1000) == b"two"
            assert new.recv(1000) == b"two"
        proxy.cut()
        assert is_broken(kept)
        with connect(proxy) as refused:
            assert is_broken(refused)
        proxy.restore()
        with connect(proxy) as again:
            assert ask(again, b"four") == b"four"
            proxy.break_once()
            assert is_broken(again)
        with connect(proxy) as last:
            assert ask(last, b"five") == b"five"


def test_a_target_that_is_down_breaks_the_connection() -> None:
    with socket.create_server((LOOPBACK, 0)) as unused:
        port = unused.getsockname()[1]
    with FaultProxy(port) as proxy, connect(proxy) as refused:
        assert is_broken(refused)


def test_a_replaced_server_leaves_old_connections_silent(echo_port: int) -> None:
    with FaultProxy(echo_port) as proxy, connect(proxy) as kept:
        assert ask(kept, b"one") == b"one"
        proxy.replace_server()
        with connect(proxy) as new:
            assert ask(new, b"two") == b"two"
        kept.settimeout(0.3)
        with pytest.raises(TimeoutError):
            ask(kept, b"three")
