"""The page's files: its data follows the plan, and the ratings."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from stablenew.app import open_app
from stablenew.backends.fake import Behaviour, FakeBackend
from stablenew.config.settings import Settings
from stablenew.errors import BackendRejectedError
from stablenew.learning.feedback_manager import record_feedback
from stablenew.report.page import THUMBNAIL, Page, rebuild_page
from stablenew.report.settings_table import MISSING, SettingsTable
from tests.pictures_to_start_from import noise, turned, write
from tests.report.shown import data_of, steps_of

PLAN = {
    "target_variable": "txt2img.cfg_scale",
    "sweep_values": [3, 7],
    "y_variable": "txt2img.steps",
    "y_values": [10, 20],
    "images_per_step": 2,
}
CONFIG = {"txt2img": {"prompt": "a cat </script>", "seed": 5}}


async def made(runs: Path, backend: FakeBackend | None = None) -> Path:
    async with open_app(Settings(out=runs), backend=backend or FakeBackend()) as app:
        result = await app.learning.run_learning_plan(PLAN, CONFIG)
        await app.reports.drained()
    assert app.reporter.problem is None
    return runs / result.plan_id


async def test_a_page_shows_every_picture_with_its_values_and_settings(runs: Path) -> None:
    folder = await made(runs)
    data = data_of(folder)
    assert data["done"]
    assert [(axis["path"], axis["labels"]) for axis in data["axes"]] == [
        ("txt2img.cfg_scale", ["cfg_scale 3", "cfg_scale 7"]),
        ("txt2img.steps", ["steps 10", "steps 20"]),
    ]
    steps = steps_of(folder)
    assert [list(step["values"].values()) for step in steps] == [
        ["3", "10"], ["7", "10"], ["3", "20"], ["7", "20"],
    ]  # fmt: skip
    for step in steps:
        for number, picture in enumerate(step["pictures"]):
            assert (runs / step["run_id"] / picture["path"]).exists()
            assert str(picture["settings"]["cfg_scale"]) == step["values"]["txt2img.cfg_scale"]
            assert picture["settings"]["seed"] == 5 + number
    assert data["seeds"] == [5, 6]
    assert (folder / "report.html").read_text().startswith("<!doctype html>")


async def test_a_setting_that_many_pictures_share_is_written_once(runs: Path) -> None:
    folder = await made(runs)
    assert (folder / "report_data.js").read_text().count("a cat </script>") == 2  # and as the title
    settings = dict(data_of(folder)["settings"])
    assert settings["cfg_scale"] == [3, 7]
    assert settings["seed"] == [5, 6]
    whole = json.loads((runs / f"{folder.name}-00002" / "run_metadata.json").read_text())
    assert [each["settings"] for each in whole["stage_outputs"]] == [
        each["settings"] for each in steps_of(folder)[1]["pictures"]
    ]


def test_values_that_only_look_the_same_are_kept_apart_and_what_is_missing_is_missing() -> None:
    table = SettingsTable()
    first = table.places([("a", 1), ("b", "x")])
    second = table.places([("c", None), ("a", True)])
    third = table.places([("a", 1.0), ("b", "x")])
    assert (first, second, third) == ([0, 0], [1, MISSING, 0], [2, 0, MISSING])
    assert json.dumps(table.plain) == '[["a", [1, true, 1.0]], ["b", ["x"]], ["c", [null]]]'
    found = [table.value(name, second) for name in ("a", "b", "c", "d")]
    assert found == [True, None, None, None]


async def test_steps_that_were_added_on_the_way_are_where_their_values_are(runs: Path) -> None:
    axes = [
        {"path": "txt2img.cfg_scale", "values": [9, 3, 5]},
        {"path": "txt2img.sampler_name", "values": ["Euler", "Heun"]},
    ]
    plan = {"axes": axes, "mode": "adaptive", "first": [0]}
    folder = runs / "p"
    folder.mkdir(parents=True)
    page = Page(folder, {"plan_id": "p", "plan": plan})
    added = [{"txt2img.cfg_scale": 5, "txt2img.sampler_name": "Heun"}, {"txt2img.cfg_scale": 4}]
    for index, varied in enumerate(added, start=1):
        run = runs / f"p-{index + 1:05d}"
        run.mkdir()
        told = {"metadata": {"varied": varied}, "stages": [], "stage_outputs": []}
        (run / "run_metadata.json").write_text(json.dumps(told))
        page.add(index, run.name, "succeeded", None)
    page.write(done=False, written="now")
    assert [axis["order"] for axis in data_of(folder)["axes"]] == [[2, 0], [0, 1]]
    page.add(3, "p-00004", "cancelled", None, (1, 0))
    page.write(done=True, written="now")
    assert [axis["order"] for axis in data_of(folder)["axes"]] == [[1, 2, 0], [0, 1]]
    assert [step["at"] for step in data_of(folder)["steps"]] == [[2, 1], [0, 0], [1, 0]]


async def test_failed_steps_are_shown_with_their_error(runs: Path) -> None:
    error = BackendRejectedError("CUDA out of memory")
    backend = FakeBackend(lambda _, call: Behaviour(error=error if call == 3 else None))
    steps = data_of(await made(runs, backend))["steps"]
    assert [step["outcome"] for step in steps] == ["succeeded", "failed", "succeeded", "succeeded"]
    assert "CUDA out of memory" in steps[1]["error"]


async def test_a_page_is_written_anew_with_new_ratings(runs: Path) -> None:
    folder = await made(runs)
    await record_feedback(f"{folder.name}-00002", "txt2img_1", 4, base_dir=runs)
    assert data_of(folder)["ratings"] == {}
    assert rebuild_page(folder, written="now")
    data = data_of(folder)
    assert data["ratings"] == {f"{folder.name}-00002/txt2img_1": 4}
    assert len(data["steps"]) == 4


async def test_a_page_of_rated_pictures_shows_what_is_best_together_with_its_plot(
    runs: Path,
) -> None:
    folder = await made(runs)
    assert "advice" not in data_of(folder)
    for step in steps_of(folder):
        for picture in step["pictures"]:
            said = 4 if step["values"]["txt2img.cfg_scale"] == "7" else 2
            said += step["values"]["txt2img.steps"] == "20"
            await record_feedback(step["run_id"], picture["image_id"], said, base_dir=runs)
    assert rebuild_page(folder, written="later")
    advice = data_of(folder)["advice"]
    assert advice["settings"] == [["txt2img.cfg_scale", "7"], ["txt2img.steps", "20"]]
    assert advice["lines"][0].startswith("quality ")
    assert any("the next picture may add" in line for line in advice["lines"])
    name, _, fresh = advice["plot"].partition("?")
    assert fresh == "later"
    with Image.open(folder / name) as plot:
        assert plot.width > 400
    assert "best together: " in (folder / "report.html").read_text()


async def test_a_page_is_there_while_the_plan_runs(runs: Path) -> None:
    seen: list[bool] = []

    def look(_: object, call: int) -> Behaviour:
        for page in runs.glob("*/report_data.js"):
            seen.append(data_of(page.parent)["done"])
        return Behaviour()

    await made(runs, FakeBackend(look))
    assert seen
    assert not any(seen)


def test_a_folder_that_is_no_plan_has_no_page(tmp_path: Path) -> None:
    assert not rebuild_page(tmp_path, written="now")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("side", "small"), [(THUMBNAIL, True), (1_000, False)])
def test_only_large_pictures_get_a_thumbnail(tmp_path: Path, side: int, small: bool) -> None:
    run = tmp_path / "p-00001"
    run.mkdir()
    (tmp_path / "p").mkdir()
    Image.new("RGB", (side, side // 2)).save(run / "txt2img_1.png")
    output = {"stage": "txt2img", "image_id": "txt2img_1", "path": "p-00001/txt2img_1.png"}
    metadata = {
        "stages": [{"stage": "txt2img"}],
        "stage_outputs": [{**output, "width": side, "height": side // 2}],
    }
    (run / "run_metadata.json").write_text(json.dumps(metadata))
    page = Page(tmp_path / "p", {"plan_id": "p", "plan": {"target_variable": "steps",
                                                         "sweep_values": [1]}})  # fmt: skip
    page.add(0, "p-00001", "succeeded", None)
    (picture,) = page.steps[0]["pictures"]
    assert ("thumb" not in picture) == small
    if not small:
        with Image.open(tmp_path / "p" / "thumbnails" / "p-00001-txt2img_1.jpg") as thumbnail:
            assert max(thumbnail.size) == THUMBNAIL


async def test_what_runs_started_from_is_shown_small(runs: Path, tmp_path: Path) -> None:
    photos = [turned(tmp_path / "photo.jpg", 6, noise(400, 300)), write(tmp_path / "b.png")]
    plan = {"axes": [{"images": list(map(str, photos))}]}
    asked = {"txt2img": {"enabled": False}, "upscale": {"enabled": True}}
    async with open_app(Settings(out=runs), backend=FakeBackend()) as app:
        result = await app.learning.run_learning_plan(plan, asked)
        await app.reports.drained()
    folder = runs / result.plan_id
    data = data_of(folder)
    assert data["axes"][0]["images"] == list(map(str, photos))
    sizes = []
    for photo in photos:
        with Image.open(folder / data["starts"][str(photo)]) as image:
            sizes.append(image.size)
    assert sizes == [(192, 256), (40, 24)]  # turned as its EXIF says
    assert steps_of(folder)[0]["pictures"][0]["settings"]["image"] == str(photos[0])
    photos[0].unlink()  # its thumbnail stays
    write(photos[1], noise(seed=9))
    (folder / data["starts"][str(photos[1])]).unlink()
    assert rebuild_page(folder, written="later")
    again = data_of(folder)["starts"]
    assert again == {str(photos[0]): data["starts"][str(photos[0])], str(photos[1]): ""}
    shutil.rmtree(folder / "thumbnails")
    assert rebuild_page(folder, written="later")
    assert set(data_of(folder)["starts"].values()) == {""}


async def test_a_page_of_runs_that_start_from_nothing_has_none(runs: Path) -> None:
    data = data_of(await made(runs))
    assert data["starts"] == {}
    assert "images" not in data["axes"][0]
