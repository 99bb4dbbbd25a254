from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stablenew.config.sweep import parse_assignment, parse_sweep, parse_values
from stablenew.errors import OverrideError


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("txt2img.cfg_scale=1,3,5,8", (1, 3, 5, 8)),
        ("img2img.denoising_strength=0.2:0.8:0.2", (0.2, 0.4, 0.6, 0.8)),
        ("txt2img.steps=10:30:10", (10, 20, 30)),
        ("txt2img.steps=10:35:10", (10, 20, 30)),
        ("txt2img.steps=30:10:-10", (30, 20, 10)),
        ("txt2img.steps=3:6", (3, 4, 5, 6)),
        ("txt2img.cfg_scale=6:3", (6, 5, 4, 3)),
        ("txt2img.cfg_scale=1-5", (1, 2, 3, 4, 5)),
        ("txt2img.cfg_scale=1-10 (+2)", (1, 3, 5, 7, 9)),
        ("txt2img.cfg_scale=3-1 (-0.5), 9", (3, 2.5, 2, 1.5, 1, 9)),
        ("txt2img.cfg_scale=0,1-10 [5]", (0, 1, 3.25, 5.5, 7.75, 10)),
        ("txt2img.cfg_scale=0-1 [4]", (0, 0.333333, 0.666667, 1)),
        ("txt2img.steps=1-10 [5]", (1, 3, 5, 7, 10)),
        ("txt2img.subseed=-3--1", (-3, -2, -1)),
        ("txt2img.cfg_scale=1e-1", (0.1,)),
        ("txt2img.size=512x768, 768x512", ("512x768", "768x512")),
        ("lora.film=0:1:0.5", (0, 0.5, 1)),
        ("replace.red=red,blue-ish", ("red", "blue-ish")),
        ("txt2img.cfg_scale=1,3:5:1, 9.5", (1, 3, 4, 5, 9.5)),
        ("txt2img.sampler_name=Euler, Euler a", ("Euler", "Euler a")),
        ('txt2img.prompt="a cat, sitting",a dog', ("a cat, sitting", "a dog")),
        ('txt2img.prompt="a ""red"" cat" , a "blue" dog', ('a "red" cat', 'a "blue" dog')),
        ("txt2img.prompt=a red\ncat,a blue dog", ("a red\ncat", "a blue dog")),
        ("txt2img.prompt=10:30:10", ("10:30:10",)),
        ("txt2img.seed=1:100000", tuple(range(1, 100_001))),
        ("img2img.enabled=true,false", (True, False)),
        ("txt2img.seed=7", (7,)),
    ],
)
def test_a_sweep_is_read_as_typed(text: str, values: tuple[object, ...]) -> None:
    path, found = parse_sweep(text)
    assert path == text.partition("=")[0]
    assert found == values
    assert [type(value) for value in found] == [type(value) for value in values]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("txt2img.steps", "expected PATH=VALUE"),
        ("txt2img.steps=", "given no values"),
        ("txt2img.steps=a", "given 'a', expected a whole number"),
        ("txt2img.cfg_scale=nan", "expected a number"),
        ("txt2img.steps=1:2:3:4", "start:stop:step"),
        ("txt2img.cfg_scale=0.2:0.8", "only between whole numbers"),
        ("txt2img.steps=1:3:0", "whose step is 0"),
        ("txt2img.steps=3:1:1", "the step leads away"),
        ("txt2img.steps=1:2:0.5", "given 1.5, expected a whole number"),
        ("txt2img.cfg_scale=0:1000:0.000001", "at most 100,000"),
        ("txt2img.cfg_scale=0:1:1e-9999", "at most 100,000"),
        ("txt2img.cfg_scale=0:1:1e-999999999", "at most 100,000"),
        ("txt2img.cfg_scale=0:1:-1e-999999999", "the step leads away"),
        ("txt2img.cfg_scale=1-10 (-2)", "the step leads away"),
        ("txt2img.cfg_scale=1-10 (0)", "whose step is 0"),
        ("txt2img.cfg_scale=1-10 [0]", "expected 1 to 100,000 values"),
        ("txt2img.cfg_scale=1-10 [999999]", "expected 1 to 100,000 values"),
        ("txt2img.steps=1-3 [5]", "but there are 3 whole numbers from 1 to 3"),
        ("txt2img.cfg_scale=1-2-3", "given '1-2-3', expected a number"),
        ('txt2img.prompt="Hello" sign,b', "a stray quote at '\"Hello\" sign,b' (character 1)"),
        ('txt2img.prompt=a,"b', "an unclosed quote at '\"b' (character 3)"),
        ('txt2img.prompt=a "x, y" b', "a stray quote at '\"x, y\" b' (character 3)"),
        ("txt2img.nope=1", "no such setting"),
        ("img2img.enabled=maybe", "expected true or false"),
    ],
)
def test_a_wrong_sweep_says_what_would_be_right(text: str, expected: str) -> None:
    with pytest.raises(OverrideError) as caught:
        parse_sweep(text)
    assert expected in str(caught.value)


def test_an_assignment_takes_the_settings_type() -> None:
    assert parse_assignment("txt2img.steps=12") == ("txt2img.steps", 12)
    assert parse_assignment("txt2img.prompt=12") == ("txt2img.prompt", "12")
    assert parse_assignment("txt2img.prompt=a=b, c") == ("txt2img.prompt", "a=b, c")
    assert parse_assignment("img2img.enabled=True") == ("img2img.enabled", True)


@given(st.lists(st.text(), min_size=1).filter(any))
def test_any_texts_come_back_from_their_quotes(texts: list[str]) -> None:
    quoted = ",".join('"' + text.replace('"', '""') + '"' for text in texts)
    kept = [text.strip() for text in texts]
    if any(kept):
        assert parse_values("txt2img.prompt", quoted) == tuple(kept)


hundredths = st.integers(0, 100_000)


@given(start=hundredths, step=st.integers(1, 500), count=st.integers(1, 200))
def test_a_range_has_every_value_once_in_decimal_arithmetic(
    start: int, step: int, count: int
) -> None:
    exact = [Decimal(start + index * step) / 100 for index in range(count)]
    text = f"{exact[0]}:{exact[-1]}:{Decimal(step) / 100}"
    values = parse_values("txt2img.cfg_scale", text)
    assert [Decimal(str(value)) for value in values] == exact
