"""Tells what happens to a plan and its steps, as events."""

from __future__ import annotations

from collections.abc import Sequence

from stablenew._clock import Clock
from stablenew.events.bus import EventBus
from stablenew.events.event import Event
from stablenew.events.publisher import Publisher
from stablenew.learning.learning_events import (
    NodeReturned,
    NodesAwaited,
    NodeSetAside,
    PlanExtended,
    PlanFinished,
    PlanPaused,
    PlanResumed,
    PlanStarted,
    StepFinished,
    StepMoved,
    StepStarted,
)
from stablenew.learning.learning_plan import LearningRunStep
from stablenew.learning.learning_result import LearningRunResult
from stablenew.learning.plan_execution import PlanExecution
from stablenew.pipeline.results import StageOutput


class PlanAnnouncer:
    """Publishes the events of one plan under way.

    Args:
        execution: The plan.
        bus: Hears of it, if there is one.
        clock: Where times come from.
    """

    def __init__(self, execution: PlanExecution, bus: EventBus | None, clock: Clock) -> None:
        self._execution = execution
        self._publisher = Publisher(bus, clock, plan_id=execution.plan_id)

    async def publish(self, event: Event) -> None:
        """Publish an event as one of this plan's."""
        await self._publisher.publish(event)

    def beginning(self) -> PlanStarted:
        """Return what tells that the plan begins; it may have a million steps, none is made."""
        plan, to_run = self._execution.context.plan, self._execution.to_run
        return PlanStarted(
            steps=len(to_run),
            stage=plan.stage,
            variable=plan.target_variable,
            values=to_run.values(0),
            images=to_run[0].images_requested if to_run else 0,
            metadata=self._execution.metadata,
            y_variable=plan.y_variable,
            y_values=to_run.values(1) if plan.y_variable else (),
            axes=plan.axes,
            mode=plan.mode,
        )

    async def paused(self) -> None:
        """Tell that the plan waits before its next step."""
        await self.publish(PlanPaused())

    async def resumed(self) -> None:
        """Tell that the plan goes on."""
        await self.publish(PlanResumed())

    async def extended(self, steps: Sequence[LearningRunStep]) -> None:
        """Tell that the plan goes on with further steps."""
        cells = self._execution.context.plan.cells
        await self.publish(
            PlanExtended(
                values=tuple(step.value for step in steps),
                steps=len(self._execution.to_run),
                cells=tuple(cells[step.index] for step in steps),
                labels=tuple(step.label for step in steps),
            )
        )

    async def finished(self) -> None:
        """Tell that the plan has ended, in whatever way."""
        execution = self._execution
        await self.publish(
            PlanFinished(
                outcome=execution.outcome,
                summary=execution.summary,
                error=execution.error,
                had_enough=execution.had_enough,
                out_of_time=execution.out_of_time,
                same_pictures=execution.same.found,
            )
        )

    async def step_started(self, step: LearningRunStep, run_id: str, node: str | None) -> None:
        """Tell that a step has begun on a node."""
        await self.publish(
            StepStarted(
                run_id=run_id,
                node=node or None,
                index=step.index,
                steps=len(self._execution.to_run),
                value=step.value,
                y_value=step.y_value,
                label=step.label,
                places=self._execution.context.plan.places(step.index),
            )
        )

    async def step_finished(
        self, result: LearningRunResult, outputs: Sequence[StageOutput], node: str | None
    ) -> None:
        """Tell that a step has ended, in whatever way."""
        step = result.step
        await self.publish(
            StepFinished(
                run_id=result.run_id,
                node=node or None,
                index=step.index,
                steps=len(self._execution.to_run),
                value=step.value,
                y_value=step.y_value,
                label=step.label,
                places=self._execution.context.plan.places(step.index),
                outcome=result.outcome,
                error=result.error,
                outputs=tuple(outputs),
            )
        )

    async def step_moved(self, result: LearningRunResult, node: str) -> None:
        """Tell that a step goes to another node, for its own went away."""
        step = result.step
        await self.publish(
            StepMoved(
                run_id=result.run_id,
                node=node,
                index=step.index,
                steps=len(self._execution.to_run),
                value=step.value,
                y_value=step.y_value,
                label=step.label,
                places=self._execution.context.plan.places(step.index),
                error=result.error,
            )
        )

    async def node_returned(self, node: str, seconds: float) -> None:
        """Tell that a node is back."""
        await self.publish(NodeReturned(node=node, seconds=seconds))

    async def node_set_aside(self, node: str, result: LearningRunResult) -> None:
        """Tell that a node gets no more steps, for the last one failed as did those before."""
        await self.publish(NodeSetAside(node=node, error=result.error))

    async def nodes_awaited(self, seconds_left: float) -> None:
        """Tell that no node is there."""
        await self.publish(NodesAwaited(seconds_left=seconds_left))
