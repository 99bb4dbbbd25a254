"""Which two pictures to show for a choice: the best so far, and what promises to beat it."""

from __future__ import annotations

import numpy as np
import pytest

from stablenew.advice.asking import best_of, pictures_of, rows_of
from stablenew.advice.asking_pairs import ask_pairs
from stablenew.advice.candidates import Grid
from stablenew.advice.joint_model import JointModel
from stablenew.advice.judgements import Chosen, Judged
from stablenew.advice.setting_axis import SettingAxis
from tests.advice.people import AXES, some_choices, worth


def told(count: int) -> JointModel:
    model = JointModel(AXES)
    model.tell(choices=some_choices(count))
    return model


@pytest.mark.parametrize("choices", [0, 20])
def test_both_of_a_pair_have_one_prompt_and_one_seed_and_differ(choices: int) -> None:
    model = told(choices)
    draws = model.fit() if choices else None
    pairs = ask_pairs(model, draws, count=4, prompts=("b", "c"), seeds=(5, 6))
    assert len(pairs) == 4
    for one, other in pairs:
        assert one.settings != other.settings
        assert (one.prompt, one.seed) == (other.prompt, other.seed) == ("b", 5)


def test_the_best_so_far_meets_what_promises_to_beat_it() -> None:
    model = told(20)
    draws = model.fit()
    grid = Grid(AXES)
    pairs = ask_pairs(model, draws, count=3)
    best, _ = best_of(grid, draws, grid.numbers_of(rows_of(model, pictures_of(model))))
    first = {tuple(one.settings.items()) for one, _ in pairs}
    assert len(first) == 1
    assert len({tuple(other.settings.items()) for _, other in pairs}) == 3
    found = draws.quality(rows_of(model, [pairs[0][0], pairs[0][1]]))
    assert found[:, 0].mean() >= draws.quality(grid.rows(best[None, :])).mean() - 0.1
    anything = draws.quality(grid.rows(grid.some(50, np.random.default_rng(0))))
    gains = np.maximum(anything - found[:, :1], 0.0).mean(axis=0)
    assert np.maximum(found[:, 1] - found[:, 0], 0.0).mean() >= gains.max()


def test_a_pair_that_was_chosen_from_is_not_shown_again_under_its_prompt_and_seed() -> None:
    names = SettingAxis(path="txt2img.sampler_name", names=("Euler", "Heun", "LMS"))
    euler, heun, lms = (
        Judged(settings={names.path: name}, prompt="a", seed=1) for name in names.names
    )
    model = JointModel((names,))
    for loser, left in ((heun, ((euler, lms),)), (lms, ())):
        model.tell(choices=[Chosen(better=euler, worse=loser)] * 4)
        assert ask_pairs(model, model.fit(), count=9, prompts=("a",), seeds=(1,)) == left
    elsewhere = ask_pairs(model, model.fit(), count=9, prompts=("b",), seeds=(1,))
    assert len(elsewhere) == 2


def test_few_choices_that_were_asked_for_find_what_is_best() -> None:
    model = JointModel(AXES)
    random = np.random.default_rng(3)
    for _ in range(14):
        draws = model.fit() if model.count else None
        for one, other in ask_pairs(model, draws, count=2):
            apart = worth(one.settings) - worth(other.settings) + random.normal(0, 0.4)
            better, worse = (one, other) if apart > 0 else (other, one)
            model.tell(choices=[Chosen(better=better, worse=worse)])
    grid = Grid(AXES)
    best, _ = best_of(grid, model.fit(), grid.numbers_of(rows_of(model, pictures_of(model))))
    assert worth(grid.settings(best)) > 3.9
