"""How much settings matter, how smooth they are, how noisy the person is: one guess for each chain.

Nothing of this is fixed; it is averaged over by Metropolis steps, some from chain to chain (ter
Braak, "A Markov chain Monte Carlo version of the genetic algorithm differential evolution: easy
Bayesian computing for real parameter spaces", Statistics and Computing 16, 2006). The spread of all
settings together is shared out over them, so that five of them do not make the quality vary by more
than one does beforehand.
"""

from __future__ import annotations

import math

import attrs
import numpy as np
from numpy.typing import NDArray

from stablenew.advice.features import Features, wave_shares, waves_of
from stablenew.advice.priors import Prior

Array = NDArray[np.float64]
Numbers = NDArray[np.intp]
Flags = NDArray[np.bool_]

_BY_DIFFERENCE, _BY_STEP = 0.45, 0.8
"""Shares of the ways to propose: by a difference of two others, by a step of its own, afresh."""

_AT_ONCE = 2.5
_MATTERS = 0.09
"""The strength below which a setting does not matter."""


@attrs.define(eq=False)
class Strengths:
    """One row for each chain.

    Attributes:
        logs: The logarithms of each setting's strength, of the pairs' share, and of the noise.
        length: For each setting which of the prior's `smoothness` it has.
        bet: For each setting whether its ends are rarely the best.
        idle: For each setting whether it is drawn as one that does not matter.
    """

    logs: Array
    length: Numbers
    bet: Flags
    idle: Flags

    def rows(self, of: Numbers | slice) -> Strengths:
        """Return those of some chains."""
        return Strengths(self.logs[of], self.length[of], self.bet[of], self.idle[of])

    def copy(self) -> Strengths:
        """Return the same, to keep."""
        return Strengths(self.logs.copy(), self.length.copy(), self.bet.copy(), self.idle.copy())

    def put(self, of: Numbers, other: Strengths) -> None:
        """Replace those of some chains."""
        self.logs[of], self.length[of] = other.logs, other.length
        self.bet[of], self.idle[of] = other.bet, other.idle

    @property
    def noise(self) -> Array:
        """The spread of a rating's noise."""
        return np.exp(self.logs[:, -1])

    @property
    def matters(self) -> Flags:
        """For each setting whether it does."""
        return np.exp(self.logs[:, :-2]) > _MATTERS


