"""
The jars of Kafka and Neo4j, fetched once by Maven into a cache that all stacks of a user share.

A folder is named after its pom's content and appears by one rename: if it is there, it is complete.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from holonstream.local.errors import LocalStackError

_HERE = Path(__file__).parent
_PROGRESS_EVERY = 100  # files


def cache_dir() -> Path:
    """`$HOLONSTREAM_CACHE_DIR`, else `holonstream` in `$XDG_CACHE_HOME` or ~/.cache."""
    if own := os.environ.get("HOLONSTREAM_CACHE_DIR"):
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "holonstream"


def version(server: str, pom: Path | None = None) -> str:
    """The version of `server` that its pom asks for: "kafka" and "neo4j" have theirs here, others bring one."""
    pom = pom or _pom(server)
    match = re.search(r"</artifactId>\s*<version>(\d+\.[\d.]+)</version>", pom.read_text())
    assert match is not None, f"no version in {pom}"
    return match[1]


def folder(server: str, pom: Path | None = None) -> Path:
    """Where the jars of `server` are, once fetched."""
    digest = hashlib.sha256((pom or _pom(server)).read_bytes()).hexdigest()[:12]
    return cache_dir() / "jars" / f"{server}-{version(server, pom)}-{digest}"


def is_fetched(server: str) -> bool:
    """True if `fetch` has nothing to do."""
    return folder(server).is_dir()


def fetch(server: str, progress: Callable[[str], None], pom: Path | None = None) -> Path:
    """
    Make sure that the jars of `server` are in the cache and return their folder.

    Two that fetch at once do not harm each other: the second waits and finds them done.
    Raises LocalStackError if Maven fails.
    """
    target = folder(server, pom)
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    # One lock for both servers: Maven's own repository is not safe against two Mavens.
    with (target.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.is_dir():
            part = target.with_name(target.name + ".part")
            shutil.rmtree(part, ignore_errors=True)
            _download(server, pom or _pom(server), part, progress)
            part.rename(target)
    return target


def _pom(server: str) -> Path:
    return _HERE / f"{server}.pom.xml"


def _download(server: str, pom: Path, into: Path, progress: Callable[[str], None]) -> None:
    label = f"{server}: jars of {version(server, pom)}"
    progress(f"{label}: downloading with Maven (the first time only)")
    began = time.monotonic()
    maven = subprocess.Popen(
        [
            *("mvn", "-B", "-Dstyle.color=never", "-f", str(pom), "dependency:copy-dependencies"),
            *(f"-DoutputDirectory={into}", "-DincludeScope=runtime"),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    errors: list[str] = []
    files = 0
    with maven:
        assert maven.stdout is not None
        for line in maven.stdout:
            if line.startswith("[ERROR]"):
                errors.append(line.removeprefix("[ERROR]").strip())
            elif "Downloaded from" in line:
                files += 1
                if files % _PROGRESS_EVERY == 0:
                    progress(f"{label}: {files} files downloaded ({time.monotonic() - began:.0f} s)")
    if maven.returncode != 0:
        reason = errors[0] if errors else f"exit code {maven.returncode}"
        raise LocalStackError(f"Maven could not download {server} {version(server, pom)}: {reason}")
    progress(f"{label}: ready after {time.monotonic() - began:.1f} s")
