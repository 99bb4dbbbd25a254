"""Progress as the server tells it, made monotone; and without it where there is none."""

from __future__ import annotations

import io
from collections.abc import Mapping
from itertools import pairwise

import anyio
import attrs
import pytest
from PIL import Image

from stablenew.backends.webui.backend import WebUIBackend
from stablenew.backends.webui.progress import read_snapshot, read_task
from stablenew.events.event_log import encode_event
from stablenew.events.mailbox import Overflow
from stablenew.pipeline.stage_events import PreviewMade, StageProgress
from tests.webui.driving import Reports, open_studio, stage_request
from tests.webui.pictures import png
from tests.webui.profiles import A1111, A1111_UI, FORGE, SDCPP, SDNEXT, Profile
from tests.webui.server import serve
from tests.webui.test_transcripts import TRANSCRIPTS

IDLE = {"progress": 0.0, "eta_relative": 0.0, "state": {"job": "", "job_count": 0}}


@pytest.mark.parametrize(
    "profile", [A1111, A1111_UI, FORGE, SDNEXT], ids=lambda profile: profile.name
)
async def test_progress_is_told_with_the_seconds_left_and_not_too_often(profile: Profile) -> None:
    with serve(profile, step_seconds=0.02) as webui:
        async with WebUIBackend(webui.url) as backend:
            request = stage_request(await backend.capabilities(), steps=80)
            reports = Reports()
            await backend.run_stage(request, reports)
        asked = [query for query in webui.paths("/progress") if isinstance(query, str)]
    assert len(reports.fractions) >= 4
    assert 0.1 < max(reports.fractions) <= 1.0
    assert any(left is not None and left >= 0 for left in reports.seconds_left)
    assert all(later - earlier >= 0.1 for earlier, later in pairwise(reports.times))
    assert all("skip_current_image=true" in query for query in asked)


async def test_progress_never_goes_back_though_adetailer_makes_the_servers_do_so() -> None:
    stages: dict[str, Mapping[str, object]] = {
        "adetailer": {"ad_model": "face_yolov8n.pt", "ad_steps": 40}
    }
    with serve(A1111, step_seconds=0.02) as webui:
        async with open_studio(webui.url) as studio:
            assert (await studio.run("run-1", 2, **stages)).success
            told = [e for e in studio.listener.of(StageProgress) if e.stage == "adetailer"]
    fractions = [event.fraction for event in told]
    assert len(fractions) > 3
    assert fractions == sorted(fractions)
    assert max(fractions) <= 1.0


async def test_a_server_without_progress_is_given_its_time() -> None:
    with serve(SDCPP, step_seconds=0.1) as webui:
        async with open_studio(webui.url, stall_timeout=0.4) as studio:
            result = await studio.run(txt2img={"steps": 15})
    assert result.success


async def test_previews_are_asked_for_only_while_somebody_subscribes_to_them() -> None:
    seen: list[PreviewMade] = []

    async def see(event: PreviewMade) -> None:
        seen.append(event)

    with serve(A1111, step_seconds=0.02) as webui:
        async with open_studio(webui.url) as studio:
            await studio.run("run-1", txt2img={"steps": 40})
            assert studio.listener.of(PreviewMade) == []
            quiet = len(webui.requests)
            studio.bus.subscribe(PreviewMade, see, overflow=Overflow.WAIT)
            await studio.run("run-2", txt2img={"steps": 40})
            await studio.bus.drain()
        queries = [query for _, path, query in webui.requests if path.endswith("/progress")]
        before = [q for _, path, q in webui.requests[:quiet] if path.endswith("/progress")]
    assert all("skip_current_image=true" in query for query in before)
    assert any("skip_current_image=false" in query for query in queries)
    assert Image.open(io.BytesIO(seen[0].data)).size == (16, 16)
    assert b"data" not in encode_event(seen[0])


