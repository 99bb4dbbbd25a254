"""The WebUI backend's cost: what big answers do to the loop, and what a picture costs beside curl.

Prints
- the longest that a 1 ms heartbeat on the loop is kept waiting while answers of four pictures of
  1.5 MB come in, beside an idle loop, and beside httpx 0.28 with json and base64 where it is
  installed (`pip install httpx==0.28.1`);
- the time per picture, beside curl sending the same request;
- how long the server waits for us between two pictures, beside a bare loop of requests;
- cancel to idle, p50 and p99.

Usage: bench_webui.py [--answers 20] [--pictures 40] [--cancels 50]
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import importlib
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import httpx2
from bench_gaps import SERVER, beside, gaps
from bench_support import ROOT, SERVE, heartbeat, process, shown

from stablenew.backends.base import StageRequest
from stablenew.backends.server_client import ServerClient
from stablenew.backends.webui.backend import WebUIBackend
from stablenew.backends.webui.calls import build_call
from stablenew.backends.webui.probe import probe

sys.path.insert(0, str(ROOT))

from tests.support import until
from tests.webui.driving import stage_request
from tests.webui.pictures import png
from tests.webui.profiles import A1111
from tests.webui.server import serve

SIDE = 708
"""Pixels of a picture of noise of 1.5 MB."""

BEAT = 0.001


async def report(fraction: float, **_: object) -> None:
    """Take a report and do nothing."""


def canned(port: int) -> None:
    """Answer every generation with the same four pictures, at no cost."""
    text = "a cat\nSteps: 4, Sampler: Euler, Schedule type: Automatic, Seed: 1"
    pictures = [
        base64.b64encode(png(SIDE, SIDE, n, {"parameters": text})).decode() for n in range(4)
    ]
    info = {"prompt": "a cat", "seed": 1, "steps": 4, "sampler_name": "Euler", "infotexts": [text]}
    made = json.dumps({"images": pictures, "parameters": {}, "info": json.dumps(info)}).encode()
    sampler = {"name": "Euler", "aliases": [], "options": {}}
    state = {"job": "", "job_count": 0, "job_timestamp": "0", "stopping_generation": False}
    answers = {
        b"/sdapi/v1/samplers": json.dumps([sampler]).encode(),
        b"/sdapi/v1/progress": json.dumps({"progress": 0.0, "state": state}).encode(),
        b"/sdapi/v1/txt2img": made,
    }

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = head.lower().partition(b"content-length: ")[2].partition(b"\r")[0]
                await reader.readexactly(int(length or 0))
                path = head.split()[1].partition(b"?")[0]
                body = answers.get(path, b"{}")
                status = b"200 OK" if path in answers else b"404 Not Found"
                lines = b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
                writer.write(b"HTTP/1.1 " + status + b"\r\n" + lines + body)
                await writer.drain()

    async def main() -> None:
        async with await asyncio.start_server(answer, "127.0.0.1", port) as server:
            await server.serve_forever()

    asyncio.run(main())


async def stalls(url: str, answers: int) -> None:
    async with WebUIBackend(url) as backend:
        request = stage_request(await backend.capabilities(), width=SIDE, height=SIDE)

        async def ours() -> None:
            for _ in range(answers):
                await backend.run_stage(request, report)

        await backend.run_stage(request, report)
        print(f"heartbeat, {answers} answers of 4 × 1.5 MB: {shown(await heartbeat(ours, BEAT))}")

    async def idle() -> None:
        await asyncio.sleep(1)

    print(f"  an idle loop: {shown(await heartbeat(idle, BEAT))}")
    try:
        httpx: Any = importlib.import_module("httpx")
    except ImportError:
        print("  httpx is not installed; it is left out")
        return

    async def theirs() -> None:
        async with httpx.AsyncClient(timeout=None) as client:
            for _ in range(answers):
                answer = await client.post(f"{url}/sdapi/v1/txt2img", json={"prompt": "a cat"})
                for image in json.loads(answer.content)["images"]:
                    base64.b64decode(image)

    print(f"  httpx {httpx.__version__}, json, base64: {shown(await heartbeat(theirs, BEAT))}")


async def beside_curl(url: str, pictures: int, seconds: float) -> None:
    """Print the time per picture, ours and curl's, by turns."""
    ours, curls = [], []
    async with ServerClient(url) as client, WebUIBackend(url) as backend:
        request = stage_request(await backend.capabilities(), width=512, height=512)
        call = build_call(request, await probe(client))
        with tempfile.NamedTemporaryFile() as body:
            Path(body.name).write_bytes(call.content)
            await backend.run_stage(request, report)
            for number in range(pictures):
                again = StageRequest(
                    request_id=f"r-{number}", stage="txt2img", settings=request.settings
                )
                started = time.perf_counter()
                await backend.run_stage(again, report)
                ours.append(time.perf_counter() - started)
                curls.append(await anyio.to_thread.run_sync(curl, url + call.path, body.name))
    mine, bare = statistics.median(ours) * 1e3, statistics.median(curls) * 1e3
    allowed = 3 + 0.02 * bare
    print(
        f"a picture of about {seconds:g} s: ours {mine:.1f} ms, curl {bare:.1f} ms;"
        f" added {mine - bare:.1f} ms (3 ms + 2 % are {allowed:.1f})"
    )


