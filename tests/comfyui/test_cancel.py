"""Cancelling: by id alone, never another's job, and with a receipt that is the final status."""

from __future__ import annotations

import random

import anyio
import pytest

from stablenew.backends import server_jobs
from stablenew.backends.base import Draining
from stablenew.backends.comfyui.backend import ComfyUIBackend
from tests.comfyui.driving import ask_for_others, draw, open_studio
from tests.comfyui.server import V0_3_64, V0_33, VERSIONS, ComfyUI, Profile, serve
from tests.support import open_handles, rounds, until
from tests.webui.driving import Reports, stage_request

LONG = {"txt2img": {"steps": 5_000}}
every_version = pytest.mark.parametrize("profile", VERSIONS, ids=lambda each: each.version)


def interrupted(comfyui: ComfyUI, prompt_id: str) -> bool:
    messages = comfyui.history[prompt_id]["status"]["messages"]
    return bool(messages[-1][0] == "execution_interrupted")


@every_version
async def test_a_running_job_is_stopped(profile: Profile) -> None:
    with serve(profile, step_seconds=0.005) as comfyui:
        async with open_studio(comfyui.url) as studio:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(lambda: studio.run("run-1", 1, **LONG))
                await until(lambda: comfyui.running)
                tasks.cancel_scope.cancel()
            (ours,) = comfyui.entries
            assert interrupted(comfyui, ours.id)
            assert studio.backend.pending == 0
            receipt = studio.receipt
            assert (await studio.run("run-2")).success
    assert receipt.confirmed
    assert ours.id in receipt.call
    assert studio.store.pictures.keys() == {"run-2/txt2img_1.png"}


@every_version
async def test_a_job_that_waits_is_taken_away_and_nobody_elses_is_touched(
    profile: Profile,
) -> None:
    with serve(profile, step_seconds=0.003) as comfyui:
        async with open_studio(comfyui.url) as studio:
            before = ask_for_others(comfyui, steps=150)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(lambda: studio.run("run-1", 1, **LONG))
                await until(lambda: len(comfyui.entries) == 2)
                after = ask_for_others(comfyui, steps=5, seed=901)
                tasks.cancel_scope.cancel()
            receipt = studio.receipt
            await until(lambda: len(comfyui.history) == 2)
    theirs = {each.id: each for each in comfyui.entries if each.extra["client_id"] == "other"}
    assert receipt.confirmed
    assert receipt.detail == "it had not begun"
    assert set(comfyui.history) == set(theirs)
    assert len(theirs) == 2
    assert not any(each.interrupts for each in theirs.values())
    if profile.ids != "own":
        assert set(theirs) == {before, after}


async def test_an_interrupt_never_goes_out_without_an_id() -> None:
    for profile in VERSIONS:
        with serve(profile, step_seconds=0.003) as comfyui:
            async with open_studio(comfyui.url) as studio:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(lambda: studio.run("run-1", 1, **LONG))
                    await until(lambda: comfyui.running)
                    tasks.cancel_scope.cancel()
            ours = comfyui.entries[0].id
            assert all(body == {"prompt_id": ours} for body in comfyui.paths("/interrupt"))
            assert all(body == {"delete": [ours]} for body in comfyui.paths("/queue") if body)


async def test_a_server_that_looks_at_no_id_is_asked_only_while_ours_runs() -> None:
    profile = VERSIONS[-1]
    assert not profile.interrupts_by_id
    with serve(profile, step_seconds=0.004) as comfyui:
        async with open_studio(comfyui.url) as studio:
            ask_for_others(comfyui, steps=100)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(lambda: studio.run("run-1", 1, **LONG))
                await until(lambda: len(comfyui.entries) == 2)
                tasks.cancel_scope.cancel()
            assert studio.receipt.confirmed
            assert comfyui.paths("/interrupt") == []


@pytest.mark.parametrize("profile", [V0_33, V0_3_64], ids=lambda each: each.version)
async def test_a_cancel_waits_for_the_answer_to_the_post(profile: Profile) -> None:
    """Before it, it would find nothing, and the job would begin a moment later."""
    with serve(profile, step_seconds=0.005, post_seconds=0.4) as comfyui:
        async with open_studio(comfyui.url) as studio:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(lambda: studio.run("run-1", 1, **LONG))
                await until(lambda: comfyui.paths("/prompt"))
                tasks.cancel_scope.cancel()
            assert studio.receipt.confirmed
            await until(lambda: comfyui.running is None and not comfyui.pending)
            (ours,) = comfyui.entries
            assert ours.messages == [] or interrupted(comfyui, ours.id)
            assert comfyui.cancelled_before == 0


