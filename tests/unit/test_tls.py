"""A context that follows its files, between two ends that shake hands."""

from __future__ import annotations

import asyncio
import shutil
import ssl
from pathlib import Path

import pytest
import trustme

from holonstream.schemas.tls import RenewedContext


async def shakes_hands(context: ssl.SSLContext, server: ssl.SSLContext) -> bool:
    """Whether a client and a server that wants a certificate take each other's."""
    taken: list[bool] = []

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0, ssl=server) as listener:
        port = listener.sockets[0].getsockname()[1]
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
            taken.append(await reader.read(5) == b"hello")
            writer.close()
        except (ssl.SSLError, ConnectionError):
            return False
    return taken == [True]


def server_of(authority: trustme.CA) -> ssl.SSLContext:
    """Has a certificate by the authority, and wants one by it."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def write(folder: Path, authority: trustme.CA) -> None:
    issued = authority.issue_cert("client.example")
    authority.cert_pem.write_to_path(folder / "ca")
    issued.cert_chain_pems[0].write_to_path(folder / "cert")
    issued.private_key_pem.write_to_path(folder / "key")


def test_the_next_connection_has_what_the_files_have(tmp_path: Path) -> None:
    first, second = trustme.CA(), trustme.CA()
    write(tmp_path, first)
    context = RenewedContext(tmp_path / "ca", tmp_path / "cert", tmp_path / "key")
    assert asyncio.run(shakes_hands(context, server_of(first)))
    assert not asyncio.run(shakes_hands(context, server_of(second)))
    write(tmp_path, second)
    assert asyncio.run(shakes_hands(context, server_of(second)))
    assert not asyncio.run(shakes_hands(context, server_of(first)))  # what is not in the files is not trusted any more


def test_files_that_do_not_fit_yet_are_read_again(tmp_path: Path) -> None:
    first, second = trustme.CA(), trustme.CA()
    write(tmp_path, first)
    context = RenewedContext(tmp_path / "ca", tmp_path / "cert", tmp_path / "key")
    context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="127.0.0.1")
    (tmp_path / "new").mkdir()
    write(tmp_path / "new", second)
    shutil.copy(tmp_path / "new" / "cert", tmp_path / "cert")
    for _ in range(2):  # each time
        with pytest.raises(OSError, match="mismatch"):
            context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="127.0.0.1")
    (tmp_path / "key").unlink()
    with pytest.raises(FileNotFoundError):
        context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="127.0.0.1")
    write(tmp_path, second)
    assert asyncio.run(shakes_hands(context, server_of(second)))
