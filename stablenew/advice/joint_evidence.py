"""The evidence for all settings at once, from the records and ratings of any plans. Pure.

What some run varied is a setting to advise on, as long as what was rated has two values of it; so
is the model, where there are several. Prompts, seeds and start pictures are no choices: they are
effects of their own. A setting that one plan varied and another fixed is evidence in both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence

import attrs

from stablenew.advice.evidence import weight_of
from stablenew.advice.joint_model import JointModel
from stablenew.advice.judgements import Chosen, Judged, Rated
from stablenew.advice.observations import Observations, Picture
from stablenew.advice.priors import Prior
from stablenew.advice.setting_axis import SettingAxis
from stablenew.advice.value_axis import identity, is_number, ordered
from stablenew.config.overrides import setting_types
from stablenew.config.pipeline_config import STAGES, Setting

_MOST_NAMES = 40
"""Names of one setting that are looked at: those that were rated most; others count as unknown."""

_MOST_SETTINGS = 12
"""Settings that are looked at together: those with the most values that were rated first."""

_LOG = 8.0
"""A range that grows so many times is logarithmic, unless the prior says otherwise."""

_FEW = 4
"""Tried values below which the ends of a range are what somebody happened to try."""


@attrs.frozen(kw_only=True)
class JointEvidence:
    """What was said, ready for the joint model.

    Attributes:
        axes: The settings to advise on.
        asked: How much each prompt counts in what is asked for; None for all the same.
    """

    axes: tuple[SettingAxis, ...]
    ratings: tuple[Rated, ...]
    choices: tuple[Chosen, ...]
    asked: dict[Hashable, float] | None = None

    def model(self, prior: Prior, *, seed: int = 0) -> JointModel:
        """Return a model that was told all of it."""
        model = JointModel(self.axes, prior, seed=seed)
        model.tell(self.ratings, self.choices)
        return model


def joint_evidence(
    observations: Observations,
    prior: Prior,
    *,
    stage: str | None = None,
    prompt: str | None = None,
    subscore: str | None = None,
) -> JointEvidence:
    """Return the evidence for all settings at once.

    Args:
        observations: Everything that was said.
        prior: Says how settings lie on an axis.
        stage: For this stage's settings alone.
        prompt: Let what was said of similar prompts count more, and ask for these.
        subscore: One of the parts that a rating may have, in place of the rating.
    """
    pictures = observations.pictures
    ratings = {
        key: rating
        for key, picture in pictures.items()
        if (rating := _rating(picture, subscore)) is not None
    }
    choices = () if subscore else observations.choices
    spoken = [pictures[key] for key in {**ratings, **_keys(choices)}]
    axes = _axes(spoken, prior, stage)
    paths = {axis.path for axis in axes}

    def judged(picture: Picture) -> Judged:
        settings = {path: value for path, value in _used(picture).items() if path in paths}
        return Judged(settings=settings, prompt=_subject(picture, paths), seed=picture.seed)

    return JointEvidence(
        axes=axes,
        ratings=tuple(
            Rated(
                picture=judged(pictures[key]),
                rating=rating,
                weight=weight_of(pictures[key], prompt, None),
            )
            for key, rating in ratings.items()
        ),
        choices=tuple(
            Chosen(
                better=judged(pictures[winner]),
                worse=judged(pictures[loser]),
                weight=min(weight_of(pictures[each], prompt, None) for each in (winner, loser)),
            )
            for winner, loser in choices
        ),
        asked={_subject(each, paths): weight_of(each, prompt, None) for each in spoken}
        if prompt
        else None,
    )


def _rating(picture: Picture, subscore: str | None) -> int | None:
    return picture.rating if subscore is None else picture.subscores.get(subscore)


def _keys(
    choices: Iterable[tuple[tuple[str, str], tuple[str, str]]],
) -> dict[tuple[str, str], None]:
    return {key: None for choice in choices for key in choice}


def _used(picture: Picture) -> dict[str, Setting]:
    return {**picture.made_with, **picture.settings}


def _subject(picture: Picture, paths: Iterable[str]) -> Hashable:
    """Return what a picture shows: its prompt, unless that is compared, and its start picture."""
    compared = any(path.endswith("prompt") or not path.startswith(STAGES) for path in paths)
    return "" if compared else picture.prompt, picture.start


def _axes(spoken: Sequence[Picture], prior: Prior, stage: str | None) -> tuple[SettingAxis, ...]:
    values: dict[str, Counter[object]] = {}
    plain: dict[tuple[str, object], Setting] = {}
    for picture in spoken:
        for path, value in _used(picture).items():
            if value is not None and (stage is None or path.partition(".")[0] == stage):
                values.setdefault(path, Counter())[identity(value)] += 1
                plain.setdefault((path, identity(value)), value)
    several = sorted(path for path, counts in values.items() if len(counts) > 1)
    several.sort(key=lambda path: -min(len(values[path]), _FEW))  # stable: else by their names
    return tuple(
        axis_of(path, [plain[path, each] for each, _ in values[path].most_common()], prior)
        for path in sorted(several[:_MOST_SETTINGS])
    )


def axis_of(path: str, values: Sequence[Setting], prior: Prior) -> SettingAxis:
    """Return the axis of a setting that has some values, the commonest first."""
    own = prior.of(path)
    if not all(map(is_number, values)):
        return SettingAxis(path=path, names=tuple(ordered(values[:_MOST_NAMES])))
    numbers = [float(value) for value in values if is_number(value)]
    low, high = min(numbers), max(numbers)
    grows = low > 0 and high / low >= _LOG if own.axis is None else own.axis == "logarithmic"
    first, _, name = path.partition(".")
    whole = first in STAGES and setting_types(first).get(name) is int
    return SettingAxis(
        path=path,
        low=low,
        high=high,
        log=grows and low > 0,
        whole=whole and all(number == int(number) for number in numbers),
        ends_rarely_best=own.ends_rarely_best and len(set(numbers)) >= _FEW,
    )
