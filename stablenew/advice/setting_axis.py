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
from stablenew.config.number_range import numbers_between
from stablenew.config.pipeline_config import Setting

Array = NDArray[np.float64]

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
        given: Of a number: what alone is considered, ascending; numbers from end to end if empty.
        ends_rarely_best: Whether it is believed beforehand that the ends are rarely the best.
    """

    path: str
    low: float = 0.0
    high: float = 1.0
    log: bool = False
    whole: bool = False
    names: tuple[Setting, ...] = ()
    given: tuple[Setting, ...] = ()
    ends_rarely_best: bool = True

    @cached_property
    def values(self) -> tuple[Setting, ...]:
        """What is considered: every name, or numbers from end to end."""
        if self.names or self.given:
            return self.names or self.given
        if self.low >= self.high:
            return (self._plain(self.low),)
        numbers = numbers_between(self.low, self.high, whole=self.whole, log=self.log)
        return tuple(self._plain(each) for each in numbers)

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
