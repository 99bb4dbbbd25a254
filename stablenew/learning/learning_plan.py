"""What is to be learned, the steps that follow from it, and what became of them. Values."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Set

import attrs

from stablenew._convert import as_metadata, as_python, frozen_mapping, takes_numpy
from stablenew._names import suggestion
from stablenew.config.overrides import override, split_path
from stablenew.config.pipeline_config import PipelineConfig, Setting, bounded
from stablenew.errors import ConfigError, OverrideError
from stablenew.pipeline.results import Failure, Outcome, PipelineRunResult, StageOutput

MODES = ("sweep", "grid", "adaptive")
"""How the steps of a plan follow from it: `sweep` runs one per value of one variable, `grid` one
per pair of values of two, `adaptive` goes on with what the ratings of the first ones say."""


def as_values(given: object) -> tuple[Setting, ...]:
    """Return the values of a sweep; a scalar is a sweep of one value."""
    given = as_python(given)
    if given is None or isinstance(given, str | int | float):
        given = () if given is None else (given,)
    if not isinstance(given, Iterable) or isinstance(given, Mapping | Set):
        raise ConfigError(f"sweep_values: given {given!r}, expected a list of values")
    values: list[Setting] = []
    for value in map(as_python, given):
        if value is not None and not isinstance(value, str | int | float):
            raise ConfigError(f"sweep_values: given {value!r}, expected text, a number, or a bool")
        values.append(value)
    return tuple(values)


def as_bounds(given: object) -> tuple[float, float] | None:
    """Return the lowest and the highest value of an exploration."""
    ends = as_python(given)
    if ends is None:
        return None
    values = [*map(as_python, ends)] if isinstance(ends, list | tuple) else []
    numbers = [
        each
        for each in values
        if isinstance(each, int | float) and type(each) is not bool and math.isfinite(each)
    ]
    if len(values) != 2 or len(numbers) != 2:
        raise ConfigError(f"bounds: given {given!r}, expected the lowest and the highest number")
    return numbers[0], numbers[1]


def _known_mode(_: object, __: attrs.Attribute[str], mode: str) -> None:
    if mode not in MODES:
        raise ConfigError(f"mode: given {mode!r}, {suggestion(mode, MODES)}")


@attrs.frozen(kw_only=True, field_transformer=takes_numpy)
class LearningPlan:
    """One setting or two to explore, by running the pipeline once for each value or pair of values.

    Attributes:
        mode: One of `MODES`; `grid` where there is a second axis, if not given.
        stage: The stage that the setting belongs to.
        target_variable: The setting's name in that stage, such as `cfg_scale`.
        sweep_values: Its values, one step each.
        images_per_step: Pictures for each value, 1 or more.
        metadata: Kept with every record: `experiment_name`, `one_click_action_id`, …
        y_variable: Of a grid: the second setting's path, such as `img2img.denoising_strength`.
        y_values: Of a grid: its values.
        bounds: Of an adaptive plan: the lowest and the highest value to try.
        max_pictures: Of an adaptive plan: how many to make at the most.
    """

    stage: str = "txt2img"
    target_variable: str
    sweep_values: tuple[Setting, ...] = attrs.field(converter=as_values)
    images_per_step: int = attrs.field(default=1, validator=bounded(1, 100_000))
    metadata: Mapping[str, object] = attrs.field(factory=dict, converter=as_metadata)
    y_variable: str | None = None
    y_values: tuple[Setting, ...] = attrs.field(default=(), converter=as_values)
    bounds: tuple[float, float] | None = attrs.field(default=None, converter=as_bounds)
    max_pictures: int = attrs.field(default=24, validator=bounded(1, 100_000))
    mode: str = attrs.field(validator=_known_mode)  # last, for its default looks at the others

    @mode.default
    def _implied_mode(self) -> str:
        if self.bounds is not None:
            return "adaptive"
        return "sweep" if self.y_variable is None else "grid"

    @property
    def path(self) -> str:
        """Stage and setting: `txt2img.cfg_scale`."""
        return f"{self.stage}.{self.target_variable}"

    @property
    def count(self) -> int:
        """How many steps it has."""
        return len(self.sweep_values) * (len(self.y_values) if self.y_variable else 1)


def step_label(variable: str, value: Setting, y_variable: str | None, y_value: Setting) -> str:
    """Return what sets a step apart, in words: `cfg_scale=5, steps=20`."""
    label = f"{variable}={value}"
    if y_variable is None:
        return label
    return f"{label}, {y_variable.partition('.')[2]}={y_value}"


@attrs.frozen(kw_only=True)
class LearningRunStep:
    """One value of a plan, and the config that follows from it.

    Attributes:
        index: From 0.
        variable: The setting's name, without the stage.
        y_variable: Of a grid: the second setting's path.
        y_value: Of a grid: its value.
    """

    index: int
    stage: str
    variable: str
    value: Setting
    images_requested: int
    config_snapshot: PipelineConfig
    y_variable: str | None = None
    y_value: Setting = None


@attrs.frozen(kw_only=True)
class LearningRunResult:
    """What became of one step.

    Attributes:
        run_result: None where the run never began or raised.
        tags: What the run was tagged with.
        duration: Seconds.
    """

    step: LearningRunStep
    outcome: Outcome
    run_id: str = ""
    run_result: PipelineRunResult | None = None
    error: Failure | None = None
    tags: Mapping[str, object] = attrs.field(factory=dict, converter=frozen_mapping)
    duration: float = 0.0


@attrs.frozen(kw_only=True)
class FinishedStep:
    """A step that is not run again.

    Attributes:
        run_id: The run that made its pictures.
        outputs: The pictures of its last stage.
    """

    run_id: str
    outputs: tuple[StageOutput, ...]


@attrs.frozen(kw_only=True)
class Resumption:
    """Where a plan goes on that was begun before.

    Attributes:
        finished: The steps that are not run again.
        run_ids: Of steps whose own run id is that of a finished run of something else.
        quarantined: Steps that killed the process and are set aside.
        only: Run these steps and no others; None for all.
        added_values: Values that an adaptive plan had chosen.
        recorded: The runs that have a record.
    """

    finished: Mapping[int, FinishedStep] = attrs.field(factory=dict)
    run_ids: Mapping[int, str] = attrs.field(factory=dict)
    quarantined: frozenset[int] = frozenset()
    only: frozenset[int] | None = None
    added_values: tuple[Setting, ...] = ()
    recorded: frozenset[str] = frozenset()


@attrs.frozen(kw_only=True, field_transformer=takes_numpy)
class LearningExecutionContext:
    """A plan made ready to run.

    Attributes:
        base_config: What every step's config is derived from; never changed.
        max_steps: Run the first so many steps, None for all.
        max_images_per_step: Make no more pictures per step, None for as many as planned.
        step_timeout: Seconds after which a step is given up, None for never.
        metadata: Kept with every record, over the plan's own.
        plan_id: Safe as a file name; made up when the plan starts if not given.
        max_seconds: Begin no step that would not be done by then, as long as the longest so far.
        resumption: Where the plan goes on; from its beginning if not given.
    """

    plan: LearningPlan
    base_config: PipelineConfig
    max_steps: int | None = attrs.field(default=None, validator=bounded(1, 10**9))
    max_images_per_step: int | None = attrs.field(default=None, validator=bounded(1, 10**9))
    step_timeout: float | None = attrs.field(default=None, validator=bounded(0.001, 1e9))
    metadata: Mapping[str, object] = attrs.field(factory=dict, converter=as_metadata)
    plan_id: str | None = None
    max_seconds: float | None = attrs.field(default=None, validator=bounded(0.001, 1e9))
    resumption: Resumption = Resumption()


@attrs.frozen(kw_only=True)
class LearningExecutionResult:
    """What became of a plan.

    Attributes:
        step_results: One per step that was begun, in order.
        metadata: The context's, over the plan's own.
        summary: How many steps there were, how they ended, and how many were not run.
    """

    plan: LearningPlan
    step_results: tuple[LearningRunResult, ...] = ()
    metadata: Mapping[str, object] = attrs.field(factory=dict, converter=frozen_mapping)
    summary: Mapping[str, object] = attrs.field(factory=dict, converter=frozen_mapping)
    plan_id: str = ""
    outcome: Outcome = Outcome.SUCCEEDED

    @property
    def steps_executed(self) -> int:
        """How many steps were begun."""
        return len(self.step_results)

    @property
    def success(self) -> bool:
        """Whether every step succeeded."""
        return self.outcome is Outcome.SUCCEEDED


def derive_steps(
    plan: LearningPlan, base_config: PipelineConfig, max_images_per_step: int | None = None
) -> tuple[LearningRunStep, ...]:
    """Derive a plan's steps. Pure.

    Raises:
        OverrideError: An unknown path, a stage that is off, no value, a value given twice or of
            the wrong type: with every problem.
    """
    split_path(plan.path)
    problems = [*_plan_problems(plan, base_config)]
    images = min(plan.images_per_step, max_images_per_step or plan.images_per_step)
    steps: list[LearningRunStep] = []
    for index, (y_value, value) in enumerate(_pairs(plan)):
        try:
            config = override(base_config, plan.path, value)
            if plan.y_variable is not None:
                config = override(config, plan.y_variable, y_value)
        except OverrideError as error:
            problems.extend(error.problems)
            continue
        steps.append(
            LearningRunStep(
                index=index,
                stage=plan.stage,
                variable=plan.target_variable,
                value=value,
                images_requested=images,
                config_snapshot=config,
                y_variable=plan.y_variable,
                y_value=y_value,
            )
        )
    if problems:
        raise OverrideError(*dict.fromkeys(problems))
    return tuple(steps)


def step_run_id(plan_id: str, index: int) -> str:
    """Return the id of a step's run: the plan's and the step's number, from 1."""
    return f"{plan_id}-{index + 1:05d}"


