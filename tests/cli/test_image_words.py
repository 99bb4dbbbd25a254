"""Pictures to start from, as the command line, the environment and plan files name them."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from stablenew.cli.arguments import run_parser
from stablenew.cli.job import Job, read_job
from stablenew.learning.axis import axis_of_images
from stablenew.learning.learning_plan import LearningPlan
from tests.cli.program import run
from tests.pictures_to_start_from import noise, write

UPSCALE = ("--set", "txt2img.enabled=false", "--set", "upscale.enabled=true")


def job(*words: str, **environ: str) -> Job:
    return read_job(vars(run_parser().parse_args(words)), environ)


def plan_of(*words: str) -> LearningPlan:
    plan = job(*words).plan
    assert plan is not None
    return plan


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for number, name in enumerate(("1.png", "2.jpg", "10.png")):
        write(tmp_path / "photos" / name, noise(seed=number))
    (tmp_path / "photos" / "notes.txt").write_text("of June")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(here: Path, *each: str) -> tuple[str, ...]:
    return tuple(str(here / "photos" / name) for name in each)


def test_one_picture_is_what_a_single_run_starts_from(here: Path) -> None:
    asked = job("--image", "photos/1.png", *UPSCALE)
    assert (asked.config.image, asked.plan) == (*names(here, "1.png"), None)


@pytest.mark.parametrize(
    "words",
    [
        ("--image", "photos"),
        ("--image", "photos/*"),
        ("--image", "photos/1.png", "photos/2.jpg", "photos/10.png"),
        ("--image", "photos/1.png", "--image", "photos"),
    ],
)
def test_several_are_an_axis_over_which_the_advice_is_to_hold(
    here: Path, words: tuple[str, ...]
) -> None:
    plan = plan_of(*words, "--sweep", "txt2img.seed=1,2", "--prompt", "a", "--prompt", "b")
    assert [axis.name for axis in plan.axes] == ["txt2img.seed", "image", "prompt"]
    assert plan.axes[1] == axis_of_images(names(here, "1.png", "2.jpg", "10.png"))
    assert plan.axes[1].labels == ("1.png", "2.jpg", "10.png")
    assert plan.conditions == ("image", "txt2img.prompt")


def test_the_environment_and_a_plan_file_name_pictures_too(here: Path) -> None:
    assert job(*UPSCALE, STABLENEW_IMAGE="photos/1.png").config.image == names(here, "1.png")[0]
    (here / "photos" / "plan.toml").write_text('image = ["1.png", "*.jpg"]\n')
    assert plan_of("photos/plan.toml").axes[0].values == names(here, "1.png", "2.jpg")
    assert job("photos/plan.toml", "--image", "photos/10.png").plan is None
    (here / "photos" / "plan.toml").write_text(
        '[[learning.axes]]\nimages = ["*.png"]\ncondition = false\n'
        '[[learning.axes]]\npath = "img2img.denoising_strength"\nvalues = [0.2, 0.8]\n'
    )
    plan = plan_of("photos/plan.toml")
    assert (plan.axes[0].values, plan.conditions) == (names(here, "1.png", "10.png"), ())


def test_an_axis_of_pictures_in_words_compares_them(here: Path) -> None:
    plan = plan_of("--sweep", "image=photos/*.png,photos/2.jpg", *UPSCALE)
    assert (plan.axes[0].values, plan.conditions) == (names(here, "1.png", "10.png", "2.jpg"), ())
    (here / "photos" / "plan.toml").write_text(
        '[[learning.axes]]\npath = "image"\nvalues = "*.jpg,1.png"\n'
    )
    plan = plan_of("photos/plan.toml")
    assert (plan.axes[0].values, plan.conditions) == (names(here, "2.jpg", "1.png"), ())
    stepped = plan_of("--sweep", "image=photos/*.png", "--with", "img2img.steps=2,3")
    assert stepped.axes[0].choices[1].overrides == {
        "image": names(here, "10.png")[0],
        "img2img.steps": 3,
    }


def test_what_is_wrong_with_pictures_is_said_with_all_the_rest(here: Path) -> None:
    wrong = ("--set", "upscale.upscaler_1=x", "--sweep", "txt2img.nix=1")
    missing = run("--image", "nix.png", "*.gif", *UPSCALE, *wrong, cwd=here, expect=2)
    lines = [line.removeprefix("stablenew: ") for line in missing.stderr.splitlines()]
    assert [line.partition(", ")[0] for line in lines] == [
        "sweep: txt2img.nix: no such setting",
        f"image: {here}/nix.png: no such file",
        "upscale.upscaler_1: given 'x'",
        f"image: {here}/*.gif: no picture matches this",
    ]
    done = run("--image", "photos/notes.txt", "photos/1.png", *UPSCALE, cwd=here, expect=2)
    assert done.stderr.splitlines() == [
        f"stablenew: image: {names(here, 'notes.txt')[0]}: is no picture,"
        " expected one of PNG, JPEG, WEBP, AVIF, BMP, GIF, TIFF"
    ]
    done = run("--image", "photos/1.png", "--prompt", "a cat", cwd=here, expect=2)
    assert done.stderr.splitlines() == [
        "stablenew: image: given, but txt2img starts from none; set txt2img.enabled=false, and"
        " img2img.enabled or upscale.enabled=true"
    ]
    assert not (here / "runs").exists()


def test_a_photo_at_several_strengths(here: Path) -> None:
    words = (
        "--image",
        "photos/2.jpg",
        "--set",
        "txt2img.enabled=false",
        "--prompt",
        "a watercolour",
    )
    swept = ("--sweep", "img2img.denoising_strength=0.2:0.8:0.3", "--set", "img2img.steps=2")
    done = run(*words, "--set", "img2img.enabled=true", *swept, "--images-per-step", "2", cwd=here)
    assert "3 steps: 3 succeeded" in done.stdout + done.stderr
    assert "note: started from 40x24 pixels resized to 64x64" in done.stdout
    pictures = sorted((here / "runs").glob("*/img2img_*.png"))
    assert len({path.read_bytes() for path in pictures}) == 6
    dry = run(*words, "--set", "img2img.enabled=true", *swept, "--dry-run", cwd=here).stdout
    assert f"image: {names(here, '2.jpg')[0]}, 40x24" in dry


def test_a_folder_of_pictures_is_upscaled(here: Path) -> None:
    done = run("--image", "photos", *UPSCALE, cwd=here)
    assert "3 steps: 3 succeeded" in done.stdout
    pictures = sorted((here / "runs").glob("*/upscale_1.png"))
    assert [size_of(path) for path in pictures] == [(160, 96)] * 3
    assert sorted(path.name for path in (here / "photos").iterdir()) == [
        *("1.png", "10.png", "2.jpg", "notes.txt")
    ]


def test_what_txt2img_is_given_can_be_swept_though_it_is_off(here: Path) -> None:
    words = ("--image", "photos/1.png", "--prompt", "a cat", "--set", "txt2img.enabled=false")
    img2img = ("--set", "img2img.enabled=true", "--dry-run")
    assert run(*words, *img2img, "--sweep", "txt2img.seed=1,2", cwd=here).returncode == 0
    sizes = ("--sweep", "txt2img.size=64x64", "--backend", "fake")
    assert run(*words, *img2img, *sizes, cwd=here).returncode == 0
    done = run(*words, *img2img, "--sweep", "txt2img.subseed=1,2", cwd=here, expect=2)
    assert "txt2img.subseed: txt2img is off" in done.stderr


def test_a_plan_goes_on_with_the_pictures_that_it_began_with_and_with_no_others(
    here: Path,
) -> None:
    run(
        "--image", "photos", *UPSCALE, "--max-time", "1s", "--max-steps", "2", cwd=here, expect=None
    )
    (plan,) = {path.parent for path in (here / "runs").glob("*/plan.json")}
    done = run("--resume", f"runs/{plan.name}", "--dry-run", cwd=here)
    assert "step 1  image=1.png  reused" in done.stdout
    write(here / "photos" / "1.png", noise(seed=99))
    (here / "photos" / "10.png").unlink()
    done = run("--resume", f"runs/{plan.name}", cwd=here, expect=2)
    changed, missing = done.stderr.splitlines()
    assert changed.startswith(
        f"stablenew: image: {names(here, '1.png')[0]}: is another picture than the one that the"
        " plan began with (sha256 "
    )
    assert changed.endswith("; put that one back, or start a new plan")
    assert missing == f"stablenew: image: {names(here, '10.png')[0]}: no such file"


def test_a_plan_that_goes_on_looks_for_no_other_picture(here: Path) -> None:
    write(here / "a[1].png", noise(seed=1))
    swept = ("--sweep", "image=a[1].png,photos/1.png", "--max-steps", "1")
    run(*swept, *UPSCALE, cwd=here)
    (plan,) = {path.parent for path in (here / "runs").glob("*/plan.json")}
    (here / "a[1].png").rename(here / "a1.png")
    done = run("--resume", f"runs/{plan.name}", cwd=here, expect=2)
    assert done.stderr == f"stablenew: image: {here}/a[1].png: no picture matches this\n"


def test_broken_exif_is_nobodys_business(here: Path) -> None:
    broken = write(here / "b.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f")
    assert run("--image", broken.name, *UPSCALE, "--dry-run", cwd=here).stderr == ""
