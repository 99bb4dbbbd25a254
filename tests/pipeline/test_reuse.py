"""A picture that is there already is not made again."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs
import pytest

from stablenew.advice.observations import gather_observations
from stablenew.app import open_app
from stablenew.backends.base import Capabilities, Picture, ReportProgress, StageRequest
from stablenew.backends.fake import FAKE_CAPABILITIES, Behaviour, FakeBackend
from stablenew.config.settings import Settings
from stablenew.learning.feedback_manager import record_feedback
from stablenew.learning.learning_record_reader import read_records
from stablenew.learning.learning_result import LearningExecutionResult
from stablenew.pipeline.picture_index import INDEX_FILE, PictureIndex
from stablenew.pipeline.results import Outcome, PipelineRunResult
from stablenew.storage import files
from tests.support import config, leftovers

UPSCALES = {"target_variable": "upscale.upscaling_resize", "sweep_values": [2, 3, 4]}


async def run(
    runs: Path,
    plan: Mapping[str, object],
    backend: FakeBackend,
    *,
    reuse: bool = True,
    **stages: dict[str, object],
) -> LearningExecutionResult:
    settings = Settings(out=runs, learning_enabled=True, reuse=reuse)
    async with open_app(settings, backend=backend) as app:
        return await app.learning.run_learning_plan(plan, config(**stages))


def made(backend: FakeBackend) -> list[str]:
    return [request.stage for request in backend.calls]


def outcomes(result: LearningExecutionResult) -> list[list[str]]:
    runs = [step.run_result for step in result.step_results]
    return [[str(each.outcome) for each in run.stage_results] if run else [] for run in runs]


def run_of(result: LearningExecutionResult, step: int) -> PipelineRunResult:
    found = result.step_results[step].run_result
    assert found is not None
    return found


async def test_a_sweep_over_a_later_stage_runs_the_earlier_ones_once(runs: Path) -> None:
    backend = FakeBackend()
    result = await run(runs, UPSCALES, backend, upscale={})
    assert made(backend) == ["txt2img", "upscale", "upscale", "upscale"]
    assert outcomes(result) == [["succeeded", "succeeded"], *[["reused", "succeeded"]] * 2]
    assert [str(step.outcome) for step in result.step_results] == ["succeeded"] * 3
    first, second = run_of(result, 0).outputs[0], run_of(result, 1).outputs[0]
    assert second.reused_from == f"{result.plan_id}-00001/txt2img_1"
    assert (runs / second.path).read_bytes() == (runs / first.path).read_bytes()
    assert (runs / second.path).stat().st_ino == (runs / first.path).stat().st_ino
    records = list(read_records(runs / "learning_records.jsonl"))
    assert [output.get("reused_from") for output in records[1].pictures] == [
        second.reused_from,
        None,
    ]
    assert leftovers(runs) == []


async def test_the_same_plan_again_asks_the_backend_for_nothing(runs: Path) -> None:
    backend = FakeBackend()
    plan = {**UPSCALES, "images_per_step": 2}
    first = await run(runs, plan, backend, upscale={})
    backend.calls.clear()
    again = await run(runs, plan, backend, upscale={})
    assert backend.calls == []
    assert again.success
    assert outcomes(again) == [["reused", "reused"]] * 3
    pictures = [
        [(runs / o.path).read_bytes() for o in run_of(r, 2).outputs] for r in (first, again)
    ]
    assert pictures[0] == pictures[1]


async def test_every_stage_of_the_embedded_model_is_found_again(runs: Path) -> None:
    words = {"prompt": "a cat", "seed": 1, "steps": 2}
    told: list[list[str]] = []
    for _ in range(2):
        async with open_app(Settings(out=runs)) as app:
            result = await app.pipeline.run_pipeline(
                config(txt2img=words, img2img={"denoising_strength": 0.5}, upscale={})
            )
            told.append([str(stage.outcome) for stage in result.stage_results])
    assert told == [["succeeded"] * 3, ["reused"] * 3]


class Hashing(FakeBackend):
    """Tells a model's hash only with the pictures it made, as servers do that count it late."""

    async def run_stage(self, request: StageRequest, report: ReportProgress) -> Sequence[Picture]:
        pictures = await super().run_stage(request, report)
        if request.stage == "upscale":
            return pictures
        told = {"model_hash": "0123456789"}
        return [attrs.evolve(each, settings={**each.settings, **told}) for each in pictures]