def extend_steps(
    plan: LearningPlan,
    base_config: PipelineConfig,
    values: Iterable[Setting],
    *,
    first: int,
    images: int,
) -> tuple[LearningRunStep, ...]:
    """Derive the steps of an adaptive plan's next values; their numbers go on.

    Args:
        plan: The plan.
        base_config: What each step's config is derived from.
        values: Those.
        first: The index of the first of them.
        images: Pictures for each.

    Raises:
        OverrideError: A value that does not fit.
    """
    more = derive_steps(attrs.evolve(plan, sweep_values=tuple(values)), base_config)
    return tuple(
        attrs.evolve(step, index=first + step.index, images_requested=images) for step in more
    )


def summarize(
    results: Iterable[LearningRunResult], steps: int, outcome: Outcome
) -> dict[str, object]:
    """Count how the steps of a plan ended.

    Args:
        results: Of the steps that were begun.
        steps: How many the plan has.
        outcome: Of the plan as a whole.
    """
    counted = Counter(result.outcome for result in results)
    ended = {str(each): counted[each] for each in Outcome}
    return {
        "outcome": str(outcome),
        "steps": steps,
        **ended,
        "not_run": steps - counted.total(),
    }


def _pairs(plan: LearningPlan) -> Iterable[tuple[Setting, Setting]]:
    """Return the values of the second axis, each with every value of the first."""
    return itertools.product(plan.y_values if plan.y_variable else (None,), plan.sweep_values)


