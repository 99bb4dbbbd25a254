"""What would run, without running it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import attrs

from stablenew.backends.base import Capabilities
from stablenew.cli.job import Job
from stablenew.config.pipeline_config import Setting
from stablenew.controller.plan_progress import DEADLY
from stablenew.errors import ConfigError
from stablenew.learning.learning_plan import derive_steps, step_label
from stablenew.pipeline.durations import Estimate, read_durations
from stablenew.pipeline.picture_index import PictureIndex
from stablenew.pipeline.stage_plan import PlannedStage, StagePlan, plan_stages


@attrs.frozen(kw_only=True)
class DryStep:
    """A run that would take place.

    Attributes:
        value: The swept setting's value; None for a single run.
        y_value: Of a grid: the second setting's value.
        images: Pictures that each stage would have.
        stages: Their names and settings.
        missing: How many pictures of each stage have to be made; None for all.
        state: What became of the step before: `new`, `reused`, `stale`, `failed`, `quarantined`.
    """

    value: Setting
    y_value: Setting = None
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


def look_up(job: Job, steps: list[DryStep]) -> list[DryStep]:
    """Return steps with what is there of them, or will be; blocks, for a worker thread."""
    index = PictureIndex(job.settings.out)
    known: set[str] = set()

    there_is_one = job.settings.reuse and job.settings.out.exists()

    def there(fingerprint: str) -> bool:
        found = fingerprint in known or (there_is_one and any(index.find(fingerprint)))
        if job.settings.reuse:  # what one step makes, the next ones have
            known.add(fingerprint)
        return found

    return [_looked_up(job, there, number, step) for number, step in enumerate(steps)]


def _looked_up(job: Job, there: Callable[[str], bool], number: int, step: DryStep) -> DryStep:
    wanted = step.stages.fingerprints(step.images)
    missing = tuple(sum(not there(each) for each in stage) for stage in wanted)
    nothing = (0,) * len(wanted)
    step = attrs.evolve(step, missing=missing, state="new" if any(missing) else "reused")
    if job.resumed is None:
        return step
    progress, last = job.resumed.progress, set(wanted[-1])
    if number in progress.finished:
        known = {output.fingerprint for output in progress.finished[number]}
        state = "reused" if known <= last or known == {""} else "stale"
        return attrs.evolve(step, missing=nothing, state=state)
    if progress.deaths[number] >= DEADLY:
        return attrs.evolve(step, missing=nothing, state="quarantined")
    return attrs.evolve(step, state="failed") if number in progress.failed else step


def estimated(job: Job, steps: list[DryStep]) -> Estimate | None:
    """Return how long steps will take, from what pictures took before; blocks, likewise."""
    durations = read_durations(job.settings.out)
    return durations.estimate(each for step in steps for each in step.to_make)


def describe(job: Job, steps: list[DryStep], estimate: Estimate | None) -> Iterator[str]:
    """Yield lines for a person: the totals, then each step with its stages' settings."""
    made = sum(step.images for step in steps)
    calls = sum(step.calls for step in steps)
    took = "" if estimate is None or not calls else f", {estimate}"
    yield f"steps: {len(steps)}, pictures: {made}, backend calls: {calls}{took}"
    for number, step in enumerate(steps, start=1):
        if job.plan is None:
            yield "a single run"
        else:
            plan = job.plan
            label = step_label(plan.path, step.value, plan.y_variable, step.y_value)
            there = f", {step.there} pictures there" if step.there and step.calls else ""
            yield f"step {number}  {label}  {step.state}{there}"
        for stage in step.stages.stages:
            yield f"  {stage.name}: {_settings(stage.settings)}"


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
