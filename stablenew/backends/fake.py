"""A backend that does what it is told, for tests: delays, failures, hangs, no picture.

backend = FakeBackend(lambda request, call: Behaviour(hang=call == 3))
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

import anyio
import attrs
from anyio.lowlevel import checkpoint

from stablenew._convert import json_line
from stablenew.backends.base import (
    Capabilities,
    InterruptReceipt,
    Picture,
    ReportProgress,
    StageRequest,
)

_SAMPLED = {
    "prompt": None,
    "negative_prompt": "",
    "model": "fake-model",
    "seed": -1,
    "steps": 20,
    "cfg_scale": 7.0,
    "sampler_name": "Euler",
    "scheduler": "Automatic",
    "width": 512,
    "height": 512,
}

FAKE_CAPABILITIES = Capabilities(
    backend="fake",
    version="1",
    stages={
        "txt2img": _SAMPLED,
        "img2img": {**_SAMPLED, "denoising_strength": 0.75},
        "adetailer": {
            "prompt": None,
            "negative_prompt": "",
            "model": "fake-model",
            "seed": -1,
            "ad_model": None,
            "ad_confidence": 0.3,
        },
        "upscale": {"upscaler_1": "Lanczos", "resize_mode": 0, "upscaling_resize": 2},
    },
    samplers=("Euler", "Euler a", "DPM++ 2M"),
    schedulers=("Automatic", "Karras"),
    models=("fake-model", "other-model"),
    upscalers=("Lanczos", "Nearest"),
    extra=dict.fromkeys(("txt2img", "img2img", "adetailer", "upscale"), ("",)),
)
"""Every stage, with a few names for each kind of choice."""


@attrs.frozen(kw_only=True)
class Behaviour:
    """What one call does.

    Attributes:
        delay: Seconds that it takes.
        progress: The fractions it reports, evenly over `delay`.
        error: Raised in the end instead of a picture.
        hang: Whether it reports its progress and then never ends.
        images: How many pictures it returns.
        blank: Whether they are one single colour.
    """

    delay: float = 0.0
    progress: tuple[float, ...] = (0.5, 1.0)
    error: Exception | None = None
    hang: bool = False
    images: int = 1
    blank: bool = False


class FakeBackend:
    """Makes tiny valid PNG pictures whose colours follow from the settings.

    Args:
        behaviour: What every call does, or a function of the request and the call's number from 1.
        capabilities: What it says it can do.

    Attributes:
        calls: Every request, in order.
        interrupts: The request ids it was asked to stop.
        most_running: How many calls ran at once at the most.
    """

    name = "fake"

    def __init__(
        self,
        behaviour: Behaviour | Callable[[StageRequest, int], Behaviour] = Behaviour(),
        *,
        capabilities: Capabilities = FAKE_CAPABILITIES,
    ) -> None:
        self.calls: list[StageRequest] = []
        self.interrupts: list[str] = []
        self.most_running = 0
        self._behaviour = behaviour
        self._capabilities = capabilities
        self._running = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return None

    async def capabilities(self) -> Capabilities:
        """Tell what it was made to say."""
        return self._capabilities

    async def run_stage(self, request: StageRequest, report: ReportProgress) -> Sequence[Picture]:
        """Behave as scripted."""
        self.calls.append(request)
        behaviour = self._behaviour
        if not isinstance(behaviour, Behaviour):
            behaviour = behaviour(request, len(self.calls))
        self._running += 1
        self.most_running = max(self.most_running, self._running)
        try:
            return await self._behave(behaviour, request, report)
        finally:
            self._running -= 1

    async def interrupt(self, request_id: str) -> InterruptReceipt:
        """Note the request; the call was cancelled before, so its job is gone."""
        self.interrupts.append(request_id)
        await checkpoint()
        return InterruptReceipt(request_id=request_id, call="noted", confirmed=True, seconds=0.0)

    async def _behave(
        self, behaviour: Behaviour, request: StageRequest, report: ReportProgress
    ) -> Sequence[Picture]:
        for fraction in behaviour.progress:
            if behaviour.delay:
                await anyio.sleep(behaviour.delay / len(behaviour.progress))
            await report(fraction)
        if behaviour.hang:
            await anyio.Event().wait()
        if behaviour.error is not None:
            raise behaviour.error
        return [fake_picture(request, blank=behaviour.blank) for _ in range(behaviour.images)]


def fake_picture(request: StageRequest, side: int = 8, *, blank: bool = False) -> Picture:
    """Return a square PNG in two colours, or one, that follow from the request's settings."""
    upper = zlib.crc32(json_line(request.settings)).to_bytes(4, "big")[:3]
    lower = upper if blank else bytes(value ^ 0x40 for value in upper)
    rows = b"".join(b"\0" + (lower if y > side // 2 else upper) * side for y in range(side))
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    data = (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + _chunk(b"IDAT", zlib.compress(rows))
        + _chunk(b"IEND", b"")
    )
    return Picture(data=data, width=side, height=side, settings=request.settings)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
