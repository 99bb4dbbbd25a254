"""One setting as the joint model sees it: a number between two ends, or one of some names. Pure.

Inside the model a configuration is a row of floats: for a number where it lies between the ends (0
to 1), for a name its place; NaN where the setting is not known, or has a name that is none of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

import attrs
import numpy as np
from numpy.typing import NDArray

from stablenew.advice.value_axis import identity, is_number
from stablenew.config.pipeline_config import Setting

Array = NDArray[np.float64]

_STEPS = 40
"""Into how many steps a range is cut, at the most, for what is considered and advised."""

_NICE = (1.0, 2.0, 2.5, 5.0, 10.0)
"""What a step's first digits may be: people set a cfg of 6.5 and not of 6.475."""

_FEW = 5
"""Values below which the ends of a range are no ends: one of three is as likely as another."""


@attrs.frozen(kw_only=True)
class SettingAxis:
    """A setting, and what it may be.

    Attributes:
        path: `txt2img.cfg_scale`.
        low: The lowest number.
        high: The highest.
        log: Whether numbers lie on a logarithmic axis.
        whole: Whether they are whole.
        names: Of a setting of names: all of them, in order; empty for a number.
        ends_rarely_best: Whether it is believed beforehand that the ends are rarely the best.
    """

    path: str
    low: float = 0.0
    high: float = 1.0
    log: bool = False
    whole: bool = False
    names: tuple[Setting, ...] = ()
    ends_rarely_best: bool = True

    @cached_property
    def values(self) -> tuple[Setting, ...]:
        """What is considered: every name, or numbers from end to end."""
        if self.names:
            return self.names
        if self.low >= self.high:
            return (self._plain(self.low),)
        found = {self.low, self.high, *self._between()}
        return tuple(self._plain(each) for each in sorted(found))

    def _between(self) -> list[float]:
        if self.whole and self.high - self.low <= _STEPS:
            return [float(n) for n in range(math.ceil(self.low), math.floor(self.high) + 1)]
        if self.log:
            points = np.geomspace(self.low, self.high, _STEPS - 10)
            digits = 0 if self.whole else 2 - math.floor(math.log10(self.high))
            return [round(float(each), digits) for each in points[1:-1]]
        step = nice_step((self.high - self.low) / _STEPS)
        step = max(1.0, round(step)) if self.whole else step
        first, last = math.ceil(self.low / step), math.floor(self.high / step)
        return [float(f"{n * step:.6g}") for n in range(first, last + 1)]

    def _plain(self, value: float) -> Setting:
        return int(value) if self.whole or value == int(value) else value

    @property
    def has_hump(self) -> bool:
        """Whether the prior that the ends are rarely the best says something of it."""
        return self.ends_rarely_best and not self.names and len(self.values) >= _FEW

    @cached_property
    def places(self) -> Array:
        """Where each of `values` is, as the model sees it."""
        return self.places_of(self.values)

    def places_of(self, values: Sequence[Setting]) -> Array:
        """Return where some values are, NaN for what is none of this setting's."""
        if self.names:
            return np.array([self._numbers.get(identity(v), math.nan) for v in values], dtype=float)
        numbers: Array = np.array([_number(value) for value in values])
        low, high = self.low, self.high
        if low >= high:
            return np.where(np.isnan(numbers), math.nan, 0.5)
        numbers = np.clip(numbers, low, high)
        if self.log:
            return np.asarray(np.log(numbers / low) / math.log(high / low))
        return np.asarray((numbers - low) / (high - low))

    @cached_property
    def _numbers(self) -> dict[object, int]:
        return {identity(name): number for number, name in enumerate(self.names)}

    def nearest(self, places: Array) -> NDArray[np.intp]:
        """Return for each place the number of the value that lies nearest; 0 where it has none."""
        away = np.abs(np.nan_to_num(places)[:, None] - self.places[None, :])
        return np.asarray(away.argmin(axis=1))


def _number(value: Setting) -> float:
    return float(value) if is_number(value) else math.nan


def nice_step(smallest: float) -> float:
    """Return the smallest step of few digits that is not below another."""
    power = 10.0 ** math.floor(math.log10(smallest))
    return next(power * digits for digits in _NICE if power * digits >= smallest * 0.999)
