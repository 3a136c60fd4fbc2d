"""``docs/asyncapi.yaml``: the topic of events as an AsyncAPI 3.0 document, made from the schemas.

AsyncAPI's schema language follows an older draft, which ignores what stands beside ``$ref``: such schemas are written
with ``allOf``. Shapes of the vocabulary become components.
"""

from __future__ import annotations

from typing import Any

from holonstream.schemas.catalogue import Catalogue, EventType
from holonstream.schemas.names import events_topic
from holonstream.schemas.tooling.jsonschemas import meta_schema
from holonstream.schemas.tooling.layout import yaml
from holonstream.schemas.wire import CONTENT_TYPE

TOPIC = events_topic("holonstream")
HEAD = "# Made by `holonstream schemas docs` from schemas/events; change it there.\n"
DROPPED = ("$schema", "$id", "$defs", "title", "description")
NAMED = frozenset({"properties", "patternProperties", "dependentSchemas"})


def asyncapi_page(catalogue: Catalogue) -> str:
    """The document, in YAML."""
    return HEAD + yaml(asyncapi(catalogue)) + "\n"


def asyncapi(catalogue: Catalogue) -> dict[str, Any]:
    """The document, as JSON values."""
    shared = catalogue.vocabulary
    schemas = {name: _draft7(schema, shared["$id"]) for name, schema in shared["$defs"].items()}
    schemas["CloudEvent"] = _payload(meta_schema("cloudevent"), shared["$id"])
    messages: dict[str, Any] = {}
    for event_type in catalogue.types.values():
        schemas[event_type.name] = _payload(event_type.schema, shared["$id"])
        messages[event_type.name] = _message(event_type)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "holonstream",
            "version": "1.0.0",
            "description": "The events of the log, in order within a stream, each exactly once for readers of "
            "committed records, kept for ever.",
        },
        "defaultContentType": CONTENT_TYPE,
        "channels": {
            "events": {
                "address": TOPIC,
                "title": "Events",
                "description": "The key of a record is the event's stream, partitioned by murmur2: the events of one "
                "entity are in one partition, in the order of the log. The first part of the address is the setting "
                "`namespace`.",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
                "bindings": {"kafka": {"topic": TOPIC, "bindingVersion": "0.5.0"}},
            }
        },
        "operations": {
            "relayEvents": {
                "action": "send",
                "channel": {"$ref": "#/channels/events"},
                "title": "Relay",
                "summary": "The relay copies what is committed to the log.",
            },
            "followEvents": {
                "action": "receive",
                "channel": {"$ref": "#/channels/events"},
                "title": "Follow",
                "summary": "The graph and the cache follow the log, each with a consumer group of its own.",
            },
        },
        "components": {"messages": messages, "schemas": schemas},
    }


def _message(event_type: EventType) -> dict[str, Any]:
    schema = event_type.schema
    return {
        "name": event_type.name,
        "title": schema["title"],
        "summary": schema["description"],
        "contentType": CONTENT_TYPE,
        "payload": {
            "allOf": [
                {"$ref": "#/components/schemas/CloudEvent"},
                {
                    "type": "object",
                    "properties": {
                        "type": {"const": event_type.name},
                        "dataschema": {"const": schema["$id"]},
                        "data": {"$ref": f"#/components/schemas/{event_type.name}"},
                    },
                },
            ]
        },
        "bindings": {"kafka": {"key": {"type": "string"}, "bindingVersion": "0.5.0"}},
    }


def _payload(schema: dict[str, Any], shared_id: str) -> dict[str, Any]:
    body = {keyword: value for keyword, value in schema.items() if keyword not in DROPPED and keyword[:2] != "x-"}
    named = {"title": schema["title"], "description": schema["description"]}
    return {**named, **_draft7(body, shared_id)}


def _draft7(schema: Any, shared_id: str) -> Any:
    """The schema with references to components, and nothing beside them."""
    if not isinstance(schema, dict):
        return schema
    converted: dict[str, Any] = {}
    for keyword, value in schema.items():
        if keyword == "$ref":
            converted[keyword] = value.replace(f"{shared_id}#/$defs/", "#/components/schemas/").replace(
                "#/$defs/", "#/components/schemas/"
            )
        elif keyword in NAMED:
            converted[keyword] = {name: _draft7(member, shared_id) for name, member in value.items()}
        elif isinstance(value, list) and keyword in ("allOf", "anyOf", "oneOf"):
            converted[keyword] = [_draft7(member, shared_id) for member in value]
        elif keyword in ("examples", "const", "enum", "required"):
            converted[keyword] = value
        else:
            converted[keyword] = _draft7(value, shared_id)
    if "$ref" in converted and len(converted) > 1:
        reference = {"$ref": converted.pop("$ref")}
        converted["allOf"] = [reference, *converted.get("allOf", ())]
    return converted
