"""The joint model: what a person likes, as one function of all settings at once.

The quality of a configuration x is a sum of a middle, what each setting does by itself, what two do
together, and for a number that its ends are rarely its best:

    q(x) = μ + Σ_j f_j(x_j) + Σ_{j<k} f_jk(x_j, x_k) + Σ_j c_j h(u_j)

    μ    ~ N(middle, middle_spread²)
    f_j  : weights ~ N(0, s_j² λ_m)             log s_j ~ N(log(together / √d), strength_factor²)
    f_jk : weights ~ N(0, ρ² s_j s_k λ_m λ_n)   log ρ ~ N(log pairs, pairs_factor²)
    c_j  ~ N(lost, spread²) where the bet holds for setting j, about 0 where it does not

with the columns of `features` and the numbers of `priors.toml`. A picture of prompt p and seed t
adds b_p ~ N(0, prompt²), a taste of its prompt, weights ~ N(0, taste² s_j λ_m), and t_pt ~ N(0,
take²). Its rating says between which marks q and all that, plus noise, lay; see `judgements`. What
is asked for is the average prompt: q and the mean of the tastes.

The spread that all settings share is in the spirit of Hvarfner, Hellsten and Nardi ("Vanilla
Bayesian optimization performs great in high dimensions", ICML 2024); averaging over strengths
instead of picking them, of Eriksson and Jankowiak ("High-dimensional Bayesian optimization with
sparse axis-aligned subspaces", UAI 2021).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from stablenew._blas import one_blas_thread
from stablenew.advice.chains import CHAINS, Chains, Rounds, run_chains
from stablenew.advice.features import Features
from stablenew.advice.judgements import MOST_EXACT, Chosen, Judgements, Rated, judgements_of
from stablenew.advice.priors import Prior, read_priors
from stablenew.advice.setting_axis import SettingAxis
from stablenew.advice.strengths import StrengthPrior, Strengths
from stablenew.errors import ConfigError

Array = NDArray[np.float64]

STATE_VERSION = 3

_WIDENED = 1.4
"""What draws are widened by before anything is told: as drawn, nine of ten intervals hold 8."""

_SETTLING, _SETTLING_OF_MANY = 30, 4
_ROUNDS, _ROUNDS_OF_MANY = 8, 4
_IDLE_ROUNDS, _IDLE_ROUNDS_OF_MANY = 30, 10
_SETTLING_AGAIN, _MUCH_NEW = 8, 1.5
"""Rounds that chains settle again once there are so many times the judgements they know."""

_USES = ("begun", "settling", "rounds")


@attrs.frozen(eq=False)
class Draws:
    """Draws of the quality function, from which everything is told and asked.

    Attributes:
        features: What their weights are of.
        weights: One draw a row; their mean is the mean of what each chain expects.
        noise: The spread of a rating's noise.
    """

    features: Features
    weights: Array
    noise: float

    @property
    def mean(self) -> Array:
        """The mean of the weights."""
        return np.asarray(self.weights.mean(axis=0))

    def quality(self, rows: Array) -> Array:
        """Return the quality of configurations: a draw a row, a configuration a column."""
        return np.asarray(self.weights @ self.features.of(rows).T)

    def widened(self) -> Draws:
        """Return the draws as they are told: as far from their mean as was measured to be right."""
        mean = self.mean
        return attrs.evolve(self, weights=mean + _WIDENED * (self.weights - mean))


class JointModel:
    """What is known of a person; see the module.

    Args:
        axes: The settings that are looked at.
        prior: What is believed beforehand; that of `priors.toml` if not given.
        seed: The same seed, ratings and calls give the same draws.
    """

    def __init__(
        self, axes: Sequence[SettingAxis], prior: Prior | None = None, *, seed: int = 0
    ) -> None:
        self.features = Features(tuple(axes))
        self.prior = prior or read_priors()
        self.ratings: list[Rated] = []
        self.choices: list[Chosen] = []
        self._seed = seed
        self._fits = 0
        self._chains: Chains | None = None
        self._idle_chains: Chains | None = None
        self._begun: Chains | None = None
        self._rows: Judgements | None = None

    @property
    def axes(self) -> tuple[SettingAxis, ...]:
        """The settings that are looked at."""
        return self.features.axes

    @property
    def count(self) -> int:
        """How many ratings and choices it was told."""
        return len(self.ratings) + len(self.choices)

    def tell(self, ratings: Iterable[Rated] = (), choices: Iterable[Chosen] = ()) -> None:
        """Take up what was said; nothing is fitted yet."""
        self.ratings += ratings
        self.choices += choices
        self._rows = None

    def fit(
        self,
        *,
        asked: Mapping[Hashable, float] | None = None,
        settling: int | None = None,
        rounds: int | None = None,
    ) -> Draws:
        """Return draws, and keep the chains so that the next fit has less to do.

        Args:
            asked: How much each prompt counts in what is asked for; all the same if not given.
            settling: Rounds before the first that is kept; if not given, so many as it takes.
            rounds: Rounds that are kept.
        """
        if settling is None:
            settling = self._settling(self._chains)
        many = self.count > MOST_EXACT
        self._chains = self._chains or self._drawn(idle=False)
        rounds = rounds or (_ROUNDS_OF_MANY if many else _ROUNDS)
        found = self._run(self._chains, asked, settling, rounds, idle=False)
        self._begun = found.begun
        self._fits += 1
        shift = found.expected.mean(axis=0) - found.weights.mean(axis=0)
        return Draws(self.features, found.weights + shift, float(found.noise.mean()))

    def matters(self) -> Array:
        """Return the probability that each setting matters, from chains in which it may not."""
        settling = self._settling(self._idle_chains)
        rounds = _IDLE_ROUNDS_OF_MANY if self.count > MOST_EXACT else _IDLE_ROUNDS
        self._idle_chains = self._idle_chains or self._drawn(idle=True)
        found = self._run(self._idle_chains, None, settling, rounds, idle=True)
        return np.asarray(found.matters.mean(axis=0))

    def _settling(self, chains: Chains | None) -> int:
        """Return how many rounds chains need before what they draw is of what was told."""
        if chains is None:
            return _SETTLING_OF_MANY if self.count > MOST_EXACT else _SETTLING
        return _SETTLING_AGAIN if self.count > _MUCH_NEW * chains.known else 0

    def _drawn(self, *, idle: bool) -> Chains:
        """Return chains that know nothing yet."""
        prior = StrengthPrior(self.features, self.prior, idle=idle)
        return Chains(prior.drawn(CHAINS, self._random("begun", idle=idle)))

    def _random(self, use: str, *, idle: bool) -> np.random.Generator:
        number = 2 * _USES.index(use) + idle
        return np.random.default_rng([self._seed, self.count, self._fits, number])

    def _run(
        self,
        chains: Chains,
        asked: Mapping[Hashable, float] | None,
        settling: int,
        rounds: int,
        *,
        idle: bool,
    ) -> Rounds:
        rows = self.judgements
        shares = np.array([1.0 if asked is None else asked.get(each, 0.0) for each in rows.names])
        if shares.sum() <= 0:
            shares = np.ones(len(rows.names))
        with one_blas_thread():
            return run_chains(
                chains,
                self.features,
                rows,
                self.prior,
                shares / max(shares.sum(), 1e-9),
                settling=settling,
                rounds=rounds,
                idle=idle,
                settling_random=self._random("settling", idle=idle),
                random=self._random("rounds", idle=idle),
            )

    @property
    def judgements(self) -> Judgements:
        """What was told, as rows."""
        if self._rows is None:
            self._rows = judgements_of(
                self.features,
                self.ratings,
                self.choices,
                prompt_spread=self.prior.prompt,
                take_spread=self.prior.take,
            )
        return self._rows


def state(model: JointModel, *, begun: bool = False) -> dict[str, object]:
    """Return where a model's chains are, as plain data: the next fit begins there.

    Args:
        model: The model.
        begun: Where they were before the last fit drew: restored, it draws the same again.
    """
    return {
        "version": STATE_VERSION,
        "axes": [_plain_axis(each) for each in model.axes],
        "columns": model.features.count,
        "fits": model._fits - begun,
        "chains": _plain_chains(model._begun if begun else model._chains),
        "idle_chains": _plain_chains(model._idle_chains),
    }


def restore(model: JointModel, data: Mapping[str, object]) -> None:
    """Put a model's chains where they were.

    Raises:
        ConfigError: The state is of another version, of other settings, or none at all.
    """
    axes = [_plain_axis(each) for each in model.axes]
    expected = (STATE_VERSION, axes, model.features.count)
    if (data.get("version"), data.get("axes"), data.get("columns")) != expected:
        raise ConfigError("state: of other settings or another version, expected this model's")
    try:
        chains, idle = (_chains(model, data[name]) for name in ("chains", "idle_chains"))
        fits = int(data["fits"])  # type: ignore[call-overload]  # what is no number raises
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ConfigError("state: given what is none, expected what `state` returned") from error
    model._chains, model._idle_chains, model._fits = chains, idle, max(fits, 0)


_KINDS = {"logs": np.float64, "length": np.intp, "bet": np.bool_, "idle": np.bool_}


def _plain_axis(axis: SettingAxis) -> list[object]:
    return [axis.path, axis.low, axis.high, axis.log, axis.whole, axis.has_hump, [*axis.names]]


def _plain_chains(chains: Chains | None) -> dict[str, object] | None:
    if chains is None or chains.weights is None:
        return None
    found = {name: getattr(chains.strengths, name).tolist() for name in _KINDS}
    left = {"impressions": chains.impressions.tolist(), "rated": chains.rated}
    return {**found, "weights": chains.weights.tolist(), **left}


def _chains(model: JointModel, data: object) -> Chains | None:
    """Return chains from plain data.

    Raises:
        TypeError: It is none.
        KeyError: Likewise.
        ValueError: Likewise, or it does not fit the model.
    """
    if data is None:
        return None
    if not isinstance(data, Mapping):
        raise TypeError("no chains")
    d = len(model.axes)
    found: dict[str, NDArray[Any]] = {
        name: np.array(data[name], kind) for name, kind in _KINDS.items()
    }
    shapes = [(CHAINS, d + 2 if name == "logs" else d) for name in _KINDS]
    weights = np.array(data["weights"], dtype=np.float64)
    right = [each.shape for each in found.values()] == shapes
    right = right and weights.shape == (CHAINS, model.features.count)
    right = right and bool(np.isfinite(weights).all() and (np.abs(found["logs"]) < 30).all())
    length = found["length"]
    if not right or not ((length >= 0) & (length < len(model.prior.smoothness))).all():
        raise ValueError("chains of another model")
    left, rated = np.array(data["impressions"], dtype=np.float64), int(data["rated"])
    if left.ndim != 2 or not np.isfinite(left).all() or not 0 <= rated <= left.shape[1]:
        raise ValueError("impressions of something else")
    return Chains(Strengths(**found), weights, left, rated)
