"""Servers that are slow, half there, another one than before, or behind a proxy of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import anyio
import httpx2
import pytest

from stablenew.backends import plain_http, server_client
from stablenew.backends.server_client import ServerClient
from stablenew.backends.webui.backend import WebUIBackend
from stablenew.backends.webui.signs_of_life import SignsOfLife
from stablenew.errors import (
    BackendProtocolError,
    BackendUnavailableError,
    ConfigError,
)
from tests.support import until
from tests.webui.driving import (
    SMALL,
    OtherClient,
    Reports,
    draw,
    open_studio,
    stage_request,
)
from tests.webui.profiles import A1111, A1111_UI, SDCPP
from tests.webui.requests import Refusal
from tests.webui.server import WebUI, serve
from tests.webui.wire import Fault, wired


async def test_a_get_that_is_never_answered_is_given_up() -> None:
    with serve(A1111) as webui, wired(webui.url, Fault.SILENCE, path="/", seconds=5.0, left=9) as w:
        async with WebUIBackend(w.url, answer_timeout=0.3) as backend:
            with pytest.raises(BackendUnavailableError, match="said nothing"), anyio.fail_after(4):
                await backend.capabilities()


async def test_a_generation_may_be_silent_for_longer_than_any_get() -> None:
    with serve(A1111) as webui, wired(webui.url, Fault.SILENCE, seconds=1.5) as wire:
        async with WebUIBackend(wire.url, answer_timeout=0.3) as backend:
            assert (await draw(backend)).width == 64
    assert wire.befell == 1


async def test_one_list_that_is_refused_is_one_error_and_no_group() -> None:
    refused = {"/sdapi/v1/samplers": Refusal(503, "Starting", "a moment")}
    with serve(A1111, refused=refused) as webui:
        async with WebUIBackend(webui.url) as backend:
            with pytest.raises(BackendUnavailableError, match="503"):
                await backend.capabilities()
            webui.refused = {"/sdapi/v1/samplers": Refusal(401, "HTTPException", "Who are you")}
            with pytest.raises(ConfigError, match=r"auth: .*Who are you"):
                await backend.capabilities()
            webui.refused = {"/internal/progress": Refusal(403, "", "closed")}
            assert (await backend.capabilities()).samplers


async def test_a_page_of_html_is_no_webui() -> None:
    with serve(A1111) as webui, wired(webui.url, Fault.WRONG_TYPE, path="/progress") as wire:
        async with WebUIBackend(wire.url) as backend:
            with pytest.raises(BackendUnavailableError, match="is no WebUI"):
                await backend.capabilities()


async def test_an_answer_beyond_the_limit_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain_http, "LARGEST_ANSWER", 5_000)
    with serve(A1111) as webui:
        async with WebUIBackend(webui.url) as backend:
            with pytest.raises(BackendProtocolError, match="larger than 5,000 bytes"):
                await draw(backend)


async def test_a_backend_that_is_closed_says_so() -> None:
    with serve(A1111) as webui:
        async with WebUIBackend(webui.url) as backend:
            request = stage_request(await backend.capabilities())
        with pytest.raises(BackendUnavailableError, match="not open"):
            await backend.run_stage(request, Reports())


async def test_a_proxy_that_cannot_be_used_is_an_error_of_the_input(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ALL_PROXY", "nonsense://here")
    monkeypatch.setenv("NO_PROXY", "")
    with pytest.raises(ConfigError, match="cannot talk to"):
        async with WebUIBackend("http://somewhere:1"):
            raise AssertionError


async def test_idle_connections_are_left_before_the_server_leaves_them() -> None:
    async with ServerClient("http://127.0.0.1:1"):
        assert server_client._KEPT_ALIVE < 5  # sd-server's


async def test_what_upscales_nothing_is_not_offered() -> None:
    with serve(A1111) as webui:
        async with WebUIBackend(webui.url) as backend:
            assert "None" not in (await backend.capabilities()).upscalers


async def test_sd_server_takes_no_other_model_than_its_own() -> None:
    with serve(SDCPP) as webui:
        async with WebUIBackend(webui.url) as backend:
            capabilities = await backend.capabilities()
            with pytest.raises(ConfigError, match=r"did you mean randsd15-tiny-a\?"):
                stage_request(capabilities, model="randsd15-tiny-b")
            assert (await draw(backend, enable_hr=True, hr_scale=2)).width == 128


async def test_a_vae_is_checked_though_the_server_has_none() -> None:
    with serve(A1111) as webui:
        async with WebUIBackend(webui.url) as backend:
            capabilities = await backend.capabilities()
    with pytest.raises(ConfigError, match="vae: given 'nope', did you mean None"):
        stage_request(capabilities, vae="nope")


class Busy(WebUI):
    """Counts the generations that are in flight at once, queued ones included."""

    most = 0

    async def _generate(self, body: Any, kind: str, owner: str) -> Any:
        self.now = getattr(self, "now", 0) + 1
        Busy.most = max(Busy.most, self.now)
        try:
            return await super()._generate(body, kind, owner)
        finally:
            self.now -= 1


async def test_the_server_never_sees_two_generations_of_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tests.webui.server.WebUI", Busy)
    Busy.most = 0
    with serve(SDCPP, step_seconds=0.02) as webui:
        async with WebUIBackend(webui.url) as backend:
            capabilities = await backend.capabilities()
            async with anyio.create_task_group() as tasks:
                for _ in range(3):
                    tasks.start_soon(backend.run_stage, stage_request(capabilities), Reports())
            with anyio.move_on_after(0.1):  # what is cancelled goes on there, for it has no stop
                await backend.run_stage(stage_request(capabilities, steps=30), Reports())
            await draw(backend)
    assert Busy.most == 1


async def test_another_clients_job_that_began_between_two_of_our_pictures_is_left_alone() -> None:
    with serve(A1111, step_seconds=0.01) as webui:
        async with WebUIBackend(webui.url) as backend:
            await draw(backend)
            request = stage_request(await backend.capabilities(), steps=50)
            other = OtherClient(webui)
            other.start(steps=120)
            await until(lambda: webui.running)
            with anyio.move_on_after(0.4):
                await backend.run_stage(request, Reports())
            await backend.interrupt(request.request_id)
            await backend.drained()
        other.join()
    theirs = next(job for job in webui.jobs if job.owner == "somebody else")
    assert theirs.interrupts == []


async def test_a_hung_upscale_is_stopped_where_jobs_have_ids_as_well() -> None:
    stages: dict[str, Mapping[str, object]] = {"upscale": {"upscaler_1": "Lanczos"}}
    with serve(A1111_UI) as webui:
        async with open_studio(webui.url, stall_timeout=0.6) as studio:
            webui.hang_at_step = 99
            result = await studio.run("run-1", 1, **stages)
        assert webui.jobs[-1].interrupts
    assert result.stage_results[-1].receipt is not None
    assert result.stage_results[-1].receipt.confirmed


async def test_the_leak_is_closed_again_on_a_server_that_came_back() -> None:
    with serve(A1111) as webui:
        async with WebUIBackend(webui.url) as backend:
            await draw(backend)
            await draw(backend)
        posts = [
            path
            for method, path, _ in webui.requests
            if (method, path[-8:]) == ("POST", "/options")
        ]
        assert len(posts) == 2  # `draw` asks anew each time, as after a return


async def test_the_leak_is_not_closed_with_values_of_somebody_elses_request() -> None:
    with serve(A1111, step_seconds=0.01) as webui:
        other = OtherClient(webui)
        async with WebUIBackend(webui.url) as backend:
            request = stage_request(await backend.capabilities())
            other.start(steps=60, override_settings={"CLIP_stop_at_last_layers": 5})
            await until(lambda: webui.running)
            await backend.run_stage(request, Reports())
        other.join()
        written = [
            body for method, path, body in webui.requests
            if method == "POST" and path.endswith("/options")
        ]  # fmt: skip
    assert written == []


async def test_after_a_hung_job_the_next_one_is_given_up_too_and_not_for_ever() -> None:
    with serve(SDCPP, step_seconds=0.05) as webui:
        async with WebUIBackend(webui.url, load_timeout=0.3) as backend:
            request = stage_request(await backend.capabilities(), steps=60)
            with anyio.move_on_after(0.2):
                await backend.run_stage(request, Reports())
            assert backend.pending == 1
            with anyio.fail_after(30):
                await draw(backend)


async def test_silence_is_a_sign_of_life_only_for_so_long() -> None:
    class Quiet:
        arrived, blind, holder = 0, False, "nobody"

    signs = SignsOfLife(0.05, None)
    assert signs.alive(Quiet(), None)  # type: ignore[arg-type]
    await anyio.sleep(0.1)
    assert not signs.alive(Quiet(), None)  # type: ignore[arg-type]


async def test_a_broken_preview_fails_nothing() -> None:
    class Odd(WebUI):
        async def _progress(self, query: str, _: str) -> Any:
            status, answer = await super()._progress(query, _)
            assert isinstance(answer, dict)
            return status, {**answer, "current_image": "not base64!"}

    import tests.webui.server as module

    original, module.WebUI = module.WebUI, Odd  # type: ignore[misc]
    try:
        with serve(A1111, step_seconds=0.02) as webui:
            async with WebUIBackend(webui.url) as backend:
                request = stage_request(await backend.capabilities(), steps=30)
                request = type(request)(
                    request_id="r", stage="txt2img", settings=request.settings, previews=True
                )
                assert await backend.run_stage(request, Reports())
    finally:
        module.WebUI = original  # type: ignore[misc]


async def test_a_watcher_that_fails_leaves_no_job_running() -> None:
    def fail(_: float) -> None:
        raise ValueError("who watches has failed")

    with serve(A1111, step_seconds=0.01) as webui:
        async with WebUIBackend(webui.url) as backend:
            request = stage_request(await backend.capabilities(), steps=5_000)
            with pytest.raises(ValueError, match="who watches"):
                await backend.run_stage(request, Reports(on_report=fail))
            with anyio.fail_after(30):
                await backend.drained()
        assert webui.jobs[0].interrupts


def test_the_test_server_answers_a_second_client() -> None:
    with serve(A1111) as webui:
        assert httpx2.post(f"{webui.url}/sdapi/v1/txt2img", json=SMALL).status_code == 200
