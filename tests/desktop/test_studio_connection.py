"""What comes between a tab and its studio: reloads, a cable, Ctrl-C, kill -9; nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, Route

from tests.desktop.driving import told
from tests.desktop.studio_window import StudioProgram, Threaded, ask_for, made, opened, says, view

RECORDING = """
window.told = [];
window.EventSource = class extends EventSource {
    constructor(...given) {
        super(...given);
        this.addEventListener("message", (message) => window.told.push(JSON.parse(message.data)));
    }
};
"""
VIEWS = ("say", "watch", "rate", "know", "use", "back")


@pytest.fixture
def recorded(threaded: Threaded, browser: Browser) -> Iterator[Page]:
    """A tab that keeps in `told` what it is told."""
    with opened(browser, threaded.address) as page:
        page.add_init_script(RECORDING)
        page.reload()
        yield page


def sequences(page: Page) -> list[int]:
    """Return the numbers of the events that a tab was told, in the order in which they came."""
    return list(page.evaluate("told.map((event) => event.sequence).filter((number) => number)"))


def test_a_tab_whose_cable_is_pulled_is_told_everything_once(
    threaded: Threaded, recorded: Page
) -> None:
    threaded.hold()
    ask_for(recorded, "1,2,3,5,8,9", server="fake")
    recorded.click("#start")
    threaded.allow(1)
    made(recorded, 1)
    for count in (3, 5):
        recorded.context.set_offline(True)
        says(recorded, "#connection", "the studio does not answer: waiting for it")
        threaded.allow(2)
        recorded.context.set_offline(False)
        made(recorded, count)
        assert recorded.locator("#connection").inner_text() == ""
    threaded.allow(1)
    says(recorded, ".words", "succeeded")
    numbers = sequences(recorded)
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    (events,) = told(threaded.runs)
    assert numbers[-1] == events[-1]["sequence"]


def test_what_was_rated_without_a_cable_is_said_once_it_is_back(
    threaded: Threaded, recorded: Page
) -> None:
    ask_for(recorded, "2,5", server="fake")
    recorded.click("#start")
    made(recorded, 2)
    recorded.context.set_offline(True)
    recorded.locator(".shot").first.click()
    recorded.keyboard.press("4")
    recorded.locator(".shot b").filter(has_text="4").wait_for()
    says(recorded, "#told .wrong", "the studio does not answer")
    assert not list(threaded.runs.glob("*/feedback.jsonl"))
    with recorded.expect_response("**/api/ratings"):
        recorded.context.set_offline(False)
    assert len(list(threaded.runs.glob("*/feedback.jsonl"))) == 1


def test_a_tab_tries_again_after_an_answer_that_is_no_stream(tab: Page) -> None:
    tab.route("**/api/events*", lambda route: route.fulfill(status=503, body="a proxy: no gateway"))
    tab.reload()
    says(tab, "#connection", "the studio does not answer: waiting for it")
    tab.unroute("**/api/events*")
    tab.locator("#connection", has_not_text="waiting").wait_for(state="attached")


def test_a_view_that_is_asked_for_while_the_page_starts_is_opened_once(tab: Page) -> None:
    held: list[Route] = []
    tab.route("**/api/state", lambda route: held.append(route))
    tab.reload()
    asked = """async () => {
        const asked = [], before = window.fetch;
        window.fetch = (address) => { asked.push(address); return before(address); };
        location.hash = "use";
        await new Promise(requestAnimationFrame);
        window.fetch = before;
        return asked;
    }"""
    assert tab.evaluate(asked) == []
    held[0].continue_()
    tab.locator("#view.use .nothing").wait_for()


def test_each_view_is_what_it_was_after_a_reload_in_the_middle_of_a_plan(
    threaded: Threaded, tab: Page
) -> None:
    threaded.hold()
    ask_for(tab, "1,2,3,5,8,9,12", server="fake")
    tab.click("#start")
    says(tab, ".live", "step 1: cfg_scale=1")
    for number, name in enumerate(VIEWS, start=1):
        view(tab, name)
        threaded.allow(1)
        tab.reload()
        tab.locator(f"#view.{name}").wait_for()
        says(tab, "#now", "making: txt2img.cfg_scale")
        if name == "say":
            assert tab.locator(".prompts textarea").input_value() == "penguin in the snow"
            assert tab.locator("[data-path='txt2img.cfg_scale'] .chip").count() == 7
        if name == "watch":
            made(tab, number)
            says(tab, ".live", f"step {number + 1}: cfg_scale=")
    view(tab, "watch")
    threaded.allow(1)
    made(tab, 7)


def test_after_kill_minus_nine_the_same_tab_goes_on_and_so_does_the_queue(
    studio: StudioProgram, page: Page
) -> None:
    ask_for(page, "1:8:1", steps="12")
    page.click("#start")
    page.wait_for_function("() => document.querySelectorAll('.shot img').length >= 2")
    view(page, "say")
    page.get_by_label("name", exact=True).fill("the next one")
    page.locator("#start:not([disabled])").click()
    says(page, ".queue .waiting", "the next one")
    studio.kill()
    says(page, "#connection", "waiting for it")
    studio.start()
    says(page, ".queue .interrupted", "txt2img.cfg_scale")
    assert page.locator("#connection").inner_text() == ""
    says(page, ".queue .waiting", "the next one")  # nothing starts by itself
    page.get_by_label("go on with it: txt2img.cfg_scale").click()
    says(page, ".queue .ended", "succeeded · 8 pictures")
    says(page, ".queue .running", "the next one")
    page.locator(".shot img").first.wait_for()


def test_ctrl_c_tells_every_tab_and_ends_with_the_plan_cancelled(
    studio: StudioProgram, page: Page
) -> None:
    ask_for(page, "1:20:1", steps="12")
    page.click("#start")
    page.locator(".shot img").first.wait_for()
    other = page.context.new_page()
    other.goto(studio.address.partition("?")[0])
    other.locator("#view.watch").wait_for()
    assert studio.interrupt() == 130
    (events,) = told(studio.runs)
    assert (events[-1]["type"], events[-1]["outcome"]) == ("PlanFinished", "cancelled")
    for each in (other, page):
        each.bring_to_front()
        says(each, "#told .wrong", "the studio has ended")
        says(each, "#connection", "the studio does not answer: waiting for it")
        says(each, ".words", "cancelled")
