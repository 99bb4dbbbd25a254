"""The studio in a real browser: its views, from an empty folder to advice."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, Request, Route

from tests.desktop.driving import wait_for
from tests.desktop.studio_window import HOSTILE, StudioProgram, ask_for, made


def test_from_an_empty_folder_to_advice_with_ratings_by_keyboard(page: Page) -> None:
    ask_for(page, "1,3,5,8,11")
    page.locator("[data-path='images_per_step'] input").fill("2")
    page.wait_for_function(
        "() => document.querySelector('.say .count').innerText.startsWith('10 p')"
    )
    assert "--sweep" in page.locator(".command").inner_text()
    page.click("#start")
    made(page, 10)
    page.reload()  # in the middle, or at its end
    made(page, 10)
    page.locator(".progress").get_by_text("rate", exact=True).click()
    for n in range(10):
        page.wait_for_function(
            "n => document.querySelector('.rate .count').innerText.startsWith(n + ' of')",
            arg=10 - n,
        )
        assert "cfg_scale" not in page.locator(".asked").inner_text()
        page.keyboard.press("35241"[n % 5])
    assert page.locator(".past li").count() == 6
    assert "cfg_scale" in page.locator(".past li").first.inner_text()
    page.get_by_text("Everything is rated").wait_for()
    page.keyboard.press("u")
    page.wait_for_function(
        "() => document.querySelector('.rate .count').innerText.startsWith('1 of')"
    )
    page.keyboard.press("4")
    page.keyboard.press("Alt+4")
    page.locator(".advice").wait_for()
    assert "from 10 ratings" in page.locator(".advice").inner_text()
    assert page.locator(".chart").count() == 1
    page.get_by_text("Look back").click()
    assert "10 rated" in page.locator(".plans article").inner_text()


def test_two_tabs_show_the_same(studio: StudioProgram, page: Page) -> None:
    other = page.context.new_page()
    other.goto(studio.address.partition("?")[0] + "#watch")
    page.bring_to_front()  # one behind draws once a second
    ask_for(page, "2,5")
    page.click("#start")
    made(page, 2)
    page.locator(".shot").first.click()
    page.keyboard.press("5")
    other.bring_to_front()
    other.locator(".shot").first.locator("b").filter(has_text="5").wait_for()  # that one


@pytest.mark.parametrize("width", [360, 3840])
def test_hostile_words_are_words_at_every_width(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    ask_for(page, "2", prompt=HOSTILE + "x" * 300)
    page.get_by_label("name", exact=True).fill(HOSTILE)
    page.click("#start")
    made(page, 1)
    for view in ("say", "watch", "rate", "know", "use", "back"):
        page.evaluate("view => { location.hash = view }", view)
        page.locator(f"#view.{view}").wait_for()
        assert page.locator("img[src=x]").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth") <= width, view
    assert HOSTILE[:30] in page.locator(".plans h2").inner_text()
    assert HOSTILE[:30] in page.locator(".plans h2 + p").inner_text()


def test_five_thousand_pictures_are_only_in_the_page_where_they_are_in_sight(page: Page) -> None:
    picture: dict[str, object] = {
        "image_id": "txt2img_1", "plan_id": None, "url": "static/icon.svg",
        "thumb": "static/icon.svg", "width": 8, "height": 8, "varied": {}, "settings": {},
        "seconds": 1, "blank": False, "reused_from": None, "warnings": [], "rating": None,
    }  # fmt: skip
    asked: list[int] = []

    def answer(route: Route, request: Request) -> None:
        number = int(request.url.partition("?page=")[2].partition("&")[0])
        asked.append(number)
        those = [{**picture, "run_id": f"r{number}-{n}"} for n in range(250)]
        route.fulfill(json={"pictures": those, "page": number, "pages": 40, "total": 10_000})

    page.route(re.compile(r"api/pictures\?.*per_page=250"), answer)
    page.evaluate("location.hash = 'back/pictures'")
    page.locator(".window img").first.wait_for()
    assert page.locator(".pager span").inner_text() == "page 1 of 2"
    most = page.evaluate("""async () => {
        const area = document.querySelector(".window");
        let most = 0;
        for (let at = 0; at < 120; at++) {
            area.scrollTop = at * area.scrollHeight / 120;
            await new Promise(requestAnimationFrame);
            most = Math.max(most, area.querySelectorAll(".shot").length);
        }
        return most;
    }""")
    assert most < 250  # how long a frame takes: `scripts/bench_scrolling.py`
    wait_for(lambda: max(asked) == 20)
