"""SD.Next's jobs within jobs: whose request runs, what stops it, and what is asked to know that."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import anyio
import attrs
import httpx2
import pytest

from stablenew.backends import server_jobs
from stablenew.backends.webui import idle_options
from stablenew.backends.webui.backend import WebUIBackend
from stablenew.backends.webui.holder import Holder
from stablenew.backends.webui.sdnext.outer_job import Moment, _holder_of
from stablenew.errors import BackendProtocolError
from tests.support import until
from tests.webui.driving import OtherClient, Reports, Studio, draw, open_studio, stage_request
from tests.webui.profiles import SDNEXT
from tests.webui.sdnext import Own
from tests.webui.server import WebUI, serve
from tests.webui.test_cancel import receipt_of
from tests.webui.test_transcripts import TRANSCRIPTS

TWO: dict[str, Any] = {"models": ("tiny-a", "tiny-b"), "model": "tiny-a"}


def recorded_history(name: str) -> list[dict[str, Any]]:
    """Return what began and ended while something was recorded."""
    steps = json.loads((TRANSCRIPTS / f"{name}.json").read_text())
    (step,) = [each for each in steps if "GET /sdapi/v1/history" in str(each.get("what"))]
    return [{**each, "timestamp": each["t"]} for each in step["body"]]


def holder(
    history: Sequence[Mapping[str, Any]], now: float, sent: float, took: float = 0.004
) -> Holder:
    """Return whose request runs at a moment, for whom a request was sent before it."""
    past = [each for each in history if each["timestamp"] <= now]
    open_jobs = [each for each in past if each["op"] == "begin"]
    ended = {each["id"] for each in past if each["op"] == "end"}
    inner = next(each for each in reversed(open_jobs) if each["id"] not in ended)
    status = {"id": inner["id"], "elapsed": round(now - inner["timestamp"], 2)}
    moment = Moment(asked=now - sent, told=now - sent + took)
    return _holder_of(status, moment, past)


@pytest.mark.parametrize("now", [0.03, 1.2, 2.68, 3.2, 3.95, 4.5])
def test_a_request_is_ours_through_all_its_jobs(now: float) -> None:
    history = recorded_history("sdnext_load_then_sample")
    assert holder(history, now, sent=0.0) is Holder.OURS
    assert holder(history, now, sent=-5.0) is Holder.UNCLEAR  # it began too late to be ours


def test_of_two_requests_the_one_that_ran_already_is_somebody_elses() -> None:
    history = recorded_history("sdnext_queue_two_requests")
    first, second = 0.05, 0.152
    assert holder(history, 1.0, sent=first) is Holder.OURS
    assert holder(history, 1.0, sent=second) is Holder.OTHERS
    assert holder(history, 2.0, sent=second) is Holder.UNCLEAR  # or that of a third client
    assert holder(history, 2.0, sent=first) is Holder.UNCLEAR  # two began since


def test_an_answer_that_took_long_does_not_say_whose_request_runs() -> None:
    history = recorded_history("sdnext_queue_two_requests")
    assert holder(history, 1.0, sent=0.152, took=0.6) is Holder.UNCLEAR  # the other one runs
    assert holder(history, 1.0, sent=0.05, took=0.6) is Holder.UNCLEAR
    assert holder(history, 1.0, sent=0.05, took=0.4) is Holder.OURS


def test_a_request_right_after_one_of_ours_is_ours() -> None:
    history = recorded_history("sdnext_queue_two_requests")
    assert holder(history, 2.0, sent=1.6255) is Holder.OURS


def test_the_server_for_tests_goes_through_the_jobs_that_were_recorded() -> None:
    """One within the other, and the model's own loaded again at the end."""
    request = {"prompt": "a cat", "steps": 2, "width": 64, "height": 64}
    override = {"override_settings": {"sd_model_checkpoint": "Diffusers/local/tiny-b"}}
    with serve(SDNEXT, **TWO) as webui:
        httpx2.post(f"{webui.url}/sdapi/v1/txt2img", json={**request, **override}, timeout=20)
    jobs = [(each["job"], each["op"]) for each in webui.sdnext.history]
    recorded = recorded_history("sdnext_load_then_sample")
    assert jobs == [(each["job"], each["op"]) for each in recorded]


