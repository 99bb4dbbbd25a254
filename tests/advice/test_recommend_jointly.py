"""From records of several plans to one advice: what is a choice, what an effect, what is told."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path

import attrs
import numpy as np
import pytest

from stablenew.advice.joint_evidence import axis_of, joint_evidence
from stablenew.advice.kept_chains import chains_file
from stablenew.advice.observations import Observations, observe
from stablenew.advice.picture_seconds import picture_seconds
from stablenew.advice.priors import read_priors
from stablenew.advice.recommend_jointly import advise_all, recommend_jointly
from stablenew.app import open_app
from stablenew.cli.recommend_command import recommend_command
from stablenew.config.pipeline_config import Setting
from stablenew.config.settings import Settings
from stablenew.errors import ConfigError
from stablenew.learning.axis import axis_of_values
from stablenew.learning.feedback_manager import record_feedback
from stablenew.learning.feedback_reader import Choice, Feedback, Rating
from stablenew.learning.learning_plan import LearningPlan
from stablenew.learning.learning_record import LearningRecord
from tests.advice.people import CFG, SAMPLER, STEPS, some_settings, worth


def record(
    run_id: str,
    settings: Mapping[str, Setting],
    *,
    varied: tuple[str, ...] = (CFG.path, STEPS.path, SAMPLER.path),
    prompt: str = "a cat",
    seed: int = 7,
    model: str = "one",
    seconds: float | None = None,
    conditions: tuple[str, ...] = (),
    image: str | None = None,
) -> LearningRecord:
    config = {path.partition(".")[2]: value for path, value in settings.items()}
    events = {"stage": "txt2img", "duration_s": seconds, "images": 1}
    return LearningRecord(
        run_id=run_id,
        plan_id="p",
        base_config={"image": image, "txt2img": {**config, "prompt": prompt, "seed": seed}},
        metadata={
            "varied": {path: settings[path] for path in varied},
            "conditions": list(conditions),
        },
        stage_plan=("txt2img",),
        stage_events=(events,) if seconds is not None else (),
        outputs=(
            {
                "stage": "txt2img",
                "image_id": "txt2img_1",
                "seed": seed,
                "prompt": prompt,
                "model": model,
            },
        ),
    )


def rating(run_id: str, value: int, **more: object) -> tuple[tuple[str, str], Rating]:
    key = run_id, "txt2img_1"
    return key, Rating(run_id=run_id, image_id="txt2img_1", rating=value, **more)  # type: ignore[arg-type]


def seen(count: int = 60, *, models: tuple[str, ...] = ("one",)) -> Observations:
    """Return a person's ratings of one plan of three settings."""
    random = np.random.default_rng(4)
    records, ratings = [], {}
    for number in range(count):
        settings = some_settings(random)
        model = models[number % len(models)]
        steps = float(settings[STEPS.path] or 0)
        records.append(record(f"r{number}", settings, model=model, seconds=0.5 + 0.1 * steps))
        said = worth(settings) + random.normal(0, 0.5) - (model == "two")
        key, each = rating(f"r{number}", int(np.clip(round(said), 1, 5)))
        ratings[key] = each
    return observe(records, Feedback(ratings=ratings))


def paths(observations: Observations, **more: str) -> list[str]:
    return [axis.path for axis in joint_evidence(observations, read_priors(), **more).axes]


def base(**settings: Setting) -> dict[str, Setting]:
    return {CFG.path: 5, STEPS.path: 20, SAMPLER.path: "Euler", **settings}


def test_one_advice_for_all_settings_together() -> None:
    found = advise_all(seen(), read_priors())
    assert found is not None
    assert set(found.settings) == {CFG.path, STEPS.path, SAMPLER.path}
    assert worth(found.settings) > 4.0
    assert found.mean is not None
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.mean < found.high
    assert set(found.matters) == set(found.curves) == set(found.settings)
    assert found.seconds == pytest.approx(
        0.5 + 0.1 * float(found.settings[STEPS.path] or 0), rel=0.25
    )


def test_a_setting_that_one_plan_varied_and_another_fixed_is_evidence_in_both() -> None:
    one = [record(f"a{cfg}", base(**{CFG.path: cfg}), varied=(CFG.path,)) for cfg in (3, 5, 7)]
    other = [
        record(f"b{steps}", base(**{CFG.path: 9, STEPS.path: steps}), varied=(STEPS.path,))
        for steps in (10, 30)
    ]
    ratings = dict(rating(each.run_id, 3) for each in (*one, *other))
    evidence = joint_evidence(observe([*one, *other], Feedback(ratings=ratings)), read_priors())
    assert [axis.path for axis in evidence.axes] == [CFG.path, STEPS.path]
    assert evidence.axes[0].high == 9  # fixed where steps varied
    known = [dict(each.picture.settings) for each in evidence.ratings]
    assert {CFG.path: 9, STEPS.path: 30} in known
    assert {CFG.path: 3, STEPS.path: 20} in known


