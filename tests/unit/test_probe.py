"""The health check of a container asks the process's own pages."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from holonstream.local.ports import choose
from holonstream.ops.probe import main

PAGES = {"/livez": (200, b"ok"), "/readyz": (503, b"graph: lags, and does not move")}


class _Pages(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status, body = PAGES[self.path]
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _Pages) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield str(server.server_port)
        server.shutdown()
        serving.join()


@pytest.mark.parametrize("host", ["", "0.0.0.0", "127.0.0.1"])
def test_a_process_that_lives_is_healthy(port: str, host: str) -> None:
    assert main("livez", {"HOLONSTREAM_METRICS_PORT": port, "HOLONSTREAM_METRICS_HOST": host}) == 0


def test_a_process_that_is_not_ready_gives_its_reason(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main("readyz", {"HOLONSTREAM_METRICS_PORT": port}) == 1
    assert capsys.readouterr().out == "graph: lags, and does not move\n"


def test_one_that_does_not_answer_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    assert main("livez", {"HOLONSTREAM_METRICS_PORT": str(choose(["nobody"])["nobody"])}) == 1
    assert "no answer on port" in capsys.readouterr().out


@pytest.mark.parametrize("environment", [{}, {"HOLONSTREAM_METRICS_PORT": ""}, {"HOLONSTREAM_METRICS_PORT": "0"}])
def test_one_without_a_port_is_not_asked(environment: dict[str, str]) -> None:
    assert main("livez", environment) == 0


def test_it_imports_nothing_that_takes_long() -> None:
    script = "import sys, holonstream.ops.probe; print([name for name in sys.modules if name.split('.')[0] in {%s}])"
    heavy = "'click', 'pydantic', 'faust', 'neo4j', 'confluent_kafka'"
    done = subprocess.run([sys.executable, "-c", script % heavy], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
