"""Scrolling through 5,000 pictures in the studio's Look back: how long is the longest frame?

python scripts/bench_scrolling.py [--pictures 5000]    # needs what `make test-desktop` needs

Scrolls through all of them in a real Chromium, once while their thumbnails are made and once when
they are there, and through an empty box of that height (the floor: what of it is the machine's).
50 ms is the most that looks smooth. Prints the longest frame, and the longest but one in a hundred.
"""

from __future__ import annotations

import argparse
import functools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import anyio
from bench_library import make_folder, template
from PIL import Image
from playwright.sync_api import Page, sync_playwright

SCROLL = """async (selector) => {
    const area = document.querySelector(selector), frames = [];
    await new Promise((done) => setTimeout(done, 500));
    let before = performance.now();
    for (let top = 0; top < area.scrollHeight - area.clientHeight; top += 120) {
        area.scrollTop = top;
        await new Promise(requestAnimationFrame);
        const now = performance.now();
        frames.push(now - before);
        before = now;
    }
    return frames;
}"""
FLOOR = """() => {
    const box = document.createElement("div"), inside = document.createElement("div");
    const like = document.querySelector(".window");
    box.id = "floor";
    Object.assign(box.style, { position: "fixed", inset: "0 0 auto 0", overflow: "auto" });
    box.style.height = like.clientHeight + "px";
    inside.style.height = like.scrollHeight + "px";
    box.append(inside);
    document.body.append(box);
}"""


def with_pictures(out: Path) -> None:
    """Put a picture of 512×512 where the metadata says that there is one."""
    first = out / "first.png"
    Image.effect_mandelbrot((512, 512), (-2, -1.5, 1, 1.5), 60).convert("RGB").save(first)
    for run in out.glob("*-?????"):
        if not (run / "txt2img_1.png").exists():
            os.link(first, run / "txt2img_1.png")
    first.unlink()


def measure(page: Page, name: str, selector: str) -> None:
    frames = sorted(page.evaluate(SCROLL, selector))
    p99 = frames[int(len(frames) * 0.99)]
    load = os.getloadavg()[0]
    print(f"{name}: longest {frames[-1]:.0f} ms, p99 {p99:.0f} ms of {len(frames)} frames", end="")
    print(f" (load {load:.1f})", flush=True)


def bench(out: Path) -> None:
    command = "import sys; from stablenew.run import command; sys.exit(command())"
    words = [sys.executable, "-c", command, "studio", "--out", str(out), "--no-open"]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as studio, sync_playwright() as driver:
        assert studio.stdout
        address = studio.stdout.readline().decode().split()[-1]
        chromium = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = chromium.new_page(viewport={"width": 1600, "height": 900})
        page.goto(address)
        page.evaluate("location.hash = 'back/pictures'")
        page.locator(".window img").first.wait_for()
        measure(page, "thumbnails made meanwhile", ".window")
        page.reload()
        page.locator(".window img").first.wait_for()
        measure(page, "thumbnails there", ".window")
        page.evaluate(FLOOR)
        measure(page, "an empty box (floor)", "#floor")
        chromium.close()
        studio.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=5_000)
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        like = anyio.run(functools.partial(template, out))
        make_folder(out, like, flags.pictures)
        with_pictures(out)
        bench(out)


if __name__ == "__main__":
    main()
