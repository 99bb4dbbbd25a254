"""What two benchmarks share: how long a server waits for us between two of our pictures.

The server of the tests runs in a process of its own, and notes when each request for a picture has
come and when its answer has gone (a WebUI), or when each prompt begins and ends (a ComfyUI). The
gap is what lies between the end of one and the start of the next; a bare loop of requests, which
looks at nothing and keeps nothing, has the server's own part of it.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, MutableMapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx2
import uvicorn
from bench_support import ROOT

from stablenew import App, LearningPlan, PipelineConfig, Settings, open_app

sys.path.insert(0, str(ROOT))

from tests.comfyui.server import ComfyUI
from tests.webui.profiles import ALL
from tests.webui.server import WebUI

SERVER = __file__
"""For `process(SERVER, kind, step_seconds)`: such a server."""

TIMES = "/times"
_PICTURES = ("/sdapi/v1/txt2img", "/sdapi/v1/img2img", "/sdapi/v1/extra-single-image")

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class TimedServer:
    """A server of the tests that tells at `/times` when it worked for whom, and forgets it.

    Args:
        inside: The server.
    """

    def __init__(self, inside: WebUI | ComfyUI) -> None:
        self._inside = inside
        self._times: list[tuple[float, float]] = []

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request."""
        path = scope.get("path", "")
        if path == TIMES:
            await self._tell(send)
        elif path in _PICTURES:
            await self._note(scope, receive, send)
        else:
            await self._inside(scope, receive, send)

    async def _note(self, scope: Message, receive: Receive, send: Send) -> None:
        came = time.perf_counter()
        await self._inside(scope, receive, send)
        self._times.append((came, time.perf_counter()))

    async def _tell(self, send: Send) -> None:
        if isinstance(self._inside, ComfyUI):
            self._times = [(each.began, each.ended) for each in self._inside.entries]
            self._inside.entries.clear()
        body = json.dumps(self._times).encode()
        self._times = []
        head = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": body})


def serve(kind: str, step_seconds: str, port: str) -> None:
    """Serve in this process: `comfyui`, or a profile of a WebUI."""
    inside: WebUI | ComfyUI
    if kind == "comfyui":
        inside = ComfyUI(step_seconds=float(step_seconds))
    else:
        profile = next(each for each in ALL if each.name == kind)
        inside = WebUI(profile=profile, step_seconds=float(step_seconds))
    uvicorn.run(TimedServer(inside), port=int(port), log_level="critical", lifespan="off")


def gaps(url: str) -> list[float]:
    """Return the time between each two requests that the server had since it was last asked."""
    times = httpx2.get(url + TIMES, trust_env=False).json()
    return [after[0] - before[1] for before, after in pairwise(times)]


def told(name: str, seconds: list[float], bare: list[float]) -> str:
    """Return p50 and p99 in milliseconds, and what is above the bare loop's."""
    ordered = sorted(seconds)
    p50, p99 = statistics.median(ordered), ordered[int(len(ordered) * 0.99)]
    above = p50 - statistics.median(bare)
    text = f"  {name:<26} p50 {p50 * 1e3:5.1f} ms, p99 {p99 * 1e3:5.1f} ms"
    return text if seconds is bare else f"{text}; {above * 1e3:+.1f} ms beside the bare loop"


async def beside(
    url: str,
    backend: str,
    bare: tuple[list[float], list[float]],
    pictures: int,
    **txt2img: Any,
) -> None:
    """Print the gaps within a stage, between two stages, and between the steps of a plan.

    Args:
        url: Of a `TimedServer`.
        backend: Drives it.
        bare: The gaps of a bare loop: of one request, and of two with the first one's picture in
            the second.
        pictures: How many of each kind.
        txt2img: Settings.
    """
    one, two = bare
    print(told("a bare loop", one, one))
    print(told("a bare loop of two stages", two, two))
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(out=Path(folder), backend=backend, url=url, learning_enabled=True)
        async with open_app(settings) as app:
            print(told("within a stage", await _stage(app, url, pictures, txt2img), one))
            print(told("between stages", await _stages(app, url, pictures, txt2img), two))
            print(told("between steps of a plan", await _plan(app, url, pictures, txt2img), one))


def _config(seed: int, txt2img: dict[str, Any], **stages: object) -> PipelineConfig:
    given = {"prompt": "a cat", "seed": seed, **txt2img}
    return PipelineConfig.from_dict({"txt2img": given, **stages})


async def _stage(app: App, url: str, pictures: int, txt2img: dict[str, Any]) -> list[float]:
    result = await app.pipeline.run_pipeline(_config(5_000, txt2img), images=pictures)
    assert result.success, result.error
    return gaps(url)


async def _stages(app: App, url: str, pictures: int, txt2img: dict[str, Any]) -> list[float]:
    """One picture through two stages, again and again: every other gap is between the stages."""
    img2img = {"enabled": True, "denoising_strength": 0.5, "steps": txt2img["steps"]}
    between = []
    for number in range(pictures):
        config = _config(6_000 + number, txt2img, img2img=img2img)
        result = await app.pipeline.run_pipeline(config)
        assert result.success, result.error
        between += gaps(url)
    return between


async def _plan(app: App, url: str, pictures: int, txt2img: dict[str, Any]) -> list[float]:
    values = tuple(1 + number / 10 for number in range(pictures))
    plan = LearningPlan(
        mode="sweep", stage="txt2img", target_variable="cfg_scale", sweep_values=values
    )
    result = await app.learning.run_learning_plan(plan, _config(7_000, txt2img))
    assert result.summary["succeeded"] == pictures, result.summary
    return gaps(url)


if __name__ == "__main__":
    serve(*sys.argv[1:])
