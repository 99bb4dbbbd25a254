"""What gets lost on the way, and what the server loses: found again, or made again, once."""

from __future__ import annotations

import anyio
import anyio.to_thread
import pytest

from stablenew.backends.comfyui import job as job_module
from stablenew.backends.comfyui.backend import ComfyUIBackend
from stablenew.errors import BackendError, BackendProtocolError, BackendRejectedError
from stablenew.pipeline.results import Outcome
from stablenew.pipeline.stage_events import BackendLost, BackendReturned
from tests.comfyui.driving import Studio, draw, open_studio
from tests.comfyui.server import V0_3_64, V0_33, ComfyUI, Profile, listening, serve
from tests.support import until
from tests.webui.driving import Reports, stage_request
from tests.webui.wire import Fault, wired

both = pytest.mark.parametrize("profile", [V0_33, V0_3_64], ids=lambda each: each.version)


@both
async def test_an_answer_that_is_lost_leads_to_no_second_job(profile: Profile) -> None:
    with serve(profile, step_seconds=0.01, keeps_alive=False) as comfyui:
        with wired(comfyui.url, Fault.RESET_BEFORE, path="/prompt ") as wire:
            async with ComfyUIBackend(wire.url) as backend:
                assert (await draw(backend)).width == 64
        assert wire.befell == 1
    assert len(comfyui.entries) == 1


@both
async def test_a_post_that_never_got_there_is_sent_again_with_the_same_id(
    profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_module, "_SHOWS_WITHIN", 0.2)
    with serve(profile, keeps_alive=False) as comfyui:
        with wired(comfyui.url, Fault.RESET_UNHEARD, path="/prompt ") as wire:
            async with ComfyUIBackend(wire.url) as backend:
                assert (await draw(backend)).width == 64
        assert wire.befell == 1
    assert len(comfyui.entries) == 1


async def test_a_proxy_that_gave_up_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_module, "_SHOWS_WITHIN", 0.2)
    with serve(keeps_alive=False) as comfyui:
        with wired(comfyui.url, Fault.BAD_GATEWAY, path="/prompt ") as wire:
            async with ComfyUIBackend(wire.url) as backend:
                await draw(backend)
    assert len(comfyui.entries) == 1


@pytest.mark.parametrize("path", ["/api/jobs/", "/view", "/upload", "/object_info"])
async def test_a_look_that_is_lost_is_taken_again(path: str) -> None:
    with serve(step_seconds=0.005, keeps_alive=False) as comfyui:
        with wired(comfyui.url, Fault.RESET_BEFORE, path=path, left=2) as wire:
            async with ComfyUIBackend(wire.url) as backend:
                await draw(backend)
    assert len(comfyui.entries) == 1


