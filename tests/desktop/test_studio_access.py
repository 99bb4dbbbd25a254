"""Every view of the studio as axe-core sees it: names, contrast, order, what can be reached."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from tests.desktop.studio_window import Threaded, ask_for, made, opened, says, view

SERIOUS = ("serious", "critical")


@pytest.fixture(params=["light", "dark"])
def looked_at(
    request: pytest.FixtureRequest, threaded: Threaded, browser: Browser
) -> Iterator[Page]:
    with opened(browser, threaded.address, color_scheme=request.param) as page:
        yield page


def problems(page: Page) -> list[str]:
    """Return what is serious, in a line each."""
    found = Axe().run(page).response["violations"]
    return [
        f"{each['id']}: {node['html'][:200]}: {node.get('failureSummary', '')}"
        for each in found
        for node in each["nodes"]
        if each["impact"] in SERIOUS
    ]


def test_no_view_has_a_serious_finding(threaded: Threaded, looked_at: Page) -> None:
    page = looked_at
    threaded.backend.failing[9] = "out of memory"
    assert problems(page) == []  # the form of an empty folder
    ask_for(page, "2,5,9", server="fake")
    assert problems(page) == []
    page.click("#start")
    made(page, 2)
    says(page, ".failures", "out of memory")
    assert problems(page) == []
    page.locator(".shot").first.click()
    assert problems(page) == []
    page.keyboard.press("4")
    page.keyboard.press("Escape")
    for name in ("rate", "know", "use", "back", "back/pictures"):
        view(page, name)
        page.locator(
            "#view :is(.asked, .advice, .nothing, .strip, .plans article, .shot)"
        ).first.wait_for()
        assert problems(page) == [], name
    page.keyboard.press("?")
    assert problems(page) == []
