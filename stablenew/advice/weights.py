"""The weights of the columns given impressions and strengths: exactly, in the smaller space.

With impressions y = X w + effects + noise and a normal prior of w, the weights are drawn by
Matheron's rule: one draw from the prior, moved by how far its impressions are off (Bhattacharya,
Chakraborty and Mallick, "Fast sampling with Gaussian scale mixture priors in high-dimensional
regression", Biometrika 103, 2016; Wilson et al., "Efficiently sampling functions from Gaussian
process posteriors", ICML 2020). Where there are more judgements than columns, the same is done with
the precision matrix of the weights. How well strengths explain the impressions, the weights
integrated out, is a by-product of either.
"""

from __future__ import annotations

from typing import Protocol

import attrs
import numpy as np
from numpy.typing import NDArray

from stablenew.advice.features import Features
from stablenew.advice.judgements import MOST_EXACT, Judgements
from stablenew.advice.priors import Prior
from stablenew.advice.strengths import StrengthPrior, Strengths

Array = NDArray[np.float64]

_TASTES, _TASTE_COLUMNS = 6, 120
"""Prompts that have a taste of their own there: those with the most judgements; and how many
columns that may take: forty names would be as many for each prompt."""

_TASTE_WAVES = 2
"""Cosines of a taste there."""


@attrs.define(eq=False)
class Solved:
    """What follows from strengths, one row for each chain.

    Attributes:
        mean: The prior means of the weights.
        variance: Their prior variances.
        taste: The prior variances of a prompt's taste.
        noise: The spread of a rating's noise.
        matrix: The covariance of the impressions, or the precision of the weights.
        log_volume: The logarithm of the covariance's determinant.
        inverse: Of the matrix; only of what was taken, as most proposals are not.
    """

    mean: Array
    variance: Array
    taste: Array
    noise: Array
    matrix: Array
    log_volume: Array
    inverse: Array | None = None

    def inverted(self) -> Solved:
        """Return the same with the inverse: of chains that will be drawn from."""
        return attrs.evolve(self, inverse=np.asarray(np.linalg.inv(self.matrix), dtype=np.float64))

    def put(self, of: NDArray[np.intp], other: Solved, take: NDArray[np.intp]) -> None:
        """Replace some chains' by some of another one."""
        for name in _EACH:
            getattr(self, name)[of] = getattr(other, name)[take]
        if self.inverse is not None:
            self.inverse[of] = np.linalg.inv(other.matrix[take])

    def rows(self, of: slice) -> Solved:
        """Return those of some chains."""
        inverse = None if self.inverse is None else self.inverse[of]
        return Solved(**{name: getattr(self, name)[of] for name in _EACH}, inverse=inverse)

    def through(self, vectors: Array) -> Array:
        """Return each chain's inverse times its vector."""
        if self.inverse is None:
            return np.asarray(np.linalg.solve(self.matrix, vectors[:, :, None])[:, :, 0])
        return np.asarray(np.matmul(self.inverse, vectors[:, :, None])[:, :, 0])


_EACH = ("mean", "variance", "taste", "noise", "matrix", "log_volume")


@attrs.frozen(eq=False)
class Drawn:
    """Weights of the quality for the prompts that are asked for, a row for each chain.

    Attributes:
        weights: A draw.
        expected: Their mean, given the impressions and the strengths.
        impressions: Of each judgement, without its noise.
    """

    weights: Array
    expected: Array
    impressions: Array


class Solver(Protocol):
    """Draws weights."""

    def solve(self, strengths: Strengths) -> Solved:
        """Return what follows from strengths."""
        ...

    def log_likelihood(self, solved: Solved, y: Array) -> Array:
        """Return how well strengths explain impressions, but for a constant."""
        ...

    def draw(self, solved: Solved, y: Array, random: np.random.Generator) -> Drawn:
        """Return weights given impressions."""
        ...


def solver_of(
    features: Features, rows: Judgements, prior: Prior, strengths: StrengthPrior, asked: Array
) -> Solver:
    """Return the solver that has less to do.

    Args:
        features: The columns.
        rows: The judgements.
        prior: The numbers.
        strengths: The prior of strengths.
        asked: How much each prompt counts in what is asked for; the sum is 1, or there is none.
    """
    columns = features.count + rows.prompts.shape[1] + rows.takes.shape[1]
    kind = _ByJudgement if rows.count <= min(columns, MOST_EXACT) else _ByColumn
    return kind(features, rows, prior, strengths, asked)


