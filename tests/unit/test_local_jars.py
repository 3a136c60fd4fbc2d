"""Fetching jars, with a program in Maven's place that copies from a folder, and fails as a network does."""

from __future__ import annotations

import os
import threading
import zipfile
from pathlib import Path

import pytest

from holonstream.local import LocalStackError, jars

# $TROUBLE names a file with what goes wrong at each call: a word for each, which the call takes.
MAVEN = """\
#!/bin/sh
for argument; do
    case "$argument" in
        -DoutputDirectory=*) into="${argument#*=}" ;;
        -Dmdep.outputFile=*) origins="${argument#*=}" ;;
    esac
done
echo "$*" >>"$CALLS"
read -r trouble rest <"$TROUBLE"
echo "$rest" >"$TROUBLE"
if [ "$trouble" = fails ]; then
    printf '[ERROR] \\n\\033[0m[ERROR] Connection reset\\n'  # as it is without a terminal, too
    exit 1
fi
[ -e "$REPOSITORY/a.jar" ] || cp "$SOURCE/a.jar" "$REPOSITORY/a.jar"
cp "$SOURCE/b.jar" "$REPOSITORY/b.jar"
mkdir -p "$into"
cp "$REPOSITORY"/*.jar "$into"
echo "$REPOSITORY/a.jar:$REPOSITORY/b.jar" >"$origins"
"""
POM = "<project><artifactId>x</artifactId><version>1.0</version></project>"


@pytest.fixture
def maven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with `repository`, `calls`, `trouble` and `x.pom.xml`; the cache is empty."""
    for name in ("bin", "source", "repository", "cache"):
        (tmp_path / name).mkdir()
    for name in ("a", "b"):
        with zipfile.ZipFile(tmp_path / "source" / f"{name}.jar", "w") as jar:
            jar.writestr(f"{name}.class", name * 10_000)
    program = tmp_path / "bin" / "mvn"
    program.write_text(MAVEN)
    program.chmod(0o755)
    (tmp_path / "x.pom.xml").write_text(POM)
    (tmp_path / "trouble").write_text("none\n")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("HOLONSTREAM_CACHE_DIR", str(tmp_path / "cache"))
    for name in ("calls", "trouble", "source", "repository"):
        monkeypatch.setenv(name.upper(), str(tmp_path / name))
    return tmp_path


def fetch(folder: Path) -> list[str]:
    """Fetch the jars of `x`; returns the lines of progress."""
    lines: list[str] = []
    jars.fetch("x", lines.append, folder / "x.pom.xml")
    return lines


def calls(folder: Path) -> list[str]:
    return (folder / "calls").read_text().splitlines()


def fetched(folder: Path) -> list[str]:
    return sorted(path.name for path in jars.folder("x", folder / "x.pom.xml").glob("*.jar"))


def test_jars_are_fetched_once(maven: Path) -> None:
    fetch(maven)
    assert fetched(maven) == ["a.jar", "b.jar"]
    assert fetch(maven) == []
    assert len(calls(maven)) == 1


def test_of_two_that_fetch_the_same_one_waits(maven: Path) -> None:
    threads = [threading.Thread(target=fetch, args=[maven]) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert fetched(maven) == ["a.jar", "b.jar"]
    assert len(calls(maven)) == 1


def test_a_download_that_breaks_is_continued(maven: Path) -> None:
    (maven / "trouble").write_text("fails fails none\n")
    assert any("Connection reset; continuing" in line for line in fetch(maven))
    assert fetched(maven) == ["a.jar", "b.jar"]
    # Maven asks again for what it did not find before.
    assert ["-U" in call.split() for call in calls(maven)] == [False, True, True]


def test_a_download_that_breaks_again_and_again_leaves_nothing_to_believe(maven: Path) -> None:
    (maven / "trouble").write_text("fails fails fails none\n")
    with pytest.raises(LocalStackError, match=r"could not download x 1\.0: Connection reset"):
        fetch(maven)
    assert not jars.folder("x", maven / "x.pom.xml").exists()
    fetch(maven)
    assert fetched(maven) == ["a.jar", "b.jar"]


def test_half_a_jar_in_mavens_repository_is_fetched_again(maven: Path) -> None:
    whole = (maven / "source" / "a.jar").read_bytes()
    (maven / "repository" / "a.jar").write_bytes(whole[: len(whole) // 2])
    assert any("a.jar not whole; continuing" in line for line in fetch(maven))
    assert (jars.folder("x", maven / "x.pom.xml") / "a.jar").read_bytes() == whole
    assert len(calls(maven)) == 2


def test_no_new_attempt_once_the_start_is_cancelled(maven: Path) -> None:
    (maven / "trouble").write_text("fails none\n")
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(LocalStackError, match="could not download"):
        jars.fetch("x", lambda line: None, maven / "x.pom.xml", cancelled)
    assert len(calls(maven)) == 1
