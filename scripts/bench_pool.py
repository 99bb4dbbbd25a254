"""Several servers: what handing out steps costs, and how much sooner a plan is done.

Prints
- a plan of a million steps on a thousand nodes, of which one in a hundred is away at any time, on a
  virtual clock: the scheduler's own time for each step, and what a waiting step takes;
- the speed-up of a plan on 1, 2, 4, 8 and 32 servers that take 200 ms for a picture, beside as
  many times one server, and beside bare sockets that only ask and read in the same run; the time of
  our own that a picture takes, in the loop and in all threads; and how late the loop's heartbeat
  is. The servers are one other process;
- the speed-up of a plan of the embedded model on 1, 2, … processes (`--workers`), beside as many
  bare processes that only draw, at the same time: no plan can be quicker on these cores.

Usage: bench_pool.py [--nodes 1000] [--steps 1000000] [--servers 1,2,4,8,32] [--pictures 20]
    [--workers 1,2]
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
from bench_support import ROOT, heartbeat, shown
from simulated_pool import counted, large

from stablenew.app import open_app
from stablenew.backends.fake import Behaviour, FakeBackend
from stablenew.cli.workers import worker_backends
from stablenew.config.pipeline_config import PipelineConfig
from stablenew.config.settings import Settings
from stablenew.learning.learning_plan import LearningPlan
from stablenew.learning.step_scheduler import StepScheduler

SECONDS = 0.2
"""That a server takes for a picture."""

SIDE, PICTURES = 256, 64
"""Pixels of a picture of noise, 190 kB, and how many there are."""

BEAT = 0.005


def simulate(nodes: int, steps: int) -> None:
    """Run a plan on a large pool of which one node in a hundred is away at any time."""
    simulation = large(nodes, steps)
    before = time.perf_counter()
    simulation.run()
    took = time.perf_counter() - before
    each = simulation.scheduling / steps * 1e6
    fewest, *_, most = sorted(counted(simulation).values())
    lost, whole = steps - len(simulation.made), took / steps * 1e6
    print(f"{nodes:,} nodes, {steps:,} steps: {lost} lost, none made twice")
    print(f"  scheduling: {each:.1f} µs a step (≤ 100), of {whole:.1f} µs with the clock")
    print(f"  {simulation.deaths:,} times a node went away; steps a node: {fewest} to {most}")


def waiting(steps: int) -> None:
    """Say what a waiting step takes."""
    tracemalloc.start()
    scheduler = StepScheduler(["a", "b"], (place % 3 for place in range(steps)))
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    print(f"  a waiting step takes {taken / scheduler.waiting:.0f} bytes (≤ 1,024)")


def answers_to(body: dict[str, Any], picture: str) -> bytes:
    """Return what a WebUI answers that made a picture."""
    used = {name: body.get(name) for name in ("prompt", "seed", "steps", "cfg_scale")}
    text = (
        f"{used['prompt']}\nSteps: {used['steps']}, Sampler: Euler, Schedule type: Automatic,"
        f" CFG scale: {used['cfg_scale']}, Seed: {used['seed']}, Size: {SIDE}x{SIDE}"
    )
    info = {**used, "sampler_name": "Euler", "infotexts": [text]}
    return json.dumps({"images": [picture], "parameters": {}, "info": json.dumps(info)}).encode()


def serve(count: int) -> None:
    """Be some servers, each of which makes one picture at a time; print their ports."""
    sys.path.insert(0, str(ROOT))
    from tests.webui.pictures import png

    pictures = [base64.b64encode(png(SIDE, SIDE, n, {})).decode() for n in range(PICTURES)]
    state = {"job": "", "job_count": 0, "job_timestamp": "0", "stopping_generation": False}
    canned = {
        b"/sdapi/v1/samplers": json.dumps([{"name": "Euler", "aliases": [], "options": {}}]),
        b"/sdapi/v1/progress": json.dumps({"progress": 0.0, "state": state}),
    }

    async def open_one() -> int:
        turn, made = asyncio.Lock(), 0

        async def make(body: bytes) -> bytes:
            nonlocal made
            async with turn:
                await asyncio.sleep(SECONDS)
                made += 1
                return answers_to(json.loads(body), pictures[(made * 7) % PICTURES])

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                while head := await reader.readuntil(b"\r\n\r\n"):
                    length = head.lower().partition(b"content-length: ")[2].partition(b"\r")[0]
                    given = await reader.readexactly(int(length or 0))
                    path = head.split()[1].partition(b"?")[0]
                    if path == b"/sdapi/v1/txt2img":
                        status, body = b"200 OK", await make(given)
                    elif path in canned:
                        status, body = b"200 OK", canned[path].encode()
                    else:
                        status, body = b"404 Not Found", b"{}"
                    lines = b"content-type: application/json\r\ncontent-length: %d\r\n\r\n"
                    writer.write(b"HTTP/1.1 " + status + b"\r\n" + lines % len(body) + body)
                    await writer.drain()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port: int = server.sockets[0].getsockname()[1]
        return port

    async def main() -> None:
        print(json.dumps([await open_one() for _ in range(count)]), flush=True)
        await asyncio.Event().wait()

    asyncio.run(main())


@contextmanager
def servers(count: int) -> Iterator[list[str]]:
    """Run some servers in one process of their own; yield their URLs."""
    words = [sys.executable, __file__, "--serve", str(count)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, cwd=ROOT)
    assert process.stdout is not None
    try:
        ports = json.loads(process.stdout.readline())
        yield [f"http://127.0.0.1:{port}" for port in ports]
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


async def run_plan(
    urls: list[str], pictures: int, backends: list[FakeBackend] | None = None
) -> tuple[float, float, float, list[float]]:
    """Run a plan; return its seconds, those of the loop's and of all threads' own, the beats."""
    plan = LearningPlan(
        target_variable="txt2img.cfg_scale", sweep_values=[1 + n / 100 for n in range(pictures)]
    )
    txt2img = {"prompt": "a cat", "seed": 1, "steps": 4, "width": SIDE, "height": SIDE}
    config = PipelineConfig.from_dict({"txt2img": {**txt2img, "sampler_name": "Euler"}})
    took = loop = threads = 0.0
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            out=Path(folder), backend="webui", urls=urls, learning_enabled=True, reuse=False
        )
        async with open_app(settings, backends=backends) as app:
            await app.pipeline.capabilities()

            async def work() -> None:
                nonlocal took, loop, threads
                before = time.perf_counter(), time.thread_time(), time.process_time()
                result = await app.learning.run_learning_plan(plan, config)
                after = time.perf_counter(), time.thread_time(), time.process_time()
                took, loop, threads = (b - a for a, b in zip(before, after, strict=True))
                assert result.success, (result.summary, result.step_results[0].error)

            late = await heartbeat(work, BEAT)
            await app.reports.drained()
    return took, loop, threads, late


async def bare(urls: list[str], each: int) -> float:
    """Return the seconds that it takes to ask for as many pictures and read them, and no more."""
    body = json.dumps({"prompt": "a cat", "seed": 1, "steps": 4, "cfg_scale": 1}).encode()
    head = b"POST /sdapi/v1/txt2img HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % len(body)

    async def ask(url: str) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        for _ in range(each):
            writer.write(head + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            length = answer.lower().partition(b"content-length: ")[2].partition(b"\r")[0]
            await reader.readexactly(int(length))
        writer.close()

    before = time.perf_counter()
    async with anyio.create_task_group() as group:
        for url in urls:
            group.start_soon(ask, url)
    return time.perf_counter() - before


def speed(counts: list[int], each: int, *, over_http: bool) -> None:
    """Say how much sooner a plan is done on several servers, or on backends of this process."""
    what = "servers" if over_http else "backends without a server (a floor: no HTTP)"
    print(f"{what} that take {SECONDS * 1e3:.0f} ms a picture, {each} pictures for each:")
    alone = None
    with servers(max(counts) if over_http else 0) as urls:
        for count in counts:
            made = [FakeBackend(Behaviour(delay=SECONDS)) for _ in range(count)]
            how = (urls[:count], each * count, None if over_http else made)
            took, loop, threads, late = anyio.run(run_plan, *how)
            floor = anyio.run(bare, urls[:count], each) if over_http else 0.0
            alone = alone or took
            speedup = count * alone / took
            ours, all_threads = (x / each / count * 1e3 for x in (loop, threads))
            own = f"{ours:.1f} ms of the loop's, {all_threads:.1f}"
            beside = f", {floor / took:.3f} of bare sockets" if floor else ""
            print(
                f"  {count:>2}: {speedup:5.2f} × as quick as one ({speedup / count:.3f} of it each,"
                f" {SECONDS * each / took:.3f} of the servers' own time{beside}); a picture takes"
                f" {own} of all threads'; heartbeat: {shown(late)}; load {os.getloadavg()[0]:.1f}",
                flush=True,
            )


DRAW = """
import sys
from stablenew.backends.embedded.model import Drawing, Model
model, what = Model(), dict(negative_prompt="", seed=1, steps=20, cfg_scale=4.0)
sys.stdin.readline()
for number in range(int(sys.argv[1])):
    model.txt2img(Drawing(prompt="a cat", sampler_name="Euler", scheduler="Automatic", **what),
                  lambda *_: None)
