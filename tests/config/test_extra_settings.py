"""What is sent beyond what has a name: its paths, its values, and what is refused."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stablenew.config.extra_settings import (
    extra_of,
    extra_settings,
    missing_places,
    parts_of,
    placed,
)
from stablenew.config.overrides import override, override_all, value_type
from stablenew.config.pack_tables import prompts_from
from stablenew.config.pipeline_config import PipelineConfig
from stablenew.config.sweep import parse_assignment, parse_sweep
from stablenew.errors import ConfigError, OverrideError
from stablenew.learning.learning_adapter import build_learning_plan_from_dict
from stablenew.learning.learning_plan import LearningPlan
from stablenew.pipeline.stage_settings import asked_settings

DELTA = "override_settings.eta_noise_seed_delta"
WEIGHT = "alwayson_scripts.ControlNet.args.0.weight"

_names = st.text(min_size=1, max_size=6).filter(lambda name: not name.isdigit())
_values = st.one_of(st.booleans(), st.integers(-9, 9), st.floats(-1, 1), _names)
_tables = st.recursive(
    _values,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3), st.dictionaries(_names, inner, min_size=1)
    ),
    max_leaves=8,
)


def of_txt2img(extra: object) -> PipelineConfig:
    return PipelineConfig.from_dict({"txt2img": {"extra": extra}})


@given(st.dictionaries(st.sampled_from(["a", "b c", "seven"]), _tables))
def test_what_is_given_as_tables_and_lists_is_sent_as_it_is(extra: dict[str, Any]) -> None:
    body: dict[str, object] = {}
    flat = extra_settings(extra) or {}
    assert not [*missing_places(flat)]
    placed(body, flat)
    assert body == extra
    assert dict(extra_settings(flat) or {}) == dict(flat)


def test_tables_in_a_plan_file_are_values_by_their_paths() -> None:
    nested = {"override_settings": {"eta_noise_seed_delta": 3}, "alwayson_scripts": {
        "ControlNet": {"args": [{"weight": 0.5}]}, "Tiled v1.2": {"args": [True]}
    }}  # fmt: skip
    config = of_txt2img(nested)
    assert config.txt2img.extra == {
        DELTA: 3,
        WEIGHT: 0.5,
        'alwayson_scripts."Tiled v1.2".args.0': True,
    }
    assert PipelineConfig.from_dict(config.to_dict()) == config


def test_numbers_in_tables_are_places_as_dotted_keys_of_a_plan_file_have_them() -> None:
    written = tomllib.loads("[txt2img]\nextra.alwayson_scripts.ControlNet.args.0.weight = 0.5")
    assert PipelineConfig.from_dict(written).txt2img.extra == {WEIGHT: 0.5}


def test_a_config_without_any_is_as_it_was_before_there_was_such_a_thing() -> None:
    plain = PipelineConfig.from_dict({"txt2img": {"steps": 3}})
    assert plain.to_dict()["txt2img"] == {"enabled": True, "steps": 3}
    assert asked_settings(plain, "txt2img") == {"steps": 3}
    assert of_txt2img({}) == PipelineConfig()


def test_an_extra_setting_is_overridden_as_all_others_are() -> None:
    base = override(PipelineConfig(), f"txt2img.extra.{DELTA}", 1)
    config = override_all(base, {f"txt2img.extra.{WEIGHT}": 0.5, f"txt2img.extra.{DELTA}": 2})
    assert asked_settings(config, "txt2img") == {f"extra.{DELTA}": 2, f"extra.{WEIGHT}": 0.5}
    assert base.txt2img.extra == {DELTA: 1}
    assert extra_of(asked_settings(config, "txt2img")) == config.txt2img.extra
    assert value_type(f"txt2img.extra.{DELTA}") is object


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("0.5:1:0.25", (0.5, 0.75, 1)),
        ("31337", (31337,)),
        ("-1e-3,+2.", (-0.001, 2)),
        ("1-3", (1, 2, 3)),
        ("true,False", (True, False)),
        ('"a, b",c', ("a, b", "c")),
        ("a:b,12:30 h", ("a:b", "12:30 h")),
    ],
)
def test_values_of_no_known_type_are_what_they_look_like(
    text: str, values: tuple[object, ...]
) -> None:
    assert parse_sweep(f"txt2img.extra.x={text}") == ("txt2img.extra.x", values)


def test_a_value_that_is_set_is_one() -> None:
    assert parse_assignment(f"img2img.extra.{DELTA}=31337") == (f"img2img.extra.{DELTA}", 31337)
    assert parse_assignment("txt2img.extra.x=true") == ("txt2img.extra.x", True)
    assert parse_assignment("txt2img.extra.x=a, b") == ("txt2img.extra.x", "a, b")


@pytest.mark.parametrize(
    ("stage", "path", "says"),
    [
        ("txt2img", "cfg_scale", "is a setting of its own, expected txt2img.cfg_scale"),
        ("txt2img", "distilled_cfg_scale", "expected txt2img.distilled_cfg_scale"),
        ("img2img", "resize_mode", "expected img2img.resize_mode"),
        ("txt2img", "prompt.x", "expected txt2img.prompt"),
        ("txt2img", "sampler_index", "expected txt2img.sampler_name"),
        ("txt2img", "override_settings.sd_model_checkpoint", "expected txt2img.model"),
        ("img2img", "override_settings.CLIP_stop_at_last_layers", "expected img2img.clip_skip"),
        ("txt2img", "override_settings.forge_additional_modules.0", "expected txt2img.vae"),
        ("adetailer", "alwayson_scripts.ADetailer.args.2.ad_prompt", "expected adetailer.ad_pr"),
        ("adetailer", "alwayson_scripts.adetailer.args.0", "expected a setting of a tab"),
        ("txt2img", "batch_size", "expected --images-per-step"),
        ("txt2img", "n_iter", "expected --images-per-step"),
        ("img2img", "init_images.0", "cannot be given"),
        ("txt2img", "infotext", "cannot be given"),
        ("upscale", "width", "cannot be given"),
        ("txt2img", "enabled", "is a setting of its own, expected txt2img.enabled"),
    ],
)
def test_what_has_a_name_or_is_ours_is_refused_by_the_path_that_is_right(
    stage: str, path: str, says: str
) -> None:
    begins = f"{stage}.extra.{path}: "
    with pytest.raises(OverrideError) as swept:
        override(PipelineConfig(), f"{stage}.extra.{path}", 3)
    with pytest.raises(ConfigError) as written:
        PipelineConfig.from_dict({stage: {"extra": {path: 3}}})
    for caught in (swept, written):
        (problem,) = caught.value.problems
        assert problem.startswith(begins)
        assert says in problem


@pytest.mark.parametrize(
    ("stage", "path"),
    [
        ("img2img", "subseed"),
        ("adetailer", "alwayson_scripts.ADetailer.args.2.ad_mask_min_ratio"),
        ("adetailer", "alwayson_scripts.ADetailer.args.3.ad_model"),
        ("upscale", "override_settings.sd_vae"),
    ],
)
def test_what_the_stage_has_no_name_for_may_be_given(stage: str, path: str) -> None:
    config = override(PipelineConfig(), f"{stage}.extra.{path}", "x")
    assert asked_settings(config, stage) == {f"extra.{path}": "x"}


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        (5, "extra: given 5, expected a table"),
        ({"a": []}, r"extra\.a: given \[\], expected text, a number"),
        ({"a": {}}, r"extra\.a: given \{\}, expected text, a number"),
        ({"a": None}, r"extra\.a: given None"),
        ({"a": float("nan")}, r"extra\.a: given nan, expected a finite number"),
        ({"a": "\udc80"}, r"extra\.a: given .*, expected valid Unicode text"),
        ({"a": 1, "a.b": 2}, r"extra\.a: has a value, and extra\.a\.b below it"),
        ({"": 1}, r"extra\.: no path, expected names with dots"),
        ({"a..b": 1}, r"extra\.a\.\.b: no path"),
        ({'a"b': 1}, "extra.*: no path"),
    ],
)
def test_what_cannot_be_sent_is_one_line(extra: object, says: str) -> None:
    with pytest.raises(ConfigError, match=rf"^txt2img\.{says}"):
        of_txt2img(extra)


@pytest.mark.parametrize("path", ["", "a.", ".a", "a..b", 'a"b'])
def test_what_is_no_path_is_an_error(path: str) -> None:
    with pytest.raises(OverrideError, match=r"^txt2img\.extra\."):
        override(PipelineConfig(), f"txt2img.extra.{path}", 1)
    with pytest.raises(OverrideError, match=r"^txt2img\.extra: of what\?"):
        override(PipelineConfig(), "txt2img.extra", 1)


def test_an_override_below_a_value_is_an_error_with_its_stage() -> None:
    config = override(PipelineConfig(), "txt2img.extra.a", 1)
    with pytest.raises(OverrideError, match=r"^txt2img\.extra\.a: has a value, and extra\.a\.b"):
        override(config, "txt2img.extra.a.b", 1)


def test_numbers_are_places_in_lists_and_quoted_ones_names() -> None:
    assert parts_of('a.0."1"."x.y".z') == ("a", 0, "1", "x.y", "z")
    assert parts_of("a." + "9" * 5000)[1] == "9" * 5000
    body: dict[str, object] = {"args": [True, {"x": 1}]}
    placed(body, {"args.1.y": 2, "args.2": 3, 'names."0"': 4})
    assert body == {"args": [True, {"x": 1, "y": 2}, 3], "names": {"0": 4}}
    assert [*missing_places({"args.0.x": 1, "args.2.x": 1})] == [
        "extra.args.2.x: given, but not extra.args.1 before it"
    ]
    assert not [*missing_places({"alwayson_scripts.ADetailer.args.2.ad_x": 1})]


def test_an_extra_setting_may_be_given_without_its_stage_where_others_may() -> None:
    path = f"txt2img.extra.{DELTA}"
    plan = LearningPlan(stage="txt2img", target_variable=f"extra.{DELTA}", sweep_values=[1, 2])
    assert (plan.path, plan.target_variable) == (path, f"extra.{DELTA}")
    flat = {"stage": "img2img", "target_variable": "extra.x", "sweep_values": [1]}
    assert build_learning_plan_from_dict(flat).path == "img2img.extra.x"
    (prompt,) = prompts_from([{"prompt": "a cat", f"extra.{DELTA}": 3}])
    assert prompt.overrides == {path: 3}
