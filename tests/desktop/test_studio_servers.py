"""Servers, in a real browser: one that comes, goes in the middle of a plan and comes back."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Page

from tests.desktop.driving import wait_for
from tests.desktop.studio_window import HOSTILE, ask_for, made, says
from tests.webui.requests import Refusal
from tests.webui.server import serve


@pytest.fixture
def port() -> Iterator[int]:
    """A port that nobody listens on; none is given it by chance meanwhile."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@contextmanager
def killed_at_the_end(port: int) -> Iterator[None]:
    """A WebUI in a process of its own that ends as by kill -9: no request gets an answer then."""
    words = [sys.executable, "-m", "tests.webui.server", str(port), "a1111", "0.05"]
    process = subprocess.Popen(words)
    try:
        wait_for(lambda: answers(port))
        yield
    finally:
        process.kill()
        process.wait()


def answers(port: int) -> bool:
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0


def name_server(page: Page, url: str) -> None:
    page.get_by_text("another address").click()
    page.get_by_label("address of a server").fill(url)
    page.get_by_label("add the server").click()


def test_a_webui_comes_goes_in_the_middle_of_a_plan_and_comes_back(tab: Page, port: int) -> None:
    url = f"http://127.0.0.1:{port}"
    tab.locator("[data-path='txt2img.steps']").wait_for()
    name_server(tab, url)
    away = tab.locator("#server option:checked").filter(has_text="(away)")
    away.wait_for(state="attached")
    says(tab, "[data-path='url'] .problem", url)
    with killed_at_the_end(port):
        tab.get_by_role("button", name="ask anew").click()
        tab.locator("[data-path='txt2img.model'] option", has_text="randsd15-tiny-b").wait_for(
            state="attached"
        )
        away.wait_for(state="detached")
        ask_for(tab, "2,5,8", steps="10", server=url)
        tab.click("#start")
        made(tab, 1)
    says(tab, ".live", "waiting for the server")
    assert tab.locator(".words").inner_text().startswith("1 of 3 steps")
    with serve(port=port):
        made(tab, 3)
        says(tab, ".words", "succeeded")


def test_a_server_of_ones_own_goes_before_the_model_that_is_built_in(tab: Page) -> None:
    chosen = tab.locator("#server option:checked")
    chosen.wait_for(state="attached")
    with serve() as webui:
        name = "url => fetch('api/servers', {method: 'POST', body: JSON.stringify({url}),"
        name += " headers: {'Content-Type': 'application/json'}})"
        tab.evaluate(name, webui.url)
        chosen.filter(has_text=webui.url).wait_for(state="attached")
        tab.locator("[data-path='txt2img.model'] option", has_text="randsd15-tiny-b").wait_for(
            state="attached"
        )
        tab.select_option("#server", "embedded")
        chosen.filter(has_text="embedded").wait_for(state="attached")
        tab.reload()
        tab.locator("[data-path='txt2img.steps']").wait_for()
        assert chosen.get_attribute("value") == "embedded"


def test_hostile_words_of_a_server_are_words(tab: Page) -> None:
    model = "<img src=x onerror=alert(1)>"
    refused = Refusal(500, "RuntimeError", HOSTILE)
    with serve(models=(model, "b"), model=model, fail_with=refused) as webui:
        tab.locator("[data-path='txt2img.steps']").wait_for()
        name_server(tab, webui.url)
        tab.locator("[data-path='txt2img.model'] option", has_text=model).first.wait_for(
            state="attached"
        )
        ask_for(tab, "2", server=webui.url)
        tab.click("#start")
        says(tab, ".failures", HOSTILE[:40])
        says(tab, ".queue", "failed")
        assert tab.locator("img[src=x]").count() == 0
