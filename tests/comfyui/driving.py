"""What tests of the ComfyUI backend share: a picture, a run, another client of the same server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from uuid import uuid4

import attrs
import httpx2

from stablenew.backends.base import InterruptReceipt, Picture
from stablenew.backends.comfyui.backend import ComfyUIBackend
from stablenew.config.pipeline_config import Setting
from stablenew.events.bus import EventBus
from stablenew.pipeline.pipeline_runner import PipelineRunner
from stablenew.pipeline.results import PipelineRunResult
from stablenew.pipeline.run_request import RunRequest
from stablenew.pipeline.stage_sequencer import StageSequencer
from tests.comfyui.server import ComfyUI
from tests.support import Listener, MemoryStore
from tests.webui.driving import Reports, small, stage_request


async def draw(
    backend: ComfyUIBackend, stage: str = "txt2img", image: bytes | None = None, **settings: Setting
) -> Picture:
    """Make one picture."""
    request = stage_request(await backend.capabilities(), stage, image, **settings)
    (picture,) = await backend.run_stage(request, Reports())
    return picture


@attrs.define(eq=False)
class Studio:
    """A backend with everything around it that a run needs."""

    backend: ComfyUIBackend
    bus: EventBus
    store: MemoryStore
    listener: Listener
    runner: PipelineRunner

    async def run(
        self, run_id: str = "run-1", images: int = 1, **stages: Mapping[str, object]
    ) -> PipelineRunResult:
        request = RunRequest(run_id=run_id, config=small(**stages), images=images)
        return await self.runner.run(request)

    @property
    def receipt(self) -> InterruptReceipt:
        """What came of the last interrupt."""
        result = self.runner.last_result
        assert result is not None
        receipt = result.stage_results[-1].receipt
        assert receipt is not None
        return receipt


@asynccontextmanager
async def open_studio(
    url: str, *, stall_timeout: float = 30.0, wait_for_backend: float = 10.0
) -> AsyncIterator[Studio]:
    bus, store = EventBus(strict=True), MemoryStore()
    async with bus, ComfyUIBackend(url) as backend:
        sequencer = StageSequencer(
            backend, bus, store, stall_timeout=stall_timeout, wait_for_backend=wait_for_backend
        )
        yield Studio(backend, bus, store, Listener(bus), PipelineRunner(backend, sequencer))


def others_prompt(steps: int, seed: int = 900, sampler: str = "3") -> dict[str, object]:
    """Return a prompt of somebody else; its sampler may be called as ours is."""
    return {
        "4": {
            "class_type": "CheckpointLoaderSimple",
            "inputs": {"ckpt_name": "full-a.safetensors"},
        },
        "5": {
            "class_type": "EmptyLatentImage",
            "inputs": {"width": 64, "height": 64, "batch_size": 1},
        },
        "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a dog", "clip": ["4", 1]}},
        sampler: {
            "class_type": "KSampler",
            "inputs": {
                "seed": seed,
                "steps": steps,
                "cfg": 7.0,
                "sampler_name": "euler",
                "scheduler": "normal",
                "denoise": 1.0,
                "model": ["4", 0],
                "positive": ["6", 0],
                "negative": ["6", 0],
                "latent_image": ["5", 0],
            },
        },
        "8": {"class_type": "VAEDecode", "inputs": {"samples": [sampler, 0], "vae": ["4", 2]}},
        "9": {
            "class_type": "SaveImage",
            "inputs": {"images": ["8", 0], "filename_prefix": "theirs"},
        },
    }


def ask_for_others(
    comfyui: ComfyUI,
    steps: int,
    seed: int = 900,
    client_id: str | None = "other",
    sampler: str = "3",
) -> str:
    """Put a prompt of somebody else into the queue and return its id."""
    prompt_id = str(uuid4())
    body = {
        "prompt": others_prompt(steps, seed, sampler),
        "client_id": client_id,
        "prompt_id": prompt_id,
    }
    answer = httpx2.post(f"{comfyui.url}/prompt", json=body)
    assert answer.status_code == 200, answer.text
    return prompt_id
