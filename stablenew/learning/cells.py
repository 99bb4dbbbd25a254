"""Which cells of a product of axes a plan takes: all, all but some, or a balanced part. Pure.

A cell is a number: the first axis changes quickest. Nothing here grows with the product but what is
asked for.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import accumulate, combinations
from typing import overload

Skip = Mapping[int, frozenset[int]]
"""Cells that are left out: those that have one of these places on each of these axes."""

_TRIES = 12
"""Cells among which the one is taken that is most like what came least often so far."""

_MANY, _FEW_TRIES = 1_000, 2
"""Cells after which fewer are tried: 20,000 took half a minute, and are even enough by then."""

_LOOKED_AT = 8
"""Choices of an axis, of those that came least often, that are compared for one cell."""


_COMBINED = 100
"""Combinations with other choices that are tried where one is left out."""


def places_of(number: int, sizes: Sequence[int]) -> tuple[int, ...]:
    """Return the place of a cell on each axis."""
    places = []
    for size in sizes:
        number, place = divmod(number, size)
        places.append(place)
    return tuple(places)


def number_of(places: Sequence[int], sizes: Sequence[int]) -> int:
    """Return the number of the cell at some places."""
    number = 0
    for place, size in zip(reversed(places), reversed(sizes), strict=True):
        number = number * size + place
    return number


def cell_numbers(
    sizes: Sequence[int],
    *,
    sample: int | None = None,
    skips: Sequence[Skip] = (),
    seed: str = "",
) -> Sequence[int]:
    """Return the cells of a plan.

    A sample is spread so that each choice of an axis, and each pair of choices of two axes, comes
    as equally often as can be; the same seed gives the same cells, and a larger sample begins with
    those of a smaller one.

    Args:
        sizes: How many choices each axis has.
        sample: How many cells to take, None for all.
        skips: What is left out.
        seed: What the sample is drawn with.
    """
    kept: Sequence[int] = KeptCells(sizes, skips) if skips else range(math.prod(sizes))
    if sample is None or sample >= len(kept):
        return kept
    spread = _Spread(sizes, kept, skips, random.Random(seed))
    return tuple(spread.take() for _ in range(sample))


def spread_cells(
    sizes: Sequence[int], count: int, *, fixed: Collection[int] = (), seed: str = ""
) -> tuple[int, ...]:
    """Return cells that go through the range of each axis evenly, no two the same.

    A Latin hypercube: McKay, Beckman and Conover, "A comparison of three methods for selecting
    values of input variables …", Technometrics 21, 1979. Fewer where there are fewer.

    Args:
        sizes: How many choices each axis has.
        count: How many cells to take.
        fixed: The axes of which the first choice alone is taken.
        seed: What they are drawn with; the same seed gives the same cells.
    """
    chance = random.Random(seed)
    open_ = [1 if axis in fixed else size for axis, size in enumerate(sizes)]
    count = min(count, math.prod(open_))
    found: dict[int, None] = {}
    while len(found) < count:  # once, unless there are few choices, of which some come again
        columns = [_through(size, count, chance) for size in open_]
        found |= dict.fromkeys(number_of(places, sizes) for places in zip(*columns, strict=True))
    return tuple(found)[:count]


def _through(size: int, count: int, chance: random.Random) -> list[int]:
    """Return so many places, one from each of as many equal parts of an axis, in any order."""
    parts = chance.sample(range(count), count)
    return [int((part + chance.random()) / count * size) for part in parts]


def cells_of_each_choice(
    sizes: Sequence[int],
    picked: Sequence[Iterable[int]],
    cells: Sequence[int],
    skips: Sequence[Skip] = (),
) -> Iterator[int]:
    """Yield cells that have every choice, most of them with the first ones of the other axes.

    Args:
        sizes: How many choices each axis has.
        picked: The places of those choices on each axis.
        cells: Those of the plan.
        skips: What is left out.
    """
    chance = random.Random(0)
    if isinstance(cells, tuple):  # a sample
        seen = [set[int]() for _ in sizes]
        for cell in cells:
            places = places_of(cell, sizes)
            if any(place not in taken for place, taken in zip(places, seen, strict=True)):
                yield cell
            for place, taken in zip(places, seen, strict=True):
                taken.add(place)
        return
    for axis, wanted in enumerate(picked):
        for place in wanted:
            others = [0] * len(sizes)
            for _ in range(_COMBINED):
                others[axis] = place
                if not _is_left_out(others, skips):
                    yield number_of(others, sizes)
                    break
                others = [chance.randrange(size) for size in sizes]


def _is_left_out(places: Sequence[int], skips: Sequence[Skip]) -> bool:
    return any(all(places[axis] in skip[axis] for axis in skip) for skip in skips)


class KeptCells(Sequence[int]):
    """The cells that are not left out, in order, counted and found without going through them.

    Args:
        sizes: How many choices each axis has.
        skips: What is left out.
    """

    def __init__(self, sizes: Sequence[int], skips: Sequence[Skip]) -> None:
        self._sizes = sizes
        self._skips = skips
        self._below = [math.prod(sizes[:axis]) for axis in range(len(sizes))]
        self._ends = cache(self._find_ends)

    def __len__(self) -> int:
        return self._count(len(self._sizes), frozenset(range(len(self._skips))))

    @overload
    def __getitem__(self, index: int) -> int: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[int]: ...

    def __getitem__(self, index: int | slice) -> int | Sequence[int]:
        if isinstance(index, slice):
            return [self[each] for each in range(len(self))[index]]
        index = range(len(self))[index]  # raises what a list would
        met = frozenset(range(len(self._skips)))
        number = 0
        for axis in reversed(range(len(self._sizes))):
            ends = self._ends(axis, met)
            place = bisect_right(ends, index)
            index -= ends[place - 1] if place else 0
            number += place * self._below[axis]
            met = self._met(axis, place, met)
        return number

    def _met(self, axis: int, place: int, met: frozenset[int]) -> frozenset[int]:
        """Return which of the skips that are met so far a place on a further axis meets as well."""
        return frozenset(each for each in met if place in self._skips[each].get(axis, (place,)))

    def _count(self, axis: int, met: frozenset[int]) -> int:
        """Return how many cells the axes before one have, given what the others meet."""
        if any(all(each >= axis for each in self._skips[skip]) for skip in met):
            return 0
        if not axis or not met:
            return math.prod(self._sizes[:axis])
        return self._ends(axis - 1, met)[-1] if self._sizes[axis - 1] else 0

    def _find_ends(self, axis: int, met: frozenset[int]) -> list[int]:
        """Return for each place on an axis how many cells it and those before it have."""
        counts = cache(self._count)
        return list(
            accumulate(
                counts(axis, self._met(axis, place, met)) for place in range(self._sizes[axis])
            )
        )


class _Spread:
    """Takes cells one by one, each time one whose choices and pairs came least often."""

    def __init__(
        self,
        sizes: Sequence[int],
        kept: Sequence[int],
        skips: Sequence[Skip],
        chance: random.Random,
    ) -> None:
        self._sizes = sizes
        self._kept = kept
        self._skips = skips
        self._chance = chance
        self._taken: set[int] = set()
        self._rest: deque[int] | None = None
        self._counts = [[0] * size for size in sizes]
        self._least = [_Places(range(size)) for size in sizes]
        self._pairs: dict[tuple[int, int], dict[int, int]] = {
            each: {} for each in combinations(range(len(sizes)), 2)
        }

    def take(self) -> int:
        """Return another cell; there has to be one."""
        tries = _TRIES if len(self._taken) < _MANY else _FEW_TRIES
        tried = [self._greedy() for _ in range(tries)]
        fresh = [places for places in tried if self._is_fresh(places)] or self._left(10 * tries)
        best = min(fresh, key=self._weight)
        number = number_of(best, self._sizes)
        self._taken.add(number)
        for axis, place in enumerate(best):
            self._count(axis, place)
        for (one, other), counts in self._pairs.items():
            pair = best[one] * self._sizes[other] + best[other]
            counts[pair] = counts.get(pair, 0) + 1
        return number

    def _count(self, axis: int, place: int) -> None:
        counts, least = self._counts[axis], self._least[axis]
        counts[place] += 1
        least.discard(place)
        if not least:
            fewest = min(counts)
            self._least[axis] = _Places(n for n, count in enumerate(counts) if count == fewest)

    def _greedy(self) -> tuple[int, ...]:
        """Return a cell: axis by axis, in an order of chance, the choice that came least often."""
        places: dict[int, int] = {}
        for axis in self._chance.sample(range(len(self._sizes)), len(self._sizes)):
            some = self._least[axis].some(_LOOKED_AT, self._chance)
            beside = [self._beside(axis, place, places) for place in some]
            places[axis] = some[beside.index(min(beside))]
        return tuple(places[axis] for axis in range(len(self._sizes)))

    def _beside(self, axis: int, place: int, places: Mapping[int, int]) -> int:
        """Return how often a choice came beside those of a cell that there are so far."""
        total = 0
        for other, there in places.items():
            if axis < other:
                pair = place * self._sizes[other] + there
                total += self._pairs[axis, other].get(pair, 0)
            else:
                pair = there * self._sizes[axis] + place
                total += self._pairs[other, axis].get(pair, 0)
        return total

    def _is_fresh(self, places: Sequence[int]) -> bool:
        taken = number_of(places, self._sizes) in self._taken
        return not taken and not _is_left_out(places, self._skips)

    def _left(self, most: int) -> list[tuple[int, ...]]:
        """Return up to so many of the cells that are left, where most are taken or left out."""
        if self._rest is None:
            rest = [number for number in self._kept if number not in self._taken]
            self._chance.shuffle(rest)
            self._rest = deque(rest)
        some: list[int] = []
        while len(some) < most and self._rest:
            if (number := self._rest.popleft()) not in self._taken:
                some.append(number)
        self._rest.extend(some)
        return [places_of(number, self._sizes) for number in some]

    def _weight(self, places: tuple[int, ...]) -> tuple[int, int]:
        """Return how often what a cell is made of came so far: its choices, then its pairs."""
        return (
            sum(self._counts[axis][place] for axis, place in enumerate(places)),
            sum(
                counts.get(places[one] * self._sizes[other] + places[other], 0)
                for (one, other), counts in self._pairs.items()
            ),
        )


class _Places:
    """Some places of an axis, of which any can be left out and some be drawn, both at once."""

    def __init__(self, places: Iterable[int]) -> None:
        self._places = list(places)
        self._where = {place: where for where, place in enumerate(self._places)}

    def __len__(self) -> int:
        return len(self._places)

    def discard(self, place: int) -> None:
        """Leave a place out."""
        where = self._where.pop(place, None)
        if where is None:
            return
        last = self._places.pop()
        if last != place:
            self._places[where] = last
            self._where[last] = where

    def some(self, count: int, chance: random.Random) -> list[int]:
        """Return so many at the most, in an order of chance."""
        return chance.sample(self._places, min(count, len(self._places)))