async def test_what_was_done_before_it_could_be_stopped_is_said_to_be() -> None:
    with serve(step_seconds=0.001, ending_seconds=0.3) as comfyui:
        async with open_studio(comfyui.url) as studio:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(lambda: studio.run("run-1"))
                await until(
                    lambda: (
                        comfyui.entries
                        and [m[0] for m in comfyui.entries[0].messages[-1:]]
                        == ["execution_success"]
                    )
                )
                tasks.cancel_scope.cancel()
            receipt = studio.receipt
    assert receipt.confirmed
    assert receipt.detail == "it was done before it could be stopped"
    assert studio.store.pictures == {}


async def test_a_server_that_does_not_stop_is_said_not_to_have(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server_jobs, "STOPPED_WITHIN", 0.3)
    with serve(load_seconds=1.0) as comfyui:  # a checkpoint that is loading is not left
        async with open_studio(comfyui.url) as studio:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(lambda: studio.run("run-1", 1, **LONG))
                await until(lambda: comfyui.loads)
                tasks.cancel_scope.cancel()
            receipt = studio.receipt
            assert not receipt.confirmed
            assert receipt.detail == "unconfirmed: the server was asked, and is still at it"
            assert studio.backend.pending == 1
            assert isinstance(studio.backend, Draining)
            assert studio.backend.left_behind == [
                f"left behind on {comfyui.url}: run-1-txt2img_1: the server was asked to stop it,"
                " and is still at it"
            ]
            await studio.backend.drained()
            assert studio.backend.pending == 0
            assert studio.backend.left_behind == []
            assert comfyui.running is None


async def test_nothing_under_way_is_nothing_to_stop() -> None:
    with serve() as comfyui:
        async with ComfyUIBackend(comfyui.url) as backend:
            await draw(backend)
            receipt = await backend.interrupt("r-1")
    assert (receipt.confirmed, receipt.call, receipt.detail) == (True, "", "nothing was under way")


async def test_a_client_that_leaves_altogether_leaves_nothing_there() -> None:
    with serve(step_seconds=0.01) as comfyui:
        with anyio.fail_after(30):
            async with ComfyUIBackend(comfyui.url) as backend:
                request = stage_request(await backend.capabilities(), steps=10_000)
                with anyio.move_on_after(0.3):
                    await backend.run_stage(request, Reports())
            await until(lambda: comfyui.running is None)
        assert interrupted(comfyui, comfyui.entries[0].id)


async def test_random_cancels_among_another_clients_jobs() -> None:
    """Theirs are untouched, ours are gone, and every receipt is true."""
    moments, times = random.Random(16), rounds(8, 100)
    with serve(V0_33, step_seconds=0.002) as comfyui:
        async with open_studio(comfyui.url) as studio:
            await studio.run("warm")
            handles = open_handles()
            for number in range(times):
                for seed in range(2):
                    ask_for_others(comfyui, steps=moments.randrange(1, 12), seed=number * 9 + seed)
                with anyio.move_on_after(moments.uniform(0, 0.12)):
                    given = {"steps": 10, "seed": 10 * number}
                    await studio.run(f"run-{number}", 3, txt2img=given)
                result = studio.runner.last_result
                assert result is not None
                if result.run_id == f"run-{number}":  # else it was cut before it began
                    assert all(s.receipt.confirmed for s in result.stage_results if s.receipt)
                assert studio.backend.pending == 0
            theirs = [each for each in comfyui.entries if each.extra["client_id"] == "other"]
            await until(lambda: all(each.id in comfyui.history for each in theirs))
            assert open_handles() <= handles + 2
    assert len(theirs) == 2 * times
    assert not any(interrupted(comfyui, each.id) for each in theirs)
    ours = [each for each in comfyui.entries if each.extra["client_id"] != "other"]
    done = [e for e in ours if e.id in comfyui.history and not interrupted(comfyui, e.id)]
    assert len(done) < 3 * times
