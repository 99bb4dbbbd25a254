"""What needs a browser: collected by `make test-desktop`, which sees to what it needs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.desktop.driving import needed

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from tests.desktop.studio_window import StudioProgram, Threaded

collect_ignore_glob = [] if os.environ.get("STABLENEW_DESKTOP") else ["test_*.py"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A Chromium; its driver has a loop in this thread, so that it ends with the module."""
    from playwright.sync_api import sync_playwright

    from tests.desktop.studio_window import CHROMIUM

    with sync_playwright() as playwright:
        path = needed("chromium")
        browser = playwright.chromium.launch(executable_path=path, args=list(CHROMIUM))
        yield browser
        browser.close()


@pytest.fixture
def studio(runs: Path) -> Iterator[StudioProgram]:
    """A studio as a process of its own."""
    from tests.desktop.studio_window import StudioProgram

    program = StudioProgram(runs)
    yield program
    if program.process.returncode is None:
        program.kill()


@pytest.fixture
def page(studio: StudioProgram, browser: Browser) -> Iterator[Page]:
    """A tab of that."""
    from tests.desktop.studio_window import opened

    with opened(browser, studio.address) as page:
        yield page


@pytest.fixture
def threaded(runs: Path) -> Iterator[Threaded]:
    """A studio in a thread, whose backend `fake` is steered by the test."""
    from tests.desktop.studio_window import in_a_thread

    with in_a_thread(runs) as studio:
        yield studio


@pytest.fixture
def tab(threaded: Threaded, browser: Browser) -> Iterator[Page]:
    """A tab of that."""
    from tests.desktop.studio_window import opened

    with opened(browser, threaded.address) as page:
        yield page
