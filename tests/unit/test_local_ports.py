"""Ports are free, distinct and kept."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from holonstream.local import LocalStackError, ports


def test_chosen_ports_are_distinct_free_and_below_the_ephemeral_range() -> None:
    chosen = ports.choose([f"port-{number}" for number in range(50)])
    assert len(set(chosen.values())) == 50
    assert all(ports.is_free(port) for port in chosen.values())
    assert max(chosen.values()) < int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])


def test_a_port_in_use_is_not_free_but_open() -> None:
    with socket.create_server((ports.LOOPBACK, 0)) as server:
        port = server.getsockname()[1]
        assert not ports.is_free(port)
        assert ports.is_open(port)
    assert not ports.is_open(port)


@pytest.mark.parametrize(
    "text",
    [
        '{"ports": {"kafka": 1,}}',
        "[]",
        "{}",
        '{"ports": [1]}',
        '{"ports": {"kafka": "1"}}',
        '{"ports": {"kafka": 0}}',
        "\xff",
    ],
)
def test_a_state_file_that_was_edited_wrongly_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "stack.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(LocalStackError, match=r"stack\.json must be JSON like"):
        ports.load(path)


def test_ports_are_kept_and_new_names_added(tmp_path: Path) -> None:
    path = tmp_path / "stack.json"
    assert ports.load(path) == {}
    first = ports.load_or_choose(path, ["kafka"])
    second = ports.load_or_choose(path, ["kafka", "redis"])
    assert second["kafka"] == first["kafka"]
    assert ports.load(path) == second
    assert second["redis"] != second["kafka"]
