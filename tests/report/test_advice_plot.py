"""What the picture of the joint advice shows, looked at pixel by pixel."""

from __future__ import annotations

import io
import math

import attrs
import numpy as np
from PIL import Image

from stablenew.advice.joint_advice import JointAdvice, Point
from stablenew.advice.strongest_pair import StrongestPair
from stablenew.report.advice_plot import plot_advice
from stablenew.report.lettering import Lettering

CFG, SAMPLER = "txt2img.cfg_scale", "txt2img.sampler_name"


def point(value: object, mean: float) -> Point:
    return Point(value=value, mean=mean, low=mean - 0.5, high=mean + 0.5)  # type: ignore[arg-type]


PAIR = StrongestPair(
    first=CFG,
    second=SAMPLER,
    first_values=(1, 5, 9),
    second_values=("Euler", "[ウ]" * 40),
    quality=((1.0, 4.0), (4.0, 2.0), (3.0, 1.0)),
    spread=0.5,
    words="…",
)
ADVICE = JointAdvice(
    settings={CFG: 5, SAMPLER: "Euler"},
    mean=4.0,
    low=3.5,
    high=4.5,
    sure=0.5,
    enough=False,
    expected_regret=0.2,
    expected_gain=0.1,
    why="…",
    ratings=9,
    choices=0,
    curves={
        CFG: (point(1, 2.0), point(5, 4.0), point(9, 3.0)),
        SAMPLER: (point("[ウ]" * 40, 1.5), point("Euler", 4.0)),
    },
    pair=PAIR,
)


def pixels(advice: JointAdvice) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.array(Image.open(io.BytesIO(plot_advice(advice, Lettering()))).convert("RGB"))


def test_each_setting_and_the_strongest_pair_have_a_panel() -> None:
    assert pixels(ADVICE).shape == (600, 840, 3)
    assert pixels(attrs.evolve(ADVICE, pair=None)).shape == (300, 840, 3)
    one = attrs.evolve(ADVICE, pair=None, curves={CFG: ADVICE.curves[CFG]})
    assert pixels(one).shape == (300, 420, 3)


def test_a_curve_is_highest_at_its_best_and_marks_what_is_advised() -> None:
    drawn = pixels(ADVICE)[:300, :420]
    line = (drawn == (0x2B, 0x6C, 0xB0)).all(axis=2)
    tops = [int(np.flatnonzero(line[:, x])[0]) for x in (60, 220, 390)]
    assert tops[1] < tops[2] < tops[0]
    marked = (drawn == (0xC0, 0x56, 0x21)).all(axis=2)[44:256]
    assert marked.all(axis=0).sum() == 1
    where = 44 + math.log(5) / math.log(9) * 360  # a range that grows eightfold is logarithmic
    assert abs(int(marked.all(axis=0).argmax()) - where) < 3


def test_bars_are_as_high_as_what_is_believed_the_advised_one_in_its_own_colour() -> None:
    drawn = pixels(ADVICE)[:300, 420:]
    best, other = (
        (drawn == colour).all(axis=2)[:256].sum(axis=0).max()
        for colour in ((0xC0, 0x56, 0x21), (0x2B, 0x6C, 0xB0))
    )
    assert abs(int(best) - 3.0 / 4.0 * 212) < 4
    assert abs(int(other) - 0.5 / 4.0 * 212) < 4


def test_the_best_of_two_settings_is_the_darkest() -> None:
    drawn = pixels(ADVICE)[300:, :420].astype(int)
    shades = {
        (across, up): int(drawn[200 - 106 * up, 44 + 60 + 120 * across, 0])
        for across in range(3)
        for up in range(2)
    }
    assert min(shades, key=lambda each: shades[each]) in {(0, 1), (1, 0)}
    assert max(shades, key=lambda each: shades[each]) in {(0, 0), (2, 1)}


def test_many_values_and_a_flat_one_are_drawn() -> None:
    names = tuple(point(f"name {n}", 1 + n % 4) for n in range(40))
    flat = (point(7, 3.0),)
    curves = {CFG: flat, SAMPLER: names, "txt2img.steps": (point(1, 3.0), point(100, 3.0))}
    advice = attrs.evolve(ADVICE, pair=None, curves=curves,
                          settings={CFG: 7, SAMPLER: "name 3", "txt2img.steps": 1})  # fmt: skip
    assert pixels(advice).shape == (600, 840, 3)
