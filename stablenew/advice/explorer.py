"""Adaptive plans: what was made is rated, and the ratings say what to make next.

After each round the model of `preference_model` says for every candidate by how much it may be
expected to beat the best value so far. The most promising untried ones are made next; when the
expected gain of all of them is small, one more picture would not change the advice, and the plan
ends.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from inspect import isawaitable
from pathlib import Path

import anyio
import anyio.to_thread
import attrs
import numpy as np

from stablenew._cancelling import leak_of
from stablenew.advice.observations import Observations, Picture
from stablenew.advice.recommendation import Recommendation, advise, explore
from stablenew.advice.value_axis import ordered
from stablenew.config.overrides import setting_types
from stablenew.config.pipeline_config import Setting
from stablenew.errors import ConfigError, RecordError
from stablenew.events.event import Event
from stablenew.learning.feedback_manager import record_feedback
from stablenew.learning.feedback_reader import Rating, checked_rating, read_feedback
from stablenew.learning.gallery import Shown
from stablenew.learning.learning_events import AdviceGiven, RatingsAwaited
from stablenew.learning.learning_execution import Rate
from stablenew.learning.learning_plan import LearningPlan
from stablenew.learning.learning_result import LearningRunResult

_CANDIDATES = 25
_AT_ONCE = 3
_SMALL_GAIN = 0.06
"""Of a rating's five points: what the best candidate may add, below which nothing more is made."""

_ENOUGH_ALIKE = 9
"""Ratings that are all the same after which nothing more is made."""

_LOOK_EVERY = 0.5


