"""From plain data to a plan that is ready to run."""

from __future__ import annotations

from collections.abc import Mapping

from stablenew._convert import structure
from stablenew.config.pipeline_config import STAGES, PipelineConfig
from stablenew.config.sweep import parse_values
from stablenew.errors import ConfigError
from stablenew.learning.learning_plan import (
    LearningExecutionContext,
    LearningPlan,
    as_values,
    derive_steps,
)

_EXPECTED = {
    "target_variable": "a setting such as txt2img.cfg_scale",
    "sweep_values": "its values, a list or start:stop:step",
}


def build_learning_plan_from_dict(data: Mapping[str, object]) -> LearningPlan:
    """Build a plan from a flat mapping with the plan's own keys.

    Args:
        data: `target_variable` may name its stage as well (`txt2img.cfg_scale`); `sweep_values`
            may be a list, a single value, or text such as `1:9:2`.

    Raises:
        ConfigError: With every problem.
    """
    if not isinstance(data, Mapping):
        raise ConfigError(f"plan: given {data!r}, expected a table with target_variable")
    flat = dict(data)
    target = flat.get("target_variable")
    if isinstance(target, str) and "." in target:
        stage, _, flat["target_variable"] = target.partition(".")
        if flat.setdefault("stage", stage) != stage:
            raise ConfigError(f"target_variable: given {target!r} with stage {flat['stage']!r}")
    missing = [key for key in ("target_variable", "sweep_values") if flat.get(key) is None]
    if missing:
        raise ConfigError(*(f"{key}: missing, expected {_EXPECTED[key]}" for key in missing))
    path = f"{flat.get('stage', STAGES[0])}.{flat['target_variable']}"
    values = flat["sweep_values"]
    flat["sweep_values"] = list(
        parse_values(path, values) if isinstance(values, str) else as_values(values)
    )
    y_values = flat.get("y_values")
    if isinstance(y_values, str) and isinstance(flat.get("y_variable"), str):
        flat["y_values"] = list(parse_values(str(flat["y_variable"]), y_values))
    return structure(flat, LearningPlan)


def build_learning_plan_from_config(config: Mapping[str, object]) -> LearningPlan:
    """Build a plan from the `learning` section of a whole config, such as a parsed plan file.

    Raises:
        ConfigError: There is no such section, or with every problem in it.
    """
    section = config.get("learning")
    if not isinstance(section, Mapping):
        raise ConfigError(f"learning: given {section!r}, expected a table with target_variable")
    try:
        return build_learning_plan_from_dict(section)
    except ConfigError as error:
        raise ConfigError(*(f"learning.{problem}" for problem in error.problems)) from error


def prepare_learning_run(
    plan: LearningPlan | Mapping[str, object],
    base_config: PipelineConfig | Mapping[str, object],
    *,
    max_steps: int | None = None,
    max_images_per_step: int | None = None,
    step_timeout: float | None = None,
    metadata: Mapping[str, object] | None = None,
    plan_id: str | None = None,
) -> LearningExecutionContext:
    """Make a plan ready to run: everything that can be wrong with it is found here.

    Raises:
        ConfigError: With every problem of plan and config.
    """
    if not isinstance(plan, LearningPlan):
        plan = build_learning_plan_from_dict(plan)
    if not isinstance(base_config, PipelineConfig):
        base_config = PipelineConfig.from_dict(base_config)
    derive_steps(plan, base_config)
    return LearningExecutionContext(
        plan=plan,
        base_config=base_config,
        max_steps=max_steps,
        max_images_per_step=max_images_per_step,
        step_timeout=step_timeout,
        metadata=metadata or {},
        plan_id=plan_id,
    )
