"""The steps of a plan as a backend would run them, checked before anything runs. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import attrs

from stablenew.backends.base import Capabilities
from stablenew.config.pipeline_config import PipelineConfig, Setting
from stablenew.errors import ConfigError
from stablenew.learning.axis import Axis
from stablenew.learning.learning_plan import LearningPlan, LearningRunStep
from stablenew.learning.learning_steps import Steps, derive_steps
from stablenew.learning.spelled_axis import spelled_axis
from stablenew.pipeline.stage_plan import StagePlan, plan_stages, with_defaults


def plan_steps(
    plan: LearningPlan,
    config: PipelineConfig,
    capabilities: Capabilities,
    defaults: Mapping[str, Setting],
) -> Iterator[tuple[LearningRunStep, StagePlan]]:
    """Yield each step of a plan with the stages that it will run.

    Args:
        plan: What to explore.
        config: What each step's config is derived from.
        capabilities: What the backend has.
        defaults: What is taken where nobody gives a value, by path.

    Raises:
        ConfigError: After the last step, with every problem of every step, each once.
    """
    problems: dict[str, None] = {}
    for step in derive_steps(plan, config):
        try:
            yield step, plan_stages(with_defaults(step.config_snapshot, defaults), capabilities)
        except ConfigError as error:
            problems.update(dict.fromkeys(error.problems))
    if problems:
        raise ConfigError(*problems)


def checked_stages(
    steps: Steps, capabilities: Capabilities, defaults: Mapping[str, Setting]
) -> Iterator[StagePlan]:
    """Yield the stages of each step; of very many, of cells that have all the choices.

    Args:
        steps: Of a plan.
        capabilities: What the backend has.
        defaults: What is taken where nobody gives a value, by path.

    Raises:
        ConfigError: After the last one, with every problem, each once.
    """
    problems: dict[str, None] = {}
    for cell in steps.looked_at:
        each = steps.cell_config(cell)
        try:
            yield plan_stages(with_defaults(each, defaults), capabilities)
        except ConfigError as error:
            problems.update(dict.fromkeys(error.problems))
    if problems:
        raise ConfigError(*problems)


def spelled_plan(plan: LearningPlan, capabilities: Capabilities) -> LearningPlan:
    """Return a plan with its names as the backend has them, and globs in full; records keep those.

    Raises:
        ConfigError: With every glob that matches nothing.
    """
    problems: list[str] = []
    axes: list[Axis] = []
    for axis in plan.axes:
        try:
            axes.append(spelled_axis(axis, capabilities))
        except ConfigError as error:
            problems.extend(error.problems)
    if problems:
        raise ConfigError(*problems)
    return plan if tuple(axes) == plan.axes else attrs.evolve(plan, axes=axes)
