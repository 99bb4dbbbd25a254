"""The joint model: what it makes of ratings and choices, told by what it would advise and ask."""

from __future__ import annotations

import math
import statistics
from pathlib import Path
from types import ModuleType

import attrs
import numpy as np
import pytest
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController, threadpool_limits

from stablenew.advice import asking, joint_advice, joint_model
from stablenew.advice.asking import FIRST, ask, best_of, rows_of
from stablenew.advice.candidates import Grid, candidates, grid_of
from stablenew.advice.features import Features
from stablenew.advice.joint_advice import advise_jointly, words_of
from stablenew.advice.joint_model import JointModel, restore, state
from stablenew.advice.judgements import Chosen, Judged, Rated, judgements_of
from stablenew.advice.normal import draw_between, normal_cdf, normal_quantile
from stablenew.advice.priors import Prior, read_priors
from stablenew.advice.setting_axis import SettingAxis
from stablenew.advice.strengths import StrengthPrior
from stablenew.advice.weights import _ByColumn, _ByJudgement
from stablenew.errors import ConfigError
from tests.advice.people import (
    AXES,
    CFG,
    SAMPLER,
    STEPS,
    some_choices,
    some_ratings,
    some_settings,
    worth,
)
from tests.support import rounds

Array = NDArray[np.float64]


def told(ratings: list[Rated], choices: list[Chosen] | None = None, *, seed: int = 0) -> JointModel:
    model = JointModel(AXES, seed=seed)
    model.tell(ratings, choices or ())
    return model


def advised(model: JointModel) -> dict[str, object]:
    return dict(advise_jointly(model, model.fit()).settings)


def test_the_normal_distribution_is_right_out_to_its_tails() -> None:
    x = np.linspace(-9, 9, 61)
    exact = np.array([0.5 * math.erfc(-each / math.sqrt(2)) for each in x])
    assert np.abs(normal_cdf(x) / exact - 1).max() < 2e-7
    p = np.array([1e-15, 1e-6, 0.02, 0.3, 0.5, 0.9, 0.9999])
    exact = np.array([statistics.NormalDist().inv_cdf(each) for each in p])
    assert np.abs(normal_quantile(p) - exact).max() < 1e-7


@pytest.mark.parametrize(("low", "high"), [(-0.5, 0.5), (3, 4), (-9, -8), (20, 21), (-40, -39)])
def test_draws_between_bounds_stay_there_and_lie_as_they_should(low: float, high: float) -> None:
    random = np.random.default_rng(1)
    ones = np.ones(4_000)
    drawn = draw_between(0 * ones, ones, low * ones, high * ones, random)
    assert ((drawn >= low) & (drawn <= high)).all()
    fine = np.linspace(low, high, 2_001)
    density = np.exp(-0.5 * (fine**2 - min(low**2, high**2)))
    mean = float((fine * density).sum() / density.sum())
    if abs(low) < 12:  # beyond, a bound is as good as the draw
        assert drawn.mean() == pytest.approx(mean, abs=0.03)


def test_open_bounds_say_nothing() -> None:
    random = np.random.default_rng(1)
    ones = np.ones(20_000)
    drawn = draw_between(2 * ones, 3 * ones, -math.inf * ones, math.inf * ones, random)
    assert drawn.mean() == pytest.approx(2, abs=0.1)
    assert drawn.std() == pytest.approx(3, abs=0.1)


