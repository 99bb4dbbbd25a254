"""The server never waits for us: the next request is there before the last picture is kept."""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import anyio
import attrs
import pytest

from stablenew.backends.server_client import ServerClient
from stablenew.backends.webui import backend as backend_module
from stablenew.backends.webui.backend import WebUIBackend
from stablenew.backends.webui.progress import Snapshot
from stablenew.backends.webui.server import Server
from stablenew.backends.webui.under_way import look_at
from stablenew.events.bus import EventBus
from stablenew.pipeline.pipeline_runner import PipelineRunner
from stablenew.pipeline.results import Outcome, StageOutput
from stablenew.pipeline.stage_sequencer import StageSequencer
from tests.support import Listener, MemoryStore, until
from tests.webui.driving import Reports, Studio, draw, open_studio, stage_request
from tests.webui.profiles import A1111, A1111_UI, FORGE, SDCPP, SDNEXT, Profile
from tests.webui.requests import Refusal
from tests.webui.server import WebUI, serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

IMG2IMG = {"denoising_strength": 0.5}


def asked(webui: WebUI) -> int:
    """Return for how many pictures the server was asked."""
    return sum(path.endswith(("2img", "image")) for _, path, _ in webui.requests)


class WaitingStore(MemoryStore):
    """Keeps a picture only when the server has the request for the next one, or all of them."""

    def __init__(self, webui: WebUI, pictures: int) -> None:
        super().__init__()
        self.webui = webui
        self.expected = pictures
        self.seconds: list[float] = []

    async def save(self, *given: Any, **more: Any) -> StageOutput:
        await until(lambda: asked(self.webui) > len(self.pictures) + 1 or self._last, 5)
        assert asked(self.webui) <= len(self.pictures) + 2, "one generation of ours at a time"
        self.seconds.append(given[-1])
        return await super().save(*given, **more)

    @property
    def _last(self) -> bool:
        return len(self.pictures) + 1 == self.expected


@asynccontextmanager
async def waiting_studio(webui: WebUI, pictures: int) -> AsyncIterator[Studio]:
    bus, store = EventBus(strict=True), WaitingStore(webui, pictures)
    async with bus, WebUIBackend(webui.url) as backend:
        # Without reuse: else the first is made alone, for it tells the model's hash.
        sequencer = StageSequencer(backend, bus, store, reuse=False)
        runner = PipelineRunner(backend, sequencer)
        yield Studio(backend, bus, store, Listener(bus), runner)


@pytest.mark.parametrize(
    "profile", [A1111, A1111_UI, FORGE, SDCPP], ids=lambda profile: profile.name
)
async def test_each_request_is_there_before_the_last_picture_is_kept(profile: Profile) -> None:
    """An order: what keeps a picture waits for the request of the next."""
    with serve(profile, step_seconds=0.002) as webui:
        async with waiting_studio(webui, 4) as studio:
            result = await studio.run(images=2, img2img=IMG2IMG)
        assert asked(webui) == 4
    assert result.success, result.error


async def test_the_only_picture_of_a_stage_is_sent_on_before_it_is_kept() -> None:
    with serve(A1111_UI, step_seconds=0.002) as webui:
        async with waiting_studio(webui, 3) as studio:
            result = await studio.run(img2img=IMG2IMG, upscale={"upscaler_1": "Lanczos"})
        assert asked(webui) == 3
    assert result.success, result.error


@pytest.mark.parametrize("profile", [A1111, A1111_UI], ids=lambda profile: profile.name)
async def test_a_quick_picture_is_looked_at_once(profile: Profile) -> None:
    """After its end, for somebody may have stopped it; in the making four times a second."""
    with serve(profile, step_seconds=0.025) as webui:
        async with waiting_studio(webui, 4) as studio:
            await studio.runner.capabilities()
            before, began = len(webui.requests), anyio.current_time()
            await studio.run(images=4)
        looks = sum(path.endswith("/progress") for _, path, _ in webui.requests[before:])
    while_it_ran = int((anyio.current_time() - began) / 0.25)
    assert asked(webui) == 4
    assert looks <= 4 + 1 + while_it_ran  # one more before the first


async def test_a_picture_took_as_long_as_the_server_worked_at_it() -> None:
    with serve(A1111, step_seconds=0.01) as webui:
        async with waiting_studio(webui, 3) as studio:
            await studio.run(images=3)
            assert isinstance(studio.store, WaitingStore)
            took = studio.store.seconds
        worked = [job.ended - job.began for job in webui.jobs if job.ended is not None]
    assert len(took) == len(worked) == 3
    assert all(ours >= theirs for ours, theirs in zip(took, worked, strict=True))


async def test_what_the_server_refused_is_followed_by_nothing_until_it_is_told() -> None:
    refusal = Refusal(500, "OutOfMemoryError", "CUDA out of memory")
    with serve(A1111, fail_with=refusal) as webui:
        async with waiting_studio(webui, 3) as studio:
            assert (await studio.run(images=3)).outcome is Outcome.FAILED
        assert asked(webui) == 1


