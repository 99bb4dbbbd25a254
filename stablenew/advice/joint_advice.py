"""What is told of all settings at once: which to use together, how good that is, how sure. Pure.

Everything is counted off the draws of the joint model, widened as was measured to be right: nine of
ten of their intervals hold the truth. What may still be gained, and what is lost by stopping, are
means over the draws as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from stablenew._blas import one_blas_thread
from stablenew._convert import frozen_mapping
from stablenew.advice.asking import best_of, expected_gain, pictures_of, rows_of
from stablenew.advice.candidates import Grid
from stablenew.advice.joint_model import Draws, JointModel
from stablenew.advice.strongest_pair import StrongestPair, strongest_pair
from stablenew.config.pipeline_config import Setting

Array = NDArray[np.float64]
Numbers = NDArray[np.intp]

CLOSE, SURE = 0.25, 0.8
"""How much better another configuration has to be to matter, and how sure is enough."""

_CHEAPER_LOSS = 0.1
"""What a cheaper configuration may be expected to lose and still be called as good."""

_QUICKER = 0.9
"""A change has to save a tenth of the time to be worth a word."""

_CONSTANT = 3
IDLE, MATTERS = 0.4, 0.8
"""The probability that a setting matters below which it is said that it does not, and above."""

Seconds = Callable[[Mapping[str, Setting]], float | None]
"""Says how long a picture with some settings takes, None where that is not known."""


@attrs.frozen(kw_only=True)
class Point:
    """What is believed of one value, the other settings being as advised."""

    value: Setting
    mean: float
    low: float
    high: float


@attrs.frozen(kw_only=True)
class Cheaper:
    """A configuration that is as good and takes less time.

    Attributes:
        settings: By path.
        loss: What it may be expected to lose, in points of a rating.
        seconds: How long it takes.
        share: That, of what the advised one takes.
    """

    settings: Mapping[str, Setting] = attrs.field(converter=frozen_mapping)
    loss: float
    seconds: float
    share: float


@attrs.frozen(kw_only=True)
class JointAdvice:
    """The advice for all settings together.

    Attributes:
        settings: The configuration to use, by path.
        mean: Its expected quality, 1 to 5; None where the ratings say nothing.
        low: The lower end of its 90 % interval; likewise.
        high: The upper end; likewise.
        sure: The probability that nothing is more than a quarter of a point better.
        enough: Whether that is enough.
        expected_regret: By how much the best is expected to be better, in points.
        expected_gain: What the best next picture may be expected to add.
        why: In words.
        ratings: How many there are.
        choices: Likewise.
        matters: The probability that each setting matters, by path.
        curves: For each setting what is believed of its values.
        pair: The two settings that do most together; None where that is little or unknown.
        seconds: How long a picture takes, None where that is not known.
        cheaper: The cheapest configuration that is as good; None where there is none.
    """

    settings: Mapping[str, Setting] = attrs.field(converter=frozen_mapping)
    mean: float | None
    low: float | None
    high: float | None
    sure: float
    enough: bool
    expected_regret: float
    expected_gain: float
    why: str
    ratings: int
    choices: int
    matters: Mapping[str, float] = attrs.field(factory=dict, converter=frozen_mapping)
    curves: Mapping[str, tuple[Point, ...]] = attrs.field(factory=dict, converter=frozen_mapping)
    pair: StrongestPair | None = None
    seconds: float | None = None
    cheaper: Cheaper | None = None

    @property
    def idle(self) -> tuple[str, ...]:
        """The settings that may not matter: right about half of the times that it was said."""
        return tuple(path for path, share in self.matters.items() if share < IDLE)

    @property
    def undecided(self) -> tuple[str, ...]:
        """The settings of which it is not known yet whether they matter."""
        return tuple(path for path, share in self.matters.items() if IDLE <= share < MATTERS)


def advise_jointly(
    model: JointModel,
    draws: Draws,
    *,
    grid: Grid | None = None,
    seconds: Seconds | None = None,
    matters: Array | None = None,
) -> JointAdvice:
    """Return the advice of a model that was told at least one rating or choice.

    Args:
        model: What is known.
        draws: Of the model.
        grid: The configurations to choose from; all if not given.
        seconds: Says how long pictures take, if that is known.
        matters: The probability that each setting matters, as the model's chains say.
    """
    with one_blas_thread():
        return _advised(model, draws, grid or Grid(model.axes), seconds, matters)


def _advised(
    model: JointModel, draws: Draws, grid: Grid, seconds: Seconds | None, matters: Array | None
) -> JointAdvice:
    tried = grid.numbers_of(rows_of(model, pictures_of(model)))
    best, considered = best_of(grid, draws, tried)
    told = draws.widened()
    own = told.quality(grid.rows(best[None, :]))[:, 0]
    every = told.quality(grid.rows(considered))
    sure = float((every.max(axis=1) <= own + CLOSE).mean())
    plain = draws.quality(grid.rows(np.concatenate([best[None, :], considered])))
    silent = _silent(model)
    low, high = np.percentile(own, (5.0, 95.0))
    enough = silent is None and sure >= SURE
    settings = grid.settings(best)
    return JointAdvice(
        settings=settings,
        mean=None if silent else _on_scale(own.mean()),
        low=None if silent else _on_scale(low),
        high=None if silent else _on_scale(high),
        sure=round(sure, 3),
        enough=enough,
        expected_regret=round(float((plain.max(axis=1) - plain[:, 0]).mean()), 3),
        expected_gain=round(expected_gain(grid, draws, best, considered), 3),
        why=silent or _why(enough, sure, model.count),
        ratings=len(model.ratings),
        choices=len(model.choices),
        matters={} if matters is None else _by_path(model, matters),
        curves={
            axis.path: _curve(grid, told, best, j)
            for j, axis in enumerate(grid.axes)
            if j not in grid.fixed
        },
        pair=None if silent else strongest_pair(grid, told),
        seconds=None if seconds is None else seconds(settings),
        cheaper=None if silent or seconds is None else _cheaper(grid, draws, best, seconds),
    )


def _on_scale(value: float) -> float:
    return round(float(np.clip(value, 1.0, 5.0)), 3)


def _by_path(model: JointModel, matters: Array) -> dict[str, float]:
    return {
        axis.path: round(float(share), 3) for axis, share in zip(model.axes, matters, strict=True)
    }


def _silent(model: JointModel) -> str | None:
    """Return why what was said tells nothing, None where it does."""
    ratings = {each.rating for each in model.ratings}
    if len(ratings) == 1 and not model.choices:
        count, rating = len(model.ratings), ratings.pop()
        if count >= _CONSTANT:
            return f"all {count} ratings are {rating}: there is nothing to choose by"
        return f"not enough ratings ({count}): they are all {rating}"
    return None


def _why(enough: bool, sure: float, count: int) -> str:
    said = f"nothing is {CLOSE} points better, with a probability of {sure:.0%}"
    return said if enough else f"not enough ratings ({count}): {said}"


def _curve(grid: Grid, told: Draws, best: Numbers, j: int) -> tuple[Point, ...]:
    values = grid.choices(j)
    numbers = np.tile(best, (len(values), 1))
    numbers[:, j] = values
    quality = told.quality(grid.rows(numbers))
    low, high = np.percentile(quality, (5.0, 95.0), axis=0)
    return tuple(
        Point(
            value=grid.axes[j].values[int(number)],
            mean=_on_scale(mean),
            low=_on_scale(below),
            high=_on_scale(above),
        )
        for number, mean, below, above in zip(values, quality.mean(axis=0), low, high, strict=True)
    )


def _cheaper(grid: Grid, draws: Draws, best: Numbers, seconds: Seconds) -> Cheaper | None:
    """Change one setting after the other to what takes least time, as long as it is as good."""
    taken = seconds(grid.settings(best))
    if taken is None or taken <= 0:
        return None
    now, cost = best, taken
    for _ in range(2 * len(grid.axes)):
        near = grid.neighbours(now)
        lost = draws.quality(grid.rows(best[None, :])) - draws.quality(grid.rows(near))
        as_good = (lost.mean(axis=0) <= _CHEAPER_LOSS) & ((lost <= CLOSE).mean(axis=0) >= SURE)
        costs = [
            (_known(seconds(grid.settings(each))), n) for n, each in enumerate(near) if as_good[n]
        ]
        if not costs or min(costs)[0] >= cost * _QUICKER:
            break
        cost, number = min(costs)
        now = near[number]
    if cost >= taken * _QUICKER:
        return None
    pair = draws.quality(grid.rows(np.stack([best, now]))).mean(axis=0)
    return Cheaper(
        settings=grid.settings(now),
        loss=round(float(pair[0] - pair[1]), 3),
        seconds=cost,
        share=cost / taken,
    )


def _known(seconds: float | None) -> float:
    return float("inf") if seconds is None else seconds


def words_of(advice: JointAdvice) -> Sequence[str]:
    """Return in words what is told besides the configuration: a line for each."""
    said = []
    if advice.mean is not None:
        said.append(
            f"the best may be {advice.expected_regret:.2f} points better;"
            f" the next picture may add {advice.expected_gain:.2f}"
        )
    if advice.pair is not None:
        said.append(advice.pair.words)
    if (cheaper := advice.cheaper) is not None:
        changed = [
            f"{path.rpartition('.')[2]} {value} instead of {advice.settings[path]}"
            for path, value in cheaper.settings.items()
            if value != advice.settings[path]
        ]
        less = f"{cheaper.loss:.2f} points less" if cheaper.loss > 0 else "no worse"
        said.append(
            f"as good and cheaper: {', '.join(changed)}: {less},"
            f" {1 / cheaper.share:.1f} times as fast"
        )
    if advice.idle:
        said.append(f"may not matter: {', '.join(advice.idle)}")
    if advice.undecided:
        said.append(f"not known yet whether it matters: {', '.join(advice.undecided)}")
    return said
