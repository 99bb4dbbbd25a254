"""What would run, without running it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from itertools import pairwise

import attrs

from stablenew.backends.base import Capabilities
from stablenew.cli.job import Job
from stablenew.config.pipeline_config import Setting
from stablenew.controller.plan_progress import DEADLY, PlanProgress
from stablenew.learning.axis import Axis
from stablenew.learning.step_plans import plan_steps
from stablenew.pipeline.durations import Estimate, read_durations
from stablenew.pipeline.picture_index import PictureIndex
from stablenew.pipeline.stage_plan import PlannedStage, StagePlan, plan_stages


@attrs.frozen(kw_only=True)
class DryStep:
    """A run that would take place.

    Attributes:
        value: The swept setting's value; None for a single run.
        y_value: Of a grid: the second setting's value.
        label: What sets it apart, in words.
        images: Pictures that each stage would have.
        stages: Their names and settings.
        missing: How many pictures of each stage have to be made; None for all.
        state: What became of the step before: `new`, `reused`, `failed`, `quarantined`.
    """

    value: Setting
    y_value: Setting = None
    label: str = ""
    images: int
    stages: StagePlan
    missing: tuple[int, ...] | None = None
    state: str = "new"

    @property
    def calls(self) -> int:
        """How many pictures the backend would be asked for."""
        total = self.images * len(self.stages.stages)
        return total if self.missing is None else sum(self.missing)

    @property
    def there(self) -> int:
        """How many of the pictures are there already."""
        return self.images * len(self.stages.stages) - self.calls

    @property
    def to_make(self) -> Iterator[tuple[PlannedStage, int]]:
        """Each stage with how many pictures of it have to be made."""
        missing = self.missing or (self.images,) * len(self.stages.stages)
        yield from zip(self.stages.stages, missing, strict=True)


def dry_steps(job: Job, capabilities: Capabilities) -> list[DryStep]:
    """Return what a job would run.

    Raises:
        ConfigError: The job is wrong in a way that running it would find as well.
    """
    if job.plan is None:
        stages = plan_stages(job.config, capabilities)
        return [DryStep(value=None, images=job.images, stages=stages)]
    defaults: Mapping[str, Setting] = {}
    if job.resumed is not None:
        defaults = job.resumed.pinned(capabilities).defaults
    return [
        DryStep(
            value=step.value,
            y_value=step.y_value,
            label=step.label,
            images=step.images_requested,
            stages=stages,
        )
        for step, stages in plan_steps(job.plan, job.config, capabilities, defaults)
    ][: job.max_steps]


def look_up(job: Job, steps: list[DryStep], progress: PlanProgress | None) -> list[DryStep]:
    """Return steps with what is there of them, or will be; blocks, for a worker thread.

    Args:
        job: What to do.
        steps: What it would run.
        progress: Of a plan that goes on: how far it got.
    """
    index = PictureIndex(job.settings.out)
    known: set[str] = set()

    there_is_one = job.settings.reuse and job.settings.out.exists()

    def there(fingerprint: str) -> bool:
        found = fingerprint in known or (there_is_one and any(index.find(fingerprint)))
        if job.settings.reuse:  # what one step makes, the next ones have
            known.add(fingerprint)
        return found

    return [_looked_up(progress, there, number, step) for number, step in enumerate(steps)]


def _looked_up(
    progress: PlanProgress | None, there: Callable[[str], bool], number: int, step: DryStep
) -> DryStep:
    wanted = step.stages.fingerprints(step.images)
    missing = tuple(sum(not there(each) for each in stage) for stage in wanted)
    nothing = (0,) * len(wanted)
    step = attrs.evolve(step, missing=missing, state="new" if any(missing) else "reused")
    if progress is None:
        return step
    if number in progress.finished:
        return attrs.evolve(step, missing=nothing, state="reused")
    if progress.deaths[number] >= DEADLY:
        return attrs.evolve(step, missing=nothing, state="quarantined")
    return attrs.evolve(step, state="failed") if number in progress.failed else step


def estimated(job: Job, steps: list[DryStep]) -> Estimate | None:
    """Return how long steps will take, from what pictures took before; blocks, likewise."""
    durations = read_durations(job.settings.out)
    return durations.estimate(each for step in steps for each in step.to_make)


def describe(job: Job, steps: list[DryStep], estimate: Estimate | None) -> Iterator[str]:
    """Yield lines for a person: the totals, then each step with its stages' settings."""
    calls = sum(step.calls for step in steps)
    pictures = sum(step.images for step in steps)
    took = f", {estimate}" if estimate is not None and calls else ""
    yield f"steps: {len(steps)}, pictures: {pictures}, backend calls: {calls}{took}"
    for axis in job.plan.axes if job.plan else ():
        yield f"{axis.name}: {_choices(axis)}"
    for number, step in enumerate(steps, start=1):
        yield "a single run" if job.plan is None else _step_line(number, step)
        for stage in step.stages.stages:
            yield f"  {stage.name}: {_settings(stage.settings)}"


_LISTED = 12
"""Choices of an axis up to which all are named."""


def _choices(axis: Axis) -> str:
    """Return what an axis tries, in one line: numbers at equal distances as a range."""
    values, labels = axis.values, axis.labels
    numbers = [Decimal(str(each)) for each in values if type(each) in (int, float)]
    steps = {after - before for before, after in pairwise(numbers)}
    if len(numbers) == len(values) > 2 and len(steps) == 1:
        return f"{labels[0]}:{labels[-1]}:{steps.pop()} ({len(values)} values)"
    between = " | " if any("," in label for label in labels) else ", "
    if len(labels) <= _LISTED:
        return between.join(labels)
    return f"{between.join(labels[: _LISTED - 1])}, … {labels[-1]} ({len(labels)} in all)"


def _step_line(number: int, step: DryStep) -> str:
    there = f", {step.there} pictures there" if step.there and step.calls else ""
    return f"step {number}  {step.label}  {step.state}{there}"


def plain(steps: list[DryStep], estimate: Estimate | None) -> dict[str, object]:
    """Return the same as plain data."""
    return {
        "pictures": sum(step.images for step in steps),
        "backend_calls": sum(step.calls for step in steps),
        "estimate": estimate,
        "steps": [
            {
                "value": step.value,
                "y_value": step.y_value,
                "label": step.label,
                "images": step.images,
                "state": step.state,
                "backend_calls": step.calls,
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
