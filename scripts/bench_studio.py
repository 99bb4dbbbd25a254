"""The studio's loop while thumbnails are asked for during a plan: how late does it come?

python scripts/bench_studio.py [--pictures 2000] [--steps 80] [--side 768]

A plan of the embedded model runs in the studio with two tabs open, first alone (the floor: what of
the lateness is the model's and the machine's), then while a client in a process of its own asks for
the thumbnails of so many pictures, six at a time as browsers do. Prints by how much the loop comes
late: p99 is to be at most 16 ms, a frame of a screen.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import anyio
import httpx2
import uvicorn
from bench_support import heartbeat, shown
from PIL import Image

from stablenew import Settings, open_app
from stablenew.studio.access import Access
from stablenew.studio.command import _Server, bound
from stablenew.studio.guard import Guard
from stablenew.studio.site import site
from stablenew.studio.studio import Studio

RUN = "20200101T000000-000000-aaaaaa"
TOKEN = "bench"
AT_ONCE = 6
BEAT = 0.005

TABS = """
import sys, httpx2, threading
url, count = sys.argv[1], int(sys.argv[2])
client = httpx2.Client(base_url=url, timeout=600)
client.get("/?token=bench")
def watch():
    with client.stream("GET", "api/events") as events:
        for line in events.iter_lines():
            if "PlanFinished" in line:
                break
tabs = [threading.Thread(target=watch) for _ in range(2)]
def ask(numbers):
    for n in numbers:
        answer = client.get(f"thumbnails/20200101T000000-000000-aaaaaa/txt2img_{n}.jpg")
        assert answer.status_code == 200, answer.text
asking = [threading.Thread(target=ask, args=(range(k, count + 1, 6),)) for k in range(1, 7)]
for each in (*tabs, *asking):
    each.start()
for each in (*asking, *tabs):
    each.join()
"""


def make_pictures(out: Path, count: int, side: int) -> None:
    folder = out / RUN
    folder.mkdir(parents=True)
    first = folder / "txt2img_1.png"
    Image.effect_mandelbrot((side, side), (-2, -1.5, 1, 1.5), 60).convert("RGB").save(first)
    for number in range(2, count + 1):
        shutil.copyfile(first, folder / f"txt2img_{number}.png")


def job(steps: int, seed: int) -> dict[str, object]:
    values = [round(1 + n / 10, 1) for n in range(steps)]
    axes = [{"path": "txt2img.cfg_scale", "values": values}]
    return {"prompt": "a blue cat", "seed": seed, "fresh": True, "learning": {"axes": axes}}


async def measured(studio: Studio, url: str, steps: int, seed: int, thumbnails: int) -> list[float]:
    async def work() -> None:
        words = [sys.executable, "-c", TABS, url, str(thumbnails)]
        item = await studio.enqueue({"job": job(steps, seed)})
        async with await anyio.open_process(words, stdout=None, stderr=None) as tabs:
            if await tabs.wait():
                raise SystemExit("the tabs failed")
        ended = next(each for each in studio.queue.items if each.id == item["id"]).ended
        await ended.wait()

    return await heartbeat(work, BEAT)


async def bench(out: Path, pictures: int, steps: int) -> None:
    with bound("127.0.0.1", 0) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/"
        async with open_app(Settings(out=out)) as app, anyio.create_task_group() as tasks:
            studio = Studio(app)
            guard = Guard(site(studio), Access(token=TOKEN))
            server = _Server(uvicorn.Config(guard, log_config=None, lifespan="off", ws="none"))
            tasks.start_soon(studio.run)
            tasks.start_soon(partial(server.serve, sockets=[listening]))
            async with httpx2.AsyncClient(base_url=url) as client:
                await client.get("/", params={"token": TOKEN})
            for name, count in (("alone", 0), (f"{pictures:,} thumbnails", pictures)):
                started = time.perf_counter()
                late = await measured(studio, url, steps, count, count)
                seconds = time.perf_counter() - started
                load = os.getloadavg()[0]
                print(f"{name}: {shown(late)}, in {seconds:.1f} s (load {load:.1f})", flush=True)
            await studio.close()
            server.should_exit = True
            await anyio.sleep(0.3)
            tasks.cancel_scope.cancel()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=2_000)
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--side", type=int, default=768)
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        make_pictures(out, flags.pictures, flags.side)
        anyio.run(bench, out, flags.pictures, flags.steps)


if __name__ == "__main__":
    main()
