"""Looking back over 50,000 pictures: how long the lists take, and how late the studio's loop comes.

python scripts/bench_library.py [--pictures 50000]

A folder of so many pictures (plans of 80 steps, a tenth of them rated) is looked at through a real
client: the first page while nothing is known of the folder yet, then pages, searches and filters in
turn while a plan runs, which is in the list as soon as its steps end. Prints how long they take,
how late the loop comes, and what memory they cost.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

import anyio
import uvicorn
from bench_support import heartbeat, shown

from stablenew import Behaviour, FakeBackend, Settings, open_app
from stablenew.studio.access import Access
from stablenew.studio.command import _Server, bound
from stablenew.studio.guard import Guard
from stablenew.studio.site import site
from stablenew.studio.studio import Studio

STEPS = 80
WORDS = ("cat", "dog", "boat", "house", "tree", "lamp", "hill", "shoe")
MODELS = ("full-a", "full-b", "full-c")
ASKED: tuple[tuple[str, Mapping[str, str]], ...] = (
    ("api/pictures", {}),
    ("api/pictures", {"page": "400"}),
    ("api/pictures", {"search": "a dog"}),
    ("api/pictures", {"rating": "4", "sort": "best"}),
    ("api/pictures", {"model": "full-b", "search": "boat hill"}),
    ("api/plans", {}),
    ("api/plans", {"page": "7"}),
    ("api/plans", {"search": "lamp"}),
    ("api/plans", {"rating": "5"}),
)

BEAT = 0.005

CLIENT = """
import json, sys, time, httpx2
url, total, which, asked = sys.argv[1], int(sys.argv[2]), sys.argv[3], json.loads(sys.argv[4])
client = httpx2.Client(base_url=url, timeout=600)
client.get("/?token=bench")
def ask(path, query):
    started = time.perf_counter()
    answer = client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return 1e3 * (time.perf_counter() - started), answer
def first():
    begun = time.perf_counter()
    for path in ("api/pictures", "api/plans"):
        print(f"first {path}: {ask(path, {})[0]:.0f} ms")
    while ask("api/pictures", {})[1].json()["total"] < total:
        time.sleep(0.05)
    print(f"all of it known: {time.perf_counter() - begun:.1f} s")
def later():
    every = []
    for path, query in asked:
        took = sorted(ask(path, query)[0] for _ in range(25))
        every += took
        print(f"{path} {query}: {took[len(took) // 2]:.0f} ms, longest {took[-1]:.0f} ms")
    print(f"all of these: p99 {sorted(every)[int(len(every) * 0.99)]:.0f} ms")
{"first": first, "later": later}[which]()
"""


async def template(out: Path) -> tuple[bytes, bytes, str]:
    """Return the metadata and the plan file of a real plan of one step, and its id."""
    async with open_app(Settings(out=out), backend=FakeBackend()) as app:
        result = await app.learning.run_learning_plan(
            {"stage": "txt2img", "target_variable": "txt2img.cfg_scale", "sweep_values": [7.5]},
            {"txt2img": {"prompt": "PROMPT", "model": "fake-model", "seed": 1}},
        )
    plan_id = result.plan_id
    run = out / f"{plan_id}-00001"
    metadata = next(each for each in sorted(out.glob(f"{plan_id}-*")) if each.is_dir()) or run
    return (
        (metadata / "run_metadata.json").read_bytes(),
        (out / plan_id / "plan.json").read_bytes(),
        plan_id,
    )


def make_folder(out: Path, like: tuple[bytes, bytes, str], pictures: int) -> None:
    metadata, plan, plan_id = like
    for number in range(pictures // STEPS):
        clock = f"{number // 3600:02}{number // 60 % 60:02}{number % 60:02}"
        own = f"20250101T{clock}-000000-{number:06x}"
        prompt = f"a {WORDS[number % 8]} on a {WORDS[number // 8 % 8]}, number {number}"
        folder = out / own
        folder.mkdir()
        names = {plan_id: own, "PROMPT": prompt, "fake-model": MODELS[number % 3]}
        (folder / "plan.json").write_bytes(replaced(plan, names))
        whole = replaced(metadata, names)
        for step in range(1, STEPS + 1):
            run = out / f"{own}-{step:05}"
            run.mkdir()
            mine = {f"{own}-00001": run.name, "7.5": str(1 + step / 10)}
            (run / "run_metadata.json").write_bytes(replaced(whole, mine))
            if step % 10 == 0:
                line = {"run_id": run.name, "image_id": "txt2img_1", "rating": 1 + step // 10 % 5}
                (run / "feedback.jsonl").write_text(json.dumps(line) + "\n")


def replaced(data: bytes, names: Mapping[str, str]) -> bytes:
    for old, new in names.items():
        data = data.replace(old.encode(), new.encode())
    return data


def memory() -> float:
    """Return what the process needs now, in MB."""
    with suppress(OSError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


async def bench(out: Path, pictures: int) -> None:
    with bound("127.0.0.1", 0) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/"
        settings = Settings(out=out, backend="fake")
        async with (
            open_app(settings, backend=FakeBackend(Behaviour(delay=0.05))) as app,
            anyio.create_task_group() as tasks,
        ):
            studio = Studio(app)
            guard = Guard(site(studio), Access(token="bench"))
            server = _Server(uvicorn.Config(guard, log_config=None, lifespan="off", ws="none"))
            before = memory()
            tasks.start_soon(studio.run)
            tasks.start_soon(partial(server.serve, sockets=[listening]))
            client = partial(run_client, url, pictures // STEPS * STEPS)
            print(f"loop meanwhile: {shown(await heartbeat(partial(client, 'first'), BEAT))}")
            await studio.enqueue({"job": job()})
            late = await heartbeat(partial(anyio.sleep, 5), BEAT)
            print(f"loop with a plan alone: {shown(late)}", flush=True)
            print(f"loop meanwhile: {shown(await heartbeat(partial(client, 'later'), BEAT))}")
            print(f"memory: {memory() - before:.0f} MB more (load {os.getloadavg()[0]:.1f})")
            await studio.close()
            server.should_exit = True
            await anyio.sleep(0.3)
            tasks.cancel_scope.cancel()


async def run_client(url: str, total: int, which: str) -> None:
    words = [sys.executable, "-c", CLIENT, url, str(total), which, json.dumps(ASKED)]
    async with await anyio.open_process(words, stdout=None, stderr=None) as client:
        if await client.wait():
            raise SystemExit("the client failed")


def job() -> dict[str, object]:
    values = [round(1 + n / 1000, 3) for n in range(1000)]
    axes = [{"path": "txt2img.cfg_scale", "values": values}]
    return {"prompt": "a new one", "backend": "fake", "fresh": True, "learning": {"axes": axes}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=50_000)
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as other:
        like = anyio.run(template, Path(other))
        make_folder(Path(folder), like, flags.pictures)
        anyio.run(bench, Path(folder), flags.pictures)


if __name__ == "__main__":
    main()