def _dot(chains: Array, matrix: Array) -> Array:
    return np.asarray(chains @ matrix)


def _log_det(matrices: Array) -> Array:
    roots = np.linalg.cholesky(matrices)
    return np.asarray(2.0 * np.log(np.diagonal(roots, axis1=1, axis2=2)).sum(axis=1))


class _ByJudgement:
    """In the space of the judgements: a covariance of each with each.

    There are few, and every prompt and seed has an effect of its own.
    """

    def __init__(
        self,
        features: Features,
        rows: Judgements,
        prior: Prior,
        strengths: StrengthPrior,
        asked: Array,
    ) -> None:
        self._rows, self._prior, self._strengths, self._asked = rows, prior, strengths, asked
        self._own = features.own
        has = rows.prompt >= 0
        self._of_taste = rows.columns[:, features.own] * has[:, None]
        self._same = (rows.prompt[:, None] == rows.prompt[None, :]) & has & has[:, None]
        effects = prior.prompt**2 * rows.prompts @ rows.prompts.T
        effects += prior.take**2 * rows.takes @ rows.takes.T
        self._effects = effects
        self._where = np.maximum(rows.prompt, 0)

    def solve(self, strengths: Strengths) -> Solved:
        columns, prior = self._rows.columns, self._strengths
        variance, taste = prior.variances(strengths), prior.tastes(strengths)
        covariance = np.matmul(columns * variance[:, None, :], columns.T)
        covariance += np.matmul(self._of_taste * taste[:, None, :], self._of_taste.T) * self._same
        covariance += self._effects
        at = np.arange(self._rows.count)
        covariance[:, at, at] += (strengths.noise[:, None] * self._rows.scale) ** 2
        return Solved(
            mean=prior.means(strengths),
            variance=variance,
            taste=taste,
            noise=strengths.noise.copy(),
            matrix=covariance,
            log_volume=_log_det(covariance),
        )

    def log_likelihood(self, solved: Solved, y: Array) -> Array:
        off = y - _dot(solved.mean, self._rows.columns.T)
        explained = (solved.through(off) * off).sum(axis=1)
        return np.asarray(-0.5 * (explained + solved.log_volume))

    def draw(self, solved: Solved, y: Array, random: np.random.Generator) -> Drawn:
        rows, prior, columns = self._rows, self._prior, self._rows.columns
        chains, n = y.shape
        w = solved.mean + np.sqrt(solved.variance) * random.standard_normal(solved.mean.shape)
        prompts = rows.prompts.shape[1]
        own = self._of_taste.shape[1]
        tastes = random.standard_normal((chains, prompts, own)) * np.sqrt(solved.taste)[:, None]
        b = prior.prompt * random.standard_normal((chains, prompts))
        t = prior.take * random.standard_normal((chains, rows.takes.shape[1]))
        sigma = solved.noise[:, None] * rows.scale
        noise = sigma * random.standard_normal((chains, n))
        prior_y = _dot(w, columns.T) + _dot(b, rows.prompts.T) + _dot(t, rows.takes.T) + noise
        if prompts:
            prior_y += np.einsum("nm,cnm->cn", self._of_taste, tastes[:, self._where])
        z = solved.through(y - prior_y)
        z_mean = solved.through(y - _dot(solved.mean, columns.T))
        w += solved.variance * _dot(z, columns)
        expected = solved.mean + solved.variance * _dot(z_mean, columns)
        if prompts:  # what is asked for: this share of each prompt's taste
            share = self._asked[self._where][:, None] * self._of_taste
            w[:, self._own] += np.einsum("p,cpm->cm", self._asked, tastes)
            w[:, self._own] += solved.taste * _dot(z, share)
            expected[:, self._own] += solved.taste * _dot(z_mean, share)
        return Drawn(w, expected, y - noise - sigma**2 * z)