class StrengthPrior:
    """What is believed of strengths, and what follows from them for the columns.

    Args:
        features: The columns.
        prior: The numbers.
        idle: Whether settings may be such that do not matter: to tell that, not to search.
    """

    def __init__(self, features: Features, prior: Prior, *, idle: bool) -> None:
        self._features = features
        self._prior = prior
        d = len(features.axes)
        self.count = d
        self._idle_share = prior.idle_share if idle else 0.0
        own = math.log(prior.together / math.sqrt(max(d, 1)))
        self._centre = np.array([own] * d + [math.log(prior.pairs), math.log(prior.noise)])
        self._spread = np.array(
            [prior.strength_factor] * d + [prior.pairs_factor, prior.noise_factor]
        )
        shares = np.array(prior.smoothness_shares)
        self._shares = shares / shares.sum()
        self._own_waves, self._pair_waves = (
            self._wave_logs(in_pairs=each) for each in (False, True)
        )

    def _wave_logs(self, *, in_pairs: bool) -> Array:
        """Return the logarithms of variances by setting, length and wave."""
        lengths = self._prior.smoothness
        found = np.zeros((max(self.count, 1), len(lengths), 6))
        for j, axis in enumerate(self._features.axes):
            if not axis.names:
                waves = waves_of(axis, in_pairs=in_pairs)
                found[j, :, :waves] = np.log(wave_shares(lengths, waves))
        return found

    def drawn(self, chains: int, random: np.random.Generator) -> Strengths:
        """Return strengths from the prior."""
        d = self.count
        idle = random.random((chains, d)) < self._idle_share
        centre, spread = self._moments(idle)
        return Strengths(
            logs=centre + spread * random.standard_normal((chains, d + 2)),
            length=random.choice(len(self._shares), (chains, d), p=self._shares),
            bet=random.random((chains, d)) < self._prior.hump_share,
            idle=idle,
        )

    def _moments(self, idle: Flags) -> tuple[Array, Array]:
        chains = len(idle)
        centre, spread = (np.tile(each, (chains, 1)) for each in (self._centre, self._spread))
        if self._idle_share:
            centre[:, : self.count][idle] = math.log(self._prior.idle)
            spread[:, : self.count][idle] = self._prior.idle_factor
        return centre, spread

    def proposed(
        self, now: Strengths, others: Strengths, random: np.random.Generator
    ) -> tuple[Strengths, Array]:
        """Return a proposal for each chain, and what else counts for taking it, as a logarithm.

        A proposal that is drawn afresh counts by its likelihood alone, any other by its prior, too.
        """
        chains, d = now.length.shape
        fresh = self.drawn(chains, random)
        chosen = random.random((chains, d + 2)) < _AT_ONCE / (d + 2)
        chosen[np.arange(chains), random.integers(d + 2, size=chains)] = True
        way = random.random((chains, 1))
        one, other = (others.logs[random.integers(len(others.logs), size=chains)] for _ in "ab")
        reach = 2.38 / np.sqrt(2.0 * chosen.sum(axis=1, keepdims=True))
        jitter = random.standard_normal((chains, d + 2))
        moved = now.logs + np.where(
            way < _BY_DIFFERENCE, reach * (one - other) + 0.02 * jitter, 0.5 * self._spread * jitter
        )
        # What is idle, or is to be, is always drawn afresh: its strength lies elsewhere.
        switching = (fresh.idle != now.idle) & chosen[:, :d]
        afresh = np.broadcast_to(way >= _BY_STEP, (chains, d + 2)).copy()
        afresh[:, :d] |= switching | now.idle
        proposal = Strengths(
            logs=np.where(chosen, np.where(afresh, fresh.logs, moved), now.logs),
            length=np.where(chosen[:, :d] & (random.random((chains, d)) < 0.5), fresh.length,
                            now.length),
            bet=np.where(chosen[:, :d], fresh.bet, now.bet),
            idle=np.where(chosen[:, :d], fresh.idle, now.idle),
        )  # fmt: skip
        counted = chosen & ~afresh
        centre, spread = self._moments(now.idle)
        change = ((now.logs - centre) ** 2 - (proposal.logs - centre) ** 2) / (2.0 * spread**2)
        return proposal, np.asarray((change * counted).sum(axis=1))

    def variances(self, strengths: Strengths) -> Array:
        """Return for each chain the prior variance of each column's weight."""
        f, prior = self._features, self._prior
        logs, length = strengths.logs, strengths.length
        found = np.empty((len(logs), f.count))
        found[:, 0] = prior.middle_spread**2
        own, humps, pairs = f.own, f.humps, slice(f.humps.stop, f.count)
        j = f.first[own]
        found[:, own] = np.exp(2.0 * logs[:, j] + self._own_waves[j, length[:, j], f.wave[own]])
        found[:, humps] = np.where(self._bet(strengths), prior.hump_spread, 0.05) ** 2
        j, k = f.first[pairs], f.second[pairs]
        waves = self._pair_waves[j, length[:, j], f.wave[pairs]]
        waves = waves + self._pair_waves[k, length[:, k], f.wave_of_second[pairs]]
        found[:, pairs] = np.exp(2.0 * logs[:, -2:-1] + logs[:, j] + logs[:, k] + waves)
        return found

    def tastes(self, strengths: Strengths) -> Array:
        """Return the same for what one prompt likes differently about each setting."""
        f = self._features
        j = f.first[f.own]
        waves = self._own_waves[j, strengths.length[:, j], f.wave[f.own]]
        return np.asarray(self._prior.taste**2 * np.exp(strengths.logs[:, j] + waves))

    def means(self, strengths: Strengths) -> Array:
        """Return for each chain the prior mean of each column's weight."""
        f = self._features
        found = np.zeros((len(strengths.logs), f.count))
        found[:, 0] = self._prior.middle
        found[:, f.humps] = np.where(self._bet(strengths), self._prior.hump, 0.0)
        return found

    def _bet(self, strengths: Strengths) -> Flags:
        """Return for each hump whether it is believed in: of what does not matter, never."""
        where = self._features.first[self._features.humps]
        return np.asarray(strengths.bet[:, where] & strengths.matters[:, where])
