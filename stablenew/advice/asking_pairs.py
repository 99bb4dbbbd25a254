"""Which two pictures to show for a choice of the better one. Pure.

The pair whose better one is expected to be best: the expected utility of the best option (Lin,
Astudillo, Frazier and Bakshy, "Preference exploration for efficient Bayesian optimization with
multiple outcomes", AISTATS 2022). One of the two is the best so far by its mean, the other what
promises to beat it by most; both have one prompt and one seed, so that what these add cancels.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from stablenew._blas import one_blas_thread
from stablenew.advice.asking import FIRST, conditions_of, pictures_of, promising, rows_of
from stablenew.advice.candidates import Grid, candidates
from stablenew.advice.joint_model import Draws, JointModel
from stablenew.advice.judgements import Judged

Numbers = NDArray[np.intp]
Pair = tuple[Judged, Judged]


def ask_pairs(
    model: JointModel,
    draws: Draws | None,
    *,
    count: int,
    prompts: Sequence[Hashable] = ("",),
    seeds: Sequence[Hashable] = (0,),
    grid: Grid | None = None,
) -> tuple[Pair, ...]:
    """Return the pairs to have chosen from next, each once; fewer where there are no more.

    Args:
        model: What is known.
        draws: Of the model; None before anything was said, which gives the first design.
        count: How many.
        prompts: Those to choose from.
        seeds: Likewise; the first of them is every prompt's first.
        grid: The configurations to choose from; all if not given.
    """
    grid = grid or Grid(model.axes)
    seen = pictures_of(model)
    random = np.random.default_rng([len(seen), len(model.axes), 13])
    prompt, seed = conditions_of(prompts, seeds, seen)
    if draws is None or model.count < FIRST // 2:
        spread = grid.spread(2 * max(count, FIRST // 2), random)
        found = [(spread[2 * n], spread[2 * n + 1]) for n in range(count)]
    else:
        shown = {
            frozenset((_key(grid, rows[0]), _key(grid, rows[1])))
            for choice in model.choices
            if (choice.better.prompt, choice.better.seed) == (prompt, seed)
            for rows in [rows_of(model, [choice.better, choice.worse])]
        }
        tried = grid.numbers_of(rows_of(model, seen))
        with one_blas_thread():
            found = _most_promising(grid, draws, tried, shown, count, random)
    return tuple(
        (
            Judged(settings=grid.settings(one), prompt=prompt, seed=seed),
            Judged(settings=grid.settings(other), prompt=prompt, seed=seed),
        )
        for one, other in found
        if (one != other).any()
    )


def _key(grid: Grid, row: NDArray[np.float64]) -> tuple[int, ...]:
    return tuple(grid.numbers_of(row[None, :])[0].tolist())


def _most_promising(
    grid: Grid,
    draws: Draws,
    tried: Numbers,
    shown: set[frozenset[tuple[int, ...]]],
    count: int,
    random: np.random.Generator,
) -> list[tuple[Numbers, Numbers]]:
    numbers, columns = candidates(grid, draws, tried, random)
    quality = columns @ draws.weights.T
    best = int(quality.mean(axis=1).argmax())
    keys = [tuple(each) for each in numbers.tolist()]
    open_ = np.array([n != best and frozenset((keys[best], key)) not in shown
                      for n, key in enumerate(keys)])  # fmt: skip
    others = promising(quality, quality[best], open_, count)
    return [(numbers[best], numbers[other]) for other in others]
