"""An exploration given as some values to begin with, and the bounds of what comes next. Pure.

Version 0.1 knew no other; its plans are read, and gone on with, as they were.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeGuard

from stablenew._convert import as_python, is_a_number
from stablenew.config.overrides import value_type
from stablenew.config.pipeline_config import Setting
from stablenew.errors import ConfigError

_COUNT = 25


def further_values(path: str, values: Sequence[Setting], bounds: object) -> tuple[Setting, ...]:
    """Return what else is worth trying between two bounds; whole where the setting is.

    Raises:
        ConfigError: These are none, or a value lies beyond them.
    """
    ends = as_python(bounds)
    ends = [*map(as_python, ends)] if isinstance(ends, list | tuple) else []
    if len(ends) != 2 or not all(_is_finite(end) for end in ends):
        raise ConfigError(f"bounds: given {bounds!r}, expected the lowest and the highest number")
    low, high = (float(str(end)) for end in ends)
    if not low < high:
        said = f"given {low:g}..{high:g}, expected a lower and a higher number"
        raise ConfigError(f"{path}: {said}")
    expected = f"expected a number from {low:g} to {high:g}"
    beyond = [v for v in values if not (_is_finite(v) and low <= float(v) <= high)]
    if beyond:
        raise ConfigError(*(f"{path}: given {value!r}, {expected}" for value in beyond))
    whole = value_type(path) is int
    count = min(_COUNT, int(high - low) + 1) if whole else _COUNT
    digits = 0 if whole else max(0, 2 - math.floor(math.log10(high - low)))
    points = (round(low + (high - low) * n / max(count - 1, 1), digits) for n in range(count))
    numbers = dict.fromkeys(int(each) if each == int(each) else each for each in points)
    return tuple(number for number in numbers if number not in values)


def _is_finite(value: object) -> TypeGuard[int | float]:
    return is_a_number(value) and math.isfinite(value)
