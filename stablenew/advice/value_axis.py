"""The values of a setting: what makes one, their order, and what lies between them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TypeGuard

from stablenew._convert import is_a_number
from stablenew.config.pipeline_config import Setting

_MOST_TRIED = 40
"""Values beyond which there is enough to choose from without any in between."""


def candidates_between(values: Sequence[Setting]) -> tuple[Setting, ...]:
    """Return the numbers half-way between two neighbours, whole where they are; none for names."""
    if points(values) is None or len(values) > _MOST_TRIED:
        return ()
    numbers = sorted(float(v) for v in values if isinstance(v, int | float))
    whole = all(isinstance(value, int) for value in values)
    mids = [(one + next_) / 2 for one, next_ in pairwise(numbers)]
    found = [float(round(mid)) for mid in mids] if whole else [float(f"{mid:.4g}") for mid in mids]
    fresh = sorted({*found} - {*numbers})
    return tuple(int(each) if whole else each for each in fresh)


def ordered(values: Iterable[Setting]) -> list[Setting]:
    """Return numbers by size, and anything else by its text."""
    unique: dict[object, Setting] = {}
    for value in values:
        unique.setdefault(identity(value), value)

    def place(value: Setting) -> tuple[int, float, str]:
        if is_number(value):
            return 0, float(value), ""  # a number, as was checked
        return 1, 0.0, str(value)

    return sorted(unique.values(), key=place)


def is_number(value: Setting) -> TypeGuard[int | float]:
    """Return whether a value is a number to reckon with: no bool, no NaN, nothing astronomic."""
    return is_a_number(value) and abs(value) < _MOST


_MOST = 10**30


def points(values: Sequence[Setting]) -> list[float] | None:
    """Return values as numbers; None where one of them is none."""
    numbers = [float(value) for value in values if is_number(value)]
    return numbers if len(numbers) == len(values) else None


def indices(values: Sequence[Setting]) -> dict[object, int]:
    """Return the place of each value, by its identity."""
    return {identity(value): index for index, value in enumerate(values)}


def identity(value: Setting) -> object:
    """Return what makes a value: 7 and 7.0 are one, 1 and True are not."""
    return ("bool", value) if isinstance(value, bool) else value
