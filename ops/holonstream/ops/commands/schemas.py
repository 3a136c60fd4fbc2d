"""``holonstream schemas``: check, compare and document the event schemas."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from holonstream.ops.command_line import CommandGroup, Form, json_option, pass_settings
from holonstream.ops.output import counted, print_json, print_text, say

if TYPE_CHECKING:
    from holonstream.ops.settings import Settings
    from holonstream.schemas.catalogue import Catalogue
    from holonstream.schemas.tooling.compatibility import Difference

PAGES = ("catalogue.md", "asyncapi.yaml")


@click.group("schemas", cls=CommandGroup)
def schemas() -> None:
    """Check, compare and document event schemas; write new ones."""


@schemas.command("check")
@click.argument("folders", nargs=-1, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--against-log", is_flag=True, help="Also check every event of the log against these schemas.")
@json_option
@pass_settings
def check_command(settings: Settings, folders: tuple[Path, ...], against_log: bool, as_json: bool) -> None:
    """Check the shipped schemas and those in FOLDERS.

    FOLDERS defaults to HOLONSTREAM_SCHEMAS. A folder with a catalogue.json is a domain of its own and checked alone.
    Prints one line per fault, file#pointer: message, and exits with 1 when there are any.
    """
    from holonstream.schemas.catalogue import Catalogue
    from holonstream.schemas.tooling.check import check

    extra = folders or ((settings.schemas,) if settings.schemas else ())
    faults = check(*extra)
    known = None if faults else Catalogue.load(*extra)
    refused = list(_refused(settings, known)) if known is not None and against_log else []
    if as_json:
        document = {"event_types": len(known.types) if known else None, "faults": [asdict(fault) for fault in faults]}
        print_json({**document, **({"refused": refused} if against_log else {})})
    else:
        _print_check(list(map(str, faults)), known, refused if against_log else None)
    if faults or refused:
        raise click.exceptions.Exit(1)


def _print_check(faults: list[str], known: Catalogue | None, refused: list[dict[str, Any]] | None) -> None:
    for fault in faults:
        say(fault)
    if known is None:
        say(counted(len(faults), "fault"), err=True)
        return
    say(f"{len(known.types)} event types: no faults")
    for event in refused or []:
        say("position {position} {stream} version {version}: {reason}".format(**event))
    if refused:
        say(f"{counted(len(refused), 'event')} of the log would be refused", err=True)
    elif refused is not None:
        say("no event of the log would be refused")


def _refused(settings: Settings, known: Catalogue) -> Iterator[dict[str, Any]]:
    """Every event of the log that these schemas would refuse."""
    from holonstream.client.connections import event_store
    from holonstream.schemas.tooling.check import refused

    with event_store(settings, known) as store:
        for refusal in refused(known, store.read(after_position=0)):
            event = refusal.event
            yield {
                "position": event.position,
                "stream": event.stream,
                "version": event.version,
                "reason": refusal.reason,
            }


@schemas.command("diff")
@click.argument("old", type=click.Path(exists=True, path_type=Path))
@click.argument("new", type=click.Path(exists=True, path_type=Path))
@json_option
def diff_command(old: Path, new: Path, as_json: bool) -> None:
    """Tell whether NEW refuses events that OLD accepts.

    OLD and NEW are files, or folders whose files of the same name are compared. A catalogue.json in a folder, or a
    vocabulary.schema.json beside it, is used for its files. Exits with 0 only if everything that OLD accepted is
    certainly accepted by NEW.
    """
    from holonstream.schemas.tooling.compatibility import compatible

    findings = list(_differences(old, new))
    agrees = compatible([finding for _, finding in findings])
    if as_json:
        found = [{"file": name, **asdict(finding)} for name, finding in findings]
        print_json({"compatible": agrees, "differences": found})
    else:
        for name, finding in findings:
            say(f"{name}: {finding}")
        say("compatible" if agrees else "not compatible", err=not agrees)
    if not agrees:
        raise click.exceptions.Exit(1)


def _differences(old: Path, new: Path) -> Iterator[tuple[str, Difference]]:
    from holonstream.schemas.tooling.compatibility import differences, removed
    from holonstream.schemas.vocabulary import CATALOGUE_FILE, read_document

    if old.is_dir() != new.is_dir():
        raise click.UsageError(f"Cannot compare a folder with a file: {old}, {new}")
    folders = old.is_dir()
    for file in sorted(f for f in old.glob("*.json") if f.name != CATALOGUE_FILE) if folders else [old]:
        other = new / file.name if folders else new
        if not other.exists():
            yield file.name, removed(file.name)
            continue
        found = differences(
            read_document(file), read_document(other), old_shared=_vocabulary(file), new_shared=_vocabulary(other)
        )
        for finding in found:
            yield other.name, finding


def _vocabulary(file: Path) -> dict[str, object] | None:
    from holonstream.schemas.vocabulary import CATALOGUE_FILE, read_document, vocabulary

    folder = file.resolve().parent
    if (folder / CATALOGUE_FILE).exists():
        return vocabulary(folder)
    beside = folder.parent / "vocabulary.schema.json"
    return read_document(beside) if beside.exists() else None


@schemas.command("docs")
@click.option("--check", "only_check", is_flag=True, help="Write nothing; exit with 1 when a page is out of date.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("docs"),
    show_default=True,
    help="Folder of the pages.",
)
@json_option
@pass_settings
def docs_command(settings: Settings, only_check: bool, folder: Path, as_json: bool) -> None:
    """Write catalogue.md and asyncapi.yaml from the schemas."""
    from holonstream.client.connections import catalogue
    from holonstream.schemas.tooling.asyncapi import asyncapi_page
    from holonstream.schemas.tooling.catalogue_page import catalogue_page

    makers: tuple[Callable[[Catalogue], str], ...] = (catalogue_page, asyncapi_page)
    known = catalogue(settings)
    stale = []
    for name, maker in zip(PAGES, makers, strict=True):
        page, text = folder / name, maker(known)
        if page.exists() and page.read_text(encoding="utf-8") == text:
            continue
        stale.append(page)
        if not only_check:
            folder.mkdir(parents=True, exist_ok=True)
            page.write_text(text, encoding="utf-8")
    if as_json:
        print_json({"stale": list(map(str, stale)), "written": not only_check})
    for page in () if as_json else stale:
        say(f"{page}: {'not current: run `holonstream schemas docs`' if only_check else 'written'}")
    if only_check and stale:
        raise click.exceptions.Exit(1)


@schemas.command("types")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="File to write; by default, print it.")
@json_option
@pass_settings
def types_command(settings: Settings, out: Path | None, as_json: bool) -> None:
    """Make a Python module with a class for each event type.

    With it an editor completes the fields of payloads and a type checker checks them. `append` takes its events. For
    the shipped event types it is there already: holonstream.client.events.
    """
    from holonstream.client.connections import catalogue
    from holonstream.schemas.tooling.typed_events import typed_events_module

    known = catalogue(settings)
    text = typed_events_module(known)
    if out is not None:
        out.write_text(text, encoding="utf-8")
    if as_json:
        print_json({"event_types": len(known.types), "file": None if out is None else str(out), "module": text})
    elif out is None:
        print_text(text)
    else:
        say(f"{out}: {len(known.types)} event types written")


def _check_name(text: str) -> None:
    from holonstream.schemas.tooling.skeleton import check_name

    check_name(text)


@schemas.command("new")
@click.argument("name", type=Form("name", _check_name))
@click.option(
    "--stream",
    type=click.Choice(["holon", "relationship"]),
    default="holon",
    show_default=True,
    help="The kind of entity that events of a new type change.",
)
@click.option("--creates", metavar="TYPE", help="Events of a new type create a holon or relationship of this type.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder to write to; by default HOLONSTREAM_SCHEMAS, else the working folder.",
)
@json_option
@pass_settings
def new_command(
    settings: Settings, name: str, stream: str, creates: str | None, folder: Path | None, as_json: bool
) -> None:
    """Write a schema file to start from, for event type NAME.

    A new event type, or the next version of the type that has this name. For a domain of your own, write its
    catalogue.json first (docs/adding-an-event-type.md).
    """
    from holonstream.client.connections import catalogue
    from holonstream.schemas.catalogue import Catalogue
    from holonstream.schemas.errors import BadData
    from holonstream.schemas.tooling.skeleton import file_name, next_version, skeleton
    from holonstream.schemas.vocabulary import CATALOGUE_FILE

    folder = folder or settings.schemas or Path()
    known = Catalogue.load(folder) if (folder / CATALOGUE_FILE).exists() else catalogue(settings)
    if creates in known.relationship_types:
        stream = "relationship"
    elif creates is not None and creates not in known.holon_types:
        raise click.BadParameter(f"{creates!r} is none of the catalogue's types of holons and relationships")
    version, text = next_version(known, name) if name in known.types else (1, skeleton(name, stream, creates))
    file = folder / file_name(name, version)
    if file.exists():
        raise BadData(f"{file} exists already")
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    if as_json:
        print_json({"file": str(file), "event_type": name, "schema_version": version})
        return
    checked = f" {folder}" if folder != settings.schemas else ""
    say(f"{file}: written; edit it, then run `holonstream schemas check{checked}` and `holonstream schemas docs`")
