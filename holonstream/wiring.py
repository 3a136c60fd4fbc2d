"""The composition root: settings to clients, stores and workers."""

from __future__ import annotations

from pathlib import Path

from holonstream.settings import Settings
from schemas.catalogue import Catalogue
from schemas.errors import BadData
from schemas.event import Event, parse_events


def catalogue(settings: Settings) -> Catalogue:
    """The event types that ship, and those of the folder in the settings."""
    return Catalogue.load(*([settings.schemas] if settings.schemas else []))


def read_events(file: Path, key: str) -> list[Event]:
    """The envelopes of a JSON file. Raises BadData, naming the file and the first fault."""
    try:
        return parse_events(file.read_bytes(), key)
    except OSError as error:
        raise BadData(f"Cannot read {file}: {error.strerror}") from error
    except BadData as error:
        raise type(error)(f"{file}: {error}") from None
