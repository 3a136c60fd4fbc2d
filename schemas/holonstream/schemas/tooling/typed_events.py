"""``schemas types``: a Python class for each event type. An editor completes its payload fields, and mypy checks them.

The names in Python are in snake_case (``relationshipId`` is ``relationship_id``), with an underscore after a name that
Python or the envelope has already.
"""

from __future__ import annotations

import json
import keyword
import re
import textwrap
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from holonstream.schemas.catalogue import Catalogue, EventType
from holonstream.schemas.event import TypedEvent, camel_case
from holonstream.schemas.state import HOLON
from holonstream.schemas.tooling.fields import DeclaredField, declared_fields

HEAD = '''\
# Made by `holonstream schemas types` from the schemas; change it there.
"""A class for each event type, with the fields of its payload.

``append`` takes them like an ``Event``. Arguments without a default are those that the log requires.
A field that is left out is not in the payload; `extra` holds fields that the schema does not declare.
"""

from __future__ import annotations
'''
IMPORTS = [
    {"collections.abc": ["Mapping"], "typing": ["Any", "ClassVar", "Literal"]},
    {"msgspec": ["UNSET", "UnsetType"]},
    {"holonstream.schemas.event": ["TypedEvent"]},
]
"""Those of the standard library, others, ours."""
ALIASES = {"HolonType": "holonType", "RelationshipType": "relationshipType"}
TYPES = {
    "string": "str",
    "date": "str",
    "holon id": "str",
    "number": "float",
    "integer": "int",
    "boolean": "bool",
    "object": "dict[str, Any]",
    "array": "list[Any]",
    "string or number": "str | float",
}
WIDTH = 120
RESERVED = {*ALIASES, *(name for group in IMPORTS for names in group.values() for name in names)}
"""Names that a class cannot have."""
TAKEN = {"str", "float", "int", "bool", "dict", "list", *(name for name in dir(TypedEvent) if name[:2] != "__")}
"""Names that a payload field cannot have in Python: those of the envelope, and of types."""


@dataclass(frozen=True, slots=True)
class _Attribute:
    name: str
    description: str
    type: str
    default: str | None
    """None: must be given"""


def typed_events_module(catalogue: Catalogue) -> str:
    """The text of the module."""
    names = catalogue.vocabulary["$defs"]
    aliases = [f"{alias} = {_literal(names[name]['enum'])}" for alias, name in ALIASES.items()]
    classes: dict[str, str] = {}
    for event_type in catalogue.types.values():
        name = _python_name(event_type.name, RESERVED | classes.keys())
        classes[name] = _class(catalogue, event_type, name)
    body = "\n\n\n".join(["\n".join(aliases), *classes.values()]) + "\n"
    return HEAD + _imports(body) + "\n" + body


def _imports(body: str) -> str:
    """The imports that the body needs."""
    text = ""
    for group in IMPORTS:
        text += "\n"
        for module, names in group.items():
            if used := [name for name in names if re.search(rf"\b{name}\b", body)]:
                text += f"from {module} import {', '.join(used)}\n"
    return text


def _class(catalogue: Catalogue, event_type: EventType, class_name: str) -> str:
    subjects = list(_subjects(event_type))
    taken = {*TAKEN, *(subject.name for subject in subjects)}
    fields: dict[str, _Attribute] = {}
    for field in declared_fields(event_type.schema, catalogue.vocabulary):
        name = _python_name(_snake_case(field.name), taken)
        taken.add(name)
        fields[field.name] = _attribute(name, field)
    attributes = sorted([*subjects, *fields.values()], key=lambda attribute: attribute.default is not None)
    renamed = {field.name: name for name, field in fields.items() if camel_case(field.name) != name}
    lines = [
        f"TYPE: ClassVar[str] = {json.dumps(event_type.name)}",
        f"VERSION: ClassVar[int] = {event_type.version}",
        f"SUBJECTS: ClassVar[tuple[str, ...]] = {_tuple([s.name for s in subjects])}",
        *([_mapping("NAMES: ClassVar[Mapping[str, str]] = ", renamed)] if renamed else []),
        "",
        *(f"{a.name}: {a.type}" + ("" if a.default is None else f" = {a.default}") for a in attributes),
    ]
    head = f"class {class_name}(TypedEvent, frozen=True, kw_only=True):\n"
    return head + textwrap.indent("\n".join([*_docstring(event_type, attributes), *lines]), "    ")


def _subjects(event_type: EventType) -> Iterator[_Attribute]:
    taken = set(TAKEN)
    for number, subject in enumerate(event_type.subjects):
        called = "subject" if number == 0 and event_type.stream_kind == HOLON else subject
        name = _python_name(_snake_case(called), taken)
        taken.add(name)
        required = number < event_type.required_subjects
        yield _Attribute(name, f"Id of the {subject}.", *_annotation("str", required))


def _attribute(name: str, field: DeclaredField) -> _Attribute:
    if "const" in field.schema and field.required:
        value = _text(field.schema["const"])
        return _Attribute(name, field.description, f"Literal[{value}]", value)
    return _Attribute(name, field.description, *_annotation(_type(field), field.required))


def _type(field: DeclaredField) -> str:
    for reference in (field.schema, field.schema.get("else", {})):
        for alias, name in ALIASES.items():
            if reference.get("$ref", "").endswith(f"/{name}"):
                return alias
    values = [field.schema["const"]] if "const" in field.schema else field.schema.get("enum", ())
    if values and all(value is None or isinstance(value, str | int) for value in values):
        return _literal(values)
    return TYPES.get(field.type, "Any")


def _annotation(type_: str, required: bool) -> tuple[str, str | None]:
    """Type and default of an attribute."""
    if required:
        return type_, None
    return (type_ if type_ == "Any" else f"{type_} | UnsetType"), "UNSET"


def _docstring(event_type: EventType, attributes: Sequence[_Attribute]) -> Iterator[str]:
    yield f'"""{_plain(event_type.schema["description"])}'
    yield ""
    for attribute in attributes:
        if attribute.description:
            text = f"{attribute.name}: {_plain(attribute.description)}"
            yield from textwrap.wrap(text, WIDTH - 4, subsequent_indent="  ", break_long_words=False)
    yield '"""'
    yield ""


def _plain(description: str) -> str:
    return " ".join(description.split()).replace("\\", "\\\\").replace('"""', "'''")


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z]{2})", "_", name).lower()


def _python_name(name: str, taken: Collection[str]) -> str:
    """An identifier that nothing else has."""
    name = re.sub(r"\W", "_", name, flags=re.ASCII)
    if not name.isidentifier():
        name = f"_{name}"
    while name in taken or keyword.iskeyword(name):
        name += "_"
    return name


def _literal(values: Sequence[Any]) -> str:
    items = [_text(value) for value in values]
    line = f"Literal[{', '.join(items)}]"
    return line if len(line) < 80 else "Literal[\n" + "".join(f"    {item},\n" for item in items) + "]"


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def _tuple(values: Sequence[str]) -> str:
    items = ", ".join(json.dumps(value) for value in values)
    return f"({items},)" if len(values) == 1 else f"({items})"


def _mapping(start: str, values: Mapping[str, str]) -> str:
    items = [f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]
    line = f"{start}{{{', '.join(items)}}}"
    return line if len(line) <= WIDTH - 4 else f"{start}{{\n" + "".join(f"    {item},\n" for item in items) + "}"
