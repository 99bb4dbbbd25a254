"""The seeds that an adaptive plan may give its prompts, so that no seed's luck is learned. Pure."""

from __future__ import annotations

import attrs

from stablenew.config.pipeline_config import PipelineConfig
from stablenew.learning.axis import axis_of_values
from stablenew.learning.learning_plan import LearningPlan
from stablenew.learning.plan_problems import axis_problems

_PATH = "txt2img.seed"
_SEEDS = 4
_LARGEST = 2**32 - 1
"""The largest that every server takes."""


def with_seed_axis(plan: LearningPlan, config: PipelineConfig) -> LearningPlan:
    """Return an adaptive plan with some seeds as a condition, those of the config first.

    A plan that has seeds of its own, or whose stages draw none, is left as it is; and any other.
    """
    varied = {path for axis in plan.axes for path in axis.paths}
    first = config.txt2img.seed
    if not plan.is_adaptive or first is None or any(path.endswith(".seed") for path in varied):
        return plan
    apart = plan.images_per_step
    up = first + (_SEEDS - 1) * apart <= _LARGEST
    seeds = [first + (n if up else -n) * apart for n in range(_SEEDS)]
    axis = attrs.evolve(axis_of_values(_PATH, [s for s in seeds if s >= 0]), condition=True)
    if any(axis_problems(axis, config, {*varied, _PATH})):
        return plan
    return attrs.evolve(plan, axes=(*plan.axes, axis))
