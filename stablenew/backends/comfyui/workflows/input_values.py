"""Whether a value fits an input: its type, its range, the names that there are. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import cast

from stablenew._arguments import shown
from stablenew._names import suggestion
from stablenew.backends.comfyui import file_names
from stablenew.backends.comfyui.object_info import OPENING, NodeInput
from stablenew.config.pipeline_config import Setting

_STORED = ("[input]", "[output]", "[temp]")
"""What a file's name ends with that is in one of the server's other folders."""

_TYPES: Mapping[str, type] = {"INT": int, "FLOAT": float, "BOOLEAN": bool}


def value_type(described: NodeInput | None, present: object) -> type:
    """Return the type of an input's values: str, int, float or bool.

    Args:
        described: What the server says of it; None where it does not.
        present: What stands in it: a whole number may be one of any kind.
    """
    if described is not None and described.literal:
        listed = described.choices or ()
        numbers = bool(listed) and all(type(each) in (int, float) for each in listed)
        return _TYPES.get(described.kind, float if numbers else str)
    if isinstance(present, bool):
        return bool
    return float if isinstance(present, int | float) else str


def fitted(described: NodeInput, value: object) -> Setting:
    """Return a value as the server takes it: whole numbers whole, files as it names them.

    Raises:
        ValueError: It does not fit: what was given, and what would be right.
    """
    kind = described.kind
    if kind in ("INT", "FLOAT"):
        return _number(described, value)
    if kind == "BOOLEAN":
        if isinstance(value, bool) or (isinstance(value, int) and value in (0, 1)):
            return bool(value)
        raise ValueError(f"given {shown(value)}, expected true or false")
    if described.choices is not None:
        return _choice(described, value)
    if kind == "STRING" and not isinstance(value, str):
        raise ValueError(f"given {shown(value)}, expected text")
    return cast("Setting", value)


def _number(described: NodeInput, value: object) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        expected = "a whole number" if described.kind == "INT" else "a number"
        raise ValueError(f"given {shown(value)}, expected {expected}")
    if described.kind == "INT":
        if value != int(value):
            raise ValueError(f"given {value!r}, expected a whole number")
        value = int(value)
    if (described.low is not None and value < described.low) or (
        described.high is not None and value > described.high
    ):
        raise ValueError(f"given {shown(value)}, expected {range_of(described)}")
    return value


def range_of(described: NodeInput) -> str:
    """Return the range of a number in words; "" where it has none."""
    low, high = described.low, described.high
    low = int(low) if low is not None and low == int(low) else low
    high = int(high) if high is not None and high == int(high) else high
    if low is not None and high is not None:
        return f"{low:,} to {high:,}"
    return f"{low:,} or more" if low is not None else f"up to {high:,}" if high is not None else ""


def _choice(described: NodeInput, value: object) -> Setting:
    choices = described.choices or ()
    if isinstance(value, list) and described.options.get("multiselect"):
        for each in value:
            _choice(described, each)
        return cast("Setting", value)
    if value in choices:
        return value
    if isinstance(value, str) and described.kind != OPENING:
        if described.is_file and ("/" in value or value.endswith(_STORED)):
            return value  # in a folder that is not listed
        texts = [each for each in choices if isinstance(each, str)]
        found = file_names.spellings(tuple(texts)).get(value.lower())
        if found is not None and "." in found:
            return found
    if described.is_file:
        there = suggestion(value, map(str, choices), listed=4)
        raise ValueError(f"given {shown(value)}, no such file on the server; {there}")
    raise ValueError(f"given {shown(value)}, {suggestion(value, map(str, choices))}")
