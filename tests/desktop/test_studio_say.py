"""Say what, in a real browser: files that are dropped, words that are typed, what is wrong."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, Route

from tests.desktop.studio_window import HOSTILE, ask_for, choose_server, says, view

PACK = "a cat\nneg: blurry\n\na dog\nneg: blurry\n"
PLAN = """
prompt = "a fox at night"
backend = "fake"
[txt2img]
steps = 7
[[learning.axes]]
path = "txt2img.cfg_scale"
values = [2, 4, 9]
"""


def drop(page: Page, path: Path, content: str | bytes, x: int = 400, y: int = 300) -> None:
    """Drop a file as a hand does that comes from the desktop."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    hand = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        if kind == "drop":
            page.locator(".veil").wait_for()  # the page has noticed, and takes it
        hand.send("Input.dispatchDragEvent", {"type": kind, "x": x, "y": y, "data": data})


def png() -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (64, 64), "teal").save(data, "PNG")
    return data.getvalue()


@pytest.mark.parametrize("name", ["animals.txt", "<img src=x onerror=alert(1)>.txt"])
def test_a_pack_that_is_dropped_is_what_is_made(tab: Page, tmp_path: Path, name: str) -> None:
    tab.locator("#start").wait_for()
    drop(tab, tmp_path / name, PACK)
    says(tab, ".say .count", "2 pictures")
    says(tab, ".notes", "prompt: a cat, a dog")
    assert tab.locator("#pack option:checked").inner_text().endswith(".txt (2)")
    assert tab.locator("img[src=x]").count() == 0


def test_a_plan_file_that_is_dropped_onto_any_view_fills_the_form(
    tab: Page, tmp_path: Path
) -> None:
    view(tab, "back")
    tab.evaluate("addEventListener('drop', (event) => { window.kept = event.defaultPrevented })")
    drop(tab, tmp_path / "fox.toml", PLAN, x=600, y=20)  # the head of the page
    says(tab, ".say .count", "3 pictures")
    assert tab.locator(".prompts textarea").input_value() == "a fox at night"
    assert tab.locator("#server").input_value() == "fake"
    assert tab.evaluate("window.kept")  # else a browser shows the file in place of the page
    chips = tab.locator("[data-path='txt2img.cfg_scale'] .chip").all_inner_texts()
    assert chips == ["2 ✕", "4 ✕", "9 ✕"]


def test_what_is_wrong_in_a_plan_file_stands_at_its_field(tab: Page, tmp_path: Path) -> None:
    tab.locator("#start").wait_for()
    drop(tab, tmp_path / "fox.toml", PLAN.replace("steps = 7", "steps = 0"))
    says(tab, "[data-path='txt2img.steps'] .problem", "given 0, expected")
    assert tab.locator("#start").is_disabled()
    tab.locator("[data-path='txt2img.steps'] input").fill("3")
    tab.locator("#start:not([disabled])").wait_for()
    assert tab.locator("[data-path='txt2img.steps'] .problem").inner_text() == ""


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("fox.toml", 'prompt = "a fox', "no plan file: "),
        ("fox.png", "no picture", "fox.png: no PNG, JPEG or WebP that can be read"),
        ("fox.exe", "MZ", "expected one that ends in"),
        ("fox.json", "[{", "fox.json: "),
    ],
)
def test_a_file_that_is_none_is_told_and_changes_nothing(
    tab: Page, tmp_path: Path, name: str, content: str, said: str
) -> None:
    ask_for(tab, "2,5")
    drop(tab, tmp_path / name, content)
    says(tab, "#told .wrong", said)
    says(tab, ".say .count", "2 pictures")
    assert tab.locator(".prompts textarea").input_value() == "penguin in the snow"


def test_a_picture_that_is_dropped_is_what_is_started_from(tab: Page, tmp_path: Path) -> None:
    ask_for(tab, "2,5")
    drop(tab, tmp_path / "start.png", png())
    field = tab.locator("[data-path='image'] input")
    tab.wait_for_function("() => document.getElementById('field-image').value")
    assert field.input_value() == "uploads/start.png"


def test_the_form_of_a_server_that_is_slow_takes_no_words_away(tab: Page) -> None:
    held: list[Route] = []
    tab.locator("[data-path='txt2img.steps']").wait_for()
    tab.route("**/api/form?server=fake", lambda route: held.append(route))
    with tab.expect_request("**/api/form?server=fake"):
        tab.locator("#server").select_option("fake")
    tab.get_by_label("explore txt2img.steps").click()
    typing = tab.locator("[data-path='txt2img.steps'] input")
    typing.press_sequentially("4:")
    with tab.expect_response("**/api/form?server=fake"):
        held[0].continue_()
    tab.locator("[data-path='upscale.upscaler_1']").wait_for(state="attached")
    tab.keyboard.type("12:4")
    tab.keyboard.press("Enter")
    chips = tab.locator("[data-path='txt2img.steps'] .chip").all_inner_texts()
    assert chips[-3:] == ["4 ✕", "8 ✕", "12 ✕"]


def test_what_was_typed_moves_nothing_from_under_the_mouse(tab: Page) -> None:
    choose_server(tab, "fake")
    tab.get_by_label("explore txt2img.cfg_scale").click()
    tab.locator("[data-path='txt2img.cfg_scale'] input").fill("1:30:1")
    tab.get_by_label("explore txt2img.scheduler").click()  # and no Enter: there are 30 chips now
    tab.get_by_label("one value of txt2img.scheduler").wait_for()
    assert tab.locator("[data-path='txt2img.cfg_scale'] .chip").count() == 30


def test_a_press_of_start_waits_for_the_dry_run_and_outlives_news(tab: Page) -> None:
    ask_for(tab, "2,5", server="fake")
    held: list[Route] = []
    tab.route("**/api/dry-run", lambda route: held.append(route))
    with tab.expect_request("**/api/dry-run"):
        tab.get_by_label("name", exact=True).fill("winter")
    tab.locator("#start").click()
    with tab.expect_request("**/api/dry-run"):  # of the form that is drawn anew
        tab.get_by_role("button", name="ask anew").click()
    assert tab.locator("#now").is_hidden()
    held[-1].continue_()
    says(tab, ".queue", "winter")


def test_hostile_words_of_a_server_are_words(tab: Page) -> None:
    tab.locator("#start").wait_for()
    refused = {"errors": [{"field": "txt2img.steps", "message": HOSTILE}]}
    tab.route("**/api/dry-run", lambda route: route.fulfill(json={**EMPTY, **refused}))
    tab.route("**/api/packs", lambda route: route.fulfill(status=400, json=refused))
    tab.locator(".prompts textarea").fill("a cat")
    says(tab, "[data-path='txt2img.steps'] .problem", HOSTILE[:20])
    tab.reload()
    says(tab, "#told .wrong", HOSTILE[:20])
    assert tab.locator("img[src=x]").count() == 0


EMPTY = {"notes": [HOSTILE], "axes": [], "unfinished": [], "command": HOSTILE, "pictures": None}
