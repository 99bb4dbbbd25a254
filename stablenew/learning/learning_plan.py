"""What is to be explored, and what became of it. Values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType

import attrs

from stablenew._arguments import checked, checked_list, shown
from stablenew._convert import as_python, frozen_mapping, takes_numpy
from stablenew._metadata import as_metadata
from stablenew._names import suggestion
from stablenew.config.overrides import with_stage
from stablenew.config.pipeline_config import STAGES, PipelineConfig, Setting, whole
from stablenew.config.workflow_config import WORKFLOW
from stablenew.errors import ConfigError
from stablenew.learning.axis import (
    Axis,
    Choice,
    as_values,
    axis_of_values,
    label_of,
    without_stage,
)
from stablenew.learning.cells import Skip, cell_numbers, cells_of_each_choice, places_of

MODES = ("sweep", "grid", "adaptive")
"""How the steps of a plan follow from it: `sweep` runs one per choice of one axis, `grid` one per
cell of several, `adaptive` goes on with what the ratings of the first ones say."""

_MOST_CELLS = 10**15

ORDERS = ("models", "given")
"""The order in which steps run: so that each model is loaded once, or as they are given."""


def as_bounds(given: object) -> tuple[float, float] | None:
    """Return the lowest and the highest value of an exploration."""
    ends = as_python(given)
    if ends is None:
        return None
    values = [*map(as_python, ends)] if isinstance(ends, list | tuple) else []
    numbers = [
        each
        for each in values
        if isinstance(each, int | float) and type(each) is not bool and math.isfinite(each)
    ]
    if len(values) != 2 or len(numbers) != 2:
        raise ConfigError(f"bounds: given {given!r}, expected the lowest and the highest number")
    return numbers[0], numbers[1]


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
        bounds: Of an adaptive plan: the lowest and the highest value to try.
        max_pictures: Of an adaptive plan: how many to make at the most.
        sample: How many cells to take, spread evenly; None for all.
        skip: Cells to leave out: for each, the labels or values of some axes, by name.
        order: One of `ORDERS`: so that each model is loaded once, or as the plan is given.
    """

    axes: tuple[Axis, ...]
    images_per_step: int = attrs.field(default=1, validator=whole(1, 100_000))
    metadata: Mapping[str, object] = attrs.field(factory=dict, converter=as_metadata)
    mode: str = attrs.field(default="sweep", validator=one_of(MODES))
    bounds: tuple[float, float] | None = attrs.field(default=None, converter=as_bounds)
    max_pictures: int = attrs.field(default=24, validator=whole(1, 100_000))
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
        bounds: object = None,
        max_pictures: int = 24,
        axes: Iterable[Axis] = (),
        sample: int | None = None,
        skip: Iterable[Mapping[str, Setting]] = (),
        order: str = "models",
    ) -> None:
        """Make a plan of axes, or of one setting or two.

        Raises:
            ConfigError: Neither is given, or something is none of its kind.
        """
        axes = _checked_axes(axes)
        if target_variable is not None:
            checked("target_variable", target_variable, str)
            path = with_stage(target_variable, stage)
            axes = (axis_of_values(path, as_values(sweep_values)), *axes)
            if y_variable is not None:
                axes = (axes[0], axis_of_values(y_variable, as_values(y_values)), *axes[1:])
        if not axes:
            raise ConfigError("axes: none is given, expected one or more (or target_variable)")
        implied = "adaptive" if bounds is not None else "sweep" if len(axes) == 1 else "grid"
        self.__attrs_init__(
            axes=axes,
            images_per_step=images_per_step,
            metadata=metadata,
            mode=implied if mode is None else mode,
            bounds=bounds,
            max_pictures=max_pictures,
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

    @cached_property
    def cells(self) -> Sequence[int]:
        """The numbers of the cells that it takes, one step each; see `cells.py`.

        Raises:
            ConfigError: There are more than can be counted, or what is to be skipped is none.
        """
        if (product := math.prod(self.sizes)) > _MOST_CELLS:
            raise ConfigError(f"axes: {product:.0e} combinations, expected fewer than 10^15")
        seed = "\n".join(f"{axis.name} {axis.labels}" for axis in self.axes)
        return cell_numbers(self.sizes, sample=self.sample, skips=self._skips, seed=seed)

    def cells_of_each_choice(self, most: int) -> Iterator[int]:
        """Yield cells that have each choice of each axis.

        Args:
            most: Choices of one axis; of an axis of more, so many are taken, evenly, with the
                smallest and the largest number among them.
        """
        picked = [_picked(axis, most) for axis in self.axes]
        return cells_of_each_choice(self.sizes, picked, self.cells, self._skips)

    @property
    def _skips(self) -> list[Skip]:
        return [self._skipped_places(each) for each in self.skip]

    @property
    def count(self) -> int:
        """How many steps it has."""
        return len(self.cells)

    def choices(self, cell: int) -> tuple[Choice, ...]:
        """Return what a cell takes of each axis."""
        places = places_of(cell, self.sizes)
        return tuple(axis.choices[place] for axis, place in zip(self.axes, places, strict=True))

    def places(self, index: int) -> tuple[int, ...]:
        """Return which choice of each axis a step takes; none for one that was added on the way."""
        return places_of(self.cells[index], self.sizes) if index < self.count else ()

    def _skipped_places(self, skip: Mapping[str, Setting]) -> dict[int, frozenset[int]]:
        """Return the places on each axis that an entry of `skip` names.

        Raises:
            ConfigError: There is no such axis, or no such choice.
        """
        found: dict[int, frozenset[int]] = {}
        for name, value in skip.items():
            number, path = self._named(name)
            axis = self.axes[number]
            places = frozenset(
                place
                for place, choice in enumerate(axis.choices)
                if _is_meant(value, choice.overrides.get(path, choice.label))
                or _is_meant(value, choice.label)
            )
            if not places:
                raise ConfigError(f"skip: given {name}={value}, {suggestion(value, axis.labels)}")
            found[number] = places & found.get(number, places)
        return found

    def _named(self, name: str) -> tuple[int, str]:
        """Return the axis of a name, by its own or that of a path that it sets, and that path.

        Raises:
            ConfigError: There is none, or several.
        """
        names = [{axis.name: axis.path, axis.short_name: axis.path} for axis in self.axes]
        for axis, spellings in zip(self.axes, names, strict=True):
            for path in axis.paths:
                spellings |= {path: path, without_stage(path): path}
        numbers = [number for number, spellings in enumerate(names) if name in spellings]
        if len(numbers) == 1:
            return numbers[0], names[numbers[0]][name]
        if numbers:
            paths = " or ".join(names[number][name] for number in numbers)
            raise ConfigError(f"skip: given {name!r}, expected {paths}")
        every = sorted({axis.short_name for axis in self.axes})
        raise ConfigError(f"skip: given {name!r}, {suggestion(name, every)}")


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


def _is_meant(given: Setting, value: Setting) -> bool:
    """Return whether what is skipped is a value: `8` and `8.0` are, as are its words."""
    if label_of(given) == label_of(value):
        return True
    try:
        return isinstance(value, int | float) and float(str(given)) == value
    except ValueError:
        return False


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
