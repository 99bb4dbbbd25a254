"""Cancelling: our own job is stopped, nobody else's ever, and the receipt says what came of it."""

from __future__ import annotations

from collections.abc import Mapping

import anyio
import pytest

from stablenew.backends.base import InterruptReceipt
from stablenew.backends.webui.backend import WebUIBackend
from tests.support import until
from tests.webui.driving import (
    Reports,
    Studio,
    draw,
    open_studio,
    stage_request,
)
from tests.webui.profiles import A1111, A1111_UI, FORGE, SDCPP, SDNEXT, Profile
from tests.webui.server import WebUI, serve

FOREVER: dict[str, Mapping[str, object]] = {"txt2img": {"steps": 5_000}}


async def cancelled(
    studio: Studio, webui: WebUI, after: float = 0.3, **stages: Mapping[str, object]
) -> InterruptReceipt:
    """Start a run, cancel it some time after its job began, and return the receipt."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: studio.run("run-1", 1, **(stages or FOREVER)))
        await until(lambda: any(job.owner == "stablenew" for job in webui.jobs))
        await anyio.sleep(after)
        tasks.cancel_scope.cancel()
    return receipt_of(studio)


def receipt_of(studio: Studio) -> InterruptReceipt:
    result = studio.runner.last_result
    assert result is not None
    stage = result.stage_results[-1]
    assert stage.receipt is not None
    assert stage.outputs == ()
    return stage.receipt


@pytest.mark.parametrize(
    "profile", [A1111, A1111_UI, FORGE, SDNEXT], ids=lambda profile: profile.name
)
async def test_a_cancelled_job_is_interrupted_and_gone(profile: Profile) -> None:
    with serve(profile, step_seconds=0.01) as webui:
        async with open_studio(webui.url) as studio:
            receipt = await cancelled(studio, webui)
            assert webui.running is None
        (job,) = webui.jobs
    assert job.interrupts == ["stablenew"] * len(job.interrupts) != []
    assert receipt.confirmed
    assert receipt.call.startswith("POST /sdapi/v1/interrupt × ")
    assert receipt.seconds < 2
    assert studio.store.pictures == {}


async def test_the_late_half_done_picture_is_thrown_away_and_the_next_run_is_whole() -> None:
    with serve(A1111, step_seconds=0.01) as webui:
        async with open_studio(webui.url) as studio:
            await cancelled(studio, webui)
            result = await studio.run("run-2", 2)
    assert result.success
    assert list(studio.store.pictures) == ["run-2/txt2img_1.png", "run-2/txt2img_2.png"]


@pytest.mark.parametrize("profile", [A1111, A1111_UI], ids=lambda profile: profile.name)
async def test_an_interrupt_that_is_lost_before_the_job_begins_is_sent_again(
    profile: Profile,
) -> None:
    with serve(profile, step_seconds=0.01, begin_delay=0.4) as webui:
        async with open_studio(webui.url) as studio:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(lambda: studio.run("run-1", 1, **FOREVER))
                await until(lambda: webui.paths("txt2img"))
                tasks.cancel_scope.cancel()
            receipt = receipt_of(studio)
            assert webui.running is None
        (job,) = webui.jobs
    assert receipt.confirmed
    assert job.interrupts


async def test_a_server_without_an_interrupt_says_so_in_the_receipt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("stablenew.backends.server_jobs.STOPPED_WITHIN", 0.3)
    with serve(SDCPP, step_seconds=0.1) as webui:
        async with open_studio(webui.url) as studio:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(lambda: studio.run("run-1", 1, txt2img={"steps": 12}))
                await until(lambda: webui.paths("txt2img"))
                tasks.cancel_scope.cancel()
            receipt = receipt_of(studio)
            assert (receipt.call, receipt.confirmed) == ("", False)
            assert "stable-diffusion.cpp has no interrupt" in receipt.detail
            result = await studio.run("run-2", txt2img={"steps": 1})
        assert len(webui.paths("txt2img")) == 2
    assert result.success


async def test_nothing_under_way_is_nothing_to_stop() -> None:
    with serve(A1111) as webui:
        async with WebUIBackend(webui.url) as backend:
            await draw(backend)
            receipt = await backend.interrupt("r-1")
        assert webui.paths("interrupt") == []
    assert (receipt.confirmed, receipt.call) == (True, "")


async def test_a_client_that_leaves_altogether_is_bounded() -> None:
    with serve(SDCPP, step_seconds=1.0) as webui:
        with anyio.fail_after(30):
            async with WebUIBackend(webui.url) as backend:
                request = stage_request(await backend.capabilities(), steps=100)
                with anyio.move_on_after(0.3):
                    await backend.run_stage(request, Reports())


async def test_a_timeout_of_ours_is_a_cancel_too() -> None:
    with serve(A1111, step_seconds=0.01) as webui:
        async with open_studio(webui.url) as studio:
            with anyio.move_on_after(0.6):
                await studio.run("run-1", 1, **FOREVER)
            assert webui.running is None
        (job,) = webui.jobs
    assert job.interrupts


async def test_an_idle_stuck_after_a_failed_upscale_is_not_taken_for_a_job() -> None:
    with serve(A1111, step_seconds=0.01) as webui:
        async with open_studio(webui.url) as studio:
            webui.state.begin("extras")
            webui.state.job, webui.state.job_count, webui.state.job_no = "Upscale", 1, 1
            webui.state.job_timestamp = "20000101000000"
            receipt = await cancelled(studio, webui)
        (job,) = webui.jobs
    assert receipt.confirmed
    assert job.interrupts
