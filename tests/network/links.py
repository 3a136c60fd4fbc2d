"""Cables that are pulled: packets are dropped by rules in a network namespace that only the tests are in.

A host that is switched off answers nothing, not even with a reset. A frozen or killed process on one machine cannot
show that: its kernel acknowledges what comes, or closes the connections.
"""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


def require_own_network() -> None:
    """Nothing here may touch the machine's own rules."""
    assert [name for _, name in socket.if_nameindex()] == ["lo"], "as root, type: make test-unplugged"


@contextmanager
def unplugged(process: int) -> Iterator[None]:
    """No packet comes to a process, or from it, by any of the connections and listeners that it has now."""
    ports = {local for local, _ in _sockets(f"pid={process},")}
    rules = [rule for port in sorted(ports) for rule in (["--dport", str(port)], ["--sport", str(port)])]
    _change("-A", rules)
    try:
        yield
    finally:
        _change("-D", rules)


def lose_connections(port: int) -> None:
    """Drop the packets of all connections to a listener, for good; new ones are not touched."""
    ends = [(str(local), str(peer)) for local, peer in _sockets("ESTAB") if local == port]
    _change("-A", [["--sport", one, "--dport", other] for pair in ends for one, other in (pair, pair[::-1])])


def _sockets(having: str) -> Iterator[tuple[int, int]]:
    """The ports, local and of the peer, of the TCP sockets whose line has a text."""
    listed = subprocess.run(["ss", "-Htanp"], check=True, capture_output=True, text=True).stdout
    for line in listed.splitlines():
        if having in line:
            local, peer = line.split()[3:5]
            yield int(local.rpartition(":")[2]), int(peer.rpartition(":")[2].replace("*", "0"))


def _change(verb: str, rules: Iterable[list[str]]) -> None:
    lines = [" ".join([verb, "INPUT", "-i", "lo", "-p", "tcp", *rule, "-j", "DROP"]) for rule in rules]
    text = "\n".join(["*filter", *lines, "COMMIT", ""])
    subprocess.run(["iptables-restore", "--noflush"], input=text, text=True, check=True)
