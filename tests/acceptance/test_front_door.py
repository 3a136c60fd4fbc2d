"""What a service's programmer sees first: README's example on an empty log, and the FastAPI service of examples/."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest

from holonstream.local import ports
from tests.fix_pipeline import Pipeline
from tests.support.pages import run_blocks
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
TOKEN = "Holonstream-Token"


def test_the_readme_does_what_it_says_on_an_empty_log(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in pipeline.environment.items():
        monkeypatch.setenv(name, value)
    pipeline.start("relay", "graph", "cache")
    page = (ROOT / "README.md").read_text()
    assert "```python\n" in page
    assert run_blocks(page) == page


@pytest.fixture
def service(pipeline: Pipeline, tmp_path: Path) -> Iterator[httpx.Client]:
    """The service of examples/python, served by uvicorn, with the whole pipeline behind it."""
    pipeline.start("relay", "graph", "cache")
    port = ports.choose(["service"])["service"]
    command = [sys.executable, "-m", "uvicorn", "service:app", "--port", str(port)]
    with (
        (tmp_path / "uvicorn.log").open("w") as log,
        subprocess.Popen(
            command, cwd=ROOT / "examples" / "python", env=os.environ | pipeline.environment, stdout=log, stderr=log
        ) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client,
    ):
        wait_until(lambda: _is_up(client, process), "the service answers", 60)
        yield client
        process.terminate()


def _is_up(client: httpx.Client, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, "the service has ended"
    try:
        return client.get("/openapi.json").status_code == 200
    except httpx.TransportError:
        return False


def test_the_service_hands_out_tokens_and_shows_a_caller_its_own_write(
    service: httpx.Client, pipeline: Pipeline
) -> None:
    for number in range(5):
        hired = service.put(f"/people/p-{number}", json={"name": f"Ada {number}"})
        assert hired.status_code == 201, hired.text
        found = service.get(f"/people/p-{number}", headers={TOKEN: hired.headers[TOKEN]})
        assert (found.status_code, found.json()) == (
            200,
            {"id": f"p-{number}", "version": 1, "name": f"Ada {number}"},
        )
    assert service.put("/people/p-1", json={"name": "another"}).status_code == 409
    assert service.get("/people/nobody").status_code == 404
    assert service.get("/people/p-1", headers={TOKEN: "no token"}).status_code == 400
    with psycopg.connect(pipeline.environment["HOLONSTREAM_POSTGRES_DSN"]) as connection:
        assert connection.execute("SELECT count(*) FROM people").fetchone() == (5,)
