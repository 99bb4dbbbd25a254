"""What a text with choices in it is made of: plain text, choices, one after the other. Pure.

Each node counts its texts without making them, makes them in order, and draws one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import accumulate, permutations
from random import Random
from typing import Protocol

import attrs


class Node(Protocol):
    """A piece of a text with choices."""

    @property
    def count(self) -> int:
        """How many texts it has; two that turn out the same count as two."""
        ...

    def texts(self) -> Iterator[str]:
        """Yield every text, the last choice changing quickest."""
        ...

    def draw(self, random: Random) -> str:
        """Return one text, each choice drawn by the weights of its options."""
        ...


@attrs.frozen
class Text:
    """Text that is as it is."""

    text: str
    count: int = 1

    def texts(self) -> Iterator[str]:
        """Yield it."""
        yield self.text

    def draw(self, random: Random) -> str:  # noqa: ARG002  # as the others do
        """Return it."""
        return self.text


@attrs.frozen(slots=False, eq=False)
class Row:
    """Pieces in a row."""

    parts: Sequence[Node]

    @cached_property
    def count(self) -> int:
        """The product of theirs."""
        return math.prod(part.count for part in self.parts)

    def texts(self) -> Iterator[str]:
        """Yield each text of the first with each of the others."""
        return _joined(self.parts, "")

    def draw(self, random: Random) -> str:
        """Return one drawn text of each."""
        return "".join(part.draw(random) for part in self.parts)


@attrs.frozen(slots=False, eq=False)
class Choice:
    """Some of several options, each at most once: `{2$$, $$3::red|blue}`.

    Attributes:
        options: What there is to choose from.
        weights: How likely each is to be drawn, against the others.
        low: How many to choose at the least.
        high: How many to choose at the most, no more than there are options.
        separator: Between those that are chosen.
    """

    options: Sequence[Node]
    weights: Sequence[float]
    low: int = 1
    high: int = 1
    separator: str = ","

    @cached_property
    def count(self) -> int:
        """How many ordered choices there are."""
        ways = [1] + [0] * self.high  # of choosing so many, their order set aside
        for option in self.options:
            for number in range(self.high, 0, -1):
                ways[number] += ways[number - 1] * option.count
        return sum(math.factorial(n) * ways[n] for n in range(self.low, self.high + 1))

    @cached_property
    def _cumulative(self) -> Sequence[float]:
        return [*accumulate(self.weights)]

    def texts(self) -> Iterator[str]:
        """Yield those of fewest options first, in every order, as `dynamicprompts` does."""
        for number in range(self.low, self.high + 1):
            for chosen in permutations(self.options, number):
                yield from _joined(chosen, self.separator)

    def draw(self, random: Random) -> str:
        """Return so many options as chance has it, each drawn by its weight."""
        number = random.randint(self.low, self.high)
        if number == 1:  # by far the commonest, over files of many thousand lines
            (option,) = random.choices(self.options, cum_weights=self._cumulative)
            return option.draw(random)
        options, weights = [*self.options], [*self.weights]
        chosen: list[str] = []
        for _ in range(number):
            (place,) = random.choices(range(len(options)), weights)
            chosen.append(options.pop(place).draw(random))
            weights.pop(place)
        return self.separator.join(chosen)


def _joined(parts: Sequence[Node], separator: str) -> Iterator[str]:
    """Yield every text of pieces in a row, holding one text of each."""
    if len(parts) == 1:
        yield from parts[0].texts()
    elif not parts:
        yield ""
    else:
        for text in parts[0].texts():
            for rest in _joined(parts[1:], separator):
                yield f"{text}{separator}{rest}"
