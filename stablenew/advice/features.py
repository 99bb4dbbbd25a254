r"""What the joint model is linear in: one column for everything that settings may do. Pure.

For a number at u, 0 to 1 on its axis, there are cosines

    φ_m(u) = √2 (cos(m π u') − their mean),   u' = 0.08 + 0.84 u,   m = 1 … 6

whose weights have variances that fall as the spectrum of a Matérn-5/2 kernel of length l does,
λ_m(l) ∝ (1 + (l m π / 2.2)²)⁻³, where 2.2 stands for √5: few of them stand for a smooth function
(Solin and Särkkä, "Hilbert space methods for reduced-rank Gaussian process regression", Statistics
and Computing 30, 2020: there with sines, of functions that vanish at the ends of a wider range;
cosines need not, and u' keeps both ends away from where each of them is flat). For one of K names
there are K indicators, centred. For two settings there are the products of their first columns: the
second order of an ANOVA kernel (Duvenaud, Nickisch and Rasmussen, "Additive Gaussian processes",
NIPS 2011). A number may have a hump, −(2u − 1)² and its mean, for the prior that the ends are
rarely the best.

Columns are centred, so that a setting that is not known (NaN) counts as its average: as nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from itertools import combinations

import attrs
import numpy as np
from numpy.typing import NDArray

from stablenew.advice.setting_axis import SettingAxis

Array = NDArray[np.float64]
Numbers = NDArray[np.intp]

_WAVES, _WAVES_IN_PAIRS = 6, 3
_EDGE = 0.08
_MOST_OF_PAIRS = 400
"""Columns of pairs beyond which the largest pairs are left out: names times names, mostly."""


@attrs.frozen(eq=False)
class Features:
    """The columns of some settings.

    They come in this order: the middle, each setting's own, the humps, the pairs.

    Attributes:
        axes: The settings.
        first: For each column its setting, −1 for the middle.
        second: For each column of a pair the other setting, −1 for the rest.
        wave: For each column which of the first setting's it is: m − 1, or 0 for a name.
        wave_of_second: Likewise.
        humps: Where the humps are.
    """

    axes: tuple[SettingAxis, ...]
    first: Numbers = attrs.field(init=False)
    second: Numbers = attrs.field(init=False)
    wave: Numbers = attrs.field(init=False)
    wave_of_second: Numbers = attrs.field(init=False)
    humps: slice = attrs.field(init=False)
    pairs: tuple[tuple[int, int], ...] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        columns = [(-1, -1, 0, 0)]
        for j, axis in enumerate(self.axes):
            columns += [(j, -1, m, 0) for m in _waves(axis, _WAVES)]
        begin = len(columns)
        columns += [(j, -1, 0, 0) for j, axis in enumerate(self.axes) if axis.has_hump]
        humps = slice(begin, len(columns))
        pairs = self._pairs_that_fit()
        for j, k in pairs:
            both = (_waves(self.axes[each], _WAVES_IN_PAIRS) for each in (j, k))
            one, other = both
            columns += [(j, k, m, n) for m in one for n in other]
        table = np.array(columns, dtype=np.intp)
        for name, value in zip(
            ("first", "second", "wave", "wave_of_second", "humps", "pairs"),
            (*table.T, humps, pairs),
            strict=True,
        ):
            object.__setattr__(self, name, value)

    def _pairs_that_fit(self) -> tuple[tuple[int, int], ...]:
        def size(pair: tuple[int, int]) -> int:
            return math.prod(len(_waves(self.axes[each], _WAVES_IN_PAIRS)) for each in pair)

        kept, columns = [], 0
        for pair in sorted(combinations(range(len(self.axes)), 2), key=size):
            columns += size(pair)
            if columns > _MOST_OF_PAIRS:
                break
            kept.append(pair)
        return tuple(sorted(kept))

    @property
    def count(self) -> int:
        """How many columns there are."""
        return len(self.first)

    @cached_property
    def own(self) -> slice:
        """The columns of what each setting does by itself, without humps."""
        return slice(1, self.humps.start)

    def of(self, rows: Array) -> Array:
        """Return the columns of configurations, one row for each."""
        found = np.empty((len(rows), self.count))
        found[:, 0] = 1.0
        base = [_columns(axis, rows[:, j]) for j, axis in enumerate(self.axes)]
        if base:
            found[:, self.own] = np.concatenate(base, axis=1)
        for column in range(self.humps.start, self.humps.stop):
            u = rows[:, self.first[column]]
            found[:, column] = np.where(np.isnan(u), 0.0, 1.0 / 3.0 - (2.0 * u - 1.0) ** 2)
        at = self.humps.stop
        for j, k in self.pairs:
            one, other = (_in_pairs(self.axes[each], base[each]) for each in (j, k))
            width = one.shape[1] * other.shape[1]
            found[:, at : at + width] = (one[:, :, None] * other[:, None, :]).reshape(-1, width)
            at += width
        return found

    def part(self, *settings: int) -> NDArray[np.bool_]:
        """Return which columns are of these settings and of no other: of one, or of a pair."""
        if len(settings) == 2:
            return np.asarray((self.first == settings[0]) & (self.second == settings[1]))
        return np.asarray((self.first == settings[0]) & (self.second < 0))


def wave_shares(lengths: Sequence[float], waves: int) -> Array:
    """Return the variances of a number's weights for some lengths, each row's sum 1."""
    m = np.arange(1, waves + 1)
    shares = (1.0 + (np.asarray(lengths)[:, None] * m * math.pi / 2.2) ** 2) ** -3.0
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


def waves_of(axis: SettingAxis, *, in_pairs: bool) -> int:
    """Return how many cosines a number has; 1 for names, whose columns are all alike."""
    if axis.names:
        return 1
    return min(_WAVES_IN_PAIRS if in_pairs else _WAVES, max(1, len(axis.values) - 1))


def _waves(axis: SettingAxis, most: int) -> range | list[int]:
    if axis.names:
        return [0] * len(axis.names)
    return range(waves_of(axis, in_pairs=most == _WAVES_IN_PAIRS))


def _columns(axis: SettingAxis, places: Array) -> Array:
    known = ~np.isnan(places)
    u = np.where(known, places, 0.0)
    if axis.names:
        count = len(axis.names)
        scale = math.sqrt(count / max(count - 1, 1))
        found = scale * ((u[:, None] == np.arange(count)) - 1.0 / count)
    else:
        angles = math.pi * np.arange(1, waves_of(axis, in_pairs=False) + 1)
        ends = np.sin(angles * (1.0 - _EDGE)) - np.sin(angles * _EDGE)
        means = ends / (angles * (1.0 - 2.0 * _EDGE))
        inside = _EDGE + (1.0 - 2.0 * _EDGE) * u
        found = math.sqrt(2.0) * (np.cos(inside[:, None] * angles) - means)
    return np.where(known[:, None], found, 0.0)


def _in_pairs(axis: SettingAxis, columns: Array) -> Array:
    return columns if axis.names else columns[:, : waves_of(axis, in_pairs=True)]
