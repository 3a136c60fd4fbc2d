"""
The jars of Java servers, fetched once by Maven into a cache that all stacks of a user share.

A folder is named after what it is made from, and appears by one rename: if it is there, it is complete. What an
interrupted download had fetched stays in Maven's own repository, where the next one continues.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from threading import Event

from holonstream.local.errors import LocalStackError

_HERE = Path(__file__).parent
_SOURCES = {"neo4j": _HERE / "Neo4jServer.java"}
"""Main classes of ours, compiled into the folder of a server's jars."""

_PROGRESS_EVERY = 100  # files
_ATTEMPTS = 3
_THREADS = 16  # files of one server that Maven downloads at once
_RELEASE = "17"  # the oldest Java that may run what is compiled here
_SHORT_LIFE = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")  # Maven and javac end before better code would pay


def cache_dir() -> Path:
    """`$HOLONSTREAM_CACHE_DIR`, else `holonstream` in `$XDG_CACHE_HOME` or ~/.cache."""
    if own := os.environ.get("HOLONSTREAM_CACHE_DIR"):
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(base) if base else Path.home() / ".cache") / "holonstream"
    except RuntimeError as error:  # neither $HOME nor an entry in passwd, as for a user id given to a container
        raise LocalStackError("this user has no home folder: set HOLONSTREAM_CACHE_DIR") from error


def version(server: str, pom: Path | None = None) -> str:
    """The version of `server` that its pom asks for: "kafka" and "neo4j" have theirs here, others bring one."""
    pom = pom or _pom(server)
    match = re.search(r"</artifactId>\s*<version>(\d+\.[\d.]+)</version>", pom.read_text())
    assert match is not None, f"no version in {pom}"
    return match[1]


def folder(server: str, pom: Path | None = None) -> Path:
    """Where the jars of `server` are, once fetched."""
    made_from = [pom or _pom(server), *([_SOURCES[server]] if server in _SOURCES else [])]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in made_from)).hexdigest()[:12]
    return cache_dir() / "jars" / f"{server}-{version(server, pom)}-{digest}"


def is_fetched(server: str) -> bool:
    """True if `fetch` has nothing to do."""
    return folder(server).is_dir()


def fetch(
    server: str, progress: Callable[[str], None], pom: Path | None = None, cancelled: Event | None = None
) -> Path:
    """
    Make sure that the jars of `server` are in the cache and return their folder.

    Different servers may be fetched at once. Of two that fetch the same, the second waits and finds it done.
    Raises LocalStackError if Maven fails, or once `cancelled` is set.
    """
    target = folder(server, pom)
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.with_name(f"{target.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.is_dir():
            part = target.with_name(target.name + ".part")
            _download(server, pom or _pom(server), part, progress, cancelled or Event())
            if server in _SOURCES:
                _compile(_SOURCES[server], part)
            part.rename(target)
    return target


def _pom(server: str) -> Path:
    return _HERE / f"{server}.pom.xml"


def _download(server: str, pom: Path, into: Path, progress: Callable[[str], None], cancelled: Event) -> None:
    label = f"{server}: jars of {version(server, pom)}"
    progress(f"{label}: downloading with Maven (the first time only)")
    began = time.monotonic()
    for attempt in range(1, _ATTEMPTS + 1):
        shutil.rmtree(into, ignore_errors=True)
        # -U: Maven remembers what it could not find, and would not ask again.
        failure = _run_maven(pom, into, label, progress, cancelled, ["-U"] if attempt > 1 else [])
        failure = failure or _remove_broken(into)
        if failure is None:
            progress(f"{label}: ready after {time.monotonic() - began:.1f} s")
            return
        if cancelled.is_set():
            break
        if attempt < _ATTEMPTS:
            progress(f"{label}: {failure}; continuing, attempt {attempt + 1} of {_ATTEMPTS}")
    raise LocalStackError(f"Maven could not download {server} {version(server, pom)}: {failure}")


def _run_maven(
    pom: Path, into: Path, label: str, progress: Callable[[str], None], cancelled: Event, options: list[str]
) -> str | None:
    """Download and copy the jars; returns why that failed, or None."""
    began = time.monotonic()
    maven = subprocess.Popen(
        [
            *("mvn", "-B", "-Dstyle.color=never", f"-Dmaven.artifact.threads={_THREADS}", *options, "-f", str(pom)),
            *("dependency:copy-dependencies", f"-DoutputDirectory={into}", "-DincludeScope=runtime"),
            *("dependency:build-classpath", f"-Dmdep.outputFile={into / _ORIGINS}"),
        ],
        env={**os.environ, "MAVEN_OPTS": " ".join([*_SHORT_LIFE, *_home(), os.environ.get("MAVEN_OPTS", "")])},
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
            if cancelled.is_set():
                maven.terminate()
            line = _COLOUR.sub("", line)
            if line.startswith("[ERROR]"):
                errors.append(line.removeprefix("[ERROR]").strip())
            elif "Downloaded from" in line:
                files += 1
                if files % _PROGRESS_EVERY == 0:
                    progress(f"{label}: {files} files downloaded ({time.monotonic() - began:.0f} s)")
    if maven.returncode == 0:
        return None
    return next(filter(None, errors), f"exit code {maven.returncode}")


def _home() -> list[str]:
    """$HOME for Java, which reads the user's home folder from passwd: a service's user may have none there."""
    home = os.environ.get("HOME", "")
    return [f"-Duser.home={home}"] if home and not re.search(r"\s", home) else []


_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_ORIGINS = "origins.txt"
"""Lists the jars in Maven's own repository from which those in a folder were copied."""


def _remove_broken(jars: Path) -> str | None:
    """Delete jars that are not whole from Maven's own repository; returns which, or None when all are whole.

    A power cut or a full disk may leave half a file there, which Maven believes.
    """
    origins = {Path(path).name: Path(path) for path in (jars / _ORIGINS).read_text().strip().split(os.pathsep)}
    broken = []
    for jar in sorted(jars.glob("*.jar")):
        try:
            zipfile.ZipFile(jar).close()  # its directory is at its end
        except zipfile.BadZipFile:
            broken.append(jar.name)
            origins[jar.name].unlink(missing_ok=True)
    return f"{', '.join(broken)} not whole" if broken else None


def _compile(source: Path, into: Path) -> None:
    """Put a jar with the class of a source file beside the jars that it needs."""
    classes = into / "classes"
    done = subprocess.run(
        [
            "javac",
            *(f"-J{option}" for option in _SHORT_LIFE),
            "--release",
            _RELEASE,
            "-cp",
            f"{into}/*",
            "-d",
            str(classes),
            str(source),
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise LocalStackError(f"javac cannot compile {source}: {(done.stderr or done.stdout).strip()}")
    with zipfile.ZipFile(into / f"{source.stem}.jar", "w") as jar:
        for path in sorted(classes.rglob("*.class")):
            jar.write(path, path.relative_to(classes))
    shutil.rmtree(classes)