async def test_a_part_that_is_refused_is_the_whole_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The server answers 200, and runs the rest."""
    with serve(step_seconds=0.01) as comfyui:
        async with ComfyUIBackend(comfyui.url) as backend:
            request = stage_request(await backend.capabilities(), steps=500)
            beside = {
                "class_type": "SaveImage",
                "inputs": {"images": ["decode", 0]},
            }
            monkeypatch.setattr(
                backend._kept, "beside", lambda stage, nodes: {**nodes, "other": beside}
            )
            with pytest.raises(BackendRejectedError) as caught:
                await backend.run_stage(request, Reports())
            await until(lambda: comfyui.running is None)
    assert "other (SaveImage): Required input is missing: filename_prefix" in str(caught.value)
    assert comfyui.entries[0].outputs == ["picture"]
    assert [m[0] for m in comfyui.entries[0].messages[-1:]] != ["execution_success"]


async def test_a_job_that_somebody_else_interrupted_is_no_picture() -> None:
    with serve(step_seconds=0.01) as comfyui:
        async with open_studio(comfyui.url) as studio:
            async with anyio.create_task_group() as tasks:
                results = []

                async def run() -> None:
                    results.append(await studio.run(txt2img={"steps": 500}))

                tasks.start_soon(run)
                await until(lambda: comfyui.running)
                assert comfyui.running is not None
                comfyui.running.interrupts += 1
    (result,) = results
    assert result.outcome is Outcome.FAILED
    assert result.error is not None
    assert "somebody else interrupted" in result.error.message


@both
async def test_a_server_that_was_restarted_makes_the_picture_again_once(profile: Profile) -> None:
    with serve(profile, step_seconds=0.005) as comfyui:
        async with open_studio(comfyui.url) as studio:
            result = await _restarted_while_it_runs(studio, comfyui)
    assert result == Outcome.SUCCEEDED
    assert len(comfyui.entries) == 2
    assert len(studio.listener.of(BackendLost)) == len(studio.listener.of(BackendReturned)) == 1


async def _restarted_while_it_runs(studio: Studio, comfyui: ComfyUI) -> Outcome:
    outcomes: list[Outcome] = []

    async def run() -> None:
        outcomes.append((await studio.run(txt2img={"steps": 60})).outcome)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        await until(lambda: comfyui.running)
        await anyio.to_thread.run_sync(comfyui.forget)
    return outcomes[0]


async def test_a_server_that_is_away_for_a_while_is_waited_for() -> None:
    comfyui = ComfyUI(step_seconds=0.005)
    outcomes: list[Outcome] = []
    studios: list[Studio] = []
    async with anyio.create_task_group() as tasks:
        with listening(comfyui):
            url = comfyui.url

            async def run() -> None:
                async with open_studio(url) as studio:
                    studios.append(studio)
                    outcomes.append((await studio.run(txt2img={"steps": 1_000})).outcome)

            tasks.start_soon(run)
            await until(lambda: comfyui.running)
        await until(lambda: studios[0].listener.of(BackendLost))
        back = ComfyUI()
        with listening(back, int(url.rpartition(":")[2])):
            await until(lambda: outcomes)
    assert outcomes == [Outcome.SUCCEEDED]
    (first,), (second,) = comfyui.entries, back.entries
    assert first.id == second.id  # asked for by the id that it had


async def test_a_job_that_outlived_the_way_to_it_is_not_made_twice() -> None:
    """The server was never gone: what is under way there is followed on."""
    with serve(step_seconds=0.01, keeps_alive=False) as comfyui:
        with wired(comfyui.url, Fault.RESET_BEFORE, path="/api/jobs/", left=3) as wire:
            async with open_studio(wire.url) as studio:
                result = await studio.run(txt2img={"steps": 40})
    assert result.success
    assert wire.befell == 3
    assert len(comfyui.entries) == 1


async def test_a_job_that_was_lost_and_is_not_wanted_any_more_is_stopped() -> None:
    with serve(step_seconds=0.01, keeps_alive=False) as comfyui:
        with wired(comfyui.url, Fault.RESET_BEFORE, path="/api/jobs/", left=3) as wire:
            async with open_studio(wire.url, wait_for_backend=0) as studio:
                result = await studio.run(txt2img={"steps": 2_000})
                assert comfyui.running
        await until(lambda: comfyui.running is None)
    assert result.outcome is Outcome.FAILED
    assert len(comfyui.entries) == 1


async def test_a_picture_that_is_not_there_any_more_is_told() -> None:
    with serve() as comfyui:
        async with ComfyUIBackend(comfyui.url) as backend:
            request = stage_request(await backend.capabilities())
            comfyui.disk.save = lambda *how: {  # type: ignore[method-assign]
                "filename": "gone.png",
                "subfolder": "",
                "type": "temp",
            }
            with pytest.raises(BackendProtocolError, match=r"made gone\.png, and has no such file"):
                await backend.run_stage(request, Reports())


@pytest.mark.parametrize("fault", [Fault.WRONG_TYPE, Fault.TRUNCATED_JSON])
async def test_an_answer_that_is_no_answer_is_an_error(fault: Fault) -> None:
    with serve(step_seconds=0.005, keeps_alive=False) as comfyui:
        with wired(comfyui.url, fault, path="/api/jobs/", left=9) as wire:
            async with ComfyUIBackend(wire.url) as backend:
                with pytest.raises(BackendError):
                    await draw(backend, steps=200)