async def test_a_model_hash_that_is_learned_on_the_way_is_known_from_then_on(runs: Path) -> None:
    backend = Hashing()
    result = await run(runs, UPSCALES, backend, upscale={})
    assert made(backend) == ["txt2img", "upscale", "upscale", "upscale"]
    assert outcomes(result)[1:] == [["reused", "succeeded"]] * 2
    backend.calls.clear()
    hashes = attrs.evolve(FAKE_CAPABILITIES, model_hashes={"fake-model": "0123456789"})
    again = Hashing(capabilities=hashes)
    assert (await run(runs, UPSCALES, again, upscale={})).success
    assert again.calls == []


async def test_more_pictures_per_step_and_more_values_cost_the_difference(runs: Path) -> None:
    backend = FakeBackend()
    plan = {"target_variable": "txt2img.steps", "sweep_values": [1, 2], "images_per_step": 2}
    await run(runs, plan, backend)
    backend.calls.clear()
    wider = {**plan, "sweep_values": [1, 2, 3], "images_per_step": 3}
    result = await run(runs, wider, backend)
    assert [(r.settings["steps"], r.settings["seed"]) for r in backend.calls] == [
        (1, 3), (2, 3), (3, 1), (3, 2), (3, 3),
    ]  # fmt: skip
    assert outcomes(result) == [["succeeded"]] * 3


async def test_a_picture_that_was_used_again_is_told_by_its_first_name(runs: Path) -> None:
    plan = {"target_variable": "txt2img.steps", "sweep_values": [1]}
    results = [await run(runs, plan, FakeBackend()) for _ in range(3)]
    told = [run_of(result, 0).outputs[0].reused_from for result in results]
    first = f"{results[0].plan_id}-00001/txt2img_1"
    assert told == [None, first, first]


async def test_fresh_makes_everything(runs: Path) -> None:
    backend = FakeBackend()
    await run(runs, UPSCALES, backend, upscale={})
    backend.calls.clear()
    await run(runs, UPSCALES, backend, reuse=False, upscale={})
    assert len(backend.calls) == 6


@pytest.mark.parametrize(
    "changed",
    [{"version": "2"}, {"backend": "other"}, {"model_hashes": {"fake-model": "0123456789"}}],
)
async def test_another_backend_version_or_model_makes_other_pictures(
    runs: Path, changed: dict[str, object]
) -> None:
    await run(runs, UPSCALES, FakeBackend(), upscale={})
    other: Capabilities = attrs.evolve(FAKE_CAPABILITIES, **changed)  # type: ignore[arg-type]
    backend = FakeBackend(capabilities=other)
    await run(runs, UPSCALES, backend, upscale={})
    assert made(backend)[0] == "txt2img"


async def test_a_damaged_picture_is_moved_aside_and_made_again(runs: Path) -> None:
    backend = FakeBackend()
    plan = {"target_variable": "txt2img.steps", "sweep_values": [1]}
    first = await run(runs, plan, backend)
    path = runs / run_of(first, 0).outputs[0].path
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    result = await run(runs, plan, backend)
    assert len(backend.calls) == 2
    assert (runs / run_of(result, 0).outputs[0].path).read_bytes() == whole
    assert path.with_name(f"{path.name}.aside1").read_bytes() == whole[:-5]
    assert not path.exists()


async def test_a_picture_that_was_deleted_is_made_again(runs: Path) -> None:
    backend = FakeBackend()
    plan = {"target_variable": "txt2img.steps", "sweep_values": [1]}
    first = await run(runs, plan, backend)
    (runs / run_of(first, 0).outputs[0].path).unlink()
    assert (await run(runs, plan, backend)).success
    assert len(backend.calls) == 2


async def test_the_first_is_found_where_the_last_was_deleted_and_the_other_way(runs: Path) -> None:
    plan = {"target_variable": "txt2img.steps", "sweep_values": [1]}
    results = [await run(runs, plan, FakeBackend()) for _ in range(3)]
    for gone in (2, 0):
        (runs / run_of(results[gone], 0).outputs[0].path).unlink()
        backend = FakeBackend()
        assert (await run(runs, plan, backend)).success
        assert backend.calls == []


