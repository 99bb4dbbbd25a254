"""Which values to use, how sure that is, and what to rate or try next.

Each setting that was varied is looked at by itself, with the model of `preference_model`: the
quality of each of its values as a smooth function (numbers) or an exchangeable one (names), seen
through a person's ratings and choices. The advice is the value with the highest expected quality
among those that were rated, not the one that was tried most. It counts as carried by the evidence
when, each with a probability of 0.8 or more, that value is within 0.25 of the best, and more than
that above the worst.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import NoneType

import attrs
import numpy as np

from stablenew._arguments import takes
from stablenew.advice.evidence import evidence_of, value_in, worth_looking_at
from stablenew.advice.observations import Observations, Picture, gather_observations
from stablenew.advice.preference_model import Evidence, Posterior, believe
from stablenew.advice.value_axis import (
    candidates_between,
    identity,
    indices,
    ordered,
    points,
)
from stablenew.config.pipeline_config import Setting
from stablenew.learning.feedback_reader import ReportProblem

_FEWEST = 4
"""Ratings and choices below which there is no advice, whatever they say."""

_FEWEST_OF_BEST = 2
"""The same for the recommended value: one lucky picture is no evidence."""

_CLOSE, _SURE = 0.25, 0.8
_INTERVAL = (5.0, 95.0)
"""The credible interval, in per cent."""

_CONSTANT, _MANY = 3, 6
"""Ratings after which it is told that they are all alike, or that they contradict each other."""

_AGREED = 0.67
"""The share of choices that agree with each other below which they contradict each other."""

_AT_ODDS = 0.9
"""The spread of ratings of one value beyond which they contradict each other, …"""

_TOLD_APART = 0.35
"""… unless the values differ by this share of that spread."""

_NEXT = 5


@attrs.frozen(kw_only=True)
class ValueEstimate:
    """What is believed of one value.

    Attributes:
        mean: The expected quality, 1 to 5.
        low: The lower end of the 90 % interval.
        high: The upper end.
        ratings: How many ratings it has.
        probability: That it is the best of all values that were tried.
    """

    value: Setting
    mean: float
    low: float
    high: float
    ratings: int
    probability: float


@attrs.frozen(kw_only=True)
class Recommendation:
    """The advice for one setting.

    Attributes:
        parameter: The setting's path.
        value: The best estimate, whether or not the evidence carries it.
        mean: Its expected quality, 1 to 5; None where the ratings say nothing.
        low: The lower end of its 90 % interval; likewise.
        high: The upper end; likewise.
        ratings: How many ratings there are for the setting.
        choices: How many choices between two of its values.
        enough: Whether the evidence carries the advice.
        why: In words.
        values: What is believed of each value that was tried, in their order.
        try_next: Values worth trying, the most promising first.
        rate_next: Pictures worth rating: a run's id and a picture's.
    """

    parameter: str
    value: Setting
    mean: float | None
    low: float | None
    high: float | None
    ratings: int
    choices: int = 0
    enough: bool
    why: str
    values: tuple[ValueEstimate, ...] = ()
    try_next: tuple[Setting, ...] = ()
    rate_next: tuple[tuple[str, str], ...] = ()


_TEXT = (str, NoneType)


@takes(stage=_TEXT, prompt=_TEXT, model=_TEXT)
def recommend(
    base_dir: str | Path = "runs",
    *,
    stage: str | None = None,
    prompt: str | None = None,
    model: str | None = None,
    plan_id: str | None = None,
    report: ReportProblem | None = None,
) -> tuple[Recommendation, ...]:
    """Return the advice for each setting that was varied and rated under a folder.

    Args:
        base_dir: The folder of all runs.
        stage: For this stage's settings alone.
        prompt: Let ratings of pictures with similar prompts count more.
        model: Let ratings of pictures by this model count more.
        plan_id: From this plan's pictures alone.
        report: Told of every line that cannot be read.
    """
    observations = gather_observations(base_dir, plan_id=plan_id, report=report)
    return advise(observations, stage=stage, prompt=prompt, model=model)


@takes(observations=Observations, stage=_TEXT, prompt=_TEXT, model=_TEXT)
def advise(
    observations: Observations,
    *,
    stage: str | None = None,
    prompt: str | None = None,
    model: str | None = None,
) -> tuple[Recommendation, ...]:
    """Return the advice for each setting that somebody said something about. Pure."""
    spoken = {key for choice in observations.choices for key in choice}
    about = [
        picture
        for key, picture in observations.pictures.items()
        if picture.rating is not None or key in spoken
    ]
    parameters = sorted({path for picture in about for path in picture.settings})
    return tuple(
        _advise(path, observations, prompt, model)
        for path in parameters
        if stage is None or path.partition(".")[0] == stage
    )


def _advise(
    parameter: str, observations: Observations, prompt: str | None, model: str | None
) -> Recommendation:
    pictures = [p for p in observations.pictures.values() if parameter in p.settings]
    tried = worth_looking_at(parameter, pictures, observations)
    kept = indices(tried)
    pictures = [picture for picture in pictures if value_in(picture, parameter) in kept]
    values = ordered([*tried, *candidates_between(tried)])
    where = indices(values)
    evidence = evidence_of(parameter, observations, where, prompt, model)
    posterior = believe(points(values), len(values), evidence)
    counts = np.bincount(evidence.value, minlength=len(values))
    spoken = set(evidence.value) | set(evidence.winner) | set(evidence.loser)
    known = sorted(int(index) for index in spoken)
    best = max(known, key=lambda index: float(posterior.mean[index]))
    estimates = _estimates(values, posterior, counts, [where[identity(each)] for each in tried])
    said, total = len(evidence.rating), len(evidence.rating) + len(evidence.winner)
    # A person cannot tell what is above five from what is below one.
    drawn = np.clip(posterior.draws[:, known], 1.0, 5.0)
    place = known.index(best)
    sure = float((drawn[:, place] >= drawn.max(axis=1) - _CLOSE).mean())
    matters = float((drawn[:, place] - drawn.min(axis=1) > _CLOSE).mean())
    all_the_same = observations.all_the_same(parameter, [values[index] for index in known])
    silent = all_the_same or _silent(evidence, posterior, matters)
    backed = counts[best] + np.sum(evidence.winner == best) + np.sum(evidence.loser == best)
    carried = backed >= _FEWEST_OF_BEST and total >= _FEWEST and len(known) > 1
    enough = bool(silent is None and carried and min(sure, matters) >= _SURE)
    rate_next = _rate_next(parameter, pictures, posterior, where)
    chosen = next(each for each in estimates if each.value == values[best])
    return Recommendation(
        parameter=parameter,
        value=values[best],
        mean=None if silent else chosen.mean,
        low=None if silent else chosen.low,
        high=None if silent else chosen.high,
        ratings=said,
        choices=len(evidence.winner),
        enough=enough,
        why=silent
        or _why(enough, min(sure, matters), total, len(known), values[best], rate_next)
        + "".join(f"; {each}" for each in observations.same_by(parameter)[:1]),
        values=tuple(estimates),
        try_next=_try_next(values, posterior, known),
        rate_next=rate_next,
    )


def _silent(evidence: Evidence, posterior: Posterior, matters: float) -> str | None:
    """Return why what was said tells nothing about the setting, None where it does."""
    ratings = evidence.rating
    several = len(set(evidence.value)) > 1
    if len(ratings) >= _CONSTANT and several and not len(evidence.winner) and np.ptp(ratings) == 0:
        return f"all {len(ratings)} ratings are {ratings[0]:.0f}: there is nothing to choose by"
    if matters >= _SURE:
        return None
    within = [ratings[evidence.value == index] for index in set(evidence.value)]
    repeated = [each for each in within if len(each) > 1]
    if len(ratings) >= _MANY and repeated:
        spread = float(np.sqrt(np.mean([each.var(ddof=1) for each in repeated])))
        apart = float(np.ptp(posterior.mean[list(set(evidence.value))]))
        if spread >= _AT_ODDS and apart < _TOLD_APART * spread:
            return (
                "the ratings contradict each other: those of one value differ as much as those of"
                " different values"
            )
    if len(evidence.winner) >= _MANY:
        agreed = posterior.mean[evidence.winner] > posterior.mean[evidence.loser]
        if float(agreed.mean()) < _AGREED:
            return "the choices contradict each other: each value lost as often as it won"
    return None


def _why(
    enough: bool,
    sure: float,
    total: int,
    values: int,
    best: Setting,
    rate_next: Sequence[tuple[str, str]],
) -> str:
    if enough:
        return f"the best of {values} values, or as good as, with a probability of {sure:.0%}"
    more = f"; rate these {len(rate_next)} pictures next" if rate_next else "; try more values"
    if values < 2:
        return f"not enough ratings: {best!r} is the only value that was rated{more}"
    return (
        f"not enough ratings ({total}): {best!r} is best, or as good as, with a probability of"
        f" {sure:.0%}{more}"
    )


def _estimates(
    values: Sequence[Setting], posterior: Posterior, counts: np.ndarray, tried: Sequence[int]
) -> list[ValueEstimate]:
    low, high = np.percentile(posterior.draws, _INTERVAL, axis=0)
    winners = np.bincount(posterior.draws[:, tried].argmax(axis=1), minlength=len(tried))
    return [
        ValueEstimate(
            value=values[index],
            mean=round(float(np.clip(posterior.mean[index], 1, 5)), 3),
            low=round(float(np.clip(low[index], 1, 5)), 3),
            high=round(float(np.clip(high[index], 1, 5)), 3),
            ratings=int(counts[index]),
            probability=round(float(winners[place] / len(posterior.draws)), 3),
        )
        for place, index in enumerate(tried)
    ]


def _rate_next(
    parameter: str,
    pictures: Sequence[Picture],
    posterior: Posterior,
    where: Mapping[object, int],
) -> tuple[tuple[str, str], ...]:
    """Return unrated pictures, those first whose value may well be the best and is least known."""
    promise = np.percentile(posterior.draws, _INTERVAL[1], axis=0)
    unrated = [picture for picture in pictures if picture.rating is None and picture.image_id]
    unrated.sort(key=lambda each: -float(promise[where[value_in(each, parameter)]]))
    return tuple((each.run_id, each.image_id) for each in unrated[:_NEXT])


def _try_next(
    values: Sequence[Setting], posterior: Posterior, known: Sequence[int]
) -> tuple[Setting, ...]:
    """Return values that nobody rated and whose quality may be the highest."""
    promise = np.percentile(posterior.draws, 80.0, axis=0)
    order = sorted(range(len(values)), key=lambda index: -float(promise[index]))
    return tuple(values[index] for index in order if index not in known)[:3]
