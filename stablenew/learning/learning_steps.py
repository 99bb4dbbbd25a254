"""The steps of a plan: each cell's config, derived when it is looked at. Pure."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import overload

import attrs

from stablenew.config.overrides import (
    assign,
    checked_edit,
    checked_settings,
    edit_prompts,
    edits_text,
)
from stablenew.config.pipeline_config import PipelineConfig, Setting
from stablenew.errors import ConfigError, OverrideError
from stablenew.learning.axis import Axis, Choice, axis_names, changes_text
from stablenew.learning.choice_labels import LABEL_LETTERS, labels_apart
from stablenew.learning.learning_plan import LearningPlan, LearningRunStep
from stablenew.learning.plan_problems import plan_problems

_KEPT = 256
"""Steps that are not made anew when they are looked at again: each is, several times, when it is
run and when it follows another; on many servers at the same time."""

LOOKED_AT = 2_000
"""Steps up to which each is tried before anything runs; of more, each choice is."""


class Steps(Sequence[LearningRunStep]):
    """The steps of a plan, made when they are looked at: a plan may have a million.

    Args:
        plan: What is explored.
        base_config: What each step's config is derived from.
        images: Pictures for each step.
        first: The index of the first step.

    Raises:
        OverrideError: With every problem of every choice.
        ConfigError: What is to be skipped is no part of the plan.
    """

    def __init__(
        self,
        plan: LearningPlan,
        base_config: PipelineConfig,
        *,
        images: int | None = None,
        first: int = 0,
    ) -> None:
        self._plan = plan
        self._base_config = base_config
        self._images = images or plan.images_per_step
        self._first = first
        self._axes = _checked(plan.axes)
        self._cells = plan.cells
        self._indices: Sequence[int] = range(len(self._cells))
        self._made: dict[int, LearningRunStep] = {}

    def __len__(self) -> int:
        return len(self._indices)

    @overload
    def __getitem__(self, index: int) -> LearningRunStep: ...

    @overload
    def __getitem__(self, index: slice) -> Steps: ...

    def __getitem__(self, index: int | slice) -> LearningRunStep | Steps:
        if isinstance(index, slice):
            return self.picked(range(len(self))[index])
        place = self._indices[index]
        step = self._made.get(place)
        if step is None:
            step = self._made[place] = self._step(place)
            if len(self._made) > _KEPT:
                del self._made[next(iter(self._made))]
        return step

    def picked(self, places: Sequence[int]) -> Steps:
        """Return those at some places, in that order."""
        part = copy.copy(self)
        whole = self._indices == range(len(self._cells))
        part._indices = places if whole else [self._indices[each] for each in places]
        return part

    def extended(self, cells: Iterable[int]) -> Steps:
        """Return the steps of an adaptive plan with those of further cells after them."""
        more = copy.copy(self)
        more._plan = self._plan.with_cells(cells)
        more._cells = more._plan.cells
        more._indices = range(len(more._cells))
        more._made = {}
        return more

    def _step(self, index: int) -> LearningRunStep:
        plan = self._plan
        chosen = self._chosen(self._cells[index])
        varied: dict[str, Setting] = {}
        tags: dict[str, object] = {}
        for each in chosen:
            varied.update(each.choice.overrides)
            tags.update(each.choice.tags)
        return LearningRunStep(
            index=self._first + index,
            stage=plan.stage,
            variable=plan.target_variable,
            value=chosen[0].value,
            images_requested=self._images,
            config_snapshot=_changed(self._base_config, chosen),
            y_variable=plan.y_variable,
            y_value=chosen[1].value if len(chosen) > 1 else None,
            label=", ".join([each.text for each in chosen]),
            varied=varied,
            tags=tags,
        )

    def _chosen(self, cell: int) -> list[_Checked]:
        chosen = []
        for axis in self._axes:
            cell, place = divmod(cell, len(axis))
            chosen.append(axis[place])
        return chosen

    def config(self, index: int) -> PipelineConfig:
        """Return a step's config.

        Raises:
            OverrideError: A word to replace is not in its prompt.
        """
        return self.cell_config(self.cell(index))

    def cell(self, index: int) -> int:
        """Return the number of a step's cell in the product."""
        return self._cells[self._indices[index]]

    def cell_config(self, cell: int) -> PipelineConfig:
        """Return the config of any cell of the product.

        Raises:
            OverrideError: A word to replace is not in its prompt.
        """
        return _changed(self._base_config, self._chosen(cell))

    def possible_config(self, cell: int) -> tuple[PipelineConfig, list[str]]:
        """Return the same without the changes that its prompts cannot take; and what these are."""
        return _tried(self._base_config, self._chosen(cell))

    @property
    def looked_at(self) -> Iterable[int]:
        """The cells that are tried before anything runs: all, or of very many, each choice."""
        few = len(self._cells) <= LOOKED_AT and not self._plan.is_adaptive
        return self._cells if few else self._plan.cells_of_each_choice(LOOKED_AT)

    def places(self, axis: int) -> Iterable[int]:
        """Yield the place on an axis that each step has."""
        sizes = self._plan.sizes
        below, size = math.prod(sizes[:axis]), sizes[axis]
        for index in self._indices:
            yield self._cells[index] // below % size

    def values(self, axis: int) -> tuple[Setting, ...]:
        """Return what an axis's choice stands for in each step."""
        choices = self._plan.axes[axis].values
        return tuple(choices[place] for place in self.places(axis))

    def labels(self) -> Iterator[str]:
        """Yield what sets each step apart."""
        for index in self._indices:
            yield ", ".join([each.text for each in self._chosen(self._cells[index])])


