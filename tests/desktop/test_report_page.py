"""A plan's page in a real browser, opened from disk."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest
from playwright.sync_api import Page, sync_playwright

from stablenew.app import open_app
from stablenew.backends.fake import Behaviour, FakeBackend
from stablenew.cli.rate_command import rate_from
from stablenew.config.settings import Settings
from stablenew.errors import BackendRejectedError
from stablenew.learning.feedback_manager import record_feedback
from stablenew.learning.feedback_reader import read_feedback
from stablenew.report.page import rebuild_page

T = TypeVar("T")
CONFIG = {"txt2img": {"prompt": "a cat", "seed": 5}}
GRID = {
    "target_variable": "txt2img.cfg_scale",
    "sweep_values": [9, 3, 5],
    "y_variable": "txt2img.steps",
    "y_values": [10, 20],
    "images_per_step": 2,
}


def apart(work: Coroutine[object, object, T]) -> T:
    """Run a coroutine in a thread of its own: the browser's driver has a loop in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


def make(runs: Path, plan: dict[str, object], backend: FakeBackend | None = None) -> Path:
    async def run() -> Path:
        async with open_app(Settings(out=runs), backend=backend or FakeBackend()) as app:
            result = await app.learning.run_learning_plan(plan, CONFIG)
            await app.reports.drained()
        return runs / result.plan_id

    return apart(run())


@pytest.fixture(scope="module")
def browser_page() -> Iterator[Page]:
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    assert path, "chromium is not installed"
    quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=quiet)
        page = browser.new_page(viewport={"width": 1280, "height": 900}, accept_downloads=True)
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        yield page
        browser.close()
        assert problems == []


@pytest.fixture
def grid(runs: Path, browser_page: Page) -> tuple[Path, Page]:
    folder = make(runs, GRID)
    browser_page.goto((folder / "report.html").as_uri())
    return folder, browser_page


def heads(page: Page, where: str) -> list[str]:
    texts: list[str] = page.locator(f"{where} th").all_inner_texts()
    return texts


def test_it_opens_from_disk_as_an_x_y_grid_with_its_axes_in_order(grid: tuple[Path, Page]) -> None:
    _, page = grid
    assert page.title().startswith("txt2img.cfg_scale × txt2img.steps")
    assert heads(page, "thead")[1:] == ["cfg_scale 3", "cfg_scale 5", "cfg_scale 9"]
    assert heads(page, "tbody") == ["steps 10", "steps 20"]
    assert page.locator(".shot").count() == 12
    assert page.locator(".shot img").first.evaluate("image => image.decode().then(() => true)")


def test_pictures_of_earlier_runs_are_marked(runs: Path, browser_page: Page) -> None:
    half = {**GRID, "y_values": [10]}
    make(runs, half)
    folder = make(runs, GRID)
    browser_page.goto((folder / "report.html").as_uri())
    assert browser_page.locator(".shot").count() == 12
    assert browser_page.locator(".shot i").all_inner_texts() == ["reused"] * 6
    browser_page.locator(".shot").first.click()
    assert "reused from" in browser_page.locator("#big dt").all_inner_texts()


def test_blank_pictures_are_marked_and_cannot_be_rated(runs: Path, browser_page: Page) -> None:
    backend = FakeBackend(lambda _, call: Behaviour(blank=call == 1))
    folder = make(runs, {**GRID, "y_values": [10], "sweep_values": [3, 5]}, backend)
    browser_page.goto((folder / "report.html").as_uri())
    assert browser_page.locator(".shot u").all_inner_texts() == ["blank"]
    browser_page.locator(".shot").first.click()
    assert "blank picture: one single colour" in browser_page.locator("#big").inner_text()
    browser_page.keyboard.press("3")
    browser_page.keyboard.press("4")
    browser_page.keyboard.press("Escape")
    assert browser_page.locator(".shot b").all_inner_texts() == ["4"]
    assert browser_page.locator(".shot u").all_inner_texts() == ["blank"]


def test_axes_can_be_turned_around_and_chosen(grid: tuple[Path, Page]) -> None:
    _, page = grid
    page.click("#flipx")
    assert heads(page, "thead")[1:] == ["cfg_scale 9", "cfg_scale 5", "cfg_scale 3"]
    page.click("#flipx")
    page.select_option("#x", "txt2img.steps")
    page.select_option("#y", "picture")
    assert heads(page, "thead")[1:] == ["steps 10", "steps 20"]
    assert heads(page, "tbody") == ["seed 5", "seed 6"]
    assert page.locator(".shot").count() == 12


def test_labels_stay_in_sight(grid: tuple[Path, Page]) -> None:
    _, page = grid
    page.locator("#size").fill("400")
    page.locator("#grid").evaluate("grid => { grid.scrollLeft = 900; grid.scrollTop = 500; }")
    label = page.locator("tbody th").nth(1).bounding_box()
    box = page.locator("#grid").bounding_box()
    head = page.locator("thead th").nth(3).bounding_box()
    assert label
    assert box
    assert head
    assert abs(label["x"] - box["x"]) < 3
    assert abs(head["y"] - box["y"]) < 3