"""
"""Draws some pictures when a line arrives."""


def bare_drawing(count: int, each: int) -> float:
    """Return the seconds that some processes take to draw, each as many pictures, at once."""
    words = [sys.executable, "-c", DRAW, str(each)]
    environ = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    drawing = [
        subprocess.Popen(words, stdin=subprocess.PIPE, env=environ, cwd=ROOT) for _ in range(count)
    ]
    time.sleep(2)  # until all have their weights
    before = time.perf_counter()
    for process in drawing:
        process.communicate(b"\n")
    return time.perf_counter() - before


async def draw_plan(count: int, pictures: int) -> float:
    """Return the seconds that a plan takes on some processes of the embedded model."""
    plan = LearningPlan(
        target_variable="txt2img.cfg_scale", sweep_values=[1 + n / 100 for n in range(pictures)]
    )
    config = PipelineConfig.from_dict({"txt2img": {"prompt": "a cat", "seed": 1, "steps": 20}})
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(out=Path(folder), learning_enabled=True, reuse=False)
        async with open_app(settings, backends=worker_backends(count)) as app:
            await app.pipeline.capabilities()
            before = time.perf_counter()
            result = await app.learning.run_learning_plan(plan, config)
            assert result.success, result.summary
            return time.perf_counter() - before


def workers(counts: list[int], each: int) -> None:
    """Say how much sooner a plan is done on several processes of the embedded model."""
    print(f"processes of the embedded model, {each} pictures of 20 steps for each:")
    alone = floor_alone = None
    for count in counts:
        took, floor = anyio.run(draw_plan, count, each * count), bare_drawing(count, each)
        alone, floor_alone = alone or took, floor_alone or floor
        print(
            f"  {count}: {count * alone / took:.2f} × as quick as one (bare processes"
            f" {count * floor_alone / floor:.2f}); {floor / took:.2f} of bare drawing;"
            f" load {os.getloadavg()[0]:.1f}",
            flush=True,
        )


def main() -> None:
    if sys.argv[1:2] == ["--serve"]:
        serve(int(sys.argv[2]))
        return
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--nodes", type=int, default=1_000)
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--servers", default="1,2,4,8,32")
    parser.add_argument("--pictures", type=int, default=20)
    parser.add_argument("--workers", default="1,2")
    flags = parser.parse_args()
    print(f"load: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    simulate(flags.nodes, flags.steps)
    waiting(flags.steps)
    counts = [int(each) for each in flags.servers.split(",")]
    speed(counts, flags.pictures, over_http=False)
    speed(counts, flags.pictures, over_http=True)
    workers([int(each) for each in flags.workers.split(",")], flags.pictures)


if __name__ == "__main__":
    main()
