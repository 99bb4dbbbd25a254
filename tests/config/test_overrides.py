from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stablenew.config.overrides import (
    override,
    override_all,
    setting_types,
    split_path,
    with_seed,
)
from stablenew.config.pipeline_config import STAGES, PipelineConfig
from stablenew.errors import OverrideError
from tests.support import config


def test_an_override_changes_one_setting_and_leaves_the_base_as_it_was() -> None:
    base = config()
    derived = override(base, "txt2img.cfg_scale", 5)
    assert derived.txt2img.cfg_scale == 5
    assert base.txt2img.cfg_scale is None
    assert derived.txt2img.prompt == base.txt2img.prompt
    assert derived.img2img is base.img2img


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("txt2img.cfgscale", "txt2img.cfg_scale"),
        ("cfg_scale", "txt2img.cfg_scale or img2img.cfg_scale"),
        ("txt2img", "txt2img"),
        ("txt2img.cfg_scale.x", "txt2img.cfg_scale"),
        ("imgtoimg.steps", "img2img"),
        ("", "txt2img"),
    ],
)
def test_an_unknown_path_names_the_nearest(path: str, expected: str) -> None:
    with pytest.raises(OverrideError) as caught:
        override(config(), path, 5)
    assert expected in str(caught.value)


@pytest.mark.parametrize("value", ["7", True, float("nan"), [1], 5_000])
def test_a_value_that_does_not_fit_is_refused_with_its_path(value: object) -> None:
    with pytest.raises(OverrideError, match=r"^txt2img\.cfg_scale: given"):
        override(config(), "txt2img.cfg_scale", value)


def test_several_overrides_report_all_their_problems() -> None:
    with pytest.raises(OverrideError) as caught:
        override_all(config(), {"txt2img.steps": 0, "nope": 1, "txt2img.seed": 3})
    assert len(caught.value.problems) == 2


def test_every_setting_of_every_stage_has_a_plain_type() -> None:
    for stage in STAGES:
        for name, kind in setting_types(stage).items():
            assert kind in (str, int, float, bool), (stage, name)
            assert split_path(f"{stage}.{name}") == (stage, name)


@given(st.integers(1, 10_000), st.integers(1, 10_000))
def test_the_last_override_wins_and_order_of_others_does_not_matter(one: int, two: int) -> None:
    base = PipelineConfig()
    assert override(override(base, "txt2img.steps", one), "txt2img.steps", two) == override(
        base, "txt2img.steps", two
    )
    ab = override(override(base, "txt2img.steps", one), "img2img.steps", two)
    ba = override(override(base, "img2img.steps", two), "txt2img.steps", one)
    assert ab == ba


def test_a_seed_of_minus_one_is_drawn_and_a_given_one_is_kept() -> None:
    drawn = iter([11, 22])
    base = config(txt2img={"seed": -1}, img2img={"seed": -1})
    resolved = with_seed(base, lambda: next(drawn))
    assert (resolved.txt2img.seed, resolved.img2img.seed) == (11, 22)
    assert base.txt2img.seed == -1
    assert with_seed(resolved, lambda: 99) == resolved


def test_only_the_first_stage_draws_a_seed_that_was_not_given() -> None:
    resolved = with_seed(PipelineConfig(), lambda: 5)
    assert resolved.txt2img.seed == 5
    assert resolved.img2img.seed is None