class _ByColumn:
    """In the space of the columns: a precision of each with each, prompts and seeds among them."""

    def __init__(
        self,
        features: Features,
        rows: Judgements,
        prior: Prior,
        strengths: StrengthPrior,
        asked: Array,
    ) -> None:
        self._rows, self._strengths, self._asked = rows, strengths, asked
        self._features = features
        first = np.arange(features.count)[features.own]
        self._tasted = first[features.wave[features.own] < _TASTE_WAVES]
        most = min(_TASTES, _TASTE_COLUMNS // max(len(self._tasted), 1))
        many = rows.prompts.shape[1] > 1
        self._tasting = min(most, rows.prompts.shape[1]) if many else 0
        tastes = [rows.columns[:, self._tasted] * (rows.prompt == p)[:, None]
                  for p in range(self._tasting)]  # fmt: skip
        self._X = np.concatenate([rows.columns, rows.prompts, rows.takes, *tastes], axis=1)
        effects = (rows.prompts.shape[1], prior.prompt), (rows.takes.shape[1], prior.take)
        self._of_effects = np.concatenate([np.full(count, size**2) for count, size in effects])
        # As complex numbers: those are sorted without Python's lock, rows of a table with it.
        kinds, self._kind = np.unique(rows.scale**2 + 1j * rows.extra, return_inverse=True)
        self._kinds = np.stack([kinds.real, kinds.imag])
        self._products = np.stack(
            [self._X[self._kind == k].T @ self._X[self._kind == k] for k in range(len(kinds))]
        )

    def solve(self, strengths: Strengths) -> Solved:
        prior, chains = self._strengths, len(strengths.logs)
        taste = prior.tastes(strengths)
        tasted = taste[:, self._tasted - self._features.own.start]
        effects = np.tile(self._of_effects, (chains, 1))
        variance = np.concatenate(
            [prior.variances(strengths), effects, np.tile(tasted, (1, self._tasting))], axis=1
        )
        mean = np.zeros_like(variance)
        mean[:, : self._features.count] = prior.means(strengths)
        of_kind = 1.0 / (strengths.noise[:, None] ** 2 * self._kinds[0] + self._kinds[1])
        precision = np.tensordot(of_kind, self._products, axes=1)
        at = np.arange(variance.shape[1])
        precision[:, at, at] += 1.0 / variance
        counts = np.bincount(self._kind, minlength=self._kinds.shape[1])
        volume = _log_det(precision) + np.log(variance).sum(axis=1) - np.log(of_kind) @ counts
        return Solved(
            mean=mean,
            variance=variance,
            taste=taste,
            noise=strengths.noise.copy(),
            matrix=precision,
            log_volume=volume,
        )

    def log_likelihood(self, solved: Solved, y: Array) -> Array:
        off = y - _dot(solved.mean, self._X.T)
        weighed = off / self._noise(solved)
        through = _dot(weighed, self._X)
        explained = (solved.through(through) * through).sum(axis=1)
        left = (weighed * off).sum(axis=1) - explained
        return np.asarray(-0.5 * (left + solved.log_volume))

    def _noise(self, solved: Solved) -> Array:
        """Return the variance of each judgement's noise, with what has no effect of its own."""
        return solved.noise[:, None] ** 2 * self._rows.scale**2 + self._rows.extra

    def draw(self, solved: Solved, y: Array, random: np.random.Generator) -> Drawn:
        noise = self._noise(solved)
        pull = _dot((y - _dot(solved.mean, self._X.T)) / noise, self._X)
        stir = _dot(random.standard_normal(y.shape) / np.sqrt(noise), self._X)
        stir += random.standard_normal(pull.shape) / np.sqrt(solved.variance)
        expected = solved.mean + solved.through(pull)
        w = expected + solved.through(stir)
        impressions = _dot(w, self._X.T)
        unseen = self._rows.extra / noise  # what its own prompt and seed add, given the rest
        left = unseen * (y - impressions)
        spread = np.sqrt(unseen * solved.noise[:, None] ** 2) * self._rows.scale
        impressions += left + spread * random.standard_normal(y.shape)
        return Drawn(self._asked_of(w), self._asked_of(expected), impressions)

    def _asked_of(self, w: Array) -> Array:
        """Return the weights of the quality, with the share of each taste that is asked for."""
        count = self._features.count
        found = w[:, :count].copy()
        if self._tasting:
            size = len(self._tasted)
            tastes = w[:, -self._tasting * size :].reshape(len(w), self._tasting, size)
            share = self._asked[: self._tasting]
            found[:, self._tasted] += np.einsum("p,cpm->cm", share, tastes)
        return found
