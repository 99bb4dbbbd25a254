"""A plan made ready to run, and where it goes on that was begun before. Values."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from stablenew._convert import takes_numpy
from stablenew._metadata import as_metadata
from stablenew.config.pipeline_config import PipelineConfig, bounded, whole
from stablenew.learning.learning_plan import LearningPlan
from stablenew.pipeline.results import StageOutput


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
        added_cells: What an adaptive plan had chosen.
        recorded: The runs that have a record.
    """

    finished: Mapping[int, FinishedStep] = attrs.field(factory=dict)
    run_ids: Mapping[int, str] = attrs.field(factory=dict)
    quarantined: frozenset[int] = frozenset()
    only: frozenset[int] | None = None
    added_cells: tuple[int, ...] = ()
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
    max_steps: int | None = attrs.field(default=None, validator=whole(1, 10**9))
    max_images_per_step: int | None = attrs.field(default=None, validator=whole(1, 10**9))
    step_timeout: float | None = attrs.field(default=None, validator=bounded(0.001, 1e9))
    metadata: Mapping[str, object] = attrs.field(factory=dict, converter=as_metadata)
    plan_id: str | None = None
    max_seconds: float | None = attrs.field(default=None, validator=bounded(0.001, 1e9))
    resumption: Resumption = Resumption()