def test_both_spaces_say_the_same_of_the_same_judgements() -> None:
    """Ratings and choices, several prompts and seeds: mean weights and explained impressions."""
    features = Features(AXES)
    prior = attrs.evolve(read_priors(), taste=1e-6)  # the larger space has tastes of few waves
    ratings, choices = some_ratings(50), some_choices(12)
    rows = judgements_of(features, ratings, choices, prompt_spread=0.4, take_spread=0.35)
    strengths = StrengthPrior(features, prior, idle=False)
    now = strengths.drawn(3, np.random.default_rng(2))
    asked = np.full(len(rows.names), 1 / len(rows.names))
    y = np.random.default_rng(3).normal(3, 1, (3, rows.count))
    found: list[tuple[Array, Array]] = []
    for kind in (_ByJudgement, _ByColumn):
        solver = kind(features, rows, prior, strengths, asked)
        solved = solver.solve(now)
        drawn = solver.draw(solved, y, np.random.default_rng(4))
        found.append((drawn.expected, solver.log_likelihood(solved, y)))
    (one, explained), (other, explained_too) = found
    assert np.abs(one - other).max() < 1e-6
    assert np.abs(explained - explained_too).max() < 1e-6


@pytest.mark.parametrize("taste", [0.15, 1.5])
def test_draws_lie_around_what_is_expected_as_far_as_they_should_in_both_spaces(
    taste: float,
) -> None:
    features = Features((CFG,))
    prior = attrs.evolve(read_priors(), taste=taste)
    rows = judgements_of(features, some_ratings(40), [], prompt_spread=0.4, take_spread=0.35)
    strengths = StrengthPrior(features, prior, idle=False)
    now = strengths.drawn(1, np.random.default_rng(2))
    asked = np.full(len(rows.names), 1 / len(rows.names))
    y = np.random.default_rng(3).normal(3, 1, (1, rows.count))
    spreads = []
    for kind in (_ByJudgement, _ByColumn):
        solver = kind(features, rows, prior, strengths, asked)
        solved = solver.solve(now)
        random = np.random.default_rng(5)
        drawn = [solver.draw(solved, y, random) for _ in range(1_500)]
        weights = np.array([each.weights[0] for each in drawn])
        error = weights.std(axis=0) / math.sqrt(len(weights))
        assert (np.abs(weights.mean(axis=0) - drawn[0].expected[0]) < 5 * error + 1e-9).all()
        spreads.append(weights.std(axis=0))
    if taste < 1:  # the larger space has tastes of few waves
        assert spreads[0] == pytest.approx(spreads[1], rel=0.15)


def test_the_mean_of_few_draws_is_what_the_chains_expect() -> None:
    """Of few draws the luckiest configuration would be advised, not the best."""
    short, long = (told(some_ratings(40)).fit(settling=20, rounds=each) for each in (1, 60))
    off = (short.mean - long.mean) / long.weights.std(axis=0)
    assert float(np.sqrt((off**2).mean())) < 0.2  # draws as they are: 0.3


def test_the_lowest_and_the_highest_rating_of_a_person_have_no_bound_beyond() -> None:
    ratings = [attrs.evolve(some_ratings(1)[0], rating=each) for each in (2, 3, 4)]
    rows = judgements_of(Features(AXES), ratings, [], prompt_spread=0.4, take_spread=0.35)
    assert rows.low.tolist() == [-math.inf, 2.5, 3.5]
    assert rows.high.tolist() == [2.5, 3.5, math.inf]


def test_a_choice_under_one_rare_prompt_has_no_noise_of_prompts() -> None:
    one, other = some_choices(2)
    same = [attrs.evolve(each, prompt="rare", seed=9) for each in (one.better, one.worse)]
    apart = [attrs.evolve(each, prompt=n) for n, each in enumerate((other.better, other.worse))]
    choices = [Chosen(better=a, worse=b) for a, b in (same, apart)]
    common = [attrs.evolve(each, picture=attrs.evolve(each.picture, prompt=n % 50 + 100))
              for n, each in enumerate(some_ratings(400))]  # fmt: skip
    rows = judgements_of(Features(AXES), common, choices, prompt_spread=0.4, take_spread=0.35)
    assert rows.extra[-2] == 0
    assert rows.extra[-1] == pytest.approx(2 * 0.4**2)  # fewer than sixty seeds: each its own
    assert rows.scale[-1] == pytest.approx(math.sqrt(2))


