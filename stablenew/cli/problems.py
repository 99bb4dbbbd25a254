"""What is wrong with an input, gathered so that it can be said all at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import attrs

from stablenew.errors import ConfigError

_MOST_ALIKE = 5
"""Problems of one setting's values that are said one by one; of more, the first and a count."""

T = TypeVar("T")
D = TypeVar("D")


def in_few_lines(problems: Iterable[str]) -> Iterator[str]:
    """Yield problems, those of very many values of one setting as one and how many more there are.

    A span such as `0..900` has forty values, of which thirty may be beyond what a node takes.
    """
    alike: dict[str, list[str]] = {}
    for problem in problems:
        path, given, _ = problem.partition(": given ")
        alike.setdefault(path if given else problem, []).append(problem)
    for lines in alike.values():
        if len(lines) <= _MOST_ALIKE:
            yield from lines
        else:
            yield f"{lines[0]}; and {len(lines) - 1} more of its values"


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
