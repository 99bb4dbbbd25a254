"""The studio by keyboard alone, and by touch alone: from an empty folder to advice."""

from __future__ import annotations

from playwright.sync_api import Browser, Page

from tests.desktop.studio_window import Threaded, choose_server, made, opened, says

SEEN = """() => {
    const at = document.activeElement, box = at.getBoundingClientRect();
    const style = getComputedStyle(at);
    if (at === document.body || at.id === "view") return "";
    const x = Math.max(1, box.left + box.width / 2), y = box.top + Math.min(box.height / 2, 20);
    const there = document.elementFromPoint(Math.min(x, innerWidth - 2), y);
    const marked = (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1)
        || (at.matches(".shot") && !style.borderColor.includes("rgba(0, 0, 0, 0)"));
    const whole = at.outerHTML.slice(0, 120);
    if (!box.width || box.top < 0 || y > innerHeight) return "out of sight: " + whole;
    if (!there || !(at.contains(there) || there.contains(at))) return "covered: " + whole;
    return marked ? "" : "without a mark: " + whole;
}"""


def tab_to(page: Page, selector: str, key: str = "Tab") -> None:
    """Press Tab until something has the focus, which can be seen wherever it is."""
    for _ in range(80):
        page.keyboard.press(key)
        assert page.evaluate(SEEN) == ""
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"Tab does not come to {selector}")


def test_from_an_empty_folder_to_advice_by_keyboard_alone(tab: Page) -> None:
    tab.evaluate("addEventListener('mousedown', () => { document.title = 'a mouse' }, true)")
    tab.locator("[data-path='txt2img.steps']").wait_for()
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.innerText") == "to the content"
    tab.keyboard.press("Enter")
    tab_to(tab, "#server")
    tab.keyboard.press("ArrowDown")
    tab.locator("[data-path='adetailer.ad_model']").wait_for(state="attached")
    assert tab.locator("#server").input_value() == "fake"
    tab_to(tab, ".prompts textarea")
    tab.keyboard.type("penguin in the snow")
    tab_to(tab, "[data-path='txt2img.cfg_scale'] .vary")
    tab.keyboard.press("Enter")
    tab.keyboard.type("2,5,9,12")
    tab.keyboard.press("Enter")
    tab_to(tab, ".chip", "Shift+Tab")
    tab.keyboard.press("Enter")  # takes out the last one
    says(tab, ".say .count", "4 pictures")
    tab_to(tab, "#start")
    tab.keyboard.press("Enter")
    made(tab, 4)
    tab_to(tab, ".shot")
    tab.keyboard.press("Enter")
    tab.locator("#dialog[open]").wait_for()
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("4")
    tab.keyboard.press("Escape")
    tab_to(tab, ".progress a[href^='#rate/']", "Shift+Tab")
    tab.keyboard.press("Enter")
    for left, key in ((3, "1"), (2, "5"), (1, "2")):
        says(tab, ".rate .count", f"{left} of 3 to go")
        tab.keyboard.press(key)
    says(tab, ".asked", "Everything is rated.")
    tab_to(tab, ".asked a.main")
    tab.keyboard.press("Enter")
    says(tab, ".advice", "from 4 ratings")
    assert "a mouse" not in tab.title()


def test_every_view_is_reached_and_left_by_keyboard(threaded: Threaded, tab: Page) -> None:
    tab.locator("#start").wait_for()
    for number, name in enumerate(("say", "watch", "rate", "know", "use", "back"), start=1):
        tab.keyboard.press(f"Alt+{number}")
        tab.locator(f"#view.{name}").wait_for()
        tab_to(tab, f"#views [data-view={name}]")
    tab_to(tab, "#views [data-view=watch]", "Shift+Tab")
    tab.keyboard.press("Enter")
    tab.locator("#view.watch").wait_for()


def test_say_watch_and_rate_by_touch_on_a_telephone(threaded: Threaded, browser: Browser) -> None:
    phone = {"viewport": {"width": 390, "height": 780}, "has_touch": True, "is_mobile": True}
    with opened(browser, threaded.address, **phone) as page:
        choose_server(page, "fake")
        page.locator(".prompts textarea").tap()
        page.keyboard.type("penguin")
        page.get_by_label("explore txt2img.cfg_scale").tap()
        page.locator("[data-path='txt2img.cfg_scale'] input").tap()
        page.keyboard.type("2,5")  # and not Enter, which a telephone does not have: Start ends it
        says(page, ".say .count", "1 picture")
        page.locator("#start").tap()
        page.locator(".shot img").nth(1).wait_for()
        page.locator(".shot").first.tap()
        page.locator("#dialog").get_by_label("rate 4").tap()
        page.locator("#dialog").get_by_label("close").tap()
        page.locator(".progress").get_by_text("rate", exact=True).tap()
        page.get_by_label("rate 2").tap()
        page.locator(".past li").filter(has_text="2").wait_for()
        page.get_by_text("the better of two").tap()
        page.locator("button.one").first.tap()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