def test_it_finds_the_settings_that_are_best_together() -> None:
    """With Euler a low cfg is best, with the others a high one: no setting by itself says so."""
    found = advised(told(some_ratings(90)))
    assert worth(found) > 4.4 - 0.3  # type: ignore[arg-type]


def test_choices_alone_find_them_too() -> None:
    found = advised(told([], some_choices(90)))
    assert worth(found) > 4.4 - 0.35  # type: ignore[arg-type]


def test_arithmetic_is_held_to_one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    found: dict[str, int] = {}

    def watched(name: str, module: ModuleType) -> None:
        real = getattr(module, name)

        def call(*given: object, **more: object) -> object:
            pools = ThreadpoolController().info()
            found[name] = max(each["num_threads"] for each in pools if each["user_api"] == "blas")
            return real(*given, **more)

        monkeypatch.setattr(module, name, call)

    watched("run_chains", joint_model)
    watched("candidates", asking)
    watched("strongest_pair", joint_advice)
    with threadpool_limits(2, user_api="blas"):
        model = told(some_ratings(12))
        ask(model, model.fit(), batch=2)
        advised(model)
    assert found == {"run_chains": 1, "candidates": 1, "strongest_pair": 1}


def test_the_same_seed_and_ratings_give_the_same_draws_and_pictures() -> None:
    one, other = (told(some_ratings(30)) for _ in range(2))
    first, second = one.fit(), other.fit()
    assert (first.weights == second.weights).all()
    assert ask(one, first, batch=4) == ask(other, second, batch=4)
    assert (told(some_ratings(30), seed=1).fit().weights != first.weights).any()


def test_a_restored_model_goes_on_as_the_one_that_was_kept() -> None:
    kept = told(some_ratings(30))
    kept.fit()
    data = state(kept)
    again = told(some_ratings(30))
    restore(again, data)
    more = some_ratings(4, seed=9)
    for model in (kept, again):
        model.tell(more)
    assert (kept.fit().weights == again.fit().weights).all()


def test_a_state_of_other_settings_is_refused() -> None:
    model = told(some_ratings(10))
    model.fit()
    with pytest.raises(ConfigError, match="state"):
        restore(JointModel((CFG, STEPS)), state(model))
    with pytest.raises(ConfigError, match="state"):
        restore(told([]), {**state(model), "version": 0})


def test_the_first_pictures_go_evenly_through_every_range() -> None:
    pictures = ask(JointModel(AXES), None, batch=FIRST)
    assert len(pictures) == FIRST
    numbers = sorted(CFG.values.index(each.settings[CFG.path]) for each in pictures)
    for slot, number in enumerate(numbers):
        assert slot / FIRST <= (number + 1) / len(CFG.values)
        assert number / len(CFG.values) < (slot + 1) / FIRST
    assert len({each.settings[SAMPLER.path] for each in pictures}) == 3


def test_a_batch_shares_the_prompt_that_was_asked_least_and_its_seed() -> None:
    model = told(some_ratings(20, prompts=2))  # ten of prompt 0 and of 1
    batch = ask(model, model.fit(), batch=4, prompts=(0, 1, 2), seeds=(0, 1, 2, 3))
    assert {each.prompt for each in batch} == {2}
    assert {each.seed for each in batch} == {0}
    assert len({tuple(each.settings.values()) for each in batch}) == 4


def test_a_prompts_seeds_grow_to_two_and_then_to_four() -> None:
    def seeds(count: int) -> set[object]:
        used: set[object] = set()
        model = JointModel((CFG,))
        while model.count < count:
            draws = model.fit() if model.count >= FIRST else None
            batch = ask(model, draws, batch=2, seeds=(10, 11, 12, 13))
            model.tell([Rated(picture=each, rating=3) for each in batch])
            used |= {each.seed for each in batch}
        return used

    assert seeds(8) == {10}
    assert seeds(16) == {10, 11}
    assert seeds(40) == {10, 11, 12, 13}


