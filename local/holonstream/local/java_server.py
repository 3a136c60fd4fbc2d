"""
Servers that are Java programs, and archives of their classes.

Half of what a Java server does while it starts is loading and checking classes. The first one that ends in good order
writes those it had loaded into an archive beside its jars, and later ones map that file instead (class-data sharing).
An archive is named after the jars and the Java it was made with, and appears by one rename. Java itself checks that it
fits, and does without it otherwise.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import ClassVar

from holonstream.local import jars
from holonstream.local.install import JAVA
from holonstream.local.process import Command
from holonstream.local.server import Server

_RECORDING = "-XX:ArchiveClassesAtExit="

# Compiled code that is good enough at once, and a collector without threads of its own: less work in the first minute,
# and less throughput ever after.
_SHORT_LIFE = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")


class JavaServer(Server):
    """A Java program whose jars Maven fetches. With `short_lived` it works at once, and never as fast as it could."""

    needs = (JAVA,)
    makes_archive: ClassVar[bool] = True  # of several servers that run one program, one is enough

    def __init__(self, data_dir: Path, server_ports: Mapping[str, int], *, short_lived: bool = False) -> None:
        super().__init__(data_dir, server_ports)
        self._short_lived = short_lived

    def java(self, main: str, *arguments: str, options: tuple[str, ...] = (), is_tool: bool = False) -> Command:
        """How to run a main class of the jars: the server, or a tool that ends soon."""
        archive = self._archive
        classes = []
        if archive.exists():
            classes = [f"-XX:SharedArchiveFile={archive}"]
        elif self.makes_archive and not is_tool:
            classes = [f"{_RECORDING}{self._recorded}"]
        life = _SHORT_LIFE if self._short_lived or is_tool else ()
        argv = ["java", "-XX:+ExitOnOutOfMemoryError", *life, *classes, *options, main, *arguments]
        # In an order that does not depend on the file system: an archive is good for one order.
        class_path = os.pathsep.join(map(str, sorted(self._libs.glob("*.jar"))))
        return Command(argv, cwd=self.home, env={"CLASSPATH": class_path})

    def stop(self, progress: Callable[[str], None]) -> bool:
        """As for every server; keeps the archive that the program has written at its end, if any."""
        recorded = self._recorded
        clean = super().stop(progress)
        if clean and recorded.exists():
            draft = self._archive.with_name(f"{self._archive.name}.{os.getpid()}")
            with suppress(OSError):  # a full disk, or a cache that was deleted: the next start is slower, that is all
                shutil.move(recorded, draft)
                draft.replace(self._archive)
        return clean

    @property
    def _libs(self) -> Path:
        assert self.jar_set is not None
        return jars.folder(self.jar_set)

    @property
    def _archive(self) -> Path:
        return self._libs.with_name(f"{self._libs.name}-{_java_digest()}.jsa")

    @property
    def _recorded(self) -> Path:
        return self.home / "classes.jsa"


@cache
def _java_digest() -> str:
    """A name for the Java on the path, another one after an upgrade."""
    said = subprocess.run(["java", "-Xinternalversion"], capture_output=True, check=False).stdout
    return hashlib.sha256(said).hexdigest()[:12]
