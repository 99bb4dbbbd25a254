"""Settings and sweeps as a person types them: `txt2img.cfg_scale=1,3,5:9:2`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation

from stablenew.config.overrides import setting_types, split_path
from stablenew.config.pipeline_config import Setting
from stablenew.errors import OverrideError

MOST_VALUES = 100_000
"""How many values a sweep may have."""

MOST = 10**30
"""A number beyond any that a setting could take."""

_BOOLS = {"true": True, "false": False}


def parse_assignment(text: str) -> tuple[str, Setting]:
    """Read `img2img.enabled=true` as a path and a value of the setting's type.

    Raises:
        OverrideError: No `=`, an unknown path, or a value of another type.
    """
    path, value = _split(text)
    return path, _value(path, value)


def parse_sweep(text: str) -> tuple[str, tuple[Setting, ...]]:
    """Read `txt2img.steps=10,20,30:50:10` as a path and its values.

    Values are separated by commas, in double quotes where they hold one; in those, `""` is a quote.
    `start:stop:step` counts in decimal arithmetic and includes the stop; integers stay integers.

    Raises:
        OverrideError: An unknown path, a value of another type, a stray quote, or no value at all.
    """
    path, values = _split(text)
    return path, parse_values(path, values)


def parse_values(path: str, text: str) -> tuple[Setting, ...]:
    """Read the values of a sweep over `path`: `1,3,5:9:2`.

    Raises:
        OverrideError: A value of another type, a stray quote, or no value at all.
    """
    items = [*_items(path, text)]
    if not any(item.strip() for item in items):
        raise OverrideError(f"{path}: given no values, expected some: {path}=1,2 or 1:9:2")
    values: list[Setting] = []
    numeric = _type(path) in (int, float)
    for item in items:
        values.extend(_range(path, item) if numeric and ":" in item else [_value(path, item)])
        if len(values) > MOST_VALUES:
            raise OverrideError(f"{path}: given more than {MOST_VALUES:,} values")
    return tuple(values)


_ITEM = re.compile(r'\s*(?:"((?:[^"]|"")*)"\s*|([^,]*))(?:,|\Z)')


def _items(path: str, text: str) -> Iterator[str]:
    """Yield what commas separate; a quote that quotes no whole value is refused, not guessed at."""
    place = 0
    while place <= len(text):
        item = _ITEM.match(text, place)
        assert item is not None  # anything up to a comma will do
        quoted, bare = item.groups()
        if bare is not None and (bare.startswith('"') or bare.count('"') % 2):
            quote = text.index('"', place)
            raise OverrideError(
                f"{path}: a stray quote at {text[quote : quote + 20]!r} (character {quote + 1});"
                ' quote a whole value, each quote in it twice: "a ""red"" cat, sitting"'
            )
        yield bare if quoted is None else quoted.replace('""', '"')
        place = item.end() + (item.end() == len(text) and not item[0].endswith(","))


def _split(text: str) -> tuple[str, str]:
    path, equals, value = text.partition("=")
    if not equals:
        raise OverrideError(f"given {text!r}, expected PATH=VALUE such as txt2img.steps=20")
    return path.strip(), value.strip()


def _type(path: str) -> type:
    stage, name = split_path(path)
    return setting_types(stage)[name]


def _value(path: str, text: str) -> Setting:
    kind = _type(path)
    text = text.strip()
    if kind is bool:
        if text.lower() not in _BOOLS:
            raise OverrideError(f"{path}: given {text!r}, expected true or false")
        return _BOOLS[text.lower()]
    if kind is str:
        return text
    return _number(path, _decimal(path, text))


def _decimal(path: str, text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or abs(number) > MOST:
        _refuse_webui_range(path, text)
        expected = "a whole number" if _type(path) is int else "a number"
        raise OverrideError(f"{path}: given {text!r}, expected {expected}")
    return number


def _number(path: str, number: Decimal) -> int | float:
    if number == number.to_integral_value() and abs(number) < 2**64:
        return int(number)
    if _type(path) is int:
        raise OverrideError(f"{path}: given {number}, expected a whole number")
    return float(number)


def _range(path: str, text: str) -> Iterator[Setting]:
    parts = [_decimal(path, part) for part in text.split(":")]
    if len(parts) != 3:
        raise OverrideError(f"{path}: given {text!r}, expected start:stop:step such as 1:9:2")
    start, stop, step = parts
    if step == 0:
        raise OverrideError(f"{path}: given {text!r}, whose step is 0; expected another")
    if (start < stop) != (step > 0) and start != stop:
        raise OverrideError(f"{path}: given {text!r}, which has no value: the step leads away")
    if abs(stop - start) >= MOST_VALUES * abs(step):  # before a division that may overflow
        raise OverrideError(f"{path}: given {text!r}, expected at most {MOST_VALUES:,} values")
    for index in range(int((stop - start) / step) + 1):
        yield _number(path, start + index * step)


_WEBUI_RANGE = re.compile(
    r"(-?[\d.]+) *- *(-?[\d.]+) *(?:\( *([+-]?[\d.]+) *\)|\[ *(\d+) *\])?", re.ASCII
)


def _refuse_webui_range(path: str, text: str) -> None:
    """Say how a range is written here to whoever writes `1-10 (+2)` or `1-10 [5]`."""
    found = _WEBUI_RANGE.fullmatch(text)
    if found is None:
        return
    start, stop, step, count = found.groups()
    try:
        if count is not None:
            step = f"{(Decimal(stop) - Decimal(start)) / max(int(count) - 1, 1):.6g}"
        range_ = f"{Decimal(start)}:{Decimal(stop)}:{Decimal(step or 1)}"
    except ArithmeticError:
        return
    raise OverrideError(f"{path}: given {text!r}, expected start:stop:step: {range_}")
