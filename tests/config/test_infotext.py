from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stablenew.config.infotext import infotext, read_infotext
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


THEIRS = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')
"""As AUTOMATIC1111 has it."""

LETTERS = st.sampled_from([*'aZ9_ -/:,."\\', "\t", "é", "\u2028", "\x85", "ab: ", '"a, b"', ", "])


@given(st.lists(LETTERS, max_size=40).map("".join))
def test_a_line_is_read_as_automatic1111_reads_it(line: str) -> None:
    whole = f"a cat\nSteps: 1, Seed: 2, Size: 8x8, {line}".strip()
    expected = dict(THEIRS.findall(whole.rpartition("\n")[2]))
    found = read_infotext(whole)
    assert list(found) == list(expected)
    for label, value in expected.items():
        assert value.startswith('"') or found[label] == value.strip()


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\r"])
def test_only_a_newline_ends_a_line(separator: str) -> None:
    prompt = f"a cat{separator}hair: red, eyes: blue, dress: green"
    line = f"Steps: 4, Sampler: Euler, Hires prompt: {json.dumps(prompt, ensure_ascii=False)}"
    pairs = read_infotext(f"a cat\n{line}, Hires upscale: 2, Version: 1")
    assert pairs["Hires prompt"] == prompt
    assert pairs["Hires upscale"] == "2"


def test_a_long_last_line_without_a_colon_is_looked_at_once() -> None:
    assert read_infotext("a cat\n" + "word " * 400_000) == {}  # hours, if it were quadratic
