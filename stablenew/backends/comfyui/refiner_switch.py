"""The step with which a refiner takes over: AUTOMATIC1111 goes by noise, not by steps. Pure.

Its `refiner_switch_at` is a part of the thousand timesteps that the model was trained with. Karras
spends its steps where little noise is left: of 20, twelve begin before 0.8 of the timesteps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

_TIMESTEPS = 1000
_FIRST_BETA, _LAST_BETA = 0.00085, 0.012
"""Of Stable Diffusion 1, 2 and XL; other models have no refiner on AUTOMATIC1111."""

_RHO = 7.0
"""Of Karras."""

_ONE_MORE = ("dpm_2", "dpm_2_ancestral", "uni_pc", "uni_pc_bh2")
"""Samplers for which ComfyUI makes a schedule of one step more, and leaves out the last but one."""

_Numbers = NDArray[np.float64]


def switch_step(scheduler: str, sampler: str, steps: int, switch_at: float) -> int:
    """Return the step with which the refiner begins; `steps` where it never does.

    Args:
        scheduler: As ComfyUI names it.
        sampler: Likewise.
        steps: Of the whole schedule.
        switch_at: As AUTOMATIC1111 has it, 0 to 1.
    """
    schedule = _SCHEDULES.get(scheduler)
    if schedule is None:  # of ComfyUI alone: nobody says what AUTOMATIC1111 would do
        return round(steps * switch_at)
    timesteps = schedule(steps + 1)[:-1] if sampler in _ONE_MORE else schedule(steps)
    nearest = np.ceil(timesteps.round(6) - 0.5)  # of a half, the one with less noise
    done = (_TIMESTEPS - 1 - nearest) / _TIMESTEPS
    refined = np.flatnonzero(done >= switch_at)
    return min(int(refined[0]), steps) if refined.size else steps


def _sigmas() -> _Numbers:
    """Return how much noise there is at each timestep, in units of the picture's own spread."""
    betas = np.linspace(_FIRST_BETA**0.5, _LAST_BETA**0.5, _TIMESTEPS) ** 2
    kept = np.cumprod(1 - betas)
    return np.asarray(((1 - kept) / kept) ** 0.5)


def _nearest(sigmas: _Numbers) -> _Numbers:
    return np.asarray(np.abs(_sigmas()[:, None] - sigmas[None, :]).argmin(axis=0), dtype=np.float64)


def _ends() -> tuple[float, float]:
    sigmas = _sigmas()
    return float(sigmas[-1]), float(sigmas[0])


def _karras(steps: int) -> _Numbers:
    high, low = _ends()
    return _nearest(np.linspace(high ** (1 / _RHO), low ** (1 / _RHO), steps) ** _RHO)


def _exponential(steps: int) -> _Numbers:
    high, low = _ends()
    return _nearest(np.exp(np.linspace(np.log(high), np.log(low), steps)))


def _kl_optimal(steps: int) -> _Numbers:
    high, low = _ends()
    return _nearest(np.tan(np.linspace(np.arctan(high), np.arctan(low), steps)))


def _beta(steps: int) -> _Numbers:
    """Return timesteps that lie as a beta distribution of 0.6 and 0.6 does.

    With the sine of half an angle its density has no pole, so that a sum gives its quantiles.
    """
    angles = np.linspace(0.0, np.pi / 2, 20_001)
    middles = (angles[1:] + angles[:-1]) / 2
    part = np.concatenate([[0.0], np.cumsum((np.sin(middles) * np.cos(middles)) ** 0.2)])
    wanted = 1 - np.arange(steps) / steps
    angle = np.interp(wanted, part / part[-1], angles)
    timesteps = np.rint((np.sin(angle) ** 2 * (_TIMESTEPS - 1)).round(6))
    return np.unique(timesteps)[::-1]


_SCHEDULES: Mapping[str, Callable[[int], _Numbers]] = {
    "normal": lambda steps: np.linspace(_TIMESTEPS - 1, 0, steps),
    "sgm_uniform": lambda steps: np.linspace(_TIMESTEPS - 1, 0, steps + 1)[:-1],
    "simple": lambda steps: _TIMESTEPS - 1 - np.floor(np.arange(steps) * (_TIMESTEPS / steps)),
    "ddim_uniform": lambda steps: np.arange(1.0, _TIMESTEPS, max(_TIMESTEPS // steps, 1))[::-1],
    "karras": _karras,
    "exponential": _exponential,
    "kl_optimal": _kl_optimal,
    "beta": _beta,
}
"""For each of ComfyUI's schedulers, the timestep with which each step begins."""
