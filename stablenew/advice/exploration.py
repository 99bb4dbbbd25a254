"""An adaptive plan as the joint model sees it: what to make next, and the advice so far. Pure.

An axis of the plan is a setting of the model: of numbers, whose choices alone are considered, or of
names, which stand for whatever their choices set. Conditions (prompts, start pictures) are what a
picture shows; the seeds are an axis of their own, of which `asking` lets each prompt have more and
more. The model is fitted anew for each batch: the same ratings give the same batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import cached_property

import attrs

from stablenew.advice.asking import ask
from stablenew.advice.candidates import Grid
from stablenew.advice.joint_advice import JointAdvice, advise_jointly
from stablenew.advice.joint_evidence import axis_of
from stablenew.advice.joint_model import JointModel
from stablenew.advice.judgements import Chosen, Judged, Rated
from stablenew.advice.picture_seconds import picture_seconds
from stablenew.advice.priors import Prior
from stablenew.advice.setting_axis import SettingAxis
from stablenew.advice.value_axis import identity, ordered
from stablenew.learning.axis import Axis
from stablenew.learning.cells import number_of, places_of
from stablenew.learning.feedback_reader import Feedback
from stablenew.learning.learning_plan import FIRST, LearningPlan

AT_ONCE = 4
"""Pictures of a batch, where no more are made at a time."""

_SMALL_GAIN = 0.03
"""Of a rating's five points: what the best candidate may add, below which nothing more is made."""

_ENOUGH_ALIKE = 9
"""Ratings that are all the same after which nothing more is made."""

Key = tuple[str, str]


@attrs.frozen(kw_only=True)
class Made:
    """A picture of an adaptive plan, or a step of it that made none.

    Attributes:
        keys: What names it, and the picture that it is where that was made before; none for a step
            without a picture.
        cell: Of its step.
        number: Which picture of its step, from 0.
        seconds: How long it took, None where that is not known.
    """

    keys: tuple[Key, ...] = ()
    cell: int
    number: int = 0
    seconds: float | None = None


