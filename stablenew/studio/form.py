"""What a backend has, as the data of a form: choices, ranges, defaults. Pure."""

from __future__ import annotations

import typing
from collections.abc import Iterator

import attrs

from stablenew.backends.base import Capabilities
from stablenew.config.overrides import setting_types
from stablenew.config.pipeline_config import STAGES, PipelineConfig, bounded

_KINDS = {int: "whole", float: "number", bool: "bool", str: "text"}
_MULTILINE = ("prompt", "negative_prompt")


def form_of(server: str, capabilities: Capabilities) -> dict[str, object]:
    """Return the form of a server, stage by stage, field by field."""
    return {
        "server": server,
        "backend": capabilities.backend,
        "version": capabilities.version,
        "title": capabilities.title,
        "sizes": [list(size) for size in capabilities.sizes],
        "loras": list(capabilities.names_of("lora")),
        "models": list(capabilities.models),
        "stages": [
            {
                "name": stage,
                "enabled": stage == "txt2img",
                "fields": list(_fields(stage, capabilities)),
            }
            for stage in STAGES
            if stage in capabilities.stages
        ],
    }


def _fields(stage: str, capabilities: Capabilities) -> Iterator[dict[str, object]]:
    understood = capabilities.stages[stage]
    kind = typing.get_type_hints(PipelineConfig)[stage]
    limits = {field.name: field.validator for field in attrs.fields(kind)}
    for name, type_ in setting_types(stage).items():
        if name == "enabled" or name not in understood:
            continue
        choices = capabilities.names_of(name) if type_ is str else ()
        limit = limits[name]
        ends = (limit.low, limit.high) if isinstance(limit, bounded) else (None, None)
        low, high = capabilities.ranges.get(name, ends)
        yield {
            "path": f"{stage}.{name}",
            "name": name,
            "kind": "choice" if choices else _KINDS[type_],
            "default": understood[name],
            "low": low,
            "high": high,
            "choices": list(choices) or None,
            "multiline": name.endswith(_MULTILINE),
            "sweepable": not name.endswith(_MULTILINE),
        }