async def test_a_paced_server_is_asked_one_by_one() -> None:
    with serve(SDNEXT, step_seconds=0.002) as webui:
        async with open_studio(webui.url) as studio:
            assert (await studio.run(images=2)).success
        assert asked(webui) == 2


@pytest.mark.parametrize("profile", [A1111, A1111_UI], ids=lambda profile: profile.name)
async def test_a_cancel_while_a_picture_is_kept_stops_the_next_with_a_receipt(
    profile: Profile,
) -> None:
    class Hanging(MemoryStore):
        async def save(self, *given: Any, **more: Any) -> StageOutput:
            if not self.pictures:
                return await super().save(*given, **more)
            await until(lambda: webui.running and len(webui.jobs) == 3)
            scope.cancel()
            await anyio.sleep_forever()
            raise AssertionError("unreachable")

    with serve(profile, step_seconds=0.01) as webui:
        async with EventBus(strict=True) as bus, WebUIBackend(webui.url) as backend:
            runner = PipelineRunner(backend, StageSequencer(backend, bus, Hanging()))
            studio = Studio(backend, bus, MemoryStore(), Listener(bus), runner)
            with anyio.CancelScope() as scope:
                await studio.run(images=4, txt2img={"steps": 20})
            assert webui.running is None
            assert backend.pending == 0
        third = webui.jobs[-1]
    result = runner.last_result
    assert result is not None
    receipt = result.stage_results[0].receipt
    assert receipt is not None
    assert (receipt.request_id, receipt.confirmed) == ("run-1-txt2img_3", True)
    assert receipt.call.startswith("POST /sdapi/v1/interrupt × ")
    assert third.interrupts == ["stablenew"] * len(third.interrupts) != []
    assert len(result.outputs) == 1
    assert asked(webui) == 3


@pytest.mark.parametrize("profile", [A1111, A1111_UI], ids=lambda profile: profile.name)
async def test_what_was_begun_for_another_request_is_stopped_and_never_kept(
    profile: Profile,
) -> None:
    with serve(profile, step_seconds=0.02) as webui:
        async with WebUIBackend(webui.url) as backend:
            request = stage_request(await backend.capabilities(), steps=500, seed=5)
            other = attrs.evolve(request, settings={**request.settings, "steps": 2, "seed": 9})
            await backend.announce(request)
            await until(lambda: webui.running)
            (picture,) = await backend.run_stage(other, Reports())
            again = attrs.evolve(request, settings={**request.settings, "steps": 3})
            (third,) = await backend.run_stage(again, Reports())
        first, second, last = webui.jobs
    assert first.interrupts
    assert second.interrupts == last.interrupts == []
    assert (picture.settings["seed"], third.settings["steps"]) == (9, 3)


async def test_the_same_request_takes_up_what_was_begun_and_reports_it() -> None:
    reports = Reports()
    with serve(A1111, step_seconds=0.02) as webui:
        async with WebUIBackend(webui.url) as backend:
            request = stage_request(await backend.capabilities(), steps=25)
            await backend.announce(request)
            await until(lambda: webui.state.sampling_step > 3)
            await backend.run_stage(attrs.evolve(request, previews=True), reports)
    assert len(webui.jobs) == 1
    assert reports.fractions


async def test_what_was_announced_and_not_asked_for_is_stopped_when_all_is_left() -> None:
    with serve(A1111_UI, step_seconds=0.02) as webui:
        async with WebUIBackend(webui.url) as backend:
            await backend.announce(stage_request(await backend.capabilities(), steps=500))
            await until(lambda: webui.running)
        assert webui.running is None
        (job,) = webui.jobs
    assert job.interrupts


async def test_a_job_of_ours_that_somebody_stopped_is_known_though_the_next_is_on_its_way() -> None:
    def interrupt(_: float) -> None:
        webui.state.interrupted = True

    with serve(A1111_UI, step_seconds=0.02, begin_delay=0.05) as webui:
        async with WebUIBackend(webui.url) as backend:
            request = stage_request(await backend.capabilities(), steps=20)
            follows = attrs.evolve(request, request_id="next")
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(backend.announce, follows)
                with pytest.raises(Exception, match="somebody else interrupted"):
                    await backend.run_stage(request, Reports(on_report=interrupt))
            await backend.run_stage(follows, Reports())
    assert len(webui.jobs) == 2


async def test_what_is_stopped_while_the_server_is_looked_at_is_never_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The answer to the look is here, and whoever waits for it has not gone on yet."""

    async def stopped_meanwhile(client: ServerClient, server: Server) -> Snapshot | None:
        seen = await look_at(client, server)
        with suppress(StopIteration):
            backend.interrupt(request.request_id).send(None)  # all of it, in one step
        return seen

    with serve(A1111, step_seconds=0.02) as webui:
        async with WebUIBackend(webui.url) as backend:
            request = stage_request(await backend.capabilities(), steps=500)
            await draw(backend)  # so that the server's own options are written
            monkeypatch.setattr(backend_module, "look_at", stopped_meanwhile)
            await backend.announce(request)
            assert backend.pending == 0
        assert asked(webui) == 1
