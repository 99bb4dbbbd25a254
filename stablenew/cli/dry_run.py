"""What would run, without running it."""

from __future__ import annotations

from collections.abc import Iterator

from stablenew.backends.base import Capabilities
from stablenew.cli.job import Job
from stablenew.learning.learning_plan import derive_steps
from stablenew.pipeline.stage_plan import StagePlan, plan_stages


def describe_job(job: Job, capabilities: Capabilities) -> Iterator[str]:
    """Yield lines: how many steps and backend calls, then each step with its stages' settings.

    Raises:
        ConfigError: The job is wrong in a way that running it would find as well.
    """
    if job.plan is None:
        plan = plan_stages(job.config, capabilities)
        calls = len(plan.stages) * job.images
        yield f"a single run, pictures: {job.images}, backend calls: {calls}"
        yield from _stages(plan)
        return
    steps = derive_steps(job.plan, job.config)[: job.max_steps]
    plans = [plan_stages(step.config_snapshot, capabilities) for step in steps]
    calls = sum(
        len(plan.stages) * step.images_requested for plan, step in zip(plans, steps, strict=True)
    )
    pictures = sum(step.images_requested for step in steps)
    yield f"steps: {len(steps)}, pictures: {pictures}, backend calls: {calls}"
    for step, plan in zip(steps, plans, strict=True):
        yield f"step {step.index + 1}  {job.plan.path}={step.value}"
        yield from _stages(plan)


def _stages(plan: StagePlan) -> Iterator[str]:
    for stage in plan.stages:
        given = {name: value for name, value in stage.settings.items() if value not in (None, "")}
        settings = ", ".join(f"{name}={value!r}" for name, value in given.items())
        yield f"  {stage.name}: {settings}"
