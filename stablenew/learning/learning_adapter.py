"""From plain data to a plan that is ready to run."""

from __future__ import annotations

from collections.abc import Mapping
from types import NoneType
from typing import Any

import attrs

from stablenew._arguments import takes
from stablenew._convert import structure
from stablenew._names import suggestion
from stablenew.config.overrides import with_stage
from stablenew.config.pipeline_config import STAGES, PipelineConfig, Setting
from stablenew.errors import ConfigError
from stablenew.learning.axis import Axis, axis_of_values
from stablenew.learning.axis_table import axes_from, values_of
from stablenew.learning.execution_context import LearningExecutionContext
from stablenew.learning.learning_plan import LearningPlan
from stablenew.learning.learning_steps import derive_steps


@attrs.frozen(kw_only=True)
class _Options:
    """What a plan has besides its axes."""

    images_per_step: int = 1
    metadata: Mapping[str, object] = attrs.field(factory=dict)
    mode: str | None = None
    max_pictures: int = 24
    first: tuple[int, ...] = ()
    added: tuple[int, ...] = ()
    sample: int | None = None
    skip: tuple[Mapping[str, Setting], ...] = ()
    order: str = "models"


_ONE_SETTING = ("stage", "target_variable", "sweep_values", "y_variable", "y_values")
_KEYS = ("axes", "bounds", *_ONE_SETTING, *(field.name for field in attrs.fields(_Options)))

_EXPECTED = {
    "target_variable": "a setting such as txt2img.cfg_scale",
    "sweep_values": "its values, a list or start:stop:step",
}


def build_learning_plan_from_dict(data: Mapping[str, object]) -> LearningPlan:
    """Build a plan from a flat mapping with the plan's own keys.

    Args:
        data: `target_variable` may name its stage as well (`txt2img.cfg_scale`); `sweep_values`
            may be a list, a single value, or text such as `1:9:2`. `axes` has a table for each
            further axis, as `axis_table.py` has them; `bounds` makes it adaptive.

    Raises:
        ConfigError: With every problem.
    """
    if not isinstance(data, Mapping):
        raise ConfigError(f"plan: given {data!r}, expected a table with target_variable")
    flat = dict(data)
    unknown = [name for name in flat if name not in _KEYS]
    if unknown:
        raise ConfigError(*(f"{name}: no such key, {suggestion(name, _KEYS)}" for name in unknown))
    axes, bounds = axes_from(flat.pop("axes", ())), flat.pop("bounds", None)
    names = [name for name in _ONE_SETTING if flat.get(name) is not None]
    if names or not axes:
        axes = (
            *_one_setting({name: flat.pop(name) for name in _ONE_SETTING if name in flat}),
            *axes,
        )
    options = structure({name: flat[name] for name in flat if name not in _ONE_SETTING}, _Options)
    given = attrs.asdict(options, recurse=False)
    if bounds is not None:
        given |= {"target_variable": axes[0].path, "sweep_values": axes[0].values, "bounds": bounds}
        axes = axes[1:]
    return LearningPlan(axes=axes, **given)


def _one_setting(flat: dict[str, Any]) -> tuple[Axis, ...]:
    """Return the axes of a plan that names one setting, or two, and their values."""
    target = flat.get("target_variable")
    stage = flat.get("stage") or STAGES[0]
    if isinstance(target, str) and with_stage(target) == target:
        named, _, target = target.partition(".")
        if flat.get("stage") not in (None, named):
            raise ConfigError(
                f"target_variable: given {flat['target_variable']!r} with stage {stage!r}"
            )
        stage = named
    missing = [key for key in ("target_variable", "sweep_values") if flat.get(key) is None]
    if missing:
        raise ConfigError(*(f"{key}: missing, expected {_EXPECTED[key]}" for key in missing))
    wrong = [
        key
        for key in ("stage", "target_variable", "y_variable")
        if not isinstance(flat.get(key), str | None)
    ]
    if wrong:
        raise ConfigError(*(f"{key}: given {flat[key]!r}, expected text" for key in wrong))
    path = f"{stage}.{target}"
    axes = (axis_of_values(path, values_of(path, flat["sweep_values"])),)
    if flat.get("y_variable") is None:
        return axes
    y_variable = str(flat["y_variable"])
    return (*axes, axis_of_values(y_variable, values_of(y_variable, flat.get("y_values"))))


def build_learning_plan_from_config(config: Mapping[str, object]) -> LearningPlan:
    """Build a plan from the `learning` section of a whole config, such as a parsed plan file.

    Raises:
        ConfigError: There is no such section, or with every problem in it.
    """
    section = config.get("learning") if isinstance(config, Mapping) else None
    if not isinstance(section, Mapping):
        raise ConfigError(f"learning: given {section!r}, expected a table with target_variable")
    try:
        return build_learning_plan_from_dict(section)
    except ConfigError as error:
        raise ConfigError(*(f"learning.{problem}" for problem in error.problems)) from error


@takes(metadata=(Mapping, NoneType), plan_id=(str, NoneType))
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
