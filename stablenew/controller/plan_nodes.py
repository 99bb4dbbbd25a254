"""The nodes of an app as a plan sees them: each step with what the plan has settled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from stablenew.config.pipeline_config import Setting
from stablenew.learning.learning_plan import LearningRunStep
from stablenew.pipeline.node_pool import NodePool
from stablenew.pipeline.run_request import RunRequest


class PlanNodes:
    """The nodes of an app as a plan sees them.

    Args:
        pool: The app's.
        settled: Returns a step's run with what the plan has settled.
        patience: Seconds that they are waited for while none is there.
    """

    def __init__(
        self, pool: NodePool, settled: Callable[[RunRequest], RunRequest], patience: float
    ) -> None:
        self.patience = patience
        self._pool = pool
        self._settled = settled

    @property
    def names(self) -> Sequence[str]:
        """What they are called."""
        return self._pool.names

    @property
    def several(self) -> bool:
        """Whether there are several, or may be."""
        return self._pool.several

    @property
    def alike(self) -> bool:
        """Whether each can make every step that another one can."""
        return self._pool.alike

    def can(self, node: str, step: LearningRunStep) -> bool:
        """Return whether a node has what a step needs."""
        request = self._settled(RunRequest(run_id="", config=step.config_snapshot))
        return self._pool.can(node, request.config, request.pictures)

    def has_loaded(self, node: str, model: Setting) -> bool:
        """Return whether a node has a model loaded before its first step."""
        loaded = self._pool.loaded(node)
        return loaded is not None and self._pool.spelled(node, "model", model) == loaded

    async def answers(self, node: str) -> bool:
        """Return whether a node that went away is back."""
        return await self._pool.answers(node)

    def watched(self, heard: Callable[[str], None]) -> AbstractContextManager[None]:
        """Call `heard` with the name of each node that joins, or may be back."""
        return self._pool.watched(heard)

    async def withdraw(self, node: str) -> None:
        """Stop what a node began of a run that was to follow; never raises."""
        await self._pool.withdraw(node)
