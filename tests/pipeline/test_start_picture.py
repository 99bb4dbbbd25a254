"""Pictures that runs start from: looked at before anything runs, and read as backends take them."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Mapping
from pathlib import Path

import anyio
import attrs
import pytest
from PIL import Image

from stablenew.app import open_app
from stablenew.backends.embedded.capabilities import EMBEDDED_CAPABILITIES
from stablenew.backends.fake import FAKE_CAPABILITIES, FakeBackend
from stablenew.config.image_files import find_images, short_names
from stablenew.config.overrides import override
from stablenew.config.pipeline_config import PipelineConfig
from stablenew.config.settings import Settings
from stablenew.errors import ConfigError
from stablenew.learning.learning_record_reader import read_records
from stablenew.pipeline import picture_decoding, start_picture
from stablenew.pipeline.results import Outcome
from stablenew.pipeline.stage_plan import StagePlan, plan_stages
from stablenew.pipeline.stage_settings import backend_defaults, with_defaults
from stablenew.pipeline.start_picture import StartPicture, look_at_pictures, read_start_picture
from tests.pictures_to_start_from import noise, turned, write
from tests.support import config

WITHOUT_TXT2IMG = {"enabled": False}
PHOTO = StartPicture(path="/photo.png", sha256="ab" * 32, width=645, height=399)


def planned(asked: PipelineConfig, capabilities: object = FAKE_CAPABILITIES) -> StagePlan:
    return plan_stages(asked, capabilities, {"/photo.png": PHOTO})  # type: ignore[arg-type]


def of_photo(**stages: Mapping[str, object]) -> PipelineConfig:
    given = {name: dict(settings) for name, settings in stages.items()}
    given["txt2img"] = {"enabled": False, **given.get("txt2img", {})}
    return override(config(**given), "image", "/photo.png")


async def looked_at(path: Path) -> StartPicture:
    return (await look_at_pictures([str(path)]))[str(path)]


async def pixels(path: Path, *, flat: bool = True) -> Image.Image:
    data = read_start_picture(await looked_at(path), flat=flat)
    return Image.open(io.BytesIO(data))


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "bmp", "gif", "tif"])
async def test_a_picture_is_its_size_and_the_hash_of_its_file(tmp_path: Path, ending: str) -> None:
    path = write(tmp_path / f"a.{ending}")
    found = await looked_at(path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    assert found == StartPicture(path=str(path), sha256=sha256, width=40, height=24)


@pytest.mark.parametrize("ending", ["png", "jpg", "webp"])
async def test_what_needs_nothing_is_sent_as_it_lies_there(tmp_path: Path, ending: str) -> None:
    path = write(tmp_path / f"a.{ending}")
    assert read_start_picture(await looked_at(path), flat=True) == path.read_bytes()


async def test_a_photo_is_turned_as_its_exif_says(tmp_path: Path) -> None:
    image = Image.new("RGB", (40, 24), "red")
    image.paste("blue", (0, 0, 20, 24))
    path = turned(tmp_path / "a.jpg", 6, image)
    assert (await looked_at(path)).size == (24, 40)
    seen = await pixels(path)
    assert seen.size == (24, 40)
    assert seen.getpixel((12, 5))[2] > 200  # type: ignore[index]  # what was left is above


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("name", ["b.jpg", "b.png", "b.webp"])
async def test_a_photo_with_broken_exif_is_taken_as_it_lies(tmp_path: Path, name: str) -> None:
    cut = b"Exif\0\0II*\0\xff\xff\xff\x7f" if name == "b.jpg" else b"junk"
    broken = write(tmp_path / name, exif=cut)
    assert (await looked_at(broken)).size == (40, 24)
    assert read_start_picture(await looked_at(broken), flat=True) == broken.read_bytes()


@pytest.mark.parametrize(
    ("mode", "colour", "flat", "seen"),
    [
        ("RGBA", (255, 0, 0, 0), True, (255, 255, 255)),
        ("RGBA", (255, 0, 0, 0), False, (255, 0, 0, 0)),
        ("LA", (0, 0), True, (255, 255, 255)),
        ("L", 80, True, (80, 80, 80)),
        ("1", 1, True, (255, 255, 255)),
        ("CMYK", (0, 255, 255, 0), True, (255, 0, 0)),
        ("I;16", 0x8000, True, (128, 128, 128)),
    ],
)
async def test_every_mode_is_taken_as_it_is_seen(
    tmp_path: Path, mode: str, colour: object, flat: bool, seen: tuple[int, ...]
) -> None:
    ending = "tif" if mode == "CMYK" else "png"
    path = write(tmp_path / f"a.{ending}", Image.new(mode, (16, 16), colour))  # type: ignore[arg-type]
    assert (await pixels(path, flat=flat)).getpixel((3, 3)) == seen


async def test_a_palette_with_a_transparent_colour_is_flat_on_white(tmp_path: Path) -> None:
    image = Image.new("P", (16, 16), 1)
    image.putpalette([0, 0, 0, 200, 0, 0])
    path = write(tmp_path / "a.png", image, transparency=1)
    assert (await pixels(path)).getpixel((3, 3)) == (255, 255, 255)
    opaque = write(tmp_path / "b.png", image)
    assert (await pixels(opaque)).getpixel((3, 3)) == (200, 0, 0)


async def test_what_a_webui_wrote_into_a_picture_stays_in_it(tmp_path: Path) -> None:
    from PIL.PngImagePlugin import PngInfo

    texts = PngInfo()
    texts.add_text("parameters", "a cat\nSteps: 4")
    path = write(tmp_path / "a.png", Image.new("RGBA", (16, 16)), pnginfo=texts)
    assert (await pixels(path)).info["parameters"] == "a cat\nSteps: 4"


def make_broken(path: Path, kind: str) -> Path:
    if kind == "folder":
        path.mkdir()
    elif kind == "text":
        path.write_text("a cat")
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind in ("gif", "png", "webp"):
        write(path, format=kind, save_all=True, append_images=[noise(seed=2)])
    elif kind == "cut":
        data = write(path, noise(200, 200), format="jpeg").read_bytes()
        path.write_bytes(data[: len(data) // 2])
    elif kind == "pixels":
        write(path, Image.new("1", (10_000, 9_000)), format="png")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "bytes":
        write(path, format="png")
        os.truncate(path, 5 * 2**30)  # a sparse file: it takes no room
    return path


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("missing", "no such file"),
        ("folder", "is a folder with no picture in it"),
        ("pipe", "is no file, expected a picture"),
        ("text", "is no picture, expected one of PNG, JPEG"),
        ("empty", "is no picture, expected one of PNG, JPEG"),
        ("gif", "holds several pictures"),
        ("png", "holds several pictures"),
        ("webp", "holds several pictures"),
        ("cut", "is no picture that can be read: image file is truncated"),
        ("pixels", "has 10,000 x 9,000 pixels (90 megapixels), expected at most 89"),
        ("bytes", "has 5,120 MB, expected at most 512 MB"),
    ],
)
async def test_what_is_no_picture_to_start_from_is_said_before_anything_runs(
    tmp_path: Path, kind: str, says: str
) -> None:
    path = make_broken(tmp_path / "a.png", kind)
    async with open_app(Settings(out=tmp_path / "runs"), backend=FakeBackend()) as app:
        asked = {"image": str(path), "txt2img": WITHOUT_TXT2IMG, "upscale": {"enabled": True}}
        with pytest.raises(ConfigError) as caught:
            await app.pipeline.run_pipeline(asked)
    (problem,) = caught.value.problems
    assert problem.startswith(f"image: {path}: {says}")
    assert not list((tmp_path / "runs").glob("*/*.png"))


async def test_a_phones_picture_with_smaller_ones_in_it_is_one(tmp_path: Path) -> None:
    smaller = [noise(8, 8)]
    path = write(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=smaller)
    assert (await looked_at(path)).size == (40, 24)


async def test_a_picture_is_read_once_as_long_as_it_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.png")
    before = await looked_at(path)
    monkeypatch.setattr(picture_decoding, "checked_size", None)
    assert await looked_at(path) == before
    monkeypatch.undo()
    write(path, noise(8, 8))
    assert (await looked_at(path)).size == (8, 8)


async def test_a_picture_that_changes_underway_is_not_read_for_the_one_that_it_was(
    tmp_path: Path,
) -> None:
    path = write(tmp_path / "a.png")
    before = await looked_at(path)
    write(path, noise(seed=2))
    with pytest.raises(ConfigError, match=r"image: .*a\.png: has changed since"):
        read_start_picture(before, flat=True)
    path.unlink()
    with pytest.raises(ConfigError, match=r"image: .*a\.png: no such file"):
        read_start_picture(before, flat=True)


@pytest.mark.parametrize("stage", ["img2img", "adetailer", "upscale"])
def test_any_stage_but_txt2img_may_come_first(stage: str) -> None:
    asked = of_photo(**{stage: {"ad_model": "face.pt"} if stage == "adetailer" else {}})
    plan = planned(asked)
    assert (plan.names, plan.image) == ((stage,), PHOTO)


def test_what_txt2img_is_given_is_inherited_though_it_is_off() -> None:
    txt2img = {"negative_prompt": "blurry", "seed": 7, "model": "other-model", "steps": 3}
    plan = planned(of_photo(txt2img=txt2img, img2img={}, adetailer={"ad_model": "face.pt"}))
    img2img, adetailer = (stage.settings for stage in plan.stages)
    assert (img2img["prompt"], img2img["negative_prompt"]) == ("a cat", "blurry")
    assert (img2img["seed"], img2img["model"], img2img["steps"]) == (7, "other-model", 3)
    assert (adetailer["prompt"], adetailer["model"]) == ("a cat", "other-model")


def test_a_plan_that_goes_on_samples_pictures_as_it_did() -> None:
    asked = of_photo(img2img={})
    before = planned(asked)
    pinned = with_defaults(asked, backend_defaults(FAKE_CAPABILITIES))
    now = {
        stage: {**settings, "steps": 7, "sampler_name": "DPM++ 2M"}
        for stage, settings in FAKE_CAPABILITIES.stages.items()
    }
    later = attrs.evolve(FAKE_CAPABILITIES, stages=now)
    assert planned(asked, later).stages[0].settings["steps"] == 7
    assert planned(pinned, later).fingerprints(1) == before.fingerprints(1)


def test_a_later_stage_takes_from_the_first_what_txt2img_is_not_given() -> None:
    txt2img = {"prompt": ""}
    img2img = {"prompt": "a fox", "model": "other-model"}
    asked = of_photo(txt2img=txt2img, img2img=img2img, adetailer={"ad_model": "face.pt"})
    with pytest.raises(ConfigError, match=r"adetailer\.prompt: missing"):
        planned(asked)
    asked = override(asked, "txt2img.prompt", None)
    settings = planned(asked).stages[1].settings
    assert (settings["prompt"], settings["model"]) == ("a fox", "other-model")


def test_the_size_is_the_pictures_in_multiples_of_8_unless_it_is_given() -> None:
    (stage,) = planned(of_photo(img2img={})).stages
    assert (stage.settings["width"], stage.settings["height"]) == (640, 392)
    (stage,) = planned(of_photo(img2img={"width": 512, "height": 256})).stages
    assert (stage.settings["width"], stage.settings["height"]) == (512, 256)
    (stage,) = planned(of_photo(txt2img={"width": 128}, img2img={})).stages
    assert (stage.settings["width"], stage.settings["height"]) == (128, 392)
    (stage,) = planned(of_photo(img2img={}), EMBEDDED_CAPABILITIES).stages
    assert (stage.settings["width"], stage.settings["height"]) == (64, 64)


@pytest.mark.parametrize(
    ("stages", "says"),
    [
        ({"txt2img": {"enabled": True}, "img2img": {}}, "image: given, but txt2img starts from"),
        ({"img2img": {}, "txt2img": {"prompt": ""}}, "img2img.prompt: missing"),
        ({"img2img": {}, "txt2img": {"model": "fake-modl"}}, "txt2img.model: given 'fake-modl'"),
        ({"img2img": {}, "txt2img": {"clip_skip": 2}}, "txt2img.clip_skip: given 2, but the fake"),
        ({}, "stages: none is enabled"),
    ],
)
def test_what_is_wrong_with_a_run_that_starts_from_a_picture(
    stages: dict[str, dict[str, object]], says: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        planned(of_photo(**stages))
    (problem,) = caught.value.problems
    assert problem.startswith(says)


def test_a_picture_that_nobody_looked_at_is_not_planned_with() -> None:
    with pytest.raises(ConfigError, match="was not looked at"):
        plan_stages(of_photo(img2img={}), FAKE_CAPABILITIES)


def test_the_pictures_bytes_are_in_the_fingerprint_and_its_place_is_not() -> None:
    asked = of_photo(img2img={}, upscale={})
    there = planned(asked).fingerprints(2)
    elsewhere = StartPicture(path="/b.png", sha256=PHOTO.sha256, width=645, height=399)
    moved = plan_stages(
        override(asked, "image", "/b.png"), FAKE_CAPABILITIES, {"/b.png": elsewhere}
    )
    assert moved.fingerprints(2) == there
    other = StartPicture(path="/photo.png", sha256="cd" * 32, width=645, height=399)
    changed = plan_stages(asked, FAKE_CAPABILITIES, {"/photo.png": other}).fingerprints(2)
    assert not {*there[0], *there[1]} & {*changed[0], *changed[1]}


async def test_a_run_tells_what_it_started_from_and_leaves_it_alone(tmp_path: Path) -> None:
    path = turned(tmp_path / "photo.jpg", 6)
    before = path.stat(), path.read_bytes()
    backend = FakeBackend()
    settings = Settings(out=tmp_path / "runs", learning_enabled=True)
    asked = {
        "image": str(path),
        "txt2img": {"enabled": False, "prompt": "a watercolour", "seed": 5},
        "img2img": {"enabled": True},
        "upscale": {"enabled": True},
    }
    async with open_app(settings, backend=backend) as app:
        result = await app.pipeline.run_pipeline(asked, images=2)
        again = await app.pipeline.run_pipeline(asked, images=2)
    assert (result.outcome, again.reused) == (Outcome.SUCCEEDED, True)
    first, second, *_ = backend.calls
    assert (first.settings["seed"], second.settings["seed"]) == (5, 6)
    assert first.image == second.image
    assert Image.open(io.BytesIO(first.image or b"")).size == (24, 40)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    for output in result.outputs:
        assert (output.settings["image"], output.settings["image_sha256"]) == (str(path), sha256)
    metadata = json.loads((tmp_path / "runs" / result.run_id / "run_metadata.json").read_bytes())
    assert metadata["image"]["sha256"] == sha256
    assert metadata["config"]["image"] == str(path)
    record = next(iter(read_records(settings.records_path)))
    assert record.outputs[0]["image_sha256"] == sha256
    assert (path.stat().st_mtime_ns, path.read_bytes()) == (before[0].st_mtime_ns, before[1])


async def test_what_was_made_from_another_picture_is_not_used_again(tmp_path: Path) -> None:
    backend = FakeBackend()
    asked = {"txt2img": WITHOUT_TXT2IMG, "upscale": {"enabled": True}}
    async with open_app(Settings(out=tmp_path / "runs"), backend=backend) as app:
        for seed in (1, 2):
            path = write(tmp_path / f"{seed}.png", noise(seed=seed))
            await app.pipeline.run_pipeline({**asked, "image": str(path)})
    assert len({call.image for call in backend.calls}) == 2


async def test_a_picture_that_was_moved_is_used_again_and_called_where_it_lies(
    tmp_path: Path,
) -> None:
    path = write(tmp_path / "a.png")
    backend = FakeBackend()
    async with open_app(Settings(out=tmp_path / "runs"), backend=backend) as app:
        asked = {"image": str(path), "txt2img": WITHOUT_TXT2IMG, "upscale": {"enabled": True}}
        await app.pipeline.run_pipeline(asked)
        moved = path.rename(tmp_path / "b.png")
        result = await app.pipeline.run_pipeline({**asked, "image": str(moved)})
    assert (result.reused, len(backend.calls)) == (True, 1)
    assert result.outputs[0].settings["image"] == str(moved)


def test_a_small_picture_is_as_a_person_sees_it(tmp_path: Path) -> None:
    turned_ = turned(tmp_path / "a.jpg", 6, Image.new("RGB", (400, 200), "red")).read_bytes()
    assert picture_decoding.small_picture(turned_, 50).size == (25, 50)
    clear = write(tmp_path / "a.png", Image.new("RGBA", (16, 8), (255, 0, 0, 0))).read_bytes()
    small = picture_decoding.small_picture(clear, 50)
    assert (small.size, small.getpixel((3, 3))) == ((16, 8), (255, 255, 255))
    with pytest.raises(ConfigError, match="is no picture"):
        picture_decoding.small_picture(b"GIF89a", 50)


async def test_what_is_transparent_stays_so_where_nothing_is_sampled(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", Image.new("RGBA", (16, 16), (255, 0, 0, 0)))
    asked = {"image": str(path), "txt2img": {"enabled": False, "prompt": "a cat", "seed": 1}}
    backend = FakeBackend()
    async with open_app(Settings(out=tmp_path / "runs"), backend=backend) as app:
        for stage in ("img2img", "upscale"):
            await app.pipeline.run_pipeline({**asked, stage: {"enabled": True}})
    modes = [Image.open(io.BytesIO(call.image or b"")).mode for call in backend.calls]
    assert modes == ["RGB", "RGBA"]


async def test_a_picture_is_decoded_off_the_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    on: list[bool] = []
    whole = picture_decoding.as_backends_take_it

    def decode(data: bytes, *, flat: bool) -> bytes:
        on.append(threading.current_thread() is threading.main_thread())
        return whole(data, flat=flat)

    monkeypatch.setattr(picture_decoding, "as_backends_take_it", decode)
    path = write(tmp_path / "a.png")
    asked = {"image": str(path), "txt2img": WITHOUT_TXT2IMG, "upscale": {"enabled": True}}
    async with open_app(Settings(out=tmp_path / "runs"), backend=FakeBackend()) as app:
        await app.pipeline.run_pipeline(asked)
    assert on == [False]


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("2.png", "10.PNG", "1.jpg", ".hidden.png", "notes.txt", "deep/2.png"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("texts", "names"),
    [
        (["photos"], ["1.jpg", "2.png", "10.PNG"]),
        (["photos/*"], ["1.jpg", "2.png", "10.PNG"]),
        (["photos/*.png"], ["2.png"]),
        (["photos/**/*.png"], ["2.png", "deep/2.png"]),
        (["photos/10.PNG", "photos/2.png", "photos"], ["10.PNG", "2.png", "1.jpg"]),
        (["photos/notes.txt"], ["notes.txt"]),
    ],
)
def test_files_folders_and_globs_are_found_as_people_count(
    photos: Path, texts: list[str], names: list[str]
) -> None:
    assert find_images(texts) == tuple(str(photos / "photos" / name) for name in names)


async def test_what_names_no_picture_is_told_by_who_looks_at_it(photos: Path) -> None:
    (photos / "empty").mkdir()
    long = "a" * 300
    found = find_images(["nix.png", "*.png", "empty", long, "photos/2.png/b"])
    assert found[:3] == tuple(str(photos / name) for name in ("nix.png", "*.png", "empty"))
    looked = await look_at_pictures([*found, str(photos / "photos")])
    assert [each.problem for each in looked.values()] == [
        "no such file",
        "no picture matches this",
        "is a folder with no picture in it (.png, .jpg, .jpeg, .webp, .avif, .bmp, .gif, .tif,"
        " .tiff)",
        "File name too long",
        "Not a directory",
        "is a folder, expected a picture",
    ]


@pytest.mark.parametrize("given", ["", "a\0b", "~nobody-of-that-name/a.png"])
def test_what_is_no_path_is_an_error(given: str) -> None:
    with pytest.raises(ConfigError, match=r"^image: given "):
        find_images([given])
    with pytest.raises(ConfigError, match=r"^image: given "):
        PipelineConfig(image=given)


def test_a_file_whose_name_looks_like_a_glob_is_that_file(photos: Path) -> None:
    (photos / "a[1].png").touch()
    (photos / "a1.png").touch()
    assert find_images(["a[1].png"]) == (str(photos / "a[1].png"),)


def test_pictures_are_called_by_what_tells_them_apart() -> None:
    assert short_names(["/x/a/1.png", "/x/b/1.png", "/x/b/2.png"]) == [
        "a/1.png",
        "b/1.png",
        "2.png",
    ]


def test_a_path_is_kept_from_the_root(photos: Path) -> None:
    assert PipelineConfig(image="photos/2.png").image == str(photos / "photos" / "2.png")
    assert override(PipelineConfig(), "image", "a.png").image == str(photos / "a.png")
    with pytest.raises(ConfigError, match=r"image: given 5, expected text"):
        override(PipelineConfig(), "image", 5)


async def test_many_pictures_are_looked_at_one_after_the_other_and_a_cancel_comes_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []

    def look(path: str) -> StartPicture:
        looks.append(path)
        if len(looks) == 3:
            anyio.from_thread.run_sync(scope.cancel)
        return StartPicture(path=path)

    monkeypatch.setattr(start_picture, "_look_at", look)
    with anyio.CancelScope() as scope:
        await look_at_pictures(str(number) for number in range(500))
    assert len(looks) == 3
