"""``docs/catalogue.md``: every event type for people, made from the schemas."""

from __future__ import annotations

from collections.abc import Iterator

from holonstream.schemas.catalogue import Catalogue, EventType
from holonstream.schemas.state import HOLON, RELATIONSHIP
from holonstream.schemas.tooling.fields import declared_fields, fields_read
from holonstream.schemas.tooling.layout import pretty
from holonstream.schemas.tooling.wording import effect, missing

HEAD = """\
<!-- Made by `holonstream schemas docs` from schemas/events; change it there. -->

# Event catalogue

{count} event types. Payloads are open objects: only fields marked *required* must be there, unknown ones are allowed,
and the type of a field is what it customarily holds (*always*: customarily given), not enforced except where the effect
needs a shape. *Present* means: not absent, not null, not false, not 0, not the empty string. An event changes its first
subject or, for relationships, the one that `relationshipId` names; an event for what is not there, unless it creates
it, has no effect. How the fold works in general: `schemas/projection.py`.

| Event | Changes | What happened | Entity not there |
|---|---|---|---|
"""


def catalogue_page(catalogue: Catalogue) -> str:
    """The page, in Markdown."""
    types = sorted(catalogue.types.values(), key=lambda event_type: (_group(event_type), event_type.name))
    lines = [HEAD.format(count=len(types)).rstrip("\n")]
    for event_type in types:
        link = f"[{event_type.name}](#{event_type.name.lower()})"
        what = "-" if not event_type.operations else missing(event_type.operations)
        lines.append(f"| {link} | {_group(event_type)} | {event_type.schema['description']} | {what} |")
    for event_type in types:
        lines += ["", *_section(catalogue, event_type)]
    lines += ["", "## Types of holons and relationships", ""]
    lines.append("Holons: " + ", ".join(catalogue.vocabulary["$defs"]["holonType"]["enum"]) + ".")
    lines.append("")
    lines.append("Relationships: " + ", ".join(catalogue.vocabulary["$defs"]["relationshipType"]["enum"]) + ".")
    return "\n".join(lines) + "\n"


def _group(event_type: EventType) -> str:
    """What events of the type change."""
    return event_type.subjects[0] if event_type.stream_kind == HOLON else RELATIONSHIP


def _section(catalogue: Catalogue, event_type: EventType) -> Iterator[str]:
    schema = event_type.schema
    yield f"## {event_type.name}"
    yield ""
    yield schema["description"]
    yield ""
    needed = event_type.required_subjects
    names = [name if number < needed else f"({name})" for number, name in enumerate(event_type.subjects)]
    yield f"- Subjects: {', '.join(names)}"
    if not event_type.operations:
        yield "- Effect: none; the event is in the log only."
    for operation in event_type.operations:
        yield f"- Effect: {effect(operation)}"
    identity = f"`{schema['$id']}`"
    old = [f"`{other.schema['$id']}`" for other in catalogue.versions(event_type.name)[:-1]]
    yield f"- Schema: {identity}" + (f"; lifted to it: {', '.join(old)}" if old else "")
    if fields := declared_fields(schema, catalogue.vocabulary):
        yield ""
        yield "| Field | Customarily | Given | Read | |"
        yield "|---|---|---|---|---|"
        read = fields_read(event_type.operations)
        for field in fields:
            given = "required" if field.required else "always" if field.compulsory else ""
            description = field.description.replace("|", "\\|")
            yield f"| `{field.name}` | {field.type} | {given} | {'yes' if field.name in read else ''} | {description} |"
    yield ""
    yield "```json"
    yield pretty(schema["examples"][0], width=100)
    yield "```"
