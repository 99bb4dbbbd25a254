"""Two prompts of ours are in the queue, both ours to cancel: the server never waits for us."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import attrs
import pytest

from stablenew.backends.comfyui.backend import ComfyUIBackend
from tests.comfyui.driving import Studio, ask_for_others, open_studio
from tests.comfyui.server import V0_33, VERSIONS, ComfyUI, Profile, serve
from tests.support import until
from tests.webui.driving import Reports, stage_request

every_version = pytest.mark.parametrize("profile", VERSIONS, ids=lambda each: each.version)


@asynccontextmanager
async def warm_studio(comfyui: ComfyUI) -> AsyncIterator[Studio]:
    """Open a studio that has made a picture: by then it is known that no hash is told with one."""
    async with open_studio(comfyui.url) as studio:
        await studio.run("warm", txt2img={"seed": 900})
        comfyui.entries.clear()
        comfyui.history.clear()
        studio.store.pictures.clear()
        yield studio


def ours(comfyui: ComfyUI) -> list[str]:
    """Return the ids of our prompts, in the order in which they came."""
    return [each.id for each in comfyui.entries if each.extra["client_id"] != "other"]


@every_version
async def test_the_next_prompt_waits_behind_the_one_that_runs(profile: Profile) -> None:
    """It is there while the first hangs, so nothing of ours lies between them."""
    with serve(profile) as comfyui:
        async with warm_studio(comfyui) as studio:
            comfyui.hang_at_step = 2
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(lambda: studio.run("run-1", 3, txt2img={"steps": 4}))
                await until(lambda: comfyui.running and comfyui.pending)
                assert len(comfyui.entries) == 2, "the one after that is not there yet"
                comfyui.hang_at_step = None
                await until(lambda: len(studio.store.pictures) == 3)
    assert len(ours(comfyui)) == 3
    assert comfyui.paths("/interrupt") == []


@every_version
async def test_a_cancel_takes_both_and_nothing_of_others(profile: Profile) -> None:
    with serve(profile, step_seconds=0.005) as comfyui:
        async with warm_studio(comfyui) as studio:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(lambda: studio.run("run-1", 3, txt2img={"steps": 500}))
                await until(lambda: len(comfyui.entries) == 2)
                theirs = ask_for_others(comfyui, steps=2)
                await until(lambda: len(comfyui.pending) == 2)
                tasks.cancel_scope.cancel()
            assert studio.receipt.confirmed
            assert studio.backend.pending == 0
            await until(lambda: len(comfyui.history) == 2)
            assert comfyui.pending == []
    first, second = ours(comfyui)
    assert second not in comfyui.history, "it never began"
    (other,) = (each for each in comfyui.entries if each.extra["client_id"] == "other")
    assert other.interrupts == 0
    if profile.ids != "own":
        assert set(comfyui.history) == {first, theirs}
    assert studio.store.pictures == {}


async def test_a_cancel_while_the_prompt_is_on_its_way_takes_it_too() -> None:
    with serve(V0_33, step_seconds=0.005) as comfyui:
        async with warm_studio(comfyui) as studio:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(lambda: studio.run("run-1", 2, txt2img={"steps": 500}))
                await until(lambda: comfyui.running)
                comfyui.post_seconds = 0.2
                await until(lambda: comfyui.waiting_for_prompt or len(comfyui.entries) == 2)
                tasks.cancel_scope.cancel()
            await studio.backend.drained()
            assert comfyui.pending == []
            assert comfyui.running is None


async def test_the_next_is_sent_when_the_server_has_the_one_before() -> None:
    """Else it might be the first in the queue."""
    most = 0

    def both_there() -> bool:
        nonlocal most
        most = max(most, comfyui.waiting_for_prompt)
        return len(comfyui.entries) == 2

    with serve(V0_33) as comfyui:
        async with warm_studio(comfyui) as studio:
            comfyui.post_seconds = 0.1
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(lambda: studio.run("run-1", 2))
                await until(both_there)
    assert most == 1


async def test_what_was_begun_for_another_request_is_stopped_and_never_kept() -> None:
    with serve(V0_33, step_seconds=0.005) as comfyui:
        async with ComfyUIBackend(comfyui.url) as backend:
            request = stage_request(await backend.capabilities(), steps=500, seed=5)
            other = attrs.evolve(request, settings={**request.settings, "steps": 2, "seed": 9})
            await backend.announce(request)
            await until(lambda: comfyui.running)
            (picture,) = await backend.run_stage(other, Reports())
    assert picture.settings["seed"] == 9
    assert comfyui.history[ours(comfyui)[0]]["status"]["completed"] is False


async def test_the_same_request_takes_up_what_was_begun_and_says_how_long_it_took() -> None:
    with serve(V0_33, step_seconds=0.01) as comfyui:
        async with ComfyUIBackend(comfyui.url) as backend:
            request = stage_request(await backend.capabilities(), steps=10)
            await backend.announce(request)
            await until(lambda: comfyui.history)
            (picture,) = await backend.run_stage(attrs.evolve(request, previews=True), Reports())
    assert len(ours(comfyui)) == 1
    assert picture.seconds is not None
    assert picture.seconds > 0.09  # ten steps, as the server counts; it was here at once


async def test_what_was_announced_and_not_asked_for_is_stopped_when_all_is_left() -> None:
    with serve(V0_33, step_seconds=0.01) as comfyui:
        async with ComfyUIBackend(comfyui.url) as backend:
            await backend.announce(stage_request(await backend.capabilities(), steps=500))
            await until(lambda: comfyui.running)
        await until(lambda: comfyui.running is None)
        assert len(comfyui.entries) == 1


async def test_what_follows_a_prompt_that_fails_of_another_run_goes_on() -> None:
    with serve(V0_33, fail_at=("VAEDecode", "out of memory")) as comfyui:
        async with ComfyUIBackend(comfyui.url) as backend:
            request = stage_request(await backend.capabilities())
            follows = attrs.evolve(
                request, request_id="next", settings={**request.settings, "seed": 7}
            )
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(backend.announce, follows)
                with pytest.raises(Exception, match="out of memory"):
                    await backend.run_stage(request, Reports())
            with pytest.raises(Exception, match="out of memory"):
                await backend.run_stage(follows, Reports())
    assert len(ours(comfyui)) == 2
