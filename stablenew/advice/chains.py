"""Chains that draw what a person likes: impressions, strengths and weights in turn.

A Gibbs sampler of data augmentation: each judgement's impression is drawn from between its bounds
(Albert and Chib, "Bayesian analysis of binary and polychotomous response data", JASA 88, 1993),
then strengths given the impressions with the weights integrated out, then the weights. The chains
are kept between suggestions: they need no new beginning for a few more ratings.
"""

from __future__ import annotations

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
    """

    strengths: Strengths
    weights: Array | None = None


@attrs.frozen(eq=False)
class Rounds:
    """What some rounds drew.

    Attributes:
        weights: A draw a row.
        expected: For each the mean of its weights given its impressions and strengths.
        matters: For each whether each setting does.
        noise: For each the spread of a rating's noise.
    """

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
        random: Where draws come from.
    """
    moving = np.arange(next((each for most, each in _MOVING if rows.count <= most), _FEWEST))
    strengths = chains.strengths.rows(moving)
    strength_prior = StrengthPrior(features, prior, idle=idle)
    solver = solver_of(features, rows, prior, strength_prior, asked)
    solved = solver.solve(strengths)
    impressions = _begun(chains, rows, prior, len(moving))
    kept: list[tuple[Drawn, Strengths]] = []
    for number in range(settling + rounds):
        spread = solved.noise[:, None] * rows.scale
        y = draw_between(impressions, spread, rows.low, rows.high, random)
        for half in _halves(len(moving)):
            _step(strengths, half, solver, solved, strength_prior, y, random)
        drawn = solver.draw(solved, y, random)
        impressions = drawn.impressions
        if number >= settling:
            kept.append((drawn, strengths.rows(slice(None)).copy()))
    chains.strengths.put(moving, strengths)
    repeats = -(-len(chains.strengths.logs) // len(moving))
    chains.weights = np.tile(drawn.weights, (repeats, 1))[: len(chains.strengths.logs)]
    return Rounds(
        weights=np.concatenate([each.weights for each, _ in kept]),
        expected=np.concatenate([each.expected for each, _ in kept]),
        matters=np.concatenate([each.matters for _, each in kept]),
        noise=np.concatenate([each.noise for _, each in kept]),
    )


def _begun(chains: Chains, rows: Judgements, prior: Prior, count: int) -> Array:
    """Return impressions to begin with: by earlier weights, or half-way between the bounds."""
    if chains.weights is not None and chains.weights.shape[1] == rows.columns.shape[1]:
        return np.asarray(chains.weights[:count] @ rows.columns.T)
    low = np.where(np.isfinite(rows.low), rows.low, rows.high - 1.0)
    high = np.where(np.isfinite(rows.high), rows.high, rows.low + 1.0)
    bounded = np.isfinite(rows.low) | np.isfinite(rows.high)
    middle = (np.where(bounded, low, prior.middle) + np.where(bounded, high, prior.middle)) / 2.0
    return np.tile(middle, (count, 1))


def _halves(count: int) -> tuple[Numbers, Numbers]:
    """Return the two halves of the chains; each moves by the differences within the other."""
    every = np.arange(count)
    return every[: count // 2], every[count // 2 :]


def _step(
    strengths: Strengths,
    half: Numbers,
    solver: Solver,
    solved: Solved,
    prior: StrengthPrior,
    y: Array,
    random: np.random.Generator,
) -> None:
    """Propose strengths to half of the chains, and take what explains the impressions."""
    others = np.setdiff1d(np.arange(len(y)), half)
    now = strengths.rows(half)
    proposal, by_prior = prior.proposed(now, strengths.rows(others), random)
    found = solver.solve(proposal)
    before = solver.log_likelihood(solved.rows(slice(half[0], half[-1] + 1)), y[half])
    gain = solver.log_likelihood(found, y[half]) - before + by_prior
    taken = np.flatnonzero(np.log(random.random(len(half))) < gain)
    strengths.put(half[taken], proposal.rows(taken))
    solved.put(half[taken], found, taken)
