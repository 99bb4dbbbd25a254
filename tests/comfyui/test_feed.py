"""What is heard on the socket: steps and previews, and nothing that a look would not tell."""

from __future__ import annotations

import anyio
import attrs
import pytest

from stablenew.backends.base import Picture
from stablenew.backends.comfyui import feed as feed_module
from stablenew.backends.comfyui import job as job_module
from stablenew.backends.comfyui.backend import ComfyUIBackend
from stablenew.backends.comfyui.hearing import Hearing
from stablenew.pipeline.results import Outcome
from tests.comfyui.driving import ask_for_others, open_studio
from tests.comfyui.server import V0_3_64, V0_33, ComfyUI, Profile, serve
from tests.support import until
from tests.webui.driving import Reports, stage_request
from tests.webui.pictures import png

FOREVER = 3_600.0
both = pytest.mark.parametrize("profile", [V0_33, V0_3_64], ids=lambda each: each.version)


async def told(
    comfyui: ComfyUI, *, previews: bool = False, **settings: object
) -> tuple[Picture, Reports]:
    async with ComfyUIBackend(comfyui.url) as backend:
        reports = Reports()
        request = stage_request(await backend.capabilities(), **settings)  # type: ignore[arg-type]
        request = attrs.evolve(request, previews=previews)
        (picture,) = await backend.run_stage(request, reports)
        return picture, reports


@both
async def test_steps_are_told_and_never_go_back(profile: Profile) -> None:
    with serve(profile, step_seconds=0.02) as comfyui:
        _, reports = await told(comfyui, steps=30, enable_hr=True, hr_scale=1.0)
    assert reports.fractions == sorted(reports.fractions)
    assert len({round(each, 3) for each in reports.fractions}) > 8
    assert 0.5 < reports.fractions[-1] <= 0.99
    assert reports.previews == []
    assert any(reports.seconds_left)


async def test_previews_are_shown_to_whom_asks_for_them() -> None:
    with serve(step_seconds=0.02) as comfyui:
        _, reports = await told(comfyui, previews=True, steps=10)
        assert comfyui.entries[0].extra["preview_method"] == "auto"
    assert reports.previews
    assert set(reports.previews) == {b"\xff\xd8preview"}


async def test_the_flags_go_first_and_the_prompt_names_the_socket() -> None:
    with serve(step_seconds=0.005) as comfyui:
        await told(comfyui)
        (socket,) = comfyui.sockets.ever
        flags = {"type": "feature_flags", "data": {"supports_preview_metadata": True}}
        assert socket.received == [flags]
        assert comfyui.entries[0].extra["client_id"] == socket.sid
        assert all("origin" not in each for each in comfyui.headers)


