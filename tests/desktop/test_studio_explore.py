"""An exploration in a real browser: from its first picture to the advice, in one window."""

from __future__ import annotations

from playwright.sync_api import Page

from tests.desktop.studio_window import choose_server, says


def test_an_exploration_goes_from_the_first_picture_to_the_advice(tab: Page) -> None:
    left = []
    tab.on("framenavigated", lambda frame: left.append(frame.url))
    choose_server(tab, "fake")
    tab.locator(".prompts textarea").fill("penguin in the snow")
    tab.locator("#way").select_option("explore")
    tab.get_by_label("explore txt2img.cfg_scale").click()
    tab.locator("[data-path='txt2img.cfg_scale'] input").fill("1..12")
    tab.keyboard.press("Enter")
    tab.locator("[data-path='max_pictures'] input").fill("10")
    tab.locator("#start:not([disabled])").click()
    tab.locator(".shot img").first.wait_for()
    tab.locator(".progress").get_by_text("rate", exact=True).click()
    for number in range(10):
        tab.locator(".rate .asked img").wait_for()
        tab.keyboard.press(str(1 + number % 5))
    tab.keyboard.press("Alt+4")
    says(tab, ".advice", "10 ratings")
    assert not [url for url in left if "#" not in url]
