"""What servers, tests and examples need from the operating system, and its installation on Debian and the like."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from holonstream.local.errors import LocalStackError

_PROGRESS_EVERY = 25  # packages

# Run as root with the packages as arguments. The policy file stops Debian from starting its own PostgreSQL and Redis,
# which we do not use; one that was there before is left as it is. The lock is for others who do the same now.
_SCRIPT = r"""
set -e
exec 9</var/lib/apt
flock 9
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -q -o DPkg::Lock::Timeout=300 update
apt-get -q -y -o DPkg::Lock::Timeout=300 install --no-install-recommends "$@"
"""


@dataclass(frozen=True, slots=True)
class Program:
    """Something a server needs: how to see that it is there, and the package that brings it."""

    label: str
    is_present: Callable[[], bool]
    package: Callable[[], str]


def postgres_bin() -> Path | None:
    """The folder with initdb and postgres of the newest PostgreSQL, or None. Debian keeps it off the PATH."""

    def major(path: Path) -> int:
        return int(path.parent.name) if path.parent.name.isdigit() else 0

    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=major, reverse=True)
    if on_path := shutil.which("initdb"):
        folders.append(Path(on_path).resolve().parent)
    return next((folder for folder in folders if (folder / "initdb").exists() and (folder / "postgres").exists()), None)


def pgbouncer_program() -> str | None:
    """The program of pgbouncer, which Debian keeps off an ordinary user's PATH."""
    return shutil.which("pgbouncer") or shutil.which("/usr/sbin/pgbouncer")


def _java_is_present() -> bool:
    # javac, not just java: Neo4jServer.java is compiled here.
    if shutil.which("javac") is None or shutil.which("java") is None:
        return False
    done = subprocess.run(["javac", "-version"], capture_output=True, text=True, check=False)
    match = re.search(r"javac (\d+)", done.stdout + done.stderr)
    return match is not None and int(match[1]) >= 17


def _java_package() -> str:
    # Where the default is older than 17.
    try:
        codename = re.search(r"^VERSION_CODENAME=(\w+)", Path("/etc/os-release").read_text(), re.MULTILINE)
    except FileNotFoundError:
        codename = None
    old = codename is not None and codename[1] in {"bullseye", "bookworm", "focal", "jammy"}
    return "openjdk-17-jdk-headless" if old else "default-jdk-headless"


JAVA = Program("Java 17 or later (JDK)", _java_is_present, _java_package)
MAVEN = Program("Maven", lambda: shutil.which("mvn") is not None, lambda: "maven")
POSTGRES = Program("PostgreSQL", lambda: postgres_bin() is not None, lambda: "postgresql")
REDIS = Program("Redis", lambda: shutil.which("redis-server") is not None, lambda: "redis-server")
PGBOUNCER = Program("pgbouncer", lambda: pgbouncer_program() is not None, lambda: "pgbouncer")

# for programs in the languages of services
NODE = Program("Node", lambda: shutil.which("node") is not None, lambda: "nodejs")
NPM = Program("npm", lambda: shutil.which("npm") is not None, lambda: "npm")
GO = Program("Go", lambda: shutil.which("go") is not None, lambda: "golang-go")


def require(programs: Iterable[Program], progress: Callable[[str], None]) -> None:
    """
    Install by apt what is missing of `programs`.

    Raises LocalStackError, naming the command to type, if we may not install or the installation fails.
    """
    missing = [program for program in dict.fromkeys(programs) if not program.is_present()]
    if not missing:
        return
    labels = ", ".join(program.label for program in missing)
    packages = [program.package() for program in missing]
    advice = f"type: sudo apt-get update && sudo apt-get install -y {' '.join(packages)}"
    become_root = _become_root()
    if shutil.which("apt-get") is None:
        raise LocalStackError(f"missing: {labels}; install them with this system's package manager")
    if become_root is None:
        raise LocalStackError(f"missing: {labels}; {advice}")
    progress(f"installing {labels} by apt ({' '.join(packages)}); this takes a minute or two")
    began = time.monotonic()
    last = _run_apt([*become_root, "sh", "-c", _SCRIPT, "install", *packages], progress)
    absent = [program.label for program in missing if not program.is_present()]
    if absent:
        raise LocalStackError(f"apt could not install {', '.join(absent)} ({last}); {advice}")
    progress(f"installed {labels} after {time.monotonic() - began:.0f} s")


def _become_root() -> list[str] | None:
    if os.geteuid() == 0:
        return []
    sudo = shutil.which("sudo")
    if sudo and subprocess.run([sudo, "-n", "true"], capture_output=True, check=False).returncode == 0:
        return [sudo, "-n"]
    return None


def _run_apt(argv: list[str], progress: Callable[[str], None]) -> str:
    """Run apt, report its progress now and then, and return its last error or last line."""
    last = error = ""
    steps = {"Get:": 0, "Unpacking ": 0, "Setting up ": 0}
    with subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as apt:
        assert apt.stdout is not None
        for line in apt.stdout:
            last = line.strip() or last
            if line.startswith("E: "):
                error = line.strip()
            for step in steps:
                if line.startswith(step):
                    steps[step] += 1
                    if steps[step] % _PROGRESS_EVERY == 0:
                        progress("apt: {} downloaded, {} unpacked, {} set up".format(*steps.values()))
    return error or last
