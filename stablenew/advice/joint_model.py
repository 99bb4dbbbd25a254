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

import attrs
import numpy as np
from numpy.typing import NDArray

from stablenew.advice.chains import CHAINS, Chains, Rounds, run_chains
from stablenew.advice.features import Features
from stablenew.advice.judgements import MOST_EXACT, Chosen, Judgements, Rated, judgements_of
from stablenew.advice.priors import Prior, read_priors
from stablenew.advice.setting_axis import SettingAxis
from stablenew.advice.strengths import StrengthPrior, Strengths
from stablenew.errors import ConfigError

Array = NDArray[np.float64]

STATE_VERSION = 1

_WIDENED = 1.4
"""What draws are widened by before anything is told: as drawn, nine of ten intervals hold 8."""

_SETTLING, _SETTLING_OF_MANY = 30, 4
_ROUNDS, _ROUNDS_OF_MANY = 8, 4


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
        many = self.count > MOST_EXACT
        new = self._chains is None
        if settling is None:
            settling = (_SETTLING_OF_MANY if many else _SETTLING) if new else 0
        random = self._random(0)
        if self._chains is None:
            prior = StrengthPrior(self.features, self.prior, idle=False)
            self._chains = Chains(prior.drawn(CHAINS, random))
        rounds = rounds or (_ROUNDS_OF_MANY if many else _ROUNDS)
        found = self._run(self._chains, random, asked, settling, rounds, idle=False)
        self._fits += 1
        shift = found.expected.mean(axis=0) - found.weights.mean(axis=0)
        return Draws(self.features, found.weights + shift, float(found.noise.mean()))

    def matters(self) -> Array:
        """Return the probability that each setting matters, from chains in which it may not."""
        many = self.count > MOST_EXACT
        random = self._random(1)
        prior = StrengthPrior(self.features, self.prior, idle=True)
        chains = Chains(prior.drawn(CHAINS, random))
        settling, rounds = (6, 10) if many else (_SETTLING, 30)
        found = self._run(chains, random, None, settling, rounds, idle=True)
        return np.asarray(found.matters.mean(axis=0))

    def _random(self, use: int) -> np.random.Generator:
        return np.random.default_rng([self._seed, self.count, self._fits, use])

    def _run(
        self,
        chains: Chains,
        random: np.random.Generator,
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
        return run_chains(
            chains,
            self.features,
            rows,
            self.prior,
            shares / max(shares.sum(), 1e-9),
            settling=settling,
            rounds=rounds,
            idle=idle,
            random=random,
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


def state(model: JointModel) -> dict[str, object]:
    """Return where a model's chains are, as plain data: the next fit begins there."""
    chains = model._chains
    found: dict[str, object] = {
        "version": STATE_VERSION,
        "axes": [each.path for each in model.axes],
        "columns": model.features.count,
        "fits": model._fits,
    }
    if chains is not None and chains.weights is not None:
        found |= {name: getattr(chains.strengths, name).tolist() for name in _STRENGTHS}
        found["weights"] = chains.weights.tolist()
    return found


def restore(model: JointModel, data: Mapping[str, object]) -> None:
    """Put a model's chains where they were.

    Raises:
        ConfigError: The state is of another version, or of other settings.
    """
    expected = (STATE_VERSION, [each.path for each in model.axes], model.features.count)
    if (data.get("version"), data.get("axes"), data.get("columns")) != expected:
        raise ConfigError("state: of other settings or another version, expected this model's")
    model._fits = data["fits"] if isinstance(data["fits"], int) else 0
    if "weights" not in data:
        return
    kinds = {"logs": np.float64, "length": np.intp, "bet": np.bool_, "idle": np.bool_}
    strengths = Strengths(**{name: np.array(data[name], kinds[name]) for name in _STRENGTHS})
    model._chains = Chains(strengths, np.array(data["weights"], dtype=np.float64))


_STRENGTHS = ("logs", "length", "bet", "idle")