def first_values(path: str, bounds: tuple[float, float]) -> tuple[Setting, ...]:
    """Return the values that an exploration of a range begins with: both ends and the middle."""
    every = candidates(path, bounds)
    picked = (every[0], every[len(every) // 2], every[-1])
    return tuple(dict.fromkeys(picked))


def candidates(path: str, bounds: tuple[float, float]) -> tuple[Setting, ...]:
    """Return the values of a range that are considered; whole where the setting is."""
    low, high = bounds
    stage, _, name = path.partition(".")
    if setting_types(stage).get(name) is int:
        count = min(_CANDIDATES, int(high - low) + 1)
        return tuple(dict.fromkeys(round(each) for each in np.linspace(low, high, count)))
    digits = max(0, 2 - math.floor(math.log10(max(high - low, 1e-9))))
    points = [round(float(each), digits) for each in np.linspace(low, high, _CANDIDATES)]
    whole = [int(each) if each == int(each) else each for each in points]
    return tuple(dict.fromkeys(whole))


@attrs.define(eq=False)
class Explorer:
    """Asks for ratings, and says which values to make next.

    Attributes:
        plan: An adaptive one.
        base_dir: The folder of all runs.
        rate: Asked for each picture's rating; None to wait for what is rated elsewhere, in the
            terminal or from the page.
        advice: The latest, None before the first rating.
    """

    plan: LearningPlan
    base_dir: Path
    rate: Rate | None = None
    advice: Recommendation | None = None
    _pictures: dict[tuple[str, str], Picture] = attrs.field(factory=dict)
    _made: set[Setting] = attrs.field(factory=set)
    _count: int = 0
    _had_enough: bool = False

    async def next_values(
        self, results: Sequence[LearningRunResult], tell: Callable[[Event], Awaitable[None]]
    ) -> tuple[Setting, ...]:
        """Have what is new rated, and return what to make next; nothing when that is all.

        Args:
            results: Of every step so far.
            tell: Awaited with what happens.
        """
        self._made = {result.step.value for result in results}
        self._count = sum(result.step.images_requested for result in results)
        fresh = [shown for result in results for shown in self._shown(result)]
        fresh = [shown for shown in fresh if shown.key not in self._pictures]
        if not fresh:
            return ()
        await tell(RatingsAwaited(pictures=tuple(shown.key for shown in fresh)))
        rated = await self._rated(fresh)
        self._pictures |= {picture.key: picture for picture in rated}
        values, self.advice = await anyio.to_thread.run_sync(self._decide)
        if self.advice is not None:
            await tell(
                AdviceGiven(
                    parameter=self.advice.parameter,
                    value=self.advice.value,
                    mean=self.advice.mean,
                    low=self.advice.low,
                    high=self.advice.high,
                    ratings=self.advice.ratings,
                    enough=self.advice.enough,
                    why=self.advice.why,
                )
            )
        if self._had_enough:
            return ()
        ratings = [picture.rating for picture in self._pictures.values() if picture.rating]
        if len(ratings) >= _ENOUGH_ALIKE and len(set(ratings)) == 1:
            return ()  # whatever is made is rated the same
        room = (self.plan.max_pictures - self._count) // self.plan.images_per_step
        return values[: max(room, 0)]

    def _shown(self, result: LearningRunResult) -> list[Shown]:
        run = result.run_result
        return [
            Shown(
                run_id=result.run_id,
                image_id=output.image_id,
                path=self.base_dir / output.path,
                varied={self.plan.path: result.step.value},
                settings=output.settings,
                seconds=run.duration if run else 0.0,
            )
            for output in (run.final_outputs if run and run.success else ())
            if not output.blank
        ]

    async def _rated(self, fresh: Sequence[Shown]) -> list[Picture]:
        if self.rate is None:
            return await self._rated_elsewhere(fresh)
        pictures = []
        self._had_enough = True  # whoever says nothing of a single one
        for shown in fresh:
            rating = await _asked(self.rate, shown)
            self._had_enough &= rating is None
            if rating is not None and rating.rating is not None:
                await record_feedback(
                    *shown.key,
                    rating.rating,
                    rating.notes,
                    base_dir=self.base_dir,
                    subscores=rating.subscores,
                    tags=rating.tags,
                )
            pictures.append(_picture(shown, rating.rating if rating else None))
        return pictures

    async def _rated_elsewhere(self, fresh: Sequence[Shown]) -> list[Picture]:
        """Wait until every picture has a rating on disk."""
        runs = sorted({shown.run_id for shown in fresh})

        def look() -> dict[tuple[str, str], Rating]:
            return dict(read_feedback(self.base_dir, run_ids=runs, report=_ignore).ratings)

        while True:
            ratings = await anyio.to_thread.run_sync(look)
            if all(shown.key in ratings for shown in fresh):
                return [_picture(shown, ratings[shown.key].rating) for shown in fresh]
            await anyio.sleep(_LOOK_EVERY)

    def _decide(self) -> tuple[tuple[Setting, ...], Recommendation | None]:
        observations = Observations(pictures=self._pictures)
        advice = next(iter(advise(observations)), None)
        if advice is None or self.plan.bounds is None:
            return (), advice
        tried = {picture.settings[self.plan.path] for picture in self._pictures.values()}
        every = ordered([*candidates(self.plan.path, self.plan.bounds), *tried])
        posterior = explore(observations, self.plan.path, every)
        known = [index for index, value in enumerate(every) if value in tried]
        best = posterior.draws[:, known].mean(axis=0).max() if known else 0.0
        gains = np.maximum(posterior.draws - best, 0.0).mean(axis=0)
        order = [int(index) for index in np.argsort(-gains) if every[int(index)] not in self._made]
        return tuple(every[index] for index in _apart(order, gains, len(every))), advice


def _apart(order: Sequence[int], gains: np.ndarray, count: int) -> list[int]:
    """Return the most promising candidates that are not neighbours of each other."""
    picked: list[int] = []
    for index in order:
        if gains[index] < _SMALL_GAIN or len(picked) == _AT_ONCE:
            break
        if all(abs(index - other) > max(1, count // 8) for other in picked):
            picked.append(index)
    return picked


async def _asked(rate: Rate, shown: Shown) -> Rating | None:
    """Return what a scorer says of a picture.

    Raises:
        ConfigError: It is no rating.
        LeakedCancelError: It ended in a cancel that nobody gave.
    """
    answer = rate(shown)
    if not isawaitable(answer):
        raise ConfigError(f"rate: {answer!r} cannot be awaited, expected an `async def`")
    try:
        said = await answer
    except anyio.get_cancelled_exc_class() as error:
        raise leak_of("rate", error) from error
    if said is None or isinstance(said, Rating):
        return said
    return Rating(run_id="", image_id="", rating=checked_rating("rate", said))


def _picture(shown: Shown, rating: int | None) -> Picture:
    return Picture(
        run_id=shown.run_id,
        image_id=shown.image_id,
        settings=dict(shown.varied),
        context=str(shown.settings.get("seed")),
        rating=rating,
    )


def _ignore(problem: RecordError) -> None:
    """Say nothing: the same file is looked at again and again."""