async def between(url: str, pictures: int) -> None:
    """Print how long the server waits between two pictures."""
    sizes: dict[str, Any] = {"steps": 4, "width": 512, "height": 512}
    async with ServerClient(url) as client, WebUIBackend(url) as backend:
        request = stage_request(await backend.capabilities(), **sizes)
        first = json.loads(build_call(request, await probe(client)).content)
    two: list[float] = []
    async with httpx2.AsyncClient(trust_env=False, timeout=None) as plain:
        for _ in range(pictures):
            await plain.post(f"{url}/sdapi/v1/txt2img", json=first)
        one = gaps(url)
        for _ in range(pictures):
            answer = await plain.post(f"{url}/sdapi/v1/txt2img", json=first)
            second = {**first, "init_images": answer.json()["images"]}
            await plain.post(f"{url}/sdapi/v1/img2img", json=second)
            two += gaps(url)
    await beside(url, "webui", (one, two), pictures, **sizes)


def curl(url: str, body: str) -> float:
    words = ["curl", "-s", "-o", os.devnull, "-w", "%{time_total}", "--data-binary", f"@{body}"]
    words += ["-H", "content-type: application/json", url]
    return float(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


async def cancels(count: int) -> None:
    """Print how long it takes from a cancel to a server that is idle."""
    moments, waits = random.Random(1), []
    with serve(A1111, step_seconds=0.01) as webui:
        async with WebUIBackend(webui.url) as backend:
            capabilities = await backend.capabilities()
            for _ in range(count):
                request = stage_request(capabilities, steps=10_000)
                with anyio.move_on_after(moments.uniform(0.05, 0.4)):
                    await backend.run_stage(request, report)
                started = time.perf_counter()
                await backend.interrupt(request.request_id)
                await until(lambda: webui.running is None)
                waits.append((time.perf_counter() - started) * 1e3)
    waits.sort()
    p50, p99 = statistics.median(waits), waits[int(len(waits) * 0.99)]
    print(f"cancel to idle, {count} times, steps of 10 ms: p50 {p50:.0f} ms, p99 {p99:.0f} ms")


async def main(answers: int, pictures: int, count: int) -> None:
    print(f"httpx2 {httpx2.__version__}")
    with process(__file__, "--canned") as url:
        await stalls(url, answers)
    for step in ("0.005", "0.05"):
        with process("-c", SERVE, step) as url:
            await beside_curl(url, pictures, float(step) * 4)
    for profile in ("a1111", "a1111 ui"):
        print(f"the server's gap between two pictures ({profile}):")
        with process(SERVER, profile, "0.05") as url:
            await between(url, pictures)
    await cancels(count)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--answers", type=int, default=20)
    parser.add_argument("--pictures", type=int, default=40)
    parser.add_argument("--cancels", type=int, default=50)
    parser.add_argument("--canned", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.canned:
        canned(chosen.canned)
    else:
        asyncio.run(main(chosen.answers, chosen.pictures, chosen.cancels))
