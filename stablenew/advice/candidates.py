"""Which configurations are considered: all of a few, else some of everywhere and near the best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

import attrs
import numpy as np
from numpy.typing import NDArray

from stablenew.advice.features import Features
from stablenew.advice.joint_model import Draws
from stablenew.advice.setting_axis import SettingAxis
from stablenew.config.pipeline_config import Setting

Array = NDArray[np.float64]
Numbers = NDArray[np.intp]

_MOST = 400
"""Configurations up to which all are considered; else so many less a quarter, at random."""

_CLIMBED = 2
"""Draws whose own best is looked for besides the best by their mean."""


@attrs.frozen(eq=False)
class Grid:
    """Configurations as numbers of each setting's `values`.

    Attributes:
        axes: The settings.
        fixed: Of the settings that are not to be changed: by their places among the axes, the
            number of the value.
    """

    axes: tuple[SettingAxis, ...]
    fixed: dict[int, int] = attrs.field(factory=dict)

    @property
    def sizes(self) -> list[int]:
        """How many values each setting may have."""
        return [1 if j in self.fixed else len(axis.values) for j, axis in enumerate(self.axes)]

    def choices(self, j: int) -> Numbers:
        """Return the numbers of the values that a setting may have."""
        if j in self.fixed:
            return np.array([self.fixed[j]])
        return np.arange(len(self.axes[j].values))

    def rows(self, numbers: Numbers) -> Array:
        """Return configurations as the model takes them."""
        found = np.empty(numbers.shape)
        for j, axis in enumerate(self.axes):
            found[:, j] = axis.places[numbers[:, j]]
        return found

    def settings(self, numbers: Numbers) -> dict[str, Setting]:
        """Return one configuration as settings by their paths."""
        return {
            axis.path: axis.values[int(number)]
            for axis, number in zip(self.axes, numbers, strict=True)
        }

    def numbers_of(self, rows: Array) -> Numbers:
        """Return the configurations of the grid that lie nearest."""
        found = [axis.nearest(rows[:, j]) for j, axis in enumerate(self.axes)]
        numbers = np.stack(found, axis=1) if found else np.zeros((len(rows), 0), dtype=np.intp)
        for j, number in self.fixed.items():
            numbers[:, j] = number
        return numbers

    def every(self) -> Numbers:
        """Return all of them."""
        parts = np.meshgrid(*(self.choices(j) for j in range(len(self.axes))), indexing="ij")
        return np.stack([part.ravel() for part in parts], axis=1)

    def some(self, count: int, random: np.random.Generator) -> Numbers:
        """Return some at random."""
        return np.stack([random.choice(self.choices(j), count) for j in range(len(self.axes))], 1)

    def spread(self, count: int, random: np.random.Generator) -> Numbers:
        """Return a Latin hypercube: each setting goes through its whole range evenly.

        McKay, Beckman and Conover, "A comparison of three methods for selecting values of input
        variables …", Technometrics 21, 1979.
        """
        columns = []
        for j in range(len(self.axes)):
            share = (random.permutation(count) + random.random(count)) / count
            choices = self.choices(j)
            columns.append(choices[(share * len(choices)).astype(int)])
        return np.stack(columns, axis=1)

    def neighbours(self, numbers: Numbers) -> Numbers:
        """Return every configuration that differs in one setting, and the configuration itself.

        Of several configurations, a row each, those of each.
        """
        changed, values = self._changes
        return np.asarray(np.where(changed, values, numbers[..., None, :]))

    @cached_property
    def _changes(self) -> tuple[NDArray[np.bool_], Numbers]:
        """For each neighbour which setting is changed, and to what; the first changes nothing."""
        of = np.repeat(np.arange(len(self.axes)), self.sizes)
        values = np.concatenate([[0], *(self.choices(j) for j in range(len(self.axes)))])
        changed = np.concatenate([[-1], of])[:, None] == np.arange(len(self.axes))
        return changed, values[:, None]


def candidates(
    grid: Grid, draws: Draws, tried: Numbers, random: np.random.Generator
) -> tuple[Numbers, Array]:
    """Return what is considered, and the columns of each."""
    features = draws.features
    if math.prod(grid.sizes) <= _MOST:
        every = grid.every()
        return every, features.of(grid.rows(every))
    some = np.concatenate([grid.some(_MOST - _MOST // 4, random), tried])
    columns = features.of(grid.rows(some))
    picked = random.choice(len(draws.weights), _CLIMBED, replace=False)
    weights = np.stack([draws.mean, *draws.weights[picked]])
    tops = climbed(grid, features, weights, some[(columns @ weights.T).argmax(axis=0)])
    every = np.unique(np.concatenate([some, *grid.neighbours(tops)]), axis=0)
    return every, features.of(grid.rows(every))


def climbed(grid: Grid, features: Features, weights: Array, begun: Numbers) -> Numbers:
    """Return what is reached by the best change of one setting, repeatedly.

    Args:
        grid: The configurations.
        features: Their columns.
        weights: For each climb a row.
        begun: Likewise: where it begins.
    """
    tops = begun
    for _ in range(3 * max(len(grid.axes), 1)):
        near = grid.neighbours(tops)
        columns = features.of(grid.rows(near.reshape(-1, near.shape[2])))
        quality = (columns.reshape(*near.shape[:2], -1) @ weights[:, :, None])[:, :, 0]
        best = near[np.arange(len(tops)), quality.argmax(axis=1)]
        if (best == tops).all():
            break
        tops = best
    return tops


def grid_of(axes: Sequence[SettingAxis], fixed: dict[str, Setting] | None = None) -> Grid:
    """Return the grid of some settings, of which some are not to be changed."""
    found = {}
    for j, axis in enumerate(axes):
        if fixed and axis.path in fixed:
            found[j] = int(axis.nearest(axis.places_of([fixed[axis.path]]))[0])
    return Grid(tuple(axes), found)
