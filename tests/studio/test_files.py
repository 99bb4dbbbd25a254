"""Pictures and thumbnails of the folder of runs, and of nothing else."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest
from PIL import Image

from stablenew.studio import pictures
from tests.studio.serving import Served, served
from tests.studio.test_library import made

RUN = "20260101T000000-000000-aaaaaa"


def picture(path: Path, size: tuple[int, int] = (600, 300)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (200, 30, 30)).save(path)
    return path


OUTSIDE = (
    "files/../secret.png",
    "files/%2e%2e/secret.png",
    "files/..%2fsecret.png",
    "files/%2e%2e%2fsecret.png",
    f"files/{RUN}/..%2f..%2fsecret.png",
    f"files/{RUN}/%2e%2e%2f%2e%2e%2fsecret.png",
    f"files/{RUN}/..%5c..%5csecret.png",
    f"files/{RUN}/link.png",
    "files/linked/secret.png",
    "files//secret.png",
    "files/.studio/token",
    f"files/{RUN}/run_metadata.json",
    f"files/{RUN}/a%00.png",
    "thumbnails/linked/secret.jpg",
    f"thumbnails/{RUN}/link.jpg",
    "thumbnails/..%2f..%2fsecret/a.jpg",
    "static/..%2f..%2fsite.py",
    "static/%2e%2e/site.py",
    "shared/..%2fpage.py",
    "api/plans/..%2f..",
    "api/plans/linked",
    "api/plans/%2e%2e/plan.toml",
    "api/pictures/linked/txt2img_1",
    "api/pictures/%2e%2e/txt2img_1",
    "api/pictures/linked/txt2img_1/as/infotext",
    "api/plans/linked/to-rate",
    "files/%2fetc%2fpasswd",
)


async def test_no_path_leads_out_of_the_folder_of_runs(runs: Path) -> None:
    for name in (RUN, "elsewhere", ""):  # metadata of ours, also where nobody is to read it
        made(runs if name == RUN else runs.parent, name)
    picture(runs / RUN / "txt2img_1.png")
    elsewhere = picture(runs.parent / "elsewhere" / "secret.png")
    picture(runs.parent / "secret.png")
    (runs / RUN / "link.png").symlink_to(elsewhere)
    (runs / "linked").symlink_to(elsewhere.parent)
    async with served(runs) as studio:
        assert (await studio.client.get(f"files/{RUN}/txt2img_1.png")).status_code == 200
        for path in OUTSIDE:
            answer = await studio.client.get(f"http://127.0.0.1:{studio.port}/{path}")
            assert answer.status_code == 404, path
        listed = await studio.get("api/pictures")
        assert [each["run_id"] for each in listed["pictures"]] == [RUN]


async def test_a_thumbnail_is_made_once_kept_and_made_again_when_it_is_lost(runs: Path) -> None:
    source = picture(runs / RUN / "txt2img_1.png")
    async with served(runs) as studio:
        small = await thumbnail(studio)
        assert small == (256, 128)
        kept = runs / RUN / "thumbnails" / "txt2img_1.jpg"
        made = kept.stat().st_mtime_ns
        await thumbnail(studio)
        assert kept.stat().st_mtime_ns == made
        kept.unlink()
        await thumbnail(studio)
        assert kept.exists()
        kept.write_bytes(b"")
        assert await thumbnail(studio) == (256, 128), "a torn one is none"
        source.write_bytes(b"no picture")
        kept.unlink()
        answer = await studio.client.get(f"thumbnails/{RUN}/txt2img_1.jpg")
        assert answer.status_code == 404


async def thumbnail(studio: Served) -> tuple[int, int]:
    from io import BytesIO

    answer = await studio.client.get(f"thumbnails/{RUN}/txt2img_1.jpg")
    assert answer.headers["content-type"] == "image/jpeg"
    return Image.open(BytesIO(answer.content)).size


async def test_the_thread_that_makes_thumbnails_gives_way(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def priority() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    there: list[int] = []

    def made(source: Path, target: Path) -> bytes:
        there.append(priority())
        return b"a thumbnail"

    monkeypatch.setattr(pictures, "_made", made)
    picture(runs / RUN / "txt2img_1.png")
    async with served(runs) as studio:
        answer = await studio.client.get(f"thumbnails/{RUN}/txt2img_1.jpg")
        assert answer.content == b"a thumbnail"
        lower = 10 if sys.platform == "linux" else 0  # elsewhere that is the whole process
        assert there == [min(19, priority() + lower)]
