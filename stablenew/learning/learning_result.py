"""What became of a plan and of each of its steps. Values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import attrs

from stablenew._convert import frozen_mapping
from stablenew.learning.learning_plan import LearningPlan, LearningRunStep
from stablenew.learning.same_pictures import SamePictures
from stablenew.pipeline.results import Failure, Outcome, PipelineRunResult


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
class LearningExecutionResult:
    """What became of a plan.

    Attributes:
        step_results: One per step that was begun, in order.
        metadata: The context's, over the plan's own.
        summary: How many steps there were, how they ended, and how many were not run.
        error: What ended the plan, where that was none of its steps: a scorer, above all.
        had_enough: Whether whoever rates an adaptive plan ended it.
        out_of_time: Whether steps were left because they would not have been done in time.
        same_pictures: Settings that changed nothing, as the pixels show.
    """

    plan: LearningPlan
    step_results: tuple[LearningRunResult, ...] = ()
    metadata: Mapping[str, object] = attrs.field(factory=dict, converter=frozen_mapping)
    summary: Mapping[str, object] = attrs.field(factory=dict, converter=frozen_mapping)
    plan_id: str = ""
    outcome: Outcome = Outcome.SUCCEEDED
    error: Failure | None = None
    had_enough: bool = False
    out_of_time: bool = False
    same_pictures: tuple[SamePictures, ...] = ()

    @property
    def steps_executed(self) -> int:
        """How many steps were begun."""
        return len(self.step_results)

    @property
    def success(self) -> bool:
        """Whether every step succeeded."""
        return self.outcome is Outcome.SUCCEEDED


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
