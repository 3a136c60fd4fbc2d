"""TLS that follows its files: a certificate or an authority that was renewed counts from the next connection on.

A process runs for longer than a certificate. With one that was read at the start, a worker would go on until the first
broken connection after its end, and then never connect again.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

Stamp = tuple[int, int, int]
"""by which a file that was replaced is known: inode, time of change (ns), bytes"""


class RenewedContext(ssl.SSLContext):
    """Stands for the client's context that some files describe, which is made again when one of them was replaced.

    While they cannot be read, or certificate and key do not belong together, a new connection raises OSError, as
    ssl.SSLError is one; connections that are open stay as they are. For asyncio, which asks for `wrap_bio` alone.
    """

    def __new__(cls, *_: Path | None) -> RenewedContext:
        return super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)

    def __init__(self, ca: Path | None, cert: Path | None = None, key: Path | None = None) -> None:
        """`ca` has the authorities that are trusted, None for the system's; `cert` and `key` are our own, if any."""
        self._ca, self._cert, self._key = ca, cert, key
        self._made: ssl.SSLContext | None = None
        self._read: list[Stamp] = []

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        """A new connection's TLS, by the files as they are now."""
        return self._present().wrap_bio(*args, **kwargs)

    def _present(self) -> ssl.SSLContext:
        # Before they are read: what is replaced meanwhile is then read once more.
        now = [_stamp(file) for file in (self._ca, self._cert, self._key) if file is not None]
        if self._made is None or now != self._read:
            made = ssl.create_default_context(cafile=self._ca)
            if self._cert is not None:
                made.load_cert_chain(self._cert, self._key, password="")  # else it asks at the terminal
            self._made, self._read = made, now
        return self._made


def _stamp(file: Path) -> Stamp:
    found = file.stat()
    return found.st_ino, found.st_mtime_ns, found.st_size
