"""What the steps of a plan run on: one node, or several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from stablenew.config.pipeline_config import Setting
from stablenew.learning.learning_plan import LearningRunStep


class Nodes(Protocol):
    """What steps run on."""

    @property
    def names(self) -> Sequence[str]:
        """What they are called."""
        ...

    @property
    def several(self) -> bool:
        """Whether there are several, or may be."""
        ...

    @property
    def alike(self) -> bool:
        """Whether each can make every step that another one can."""
        ...

    @property
    def patience(self) -> float:
        """Seconds that they are waited for while none is there."""
        ...

    def can(self, node: str, step: LearningRunStep) -> bool:
        """Return whether a node has what a step needs."""
        ...

    def has_loaded(self, node: str, model: Setting) -> bool:
        """Return whether a node has a model loaded before its first step."""
        ...

    async def answers(self, node: str) -> bool:
        """Return whether a node that went away is back."""
        ...

    def watched(self, heard: Callable[[str], None]) -> AbstractContextManager[None]:
        """Call `heard` with the name of each node that joins, or may be back."""
        ...

    async def withdraw(self, node: str) -> None:
        """Stop what a node began of a run that was to follow; never raises."""
        ...


class OneNode:
    """The one that steps run on where nobody names any."""

    names: Sequence[str] = ("",)
    several = False
    alike = True
    patience = 0.0

    def can(self, _: str, __: LearningRunStep) -> bool:
        """Take it for granted."""
        return True

    def has_loaded(self, _: str, __: Setting) -> bool:
        """Know nothing of that."""
        return False

    async def answers(self, _: str) -> bool:
        """Take it for granted."""
        return True

    def watched(self, _: Callable[[str], None]) -> AbstractContextManager[None]:
        """Take it that none joins."""
        return nullcontext()

    async def withdraw(self, _: str) -> None:
        """Take it that nothing was begun."""
