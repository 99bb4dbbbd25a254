"""The evidence for one setting: which of its values are looked at, and what was said of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from stablenew.advice.observations import Observations, Picture
from stablenew.advice.preference_model import Evidence
from stablenew.advice.value_axis import identity, ordered
from stablenew.config.pipeline_config import Setting

_MOST_VALUES = 80
"""Values of one setting that are looked at: those with the most ratings first."""

_UNLIKE = 0.15
"""How much a rating counts that was given under a wholly different prompt or model."""

_MISSING = object()


def worth_looking_at(
    parameter: str, pictures: Sequence[Picture], observations: Observations
) -> list[Setting]:
    """Return the values that somebody said something about, and others as long as they are few."""
    spoken = {key for choice in observations.choices for key in choice}
    said = [p for p in pictures if p.rating is not None or p.key in spoken]
    counts = Counter(value_in(picture, parameter) for picture in said)
    known = ordered([picture.settings[parameter] for picture in said])
    if len(known) > _MOST_VALUES:
        known = ordered(sorted(known, key=lambda value: -counts[identity(value)])[:_MOST_VALUES])
    others = ordered(
        [p.settings[parameter] for p in pictures if value_in(p, parameter) not in counts]
    )
    return ordered([*known, *others[: max(0, _MOST_VALUES - len(known))]])


def evidence_of(
    parameter: str,
    observations: Observations,
    where: Mapping[object, int],
    prompt: str | None,
    model: str | None,
) -> Evidence:
    """Return what was said of the values of a setting.

    Args:
        parameter: The setting's path.
        observations: Everything that was said.
        where: The index of each value that is looked at, by its identity.
        prompt: What is given under others counts less, if given.
        model: Likewise.
    """
    pictures = observations.pictures
    rated = [
        picture
        for picture in pictures.values()
        if picture.rating is not None and value_in(picture, parameter) in where
    ]
    contexts = {name: n for n, name in enumerate(dict.fromkeys(p.context for p in rated))}
    pairs = [
        (pictures[winner], pictures[loser])
        for winner, loser in observations.choices
        if value_in(pictures[winner], parameter) in where
        and value_in(pictures[loser], parameter) in where
    ]
    pairs = [pair for pair in pairs if value_in(pair[0], parameter) != value_in(pair[1], parameter)]
    return Evidence(
        value=np.array([where[value_in(each, parameter)] for each in rated], dtype=np.intp),
        context=np.array([contexts[each.context] for each in rated], dtype=np.intp),
        rating=np.array([each.rating for each in rated], dtype=np.float64),
        weight=np.array([weight_of(each, prompt, model) for each in rated], dtype=np.float64),
        winner=np.array([where[value_in(one, parameter)] for one, _ in pairs], dtype=np.intp),
        loser=np.array([where[value_in(other, parameter)] for _, other in pairs], dtype=np.intp),
        same=np.array([one.context == other.context for one, other in pairs], dtype=np.bool_),
        choice_weight=np.array(
            [
                min(weight_of(one, prompt, model), weight_of(other, prompt, model))
                for one, other in pairs
            ],
            dtype=np.float64,
        ),
    )


def weight_of(picture: Picture, prompt: str | None, model: str | None) -> float:
    """Return how much a rating counts: less, the less its prompt and model are those asked for."""
    likeness = 1.0
    if prompt:
        asked, own = set(prompt.lower().split()), set(picture.prompt.lower().split())
        likeness *= len(asked & own) / max(len(asked | own), 1)
    if model and picture.model != model:
        likeness *= _UNLIKE
    return max(likeness, _UNLIKE)


def value_in(picture: Picture, parameter: str) -> object:
    """Return what makes a picture's value of a setting; no value's identity where it has none."""
    if parameter not in picture.settings:
        return _MISSING
    return identity(picture.settings[parameter])
