"""What a stranger installs: the wheel alone, beside packages of the service's own that have our folders' names."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from holonstream import local
from holonstream.client.settings import PREFIX
from holonstream.producers.log.schema import apply_schema
from holonstream.producers.log.store import PostgresEventStore
from tests.conformance.graph_store import CATALOGUE
from tests.integration.graph_kit import TOPIC, feed, ready, sink

ROOT = Path(__file__).parents[2]
FOLDERS = ["schemas", "producers", "sinks", "streams", "client", "ops", "local", "holonstream_testing"]
UNWANTED = {
    "neo4j",
    "redis",
    "faust-streaming",
    "confluent-kafka",
    "aiokafka",
    "click",
    "pydantic",
    "structlog",
    "rich",
}


def run(
    *arguments: str | Path, code: int = 0, environment: Mapping[str, str] = MappingProxyType({})
) -> subprocess.CompletedProcess[str]:
    """Run a program without settings of this process; assert how it ends."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HOLONSTREAM_", "PYTHON"))}
    ended = subprocess.run(
        list(map(str, arguments)),
        env=kept | dict(environment),
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert ended.returncode == code, ended.stdout + ended.stderr
    return ended


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT)
    return folder


def wheel_of(built: Path) -> Path:
    (wheel,) = built.glob("*.whl")
    return wheel


def test_the_wheel_holds_the_namespace_and_the_files_that_the_code_reads_only(built: Path) -> None:
    names = set(zipfile.ZipFile(wheel_of(built)).namelist())
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"holonstream"}
    assert "holonstream/__init__.py" not in names
    assert not [name for name in names if name.startswith(("holonstream/demo", "holonstream/benchmarks"))]
    tracked = run("git", "-C", ROOT, "ls-files").stdout.split()
    for name in tracked:
        folder, _, rest = name.partition("/")
        if folder in FOLDERS and rest.startswith("holonstream/"):
            assert rest in names, f"{name} is not in the wheel"
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        folders = {member.split("/")[1] for member in archive.getnames() if "/" in member}
    assert not {"tests", "docs", "demo", "benchmarks", "terraform"} & folders


@pytest.fixture
def service(tmp_path: Path) -> Path:
    """The service's folder: its script, and packages of its own."""
    folder = tmp_path / "service"
    for name in FOLDERS:
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text("")
    (folder / "schemas" / "orders.py").write_text('NAME = "Ada"\n')
    shutil.copy(ROOT / "tests" / "support" / "wheel_service.py", folder / "service.py")
    return folder


def test_a_service_appends_with_the_base_install_and_reads_with_an_extra(
    built: Path, service: Path, tmp_path: Path, stack: local.Stack, postgres_dsn: str, neo4j_uri: str
) -> None:
    apply_schema(postgres_dsn, CATALOGUE)
    run(sys.executable, "-m", "venv", tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    install: list[str | Path] = [
        python,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "-c",
        ROOT / "constraints.txt",
    ]
    run(*install, wheel_of(built))

    installed = json.loads(run(python, "-m", "pip", "list", "--format=json").stdout)
    assert not UNWANTED & {distribution["name"].lower().replace("_", "-") for distribution in installed}

    down = {
        f"{PREFIX}POSTGRES_DSN": postgres_dsn,
        f"{PREFIX}NEO4J_URI": "bolt://127.0.0.1:9",
        f"{PREFIX}REDIS_URL": "redis://127.0.0.1:9/0",
    }
    appended = run(python, service / "service.py", "append", environment=down)
    seen = json.loads(appended.stdout)
    token = seen.pop("token")
    assert seen["missing"] in {
        f"The package {name} is not installed, type: pip install 'holonstream[read]'"
        for name in ("neo4j", "redis", "structlog")
    }
    del seen["missing"]
    assert seen == {"streams": ["holon/ada", "holon/bob"], "past": {"name": "Ada"}, "loaded": []}

    refused = run(tmp_path / "venv" / "bin" / "holonstream", "--help", code=1)
    assert refused.stderr == "error: The package click is not installed, type: pip install 'holonstream[cli]'\n"

    asyncio.run(project(postgres_dsn, neo4j_uri))
    run(*install, f"{wheel_of(built)}[read]")
    reading = stack.env() | {f"{PREFIX}POSTGRES_DSN": postgres_dsn, f"{PREFIX}NAMESPACE": TOPIC.removesuffix(".events")}
    assert json.loads(run(python, service / "service.py", "read", token, environment=reading).stdout) == {"name": "Ada"}


async def project(dsn: str, uri: str) -> None:
    """Bring the log into the graph, as a worker does."""
    with PostgresEventStore(dsn, CATALOGUE) as log:
        events = list(log.read())
    async with ready(uri) as connection:
        await feed(sink(connection), events)
