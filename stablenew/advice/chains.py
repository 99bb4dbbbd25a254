"""Chains that draw what a person likes: impressions, strengths and weights in turn.

A Gibbs sampler of data augmentation: each judgement's impression is drawn from between its bounds
(Albert and Chib, "Bayesian analysis of binary and polychotomous response data", JASA 88, 1993),
then strengths given the impressions with the weights integrated out, then the weights. The chains
are kept between suggestions: they need no new beginning for a few more ratings.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import numpy as np
from numpy.typing import NDArray

from stablenew.advice.features import Features
from stablenew.advice.judgements import MOST_EXACT, Judgements
from stablenew.advice.normal import draw_between
from stablenew.advice.priors import Prior
from stablenew.advice.strengths import StrengthPrior, Strengths
from stablenew.advice.weights import Drawn, Solved, Solver, solver_of

Array = NDArray[np.float64]
Numbers = NDArray[np.intp]

CHAINS = 12
"""How many there are."""

_MOVING = ((100, 12), (MOST_EXACT, 6))
"""Up to so many judgements so many chains move; of more, the fewest that can."""

_FEWEST = 4


@attrs.define(eq=False)
class Chains:
    """Where the chains are.

    Attributes:
        strengths: Of every chain.
        weights: Of every chain; None before the first round.
        impressions: Of each judgement that they were last moved by, without its noise; of those
            chains that moved.
        rated: How many of these are ratings; the rest are choices.
    """

    strengths: Strengths
    weights: Array | None = None
    impressions: Array = attrs.field(factory=lambda: np.zeros((0, 0)))
    rated: int = 0

    @property
    def known(self) -> int:
        """How many judgements they were last moved by."""
        return int(self.impressions.shape[1])

    def copy(self) -> Chains:
        """Return the same, to keep."""
        return attrs.evolve(self, strengths=self.strengths.copy())


@attrs.frozen(eq=False)
class Rounds:
    """What some rounds drew.

    Attributes:
        begun: Where the chains were before the first of them.
        weights: A draw a row.
        expected: For each the mean of its weights given its impressions and strengths.
        matters: For each whether each setting does.
        noise: For each the spread of a rating's noise.
    """

    begun: Chains
    weights: Array
    expected: Array
    matters: NDArray[np.bool_]
    noise: Array


def run_chains(
    chains: Chains,
    features: Features,
    rows: Judgements,
    prior: Prior,
    asked: Array,
    *,
    settling: int,
    rounds: int,
    idle: bool,
    settling_random: np.random.Generator,
    random: np.random.Generator,
) -> Rounds:
    """Move chains on, and return what the rounds after the settling drew.

    Args:
        chains: Where they are; changed.
        features: The columns.
        rows: The judgements.
        prior: The numbers.
        asked: How much each prompt counts in what is asked for.
        settling: Rounds that are not kept.
        rounds: Rounds that are.
        idle: Whether settings may be such that do not matter.
        settling_random: Where the draws of the settling come from.
        random: Where those of the rounds come from: begun anew where the settling ended, and with
            the same, they are the same.
    """
    moving = np.arange(next((each for most, each in _MOVING if rows.count <= most), _FEWEST))
    strengths = chains.strengths.rows(moving)
    strength_prior = StrengthPrior(features, prior, idle=idle)
    solver = solver_of(features, rows, prior, strength_prior, asked)
    walk = _Walk(strengths, strength_prior, solver, rows, solver.solve(strengths).inverted())
    if settling:
        impressions = _begun(chains, rows, prior, len(moving))
        *_, drawn = walk.rounds(settling, impressions, settling_random)
        _put(chains, moving, strengths, drawn, rows.rated)
    impressions = _begun(chains, rows, prior, len(moving))
    chains.impressions, chains.rated = impressions, rows.rated
    begun = chains.copy()
    kept = [(drawn, strengths.copy()) for drawn in walk.rounds(rounds, impressions, random)]
    _put(chains, moving, strengths, kept[-1][0], rows.rated)
    return Rounds(
        begun=begun,
        weights=np.concatenate([each.weights for each, _ in kept]),
        expected=np.concatenate([each.expected for each, _ in kept]),
        matters=np.concatenate([each.matters for _, each in kept]),
        noise=np.concatenate([each.noise for _, each in kept]),
    )


def _put(chains: Chains, moving: Numbers, strengths: Strengths, drawn: Drawn, rated: int) -> None:
    """Say where chains are now; those that did not move take the weights of those that did."""
    count = len(chains.strengths.logs)
    chains.strengths.put(moving, strengths)
    chains.weights = np.tile(drawn.weights, (-(-count // len(moving)), 1))[:count]
    chains.impressions, chains.rated = drawn.impressions, rated


def _begun(chains: Chains, rows: Judgements, prior: Prior, count: int) -> Array:
    """Return impressions to begin with: those that were left, else by weights or half-way."""
    if chains.weights is None:
        return np.tile(_half_way(rows, prior), (count, 1))
    found = chains.weights[:count] @ rows.columns.T
    left, rated = chains.impressions, chains.rated
    chosen = left.shape[1] - rated
    fits = rated <= rows.rated and chosen <= rows.count - rows.rated and len(left) >= count
    if fits:  # what was said since stands behind the ratings, and behind the choices
        found[:, :rated] = left[:count, :rated]
        found[:, rows.rated : rows.rated + chosen] = left[:count, rated:]
    return np.asarray(found)


def _half_way(rows: Judgements, prior: Prior) -> Array:
    """Return what lies half-way between the bounds of each judgement."""
    low = np.where(np.isfinite(rows.low), rows.low, rows.high - 1.0)
    high = np.where(np.isfinite(rows.high), rows.high, rows.low + 1.0)
    bounded = np.isfinite(rows.low) | np.isfinite(rows.high)
    return np.asarray(
        (np.where(bounded, low, prior.middle) + np.where(bounded, high, prior.middle)) / 2.0
    )


def _halves(count: int) -> tuple[tuple[Numbers, Numbers], ...]:
    """Return each half of the chains, and the other: it moves by the differences within that."""
    every = np.arange(count)
    one, other = every[: count // 2], every[count // 2 :]
    return (one, other), (other, one)


@attrs.define(eq=False)
class _Walk:
    """Chains on their way.

    Attributes:
        strengths: Where they are; changed.
        prior: The prior of strengths.
        solver: Draws weights.
        judgements: What they explain.
        solved: What follows from the strengths.
    """

    strengths: Strengths
    prior: StrengthPrior
    solver: Solver
    judgements: Judgements
    solved: Solved

    def rounds(
        self, count: int, impressions: Array, random: np.random.Generator
    ) -> Iterator[Drawn]:
        """Yield what each round draws.

        Args:
            count: How many.
            impressions: Of each judgement, without its noise, before the first.
            random: Where draws come from.
        """
        rows = self.judgements
        for _ in range(count):
            spread = self.solved.noise[:, None] * rows.scale
            y = draw_between(impressions, spread, rows.low, rows.high, random)
            for half, others in _halves(len(y)):
                self._step(half, others, y, random)
            drawn = self.solver.draw(self.solved, y, random)
            impressions = drawn.impressions
            yield drawn

    def _step(self, half: Numbers, others: Numbers, y: Array, random: np.random.Generator) -> None:
        """Propose strengths to half of the chains, and take what explains the impressions."""
        now = self.strengths.rows(half)
        proposal, by_prior = self.prior.proposed(now, self.strengths.rows(others), random)
        found = self.solver.solve(proposal)
        own = self.solved.rows(slice(half[0], half[-1] + 1))
        before = self.solver.log_likelihood(own, y[half])
        gain = self.solver.log_likelihood(found, y[half]) - before + by_prior
        taken = np.flatnonzero(np.log(random.random(len(half))) < gain)
        self.strengths.put(half[taken], proposal.rows(taken))
        self.solved.put(half[taken], found, taken)
