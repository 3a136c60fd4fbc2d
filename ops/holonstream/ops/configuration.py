"""Where the settings of a command come from: the environment, ``.env``, a configuration file.

The environment wins over ``.env`` in the working folder, and that over the configuration file: the one that
HOLONSTREAM_CONFIG names, else ``holonstream.toml`` in the working folder, else ``holonstream/config.toml`` in the
user's configuration folder. Only commands read files; a service that uses the client gives its settings itself.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from holonstream.client.settings import PREFIX, InvalidSettings

if TYPE_CHECKING:
    from holonstream.ops.settings import Settings

FILE_VARIABLE = f"{PREFIX}CONFIG"
OTHERS = {FILE_VARIABLE, *(PREFIX + name for name in ("LOCAL_DIR", "CACHE_DIR"))}
TESTS = f"{PREFIX}TEST_"


@dataclass(frozen=True, slots=True)
class Origin:
    """One place of settings: its name for people, and the variables that it gives."""

    name: str
    variables: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Configuration:
    """The variables that hold, and where each comes from."""

    variables: dict[str, str] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    """a line for each variable that is no setting"""

    def settings(self) -> Settings:
        """The settings that the variables give. Raises InvalidSettings."""
        from holonstream.ops.settings import Settings

        return Settings.of(self.variables)


def read_configuration(environment: Mapping[str, str] = os.environ, folder: Path | None = None) -> Configuration:
    """The variables of all places. Raises InvalidSettings when a file cannot be read."""
    here = Path() if folder is None else folder
    places = [Origin("environment", {k: v for k, v in environment.items() if k.startswith(PREFIX)})]
    if (dotenv := here / ".env").is_file():
        places.append(_dotenv(dotenv))
    if (file := _file(environment, here)) is not None:
        places.append(_toml(file))
    found = Configuration()
    known = _known()
    for place in places:
        taken = set(found.variables)  # the environment may give a secret twice: a fault, which the settings name
        for name, text in place.variables.items():
            if text and not _twins(name) & taken:
                found.variables[name] = text
                found.origins[name] = place.name
        found.unknown.extend(_unknown(place, known))
    return found


def _twins(name: str) -> set[str]:
    """The variables that give the same: a secret may be named itself, or the file that holds it."""
    return {name, name.removesuffix("_FILE"), f"{name}_FILE"}


def _known() -> set[str]:
    from holonstream.ops.settings import Settings

    settings = {PREFIX + name.upper() for name in Settings.__struct_fields__}
    return settings | {f"{PREFIX}{name.upper()}_FILE" for name in Settings.secrets()} | OTHERS


def _unknown(place: Origin, known: Iterable[str]) -> Iterator[str]:
    for name in sorted(place.variables):
        if name not in known and not name.startswith(TESTS):
            close = get_close_matches(name, known, 1, 0.75)
            hint = f"did you mean {close[0]}?" if close else "`holonstream settings` lists them"
            yield f"{name} ({place.name}) is no setting: {hint}"


def _file(environment: Mapping[str, str], here: Path) -> Path | None:
    if named := environment.get(FILE_VARIABLE):
        return Path(named)
    home = environment.get("HOME")
    folder = environment.get("XDG_CONFIG_HOME") or (f"{home}/.config" if home else None)
    candidates = [here / "holonstream.toml", *([Path(folder) / "holonstream" / "config.toml"] if folder else [])]
    return next((file for file in candidates if _is_file(file)), None)


def _is_file(file: Path) -> bool:
    try:
        return file.is_file()
    except OSError:  # a folder that may not be read
        return False


def _dotenv(file: Path) -> Origin:
    from dotenv import dotenv_values

    try:
        found = dotenv_values(file, interpolate=False, encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSettings([_unreadable(file, error)]) from error
    return Origin(str(file), {k: v or "" for k, v in found.items() if k.startswith(PREFIX)})


def _toml(file: Path) -> Origin:
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # no UTF-8, no TOML
        raise InvalidSettings([_unreadable(file, error)]) from error
    faults = [f"{file}: {name} must be a text, a number or a boolean" for name, v in document.items() if not _plain(v)]
    if faults:
        raise InvalidSettings(faults)
    texts = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in document.items()}
    return Origin(str(file), {PREFIX + name.upper(): text for name, text in texts.items()})


def _plain(value: object) -> bool:
    return isinstance(value, str | int | float)


def _unreadable(file: Path, error: Exception) -> str:
    return f"{file}: cannot be read: {getattr(error, 'strerror', None) or error}"
