from __future__ import annotations

from stablenew.backends.infotext import infotext
from stablenew.config.pipeline_config import Setting

SETTINGS: dict[str, Setting] = {
    "prompt": "a cat",
    "negative_prompt": "",
    "steps": 20,
    "sampler_name": "Euler a",
    "scheduler": "Karras",
    "cfg_scale": 7.0,
    "seed": 1,
    "width": 64,
    "height": 48,
    "model": "tiny",
}


def test_the_lines_are_those_of_the_webui() -> None:
    assert infotext(SETTINGS, "1") == (
        "a cat\nSteps: 20, Sampler: Euler a, Schedule type: Karras, CFG scale: 7.0, Seed: 1,"
        " Size: 64x48, Model: tiny, Version: 1"
    )


def test_a_value_with_a_comma_or_a_colon_is_quoted_as_json() -> None:
    text = infotext({**SETTINGS, "model": 'a, "b": c'}, "1")
    assert 'Model: "a, \\"b\\": c", Version' in text


def test_what_was_not_set_is_left_out() -> None:
    text = infotext({**SETTINGS, "model": None, "denoising_strength": 0.5}, "1")
    assert "Model" not in text
    assert "Denoising strength: 0.5" in text