def test_a_picture_that_was_made_is_not_asked_again() -> None:
    axis = SettingAxis(path="txt2img.clip_skip", low=1, high=3, whole=True)
    model = JointModel((axis,))
    model.tell([Rated(picture=Judged(settings={axis.path: each}), rating=each) for each in (1, 2)])
    (last,) = ask(model, None, batch=4)
    assert last.settings == {axis.path: 3}
    assert ask(model, None, batch=4, pending=[last]) == ()


def test_what_is_pending_is_counted_on() -> None:
    """A second batch, asked before the first is rated, looks elsewhere."""
    model = told(some_ratings(24))
    draws = model.fit()
    first = ask(model, draws, batch=4)
    second = ask(model, draws, batch=4, pending=first)
    assert not {tuple(each.settings.items()) for each in first} & {
        tuple(each.settings.items()) for each in second
    }


def test_what_is_pending_under_another_prompt_is_not_asked_for_its_promise_again() -> None:
    model = JointModel((CFG, SAMPLER))  # so few configurations that all are looked at
    model.tell(some_ratings(24, prompts=1))
    draws = model.fit()
    (first,) = ask(model, draws, batch=1, prompts=(0,))
    waiting = attrs.evolve(first, prompt="another")
    (second,) = ask(model, draws, batch=1, prompts=(0,), pending=[waiting])
    assert second.settings != first.settings


def test_asked_pictures_promise_more_than_pictures_at_random() -> None:
    model = told(some_ratings(30))
    asked = [worth(each.settings) for each in ask(model, model.fit(), batch=6)]
    random = np.random.default_rng(0)
    others = [worth(some_settings(random)) for _ in range(200)]
    assert statistics.mean(asked) > statistics.mean(others) + 0.5


def test_ratings_that_are_all_alike_say_nothing() -> None:
    pictures = some_ratings(30)
    model = told([attrs.evolve(each, rating=5) for each in pictures])
    found = advise_jointly(model, model.fit())
    assert (found.mean, found.low, found.high, found.enough) == (None, None, None, False)
    assert found.why == "all 30 ratings are 5: there is nothing to choose by"
    assert found.pair is None


def test_a_setting_that_is_not_known_counts_as_its_average() -> None:
    features = Features(AXES)
    rows = np.array([[math.nan, math.nan, math.nan]])
    assert features.of(rows)[0, 0] == 1
    assert np.abs(features.of(rows)[0, 1:]).max() == 0
    model = told([Rated(picture=Judged(settings={CFG.path: 5}), rating=4) for _ in range(5)])
    assert model.fit().weights.shape[1] == features.count


def test_columns_are_centred_and_of_variance_one() -> None:
    u = np.linspace(0, 1, 2_001)[:, None]
    columns = Features((SettingAxis(path="a.b"),)).of(u)
    assert np.abs(columns[:, 1:].mean(axis=0)).max() < 2e-3
    assert (columns[:, 1:7] ** 2).mean(axis=0) == pytest.approx(1, abs=0.25)
    names = Features((SAMPLER,)).of(np.arange(3.0)[:, None])
    assert (names[:, 1:] ** 2).sum(axis=1) == pytest.approx(1)


def test_the_end_of_a_range_needs_more_evidence_where_the_bet_holds() -> None:
    """Nothing rated near the ends: with the bet they are worth less than the middle."""
    end, middle = (np.array([[u]]) for u in (0.0, 0.5))

    def loss(share: float) -> float:
        model = JointModel((CFG,), attrs.evolve(read_priors(), hump_share=share))
        model.tell(
            [Rated(picture=Judged(settings={CFG.path: 6 + n % 2}), rating=4) for n in range(8)]
        )
        draws = model.fit(rounds=40)
        return float((draws.quality(middle) - draws.quality(end)).mean())

    assert loss(1.0) > loss(0.0) + 0.2


