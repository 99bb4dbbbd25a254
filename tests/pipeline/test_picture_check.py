"""What a backend returns is looked at before anybody believes it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest

from stablenew import BackendProtocolError, LeakedCancelError, Settings, open_app
from stablenew.backends.base import InterruptReceipt, Picture, ReportProgress, StageRequest
from stablenew.backends.fake import FakeBackend, fake_picture
from stablenew.pipeline.picture_check import checked_picture
from stablenew.pipeline.results import Outcome
from tests.support import config

GOOD = fake_picture(StageRequest(request_id="r", stage="txt2img", settings={"seed": 1}))


def _but(**changes: Any) -> list[Picture]:
    return [attrs.evolve(GOOD, **changes)]


ODD: dict[str, tuple[object, str]] = {
    "no picture": (_but(data=b"not a picture"), "(13 bytes) cannot be read as PNG, JPEG or WebP"),
    "empty": (_but(data=b""), "(0 bytes) cannot be read"),
    "cut": (_but(data=GOOD.data[:-20]), "cannot be read as PNG"),
    "damaged": (_but(data=GOOD.data[:45] + b"?" + GOOD.data[46:]), "cannot be read as PNG"),
    "another format": (_but(data=b"GIF89a\1\0\1\0\0\0\0;"), "cannot be read as PNG, JPEG or WebP"),
    "text": (_but(data="text"), "data is str, expected encoded bytes"),
    "size": (_but(width=512), "says that its picture has 512x8 pixels, it has 8x8"),
    "size of another type": (_but(width="8"), "has 8x8 pixels, it has 8x8"),
    "two": ([GOOD, GOOD], "returned 2 images for a request of one"),
    "none": ([], "returned no image"),
    "None": (None, "returned NoneType, expected a list of one Picture"),
    "bytes": (GOOD.data, "returned bytes, expected a list of one Picture"),
    "a picture alone": (GOOD, "returned Picture, expected a list of one Picture"),
    "others": ([1], "expected a list of one Picture"),
    "settings": (_but(settings={"seed": object()}), "picture.settings"),
    "warnings": (_but(warnings=(5,)), "picture.warnings[0]: given 5, expected text"),
}


@pytest.mark.parametrize("name", ODD)
async def test_what_is_not_one_whole_picture_is_refused(name: str) -> None:
    returned, message = ODD[name]
    with pytest.raises(BackendProtocolError) as caught:
        await checked_picture(returned)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("returned", [[GOOD], (GOOD,), iter([GOOD])])
async def test_one_picture_in_anything_is_taken_as_it_is(returned: object) -> None:
    assert await checked_picture(returned) == GOOD


async def test_a_run_fails_with_what_is_wrong_and_keeps_no_file(runs: Path) -> None:
    backend = _Returning(lambda: _but(data=b"not a picture"))
    async with open_app(Settings(out=runs), backend=backend) as app:
        result = await app.pipeline.run_pipeline(config())
    assert result.outcome is Outcome.FAILED
    assert result.error is not None
    assert (result.error.kind, result.error.stage) == ("BackendProtocolError", "txt2img")
    assert list(runs.rglob("*.png")) == []


async def test_a_cancel_that_leaks_from_a_backend_fails_the_step_alone(runs: Path) -> None:
    async def gone() -> None:
        task = asyncio.ensure_future(asyncio.sleep(10))
        task.cancel()
        await task

    class Leaking(FakeBackend):
        async def run_stage(
            self, request: StageRequest, report: ReportProgress
        ) -> Sequence[Picture]:
            if not self.calls:
                self.calls.append(request)
                await gone()
            return await super().run_stage(request, report)

        async def interrupt(self, request_id: str) -> InterruptReceipt:
            await gone()
            return await super().interrupt(request_id)

    backend = Leaking()
    plan = {"stage": "txt2img", "target_variable": "steps", "sweep_values": [5, 6]}
    async with open_app(Settings(out=runs), backend=backend) as app:
        result = await app.learning.run_learning_plan(plan, config())
    assert [step.outcome for step in result.step_results] == [Outcome.FAILED, Outcome.SUCCEEDED]
    error = result.step_results[0].error
    assert error is not None
    assert error.kind == LeakedCancelError.__name__
    assert "the backend's txt2img ended in CancelledError()" in error.message
    receipt = result.step_results[0].run_result.stage_results[0].receipt  # type: ignore[union-attr]
    assert receipt is not None  # what it left running is asked to stop
    assert not receipt.confirmed


class _Returning(FakeBackend):
    def __init__(self, make: Callable[[], Sequence[Picture]]) -> None:
        super().__init__()
        self._make = make

    async def run_stage(self, request: StageRequest, report: ReportProgress) -> Sequence[Picture]:
        return self._make()
