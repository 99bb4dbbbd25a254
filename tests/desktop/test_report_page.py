"""A plan's page in a real browser, opened from disk."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest
from playwright.sync_api import Browser, Locator, Page

from stablenew.app import open_app
from stablenew.backends.fake import Behaviour, FakeBackend
from stablenew.cli.rate_command import rate_from
from stablenew.config.settings import Settings
from stablenew.errors import BackendRejectedError
from stablenew.learning.feedback_manager import record_feedback
from stablenew.learning.feedback_reader import read_feedback
from stablenew.report.page import rebuild_page
from tests.pictures_to_start_from import noise, write
from tests.report.shown import data_of

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


def make(
    runs: Path,
    plan: Mapping[str, object],
    backend: FakeBackend | None = None,
    asked: Mapping[str, object] = CONFIG,
) -> Path:
    async def run() -> Path:
        async with open_app(Settings(out=runs), backend=backend or FakeBackend()) as app:
            result = await app.learning.run_learning_plan(plan, asked)
            await app.reports.drained()
        return runs / result.plan_id

    return apart(run())


@pytest.fixture(scope="module")
def browser_page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    yield page
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


def test_what_pictures_started_from_stands_beside_labels_and_pictures(
    runs: Path, tmp_path: Path, browser_page: Page
) -> None:
    photos = [str(write(tmp_path / f"{seed}.png", noise(seed=seed))) for seed in (1, 2)]
    upscaled = {"txt2img": {"enabled": False}, "upscale": {"enabled": True}}
    resized = {"path": "upscale.upscaling_resize", "values": [2, 3]}
    folder = make(runs, {"axes": [{"images": photos}, resized]}, asked=upscaled)
    page = browser_page
    page.goto((folder / "report.html").as_uri())
    whole = "images => images.every((image) => image.complete && image.naturalWidth === 40)"
    assert heads(page, "thead")[1:] == ["image 1.png", "image 2.png"]
    assert page.locator("thead th .start").count() == 2
    assert page.locator(".start").evaluate_all(whole)
    assert page.locator("#about .start").count() == 0
    page.locator(".shot").first.click()
    assert page.locator("figcaption .start").get_attribute("title") == photos[0]
    page.keyboard.press("Escape")
    folder = make(runs, {"axes": [resized]}, asked={**upscaled, "image": photos[1]})
    page.goto((folder / "report.html").as_uri())
    assert page.locator("#about").inner_text().startswith("from 2.png")
    assert page.locator("#about .start").get_attribute("title") == photos[1]


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
    assert (page.input_value("#x"), page.input_value("#y")) == (
        "txt2img.steps",
        "txt2img.cfg_scale",
    )
    page.select_option("#y", "picture")
    assert page.locator("h2").all_inner_texts() == ["cfg_scale 3", "cfg_scale 5", "cfg_scale 9"]
    page.select_option("[data-path='txt2img.cfg_scale']", "together")
    assert heads(page, "thead")[1:] == ["steps 10", "steps 20"]
    assert heads(page, "tbody") == ["seed 5", "seed 6"]
    assert page.locator(".shot").count() == 12


def test_labels_stay_in_sight(grid: tuple[Path, Page]) -> None:
    _, page = grid
    page.locator("#size").fill("400")
    page.locator(".scroll").evaluate("grid => { grid.scrollLeft = 900; grid.scrollTop = 500; }")
    label = page.locator("tbody th").nth(1).bounding_box()
    box = page.locator(".scroll").bounding_box()
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


def test_what_is_best_together_stands_above_the_pictures(grid: tuple[Path, Page]) -> None:
    folder, page = grid
    assert page.locator("#advice").inner_text() == ""

    async def rate() -> None:
        for step in range(1, 7):
            run_id = f"{folder.name}-{step:05}"
            await record_feedback(run_id, "txt2img_1", 2 + step % 3, base_dir=folder.parent)

    apart(rate())
    rebuild_page(folder, written="2026-01-02T03:04:05+00:00")
    page.reload()
    summary = page.locator("#advice summary")
    assert summary.inner_text().startswith("best together: cfg_scale ")
    assert page.locator("#advice li").first.inner_text().startswith("quality ")
    plot = page.locator("#advice img")
    assert plot.evaluate("image => image.decode().then(() => image.naturalWidth)") > 400
    summary.click()
    assert not plot.is_visible()


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


FOUR: dict[str, object] = {
    "axes": [
        {"path": "txt2img.cfg_scale", "values": [3, 7]},
        {"path": "txt2img.steps", "values": [4, 8]},
        {"path": "txt2img.sampler_name", "values": ["Euler", "Euler a"]},
        {"path": "txt2img.height", "values": [64, 128, 192, 256, 320]},
    ]
}


def filter_of(page: Page, path: str) -> Locator:
    return page.locator(f"#filters select[data-path='{path}']")


def test_few_values_of_further_axes_are_side_by_side_and_more_are_a_filter(
    runs: Path, browser_page: Page
) -> None:
    page = browser_page
    page.goto((make(runs, FOUR) / "report.html").as_uri())
    assert page.locator("h2").all_inner_texts() == ["sampler_name Euler", "sampler_name Euler a"]
    assert filter_of(page, "txt2img.height").input_value() == "0"
    assert page.locator(".shot").count() == 8
    assert page.locator("#shown").inner_text() == "8 of 40 pictures"
    filter_of(page, "txt2img.height").select_option(label="height 256")
    settings = page.locator(".shot").first.get_attribute("title")
    assert settings
    assert settings.startswith("cfg_scale 3 · steps 4 · sampler_name Euler · height 256 · seed")
    filter_of(page, "txt2img.height").select_option("beside")
    assert page.locator("h2").count() == 10
    assert page.locator("h2").nth(3).inner_text() == "sampler_name Euler a · height 128"
    assert page.locator("#shown").inner_text() == ""
    filter_of(page, "txt2img.sampler_name").select_option("together")
    assert page.locator("h2").count() == 5
    assert page.locator("td").first.locator(".shot").count() == 2
    page.select_option("#x", "txt2img.height")  # what is across or down has no filter
    paths = page.locator("#filters select").evaluate_all(
        "all => all.map(each => each.dataset.path)"
    )
    assert paths == ["txt2img.cfg_scale", "txt2img.sampler_name"]


def test_of_a_sample_only_the_rows_and_columns_are_shown_that_have_something(
    runs: Path, browser_page: Page
) -> None:
    axes = [
        {"path": "txt2img.cfg_scale", "values": [1, 2, 3, 4, 5]},
        {"path": "txt2img.steps", "values": [1, 2, 3, 4, 5]},
    ]
    folder = make(runs, {"axes": axes, "sample": 2})
    made = [step["at"] for step in data_of(folder)["steps"]]
    browser_page.goto((folder / "report.html").as_uri())
    for scope, places in (("col", {at[0] for at in made}), ("row", {at[1] for at in made})):
        assert browser_page.locator(f"th[scope={scope}]").count() == len(places)


def test_arrows_go_through_what_is_shown_in_its_order(runs: Path, browser_page: Page) -> None:
    page = browser_page
    page.goto((make(runs, FOUR) / "report.html").as_uri())
    filter_of(page, "txt2img.height").select_option("4")
    page.locator(".shot").first.click()
    seen = []
    for _ in range(9):
        seen.append(page.locator("#big strong").inner_text().partition(" · height 320")[0])
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Escape")
    assert seen == [
        f"cfg_scale {cfg} · steps {steps} · sampler_name {name}"
        for name in ("Euler", "Euler a")
        for steps in (4, 8)
        for cfg in (3, 7)
    ] + ["cfg_scale 7 · steps 8 · sampler_name Euler a"]


def test_a_sample_is_shown_all_together(runs: Path, browser_page: Page) -> None:
    many = {"path": "txt2img.cfg_scale", "values": list(range(1, 13))}
    axes = [{"path": f"txt2img.{name}", "values": [8, 16, 24]} for name in ("steps", "height")]
    folder = make(runs, {"axes": [*axes, many], "sample": 20})
    browser_page.goto((folder / "report.html").as_uri())
    assert filter_of(browser_page, "txt2img.cfg_scale").input_value() == "together"
    assert browser_page.locator(".shot").count() == 20


ODD = [
    "<img src=x onerror=alert(1)> a red cat on a boat, in the rain, all by itself, at night",
    "a \u202ered cat\n\"quoted\" 猫 'x' on a boat, in the rain, all by itself, at noon",
    "x" * 3_000 + " the end",
]


@pytest.mark.parametrize("width", [1280, 390])
def test_odd_and_long_values_are_text_that_ends_as_it_does_and_fit(
    runs: Path, browser_page: Page, width: int
) -> None:
    page = browser_page
    page.set_viewport_size({"width": width, "height": 800})
    axes = [
        {"path": "txt2img.prompt", "values": ODD},
        {"path": "txt2img.steps", "values": [4, 8]},
        {"path": "txt2img.negative_prompt", "values": [*ODD[:2], "y"]},
    ]
    page.goto((make(runs, {"axes": axes}) / "report.html").as_uri())
    labels = heads(page, "thead")[1:4]
    assert len({*labels}) == 3
    assert [label.split()[-1] for label in labels] == ["night", "noon", "end"]
    assert max(map(len, labels)) <= 80
    assert "<img src=x" in labels[0]
    assert page.locator("h2").count() == 3
    assert page.locator("#grid img[src=x]").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.select_option("#y", "txt2img.prompt")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.set_viewport_size({"width": 1280, "height": 900})


def test_who_has_no_keys_rates_with_buttons(grid: tuple[Path, Page]) -> None:
    _, page = grid
    page.set_viewport_size({"width": 390, "height": 800})
    page.reload()
    page.locator(".shot").first.click()
    for name in ("rate 4", "the next one", "rate 2", "rate 2", "the next one", "rate 5", "close"):
        page.get_by_label(name).click()
    assert page.locator(".shot b").all_inner_texts() == ["4", "5"]
    assert page.locator("dialog[open]").count() == 0
    page.set_viewport_size({"width": 1280, "height": 900})


def test_what_is_written_again_leaves_the_view_as_it_is(runs: Path, browser_page: Page) -> None:
    page, folder = browser_page, make(runs, FOUR)
    data = folder / "report_data.js"
    whole = data.read_text()
    data.write_text(whole.replace('"done":true', '"done":false'))
    page.goto((folder / "report.html").as_uri())
    page.select_option("#x", "txt2img.height")
    filter_of(page, "txt2img.sampler_name").select_option("1")
    page.locator("#size").fill("400")
    scroll = page.locator(".scroll").first
    scroll.evaluate("each => each.scrollTo(250, 100)")
    data.write_text(whole.replace('"written":"', '"written":"later '))
    page.wait_for_function("document.getElementById('about').innerText === 'a cat'", timeout=9_000)
    assert page.input_value("#x") == "txt2img.height"
    assert filter_of(page, "txt2img.sampler_name").input_value() == "1"
    assert scroll.evaluate("each => [each.scrollLeft, each.scrollTop]") == [250, 100]


def test_ten_thousand_cells_of_four_axes_are_small_and_put_in_as_they_come_near(
    runs: Path, browser_page: Page
) -> None:
    page, folder = browser_page, make(runs, FOUR)
    data = folder / "report_data.js"
    plain = json.loads(data.read_text().partition(" = ")[2].rstrip(";\n"))
    first = plain["steps"][0]
    for axis in plain["axes"]:
        texts = [f"{axis['name']} {n}" for n in range(10)]
        axis.update(texts=texts, labels=texts, order=list(range(10)))
    plain["steps"] = [
        {
            **first,
            "index": n,
            "run_id": f"r-{n:05d}",
            "at": [n // 10**axis % 10 for axis in range(4)],
        }
        for n in range(10_000)
    ]
    plain["count"] = 10_000
    data.write_text(f"window.STABLENEW_REPORT = {json.dumps(plain, separators=(',', ':'))};\n")
    assert data.stat().st_size < 3_000_000
    page.goto((folder / "report.html").as_uri())
    assert page.locator("#shown").inner_text() == "100 of 10,000 pictures"
    assert page.locator(".shot").count() == 100
    for path in ("txt2img.sampler_name", "txt2img.height"):
        filter_of(page, path).select_option("beside")
    assert page.locator(".panel").count() == 100
    assert page.locator(".shot").count() < 1_200
    last = page.locator(".panel").last
    last.scroll_into_view_if_needed()
    last.locator("tbody tr").last.scroll_into_view_if_needed()
    last.locator(".shot").last.click()
    assert (
        page.locator("#big strong")
        .inner_text()
        .startswith("cfg_scale 9 · steps 9 · sampler_name 9 · height 9")
    )
    page.keyboard.press("5")
    page.keyboard.press("Escape")
    assert page.locator(".shot b").all_inner_texts() == ["5"]
    assert page.locator(".shot").count() < 2_500


def test_two_thousand_pictures_stay_smooth(runs: Path, browser_page: Page) -> None:
    folder = make(runs, GRID)
    data = folder / "report_data.js"
    plain = json.loads(data.read_text().partition(" = ")[2].rstrip(";\n"))
    step = plain["steps"][0]
    steps = [
        {**step, "index": n, "run_id": f"r-{n:05d}", "at": [n % 50, n // 50]} for n in range(1_000)
    ]
    for axis, count in zip(plain["axes"], (50, 20), strict=True):
        texts = [f"{axis['name']} {n}" for n in range(count)]
        axis.update(texts=texts, labels=texts, order=list(range(count)))
    data.write_text(f"window.STABLENEW_REPORT = {json.dumps({**plain, 'steps': steps})};\n")
    browser_page.goto((folder / "report.html").as_uri())
    there = browser_page.locator(".shot").count()
    assert 600 <= there < 1_600
    assert browser_page.locator(".shot img[loading=lazy]").count() == there
    longest = browser_page.evaluate("""async () => {
        const grid = document.querySelector(".scroll");
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
    browser_page.locator("tbody tr").last.scroll_into_view_if_needed()
    browser_page.locator("tbody tr").last.locator(".shot").last.click()
    assert browser_page.locator("dialog[open] figure").count() == 1
    browser_page.keyboard.press("Escape")
