"""What is to be explored, and what became of it. Values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType

import attrs

from stablenew._arguments import checked, checked_list, shown
from stablenew._convert import frozen_mapping, takes_numpy
from stablenew._metadata import as_metadata
from stablenew._names import suggestion
from stablenew.config.overrides import with_stage
from stablenew.config.pipeline_config import STAGES, PipelineConfig, Setting, whole
from stablenew.config.workflow_config import WORKFLOW
from stablenew.errors import ConfigError
from stablenew.learning.axis import Axis, Choice, as_values, axis_of_values, without_stage
from stablenew.learning.cells import (
    Skip,
    cell_numbers,
    cells_of_each_choice,
    number_of,
    places_of,
    spread_cells,
)
from stablenew.learning.plan_bounds import further_values
from stablenew.learning.plan_skips import skipped_places

MODES = ("sweep", "grid", "adaptive")
"""How the steps of a plan follow from it: `sweep` runs one per choice of one axis, `grid` one per
cell of several, `adaptive` some cells, evenly spread, and goes on with what their ratings say."""

FIRST = 6
"""Cells that an adaptive plan begins with, before anything is rated."""

_MOST_CELLS, _MOST_CELLS_UNCOUNTED = 10**15, 10**18

ORDERS = ("models", "given")
"""The order in which steps run: so that each model is loaded once, or as they are given."""


@attrs.frozen
class one_of:  # noqa: N801  # used as a function, as attrs' own validators are
    """An attrs validator for one of some words."""

    words: tuple[str, ...]

    def __call__(self, _: object, field: attrs.Attribute[str], value: str) -> None:
        """Check a field's value.

        Raises:
            ConfigError: It is none of them.
        """
        if not isinstance(value, str) or value not in self.words:
            raise ConfigError(
                f"{field.name}: given {shown(value)}, {suggestion(value, self.words)}"
            )


def _checked_axes(given: Axis | Iterable[Axis]) -> tuple[Axis, ...]:
    return (given,) if isinstance(given, Axis) else checked_list("axes", given, Axis)


def _cells(given: Iterable[int]) -> tuple[int, ...]:
    return checked_list("cells", given, int)


def _skips(given: Iterable[Mapping[str, Setting]]) -> tuple[Mapping[str, Setting], ...]:
    return tuple(frozen_mapping(each) for each in checked_list("skip", given, Mapping))  # type: ignore[misc]


@attrs.frozen(init=False, field_transformer=takes_numpy)
class LearningPlan:
    """What is to be explored: the product of some axes, or a part of it, one pipeline run a cell.

    A plan of one setting, or of two, can be given by their names and values as well:
    `LearningPlan(target_variable="cfg_scale", sweep_values=[3, 5, 7])`.

    Attributes:
        axes: What varies; the first one changes quickest.
        images_per_step: Pictures for each cell, 1 or more.
        metadata: Kept with every record: `experiment_name`, `one_click_action_id`, …
        mode: One of `MODES`; implied by the rest, if not given.
        max_pictures: Of an adaptive plan: how many to make at the most.
        first: Of an adaptive plan: the cells that it begins with; spread evenly, if not given.
        added: Of an adaptive plan: the cells that it went on with, so far.
        sample: How many cells to take, spread evenly; None for all.
        skip: Cells to leave out: for each, the labels or values of some axes, by name.
        order: One of `ORDERS`: so that each model is loaded once, or as the plan is given.
    """

    axes: tuple[Axis, ...]
    images_per_step: int = attrs.field(default=1, validator=whole(1, 100_000))
    metadata: Mapping[str, object] = attrs.field(factory=dict, converter=as_metadata)
    mode: str = attrs.field(default="sweep", validator=one_of(MODES))
    max_pictures: int = attrs.field(default=24, validator=whole(1, 100_000))
    first: tuple[int, ...] = attrs.field(default=(), converter=_cells)
    added: tuple[int, ...] = attrs.field(default=(), converter=_cells)
    sample: int | None = attrs.field(default=None, validator=whole(1, 10**9))
    skip: tuple[Mapping[str, Setting], ...] = attrs.field(default=(), converter=_skips)
    order: str = attrs.field(default="models", validator=one_of(ORDERS))

    def __init__(
        self,
        mode: str | None = None,
        stage: str = "txt2img",
        target_variable: str | None = None,
        sweep_values: object = None,
        images_per_step: int = 1,
        metadata: Mapping[str, object] = MappingProxyType({}),
        *,
        y_variable: str | None = None,
        y_values: object = (),
        max_pictures: int = 24,
        first: Iterable[int] = (),
        added: Iterable[int] = (),
        axes: Iterable[Axis] = (),
        sample: int | None = None,
        skip: Iterable[Mapping[str, Setting]] = (),
        order: str = "models",
        bounds: object = None,
    ) -> None:
        """Make a plan of axes, or of one setting or two.

        With `bounds`, the lowest and the highest number, it is adaptive: it begins with the values
        and goes on with any between these.

        Raises:
            ConfigError: Neither is given, or something is none of its kind.
        """
        axes = _checked_axes(axes)
        if target_variable is not None:
            checked("target_variable", target_variable, str)
            path = with_stage(target_variable, stage)
            values = as_values(sweep_values)
            if bounds is not None:
                first = range(len(values)) if not axes else first
                mode, values = mode or "adaptive", (*values, *further_values(path, values, bounds))
            axes = (axis_of_values(path, values), *axes)
            if y_variable is not None:
                axes = (axes[0], axis_of_values(y_variable, as_values(y_values)), *axes[1:])
        if not axes:
            raise ConfigError("axes: none is given, expected one or more (or target_variable)")
        implied = "sweep" if len(axes) == 1 else "grid"
        self.__attrs_init__(
            axes=axes,
            images_per_step=images_per_step,
            metadata=metadata,
            mode=implied if mode is None else mode,
            max_pictures=max_pictures,
            first=first,
            added=added,
            sample=sample,
            skip=skip,
            order=order,
        )

    @property
    def path(self) -> str:
        """What the first axis varies: `txt2img.cfg_scale`."""
        return self.axes[0].path

    @property
    def stage(self) -> str:
        """The stage that the first axis varies a setting of; txt2img where it is none of one."""
        stage = self.path.partition(".")[0]
        return stage if stage in (*STAGES, WORKFLOW) else STAGES[0]

    @property
    def target_variable(self) -> str:
        """The name of what the first axis varies, without the stage: `cfg_scale`."""
        return without_stage(self.path)

    @property
    def sweep_values(self) -> tuple[Setting, ...]:
        """The values of the first axis."""
        return self.axes[0].values

    @property
    def y_variable(self) -> str | None:
        """What the second axis varies; None where there is none."""
        return self.axes[1].path if len(self.axes) > 1 else None

    @property
    def y_values(self) -> tuple[Setting, ...]:
        """The values of the second axis."""
        return self.axes[1].values if len(self.axes) > 1 else ()

    @property
    def conditions(self) -> tuple[str, ...]:
        """The paths that the advice is to hold over, and is not about."""
        return tuple(path for axis in self.axes if axis.condition for path in axis.paths)

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many choices each axis has."""
        return tuple(len(axis.choices) for axis in self.axes)

    @property
    def is_adaptive(self) -> bool:
        """Whether ratings say what it goes on with."""
        return self.mode == "adaptive"

    @cached_property
    def cells(self) -> Sequence[int]:
        """The numbers of the cells that it takes, one step each; see `cells.py`.

        Raises:
            ConfigError: There are more than can be counted, or what is to be skipped is none.
        """
        most = _MOST_CELLS_UNCOUNTED if self.is_adaptive else _MOST_CELLS
        if (product := math.prod(self.sizes)) > most:
            power = len(str(most)) - 1
            raise ConfigError(f"axes: {product:.0e} combinations, expected fewer than 10^{power}")
        if self.is_adaptive:
            return (*(self.first or self._spread()), *self.added)
        seed = "\n".join(f"{axis.name} {axis.labels}" for axis in self.axes)
        return cell_numbers(self.sizes, sample=self.sample, skips=self._skips, seed=seed)

    def _spread(self) -> tuple[int, ...]:
        """Return the first cells of an adaptive plan, all under the same conditions."""
        fixed = [number for number, axis in enumerate(self.axes) if axis.condition]
        seed = "\n".join(f"{axis.name} {axis.labels}" for axis in self.axes if not axis.condition)
        return spread_cells(self.sizes, FIRST, fixed=fixed, seed=seed)

    @property
    def most_steps(self) -> int:
        """How many steps it may come to have."""
        if not self.is_adaptive:
            return self.count
        return max(1, self.max_pictures // self.images_per_step)

    def with_cells(self, more: Iterable[int]) -> LearningPlan:
        """Return an adaptive plan that goes on with further cells."""
        return attrs.evolve(self, added=(*self.added, *more))

    def cells_of_each_choice(self, most: int) -> Iterator[int]:
        """Yield cells that have each choice of each axis.

        Args:
            most: Choices of one axis; of an axis of more, so many are taken, evenly, with the
                smallest and the largest number among them.
        """
        picked = [_picked(axis, most) for axis in self.axes]
        cells = range(math.prod(self.sizes)) if self.is_adaptive else self.cells
        return cells_of_each_choice(self.sizes, picked, cells, self._skips)

    @property
    def _skips(self) -> list[Skip]:
        return [skipped_places(self.axes, each) for each in self.skip]

    @property
    def count(self) -> int:
        """How many steps it has."""
        return len(self.cells)

    def choices(self, cell: int) -> tuple[Choice, ...]:
        """Return what a cell takes of each axis."""
        places = places_of(cell, self.sizes)
        return tuple(axis.choices[place] for axis, place in zip(self.axes, places, strict=True))

    def places(self, index: int) -> tuple[int, ...]:
        """Return which choice of each axis a step takes; none for one that it does not know of."""
        return places_of(self.cells[index], self.sizes) if index < self.count else ()

    def cell_of(self, varied: Mapping[str, Setting]) -> int | None:
        """Return the cell of a run that set some paths to some values; None where there is none."""
        places = [_place_of(axis, varied) for axis in self.axes]
        known = [place for place in places if place is not None]
        return number_of(known, self.sizes) if len(known) == len(places) else None


def _place_of(axis: Axis, varied: Mapping[str, Setting]) -> int | None:
    """Return the choice that sets most of some values, and nothing else."""
    fitting = [
        (-len(choice.overrides), place)
        for place, choice in enumerate(axis.choices)
        if all(
            path in varied and varied[path] == choice.overrides[path] for path in choice.overrides
        )
    ]
    return min(fitting)[1] if fitting else None


def _picked(axis: Axis, most: int) -> Iterable[int]:
    """Return the places of the choices of an axis, or of so many of them."""
    count = len(axis.choices)
    if count <= most:
        return range(count)
    places = {*range(0, count, -(-count // most)), count - 1}
    numbers = [value for value in axis.values if isinstance(value, int | float)]
    if len(numbers) == count:
        places |= {numbers.index(min(numbers)), numbers.index(max(numbers))}
    return sorted(places)


@attrs.frozen(weakref_slot=False, kw_only=True)
class LearningRunStep:
    """One cell of a plan, and the config that follows from it.

    Attributes:
        index: From 0.
        stage: Of the first axis's setting.
        variable: The first axis's setting, without the stage.
        value: Its value.
        y_variable: The second axis's path, None where there is none.
        y_value: Its value.
        label: What sets the step apart, in words: `cfg_scale=5, steps=20`.
        varied: Every path that the choices set, with its value.
        tags: Those of the choices.
    """

    index: int
    stage: str
    variable: str
    value: Setting
    images_requested: int
    config_snapshot: PipelineConfig
    y_variable: str | None = None
    y_value: Setting = None
    label: str = ""
    varied: Mapping[str, Setting] = attrs.field(factory=dict, converter=frozen_mapping)
    tags: Mapping[str, object] = attrs.field(factory=dict, converter=frozen_mapping)


def step_run_id(plan_id: str, index: int) -> str:
    """Return the id of a step's run: the plan's and the step's number, from 1."""
    return f"{plan_id}-{index + 1:05d}"