@attrs.frozen
class _Checked:
    """A choice with what it changes, checked: settings, and the text of prompts.

    Attributes:
        value: What it stands for.
        text: What it says in a step's label: `cfg_scale=5`.
    """

    choice: Choice
    value: Setting
    text: str
    settings: Mapping[tuple[str, str], Setting]
    edits: tuple[tuple[str, str | float], ...]


def _checked(axes: Sequence[Axis]) -> list[list[_Checked]]:
    """Return the choices of some axes, checked.

    Raises:
        OverrideError: With every problem of every choice.
    """
    problems: dict[str, None] = {}
    found: list[list[_Checked]] = []
    for axis, name in zip(axes, axis_names(axes), strict=True):
        found.append([])
        labels = labels_apart(axis.labels, LABEL_LETTERS)
        for choice, value, label in zip(axis.choices, axis.values, labels, strict=True):
            settings: dict[tuple[str, str], Setting] = {}
            edits: list[tuple[str, str | float]] = []
            for path, given in choice.overrides.items():
                try:
                    if edits_text(path):
                        edits.append((path, checked_edit(path, given)))
                    else:
                        settings |= checked_settings(path, given)
                except OverrideError as error:
                    problems.update(dict.fromkeys(error.problems))
            changed = (settings, tuple(edits))
            found[-1].append(_Checked(choice, value, f"{name}={label}", *changed))
    if problems:
        raise OverrideError(*problems)
    return found


def _changed(config: PipelineConfig, chosen: Sequence[_Checked]) -> PipelineConfig:
    """Return a config with the settings of choices, then with their changes to its prompts.

    Raises:
        OverrideError: Words to replace are not in its prompt.
    """
    config, problems = _tried(config, chosen)
    if problems:
        raise OverrideError(*problems)
    return config


def _tried(config: PipelineConfig, chosen: Sequence[_Checked]) -> tuple[PipelineConfig, list[str]]:
    """Return a config with what choices change and can; and what is wrong with the rest."""
    settings: dict[tuple[str, str], Setting] = {}
    for each in chosen:
        settings.update(each.settings)
    config = assign(config, settings) if settings else config
    problems: list[str] = []
    for each in chosen:
        for path, value in each.edits:
            try:
                config = edit_prompts(config, path, value)
            except OverrideError as error:
                problems += error.problems
    return config, problems


def derive_steps(
    plan: LearningPlan,
    base_config: PipelineConfig,
    max_images_per_step: int | None = None,
    *,
    first: int = 0,
) -> Steps:
    """Derive a plan's steps. Pure.

    Raises:
        OverrideError: An unknown path, a stage that is off, no value, a value given twice or of
            the wrong type: with every problem.
    """
    images = min(plan.images_per_step, max_images_per_step or plan.images_per_step)
    steps, wrong = drafted_steps(plan, base_config, images=images, first=first)
    if wrong:
        raise OverrideError(*wrong)
    assert steps is not None
    if any(changes_text(axis) for axis in plan.axes):  # each depends on what the prompt is
        problems = dict.fromkeys(_text_problems(steps))
        if problems:
            raise OverrideError(*problems)
    return steps


def drafted_steps(
    plan: LearningPlan, base_config: PipelineConfig, *, images: int | None = None, first: int = 0
) -> tuple[Steps | None, tuple[str, ...]]:
    """Return the steps of a plan, unless something is wrong with it; and what is.

    Where something is wrong, the steps are those of the axes that are right, for whoever looks for
    what else is wrong; None where none is.
    """
    problems = dict.fromkeys(plan_problems(plan, base_config))
    try:
        steps: Steps | None = Steps(plan, base_config, images=images, first=first)
    except ConfigError as error:
        problems.update(dict.fromkeys(error.problems))
    if problems:
        right = _right_axes(plan.axes)
        rest = attrs.evolve(plan, axes=right, skip=(), sample=None, mode=None) if right else None
        steps = Steps(rest, base_config) if rest else None
    return steps, tuple(problems)


def _right_axes(axes: Sequence[Axis]) -> list[Axis]:
    """Return the axes whose choices are right."""
    right: list[Axis] = []
    for axis in axes:
        try:
            _checked([axis])
        except OverrideError:
            continue
        if axis.choices:
            right.append(axis)
    return right


def _text_problems(steps: Steps) -> Iterator[str]:
    """Yield a line for each change of a prompt that it cannot take."""
    for cell in steps.looked_at:
        try:
            steps.cell_config(cell)
        except OverrideError as error:
            yield from error.problems
