"""Noise schedules and samplers, by the names the WebUI has for them.

The formulas are those of k-diffusion, which implements Karras et al. 2022 (Euler, Heun, DPM2, the
Karras schedule), Song et al. 2021 (DDIM, ancestral steps), and Lu et al. 2022 (DPM++).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise

import numpy as np
from numpy.polynomial import Polynomial

from stablenew.backends.embedded.convolution import Array

Denoise = Callable[[Array, float], Array]
Noise = Callable[[], Array]
Callback = Callable[[int, int], None]
Sampler = Callable[[Denoise, Array, list[float], Noise, Callback], Array]

SIGMA_MIN, SIGMA_MAX = 0.02, 30.0
FIRST_SIGMA = 120.0
"""One step from far out, where the model chooses the overall brightness."""

_RHO = 7.0
_LMS_ORDER = 4


def sigmas_for(steps: int, scheduler: str, first: float | None = None) -> list[float]:
    """Return the noise levels of `steps` steps, from strong to 0: `steps` + 1 numbers.

    Args:
        steps: 1 or more.
        scheduler: A key of `SCHEDULERS`.
        first: A level to begin with, in place of the schedule's own; needs 3 steps.
    """
    if first is not None and steps > 2:
        return [first, *sigmas_for(steps - 1, scheduler)[:-1], 0.0]
    ramp = np.linspace(0, 1, steps) if steps > 1 else np.zeros(1)
    return [*SCHEDULERS[scheduler](ramp).tolist(), 0.0]


def _karras(ramp: np.ndarray) -> np.ndarray:
    high, low = SIGMA_MAX ** (1 / _RHO), SIGMA_MIN ** (1 / _RHO)
    return np.asarray((high + ramp * (low - high)) ** _RHO)


def _exponential(ramp: np.ndarray) -> np.ndarray:
    high, low = math.log(SIGMA_MAX), math.log(SIGMA_MIN)
    return np.exp(high + ramp * (low - high))


def _uniform(ramp: np.ndarray) -> np.ndarray:
    """Even in the time of a cosine variance-preserving process."""
    high, low = math.atan(SIGMA_MAX), math.atan(SIGMA_MIN)
    return np.tan(high + ramp * (low - high))


SCHEDULERS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "Automatic": _uniform,
    "Karras": _karras,
    "Exponential": _exponential,
    "Uniform": _uniform,
}


def _steps(sigmas: list[float], callback: Callback) -> Iterator[tuple[float, float]]:
    """Yield the pairs of noise levels, telling each step once it is done."""
    for index, pair in enumerate(pairwise(sigmas), start=1):
        yield pair
        callback(index, len(sigmas) - 1)


def _ancestral(sigma: float, following: float) -> tuple[float, float]:
    """Split a step into how far to denoise and how much new noise to add."""
    if following == 0:
        return 0.0, 0.0
    variance = following**2 * (sigma**2 - following**2) / sigma**2
    up = min(following, math.sqrt(max(variance, 0)))
    return math.sqrt(following**2 - up**2), up


def _euler(denoise: Denoise, x: Array, sigmas: list[float], _: Noise, callback: Callback) -> Array:
    for sigma, following in _steps(sigmas, callback):
        clean = denoise(x, sigma)
        x = clean + (x - clean) * (following / sigma)
    return x


def _euler_a(
    denoise: Denoise, x: Array, sigmas: list[float], noise: Noise, callback: Callback
) -> Array:
    for sigma, following in _steps(sigmas, callback):
        clean = denoise(x, sigma)
        down, up = _ancestral(sigma, following)
        x = clean + (x - clean) * (down / sigma)
        if up:
            x = x + noise() * up
    return x


def _heun(denoise: Denoise, x: Array, sigmas: list[float], _: Noise, callback: Callback) -> Array:
    for sigma, following in _steps(sigmas, callback):
        slope = (x - denoise(x, sigma)) / sigma
        ahead = x + slope * (following - sigma)
        if following > 0:
            slope_ahead = (ahead - denoise(ahead, following)) / following
            ahead = x + (slope + slope_ahead) * (0.5 * (following - sigma))
        x = ahead
    return x


def _dpm2(denoise: Denoise, x: Array, sigmas: list[float], _: Noise, callback: Callback) -> Array:
    for sigma, following in _steps(sigmas, callback):
        slope = (x - denoise(x, sigma)) / sigma
        if following > 0:
            middle = math.sqrt(sigma * following)
            half_way = x + slope * (middle - sigma)
            slope = (half_way - denoise(half_way, middle)) / middle
        x = x + slope * (following - sigma)
    return x


def _lms(denoise: Denoise, x: Array, sigmas: list[float], _: Noise, callback: Callback) -> Array:
    slopes: list[Array] = []
    for index, (sigma, following) in enumerate(_steps(sigmas, callback)):
        slopes = [*slopes, (x - denoise(x, sigma)) / sigma][-_LMS_ORDER:]
        levels = sigmas[index + 1 - len(slopes) : index + 1]
        for slope, level in zip(slopes, levels, strict=True):
            others = [other for other in levels if other != level]
            basis = Polynomial.fromroots(others) if others else Polynomial([1.0])
            area = basis.integ()
            weight = (area(following) - area(sigma)) / basis(level)
            x = x + slope * float(weight)
    return x


def _dpmpp_2m(
    denoise: Denoise, x: Array, sigmas: list[float], _: Noise, callback: Callback
) -> Array:
    before: Array | None = None
    last = 0.0
    for sigma, following in _steps(sigmas, callback):
        clean = denoise(x, sigma)
        if following == 0:
            x = clean
        else:
            step = math.log(sigma / following)
            ahead = clean
            if before is not None:
                ratio = step / (2 * last)
                ahead = clean * (1 + ratio) - before * ratio
            x = x * (following / sigma) - ahead * math.expm1(-step)
            last = step
        before = clean
    return x


def _dpmpp_2m_sde(
    denoise: Denoise, x: Array, sigmas: list[float], noise: Noise, callback: Callback
) -> Array:
    before: Array | None = None
    last = 0.0
    for sigma, following in _steps(sigmas, callback):
        clean = denoise(x, sigma)
        if following == 0:
            x = clean
        else:
            step = math.log(sigma / following)
            growth = math.expm1(-2 * step)
            x = x * (following / sigma * math.exp(-step)) - clean * growth
            if before is not None:
                x = x - (clean - before) * (0.5 * growth * step / last)
            x = x + noise() * (following * math.sqrt(-growth))
            last = step
        before = clean
    return x


def _dpmpp_single(stochastic: bool) -> Sampler:
    """Make the two singlestep samplers, which differ by noise in the middle of a step."""

    def sampler(
        denoise: Denoise, x: Array, sigmas: list[float], noise: Noise, callback: Callback
    ) -> Array:
        for sigma, following in _steps(sigmas, callback):
            clean = denoise(x, sigma)
            down, up = _ancestral(sigma, following)
            if down == 0:
                x = clean
            else:
                step = math.log(sigma / down)
                middle = math.sqrt(sigma * down)
                lower, raised = _ancestral(sigma, middle) if stochastic else (middle, 0.0)
                half_way = x * (lower / sigma) - clean * math.expm1(math.log(lower / sigma))
                if raised:
                    half_way = half_way + noise() * raised
                x = x * (down / sigma) - denoise(half_way, middle) * math.expm1(-step)
            if up:
                x = x + noise() * up
        return x

    return sampler


SAMPLERS: Mapping[str, Sampler] = {
    "DPM++ 2M": _dpmpp_2m,
    "DPM++ SDE": _dpmpp_single(stochastic=True),
    "DPM++ 2M SDE": _dpmpp_2m_sde,
    "DPM++ 2S a": _dpmpp_single(stochastic=False),
    "Euler a": _euler_a,
    "Euler": _euler,
    "LMS": _lms,
    "Heun": _heun,
    "DPM2": _dpm2,
    "DDIM": _euler,  # without new noise a DDIM step is an Euler step (Song et al. 2021, eq. 12)
}