@both
async def test_the_end_is_looked_at_when_it_is_heard(
    profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_LOOK", "_LOOK_WHILE_HEARD", "_FIRST_LOOK"):
        monkeypatch.setattr(job_module, name, FOREVER)
    with serve(profile, step_seconds=0.005, ending_seconds=0.1) as comfyui:
        picture, _ = await told(comfyui)
    assert picture.width == 64


@pytest.mark.parametrize("how", ["refused", "deaf"])
async def test_a_picture_is_made_without_a_socket_and_with_a_deaf_one(how: str) -> None:
    with serve(step_seconds=0.01) as comfyui:
        setattr(comfyui.sockets, how, True)
        picture, reports = await told(comfyui, steps=30)
    assert picture.width == 64
    assert set(reports.fractions) == {0.0}


async def test_a_socket_that_is_dropped_is_opened_again_under_another_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(feed_module, "_PAUSE", 0.01)
    with serve(step_seconds=0.01) as comfyui:
        async with open_studio(comfyui.url) as studio:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(lambda: studio.run("run-1", txt2img={"steps": 60}))
                await until(lambda: comfyui.running)
                _drop(comfyui)
                await until(lambda: len(comfyui.sockets.ever) == 2)
            assert studio.runner.last_result is not None
            assert studio.runner.last_result.success
            assert (await studio.run("run-2", txt2img={"seed": 9})).success
            first, second = comfyui.sockets.ever
    assert first.sid != second.sid
    assert [each.extra["client_id"] for each in comfyui.entries] == [first.sid, second.sid]


def _drop(comfyui: ComfyUI) -> None:
    assert comfyui._worker is not None
    comfyui._worker.get_loop().call_soon_threadsafe(comfyui.sockets.drop)


async def test_what_others_do_is_not_taken_for_ours() -> None:
    """Steps of a prompt that names no client are told to everybody."""
    with serve(step_seconds=0.01) as comfyui:
        async with ComfyUIBackend(comfyui.url) as backend:
            reports = Reports()
            request = stage_request(await backend.capabilities(), steps=3)
            async with anyio.create_task_group() as tasks:
                await backend._listener()
                await until(lambda: comfyui.sockets.open)
                ask_for_others(comfyui, steps=60, client_id=None, sampler="sampler")
                await until(lambda: comfyui.running)
                tasks.start_soon(backend.run_stage, request, reports)
                await until(lambda: reports.fractions)
                assert comfyui.running is not None
                assert comfyui.running.extra["client_id"] is None
                await anyio.sleep(0.2)
                assert set(reports.fractions) == {0.0}


async def test_a_sampler_that_stops_to_move_is_given_up_and_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(job_module, "_LOOK_WHILE_HEARD", 0.05)
    with serve(step_seconds=0.005, hang_at_step=5) as comfyui:
        async with open_studio(comfyui.url, stall_timeout=0.6) as studio:
            result = await studio.run(txt2img={"steps": 20})
            assert comfyui.running is None
    assert result.outcome is Outcome.TIMED_OUT
    assert result.stage_results[0].receipt is not None
    assert result.stage_results[0].receipt.confirmed


async def test_a_checkpoint_that_takes_long_to_load_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(job_module, "_LOOK_WHILE_HEARD", 0.05)
    with serve(load_seconds=1.2) as comfyui:
        async with open_studio(comfyui.url, stall_timeout=0.6) as studio:
            assert (await studio.run()).success


GRAPH = {
    "model": {"class_type": "CheckpointLoaderSimple", "inputs": {}},
    "sampler": {"class_type": "KSampler", "inputs": {}},
    "decode": {"class_type": "VAEDecode", "inputs": {}},
    "picture": {"class_type": "PreviewImage", "inputs": {}},
}


def heard(*messages: tuple[str, dict[str, object]]) -> list[float]:
    hearing = Hearing(GRAPH, {"sampler": 4}, clock=lambda: 0.0)
    fractions = []
    for kind, data in messages:
        hearing.hear(kind, data)
        fractions.append(hearing.fraction)
    return fractions


def step(value: float, most: float = 4, node: str = "sampler") -> tuple[str, dict[str, object]]:
    return "progress", {"node": node, "value": value, "max": most}


def cached(*nodes: str) -> tuple[str, dict[str, object]]:
    return "execution_cached", {"nodes": list(nodes)}


def test_a_step_counts_as_far_as_it_says_and_not_as_a_message() -> None:
    assert heard(step(4), step(4), step(4)) == [pytest.approx(4 / 4.75)] * 3
    assert heard(step(2), step(4))[0] == pytest.approx(2 / 4.75)


def test_a_node_that_begins_anew_does_not_lead_back() -> None:
    fractions = heard(step(4), step(1), step(2))
    assert fractions == sorted(fractions)


def test_a_node_from_the_cache_is_done_and_one_that_was_left_too() -> None:
    assert heard(cached("model", "sampler")) == [pytest.approx(4.25 / 4.75)]
    after = heard(("executing", {"node": "sampler"}), ("executing", {"node": "decode"}))
    assert after == [0.0, pytest.approx(4 / 4.75)]


def test_it_is_never_done_before_the_picture_is_here() -> None:
    assert heard(cached(*GRAPH)) == [0.99]


@pytest.mark.parametrize(
    "message",
    [
        step(1, 0),
        step(1, node="nobody"),
        ("progress", {"node": "sampler", "value": "x", "max": None}),
        ("executing", {}),
        ("execution_cached", {"nodes": 5}),
        ("crystools.monitor", {"cpu": 5}),
    ],
)
def test_what_makes_no_sense_moves_nothing(message: tuple[str, dict[str, object]]) -> None:
    assert heard(message) == [0.0]


async def test_messages_that_cannot_be_read_end_nothing() -> None:
    with serve(step_seconds=0.01) as comfyui:
        async with open_studio(comfyui.url) as studio:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(lambda: studio.run("run-1", txt2img={"steps": 40}))
                await until(lambda: comfyui.running)
                (socket,) = comfyui.sockets.ever
                assert comfyui._worker is not None
                for each in ("{", "[1]", "5", b"\0", b"\0\0\0\4\xff\xff\xff\xff{", b"\0\0\0\1abcd"):
                    comfyui._worker.get_loop().call_soon_threadsafe(socket.outbox.put_nowait, each)
            assert len(comfyui.sockets.ever) == 1
            result = studio.runner.last_result
    assert result is not None
    assert result.success


async def test_a_detector_that_runs_is_heard_of() -> None:
    with serve(step_seconds=0.02, faces=3) as comfyui:
        async with ComfyUIBackend(comfyui.url) as backend:
            reports = Reports()
            request = stage_request(
                await backend.capabilities(),
                "adetailer",
                png(64, 64, 3, {}),
                ad_model="face_yolov8n",
            )
            await backend.run_stage(request, reports)
    assert reports.fractions == sorted(reports.fractions)
    assert reports.fractions[-1] > 0
