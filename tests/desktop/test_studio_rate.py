"""Rate, in a real browser: one at a time, the better of two, taken back; and a second tab."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from stablenew.learning.feedback_reader import Feedback, read_feedback
from tests.desktop.driving import wait_for
from tests.desktop.studio_window import Threaded, ask_for, made, opened, says, view


@pytest.fixture
def plan(tab: Page) -> str:
    """A plan of three pictures of one seed."""
    ask_for(tab, "2,5,9", server="fake")
    tab.click("#start")
    made(tab, 3)
    says(tab, ".words", "succeeded")
    return str(tab.locator("#view.watch select.plan").input_value())


def said(runs: Path) -> Feedback:
    return read_feedback(runs, report=lambda _: None)


def ratings(runs: Path) -> list[int]:
    return sorted(each.rating or 0 for each in said(runs).ratings.values())


def to_go(page: Page, words: str) -> None:
    says(page, ".rate .count", f"{words} to go")


def test_the_better_of_two_is_chosen_with_arrows(threaded: Threaded, tab: Page, plan: str) -> None:
    view(tab, "rate", plan)
    tab.get_by_role("button", name="the better of two").click()
    to_go(tab, "3 of 3")
    assert tab.locator(".asked img").count() == 2
    left, right = (str(each.get_attribute("src")) for each in tab.locator(".asked img").all())
    tab.keyboard.press("ArrowLeft")
    to_go(tab, "2 of 3")
    (choice,) = said(threaded.runs).choices
    assert "/".join(choice.winner) in left.removesuffix(".png")
    assert "/".join(choice.loser) in right.removesuffix(".png")
    right = str(tab.locator(".asked img").last.get_attribute("src"))
    tab.keyboard.press("ArrowRight")
    to_go(tab, "1 of 3")
    last = max(said(threaded.runs).choices, key=lambda each: each.timestamp)
    assert "/".join(last.winner) in right
    tab.keyboard.press("u")
    to_go(tab, "2 of 3")
    assert len(said(threaded.runs).choices) == 1
    tab.keyboard.press("ArrowUp")  # both: nothing is kept of that
    to_go(tab, "1 of 3")
    tab.keyboard.press("ArrowDown")  # neither
    says(tab, ".asked", "Everything is rated.")
    assert len(said(threaded.runs).choices) == 1


def test_a_picture_is_rejected_skipped_and_what_was_said_is_undone(
    threaded: Threaded, tab: Page, plan: str
) -> None:
    view(tab, "rate", plan)
    to_go(tab, "3 of 3")
    tab.keyboard.press("x")
    to_go(tab, "2 of 3")
    wait_for(lambda: ratings(threaded.runs) == [1])
    (rejected,) = said(threaded.runs).ratings.values()
    assert rejected.tags == ("rejected",)
    tab.keyboard.press("u")
    to_go(tab, "3 of 3")
    wait_for(lambda: ratings(threaded.runs) == [])
    tab.keyboard.press(" ")
    to_go(tab, "2 of 3")
    tab.keyboard.press("4")
    to_go(tab, "1 of 3")
    wait_for(lambda: ratings(threaded.runs) == [4])
    tab.reload()
    to_go(tab, "2 of 2")


def test_each_key_rates_the_picture_that_is_seen(threaded: Threaded, tab: Page, plan: str) -> None:
    view(tab, "rate", plan)
    given = {}
    for key, left in (("5", 3), ("1", 2), ("3", 1)):
        to_go(tab, f"{left} of 3")
        source = str(tab.locator(".asked img").get_attribute("src"))
        given[tuple(source.removesuffix(".png").split("/")[1:])] = int(key)
        tab.keyboard.press(key)
    wait_for(lambda: len(ratings(threaded.runs)) == 3)
    assert {key: each.rating for key, each in said(threaded.runs).ratings.items()} == given


def test_what_one_tab_rates_and_takes_back_is_seen_in_the_other(
    threaded: Threaded, tab: Page, plan: str, browser: Browser
) -> None:
    with opened(browser, threaded.address) as other:
        view(other, "rate", plan)
        to_go(other, "3 of 3")
        other.keyboard.press("4")
        tab.locator(".shot b").filter(has_text="4").wait_for()
        other.keyboard.press("u")
        tab.wait_for_function("() => document.querySelectorAll('.shot b').length === 0")


def test_pictures_that_are_made_while_one_rates_join(threaded: Threaded, tab: Page) -> None:
    threaded.hold()
    ask_for(tab, "2,5,9", server="fake")
    tab.click("#start")
    threaded.allow(1)
    made(tab, 1)
    tab.locator(".progress").get_by_text("rate", exact=True).click()
    to_go(tab, "1 of 1")
    tab.keyboard.press("3")
    says(tab, ".asked", "Everything is rated.")
    threaded.allow(2)
    to_go(tab, "2 of 3")
