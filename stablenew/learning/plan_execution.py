"""One plan under way: its steps, what became of them, and the runs that they ask for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import attrs

from stablenew.learning.execution_context import LearningExecutionContext
from stablenew.learning.learning_plan import LearningRunStep, step_run_id
from stablenew.learning.learning_result import LearningExecutionResult, LearningRunResult, summarize
from stablenew.learning.learning_steps import Steps
from stablenew.learning.same_pictures import SameFinder
from stablenew.pipeline.results import Failure, Outcome, StageOutput
from stablenew.pipeline.run_request import RunRequest

_KILLED_TWICE = Failure(
    kind="Quarantined", message="was under way when the process was killed, twice; set aside"
)

_UNREACHABLE_STEPS = 3
"""Steps in a row without a backend after which a plan ends."""


@attrs.define(eq=False, kw_only=True)
class PlanExecution:
    """One plan under way.

    Attributes:
        context: The plan with its seed resolved.
        steps: All that are known; an adaptive plan gets more.
        results: Of the steps that were begun or passed over, in the order of their ends.
        outcome: Of the plan as a whole; cancelled, unless it gets to say otherwise.
        error: What ended the plan, where that was none of its steps.
        had_enough: Whether whoever rates ended it.
        out_of_time: Whether steps were left because they would not have been done in time.
        longest: Seconds that the longest step took so far.
        same: Finds settings that change nothing.
        is_over: Says whether no further step is to begin.
    """

    context: LearningExecutionContext
    plan_id: str
    steps: Steps
    results: list[LearningRunResult] = attrs.field(factory=list)
    outcome: Outcome = Outcome.CANCELLED
    error: Failure | None = None
    had_enough: bool = False
    out_of_time: bool = False
    longest: float = 0.0
    same: SameFinder = attrs.field(factory=SameFinder)
    is_over: Callable[[], bool] = lambda: False
    _take: Callable[[LearningRunResult, Sequence[StageOutput]], None] = lambda _, __: None

    def watched_by(
        self,
        take: Callable[[LearningRunResult, Sequence[StageOutput]], None],
        is_over: Callable[[], bool],
    ) -> None:
        """Have every step that ends taken up, and no further one begin once all is over."""
        self._take, self.is_over = take, is_over

    def end_step(self, result: LearningRunResult, outputs: Sequence[StageOutput]) -> None:
        """Note what became of a step, and the pictures that it has."""
        self.results.append(result)
        self.longest = max(self.longest, result.duration)
        self._take(result, outputs)
        self.same.add(result.step.varied, outputs, result.step.index)

    @property
    def metadata(self) -> Mapping[str, object]:
        """What every run of the plan is tagged with."""
        return {**self.context.plan.metadata, **self.context.metadata}

    @property
    def to_run(self) -> Steps:
        """The steps that are to be run."""
        return self.steps[: self.context.max_steps]

    @property
    def unreachable(self) -> bool:
        """Whether the last steps all failed because nobody answered."""
        last = self.results[-_UNREACHABLE_STEPS:]
        failed = [each.error for each in last if each.error and each.error.unreachable]
        return len(failed) == _UNREACHABLE_STEPS

    def conclude(self) -> None:
        """Note that the plan has come to its own end."""
        good = self.error is None and all(each.outcome.good for each in self.results)
        self.outcome = Outcome.SUCCEEDED if good else Outcome.FAILED

    def too_late(self, elapsed: float) -> bool:
        """Return whether another step, as long as the longest so far, would take too long."""
        limit, longest = self.context.max_seconds, self.longest
        return limit is not None and longest > 0 and elapsed + longest > limit

    def extend(self, cells: Sequence[int]) -> Steps:
        """Add steps for an adaptive plan's next cells; return those of them that are to be run."""
        before = len(self.steps)
        self.steps = self.steps.extended(cells)
        self.context = attrs.evolve(self.context, plan=self.context.plan.with_cells(cells))
        return self.to_run[before:]

    def left_out(self, step: LearningRunStep) -> bool:
        """Return whether a step is not among those that were asked for."""
        only = self.context.resumption.only
        return only is not None and step.index not in only

    def passed_over(
        self, step: LearningRunStep
    ) -> tuple[LearningRunResult, tuple[StageOutput, ...]] | None:
        """Return the result and pictures of a step that is not run again; None for one that is."""
        resumption = self.context.resumption
        if step.index not in resumption.finished and step.index not in resumption.quarantined:
            return None
        request = self.request(step)
        result = LearningRunResult(
            step=step, outcome=Outcome.REUSED, run_id=request.run_id, tags=request.metadata
        )
        if (before := resumption.finished.get(step.index)) is not None:
            return attrs.evolve(result, run_id=before.run_id), before.outputs
        return attrs.evolve(result, outcome=Outcome.QUARANTINED, error=_KILLED_TWICE), ()

    def request(self, step: LearningRunStep, node: str | None = None) -> RunRequest:
        """Return the step's run on a node, tagged as every learning run is."""
        metadata = self.metadata
        tags = {
            **metadata,
            **step.tags,
            "run_type": "learning",
            "plan_id": self.plan_id,
            "step_index": step.index,
            "experiment_name": metadata.get("experiment_name") or "",
            "stage": step.stage,
            "variable_name": step.variable,
            "variable_value": step.value,
            "plan_steps": len(self.to_run),
            "varied": dict(step.varied),
        }
        if self.context.plan.conditions:
            tags["conditions"] = list(self.context.plan.conditions)
        if step.y_variable is not None:
            tags |= {"y_variable": step.y_variable, "y_value": step.y_value}
        return RunRequest(
            run_id=self.context.resumption.run_ids.get(step.index)
            or step_run_id(self.plan_id, step.index),
            plan_id=self.plan_id,
            config=step.config_snapshot,
            images=step.images_requested,
            metadata=MappingProxyType(tags),  # plain already, as what it is made of
            timeout=self.context.step_timeout,
            node=node,
        )

    @property
    def summary(self) -> dict[str, object]:
        """How the steps ended, counted."""
        return summarize(self.results, len(self.steps), self.outcome)

    @property
    def result(self) -> LearningExecutionResult:
        """What became of the plan so far."""
        return LearningExecutionResult(
            plan=self.context.plan,
            plan_id=self.plan_id,
            outcome=self.outcome,
            step_results=tuple(sorted(self.results, key=lambda each: each.step.index)),
            metadata=self.metadata,
            summary=self.summary,
            error=self.error,
            had_enough=self.had_enough,
            out_of_time=self.out_of_time,
            same_pictures=self.same.found,
        )
