"""What a person likes, as a function of one setting: a small Bayesian model, in numpy.

Each value v has a quality q(v) on the scale of the ratings, 1 to 5. A rating is q(v), plus what its
context (one seed of one plan, one prompt) adds to every value alike, plus noise, rounded to a whole
number: an ordinal probit (McCullagh, "Regression Models for Ordinal Data", JRSS B 42, 1980) with
thresholds half-way between the ratings. A choice between two pictures says that one quality plus
noise is above the other: Thurstone's law of comparative judgement (1927), as in Chu and Ghahramani,
"Preference Learning with Gaussian Processes" (ICML 2005).

The prior of q is a Gaussian process: smooth over numbers (Matérn 5/2 over the range seen, on a
logarithmic axis where the largest value is eight times the smallest or more), exchangeable over
names. How far q varies, how smoothly, and how noisy the person is are not fixed but averaged over a
small grid, each combination weighted by how well it explains the ratings (Laplace's approximation:
Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006, chapter 3). A person who
gives only fours and fives moves the mean and the noise, and so does no harm; one who rates at
random makes the combination win in which nothing matters.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from stablenew._blas import one_blas_thread

Array = NDArray[np.float64]

LOWEST, HIGHEST = 1, 5

_MIDDLE, _MIDDLE_SPREAD = 3.0, 1.2
"""The mean quality, before anything is known, and how sure that is."""

_CONTEXT_SPREAD = 0.5
"""How far a seed or a prompt moves all its ratings, as a standard deviation."""

_FLAT = 0.05
_SPREADS = (_FLAT, 0.4, 1.0)
_FLAT_SHARE = 0.15
"""How likely it is, before anything is known, that a setting does not matter."""

_NOISES = (0.6, 1.3)
_LENGTHS = (0.15, 0.35, 0.8)
"""The grid: how far q varies, how noisy a rating is, how far on an axis of length 1 values resemble
each other. The smallest spread stands for a setting that does not matter."""

_LOG_AXIS = 8.0
_STEPS, _ENOUGH = 25, 1e-3
_DRAWS = 2_000


@attrs.frozen(kw_only=True, eq=False)
class Evidence:
    """What a person said about the values of one setting.

    Attributes:
        value: Of each rating: the index of the value.
        context: Of each rating: the index of its context.
        rating: 1 to 5.
        weight: How much each rating counts, 0 to 1.
        winner: Of each choice: the index of the value that was liked better.
        loser: Of each choice: the index of the other.
        same: Of each choice: whether both pictures share a context.
        choice_weight: How much each choice counts, 0 to 1.
    """

    value: NDArray[np.intp]
    context: NDArray[np.intp]
    rating: Array
    weight: Array
    winner: NDArray[np.intp]
    loser: NDArray[np.intp]
    same: NDArray[np.bool_]
    choice_weight: Array


@attrs.frozen(kw_only=True, eq=False)
class Posterior:
    """What is believed of each value after the evidence.

    Attributes:
        mean: The expected quality of each value.
        draws: Qualities drawn from the posterior, one row per draw.
        indifferent: The probability that the setting does not matter.
    """

    mean: Array
    draws: Array
    indifferent: float


@attrs.frozen(kw_only=True, eq=False)
class _Fit:
    """One combination of the grid, fitted.

    Attributes:
        evidence: The logarithm of how well it explains the ratings.
        root: A square root of the posterior's covariance.
    """

    evidence: float
    mean: Array
    contexts: Array
    root: Array
    spread: float


def believe(
    points: Sequence[float] | None, count: int, evidence: Evidence, seed: int = 0
) -> Posterior:
    """Return what to believe of `count` values.

    Args:
        points: The values as numbers; None for names.
        count: How many values there are, those without evidence included.
        evidence: Ratings and choices.
        seed: Of the draws.
    """
    with one_blas_thread():
        return _believed(points, count, evidence, seed)


def _believed(
    points: Sequence[float] | None, count: int, evidence: Evidence, seed: int
) -> Posterior:
    lengths = _LENGTHS if points is not None else (1.0,)
    axis = _axis(points) if points is not None else None
    fits: list[_Fit] = []
    for noise, length, spread in itertools.product(_NOISES, lengths, _SPREADS):
        if spread > _FLAT or length == lengths[0]:  # flat is flat at any length
            covariance = _covariance(axis, count, length, spread)
            fits.append(_fit(covariance, spread, noise, evidence, fits[-1] if fits else None))
    logs = np.array([fit.evidence for fit in fits])
    rest = (1.0 - _FLAT_SHARE) / (len(_SPREADS) - 1) / len(lengths)
    share = [_FLAT_SHARE if fit.spread == _FLAT else rest for fit in fits]
    weights = np.exp(logs - logs.max()) * share
    weights /= weights.sum()
    random = np.random.default_rng(seed)
    draws = [
        fit.mean + random.standard_normal((round(weight * _DRAWS), count)) @ fit.root.T
        for fit, weight in zip(fits, weights, strict=True)
        if round(weight * _DRAWS)
    ]
    flat = sum(weight for fit, weight in zip(fits, weights, strict=True) if fit.spread == _FLAT)
    return Posterior(
        mean=np.asarray(weights @ np.array([fit.mean for fit in fits])),
        draws=np.concatenate(draws),
        indifferent=float(flat),
    )


def _axis(points: Sequence[float]) -> Array:
    """Return numbers on an axis from 0 to 1, logarithmic where they span a wide range."""
    x = np.asarray(points, dtype=float)
    if len(x) and x.min() > 0 and x.max() / x.min() >= _LOG_AXIS:
        x = np.log(x)
    span = x.max() - x.min() if len(x) else 0.0
    return (x - x.min()) / span if span > 0 else np.zeros_like(x)


def _covariance(axis: Array | None, count: int, length: float, spread: float) -> Array:
    """Return the prior's covariance: a shared middle, and how values resemble each other."""
    if axis is None:
        own = np.eye(count)
    else:
        away = math.sqrt(5.0) * np.abs(axis[:, None] - axis[None, :]) / length
        own = (1.0 + away + away**2 / 3.0) * np.exp(-away)
    return _MIDDLE_SPREAD**2 + spread**2 * own + 1e-6 * np.eye(count)


