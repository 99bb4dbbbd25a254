"""What is wrong with a plan before any of its steps is looked at. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from stablenew.config.overrides import IMAGE, paths_set_by
from stablenew.config.pipeline_config import STAGES, PipelineConfig, Setting
from stablenew.errors import ConfigError
from stablenew.learning.axis import Axis
from stablenew.learning.learning_plan import LearningPlan
from stablenew.pipeline.stage_settings import asked_settings, inherited_names

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
        yield from _axis_problems(axis, base_config, paths)
    yield from _set_twice(plan.axes)
    yield from _skip_problems(plan)
    if (plan.mode == "grid") != (len(plan.axes) > 1):
        yield f"mode: given {plan.mode!r}, but a second axis (y_variable) is what makes a grid"
    if (plan.mode == "adaptive") != (plan.bounds is not None):
        yield f"mode: given {plan.mode!r}, but bounds are what makes a plan adaptive"
    if plan.bounds is not None:
        yield from _bounds_problems(plan.path, plan.sweep_values, *plan.bounds)


def _skip_problems(plan: LearningPlan) -> Iterator[str]:
    try:
        if not plan.cells and all(plan.sizes):
            yield "skip: leaves no step, expected to leave some"
    except ConfigError as error:
        yield from error.problems


def _bounds_problems(
    path: str, values: Iterable[Setting], low: float, high: float
) -> Iterator[str]:
    if not low < high:
        yield f"{path}: given {low:g}..{high:g}, expected a lower and a higher number"
        return
    for value in values:
        if not (isinstance(value, int | float) and low <= value <= high):
            yield f"{path}: given {value!r}, expected a number from {low:g} to {high:g}"


def _axis_problems(axis: Axis, base_config: PipelineConfig, paths: set[str]) -> Iterator[str]:
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