def test_a_picture_is_enlarged_with_its_settings_and_compared_with_another(
    grid: tuple[Path, Page],
) -> None:
    _, page = grid
    page.locator(".shot").nth(0).click()
    assert page.locator("dialog[open] figure").count() == 1
    text = page.locator("dialog figcaption").inner_text()
    assert "cfg_scale 3 · steps 10 · seed 5" in text
    assert "sampler_name" in text
    assert "run took" in text
    page.keyboard.press("Escape")
    page.locator(".shot").nth(0).click(modifiers=["Shift"])
    page.locator(".shot").nth(2).click()
    assert page.locator("dialog[open] figure").count() == 2


def test_keys_rate_and_the_saved_file_is_taken(grid: tuple[Path, Page], tmp_path: Path) -> None:
    folder, page = grid
    page.locator(".shot").nth(0).click()
    page.keyboard.press("4")
    page.keyboard.press("2")
    page.keyboard.press("Escape")
    assert page.locator("#count").inner_text() == "2 not saved"
    assert page.locator(".shot b").all_inner_texts() == ["4", "2"]
    with page.expect_download() as download:
        page.click("#save")
    file = tmp_path / "ratings.json"
    download.value.save_as(file)
    assert json.loads(file.read_text())["plan_id"] == folder.name
    apart(rate_from(str(folder), str(file)))
    ratings = read_feedback(folder.parent).ratings.values()
    assert sorted(each.rating or 0 for each in ratings) == [2, 4]


def test_ratings_are_a_heat_map(grid: tuple[Path, Page]) -> None:
    folder, page = grid
    plan = folder.name

    async def rate() -> None:
        for picture in (1, 2):
            await record_feedback(f"{plan}-00002", f"txt2img_{picture}", 5, base_dir=folder.parent)
        await record_feedback(f"{plan}-00001", "txt2img_1", 1, base_dir=folder.parent)

    apart(rate())
    rebuild_page(folder, written="later")
    page.reload()
    assert page.locator("#heat").is_checked()
    scores = page.locator(".score").all_inner_texts()
    assert sorted(scores) == ["1.0 · 1", "5.0 · 2"]
    colours = page.locator("td").evaluate_all("all => all.map(td => td.style.background)")
    assert len({colour for colour in colours if colour}) == 2


def test_a_failed_step_shows_its_error(runs: Path, browser_page: Page) -> None:
    error = BackendRejectedError("CUDA out of memory")
    backend = FakeBackend(lambda _, call: Behaviour(error=error if call == 2 else None))
    plan: dict[str, object] = {"target_variable": "txt2img.steps", "sweep_values": [5, 9, 12]}
    folder = make(runs, plan, backend)
    browser_page.goto((folder / "report.html").as_uri())
    assert browser_page.locator(".failed").all_inner_texts() == [
        "failed: txt2img: CUDA out of memory"
    ]
    assert heads(browser_page, "tbody") == ["steps 5", "steps 9", "steps 12"]


def test_an_open_page_follows_the_plan(runs: Path, browser_page: Page) -> None:
    folder = make(runs, GRID)
    data = folder / "report_data.js"
    whole = data.read_text()
    plain = json.loads(whole.partition(" = ")[2].rstrip(";\n"))
    half = {**plain, "steps": plain["steps"][:2], "done": False, "written": "before"}
    data.write_text(f"window.STABLENEW_REPORT = {json.dumps(half)};\n")
    browser_page.goto((folder / "report.html").as_uri())
    assert browser_page.locator(".shot").count() == 4
    assert "still running" in browser_page.locator("#about").inner_text()
    data.write_text(whole)
    browser_page.wait_for_function(
        "document.querySelectorAll('.shot').length === 12", timeout=9_000
    )


def test_two_thousand_pictures_stay_smooth(runs: Path, browser_page: Page) -> None:
    folder = make(runs, GRID)
    data = folder / "report_data.js"
    plain = json.loads(data.read_text().partition(" = ")[2].rstrip(";\n"))
    step = plain["steps"][0]
    steps = [
        {**step, "index": n, "values": {"txt2img.cfg_scale": n % 50, "txt2img.steps": n // 50}}
        for n in range(1_000)
    ]
    plain["axes"][0]["values"], plain["axes"][1]["values"] = list(range(50)), list(range(20))
    data.write_text(f"window.STABLENEW_REPORT = {json.dumps({**plain, 'steps': steps})};\n")
    browser_page.goto((folder / "report.html").as_uri())
    assert browser_page.locator(".shot").count() == 2_000
    assert (
        browser_page.evaluate("document.querySelectorAll('.shot img[loading=lazy]').length")
        == 2_000
    )
    longest = browser_page.evaluate("""async () => {
        const grid = document.getElementById("grid");
        let longest = 0, before = performance.now();
        for (let at = 0; at < 40; at++) {
            grid.scrollTop = at * 90; grid.scrollLeft = at * 200;
            await new Promise(requestAnimationFrame);
            const now = performance.now();
            if (at > 2) longest = Math.max(longest, now - before);
            before = now;
        }
        return longest;
    }""")
    print(f"2,000 pictures: the longest frame of a scroll took {longest:.0f} ms")  # noqa: T201
    browser_page.locator(".shot").nth(1_999).scroll_into_view_if_needed()
    browser_page.locator(".shot").nth(1_999).click()
    assert browser_page.locator("dialog[open] figure").count() == 1