def test_conditions_are_effects_and_no_choices() -> None:
    varied = (CFG.path, "txt2img.prompt")
    records = [
        record(
            f"r{cfg}{prompt}{seed}",
            base(**{CFG.path: cfg, "txt2img.prompt": prompt}),
            varied=varied,
            prompt=prompt,
            seed=seed,
            conditions=("txt2img.prompt",),
            image=prompt if seed else None,
        )
        for cfg in (3, 5)
        for prompt in ("a cat", "a dog")
        for seed in (0, 1)
    ]
    ratings = dict(rating(each.run_id, 3) for each in records)
    evidence = joint_evidence(observe(records, Feedback(ratings=ratings)), read_priors())
    assert [axis.path for axis in evidence.axes] == [CFG.path]
    assert {each.picture.prompt for each in evidence.ratings} == {
        ("a cat", ""),
        ("a dog", ""),
        ("a cat", "a cat"),
        ("a dog", "a dog"),
    }
    assert {each.picture.seed for each in evidence.ratings} == {"", "1"}


def test_several_models_are_a_choice_that_can_be_fixed() -> None:
    both = seen(models=("one", "two"))
    assert "txt2img.model" in paths(both)
    found, fixed = (advise_all(both, read_priors(), model=each) for each in (None, "two"))
    assert found is not None
    assert fixed is not None
    assert found.settings["txt2img.model"] == "one"
    assert fixed.settings["txt2img.model"] == "two"


def test_subscores_are_kept_apart() -> None:
    records = [record(f"r{cfg}", base(**{CFG.path: cfg})) for cfg in range(1, 9)]
    ratings = dict(
        rating(f"r{cfg}", cfg % 2 + 3, subscores={"anatomy": 5 if cfg > 4 else 1})
        for cfg in range(1, 9)
    )
    observed = observe(records, Feedback(ratings=ratings))
    plain, parts = (
        joint_evidence(observed, read_priors(), subscore=each) for each in (None, "anatomy")
    )
    assert {each.rating for each in plain.ratings} == {3, 4}
    assert [each.rating for each in parts.ratings] == [1] * 4 + [5] * 4
    assert not joint_evidence(observed, read_priors(), subscore="composition").ratings
    with pytest.raises(ConfigError, match="did you mean anatomy"):
        advise_all(observed, read_priors(), subscore="anatmy")


def test_choices_are_evidence_beside_ratings() -> None:
    records = [record(f"r{cfg}", base(**{CFG.path: cfg})) for cfg in (2, 5)]
    choice = Choice(winner=("r5", "txt2img_1"), loser=("r2", "txt2img_1"))
    evidence = joint_evidence(observe(records, Feedback(choices=(choice,))), read_priors())
    assert [axis.path for axis in evidence.axes] == [CFG.path]
    (chosen,) = evidence.choices
    assert (chosen.better.settings[CFG.path], chosen.worse.settings[CFG.path]) == (5, 2)