async def test_a_model_may_take_its_time_to_load() -> None:
    with serve(A1111, load_seconds=2.5, step_seconds=0.01) as webui:
        async with open_studio(webui.url, stall_timeout=2.0) as studio:
            result = await studio.run(txt2img={"model": "randsd15-tiny-b"})
    assert result.success


async def test_a_stage_without_progress_is_interrupted_and_timed_out() -> None:
    with serve(A1111, step_seconds=0.01, hang_at_step=3) as webui:
        async with open_studio(webui.url, stall_timeout=0.6) as studio:
            result = await studio.run(txt2img={"steps": 20})
            again = await studio.run("run-2", txt2img={"steps": 20})
        assert [job.interrupts != [] for job in webui.jobs] == [True, False]
    assert result.outcome == "timed_out"
    assert result.error is not None
    assert result.error.kind == "StageTimeoutError"
    (stage,) = result.stage_results
    assert stage.receipt is not None
    assert stage.receipt.confirmed
    assert again.success


async def test_an_upscale_that_hangs_is_interrupted() -> None:
    stages: dict[str, Mapping[str, object]] = {"upscale": {"upscaler_1": "Lanczos"}}
    with serve(A1111) as webui:
        async with open_studio(webui.url, stall_timeout=0.6) as studio:
            await studio.run("run-0")
            webui.hang_at_step = 99  # no sampling gets there; an upscale hangs at once
            with anyio.fail_after(40):
                result = await studio.run("run-1", 1, **stages)
    assert result.outcome == "timed_out"
    assert result.error is not None
    assert result.error.stage == "upscale"


async def test_a_model_that_never_loads_is_given_up() -> None:
    with serve(A1111, load_seconds=3) as webui:
        async with open_studio(webui.url, stall_timeout=0.3, load_timeout=0.5) as studio:
            result = await studio.run(txt2img={"model": "randsd15-tiny-b"})
    assert result.outcome == "timed_out"


def test_recorded_progress_is_understood() -> None:
    import json

    timeline = json.loads((TRANSCRIPTS / "a1111_live_progress_timeline.json").read_text())
    snapshots = [read_snapshot(each) for each in timeline]
    assert all(each is not None and each.busy for each in snapshots)
    assert len({each.timestamp for each in snapshots if each}) == 1
    leftover = json.loads((TRANSCRIPTS / "a1111_progress_after_failed_extras.json").read_text())
    snapshot = read_snapshot(leftover["response_json"])
    assert snapshot is not None
    assert snapshot.leftover
    assert snapshot.idle
    assert snapshot.seconds_left == 0.0
    for name in ("active", "queued", "done", "unknown", "failed"):
        told = json.loads((TRANSCRIPTS / f"a1111ui_internal_progress_{name}.json").read_text())
        assert read_task(told["response_json"]) is not None


@pytest.mark.parametrize(
    ("changes", "busy"),
    [({}, False), ({"job_count": -1}, True), ({"job": "scripts_txt2img", "job_count": 1}, True)],
)
def test_busy_and_idle(changes: dict[str, object], busy: bool) -> None:
    snapshot = read_snapshot({**IDLE, "state": {"job": "", "job_count": 0, **changes}})
    assert snapshot is not None
    assert snapshot.busy == busy


@pytest.mark.parametrize("odd", [None, [], "x", {"progress": 1}, {"state": 5}, {"detail": "no"}])
def test_something_else_is_no_progress(odd: object) -> None:
    assert read_snapshot(odd) is None
    assert read_task(odd) is None


@pytest.mark.parametrize("progress", [float("nan"), -1, 7, None, "0.5", True])
def test_a_fraction_is_between_nothing_and_all(progress: object) -> None:
    snapshot = read_snapshot({**IDLE, "progress": progress})
    assert snapshot is not None
    assert 0.0 <= snapshot.fraction <= 1.0
    assert attrs.evolve(snapshot, preview="x").preview == "x"


def test_the_servers_own_pictures_can_be_read() -> None:
    assert Image.open(io.BytesIO(png(8, 8, 1, {}))).size == (8, 8)
