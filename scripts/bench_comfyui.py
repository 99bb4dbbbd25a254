"""What a picture by a ComfyUI costs beside the server's own time, and what many nodes cost.

Prints
- the gap between the end of one picture and the start of the next on the server, beside a bare
  loop of POST and poll (every 5 ms) that keeps nothing, in the same run;
- how long it takes to read an install of 2,000 nodes with 3,000 checkpoints and as many LoRAs;
- cancel to gone, p50 and p99.

Usage: bench_comfyui.py [--pictures 40] [--cancels 30]
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import time
from copy import deepcopy
from uuid import uuid4

import anyio
import httpx2
from bench_gaps import SERVER, beside, gaps
from bench_support import ROOT, process

from stablenew.backends.comfyui.capabilities import describe
from stablenew.backends.comfyui.object_info import read_object_info
from stablenew.backends.comfyui.server import Server

sys.path.insert(0, str(ROOT))

from tests.comfyui.driving import open_studio, others_prompt
from tests.comfyui.nodes import object_info
from tests.comfyui.server import serve
from tests.support import until

STEP = 0.005
STEPS = 12


def shown(seconds: list[float]) -> str:
    """Return p50 and p99 in milliseconds."""
    ordered = sorted(seconds)
    p50, p99 = statistics.median(ordered), ordered[int(len(ordered) * 0.99)]
    return f"p50 {p50 * 1e3:.1f} ms, p99 {p99 * 1e3:.1f} ms"


async def bare(url: str, pictures: int) -> tuple[list[float], list[float]]:
    """Return the gaps of a loop of POST and poll; and of one that hands each picture on."""
    two: list[float] = []
    async with httpx2.AsyncClient(trust_env=False) as client:
        for seed in range(pictures):
            await made(client, url, seed)
        one = gaps(url)
        for seed in range(pictures):
            files = await made(client, url, 1_000 + seed)
            view = await client.get(f"{url}/view", params=files[0])
            await client.post(f"{url}/upload/image", files={"image": ("a.png", view.content)})
            await made(client, url, 2_000 + seed)
            two += gaps(url)
    return one, two


async def made(client: httpx2.AsyncClient, url: str, seed: int) -> list[dict[str, str]]:
    """POST, poll, and return the files that were made."""
    body = {"prompt": others_prompt(STEPS, seed), "prompt_id": str(uuid4())}
    await client.post(f"{url}/prompt", json=body)
    path = f"{url}/api/jobs/{body['prompt_id']}"
    while (told := (await client.get(path)).json())["status"] != "completed":  # noqa: ASYNC110  # a bare loop polls
        await anyio.sleep(0.005)
    files: list[dict[str, str]] = told["outputs"]["9"]["images"]
    return files


async def measure_gaps(pictures: int) -> None:
    print("the server's gap between two pictures:")
    with process(SERVER, "comfyui", str(STEP)) as url:
        await beside(url, "comfyui", await bare(url, pictures), pictures, steps=STEPS)


async def measure_cancels(cancels: int) -> None:
    seconds = []
    with serve(step_seconds=STEP) as comfyui:
        async with open_studio(comfyui.url) as studio:
            for number in range(cancels):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(lambda: studio.run(f"run-{number}", txt2img={"steps": 2_000}))  # noqa: B023  # it ends in this turn
                    await until(lambda: comfyui.running)
                    tasks.cancel_scope.cancel()
                seconds.append(studio.receipt.seconds)
    print("cancel to gone: ", shown(seconds))


def measure_install() -> None:
    raw = object_info()
    nodes = {f"{name} {n}": raw[name] for n in range(150) for name in raw}
    nodes = dict(itertools.islice(nodes.items(), 2_000)) | deepcopy(raw)
    for node, field in (("CheckpointLoaderSimple", "ckpt_name"), ("LoraLoader", "lora_name")):
        files = [f"folder {n % 40}/one of many models {n}.safetensors" for n in range(3_000)]
        nodes[node]["input"]["required"][field] = [files]
    body = json.dumps(nodes).encode()
    began = time.perf_counter()
    describe(Server(version="0.33.0", info=read_object_info(body)))
    seconds = time.perf_counter() - began
    print(f"{len(nodes):,} nodes ({len(body) / 1e6:.1f} MB): read in {seconds * 1e3:.0f} ms")


async def main(pictures: int, cancels: int) -> None:
    measure_install()
    await measure_gaps(pictures)
    await measure_cancels(cancels)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pictures", type=int, default=40)
    parser.add_argument("--cancels", type=int, default=30)
    anyio.run(lambda given: main(given.pictures, given.cancels), parser.parse_args())
