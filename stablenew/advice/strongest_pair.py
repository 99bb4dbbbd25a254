"""The two settings that do most together, and what that is in words. Pure."""

from __future__ import annotations

import attrs
import numpy as np
from numpy.typing import NDArray

from stablenew.advice.candidates import Grid
from stablenew.advice.joint_model import Draws
from stablenew.advice.value_axis import is_number
from stablenew.config.pipeline_config import Setting

Array = NDArray[np.float64]

_FAINT = 0.12
"""The spread of a pair's effect below which it is not worth a word, in points."""

_MOST_VALUES = 13
"""Values of each that are looked at."""


@attrs.frozen(kw_only=True)
class StrongestPair:
    """Two settings that depend on each other.

    Attributes:
        first: The path of one.
        second: The path of the other.
        first_values: Those that were looked at.
        second_values: Likewise.
        quality: For each of the first values a row: what to expect of each of the second, over the
            average of all other settings.
        spread: How far the pair's own effect moves the quality, in points.
        words: What it means.
    """

    first: str
    second: str
    first_values: tuple[Setting, ...]
    second_values: tuple[Setting, ...]
    quality: tuple[tuple[float, ...], ...]
    spread: float
    words: str


def strongest_pair(grid: Grid, draws: Draws) -> StrongestPair | None:
    """Return the pair whose effect, as far as it is known, moves the quality most."""
    mean = draws.mean
    found: tuple[float, int, int] | None = None
    for j, k in draws.features.pairs:
        if j in grid.fixed or k in grid.fixed:
            continue
        columns, _ = _over(grid, draws, j, k)
        of_pair = draws.features.part(j, k)
        spread = float((columns[:, of_pair] @ mean[of_pair]).std())
        if found is None or spread > found[0]:
            found = spread, j, k
    if found is None or found[0] < _FAINT:
        return None
    spread, j, k = found
    columns, shape = _over(grid, draws, j, k)
    quality = (columns @ mean).reshape(shape)
    first, second = grid.axes[j], grid.axes[k]
    one, other = (
        tuple(axis.values[n] for n in _numbers(grid, at)) for axis, at in ((first, j), (second, k))
    )
    return StrongestPair(
        first=first.path,
        second=second.path,
        first_values=one,
        second_values=other,
        quality=tuple(tuple(round(float(v), 3) for v in row) for row in quality),
        spread=round(spread, 3),
        words=_words(first.path, one, second.path, other, quality),
    )


def _numbers(grid: Grid, j: int) -> NDArray[np.intp]:
    choices = grid.choices(j)
    picked = np.linspace(0, len(choices) - 1, min(_MOST_VALUES, len(choices)))
    return np.unique(choices[picked.round().astype(int)])


def _over(grid: Grid, draws: Draws, j: int, k: int) -> tuple[Array, tuple[int, int]]:
    """Return the columns of two settings' values, all others being unknown: their average."""
    one, other = _numbers(grid, j), _numbers(grid, k)
    rows = np.full((len(one) * len(other), len(grid.axes)), np.nan)
    rows[:, j] = np.repeat(grid.axes[j].places[one], len(other))
    rows[:, k] = np.tile(grid.axes[k].places[other], len(one))
    return draws.features.of(rows), (len(one), len(other))


def _words(
    first: str,
    one: tuple[Setting, ...],
    second: str,
    other: tuple[Setting, ...],
    quality: Array,
) -> str:
    """Say for two values of one setting which value of the other is best with each."""
    if all(map(is_number, one)) and not all(map(is_number, other)):
        first, one, second, other, quality = second, other, first, one, quality.T
    best = quality.argmax(axis=1)
    if all(map(is_number, one)):
        low, high = 0, len(one) - 1
    else:
        low, high = int(best.argmin()), int(best.argmax())
    if best[low] == best[high]:
        low, high = _furthest(quality)
    names = (first.rpartition(".")[2], second.rpartition(".")[2])
    here, there = other[int(best[low])], other[int(best[high])]
    if best[low] == best[high]:
        return (
            f"{names[0]} and {names[1]} depend on each other: with {names[0]} {one[low]} the choice"
            f" of {names[1]} matters more than with {one[high]}"
        )
    return (
        f"with {names[0]} {one[low]}, {names[1]} {here} is best;"
        f" with {names[0]} {one[high]}, {names[1]} {there}"
    )


def _furthest(quality: Array) -> tuple[int, int]:
    """Return the rows in which the other setting matters most and least."""
    spread = np.ptp(quality, axis=1)
    return int(spread.argmax()), int(spread.argmin())
