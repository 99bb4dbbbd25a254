from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stablenew.config.input_file import read_table
from stablenew.config.pipeline_config import PipelineConfig, Txt2ImgConfig
from stablenew.errors import ConfigError

SHARED = {"txt2img": {"prompt": "a cat"}}


def problems(data: object) -> tuple[str, ...]:
    assert isinstance(data, dict)
    with pytest.raises(ConfigError) as caught:
        PipelineConfig.from_dict(data)
    return caught.value.problems


def test_only_txt2img_is_on_by_default_and_nothing_is_filled_in() -> None:
    config = PipelineConfig.from_dict(SHARED)
    assert config.txt2img.enabled
    later = (config.img2img, config.adetailer, config.upscale)
    assert not any(stage.enabled for stage in later)
    assert config.txt2img.steps is None
    assert config.txt2img.cfg_scale is None


def test_all_problems_are_reported_at_once_each_with_its_path() -> None:
    found = problems(
        {
            "txt2img": {"stepz": 3, "steps": "5", "cfg_scale": math.nan, "width": 3},
            "upscale": 5,
            "tx": 1,
        }
    )
    assert {problem.partition(":")[0] for problem in found} == {
        "tx",
        "txt2img.cfg_scale",
        "txt2img.stepz",
        "txt2img.steps",
        "txt2img.width",
        "upscale",
    }


def test_an_unknown_key_names_the_nearest_right_one() -> None:
    (found,) = problems({"txt2img": {"sampler": "Euler"}})
    assert "did you mean sampler_name or" in found


@pytest.mark.parametrize(
    ("setting", "value", "expected"),
    [
        ("steps", "20", "a whole number"),
        ("steps", True, "a whole number"),
        ("steps", 20.5, "a whole number"),
        ("steps", 0, "1 to 10,000"),
        ("steps", 10_001, "1 to 10,000"),
        ("cfg_scale", "7", "a number"),
        ("cfg_scale", math.inf, "a finite number"),
        ("cfg_scale", -1, "0 to 1,000"),
        ("prompt", 5, "text"),
        ("enabled", 1, "true or false"),
        ("seed", -2, "-1 to"),
        ("seed", 2**64, "-1 to"),
        ("denoising_strength", 1.5, "0 to 1"),
        ("clip_skip", 0, "1 to 12"),
    ],
)
def test_a_wrong_value_says_what_was_given_and_what_would_be_right(
    setting: str, value: object, expected: str
) -> None:
    (found,) = problems({"txt2img": {setting: value}})
    assert found.startswith(f"txt2img.{setting}: given {value!r}")
    assert expected in found


def test_bounds_are_the_apis_and_not_the_sliders() -> None:
    config = PipelineConfig.from_dict(
        {"txt2img": {"steps": 10_000, "cfg_scale": 0, "width": 16_384, "seed": 2**40}}
    )
    assert config.txt2img.steps == 10_000


def test_a_class_made_by_hand_is_checked_as_well() -> None:
    with pytest.raises(ConfigError, match="steps: given 0"):
        Txt2ImgConfig(steps=0)


def test_a_whole_float_counts_as_a_whole_number() -> None:
    assert PipelineConfig.from_dict({"txt2img": {"steps": 20.0}}).txt2img.steps == 20


settings = st.fixed_dictionaries(
    {},
    optional={
        "prompt": st.text(max_size=30),
        "steps": st.integers(1, 10_000),
        "cfg_scale": st.floats(0, 1000) | st.integers(0, 1000),
        "seed": st.integers(-1, 2**63 - 1),
        "enabled": st.booleans(),
        "sampler_name": st.text(max_size=10),
    },
)


@given(settings)
def test_a_config_survives_the_way_to_plain_data_and_back(data: dict[str, object]) -> None:
    config = PipelineConfig.from_dict({"txt2img": data})
    assert PipelineConfig.from_dict(config.to_dict()) == config
    plain = config.to_dict()["txt2img"]
    assert isinstance(plain, dict)
    assert {"enabled": True, **data} == plain


def test_toml_and_json_files_are_read(tmp_path: Path) -> None:
    toml, json = tmp_path / "a.toml", tmp_path / "a.json"
    toml.write_text('\ufeff[txt2img]\nprompt = "ä cat"\n')
    json.write_text('{"txt2img": {"prompt": "ä cat"}}')
    assert read_table(toml) == read_table(json) == {"txt2img": {"prompt": "ä cat"}}


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.toml", b"a = = 1", "line 1, column 5"),
        ("a.json", b'{"a": }', "line 1 column 7"),
        ("a.json", b"[1]", "expected an object"),
        ("a.toml", b"\x89PNG\r\n", "not a UTF-8 text file"),
        ("a.toml", b"a = 1\0", "zero byte"),
    ],
)
def test_a_broken_file_is_named_with_the_place(
    tmp_path: Path, name: str, content: bytes, expected: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_table(path)
    assert str(path) in str(caught.value)
    assert expected in str(caught.value)


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_table(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="directory"):
        read_table(tmp_path)
