"""Which cells of a product of axes a plan takes: all, all but some, or a balanced part. Pure.

A cell is a number: the first axis changes quickest. Nothing here grows with the product but what is
asked for.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import combinations

_TRIES = 12
"""Cells among which the one is taken that is most like what came least often so far."""


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
    skipped: Callable[[tuple[int, ...]], bool] | None = None,
    seed: str = "",
) -> Sequence[int]:
    """Return the cells of a plan.

    A sample is spread so that each choice of an axis, and each pair of choices of two axes, comes
    as equally often as can be; the same seed gives the same cells, and a larger sample begins with
    those of a smaller one.

    Args:
        sizes: How many choices each axis has.
        sample: How many cells to take, None for all.
        skipped: Whether the cell at some places is left out.
        seed: What the sample is drawn with.
    """
    total = math.prod(sizes)
    if sample is None or sample >= total:
        if skipped is None:
            return range(total)
        return tuple(n for n in range(total) if not skipped(places_of(n, sizes)))
    return _spread(sizes, sample, skipped or (lambda _: False), random.Random(seed))


def _spread(
    sizes: Sequence[int],
    count: int,
    skipped: Callable[[tuple[int, ...]], bool],
    chance: random.Random,
) -> tuple[int, ...]:
    """Take cells one by one, each time one whose choices and pairs came least often."""
    singles = [Counter[int]() for _ in sizes]
    pairs = {each: Counter[tuple[int, int]]() for each in combinations(range(len(sizes)), 2)}
    taken: dict[int, None] = {}
    total = math.prod(sizes)
    while len(taken) < count:
        tried = [_greedy(sizes, singles, pairs, chance) for _ in range(_TRIES)]
        fresh = [
            places
            for places in tried
            if number_of(places, sizes) not in taken and not skipped(places)
        ]
        if not fresh:  # most are taken or left out: look at all that are not
            rest = [n for n in range(total) if n not in taken and not skipped(places_of(n, sizes))]
            if not rest:
                break
            some = chance.sample(rest, min(len(rest), 10 * _TRIES))
            fresh = [places_of(number, sizes) for number in some]
        best = min(fresh, key=lambda places: _weight(places, singles, pairs))
        taken[number_of(best, sizes)] = None
        for axis, place in enumerate(best):
            singles[axis][place] += 1
        for (one, other), counts in pairs.items():
            counts[best[one], best[other]] += 1
    return tuple(taken)


def _greedy(
    sizes: Sequence[int],
    singles: Sequence[Counter[int]],
    pairs: dict[tuple[int, int], Counter[tuple[int, int]]],
    chance: random.Random,
) -> tuple[int, ...]:
    """Return a cell: axis by axis, in an order of chance, the choice that came least often."""
    places: dict[int, int] = {}
    for axis in chance.sample(range(len(sizes)), len(sizes)):
        weights = []
        for place in range(sizes[axis]):
            beside = sum(
                pairs[min(axis, other), max(axis, other)][
                    (place, there) if axis < other else (there, place)
                ]
                for other, there in places.items()
            )
            weights.append((singles[axis][place], beside, chance.random()))
        places[axis] = min(range(sizes[axis]), key=weights.__getitem__)
    return tuple(places[axis] for axis in range(len(sizes)))


def _weight(
    places: tuple[int, ...],
    singles: Sequence[Counter[int]],
    pairs: dict[tuple[int, int], Counter[tuple[int, int]]],
) -> tuple[int, int]:
    """Return how often what a cell is made of came so far: its choices, then its pairs."""
    return (
        sum(singles[axis][place] for axis, place in enumerate(places)),
        sum(counts[places[one], places[other]] for (one, other), counts in pairs.items()),
    )
