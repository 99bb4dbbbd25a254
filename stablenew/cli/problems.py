"""What is wrong with an input, gathered so that it can be said all at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import attrs

from stablenew.errors import ConfigError

T = TypeVar("T")
D = TypeVar("D")


@attrs.define(eq=False)
class Problems:
    """Gathers problems.

    Attributes:
        found: A line for each.
    """

    found: list[str] = attrs.field(factory=list)

    def unless(self, work: Callable[[], T], otherwise: D) -> T | D:
        """Return what some work returns; note what is wrong, and return the other thing, else."""
        try:
            return work()
        except ConfigError as error:
            self.found += error.problems
            return otherwise

    def or_stop(self, work: Callable[[], T]) -> T:
        """Return what some work returns, without which nothing else can be looked at.

        Raises:
            ConfigError: It has problems: with all that were found before, too.
        """
        try:
            return work()
        except ConfigError as error:
            raise ConfigError(*self.found, *error.problems) from error
