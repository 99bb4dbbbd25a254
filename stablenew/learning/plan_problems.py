"""What is wrong with a plan before any of its steps is looked at. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from stablenew.config.overrides import IMAGE, paths_set_by
from stablenew.config.pipeline_config import STAGES, PipelineConfig
from stablenew.errors import ConfigError
from stablenew.learning.axis import Axis
from stablenew.learning.learning_plan import LearningPlan
from stablenew.pipeline.stage_settings import asked_settings, inherited_names

_MOST_EXPLORED = 200
"""Choices of an axis of an adaptive plan: of more, most would never be tried."""

_COUNTS_ONLY_WITH: Mapping[str, str] = {
    **dict.fromkeys(
        (
            *("txt2img.hr_scale", "txt2img.hr_upscaler", "txt2img.hr_second_pass_steps"),
            *("txt2img.hr_resize_x", "txt2img.hr_resize_y", "txt2img.hr_sampler_name"),
            *("txt2img.hr_scheduler", "txt2img.hr_prompt", "txt2img.hr_negative_prompt"),
            "txt2img.denoising_strength",
        ),
        "enable_hr",
    ),
    "txt2img.refiner_switch_at": "refiner_checkpoint",
    "txt2img.subseed": "subseed_strength",
}
"""Settings that change nothing while another one of their stage is off."""


def plan_problems(plan: LearningPlan, base_config: PipelineConfig) -> Iterator[str]:
    """Yield a line for each thing that is wrong with a plan's axes, whatever their values are."""
    paths = {path for axis in plan.axes for path in axis.paths}
    for axis in plan.axes:
        yield from axis_problems(axis, base_config, paths)
    yield from _set_twice(plan.axes)
    yield from _skip_problems(plan)
    if not plan.is_adaptive and (plan.mode == "grid") != (len(plan.axes) > 1):
        yield f"mode: given {plan.mode!r}, but a second axis (y_variable) is what makes a grid"
    if plan.is_adaptive:
        yield from _adaptive_problems(plan)


def _adaptive_problems(plan: LearningPlan) -> Iterator[str]:
    for name in ("sample", "skip"):
        if getattr(plan, name):
            yield f"{name}: given with an adaptive plan, which chooses its steps itself"
    explored = [axis for axis in plan.axes if not axis.condition]
    if all(len(axis.choices) < 2 for axis in explored):
        named = ", ".join(axis.name for axis in explored) or "nothing but conditions"
        yield f"axes: nothing to choose in {named}, expected an axis of several choices"
        return
    for axis in explored:
        if len(axis.choices) > _MOST_EXPLORED:
            yield (
                f"{axis.name}: {len(axis.choices):,} choices are too many to learn of;"
                f" expected up to {_MOST_EXPLORED}, or a span LOW..HIGH"
            )
    if not all(0 <= cell < math.prod(plan.sizes) for cell in (*plan.first, *plan.added)):
        yield "first, added: a cell that is none of this plan"
        return
    needed = (plan.count - len(plan.added)) * plan.images_per_step
    if plan.max_pictures < needed:
        yield (
            f"max_pictures: given {plan.max_pictures}, expected {needed} or more:"
            " so many are made before the first rating counts"
        )


def _skip_problems(plan: LearningPlan) -> Iterator[str]:
    try:
        if not plan.cells and all(plan.sizes):
            yield "skip: leaves no step, expected to leave some"
    except ConfigError as error:
        yield from error.problems


def axis_problems(axis: Axis, base_config: PipelineConfig, paths: set[str]) -> Iterator[str]:
    """Yield a line for each thing that is wrong with an axis.

    Args:
        axis: That.
        base_config: What each step's config is derived from.
        paths: All that the plan varies.
    """
    if not axis.choices:
        yield f"{axis.name}: the sweep is empty, expected one value or more"
    taken = _taken_from_txt2img(base_config) if base_config.image or IMAGE in paths else set()
    for path in axis.paths:
        stage, _, name = path.partition(".")
        needed = _COUNTS_ONLY_WITH.get(path)
        if needed and not getattr(base_config.txt2img, needed) and f"txt2img.{needed}" not in paths:
            yield f"{path}: changes nothing without txt2img.{needed}; set that as well"
        on = stage not in STAGES or getattr(base_config, stage).enabled
        on = on or (stage == "txt2img" and taken.issuperset(paths_set_by(path)))
        if name != "enabled" and not on and f"{stage}.enabled" not in paths:
            yield f"{path}: {stage} is off, so the sweep would change nothing; enable it"
    counted = Counter(tuple(sorted(each.overrides.items(), key=str)) for each in axis.choices)
    twice = [values for values, count in counted.items() if count > 1]
    if twice:
        named = ", ".join(", ".join(repr(value) for _, value in each) for each in twice)
        yield f"{axis.name}: {named} is given more than once, expected different values"


def _taken_from_txt2img(config: PipelineConfig) -> set[str]:
    """Return the settings of txt2img that stages take though it is off: of an image."""
    others = (stage for stage in STAGES[1:] if getattr(config, stage).enabled)
    taken = (inherited_names(stage, asked_settings(config, stage)) for stage in others)
    return {f"txt2img.{name}" for names in taken for name in names.values()}


def _set_twice(axes: Iterable[Axis]) -> Iterator[str]:
    """Yield a line for each path that two axes set."""
    setters: dict[str, list[str]] = {}
    for axis in axes:
        for path in axis.paths:
            for each in paths_set_by(path):
                setters.setdefault(each, []).append(axis.name)
    for path, names in setters.items():
        if len(names) > 1:
            yield f"{path}: is set by {len(names)} axes ({', '.join(names)}), expected one"
