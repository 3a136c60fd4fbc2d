"""Typed events: a class for each event type, made from the schemas."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from msgspec import UNSET

from holonstream.client import events as shipped
from holonstream.client.events import AssignmentEnded, AssignmentStarted, PersonCreated, PositionCreated
from holonstream.ops.commands.schemas import schemas
from holonstream.ops.settings import Settings
from holonstream.producers.log.append import encode_events
from holonstream.schemas.errors import InvalidEvent
from holonstream.schemas.event import Event, TypedEvent, as_event, camel_case
from holonstream.schemas.projection import recorded
from holonstream.schemas.tooling.typed_events import typed_events_module
from tests.unit.schema_support import AT, catalogue

ROOT = Path(__file__).parents[2]
ENVELOPE: dict[str, Any] = {"occurred_at": AT, "actor": "hr", "source_system": "tests"}


def typed(class_: type[TypedEvent], payload: dict[str, Any]) -> TypedEvent:
    """An instance with every subject, and the fields of a payload."""
    others = {*TypedEvent.__struct_fields__, *class_.SUBJECTS}
    names = {class_.NAMES.get(a, camel_case(a)): a for a in class_.__struct_fields__ if a not in others}
    given = {names[field]: value for field, value in payload.items() if field in names}
    extra = {field: value for field, value in payload.items() if field not in names}
    given |= {subject: subject for subject in class_.SUBJECTS}
    return class_(**ENVELOPE, **given, extra=extra)


def test_the_module_is_current() -> None:
    text = (ROOT / "client" / "holonstream" / "client" / "events.py").read_text()
    command = "holonstream schemas types --out client/holonstream/client/events.py"
    assert text == typed_events_module(catalogue()), f"run: {command}"


@pytest.mark.parametrize("type_", sorted(catalogue().types))
def test_an_instance_of_each_type_is_the_plain_event(type_: str) -> None:
    known = catalogue().get(type_)
    class_: type[TypedEvent] = getattr(shipped, type_)
    for example in known.schema["examples"]:
        event = as_event(typed(class_, example))
        plain = Event(type=type_, subjects=class_.SUBJECTS, payload=example, schema_version=known.version, **ENVELOPE)
        assert event == plain
        assert catalogue().validate(event) == known.stream(plain)
        assert len(event.subjects) == len(known.subjects)


def test_fields_that_are_left_out_are_not_in_the_payload() -> None:
    event = PersonCreated(subject="p-1", name="Ada", occurred_at=AT, actor="hr", source_system="tests")
    assert event.event().payload == {"name": "Ada"}
    assert event.event().subjects == ("p-1",)
    assert (event.name, event.rank) == ("Ada", UNSET)
    assert isinstance(event, PersonCreated)


def test_extra_fields_and_subjects() -> None:
    event = PositionCreated(
        subject="pos-1",
        organization="org-1",
        more_subjects=("doc-1",),
        billet_ids=["b-1"],
        extra={"title": None, "grade": 7},
        **ENVELOPE,
    ).event()
    assert event.payload == {"title": None, "grade": 7, "billetIDs": ["b-1"]}
    assert event.subjects == ("pos-1", "org-1", "doc-1")


def test_the_parts_of_a_relationship_have_names() -> None:
    fact: dict[str, Any] = {"relationship_id": "r-1", **ENVELOPE}
    started = AssignmentStarted(
        source="p-1", target="pos-1", relationship_type="OCCUPIES", properties={"role": "primary"}, **fact
    ).event()
    assert started.subjects == ("p-1", "pos-1")
    assert started.payload == {
        "relationshipId": "r-1",
        "relationshipType": "OCCUPIES",
        "properties": {"role": "primary"},
    }
    assert AssignmentEnded(**fact).event().subjects == ()
    assert AssignmentEnded(source="p-1", **fact).event().subjects == ("p-1",)
    with pytest.raises(InvalidEvent, match=r"AssignmentEnded .* has no source, and one after it"):
        AssignmentEnded(target="pos-1", **fact).event()


def test_a_typed_event_is_appended_and_recorded_as_a_plain_one() -> None:
    event = PersonCreated(
        subject="p-1", name="Ada", id="6f0f3c0e-6f0a-4f5c-9d54-2f6a3c1f0a11", source_document="d-1", **ENVELOPE
    )
    assert encode_events([event], catalogue()) == encode_events([event.event()], catalogue())
    assert list(recorded(catalogue(), [event])) == list(recorded(catalogue(), [event.event()]))
    with pytest.raises(TypeError, match="nickname"):
        PersonCreated(**{"subject": "p-1", "nickname": "A", **ENVELOPE})


SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$id": "urn:holonstream:event:order-placed:1",
    "title": "Order placed",
    "description": 'Somebody said "yes" \\o/.',
    "type": "object",
    "required": ["relationshipId", "relationshipType", "class"],
    "properties": {
        "relationshipId": {"$ref": "urn:holonstream:schema:vocabulary#/$defs/relationshipId"},
        "relationshipType": {"description": "Its type.", "const": "PLACED_BY"},
        "class": {"description": "A keyword.", "x-type": "string", "type": "string"},
        "actor": {"description": "A name of the envelope.", "x-type": "boolean"},
        "dict": {"description": "A type.", "x-type": "object"},
        "unit price": {"description": "Not a name in Python.", "x-type": "number"},
        "customer": {"description": "As a subject.", "x-type": "integer", "enum": [1, 2]},
    },
    "examples": [{"relationshipId": "r-1", "relationshipType": "PLACED_BY", "class": "a"}],
    "x-projection": {
        "stream": "relationship",
        "subjects": ["order", "customer"],
        "requiredSubjects": 2,
        "operations": [{"op": "create_relationship"}],
    },
}


def test_a_domain_of_your_own_has_its_types_too(tmp_path: Path) -> None:
    (tmp_path / "catalogue.json").write_text('{"holonTypes": ["Order"], "relationshipTypes": ["PLACED_BY"]}')
    (tmp_path / "order-placed.v1.json").write_text(json.dumps(SCHEMA))
    out = tmp_path / "shop_events.py"
    result = CliRunner().invoke(schemas, ["types", "--out", str(out)], obj=Settings(schemas=tmp_path))
    assert (result.exit_code, result.output) == (0, f"{out}: 1 event types written\n")
    assert CliRunner().invoke(schemas, ["types"], obj=Settings(schemas=tmp_path)).output == out.read_text()
    spec = importlib.util.spec_from_file_location("shop_events", out)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["shop_events"] = module
    spec.loader.exec_module(module)
    fact = {"order": "o-1", "customer": "c-1", "relationship_id": "r-1", "class_": "a", **ENVELOPE}
    event = module.order_placed(**fact, actor_=True, unit_price=1.5, customer_=2, dict_={}).event()
    assert event.payload == {
        "relationshipId": "r-1",
        "relationshipType": "PLACED_BY",
        "class": "a",
        "actor": True,
        "dict": {},
        "unit price": 1.5,
        "customer": 2,
    }
    (tmp_path / "use.py").write_text(
        "from shop_events import order_placed\n\norder_placed(order='o', customer='c', relationship_id='r', class_='a',"
        f" unit_price=1, occurred_at='{AT}', actor='a', source_system='s').event()\n"
    )
    assert mypy(tmp_path / "use.py", out) == []
    for arguments in (["check"], ["format", "--diff"]):
        done = tool("ruff", *arguments, "--config", ROOT / "pyproject.toml", out)
        assert done.returncode == 0, done.stdout


USE = """\
from collections.abc import Sequence
from holonstream.client.events import AssignmentStarted, PersonCreated
from holonstream.schemas.event import AnyEvent

