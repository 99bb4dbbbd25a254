"""The steps of a plan as a backend would run them, checked before anything runs. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import attrs

from stablenew.backends.base import Capabilities
from stablenew.config.pipeline_config import PipelineConfig, Setting
from stablenew.errors import ConfigError
from stablenew.learning.learning_plan import LearningPlan, LearningRunStep, derive_steps
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


def spelled_plan(plan: LearningPlan, capabilities: Capabilities) -> LearningPlan:
    """Return a plan with its values spelled as the backend spells them; records keep those."""
    y_name = (plan.y_variable or "").partition(".")[2]
    return attrs.evolve(
        plan,
        sweep_values=tuple(
            capabilities.spelled(plan.target_variable, v) for v in plan.sweep_values
        ),
        y_values=tuple(capabilities.spelled(y_name, value) for value in plan.y_values),
    )
