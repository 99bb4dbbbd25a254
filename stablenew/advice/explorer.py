"""Has an adaptive plan's pictures rated while the next are made, and says which these are.

- Whoever rates never waits while there is something to rate, and what is made is never more than
  a batch ahead: the next one is chosen as soon as no more than `at_once` pictures wait.
- Late ratings count from the next batch on, also those from elsewhere: what is on disk holds.
- Without a `rate`, ratings come from elsewhere alone; a picture is passed over once pictures of a
  later batch are rated.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from inspect import isawaitable
from pathlib import Path

import anyio
import anyio.to_thread
import attrs

from stablenew._cancelling import leak_of
from stablenew.advice.exploration import AT_ONCE, Exploration, Made, rating_of
from stablenew.advice.joint_advice import JointAdvice
from stablenew.advice.priors import Prior, read_priors
from stablenew.errors import ConfigError, RecordError
from stablenew.events.event import Event
from stablenew.learning.feedback_manager import record_feedback
from stablenew.learning.feedback_reader import Feedback, Rating, checked_rating, read_feedback
from stablenew.learning.gallery import Shown
from stablenew.learning.learning_events import AdviceGiven, RatingsAwaited
from stablenew.learning.learning_execution import Rate, RateAnswer
from stablenew.learning.learning_plan import LearningPlan
from stablenew.learning.learning_result import LearningRunResult
from stablenew.pipeline.results import Outcome, StageOutput

_UNSAID = 4
"""Pictures in a row of which nothing is said after which that is taken for enough."""

_LOOK_EVERY = 0.5


@attrs.define(eq=False)
class _Waiting:
    """A picture that nobody rated yet, and the batch that it is of."""

    shown: Shown
    made: Made
    batch: int
    told: bool = False


@attrs.define(eq=False)
class Explorer:
    """Asks for ratings, and says what to make next; see the module.

    Attributes:
        plan: An adaptive one, with what it has chosen so far.
        base_dir: The folder of all runs.
        rate: Asked for each picture's rating; None to wait for what is rated elsewhere, in the
            terminal or from the page.
        at_once: Pictures of a batch.
        prior: What is believed beforehand.
        had_enough: Whether whoever rates has had enough.
    """

    plan: LearningPlan
    base_dir: Path
    rate: Rate | None = None
    at_once: int = AT_ONCE
    prior: Prior = attrs.field(factory=read_priors)
    had_enough: bool = False
    _stopped: bool = False
    _made: list[Made] = attrs.field(factory=list)
    _waiting: list[_Waiting] = attrs.field(factory=list)
    _batch: int = 0
    _unsaid: int = 0
    _heard: int = 0
    _told: tuple[int, int] = (0, 0)
    _news: anyio.Event = attrs.field(factory=anyio.Event)

    @property
    def over(self) -> bool:
        """Whether no further step is to begin: whoever rates has had enough, or failed."""
        return self.had_enough or self._stopped

    def stop(self) -> None:
        """Have no further step begin."""
        self._stopped = True
        self._tell_all()

    def take(self, result: LearningRunResult, outputs: Sequence[StageOutput]) -> None:
        """Take up a step that has ended: its pictures wait to be rated."""
        cell = self.plan.cells[result.step.index]
        outputs = [each for each in outputs if result.outcome.good and not each.blank]
        if not outputs:
            self._made.append(Made(cell=cell))
            return
        new = result.outcome is Outcome.SUCCEEDED and not any(each.reused for each in outputs)
        seconds = result.duration / len(outputs) if new else None
        for number, output in enumerate(outputs):
            keys = [(result.run_id, output.image_id)]
            if output.reused_from:
                origin, _, image_id = output.reused_from.partition("/")
                keys.append((origin, image_id))
            made = Made(keys=tuple(keys), cell=cell, number=number, seconds=seconds or None)
            self._made.append(made)
            self._waiting.append(_Waiting(self._shown(result, output), made, self._batch))
        self._tell_all()

    def _shown(self, result: LearningRunResult, output: StageOutput) -> Shown:
        conditions = self.plan.conditions
        return Shown(
            run_id=result.run_id,
            image_id=output.image_id,
            path=self.base_dir / output.path,
            varied={p: v for p, v in result.step.varied.items() if p not in conditions},
            settings=output.settings,
            seconds=result.run_result.duration if result.run_result else 0.0,
        )

    def _tell_all(self) -> None:
        """Have whoever waits look again."""
        self._news.set()
        self._news = anyio.Event()

    async def _until(self, true: Callable[[], bool]) -> None:
        while not true():
            await self._news.wait()

    async def rate_all(self) -> None:
        """Have what is taken up rated, until this is cancelled.

        Raises:
            Exception: What the scorer failed with.
        """
        while not self.over:
            await self._until(lambda: bool(self._waiting))
            if self.rate is None:
                await self._look()
            else:
                await self._ask(self.rate, self._waiting[0])

    async def _ask(self, rate: Rate, waiting: _Waiting) -> None:
        """Ask for the rating of a picture, unless somebody rated it elsewhere."""
        said = await anyio.to_thread.run_sync(self._said, [waiting.made])
        if rating_of(waiting.made, said) is None:
            answer = await _asked(rate, waiting.shown)
            self._unsaid = self._unsaid + 1 if answer is None else 0
            self.had_enough = isinstance(answer, RateAnswer) or self._unsaid >= _UNSAID
            if isinstance(answer, Rating) and answer.rating is not None:
                await record_feedback(
                    *waiting.shown.key,
                    answer.rating,
                    answer.notes,
                    base_dir=self.base_dir,
                    subscores=answer.subscores,
                    tags=answer.tags,
                )
        self._waiting.remove(waiting)
        self._heard += 1
        self._tell_all()

    async def _look(self) -> None:
        """See what was rated elsewhere, and look again after a while."""
        waiting = [*self._waiting]
        said = await anyio.to_thread.run_sync(self._said, [each.made for each in waiting])
        chosen = {key for each in said.choices for key in (each.winner, each.loser)}
        rated = [
            each
            for each in waiting
            if rating_of(each.made, said) is not None or not chosen.isdisjoint(each.made.keys)
        ]
        if rated:
            last = max(each.batch for each in rated)
            gone = {id(each) for each in (*rated, *(e for e in waiting if e.batch < last))}
            self._waiting = [each for each in self._waiting if id(each) not in gone]
            self._heard += len(rated)
            self._tell_all()
        await anyio.sleep(_LOOK_EVERY)

    def _said(self, made: Sequence[Made]) -> Feedback:
        runs = sorted({run_id for each in made for run_id, _ in each.keys})
        return read_feedback(self.base_dir, run_ids=runs, report=_ignore)

    async def next_cells(self, tell: Callable[[Event], Awaitable[None]]) -> Sequence[int]:
        """Return what to go on with, none when the plan is at its end."""
        fresh = [each for each in self._waiting if not each.told]
        if fresh:
            for each in fresh:
                each.told = True
            await tell(RatingsAwaited(pictures=tuple(each.shown.key for each in fresh)))
        self._batch += 1
        if self.plan.count < self.plan.most_steps:
            await self._until(lambda: self.over or len(self._waiting) <= self.at_once)
            if cells := await self._decided(tell):
                return cells
        # Nothing more is worth making, as far as is known; the last ratings may say otherwise.
        heard = self._heard
        await self._until(lambda: self.over or not self._waiting)
        if self._heard > heard or self.plan.count >= self.plan.most_steps:
            return await self._decided(tell)
        return ()

    async def _decided(self, tell: Callable[[Event], Awaitable[None]]) -> Sequence[int]:
        cells, advice = await anyio.to_thread.run_sync(self._decide)
        if advice is not None and (told := (advice.ratings, advice.choices)) != self._told:
            self._told = told
            await tell(
                AdviceGiven(
                    settings=advice.settings,
                    mean=advice.mean,
                    low=advice.low,
                    high=advice.high,
                    ratings=advice.ratings,
                    enough=advice.enough,
                    why=advice.why,
                    expected_regret=advice.expected_regret,
                    expected_gain=advice.expected_gain,
                )
            )
        if self.over:
            return ()
        self.plan = self.plan.with_cells(cells)
        return cells

    def _decide(self) -> tuple[tuple[int, ...], JointAdvice | None]:
        made = tuple(self._made)
        return self._exploration.next_cells(made, self._said(made))

    @property
    def _exploration(self) -> Exploration:
        return Exploration(plan=self.plan, prior=self.prior, at_once=self.at_once)

    def answer(self) -> JointAdvice | None:
        """Return the advice for all settings together; None where nothing was said. Blocks."""
        made = tuple(self._made)
        return self._exploration.answer(made, self._said(made))


async def _asked(rate: Rate, shown: Shown) -> Rating | RateAnswer | None:
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
    if said is None or isinstance(said, Rating | RateAnswer):
        return said
    return Rating(run_id="", image_id="", rating=checked_rating("rate", said))


def _ignore(problem: RecordError) -> None:
    """Say nothing: the same file is looked at again and again."""
