"""The steps of a plan under way on its nodes: each node takes the next step when it is done.

- A node that goes away costs the picture in the making: its step goes to another node at once, and
  it is looked for with growing pauses. A step that took three nodes with it has failed.
- A node that joins while the steps run takes its part of them; one that is said to be back is
  looked for at once.
- A node is told which run follows, as long as nothing stands between; where something then does (a
  pause, no time, a cancel), what it began of that run is stopped.
- While no node is there they are waited for, as one server is; then the plan ends.
- One node is the same, but for what it would share: its step is not given to others, its server is
  waited for by the step itself, and after three steps without an answer the plan ends.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from functools import partial

import anyio
import attrs
from anyio.abc import TaskGroup

from stablenew._clock import Clock
from stablenew.errors import BackendUnavailableError, ungrouped
from stablenew.learning.learning_plan import LearningRunStep
from stablenew.learning.learning_result import LearningRunResult
from stablenew.learning.nodes import Nodes
from stablenew.learning.plan_announcer import PlanAnnouncer
from stablenew.learning.plan_execution import PlanExecution
from stablenew.learning.plan_pause import PlanPause
from stablenew.learning.step_needs import StepNeeds, model_of
from stablenew.learning.step_runner import StepRunner
from stablenew.learning.step_scheduler import NodeState, StepScheduler
from stablenew.pipeline.results import Failure, Outcome
from stablenew.pipeline.run_request import RunRequest

logger = logging.getLogger(__name__)

_LOSSES = 3
"""Nodes that went away under a step, after which it has failed."""

_GOOD = {Outcome.SUCCEEDED: True, Outcome.FAILED: False, Outcome.TIMED_OUT: False}
"""What outcomes say of the node; others say nothing."""

_LOOK_EVERY = 1.0
"""Seconds between two looks for nodes while none is there."""


@attrs.define(eq=False, kw_only=True)
class PlanWorkers:
    """Runs some steps of a plan; see the module.

    Attributes:
        steps: In the order in which they are to run.
        aside: The nodes that were set aside; those of the plan, for all its steps.
        started: When the plan began, as its clock says.
        over: Whether no more steps are begun.
    """

    execution: PlanExecution
    announcer: PlanAnnouncer
    steps: Sequence[LearningRunStep]
    nodes: Nodes
    runner: StepRunner
    pause: PlanPause
    aside: set[str]
    clock: Clock
    started: float
    over: bool = False
    _scheduler: StepScheduler = attrs.field(init=False)
    _done: bool = False
    _losses: Counter[int] = attrs.field(factory=Counter)
    _moving: dict[int, LearningRunResult] = attrs.field(factory=dict)
    _gone_at: float | None = None
    _group: TaskGroup | None = None
    _loads: Iterable[Hashable] = ()
    _said_back: set[str] = attrs.field(factory=set)

    async def run(self) -> None:
        """Run the steps; afterwards `over` says whether the plan ends with them."""
        names = [name for name in self.nodes.names if name not in self.aside]
        self._scheduler = await anyio.to_thread.run_sync(self._made_scheduler, names)
        try:
            if not self._several:
                await self._work(names[0])
            else:
                with ungrouped(), self.nodes.watched(self._heard_of):
                    async with anyio.create_task_group() as self._group:
                        for name in self.nodes.names:
                            self._welcome(name, self._group)
        finally:
            for result in self._moving.values():  # nobody took it
                self.execution.end_step(result, ())
                await self.announcer.step_finished(result, (), None)

    @property
    def _several(self) -> bool:
        return self.nodes.several

    def _heard_of(self, node: str) -> None:
        """Take a node in that has joined; have one looked for that may be back."""
        if self._group is not None and not self._scheduler.knows(node):
            self._welcome(node, self._group)
        elif self._scheduler.state(node) is NodeState.AWAY:
            self._said_back.add(node)
        self.pause.changed.set()

    def _welcome(self, node: str, group: TaskGroup) -> None:
        """Have a node work, unless it was set aside."""
        if node not in self.aside:
            if not self._scheduler.knows(node):
                self._join(self._scheduler, node)
            group.start_soon(self._work, node)

    def _join(self, scheduler: StepScheduler, node: str) -> None:
        scheduler.join(node)
        for load in self._loads:
            if (model := model_of(load)) is not None and self.nodes.has_loaded(node, model):
                scheduler.note_loaded(node, load)

    def _made_scheduler(self, names: Sequence[str]) -> StepScheduler:
        """Return what hands out the steps; blocks where there are a million."""
        if not self._several:
            return StepScheduler(names, bytes(len(self.steps)))
        needs = StepNeeds(self.execution.context.plan, self.steps, alike=self.nodes.alike)

        def can(node: str, need: object) -> bool:
            return self.nodes.can(node, needs.step(need))

        self._loads = dict.fromkeys(map(needs.load, dict.fromkeys(needs.of)))
        scheduler = StepScheduler((), needs.of, fits=can, load=needs.load, cost=needs.cost)
        for name in names:
            self._join(scheduler, name)
        return scheduler

    async def _work(self, node: str) -> None:
        """Run steps on a node until there is none left for it, or it is set aside."""
        try:
            await self._work_off(node)
        finally:
            await self.nodes.withdraw(node)

    async def _work_off(self, node: str) -> None:
        while not (self.over or self._done):
            place = self._scheduler.next_step(node, anyio.current_time())
            if place is not None:
                await self._take(node, place)
            elif self._is_at_end():
                return
            else:
                await self.pause.changed.wait()
            if self._scheduler.state(node) is NodeState.ASIDE:
                self.aside.add(node)
                return
            if self._scheduler.state(node) is NodeState.AWAY:
                await self._look_for(node)

    def _is_at_end(self) -> bool:
        """Return whether no node will begin a step any more; then all of them end."""
        states = self._scheduler.states
        if NodeState.BUSY in states.values():
            return False  # it may give its step back
        if self._scheduler.waiting:
            ready = [name for name, state in states.items() if state is NodeState.READY]
            if any(
                self._scheduler.reserve(name, anyio.current_time()) is not None for name in ready
            ):
                self.pause.changed.set()
                return False
            if NodeState.AWAY in states.values():
                return False
            self._give_up("what is left needs a server that was set aside")
        self._done = True
        self.pause.changed.set()
        return True

    async def _take(self, node: str, place: int) -> None:
        """Run a step on a node, unless it is not to be run."""
        execution, step = self.execution, self.steps[place]
        if (before := execution.passed_over(step)) is not None:
            execution.end_step(*before)
            await self.announcer.step_finished(*before, None)
        elif not execution.left_out(step):
            if execution.is_over():
                self.over = True
                self.pause.changed.set()
            elif execution.too_late(self.clock.monotonic() - self.started):
                logger.info("plan %s: no time for another step", execution.plan_id)
                execution.out_of_time = self.over = True
                self.pause.changed.set()
            if self.pause.on:
                await self.nodes.withdraw(node)
            await self.pause.wait(self.announcer, lambda: self.runner.running)
            if not self.over:
                await self._run(node, place, step)
            return
        self._scheduler.ended(node, anyio.current_time(), good=None)

    async def _run(self, node: str, place: int, step: LearningRunStep) -> None:
        self._moving.pop(place, None)
        moves = partial(self._moves, place)
        result = await self.runner.run(
            self.execution,
            self.announcer,
            step,
            node,
            moves,
            partial(self._following, node),
            several=self._several,
        )
        if self._several and _is_lost(result):
            await self.nodes.withdraw(node)
            self._scheduler.lost(node, again=place in self._moving)
        else:
            good = _GOOD.get(result.outcome)
            self._scheduler.ended(node, anyio.current_time(), good=good)
        if self._scheduler.state(node) is NodeState.ASIDE:
            logger.warning("plan %s: %s is set aside", self.execution.plan_id, node)
            await self.announcer.node_set_aside(node, result)
        if self.pause.on or self._scheduler.state(node) is not NodeState.READY:
            self.pause.changed.set()
        if not self._several and self.execution.unreachable:
            logger.warning("plan %s: nobody answers; it ends", self.execution.plan_id)
            self.over = True

    def _following(self, node: str) -> RunRequest | None:
        """Return the run that a node gets next; None where it may not be run then."""
        execution, elapsed = self.execution, self.clock.monotonic() - self.started
        ends = self.over or execution.is_over()
        if ends or self.pause.on or execution.too_late(elapsed + execution.longest):
            return None
        place = self._scheduler.reserve(node, anyio.current_time())
        if place is None:
            return None
        step = self.steps[place]
        if execution.left_out(step) or execution.passed_over(step) is not None:
            return None
        return execution.request(step, node if self._several else None)

    def _moves(self, place: int, result: LearningRunResult) -> bool:
        """Return whether a step that ended goes to another node, and note it."""
        if not (self._several and _is_lost(result)):
            return False
        self._losses[place] += 1
        if self._losses[place] >= _LOSSES:
            return False
        self._moving[place] = result
        return True

    async def _look_for(self, node: str) -> None:
        """Wait until a node is back that went away, or until all has ended."""
        went = looked = anyio.current_time()
        pause = self._scheduler.pause(node)
        while not (self.over or self._done):
            if (left := self._patience_left()) is not None:
                if left <= 0:
                    self._give_up(f"no server was there for {self.nodes.patience:g} s")
                    return
                await self.announcer.nodes_awaited(left)
                pause = min(pause, _LOOK_EVERY, max(left / 2, _LOOK_EVERY / 20))
            wait = looked + pause - anyio.current_time()
            if wait > 0 and node not in self._said_back:
                await self.pause.changed.wait(wait)
                continue
            self._said_back.discard(node)
            if await self.nodes.answers(node):
                self._gone_at = None
                self._scheduler.returned(node)
                await self.announcer.node_returned(node, anyio.current_time() - went)
                self.pause.changed.set()
                return
            looked = anyio.current_time()
            pause = self._scheduler.still_away(node)

    def _patience_left(self) -> float | None:
        """Return for how long nodes are still waited for; None while one is there."""
        if self._scheduler.here:
            self._gone_at = None
            return None
        now = anyio.current_time()
        if self._gone_at is None:
            self._gone_at = now
        return self.nodes.patience - (now - self._gone_at)

    def _give_up(self, why: str) -> None:
        """End the plan with an error."""
        logger.warning("plan %s: %s; it ends", self.execution.plan_id, why)
        self.execution.error = Failure(kind=BackendUnavailableError.__name__, message=why)
        self.over = True
        self.pause.changed.set()


def _is_lost(result: LearningRunResult) -> bool:
    """Return whether a step failed because its node went away."""
    return result.outcome is Outcome.FAILED and bool(result.error and result.error.unreachable)
