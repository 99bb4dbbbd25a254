"""Know, in a real browser: curves, a heat map, what it costs, and what can be done next."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import Page, Request

from tests.desktop.studio_window import Threaded, ask_for, made, says, view

CFG, STEPS, NAME = "txt2img.cfg_scale", "txt2img.steps", "txt2img.sampler_name"
NEXT = {"prompt": "a fox", "learning": {"axes": [{"name": "next", "choices": []}]}}


def point(value: object, mean: float) -> dict[str, object]:
    return {"value": value, "mean": mean, "low": mean - 1, "high": mean + 0.5}


def setting(path: str, value: object, values: list[dict[str, object]]) -> dict[str, object]:
    why = {"enough": False, "why": "not enough ratings (3)", "rate_next": [], "try_next": []}
    return {"parameter": path, "value": value, "values": values, **point(value, 4), **why}


ADVICE: dict[str, object] = {
    "ratings": 3, "choices": 1, "rate_next": [], "left_out": [], "lines": [],
    "idle": [NAME], "undecided": [STEPS], "next": NEXT, "next_words": ["a", "b"], "resume": None,
    "joint": {
        "together": {CFG: 5, STEPS: 8}, "mean": 4.2, "low": 3.1, "high": 4.9, "enough": False,
        "why": "not enough ratings (3)", "expected_regret": 0.3, "expected_gain": 0.1,
        "matters": {CFG: 0.9, STEPS: 0.5, NAME: 0.1}, "seconds": 2.5, "pair": None,
        "cheaper": {"settings": {CFG: 5, STEPS: 4}, "loss": 0.05, "seconds": 1.25, "share": 0.5},
        "curves": {CFG: [point(value, 2 + value / 10) for value in (1, 2, 5, 9, 20)]},
    },
    "settings": [
        setting(CFG, 5, []),
        setting(NAME, "Euler", [point("Euler", 4), point("Heun", 3)]),
    ],
    "points": {
        CFG: [{"value": 5, "rating": 4, "key": key} for key in ("r/i", "r/so")],
        STEPS: [{"value": n, "rating": 4, "key": key} for key, n in (("r/i", 4), ("r/so", 8))],
    },
    "heat": {
        "x": CFG, "y": STEPS, "x_values": [1, 3, 9], "y_values": [4, 8],
        "means": [[1.0, 2.0, 3.0], [2.0, 4.5, None]],
    },
    "together": {"txt2img": {"cfg_scale": 5, "steps": 8}},
}  # fmt: skip


@pytest.fixture
def known(tab: Page) -> Page:
    """The view after a plan of two pictures, with advice that is made up."""
    ask_for(tab, "2,5", prompt="a fox at night", server="fake")
    tab.click("#start")
    made(tab, 2)
    says(tab, ".words", "succeeded")
    tab.route(re.compile("api/advice"), lambda route: route.fulfill(json=ADVICE))
    view(tab, "know")
    tab.locator(".advice").wait_for()
    return tab


def texts(page: Page, selector: str) -> list[str]:
    return [str(each.text_content()) for each in page.locator(selector).all()]


def test_what_to_use_how_sure_that_is_what_matters_and_what_it_costs(known: Page) -> None:
    assert texts(known, ".together dd") == ["5", "8"]
    says(known, ".gauge", "expected 4.2 of 5, from 3.1 to 4.9")
    says(known, ".badge", "not sure yet")
    assert texts(known, ".matters .faint") == [
        "matters (90 %)",
        "not known yet (50 %)",
        "may not matter (10 %)",
    ]
    says(known, ".beside", "about 2.50 s a picture as advised")
    says(known, ".beside", "steps 4 instead of 8: 1.25 s a picture (2.0 times as fast)")


def test_a_curve_names_the_values_inside_a_logarithmic_axis(known: Page) -> None:
    section = ".charts section[title='txt2img.cfg_scale']"
    names = texts(known, f"{section} .chart text")
    assert {"1", "2", "5", "10", "20", "rating", "cfg_scale"} <= set(names)
    assert known.locator(f"{section} .dot title").text_content() == "5: rated 4, 2 times"
    assert known.locator(f"{section} rect.cost").count() == 2  # what each value's picture took
    known.locator(section).get_by_text("as numbers").click()
    row = known.locator(f"{section} tr").filter(has_text="2.5").first
    assert row.inner_text().split("\t")[:3] == ["5", "2.5", "1.5 to 3.0"]
    bars = known.locator(".charts section[title='txt2img.sampler_name'] .bar.chosen title")
    assert str(bars.text_content()).startswith("Euler: 4.0")


def test_a_heat_map_has_a_legend_its_axes_names_and_its_best_place(known: Page) -> None:
    heat = known.locator(".chart.heat")
    assert texts(known, ".chart.heat .title") == ["cfg_scale", "steps"]
    assert heat.locator(".tile").count() == 5
    best = heat.locator(".tile.top title").text_content()
    assert best == "cfg_scale 3, steps 8: 4.5"
    names = texts(known, ".chart.heat text:not(.title):not(.on)")
    assert names == ["1", "9", "3", "4", "8", "1", "2", "3", "4", "5"]
    assert "best 4.5 at cfg_scale 3, steps 8" in str(heat.get_attribute("aria-label"))


def test_advice_is_taken_into_the_form_of_its_plan(known: Page) -> None:
    known.get_by_role("button", name="use it in the form").click()
    says(known, ".command", "txt2img.cfg_scale=5")
    assert known.locator(".prompts textarea").input_value() == "a fox at night"
    assert known.locator("#server").input_value() == "fake"
    values = [known.locator(f"[data-path='{path}'] input").input_value() for path in (CFG, STEPS)]
    assert values == ["5", "8"]
    assert known.locator(".chip").count() == 0  # one value, in place of what was explored


def test_a_picture_that_was_made_as_advised_leaves_in_every_form(known: Page) -> None:
    link = known.get_by_role("link", name="a picture made so")
    assert link.get_attribute("href") == "#use/r/so"


def test_the_cheaper_one_is_taken_in_its_place(known: Page) -> None:
    known.get_by_role("button", name="use the cheaper one").click()
    says(known, ".command", "txt2img.steps=4")


def test_what_is_worth_making_next_is_put_into_the_queue(threaded: Threaded, known: Page) -> None:
    said: list[Request] = []
    known.on("request", lambda request: said.extend([request] * request.url.endswith("api/queue")))
    known.route("**/api/queue", lambda route: route.fulfill(json={"id": "q9", "plan_id": None}))
    known.get_by_role("button", name="make these 2 next").click()
    known.locator("#view.watch").wait_for()
    assert json.loads(str(said[0].post_data)) == {"job": NEXT}
