"""From ratings and choices to advice: what it recommends, and when it says that it cannot."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stablenew.advice.observations import Observations, Picture, gather_observations, observe
from stablenew.advice.recommendation import Recommendation, advise, recommend
from stablenew.app import open_app
from stablenew.config.pipeline_config import Setting
from stablenew.config.settings import Settings
from stablenew.learning.dataset_builder import build_learning_dataset, iter_dataset
from stablenew.learning.dataset_export import export_csv, export_folder
from stablenew.learning.feedback_manager import package_feedback, record_feedback
from stablenew.learning.feedback_reader import Feedback, Rating
from stablenew.learning.gallery import open_gallery
from stablenew.learning.learning_record import LearningRecord
from stablenew.report.page import rebuild_page

OLDER = Path(__file__).parents[1] / "learning" / "data" / "older.jsonl"


def pictures(
    ratings: Sequence[tuple[Setting, int | None]],
    *,
    seeds: int = 4,
    prompt: str = "",
    model: str = "",
) -> dict[tuple[str, str], Picture]:
    made = [
        Picture(
            run_id=f"run-{number}",
            image_id="txt2img_1",
            settings={"txt2img.cfg_scale": value},
            context=f"plan/{number % seeds}",
            rating=rating,
            prompt=prompt,
            model=model,
        )
        for number, (value, rating) in enumerate(ratings)
    ]
    return {picture.key: picture for picture in made}


def advice(ratings: Sequence[tuple[Setting, int | None]]) -> Recommendation:
    (found,) = advise(Observations(pictures=pictures(ratings)))
    return found


def rated(truth: Callable[[float], float], values: Sequence[float], times: int, noise: float = 0.5,
          seed: int = 1) -> list[tuple[Setting, int | None]]:  # fmt: skip
    random = np.random.default_rng(seed)
    return [
        (value, int(np.clip(round(truth(value) + random.normal(0, noise)), 1, 5)))
        for _ in range(times)
        for value in values
    ]


def hill(value: float) -> float:
    return 4.6 - 0.12 * (value - 6.0) ** 2


def test_clear_ratings_carry_an_advice_with_an_interval() -> None:
    found = advice(rated(hill, [1, 3, 5, 6, 7, 9, 12], 6))
    assert found.enough
    assert found.value in (5, 6, 7)
    assert found.mean is not None
    assert found.low is not None
    assert found.high is not None
    assert 1 <= found.low < found.mean < found.high <= 5
    assert found.ratings == 42
    assert sum(each.probability for each in found.values) == pytest.approx(1, abs=0.01)
    assert [each.value for each in found.values] == [1, 3, 5, 6, 7, 9, 12]


def test_the_best_rated_value_is_recommended_and_not_the_most_tested() -> None:
    found = advice([(3, 3)] * 40 + [(7, 5)] * 6 + [(11, 2)] * 6)
    assert found.value == 7


def test_one_lucky_rating_is_no_advice_that_is_carried() -> None:
    found = advice([(5, 4)] * 12 + [(5.5, 4)] * 12 + [(9, 5)] + [(12, 1)] * 8)
    assert not found.enough


def test_too_few_ratings_say_so_and_what_to_rate_next() -> None:
    found = advice([(3, 4), (5, None), (7, None), (9, 2), (5, None)])
    assert not found.enough
    assert found.value == 3
    assert found.why.startswith("not enough ratings (2)")
    assert "rate these 3 pictures next" in found.why
    assert {key[0] for key in found.rate_next} == {"run-1", "run-2", "run-4"}


def test_a_single_value_is_no_advice_however_often_it_was_rated() -> None:
    found = advice([(7, 5)] * 30)
    assert not found.enough
    assert "all 30 ratings are 5" in found.why or "only value" in found.why


def test_constant_ratings_say_so_instead_of_a_number() -> None:
    found = advice([(value, 3) for value in (1, 3, 5, 7)] * 3)
    assert not found.enough
    assert (found.mean, found.low, found.high) == (None, None, None)
    assert found.why == "all 12 ratings are 3: there is nothing to choose by"


def test_ratings_that_contradict_each_other_say_so_instead_of_a_number() -> None:
    found = advice([(value, rating) for value in (1, 4, 8, 12) for rating in (1, 5, 1, 5, 1, 5)])
    assert not found.enough
    assert found.mean is None
    assert "contradict" in found.why


def test_a_persons_own_scale_does_no_harm() -> None:
    generous = [(value, max(4, rating or 0)) for value, rating in rated(hill, [2, 4, 6, 8, 10], 8)]
    strict = [(v, min(2, max(1, (r or 1) - 2))) for v, r in rated(hill, [2, 4, 6, 8, 10], 8)]
    assert advice(generous).value in (4, 6, 8)
    assert advice(strict).value in (4, 6, 8)


def test_names_are_exchangeable() -> None:
    ratings: list[tuple[Setting, int | None]] = [*[("Euler", 2)] * 8, *[("Heun", 5)] * 8]
    found = advice([*ratings, *[("LMS", 3)] * 8, ("PLMS", None)])
    assert (found.value, found.enough) == ("Heun", True)
    assert found.try_next == ("PLMS",)


def test_numbers_between_the_tried_ones_are_worth_trying() -> None:
    found = advice(rated(hill, [1, 4, 8, 12], 4))
    assert set(found.try_next) <= {2.5, 2, 3, 6, 10}
    assert 6 in found.try_next


def test_choices_count_as_much_as_ratings() -> None:
    made = pictures([(value, None) for value in (2, 5, 9) for _ in range(6)], seeds=1)
    by_value: dict[Setting, list[tuple[str, str]]] = {}
    for key, picture in made.items():
        by_value.setdefault(picture.settings["txt2img.cfg_scale"], []).append(key)
    choices = [
        pair
        for worse in (2, 9)
        for pair in zip(by_value[5], by_value[worse], strict=True)
    ]  # fmt: skip
    (found,) = advise(Observations(pictures=made, choices=tuple(choices)))
    assert (found.value, found.ratings, found.choices) == (5, 0, 12)
    assert found.enough


def test_seven_and_seven_point_zero_are_one_value_and_true_is_no_number() -> None:
    found = advice([(7, 4), (7.0, 5), (3, 2), (3.0, 1)])
    assert [each.ratings for each in found.values] == [2, 2]
    mixed = advice([(True, 4), (False, 2), (True, 5), (False, 1)])
    assert mixed.value is True


def test_ratings_of_other_prompts_and_models_count_less() -> None:
    cats = pictures(rated(lambda v: 5 - 0.5 * v, [1, 4, 8], 6), prompt="a cat", model="one")
    dogs = {
        (f"dog-{key[0]}", key[1]): picture
        for key, picture in pictures(
            rated(lambda v: 1 + 0.5 * v, [1, 4, 8], 6), prompt="big red dog", model="two"
        ).items()
    }
    both = Observations(pictures={**cats, **dogs})
    assert advise(both, prompt="a cat")[0].value == 1
    assert advise(both, prompt="big red dog")[0].value == 8
    assert advise(both, model="one")[0].value == 1


def test_each_setting_is_looked_at_by_itself_and_a_stage_can_be_chosen() -> None:
    made = {
        (f"r{n}", "x"): Picture(
            run_id=f"r{n}",
            image_id="x",
            settings={"txt2img.steps": steps, "img2img.denoising_strength": strength},
            context="c",
            rating=rating,
        )
        for n, (steps, strength, rating) in enumerate(
            [(10, 0.2, 1), (10, 0.5, 3), (20, 0.2, 3), (20, 0.5, 5)] * 3
        )
    }
    found = advise(Observations(pictures=made))
    assert [each.parameter for each in found] == ["img2img.denoising_strength", "txt2img.steps"]
    assert [each.value for each in found] == [0.5, 20]
    (one,) = advise(Observations(pictures=made), stage="img2img")
    assert one.parameter == "img2img.denoising_strength"


def test_older_files_are_first_class_input(tmp_path: Path) -> None:
    shutil.copy(OLDER, tmp_path / "learning_records.jsonl")
    found = {each.parameter: each for each in recommend(tmp_path)}
    assert found["txt2img.cfg_scale"].value == 7.0
    assert found["txt2img.cfg_scale"].ratings == 3
    assert found["txt2img.steps"].value == 20.0
    assert found["txt2img.denoising_strength"].value == 0.4
    assert found["txt2img.sampler_name"].value == "Euler a"
    assert not any(each.enough for each in found.values())


def test_the_empty_primary_fields_of_older_files_are_not_looked_at(tmp_path: Path) -> None:
    shutil.copy(OLDER, tmp_path / "learning_records.jsonl")
    values = {
        value
        for picture in gather_observations(tmp_path).pictures.values()
        for value in picture.settings.values()
    }
    assert 0 not in values
    assert "" not in values


def test_nothing_rated_is_no_advice() -> None:
    assert advise(Observations(pictures=pictures([(1, None), (2, None)]))) == ()
    assert advise(Observations(pictures={})) == ()


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([1, 2.5, 7, 30.0, 1000]) | st.sampled_from(["a", "b"]),
            st.integers(1, 5) | st.none(),
        ),
        max_size=30,
    )
)
def test_no_ratings_are_too_odd_for_an_answer(ratings: list[tuple[Setting, int | None]]) -> None:
    """The best estimate is always a value that was rated; numbers stay on the scale."""
    for found in advise(Observations(pictures=pictures(ratings))):
        assert any(value == found.value for value, rating in ratings if rating is not None)
        for number in (found.mean, found.low, found.high):
            assert number is None or 1 <= number <= 5
        assert found.why


def test_ratings_at_random_rarely_carry_an_advice() -> None:
    """A person who rates without looking is told so little in nine of ten cases."""
    carried = 0
    for seed in range(60):
        random = np.random.default_rng(seed)
        ratings: list[tuple[Setting, int | None]] = [
            (value, int(random.integers(1, 6))) for _ in range(2) for value in (1, 5, 9)
        ]
        carried += advice(ratings).enough
    assert carried <= 15


def test_an_advice_that_is_carried_is_right_as_often_as_it_says() -> None:
    truth = {1: 2.5, 5: 3.0, 9: 3.5}
    right = []
    for seed in range(60):
        random = np.random.default_rng(seed)
        ratings: list[tuple[Setting, int | None]] = [
            (value, int(np.clip(round(quality + random.normal(0, 0.9)), 1, 5)))
            for _ in range(5)
            for value, quality in truth.items()
        ]
        found = advice(ratings)
        if found.enough:
            right.append(found.value == 9)
    assert len(right) >= 10
    assert sum(right) >= 0.8 * len(right)


def test_two_values_that_are_both_perfect_are_advice_enough() -> None:
    found = advice([(2, 5)] * 30 + [(4, 5)] * 30 + [(9, 1)] * 30)
    assert found.enough
    assert found.value in (2, 4)


def chosen(*pairs: tuple[Setting, Setting], prompts: Sequence[str] = ()) -> Observations:
    """Return choices alone, each between two new pictures: the better value first."""
    made: dict[tuple[str, str], Picture] = {}
    choices = []
    for number, pair in enumerate(pairs):
        keys = []
        for side, value in enumerate(pair):
            picture = Picture(
                run_id=f"r{number}-{side}",
                image_id="x",
                settings={"txt2img.sampler_name": value},
                context=str(number),
                prompt=prompts[number] if prompts else "",
            )
            made[picture.key] = picture
            keys.append(picture.key)
        choices.append((keys[0], keys[1]))
    return Observations(pictures=made, choices=tuple(choices))


def test_choices_that_contradict_each_other_say_so() -> None:
    (found,) = advise(chosen(*[("a", "b"), ("b", "a")] * 10))
    assert not found.enough
    assert found.mean is None
    assert "choices contradict" in found.why
    (round_about,) = advise(chosen(*[("a", "b"), ("b", "c"), ("c", "a")] * 5))
    assert not round_about.enough


def test_choices_under_other_prompts_count_less() -> None:
    pairs = [("cat's", "dog's")] * 5 + [("dog's", "cat's")] * 7
    observed = chosen(*pairs, prompts=["a cat"] * 5 + ["big red dog"] * 7)
    assert advise(observed, prompt="a cat")[0].value == "cat's"
    assert advise(observed, prompt="big red dog")[0].value == "dog's"


def test_the_shown_interval_is_the_ninety_per_cent_one() -> None:
    found = advice(rated(hill, [1, 3, 5, 6, 7, 9, 12], 3))
    best = next(each for each in found.values if each.value == found.value)
    assert (best.low, best.high) == (found.low, found.high)
    assert found.high is not None
    assert found.low is not None
    assert 0.3 < found.high - found.low < 2.5


def test_what_may_well_be_the_best_is_rated_and_tried_first() -> None:
    found = advice([*rated(hill, [1, 6, 12], 4), (6, None), (1, None), (12, None)])
    first = found.rate_next[0]
    assert first == ("run-12", "txt2img_1")
    assert found.try_next[0] in (4, 9)


def test_many_values_are_answered_in_time_and_odd_numbers_at_all() -> None:
    found = advice([(value, 3 + value % 2) for value in range(600)])
    assert len(found.values) <= 80
    for odd in (1e308, 10**400, float("nan"), float("inf"), -1e308):
        assert advice([(odd, 3), (1, 4)]).why


def test_seeds_of_different_plans_are_different_contexts() -> None:
    records = [
        LearningRecord(
            run_id=f"{plan}-1",
            plan_id=plan,
            stage_plan=("txt2img",),
            outputs=({"stage": "txt2img", "image_id": "txt2img_1", "seed": 7},),
        )
        for plan in ("p", "q")
    ]
    observed = observe(records, Feedback())
    assert len({picture.context for picture in observed.pictures.values()}) == 2


def test_earlier_stages_count_only_where_they_were_rated() -> None:
    outputs = tuple(
        {"stage": stage, "image_id": f"{stage}_1"} for stage in ("txt2img", "img2img", "upscale")
    )
    record = LearningRecord(
        run_id="a", stage_plan=("txt2img", "img2img", "upscale"), outputs=outputs
    )
    rating = Rating(run_id="a", image_id="txt2img_1", rating=4)
    observed = observe([record], Feedback(ratings={("a", "txt2img_1"): rating}))
    assert [key[1] for key in observed.pictures] == ["txt2img_1", "upscale_1"]


def test_a_rated_run_that_varied_nothing_counts_for_the_stages_that_are_on() -> None:
    config = {"txt2img": {"steps": 9}, "img2img": {"enabled": False, "steps": 5}}
    record = LearningRecord(run_id="a", base_config=config, metadata={"rating": 4},
                            stage_plan=("txt2img",),
                            outputs=({"stage": "txt2img", "image_id": "txt2img_1"},))  # fmt: skip
    (picture,) = observe([record], Feedback()).pictures.values()
    assert dict(picture.settings) == {"txt2img.steps": 9}


FOREIGN = (
    '{"run_id": "w", "outputs": 7}',
    '{"run_id": "w", "metadata": [1]}',
    '{"run_id": "w", "base_config": 3, "stage_plan": 5}',
    '{"run_id": "w", "metadata": {"rating": 4, "x": 1e999}}',
    '{"run_id": "w", "metadata": {"x": "\\ud800"}}',
    '{"run_id": "w", "outputs": [1, {"path": "/etc/passwd", "image_id": "../x"}]}',
    '{"a": ' * 2_000 + "1" + "}" * 2_000,
)


@pytest.mark.parametrize("line", FOREIGN, ids=range(len(FOREIGN)))
def test_foreign_lines_harm_nobody(tmp_path: Path, line: str) -> None:
    runs = tmp_path / "runs"
    runs.mkdir()
    whole = OLDER.read_text()
    (runs / "learning_records.jsonl").write_text(f"{whole}{line}\n")
    assert len(recommend(runs)) == 5
    assert len([row for row in iter_dataset(runs) if row["rating"]]) >= 5
    assert len(build_learning_dataset(runs)["runs"]) >= 5
    assert export_folder(runs, tmp_path / "images") == 0
    assert export_csv(runs, tmp_path / "t.csv") >= 5


async def test_ratings_of_runs_made_while_learning_was_off_count(runs: Path) -> None:
    plan = {"target_variable": "txt2img.steps", "sweep_values": [5, 9, 20]}
    async with open_app(Settings(out=runs, backend="fake")) as app:
        result = await app.learning.run_learning_plan(plan, {"txt2img": {"prompt": "a"}})
    for step, rating in zip(result.step_results, (2, 5, 3), strict=True):
        await record_feedback(step.run_id, "txt2img_1", rating, base_dir=runs)
    (runs / "ghost").mkdir()
    await record_feedback("ghost", "txt2img_1", 4, base_dir=runs)
    problems: list[str] = []
    (found,) = recommend(runs, report=lambda problem: problems.append(str(problem)))
    assert (found.parameter, found.value, found.ratings) == ("txt2img.steps", 9, 3)
    assert len(problems) == 1
    assert "ghost/txt2img_1, which is no picture that is known" in problems[0]
    seconds = [picture.seconds for picture in gather_observations(runs).pictures.values()]
    assert [each is not None and each > 0 for each in seconds] == [True] * 3


async def test_plans_whose_names_begin_alike_stay_apart(runs: Path) -> None:
    async with open_app(Settings(out=runs, backend="fake")) as app:
        for plan_id, values in (("night", [1, 5]), ("night-2", [7, 9])):
            plan = {"target_variable": "txt2img.steps", "sweep_values": values}
            await app.learning.run_learning_plan(
                plan, {"txt2img": {"prompt": "a"}}, plan_id=plan_id
            )
        await app.reports.drained()
    await record_feedback("night-2-00001", "txt2img_1", 1, base_dir=runs)
    gallery = open_gallery(runs / "night")
    assert [picture.varied["txt2img.steps"] for picture in gallery.pictures] == [1, 5]
    assert package_feedback("night", base_dir=runs)["feedback"] == []
    rebuild_page(runs / "night", written="later")
    data = (runs / "night" / "report_data.js").read_text()
    assert "night-2" not in data


def test_one_picture_is_never_enough_however_good() -> None:
    found = advice([(1, 1)] * 20 + [(5, 1)] * 20 + [(9, 5)])
    assert (found.value, found.enough) == (9, False)
    assert advice([(1, 1)] * 20 + [(5, 1)] * 20 + [(9, 5)] * 4).enough


def test_a_lucky_seed_is_no_merit_of_a_value() -> None:
    """Where one seed pleases whatever the value, a value seen with that seed alone gains less."""

    def lead(lucky: str) -> float:
        rated_so = [("a", lucky, 5)] * 4 + [("b", lucky, 5)] * 4 + [("b", "plain", 2)] * 4
        made = {
            (f"r{n}", "x"): Picture(
                run_id=f"r{n}",
                image_id="x",
                settings={"txt2img.sampler_name": value},
                context=context,
                rating=rating,
            )
            for n, (value, context, rating) in enumerate(rated_so)
        }
        (found,) = advise(Observations(pictures=made))
        means = {each.value: each.mean for each in found.values}
        return means["a"] - means["b"]

    assert lead("lucky") < lead("plain") - 0.2
