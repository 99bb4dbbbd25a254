"""Write `stablenew/events/event.schema.json` from the classes of the events.

python scripts/write_event_schema.py
"""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Iterator, Mapping
from datetime import datetime
from enum import Enum
from pathlib import Path

import attrs

import stablenew
from stablenew.cli.json_lines import Envelope
from stablenew.controller.interruption import Interruption
from stablenew.events.event import Event
from stablenew.events.event_log import SCHEMA
from stablenew.learning import learning_events
from stablenew.pipeline import stage_events

PATH = Path(stablenew.__file__).parent / "events" / "event.schema.json"

Schema = dict[str, object]

_PLAIN: Mapping[object, Schema] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    type(None): {"type": "null"},
    datetime: {"type": "string", "format": "date-time"},
    object: {},
}


def event_classes() -> Iterator[type[Event]]:
    """Yield every class of which there are events."""
    for module in (learning_events, stage_events):
        for each in vars(module).values():
            if isinstance(each, type) and issubclass(each, Event) and not each.__subclasses__():
                yield each


def schema_of(kind: object, parts: dict[str, Schema]) -> Schema:
    """Return the schema of a type; classes go to `parts`, each once."""
    if kind in _PLAIN:
        return _PLAIN[kind]
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return {"anyOf": [schema_of(each, parts) for each in inner]}
    if origin is tuple and inner[-1] is ...:
        return {"type": "array", "items": schema_of(inner[0], parts)}
    if origin is tuple:
        return {"type": "array", "prefixItems": [schema_of(each, parts) for each in inner]}
    if origin is not None and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": schema_of(inner[1], parts)}
    if isinstance(kind, type) and issubclass(kind, Enum):
        parts[kind.__name__] = {"enum": [each.value for each in kind]}
        return {"$ref": f"#/$defs/{kind.__name__}"}
    assert isinstance(kind, type)
    assert attrs.has(kind), kind
    if kind.__name__ not in parts:
        parts[kind.__name__] = {}
        parts[kind.__name__] = class_schema(kind, parts)
    return {"$ref": f"#/$defs/{kind.__name__}"}


def class_schema(kind: type[attrs.AttrsInstance], parts: dict[str, Schema]) -> Schema:
    """Return the schema of a class: whatever it has is always there."""
    hints = typing.get_type_hints(kind)
    names = [f.name for f in attrs.fields(kind) if not f.metadata.get("off_the_record")]
    return {
        "description": (kind.__doc__ or "").strip().partition("\n")[0],
        "type": "object",
        "properties": {name: schema_of(hints[name], parts) for name in names},
        "required": names,
    }


def envelope_schema(parts: dict[str, Schema]) -> Schema:
    """Return the schema of the last line."""
    text = {"type": "string"}
    file = {
        "type": "object",
        "properties": {"kind": text, "path": text},
        "required": ["kind", "path"],
    }
    outcomes = ["succeeded", "failed", "cancelled", "timed_out", "interrupted", None]
    count = {"type": "integer", "minimum": 0}
    properties: Schema = {
        "outcome": {"enum": outcomes},
        "exit_code": {"type": "integer", "minimum": 0, "maximum": 255},
        "files": {"type": "array", "items": file},
        "errors": {"type": "array", "items": text},
        "interrupted": {"type": "array", "items": schema_of(Interruption, parts)},
        "pictures": count,
        "reused": count,
        "blank": count,
    }
    return {
        "description": (Envelope.__doc__ or "").partition(",")[0] + "; it comes once.",
        "properties": properties,
        "required": list(properties),
    }


def dry_run_schema() -> Schema:
    """Return the schema of what `--dry-run` prints."""
    properties: Schema = {
        "pictures": {"type": "integer", "minimum": 0},
        "backend_calls": {"type": "integer", "minimum": 0},
        "step_count": {"type": "integer", "minimum": 0},
        "at_most": {"type": "boolean"},
        "steps": {"type": "array", "items": {"type": "object"}},
    }
    return {
        "description": "What would run.",
        "properties": properties,
        "required": list(properties),
    }


def event_schema() -> Schema:
    """Return the schema of a line."""
    parts: dict[str, Schema] = {}
    kinds: dict[str, Schema] = {}
    for each in event_classes():
        kinds[each.__name__] = class_schema(each, parts)
    kinds["dry_run"], kinds["envelope"] = dry_run_schema(), envelope_schema(parts)
    identifier = {"type": ["string", "null"]}
    head: Schema = {
        "schema": {"const": SCHEMA},
        "type": {"type": "string"},
        "sequence": {"type": "integer", "minimum": 1},
        "at": {"type": "string", "format": "date-time"},
        "plan_id": identifier,
        "run_id": identifier,
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:{SCHEMA.replace('/', ':')}",
        "title": SCHEMA,
        "description": "A line of `--json`, of `--events-from` and of events.jsonl. Types and"
        " members may be added; what is here stays.",
        "type": "object",
        "properties": head,
        "required": list(head),
        "allOf": [
            {
                "if": {"properties": {"type": {"const": name}}},
                "then": {"$ref": f"#/$defs/{name}"},
            }
            for name in kinds
        ],
        "$defs": {**kinds, **parts},
    }


if __name__ == "__main__":
    PATH.write_text(json.dumps(event_schema(), indent=1) + "\n")