@attrs.frozen(kw_only=True)
class Exploration:
    """An adaptive plan, and what is believed beforehand.

    Attributes:
        at_once: Pictures of a batch.
    """

    plan: LearningPlan
    prior: Prior
    at_once: int = AT_ONCE

    @cached_property
    def _explored(self) -> tuple[int, ...]:
        """The axes that the advice is about."""
        return tuple(n for n, axis in enumerate(self.plan.axes) if not axis.condition)

    @cached_property
    def _seeds(self) -> int | None:
        """The axis of seeds; None where the plan has none."""
        conditions = ((n, axis) for n, axis in enumerate(self.plan.axes) if axis.condition)
        return next((n for n, axis in conditions if is_of_seeds(axis)), None)

    @cached_property
    def _subjects(self) -> tuple[int, ...]:
        """The axes of what pictures show."""
        found = range(len(self.plan.axes))
        return tuple(n for n in found if n not in (*self._explored, self._seeds))

    @cached_property
    def axes(self) -> tuple[SettingAxis, ...]:
        """The plan's axes as settings."""
        return tuple(_setting_axis(self.plan.axes[n], self.prior) for n in self._explored)

    @cached_property
    def _grid(self) -> Grid:
        return Grid(self.axes)

    @cached_property
    def _places(self) -> tuple[dict[object, int], ...]:
        """For each setting the place of each of its values on its axis."""
        every = (self.plan.axes[n].values for n in self._explored)
        return tuple({identity(value): n for n, value in enumerate(values)} for values in every)

    def judged(self, made: Made) -> Judged:
        """Return a picture as the model sees it."""
        places = places_of(made.cell, self.plan.sizes)
        shown = [(places[n], self.plan.sizes[n]) for n in self._subjects]
        seed = 0 if self._seeds is None else places[self._seeds]
        axes = ((self.plan.axes[n], places[n]) for n in self._explored)
        return Judged(
            settings={axis.path: axis.values[place] for axis, place in axes},
            prompt=number_of([p for p, _ in shown], [size for _, size in shown]),
            seed=(seed, made.number) if made.number else seed,
        )

    def _cell(self, judged: Judged) -> int:
        places = [0] * len(self.plan.axes)
        for n, axis, there in zip(self._explored, self.axes, self._places, strict=True):
            places[n] = there[identity(judged.settings[axis.path])]
        assert isinstance(judged.prompt, int)
        shown = places_of(judged.prompt, [self.plan.sizes[n] for n in self._subjects])
        for n, place in zip(self._subjects, shown, strict=True):
            places[n] = place
        if self._seeds is not None:
            assert isinstance(judged.seed, int)
            places[self._seeds] = judged.seed
        return number_of(places, self.plan.sizes)

    def _prompts(self, seen: Iterable[Judged]) -> Sequence[int]:
        """Return what was shown so far and the first that was not: there may be very many."""
        shown = {each.prompt for each in seen if isinstance(each.prompt, int)}
        count = math.prod(self.plan.sizes[n] for n in self._subjects)
        fresh = next((n for n in range(count) if n not in shown), None)
        return sorted(shown if fresh is None else {*shown, fresh})

    def model(self, made: Sequence[Made], said: Feedback) -> tuple[JointModel, list[Judged]]:
        """Return a model that was told what was said, and what nothing was said of."""
        judged = {key: self.judged(each) for each in made for key in each.keys}
        model = JointModel(self.axes, self.prior)
        ratings: list[Rated] = []
        pending: list[Judged] = []
        for each in made:
            rating = rating_of(each, said)
            if rating is None:
                pending.append(self.judged(each))
            else:
                ratings.append(Rated(picture=self.judged(each), rating=rating))
        choices = (
            Chosen(better=judged[each.winner], worse=judged[each.loser])
            for each in said.choices
            if each.winner in judged and each.loser in judged
        )
        model.tell(ratings, choices)
        return model, pending

    def next_cells(
        self, made: Sequence[Made], said: Feedback
    ) -> tuple[tuple[int, ...], JointAdvice | None]:
        """Return what to make next, nothing where that would change little; and the advice so far.

        Args:
            made: What was made, or tried in vain.
            said: What was said of it.
        """
        model, pending = self.model(made, said)
        draws = model.fit() if model.count else None
        advice = None if draws is None else advise_jointly(model, draws, grid=self._grid)
        room = self.plan.most_steps - self.plan.count
        if advice is not None and _is_done(advice, [each.rating for each in model.ratings]):
            return (), advice
        seen = [*(each.picture for each in model.ratings), *pending]
        seeds = 1 if self._seeds is None else self.plan.sizes[self._seeds]
        asked = ask(
            model,
            draws,
            batch=min(room, max(1, self.at_once // self.plan.images_per_step)),
            prompts=self._prompts(seen),
            seeds=range(seeds),
            pending=pending,
            grid=self._grid,
        )
        return tuple(dict.fromkeys(map(self._cell, asked))), advice

    def answer(self, made: Sequence[Made], said: Feedback) -> JointAdvice | None:
        """Return the advice with all that goes with it; None where nothing was said."""
        model, _ = self.model(made, said)
        if not model.count:
            return None
        took = [(dict(self.judged(e).settings), e.seconds) for e in made if e.seconds]
        return advise_jointly(
            model,
            model.fit(),
            grid=self._grid,
            seconds=picture_seconds(self.axes, took, self.prior),
            matters=model.matters(),
        )


def rating_of(made: Made, said: Feedback) -> int | None:
    """Return a picture's rating: its own, or that of the picture that it is."""
    ratings = (said.ratings[key].rating for key in made.keys if key in said.ratings)
    return next((rating for rating in ratings if rating is not None), None)


def is_of_seeds(axis: Axis) -> bool:
    """Return whether an axis is of seeds alone."""
    return len(axis.paths) == 1 and axis.path.endswith(".seed")


def _is_done(advice: JointAdvice, ratings: Sequence[int]) -> bool:
    """Return whether one more picture would change nothing."""
    if len(ratings) >= _ENOUGH_ALIKE and len(set(ratings)) == 1:
        return True  # whatever is made is rated the same
    said = advice.ratings + advice.choices
    if said < FIRST or advice.mean is None:
        return False
    return advice.enough or advice.expected_gain < _SMALL_GAIN


def _setting_axis(axis: Axis, prior: Prior) -> SettingAxis:
    found = axis_of(axis.path, axis.values, prior)
    if found.names:
        return attrs.evolve(found, names=tuple(ordered(axis.values)))
    return attrs.evolve(found, given=tuple(ordered(axis.values)))
