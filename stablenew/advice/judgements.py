"""What a person said, as rows that the joint model is fitted to: a rating is one, a choice is one.

A rating says that the impression lay between two marks of the person's scale; a choice says that
the difference of two impressions was above zero. So each is one row of columns (the difference of
two, for a choice) with two bounds: McCullagh's ordinal probit ("Regression models for ordinal
data", JRSS B 42, 1980) and Thurstone's law of comparative judgement (1927) as one likelihood.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from stablenew._convert import frozen_mapping
from stablenew.advice.features import Features
from stablenew.config.pipeline_config import Setting

Array = NDArray[np.float64]

MOST_EXACT = 300
"""Judgements up to which every prompt and seed has an effect of its own."""

_MOST_PROMPTS, _MOST_TAKES = 40, 60
"""Of more judgements: how many have one; what the others add is noise of their ratings."""


@attrs.frozen(kw_only=True)
class Judged:
    """A picture that somebody said something about.

    Attributes:
        settings: By path; what is missing counts as its average.
        prompt: What it shows: a text or a number, the same for pictures of the same.
        seed: What it began with, likewise.
    """

    settings: Mapping[str, Setting] = attrs.field(converter=frozen_mapping)
    prompt: Hashable = ""
    seed: Hashable = 0


@attrs.frozen(kw_only=True)
class Rated:
    """A rating.

    Attributes:
        rating: 1 to 5.
        weight: How much it counts, above 0 and up to 1.
    """

    picture: Judged
    rating: int
    weight: float = 1.0


@attrs.frozen(kw_only=True)
class Chosen:
    """A choice: one picture was liked better than another.

    Attributes:
        weight: How much it counts, above 0 and up to 1.
    """

    better: Judged
    worse: Judged
    weight: float = 1.0


@attrs.frozen(kw_only=True, eq=False)
class Judgements:
    """All of it, as arrays; a row for each.

    Attributes:
        columns: What the settings are.
        low: What the impression, or the difference, lay above.
        high: What it lay below.
        scale: How many times the noise of one rating it has.
        extra: The variance of what its prompt and seed add where these have no effect of their own.
        prompt: The number of its prompt; −1 for a choice between two prompts.
        prompts: For each prompt with an effect of its own: 1 where it is, −1 where it lost.
        takes: Likewise, for each seed of a prompt.
        names: The prompts, by their numbers.
        rated: How many are ratings; these stand before the choices.
    """

    columns: Array
    low: Array
    high: Array
    scale: Array
    extra: Array
    prompt: NDArray[np.intp]
    prompts: Array
    takes: Array
    names: tuple[Hashable, ...]
    rated: int

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.low)


def judgements_of(
    features: Features,
    ratings: Sequence[Rated],
    choices: Sequence[Chosen],
    *,
    prompt_spread: float,
    take_spread: float,
) -> Judgements:
    """Return what was said as rows.

    The lowest and the highest rating that were ever given have no bound beyond them: nobody knows
    what else that person would call so. So equal ratings say nothing.
    """
    sides = [[each.picture for each in ratings] + [each.better for each in choices],
             [each.worse for each in choices]]  # fmt: skip
    columns = _columns(features, sides[0])
    columns[len(ratings) :] -= _columns(features, sides[1])
    exact = len(sides[0]) <= MOST_EXACT
    prompts = [[each.prompt for each in side] for side in sides]
    takes = [[(each.prompt, each.seed) for each in side] for side in sides]
    of_prompt, names, no_prompt = _effects(
        prompts, len(ratings), math.inf if exact else _MOST_PROMPTS
    )
    of_take, _, no_take = _effects(takes, len(ratings), math.inf if exact else _MOST_TAKES)
    numbers = {name: n for n, name in enumerate(names)}
    same = [True] * len(ratings) + [c.better.prompt == c.worse.prompt for c in choices]
    own = [numbers.get(p, -1) if s else -1 for p, s in zip(prompts[0], same, strict=True)]
    weight = np.array([each.weight for each in ratings] + [each.weight for each in choices])
    sides_of = np.repeat([1.0, 2.0], [len(ratings), len(choices)])
    low, high = _bounds([each.rating for each in ratings], len(choices))
    return Judgements(
        columns=columns,
        low=low,
        high=high,
        scale=np.sqrt(sides_of / weight) if len(weight) else np.ones(0),
        extra=no_prompt * prompt_spread**2 + no_take * take_spread**2,
        prompt=np.array(own, dtype=np.intp),
        prompts=of_prompt,
        takes=of_take,
        names=names,
        rated=len(ratings),
    )


def _columns(features: Features, pictures: Sequence[Judged]) -> Array:
    rows = np.empty((len(pictures), len(features.axes)))
    for j, axis in enumerate(features.axes):
        rows[:, j] = axis.places_of([each.settings.get(axis.path) for each in pictures])
    return features.of(rows)


def _bounds(ratings: Sequence[int], choices: int) -> tuple[Array, Array]:
    r = np.array(ratings, dtype=float)
    low = np.where(r <= r.min(initial=5), -math.inf, r - 0.5)
    high = np.where(r >= r.max(initial=1), math.inf, r + 0.5)
    return (
        np.concatenate([low, np.zeros(choices)]),
        np.concatenate([high, np.full(choices, math.inf)]),
    )


def _effects(
    sides: Sequence[Sequence[Hashable]], ratings: int, most: float
) -> tuple[Array, tuple[Hashable, ...], Array]:
    """Return the effects of what has one of its own, its names, and how often a row lacks one."""
    counts = Counter(name for side in sides for name in side)
    kept = sorted(counts, key=lambda name: -counts[name])  # stable: the first seen of equals
    names = tuple(kept if len(kept) <= most else kept[: int(most)])
    numbers = {name: n for n, name in enumerate(names)}
    effects = np.zeros((len(sides[0]), len(names)))
    lacking = np.zeros(len(sides[0]))
    for side, (first, sign) in zip(sides, ((0, 1.0), (ratings, -1.0)), strict=True):
        for row, name in enumerate(side, start=first):
            if (number := numbers.get(name)) is None:
                lacking[row] += 1.0
            else:
                effects[row, number] += sign
    same = np.array([a == b for a, b in zip(sides[0][ratings:], sides[1], strict=True)], dtype=bool)
    lacking[ratings:][same] = 0.0  # the same on both sides: its effect is in neither
    return effects, names, lacking
