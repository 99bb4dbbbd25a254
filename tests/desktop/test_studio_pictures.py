"""Pictures in a real browser: side by side, by touch, revised, held against each other."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page

from tests.desktop.driving import wait_for
from tests.desktop.studio_window import Threaded, ask_for, made, opened, says, view
from tests.desktop.test_studio_rate import ratings, said


@pytest.fixture
def plan(tab: Page) -> str:
    """A plan of three pictures of one seed."""
    ask_for(tab, "2,5,9", server="fake")
    tab.click("#start")
    made(tab, 3)
    says(tab, ".words", "succeeded")
    return str(tab.locator("#view.watch select.plan").input_value())


def test_the_pictures_of_a_seed_are_rated_side_by_side(
    threaded: Threaded, tab: Page, plan: str
) -> None:
    view(tab, "rate", plan)
    tab.get_by_role("button", name="side by side").click()
    says(tab, ".rate .count", "1 of 1 to go")
    assert tab.locator(".asked img").count() == 3
    assert "cfg_scale" not in tab.locator(".asked").inner_text()
    marked = tab.locator(".asked .one[aria-pressed=true]")
    tab.keyboard.press("ArrowRight")
    assert marked.get_attribute("aria-label") == "picture 2"
    tab.keyboard.press("5")
    assert tab.locator(".asked b").inner_text() == "5"
    assert marked.get_attribute("aria-label") == "picture 1"
    tab.keyboard.press("2")
    tab.keyboard.press("3")
    says(tab, ".asked", "Everything is rated.")
    wait_for(lambda: ratings(threaded.runs) == [2, 3, 5])
    assert tab.locator(".past li").count() == 3
    tab.keyboard.press("u")
    says(tab, ".rate .count", "1 of 1 to go")
    wait_for(lambda: ratings(threaded.runs) == [2, 5])


def test_a_finger_that_is_drawn_across_chooses_the_better_one(
    threaded: Threaded, browser: Browser, tab: Page, plan: str
) -> None:
    phone = {"viewport": {"width": 360, "height": 740}, "has_touch": True}
    with opened(browser, threaded.address, **phone) as page:
        view(page, "rate", plan)
        says(page, ".rate .count", "3 of 3 to go")
        for button in page.locator(".keys .number").all():
            box = button.bounding_box()
            assert box
            assert min(box["width"], box["height"]) >= 44  # what a finger hits
        page.get_by_role("button", name="the better of two").click()
        page.locator(".asked.two img").nth(1).wait_for()
        right = str(page.locator(".asked img").nth(1).get_attribute("src"))
        hand = page.context.new_cdp_session(page)
        for kind, x in (("touchStart", 100), ("touchMove", 200), ("touchEnd", None)):
            points = [] if x is None else [{"x": x, "y": 400}]
            hand.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        says(page, ".rate .count", "2 of 3 to go")
    (choice,) = said(threaded.runs).choices
    assert "/".join(choice.winner) in right


def test_a_picture_with_another_setting_is_made_beside_it(tab: Page, plan: str) -> None:
    view(tab, "use", f"{plan}-00001", "txt2img_1")
    value = tab.locator(".revise [data-path='txt2img.cfg_scale'] input")
    assert value.input_value() == "2"
    assert tab.get_by_role("button", name="make it").is_disabled()
    value.fill("7")
    tab.keyboard.press("Enter")
    tab.get_by_alt_text("the revised picture").wait_for()
    rows = [each.inner_text() for each in tab.locator(".use .differences tr").all()]
    assert rows == ["\tbefore\trevised", "cfg_scale\t2\t7"]
    tab.get_by_text("one over the other").click()
    slider = tab.locator("dialog.two input[type=range]")
    slider.press("Home")
    assert "0%" in str(tab.locator(".layers .over").evaluate("each => each.style.clipPath"))
    slider.press("End")
    assert "100%" in str(tab.locator(".layers .over").evaluate("each => each.style.clipPath"))


def test_a_picture_leaves_in_every_form_and_is_a_base(tab: Page, plan: str) -> None:
    view(tab, "use", f"{plan}-00002", "txt2img_1")
    text = tab.get_by_label("its settings", exact=True)
    for name, words in (
        ("WebUI parameters", "CFG scale: 5"),
        ("plan file", "cfg_scale = 5"),
        ("API JSON", '"cfg_scale": 5'),
    ):
        tab.get_by_role("button", name=name).click()
        tab.wait_for_function(
            "words => document.querySelector('textarea[readonly]').value.includes(words)",
            arg=words,
        )
        with tab.expect_download() as saved:
            tab.get_by_role("button", name="download").click()
        assert words in saved.value.path().read_text()
        assert text.is_visible()
    tab.get_by_role("button", name="ComfyUI workflow").click()
    says(tab, ".use", "no workflow: the picture was not made by ComfyUI")
    tab.get_by_role("button", name="use as base").click()
    says(tab, ".command", "txt2img.cfg_scale=5")


def test_two_pictures_that_are_looked_back_at_are_compared_by_keyboard(
    tab: Page, plan: str
) -> None:
    view(tab, "back", "pictures")
    tab.locator(".window .shot img[src]").nth(2).wait_for()
    tab.locator(".window").focus()
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("c")
    tab.locator(".window .shot.pinned").wait_for()
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("Enter")
    tab.locator("dialog.two[open]").wait_for()
    row = tab.locator("dialog.two .differences tr").filter(has_text="cfg_scale")
    assert len(set(row.inner_text().split("\t"))) == 3
    tab.keyboard.press("Escape")
    assert tab.locator(".window .shot.pinned").count() == 0


def test_a_question_mark_tells_the_keys_of_the_view_first(tab: Page) -> None:
    view(tab, "rate")
    tab.keyboard.press("?")
    keys = tab.locator("dialog.key-list[open]")
    assert keys.locator("h3").first.inner_text() == "Rate"
    says(tab, ".key-list", "the six views")
    tab.keyboard.press("Escape")
    assert keys.count() == 0
    view(tab, "say")
    tab.locator(".prompts textarea").press("?")
    assert keys.count() == 0  # who types means the letter
