"""What would run, without running it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from itertools import pairwise, starmap

import attrs

from stablenew.backends.base import Capabilities
from stablenew.backends.comfyui.workflows.workflow_stage import GRAPH
from stablenew.cli.job import Job
from stablenew.config.pipeline_config import Setting
from stablenew.config.workflow_config import WORKFLOW
from stablenew.controller.plan_progress import DEADLY, PlanProgress
from stablenew.errors import ConfigError
from stablenew.learning.axis import Axis
from stablenew.learning.learning_plan import LearningRunStep
from stablenew.learning.learning_steps import LOOKED_AT, Steps, derive_steps
from stablenew.learning.step_plans import checked_stages, plan_steps
from stablenew.pipeline.durations import Estimate, read_durations
from stablenew.pipeline.picture_index import PictureIndex
from stablenew.pipeline.stage_plan import PlannedStage, StagePlan, plan_stages
from stablenew.pipeline.stage_settings import with_defaults


@attrs.frozen(kw_only=True)
class DryStep:
    """A run that would take place.

    Attributes:
        value: The swept setting's value; None for a single run.
        y_value: Of a grid: the second setting's value.
        label: What sets it apart, in words.
        index: Its number, from 0.
        images: Pictures that each stage would have.
        stages: Their names and settings.
        missing: How many pictures of each stage have to be made; None for all.
        state: What became of the step before: `new`, `reused`, `failed`, `quarantined`.
    """

    value: Setting
    y_value: Setting = None
    label: str = ""
    index: int = 0
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


@attrs.frozen(kw_only=True)
class DryRun:
    """What a job would run.

    Attributes:
        count: How many steps.
        first: The first of them, as many as are ever shown.
        looked_at: All of them; or of very many, some that stand for all.
        at_most: Whether it may be fewer: of an adaptive plan, of which the first ones are known.
        done: How many steps are there of those that are not looked at.
    """

    count: int
    first: tuple[DryStep, ...]
    looked_at: tuple[DryStep, ...]
    at_most: bool = False
    done: int = 0

    @property
    def share(self) -> float:
        """How many steps each that is looked at stands for."""
        return self.count / max(len(self.looked_at), 1)

    @property
    def pictures(self) -> int:
        """How many there would be."""
        return round(self.share * sum(step.images for step in self.looked_at))

    @property
    def calls(self) -> int:
        """How many pictures the backend would be asked for; of very many steps, about."""
        if self.at_most:  # what comes after the first ones is new
            known = sum(step.calls for step in self.looked_at)
            each = sum(step.calls + step.there for step in self.looked_at) / len(self.looked_at)
            return known + round((self.count - len(self.looked_at) - self.done) * each)
        return round(self.share * sum(step.calls for step in self.looked_at))


_KEPT = 1_000
"""Steps that are shown at the most, as data; a person sees fewer."""

_DRAWN = 500
"""Steps that stand for those of a plan of very many."""


def dry_run_of(job: Job, capabilities: Capabilities) -> DryRun:
    """Return what a job would run.

    Raises:
        ConfigError: The job is wrong in a way that running it would find as well.
    """
    if job.plan is None:
        stages = _single_run(job, capabilities)
        single = (DryStep(value=None, images=job.images, stages=stages),)
        return DryRun(count=1, first=single, looked_at=single)
    defaults: Mapping[str, Setting] = {}
    if job.resumed is not None:
        defaults = job.resumed.pinned(capabilities).defaults
    what = (job.plan, job.config, capabilities, defaults, job.problems, job.pictures)
    if job.plan.is_adaptive:
        for _ in checked_stages(*what):
            pass  # it raises what is wrong with any choice
        first = tuple(starmap(_dry_step, plan_steps(*what)))[: job.max_steps]
        most = min(job.plan.most_steps, job.max_steps or job.plan.most_steps)
        return DryRun(count=most, first=first, looked_at=first, at_most=True)
    if job.problems or job.plan.count <= LOOKED_AT:
        every = tuple(starmap(_dry_step, plan_steps(*what)))[: job.max_steps]
        return DryRun(count=len(every), first=every[:_KEPT], looked_at=every)
    for _ in checked_stages(*what):
        pass  # it raises what is wrong

    def dry(some: Steps) -> tuple[DryStep, ...]:
        configs = ((step, with_defaults(step.config_snapshot, defaults)) for step in some)
        return tuple(
            _dry_step(step, plan_stages(config, capabilities, job.pictures))
            for step, config in configs
        )

    steps = derive_steps(job.plan, job.config)[: job.max_steps]
    drawn = random.Random(0).sample(range(len(steps)), min(_DRAWN, len(steps)))
    return DryRun(
        count=len(steps), first=dry(steps[:_KEPT]), looked_at=dry(steps.picked(sorted(drawn)))
    )


def _single_run(job: Job, capabilities: Capabilities) -> StagePlan:
    problems = list(job.problems)
    try:
        stages = plan_stages(job.config, capabilities, job.pictures)
    except ConfigError as error:
        problems += error.problems
    if problems:
        raise ConfigError(*problems)
    return stages


def _dry_step(step: LearningRunStep, stages: StagePlan) -> DryStep:
    return DryStep(
        value=step.value,
        y_value=step.y_value,
        label=step.label,
        index=step.index,
        images=step.images_requested,
        stages=stages,
    )


def look_up(job: Job, dry: DryRun, progress: PlanProgress | None) -> DryRun:
    """Return a dry run with what is there of its steps, or will be; blocks, for a worker thread.

    Args:
        job: What to do.
        dry: What it would run.
        progress: Of a plan that goes on: how far it got.
    """
    index = PictureIndex(job.settings.out)
    there_is_one = job.settings.reuse and job.settings.out.exists()

    def looked_up(steps: tuple[DryStep, ...]) -> tuple[DryStep, ...]:
        counted: set[str] = set()

        def there(fingerprint: str) -> bool:
            found = fingerprint in counted or (there_is_one and any(index.find(fingerprint)))
            if job.settings.reuse:  # what one step makes, the next ones have
                counted.add(fingerprint)
            return found

        return tuple(_looked_up(progress, there, step) for step in steps)

    looked_at = looked_up(dry.looked_at)
    whole = len(dry.looked_at) == dry.count
    first = looked_at[:_KEPT] if whole else looked_up(dry.first)
    finished = progress.finished if progress is not None else ()
    done = sum(index >= len(looked_at) for index in finished) if dry.at_most else 0
    return attrs.evolve(dry, first=first, looked_at=looked_at, done=done)


def _looked_up(
    progress: PlanProgress | None, there: Callable[[str], bool], step: DryStep
) -> DryStep:
    wanted = step.stages.fingerprints(step.images)
    missing = tuple(sum(not there(each) for each in stage) for stage in wanted)
    nothing = (0,) * len(wanted)
    step = attrs.evolve(step, missing=missing, state="new" if any(missing) else "reused")
    if progress is None:
        return step
    if step.index in progress.finished:
        return attrs.evolve(step, missing=nothing, state="reused")
    if progress.deaths[step.index] >= DEADLY:
        return attrs.evolve(step, missing=nothing, state="quarantined")
    return attrs.evolve(step, state="failed") if step.index in progress.failed else step


def estimated(job: Job, dry: DryRun) -> Estimate | None:
    """Return how long steps will take, from what pictures took before; blocks, likewise."""
    durations = read_durations(job.settings.out)
    servers = max(len(job.settings.urls), 1)  # several work at the same time
    if dry.at_most:  # the first ones stand for all that are to be made
        share = dry.calls / sum(step.calls + step.there for step in dry.looked_at) / servers
        every = ((stage, step.images) for step in dry.looked_at for stage in step.stages.stages)
        return durations.estimate((stage, share * images) for stage, images in every)
    made = (each for step in dry.looked_at for each in step.to_make)
    share = dry.share / servers
    return durations.estimate((stage, share * count) for stage, count in made)


_SHOWN = 20
"""Steps that a person is shown."""


def describe(job: Job, dry: DryRun, estimate: Estimate | None) -> Iterator[str]:
    """Yield lines for a person: the totals, the axes, then the first steps with their settings."""
    roughly = "" if len(dry.looked_at) == dry.count else "about "
    took = f", {estimate}" if estimate is not None and dry.calls else ""
    calls = f"backend calls: {roughly}{dry.calls:,}"
    most = "up to " if dry.at_most else ""
    yield f"steps: {most}{dry.count:,}, pictures: {most}{dry.pictures:,}, {calls}{took}"
    for axis in job.plan.axes if job.plan else ():
        yield f"{axis.name}: {_choices(axis)}"
    for step in dry.first[:_SHOWN]:
        yield "a single run" if job.plan is None else _step_line(step)
        if (image := step.stages.image) is not None:
            yield f"  image: {image.path}, {image.width}x{image.height}"
        for stage in step.stages.stages:
            yield f"  {stage.name}: {_settings(_without_graph(stage))}"
    if dry.at_most:
        yield "… and what the ratings of these promise most of"
    elif dry.count > _SHOWN:
        yield f"… and {dry.count - _SHOWN:,} more"


_LISTED = 12
"""Choices of an axis up to which all are named."""


def _choices(axis: Axis) -> str:
    """Return what an axis tries, in one line: numbers at equal distances as a range."""
    values, labels = axis.values, axis.labels
    numbers = [Decimal(str(each)) for each in values if type(each) in (int, float)]
    steps = {after - before for before, after in pairwise(numbers)}
    if len(numbers) == len(values) > 2 and len(steps) == 1:
        return f"{labels[0]}:{labels[-1]}:{steps.pop()} ({len(values):,} values)"
    between = " | " if any("," in label for label in labels) else ", "
    if len(labels) <= _LISTED:
        return between.join(labels)
    return f"{between.join(labels[: _LISTED - 1])}, … {labels[-1]} ({len(labels):,} in all)"


def _step_line(step: DryStep) -> str:
    there = f", {step.there} pictures there" if step.there and step.calls else ""
    return f"step {step.index + 1}  {step.label}  {step.state}{there}"


def plain(dry: DryRun, estimate: Estimate | None) -> dict[str, object]:
    """Return the same as plain data, with more of the steps."""
    return {
        "pictures": dry.pictures,
        "backend_calls": dry.calls,
        "estimate": estimate,
        "step_count": dry.count,
        "at_most": dry.at_most,
        "steps": [
            {
                "value": step.value,
                "y_value": step.y_value,
                "label": step.label,
                "images": step.images,
                "state": step.state,
                "backend_calls": step.calls,
                "image": step.stages.image and step.stages.image.path,
                "stages": {stage.name: _without_graph(stage) for stage in step.stages.stages},
            }
            for step in dry.first
        ],
    }


def _without_graph(stage: PlannedStage) -> dict[str, Setting]:
    """Return a stage's settings, without the graph of a workflow, which nobody could read."""
    left_out = GRAPH if stage.name == WORKFLOW else ""
    return {name: value for name, value in stage.settings.items() if name != left_out}


def _settings(settings: Mapping[str, Setting]) -> str:
    given = {name: value for name, value in settings.items() if value not in (None, "")}
    shown = {name: f"{name}={value!r}" for name, value in given.items()}
    if given.get("seed") == -1:
        shown["seed"] = "seed=-1 (drawn once)"
    return ", ".join(shown.values())
