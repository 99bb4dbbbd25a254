"""From ratings and choices to advice: what it recommends, and when it says that it cannot."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stablenew.config.pipeline_config import Setting
from stablenew.learning.observations import Observations, Picture, gather_observations
from stablenew.learning.recommendation import Recommendation, advise, recommend

OLDER = Path(__file__).parent / "data" / "older.jsonl"


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