def _plan_problems(plan: LearningPlan, base_config: PipelineConfig) -> Iterable[str]:
    yield from _axis_problems(plan.path, plan.sweep_values, base_config, plan.y_variable)
    if plan.y_variable is not None:
        split_path(plan.y_variable)
        yield from _axis_problems(plan.y_variable, plan.y_values, base_config, plan.path)
    if plan.y_variable == plan.path:
        yield f"{plan.path}: is both axes of the grid, expected two settings"
    if (plan.mode == "grid") != (plan.y_variable is not None):
        yield f"mode: given {plan.mode!r}, but a second axis (y_variable) is what makes a grid"
    if (plan.mode == "adaptive") != (plan.bounds is not None):
        yield f"mode: given {plan.mode!r}, but bounds are what makes a plan adaptive"
    if plan.bounds is not None and not plan.bounds[0] < plan.bounds[1]:
        low, high = plan.bounds
        yield f"{plan.path}: given {low:g}..{high:g}, expected a lower and a higher number"
    elif plan.bounds is not None:
        for value in plan.sweep_values:
            inside = isinstance(value, int | float) and plan.bounds[0] <= value <= plan.bounds[1]
            if not inside:
                low, high = plan.bounds
                yield f"{plan.path}: given {value!r}, expected a number from {low:g} to {high:g}"


_COUNTS_ONLY_WITH: Mapping[str, str] = {
    **dict.fromkeys(
        (
            *("txt2img.hr_scale", "txt2img.hr_upscaler", "txt2img.hr_second_pass_steps"),
            *("txt2img.hr_resize_x", "txt2img.hr_resize_y", "txt2img.hr_sampler_name"),
            *("txt2img.hr_scheduler", "txt2img.hr_prompt", "txt2img.hr_negative_prompt"),
            "txt2img.denoising_strength",
        ),
        "enable_hr",
    ),
    "txt2img.refiner_switch_at": "refiner_checkpoint",
    "txt2img.subseed": "subseed_strength",
}
"""Settings that change nothing while another one of their stage is off."""


def _axis_problems(
    path: str, values: tuple[Setting, ...], base_config: PipelineConfig, other: str | None = None
) -> Iterable[str]:
    stage, _, name = path.partition(".")
    needed = _COUNTS_ONLY_WITH.get(path)
    if needed and not getattr(base_config.txt2img, needed) and other != f"txt2img.{needed}":
        yield f"{path}: changes nothing without txt2img.{needed}; set that as well"
    if not values:
        yield f"{path}: the sweep is empty, expected one value or more"
    if name != "enabled" and not getattr(base_config, stage).enabled:
        yield f"{path}: {stage} is off, so the sweep would change nothing; enable it"
    counted = Counter(values)
    if len(counted) < len(values):
        twice = ", ".join(repr(value) for value, count in counted.items() if count > 1)
        yield f"{path}: {twice} is given more than once, expected different values"
