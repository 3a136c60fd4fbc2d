"""A domain of one's own: a folder with a catalogue.json takes the place of the catalogue that ships."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from holonstream.client.connections import catalogue
from holonstream.ops.commands.schemas import schemas
from holonstream.ops.settings import Settings
from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.errors import InvalidCatalogue, InvalidEvent, UnknownEventType
from holonstream.schemas.event import Event
from holonstream.schemas.projection import fold, recorded
from holonstream.schemas.state import Holon, Relationship
from holonstream.schemas.tooling.check import check
from holonstream.sinks.graph.schema import wanted

TYPES = {"holonTypes": ["Customer", "Order", "Product"], "relationshipTypes": ["CONTAINS", "PLACED_BY"]}


def run(folder: Path, *arguments: str) -> Result:
    settings = Settings(schemas=folder)
    return CliRunner().invoke(schemas, list(arguments), obj=settings, catch_exceptions=False)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A folder as the commands make it."""
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "catalogue.json").write_text(json.dumps(TYPES))
    for name, creates in [("CustomerRegistered", "Customer"), ("OrderPlaced", "Order"), ("ItemAdded", "CONTAINS")]:
        assert run(folder, "new", name, "--creates", creates).exit_code == 0
    assert run(folder, "new", "OrderShipped").exit_code == 0
    return folder


def event(type_: str, *subjects: str, **payload: Any) -> Event:
    return Event(
        type=type_,
        occurred_at="2024-03-01T08:00:00.000Z",
        actor="web",
        subjects=subjects,
        source_system="shop",
        payload=payload,
    )


def test_nothing_of_what_ships_is_loaded(shop: Path) -> None:
    known = catalogue(Settings(schemas=shop))
    assert list(known.types) == ["CustomerRegistered", "ItemAdded", "OrderPlaced", "OrderShipped"]
    assert known.holon_types == set(TYPES["holonTypes"])
    assert known.relationship_types == set(TYPES["relationshipTypes"])
    with pytest.raises(UnknownEventType, match=r"docs/adding-an-event-type\.md"):
        known.validate(event("PersonCreated", "p-1"))


def test_its_events_are_validated_and_folded(shop: Path) -> None:
    known = Catalogue.load(shop)
    events = [
        event("CustomerRegistered", "c-1", name="Ada"),
        event("OrderPlaced", "o-1", total=12.5, holonType="Order"),
        event("ItemAdded", "o-1", "p-1", relationshipId="o-1/p-1", relationshipType="CONTAINS", properties={"n": 2}),
        event("OrderShipped", "o-1", status="shipped"),
    ]
    states = fold(known, recorded(known, events))
    order, item = states["holon/o-1"], states["relationship/o-1/p-1"]
    assert isinstance(order, Holon)
    assert isinstance(item, Relationship)
    assert (order.type, order.properties) == ("Order", {"total": 12.5, "status": "shipped"})
    assert (item.type, item.source, item.target, item.properties) == ("CONTAINS", "o-1", "p-1", {"n": 2})


@pytest.mark.parametrize(
    ("type_", "payload"),
    [
        ("OrderPlaced", {"holonType": "Person"}),
        ("ItemAdded", {"relationshipId": "r-1", "relationshipType": "PLACED_BY"}),
        ("ItemAdded", {"relationshipId": "r-1", "relationshipType": "OCCUPIES"}),
    ],
)
def test_types_of_another_domain_are_refused(shop: Path, type_: str, payload: dict[str, Any]) -> None:
    with pytest.raises(InvalidEvent):
        Catalogue.load(shop).validate(event(type_, "o-1", "p-1", **payload))


def test_the_graph_has_indexes_for_its_types(shop: Path) -> None:
    labels = {index.name for index in wanted(Catalogue.load(shop)) if not index.name.startswith("Holon")}
    assert labels == {*TYPES["holonTypes"], *TYPES["relationshipTypes"]}


