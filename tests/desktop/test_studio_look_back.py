"""Look back, in a real browser: what is searched for, and two pictures that are compared."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from tests.desktop.studio_window import Threaded, says, view


@pytest.fixture
def plans(threaded: Threaded) -> tuple[str, str]:
    """Two plans of three pictures, of other prompts, models and names; one is rated."""
    cats = threaded.make(prompt="a red cat", experiment_name="winter")
    other = {"model": "other-model"}
    dogs = threaded.make(prompt="a blue dog", experiment_name="summer", txt2img=other)
    rating = {"run_id": f"{dogs}-00002", "image_id": "txt2img_1", "rating": 4}
    threaded.portal.call(threaded.served.post, "api/ratings", rating)
    return cats, dogs


def found(page: Page, words: str, title: str) -> None:
    says(page, "#view.back [role=status]", words)
    says(page, ".plans h2", title)


def test_plans_are_found_by_prompt_model_tag_and_rating(tab: Page, plans: tuple[str, str]) -> None:
    view(tab, "back")
    says(tab, "#view.back [role=status]", "2 plans")
    for label, words, title in (
        ("words of the prompt", "dog BLUE", "summer"),
        ("model", "other", "summer"),
        ("tag", "winter", "winter"),
    ):
        tab.get_by_label(label, exact=True).fill(words)
        found(tab, "1 plan", title)
        tab.get_by_label(label, exact=True).fill("")
        says(tab, "#view.back [role=status]", "2 plans")
    tab.get_by_label("rated at least").select_option("4")
    found(tab, "1 plan", "summer")
    tab.get_by_label("rated at least").select_option("5")
    says(tab, ".plans", "Nothing is found.")
    tab.get_by_role("button", name="show all").click()
    says(tab, "#view.back [role=status]", "2 plans")
    assert tab.locator(".strip img").count() == 1


def test_two_pictures_are_compared_with_a_slider_and_what_differs(
    tab: Page, plans: tuple[str, str]
) -> None:
    view(tab, "back", "pictures")
    says(tab, "#view.back [role=status]", "6 pictures")
    tab.get_by_label("words of the prompt").fill("cat")
    says(tab, "#view.back [role=status]", "3 pictures")
    tab.locator(".window .shot").first.focus()
    tab.keyboard.press("c")
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("Enter")
    tab.locator("dialog.two[open]").wait_for()
    rows = [row.inner_text().split() for row in tab.locator("dialog .differences tr").all()]
    assert rows == [["cfg_scale", "2", "5"]]
    over = tab.get_by_alt_text("the second picture")
    assert over.evaluate("image => image.style.clipPath") == "inset(0px 0px 0px 50%)"
    tab.get_by_label("how much of each picture is seen").fill("80")
    assert over.evaluate("image => image.style.clipPath") == "inset(0px 0px 0px 80%)"
    sources = [str(each.get_attribute("src")) for each in tab.locator("dialog.two img").all()]
    assert [source.partition("-0000")[2][:1] for source in sources] == ["1", "2"]


def test_a_picture_that_is_chosen_is_used(tab: Page, plans: tuple[str, str]) -> None:
    view(tab, "back", "pictures")
    says(tab, "#view.back [role=status]", "6 pictures")
    tab.locator(f".window [data-key='{plans[0]}-00003/txt2img_1']").click()
    tab.locator("#view.use .used").wait_for()
    assert plans[0] in tab.url
