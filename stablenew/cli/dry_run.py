"""What would run, without running it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import attrs

from stablenew.backends.base import Capabilities
from stablenew.cli.job import Job
from stablenew.config.pipeline_config import Setting
from stablenew.errors import ConfigError
from stablenew.learning.learning_plan import derive_steps, step_label
from stablenew.pipeline.stage_plan import StagePlan, plan_stages


@attrs.frozen(kw_only=True)
class DryStep:
    """A run that would take place.

    Attributes:
        value: The swept setting's value; None for a single run.
        y_value: Of a grid: the second setting's value.
        images: Pictures that each stage would make.
        stages: Their names and settings.
    """

    value: Setting
    y_value: Setting = None
    images: int
    stages: StagePlan

    @property
    def calls(self) -> int:
        """How many pictures the backend would be asked for."""
        return self.images * len(self.stages.stages)


def dry_steps(job: Job, capabilities: Capabilities) -> list[DryStep]:
    """Return what a job would run.

    Raises:
        ConfigError: The job is wrong in a way that running it would find as well.
    """
    if job.plan is None:
        stages = plan_stages(job.config, capabilities)
        return [DryStep(value=None, images=job.images, stages=stages)]
    found: list[DryStep] = []
    problems: dict[str, None] = {}
    for step in derive_steps(job.plan, job.config)[: job.max_steps]:
        try:
            stages = plan_stages(step.config_snapshot, capabilities)
        except ConfigError as error:
            problems.update(dict.fromkeys(error.problems))
            continue
        found.append(
            DryStep(
                value=step.value,
                y_value=step.y_value,
                images=step.images_requested,
                stages=stages,
            )
        )
    if problems:
        raise ConfigError(*problems)
    return found


def describe(job: Job, steps: list[DryStep]) -> Iterator[str]:
    """Yield lines for a person: the totals, then each step with its stages' settings."""
    made = sum(step.images for step in steps)
    calls = sum(step.calls for step in steps)
    yield f"steps: {len(steps)}, pictures: {made}, backend calls: {calls}"
    for number, step in enumerate(steps, start=1):
        if job.plan is None:
            yield "a single run"
        else:
            plan = job.plan
            label = step_label(plan.path, step.value, plan.y_variable, step.y_value)
            yield f"step {number}  {label}"
        for stage in step.stages.stages:
            yield f"  {stage.name}: {_settings(stage.settings)}"


def plain(steps: list[DryStep]) -> dict[str, object]:
    """Return the same as plain data."""
    return {
        "pictures": sum(step.images for step in steps),
        "backend_calls": sum(step.calls for step in steps),
        "steps": [
            {
                "value": step.value,
                "y_value": step.y_value,
                "images": step.images,
                "stages": {stage.name: dict(stage.settings) for stage in step.stages.stages},
            }
            for step in steps
        ],
    }


def _settings(settings: Mapping[str, Setting]) -> str:
    given = {name: value for name, value in settings.items() if value not in (None, "")}
    shown = {name: f"{name}={value!r}" for name, value in given.items()}
    if given.get("seed") == -1:
        shown["seed"] = "seed=-1 (drawn once)"
    return ", ".join(shown.values())
