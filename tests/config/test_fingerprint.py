"""What changes a fingerprint, and what does not."""

from __future__ import annotations

import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stablenew.backends.fake import FAKE_CAPABILITIES
from stablenew.config.fingerprint import fingerprint
from stablenew.config.overrides import override
from stablenew.config.pipeline_config import Setting
from stablenew.pipeline.stage_plan import plan_stages
from tests.support import config

ABOUT: dict[str, Any] = {
    "backend": "webui",
    "version": "Forge",
    "model": "0123456789",
    "stage": "txt2img",
    "settings": {"prompt": "a cat", "steps": 20, "cfg_scale": 7.0, "seed": 1},
    "source": "",
}
NAMES = st.text(string.ascii_lowercase + "_", min_size=1, max_size=12)
VALUES = st.one_of(
    st.text(max_size=20),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
)
SETTINGS = st.dictionaries(NAMES, VALUES, max_size=12)


def of(**changed: object) -> str:
    return fingerprint(**{**ABOUT, **changed})


@given(SETTINGS, st.randoms())
def test_the_order_of_settings_does_not_count(settings: dict[str, Setting], chance: Any) -> None:
    names = list(settings)
    chance.shuffle(names)
    shuffled = {name: settings[name] for name in names}
    assert of(settings=settings) == of(settings=shuffled)


@given(SETTINGS, NAMES, st.integers(-(2**53), 2**53))
def test_a_whole_number_is_the_same_however_it_is_written(
    settings: dict[str, Setting], name: str, value: int
) -> None:
    as_int, as_float = {**settings, name: value}, {**settings, name: float(value)}
    assert of(settings=as_int) == of(settings=as_float)


@given(SETTINGS, NAMES)
def test_none_is_no_setting(settings: dict[str, Setting], name: str) -> None:
    without = {key: value for key, value in settings.items() if key != name}
    assert of(settings=without) == of(settings={**without, name: None})


@given(SETTINGS, NAMES, VALUES, VALUES)
def test_another_value_of_any_setting_is_another_picture(
    settings: dict[str, Setting], name: str, one: Setting, other: Setting
) -> None:
    same = one == other and isinstance(one, bool) == isinstance(other, bool)
    equal = of(settings={**settings, name: one}) == of(settings={**settings, name: other})
    assert equal == same


@pytest.mark.parametrize("name", ["backend", "version", "model", "stage", "source"])
def test_everything_else_that_makes_a_picture_counts(name: str) -> None:
    assert of(**{name: "other"}) != of()


def test_parts_do_not_run_into_each_other() -> None:
    assert of(backend="ab", version="c") != of(backend="a", version="bc")


def test_true_is_not_one_and_text_is_no_number() -> None:
    found = {of(settings={"steps": value}) for value in (1, True, "1", None)}
    assert len(found) == 4


def test_text_that_utf_8_has_no_bytes_for_is_told_apart() -> None:
    found = {of(settings={"prompt": text}) for text in ("a \ud800", "a \udcff", "a")}
    assert len(found) == 3


def test_it_is_the_same_tomorrow() -> None:
    assert of() == "ac3c14fcaa839040b736b9ffe13b0c6f40e93a9f3ab62f4d015d231e27b60c85"


@pytest.mark.parametrize("path", ["txt2img.steps", "txt2img.cfg_scale", "txt2img.prompt"])
def test_a_setting_that_is_given_as_its_default_is_the_same_picture(path: str) -> None:
    name = path.partition(".")[2]
    default = FAKE_CAPABILITIES.stages["txt2img"][name]
    given_config = config() if default is None else override(config(), path, default)
    planned = [
        plan_stages(each, FAKE_CAPABILITIES).stages[0].settings for each in (config(), given_config)
    ]
    assert of(settings=planned[0]) == of(settings=planned[1])