def test_the_commands_take_it(shop: Path, tmp_path: Path) -> None:
    assert run(shop, "check").output == "4 event types: no faults\n"
    assert run(tmp_path, "check", str(shop)).output == "4 event types: no faults\n"
    assert run(shop, "docs", "--folder", str(tmp_path)).exit_code == 0
    page = (tmp_path / "catalogue.md").read_text()
    assert "## OrderPlaced" in page
    assert "Relationships: CONTAINS, PLACED_BY." in page
    assert "Person" not in page + (tmp_path / "asyncapi.yaml").read_text()
    assert "OrderPlaced.v2.json: written" in run(shop, "new", "OrderPlaced").output
    assert check(shop) == []
    refused = run(shop, "new", "PersonCreated", "--creates", "Person")
    assert refused.exit_code == 2
    assert "'Person' is none of the catalogue's types" in refused.stderr


def test_an_event_type_cannot_create_what_the_domain_lacks(shop: Path) -> None:
    file = shop / "OrderPlaced.v1.json"
    file.write_text(file.read_text().replace('"type": "Order"}', '"type": "Invoice"}'))
    with pytest.raises(InvalidCatalogue, match="OrderPlaced creates a Invoice, which is no type of holon"):
        Catalogue.load(shop)
    assert [fault.pointer for fault in check(shop)] == ["/x-projection/operations/0/type"]


def test_diff_counts_types_that_went_away(shop: Path, tmp_path: Path) -> None:
    new = tmp_path / "new"
    new.mkdir()
    for file in shop.iterdir():
        (new / file.name).write_text(file.read_text())
    assert run(shop, "diff", str(shop), str(new)).output == "compatible\n"
    (new / "catalogue.json").write_text(json.dumps({**TYPES, "holonTypes": ["Customer", "Order"]}))
    result = run(shop, "diff", str(shop), str(new))
    assert result.exit_code == 1
    assert "OrderPlaced.v1.json: incompatible #/properties/holonType" in result.output


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "not a JSON object"),
        ({}, "must have the keys holonTypes, relationshipTypes, has none"),
        ({**TYPES, "extends": "us"}, "must have the keys"),
        ({**TYPES, "holonTypes": []}, "holonTypes must be a list of at least one name"),
        ({**TYPES, "holonTypes": "Order"}, "holonTypes must be a list"),
        ({**TYPES, "holonTypes": ["order"]}, "holonTypes: not a type: 'order'"),
        ({**TYPES, "holonTypes": ["Order`)"]}, "holonTypes: not a type"),
        ({**TYPES, "holonTypes": ["Holon"]}, "holonTypes: not a type: 'Holon'"),
        ({**TYPES, "holonTypes": ["HolonstreamParked"]}, "holonTypes: not a type: 'HolonstreamParked'"),
        ({**TYPES, "holonTypes": ["Order", "Order"]}, "holonTypes: 'Order' is there twice"),
        ({**TYPES, "relationshipTypes": ["placed by"]}, "relationshipTypes: not a type: 'placed by'"),
        ({**TYPES, "relationshipTypes": [1]}, "relationshipTypes: not a type: 1"),
        ({"holonTypes": ["USES"], "relationshipTypes": ["USES"]}, "relationshipTypes: 'USES' is there twice"),
    ],
)
def test_a_catalogue_file_that_cannot_be_used_is_refused(tmp_path: Path, document: Any, message: str) -> None:
    (tmp_path / "catalogue.json").write_text(json.dumps(document))
    with pytest.raises(InvalidCatalogue, match=rf"catalogue\.json: {message}"):
        Catalogue.load(tmp_path)


def test_two_domains_at_once_are_refused(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "catalogue.json").write_text(json.dumps(TYPES))
    with pytest.raises(InvalidCatalogue, match="Two domains at once"):
        Catalogue.load(tmp_path / "a", tmp_path / "b")
