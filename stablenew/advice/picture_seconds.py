"""How long a picture takes with settings that were never tried together, from those that were made.

The logarithm of the seconds is a sum over settings: of a number, its logarithm times a slope; of a
name, its own share. Slopes begin at 1 for what the priors say grows with the time, at 0 for others,
and follow the records from there (ridge regression).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from stablenew.advice.priors import Prior
from stablenew.advice.setting_axis import SettingAxis
from stablenew.advice.value_axis import is_number
from stablenew.config.pipeline_config import Setting

Array = NDArray[np.float64]

_SPREAD = 0.3
"""How far a slope may be from where it begins, and how far a name moves the logarithm."""

_NOISE = 0.15
_FEWEST = 3


def picture_seconds(
    axes: Sequence[SettingAxis], made: Sequence[tuple[Mapping[str, Setting], float]], prior: Prior
) -> Callable[[Mapping[str, Setting]], float | None] | None:
    """Return what says how long a picture takes; None where too few were made to say.

    Args:
        axes: The settings that it is asked for.
        made: Pictures that were made: their settings and seconds.
        prior: Says which settings grow with the time.
    """
    if len(made) < _FEWEST:
        return None
    begins = np.concatenate([[0.0], *(_begins(axis, prior) for axis in axes)])
    columns = np.array([_columns(axes, settings) for settings, _ in made])
    logs = np.log([seconds for _, seconds in made])
    middle = float((logs - columns @ begins).mean())
    pull = np.full(len(begins), (_NOISE / _SPREAD) ** 2)
    pull[0] = 1e-6  # the middle follows what was made
    begins[0] = middle
    off = columns.T @ (logs - columns @ begins)
    weights = begins + np.linalg.solve(columns.T @ columns + np.diag(pull), off)

    def seconds(settings: Mapping[str, Setting]) -> float | None:
        return math.exp(float(_columns(axes, settings) @ weights))

    return seconds


def _begins(axis: SettingAxis, prior: Prior) -> Array:
    if axis.names:
        return np.zeros(len(axis.names))
    return np.array([1.0 if prior.of(axis.path).seconds == "grows" else 0.0])


def _columns(axes: Sequence[SettingAxis], settings: Mapping[str, Setting]) -> Array:
    parts: list[Array] = [np.ones(1)]
    for axis in axes:
        value = settings.get(axis.path)
        if axis.names:
            place = axis.places_of([value])[0]
            parts.append((np.arange(len(axis.names)) == place).astype(float))
        else:
            middle = math.sqrt(axis.low * axis.high) if axis.low > 0 else 0.0
            usable = middle > 0 and is_number(value) and float(value) > 0
            parts.append(np.array([math.log(float(value) / middle) if usable else 0.0]))  # type: ignore[arg-type]
    return np.concatenate(parts)