def _fit(
    covariance: Array, spread: float, noise: float, evidence: Evidence, near: _Fit | None
) -> _Fit:
    """Find the mode by Newton's method, from that of another combination, and its curvature.

    The qualities are `_MIDDLE + lower @ u` with u of unit variance; the contexts are eliminated
    from each step, for every rating has just one.
    """
    lower = np.linalg.cholesky(covariance)
    count = len(covariance)
    u = np.zeros(count) if near is None else np.linalg.solve(lower, near.mean - _MIDDLE)
    contexts = np.zeros(int(evidence.context.max(initial=-1)) + 1)
    contexts = contexts if near is None else near.contexts
    pull = 1.0 / _CONTEXT_SPREAD**2
    for _ in range(_STEPS):
        quality = _MIDDLE + lower @ u
        slope, bend, slope_c, bend_c, cross = _derivatives(quality, contexts, noise, evidence)
        slope_c = slope_c - pull * contexts
        bend_c = bend_c + pull
        # (I + Lᵀ(B − X C⁻¹ Xᵀ)L) du = Lᵀ(s − X C⁻¹ sc) − u
        through = cross / bend_c
        matrix = np.eye(count) + lower.T @ (bend - through @ cross.T) @ lower
        step = np.linalg.solve(matrix, lower.T @ (slope - through @ slope_c) - u)
        step_c = (slope_c - cross.T @ (lower @ step)) / bend_c
        longest = max(float(np.abs(step).max(initial=0.0)), float(np.abs(step_c).max(initial=0.0)))
        damping = min(1.0, 2.0 / longest) if longest > 0 else 1.0
        u, contexts = u + damping * step, contexts + damping * step_c
        if longest < _ENOUGH:
            break
    likelihood = _log_likelihood(_MIDDLE + lower @ u, contexts, noise, evidence)
    log_prior = -0.5 * float(u @ u) - 0.5 * pull * float(contexts @ contexts)
    volume = 0.5 * np.linalg.slogdet(matrix)[1] + 0.5 * float(np.log(bend_c / pull).sum())
    root = lower @ np.linalg.inv(np.linalg.cholesky(matrix)).T
    return _Fit(
        evidence=likelihood + log_prior - float(volume),
        mean=_MIDDLE + lower @ u,
        contexts=contexts,
        root=np.asarray(root, dtype=np.float64),
        spread=spread,
    )


