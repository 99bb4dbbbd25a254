"""Upscales run one at a time, each told; one that hangs ends, and what was done is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from stablenew.app import open_app
from stablenew.backends.base import StageRequest
from stablenew.backends.fake import Behaviour, FakeBackend
from stablenew.config.settings import Settings
from stablenew.events.bus import EventBus
from stablenew.pipeline.results import Outcome
from stablenew.pipeline.stage_events import PictureSaved, StageFinished, StageStarted
from tests.support import Listener, config, pass_time

CONFIG = config(upscale={})


@pytest.mark.parametrize("images", [1, 4, 20])
async def test_upscaling_n_images_is_n_calls_one_at_a_time_each_told(
    runs: Path, images: int
) -> None:
    backend = FakeBackend()
    bus = EventBus(strict=True)
    async with open_app(Settings(out=runs), backend=backend, bus=bus) as app:
        listener = Listener(bus)
        result = await app.pipeline.run_pipeline(CONFIG, images=images)
        await bus.drain()
    upscales = [call for call in backend.calls if call.stage == "upscale"]
    assert len(upscales) == images
    assert len({call.request_id for call in upscales}) == images
    assert backend.most_running == 1
    told = [event for event in listener.of(PictureSaved) if event.stage == "upscale"]
    assert [event.image for event in told] == list(range(1, images + 1))
    started = [event for event in listener.of(StageStarted) if event.stage == "upscale"]
    assert [event.images for event in started] == [images]
    assert result.variant_count == images


async def test_an_upscale_that_hangs_ends_in_a_timeout_with_what_was_done_kept(
    runs: Path,
) -> None:
    def third_upscale_hangs(request: StageRequest, call: int) -> Behaviour:
        hangs = request.request_id.endswith("upscale_3")
        if hangs:
            pass_time(30)
        return Behaviour(hang=hangs, progress=())  # a sign of life would put the deadline off

    backend = FakeBackend(third_upscale_hangs)
    settings = Settings(out=runs, stall_timeout=20)
    bus = EventBus(strict=True)
    async with open_app(settings, backend=backend, bus=bus) as app:
        listener = Listener(bus)
        result = await app.pipeline.run_pipeline(CONFIG, images=4)
        await bus.drain()
    assert result.outcome is Outcome.TIMED_OUT
    assert result.error is not None
    assert (result.error.kind, result.error.stage) == ("StageTimeoutError", "upscale")
    assert "no progress for 20 s" in result.error.message
    kept = [output.image_id for output in result.outputs]
    assert kept == ["txt2img_1", "txt2img_2", "txt2img_3", "txt2img_4", "upscale_1", "upscale_2"]
    assert all((runs / output.path).read_bytes() for output in result.outputs)
    assert backend.interrupts == [backend.calls[-1].request_id]
    assert listener.of(StageFinished)[-1].result.outcome is Outcome.TIMED_OUT
