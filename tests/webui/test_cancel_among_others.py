"""Cancelling at random moments and beside other clients; slow, so on one loop alone."""

from __future__ import annotations

import random
import statistics
from collections.abc import Mapping

import anyio
import pytest

from stablenew.backends import server_jobs
from stablenew.backends.base import InterruptReceipt
from tests.support import open_handles, rounds, until
from tests.webui.driving import OtherClient, Studio, open_studio
from tests.webui.profiles import A1111, A1111_UI, SDNEXT, Profile
from tests.webui.server import serve
from tests.webui.test_cancel import receipt_of

_WAITED_FOR = "when it begins it cannot be told from others', and is waited for"


@pytest.mark.parametrize(
    ("profile", "becomes"),
    [
        (A1111, _WAITED_FOR),
        (A1111_UI, "it is stopped when it begins, if this program still runs then"),
        (SDNEXT, _WAITED_FOR),
    ],
    ids=lambda given: getattr(given, "name", ""),
)
async def test_a_queued_job_waits_for_its_turn_to_be_stopped_and_harms_nobody(
    profile: Profile, becomes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_jobs, "STOPPED_WITHIN", 0.5)
    with serve(profile, step_seconds=0.01) as webui:
        other = OtherClient(webui)
        async with open_studio(webui.url) as studio:
            other.start(steps=200)
            await until(lambda: webui.state.sampling_step)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(lambda: studio.run("run-1", 1, txt2img={"steps": 80}))
                await until(lambda: len(webui.paths("txt2img")) == 2)
                tasks.cancel_scope.cancel()
            receipt = receipt_of(studio)
            assert not receipt.confirmed
            assert f"behind another client's job; {becomes}" in receipt.detail
            (left,) = studio.backend.left_behind
            assert left.startswith(f"left behind on {webui.url}: run-1-txt2img_1: ")
            assert left.endswith("and will run to its 80 steps")
            result = await studio.run("run-2")
        other.join()
        theirs, ours = webui.jobs[:2]
    assert theirs.interrupts == []
    assert result.success
    assert [answer.status_code for answer in other.answers] == [200]
    if profile.ui:  # it is known by its id; without one it is left alone, for it may be another's
        assert ours.interrupts
    else:
        assert ours.interrupts == []


@pytest.mark.parametrize(
    ("profile", "times"),
    [(A1111, rounds(8, 50)), (A1111_UI, rounds(5, 25))],
    ids=["a1111", "a1111 ui"],
)
async def test_cancels_at_random_moments(profile: Profile, times: int) -> None:
    """Ours is always gone in the end, somebody else's is never touched, nothing stays behind."""
    moments = random.Random(4)
    waits: list[float] = []
    stages: dict[str, Mapping[str, object]] = {
        "img2img": {"denoising_strength": 0.5},
        "upscale": {"upscaler_1": "Lanczos"},
    }
    with serve(profile, step_seconds=0.004) as webui:
        async with open_studio(webui.url) as studio:
            await studio.run("warm", 1, **stages)
            handles = open_handles()
            for number in range(times):
                receipts = await _cancel_once(
                    studio, f"run-{number}", moments.uniform(0, 0.4), stages
                )
                waits += [each.seconds for each in receipts]
                assert all(each.confirmed for each in receipts)
                assert webui.running is None
            assert open_handles() <= handles + 2
        ours = [job for job in webui.jobs if job.owner == "stablenew"]
        assert all(job.ended is not None for job in ours)
    assert waits
    waits.sort()
    p50, p99 = statistics.median(waits), waits[int(len(waits) * 0.99)]
    print(f"\n{profile.name}: cancel to idle p50 {p50 * 1e3:.0f} ms, p99 {p99 * 1e3:.0f} ms")  # noqa: T201


async def _cancel_once(
    studio: Studio, run_id: str, moment: float, stages: Mapping[str, Mapping[str, object]]
) -> list[InterruptReceipt]:
    with anyio.move_on_after(moment):
        await studio.run(run_id, 2, txt2img={"steps": 20}, **stages)
    result = studio.runner.last_result
    assert result is not None
    assert result.run_id == run_id
    return [each.receipt for each in result.stage_results if each.receipt is not None]


async def test_another_clients_jobs_among_ours_are_never_touched() -> None:
    moments, jobs = random.Random(7), rounds(1, 5)
    with serve(A1111, step_seconds=0.01) as webui:
        other = OtherClient(webui)
        async with open_studio(webui.url) as studio:
            for number in range(jobs):
                other.start(steps=230)  # two seconds and more before ours
                await until(lambda: webui.running and webui.running.owner == "somebody else")
                with anyio.move_on_after(moments.uniform(2.2, 2.8)):
                    await studio.run(f"run-{number}", 1, txt2img={"steps": 100})
            await until(lambda: webui.running is None)
        other.join()
        theirs = [job for job in webui.jobs if job.owner == "somebody else"]
    assert len(theirs) == jobs
    assert all(job.interrupts == [] for job in theirs)
    assert [answer.status_code for answer in other.answers] == [200] * jobs