def test_numbers_are_cut_into_values_that_people_set() -> None:
    assert CFG.values[:4] == (1, 1.5, 2, 2.5)
    assert CFG.values[-1] == 12
    assert all(isinstance(each, int) for each in STEPS.values)
    assert (STEPS.values[0], STEPS.values[-1]) == (4, 40)
    assert SettingAxis(path="a.b", low=0.2, high=0.8).values[:3] == (0.2, 0.22, 0.24)
    assert SettingAxis(path="a.b", low=512, high=2048, whole=True).values[:2] == (512, 550)
    assert SettingAxis(path="a.b", low=7, high=7).values == (7,)


def test_whole_numbers_of_few_values_have_no_ends() -> None:
    few = SettingAxis(path="a.clip_skip", low=1, high=3, whole=True)
    assert not few.has_hump
    assert CFG.has_hump
    assert not attrs.evolve(CFG, ends_rarely_best=False).has_hump


def test_which_settings_matter_is_told_from_chains_in_which_they_may_not() -> None:
    model = told(some_ratings(200))
    cfg, steps, _ = model.matters()
    assert cfg > 0.9
    assert steps < cfg - 0.2
    found = advise_jointly(model, model.fit(), matters=np.array([0.95, 0.3, 0.6]))
    assert "may not matter: txt2img.steps" in words_of(found)
    assert "not known yet whether it matters: txt2img.sampler_name" in words_of(found)


def test_the_pair_that_depends_on_each_other_is_told_in_words() -> None:
    model = told(some_ratings(250, noise=0.4))
    pair = advise_jointly(model, model.fit()).pair
    assert pair is not None
    assert {pair.first, pair.second} == {CFG.path, SAMPLER.path}
    assert "sampler_name Euler, cfg_scale" in pair.words


def test_what_is_as_good_and_cheaper_is_told_with_what_it_loses() -> None:
    model = told(some_ratings(200))
    said = advise_jointly(model, model.fit(), seconds=lambda each: float(each[STEPS.path] or 0))
    assert said.cheaper is not None
    advised, cheaper = (
        float(each[STEPS.path] or 0) for each in (said.settings, said.cheaper.settings)
    )
    assert cheaper < advised
    assert said.cheaper.loss <= 0.1
    assert (said.seconds, said.cheaper.seconds) == (advised, cheaper)
    assert said.cheaper.share == pytest.approx(cheaper / advised)
    assert any(each.startswith("as good and cheaper: ") for each in words_of(said))
    assert advise_jointly(model, model.fit(), seconds=lambda _: None).cheaper is None


def test_an_interval_is_as_wide_as_was_measured_to_be_right() -> None:
    draws = told(some_ratings(20)).fit()
    wide = draws.widened()
    assert wide.mean == pytest.approx(draws.mean)
    assert wide.weights.std(axis=0) == pytest.approx(1.4 * draws.weights.std(axis=0))


def test_few_ratings_are_not_enough_and_many_clear_ones_are() -> None:
    few = told(some_ratings(8))
    assert not advise_jointly(few, few.fit()).enough
    clear = JointModel((CFG,))
    rated = [each for each in some_ratings(400, noise=0.3)
             if each.picture.settings[SAMPLER.path] == "Heun"]  # fmt: skip
    clear.tell(rated)
    found = advise_jointly(clear, clear.fit())
    assert found.enough
    assert 7 <= float(found.settings[CFG.path] or 0) <= 9


def test_what_is_fixed_stays() -> None:
    model = told(some_ratings(60))
    grid = grid_of(AXES, {SAMPLER.path: "LMS"})
    draws = model.fit()
    assert advise_jointly(model, draws, grid=grid).settings[SAMPLER.path] == "LMS"
    assert {each.settings[SAMPLER.path] for each in ask(model, draws, batch=4, grid=grid)} == {
        "LMS"
    }


