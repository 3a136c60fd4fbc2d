"""Free loopback ports, chosen once and kept."""

from __future__ import annotations

import json
import random
import socket
from collections.abc import Iterable
from pathlib import Path

from holonstream.local.errors import LocalStackError

LOOPBACK = "127.0.0.1"
_LOWEST = 15_000


def is_free(port: int) -> bool:
    """True if a server could listen on this loopback port now."""
    with socket.socket() as probe:
        # As the servers do: a port whose last connections are in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def is_open(port: int) -> bool:
    """True if something accepts connections on this loopback port."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((LOOPBACK, port)) == 0


def _lowest_ephemeral() -> int:
    try:
        return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except OSError:
        return 32_768


def choose(names: Iterable[str], taken: Iterable[int] = ()) -> dict[str, int]:
    """
    Choose a free port for each name, none twice and none of `taken`.

    The ports lie below the ephemeral range. From inside it, a client that keeps reconnecting to a stopped server is
    sooner or later given the server's own port as its source, connects to itself, and the server cannot come back.
    """
    used = set(taken)
    top = _lowest_ephemeral()
    lowest = _LOWEST if top > _LOWEST + 1_000 else 1_024
    chosen: dict[str, int] = {}
    for name in names:
        port = random.randrange(lowest, top)
        while port in used or not is_free(port):
            port = random.randrange(lowest, top)
        used.add(port)
        chosen[name] = port
    return chosen


def load(path: Path) -> dict[str, int]:
    """The ports kept in the state file `path`; empty if there is no such file.

    Raises LocalStackError when it holds anything else, as after a mistake in an editor.
    """
    try:
        ports = json.loads(path.read_bytes())["ports"]
        if not all(type(port) is int and 0 < port < 65_536 for port in ports.values()):
            raise ValueError("a port is a number from 1 to 65535")
    except FileNotFoundError:
        return {}
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise LocalStackError(f'{path} must be JSON like {{"ports": {{"redis": 16379}}}}: {error}') from error
    return dict(ports)


def load_or_choose(path: Path, names: Iterable[str]) -> dict[str, int]:
    """The ports kept in `path`, after choosing and keeping those still missing for `names`."""
    ports = load(path)
    missing = [name for name in names if name not in ports]
    if missing or not path.exists():
        ports |= choose(missing, ports.values())
        draft = path.with_suffix(".new")
        draft.write_text(json.dumps({"ports": ports}, indent=2) + "\n")
        draft.replace(path)
    return ports
