"""The steps of a plan: each cell's config, derived when it is looked at. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
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
from stablenew.errors import OverrideError
from stablenew.learning.axis import Axis, Choice, axis_of_values
from stablenew.learning.learning_plan import LearningPlan, LearningRunStep
from stablenew.learning.plan_problems import plan_problems

_LOOKED_AT = 2_000
"""Cells up to which each is tried before anything runs; of more, each choice is."""


class Steps(Sequence[LearningRunStep]):
    """The steps of a plan, made when they are looked at: a plan may have a million.

    Args:
        plan: What is explored.
        base_config: What each step's config is derived from.
        images: Pictures for each step.
        first: The index of the first step.

    Raises:
        OverrideError: With every problem of every choice.
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
        self._changes = [[_Change.of(choice) for choice in axis.choices] for axis in plan.axes]
        self._names = _short_names(plan.axes)

    def __len__(self) -> int:
        return len(self._plan.cells)

    @overload
    def __getitem__(self, index: int) -> LearningRunStep: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[LearningRunStep]: ...

    def __getitem__(self, index: int | slice) -> LearningRunStep | Sequence[LearningRunStep]:
        if isinstance(index, slice):
            return _Part(self, range(len(self))[index])
        if index < 0:
            index += len(self)
        return self._step(index)

    def _step(self, index: int) -> LearningRunStep:
        plan = self._plan
        chosen = plan.choices(plan.cells[index])
        values = [
            choice.overrides.get(axis.path, choice.label)
            for axis, choice in zip(plan.axes, chosen, strict=True)
        ]
        return LearningRunStep(
            index=self._first + index,
            stage=plan.stage,
            variable=plan.target_variable,
            value=values[0],
            images_requested=self._images,
            config_snapshot=self.config(index),
            y_variable=plan.y_variable,
            y_value=values[1] if len(values) > 1 else None,
            label=", ".join(f"{n}={c.label}" for n, c in zip(self._names, chosen, strict=True)),
            choices={a.name: c.label for a, c in zip(plan.axes, chosen, strict=True)},
            varied={path: value for c in chosen for path, value in c.overrides.items()},
            tags={name: value for c in chosen for name, value in c.tags.items()},
        )

    def config(self, index: int) -> PipelineConfig:
        """Return a step's config.

        Raises:
            OverrideError: A word to replace is not in its prompt.
        """
        cell = self._plan.cells[index]
        changes = []
        for axis in self._changes:
            cell, place = divmod(cell, len(axis))
            changes.append(axis[place])
        return _changed(self._base_config, changes)


class _Part(Sequence[LearningRunStep]):
    """Some of the steps, in an order of their own."""

    def __init__(self, steps: Steps, indices: Sequence[int]) -> None:
        self._steps = steps
        self._indices = indices

    def __len__(self) -> int:
        return len(self._indices)

    @overload
    def __getitem__(self, index: int) -> LearningRunStep: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[LearningRunStep]: ...

    def __getitem__(self, index: int | slice) -> LearningRunStep | Sequence[LearningRunStep]:
        if isinstance(index, slice):
            return _Part(self._steps, self._indices[index])
        return self._steps[self._indices[index]]


@attrs.frozen
class _Change:
    """What a choice changes, checked: settings, and the text of prompts."""

    settings: Mapping[tuple[str, str], Setting]
    edits: tuple[tuple[str, str | float], ...]

    @classmethod
    def of(cls, choice: Choice) -> _Change:
        settings: dict[tuple[str, str], Setting] = {}
        edits: list[tuple[str, str | float]] = []
        problems: list[str] = []
        for path, value in choice.overrides.items():
            try:
                if edits_text(path):
                    edits.append((path, checked_edit(path, value)))
                else:
                    settings |= checked_settings(path, value)
            except OverrideError as error:
                problems.extend(error.problems)
        if problems:
            raise OverrideError(*problems)
        return cls(settings, tuple(edits))


def _changed(config: PipelineConfig, changes: Iterable[_Change]) -> PipelineConfig:
    """Return a config with the settings of some changes, then with their changes to its prompts."""
    changes = tuple(changes)
    settings = {key: value for each in changes for key, value in each.settings.items()}
    config = assign(config, settings) if settings else config
    for each in changes:
        for path, value in each.edits:
            config = edit_prompts(config, path, value)
    return config


def derive_steps(
    plan: LearningPlan, base_config: PipelineConfig, max_images_per_step: int | None = None
) -> Sequence[LearningRunStep]:
    """Derive a plan's steps. Pure.

    Raises:
        OverrideError: An unknown path, a stage that is off, no value, a value given twice or of
            the wrong type: with every problem.
    """
    problems = dict.fromkeys(plan_problems(plan, base_config))
    for axis in plan.axes:
        for choice in axis.choices:
            try:
                _Change.of(choice)
            except OverrideError as error:
                problems.update(dict.fromkeys(error.problems))
    if problems:
        raise OverrideError(*problems)
    images = min(plan.images_per_step, max_images_per_step or plan.images_per_step)
    steps = Steps(plan, base_config, images=images)
    for index in _looked_at(plan, steps):
        try:
            steps.config(index)
        except OverrideError as error:
            problems.update(dict.fromkeys(error.problems))
    if problems:
        raise OverrideError(*problems)
    return steps


def _looked_at(plan: LearningPlan, steps: Steps) -> Iterable[int]:
    """Return the steps whose config is derived before anything runs: those with changed prompts."""
    edited = any(edits_text(path) for axis in plan.axes for path in axis.paths)
    return range(min(len(steps), _LOOKED_AT)) if edited else ()


def extend_steps(
    plan: LearningPlan,
    base_config: PipelineConfig,
    values: Iterable[Setting],
    *,
    first: int,
    images: int,
) -> Sequence[LearningRunStep]:
    """Derive the steps of an adaptive plan's next values; their numbers go on.

    Args:
        plan: The plan.
        base_config: What each step's config is derived from.
        values: Those.
        first: The index of the first of them.
        images: Pictures for each.

    Raises:
        OverrideError: A value that does not fit.
    """
    further = attrs.evolve(plan, axes=(axis_of_values(plan.path, values),))
    derive_steps(further, base_config)
    return Steps(further, base_config, images=images, first=first)


def _short_names(axes: Sequence[Axis]) -> list[str]:
    """Return what to call each axis: without its stage, unless two would have the same name."""
    counted = Counter(axis.short_name for axis in axes)
    return [axis.short_name if counted[axis.short_name] == 1 else axis.name for axis in axes]