def append(events: Sequence[AnyEvent]) -> None: ...

append([PersonCreated(subject="p-1", name="Ada", actor="hr", occurred_at="2024-03-01", source_system="hr")])
PersonCreated(subject="p-1", nam="Ada", actor="hr", occurred_at="2024-03-01", source_system="hr")
PersonCreated(subject="p-1", name=5, actor="hr", occurred_at="2024-03-01", source_system="hr")
PersonCreated(name="Ada", actor="hr", occurred_at="2024-03-01", source_system="hr")
AssignmentStarted(source="p", target="o", relationship_id="r", relationship_type="OCCUPY", actor="hr",
                  occurred_at="2024-03-01", source_system="hr")
"""


def test_a_type_checker_refuses_wrong_fields(tmp_path: Path) -> None:
    (tmp_path / "use.py").write_text(USE)
    found = mypy(tmp_path / "use.py")
    assert [line.partition(": ")[0].rpartition(":")[2] for line in found] == ["8", "9", "10", "11"]
    for line, part in zip(found, ('"nam"', '"name"', '"subject"', '"relationship_type"'), strict=True):
        assert part in line


def tool(name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """A tool of the development environment, run in the checkout."""
    command = [sys.executable, "-m", name, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def mypy(*files: Path) -> list[str]:
    """The errors that mypy finds, strictly."""
    done = tool("mypy", "--strict", "--config-file", ROOT / "pyproject.toml", *files)
    assert done.returncode < 2, done.stderr + done.stdout
    return [line for line in done.stdout.splitlines() if " error: " in line]
