"""SD.Next between pictures: its limit of requests, and a model that comes late, or stays."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from stablenew.backends import server_client
from stablenew.backends.webui.backend import WebUIBackend
from stablenew.backends.webui.sdnext import limit, session
from stablenew.errors import BackendUnavailableError
from tests.webui.driving import Reports, draw, open_studio, stage_request
from tests.webui.profiles import SDNEXT
from tests.webui.sdnext import Limit, Own, title
from tests.webui.server import WebUI, serve

BOTH_LOOPS = True
TXT2IMG = "/sdapi/v1/txt2img"
TWO: dict[str, Any] = {"models": ("tiny-a", "tiny-b"), "model": "tiny-a"}


def limited(webui: WebUI, cost: int) -> None:
    """Give a server a lower limit, as its settings show it."""
    webui.sdnext.limit.cost = webui.options["server_rate_limit"] = cost
    webui.saved_options.add("server_rate_limit")


async def test_pictures_are_paced_to_stay_below_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limit, "MINUTE", 0.5)
    with serve(SDNEXT, sdnext=Own(limit=Limit(window=0.5))) as webui:
        limited(webui, 50)
        async with WebUIBackend(webui.url) as backend:
            request = stage_request(await backend.capabilities())
            for _ in range(14):
                await backend.run_stage(request, Reports())
    assert webui.sdnext.limit.refused == []
    assert len(webui.jobs) == 14


async def test_a_server_without_a_limit_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limit, "MINUTE", 1e9)
    with serve(SDNEXT) as webui:
        limited(webui, 0)
        webui.sdnext.limit.cost = 10**9
        async with WebUIBackend(webui.url) as backend:
            request = stage_request(await backend.capabilities())
            for _ in range(8):
                await backend.run_stage(request, Reports())
    assert len(webui.jobs) == 8


async def test_a_picture_that_the_limit_cost_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limit, "PAUSES", (0.05, 0.05))
    monkeypatch.setattr(limit, "SIGN_OF_LIFE", 0.02)
    monkeypatch.setattr(limit, "MINUTE", 0.1)
    with serve(SDNEXT, sdnext=Own(limit=Limit(once=[TXT2IMG, TXT2IMG]))) as webui:
        async with WebUIBackend(webui.url) as backend:
            request, reports = stage_request(await backend.capabilities()), Reports()
            (picture,) = await backend.run_stage(request, reports)
    assert picture.width == 64
    assert webui.sdnext.limit.refused == [TXT2IMG, TXT2IMG]
    assert len(reports.fractions) >= 2  # a wait is no stall


async def test_a_limit_costs_a_run_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limit, "PAUSES", (0.05,))
    monkeypatch.setattr(limit, "MINUTE", 0.1)
    with serve(SDNEXT, sdnext=Own(limit=Limit(once=[TXT2IMG]))) as webui:
        async with open_studio(webui.url) as studio:
            result = await studio.run(images=2)
    assert webui.sdnext.limit.refused == [TXT2IMG]
    assert result.success
    assert len(result.outputs) == 2


async def test_a_limit_that_never_passes_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limit, "PAUSES", (0.0,))
    monkeypatch.setattr(limit, "MINUTE", 0.01)
    with serve(SDNEXT, sdnext=Own(limit=Limit(once=[TXT2IMG] * 20))) as webui:
        async with WebUIBackend(webui.url) as backend:
            request = stage_request(await backend.capabilities())
            with pytest.raises(BackendUnavailableError, match=r"limit of requests") as caught:
                await backend.run_stage(request, Reports())
    assert caught.value.retryable


async def test_a_list_that_the_limit_kept_back_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server_client, "_LIMIT_PAUSE", 0.01)
    with serve(SDNEXT, sdnext=Own(limit=Limit(once=["/sdapi/v1/samplers"]))) as webui:
        async with WebUIBackend(webui.url) as backend:
            assert "Heun" in (await backend.capabilities()).samplers
    assert webui.sdnext.limit.refused == ["/sdapi/v1/samplers"]


async def test_an_answer_without_a_picture_before_a_model_is_there_is_not_ready(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(session, "_LOOK", 0.01)
    with serve(SDNEXT, sdnext=Own(loaded=False)) as webui:

        def load(_: float) -> None:
            if webui.paths("/checkpoint"):
                webui.sdnext.loaded = True

        async with WebUIBackend(webui.url) as backend:
            request = stage_request(await backend.capabilities())
            (picture,) = await backend.run_stage(request, Reports(on_report=load))
    assert picture.width == 64
    assert len(webui.paths("txt2img")) == 2


async def test_a_model_that_is_asked_for_is_loaded_where_there_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(session, "_LOOK", 0.01)
    with serve(SDNEXT, sdnext=Own(loaded=False), load_seconds=0.05, **TWO) as webui:
        async with WebUIBackend(webui.url) as backend:
            assert (await draw(backend, model="tiny-b")).settings["model"] == "tiny-b"
    assert webui.sdnext.loads == ["tiny-b"]
    assert [body for body in webui.paths("/options") if body] == [
        {"sd_model_checkpoint": title("tiny-b")}
    ]


async def test_a_model_that_nobody_loads_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_LOOK", 0.01)
    with serve(SDNEXT, sdnext=Own(loaded=False)) as webui:
        async with WebUIBackend(webui.url, load_timeout=0.1) as backend:
            with pytest.raises(BackendUnavailableError, match=r"no model loaded; name one"):
                await draw(backend)


async def test_a_model_is_loaded_once_and_the_servers_own_is_put_back() -> None:
    with serve(SDNEXT, **TWO) as webui:
        async with WebUIBackend(webui.url) as backend:
            for seed in range(3):
                await draw(backend, model="tiny-b", seed=seed)
                assert (await backend.capabilities()).stages["txt2img"]["model"] == "tiny-a"
            assert webui.sdnext.loads == ["tiny-b"]
        assert webui.sdnext.loads == ["tiny-b", "tiny-a"]
        assert webui.options["sd_model_checkpoint"] == title("tiny-a")


async def test_the_servers_own_model_is_not_loaded_again() -> None:
    with serve(SDNEXT, **TWO) as webui:
        async with WebUIBackend(webui.url) as backend:
            await draw(backend, model="tiny-a")
        assert webui.sdnext.loads == []
        assert not [body for body in webui.paths("/options") if body]


async def test_the_servers_own_model_is_put_back_when_nothing_comes_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(session, "PUT_BACK_AFTER", 0.05)
    with serve(SDNEXT, **TWO) as webui:
        async with WebUIBackend(webui.url) as backend:
            await draw(backend, model="tiny-b")
            while webui.sdnext.loads != ["tiny-b", "tiny-a"]:
                await anyio.sleep(0.005)
            await draw(backend, model="tiny-b")
            while len(webui.sdnext.loads) < 4:
                await anyio.sleep(0.005)
        assert webui.sdnext.loads == ["tiny-b", "tiny-a"] * 2


async def test_a_model_that_somebody_else_chose_meanwhile_stays() -> None:
    models: dict[str, Any] = {"models": ("tiny-a", "tiny-b", "tiny-c"), "model": "tiny-a"}
    with serve(SDNEXT, **models) as webui:
        async with WebUIBackend(webui.url) as backend:
            await draw(backend, model="tiny-b")
            webui.options["sd_model_checkpoint"] = title("tiny-c")
        assert webui.options["sd_model_checkpoint"] == title("tiny-c")


async def test_a_model_that_the_server_does_not_list_is_never_set() -> None:
    with serve(SDNEXT, models=("tiny-b",), model="tiny-a") as webui:
        async with WebUIBackend(webui.url) as backend:
            await draw(backend, model="tiny-b")
        assert webui.sdnext.loaded
        assert not [body for body in webui.paths("/options") if body]