async def stopped(studio: Studio, webui: WebUI, during: str, **settings: object) -> None:
    """Start a run and cancel it while an inner job of it is under way."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: studio.run("run-1", 1, txt2img={"steps": 5_000, **settings}))
        await until(lambda: webui.state.job == during)
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("during", ["Load model", "TE Encode", "Inference"])
async def test_a_job_is_stopped_whatever_it_is_at(during: str) -> None:
    """An interrupt is lost while a model loads, and before sampling: it is sent again."""
    how: dict[str, Any] = {"step_seconds": 0.01, "load_seconds": 0.4, "begin_delay": 0.2}
    with serve(SDNEXT, **TWO, **how) as webui:
        async with open_studio(webui.url) as studio:
            await stopped(studio, webui, during, model="tiny-b")
            assert webui.running is None
            receipt = receipt_of(studio)
            assert (await studio.run("run-2", txt2img={"model": "tiny-b"})).success
    assert receipt.confirmed
    assert receipt.call.startswith("POST /sdapi/v1/interrupt × ")
    assert webui.sdnext.interrupted_at
    assert "Load model" not in webui.sdnext.interrupted_at


async def test_a_job_whose_model_takes_long_to_load_is_said_to_load_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server_jobs, "STOPPED_WITHIN", 0.2)
    with serve(SDNEXT, **TWO, step_seconds=0.01, load_seconds=0.8) as webui:
        async with open_studio(webui.url) as studio:
            await stopped(studio, webui, "Load model", model="tiny-b")
            receipt = receipt_of(studio)
            (left,) = studio.backend.left_behind
            await studio.backend.drained()
            assert webui.running is None
    assert (receipt.confirmed, receipt.call) == (False, "")
    assert "it loads its model, which nothing stops; it is stopped when" in receipt.detail
    assert left.endswith("it loads its model, and will run to its 5000 steps")
    assert "Load model" not in webui.sdnext.interrupted_at != []


async def test_both_passes_of_hires_fix_are_stopped() -> None:
    with serve(SDNEXT, step_seconds=0.01) as webui:
        async with open_studio(webui.url) as studio:
            await stopped(studio, webui, "Inference", enable_hr=True)
            assert webui.running is None
            assert receipt_of(studio).confirmed


async def test_a_job_is_stopped_after_one_that_failed_and_is_shown_ever_after() -> None:
    failing = {"prompt": "a", "steps": 1, "enable_hr": True, "hr_force": True, "width": 64}
    with serve(SDNEXT, step_seconds=0.01) as webui:
        async with open_studio(webui.url) as studio:
            url = f"{webui.url}/sdapi/v1/txt2img"
            async with httpx2.AsyncClient(timeout=60) as client:
                answer = await client.post(url, json={**failing, "height": 64})
            assert answer.status_code == 500
            assert webui.state.job
            await stopped(studio, webui, "Inference")
            assert webui.running is None
            assert receipt_of(studio).confirmed


async def test_a_job_that_failed_and_is_shown_ever_after_keeps_nobody_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(idle_options, "_STANDS_STILL", 0.4)
    with serve(SDNEXT) as webui:
        webui.sdnext.begin(webui, "Resize")
        async with WebUIBackend(webui.url) as backend:
            with anyio.fail_after(40):
                assert (await draw(backend)).width == 64


async def test_a_job_that_moves_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle_options, "_STANDS_STILL", 1.0)
    with serve(SDNEXT, step_seconds=0.02) as webui:
        other = OtherClient(webui)
        other.start(steps=100)
        await until(lambda: webui.state.job)
        async with WebUIBackend(webui.url) as backend:
            await backend.capabilities()
            assert webui.running is None
        other.join()


async def test_another_clients_request_that_shows_nothing_just_now_is_left_alone() -> None:
    """Between two inner jobs a server looks idle; ours waits behind that request all the same."""
    own = Own(settle_seconds=0.5)
    with serve(SDNEXT, step_seconds=0.01, sdnext=own) as webui:
        async with open_studio(webui.url) as studio:
            other = OtherClient(webui)
            other.start(steps=1)
            await until(lambda: webui.running and not webui.state.job and own.history)
            other.start(steps=60)
            await until(lambda: len(webui.paths("txt2img")) == 2)
            with anyio.move_on_after(0.8):
                await studio.run(txt2img={"steps": 3})
            await studio.backend.drained()
        other.join()
    assert [answer.status_code for answer in other.answers] == [200, 200]
    theirs = [job for job in webui.jobs if job.owner != "stablenew"]
    assert [job.interrupts for job in theirs] == [[], []]


async def test_a_job_that_somebody_else_stopped_is_no_picture() -> None:
    with serve(SDNEXT, step_seconds=0.01) as webui:
        async with WebUIBackend(webui.url) as backend:
            capabilities = await backend.capabilities()
            for side in (64, 512):  # the black picture that comes has 512 pixels a side
                request = stage_request(capabilities, steps=500, width=side, height=side)

                async def interrupt() -> None:
                    await until(lambda: webui.state.sampling_step > 3)
                    async with httpx2.AsyncClient(timeout=60) as client:
                        await client.post(f"{webui.url}/sdapi/v1/interrupt")

                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(interrupt)
                    with pytest.raises(BackendProtocolError, match="somebody else interrupted"):
                        await backend.run_stage(request, Reports())


async def test_watching_a_job_costs_nothing_of_the_limit() -> None:
    with serve(SDNEXT, step_seconds=0.02) as webui:
        async with WebUIBackend(webui.url) as backend:
            request = stage_request(await backend.capabilities(), steps=60)
            webui.requests.clear()
            reports = Reports()
            await backend.run_stage(request, reports)
    asked = Counter(path for _, path, _ in webui.requests)
    assert asked.pop("/internal/progress") >= 4
    assert asked == {"/sdapi/v1/txt2img": 1, "/sdapi/v1/progress": 1}
    assert max(reports.fractions) > 0.5


async def test_previews_are_asked_for_once_a_second() -> None:
    with serve(SDNEXT, step_seconds=0.02) as webui:
        async with WebUIBackend(webui.url) as backend:
            capabilities = await backend.capabilities()
            request = stage_request(capabilities, steps=80)
            webui.requests.clear()
            reports = Reports()
            await backend.run_stage(attrs.evolve(request, previews=True), reports)
    assert reports.previews
    assert len(webui.paths("/v1/progress")) <= 4


async def test_a_picture_on_an_idle_server_is_made_without_a_look_at_the_history() -> None:
    with serve(SDNEXT) as webui:
        async with WebUIBackend(webui.url) as backend:
            await draw(backend)
        assert webui.paths("/history") == []
