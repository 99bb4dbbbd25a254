"""Tags of plans, runs and choices: plain data that JSON can hold."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, time
from pathlib import Path
from types import MappingProxyType

from stablenew._arguments import is_text, shown
from stablenew._convert import EMPTY, as_python, joined
from stablenew.errors import ConfigError


def as_metadata(given: object) -> Mapping[str, object]:
    """Return tags as plain data that nobody can change (an attrs converter); dates become text.

    Raises:
        ConfigError: With every key whose value JSON cannot hold; a record could not, either.
    """
    if not isinstance(given, Mapping):
        raise ConfigError(f"metadata: given {given!r}, expected a table of keys and values")
    if not given:  # as of most choices, and a plan may have thousands
        return EMPTY
    problems: list[str] = []
    try:
        plain = _json_value(given, "metadata", problems)
    except RecursionError:
        raise ConfigError("metadata: nested too deeply") from None
    if problems:
        raise ConfigError(*problems)
    assert isinstance(plain, Mapping)
    return MappingProxyType(plain)


def _json_value(value: object, path: str, problems: list[str]) -> object:
    """Return `value` as JSON has it; what it has not is named in `problems`."""
    value = as_python(value)
    if isinstance(value, Mapping):
        wrong = [key for key in value if not is_text(key)]
        problems += [f"{path}: given the key {shown(key)}, expected text" for key in wrong]
        return {
            as_python(key): _json_value(each, joined(path, str(key)), problems)
            for key, each in value.items()
        }
    if isinstance(value, list | tuple):
        return [_json_value(each, f"{path}[{index}]", problems) for index, each in enumerate(value)]
    if isinstance(value, date | time):  # TOML has them
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    if value is not None and not isinstance(value, str | int | float):
        expected = "text, a number, true or false, a list"
        problems.append(f"{path}: given {shown(value)}, expected {expected}")
    elif isinstance(value, str) and not is_text(value):
        problems.append(f"{path}: given {shown(value)}, expected valid Unicode text")
    elif isinstance(value, float) and not math.isfinite(value):
        problems.append(f"{path}: given {value!r}, expected a finite number")
    elif isinstance(value, int) and value.bit_length() > _MOST_BITS:
        problems.append(
            f"{path}: given a number of {value.bit_length()} bits, expected a smaller one"
        )
    return value


_MOST_BITS = 10_000
"""Beyond this Python writes no whole number out."""