async def test_a_run_that_goes_on_keeps_its_own_picture_in_its_place(runs: Path) -> None:
    """Also where another run used it meanwhile, and where it was another run's at first."""
    plan = {"target_variable": "upscale.upscaling_resize", "sweep_values": [2, 3]}
    first = await run(runs, plan, FakeBackend(), upscale={})
    own = runs / run_of(first, 1).outputs[0].path
    before = own.stat().st_ino, own.stat().st_mtime_ns
    await run(runs, plan, FakeBackend(), upscale={})
    (own.parent / "run_metadata.json").unlink()  # as if it had been cut
    (runs / run_of(first, 1).outputs[1].path).unlink()
    async with open_app(Settings(out=runs), backend=FakeBackend()) as app:
        result = await app.learning.resume_plan(first.plan_id)
    assert result.success
    assert (own.stat().st_ino, own.stat().st_mtime_ns) == before
    assert list(own.parent.glob("*.aside*")) == []
    assert run_of(result, 1).outputs[0].reused_from == f"{first.plan_id}-00001/txt2img_1"


@pytest.mark.parametrize("how", ["deleted", "cut", "garbage"])
async def test_the_index_can_be_lost(runs: Path, how: str) -> None:
    backend = FakeBackend()
    await run(runs, UPSCALES, backend, upscale={})
    path = runs / INDEX_FILE
    if how == "deleted":
        path.unlink()
    elif how == "cut":
        path.write_bytes(path.read_bytes()[:-7])
        os.utime(path, (0, 0))  # nobody is writing it
    else:
        path.write_bytes(b"\0\xff garbage\n" + path.read_bytes())
    backend.calls.clear()
    assert (await run(runs, UPSCALES, backend, upscale={})).success
    assert backend.calls == []
    lines = path.read_bytes().splitlines()
    assert all(json.loads(line)["fingerprint"] for line in lines)


async def test_another_process_sees_what_was_added_since_it_looked(runs: Path) -> None:
    one, other = PictureIndex(runs), PictureIndex(runs)
    backend = FakeBackend()
    assert list(one.find("0" * 64)) == []
    result = await run(runs, UPSCALES, backend, upscale={})
    wanted = run_of(result, 2).outputs[-1]
    for index in (one, other):
        assert list(index.find(wanted.fingerprint)) == [wanted]
    (runs / INDEX_FILE).unlink()
    assert list(one.find(wanted.fingerprint)) == [wanted]


async def test_a_disk_without_links_gets_copies(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    backend = FakeBackend()
    result = await run(runs, UPSCALES, backend, upscale={})
    assert made(backend) == ["txt2img", "upscale", "upscale", "upscale"]
    first, second = run_of(result, 0).outputs[0], run_of(result, 1).outputs[0]
    assert (runs / second.path).read_bytes() == (runs / first.path).read_bytes()


async def test_a_rating_counts_once_however_often_the_picture_was_used(runs: Path) -> None:
    backend = FakeBackend()
    plan = {"target_variable": "txt2img.steps", "sweep_values": [1, 2]}
    first = await run(runs, plan, backend)
    second = await run(runs, plan, backend)
    ids = [f"{result.plan_id}-00001" for result in (first, second)]
    await record_feedback(ids[0], "txt2img_1", 2, base_dir=runs)
    await record_feedback(ids[1], "txt2img_1", 5, base_dir=runs)
    reported: list[object] = []
    found = gather_observations(runs, report=reported.append)
    rated = {key: each.rating for key, each in found.pictures.items() if each.rating is not None}
    assert rated == {(ids[0], "txt2img_1"): 5}
    assert len(found.pictures) == 2
    assert reported == []


async def test_what_is_told_of_a_reused_stage(runs: Path) -> None:
    await run(runs, UPSCALES, FakeBackend(), upscale={})
    result = await run(runs, UPSCALES, FakeBackend(Behaviour(error=ValueError())), upscale={})
    folder = runs / result.plan_id
    told = [json.loads(line) for line in (folder / "events.jsonl").read_bytes().splitlines()]
    stages = [line["result"]["outcome"] for line in told if line["type"] == "StageFinished"]
    assert stages == ["reused"] * 6
    saved = [line["output"]["reused_from"] for line in told if line["type"] == "PictureSaved"]
    assert len(saved) == 6
    assert all(saved)
    assert result.outcome is Outcome.SUCCEEDED


def test_the_index_of_a_new_folder_is_made_without_a_temporary_file(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is killed just then would leave it."""
    monkeypatch.setattr(files, "write_whole", None)
    assert list(PictureIndex(runs).find("x")) == []
    assert (runs / INDEX_FILE).read_bytes() == b""