def _log_likelihood(quality: Array, contexts: Array, noise: float, evidence: Evidence) -> float:
    located = quality[evidence.value] + contexts[evidence.context]
    upper, below = _bounds(evidence.rating, located, noise)
    rated = np.log(np.maximum(_cdf(upper) - _cdf(below), 1e-12)) * evidence.weight
    apart = (quality[evidence.winner] - quality[evidence.loser]) / _choice_noise(noise, evidence)
    chosen = np.log(np.maximum(_cdf(apart), 1e-12)) * evidence.choice_weight
    return float(rated.sum() + chosen.sum())


def _derivatives(
    quality: Array, contexts: Array, noise: float, evidence: Evidence
) -> tuple[Array, Array, Array, Array, Array]:
    """Return slope and bend of the log-likelihood: of the qualities, the contexts, and across.

    The bends are negated, so that they are positive.
    """
    count = len(quality)
    located = quality[evidence.value] + contexts[evidence.context]
    upper, below = _bounds(evidence.rating, located, noise)
    mass = np.maximum(_cdf(upper) - _cdf(below), 1e-12)
    high, low = _pdf(upper), _pdf(below)
    first = (low - high) / (mass * noise)
    curved = (_times(upper, high) - _times(below, low)) / (mass * noise**2)
    second = np.maximum(first**2 + curved, 1e-9) * evidence.weight
    first = first * evidence.weight
    slope = np.bincount(evidence.value, first, count).astype(np.float64)
    bend = np.diag(np.bincount(evidence.value, second, count).astype(np.float64))
    slope_c = np.bincount(evidence.context, first, len(contexts)).astype(np.float64)
    met = evidence.value * len(contexts) + evidence.context
    crossed = np.bincount(met, second, count * len(contexts)).astype(np.float64)
    cross = crossed.reshape(count, len(contexts))
    bend_c = cross.sum(axis=0)
    if len(evidence.winner):
        scale = _choice_noise(noise, evidence)
        apart = (quality[evidence.winner] - quality[evidence.loser]) / scale
        ratio = _pdf(apart) / np.maximum(_cdf(apart), 1e-12)
        pull = ratio / scale * evidence.choice_weight
        slope += np.bincount(evidence.winner, pull, count)
        slope -= np.bincount(evidence.loser, pull, count)
        weight = np.maximum(ratio * (ratio + apart), 1e-9) / scale**2 * evidence.choice_weight
        np.add.at(bend, (evidence.winner, evidence.winner), weight)
        np.add.at(bend, (evidence.loser, evidence.loser), weight)
        np.add.at(bend, (evidence.winner, evidence.loser), -weight)
        np.add.at(bend, (evidence.loser, evidence.winner), -weight)
    return slope, bend, slope_c, bend_c, cross


def _bounds(rating: Array, located: Array, noise: float) -> tuple[Array, Array]:
    """Return where a rating ends and begins, in units of the noise from the quality."""
    upper = np.where(rating >= HIGHEST, np.inf, (rating + 0.5 - located) / noise)
    below = np.where(rating <= LOWEST, -np.inf, (rating - 0.5 - located) / noise)
    return upper, below


def _choice_noise(noise: float, evidence: Evidence) -> Array:
    """Return each choice's noise: two pictures' own, and their contexts' where these differ."""
    apart = np.where(evidence.same, 0.0, 2.0 * _CONTEXT_SPREAD**2)
    return np.asarray(np.sqrt(2.0 * noise**2 + apart))


def _pdf(x: Array) -> Array:
    return np.asarray(np.exp(-0.5 * np.square(np.clip(x, -40.0, 40.0))) / math.sqrt(2.0 * math.pi))


def _times(x: Array, density: Array) -> Array:
    return np.where(np.isfinite(x), x, 0.0) * density


_ERFC = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)


def _cdf(x: Array) -> Array:
    """Return the normal distribution function, to 1.5e-7 (Abramowitz and Stegun, 7.1.26)."""
    z = np.abs(np.clip(x, -40.0, 40.0)) / math.sqrt(2.0)
    t = 1.0 / (1.0 + 0.3275911 * z)
    powers = np.zeros_like(t)
    for factor in _ERFC:
        powers = (powers + factor) * t
    tail = 0.5 * powers * np.exp(-z * z)
    return np.where(x >= 0, 1.0 - tail, tail)
