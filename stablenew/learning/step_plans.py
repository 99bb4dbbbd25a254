"""The steps of a plan as a backend would run them, checked before anything runs. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

import attrs

from stablenew.backends.base import Capabilities
from stablenew.config.overrides import sets_input
from stablenew.config.pipeline_config import PipelineConfig, Setting
from stablenew.config.workflow_config import WorkflowConfig
from stablenew.errors import ConfigError
from stablenew.learning.axis import Axis
from stablenew.learning.learning_plan import LearningPlan, LearningRunStep
from stablenew.learning.learning_steps import Steps, drafted_steps
from stablenew.learning.spelled_axis import spelled_axis
from stablenew.pipeline.stage_plan import StagePlan, plan_stages
from stablenew.pipeline.stage_settings import with_defaults
from stablenew.pipeline.start_picture import StartPicture


def plan_steps(
    plan: LearningPlan,
    config: PipelineConfig,
    capabilities: Capabilities,
    defaults: Mapping[str, Setting],
    wrong: Iterable[str] = (),
    pictures: Mapping[str, StartPicture] = MappingProxyType({}),
) -> Iterator[tuple[LearningRunStep, StagePlan]]:
    """Yield each step of a plan with the stages that it will run.

    Args:
        plan: What to explore.
        config: What each step's config is derived from.
        capabilities: What the backend has.
        defaults: What is taken where nobody gives a value, by path.
        wrong: What is known to be wrong already.
        pictures: Those that steps start from, by path.

    Raises:
        ConfigError: After the last step, with every problem of the plan and its steps, each once.
    """
    steps, found = drafted_steps(plan, config)
    problems = dict.fromkeys((*wrong, *found))
    if steps is not None:
        cells = map(steps.cell, range(len(steps)))
        planned = _planned(steps, cells, capabilities, defaults, problems, pictures)
        yield from ((steps[index], stages) for index, stages in planned)
    if problems:
        raise ConfigError(*problems)


def checked_stages(
    plan: LearningPlan,
    config: PipelineConfig,
    capabilities: Capabilities,
    defaults: Mapping[str, Setting],
    wrong: Iterable[str] = (),
    pictures: Mapping[str, StartPicture] = MappingProxyType({}),
) -> Iterator[StagePlan]:
    """Yield the stages of each step; of very many, of cells that have all the choices.

    Args:
        plan: What to explore.
        config: What each step's config is derived from.
        capabilities: What the backend has.
        defaults: What is taken where nobody gives a value, by path.
        wrong: What is known to be wrong already.
        pictures: Those that steps start from, by path.

    Raises:
        ConfigError: After the last one, with every problem, each once.
    """
    steps, found = drafted_steps(plan, config)
    problems = dict.fromkeys((*wrong, *found))
    if steps is not None:
        planned = _planned(steps, steps.looked_at, capabilities, defaults, problems, pictures)
        yield from (stages for _, stages in planned)
    if problems:
        raise ConfigError(*problems)


def _planned(
    steps: Steps,
    cells: Iterable[int],
    capabilities: Capabilities,
    defaults: Mapping[str, Setting],
    problems: dict[str, None],
    pictures: Mapping[str, StartPicture],
) -> Iterator[tuple[int, StagePlan]]:
    """Yield place and stages of each cell without a problem; those of the rest join the others."""
    for place, cell in enumerate(cells):
        config, wrong = steps.possible_config(cell)
        problems.update(dict.fromkeys(wrong))
        try:
            stages = plan_stages(with_defaults(config, defaults), capabilities, pictures)
        except ConfigError as error:
            problems.update(dict.fromkeys(error.problems))
        else:
            if not wrong:
                yield place, stages


def spelled_plan(
    plan: LearningPlan, capabilities: Capabilities, workflow: WorkflowConfig | None = None
) -> tuple[LearningPlan, tuple[str, ...]]:
    """Return a plan with its names as the backend has them, and globs in full; records keep those.

    And what is wrong: the globs that match nothing. Axes that have one are left out.

    Args:
        plan: The plan.
        capabilities: Of the backend.
        workflow: Whose inputs its axes may vary.

    Raises:
        ConfigError: There is one in every axis.
    """
    problems: list[str] = []
    axes: list[Axis] = []
    if workflow is not None:
        capabilities = _of_workflow(capabilities, workflow, plan)
    for axis in plan.axes:
        try:
            axes.append(spelled_axis(axis, capabilities))
        except ConfigError as error:
            problems.extend(error.problems)
    if not axes:
        raise ConfigError(*problems)
    if tuple(axes) == plan.axes:
        return plan, ()
    if problems:  # what is to be skipped may be of those that are left out
        return attrs.evolve(plan, axes=axes, mode=None, skip=(), sample=None), tuple(problems)
    return attrs.evolve(plan, axes=axes), ()


def _of_workflow(
    capabilities: Capabilities, workflow: WorkflowConfig, plan: LearningPlan
) -> Capabilities:
    """Return capabilities that know what the inputs take that a plan varies."""
    if capabilities.workflows is None:
        return capabilities
    varied = {path for axis in plan.axes for path in axis.paths if sets_input(path)}
    names = {path.partition(".")[2] for path in varied}
    choices = {name: capabilities.workflows.choices(workflow, name) for name in names}
    return attrs.evolve(capabilities, choices={**capabilities.choices, **choices})