def test_prompts_like_the_one_that_is_asked_for_count_more() -> None:
    records, ratings = [], {}
    for number in range(60):
        prompt = ("a grey cat", "big red dog")[number % 2]
        cfg = 1 + number % 11
        liked = 3 if prompt == "a grey cat" else 9
        run_id = f"r{number}"
        steps = 10 + number % 3
        settings = base(**{CFG.path: cfg, STEPS.path: steps})
        records.append(record(run_id, settings, prompt=prompt))
        key, each = rating(run_id, max(1, 5 - abs(cfg - liked) // 2))
        ratings[key] = each
    observed = observe(records, Feedback(ratings=ratings))
    found = {
        prompt: advise_all(observed, read_priors(), prompt=prompt)
        for prompt in ("a grey cat", "big red dog")
    }
    cat, dog = (float(each.settings[CFG.path] or 0) for each in found.values() if each)
    assert cat < 5 < 7 < dog


def test_a_single_setting_and_few_ratings_are_left_to_the_advice_by_setting() -> None:
    assert advise_all(seen(5), read_priors()) is None
    records = [record(f"r{cfg}", base(**{CFG.path: cfg})) for cfg in range(1, 9)]
    ratings = dict(rating(each.run_id, 3) for each in records)
    assert advise_all(observe(records, Feedback(ratings=ratings)), read_priors()) is None


def test_an_axis_is_as_the_priors_and_the_range_say() -> None:
    prior = read_priors()
    steps = axis_of("txt2img.steps", [4, 8, 20, 40], prior)
    assert (steps.log, steps.whole, steps.low, steps.high) == (True, True, 4, 40)
    assert axis_of("txt2img.eta", [0.01, 0.1, 0.5, 1.0], prior).log
    assert not axis_of("txt2img.eta", [0.0, 0.1, 0.5, 1.0], prior).log
    assert axis_of("txt2img.steps", [4, 8, 20, 40], prior).has_hump
    assert not axis_of("txt2img.steps", [4, 40], prior).has_hump  # nobody tried between
    assert axis_of("txt2img.tiling", [True, False], prior).names == (False, True)
    assert axis_of("txt2img.size", ["512x512", "768x512"], prior).names == ("512x512", "768x512")


def test_a_setting_of_two_thousand_names_is_cut_to_those_rated_most() -> None:
    records = [
        record(f"r{n}", base(**{SAMPLER.path: f"s{n % 2_000 if n < 2_000 else 1}"}))
        for n in range(2_010)
    ]
    ratings = dict(rating(each.run_id, 1 + n % 5) for n, each in enumerate(records))
    evidence = joint_evidence(observe(records, Feedback(ratings=ratings)), read_priors())
    (axis,) = evidence.axes
    assert len(axis.names) == 40
    assert "s1" in axis.names


def test_seconds_follow_what_was_made_and_grow_with_steps_beyond_it() -> None:
    axes = (STEPS, SAMPLER)
    made = [
        ({STEPS.path: steps, SAMPLER.path: name}, 0.2 * steps * (2 if name == "Heun" else 1))
        for steps in (8, 10, 12)
        for name in ("Euler", "Heun")
    ]
    seconds = picture_seconds(axes, made, read_priors())
    assert seconds is not None
    assert seconds({STEPS.path: 40, SAMPLER.path: "Euler"}) == pytest.approx(8, rel=0.15)
    heun, euler = (seconds({STEPS.path: 10, SAMPLER.path: each}) for each in ("Heun", "Euler"))
    assert heun is not None
    assert euler is not None
    assert heun / euler == pytest.approx(2, rel=0.2)
    assert picture_seconds(axes, made[:2], read_priors()) is None


def test_reused_pictures_and_odd_events_say_nothing_of_time() -> None:
    settings = base()
    odd = record("a", settings, seconds=1.0)
    reused = attrs.evolve(odd, outputs=({**odd.outputs[0], "reused_from": "x/y"},))
    wrong = attrs.evolve(odd, stage_events=({"duration_s": "long", "images": 1},))
    for each, known in ((odd, 1.0), (reused, None), (wrong, None)):
        (picture,) = observe([each], Feedback()).pictures.values()
        assert picture.seconds == known


async def test_ratings_of_a_plan_give_an_answer_and_a_config(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs, best = tmp_path / "runs", tmp_path / "best.toml"
    values: dict[str, list[Setting]] = {CFG.path: [2, 5, 8, 11], SAMPLER.path: ["Euler", "Euler a"]}
    plan = LearningPlan(axes=[axis_of_values(path, each) for path, each in values.items()])
    async with open_app(Settings(out=runs, backend="fake", learning_enabled=True)) as app:
        result = await app.learning.run_learning_plan(plan, {"txt2img": {"prompt": "a"}})
    for step in result.step_results:
        liked = 5 if step.step.varied[SAMPLER.path] == "Euler" else 2
        said = liked - (step.step.varied[CFG.path] != 5)
        await record_feedback(step.run_id, "txt2img_1", said, base_dir=runs)
    found = recommend_jointly(runs)
    assert found is not None
    assert (found.settings[SAMPLER.path], found.ratings) == ("Euler", 8)
    kept = chains_file(runs, None, None)
    assert kept.is_file()
    assert recommend_jointly(runs) == found
    kept.unlink()
    assert recommend_jointly(runs) == found
    for cheapest in (False, True):
        shown(runs, as_config=str(best), cheapest=cheapest)
        out = capsys.readouterr().out
        assert out.startswith("together:\n  txt2img.cfg_scale ")
        assert "each setting by itself:" in out
        table = tomllib.loads(best.read_text())["txt2img"]
        assert table["sampler_name"] == "Euler"
        assert 2 <= table["cfg_scale"] <= 11
    with pytest.raises(ConfigError, match="--model: given 'nope', nothing that it made is rated"):
        shown(runs, model="nope")
    png = tmp_path / "advice.png"
    shown(runs, plot=str(png))
    assert png.read_bytes().startswith(b"\x89PNG")
    assert capsys.readouterr().out.endswith(f"plot: {png}\n")
    shown(runs, as_json=True)
    first, *others = map(json.loads, capsys.readouterr().out.splitlines())
    assert first["together"] == dict(found.settings)
    assert [each["parameter"] for each in others] == [CFG.path, SAMPLER.path]


def shown(runs: Path, **more: object) -> None:
    words: dict[str, object] = {"stage": None, "prompt": None, "model": None, "plan_id": None,
                                "as_json": False, "as_config": None}  # fmt: skip
    recommend_command(str(runs), **{**words, **more})  # type: ignore[arg-type]


def test_the_cheapest_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--cheapest: of what"):
        shown(tmp_path, cheapest=True)


def test_priors_that_are_wrong_are_said_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="priors: cannot read"):
        shown(tmp_path, priors=str(tmp_path / "none.toml"))


def test_a_plot_of_nothing_or_to_nowhere_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--plot: nothing to draw: expected 6 ratings"):
        shown(tmp_path, plot=str(tmp_path / "advice.png"))
