"""What to ask next: the pictures that promise to beat the best so far by most. Pure.

The expected improvement over draws (Močkus, "On Bayesian methods for seeking the extremum", 1975;
Jones, Schonlau and Welch, "Efficient global optimization of expensive black-box functions", Journal
of Global Optimization 13, 1998), with the quality of the best so far as uncertain as any other. A
batch is picked one by one, each as if those before it were there already (Wilson, Hutter and
Deisenroth, "Maximizing acquisition functions for Bayesian optimization", NeurIPS 2018).

A batch shares its prompt, the one that was asked least, and its seed, so that what they add is
learned once and cancels between the pictures. A prompt's seeds grow from one to two to four, so
that settings are not fitted to one seed's luck.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from stablenew._blas import one_blas_thread
from stablenew.advice.candidates import Grid, candidates, climbed
from stablenew.advice.joint_model import Draws, JointModel
from stablenew.advice.judgements import Judged

Array = NDArray[np.float64]
Numbers = NDArray[np.intp]

FIRST = 6
"""Pictures of the first design, which is spread evenly."""

_SEEDS = ((10, 1), (30, 2))
"""Up to so many pictures of a prompt it has so many seeds; of more, `_MOST_SEEDS`."""

_MOST_SEEDS = 4


def ask(
    model: JointModel,
    draws: Draws | None,
    *,
    batch: int,
    prompts: Sequence[Hashable] = ("",),
    seeds: Sequence[Hashable] = (0,),
    pending: Sequence[Judged] = (),
    grid: Grid | None = None,
) -> tuple[Judged, ...]:
    """Return the pictures to make next, each once, none that was made; fewer where all were.

    Args:
        model: What is known.
        draws: Of the model; None before anything was said, which gives the first design.
        batch: How many.
        prompts: Those to choose from.
        seeds: Likewise; the first of them is every prompt's first.
        pending: What is made already and not rated yet.
        grid: The configurations to choose from; all if not given.
    """
    grid = grid or Grid(model.axes)
    seen = [*pictures_of(model), *pending]
    random = np.random.default_rng([len(seen), len(model.axes), 7])
    prompt, seed = conditions_of(prompts, seeds, seen)
    rows = rows_of(model, seen)
    tried = grid.numbers_of(rows)
    here = [each.prompt == prompt and each.seed == seed for each in seen]
    made = {tuple(each) for each in tried[np.array(here, dtype=bool)].tolist()}
    if draws is None or len(seen) < FIRST:
        found = map(tuple, grid.spread(max(FIRST, batch), random).tolist())
        fresh = [each for each in dict.fromkeys(found) if each not in made]
        picked = [np.array(each) for each in fresh[:batch]]
    else:
        waiting = tried[len(seen) - len(pending) :] if pending else tried[:0]
        with one_blas_thread():
            picked = _most_promising(grid, draws, tried, waiting, made, batch, random)
    return tuple(Judged(settings=grid.settings(each), prompt=prompt, seed=seed) for each in picked)


def rows_of(model: JointModel, pictures: Sequence[Judged]) -> Array:
    """Return pictures' settings as the model takes them."""
    found = np.empty((len(pictures), len(model.axes)))
    for j, axis in enumerate(model.axes):
        found[:, j] = axis.places_of([each.settings.get(axis.path) for each in pictures])
    return found


def pictures_of(model: JointModel) -> list[Judged]:
    """Return every picture that something was said of; one of several choices several times."""
    found = [each.picture for each in model.ratings]
    for choice in model.choices:
        found += [choice.better, choice.worse]
    return found


def conditions_of(
    prompts: Sequence[Hashable], seeds: Sequence[Hashable], seen: Sequence[Judged]
) -> tuple[Hashable, Hashable]:
    """Return the prompt that was asked least, and the seed that it was asked with least."""
    asked = Counter(each.prompt for each in seen)
    prompt = min(prompts, key=lambda each: asked[each])  # the first of equals
    count = next((n for most, n in _SEEDS if asked[prompt] < most), _MOST_SEEDS)
    taken = Counter(each.seed for each in seen if each.prompt == prompt)
    return prompt, min(seeds[:count], key=lambda each: taken[each])


def _most_promising(
    grid: Grid,
    draws: Draws,
    tried: Numbers,
    waiting: Numbers,
    made: set[tuple[int, ...]],
    batch: int,
    random: np.random.Generator,
) -> list[Numbers]:
    numbers, columns = candidates(grid, draws, tried, random)
    quality = columns @ draws.weights.T
    beaten = quality[int(quality.mean(axis=1).argmax())]
    if len(waiting):
        there = draws.features.of(grid.rows(waiting)) @ draws.weights.T
        beaten = np.maximum(beaten, there.max(axis=0))
    open_ = np.array([tuple(each) not in made for each in numbers.tolist()])
    return [numbers[each] for each in promising(quality, beaten, open_, batch)]


def promising(quality: Array, beaten: Array, open_: NDArray[np.bool_], count: int) -> list[int]:
    """Return which candidates are expected to beat something by most, each beside those before it.

    Args:
        quality: Of each candidate, a row, in each draw.
        beaten: What is to be beaten, in each draw.
        open_: Which candidates may be taken.
        count: How many to return, fewer where fewer may be taken.
    """
    means, open_ = quality.mean(axis=1), open_.copy()
    picked: list[int] = []
    for _ in range(min(count, int(open_.sum()))):
        gains = np.where(open_, np.maximum(quality - beaten, 0.0).mean(axis=1), -1.0)
        # Where no draw promises anything, the likeliest by its mean is asked again.
        picked.append(int(np.lexsort((means, gains))[-1]))
        open_[picked[-1]] = False
        beaten = np.maximum(beaten, quality[picked[-1]])
    return picked


def expected_gain(grid: Grid, draws: Draws, advised: Numbers, numbers: Numbers) -> float:
    """Return what the best of some configurations may be expected to add to the advised one."""
    quality = draws.quality(grid.rows(numbers))
    own = draws.quality(grid.rows(advised[None, :]))
    return float(np.maximum(quality - own, 0.0).mean(axis=0).max())


def best_of(grid: Grid, draws: Draws, tried: Numbers) -> tuple[Numbers, Numbers]:
    """Return the configuration with the highest mean, and all that were considered."""
    random = np.random.default_rng([len(tried), len(grid.axes), 11])
    numbers, columns = candidates(grid, draws, tried, random)
    mean = draws.mean
    best = numbers[[int((columns @ mean).argmax())]]
    return climbed(grid, draws.features, mean[None, :], best)[0], numbers
