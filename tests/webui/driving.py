"""What tests of the WebUI backend share: a request, a run, another client of the same server."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import anyio
import attrs
import httpx2

from stablenew.backends.base import Capabilities, Picture, StageRequest
from stablenew.backends.webui.backend import WebUIBackend
from stablenew.config.pipeline_config import PipelineConfig, Setting
from stablenew.events.bus import EventBus
from stablenew.pipeline.pipeline_runner import PipelineRunner
from stablenew.pipeline.results import PipelineRunResult
from stablenew.pipeline.run_request import RunRequest
from stablenew.pipeline.stage_plan import plan_stages
from stablenew.pipeline.stage_sequencer import StageSequencer
from tests.support import Listener, MemoryStore
from tests.webui.server import WebUI

SMALL = {"prompt": "a cat", "seed": 1, "steps": 4, "width": 64, "height": 64}


def small(**stages: Mapping[str, object]) -> PipelineConfig:
    """Return a config of small pictures; a stage that is named is on."""
    txt2img = {**SMALL, **stages.pop("txt2img", {})}
    on = {name: {"enabled": True, **settings} for name, settings in stages.items()}
    return PipelineConfig.from_dict({"txt2img": txt2img, **on})


def stage_request(
    capabilities: Capabilities,
    stage: str = "txt2img",
    image: bytes | None = None,
    **settings: Setting,
) -> StageRequest:
    """Return a request as the sequencer would make it."""
    stages: dict[str, Mapping[str, object]] = {stage: settings}
    plan = plan_stages(small(**stages), capabilities)
    planned = next(each for each in plan.stages if each.name == stage)
    return StageRequest(
        request_id=f"r-{uuid4().hex}", stage=stage, settings=planned.settings, image=image
    )


@attrs.define(eq=False)
class Reports:
    """Takes what a backend reports."""

    fractions: list[float] = attrs.field(factory=list)
    seconds_left: list[float | None] = attrs.field(factory=list)
    previews: list[bytes] = attrs.field(factory=list)
    times: list[float] = attrs.field(factory=list)
    on_report: Callable[[float], None] = lambda fraction: None

    async def __call__(
        self, fraction: float, *, seconds_left: float | None = None, preview: bytes | None = None
    ) -> None:
        self.fractions.append(fraction)
        self.seconds_left.append(seconds_left)
        self.times.append(anyio.current_time())
        if preview is not None:
            self.previews.append(preview)
        self.on_report(fraction)


async def draw(
    backend: WebUIBackend, stage: str = "txt2img", image: bytes | None = None, **settings: Setting
) -> Picture:
    """Make one picture."""
    request = stage_request(await backend.capabilities(), stage, image, **settings)
    (picture,) = await backend.run_stage(request, Reports())
    return picture


@attrs.define(eq=False)
class Studio:
    """A backend with everything around it that a run needs."""

    backend: WebUIBackend
    bus: EventBus
    store: MemoryStore
    listener: Listener
    runner: PipelineRunner

    async def run(
        self, run_id: str = "run-1", images: int = 1, **stages: Mapping[str, object]
    ) -> PipelineRunResult:
        request = RunRequest(run_id=run_id, config=small(**stages), images=images)
        return await self.runner.run(request)


@asynccontextmanager
async def open_studio(
    url: str, *, stall_timeout: float = 30.0, wait_for_backend: float = 10.0, **how: Any
) -> AsyncIterator[Studio]:
    bus, store = EventBus(strict=True), MemoryStore()
    async with bus, WebUIBackend(url, **how) as backend:
        sequencer = StageSequencer(
            backend, bus, store, stall_timeout=stall_timeout, wait_for_backend=wait_for_backend
        )
        runner = PipelineRunner(backend, sequencer)
        await runner.capabilities()  # which waits for jobs of other clients
        yield Studio(backend, bus, store, Listener(bus), runner)


class OtherClient:
    """Somebody else who uses the same server, in a thread of its own."""

    def __init__(self, webui: WebUI) -> None:
        self._webui = webui
        self._threads: list[threading.Thread] = []
        self.answers: list[httpx2.Response] = []

    def start(self, steps: int, **fields: object) -> None:
        """Ask for a picture and do not wait for it."""
        thread = threading.Thread(target=self._ask, args=({**SMALL, "steps": steps, **fields},))
        self._threads.append(thread)
        thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(30)

    def _ask(self, body: dict[str, object]) -> None:
        url = f"{self._webui.url}/sdapi/v1/txt2img"
        headers = {"user-agent": "somebody else"}
        self.answers.append(httpx2.post(url, json=body, headers=headers, timeout=60))