def test_many_configurations_are_looked_at_near_the_best() -> None:
    model = told(some_ratings(60))
    grid, draws = Grid(AXES), model.fit()
    tried = grid.numbers_of(rows_of(model, [each.picture for each in model.ratings]))
    best, considered = best_of(grid, draws, tried)
    quality = draws.features.of(grid.rows(grid.every())) @ draws.mean
    own = draws.features.of(grid.rows(best[None, :])) @ draws.mean
    assert float(own[0]) == pytest.approx(float(quality.max()), abs=1e-9)
    assert len(considered) < len(grid.every())
    few = Grid((SAMPLER,))
    numbers, _ = candidates(
        few, JointModel((SAMPLER,)).fit(), few.every(), np.random.default_rng(0)
    )
    assert len(numbers) == 3


@pytest.mark.parametrize("count", sorted({400, rounds(400, 10_000)}))
def test_very_many_ratings_and_names_are_answered(count: int) -> None:
    names = SettingAxis(path="txt2img.model", names=tuple(f"model {n}" for n in range(60)))
    model = JointModel((CFG, names))
    random = np.random.default_rng(0)
    model.tell(
        Rated(
            picture=Judged(
                settings={CFG.path: float(random.uniform(1, 12)), names.path: f"model {n % 60}"},
                prompt=n % 7,
            ),
            rating=5,
        )
        for n in range(count)
    )
    found = advise_jointly(model, model.fit(settling=1, rounds=2))
    assert "there is nothing to choose by" in found.why


def test_rare_prompts_and_seeds_of_very_many_are_noise() -> None:
    ratings = [
        attrs.evolve(each, picture=attrs.evolve(each.picture, prompt=n, seed=n))
        for n, each in enumerate(some_ratings(400))
    ]
    rows = told(ratings).judgements
    assert rows.prompts.shape == (400, 40)
    assert rows.extra[-1] == pytest.approx(0.4**2 + 0.35**2)
    assert worth(advised(told(ratings))) > 4.0  # type: ignore[arg-type]


def prior_file(tmp_path: Path, text: str) -> Prior:
    path = tmp_path / "own.toml"
    path.write_text(text, "utf-8")
    return read_priors(path)


def test_priors_of_a_file_beat_those_that_come_with_the_program(tmp_path: Path) -> None:
    found = prior_file(tmp_path, "[ends]\nshare = 0\n[setting.steps]\nends_rarely_best = false\n")
    assert found.hump_share == 0
    assert not found.of("img2img.steps").ends_rarely_best
    assert found.noise == read_priors().noise
    assert found.of("txt2img.clip_skip") == read_priors().of("txt2img.clip_skip")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[person]\nnoise = 0", "person.noise: given 0, expected a number above 0"),
        ("[person]\nnoises = 1", "person.noises: did you mean noise"),
        ("[persons]\nnoise = 1", "persons: given"),
        ("[ends]\nshare = 2", "ends.share: given 2, expected a share from 0 to 1"),
        ("[settings]\nsmoothness = 3", "settings.smoothness: given 3, expected a list"),
        ("[settings]\nsmoothness = [1.0]", "smoothness_shares: expected one for each"),
        ("[setting.steps]\naxis = 'log'", "setting.steps.axis: given 'log', expected linear or"),
        ("[setting.steps]\naxes = 1", "setting.steps.axes: did you mean"),
        ("[setting]\nsteps = 1", "setting.steps: given 1, expected a table"),
        ("noise", "not TOML"),
        ("noise = " + "[" * 5_000, "not TOML"),
    ],
)
def test_what_is_wrong_with_priors_is_said_in_one_line(
    tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        prior_file(tmp_path, text)
    assert said in str(caught.value)
    assert "\n" not in caught.value.problems[0]


def test_no_file_of_priors_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        read_priors(tmp_path / "none.toml")
