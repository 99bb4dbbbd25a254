"""Watch, in a real browser: a plan is paused, skipped, cancelled, tried again; the queue."""

from __future__ import annotations

from playwright.sync_api import APIResponse, Page, Route

from tests.desktop.studio_window import Threaded, ask_for, made, says, view

EMPTY = {"items": [], "page": 1, "pages": 1, "total": 0}


def press(page: Page, name: str) -> None:
    page.locator(".progress").get_by_role("button", name=name, exact=True).click()


def start(page: Page, values: str, name: str = "") -> None:
    """Start a plan of the steered backend; a further one is what the form still says."""
    view(page, "say")
    if values:
        ask_for(page, values, server="fake")
    if name:
        page.get_by_label("name", exact=True).fill(name)
    page.locator("#start:not([disabled])").click()


def test_a_plan_is_paused_goes_on_and_its_step_is_skipped(threaded: Threaded, tab: Page) -> None:
    threaded.hold()
    start(tab, "1,3,5,8")
    says(tab, ".progress", "0 of 4 steps")
    says(tab, ".live", "step 1: cfg_scale=1")  # though it was told before this view was opened
    press(tab, "pause")
    threaded.allow(1)
    made(tab, 1)  # that under way is made to its end, and no other
    says(tab, ".words", "paused")
    assert len(threaded.backend.calls) == 1
    press(tab, "go on")
    tab.locator(".progress").get_by_text("pause", exact=True).wait_for()
    says(tab, ".live", "step 2: cfg_scale=3")
    press(tab, "skip this step")
    says(tab, ".failures", "step 2 cancelled")
    threaded.allow(2)
    made(tab, 3)
    says(tab, ".words", "4 of 4 steps")
    assert [call.settings["cfg_scale"] for call in threaded.backend.calls] == [1, 5, 8]
    threaded.allow(1)
    tab.locator(".failures").get_by_role("button", name="make what is missing").click()
    made(tab, 4)


def test_a_plan_that_began_before_watch_looked_is_followed(threaded: Threaded, tab: Page) -> None:
    threaded.hold()
    ask_for(tab, "1,3", server="fake")
    held: list[tuple[Route, APIResponse]] = []
    tab.route("**/api/queue", lambda route: held.append((route, route.fetch())), times=1)
    tab.click("#start")
    tab.locator("#now[href^='#watch/']").wait_for()
    tab.route("**/api/plans?*", lambda route: route.fulfill(json=EMPTY), times=1)
    route, answer = held[0]
    route.fulfill(response=answer)
    says(tab, ".live", "step 1: cfg_scale=1")


def test_nobody_is_fetched_back_who_leaves_watch_while_it_opens(
    threaded: Threaded, tab: Page
) -> None:
    threaded.hold()
    ask_for(tab, "1,3", server="fake")
    held: list[Route] = []
    tab.route("**/api/plans?*", lambda route: held.append(route), times=1)
    tab.click("#start")
    tab.locator("#now[href^='#watch/']").wait_for()
    tab.locator("#view.watch").wait_for()
    view(tab, "say")
    with tab.expect_response("**/api/plans?*"):
        held[0].fulfill(json=EMPTY)
    tab.evaluate("fetch('api/state').then((answer) => answer.json())")  # what comes after it
    assert tab.url.endswith("#say")


def test_a_cancelled_plan_shows_what_the_server_said_and_is_made_to_its_end_later(
    threaded: Threaded, tab: Page
) -> None:
    threaded.hold()
    start(tab, "1,3,5")
    threaded.allow(1)
    made(tab, 1)
    says(tab, ".live", "step 2: cfg_scale=3")
    press(tab, "cancel")
    says(tab, ".receipt", "noted: the server confirmed that it stopped after 0.00 s")
    says(tab, ".words", "cancelled")
    assert threaded.backend.interrupts[0].endswith("-00002-txt2img_1")
    threaded.allow(2)
    press(tab, "make what is missing")
    made(tab, 3)
    assert tab.locator(".receipt").inner_text() == ""  # nobody cancelled that


def test_what_failed_is_told_in_its_words_and_made_again(threaded: Threaded, tab: Page) -> None:
    threaded.backend.failing = {3: "CUDA out of memory", 8: "CUDA out of memory"}
    start(tab, "1,3,5,8")
    made(tab, 2)
    says(tab, ".failures", "step 2, 4 failed: txt2img: CUDA out of memory")
    assert tab.locator("td .failed").first.inner_text() == "failed: txt2img: CUDA out of memory"
    threaded.backend.failing = {}
    tab.get_by_role("button", name="make these again").click()
    made(tab, 4)
    tab.locator(".failures").wait_for(state="hidden")
    asked = [call.settings["cfg_scale"] for call in threaded.backend.calls]
    assert asked == [1, 3, 5, 8, 3, 8]


def test_what_failed_is_made_again_without_what_was_never_begun(
    threaded: Threaded, tab: Page
) -> None:
    threaded.backend.failing = {3: "CUDA out of memory"}
    threaded.hold()
    start(tab, "3,1,5")
    says(tab, ".live", "step 1: cfg_scale=3")
    press(tab, "pause")
    threaded.allow(1)
    says(tab, ".failures", "step 1 failed")
    press(tab, "cancel")
    says(tab, ".words", "cancelled")
    threaded.backend.failing = {}
    threaded.allow(10)
    tab.get_by_role("button", name="make these again").click()
    made(tab, 1)
    says(tab, ".queue", "succeeded")
    assert [call.settings["cfg_scale"] for call in threaded.backend.calls] == [3, 3]


def test_plans_wait_in_a_queue_are_moved_taken_out_and_run_one_at_a_time(
    threaded: Threaded, tab: Page
) -> None:
    threaded.hold()
    for values, name in (("2,4", "first"), ("", "second"), ("", "third"), ("", "fourth")):
        start(tab, values, name)
        says(tab, ".queue", name)
    says(tab, ".queue summary", "queue: 3 waiting")
    tab.get_by_label("earlier: third").click()
    order(tab, ["first", "third", "second", "fourth"])
    tab.get_by_label("later: third").click()
    order(tab, ["first", "second", "third", "fourth"])
    tab.get_by_label("take out: second").click()
    order(tab, ["first", "third", "fourth"])
    threaded.allow(6)
    says(tab, ".queue li:last-child", "succeeded")
    assert threaded.backend.most_running == 1
    tab.get_by_label("take out: first").click()
    order(tab, ["third", "fourth"])


def order(page: Page, names: list[str]) -> None:
    page.wait_for_function(
        "names => [...document.querySelectorAll('.queue li > :first-child')].map((each) =>"
        " each.textContent).join() === names.join()",
        arg=names,
    )
